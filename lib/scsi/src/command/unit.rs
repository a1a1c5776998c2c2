//! Parsers of commands that change the unit rather than its medium (SPC-4, SBC-3).

use super::Command;
use crate::control::ControlRequest;
use crate::wire::cdb::{be16, opcode};
use crate::wire::sense::Sense;

/// START STOP UNIT (SBC-3). Stopping writes the cache back unless NO_FLUSH is set, and that is all: the unit stays
/// ready, because no initiator may take a shared disk away from the others.
pub(super) fn start_stop(cdb: &[u8]) -> Result<Command, Sense> {
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

/// PREVENT ALLOW MEDIUM REMOVAL (SPC-4). It makes a difference for CD drives only: nobody but the administrator takes another medium
/// out. Persistent prevention (MMC-6) is refused.
pub(super) fn prevent_allow(cdb: &[u8]) -> Result<Command, Sense> {
    match cdb[4] & 0b11 {
        prevent @ (0b00 | 0b01) => Ok(Command::PreventAllow { prevent: prevent != 0 }),
        _ => Err(Sense::invalid_field_in_cdb(4, Some(1))),
    }
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
    Ok(Command::Control { request, list_bytes, allocation: 0 })
}
