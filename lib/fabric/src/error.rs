//! What can go wrong while a connection is set up, in words for the administrator.

use std::io;
use std::net::SocketAddr;

use crate::{ConnectionId, GroupId};

/// Why the control side of a fabric could not do something.
#[derive(Debug, thiserror::Error)]
pub enum FabricError {
    /// Another listener, of this or another process, has the address.
    #[error("{address} is in use: another listener has this port; choose another port or delete that listener")]
    AddressInUse {
        /// What was to be listened on.
        address: SocketAddr,
    },
    /// The connection was never there, or was destroyed.
    #[error("connection {} is not known: it was destroyed already", .0.0)]
    UnknownConnection(ConnectionId),
    /// The connection ended before it was accepted.
    #[error("connection {} ended before it was accepted", .0.0)]
    ConnectionEnded(ConnectionId),
    /// Our own bug: the poll group was not made by this [`crate::Control`].
    #[error("poll group {} is not known", .0.0)]
    UnknownGroup(GroupId),
    /// Our own bug: accept without a queue pair, or two queue pairs for one connection.
    #[error("connection {}: {problem}", .connection.0)]
    WrongOrder {
        /// Which connection.
        connection: ConnectionId,
        /// What came out of order.
        problem: &'static str,
    },
    /// The device has smaller limits than the configuration asks for.
    #[error(
        "device {device} has at most {most} {what}, the configuration needs {asked}: use fewer credits per channel"
    )]
    DeviceLimit {
        /// The device's name.
        device: String,
        /// Which limit.
        what: &'static str,
        /// What was asked for.
        asked: u32,
        /// What the device has.
        most: u32,
    },
    /// The fabric only serves.
    #[error("the fabric {fabric} makes no connections by itself: use verbs or roce")]
    NoInitiator {
        /// Its name.
        fabric: &'static str,
    },
    /// The private data do not fit in the connection manager's message.
    #[error("{len} bytes of private data do not fit in a {message}, which carries at most {most}")]
    PrivateDataTooLong {
        /// REP or REJ.
        message: &'static str,
        /// What was given, in bytes.
        len: usize,
        /// What fits, in bytes.
        most: usize,
    },
    /// A listener for native InfiniBand was asked of another fabric.
    #[error("{fabric} knows nothing of InfiniBand: listen there through verbs")]
    NoInfiniBand {
        /// The fabric's name.
        fabric: &'static str,
    },
    /// The kernel did not let the device pin our memory.
    #[error(
        "device {device} may not pin {bytes} bytes: the locked-memory limit of this process is {limit} bytes; \
         raise it with `ulimit -l unlimited`, or `LimitMEMLOCK=infinity` in the service unit"
    )]
    LockedMemory {
        /// The device's name.
        device: String,
        /// What was to be registered, in bytes.
        bytes: usize,
        /// RLIMIT_MEMLOCK, in bytes.
        limit: u64,
    },
    /// A call of the RDMA libraries failed.
    #[error("{call} failed on {device}: {source}")]
    Call {
        /// Name of the function.
        call: &'static str,
        /// The device's name, or what else it was called on.
        device: String,
        /// What it said.
        source: io::Error,
    },
}
