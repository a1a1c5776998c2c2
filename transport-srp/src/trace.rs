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
//! Where a command's events are written there are USDT probes, too, of the provider `srpt` (docs/tracing.md): an instruction that does nothing
//! until a tracer puts a breakpoint there. Without a ring they are not passed.
//!
//! Slow commands are judged when they are answered, or end without an answer. Only while there is a threshold are their waiting times told
//! apart (`slow.rs`); of one that arrived before, what it waited for then is charged to what it waited for last.
//!
//! What it costs stands in docs/performance.md.

pub(crate) mod event;
mod inspect;
pub(crate) mod recorder;
mod ring;
pub(crate) mod slow;

use std::sync::Arc;

use bdev::{IoError, Op};
use mem::Buf;
use probe::probe;
use reactor::Instant;
use scsi::{Address, Ending, ScsiStatus};

use crate::channel::Channel;
use crate::command::{Command, Request, Stage};
use crate::messages::ChannelFailure;
use crate::perform::Queue;
use crate::respond::{self, Reply};
use crate::slab::Key;
use crate::wire::PortId;
use event::{ChannelDeath, NO_LUN, Sense, Whose, cdb_bytes, cdb_words, tag_word, words};
use ring::{Reader, Writer, ring};
use slow::{End, Ended, Split, Threshold, Timing};

pub(crate) use inspect::Traces;

/// Slow commands of a reactor that are kept until the control thread looks, which it does every 20 ms, or more often.
const SLOW_SLOTS: usize = 1024;

/// Events of the control thread are rare.
const CONTROL_SLOTS: usize = 1024;

/// What a poll group writes its events with.
pub(crate) struct Tracer {
    events: Option<Writer<{ event::WORDS }>>,
    slow: Writer<{ slow::WORDS }>,
    threshold: Arc<Threshold>,
    /// By the slot of the command; kept while there is a threshold.
    splits: Vec<Split>,
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
        let tracer = Tracer { events: writer, slow: slow_writer, threshold, splits: Vec::new() };
        (tracer, TracerReader { events: reader, slow: slow_reader })
    }

    /// Makes room for so many commands.
    pub(crate) fn reserve(&mut self, commands: usize) {
        self.splits.resize(commands.max(self.splits.len()), Split::default());
    }

    #[inline]
    fn write(&mut self, now: Instant, whose: Whose, tag: u64, words: [u64; 3]) {
        if let Some(events) = &mut self.events {
            events.write([now.0, whose.0, tag, words[0], words[1], words[2]]);
        }
    }

    /// A request arrived.
    #[inline]
    pub(crate) fn received(&mut self, now: Instant, whose: Whose, key: Key<Command>, command: &mut Command) {
        command.timing = Timing { whose, arrived_ns: now.0, tag: tag_word(command.tag()) };
        if self.events.is_some() || self.threshold.is_set() {
            self.note_received(now, key, command);
        }
    }

    #[inline(never)]
    fn note_received(&mut self, now: Instant, key: Key<Command>, command: &Command) {
        let Timing { whose, tag, .. } = command.timing;
        match &command.request {
            Request::Command(request) => {
                let cdb = cdb_words(request.cdb(command.receive.as_ref().map_or(&[], Buf::bytes)));
                let data_bytes = request.data_out.len().max(request.data_in.len());
                let lun = lun_of(command.address());
                probe!(srpt, command_start, whose.session_bits(), whose.channel_bits(), tag, lun, cdb_bytes(cdb)[0]);
                self.write(now, whose, tag, words::received(lun, data_bytes, cdb));
                if let Some(split) = self.splits.get_mut(key.slot()).filter(|_| self.threshold.is_set()) {
                    *split = Split::new(now.0, cdb);
                }
            }
            Request::Management(management) => {
                let function = management.function.map_or_else(|code| code, |function| function as u8);
                let words = words::task_management(lun_of(command.address()), function, management.task_tag);
                self.write(now, whose, tag, words);
            }
            Request::Answer { .. } => {}
        }
    }

    /// A device took an operation of a command.
    #[inline]
    pub(crate) fn submitted(&mut self, now: Instant, command: &Command, op: Op, lba: u64, blocks: u64) {
        if self.events.is_some() {
            self.note_submitted(now, command, op, lba, blocks);
        }
    }

    #[inline(never)]
    fn note_submitted(&mut self, now: Instant, command: &Command, op: Op, lba: u64, blocks: u64) {
        let Timing { whose, tag, .. } = command.timing;
        probe!(srpt, device_start, whose.session_bits(), whose.channel_bits(), tag, lba, blocks);
        self.write(now, whose, tag, words::submitted(op, lba, blocks));
    }

    /// A device is done with it.
    #[inline]
    pub(crate) fn done(&mut self, now: Instant, command: &Command, result: Result<(), IoError>) {
        if self.events.is_some() {
            self.note_done(now, command, result);
        }
    }

    #[inline(never)]
    fn note_done(&mut self, now: Instant, command: &Command, result: Result<(), IoError>) {
        let Timing { whose, tag, .. } = command.timing;
        probe!(srpt, device_done, whose.session_bits(), whose.channel_bits(), tag, result.is_err());
        self.write(now, whose, tag, words::done(result));
    }

    /// The response of a request is on its way. `exactly`: see [`Command::ended_exactly`].
    #[inline]
    pub(crate) fn answered(&mut self, now: Instant, key: Key<Command>, command: &Command, exactly: bool) {
        if exactly && command.timing.total_ns(now.0) <= self.threshold.ns() {
            if self.events.is_some() {
                self.note_answered_well(now, command);
            }
        } else if self.events.is_some() || command.timing.total_ns(now.0) > self.threshold.ns() {
            self.note_answered(now, key, command);
        }
    }

    /// As the other, of a command that ended with GOOD in time.
    #[inline(never)]
    fn note_answered_well(&mut self, now: Instant, command: &Command) {
        let Timing { whose, tag, .. } = command.timing;
        let (status, total_ns) = (ScsiStatus::Good as u8, command.timing.total_ns(now.0));
        probe!(srpt, command_done, whose.session_bits(), whose.channel_bits(), tag, status, total_ns);
        self.write(now, whose, tag, words::answered(status, Sense::default(), command.bytes_moved() as u32, total_ns));
    }

    #[inline(never)]
    fn note_answered(&mut self, now: Instant, key: Key<Command>, command: &Command) {
        let Timing { whose, tag, .. } = command.timing;
        let total_ns = command.timing.total_ns(now.0);
        if let Some(Reply::Management(status)) = command.reply {
            return self.write(now, whose, tag, words::task_management_answered(status as u8, total_ns));
        }
        let end = command.how_it_ended();
        let status = end.status.unwrap_or_default();
        probe!(srpt, command_done, whose.session_bits(), whose.channel_bits(), tag, status, total_ns);
        self.write(now, whose, tag, words::answered(status, end.sense, end.data_bytes, total_ns));
        if end.sense.is_unit_attention() {
            self.write(now, whose, tag, words::unit_attention(lun_of(command.address()), end.sense));
        }
        if total_ns > self.threshold.ns() && matches!(command.request, Request::Command(_)) {
            self.keep_slow(now, key, command, end);
        }
    }

    /// A command ended without a response.
    pub(crate) fn gave_up(&mut self, now: Instant, key: Key<Command>, command: &Command) {
        if command.timing.total_ns(now.0) > self.threshold.ns() && matches!(command.request, Request::Command(_)) {
            self.keep_slow(now, key, command, End::default());
        }
    }

    #[cold]
    fn keep_slow(&mut self, now: Instant, key: Key<Command>, command: &Command, end: End) {
        let mut split = self.splits.get(key.slot()).copied().unwrap_or_default();
        split.go_on(command.stage, now.0);
        let (timing, unit, lun) = (command.timing, command.unit_id(), lun_of(command.address()));
        self.slow.write(slow::record(&Ended { timing, split, unit, lun, end }, now.0));
    }

    /// A command is parked in a queue from now on.
    #[inline]
    pub(crate) fn parked(&mut self, key: Key<Command>, queue: Queue) {
        if self.threshold.is_set() {
            self.splits.get_mut(key.slot()).into_iter().for_each(|split| split.park(queue));
        }
    }

    /// A command goes on, from the queue where it was parked or from this stage.
    #[inline]
    pub(crate) fn goes_on(&mut self, now: Instant, key: Key<Command>, stage: Stage) {
        if self.threshold.is_set() {
            self.splits.get_mut(key.slot()).into_iter().for_each(|split| split.go_on(stage, now.0));
        }
    }

    /// The answer of a command is a command of its own.
    pub(crate) fn answers_for(&mut self, key: Key<Command>, answer: Key<Command>) {
        if let Some(split) = self.splits.get(key.slot()).copied()
            && let Some(of_answer) = self.splits.get_mut(answer.slot())
        {
            *of_answer = split;
        }
    }

    /// A command is aborted; its initiator is told so by a response, if it is `answered`.
    #[cold]
    pub(crate) fn aborted(&mut self, now: Instant, command: &Command, answered: bool) {
        self.write(now, command.timing.whose, command.timing.tag, words::aborted(answered));
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

    fn how_it_ended(&self) -> End {
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
        End { status: Some(self.status()), sense, data_bytes }
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
