//! SRP information units (IUs): bytes to values and back. Sans-IO: no fabric, no clock, no allocation.
//!
//! Read beside it: T10 SRP r16a, chapter 6 (information units), with two additions of SRP-2 that Linux uses:
//! immediate data, and the short login request of RDMA/CM. Where Linux' `ib_srp` (kernels 6.1 to 6.12) is the only
//! witness, the comment says so.
//!
//! | file | holds |
//! |---|---|
//! | `iu.rs` | the entry: [`parse`] what an initiator sent on a channel, [`parse_from_target`] for the other side |
//! | `cmd.rs` | SRP_CMD, its CDB and its data buffers (`cmd/repr.rs`: how an initiator writes one) |
//! | `descriptor.rs` | the 16-byte memory descriptor |
//! | `tmf.rs` | SRP_TSK_MGMT |
//! | `rsp.rs` | what a target sends: SRP_RSP, SRP_CRED_REQ, SRP_AER_REQ, SRP_T_LOGOUT |
//! | `login.rs` | SRP_LOGIN_REQ (both forms), SRP_LOGIN_RSP, SRP_LOGIN_REJ: private data of the connection manager |
//! | `port_id.rs` | port identifiers |
//! | `field.rs` | fixed fields, whose place is checked at compile time |
//!
//! All numbers are big-endian. Tags are not numbers: a [`Tag`] is eight bytes which come back as they came.
//!
//! # Panic contract
//!
//! * Every `parse` takes any bytes of any length: it never panics, never allocates, and never reads outside of them.
//!   The value it returns holds offsets into the IU that lie within the parsed bytes.
//! * A method that takes the IU a second time, such as [`Command::cdb`], returns nothing when it is given another,
//!   shorter IU; it does not panic.
//! * `emit` into a caller's slice panics when the slice is shorter than the value's `emitted_len()`, or when the value
//!   cannot be put on the wire (a CDB over 268 bytes). Such values are ours, not the peer's: that is a bug of ours.

use std::fmt;

pub mod cmd;
pub mod descriptor;
mod field;
#[cfg(test)]
mod golden;
pub mod iu;
pub mod login;
pub mod port_id;
pub mod rsp;
pub mod tmf;

pub use cmd::{BufferRepr, Command, CommandRepr, DataBuffer, Direction, Indirect, RefuseReason, TaskAttribute};
pub use descriptor::Descriptor;
pub use iu::{Iu, IuError, TargetIu, parse, parse_from_target};
pub use login::{LoginError, LoginForm, LoginReject, LoginRequest, LoginResponse, RejectReason};
pub use port_id::PortId;
pub use rsp::{AerReq, CredReq, LogoutReason, Residual, Residuals, Response, ResponseBody, TLogout};
pub use tmf::{TaskManagement, TmfFunction, TmfStatus};

/// Opcodes, byte 0 of every IU (SRP r16a, 6.1). Bit 7 marks what a target sends, bit 6 an answer.
pub mod opcode {
    /// SRP_LOGIN_REQ, initiator to target, as private data only.
    pub const LOGIN_REQ: u8 = 0x00;
    /// SRP_TSK_MGMT, initiator to target.
    pub const TSK_MGMT: u8 = 0x01;
    /// SRP_CMD, initiator to target.
    pub const CMD: u8 = 0x02;
    /// SRP_I_LOGOUT, initiator to target. Linux never sends it: it ends with a disconnect of the CM.
    pub const I_LOGOUT: u8 = 0x03;
    /// SRP_CRED_RSP, initiator to target.
    pub const CRED_RSP: u8 = 0x41;
    /// SRP_AER_RSP, initiator to target.
    pub const AER_RSP: u8 = 0x42;
    /// SRP_T_LOGOUT, target to initiator.
    pub const T_LOGOUT: u8 = 0x80;
    /// SRP_CRED_REQ, target to initiator.
    pub const CRED_REQ: u8 = 0x81;
    /// SRP_AER_REQ, target to initiator.
    pub const AER_REQ: u8 = 0x82;
    /// SRP_LOGIN_RSP, target to initiator, as private data only.
    pub const LOGIN_RSP: u8 = 0xc0;
    /// SRP_RSP, target to initiator.
    pub const RSP: u8 = 0xc1;
    /// SRP_LOGIN_REJ, target to initiator, as private data only.
    pub const LOGIN_REJ: u8 = 0xc2;
}

/// Names one request until its answer. Opaque: Linux stores it in its own byte order, so it is compared and returned
/// as bytes, and never read as a number. Unique per nexus, and used again as soon as the answer has arrived.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Tag(pub [u8; 8]);

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({self})")
    }
}

/// Which answers shall be sent with the solicited-event bit, so that a sleeping initiator wakes up
/// (SRP_CMD and SRP_TSK_MGMT, byte 1). Linux sets neither.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Solicited {
    /// SCSOLNT, bit 1: when the request succeeds.
    pub on_success: bool,
    /// UCSOLNT, bit 2: when it does not.
    pub on_failure: bool,
}

impl Solicited {
    const ON_SUCCESS: u8 = 0x02;
    const ON_FAILURE: u8 = 0x04;

    fn from_byte(byte: u8) -> Solicited {
        Solicited { on_success: byte & Self::ON_SUCCESS != 0, on_failure: byte & Self::ON_FAILURE != 0 }
    }

    fn to_byte(self) -> u8 {
        (if self.on_success { Self::ON_SUCCESS } else { 0 }) | (if self.on_failure { Self::ON_FAILURE } else { 0 })
    }
}

/// SOLNT, byte 1 bit 0 of what a target sends: the initiator asked for the solicited-event bit on this IU.
const SOLNT: u8 = 0x01;
