//! Login: what is asked for, and what was agreed.

use anyhow::bail;
use fabric::PrivateData;
use transport_srp::limits::USUAL_IMMEDIATE_OFFSET;
use transport_srp::wire::login::{FORMAT_DIRECT, FORMAT_INDIRECT, LoginSolicited, MultiChannelAction};
use transport_srp::wire::{LoginReject, LoginRequest, LoginResponse, PortId, RejectReason, Tag};

/// The longest message that we send, in bytes: what Linux' initiator asks for, so that the target has the same to do.
pub const MESSAGE_BYTES_MAX: usize = transport_srp::limits::MAX_IT_IU_BYTES;

/// Reason of a CM REJ with which the program behind it refuses (IBTA vol. 1, 12.6.7.2: consumer reject).
const REASON_CONSUMER: u16 = 28;
/// Reason of a CM REJ when nothing listens (invalid service id).
const REASON_SERVICE_ID: u16 = 8;

/// Who logs in where.
#[derive(Clone, Copy, Debug)]
pub struct Login {
    /// Ours.
    pub initiator_port: PortId,
    /// The target's.
    pub target_port: PortId,
    /// Whether to ask for immediate data.
    pub immediate: bool,
}

/// What a login agreed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// Requests that the target takes at once (SRP: REQUEST LIMIT).
    pub credits: u32,
    /// The longest message that both sides can handle, in bytes.
    pub message_bytes: usize,
    /// Where immediate data lie in a message, in bytes; `None`: the target takes none.
    pub immediate_offset: Option<u16>,
}

impl Login {
    /// SRP_LOGIN_REQ of a channel: the first one ends what is left of an earlier session, the others join.
    pub fn request(&self, first: bool) -> PrivateData {
        let request = LoginRequest {
            tag: Tag::default(),
            max_it_iu_len: MESSAGE_BYTES_MAX as u32,
            buffer_formats: FORMAT_DIRECT | FORMAT_INDIRECT,
            multi_channel: if first { MultiChannelAction::Single } else { MultiChannelAction::Multi },
            immediate_data: self.immediate,
            immediate_offset: if self.immediate { USUAL_IMMEDIATE_OFFSET as u16 } else { 0 },
            initiator_port_id: self.initiator_port,
            target_port_id: self.target_port,
            solicited: LoginSolicited::default(),
        };
        request.emit_rdma_cm().into_iter().collect()
    }

    /// What SRP_LOGIN_RSP agrees on.
    ///
    /// # Errors
    /// It is none, or no command could ever be sent.
    pub fn accepted(&self, private_data: &[u8]) -> anyhow::Result<Terms> {
        let response = LoginResponse::parse(private_data)?;
        if response.request_limit_delta < 1 {
            bail!("the target accepted the login but gave no credit (request limit {})", response.request_limit_delta);
        }
        Ok(Terms {
            credits: response.request_limit_delta.unsigned_abs(),
            message_bytes: MESSAGE_BYTES_MAX.min(response.max_it_iu_len as usize),
            immediate_offset: (self.immediate && response.immediate_data).then_some(USUAL_IMMEDIATE_OFFSET as u16),
        })
    }

    /// Why a login was refused, in words that name what to change.
    pub fn refused(&self, reason: u16, private_data: &[u8]) -> String {
        match (reason, LoginReject::parse(private_data)) {
            (REASON_CONSUMER, Ok(reject)) => {
                format!("the target refused the login: {}{}", reject.reason, self.remedy(reject.reason))
            }
            (REASON_SERVICE_ID, _) => "nothing listens there: check the address and port of --target".to_owned(),
            _ => format!("the connection was refused with CM reason {reason}"),
        }
    }

    fn remedy(&self, reason: RejectReason) -> String {
        match reason {
            RejectReason::NoSuchTarget => {
                let (id_ext, ioc_guid) = (self.target_port.id_ext(), self.target_port.ioc_guid());
                format!("; no target is called {id_ext:016x}:{ioc_guid:016x}: check --id-ext and --ioc-guid")
            }
            RejectReason::ChannelLimit => "; use fewer --channels, or let this initiator in at the target".to_owned(),
            RejectReason::InsufficientResources => "; use fewer --channels, or let the target have more".to_owned(),
            _ => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use transport_srp::wire::LoginForm;
    use transport_srp::wire::login::MultiChannelResult;

    use super::*;

    const LOGIN: Login =
        Login { initiator_port: PortId::new(0, 7), target_port: PortId::new(0x11, 0x22), immediate: true };

    fn response() -> LoginResponse {
        LoginResponse {
            tag: Tag::default(),
            request_limit_delta: 128,
            max_it_iu_len: 8260,
            max_ti_iu_len: 292,
            buffer_formats: FORMAT_DIRECT,
            multi_channel: MultiChannelResult::NoChannel,
            immediate_data: true,
            solicited_supported: false,
        }
    }

    #[test]
    fn the_request_says_who_wants_what() {
        for (first, action) in [(true, MultiChannelAction::Single), (false, MultiChannelAction::Multi)] {
            let request = LoginRequest::parse(&LOGIN.request(first), LoginForm::RdmaCm).expect("a login request");
            assert_eq!(request.multi_channel, action);
            assert_eq!((request.initiator_port_id, request.target_port_id), (LOGIN.initiator_port, LOGIN.target_port));
            assert_eq!((request.immediate_data, request.immediate_offset), (true, 68));
        }
        let request = LoginRequest::parse(&Login { immediate: false, ..LOGIN }.request(true), LoginForm::RdmaCm);
        assert!(!request.expect("a login request").immediate_data);
    }

    #[test]
    fn immediate_data_need_both_sides() {
        let terms = LOGIN.accepted(&response().emit()).expect("accepted");
        assert_eq!(terms, Terms { credits: 128, message_bytes: 8260, immediate_offset: Some(68) });
        let without = |login: Login, response: LoginResponse| login.accepted(&response.emit()).expect("accepted");
        assert_eq!(without(Login { immediate: false, ..LOGIN }, response()).immediate_offset, None);
        let refuses = LoginResponse { immediate_data: false, ..response() };
        assert_eq!(without(LOGIN, refuses).immediate_offset, None);
    }

    #[test]
    fn the_shorter_message_counts() {
        let short = LoginResponse { max_it_iu_len: 996, ..response() };
        assert_eq!(LOGIN.accepted(&short.emit()).expect("accepted").message_bytes, 996);
        let long = LoginResponse { max_it_iu_len: 1 << 20, ..response() };
        assert_eq!(LOGIN.accepted(&long.emit()).expect("accepted").message_bytes, MESSAGE_BYTES_MAX);
    }

    #[test]
    fn an_answer_that_lets_nothing_be_sent_is_an_error() {
        for credits in [0, -1] {
            let none = LoginResponse { request_limit_delta: credits, ..response() };
            assert!(LOGIN.accepted(&none.emit()).unwrap_err().to_string().contains("credit"));
        }
        assert!(LOGIN.accepted(&[]).is_err());
        assert!(LOGIN.accepted(&[0xff; 196]).is_err());
    }

    #[test]
    fn refusals_name_the_option() {
        let said = |reason| {
            let reject = LoginReject { tag: Tag::default(), reason };
            LOGIN.refused(28, &reject.emit())
        };
        let said_of_id = said(RejectReason::NoSuchTarget);
        assert!(said_of_id.contains("--id-ext") && said_of_id.contains("0000000000000022"), "{said_of_id}");
        assert!(said(RejectReason::ChannelLimit).contains("--channels"));
        assert!(LOGIN.refused(8, &[]).contains("--target"));
        assert!(LOGIN.refused(28, &[1, 2, 3]).contains("28"));
    }
}
