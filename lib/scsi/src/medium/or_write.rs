//! ORWRITE: sets bits in blocks, or clears bits and begins the next generation of the bitmap that they are (SBC-3). Nobody else may touch them
//! meanwhile ([`crate::Job::exclusive`]).
//!
//! The blocks are read in pieces behind the data-out, which is combined with them and written as a whole at the end.

use bdev::Op;

use super::generation::Verdict;
use super::{Stage, Turn, align, bytes, locate, out_of_turn, piece};
use crate::command::Bitmap;
use crate::execute::Step;
use crate::unit::{Facts, LogicalUnit};
use crate::wire::cdb::BlockRange;
use crate::wire::sense::Sense;

/// One turn.
pub(crate) fn step(range: BlockRange, fua: bool, bitmap: Bitmap, unit: &LogicalUnit, turn: Turn<'_>) -> Step {
    let facts = unit.facts();
    match (*turn.stage, turn.last) {
        (Stage::Start, _) => match verdict(bitmap, unit) {
            Verdict::Perform if range.blocks > 0 => next_piece(range, fua, facts, turn),
            Verdict::Perform => done(bitmap, unit),
            Verdict::Discard => Step::GOOD,
            Verdict::Mismatch => Step::refuse(Sense::ORWRITE_GENERATION_DOES_NOT_MATCH),
        },
        (Stage::Moving, Some(Ok(()))) => {
            let piece = piece(range, *turn.cursor, facts);
            let (data_out, found) = turn.buffer.split_at_mut(found_at(range, facts));
            let piece_bytes = bytes(piece.blocks, facts);
            let data_out = &mut data_out[bytes(*turn.cursor, facts)..][..piece_bytes];
            combine(bitmap, data_out, &found[..piece_bytes]);
            *turn.cursor += piece.blocks;
            next_piece(range, fua, facts, turn)
        }
        (Stage::Writing, Some(Ok(()))) => done(bitmap, unit),
        (Stage::Writing, Some(Err(error))) => {
            Step::refuse(Sense::of_io_error(error, Op::Write { fua }, range.lba, range.blocks))
        }
        (_, Some(result)) => {
            locate::step(piece(range, *turn.cursor, facts), found_at(range, facts), facts, result, turn)
        }
        (_, None) => out_of_turn(),
    }
}

/// Bytes of buffer: the data-out and the largest piece.
pub(crate) fn buffer_bytes(range: BlockRange, facts: &Facts) -> usize {
    found_at(range, facts) + bytes(piece(range, 0, facts).blocks, facts)
}

fn found_at(range: BlockRange, facts: &Facts) -> usize {
    align(bytes(range.blocks, facts))
}

fn verdict(bitmap: Bitmap, unit: &LogicalUnit) -> Verdict {
    let generations = unit.generations();
    match bitmap.change {
        None => generations.set(bitmap.expected),
        Some(_) if generations.is_current(bitmap.expected) => Verdict::Perform,
        Some(_) => Verdict::Mismatch,
    }
}

fn next_piece(range: BlockRange, fua: bool, facts: &Facts, turn: Turn<'_>) -> Step {
    let piece = piece(range, *turn.cursor, facts);
    if piece.blocks == 0 {
        return turn.ask_data(Stage::Writing, Op::Write { fua }, range, 0..bytes(range.blocks, facts));
    }
    let start = found_at(range, facts);
    turn.ask_data(Stage::Moving, Op::Read, piece, start..start + bytes(piece.blocks, facts))
}

fn combine(bitmap: Bitmap, data_out: &mut [u8], found: &[u8]) {
    let bytes = data_out.iter_mut().zip(found);
    match bitmap.change {
        None => bytes.for_each(|(out, found)| *out |= found),
        Some(_) => bytes.for_each(|(out, found)| *out &= found),
    }
}

fn done(bitmap: Bitmap, unit: &LogicalUnit) -> Step {
    if let Some(next) = bitmap.change {
        unit.generations().change(next);
    }
    Step::GOOD
}
