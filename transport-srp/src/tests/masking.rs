//! What each initiator sees: maps of initiator groups, changes under live sessions, and very many units.

use fabric::sim::SimOptions;

use super::*;
use crate::testing::{Answer, Form};
use crate::{AdminError, InitiatorGroup, LunSource, Pattern, TargetOptions};

const POWER_ON: (u8, u8, u8) = (6, 0x29, 0x00);
const LUNS_CHANGED: (u8, u8, u8) = (6, 0x3f, 0x0e);
const INQUIRY_CHANGED: (u8, u8, u8) = (6, 0x3f, 0x03);
const MODE_CHANGED: (u8, u8, u8) = (6, 0x2a, 0x01);
const NO_UNIT: (u8, u8, u8) = (5, 0x25, 0x00);
const WRITE_PROTECTED: (u8, u8, u8) = (7, 0x27, 0x00);

/// `tgt0` exports disk0 and disk1; initiators 1 and 2 are logged in.
struct Scene {
    rig: Rig,
    disks: Vec<Arc<Bdev>>,
    initiators: [Initiator; 2],
    channels: [usize; 2],
}

impl Scene {
    fn new(prepare: impl FnOnce(&mut Rig, &[Arc<Bdev>])) -> Scene {
        let mut rig = Rig::new(61, 2, SimOptions::jittery(), 16);
        let disks: Vec<_> = (0..4).map(|number| malloc(&format!("disk{number}"), 16 + number)).collect();
        disks[..2].iter().for_each(|disk| {
            rig.export(disk);
        });
        prepare(&mut rig, &disks);
        let mut initiators = [rig.initiator(1), rig.initiator(2)];
        let channels = [0, 1].map(|index| rig.login(&mut initiators[index], MultiChannel::Single));
        let mut scene = Scene { rig, disks, initiators, channels };
        scene.settle();
        scene
    }

    fn execute(&mut self, who: usize, request: &Request) -> Answer {
        self.rig.execute(&mut self.initiators[who], self.channels[who], request).answer()
    }

    fn sense(&mut self, who: usize, number: u16) -> Option<(u8, u8, u8)> {
        self.execute(who, &Request::test_unit_ready(lun(number))).key_and_code()
    }

    fn settle(&mut self) {
        for who in [0, 1] {
            for number in self.luns(who) {
                while matches!(self.sense(who, number), Some((6, ..))) {}
            }
        }
    }

    /// REPORT LUNS at LUN 0; if that is there, it takes the unit attentions about it away.
    fn luns(&mut self, who: usize) -> Vec<u16> {
        luns_of(&self.execute(who, &Request::report_luns(4096)))
    }

    /// The number of blocks tells which disk it is: 16 more than its number.
    fn disk_at(&mut self, who: usize, number: u16) -> u64 {
        let answer = self.execute(who, &Request::read_capacity(lun(number)));
        assert_eq!(answer.status, 0, "{answer:?}");
        u64::from_be_bytes(answer.data[..8].try_into().expect("8 bytes")) - 15
    }

    fn group(&mut self, name: &str, initiator: u8) {
        self.rig.controller.create_initiator_group(group(name, &pattern_of(initiator), None)).expect("a group");
    }

    fn bdev_lun(&mut self, group: &str, disk: usize, lun: u16) {
        let disk = Arc::clone(&self.disks[disk]);
        self.rig.controller.group_add_lun(group, LunSource::Bdev(&disk), &at(lun)).expect("a LUN");
    }

    fn end(mut self) {
        for (initiator, channel) in self.initiators.iter_mut().zip(self.channels) {
            initiator.disconnect(channel);
        }
        self.rig.check_nothing_leaked();
    }
}

fn luns_of(answer: &Answer) -> Vec<u16> {
    let length = u32::from_be_bytes(answer.data[..4].try_into().expect("4 bytes"));
    let lun = |wire: &[u8]| u16::from_be_bytes([wire[0] & 0x3f, wire[1]]);
    answer.data[8..8 + length as usize].chunks(8).map(lun).collect()
}

fn at(lun: u16) -> LunOptions {
    LunOptions { lun: Some(lun), ..Default::default() }
}

fn pattern_of(initiator: u8) -> String {
    format!("192.0.2.{initiator}")
}

fn group(name: &str, initiator: &str, luns: Option<Vec<u16>>) -> InitiatorGroup {
    InitiatorGroup::new(name.into(), None, vec![parse(initiator)], luns)
}

fn parse(pattern: &str) -> Pattern {
    pattern.parse().expect("a pattern")
}

#[test]
fn two_groups_see_their_own_maps_and_one_may_not_write() {
    let mut scene = Scene::new(|rig, disks| {
        for number in [1, 2] {
            rig.controller
                .create_initiator_group(group(&format!("g{number}"), &pattern_of(number), None))
                .expect("a group");
        }
        let source = LunSource::Bdev(&disks[2]);
        rig.controller.group_add_lun("g1", source, &at(0)).expect("a LUN");
        rig.controller.group_add_lun("g1", LunSource::TargetLun(1), &at(300)).expect("a LUN");
        let read_only = LunOptions { read_only: true, ..at(7) };
        assert_eq!(rig.controller.group_add_lun("g2", source, &read_only).expect("a LUN"), 7);
        // A LUN that leads nowhere is not there.
        rig.controller.group_add_lun("g2", LunSource::TargetLun(99), &LunOptions::default()).expect("a LUN");
    });
    assert_eq!((scene.luns(0), scene.luns(1)), (vec![0, 300], vec![7]));
    assert_eq!((scene.disk_at(0, 0), scene.disk_at(0, 300), scene.disk_at(1, 7)), (2, 1, 2));
    assert_eq!((scene.sense(0, 1), scene.sense(1, 0)), (Some(NO_UNIT), Some(NO_UNIT)));
    let write = |number| Request::write(lun(number), 0, BLOCK, pattern(512, 9));
    assert_eq!(scene.execute(0, &write(0)).status, 0);
    assert_eq!(scene.execute(1, &write(7)).key_and_code(), Some(WRITE_PROTECTED));
    assert_eq!(scene.execute(1, &Request::read(lun(7), 0, 1, BLOCK)).data, pattern(512, 9), "the same disk");
    assert_eq!(scene.rig.controller.bdev_user("disk2").as_deref(), Some("LUN 0 of initiator group g1"));
    let groups = scene.rig.controller.initiator_groups();
    let map = groups[0].map.as_ref().expect("a map of its own");
    assert_eq!((map[0].unit.is_some(), map[1].target_lun), (true, Some(1)));
    assert_eq!(scene.rig.controller.remove_luns_of("disk2"), 2);
    assert_eq!((scene.luns(0), scene.luns(1)), (vec![300], vec![]));
    scene.rig.run(100);
    assert_eq!(scene.rig.controller.bdev_user("disk2"), None);
    scene.end();
}

#[test]
fn changes_of_a_map_reach_live_sessions_at_once() {
    let mut scene = Scene::new(|_, _| {});
    scene.group("g1", 1);
    assert_eq!(scene.luns(0), [0, 1], "a group without a map shows the target's");
    assert_eq!(scene.rig.controller.sessions()[0].initiator_group.as_deref(), Some("g1"), "it contains the session");
    assert_eq!(scene.rig.controller.sessions()[1].initiator_group, None, "the other is let be");
    // The first LUN of the map is the whole map.
    scene.bdev_lun("g1", 0, 0);
    assert_eq!((scene.sense(0, 0), scene.sense(0, 0)), (Some(LUNS_CHANGED), None));
    assert_eq!((scene.luns(0), scene.luns(1)), (vec![0], vec![0, 1]));
    scene.bdev_lun("g1", 3, 5);
    assert_eq!((scene.sense(0, 0), scene.sense(0, 5)), (Some(LUNS_CHANGED), Some(POWER_ON)));
    scene.settle();
    scene.rig.controller.group_remove_lun("g1", 5).expect("there");
    assert_eq!((scene.sense(0, 0), scene.sense(0, 5)), (Some(LUNS_CHANGED), Some(NO_UNIT)));
    assert_eq!((scene.sense(1, 0), scene.sense(1, 1)), (None, None), "the other session has noticed nothing");
    scene.rig.controller.group_remove_lun("g1", 0).expect("there");
    assert_eq!(scene.luns(0), [], "an empty map shows nothing, not everything");
    scene.end();
}

#[test]
fn a_replaced_lun_is_never_away_and_commands_end_on_the_old_unit() {
    let mut scene = Scene::new(|rig, _| {
        rig.controller.create_initiator_group(group("g2", &pattern_of(2), None)).expect("a group");
        rig.controller.group_add_lun("g2", LunSource::TargetLun(0), &at(4)).expect("a LUN");
        rig.controller.create_initiator_group(group("rest", "*", None)).expect("a group");
    });
    scene.rig.groups.iter_mut().for_each(|group| group.devices_held = true);
    let write = Request::write(lun(0), 3, BLOCK, pattern(512, 5));
    let under_way = scene.initiators[0].start(scene.channels[0], &write).expect("a credit");
    scene.rig.run(200);
    let disk = Arc::clone(&scene.disks[3]);
    let read_only = LunOptions { read_only: true, ..Default::default() };
    scene.rig.controller.replace_lun("tgt0", 0, &disk, &read_only).expect("a LUN");
    scene.rig.run(200);
    scene.rig.groups.iter_mut().for_each(|group| group.devices_held = false);
    assert_eq!(scene.initiators[0].finish(under_way, &mut || scene.rig.step()).answer().status, 0);
    assert_eq!((scene.luns(0), scene.luns(1)), (vec![0, 1], vec![4]));
    assert_eq!((scene.sense(0, 0), scene.sense(0, 0)), (Some(POWER_ON), Some(INQUIRY_CHANGED)));
    assert_eq!((scene.sense(0, 0), scene.sense(0, 1)), (None, None), "the inventory is the same");
    assert_eq!((scene.sense(1, 4), scene.sense(1, 4)), (Some(POWER_ON), Some(INQUIRY_CHANGED)));
    assert_eq!((scene.disk_at(0, 0), scene.disk_at(1, 4)), (3, 3));
    assert_eq!(scene.execute(0, &write).key_and_code(), Some(WRITE_PROTECTED));
    let by_the_group = Request::write(lun(4), 3, BLOCK, pattern(512, 6));
    assert_eq!(scene.execute(1, &by_the_group).key_and_code(), Some(WRITE_PROTECTED), "through a group's LUN, too");
    // The same unit, writable: only that is news.
    scene.rig.controller.replace_lun("tgt0", 0, &disk, &LunOptions::default()).expect("a LUN");
    assert_eq!((scene.sense(0, 0), scene.sense(0, 0)), (Some(MODE_CHANGED), None));
    assert_eq!(scene.execute(0, &write).status, 0);
    // And a group's own entry.
    let old = Arc::clone(&scene.disks[0]);
    scene.rig.controller.group_replace_lun("g2", 4, LunSource::Bdev(&old), &LunOptions::default()).expect("a LUN");
    assert_eq!(
        (scene.sense(1, 4), scene.sense(1, 4), scene.sense(1, 4)),
        (Some(POWER_ON), Some(INQUIRY_CHANGED), None)
    );
    let written = scene.execute(1, &Request::read(lun(4), 3, 1, BLOCK)).data;
    assert_eq!(written, pattern(512, 5), "the command that was under way went to the old disk");
    scene.rig.controller.group_remove_lun("g2", 4).expect("there");
    scene.rig.run(100);
    assert_eq!(scene.rig.controller.bdev_user("disk0"), None, "nothing refers to it any more");
    scene.end();
}

#[test]
fn who_a_group_contains_no_longer_is_taken_by_another_or_ends() {
    let mut scene = Scene::new(|rig, _| {
        rig.controller.create_initiator_group(group("first", "192.0.2.*", Some(vec![0]))).expect("a group");
        rig.controller.create_initiator_group(group("second", &pattern_of(2), Some(vec![1]))).expect("a group");
    });
    assert_eq!((scene.luns(0), scene.luns(1)), (vec![0], vec![0]));
    // The other keeps out initiator 2, which the second group contains.
    scene.rig.controller.group_add_initiator("first", parse("!192.0.2.2")).expect("a pattern");
    assert_eq!((scene.luns(0), scene.luns(1)), (vec![0], vec![1]));
    assert_eq!((scene.sense(1, 1), scene.sense(1, 1)), (Some(POWER_ON), Some(LUNS_CHANGED)));
    // And back.
    scene.rig.controller.group_remove_initiator("first", &parse("!192.0.2.2")).expect("a pattern");
    assert_eq!(scene.luns(1), [0], "the first group that contains it counts");
    scene.rig.controller.delete_initiator_group("second").expect("a group");
    assert_eq!(scene.luns(1), [0]);
    scene.rig.controller.create_initiator_group(group("third", &pattern_of(1), None)).expect("a group");
    scene.rig.controller.delete_initiator_group("first").expect("a group");
    for _ in 0..2000 {
        scene.rig.step();
        scene.initiators[1].poll();
    }
    let sessions = scene.rig.controller.sessions();
    assert_eq!(sessions.len(), 1, "initiator 2 would be refused now");
    assert_eq!(sessions[0].initiator_group.as_deref(), Some("third"));
    assert_eq!(scene.luns(0), [0, 1]);
    scene.rig.controller.delete_initiator_group("third").expect("a group");
    scene.rig.run(50);
    assert_eq!(scene.luns(0), [0, 1], "a target that no group is about is open");
    scene.end();
}

#[test]
fn a_group_that_is_put_before_another_decides_and_other_luns_of_the_target_are_seen_at_once() {
    let mut scene = Scene::new(|rig, _| {
        for (name, lun) in [("first", 0), ("second", 1)] {
            rig.controller.create_initiator_group(group(name, "192.0.2.*", Some(vec![lun]))).expect("a group");
        }
    });
    let names = |scene: &Scene| -> Vec<String> {
        scene.rig.controller.initiator_groups().into_iter().map(|group| group.name).collect()
    };
    assert_eq!(scene.luns(0), [0]);
    scene.rig.controller.move_initiator_group("second", Some("first")).expect("a group");
    assert_eq!((names(&scene), scene.luns(0)), (vec!["second".into(), "first".into()], vec![1]));
    scene.rig.controller.move_initiator_group("second", Some("second")).expect("it stays");
    scene.rig.controller.move_initiator_group("second", None).expect("a group");
    assert_eq!((names(&scene), scene.luns(0)), (vec!["first".into(), "second".into()], vec![0]));
    let twice = InitiatorGroup::new("twice".into(), None, vec![parse("10.*"), parse("!*"), parse("10.*")], None);
    scene.rig.controller.create_initiator_group(twice).expect("a group");
    assert_eq!(scene.rig.controller.initiator_groups()[2].initiators, ["10.*", "!*"]);
    scene.rig.controller.group_set_luns("first", None).expect("a group");
    assert_eq!(scene.luns(0), [0, 1]);
    scene.rig.controller.group_set_luns("first", Some(vec![])).expect("a group");
    assert_eq!(scene.luns(0), Vec::<u16>::new());
    scene.bdev_lun("first", 2, 5);
    assert_eq!(scene.luns(0), [5]);
    scene.rig.controller.group_set_luns("first", Some(vec![1])).expect("a group");
    assert_eq!(scene.luns(0), [1]);
    scene.rig.run(100);
    assert_eq!(scene.rig.controller.bdev_user("disk2"), None, "the map is given up");
    scene.end();
}

/// The group stayed, about a target that was gone: no start took the configuration that was saved then.
#[test]
fn a_target_stays_while_a_group_is_about_it() {
    let mut scene = Scene::new(|_, _| ());
    let about = InitiatorGroup::new("g".into(), Some("tgt0".into()), vec![parse("*")], None);
    scene.rig.controller.create_initiator_group(about).expect("a group");
    let error = scene.rig.controller.delete_target("tgt0").expect_err("in use").to_string();
    assert!(error.starts_with("name: initiator group g "), "{error}");
    scene.rig.controller.delete_initiator_group("g").expect("a group");
    scene.rig.controller.delete_target("tgt0").expect("a target");
    scene.rig.run(100);
    scene.end();
}

#[test]
fn mistakes_are_named() {
    let mut scene = Scene::new(|rig, _| {
        rig.controller.create_initiator_group(group("list", "*", Some(vec![0]))).expect("a group");
    });
    scene.rig.controller.create_initiator_group(group("own", "*", Some(vec![]))).expect("a group");
    let disk = Arc::clone(&scene.disks[2]);
    let control = &mut scene.rig.controller;
    let (bdev, target) = (LunSource::Bdev(&disk), LunSource::TargetLun(0));
    control.group_add_lun("own", target, &at(1)).expect("a LUN");
    let results = [
        (control.group_add_lun("no", bdev, &at(0)).map(drop), "group: "),
        (control.group_add_lun("list", bdev, &at(0)).map(drop), "group: "),
        (control.group_add_lun("own", bdev, &at(1)).map(drop), "lun: "),
        (control.group_add_lun("own", bdev, &at(16384)).map(drop), "lun: "),
        (control.group_remove_lun("own", 2), "lun: "),
        (control.group_remove_lun("list", 0), "lun: "),
        (control.group_replace_lun("own", 2, target, &LunOptions::default()), "lun: "),
        (control.replace_lun("tgt0", 9, &disk, &LunOptions::default()), "lun: "),
        (control.group_add_initiator("own", parse("*")), "initiator: "),
        (control.group_remove_initiator("own", &parse("10.*")), "initiator: "),
        (control.group_remove_initiator("own", &parse("*")), "initiator: "),
        (control.group_set_luns("no", None), "group: "),
        (control.move_initiator_group("no", None), "group: "),
        (control.move_initiator_group("own", Some("no")), "before: "),
    ];
    for (result, parameter) in results {
        let error: AdminError = result.expect_err(parameter);
        assert!(error.to_string().starts_with(parameter), "{error}");
    }
    assert_eq!(control.bdev_user("disk2"), None, "what was refused refers to nothing");
    scene.end();
}

/// SAM's limit of flat addressing, and the default form of numbers below 256.
#[test]
fn as_many_units_as_flat_addressing_has_are_listed_and_reached() {
    let mut rig = Rig::new(62, 1, SimOptions::default(), 16);
    rig.controller
        .create_target_with(
            "flat",
            &TargetOptions { id_ext: 9, ioc_guid: 9, addressing: scsi::Addressing::Flat, ..Default::default() },
        )
        .expect("a target");
    for number in 0..=scsi::Lun::MAX.0 {
        let name = format!("null{number}");
        let options = bdev::null::NullOptions {
            name,
            num_blocks: 1 + u64::from(number),
            block_size: BLOCK,
            ..Default::default()
        };
        let null = bdev::null::create(options).expect("a null device");
        let added = rig.controller.add_lun("tgt0", &null, &LunOptions::default()).expect("a LUN");
        assert_eq!(added, number);
        if number < 300 {
            rig.controller.add_lun("flat", &null, &LunOptions::default()).expect("a LUN");
        }
        rig.step();
    }
    let full =
        rig.controller.add_lun("tgt0", &malloc("more", 1), &LunOptions::default()).expect_err("no number is left");
    assert!(full.to_string().starts_with("target: "), "{full}");
    let mut initiator = rig.initiator(1);
    let channel = rig.login(&mut initiator, MultiChannel::Single);
    let len = 8 + 8 * 16384;
    let answer = rig.execute(&mut initiator, channel, &Request::report_luns(len).form(Form::inline(len, 7))).good();
    assert_eq!(luns_of(&answer), (0..16384).collect::<Vec<_>>());
    assert_eq!((answer.data[8], answer.data[8 + 8 * 255], answer.data[8 + 8 * 256]), (0, 0, 0x41));
    for number in [0, 255, 256, 300, 16383] {
        let capacity = Request::read_capacity(lun(number));
        assert_eq!(rig.execute(&mut initiator, channel, &capacity).answer().key_and_code(), Some(POWER_ON));
        let answer = rig.execute(&mut initiator, channel, &capacity).good();
        assert_eq!(u64::from_be_bytes(answer.data[..8].try_into().expect("8 bytes")), u64::from(number));
    }
    // One fewer, with a session that sees all of them.
    rig.controller.remove_lun("tgt0", 256).expect("there");
    rig.run(20);
    let answer = rig.execute(&mut initiator, channel, &Request::report_luns(len)).good();
    assert_eq!(luns_of(&answer).len(), 16383);
    assert_eq!(
        rig.execute(&mut initiator, channel, &Request::test_unit_ready(lun(256))).answer().key_and_code(),
        Some(NO_UNIT)
    );

    let mut options = initiator_options(2);
    options.target_port = [9_u64.to_be_bytes(), 9_u64.to_be_bytes()].concat().try_into().expect("16 bytes");
    let mut other = Initiator::new(&rig.network, options);
    let on_flat = rig.login(&mut other, MultiChannel::Single);
    let answer = rig.execute(&mut other, on_flat, &Request::report_luns(4096)).good();
    assert_eq!((luns_of(&answer).len(), &answer.data[8 + 8 * 5..][..2]), (300, &[0x40, 5][..]));
    let flat_5 = [0x40, 5, 0, 0, 0, 0, 0, 0];
    rig.execute(&mut other, on_flat, &Request::read_capacity(flat_5)).answer();
    assert_eq!(rig.execute(&mut other, on_flat, &Request::read_capacity(lun(5))).answer().status, 0, "either form");
    initiator.disconnect(channel);
    other.disconnect(on_flat);
    rig.check_nothing_leaked();
}
