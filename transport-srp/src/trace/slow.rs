//! Where the time of a command goes, and what is kept of those that took too long.
//!
//! A command always waits for exactly one thing, so the parts of its time add up to the whole. Time is that of the reactor's rounds: what
//! happens within one round takes none.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::command::Stage;
use crate::perform::Queue;
use crate::session::UnitId;
use crate::trace::event::{NO_LUN, Sense, Whose, cdb_bytes};
use crate::wire::Tag;

/// What a command waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Wait {
    /// Its turn in the task set, blocks that others claim, a fence, or room at the device.
    Turn,
    /// A buffer.
    Buffers,
    /// Data or a descriptor table from the initiator: RDMA READ.
    Fetch,
    /// The device.
    Device,
    /// The control plane, or the end of commands that it takes with it.
    Control,
    /// Send slots.
    SendSlots,
    /// Data on their way to the initiator, up to the last piece: RDMA WRITE.
    Deliver,
}

/// Kinds of [`Wait`].
pub const WAITS: usize = 7;

impl Wait {
    /// All of them, in their order.
    pub const ALL: [Wait; WAITS] =
        [Wait::Turn, Wait::Buffers, Wait::Fetch, Wait::Device, Wait::Control, Wait::SendSlots, Wait::Deliver];

    /// A short name.
    pub fn name(self) -> &'static str {
        match self {
            Wait::Turn => "turn",
            Wait::Buffers => "buffers",
            Wait::Fetch => "fetch",
            Wait::Device => "device",
            Wait::Control => "control",
            Wait::SendSlots => "send_slots",
            Wait::Deliver => "deliver",
        }
    }

    fn of_queue(queue: Queue) -> Wait {
        match queue {
            Queue::Table | Queue::Data => Wait::Buffers,
            Queue::Send => Wait::SendSlots,
            Queue::Device => Wait::Turn,
        }
    }

    /// What a command waits for that is not parked.
    fn of_stage(stage: Stage) -> Wait {
        match stage {
            Stage::Arrived | Stage::Control | Stage::Clearing => Wait::Control,
            Stage::FetchTable | Stage::FetchData => Wait::Fetch,
            Stage::Execute => Wait::Device,
            Stage::Deliver | Stage::Responding => Wait::Deliver,
        }
    }
}

/// How long a command may take; shared by all cores, changed by the control thread.
#[derive(Debug)]
pub(crate) struct Threshold(AtomicU64);

impl Threshold {
    pub(crate) fn new(threshold: Option<Duration>) -> Threshold {
        let new = Threshold(AtomicU64::new(0));
        new.set(threshold);
        new
    }

    pub(crate) fn set(&self, threshold: Option<Duration>) {
        let nanoseconds = |it: Duration| u64::try_from(it.as_nanos()).unwrap_or(u64::MAX - 1);
        self.0.store(threshold.map_or(u64::MAX, nanoseconds), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Option<Duration> {
        Some(self.ns()).filter(|&ns| ns < u64::MAX).map(Duration::from_nanos)
    }

    #[inline]
    pub(crate) fn is_set(&self) -> bool {
        self.ns() != u64::MAX
    }

    /// In nanoseconds; more than any command takes if there is none.
    #[inline]
    pub(crate) fn ns(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a command carries along for the trace. Small, because commands are moved: more stands in [`Split`].
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Timing {
    pub(crate) whose: Whose,
    pub(crate) arrived_ns: u64,
    /// The tag, as a word.
    pub(crate) tag: u64,
}

impl Timing {
    #[inline]
    pub(crate) fn total_ns(&self, now_ns: u64) -> u64 {
        now_ns.saturating_sub(self.arrived_ns)
    }
}

/// What the command in one slot waited for so far.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Split {
    /// The first 16 bytes of its CDB.
    cdb: [u64; 2],
    /// The queue that it is parked in.
    parked: Option<Wait>,
    /// In microseconds as a clock counts them that shows no nanoseconds: so nothing is lost between the parts.
    spent_us: [u32; WAITS],
    /// Up to when that is.
    since_us: u64,
}

impl Split {
    /// Of a command that arrives.
    pub(crate) fn new(now_ns: u64, cdb: [u64; 2]) -> Split {
        Split { cdb, parked: None, spent_us: [0; WAITS], since_us: now_ns / 1_000 }
    }

    /// It is parked from now on.
    pub(crate) fn park(&mut self, queue: Queue) {
        self.parked = Some(Wait::of_queue(queue));
    }

    /// It goes on: what it waited for, parked or in this stage, is charged with the time up to now.
    pub(crate) fn go_on(&mut self, stage: Stage, now_ns: u64) {
        let wait = self.parked.take().unwrap_or_else(|| Wait::of_stage(stage));
        let now_us = now_ns / 1_000;
        let spent = &mut self.spent_us[wait as usize];
        *spent = spent.saturating_add(u32::try_from(now_us.saturating_sub(self.since_us)).unwrap_or(u32::MAX));
        self.since_us = now_us;
    }
}

/// A command that took longer than the threshold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SlowCommand {
    /// When it ended, in nanoseconds of the reactors' clock.
    pub time_ns: u64,
    /// Index of its reactor.
    pub reactor: usize,
    /// Its session's number.
    pub session: Option<u64>,
    /// Its channel's number.
    pub channel: Option<u64>,
    /// Its tag.
    pub tag: Tag,
    /// Its LUN; `None`: not one that a unit can have.
    pub lun: Option<u16>,
    /// The bdev behind it, if there is a unit.
    pub bdev_name: Option<String>,
    /// The first 16 bytes of its CDB.
    pub cdb: [u8; 16],
    /// Bytes of data that were moved.
    pub data_bytes: u32,
    /// SCSI status; `None`: it was aborted, or its channel ended.
    pub status: Option<u8>,
    /// Sense key, additional sense code and its qualifier, if there is sense data.
    pub sense: Option<(u8, u8, u8)>,
    /// From its arrival to its response, or its end without one, in microseconds.
    pub total_us: u64,
    /// The parts of that, in the order of [`Wait::ALL`].
    pub spent_us: [u32; WAITS],
}

/// Words of a slow command's record.
pub(crate) const WORDS: usize = 8 + WAITS.div_ceil(2);

/// No SCSI status: it was not answered.
const UNANSWERED: u8 = 0xff;

/// How a command ended.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct End {
    pub(crate) status: Option<u8>,
    pub(crate) sense: Sense,
    pub(crate) data_bytes: u32,
}

/// A command, with what a record of it needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) timing: Timing,
    pub(crate) split: Split,
    pub(crate) unit: Option<UnitId>,
    pub(crate) lun: u16,
    pub(crate) end: End,
}

/// Its record.
pub(crate) fn record(ended: &Ended, now_ns: u64) -> [u64; WORDS] {
    let Ended { timing, split, unit, lun, end } = ended;
    let unit = unit.map_or(u32::MAX, |unit| unit.0);
    let status = end.status.unwrap_or(UNANSWERED);
    let place = u64::from(status) | u64::from(*lun) << 16 | u64::from(unit) << 32;
    let how = u64::from(end.sense.0) | u64::from(end.data_bytes) << 32;
    let total_us = now_ns / 1_000 - timing.arrived_ns / 1_000;
    let mut record = [0; WORDS];
    record[..4].copy_from_slice(&[now_ns, timing.whose.0, timing.tag, total_us]);
    record[4..8].copy_from_slice(&[split.cdb[0], split.cdb[1], place, how]);
    for (word, pair) in record[8..].iter_mut().zip(split.spent_us.chunks(2)) {
        *word = u64::from(pair[0]) | pair.get(1).map_or(0, |&second| u64::from(second) << 32);
    }
    record
}

/// From a record, and the number of its unit.
pub(crate) fn parse(record: [u64; WORDS], reactor: usize) -> (SlowCommand, Option<UnitId>) {
    let [time_ns, whose, tag, total_us, cdb_first, cdb_second, place, how, spent @ ..] = record;
    let whose = Whose(whose);
    let slow = SlowCommand {
        time_ns,
        reactor,
        session: whose.session(),
        channel: whose.channel(),
        tag: Tag(tag.to_ne_bytes()),
        lun: Some((place >> 16) as u16).filter(|&lun| lun != NO_LUN),
        bdev_name: None,
        cdb: cdb_bytes([cdb_first, cdb_second]),
        data_bytes: (how >> 32) as u32,
        status: Some(place as u8).filter(|&status| status != UNANSWERED),
        sense: Sense(how as u32).parts(),
        total_us,
        spent_us: std::array::from_fn(|wait| (spent[wait / 2] >> (32 * (wait % 2))) as u32),
    };
    (slow, Some((place >> 32) as u32).filter(|&unit| unit != u32::MAX).map(UnitId))
}
