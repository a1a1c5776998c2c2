//! The connection manager, sans-IO: MADs, decisions and time in; MADs and events out (IBTA vol. 1, chapter 12; the
//! RDMA/CM header of annex A11). Both sides: it answers requests, and makes them.

use super::packet_io::Path;
use super::wire::Psn;
use crate::PrivateData;

/// A connection or an attempt at one: our communication ID.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct CmId(pub u32);

/// What one side says of its queue pair in a REQ.
#[derive(Clone, Debug)]
pub struct CmRequest {
    /// Port of the RDMA/CM service that is asked for.
    pub port: u16,
    /// Port of the RDMA/CM that asks.
    pub source_port: u16,
    /// The peer's queue pair.
    pub remote_qpn: u32,
    /// First PSN that the *passive* side must send with.
    pub passive_sends_from: Psn,
    /// READs that the asking side serves at once (responder resources).
    pub responder_resources: u8,
    /// READs that the asking side wants to have outstanding (initiator depth).
    pub initiator_depth: u8,
    /// Path MTU in bytes.
    pub mtu: u32,
    /// Local ACK timeout of the asking side, 5 bits.
    pub ack_timeout: u8,
    /// 0 to 7.
    pub retry_count: u8,
    /// 0 to 7.
    pub rnr_retry: u8,
    /// End-to-end flow control.
    pub flow_control: bool,
    /// Private data behind the RDMA/CM header.
    pub private_data: PrivateData,
}

/// What the passive side says of its queue pair in a REP.
#[derive(Clone, Debug)]
pub struct CmReply {
    /// The passive side's queue pair.
    pub qpn: u32,
    /// First PSN that the *active* side must send with.
    pub active_sends_from: Psn,
    /// READs that the passive side serves at once.
    pub responder_resources: u8,
    /// READs that the passive side will have outstanding.
    pub initiator_depth: u8,
    /// 0 to 7.
    pub rnr_retry: u8,
    /// Private data.
    pub private_data: PrivateData,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum CmEvent {
    /// Passive: a peer asks. Answer with [`Cm::accept`] or [`Cm::reject`].
    Requested {
        /// The new connection.
        id: CmId,
        /// Its ends.
        path: Path,
        /// What it asks.
        request: CmRequest,
    },
    /// Passive: RTU arrived.
    Established {
        /// Which.
        id: CmId,
    },
    /// Active: accepted, and RTU was queued.
    Connected {
        /// Which.
        id: CmId,
        /// What the peer said.
        reply: CmReply,
    },
    /// Active: refused; the id is gone.
    Rejected {
        /// Which.
        id: CmId,
        /// IBTA's reason (28: the consumer refused).
        reason: u16,
        /// The consumer's private data.
        private_data: PrivateData,
    },
    /// Over, or never came to be; the id stays until [`Cm::destroy`].
    Ended {
        /// Which.
        id: CmId,
        /// For the log.
        why: &'static str,
    },
}

/// Limits and identity.
#[derive(Clone, Debug)]
pub struct CmOptions {
    /// Our node's GUID.
    pub node_guid: u64,
    /// Seed of communication and transaction ids; unpredictable.
    pub seed: u64,
    /// Most connections that are neither established nor over, of all peers; more requests are dropped.
    pub half_open_max: usize,
}

/// What the connection manager counted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct CmCounters {
    /// MADs that were malformed or of no use to us.
    pub malformed: u64,
    /// Messages about connections that are not known.
    pub unknown: u64,
    /// Messages that had arrived before.
    pub duplicates: u64,
    /// Requests dropped because too many are half open.
    pub overload: u64,
    /// Messages sent again.
    pub retransmitted: u64,
    /// Exchanges that ended because the peer did not answer.
    pub timeouts: u64,
    /// Requests from queue pairs that were in use by an older connection.
    pub stale: u64,
    /// Requests for a port where nobody listens.
    pub no_listener: u64,
}

/// Length of a MAD in bytes.
pub const MAD_LEN: usize = 256;

/// The connection manager of one process.
#[derive(Debug)]
pub struct Cm {}

/// Times are nanoseconds of any monotonic clock.
#[allow(unused_variables, clippy::todo, missing_docs)]
impl Cm {
    pub fn new(options: CmOptions) -> Cm {
        todo!()
    }

    /// Takes a MAD that came to queue pair 1. `mtu_max`: largest path MTU in bytes that the interface allows: a request
    /// for more is rejected (reason 26) with ours in the additional information. `listening`: whether someone listens
    /// at a port of this address: if not, the request is rejected (reason 8).
    pub fn on_mad(&mut self, now: u64, path: &Path, mtu_max: u32, listening: &dyn Fn(u16) -> bool, mad: &[u8]) {
        todo!()
    }

    /// The next MAD to be sent; `None`: nothing now.
    pub fn next_mad(&mut self, now: u64) -> Option<(Path, [u8; MAD_LEN])> {
        todo!()
    }

    /// The next event.
    pub fn next_event(&mut self) -> Option<CmEvent> {
        todo!()
    }

    /// Runs timers: repetitions, exchanges that end. Call it every few milliseconds.
    pub fn on_time(&mut self, now: u64) {
        todo!()
    }

    /// Active: asks for a connection. `request.private_data` is the consumer's; `qpn` in `request.remote_qpn`'s place is ours.
    pub fn connect(&mut self, now: u64, path: &Path, request: CmRequest) -> CmId {
        todo!()
    }

    /// Passive: accepts. False: it ended meanwhile.
    pub fn accept(&mut self, now: u64, id: CmId, reply: CmReply) -> bool {
        todo!()
    }

    /// Passive: refuses (reason 28) with private data of at most 148 bytes.
    pub fn reject(&mut self, now: u64, id: CmId, private_data: &[u8]) {
        todo!()
    }

    /// Passive: a packet of the connection arrived, so the peer has our REP (IBTA vol. 1, 12.9.7.2: communication established).
    pub fn packet_arrived(&mut self, now: u64, id: CmId) {
        todo!()
    }

    /// Ends a connection: DREQ, repeated until DREP. An `Ended` event follows at once unless one was reported before.
    pub fn disconnect(&mut self, now: u64, id: CmId) {
        todo!()
    }

    /// The consumer forgets it: no event about it any more. What the protocol still has to say is said (DREQ, time wait).
    pub fn destroy(&mut self, now: u64, id: CmId) {
        todo!()
    }

    pub fn counters(&self) -> CmCounters {
        todo!()
    }
}
