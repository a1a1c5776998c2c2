//! Parsers of REPORT and SET TARGET PORT GROUPS (SPC-4).

use super::Command;
use crate::control::ControlRequest;
use crate::limits::SCRATCH_BYTES;
use crate::wire::cdb::be32;
use crate::wire::sense::Sense;

/// REPORT TARGET PORT GROUPS: PARAMETER DATA FORMAT is the length alone, or the extended header.
pub(super) fn report(cdb: &[u8]) -> Result<Command, Sense> {
    let extended = match cdb[1] >> 5 {
        0b000 => false,
        0b001 => true,
        _ => return Err(Sense::invalid_field_in_cdb(1, Some(7))),
    };
    let request = ControlRequest::ReportTargetPortGroups { extended };
    Ok(Command::Control { request, list_bytes: 0, allocation: be32(cdb, 6) })
}

/// SET TARGET PORT GROUPS. No list is as long as the scratch part of a buffer, which has room for 16,383 groups.
pub(super) fn set(cdb: &[u8]) -> Result<Command, Sense> {
    let list_bytes = be32(cdb, 6);
    if list_bytes as usize > SCRATCH_BYTES {
        return Err(Sense::invalid_field_in_cdb(6, None));
    }
    Ok(Command::Control { request: ControlRequest::SetTargetPortGroups, list_bytes, allocation: 0 })
}
