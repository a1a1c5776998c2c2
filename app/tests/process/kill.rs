//! kill -9 at random moments: what an initiator was told is durable is in the file, byte for byte.
//!
//! A record fills a block: its number, how often the block was written, and bytes that follow from these. Each lane has blocks
//! of its own and one write under way; so a block holds the last record that was acknowledged, or the one after it, whole. With
//! metadata a block may lie across two pages of the file, each of which then holds one of the two.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fabric::{Completion, Connect, Control, ControlEvent, GroupId, QueuePairSizes};
use hugepage_setup::AllocationRequest;
use reactor::{Clock, SystemClock};
use scsi::wire::cdb::opcode;
use scsi::{Addressing, Lun};
use serde_json::json;
use srpt_perf::endpoint::{Endpoint, QueuePair};
use srpt_perf::initiator::cdb::{self, Cdb};
use srpt_perf::initiator::{Answer, Channel, Event, Form, Login, MemoryLayout, Slot, Transfer, Verdict};
use srpt_perf::random::{Xorshift, scramble};
use srpt_perf::workload::Direction;
use transport_srp::wire::PortId;

use super::roce::fresh_address;
use super::{PATIENCE, Target, folder};

/// SRPT_KILLS in the environment asks for more.
const KILLS: u64 = 30;
/// Longest life of a target under load.
const LIFE_MAX: Duration = Duration::from_millis(60);
const DISKS: usize = 3;
const LANES: usize = 8;
const BLOCKS: usize = 16 * LANES;

#[test]
fn what_was_acknowledged_as_durable_survives_kill_9() {
    let seed =
        std::env::var("SRPT_SEED").map_or_else(|_| fresh_seed(), |seed| seed.parse().expect("SRPT_SEED: a number"));
    println!("SRPT_SEED={seed} does it again");
    let kills = std::env::var("SRPT_KILLS").map_or(KILLS, |number| number.parse().expect("SRPT_KILLS: a number"));
    let mut random = Xorshift::new(seed);
    let folder = folder();
    let mut disks: [Disk; DISKS] = [
        Disk::new(folder.path(), "direct", 512, json!({})),
        Disk::new(folder.path(), "cached", 4096, json!({"direct": false})),
        Disk::new(folder.path(), "protected", 512, json!({"md_size": 8, "md_interleave": true, "dif_type": 1})),
    ];
    for kill in 0..kills {
        let (mut target, at) = serve(folder.path(), &disks);
        let lun = kill % DISKS as u64;
        let disk = &mut disks[lun as usize];
        let mut initiator = Initiator::login(at, 7, lun, disk.block_bytes);
        let life = Duration::from_micros(random.below(LIFE_MAX.as_micros() as u64));
        initiator.write(disk, &mut random, life, kill / DISKS as u64);
        target.child.kill().expect("kill -9");
        target.wait();
        // What arrived before the end was acknowledged, too.
        initiator.poll(disk);
        disk.compare_file(kill);
    }
    let (_target, at) = serve(folder.path(), &disks);
    for (lun, disk) in (0..).zip(&disks) {
        assert!(disk.written() >= kills / DISKS as u64 / 2, "{}: hardly anything was written", disk.name);
        Initiator::login(at, 7, lun, disk.block_bytes).compare(disk);
    }
}

/// CRC of T10 protection information (SBC-3), bit by bit.
fn guard(data: &[u8]) -> u16 {
    data.iter().fold(0, |crc, &byte| {
        (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| crc << 1 ^ if crc >> 15 == 1 { 0x8bb7 } else { 0 })
    })
}

pub(super) fn fresh_seed() -> u64 {
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    scramble(time.as_nanos() as u64) >> 16
}

/// A target with these disks, and where it listens.
fn serve(folder: &Path, disks: &[Disk]) -> (Target, SocketAddr) {
    let at = SocketAddr::from((fresh_address(), 5555));
    let target = Target::start(folder, &[]);
    target.call("srp_create_target", json!({"name": "tgt0", "id_ext": "11", "ioc_guid": "22"}));
    for disk in disks {
        let mut params = disk.params.clone();
        params["name"] = disk.name.into();
        params["filename"] = json!(disk.path);
        params["block_size"] = disk.block_bytes.into();
        params["size"] = (BLOCKS * disk.stored_bytes()).into();
        target.call("bdev_uring_create", params);
        target.call("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": disk.name}));
    }
    target.call("srp_create_listener", json!({"fabric": "roce", "address": at.ip().to_string(), "port": at.port()}));
    (target, at)
}

/// A file disk, and what is known of its blocks.
struct Disk {
    name: &'static str,
    path: PathBuf,
    block_bytes: u32,
    params: serde_json::Value,
    /// By block: the number of its last durable write that was acknowledged.
    acknowledged: [u64; BLOCKS],
    /// Blocks with metadata that the last kill left half old, half new: their guard tells so, and nobody was told that they are written.
    torn: Vec<usize>,
}

impl Disk {
    fn new(folder: &Path, name: &'static str, block_bytes: u32, params: serde_json::Value) -> Disk {
        let (path, acknowledged, torn) = (folder.join(name), [0; BLOCKS], Vec::new());
        Disk { name, path, block_bytes, params, acknowledged, torn }
    }

    fn has_metadata(&self) -> bool {
        self.params["md_size"] != json!(null)
    }

    /// Bytes of a block in the file.
    fn stored_bytes(&self) -> usize {
        self.block_bytes as usize + if self.has_metadata() { 8 } else { 0 }
    }

    /// A record as it stands in the file: with protection information of type 1, inverted.
    fn stored(&self, block: usize, sequence: u64) -> Vec<u8> {
        let record = self.record(block, sequence);
        match (self.has_metadata(), sequence) {
            (false, _) => record,
            (true, 0) => [&record[..], &[0; 8]].concat(),
            (true, _) => {
                let (guard, reference_tag) = (!guard(&record), !(block as u32));
                [&record[..], &guard.to_be_bytes(), &[0xff; 2], &reference_tag.to_be_bytes()].concat()
            }
        }
    }

    /// Writes that were acknowledged as durable.
    fn written(&self) -> u64 {
        self.acknowledged.iter().sum()
    }

    fn record(&self, block: usize, sequence: u64) -> Vec<u8> {
        if sequence == 0 {
            return vec![0; self.block_bytes as usize];
        }
        let word = |index: u64| match index {
            0 => block as u64,
            1 => sequence,
            _ => scramble((block as u64) << 48 ^ sequence << 16 ^ index),
        };
        (0..u64::from(self.block_bytes) / 8).flat_map(|index| word(index).to_le_bytes()).collect()
    }

    /// `found` is the block's data, with or without its metadata.
    fn check(&self, block: usize, found: &[u8], place: &str) {
        let acknowledged = self.acknowledged[block];
        let holds = |sequence| found == &self.stored(block, sequence)[..found.len()];
        let (of, sequence) = (&found[..8], &found[8..16]);
        assert!(
            holds(acknowledged) || holds(acknowledged + 1),
            "{place}: block {block} of {}: write {acknowledged} was acknowledged, found: {of:02x?} {sequence:02x?} …",
            self.name
        );
    }

    /// Directly, as the target left it: its lock goes with its last write in the kernel.
    fn compare_file(&mut self, kill: u64) {
        let file = File::open(&self.path).expect("the file");
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockShared).expect("its lock");
        let mut found = vec![0; self.stored_bytes()];
        self.torn.clear();
        for block in 0..BLOCKS {
            file.read_exact_at(&mut found, (block * self.stored_bytes()) as u64).expect("a read");
            match self.has_metadata() && self.is_torn(block, &found) {
                true => self.torn.push(block),
                false => self.check(block, &found, &format!("after kill {kill}")),
            }
        }
    }

    /// It holds the record that was acknowledged up to the end of a page of the file, and the next from there on, or the reverse.
    fn is_torn(&self, block: usize, found: &[u8]) -> bool {
        const PAGE: usize = 4096;
        let middle = PAGE - block * self.stored_bytes() % PAGE;
        let (old, new) =
            (self.stored(block, self.acknowledged[block]), self.stored(block, self.acknowledged[block] + 1));
        let halves = |first: &[u8], second: &[u8]| found == [&first[..middle], &second[middle..]].concat();
        middle < found.len() && found != old && found != new && (halves(&new, &old) || halves(&old, &new))
    }
}

/// One channel, on this thread.
pub(super) struct Initiator {
    control: Control,
    endpoint: Endpoint,
    channel: Channel,
    clock: SystemClock,
    lanes: [Lane; LANES],
    answers: Vec<Answer>,
}

/// What is under way on a slot. Lanes with an even number write with FUA, the others flush after each write.
#[derive(Clone, Copy)]
struct Lane {
    block: usize,
    doing: Doing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Doing {
    Nothing,
    Writing,
    Flushing,
}

impl Initiator {
    pub(super) fn login(at: SocketAddr, number: u64, lun: u64, block_bytes: u32) -> Initiator {
        let layout = MemoryLayout { channels: 1, depth: LANES, io_bytes: block_bytes as usize, form: Form::Direct };
        let [exposed, own] = [layout.exposed_bytes(), layout.own_bytes()]
            .map(|bytes| mem::Region::new(hugepage_setup::allocate(&AllocationRequest::new(bytes)).expect("memory")));
        let clock = SystemClock::new();
        let mut control = Control::Roce(fabric::roce::Control::new(fabric::roce::Options::default()));
        let mut endpoint = Endpoint::Fabric(control.create_poll_group(GroupId(0)));
        let login =
            Login { initiator_port: PortId::new(0, number), target_port: PortId::new(0x11, 0x22), immediate: true };
        let sizes = QueuePairSizes {
            receives: layout.receives() as u32,
            sends: layout.messages().max(fabric::SEGMENTS_MAX + 1) as u32,
        };
        let local = IpAddr::from(fresh_address());
        let private_data = login.request(true);
        let connect = Connect { local, to: at, group: GroupId(0), sizes, reads_served: 4, private_data };
        let (connection, queue_pair) = control.connect(clock.now().0, &connect).expect("a connection");
        let lun = Lun(lun as u16).to_wire(Addressing::Peripheral);
        let (queue_pair, memory) = (QueuePair::Fabric(queue_pair), layout.cut(&exposed, &own));
        let channel = Channel::open(&mut endpoint, queue_pair, &memory, &layout, lun);
        let lanes = [Lane { block: 0, doing: Doing::Nothing }; LANES];
        let mut this = Initiator { control, endpoint, channel, clock, lanes, answers: Vec::with_capacity(LANES) };
        this.endpoint.ring();
        let terms = this.until("the login", |this| {
            let mut terms = None;
            this.control.poll(this.clock.now().0, &mut |event| match event {
                ControlEvent::Connected { connection: of, private_data } if of == connection => {
                    terms = Some(login.accepted(&private_data).expect("accepted"));
                }
                ControlEvent::Rejected { .. } | ControlEvent::Disconnected { .. } => panic!("{event:?}"),
                _ => {}
            });
            terms
        });
        this.channel.logged_in(&terms);
        this.command(&cdb::test_unit_ready(), Transfer::None);
        this
    }

    /// Writes for that long, as fast as it can; on a busy machine longer, until the disk has had `least` writes.
    fn write(&mut self, disk: &mut Disk, random: &mut Xorshift, life: Duration, least: u64) {
        let end = Instant::now() + life;
        while Instant::now() < end || disk.written() < least {
            assert!(Instant::now() < end + PATIENCE, "{}: waited in vain for a write", disk.name);
            while let Some(slot) = self.channel.take() {
                let number = slot.0 as usize;
                let block = random.below((BLOCKS / LANES) as u64) as usize * LANES + number;
                self.lanes[number].block = block;
                let record = disk.record(block, disk.acknowledged[block] + 1);
                self.channel.data_mut(slot).copy_from_slice(&record);
                self.send_write(slot, disk);
            }
            self.poll(disk);
        }
    }

    fn send_write(&mut self, slot: Slot, disk: &Disk) {
        let lane = &mut self.lanes[slot.0 as usize];
        lane.doing = Doing::Writing;
        let mut cdb = cdb::transfer(Direction::Write, lane.block as u64, 1);
        cdb[1] = if flushes(slot) { 0 } else { 0x08 }; // FUA (SBC-3, WRITE(10))
        self.channel.send(&mut self.endpoint, slot, &cdb, Transfer::Out(disk.block_bytes));
    }

    fn send_flush(&mut self, slot: Slot) {
        self.lanes[slot.0 as usize].doing = Doing::Flushing;
        let mut cdb: Cdb = [0; 16];
        cdb[0] = opcode::SYNCHRONIZE_CACHE_10;
        self.channel.send(&mut self.endpoint, slot, &cdb, Transfer::None);
    }

    /// Takes answers, and notes what they acknowledge.
    fn poll(&mut self, disk: &mut Disk) {
        self.poll_fabric();
        for answer in std::mem::take(&mut self.answers) {
            let slot = answer.slot;
            let lane = self.lanes[slot.0 as usize];
            match (answer.verdict(), lane.doing) {
                (Verdict::Good, Doing::Writing) if flushes(slot) => self.send_flush(slot),
                (Verdict::Good, Doing::Writing | Doing::Flushing) => {
                    disk.acknowledged[lane.block] += 1;
                    self.channel.give_back(slot);
                }
                (Verdict::Again, Doing::Writing) => self.send_write(slot, disk),
                (Verdict::Again, Doing::Flushing) => self.send_flush(slot),
                _ => panic!("{answer:?}"),
            }
        }
    }

    fn poll_fabric(&mut self) {
        let now_ns = self.clock.now().0;
        self.control.poll(now_ns, &mut |_| {});
        let mut completions = Vec::new();
        self.endpoint.poll(now_ns, &mut |completion| completions.push(completion));
        for completion in completions {
            let event = match completion {
                Completion::Received { buf, len, .. } => self.channel.on_received(&mut self.endpoint, buf, len),
                Completion::Delivered { message, result, .. } => {
                    self.channel.on_delivered(&mut self.endpoint, message, result)
                }
                // Of a target that was killed.
                Completion::ReceiveFlushed { .. } | Completion::Fetched { .. } => Event::Nothing,
            };
            if let Event::Answered(answer) = event {
                self.answers.push(answer);
            }
        }
        self.endpoint.ring();
    }

    /// Reads every block that is whole.
    fn compare(mut self, disk: &Disk) {
        for block in (0..BLOCKS).filter(|block| !disk.torn.contains(block)) {
            let cdb = cdb::transfer(Direction::Read, block as u64, 1);
            let found = self.command(&cdb, Transfer::In(disk.block_bytes));
            disk.check(block, &found, "through the initiator");
        }
    }

    /// One command to its end, sent again for unit attentions; returns the slot's data.
    fn command(&mut self, cdb: &Cdb, transfer: Transfer) -> Vec<u8> {
        loop {
            let (answer, data) = self.send(cdb, transfer, &[]);
            match answer.verdict() {
                Verdict::Good => return data,
                Verdict::Again => {}
                Verdict::Failed => panic!("{cdb:02x?}: {answer:?}"),
            }
        }
    }

    /// One command with this data-out, whatever comes of it: the answer, and the slot's data.
    pub(super) fn send(&mut self, cdb: &Cdb, transfer: Transfer, data_out: &[u8]) -> (Answer, Vec<u8>) {
        let slot = self.channel.take().expect("a slot");
        self.channel.data_mut(slot)[..data_out.len()].copy_from_slice(data_out);
        self.channel.send(&mut self.endpoint, slot, cdb, transfer);
        let answer = self.until("an answer", |this| {
            this.poll_fabric();
            this.answers.pop()
        });
        let data = self.channel.data(slot).to_vec();
        self.channel.give_back(slot);
        (answer, data)
    }

    fn until<T>(&mut self, what: &str, mut step: impl FnMut(&mut Initiator) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(value) = step(self) {
                return value;
            }
            assert!(Instant::now() < end, "waited in vain for {what}");
        }
    }
}

/// Slots with an odd number are lanes that flush.
fn flushes(slot: Slot) -> bool {
    slot.0 % 2 == 1
}
