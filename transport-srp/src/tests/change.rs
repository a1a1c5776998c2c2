//! Devices that change under initiators which are using them: size, file, write protection, LUNs.

use std::fs;
use std::path::{Path, PathBuf};

use bdev::uring::{self, Replacement, UringOptions};
use fabric::sim::SimOptions;
use scsi::UnitAttention;
use tempfile::TempDir;

use super::*;
use crate::ExchangeState;
use crate::testing::wire::Function;
use crate::testing::{Handle, Outcome};

const CAPACITY_CHANGED: (u8, u8, u8) = (6, 0x2a, 0x09);
const READY: (u8, u8, u8) = (6, 0x28, 0x00);
const LUNS_CHANGED: (u8, u8, u8) = (6, 0x3f, 0x0e);
const INQUIRY_CHANGED: (u8, u8, u8) = (6, 0x3f, 0x03);
const POWER_ON: (u8, u8, u8) = (6, 0x29, 0x00);
const MODE_CHANGED: (u8, u8, u8) = (6, 0x2a, 0x01);
const NOT_READY: (u8, u8, u8) = (2, 0x04, 0x03);
const OUT_OF_RANGE: (u8, u8, u8) = (5, 0x21, 0x00);
const WRITE_PROTECTED: (u8, u8, u8) = (7, 0x27, 0x00);

/// A target on two cores with a file as LUN 0, and an initiator with a channel on each core.
struct Scene {
    rig: Rig,
    initiator: Initiator,
    channels: [usize; 2],
    bdev: Arc<Bdev>,
    path: PathBuf,
    dir: TempDir,
}

impl Scene {
    fn new(blocks: usize, byte: u8) -> Scene {
        let dir = TempDir::new().expect("a folder for a test");
        let path = dir.path().join("disk");
        file(&path, blocks, byte);
        Scene::on(dir, UringOptions { filename: path.clone(), ..Default::default() })
    }

    fn on(dir: TempDir, options: UringOptions) -> Scene {
        let path = options.filename.clone();
        let bdev = uring::create(UringOptions { name: "disk".into(), direct: Some(false), ..options }).expect("a bdev");
        let mut rig = Rig::new(41, 2, SimOptions::jittery(), 32);
        rig.export(&bdev);
        let mut initiator = rig.initiator(1);
        let channels =
            [rig.login(&mut initiator, MultiChannel::Single), rig.login(&mut initiator, MultiChannel::Multi)];
        assert_eq!(
            rig.execute(&mut initiator, channels[0], &Request::test_unit_ready(lun(0))).answer().key_and_code(),
            Some(POWER_ON)
        );
        Scene { rig, initiator, channels, bdev, path, dir }
    }

    fn hold(&mut self, held: bool) {
        self.rig.groups.iter_mut().for_each(|group| group.devices_held = held);
    }

    fn start(&mut self, channel: usize, request: &Request) -> Handle {
        self.initiator.start(self.channels[channel], request).expect("a credit")
    }

    fn finish(&mut self, handle: Handle) -> crate::testing::Answer {
        self.initiator.finish(handle, &mut || self.rig.step()).answer()
    }

    fn execute(&mut self, channel: usize, request: &Request) -> crate::testing::Answer {
        let handle = self.start(channel, request);
        self.finish(handle)
    }

    /// Sense of the next command, if it has one.
    fn attention(&mut self, channel: usize) -> Option<(u8, u8, u8)> {
        self.execute(channel, &Request::test_unit_ready(lun(0))).key_and_code()
    }

    fn read(&mut self, channel: usize, lba: u32) -> Vec<u8> {
        let answer = self.execute(channel, &Request::read(lun(0), lba, 1, BLOCK));
        assert_eq!(answer.status, 0, "{answer:?}");
        answer.data
    }

    fn num_blocks(&mut self) -> u64 {
        let answer = self.execute(0, &Request::read_capacity(lun(0)));
        u64::from_be_bytes(answer.data[..8].try_into().expect("8 bytes")) + 1
    }

    fn at_devices(&self) -> usize {
        let units = self.rig.groups.iter().flat_map(|group| group.units.iter().flatten());
        units.filter_map(|unit| unit.device.as_ref()).map(bdev::Channel::in_flight).sum()
    }

    /// Waits until so many operations are at the devices.
    fn arrive(&mut self, count: usize) {
        for _ in 0..10_000 {
            if self.at_devices() == count {
                return;
            }
            self.rig.step();
        }
        panic!("{} of {count} operations arrive at the devices", self.at_devices());
    }

    /// What the app does when a rescan finds another file, up to the answer of the cores.
    fn start_exchange(&mut self) -> Replacement {
        let mut replacement = uring::rescan(&self.bdev).expect("a good file").expect("another file");
        self.rig.controller.start_exchange("disk", || replacement.install(&self.bdev));
        self.rig.run(200);
        replacement
    }

    fn end_exchange(&mut self, replacement: Replacement, attentions: &[UnitAttention]) {
        self.wait_until_done();
        replacement.finish(&self.bdev);
        self.rig.controller.end_exchange("disk", attentions);
        assert_eq!(self.rig.controller.exchange_state("disk"), None);
    }

    fn wait_until_done(&mut self) {
        for _ in 0..100_000 {
            if self.rig.controller.exchange_state("disk") == Some(ExchangeState::Done) {
                return;
            }
            self.rig.step();
            self.initiator.poll();
        }
        panic!("the exchange does not end");
    }

    fn end(mut self) {
        for _ in 0..100 {
            self.rig.step();
            self.initiator.poll();
        }
        for channel in self.channels {
            let (left, granted) = self.initiator.credits(channel);
            assert_eq!((left, self.initiator.outstanding(channel)), (granted, 0), "every command is answered");
        }
        assert_eq!(self.rig.network.violations(), vec![]);
        self.channels.into_iter().for_each(|channel| self.initiator.disconnect(channel));
        self.rig.check_nothing_leaked();
    }
}

/// A file of so many blocks, all of this byte.
fn file(path: &Path, blocks: usize, byte: u8) {
    fs::write(path, vec![byte; blocks * BLOCK as usize]).expect("a file for a test");
}

fn set_len(path: &Path, blocks: usize) {
    let file = fs::File::options().write(true).open(path).expect("there");
    file.set_len((blocks * BLOCK as usize) as u64).expect("another length");
}

#[test]
fn a_grown_file_is_seen_at_once_and_every_initiator_is_told() {
    let mut scene = Scene::new(64, 1);
    scene.hold(true);
    let write = scene.start(0, &Request::write(lun(0), 0, BLOCK, pattern(4096, 7)));
    scene.arrive(1);
    set_len(&scene.path, 128);
    assert!(uring::rescan(&scene.bdev).expect("the same file").is_none());
    scene.rig.controller.bdev_changed("disk", UnitAttention::CapacityChanged);
    scene.hold(false);
    assert_eq!(scene.finish(write).status, 0, "what was in flight is not disturbed");
    assert_eq!(scene.attention(1), Some(CAPACITY_CHANGED));
    assert_eq!((scene.attention(0), scene.num_blocks()), (None, 128));
    assert_eq!(scene.read(1, 127), [0; 512]);
    scene.end();
}

#[test]
fn a_shrunk_file_ends_commands_beyond_its_end_with_an_error() {
    let mut scene = Scene::new(128, 1);
    set_len(&scene.path, 64);
    let beyond = scene.execute(0, &Request::read(lun(0), 100, 1, BLOCK));
    assert_eq!(beyond.key_and_code().map(|(key, ..)| key), Some(3), "behind our back: a medium error, {beyond:?}");
    scene.hold(true);
    let across = scene.start(1, &Request::write(lun(0), 0, BLOCK, pattern(4096, 7)));
    scene.arrive(1);
    uring::rescan(&scene.bdev).expect("the same file");
    scene.rig.controller.bdev_changed("disk", UnitAttention::CapacityChanged);
    scene.hold(false);
    assert_eq!(scene.finish(across).status, 0);
    assert_eq!(scene.attention(0), Some(CAPACITY_CHANGED));
    for lba in [64, 100, 127] {
        assert_eq!(scene.execute(1, &Request::read(lun(0), lba, 1, BLOCK)).key_and_code(), Some(OUT_OF_RANGE));
        assert_eq!(scene.execute(0, &Request::write(lun(0), lba, BLOCK, [9; 512])).key_and_code(), Some(OUT_OF_RANGE));
    }
    assert_eq!((scene.read(0, 63), scene.num_blocks()), (vec![1; 512], 64));
    assert_eq!(fs::metadata(&scene.path).expect("there").len(), 64 * 512, "nothing was written behind the end");
    scene.end();
}

#[test]
fn another_file_takes_over_when_the_last_command_on_the_old_one_is_done_on_every_core() {
    let mut scene = Scene::new(64, 1);
    let aside = scene.dir.path().join("aside");
    scene.hold(true);
    let writes = [0, 1].map(|channel| {
        let lba = 8 * channel as u32;
        scene.start(channel, &Request::write(lun(0), lba, BLOCK, vec![5; 4096]))
    });
    scene.arrive(2);
    let cores = scene.rig.groups.iter().filter(|group| group.commands.len() == 1).count();
    assert_eq!(cores, 2, "one on each core");
    fs::rename(&scene.path, &aside).expect("renamed");
    file(&scene.path, 96, 2);

    let replacement = scene.start_exchange();
    let reads = [0, 1].map(|channel| scene.start(channel, &Request::read(lun(0), 0, 1, BLOCK)));
    scene.rig.run(200);
    scene.initiator.poll();
    assert_eq!(scene.rig.controller.exchange_state("disk"), Some(ExchangeState::Working));
    assert_eq!(
        (scene.at_devices(), reads.map(|read| scene.initiator.take(read))),
        (2, [None, None]),
        "the fence holds them back"
    );
    assert_eq!(scene.attention(0), None, "what does not touch the medium is answered");

    scene.hold(false);
    for write in writes {
        assert_eq!(scene.finish(write).status, 0);
    }
    scene.wait_until_done();
    assert_eq!(reads.map(|read| scene.initiator.take(read)), [None, None], "until everybody is told");
    scene.end_exchange(replacement, &[UnitAttention::NotReadyToReady, UnitAttention::CapacityChanged]);
    for read in reads {
        assert_eq!(scene.finish(read).data, [2; 512], "they go on with the new medium");
    }
    assert_eq!(
        (scene.attention(1), scene.attention(0), scene.attention(1)),
        (Some(READY), Some(CAPACITY_CHANGED), None)
    );
    assert_eq!((scene.read(0, 95), scene.read(1, 0), scene.num_blocks()), (vec![2; 512], vec![2; 512], 96));
    let old = fs::read(&aside).expect("there");
    assert!(
        old[..8192].iter().all(|&byte| byte == 5) && old[8192..].iter().all(|&byte| byte == 1),
        "all of it is on the old file"
    );
    uring::create(UringOptions { name: "old".into(), filename: aside, ..Default::default() }).expect("it is unlocked");
    scene.end();
}

#[test]
fn commands_that_are_aborted_during_an_exchange_are_answered_and_the_exchange_goes_on() {
    let mut scene = Scene::new(64, 1);
    scene.hold(true);
    let stuck = scene.start(0, &Request::write(lun(0), 0, BLOCK, vec![5; 4096]));
    scene.arrive(1);
    fs::rename(&scene.path, scene.dir.path().join("aside")).expect("renamed");
    file(&scene.path, 64, 2);
    let replacement = scene.start_exchange();
    let waiting = scene.start(1, &Request::write(lun(0), 0, BLOCK, vec![6; 512]));
    scene.rig.run(200);
    let reset = scene.initiator.manage(scene.channels[0], Function::LunReset, lun(0), None).expect("a credit");
    assert_eq!(scene.initiator.finish(reset, &mut || scene.rig.step()).answer().code, Some(0));
    assert_eq!(
        [stuck, waiting].map(|write| scene.initiator.take(write)),
        [Some(Outcome::Aborted), Some(Outcome::Aborted)]
    );
    assert_eq!(scene.rig.controller.exchange_state("disk"), Some(ExchangeState::Working), "the device still has one");
    scene.hold(false);
    scene.end_exchange(replacement, &[UnitAttention::NotReadyToReady]);
    assert_eq!(scene.attention(0), Some((6, 0x29, 0x03)), "the reset comes first");
    assert_eq!(scene.attention(0), Some(READY));
    assert_eq!(scene.read(1, 0), [2; 512], "nothing late landed on the new file");
    scene.end();
}

#[test]
fn a_lun_can_be_removed_and_a_session_can_come_during_an_exchange() {
    let mut scene = Scene::new(64, 1);
    scene.hold(true);
    let write = scene.start(0, &Request::write(lun(0), 0, BLOCK, vec![5; 4096]));
    scene.arrive(1);
    fs::rename(&scene.path, scene.dir.path().join("aside")).expect("renamed");
    file(&scene.path, 64, 2);
    let replacement = scene.start_exchange();
    let read = scene.start(1, &Request::read(lun(0), 0, 1, BLOCK));
    scene.rig.run(200);
    scene.rig.controller.remove_lun("tgt0", 0).expect("there");
    let mut other = scene.rig.initiator(2);
    let other_channel = scene.rig.login(&mut other, MultiChannel::Single);
    scene.hold(false);
    scene.end_exchange(replacement, &[UnitAttention::NotReadyToReady]);
    assert_eq!((scene.finish(write).status, scene.finish(read).data), (0, vec![2; 512]), "both end as they would have");
    scene.rig.run(100);
    assert_eq!(scene.rig.controller.bdev_user("disk"), None, "every core has closed it");
    scene.rig.export(&scene.bdev.clone());
    scene.rig.clear_attention(&mut other, other_channel, 0);
    let read = scene.rig.execute(&mut other, other_channel, &Request::read(lun(0), 0, 1, BLOCK)).good();
    assert_eq!(read.data, [2; 512]);
    other.disconnect(other_channel);
    scene.end();
}

#[test]
fn a_unit_whose_file_is_missing_is_there_and_comes_to_life() {
    let dir = TempDir::new().expect("a folder for a test");
    let (filename, block_size) = (dir.path().join("disk"), Some(BLOCK));
    let mut scene = Scene::on(dir, UringOptions { filename, block_size, wait_for_file: true, ..Default::default() });
    let inquiry = scene.execute(0, &Request::inquiry(lun(0), None, 36));
    assert_eq!((inquiry.status, &inquiry.data[16..20]), (0, &b"disk"[..]));
    for request in
        [Request::test_unit_ready(lun(0)), Request::read_capacity(lun(0)), Request::read(lun(0), 0, 1, BLOCK)]
    {
        assert_eq!(scene.execute(1, &request).key_and_code(), Some(NOT_READY), "{request:?}");
    }
    file(&scene.path, 64, 3);
    let replacement = scene.start_exchange();
    scene.end_exchange(replacement, &[UnitAttention::NotReadyToReady, UnitAttention::CapacityChanged]);
    assert_eq!((scene.attention(0), scene.attention(1)), (Some(READY), Some(CAPACITY_CHANGED)));
    assert_eq!((scene.read(0, 63), scene.num_blocks()), (vec![3; 512], 64));
    scene.end();
}

#[test]
fn write_protection_is_told_and_spares_what_is_in_flight() {
    let mut scene = Scene::new(64, 1);
    let wp = |scene: &mut Scene| {
        scene.execute(0, &Request::new(lun(0), [0x1a, 0, 0x3f, 0, 192, 0]).data_in(192)).data[2] & 0x80
    };
    assert_eq!(wp(&mut scene), 0);
    scene.hold(true);
    let write = scene.start(1, &Request::write(lun(0), 0, BLOCK, [5; 512]));
    scene.arrive(1);
    scene.bdev.set_read_only(true).expect("protected");
    scene.rig.controller.bdev_changed("disk", UnitAttention::ModeParametersChanged);
    scene.hold(false);
    assert_eq!(scene.finish(write).status, 0);
    assert_eq!((scene.attention(0), wp(&mut scene)), (Some(MODE_CHANGED), 0x80));
    assert_eq!(scene.execute(1, &Request::write(lun(0), 0, BLOCK, [6; 512])).key_and_code(), Some(WRITE_PROTECTED));
    assert_eq!(scene.read(0, 0), [5; 512]);
    scene.bdev.set_read_only(false).expect("not any more");
    scene.rig.controller.bdev_changed("disk", UnitAttention::ModeParametersChanged);
    assert_eq!((scene.attention(0), wp(&mut scene)), (Some(MODE_CHANGED), 0));
    assert_eq!(scene.execute(1, &Request::write(lun(0), 0, BLOCK, [6; 512])).status, 0);
    scene.end();
}

#[test]
fn a_lun_that_shows_another_unit_says_so() {
    let mut scene = Scene::new(64, 1);
    let ram = malloc("ram0", 64);
    // LUN 1 is new: power on. LUN 0 learns that there is more.
    assert_eq!(scene.rig.export(&ram), 1);
    let at = |scene: &mut Scene, number| scene.execute(0, &Request::test_unit_ready(lun(number))).key_and_code();
    assert_eq!((at(&mut scene, 0), at(&mut scene, 1)), (Some(LUNS_CHANGED), Some(POWER_ON)));
    assert_eq!((at(&mut scene, 1), at(&mut scene, 1)), (Some(LUNS_CHANGED), None));
    // LUN 0 becomes another name of the RAM disk, which the session knows.
    scene.rig.controller.remove_lun("tgt0", 0).expect("there");
    assert_eq!(scene.rig.export(&ram), 0);
    assert_eq!(
        (at(&mut scene, 0), at(&mut scene, 1), at(&mut scene, 0)),
        (Some(LUNS_CHANGED), Some(INQUIRY_CHANGED), None)
    );
    // And then the file again, for which nothing of the old nexus is left.
    scene.rig.controller.remove_lun("tgt0", 0).expect("there");
    scene.rig.export(&scene.bdev.clone());
    assert_eq!(at(&mut scene, 0), Some(POWER_ON));
    scene.end();
}

#[test]
fn a_bdev_is_taken_from_every_target_at_once() {
    let mut scene = Scene::new(64, 1);
    let ram = malloc("ram0", 64);
    scene.rig.controller.create_target("tgt1", 3, 4).expect("a target");
    scene.rig.export(&ram);
    scene.rig.controller.add_lun("tgt1", &scene.bdev.clone(), &LunOptions::default()).expect("a LUN");
    assert_eq!(scene.attention(1), Some(LUNS_CHANGED));
    scene.hold(true);
    let write = scene.start(1, &Request::write(lun(0), 0, BLOCK, [5; 512]));
    scene.arrive(1);
    assert_eq!(scene.rig.controller.remove_luns_of("disk"), 2);
    scene.rig.run(200);
    assert_eq!(scene.rig.controller.bdev_user("disk").as_deref(), Some("commands that are still under way"));
    scene.hold(false);
    assert_eq!(scene.finish(write).status, 0, "what was in flight ends as it would have");
    scene.rig.run(200);
    assert_eq!((scene.rig.controller.bdev_user("disk"), scene.rig.controller.remove_luns_of("disk")), (None, 0));
    let code = scene.execute(0, &Request::test_unit_ready(lun(1))).key_and_code();
    assert_eq!(code, Some(POWER_ON));
    assert_eq!(scene.execute(0, &Request::test_unit_ready(lun(1))).key_and_code(), Some(LUNS_CHANGED));
    assert_eq!(scene.execute(0, &Request::test_unit_ready(lun(0))).key_and_code(), Some((5, 0x25, 0)));
    scene.end();
}

#[test]
fn a_logical_unit_reset_takes_the_mode_parameters_back() {
    let mut scene = Scene::new(64, 1);
    let unit = Arc::clone(&scene.rig.controller.targets()[0].luns[0].unit);
    unit.set_software_write_protect(true);
    assert_eq!(scene.execute(0, &Request::write(lun(0), 0, BLOCK, [6; 512])).key_and_code(), Some((7, 0x27, 0x02)));
    let reset = scene.initiator.manage(scene.channels[1], Function::LunReset, lun(0), None).expect("a credit");
    assert_eq!(scene.initiator.finish(reset, &mut || scene.rig.step()).answer().code, Some(0));
    assert_eq!(scene.attention(0), Some((6, 0x29, 0x03)));
    assert_eq!(scene.execute(0, &Request::write(lun(0), 0, BLOCK, [6; 512])).status, 0);
    scene.end();
}
