//! What the channels of a device have done: counted by each core for itself, added up when somebody asks.
//!
//! `counters.rs` is what a core counts, `recorder.rs` how it does and how it learns what else is wanted; this file adds up,
//! resets, and keeps what closed channels had done.

mod counters;
mod recorder;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::thread::CpuSet;

use self::counters::{ERROR_NAMES, ERRORS, Totals};
pub(crate) use self::recorder::Recorder;
use self::recorder::Shared;
use crate::histogram::{Histogram, HistogramOptions, HistogramSnapshot, OpKind};

/// Sums over all channels that a device ever had, or those of one channel, since they were reset. An operation counts once it
/// is done; a failed one counts in `num_failed_ops` and [`IoStatSnapshot::errors`] only. Latencies run from `submit` to the `poll` that handed the result out, by the clock that the
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
    errors: [u64; ERRORS],
}

impl IoStatSnapshot {
    /// The operations that ended with an error, by the name of the error; only those that happened.
    pub fn errors(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ERROR_NAMES.into_iter().zip(self.errors).filter(|&(_, count)| count > 0)
    }
}

/// Sums over all channels that a device ever had, since it was made: resets do not touch them. What counts is as in [`IoStatSnapshot`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LifetimeStat {
    /// Operations that succeeded, by their kind.
    pub ops: [OpStat; 5],
    errors: [u64; ERRORS],
}

/// Operations of one kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpStat {
    /// Their kind; SCSI commands count as reads or writes by the way their data go.
    pub op: OpKind,
    /// Bytes that they were about; 0 for flushes.
    pub bytes: u64,
    /// Their latencies, so also how many they are.
    pub latency: metrics::HistogramSnapshot,
}

impl LifetimeStat {
    /// The operations that ended with an error, by the name of the error; all errors that there are.
    pub fn errors(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ERROR_NAMES.into_iter().zip(self.errors)
    }
}

/// What the statistics of one channel say, and where it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChannelIoStat {
    /// The thread that opened it.
    pub place: Place,
    /// What it has done.
    pub stat: IoStatSnapshot,
}

/// The thread of a channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The thread's number in the system.
    pub thread_id: i32,
    /// Its name.
    pub thread: String,
    /// The core that it is held to; `None` if it may run on several.
    pub core: Option<u32>,
}

impl Place {
    fn here() -> Place {
        Place {
            thread_id: rustix::thread::gettid().as_raw_nonzero().get(),
            thread: std::thread::current().name().unwrap_or_default().to_owned(),
            core: only_core(),
        }
    }
}

fn only_core() -> Option<u32> {
    let cores = rustix::thread::sched_getaffinity(None).ok()?;
    let mut set = (0..CpuSet::MAX_CPU).filter(|&core| cores.is_set(core));
    set.next().filter(|_| set.next().is_none()).and_then(|core| u32::try_from(core).ok())
}

/// What reading the statistics leaves behind, with the meanings of SPDK's `reset_mode`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum ResetMode {
    /// Everything.
    #[default]
    None,
    /// Everything but the longest and shortest latencies.
    MaxMin,
    /// Everything but the errors.
    Errors,
    /// Nothing.
    All,
}

/// All channels' statistics of one device. The locks are taken when a channel is opened or closed and by a reader,
/// never by an operation.
#[derive(Debug, Default)]
pub(crate) struct StatsBook {
    channels: Mutex<Channels>,
}

#[derive(Debug, Default)]
struct Channels {
    open: Vec<Entry>,
    /// What the channels that were closed had done.
    closed: Totals,
    /// The same, untouched by resets.
    ever_closed: Totals,
    histogram: Option<BookHistogram>,
}

/// An open channel. Its counters are its core's; a reset is done by remembering what they stood at.
#[derive(Debug)]
struct Entry {
    shared: Arc<Shared>,
    place: Place,
    baseline: Totals,
    /// Number of the last order to forget the extremes.
    extremes_from: u64,
    histogram: Option<Arc<Histogram>>,
}

#[derive(Debug)]
struct BookHistogram {
    options: HistogramOptions,
    closed: HistogramSnapshot,
}

impl StatsBook {
    /// Statistics for a new channel of the calling thread.
    pub(crate) fn open(&self) -> Recorder {
        let mut channels = self.lock();
        let histogram = channels.histogram.as_ref().map(|histogram| Arc::new(Histogram::new(&histogram.options)));
        let recorder = Recorder::new(histogram.clone());
        channels.open.push(Entry {
            shared: Arc::clone(&recorder.shared),
            place: Place::here(),
            baseline: Totals::default(),
            extremes_from: 0,
            histogram,
        });
        recorder
    }

    /// Keeps what a channel did and forgets the channel, so that channels may come and go for ever.
    pub(crate) fn close(&self, recorder: &Recorder) {
        let mut channels = self.lock();
        let Some(at) = channels.open.iter().position(|entry| Arc::ptr_eq(&entry.shared, &recorder.shared)) else {
            return;
        };
        let entry = channels.open.swap_remove(at);
        let totals = entry.read();
        channels.closed.add(&totals.since(&entry.baseline));
        channels.ever_closed.add(&totals);
        if let (Some(kept), Some(histogram)) = (&mut channels.histogram, &entry.histogram) {
            kept.closed.add(histogram);
        }
    }

    /// Reads the sums, and resets what `mode` says. What is counted meanwhile is in this reading or in the next, never
    /// in both or none.
    pub(crate) fn take(&self, mode: ResetMode) -> IoStatSnapshot {
        let mut channels = self.lock();
        let mut sum = channels.closed;
        reset(&mut channels.closed, mode);
        for entry in &mut channels.open {
            sum.add(&entry.take(mode));
        }
        sum.into()
    }

    /// As [`StatsBook::take`], for each open channel alone.
    pub(crate) fn take_per_channel(&self, mode: ResetMode) -> Vec<ChannelIoStat> {
        let mut channels = self.lock();
        let take = |entry: &mut Entry| ChannelIoStat { place: entry.place.clone(), stat: entry.take(mode).into() };
        channels.open.iter_mut().map(take).collect()
    }

    /// The sums without any reset.
    pub(crate) fn lifetime(&self) -> LifetimeStat {
        let channels = self.lock();
        let mut sum = channels.ever_closed;
        channels.open.iter().for_each(|entry| sum.add(&entry.read()));
        sum.into()
    }

    /// Has all channels, also those to come, count in histograms; or ends that.
    pub(crate) fn set_histogram(&self, options: Option<HistogramOptions>) {
        let mut channels = self.lock();
        if options.is_some() && channels.histogram.as_ref().map(|histogram| histogram.options) == options {
            return;
        }
        channels.histogram = options.map(|options| BookHistogram { options, closed: HistogramSnapshot::new(&options) });
        for entry in &mut channels.open {
            entry.histogram = options.map(|options| Arc::new(Histogram::new(&options)));
            entry.shared.order_histogram(entry.histogram.clone());
        }
    }

    pub(crate) fn histogram_options(&self) -> Option<HistogramOptions> {
        self.lock().histogram.as_ref().map(|histogram| histogram.options)
    }

    pub(crate) fn histogram(&self) -> Option<HistogramSnapshot> {
        let channels = self.lock();
        let mut sum = channels.histogram.as_ref()?.closed.clone();
        channels.open.iter().filter_map(|entry| entry.histogram.as_ref()).for_each(|histogram| sum.add(histogram));
        Some(sum)
    }

    #[cfg(test)]
    pub(crate) fn open_channels(&self) -> usize {
        self.lock().open.len()
    }

    fn lock(&self) -> MutexGuard<'_, Channels> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn read(&self) -> Totals {
        self.shared.read(self.extremes_from)
    }

    /// One reading serves as the answer and as the new baseline, so that nothing is lost between them.
    fn take(&mut self, mode: ResetMode) -> Totals {
        let now = self.read();
        let totals = now.since(&self.baseline);
        match mode {
            ResetMode::None | ResetMode::MaxMin => {}
            ResetMode::Errors => self.baseline.set_errors(&now),
            ResetMode::All => self.baseline = now,
        }
        if matches!(mode, ResetMode::MaxMin | ResetMode::All) {
            self.extremes_from = self.shared.order_to_forget_extremes();
        }
        totals
    }
}

fn reset(totals: &mut Totals, mode: ResetMode) {
    match mode {
        ResetMode::None => {}
        ResetMode::MaxMin => totals.forget_extremes(),
        ResetMode::Errors => totals.set_errors(&Totals::default()),
        ResetMode::All => *totals = Totals::default(),
    }
}

#[cfg(test)]
#[path = "stats/tests.rs"]
mod tests;
