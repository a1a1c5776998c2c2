//! Parsers of the commands about reservations (SPC-4; SPC-2 for RESERVE and RELEASE).

use super::{Command, unknown_service_action};
use crate::control::ControlRequest;
use crate::reservations::{InAction, LIST_BYTES, LIST_BYTES_MAX, OutAction, scope_and_type_of};
use crate::wire::cdb::{be16, be32, opcode, service_action};
use crate::wire::sense::Sense;

/// PERSISTENT RESERVE IN (SPC-4).
pub(super) fn persistent_reserve_in(cdb: &[u8]) -> Result<Command, Sense> {
    let action = match cdb[1] & 0x1f {
        service_action::READ_KEYS => InAction::ReadKeys,
        service_action::READ_RESERVATION => InAction::ReadReservation,
        service_action::REPORT_CAPABILITIES => InAction::ReportCapabilities,
        service_action::READ_FULL_STATUS => InAction::ReadFullStatus,
        _ => return Err(unknown_service_action()),
    };
    let request = ControlRequest::PersistentReserveIn(action);
    Ok(Command::Control { request, list_bytes: 0, allocation: u32::from(be16(cdb, 7)) })
}

/// PERSISTENT RESERVE OUT (SPC-4). REPLACE LOST RESERVATION is not supported, as RLR_C says: what was kept is never lost without notice,
/// because a unit whose file is damaged is not exported.
pub(super) fn persistent_reserve_out(cdb: &[u8]) -> Result<Command, Sense> {
    let action = match cdb[1] & 0x1f {
        service_action::REGISTER => OutAction::Register,
        service_action::RESERVE => OutAction::Reserve(scope_and_type_of(cdb[2])?),
        service_action::RELEASE => OutAction::Release(cdb[2]),
        service_action::CLEAR => OutAction::Clear,
        service_action::PREEMPT => OutAction::Preempt { scope_and_type: cdb[2], abort: false },
        service_action::PREEMPT_AND_ABORT => OutAction::Preempt { scope_and_type: cdb[2], abort: true },
        service_action::REGISTER_AND_IGNORE_EXISTING_KEY => OutAction::RegisterAndIgnore,
        service_action::REGISTER_AND_MOVE => OutAction::RegisterAndMove,
        _ => return Err(unknown_service_action()),
    };
    let list_bytes = be32(cdb, 5);
    match (LIST_BYTES..=LIST_BYTES_MAX).contains(&list_bytes) {
        true => {
            Ok(Command::Control { request: ControlRequest::PersistentReserveOut(action), list_bytes, allocation: 0 })
        }
        false => Err(Sense::PARAMETER_LIST_LENGTH_ERROR),
    }
}

/// RESERVE and RELEASE, 6 and 10 (SPC-2): for oneself and of the whole unit. Third parties and, in SCSI-2, extents would be
/// another reservation than the one that is made.
pub(super) fn spc2(cdb: &[u8], request: ControlRequest) -> Result<Command, Sense> {
    const THIRD_PARTY: u8 = 0x10;
    const LONG_ID: u8 = 0x02; // in the 6-byte form a part of the third party's identifier
    const EXTENT: u8 = 0x01;
    let ten = matches!(cdb[0], opcode::RESERVE_10 | opcode::RELEASE_10);
    match cdb[1] {
        byte if byte & THIRD_PARTY != 0 => Err(Sense::invalid_field_in_cdb(1, Some(4))),
        byte if ten && byte & LONG_ID != 0 => Err(Sense::invalid_field_in_cdb(1, Some(1))),
        byte if byte & EXTENT != 0 => Err(Sense::invalid_field_in_cdb(1, Some(0))),
        _ => Ok(Command::Control { request, list_bytes: 0, allocation: 0 }),
    }
}
