//! What stands in a command's way besides unit attentions: reservations (SPC-4, Persistent reservations; SPC-2, RESERVE) and the state of
//! the path (SPC-4 5.16).

mod passage;

use crate::execute::Ending;
use crate::nexus::{PathState, ReservedFor, UnitNexus};
use crate::wire::sense::ScsiStatus;

use passage::{Passage, passage};

/// How a command ends that may not be carried out now. Asked only where something stands in the way at all.
#[cold]
pub(crate) fn obstacle(cdb: &[u8], nexus: &UnitNexus) -> Option<Ending> {
    reservation(cdb, nexus.reserved_for()).or_else(|| path(cdb, nexus.path_state()))
}

/// RESERVATION CONFLICT, where SPC-4's and SBC-3's tables of commands that are allowed in the presence of reservations say so.
pub(crate) fn reservation(cdb: &[u8], reserved: ReservedFor) -> Option<Ending> {
    // What is not known could write.
    let passage = passage(cdb).unwrap_or(Passage::Holder);
    let conflicts = match reserved {
        ReservedFor::Us => false,
        ReservedFor::Writers => passage == Passage::Holder,
        ReservedFor::Others => matches!(passage, Passage::Holder | Passage::Reader),
        ReservedFor::Spc2 => passage != Passage::Anybody,
    };
    conflicts.then_some(Ending::Status(ScsiStatus::ReservationConflict))
}

/// NOT READY, for commands that the access state does not allow.
fn path(_cdb: &[u8], _state: PathState) -> Option<Ending> {
    None
}
