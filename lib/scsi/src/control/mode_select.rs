//! MODE SELECT (SPC-4, SBC-3): header, block descriptor, pages. The whole list is checked before anything is changed.

use super::{Effect, Outcome};
use crate::mode::page::{self, Page};
use crate::mode::{ModeParameters, PageCode, pages};
use crate::nexus::UnitAttention;
use crate::saved::Keeper;
use crate::unit::LogicalUnit;
use crate::wire::cdb::{be16, be24, be32, be64};
use crate::wire::sense::Sense;

/// Others are told only of what really changed.
pub(super) fn perform(ten: bool, save: bool, list: &[u8], unit: &LogicalUnit, keeper: &mut Keeper<'_>) -> Outcome {
    if save && !unit.can_save() {
        return Sense::SAVING_PARAMETERS_NOT_SUPPORTED.into();
    }
    let before = unit.mode();
    let mode = match parse(ten, list, unit) {
        Ok(mode) => mode,
        Err(sense) => return sense.into(),
    };
    if save {
        if let Err(sense) = keeper.save(unit, |saved| saved.mode = mode) {
            return sense.into();
        }
        unit.state().kept().mode = mode;
    }
    if mode == before {
        return Outcome::good();
    }
    unit.set_mode(&mode);
    Outcome { effects: vec![Effect::TellOthers(UnitAttention::ModeParametersChanged)], ..Outcome::good() }
}

/// Whether there is no write cache any more with that list, whatever there is now: that may change until it is carried out.
pub(super) fn without_cache(ten: bool, list: &[u8], unit: &LogicalUnit) -> bool {
    parse(ten, list, unit).is_ok_and(|mode| !mode.write_cache)
}

/// The mode parameters as the list wants them.
fn parse(ten: bool, list: &[u8], unit: &LogicalUnit) -> Result<ModeParameters, Sense> {
    let mut mode = unit.mode();
    if list.is_empty() {
        return Ok(mode);
    }
    let mut at = header(ten, list, unit)?;
    while at < list.len() {
        (mode, at) = one_page(list, at, mode, unit)?;
    }
    Ok(mode)
}

/// Mode parameter header and block descriptor; returns where the pages begin. MODE DATA LENGTH, WP and DPOFUA are reserved here.
fn header(ten: bool, list: &[u8], unit: &LogicalUnit) -> Result<usize, Sense> {
    const LONGLBA: u8 = 0x01;
    let (bytes, medium_type_at, length_at) = if ten { (8, 2, 6) } else { (4, 1, 3) };
    if list.len() < bytes {
        return Err(Sense::PARAMETER_LIST_LENGTH_ERROR);
    }
    if list[medium_type_at] != 0 {
        return Err(Sense::invalid_field_in_parameter_list(medium_type_at as u16));
    }
    let length = if ten { usize::from(be16(list, length_at)) } else { usize::from(list[length_at]) };
    let long = ten && list[4] & LONGLBA != 0;
    if length != 0 && length != if long { 16 } else { 8 } {
        return Err(Sense::invalid_field_in_parameter_list(length_at as u16));
    }
    let Some(descriptor) = list.get(bytes..bytes + length) else { return Err(Sense::PARAMETER_LIST_LENGTH_ERROR) };
    if let Some(wrong) = descriptor_fault(descriptor, long, unit) {
        return Err(Sense::invalid_field_in_parameter_list((bytes + wrong) as u16));
    }
    Ok(bytes + length)
}

/// Block descriptor (SBC-3): neither the capacity nor the block length can be changed, but 0 blocks mean "as it is" and all ones
/// "as many as there are".
fn descriptor_fault(descriptor: &[u8], long: bool, unit: &LogicalUnit) -> Option<usize> {
    if descriptor.is_empty() {
        return None;
    }
    let (blocks, most, block_bytes, block_bytes_at) = match long {
        true => (be64(descriptor, 0), u64::MAX, be32(descriptor, 12), 12),
        false => (u64::from(be32(descriptor, 0)), u64::from(u32::MAX), be24(descriptor, 5), 5),
    };
    if blocks != 0 && blocks != most && blocks != unit.num_blocks() {
        return Some(0);
    }
    (block_bytes != unit.block_size()).then_some(block_bytes_at)
}

/// Takes the page that begins at `at` over into `mode`, and returns where the next one begins.
fn one_page(
    list: &[u8],
    at: usize,
    mode: ModeParameters,
    unit: &LogicalUnit,
) -> Result<(ModeParameters, usize), Sense> {
    const SPF: u8 = 0x40;
    const PAGE_CODE: u8 = 0x3f; // PS is reserved here
    let given = &list[at..];
    let (code, length_at): (PageCode, usize) = match *given {
        [first, subpage, _, _, ..] if first & SPF != 0 => ((first & PAGE_CODE, subpage), 2),
        [first, _, ..] if first & SPF == 0 => ((first & PAGE_CODE, 0), 1),
        _ => return Err(Sense::PARAMETER_LIST_LENGTH_ERROR),
    };
    if !pages(unit).any(|(page, _)| page == code.0) {
        return Err(Sense::invalid_bit_in_parameter_list(at as u16, 5));
    }
    if !pages(unit).any(|known| known == code) || (length_at == 2) != (code.1 != 0) {
        return Err(Sense::invalid_field_in_parameter_list(at as u16 + 1));
    }
    let current = Page::of(code, &mode, unit);
    let changeable = Page::changeable(code, unit);
    let len = current.bytes().len();
    let length_bytes = length_at..current.header();
    if given[length_bytes.clone()] != current.bytes()[length_bytes] {
        return Err(Sense::invalid_field_in_parameter_list((at + length_at) as u16));
    }
    let Some(given) = given.get(..len) else { return Err(Sense::PARAMETER_LIST_LENGTH_ERROR) };
    for (byte, value) in given.iter().enumerate().skip(current.header()) {
        let wrong = (value ^ current.bytes()[byte]) & !changeable.bytes()[byte];
        if let Some(bit) = wrong.checked_ilog2() {
            return Err(Sense::invalid_bit_in_parameter_list((at + byte) as u16, bit as u8));
        }
    }
    match page::read(code, given, mode, unit) {
        Ok(mode) => Ok((mode, at + len)),
        Err(fault) => Err(Sense::invalid_bit_in_parameter_list((at + fault.byte) as u16, fault.bit)),
    }
}

#[cfg(test)]
#[path = "mode_select_tests.rs"]
mod tests;
