//! SYNCHRONIZE CACHE, and the flush of commands for the control plane.

use bdev::Op;

use super::{Stage, Turn, out_of_turn};
use crate::control::ControlRequest;
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

/// A command for the control plane, after what is in the cache is on the medium if the command wants that. What is written between the flush and
/// the change would still be in the cache, and nobody might flush it any more: so there is a second flush with the unit to itself. The first is for
/// what may take long, without holding up others.
pub(crate) fn then_control(request: ControlRequest, list_bytes: u32, unit: &LogicalUnit, turn: Turn<'_>) -> Step {
    let parameters = 0..list_bytes as usize;
    match (*turn.stage, turn.last) {
        (_, Some(Err(error))) => Step::refuse(Sense::of_io_error(error, Op::Flush, 0, 0)),
        (Stage::Start, _) if request.flushes_first(&turn.buffer[parameters.clone()], unit) => {
            turn.ask(Stage::Flushing, Op::Flush, EVERYTHING)
        }
        (Stage::Flushing, _) => {
            *turn.stage = Stage::Claiming;
            Step::Claim
        }
        (Stage::Claiming, _) => turn.ask(Stage::Moving, Op::Flush, EVERYTHING),
        _ => Step::Control { request, parameters },
    }
}
