//! When a reactor with nothing to do goes to sleep, and for how long. Decides only; `waker.rs` sleeps.
//!
//! A reactor announces that it will sleep and has its pollers arm what wakes them, runs one more round, and sleeps if that was empty as
//! well; `waker.rs` tells why. The announcement stands through the following sleeps, until a round finds work. After a sleep that
//! a poller's file ended it is made anew, because what was armed may have been used up.

use std::time::Duration;

use crate::clock::Instant;
use crate::poller::Progress;

/// What a reactor does when there is nothing to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IdleMode {
    /// Keeps polling, and has its core to itself. The lowest latency.
    Poll,
    /// Without work it polls and lets others have the core in between, and after the time `spin` it sleeps until something wakes it. While a poller has work that nothing tells of, it sleeps
    /// for short times instead: first 20 µs, then twice as long each time up to `max_sleep`. Work makes it poll again. For
    /// cores that are shared with others.
    Adaptive {
        /// Time without work before the first sleep.
        spin: Duration,
        /// The longest sleep while there may be work that wakes nobody: the latency that such work may meet.
        max_sleep: Duration,
    },
    /// Sleeps `max_sleep` whenever there is nothing to do. For a control thread.
    Park {
        /// The longest sleep; timers, wakers and files end it earlier.
        max_sleep: Duration,
    },
}

/// The first short sleep of [`IdleMode::Adaptive`]: below it, falling asleep and waking costs more than the sleep saves.
const FIRST_SLEEP: Duration = Duration::from_micros(20);

/// The longest sleep of [`IdleMode::Adaptive`] where everything wakes: a hundred rounds a second cost nothing, and the watchdog sees
/// that the reactor lives.
const LONGEST_SLEEP: Duration = Duration::from_millis(10);

/// What to do between two rounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rest {
    /// Run the next round at once.
    None,
    /// Let those run first that wait for this core: what they do may be what the reactor waits for.
    Yield,
    /// Announce a sleep and arm the pollers, then run the next round.
    Announce,
    /// Take the announcement back, then run the next round.
    Cancel,
    /// Sleep, at most [`Idle::longest_sleep`].
    Sleep,
}

/// The idle mode at work: knows since when there is no work, remembers the announcement, doubles the short sleeps.
#[derive(Debug)]
pub(crate) struct Idle {
    mode: IdleMode,
    /// The end of the first round without work since there was some.
    empty_since: Option<Instant>,
    announced: bool,
    next_sleep: Duration,
}

impl Idle {
    pub(crate) fn new(mode: IdleMode) -> Idle {
        Idle { mode, empty_since: None, announced: false, next_sleep: FIRST_SLEEP }
    }

    /// What follows a round that ended at `now`.
    #[inline]
    pub(crate) fn after_round(&mut self, progress: Progress, now: Instant) -> Rest {
        match progress {
            Progress::Busy => self.after_work(),
            Progress::Idle => self.after_empty_round(now),
        }
    }

    fn after_work(&mut self) -> Rest {
        self.empty_since = None;
        if std::mem::take(&mut self.announced) { Rest::Cancel } else { Rest::None }
    }

    fn after_empty_round(&mut self, now: Instant) -> Rest {
        let spin = match self.mode {
            IdleMode::Poll => return Rest::None,
            IdleMode::Adaptive { spin, .. } => spin,
            IdleMode::Park { .. } => Duration::ZERO,
        };
        let empty_since = *self.empty_since.get_or_insert_with(|| {
            self.next_sleep = FIRST_SLEEP;
            now
        });
        if now.since(empty_since) < spin {
            return Rest::Yield;
        }
        if std::mem::replace(&mut self.announced, true) { Rest::Sleep } else { Rest::Announce }
    }

    /// How long the sleep that comes now may be; short ones where pollers have work that nothing tells of.
    pub(crate) fn longest_sleep(&mut self, look_often: bool) -> Duration {
        match self.mode {
            IdleMode::Poll => Duration::ZERO,
            IdleMode::Park { max_sleep } => max_sleep,
            IdleMode::Adaptive { max_sleep, .. } if look_often => {
                let sleep = self.next_sleep.min(max_sleep);
                self.next_sleep = sleep.saturating_mul(2).min(max_sleep);
                sleep
            }
            IdleMode::Adaptive { max_sleep, .. } => LONGEST_SLEEP.max(max_sleep),
        }
    }

    /// A file ended the sleep: pollers are armed again before the next one.
    pub(crate) fn woken_by_file(&mut self) {
        self.announced = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Progress::{Busy, Idle as Empty};

    const US: Duration = Duration::from_micros(1);

    fn adaptive(spin: Duration, max_sleep: Duration) -> Idle {
        Idle::new(IdleMode::Adaptive { spin, max_sleep })
    }

    /// What follows rounds that end 10 µs after each other, the first at `first_us`.
    fn rests(idle: &mut Idle, first_us: u64, rounds: &[Progress]) -> Vec<Rest> {
        let at = |index: usize| Instant((first_us + 10 * index as u64) * 1_000);
        rounds.iter().enumerate().map(|(index, &progress)| idle.after_round(progress, at(index))).collect()
    }

    #[test]
    fn poll_never_sleeps() {
        let mut idle = Idle::new(IdleMode::Poll);
        assert_eq!(rests(&mut idle, 0, &[Empty, Busy, Empty, Empty]), [Rest::None; 4]);
    }

    #[test]
    fn adaptive_announces_after_its_time_without_work_then_sleeps() {
        let mut idle = adaptive(20 * US, 200 * US);
        let rests = rests(&mut idle, 0, &[Empty; 5]);
        assert_eq!(rests, [Rest::Yield, Rest::Yield, Rest::Announce, Rest::Sleep, Rest::Sleep]);
    }

    #[test]
    fn the_time_counts_and_not_the_rounds() {
        let mut idle = adaptive(20 * US, 200 * US);
        let after = |idle: &mut Idle, us: u64| idle.after_round(Empty, Instant(us * 1_000));
        assert_eq!((0..100).map(|_| after(&mut idle, 7)).collect::<Vec<_>>(), [Rest::Yield; 100]);
        assert_eq!(after(&mut idle, 26), Rest::Yield);
        assert_eq!(after(&mut idle, 27), Rest::Announce);
    }

    #[test]
    fn work_ends_the_sleeping_and_starts_the_time_afresh() {
        let mut idle = adaptive(10 * US, 100 * US);
        let rests = rests(&mut idle, 5, &[Empty, Empty, Empty, Empty, Busy, Busy, Empty, Empty, Empty]);
        let expected = [
            [Rest::Yield, Rest::Announce, Rest::Sleep],
            [Rest::Sleep, Rest::Cancel, Rest::None],
            [Rest::Yield, Rest::Announce, Rest::Sleep],
        ];
        assert_eq!(rests, expected.concat());
    }

    #[test]
    fn a_round_with_work_after_the_announcement_prevents_the_sleep() {
        let mut idle = Idle::new(IdleMode::Park { max_sleep: 7 * US });
        let rests = rests(&mut idle, 0, &[Empty, Busy, Empty, Empty]);
        assert_eq!(rests, [Rest::Announce, Rest::Cancel, Rest::Announce, Rest::Sleep]);
        assert_eq!([true, false].map(|often| idle.longest_sleep(often)), [7 * US; 2]);
    }

    #[test]
    fn after_a_file_ended_the_sleep_it_is_announced_again_at_once() {
        let mut idle = adaptive(10 * US, 100 * US);
        assert_eq!(rests(&mut idle, 0, &[Empty; 3]), [Rest::Yield, Rest::Announce, Rest::Sleep]);
        idle.woken_by_file();
        assert_eq!(rests(&mut idle, 30, &[Empty; 3]), [Rest::Announce, Rest::Sleep, Rest::Sleep]);
    }

    #[test]
    fn short_sleeps_double_up_to_the_limit_and_begin_anew_after_work() {
        let mut idle = adaptive(Duration::ZERO, 50 * US);
        for _ in 0..2 {
            rests(&mut idle, 0, &[Busy, Empty, Empty]);
            assert_eq!([true; 4].map(|often| idle.longest_sleep(often)), [20 * US, 40 * US, 50 * US, 50 * US]);
        }
        assert_eq!(idle.longest_sleep(false), LONGEST_SLEEP);
    }

    #[test]
    fn a_longest_sleep_below_the_first_one_holds() {
        let mut idle = adaptive(Duration::ZERO, 5 * US);
        assert_eq!([true; 2].map(|often| idle.longest_sleep(often)), [5 * US; 2]);
    }
}
