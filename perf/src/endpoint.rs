//! One core's end of the fabric that was chosen: a poll group of the crate `fabric`, or the initiator's side of the network in
//! this process. What a [`Channel`](crate::initiator::Channel) is used with.

use fabric::sim::Host;
use fabric::{Access, Completion, Deliver, ExposureId, PollGroup, QpIndex, RemoteMemory};
use mem::{Buf, IoBuf};

use crate::in_process;

/// The queue pairs and exposed memory of one core.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one per core")]
pub enum Endpoint {
    /// Over verbs or RoCE.
    Fabric(PollGroup),
    /// To the target in this process.
    InProcess(in_process::Endpoint),
}

/// An endpoint on its way to its core's thread, which makes it by [`EndpointSeed::settle`].
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one per core")]
pub enum EndpointSeed {
    /// Over verbs or RoCE.
    Fabric(PollGroup),
    /// To the target in this process.
    InProcess(Host),
}

impl EndpointSeed {
    /// The endpoint, for the calling thread.
    pub fn settle(self) -> Endpoint {
        match self {
            EndpointSeed::Fabric(group) => Endpoint::Fabric(group),
            EndpointSeed::InProcess(host) => Endpoint::InProcess(in_process::Endpoint::new(host)),
        }
    }
}

/// A queue pair on its way between [`Connector`](crate::connector::Connector) and an [`Endpoint`].
#[derive(Debug)]
pub enum QueuePair {
    /// Over verbs or RoCE.
    Fabric(fabric::QueuePair),
    /// To the target in this process.
    InProcess(in_process::QueuePair),
}

impl Endpoint {
    /// Takes a queue pair over. Its index is valid until it is released.
    pub fn adopt(&mut self, queue_pair: QueuePair) -> QpIndex {
        match (self, queue_pair) {
            (Endpoint::Fabric(group), QueuePair::Fabric(queue_pair)) => group.adopt(queue_pair),
            (Endpoint::InProcess(endpoint), QueuePair::InProcess(queue_pair)) => endpoint.adopt(queue_pair),
            _ => panic!("a queue pair of one fabric was given to another"),
        }
    }

    /// Gives a queue pair up on which nothing is outstanding.
    pub fn release(&mut self, qp: QpIndex) -> QueuePair {
        match self {
            Endpoint::Fabric(group) => QueuePair::Fabric(group.release(qp)),
            Endpoint::InProcess(endpoint) => QueuePair::InProcess(endpoint.release(qp)),
        }
    }

    /// Receives and messages that have not come back yet.
    pub fn outstanding(&self, qp: QpIndex) -> usize {
        match self {
            Endpoint::Fabric(group) => group.outstanding(qp),
            Endpoint::InProcess(endpoint) => endpoint.outstanding(qp),
        }
    }

    /// Queues a receive into the whole buffer.
    #[inline]
    pub fn post_receive(&mut self, qp: QpIndex, buf: Buf) {
        match self {
            Endpoint::Fabric(group) => group.post_receive(qp, buf),
            Endpoint::InProcess(endpoint) => endpoint.post_receive(qp, buf),
        }
    }

    /// Queues a message; its buffer comes back in [`Completion::Delivered`].
    #[inline]
    pub fn send(&mut self, qp: QpIndex, message: IoBuf) {
        match self {
            Endpoint::Fabric(group) => {
                let message = Some(message);
                group.deliver(qp, Deliver { cookie: 0, data: None, segments: &[], message, solicited: false });
            }
            Endpoint::InProcess(endpoint) => endpoint.send(qp, message),
        }
    }

    /// Lets the target reach memory until it is withdrawn.
    #[inline]
    pub fn expose(&mut self, qp: QpIndex, data: IoBuf, access: Access) -> (RemoteMemory, ExposureId) {
        match self {
            Endpoint::Fabric(group) => group.expose(qp, data, access),
            Endpoint::InProcess(endpoint) => endpoint.expose(data, access),
        }
    }

    /// Takes exposed memory back; `None` if it is not exposed.
    #[inline]
    pub fn withdraw(&mut self, exposure: ExposureId) -> Option<IoBuf> {
        match self {
            Endpoint::Fabric(group) => group.withdraw(exposure),
            Endpoint::InProcess(endpoint) => endpoint.withdraw(exposure),
        }
    }

    /// Hands everything queued to the device.
    #[inline]
    pub fn ring(&mut self) {
        if let Endpoint::Fabric(group) = self {
            group.ring();
        }
    }

    /// Reports what completed, a bounded number at a time; how many that were.
    #[inline]
    pub fn poll(&mut self, now_ns: u64, completion: &mut dyn FnMut(Completion)) -> usize {
        match self {
            Endpoint::Fabric(group) => group.poll(now_ns, completion),
            Endpoint::InProcess(endpoint) => endpoint.poll(completion),
        }
    }
}
