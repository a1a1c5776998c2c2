//! MODE SELECT (SPC-4): the control mode page.

use super::{Effect, Outcome};
use crate::nexus::UnitAttention;
use crate::unit::LogicalUnit;
use crate::wire::cdb::be16;
use crate::wire::sense::Sense;

const CONTROL_PAGE: [u8; 2] = [0x0a, 0x0a];
const PAGE_BYTES: usize = 12;

/// The whole list is checked before anything is changed.
pub(super) fn perform(ten: bool, save: bool, list: &[u8], unit: &LogicalUnit) -> Outcome {
    if save {
        return Sense::SAVING_PARAMETERS_NOT_SUPPORTED.into();
    }
    if list.is_empty() {
        return Outcome::good();
    }
    let header = if ten { 8 } else { 4 };
    if list.len() < header {
        return Sense::PARAMETER_LIST_LENGTH_ERROR.into();
    }
    let descriptor = if ten { usize::from(be16(list, 6)) } else { usize::from(list[3]) };
    let Some(page) = list.get(header + descriptor..) else { return Sense::PARAMETER_LIST_LENGTH_ERROR.into() };
    match page {
        [] => Outcome::good(),
        _ if page.len() < PAGE_BYTES => Sense::PARAMETER_LIST_LENGTH_ERROR.into(),
        _ if page[..2] != CONTROL_PAGE => Sense::invalid_field_in_parameter_list((header + descriptor) as u16).into(),
        _ => {
            unit.set_descriptor_sense(page[2] & 0x04 != 0);
            unit.set_software_write_protect(page[4] & 0x08 != 0);
            unit.set_task_aborted_status(page[5] & 0x40 != 0);
            Outcome { effects: vec![Effect::TellOthers(UnitAttention::ModeParametersChanged)], ..Outcome::good() }
        }
    }
}
