//! READ, WRITE, VERIFY, and what combines them, of blocks with metadata: as `read_write.rs` and `verify.rs`, with protection information made, checked,
//! compared and stripped (SBC-3).
//!
//! The buffer has room for whole blocks, with their information; data without it is at its start before it is spread and after
//! it is stripped.

use std::ops::Range;

use bdev::Op;

use super::{Stage, Turn, align, locate, out_of_turn, protected_same};
use crate::command::Compare;
use crate::execute::{Ending, Step};
use crate::limits::{PROTECTION_BYTES_MAX, SCRATCH_BYTES};
use crate::nexus::UnitAttention;
use crate::protection::{Checks, Information, Layout, Protect, ProtectionType};
use crate::unit::{Facts, LogicalUnit};
use crate::wire::cdb::BlockRange;
use crate::wire::sense::{Sense, SenseKey};

/// A command that moves blocks of a unit with metadata.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Protected {
    pub(crate) action: Action,
    pub(crate) range: BlockRange,
    pub(crate) protect: Protect,
    /// The unit's type when the command was parsed.
    pub(crate) kind: ProtectionType,
}

/// What it does; the fields are those of the command of the same name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    Read { fua: bool },
    Write { fua: bool },
    WriteAtomic { fua: bool },
    Verify { compare: Compare },
    WriteAndVerify { compare: Compare },
    WriteSame { data_out: bool, unmap: bool },
}

/// One turn.
pub(crate) fn step(command: &Protected, unit: &LogicalUnit, turn: Turn<'_>) -> Step {
    // The unit was formatted since the command was parsed: what it would make or check is of another type.
    if *turn.stage == Stage::Start && command.kind != unit.protection() {
        return Step::refuse(UnitAttention::CapacityChanged.sense());
    }
    match command.action {
        Action::Read { fua } => read(command, fua, unit, turn),
        Action::Write { fua } | Action::WriteAtomic { fua } => write(command, fua, unit, turn),
        Action::Verify { compare } => verify(command, compare, unit, turn),
        Action::WriteAndVerify { compare } => write_and_verify(command, compare, unit, turn),
        Action::WriteSame { data_out, unmap } => protected_same::step(command, data_out, unmap, unit, turn),
    }
}

impl Protected {
    pub(super) fn layout(&self, facts: &Facts) -> Layout {
        Layout::of(facts, self.kind)
    }

    /// Bytes of so many blocks as the initiator has them.
    fn sent_bytes(&self, blocks: u64, layout: &Layout) -> usize {
        let block = if self.protect.is_transferred() { layout.whole_bytes() } else { layout.data_bytes() };
        blocks as usize * block
    }

    /// Bytes that the initiator sends, that it gets, and of buffer.
    pub(crate) fn lengths(&self, facts: &Facts) -> (u32, u32, usize) {
        let layout = self.layout(facts);
        let whole = self.range.blocks as usize * layout.whole_bytes();
        match self.action {
            Action::Read { .. } => (0, self.sent_bytes(self.range.blocks, &layout) as u32, whole),
            Action::Write { .. } | Action::WriteAtomic { .. } => {
                (self.sent_bytes(self.range.blocks, &layout) as u32, 0, whole)
            }
            Action::Verify { compare } => {
                let sent = self.compared_bytes(compare, &layout);
                let piece = self.piece(0, &layout).blocks as usize * layout.whole_bytes();
                (sent as u32, 0, align(sent) + piece)
            }
            Action::WriteAndVerify { compare } => {
                let piece = self.piece(0, &layout).blocks as usize * layout.whole_bytes();
                let verified = align(self.compared_bytes(compare, &layout)) + piece;
                (self.sent_bytes(self.range.blocks, &layout) as u32, 0, whole.max(verified))
            }
            Action::WriteSame { data_out, .. } => {
                let sent = if data_out { self.sent_bytes(1, &layout) } else { 0 };
                (sent as u32, 0, self.piece(0, &layout).blocks as usize * layout.whole_bytes())
            }
        }
    }

    /// Bytes that VERIFY compares with.
    fn compared_bytes(&self, compare: Compare, layout: &Layout) -> usize {
        let blocks = match compare {
            Compare::Nothing => 0,
            Compare::All => self.range.blocks,
            Compare::OneBlock => self.range.blocks.min(1),
        };
        self.sent_bytes(blocks, layout)
    }

    /// The piece that starts after `done` blocks; none are left when it is empty.
    pub(super) fn piece(&self, done: u64, layout: &Layout) -> BlockRange {
        let most = (PIECE_BYTES / layout.whole_bytes()) as u64;
        BlockRange { lba: self.range.lba + done, blocks: (self.range.blocks - done).min(most) }
    }
}

/// Bytes of a piece: what the protection information of a largest transfer leaves of the scratch part.
const PIECE_BYTES: usize = SCRATCH_BYTES - PROTECTION_BYTES_MAX;

/// READ: a failed check delivers nothing.
fn read(command: &Protected, fua: bool, unit: &LogicalUnit, turn: Turn<'_>) -> Step {
    let (range, layout) = (command.range, command.layout(unit.facts()));
    let whole = 0..range.blocks as usize * layout.whole_bytes();
    match (*turn.stage, turn.last) {
        (Stage::Start, _) if range.blocks == 0 => Step::GOOD,
        (Stage::Start, _) if fua && unit.facts().write_cache => turn.ask(Stage::Flushing, Op::Flush, range),
        (Stage::Start, _) | (Stage::Flushing, Some(Ok(()))) => turn.ask_data(Stage::Moving, Op::Read, range, whole),
        (Stage::Moving | Stage::Again(_), Some(Ok(()))) => {
            let blocks = &mut turn.buffer[whole.clone()];
            layout.flip(blocks);
            if let Err(sense) = layout.check(blocks, range.lba, command.protect.on_medium(command.kind)) {
                return again(sense, range, whole, turn);
            }
            if !command.protect.is_transferred() {
                layout.strip(blocks, range.blocks as usize);
            }
            Step::Done(Ending::Good { data_in: 0..command.sent_bytes(range.blocks, &layout) })
        }
        (Stage::Flushing, Some(Err(error))) => {
            Step::refuse(Sense::of_io_error(error, Op::Flush, range.lba, range.blocks))
        }
        (_, Some(result)) => locate::step(range, 0, unit.facts(), result, turn),
        (_, None) => out_of_turn(),
    }
}

/// Times that blocks are read before they are taken for damaged.
const READS: u8 = 4;

/// What was read fails a check. It may be a block that another command writes at this moment: RAM and the page cache do not keep it whole for
/// who reads it then, as a disk does. So it is read again before anybody is told; Linux' initiator fails such a command at once.
#[cold]
fn again(sense: Sense, range: BlockRange, data: Range<usize>, turn: Turn<'_>) -> Step {
    let before = if let Stage::Again(before) = *turn.stage { before } else { 1 };
    match before < READS {
        true => turn.ask_data(Stage::Again(before + 1), Op::Read, range, data),
        false => Step::refuse(sense),
    }
}

/// WRITE: all of the data-out is checked before anything is written.
fn write(command: &Protected, fua: bool, unit: &LogicalUnit, turn: Turn<'_>) -> Step {
    let (range, layout) = (command.range, command.layout(unit.facts()));
    let whole = 0..range.blocks as usize * layout.whole_bytes();
    let op = Op::Write { fua };
    match (*turn.stage, turn.last) {
        (Stage::Start, _) if range.blocks == 0 => Step::GOOD,
        (Stage::Start, _) => match to_stored(command, &layout, &mut turn.buffer[whole.clone()]) {
            Ok(()) => turn.ask_data(Stage::Moving, op, range, whole),
            Err(sense) => Step::refuse(sense),
        },
        (_, Some(Ok(()))) => Step::GOOD,
        (_, Some(Err(error))) => Step::refuse(Sense::of_io_error(error, op, range.lba, range.blocks)),
        (_, None) => out_of_turn(),
    }
}

/// Makes of the data-out what is stored: checked if its information came with it, else with information of its own.
fn to_stored(command: &Protected, layout: &Layout, blocks: &mut [u8]) -> Result<(), Sense> {
    if command.protect.is_transferred() {
        layout.check(blocks, command.range.lba, command.protect.in_data_out(command.kind))?;
        layout.flip(blocks);
    } else {
        layout.spread(blocks, command.range.blocks as usize, command.range.lba);
    }
    Ok(())
}

/// WRITE AND VERIFY: written to the medium, made the data-out again, and then verified as VERIFY does with the same field.
fn write_and_verify(command: &Protected, compare: Compare, unit: &LogicalUnit, turn: Turn<'_>) -> Step {
    const WRITE: Op = Op::Write { fua: true };
    let (range, layout) = (command.range, command.layout(unit.facts()));
    let whole = 0..range.blocks as usize * layout.whole_bytes();
    match (*turn.stage, turn.last) {
        (Stage::Start, _) if range.blocks == 0 => Step::GOOD,
        (Stage::Start, _) => match to_stored(command, &layout, &mut turn.buffer[whole.clone()]) {
            Ok(()) => turn.ask_data(Stage::Writing, WRITE, range, whole),
            Err(sense) => Step::refuse(sense),
        },
        (Stage::Writing, Some(Ok(()))) => {
            match command.protect.is_transferred() {
                true => layout.flip(&mut turn.buffer[whole]),
                false => layout.strip(&mut turn.buffer[whole], range.blocks as usize),
            }
            next_piece(command, command.compared_bytes(compare, &layout), &layout, turn)
        }
        (Stage::Writing, Some(Err(error))) => Step::refuse(Sense::of_io_error(error, WRITE, range.lba, range.blocks)),
        _ => verify(command, compare, unit, turn),
    }
}

/// VERIFY: first the data-out by itself, then piece by piece what the medium holds.
fn verify(command: &Protected, compare: Compare, unit: &LogicalUnit, turn: Turn<'_>) -> Step {
    let (range, layout) = (command.range, command.layout(unit.facts()));
    let data_out = command.compared_bytes(compare, &layout);
    match (*turn.stage, turn.last) {
        (Stage::Start, _) if range.blocks == 0 => Step::GOOD,
        (Stage::Start, _) => {
            let checks = command.protect.in_data_out(command.kind);
            if let Err(sense) = layout.check(&turn.buffer[..data_out], range.lba, checks) {
                return Step::refuse(sense);
            }
            match unit.facts().write_cache {
                true => turn.ask(Stage::Flushing, Op::Flush, range),
                false => next_piece(command, data_out, &layout, turn),
            }
        }
        (Stage::Flushing, Some(Ok(()))) => next_piece(command, data_out, &layout, turn),
        (Stage::Flushing, Some(Err(error))) => {
            Step::refuse(Sense::of_io_error(error, Op::Flush, range.lba, range.blocks))
        }
        (Stage::Moving | Stage::Again(_), Some(Ok(()))) => {
            match verify_piece(command, compare, data_out, &layout, *turn.cursor, turn.buffer) {
                Ok(()) => {
                    *turn.cursor += command.piece(*turn.cursor, &layout).blocks;
                    next_piece(command, data_out, &layout, turn)
                }
                Err(sense) => {
                    let piece = command.piece(*turn.cursor, &layout);
                    again(sense, piece, piece_data(data_out, piece, &layout), turn)
                }
            }
        }
        (_, Some(result)) => {
            let piece = command.piece(*turn.cursor, &layout);
            locate::step(piece, piece_data(data_out, piece, &layout).start, unit.facts(), result, turn)
        }
        (_, None) => out_of_turn(),
    }
}

fn next_piece(command: &Protected, data_out: usize, layout: &Layout, turn: Turn<'_>) -> Step {
    let piece = command.piece(*turn.cursor, layout);
    match piece.blocks {
        0 => Step::GOOD,
        _ => turn.ask_data(Stage::Moving, Op::Read, piece, piece_data(data_out, piece, layout)),
    }
}

/// The part of the buffer that a piece is read to: behind the data-out.
fn piece_data(data_out: usize, piece: BlockRange, layout: &Layout) -> Range<usize> {
    let start = align(data_out);
    start..start + piece.blocks as usize * layout.whole_bytes()
}

fn verify_piece(
    command: &Protected,
    compare: Compare,
    data_out: usize,
    layout: &Layout,
    done: u64,
    buffer: &mut [u8],
) -> Result<(), Sense> {
    let piece = command.piece(done, layout);
    let data = piece_data(data_out, piece, layout);
    let (expected, found) = buffer.split_at_mut(data.start);
    let found = &mut found[..data.len()];
    layout.flip(found);
    let field = command.protect;
    let checks = match compare {
        Compare::Nothing => field.on_medium(command.kind),
        Compare::All | Compare::OneBlock => field.on_medium_beside_comparison(command.kind),
    };
    layout.check(found, piece.lba, checks)?;
    if compare == Compare::Nothing {
        return Ok(());
    }
    let sent_block = command.sent_bytes(1, layout);
    for (index, block) in (done..).zip(found.chunks_exact(layout.whole_bytes())) {
        let start = if compare == Compare::All { index as usize * sent_block } else { 0 };
        let sent = &expected[start..start + sent_block];
        let (data, information) = layout.split(block);
        if let Some(offset) = sent.iter().zip(data).position(|(a, b)| a != b) {
            // INFORMATION is the offset in the data-out, as for COMPARE AND WRITE (SBC-3).
            return Err(Sense::MISCOMPARE_DURING_VERIFY.with_information((start + offset) as u64));
        }
        if field.is_transferred() {
            let steps = if compare == Compare::OneBlock { index } else { 0 };
            let expected = counted_up(layout.split(sent).1, steps, command.kind);
            compare_information(expected, information, command, command.range.lba + index)?;
        }
    }
    Ok(())
}

/// The information of the block so many blocks behind one that stands for all (SBC-3, WRITE SAME): the reference tag of type 1 counts up, unless
/// it is all ones with the rest.
pub(super) fn counted_up(information: Information, blocks: u64, kind: ProtectionType) -> Information {
    match kind {
        ProtectionType::Type1 if information != Information::UNCHECKED => {
            Information { reference_tag: information.reference_tag.wrapping_add(blocks as u32), ..information }
        }
        _ => information,
    }
}

/// MISCOMPARE with the code of the field that differs; nothing of a block that is not to be checked is compared.
fn compare_information(expected: Information, found: Information, command: &Protected, lba: u64) -> Result<(), Sense> {
    let kind = command.kind;
    if !expected.is_checked(kind) || !found.is_checked(kind) {
        return Ok(());
    }
    let Checks { guard, reference_tag } = command.protect.compared(kind);
    let sense = match () {
        () if guard && expected.guard != found.guard => Sense::LOGICAL_BLOCK_GUARD_CHECK_FAILED,
        () if reference_tag && expected.reference_tag != found.reference_tag => {
            Sense::LOGICAL_BLOCK_REFERENCE_TAG_CHECK_FAILED
        }
        () => return Ok(()),
    };
    Err(Sense { key: SenseKey::Miscompare, ..sense.with_information(lba) })
}

#[cfg(test)]
#[path = "protected_tests.rs"]
mod tests;
