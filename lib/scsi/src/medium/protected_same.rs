//! WRITE SAME of blocks with metadata: as `write_same.rs`, with protection information for each block (SBC-3).
//!
//! The device's own zeroes are data of zeroes with information of all ones. That is what WRITE SAME asks for with NDOB, with such a block
//! in the data-out, and wherever an UNMAP of zeroes may do. Every other block is written, piece by piece: type 1 numbers them.

use bdev::{IoError, Op};

use super::protected::{Protected, counted_up};
use super::{Stage, Turn, out_of_turn};
use crate::execute::Step;
use crate::protection::{Information, Layout, ProtectionType};
use crate::unit::LogicalUnit;
use crate::wire::sense::Sense;

const PIECE: Op = Op::Write { fua: false };

/// One turn. The block is at the buffer's start, unless there is no `data_out` (NDOB).
pub(super) fn step(command: &Protected, data_out: bool, unmap: bool, unit: &LogicalUnit, turn: Turn<'_>) -> Step {
    let (range, layout) = (command.range, command.layout(unit.facts()));
    let zeroes = Op::WriteZeroes { unmap, fua: false };
    match (*turn.stage, turn.last) {
        (Stage::Start, _) => {
            let block = &mut turn.buffer[..layout.whole_bytes()];
            match first_block(command, data_out, &layout, block) {
                Err(sense) => Step::refuse(sense),
                Ok(information) if is_zeroes(command, data_out, unmap, information, &block[..layout.data_bytes()]) => {
                    turn.ask(Stage::Native, zeroes, range)
                }
                Ok(_) => first_piece(command, &layout, turn),
            }
        }
        // What lies underneath may turn out to lack it: the zeroes are then written like any other block.
        (Stage::Native, Some(Err(IoError::Unsupported))) => first_piece(command, &layout, turn),
        (Stage::Native, Some(Err(error))) => Step::refuse(Sense::of_io_error(error, zeroes, range.lba, range.blocks)),
        (Stage::Native, Some(Ok(()))) => Step::GOOD,
        (Stage::Moving, Some(Ok(()))) => {
            let done = command.piece(*turn.cursor, &layout).blocks;
            *turn.cursor += done;
            count_up(command, &layout, done, turn.buffer);
            next_piece(command, &layout, turn)
        }
        (_, Some(Err(error))) => {
            let piece = command.piece(*turn.cursor, &layout);
            Step::refuse(Sense::of_io_error(error, PIECE, piece.lba, piece.blocks))
        }
        (_, _) => out_of_turn(),
    }
}

/// Makes the first block of the range, as it is stored, of what was sent; its information as it would be sent.
fn first_block(command: &Protected, data_out: bool, layout: &Layout, block: &mut [u8]) -> Result<Information, Sense> {
    if !data_out {
        block.fill(0);
        return Ok(Information::UNCHECKED);
    }
    if !command.protect.is_transferred() {
        layout.spread(block, 1, command.range.lba);
        return Ok(Information::generate(&block[..layout.data_bytes()], command.range.lba, command.kind));
    }
    layout.check(block, command.range.lba, command.protect.in_data_out(command.kind))?;
    let (_, information) = layout.split(block);
    layout.flip(block);
    Ok(information)
}

/// Whether the device's zeroes are what was asked for.
fn is_zeroes(command: &Protected, data_out: bool, unmap: bool, information: Information, data: &[u8]) -> bool {
    // An initiator that sends no information leaves open what unmapped blocks have.
    let any = unmap && !command.protect.is_transferred();
    !data_out || ((any || information == Information::UNCHECKED) && data.iter().all(|&byte| byte == 0))
}

/// Repeats the block over the buffer.
fn first_piece(command: &Protected, layout: &Layout, turn: Turn<'_>) -> Step {
    let len = command.piece(0, layout).blocks as usize * layout.whole_bytes();
    let (block, rest) = turn.buffer[..len].split_at_mut(layout.whole_bytes());
    for (index, copy) in (1..).zip(rest.chunks_exact_mut(layout.whole_bytes())) {
        copy.copy_from_slice(block);
        count_up(command, layout, index, copy);
    }
    next_piece(command, layout, turn)
}

/// Moves stored blocks on by so many addresses.
fn count_up(command: &Protected, layout: &Layout, by: u64, blocks: &mut [u8]) {
    if command.kind != ProtectionType::Type1 {
        return;
    }
    layout.flip(blocks);
    for block in blocks.chunks_exact_mut(layout.whole_bytes()) {
        let information = counted_up(layout.split(block).1, by, command.kind);
        block[layout.data_bytes()..].copy_from_slice(&information.to_bytes());
    }
    layout.flip(blocks);
}

fn next_piece(command: &Protected, layout: &Layout, turn: Turn<'_>) -> Step {
    let piece = command.piece(*turn.cursor, layout);
    match piece.blocks {
        0 => Step::GOOD,
        blocks => turn.ask_data(Stage::Moving, PIECE, piece, 0..blocks as usize * layout.whole_bytes()),
    }
}
