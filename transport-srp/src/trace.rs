//! What happened lately: a ring of events for each reactor and one for the control thread, and the commands that took too long.
//!
//! ```text
//!  reactor N   Tracer ── events ──► ring ─┐
//!                  └──── slow ────► ring ─┤  copied when somebody asks (events), or once a round (slow commands)
//!  control     events ────────────► ring ─┴─► Traces: merged in order of time, names added
//! ```
//!
//! A reactor writes a few words for each event and never knows whether anybody reads them (`ring.rs`): no lock, no allocation, no locked
//! instruction, and no clock but the one that its round began with. So events of one round have one time; within a reactor they stand in
//! the order in which they happened, between reactors only time tells.
//!
//! The same places are USDT probes of the provider `srpt` (docs/tracing.md): an instruction that does nothing until a tracer puts a
//! breakpoint there.
//!
//! Slow commands are judged when they are answered, or end without an answer. Only while there is a threshold do commands tell their waiting times
//! apart (`slow.rs`); one that arrived before is judged, but all of its parts are zero.
//!
//! What it costs stands in docs/performance.md.

pub(crate) mod event;
mod inspect;
mod ring;
pub(crate) mod slow;

use std::sync::Arc;

use bdev::{IoError, Op};
use mem::Buf;
use reactor::Instant;
use scsi::{Address, Ending, ScsiStatus};

use crate::channel::Channel;
use crate::command::{Command, Request};
use crate::messages::ChannelFailure;
use crate::respond::{self, Reply};
use crate::wire::PortId;
use crate::wire::tmf::TaskManagement;
use event::{ChannelDeath, NO_LUN, Sense, Whose, cdb_words, tag_word, words};
use ring::{Reader, Writer, ring};
use slow::{End, Threshold, Timing};

pub(crate) use inspect::Traces;

/// Slow commands of a reactor that are kept until the control thread looks, which it does every millisecond.
const SLOW_SLOTS: usize = 128;

/// Events of the control thread are rare.
const CONTROL_SLOTS: usize = 1024;

/// What a poll group writes its events with.
pub(crate) struct Tracer {
    events: Option<Writer<{ event::WORDS }>>,
    slow: Writer<{ slow::WORDS }>,
    threshold: Arc<Threshold>,
}

/// The other end of a [`Tracer`].
#[derive(Debug)]
pub(crate) struct TracerReader {
    events: Option<Reader<{ event::WORDS }>>,
    slow: Reader<{ slow::WORDS }>,
}

impl Tracer {
    /// One that keeps this many events; 0: none.
    pub(crate) fn new(events: usize, threshold: Arc<Threshold>) -> (Tracer, TracerReader) {
        let (writer, reader) = Some(events).filter(|&events| events > 0).map(ring).unzip();
        let (slow_writer, slow_reader) = ring(SLOW_SLOTS);
        let tracer = Tracer { events: writer, slow: slow_writer, threshold };
        (tracer, TracerReader { events: reader, slow: slow_reader })
    }

    #[inline]
    fn write(&mut self, now: Instant, whose: Whose, tag: u64, words: [u64; 3]) {
        if let Some(events) = &mut self.events {
            events.write([now.0, whose.0, tag, words[0], words[1], words[2]]);
        }
    }

    /// A request arrived.
    #[inline]
    pub(crate) fn received(&mut self, now: Instant, whose: Whose, command: &mut Command) {
        let is_split = self.threshold.ns() != u64::MAX;
        let mut cdb = [0; 2];
        match &command.request {
            Request::Command(request) => {
                cdb = cdb_words(request.cdb(command.receive.as_ref().map_or(&[], Buf::bytes)));
                let data_bytes = request.data_out.len().max(request.data_in.len());
                let (tag, lun) = (tag_word(request.tag), lun_of(command.address()));
                probe::probe!(srpt, command_start, whose.session_bits(), whose.channel_bits(), tag, lun, cdb[0] & 0xff);
                self.write(now, whose, tag, words::received(lun, data_bytes, cdb));
            }
            Request::Management(management) => self.task_management(now, whose, management),
            Request::Answer(_) => {}
        }
        command.timing = Timing::new(whose, now.0, cdb, is_split);
    }

    #[cold]
    fn task_management(&mut self, now: Instant, whose: Whose, management: &TaskManagement) {
        let function = management.function.map_or_else(|code| code, |function| function as u8);
        let lun = lun_of(Address::from_wire(&management.lun));
        let words = words::task_management(lun, function, management.task_tag);
        self.write(now, whose, tag_word(management.tag), words);
    }

    /// A device took an operation of a command.
    #[inline]
    pub(crate) fn submitted(&mut self, now: Instant, command: &Command, op: Op, lba: u64, blocks: u64) {
        let (whose, tag) = (command.timing.whose, tag_word(command.tag()));
        probe::probe!(srpt, device_start, whose.session_bits(), whose.channel_bits(), tag, lba, blocks);
        self.write(now, whose, tag, words::submitted(op, lba, blocks));
    }

    /// A device is done with it.
    #[inline]
    pub(crate) fn done(&mut self, now: Instant, command: &Command, result: Result<(), IoError>) {
        let (whose, tag) = (command.timing.whose, tag_word(command.tag()));
        probe::probe!(srpt, device_done, whose.session_bits(), whose.channel_bits(), tag, u64::from(result.is_err()));
        self.write(now, whose, tag, words::done(result));
    }

    /// The response of a request is on its way.
    #[inline]
    pub(crate) fn answered(&mut self, now: Instant, command: &Command) {
        let (timing, tag) = (&command.timing, tag_word(command.tag()));
        let (whose, total_ns) = (timing.whose, timing.total_ns(now.0));
        let is_slow = total_ns > self.threshold.ns() && matches!(command.request, Request::Command(_));
        if let Some(Reply::Management(status)) = command.reply {
            return self.write(now, whose, tag, words::task_management_answered(status as u8, total_ns));
        }
        let status = command.status();
        probe::probe!(srpt, command_done, whose.session_bits(), whose.channel_bits(), tag, u64::from(status), total_ns);
        if self.events.is_none() && !is_slow {
            return;
        }
        let end = command.how_it_ended(status);
        self.write(now, whose, tag, words::answered(status, end.sense, end.data_bytes, total_ns));
        if end.sense.is_unit_attention() {
            self.write(now, whose, tag, words::unit_attention(lun_of(command.address()), end.sense));
        }
        if is_slow {
            self.keep_slow(now, command, end);
        }
    }

    /// A command ended without a response.
    pub(crate) fn gave_up(&mut self, now: Instant, command: &Command) {
        if command.timing.total_ns(now.0) > self.threshold.ns() && matches!(command.request, Request::Command(_)) {
            self.keep_slow(now, command, End::default());
        }
    }

    #[cold]
    fn keep_slow(&mut self, now: Instant, command: &Command, end: End) {
        let mut timing = command.timing;
        timing.go_on(command.stage, now.0);
        let (tag, lun) = (tag_word(command.tag()), lun_of(command.address()));
        self.slow.write(slow::record(&timing, now.0, tag, command.unit_id(), lun, end));
    }

    /// A command is aborted; its initiator is told so by a response, if it is `answered`.
    #[cold]
    pub(crate) fn aborted(&mut self, now: Instant, command: &Command, answered: bool) {
        self.write(now, command.timing.whose, tag_word(command.tag()), words::aborted(answered));
    }

    /// A channel is served from now on.
    #[cold]
    pub(crate) fn channel_started(&mut self, now: Instant, channel: &Channel) {
        self.write(now, channel.whose, 0, words::channel_started());
    }

    /// A channel cannot go on.
    #[cold]
    pub(crate) fn channel_failed(&mut self, now: Instant, channel: &Channel, reason: ChannelFailure) {
        let death = match reason {
            ChannelFailure::LoggedOut => return self.write(now, channel.whose, 0, words::logout()),
            ChannelFailure::Work(fabric::WorkError::Flushed) => ChannelDeath::Disconnected,
            ChannelFailure::Work(_) => ChannelDeath::Rdma,
            ChannelFailure::Malformed(_) => ChannelDeath::Malformed,
            ChannelFailure::CreditOverrun => ChannelDeath::CreditOverrun,
        };
        self.write(now, channel.whose, 0, words::channel_failed(death));
    }

    /// A channel's last buffer came back.
    #[cold]
    pub(crate) fn channel_stopped(&mut self, now: Instant, whose: Whose) {
        self.write(now, whose, 0, words::channel_stopped());
    }
}

impl Command {
    /// The SCSI status that it ends with.
    #[inline]
    fn status(&self) -> u8 {
        match &self.reply {
            Some(Reply::Ended(Ending::Good { .. })) => 0,
            Some(Reply::Ended(Ending::CheckCondition(_))) => ScsiStatus::CheckCondition as u8,
            Some(Reply::Ended(Ending::Status(status))) => *status as u8,
            Some(Reply::Ended(Ending::Device { status, .. })) => *status,
            Some(Reply::TaskAborted | Reply::Management(_)) | None => ScsiStatus::TaskAborted as u8,
        }
    }

    fn how_it_ended(&self, status: u8) -> End {
        let sense = match &self.reply {
            Some(Reply::Ended(Ending::CheckCondition(sense))) => Sense::new(sense.key as u8, sense.asc, sense.ascq),
            Some(Reply::Ended(Ending::Device { .. })) => Sense::of_data(self.device_sense()),
            _ => Sense::default(),
        };
        let data_bytes = match (&self.reply, &self.request) {
            (Some(reply @ Reply::Ended(Ending::Good { .. } | Ending::Device { .. })), Request::Command(request)) => {
                self.data_out_len().max(respond::data_in_moved(reply, request))
            }
            _ => 0,
        };
        End { status: Some(status), sense, data_bytes }
    }
}

/// What the control thread writes its events with.
pub(crate) struct ControlTracer(Writer<{ event::WORDS }>);

impl ControlTracer {
    fn new() -> (ControlTracer, Reader<{ event::WORDS }>) {
        let (writer, reader) = ring(CONTROL_SLOTS);
        (ControlTracer(writer), reader)
    }

    fn write(&mut self, now: Instant, whose: Whose, words: [u64; 3]) {
        self.0.write([now.0, whose.0, 0, words[0], words[1], words[2]]);
    }

    pub(crate) fn login(&mut self, now: Instant, whose: Whose, initiator: PortId) {
        self.write(now, whose, words::login(initiator));
    }

    pub(crate) fn login_refused(&mut self, now: Instant, initiator: PortId, reason: u32) {
        self.write(now, Whose::default(), words::login_refused(initiator, reason));
    }

    pub(crate) fn session_ended(&mut self, now: Instant, whose: Whose, initiator: PortId) {
        self.write(now, whose, words::session_ended(initiator));
    }
}

/// The LUN that an address is, or [`NO_LUN`].
#[inline]
fn lun_of(address: Address) -> u16 {
    match address {
        Address::Unit(lun) => lun.0,
        Address::ReportLuns | Address::Unknown => NO_LUN,
    }
}
