//! An SRP_CMD to be sent: the initiator's side, for load generators and tests. What goes where stands in `cmd.rs`.

use super::{
    CDB_LEN, CDB_LEN_MAX, CDB_OFFSET, COMMAND_LEN, DESCRIPTOR_LEN, Descriptor, FORMAT_DIRECT, FORMAT_IMMEDIATE,
    FORMAT_INDIRECT, FORMAT_NONE, IMMEDIATE_HEADER_LEN, INDIRECT_HEADER_LEN, Solicited, Tag, TaskAttribute, field,
};
use crate::wire::opcode;

/// An SRP_CMD to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommandRepr<'a> {
    /// Comes back in the response.
    pub tag: Tag,
    /// The logical unit, as SAM's eight-byte structure.
    pub lun: [u8; 8],
    /// The task attribute.
    pub task_attribute: TaskAttribute,
    /// Which responses shall be solicited.
    pub solicited: Solicited,
    /// The CDB, at most [`CDB_LEN_MAX`] bytes; padded with zeroes to 16, and above to a multiple of 4.
    pub cdb: &'a [u8],
    /// Memory or data for the target to read.
    pub data_out: BufferRepr<'a>,
    /// Memory for the target to write; never immediate.
    pub data_in: BufferRepr<'a>,
}

/// A data buffer of a [`CommandRepr`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BufferRepr<'a> {
    /// Not there.
    None,
    /// One piece of memory.
    Direct(Descriptor),
    /// A list of pieces.
    Indirect {
        /// Where the whole table lies.
        table: Descriptor,
        /// Length of the data buffer in bytes.
        total_len: u32,
        /// The first entries of the table, at most 255.
        inline: &'a [Descriptor],
    },
    /// The data itself.
    Immediate {
        /// IMMEDIATE DATA OFFSET of the login, in bytes; at or behind the end of the descriptors.
        offset: u16,
        /// The data.
        data: &'a [u8],
    },
}

impl CommandRepr<'_> {
    /// Length of the IU in bytes.
    pub fn emitted_len(&self) -> usize {
        let descriptors_end =
            COMMAND_LEN + self.additional_cdb_len() + self.data_out.header_len() + self.data_in.header_len();
        match self.data_out {
            BufferRepr::Immediate { offset, data } => descriptors_end.max(usize::from(offset) + data.len()),
            _ => descriptors_end,
        }
    }

    /// Writes the IU into the first [`CommandRepr::emitted_len`] bytes of `out` and returns that number.
    ///
    /// Panics if `out` is shorter, or the CDB or a list longer than the format allows.
    pub fn emit(&self, out: &mut [u8]) -> usize {
        let len = self.emitted_len();
        let out = &mut out[..len];
        out.fill(0);
        let (fixed, rest) = out.split_first_chunk_mut::<COMMAND_LEN>().expect("emitted_len covers the fixed part");
        field::OPCODE.write(fixed, opcode::CMD);
        field::SOLICITED.write(fixed, self.solicited.to_byte());
        field::FORMATS.write(fixed, self.data_out.format() << 4 | self.data_in.format());
        field::DATA_OUT_COUNT.write(fixed, self.data_out.count());
        field::DATA_IN_COUNT.write(fixed, self.data_in.count());
        field::TAG.put(fixed, self.tag.0);
        field::LUN.put(fixed, self.lun);
        field::TASK_ATTRIBUTE.write(fixed, self.task_attribute.to_byte());
        field::ADDITIONAL_CDB.write(fixed, self.additional_cdb_len() as u8);
        let (cdb, additional) = self.cdb.split_at(self.cdb.len().min(CDB_LEN));
        fixed[CDB_OFFSET..][..cdb.len()].copy_from_slice(cdb);
        rest[..additional.len()].copy_from_slice(additional);
        let data_in_at = self.data_out.emit(rest, self.additional_cdb_len());
        self.data_in.emit(rest, data_in_at);
        if let BufferRepr::Immediate { offset, data } = self.data_out {
            out[usize::from(offset)..][..data.len()].copy_from_slice(data);
        }
        len
    }

    fn additional_cdb_len(&self) -> usize {
        let len = self.cdb.len().saturating_sub(CDB_LEN).next_multiple_of(4);
        assert!(CDB_LEN + len <= CDB_LEN_MAX, "a CDB of {} bytes does not fit into SRP_CMD", self.cdb.len());
        len
    }
}

impl BufferRepr<'_> {
    fn format(&self) -> u8 {
        match self {
            BufferRepr::None => FORMAT_NONE,
            BufferRepr::Direct(_) => FORMAT_DIRECT,
            BufferRepr::Indirect { .. } => FORMAT_INDIRECT,
            BufferRepr::Immediate { .. } => FORMAT_IMMEDIATE,
        }
    }

    fn count(&self) -> u8 {
        match self {
            BufferRepr::Indirect { inline, .. } => u8::try_from(inline.len()).expect("at most 255 inline descriptors"),
            _ => 0,
        }
    }

    fn header_len(&self) -> usize {
        match self {
            BufferRepr::None => 0,
            BufferRepr::Direct(_) => DESCRIPTOR_LEN as usize,
            BufferRepr::Indirect { inline, .. } => INDIRECT_HEADER_LEN + inline.len() * DESCRIPTOR_LEN as usize,
            BufferRepr::Immediate { .. } => IMMEDIATE_HEADER_LEN,
        }
    }

    /// Writes the descriptors at `at` and returns where they end.
    fn emit(&self, out: &mut [u8], at: usize) -> usize {
        let end = at + self.header_len();
        let out = &mut out[at..end];
        match self {
            BufferRepr::None => {}
            BufferRepr::Direct(descriptor) => out.copy_from_slice(&descriptor.emit()),
            BufferRepr::Indirect { table, total_len, inline } => {
                let (header, list) = out.split_at_mut(INDIRECT_HEADER_LEN);
                header[..DESCRIPTOR_LEN as usize].copy_from_slice(&table.emit());
                header[DESCRIPTOR_LEN as usize..].copy_from_slice(&total_len.to_be_bytes());
                for (place, descriptor) in list.chunks_exact_mut(DESCRIPTOR_LEN as usize).zip(*inline) {
                    place.copy_from_slice(&descriptor.emit());
                }
            }
            BufferRepr::Immediate { data, .. } => {
                out.copy_from_slice(&u32::try_from(data.len()).expect("fits into an IU").to_be_bytes());
            }
        }
        end
    }
}
