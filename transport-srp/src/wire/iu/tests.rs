use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::wire::golden;
use crate::wire::rsp::LogoutReason;

const TAG: Tag = Tag([8, 7, 6, 5, 4, 3, 2, 1]);

#[test]
fn opcodes_lead_to_their_iu() {
    assert!(matches!(parse(&golden::bytes(golden::INQUIRY), None), Ok(Iu::Command(_))));
    assert!(matches!(parse(&golden::bytes(golden::ABORT_TASK), None), Ok(Iu::TaskManagement(_))));
    assert_eq!(parse(&logout(TAG), None), Ok(Iu::Logout { tag: TAG }));
    assert_eq!(parse(&cred_rsp(TAG), None), Ok(Iu::CredRsp { tag: TAG }));
    assert_eq!(parse(&aer_rsp(TAG), None), Ok(Iu::AerRsp { tag: TAG }));
}

#[test]
fn short_ius_are_golden() {
    assert_eq!(logout(TAG), [0x03, 0, 0, 0, 0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(cred_rsp(TAG), [0x41, 0, 0, 0, 0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(aer_rsp(TAG), [0x42, 0, 0, 0, 0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1]);
}

#[test]
fn every_other_opcode_is_unknown() {
    let known = [opcode::CMD, opcode::TSK_MGMT, opcode::I_LOGOUT, opcode::CRED_RSP, opcode::AER_RSP];
    for other in (0..=255).filter(|opcode| !known.contains(opcode)) {
        assert_eq!(parse(&[other; 64], None), Err(IuError::UnknownOpcode(other)));
    }
}

#[test]
fn a_short_iu_has_no_tag_to_trust() {
    assert_eq!(parse(&[], None), Err(IuError::Malformed { iu: "an empty IU", len: 0, minimum: 16 }));
    let logout = logout(TAG);
    let error = parse(&logout[..15], None).unwrap_err();
    assert_eq!(error.to_string(), "SRP_I_LOGOUT of 15 bytes, its fixed part alone has 16");
}

#[test]
fn a_refusal_says_what_is_wrong() {
    let mut iu = golden::bytes(golden::READ_INDIRECT);
    iu[1] = 0x04;
    let error = parse(&iu[..84], None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "SRP_CMD with tag 0x0800000000000000: data-in descriptor count: 2 descriptors end at byte 100 of an IU of 84 bytes"
    );
    let IuError::Refuse { solicited, .. } = error else { panic!("{error:?}") };
    assert_eq!(solicited, Solicited { on_success: false, on_failure: true });
}

#[test]
fn a_target_s_opcodes_lead_to_their_iu() {
    let mut out = [0; 64];
    let credit = CredReq { tag: TAG, request_limit_delta: 3, solicited: false };
    let len = credit.emit(&mut out);
    assert_eq!(parse_from_target(&out[..len]), Ok(TargetIu::CredReq(credit)));
    let event = AerReq { tag: TAG, request_limit_delta: 0, solicited: true, lun: [1; 8], sense: &[0x70, 0, 6] };
    let len = event.emit(&mut out);
    assert_eq!(parse_from_target(&out[..len]), Ok(TargetIu::AerReq(event)));
    let farewell = TLogout { tag: TAG, reason: Ok(LogoutReason::Inactive), solicited: false };
    let len = farewell.emit(&mut out);
    assert_eq!(parse_from_target(&out[..len]), Ok(TargetIu::Logout(farewell)));
    assert_eq!(parse_from_target(&logout(TAG)), Err(TargetIuError::UnknownOpcode(opcode::I_LOGOUT)));
    assert!(matches!(parse_from_target(&[]), Err(TargetIuError::TooShort { .. })));
}

/// Any bytes, behind an opcode that is known as often as not.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    const KNOWN: [u8; 12] = [0x00, 0x01, 0x02, 0x03, 0x41, 0x42, 0x80, 0x81, 0x82, 0xc0, 0xc1, 0xc2];
    let opcode = prop_oneof![prop::sample::select(&KNOWN[..]), any::<u8>()];
    (vec(any::<u8>(), 0..400), opcode).prop_map(|(mut bytes, opcode)| {
        if let Some(first) = bytes.first_mut() {
            *first = opcode;
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_panic(bytes in bytes(), immediate_offset: Option<u16>) {
        let _ = parse(&bytes, immediate_offset);
        let _ = parse_from_target(&bytes);
    }

    #[test]
    fn every_tag_comes_back_as_it_is(tag: [u8; 8]) {
        prop_assert_eq!(parse(&logout(Tag(tag)), None), Ok(Iu::Logout { tag: Tag(tag) }));
    }
}
