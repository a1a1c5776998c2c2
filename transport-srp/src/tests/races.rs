//! What the simulation found (`testing::simulation`), each alone. The initiator panics if something is answered that must not be.

use std::time::Duration;

use fabric::sim::{Fault, FaultAction, OperationKind, SimOptions, When};

use super::*;
use crate::testing::wire::Function;
use crate::testing::{Handle, NotSent, Outcome};

const TASK_ABORTED: u8 = 0x40;

/// A rig with a RAM disk as LUN 0 and an initiator whose unit attention is gone.
fn rig(options: SimOptions, reactors: usize, credits: u32) -> (Rig, Initiator, usize) {
    let mut rig = Rig::new(61, reactors, options, credits);
    rig.export(&malloc("ram0", 4096));
    let (initiator, channel) = ready(&mut rig, 1);
    (rig, initiator, channel)
}

fn ready(rig: &mut Rig, number: u8) -> (Initiator, usize) {
    let mut initiator = rig.initiator(number);
    let channel = rig.login(&mut initiator, MultiChannel::Single);
    rig.clear_attention(&mut initiator, channel, 0);
    (initiator, channel)
}

fn hold(rig: &mut Rig, held: bool) {
    rig.groups.iter_mut().for_each(|group| group.devices_held = held);
}

fn write() -> Request {
    Request::write(lun(0), 0, BLOCK, pattern(4096, 3))
}

fn manage(rig: &mut Rig, of: &mut Initiator, channel: usize, function: Function, task: Option<Handle>) -> u8 {
    let handle = of.manage(channel, function, lun(0), task).expect("a credit");
    of.finish(handle, &mut || rig.step()).answer().code.expect("a response code")
}

fn run(rig: &mut Rig, initiator: &mut Initiator, rounds: usize) {
    for _ in 0..rounds {
        rig.step();
        initiator.poll();
    }
}

/// An initiator had a response, used its tag again, and aborted the new command, all before the fabric told the target that the response was
/// sent. ABORT TASK found the old command under the tag, and was answered; then the new one was answered too.
#[test]
fn an_abort_is_about_the_command_that_has_the_tag_now() {
    let (mut rig, mut initiator, channel) = rig(SimOptions::jittery(), 1, 32);
    for _ in 0..200 {
        rig.execute(&mut initiator, channel, &Request::test_unit_ready(lun(0))).good();
        hold(&mut rig, true);
        let task = initiator.start(channel, &Request::read(lun(0), 0, 8, BLOCK)).expect("a credit");
        assert_eq!(manage(&mut rig, &mut initiator, channel, Function::AbortTask, Some(task)), 0);
        assert_eq!(initiator.take(task), Some(Outcome::Aborted));
        hold(&mut rig, false);
        run(&mut rig, &mut initiator, 60);
    }
    assert_eq!(rig.network.violations(), vec![]);
}

/// ABORT TASK named a command that was answered already, so all cores were asked for it. Until they were, the tag was in use again on the same
/// channel, and the new command was aborted, which nobody had asked for.
#[test]
fn a_late_abort_spares_the_command_that_came_after_it() {
    let (mut rig, mut initiator, channel) = rig(SimOptions::default(), 2, 32);
    rig.login(&mut initiator, MultiChannel::Multi);
    let over = initiator.start(channel, &Request::test_unit_ready(lun(0))).expect("a credit");
    initiator.finish(over, &mut || rig.step()).good();
    hold(&mut rig, true);
    let abort = initiator.manage(channel, Function::AbortTask, lun(0), Some(over)).expect("a credit");
    let new = initiator.start(channel, &write()).expect("a credit");
    assert_eq!(initiator.tag(new), initiator.tag(over));
    assert_eq!(initiator.finish(abort, &mut || rig.step()).answer().code, Some(0));
    hold(&mut rig, false);
    initiator.finish(new, &mut || rig.step()).good();
}

/// The administrator put another unit under the LUN, or none, while a command was under way. Task management looked for commands of the unit that
/// was there now, so it found none and was answered; the initiator, which knows LUNs only, took its memory back, and the command went on.
#[test]
fn task_management_ends_commands_of_what_was_under_the_lun_before() {
    for function in [Function::AbortTask, Function::AbortTaskSet, Function::ClearTaskSet, Function::LunReset] {
        for exported in [true, false] {
            for channels in 1..=2 {
                let (mut rig, mut initiator, channel) = rig(SimOptions::default(), 2, 32);
                let last = match channels {
                    1 => channel,
                    _ => rig.login(&mut initiator, MultiChannel::Multi),
                };
                hold(&mut rig, true);
                let task = initiator.start(channel, &write()).expect("a credit");
                rig.run(10);
                rig.controller.remove_lun("tgt0", 0).expect("it is there");
                if exported {
                    rig.export(&malloc("ram1", 4096));
                }
                rig.run(10);
                // An abort goes to the command's own channel, the others anywhere.
                let asked = if function == Function::AbortTask { channel } else { last };
                let code = manage(&mut rig, &mut initiator, asked, function, Some(task));
                let found = exported || function == Function::AbortTask;
                assert_eq!(code, if found { 0 } else { 5 }, "{function:?}");
                hold(&mut rig, false);
                run(&mut rig, &mut initiator, 60);
                let outcome = initiator.take(task);
                assert_eq!(outcome == Some(Outcome::Aborted), found, "{function:?}: {outcome:?}");
                assert_eq!(rig.network.violations(), vec![]);
            }
        }
    }
}

/// A command could be waited for by four task management functions. A fifth was answered at once, while the command's data were still being
/// fetched from memory that the initiator took back.
#[test]
fn a_fifth_reset_waits_for_what_the_others_wait_for() {
    let options =
        SimOptions { read_delay: Duration::from_millis(1)..=Duration::from_millis(1), ..SimOptions::default() };
    let (mut rig, mut initiator, channel) = rig(options, 1, 32);
    let task = initiator.start(channel, &write()).expect("a credit");
    rig.run(10);
    let resets: Vec<Handle> =
        (0..6).map(|_| initiator.manage(channel, Function::LunReset, lun(0), None).expect("a credit")).collect();
    run(&mut rig, &mut initiator, 100);
    assert!(resets.iter().all(|&reset| initiator.take(reset).is_none()), "the data are still being fetched");
    run(&mut rig, &mut initiator, 1000);
    assert!(resets.iter().all(|&reset| initiator.take(reset).is_some()));
    assert_eq!(initiator.take(task), Some(Outcome::Aborted));
    assert_eq!(rig.network.violations(), vec![]);
}

/// An initiator vanished before it sent anything. The target probes only channels on which it heard something, so it kept the channel and its
/// buffers for ever.
#[test]
fn an_initiator_that_vanishes_as_its_channel_is_established_is_noticed() {
    let mut rig = Rig::new(61, 1, SimOptions::default(), 32);
    let mut initiator = rig.initiator(1);
    rig.login(&mut initiator, MultiChannel::Single);
    initiator.vanish();
    for _ in 0..400 {
        rig.network.advance(Duration::from_millis(100));
        rig.step();
    }
    rig.check_nothing_leaked();
}

/// All credits of a channel were in commands at a stuck device, and a reset on another channel ended them. Credits go with the next response,
/// and on that channel there was none: the initiator could never send anything again.
#[test]
fn credits_come_back_after_a_reset_on_another_channel() {
    let (mut rig, mut initiator, channel) = rig(SimOptions::default(), 2, 4);
    let other = rig.login(&mut initiator, MultiChannel::Multi);
    hold(&mut rig, true);
    let read = Request::read(lun(0), 0, 8, BLOCK);
    while initiator.start(other, &read).is_ok() {}
    assert_eq!(initiator.start(other, &read), Err(NotSent::NoCredit));
    rig.run(10);
    assert_eq!(manage(&mut rig, &mut initiator, channel, Function::LunReset, None), 0);
    run(&mut rig, &mut initiator, 50);
    assert_eq!(initiator.credits(other), (4, 4));
}

/// A device was stuck with more commands of a channel than are given back their credit before it is done. Another initiator's reset was to end
/// the rest with TASK ABORTED, for which they would have to wait; they got their credit in the end, and never the answer.
#[test]
fn commands_that_a_device_keeps_are_answered_when_it_is_done_at_the_latest() {
    let (mut rig, mut one, channel) = rig(SimOptions::default(), 1, 4);
    let (mut other, others) = ready(&mut rig, 2);
    hold(&mut rig, true);
    let mut reads = Vec::new();
    for _ in 0..2 {
        while let Ok(read) = other.start(others, &Request::read(lun(0), 0, 8, BLOCK)) {
            reads.push(read);
        }
        rig.run(10);
        assert_eq!(manage(&mut rig, &mut one, channel, Function::LunReset, None), 0);
        run(&mut rig, &mut other, 50);
        // Takes the unit attention.
        let ready = other.start(others, &Request::test_unit_ready(lun(0)));
        ready.into_iter().for_each(|ready| drop(other.finish(ready, &mut || rig.step())));
    }
    assert!(reads.len() > 4, "more than there are credits: {}", reads.len());
    hold(&mut rig, false);
    run(&mut rig, &mut other, 100);
    for read in reads {
        assert_eq!(other.take(read).map(|outcome| outcome.answer().status), Some(TASK_ABORTED));
    }
    let ready = other.start(others, &Request::test_unit_ready(lun(0))).expect("a credit");
    other.finish(ready, &mut || rig.step());
    assert_eq!(other.credits(others), (4, 4));
}

/// As above; and before the device was done the commands' own initiator aborted them as well. It got TASK ABORTED after the answer to that.
#[test]
fn commands_that_a_device_keeps_are_not_answered_after_their_own_initiator_aborted_them() {
    for function in [Function::AbortTask, Function::AbortTaskSet] {
        let (mut rig, mut one, channel) = rig(SimOptions::default(), 1, 4);
        let (mut other, others) = ready(&mut rig, 2);
        hold(&mut rig, true);
        let mut last = None;
        for _ in 0..2 {
            while let Ok(read) = other.start(others, &Request::read(lun(0), 0, 8, BLOCK)) {
                last = Some(read);
            }
            rig.run(10);
            assert_eq!(manage(&mut rig, &mut one, channel, Function::LunReset, None), 0);
            run(&mut rig, &mut other, 50);
            let ready = other.start(others, &Request::test_unit_ready(lun(0)));
            ready.into_iter().for_each(|ready| drop(other.finish(ready, &mut || rig.step())));
        }
        let last = last.expect("a read");
        assert_eq!(other.take(last), None, "it is owed");
        assert_eq!(manage(&mut rig, &mut other, others, function, Some(last)), 0);
        assert_eq!(other.take(last), Some(Outcome::Aborted));
        hold(&mut rig, false);
        run(&mut rig, &mut other, 100);
    }
}

/// An aborted write was stuck at its device while the LUN was removed and the bdev exported anew. The fence that holds later commands back was the
/// removed unit's: a new write was answered, and then the old one landed on it.
#[test]
fn a_late_write_does_not_land_on_a_newer_one_of_a_unit_that_was_exported_anew() {
    let mut rig = Rig::new(61, 1, SimOptions::default(), 32);
    let disk = bdev::error::create(&malloc("ram0", 4096), None).expect("a faulty disk");
    rig.export(&disk);
    let (mut initiator, channel) = ready(&mut rig, 1);
    let stuck = bdev::error::Injection { error: bdev::error::ErrorType::Pending, num: 1, queue_depth: 0 };
    bdev::error::inject(&disk, bdev::error::IoType::Write, stuck);
    let old = initiator.start(channel, &write()).expect("a credit");
    rig.run(10);
    assert_eq!(manage(&mut rig, &mut initiator, channel, Function::AbortTask, Some(old)), 0);
    rig.controller.remove_lun("tgt0", 0).expect("it is there");
    rig.run(10);
    rig.export(&disk);
    rig.clear_attention(&mut initiator, channel, 0);
    let newer = Request::write(lun(0), 0, BLOCK, pattern(4096, 9));
    let new = initiator.start(channel, &newer).expect("a credit");
    run(&mut rig, &mut initiator, 50);
    assert_eq!(initiator.take(new), None, "the fence holds it back");
    bdev::error::clear(&disk);
    initiator.finish(new, &mut || rig.step()).good();
    let read = rig.execute(&mut initiator, channel, &Request::read(lun(0), 0, 8, BLOCK)).good();
    assert_eq!(read.data, pattern(4096, 9));
}

/// An initiator asked for solicited notification of failures, and TASK ABORTED came without: it was sent when nothing was left of the command but
/// its tag.
#[test]
fn task_aborted_is_notified_as_the_command_asked_for() {
    let (mut rig, mut one, channel) = rig(SimOptions::default(), 1, 32);
    let (mut other, others) = ready(&mut rig, 2);
    hold(&mut rig, true);
    let task = other.start(others, &Request { solicit: 4, ..write() }).expect("a credit");
    rig.run(10);
    assert_eq!(manage(&mut rig, &mut one, channel, Function::LunReset, None), 0);
    let answer = other.finish(task, &mut || rig.step()).answer();
    assert_eq!((answer.status, answer.solicited), (TASK_ABORTED, true));
}

/// Another initiator's reset had ended a command, and TASK ABORTED was on its way when the command's own initiator aborted it too, through
/// another channel. Nothing was left at the target but that answer, for which ABORT TASK did not wait: it was answered first, and then
/// came an answer to a tag that the initiator held for free.
#[test]
fn an_abort_through_another_channel_waits_for_task_aborted() {
    let (mut rig, mut one, channel) = rig(SimOptions::default(), 2, 32);
    let (mut other, others) = ready(&mut rig, 2);
    let second = rig.login(&mut other, MultiChannel::Multi);
    hold(&mut rig, true);
    let task = other.start(others, &write()).expect("a credit");
    rig.run(10);
    let (connection, when) = (Some(other.connection(others)), When::Nth(OperationKind::Send, 1));
    rig.network.inject(Fault { connection, when, action: FaultAction::Delay(Duration::from_millis(1)) });
    assert_eq!(manage(&mut rig, &mut one, channel, Function::LunReset, None), 0);
    assert_eq!(manage(&mut rig, &mut other, second, Function::AbortTask, Some(task)), 0);
    assert_eq!(other.take(task).map(|outcome| outcome.answer().status), Some(TASK_ABORTED));
}
