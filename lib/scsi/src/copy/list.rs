//! The parameter list of EXTENDED COPY(LID1), its CSCD descriptors and its segment descriptors (SPC-4).
//!
//! ```text
//!   0          16                      + 32 for each
//!   ├─ header ─┼─ CSCD descriptors ────┼─ segment descriptors, 28 bytes each ─┤
//! ```

use crate::execute::Designation;
use crate::limits::{COPY_CSCDS_MAX, COPY_SEGMENTS_MAX};
use crate::wire::cdb::{be16, be32, be64};
use crate::wire::sense::Sense;

pub(crate) const HEADER_BYTES: usize = 16;
const CSCD_BYTES: usize = 32;
const SEGMENT_BYTES: usize = 28;
/// MAXIMUM DESCRIPTOR LIST LENGTH: what the greatest numbers of both come to.
pub(super) const DESCRIPTORS_BYTES_MAX: usize = COPY_CSCDS_MAX * CSCD_BYTES + COPY_SEGMENTS_MAX * SEGMENT_BYTES;

/// Identification Descriptor CSCD descriptor.
pub(super) const IDENTIFICATION_CSCD: u8 = 0xe4;
/// Block device to block device segment descriptor.
pub(super) const BLOCK_TO_BLOCK: u8 = 0x02;
/// CSCD descriptor ID of the unit that the command is addressed to.
pub(super) const OWN_UNIT: u16 = 0xffff;

/// Where the fields are: in the list, in a CSCD descriptor, in a segment descriptor.
const CSCD_LIST_LENGTH_AT: usize = 2;
const SEGMENT_LIST_LENGTH_AT: usize = 8;
const INLINE_LENGTH_AT: usize = 12;
const DESIGNATOR_LENGTH_AT: usize = 7;
const DESIGNATOR_AT: usize = 8;
const DESIGNATOR_BYTES_MAX: usize = 20;
/// DISK BLOCK LENGTH in a CSCD descriptor.
pub(super) const BLOCK_LENGTH_AT: usize = 29;
const DESCRIPTOR_LENGTH_AT: usize = 2;
/// SOURCE CSCD DESCRIPTOR ID in a segment descriptor.
pub(super) const SOURCE_AT: usize = 4;
/// DESTINATION CSCD DESCRIPTOR ID.
pub(super) const DESTINATION_AT: usize = 6;
/// BLOCK DEVICE NUMBER OF BLOCKS.
pub(super) const BLOCKS_AT: usize = 10;

/// A parameter list that was found to be well formed.
#[derive(Clone, Copy)]
pub(super) struct List<'a> {
    bytes: &'a [u8],
}

/// A CSCD descriptor: where data comes from, or goes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Cscd<'a> {
    /// Its place in the list.
    pub(super) at: usize,
    pub(super) device_type: u8,
    /// NUL, which SPC-4 has made obsolete: no device at all.
    pub(super) null: bool,
    pub(super) code_set: u8,
    pub(super) association: u8,
    pub(super) designation: Designation<'a>,
    pub(super) pad: bool,
    /// DISK BLOCK LENGTH, 0 if it is left to us.
    pub(super) block_length: u32,
}

/// A segment descriptor: one range to copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Segment {
    /// The count is in blocks of the destination.
    pub(super) destination_count: bool,
    /// What is left over is for the next segment.
    pub(super) concatenate: bool,
    pub(super) source: CscdId,
    pub(super) destination: CscdId,
    pub(super) blocks: u16,
    pub(super) source_lba: u64,
    pub(super) destination_lba: u64,
}

/// CSCD descriptor ID.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CscdId {
    /// A descriptor of the list.
    Descriptor(u16),
    /// A null logical unit, C000h and C001h.
    Null,
    /// The unit that the command is addressed to.
    Own,
}

impl<'a> List<'a> {
    /// Checks everything that can be checked without looking at a unit (SPC-4: EXTENDED COPY command errors detected before
    /// segment descriptor processing starts).
    pub(super) fn parse(bytes: &'a [u8]) -> Result<List<'a>, Sense> {
        if bytes.len() < HEADER_BYTES {
            return Err(Sense::PARAMETER_LIST_LENGTH_ERROR);
        }
        let list = List { bytes };
        list.check_id()?;
        if be32(bytes, INLINE_LENGTH_AT) != 0 {
            return Err(Sense::INLINE_DATA_LENGTH_EXCEEDED.in_parameter_list(INLINE_LENGTH_AT as u16));
        }
        if !list.cscd_list_bytes().is_multiple_of(CSCD_BYTES) {
            return Err(Sense::invalid_field_in_parameter_list(CSCD_LIST_LENGTH_AT as u16));
        }
        if list.cscds() > COPY_CSCDS_MAX {
            return Err(Sense::TOO_MANY_TARGET_DESCRIPTORS.in_parameter_list(CSCD_LIST_LENGTH_AT as u16));
        }
        let segments_bytes = be32(bytes, SEGMENT_LIST_LENGTH_AT) as usize;
        if segments_bytes > bytes.len() - HEADER_BYTES || list.segments_at() + segments_bytes > bytes.len() {
            return Err(Sense::PARAMETER_LIST_LENGTH_ERROR);
        }
        (0..list.cscds()).try_for_each(|index| list.check_cscd(HEADER_BYTES + index * CSCD_BYTES))?;
        list.check_segments(list.segments_at() + segments_bytes)?;
        Ok(list)
    }

    /// One that was parsed before.
    pub(super) fn parsed(bytes: &'a [u8]) -> List<'a> {
        List { bytes }
    }

    /// LIST IDENTIFIER; `None` if the initiator does not want one (LIST ID USAGE 11b).
    pub(super) fn id(&self) -> Option<u8> {
        (self.bytes[1] >> 3 & 0b11 != 0b11).then_some(self.bytes[0])
    }

    pub(super) fn segments(&self) -> usize {
        be32(self.bytes, SEGMENT_LIST_LENGTH_AT) as usize / SEGMENT_BYTES
    }

    /// One of the segments, and its place in the list.
    pub(super) fn segment(&self, number: u16) -> Option<Segment> {
        let at = self.segments_at() + usize::from(number) * SEGMENT_BYTES;
        let bytes = self.bytes.get(at..at + SEGMENT_BYTES).filter(|_| usize::from(number) < self.segments())?;
        let id = |at: usize| match be16(bytes, at) {
            OWN_UNIT => CscdId::Own,
            0xc000 | 0xc001 => CscdId::Null,
            index => CscdId::Descriptor(index),
        };
        Some(Segment {
            destination_count: bytes[1] & 0x02 != 0,
            concatenate: bytes[1] & 0x01 != 0,
            source: id(SOURCE_AT),
            destination: id(DESTINATION_AT),
            blocks: be16(bytes, BLOCKS_AT),
            source_lba: be64(bytes, 12),
            destination_lba: be64(bytes, 20),
        })
    }

    /// One of the CSCD descriptors.
    pub(super) fn cscd(&self, index: u16) -> Option<Cscd<'a>> {
        let at = HEADER_BYTES + usize::from(index) * CSCD_BYTES;
        let bytes = self.bytes.get(at..at + CSCD_BYTES).filter(|_| usize::from(index) < self.cscds())?;
        let designator = bytes.get(DESIGNATOR_AT..DESIGNATOR_AT + usize::from(bytes[DESIGNATOR_LENGTH_AT]))?;
        Some(Cscd {
            at,
            device_type: bytes[1] & 0x1f,
            null: bytes[1] & 0x20 != 0,
            code_set: bytes[4] & 0x0f,
            association: bytes[5] >> 4 & 0b11,
            designation: Designation { kind: bytes[5] & 0x0f, designator },
            pad: bytes[28] & 0x04 != 0,
            block_length: be32(bytes, 28) & 0xff_ffff,
        })
    }

    /// LIST ID USAGE (SPC-4: table of the EXTENDED COPY(LID1) command).
    fn check_id(&self) -> Result<(), Sense> {
        match (self.bytes[1] >> 3 & 0b11, self.bytes[0]) {
            (0b01, _) => Err(Sense::invalid_field_in_parameter_list(1)),
            (0b11, 1..) => Err(Sense::invalid_field_in_parameter_list(0)),
            _ => Ok(()),
        }
    }

    fn check_cscd(&self, at: usize) -> Result<(), Sense> {
        let descriptor = self.bytes.get(at..at + CSCD_BYTES).ok_or(Sense::PARAMETER_LIST_LENGTH_ERROR)?;
        if descriptor[0] != IDENTIFICATION_CSCD {
            return Err(Sense::UNSUPPORTED_TARGET_DESCRIPTOR_TYPE.in_parameter_list(at as u16));
        }
        match usize::from(descriptor[DESIGNATOR_LENGTH_AT]) > DESIGNATOR_BYTES_MAX {
            false => Ok(()),
            true => Err(Sense::invalid_field_in_parameter_list((at + DESIGNATOR_LENGTH_AT) as u16)),
        }
    }

    fn check_segments(&self, end: usize) -> Result<(), Sense> {
        let mut at = self.segments_at();
        for number in 0.. {
            let Some(&kind) = self.bytes[..end].get(at) else { return Ok(()) };
            if number == COPY_SEGMENTS_MAX {
                return Err(Sense::TOO_MANY_SEGMENT_DESCRIPTORS.in_parameter_list(SEGMENT_LIST_LENGTH_AT as u16));
            }
            if kind != BLOCK_TO_BLOCK {
                return Err(Sense::UNSUPPORTED_SEGMENT_DESCRIPTOR_TYPE.in_parameter_list(at as u16));
            }
            let cut = Sense::invalid_field_in_parameter_list(SEGMENT_LIST_LENGTH_AT as u16);
            self.check_segment(self.bytes[..end].get(at..at + SEGMENT_BYTES).ok_or(cut)?, at)?;
            at += SEGMENT_BYTES;
        }
        Ok(())
    }

    fn check_segment(&self, descriptor: &[u8], at: usize) -> Result<(), Sense> {
        let invalid = |field: usize| Err(Sense::invalid_field_in_parameter_list((at + field) as u16));
        if usize::from(be16(descriptor, DESCRIPTOR_LENGTH_AT)) != SEGMENT_BYTES - 4 {
            return invalid(DESCRIPTOR_LENGTH_AT);
        }
        for field in [SOURCE_AT, DESTINATION_AT] {
            match be16(descriptor, field) {
                OWN_UNIT | 0xc000 | 0xc001 => (),
                index if usize::from(index) < self.cscds() => (),
                _ => return invalid(field),
            }
        }
        Ok(())
    }

    fn cscd_list_bytes(&self) -> usize {
        usize::from(be16(self.bytes, CSCD_LIST_LENGTH_AT))
    }

    fn cscds(&self) -> usize {
        self.cscd_list_bytes() / CSCD_BYTES
    }

    fn segments_at(&self) -> usize {
        HEADER_BYTES + self.cscd_list_bytes()
    }
}
