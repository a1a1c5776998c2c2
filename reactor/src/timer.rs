//! Timed pollers: each with a period and a next deadline.
//!
//! A reactor has a handful of them, so they stand in a plain vector; the earliest deadline is kept beside it, and a
//! round in which nothing is due costs one comparison.

use std::time::Duration;

use crate::clock::{Clock, Instant, nanoseconds};
use crate::poller::{Progress, Registered};
use crate::stats::Meter;

/// The timed pollers of one reactor.
#[derive(Default)]
pub(crate) struct Timers {
    entries: Vec<Timed>,
    next_deadline: Option<Instant>,
}

struct Timed {
    registered: Registered,
    period: Duration,
    deadline: Instant,
}

impl Timers {
    pub(crate) fn run_due<C: Clock>(&mut self, meter: &mut Meter<C>) -> Progress {
        let mut progress = Progress::Idle;
        if self.next_deadline.is_none_or(|deadline| meter.now() < deadline) {
            return progress;
        }
        for timed in &mut self.entries {
            if timed.deadline <= meter.now() {
                progress = progress.or(meter.run(&mut timed.registered));
                timed.deadline = following(timed.deadline, timed.period, meter.now());
            }
        }
        self.find_next_deadline();
        progress
    }

    pub(crate) fn add(&mut self, registered: Registered, period: Duration, now: Instant) {
        self.entries.push(Timed { registered, period, deadline: now.plus(period) });
        self.find_next_deadline();
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.entries.retain(|timed| timed.registered.counters.name != name);
        self.find_next_deadline();
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.next_deadline
    }

    fn find_next_deadline(&mut self) {
        self.next_deadline = self.entries.iter().map(|timed| timed.deadline).min();
    }
}

/// The first deadline after `now` that is a whole number of periods after `deadline`, which `now` has reached.
fn following(deadline: Instant, period: Duration, now: Instant) -> Instant {
    let period = nanoseconds(period);
    let missed = nanoseconds(now.since(deadline)) / period;
    Instant(deadline.0.saturating_add(period.saturating_mul(missed + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_following_deadline_keeps_the_phase_and_lies_within_a_period(
            deadline in 0u64..1 << 40, period in 1u64..1 << 30, late in 0u64..1 << 40,
        ) {
            let now = deadline + late;
            let next = following(Instant(deadline), Duration::from_nanos(period), Instant(now)).0;
            prop_assert!(next > now && next <= now + period);
            prop_assert_eq!((next - deadline) % period, 0);
        }
    }

    #[test]
    fn a_deadline_beyond_time_saturates() {
        assert_eq!(following(Instant(u64::MAX - 1), Duration::MAX, Instant(u64::MAX)), Instant(u64::MAX));
    }
}
