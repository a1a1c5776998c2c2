//! The connection manager, sans-IO: MADs, decisions and time in; MADs and events out (IBTA vol. 1, chapter 12; the
//! RDMA/CM header of annex A11). Both sides: it answers requests, and makes them.
//!
//! Read `connection.rs` first: the states. Then what moves a connection through them: `passive.rs`, `active.rs`, and for
//! both sides `ending.rs`. `table.rs` finds connections and their deadlines.
//!
//! Whatever peers send, memory and time stay bounded: half-open connections by [`CmOptions::half_open_max`] (a quarter for each peer) and a minute,
//! ended ones by a number and ten seconds, answers by the length of a queue. What does not fit is dropped, as if the
//! network had lost it.

mod active;
mod connection;
mod ending;
mod ids;
mod messages;
mod passive;
mod table;
#[cfg(test)]
mod tests;
mod timers;

use std::collections::VecDeque;

use self::connection::{Consumer, State};
pub use self::ending::Remains;
use self::ids::Ids;
use self::messages::{OF_REPLY, OF_REQUEST, encode};
use self::table::Table;
use super::packet_io::Path;
use super::statistics::counters;
pub use super::wire::MAD_LEN;
use super::wire::Psn;
use super::wire::cm::{CmMad, Message, Mra};
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
    /// Private data behind the RDMA/CM header: what arrives has 56 bytes, zeros behind what the peer gave.
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
    /// Private data: what arrives has 196 bytes, zeros behind what the peer gave.
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
        /// The consumer's private data: 148 bytes, zeros behind what the peer gave.
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
    /// Most connections that are neither established nor over, of all peers, of which one may have a quarter; more requests are dropped.
    pub half_open_max: usize,
}

counters! {
    /// What the connection manager counted.
    pub struct CmCounters {
        /// MADs that were malformed or of no use to us.
        malformed,
        /// Messages about connections that are not known.
        unknown,
        /// Messages that had arrived before.
        duplicates,
        /// Requests dropped because too many are half open.
        overload,
        /// Messages sent again.
        retransmitted,
        /// Exchanges that ended because the peer did not answer.
        timeouts,
        /// Requests from queue pairs that were in use by an older connection.
        stale,
        /// Requests for a port where nobody listens.
        no_listener,
    }
}

/// Bytes of a management datagram.
type Mad = [u8; MAD_LEN];

/// Most MADs that wait to be sent, some 1.3 MB: more than one for every connection of a large target.
const OUTBOX_MAX: usize = 4096;

/// Most events that wait for the consumer when a request comes; with more, it is dropped. (A peer may withdraw its requests
/// as fast as it makes them.)
const EVENTS_MAX: usize = 4096;

/// The connection manager of one process.
#[derive(Debug)]
pub struct Cm {
    node_guid: u64,
    half_open_max: usize,
    ids: Ids,
    table: Table,
    outbox: VecDeque<(Path, Mad)>,
    events: VecDeque<CmEvent>,
    counters: CmCounters,
}

/// Times are nanoseconds of any monotonic clock.
impl Cm {
    /// A connection manager without connections.
    pub fn new(options: CmOptions) -> Cm {
        Cm {
            node_guid: options.node_guid,
            half_open_max: options.half_open_max,
            ids: Ids::new(options.seed),
            table: Table::default(),
            outbox: VecDeque::new(),
            events: VecDeque::new(),
            counters: CmCounters::default(),
        }
    }

    /// Takes a MAD that came to queue pair 1. `mtu_max`: largest path MTU in bytes that the interface allows: a request
    /// for more is rejected (reason 26) with ours in the additional information. `listening`: whether someone listens
    /// at a port of this address: if not, the request is rejected (reason 8).
    pub fn on_mad(&mut self, now: u64, path: &Path, mtu_max: u32, listening: &dyn Fn(u16) -> bool, mad: &[u8]) {
        let Ok(CmMad { transaction_id, message }) = CmMad::parse(mad) else {
            self.counters.malformed += 1;
            return;
        };
        match message {
            Message::Req(req) => self.on_request(now, path, mtu_max, listening, transaction_id, &req),
            Message::Mra(mra) => self.on_receipt_acknowledged(now, path, &mra),
            Message::Rej(rej) => self.on_rejected(now, path, &rej),
            Message::Rep(rep) => self.on_reply(now, path, transaction_id, &rep),
            Message::Rtu(rtu) => self.on_ready_to_use(path, &rtu),
            Message::Dreq(dreq) => self.on_disconnect_request(now, path, transaction_id, &dreq),
            Message::Drep(drep) => self.on_disconnect_reply(now, path, &drep),
        }
    }

    /// The next MAD to be sent; `None`: nothing now.
    pub fn next_mad(&mut self, _now: u64) -> Option<(Path, [u8; MAD_LEN])> {
        self.outbox.pop_front()
    }

    /// The next event.
    pub fn next_event(&mut self) -> Option<CmEvent> {
        self.events.pop_front()
    }

    /// Runs timers: repetitions, exchanges that end. Call it every few milliseconds.
    pub fn on_time(&mut self, now: u64) {
        while let Some(id) = self.table.due(now) {
            self.on_deadline(now, id);
        }
        self.table.end_time_wait(now);
    }

    /// The consumer forgets it: no event about it any more. What the protocol still has to say is said (DREQ, time wait).
    pub fn destroy(&mut self, now: u64, id: CmId) {
        self.disconnect(now, id);
        self.table.update(id, |connection| connection.consumer = Consumer::Gone);
        self.events.retain(|event| event.id() != id);
    }

    /// What it counted.
    pub fn counters(&self) -> CmCounters {
        self.counters
    }

    fn on_deadline(&mut self, now: u64, id: CmId) {
        let again = self.table.update(id, |connection| match &mut connection.state {
            State::ReplySent(exchange) | State::RequestSent(exchange) | State::Disconnecting(exchange) => {
                exchange.on_time(now).then(|| (connection.path, *exchange.message()))
            }
            State::Requested(_) | State::Established | State::TimeWait { .. } | State::Over => None,
        });
        if let Some(Some((path, mad))) = again {
            self.counters.retransmitted += 1;
            return self.queue(path, mad);
        }
        match self.table.get(id).map(|connection| &connection.state) {
            Some(State::Requested(_)) => self.on_undecided(now, id),
            Some(State::ReplySent(_)) => self.on_reply_unanswered(now, id),
            Some(State::RequestSent(_)) => self.on_request_unanswered(id),
            Some(State::Disconnecting(_)) => self.on_disconnect_unanswered(now, id),
            Some(State::Established | State::TimeWait { .. } | State::Over) | None => {}
        }
    }

    /// The peer has our REQ, or our REP, and needs longer to answer.
    fn on_receipt_acknowledged(&mut self, now: u64, path: &Path, mra: &Mra) {
        let extended = self.table.update(CmId(mra.remote_comm_id), |connection| {
            let is_peer = connection.is_between(path);
            let knows_us = connection.remote_id == mra.local_comm_id;
            match &mut connection.state {
                State::RequestSent(exchange) if is_peer && mra.message == OF_REQUEST => exchange,
                State::ReplySent(exchange) if is_peer && knows_us && mra.message == OF_REPLY => exchange,
                _ => return false,
            }
            .extend(now, mra.service_timeout);
            true
        });
        self.counters.unknown += u64::from(extended != Some(true));
    }

    /// A communication id that no connection has, remembered ones included.
    fn new_id(&mut self) -> CmId {
        loop {
            let id = CmId(self.ids.communication());
            if self.table.get(id).is_none() {
                return id;
            }
        }
    }

    /// The connection that a message is about: its peer sent it, and names both ids rightly.
    fn addressed(&mut self, path: &Path, local_comm_id: u32, remote_comm_id: u32) -> Option<CmId> {
        let id = CmId(remote_comm_id);
        let known = self.table.get(id);
        let known =
            known.is_some_and(|connection| connection.is_between(path) && connection.remote_id == local_comm_id);
        self.counters.unknown += u64::from(!known);
        known.then_some(id)
    }

    fn send(&mut self, path: Path, transaction_id: u64, message: Message) {
        self.queue(path, encode(transaction_id, message));
    }

    fn queue(&mut self, path: Path, mad: Mad) {
        if self.outbox.len() < OUTBOX_MAX {
            self.outbox.push_back((path, mad));
        }
    }
}

impl CmEvent {
    fn id(&self) -> CmId {
        match self {
            CmEvent::Requested { id, .. }
            | CmEvent::Established { id }
            | CmEvent::Connected { id, .. }
            | CmEvent::Rejected { id, .. }
            | CmEvent::Ended { id, .. } => *id,
        }
    }
}
