//! The data path of one reactor, dispatched over the closed set of back ends.

use mem::Buf;

use crate::{Completion, Deliver, Fetch, Homebound, QpIndex, sim, verbs};

/// A queue pair on its way between [`crate::Control`] and a [`PollGroup`]; nothing is outstanding on it.
#[derive(Debug)]
pub enum QueuePair {
    /// rdma-core.
    Verbs(verbs::QueuePair),
    /// Both ends in one process.
    Sim(sim::QueuePair),
}

/// The queue pairs and completions of one reactor. It can be sent to the reactor's thread, and belongs to the thread
/// that first uses it.
///
/// # Panics
/// All methods, on an index that is not adopted and on use by a second thread: both would be our own bugs.
#[derive(Debug)]
pub enum PollGroup {
    /// rdma-core.
    Verbs(Homebound<verbs::PollGroupSeed>),
    /// Both ends in one process.
    Sim(Homebound<sim::PollGroupSeed>),
}

impl PollGroup {
    /// Takes a queue pair over. Its index is valid until it is released.
    pub fn adopt(&mut self, queue_pair: QueuePair) -> QpIndex {
        match self {
            PollGroup::Verbs(group) => group.get_mut().adopt(queue_pair.into_verbs()),
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
            PollGroup::Sim(group) => QueuePair::Sim(group.get_mut().release(qp)),
        }
    }

    /// Receives and operations that have not come back yet, the ones queued for the next [`PollGroup::ring`] included.
    #[inline]
    pub fn outstanding(&self, qp: QpIndex) -> usize {
        match self {
            PollGroup::Verbs(group) => group.get().expect("adopted").outstanding(qp),
            PollGroup::Sim(group) => group.get().expect("adopted").outstanding(qp),
        }
    }

    /// Send-queue entries that are free now. A [`Fetch`] takes one per segment; a [`Deliver`] one per segment and one
    /// for its message. They come back with the completion.
    #[inline]
    pub fn send_slots_free(&self, qp: QpIndex) -> usize {
        match self {
            PollGroup::Verbs(group) => group.get().expect("adopted").send_slots_free(qp),
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
            PollGroup::Sim(group) => group.get_mut().deliver(qp, deliver),
        }
    }

    /// Queues a message to the peer that its program does not notice (an RDMA WRITE of no bytes), so that a peer that is
    /// gone is found out: the queue pair then goes into error. Does nothing while operations are outstanding, which
    /// find that out themselves.
    pub fn keepalive(&mut self, qp: QpIndex) {
        match self {
            PollGroup::Verbs(group) => group.get_mut().keepalive(qp),
            PollGroup::Sim(group) => group.get_mut().keepalive(qp),
        }
    }

    /// Hands everything queued since the last call to the devices: one doorbell per queue pair and direction.
    #[inline]
    pub fn ring(&mut self) {
        match self {
            PollGroup::Verbs(group) => group.get_mut().ring(),
            PollGroup::Sim(group) => group.get_mut().ring(),
        }
    }

    /// Reports what completed, a bounded number at a time; returns how many completions were reported.
    #[inline]
    pub fn poll(&mut self, completion: &mut dyn FnMut(Completion)) -> usize {
        match self {
            PollGroup::Verbs(group) => group.get_mut().poll(completion),
            PollGroup::Sim(group) => group.get_mut().poll(completion),
        }
    }
}

impl QueuePair {
    pub(crate) fn into_verbs(self) -> verbs::QueuePair {
        match self {
            QueuePair::Verbs(queue_pair) => queue_pair,
            QueuePair::Sim(_) => mixed(),
        }
    }

    pub(crate) fn into_sim(self) -> sim::QueuePair {
        match self {
            QueuePair::Sim(queue_pair) => queue_pair,
            QueuePair::Verbs(_) => mixed(),
        }
    }
}

#[cold]
fn mixed() -> ! {
    panic!("a queue pair of one fabric was given to another")
}
