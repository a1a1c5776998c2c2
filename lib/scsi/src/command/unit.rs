//! Parsers of commands that change the unit rather than its medium (SPC-4, SBC-3).

use super::Command;
use crate::control::ControlRequest;
use crate::state::Power;
use crate::unit::LogicalUnit;
use crate::wire::cdb::{be16, opcode};
use crate::wire::sense::Sense;

/// START STOP UNIT (SBC-3). What keeps others from stopping a shared disk is a reservation. A unit with a removable medium is stopped by
/// taking that out, unless somebody prevents it; without LOEJ it stays ready. IMMED is served by answering soon.
///
/// There are no timers (power condition mode page), so LU_CONTROL starts none, and there is none to force to zero.
pub(super) fn start_stop(cdb: &[u8], unit: &LogicalUnit) -> Result<Command, Sense> {
    const START_VALID: u8 = 0x0;
    const ACTIVE: u8 = 0x1;
    const IDLE: u8 = 0x2;
    const STANDBY: u8 = 0x3;
    const LU_CONTROL: u8 = 0x7;
    const NO_FLUSH: u8 = 0x04;
    const LOEJ: u8 = 0x02;
    const START: u8 = 0x01;
    let (load_eject, start, flush) = (cdb[4] & LOEJ != 0, cdb[4] & START != 0, cdb[4] & NO_FLUSH == 0);
    let removable = unit.facts().removable;
    if cdb[3] & 0x0f != 0 {
        return Err(Sense::invalid_field_in_cdb(3, Some(3))); // POWER CONDITION MODIFIER: idle_a and standby_z only
    }
    match cdb[4] >> 4 {
        // There is no drive to eject it from.
        START_VALID if load_eject && !removable => Err(Sense::invalid_field_in_cdb(4, Some(1))),
        START_VALID if load_eject && start => Ok(control(ControlRequest::Load, 0, 0)),
        START_VALID if load_eject => Ok(control(ControlRequest::Eject { flush }, 0, 0)),
        START_VALID if start || removable => Ok(Command::StartStop { power: Power::Active, flush: flush && !start }),
        START_VALID => Ok(Command::StartStop { power: Power::Stopped, flush }),
        ACTIVE | LU_CONTROL => Ok(Command::StartStop { power: Power::Active, flush: false }),
        IDLE => Ok(Command::StartStop { power: Power::Idle, flush: false }),
        STANDBY => Ok(Command::StartStop { power: Power::Standby, flush }),
        _ => Err(Sense::invalid_field_in_cdb(4, Some(7))),
    }
}

/// PREVENT ALLOW MEDIUM REMOVAL (SPC-4). Persistent prevention (MMC-6) is refused.
pub(super) fn prevent_allow(cdb: &[u8]) -> Result<Command, Sense> {
    match cdb[4] & 0b11 {
        prevent @ (0b00 | 0b01) => Ok(control(ControlRequest::PreventRemoval { prevent: prevent != 0 }, 0, 0)),
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
