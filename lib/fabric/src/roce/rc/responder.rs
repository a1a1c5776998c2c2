//! The side that is asked: takes SENDs, WRITEs and READ requests in their order, each once, and answers them (IBTA
//! vol. 1, 9.7.4, 9.7.5.1 and 9.9.3).
//!
//! Answers leave in PSN order: the data of READs from a queue of their own, behind them the one acknowledgement or NAK
//! that is due, which stands for all requests before it.

use std::collections::VecDeque;

use mem::Buf;

use super::{BURST_MAX, EndpointCounters, EndpointOptions, Transmit};
use crate::roce::exposed::Exposed;
use crate::roce::wire::{Aeth, Headers, NO_CREDIT_INFORMATION, NakCode, Opcode, Psn, Reth, Syndrome};
use crate::{Completion, QpIndex};

/// An acknowledgement that was asked for waits so long for more requests to acknowledge (in nanoseconds). Peers wait
/// for it for milliseconds at least, and what they send next, or our own answer, is what matters to them.
const ACK_DELAY: u64 = 100_000;

/// It waits for no more than so many messages or packets, so that the peer's window keeps moving.
const ACK_MESSAGES: u32 = 8;
const ACK_PACKETS: u32 = 32;

/// How long a peer that met an empty receive queue is told to wait: 0.64 ms (IBTA vol. 1, table 45). Receives come back
/// when commands are done.
const RNR_TIMER: u8 = 12;

/// Longest message (IBTA vol. 1, 9.7.2).
const MESSAGE_MAX: u32 = 1 << 31;

#[derive(Debug)]
pub(super) struct Responder {
    remote_qpn: u32,
    mtu: u32,
    /// The next request's PSN. The half circle before it has arrived.
    expected: Psn,
    /// Messages done, modulo 2^24.
    msn: u32,
    message: Message,
    /// Posted and filled receives, in order.
    receives: VecDeque<Receive>,
    receives_max: usize,
    /// How many of them, from the front, are filled.
    filled: usize,
    /// READs whose data are on their way out, in PSN order.
    reads: VecDeque<ReadJob>,
    reads_max: usize,
    answer: Answer,
    /// A gap was reported already: once is enough, until the missing packet arrives (IBTA vol. 1, 9.7.5.2.8).
    gap_reported: bool,
    /// Messages and packets executed since the last acknowledgement.
    unacknowledged_messages: u32,
    unacknowledged_packets: u32,
}

/// The message of several packets that is arriving.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Message {
    None,
    /// So many bytes of a SEND have arrived.
    Send(u32),
    /// The rest of a WRITE.
    Write(Reth),
}

#[derive(Debug)]
struct Receive {
    buf: Buf,
    /// Bytes of the message, when it is filled.
    len: u32,
}

/// A READ that is being answered.
#[derive(Clone, Copy, Debug)]
struct ReadJob {
    /// PSN of the first response.
    psn: Psn,
    reth: Reth,
    /// How many responses there are, and how many were sent.
    packets: u32,
    sent: u32,
    msn: u32,
    /// The peer asked once more: what it may not read (any more) is not answered, as it can have it already.
    repeated: bool,
}

/// What is to be said when all READs before are answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    Nothing,
    /// At this time at the latest.
    Acknowledge(u64),
    SequenceError,
    ReceiverNotReady,
    /// The end: nothing is taken any more.
    Refuse(NakCode),
    Refused,
}

/// Why a request is not executed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Trouble {
    ReceiverNotReady,
    Refuse(NakCode),
}

const INVALID: Trouble = Trouble::Refuse(NakCode::InvalidRequest);
const NO_ACCESS: Trouble = Trouble::Refuse(NakCode::RemoteAccess);

impl Responder {
    pub(super) fn new(options: &EndpointOptions) -> Responder {
        Responder {
            remote_qpn: options.remote_qpn,
            mtu: options.mtu,
            expected: options.receive_psn,
            msn: 0,
            message: Message::None,
            receives: VecDeque::with_capacity(options.receives as usize),
            receives_max: options.receives as usize,
            filled: 0,
            reads: VecDeque::with_capacity(options.reads_served.into()),
            reads_max: options.reads_served.into(),
            answer: Answer::Nothing,
            gap_reported: false,
            unacknowledged_messages: 0,
            unacknowledged_packets: 0,
        }
    }

    pub(super) fn connect(&mut self, remote_qpn: u32) {
        self.remote_qpn = remote_qpn;
    }

    pub(super) fn post_receive(&mut self, buf: Buf) {
        assert!(self.receives.len() < self.receives_max, "more receives than the queue pair was made for");
        self.receives.push_back(Receive { buf, len: 0 });
    }

    /// Receives that are not reported yet.
    pub(super) fn outstanding(&self) -> usize {
        self.receives.len()
    }

    /// The next receive to be reported; `failed`: unused ones come back, too.
    pub(super) fn take_reported(&mut self, qp: QpIndex, failed: bool) -> Option<Completion> {
        if self.filled > 0 {
            self.filled -= 1;
            let Receive { buf, len } = self.receives.pop_front()?;
            return Some(Completion::Received { qp, buf, len });
        }
        if !failed {
            return None;
        }
        let Receive { buf, .. } = self.receives.pop_front()?;
        Some(Completion::ReceiveFlushed { qp, buf })
    }

    /// Takes a request.
    pub(super) fn on_request(
        &mut self,
        now: u64,
        qp: QpIndex,
        headers: &Headers,
        payload: &[u8],
        exposed: &mut Exposed,
        counters: &mut EndpointCounters,
    ) {
        if matches!(self.answer, Answer::Refuse(_) | Answer::Refused) {
            return;
        }
        let ahead = headers.psn.since(self.expected);
        if ahead < 0 {
            return self.on_duplicate(now, headers, counters);
        }
        if ahead > 0 {
            if !self.gap_reported {
                self.gap_reported = true;
                self.answer = Answer::SequenceError;
                counters.sequence_errors_out += 1;
            }
            return;
        }
        match self.execute(qp, headers, payload, exposed) {
            Ok(packets) => self.on_executed(now, headers, packets),
            Err(Trouble::ReceiverNotReady) => {
                counters.rnr_out += 1;
                self.gap_reported = true; // the peer comes back to this one anyway
                self.answer = Answer::ReceiverNotReady;
            }
            Err(Trouble::Refuse(code)) => {
                counters.access_errors_out += u64::from(code == NakCode::RemoteAccess);
                self.answer = Answer::Refuse(code);
            }
        }
    }

    /// Executes the expected request; returns the PSNs that it takes.
    fn execute(
        &mut self,
        qp: QpIndex,
        headers: &Headers,
        payload: &[u8],
        exposed: &mut Exposed,
    ) -> Result<u32, Trouble> {
        use Opcode::*;
        match headers.opcode {
            SendFirst | SendOnly | SendOnlyImmediate | SendOnlyInvalidate => {
                self.begin(Message::Send(0))?;
                if self.filled == self.receives.len() {
                    self.message = Message::None;
                    return Err(Trouble::ReceiverNotReady);
                }
                self.take_send(qp, headers, payload, exposed)?;
            }
            SendMiddle | SendLast | SendLastImmediate | SendLastInvalidate => {
                self.take_send(qp, headers, payload, exposed)?;
            }
            WriteFirst | WriteOnly => {
                let reth = headers.reth.ok_or(INVALID)?;
                self.begin(Message::Write(reth))?;
                check(reth.len, || exposed.writable(qp, reth.rkey, reth.addr, reth.len).is_ok())?;
                self.take_write(qp, headers, payload, exposed)?;
            }
            WriteMiddle | WriteLast => self.take_write(qp, headers, payload, exposed)?,
            ReadRequest => {
                let reth = headers.reth.ok_or(INVALID)?;
                if self.message != Message::None || !self.has_room_for_read() {
                    return Err(INVALID);
                }
                check(reth.len, || exposed.readable(qp, reth.rkey, reth.addr, reth.len).is_ok())?;
                self.msn = self.msn.wrapping_add(1);
                let packets = self.packets(reth.len);
                self.reads.push_back(ReadJob {
                    psn: headers.psn,
                    reth,
                    packets,
                    sent: 0,
                    msn: self.msn,
                    repeated: false,
                });
                return Ok(packets);
            }
            _ => return Err(INVALID), // immediate data with a WRITE, atomics
        }
        Ok(1)
    }

    /// Whether the peer may ask for one more READ now. It may if it got all data of the oldest one, which then is a repetition
    /// that it does not wait for (a duplicate on a detour), and is dropped.
    fn has_room_for_read(&mut self) -> bool {
        let full = self.reads.len() >= self.reads_max;
        if full && self.reads.front().is_some_and(|oldest| oldest.repeated) {
            self.reads.pop_front();
            return true;
        }
        !full
    }

    fn begin(&mut self, message: Message) -> Result<(), Trouble> {
        if self.message != Message::None {
            return Err(INVALID);
        }
        self.message = message;
        Ok(())
    }

    /// A packet of a SEND goes into the first receive that is not filled.
    fn take_send(
        &mut self,
        qp: QpIndex,
        headers: &Headers,
        payload: &[u8],
        exposed: &mut Exposed,
    ) -> Result<(), Trouble> {
        let (Message::Send(start), Some(receive)) = (self.message, self.receives.get_mut(self.filled)) else {
            return Err(INVALID);
        };
        let last = ends(headers.opcode, payload.len(), self.mtu)?;
        let end = start as usize + payload.len();
        receive.buf.bytes_mut().get_mut(start as usize..end).ok_or(INVALID)?.copy_from_slice(payload);
        self.message = Message::Send(end as u32); // within a buffer
        if last {
            if let Some(rkey) = headers.invalidate {
                exposed.invalidate(qp, rkey).map_err(|_| NO_ACCESS)?;
            }
            receive.len = end as u32;
            self.filled += 1;
            self.end_message();
        }
        Ok(())
    }

    /// A packet of a WRITE goes where the rest of it belongs.
    fn take_write(
        &mut self,
        qp: QpIndex,
        headers: &Headers,
        payload: &[u8],
        exposed: &mut Exposed,
    ) -> Result<(), Trouble> {
        let Message::Write(Reth { addr, rkey, len: left }) = self.message else { return Err(INVALID) };
        let last = ends(headers.opcode, payload.len(), self.mtu)?;
        let len = payload.len() as u32; // at most the MTU
        if len > left || last != (len == left) {
            return Err(INVALID);
        }
        if len > 0 {
            exposed.writable(qp, rkey, addr, len).map_err(|_| NO_ACCESS)?.copy_from_slice(payload);
        }
        self.message = Message::Write(Reth { addr: addr.wrapping_add(len.into()), rkey, len: left - len });
        if last {
            self.end_message();
        }
        Ok(())
    }

    fn end_message(&mut self) {
        self.message = Message::None;
        self.msn = self.msn.wrapping_add(1);
        self.unacknowledged_messages += 1;
    }

    fn on_executed(&mut self, now: u64, headers: &Headers, packets: u32) {
        self.expected = self.expected.plus(packets);
        self.gap_reported = false;
        self.unacknowledged_packets += 1;
        let enough = self.unacknowledged_messages >= ACK_MESSAGES || self.unacknowledged_packets >= ACK_PACKETS;
        self.answer = match self.answer {
            // Superseded before it was said.
            Answer::SequenceError | Answer::ReceiverNotReady => Answer::Acknowledge(now),
            Answer::Acknowledge(due) if !enough => Answer::Acknowledge(due),
            Answer::Acknowledge(due) => Answer::Acknowledge(due.min(now)),
            // The data of a READ acknowledge it.
            Answer::Nothing if headers.ack_request && headers.opcode != Opcode::ReadRequest => {
                Answer::Acknowledge(if enough { now } else { now + ACK_DELAY })
            }
            other => other,
        };
    }

    /// What arrived before is never executed again: SENDs and WRITEs are acknowledged at once, READs answered again.
    fn on_duplicate(&mut self, now: u64, headers: &Headers, counters: &mut EndpointCounters) {
        counters.duplicates += 1;
        match (headers.opcode, headers.reth) {
            (Opcode::ReadRequest, Some(reth)) => self.read_again(headers.psn, reth),
            (Opcode::ReadRequest, None) => {}
            _ if matches!(self.answer, Answer::Nothing | Answer::Acknowledge(_)) => {
                self.answer = Answer::Acknowledge(now);
            }
            _ => {} // the NAK that is due acknowledges it
        }
    }

    /// The peer lacks responses from `psn` on: they, and all READs after them, are answered once more, from a first
    /// response on.
    fn read_again(&mut self, psn: Psn, reth: Reth) {
        let packets = self.packets(reth.len);
        if i64::from(packets) > i64::from(self.expected.since(psn)) {
            return; // more than it asked for before
        }
        let place = self.reads.partition_point(|job| !psn.is_before(job.psn.plus(job.packets)));
        let full = self.reads.len() >= self.reads_max;
        let mut repetition = ReadJob { psn, reth, packets, sent: 0, msn: self.msn, repeated: true };
        match self.reads.get_mut(place).filter(|job| !psn.is_before(job.psn)) {
            Some(job) if psn.since(job.psn) as u32 > job.sent => return, // on its way, and not there yet
            Some(job) => {
                repetition.repeated = job.repeated || job.sent > 0;
                *job = repetition;
            }
            None if full => return, // more at once than agreed
            None => self.reads.insert(place, repetition),
        }
        for later in self.reads.range_mut(place + 1..) {
            (later.sent, later.repeated) = (0, later.repeated || later.sent > 0);
        }
    }

    fn packets(&self, len: u32) -> u32 {
        len.div_ceil(self.mtu).max(1)
    }

    /// When an acknowledgement is due.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        match self.answer {
            Answer::Acknowledge(due) => Some(due),
            _ => None,
        }
    }

    /// Whether the connection is over: the peer was told why.
    pub(super) fn has_refused(&self) -> bool {
        self.answer == Answer::Refused
    }

    /// Sends the answers that are due. True if it wants to go on at once.
    pub(super) fn transmit(
        &mut self,
        now: u64,
        qp: QpIndex,
        exposed: &Exposed,
        counters: &mut EndpointCounters,
        out: &mut dyn Transmit,
    ) -> bool {
        for _ in 0..BURST_MAX {
            let Some(job) = self.reads.front_mut() else { return !self.send_answer(now, out) };
            let Some((headers, payload)) = job.response(qp, self.mtu, exposed) else {
                // The memory was withdrawn meanwhile.
                let job = self.reads.pop_front();
                if let Some(ReadJob { psn, sent, repeated: false, .. }) = job {
                    self.reads.clear();
                    self.expected = psn.plus(sent);
                    self.answer = Answer::Refuse(NakCode::RemoteAccess);
                    counters.access_errors_out += 1;
                }
                continue;
            };
            if !out.send(&Headers { dest_qp: self.remote_qpn, ..headers }, payload) {
                return true;
            }
            job.sent += 1;
            if job.sent == job.packets {
                self.reads.pop_front();
            }
        }
        true
    }

    /// False if there was no room for it.
    fn send_answer(&mut self, now: u64, out: &mut dyn Transmit) -> bool {
        let (psn, syndrome) = match self.answer {
            Answer::Acknowledge(due) if due <= now => (self.expected.previous(), Syndrome::Ack(NO_CREDIT_INFORMATION)),
            Answer::SequenceError => (self.expected, Syndrome::Nak(NakCode::SequenceError)),
            Answer::ReceiverNotReady => (self.expected, Syndrome::ReceiverNotReady(RNR_TIMER)),
            Answer::Refuse(code) => (self.expected, Syndrome::Nak(code)),
            Answer::Nothing | Answer::Acknowledge(_) | Answer::Refused => return true,
        };
        let aeth = Some(Aeth { syndrome, msn: self.msn });
        if !out.send(&Headers { aeth, ..Headers::new(Opcode::Acknowledge, self.remote_qpn, psn) }, &[]) {
            return false;
        }
        self.answer = if matches!(self.answer, Answer::Refuse(_)) { Answer::Refused } else { Answer::Nothing };
        (self.unacknowledged_messages, self.unacknowledged_packets) = (0, 0);
        true
    }

    /// Nothing is answered any more.
    pub(super) fn fail(&mut self) {
        self.reads.clear();
        self.answer = Answer::Refused;
    }

    /// Bytes allocated for so many receives and READs.
    #[cfg(test)]
    pub(super) fn memory(receives: usize, reads: usize) -> usize {
        receives * size_of::<Receive>() + reads * size_of::<ReadJob>()
    }
}

impl ReadJob {
    /// The next response; `None`: the memory may not be read.
    fn response<'a>(&self, qp: QpIndex, mtu: u32, exposed: &'a Exposed) -> Option<(Headers, &'a [u8])> {
        let Reth { addr, rkey, len } = self.reth;
        let start = self.sent * mtu; // at most the length
        let part = (len - start).min(mtu);
        let payload = match part {
            0 => &[],
            _ => exposed.readable(qp, rkey, addr.wrapping_add(start.into()), part).ok()?,
        };
        let opcode = match (self.sent == 0, self.sent + 1 == self.packets) {
            (true, true) => Opcode::ReadResponseOnly,
            (true, false) => Opcode::ReadResponseFirst,
            (false, false) => Opcode::ReadResponseMiddle,
            (false, true) => Opcode::ReadResponseLast,
        };
        let aeth = Aeth { syndrome: Syndrome::Ack(NO_CREDIT_INFORMATION), msn: self.msn };
        let headers = Headers::new(opcode, 0, self.psn.plus(self.sent));
        Some((Headers { aeth: opcode.has_aeth().then_some(aeth), ..headers }, payload))
    }
}

/// Whether a WRITE or READ of `len` bytes can be executed. One of no bytes touches no memory, so its key is not looked at
/// (IBTA vol. 1, C9-88).
fn check(len: u32, mut accessible: impl FnMut() -> bool) -> Result<(), Trouble> {
    match len {
        0 => Ok(()),
        _ if len > MESSAGE_MAX => Err(INVALID),
        _ if accessible() => Ok(()),
        _ => Err(NO_ACCESS),
    }
}

/// Whether a packet of a SEND or WRITE is the last of its message, if its length is one that it can have.
fn ends(opcode: Opcode, len: usize, mtu: u32) -> Result<bool, Trouble> {
    use Opcode::*;
    let mtu = mtu as usize;
    let (last, fits) = match opcode {
        SendFirst | SendMiddle | WriteFirst | WriteMiddle => (false, len == mtu),
        SendLast | SendLastImmediate | SendLastInvalidate | WriteLast => (true, (1..=mtu).contains(&len)),
        _ => (true, len <= mtu),
    };
    if fits { Ok(last) } else { Err(INVALID) }
}
