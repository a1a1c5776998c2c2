//! Parsers of LOG SENSE and LOG SELECT (SPC-4).

use super::Command;
use super::unit::control;
use crate::control::{ControlRequest, log};
use crate::unit::LogicalUnit;
use crate::wire::cdb::be16;
use crate::wire::sense::Sense;

const SP: u8 = 0x01;

/// PC: which values of the counters.
const CUMULATIVE: u8 = 0b01;
const DEFAULT_CUMULATIVE: u8 = 0b11;

/// LOG SENSE. There are no thresholds, and nothing is saved.
pub(super) fn log_sense(cdb: &[u8], unit: &LogicalUnit) -> Result<Command, Sense> {
    const PPC: u8 = 0x02; // obsolete, but SPC-3's meaning would be another answer
    if cdb[1] & PPC != 0 {
        return Err(Sense::invalid_field_in_cdb(1, Some(1)));
    }
    if cdb[1] & SP != 0 {
        return Err(Sense::invalid_field_in_cdb(1, Some(0)));
    }
    let defaults = match cdb[2] >> 6 {
        CUMULATIVE => false,
        DEFAULT_CUMULATIVE => true,
        _ => return Err(Sense::invalid_field_in_cdb(2, Some(7))),
    };
    let (page, subpage) = (cdb[2] & 0x3f, cdb[3]);
    log::check_page(page, subpage, unit)?;
    let request = ControlRequest::LogSense { page, subpage, defaults, pointer: be16(cdb, 5) };
    Ok(control(request, 0, u32::from(be16(cdb, 7))))
}

/// LOG SELECT. The table "PCR bit, SP bit, and PC field meanings when parameter list length is zero" decides what it does without a list.
pub(super) fn log_select(cdb: &[u8], unit: &LogicalUnit) -> Result<Command, Sense> {
    const PCR: u8 = 0x02;
    let (reset, save, list_bytes) = (cdb[1] & PCR != 0, cdb[1] & SP != 0, be16(cdb, 7));
    let (control_field, page, subpage) = (cdb[2] >> 6, cdb[2] & 0x3f, cdb[3]);
    if save && !unit.can_save() {
        return Err(Sense::invalid_field_in_cdb(1, Some(0)));
    }
    if list_bytes > 0 {
        return match () {
            () if reset => Err(Sense::invalid_field_in_cdb(7, None)),
            // The pages stand in the list.
            () if page != 0 => Err(Sense::invalid_field_in_cdb(2, Some(5))),
            () if subpage != 0 => Err(Sense::invalid_field_in_cdb(3, None)),
            () => Ok(control(ControlRequest::LogSelect { save }, u32::from(list_bytes), 0)),
        };
    }
    log::check_page(page, subpage, unit)?;
    let request = match reset || control_field == DEFAULT_CUMULATIVE {
        true => ControlRequest::LogReset { page: (page != 0).then_some(page), save },
        false => ControlRequest::LogSelect { save },
    };
    Ok(control(request, 0, 0))
}
