//! One connection manager against messages made by hand ([`Bench`]), and two against each other (in [`two_ended`]).

mod active;
mod ending;
mod hostile;
mod kernel;
mod passive;
mod two_ended;

use std::net::SocketAddr;

use super::timers;
use super::*;
use crate::roce::wire::cm::*;
use crate::roce::wire::{DEFAULT_PKEY, Gid, RdmaCmHeader, UDP_PORT, service_id};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;
/// Where somebody listens.
const PORT: u16 = 5555;
/// Largest path MTU of our interface.
const MTU_MAX: u32 = 2048;

const OUR_GUID: u64 = 0x0200_00ff_fe00_0001;
/// What the peer of [`Bench`] uses.
const THEIR_ID: u32 = 0x7001;
const THEIR_QPN: u32 = 0x42;
const THEIR_TID: u64 = 0x77;
const OUR_QPN: u32 = 0x500;

fn address(host: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, host], UDP_PORT))
}

/// From us (10.0.0.1) to another host.
fn path_to(host: u8) -> Path {
    Path { local: address(1), peer: address(host) }
}

fn options(seed: u64) -> CmOptions {
    CmOptions { node_guid: OUR_GUID, seed, half_open_max: 8 }
}

/// One connection manager (10.0.0.1) and its peer (10.0.0.2), which the test plays.
struct Bench {
    cm: Cm,
    now: u64,
}

impl Bench {
    fn new() -> Bench {
        Bench { cm: Cm::new(options(1)), now: SECOND }
    }

    fn hears(&mut self, message: Message) {
        self.hears_from(&path_to(2), message);
    }

    fn hears_from(&mut self, path: &Path, message: Message) {
        self.hears_mad(path, &encode(THEIR_TID, message));
    }

    fn hears_mad(&mut self, path: &Path, mad: &[u8]) {
        self.cm.on_mad(self.now, path, MTU_MAX, &|port| port == PORT, mad);
    }

    /// What it sends now.
    fn says(&mut self) -> Vec<CmMad> {
        std::iter::from_fn(|| self.cm.next_mad(self.now)).map(|(_, mad)| CmMad::parse(&mad).unwrap()).collect()
    }

    fn says_nothing(&mut self) {
        let said: Vec<_> = self.says().iter().map(CmMad::to_string).collect();
        assert!(said.is_empty(), "{said:?}");
    }

    fn says_one(&mut self) -> Message {
        let mut said = self.says();
        let mad = said.pop().expect("a message");
        assert!(said.is_empty(), "{said:?}");
        mad.message
    }

    fn events(&mut self) -> Vec<CmEvent> {
        std::iter::from_fn(|| self.cm.next_event()).collect()
    }

    fn one_event(&mut self) -> CmEvent {
        let mut events = self.events();
        let event = events.pop().expect("an event");
        assert!(events.is_empty(), "{events:?}");
        event
    }

    fn ended(&mut self) -> CmId {
        match self.one_event() {
            CmEvent::Ended { id, .. } => id,
            other => panic!("{other:?}"),
        }
    }

    /// Lets time pass; gives what it said meanwhile, with the time since the start.
    fn waits(&mut self, time: u64) -> Vec<(u64, CmMad)> {
        let start = self.now;
        let mut said = Vec::new();
        while self.now < start + time {
            self.now += 10 * MS;
            self.cm.on_time(self.now);
            let passed = self.now - start;
            said.extend(self.says().into_iter().map(|mad| (passed, mad)));
        }
        said
    }

    /// A request that the consumer has not decided about.
    fn requested(&mut self) -> CmId {
        self.hears(Message::Req(req()));
        match self.one_event() {
            CmEvent::Requested { id, .. } => id,
            other => panic!("{other:?}"),
        }
    }

    /// ... accepted: REP is out.
    fn accepted(&mut self) -> CmId {
        let id = self.requested();
        assert!(self.cm.accept(self.now, id, reply(b"welcome")));
        assert!(matches!(self.says_one(), Message::Rep(_)));
        id
    }

    /// ... and established.
    fn established(&mut self) -> CmId {
        let id = self.accepted();
        self.hears(rtu(id));
        assert!(matches!(self.one_event(), CmEvent::Established { id: established } if established == id));
        id
    }

    /// An attempt of ours: REQ is out.
    fn connecting(&mut self) -> CmId {
        let id = self.cm.connect(self.now, &path_to(2), request(b"hello"));
        assert!(matches!(self.says_one(), Message::Req(_)));
        id
    }

    /// ... and connected.
    fn connected(&mut self) -> CmId {
        let id = self.connecting();
        self.hears(Message::Rep(rep(id)));
        assert!(matches!(self.says_one(), Message::Rtu(_)));
        assert!(matches!(self.one_event(), CmEvent::Connected { id: connected, .. } if connected == id));
        id
    }

    /// Nothing is left of any connection, once the time for late messages is over.
    fn forgets_everything(&mut self) {
        self.waits(timers::HANDSHAKE_MAX + timers::TIME_WAIT);
        assert_eq!(self.cm.table.len(), 0, "{:?}", self.cm.table);
        self.cm.table.assert_empty();
    }
}

/// The peer's REQ, which there is no reason to refuse.
fn req() -> Req {
    let mut private_data = [0; REQ_PRIVATE_DATA_LEN];
    let header = RdmaCmHeader { source_port: 777, source: address(2).ip(), destination: address(1).ip() };
    header.emit(&mut private_data);
    private_data[RdmaCmHeader::LEN..][..5].copy_from_slice(b"hello");
    Req {
        local_comm_id: THEIR_ID,
        service_id: service_id(PORT),
        local_ca_guid: 0x0200_00ff_fe00_0002,
        local_qpn: THEIR_QPN,
        responder_resources: 4,
        initiator_depth: 1,
        remote_cm_response_timeout: 20,
        transport_service_type: RELIABLE_CONNECTION,
        end_to_end_flow_control: true,
        starting_psn: Psn::new(0x111111),
        local_cm_response_timeout: 20,
        retry_count: 6,
        partition_key: DEFAULT_PKEY,
        path_mtu: 3,
        rdc_exists: false,
        rnr_retry_count: 5,
        max_cm_retries: 15,
        srq: false,
        primary_path: PathInformation {
            local_lid: 0xffff,
            remote_lid: 0xffff,
            local_gid: Gid::from(address(2).ip()),
            remote_gid: Gid::from(address(1).ip()),
            flow_label: 0,
            packet_rate: 0,
            traffic_class: 0,
            hop_limit: 64,
            service_level: 0,
            subnet_local: false,
            local_ack_timeout: 19,
        },
        private_data,
    }
}

/// The peer's answer to our REQ.
fn rep(ours: CmId) -> Rep {
    Rep {
        local_comm_id: THEIR_ID,
        remote_comm_id: ours.0,
        local_qpn: THEIR_QPN,
        starting_psn: Psn::new(0x222222),
        responder_resources: 3,
        initiator_depth: 2,
        target_ack_delay: 15,
        failover_accepted: 0,
        end_to_end_flow_control: true,
        rnr_retry_count: 7,
        srq: false,
        local_ca_guid: 0x0200_00ff_fe00_0002,
        private_data: private_data(b"welcome"),
    }
}

fn rtu(ours: CmId) -> Message {
    Message::Rtu(Rtu { local_comm_id: THEIR_ID, remote_comm_id: ours.0, private_data: private_data(&[]) })
}

fn dreq(ours: CmId) -> Message {
    Message::Dreq(Dreq {
        local_comm_id: THEIR_ID,
        remote_comm_id: ours.0,
        remote_qpn: OUR_QPN,
        private_data: private_data(&[]),
    })
}

fn drep(ours: CmId) -> Message {
    Message::Drep(Drep { local_comm_id: THEIR_ID, remote_comm_id: ours.0, private_data: private_data(&[]) })
}

fn mra(ours: CmId, message: u8, service_timeout: u8) -> Message {
    Message::Mra(Mra {
        local_comm_id: THEIR_ID,
        remote_comm_id: ours.0,
        message,
        service_timeout,
        private_data: private_data(&[]),
    })
}

/// The peer's REJ; `ours` 0: it does not know our id.
fn rej(ours: u32, message: u8, reason: RejectReason) -> Message {
    Message::Rej(Rej {
        local_comm_id: THEIR_ID,
        remote_comm_id: ours,
        message,
        reason,
        information: [].into_iter().collect(),
        private_data: private_data(b"sorry"),
    })
}

/// Our request.
fn request(consumers_data: &[u8]) -> CmRequest {
    CmRequest {
        port: PORT,
        source_port: 777,
        remote_qpn: OUR_QPN,
        passive_sends_from: Psn::new(0x111111),
        responder_resources: 4,
        initiator_depth: 1,
        mtu: 1024,
        ack_timeout: 19,
        retry_count: 6,
        rnr_retry: 5,
        flow_control: true,
        private_data: consumers_data.iter().copied().collect(),
    }
}

/// Our answer.
fn reply(consumers_data: &[u8]) -> CmReply {
    CmReply {
        qpn: OUR_QPN,
        active_sends_from: Psn::new(0x222222),
        responder_resources: 3,
        initiator_depth: 2,
        rnr_retry: 7,
        private_data: consumers_data.iter().copied().collect(),
    }
}

/// The only REJ that was said, and what it refuses.
fn refusal(message: Message) -> Rej {
    match message {
        Message::Rej(rej) => rej,
        other => panic!("{other}"),
    }
}
