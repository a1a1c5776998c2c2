//! Target port groups through the whole target: two targets are two paths to the same disk.

use std::collections::BTreeMap;
use std::sync::Mutex;

use fabric::sim::SimOptions;
use scsi::alua::{AccessModes, AccessState};
use scsi::{Saved, Store, StoreError};

use super::*;
use crate::testing::Answer;
use crate::{AdminError, PortGroupOptions, StateChange};

const STATE_CHANGED: (u8, u8, u8) = (6, 0x2a, 0x06);
const TRANSITION_FAILED: (u8, u8, u8) = (6, 0x2a, 0x07);
const INQUIRY_CHANGED: (u8, u8, u8) = (6, 0x3f, 0x03);
const TRANSITION: (u8, u8, u8) = (2, 0x04, 0x0a);
const STANDBY: (u8, u8, u8) = (2, 0x04, 0x0b);
const UNAVAILABLE: (u8, u8, u8) = (2, 0x04, 0x0c);
const OFFLINE: (u8, u8, u8) = (2, 0x04, 0x12);
const BOTH: AccessModes = AccessModes { implicit: true, explicit: true };

/// `tgt0` in group 1 and `tgt1` in group 2 with the same two disks, and an initiator that is logged in to both.
struct Scene {
    rig: Rig,
    paths: [Initiator; 2],
    channels: [usize; 2],
}

/// Where units keep things, in memory.
#[derive(Default, Clone)]
struct Memory(Arc<Mutex<BTreeMap<u64, Saved>>>);

impl Store for Memory {
    fn load(&self, naa: u64) -> Result<Saved, StoreError> {
        Ok(self.0.lock().expect("no panic").get(&naa).cloned().unwrap_or_default())
    }

    fn save(&self, naa: u64, saved: &Saved) -> Result<(), StoreError> {
        self.0.lock().expect("no panic").insert(naa, saved.clone());
        Ok(())
    }
}

fn rig(store: &Memory) -> Rig {
    let mut rig = Rig::new(51, 2, SimOptions::jittery(), 16);
    rig.controller.set_store(Box::new(store.clone()));
    rig.controller.create_target("tgt1", ID_EXT + 1, IOC_GUID).expect("a target");
    for disk in [malloc("disk0", 64), malloc("disk1", 64)] {
        for target in ["tgt0", "tgt1"] {
            rig.controller.add_lun(target, &disk, &LunOptions::default()).expect("a LUN");
        }
    }
    rig
}

fn make_groups(rig: &mut Rig) {
    for (group, target, id) in [("one", "tgt0", 1), ("two", "tgt1", 2)] {
        let options = PortGroupOptions { id: Some(id), modes: BOTH, ..Default::default() };
        rig.controller.create_port_group(group, &options).expect("a group");
        rig.controller.port_group_add_target(group, target).expect("a member");
    }
}

impl Scene {
    fn new() -> Scene {
        let mut rig = rig(&Memory::default());
        make_groups(&mut rig);
        Scene::on(rig)
    }

    fn on(mut rig: Rig) -> Scene {
        let mut other = initiator_options(1);
        other.target_port[7] += 1;
        let mut paths = [rig.initiator(1), Initiator::new(&rig.network, other)];
        let channels = [0, 1].map(|path| rig.login(&mut paths[path], MultiChannel::Single));
        let mut scene = Scene { rig, paths, channels };
        scene.settle();
        scene
    }

    fn execute(&mut self, path: usize, request: &Request) -> Answer {
        self.rig.execute(&mut self.paths[path], self.channels[path], request).answer()
    }

    /// Sense of TEST UNIT READY, if it has one.
    fn sense(&mut self, path: usize, number: u16) -> Option<(u8, u8, u8)> {
        self.execute(path, &Request::test_unit_ready(lun(number))).key_and_code()
    }

    /// Both paths, the same LUN.
    fn senses(&mut self, number: u16) -> [Option<(u8, u8, u8)>; 2] {
        [0, 1].map(|path| self.sense(path, number))
    }

    /// Takes every unit attention.
    fn settle(&mut self) {
        for (path, number) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            while matches!(self.sense(path, number), Some((6, ..))) {}
        }
    }

    fn set(&mut self, group: &str, state: AccessState) {
        let change = StateChange { state: Some(state), ..Default::default() };
        self.rig.controller.set_port_group_state(group, &change).expect("a state");
    }

    /// Number, state, status and ports of each group, as a path is told. Takes the unit attentions of that path.
    fn groups(&mut self, path: usize, number: u16) -> Vec<(u16, u8, u8, Vec<u16>)> {
        let cdb = [0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
        let answer = loop {
            let answer = self.execute(path, &Request::new(lun(number), cdb).data_in(256));
            match answer.key_and_code() {
                None => break answer,
                Some((6, ..)) => {}
                Some(sense) => panic!("it is answered in every state, not with {sense:02x?}"),
            }
        };
        let be16 = |bytes: &[u8]| u16::from_be_bytes([bytes[0], bytes[1]]);
        let total = be16(&answer.data[2..]);
        let (mut rest, mut groups) = (&answer.data[4..4 + usize::from(total)], Vec::new());
        while !rest.is_empty() {
            let end = 8 + 4 * usize::from(rest[7]);
            let ports = rest[8..end].chunks(4).map(|port| be16(&port[2..])).collect();
            groups.push((be16(&rest[2..]), rest[0], rest[5], ports));
            rest = &rest[end..];
        }
        groups
    }

    fn set_groups(&mut self, path: usize, number: u16, list: &[(u8, u16)]) -> Answer {
        let mut bytes = vec![0; 4];
        for (state, group) in list {
            let [high, low] = group.to_be_bytes();
            bytes.extend([*state, 0, high, low]);
        }
        let len = u8::try_from(bytes.len()).expect("short");
        let cdb = [0xa4, 0x0a, 0, 0, 0, 0, 0, 0, 0, len, 0, 0];
        self.execute(path, &Request::new(lun(number), cdb).data_out(bytes))
    }

    fn end(mut self) {
        for (path, channel) in self.paths.iter_mut().zip(self.channels) {
            path.disconnect(channel);
        }
        self.rig.check_nothing_leaked();
    }
}

#[test]
fn each_path_has_the_state_of_its_group_and_everybody_is_told_of_a_change() {
    let mut scene = Scene::new();
    assert_eq!(scene.groups(0, 0), [(1, 0, 0, vec![1]), (2, 0, 0, vec![2])]);
    for (state, code, refused) in [
        (AccessState::NonOptimized, 0x1, None),
        (AccessState::Standby, 0x2, Some(STANDBY)),
        (AccessState::Unavailable, 0x3, Some(UNAVAILABLE)),
        (AccessState::Offline, 0xe, Some(OFFLINE)),
        (AccessState::Transitioning, 0xf, Some(TRANSITION)),
    ] {
        scene.set("two", state);
        for number in [0, 1] {
            assert_eq!(scene.senses(number), [Some(STATE_CHANGED); 2], "{state:?}");
            assert_eq!(scene.senses(number), [None, refused], "{state:?}");
        }
        assert_eq!(scene.groups(1, 0), [(1, 0, 0, vec![1]), (2, code, 2, vec![2])], "through the path itself");
        let read = scene.execute(1, &Request::read(lun(0), 0, 1, BLOCK)).key_and_code();
        assert_eq!(read, refused);
        assert_eq!(scene.execute(1, &Request::inquiry(lun(0), None, 36)).status, 0);
        assert_eq!(scene.execute(0, &Request::read(lun(0), 0, 1, BLOCK)).status, 0);
    }
    scene.end();
}

#[test]
fn an_initiator_sets_states_of_its_unit_and_the_others_are_told() {
    let mut scene = Scene::new();
    assert_eq!(scene.set_groups(0, 0, &[(1, 1), (2, 2)]).status, 0);
    assert_eq!(scene.senses(0), [None, Some(STATE_CHANGED)], "it knows itself what it did");
    assert_eq!((scene.senses(0), scene.senses(1)), ([None, Some(STANDBY)], [None, None]));
    assert_eq!(scene.groups(0, 0), [(1, 1, 1, vec![1]), (2, 2, 1, vec![2])]);
    assert_eq!(scene.groups(0, 1), [(1, 0, 0, vec![1]), (2, 0, 0, vec![2])], "another unit");
    // Through the standby path, as multipathing does it when the other has gone.
    assert_eq!(scene.set_groups(1, 0, &[(0, 2)]).status, 0);
    assert_eq!(scene.senses(0), [Some(STATE_CHANGED), None]);
    assert_eq!(scene.set_groups(1, 0, &[(0, 2)]).status, 0);
    assert_eq!(scene.senses(0), [None, None], "nothing changed");
    for (list, sense) in
        [(&[(0, 1), (0, 7)][..], (5, 0x26, 0)), (&[(0xe, 1)], (5, 0x26, 0)), (&[(0xf, 1)], (5, 0x26, 0))]
    {
        assert_eq!(scene.set_groups(0, 0, list).key_and_code(), Some(sense));
    }
    assert_eq!(scene.groups(0, 0), [(1, 1, 1, vec![1]), (2, 0, 1, vec![2])], "all or nothing");
    scene.end();
}

#[test]
fn the_latest_word_counts() {
    let mut scene = Scene::new();
    assert_eq!(scene.set_groups(0, 0, &[(2, 2)]).status, 0);
    let one = StateChange { state: Some(AccessState::Unavailable), bdev: Some("disk0"), ..Default::default() };
    scene.rig.controller.set_port_group_state("two", &one).expect("a state");
    assert_eq!(scene.groups(0, 0)[1], (2, 3, 2, vec![2]));
    let units = &scene.rig.controller.port_groups()[1].units;
    assert_eq!((units.len(), units[0].by_initiator, units[0].state), (1, false, AccessState::Unavailable));
    assert_eq!(scene.set_groups(0, 0, &[(1, 2)]).status, 0);
    assert_eq!(scene.groups(0, 0)[1], (2, 1, 1, vec![2]));
    assert!(scene.rig.controller.port_groups()[1].units[0].by_initiator);
    scene.set("two", AccessState::Standby);
    assert_eq!(scene.groups(0, 0)[1], (2, 2, 2, vec![2]));
    assert!(scene.rig.controller.port_groups()[1].units.is_empty(), "what single units had is over");
    scene.end();
}

#[test]
fn a_unit_goes_back_to_the_state_of_its_group_and_everybody_is_told() {
    let mut scene = Scene::new();
    let one = StateChange { state: Some(AccessState::Unavailable), bdev: Some("disk0"), ..Default::default() };
    scene.rig.controller.set_port_group_state("two", &one).expect("a state");
    scene.settle();
    assert_eq!(scene.groups(0, 0)[1].1, 3);
    let own = scene.senses(1);
    scene.rig.controller.clear_unit_state("two", "disk0").expect("a state");
    assert_eq!(scene.senses(0), [Some((6, 0x2a, 0x06)), Some((6, 0x2a, 0x06))]);
    assert_eq!(scene.senses(1), own, "the other unit's path is as it was");
    assert_eq!(scene.groups(0, 0)[1].1, scene.groups(0, 1)[1].1);
    assert!(scene.rig.controller.port_groups()[1].units.is_empty());
    // What an initiator set as well.
    assert_eq!(scene.set_groups(0, 0, &[(2, 2)]).status, 0);
    scene.rig.controller.clear_unit_state("two", "disk0").expect("a state");
    assert_eq!(scene.groups(0, 0)[1].1, scene.groups(0, 1)[1].1);
    scene.end();
}

#[test]
fn a_transition_takes_its_time_and_is_told_of_at_its_end() {
    let mut scene = Scene::new();
    let transition = Duration::from_micros(3_500);
    let change = StateChange { state: Some(AccessState::NonOptimized), transition, ..Default::default() };
    scene.rig.controller.set_port_group_state("two", &change).expect("a state");
    assert_eq!(scene.senses(0), [None, Some(TRANSITION)], "nobody is told yet");
    assert_eq!(scene.groups(1, 0)[1], (2, 0xf, 2, vec![2]));
    assert_eq!(scene.set_groups(0, 0, &[(0, 2)]).key_and_code(), Some((4, 0x67, 0x0a)), "not by two at once");
    assert_eq!(scene.set_groups(1, 0, &[(0, 2)]).key_and_code(), Some(TRANSITION), "not through the path itself");
    let extended = [0xa3, 0x2a, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0];
    let answer = scene.execute(0, &Request::new(lun(0), extended).data_in(1024));
    assert_eq!(answer.data[4..6], [0x10, 1], "IMPLICIT TRANSITION TIME in whole seconds");
    let info = &scene.rig.controller.port_groups()[1];
    assert_eq!((info.state, info.next), (AccessState::Transitioning, Some(AccessState::NonOptimized)));
    for _ in 0..2000 {
        scene.rig.step();
    }
    assert_eq!((scene.senses(0), scene.senses(0)), ([Some(STATE_CHANGED); 2], [None; 2]));
    assert_eq!(scene.groups(1, 0)[1], (2, 1, 2, vec![2]));
    scene.end();
}

#[test]
fn a_later_word_ends_a_transition() {
    let mut scene = Scene::new();
    let transition = Duration::from_micros(500);
    let change = StateChange { state: Some(AccessState::Offline), transition, ..Default::default() };
    scene.rig.controller.set_port_group_state("two", &change).expect("a state");
    scene.set("two", AccessState::Standby);
    scene.rig.run(1000);
    assert_eq!(scene.groups(0, 0)[1].1, 2, "the transition would have ended in offline");
    scene.end();
}

/// A cluster's software tried a failover, and it did not work.
#[test]
fn a_transition_that_is_taken_back_has_failed_and_initiators_are_told() {
    let mut scene = Scene::new();
    scene.set("two", AccessState::Standby);
    scene.settle();
    for (bdev, others) in [(None, STANDBY), (Some("disk0"), STANDBY)] {
        let transition = Duration::from_secs(60);
        let change = |state| StateChange { state: Some(state), bdev, transition, ..Default::default() };
        scene.rig.controller.set_port_group_state("two", &change(AccessState::NonOptimized)).expect("a state");
        scene.rig.controller.set_port_group_state("two", &change(AccessState::Optimized)).expect("another goal");
        assert_eq!(scene.sense(1, 0), Some(TRANSITION));
        let back = StateChange { transition: Duration::ZERO, ..change(AccessState::Standby) };
        scene.rig.controller.set_port_group_state("two", &back).expect("a state");
        assert_eq!(scene.senses(0), [Some(TRANSITION_FAILED); 2]);
        assert_eq!(scene.senses(0), [None, Some(STANDBY)], "and it is over");
        let told = if bdev.is_none() { Some(TRANSITION_FAILED) } else { None };
        assert_eq!(scene.senses(1), [told, told.or(Some(others))]);
        scene.settle();
    }
    scene
        .rig
        .controller
        .set_port_group_state("two", &StateChange { preferred: Some(true), ..Default::default() })
        .expect("PREF");
    assert_eq!((scene.groups(0, 0)[1].1, scene.senses(1)), (0x82, [None, Some(STANDBY)]), "nothing to be told of");
    scene.end();
}

#[test]
fn a_session_that_comes_later_finds_the_state_and_nothing_to_be_told_twice() {
    let mut rig = rig(&Memory::default());
    make_groups(&mut rig);
    let change = StateChange { state: Some(AccessState::Standby), ..Default::default() };
    rig.controller.set_port_group_state("one", &change).expect("a state");
    let mut initiator = rig.initiator(1);
    let channel = rig.login(&mut initiator, MultiChannel::Single);
    let told: Vec<_> = (0..2)
        .map(|_| rig.execute(&mut initiator, channel, &Request::test_unit_ready(lun(0))).answer().key_and_code())
        .collect();
    assert_eq!(told, [Some((6, 0x29, 0)), Some(STANDBY)]);
    let standard = rig.execute(&mut initiator, channel, &Request::inquiry(lun(0), None, 36)).good();
    assert_eq!(standard.data[5] & 0x30, 0x30, "TPGS");
    initiator.disconnect(channel);
    rig.check_nothing_leaked();
}

#[test]
fn without_groups_nothing_is_told_of_them_and_a_first_one_is_news() {
    let mut scene = Scene::on(rig(&Memory::default()));
    let tpgs = |scene: &mut Scene| scene.execute(0, &Request::inquiry(lun(0), None, 36)).data[5] & 0x30;
    assert_eq!(tpgs(&mut scene), 0);
    assert_eq!(scene.groups(0, 0), [(0, 0, 0, vec![1, 2])], "the default group");
    assert_eq!(scene.set_groups(0, 0, &[(0, 0)]).key_and_code(), Some((5, 0x24, 0)));
    let modes = AccessModes { implicit: false, explicit: true };
    let options = PortGroupOptions { preferred: true, modes, ..Default::default() };
    scene.rig.controller.create_port_group("g", &options).expect("a group");
    assert_eq!(tpgs(&mut scene), 0x10, "another group may come");
    scene.settle();
    scene.rig.controller.port_group_add_target("g", "tgt0").expect("a member");
    assert_eq!(scene.senses(0), [Some(STATE_CHANGED); 2]);
    assert_eq!(scene.senses(0), [Some(INQUIRY_CHANGED), None]);
    assert_eq!(tpgs(&mut scene), 0x20);
    assert_eq!(scene.groups(0, 0), [(0, 0, 0, vec![2]), (1, 0x80, 0, vec![1])]);
    let change = StateChange { state: Some(AccessState::Standby), ..Default::default() };
    let error = scene.rig.controller.set_port_group_state("g", &change).expect_err("explicit only");
    assert!(error.to_string().contains("`implicit` false"), "{error}");
    scene.rig.controller.port_group_remove_target("g", "tgt0").expect("a member");
    scene.rig.controller.delete_port_group("g").expect("a group");
    assert_eq!(scene.groups(0, 0), [(0, 0, 0, vec![1, 2])]);
    scene.end();
}

/// A cluster's software set them, and the process is started again.
#[test]
fn what_initiators_set_survives_a_restart_and_what_nobody_could_set_does_not() {
    let store = Memory::default();
    let mut scene = Scene::on({
        let mut rig = rig(&store);
        make_groups(&mut rig);
        rig
    });
    assert_eq!(scene.set_groups(0, 0, &[(2, 1), (3, 2)]).status, 0);
    scene.end();
    for saved in store.0.lock().expect("no panic").values_mut() {
        saved.access_states.insert(9, AccessState::Transitioning);
    }
    let mut scene = Scene::on({
        let mut rig = rig(&store);
        make_groups(&mut rig);
        let options = PortGroupOptions { id: Some(9), modes: BOTH, ..Default::default() };
        rig.controller.create_port_group("nine", &options).expect("a group");
        rig
    });
    assert_eq!((scene.senses(0), scene.senses(1)), ([Some(STANDBY), Some(UNAVAILABLE)], [None, None]));
    scene.rig.controller.port_group_add_target("nine", "tgt1").expect("a member");
    scene.settle();
    assert_eq!(scene.senses(0), [Some(STANDBY), None], "a state that cannot have been set");
    scene.rig.controller.delete_port_group("one").expect("a group");
    let saved = store.0.lock().expect("no panic").values().filter(|saved| saved.access_states.contains_key(&1)).count();
    assert_eq!(saved, 0, "a group of that number that is made later begins anew");
    scene.end();
}

#[test]
fn mistakes_are_named() {
    let mut rig = rig(&Memory::default());
    make_groups(&mut rig);
    let change = |state| StateChange { state: Some(state), ..Default::default() };
    let group = |id, modes| PortGroupOptions { id, modes, ..Default::default() };
    let control = &mut rig.controller;
    let results = [
        (control.create_port_group("one", &group(None, BOTH)), "name: "),
        (control.create_port_group("", &group(None, BOTH)), "name: "),
        (control.create_port_group("default", &group(None, BOTH)), "name: "),
        (control.create_port_group("x", &group(Some(2), BOTH)), "id: "),
        (control.create_port_group("x", &group(Some(0), BOTH)), "id: "),
        (control.create_port_group("x", &group(None, AccessModes::default())), "implicit, explicit: "),
        (control.delete_port_group("x"), "name: "),
        (control.port_group_add_target("x", "tgt0"), "group: "),
        (control.port_group_add_target("one", "tgt9"), "target: "),
        (control.port_group_add_target("one", "tgt0"), "target: "),
        (control.port_group_remove_target("one", "tgt1"), "target: "),
        (control.set_port_group_state("x", &change(AccessState::Standby)), "group: "),
        (control.clear_unit_state("x", "disk0"), "group: "),
        (control.clear_unit_state("one", "disk0"), "bdev_name: "),
        (control.clear_unit_state("one", "none"), "bdev_name: "),
        (
            control.set_port_group_state("one", &StateChange { bdev: Some("none"), ..change(AccessState::Standby) }),
            "bdev_name: ",
        ),
        (
            control.set_port_group_state(
                "one",
                &StateChange { transition: Duration::from_secs(256), ..change(AccessState::Standby) },
            ),
            "transition_ms: ",
        ),
    ];
    for (result, parameter) in results {
        let error: AdminError = result.expect_err(parameter);
        assert!(error.to_string().starts_with(parameter), "{error}");
    }
    assert_eq!(rig.controller.port_groups().iter().map(|group| group.id).collect::<Vec<_>>(), [1, 2]);
}
