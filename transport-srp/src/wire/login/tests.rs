use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::wire::golden;

const INITIATOR: PortId = PortId::new(0, 0xe81c_f0ff_fe83_cea9);
const TARGET: PortId = PortId::new(0x0002_c903_0000_1234, 0x0002_c903_0000_5678);

#[test]
fn a_login_through_rdma_cm_as_linux_sends_it() {
    let bytes = golden::bytes(golden::LOGIN_RDMA_CM);
    let expected = LoginRequest {
        tag: Tag([0; 8]),
        max_it_iu_len: 8260,
        buffer_formats: FORMAT_DIRECT | FORMAT_INDIRECT,
        multi_channel: MultiChannelAction::Single,
        immediate_data: true,
        immediate_offset: 68,
        initiator_port_id: INITIATOR,
        target_port_id: TARGET,
        solicited: LoginSolicited::default(),
    };
    assert_eq!(LoginRequest::parse(&bytes, LoginForm::RdmaCm), Ok(expected));
    assert_eq!(expected.emit_rdma_cm(), *bytes);
}

#[test]
fn a_login_through_the_infiniband_cm_as_linux_sends_it() {
    let bytes = golden::bytes(golden::LOGIN_IB_CM);
    let expected = LoginRequest {
        tag: Tag([0; 8]),
        max_it_iu_len: 8260,
        buffer_formats: FORMAT_DIRECT | FORMAT_INDIRECT,
        multi_channel: MultiChannelAction::Multi,
        immediate_data: true,
        immediate_offset: 68,
        initiator_port_id: PortId::new(0, 0x0002_c903_000f_2e51),
        target_port_id: TARGET,
        solicited: LoginSolicited::default(),
    };
    assert_eq!(LoginRequest::parse(&bytes, LoginForm::IbCm), Ok(expected));
    assert_eq!(expected.emit_ib_cm(), *bytes);
    let padded: Vec<u8> = bytes.iter().copied().chain([0xff; 28]).collect();
    assert_eq!(LoginRequest::parse(&padded, LoginForm::IbCm), Ok(expected), "the CM carries 92 bytes");
}

#[test]
fn an_old_sender_leaves_the_offset_out() {
    let bytes = golden::bytes(golden::LOGIN_RDMA_CM);
    for len in [48, 49] {
        let request = LoginRequest::parse(&bytes[..len], LoginForm::RdmaCm).unwrap();
        assert_eq!((request.immediate_offset, request.target_port_id), (0, TARGET), "{len} bytes");
    }
    assert_eq!(LoginRequest::parse(&bytes[..50], LoginForm::RdmaCm).unwrap().immediate_offset, 68);
}

#[test]
fn a_short_login_is_refused_with_its_length() {
    let error = LoginRequest::parse(&[0; 47], LoginForm::RdmaCm).unwrap_err();
    assert_eq!(error.to_string(), "SRP_LOGIN_REQ: 47 bytes of private data, it has 48");
    let error = LoginRequest::parse(&[0; 63], LoginForm::IbCm).unwrap_err();
    assert_eq!(error, LoginError::TooShort { message: "SRP_LOGIN_REQ", len: 63, minimum: 64 });
}

#[test]
fn another_protocol_is_refused_by_its_opcode() {
    let mut bytes = golden::bytes(golden::LOGIN_RDMA_CM);
    bytes[11] = 0x2a;
    let error = LoginRequest::parse(&bytes, LoginForm::RdmaCm).unwrap_err();
    let expected = LoginError::BadOpcode { message: "SRP_LOGIN_REQ", opcode: 0x2a, expected: 0, position: 11 };
    assert_eq!(error, expected);
    let mut bytes = golden::bytes(golden::LOGIN_IB_CM);
    bytes[0] = 0xc0;
    let error = LoginRequest::parse(&bytes, LoginForm::IbCm).unwrap_err();
    let expected = LoginError::BadOpcode { message: "SRP_LOGIN_REQ", opcode: 0xc0, expected: 0, position: 0 };
    assert_eq!(error, expected);
}

#[test]
fn a_login_response_is_golden() {
    let response = LoginResponse {
        tag: Tag([1, 2, 3, 4, 5, 6, 7, 8]),
        request_limit_delta: 128,
        max_it_iu_len: 8260,
        max_ti_iu_len: 292,
        buffer_formats: FORMAT_DIRECT | FORMAT_INDIRECT,
        multi_channel: MultiChannelResult::Maintained,
        immediate_data: true,
        solicited_supported: true,
    };
    let expected = golden::bytes(
        "c0 000000 00000080 0102030405060708
         00002044 00000124 0006 92 00
         0000000000000000 0000000000000000 0000000000000000",
    );
    assert_eq!(response.emit(), *expected);
    assert_eq!(LoginResponse::parse(&expected), Ok(response));
}

#[test]
fn a_login_reject_is_golden() {
    let reject = LoginReject { tag: Tag([1, 2, 3, 4, 5, 6, 7, 8]), reason: RejectReason::NoSuchTarget };
    let expected = golden::bytes("c2 000000 00010003 0102030405060708 0000000000000000 0006 000000000000");
    assert_eq!(reject.emit(), *expected);
    assert_eq!(LoginReject::parse(&expected), Ok(reject));
    assert!(matches!(LoginResponse::parse(&expected), Err(LoginError::TooShort { .. })));
}

#[test]
fn every_reject_reason_survives_the_wire() {
    for code in 0x0001_0000..=0x0001_0006 {
        let reason = RejectReason::from_code(code);
        assert_eq!(reason as u32, code);
        assert!(reason.to_string().ends_with(&format!("({code:#x})")), "{reason}");
    }
    assert_eq!(RejectReason::from_code(0x0001_0007), RejectReason::UnableToEstablish);
}

fn request() -> impl Strategy<Value = LoginRequest> {
    let numbers = (any::<[u8; 8]>(), any::<u32>(), any::<u16>(), any::<u8>(), any::<u16>());
    (numbers, any::<[u8; 16]>(), any::<[u8; 16]>()).prop_map(
        |((tag, max_it_iu_len, buffer_formats, flags, immediate_offset), initiator, target)| LoginRequest {
            tag: Tag(tag),
            max_it_iu_len,
            buffer_formats,
            multi_channel: MultiChannelAction::from_byte(flags),
            immediate_data: flags & IMMEDIATE_DATA != 0,
            immediate_offset,
            initiator_port_id: PortId(initiator),
            target_port_id: PortId(target),
            solicited: LoginSolicited::from_byte(flags),
        },
    )
}

proptest! {
    #[test]
    fn requests_round_trip(request in request()) {
        prop_assert_eq!(LoginRequest::parse(&request.emit_rdma_cm(), LoginForm::RdmaCm), Ok(request));
        prop_assert_eq!(LoginRequest::parse(&request.emit_ib_cm(), LoginForm::IbCm), Ok(request));
    }

    #[test]
    fn responses_round_trip(tag: [u8; 8], numbers: [u32; 3], buffer_formats: u16, bits in 0u8..16) {
        let response = LoginResponse {
            tag: Tag(tag),
            request_limit_delta: numbers[0] as i32,
            max_it_iu_len: numbers[1],
            max_ti_iu_len: numbers[2],
            buffer_formats,
            multi_channel: [
                MultiChannelResult::NoChannel,
                MultiChannelResult::Terminated,
                MultiChannelResult::Maintained,
                MultiChannelResult::Reserved,
            ][usize::from(bits & 3)],
            immediate_data: bits & 4 != 0,
            solicited_supported: bits & 8 != 0,
        };
        prop_assert_eq!(LoginResponse::parse(&response.emit()), Ok(response));
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..100), zero in 0usize..12) {
        let mut bytes = bytes;
        if let Some(byte) = bytes.get_mut(zero) {
            *byte = 0;
        }
        let _ = LoginRequest::parse(&bytes, LoginForm::RdmaCm);
        let _ = LoginRequest::parse(&bytes, LoginForm::IbCm);
        let _ = LoginResponse::parse(&bytes);
        let _ = LoginReject::parse(&bytes);
    }
}
