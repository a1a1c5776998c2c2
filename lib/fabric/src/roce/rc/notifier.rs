//! Tells the peer that its packets meet congestion on their way to us (IBTA annex A17.9.3).

use super::{EndpointCounters, Transmit};
use crate::roce::wire::{Headers, Opcode, Psn};

/// Least time between two notifications, in nanoseconds: the peer slows down once per round trip anyway.
const INTERVAL: u64 = 50_000;

/// The payload of a notification: 16 bytes, reserved.
const PAYLOAD: [u8; 16] = [0; 16];

#[derive(Debug)]
pub(super) struct Notifier {
    remote_qpn: u32,
    pending: bool,
    /// When the next one may go out.
    allowed_at: u64,
}

impl Notifier {
    pub(super) fn new(remote_qpn: u32) -> Notifier {
        Notifier { remote_qpn, pending: false, allowed_at: 0 }
    }

    pub(super) fn connect(&mut self, remote_qpn: u32) {
        self.remote_qpn = remote_qpn;
    }

    /// A packet arrived with the mark of congestion.
    #[inline]
    pub(super) fn on_congested(&mut self) {
        self.pending = true;
    }

    /// Sends the notification that is due. True if there was no room for it.
    #[inline]
    pub(super) fn transmit(&mut self, now: u64, counters: &mut EndpointCounters, out: &mut dyn Transmit) -> bool {
        if !self.pending || now < self.allowed_at {
            return false;
        }
        if !out.send(&Headers::new(Opcode::Cnp, self.remote_qpn, Psn::new(0)), &PAYLOAD) {
            return true;
        }
        self.pending = false;
        self.allowed_at = now + INTERVAL;
        counters.cnp_out += 1;
        false
    }

    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.pending.then_some(self.allowed_at)
    }
}
