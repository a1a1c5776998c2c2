//! CD drives: discs come and go by initiators and administrators, and everybody hears of it.

use std::path::Path;

use bdev::uring::{self, UringOptions};
use fabric::sim::SimOptions;
use scsi::DeviceType;
use tempfile::TempDir;

use super::*;
use crate::testing::wire::Function;
use crate::testing::{Answer, Handle};
use crate::{AdminError, ExchangeState};

const CD_BLOCK: u32 = 2048;
const NEW_MEDIUM: Option<(u8, u8, u8)> = Some((6, 0x28, 0x00));
const TRAY_CLOSED: Option<(u8, u8, u8)> = Some((2, 0x3a, 0x01));
const TRAY_OPEN: Option<(u8, u8, u8)> = Some((2, 0x3a, 0x02));
const REMOVAL_PREVENTED: Option<(u8, u8, u8)> = Some((5, 0x53, 0x02));
const WRITE_PROTECTED: Option<(u8, u8, u8)> = Some((7, 0x27, 0x00));

/// A drive as LUN 0 and a disk as LUN 1, and two initiators that are told of nothing any more.
struct Drive {
    rig: Rig,
    bdev: Arc<Bdev>,
    initiators: [(Initiator, usize); 2],
    dir: TempDir,
}

impl Drive {
    fn new() -> Drive {
        let dir = TempDir::new().expect("a folder for a test");
        image(&dir.path().join("one.iso"), 40, 1);
        image(&dir.path().join("two.iso"), 60, 2);
        let bdev = uring::create(UringOptions {
            name: "cd".into(),
            filename: dir.path().join("one.iso"),
            block_size: Some(CD_BLOCK),
            read_only: true,
            direct: Some(false),
            ..Default::default()
        })
        .expect("a bdev");
        let mut rig = Rig::new(81, 2, SimOptions::default(), 32);
        let cdrom = LunOptions { device_type: Some(DeviceType::CdRom), ..Default::default() };
        rig.controller.add_lun("tgt0", &bdev, &cdrom).expect("a LUN");
        rig.export(&malloc("disk", 256));
        let mut login = |number| {
            let mut initiator = rig.initiator(number);
            let channel = rig.login(&mut initiator, MultiChannel::Single);
            (0..2).for_each(|unit| rig.clear_attention(&mut initiator, channel, unit));
            (initiator, channel)
        };
        let initiators = [login(1), login(2)];
        Drive { rig, bdev, initiators, dir }
    }

    fn execute(&mut self, who: usize, request: &Request) -> Answer {
        let (initiator, channel) = &mut self.initiators[who];
        self.rig.execute(initiator, *channel, request).answer()
    }

    fn start(&mut self, who: usize, request: &Request) -> Handle {
        let (initiator, channel) = &mut self.initiators[who];
        initiator.start(*channel, request).expect("a credit")
    }

    fn finish(&mut self, who: usize, handle: Handle) -> Answer {
        self.initiators[who].0.finish(handle, &mut || self.rig.step()).answer()
    }

    /// What the next command of an initiator is told.
    fn ready(&mut self, who: usize) -> Option<(u8, u8, u8)> {
        self.execute(who, &Request::test_unit_ready(lun(0))).key_and_code()
    }

    /// Takes its unit attentions away.
    fn hear(&mut self, who: usize) {
        while self.ready(who).is_some_and(|(key, _, _)| key == 6) {}
    }

    fn tray(&mut self, who: usize, open: bool) -> Option<(u8, u8, u8)> {
        self.execute(who, &Request::new(lun(0), [0x1b, 0, 0, 0, if open { 2 } else { 3 }, 0])).key_and_code()
    }

    /// GET EVENT STATUS NOTIFICATION: the media event's code.
    fn event(&mut self, who: usize) -> u8 {
        let poll = Request::new(lun(0), [0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8, 0]).data_in(8);
        self.execute(who, &poll).good().data[4]
    }

    fn prevent(&mut self, who: usize, prevent: bool) {
        self.execute(who, &Request::new(lun(0), [0x1e, 0, 0, 0, u8::from(prevent), 0])).good();
    }

    fn read(&mut self, who: usize, lba: u32) -> Answer {
        self.execute(who, &Request::read(lun(0), lba, 1, CD_BLOCK))
    }

    fn capacity(&mut self, who: usize) -> u32 {
        let answer = self.execute(who, &Request::new(lun(0), [0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0]).data_in(8)).good();
        assert_eq!(answer.data[4..], CD_BLOCK.to_be_bytes());
        u32::from_be_bytes(answer.data[..4].try_into().expect("4 bytes")) + 1
    }

    /// What the app does to put the other image in.
    fn insert(&mut self) {
        self.rig.controller.check_disc_is_out("cd").expect("it is out");
        let filename = self.dir.path().join("two.iso");
        let mut disc = uring::change_file(&self.bdev, &filename).expect("a good file").expect("another");
        self.rig.controller.start_exchange("cd", || disc.install(&self.bdev));
        for _ in 0..1000 {
            self.rig.step();
            if self.rig.controller.exchange_state("cd") == Some(ExchangeState::Done) {
                break;
            }
        }
        disc.finish(&self.bdev);
        self.rig.controller.insert_disc("cd");
        self.rig.controller.end_exchange("cd", &[]);
        self.rig.run(5);
    }

    fn end(mut self) {
        self.rig.run(20);
        assert_eq!(self.rig.network.violations(), vec![]);
        self.initiators.iter_mut().for_each(|(initiator, channel)| initiator.disconnect(*channel));
        self.rig.check_nothing_leaked();
    }
}

fn image(path: &Path, blocks: usize, byte: u8) {
    std::fs::write(path, vec![byte; blocks * CD_BLOCK as usize]).expect("a file for a test");
}

impl Answer {
    /// It must have ended well.
    fn good(self) -> Answer {
        assert_eq!((self.status, self.key_and_code()), (0, None));
        self
    }
}

#[test]
fn a_disc_is_read_and_not_written() {
    let mut drive = Drive::new();
    let inquiry = drive.execute(0, &Request::inquiry(lun(0), None, 36)).good();
    assert_eq!((inquiry.data[0], inquiry.data[1]), (0x05, 0x80));
    assert_eq!(drive.capacity(0), 40);
    assert_eq!(drive.read(1, 39).good().data, [1; CD_BLOCK as usize]);
    assert_eq!(drive.read(1, 40).key_and_code(), Some((5, 0x21, 0x00)));
    let write = Request::write(lun(0), 0, CD_BLOCK, vec![9; CD_BLOCK as usize]);
    assert_eq!(drive.execute(0, &write).key_and_code(), WRITE_PROTECTED);
    drive.end();
}

#[test]
fn who_opens_the_tray_takes_the_disc_from_all_and_all_hear_when_it_is_back() {
    let mut drive = Drive::new();
    assert_eq!(drive.tray(0, true), None);
    assert_eq!((drive.ready(0), drive.ready(1)), (TRAY_OPEN, TRAY_OPEN));
    assert_eq!(drive.read(1, 0).key_and_code(), TRAY_OPEN);
    assert_eq!(drive.tray(1, false), None);
    for who in 0..2 {
        assert_eq!((drive.ready(who), drive.ready(who)), (NEW_MEDIUM, None));
    }
    drive.read(0, 0).good();
    drive.end();
}

#[test]
fn nobody_takes_the_disc_from_who_prevents_it_while_its_session_lasts() {
    let mut drive = Drive::new();
    assert_eq!((drive.event(0), drive.event(0)), (2, 0), "it sees the disc");
    drive.prevent(0, true);
    assert_eq!((drive.tray(1, true), drive.tray(0, true)), (REMOVAL_PREVENTED, REMOVAL_PREVENTED));
    let said = drive.rig.controller.eject_disc("cd", false).expect_err("it is locked");
    assert!(matches!(said, AdminError::Busy(ref text) if text.contains("force")), "{said}");
    assert_eq!(drive.ready(0), None);
    assert_eq!((drive.event(0), drive.event(0)), (1, 0), "it is asked for the disc");
    drive.prevent(0, false);
    assert_eq!((drive.tray(1, true), drive.tray(1, false)), (None, None));
    assert_eq!((drive.ready(0), drive.ready(1)), (NEW_MEDIUM, NEW_MEDIUM));

    drive.prevent(0, true);
    let (initiator, channel) = &mut drive.initiators[1];
    let reset = initiator.manage(*channel, Function::LunReset, lun(0), None).expect("a credit");
    assert_eq!(drive.finish(1, reset).code, Some(0));
    drive.hear(1);
    assert_eq!(drive.tray(1, true), None, "a reset allows it");
    assert_eq!(drive.tray(1, false), None);

    drive.hear(0);
    drive.prevent(0, true);
    let (mut gone, channel) = {
        let other = drive.rig.initiator(3);
        std::mem::replace(&mut drive.initiators[0], (other, 0))
    };
    gone.disconnect(channel);
    for _ in 0..1000 {
        drive.rig.step();
    }
    assert_eq!(drive.rig.controller.sessions().len(), 1);
    drive.hear(1);
    assert_eq!(drive.tray(1, true), None, "its session is over");
    let (initiator, channel) = &mut drive.initiators[0];
    *channel = drive.rig.login(initiator, MultiChannel::Single);
    drive.end();
}

#[test]
fn an_administrator_changes_the_disc_and_every_initiator_reads_the_new_one() {
    let mut drive = Drive::new();
    let said = drive.rig.controller.check_disc_is_out("cd").expect_err("it is in");
    assert!(said.to_string().contains("srp_cdrom_eject"), "{said}");
    drive.prevent(0, true);
    drive.rig.controller.eject_disc("cd", true).expect("by force");
    assert_eq!((drive.ready(0), drive.ready(1)), (TRAY_OPEN, TRAY_OPEN));
    assert_eq!((drive.tray(1, false), drive.ready(1)), (None, TRAY_CLOSED), "the disc is out");
    drive.insert();
    for who in 0..2 {
        assert_eq!((drive.ready(who), drive.ready(who)), (NEW_MEDIUM, None));
        assert_eq!((drive.capacity(who), drive.read(who, 59).good().data), (60, vec![2; CD_BLOCK as usize]));
    }
    for name in ["disk", "nobody"] {
        let said = drive.rig.controller.eject_disc(name, false).expect_err("no drive").to_string();
        assert!(said.contains("bdev_name") && said.contains("device_type"), "{said}");
    }
    drive.end();
}

/// What was under way on the old disc ends with its data, although it is already out.
#[test]
fn a_read_that_is_under_way_when_the_disc_goes_gets_its_data() {
    let mut drive = Drive::new();
    drive.rig.groups.iter_mut().for_each(|group| group.devices_held = true);
    let read = drive.start(0, &Request::read(lun(0), 3, 1, CD_BLOCK));
    drive.rig.run(20);
    drive.rig.controller.eject_disc("cd", false).expect("nobody prevents it");
    assert_eq!(drive.read(1, 3).key_and_code(), TRAY_OPEN);
    drive.rig.groups.iter_mut().for_each(|group| group.devices_held = false);
    assert_eq!(drive.finish(0, read).good().data, [1; CD_BLOCK as usize]);
    drive.end();
}

/// Between blocks of different sizes, from another type of device.
#[test]
fn a_disc_is_copied_to_a_disk_within_the_target() {
    let mut drive = Drive::new();
    let targets = drive.rig.controller.targets();
    let naa = |number: usize| targets[0].luns[number].unit.naa();
    let mut list = vec![1, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 28, 0, 0, 0, 0];
    for (number, device_type) in [(0, 0x05), (1, 0x00)] {
        list.extend([0xe4, device_type, 0, 0, 1, 3, 0, 8]);
        list.extend(naa(number).to_be_bytes());
        list.extend([0; 16]);
    }
    list.extend([2, 0, 0, 0x18, 0, 0, 0, 1, 0, 0, 0, 40]);
    list.extend([0; 16]);
    let mut cdb = [0; 16];
    (cdb[0], cdb[13]) = (0x83, list.len() as u8);
    drive.execute(0, &Request::new(lun(1), cdb).data_out(list.clone())).good();
    for lba in [0, 159, 160] {
        let data = drive.execute(1, &Request::read(lun(1), lba, 1, BLOCK)).good().data;
        assert_eq!(data, [u8::from(lba < 160); BLOCK as usize], "{lba}");
    }
    // The other way the drive refuses, as a destination that is write protected.
    let swapped = list.len() - 28;
    list[swapped + 5..swapped + 8].copy_from_slice(&[1, 0, 0]);
    let answer = drive.execute(0, &Request::new(lun(1), cdb).data_out(list));
    assert_eq!(answer.key_and_code(), Some((0xa, 0x0d, 0x01)));
    assert_eq!((answer.sense[18], answer.sense[21] & 0xf, &answer.sense[31..33]), (2, 7, &[0x27, 0x00][..]));
    drive.end();
}

#[test]
fn what_is_no_cd_is_refused_and_the_first_lun_decides() {
    let mut drive = Drive::new();
    let cdrom = LunOptions { device_type: Some(DeviceType::CdRom), ..Default::default() };
    let said = drive.rig.controller.add_lun("tgt0", &malloc("small", 64), &cdrom).expect_err("512 bytes").to_string();
    assert!(said.contains("block_size 2048"), "{said}");
    let said = drive.rig.controller.add_lun("tgt0", &drive.bdev, &cdrom).expect_err("exported").to_string();
    assert!(said.contains("device_type"), "{said}");
    drive.rig.controller.add_lun("tgt0", &drive.bdev, &LunOptions::default()).expect("another LUN");
    drive.end();
}
