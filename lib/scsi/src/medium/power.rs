//! START STOP UNIT (SBC-3): the unit changes its power condition, after what is in the cache is on the medium. What is beneath has its
//! own mind about power.

use bdev::Op;

use super::cache::EVERYTHING;
use super::{Stage, Turn, out_of_turn};
use crate::execute::Step;
use crate::state::Power;
use crate::unit::LogicalUnit;
use crate::wire::sense::Sense;

/// If the flush fails, the unit stays as it is.
pub(crate) fn step(power: Power, flush: bool, unit: &LogicalUnit, turn: Turn<'_>) -> Step {
    match (*turn.stage, turn.last) {
        (Stage::Start, _) if flush && unit.facts().write_cache && unit.check_ready().is_ok() => {
            turn.ask(Stage::Flushing, Op::Flush, EVERYTHING)
        }
        (Stage::Start, _) | (_, Some(Ok(()))) => {
            unit.state().set_power(power);
            Step::GOOD
        }
        (_, Some(Err(error))) => Step::refuse(Sense::of_io_error(error, Op::Flush, 0, 0)),
        (_, None) => out_of_turn(),
    }
}
