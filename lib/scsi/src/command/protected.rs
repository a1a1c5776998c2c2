//! Commands for a unit whose blocks have metadata: parsed like any other's, but for the PROTECT field (SBC-3).

use super::{Command, needs_medium, parse_for_unit};
use crate::Context;
use crate::medium::protected::{Action, Protected};
use crate::protection::{self, Protect};
use crate::unit::LogicalUnit;
use crate::wire::cdb::CDB_BYTES_FIXED_MAX;
use crate::wire::sense::Sense;

/// PROTECT is taken out of the CDB, the rest of which then is that of any unit.
pub(super) fn parse_for_protected(cdb: &[u8], unit: &LogicalUnit, context: &Context<'_>) -> Result<Command, Sense> {
    if protection::UNPROTECTED_ONLY.contains(&cdb[0]) {
        return Err(Sense::INVALID_COMMAND_OPERATION_CODE);
    }
    if needs_medium(cdb[0]) {
        unit.check_ready()?;
    }
    let kind = unit.protection();
    let mut plain = [0; CDB_BYTES_FIXED_MAX];
    // Longer ones have been refused.
    let Some(plain) = plain.get_mut(..cdb.len()) else { return Err(Sense::INVALID_COMMAND_OPERATION_CODE) };
    plain.copy_from_slice(cdb);
    let protect = match protection::has_field(cdb[0]) {
        true => {
            plain[1] &= 0x1f;
            Protect::parse(cdb, kind)?
        }
        false => Protect::ZERO,
    };
    let (action, range) = match parse_for_unit(plain, unit, context)? {
        Command::Read { range, fua } => (Action::Read { fua }, range),
        Command::Write { range, fua } => (Action::Write { fua }, range),
        Command::Verify { range, compare } => (Action::Verify { compare }, range),
        Command::WriteSame { range, data_out, unmap } => (Action::WriteSame { data_out, unmap }, range),
        other => return Ok(other),
    };
    Ok(Command::Protected(Protected { action, range, protect, kind }))
}
