//! What RoCE counts, by reason: written by the thread that owns the thing counted, read by anyone.

use metrics::Counter;

use super::cm::CmCounters;

/// What one poll group counts beyond what its packet I/O and its queue pairs count themselves.
#[derive(Debug, Default)]
pub(super) struct Statistics {
    /// Packets that are not RoCE packets.
    pub(super) malformed: Counter,
    /// Packets for a queue pair that is not there.
    pub(super) unknown_qp: Counter,
    /// Packets from another address than the queue pair's peer.
    pub(super) wrong_peer: Counter,
    /// Packets that were handed to a queue pair.
    pub(super) received: Counter,
    /// Queue pairs that went into error.
    pub(super) failed: Counter,
}

/// A snapshot of everything that a fabric counted since it was made.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counters {
    /// Packets handed to queue pairs.
    pub received: u64,
    /// Packets dropped because they are not RoCE packets.
    pub malformed: u64,
    /// Packets dropped because their queue pair is not there.
    pub unknown_qp: u64,
    /// Packets dropped because they came from another address than the queue pair's peer.
    pub wrong_peer: u64,
    /// Queue pairs that went into error.
    pub failed: u64,
    /// The connection manager.
    pub cm: CmCounters,
}
