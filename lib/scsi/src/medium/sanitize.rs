//! SANITIZE: all blocks are overwritten with a pattern, or given up (SBC-3).

use super::Turn;
use super::condition::Undertaking;
use super::overwrite::{self, Plan};
use crate::command::Sanitize;
use crate::execute::Step;
use crate::unit::LogicalUnit;
use crate::wire::cdb::be16;
use crate::wire::sense::Sense;

/// One turn.
pub(crate) fn step(
    method: Sanitize,
    list_bytes: u16,
    (immediate, restricted): (bool, bool),
    unit: &LogicalUnit,
    turn: Turn<'_>,
) -> Step {
    let plan = match method {
        Sanitize::BlockErase => Ok(Plan { immediate, passes: 1, invert: false, protection: None, pattern: None }),
        Sanitize::Overwrite => overwrite_plan(&turn.buffer[..usize::from(list_bytes)], immediate, unit.block_size()),
    };
    overwrite::step(Undertaking::Sanitize { restricted }, plan, list_bytes.into(), unit, turn)
}

/// OVERWRITE parameter list (SBC-3); the parser saw to it that it is longer than its header.
fn overwrite_plan(list: &[u8], immediate: bool, block_size: u32) -> Result<Plan, Sense> {
    const INVERT: u8 = 0x80;
    const TEST: u8 = 0x60;
    const OVERWRITE_COUNT: u8 = 0x1f;
    const PATTERN_AT: usize = 4;
    let (passes, len) = (list[0] & OVERWRITE_COUNT, be16(list, 2));
    match PATTERN_AT..PATTERN_AT + usize::from(len) {
        _ if list[0] & TEST != 0 => Err(Sense::invalid_bit_in_parameter_list(0, 6)),
        _ if passes == 0 => Err(Sense::invalid_bit_in_parameter_list(0, 4)),
        pattern if pattern.is_empty() || u32::from(len) > block_size || pattern.end > list.len() => {
            Err(Sense::invalid_field_in_parameter_list(2))
        }
        pattern => {
            let invert = list[0] & INVERT != 0;
            Ok(Plan { immediate, passes, invert, protection: None, pattern: Some(pattern) })
        }
    }
}
