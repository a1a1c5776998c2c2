//! VERIFY: reads in pieces, and compares if asked to (SBC-3).
//!
//! The buffer holds the data-out at its start and one piece after it:
//!
//! ```text
//!   0            data-out, 0 if there is none      align(data-out)          + one piece
//!   ├─ expected ─────────────────────────────┤ … ├─ what the medium holds ─┤
//! ```

use bdev::Op;

use super::{Stage, Turn, align, out_of_turn, piece_blocks_max};
use crate::command::Compare;
use crate::execute::Step;
use crate::unit::{Facts, LogicalUnit};
use crate::wire::cdb::BlockRange;
use crate::wire::sense::Sense;

/// The blocks are verified on the medium, so a volatile cache is flushed before.
pub(crate) fn step(range: BlockRange, compare: Compare, unit: &LogicalUnit, turn: Turn<'_>) -> Step {
    let facts = unit.facts();
    match (*turn.stage, turn.last) {
        (Stage::Start, _) if range.blocks == 0 => Step::GOOD,
        (Stage::Start, _) if facts.write_cache => turn.ask(Stage::Flushing, Op::Flush, range),
        (Stage::Start, _) | (Stage::Flushing, Some(Ok(()))) => next_piece(range, compare, facts, turn),
        (Stage::Flushing, Some(Err(error))) => {
            Step::refuse(Sense::of_io_error(error, Op::Flush, range.lba, range.blocks))
        }
        (_, Some(Ok(()))) => checked_piece(range, compare, facts, turn),
        (_, Some(Err(error))) => {
            let piece = piece(range, *turn.cursor, facts);
            Step::refuse(Sense::of_io_error(error, Op::Read, piece.lba, piece.blocks))
        }
        (_, None) => out_of_turn(),
    }
}

/// Bytes that the initiator sends.
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

fn next_piece(range: BlockRange, compare: Compare, facts: &Facts, turn: Turn<'_>) -> Step {
    let piece = piece(range, *turn.cursor, facts);
    if piece.blocks == 0 {
        return Step::GOOD;
    }
    let start = align(data_out_bytes(range, compare, facts));
    let data = start..start + piece.blocks as usize * facts.block_size as usize;
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

/// The piece that starts after `done` blocks; none are left when it is empty.
fn piece(range: BlockRange, done: u64, facts: &Facts) -> BlockRange {
    BlockRange { lba: range.lba + done, blocks: (range.blocks - done).min(piece_blocks_max(facts)) }
}

/// Where `found` first differs from as many bytes of `expected`.
fn first_difference(expected: &[u8], found: &[u8]) -> Option<usize> {
    let expected = &expected[..found.len()];
    // Slices compare fast; the place is looked for only when it exists.
    if expected == found { None } else { expected.iter().zip(found).position(|(a, b)| a != b) }
}
