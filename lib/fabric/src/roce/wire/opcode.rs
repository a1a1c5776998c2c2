//! What a packet is (IBTA vol. 1, 9.2.1 and table 38; annex A17.9.3 for the congestion notification packet).

/// Opcode of the base transport header. Of the services, only what RC needs, the datagrams of the connection manager,
/// and congestion notification; everything else is [`None`] in [`Opcode::parse`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
#[allow(missing_docs, reason = "the standard's names")]
pub enum Opcode {
    SendFirst = 0x00,
    SendMiddle = 0x01,
    SendLast = 0x02,
    SendLastImmediate = 0x03,
    SendOnly = 0x04,
    SendOnlyImmediate = 0x05,
    WriteFirst = 0x06,
    WriteMiddle = 0x07,
    WriteLast = 0x08,
    WriteLastImmediate = 0x09,
    WriteOnly = 0x0a,
    WriteOnlyImmediate = 0x0b,
    ReadRequest = 0x0c,
    ReadResponseFirst = 0x0d,
    ReadResponseMiddle = 0x0e,
    ReadResponseLast = 0x0f,
    ReadResponseOnly = 0x10,
    Acknowledge = 0x11,
    AtomicAcknowledge = 0x12,
    CompareSwap = 0x13,
    FetchAdd = 0x14,
    SendLastInvalidate = 0x16,
    SendOnlyInvalidate = 0x17,
    UdSendOnly = 0x64,
    Cnp = 0x81,
}

impl Opcode {
    /// The opcode with this number, if we know it.
    #[inline]
    pub const fn parse(number: u8) -> Option<Opcode> {
        use Opcode::*;
        Some(match number {
            0x00 => SendFirst,
            0x01 => SendMiddle,
            0x02 => SendLast,
            0x03 => SendLastImmediate,
            0x04 => SendOnly,
            0x05 => SendOnlyImmediate,
            0x06 => WriteFirst,
            0x07 => WriteMiddle,
            0x08 => WriteLast,
            0x09 => WriteLastImmediate,
            0x0a => WriteOnly,
            0x0b => WriteOnlyImmediate,
            0x0c => ReadRequest,
            0x0d => ReadResponseFirst,
            0x0e => ReadResponseMiddle,
            0x0f => ReadResponseLast,
            0x10 => ReadResponseOnly,
            0x11 => Acknowledge,
            0x12 => AtomicAcknowledge,
            0x13 => CompareSwap,
            0x14 => FetchAdd,
            0x16 => SendLastInvalidate,
            0x17 => SendOnlyInvalidate,
            0x64 => UdSendOnly,
            0x81 => Cnp,
            _ => return None,
        })
    }

    /// Whether an RDMA extended transport header follows.
    #[inline]
    pub const fn has_reth(self) -> bool {
        use Opcode::*;
        matches!(self, WriteFirst | WriteOnly | WriteOnlyImmediate | ReadRequest)
    }

    /// Whether an ACK extended transport header follows.
    #[inline]
    pub const fn has_aeth(self) -> bool {
        use Opcode::*;
        matches!(self, ReadResponseFirst | ReadResponseLast | ReadResponseOnly | Acknowledge | AtomicAcknowledge)
    }

    /// Whether a datagram extended transport header follows.
    #[inline]
    pub const fn has_deth(self) -> bool {
        matches!(self, Opcode::UdSendOnly)
    }

    /// Whether 4 bytes of immediate data follow.
    #[inline]
    pub const fn has_immediate(self) -> bool {
        use Opcode::*;
        matches!(self, SendLastImmediate | SendOnlyImmediate | WriteLastImmediate | WriteOnlyImmediate)
    }

    /// Whether 4 bytes of a key to invalidate follow.
    #[inline]
    pub const fn has_invalidate(self) -> bool {
        matches!(self, Opcode::SendLastInvalidate | Opcode::SendOnlyInvalidate)
    }

    /// Whether 28 bytes of an atomic header follow.
    #[inline]
    pub const fn has_atomic(self) -> bool {
        matches!(self, Opcode::CompareSwap | Opcode::FetchAdd)
    }

    /// Whether it answers a request: an acknowledgement or the data of a READ. Everything else of RC is a request.
    #[inline]
    pub const fn is_response(self) -> bool {
        use Opcode::*;
        matches!(
            self,
            ReadResponseFirst
                | ReadResponseMiddle
                | ReadResponseLast
                | ReadResponseOnly
                | Acknowledge
                | AtomicAcknowledge
        )
    }
}
