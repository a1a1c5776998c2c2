//! COMPARE AND WRITE: blocks are written if those on the medium are as expected (SBC-3). Nobody else may touch them meanwhile
//! ([`crate::Job::exclusive`]).
//!
//! ```text
//!   0                     n blocks               2n blocks   aligned              + one piece
//!   ├─ to compare with ───┼─ to write ───────────┤ …         ├─ what the medium holds ─┤
//! ```

use bdev::Op;

use super::{Stage, Turn, align, bytes, first_difference, locate, out_of_turn, piece};
use crate::execute::Step;
use crate::unit::{Facts, LogicalUnit};
use crate::wire::cdb::BlockRange;
use crate::wire::sense::Sense;

/// One turn.
pub(crate) fn step(range: BlockRange, fua: bool, unit: &LogicalUnit, turn: Turn<'_>) -> Step {
    let facts = unit.facts();
    match (*turn.stage, turn.last) {
        (Stage::Start, _) if range.blocks == 0 => Step::GOOD,
        (Stage::Start, _) => next_piece(range, fua, facts, turn),
        (Stage::Moving, Some(Ok(()))) => compare_piece(range, fua, facts, turn),
        (Stage::Writing, Some(Ok(()))) => Step::GOOD,
        (Stage::Writing, Some(Err(error))) => {
            Step::refuse(Sense::of_io_error(error, Op::Write { fua }, range.lba, range.blocks))
        }
        (_, Some(result)) => {
            locate::step(piece(range, *turn.cursor, facts), found_at(range, facts), facts, result, turn)
        }
        (_, None) => out_of_turn(),
    }
}

/// MAXIMUM COMPARE AND WRITE LENGTH: what its field holds, as far as both halves fit in a buffer.
pub(crate) fn blocks_max(facts: &Facts) -> u8 {
    u8::try_from(facts.transfer_blocks_max() / 2).unwrap_or(u8::MAX)
}

/// Bytes that the initiator sends.
pub(crate) fn data_out_bytes(range: BlockRange, facts: &Facts) -> usize {
    2 * bytes(range.blocks, facts)
}

/// Bytes of buffer: the data-out and the largest piece.
pub(crate) fn buffer_bytes(range: BlockRange, facts: &Facts) -> usize {
    found_at(range, facts) + bytes(piece(range, 0, facts).blocks, facts)
}

fn found_at(range: BlockRange, facts: &Facts) -> usize {
    align(data_out_bytes(range, facts))
}

fn next_piece(range: BlockRange, fua: bool, facts: &Facts, turn: Turn<'_>) -> Step {
    let piece = piece(range, *turn.cursor, facts);
    if piece.blocks == 0 {
        // To where a device takes data from.
        let half = bytes(range.blocks, facts);
        turn.buffer.copy_within(half..2 * half, 0);
        return turn.ask_data(Stage::Writing, Op::Write { fua }, range, 0..half);
    }
    let start = found_at(range, facts);
    turn.ask_data(Stage::Moving, Op::Read, piece, start..start + bytes(piece.blocks, facts))
}

fn compare_piece(range: BlockRange, fua: bool, facts: &Facts, turn: Turn<'_>) -> Step {
    let piece = piece(range, *turn.cursor, facts);
    let done = bytes(*turn.cursor, facts);
    let (data_out, found) = turn.buffer.split_at(found_at(range, facts));
    match first_difference(&data_out[done..], &found[..bytes(piece.blocks, facts)]) {
        // INFORMATION is the offset in the data-out.
        Some(offset) => Step::refuse(Sense::MISCOMPARE_DURING_VERIFY.with_information((done + offset) as u64)),
        None => {
            *turn.cursor += piece.blocks;
            next_piece(range, fua, facts, turn)
        }
    }
}
