//! Task management, on one core and across cores.

use std::time::Duration;

use fabric::sim::SimOptions;

use super::*;
use crate::testing::wire::Function;
use crate::testing::{Handle, Outcome};

/// READs take a millisecond, so that commands can be met while their data is being fetched.
fn slow_reads() -> SimOptions {
    let delay = Duration::from_millis(1);
    SimOptions { read_delay: delay..=delay, ..SimOptions::default() }
}

fn rig(reactors: usize) -> (Rig, Initiator, usize) {
    let mut rig = Rig::new(21, reactors, slow_reads(), 32);
    rig.export(&malloc("ram0", 4096));
    let mut initiator = rig.initiator(1);
    let channel = rig.login(&mut initiator, MultiChannel::Single);
    rig.clear_attention(&mut initiator, channel, 0);
    (rig, initiator, channel)
}

fn start_write(rig: &mut Rig, initiator: &mut Initiator, channel: usize, lba: u32) -> Handle {
    let handle = initiator.start(channel, &Request::write(lun(0), lba, BLOCK, pattern(65536, 1))).expect("a credit");
    rig.run(3);
    handle
}

fn manage(rig: &mut Rig, initiator: &mut Initiator, channel: usize, function: Function, task: Option<Handle>) -> u8 {
    let handle = initiator.manage(channel, function, lun(0), task).expect("a credit");
    initiator.finish(handle, &mut || rig.step()).answer().code.expect("a response code")
}

fn check_credits(rig: &mut Rig, initiator: &mut Initiator, channel: usize) {
    for _ in 0..100 {
        rig.step();
        initiator.poll();
    }
    let (left, granted) = initiator.credits(channel);
    assert_eq!(left, granted, "every credit of channel {channel} is back");
}

#[test]
fn an_abort_waits_for_the_fetch_under_way_and_gives_both_credits_back() {
    let (mut rig, mut initiator, channel) = rig(1);
    let write = start_write(&mut rig, &mut initiator, channel, 0);
    assert_eq!(manage(&mut rig, &mut initiator, channel, Function::AbortTask, Some(write)), 0);
    assert_eq!(initiator.take(write), Some(Outcome::Aborted));
    check_credits(&mut rig, &mut initiator, channel);
    let answer = rig.execute(&mut initiator, channel, &Request::read(lun(0), 0, 1, BLOCK)).good();
    assert_eq!(answer.data, [0; 512], "nothing was written");
    assert_eq!(rig.network.violations(), vec![]);
    initiator.disconnect(channel);
    rig.check_nothing_leaked();
}

#[test]
fn an_abort_of_a_command_that_is_over_is_complete() {
    let (mut rig, mut initiator, channel) = rig(1);
    let inquiry = initiator.start(channel, &Request::inquiry(lun(0), None, 36)).expect("a credit");
    rig.run(20);
    assert_eq!(manage(&mut rig, &mut initiator, channel, Function::AbortTask, Some(inquiry)), 0);
    check_credits(&mut rig, &mut initiator, channel);
}

#[test]
fn an_abort_on_another_channel_finds_the_command_on_another_core() {
    let (mut rig, mut initiator, first) = rig(2);
    let second = rig.login(&mut initiator, MultiChannel::Multi);
    let write = start_write(&mut rig, &mut initiator, second, 0);
    let before = rig.controller.sessions()[0].channels[1].aborts;
    assert_eq!((rig.commands(), before), (1, 0));
    initiator.manage(first, Function::AbortTask, lun(0), Some(write)).expect("a credit");
    // An initiator of ours would not believe that an abort on one channel ended a command of another, so it is not asked.
    rig.run(2000);
    assert_eq!((rig.commands(), rig.controller.sessions()[0].channels[1].aborts), (0, 1));
    assert_eq!(rig.network.violations(), vec![]);
}

#[test]
fn a_reset_ends_commands_of_all_channels_and_tells_the_nexus() {
    let (mut rig, mut initiator, first) = rig(2);
    let second = rig.login(&mut initiator, MultiChannel::Multi);
    let writes: Vec<Handle> = (0..6).map(|index| start_write(&mut rig, &mut initiator, second, index * 128)).collect();
    assert_eq!(manage(&mut rig, &mut initiator, first, Function::LunReset, None), 0);
    for write in writes {
        assert_eq!(initiator.take(write), Some(Outcome::Aborted));
    }
    // No response will carry the credits of the second channel: an SRP_CRED_REQ does.
    check_credits(&mut rig, &mut initiator, second);
    check_credits(&mut rig, &mut initiator, first);
    let answer = rig.execute(&mut initiator, second, &Request::test_unit_ready(lun(0))).answer();
    assert_eq!(answer.key_and_code(), Some((6, 0x29, 0x03)), "BUS DEVICE RESET FUNCTION OCCURRED");
    assert_eq!(rig.network.violations(), vec![]);
    initiator.disconnect(first);
    initiator.disconnect(second);
    rig.check_nothing_leaked();
}

#[test]
fn another_initiators_commands_end_with_task_aborted() {
    let (mut rig, mut one, one_channel) = rig(2);
    let mut other = rig.initiator(2);
    let other_channel = rig.login(&mut other, MultiChannel::Single);
    rig.clear_attention(&mut other, other_channel, 0);
    let write = start_write(&mut rig, &mut other, other_channel, 0);
    assert_eq!(manage(&mut rig, &mut one, one_channel, Function::ClearTaskSet, None), 0);
    let answer = other.finish(write, &mut || rig.step()).answer();
    assert_eq!(answer.status, 0x40, "TASK ABORTED");
    check_credits(&mut rig, &mut other, other_channel);
    assert_eq!(rig.network.violations(), vec![]);
}

#[test]
fn abort_task_set_is_about_its_own_nexus_only() {
    let (mut rig, mut one, one_channel) = rig(2);
    let mut other = rig.initiator(2);
    let other_channel = rig.login(&mut other, MultiChannel::Single);
    rig.clear_attention(&mut other, other_channel, 0);
    let mine = start_write(&mut rig, &mut one, one_channel, 0);
    let others = start_write(&mut rig, &mut other, other_channel, 128);
    assert_eq!(manage(&mut rig, &mut one, one_channel, Function::AbortTaskSet, None), 0);
    assert_eq!(one.take(mine), Some(Outcome::Aborted));
    other.finish(others, &mut || rig.step()).good();
    check_credits(&mut rig, &mut one, one_channel);
}

#[test]
fn what_is_not_supported_and_what_is_not_there_have_their_codes() {
    let (mut rig, mut initiator, channel) = rig(1);
    assert_eq!(manage(&mut rig, &mut initiator, channel, Function::ClearAca, None), 4);
    assert_eq!(manage(&mut rig, &mut initiator, channel, Function::Other(0x20), None), 4);
    let handle = initiator.manage(channel, Function::LunReset, lun(9), None).expect("a credit");
    assert_eq!(initiator.finish(handle, &mut || rig.step()).answer().code, Some(5));
    check_credits(&mut rig, &mut initiator, channel);
}
