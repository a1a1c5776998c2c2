//! WRITE SAME: one block for a whole range (SBC-3).
//!
//! Zeroes are one operation of the device, and may give the space back where UNMAP allows. Any other block is repeated through the buffer and written piece by piece.

use bdev::{IoError, Op};

use super::{Stage, Turn, out_of_turn, piece};
use crate::execute::Step;
use crate::unit::{Facts, LogicalUnit};
use crate::wire::cdb::BlockRange;
use crate::wire::sense::Sense;

const PIECE: Op = Op::Write { fua: false };

/// One turn. The block is at the buffer's start, unless there is no `data_out` (NDOB), which means zeroes.
pub(crate) fn step(range: BlockRange, data_out: bool, unmap: bool, unit: &LogicalUnit, turn: Turn<'_>) -> Step {
    let facts = unit.facts();
    let zeroes = Op::WriteZeroes { unmap, fua: false };
    match (*turn.stage, turn.last) {
        (Stage::Start, _) => {
            let block = &mut turn.buffer[..facts.block_size as usize];
            if !data_out {
                block.fill(0);
            }
            match block.iter().all(|&byte| byte == 0) {
                true => turn.ask(Stage::Native, zeroes, range),
                false => first_piece(range, facts, turn),
            }
        }
        // What lies underneath may turn out to lack it: the zeroes are then written like any other block.
        (Stage::Native, Some(Err(IoError::Unsupported))) => first_piece(range, facts, turn),
        (Stage::Native, Some(Err(error))) => Step::refuse(Sense::of_io_error(error, zeroes, range.lba, range.blocks)),
        (Stage::Native, Some(Ok(()))) => Step::GOOD,
        (Stage::Moving, Some(Ok(()))) => {
            *turn.cursor += piece(range, *turn.cursor, facts).blocks;
            next_piece(range, facts, turn)
        }
        (_, Some(Err(error))) => {
            let piece = piece(range, *turn.cursor, facts);
            Step::refuse(Sense::of_io_error(error, PIECE, piece.lba, piece.blocks))
        }
        (_, _) => out_of_turn(),
    }
}

/// Bytes of buffer: the block, and room to repeat it.
pub(crate) fn buffer_bytes(range: BlockRange, facts: &Facts) -> usize {
    piece(range, 0, facts).blocks as usize * facts.block_size as usize
}

/// Repeats the block over the buffer, once for all pieces.
fn first_piece(range: BlockRange, facts: &Facts, turn: Turn<'_>) -> Step {
    let (block, rest) = turn.buffer[..buffer_bytes(range, facts)].split_at_mut(facts.block_size as usize);
    rest.chunks_mut(block.len()).for_each(|copy| copy.copy_from_slice(block));
    next_piece(range, facts, turn)
}

fn next_piece(range: BlockRange, facts: &Facts, turn: Turn<'_>) -> Step {
    let piece = piece(range, *turn.cursor, facts);
    match piece.blocks {
        0 => Step::GOOD,
        blocks => turn.ask_data(Stage::Moving, PIECE, piece, 0..blocks as usize * facts.block_size as usize),
    }
}
