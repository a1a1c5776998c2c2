use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const TAG: Tag = Tag([5, 0, 1, 0, 0, 0, 0, 0]);

/// UNIT ATTENTION, POWER ON, fixed format.
const SENSE: [u8; 18] = [0x70, 0, 6, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x29, 0, 0, 0, 0, 0];

fn status(status: u8, residuals: Residuals, sense: &[u8]) -> Response<'_> {
    let body = ResponseBody::Status { status, residuals, sense };
    Response { tag: TAG, request_limit_delta: 1, solicited: false, body }
}

fn emitted(response: &Response<'_>) -> Vec<u8> {
    let mut out = [0xee; 400];
    let len = response.emit(&mut out);
    assert_eq!(len, response.emitted_len());
    assert!(out[len..].iter().all(|&byte| byte == 0xee), "not a byte more than its length");
    out[..len].to_vec()
}

#[test]
fn good_status_is_36_bytes() {
    let mut expected = [0; 36];
    expected[0] = 0xc1;
    expected[7] = 1;
    expected[8..16].copy_from_slice(&TAG.0);
    assert_eq!(emitted(&status(0, Residuals::default(), &[])), expected);
}

#[test]
fn check_condition_carries_its_sense_at_36() {
    let residuals = Residuals { data_out: Residual::None, data_in: Residual::Under(0x1234) };
    let iu = emitted(&status(2, residuals, &SENSE));
    assert_eq!(iu.len(), 36 + 18);
    assert_eq!(iu[18..36], [0x22, 2, 0, 0, 0, 0, 0, 0, 0x12, 0x34, 0, 0, 0, 18, 0, 0, 0, 0]);
    assert_eq!(iu[36..], SENSE);
}

#[test]
fn each_residual_has_its_bit_and_its_place() {
    let (none, under, over) = (Residual::None, Residual::Under(7), Residual::Over(9));
    let written = |data_out, data_in| emitted(&status(0, Residuals { data_out, data_in }, &[]))[18..28].to_vec();
    assert_eq!(written(under, none), [0x08, 0, 0, 0, 0, 7, 0, 0, 0, 0]);
    assert_eq!(written(over, none), [0x04, 0, 0, 0, 0, 9, 0, 0, 0, 0]);
    assert_eq!(written(none, under), [0x20, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
    assert_eq!(written(none, over), [0x10, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
    assert_eq!(written(over, under), [0x24, 0, 0, 0, 0, 9, 0, 0, 0, 7]);
}

#[test]
fn a_residual_is_the_difference() {
    assert_eq!(Residual::of(512, 512), Residual::None);
    assert_eq!(Residual::of(512, 500), Residual::Under(12));
    assert_eq!(Residual::of(512, 1024), Residual::Over(512));
    assert_eq!(Residual::of(u32::MAX, 0), Residual::Under(u32::MAX));
    assert_eq!(Residual::of(0, u64::MAX), Residual::Over(u32::MAX));
}

#[test]
fn the_task_management_code_is_byte_39() {
    let body = ResponseBody::TaskManagement(TmfStatus::Failed);
    let iu = emitted(&Response { tag: TAG, request_limit_delta: 2, solicited: true, body });
    assert_eq!(iu.len(), 40);
    assert_eq!((iu[1], iu[7]), (1, 2));
    assert_eq!(iu[18..], [0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 5]);
}

#[test]
fn credits_may_be_taken_back() {
    let response = Response { request_limit_delta: -1, ..status(0, Residuals::default(), &[]) };
    assert_eq!(emitted(&response)[4..8], [0xff; 4]);
    assert_eq!(Response::parse(&emitted(&response)), Ok(response));
}

#[test]
fn a_target_s_own_requests_are_golden() {
    let mut out = [0xee; 64];
    let credit = CredReq { tag: TAG, request_limit_delta: 0x0102, solicited: true };
    assert_eq!(credit.emit(&mut out), 16);
    assert_eq!(out[..17], [0x81, 1, 0, 0, 0, 0, 1, 2, 5, 0, 1, 0, 0, 0, 0, 0, 0xee]);

    let event =
        AerReq { tag: TAG, request_limit_delta: 1, solicited: false, lun: [0, 5, 0, 0, 0, 0, 0, 0], sense: &SENSE };
    assert_eq!(event.emit(&mut out), 36 + 18);
    assert_eq!(out[..16], [0x82, 0, 0, 0, 0, 0, 0, 1, 5, 0, 1, 0, 0, 0, 0, 0]);
    assert_eq!(out[16..36], [0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 18, 0, 0, 0, 0]);
    assert_eq!(out[36..54], SENSE);

    let farewell = TLogout { tag: TAG, reason: Ok(LogoutReason::MultiChannelAction), solicited: false };
    assert_eq!(farewell.emit(&mut out), 16);
    assert_eq!(out[..16], [0x80, 0, 0, 0, 0, 0, 0, 4, 5, 0, 1, 0, 0, 0, 0, 0]);
}

#[test]
fn lengths_behind_the_iu_are_refused() {
    let iu = emitted(&status(2, Residuals::default(), &SENSE));
    let error = Response::parse(&iu[..53]).unwrap_err();
    assert_eq!(error, TargetIuError::TooShort { iu: "SRP_RSP", len: 53, needed: 54 });
    let mut iu = iu;
    iu[28..32].fill(0xff);
    let error = Response::parse(&iu).unwrap_err();
    assert_eq!(error, TargetIuError::TooShort { iu: "SRP_RSP", len: 54, needed: 36 + u64::from(u32::MAX) });
}

#[test]
fn response_data_without_a_known_code_is_refused() {
    let body = ResponseBody::TaskManagement(TmfStatus::Complete);
    let mut iu = emitted(&Response { tag: TAG, request_limit_delta: 1, solicited: false, body });
    iu[39] = 7;
    assert_eq!(Response::parse(&iu), Err(TargetIuError::ResponseData { len: 4, code: 7 }));
    iu[35] = 3;
    assert_eq!(Response::parse(&iu), Err(TargetIuError::ResponseData { len: 3, code: 0 }));
}

fn residual() -> impl Strategy<Value = Residual> {
    prop_oneof![Just(Residual::None), any::<u32>().prop_map(Residual::Under), any::<u32>().prop_map(Residual::Over)]
}

proptest! {
    /// What moved, and what the count says beside the buffer, are what was wanted, as far as 32 bits can say.
    #[test]
    fn residuals_add_up(buffer_len: u32, wanted in prop_oneof![any::<u64>(), 0_u64..1 << 33]) {
        let moved = wanted.min(buffer_len.into());
        match Residual::of(buffer_len, wanted) {
            Residual::None => prop_assert_eq!(wanted, u64::from(buffer_len)),
            Residual::Under(left) => prop_assert_eq!(moved + u64::from(left), u64::from(buffer_len)),
            Residual::Over(u32::MAX) => prop_assert!(wanted >= moved + u64::from(u32::MAX)),
            Residual::Over(missing) => prop_assert_eq!(moved + u64::from(missing), wanted),
        }
    }

    #[test]
    fn status_round_trip(
        tag: [u8; 8], request_limit_delta: i32, solicited: bool, status: u8,
        data_out in residual(), data_in in residual(), sense in vec(any::<u8>(), 0..=252),
    ) {
        let body = ResponseBody::Status { status, residuals: Residuals { data_out, data_in }, sense: &sense };
        let response = Response { tag: Tag(tag), request_limit_delta, solicited, body };
        let iu = emitted(&response);
        prop_assert_eq!(Response::parse(&iu), Ok(response));
    }

    #[test]
    fn task_management_round_trip(tag: [u8; 8], request_limit_delta: i32, solicited: bool, code in 0u8..6) {
        if let Ok(status) = TmfStatus::try_from(code) {
            let body = ResponseBody::TaskManagement(status);
            let response = Response { tag: Tag(tag), request_limit_delta, solicited, body };
            let iu = emitted(&response);
            prop_assert_eq!(Response::parse(&iu), Ok(response));
        }
    }

    #[test]
    fn requests_round_trip(
        tag: [u8; 8], request_limit_delta: i32, solicited: bool, lun: [u8; 8], sense in vec(any::<u8>(), 0..100), code: u32,
    ) {
        let (tag, mut out) = (Tag(tag), [0; 200]);
        let credit = CredReq { tag, request_limit_delta, solicited };
        let len = credit.emit(&mut out);
        prop_assert_eq!(CredReq::parse(&out[..len]), Ok(credit));
        let event = AerReq { tag, request_limit_delta, solicited, lun, sense: &sense };
        let len = event.emit(&mut out);
        prop_assert_eq!(AerReq::parse(&out[..len]), Ok(event));
        for code in [code, code % 8] {
            let farewell = TLogout { tag, reason: LogoutReason::try_from(code), solicited };
            let len = farewell.emit(&mut out);
            prop_assert_eq!(TLogout::parse(&out[..len]), Ok(farewell));
        }
    }
}
