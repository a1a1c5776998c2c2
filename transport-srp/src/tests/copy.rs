//! Third-party copies: the data stays here, and whatever ends a copy leaves nothing behind.

use fabric::sim::SimOptions;
use scsi::Eui64;

use super::*;
use crate::initiator_group::GroupLuns;
use crate::testing::wire::Function;
use crate::testing::{Answer, Handle, Outcome};

const SOURCE: u16 = 0;
const DESTINATION: u16 = 1;
const THIRD: u16 = 2;
/// More than two pieces of the largest transfer.
const BLOCKS: u16 = 5000;

/// Three disks, and one initiator that is told of nothing any more.
struct Copying {
    rig: Rig,
    held: bool,
    initiator: Initiator,
    channel: usize,
}

impl Copying {
    fn new(reactors: usize) -> Copying {
        let mut rig = Rig::new(71, reactors, SimOptions::default(), 32);
        for (number, name) in ["from", "to", "third"].into_iter().enumerate() {
            let options = LunOptions { eui64: Some(eui64(number as u16)), ..Default::default() };
            rig.controller.add_lun("tgt0", &malloc(name, 8192), &options).expect("a LUN");
        }
        rig.run(5);
        let mut initiator = rig.initiator(1);
        let channel = rig.login(&mut initiator, MultiChannel::Single);
        (0..3).for_each(|number| rig.clear_attention(&mut initiator, channel, number));
        Copying { rig, held: false, initiator, channel }
    }

    /// Holds what is at the devices there, or lets it go.
    fn hold(&mut self, held: bool) {
        self.held = held;
        self.rig.groups.iter_mut().for_each(|group| group.devices_held = held);
    }

    fn run(&mut self, rounds: usize) {
        (0..rounds).for_each(|_| self.rig.step());
        self.initiator.poll();
    }

    fn execute(&mut self, request: &Request) -> Answer {
        self.initiator.execute(self.channel, request, &mut || self.rig.step()).answer()
    }

    fn start(&mut self, request: &Request) -> Handle {
        let handle = self.initiator.start(self.channel, request).expect("a credit");
        self.run(20);
        handle
    }

    fn finish(&mut self, handle: Handle) -> Answer {
        self.initiator.finish(handle, &mut || self.rig.step()).answer()
    }

    fn manage(&mut self, function: Function, number: u16, task: Option<Handle>) {
        let handle = self.initiator.manage(self.channel, function, lun(number), task).expect("a credit");
        assert_eq!(self.initiator.finish(handle, &mut || self.rig.step()).answer().code, Some(0));
    }

    /// Lets the devices go for one round: what was there is done, what follows stays at the next.
    fn one_round(&mut self) {
        self.hold(false);
        self.rig.step();
        self.hold(true);
    }

    /// A copy whose first piece was read and is being written.
    fn start_to_write(&mut self) -> Handle {
        self.hold(true);
        let handle = self.start(&copy(1, SOURCE, DESTINATION, BLOCKS));
        assert_eq!(self.at_devices(), [1, 0, 0], "the source is read");
        self.one_round();
        assert_eq!(self.at_devices(), [0, 1, 0], "the destination is written");
        handle
    }

    fn fill(&mut self, number: u16, seed: u8) -> Vec<u8> {
        let data = pattern(usize::from(BLOCKS) * BLOCK as usize, seed);
        for (index, piece) in data.chunks(1 << 20).enumerate() {
            let write = Request::write(lun(number), index as u32 * 2048, BLOCK, piece);
            assert_eq!(self.execute(&write).status, 0);
        }
        data
    }

    fn read(&mut self, number: u16) -> Vec<u8> {
        let blocks = (0..u32::from(BLOCKS)).step_by(2048).map(|at| (at, (u32::from(BLOCKS) - at).min(2048) as u16));
        blocks.flat_map(|(at, blocks)| self.execute(&Request::read(lun(number), at, blocks, BLOCK)).data).collect()
    }

    /// Operations at the devices of each unit.
    fn at_devices(&self) -> Vec<usize> {
        let at = |index: usize| {
            let units = self.rig.groups.iter().filter_map(|group| group.units.get(index)?.as_ref());
            units.filter_map(|unit| unit.device.as_ref()).map(bdev::Channel::in_flight).sum()
        };
        (0..3).map(at).collect()
    }

    fn bytes_moved(&self) -> (u64, u64) {
        let sessions = self.rig.controller.sessions();
        let channels = sessions.iter().flat_map(|session| &session.channels);
        channels.fold((0, 0), |(out, back), channel| (out + channel.bytes_out, back + channel.bytes_in))
    }

    fn copy_status(&mut self, id: u8) -> Answer {
        let mut cdb = [0; 16];
        (cdb[0], cdb[2], cdb[13]) = (0x84, id, 12);
        self.execute(&Request::new(lun(SOURCE), cdb).data_in(12))
    }

    fn end(mut self) {
        self.hold(false);
        self.run(20);
        self.initiator.disconnect(self.channel);
        self.rig.check_nothing_leaked();
    }
}

fn eui64(number: u16) -> Eui64 {
    format!("{:016x}", 0x0200_0000_0000_0001 + u64::from(number)).parse().expect("an EUI-64")
}

/// EXTENDED COPY(LID1) to LUN 0, of blocks from 0 on.
fn copy(id: u8, from: u16, to: u16, blocks: u16) -> Request {
    let mut list = vec![id, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 28, 0, 0, 0, 0];
    for number in [from, to] {
        list.extend([0xe4, 0, 0, 0, 1, 2, 0, 8]);
        list.extend(eui64(number).bytes());
        list.extend([0; 16]);
    }
    list.extend([2, 0, 0, 0x18, 0, 0, 0, 1, 0, 0]);
    list.extend(blocks.to_be_bytes());
    list.extend([0; 16]);
    let mut cdb = [0; 16];
    (cdb[0], cdb[13]) = (0x83, list.len() as u8);
    Request::new(lun(SOURCE), cdb).data_out(list)
}

const LIST_BYTES: u64 = 16 + 2 * 32 + 28;
const UNKNOWN_LIST_ID: Option<(u8, u8, u8)> = Some((5, 0x24, 0));

#[test]
fn the_data_stays_in_the_target() {
    let mut copying = Copying::new(2);
    let data = copying.fill(SOURCE, 1);
    let before = copying.bytes_moved();
    assert_eq!(copying.execute(&copy(1, SOURCE, DESTINATION, BLOCKS)).status, 0);
    assert_eq!(copying.bytes_moved(), (before.0 + LIST_BYTES, before.1), "nothing but the list went over the fabric");
    assert!(copying.read(DESTINATION) == data);
    let status = copying.copy_status(1).data;
    assert_eq!(status[4..8], [1, 0, 1, 0]);
    assert_eq!(status[8..], (u32::from(BLOCKS) * BLOCK).to_be_bytes());
    copying.end();
}

/// The fence is the destination's, where the write may still land; it is not that of the unit which took the command.
#[test]
fn an_aborted_copy_keeps_others_off_what_it_still_writes() {
    let mut copying = Copying::new(1);
    copying.fill(SOURCE, 1);
    let handle = copying.start_to_write();
    copying.manage(Function::AbortTask, SOURCE, Some(handle));
    assert_eq!(copying.initiator.take(handle), Some(Outcome::Aborted));
    let newer = pattern(4096, 9);
    let write = copying.start(&Request::write(lun(DESTINATION), 0, BLOCK, newer.clone()));
    assert_eq!(copying.at_devices(), [0, 1, 0], "held back by the fence");
    copying.start(&Request::read(lun(SOURCE), 0, 8, BLOCK));
    assert_eq!(copying.at_devices(), [1, 1, 0], "the source is free");
    assert_eq!(copying.copy_status(1).key_and_code(), UNKNOWN_LIST_ID, "it is over");
    copying.hold(false);
    assert_eq!(copying.finish(write).status, 0);
    assert_eq!(copying.read(DESTINATION)[..4096], newer);
    assert_eq!(copying.execute(&copy(1, SOURCE, DESTINATION, 8)).status, 0, "the identifier is free");
    copying.end();
}

/// A read lands nowhere, so it raises no fence.
#[test]
fn a_copy_that_is_aborted_while_it_reads_keeps_nobody_off() {
    let mut copying = Copying::new(1);
    copying.hold(true);
    let handle = copying.start(&copy(1, SOURCE, DESTINATION, BLOCKS));
    copying.manage(Function::LunReset, SOURCE, None);
    assert_eq!(copying.initiator.take(handle), Some(Outcome::Aborted));
    copying.start(&Request::write(lun(DESTINATION), 0, BLOCK, pattern(4096, 9)));
    assert_eq!(copying.at_devices(), [1, 1, 0]);
    copying.end();
}

/// The copy waits while something older is still to land at its destination, and can be aborted there.
#[test]
fn a_copy_waits_at_the_fence_of_its_destination() {
    let mut copying = Copying::new(1);
    let data = copying.fill(SOURCE, 1);
    copying.hold(true);
    let old = copying.start(&Request::write(lun(DESTINATION), 0, BLOCK, pattern(4096, 9)));
    copying.manage(Function::AbortTask, DESTINATION, Some(old));
    let handle = copying.start(&copy(1, SOURCE, DESTINATION, BLOCKS));
    let aborted = copying.start(&copy(2, SOURCE, DESTINATION, BLOCKS));
    assert_eq!(copying.at_devices(), [2, 1, 0]);
    // Only the source is let go.
    let orphan_left = |copying: &Copying| copying.at_devices()[1];
    for group in &mut copying.rig.groups {
        group.busy_units.retain(|unit| unit.0 == 0);
    }
    copying.one_round();
    copying.run(10);
    assert_eq!((copying.at_devices(), orphan_left(&copying)), (vec![0, 1, 0], 1), "both wait");
    copying.manage(Function::AbortTask, SOURCE, Some(aborted));
    for group in &mut copying.rig.groups {
        group.busy_units.push(crate::session::UnitId(1));
    }
    copying.hold(false);
    assert_eq!(copying.finish(handle).status, 0);
    assert!(copying.read(DESTINATION) == data, "the old write came first");
    copying.end();
}

/// It has read its piece and waits for the device when somebody begins to sanitize the destination: it writes nothing after that.
#[test]
fn a_copy_does_not_write_to_a_destination_that_is_being_sanitized() {
    const COPY_ABORTED: u8 = 0xa;
    let mut copying = Copying::new(1);
    copying.fill(SOURCE, 1);
    copying.hold(true);
    let old = copying.start(&Request::write(lun(DESTINATION), 0, BLOCK, pattern(4096, 9)));
    copying.manage(Function::AbortTask, DESTINATION, Some(old));
    let handle = copying.start(&copy(1, SOURCE, DESTINATION, BLOCKS));
    for group in &mut copying.rig.groups {
        group.busy_units.retain(|unit| unit.0 == 0);
    }
    copying.one_round();
    copying.run(10);
    assert_eq!(copying.at_devices(), [0, 1, 0], "it waits at the fence");
    let sanitize = copying.start(&Request::new(lun(DESTINATION), [0x48, 0x02, 0, 0, 0, 0, 0, 0, 0, 0]));
    for group in &mut copying.rig.groups {
        group.busy_units.push(crate::session::UnitId(1));
    }
    copying.hold(false);
    assert_eq!(copying.finish(handle).key_and_code().map(|(key, ..)| key), Some(COPY_ABORTED));
    assert_eq!(copying.finish(sanitize).status, 0);
    assert!(copying.read(DESTINATION).iter().all(|byte| *byte == 0));
    copying.end();
}

#[test]
fn a_channel_that_dies_leaves_an_orphan_with_the_fence_of_the_destination() {
    let mut copying = Copying::new(2);
    copying.fill(SOURCE, 1);
    copying.start_to_write();
    let again =
        copying.initiator.open(MultiChannel::Single, &mut || copying.rig.step()).expect("the login is accepted");
    copying.channel = again;
    for number in 0..3 {
        copying.rig.clear_attention(&mut copying.initiator, again, number);
    }
    let newer = pattern(4096, 9);
    let write = copying.start(&Request::write(lun(DESTINATION), 0, BLOCK, newer.clone()));
    assert_eq!(copying.at_devices(), [0, 1, 0], "on another core, and held back all the same");
    assert_eq!(copying.copy_status(1).key_and_code(), UNKNOWN_LIST_ID);
    copying.hold(false);
    assert_eq!(copying.finish(write).status, 0);
    assert_eq!(copying.read(DESTINATION)[..4096], newer);
    copying.end();
}

#[test]
fn a_reset_by_another_initiator_ends_a_copy_with_a_status() {
    let mut copying = Copying::new(2);
    copying.fill(SOURCE, 1);
    let handle = copying.start_to_write();
    let mut other = copying.rig.initiator(2);
    let channel = copying.rig.login(&mut other, MultiChannel::Single);
    let reset = other.manage(channel, Function::LunReset, lun(SOURCE), None).expect("a credit");
    other.finish(reset, &mut || copying.rig.step());
    assert_eq!(copying.finish(handle).status, 0x40, "TASK ABORTED");
    other.disconnect(channel);
    copying.end();
}

/// The destination goes while it is written to: what is there ends, the rest is not attempted, and the bdev is let go of.
#[test]
fn a_destination_that_is_removed_ends_the_copy() {
    let mut copying = Copying::new(1);
    copying.fill(SOURCE, 1);
    let handle = copying.start_to_write();
    copying.rig.controller.remove_lun("tgt0", DESTINATION).expect("it is there");
    copying.run(20);
    assert!(copying.rig.controller.bdev_user("to").is_some(), "the device is at work");
    copying.hold(false);
    let answer = copying.finish(handle);
    assert_eq!(answer.key_and_code(), Some((0xa, 0x0d, 0x01)));
    assert_eq!(answer.sense[9], 18, "with the destination's sense data");
    assert_eq!((answer.sense[18], answer.sense[21], &answer.sense[31..33]), (2, 2, &[0x04, 0x03][..]), "not ready");
    let left = u32::from_be_bytes([answer.sense[3], answer.sense[4], answer.sense[5], answer.sense[6]]);
    assert_eq!((answer.sense[0] & 0x80, left), (0x80, u32::from(BLOCKS) - 2048), "blocks that are left");
    copying.run(20);
    assert_eq!(copying.rig.controller.bdev_user("to"), None);
    copying.end();
}

/// A unit's number may be given to another unit while a copy still knows the old one by it: that other unit is not written to.
#[test]
fn a_copy_does_not_write_to_a_unit_that_came_in_the_place_of_its_destination() {
    let mut copying = Copying::new(1);
    copying.fill(SOURCE, 1);
    copying.hold(true);
    let handle = copying.start(&copy(1, SOURCE, DESTINATION, BLOCKS));
    copying.rig.controller.remove_lun("tgt0", DESTINATION).expect("it is there");
    copying.run(20);
    assert_eq!(copying.rig.controller.bdev_user("to"), None, "nothing of the copy is there");
    let other = malloc("other", 8192);
    let before = copying.rig.groups[0].units.len();
    copying.rig.export(&other);
    assert_eq!(copying.rig.groups[0].units.len(), before, "the number is used again");
    copying.hold(false);
    assert_eq!(copying.finish(handle).key_and_code(), Some((0xa, 0x0d, 0x01)));
    assert!(copying.rig.controller.sessions().len() == 1);
    let now = copying.read_as(DESTINATION);
    assert!(now.iter().all(|&byte| byte == 0), "nothing was written to it");
    copying.end();
}

impl Copying {
    /// Reads a unit that is new under its number.
    fn read_as(&mut self, number: u16) -> Vec<u8> {
        self.rig.clear_attention(&mut self.initiator, self.channel, number);
        self.read(number)
    }
}

#[test]
fn a_unit_that_was_taken_away_cannot_be_named() {
    let mut copying = Copying::new(1);
    copying.rig.controller.remove_lun("tgt0", THIRD).expect("it is there");
    copying.run(20);
    for number in 0..2 {
        copying.rig.clear_attention(&mut copying.initiator, copying.channel, number);
    }
    let answer = copying.execute(&copy(1, SOURCE, THIRD, 8));
    assert_eq!(answer.key_and_code(), Some((0xa, 0x0d, 0x02)));
    copying.end();
}

/// It is there, and has LUN 2 of the same target: but not for this initiator.
#[test]
fn a_unit_that_is_masked_cannot_be_named_and_is_not_touched() {
    let mut copying = Copying::new(1);
    let data = copying.fill(THIRD, 3);
    copying.initiator.disconnect(copying.channel);
    copying.run(2000);
    let everybody = vec!["*".parse().expect("a pattern")];
    let group = crate::InitiatorGroup {
        name: "two".into(),
        target: None,
        initiators: everybody,
        luns: GroupLuns::Some(vec![SOURCE, DESTINATION]),
    };
    copying.rig.controller.create_initiator_group(group).expect("a group");
    copying.channel = copying.rig.login(&mut copying.initiator, MultiChannel::Single);
    copying.rig.clear_attention(&mut copying.initiator, copying.channel, SOURCE);
    for (from, to, at) in [(SOURCE, THIRD, 48), (THIRD, SOURCE, 16)] {
        let answer = copying.execute(&copy(1, from, to, 8));
        assert_eq!(answer.key_and_code(), Some((0xa, 0x0d, 0x02)), "COPY TARGET DEVICE NOT REACHABLE");
        assert_eq!(answer.sense[15..18], [0x80, 0, at], "its descriptor");
    }
    copying.initiator.disconnect(copying.channel);
    copying.run(2000);
    copying.rig.controller.delete_initiator_group("two").expect("it is there");
    copying.channel = copying.rig.login(&mut copying.initiator, MultiChannel::Single);
    copying.rig.clear_attention(&mut copying.initiator, copying.channel, THIRD);
    assert!(copying.read(THIRD) == data);
    copying.end();
}
