//! Messages of the connection manager (IBTA vol. 1, 12.6). The tables of that section give the layouts; fields of
//! other services than RC (Q_Key, EE contexts) and of alternate paths are sent as 0 and not read.
//!
//! ```text
//! active                      passive
//!   │ ── REQ ──────────────────► │      MRA: "wait, it takes longer", from either side
//!   │ ◄────────────────── REP ── │      REJ: "no", from either side
//!   │ ── RTU ──────────────────► │
//!   │            …               │
//!   │ ── DREQ ─────────────────► │      from either side
//!   │ ◄───────────────── DREP ── │
//! ```
//!
//! "Local" is always the sender of the message. The PSN in a REQ or REP is the one that its *receiver* must send from.
//! Times are codes of 5 bits, see [`timeout_ns`].

mod dreq;
mod rej;
mod rep;
mod req;
#[cfg(test)]
mod tests;

use std::fmt;

pub use dreq::*;
pub use rej::*;
pub use rep::*;
pub use req::*;

use super::mad::{MAD_DATA_LEN, MAD_LEN, MadError, MadHeader, Reader, Writer};

/// The time in nanoseconds that a 5-bit code stands for: 4.096 µs · 2^code (IBTA vol. 1, 12.7 and 9.7.6.1.3).
pub const fn timeout_ns(code: u8) -> u64 {
    4096 << (code & 0x1f)
}

/// `data` with zeros behind it, as the fixed fields for private data have it; what is too long is cut off.
pub fn private_data<const N: usize>(data: &[u8]) -> [u8; N] {
    let mut padded = [0; N];
    let len = data.len().min(N);
    padded[..len].copy_from_slice(&data[..len]);
    padded
}

/// A message with the transaction that it belongs to: one MAD.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CmMad {
    /// Chosen by who begins an exchange, the same in answers and repetitions.
    pub transaction_id: u64,
    /// What it says.
    pub message: Message,
}

/// A message of the connection manager.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::large_enum_variant, reason = "all are parts of one MAD, handled one at a time")]
pub enum Message {
    /// Asks for a connection.
    Req(Req),
    /// An answer will take longer.
    Mra(Mra),
    /// Refuses.
    Rej(Rej),
    /// Accepts.
    Rep(Rep),
    /// Ready to use.
    Rtu(Rtu),
    /// Asks to end a connection.
    Dreq(Dreq),
    /// It is ended.
    Drep(Drep),
}

/// Numbers of the messages (IBTA vol. 1, 16.7).
mod attribute {
    pub const REQ: u16 = 0x10;
    pub const MRA: u16 = 0x11;
    pub const REJ: u16 = 0x12;
    pub const REP: u16 = 0x13;
    pub const RTU: u16 = 0x14;
    pub const DREQ: u16 = 0x15;
    pub const DREP: u16 = 0x16;
    pub const SIDR_REQ: u16 = 0x17;
    pub const SIDR_REP: u16 = 0x18;
    pub const LAP: u16 = 0x19;
    pub const APR: u16 = 0x1a;
}

impl CmMad {
    /// Reads the payload of a datagram to queue pair 1.
    ///
    /// # Errors
    /// It is no message of the connection manager that we know. Never panics. Whether what a message says makes sense
    /// is for the connection manager to judge.
    pub fn parse(mad: &[u8]) -> Result<CmMad, MadError> {
        let (MadHeader { transaction_id, attribute }, data) = MadHeader::parse(mad)?;
        let fields = Reader(data);
        let message = match attribute {
            attribute::REQ => Message::Req(Req::parse(fields)),
            attribute::MRA => Message::Mra(Mra::parse(fields)),
            attribute::REJ => Message::Rej(Rej::parse(fields)),
            attribute::REP => Message::Rep(Rep::parse(fields)),
            attribute::RTU => Message::Rtu(Rtu::parse(fields)),
            attribute::DREQ => Message::Dreq(Dreq::parse(fields)),
            attribute::DREP => Message::Drep(Drep::parse(fields)),
            attribute::SIDR_REQ => return Err(MadError::Unsupported("SIDR_REQ")),
            attribute::SIDR_REP => return Err(MadError::Unsupported("SIDR_REP")),
            attribute::LAP => return Err(MadError::Unsupported("LAP")),
            attribute::APR => return Err(MadError::Unsupported("APR")),
            other => return Err(MadError::Attribute(other)),
        };
        Ok(CmMad { transaction_id, message })
    }

    /// Writes it. Values wider than their fields lose their upper bits.
    pub fn emit(&self, out: &mut [u8; MAD_LEN]) {
        let data: &mut [u8; MAD_DATA_LEN] = out.last_chunk_mut().expect("it is shorter than a MAD");
        let fields = Writer::new(data);
        let attribute = match &self.message {
            Message::Req(req) => req.emit(fields),
            Message::Mra(mra) => mra.emit(fields),
            Message::Rej(rej) => rej.emit(fields),
            Message::Rep(rep) => rep.emit(fields),
            Message::Rtu(rtu) => rtu.emit(fields),
            Message::Dreq(dreq) => dreq.emit(fields),
            Message::Drep(drep) => drep.emit(fields),
        };
        MadHeader { transaction_id: self.transaction_id, attribute }.emit(out);
    }
}

impl Message {
    /// The sender's communication ID; 0 in a REJ of a REQ if it made none.
    pub fn local_comm_id(&self) -> u32 {
        match self {
            Message::Req(Req { local_comm_id, .. })
            | Message::Mra(Mra { local_comm_id, .. })
            | Message::Rej(Rej { local_comm_id, .. })
            | Message::Rep(Rep { local_comm_id, .. })
            | Message::Rtu(Rtu { local_comm_id, .. })
            | Message::Dreq(Dreq { local_comm_id, .. })
            | Message::Drep(Drep { local_comm_id, .. }) => *local_comm_id,
        }
    }

    /// The receiver's communication ID; 0 if the sender does not know it yet.
    pub fn remote_comm_id(&self) -> u32 {
        match self {
            Message::Req(_) => 0,
            Message::Mra(Mra { remote_comm_id, .. })
            | Message::Rej(Rej { remote_comm_id, .. })
            | Message::Rep(Rep { remote_comm_id, .. })
            | Message::Rtu(Rtu { remote_comm_id, .. })
            | Message::Dreq(Dreq { remote_comm_id, .. })
            | Message::Drep(Drep { remote_comm_id, .. }) => *remote_comm_id,
        }
    }
}

/// One line, as `tcpdump` shows packets.
impl fmt::Display for CmMad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, tid {:#x}", self.message, self.transaction_id)
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Message::Req(_) => "REQ",
            Message::Mra(_) => "MRA",
            Message::Rej(_) => "REJ",
            Message::Rep(_) => "REP",
            Message::Rtu(_) => "RTU",
            Message::Dreq(_) => "DREQ",
            Message::Drep(_) => "DREP",
        };
        write!(f, "{name} {:#x} > {:#x}", self.local_comm_id(), self.remote_comm_id())?;
        match self {
            Message::Req(req) => req.show_rest(f),
            Message::Mra(mra) => mra.show_rest(f),
            Message::Rej(rej) => rej.show_rest(f),
            Message::Rep(rep) => rep.show_rest(f),
            Message::Dreq(dreq) => dreq.show_rest(f),
            Message::Rtu(_) | Message::Drep(_) => Ok(()),
        }
    }
}
