//! Where a reactor's time goes: the meter that runs pollers between two readings of the clock, and the numbers it keeps.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use metrics::{CacheAligned, Counter};

use crate::clock::{Clock, Instant, nanoseconds};
use crate::handle::{NO_POLLER, Shared};
use crate::poller::{Progress, Registered};
use crate::stall::StallLog;

/// Reads the clock once after each poller and charges the time since the last reading to someone.
pub(crate) struct Meter<C: Clock> {
    clock: C,
    now: Instant,
    stall_after_ns: u64,
    stall_log: StallLog,
    shared: Arc<Shared>,
}

impl<C: Clock> Meter<C> {
    pub(crate) fn new(clock: C, stall_after: Duration, shared: Arc<Shared>) -> Meter<C> {
        let now = clock.now();
        Meter { clock, now, stall_after_ns: nanoseconds(stall_after), stall_log: StallLog::default(), shared }
    }

    /// The last reading of the clock.
    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    /// A fresh reading that charges nobody.
    pub(crate) fn read_clock(&self) -> Instant {
        self.clock.now()
    }

    /// Polls once, and charges the poller for the time.
    pub(crate) fn run(&mut self, registered: &mut Registered) -> Progress {
        self.shared.running.store(registered.counters.id, Ordering::Relaxed);
        let progress = registered.poller.poll(self.now);
        self.shared.running.store(NO_POLLER, Ordering::Relaxed);
        let elapsed_ns = self.charge(progress);
        let counts = &registered.counters.counts;
        counts.runs.increment();
        if progress == Progress::Busy {
            counts.busy_runs.increment();
            counts.busy_ns.add(elapsed_ns);
        }
        let longest_ns = &self.shared.counters.longest_poll_ns;
        longest_ns.add(elapsed_ns.saturating_sub(longest_ns.get()));
        if elapsed_ns > self.stall_after_ns {
            self.on_stall(&registered.counters, elapsed_ns);
        }
        progress
    }

    /// Reads the clock and charges the time since the last reading as busy or idle; returns that time in nanoseconds.
    pub(crate) fn charge(&mut self, progress: Progress) -> u64 {
        let before = std::mem::replace(&mut self.now, self.clock.now());
        let elapsed_ns = nanoseconds(self.now.since(before));
        match progress {
            Progress::Busy => self.shared.counters.busy_ns.add(elapsed_ns),
            Progress::Idle => self.shared.counters.idle_ns.add(elapsed_ns),
        }
        elapsed_ns
    }

    /// What passed since the last reading was idle: a sleep, or whatever a test did between rounds.
    pub(crate) fn charge_pause(&mut self) {
        self.charge(Progress::Idle);
    }

    pub(crate) fn count_round(&self) {
        self.shared.counters.rounds.increment();
    }

    pub(crate) fn count_sleep(&self) {
        self.shared.counters.sleeps.increment();
    }

    #[cold]
    fn on_stall(&mut self, poller: &PollerCounters, elapsed_ns: u64) {
        poller.counts.stalls.increment();
        self.shared.counters.stalls.increment();
        self.shared.last_stalled.store(poller.id, Ordering::Relaxed);
        if let Some(unreported) = self.stall_log.should_report(self.now) {
            tracing::warn!(
                reactor = %self.shared.name,
                poller = %poller.name,
                ran_us = elapsed_ns / 1_000,
                limit_us = self.stall_after_ns / 1_000,
                unreported,
                "a poller held up its reactor"
            );
            self.charge(Progress::Idle); // the time that logging took is not the next poller's
        }
    }
}

/// The numbers of a reactor, written by it alone.
#[derive(Debug, Default)]
pub(crate) struct ReactorCounters {
    pub(crate) busy_ns: Counter,
    pub(crate) idle_ns: Counter,
    pub(crate) rounds: Counter,
    pub(crate) sleeps: Counter,
    pub(crate) stalls: Counter,
    pub(crate) longest_poll_ns: Counter,
}

/// The numbers of a poller, written by the reactor that runs it.
#[derive(Debug)]
pub(crate) struct PollerCounters {
    /// Unique in the reactor and never used again; names need not be unique.
    pub(crate) id: u64,
    pub(crate) name: String,
    period: Option<Duration>,
    counts: CacheAligned<PollerCounts>,
}

#[derive(Debug, Default)]
struct PollerCounts {
    runs: Counter,
    busy_runs: Counter,
    busy_ns: Counter,
    stalls: Counter,
}

impl PollerCounters {
    pub(crate) fn new(id: u64, name: String, period: Option<Duration>) -> PollerCounters {
        PollerCounters { id, name, period, counts: CacheAligned::default() }
    }

    pub(crate) fn stats(&self) -> PollerStats {
        PollerStats {
            name: self.name.clone(),
            period: self.period,
            runs: self.counts.runs.get(),
            busy_runs: self.counts.busy_runs.get(),
            busy_ns: self.counts.busy_ns.get(),
            stalls: self.counts.stalls.get(),
        }
    }
}

/// A reactor's numbers since its start, as SPDK's `framework_get_reactors` reports them. Each is whole; together they
/// may be from different moments of one round.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReactorStats {
    /// The core it was told to run on.
    pub core: Option<u32>,
    /// Its name.
    pub name: String,
    /// Nanoseconds in polls that found work, and in requests of handles.
    pub busy_ns: u64,
    /// All other nanoseconds: polls that found nothing, and sleep.
    pub idle_ns: u64,
    /// Rounds run.
    pub rounds: u64,
    /// Times it went to sleep; 0 with [`IdleMode::Poll`](crate::IdleMode::Poll).
    pub sleeps: u64,
    /// Polls that took longer than `stall_after`.
    pub stalls: u64,
    /// The poller that was last to do so, even if it has been removed since.
    pub last_stalled_poller: Option<String>,
    /// The longest poll, in nanoseconds.
    pub longest_poll_ns: u64,
    /// Its pollers, in the order in which they were added.
    pub pollers: Vec<PollerStats>,
}

/// A poller's numbers since it was added.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PollerStats {
    /// Its name.
    pub name: String,
    /// How often it runs; `None`: in every round.
    pub period: Option<Duration>,
    /// Polls.
    pub runs: u64,
    /// Polls that found work.
    pub busy_runs: u64,
    /// Nanoseconds in those.
    pub busy_ns: u64,
    /// Polls that took longer than the reactor's `stall_after`.
    pub stalls: u64,
}
