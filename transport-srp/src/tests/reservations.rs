//! Reservations of initiators on different cores: what they keep out, how fast, what survives what.

use std::sync::atomic::Ordering;

use fabric::sim::SimOptions;

use super::*;
use crate::testing::wire::Function;
use crate::testing::{Handle, MemoryStore, Outcome};

const GOOD: u8 = 0x00;
const CONFLICT: u8 = 0x18;
const TASK_ABORTED: u8 = 0x40;

const REGISTER: u8 = 0;
const RESERVE: u8 = 1;
const RELEASE: u8 = 2;
const PREEMPT: u8 = 4;
const PREEMPT_AND_ABORT: u8 = 5;
const IGNORE: u8 = 6;

const WRITE_EXCLUSIVE: u8 = 1;
const EXCLUSIVE_ACCESS: u8 = 3;
const WRITE_EXCLUSIVE_REGISTRANTS: u8 = 5;

const APTPL: u8 = 0x01;
const ALL_TG_PT: u8 = 0x04;

/// PERSISTENT RESERVE OUT.
fn out(action: u8, kind: u8, key: u64, action_key: u64, flags: u8) -> Request {
    let mut list = [key.to_be_bytes(), action_key.to_be_bytes(), [0; 8]].concat();
    list[20] = flags;
    Request::new(lun(0), [0x5f, action, kind, 0, 0, 0, 0, 0, 24, 0]).data_out(list)
}

fn reserve_6() -> Request {
    Request::new(lun(0), [0x16, 0, 0, 0, 0, 0])
}

fn release_10() -> Request {
    Request::new(lun(0), [0x57, 0, 0, 0, 0, 0, 0, 0, 0, 0])
}

fn write(seed: u8) -> Request {
    Request::write(lun(0), 0, BLOCK, pattern(4096, seed))
}

fn read() -> Request {
    Request::read(lun(0), 0, 8, BLOCK)
}

/// Two initiators on two cores at one unit, whose devices can be held.
struct Fight {
    rig: Rig,
    one: Initiator,
    two: Initiator,
    held: bool,
}

/// Whose turn it is.
#[derive(Clone, Copy)]
enum Who {
    One,
    Two,
}
use Who::{One, Two};

impl Fight {
    fn new() -> Fight {
        Fight::with(SimOptions::default(), |_| ())
    }

    fn with(options: SimOptions, prepare: impl FnOnce(&mut Rig)) -> Fight {
        let mut rig = Rig::new(41, 2, options, 32);
        prepare(&mut rig);
        rig.export(&malloc("ram0", 4096));
        let (one, two) = (rig.initiator(1), rig.initiator(2));
        let mut fight = Fight { rig, one, two, held: false };
        fight.login(One);
        fight.login(Two);
        fight
    }

    fn login(&mut self, who: Who) {
        let initiator = match who {
            One => &mut self.one,
            Two => &mut self.two,
        };
        let channel = self.rig.login(initiator, MultiChannel::Single);
        // A fresh unit attention, whatever is reserved.
        self.rig.execute(initiator, channel, &Request::test_unit_ready(lun(0)));
    }

    fn step(&mut self) {
        for group in &mut self.rig.groups {
            group.devices_held = self.held;
        }
        self.rig.step();
    }

    fn run(&mut self, rounds: usize) {
        for _ in 0..rounds {
            self.step();
            self.one.poll();
            self.two.poll();
        }
    }

    fn initiator(&mut self, who: Who) -> &mut Initiator {
        match who {
            One => &mut self.one,
            Two => &mut self.two,
        }
    }

    fn start(&mut self, who: Who, request: &Request) -> Handle {
        let initiator = self.initiator(who);
        let channel = initiator.last_channel();
        initiator.start(channel, request).expect("a credit")
    }

    /// What became of a request; `None` if nothing yet.
    fn taken(&mut self, who: Who, handle: Handle) -> Option<crate::testing::Answer> {
        self.initiator(who).take(handle).map(Outcome::answer)
    }

    fn finish(&mut self, who: Who, handle: Handle) -> crate::testing::Answer {
        for _ in 0..10_000 {
            self.run(1);
            if let Some(answer) = self.taken(who, handle) {
                return answer;
            }
        }
        panic!("{handle:?} does not end");
    }

    fn answer(&mut self, who: Who, request: &Request) -> crate::testing::Answer {
        let handle = self.start(who, request);
        self.finish(who, handle)
    }

    fn status(&mut self, who: Who, request: &Request) -> u8 {
        self.answer(who, request).status
    }

    /// Asserts that a command ends with a unit attention of these codes.
    fn attention(&mut self, who: Who, asc: u8, ascq: u8) {
        let answer = self.answer(who, &Request::test_unit_ready(lun(0)));
        assert_eq!(answer.key_and_code(), Some((6, asc, ascq)), "{answer:?}");
    }

    fn manage(&mut self, who: Who, function: Function) {
        let initiator = self.initiator(who);
        let channel = initiator.last_channel();
        let handle = initiator.manage(channel, function, lun(0), None).expect("a credit");
        assert_eq!(self.finish(who, handle).code, Some(0));
    }

    /// Both are registered, with keys 1 and 2.
    fn register_both(&mut self) {
        assert_eq!(self.status(One, &out(REGISTER, 0, 0, 1, 0)), GOOD);
        assert_eq!(self.status(Two, &out(REGISTER, 0, 0, 2, 0)), GOOD);
    }

    fn end(mut self) {
        self.held = false;
        self.run(50);
        for who in [One, Two] {
            let initiator = self.initiator(who);
            let channel = initiator.last_channel();
            initiator.disconnect(channel);
        }
        assert_eq!(self.rig.network.violations(), vec![]);
        self.rig.check_nothing_leaked();
    }
}

#[test]
fn who_does_not_hold_the_reservation_is_kept_out_at_once_and_let_in_again() {
    let mut fight = Fight::new();
    fight.register_both();
    assert_eq!(fight.status(One, &out(RESERVE, WRITE_EXCLUSIVE, 1, 0, 0)), GOOD);
    assert_eq!((fight.status(Two, &write(9)), fight.status(Two, &read())), (CONFLICT, GOOD));
    assert_eq!(fight.status(One, &write(1)), GOOD);
    assert_eq!(fight.status(Two, &out(RESERVE, WRITE_EXCLUSIVE, 2, 0, 0)), CONFLICT);
    assert_eq!(fight.status(One, &out(RELEASE, WRITE_EXCLUSIVE, 1, 0, 0)), GOOD);
    assert_eq!(fight.status(Two, &write(2)), GOOD);
    assert_eq!(fight.status(One, &out(RESERVE, EXCLUSIVE_ACCESS, 1, 0, 0)), GOOD);
    assert_eq!((fight.status(Two, &write(9)), fight.status(Two, &read())), (CONFLICT, CONFLICT));
    assert_eq!(fight.status(Two, &Request::test_unit_ready(lun(0))), GOOD);
    assert_eq!(fight.answer(One, &read()).data, pattern(4096, 2));
    fight.end();
}

#[test]
fn unit_attentions_go_to_those_who_are_concerned_and_behind_the_conflict() {
    let mut fight = Fight::new();
    fight.register_both();
    assert_eq!(fight.status(Two, &out(RESERVE, WRITE_EXCLUSIVE_REGISTRANTS, 2, 0, 0)), GOOD);
    assert_eq!(fight.status(One, &out(PREEMPT, WRITE_EXCLUSIVE_REGISTRANTS, 1, 2, 0)), GOOD);
    // SAM-5, Status precedence: the conflict goes before it, and does not take it away.
    assert_eq!(fight.status(Two, &write(9)), CONFLICT);
    fight.attention(Two, 0x2a, 0x05);
    assert_eq!(fight.status(Two, &Request::test_unit_ready(lun(0))), GOOD, "once");
    assert_eq!(fight.status(Two, &out(IGNORE, 0, 0, 3, 0)), GOOD);
    assert_eq!(fight.status(One, &out(REGISTER, 0, 1, 0, 0)), GOOD, "the holder goes");
    fight.attention(Two, 0x2a, 0x04);
    assert_eq!(fight.status(One, &write(1)), GOOD);
    fight.end();
}

#[test]
fn preempt_and_abort_is_answered_while_the_device_is_stuck_and_nothing_lands_on_top_of_what_follows() {
    let mut fight = Fight::new();
    fight.register_both();
    assert_eq!(fight.status(Two, &out(RESERVE, WRITE_EXCLUSIVE_REGISTRANTS, 2, 0, 0)), GOOD);
    fight.held = true;
    let stuck = fight.start(Two, &write(2));
    fight.run(20);
    assert_eq!(fight.taken(Two, stuck), None);
    assert_eq!(fight.status(One, &out(PREEMPT_AND_ABORT, WRITE_EXCLUSIVE_REGISTRANTS, 1, 2, 0)), GOOD);
    assert_eq!(fight.finish(Two, stuck).status, TASK_ABORTED);
    assert_eq!(fight.status(Two, &write(3)), CONFLICT);
    let new = fight.start(One, &write(1));
    fight.run(50);
    assert_eq!(fight.taken(One, new), None, "the fence holds it back until the old one is done");
    fight.held = false;
    assert_eq!(fight.finish(One, new).status, GOOD);
    assert_eq!(fight.answer(One, &read()).data, pattern(4096, 1));
    fight.attention(Two, 0x2a, 0x05);
    fight.end();
}

#[test]
fn a_write_whose_data_is_still_being_fetched_does_not_outlive_its_registration() {
    let delay = Duration::from_millis(1);
    let slow = SimOptions { read_delay: delay..=delay, ..SimOptions::default() };
    let mut fight = Fight::with(slow, |_| ());
    fight.register_both();
    assert_eq!(fight.status(Two, &out(RESERVE, WRITE_EXCLUSIVE_REGISTRANTS, 2, 0, 0)), GOOD);
    // The parameter list is fetched as well: it comes first, in the middle of the other fetch.
    let preempt = fight.start(One, &out(PREEMPT_AND_ABORT, WRITE_EXCLUSIVE_REGISTRANTS, 1, 2, 0));
    fight.run(200);
    let late = fight.start(Two, &Request::write(lun(0), 0, BLOCK, pattern(65536, 2)));
    assert_eq!(fight.finish(Two, late).status, TASK_ABORTED);
    assert_eq!(fight.finish(One, preempt).status, GOOD);
    assert_eq!(fight.answer(One, &read()).data, vec![0; 4096], "nothing was written");
    fight.end();
}

/// Each aborts the commands of the other, its PREEMPT AND ABORT included: neither may wait for the other for ever. The second registers anew in
/// front of its own, so nothing but that it is being preempted stands in its way.
#[test]
fn two_who_preempt_each_other_are_both_answered_and_one_wins() {
    for (first, second) in [(One, Two), (Two, One)] {
        let mut fight = Fight::new();
        let key = |who| if matches!(who, One) { 1 } else { 2 };
        let preempt = |by, other| out(PREEMPT_AND_ABORT, WRITE_EXCLUSIVE, key(by), key(other), 0);
        fight.register_both();
        let attempt = fight.start(first, &preempt(first, second));
        fight.start(second, &out(IGNORE, 0, 0, key(second), 0));
        let attempts = [(first, attempt), (second, fight.start(second, &preempt(second, first)))];
        let ends = attempts.map(|(who, attempt)| fight.finish(who, attempt).status);
        // Whose core is asked first is not for this test to say.
        let (winner, loser) = if ends[0] == GOOD { (first, second) } else { (second, first) };
        assert_eq!(ends.iter().filter(|status| **status == GOOD).count(), 1, "{ends:02x?}");
        fight.attention(loser, 0x2a, 0x05);
        let registrations = fight.rig.controller.reservations()[0].reservations.registrations().to_vec();
        assert_eq!(registrations.iter().map(|it| it.key).collect::<Vec<_>>(), [key(winner)]);
        fight.end();
    }
}

#[test]
fn registrations_outlive_sessions_and_resets_and_reservations_of_spc_2_do_not() {
    let mut fight = Fight::new();
    assert_eq!(fight.status(Two, &reserve_6()), GOOD);
    assert_eq!((fight.status(One, &write(1)), fight.status(One, &read())), (CONFLICT, CONFLICT));
    assert_eq!(fight.status(One, &Request::test_unit_ready(lun(0))), CONFLICT, "SPC-2 lets even less pass");
    assert_eq!(fight.status(One, &Request::inquiry(lun(0), None, 36)), GOOD);
    assert_eq!(fight.status(One, &reserve_6()), CONFLICT);
    assert_eq!(fight.status(One, &release_10()), GOOD, "no error, and no effect");
    for who in [One, Two] {
        assert_eq!(fight.status(who, &out(REGISTER, 0, 0, 1, 0)), CONFLICT);
    }
    fight.manage(One, Function::LunReset);
    fight.attention(One, 0x29, 0x03);
    fight.attention(Two, 0x29, 0x03);
    assert_eq!(fight.status(One, &write(1)), GOOD);
    assert_eq!(fight.status(One, &reserve_6()), GOOD);
    fight.login(One);
    assert_eq!(fight.status(Two, &write(2)), GOOD, "the nexus was lost, and the reservation with it");

    fight.register_both();
    assert_eq!(fight.status(Two, &reserve_6()), CONFLICT, "somebody is registered");
    assert_eq!(fight.status(One, &out(RESERVE, WRITE_EXCLUSIVE, 1, 0, 0)), GOOD);
    assert_eq!(
        (fight.status(One, &reserve_6()), fight.status(One, &release_10())),
        (GOOD, GOOD),
        "it has what it asks for"
    );
    assert_eq!((fight.status(Two, &reserve_6()), fight.status(Two, &release_10())), (CONFLICT, CONFLICT));
    fight.manage(Two, Function::LunReset);
    fight.attention(One, 0x29, 0x03);
    fight.attention(Two, 0x29, 0x03);
    fight.login(One);
    fight.login(Two);
    assert_eq!((fight.status(One, &write(1)), fight.status(Two, &write(2))), (GOOD, CONFLICT));
    fight.end();
}

#[test]
fn a_reservation_of_spc_2_goes_with_the_lun() {
    let mut fight = Fight::with(SimOptions::default(), |rig| {
        rig.controller.create_target("tgt1", ID_EXT, IOC_GUID + 1).expect("a target");
    });
    let bdev = Arc::clone(fight.rig.controller.targets()[0].luns[0].unit.bdev());
    fight.rig.controller.add_lun("tgt1", &bdev, &LunOptions::default()).expect("a LUN");
    assert_eq!(fight.status(One, &reserve_6()), GOOD);
    assert!(fight.rig.controller.reservations()[0].reservations.reserved_by().is_some());
    fight.rig.controller.remove_lun("tgt0", 0).expect("removed");
    fight.run(5);
    assert_eq!(fight.rig.controller.reservations()[0].reservations.reserved_by(), None);
    fight.end();
}

#[test]
fn all_target_ports_are_those_that_have_the_unit() {
    let mut fight = Fight::with(SimOptions::default(), |rig| {
        rig.controller.create_target("tgt1", ID_EXT, IOC_GUID + 1).expect("a target");
        rig.controller.create_target("tgt2", ID_EXT, IOC_GUID + 2).expect("a target");
    });
    let bdev = Arc::clone(fight.rig.controller.targets()[0].luns[0].unit.bdev());
    fight.rig.controller.add_lun("tgt1", &bdev, &LunOptions::default()).expect("a LUN");
    fight.rig.controller.add_lun("tgt2", &malloc("other", 4096), &LunOptions::default()).expect("a LUN");
    assert_eq!(fight.status(One, &out(REGISTER, 0, 0, 1, ALL_TG_PT)), GOOD);
    let status = Request::new(lun(0), [0x5e, 3, 0, 0, 0, 0, 0, 2, 0, 0]).data_in(512);
    let data = fight.answer(One, &status).used().to_vec();
    let ports: Vec<u8> = data[8..].chunks(48).map(|descriptor| descriptor[19]).collect();
    assert_eq!(ports, [1, 2]);
    // The same initiator, through the other target: it is registered there.
    let mut port = initiator_options(1);
    port.target_port[15] += 1;
    let mut again = Initiator::new(&fight.rig.network, port);
    let channel = fight.rig.login(&mut again, MultiChannel::Single);
    fight.rig.clear_attention(&mut again, channel, 0);
    let reserve = out(RESERVE, WRITE_EXCLUSIVE, 1, 0, 0);
    assert_eq!(fight.rig.execute(&mut again, channel, &reserve).answer().status, GOOD);
    assert_eq!(fight.status(One, &write(1)), CONFLICT, "another nexus holds it");
    again.disconnect(channel);
    fight.run(20);
    fight.end();
}

#[test]
fn answers_are_cut_to_what_the_cdb_allows_and_say_how_long_they_are() {
    let mut fight = Fight::new();
    fight.register_both();
    let keys = Request::new(lun(0), [0x5e, 0, 0, 0, 0, 0, 0, 0, 12, 0]).data_in(64);
    assert_eq!(fight.answer(One, &keys).used(), [0, 0, 0, 2, 0, 0, 0, 16, 0, 0, 0, 0]);
    let none = Request::new(lun(0), [0x5e, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(fight.status(One, &none), GOOD);
    fight.end();
}

#[test]
fn what_is_to_persist_is_kept_before_the_answer_and_found_again() {
    let store = MemoryStore::default();
    let with_store = |rig: &mut Rig| rig.controller.set_store(Box::new(store.clone()));
    let mut fight = Fight::with(SimOptions::default(), with_store);
    assert_eq!(fight.status(One, &out(REGISTER, 0, 0, 1, APTPL)), GOOD);
    assert_eq!(fight.status(One, &out(RESERVE, WRITE_EXCLUSIVE, 1, 0, 0)), GOOD);
    store.fails.store(true, Ordering::Relaxed);
    let answer = fight.answer(One, &out(RELEASE, WRITE_EXCLUSIVE, 1, 0, 0));
    assert_eq!(answer.key_and_code(), Some((4, 0x44, 0)), "INTERNAL TARGET FAILURE");
    assert_eq!(fight.status(Two, &write(2)), CONFLICT, "nothing was done");
    store.fails.store(false, Ordering::Relaxed);
    let kept = |store: &MemoryStore| store.saved.lock().expect("a lock").values().next().cloned().expect("one unit");
    let reserved = kept(&store);
    assert_eq!(fight.status(One, &out(RELEASE, WRITE_EXCLUSIVE, 1, 0, 0)), GOOD);
    assert_ne!(kept(&store), reserved, "the second attempt is kept");
    assert_eq!(fight.status(One, &out(RESERVE, WRITE_EXCLUSIVE, 1, 0, 0)), GOOD);
    drop(fight);

    let mut fight = Fight::with(SimOptions::default(), with_store);
    assert_eq!((fight.status(One, &write(1)), fight.status(Two, &write(2))), (GOOD, CONFLICT));
    assert!(fight.rig.controller.clear_reservations("ram0").expect("cleared"));
    fight.attention(One, 0x2a, 0x03);
    assert_eq!(fight.status(Two, &write(2)), GOOD);
    assert!(!fight.rig.controller.clear_reservations("ram0").expect("nothing to be cleared"));
    drop(fight);

    let fight = Fight::with(SimOptions::default(), with_store);
    assert!(fight.rig.controller.reservations()[0].reservations.registrations().is_empty());
    fight.end();
}

/// A registration that was under way when the last LUN of its unit was removed wrote its state over that of the unit's successor.
#[test]
fn a_registration_does_not_come_too_late_for_its_unit() {
    let store = MemoryStore::default();
    let delay = Duration::from_millis(1);
    let slow = SimOptions { read_delay: delay..=delay, ..SimOptions::default() };
    let mut fight = Fight::with(slow, |rig| rig.controller.set_store(Box::new(store.clone())));
    let late = fight.start(One, &out(REGISTER, 0, 0, 1, APTPL));
    fight.run(20);
    let bdev = Arc::clone(fight.rig.controller.targets()[0].luns[0].unit.bdev());
    fight.rig.controller.remove_lun("tgt0", 0).expect("removed");
    fight.rig.controller.add_lun("tgt0", &bdev, &LunOptions::default()).expect("exported anew");
    assert_eq!(fight.finish(One, late).key_and_code(), Some((5, 0x25, 0)), "LOGICAL UNIT NOT SUPPORTED");
    assert!(store.saved.lock().expect("a lock").is_empty());
    fight.end();
}

#[test]
fn a_unit_whose_reservations_are_damaged_is_not_exported() {
    let store = MemoryStore::default();
    let mut rig = Rig::new(41, 1, SimOptions::default(), 32);
    rig.controller.set_store(Box::new(store.clone()));
    store.fails.store(true, Ordering::Relaxed);
    let error = rig.controller.add_lun("tgt0", &malloc("ram0", 4096), &LunOptions::default()).expect_err("refused");
    assert!(error.to_string().contains("bdev_name: the file is damaged"), "{error}");
    assert!(rig.controller.reservations().is_empty());
}

#[test]
fn without_a_place_to_keep_it_persistence_is_refused() {
    let mut fight = Fight::new();
    let answer = fight.answer(One, &out(REGISTER, 0, 0, 1, APTPL));
    assert_eq!(answer.key_and_code(), Some((5, 0x26, 0)), "INVALID FIELD IN PARAMETER LIST");
    assert_eq!(&answer.sense[15..18], &[0x88, 0, 20], "bit 0 of byte 20 of the list");
    fight.end();
}
