//! VERIFY, and WRITE AND VERIFY: read in pieces, and compare if asked to (SBC-3).
//!
//! The buffer holds the data-out at its start and one piece after it:
//!
//! ```text
//!   0            data-out, 0 if there is none      align(data-out)          + one piece
//!   ├─ expected ─────────────────────────────┤ … ├─ what the medium holds ─┤
//! ```

use bdev::Op;

use super::{Stage, Turn, align, bytes, first_difference, locate, out_of_turn, piece};
use crate::command::Compare;
use crate::execute::Step;
use crate::unit::{Facts, LogicalUnit};
use crate::wire::cdb::BlockRange;
use crate::wire::sense::Sense;

/// VERIFY. The blocks are verified on the medium, so a volatile cache is flushed before.
pub(crate) fn step(range: BlockRange, compare: Compare, unit: &LogicalUnit, turn: Turn<'_>) -> Step {
    let facts = unit.facts();
    match (*turn.stage, turn.last) {
        (Stage::Start, _) if range.blocks == 0 => Step::GOOD,
        (Stage::Start, _) if facts.write_cache => turn.ask(Stage::Flushing, Op::Flush, range),
        (Stage::Start, _) | (Stage::Flushing, Some(Ok(()))) => next_piece(range, compare, facts, turn),
        (Stage::Flushing, Some(Err(error))) => {
            Step::refuse(Sense::of_io_error(error, Op::Flush, range.lba, range.blocks))
        }
        _ => read(range, compare, facts, turn),
    }
}

/// WRITE AND VERIFY. What is written has to be on the medium before it is verified there.
pub(crate) fn write_first(range: BlockRange, compare: Compare, unit: &LogicalUnit, turn: Turn<'_>) -> Step {
    const WRITE: Op = Op::Write { fua: true };
    let facts = unit.facts();
    match (*turn.stage, turn.last) {
        (Stage::Start, _) if range.blocks == 0 => Step::GOOD,
        (Stage::Start, _) => turn.ask_data(Stage::Writing, WRITE, range, 0..bytes(range.blocks, facts)),
        (Stage::Writing, Some(Ok(()))) => next_piece(range, compare, facts, turn),
        (Stage::Writing, Some(Err(error))) => Step::refuse(Sense::of_io_error(error, WRITE, range.lba, range.blocks)),
        _ => read(range, compare, facts, turn),
    }
}

/// A piece was read, or could not be.
fn read(range: BlockRange, compare: Compare, facts: &Facts, turn: Turn<'_>) -> Step {
    let at = align(data_out_bytes(range, compare, facts));
    let piece = piece(range, *turn.cursor, facts);
    match (*turn.stage, turn.last) {
        (Stage::Moving, Some(Ok(()))) => checked_piece(range, compare, facts, turn),
        (_, Some(result)) => locate::step(piece, at, facts, result, turn),
        (_, None) => out_of_turn(),
    }
}

/// Bytes that the initiator sends for a comparison.
pub(crate) fn data_out_bytes(range: BlockRange, compare: Compare, facts: &Facts) -> usize {
    let blocks = match compare {
        Compare::Nothing => 0,
        Compare::All => range.blocks as usize,
        Compare::OneBlock => usize::from(range.blocks > 0),
    };
    blocks * facts.block_size as usize
}

/// Bytes of buffer: the data-out and the largest piece.
pub(crate) fn buffer_bytes(range: BlockRange, compare: Compare, facts: &Facts) -> usize {
    let piece = piece(range, 0, facts);
    align(data_out_bytes(range, compare, facts)) + piece.blocks as usize * facts.block_size as usize
}

/// As [`buffer_bytes`], for WRITE AND VERIFY. What was written is of no more use where nothing is compared.
pub(crate) fn write_first_bytes(range: BlockRange, compare: Compare, facts: &Facts) -> usize {
    buffer_bytes(range, compare, facts).max(bytes(range.blocks, facts))
}

fn next_piece(range: BlockRange, compare: Compare, facts: &Facts, turn: Turn<'_>) -> Step {
    let piece = piece(range, *turn.cursor, facts);
    if piece.blocks == 0 {
        return Step::GOOD;
    }
    let start = align(data_out_bytes(range, compare, facts));
    let data = start..start + bytes(piece.blocks, facts);
    turn.ask_data(Stage::Moving, Op::Read, piece, data)
}

fn checked_piece(range: BlockRange, compare: Compare, facts: &Facts, turn: Turn<'_>) -> Step {
    let piece = piece(range, *turn.cursor, facts);
    let block_bytes = facts.block_size as usize;
    let (expected, found) = turn.buffer.split_at(align(data_out_bytes(range, compare, facts)));
    let found = &found[..piece.blocks as usize * block_bytes];
    let done_bytes = *turn.cursor as usize * block_bytes;
    let miscompare = match compare {
        Compare::Nothing => None,
        Compare::All => first_difference(&expected[done_bytes..], found).map(|offset| done_bytes + offset),
        Compare::OneBlock => found.chunks(block_bytes).find_map(|block| first_difference(expected, block)),
    };
    match miscompare {
        // INFORMATION is the offset in the data-out, as for COMPARE AND WRITE (SBC-3).
        Some(offset) => Step::refuse(Sense::MISCOMPARE_DURING_VERIFY.with_information(offset as u64)),
        None => {
            *turn.cursor += piece.blocks;
            next_piece(range, compare, facts, turn)
        }
    }
}
