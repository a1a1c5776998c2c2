//! Parsers of commands that only ask (SPC-4, SBC-3).

use super::{Command, InquiryPage, LunSelection, ModeDescriptor, ModeQuery, ModeValues, OpcodeQuery, Query};
use crate::answer::{capacity, mode_sense as pages, vpd};
use crate::command_table::{self, OpcodeKind};
use crate::control::ControlRequest;
use crate::unit::LogicalUnit;
use crate::wire::cdb::{be16, be32, opcode};
use crate::wire::sense::Sense;

/// REQUEST SENSE (SPC-4).
pub(super) fn request_sense(cdb: &[u8]) -> Result<Command, Sense> {
    let query = Query::RequestSense { descriptor_format: cdb[1] & 1 != 0 };
    Ok(Command::Query { query, allocation: u32::from(cdb[4]) })
}

/// INQUIRY (SPC-4) with one of the vital product data `pages`.
pub(super) fn inquiry(cdb: &[u8], pages: &[u8]) -> Result<Command, Sense> {
    const EVPD: u8 = 0x01;
    const CMDDT: u8 = 0x02; // obsolete, but SPC-2's meaning would be another answer
    let page = match cdb[1] & (EVPD | CMDDT) {
        0 if cdb[2] == 0 => InquiryPage::Standard,
        EVPD if pages.contains(&cdb[2]) && cdb[2] == vpd::SCSI_PORTS => {
            let allocation = u32::from(be16(cdb, 3));
            return Ok(Command::Control { request: ControlRequest::ScsiPorts, list_bytes: 0, allocation });
        }
        EVPD if pages.contains(&cdb[2]) => InquiryPage::Vpd(cdb[2]),
        0 | EVPD => return Err(Sense::invalid_field_in_cdb(2, None)),
        _ => return Err(Sense::invalid_field_in_cdb(1, Some(1))),
    };
    Ok(Command::Query { query: Query::Inquiry(page), allocation: u32::from(be16(cdb, 3)) })
}

/// REPORT LUNS (SPC-4). An allocation length under 16 cuts the answer; refusing it was SPC's rule, no longer SPC-4's.
pub(super) fn report_luns(cdb: &[u8]) -> Result<Command, Sense> {
    let select = match cdb[2] {
        0x00 => LunSelection::Units,
        0x01 => LunSelection::WellKnown,
        0x02 => LunSelection::All,
        _ => return Err(Sense::invalid_field_in_cdb(2, None)),
    };
    Ok(Command::Query { query: Query::ReportLuns(select), allocation: be32(cdb, 6) })
}

/// READ CAPACITY(10) (SBC-3): without the obsolete PMI the address must be zero.
pub(super) fn read_capacity_10(cdb: &[u8]) -> Result<Command, Sense> {
    const PMI: u8 = 0x01;
    match be32(cdb, 2) != 0 && cdb[8] & PMI == 0 {
        false => Ok(Command::Query { query: Query::ReadCapacity10, allocation: capacity::BYTES_10 }),
        true => Err(Sense::invalid_field_in_cdb(2, None)),
    }
}

pub(super) fn report_opcodes(cdb: &[u8], unit: &LogicalUnit) -> Result<Command, Sense> {
    const RCTD: u8 = 0x80;
    let bad_options = Err(Sense::invalid_field_in_cdb(2, Some(2)));
    let (opcode, requested_action) = (cdb[3], be16(cdb, 4));
    // An operation code that we do not know has no kind: it is reported as not supported under any option.
    let kind = command_table::kind(opcode, unit);
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

/// MODE SENSE (SPC-4).
pub(super) fn mode_sense(cdb: &[u8], unit: &LogicalUnit) -> Result<Command, Sense> {
    const LLBAA: u8 = 0x10;
    const DBD: u8 = 0x08;
    let ten = cdb[0] == opcode::MODE_SENSE_10;
    let (page, subpage) = (cdb[2] & 0x3f, cdb[3]);
    pages::check_page(page, subpage, unit)?;
    let values = match cdb[2] >> 6 {
        0b00 => ModeValues::Current,
        0b01 => ModeValues::Changeable,
        0b10 => ModeValues::Default,
        _ if unit.can_save() => ModeValues::Saved,
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
