//! The target's data path: the buffers are here, everything else is in the world.

use std::collections::VecDeque;

use mem::{Buf, IoBuf, RegionId};

use super::connection::Request;
use super::random::Random;
use super::world::{GroupEvent, Shared, World};
use crate::{Completion, ConnectionId, Deliver, Fetch, QpIndex, QueuePairSizes, Seed, Segment, WorkError};

/// Most completions that one poll reports.
const COMPLETIONS_PER_POLL: usize = 64;

/// A poll group on its way to its reactor.
#[derive(Debug)]
pub struct PollGroupSeed {
    shared: Shared,
    index: usize,
}

/// The queue pairs of one reactor: [`crate::PollGroup::Sim`].
#[derive(Debug)]
pub struct PollGroup {
    shared: Shared,
    index: usize,
    slots: Vec<Option<GroupQp>>,
    /// Slots with something to hand over at the next ring.
    dirty: Vec<u32>,
    /// What the world reported and was not looked at yet.
    inbox: VecDeque<GroupEvent>,
    /// What a queue pair in error gave back, still to be reported.
    flushed: Vec<Completion>,
    /// Byte vectors to give back to the world.
    used: Vec<Vec<u8>>,
}

/// A queue pair that no poll group has.
#[derive(Debug)]
pub struct QueuePair {
    pub(super) connection: ConnectionId,
    pub(super) group: usize,
    pub(super) sizes: QueuePairSizes,
}

/// One adopted queue pair and the buffers that are out.
#[derive(Debug)]
struct GroupQp {
    queue_pair: QueuePair,
    /// Posted receives, oldest first; the last `receives_queued` wait for the ring.
    receives: VecDeque<Buf>,
    receives_queued: usize,
    /// Posted operations, oldest first; the last `operations_queued` wait for the ring.
    operations: VecDeque<Operation>,
    operations_queued: usize,
    /// The segments of all of them, in the same order; the last `segments_queued` wait for the ring.
    segments: VecDeque<Segment>,
    segments_queued: usize,
    sends_used: usize,
    keepalive: bool,
    dirty: bool,
}

/// An operation and how many of its work requests came back.
#[derive(Debug)]
struct Operation {
    kind: OperationState,
    segments: usize,
    done: usize,
}

#[derive(Debug)]
enum OperationState {
    Fetch { cookie: u64, data: IoBuf },
    Deliver { cookie: u64, data: Option<IoBuf>, message: Option<IoBuf> },
}

impl PollGroupSeed {
    pub(super) fn new(shared: Shared, index: usize) -> PollGroupSeed {
        PollGroupSeed { shared, index }
    }
}

impl Seed for PollGroupSeed {
    type Value = PollGroup;

    fn settle(self) -> PollGroup {
        PollGroup {
            shared: self.shared,
            index: self.index,
            slots: Vec::new(),
            dirty: Vec::new(),
            inbox: VecDeque::new(),
            flushed: Vec::new(),
            used: Vec::new(),
        }
    }
}

impl PollGroup {
    pub(crate) fn adopt(&mut self, queue_pair: QueuePair) -> QpIndex {
        assert_eq!(queue_pair.group, self.index, "a queue pair was given to another poll group than it was made for");
        let slot = self.slots.iter().position(Option::is_none).unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let slot_number = u32::try_from(slot).expect("fewer than 2^32 queue pairs");
        if let Some(qp) = self.shared.lock().target_qp(queue_pair.connection) {
            qp.slot = Some(slot_number);
        }
        let sizes = queue_pair.sizes;
        self.slots[slot] = Some(GroupQp {
            queue_pair,
            receives: VecDeque::with_capacity(sizes.receives as usize),
            receives_queued: 0,
            operations: VecDeque::with_capacity(sizes.sends as usize),
            operations_queued: 0,
            segments: VecDeque::with_capacity(sizes.sends as usize),
            segments_queued: 0,
            sends_used: 0,
            keepalive: false,
            dirty: false,
        });
        QpIndex(slot_number)
    }

    pub(crate) fn release(&mut self, qp: QpIndex) -> QueuePair {
        assert_eq!(self.outstanding(qp), 0, "a queue pair was released while buffers of it were out");
        let released = self.slots[qp.0 as usize].take().expect("adopted");
        self.dirty.retain(|slot| *slot != qp.0);
        if let Some(known) = self.shared.lock().target_qp(released.queue_pair.connection) {
            known.slot = None;
        }
        released.queue_pair
    }

    #[inline]
    pub(crate) fn outstanding(&self, qp: QpIndex) -> usize {
        let qp = self.qp(qp);
        qp.receives.len() + qp.operations.len()
    }

    #[inline]
    pub(crate) fn send_slots_free(&self, qp: QpIndex) -> usize {
        let qp = self.qp(qp);
        qp.queue_pair.sizes.sends as usize - qp.sends_used
    }

    #[inline]
    pub(crate) fn post_receive(&mut self, index: QpIndex, buf: Buf) {
        let qp = self.touch(index);
        let most = qp.queue_pair.sizes.receives as usize;
        assert!(qp.receives.len() < most, "more receives posted than the {most} that the queue pair was made for");
        qp.receives.push_back(buf);
        qp.receives_queued += 1;
    }

    #[inline]
    pub(crate) fn fetch(&mut self, index: QpIndex, fetch: Fetch<'_>) {
        assert!(!fetch.segments.is_empty(), "a fetch of nothing");
        check_segments(fetch.segments, &fetch.data);
        self.queue(index, OperationState::Fetch { cookie: fetch.cookie, data: fetch.data }, fetch.segments);
    }

    #[inline]
    pub(crate) fn deliver(&mut self, index: QpIndex, deliver: Deliver<'_>) {
        assert!(deliver.message.is_some() || !deliver.segments.is_empty(), "a delivery of nothing");
        match &deliver.data {
            Some(data) => check_segments(deliver.segments, data),
            None => assert!(deliver.segments.is_empty(), "a delivery has segments and no data"),
        }
        let Deliver { cookie, data, segments, message, .. } = deliver;
        self.queue(index, OperationState::Deliver { cookie, data, message }, segments);
    }

    /// Queues a WRITE of no bytes that nobody waits for.
    pub(crate) fn keepalive(&mut self, index: QpIndex) {
        let qp = self.touch(index);
        qp.keepalive = qp.operations.is_empty();
    }

    pub(crate) fn ring(&mut self) {
        if self.dirty.is_empty() {
            return;
        }
        let mut world = self.shared.lock();
        // Receives first: a message that is on its way out may bring the answer that needs them.
        for slot in &self.dirty {
            let Some(qp) = &mut self.slots[*slot as usize] else { continue };
            let first = qp.receives.len() - qp.receives_queued;
            for buf in qp.receives.range(first..) {
                world.check_region(self.index, buf.region());
                world.post_receive(qp.queue_pair.connection, buf.len() as u32);
            }
            qp.receives_queued = 0;
        }
        for slot in self.dirty.drain(..) {
            let Some(qp) = &mut self.slots[slot as usize] else { continue };
            let first = qp.operations.len() - qp.operations_queued;
            let mut segments = qp.segments.range(qp.segments.len() - qp.segments_queued..);
            for operation in qp.operations.range(first..) {
                let segments = segments.by_ref().take(operation.segments);
                operation.kind.post(&mut world, self.index, qp.queue_pair.connection, segments);
            }
            (qp.operations_queued, qp.segments_queued) = (0, 0);
            qp.dirty = false;
            if std::mem::take(&mut qp.keepalive) {
                world.post_keepalive(qp.queue_pair.connection);
            }
        }
    }

    #[inline]
    pub(crate) fn poll(&mut self, completion: &mut dyn FnMut(Completion)) -> usize {
        self.look();
        let mut reported = 0;
        while reported < COMPLETIONS_PER_POLL {
            if let Some(done) = self.flushed.pop() {
                completion(done);
                reported += 1;
                continue;
            }
            let Some(event) = self.inbox.pop_front() else { break };
            if let Some(done) = self.complete(event) {
                completion(done);
                reported += 1;
            }
        }
        reported
    }

    /// Lets happen what is due, and takes the reports.
    fn look(&mut self) {
        let mut world = self.shared.lock();
        for spare in self.used.drain(..) {
            world.spares.put(spare);
        }
        world.run_due();
        if self.inbox.is_empty() {
            std::mem::swap(&mut self.inbox, &mut world.groups[self.index].inbox);
        }
    }

    /// Finds the buffers that a report is about; `None` while more reports about the same operation are to come.
    fn complete(&mut self, event: GroupEvent) -> Option<Completion> {
        match event {
            GroupEvent::Received { slot, data } => {
                let mut buf = self.oldest_receive(slot);
                buf.bytes_mut()[..data.len()].copy_from_slice(&data);
                let len = data.len() as u32;
                self.used.push(data);
                Some(Completion::Received { qp: QpIndex(slot), buf, len })
            }
            GroupEvent::Sent { slot, data } => self.sent(slot, data),
            GroupEvent::Flushed { slot, receives, sends, error, shuffle } => {
                self.flush(slot, receives, sends, error);
                let (flushed, mut random) = (&mut self.flushed, Random::new(shuffle));
                (1..flushed.len()).for_each(|last| flushed.swap(last, random.below(last as u64 + 1) as usize));
                None
            }
        }
    }

    fn oldest_receive(&mut self, slot: u32) -> Buf {
        self.known(slot).receives.pop_front().expect("the world gives back what was posted")
    }

    fn sent(&mut self, slot: u32, data: Option<Vec<u8>>) -> Option<Completion> {
        let known = self.known(slot);
        let operation = known.operations.front_mut().expect("the world answers what was posted");
        if let (Some(bytes), OperationState::Fetch { data, .. }) = (&data, &mut operation.kind) {
            let start = known.segments[operation.done].local_offset as usize;
            data.bytes_mut()[start..start + bytes.len()].copy_from_slice(bytes);
        }
        operation.done += 1;
        let complete = operation.done == operation.entries();
        self.used.extend(data);
        if complete { self.oldest_operation(slot, Ok(())) } else { None }
    }

    /// Brings back what the device had: the oldest `receives`, and the operations with the oldest `sends` work requests.
    fn flush(&mut self, slot: u32, receives: usize, mut sends: usize, mut error: Option<WorkError>) {
        for _ in 0..receives {
            let buf = self.oldest_receive(slot);
            self.flushed.push(Completion::ReceiveFlushed { qp: QpIndex(slot), buf });
        }
        while sends > 0 {
            let operation = self.known(slot).operations.front().expect("the world gives back what was posted");
            sends -= operation.entries() - operation.done;
            let completion = self.oldest_operation(slot, Err(error.take().unwrap_or(WorkError::Flushed)));
            self.flushed.extend(completion);
        }
    }

    fn oldest_operation(&mut self, slot: u32, result: Result<(), WorkError>) -> Option<Completion> {
        let known = self.known(slot);
        let operation = known.operations.pop_front()?;
        known.sends_used -= operation.entries();
        known.segments.drain(..operation.segments);
        let qp = QpIndex(slot);
        Some(match operation.kind {
            OperationState::Fetch { cookie, data } => Completion::Fetched { qp, cookie, data, result },
            OperationState::Deliver { cookie, data, message } => {
                Completion::Delivered { qp, cookie, data, message, result }
            }
        })
    }

    /// The queue pair that the world reports about.
    fn known(&mut self, slot: u32) -> &mut GroupQp {
        self.slots[slot as usize].as_mut().expect("a queue pair is released when nothing is out")
    }

    fn queue(&mut self, index: QpIndex, kind: OperationState, segments: &[Segment]) {
        let qp = self.touch(index);
        let operation = Operation { kind, segments: segments.len(), done: 0 };
        let (entries, most) = (operation.entries(), qp.queue_pair.sizes.sends as usize);
        assert!(
            qp.sends_used + entries <= most,
            "send queue overflow: {entries} entries posted with {} of {most} in use",
            qp.sends_used
        );
        qp.sends_used += entries;
        qp.segments.extend(segments);
        qp.segments_queued += segments.len();
        qp.operations.push_back(operation);
        qp.operations_queued += 1;
    }

    fn qp(&self, index: QpIndex) -> &GroupQp {
        self.slots.get(index.0 as usize).and_then(Option::as_ref).expect("adopted")
    }

    /// The queue pair, marked for the next ring.
    fn touch(&mut self, index: QpIndex) -> &mut GroupQp {
        let qp = self.slots.get_mut(index.0 as usize).and_then(Option::as_mut).expect("adopted");
        if !std::mem::replace(&mut qp.dirty, true) {
            self.dirty.push(index.0);
        }
        qp
    }
}

impl Operation {
    /// Send-queue entries that it takes.
    fn entries(&self) -> usize {
        self.segments + usize::from(matches!(&self.kind, OperationState::Deliver { message: Some(_), .. }))
    }
}

impl OperationState {
    /// Hands it to the device, which reads the bytes to be sent at once.
    fn post<'a>(
        &self,
        world: &mut World,
        group: usize,
        connection: ConnectionId,
        segments: impl Iterator<Item = &'a Segment>,
    ) {
        match self {
            OperationState::Fetch { data, .. } => {
                world.check_region(group, data.region());
                for Segment { len, remote_addr: addr, rkey, .. } in segments.copied() {
                    world.post_send(connection, Request::Read { rkey, addr, len }, false);
                }
            }
            OperationState::Deliver { data, message, .. } => {
                if let Some(data) = data {
                    world.check_region(group, data.region());
                    for segment in segments {
                        let start = segment.local_offset as usize;
                        let data = world.spares.copy(&data.bytes()[start..start + segment.len as usize]);
                        let write = Request::Write { rkey: segment.rkey, addr: segment.remote_addr, data };
                        world.post_send(connection, write, false);
                    }
                }
                if let Some(message) = message {
                    world.check_region(group, message.region());
                    let data = world.spares.copy(message.bytes());
                    world.post_send(connection, Request::Send { data }, false);
                }
            }
        }
    }
}

impl World {
    /// A device reaches only memory that was registered with it.
    fn check_region(&self, group: usize, region: RegionId) {
        let control = &self.controls[self.groups[group].control];
        assert!(
            control.regions.contains(&region),
            "a buffer of {region:?} was posted, which Control::add_region never saw"
        );
    }

    fn post_keepalive(&mut self, id: ConnectionId) {
        if self.target_qp(id).is_some_and(|qp| qp.ready && !qp.error && !qp.sending()) {
            self.post_send(id, Request::Write { rkey: 0, addr: 0, data: Vec::new() }, true);
        }
    }
}

fn check_segments(segments: &[Segment], data: &IoBuf) {
    for segment in segments {
        let end = u64::from(segment.local_offset) + u64::from(segment.len);
        assert!(segment.len > 0, "a segment of no bytes");
        assert!(end <= data.len() as u64, "{segment:?} does not lie in a buffer of {} bytes", data.len());
    }
}
