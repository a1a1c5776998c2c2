//! The self-tests of SEND DIAGNOSTIC (SPC-4): blocks all over the medium are read, a few or more of them.
//!
//! So little is read that a test in the background is over before its command is answered: none is ever in progress.

use bdev::{IoError, Op};

use super::{Stage, Turn, out_of_turn};
use crate::control::ControlRequest;
use crate::execute::Step;
use crate::state::SelfTestFailure;
use crate::unit::LogicalUnit;
use crate::wire::cdb::BlockRange;
use crate::wire::sense::Sense;

const BACKGROUND_EXTENDED: u8 = 0b010;
const FOREGROUND_EXTENDED: u8 = 0b110;

/// Whether a SELF-TEST CODE asks for a test in the background.
pub(crate) fn is_background(code: u8) -> bool {
    code & 0b100 == 0
}

/// Reads from the first block to the last, at equal distances. `code` is SELF-TEST CODE, or `None` for the default self-test, which
/// is in no log.
pub(crate) fn step(code: Option<u8>, unit: &LogicalUnit, turn: Turn<'_>) -> Step {
    let reads = match code {
        Some(BACKGROUND_EXTENDED | FOREGROUND_EXTENDED) => 256,
        _ => 16,
    };
    match (*turn.stage, turn.last) {
        (Stage::Start, _) => (),
        (Stage::Moving, Some(Ok(()))) => *turn.cursor += 1,
        (Stage::Moving, Some(Err(error))) => return done(code, Some((error, place(*turn.cursor, reads, unit)))),
        _ => return out_of_turn(),
    }
    if *turn.cursor == reads {
        return done(code, None);
    }
    let range = BlockRange { lba: place(*turn.cursor, reads, unit), blocks: 1 };
    turn.ask_data(Stage::Moving, Op::Read, range, 0..unit.facts().stored_block_size as usize)
}

fn place(index: u64, reads: u64, unit: &LogicalUnit) -> u64 {
    let last = unit.num_blocks().saturating_sub(1);
    (u128::from(last) * u128::from(index) / u128::from(reads - 1)) as u64
}

fn done(code: Option<u8>, failed: Option<(IoError, u64)>) -> Step {
    let failure = failed.map(|(error, lba)| {
        let sense = Sense::of_io_error(error, Op::Read, lba, 1);
        SelfTestFailure { lba, sense: [sense.key as u8, sense.asc, sense.ascq] }
    });
    match code {
        Some(code) => Step::Control { request: ControlRequest::SelfTested { code, failure }, parameters: 0..0 },
        None if failure.is_some() => Step::refuse(Sense::FAILED_SELF_TEST),
        None => Step::GOOD,
    }
}
