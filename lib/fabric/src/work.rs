//! What passes between the transport and a fabric: operations, completions, connection events.

use std::net::{IpAddr, SocketAddr};

use arrayvec::ArrayVec;
use mem::{Buf, IoBuf};

use crate::GroupId;

/// Most segments in one [`Fetch`] or [`Deliver`]; longer transfers are posted piece by piece.
pub const SEGMENTS_MAX: usize = 64;

/// Most private data a connection event carries, in bytes (an IB CM REQ carries 92, a REP 196).
pub const PRIVATE_DATA_MAX: usize = 256;

/// Private data of a connection request or reply.
pub type PrivateData = ArrayVec<u8, PRIVATE_DATA_MAX>;

/// One contiguous transfer between a local buffer and memory of the initiator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Start within the local [`IoBuf`], in bytes.
    pub local_offset: u32,
    /// Length in bytes, never 0.
    pub len: u32,
    /// Address in the initiator's memory, as its descriptor gave it.
    pub remote_addr: u64,
    /// The initiator's key for it.
    pub rkey: u32,
}

/// Segments of one operation.
pub type Segments = ArrayVec<Segment, SEGMENTS_MAX>;

/// RDMA READs from the initiator into one buffer: one completion when all arrived.
#[derive(Debug)]
pub struct Fetch<'a> {
    /// Comes back in [`Completion::Fetched`].
    pub cookie: u64,
    /// Filled; comes back.
    pub data: IoBuf,
    /// Pieces, each within `data`; at least one.
    pub segments: &'a [Segment],
}

/// RDMA WRITEs from one buffer to the initiator, followed on the same queue pair by an optional SEND, all in one doorbell:
/// one completion when the last of them is done. The initiator sees the data before the SEND (IBTA RC ordering).
#[derive(Debug)]
pub struct Deliver<'a> {
    /// Comes back in [`Completion::Delivered`].
    pub cookie: u64,
    /// Source of the writes; `None` if there are none.
    pub data: Option<IoBuf>,
    /// Pieces of `data`; may be empty.
    pub segments: &'a [Segment],
    /// The message to send after the writes; the whole [`IoBuf`] is sent.
    pub message: Option<IoBuf>,
    /// Sets the solicited event bit of the SEND.
    pub solicited: bool,
}

/// A queue pair within one poll group.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct QpIndex(pub u32);

/// What a poll group reports. Buffers come back here and nowhere else.
#[derive(Debug)]
pub enum Completion {
    /// A posted receive was filled with `len` bytes.
    Received {
        /// On which queue pair.
        qp: QpIndex,
        /// The buffer; its first `len` bytes are the message.
        buf: Buf,
        /// Bytes received.
        len: u32,
    },
    /// A posted receive came back unused: the queue pair is in error.
    ReceiveFlushed {
        /// On which queue pair.
        qp: QpIndex,
        /// The buffer.
        buf: Buf,
    },
    /// A [`Fetch`] ended.
    Fetched {
        /// On which queue pair.
        qp: QpIndex,
        /// The operation's cookie.
        cookie: u64,
        /// Its buffer.
        data: IoBuf,
        /// `Err`: the queue pair is in error; the content of `data` is undefined.
        result: Result<(), WorkError>,
    },
    /// A [`Deliver`] ended.
    Delivered {
        /// On which queue pair.
        qp: QpIndex,
        /// The operation's cookie.
        cookie: u64,
        /// Source of the writes.
        data: Option<IoBuf>,
        /// The message's buffer.
        message: Option<IoBuf>,
        /// `Err`: the queue pair is in error.
        result: Result<(), WorkError>,
    },
}

/// Why a work request failed (IBTA vol. 1, 10.7.3.1: completion return status); any failure leaves the queue pair in error.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WorkError {
    /// Flushed: the queue pair was in error already.
    #[error("flushed")]
    Flushed,
    /// The peer's memory refused the access (key, bounds or rights).
    #[error("remote access error")]
    RemoteAccess,
    /// The peer called the request invalid, or could not do it.
    #[error("remote invalid request or operation error")]
    RemoteRequest,
    /// The peer did not answer within the retries.
    #[error("transport retries exceeded: the peer does not answer")]
    RetriesExceeded,
    /// The peer had no receive posted, for longer than the retries.
    #[error("receiver-not-ready retries exceeded: the peer has no receive posted")]
    ReceiverNotReady,
    /// A local length, protection or operation error: our own bug or a device fault.
    #[error("local error, provider's completion status {0}")]
    Local(u32),
}

/// A listener of one [`crate::Control`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ListenerId(pub u64);

/// A connection of one [`crate::Control`], from its request until [`crate::Control::destroy`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ConnectionId(pub u64);

/// A connection request: everything that the login decision needs.
#[derive(Clone, Debug)]
pub struct ConnectRequest {
    /// Where it came in.
    pub listener: ListenerId,
    /// Private data as the initiator sent it (CM header removed); the CM may have padded it with zeroes.
    pub private_data: PrivateData,
    /// The initiator's address.
    pub peer: SocketAddr,
    /// The address it connected to.
    pub local: SocketAddr,
    /// RDMA READs the initiator serves at once (IBTA CM REQ: responder resources).
    pub reads_served: u8,
    /// Most RDMA READs our device can have outstanding on one queue pair.
    pub device_reads_max: u8,
    /// Name of the RDMA device, for logs.
    pub device: String,
}

/// What happens on the connection manager's side.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "control path: passed by reference to a closure, never stored in bulk")]
pub enum ControlEvent {
    /// An initiator asks for a connection: answer with `create_queue_pair` + `accept`, or with `reject`, then `destroy`.
    ConnectRequest {
        /// The new connection.
        connection: ConnectionId,
        /// What it asks.
        request: ConnectRequest,
    },
    /// The initiator completed the handshake. Messages may have arrived before.
    Established {
        /// The connection.
        connection: ConnectionId,
    },
    /// The peer accepted what [`crate::Control::connect`] asked for.
    Connected {
        /// The connection.
        connection: ConnectionId,
        /// The reply's private data (SRP_LOGIN_RSP).
        private_data: PrivateData,
    },
    /// The peer refused what [`crate::Control::connect`] asked for; the queue pair is in error. `destroy` it.
    Rejected {
        /// The connection.
        connection: ConnectionId,
        /// The connection manager's reason (IBTA vol. 1, 12.6.7.2); 28: the consumer refused.
        reason: u16,
        /// The consumer's private data (SRP_LOGIN_REJ).
        private_data: PrivateData,
    },
    /// The connection ended or never came to be; its queue pair is in error. `destroy` it once its poll group has let go of the
    /// queue pair.
    Disconnected {
        /// The connection.
        connection: ConnectionId,
        /// For the log: who ended it and why.
        reason: &'static str,
    },
    /// A device appeared and is ready for use.
    DeviceAdded {
        /// Its name.
        device: String,
    },
    /// A device went away; each of its connections gets its own `Disconnected`.
    DeviceRemoved {
        /// Its name.
        device: String,
    },
}

impl ControlEvent {
    /// The connection that it is about.
    pub fn connection(&self) -> Option<ConnectionId> {
        match self {
            ControlEvent::ConnectRequest { connection, .. }
            | ControlEvent::Established { connection }
            | ControlEvent::Connected { connection, .. }
            | ControlEvent::Rejected { connection, .. }
            | ControlEvent::Disconnected { connection, .. } => Some(*connection),
            ControlEvent::DeviceAdded { .. } | ControlEvent::DeviceRemoved { .. } => None,
        }
    }
}

/// What a peer may do with exposed memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access {
    /// RDMA READ.
    pub read: bool,
    /// RDMA WRITE.
    pub write: bool,
}

/// How a peer names exposed memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RemoteMemory {
    /// Address of the first byte.
    pub addr: u64,
    /// Key.
    pub rkey: u32,
    /// Length in bytes.
    pub len: u32,
}

/// How its owner names exposed memory, to take it back: a number of one [`crate::PollGroup`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ExposureId(pub u32);

/// Sizes of a queue pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueuePairSizes {
    /// Most receives posted at once.
    pub receives: u32,
    /// Most send-queue entries (READs, WRITEs and SENDs) outstanding at once; at least [`SEGMENTS_MAX`] + 1.
    pub sends: u32,
}

/// A connection to be made by an initiator.
#[derive(Clone, Debug)]
pub struct Connect {
    /// Our address.
    pub local: IpAddr,
    /// Where the target listens.
    pub to: SocketAddr,
    /// The poll group that will have the queue pair.
    pub group: GroupId,
    /// Its sizes.
    pub sizes: QueuePairSizes,
    /// RDMA READs that we serve at once.
    pub reads_served: u8,
    /// The request's private data (SRP_LOGIN_REQ), at most 56 bytes.
    pub private_data: PrivateData,
}

/// How a connection is accepted.
#[derive(Clone, Debug)]
pub struct AcceptParameters {
    /// RDMA READs that we keep outstanding at most: `min(reads_served, device_reads_max)`.
    pub reads_max: u8,
    /// The reply's private data (SRP_LOGIN_RSP).
    pub private_data: PrivateData,
}
