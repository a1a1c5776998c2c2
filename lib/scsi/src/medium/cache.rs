//! SYNCHRONIZE CACHE, and the flush of START STOP UNIT.

use bdev::Op;

use super::{Stage, Turn, out_of_turn};
use crate::execute::Step;
use crate::unit::LogicalUnit;
use crate::wire::cdb::BlockRange;
use crate::wire::sense::Sense;

/// The range of a flush that is not about a range.
pub(crate) const EVERYTHING: BlockRange = BlockRange { lba: 0, blocks: 0 };

/// Makes what was written before durable (SBC-3). Without a volatile cache it is durable already. `immediate`: the answer comes first.
pub(crate) fn flush(range: BlockRange, immediate: bool, unit: &LogicalUnit, turn: Turn<'_>) -> Step {
    match (*turn.stage, turn.last) {
        (Stage::Start, _) if !unit.facts().write_cache => Step::GOOD,
        (Stage::Start, _) if immediate => {
            *turn.stage = Stage::Answered;
            Step::Answer
        }
        (Stage::Start | Stage::Answered, _) => turn.ask(Stage::Flushing, Op::Flush, range),
        (_, Some(Ok(()))) => Step::GOOD,
        (_, Some(Err(error))) => Step::refuse(Sense::of_io_error(error, Op::Flush, range.lba, range.blocks)),
        (_, None) => out_of_turn(),
    }
}
