//! The side that asks: sends SENDs, WRITEs and READ requests, and again what was lost (IBTA vol. 1, 9.7.2 to 9.7.5.1,
//! 9.9.2).
//!
//! ```text
//!        acknowledged │ on their way, or lost │ to be sent again │ never sent
//! ────────────────────┴───────────────────────┴──────────────────┴────────────
//! packets, from 0 on  oldest                  next               newest
//! ```
//! After a loss `next` goes back to `oldest` (go-back-N). READs take part with the packets of their responses: the oldest
//! one that is missing stops `oldest`, whatever else the peer acknowledges. A long READ is asked for in pieces of
//! [`READ_PACKETS`], whose bounds depend on nothing but the entry, so that a repetition asks for the rest of a piece that
//! the peer knows.

use super::send_queue::{Entry, Kind, SendQueue};
use super::timer::{Expiry, Timer, receiver_not_ready_delay};
use super::window::{Pacer, Window};
use super::{BURST_MAX, EndpointCounters, EndpointOptions, Transmit};
use crate::WorkError;
use crate::roce::wire::{Aeth, Headers, NakCode, Opcode, Psn, Reth, Syndrome};

/// Response packets that one READ request asks for: 64 KiB at the largest MTU. Enough to hide a round trip with few READs
/// outstanding, and little enough for what a peer may send us in one burst.
pub(super) const READ_PACKETS: u32 = 16;

/// An acknowledgement is asked for at least every so many messages or packets, so that the window moves and
/// completions come before the work runs out.
const MESSAGES_PER_REQUEST: u32 = 8;
const PACKETS_PER_REQUEST: u32 = 16;

/// RNR retry count that stands for "for ever" (IBTA vol. 1, 9.7.5.2.8).
const FOR_EVER: u8 = 7;

/// Completion status for a response that does not fit its request, as rdma-core numbers it (`IBV_WC_BAD_RESP_ERR`).
const BAD_RESPONSE: u32 = 7;

#[derive(Debug)]
pub(super) struct Requester {
    pub(super) queue: SendQueue,
    remote_qpn: u32,
    mtu: u32,
    /// PSN of packet 0.
    first_psn: Psn,
    oldest: u64,
    next: u64,
    newest: u64,
    /// Number of the entry that `next` belongs to.
    next_entry: u64,
    reads_max: u32,
    /// READ requests whose data are not complete, and packets of theirs that are missing, among `oldest..next`.
    reads_in_flight: u32,
    read_packets_in_flight: u32,
    window: Window,
    pacer: Pacer,
    paced_until: Option<u64>,
    timer: Timer,
    /// The peer had no receive: nothing is sent before.
    not_ready_until: Option<u64>,
    rnr_retry: u8,
    rnr_retries_left: u8,
    /// Where `next` went back to last. Of further bad news about the same packet nobody knows whether they are about its
    /// repetition, so they are left to the timer: believed, they could multiply.
    went_back_to: Option<u64>,
    /// Messages and packets sent since an acknowledgement was asked for.
    unasked_messages: u32,
    unasked_packets: u32,
}

/// What one packet of ours takes.
struct Step {
    headers: Headers,
    /// Packets (PSNs).
    packets: u32,
    /// Its payload: where it starts in its entry, and its length.
    payload: (u32, u32),
}

impl Requester {
    pub(super) fn new(options: &EndpointOptions) -> Requester {
        Requester {
            queue: SendQueue::new(options.sends, options.mtu),
            remote_qpn: options.remote_qpn,
            mtu: options.mtu,
            first_psn: options.send_psn,
            oldest: 0,
            next: 0,
            newest: 0,
            next_entry: 0,
            reads_max: options.reads_max.into(),
            reads_in_flight: 0,
            read_packets_in_flight: 0,
            window: Window::new(),
            pacer: Pacer::new(),
            paced_until: None,
            timer: Timer::new(options.ack_timeout, options.retry_count),
            not_ready_until: None,
            rnr_retry: options.rnr_retry,
            rnr_retries_left: options.rnr_retry,
            went_back_to: None,
            unasked_messages: 0,
            unasked_packets: 0,
        }
    }

    pub(super) fn connect(&mut self, remote_qpn: u32, send_psn: Psn) {
        (self.remote_qpn, self.first_psn) = (remote_qpn, send_psn);
    }

    pub(super) fn set_reads_max(&mut self, reads_max: u8) {
        self.reads_max = reads_max.into();
    }

    pub(super) fn read_packets_in_flight(&self) -> u32 {
        self.read_packets_in_flight
    }

    /// See [`super::Endpoint::next_deadline`].
    pub(super) fn next_deadline(&self) -> Option<u64> {
        [self.timer.deadline(), self.not_ready_until, self.paced_until].into_iter().flatten().min()
    }

    /// Nothing is sent any more.
    pub(super) fn fail(&mut self, failure: Option<WorkError>) {
        self.queue.fail(failure);
        self.go_back();
        self.not_ready_until = None;
        self.paced_until = None;
    }

    /// Looks at the clock.
    ///
    /// # Errors
    /// The peer is given up.
    pub(super) fn on_time(&mut self, now: u64, counters: &mut EndpointCounters) -> Result<(), WorkError> {
        if self.not_ready_until.is_some_and(|until| until <= now) {
            self.not_ready_until = None;
        }
        let expiry = self.timer.poll(now);
        if expiry != Ok(Expiry::NotYet) {
            counters.timeouts += 1;
        }
        if expiry? == Expiry::SendAgain {
            self.window.on_timeout(self.newest);
            self.go_back();
        }
        Ok(())
    }

    /// Sends what may be sent. True if it wants to go on at once.
    pub(super) fn transmit(
        &mut self,
        now: u64,
        mut read_room: u32,
        counters: &mut EndpointCounters,
        out: &mut dyn Transmit,
    ) -> bool {
        self.queue.release_messages();
        self.paced_until = None;
        if self.not_ready_until.is_some() {
            return false;
        }
        for left in (0..BURST_MAX).rev() {
            let Some(&entry) = self.queue.entry(self.next_entry) else { return false };
            if self.in_flight() >= self.window.size().into() {
                return false;
            }
            self.paced_until = self.pacer.wait(now, 0, &self.window, self.timer.round_trip());
            if self.paced_until.is_some() {
                return false;
            }
            let step = if entry.kind == Kind::Read {
                if self.reads_in_flight >= self.reads_max.max(1) {
                    return false;
                }
                let step = self.read_request(&entry);
                if step.packets > read_room && self.read_packets_in_flight > 0 {
                    return true;
                }
                read_room = read_room.saturating_sub(step.packets);
                step
            } else {
                self.data_packet(now, &entry, left == 0)
            };
            if !out.send(&step.headers, self.queue.payload(&entry, step.payload.0, step.payload.1)) {
                return true;
            }
            self.on_sent(now, &entry, &step, counters);
        }
        true
    }

    /// A request for the data from `next` to the end of its piece.
    fn read_request(&self, entry: &Entry) -> Step {
        let index = (self.next - entry.first) as u32;
        let piece_end = (index / READ_PACKETS + 1).saturating_mul(READ_PACKETS).min(entry.packets(self.mtu));
        let packets = piece_end - index;
        let start = index * self.mtu; // less than the entry's length
        let len = (entry.len - start).min(packets * self.mtu);
        let reth = Reth { addr: entry.remote_addr.wrapping_add(start.into()), rkey: entry.rkey, len };
        let headers = Headers { reth: Some(reth), ack_request: true, ..self.headers(Opcode::ReadRequest) };
        Step { headers, packets, payload: (0, 0) }
    }

    /// A packet of a SEND or WRITE.
    fn data_packet(&self, now: u64, entry: &Entry, burst_ends: bool) -> Step {
        let index = (self.next - entry.first) as u32;
        let start = index * self.mtu; // at most the entry's length
        let len = (entry.len - start).min(self.mtu);
        let (first, last) = (index == 0, self.next + 1 == entry.end(self.mtu));
        use Opcode::*;
        let opcode = match (entry.kind, first, last) {
            (Kind::Write, true, true) => WriteOnly,
            (Kind::Write, true, false) => WriteFirst,
            (Kind::Write, false, false) => WriteMiddle,
            (Kind::Write, false, true) => WriteLast,
            (_, true, true) => SendOnly,
            (_, true, false) => SendFirst,
            (_, false, false) => SendMiddle,
            (_, false, true) => SendLast,
        };
        let reth = Reth { addr: entry.remote_addr, rkey: entry.rkey, len: entry.len };
        let headers = Headers {
            solicited: last && entry.kind == Kind::Send { solicited: true },
            ack_request: burst_ends || self.asks(now, last),
            reth: opcode.has_reth().then_some(reth),
            ..self.headers(opcode)
        };
        Step { headers, packets: 1, payload: (start, len) }
    }

    fn headers(&self, opcode: Opcode) -> Headers {
        Headers::new(opcode, self.remote_qpn, self.first_psn.plus(self.next as u32)) // the low bits matter
    }

    /// Whether the packet `next` asks for an acknowledgement; `last`: of its message. What may be the last packet for a
    /// while does in any case, or it would be missed only by the timer.
    fn asks(&self, now: u64, last: bool) -> bool {
        let after = self.next + 1;
        let nothing_follows = after == self.queue.posted()
            || after == self.newest
            || after - self.oldest >= self.window.size().into()
            || last && self.queue.entry(self.next_entry + 1).is_some_and(|entry| entry.kind == Kind::Read);
        let paced = || self.pacer.wait(now, 1, &self.window, self.timer.round_trip()).is_some();
        let enough = self.unasked_packets + 1 >= PACKETS_PER_REQUEST
            || last && (self.unasked_messages + 1 >= MESSAGES_PER_REQUEST || self.queue.is_crowded());
        nothing_follows || enough || paced()
    }

    fn on_sent(&mut self, now: u64, entry: &Entry, step: &Step, counters: &mut EndpointCounters) {
        let asked = step.headers.ack_request;
        let again = self.next < self.newest;
        counters.retransmitted += u64::from(again);
        self.timer.on_sent(now, self.next, self.oldest == self.newest, asked && !again);
        self.pacer.on_sent(now, step.packets, &self.window, self.timer.round_trip());
        self.next += u64::from(step.packets);
        self.newest = self.newest.max(self.next);
        let entry_ends = self.next == entry.end(self.mtu);
        if entry_ends {
            self.next_entry += 1;
        }
        if entry.kind == Kind::Read {
            self.reads_in_flight += 1;
            self.read_packets_in_flight += step.packets;
        }
        if asked {
            (self.unasked_messages, self.unasked_packets) = (0, 0);
        } else {
            self.unasked_messages += u32::from(entry_ends);
            self.unasked_packets += 1;
        }
    }

    fn in_flight(&self) -> u64 {
        self.next - self.oldest
    }

    /// Takes an acknowledgement or data of a READ.
    ///
    /// # Errors
    /// The peer refused a request, or its answers do not fit.
    pub(super) fn on_response(
        &mut self,
        now: u64,
        headers: &Headers,
        payload: &[u8],
        counters: &mut EndpointCounters,
    ) -> Result<(), WorkError> {
        let ahead = i64::from(headers.psn.since(self.first_psn.plus(self.oldest as u32)));
        if ahead < 0 {
            return Ok(()); // a late repetition
        }
        let number = self.oldest + ahead as u64;
        if number >= self.newest {
            counters.unexpected += 1; // a ghost: never sent
            return Ok(());
        }
        use Opcode::*;
        match (headers.opcode, headers.aeth) {
            (Acknowledge, Some(Aeth { syndrome, .. })) => self.on_acknowledge(now, number, syndrome, counters),
            (ReadResponseMiddle, _)
            | (
                ReadResponseFirst | ReadResponseLast | ReadResponseOnly,
                Some(Aeth { syndrome: Syndrome::Ack(_), .. }),
            ) => self.on_read_response(now, number, payload, counters),
            _ => {
                counters.unexpected += 1;
                Ok(())
            }
        }
    }

    fn on_acknowledge(
        &mut self,
        now: u64,
        number: u64,
        syndrome: Syndrome,
        counters: &mut EndpointCounters,
    ) -> Result<(), WorkError> {
        match syndrome {
            Syndrome::Ack(_) => {
                if !self.acknowledge(now, number + 1) {
                    self.on_loss();
                }
            }
            Syndrome::ReceiverNotReady(code) => {
                counters.rnr_in += 1;
                if self.acknowledge(now, number) {
                    return self.on_receiver_not_ready(now, code);
                }
                self.on_loss();
            }
            Syndrome::Nak(NakCode::SequenceError) => {
                counters.sequence_errors_in += 1;
                self.acknowledge(now, number);
                self.on_loss();
            }
            Syndrome::Nak(code @ (NakCode::InvalidRequest | NakCode::RemoteAccess | NakCode::RemoteOperational)) => {
                self.acknowledge(now, number);
                let refused_access = code == NakCode::RemoteAccess;
                let error = if refused_access { WorkError::RemoteAccess } else { WorkError::RemoteRequest };
                return Err(error);
            }
            Syndrome::Nak(_) | Syndrome::Reserved(_) => counters.unexpected += 1,
        }
        Ok(())
    }

    /// The peer has done everything before packet `end`. False if data of a READ before it are missing: they were lost.
    fn acknowledge(&mut self, now: u64, end: u64) -> bool {
        let mut oldest = self.oldest;
        while oldest < end {
            let Some(entry) = self.queue.oldest().filter(|entry| entry.kind != Kind::Read) else { break };
            let entry_end = entry.end(self.mtu);
            oldest = entry_end.min(end);
            if oldest == entry_end {
                self.queue.finish_oldest();
            }
        }
        self.on_progress(now, oldest);
        oldest >= end
    }

    fn on_read_response(
        &mut self,
        now: u64,
        number: u64,
        payload: &[u8],
        counters: &mut EndpointCounters,
    ) -> Result<(), WorkError> {
        let Some(&entry) = self.queue.entry_of_packet(number).filter(|entry| entry.kind == Kind::Read) else {
            counters.unexpected += 1;
            return Ok(());
        };
        let index = (number - entry.first) as u32;
        let start = index * self.mtu; // at most the entry's length
        if payload.len() as u64 != u64::from((entry.len - start).min(self.mtu)) {
            return Err(WorkError::Local(BAD_RESPONSE));
        }
        // A response acknowledges what was asked before it (IBTA vol. 1, 9.7.5.1.2).
        if !self.acknowledge(now, number) {
            self.on_loss();
            return Ok(());
        }
        self.queue.fetched(start, payload);
        let entry_ends = number + 1 == entry.end(self.mtu);
        if number < self.next {
            self.read_packets_in_flight -= 1;
            self.reads_in_flight -= u32::from(entry_ends || (index + 1).is_multiple_of(READ_PACKETS));
        }
        if entry_ends {
            self.queue.finish_oldest();
        }
        self.on_progress(now, number + 1);
        Ok(())
    }

    /// All packets before `oldest` are acknowledged now.
    fn on_progress(&mut self, now: u64, oldest: u64) {
        if oldest == self.oldest {
            return;
        }
        self.window.on_acknowledged(oldest - self.oldest, self.in_flight());
        self.oldest = oldest;
        if self.next <= oldest {
            // An answer to what was to be sent again.
            self.next = oldest;
            self.next_entry = self.queue.oldest_entry();
        }
        self.timer.on_acknowledged(now, oldest, self.next > oldest);
        self.not_ready_until = None;
        self.rnr_retries_left = self.rnr_retry;
    }

    /// Packets from `oldest` on were lost.
    fn on_loss(&mut self) {
        if self.next > self.oldest && self.went_back_to != Some(self.oldest) {
            self.window.on_congestion(self.oldest, self.newest);
            self.go_back();
        }
    }

    fn on_receiver_not_ready(&mut self, now: u64, code: u8) -> Result<(), WorkError> {
        if self.not_ready_until.is_some() || self.next == self.oldest {
            return Ok(()); // said before
        }
        if self.rnr_retry != FOR_EVER {
            let Some(left) = self.rnr_retries_left.checked_sub(1) else {
                return Err(WorkError::ReceiverNotReady);
            };
            self.rnr_retries_left = left;
        }
        self.timer.on_progress(now);
        self.go_back();
        self.not_ready_until = Some(now + receiver_not_ready_delay(code));
        Ok(())
    }

    fn go_back(&mut self) {
        self.next = self.oldest;
        self.next_entry = self.queue.oldest_entry();
        (self.reads_in_flight, self.read_packets_in_flight) = (0, 0);
        (self.unasked_messages, self.unasked_packets) = (0, 0);
        self.went_back_to = Some(self.oldest);
        self.timer.on_go_back();
    }

    /// The network says that it is full.
    pub(super) fn on_congestion(&mut self) {
        self.window.on_congestion(self.oldest, self.newest);
    }
}
