//! When a reactor with nothing to do goes to sleep, and for how long. Decides only; `waker.rs` sleeps.
//!
//! A reactor announces that it will sleep, runs one more round, and sleeps if that was empty as well; `waker.rs` tells
//! why. The announcement stands through the following sleeps, until a round finds work.

use std::time::Duration;

use crate::poller::Progress;

/// What a reactor does when there is nothing to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IdleMode {
    /// Keeps polling, and has its core to itself. The lowest latency.
    Poll,
    /// Sleeps after `empty_rounds` rounds in a row without work: first 20 µs, then twice as long each time up to
    /// `max_sleep`. Work makes it poll again. For small machines.
    Adaptive {
        /// Rounds without work before the first sleep.
        empty_rounds: u32,
        /// The longest sleep: the latency that work which wakes nobody may meet.
        max_sleep: Duration,
    },
    /// Sleeps `max_sleep` whenever there is nothing to do. For a control thread.
    Park {
        /// The longest sleep; timers and wakers end it earlier.
        max_sleep: Duration,
    },
}

/// The first sleep of [`IdleMode::Adaptive`]: below it, falling asleep and waking costs more than the sleep saves.
const FIRST_SLEEP: Duration = Duration::from_micros(20);

/// What to do between two rounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rest {
    /// Run the next round at once.
    None,
    /// Announce a sleep, then run the next round.
    Announce,
    /// Take the announcement back, then run the next round.
    Cancel,
    /// Sleep at most so long.
    Sleep(Duration),
}

/// The idle mode at work: counts empty rounds, remembers the announcement, doubles the sleep.
#[derive(Debug)]
pub(crate) struct Idle {
    mode: IdleMode,
    empty_rounds: u32,
    announced: bool,
    next_sleep: Duration,
}

impl Idle {
    pub(crate) fn new(mode: IdleMode) -> Idle {
        Idle { mode, empty_rounds: 0, announced: false, next_sleep: Duration::ZERO }
    }

    pub(crate) fn after_round(&mut self, progress: Progress) -> Rest {
        match progress {
            Progress::Busy => self.after_work(),
            Progress::Idle => self.after_empty_round(),
        }
    }

    fn after_work(&mut self) -> Rest {
        self.empty_rounds = 0;
        if std::mem::take(&mut self.announced) { Rest::Cancel } else { Rest::None }
    }

    fn after_empty_round(&mut self) -> Rest {
        let (empty_rounds_wanted, first_sleep, max_sleep) = match self.mode {
            IdleMode::Poll => return Rest::None,
            IdleMode::Adaptive { empty_rounds, max_sleep } => (empty_rounds, FIRST_SLEEP.min(max_sleep), max_sleep),
            IdleMode::Park { max_sleep } => (1, max_sleep, max_sleep),
        };
        self.empty_rounds = self.empty_rounds.saturating_add(1);
        if self.empty_rounds < empty_rounds_wanted {
            return Rest::None;
        }
        if !self.announced {
            self.announced = true;
            self.next_sleep = first_sleep;
            return Rest::Announce;
        }
        let sleep = self.next_sleep;
        self.next_sleep = sleep.saturating_mul(2).min(max_sleep);
        Rest::Sleep(sleep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Progress::{Busy, Idle as Empty};

    fn rests(idle: &mut Idle, rounds: &[Progress]) -> Vec<Rest> {
        rounds.iter().map(|&progress| idle.after_round(progress)).collect()
    }

    fn sleep_us(microseconds: u64) -> Rest {
        Rest::Sleep(Duration::from_micros(microseconds))
    }

    #[test]
    fn poll_never_sleeps() {
        let mut idle = Idle::new(IdleMode::Poll);
        assert_eq!(rests(&mut idle, &[Empty, Busy, Empty, Empty]), [Rest::None; 4]);
    }

    #[test]
    fn adaptive_announces_after_its_rounds_then_doubles_up_to_the_limit() {
        let mut idle = Idle::new(IdleMode::Adaptive { empty_rounds: 3, max_sleep: Duration::from_micros(50) });
        let rests = rests(&mut idle, &[Empty; 7]);
        assert_eq!(
            rests,
            [Rest::None, Rest::None, Rest::Announce, sleep_us(20), sleep_us(40), sleep_us(50), sleep_us(50)]
        );
    }

    #[test]
    fn work_ends_the_sleeping_and_starts_the_count_afresh() {
        let mut idle = Idle::new(IdleMode::Adaptive { empty_rounds: 2, max_sleep: Duration::from_micros(100) });
        let rests = rests(&mut idle, &[Empty, Empty, Empty, Empty, Busy, Busy, Empty, Empty, Empty]);
        let expected = [
            [Rest::None, Rest::Announce, sleep_us(20)],
            [sleep_us(40), Rest::Cancel, Rest::None],
            [Rest::None, Rest::Announce, sleep_us(20)],
        ];
        assert_eq!(rests, expected.concat());
    }

    #[test]
    fn a_round_with_work_after_the_announcement_prevents_the_sleep() {
        let mut idle = Idle::new(IdleMode::Park { max_sleep: Duration::from_micros(7) });
        let rests = rests(&mut idle, &[Empty, Busy, Empty, Empty]);
        assert_eq!(rests, [Rest::Announce, Rest::Cancel, Rest::Announce, sleep_us(7)]);
    }

    #[test]
    fn a_longest_sleep_below_the_first_one_holds() {
        let mut idle = Idle::new(IdleMode::Adaptive { empty_rounds: 0, max_sleep: Duration::from_micros(5) });
        assert_eq!(rests(&mut idle, &[Empty; 3]), [Rest::Announce, sleep_us(5), sleep_us(5)]);
    }
}
