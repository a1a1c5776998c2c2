//! A job: one bdev on one core. Keeps its channel full, and counts.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bdev::{Bdev, BlockIo, Channel, ChannelOptions, Done, IoError, Op};
use mem::{IoBuf, Pool, PoolLayout, Region};

use crate::pattern::{self, Miscompare, Stamp};
use crate::tally::Latencies;
use crate::workload::{Direction, Mix, Operation, Workload};

/// Data buffers start on pages, as those of a target do.
const DATA_ALIGN: usize = 4096;

/// What a read-back finds in its buffer if the device does not fill it: no pattern of `crate::pattern` looks like this.
const STALE: u8 = 0xa5;

/// What a job does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Reads and writes.
    Transfer(Mix),
    /// Writes, each read back and compared.
    Verify,
    Unmap,
    Flush,
    WriteZeroes,
}

/// What a job is made from.
#[derive(Debug)]
pub(super) struct JobPlan {
    pub(super) bdev: Arc<Bdev>,
    pub(super) kind: Kind,
    /// The part of the bdev that it uses, in I/Os.
    pub(super) range: Range<u64>,
    pub(super) seed: u64,
    pub(super) io_bytes: u32,
    pub(super) depth: u32,
    /// Whether to keep each latency, for percentiles.
    pub(super) latency: bool,
}

/// The memory of a core, of which each job takes a part.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) region: Arc<Region>,
    pub(super) used: usize,
}

/// One bdev on one core.
#[derive(Debug)]
pub(super) struct Job {
    channel: Channel,
    kind: Kind,
    workload: Workload,
    seed: u64,
    io_blocks: u64,
    core: u32,
    /// By tag.
    slots: Box<[Slot]>,
    /// Kept for its room.
    done: Vec<Done>,
    start_ns: u64,
    until_ns: u64,
    /// When the last round that counts was.
    end_ns: u64,
    tally: Tally,
    latencies: Option<Box<Latencies>>,
    buffers: Vec<IoBuf>,
}

/// An operation in flight.
#[derive(Clone, Copy, Debug)]
struct Slot {
    operation: Operation,
    started_ns: u64,
    /// Whether it is the read that follows a write to be verified.
    reads_back: bool,
}

/// What a job counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tally {
    pub(super) ios: u64,
    pub(super) failed: u64,
    pub(super) latency_ns: u64,
    pub(super) min_latency_ns: u64,
    pub(super) max_latency_ns: u64,
    pub(super) compared: u64,
    pub(super) miscompared: u64,
    pub(super) first_error: Option<(Op, u64, IoError)>,
    pub(super) first_miscompare: Option<Miscompare>,
}

/// What is left of a job that has ended.
#[derive(Debug)]
pub(super) struct JobResult {
    pub(super) bdev: String,
    pub(super) core: u32,
    pub(super) range: Range<u64>,
    pub(super) elapsed: Duration,
    pub(super) tally: Tally,
    pub(super) latencies: Option<Box<Latencies>>,
}

impl JobPlan {
    /// Memory that the buffers of this job need, in bytes.
    pub(super) fn buffer_bytes(&self) -> usize {
        self.layout(0).map_or(0, |layout| layout.stride * layout.count)
    }

    /// `None` for operations without data.
    fn layout(&self, offset: usize) -> Option<PoolLayout> {
        let (size, count) = (self.io_bytes as usize, self.depth as usize);
        let stride = size.next_multiple_of(DATA_ALIGN.max(self.bdev.info().buf_align));
        matches!(self.kind, Kind::Transfer(_) | Kind::Verify).then_some(PoolLayout { offset, stride, size, count })
    }
}

impl Job {
    /// Opens a channel on the calling thread and takes all memory.
    pub(super) fn new(plan: &JobPlan, core: u32, memory: &mut Memory) -> anyhow::Result<Job> {
        let depth = plan.depth as usize;
        let options = ChannelOptions { depth, regions: std::slice::from_ref(&memory.region) };
        let channel =
            plan.bdev.open_channel_with(options).with_context(|| format!("bdev {}", plan.bdev.info().name))?;
        let mut buffers = Vec::with_capacity(depth);
        if let Some(layout) = plan.layout(memory.used) {
            memory.used += plan.buffer_bytes();
            let pool = Pool::new(Arc::clone(&memory.region), layout);
            buffers.extend(std::iter::from_fn(|| pool.get()).map(|buf| IoBuf::new(buf, 0..plan.io_bytes as usize)));
        }
        let sequential = |read_percent| Mix { random: false, read_percent };
        let workload = match plan.kind {
            Kind::Transfer(mix) => Workload::new(mix, plan.range.clone(), plan.seed),
            Kind::Verify => Workload::verifying(sequential(0), plan.range.clone(), plan.seed, plan.depth),
            Kind::Unmap | Kind::Flush | Kind::WriteZeroes => {
                Workload::new(sequential(0), plan.range.clone(), plan.seed)
            }
        };
        let nothing = Operation { direction: Direction::Read, position: 0, version: 0 };
        Ok(Job {
            channel,
            kind: plan.kind,
            workload,
            seed: plan.seed,
            io_blocks: u64::from(plan.io_bytes / plan.bdev.info().block_size),
            core,
            slots: vec![Slot { operation: nothing, started_ns: 0, reads_back: false }; depth].into(),
            done: Vec::with_capacity(depth),
            start_ns: 0,
            until_ns: 0,
            end_ns: 0,
            tally: Tally::new(),
            latencies: plan.latency.then(Box::default),
            buffers,
        })
    }

    /// Fills the channel; nothing new is submitted from `until_ns` on.
    pub(super) fn start(&mut self, now_ns: u64, until_ns: u64) {
        (self.start_ns, self.end_ns, self.until_ns) = (now_ns, now_ns, until_ns);
        for tag in 0..self.slots.len() {
            let data = self.buffers.pop();
            self.begin(tag, data, now_ns);
        }
    }

    /// Takes what has ended and submits as much again. Whether there was any.
    pub(super) fn round(&mut self, now_ns: u64) -> bool {
        let done = &mut self.done;
        self.channel.poll(now_ns, &mut |finished| done.push(finished));
        let worked = !self.done.is_empty();
        while let Some(finished) = self.done.pop() {
            self.on_done(finished, now_ns);
        }
        worked
    }

    /// Whether nothing is in flight, and nothing will be again.
    pub(super) fn is_over(&self) -> bool {
        self.channel.in_flight() == 0
    }

    pub(super) fn finish(self) -> JobResult {
        JobResult {
            bdev: self.channel.bdev().info().name.clone(),
            core: self.core,
            range: self.workload.range(),
            elapsed: Duration::from_nanos(self.end_ns - self.start_ns),
            tally: self.tally,
            latencies: self.latencies,
        }
    }

    /// I/Os so far.
    pub(super) fn ios(&self) -> u64 {
        self.tally.ios
    }

    #[inline]
    fn begin(&mut self, tag: usize, mut data: Option<IoBuf>, now_ns: u64) {
        let operation = self.workload.next_operation();
        if self.kind == Kind::Verify {
            self.fill(operation, &mut data);
        }
        self.slots[tag] = Slot { operation, started_ns: now_ns, reads_back: false };
        self.submit(self.op(operation), operation, tag, data, now_ns);
    }

    #[inline(never)] // keeps it out of the way of the others
    fn fill(&self, operation: Operation, data: &mut Option<IoBuf>) {
        let (stamp, block_bytes) = (self.stamp(operation), self.block_bytes());
        data.iter_mut().for_each(|data| pattern::fill(stamp, block_bytes, data.bytes_mut()));
    }

    /// What an operation of this job starts with.
    #[inline]
    fn op(&self, operation: Operation) -> Op {
        match (self.kind, operation.direction) {
            (Kind::Transfer(_), Direction::Read) => Op::Read,
            (Kind::Transfer(_) | Kind::Verify, _) => Op::Write { fua: false },
            (Kind::Unmap, _) => Op::Unmap,
            (Kind::Flush, _) => Op::Flush,
            (Kind::WriteZeroes, _) => Op::WriteZeroes { unmap: false, fua: false },
        }
    }

    #[inline]
    fn submit(&mut self, op: Op, operation: Operation, tag: usize, data: Option<IoBuf>, now_ns: u64) {
        let (lba, blocks) = (operation.position * self.io_blocks, self.io_blocks);
        let refused = self.channel.submit(BlockIo { op, lba, blocks, data, tag: tag as u64 }, now_ns);
        assert!(refused.is_ok(), "the channel is as deep as there are slots");
    }

    #[inline]
    fn on_done(&mut self, done: Done, now_ns: u64) {
        let tag = done.tag as usize;
        let slot = self.slots[tag];
        if let Err(error) = done.result {
            return self.fail(slot, error, now_ns);
        }
        if now_ns < self.until_ns {
            self.tally.count(now_ns - slot.started_ns);
            if self.latencies.is_some() {
                self.keep_latency(now_ns - slot.started_ns);
            }
        }
        self.end_ns = now_ns.min(self.until_ns);
        if self.kind == Kind::Verify {
            return self.on_verified(slot, tag, done.data, now_ns);
        }
        if now_ns < self.until_ns {
            self.begin(tag, done.data, now_ns);
        }
    }

    #[inline(never)] // keeps it out of the way of those who do not ask for it
    fn keep_latency(&mut self, latency_ns: u64) {
        self.latencies.iter_mut().for_each(|latencies| latencies.record(latency_ns));
    }

    /// Reads back what was written, or compares what was read back and goes on.
    #[inline(never)]
    fn on_verified(&mut self, slot: Slot, tag: usize, mut data: Option<IoBuf>, now_ns: u64) {
        if !slot.reads_back {
            data.iter_mut().for_each(|data| data.bytes_mut().fill(STALE));
            self.slots[tag] = Slot { started_ns: now_ns, reads_back: true, ..slot };
            return self.submit(Op::Read, slot.operation, tag, data, now_ns);
        }
        let read = data.as_ref().map_or(&[][..], |data| data.bytes());
        if let Err(miscompare) = self.compare(slot.operation, read) {
            // Like a failure, it ends the job.
            self.tally.first_miscompare.get_or_insert(miscompare);
            self.until_ns = now_ns;
        }
        self.workload.finish(slot.operation, true);
        if now_ns < self.until_ns {
            self.begin(tag, data, now_ns);
        }
    }

    fn compare(&mut self, operation: Operation, data: &[u8]) -> Result<(), Miscompare> {
        self.tally.compared += 1;
        let outcome = pattern::check(self.stamp(operation), self.block_bytes(), data);
        self.tally.miscompared += u64::from(outcome.is_err());
        outcome
    }

    /// A failed operation ends its job.
    #[cold]
    fn fail(&mut self, slot: Slot, error: IoError, now_ns: u64) {
        self.tally.failed += 1;
        let op = if slot.reads_back { Op::Read } else { self.op(slot.operation) };
        self.tally.first_error.get_or_insert((op, slot.operation.position * self.io_blocks, error));
        self.end_ns = now_ns.min(self.until_ns);
        self.until_ns = self.until_ns.min(now_ns);
    }

    fn stamp(&self, operation: Operation) -> Stamp {
        Stamp { seed: self.seed, lba: operation.position * self.io_blocks, version: operation.version }
    }

    fn block_bytes(&self) -> usize {
        self.channel.bdev().info().block_size as usize
    }
}

impl Tally {
    fn new() -> Tally {
        Tally {
            ios: 0,
            failed: 0,
            latency_ns: 0,
            min_latency_ns: u64::MAX,
            max_latency_ns: 0,
            compared: 0,
            miscompared: 0,
            first_error: None,
            first_miscompare: None,
        }
    }

    #[inline]
    fn count(&mut self, latency_ns: u64) {
        self.ios += 1;
        self.latency_ns += latency_ns;
        self.min_latency_ns = self.min_latency_ns.min(latency_ns);
        self.max_latency_ns = self.max_latency_ns.max(latency_ns);
    }
}
