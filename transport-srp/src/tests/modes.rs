//! What initiators change of a unit, through the whole target: who is told, what is kept, what goes with its nexus.

use std::collections::BTreeMap;
use std::sync::Mutex;

use bdev::uring::UringOptions;
use fabric::sim::SimOptions;
use scsi::{Saved, Store, StoreError};

use super::*;
use crate::EventKind;
use crate::testing::Form;

/// Keeps things as long as the target lives.
#[derive(Default)]
pub(super) struct Memory(Mutex<BTreeMap<u64, Saved>>);

impl Store for Memory {
    fn load(&self, naa: u64) -> Result<Saved, StoreError> {
        Ok(self.0.lock().expect("no panic").get(&naa).cloned().unwrap_or_default())
    }

    fn save(&self, naa: u64, saved: &Saved) -> Result<(), StoreError> {
        self.0.lock().expect("no panic").insert(naa, saved.clone());
        Ok(())
    }
}

/// Two initiators, logged in to a target with a store and a RAM disk; nothing is pending for either.
struct Two {
    rig: Rig,
    initiators: [Initiator; 2],
    channels: [usize; 2],
}

impl Two {
    fn new(seed: u64) -> Two {
        let mut rig = Rig::new(seed, 2, SimOptions::jittery(), 16);
        rig.controller.set_store(Box::<Memory>::default());
        rig.export(&malloc("ram0", 100));
        let mut initiators = [rig.initiator(1), rig.initiator(2)];
        let channels = [0, 1].map(|index| rig.login(&mut initiators[index], MultiChannel::Single));
        let mut two = Two { rig, initiators, channels };
        (0..2).for_each(|index| two.clear_attention(index));
        two
    }

    fn clear_attention(&mut self, index: usize) {
        self.rig.clear_attention(&mut self.initiators[index], self.channels[index], 0);
    }

    fn send(&mut self, index: usize, request: &Request) -> crate::testing::Answer {
        self.rig.execute(&mut self.initiators[index], self.channels[index], request).answer()
    }

    fn put(&mut self, index: usize, cdb: &[u8], data: &[u8]) -> Option<(u8, u8, u8)> {
        self.send(index, &Request::new(lun(0), cdb.to_vec()).data_out(data.to_vec())).key_and_code()
    }

    fn get(&mut self, index: usize, cdb: &[u8], len: u32) -> Vec<u8> {
        let request = Request::new(lun(0), cdb.to_vec()).data_in(len);
        self.rig.execute(&mut self.initiators[index], self.channels[index], &request).good().data
    }

    /// The sense of TEST UNIT READY.
    fn ready(&mut self, index: usize) -> Option<(u8, u8, u8)> {
        self.send(index, &Request::test_unit_ready(lun(0))).key_and_code()
    }

    fn end(mut self) {
        for (initiator, channel) in self.initiators.iter_mut().zip(self.channels) {
            initiator.disconnect(channel);
        }
        self.rig.check_nothing_leaked();
    }
}

#[test]
fn each_change_is_told_to_the_other_initiator_once() {
    let mut two = Two::new(71);
    let control = [0, 0, 0, 0, 0x0a, 0x0a, 0x06, 0x10, 0, 0x40, 0, 0, 0, 0, 0, 60];
    let time = [0, 0, 0, 0, 0, 0xdc, 0x6a, 0xcf, 0xac, 0, 0, 0];
    for (cdb, list, code, qualifier) in [
        (&[0x15, 0x11, 0, 0, 16, 0][..], &control[..], 0x2a, 0x01),
        (&[0x4c, 2, 0xc0, 0, 0, 0, 0, 0, 0, 0], &[], 0x2a, 0x02),
        (&[0xa4, 0x06, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0], b"name", 0x3f, 0x05),
        (&[0xa4, 0x0f, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0], &time, 0x2a, 0x10),
    ] {
        assert_eq!(two.put(0, cdb, list), None, "{cdb:02x?}");
        assert_eq!((two.ready(0), two.ready(1)), (None, Some((6, code, qualifier))), "{cdb:02x?}");
        assert_eq!(two.ready(1), None);
    }
    two.end();
}

#[test]
fn what_was_saved_is_there_when_the_unit_is_made_anew() {
    let mut two = Two::new(72);
    let protect = [0, 0, 0, 0, 0x0a, 0x0a, 0x02, 0x10, 0x08, 0x40, 0, 0, 0, 0, 0, 60];
    assert_eq!(two.put(0, &[0x15, 0x11, 0, 0, 16, 0], &protect), None);
    assert_eq!(two.put(0, &[0xa4, 0x06, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0], b"name"), None);
    let (bdev, naa) = {
        let target = two.rig.controller.targets().remove(0);
        (Arc::clone(target.luns[0].unit.bdev()), target.luns[0].unit.naa())
    };
    two.rig.controller.remove_lun("tgt0", 0).expect("a LUN");
    two.rig.run(200);
    assert_eq!(two.rig.controller.bdev_user("ram0"), None, "the unit is gone");
    two.rig.export(&bdev);
    assert_eq!(two.rig.controller.targets()[0].luns[0].unit.naa(), naa);
    (0..2).for_each(|index| two.clear_attention(index));
    assert_eq!(two.get(1, &[0x1a, 0x08, 0x0a, 0, 16, 0], 16)[8], 0x08);
    let write = [0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0];
    assert_eq!(two.put(1, &write, &[1; 512]), Some((7, 0x27, 0x02)));
    assert_eq!(two.get(1, &[0xa3, 0x05, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0], 8), b"\0\0\0\x04name");
    two.end();
}

#[test]
fn an_echo_buffer_goes_with_its_session() {
    let mut two = Two::new(73);
    let read = [0x3c, 0x0a, 0, 0, 0, 0, 0, 0, 4, 0];
    assert_eq!(two.put(0, &[0x3b, 0x0a, 0, 0, 0, 0, 0, 0, 4, 0], b"echo"), None);
    assert_eq!(two.get(0, &read, 4), b"echo");
    let request = Request::new(lun(0), read.to_vec()).data_in(4);
    assert_eq!(two.send(1, &request).key_and_code(), Some((5, 0x2c, 0)));
    two.initiators[0].disconnect(two.channels[0]);
    two.rig.run(200);
    two.channels[0] = two.rig.login(&mut two.initiators[0], MultiChannel::Single);
    two.clear_attention(0);
    assert_eq!(two.send(0, &request).key_and_code(), Some((5, 0x2c, 0)));
    two.end();
}

/// A stopped unit is stopped for everybody, on every core, until somebody starts it or resets it.
#[test]
fn a_unit_is_stopped_and_started_for_all() {
    let mut two = Two::new(74);
    assert_eq!(two.put(0, &[0x1b, 0, 0, 0, 0, 0], &[]), None);
    assert_eq!((two.ready(0), two.ready(1)), (Some((2, 0x04, 0x02)), Some((2, 0x04, 0x02))));
    assert_eq!(two.put(1, &[0x1b, 0, 0, 0, 1, 0], &[]), None);
    assert_eq!((two.ready(0), two.ready(1)), (None, None));
    two.end();
}

/// Two initiators at a file through the page cache, each on a core of its own.
struct Cached {
    rig: Rig,
    initiators: [Initiator; 2],
    channels: [usize; 2],
    _folder: tempfile::TempDir,
}

impl Cached {
    fn new(seed: u64, options: SimOptions) -> Cached {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("disk.img");
        std::fs::write(&file, [0; 65536]).expect("a file");
        let disk = UringOptions { name: "disk".into(), filename: file, direct: Some(false), ..Default::default() };
        let mut rig = Rig::new(seed, 2, options, 16);
        rig.controller.set_store(Box::<Memory>::default());
        rig.export(&bdev::uring::create(disk).expect("a device on a file"));
        let mut initiators = [rig.initiator(1), rig.initiator(2)];
        let channels = [0, 1].map(|index| rig.login(&mut initiators[index], MultiChannel::Single));
        (0..2).for_each(|index| rig.clear_attention(&mut initiators[index], channels[index], 0));
        Cached { rig, initiators, channels, _folder: folder }
    }

    /// MODE SELECT by the second initiator that switches the cache off.
    fn off(&mut self) -> Request {
        let sense = Request::new(lun(0), [0x1a, 8, 8, 0, 0xff, 0]).data_in(255);
        let sense = self.rig.execute(&mut self.initiators[1], self.channels[1], &sense).good();
        let mut page = sense.data[..24].to_vec();
        assert_eq!((page[4] & 0x3f, page[6] & 4), (8, 4), "the caching page, with WCE");
        (page[0], page[6]) = (0, page[6] & !4);
        Request::new(lun(0), [0x15, 0x10, 0, 0, 24, 0]).data_out(page).form(Form::Immediate)
    }

    fn start(&mut self, index: usize, request: &Request) -> crate::testing::Handle {
        self.initiators[index].start(self.channels[index], request).expect("a credit")
    }

    fn finish(&mut self, index: usize, command: crate::testing::Handle) {
        self.initiators[index].finish(command, &mut || self.rig.step()).good();
    }

    /// What its device was asked for and what it has done, in that order.
    fn operations(&self) -> Vec<&'static str> {
        let events = self.rig.controller.trace_events(usize::MAX, None).into_iter();
        let named = events.filter_map(|event| match event.kind {
            EventKind::Submitted { operation, .. } => Some(operation),
            EventKind::Done { .. } => Some("done"),
            _ => None,
        });
        named.collect()
    }

    fn end(mut self) {
        self.initiators.iter_mut().zip(self.channels).for_each(|(initiator, channel)| initiator.disconnect(channel));
        self.rig.check_nothing_leaked();
    }
}

/// The cache was flushed and then switched off, and what was written in between stayed in it: a WRITE that the device was at during the flush, and one
/// that was held back then and had its operation already. Nobody flushes a cache that is off.
#[test]
fn writes_under_way_when_the_cache_goes_off_are_flushed_or_through() {
    let mut cached = Cached::new(76, SimOptions::default());
    let off = cached.off();
    let write = |lba| Request::write(lun(0), lba, BLOCK, vec![7; 4096]).form(Form::Immediate);

    cached.rig.groups.iter_mut().for_each(|group| group.devices_held = true);
    let at_device = cached.start(0, &write(0));
    cached.rig.run(20);
    let writing = cached.rig.groups.iter().position(|group| !group.busy_units.is_empty()).expect("one core");
    cached.rig.groups[1 - writing].devices_held = false;
    let select = cached.start(1, &off);
    while cached.operations() != ["write", "flush", "done"] {
        cached.rig.step();
    }
    cached.rig.run(20);
    let held_back = cached.start(0, &write(1));
    cached.rig.run(20);
    assert_eq!(cached.operations(), ["write", "flush", "done"], "a WRITE is under way");

    cached.rig.groups[writing].devices_held = false;
    for (index, command) in [(0, at_device), (1, select), (0, held_back)] {
        cached.finish(index, command);
    }
    let through = ["write", "flush", "done", "done", "flush", "done", "write fua", "done"];
    assert_eq!(cached.operations(), through);
    cached.end();
}

/// A WRITE was fetched while another initiator switched the cache off. It took the short way to its device, with the operation as the unit would have had
/// it when the WRITE arrived: through the cache, although nobody would flush that any more.
#[test]
fn a_write_whose_data_were_under_way_when_the_cache_went_off_is_through() {
    let fetch = Duration::from_secs(3);
    let mut cached = Cached::new(75, SimOptions { read_delay: fetch..=fetch, ..SimOptions::default() });
    let off = cached.off();
    let write = cached.start(0, &Request::write(lun(0), 0, BLOCK, vec![7; 4096]));
    cached.rig.run(20);
    let select = cached.start(1, &off);
    cached.finish(1, select);
    cached.rig.network.advance(fetch);
    cached.finish(0, write);
    assert_eq!(cached.operations(), ["flush", "done", "flush", "done", "write fua", "done"]);
    cached.end();
}
