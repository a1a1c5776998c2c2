//! One end of a reliable connection, sans-IO: packets, work and time in; packets and completions out (IBTA vol. 1,
//! chapter 9). The same for a target and an initiator.
//!
//! ```text
//!                    ┌ requester.rs ── send_queue.rs    what we ask: SEND, WRITE, READ, and repetitions
//! Endpoint (here) ───┤     └ timer.rs, window.rs        when again, how much, how fast
//!                    └ responder.rs ── exposed.rs       what the peer asks, and our answers
//! ```
//!
//! # Supported
//! SEND, with immediate data (ignored) and invalidate; RDMA WRITE; RDMA READ, each in both directions; congestion
//! notification both ways. Not: WRITE with immediate data and atomics (refused as invalid requests), end-to-end flow
//! control (acknowledgements carry no credits; a peer without receives is met by RNR NAK).
//!
//! # Buffers
//! An endpoint owns what is posted until it is reported. Payloads are copied, so that a buffer is never touched after
//! its completion: not by a repetition, because an operation completes only when everything of it is acknowledged; not by
//! late data of a READ, because they are older than the oldest request that is not acknowledged.
//!
//! # Memory
//! All of it is allocated by [`Endpoint::new`]: under 64 KiB for 132 receives and 402 send slots.
//!
//! # Dying
//! Whatever goes wrong puts the endpoint into error for good: it sends nothing and takes nothing any more, and all that is
//! posted comes back. What the peer did wrong it is told first, by a NAK.

mod notifier;
mod numbered;
mod requester;
mod responder;
mod send_queue;
#[cfg(any(test, feature = "test-utils"))]
pub mod tests;
mod timer;
mod window;

use mem::Buf;

use self::notifier::Notifier;
use self::requester::Requester;
use self::responder::Responder;
use super::exposed::Exposed;
use super::statistics::counters;
use super::wire::{Headers, Opcode, Psn};
use crate::{Completion, Deliver, Fetch, QpIndex, WorkError};

/// Most packets of requests, and of answers, that one call of [`Endpoint::transmit`] sends: with many connections, each
/// has its turn.
const BURST_MAX: u32 = 64;

/// What both ends agreed on, and how much room there is.
#[derive(Clone, Debug)]
pub struct EndpointOptions {
    /// Our queue pair number.
    pub local_qpn: u32,
    /// The peer's.
    pub remote_qpn: u32,
    /// First PSN that we send.
    pub send_psn: Psn,
    /// First PSN that we expect.
    pub receive_psn: Psn,
    /// Path MTU: 256, 512, 1024, 2048 or 4096 bytes of payload.
    pub mtu: u32,
    /// READs that we may have outstanding (initiator depth); can be lowered later by [`Endpoint::set_reads_max`].
    pub reads_max: u8,
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
pub struct Endpoint {
    qp: QpIndex,
    requester: Requester,
    responder: Responder,
    notifier: Notifier,
    failed: bool,
    counters: EndpointCounters,
}

/// Times are nanoseconds of any monotonic clock.
impl Endpoint {
    /// Allocates everything that it will ever need.
    ///
    /// # Panics
    /// If the MTU is not one of the standard's.
    pub fn new(options: &EndpointOptions) -> Endpoint {
        assert!(matches!(options.mtu, 256 | 512 | 1024 | 2048 | 4096), "{} is no path MTU", options.mtu);
        Endpoint {
            qp: QpIndex(0),
            requester: Requester::new(options),
            responder: Responder::new(options),
            notifier: Notifier::new(options.remote_qpn),
            failed: false,
            counters: EndpointCounters::default(),
        }
    }

    /// The name under which memory is exposed to this connection's peer; 0 at first.
    pub fn set_index(&mut self, qp: QpIndex) {
        self.qp = qp;
    }

    /// See [`crate::PollGroup::post_receive`], and so on for the next ones: the same contracts and panics.
    #[inline]
    pub fn post_receive(&mut self, buf: Buf) {
        self.responder.post_receive(buf);
    }

    /// See [`crate::PollGroup::fetch`].
    #[inline]
    pub fn fetch(&mut self, fetch: Fetch<'_>) {
        self.requester.queue.fetch(fetch);
    }

    /// See [`crate::PollGroup::deliver`].
    #[inline]
    pub fn deliver(&mut self, deliver: Deliver<'_>) {
        self.requester.queue.deliver(deliver);
    }

    /// See [`crate::PollGroup::keepalive`].
    pub fn keepalive(&mut self) {
        self.requester.queue.keepalive();
    }

    /// See [`crate::PollGroup::outstanding`].
    #[inline]
    pub fn outstanding(&self) -> usize {
        self.responder.outstanding() + self.requester.queue.outstanding()
    }

    /// See [`crate::PollGroup::send_slots_free`].
    #[inline]
    pub fn send_slots_free(&self) -> usize {
        self.requester.queue.slots_free()
    }

    /// Tells the peer's end, which an active side learns only from the reply. Nothing was sent before.
    pub fn connect(&mut self, remote_qpn: u32, send_psn: Psn) {
        self.requester.connect(remote_qpn, send_psn);
        self.responder.connect(remote_qpn);
        self.notifier.connect(remote_qpn);
    }

    /// READs that may be outstanding from now on. 0 counts as 1: a peer that serves none says so when it is asked.
    pub fn set_reads_max(&mut self, reads_max: u8) {
        self.requester.set_reads_max(reads_max);
    }

    /// Puts it into error: nothing is sent any more, and everything posted (now or later) comes back as flushed.
    pub fn fail(&mut self) {
        self.fail_with(None);
    }

    /// Whether it is in error.
    #[inline]
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    #[cold]
    fn fail_with(&mut self, failure: Option<WorkError>) {
        if !self.failed {
            self.failed = true;
            self.requester.fail(failure);
            self.responder.fail();
        }
    }

    /// Takes a packet of the peer that is addressed to this queue pair. `congested`: IP's ECN said so.
    pub fn on_packet(&mut self, now: u64, headers: &Headers, payload: &[u8], congested: bool, exposed: &mut Exposed) {
        if self.failed {
            return;
        }
        if congested && headers.opcode != Opcode::Cnp {
            self.notifier.on_congested();
        }
        let counters = &mut self.counters;
        match headers.opcode {
            Opcode::Cnp => {
                counters.cnp_in += 1;
                self.requester.on_congestion();
            }
            Opcode::UdSendOnly => counters.unexpected += 1,
            opcode if opcode.is_response() => {
                if let Err(failure) = self.requester.on_response(now, headers, payload, counters) {
                    self.fail_with(Some(failure));
                }
            }
            _ => self.responder.on_request(now, self.qp, headers, payload, exposed, counters),
        }
    }

    /// Sends what may be sent now: new requests, repetitions, answers, acknowledgements that are due. `read_room`:
    /// response packets that may be asked for in addition to those on their way; with none on their way here, one READ
    /// request goes out whatever it is, so that nobody starves. True if it stopped for want of room in `out` or of
    /// `read_room`, or after its share of packets, and wants to be called again as soon as there may be some.
    pub fn transmit(&mut self, now: u64, read_room: u32, exposed: &Exposed, out: &mut dyn Transmit) -> bool {
        if self.failed {
            return false;
        }
        let counters = &mut self.counters;
        if let Err(failure) = self.requester.on_time(now, counters) {
            self.fail_with(Some(failure));
            return false;
        }
        let notifies = self.notifier.transmit(now, counters, out);
        let asks = self.requester.transmit(now, read_room, counters, out);
        let answers = self.responder.transmit(now, self.qp, exposed, counters, out);
        if self.responder.has_refused() {
            self.fail_with(None);
            return false;
        }
        notifies || asks || answers
    }

    /// READ response packets that are on their way to us.
    #[inline]
    pub fn read_packets_in_flight(&self) -> u32 {
        self.requester.read_packets_in_flight()
    }

    /// When [`Endpoint::transmit`] wants to be called next if nothing arrives and nothing is posted before.
    pub fn next_deadline(&self) -> Option<u64> {
        let deadlines = [self.requester.next_deadline(), self.responder.next_deadline(), self.notifier.next_deadline()];
        deadlines.into_iter().flatten().min().filter(|_| !self.failed)
    }

    /// Reports up to `max` completions; returns how many it reported. Fewer than `max`: there are no more now.
    pub fn complete(&mut self, qp: QpIndex, max: usize, report: &mut dyn FnMut(Completion)) -> usize {
        for count in 0..max {
            let received = self.responder.take_reported(qp, self.failed);
            let Some(completion) = received.or_else(|| self.requester.queue.take_reported(qp)) else { return count };
            report(completion);
        }
        max
    }

    /// What it counted.
    pub fn counters(&self) -> EndpointCounters {
        self.counters
    }
}
