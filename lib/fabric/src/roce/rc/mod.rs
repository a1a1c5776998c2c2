//! One end of a reliable connection, sans-IO: packets, work and time in; packets and completions out (IBTA vol. 1,
//! chapter 9). The same for a target and an initiator.

use mem::Buf;

use super::exposed::Exposed;
use super::statistics::counters;
use super::wire::{Headers, Psn};
use crate::{Completion, Deliver, Fetch, QpIndex};

/// What both ends agreed on, and how much room there is.
#[derive(Clone, Debug)]
pub struct EndpointOptions {
    /// Our queue pair number.
    pub local_qpn: u32,
    /// First PSN that we expect.
    pub receive_psn: Psn,
    /// Path MTU: 256, 512, 1024, 2048 or 4096 bytes of payload.
    pub mtu: u32,
    /// READs that the peer may have outstanding here (responder resources).
    pub reads_served: u8,
    /// Local ACK timeout: 4.096 µs · 2^this; 0: for ever (IBTA vol. 1, 9.9.2.1).
    pub ack_timeout: u8,
    /// How often a lost packet is sent again before the connection is given up, 0 to 7.
    pub retry_count: u8,
    /// The same for receivers that are not ready; 7: for ever.
    pub rnr_retry: u8,
    /// Most receives posted at once.
    pub receives: u32,
    /// Most send-queue entries (segments and messages) at once.
    pub sends: u32,
}

/// Where an endpoint's packets go.
pub trait Transmit {
    /// Takes a packet to be sent; false if there is no room now, then it was not taken.
    fn send(&mut self, headers: &Headers, payload: &[u8]) -> bool;
}

counters! {
    /// What an endpoint counted.
    pub struct EndpointCounters {
        /// Request packets sent again.
        retransmitted,
        /// Times the retransmission timer ran out.
        timeouts,
        /// Sequence errors that the peer reported.
        sequence_errors_in,
        /// Sequence errors that we reported.
        sequence_errors_out,
        /// Requests that had arrived before.
        duplicates,
        /// Times the peer had no receive.
        rnr_in,
        /// Times we had no receive.
        rnr_out,
        /// Accesses of the peer that were refused.
        access_errors_out,
        /// Packets that belong to nothing we know: acknowledgements of what was never sent, answers to nothing.
        unexpected,
        /// Congestion notifications received.
        cnp_in,
        /// Congestion notifications sent.
        cnp_out,
    }
}

/// One end of a connection.
#[derive(Debug)]
pub struct Endpoint {}

/// Times are nanoseconds of any monotonic clock.
#[allow(unused_variables, clippy::todo, missing_docs)]
impl Endpoint {
    /// Allocates everything that it will ever need.
    pub fn new(options: &EndpointOptions, qp: QpIndex) -> Endpoint {
        todo!()
    }

    /// See [`crate::PollGroup::post_receive`], and so on for the next ones: the same contracts and panics.
    pub fn post_receive(&mut self, buf: Buf) {
        todo!()
    }
    pub fn fetch(&mut self, fetch: Fetch<'_>) {
        todo!()
    }
    pub fn deliver(&mut self, deliver: Deliver<'_>) {
        todo!()
    }
    pub fn keepalive(&mut self) {
        todo!()
    }
    pub fn outstanding(&self) -> usize {
        todo!()
    }
    pub fn send_slots_free(&self) -> usize {
        todo!()
    }

    pub fn connect(&mut self, remote_qpn: u32, send_psn: Psn) {
        todo!()
    }

    pub fn set_reads_max(&mut self, reads_max: u8) {
        todo!()
    }

    /// Puts it into error: nothing is sent any more, and everything posted (now or later) comes back as flushed.
    pub fn fail(&mut self) {
        todo!()
    }

    pub fn has_failed(&self) -> bool {
        todo!()
    }

    /// Takes a packet of the peer that is addressed to this queue pair. `congested`: IP's ECN said so.
    pub fn on_packet(&mut self, now: u64, headers: &Headers, payload: &[u8], congested: bool, exposed: &mut Exposed) {
        todo!()
    }

    /// Sends what may be sent now: new requests, repetitions, answers, acknowledgements that are due. `read_room`:
    /// response packets that may be asked for in addition to those on their way. True if it stopped for want of room
    /// in `out` or of `read_room`, and wants to be called again as soon as there may be some.
    pub fn transmit(&mut self, now: u64, read_room: u32, exposed: &Exposed, out: &mut dyn Transmit) -> bool {
        todo!()
    }

    /// READ response packets that are on their way to us.
    pub fn read_packets_in_flight(&self) -> u32 {
        todo!()
    }

    /// When [`Endpoint::transmit`] wants to be called next if nothing arrives and nothing is posted before.
    pub fn next_deadline(&self) -> Option<u64> {
        todo!()
    }

    /// Reports up to `max` completions; returns how many it reported. Fewer than `max`: there are no more now.
    pub fn complete(&mut self, qp: QpIndex, max: usize, report: &mut dyn FnMut(Completion)) -> usize {
        todo!()
    }

    pub fn counters(&self) -> EndpointCounters {
        todo!()
    }
}
