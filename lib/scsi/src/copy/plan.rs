//! How many blocks a segment reads and writes, and what is left over (SPC-4: EXTENDED COPY command processing, the table of PAD
//! and CAT bits).
//!
//! Only whole blocks are read and written. Where the block sizes differ, bytes may be left over: those that were read and not
//! processed (source), and those that were processed and not written (destination). Data is processed without change, so both
//! wait in one queue, destination's first.

use super::list::Segment;

/// Bytes that are left over from the segments before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Residue {
    pub(super) source: u32,
    pub(super) destination: u32,
}

/// What is known of one side of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Side {
    pub(super) block_size: u32,
    /// The PAD bit of its CSCD descriptor.
    pub(super) pad: bool,
}

/// What a segment comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Plan {
    /// Blocks to be read.
    pub(super) reads: u64,
    /// Blocks to be written, with one that is padded.
    pub(super) writes: u64,
    /// Zeroes behind the destination data, which fill its last block.
    pub(super) padding: u32,
    /// What the next segment starts with.
    pub(super) after: Residue,
}

/// UNEXPECTED INEXACT SEGMENT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Inexact;

/// Works a segment out. `last`: nothing comes behind it that could take what is left over.
pub(super) fn plan(
    segment: &Segment,
    source: Side,
    destination: Side,
    held: Residue,
    last: bool,
) -> Result<Plan, Inexact> {
    let (source_block, destination_block) = (u64::from(source.block_size), u64::from(destination.block_size));
    let (held_source, held_destination) = (u64::from(held.source), u64::from(held.destination));
    let count = u64::from(segment.blocks);
    let processed = match segment.destination_count {
        false => count * source_block,
        true => (count * destination_block).saturating_sub(held_destination),
    };
    let reads = processed.saturating_sub(held_source).div_ceil(source_block);
    let ready = held_destination + processed;
    let writes = match segment.destination_count {
        false => ready / destination_block,
        true => count,
    };
    // Each is less than a block, or was before.
    let left = Residue {
        source: (held_source + reads * source_block - processed) as u32,
        destination: (ready - writes * destination_block) as u32,
    };
    let exact = Plan { reads, writes, padding: 0, after: Residue::default() };
    let kept = |residue: Residue| if last { Residue::default() } else { residue };
    match (segment.concatenate, source.pad, destination.pad) {
        _ if left == Residue::default() => Ok(exact),
        (true, _, _) => Ok(Plan { after: kept(left), ..exact }),
        (false, _, true) if segment.destination_count && left.destination > 0 => Err(Inexact),
        (false, discard, true) => {
            let padding = if left.destination > 0 { destination.block_size - left.destination } else { 0 };
            let after = kept(Residue { source: if discard { 0 } else { left.source }, destination: 0 });
            Ok(Plan { writes: writes + u64::from(padding > 0), padding, after, ..exact })
        }
        (false, true, false) => Ok(exact),
        (false, false, false) => Err(Inexact),
    }
}
