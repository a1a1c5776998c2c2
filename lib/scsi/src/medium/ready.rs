//! TEST UNIT READY of a unit whose device was found gone.

use bdev::{IoError, Op};

use super::{Stage, Turn, out_of_turn};
use crate::execute::Step;
use crate::unit::LogicalUnit;
use crate::wire::cdb::BlockRange;
use crate::wire::sense::Sense;

/// What is read to see whether the device is back.
const FIRST_BLOCK: BlockRange = BlockRange { lba: 0, blocks: 1 };

/// A unit is ready until an operation finds its device gone. From then on the device is asked: were the unit ready all the same,
/// multipathing would take up the path again and again, to have every command fail on it.
pub(crate) fn step(unit: &LogicalUnit, turn: Turn<'_>) -> Step {
    match (*turn.stage, turn.last) {
        (Stage::Start, _) => {
            turn.ask_data(Stage::Moving, Op::Read, FIRST_BLOCK, 0..unit.facts().stored_block_size as usize)
        }
        (_, Some(Err(error @ IoError::Gone))) => Step::refuse(Sense::of_io_error(error, Op::Read, 0, 1)),
        // The block may be unreadable, but something is there that says so.
        (_, Some(_)) => {
            unit.set_gone(false);
            Step::GOOD
        }
        (_, None) => out_of_turn(),
    }
}
