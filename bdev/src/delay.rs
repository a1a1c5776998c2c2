//! A device that is slower than the one beneath: what has ended there is held back before it is handed out.
//!
//! As in SPDK, reads and writes are held back (and SCSI commands that move data), one in a hundred for the longer time;
//! flush, unmap and write zeroes are not. The delay begins when the device beneath is done. One difference: there the
//! operations of a kind come back in their order even after the delay was shortened, here each after its own time.

use std::cmp::Ordering as Order;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use reactor::{Instant, WakeSources};
use uuid::Uuid;

use crate::bdev::{Bdev, Kind};
use crate::channel::{ChannelError, ChannelOptions, Finished};
use crate::create::CreateError;
use crate::io::{BlockIo, Direction, Op};
use crate::wrapper::{self, BaseChannel};

/// [`crate::Info::product_name`] of these devices.
pub const PRODUCT: &str = "delay";

/// Longest delay, in microseconds: an hour, beyond which every initiator has given up.
pub const LATENCY_US_MAX: u64 = 3_600_000_000;

/// Parameters of [`create()`], with the names of SPDK's `bdev_delay_create`.
#[derive(Clone, Debug)]
pub struct DelayOptions {
    /// Name of the new device.
    pub name: String,
    /// Identity; `None`: derived from the identity of the device beneath and the name.
    pub uuid: Option<Uuid>,
    /// How long what is held back.
    pub latencies: Latencies,
}

/// Delays in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Latencies {
    /// Of 99 reads in 100.
    pub avg_read: u64,
    /// Of the others.
    pub p99_read: u64,
    /// Of 99 writes in 100.
    pub avg_write: u64,
    /// Of the others.
    pub p99_write: u64,
}

/// One of the [`Latencies`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LatencyType {
    /// `avg_read`
    AvgRead,
    /// `p99_read`
    P99Read,
    /// `avg_write`
    AvgWrite,
    /// `p99_write`
    P99Write,
}

/// Makes a slower device of another one.
///
/// # Errors
/// [`CreateError::Parameter`] names the parameter that is out of range.
pub fn create(base: &Arc<Bdev>, options: DelayOptions) -> Result<Arc<Bdev>, CreateError> {
    let Latencies { avg_read, p99_read, avg_write, p99_write } = options.latencies;
    let of = [
        ("avg_read_latency", avg_read, 0),
        ("p99_read_latency", p99_read, avg_read),
        ("avg_write_latency", avg_write, 0),
        ("p99_write_latency", p99_write, avg_write),
    ];
    for (parameter, latency_us, least) in of {
        check_latency(parameter, latency_us)?;
        if latency_us < least {
            let problem = format!("{latency_us} is less than the average, {least}: the slowest are not the fastest");
            return Err(CreateError::parameter(parameter, problem));
        }
    }
    let info = wrapper::info(base, "base_bdev_name", options.name, PRODUCT, options.uuid)?;
    let delay = Delay { base: Arc::clone(base), shared: Arc::default() };
    for (kind, latency_us) in [
        (LatencyType::AvgRead, avg_read),
        (LatencyType::P99Read, p99_read),
        (LatencyType::AvgWrite, avg_write),
        (LatencyType::P99Write, p99_write),
    ] {
        delay.shared.latency(kind).store(latency_us, Ordering::Relaxed);
    }
    Ok(Bdev::new(info, base.num_blocks(), Kind::Delay(delay)))
}

/// The delays of a device of this kind; `None` for others.
pub fn latencies(bdev: &Bdev) -> Option<Latencies> {
    let Kind::Delay(Delay { shared, .. }) = &bdev.kind else { return None };
    let of = |kind| shared.latency(kind).load(Ordering::Relaxed);
    Some(Latencies {
        avg_read: of(LatencyType::AvgRead),
        p99_read: of(LatencyType::P99Read),
        avg_write: of(LatencyType::AvgWrite),
        p99_write: of(LatencyType::P99Write),
    })
}

/// Changes one delay of a device of this kind, for what ends beneath from now on; what is held back already stays so for
/// the time it was given. Returns false for devices of other kinds.
///
/// # Errors
/// [`CreateError::Parameter`]: `latency_us` is out of range.
pub fn set_latency(bdev: &Bdev, kind: LatencyType, latency_us: u64) -> Result<bool, CreateError> {
    check_latency("latency_us", latency_us)?;
    let Kind::Delay(delay) = &bdev.kind else { return Ok(false) };
    delay.shared.latency(kind).store(latency_us, Ordering::Relaxed);
    Ok(true)
}

fn check_latency(parameter: &'static str, latency_us: u64) -> Result<(), CreateError> {
    if latency_us > LATENCY_US_MAX {
        let problem = format!("{latency_us} microseconds are more than {LATENCY_US_MAX}, an hour");
        return Err(CreateError::parameter(parameter, problem));
    }
    Ok(())
}

/// What the cores share.
#[derive(Debug)]
pub(crate) struct Delay {
    pub(crate) base: Arc<Bdev>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    latencies_us: [AtomicU64; 4],
    /// Channels that were opened: each draws its own numbers.
    channels: AtomicU64,
}

impl Shared {
    fn latency(&self, kind: LatencyType) -> &AtomicU64 {
        &self.latencies_us[kind as usize]
    }
}

/// A core's part.
#[derive(Debug)]
pub(crate) struct DelayChannel {
    base: BaseChannel<()>,
    shared: Arc<Shared>,
    /// What has ended and is not due; has room for the channel's depth from the start.
    held: BinaryHeap<Held>,
    /// Operations that were ever held back: those that are due at the same time come out in their order.
    order: u64,
    random: u64,
}

impl DelayChannel {
    pub(crate) fn open(delay: &Delay, options: ChannelOptions<'_>) -> Result<DelayChannel, ChannelError> {
        let base = BaseChannel::open(&delay.base, options)?;
        let shared = Arc::clone(&delay.shared);
        // The same in every run, so that what was seen can be seen again.
        let random = shared.channels.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x2545_f491_4f6c_dd1d);
        Ok(DelayChannel { base, shared, held: BinaryHeap::with_capacity(options.depth), order: 0, random })
    }

    #[inline]
    pub(crate) fn start(&mut self, io: BlockIo, submitted_ns: u64, now_ns: u64) {
        self.base.start(io, 0, submitted_ns, now_ns, ());
    }

    pub(crate) fn poll(&mut self, now_ns: u64, mut finish: impl FnMut(Finished)) {
        let DelayChannel { base, shared, held, order, random } = self;
        base.poll(now_ns, |finished, ()| {
            let latency_us = latency_us(shared, finished.io.op, random);
            if latency_us == 0 {
                return finish(finished);
            }
            *order += 1;
            held.push(Held { due_ns: now_ns.saturating_add(latency_us * 1000), order: *order, finished });
        });
        while held.peek().is_some_and(|first| first.due_ns <= now_ns) {
            if let Some(Held { finished, .. }) = held.pop() {
                finish(finished);
            }
        }
    }

    /// See [`crate::Channel::wake_sources`].
    pub(crate) fn wake_sources<'a>(&'a self, sources: &mut WakeSources<'a>) {
        if let Some(first) = self.held.peek() {
            sources.deadline(Instant(first.due_ns));
        }
        self.base.wake_sources(sources);
    }
}

/// How long an operation is held back.
fn latency_us(shared: &Shared, op: Op, random: &mut u64) -> u64 {
    let kinds = match op {
        Op::Read | Op::Scsi { direction: Direction::In } => [LatencyType::AvgRead, LatencyType::P99Read],
        Op::Write { .. } | Op::Scsi { direction: Direction::Out } => [LatencyType::AvgWrite, LatencyType::P99Write],
        Op::Flush | Op::Unmap | Op::WriteZeroes { .. } | Op::LbaStatus => return 0,
        Op::Scsi { direction: Direction::None } => return 0,
    };
    let slow = next_random(random).is_multiple_of(100);
    shared.latency(kinds[usize::from(slow)]).load(Ordering::Relaxed)
}

/// SplitMix64: even, fast, and every seed is a good one.
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// An operation that is held back. The greatest is the one that is due first, as the heap gives the greatest.
#[derive(Debug)]
struct Held {
    due_ns: u64,
    order: u64,
    finished: Finished,
}

impl Ord for Held {
    fn cmp(&self, other: &Held) -> Order {
        (other.due_ns, other.order).cmp(&(self.due_ns, self.order))
    }
}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Held) -> Option<Order> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Held {
    fn eq(&self, other: &Held) -> bool {
        self.cmp(other) == Order::Equal
    }
}

impl Eq for Held {}

#[cfg(test)]
#[path = "delay/tests.rs"]
mod tests;
