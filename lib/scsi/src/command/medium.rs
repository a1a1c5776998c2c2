//! Parsers of commands that touch the medium (SBC-3).

use super::{Bitmap, Command, Compare, Generation};
use crate::medium::compare_and_write as compare;
use crate::medium::generation::Policy;
use crate::unit::LogicalUnit;
use crate::wire::cdb::{BlockRange, Form, be16, be32, be64, opcode};
use crate::wire::sense::Sense;

/// BYTCHK of VERIFY and WRITE AND VERIFY.
const BYTCHK: u8 = 0x06;

/// READ (SBC-3).
#[inline]
pub(super) fn read(cdb: &[u8], unit: &LogicalUnit) -> Result<Command, Sense> {
    let fua = transfer_options(cdb)?;
    Ok(Command::Read { range: transfer_range(cdb, unit)?, fua })
}

/// WRITE (SBC-3).
#[inline]
pub(super) fn write(
    cdb: &[u8],
    unit: &LogicalUnit,
    writable: impl Fn() -> Result<(), Sense>,
) -> Result<Command, Sense> {
    let fua = transfer_options(cdb)?;
    writable()?;
    Ok(Command::Write { range: transfer_range(cdb, unit)?, fua })
}

/// The options of READ and WRITE, which the 6-byte form has none of (there the byte is part of the address): refuses protection
/// information, which no unit has, and returns FUA. DPO is a hint about a cache that is not ours, so it is accepted and has no effect.
#[inline]
fn transfer_options(cdb: &[u8]) -> Result<bool, Sense> {
    const FUA: u8 = 0x08;
    if cdb.len() == Form::Six.cdb_bytes() {
        return Ok(false);
    }
    Ok(options(cdb)? & FUA != 0)
}

/// The byte of options. RDPROTECT, WRPROTECT, ORPROTECT or VRPROTECT in it must be zero where blocks have no protection information
/// (SBC-3).
#[inline]
fn options(cdb: &[u8]) -> Result<u8, Sense> {
    match cdb[options_at(cdb)] {
        options if options & 0xe0 == 0 => Ok(options),
        _ => Err(option_at_fault(cdb, 7)),
    }
}

#[inline]
fn options_at(cdb: &[u8]) -> usize {
    Form::of(cdb[0]).map_or(1, Form::options_at)
}

/// An option is at fault, whose most significant bit this is.
fn option_at_fault(cdb: &[u8], bit: u8) -> Sense {
    Sense::invalid_field_in_cdb(options_at(cdb) as u16, Some(bit))
}

/// The range of a command that moves all its blocks through a buffer.
#[inline]
fn transfer_range(cdb: &[u8], unit: &LogicalUnit) -> Result<BlockRange, Sense> {
    let (range, length_at) = range(cdb);
    unit.check_range(range)?;
    match range.blocks > u64::from(unit.facts().transfer_blocks_max()) {
        false => Ok(range),
        true => Err(Sense::invalid_field_in_cdb(length_at, None)),
    }
}

/// The range as the CDB's form has it, and where its length stands.
#[inline]
fn range(cdb: &[u8]) -> (BlockRange, u16) {
    let form = Form::of(cdb[0]).unwrap_or(Form::Six); // parse() let only known forms through
    (form.range(cdb), form.length_at())
}

/// VERIFY (SBC-3). Only a comparison with all of the data-out is bounded by the buffer; otherwise the blocks are read in pieces.
pub(super) fn verify(cdb: &[u8], unit: &LogicalUnit) -> Result<Command, Sense> {
    let compare = match options(cdb)? & BYTCHK {
        0b000 => Compare::Nothing,
        0b010 => Compare::All,
        0b110 => Compare::OneBlock,
        _ => return Err(option_at_fault(cdb, 2)),
    };
    let range = match compare {
        Compare::All => transfer_range(cdb, unit)?,
        Compare::Nothing | Compare::OneBlock => range(cdb).0,
    };
    unit.check_range(range)?;
    Ok(Command::Verify { range, compare })
}

/// WRITE AND VERIFY (SBC-3), which has no comparison with a single block.
pub(super) fn write_and_verify(
    cdb: &[u8],
    unit: &LogicalUnit,
    writable: impl Fn() -> Result<(), Sense>,
) -> Result<Command, Sense> {
    let compare = match options(cdb)? & BYTCHK {
        0b000 => Compare::Nothing,
        0b010 => Compare::All,
        _ => return Err(option_at_fault(cdb, 2)),
    };
    writable()?;
    Ok(Command::WriteAndVerify { range: transfer_range(cdb, unit)?, compare })
}

/// COMPARE AND WRITE (SBC-3): NUMBER OF LOGICAL BLOCKS is a byte of its own.
pub(super) fn compare_and_write(
    cdb: &[u8],
    unit: &LogicalUnit,
    writable: impl Fn() -> Result<(), Sense>,
) -> Result<Command, Sense> {
    const BLOCKS_AT: usize = 13;
    let fua = transfer_options(cdb)?;
    writable()?;
    let range = BlockRange { lba: be64(cdb, 2), blocks: u64::from(cdb[BLOCKS_AT]) };
    unit.check_range(range)?;
    match cdb[BLOCKS_AT] > compare::blocks_max(unit.facts()) {
        false => Ok(Command::CompareAndWrite { range, fua }),
        true => Err(Sense::invalid_field_in_cdb(BLOCKS_AT as u16, None)),
    }
}

/// ORWRITE (SBC-3).
pub(super) fn or_write(
    cdb: &[u8],
    unit: &LogicalUnit,
    writable: impl Fn() -> Result<(), Sense>,
) -> Result<Command, Sense> {
    let fua = transfer_options(cdb)?;
    let bitmap = match cdb[0] {
        opcode::ORWRITE_16 => Bitmap { expected: 0, change: None },
        _ => bitmap(cdb)?,
    };
    writable()?;
    Ok(Command::OrWrite { range: transfer_range(cdb, unit)?, fua, bitmap })
}

/// BMOP and the fields that go with it in ORWRITE(32).
fn bitmap(cdb: &[u8]) -> Result<Bitmap, Sense> {
    const BMOP: u8 = 0x07;
    const PREVIOUS_GENERATION_PROCESSING: u8 = 0x0f;
    let (expected, code) = (be32(cdb, 20), be32(cdb, 24));
    match (cdb[2] & BMOP, Policy::new(cdb[3] & PREVIOUS_GENERATION_PROCESSING)) {
        (0b000, _) => Ok(Bitmap { expected, change: None }),
        (0b001, Some(policy)) => Ok(Bitmap { expected, change: Some(Generation { code, policy }) }),
        (0b001, None) => Err(Sense::invalid_field_in_cdb(3, Some(3))),
        _ => Err(Sense::invalid_field_in_cdb(2, Some(2))),
    }
}

/// WRITE ATOMIC(16) (SBC-4). A transfer is one atomic write: there are no boundaries within (MAXIMUM ATOMIC BOUNDARY SIZE is zero).
pub(super) fn write_atomic(
    cdb: &[u8],
    unit: &LogicalUnit,
    writable: impl Fn() -> Result<(), Sense>,
) -> Result<Command, Sense> {
    const BOUNDARY_AT: usize = 10;
    const LENGTH_AT: usize = 12;
    let fua = transfer_options(cdb)?;
    writable()?;
    let range = BlockRange { lba: be64(cdb, 2), blocks: u64::from(be16(cdb, LENGTH_AT)) };
    unit.check_range(range)?;
    match () {
        () if be16(cdb, BOUNDARY_AT) != 0 => Err(Sense::invalid_field_in_cdb(BOUNDARY_AT as u16, None)),
        () if range.blocks > u64::from(unit.facts().atomic_blocks_max()) => {
            Err(Sense::invalid_field_in_cdb(LENGTH_AT as u16, None))
        }
        () => Ok(Command::WriteAtomic { range, fua }),
    }
}

/// PRE-FETCH (SBC-3). There is no cache of the unit's own that blocks could be brought to, so none of them fit in it: the status is GOOD,
/// with IMMED or without. A PREFETCH LENGTH of zero means all to the end.
pub(super) fn pre_fetch(cdb: &[u8], unit: &LogicalUnit) -> Result<Command, Sense> {
    let (range, _) = range(cdb);
    unit.check_range(range)?;
    Ok(Command::PreFetch { range })
}

/// WRITE SAME (SBC-3).
pub(super) fn write_same(
    cdb: &[u8],
    unit: &LogicalUnit,
    writable: impl Fn() -> Result<(), Sense>,
) -> Result<Command, Sense> {
    const ANCHOR: u8 = 0x10;
    const UNMAP: u8 = 0x08;
    const PBDATA_LBDATA: u8 = 0x06;
    const NDOB: u8 = 0x01;
    let options = options(cdb)?;
    writable()?;
    if options & ANCHOR != 0 {
        return Err(option_at_fault(cdb, 4));
    }
    let unmap = options & UNMAP != 0;
    if unmap && !unit.facts().unmap {
        return Err(option_at_fault(cdb, 3));
    }
    if options & PBDATA_LBDATA != 0 {
        return Err(option_at_fault(cdb, 2));
    }
    // Bit 0 of the 10-byte form is the obsolete RELADR; taking it for NDOB, or ignoring it, would write the wrong data.
    let no_data_out = options & NDOB != 0;
    if no_data_out && cdb[0] == opcode::WRITE_SAME_10 {
        return Err(option_at_fault(cdb, 0));
    }
    let range = write_same_range(cdb, unit)?;
    Ok(Command::WriteSame { range, data_out: !no_data_out, unmap })
}

/// A NUMBER OF LOGICAL BLOCKS of zero means all to the end (WSNZ is clear), if that is no more than the most allowed.
fn write_same_range(cdb: &[u8], unit: &LogicalUnit) -> Result<BlockRange, Sense> {
    let (mut range, length_at) = range(cdb);
    if range.blocks == 0 {
        range.blocks = match unit.num_blocks().checked_sub(range.lba) {
            None | Some(0) => return Err(Sense::LBA_OUT_OF_RANGE),
            Some(rest) => rest,
        };
    }
    unit.check_range(range)?;
    match range.blocks > unit.facts().write_same_blocks_max() {
        false => Ok(range),
        true => Err(Sense::invalid_field_in_cdb(length_at, None)),
    }
}

/// UNMAP (SBC-3).
pub(super) fn unmap(cdb: &[u8], writable: impl Fn() -> Result<(), Sense>) -> Result<Command, Sense> {
    const ANCHOR: u8 = 0x01;
    const HEADER_BYTES: u16 = 8;
    if cdb[1] & ANCHOR != 0 {
        return Err(Sense::invalid_field_in_cdb(1, Some(0)));
    }
    writable()?;
    match be16(cdb, 7) {
        1..HEADER_BYTES => Err(Sense::PARAMETER_LIST_LENGTH_ERROR),
        list_bytes => Ok(Command::Unmap { list_bytes }),
    }
}

/// SYNCHRONIZE CACHE (SBC-3).
pub(super) fn synchronize_cache(cdb: &[u8], unit: &LogicalUnit) -> Result<Command, Sense> {
    const IMMED: u8 = 0x02;
    let (range, _) = range(cdb);
    unit.check_range(range)?;
    Ok(Command::SynchronizeCache { range, immediate: cdb[1] & IMMED != 0 })
}

/// GET LBA STATUS (SBC-3, SBC-4). REPORT TYPE is not processed, as the answer says (RTP). There are no physical elements that could be asked about.
pub(super) fn lba_status(cdb: &[u8], unit: &LogicalUnit) -> Result<Command, Sense> {
    const ELEMENT_IDENTIFIER_AT: usize = 24;
    let (lba, scan, element, allocation) = match cdb[0] {
        opcode::VARIABLE_LENGTH => (be64(cdb, 12), be32(cdb, 20), be32(cdb, ELEMENT_IDENTIFIER_AT), be32(cdb, 28)),
        _ => (be64(cdb, 2), 0, 0, be32(cdb, 10)),
    };
    unit.check_range(BlockRange { lba, blocks: 1 })?;
    if element != 0 {
        return Err(Sense::invalid_field_in_cdb(ELEMENT_IDENTIFIER_AT as u16, None));
    }
    // SCAN LENGTH; zero is no limit.
    let blocks = if scan == 0 { u64::MAX } else { scan.into() };
    Ok(Command::LbaStatus { range: BlockRange { lba, blocks }, allocation })
}
