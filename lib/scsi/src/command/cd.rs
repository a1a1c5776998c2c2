//! Parsers of a CD drive's commands (MMC-6).

use super::medium::{read, verify};
use super::query::{inquiry, read_capacity_10, report_luns, report_opcodes, request_sense};
use super::unit::prevent_allow;
use super::{Command, ModeValues, Query, unknown_service_action};
use crate::answer::vpd;
use crate::cd::{self, CdQuery, Features, TocFormat};
use crate::control::ControlRequest;
use crate::state::Power;
use crate::unit::LogicalUnit;
use crate::wire::cdb::{be16, opcode, service_action};
use crate::wire::sense::Sense;

/// The dispatcher. Its arms and [`crate::CD_COMMANDS`] are compared by a test, both ways.
pub(super) fn parse(cdb: &[u8], unit: &LogicalUnit) -> Result<Command, Sense> {
    if needs_disc(cdb[0]) {
        unit.check_ready()?;
    }
    match cdb[0] {
        opcode::READ_10 | opcode::READ_12 => read(cdb, unit),
        opcode::WRITE_10 | opcode::WRITE_12 => Err(Sense::WRITE_PROTECTED),
        opcode::VERIFY_10 => verify(cdb, unit),
        opcode::TEST_UNIT_READY => Ok(Command::TestUnitReady { probe: unit.is_gone() }),
        opcode::REQUEST_SENSE => request_sense(cdb),
        opcode::INQUIRY => inquiry(cdb, vpd::PAGES_OF_CD),
        opcode::REPORT_LUNS => report_luns(cdb),
        opcode::READ_CAPACITY_10 => read_capacity_10(cdb),
        opcode::MAINTENANCE_IN => match cdb[1] & 0x1f {
            service_action::REPORT_SUPPORTED_OPERATION_CODES => report_opcodes(cdb, unit),
            _ => Err(unknown_service_action()),
        },
        opcode::START_STOP_UNIT => start_stop(cdb),
        opcode::PREVENT_ALLOW_MEDIUM_REMOVAL => prevent_allow(cdb),
        opcode::READ_TOC_PMA_ATIP => read_toc(cdb),
        opcode::GET_CONFIGURATION => get_configuration(cdb),
        opcode::GET_EVENT_STATUS_NOTIFICATION => get_event_status(cdb),
        opcode::READ_DISC_INFORMATION => read_disc_information(cdb),
        opcode::MECHANISM_STATUS => query(CdQuery::MechanismStatus, be16(cdb, 8)),
        opcode::MODE_SENSE_6 | opcode::MODE_SENSE_10 => mode_sense(cdb),
        _ => Err(Sense::INVALID_COMMAND_OPERATION_CODE),
    }
}

fn needs_disc(operation: u8) -> bool {
    matches!(
        operation,
        opcode::TEST_UNIT_READY
            | opcode::READ_CAPACITY_10
            | opcode::READ_10
            | opcode::READ_12
            | opcode::WRITE_10
            | opcode::WRITE_12
            | opcode::VERIFY_10
            | opcode::READ_TOC_PMA_ATIP
            | opcode::READ_DISC_INFORMATION
    )
}

fn query(query: CdQuery, allocation: u16) -> Result<Command, Sense> {
    Ok(Command::Query { query: Query::Cd(query), allocation: u32::from(allocation) })
}

/// START STOP UNIT. Without LOEJ it spins the disc up or down, which changes nothing here. IMMED makes no difference, as the tray is
/// quick.
fn start_stop(cdb: &[u8]) -> Result<Command, Sense> {
    const LOEJ: u8 = 0x02;
    const START: u8 = 0x01;
    match () {
        () if cdb[3] & 0x0f != 0 => Err(Sense::invalid_field_in_cdb(3, Some(3))), // POWER CONDITION MODIFIER, FORMAT-LAYER NUMBER
        () if cdb[4] & 0xf0 != 0 => Err(Sense::invalid_field_in_cdb(4, Some(7))), // POWER CONDITION
        () if cdb[4] & LOEJ == 0 => Ok(Command::StartStop { power: Power::Active, flush: false }),
        () => {
            let request = ControlRequest::MoveTray { open: cdb[4] & START == 0 };
            Ok(Command::Control { request, list_bytes: 0, allocation: 0 })
        }
    }
}

/// READ TOC/PMA/ATIP. Formats of recordable discs (PMA, ATIP) and CD-TEXT are refused.
fn read_toc(cdb: &[u8]) -> Result<Command, Sense> {
    const MSF: u8 = 0x02;
    let number = cdb[6]; // TRACK/SESSION NUMBER
    let format = match (cdb[2] & 0x0f, number) {
        (0b0000, 0 | 1 | cd::LEAD_OUT) => TocFormat::Tracks { from: number },
        (0b0001, _) => TocFormat::Sessions,
        (0b0010, 0 | 1) => TocFormat::Full,
        (0b0000 | 0b0010, _) => return Err(Sense::invalid_field_in_cdb(6, None)),
        _ => return Err(Sense::invalid_field_in_cdb(2, Some(3))),
    };
    // The full table of contents is in MSF form whatever is asked for.
    let msf = cdb[1] & MSF != 0 && format != TocFormat::Full;
    query(CdQuery::Toc { format, msf }, be16(cdb, 7))
}

/// GET CONFIGURATION.
fn get_configuration(cdb: &[u8]) -> Result<Command, Sense> {
    let which = match cdb[1] & 0b11 {
        0b00 => Features::All,
        0b01 => Features::Current,
        0b10 => Features::One,
        _ => return Err(Sense::invalid_field_in_cdb(1, Some(1))),
    };
    query(CdQuery::Configuration { which, first: be16(cdb, 2) }, be16(cdb, 7))
}

/// GET EVENT STATUS NOTIFICATION: polled only; nothing waits for an event here.
fn get_event_status(cdb: &[u8]) -> Result<Command, Sense> {
    const POLLED: u8 = 0x01;
    match cdb[1] & POLLED {
        0 => Err(Sense::invalid_field_in_cdb(1, Some(0))),
        _ => query(CdQuery::EventStatus { media: cdb[4] & cd::MEDIA_CLASSES != 0 }, be16(cdb, 7)),
    }
}

/// READ DISC INFORMATION: the standard data type; the others are of recordable discs.
fn read_disc_information(cdb: &[u8]) -> Result<Command, Sense> {
    match cdb[1] & 0b111 {
        0 => query(CdQuery::DiscInformation, be16(cdb, 7)),
        _ => Err(Sense::invalid_field_in_cdb(1, Some(2))),
    }
}

/// MODE SENSE. There are no block descriptors that DBD could leave out.
fn mode_sense(cdb: &[u8]) -> Result<Command, Sense> {
    let ten = cdb[0] == opcode::MODE_SENSE_10;
    let page = cdb[2] & 0x3f;
    cd::check_page(page, cdb[3])?;
    let values = match cdb[2] >> 6 {
        0b00 => ModeValues::Current,
        0b01 => ModeValues::Changeable,
        0b10 => ModeValues::Default,
        _ => return Err(Sense::SAVING_PARAMETERS_NOT_SUPPORTED),
    };
    query(CdQuery::ModeSense { ten, page, values }, if ten { be16(cdb, 7) } else { u16::from(cdb[4]) })
}
