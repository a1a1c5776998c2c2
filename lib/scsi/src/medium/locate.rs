//! Finds the block that a failed read is about, for INFORMATION in the sense data (SBC-3: the address of the first block in error).
//!
//! Half of the blocks are read again, then half of those among which the first bad one is, and so on: eleven reads for the largest
//! transfer of 512-byte blocks, and none where nothing fails.

use bdev::{IoError, Op};

use super::{Stage, Turn, bytes};
use crate::execute::Step;
use crate::unit::Facts;
use crate::wire::cdb::BlockRange;
use crate::wire::sense::Sense;

/// A read of `range` failed with `result`, or part of it was read again for this. `at`: where its data are in the buffer.
#[cold]
pub(crate) fn step(range: BlockRange, at: usize, facts: &Facts, result: Result<(), IoError>, turn: Turn<'_>) -> Step {
    let (first, blocks) = match (*turn.stage, result) {
        (Stage::Locating { first, blocks }, Ok(())) => (first + half(blocks), blocks - half(blocks)),
        (Stage::Locating { first, blocks: 1 }, Err(IoError::Medium)) => return found(range, first),
        (Stage::Locating { first, blocks }, Err(IoError::Medium)) => (first, half(blocks)),
        (_, Err(IoError::Medium)) if range.blocks > 1 => (0, range.blocks as u32),
        (_, Err(error)) => return Step::refuse(Sense::of_io_error(error, Op::Read, range.lba, range.blocks)),
        (_, Ok(())) => (0, 0),
    };
    match blocks {
        // Every part can be read now: nobody knows which could not.
        0 => Step::refuse(Sense::UNRECOVERED_READ_ERROR),
        _ => {
            let part = BlockRange { lba: range.lba + u64::from(first), blocks: u64::from(half(blocks)) };
            let data = at..at + bytes(part.blocks, facts);
            turn.ask_data(Stage::Locating { first, blocks }, Op::Read, part, data)
        }
    }
}

fn found(range: BlockRange, first: u32) -> Step {
    Step::refuse(Sense::UNRECOVERED_READ_ERROR.with_information(range.lba + u64::from(first)))
}

fn half(blocks: u32) -> u32 {
    blocks.div_ceil(2)
}
