//! SCSI devices behind units: what they answer reaches the initiator as it is, and what befalls them does no harm.

use bdev::Direction;
use bdev::passthrough::fake::{FakeDevice, Reply};
use fabric::sim::SimOptions;

use super::*;
use crate::testing::wire::{Function, Residual};
use crate::testing::{Form, Outcome};

/// A tape whose blocks are 1000 bytes: READs of more get ILI with the data. SEND DIAGNOSTIC makes it find that its medium has changed.
fn tape() -> FakeDevice {
    FakeDevice::new(1, |command| match command.cdb[0] {
        0x08 => {
            let len = command.data.len();
            command.data[..len.min(1000)].fill(0x5a);
            let unread = len as i32 - 1000;
            let mut ili = vec![0xf0, 0, 0x20, 0, 0, 0, 0, 88, 0, 0, 0, 0, 0, 0];
            ili[3..7].copy_from_slice(&unread.to_be_bytes());
            ili.resize(96, 0xab);
            Reply { residual: unread, ..Reply::check_condition(&ili) }
        }
        0x0a => Reply { residual: 12, ..Reply::check_condition(&[0x70, 0, 0x40, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 2]) },
        0x12 => {
            command.data.fill(0xff);
            Reply::GOOD
        }
        0x1d => Reply::check_condition(&[0x70, 0, 6, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x28, 0]),
        _ => Reply::GOOD,
    })
}

fn rig(device: &FakeDevice, reactors: usize) -> Rig {
    let mut rig = Rig::new(61, reactors, SimOptions::default(), 32);
    rig.export(&device.bdev("tape0", 1, 65536, 16));
    rig
}

fn login(rig: &mut Rig, number: u8) -> (Initiator, usize) {
    let mut initiator = rig.initiator(number);
    let channel = rig.login(&mut initiator, MultiChannel::Single);
    rig.clear_attention(&mut initiator, channel, 0);
    (initiator, channel)
}

fn read(len: u32) -> Request {
    let [_, high, middle, low] = len.to_be_bytes();
    Request::new(lun(0), [0x08, 0, high, middle, low, 0]).data_in(len)
}

#[test]
fn data_comes_with_check_condition_with_all_of_the_sense_and_the_residual() {
    let mut rig = rig(&tape(), 1);
    let (mut initiator, channel) = login(&mut rig, 1);
    for form in [Form::Direct, Form::inline(4000, 3), Form::table(4000, 40, 2)] {
        let answer = rig.execute(&mut initiator, channel, &read(4000).form(form)).answer();
        assert_eq!(
            (answer.status, answer.sense.len(), answer.sense[13..].to_vec()),
            (2, 96, [&[0][..], &[0xab; 82]].concat())
        );
        assert_eq!(answer.sense[3..7], 3000_u32.to_be_bytes());
        assert_eq!(answer.residual_in, Residual::Under(3000));
        assert!(
            answer.data[..1000].iter().all(|&byte| byte == 0x5a)
                && answer.data[1000..].iter().all(|&byte| byte == 0xa5)
        );
    }
    let write = Request::new(lun(0), [0x0a, 0, 0, 2, 0, 0]).data_out(vec![1; 512]);
    let answer = rig.execute(&mut initiator, channel, &write).answer();
    assert_eq!((answer.status, answer.residual_out), (2, Residual::Under(12)));
    let inquiry = rig.execute(&mut initiator, channel, &Request::inquiry(lun(0), None, 36)).good();
    assert_eq!((inquiry.data[3], inquiry.data[5]), (0xdf, 0x87), "no more is promised than gets through");
    assert_eq!(rig.network.violations(), vec![]);
    initiator.disconnect(channel);
    rig.check_nothing_leaked();
}

#[test]
fn what_the_device_tells_one_initiator_all_hear() {
    let mut rig = rig(&tape(), 2);
    let (mut one, one_channel) = login(&mut rig, 1);
    let (mut other, other_channel) = login(&mut rig, 2);
    let answer = rig.execute(&mut one, one_channel, &Request::new(lun(0), [0x1d, 0, 0, 0, 0, 0])).answer();
    assert_eq!(answer.key_and_code(), Some((6, 0x28, 0)));
    rig.run(10);
    let ready = Request::test_unit_ready(lun(0));
    rig.execute(&mut one, one_channel, &ready).good();
    let told = rig.execute(&mut other, other_channel, &ready).answer();
    assert_eq!(told.key_and_code(), Some((6, 0x28, 0)), "NOT READY TO READY CHANGE");
    rig.execute(&mut other, other_channel, &ready).good();
    // MODE SELECT: the device knows of one initiator only, so we tell the others.
    let select = Request::new(lun(0), [0x15, 0x10, 0, 0, 12, 0]).data_out(vec![0; 12]);
    rig.execute(&mut other, other_channel, &select).good();
    rig.run(10);
    assert_eq!(rig.execute(&mut one, one_channel, &ready).answer().key_and_code(), Some((6, 0x2a, 1)));
    rig.execute(&mut other, other_channel, &ready).good();
}

#[test]
fn an_attention_that_nobody_waits_for_is_not_lost() {
    let device = tape();
    let mut rig = rig(&device, 1);
    let (mut initiator, channel) = login(&mut rig, 1);
    device.hold(true);
    let handle = initiator.start(channel, &Request::new(lun(0), [0x1d, 0, 0, 0, 0, 0])).expect("a credit");
    rig.run(10);
    let abort = initiator.manage(channel, Function::AbortTask, lun(0), Some(handle)).expect("a credit");
    assert_eq!(initiator.finish(abort, &mut || rig.step()).answer().code, Some(0));
    assert_eq!(initiator.take(handle), Some(Outcome::Aborted));
    device.hold(false);
    settle(&mut rig);
    let answer = rig.execute(&mut initiator, channel, &Request::test_unit_ready(lun(0))).answer();
    assert_eq!(answer.key_and_code(), Some((6, 0x28, 0)));
}

#[test]
fn a_reset_reaches_the_device_and_frees_what_is_stuck_there() {
    let device = tape();
    let mut rig = rig(&device, 2);
    let (mut initiator, channel) = login(&mut rig, 1);
    device.hold(true);
    let stuck = initiator.start(channel, &read(4000)).expect("a credit");
    rig.run(10);
    let reset = initiator.manage(channel, Function::LunReset, lun(0), None).expect("a credit");
    // The reset itself is done by a thread.
    let code = (0..10_000).find_map(|_| {
        std::thread::sleep(Duration::from_micros(100));
        rig.step();
        initiator.poll();
        initiator.take(reset)
    });
    assert_eq!(code.expect("answered").answer().code, Some(0));
    assert_eq!((initiator.take(stuck), device.resets()), (Some(Outcome::Aborted), 1));
    settle(&mut rig);
    let answer = rig.execute(&mut initiator, channel, &Request::test_unit_ready(lun(0))).answer();
    assert_eq!(answer.key_and_code(), Some((6, 0x29, 3)));
    initiator.disconnect(channel);
    rig.check_nothing_leaked();
}

#[test]
fn a_reset_that_the_device_does_not_end_is_answered_in_time() {
    let device = tape();
    let mut rig = rig(&device, 1);
    let (mut initiator, channel) = login(&mut rig, 1);
    device.stick_resets(true);
    let reset = initiator.manage(channel, Function::LunReset, lun(0), None).expect("a credit");
    let mut answered = |rig: &mut Rig, time: Duration| {
        rig.network.advance(time);
        rig.run(20);
        initiator.poll();
        initiator.take(reset)
    };
    assert_eq!(answered(&mut rig, Duration::ZERO), None);
    assert_eq!(answered(&mut rig, crate::limits::DEVICE_RESET_MAX / 2), None);
    let code = answered(&mut rig, crate::limits::DEVICE_RESET_MAX / 2).expect("answered").answer().code;
    assert_eq!((code, device.resets()), (Some(0), 0));
    device.stick_resets(false);
}

#[test]
fn an_unplugged_device_ends_what_it_had_and_can_be_taken_away() {
    let device = FakeDevice::new(2, |command| {
        if command.direction == Direction::In {
            command.data.fill(1);
        }
        Reply::GOOD
    });
    let mut rig = Rig::new(62, 1, SimOptions::default(), 32);
    let bdev = device.bdev("disk0", 0, 65536, 16);
    rig.export(&bdev);
    let (mut initiator, channel) = login(&mut rig, 1);
    // Beyond the adapter's limit, so in two pieces.
    let read = Request::read(lun(0), 0, 256, 512);
    assert_eq!(rig.execute(&mut initiator, channel, &read).good().data, vec![1; 131_072]);
    device.hold(true);
    let small = Request::read(lun(0), 0, 8, 512);
    let handles: Vec<_> = (0..6).map(|_| initiator.start(channel, &small).expect("a credit")).collect();
    rig.run(10);
    device.vanish();
    for handle in handles {
        let answer = initiator.finish(handle, &mut || rig.step()).answer();
        assert_eq!(answer.key_and_code(), Some((2, 4, 3)));
    }
    let answer = rig.execute(&mut initiator, channel, &Request::test_unit_ready(lun(0))).answer();
    assert_eq!(answer.key_and_code(), Some((2, 4, 3)));
    rig.controller.remove_lun("tgt0", 0).expect("removed");
    rig.run(20);
    assert_eq!(rig.controller.bdev_user("disk0"), None);
    assert_eq!(Arc::strong_count(&bdev), 1, "nothing holds it any more");
    initiator.disconnect(channel);
    rig.check_nothing_leaked();
}

#[test]
fn an_identity_of_ours_is_refused() {
    let mut rig = Rig::new(63, 1, SimOptions::default(), 32);
    let options = LunOptions { product: Some("mine".into()), ..LunOptions::default() };
    let refused = rig.controller.add_lun("tgt0", &tape().bdev("tape0", 1, 65536, 16), &options).expect_err("refused");
    assert!(refused.to_string().starts_with("product, vendor"), "{refused}");
}

/// The fake device is asked at a bounded rate of real time.
fn settle(rig: &mut Rig) {
    for _ in 0..50 {
        std::thread::sleep(Duration::from_micros(100));
        rig.run(2);
    }
}
