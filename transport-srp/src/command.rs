//! One command from its arrival to its response, as a state machine without I/O: events in, actions out.
//!
//! ```text
//!             NeedTable ──► TableBuffer ─► Fetch ─► Fetched     (only for a partial descriptor table)
//!  Arrived ─┬─────────────────────────────────────────┘
//!           ├─ NeedData ──► DataBuffer ─┬─ Fetch ─► Fetched     (only for data-out that did not come with the IU; piece by piece)
//!           │                           │             │
//!           └───────────────────────────┴─────────────┴─► step() ─► Submit ─► Executed ─┐   (any number of times; once AnswerEarly)
//!                                                           ▲ └──────────────────────────┘
//!                                                           └─► Deliver ─► Delivered     (piece by piece; the response goes with the last)
//! ```
//!
//! | stage | waits for | leaves on | when the command is aborted, or its channel dies |
//! |---|---|---|---|
//! | any, `parked` | its turn, a buffer, blocks of its own or that others claim, send slots, the device's depth, a fence | being resumed | freed at once: nothing of it is under way |
//! | `FetchTable`, `FetchData` | RDMA READs | `Fetched` | freed when the READs came back: they cannot be cut |
//! | `Execute` | the device | `Executed` | becomes an orphan: the slot stays until the device is done, nothing is answered; or goes on in the background (`background.rs`) |
//! | `Control` | the control plane | `Controlled` | freed when it has answered |
//! | `Clearing` | other cores (`clearing.rs`) | the answer of the control plane | freed at once |
//! | `Deliver` | RDMA WRITEs, the send | `Delivered` | not posted yet: freed after the piece under way; response posted: goes first |

mod exclusive;
pub(crate) mod express;
mod slot;

use std::rc::Rc;
use std::sync::Arc;

use arrayvec::ArrayVec;
use bdev::passthrough::SENSE_BYTES_MAX;
use bdev::{IoError, Op};
use fabric::Segments;
use mem::{Buf, IoBuf};
use scsi::{Address, Context, ControlReply, ControlRequest, Ending, Job, Peer, Sense, Step, UnitAttention};

use crate::channel::Channel;
use crate::exclusion::Extent;
use crate::management::Order;
use crate::respond::{self, Reply};
use crate::session::{LunEntry, LunMap, Nexus, UnitId};
use crate::slab::Key;
use crate::statistics::{CommandError, Watch};
use crate::task_set::Place;
use crate::trace::slow::Timing;
use crate::transfer::{self, Cursor, Descriptors};
use crate::wire::cmd::{self, DataBuffer, TaskAttribute};
use crate::wire::{Tag, tmf};

/// What a channel's commands are seen against; replaced whole when the LUNs change, while older commands keep theirs.
pub(crate) struct View {
    pub(crate) nexus: Arc<Nexus>,
    pub(crate) luns: Arc<LunMap>,
}

impl View {
    fn context(&self, entry: Option<usize>, address: Address) -> Context<'_> {
        let entry = entry.and_then(|index| self.luns.entries().get(index));
        Context {
            unit: entry.map(|entry| &*entry.logical_unit),
            nexus: entry.map(|entry| &*entry.nexus),
            address,
            luns: self.luns.luns(),
            ports: &self.nexus.ports,
            peers: &*self.luns,
            read_only: entry.is_some_and(|entry| entry.read_only),
            data_out_len: 0,
            data_in_len: 0,
        }
    }
}

/// What the initiator asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Request {
    /// SRP_CMD.
    Command(cmd::Command),
    /// SRP_TSK_MGMT.
    Management(tmf::TaskManagement),
    /// Only an answer is left: an SRP_CMD that could not be decoded beyond its tag, or one whose work became an orphan.
    Answer { tag: Tag, solicited: bool },
}

/// Where a command stands; see the table above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Arrived,
    FetchTable,
    FetchData,
    Execute,
    /// The control plane carries it out.
    Control,
    Deliver,
    /// It has ended; its response waits until the commands are aborted that it takes with it.
    Clearing,
    /// The response is posted.
    Responding,
}

/// What has to be done for a command next.
#[derive(Debug)]
pub(crate) enum Action {
    /// Let it into its task set, then [`Event::Arrived`] or [`Event::Refused`].
    Start,
    /// Take a buffer for the descriptor table, then [`Event::TableBuffer`].
    NeedTable,
    /// Take a data buffer of this many bytes, then [`Event::DataBuffer`].
    NeedData(usize),
    /// Keep all others off these blocks, in which everything lies that it reads and writes; then [`Event::Claimed`].
    Claim(Extent, Option<Buf>),
    /// Fetch the next segments into it, then [`Event::Fetched`].
    Fetch(IoBuf),
    /// Give it to a device (`None`: that of the command's own unit), then [`Event::Executed`].
    Submit { on: Option<Peer>, op: Op, lba: u64, blocks: u64, data: Option<IoBuf> },
    /// Answer GOOD if possible, then [`Event::Answered`] either way.
    AnswerEarly,
    /// Have the control plane carry it out, then [`Event::Controlled`].
    Control { request: ControlRequest, parameters: Box<[u8]> },
    /// Deliver the next segments from it, with the response behind the last.
    Deliver(Option<IoBuf>),
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Event {
    Arrived,
    Refused(Reply),
    TableBuffer(Buf),
    DataBuffer(Buf),
    Fetched(IoBuf),
    Claimed(Option<Buf>),
    Executed(Option<IoBuf>, Result<(), IoError>),
    /// The unit's medium cannot be used any more, before the device got what came next.
    Interrupted(Option<Buf>, Sense),
    Answered,
    Controlled(ControlReply),
}

/// An abort that waits for the command to come to rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Abort {
    /// Nothing more is sent for it.
    Silent,
    /// It ends with TASK ABORTED status.
    WithStatus,
}

/// What an initiator gets when the device is done with a command that was aborted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Debt {
    /// The channel that owes it.
    pub(crate) channel: Key<Channel>,
    /// How the command was aborted: the credit goes by itself, or with TASK ABORTED status.
    pub(crate) abort: Abort,
}

/// One request of an initiator and everything that is held for it; at rest in its slot between two of them.
pub(crate) struct Command {
    /// Its channel; `None` once it is an orphan.
    pub(crate) channel: Option<Key<Channel>>,
    /// Its place in the channel's list.
    pub(crate) position: u32,
    pub(crate) request: Request,
    pub(crate) stage: Stage,
    /// An action that waits for a resource.
    pub(crate) parked: Option<Action>,
    pub(crate) place: Place,
    pub(crate) timing: Timing,
    pub(crate) reply: Option<Reply>,
    /// The commands are gone that its end took with it.
    pub(crate) has_cleared: bool,
    pub(crate) abort: Option<Abort>,
    /// Orders of task management that wait for this command.
    pub(crate) orders: Vec<Key<Order>>,
    /// The orphan raised its unit's fence.
    pub(crate) fenced: bool,
    /// What the orphan's channel still owes to the initiator.
    pub(crate) debt: Option<Debt>,
    /// The channel that counts this orphan.
    pub(crate) orphan_of: Option<Key<Channel>>,
    /// The IU, until its buffer is posted again.
    pub(crate) receive: Option<Buf>,
    /// What a device is doing.
    pub(crate) executing: Option<Op>,
    /// The blocks that it is about.
    pub(crate) extent: Extent,
    /// Whose device, if not that of the command's own unit.
    pub(crate) executing_on: Option<Peer>,
    /// What the device told this initiator and the others have to know.
    pub(crate) changed: Option<UnitAttention>,
    pub(crate) watch: Watch,
    /// Sense data that a SCSI device made.
    sense: ArrayVec<u8, SENSE_BYTES_MAX>,
    /// `None` at rest.
    view: Option<Rc<View>>,
    entry: Option<usize>,
    address: Address,
    job: Option<Job>,
    table: Option<IoBuf>,
    /// The job's buffer while an operation without data is at the device.
    aside: Option<Buf>,
    /// The job's buffer is the receive buffer, from this offset on.
    in_place: Option<usize>,
    /// The CDB moves as much as the initiator's buffer holds, as far as known.
    is_exact: bool,
    cursor: Cursor,
}

impl Command {
    #[inline]
    fn view(&self) -> &Rc<View> {
        self.view.as_ref().expect("a command that is not at rest has a view")
    }

    /// Takes an event and says what to do next.
    pub(crate) fn handle(&mut self, event: Event) -> Action {
        match event {
            Event::Arrived => self.arrived(),
            Event::Refused(reply) => self.answer(reply),
            Event::TableBuffer(buf) => self.fetch_table(buf),
            Event::DataBuffer(buf) => self.fill(buf),
            Event::Fetched(data) => self.fetched(data),
            Event::Claimed(buf) => self.step(None, buf),
            Event::Executed(data, result) => self.executed(data, result),
            Event::Interrupted(buf, sense) => {
                let buf = buf.or_else(|| self.aside.take());
                self.end(Ending::CheckCondition(sense), buf)
            }
            Event::Answered => {
                let buf = self.aside.take();
                self.step(None, buf)
            }
            Event::Controlled(reply) => self.controlled(reply),
        }
    }

    /// Ends the command without anything further of its own: what is left is the answer.
    pub(crate) fn answer(&mut self, reply: Reply) -> Action {
        self.cursor = Cursor::new(0);
        self.stage = Stage::Deliver;
        self.reply = Some(reply);
        Action::Deliver(None)
    }

    /// Whether it goes on although nobody waits for it any more; see [`Job::runs_on`].
    pub(crate) fn runs_on(&self) -> bool {
        self.reply.is_none() && self.job.as_ref().is_some_and(Job::runs_on)
    }

    /// What it ends with instead of going on to the device: its unit's medium is being formatted or sanitized, or that failed.
    pub(crate) fn interruption(&self) -> Option<Sense> {
        let unit = self.unit()?;
        unit.logical_unit.check_medium().err().filter(|_| !self.runs_on())
    }

    /// What its initiator has to be told of how it ended, if it was answered before.
    pub(crate) fn deferred_error(&self) -> Option<UnitAttention> {
        match (&self.reply, &self.job) {
            (Some(Reply::Ended(ending)), Some(job)) => job.deferred_error(ending),
            _ => None,
        }
    }

    /// The length of the data buffer that the command is parked for.
    pub(crate) fn parked_need(&self) -> Option<usize> {
        match self.parked {
            Some(Action::NeedData(len)) => Some(len),
            _ => None,
        }
    }

    /// The unit that the command is for, unless there is none under its LUN.
    pub(crate) fn unit(&self) -> Option<&LunEntry> {
        self.view().luns.entries().get(self.entry?)
    }

    /// As [`Command::unit`], its number.
    pub(crate) fn unit_id(&self) -> Option<UnitId> {
        self.unit().map(|entry| entry.unit)
    }

    /// The unit that a device operation is for.
    pub(crate) fn unit_of(&self, on: Option<Peer>) -> Option<&LunEntry> {
        match on {
            Some(peer) => self.view().luns.entries().get(usize::from(peer.0)),
            None => self.unit(),
        }
    }

    /// The unit whose device is at work.
    pub(crate) fn executing_unit(&self) -> Option<&LunEntry> {
        self.unit_of(self.executing_on)
    }

    /// Whether the command is for the unit, or at its device.
    pub(crate) fn is_using(&self, unit: UnitId) -> bool {
        let at_device = || self.executing.and(self.executing_unit()).map(|entry| entry.unit);
        self.unit_id() == Some(unit) || at_device() == Some(unit)
    }

    /// Nobody waits for the job any more.
    pub(crate) fn abandon_job(&mut self) {
        if let Some(job) = &mut self.job {
            job.abandon();
        }
    }

    pub(crate) fn nexus(&self) -> &Nexus {
        &self.view().nexus
    }

    pub(crate) fn address(&self) -> Address {
        self.address
    }

    /// Sense data that a SCSI device made.
    pub(crate) fn device_sense(&self) -> &[u8] {
        &self.sense
    }

    /// Bytes that the CDB takes from the initiator.
    pub(crate) fn data_out_len(&self) -> u32 {
        self.job.as_ref().map_or(0, Job::data_out_len)
    }

    /// The task attribute of a command.
    pub(crate) fn attribute(&self) -> Option<TaskAttribute> {
        match &self.request {
            Request::Command(command) => Some(command.task_attribute),
            Request::Management(_) | Request::Answer { .. } => None,
        }
    }

    pub(crate) fn tag(&self) -> Tag {
        match &self.request {
            Request::Command(command) => command.tag,
            Request::Management(management) => management.tag,
            Request::Answer { tag, .. } => *tag,
        }
    }

    /// Bytes still to be fetched or delivered at this stage.
    pub(crate) fn remaining(&self) -> u32 {
        self.cursor.remaining()
    }

    /// Plans up to `limit` more segments of the stage's transfer.
    #[inline(always)]
    pub(crate) fn next_segments(
        &mut self,
        limit: usize,
        segments: &mut Segments,
    ) -> Result<(), transfer::TransferError> {
        if let (Stage::Deliver, Request::Command(cmd::Command { data_in: DataBuffer::Direct(descriptor), .. })) =
            (self.stage, &self.request)
        {
            return self.cursor.next(&Descriptors::One(*descriptor), 0, limit, segments);
        }
        self.next_of_many(limit, segments)
    }

    #[inline(never)]
    fn next_of_many(&mut self, limit: usize, segments: &mut Segments) -> Result<(), transfer::TransferError> {
        let (Stage::FetchTable | Stage::FetchData | Stage::Deliver, Request::Command(command)) =
            (self.stage, &self.request)
        else {
            return Ok(());
        };
        let descriptors = match (self.stage, &command.data_out, &command.data_in) {
            (Stage::FetchTable, DataBuffer::Indirect(indirect), _) => Descriptors::One(indirect.table),
            (Stage::FetchTable, _, DataBuffer::Indirect(indirect)) => Descriptors::One(indirect.table),
            (Stage::FetchData, buffer, _) | (_, _, buffer) => {
                descriptors(buffer, self.receive.as_ref(), self.table.as_ref())
            }
        };
        self.cursor.next(&descriptors, 0, limit, segments)
    }

    /// Writes the response and returns its length in bytes.
    pub(crate) fn build_response(&self, delta: i32, out: &mut [u8]) -> usize {
        let task_aborted = Reply::TaskAborted;
        let reply = self.reply.as_ref().unwrap_or(&task_aborted);
        match &self.request {
            Request::Command(command) => {
                let descriptor_sense = || self.unit().is_some_and(|entry| entry.logical_unit.descriptor_sense());
                respond::command(reply, command, self.data_out_len(), &self.sense, descriptor_sense, delta, out)
            }
            Request::Management(management) => {
                let Reply::Management(status) = reply else { unreachable!("task management is answered as such") };
                respond::management(*status, management.tag, management.solicited.on_success, delta, out)
            }
            Request::Answer { tag, solicited } => respond::bare(reply, *tag, *solicited, delta, out),
        }
    }

    /// Whether that response is this one.
    pub(crate) fn would_build(&self, delta: i32, response: &[u8]) -> bool {
        let mut out = [0; crate::limits::MAX_TI_IU_BYTES];
        let len = self.build_response(delta, &mut out);
        &out[..len] == response && !self.failed()
    }

    /// Whether the response, which says that the command `failed` or not, should raise a solicited event at the initiator.
    #[inline]
    pub(crate) fn solicited(&self, failed: bool) -> bool {
        let wish = match &self.request {
            Request::Command(command) => command.solicited,
            Request::Management(management) => management.solicited,
            Request::Answer { solicited, .. } => return *solicited,
        };
        if failed { wish.on_failure } else { wish.on_success }
    }

    /// Whether the reply reports anything but success, for statistics.
    pub(crate) fn failed(&self) -> bool {
        match &self.reply {
            Some(Reply::Ended(Ending::Good { .. }) | Reply::Management(_)) => false,
            Some(Reply::Ended(Ending::Device { status, .. })) => *status != 0,
            Some(Reply::Ended(Ending::CheckCondition(_) | Ending::Status(_)) | Reply::TaskAborted) | None => true,
        }
    }

    /// How it failed, if it did.
    pub(crate) fn error(&self) -> Option<CommandError> {
        CommandError::of(self.reply.as_ref(), &self.sense)
    }

    /// Data that went between initiator and target, in bytes; meaningful if it succeeded.
    #[inline]
    pub(crate) fn bytes_moved(&self) -> u64 {
        u64::from(self.watch.data_in) + u64::from(self.job.as_ref().map_or(0, Job::data_out_len))
    }

    #[inline]
    pub(crate) fn arrived(&mut self) -> Action {
        let Request::Command(command) = &self.request else { unreachable!("only SRP_CMD takes this path") };
        let (data_out_len, data_in_len) = (command.data_out.len(), command.data_in.len());
        if data_out_len > 0 && data_in_len > 0 {
            // Bidirectional commands are obsolete in SPC-5, and no unit of ours has one.
            return self.refuse();
        }
        let Some(receive) = self.receive.as_ref() else { return self.refuse() };
        let context = Context { data_out_len, data_in_len, ..self.view().context(self.entry, self.address) };
        let job = match scsi::begin(command.cdb(receive.bytes()), &context) {
            Ok(job) => job,
            Err(ending) => return self.answer(Reply::Ended(ending)),
        };
        let (out, back) = (job.data_out_len(), job.data_in_len());
        if out > data_out_len {
            // Less data than the CDB takes: a part of a block or of a parameter list is of no use.
            self.job = Some(job);
            return self.refuse();
        }
        let (buffer, len) = if out > 0 { (&command.data_out, data_out_len) } else { (&command.data_in, data_in_len) };
        if out == 0 && back == 0 || len == 0 {
            self.job = Some(job);
            return self.take_data();
        }
        let needs_table = buffer.needs_table();
        let valid = match buffer {
            _ if needs_table => true,
            DataBuffer::Direct(_) | DataBuffer::Indirect(_) => {
                transfer::validate(&descriptors(buffer, self.receive.as_ref(), None), len).is_ok()
            }
            DataBuffer::Immediate { .. } | DataBuffer::None => true,
        };
        self.job = Some(job);
        if needs_table {
            return Action::NeedTable;
        }
        if valid { self.take_data() } else { self.refuse() }
    }

    fn fetch_table(&mut self, buf: Buf) -> Action {
        let table = match &self.request {
            Request::Command(cmd::Command { data_out: DataBuffer::Indirect(indirect), .. }) => indirect.table,
            Request::Command(cmd::Command { data_in: DataBuffer::Indirect(indirect), .. }) => indirect.table,
            _ => return self.refuse(),
        };
        if table.len as usize > buf.len() {
            return self.refuse();
        }
        self.stage = Stage::FetchTable;
        self.cursor = Cursor::new(table.len);
        Action::Fetch(IoBuf::new(buf, 0..table.len as usize))
    }

    fn fetched(&mut self, data: IoBuf) -> Action {
        if self.cursor.remaining() > 0 {
            return Action::Fetch(data);
        }
        if self.stage == Stage::FetchData {
            return self.claim_and_step(Some(data.into_buf()));
        }
        let Request::Command(command) = &self.request else { return self.refuse() };
        let total = command.data_out.len().max(command.data_in.len());
        if transfer::validate(&Descriptors::List(data.bytes()), total).is_err() {
            return self.refuse();
        }
        self.table = Some(data);
        self.take_data()
    }

    /// Finds the job's buffer: none, the receive buffer itself, or a data buffer.
    fn take_data(&mut self) -> Action {
        let (Some(job), Request::Command(command)) = (&self.job, &self.request) else { return self.refuse() };
        let (need, out) = (job.buffer_len(), job.data_out_len() as usize);
        if need == 0 {
            return self.claim_and_step(None);
        }
        if let (DataBuffer::Immediate { offset, .. }, true, Some(receive)) =
            (&command.data_out, need == out, &self.receive)
        {
            let align = self.unit().map_or(1, |entry| entry.logical_unit.bdev().info().buf_align);
            let offset = usize::from(*offset);
            if (receive.addr() + offset as u64).is_multiple_of(align as u64) && offset + need <= receive.len() {
                self.in_place = Some(offset);
                let receive = self.receive.take();
                return self.claim_and_step(receive);
            }
        }
        Action::NeedData(need)
    }

    /// Fills a fresh data buffer with the command's data-out, if it has any.
    #[inline]
    pub(crate) fn fill(&mut self, mut buf: Buf) -> Action {
        let (Some(job), Request::Command(command)) = (&self.job, &self.request) else { return self.refuse() };
        let out = job.data_out_len() as usize;
        match (&command.data_out, &self.receive) {
            (_, _) if out == 0 => self.claim_and_step(Some(buf)),
            (DataBuffer::Immediate { offset, .. }, Some(receive)) => {
                let from = usize::from(*offset);
                buf.bytes_mut()[..out].copy_from_slice(&receive.bytes()[from..from + out]);
                self.claim_and_step(Some(buf))
            }
            _ => {
                self.stage = Stage::FetchData;
                self.cursor = Cursor::new(job.data_out_len());
                Action::Fetch(IoBuf::new(buf, 0..out))
            }
        }
    }

    #[inline]
    pub(crate) fn executed(&mut self, data: Option<IoBuf>, result: Result<(), IoError>) -> Action {
        self.executing = None;
        let buf = data.map(IoBuf::into_buf).or_else(|| self.aside.take());
        match self.job.as_ref().and_then(Job::ends_well) {
            Some(data_in) if result.is_ok() => self.end_well(data_in, buf),
            _ => self.step(Some(result), buf),
        }
    }

    /// Lets the job decide what comes next.
    fn step(&mut self, last: Option<Result<(), IoError>>, mut buf: Option<Buf>) -> Action {
        let Some(job) = self.job.as_mut() else { return self.refuse() };
        let base = self.in_place.unwrap_or(0);
        let len = job.buffer_len();
        let buffer = buf.as_mut().map_or(&mut [][..], |buf| &mut buf.bytes_mut()[base..base + len]);
        let Some(view) = self.view.as_ref() else { return self.refuse() };
        match job.step(&view.context(self.entry, self.address), last, buffer) {
            Step::Io { on, op, lba, blocks, data } => {
                self.stage = Stage::Execute;
                let part = base + data.start..base + data.end;
                let data = if data.is_empty() {
                    self.aside = buf;
                    None
                } else {
                    buf.map(|buf| IoBuf::new(buf, part))
                };
                Action::Submit { on, op, lba, blocks, data }
            }
            Step::Answer => {
                self.stage = Stage::Execute;
                self.aside = buf;
                Action::AnswerEarly
            }
            Step::Claim => self.claim_and_step(buf),
            Step::Control { request, parameters } => {
                self.stage = Stage::Control;
                let parameters = buffer_of(buf.as_ref(), base + parameters.start..base + parameters.end).into();
                self.aside = buf;
                Action::Control { request, parameters }
            }
            Step::Done(ending) => self.end(ending, buf),
        }
    }

    /// Puts the data of the control plane's reply to the start of the job's buffer, cut to what the CDB allows.
    fn controlled(&mut self, reply: ControlReply) -> Action {
        let mut buf = self.aside.take();
        let most = self.job.as_ref().map_or(0, |job| job.buffer_len().min(job.data_in_len() as usize));
        let ending = match reply {
            ControlReply::Good(data) => {
                let len = data.len().min(most);
                if let Some(buf) = buf.as_mut() {
                    buf.bytes_mut()[..len].copy_from_slice(&data[..len]);
                }
                Ending::Good { data_in: 0..len }
            }
            ControlReply::CheckCondition(sense) => Ending::CheckCondition(sense),
            ControlReply::Status(status) => Ending::Status(status),
        };
        self.end(ending, buf)
    }

    fn end(&mut self, ending: Ending, buf: Option<Buf>) -> Action {
        if let (Ending::Device { sense, changed, .. }, Some(buf)) = (&ending, &buf) {
            self.sense = buf.bytes()[sense.clone()].iter().copied().take(SENSE_BYTES_MAX).collect();
            self.changed = *changed;
        }
        let reply = Reply::Ended(ending);
        if self.in_place.is_some() {
            self.receive = buf;
            return self.answer(reply);
        }
        let Request::Command(command) = &self.request else { return self.refuse() };
        let moved = respond::data_in_moved(&reply, command);
        self.watch.data_in = moved;
        let data = match (&reply, buf) {
            (Reply::Ended(Ending::Good { data_in } | Ending::Device { data_in, .. }), Some(buf)) if moved > 0 => {
                Some(IoBuf::new(buf, data_in.start..data_in.start + moved as usize))
            }
            _ => None,
        };
        self.cursor = Cursor::new(if data.is_some() { moved } else { 0 });
        self.stage = Stage::Deliver;
        self.reply = Some(reply);
        Action::Deliver(data)
    }

    /// The IU is at odds with itself or with its CDB.
    pub(crate) fn refuse(&mut self) -> Action {
        self.answer(Reply::Ended(Ending::CheckCondition(Sense::INVALID_FIELD_IN_CDB)))
    }
}

fn buffer_of(buf: Option<&Buf>, part: std::ops::Range<usize>) -> &[u8] {
    buf.map_or(&[], |buf| &buf.bytes()[part])
}

fn descriptors<'a>(buffer: &DataBuffer, receive: Option<&'a Buf>, table: Option<&'a IoBuf>) -> Descriptors<'a> {
    match (table, receive) {
        (Some(table), _) => Descriptors::List(table.bytes()),
        (None, receive) => Descriptors::in_iu(buffer, receive.map_or(&[], Buf::bytes)),
    }
}
