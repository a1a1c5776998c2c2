//! What one channel counts, and sums of it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use metrics::{Counter, Histogram, HistogramSnapshot};

use super::{IoStatSnapshot, LifetimeStat, OpStat};
use crate::histogram::OpKind;
use crate::io::{Direction, IoError, Op};

/// Kinds of errors.
pub(super) const ERRORS: usize = 7;

/// Their names, by [`error_index`]: SPDK's `failed`, and ours where it would not say more.
pub(super) const ERROR_NAMES: [&str; ERRORS] =
    ["failed", "out_of_range", "write_protected", "no_space", "medium", "gone", "unsupported"];

fn error_index(error: IoError) -> usize {
    match error {
        IoError::Failed => 0,
        IoError::OutOfRange => 1,
        IoError::WriteProtected => 2,
        IoError::NoSpace => 3,
        IoError::Medium => 4,
        IoError::Gone => 5,
        IoError::Unsupported => 6,
    }
}

/// A channel's counters: written by its core, read by anybody.
#[derive(Debug, Default)]
pub(super) struct Counters {
    read: PerOp,
    write: PerOp,
    unmap: PerOp,
    write_zeroes: PerOp,
    flush: PerOp,
    errors: [Counter; ERRORS],
}

#[derive(Debug, Default)]
struct PerOp {
    bytes: Counter,
    /// Of every operation, so its count is theirs.
    latency: Histogram,
    max_latency_ns: AtomicU64,
    /// Shortest latency plus one; 0 while there is none.
    min_latency_ns_plus_1: AtomicU64,
}

impl Counters {
    /// Counts a finished operation on `bytes` bytes. Called by the channel's core only.
    #[inline]
    pub(super) fn record(&self, op: Op, bytes: u64, latency_ns: u64, result: Result<(), IoError>) {
        if let Err(error) = result {
            return self.errors[error_index(error)].increment();
        }
        match op {
            Op::Read => self.read.record(bytes, latency_ns),
            Op::Write { .. } => self.write.record(bytes, latency_ns),
            Op::Unmap => self.unmap.record(bytes, latency_ns),
            Op::WriteZeroes { .. } => self.write_zeroes.record(bytes, latency_ns),
            Op::Flush => self.flush.record(0, latency_ns),
            Op::Scsi { direction: Direction::In } => self.read.record(bytes, latency_ns),
            Op::Scsi { direction: Direction::Out } => self.write.record(bytes, latency_ns),
            Op::Scsi { direction: Direction::None } | Op::LbaStatus => {}
        }
    }

    /// Forgets the longest and shortest latencies. Called by the channel's core only.
    pub(super) fn forget_extremes(&self) {
        for op in [&self.read, &self.write, &self.unmap, &self.write_zeroes, &self.flush] {
            op.max_latency_ns.store(0, Relaxed);
            op.min_latency_ns_plus_1.store(0, Relaxed);
        }
    }
}

impl PerOp {
    #[inline]
    fn record(&self, bytes: u64, latency_ns: u64) {
        self.bytes.add(bytes);
        self.latency.record(latency_ns);
        // One writer: a load and a store do, no locked instruction is needed.
        if latency_ns > self.max_latency_ns.load(Relaxed) {
            self.max_latency_ns.store(latency_ns, Relaxed);
        }
        let plus_1 = latency_ns.saturating_add(1);
        let min = self.min_latency_ns_plus_1.load(Relaxed);
        if min == 0 || plus_1 < min {
            self.min_latency_ns_plus_1.store(plus_1, Relaxed);
        }
    }
}

/// Counters as plain numbers: of one channel, or sums.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    read: Total,
    write: Total,
    unmap: Total,
    write_zeroes: Total,
    flush: Total,
    errors: [u64; ERRORS],
}

#[derive(Clone, Copy, Debug, Default)]
struct Total {
    bytes: u64,
    latency: HistogramSnapshot,
    max_latency_ns: u64,
    min_latency_ns_plus_1: u64,
}

impl Totals {
    /// The counters as they stand.
    pub(super) fn read(counters: &Counters) -> Totals {
        Totals {
            read: Total::read(&counters.read),
            write: Total::read(&counters.write),
            unmap: Total::read(&counters.unmap),
            write_zeroes: Total::read(&counters.write_zeroes),
            flush: Total::read(&counters.flush),
            errors: counters.errors.each_ref().map(Counter::get),
        }
    }

    pub(super) fn add(&mut self, other: &Totals) {
        self.zip(other, Total::add, u64::wrapping_add);
    }

    /// What was counted since the counters stood at `baseline`. Longest and shortest latencies stay what they are.
    pub(super) fn since(mut self, baseline: &Totals) -> Totals {
        self.zip(baseline, Total::subtract, u64::wrapping_sub);
        self
    }

    fn zip(&mut self, other: &Totals, total: fn(&mut Total, &Total), error: fn(u64, u64) -> u64) {
        total(&mut self.read, &other.read);
        total(&mut self.write, &other.write);
        total(&mut self.unmap, &other.unmap);
        total(&mut self.write_zeroes, &other.write_zeroes);
        total(&mut self.flush, &other.flush);
        for (mine, other) in self.errors.iter_mut().zip(other.errors) {
            *mine = error(*mine, other);
        }
    }

    pub(super) fn forget_extremes(&mut self) {
        for total in [&mut self.read, &mut self.write, &mut self.unmap, &mut self.write_zeroes, &mut self.flush] {
            (total.max_latency_ns, total.min_latency_ns_plus_1) = (0, 0);
        }
    }

    pub(super) fn set_errors(&mut self, other: &Totals) {
        self.errors = other.errors;
    }
}

impl Total {
    fn read(counters: &PerOp) -> Total {
        Total {
            bytes: counters.bytes.get(),
            latency: counters.latency.snapshot(),
            max_latency_ns: counters.max_latency_ns.load(Relaxed),
            min_latency_ns_plus_1: counters.min_latency_ns_plus_1.load(Relaxed),
        }
    }

    fn add(&mut self, other: &Total) {
        self.bytes = self.bytes.wrapping_add(other.bytes);
        self.latency.merge(&other.latency);
        self.max_latency_ns = self.max_latency_ns.max(other.max_latency_ns);
        self.min_latency_ns_plus_1 = match (self.min_latency_ns_plus_1, other.min_latency_ns_plus_1) {
            (0, min) | (min, 0) => min,
            (a, b) => a.min(b),
        };
    }

    fn subtract(&mut self, other: &Total) {
        self.bytes = self.bytes.wrapping_sub(other.bytes);
        self.latency = self.latency.since(&other.latency);
    }

    fn min_latency_ns(&self) -> u64 {
        self.min_latency_ns_plus_1.saturating_sub(1)
    }
}

impl From<Totals> for IoStatSnapshot {
    fn from(totals: Totals) -> IoStatSnapshot {
        IoStatSnapshot {
            bytes_read: totals.read.bytes,
            num_read_ops: totals.read.latency.count(),
            read_latency_ns: totals.read.latency.sum,
            max_read_latency_ns: totals.read.max_latency_ns,
            min_read_latency_ns: totals.read.min_latency_ns(),
            bytes_written: totals.write.bytes,
            num_write_ops: totals.write.latency.count(),
            write_latency_ns: totals.write.latency.sum,
            max_write_latency_ns: totals.write.max_latency_ns,
            min_write_latency_ns: totals.write.min_latency_ns(),
            bytes_unmapped: totals.unmap.bytes,
            num_unmap_ops: totals.unmap.latency.count(),
            unmap_latency_ns: totals.unmap.latency.sum,
            max_unmap_latency_ns: totals.unmap.max_latency_ns,
            min_unmap_latency_ns: totals.unmap.min_latency_ns(),
            bytes_zeroed: totals.write_zeroes.bytes,
            num_write_zeroes_ops: totals.write_zeroes.latency.count(),
            num_flush_ops: totals.flush.latency.count(),
            flush_latency_ns: totals.flush.latency.sum,
            num_failed_ops: totals.errors.iter().sum(),
            errors: totals.errors,
        }
    }
}

impl From<Totals> for LifetimeStat {
    fn from(totals: Totals) -> LifetimeStat {
        let ops = [
            (OpKind::Read, totals.read),
            (OpKind::Write, totals.write),
            (OpKind::Unmap, totals.unmap),
            (OpKind::WriteZeroes, totals.write_zeroes),
            (OpKind::Flush, totals.flush),
        ];
        let ops = ops.map(|(op, total)| OpStat { op, bytes: total.bytes, latency: total.latency });
        LifetimeStat { ops, errors: totals.errors }
    }
}
