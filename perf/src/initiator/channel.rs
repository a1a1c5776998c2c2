//! One channel on its core: slots, credits, tags, and what the target says.

use fabric::{Access, ExposureId, QpIndex, RemoteMemory, WorkError};
use mem::{Buf, IoBuf, Pool};
use transport_srp::wire::descriptor::DESCRIPTOR_LEN;
use transport_srp::wire::iu::{self, SHORT_IU_LEN, TargetIuError};
use transport_srp::wire::{
    BufferRepr, CommandRepr, Descriptor, LogoutReason, Response, ResponseBody, Solicited, Tag, TargetIu, TaskAttribute,
    parse_from_target,
};

use super::answer::{Answer, SenseCodes};
use super::cdb::Cdb;
use super::form::{Form, cut, describe};
use super::login::Terms;
use super::memory::{Memory, MemoryLayout};
use crate::endpoint::{Endpoint, QueuePair};

#[cfg(test)]
mod tests;

/// What a target may do with data that it is to write to the medium, and with tables; and with room for data of the medium.
const READABLE: Access = Access { read: true, write: false };
const WRITABLE: Access = Access { read: false, write: true };

/// A command's place: its tag and its data buffer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Slot(pub u32);

/// What a command moves through its slot's buffer, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transfer {
    /// Nothing.
    None,
    /// To the initiator.
    In(u32),
    /// From the initiator.
    Out(u32),
}

/// What became of a message or an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// Nothing that concerns the caller.
    Nothing,
    /// A command was answered.
    Answered(Answer),
    /// The channel can no longer be trusted, or is gone.
    Fault(Fault),
}

/// What ends a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    /// Bytes that are no message of a target.
    #[error("the target sent a malformed message: {0}")]
    Malformed(#[from] TargetIuError),
    /// An answer to nothing.
    #[error("the target answered tag {0}, under which no command is under way")]
    UnknownTag(Tag),
    /// An answer of the wrong kind.
    #[error("the target answered the command with tag {0} as if it were task management")]
    WrongAnswer(Tag),
    /// A second SRP_CRED_REQ or SRP_AER_REQ before the first was answered.
    #[error("the target sent a second request of its own before the first was answered")]
    SecondRequest,
    /// SRP_T_LOGOUT.
    #[error("the target logged the channel out ({})", logout_reason(.0))]
    LoggedOut(Result<LogoutReason, u32>),
    /// The queue pair is in error.
    #[error("the connection failed: {0}")]
    Connection(#[from] WorkError),
}

fn logout_reason(reason: &Result<LogoutReason, u32>) -> String {
    reason.map_or_else(|code| format!("reason {code}"), |reason| format!("{reason:?}"))
}

/// One channel. It is used with the endpoint that adopted its queue pair, and with no other.
#[derive(Debug)]
pub struct Channel {
    qp: QpIndex,
    lun: [u8; 8],
    form: Form,
    /// Room for the descriptors of the command that is being written.
    pieces: Box<[Descriptor]>,
    immediate_offset: Option<u16>,
    message_bytes: usize,
    /// Requests that the target will take (SRP: REQUEST LIMIT); it may take credits back.
    credits: i64,
    slots: Box<[SlotState]>,
    free: Vec<Slot>,
    /// Message buffers that are here.
    messages: Vec<Buf>,
    /// The answer to the target's request, while there is no buffer for it.
    owed: Option<[u8; SHORT_IU_LEN]>,
}

#[derive(Debug)]
struct SlotState {
    /// Part of the tag, and another one for every command, so that an answer to an earlier one is not taken for ours.
    generation: u32,
    data: Data,
    /// The command's descriptors, for forms with a table in memory.
    table: Option<Data>,
    under_way: bool,
}

/// Where a slot's buffer is.
#[derive(Debug)]
enum Data {
    /// Here.
    Home(IoBuf),
    /// Exposed to the target.
    Exposed(ExposureId),
    /// Between the two: never seen from outside.
    Moving,
}

impl Channel {
    /// Adopts the queue pair and posts its receives; they are handed over with the next ring.
    ///
    /// # Panics
    /// If `memory` does not have what `layout` says for one channel: that would be our own bug.
    pub fn open(
        endpoint: &mut Endpoint,
        queue_pair: QueuePair,
        memory: &Memory,
        layout: &MemoryLayout,
        lun: [u8; 8],
    ) -> Channel {
        let qp = endpoint.adopt(queue_pair);
        for _ in 0..layout.receives() {
            endpoint.post_receive(qp, memory.receives.get().expect("receives for every channel"));
        }
        let home = |pool: &Pool| Data::home(pool.get().expect("data buffers and tables for every channel"));
        let slot = |_| SlotState {
            generation: 0,
            data: home(&memory.data),
            table: layout.form.has_table().then(|| home(&memory.tables)),
            under_way: false,
        };
        let messages = (0..layout.messages()).map(|_| memory.messages.get().expect("messages for every channel"));
        Channel {
            qp,
            lun,
            form: Form::Direct,
            pieces: vec![Descriptor::default(); layout.form.descriptors()].into_boxed_slice(),
            immediate_offset: None,
            message_bytes: 0,
            credits: 0,
            slots: (0..layout.depth).map(slot).collect(),
            free: (0..layout.depth as u32).rev().map(Slot).collect(),
            messages: messages.collect(),
            owed: None,
        }
    }

    /// The login was accepted: commands can be sent.
    pub fn logged_in(&mut self, terms: &Terms) {
        self.credits = terms.credits.into();
        self.immediate_offset = terms.immediate_offset;
        self.message_bytes = terms.message_bytes;
    }

    /// Commands have this form from now on, the layout's or a simpler one; before, they are direct. Some targets put no answer to INQUIRY and the like
    /// (Linux' ib_srpt, 6.1) into memory that is cut finer than pages.
    pub fn set_form(&mut self, form: Form) {
        self.form = form;
    }

    /// Its queue pair, in the endpoint that adopted it.
    pub fn qp(&self) -> QpIndex {
        self.qp
    }

    /// Whether a command can be sent now: there is a credit, and a message buffer beside the one for answers.
    #[inline]
    pub fn can_send(&self) -> bool {
        self.credits > 0 && self.messages.len() > 1
    }

    /// Takes a free slot, if there is one and a command can be sent now. Every command is sent from a slot that was
    /// taken, or whose last command was answered.
    #[inline]
    pub fn take(&mut self) -> Option<Slot> {
        if self.can_send() { self.free.pop() } else { None }
    }

    /// Gives back a slot that nothing is under way in.
    #[inline]
    pub fn give_back(&mut self, slot: Slot) {
        self.free.push(slot);
    }

    /// Commands under way, and slots that the caller holds.
    pub fn busy(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The buffer of a slot that nothing is under way in.
    ///
    /// # Panics
    /// If something is.
    #[inline]
    pub fn data(&self, slot: Slot) -> &[u8] {
        match &self.slots[slot.0 as usize].data {
            Data::Home(data) => data.bytes(),
            Data::Exposed(_) | Data::Moving => under_way(),
        }
    }

    /// The same, to be written.
    ///
    /// # Panics
    /// As [`Channel::data`].
    #[inline]
    pub fn data_mut(&mut self, slot: Slot) -> &mut [u8] {
        self.slots[slot.0 as usize].data.bytes_mut()
    }

    /// Sends a command; it is handed over with the next ring.
    ///
    /// # Panics
    /// If a command is under way in the slot, or none can be sent now ([`Channel::can_send`]).
    #[inline]
    pub fn send(&mut self, endpoint: &mut Endpoint, slot: Slot, cdb: &Cdb, transfer: Transfer) {
        assert!(self.can_send(), "a command was sent without a credit or a message buffer");
        let mut message = self.messages.pop().expect("can_send says so");
        let len = self.write_command(endpoint, slot, cdb, transfer, message.bytes_mut());
        self.slots[slot.0 as usize].under_way = true;
        self.credits -= 1;
        self.post(endpoint, message, len);
    }

    fn write_command(
        &mut self,
        endpoint: &mut Endpoint,
        slot: Slot,
        cdb: &Cdb,
        transfer: Transfer,
        message: &mut [u8],
    ) -> usize {
        let state = &mut self.slots[slot.0 as usize];
        state.generation = state.generation.wrapping_add(1);
        let command = CommandRepr {
            tag: tag(slot, state.generation),
            lun: self.lun,
            task_attribute: TaskAttribute::Simple,
            solicited: Solicited::default(),
            cdb,
            data_out: BufferRepr::None,
            data_in: BufferRepr::None,
        };
        match (transfer, self.immediate_offset) {
            (Transfer::None | Transfer::In(0) | Transfer::Out(0), _) => command.emit(message),
            (Transfer::Out(len), Some(offset)) if usize::from(offset) + len as usize <= self.message_bytes => {
                let Data::Home(data) = &state.data else { under_way() };
                let data = &data.bytes()[..len as usize];
                CommandRepr { data_out: BufferRepr::Immediate { offset, data }, ..command }.emit(message)
            }
            (Transfer::Out(len), _) => {
                let remote = state.data.expose(endpoint, self.qp, len, READABLE);
                let pieces = &mut self.pieces[..self.form.descriptors()];
                let table = state.write_table(endpoint, self.qp, remote, pieces, self.form);
                CommandRepr { data_out: describe(self.form, len, pieces, table), ..command }.emit(message)
            }
            (Transfer::In(len), _) => {
                let remote = state.data.expose(endpoint, self.qp, len, WRITABLE);
                let pieces = &mut self.pieces[..self.form.descriptors()];
                let table = state.write_table(endpoint, self.qp, remote, pieces, self.form);
                CommandRepr { data_in: describe(self.form, len, pieces, table), ..command }.emit(message)
            }
        }
    }

    fn post(&mut self, endpoint: &mut Endpoint, message: Buf, len: usize) {
        endpoint.send(self.qp, IoBuf::new(message, 0..len));
    }

    /// Takes a message of the target.
    #[inline]
    pub fn on_received(&mut self, endpoint: &mut Endpoint, buf: Buf, len: u32) -> Event {
        let event = self.read(endpoint, &buf.bytes()[..len as usize]).unwrap_or_else(Event::Fault);
        endpoint.post_receive(self.qp, buf);
        event
    }

    fn read(&mut self, endpoint: &mut Endpoint, message: &[u8]) -> Result<Event, Fault> {
        match parse_from_target(message)? {
            TargetIu::Response(response) => self.on_response(endpoint, &response).map(Event::Answered),
            TargetIu::CredReq(request) => {
                self.credits += i64::from(request.request_limit_delta);
                self.owe(endpoint, iu::cred_rsp(request.tag))
            }
            TargetIu::AerReq(request) => {
                self.credits += i64::from(request.request_limit_delta);
                self.owe(endpoint, iu::aer_rsp(request.tag))
            }
            TargetIu::Logout(logout) => Err(Fault::LoggedOut(logout.reason)),
        }
    }

    fn on_response(&mut self, endpoint: &mut Endpoint, response: &Response<'_>) -> Result<Answer, Fault> {
        self.credits += i64::from(response.request_limit_delta);
        let slot = self.slot_of(response.tag).ok_or(Fault::UnknownTag(response.tag))?;
        let ResponseBody::Status { status, residuals, sense } = response.body else {
            return Err(Fault::WrongAnswer(response.tag));
        };
        let state = &mut self.slots[slot.0 as usize];
        state.under_way = false;
        state.withdraw(endpoint);
        let sense = if sense.is_empty() { None } else { SenseCodes::parse(sense) };
        Ok(Answer { slot, status, sense, residuals })
    }

    /// The slot of the command under way with this tag.
    fn slot_of(&self, tag: Tag) -> Option<Slot> {
        let bits = u64::from_le_bytes(tag.0);
        let (generation, slot) = ((bits >> 32) as u32, Slot(bits as u32));
        let state = self.slots.get(slot.0 as usize)?;
        (state.under_way && state.generation == generation).then_some(slot)
    }

    /// Answers a request of the target's own, now or as soon as a buffer is back.
    fn owe(&mut self, endpoint: &mut Endpoint, answer: [u8; SHORT_IU_LEN]) -> Result<Event, Fault> {
        if self.owed.replace(answer).is_some() {
            return Err(Fault::SecondRequest);
        }
        self.pay(endpoint);
        Ok(Event::Nothing)
    }

    fn pay(&mut self, endpoint: &mut Endpoint) {
        if self.owed.is_some()
            && let Some(mut message) = self.messages.pop()
            && let Some(answer) = self.owed.take()
        {
            message.bytes_mut()[..SHORT_IU_LEN].copy_from_slice(&answer);
            self.post(endpoint, message, SHORT_IU_LEN);
        }
    }

    /// Takes a message's buffer back.
    #[inline]
    pub fn on_delivered(
        &mut self,
        endpoint: &mut Endpoint,
        message: Option<IoBuf>,
        result: Result<(), WorkError>,
    ) -> Event {
        self.messages.extend(message.map(IoBuf::into_buf));
        match result {
            Ok(()) => {
                self.pay(endpoint);
                Event::Nothing
            }
            Err(error) => Event::Fault(error.into()),
        }
    }

    /// Gives the queue pair up, when nothing is outstanding on it any more, and all buffers back to their pools.
    pub fn close(mut self, endpoint: &mut Endpoint) -> QueuePair {
        for slot in &mut self.slots {
            slot.withdraw(endpoint);
        }
        endpoint.release(self.qp)
    }
}

impl SlotState {
    /// Cuts memory into pieces, and exposes a table of them if the form has one.
    #[inline]
    fn write_table(
        &mut self,
        endpoint: &mut Endpoint,
        qp: QpIndex,
        memory: RemoteMemory,
        pieces: &mut [Descriptor],
        form: Form,
    ) -> Option<RemoteMemory> {
        cut(memory, pieces);
        let table = self.table.as_mut().filter(|_| form.has_table())?;
        let bytes = table.bytes_mut().as_chunks_mut().0;
        bytes.iter_mut().zip(pieces.iter()).for_each(|(place, piece)| *place = piece.emit());
        Some(table.expose(endpoint, qp, pieces.len() as u32 * DESCRIPTOR_LEN, READABLE))
    }

    fn withdraw(&mut self, endpoint: &mut Endpoint) {
        self.data.withdraw(endpoint);
        if let Some(table) = &mut self.table {
            table.withdraw(endpoint);
        }
    }
}

impl Data {
    fn home(buf: Buf) -> Data {
        let whole = 0..buf.len();
        Data::Home(IoBuf::new(buf, whole))
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Data::Home(data) => data.bytes_mut(),
            Data::Exposed(_) | Data::Moving => under_way(),
        }
    }

    fn expose(&mut self, endpoint: &mut Endpoint, qp: QpIndex, len: u32, access: Access) -> RemoteMemory {
        let Data::Home(data) = std::mem::replace(self, Data::Moving) else { under_way() };
        let (remote, exposure) = endpoint.expose(qp, data.with_range(0..len as usize), access);
        *self = Data::Exposed(exposure);
        remote
    }

    fn withdraw(&mut self, endpoint: &mut Endpoint) {
        if let Data::Exposed(exposure) = *self {
            *self = Data::home(endpoint.withdraw(exposure).expect("exposed memory is withdrawn once").into_buf());
        }
    }
}

/// A tag is opaque to the target: slot and generation.
fn tag(slot: Slot, generation: u32) -> Tag {
    Tag((u64::from(generation) << 32 | u64::from(slot.0)).to_le_bytes())
}

#[cold]
fn under_way() -> ! {
    panic!("a slot's buffer was touched while a command is under way in it")
}
