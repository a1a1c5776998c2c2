//! Time as the data path sees it: a number of nanoseconds that only grows, from a clock that a test can hold still.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A moment: nanoseconds since an arbitrary start that all [`SystemClock`]s of the process share. Monotonic; lasts
/// 584 years.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Instant(pub u64);

impl Instant {
    /// The moment `duration` later; the last representable one if there is none.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Instant {
        Instant(self.0.saturating_add(nanoseconds(duration)))
    }

    /// The time that has passed since `earlier`; zero if `earlier` is not earlier.
    #[must_use]
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A duration in nanoseconds, capped at what a u64 holds.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Where a reactor takes the time from.
pub trait Clock {
    /// The present moment; never earlier than one returned before.
    fn now(&self) -> Instant;
}

/// The machine's monotonic clock. All of a process count from the same start, so instants may cross reactors.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: std::time::Instant,
}

impl SystemClock {
    /// The clock; its start is the first call in this process.
    pub fn new() -> SystemClock {
        static START: OnceLock<std::time::Instant> = OnceLock::new();
        SystemClock { start: *START.get_or_init(std::time::Instant::now) }
    }
}

impl Default for SystemClock {
    fn default() -> SystemClock {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    #[inline]
    fn now(&self) -> Instant {
        Instant(nanoseconds(self.start.elapsed()))
    }
}

/// A clock that moves only when told to, for tests and simulation. Clones are the same clock.
#[derive(Clone, Debug, Default)]
pub struct ManualClock {
    nanoseconds: Arc<AtomicU64>,
}

impl ManualClock {
    /// A clock that stands at 0.
    pub fn new() -> ManualClock {
        ManualClock::default()
    }

    /// Moves the clock forward.
    pub fn advance(&self, duration: Duration) {
        self.nanoseconds.fetch_add(nanoseconds(duration), Ordering::AcqRel);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        Instant(self.nanoseconds.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Instant(5).plus(Duration::from_nanos(7)), Instant(12));
        assert_eq!(Instant(5).plus(Duration::MAX), Instant(u64::MAX));
        assert_eq!(Instant(5).since(Instant(2)), Duration::from_nanos(3));
        assert_eq!(Instant(2).since(Instant(5)), Duration::ZERO);
    }

    #[test]
    fn clones_of_a_manual_clock_are_one_clock() {
        let clock = ManualClock::new();
        clock.clone().advance(Duration::from_micros(3));
        assert_eq!(clock.now(), Instant(3_000));
    }

    #[test]
    fn system_clocks_share_their_start() {
        let (one, before) = (SystemClock::new(), SystemClock::new().now());
        assert!(one.now() >= before);
    }
}
