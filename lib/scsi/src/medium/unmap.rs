//! UNMAP: a list of ranges whose content is no longer needed (SBC-3).

use bdev::Op;

use super::{Stage, Turn, out_of_turn};
use crate::execute::Step;
use crate::limits::UNMAP_DESCRIPTORS_MAX;
use crate::unit::LogicalUnit;
use crate::wire::cdb::{BlockRange, be16, be32, be64};
use crate::wire::sense::Sense;

const HEADER_BYTES: usize = 8;
const DESCRIPTOR_BYTES: usize = 16;
/// UNMAP BLOCK DESCRIPTOR DATA LENGTH in the header.
const DESCRIPTORS_LENGTH_AT: usize = 2;
/// NUMBER OF LOGICAL BLOCKS in a descriptor.
const BLOCKS_AT: usize = 8;

/// One turn: the whole list is checked before the first range is given up, then one range a turn.
pub(crate) fn step(list_bytes: u16, unit: &LogicalUnit, turn: Turn<'_>) -> Step {
    let list = &turn.buffer[..usize::from(list_bytes)];
    match (*turn.stage, turn.last) {
        (Stage::Start, _) => match check(list, unit) {
            Ok(()) => next(list_bytes, turn),
            Err(sense) => Step::refuse(sense),
        },
        (_, Some(Ok(()))) => next(list_bytes, turn),
        (_, Some(Err(error))) => Step::refuse(Sense::of_io_error(error, Op::Unmap, 0, 0)),
        (_, None) => out_of_turn(),
    }
}

fn check(list: &[u8], unit: &LogicalUnit) -> Result<(), Sense> {
    let descriptors = descriptors(list);
    if descriptors.len() > UNMAP_DESCRIPTORS_MAX as usize {
        return Err(Sense::invalid_field_in_parameter_list(DESCRIPTORS_LENGTH_AT as u16));
    }
    let mut sum = 0;
    for (index, range) in descriptors.enumerate() {
        unit.check_range(range)?;
        sum += range.blocks;
        if sum > u64::from(unit.facts().unmap_blocks_max()) {
            let at = HEADER_BYTES + index * DESCRIPTOR_BYTES + BLOCKS_AT;
            return Err(Sense::invalid_field_in_parameter_list(at as u16));
        }
    }
    Ok(())
}

/// The next range that is not empty; the cursor counts the descriptors that are done.
fn next(list_bytes: u16, turn: Turn<'_>) -> Step {
    let list = &turn.buffer[..usize::from(list_bytes)];
    let found = descriptors(list).enumerate().skip(*turn.cursor as usize).find(|(_, range)| range.blocks > 0);
    let Some((index, range)) = found else { return Step::GOOD };
    *turn.cursor = index as u64 + 1;
    turn.ask(Stage::Moving, Op::Unmap, range)
}

/// The descriptors that the list holds whole: an incomplete last one is ignored, as the standard has it.
fn descriptors(list: &[u8]) -> impl ExactSizeIterator<Item = BlockRange> {
    let list = list.get(..HEADER_BYTES).map_or(&[][..], |header| {
        let announced = usize::from(be16(header, DESCRIPTORS_LENGTH_AT));
        &list[HEADER_BYTES..][..announced.min(list.len() - HEADER_BYTES)]
    });
    list.chunks_exact(DESCRIPTOR_BYTES)
        .map(|bytes| BlockRange { lba: be64(bytes, 0), blocks: u64::from(be32(bytes, BLOCKS_AT)) })
}
