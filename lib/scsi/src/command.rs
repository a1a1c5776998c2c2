//! From a CDB to a [`Command`]: every field parsed and checked before anything is done.

mod medium;
mod protected;
mod query;
mod unit;

use medium::{lba_status, read, synchronize_cache, unmap, verify, write, write_same};
use query::{inquiry, mode_sense, read_capacity_10, report_luns, report_opcodes, request_sense};
use unit::{mode_select, prevent_allow, start_stop};

use crate::Context;
use crate::answer::vpd;
use crate::control::ControlRequest;
use crate::limits::CDB_BYTES_MIN;
use crate::lun::{Address, Lun};
use crate::medium::protected::Protected;
use crate::through::Through;
use crate::unit::LogicalUnit;
use crate::wire::cdb::{self, BlockRange, CONTROL_NACA, be32, opcode, service_action};
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
    /// One of those that move blocks, of a unit whose blocks have metadata.
    Protected(Protected),
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
    parse_by(cdb, context, parse_for_unit)
}

/// The same for a unit whose blocks have metadata.
///
/// # Errors
/// As [`parse`].
pub(crate) fn parse_protected(cdb: &[u8], context: &Context<'_>) -> Result<Command, Sense> {
    parse_by(cdb, context, protected::parse_for_protected)
}

#[inline]
fn parse_by(
    cdb: &[u8],
    context: &Context<'_>,
    for_unit: impl FnOnce(&[u8], &LogicalUnit, &Context<'_>) -> Result<Command, Sense>,
) -> Result<Command, Sense> {
    if cdb.len() < CDB_BYTES_MIN {
        return Err(Sense::INVALID_COMMAND_OPERATION_CODE);
    }
    let length = cdb::length(cdb[0]).ok_or(unknown_command(context))?;
    if cdb.len() < length {
        return Err(Sense::INVALID_FIELD_IN_CDB);
    }
    let command = match context.unit {
        Some(unit) => for_unit(&cdb[..length], unit, context)?,
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

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
