//! FORMAT UNIT: all blocks become zeroes, or a pattern, and the unit gets the type of protection that is asked for (SBC-3). Size and number of
//! the blocks stay as they are.

use super::Turn;
use super::condition::Undertaking;
use super::overwrite::{self, Plan};
use crate::execute::Step;
use crate::protection::{ProtectionType, format as protection};
use crate::unit::LogicalUnit;
use crate::wire::cdb::{be16, be32};
use crate::wire::sense::Sense;

const DESCRIPTOR_HEADER_BYTES: usize = 4;

/// One turn.
pub(crate) fn step(
    list_bytes: u32,
    long: bool,
    protection: ProtectionType,
    unit: &LogicalUnit,
    turn: Turn<'_>,
) -> Step {
    let plan = plan(&turn.buffer[..list_bytes as usize], long, protection, unit);
    overwrite::step(Undertaking::Format, plan, list_bytes, unit, turn)
}

/// FORMAT UNIT parameter list (SBC-3). Certification, the primary defect list and what to do where a list cannot be read are accepted in
/// any form: there are no defects. So a list of some is refused.
fn plan(list: &[u8], long: bool, protection: ProtectionType, unit: &LogicalUnit) -> Result<Plan, Sense> {
    const FOV: u8 = 0x80;
    const DPRY_DCRT_STPF_IP: u8 = 0x78;
    const IP: u8 = 0x08;
    const IMMED: u8 = 0x02;
    let changed = Some(protection).filter(|&protection| protection != unit.protection());
    let mut plan = Plan { immediate: false, passes: 1, invert: false, protection: changed, pattern: None };
    if list.is_empty() {
        return Ok(plan);
    }
    let header_bytes = if long { 8 } else { 4 };
    if list.len() < header_bytes {
        return Err(Sense::PARAMETER_LIST_LENGTH_ERROR);
    }
    protection::check_usage(protection, list[0])?;
    let options = list[1];
    match () {
        () if options & FOV == 0 && options & DPRY_DCRT_STPF_IP != 0 => {
            let bit = (options & DPRY_DCRT_STPF_IP).ilog2();
            return Err(Sense::invalid_bit_in_parameter_list(1, bit as u8));
        }
        // P_I_INFORMATION, PROTECTION INTERVAL EXPONENT; then DEFECT LIST LENGTH.
        () if long && list[3] != 0 => return Err(Sense::invalid_bit_in_parameter_list(3, 7)),
        () if long && be32(list, 4) != 0 => return Err(Sense::invalid_field_in_parameter_list(4)),
        () if !long && be16(list, 2) != 0 => return Err(Sense::invalid_field_in_parameter_list(2)),
        () => {}
    }
    plan.immediate = options & IMMED != 0;
    if options & IP != 0 {
        plan.pattern = pattern(list, header_bytes, unit.block_size())?;
    }
    Ok(plan)
}

/// Initialization pattern descriptor (SBC-3). Security initialization would have to reach what the device beneath keeps elsewhere: SANITIZE is
/// for that.
fn pattern(list: &[u8], at: usize, block_size: u32) -> Result<Option<std::ops::Range<usize>>, Sense> {
    const IP_MODIFIER: u8 = 0xc0; // obsolete, but it would make another pattern
    const SI: u8 = 0x20;
    const DEFAULT: u8 = 0x00;
    const REPEATED: u8 = 0x01;
    let Some(header) = list.get(at..at + DESCRIPTOR_HEADER_BYTES) else {
        return Err(Sense::PARAMETER_LIST_LENGTH_ERROR);
    };
    let start = at + DESCRIPTOR_HEADER_BYTES;
    let length_at_fault = Sense::invalid_field_in_parameter_list(at as u16 + 2);
    match (header[1], be16(header, 2)) {
        _ if header[0] & IP_MODIFIER != 0 => Err(Sense::invalid_bit_in_parameter_list(at as u16, 7)),
        _ if header[0] & SI != 0 => Err(Sense::invalid_bit_in_parameter_list(at as u16, 5)),
        (DEFAULT, 0) => Ok(None),
        (DEFAULT, _) | (REPEATED, 0) => Err(length_at_fault),
        (REPEATED, len) if u32::from(len) > block_size => Err(length_at_fault),
        (REPEATED, len) => match list.get(start..start + usize::from(len)) {
            None => Err(Sense::PARAMETER_LIST_LENGTH_ERROR),
            Some(pattern) if pattern.iter().all(|&byte| byte == 0) => Ok(None),
            Some(_) => Ok(Some(start..start + usize::from(len))),
        },
        _ => Err(Sense::invalid_field_in_parameter_list(at as u16 + 1)),
    }
}
