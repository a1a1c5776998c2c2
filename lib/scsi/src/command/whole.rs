//! Parsers of commands that are about the whole medium: FORMAT UNIT and SANITIZE (SBC-3).

use super::{Command, Sanitize, unknown_service_action};
use crate::Context;
use crate::limits::SCRATCH_BYTES;
use crate::medium::condition::{Condition, Undertaking};
use crate::protection::format;
use crate::unit::LogicalUnit;
use crate::wire::cdb::{be16, service_action};
use crate::wire::sense::Sense;

/// FORMAT UNIT (SBC-3). The CDB does not tell how long the parameter list is, the list does itself: all that the initiator has of it is
/// taken. Not supported: protection of type 2, vendor-specific defect lists, formats that leave the medium as it is (FFMT, SBC-4). There
/// are no defects, so whether a list of them is complete (CMPLST) makes no difference.
pub(super) fn format_unit(
    cdb: &[u8],
    unit: &LogicalUnit,
    context: &Context<'_>,
    writable: impl Fn() -> Result<(), Sense>,
) -> Result<Command, Sense> {
    const LONGLIST: u8 = 0x20;
    const FMTDATA: u8 = 0x10;
    const DEFECT_LIST_FORMAT: u8 = 0x07;
    const FFMT: u8 = 0x03;
    writable()?;
    let protection = format::requested(cdb, unit)?;
    if cdb[4] & FFMT != 0 {
        return Err(Sense::invalid_field_in_cdb(4, Some(1)));
    }
    let list_bytes = context.data_out_len.min(SCRATCH_BYTES as u32);
    match (cdb[1] & FMTDATA != 0, cdb[1] & DEFECT_LIST_FORMAT) {
        (false, 0b000) => Ok(Command::Format { list_bytes: 0, long: false, protection }),
        (true, 0b000..=0b101) if list_bytes == 0 => Err(Sense::PARAMETER_LIST_LENGTH_ERROR),
        // Short block, extended bytes from index, extended physical sector, long block, bytes from index, physical sector.
        (true, 0b000..=0b101) => Ok(Command::Format { list_bytes, long: cdb[1] & LONGLIST != 0, protection }),
        _ => Err(Sense::invalid_field_in_cdb(1, Some(2))),
    }
}

/// SANITIZE (SBC-3). There is no key to be forgotten, so CRYPTOGRAPHIC ERASE is not supported, and BLOCK ERASE takes a device that gives
/// space back.
pub(super) fn sanitize(
    cdb: &[u8],
    unit: &LogicalUnit,
    writable: impl Fn() -> Result<(), Sense>,
) -> Result<Command, Sense> {
    const IMMED: u8 = 0x80;
    const AUSE: u8 = 0x20;
    const LENGTH_AT: usize = 7;
    let (immediate, restricted) = (cdb[1] & IMMED != 0, cdb[1] & AUSE == 0);
    let list_bytes = be16(cdb, LENGTH_AT);
    let (command, lengths) = match cdb[1] & 0x1f {
        service_action::SANITIZE_OVERWRITE => {
            let command = Command::Sanitize { method: Sanitize::Overwrite, list_bytes, immediate, restricted };
            (command, 5..=unit.block_size() + 4)
        }
        service_action::SANITIZE_BLOCK_ERASE if unit.facts().unmap => {
            (Command::Sanitize { method: Sanitize::BlockErase, list_bytes, immediate, restricted }, 0..=0)
        }
        service_action::SANITIZE_EXIT_FAILURE_MODE => (Command::ExitFailureMode, 0..=0),
        _ => return Err(unknown_service_action()),
    };
    if command != Command::ExitFailureMode {
        writable()?;
    }
    if !lengths.contains(&u32::from(list_bytes)) {
        return Err(Sense::invalid_field_in_cdb(LENGTH_AT as u16, None));
    }
    // A failed SANITIZE that promised not to be left otherwise is left by one that promises the same (AUSE).
    match unit.condition().now() {
        Condition::Failed(Undertaking::Sanitize { restricted: true }) if command == Command::ExitFailureMode => {
            Err(unknown_service_action())
        }
        Condition::Failed(Undertaking::Sanitize { restricted: true }) if !restricted => {
            Err(Sense::invalid_field_in_cdb(1, Some(5)))
        }
        _ => Ok(command),
    }
}
