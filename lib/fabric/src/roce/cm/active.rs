//! The side that asks: REQ out, REP or REJ in, RTU out (IBTA vol. 1, 12.9.7.1).

use super::connection::{Connection, Consumer, Ends, State};
use super::messages::{encode, rej_of_reply, rej_of_silence};
use super::passive::FIRST_QPN;
use super::timers::{self, Exchange};
use super::{Cm, CmEvent, CmId, CmReply, CmRequest};
use crate::roce::packet_io::Path;
use crate::roce::wire::cm::{
    Message, PathInformation, RELIABLE_CONNECTION, REQ_PRIVATE_DATA_LEN, RejectReason, Rep, Req, Rtu, private_data,
};
use crate::roce::wire::{DEFAULT_PKEY, Gid, RdmaCmHeader, mtu_code, service_id};

/// Where a LID would stand: RoCE has none (IBTA annex A16.4.2).
const NO_LID: u16 = 0xffff;

/// Hop limit for the peer's packets.
const HOP_LIMIT: u8 = 64;

impl Cm {
    /// Active: asks for a connection. `request.private_data` is the consumer's; `qpn` in `request.remote_qpn`'s place is ours.
    ///
    /// # Panics
    /// If there is more private data than a REQ carries behind RDMA/CM's header (56 bytes), `request.mtu` is no path MTU,
    /// or one end is IPv4 and the other IPv6.
    pub fn connect(&mut self, now: u64, path: &Path, request: CmRequest) -> CmId {
        let id = self.new_id();
        let req = self.request(id, path, &request);
        let mad = encode(self.ids.transaction(), Message::Req(req));
        self.table.insert(Connection {
            id,
            path: *path,
            passive: false,
            remote_id: 0,
            local_qpn: request.remote_qpn,
            remote_qpn: 0,
            state: State::RequestSent(Exchange::handshake(now, mad, timers::RESPONSE_TIMEOUT, timers::RETRIES)),
            consumer: Consumer::Follows,
        });
        self.queue(*path, mad);
        id
    }

    fn request(&self, id: CmId, path: &Path, request: &CmRequest) -> Req {
        let Ends { local, peer } = Ends::of(path);
        let mut private_data = [0; REQ_PRIVATE_DATA_LEN];
        RdmaCmHeader { source_port: request.source_port, source: local, destination: peer }.emit(&mut private_data);
        private_data[RdmaCmHeader::LEN..][..request.private_data.len()].copy_from_slice(&request.private_data);
        Req {
            local_comm_id: id.0,
            service_id: service_id(request.port),
            local_ca_guid: self.node_guid,
            local_qpn: request.remote_qpn,
            responder_resources: request.responder_resources,
            initiator_depth: request.initiator_depth,
            remote_cm_response_timeout: timers::RESPONSE_TIMEOUT,
            transport_service_type: RELIABLE_CONNECTION,
            end_to_end_flow_control: request.flow_control,
            starting_psn: request.passive_sends_from,
            local_cm_response_timeout: timers::RESPONSE_TIMEOUT,
            retry_count: request.retry_count,
            partition_key: DEFAULT_PKEY,
            path_mtu: mtu_code(request.mtu).expect("a path MTU"),
            rdc_exists: false,
            rnr_retry_count: request.rnr_retry,
            max_cm_retries: timers::RETRIES,
            srq: false,
            primary_path: PathInformation {
                local_lid: NO_LID,
                remote_lid: NO_LID,
                local_gid: Gid::from(local),
                remote_gid: Gid::from(peer),
                flow_label: 0,
                packet_rate: 0,
                traffic_class: 0,
                hop_limit: HOP_LIMIT,
                service_level: 0,
                subnet_local: false,
                local_ack_timeout: request.ack_timeout,
            },
            private_data,
        }
    }

    pub(super) fn on_reply(&mut self, now: u64, path: &Path, transaction_id: u64, rep: &Rep) {
        let id = CmId(rep.remote_comm_id);
        match self.table.get(id) {
            Some(connection) if !connection.is_between(path) || connection.passive => self.counters.unknown += 1,
            Some(Connection { state: State::RequestSent(_), .. }) => {
                self.on_first_reply(now, path, transaction_id, rep)
            }
            Some(connection) if connection.remote_id == rep.local_comm_id && !connection.state.is_over() => {
                let ready = matches!(connection.state, State::Established);
                self.counters.duplicates += 1;
                if ready {
                    self.counters.retransmitted += 1;
                    self.send_ready_to_use(path, transaction_id, rep);
                }
            }
            Some(_) | None => {
                self.counters.unknown += 1;
                self.send(*path, transaction_id, rej_of_reply(rep, RejectReason::INVALID_COMM_ID));
            }
        }
    }

    fn on_first_reply(&mut self, now: u64, path: &Path, transaction_id: u64, rep: &Rep) {
        let id = CmId(rep.remote_comm_id);
        if rep.local_qpn < FIRST_QPN || rep.local_comm_id == 0 {
            self.counters.malformed += 1;
            return;
        }
        if self.end_stale(now, Ends::of(path), rep.local_qpn) {
            self.send(*path, transaction_id, rej_of_reply(rep, RejectReason::STALE_CONNECTION));
            return self.report_rejected(id, RejectReason::STALE_CONNECTION, &[]);
        }
        self.table.update(id, |connection| {
            connection.remote_id = rep.local_comm_id;
            connection.remote_qpn = rep.local_qpn;
            connection.state = State::Established;
        });
        self.send_ready_to_use(path, transaction_id, rep);
        let reply = CmReply {
            qpn: rep.local_qpn,
            active_sends_from: rep.starting_psn,
            responder_resources: rep.responder_resources,
            initiator_depth: rep.initiator_depth,
            rnr_retry: rep.rnr_retry_count,
            private_data: rep.private_data.iter().copied().collect(),
        };
        self.events.push_back(CmEvent::Connected { id, reply });
    }

    fn send_ready_to_use(&mut self, path: &Path, transaction_id: u64, rep: &Rep) {
        let rtu = Rtu {
            local_comm_id: rep.remote_comm_id,
            remote_comm_id: rep.local_comm_id,
            private_data: private_data(&[]),
        };
        self.send(*path, transaction_id, Message::Rtu(rtu));
    }

    /// The attempt was refused; its id is gone.
    pub(super) fn report_rejected(&mut self, id: CmId, reason: RejectReason, private_data: &[u8]) {
        self.table.update(id, |connection| {
            connection.state = State::Over;
            connection.consumer = Consumer::Gone;
        });
        let private_data = private_data.iter().copied().collect();
        self.events.push_back(CmEvent::Rejected { id, reason: reason.0, private_data });
    }

    /// REQ was repeated often enough.
    pub(super) fn on_request_unanswered(&mut self, id: CmId) {
        self.counters.timeouts += 1;
        self.give_up_request(id);
        self.tell_end(id, "the peer does not answer");
    }

    /// Lets the peer forget our request, which it may have. A REP that comes now is rejected: the id is not known.
    pub(super) fn give_up_request(&mut self, id: CmId) {
        let node_guid = self.node_guid;
        let given_up = self.table.update(id, |connection| {
            connection.state = State::Over;
            (connection.path, rej_of_silence(connection, node_guid))
        });
        if let Some((path, message)) = given_up {
            let transaction_id = self.ids.transaction();
            self.send(path, transaction_id, message);
        }
    }
}
