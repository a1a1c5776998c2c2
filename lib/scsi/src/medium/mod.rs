//! Commands that touch the medium: each a small state machine that asks for I/O.
//!
//! A command's function is called once for every turn: first with no result, then with the result of the I/O that it asked for
//! in its last turn. What it keeps in between is a [`Stage`] and a cursor.

pub(crate) mod cache;
pub(crate) mod compare_and_write;
pub(crate) mod condition;
pub(crate) mod format;
pub(crate) mod generation;
pub(crate) mod lba_status;
mod locate;
pub(crate) mod or_write;
pub(crate) mod overwrite;
pub(crate) mod power;
pub(crate) mod protected;
mod protected_same;
pub(crate) mod read_write;
pub(crate) mod ready;
pub(crate) mod sanitize;
pub(crate) mod self_test;
pub(crate) mod unmap;
pub(crate) mod verify;
pub(crate) mod write_same;

use bdev::{IoError, Op};

use crate::execute::Step;
use crate::limits::{BUFFER_ALIGN, SCRATCH_BYTES};
use crate::unit::{Facts, LogicalUnit};
use crate::wire::cdb::BlockRange;
use crate::wire::sense::Sense;

/// How far a command is.
///
/// | stage | waits for | goes on to |
/// |---|---|---|
/// | `Start` | nothing | any other, or done |
/// | `Answered` | nothing: its initiator got GOOD | any later one |
/// | `Claiming` | its blocks to be its own ([`crate::Job::exclusive`]) | `Native`, `Moving` |
/// | `Flushing` | the cache to reach the medium | `Moving`; `Claiming` if nobody may write until it is done |
/// | `Native` | the device's own form of the command | done; `Moving` if the device turns out not to have it |
/// | `Moving` | a piece of data or one descriptor | itself for the next one, `Again`, `Writing`, `Flushing`, or done |
/// | `Again` | the same piece, once more, as a check of it failed | as `Moving` |
/// | `Writing` | the data-out to be written as a whole | `Moving`, or done |
/// | `Locating` | blocks among which is one that cannot be read | itself for fewer of them, or done |
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    Start,
    Answered,
    Claiming,
    Flushing,
    Native,
    Moving,
    /// With the number of times that the piece was read before.
    Again(u8),
    Writing,
    /// The block at fault is among `blocks` from `first` on, counted from where the failed piece begins.
    Locating {
        first: u32,
        blocks: u32,
    },
}

/// One call of [`crate::Job::step`]: what came in, and the state to update.
pub(crate) struct Turn<'a> {
    pub(crate) last: Option<Result<(), IoError>>,
    pub(crate) cursor: &'a mut u64,
    pub(crate) stage: &'a mut Stage,
    pub(crate) buffer: &'a mut [u8],
}

impl Turn<'_> {
    /// Asks for an operation without data and notes what it was for.
    #[inline]
    pub(crate) fn ask(self, stage: Stage, op: Op, range: BlockRange) -> Step {
        self.ask_data(stage, op, range, 0..0)
    }

    /// Asks for an operation and notes what it was for.
    #[inline]
    pub(crate) fn ask_data(self, stage: Stage, op: Op, range: BlockRange, data: std::ops::Range<usize>) -> Step {
        *self.stage = stage;
        Step::Io { on: None, op, lba: range.lba, blocks: range.blocks, data }
    }
}

/// Runs a medium command on the context's unit. The unit may have been taken from the initiator while the command was
/// under way: then it is not there any more.
#[inline]
pub(crate) fn on_unit(context: &crate::Context<'_>, run: impl FnOnce(&LogicalUnit) -> Step) -> Step {
    context.unit.map_or(Step::refuse(Sense::LOGICAL_UNIT_NOT_SUPPORTED), run)
}

/// The command was stepped without the result it waits for. That would be a bug of the caller, and the data's state
/// is unknown, so the command fails.
pub(crate) fn out_of_turn() -> Step {
    debug_assert!(false, "a job was stepped without the result of its last I/O");
    Step::refuse(Sense::INTERNAL_TARGET_FAILURE)
}

/// Most blocks of one piece in the scratch part of a buffer, as they are stored.
pub(crate) fn piece_blocks_max(facts: &Facts) -> u64 {
    SCRATCH_BYTES as u64 / u64::from(facts.stored_block_size)
}

/// The piece of a range that starts after `done` blocks; none are left when it is empty.
pub(crate) fn piece(range: BlockRange, done: u64, facts: &Facts) -> BlockRange {
    let rest = range.blocks.saturating_sub(done);
    BlockRange { lba: range.lba.saturating_add(done), blocks: rest.min(piece_blocks_max(facts)) }
}

/// The bytes of that many blocks, which are in a buffer as they are stored.
#[inline]
pub(crate) fn bytes(blocks: u64, facts: &Facts) -> usize {
    blocks as usize * facts.stored_block_size as usize
}

/// Where `found` first differs from as many bytes of `expected`.
pub(crate) fn first_difference(expected: &[u8], found: &[u8]) -> Option<usize> {
    let expected = &expected[..found.len()];
    // Slices compare fast; the place is looked for only when it exists.
    if expected == found { None } else { expected.iter().zip(found).position(|(a, b)| a != b) }
}

/// The next aligned place in a buffer.
pub(crate) fn align(offset: usize) -> usize {
    offset.next_multiple_of(BUFFER_ALIGN)
}

#[cfg(test)]
#[path = "medium_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "update_tests.rs"]
mod update_tests;

#[cfg(test)]
#[path = "overwrite_tests.rs"]
mod overwrite_tests;
