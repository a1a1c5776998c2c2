//! Rows of the table of supported commands, and how to look things up in it.

use crate::protection::UNPROTECTED_ONLY;
use crate::unit::LogicalUnit;
use crate::{CD_COMMANDS, COMMANDS};

/// One supported command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommandInfo {
    /// Operation code.
    pub opcode: u8,
    /// Service action, where the operation code has them.
    pub service_action: Option<u16>,
    /// The standard's name.
    pub name: &'static str,
    /// When it is supported.
    pub needs: Needs,
    /// CDB usage data (SPC-4), as long as the CDB: the operation code, then a one for each bit that is looked at, and for DPO, which is
    /// accepted (DPOFUA in the mode parameter header says so) and changes nothing. A service action stands in its own field.
    pub usage: &'static [u8],
    /// Recommended command timeout in seconds.
    pub timeout_seconds: u32,
}

/// What a command asks of a unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Needs {
    /// Nothing.
    Disk,
    /// A device that can give space back.
    Unmap,
    /// A device that writes all or nothing.
    AtomicWrites,
}

/// Ordinary commands, as long as Linux gives a disk.
pub(crate) const QUICK: u32 = 30;
/// Commands that may cover much of the medium.
pub(crate) const LONG: u32 = 120;
/// Commands that write all of the medium before they are answered, unless told not to wait (IMMED).
pub(crate) const WHOLE_MEDIUM: u32 = 24 * 60 * 60;

pub(crate) const fn disk(opcode: u8, name: &'static str, usage: &'static [u8], timeout_seconds: u32) -> CommandInfo {
    CommandInfo { opcode, service_action: None, name, needs: Needs::Disk, usage, timeout_seconds }
}

pub(crate) const fn action(
    opcode: u8,
    service_action: u8,
    name: &'static str,
    usage: &'static [u8],
    timeout_seconds: u32,
) -> CommandInfo {
    CommandInfo { service_action: Some(service_action as u16), ..disk(opcode, name, usage, timeout_seconds) }
}

/// The table of a unit's type.
fn table(unit: &LogicalUnit) -> &'static [CommandInfo] {
    match unit.drive() {
        Some(_) => CD_COMMANDS,
        None => COMMANDS,
    }
}

/// The rows that hold for a unit.
pub(crate) fn supported(unit: &LogicalUnit) -> impl Iterator<Item = &'static CommandInfo> {
    let (unmap, atomic) = (unit.facts().unmap, unit.facts().atomic_blocks > 0);
    let metadata = unit.has_metadata();
    let knows_metadata = move |info: &&CommandInfo| !metadata || !UNPROTECTED_ONLY.contains(&info.opcode);
    table(unit).iter().filter(knows_metadata).filter(move |info| match info.needs {
        Needs::Disk => true,
        Needs::Unmap => unmap,
        Needs::AtomicWrites => atomic,
    })
}

/// Whether an operation code names a command by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OpcodeKind {
    Alone,
    WithServiceActions,
}

/// What kind of operation code it is; `None` for those in no row.
pub(crate) fn kind(opcode: u8, unit: &LogicalUnit) -> Option<OpcodeKind> {
    let info = table(unit).iter().find(|info| info.opcode == opcode)?;
    Some(if info.service_action.is_some() { OpcodeKind::WithServiceActions } else { OpcodeKind::Alone })
}

impl CommandInfo {
    /// Whether this row is the command named.
    pub(crate) fn is(&self, opcode: u8, service_action: Option<u16>) -> bool {
        self.opcode == opcode && self.service_action == service_action
    }
}

#[cfg(test)]
#[path = "command_table_tests.rs"]
mod tests;
