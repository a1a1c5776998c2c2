//! The side that is asked: REQ in, REP or REJ out, RTU in (IBTA vol. 1, 12.9.7.2).

use arrayvec::ArrayVec;

use super::connection::{Asked, Connection, Consumer, Ends, State};
use super::messages::{encode, mra_of_request, rej_of_request, rej_of_silence};
use super::timers::{self, Exchange};
use super::{Cm, CmEvent, CmId, CmReply, CmRequest, EVENTS_MAX};
use crate::roce::packet_io::Path;
use crate::roce::wire::cm::{
    Message, RELIABLE_CONNECTION, REP_PRIVATE_DATA_LEN, RejectReason, Rep, Req, Rtu, private_data, timeout_ns,
};
use crate::roce::wire::{RdmaCmHeader, mtu_bytes, service_port};

/// What a REQ is refused for, with what would be accepted instead.
type Refusal = (RejectReason, ArrayVec<u8, 1>);

/// Longest time until we acknowledge a packet, as REP says it: code 15, 134 ms (what soft-RoCE says). A reactor polls far
/// more often, but shares its core with whatever else the machine runs.
const TARGET_ACK_DELAY: u8 = 15;

/// In a REP: alternate paths are not supported. The standard gives the field no meaning if none was asked for.
const FAILOVER_NOT_SUPPORTED: u8 = 1;

/// Queue pairs 0 and 1 are for management; no connection has them.
pub(super) const FIRST_QPN: u32 = 2;

impl Cm {
    pub(super) fn on_request(
        &mut self,
        now: u64,
        path: &Path,
        mtu_max: u32,
        listening: &dyn Fn(u16) -> bool,
        transaction_id: u64,
        req: &Req,
    ) {
        let ends = Ends::of(path);
        if let Some(id) = self.table.by_remote_id(ends, req.local_comm_id) {
            return self.on_repeated_request(id, transaction_id);
        }
        let request = match check(path, mtu_max, listening, req) {
            Ok(request) => request,
            Err((reason, information)) => {
                self.counters.no_listener += u64::from(reason == RejectReason::INVALID_SERVICE_ID);
                return self.refuse(path, transaction_id, req, reason, &information);
            }
        };
        if self.end_stale(now, ends, req.local_qpn) {
            return self.refuse(path, transaction_id, req, RejectReason::STALE_CONNECTION, &[]);
        }
        let (max, of_peer) = (self.half_open_max, self.table.half_open_of(ends.peer));
        if self.table.half_open() >= max || of_peer >= of_one_peer(max) || self.events.len() >= EVENTS_MAX {
            self.counters.overload += 1;
            return;
        }
        let id = self.new_id();
        self.table.insert(Connection {
            id,
            path: *path,
            passive: true,
            remote_id: req.local_comm_id,
            local_qpn: 0,
            remote_qpn: req.local_qpn,
            state: State::Requested(Asked {
                transaction_id,
                flow_control: req.end_to_end_flow_control,
                response_timeout: req.local_cm_response_timeout,
                retries: req.max_cm_retries,
                receipt_acknowledged: false,
                acknowledge_at: now + timers::patience(req.remote_cm_response_timeout),
                until: now + timers::HANDSHAKE_MAX,
            }),
            consumer: Consumer::Follows,
        });
        self.events.push_back(CmEvent::Requested { id, path: *path, request });
    }

    /// The same answer again, if there was one.
    fn on_repeated_request(&mut self, id: CmId, transaction_id: u64) {
        self.counters.duplicates += 1;
        let Some(connection) = self.table.get(id) else { return };
        let answer = match &connection.state {
            State::Requested(asked) if asked.receipt_acknowledged => encode(transaction_id, mra_of_request(connection)),
            State::ReplySent(exchange) => *exchange.message(),
            State::TimeWait { rejection: Some(mad), .. } => **mad,
            State::TimeWait { rejection: None, .. } => {
                encode(transaction_id, rej_of_request(connection.remote_id, RejectReason::STALE_CONNECTION, &[], &[]))
            }
            State::Requested(_)
            | State::RequestSent(_)
            | State::Established
            | State::Disconnecting(_)
            | State::Over => return,
        };
        let path = connection.path;
        self.counters.retransmitted += 1;
        self.queue(path, answer);
    }

    /// Refuses a REQ without remembering it: if it is repeated, so is the refusal.
    fn refuse(&mut self, path: &Path, transaction_id: u64, req: &Req, reason: RejectReason, information: &[u8]) {
        tracing::debug!(peer = %path.peer, %reason, "connection request refused");
        self.send(*path, transaction_id, rej_of_request(req.local_comm_id, reason, information, &[]));
    }

    /// Passive: accepts. False: it ended meanwhile.
    ///
    /// # Panics
    /// If there is more private data than a REP carries ([`REP_PRIVATE_DATA_LEN`]).
    pub fn accept(&mut self, now: u64, id: CmId, reply: CmReply) -> bool {
        assert!(reply.private_data.len() <= REP_PRIVATE_DATA_LEN, "private data that fits into a REP");
        let local_ca_guid = self.node_guid;
        let accepted = self.table.update(id, |connection| {
            let State::Requested(asked) = &connection.state else { return None };
            let rep = Rep {
                local_comm_id: id.0,
                remote_comm_id: connection.remote_id,
                local_qpn: reply.qpn,
                starting_psn: reply.active_sends_from,
                responder_resources: reply.responder_resources,
                initiator_depth: reply.initiator_depth,
                target_ack_delay: TARGET_ACK_DELAY,
                failover_accepted: FAILOVER_NOT_SUPPORTED,
                end_to_end_flow_control: asked.flow_control,
                rnr_retry_count: reply.rnr_retry,
                srq: false,
                local_ca_guid,
                private_data: private_data(&reply.private_data),
            };
            let mad = encode(asked.transaction_id, Message::Rep(rep));
            let exchange = Exchange::handshake(now, mad, asked.response_timeout, asked.retries);
            connection.local_qpn = reply.qpn;
            connection.state = State::ReplySent(exchange);
            Some((connection.path, mad))
        });
        let Some((path, mad)) = accepted.flatten() else { return false };
        self.queue(path, mad);
        true
    }

    /// Passive: refuses (reason 28) with private data of at most 148 bytes. No event follows; the id stays until
    /// [`Cm::destroy`].
    ///
    /// # Panics
    /// If there is more private data.
    pub fn reject(&mut self, now: u64, id: CmId, private_data: &[u8]) {
        self.reject_undecided(now, id, RejectReason::CONSUMER, &[], private_data);
    }

    /// Refuses a request, and remembers the refusal for when the request is repeated; unless it is decided.
    fn reject_undecided(&mut self, now: u64, id: CmId, reason: RejectReason, information: &[u8], private_data: &[u8]) {
        let rejected = self.table.update(id, |connection| {
            let State::Requested(asked) = &connection.state else { return None };
            let rej = rej_of_request(connection.remote_id, reason, information, private_data);
            let mad = encode(asked.transaction_id, rej);
            connection.state = State::TimeWait { until: now + timers::TIME_WAIT, rejection: Some(Box::new(mad)) };
            Some((connection.path, mad))
        });
        if let Some((path, mad)) = rejected.flatten() {
            self.queue(path, mad);
        }
    }

    /// The consumer takes its time: the peer gets to know that its REQ arrived, so that it goes on waiting.
    pub(super) fn on_undecided(&mut self, now: u64, id: CmId) {
        let waiting = self.table.update(id, |connection| {
            let State::Requested(asked) = &mut connection.state else { return None };
            if asked.until <= now {
                return None;
            }
            asked.receipt_acknowledged = true;
            asked.acknowledge_at = now + timeout_ns(timers::SERVICE_TIMEOUT) / 4 * 3;
            let transaction_id = asked.transaction_id;
            Some((connection.path, transaction_id, mra_of_request(connection)))
        });
        if let Some((path, transaction_id, message)) = waiting.flatten() {
            return self.send(path, transaction_id, message);
        }
        self.counters.timeouts += 1;
        self.reject_undecided(now, id, RejectReason::TIMEOUT, &self.node_guid.to_be_bytes(), &[]);
        self.tell_end(id, "nobody decided about the request");
    }

    /// REP was repeated often enough.
    pub(super) fn on_reply_unanswered(&mut self, now: u64, id: CmId) {
        self.counters.timeouts += 1;
        let Some(connection) = self.table.get(id) else { return };
        let (path, rej) = (connection.path, rej_of_silence(connection, self.node_guid));
        let transaction_id = self.ids.transaction();
        self.send(path, transaction_id, rej);
        self.end(now, id, "the initiator did not complete the handshake");
    }

    pub(super) fn on_ready_to_use(&mut self, path: &Path, rtu: &Rtu) {
        if let Some(id) = self.addressed(path, rtu.local_comm_id, rtu.remote_comm_id)
            && !self.establish(id)
        {
            self.counters.duplicates += 1;
        }
    }

    /// Passive: a packet of the connection arrived, so the peer has our REP (IBTA vol. 1, 12.9.7.2: communication established).
    pub fn packet_arrived(&mut self, _now: u64, id: CmId) {
        self.establish(id);
    }

    /// The peer has our REP. False: that was known, or is of no use any more.
    fn establish(&mut self, id: CmId) -> bool {
        let established = self.table.update(id, |connection| {
            let waited = matches!(connection.state, State::ReplySent(_));
            if waited {
                connection.state = State::Established;
            }
            waited
        });
        if established != Some(true) {
            return false;
        }
        self.events.push_back(CmEvent::Established { id });
        true
    }
}

/// Half-open connections that one peer may have, where all may have `max`: it cannot keep the others out.
pub(super) fn of_one_peer(max: usize) -> usize {
    (max / 4).max(1)
}

/// What a REQ asks, if it is one that can be accepted.
fn check(path: &Path, mtu_max: u32, listening: &dyn Fn(u16) -> bool, req: &Req) -> Result<CmRequest, Refusal> {
    let refuse = |reason| (reason, ArrayVec::new());
    let port = service_port(req.service_id).filter(|&port| listening(port));
    let port = port.ok_or(refuse(RejectReason::INVALID_SERVICE_ID))?;
    if req.transport_service_type != RELIABLE_CONNECTION {
        return Err(refuse(RejectReason::INVALID_TRANSPORT_TYPE));
    }
    let (header, consumers_data) =
        RdmaCmHeader::parse(&req.private_data).map_err(|_| refuse(RejectReason::UNSUPPORTED))?;
    if header.destination.to_canonical() != path.local.ip().to_canonical() {
        return Err(refuse(RejectReason::INVALID_GID));
    }
    if req.local_qpn < FIRST_QPN || req.local_comm_id == 0 {
        return Err(refuse(RejectReason::UNSUPPORTED));
    }
    let mtu = mtu_bytes(req.path_mtu).filter(|&mtu| mtu <= mtu_max);
    let mtu = mtu.ok_or_else(|| (RejectReason::INVALID_PATH_MTU, largest_mtu(mtu_max).into_iter().collect()))?;
    Ok(CmRequest {
        port,
        source_port: header.source_port,
        remote_qpn: req.local_qpn,
        passive_sends_from: req.starting_psn,
        responder_resources: req.responder_resources,
        initiator_depth: req.initiator_depth,
        mtu,
        ack_timeout: req.primary_path.local_ack_timeout,
        retry_count: req.retry_count,
        rnr_retry: req.rnr_retry_count,
        flow_control: req.end_to_end_flow_control,
        private_data: consumers_data.iter().copied().collect(),
    })
}

/// Code of the largest path MTU that an interface allows.
fn largest_mtu(mtu_max: u32) -> Option<u8> {
    (1..=5).rev().find(|&code| mtu_bytes(code).is_some_and(|mtu| mtu <= mtu_max))
}
