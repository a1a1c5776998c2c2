//! What stands in a command's way besides unit attentions: reservations (SPC-4 5.13) and the state of the path (SPC-4 5.16).

use crate::execute::Ending;
use crate::nexus::{PathState, ReservedFor, UnitNexus};

/// How a command ends that may not be carried out now. Asked only where something stands in the way at all.
#[cold]
pub(crate) fn obstacle(cdb: &[u8], nexus: &UnitNexus) -> Option<Ending> {
    reservation(cdb, nexus.reserved_for()).or_else(|| path(cdb, nexus.path_state()))
}

/// RESERVATION CONFLICT, where SPC-4's and SBC-3's tables of commands that are allowed in the presence of reservations say so.
fn reservation(_cdb: &[u8], _reserved: ReservedFor) -> Option<Ending> {
    None
}

/// NOT READY, for commands that the access state does not allow.
fn path(_cdb: &[u8], _state: PathState) -> Option<Ending> {
    None
}
