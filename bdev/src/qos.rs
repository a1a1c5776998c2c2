//! Rate limits of a device (quality of service), which all cores keep together without locks.
//!
//! Each limit is one number: the time from which on the next operation may go (GCRA, the generic cell rate algorithm of
//! ITU-T I.371). An operation that goes moves it by its cost, one operation or its bytes, at the limit's rate. So a large
//! operation passes under a small limit, and what follows waits all the longer. Idle time is worth [`BURST_NS`] at most.
//! Cores that look at the same moment may each let one operation go; the debt is kept, so the rate is exact over time.
//!
//! Reads and writes are limited, as in SPDK, and SCSI commands that move data. What has to wait does so in its channel, in
//! order; reads do not wait for a limit of writes, nor the reverse. Other operations pass: a flush covers only writes that
//! are done. A device without limits costs an operation one relaxed load.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use metrics::CacheAligned;

use crate::bdev::Bdev;
use crate::io::{BlockIo, Direction, Op};
use crate::passthrough::RECORD_BYTES;

/// How much unused time a limit remembers: enough to make good for pollers that come late.
const BURST_NS: u64 = 5_000_000;

/// Limits of a device; 0: none. Those of reads and of writes hold beside those of both.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct QosLimits {
    /// Reads and writes per second.
    pub rw_ios_per_sec: u64,
    /// Reads per second.
    pub r_ios_per_sec: u64,
    /// Writes per second.
    pub w_ios_per_sec: u64,
    /// Bytes read and written per second.
    pub rw_bytes_per_sec: u64,
    /// Bytes read per second.
    pub r_bytes_per_sec: u64,
    /// Bytes written per second.
    pub w_bytes_per_sec: u64,
}

impl Bdev {
    /// The rate limits.
    pub fn qos_limits(&self) -> QosLimits {
        let [rw_ios, r_ios, w_ios, rw_bytes, r_bytes, w_bytes] =
            self.qos.limits.each_ref().map(|limit| limit.per_sec.load(Ordering::Relaxed));
        QosLimits {
            rw_ios_per_sec: rw_ios,
            r_ios_per_sec: r_ios,
            w_ios_per_sec: w_ios,
            rw_bytes_per_sec: rw_bytes,
            r_bytes_per_sec: r_bytes,
            w_bytes_per_sec: w_bytes,
        }
    }

    /// Changes the rate limits, at any time. What waits for one that is lifted goes with the next poll of its channel.
    pub fn set_qos_limits(&self, limits: QosLimits) {
        let QosLimits { rw_ios_per_sec, r_ios_per_sec, w_ios_per_sec, .. } = limits;
        let QosLimits { rw_bytes_per_sec, r_bytes_per_sec, w_bytes_per_sec, .. } = limits;
        let all = [rw_ios_per_sec, r_ios_per_sec, w_ios_per_sec, rw_bytes_per_sec, r_bytes_per_sec, w_bytes_per_sec];
        for (limit, per_sec) in self.qos.limits.iter().zip(all) {
            // A limit that changes begins anew: debts at the old rate are worth another time at the new one.
            if limit.per_sec.swap(per_sec, Ordering::Relaxed) != per_sec {
                limit.next_ns.store(0, Ordering::Relaxed);
            }
        }
        self.qos.limited.store(limits != QosLimits::default(), Ordering::Relaxed);
    }
}

/// What the cores share. The limits, which all of them write while one is set, lie apart from what they only read.
#[derive(Debug, Default)]
pub(crate) struct Qos {
    limited: AtomicBool,
    limits: CacheAligned<[Limit; 6]>,
}

/// Which limits an operation is subject to, by their place in [`Qos`], and its bytes.
#[derive(Clone, Copy, Debug)]
struct Cost {
    ios: [usize; 2],
    bytes_at: [usize; 2],
    bytes: u64,
}

impl Cost {
    /// `None` for operations that are not limited.
    fn of(io: &BlockIo) -> Option<Cost> {
        let len = io.data.as_ref().map_or(0, |data| data.len());
        let (direction, bytes) = match io.op {
            Op::Read => (Direction::In, len),
            Op::Write { .. } => (Direction::Out, len),
            Op::Scsi { direction } => (direction, len.saturating_sub(RECORD_BYTES)),
            Op::Flush | Op::Unmap | Op::WriteZeroes { .. } | Op::LbaStatus => return None,
        };
        match direction {
            Direction::In => Some(Cost { ios: [0, 1], bytes_at: [3, 4], bytes: bytes as u64 }),
            Direction::Out => Some(Cost { ios: [0, 2], bytes_at: [3, 5], bytes: bytes as u64 }),
            Direction::None => None,
        }
    }
}

impl Qos {
    /// Whether an operation may go now; then it is charged.
    fn admits(&self, cost: Cost, now_ns: u64) -> bool {
        let at = |&at: &usize| &self.limits[at];
        if !cost.ios.iter().chain(&cost.bytes_at).map(at).all(|limit| limit.is_open(now_ns)) {
            return false;
        }
        cost.ios.iter().map(at).for_each(|limit| limit.charge(1, now_ns));
        cost.bytes_at.iter().map(at).for_each(|limit| limit.charge(cost.bytes, now_ns));
        true
    }
}

#[derive(Debug, Default)]
struct Limit {
    /// 0: there is none.
    per_sec: AtomicU64,
    /// The time from which on the next operation may go.
    next_ns: AtomicU64,
}

impl Limit {
    fn is_open(&self, now_ns: u64) -> bool {
        self.next_ns.load(Ordering::Relaxed) <= now_ns || self.per_sec.load(Ordering::Relaxed) == 0
    }

    fn charge(&self, cost: u64, now_ns: u64) {
        let per_sec = self.per_sec.load(Ordering::Relaxed);
        if per_sec == 0 {
            return;
        }
        // Rounded up: a limit is never exceeded, and missed by little as long as an operation takes many nanoseconds.
        let step = (u128::from(cost) * 1_000_000_000).div_ceil(u128::from(per_sec));
        let step = u64::try_from(step).unwrap_or(u64::MAX);
        let earliest = now_ns.saturating_sub(BURST_NS);
        let later = |next_ns: u64| Some(next_ns.max(earliest).saturating_add(step));
        // It always is something, so this cannot fail.
        let _ = self.next_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
    }
}

/// Where a channel's operations wait for their turn; has room for the channel's depth from the start.
#[derive(Debug)]
pub(crate) struct Gate {
    reads: VecDeque<Waiting>,
    writes: VecDeque<Waiting>,
    /// Operations that ever waited.
    order: u64,
}

/// An operation that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) io: BlockIo,
    pub(crate) submitted_ns: u64,
    order: u64,
}

impl Gate {
    pub(crate) fn new(depth: usize) -> Gate {
        Gate { reads: VecDeque::with_capacity(depth), writes: VecDeque::with_capacity(depth), order: 0 }
    }

    /// Whether a new operation has to wait; if not, it is charged and goes.
    #[inline]
    pub(crate) fn stops(&self, qos: &Qos, io: &BlockIo, now_ns: u64) -> bool {
        if !qos.limited.load(Ordering::Relaxed) && !self.holds_any() {
            return false;
        }
        let Some(cost) = Cost::of(io) else { return false };
        !self.queue_of(io.op).is_empty() || !qos.admits(cost, now_ns)
    }

    pub(crate) fn wait(&mut self, io: BlockIo, submitted_ns: u64) {
        self.order += 1;
        let waiting = Waiting { io, submitted_ns, order: self.order };
        match is_read(waiting.io.op) {
            true => self.reads.push_back(waiting),
            false => self.writes.push_back(waiting),
        }
    }

    /// Whether anything waits.
    #[inline]
    pub(crate) fn holds_any(&self) -> bool {
        !self.reads.is_empty() || !self.writes.is_empty()
    }

    /// The next operation whose turn it is now, the oldest first; it is charged.
    #[inline]
    pub(crate) fn next(&mut self, qos: &Qos, now_ns: u64) -> Option<Waiting> {
        if !self.holds_any() {
            return None;
        }
        let order = |queue: &VecDeque<Waiting>| queue.front().map_or(u64::MAX, |first| first.order);
        let mut queues = [&mut self.reads, &mut self.writes];
        queues.sort_unstable_by_key(|queue| order(queue));
        let may_go = |queue: &&mut VecDeque<Waiting>| {
            let cost = queue.front().and_then(|first| Cost::of(&first.io));
            cost.is_some_and(|cost| qos.admits(cost, now_ns))
        };
        queues.into_iter().find(may_go)?.pop_front()
    }

    fn queue_of(&self, op: Op) -> &VecDeque<Waiting> {
        if is_read(op) { &self.reads } else { &self.writes }
    }
}

fn is_read(op: Op) -> bool {
    matches!(op, Op::Read | Op::Scsi { direction: Direction::In })
}

#[cfg(test)]
#[path = "qos/tests.rs"]
mod tests;
