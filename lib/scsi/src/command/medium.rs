//! Parsers of commands that touch the medium (SBC-3).

use super::{Command, Compare};
use crate::unit::LogicalUnit;
use crate::wire::cdb::{BlockRange, Form, be16, be32, be64, opcode};
use crate::wire::sense::Sense;

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

/// Byte 1 of READ and WRITE, which is part of the address in the 6-byte form: refuses protection information, which
/// no unit has, and returns FUA. DPO is a hint about a cache that is not ours, so it is accepted and has no effect.
#[inline]
fn transfer_options(cdb: &[u8]) -> Result<bool, Sense> {
    const FUA: u8 = 0x08;
    if cdb.len() == Form::Six.cdb_bytes() {
        return Ok(false);
    }
    no_protection(cdb)?;
    Ok(cdb[1] & FUA != 0)
}

/// RDPROTECT, WRPROTECT or VRPROTECT must be zero where blocks have no protection information (SBC-3).
#[inline]
fn no_protection(cdb: &[u8]) -> Result<(), Sense> {
    match cdb[1] & 0xe0 {
        0 => Ok(()),
        _ => Err(Sense::invalid_field_in_cdb(1, Some(7))),
    }
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
    let form = Form::of(cdb[0]).unwrap_or(Form::Six); // parse() let only fixed forms through
    (form.range(cdb), form.length_at())
}

/// VERIFY (SBC-3). Only a comparison is bounded by the buffer; without one the blocks are read in pieces.
pub(super) fn verify(cdb: &[u8], unit: &LogicalUnit) -> Result<Command, Sense> {
    no_protection(cdb)?;
    let compare = match cdb[1] >> 1 & 0b11 {
        0b00 => Compare::Nothing,
        0b01 => Compare::All,
        0b11 => Compare::OneBlock,
        _ => return Err(Sense::invalid_field_in_cdb(1, Some(2))),
    };
    let range = match compare {
        Compare::All => transfer_range(cdb, unit)?,
        Compare::Nothing | Compare::OneBlock => range(cdb).0,
    };
    unit.check_range(range)?;
    Ok(Command::Verify { range, compare })
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
    no_protection(cdb)?;
    writable()?;
    if cdb[1] & ANCHOR != 0 {
        return Err(Sense::invalid_field_in_cdb(1, Some(4)));
    }
    let unmap = cdb[1] & UNMAP != 0;
    if unmap && !unit.facts().unmap {
        return Err(Sense::invalid_field_in_cdb(1, Some(3)));
    }
    if cdb[1] & PBDATA_LBDATA != 0 {
        return Err(Sense::invalid_field_in_cdb(1, Some(2)));
    }
    // Bit 0 of the 10-byte form is the obsolete RELADR; taking it for NDOB, or ignoring it, would write the wrong data.
    let no_data_out = cdb[1] & NDOB != 0;
    if no_data_out && cdb[0] == opcode::WRITE_SAME_10 {
        return Err(Sense::invalid_field_in_cdb(1, Some(0)));
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

/// SYNCHRONIZE CACHE (SBC-3). With IMMED the status may come before the data is safe; it never does here,
/// which costs the initiator a wait and no promise.
pub(super) fn synchronize_cache(cdb: &[u8], unit: &LogicalUnit) -> Result<Command, Sense> {
    let (range, _) = range(cdb);
    unit.check_range(range)?;
    Ok(Command::SynchronizeCache { range })
}

/// GET LBA STATUS (SBC-3).
pub(super) fn lba_status(cdb: &[u8], unit: &LogicalUnit) -> Result<Command, Sense> {
    let lba = be64(cdb, 2);
    unit.check_range(BlockRange { lba, blocks: 1 })?;
    Ok(Command::LbaStatus { lba, allocation: be32(cdb, 10) })
}
