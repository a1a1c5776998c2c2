//! The work outstanding on a queue pair. Here is kept that every buffer comes back exactly once, and not before the device is
//! done with it: its owner stays in a table until its completion is taken. Fenced: posting is a promise about those buffers.
//!
//! ```text
//! post_receive, fetch, deliver ─► table + list ─ ring ─► device ─► completion ─► out of the table ─► Completion
//!                                      └────────── failed ──────► handed back from memory ───────────┘
//! ```
#![allow(unsafe_code)]

use mem::{Buf, IoBuf, RegionId};
use rdma_core_sys::{ibv_wc, ibv_wc_status};

use super::table::Table;
use super::work_list::{Local, Opcode, ReceiveList, SendList};
use crate::{Completion, Deliver, Fetch, QpIndex, QueuePairSizes, Segment, WorkError};

/// What [`Work`] needs of a queue pair.
pub(super) trait Port {
    /// The local key of a registered region.
    fn lkey(&self, region: RegionId) -> u32;

    /// Longest message that can be copied into its work request, in bytes.
    fn inline_max(&self) -> u32;

    /// Puts the queue pair into the error state: whatever is posted completes as flushed.
    fn fail(&self);

    /// Logs that the device did something that it never may.
    fn broken(&self, what: &'static str);

    /// Posts a list that is not empty.
    ///
    /// # Safety
    /// The memory that the list names stays valid, and unused by anybody else, until its request completes.
    unsafe fn post_receives(&self, list: &mut ReceiveList) -> Result<(), Refused>;

    /// Posts a list that is not empty.
    ///
    /// # Safety
    /// As for receives.
    unsafe fn post_sends(&self, list: &mut SendList) -> Result<(), Refused>;
}

/// A post failed: the requests before `first` were taken. If `first` is the length of the list, all were, and the device
/// could only not be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Refused {
    pub(super) first: usize,
}

/// A queue pair in a poll group.
pub(super) struct Work<P> {
    port: P,
    slot: u32,
    receives: Table<Receive>,
    operations: Table<Operation>,
    receive_list: ReceiveList,
    send_list: SendList,
    /// Entries of the send queue that operations in the table hold, completed ones without a signal included.
    sends_taken: u32,
    sends_max: u32,
    /// Nothing is posted any more; what comes is handed back.
    failed: bool,
    /// Something in the tables waits to be handed back without the device.
    handing_back: bool,
    /// Whether it is on the poll group's list of doorbells to ring.
    pub(super) listed: bool,
}

#[derive(Debug)]
struct Receive {
    buf: Buf,
    /// The device does not have it (any more).
    hand_back: bool,
}

#[derive(Debug)]
struct Operation {
    kind: Kind,
    /// Entries of the send queue.
    sends: u32,
    /// What went wrong first.
    error: Option<WorkError>,
    /// The device does not have it (any more).
    hand_back: bool,
}

#[derive(Debug)]
enum Kind {
    Fetch { cookie: u64, data: IoBuf },
    Deliver { cookie: u64, data: Option<IoBuf>, message: Option<IoBuf> },
    Keepalive,
}

/// `wr_id`: bits 63 to 32 the slot in the poll group, 31 a receive, 30 the last request of its operation, 29 to 0 the
/// place in the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct WorkId(u64);

impl WorkId {
    const RECEIVE: u64 = 1 << 31;
    const LAST: u64 = 1 << 30;
    const PLACE: u64 = WorkId::LAST - 1;

    fn receive(slot: u32, place: u32) -> WorkId {
        WorkId(u64::from(slot) << 32 | WorkId::RECEIVE | u64::from(place))
    }

    fn send(slot: u32, place: u32, last: bool) -> WorkId {
        WorkId(u64::from(slot) << 32 | if last { WorkId::LAST } else { 0 } | u64::from(place))
    }

    fn is_receive(self) -> bool {
        self.0 & WorkId::RECEIVE != 0
    }

    fn is_last(self) -> bool {
        self.0 & WorkId::LAST != 0
    }

    fn place(self) -> u32 {
        (self.0 & WorkId::PLACE) as u32 // 30 bits
    }
}

/// The poll group's slot that a completion belongs to.
#[inline]
pub(super) fn slot_of(completion: &ibv_wc) -> u32 {
    (completion.wr_id >> 32) as u32 // the high half
}

/// Most receives or sends of one queue pair: what a [`WorkId`] can number.
pub(super) const SIZE_MAX: u32 = 1 << 24;

impl<P: Port> Work<P> {
    pub(super) fn new(port: P, sizes: QueuePairSizes) -> Work<P> {
        let sends = sizes.sends + KEEPALIVES;
        Work {
            port,
            slot: 0,
            receives: Table::new(sizes.receives),
            operations: Table::new(sends),
            receive_list: ReceiveList::new(sizes.receives),
            send_list: SendList::new(sends),
            sends_taken: 0,
            sends_max: sizes.sends,
            failed: false,
            handing_back: false,
            listed: false,
        }
    }

    pub(super) fn port(&self) -> &P {
        &self.port
    }

    /// Its place in the poll group; nothing is outstanding.
    pub(super) fn set_slot(&mut self, slot: u32) {
        self.slot = slot;
    }

    fn index(&self) -> QpIndex {
        QpIndex(self.slot)
    }

    #[inline]
    pub(super) fn outstanding(&self) -> usize {
        self.receives.len() + self.operations.len()
    }

    #[inline]
    pub(super) fn send_slots_free(&self) -> usize {
        (self.sends_max - self.sends_taken) as usize
    }

    #[inline]
    pub(super) fn post_receive(&mut self, buf: Buf) {
        let local = self.local(buf.addr(), buf.len(), buf.region());
        let place = self.receives.insert(Receive { buf, hand_back: self.failed });
        if self.failed {
            self.handing_back = true;
        } else {
            self.receive_list.push(WorkId::receive(self.slot, place).0, local);
        }
    }

    #[inline]
    pub(super) fn fetch(&mut self, fetch: Fetch<'_>) {
        let Fetch { cookie, data, segments } = fetch;
        assert!(!segments.is_empty(), "a fetch without segments");
        check(segments, data.len());
        let (addr, lkey) = (data.addr(), self.port.lkey(data.region()));
        let Some(place) = self.insert(Kind::Fetch { cookie, data }, segments.len()) else { return };
        let last = segments.len() - 1;
        for (index, segment) in segments.iter().enumerate() {
            let id = WorkId::send(self.slot, place, index == last).0;
            let opcode = Opcode::Read { remote_addr: segment.remote_addr, rkey: segment.rkey };
            let local = Local { addr: addr + u64::from(segment.local_offset), len: segment.len, lkey };
            self.send_list.push(id, opcode, Some(local), index == last);
        }
    }

    #[inline]
    pub(super) fn deliver(&mut self, deliver: Deliver<'_>) {
        let Deliver { cookie, data, segments, message, solicited } = deliver;
        let sends = segments.len() + usize::from(message.is_some());
        assert!(sends > 0, "a deliver of nothing");
        check(segments, data.as_ref().map_or(0, IoBuf::len));
        let (addr, lkey) = data.as_ref().map_or((0, 0), |data| (data.addr(), self.port.lkey(data.region())));
        let send = message.as_ref().map(|message| self.local(message.addr(), message.len(), message.region()));
        let Some(place) = self.insert(Kind::Deliver { cookie, data, message }, sends) else { return };
        for (index, segment) in segments.iter().enumerate() {
            let last = index + 1 == sends;
            let id = WorkId::send(self.slot, place, last).0;
            let opcode = Opcode::Write { remote_addr: segment.remote_addr, rkey: segment.rkey };
            let local = Local { addr: addr + u64::from(segment.local_offset), len: segment.len, lkey };
            self.send_list.push(id, opcode, Some(local), last);
        }
        if let Some(local) = send {
            let opcode = Opcode::Send { solicited, inline: local.len <= self.port.inline_max() };
            self.send_list.push(WorkId::send(self.slot, place, true).0, opcode, Some(local), true);
        }
    }

    /// An RDMA WRITE of no bytes: needs no key (IBTA vol. 1, C9-88), and is acknowledged.
    pub(super) fn keepalive(&mut self) {
        if self.failed || self.operations.len() > 0 {
            return;
        }
        let Some(place) = self.insert(Kind::Keepalive, 0) else { return };
        let opcode = Opcode::Write { remote_addr: 0, rkey: 0 };
        self.send_list.push(WorkId::send(self.slot, place, true).0, opcode, None, true);
    }

    #[inline]
    fn local(&self, addr: u64, len: usize, region: RegionId) -> Local {
        let len = u32::try_from(len).expect("buffers are under 4 GiB");
        Local { addr, len, lkey: self.port.lkey(region) }
    }

    /// Takes a place and send-queue entries for an operation; `None` if the queue pair failed and it is handed back.
    #[inline]
    fn insert(&mut self, kind: Kind, sends: usize) -> Option<u32> {
        assert!(sends <= self.send_slots_free(), "more work than send slots: the caller has to check");
        let sends = sends as u32; // at most `sends_max`
        self.sends_taken += sends;
        let error = self.failed.then_some(WorkError::Flushed);
        let place = self.operations.insert(Operation { kind, sends, error, hand_back: self.failed });
        self.handing_back |= self.failed;
        (!self.failed).then_some(place)
    }

    /// Posts what waits: one call for the receives and one for the rest.
    #[inline]
    pub(super) fn ring(&mut self) {
        if self.receive_list.len() > 0 {
            // SAFETY: the list names buffers whose owners are in the `receives` table until the completion takes them
            // out, so nobody else reaches them; they lie in registered regions, which live as long as their buffers.
            match unsafe { self.port.post_receives(&mut self.receive_list) } {
                Ok(()) => self.receive_list.clear(),
                Err(Refused { first }) => self.receives_refused(first),
            }
        }
        if self.send_list.len() > 0 {
            // SAFETY: as above, with the `operations` table.
            match unsafe { self.port.post_sends(&mut self.send_list) } {
                Ok(()) => self.send_list.clear(),
                Err(Refused { first }) => self.sends_refused(first),
            }
        }
    }

    /// Takes one completion of this queue pair; `None` if it ends nothing that is reported.
    #[inline]
    pub(super) fn complete(&mut self, completion: &ibv_wc) -> Option<Completion> {
        let id = WorkId(completion.wr_id);
        let result = outcome(completion.status);
        if result.is_err() {
            self.fail();
        }
        if id.is_receive() {
            let Some(Receive { buf, .. }) = self.receives.take(id.place()) else { return self.unknown() };
            let qp = self.index();
            return Some(match result {
                // The device refuses messages longer than the buffer (IBTA vol. 1, 9.7.5.2.5).
                Ok(()) => Completion::Received { qp, len: completion.byte_len.min(buf.len() as u32), buf },
                Err(_) => Completion::ReceiveFlushed { qp, buf },
            });
        }
        let Some(operation) = self.operations.get_mut(id.place()) else { return self.unknown() };
        if let Err(error) = result {
            operation.error.get_or_insert(error);
        }
        if !id.is_last() {
            return None;
        }
        // Requests of one send queue complete in order: the last one of an operation ends it.
        let operation = self.operations.take(id.place())?;
        self.sends_taken -= operation.sends;
        operation.into_completion(self.index())
    }

    /// After the control thread marked it, or a completion failed: nothing is posted any more. What waits for the
    /// doorbell is handed back; what the device has is flushed by it.
    pub(super) fn fail(&mut self) {
        if self.failed {
            return;
        }
        self.failed = true;
        self.port.fail(); // once more if it was done: see the module's essay on dying
        self.hand_back_receives(0);
        self.hand_back_operations(0);
        self.receive_list.clear();
        self.send_list.clear();
    }

    /// The device is gone and its completion queue is not polled any more: everything is handed back.
    pub(super) fn hand_back_everything(&mut self) {
        self.fail();
        self.receives.values_mut().for_each(|receive| receive.hand_back = true);
        for operation in self.operations.values_mut() {
            operation.hand_back = true;
            operation.error.get_or_insert(WorkError::Flushed);
        }
        self.handing_back = true;
    }

    /// Reports what is handed back without the device; returns how many.
    pub(super) fn report_handed_back(&mut self, report: &mut dyn FnMut(Completion)) -> usize {
        if !std::mem::take(&mut self.handing_back) {
            return 0;
        }
        let (qp, mut count) = (self.index(), 0);
        self.receives.take_each(
            |receive| receive.hand_back,
            |Receive { buf, .. }| {
                count += 1;
                report(Completion::ReceiveFlushed { qp, buf });
            },
        );
        let sends_taken = &mut self.sends_taken;
        self.operations.take_each(
            |operation| operation.hand_back,
            |operation| {
                *sends_taken -= operation.sends;
                if let Some(completion) = operation.into_completion(qp) {
                    count += 1;
                    report(completion);
                }
            },
        );
        count
    }

    pub(super) fn is_handing_back(&self) -> bool {
        self.handing_back
    }

    /// The device did not take the receives from `first` on.
    #[cold]
    fn receives_refused(&mut self, first: usize) {
        self.hand_back_receives(first);
        self.receive_list.clear(); // or `fail` would hand all of it back
        self.fail();
    }

    /// The device did not take the requests from `first` on. If that cuts an operation in two, a request of its own
    /// ends it: in the error state it is flushed after the part that was taken.
    #[cold]
    fn sends_refused(&mut self, first: usize) {
        let place_of = |index| WorkId(self.send_list.wr_id(index)).place();
        let cut = (0 < first && first < self.send_list.len() && place_of(first - 1) == place_of(first))
            .then(|| place_of(first));
        self.hand_back_operations(first);
        self.send_list.clear(); // or `fail` would hand all of it back
        self.fail();
        let Some(place) = cut else { return };
        if let Some(operation) = self.operations.get_mut(place) {
            operation.hand_back = false;
        }
        let opcode = Opcode::Write { remote_addr: 0, rkey: 0 };
        self.send_list.push(WorkId::send(self.slot, place, true).0, opcode, None, true);
        // SAFETY: the list names no memory.
        if let Err(Refused { first: 0 }) = unsafe { self.port.post_sends(&mut self.send_list) } {
            // Whether the first part still runs cannot be known, so its buffers stay where they are, for ever.
            self.port.broken("posting on a failed queue pair");
        }
        self.send_list.clear();
    }

    /// Marks the receives that wait for the doorbell, from `first` on.
    fn hand_back_receives(&mut self, first: usize) {
        for index in first..self.receive_list.len() {
            if let Some(receive) = self.receives.get_mut(WorkId(self.receive_list.wr_id(index)).place()) {
                receive.hand_back = true;
                self.handing_back = true;
            }
        }
    }

    /// Marks the operations of requests that wait for the doorbell, from `first` on.
    fn hand_back_operations(&mut self, first: usize) {
        for index in first..self.send_list.len() {
            if let Some(operation) = self.operations.get_mut(WorkId(self.send_list.wr_id(index)).place()) {
                operation.hand_back = true;
                operation.error.get_or_insert(WorkError::Flushed);
                self.handing_back = true;
            }
        }
    }

    #[cold]
    fn unknown(&self) -> Option<Completion> {
        self.port.broken("matching a completion with its request");
        None
    }
}

impl Operation {
    fn into_completion(self, qp: QpIndex) -> Option<Completion> {
        let result = self.error.map_or(Ok(()), Err);
        match self.kind {
            Kind::Fetch { cookie, data } => Some(Completion::Fetched { qp, cookie, data, result }),
            Kind::Deliver { cookie, data, message } => {
                Some(Completion::Delivered { qp, cookie, data, message, result })
            }
            Kind::Keepalive => None,
        }
    }
}

/// Send-queue entries beyond what the user asked for: a keepalive never takes one of the user's.
pub(super) const KEEPALIVES: u32 = 1;

/// Segments come from descriptors of a peer, but our own planner placed them in the buffer.
#[inline]
fn check(segments: &[Segment], len: usize) {
    for segment in segments {
        let end = u64::from(segment.local_offset) + u64::from(segment.len);
        assert!(segment.len > 0 && end <= len as u64, "a segment does not lie in its buffer of {len} bytes");
    }
}

/// A completion's status (IBTA vol. 1, 10.7.3.1).
#[inline]
fn outcome(status: ibv_wc_status::Type) -> Result<(), WorkError> {
    use ibv_wc_status::*;
    match status {
        IBV_WC_SUCCESS => Ok(()),
        IBV_WC_WR_FLUSH_ERR => Err(WorkError::Flushed),
        IBV_WC_REM_ACCESS_ERR => Err(WorkError::RemoteAccess),
        IBV_WC_REM_INV_REQ_ERR | IBV_WC_REM_OP_ERR | IBV_WC_REM_ABORT_ERR | IBV_WC_REM_INV_RD_REQ_ERR => {
            Err(WorkError::RemoteRequest)
        }
        IBV_WC_RETRY_EXC_ERR | IBV_WC_RESP_TIMEOUT_ERR => Err(WorkError::RetriesExceeded),
        IBV_WC_RNR_RETRY_EXC_ERR => Err(WorkError::ReceiverNotReady),
        other => Err(WorkError::Local(other)),
    }
}

#[cfg(test)]
mod tests;
