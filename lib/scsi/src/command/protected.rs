//! Commands for a unit whose blocks have metadata: parsed like any other's, but for the PROTECT field (SBC-3).

use super::{Command, parse_for_unit};
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
    let has_field = protection::has_field(cdb[0]);
    let mut plain = [0; CDB_BYTES_FIXED_MAX];
    // Longer ones have been refused.
    let Some(plain) = plain.get_mut(..cdb.len()) else { return Err(Sense::INVALID_COMMAND_OPERATION_CODE) };
    plain.copy_from_slice(cdb);
    if has_field {
        plain[1] &= 0x1f;
    }
    let (action, range) = match parse_for_unit(plain, unit, context)? {
        Command::Read { range, fua } => (Action::Read { fua }, range),
        Command::Write { range, fua } => (Action::Write { fua }, range),
        Command::WriteAtomic { range, fua } => (Action::WriteAtomic { fua }, range),
        Command::Verify { range, compare } => (Action::Verify { compare }, range),
        Command::WriteAndVerify { range, compare } => (Action::WriteAndVerify { compare }, range),
        Command::WriteSame { range, data_out, unmap } => (Action::WriteSame { data_out, unmap }, range),
        other => return Ok(other),
    };
    let kind = unit.protection();
    let protect = if has_field { Protect::parse(cdb, kind)? } else { Protect::ZERO };
    Ok(Command::Protected(Protected { action, range, protect, kind }))
}
