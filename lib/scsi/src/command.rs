//! From a CDB to a [`Command`]: every field parsed and checked before anything is done.

use crate::Context;
use crate::answer::{capacity, mode_sense, vpd};
use crate::command_table::{self, OpcodeKind};
use crate::control::ControlRequest;
use crate::limits::CDB_BYTES_MIN;
use crate::lun::{Address, Lun};
use crate::through::Through;
use crate::unit::LogicalUnit;
use crate::wire::cdb::{self, BlockRange, CONTROL_NACA, Form, be16, be32, be64, opcode, service_action};
use crate::wire::sense::Sense;

/// A command whose CDB has been found legal for the unit it is addressed to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Command {
    Read {
        range: BlockRange,
        fua: bool,
    },
    Write {
        range: BlockRange,
        fua: bool,
    },
    Verify {
        range: BlockRange,
        compare: Compare,
    },
    WriteSame {
        range: BlockRange,
        data_out: bool,
        unmap: bool,
    },
    Unmap {
        list_bytes: u16,
    },
    SynchronizeCache {
        range: BlockRange,
    },
    StartStop {
        flush: bool,
    },
    TestUnitReady {
        /// The device was found gone, and is to be looked at.
        probe: bool,
    },
    PreventAllow,
    /// Answered with at most `allocation` bytes.
    LbaStatus {
        lba: u64,
        allocation: u32,
    },
    /// Answered with at most `allocation` bytes.
    Query {
        query: Query,
        allocation: u32,
    },
    /// For the control plane: `list_bytes` of parameters go there, at most `allocation` bytes come back.
    Control {
        request: ControlRequest,
        list_bytes: u32,
        allocation: u32,
    },
    /// For a device that is a SCSI device itself.
    Through(Through),
}

/// What a command that only asks wants to know; each has its file in [`crate::answer`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Query {
    Inquiry(InquiryPage),
    ReportLuns(LunSelection),
    RequestSense { descriptor_format: bool },
    ReadCapacity10,
    ReadCapacity16,
    ModeSense(ModeQuery),
    ReportOpcodes { opcodes: OpcodeQuery, timeouts: bool },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum InquiryPage {
    Standard,
    /// One of [`vpd::PAGES`].
    Vpd(u8),
}

/// SELECT REPORT of REPORT LUNS (SPC-4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LunSelection {
    Units,
    WellKnown,
    All,
}

/// What MODE SENSE asks for: a page that [`mode_sense`] has, or several.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ModeQuery {
    /// MODE SENSE(10) and its longer header.
    pub(crate) ten: bool,
    pub(crate) page: u8,
    pub(crate) subpage: u8,
    pub(crate) values: ModeValues,
    pub(crate) descriptor: ModeDescriptor,
}

/// PAGE CONTROL (SPC-4) without saved values, which nothing here has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ModeValues {
    Current,
    Changeable,
    Default,
}

/// The block descriptor that the header is followed by (DBD and LLBAA bits).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ModeDescriptor {
    None,
    Short,
    Long,
}

/// REPORTING OPTIONS of REPORT SUPPORTED OPERATION CODES (SPC-4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OpcodeQuery {
    All,
    One { opcode: u8, service_action: Option<u16> },
}

/// BYTCHK of VERIFY (SBC-3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Compare {
    /// 00b: the blocks can be read.
    Nothing,
    /// 01b: they equal the data-out.
    All,
    /// 11b: each equals the one block of data-out.
    OneBlock,
}

/// Parses a CDB for the unit (or the lack of one) that `context` names.
///
/// # Errors
/// The sense that the standard gives for the field at fault.
#[inline]
pub(crate) fn parse(cdb: &[u8], context: &Context<'_>) -> Result<Command, Sense> {
    if cdb.len() < CDB_BYTES_MIN {
        return Err(Sense::INVALID_COMMAND_OPERATION_CODE);
    }
    let length = cdb::length(cdb[0]).ok_or(unknown_command(context))?;
    if cdb.len() < length {
        return Err(Sense::INVALID_FIELD_IN_CDB);
    }
    let command = match context.unit {
        Some(unit) => parse_for_unit(&cdb[..length], unit, context)?,
        None => parse_without_unit(&cdb[..length], context.address)?,
    };
    match cdb[length - 1] & CONTROL_NACA {
        0 => Ok(command),
        _ => Err(Sense::invalid_field_in_cdb(length as u16 - 1, Some(2))),
    }
}

fn unknown_command(context: &Context<'_>) -> Sense {
    match (context.unit, context.address) {
        (Some(_), _) | (None, Address::ReportLuns) => Sense::INVALID_COMMAND_OPERATION_CODE,
        (None, _) => Sense::LOGICAL_UNIT_NOT_SUPPORTED,
    }
}

/// The dispatcher. Its arms and the table in lib.rs are compared by a test, both ways.
#[inline]
fn parse_for_unit(cdb: &[u8], unit: &LogicalUnit, context: &Context<'_>) -> Result<Command, Sense> {
    let writable = || writable(unit, context);
    if needs_medium(cdb[0]) {
        unit.check_ready()?;
    }
    match cdb[0] {
        opcode::READ_6 | opcode::READ_10 | opcode::READ_12 | opcode::READ_16 => read(cdb, unit),
        opcode::WRITE_6 | opcode::WRITE_10 | opcode::WRITE_12 | opcode::WRITE_16 => write(cdb, unit, writable),
        opcode::VERIFY_10 | opcode::VERIFY_12 | opcode::VERIFY_16 => verify(cdb, unit),
        opcode::SYNCHRONIZE_CACHE_10 | opcode::SYNCHRONIZE_CACHE_16 => synchronize_cache(cdb, unit),
        opcode::UNMAP if unit.facts().unmap => unmap(cdb, writable),
        opcode::WRITE_SAME_10 | opcode::WRITE_SAME_16 => write_same(cdb, unit, writable),
        opcode::TEST_UNIT_READY => Ok(Command::TestUnitReady { probe: unit.is_gone() }),
        opcode::REQUEST_SENSE => request_sense(cdb),
        opcode::INQUIRY => inquiry(cdb, vpd::PAGES),
        opcode::REPORT_LUNS => report_luns(cdb),
        opcode::READ_CAPACITY_10 => read_capacity_10(cdb),
        opcode::SERVICE_ACTION_IN_16 => service_action_in_16(cdb, unit),
        opcode::MODE_SENSE_6 | opcode::MODE_SENSE_10 => mode_sense(cdb, unit),
        opcode::MODE_SELECT_6 | opcode::MODE_SELECT_10 => mode_select(cdb),
        opcode::MAINTENANCE_IN => maintenance_in(cdb),
        opcode::START_STOP_UNIT => start_stop(cdb),
        opcode::PREVENT_ALLOW_MEDIUM_REMOVAL => prevent_allow(cdb),
        _ => Err(Sense::INVALID_COMMAND_OPERATION_CODE),
    }
}

/// What is answered where there is no unit (SAM-5): the commands that find out so, and REPORT LUNS at LUN 0 and
/// at the well-known unit, which is how the real units are found.
fn parse_without_unit(cdb: &[u8], address: Address) -> Result<Command, Sense> {
    match (cdb[0], address) {
        (opcode::INQUIRY, _) => inquiry(cdb, vpd::PAGES_WITHOUT_UNIT),
        (opcode::REQUEST_SENSE, _) => request_sense(cdb),
        (opcode::REPORT_LUNS, Address::ReportLuns | Address::Unit(Lun(0))) => report_luns(cdb),
        (opcode::TEST_UNIT_READY, Address::ReportLuns) => Ok(Command::TestUnitReady { probe: false }),
        (_, Address::ReportLuns) => Err(Sense::INVALID_COMMAND_OPERATION_CODE),
        (_, Address::Unit(_) | Address::Unknown) => Err(Sense::LOGICAL_UNIT_NOT_SUPPORTED),
    }
}

/// Whether a command is about the medium. The others are answered although there is none (SPC-4, SBC-3).
#[inline]
fn needs_medium(operation: u8) -> bool {
    matches!(
        operation,
        opcode::TEST_UNIT_READY
            | opcode::READ_CAPACITY_10
            | opcode::SERVICE_ACTION_IN_16
            | opcode::READ_6
            | opcode::READ_10
            | opcode::READ_12
            | opcode::READ_16
            | opcode::WRITE_6
            | opcode::WRITE_10
            | opcode::WRITE_12
            | opcode::WRITE_16
            | opcode::VERIFY_10
            | opcode::VERIFY_12
            | opcode::VERIFY_16
            | opcode::SYNCHRONIZE_CACHE_10
            | opcode::SYNCHRONIZE_CACHE_16
            | opcode::UNMAP
            | opcode::WRITE_SAME_10
            | opcode::WRITE_SAME_16
    )
}

fn writable(unit: &LogicalUnit, context: &Context<'_>) -> Result<(), Sense> {
    match () {
        () if context.read_only || unit.is_read_only() => Err(Sense::WRITE_PROTECTED),
        () if unit.software_write_protect() => Err(Sense::SOFTWARE_WRITE_PROTECTED),
        () => Ok(()),
    }
}

/// READ (SBC-3).
#[inline]
fn read(cdb: &[u8], unit: &LogicalUnit) -> Result<Command, Sense> {
    let fua = transfer_options(cdb)?;
    Ok(Command::Read { range: transfer_range(cdb, unit)?, fua })
}

/// WRITE (SBC-3).
#[inline]
fn write(cdb: &[u8], unit: &LogicalUnit, writable: impl Fn() -> Result<(), Sense>) -> Result<Command, Sense> {
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
fn verify(cdb: &[u8], unit: &LogicalUnit) -> Result<Command, Sense> {
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
fn write_same(cdb: &[u8], unit: &LogicalUnit, writable: impl Fn() -> Result<(), Sense>) -> Result<Command, Sense> {
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
fn unmap(cdb: &[u8], writable: impl Fn() -> Result<(), Sense>) -> Result<Command, Sense> {
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
fn synchronize_cache(cdb: &[u8], unit: &LogicalUnit) -> Result<Command, Sense> {
    let (range, _) = range(cdb);
    unit.check_range(range)?;
    Ok(Command::SynchronizeCache { range })
}

/// START STOP UNIT (SBC-3). Stopping writes the cache back unless NO_FLUSH is set, and that is all: the unit stays
/// ready, because no initiator may take a shared disk away from the others.
fn start_stop(cdb: &[u8]) -> Result<Command, Sense> {
    const NO_FLUSH: u8 = 0x04;
    const LOEJ: u8 = 0x02;
    const START: u8 = 0x01;
    match () {
        () if cdb[3] & 0x0f != 0 => Err(Sense::invalid_field_in_cdb(3, Some(3))), // POWER CONDITION MODIFIER
        () if cdb[4] & 0xf0 != 0 => Err(Sense::invalid_field_in_cdb(4, Some(7))), // POWER CONDITION
        () if cdb[4] & LOEJ != 0 => Err(Sense::invalid_field_in_cdb(4, Some(1))), // there is no drive to eject it from
        () => Ok(Command::StartStop { flush: cdb[4] & (START | NO_FLUSH) == 0 }),
    }
}

/// PREVENT ALLOW MEDIUM REMOVAL (SPC-4): accepted, as nobody but the administrator takes a medium out.
fn prevent_allow(cdb: &[u8]) -> Result<Command, Sense> {
    match cdb[4] & 0b11 {
        0b00 | 0b01 => Ok(Command::PreventAllow),
        _ => Err(Sense::invalid_field_in_cdb(4, Some(1))),
    }
}

/// REQUEST SENSE (SPC-4).
fn request_sense(cdb: &[u8]) -> Result<Command, Sense> {
    let query = Query::RequestSense { descriptor_format: cdb[1] & 1 != 0 };
    Ok(Command::Query { query, allocation: u32::from(cdb[4]) })
}

/// INQUIRY (SPC-4) with one of the vital product data `pages`.
fn inquiry(cdb: &[u8], pages: &[u8]) -> Result<Command, Sense> {
    const EVPD: u8 = 0x01;
    const CMDDT: u8 = 0x02; // obsolete, but SPC-2's meaning would be another answer
    let page = match cdb[1] & (EVPD | CMDDT) {
        0 if cdb[2] == 0 => InquiryPage::Standard,
        EVPD if pages.contains(&cdb[2]) => InquiryPage::Vpd(cdb[2]),
        0 | EVPD => return Err(Sense::invalid_field_in_cdb(2, None)),
        _ => return Err(Sense::invalid_field_in_cdb(1, Some(1))),
    };
    Ok(Command::Query { query: Query::Inquiry(page), allocation: u32::from(be16(cdb, 3)) })
}

/// REPORT LUNS (SPC-4). An allocation length under 16 cuts the answer; refusing it was SPC's rule, no longer SPC-4's.
fn report_luns(cdb: &[u8]) -> Result<Command, Sense> {
    let select = match cdb[2] {
        0x00 => LunSelection::Units,
        0x01 => LunSelection::WellKnown,
        0x02 => LunSelection::All,
        _ => return Err(Sense::invalid_field_in_cdb(2, None)),
    };
    Ok(Command::Query { query: Query::ReportLuns(select), allocation: be32(cdb, 6) })
}

/// READ CAPACITY(10) (SBC-3): without the obsolete PMI the address must be zero.
fn read_capacity_10(cdb: &[u8]) -> Result<Command, Sense> {
    const PMI: u8 = 0x01;
    match be32(cdb, 2) != 0 && cdb[8] & PMI == 0 {
        false => Ok(Command::Query { query: Query::ReadCapacity10, allocation: capacity::BYTES_10 }),
        true => Err(Sense::invalid_field_in_cdb(2, None)),
    }
}

/// SERVICE ACTION IN(16): READ CAPACITY(16) (SBC-3), where the address with PMI is obsolete and ignored, and GET LBA STATUS.
fn service_action_in_16(cdb: &[u8], unit: &LogicalUnit) -> Result<Command, Sense> {
    match cdb[1] & 0x1f {
        service_action::READ_CAPACITY_16 => {
            Ok(Command::Query { query: Query::ReadCapacity16, allocation: be32(cdb, 10) })
        }
        service_action::GET_LBA_STATUS => lba_status(cdb, unit),
        _ => Err(unknown_service_action()),
    }
}

/// GET LBA STATUS (SBC-3).
fn lba_status(cdb: &[u8], unit: &LogicalUnit) -> Result<Command, Sense> {
    let lba = be64(cdb, 2);
    unit.check_range(BlockRange { lba, blocks: 1 })?;
    Ok(Command::LbaStatus { lba, allocation: be32(cdb, 10) })
}

/// MAINTENANCE IN: REPORT SUPPORTED OPERATION CODES (SPC-4).
fn maintenance_in(cdb: &[u8]) -> Result<Command, Sense> {
    match cdb[1] & 0x1f {
        service_action::REPORT_SUPPORTED_OPERATION_CODES => report_opcodes(cdb),
        _ => Err(unknown_service_action()),
    }
}

/// The operation code is known, so the field at fault is SERVICE ACTION.
fn unknown_service_action() -> Sense {
    Sense::invalid_field_in_cdb(1, Some(4))
}

fn report_opcodes(cdb: &[u8]) -> Result<Command, Sense> {
    const RCTD: u8 = 0x80;
    let bad_options = Err(Sense::invalid_field_in_cdb(2, Some(2)));
    let (opcode, requested_action) = (cdb[3], be16(cdb, 4));
    // An operation code that we do not know has no kind: it is reported as not supported under any option.
    let kind = command_table::kind(opcode);
    let opcodes = match (cdb[2] & 0x07, kind) {
        (0b000, _) => OpcodeQuery::All,
        (0b001, Some(OpcodeKind::WithServiceActions)) => return bad_options,
        (0b001, _) => OpcodeQuery::One { opcode, service_action: None },
        (0b010, Some(OpcodeKind::Alone)) => return bad_options,
        // Either kind of operation code; one without service actions matches service action 0.
        (0b011, Some(OpcodeKind::Alone)) if requested_action == 0 => OpcodeQuery::One { opcode, service_action: None },
        (0b010 | 0b011, _) => OpcodeQuery::One { opcode, service_action: Some(requested_action) },
        _ => return bad_options,
    };
    let query = Query::ReportOpcodes { opcodes, timeouts: cdb[2] & RCTD != 0 };
    Ok(Command::Query { query, allocation: be32(cdb, 6) })
}

/// MODE SELECT (SPC-4): pages in the standard's format (PF) only.
fn mode_select(cdb: &[u8]) -> Result<Command, Sense> {
    const PF: u8 = 0x10;
    const SP: u8 = 0x01;
    let ten = cdb[0] == opcode::MODE_SELECT_10;
    if cdb[1] & PF == 0 {
        return Err(Sense::invalid_field_in_cdb(1, Some(4)));
    }
    let list_bytes = if ten { u32::from(be16(cdb, 7)) } else { u32::from(cdb[4]) };
    let request = ControlRequest::ModeSelect { ten, save: cdb[1] & SP != 0 };
    Ok(Command::Control { request, list_bytes, allocation: 0 })
}

/// MODE SENSE (SPC-4).
fn mode_sense(cdb: &[u8], unit: &LogicalUnit) -> Result<Command, Sense> {
    const LLBAA: u8 = 0x10;
    const DBD: u8 = 0x08;
    let ten = cdb[0] == opcode::MODE_SENSE_10;
    let (page, subpage) = (cdb[2] & 0x3f, cdb[3]);
    mode_sense::check_page(page, subpage, unit)?;
    let values = match cdb[2] >> 6 {
        0b00 => ModeValues::Current,
        0b01 => ModeValues::Changeable,
        0b10 => ModeValues::Default,
        _ => return Err(Sense::SAVING_PARAMETERS_NOT_SUPPORTED),
    };
    let descriptor = match cdb[1] {
        options if options & DBD != 0 => ModeDescriptor::None,
        options if ten && options & LLBAA != 0 => ModeDescriptor::Long,
        _ => ModeDescriptor::Short,
    };
    let allocation = if ten { u32::from(be16(cdb, 7)) } else { u32::from(cdb[4]) };
    let query = Query::ModeSense(ModeQuery { ten, page, subpage, values, descriptor });
    Ok(Command::Query { query, allocation })
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
