//! Login: SRP_LOGIN_REQ and its two answers, which travel as private data of the connection manager (SRP r16a, 6.2 to
//! 6.4 and annex B).
//!
//! The request has two layouts, and nothing in it says which: the caller knows from the kind of connection manager.
//!
//! ```text
//!                               InfiniBand CM (64 bytes)    RDMA/CM (56 bytes; Linux' own, not in r16a)
//! opcode 0x00                    0                          11   (byte 0 is the tag's)
//! tag (8)                        8                           0
//! most bytes of an IU (4)       16                          12
//! wanted buffer formats (2)     24                           8
//! flags                         26                          10
//! immediate data offset (2)     28                          48   (absent from the oldest senders: 0)
//! initiator port id (16)        32                          16
//! target port id (16)           48                          32
//! ```

use super::field::Field;
use super::{PortId, Tag, opcode};

#[cfg(test)]
mod tests;

/// Length in bytes of a login request through the InfiniBand CM.
pub const IB_CM_LEN: usize = 64;
/// Length in bytes of a login request through RDMA/CM as it is sent today.
pub const RDMA_CM_LEN: usize = 56;
/// Length in bytes of a login request through RDMA/CM without the immediate data offset, as it was sent in 2018.
const RDMA_CM_LEN_MIN: usize = 48;
/// Length of an SRP_LOGIN_RSP in bytes.
pub const LOGIN_RESPONSE_LEN: usize = 52;
/// Length of an SRP_LOGIN_REJ in bytes.
pub const LOGIN_REJECT_LEN: usize = 32;

/// Bit of the buffer formats: direct descriptors.
pub const FORMAT_DIRECT: u16 = 0x0002;
/// Bit of the buffer formats: indirect descriptors.
pub const FORMAT_INDIRECT: u16 = 0x0004;

const MULTI_CHANNEL_MASK: u8 = 0x03;
const LOGOUT_SOLICITED: u8 = 0x10;
const CREDIT_SOLICITED: u8 = 0x20;
const EVENT_SOLICITED: u8 = 0x40;
/// SRP-2, in the request: wants immediate data; in the response: may use it.
const IMMEDIATE_DATA: u8 = 0x80;
/// SOLNTSUP, in the response: solicited notification is supported.
const SOLICITED_SUPPORTED: u8 = 0x10;

/// The InfiniBand CM's layout.
mod ib_cm {
    use super::Field;
    pub const OPCODE: Field<0, 1> = Field;
    pub const TAG: Field<8, 8> = Field;
    pub const MAX_IT_IU_LEN: Field<16, 4> = Field;
    pub const BUFFER_FORMATS: Field<24, 2> = Field;
    pub const FLAGS: Field<26, 1> = Field;
    pub const IMMEDIATE_OFFSET: Field<28, 2> = Field;
    pub const INITIATOR_PORT_ID: Field<32, 16> = Field;
    pub const TARGET_PORT_ID: Field<48, 16> = Field;
}

/// RDMA/CM's layout.
mod rdma_cm {
    use super::Field;
    pub const TAG: Field<0, 8> = Field;
    pub const BUFFER_FORMATS: Field<8, 2> = Field;
    pub const FLAGS: Field<10, 1> = Field;
    pub const OPCODE: Field<11, 1> = Field;
    pub const MAX_IT_IU_LEN: Field<12, 4> = Field;
    pub const INITIATOR_PORT_ID: Field<16, 16> = Field;
    pub const TARGET_PORT_ID: Field<32, 16> = Field;
    pub const IMMEDIATE_OFFSET: Field<48, 2> = Field;
}

/// Which layout a login request has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoginForm {
    /// Through RDMA/CM (RoCE, iWARP, IP over InfiniBand): 56 bytes, 48 from the oldest senders.
    RdmaCm,
    /// Through the InfiniBand CM, by service id: 64 bytes.
    IbCm,
}

/// SRP_LOGIN_REQ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoginRequest {
    /// Comes back in the answer. Linux sends 0.
    pub tag: Tag,
    /// REQUESTED MAXIMUM INITIATOR TO TARGET IU LENGTH: the longest IU, in bytes, that the initiator will send. 8260 from
    /// Linux unless told otherwise. Every receive buffer must hold it.
    pub max_it_iu_len: u32,
    /// REQUIRED BUFFER FORMATS: [`FORMAT_DIRECT`], [`FORMAT_INDIRECT`]. Linux asks for both.
    pub buffer_formats: u16,
    /// What becomes of this nexus' other channels.
    pub multi_channel: MultiChannelAction,
    /// Whether the initiator would like to send immediate data (SRP-2).
    pub immediate_data: bool,
    /// Where immediate data would lie, in bytes from the start of an IU; 68 from Linux, 0 if it does not want any.
    pub immediate_offset: u16,
    /// The initiator port.
    pub initiator_port_id: PortId,
    /// The target port that it wants.
    pub target_port_id: PortId,
    /// Which of the target's requests shall be solicited.
    pub solicited: LoginSolicited,
}

/// Which of a target's own requests shall be sent with the solicited-event bit. Linux sets none.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct LoginSolicited {
    /// LOSOLNT: SRP_T_LOGOUT.
    pub logout: bool,
    /// CRSOLNT: SRP_CRED_REQ.
    pub credit: bool,
    /// AESOLNT: SRP_AER_REQ.
    pub event: bool,
}

/// MULTI-CHANNEL ACTION: what becomes of the nexus' channels that exist already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MultiChannelAction {
    /// They end. Linux' first channel says so, on every login.
    Single,
    /// They stay, this one is one more. Linux' other channels.
    Multi,
    /// A value that the standard reserves: 2 or 3.
    Reserved(u8),
}

impl MultiChannelAction {
    fn from_byte(byte: u8) -> MultiChannelAction {
        match byte & MULTI_CHANNEL_MASK {
            0 => MultiChannelAction::Single,
            1 => MultiChannelAction::Multi,
            other => MultiChannelAction::Reserved(other),
        }
    }

    fn to_byte(self) -> u8 {
        match self {
            MultiChannelAction::Single => 0,
            MultiChannelAction::Multi => 1,
            MultiChannelAction::Reserved(value) => value & MULTI_CHANNEL_MASK,
        }
    }
}

/// Why private data is no login message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LoginError {
    /// Too short.
    #[error("{message}: {len} bytes of private data, it has {minimum}")]
    TooShort {
        /// Name of the message.
        message: &'static str,
        /// Length received, in bytes.
        len: usize,
        /// Least length, in bytes.
        minimum: usize,
    },
    /// Another opcode: most often the peer does not speak SRP, or uses the other layout.
    #[error(
        "{message}: opcode 0x{opcode:02x} in byte {position} where 0x{expected:02x} belongs: is the peer an SRP port?"
    )]
    BadOpcode {
        /// Name of the message.
        message: &'static str,
        /// What stands there.
        opcode: u8,
        /// What should.
        expected: u8,
        /// Where, in bytes.
        position: usize,
    },
}

const REQUEST: &str = "SRP_LOGIN_REQ";

impl LoginRequest {
    /// Reads a login request from the private data of a connection request. More bytes than the layout has are ignored:
    /// a connection manager pads.
    pub fn parse(private_data: &[u8], form: LoginForm) -> Result<LoginRequest, LoginError> {
        match form {
            LoginForm::RdmaCm => LoginRequest::parse_rdma_cm(private_data),
            LoginForm::IbCm => LoginRequest::parse_ib_cm(private_data),
        }
    }

    fn parse_rdma_cm(private_data: &[u8]) -> Result<LoginRequest, LoginError> {
        fixed::<RDMA_CM_LEN_MIN>(REQUEST, private_data)?;
        // What an old sender leaves out reads as zero, as if a connection manager had padded it.
        let mut bytes = [0; RDMA_CM_LEN];
        let len = private_data.len().min(RDMA_CM_LEN);
        bytes[..len].copy_from_slice(&private_data[..len]);
        expect_opcode(REQUEST, rdma_cm::OPCODE.read(&bytes), opcode::LOGIN_REQ, 11)?;
        let flags = rdma_cm::FLAGS.read(&bytes);
        Ok(LoginRequest {
            tag: Tag(rdma_cm::TAG.get(&bytes)),
            max_it_iu_len: rdma_cm::MAX_IT_IU_LEN.read(&bytes),
            buffer_formats: rdma_cm::BUFFER_FORMATS.read(&bytes),
            multi_channel: MultiChannelAction::from_byte(flags),
            immediate_data: flags & IMMEDIATE_DATA != 0,
            immediate_offset: rdma_cm::IMMEDIATE_OFFSET.read(&bytes),
            initiator_port_id: PortId(rdma_cm::INITIATOR_PORT_ID.get(&bytes)),
            target_port_id: PortId(rdma_cm::TARGET_PORT_ID.get(&bytes)),
            solicited: LoginSolicited::from_byte(flags),
        })
    }

    fn parse_ib_cm(private_data: &[u8]) -> Result<LoginRequest, LoginError> {
        let bytes = fixed::<IB_CM_LEN>(REQUEST, private_data)?;
        expect_opcode(REQUEST, ib_cm::OPCODE.read(bytes), opcode::LOGIN_REQ, 0)?;
        let flags = ib_cm::FLAGS.read(bytes);
        Ok(LoginRequest {
            tag: Tag(ib_cm::TAG.get(bytes)),
            max_it_iu_len: ib_cm::MAX_IT_IU_LEN.read(bytes),
            buffer_formats: ib_cm::BUFFER_FORMATS.read(bytes),
            multi_channel: MultiChannelAction::from_byte(flags),
            immediate_data: flags & IMMEDIATE_DATA != 0,
            immediate_offset: ib_cm::IMMEDIATE_OFFSET.read(bytes),
            initiator_port_id: PortId(ib_cm::INITIATOR_PORT_ID.get(bytes)),
            target_port_id: PortId(ib_cm::TARGET_PORT_ID.get(bytes)),
            solicited: LoginSolicited::from_byte(flags),
        })
    }

    /// The request in RDMA/CM's layout, for initiators.
    pub fn emit_rdma_cm(&self) -> [u8; RDMA_CM_LEN] {
        let mut bytes = [0; RDMA_CM_LEN];
        rdma_cm::TAG.put(&mut bytes, self.tag.0);
        rdma_cm::BUFFER_FORMATS.write(&mut bytes, self.buffer_formats);
        rdma_cm::FLAGS.write(&mut bytes, self.flags());
        rdma_cm::OPCODE.write(&mut bytes, opcode::LOGIN_REQ);
        rdma_cm::MAX_IT_IU_LEN.write(&mut bytes, self.max_it_iu_len);
        rdma_cm::INITIATOR_PORT_ID.put(&mut bytes, self.initiator_port_id.0);
        rdma_cm::TARGET_PORT_ID.put(&mut bytes, self.target_port_id.0);
        rdma_cm::IMMEDIATE_OFFSET.write(&mut bytes, self.immediate_offset);
        bytes
    }

    /// The request in the InfiniBand CM's layout, for initiators.
    pub fn emit_ib_cm(&self) -> [u8; IB_CM_LEN] {
        let mut bytes = [0; IB_CM_LEN];
        ib_cm::OPCODE.write(&mut bytes, opcode::LOGIN_REQ);
        ib_cm::TAG.put(&mut bytes, self.tag.0);
        ib_cm::MAX_IT_IU_LEN.write(&mut bytes, self.max_it_iu_len);
        ib_cm::BUFFER_FORMATS.write(&mut bytes, self.buffer_formats);
        ib_cm::FLAGS.write(&mut bytes, self.flags());
        ib_cm::IMMEDIATE_OFFSET.write(&mut bytes, self.immediate_offset);
        ib_cm::INITIATOR_PORT_ID.put(&mut bytes, self.initiator_port_id.0);
        ib_cm::TARGET_PORT_ID.put(&mut bytes, self.target_port_id.0);
        bytes
    }

    fn flags(&self) -> u8 {
        self.multi_channel.to_byte() | self.solicited.to_byte() | if self.immediate_data { IMMEDIATE_DATA } else { 0 }
    }
}

impl LoginSolicited {
    fn from_byte(flags: u8) -> LoginSolicited {
        LoginSolicited {
            logout: flags & LOGOUT_SOLICITED != 0,
            credit: flags & CREDIT_SOLICITED != 0,
            event: flags & EVENT_SOLICITED != 0,
        }
    }

    fn to_byte(self) -> u8 {
        (if self.logout { LOGOUT_SOLICITED } else { 0 })
            | (if self.credit { CREDIT_SOLICITED } else { 0 })
            | (if self.event { EVENT_SOLICITED } else { 0 })
    }
}

mod response {
    use super::Field;
    pub const OPCODE: Field<0, 1> = Field;
    pub const REQUEST_LIMIT_DELTA: Field<4, 4> = Field;
    pub const TAG: Field<8, 8> = Field;
    pub const MAX_IT_IU_LEN: Field<16, 4> = Field;
    pub const MAX_TI_IU_LEN: Field<20, 4> = Field;
    pub const BUFFER_FORMATS: Field<24, 2> = Field;
    pub const FLAGS: Field<26, 1> = Field;
}

/// SRP_LOGIN_RSP: the login is accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoginResponse {
    /// The tag of the request.
    pub tag: Tag,
    /// The channel's first credits: how many receive buffers are posted.
    pub request_limit_delta: i32,
    /// The longest IU that the target accepts, in bytes. Linux warns with a backtrace if it is below its request.
    pub max_it_iu_len: u32,
    /// The longest IU that the target will send, in bytes. Linux sizes its receive buffers by it at the first login, and
    /// not again at a reconnect: never send it a greater one later.
    pub max_ti_iu_len: u32,
    /// SUPPORTED BUFFER FORMATS: [`FORMAT_DIRECT`], [`FORMAT_INDIRECT`].
    pub buffer_formats: u16,
    /// What became of the nexus' other channels.
    pub multi_channel: MultiChannelResult,
    /// Whether the initiator may send immediate data at the offset it asked for (SRP-2).
    pub immediate_data: bool,
    /// SOLNTSUP: whether the solicited-notification bits are honoured.
    pub solicited_supported: bool,
}

/// MULTI-CHANNEL RESULT: what became of the nexus' channels that existed already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum MultiChannelResult {
    /// There was none.
    NoChannel = 0,
    /// They were ended.
    Terminated = 1,
    /// They go on.
    Maintained = 2,
    /// Reserved by the standard.
    Reserved = 3,
}

impl LoginResponse {
    /// The IU.
    pub fn emit(&self) -> [u8; LOGIN_RESPONSE_LEN] {
        let mut iu = [0; LOGIN_RESPONSE_LEN];
        let immediate_data = if self.immediate_data { IMMEDIATE_DATA } else { 0 };
        let solicited = if self.solicited_supported { SOLICITED_SUPPORTED } else { 0 };
        response::OPCODE.write(&mut iu, opcode::LOGIN_RSP);
        response::REQUEST_LIMIT_DELTA.write(&mut iu, self.request_limit_delta as u32);
        response::TAG.put(&mut iu, self.tag.0);
        response::MAX_IT_IU_LEN.write(&mut iu, self.max_it_iu_len);
        response::MAX_TI_IU_LEN.write(&mut iu, self.max_ti_iu_len);
        response::BUFFER_FORMATS.write(&mut iu, self.buffer_formats);
        response::FLAGS.write(&mut iu, self.multi_channel as u8 | immediate_data | solicited);
        iu
    }

    /// Reads one, for initiators.
    pub fn parse(private_data: &[u8]) -> Result<LoginResponse, LoginError> {
        const NAME: &str = "SRP_LOGIN_RSP";
        let iu = fixed::<LOGIN_RESPONSE_LEN>(NAME, private_data)?;
        expect_opcode(NAME, response::OPCODE.read(iu), opcode::LOGIN_RSP, 0)?;
        let flags = response::FLAGS.read(iu);
        Ok(LoginResponse {
            tag: Tag(response::TAG.get(iu)),
            request_limit_delta: response::REQUEST_LIMIT_DELTA.read(iu) as i32,
            max_it_iu_len: response::MAX_IT_IU_LEN.read(iu),
            max_ti_iu_len: response::MAX_TI_IU_LEN.read(iu),
            buffer_formats: response::BUFFER_FORMATS.read(iu),
            multi_channel: match flags & MULTI_CHANNEL_MASK {
                0 => MultiChannelResult::NoChannel,
                1 => MultiChannelResult::Terminated,
                2 => MultiChannelResult::Maintained,
                _ => MultiChannelResult::Reserved,
            },
            immediate_data: flags & IMMEDIATE_DATA != 0,
            solicited_supported: flags & SOLICITED_SUPPORTED != 0,
        })
    }
}

mod reject {
    use super::Field;
    pub const OPCODE: Field<0, 1> = Field;
    pub const REASON: Field<4, 4> = Field;
    pub const TAG: Field<8, 8> = Field;
    pub const BUFFER_FORMATS: Field<24, 2> = Field;
}

/// SRP_LOGIN_REJ: the login is refused. It names both buffer formats as supported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoginReject {
    /// The tag of the request.
    pub tag: Tag,
    /// Why. Linux prints the number into the initiator's log.
    pub reason: RejectReason,
}

/// Why a login is refused (SRP r16a, 6.4). The text is for our log, beside what the administrator can change.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[repr(u32)]
pub enum RejectReason {
    /// No reason specified.
    #[error("unable to establish the channel (0x10000)")]
    UnableToEstablish = 0x0001_0000,
    /// Also for a target that is not enabled.
    #[error("insufficient channel resources (0x10001)")]
    InsufficientResources = 0x0001_0001,
    /// The IUs that the initiator wants to send are too long, or shorter than SRP's least, 64 bytes.
    #[error("requested maximum initiator to target IU length not accepted (0x10002)")]
    IuTooLarge = 0x0001_0002,
    /// No target port has the identifier that the initiator asks for.
    #[error("unable to associate the channel with the target port (0x10003)")]
    NoSuchTarget = 0x0001_0003,
    /// None of the buffer formats that the initiator asks for is supported.
    #[error("unsupported data buffer descriptor format (0x10004)")]
    UnsupportedFormat = 0x0001_0004,
    /// More than one channel per nexus is not supported.
    #[error("multiple channels per nexus unsupported (0x10005)")]
    MultiChannelUnsupported = 0x0001_0005,
    /// The initiator has as many channels as it may have: 0 if it is not allowed at all.
    #[error("channel limit of this initiator reached (0x10006)")]
    ChannelLimit = 0x0001_0006,
}

impl RejectReason {
    /// The reason for a code, or `UnableToEstablish` for one that SRP does not define.
    fn from_code(code: u32) -> RejectReason {
        match code {
            0x0001_0001 => RejectReason::InsufficientResources,
            0x0001_0002 => RejectReason::IuTooLarge,
            0x0001_0003 => RejectReason::NoSuchTarget,
            0x0001_0004 => RejectReason::UnsupportedFormat,
            0x0001_0005 => RejectReason::MultiChannelUnsupported,
            0x0001_0006 => RejectReason::ChannelLimit,
            _ => RejectReason::UnableToEstablish,
        }
    }
}

impl LoginReject {
    /// The IU.
    pub fn emit(&self) -> [u8; LOGIN_REJECT_LEN] {
        let mut iu = [0; LOGIN_REJECT_LEN];
        reject::OPCODE.write(&mut iu, opcode::LOGIN_REJ);
        reject::REASON.write(&mut iu, self.reason as u32);
        reject::TAG.put(&mut iu, self.tag.0);
        reject::BUFFER_FORMATS.write(&mut iu, FORMAT_DIRECT | FORMAT_INDIRECT);
        iu
    }

    /// Reads one, for initiators. A reason that SRP does not define reads as `UnableToEstablish`.
    pub fn parse(private_data: &[u8]) -> Result<LoginReject, LoginError> {
        const NAME: &str = "SRP_LOGIN_REJ";
        let iu = fixed::<LOGIN_REJECT_LEN>(NAME, private_data)?;
        expect_opcode(NAME, reject::OPCODE.read(iu), opcode::LOGIN_REJ, 0)?;
        let reason = RejectReason::from_code(reject::REASON.read(iu));
        Ok(LoginReject { tag: Tag(reject::TAG.get(iu)), reason })
    }
}

fn fixed<'a, const N: usize>(message: &'static str, private_data: &'a [u8]) -> Result<&'a [u8; N], LoginError> {
    let bytes = private_data.first_chunk();
    bytes.ok_or(LoginError::TooShort { message, len: private_data.len(), minimum: N })
}

fn expect_opcode(message: &'static str, opcode: u8, expected: u8, position: usize) -> Result<(), LoginError> {
    if opcode == expected { Ok(()) } else { Err(LoginError::BadOpcode { message, opcode, expected, position }) }
}
