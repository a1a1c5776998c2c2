//! The data path of one reactor, dispatched over the closed set of back ends.

use mem::{Buf, IoBuf};
use reactor::{WakeSources, Waker};

use crate::{Access, Completion, Deliver, ExposureId, Fetch, Homebound, QpIndex, RemoteMemory, roce, sim, verbs};

/// A queue pair on its way between [`crate::Control`] and a [`PollGroup`]; nothing is outstanding on it.
#[derive(Debug)]
pub enum QueuePair {
    /// rdma-core.
    Verbs(verbs::QueuePair),
    /// RoCEv2 of our own.
    Roce(roce::QueuePair),
    /// Both ends in one process.
    Sim(sim::QueuePair),
}

/// The queue pairs and completions of one reactor. It can be sent to the reactor's thread, and belongs to the thread
/// that first uses it.
///
/// # Panics
/// All methods, on an index that is not adopted and on use by a second thread: both would be our own bugs.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one per reactor")]
pub enum PollGroup {
    /// rdma-core.
    Verbs(Homebound<verbs::PollGroupSeed>),
    /// RoCEv2 of our own.
    Roce(Homebound<roce::PollGroupSeed>),
    /// Both ends in one process.
    Sim(Homebound<sim::PollGroupSeed>),
}

impl PollGroup {
    /// Takes a queue pair over. Its index is valid until it is released.
    pub fn adopt(&mut self, queue_pair: QueuePair) -> QpIndex {
        match self {
            PollGroup::Verbs(group) => group.get_mut().adopt(queue_pair.into_verbs()),
            PollGroup::Roce(group) => group.get_mut().adopt(queue_pair.into_roce()),
            PollGroup::Sim(group) => group.get_mut().adopt(queue_pair.into_sim()),
        }
    }

    /// Gives a queue pair up, for [`crate::Control::destroy`].
    ///
    /// # Panics
    /// If [`PollGroup::outstanding`] is not 0.
    pub fn release(&mut self, qp: QpIndex) -> QueuePair {
        match self {
            PollGroup::Verbs(group) => QueuePair::Verbs(group.get_mut().release(qp)),
            PollGroup::Roce(group) => QueuePair::Roce(group.get_mut().release(qp)),
            PollGroup::Sim(group) => QueuePair::Sim(group.get_mut().release(qp)),
        }
    }

    /// Receives and operations that have not come back yet, the ones queued for the next [`PollGroup::ring`] included.
    #[inline]
    pub fn outstanding(&self, qp: QpIndex) -> usize {
        match self {
            PollGroup::Verbs(group) => group.get().expect("adopted").outstanding(qp),
            PollGroup::Roce(group) => group.get().expect("adopted").outstanding(qp),
            PollGroup::Sim(group) => group.get().expect("adopted").outstanding(qp),
        }
    }

    /// Send-queue entries that are free now. A [`Fetch`] takes one per segment; a [`Deliver`] one per segment and one
    /// for its message. They come back with the completion.
    #[inline]
    pub fn send_slots_free(&self, qp: QpIndex) -> usize {
        match self {
            PollGroup::Verbs(group) => group.get().expect("adopted").send_slots_free(qp),
            PollGroup::Roce(group) => group.get().expect("adopted").send_slots_free(qp),
            PollGroup::Sim(group) => group.get().expect("adopted").send_slots_free(qp),
        }
    }

    /// Queues a receive into the whole buffer.
    ///
    /// # Panics
    /// If more receives would be posted than the queue pair was made for.
    #[inline]
    pub fn post_receive(&mut self, qp: QpIndex, buf: Buf) {
        match self {
            PollGroup::Verbs(group) => group.get_mut().post_receive(qp, buf),
            PollGroup::Roce(group) => group.get_mut().post_receive(qp, buf),
            PollGroup::Sim(group) => group.get_mut().post_receive(qp, buf),
        }
    }

    /// Queues RDMA READs.
    ///
    /// # Panics
    /// If it needs more than [`PollGroup::send_slots_free`], has no segment, or one that does not lie in its data.
    #[inline]
    pub fn fetch(&mut self, qp: QpIndex, fetch: Fetch<'_>) {
        match self {
            PollGroup::Verbs(group) => group.get_mut().fetch(qp, fetch),
            PollGroup::Roce(group) => group.get_mut().fetch(qp, fetch),
            PollGroup::Sim(group) => group.get_mut().fetch(qp, fetch),
        }
    }

    /// Queues RDMA WRITEs and a message.
    ///
    /// # Panics
    /// If it needs more than [`PollGroup::send_slots_free`], is empty, or has a segment that does not lie in its data.
    #[inline]
    pub fn deliver(&mut self, qp: QpIndex, deliver: Deliver<'_>) {
        match self {
            PollGroup::Verbs(group) => group.get_mut().deliver(qp, deliver),
            PollGroup::Roce(group) => group.get_mut().deliver(qp, deliver),
            PollGroup::Sim(group) => group.get_mut().deliver(qp, deliver),
        }
    }

    /// Queues a message to the peer that its program does not notice (an RDMA WRITE of no bytes), so that a peer that is
    /// gone is found out: the queue pair then goes into error. Does nothing while operations are outstanding, which
    /// find that out themselves.
    pub fn keepalive(&mut self, qp: QpIndex) {
        match self {
            PollGroup::Verbs(group) => group.get_mut().keepalive(qp),
            PollGroup::Roce(group) => group.get_mut().keepalive(qp),
            PollGroup::Sim(group) => group.get_mut().keepalive(qp),
        }
    }

    /// Hands everything queued since the last call to the devices: one doorbell per queue pair and direction.
    #[inline]
    pub fn ring(&mut self) {
        match self {
            PollGroup::Verbs(group) => group.get_mut().ring(),
            PollGroup::Roce(group) => group.get_mut().ring(),
            PollGroup::Sim(group) => group.get_mut().ring(),
        }
    }

    /// Reports what completed, a bounded number at a time; returns how many completions were reported. `now_ns` is any
    /// monotonic clock in nanoseconds; what is posted until the next call happens at that time.
    #[inline]
    pub fn poll(&mut self, now_ns: u64, completion: &mut dyn FnMut(Completion)) -> usize {
        match self {
            PollGroup::Verbs(group) => group.get_mut().poll(completion),
            PollGroup::Roce(group) => group.get_mut().poll(now_ns, completion),
            PollGroup::Sim(group) => group.get_mut().poll(completion),
        }
    }

    /// The reactor is going to sleep, and polls once more before: from now on completions make a file of [`PollGroup::wake_sources`]
    /// readable, and what other threads leave for this group wakes by `waker`. Makes system calls.
    pub fn arm(&mut self, waker: &Waker) {
        match self {
            PollGroup::Verbs(group) => group.get_mut().arm(waker),
            PollGroup::Roce(group) => group.get_mut().arm(waker),
            PollGroup::Sim(_) => {}
        }
    }

    /// What ends the sleep that comes now; moments are by the clock that polling is given.
    pub fn wake_sources<'a>(&'a self, sources: &mut WakeSources<'a>) {
        match self {
            PollGroup::Verbs(group) => group.get().map_or((), |group| group.wake_sources(sources)),
            PollGroup::Roce(group) => group.get().map_or((), |group| group.wake_sources(sources)),
            PollGroup::Sim(_) => sources.look_often(),
        }
    }

    /// Lets the peer of one queue pair read or write memory by RDMA, until it is withdrawn: what an initiator does for
    /// each command. Its region was named to [`crate::Control::add_exposed_region`].
    ///
    /// Over `verbs` this is a promise between the two ends, kept by no device: see there.
    ///
    /// # Panics
    /// On a fabric that makes no connections by itself (see [`crate::Control::connect`]).
    #[inline]
    pub fn expose(&mut self, qp: QpIndex, data: IoBuf, access: Access) -> (RemoteMemory, ExposureId) {
        match self {
            PollGroup::Roce(group) => {
                let memory = group.get_mut().expose(qp, data, access);
                (memory, ExposureId(memory.rkey))
            }
            PollGroup::Verbs(group) => group.get_mut().expose(qp, data),
            PollGroup::Sim(_) => no_initiator(),
        }
    }

    /// Takes exposed memory back. `None` if it is not exposed.
    ///
    /// # Panics
    /// As [`PollGroup::expose`].
    #[inline]
    pub fn withdraw(&mut self, exposure: ExposureId) -> Option<IoBuf> {
        match self {
            PollGroup::Roce(group) => group.get_mut().withdraw(exposure.0),
            PollGroup::Verbs(group) => group.get_mut().withdraw(exposure),
            PollGroup::Sim(_) => no_initiator(),
        }
    }
}

impl QueuePair {
    pub(crate) fn into_verbs(self) -> verbs::QueuePair {
        match self {
            QueuePair::Verbs(queue_pair) => queue_pair,
            QueuePair::Roce(_) | QueuePair::Sim(_) => mixed(),
        }
    }

    pub(crate) fn into_roce(self) -> roce::QueuePair {
        match self {
            QueuePair::Roce(queue_pair) => queue_pair,
            QueuePair::Verbs(_) | QueuePair::Sim(_) => mixed(),
        }
    }

    pub(crate) fn into_sim(self) -> sim::QueuePair {
        match self {
            QueuePair::Sim(queue_pair) => queue_pair,
            QueuePair::Verbs(_) | QueuePair::Roce(_) => mixed(),
        }
    }
}

#[cold]
fn mixed() -> ! {
    panic!("a queue pair of one fabric was given to another")
}

#[cold]
fn no_initiator() -> ! {
    panic!("this fabric makes no connections by itself, so nothing of it can be exposed")
}
