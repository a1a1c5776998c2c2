//! Devices that do not answer: initiators are answered all the same, and nothing lands late on top of newer data.

use fabric::sim::SimOptions;

use super::*;
use crate::testing::wire::Function;
use crate::testing::{Handle, Outcome};

/// A rig whose devices can be held: what was submitted stays at the device until they are let go.
struct Held {
    rig: Rig,
    held: bool,
}

impl Held {
    fn new(reactors: usize, credits: u32) -> Held {
        let mut rig = Rig::new(31, reactors, SimOptions::default(), credits);
        rig.export(&malloc("ram0", 4096));
        Held { rig, held: false }
    }

    fn step(&mut self) {
        for group in &mut self.rig.groups {
            group.devices_held = self.held;
        }
        self.rig.step();
    }

    fn run(&mut self, rounds: usize) {
        (0..rounds).for_each(|_| self.step());
    }

    fn write(&mut self, initiator: &mut Initiator, channel: usize, seed: u8) -> Handle {
        let handle =
            initiator.start(channel, &Request::write(lun(0), 0, BLOCK, pattern(4096, seed))).expect("a credit");
        self.run(10);
        handle
    }

    fn manage(&mut self, initiator: &mut Initiator, channel: usize, function: Function, task: Option<Handle>) -> u8 {
        let handle = initiator.manage(channel, function, lun(0), task).expect("a credit");
        initiator.finish(handle, &mut || self.step()).answer().code.expect("a response code")
    }

    /// Operations at the devices.
    fn at_device(&self) -> usize {
        let units = self.rig.groups.iter().flat_map(|group| group.units.iter().flatten());
        units.filter_map(|unit| unit.device.as_ref()).map(bdev::Channel::in_flight).sum()
    }
}

#[test]
fn an_abort_is_answered_while_the_device_is_stuck_and_the_next_write_waits_for_the_old_one() {
    let mut held = Held::new(1, 32);
    let mut initiator = held.rig.initiator(1);
    let channel = held.rig.login(&mut initiator, MultiChannel::Single);
    held.rig.clear_attention(&mut initiator, channel, 0);
    held.held = true;
    let old = held.write(&mut initiator, channel, 1);
    assert_eq!(held.at_device(), 1);
    assert_eq!(held.manage(&mut initiator, channel, Function::AbortTask, Some(old)), 0);
    assert_eq!(initiator.take(old), Some(Outcome::Aborted));
    assert_eq!(initiator.credits(channel).0, 32, "the credits of both are back");

    let new = held.write(&mut initiator, channel, 2);
    held.run(50);
    initiator.poll();
    assert_eq!((held.at_device(), initiator.take(new)), (1, None), "the fence holds it back");
    initiator.execute(channel, &Request::test_unit_ready(lun(0)), &mut || held.step()).good();

    held.held = false;
    initiator.finish(new, &mut || held.step()).good();
    let read = initiator.execute(channel, &Request::read(lun(0), 0, 8, BLOCK), &mut || held.step()).good();
    assert_eq!(read.data, pattern(4096, 2));
    initiator.disconnect(channel);
    held.rig.check_nothing_leaked();
}

#[test]
fn a_stuck_device_does_not_keep_its_initiator_from_coming_back() {
    let mut held = Held::new(2, 32);
    let mut initiator = held.rig.initiator(1);
    let channel = held.rig.login(&mut initiator, MultiChannel::Single);
    held.rig.clear_attention(&mut initiator, channel, 0);
    held.held = true;
    held.write(&mut initiator, channel, 1);
    let again = initiator.open(MultiChannel::Single, &mut || held.step()).expect("the login is accepted");
    for _ in 0..3 {
        initiator.execute(again, &Request::test_unit_ready(lun(0)), &mut || held.step());
    }
    let new = held.write(&mut initiator, again, 2);
    held.run(50);
    initiator.poll();
    assert_eq!((held.at_device(), initiator.take(new)), (1, None), "on another core, and held back all the same");
    held.held = false;
    initiator.finish(new, &mut || held.step()).good();
    initiator.disconnect(again);
    held.rig.check_nothing_leaked();
}

#[test]
fn credits_of_too_many_orphans_come_back_when_the_device_does() {
    let mut held = Held::new(1, 4);
    let mut initiator = held.rig.initiator(1);
    let channel = held.rig.login(&mut initiator, MultiChannel::Single);
    held.rig.clear_attention(&mut initiator, channel, 0);
    held.held = true;
    // Reads raise no fence, so all of them reach the device.
    for _ in 0..6 {
        let read = initiator.start(channel, &Request::read(lun(0), 0, 8, BLOCK)).expect("a credit");
        held.run(10);
        assert_eq!(held.manage(&mut initiator, channel, Function::AbortTask, Some(read)), 0);
    }
    assert_eq!(held.at_device(), 6);
    assert_eq!(initiator.credits(channel).0, 2, "four orphans gave their credits back, two did not");
    held.held = false;
    for _ in 0..50 {
        held.step();
        initiator.poll();
    }
    assert_eq!(initiator.credits(channel).0, 4);
    initiator.disconnect(channel);
    held.rig.check_nothing_leaked();
}

#[test]
fn a_reset_by_another_initiator_ends_a_stuck_command_with_a_status() {
    let mut held = Held::new(2, 32);
    let (mut one, mut other) = (held.rig.initiator(1), held.rig.initiator(2));
    let one_channel = held.rig.login(&mut one, MultiChannel::Single);
    let other_channel = held.rig.login(&mut other, MultiChannel::Single);
    held.rig.clear_attention(&mut other, other_channel, 0);
    held.held = true;
    let write = held.write(&mut other, other_channel, 1);
    assert_eq!(held.manage(&mut one, one_channel, Function::LunReset, None), 0);
    let answer = other.finish(write, &mut || held.step()).answer();
    assert_eq!(answer.status, 0x40, "TASK ABORTED");
    assert_eq!(other.credits(other_channel).0, 32);
    held.held = false;
    held.step();
    one.disconnect(one_channel);
    other.disconnect(other_channel);
    held.rig.check_nothing_leaked();
}
