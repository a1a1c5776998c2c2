//! Decides about a login request (T10 SRP r16a, SRP_LOGIN_REQ): what it gets, or the reason why not. Sans-IO.

use std::net::IpAddr;

use crate::initiator_group::InitiatorGroup;
use crate::limits;
use crate::target::Target;
use crate::wire::login::{
    LoginForm, LoginReject, LoginRequest, LoginResponse, MultiChannelAction, MultiChannelResult, RejectReason,
};
use crate::wire::port_id::PortId;

/// Both buffer formats that SRP r16a knows: direct and indirect descriptors.
const BUFFER_FORMATS: u16 = 0x0006;

/// An accepted login.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// Index of the target.
    pub(crate) target: usize,
    /// Index of the initiator group that let it in, if the target has any.
    pub(crate) group: Option<usize>,
    pub(crate) immediate_offset: Option<u16>,
}

/// A refused login: the cause, and for the log what happened and what to change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) cause: Cause,
    pub(crate) why: String,
}

/// Why a login is refused: more than there are reasons on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cause {
    /// The request cannot be parsed.
    Malformed,
    /// The target is about to end.
    ShuttingDown,
    /// No target has the port id.
    NoSuchTarget,
    /// No initiator group of the target contains the initiator.
    NotAllowed,
    /// The session has as many channels as one may have.
    ChannelLimit,
    /// The initiator has as many channels as one may have.
    InitiatorLimit,
    /// It wants to send requests that are too long or too short.
    IuLength,
    /// It asks for buffer formats that do not exist.
    BufferFormat,
    /// It asks for a reserved multi-channel action.
    MultiChannelAction,
    /// The reactor has no buffers for another channel.
    NoBuffers,
    /// The fabric cannot make another queue pair.
    NoQueuePair,
    /// The channels that it replaces did not end in time, or a newer login took its place meanwhile.
    TimedOut,
}

impl Cause {
    /// All names, for metrics, each at the place of its number.
    pub(crate) const NAMES: [&str; 12] = [
        "malformed",
        "shutting_down",
        "no_such_target",
        "not_allowed",
        "channel_limit",
        "initiator_limit",
        "iu_length",
        "buffer_format",
        "multi_channel_action",
        "no_buffers",
        "no_queue_pair",
        "timed_out",
    ];

    /// What the initiator is told.
    pub(crate) fn reason(self) -> RejectReason {
        match self {
            Cause::Malformed => RejectReason::UnableToEstablish,
            Cause::NoSuchTarget => RejectReason::NoSuchTarget,
            Cause::NotAllowed | Cause::ChannelLimit | Cause::InitiatorLimit => RejectReason::ChannelLimit,
            Cause::IuLength => RejectReason::IuTooLarge,
            Cause::BufferFormat => RejectReason::UnsupportedFormat,
            Cause::MultiChannelAction => RejectReason::MultiChannelUnsupported,
            Cause::ShuttingDown | Cause::NoBuffers | Cause::NoQueuePair | Cause::TimedOut => {
                RejectReason::InsufficientResources
            }
        }
    }
}

/// What logins are decided by.
pub(crate) struct Policy<'a> {
    pub(crate) targets: &'a [Target],
    pub(crate) groups: &'a [InitiatorGroup],
    /// Channels that the session of a MULTI login has already.
    pub(crate) channels: usize,
    /// Channels that the initiator has already, but for those that the login replaces.
    pub(crate) initiator_channels: usize,
    /// Most channels of one initiator.
    pub(crate) channels_per_initiator: usize,
}

/// The form a request is in: RDMA/CM leaves 56 bytes of private data, IB/CM 92, and only the latter's layout needs 64.
pub(crate) fn form(private_data: &[u8]) -> LoginForm {
    if private_data.len() >= 64 { LoginForm::IbCm } else { LoginForm::RdmaCm }
}

/// Checks a request against the policy, in the order in which an administrator wants to hear of mistakes.
pub(crate) fn decide(request: &LoginRequest, peer: IpAddr, policy: &Policy) -> Result<Grant, Refusal> {
    let target = find_target(request, policy.targets)?;
    check_formats(request)?;
    let name = &policy.targets[target].name;
    let group = group_of(name, &request.initiator_port_id, peer, policy.groups).map_err(|Unwelcome| {
        let why = format!(
            "no initiator group of target {name} contains {} at {peer}: let it in with srp_create_initiator_group",
            request.initiator_port_id
        );
        Refusal { cause: Cause::NotAllowed, why }
    })?;
    if policy.channels >= limits::CHANNELS_PER_SESSION_MAX {
        let why = format!(
            "it has {} channels already, the most of one session: log in with a smaller ch_count",
            policy.channels
        );
        return Err(Refusal { cause: Cause::ChannelLimit, why });
    }
    if policy.initiator_channels >= policy.channels_per_initiator {
        let why = format!(
            "its port id or its address has {} channels already, and one initiator may have {}: raise --channels-per-initiator, or log in with a smaller ch_count",
            policy.initiator_channels, policy.channels_per_initiator
        );
        return Err(Refusal { cause: Cause::InitiatorLimit, why });
    }
    Ok(Grant { target, group, immediate_offset: immediate_offset(request) })
}

/// No group of the target contains the initiator.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unwelcome;

/// The group that an initiator belongs to, by its index; `None` where no group is about the target.
pub(crate) fn group_of(
    target: &str,
    initiator: &PortId,
    peer: IpAddr,
    groups: &[InitiatorGroup],
) -> Result<Option<usize>, Unwelcome> {
    let mut about = groups.iter().enumerate().filter(|(_, group)| group.is_about(target)).peekable();
    if about.peek().is_none() {
        return Ok(None);
    }
    let found = about.find(|(_, group)| group.contains(initiator, peer));
    found.map(|(index, _)| Some(index)).ok_or(Unwelcome)
}

/// The answer to an accepted login. `others`: channels of the same nexus that were there before.
pub(crate) fn response(request: &LoginRequest, grant: &Grant, credits: u32, others: usize) -> LoginResponse {
    LoginResponse {
        tag: request.tag,
        request_limit_delta: credits.cast_signed(),
        max_it_iu_len: limits::MAX_IT_IU_BYTES as u32,
        max_ti_iu_len: limits::MAX_TI_IU_BYTES as u32,
        buffer_formats: BUFFER_FORMATS,
        multi_channel: match (others, request.multi_channel) {
            (0, _) => MultiChannelResult::NoChannel,
            (_, MultiChannelAction::Multi) => MultiChannelResult::Maintained,
            (_, _) => MultiChannelResult::Terminated,
        },
        immediate_data: grant.immediate_offset.is_some(),
        solicited_supported: false,
    }
}

/// The answer to a refused login.
pub(crate) fn reject(request: Option<&LoginRequest>, reason: RejectReason) -> LoginReject {
    LoginReject { tag: request.map_or_else(Default::default, |request| request.tag), reason }
}

fn find_target(request: &LoginRequest, targets: &[Target]) -> Result<usize, Refusal> {
    targets.iter().position(|target| target.port_id() == request.target_port_id).ok_or_else(|| {
        let known: Vec<String> = targets
            .iter()
            .map(|target| format!("{} is id_ext={:016x},ioc_guid={:016x}", target.name, target.id_ext, target.ioc_guid))
            .collect();
        let known =
            if known.is_empty() { "there is none: use srp_create_target".to_string() } else { known.join("; ") };
        let why = format!(
            "no target has port id {}; check id_ext and ioc_guid of the login ({known})",
            request.target_port_id
        );
        Refusal { cause: Cause::NoSuchTarget, why }
    })
}

fn check_formats(request: &LoginRequest) -> Result<(), Refusal> {
    let len = request.max_it_iu_len as usize;
    if !(limits::MIN_IT_IU_BYTES..=limits::MAX_IT_IU_BYTES).contains(&len) {
        let why = format!(
            "it wants to send requests of {len} bytes, and {} to {} are possible: log in with max_it_iu_size={} or a smaller max_imm_data",
            limits::MIN_IT_IU_BYTES,
            limits::MAX_IT_IU_BYTES,
            limits::MAX_IT_IU_BYTES
        );
        return Err(Refusal { cause: Cause::IuLength, why });
    }
    if request.buffer_formats & BUFFER_FORMATS == 0 {
        let why = format!(
            "it asks for buffer formats {:#06x}, and direct (0x0002) and indirect (0x0004) exist",
            request.buffer_formats
        );
        return Err(Refusal { cause: Cause::BufferFormat, why });
    }
    if let MultiChannelAction::Reserved(code) = request.multi_channel {
        let why = format!("multi-channel action {code} is reserved");
        return Err(Refusal { cause: Cause::MultiChannelAction, why });
    }
    Ok(())
}

/// Immediate data is agreed on if it is asked for and lies behind its own descriptor and inside an IU.
fn immediate_offset(request: &LoginRequest) -> Option<u16> {
    let within = (48 + 4..limits::MAX_IT_IU_BYTES).contains(&usize::from(request.immediate_offset));
    (request.immediate_data && within).then_some(request.immediate_offset)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::wire::port_id::PortId;

    fn target() -> Target {
        Target {
            name: "tgt0".into(),
            id_ext: 1,
            ioc_guid: 2,
            relative_port: 1,
            addressing: Default::default(),
            luns: BTreeMap::new(),
        }
    }

    fn request() -> LoginRequest {
        LoginRequest {
            tag: Default::default(),
            max_it_iu_len: 8260,
            buffer_formats: 6,
            multi_channel: MultiChannelAction::Single,
            immediate_data: true,
            immediate_offset: 68,
            initiator_port_id: PortId::new(0, 7),
            target_port_id: PortId::new(1, 2),
            solicited: Default::default(),
        }
    }

    fn ask(request: &LoginRequest, groups: &[InitiatorGroup], channels: usize) -> Result<Grant, RejectReason> {
        let targets = &[target()];
        let policy =
            Policy { targets, groups, channels, initiator_channels: channels, channels_per_initiator: usize::MAX };
        decide(request, "10.0.0.9".parse().expect("an address"), &policy).map_err(|refusal| refusal.cause.reason())
    }

    #[test]
    fn a_stock_login_is_granted_with_immediate_data() {
        assert_eq!(ask(&request(), &[], 0), Ok(Grant { target: 0, group: None, immediate_offset: Some(68) }));
    }

    #[test]
    fn each_mistake_gets_its_own_reason() {
        let wrong_target = LoginRequest { target_port_id: PortId::new(1, 3), ..request() };
        assert_eq!(ask(&wrong_target, &[], 0), Err(RejectReason::NoSuchTarget));
        for len in [63, 8261, u32::MAX] {
            assert_eq!(ask(&LoginRequest { max_it_iu_len: len, ..request() }, &[], 0), Err(RejectReason::IuTooLarge));
        }
        assert_eq!(ask(&LoginRequest { buffer_formats: 1, ..request() }, &[], 0), Err(RejectReason::UnsupportedFormat));
        let reserved = LoginRequest { multi_channel: MultiChannelAction::Reserved(3), ..request() };
        assert_eq!(ask(&reserved, &[], 0), Err(RejectReason::MultiChannelUnsupported));
        assert_eq!(ask(&request(), &[], limits::CHANNELS_PER_SESSION_MAX), Err(RejectReason::ChannelLimit));
    }

    #[test]
    fn the_first_matching_group_decides_and_a_target_with_groups_is_closed_to_others() {
        let group = |name: &str, target: Option<&str>, pattern: &str| {
            InitiatorGroup::new(name.into(), target.map(Into::into), vec![pattern.parse().expect("a pattern")], None)
        };
        let groups =
            [group("other", Some("tgt9"), "*"), group("no", None, "10.1.*"), group("yes", Some("tgt0"), "10.0.*")];
        assert_eq!(ask(&request(), &groups, 0).map(|grant| grant.group), Ok(Some(2)));
        assert_eq!(ask(&request(), &groups[..2], 0), Err(RejectReason::ChannelLimit));
        assert_eq!(ask(&request(), &groups[..1], 0).map(|grant| grant.group), Ok(None));
    }

    #[test]
    fn immediate_data_at_an_impossible_place_is_not_agreed_on() {
        for offset in [0, 47, 51, 8260, u16::MAX] {
            let odd = LoginRequest { immediate_offset: offset, ..request() };
            assert_eq!(ask(&odd, &[], 0).map(|grant| grant.immediate_offset), Ok(None));
        }
    }
}
