use proptest::prelude::*;

use super::*;
use crate::roce::wire::{GSI_QP, Gid, Headers, ICRC_LEN, Opcode, Psn, RdmaCmHeader, capture, service_id};

/// The MADs of the captured frames, in order: a connection and its end, a refused one (IPv4); a connection (IPv6).
fn captured() -> Vec<[u8; MAD_LEN]> {
    let mads = capture::all().into_iter().filter_map(|frame| {
        let (headers, payload) = Headers::parse(&frame.datagram[..frame.datagram.len() - ICRC_LEN]).unwrap();
        (headers.opcode == Opcode::UdSendOnly && headers.dest_qp == GSI_QP).then(|| payload.try_into().unwrap())
    });
    mads.collect()
}

fn parsed(index: usize) -> Message {
    CmMad::parse(&captured()[index]).unwrap().message
}

fn emitted(mad: &CmMad) -> [u8; MAD_LEN] {
    let mut bytes = [0xee; MAD_LEN];
    mad.emit(&mut bytes);
    bytes
}

#[test]
fn captured_messages_are_emitted_as_they_came() {
    let mads = captured();
    assert_eq!(mads.len(), 12);
    for bytes in mads {
        assert_eq!(emitted(&CmMad::parse(&bytes).unwrap()), bytes);
    }
}

#[test]
fn captured_messages_in_one_line_each() {
    let lines: Vec<_> = captured().iter().map(|mad| CmMad::parse(mad).unwrap().to_string()).collect();
    let expected = [
        "REQ 0x1937123a > 0x0, 10.78.0.2 > 10.78.0.1, service 0x1061b58, qp 0x11, psn 0xf57048, mtu 4096, responder \
         resources 1, initiator depth 1, retries 7, rnr retries 7, ack timeout 19, tid 0x23a123719",
        "REP 0xa78182f2 > 0x1937123a, qp 0x11, psn 0x19ae6f, responder resources 1, initiator depth 1, rnr retries 7\
        , tid 0x23a123719",
        "RTU 0x1937123a > 0xa78182f2, tid 0x23a123719",
        "DREQ 0x1937123a > 0xa78182f2, remote qp 0x11, tid 0x23a123719",
        "DREP 0xa78182f2 > 0x1937123a, tid 0x23a123719",
        "REQ 0x1837123a > 0x0, 10.78.0.2 > 10.78.0.1, service 0x10615b3, qp 0x12, psn 0x11f2bc, mtu 4096, responder \
         resources 4, initiator depth 0, retries 7, rnr retries 7, ack timeout 19, tid 0x23a123718",
        "REJ 0x0 > 0x1837123a, REQ refused, reason 28 (refused by the consumer), tid 0x23a123718",
    ];
    assert_eq!(lines[..7], expected);
}

/// A REQ of the kernel's SRP initiator. Each number below was read off the bytes by hand.
#[test]
fn req_fields() {
    let Message::Req(req) = parsed(5) else { panic!("{:?}", parsed(5)) };
    assert_eq!(req.local_comm_id, 0x1837_123a);
    assert_eq!(req.service_id, service_id(5555));
    assert_eq!(req.local_ca_guid, 0x5054_00ff_fe00_000b);
    assert_eq!(req.local_qpn, 0x12);
    assert_eq!((req.responder_resources, req.initiator_depth), (4, 0));
    assert_eq!((req.remote_cm_response_timeout, req.local_cm_response_timeout), (20, 20));
    assert_eq!(req.transport_service_type, RELIABLE_CONNECTION);
    assert!(req.end_to_end_flow_control);
    assert_eq!(req.starting_psn, Psn::new(0x11_f2bc));
    assert_eq!((req.retry_count, req.rnr_retry_count, req.max_cm_retries), (7, 7, 15));
    assert_eq!((req.partition_key, req.path_mtu, req.rdc_exists, req.srq), (0xffff, 5, false, false));
    let path = PathInformation {
        local_lid: 0xffff,
        remote_lid: 0xffff,
        local_gid: Gid::from("10.78.0.2".parse::<std::net::IpAddr>().unwrap()),
        remote_gid: Gid::from("10.78.0.1".parse::<std::net::IpAddr>().unwrap()),
        flow_label: 0x6_15c5,
        packet_rate: 0,
        traffic_class: 0,
        hop_limit: 64,
        service_level: 0,
        subnet_local: false,
        local_ack_timeout: 19,
    };
    assert_eq!(req.primary_path, path);
    let (header, login) = RdmaCmHeader::parse(&req.private_data).unwrap();
    let (source, destination) = ("10.78.0.2".parse().unwrap(), "10.78.0.1".parse().unwrap());
    assert_eq!(header, RdmaCmHeader { source_port: 0xb5ae, source, destination });
    assert_eq!(login.len(), 56);
    assert_eq!(login[8..16], [0, 6, 0x80, 0, 0, 0, 0x20, 0x44], "the fields behind the tag of an SRP login");
}

#[test]
fn rep_fields() {
    let Message::Rep(rep) = parsed(1) else { panic!("{:?}", parsed(1)) };
    let expected = Rep {
        local_comm_id: 0xa781_82f2,
        remote_comm_id: 0x1937_123a,
        local_qpn: 0x11,
        starting_psn: Psn::new(0x19_ae6f),
        responder_resources: 1,
        initiator_depth: 1,
        target_ack_delay: 15,
        failover_accepted: 0,
        end_to_end_flow_control: false,
        rnr_retry_count: 7,
        srq: false,
        local_ca_guid: 0x5054_00ff_fe00_000a,
        private_data: [0; REP_PRIVATE_DATA_LEN],
    };
    assert_eq!(rep, expected);
}

#[test]
fn rej_fields() {
    let Message::Rej(rej) = parsed(6) else { panic!("{:?}", parsed(6)) };
    assert_eq!((rej.local_comm_id, rej.remote_comm_id), (0, 0x1837_123a));
    assert_eq!((rej.message, rej.reason), (ABOUT_REQ, RejectReason::CONSUMER));
    assert!(rej.information.is_empty());
    assert_eq!(rej.private_data[..8], [0xc2, 0, 0, 0, 0, 1, 0, 6], "opcode and reason of an SRP login reject");
}

/// Fields that captured messages leave 0, where the standard's tables have them.
#[test]
fn bits_that_the_captures_do_not_show() {
    let Message::Req(mut req) = parsed(5) else { panic!() };
    req.transport_service_type = 3;
    (req.rdc_exists, req.srq) = (true, true);
    req.primary_path.packet_rate = 0x3f;
    (req.primary_path.service_level, req.primary_path.subnet_local) = (0xa, true);
    let bytes = emitted(&CmMad { transaction_id: 1, message: Message::Req(req) });
    let data = &bytes[24..];
    assert_eq!((data[43], data[50], data[51]), (20 << 3 | 7, 0x5f, 0xf8));
    assert_eq!((data[91], data[94]), (0x3f, 0xa8));

    let Message::Rep(mut rep) = parsed(1) else { panic!() };
    (rep.failover_accepted, rep.end_to_end_flow_control, rep.srq) = (2, true, true);
    let bytes = emitted(&CmMad { transaction_id: 1, message: Message::Rep(rep) });
    assert_eq!((bytes[24 + 26], bytes[24 + 27]), (0x7d, 0xf0));

    let mra = Mra {
        local_comm_id: 1,
        remote_comm_id: 2,
        message: ABOUT_REP,
        service_timeout: 21,
        private_data: [3; MRA_PRIVATE_DATA_LEN],
    };
    let bytes = emitted(&CmMad { transaction_id: 1, message: Message::Mra(mra) });
    assert_eq!(bytes[16..18], [0, 0x11]);
    assert_eq!(bytes[24..36], [0, 0, 0, 1, 0, 0, 0, 2, 0x40, 0xa8, 3, 3]);

    let Message::Rej(mut rej) = parsed(6) else { panic!() };
    rej.message = ABOUT_OTHER;
    rej.reason = RejectReason::INVALID_PATH_MTU;
    rej.information.push(4);
    let bytes = emitted(&CmMad { transaction_id: 1, message: Message::Rej(rej) });
    assert_eq!(bytes[24 + 8..24 + 14], [0x80, 2, 0, 26, 4, 0]);
}

#[test]
fn a_reject_with_a_length_that_lies_is_still_a_reject() {
    let mut bytes = captured()[6];
    bytes[24 + 9] = 127 << 1;
    let Message::Rej(rej) = CmMad::parse(&bytes).unwrap().message else { panic!() };
    assert_eq!(rej.information.len(), REJ_INFORMATION_LEN);
}

#[test]
fn what_is_no_message_of_ours_says_why() {
    let good = captured()[0];
    let with = |at: usize, value: u8| {
        let mut bytes = good;
        bytes[at] = value;
        CmMad::parse(&bytes).map(|mad| mad.transaction_id)
    };
    assert_eq!(CmMad::parse(&good[..255]), Err(MadError::Length(255)));
    assert_eq!(CmMad::parse(&[]), Err(MadError::Length(0)));
    assert_eq!(with(0, 2), Err(MadError::BaseVersion(2)));
    assert_eq!(with(1, 4), Err(MadError::Class(4)));
    assert_eq!(with(2, 1), Err(MadError::ClassVersion(1)));
    assert_eq!(with(3, 1), Err(MadError::Method(1)));
    assert_eq!(with(17, 0x17), Err(MadError::Unsupported("SIDR_REQ")));
    assert_eq!(with(17, 0x18), Err(MadError::Unsupported("SIDR_REP")));
    assert_eq!(with(17, 0x19), Err(MadError::Unsupported("LAP")));
    assert_eq!(with(17, 0x1a), Err(MadError::Unsupported("APR")));
    assert_eq!(with(17, 0x1b), Err(MadError::Attribute(0x1b)));
    assert_eq!(with(16, 1), Err(MadError::Attribute(0x110)));
}

#[test]
fn timeouts() {
    assert_eq!(timeout_ns(0), 4_096);
    assert_eq!(timeout_ns(19), 2_147_483_648);
    assert_eq!(timeout_ns(31), 8_796_093_022_208);
}

#[test]
fn reject_reasons_have_the_numbers_of_the_standard() {
    assert_eq!(RejectReason::NO_QP.0, 1);
    assert_eq!(RejectReason::INVALID_SERVICE_ID.0, 8);
    assert_eq!(RejectReason::STALE_CONNECTION.0, 10);
    assert_eq!(RejectReason::DUPLICATE_LOCAL_COMM_ID.to_string(), "30 (the communication ID is in use)");
    assert_eq!(RejectReason(34).to_string(), "34 (reserved)");
}

proptest! {
    #[test]
    fn any_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = CmMad::parse(&bytes);
    }

    #[test]
    fn any_message_is_read_back_as_it_was_emitted(
        header in any::<[u8; 8]>(),
        attribute in attribute::REQ..=attribute::DREP,
        data in prop::collection::vec(any::<u8>(), MAD_DATA_LEN),
    ) {
        let mut bytes = captured()[0];
        bytes[8..16].copy_from_slice(&header);
        bytes[16..18].copy_from_slice(&attribute.to_be_bytes());
        bytes[24..].copy_from_slice(&data);
        let mad = CmMad::parse(&bytes).unwrap();
        let again = CmMad::parse(&emitted(&mad)).unwrap();
        prop_assert_eq!(&again, &mad);
        prop_assert!(!mad.to_string().contains('\n'));
    }
}
