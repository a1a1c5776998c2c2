//! Every way to describe a data buffer, at every size, and what goes back to whom.

use fabric::sim::SimOptions;
use proptest::prelude::*;

use super::*;
use crate::testing::wire::Residual;
use crate::testing::{Data, Form};

/// Forms for a transfer of `len` bytes; immediate data only where it fits.
fn forms(len: u32) -> Vec<Form> {
    let mut forms = vec![
        Form::Direct,
        Form::inline(len, 1),
        Form::inline(len, 7),
        Form::inline(len, 255),
        Form::table(len, 300, 2),
    ];
    forms.push(Form::table(len, 2048, 0));
    if len <= 8192 {
        forms.push(Form::Immediate);
    }
    forms
}

fn logged_in(seed: u64, reactors: usize, options: SimOptions) -> (Rig, Initiator, usize) {
    let mut rig = Rig::new(seed, reactors, options, 64);
    rig.export(&malloc("ram0", 8192));
    let mut initiator = rig.initiator(1);
    let channel = rig.login(&mut initiator, MultiChannel::Single);
    rig.clear_attention(&mut initiator, channel, 0);
    (rig, initiator, channel)
}

#[test]
fn what_was_written_in_any_form_is_read_back_in_any_form() {
    let (mut rig, mut initiator, channel) = logged_in(1, 1, SimOptions::jittery());
    for (seed, blocks) in [1u32, 2, 3, 16, 17, 128, 255, 1024, 2048].into_iter().enumerate() {
        let len = blocks * BLOCK;
        for (index, form) in forms(len).into_iter().enumerate() {
            let data = pattern(len as usize, (seed * 16 + index) as u8);
            let lba = (index as u32) * 7;
            let write = Request::write(lun(0), lba, BLOCK, data.clone()).form(form.clone());
            rig.execute(&mut initiator, channel, &write).good();
            let back = if form == Form::Immediate { Form::Direct } else { form };
            let read = Request::read(lun(0), lba, blocks as u16, BLOCK).form(back);
            let answer = rig.execute(&mut initiator, channel, &read).good();
            assert!(answer.data == data, "{blocks} blocks, form {index}: other bytes came back");
            assert_eq!(answer.residual_in, Residual::None);
        }
    }
    let (left, granted) = initiator.credits(channel);
    assert_eq!(left, granted, "every credit is back");
    assert_eq!(rig.network.violations(), vec![]);
    initiator.disconnect(channel);
    rig.check_nothing_leaked();
}

#[test]
fn many_commands_at_once_wait_for_buffers_and_none_is_lost() {
    let (mut rig, mut initiator, channel) = logged_in(2, 1, SimOptions::jittery());
    let mut handles = Vec::new();
    for index in 0..40u32 {
        let len = [4096, 65536, 300 * 1024][index as usize % 3];
        let form = if index % 2 == 0 { Form::table(len, 100, 1) } else { Form::Direct };
        let write = Request::write(lun(0), index * 128, BLOCK, pattern(len.min(65536) as usize, index as u8));
        let read = Request::read(lun(0), 0, (len / BLOCK) as u16, BLOCK).form(form);
        handles.push(initiator.start(channel, if index % 4 == 3 { &write } else { &read }).expect("a credit"));
    }
    for handle in handles {
        initiator.finish(handle, &mut || rig.step()).good();
    }
    assert_eq!(rig.network.violations(), vec![]);
    initiator.disconnect(channel);
    rig.check_nothing_leaked();
}

/// Buffers went to whoever had asked first: with one initiator that asked for many, every other waited for all of them.
#[test]
fn who_asks_for_one_buffer_does_not_wait_for_all_that_another_asked_for() {
    let (mut rig, mut greedy, channel) = logged_in(4, 1, SimOptions::default());
    let mut modest = rig.initiator(2);
    let modest_channel = rig.login(&mut modest, MultiChannel::Single);
    rig.clear_attention(&mut modest, modest_channel, 0);
    rig.groups[0].devices_held = true;
    let large = small_memory().large_data;
    let read = Request::read(lun(0), 0, 64, BLOCK).form(Form::table(1 << 20, 16, 1));
    let asked: Vec<_> = (0..large + 8).map(|_| greedy.start(channel, &read).expect("a credit")).collect();
    rig.run(20);
    let one = modest.start(modest_channel, &read).expect("a credit");
    rig.run(20);
    rig.groups[0].devices_held = false;
    modest.finish(one, &mut || rig.step()).good();
    greedy.poll();
    let answered = asked.iter().filter(|&&handle| greedy.take(handle).is_some()).count();
    assert!(answered < large + 4, "{answered} of {} came before it", asked.len());
}

#[test]
fn a_short_answer_reports_what_is_left_of_the_buffer() {
    let (mut rig, mut initiator, channel) = logged_in(3, 1, SimOptions::default());
    let inquiry = rig.execute(&mut initiator, channel, &Request::inquiry(lun(0), None, 255)).good();
    assert!(matches!(inquiry.residual_in, Residual::Under(left) if left > 100));
    assert_eq!(inquiry.used().len(), 5 + usize::from(inquiry.data[4]));
    assert_eq!(&inquiry.data[16..20], b"ram0");
    let short = rig.execute(&mut initiator, channel, &Request::inquiry(lun(0), Some(0x83), 4)).good();
    assert_eq!(short.residual_in, Residual::None);
    assert!(u16::from_be_bytes([short.data[2], short.data[3]]) > 4, "the header tells the true length");
}

#[test]
fn a_buffer_shorter_than_the_transfer_gets_what_fits_for_reads_and_a_refusal_for_writes() {
    let (mut rig, mut initiator, channel) = logged_in(4, 1, SimOptions::default());
    rig.execute(&mut initiator, channel, &Request::write(lun(0), 0, BLOCK, pattern(2048, 9))).good();
    let mut read = Request::read(lun(0), 0, 4, BLOCK);
    read.data = Data::In { len: 1000, form: Form::Direct };
    let answer = rig.execute(&mut initiator, channel, &read).good();
    assert_eq!(answer.residual_in, Residual::Over(1048));
    assert_eq!(answer.data, pattern(2048, 9)[..1000]);
    let mut write = Request::write(lun(0), 0, BLOCK, pattern(2048, 1));
    write.data = Data::Out { bytes: pattern(1024, 1), form: Form::Direct };
    let answer = rig.execute(&mut initiator, channel, &write).answer();
    assert_eq!(answer.key_and_code(), Some((5, 0x24, 0)));
    let read = rig.execute(&mut initiator, channel, &Request::read(lun(0), 0, 4, BLOCK)).good();
    assert_eq!(read.data, pattern(2048, 9), "nothing of the refused write landed");
}

#[test]
fn a_buffer_longer_than_the_transfer_keeps_its_rest() {
    let (mut rig, mut initiator, channel) = logged_in(5, 1, SimOptions::default());
    for form in [Form::Direct, Form::inline(4096, 5), Form::table(4096, 20, 1), Form::Immediate] {
        let mut write = Request::write(lun(0), 8, BLOCK, pattern(1024, 3));
        write.data = Data::Out { bytes: pattern(4096, 3), form };
        let answer = rig.execute(&mut initiator, channel, &write).good();
        assert_eq!(answer.residual_out, Residual::Under(3072));
    }
    let mut read = Request::read(lun(0), 8, 2, BLOCK);
    read.data = Data::In { len: 4096, form: Form::inline(4096, 3) };
    let answer = rig.execute(&mut initiator, channel, &read).good();
    assert_eq!(answer.used(), &pattern(1024, 3)[..]);
}

#[test]
fn immediate_data_at_an_odd_offset_is_copied_and_arrives_all_the_same() {
    let mut rig = Rig::new(6, 1, SimOptions::default(), 64);
    rig.export(&malloc("ram0", 64));
    let options = InitiatorOptions { immediate_offset: Some(99), ..initiator_options(1) };
    let mut initiator = Initiator::new(&rig.network, options);
    let channel = rig.login(&mut initiator, MultiChannel::Single);
    rig.clear_attention(&mut initiator, channel, 0);
    let write = Request::write(lun(0), 1, BLOCK, pattern(4096, 5)).form(Form::Immediate);
    rig.execute(&mut initiator, channel, &write).good();
    let answer = rig.execute(&mut initiator, channel, &Request::read(lun(0), 1, 8, BLOCK)).good();
    assert_eq!(answer.data, pattern(4096, 5));
}

#[test]
fn an_unknown_lun_and_an_empty_target_are_answered_as_sam_wants() {
    let mut rig = Rig::new(7, 1, SimOptions::default(), 64);
    let mut initiator = rig.initiator(1);
    let channel = rig.login(&mut initiator, MultiChannel::Single);
    let answer = rig.execute(&mut initiator, channel, &Request::inquiry(lun(5), None, 36)).good();
    assert_eq!(answer.data[0], 0x7f);
    let answer = rig.execute(&mut initiator, channel, &Request::test_unit_ready(lun(5))).answer();
    assert_eq!(answer.key_and_code(), Some((5, 0x25, 0)));
    let answer = rig.execute(&mut initiator, channel, &Request::report_luns(4096)).good();
    assert_eq!(answer.status, 0);
}

#[test]
fn a_lun_can_come_and_go_under_a_session() {
    let mut rig = Rig::new(8, 2, SimOptions::default(), 64);
    let (ram0, ram1) = (malloc("ram0", 64), malloc("ram1", 128));
    rig.export(&ram0);
    let mut initiator = rig.initiator(1);
    let channel = rig.login(&mut initiator, MultiChannel::Single);
    rig.clear_attention(&mut initiator, channel, 0);
    assert_eq!(rig.export(&ram1), 1);
    let answer = rig.execute(&mut initiator, channel, &Request::test_unit_ready(lun(0))).answer();
    assert_eq!(answer.key_and_code(), Some((6, 0x3f, 0x0e)), "REPORTED LUNS DATA HAS CHANGED");
    rig.clear_attention(&mut initiator, channel, 1);
    rig.controller.remove_lun("tgt0", 1).expect("the LUN is there");
    rig.run(50);
    assert_eq!(rig.controller.bdev_user("ram1"), None, "every poll group has closed it");
    let answer = rig.execute(&mut initiator, channel, &Request::test_unit_ready(lun(1))).answer();
    assert_eq!(answer.key_and_code(), Some((5, 0x25, 0)));
    assert_eq!(Arc::strong_count(&ram1), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Random commands in random forms against a plain copy of the disk.
    #[test]
    fn random_traffic_reads_what_was_written(seed in any::<u64>(), script in prop::collection::vec((any::<bool>(), 0u32..4000, 1u32..600, 0usize..7), 1..40)) {
        let (mut rig, mut initiator, channel) = logged_in(seed, 1, SimOptions::jittery());
        let mut disk = vec![0u8; 8192 * 512];
        for (index, (is_write, lba, blocks, form)) in script.into_iter().enumerate() {
            let len = blocks * BLOCK;
            let forms = forms(len);
            let form = forms[form % forms.len()].clone();
            let range = (lba * BLOCK) as usize..((lba + blocks) * BLOCK) as usize;
            if is_write {
                let data = pattern(len as usize, index as u8);
                disk[range].copy_from_slice(&data);
                rig.execute(&mut initiator, channel, &Request::write(lun(0), lba, BLOCK, data).form(form)).good();
            } else {
                let form = if form == Form::Immediate { Form::Direct } else { form };
                let answer = rig.execute(&mut initiator, channel, &Request::read(lun(0), lba, blocks as u16, BLOCK).form(form)).good();
                prop_assert!(answer.data == disk[range], "other bytes at block {lba}");
            }
        }
        prop_assert_eq!(rig.network.violations(), vec![]);
        initiator.disconnect(channel);
        rig.check_nothing_leaked();
    }
}
