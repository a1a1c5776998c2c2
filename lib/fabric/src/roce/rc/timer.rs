//! When a packet that nobody answered is sent again, and when the peer is given up (IBTA vol. 1, 9.7.6.1.3 and 9.9.2.1).
//!
//! The negotiated timeout is seconds long with common initiators (4.096 µs · 2^19), so that one lost packet would stop a
//! disk for that long. So repetitions follow the measured round trip (RFC 6298), and the negotiated values only say
//! when the peer is given up.

use crate::WorkError;

const MILLISECOND: u64 = 1_000_000;

/// Before the first round trip is known: ten times that of a continent.
const TIMEOUT_FIRST: u64 = 200 * MILLISECOND;

/// Shortest timeout: peers delay acknowledgements, and a busy one is not looked after for some milliseconds.
const TIMEOUT_MIN: u64 = 10 * MILLISECOND;

/// Longest timeout where none was negotiated.
const TIMEOUT_MAX: u64 = 2000 * MILLISECOND;

/// Doublings after which any timeout has reached the longest that can be negotiated (2.4 hours).
const DOUBLINGS_MAX: u32 = 20;

/// One timer, for the oldest packet that is not acknowledged. Packets are numbered as in `requester.rs`.
#[derive(Debug)]
pub(super) struct Timer {
    /// The negotiated timeout; `None`: for ever.
    negotiated: Option<u64>,
    retry_count: u32,
    /// Smoothed round trip and its deviation, in nanoseconds.
    round_trip: Option<(u64, u64)>,
    /// The packet whose answer is the next measurement, and when it was sent.
    sample: Option<(u64, u64)>,
    deadline: Option<u64>,
    /// Timeouts since there was progress.
    timeouts: u32,
    /// When there was progress: something was acknowledged, or sent after nothing was outstanding.
    progress: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Expiry {
    NotYet,
    SendAgain,
}

impl Timer {
    pub(super) fn new(ack_timeout: u8, retry_count: u8) -> Timer {
        let negotiated = (ack_timeout != 0).then(|| 4096 << u32::from(ack_timeout.min(31)));
        Timer {
            negotiated,
            retry_count: retry_count.into(),
            round_trip: None,
            sample: None,
            deadline: None,
            timeouts: 0,
            progress: 0,
        }
    }

    /// Packet `number` goes out. `alone`: nothing was outstanding. `measured`: an answer to it tells the round trip.
    #[inline]
    pub(super) fn on_sent(&mut self, now: u64, number: u64, alone: bool, measured: bool) {
        if alone {
            self.on_progress(now);
        }
        if self.deadline.is_none() {
            self.deadline = Some(now + self.timeout());
        }
        if measured && self.sample.is_none() {
            self.sample = Some((number, now));
        }
    }

    /// All packets before `oldest` are acknowledged; `outstanding`: others are not.
    #[inline]
    pub(super) fn on_acknowledged(&mut self, now: u64, oldest: u64, outstanding: bool) {
        if let Some((number, sent)) = self.sample
            && number < oldest
        {
            self.sample = None;
            self.measure(now.saturating_sub(sent));
        }
        self.on_progress(now);
        self.deadline = outstanding.then(|| now + self.timeout());
    }

    /// The peer lives, though nothing was acknowledged.
    pub(super) fn on_progress(&mut self, now: u64) {
        self.progress = now;
        self.timeouts = 0;
    }

    /// Packets will be sent again: nothing is on its way, and answers do not tell which of two they belong to (Karn).
    pub(super) fn on_go_back(&mut self) {
        self.deadline = None;
        self.sample = None;
    }

    /// # Errors
    /// The peer is given up.
    pub(super) fn poll(&mut self, now: u64) -> Result<Expiry, WorkError> {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return Ok(Expiry::NotYet);
        }
        self.timeouts += 1;
        let silence = now.saturating_sub(self.progress);
        match self.negotiated {
            Some(negotiated)
                if self.timeouts > self.retry_count && silence >= negotiated * u64::from(self.retry_count + 1) =>
            {
                Err(WorkError::RetriesExceeded)
            }
            _ => Ok(Expiry::SendAgain),
        }
    }

    pub(super) fn deadline(&self) -> Option<u64> {
        self.deadline
    }

    /// Smoothed round trip in nanoseconds; 0: not known yet.
    #[inline]
    pub(super) fn round_trip(&self) -> u64 {
        self.round_trip.map_or(0, |(smoothed, _)| smoothed)
    }

    fn measure(&mut self, round_trip: u64) {
        self.round_trip = Some(match self.round_trip {
            None => (round_trip, round_trip / 2),
            Some((smoothed, deviation)) => {
                ((7 * smoothed + round_trip) / 8, (3 * deviation + smoothed.abs_diff(round_trip)) / 4)
            }
        });
    }

    fn timeout(&self) -> u64 {
        let first = self.round_trip.map_or(TIMEOUT_FIRST, |(smoothed, deviation)| smoothed + 4 * deviation);
        let longest = self.negotiated.unwrap_or(TIMEOUT_MAX).max(TIMEOUT_MIN);
        (first.max(TIMEOUT_MIN) << self.timeouts.min(DOUBLINGS_MAX)).min(longest)
    }
}

/// How long to wait after an RNR NAK, in nanoseconds, by its 5-bit code (IBTA vol. 1, table 45).
pub(super) const fn receiver_not_ready_delay(code: u8) -> u64 {
    const HUNDREDTHS_OF_MILLISECONDS: [u64; 32] = [
        65536, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072,
        4096, 6144, 8192, 12288, 16384, 24576, 32768, 49152,
    ];
    HUNDREDTHS_OF_MILLISECONDS[(code & 0x1f) as usize] * 10_000
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEGOTIATED: u64 = 4096 << 14; // 67 ms

    #[test]
    fn before_a_measurement_it_is_the_first_timeout_and_doubles_up_to_the_negotiated_one() {
        let mut timer = Timer::new(19, 7);
        let mut now = 0;
        for expected in [200, 400, 800, 1600, 2147] {
            timer.on_sent(now, 0, now == 0, true);
            assert_eq!(timer.deadline().map(|at| (at - now) / MILLISECOND), Some(expected));
            now = timer.deadline().expect("armed");
            assert_eq!(timer.poll(now - 1), Ok(Expiry::NotYet));
            assert_eq!(timer.poll(now), Ok(Expiry::SendAgain));
            timer.on_go_back();
        }
    }

    #[test]
    fn it_follows_the_round_trip_but_not_below_the_shortest() {
        let mut timer = Timer::new(19, 7);
        timer.on_sent(0, 0, true, true);
        timer.on_acknowledged(40 * MILLISECOND, 1, false);
        assert_eq!(timer.deadline(), None);
        assert_eq!(timer.round_trip(), 40 * MILLISECOND);
        timer.on_sent(0, 1, true, true);
        assert_eq!(timer.deadline(), Some(120 * MILLISECOND)); // 40 + 4 · 20
        (0..100).for_each(|_| timer.measure(1000));
        timer.on_acknowledged(0, 2, true);
        assert_eq!(timer.deadline(), Some(TIMEOUT_MIN));
    }

    #[test]
    fn repeated_packets_are_not_measured() {
        let mut timer = Timer::new(19, 7);
        timer.on_sent(0, 0, true, true);
        timer.on_go_back();
        timer.on_sent(50, 0, false, false);
        timer.on_acknowledged(60, 1, false);
        assert_eq!(timer.round_trip(), 0);
    }

    #[test]
    fn one_packet_is_measured_at_a_time() {
        let mut timer = Timer::new(19, 7);
        timer.on_sent(0, 0, true, true);
        timer.on_sent(30, 1, false, true);
        timer.on_acknowledged(40, 2, false);
        assert_eq!(timer.round_trip(), 40);
    }

    /// Runs the timer without an answer until it gives up; `None`: not within an hour.
    fn gives_up_at(mut timer: Timer) -> Option<(u64, u32)> {
        let (mut now, mut timeouts) = (0, 0);
        while now < 3_600_000 * MILLISECOND {
            timer.on_sent(now, 0, now == 0, false);
            now = timer.deadline().expect("armed");
            timeouts += 1;
            if timer.poll(now).is_err() {
                return Some((now, timeouts));
            }
            timer.on_go_back();
        }
        None
    }

    #[test]
    fn the_peer_is_given_up_after_the_negotiated_time_and_retries() {
        let mut timer = Timer::new(14, 7);
        timer.round_trip = Some((1000, 0));
        let (at, timeouts) = gives_up_at(timer).expect("given up");
        assert!((8 * NEGOTIATED..9 * NEGOTIATED).contains(&at), "{at}");
        assert!(timeouts >= 8, "{timeouts}");
        let (at, timeouts) = gives_up_at(Timer::new(1, 2)).expect("given up");
        assert_eq!((at, timeouts), (3 * TIMEOUT_MIN, 3), "the retries count where the negotiated time is very short");
        assert_eq!(gives_up_at(Timer::new(0, 0)), None, "0 stands for ever");
    }

    #[test]
    fn progress_starts_it_anew() {
        let mut timer = Timer::new(14, 0);
        timer.on_sent(0, 0, true, false);
        timer.on_acknowledged(NEGOTIATED, 1, true);
        let deadline = timer.deadline().expect("armed");
        assert_eq!(deadline, 2 * NEGOTIATED);
        timer.on_progress(deadline - 1);
        assert_eq!(timer.poll(deadline), Ok(Expiry::SendAgain));
    }

    #[test]
    fn the_longest_values_do_not_overflow() {
        let mut timer = Timer::new(31, 7);
        timer.timeouts = u32::MAX - 1;
        timer.on_sent(0, 0, false, false);
        assert_eq!(timer.deadline(), Some(4096 << 31));
        assert_eq!(timer.poll(4096 << 31), Ok(Expiry::SendAgain));
    }

    #[test]
    fn not_ready_delays_are_those_of_the_table() {
        assert_eq!(receiver_not_ready_delay(0), 655_360_000);
        assert_eq!(receiver_not_ready_delay(1), 10_000);
        assert_eq!(receiver_not_ready_delay(12), 640_000);
        assert_eq!(receiver_not_ready_delay(31), 491_520_000);
        assert_eq!(receiver_not_ready_delay(63), receiver_not_ready_delay(31));
    }
}
