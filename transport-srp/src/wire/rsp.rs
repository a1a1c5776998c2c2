//! What a target sends on a channel: SRP_RSP, SRP_CRED_REQ, SRP_AER_REQ, SRP_T_LOGOUT (SRP r16a, 6.9 to 6.14).
//!
//! ```text
//! SRP_RSP    0  opcode 0xc1   1  SOLNT   4  request limit delta (4)   8  tag (8)   18  valid bits   19  SCSI status
//!           20  data-out residual (4)   24  data-in residual (4)   28  sense length (4)   32  response data length (4)
//!           36  response data, then sense data
//! ```
//!
//! An IU is sent as long as it is and no longer: Linux drops the sense data when the lengths do not add up to what it
//! received. A task management answer has four bytes of response data, whose last one is the code, and no sense.

use super::Tag;
use super::field::Field;
use super::iu::{SHORT_IU_LEN, TargetIuError};
use super::tmf::TmfStatus;
use super::{SOLNT, opcode};

#[cfg(test)]
mod tests;

/// Length of an SRP_RSP without response data and sense, in bytes.
pub const RESPONSE_LEN: usize = 36;
/// Length of an SRP_AER_REQ without sense, in bytes.
pub const AER_REQ_LEN: usize = 36;
/// Response data of a task management answer: three reserved bytes and the code.
const RESPONSE_DATA_LEN: usize = 4;

mod field {
    use super::Field;
    pub const OPCODE: Field<0, 1> = Field;
    pub const SOLICITED: Field<1, 1> = Field;
    pub const REQUEST_LIMIT_DELTA: Field<4, 4> = Field;
    pub const TAG: Field<8, 8> = Field;
    // Of SRP_RSP.
    pub const VALID: Field<18, 1> = Field;
    pub const STATUS: Field<19, 1> = Field;
    pub const DATA_OUT_RESIDUAL: Field<20, 4> = Field;
    pub const DATA_IN_RESIDUAL: Field<24, 4> = Field;
    pub const SENSE_LEN: Field<28, 4> = Field;
    pub const RESPONSE_DATA_LEN: Field<32, 4> = Field;
    // Of SRP_AER_REQ.
    pub const AER_LUN: Field<20, 8> = Field;
    pub const AER_SENSE_LEN: Field<28, 4> = Field;
    // Of SRP_T_LOGOUT.
    pub const LOGOUT_REASON: Field<4, 4> = Field;
}

/// Bits of byte 18 of SRP_RSP.
mod valid {
    pub const RESPONSE_DATA: u8 = 0x01;
    pub const SENSE: u8 = 0x02;
    pub const DATA_OUT_OVER: u8 = 0x04;
    pub const DATA_OUT_UNDER: u8 = 0x08;
    pub const DATA_IN_OVER: u8 = 0x10;
    pub const DATA_IN_UNDER: u8 = 0x20;
}

/// SRP_RSP: the answer to an SRP_CMD or an SRP_TSK_MGMT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Response<'a> {
    /// The tag of the request.
    pub tag: Tag,
    /// Credits given back: 1 as a rule, more when commands ended without an answer of their own.
    pub request_limit_delta: i32,
    /// SOLNT: the request asked for a solicited answer. Send it with the solicited-event bit.
    pub solicited: bool,
    /// What is answered.
    pub body: ResponseBody<'a>,
}

/// The content of an SRP_RSP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResponseBody<'a> {
    /// To a command.
    Status {
        /// SCSI status (SAM-5, 5.3).
        status: u8,
        /// How the transferred lengths differ from the command's buffers.
        residuals: Residuals,
        /// Sense data (SPC-4, 4.5); empty unless the status is CHECK CONDITION. SPC allows 252 bytes at most.
        sense: &'a [u8],
    },
    /// To a task management function.
    TaskManagement(TmfStatus),
}

/// The residuals of both data buffers.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Residuals {
    /// Of the data-out buffer.
    pub data_out: Residual,
    /// Of the data-in buffer.
    pub data_in: Residual,
}

/// How a transferred length differs from the length of the buffer, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Residual {
    /// Not at all.
    #[default]
    None,
    /// The command moved this much less than the buffer holds. Linux needs it to know how much of a buffer is valid.
    Under(u32),
    /// The command would have moved this much more. Linux ignores it.
    Over(u32),
}

impl Residual {
    /// Of a command that moves `wanted` bytes by its CDB, through a buffer of `buffer_len` bytes.
    pub fn of(buffer_len: u32, wanted: u64) -> Residual {
        let buffer_len = u64::from(buffer_len);
        let saturated = |difference: u64| u32::try_from(difference).unwrap_or(u32::MAX);
        match wanted {
            less if less < buffer_len => Residual::Under(saturated(buffer_len - less)),
            more if more > buffer_len => Residual::Over(saturated(more - buffer_len)),
            _ => Residual::None,
        }
    }

    /// The valid bit and the count.
    fn encode(self, under: u8, over: u8) -> (u8, u32) {
        match self {
            Residual::None => (0, 0),
            Residual::Under(count) => (under, count),
            Residual::Over(count) => (over, count),
        }
    }

    /// If both bits are set, which SRP forbids, underflow wins: it is the one that Linux acts on.
    fn decode(bits: u8, under: u8, over: u8, count: u32) -> Residual {
        match bits {
            bits if bits & under != 0 => Residual::Under(count),
            bits if bits & over != 0 => Residual::Over(count),
            _ => Residual::None,
        }
    }
}

/// Writes the SRP_RSP of a command that ended with GOOD and moved what its buffers hold, as [`Response::emit`] would, and returns its length.
///
/// Panics if `out` is shorter.
#[inline(always)]
pub fn emit_good(tag: Tag, request_limit_delta: i32, solicited: bool, out: &mut [u8]) -> usize {
    let fixed: [u8; RESPONSE_LEN] = head(opcode::RSP, solicited, request_limit_delta, tag);
    out[..RESPONSE_LEN].copy_from_slice(&fixed);
    RESPONSE_LEN
}

impl<'a> Response<'a> {
    /// Length of the IU in bytes: 36, and 4 of response data or those of the sense.
    pub fn emitted_len(&self) -> usize {
        RESPONSE_LEN
            + match self.body {
                ResponseBody::Status { sense, .. } => sense.len(),
                ResponseBody::TaskManagement(_) => RESPONSE_DATA_LEN,
            }
    }

    /// Writes the IU into the first [`Response::emitted_len`] bytes of `out` and returns that number.
    ///
    /// Panics if `out` is shorter.
    pub fn emit(&self, out: &mut [u8]) -> usize {
        let mut fixed: [u8; RESPONSE_LEN] = head(opcode::RSP, self.solicited, self.request_limit_delta, self.tag);
        match self.body {
            ResponseBody::Status { status, residuals, sense } => {
                let (out_bit, out_count) = residuals.data_out.encode(valid::DATA_OUT_UNDER, valid::DATA_OUT_OVER);
                let (in_bit, in_count) = residuals.data_in.encode(valid::DATA_IN_UNDER, valid::DATA_IN_OVER);
                let sense_bit = if sense.is_empty() { 0 } else { valid::SENSE };
                field::VALID.write(&mut fixed, out_bit | in_bit | sense_bit);
                field::STATUS.write(&mut fixed, status);
                field::DATA_OUT_RESIDUAL.write(&mut fixed, out_count);
                field::DATA_IN_RESIDUAL.write(&mut fixed, in_count);
                field::SENSE_LEN.write(&mut fixed, sense.len() as u32);
                put(out, &fixed, sense)
            }
            ResponseBody::TaskManagement(code) => {
                field::VALID.write(&mut fixed, valid::RESPONSE_DATA);
                field::RESPONSE_DATA_LEN.write(&mut fixed, RESPONSE_DATA_LEN as u32);
                put(out, &fixed, &[0, 0, 0, code as u8])
            }
        }
    }

    /// Reads an SRP_RSP, for initiators. Lengths count only if their valid bit is set.
    pub(super) fn parse(iu: &'a [u8]) -> Result<Response<'a>, TargetIuError> {
        let fixed = fixed::<RESPONSE_LEN>("SRP_RSP", iu)?;
        let bits = field::VALID.read(fixed);
        let length_if = |bit: u8, len: u32| if bits & bit != 0 { len } else { 0 };
        let data_len = length_if(valid::RESPONSE_DATA, field::RESPONSE_DATA_LEN.read(fixed));
        let sense_len = length_if(valid::SENSE, field::SENSE_LEN.read(fixed));
        let data = tail("SRP_RSP", iu, RESPONSE_LEN as u64, data_len)?;
        let sense = tail("SRP_RSP", iu, RESPONSE_LEN as u64 + u64::from(data_len), sense_len)?;
        let body = if bits & valid::RESPONSE_DATA != 0 {
            let code = data.get(RESPONSE_DATA_LEN - 1).copied();
            let status = code.and_then(|code| TmfStatus::try_from(code).ok());
            let error = TargetIuError::ResponseData { len: data_len, code: code.unwrap_or(0) };
            ResponseBody::TaskManagement(status.ok_or(error)?)
        } else {
            let out_count = field::DATA_OUT_RESIDUAL.read(fixed);
            let in_count = field::DATA_IN_RESIDUAL.read(fixed);
            let residuals = Residuals {
                data_out: Residual::decode(bits, valid::DATA_OUT_UNDER, valid::DATA_OUT_OVER, out_count),
                data_in: Residual::decode(bits, valid::DATA_IN_UNDER, valid::DATA_IN_OVER, in_count),
            };
            ResponseBody::Status { status: field::STATUS.read(fixed), residuals, sense }
        };
        Ok(Response {
            tag: Tag(field::TAG.get(fixed)),
            request_limit_delta: field::REQUEST_LIMIT_DELTA.read(fixed) as i32,
            solicited: field::SOLICITED.read(fixed) & SOLNT != 0,
            body,
        })
    }
}

/// SRP_CRED_REQ: gives credits back where no answer will do it. An initiator keeps room for one unanswered request of
/// its target per channel, so that the next one waits for the SRP_CRED_RSP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CredReq {
    /// Comes back in the SRP_CRED_RSP.
    pub tag: Tag,
    /// Credits given back.
    pub request_limit_delta: i32,
    /// The login asked for solicited credit requests (CRSOLNT).
    pub solicited: bool,
}

impl CredReq {
    /// Writes the IU into the first 16 bytes of `out` and returns that number. Panics if `out` is shorter.
    pub fn emit(&self, out: &mut [u8]) -> usize {
        let fixed: [u8; SHORT_IU_LEN] = head(opcode::CRED_REQ, self.solicited, self.request_limit_delta, self.tag);
        put(out, &fixed, &[])
    }

    /// Reads one, for initiators.
    pub(super) fn parse(iu: &[u8]) -> Result<CredReq, TargetIuError> {
        let fixed = fixed::<SHORT_IU_LEN>("SRP_CRED_REQ", iu)?;
        Ok(CredReq {
            tag: Tag(field::TAG.get(fixed)),
            request_limit_delta: field::REQUEST_LIMIT_DELTA.read(fixed) as i32,
            solicited: field::SOLICITED.read(fixed) & SOLNT != 0,
        })
    }
}

/// SRP_AER_REQ: an asynchronous event of a logical unit. Linux answers it and ignores the event; the limit of one
/// unanswered request is shared with [`CredReq`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AerReq<'a> {
    /// Comes back in the SRP_AER_RSP.
    pub tag: Tag,
    /// Credits given back.
    pub request_limit_delta: i32,
    /// The login asked for solicited events (AESOLNT).
    pub solicited: bool,
    /// The logical unit, as SAM's eight-byte structure.
    pub lun: [u8; 8],
    /// What happened, as sense data.
    pub sense: &'a [u8],
}

impl<'a> AerReq<'a> {
    /// Length of the IU in bytes.
    pub fn emitted_len(&self) -> usize {
        AER_REQ_LEN + self.sense.len()
    }

    /// Writes the IU into the first [`AerReq::emitted_len`] bytes of `out` and returns that number.
    ///
    /// Panics if `out` is shorter.
    pub fn emit(&self, out: &mut [u8]) -> usize {
        let mut fixed: [u8; AER_REQ_LEN] = head(opcode::AER_REQ, self.solicited, self.request_limit_delta, self.tag);
        field::AER_LUN.put(&mut fixed, self.lun);
        field::AER_SENSE_LEN.write(&mut fixed, self.sense.len() as u32);
        put(out, &fixed, self.sense)
    }

    /// Reads one, for initiators.
    pub(super) fn parse(iu: &'a [u8]) -> Result<AerReq<'a>, TargetIuError> {
        let fixed = fixed::<AER_REQ_LEN>("SRP_AER_REQ", iu)?;
        Ok(AerReq {
            tag: Tag(field::TAG.get(fixed)),
            request_limit_delta: field::REQUEST_LIMIT_DELTA.read(fixed) as i32,
            solicited: field::SOLICITED.read(fixed) & SOLNT != 0,
            lun: field::AER_LUN.get(fixed),
            sense: tail("SRP_AER_REQ", iu, AER_REQ_LEN as u64, field::AER_SENSE_LEN.read(fixed))?,
        })
    }
}

/// SRP_T_LOGOUT: the last IU before a target disconnects a channel. Linux logs it; the disconnect does the work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TLogout {
    /// Any tag: there is no answer.
    pub tag: Tag,
    /// Why; `Err` holds a code that is not named here.
    pub reason: Result<LogoutReason, u32>,
    /// The login asked for a solicited logout (LOSOLNT).
    pub solicited: bool,
}

/// Why a target logs a channel out (SRP r16a, 6.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum LogoutReason {
    /// None specified.
    Unspecified = 0,
    /// The channel was inactive; its resources are reclaimed.
    Inactive = 1,
    /// An IU with an opcode that is invalid here.
    InvalidIuType = 2,
    /// An answer to no request.
    UnexpectedResponse = 3,
    /// A later login of the same initiator port ended its older channels.
    MultiChannelAction = 4,
}

impl TryFrom<u32> for LogoutReason {
    type Error = u32;

    fn try_from(code: u32) -> Result<LogoutReason, u32> {
        match code {
            0 => Ok(LogoutReason::Unspecified),
            1 => Ok(LogoutReason::Inactive),
            2 => Ok(LogoutReason::InvalidIuType),
            3 => Ok(LogoutReason::UnexpectedResponse),
            4 => Ok(LogoutReason::MultiChannelAction),
            other => Err(other),
        }
    }
}

impl TLogout {
    /// Writes the IU into the first 16 bytes of `out` and returns that number. Panics if `out` is shorter.
    pub fn emit(&self, out: &mut [u8]) -> usize {
        let mut fixed: [u8; SHORT_IU_LEN] = head(opcode::T_LOGOUT, self.solicited, 0, self.tag);
        field::LOGOUT_REASON.write(&mut fixed, self.reason.map_or_else(|code| code, |reason| reason as u32));
        put(out, &fixed, &[])
    }

    /// Reads one, for initiators.
    pub(super) fn parse(iu: &[u8]) -> Result<TLogout, TargetIuError> {
        let fixed = fixed::<SHORT_IU_LEN>("SRP_T_LOGOUT", iu)?;
        Ok(TLogout {
            tag: Tag(field::TAG.get(fixed)),
            reason: LogoutReason::try_from(field::LOGOUT_REASON.read(fixed)),
            solicited: field::SOLICITED.read(fixed) & SOLNT != 0,
        })
    }
}

/// The beginning that all of a target's IUs share.
#[inline]
fn head<const N: usize>(opcode: u8, solicited: bool, request_limit_delta: i32, tag: Tag) -> [u8; N] {
    let mut iu = [0; N];
    field::OPCODE.write(&mut iu, opcode);
    field::SOLICITED.write(&mut iu, if solicited { SOLNT } else { 0 });
    field::REQUEST_LIMIT_DELTA.write(&mut iu, request_limit_delta as u32);
    field::TAG.put(&mut iu, tag.0);
    iu
}

fn put(out: &mut [u8], fixed: &[u8], tail: &[u8]) -> usize {
    let len = fixed.len() + tail.len();
    let (fixed_out, tail_out) = out[..len].split_at_mut(fixed.len());
    fixed_out.copy_from_slice(fixed);
    tail_out.copy_from_slice(tail);
    len
}

fn fixed<'a, const N: usize>(name: &'static str, iu: &'a [u8]) -> Result<&'a [u8; N], TargetIuError> {
    iu.first_chunk().ok_or(TargetIuError::TooShort { iu: name, len: iu.len(), needed: N as u64 })
}

/// `len` bytes of `iu` from `offset` on.
fn tail<'a>(name: &'static str, iu: &'a [u8], offset: u64, len: u32) -> Result<&'a [u8], TargetIuError> {
    let needed = offset + u64::from(len);
    if needed > iu.len() as u64 {
        return Err(TargetIuError::TooShort { iu: name, len: iu.len(), needed });
    }
    Ok(&iu[offset as usize..needed as usize])
}
