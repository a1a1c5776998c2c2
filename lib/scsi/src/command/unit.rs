//! Parsers of commands that change the unit rather than its medium (SPC-4, SBC-3).

use super::Command;
use crate::control::ControlRequest;
use crate::unit::LogicalUnit;
use crate::wire::cdb::{be16, opcode};
use crate::wire::sense::Sense;

/// START STOP UNIT (SBC-3). Stopping writes the cache back unless NO_FLUSH is set, and that is all: the unit stays
/// ready, because no initiator may take a shared disk away from the others. A removable medium is another matter: it is taken out, unless
/// somebody prevents that. IMMED is served by answering soon.
pub(super) fn start_stop(cdb: &[u8], unit: &LogicalUnit) -> Result<Command, Sense> {
    const NO_FLUSH: u8 = 0x04;
    const LOEJ: u8 = 0x02;
    const START: u8 = 0x01;
    let flush = cdb[4] & NO_FLUSH == 0;
    match () {
        () if cdb[3] & 0x0f != 0 => Err(Sense::invalid_field_in_cdb(3, Some(3))), // POWER CONDITION MODIFIER
        () if cdb[4] & 0xf0 != 0 => Err(Sense::invalid_field_in_cdb(4, Some(7))), // POWER CONDITION
        () if cdb[4] & LOEJ == 0 => Ok(Command::StartStop { flush: flush && cdb[4] & START == 0 }),
        () if !unit.facts().removable => Err(Sense::invalid_field_in_cdb(4, Some(1))), // there is no drive to eject it from
        () if cdb[4] & START == 0 => Ok(control(ControlRequest::Eject { flush }, 0, 0)),
        () => Ok(control(ControlRequest::Load, 0, 0)),
    }
}

/// PREVENT ALLOW MEDIUM REMOVAL (SPC-4).
pub(super) fn prevent_allow(cdb: &[u8]) -> Result<Command, Sense> {
    match cdb[4] & 0b11 {
        0b00 => Ok(control(ControlRequest::PreventRemoval { prevent: false }, 0, 0)),
        0b01 => Ok(control(ControlRequest::PreventRemoval { prevent: true }, 0, 0)),
        _ => Err(Sense::invalid_field_in_cdb(4, Some(1))),
    }
}

/// A command for the control plane.
pub(super) fn control(request: ControlRequest, list_bytes: u32, allocation: u32) -> Command {
    Command::Control { request, list_bytes, allocation }
}

/// MODE SELECT (SPC-4): pages in the standard's format (PF) only.
pub(super) fn mode_select(cdb: &[u8]) -> Result<Command, Sense> {
    const PF: u8 = 0x10;
    const SP: u8 = 0x01;
    let ten = cdb[0] == opcode::MODE_SELECT_10;
    if cdb[1] & PF == 0 {
        return Err(Sense::invalid_field_in_cdb(1, Some(4)));
    }
    let list_bytes = if ten { u32::from(be16(cdb, 7)) } else { u32::from(cdb[4]) };
    let request = ControlRequest::ModeSelect { ten, save: cdb[1] & SP != 0 };
    Ok(control(request, list_bytes, 0))
}
