//! What FORMAT UNIT and SANITIZE do: the whole medium is written, once or several times.
//!
//! ```text
//!   0                   aligned    + one piece
//!   ├─ parameter list ──┤ …        ├─ the pattern, block after block ─┤
//! ```
//!
//! Once begun it runs to its end, whoever aborts it or goes away ([`crate::Job::runs_on`]): a medium that is half of each would be of no use to
//! anybody. Everybody is told how far it is ([`super::condition`]).

use std::ops::Range;

use bdev::{IoError, Op};

use super::condition::Undertaking;
use super::{Stage, Turn, align, bytes, out_of_turn, piece_blocks_max};
use crate::control::ControlRequest;
use crate::execute::Step;
use crate::limits::WRITE_SAME_BYTES_MAX;
use crate::protection::ProtectionType;
use crate::unit::{Facts, LogicalUnit};
use crate::wire::cdb::BlockRange;
use crate::wire::sense::Sense;

/// What is to be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Plan {
    /// IMMED: the answer comes first.
    pub(crate) immediate: bool,
    /// At least 1, at most 31.
    pub(crate) passes: u8,
    /// Every other pass has all bits of the pattern inverted, so that the last has them as they are.
    pub(crate) invert: bool,
    /// The type of protection that the unit has afterwards, if it is to be another; until then the blocks are valid under either.
    pub(crate) protection: Option<ProtectionType>,
    /// Where in the parameter list the pattern is that fills each block; `None`: zeroes, and no space of their own for the blocks.
    pub(crate) pattern: Option<Range<usize>>,
}

const ZEROES: Op = Op::WriteZeroes { unmap: true, fua: false };
const PATTERN: Op = Op::Write { fua: false };
/// Where the number of the pass stands in the cursor; below it is the block that comes next. No device has so many.
const PASS_AT: u32 = 56;

/// One turn. The plan is the same in each: it is made of the parameter list, which stays where it is.
pub(crate) fn step(
    undertaking: Undertaking,
    plan: Result<Plan, Sense>,
    list_bytes: u32,
    unit: &LogicalUnit,
    turn: Turn<'_>,
) -> Step {
    let plan = match plan {
        Ok(plan) => plan,
        Err(sense) => return Step::refuse(sense),
    };
    let condition = unit.condition();
    match (*turn.stage, turn.last) {
        (Stage::Start, _) => match condition.begin(undertaking) {
            Err(sense) => Step::refuse(sense),
            Ok(()) if plan.immediate => {
                *turn.stage = Stage::Answered;
                Step::Answer
            }
            Ok(()) => claim(turn),
        },
        // From now on everybody is refused; what others have at the device must end first, or it would be written on top.
        (Stage::Answered, _) => claim(turn),
        (Stage::Flushing, Some(Ok(()))) => match plan.protection {
            // The control plane keeps it over restarts, and then lets everybody use the medium.
            Some(protection) => Step::Control { request: ControlRequest::Formatted { protection }, parameters: 0..0 },
            None => {
                condition.end(undertaking, true);
                Step::GOOD
            }
        },
        // What lies underneath may turn out to lack it: the zeroes are then written.
        (Stage::Native, Some(Err(IoError::Unsupported))) => {
            (*turn.stage, *turn.cursor) = (Stage::Moving, 0);
            next(undertaking, &plan, list_bytes, unit, turn)
        }
        (Stage::Claiming, _) | (_, Some(Ok(()))) => next(undertaking, &plan, list_bytes, unit, turn),
        (_, Some(Err(_))) => {
            condition.end(undertaking, false);
            Step::refuse(failure(undertaking))
        }
        (_, None) => out_of_turn(),
    }
}

fn claim(turn: Turn<'_>) -> Step {
    *turn.stage = Stage::Claiming;
    Step::Claim
}

/// Bytes of buffer: the parameter list and a piece.
pub(crate) fn buffer_bytes(list_bytes: u32, facts: &Facts) -> usize {
    align(list_bytes as usize) + bytes(piece_blocks_max(facts), facts)
}

/// The piece at the cursor, which then stands behind it. The capacity may change meanwhile, so it is asked for each time.
fn next(undertaking: Undertaking, plan: &Plan, list_bytes: u32, unit: &LogicalUnit, turn: Turn<'_>) -> Step {
    let (facts, num_blocks) = (unit.facts(), unit.num_blocks());
    let (mut pass, mut lba) = ((*turn.cursor >> PASS_AT) as u8, *turn.cursor & ((1 << PASS_AT) - 1));
    if lba >= num_blocks && lba > 0 {
        (pass, lba) = (pass + 1, 0);
    }
    if pass >= plan.passes || num_blocks == 0 {
        return turn.ask(Stage::Flushing, Op::Flush, BlockRange { lba: 0, blocks: 0 });
    }
    let native = plan.pattern.is_none() && *turn.stage != Stage::Moving;
    let most = if native { WRITE_SAME_BYTES_MAX / u64::from(facts.block_size) } else { piece_blocks_max(facts) };
    let piece = BlockRange { lba, blocks: most.min(num_blocks - lba) };
    unit.condition().set_progress(undertaking, progress(plan.passes, pass, lba, num_blocks));
    *turn.cursor = u64::from(pass) << PASS_AT | (lba + piece.blocks);
    if native {
        return turn.ask(Stage::Native, ZEROES, piece);
    }
    let start = align(list_bytes as usize);
    if lba == 0 {
        let (list, room) = turn.buffer.split_at_mut(start);
        let pattern = plan.pattern.clone().map_or(&[0][..], |pattern| &list[pattern]);
        let inverted = plan.invert && (plan.passes - 1 - pass) % 2 == 1;
        fill(pattern, inverted, facts, room);
    }
    turn.ask_data(Stage::Moving, PATTERN, piece, start..start + bytes(piece.blocks, facts))
}

/// Repeats the pattern in every block, also in those that are not of the capacity yet. Protection information is all ones, which are zeroes as
/// they are stored (`protection.rs`): nothing of the block is checked until it is written.
fn fill(pattern: &[u8], inverted: bool, facts: &Facts, room: &mut [u8]) {
    let mask = if inverted { 0xff } else { 0x00 };
    for block in room.chunks_exact_mut(facts.stored_block_size as usize) {
        let (data, information) = block.split_at_mut(facts.block_size as usize);
        information.fill(0);
        data.iter_mut().zip(pattern.iter().cycle()).for_each(|(byte, pattern)| *byte = pattern ^ mask);
    }
}

/// In 65536ths.
fn progress(passes: u8, pass: u8, lba: u64, num_blocks: u64) -> u16 {
    let done = u128::from(pass) * u128::from(num_blocks) + u128::from(lba);
    let all = u128::from(passes) * u128::from(num_blocks);
    u16::try_from((done << 16) / all.max(1)).unwrap_or(u16::MAX)
}

fn failure(undertaking: Undertaking) -> Sense {
    match undertaking {
        Undertaking::Format => Sense::FORMAT_COMMAND_FAILED,
        Undertaking::Sanitize { .. } => Sense::SANITIZE_COMMAND_FAILED,
    }
}
