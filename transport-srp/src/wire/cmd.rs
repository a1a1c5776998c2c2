//! SRP_CMD: one SCSI command (SRP r16a, 6.8 and 5.4).
//!
//! ```text
//!   0  opcode 0x02      1  SCSOLNT, UCSOLNT      5  formats: data-out (high nibble), data-in (low nibble)
//!   6  data-out count   7  data-in count         8  tag (8)         20  LUN (8)
//!  29  task attribute  31  additional CDB length in bytes, low two bits reserved
//!  32  CDB (16)        48  additional CDB, data-out descriptors, data-in descriptors, each as long as said above
//!      …               immediate data at the offset that the login agreed on, counted from byte 0
//! ```
//!
//! A data buffer is described in one of four formats. *Direct* (1): one descriptor. *Indirect* (2): a descriptor of a
//! table in the initiator's memory, the total length, and the first `count` entries of that table inline. *Immediate*
//! (3, SRP-2, data-out only): the data itself, in the IU. *None* (0). The counts mean something for indirect only;
//! Linux leaves them 0 otherwise, and so they are not looked at.

use super::descriptor::{DESCRIPTOR_LEN, Descriptor};
use super::field::Field;
use super::{IuError, Solicited, Tag, opcode};

mod repr;
#[cfg(test)]
mod tests;

pub use repr::{BufferRepr, CommandRepr};

/// Length of an SRP_CMD up to and including the first 16 bytes of its CDB.
pub const COMMAND_LEN: usize = 48;
/// Where the CDB begins.
const CDB_OFFSET: usize = 32;
/// CDB bytes in the fixed part.
const CDB_LEN: usize = 16;
/// Longest CDB: 16 bytes, and what six bits count in steps of four.
pub const CDB_LEN_MAX: usize = CDB_LEN + ADDITIONAL_CDB_MASK as usize;
const ADDITIONAL_CDB_MASK: u8 = 0xfc;
/// An indirect table's descriptor and the total length, which stand before the inline entries.
const INDIRECT_HEADER_LEN: usize = DESCRIPTOR_LEN as usize + 4;
/// The length of immediate data, which stands where the descriptor would.
const IMMEDIATE_HEADER_LEN: usize = 4;

const FORMAT_NONE: u8 = 0;
const FORMAT_DIRECT: u8 = 1;
const FORMAT_INDIRECT: u8 = 2;
const FORMAT_IMMEDIATE: u8 = 3;

mod field {
    use super::Field;
    pub const OPCODE: Field<0, 1> = Field;
    pub const SOLICITED: Field<1, 1> = Field;
    pub const FORMATS: Field<5, 1> = Field;
    pub const DATA_OUT_COUNT: Field<6, 1> = Field;
    pub const DATA_IN_COUNT: Field<7, 1> = Field;
    pub const TAG: Field<8, 8> = Field;
    pub const LUN: Field<20, 8> = Field;
    pub const TASK_ATTRIBUTE: Field<29, 1> = Field;
    pub const ADDITIONAL_CDB: Field<31, 1> = Field;
    // Of the 20-byte header of an indirect buffer.
    pub const TABLE: Field<0, 16> = Field;
    pub const TOTAL_LEN: Field<16, 4> = Field;
}

/// A parsed SRP_CMD. It holds offsets into its IU, never copies, so that it can live in a slot beside the buffer.
///
/// Both data buffers may be present: SRP knows bidirectional commands. Linux never sends one; whoever executes the
/// command decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Command {
    /// Comes back in the response.
    pub tag: Tag,
    /// The logical unit, as SAM's eight-byte structure.
    pub lun: [u8; 8],
    /// The task attribute.
    pub task_attribute: TaskAttribute,
    /// Which responses shall be solicited.
    pub solicited: Solicited,
    /// Length of the CDB in bytes, the additional CDB included: 16 to 268, a multiple of 4.
    pub cdb_len: u16,
    /// Memory that the initiator wants read (SCSI data-out).
    pub data_out: DataBuffer,
    /// Memory that the initiator wants written (SCSI data-in).
    pub data_in: DataBuffer,
}

impl Command {
    /// As [`super::iu::parse`], at a glance: a command of 16 bytes of CDB whose data come into, or from, one piece of memory, or with the IU.
    /// The CDB stands beside it. `None`: it is another, or it is not as it should be; ask there.
    #[inline(always)]
    pub fn parse_plain(iu: &[u8], immediate_offset: Option<u16>) -> Option<(Command, &[u8; CDB_LEN])> {
        const DATA_IN: u8 = FORMAT_DIRECT;
        const DATA_OUT: u8 = FORMAT_DIRECT << 4;
        const IMMEDIATE: u8 = FORMAT_IMMEDIATE << 4;
        let fixed = iu.first_chunk::<{ COMMAND_LEN + DESCRIPTOR_LEN as usize }>()?;
        let (head, buffer) = fixed.split_first_chunk::<COMMAND_LEN>()?;
        let buffer = buffer.first_chunk()?;
        if field::OPCODE.read(head) != opcode::CMD || field::ADDITIONAL_CDB.read(head) & ADDITIONAL_CDB_MASK != 0 {
            return None;
        }
        let (data_out, data_in) = match field::FORMATS.read(head) {
            DATA_IN => (DataBuffer::None, DataBuffer::Direct(Descriptor::parse(buffer))),
            DATA_OUT => (DataBuffer::Direct(Descriptor::parse(buffer)), DataBuffer::None),
            IMMEDIATE => {
                let (offset, len) = (immediate_offset?, u32::from_be_bytes(*buffer.first_chunk()?));
                let follows = usize::from(offset) >= COMMAND_LEN + IMMEDIATE_HEADER_LEN;
                if !follows || u64::from(offset) + u64::from(len) > iu.len() as u64 {
                    return None;
                }
                (DataBuffer::Immediate { offset, len }, DataBuffer::None)
            }
            _ => return None,
        };
        let command = Command {
            tag: Tag(field::TAG.get(head)),
            lun: field::LUN.get(head),
            task_attribute: TaskAttribute::from_byte(field::TASK_ATTRIBUTE.read(head)),
            solicited: Solicited::from_byte(field::SOLICITED.read(head)),
            cdb_len: CDB_LEN as u16,
            data_out,
            data_in,
        };
        Some((command, head.last_chunk()?))
    }

    /// Reads an SRP_CMD from `iu`, exactly the bytes received. `immediate_offset` is what the login agreed on for
    /// immediate data, `None` if nothing.
    ///
    /// Errors: [`IuError::Malformed`] if the fixed part is not there; otherwise [`IuError::Refuse`], to be answered.
    #[inline]
    pub(super) fn parse(iu: &[u8], immediate_offset: Option<u16>) -> Result<Command, IuError> {
        let Some(fixed) = iu.first_chunk::<COMMAND_LEN>() else {
            return Err(IuError::Malformed { iu: "SRP_CMD", len: iu.len(), minimum: COMMAND_LEN });
        };
        let tag = Tag(field::TAG.get(fixed));
        let lun = field::LUN.get(fixed);
        let solicited = Solicited::from_byte(field::SOLICITED.read(fixed));
        let additional = field::ADDITIONAL_CDB.read(fixed) & ADDITIONAL_CDB_MASK;
        let buffers = Buffers {
            iu,
            at: COMMAND_LEN + usize::from(additional),
            formats: field::FORMATS.read(fixed),
            counts: [field::DATA_OUT_COUNT.read(fixed), field::DATA_IN_COUNT.read(fixed)],
            immediate_offset,
        };
        let (data_out, data_in) = buffers.parse().map_err(|reason| IuError::Refuse { tag, lun, solicited, reason })?;
        Ok(Command {
            tag,
            lun,
            task_attribute: TaskAttribute::from_byte(field::TASK_ATTRIBUTE.read(fixed)),
            solicited,
            cdb_len: CDB_LEN as u16 + u16::from(additional),
            data_out,
            data_in,
        })
    }

    /// The CDB, 16 bytes or more, in `iu`: the one that this command was parsed from.
    #[inline]
    pub fn cdb<'a>(&self, iu: &'a [u8]) -> &'a [u8] {
        slice(iu, CDB_OFFSET, usize::from(self.cdb_len))
    }
}

/// What is left to read after the fixed part.
struct Buffers<'a> {
    iu: &'a [u8],
    /// The first byte not read yet; may lie behind the end of the IU.
    at: usize,
    formats: u8,
    /// Data-out and data-in.
    counts: [u8; 2],
    immediate_offset: Option<u16>,
}

impl<'a> Buffers<'a> {
    #[inline]
    fn parse(mut self) -> Result<(DataBuffer, DataBuffer), RefuseReason> {
        if self.at > self.iu.len() {
            return Err(RefuseReason::CdbTruncated { end: self.at, len: self.iu.len() });
        }
        let data_out = self.buffer(Direction::DataOut, self.formats >> 4, self.counts[0])?;
        let data_in = self.buffer(Direction::DataIn, self.formats & 0x0f, self.counts[1])?;
        self.check_immediate(&data_out)?;
        Ok((data_out, data_in))
    }

    #[inline]
    fn buffer(&mut self, direction: Direction, format: u8, count: u8) -> Result<DataBuffer, RefuseReason> {
        match (format, direction) {
            (FORMAT_NONE, _) => Ok(DataBuffer::None),
            (FORMAT_DIRECT, _) => Ok(DataBuffer::Direct(Descriptor::parse(self.take(direction)?))),
            (FORMAT_INDIRECT, _) => self.indirect(direction, count).map(DataBuffer::Indirect),
            (FORMAT_IMMEDIATE, Direction::DataOut) => self.immediate(),
            _ => Err(RefuseReason::UnsupportedFormat { direction, format }),
        }
    }

    fn indirect(&mut self, direction: Direction, count: u8) -> Result<Indirect, RefuseReason> {
        let header: &[u8; INDIRECT_HEADER_LEN] = self.take(direction)?;
        let table = Descriptor::parse(&field::TABLE.get(header));
        let inline_offset = self.at;
        self.at += usize::from(count) * DESCRIPTOR_LEN as usize;
        if self.at > self.iu.len() {
            return Err(RefuseReason::BadDescriptorCount { direction, count, end: self.at, len: self.iu.len() });
        }
        if !table.len.is_multiple_of(DESCRIPTOR_LEN) {
            return Err(RefuseReason::BadTableLength { direction, len: table.len });
        }
        Ok(Indirect {
            table,
            total_len: field::TOTAL_LEN.read(header),
            inline_count: u16::from(count),
            // At most 48 + 252 + 20 + 255 * 16 + 20: it fits.
            inline_offset: inline_offset as u16,
            table_count: table.len / DESCRIPTOR_LEN,
        })
    }

    #[inline]
    fn immediate(&mut self) -> Result<DataBuffer, RefuseReason> {
        let len = u32::from_be_bytes(*self.take::<IMMEDIATE_HEADER_LEN>(Direction::DataOut)?);
        let offset = self.immediate_offset.ok_or(RefuseReason::ImmediateNotNegotiated)?;
        Ok(DataBuffer::Immediate { offset, len })
    }

    /// Immediate data lies behind all descriptors and within the IU.
    #[inline]
    fn check_immediate(&self, data_out: &DataBuffer) -> Result<(), RefuseReason> {
        let &DataBuffer::Immediate { offset, len } = data_out else { return Ok(()) };
        if usize::from(offset) < self.at {
            return Err(RefuseReason::ImmediateOverlap { offset, descriptors_end: self.at });
        }
        if u64::from(offset) + u64::from(len) > self.iu.len() as u64 {
            return Err(RefuseReason::ImmediateTruncated { offset, data_len: len, len: self.iu.len() });
        }
        Ok(())
    }

    #[inline]
    fn take<const N: usize>(&mut self, direction: Direction) -> Result<&'a [u8; N], RefuseReason> {
        let end = self.at + N;
        let bytes = self.iu.get(self.at..).and_then(|rest| rest.first_chunk());
        self.at = end;
        bytes.ok_or(RefuseReason::DescriptorTruncated { direction, end, len: self.iu.len() })
    }
}

/// Why an SRP_CMD with a trustworthy tag cannot be executed as it stands. The target answers CHECK CONDITION, ILLEGAL
/// REQUEST, and the channel lives on. The text is for the log: it says what the initiator did wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RefuseReason {
    /// A format nibble that SRP does not define, or immediate data-in.
    #[error(
        "{direction} buffer format {format}: only 0 (none), 1 (direct), 2 (indirect) and, for data-out, 3 (immediate) exist"
    )]
    UnsupportedFormat {
        /// Which buffer.
        direction: Direction,
        /// The nibble.
        format: u8,
    },
    /// The additional CDB ends behind the IU.
    #[error("ADDITIONAL CDB LENGTH: the CDB ends at byte {end} of an IU of {len} bytes")]
    CdbTruncated {
        /// Where it would end, in bytes.
        end: usize,
        /// Length of the IU in bytes.
        len: usize,
    },
    /// A descriptor, or the header of an indirect list, ends behind the IU.
    #[error("{direction} descriptor: it ends at byte {end} of an IU of {len} bytes")]
    DescriptorTruncated {
        /// Which buffer.
        direction: Direction,
        /// Where it would end, in bytes.
        end: usize,
        /// Length of the IU in bytes.
        len: usize,
    },
    /// The inline descriptors end behind the IU.
    #[error("{direction} descriptor count: {count} descriptors end at byte {end} of an IU of {len} bytes")]
    BadDescriptorCount {
        /// Which buffer.
        direction: Direction,
        /// DATA-OUT or DATA-IN BUFFER DESCRIPTOR COUNT.
        count: u8,
        /// Where the last one would end, in bytes.
        end: usize,
        /// Length of the IU in bytes.
        len: usize,
    },
    /// The table of an indirect buffer holds a part of a descriptor.
    #[error("{direction} indirect table: its length {len} is no multiple of 16")]
    BadTableLength {
        /// Which buffer.
        direction: Direction,
        /// The table descriptor's length in bytes.
        len: u32,
    },
    /// Immediate data on a channel whose login did not agree on it.
    #[error("immediate data, which this channel's login did not agree on")]
    ImmediateNotNegotiated,
    /// Immediate data that would lie over the CDB or the descriptors.
    #[error("immediate data at byte {offset}, but the descriptors end at byte {descriptors_end}")]
    ImmediateOverlap {
        /// IMMEDIATE DATA OFFSET of the login, in bytes.
        offset: u16,
        /// Where the descriptors end, in bytes.
        descriptors_end: usize,
    },
    /// Immediate data that ends behind the IU.
    #[error("immediate data: {data_len} bytes at byte {offset} of an IU of {len} bytes")]
    ImmediateTruncated {
        /// IMMEDIATE DATA OFFSET of the login, in bytes.
        offset: u16,
        /// Length of the data in bytes, as the IU says.
        data_len: u32,
        /// Length of the IU in bytes.
        len: usize,
    },
}

/// Which way data flows, as SCSI says it: seen from the initiator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From the initiator to the target: a write.
    DataOut,
    /// From the target to the initiator: a read.
    DataIn,
}

impl std::fmt::Display for Direction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Direction::DataOut => "data-out",
            Direction::DataIn => "data-in",
        })
    }
}

/// One of a command's two data buffers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DataBuffer {
    /// Not there.
    None,
    /// One piece of memory.
    Direct(Descriptor),
    /// A list of pieces.
    Indirect(Indirect),
    /// The data itself, within the IU.
    Immediate {
        /// Where it begins, in bytes from the start of the IU.
        offset: u16,
        /// Its length in bytes.
        len: u32,
    },
}

impl DataBuffer {
    /// Length of the buffer in bytes, as the initiator states it. Descriptors of an indirect buffer may sum up to less:
    /// `transfer::validate` finds out.
    #[inline]
    pub fn len(&self) -> u32 {
        match self {
            DataBuffer::None => 0,
            DataBuffer::Direct(descriptor) => descriptor.len,
            DataBuffer::Indirect(indirect) => indirect.total_len,
            DataBuffer::Immediate { len, .. } => *len,
        }
    }

    /// Whether it holds no byte, be it there or not.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether descriptors are missing from the IU, so that the table must be fetched first.
    #[inline]
    pub fn needs_table(&self) -> bool {
        matches!(self, DataBuffer::Indirect(indirect) if indirect.table_count > u32::from(indirect.inline_count))
    }

    /// The immediate data in `iu`, the one that the command was parsed from; `None` for any other format.
    #[inline]
    pub fn immediate<'a>(&self, iu: &'a [u8]) -> Option<&'a [u8]> {
        match *self {
            DataBuffer::Immediate { offset, len } => Some(slice(iu, usize::from(offset), len as usize)),
            _ => None,
        }
    }
}

/// An indirect data buffer: the whole table lies in the initiator's memory, its first entries also in the IU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Indirect {
    /// Where the whole table lies: `table_count` descriptors with nothing before them, those of the IU included.
    pub table: Descriptor,
    /// Length of the data buffer in bytes.
    pub total_len: u32,
    /// Number of descriptors in the IU. May exceed `table_count`: the surplus means nothing.
    pub inline_count: u16,
    /// Where they begin, in bytes from the start of the IU.
    pub inline_offset: u16,
    /// Number of descriptors in the table: up to 2^28, the initiator's word; compare it with a limit before fetching.
    pub table_count: u32,
}

impl Indirect {
    /// The descriptors in `iu`, the one that the command was parsed from: a multiple of 16 bytes.
    #[inline]
    pub fn inline<'a>(&self, iu: &'a [u8]) -> &'a [u8] {
        let count = u32::from(self.inline_count).min(self.table_count);
        slice(iu, usize::from(self.inline_offset), (count * DESCRIPTOR_LEN) as usize)
    }
}

/// `len` bytes of `iu` from `offset` on, or nothing if they are not there.
#[inline]
fn slice(iu: &[u8], offset: usize, len: usize) -> &[u8] {
    iu.get(offset..).and_then(|rest| rest.get(..len)).unwrap_or_default()
}

/// Task attributes (SAM-5, 8.6; SRP r16a, 6.8). Linux sends SIMPLE only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaskAttribute {
    /// SIMPLE, 0.
    Simple,
    /// HEAD OF QUEUE, 1.
    HeadOfQueue,
    /// ORDERED, 2.
    Ordered,
    /// ACA, 4.
    Aca,
    /// A value that the standard reserves: 3, 5, 6 or 7.
    Reserved(u8),
}

impl TaskAttribute {
    const MASK: u8 = 0x07;

    #[inline]
    fn from_byte(byte: u8) -> TaskAttribute {
        match byte & Self::MASK {
            0 => TaskAttribute::Simple,
            1 => TaskAttribute::HeadOfQueue,
            2 => TaskAttribute::Ordered,
            4 => TaskAttribute::Aca,
            other => TaskAttribute::Reserved(other),
        }
    }

    fn to_byte(self) -> u8 {
        match self {
            TaskAttribute::Simple => 0,
            TaskAttribute::HeadOfQueue => 1,
            TaskAttribute::Ordered => 2,
            TaskAttribute::Aca => 4,
            TaskAttribute::Reserved(value) => value & Self::MASK,
        }
    }
}
