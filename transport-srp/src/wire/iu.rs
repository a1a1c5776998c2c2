//! The entry: which IU is it? [`parse`] reads what an initiator sends to a target, [`parse_from_target`] the reverse.

use super::cmd::{Command, RefuseReason};
use super::field::Field;
use super::rsp::{AerReq, CredReq, Response, TLogout};
use super::tmf::TaskManagement;
use super::{Solicited, Tag, opcode};

#[cfg(test)]
mod tests;

/// Length in bytes of the IUs that carry a tag and nothing else, and the least that any IU has.
pub const SHORT_IU_LEN: usize = 16;

mod field {
    use super::Field;
    pub const OPCODE: Field<0, 1> = Field;
    pub const TAG: Field<8, 8> = Field;
}

/// What an initiator sent on an established channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Iu {
    /// SRP_CMD.
    Command(Command),
    /// SRP_TSK_MGMT.
    TaskManagement(TaskManagement),
    /// SRP_I_LOGOUT: the initiator ends the channel. There is no answer.
    Logout {
        /// The request's tag.
        tag: Tag,
    },
    /// SRP_CRED_RSP: the answer to our SRP_CRED_REQ. It costs no credit.
    CredRsp {
        /// The tag of our request.
        tag: Tag,
    },
    /// SRP_AER_RSP: the answer to our SRP_AER_REQ. It costs no credit.
    AerRsp {
        /// The tag of our request.
        tag: Tag,
    },
}

/// Why bytes are no IU that can be acted on. Three kinds, three reactions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IuError {
    /// Too short for what it says to be: not even its tag can be trusted, so that no answer is possible. Close the channel.
    #[error("{iu} of {len} bytes, its fixed part alone has {minimum}")]
    Malformed {
        /// Name of the IU.
        iu: &'static str,
        /// Length received, in bytes.
        len: usize,
        /// Least length, in bytes.
        minimum: usize,
    },
    /// Nothing that belongs on this side of a channel. SRP closes the channel for it, with
    /// [`super::LogoutReason::InvalidIuType`]; it carries no credit that could be returned.
    #[error("opcode 0x{0:02x} is not one of an initiator's requests or answers")]
    UnknownOpcode(u8),
    /// A command that cannot be executed as it stands: answer CHECK CONDITION, ILLEGAL REQUEST; the channel lives on.
    #[error("SRP_CMD with tag {tag}: {reason}")]
    Refuse {
        /// The command's tag.
        tag: Tag,
        /// Its logical unit.
        lun: [u8; 8],
        /// Whether the answer shall be solicited.
        solicited: Solicited,
        /// What is wrong.
        reason: RefuseReason,
    },
}

/// Reads what an initiator sent: `bytes` is exactly what was received. `immediate_offset` is the IMMEDIATE DATA OFFSET
/// that the login agreed on, in bytes from the start of an IU, or `None`.
#[inline]
pub fn parse(bytes: &[u8], immediate_offset: Option<u16>) -> Result<Iu, IuError> {
    match bytes.first() {
        Some(&opcode::CMD) => Command::parse(bytes, immediate_offset).map(Iu::Command),
        Some(&opcode::TSK_MGMT) => TaskManagement::parse(bytes).map(Iu::TaskManagement),
        Some(&opcode::I_LOGOUT) => short_tag("SRP_I_LOGOUT", bytes).map(|tag| Iu::Logout { tag }),
        Some(&opcode::CRED_RSP) => short_tag("SRP_CRED_RSP", bytes).map(|tag| Iu::CredRsp { tag }),
        Some(&opcode::AER_RSP) => short_tag("SRP_AER_RSP", bytes).map(|tag| Iu::AerRsp { tag }),
        Some(&other) => Err(IuError::UnknownOpcode(other)),
        None => Err(IuError::Malformed { iu: "an empty IU", len: 0, minimum: SHORT_IU_LEN }),
    }
}

fn short_tag(iu: &'static str, bytes: &[u8]) -> Result<Tag, IuError> {
    let fixed = bytes.first_chunk::<SHORT_IU_LEN>();
    let fixed = fixed.ok_or(IuError::Malformed { iu, len: bytes.len(), minimum: SHORT_IU_LEN })?;
    Ok(Tag(field::TAG.get(fixed)))
}

/// SRP_I_LOGOUT, for initiators.
pub fn logout(tag: Tag) -> [u8; SHORT_IU_LEN] {
    short(opcode::I_LOGOUT, tag)
}

/// SRP_CRED_RSP, for initiators; `tag` is that of the request.
pub fn cred_rsp(tag: Tag) -> [u8; SHORT_IU_LEN] {
    short(opcode::CRED_RSP, tag)
}

/// SRP_AER_RSP, for initiators; `tag` is that of the request.
pub fn aer_rsp(tag: Tag) -> [u8; SHORT_IU_LEN] {
    short(opcode::AER_RSP, tag)
}

fn short(opcode: u8, tag: Tag) -> [u8; SHORT_IU_LEN] {
    let mut iu = [0; SHORT_IU_LEN];
    field::OPCODE.write(&mut iu, opcode);
    field::TAG.put(&mut iu, tag.0);
    iu
}

/// What a target sent on an established channel; for initiators.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TargetIu<'a> {
    /// SRP_RSP.
    Response(Response<'a>),
    /// SRP_CRED_REQ, to be answered with [`cred_rsp`].
    CredReq(CredReq),
    /// SRP_AER_REQ, to be answered with [`aer_rsp`].
    AerReq(AerReq<'a>),
    /// SRP_T_LOGOUT.
    Logout(TLogout),
}

/// Why bytes are no IU of a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TargetIuError {
    /// Shorter than its fixed part, or than its fixed part says.
    #[error("{iu} of {len} bytes, it needs {needed}")]
    TooShort {
        /// Name of the IU.
        iu: &'static str,
        /// Length received, in bytes.
        len: usize,
        /// Length needed, in bytes.
        needed: u64,
    },
    /// Nothing that a target sends on a channel.
    #[error("opcode 0x{0:02x} is not one of a target's requests or answers")]
    UnknownOpcode(u8),
    /// Response data shorter than four bytes, or with a code that SRP does not define.
    #[error("SRP_RSP: response data of {len} bytes with code {code} is no task management status")]
    ResponseData {
        /// RESPONSE DATA LENGTH, in bytes.
        len: u32,
        /// The code; 0 if it is not there.
        code: u8,
    },
}

/// Reads what a target sent: `bytes` is exactly what was received.
pub fn parse_from_target(bytes: &[u8]) -> Result<TargetIu<'_>, TargetIuError> {
    match bytes.first() {
        Some(&opcode::RSP) => Response::parse(bytes).map(TargetIu::Response),
        Some(&opcode::CRED_REQ) => CredReq::parse(bytes).map(TargetIu::CredReq),
        Some(&opcode::AER_REQ) => AerReq::parse(bytes).map(TargetIu::AerReq),
        Some(&opcode::T_LOGOUT) => TLogout::parse(bytes).map(TargetIu::Logout),
        Some(&other) => Err(TargetIuError::UnknownOpcode(other)),
        None => Err(TargetIuError::TooShort { iu: "an empty IU", len: 0, needed: SHORT_IU_LEN as u64 }),
    }
}
