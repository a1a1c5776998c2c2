//! The transport headers of one packet: what stands between UDP's header and the ICRC (IBTA vol. 1, 9.2 to 9.6).
//!
//! ```text
//! BTH 12 │ DETH 8 or RETH 16 or AtomicETH 28 or AETH 4 │ ImmDt 4 or IETH 4 │ payload │ pad 0–3 ║ ICRC 4 (see icrc.rs)
//! ```

use std::fmt;

use super::{Opcode, Psn};

/// Length of the base transport header in bytes.
pub const BTH_LEN: usize = 12;
/// Length of the RDMA extended transport header in bytes.
pub const RETH_LEN: usize = 16;
/// Length of the ACK extended transport header in bytes.
pub const AETH_LEN: usize = 4;
/// Length of the datagram extended transport header in bytes.
pub const DETH_LEN: usize = 8;
/// Length of the invariant CRC at the end of a packet in bytes.
pub const ICRC_LEN: usize = 4;
/// Longest header that we send: BTH, RETH, immediate data.
pub const HEADER_MAX: usize = BTH_LEN + RETH_LEN + 4;
/// The default partition, as full member: RoCE knows no other.
pub const DEFAULT_PKEY: u16 = 0xffff;

/// RDMA extended transport header: the memory that a WRITE or READ is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reth {
    /// Address in the responder's memory.
    pub addr: u64,
    /// The responder's key for it.
    pub rkey: u32,
    /// Length of the whole transfer in bytes.
    pub len: u32,
}

/// ACK extended transport header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Aeth {
    /// What is said.
    pub syndrome: Syndrome,
    /// Messages completed by the responder, 24 bits.
    pub msn: u32,
}

/// Syndrome of an [`Aeth`] (IBTA vol. 1, 9.7.5.2.1, tables 45 to 47).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Syndrome {
    /// Done, with the credit field (5 bits; 31: no credit information).
    Ack(u8),
    /// No receive is posted: try again after the time that this 5-bit code stands for.
    ReceiverNotReady(u8),
    /// Refused.
    Nak(NakCode),
    /// A reserved encoding.
    Reserved(u8),
}

/// Why a request was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NakCode {
    /// Packets before this one are missing: send again from the acknowledgement's PSN on.
    SequenceError,
    /// The opcode does not fit, or the message is too long.
    InvalidRequest,
    /// Key, bounds or rights.
    RemoteAccess,
    /// The responder cannot do it.
    RemoteOperational,
    /// Of reliable datagrams only.
    InvalidRdRequest,
    /// Reserved codes.
    Reserved(u8),
}

/// Credit field of an ACK that says nothing about credits.
pub const NO_CREDIT_INFORMATION: u8 = 31;

impl Syndrome {
    fn parse(byte: u8) -> Syndrome {
        let value = byte & 0x1f;
        match byte >> 5 {
            0b000 => Syndrome::Ack(value),
            0b001 => Syndrome::ReceiverNotReady(value),
            0b011 => Syndrome::Nak(match value {
                0 => NakCode::SequenceError,
                1 => NakCode::InvalidRequest,
                2 => NakCode::RemoteAccess,
                3 => NakCode::RemoteOperational,
                4 => NakCode::InvalidRdRequest,
                other => NakCode::Reserved(other),
            }),
            _ => Syndrome::Reserved(byte),
        }
    }

    fn emit(self) -> u8 {
        match self {
            Syndrome::Ack(credits) => credits & 0x1f,
            Syndrome::ReceiverNotReady(timer) => 0x20 | timer & 0x1f,
            Syndrome::Nak(code) => {
                0x60 | match code {
                    NakCode::SequenceError => 0,
                    NakCode::InvalidRequest => 1,
                    NakCode::RemoteAccess => 2,
                    NakCode::RemoteOperational => 3,
                    NakCode::InvalidRdRequest => 4,
                    NakCode::Reserved(other) => other & 0x1f,
                }
            }
            Syndrome::Reserved(byte) => byte,
        }
    }
}

/// Datagram extended transport header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deth {
    /// Key of the destination queue (the connection manager's: [`super::GSI_QKEY`]).
    pub qkey: u32,
    /// Queue pair that sent it.
    pub source_qp: u32,
}

/// Every header of a packet. Which of the optional ones are there follows from the opcode: [`Headers::parse`] fills
/// exactly those, [`Headers::emit`] needs them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Headers {
    /// What the packet is.
    pub opcode: Opcode,
    /// Solicited event.
    pub solicited: bool,
    /// Migration request state: NICs send true, soft-RoCE false; says nothing here.
    pub migrated: bool,
    /// Bytes of padding behind the payload, 0 to 3.
    pub pad: u8,
    /// Partition.
    pub pkey: u16,
    /// Queue pair that it is for, 24 bits.
    pub dest_qp: u32,
    /// Whether an acknowledgement is asked for.
    pub ack_request: bool,
    /// Its number.
    pub psn: Psn,
    /// Of WRITE (first, only) and READ requests.
    pub reth: Option<Reth>,
    /// Of acknowledgements and READ responses (first, last, only).
    pub aeth: Option<Aeth>,
    /// Of datagrams.
    pub deth: Option<Deth>,
    /// Immediate data, as a number.
    pub immediate: Option<u32>,
    /// Key that a SEND invalidates.
    pub invalidate: Option<u32>,
}

/// Why a packet could not be parsed; the order is that of the checks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PacketError {
    /// Shorter than its headers.
    #[error("shorter than its headers")]
    Truncated,
    /// Transport version other than 0.
    #[error("transport header version is not 0")]
    Version,
    /// An opcode that we do not know.
    #[error("unknown opcode {0:#04x}")]
    Opcode(u8),
    /// The padding is longer than what stands before it.
    #[error("padding longer than the payload")]
    Padding,
}

impl Headers {
    /// Headers of a packet with nothing optional set: no flag, no padding, the default partition.
    pub const fn new(opcode: Opcode, dest_qp: u32, psn: Psn) -> Headers {
        Headers {
            opcode,
            solicited: false,
            migrated: true,
            pad: 0,
            pkey: DEFAULT_PKEY,
            dest_qp,
            ack_request: false,
            psn,
            reth: None,
            aeth: None,
            deth: None,
            immediate: None,
            invalidate: None,
        }
    }

    /// Reads a packet (without its ICRC): the headers, and the payload without its padding.
    ///
    /// # Errors
    /// It is malformed. Never panics.
    #[inline]
    pub fn parse(packet: &[u8]) -> Result<(Headers, &[u8]), PacketError> {
        let (bth, mut rest) = packet.split_at_checked(BTH_LEN).ok_or(PacketError::Truncated)?;
        if bth[1] & 0x0f != 0 {
            return Err(PacketError::Version);
        }
        let opcode = Opcode::parse(bth[0]).ok_or(PacketError::Opcode(bth[0]))?;
        let mut headers = Headers {
            solicited: bth[1] & 0x80 != 0,
            migrated: bth[1] & 0x40 != 0,
            pad: bth[1] >> 4 & 0x03,
            pkey: u16::from_be_bytes([bth[2], bth[3]]),
            ack_request: bth[8] & 0x80 != 0,
            ..Headers::new(opcode, be24(bth, 5), Psn::new(be24(bth, 9)))
        };
        let mut take = |len: usize| {
            let (header, behind) = rest.split_at_checked(len).ok_or(PacketError::Truncated)?;
            rest = behind;
            Ok(header)
        };
        if opcode.has_deth() {
            let deth = take(DETH_LEN)?;
            headers.deth = Some(Deth { qkey: be32(deth, 0), source_qp: be24(deth, 5) });
        }
        if opcode.has_reth() {
            let reth = take(RETH_LEN)?;
            let addr = u64::from(be32(reth, 0)) << 32 | u64::from(be32(reth, 4));
            headers.reth = Some(Reth { addr, rkey: be32(reth, 8), len: be32(reth, 12) });
        }
        if opcode.has_atomic() {
            take(28)?;
        }
        if opcode.has_aeth() {
            let aeth = take(AETH_LEN)?;
            headers.aeth = Some(Aeth { syndrome: Syndrome::parse(aeth[0]), msn: be24(aeth, 1) });
        }
        if opcode.has_immediate() {
            headers.immediate = Some(be32(take(4)?, 0));
        }
        if opcode.has_invalidate() {
            headers.invalidate = Some(be32(take(4)?, 0));
        }
        let len = rest.len().checked_sub(headers.pad.into()).ok_or(PacketError::Padding)?;
        Ok((headers, &rest[..len]))
    }

    /// Length in bytes of what [`Headers::emit`] writes.
    #[expect(clippy::len_without_is_empty, reason = "there is always a base transport header")]
    #[inline]
    pub fn len(&self) -> usize {
        BTH_LEN
            + if self.opcode.has_deth() { DETH_LEN } else { 0 }
            + if self.opcode.has_reth() { RETH_LEN } else { 0 }
            + if self.opcode.has_aeth() { AETH_LEN } else { 0 }
            + if self.opcode.has_immediate() || self.opcode.has_invalidate() { 4 } else { 0 }
    }

    /// Writes them and returns their length.
    ///
    /// # Panics
    /// If `out` is shorter than [`HEADER_MAX`], a header that the opcode needs is missing, or the opcode is one that
    /// we never send (atomics): that would be our own bug.
    #[inline]
    pub fn emit(&self, out: &mut [u8]) -> usize {
        const MISSING: &str = "the header that the opcode needs";
        assert!(!self.opcode.has_atomic(), "atomic operations are not sent");
        let flags = u8::from(self.solicited) << 7 | u8::from(self.migrated) << 6 | (self.pad & 3) << 4;
        out[0] = self.opcode as u8;
        out[1] = flags;
        out[2..4].copy_from_slice(&self.pkey.to_be_bytes());
        // BECN stands for what a congestion notification says (IBTA vol. 1, annex A17.9.3).
        let becn = u32::from(self.opcode == Opcode::Cnp) << 30;
        out[4..8].copy_from_slice(&(becn | self.dest_qp & 0xff_ffff).to_be_bytes());
        out[8..12].copy_from_slice(&(u32::from(self.ack_request) << 31 | self.psn.get()).to_be_bytes());
        let mut at = BTH_LEN;
        let mut put = |bytes: &[u8]| {
            out[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        if self.opcode.has_deth() {
            let deth = self.deth.expect(MISSING);
            put(&deth.qkey.to_be_bytes());
            put(&(deth.source_qp & 0xff_ffff).to_be_bytes());
        }
        if self.opcode.has_reth() {
            let reth = self.reth.expect(MISSING);
            put(&reth.addr.to_be_bytes());
            put(&reth.rkey.to_be_bytes());
            put(&reth.len.to_be_bytes());
        }
        if self.opcode.has_aeth() {
            let aeth = self.aeth.expect(MISSING);
            put(&(u32::from(aeth.syndrome.emit()) << 24 | aeth.msn & 0xff_ffff).to_be_bytes());
        }
        if self.opcode.has_immediate() {
            put(&self.immediate.expect(MISSING).to_be_bytes());
        }
        if self.opcode.has_invalidate() {
            put(&self.invalidate.expect(MISSING).to_be_bytes());
        }
        at
    }
}

/// One line, as `tcpdump` shows packets.
impl fmt::Display for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} qp {:#x} psn {:#08x}", self.opcode, self.dest_qp, self.psn.get())?;
        if self.ack_request {
            f.write_str(", ack wanted")?;
        }
        if let Some(deth) = self.deth {
            write!(f, ", from qp {:#x}", deth.source_qp)?;
        }
        if let Some(reth) = self.reth {
            write!(f, ", {} bytes at {:#x} rkey {:#x}", reth.len, reth.addr, reth.rkey)?;
        }
        if let Some(aeth) = self.aeth {
            write!(f, ", {:?} msn {}", aeth.syndrome, aeth.msn)?;
        }
        if let Some(immediate) = self.immediate {
            write!(f, ", immediate {immediate:#x}")?;
        }
        if let Some(rkey) = self.invalidate {
            write!(f, ", invalidates rkey {rkey:#x}")?;
        }
        Ok(())
    }
}

fn be24(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([0, bytes[at], bytes[at + 1], bytes[at + 2]])
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests;
