//! What stands in a command's way besides unit attentions: reservations (SPC-4, Persistent reservations; SPC-2, RESERVE) and the state of
//! the path (SPC-4 5.16).

mod passage;

use crate::execute::Ending;
use crate::nexus::{PathState, ReservedFor, UnitNexus};
use crate::wire::cdb::{opcode, service_action};
use crate::wire::sense::{ScsiStatus, Sense};

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

/// NOT READY, for commands that the access state does not allow (SPC-4, the subclauses about the states).
fn path(cdb: &[u8], state: PathState) -> Option<Ending> {
    let sense = match state {
        PathState::Active => return None,
        PathState::Standby => Sense::TARGET_PORT_IN_STANDBY,
        PathState::Unavailable => Sense::TARGET_PORT_IN_UNAVAILABLE,
        PathState::Offline => Sense::NOT_READY_OFFLINE,
        PathState::Transitioning => Sense::ACCESS_STATE_TRANSITION,
    };
    (!is_allowed(cdb, state)).then_some(Ending::CheckCondition(sense))
}

/// Whether a command is carried out in a state that is not active. Those that are not here may be unknown altogether: that is told
/// when the state is active again.
fn is_allowed(cdb: &[u8], state: PathState) -> bool {
    let [operation, second, ..] = *cdb else { return false };
    let always = match operation {
        opcode::INQUIRY | opcode::REPORT_LUNS | opcode::REQUEST_SENSE => true,
        opcode::MAINTENANCE_IN => second & 0x1f == service_action::REPORT_TARGET_PORT_GROUPS,
        // They are about the device server and its connection, which is not to be relied on when offline.
        opcode::READ_BUFFER | opcode::WRITE_BUFFER => state != PathState::Offline,
        _ => false,
    };
    // While the target changes the state nobody else may.
    let set = || {
        state != PathState::Transitioning
            && operation == opcode::MAINTENANCE_OUT
            && second & 0x1f == service_action::SET_TARGET_PORT_GROUPS
    };
    always || set() || state == PathState::Standby && is_allowed_in_standby(operation, second)
}

/// What concerns the unit, not its medium.
fn is_allowed_in_standby(operation: u8, second: u8) -> bool {
    match operation {
        opcode::MODE_SELECT_6 | opcode::MODE_SELECT_10 | opcode::MODE_SENSE_6 | opcode::MODE_SENSE_10 => true,
        opcode::RECEIVE_DIAGNOSTIC_RESULTS | opcode::SEND_DIAGNOSTIC | opcode::LOG_SELECT | opcode::LOG_SENSE => true,
        opcode::PERSISTENT_RESERVE_IN | opcode::PERSISTENT_RESERVE_OUT => true,
        // Beyond SPC-4's list, as other targets do it: Linux asks for size and commands once, when it finds a path. One found in standby
        // would have no size for ever, and multipathing would not take it.
        opcode::READ_CAPACITY_10 => true,
        opcode::SERVICE_ACTION_IN_16 => second & 0x1f == service_action::READ_CAPACITY_16,
        opcode::MAINTENANCE_IN => second & 0x1f == service_action::REPORT_SUPPORTED_OPERATION_CODES,
        _ => false,
    }
}

#[cfg(test)]
mod path_tests {
    use super::*;

    const SILENT: [PathState; 4] =
        [PathState::Standby, PathState::Unavailable, PathState::Offline, PathState::Transitioning];

    fn sense(cdb: &[u8], state: PathState) -> Option<(u8, u8)> {
        match path(cdb, state)? {
            Ending::CheckCondition(Sense { asc, ascq, .. }) => Some((asc, ascq)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_state_lets_exactly_its_commands_through() {
        let report_groups = [opcode::MAINTENANCE_IN, 0x0a];
        let set_groups = [opcode::MAINTENANCE_OUT, 0x0a];
        let everywhere = [[opcode::INQUIRY, 0], [opcode::REPORT_LUNS, 0], [opcode::REQUEST_SENSE, 0], report_groups];
        let in_standby = [
            [0x15, 0],
            [0x55, 0],
            [0x1a, 0],
            [0x5a, 0],
            [0x1c, 0],
            [0x1d, 0],
            [0x4c, 0],
            [0x4d, 0],
            [0x5e, 0],
            [0x5f, 0],
            [0x25, 0],
            [0x9e, 0x10],
            [0xa3, 0x0c],
        ];
        for operation in 0..=0xff {
            for action in 0..0x20 {
                let cdb = [operation, action];
                let named = |list: &[[u8; 2]]| {
                    let has_actions = matches!(operation, 0x9e | 0xa3 | 0xa4);
                    list.iter().any(|it| it[0] == operation && (!has_actions || it[1] == action))
                };
                assert_eq!(sense(&cdb, PathState::Active), None);
                for (state, code) in SILENT.into_iter().zip([0x0b, 0x0c, 0x12, 0x0a]) {
                    let standby = state == PathState::Standby && named(&in_standby);
                    let buffers = state != PathState::Offline && named(&[[0x3b, 0], [0x3c, 0]]);
                    let set = state != PathState::Transitioning && named(&[set_groups]);
                    let allowed = named(&everywhere) || set || standby || buffers;
                    let expected = (!allowed).then_some((0x04, code));
                    assert_eq!(sense(&cdb, state), expected, "{cdb:02x?} in {state:?}");
                }
            }
        }
    }

    /// PARAMETER DATA FORMAT stands beside the service action.
    #[test]
    fn groups_are_reported_in_every_state_with_either_header() {
        for state in SILENT {
            assert_eq!(sense(&[opcode::MAINTENANCE_IN, 0x2a], state), None);
        }
        assert_eq!(sense(&[], PathState::Offline), Some((0x04, 0x12)));
    }
}
