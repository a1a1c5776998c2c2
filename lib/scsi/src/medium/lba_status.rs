//! GET LBA STATUS: which blocks have space of their own (SBC-3).
//!
//! The device puts its descriptors where the answer has them, right behind the header:
//!
//! ```text
//!   0          HEADER_AT      DESCRIPTORS_AT
//!   ├─ unused ─┼── header ────┼─ descriptor ─┼─ … ─┼─ a descriptor of 0 blocks, or the buffer's end
//! ```

use bdev::Op;

use super::{Stage, Turn, out_of_turn};
use crate::execute::{Ending, Step};
use crate::limits::{BUFFER_ALIGN, LBA_STATUS_DESCRIPTORS_MAX};
use crate::unit::LogicalUnit;
use crate::wire::cdb::{BlockRange, be32, be64};
use crate::wire::sense::Sense;

const HEADER_BYTES: usize = 8;
const DESCRIPTORS_AT: usize = BUFFER_ALIGN;
const HEADER_AT: usize = DESCRIPTORS_AT - HEADER_BYTES;
const DESCRIPTOR_BYTES: usize = 16;
/// NUMBER OF LOGICAL BLOCKS in a descriptor.
const BLOCKS_AT: usize = 8;
/// PROVISIONING STATUS in the lower half of this byte; 0 is "mapped or unknown".
const STATUS_AT: usize = 12;

/// One turn. `range` may be longer than the unit. A unit that does not know what is allocated answers as a fully provisioned one does: all is
/// mapped.
pub(crate) fn step(range: BlockRange, allocation: u32, unit: &LogicalUnit, turn: Turn<'_>) -> Step {
    let lba = range.lba;
    let rest = unit.num_blocks().saturating_sub(lba).min(range.blocks);
    let data = DESCRIPTORS_AT..buffer_bytes(allocation);
    match (*turn.stage, turn.last) {
        (Stage::Start, _) if rest == 0 => Step::refuse(Sense::LBA_OUT_OF_RANGE),
        (Stage::Start, _) if unit.facts().lba_status => {
            turn.ask_data(Stage::Native, Op::LbaStatus, BlockRange { lba, blocks: rest }, data)
        }
        (Stage::Start, _) => {
            put_mapped(lba, rest, &mut turn.buffer[data]);
            answer(lba, rest, allocation, turn.buffer)
        }
        (_, Some(Ok(()))) => answer(lba, rest, allocation, turn.buffer),
        (_, Some(Err(error))) => Step::refuse(Sense::of_io_error(error, Op::LbaStatus, lba, rest)),
        (_, None) => out_of_turn(),
    }
}

/// Bytes of buffer: room for the descriptors that the initiator has room for, but at least one (SBC-3).
pub(crate) fn buffer_bytes(allocation: u32) -> usize {
    let wanted = (allocation as usize).saturating_sub(HEADER_BYTES) / DESCRIPTOR_BYTES;
    DESCRIPTORS_AT + wanted.clamp(1, LBA_STATUS_DESCRIPTORS_MAX) * DESCRIPTOR_BYTES
}

fn put_mapped(lba: u64, blocks: u64, list: &mut [u8]) {
    list.fill(0);
    list[..BLOCKS_AT].copy_from_slice(&lba.to_be_bytes());
    list[BLOCKS_AT..STATUS_AT].copy_from_slice(&u32::try_from(blocks).unwrap_or(u32::MAX).to_be_bytes());
}

/// PARAMETER DATA LENGTH tells of all descriptors, even of those that the allocation length cuts off.
fn answer(lba: u64, rest: u64, allocation: u32, buffer: &mut [u8]) -> Step {
    let list_bytes = check(lba, lba + rest, &mut buffer[DESCRIPTORS_AT..buffer_bytes(allocation)]);
    if list_bytes == 0 {
        return Step::refuse(Sense::INTERNAL_TARGET_FAILURE);
    }
    let header = &mut buffer[HEADER_AT..DESCRIPTORS_AT];
    header.fill(0);
    header[..4].copy_from_slice(&((HEADER_BYTES - 4 + list_bytes) as u32).to_be_bytes());
    let len = (HEADER_BYTES + list_bytes).min(allocation as usize);
    Step::Done(Ending::Good { data_in: HEADER_AT..HEADER_AT + len })
}

/// Length of the list: the descriptors that follow each other without a gap, from `lba` to `end` at most. The capacity may be another than
/// when the device was asked.
fn check(lba: u64, end: u64, list: &mut [u8]) -> usize {
    let mut next = lba;
    let mut list_bytes = 0;
    for descriptor in list.chunks_exact_mut(DESCRIPTOR_BYTES) {
        let blocks = u64::from(be32(descriptor, BLOCKS_AT)).min(end.saturating_sub(next));
        if be64(descriptor, 0) != next || blocks == 0 {
            break;
        }
        descriptor[BLOCKS_AT..STATUS_AT].copy_from_slice(&(blocks as u32).to_be_bytes());
        descriptor[STATUS_AT] &= 0x0f;
        descriptor[STATUS_AT + 1..].fill(0);
        next += blocks;
        list_bytes += DESCRIPTOR_BYTES;
    }
    list_bytes
}
