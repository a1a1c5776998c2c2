//! The kernel's own messages, captured between two soft-RoCE ends: we answer as it did, and say what it says.

use std::net::IpAddr;

use super::*;
use crate::roce::wire::{ICRC_LEN, Opcode};

/// Reads of the captures what the tests need: the MADs of queue pair 1, each behind 20 bytes of BTH and DETH.
fn captured(pcap: &[u8], udp_at: usize) -> Vec<Mad> {
    let mut mads = Vec::new();
    let mut rest = &pcap[24..];
    while !rest.is_empty() {
        let len = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        let packet = &rest[16..16 + len][udp_at + 8..];
        if packet[0] == Opcode::UdSendOnly as u8 {
            mads.push(packet[20..packet.len() - ICRC_LEN].try_into().unwrap());
        }
        rest = &rest[16 + len..];
    }
    mads
}

fn ipv4() -> Vec<Mad> {
    captured(include_bytes!("../../wire/testdata/rxe-ipv4.pcap"), 14 + 20)
}

fn ipv6() -> Vec<Mad> {
    captured(include_bytes!("../../wire/testdata/rxe-ipv6.pcap"), 14 + 40)
}

fn path(local: &str, peer: &str) -> Path {
    let end = |address: &str| SocketAddr::new(address.parse::<IpAddr>().unwrap(), UDP_PORT);
    Path { local: end(local), peer: end(peer) }
}

/// GUIDs of the two ends in the captures.
const ACTIVE_GUID: u64 = 0x5054_00ff_fe00_000b;
const PASSIVE_GUID: u64 = 0x5054_00ff_fe00_000a;

fn cm(node_guid: u64) -> Cm {
    Cm::new(CmOptions { node_guid, seed: 3, half_open_max: 8 })
}

fn message(mad: &Mad) -> Message {
    CmMad::parse(mad).unwrap().message
}

/// The kernel's message, with our id where the capture has that of the end which we stand in for.
fn to_us(mad: &Mad, ours: CmId) -> Mad {
    let mut mad = *mad;
    mad[28..32].copy_from_slice(&ours.0.to_be_bytes());
    mad
}

/// Our message, with the id of the end which we stand in for.
fn as_theirs(mad: &Mad, theirs: &Mad) -> Mad {
    let mut mad = *mad;
    mad[24..28].copy_from_slice(&theirs[24..28]);
    mad
}

fn is_served(path: &Path, mads: &[Mad]) {
    let [req, rep, rtu, dreq, drep] = mads else { panic!("{} messages", mads.len()) };
    let Message::Rep(their_rep) = message(rep) else { panic!("not a REP") };
    let mut cm = cm(PASSIVE_GUID);
    let listening = |port| port == 7000;
    cm.on_mad(0, path, 4096, &listening, req);
    let Some(CmEvent::Requested { id, request, .. }) = cm.next_event() else { panic!("not asked") };
    assert_eq!((request.remote_qpn, request.mtu, request.ack_timeout), (0x11, 4096, 19));
    assert_eq!((request.retry_count, request.rnr_retry, request.flow_control), (7, 7, false));
    assert_eq!((request.responder_resources, request.initiator_depth), (1, 1));
    let reply = CmReply {
        qpn: their_rep.local_qpn,
        active_sends_from: their_rep.starting_psn,
        responder_resources: 1,
        initiator_depth: 1,
        rnr_retry: 7,
        private_data: PrivateData::new(),
    };
    assert!(cm.accept(0, id, reply));
    let (_, mut our_rep) = cm.next_mad(0).unwrap();
    our_rep[24 + 26] &= !0x06; // the kernel says nothing about alternate paths
    assert_eq!(as_theirs(&our_rep, rep), *rep);

    cm.on_mad(0, path, 4096, &listening, &to_us(rtu, id));
    assert!(matches!(cm.next_event(), Some(CmEvent::Established { .. })));
    cm.on_mad(0, path, 4096, &listening, &to_us(dreq, id));
    assert!(matches!(cm.next_event(), Some(CmEvent::Ended { .. })));
    let (to, our_drep) = cm.next_mad(0).unwrap();
    assert_eq!((to, as_theirs(&our_drep, drep)), (*path, *drep));
    assert_eq!(cm.counters(), CmCounters::default());
}

#[test]
fn kernels_initiator_is_served_over_ipv4() {
    is_served(&path("10.78.0.1", "10.78.0.2"), &ipv4()[..5]);
}

#[test]
fn kernels_initiator_is_served_through_a_socket_of_both_ip_versions() {
    is_served(&path("::ffff:10.78.0.1", "::ffff:10.78.0.2"), &ipv4()[..5]);
}

#[test]
fn kernels_initiator_is_served_over_ipv6() {
    is_served(&path("fd81::1", "fd81::2"), &ipv6());
}

#[test]
fn kernels_srp_initiator_is_refused_as_the_kernels_target_did() {
    let [.., req, rej] = &ipv4()[..] else { panic!("no messages") };
    let mut cm = cm(PASSIVE_GUID);
    cm.on_mad(0, &path("10.78.0.1", "10.78.0.2"), 4096, &|port| port == 5555, req);
    let Some(CmEvent::Requested { id, request, .. }) = cm.next_event() else { panic!("not asked") };
    assert_eq!((request.responder_resources, request.initiator_depth, request.flow_control), (4, 0, true));
    assert_eq!(request.private_data.len(), 56);
    let Message::Rej(theirs) = message(rej) else { panic!("not a REJ") };
    cm.reject(0, id, &theirs.private_data);
    assert_eq!(cm.next_mad(0).unwrap().1, *rej);
}

/// The request for another address than the one it came to.
#[test]
fn kernels_request_for_another_address_is_refused() {
    let mut cm = cm(PASSIVE_GUID);
    cm.on_mad(0, &path("10.78.0.7", "10.78.0.2"), 4096, &|_| true, &ipv4()[0]);
    let Message::Rej(rej) = message(&cm.next_mad(0).unwrap().1) else { panic!("not refused") };
    assert_eq!(rej.reason, RejectReason::INVALID_GID);
}

fn is_asked(path: &Path, mads: &[Mad]) {
    let [req, rep, rtu, ..] = mads else { panic!("{} messages", mads.len()) };
    let Message::Req(theirs) = message(req) else { panic!("not a REQ") };
    let (header, _) = RdmaCmHeader::parse(&theirs.private_data).unwrap();
    let mut cm = cm(ACTIVE_GUID);
    let request = CmRequest {
        port: 7000,
        source_port: header.source_port,
        remote_qpn: 0x11,
        passive_sends_from: theirs.starting_psn,
        responder_resources: 1,
        initiator_depth: 1,
        mtu: 4096,
        ack_timeout: 19,
        retry_count: 7,
        rnr_retry: 7,
        flow_control: false,
        private_data: PrivateData::new(),
    };
    let id = cm.connect(0, path, request);
    let Message::Req(ours) = message(&cm.next_mad(0).unwrap().1) else { panic!("not a REQ") };
    let primary_path = PathInformation { flow_label: theirs.primary_path.flow_label, ..ours.primary_path };
    assert_eq!(Req { local_comm_id: theirs.local_comm_id, primary_path, ..ours }, theirs);

    cm.on_mad(0, path, 4096, &|_| false, &to_us(rep, id));
    let Some(CmEvent::Connected { reply, .. }) = cm.next_event() else { panic!("not connected") };
    assert_eq!((reply.qpn, reply.rnr_retry), (0x11, 7));
    assert_eq!(as_theirs(&cm.next_mad(0).unwrap().1, rtu), *rtu);
}

#[test]
fn kernels_target_is_asked_as_the_kernels_initiator_does() {
    is_asked(&path("10.78.0.2", "10.78.0.1"), &ipv4()[..5]);
    is_asked(&path("::ffff:10.78.0.2", "::ffff:10.78.0.1"), &ipv4()[..5]);
    is_asked(&path("fd81::2", "fd81::1"), &ipv6());
}
