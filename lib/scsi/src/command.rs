//! From a CDB to a [`Command`]: every field parsed and checked before anything is done.

mod allowed;
mod cd;
mod copy;
mod diagnostic;
mod log;
mod maintenance;
mod medium;
mod protected;
mod query;
mod reserve;
mod target_port_groups;
mod unit;
mod whole;

use copy::{third_party_copy_in, third_party_copy_out};
use diagnostic::{read_buffer, read_defect_data, receive_diagnostic, send_diagnostic, write_buffer};
use log::{log_select, log_sense};
use maintenance::{report_identifying, report_task_management, report_timestamp, set_identifying, set_timestamp};
use medium::{
    compare_and_write, lba_status, or_write, pre_fetch, read, synchronize_cache, unmap, verify, write,
    write_and_verify, write_atomic, write_same,
};
use query::{inquiry, mode_sense, read_capacity_10, report_luns, report_opcodes, request_sense};
use reserve::{persistent_reserve_in, persistent_reserve_out, spc2};
use unit::{mode_select, prevent_allow, start_stop};
use whole::{format_unit, sanitize};

use crate::Context;
use crate::answer::vpd;
use crate::cd::CdQuery;
use crate::control::ControlRequest;
use crate::copy::ExtendedCopy;
use crate::copy::receive::CopyQuery;
use crate::limits::CDB_BYTES_MIN;
use crate::lun::{Address, Lun};
use crate::medium::generation::Policy;
use crate::medium::protected::Protected;
use crate::protection::ProtectionType;
use crate::state::Power;
use crate::through::Through;
use crate::unit::LogicalUnit;
use crate::wire::cdb::{BlockRange, CONTROL_NACA, Form, be16, be32, opcode, service_action};
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
    WriteAndVerify {
        range: BlockRange,
        compare: Compare,
    },
    /// The data-out is the blocks to compare with, then those to write.
    CompareAndWrite {
        range: BlockRange,
        fua: bool,
    },
    OrWrite {
        range: BlockRange,
        fua: bool,
        bitmap: Bitmap,
    },
    WriteAtomic {
        range: BlockRange,
        fua: bool,
    },
    PreFetch {
        range: BlockRange,
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
        /// IMMED: answered before it is done.
        immediate: bool,
    },
    /// FORMAT UNIT, of as many bytes of parameters as the initiator has.
    Format {
        list_bytes: u32,
        /// LONGLIST: the list's header is the long one.
        long: bool,
        /// FMTPINFO: the type of protection from then on.
        protection: ProtectionType,
    },
    Sanitize {
        method: Sanitize,
        list_bytes: u16,
        immediate: bool,
        /// AUSE is clear: if it fails, only another one that does not leads out of it.
        restricted: bool,
    },
    /// SANITIZE with the service action EXIT FAILURE MODE.
    ExitFailureMode,
    StartStop {
        power: Power,
        /// The cache is written back before.
        flush: bool,
    },
    TestUnitReady {
        /// The device was found gone, and is to be looked at.
        probe: bool,
    },
    ExtendedCopy(ExtendedCopy),
    /// A self-test with this SELF-TEST CODE; `None`: the default self-test.
    SelfTest {
        code: Option<u8>,
    },
    /// The pages of SEND DIAGNOSTIC, if there are any.
    DiagnosticPage {
        list_bytes: u16,
    },
    /// Answered with at most `allocation` bytes.
    LbaStatus {
        range: BlockRange,
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
    Cd(CdQuery),
    Inquiry(InquiryPage),
    ReportLuns(LunSelection),
    RequestSense { descriptor_format: bool },
    ReadCapacity10,
    ReadCapacity16,
    ModeSense(ModeQuery),
    ReportOpcodes { opcodes: OpcodeQuery, timeouts: bool },
    BufferDescriptor { there: bool },
    DefectList { options: u8, long: bool },
    DiagnosticPages,
    EchoBufferDescriptor,
    TaskManagement { extended: bool },
    ReceiveCopy(CopyQuery),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum InquiryPage {
    Standard,
    /// One of [`vpd::pages`].
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

/// PAGE CONTROL (SPC-4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ModeValues {
    Current,
    Changeable,
    Default,
    Saved,
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

/// What ORWRITE does to a bitmap, in which generation of it (SBC-3). ORWRITE(16) sets bits in generation 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Bitmap {
    /// EXPECTED ORWGENERATION.
    pub(crate) expected: u32,
    /// Bits are cleared, and this is the next generation; `None`: bits are set.
    pub(crate) change: Option<Generation>,
}

/// A generation of a bitmap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Generation {
    /// NEW ORWGENERATION.
    pub(crate) code: u32,
    /// PREVIOUS GENERATION PROCESSING: what becomes of those that expect another.
    pub(crate) policy: Policy,
}

/// How SANITIZE makes the data irrecoverable (SBC-3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sanitize {
    Overwrite,
    BlockErase,
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
    let form = Form::of(cdb[0]).ok_or(unknown_command(context))?;
    let length = form.cdb_bytes();
    if cdb.len() < length {
        return Err(if form == Form::ThirtyTwo { unknown_command(context) } else { Sense::INVALID_FIELD_IN_CDB });
    }
    let command = match context.unit {
        Some(unit) => for_unit(&cdb[..length], unit, context)?,
        None => parse_without_unit(&cdb[..length], context.address)?,
    };
    match cdb[form.control_at()] & CONTROL_NACA {
        0 => Ok(command),
        _ => Err(Sense::invalid_field_in_cdb(form.control_at() as u16, Some(2))),
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
    if unit.drive().is_some() {
        return cd::parse(cdb, unit);
    }
    let writable = || writable(unit, context);
    allowed::check(cdb, unit)?;
    if needs_medium(cdb[0]) {
        unit.check_ready()?;
        if !asks_only(cdb[0]) {
            unit.state().wake();
        }
    }
    match cdb[0] {
        opcode::READ_6 | opcode::READ_10 | opcode::READ_12 | opcode::READ_16 => read(cdb, unit),
        opcode::WRITE_6 | opcode::WRITE_10 | opcode::WRITE_12 | opcode::WRITE_16 => write(cdb, unit, writable),
        opcode::VERIFY_10 | opcode::VERIFY_12 | opcode::VERIFY_16 => verify(cdb, unit),
        opcode::WRITE_AND_VERIFY_10 | opcode::WRITE_AND_VERIFY_12 | opcode::WRITE_AND_VERIFY_16 => {
            write_and_verify(cdb, unit, writable)
        }
        opcode::VARIABLE_LENGTH => variable_length(cdb, unit, writable),
        opcode::COMPARE_AND_WRITE => compare_and_write(cdb, unit, writable),
        opcode::ORWRITE_16 => or_write(cdb, unit, writable),
        opcode::WRITE_ATOMIC_16 if unit.facts().atomic_blocks > 0 => write_atomic(cdb, unit, writable),
        opcode::PRE_FETCH_10 | opcode::PRE_FETCH_16 => pre_fetch(cdb, unit),
        opcode::SYNCHRONIZE_CACHE_10 | opcode::SYNCHRONIZE_CACHE_16 => synchronize_cache(cdb, unit),
        opcode::UNMAP if unit.facts().unmap => unmap(cdb, writable),
        opcode::WRITE_SAME_10 | opcode::WRITE_SAME_16 => write_same(cdb, unit, writable),
        opcode::FORMAT_UNIT => format_unit(cdb, unit, context, writable),
        opcode::SANITIZE => sanitize(cdb, unit, writable),
        opcode::TEST_UNIT_READY => Ok(Command::TestUnitReady { probe: unit.is_gone() }),
        opcode::REQUEST_SENSE => request_sense(cdb),
        opcode::INQUIRY => inquiry(cdb, vpd::pages(unit)),
        opcode::REPORT_LUNS => report_luns(cdb),
        opcode::READ_CAPACITY_10 => read_capacity_10(cdb),
        opcode::SERVICE_ACTION_IN_16 => service_action_in_16(cdb, unit),
        opcode::MODE_SENSE_6 | opcode::MODE_SENSE_10 => mode_sense(cdb, unit),
        opcode::MODE_SELECT_6 | opcode::MODE_SELECT_10 => mode_select(cdb),
        opcode::PERSISTENT_RESERVE_IN => persistent_reserve_in(cdb),
        opcode::PERSISTENT_RESERVE_OUT => persistent_reserve_out(cdb),
        opcode::RESERVE_6 | opcode::RESERVE_10 => spc2(cdb, ControlRequest::Reserve),
        opcode::RELEASE_6 | opcode::RELEASE_10 => spc2(cdb, ControlRequest::Release),
        opcode::THIRD_PARTY_COPY_OUT => third_party_copy_out(cdb),
        opcode::THIRD_PARTY_COPY_IN => third_party_copy_in(cdb),
        opcode::MAINTENANCE_IN => maintenance_in(cdb, unit),
        opcode::MAINTENANCE_OUT => maintenance_out(cdb),
        opcode::START_STOP_UNIT => start_stop(cdb, unit),
        opcode::PREVENT_ALLOW_MEDIUM_REMOVAL => prevent_allow(cdb),
        opcode::LOG_SENSE => log_sense(cdb, unit),
        opcode::LOG_SELECT => log_select(cdb, unit),
        opcode::SEND_DIAGNOSTIC => send_diagnostic(cdb, unit),
        opcode::RECEIVE_DIAGNOSTIC_RESULTS => receive_diagnostic(cdb),
        opcode::READ_BUFFER => read_buffer(cdb),
        opcode::WRITE_BUFFER => write_buffer(cdb),
        opcode::READ_DEFECT_DATA_10 | opcode::READ_DEFECT_DATA_12 => read_defect_data(cdb),
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
            | opcode::FORMAT_UNIT
            | opcode::SANITIZE
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
            | opcode::WRITE_AND_VERIFY_10
            | opcode::WRITE_AND_VERIFY_12
            | opcode::WRITE_AND_VERIFY_16
            | opcode::VARIABLE_LENGTH
            | opcode::COMPARE_AND_WRITE
            | opcode::ORWRITE_16
            | opcode::WRITE_ATOMIC_16
            | opcode::PRE_FETCH_10
            | opcode::PRE_FETCH_16
            | opcode::SYNCHRONIZE_CACHE_10
            | opcode::SYNCHRONIZE_CACHE_16
            | opcode::UNMAP
            | opcode::WRITE_SAME_10
            | opcode::WRITE_SAME_16
    )
}

/// Of those, the ones for which a unit need not leave a power condition.
#[inline]
fn asks_only(operation: u8) -> bool {
    matches!(operation, opcode::TEST_UNIT_READY | opcode::READ_CAPACITY_10 | opcode::SERVICE_ACTION_IN_16)
}

fn writable(unit: &LogicalUnit, context: &Context<'_>) -> Result<(), Sense> {
    unit.check_writable(context.read_only)
}

/// The 32-byte commands of SBC-3 and SBC-4. Those that others have in 16 bytes differ in what protection information is expected (bytes 20 to 27).
/// The standard has them for units with protection of type 2; here they are for every unit, and those bytes say nothing, as no unit has it.
fn variable_length(cdb: &[u8], unit: &LogicalUnit, writable: impl Fn() -> Result<(), Sense>) -> Result<Command, Sense> {
    const ADDITIONAL_CDB_LENGTH: u8 = 0x18;
    let command = match u8::try_from(be16(cdb, 8)).unwrap_or(0) {
        service_action::READ_32 => read(cdb, unit),
        service_action::VERIFY_32 => verify(cdb, unit),
        service_action::WRITE_32 => write(cdb, unit, writable),
        service_action::WRITE_AND_VERIFY_32 => write_and_verify(cdb, unit, writable),
        service_action::WRITE_SAME_32 => write_same(cdb, unit, writable),
        service_action::ORWRITE_32 => or_write(cdb, unit, writable),
        service_action::GET_LBA_STATUS_32 => lba_status(cdb, unit),
        _ => return Err(Sense::invalid_field_in_cdb(8, None)),
    };
    match cdb[7] {
        ADDITIONAL_CDB_LENGTH => command,
        _ => Err(Sense::invalid_field_in_cdb(7, None)),
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

/// MAINTENANCE IN (SPC-4).
fn maintenance_in(cdb: &[u8], unit: &LogicalUnit) -> Result<Command, Sense> {
    match cdb[1] & 0x1f {
        service_action::REPORT_IDENTIFYING_INFORMATION => report_identifying(cdb),
        service_action::REPORT_TARGET_PORT_GROUPS => target_port_groups::report(cdb),
        service_action::REPORT_SUPPORTED_OPERATION_CODES => report_opcodes(cdb, unit),
        service_action::REPORT_SUPPORTED_TASK_MANAGEMENT_FUNCTIONS => report_task_management(cdb),
        service_action::REPORT_TIMESTAMP => Ok(report_timestamp(cdb)),
        _ => Err(unknown_service_action()),
    }
}

/// MAINTENANCE OUT (SPC-4).
fn maintenance_out(cdb: &[u8]) -> Result<Command, Sense> {
    match cdb[1] & 0x1f {
        service_action::SET_IDENTIFYING_INFORMATION => set_identifying(cdb),
        service_action::SET_TARGET_PORT_GROUPS => target_port_groups::set(cdb),
        service_action::SET_TIMESTAMP => set_timestamp(cdb),
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
