//! What the channels of a device have done: counted by each core for itself, added up when somebody asks.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::{CacheAligned, Counter};

use crate::io::{Direction, IoError, Op};

/// Sums over all channels that a device ever had. An operation counts once it is done; a failed one counts in
/// `num_failed_ops` only. Latencies run from `submit` to the `poll` that handed the result out, by the clock that the
/// callers of both passed in.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct IoStatSnapshot {
    /// Bytes read.
    pub bytes_read: u64,
    /// Reads.
    pub num_read_ops: u64,
    /// Sum of the reads' latencies in nanoseconds.
    pub read_latency_ns: u64,
    /// Longest of them; 0 if there is none.
    pub max_read_latency_ns: u64,
    /// Shortest of them; 0 if there is none.
    pub min_read_latency_ns: u64,
    /// Bytes written.
    pub bytes_written: u64,
    /// Writes.
    pub num_write_ops: u64,
    /// Sum of the writes' latencies in nanoseconds.
    pub write_latency_ns: u64,
    /// Longest of them; 0 if there is none.
    pub max_write_latency_ns: u64,
    /// Shortest of them; 0 if there is none.
    pub min_write_latency_ns: u64,
    /// Bytes unmapped.
    pub bytes_unmapped: u64,
    /// Unmaps.
    pub num_unmap_ops: u64,
    /// Sum of the unmaps' latencies in nanoseconds.
    pub unmap_latency_ns: u64,
    /// Longest of them; 0 if there is none.
    pub max_unmap_latency_ns: u64,
    /// Shortest of them; 0 if there is none.
    pub min_unmap_latency_ns: u64,
    /// Bytes zeroed by `WriteZeroes`.
    pub bytes_zeroed: u64,
    /// `WriteZeroes` operations.
    pub num_write_zeroes_ops: u64,
    /// Flushes.
    pub num_flush_ops: u64,
    /// Sum of the flushes' latencies in nanoseconds.
    pub flush_latency_ns: u64,
    /// Operations that ended with an error.
    pub num_failed_ops: u64,
}

/// All channels' statistics of one device. The locks are taken when a channel is opened or closed and by a reader,
/// never by an operation.
#[derive(Debug, Default)]
pub(crate) struct StatsBook {
    channels: Mutex<Channels>,
}

#[derive(Debug, Default)]
struct Channels {
    open: Vec<Arc<ChannelStats>>,
    /// What the channels that were closed had done.
    closed: Totals,
}

/// One channel's statistics: written by its core, read by anybody; no cache line is shared with another core's.
pub(crate) type ChannelStats = CacheAligned<Block>;

#[derive(Debug, Default)]
pub(crate) struct Block {
    read: PerOp,
    write: PerOp,
    unmap: PerOp,
    write_zeroes: PerOp,
    flush: PerOp,
    failed: Counter,
}

#[derive(Debug, Default)]
struct PerOp {
    ops: Counter,
    bytes: Counter,
    latency_ns: Counter,
    max_latency_ns: AtomicU64,
    /// Shortest latency plus one; 0 while there is none.
    min_latency_ns_plus_1: AtomicU64,
}

impl Block {
    /// Counts a finished operation on `bytes` bytes. Called by the channel's core only.
    #[inline]
    pub(crate) fn record(&self, op: Op, bytes: u64, latency_ns: u64, result: Result<(), IoError>) {
        if result.is_err() {
            return self.failed.increment();
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
}

impl PerOp {
    #[inline]
    fn record(&self, bytes: u64, latency_ns: u64) {
        self.ops.increment();
        self.bytes.add(bytes);
        self.latency_ns.add(latency_ns);
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

impl StatsBook {
    /// Statistics for a new channel.
    pub(crate) fn open(&self) -> Arc<ChannelStats> {
        let stats = Arc::new(ChannelStats::default());
        self.lock().open.push(Arc::clone(&stats));
        stats
    }

    /// Keeps what a channel did and forgets the channel, so that channels may come and go for ever.
    pub(crate) fn close(&self, stats: &Arc<ChannelStats>) {
        let mut channels = self.lock();
        channels.closed.add(stats);
        channels.open.retain(|other| !Arc::ptr_eq(other, stats));
    }

    pub(crate) fn snapshot(&self) -> IoStatSnapshot {
        let channels = self.lock();
        let mut totals = channels.closed;
        for stats in &channels.open {
            totals.add(stats);
        }
        totals.into()
    }

    #[cfg(test)]
    pub(crate) fn open_channels(&self) -> usize {
        self.lock().open.len()
    }

    fn lock(&self) -> MutexGuard<'_, Channels> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sums, as plain numbers.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    read: Total,
    write: Total,
    unmap: Total,
    write_zeroes: Total,
    flush: Total,
    failed: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Total {
    ops: u64,
    bytes: u64,
    latency_ns: u64,
    max_latency_ns: u64,
    min_latency_ns_plus_1: u64,
}

impl Totals {
    fn add(&mut self, stats: &Block) {
        self.read.add(&stats.read);
        self.write.add(&stats.write);
        self.unmap.add(&stats.unmap);
        self.write_zeroes.add(&stats.write_zeroes);
        self.flush.add(&stats.flush);
        self.failed = self.failed.wrapping_add(stats.failed.get());
    }
}

impl Total {
    fn add(&mut self, stats: &PerOp) {
        self.ops = self.ops.wrapping_add(stats.ops.get());
        self.bytes = self.bytes.wrapping_add(stats.bytes.get());
        self.latency_ns = self.latency_ns.wrapping_add(stats.latency_ns.get());
        self.max_latency_ns = self.max_latency_ns.max(stats.max_latency_ns.load(Relaxed));
        self.min_latency_ns_plus_1 = match (self.min_latency_ns_plus_1, stats.min_latency_ns_plus_1.load(Relaxed)) {
            (0, min) | (min, 0) => min,
            (a, b) => a.min(b),
        };
    }

    fn min_latency_ns(&self) -> u64 {
        self.min_latency_ns_plus_1.saturating_sub(1)
    }
}

impl From<Totals> for IoStatSnapshot {
    fn from(totals: Totals) -> IoStatSnapshot {
        IoStatSnapshot {
            bytes_read: totals.read.bytes,
            num_read_ops: totals.read.ops,
            read_latency_ns: totals.read.latency_ns,
            max_read_latency_ns: totals.read.max_latency_ns,
            min_read_latency_ns: totals.read.min_latency_ns(),
            bytes_written: totals.write.bytes,
            num_write_ops: totals.write.ops,
            write_latency_ns: totals.write.latency_ns,
            max_write_latency_ns: totals.write.max_latency_ns,
            min_write_latency_ns: totals.write.min_latency_ns(),
            bytes_unmapped: totals.unmap.bytes,
            num_unmap_ops: totals.unmap.ops,
            unmap_latency_ns: totals.unmap.latency_ns,
            max_unmap_latency_ns: totals.unmap.max_latency_ns,
            min_unmap_latency_ns: totals.unmap.min_latency_ns(),
            bytes_zeroed: totals.write_zeroes.bytes,
            num_write_zeroes_ops: totals.write_zeroes.ops,
            num_flush_ops: totals.flush.ops,
            flush_latency_ns: totals.flush.latency_ns,
            num_failed_ops: totals.failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_add_up_and_closed_ones_stay_counted() {
        let book = StatsBook::default();
        let (a, b) = (book.open(), book.open());
        a.record(Op::Read, 4096, 300, Ok(()));
        a.record(Op::Write { fua: true }, 512, 70, Ok(()));
        b.record(Op::Read, 512, 100, Ok(()));
        b.record(Op::Read, 512, 5, Err(IoError::Medium));
        b.record(Op::Unmap, 1024, 0, Ok(()));
        b.record(Op::WriteZeroes { unmap: false, fua: false }, 2048, 9, Ok(()));
        b.record(Op::Flush, 777, 11, Ok(()));
        let expected = IoStatSnapshot {
            bytes_read: 4608,
            num_read_ops: 2,
            read_latency_ns: 400,
            max_read_latency_ns: 300,
            min_read_latency_ns: 100,
            bytes_written: 512,
            num_write_ops: 1,
            write_latency_ns: 70,
            max_write_latency_ns: 70,
            min_write_latency_ns: 70,
            bytes_unmapped: 1024,
            num_unmap_ops: 1,
            bytes_zeroed: 2048,
            num_write_zeroes_ops: 1,
            num_flush_ops: 1,
            flush_latency_ns: 11,
            num_failed_ops: 1,
            ..IoStatSnapshot::default()
        };
        assert_eq!(book.snapshot(), expected);
        book.close(&b);
        assert_eq!(book.snapshot(), expected);
        assert_eq!(book.open_channels(), 1);
        book.close(&a);
        assert_eq!(book.snapshot(), expected);
    }
}
