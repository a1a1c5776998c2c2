//! READ and WRITE: one operation each.

use bdev::Op;

use super::{Stage, Turn, locate, out_of_turn};
use crate::execute::{Ending, Step};
use crate::unit::LogicalUnit;
use crate::wire::cdb::BlockRange;
use crate::wire::sense::Sense;

/// READ (SBC-3). With FUA it must return what is on the medium, so a volatile cache is flushed before.
#[inline]
pub(crate) fn read(range: BlockRange, fua: bool, unit: &LogicalUnit, turn: Turn<'_>) -> Step {
    let data = 0..range.blocks as usize * unit.block_size() as usize;
    match (*turn.stage, turn.last) {
        (Stage::Start, _) if data.is_empty() => Step::GOOD,
        (Stage::Start, _) if fua && unit.facts().write_cache => turn.ask(Stage::Flushing, Op::Flush, range),
        (Stage::Start, _) | (Stage::Flushing, Some(Ok(()))) => turn.ask_data(Stage::Moving, Op::Read, range, data),
        (Stage::Moving, Some(Ok(()))) => Step::Done(Ending::Good { data_in: data }),
        (Stage::Flushing, Some(Err(error))) => {
            Step::refuse(Sense::of_io_error(error, Op::Flush, range.lba, range.blocks))
        }
        (_, Some(result)) => locate::step(range, 0, unit.facts(), result, turn),
        (_, None) => out_of_turn(),
    }
}

/// WRITE and WRITE ATOMIC (SBC-3, SBC-4).
#[inline]
pub(crate) fn write(range: BlockRange, fua: bool, unit: &LogicalUnit, turn: Turn<'_>) -> Step {
    let data = 0..range.blocks as usize * unit.block_size() as usize;
    let op = Op::Write { fua };
    match (*turn.stage, turn.last) {
        (Stage::Start, _) if data.is_empty() => Step::GOOD,
        (Stage::Start, _) => turn.ask_data(Stage::Moving, op, range, data),
        (_, Some(Ok(()))) => Step::GOOD,
        (_, Some(Err(error))) => Step::refuse(Sense::of_io_error(error, op, range.lba, range.blocks)),
        (_, None) => out_of_turn(),
    }
}
