//! Times of the connection manager, and messages that are sent again until something answers them.

use std::fmt;

use super::Mad;
use crate::roce::wire::cm::timeout_ns;

/// One second in nanoseconds.
const SECOND: u64 = 1_000_000_000;

/// How long the peer may take to answer, as we say it in our REQ: code 20, 4.3 s (what the RDMA/CM of Linux says).
pub(super) const RESPONSE_TIMEOUT: u8 = 20;

/// How often each side says something again that was not answered, as we say it in our REQ: the field's largest value.
pub(super) const RETRIES: u8 = 15;

/// How long we may take to decide, as we say it in an MRA: code 21, 8.6 s.
pub(super) const SERVICE_TIMEOUT: u8 = 21;

/// Longest time from the first message of a handshake to its end, in nanoseconds, whatever timeouts the peer asks for:
/// so long can a half-open connection take up room, and can a consumer take to decide.
pub(super) const HANDSHAKE_MAX: u64 = 60 * SECOND;

/// How long DREQ is repeated, in nanoseconds.
pub(super) const DISCONNECT_MAX: u64 = 8 * SECOND;

/// How long an ended connection is remembered, in nanoseconds: to answer what the peer repeats as it was answered before.
/// More than twice the 4.3 s after which Linux repeats.
pub(super) const TIME_WAIT: u64 = 10 * SECOND;

/// Pause before the first repetition, in nanoseconds; each one after it doubles, up to the peer's response timeout. Far
/// less than that timeout, because datagrams are lost more often than they are late.
const FIRST_PAUSE: u64 = SECOND / 10;

/// Longest pause between two repetitions, in nanoseconds.
const PAUSE_MAX: u64 = 5 * SECOND;

/// How long to wait before an MRA says that we need longer than the peer's response timeout code `code` allows.
pub(super) fn patience(code: u8) -> u64 {
    (timeout_ns(code) / 4).clamp(FIRST_PAUSE, SECOND)
}

/// A message that waits for its answer.
pub(super) struct Exchange {
    message: Box<Mad>,
    next: u64,
    pause: u64,
    pause_max: u64,
    until: u64,
    /// `until` is never later.
    latest: u64,
}

impl Exchange {
    /// For a message of a handshake that is sent now. `response_timeout`: code of the time the peer asks for; `retries`:
    /// how often it wants to hear the message again.
    pub(super) fn handshake(now: u64, message: Mad, response_timeout: u8, retries: u8) -> Exchange {
        let pause_max = timeout_ns(response_timeout).clamp(FIRST_PAUSE, PAUSE_MAX);
        let patience = pause_max * (u64::from(retries) + 1);
        Exchange {
            message: Box::new(message),
            next: now + FIRST_PAUSE,
            pause: FIRST_PAUSE,
            pause_max,
            until: now + patience.min(HANDSHAKE_MAX),
            latest: now + HANDSHAKE_MAX,
        }
    }

    /// For a DREQ that is sent now.
    pub(super) fn disconnect(now: u64, message: Mad) -> Exchange {
        let until = now + DISCONNECT_MAX;
        Exchange {
            message: Box::new(message),
            next: now + FIRST_PAUSE,
            pause: FIRST_PAUSE,
            pause_max: 2 * SECOND,
            until,
            latest: until,
        }
    }

    /// The message.
    pub(super) fn message(&self) -> &Mad {
        &self.message
    }

    /// When [`Exchange::on_time`] has something to do.
    pub(super) fn deadline(&self) -> u64 {
        self.next.min(self.until)
    }

    /// At the deadline: true if the message is to be sent again, false if it is given up.
    pub(super) fn on_time(&mut self, now: u64) -> bool {
        if now >= self.until {
            return false;
        }
        self.pause = (2 * self.pause).min(self.pause_max);
        self.next = now + self.pause;
        true
    }

    /// The peer has the message, and needs the time of this code to answer (MRA).
    pub(super) fn extend(&mut self, now: u64, service_timeout: u8) {
        self.next = now + timeout_ns(service_timeout);
        self.until = self.until.max(self.next + self.pause_max).min(self.latest);
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("next", &self.next).field("until", &self.until).finish_non_exhaustive()
    }
}
