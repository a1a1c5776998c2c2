//! What the simulation knows of one connection: both ends and the links between them.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::initiator::InitiatorEvent;
use crate::{ConnectionId, ListenerId, PrivateData, WorkError};

/// One connection, from the initiator's `connect` until both ends have let go of it.
///
/// ```text
/// Requesting ─ request arrives ─► Requested ─ accept ─► Accepted          (the ends then die on their own)
///     │ no listener                   │ reject, disconnect
///     └───────────► Over ◄────────────┘
/// ```
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    pub(super) phase: Phase,
    /// Index into the world's devices, set when the request arrives.
    pub(super) device: usize,
    pub(super) peer: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) request_data: PrivateData,
    pub(super) reply_data: PrivateData,
    /// Nothing gets through any more, either way.
    pub(super) dead: bool,
    pub(super) target: TargetEnd,
    pub(super) initiator: InitiatorEnd,
    /// The initiator's SENDs.
    pub(super) to_target: Link<Vec<u8>>,
    /// The target's requests.
    pub(super) to_initiator: Link<Request>,
    /// Answers to the target's requests.
    pub(super) replies: Link<Reply>,
}

/// How far the connection manager's handshake went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// The request is under way.
    Requesting,
    /// The target's control has the request.
    Requested,
    /// The target accepted; whether the reply arrived is the initiator end's state.
    Accepted,
    /// Refused, or given up before it was accepted.
    Over,
}

/// The target's end.
#[derive(Debug)]
pub(super) struct TargetEnd {
    /// Index of the control that has the connection, from the request until `destroy`.
    pub(super) control: Option<usize>,
    pub(super) listener: ListenerId,
    /// A `Disconnected` event was reported.
    pub(super) told: bool,
    /// The initiator gave up before it was accepted, and the target has not heard of it.
    pub(super) given_up: bool,
    /// The target called `disconnect`.
    pub(super) leaving: bool,
    pub(super) qp: Option<TargetQp>,
    /// Arrival time of the last message of the connection manager: they keep their order.
    pub(super) cm_due: u64,
}

/// The target's queue pair: the part of it that the device knows. The buffers are with the poll group.
#[derive(Debug)]
pub(super) struct TargetQp {
    /// Index of the poll group in the world.
    pub(super) group: usize,
    /// Place in that group, while it has adopted the queue pair.
    pub(super) slot: Option<u32>,
    /// Accepted: it may send (IBTA state RTS).
    pub(super) ready: bool,
    /// IBTA state Error.
    pub(super) error: bool,
    /// The error of the operation that brought it there.
    pub(super) first_error: Option<WorkError>,
    /// A request did not get through, so none behind it does: a device fails it when its turn comes.
    pub(super) unheard: bool,
    /// Lengths of the posted receives.
    pub(super) receives: VecDeque<u32>,
    /// Posted, not on the wire yet: a READ that is one too many holds up everything behind it.
    pub(super) waiting: VecDeque<Work>,
    /// On the wire, in order.
    pub(super) unacknowledged: VecDeque<Unacknowledged>,
    pub(super) reads_outstanding: u32,
    pub(super) reads_max: u32,
}

/// A work request of the target.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) request: Request,
    /// No poll group waits for its completion (keepalive).
    pub(super) silent: bool,
}

/// A work request of the target that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unacknowledged {
    pub(super) read: bool,
    pub(super) silent: bool,
    /// It fails, whatever the answer is.
    pub(super) fault: Option<WorkError>,
}

/// The initiator's end.
#[derive(Debug)]
pub(super) struct InitiatorEnd {
    pub(super) state: InitiatorState,
    /// The test still has its handle.
    pub(super) held: bool,
    pub(super) host: u32,
    pub(super) events: VecDeque<InitiatorEvent>,
    pub(super) inbox: VecDeque<Vec<u8>>,
    pub(super) receives: u32,
    pub(super) receive_len: u32,
    pub(super) reads_served: u8,
    /// Answers in the order of the requests: a READ that is not carried out yet holds back what comes after it.
    pub(super) answers: VecDeque<Answer>,
    /// When the last READ is carried out: they keep their order.
    pub(super) read_due: u64,
    pub(super) cm_due: u64,
}

/// State of the initiator's queue pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum InitiatorState {
    /// The reply has not arrived; requests of the target wait.
    Connecting,
    /// Live.
    Connected,
    /// In error, and the target has not been told.
    Failed,
    /// Disconnected, refused or gone.
    Closed,
}

/// An answer of the initiator's device.
#[derive(Debug)]
pub(super) enum Answer {
    /// A READ to be carried out.
    Pending {
        rkey: u32,
        addr: u64,
        len: u32,
    },
    Ready(Reply),
}

/// What the target's device sends.
#[derive(Debug)]
pub(super) enum Request {
    Read {
        rkey: u32,
        addr: u64,
        len: u32,
    },
    Write {
        rkey: u32,
        addr: u64,
        data: Vec<u8>,
    },
    Send {
        data: Vec<u8>,
    },
    /// Takes the place of a request that fails before it is carried out; answered, nothing else.
    Skipped,
}

/// What it gets back.
#[derive(Debug)]
pub(super) enum Reply {
    Done,
    Data(Vec<u8>),
    Refused(WorkError),
}

/// One direction, in order.
#[derive(Debug)]
pub(super) struct Link<T> {
    pub(super) queue: VecDeque<(u64, T)>,
    /// Arrival time of the last thing put on it.
    pub(super) due: u64,
    /// The first message waits for a receive to be posted.
    pub(super) not_ready: bool,
    /// Messages delivered: tells one wait for a receive from the next.
    pub(super) delivered: u64,
}

impl<T> Link<T> {
    pub(super) fn new() -> Link<T> {
        Link { queue: VecDeque::new(), due: 0, not_ready: false, delivered: 0 }
    }

    /// Puts something on the link. The time at which to look at the link, unless somebody will look at that time anyway.
    pub(super) fn put(&mut self, at: u64, thing: T) -> Option<u64> {
        let covered = !self.queue.is_empty() && at <= self.due;
        self.due = self.due.max(at);
        self.queue.push_back((self.due, thing));
        (!covered).then_some(self.due)
    }

    /// The first thing if it has arrived.
    pub(super) fn arrived(&self, now: u64) -> Option<&T> {
        self.queue.front().and_then(|(due, thing)| (*due <= now).then_some(thing))
    }

    pub(super) fn take(&mut self) -> Option<T> {
        let (_, thing) = self.queue.pop_front()?;
        self.not_ready = false;
        self.delivered += 1;
        Some(thing)
    }
}

impl TargetQp {
    /// Whether anything that it sent, or is to send, is not answered.
    pub(super) fn sending(&self) -> bool {
        !self.unacknowledged.is_empty() || !self.waiting.is_empty()
    }
}

/// Connections by id. The low half of an id is a place in the table, the high half counts its uses, so that an event for a
/// connection that is gone finds nothing.
#[derive(Debug, Default)]
pub(super) struct Connections {
    places: Vec<(u32, Option<Box<Connection>>)>,
    free: Vec<u32>,
}

impl Connections {
    pub(super) fn insert(&mut self, make: impl FnOnce(ConnectionId) -> Connection) -> ConnectionId {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push((0, None));
            u32::try_from(self.places.len() - 1).expect("fewer than 2^32 connections")
        });
        let (uses, connection) = &mut self.places[place as usize];
        *uses += 1;
        let id = ConnectionId(u64::from(*uses) << 32 | u64::from(place));
        *connection = Some(Box::new(make(id)));
        id
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let (uses, connection) = self.places.get_mut(id.0 as u32 as usize)?;
        if u64::from(*uses) == id.0 >> 32 { connection.as_deref_mut() } else { None }
    }

    pub(super) fn remove(&mut self, id: ConnectionId) {
        if self.get_mut(id).is_some() {
            self.places[id.0 as u32 as usize].1 = None;
            self.free.push(id.0 as u32);
        }
    }

    pub(super) fn ids(&self) -> Vec<ConnectionId> {
        self.places.iter().filter_map(|(_, connection)| connection.as_ref().map(|c| c.id)).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }
}
