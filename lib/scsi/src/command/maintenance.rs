//! Parsers of MAINTENANCE IN and MAINTENANCE OUT about the unit itself (SPC-4).

use super::unit::control;
use super::{Command, Query};
use crate::control::{ControlRequest, InformationType, timestamp};
use crate::wire::cdb::be32;
use crate::wire::sense::Sense;

/// REPORT IDENTIFYING INFORMATION.
pub(super) fn report_identifying(cdb: &[u8]) -> Result<Command, Sense> {
    let kind = match cdb[10] >> 1 {
        0b000_0000 => InformationType::Peripheral,
        0b000_0010 => InformationType::Text,
        0b111_1111 => InformationType::Supported,
        _ => return Err(Sense::invalid_field_in_cdb(10, Some(7))),
    };
    Ok(control(ControlRequest::ReportIdentifying(kind), 0, be32(cdb, 6)))
}

/// SET IDENTIFYING INFORMATION.
pub(super) fn set_identifying(cdb: &[u8]) -> Result<Command, Sense> {
    let kind = match cdb[10] >> 1 {
        0b000_0000 => InformationType::Peripheral,
        0b000_0010 => InformationType::Text,
        _ => return Err(Sense::invalid_field_in_cdb(10, Some(7))),
    };
    let list_bytes = be32(cdb, 6);
    match list_bytes as usize > kind.bytes_max() {
        false => Ok(control(ControlRequest::SetIdentifying(kind), list_bytes, 0)),
        true => Err(Sense::invalid_field_in_cdb(6, None)),
    }
}

/// REPORT TIMESTAMP.
pub(super) fn report_timestamp(cdb: &[u8]) -> Command {
    control(ControlRequest::ReportTimestamp, 0, be32(cdb, 6))
}

/// SET TIMESTAMP: a list that is cut is refused, and a longer one is none that the standard has.
pub(super) fn set_timestamp(cdb: &[u8]) -> Result<Command, Sense> {
    let list_bytes = be32(cdb, 6);
    match list_bytes as usize {
        0 | timestamp::LIST_BYTES => Ok(control(ControlRequest::SetTimestamp, list_bytes, 0)),
        _ => Err(Sense::PARAMETER_LIST_LENGTH_ERROR),
    }
}

/// REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS.
pub(super) fn report_task_management(cdb: &[u8]) -> Result<Command, Sense> {
    const REPD: u8 = 0x80;
    let allocation = be32(cdb, 6);
    match allocation < 4 {
        false => Ok(Command::Query { query: Query::TaskManagement { extended: cdb[2] & REPD != 0 }, allocation }),
        true => Err(Sense::invalid_field_in_cdb(6, None)),
    }
}
