//! EXTENDED COPY(LID1): copies between units without the data leaving the target (SPC-4).
//!
//! The copy manager is the one initiator's: it finds the units that this initiator sees, and may do with them what it may. A copy
//! is a job like any other. It reads a piece from one unit's device and writes it to the other's, over and over, with one buffer:
//!
//! ```text
//!   0                list     align(list)                                                   buffer's end
//!   ├─ parameter list ┤ … ├─ destination residue, source residue ├ … ├─ what is read ─────┤
//!                         └──────────────── queue ──────────────────────────────────────┘
//! ```
//!
//! What was read joins the end of the queue, whole blocks are written from its front, and what then remains moves to the front.
//! Nothing ever remains unless block sizes differ.
//!
//! Reading order: `list.rs` (what is asked for), `plan.rs` (how much that is), this file, `sides.rs` (the units at both ends),
//! `results.rs` and `receive.rs` (what is told of it afterwards).

mod list;
mod plan;
pub(crate) mod receive;
pub(crate) mod results;
mod sides;

use bdev::{IoError, Op};

pub(crate) use self::list::HEADER_BYTES;
use self::list::{BLOCKS_AT, List, Segment};
use self::plan::{Plan, Residue};
use self::results::Running;
use self::sides::{Access, End, Failure};
use crate::execute::{Context, Peer, Step};
use crate::limits::{COPY_SEGMENT_BYTES_MAX, SCRATCH_BYTES};
use crate::medium::{align, out_of_turn};
use crate::unit::{Facts, LogicalUnit};
use crate::wire::cdb::BlockRange;
use crate::wire::sense::{CopyAborted, FieldPointer, Forwarded, Sense, SenseKey};

/// Most bytes of parameter list: they share the buffer with a piece of the largest transfer.
pub(crate) const LIST_BYTES_MAX: usize = SCRATCH_BYTES;

const _: () = assert!(HEADER_BYTES + list::DESCRIPTORS_BYTES_MAX <= LIST_BYTES_MAX);

/// A copy under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ExtendedCopy {
    list_bytes: u32,
    stage: Stage,
    segment: u16,
    source: Option<Peer>,
    destination: Option<Peer>,
    /// What was left over when the segment began.
    held: Residue,
    /// Blocks that were read and written for the segment.
    read: u32,
    written: u32,
    /// The zeroes are in the queue that fill the last block.
    padded: bool,
    /// Blocks of the operation under way.
    moving: u32,
}

/// How far a copy is.
///
/// | stage | waits for | goes on to |
/// |---|---|---|
/// | `Start` | nothing | `Reading`, or done |
/// | `Reading` | a piece of the source | `Writing`, or itself while the queue holds no whole block |
/// | `Writing` | whole blocks to be at the destination | `Reading`, the next segment, or done |
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Start,
    Reading,
    Writing,
}

/// What a copy works with in one turn.
struct Turn<'a> {
    context: &'a Context<'a>,
    list: List<'a>,
    /// The queue's room.
    queue: &'a mut [u8],
    /// Where that starts in the buffer.
    queue_at: usize,
    running: Option<&'a Running>,
}

/// A segment and what was worked out for it.
struct Task<'a> {
    segment: Segment,
    source: End<'a>,
    destination: End<'a>,
    plan: Plan,
}

impl ExtendedCopy {
    pub(crate) fn new(list_bytes: u32) -> ExtendedCopy {
        ExtendedCopy {
            list_bytes,
            stage: Stage::Start,
            segment: 0,
            source: None,
            destination: None,
            held: Residue::default(),
            read: 0,
            written: 0,
            padded: false,
            moving: 0,
        }
    }

    /// Bytes that the initiator sends.
    pub(crate) fn data_out_bytes(&self) -> u32 {
        self.list_bytes
    }

    /// Bytes of buffer: the list, and a piece as large as a transfer may be.
    pub(crate) fn buffer_bytes(&self, facts: &Facts) -> usize {
        match self.list_bytes {
            0 => 0,
            list_bytes => align(list_bytes as usize) + facts.transfer_bytes_max as usize,
        }
    }

    /// The unit whose device has just answered.
    pub(crate) fn unit_at_work<'a>(&self, context: &Context<'a>) -> Option<&'a LogicalUnit> {
        let on = if self.stage == Stage::Writing { self.destination } else { self.source };
        match on {
            Some(peer) => context.peers.unit(peer).map(|peer| peer.unit),
            None => context.unit,
        }
    }

    /// One turn. `running` is what others are told of it.
    pub(crate) fn step(
        &mut self,
        running: &mut Option<Running>,
        context: &Context<'_>,
        last: Option<Result<(), IoError>>,
        buffer: &mut [u8],
    ) -> Step {
        let queue_at = align(self.list_bytes as usize);
        if self.list_bytes == 0 {
            return Step::GOOD;
        }
        let (list, queue) = buffer.split_at_mut(queue_at);
        let list = &list[..self.list_bytes as usize];
        let list = match self.stage {
            Stage::Start => match begin(list, context) {
                Err(sense) => return Step::refuse(sense),
                Ok((list, record)) => {
                    *running = record;
                    list
                }
            },
            Stage::Reading | Stage::Writing => List::parsed(list),
        };
        let turn = Turn { context, list, queue, queue_at, running: running.as_ref() };
        let result = match (self.stage, last) {
            (Stage::Start, _) => self.next_segment(turn),
            (_, Some(result)) => self.moved(result, turn),
            (_, None) => return out_of_turn(),
        };
        match (result, &running) {
            (Ok(Some(io)), _) => io,
            (Ok(None), running) => {
                running.iter().for_each(|running| running.end(None));
                Step::GOOD
            }
            (Err(sense), running) => {
                running.iter().for_each(|running| running.end(Some(sense)));
                Step::refuse(sense)
            }
        }
    }

    /// Goes on with the first segment at or behind the present one that has anything to do; `None` when the last is done.
    fn next_segment(&mut self, mut turn: Turn<'_>) -> Result<Option<Step>, Sense> {
        while let Some(segment) = turn.list.segment(self.segment) {
            if let Some(running) = turn.running {
                running.segment();
            }
            let ends = sides::find(&segment, &turn.list, turn.context).map_err(|failure| self.aborted(failure, 0))?;
            (self.source, self.destination) = (ends.0.peer, ends.1.peer);
            let task = self.task(segment, ends.0, ends.1, &turn.list)?;
            if let Some(io) = self.next_piece(&task, &mut turn)? {
                return Ok(Some(io));
            }
            self.end_segment(&task);
        }
        Ok(None)
    }

    /// A device is done with a piece.
    fn moved(&mut self, result: Result<(), IoError>, mut turn: Turn<'_>) -> Result<Option<Step>, Sense> {
        let Some(segment) = turn.list.segment(self.segment) else { return Err(Sense::INTERNAL_TARGET_FAILURE) };
        let find = |id, peer| sides::again(id, peer, &turn.list, turn.context);
        let ends = (find(segment.source, self.source), find(segment.destination, self.destination));
        let (Some(source), Some(destination)) = ends else {
            return Err(self.aborted(Failure::NOT_REACHABLE, 0));
        };
        let task = self.task(segment, source, destination, &turn.list)?;
        let (end, op, range) = match self.stage {
            Stage::Writing => (&task.destination, write(&task.destination), self.write_range(&task)),
            Stage::Start | Stage::Reading => (&task.source, Op::Read, self.read_range(&task)),
        };
        if let Err(error) = result {
            let sense = Sense::of_io_error(error, op, range.lba, range.blocks);
            let failure = end.failed(Forwarded::check_condition(self.stage == Stage::Writing, &sense));
            return Err(self.aborted(failure, task.plan.writes));
        }
        match self.stage {
            Stage::Writing => self.wrote(&task, &mut turn),
            Stage::Start | Stage::Reading => self.has_read(&task, &mut turn),
        }
        match self.next_piece(&task, &mut turn)? {
            Some(io) => Ok(Some(io)),
            None => {
                self.end_segment(&task);
                self.next_segment(turn)
            }
        }
    }

    /// Works the segment out, and checks its ranges before anything of it is moved.
    fn task<'a>(
        &self,
        segment: Segment,
        source: End<'a>,
        destination: End<'a>,
        list: &List<'_>,
    ) -> Result<Task<'a>, Sense> {
        let last = usize::from(self.segment) + 1 == list.segments();
        let plan = plan::plan(&segment, source.side(), destination.side(), self.held, last);
        let plan = plan.map_err(|plan::Inexact| self.aborted(Failure::INEXACT_SEGMENT, 0))?;
        let bytes = plan.writes * u64::from(destination.unit.block_size());
        if self.read == 0 && self.written == 0 {
            if bytes > COPY_SEGMENT_BYTES_MAX {
                return Err(self.aborted(Failure::in_segment(BLOCKS_AT), plan.writes));
            }
            let reads = BlockRange { lba: segment.source_lba, blocks: plan.reads };
            let writes = BlockRange { lba: segment.destination_lba, blocks: plan.writes };
            for (end, range, by_destination) in [(&source, reads, false), (&destination, writes, true)] {
                if let Err(sense) = end.unit.check_range(range) {
                    let failure = end.failed(Forwarded::check_condition(by_destination, &sense));
                    return Err(self.aborted(failure, plan.writes));
                }
            }
        }
        Ok(Task { segment, source, destination, plan })
    }

    /// Asks for the next operation of the segment; `None` when there is nothing left to do.
    fn next_piece(&mut self, task: &Task<'_>, turn: &mut Turn<'_>) -> Result<Option<Step>, Sense> {
        let plan = &task.plan;
        let (reads_left, writes_left) = (plan.reads - u64::from(self.read), plan.writes - u64::from(self.written));
        if reads_left == 0 && plan.padding > 0 && !self.padded {
            self.pad(task, turn.queue);
        }
        let destination_block = u64::from(task.destination.unit.block_size());
        let writable = (self.queued(task) / destination_block).min(writes_left);
        if writable > 0 {
            self.check(&task.destination, Access::Write, plan)?;
            (self.stage, self.moving) = (Stage::Writing, writable as u32);
            let bytes = (writable * destination_block) as usize;
            let (range, data) = (self.write_range(task), turn.queue_at..turn.queue_at + bytes);
            return Ok(Some(io(self.destination, write(&task.destination), range, data)));
        }
        if reads_left == 0 {
            return Ok(None);
        }
        self.check(&task.source, Access::Read, plan)?;
        // Were it a destination that may not be written, reading would be in vain.
        self.check(&task.destination, Access::Write, plan)?;
        let source_block = u64::from(task.source.unit.block_size());
        let at = align(self.queued(task) as usize);
        let room = turn.queue.len().saturating_sub(at + plan.padding as usize) as u64;
        let blocks = (room / source_block).min(reads_left);
        if blocks == 0 {
            return Err(Sense::INTERNAL_TARGET_FAILURE);
        }
        (self.stage, self.moving) = (Stage::Reading, blocks as u32);
        let start = turn.queue_at + at;
        let data = start..start + (blocks * source_block) as usize;
        Ok(Some(io(self.source, Op::Read, self.read_range(task), data)))
    }

    /// What was read joins the queue.
    fn has_read(&mut self, task: &Task<'_>, turn: &mut Turn<'_>) {
        let queued = self.queued(task) as usize;
        let at = align(queued);
        if at != queued {
            let bytes = self.moving as usize * task.source.unit.block_size() as usize;
            turn.queue.copy_within(at..at + bytes, queued);
        }
        self.read += self.moving;
    }

    /// What was written leaves it.
    fn wrote(&mut self, task: &Task<'_>, turn: &mut Turn<'_>) {
        let queued = self.queued(task) as usize;
        let bytes = self.moving as usize * task.destination.unit.block_size() as usize;
        turn.queue.copy_within(bytes..queued, 0);
        self.written += self.moving;
        if let Some(running) = turn.running {
            running.wrote(bytes as u64);
        }
    }

    /// Fills the last block of the destination data, which lies in front of what is left over of the source's.
    fn pad(&mut self, task: &Task<'_>, queue: &mut [u8]) {
        let queued = self.queued(task) as usize;
        let (block, padding) = (task.destination.unit.block_size() as usize, task.plan.padding as usize);
        let left = block - padding;
        // Whole blocks were written before, as far as there were any.
        let whole = (task.plan.writes - 1 - u64::from(self.written)) as usize * block;
        queue.copy_within(whole + left..queued, whole + block);
        queue[whole + left..whole + block].fill(0);
        self.padded = true;
    }

    fn end_segment(&mut self, task: &Task<'_>) {
        self.held = task.plan.after;
        (self.read, self.written, self.padded) = (0, 0, false);
        self.segment += 1;
    }

    /// Bytes in the queue.
    fn queued(&self, task: &Task<'_>) -> u64 {
        let read = u64::from(self.read) * u64::from(task.source.unit.block_size());
        let written = u64::from(self.written) * u64::from(task.destination.unit.block_size());
        let padding = if self.padded { u64::from(task.plan.padding) } else { 0 };
        u64::from(self.held.source) + u64::from(self.held.destination) + read + padding - written
    }

    fn read_range(&self, task: &Task<'_>) -> BlockRange {
        self.piece(task, task.segment.source_lba, self.read, task.plan.reads)
    }

    fn write_range(&self, task: &Task<'_>) -> BlockRange {
        self.piece(task, task.segment.destination_lba, self.written, task.plan.writes)
    }

    /// The piece behind `done` blocks of `all`; or before them, where the copy goes backwards.
    fn piece(&self, task: &Task<'_>, lba: u64, done: u32, all: u64) -> BlockRange {
        let (done, blocks) = (u64::from(done), u64::from(self.moving));
        let offset = if self.is_backwards(task) { all - done - blocks } else { done };
        BlockRange { lba: lba + offset, blocks }
    }

    /// A range that is copied onto its own end is copied from the end, so that nothing is overwritten before it was read.
    fn is_backwards(&self, task: &Task<'_>) -> bool {
        let (from, to) = (task.segment.source_lba, task.segment.destination_lba);
        std::ptr::eq(task.source.unit, task.destination.unit)
            && self.held == Residue::default()
            && from < to
            && to < from + task.plan.reads
    }

    fn check(&self, end: &End<'_>, access: Access, plan: &Plan) -> Result<(), Sense> {
        match end.obstacle(access) {
            None => Ok(()),
            Some(forwarded) => Err(self.aborted(end.failed(forwarded), plan.writes)),
        }
    }

    /// The sense data of a copy that stops within a segment of so many writes: INFORMATION says how many are left if any was done.
    fn aborted(&self, failure: Failure, writes: u64) -> Sense {
        let Failure { code: (asc, ascq), at, in_segment, forwarded } = failure;
        let sense = Sense::new(SenseKey::CopyAborted, asc, ascq);
        Sense {
            information: (self.written > 0).then(|| writes - u64::from(self.written)),
            field: at.map(|byte| FieldPointer { in_cdb: false, byte, bit: None }),
            copy: Some(CopyAborted { segment: self.segment, in_segment, forwarded }),
            ..sense
        }
    }
}

/// The write of a piece; with nothing left in a volatile cache where WCE of the caching mode page is clear (SBC-3).
fn write(destination: &End<'_>) -> Op {
    destination.unit.heeding_cache(Op::Write { fua: false })
}

/// Checks the list, and enters the copy under its identifier, if it has one.
fn begin<'a>(list: &'a [u8], context: &Context<'_>) -> Result<(List<'a>, Option<Running>), Sense> {
    let list = List::parse(list)?;
    let running = match (list.id(), context.nexus) {
        (Some(id), Some(nexus)) => Some(nexus.copies().begin(id)?),
        _ => None,
    };
    Ok((list, running))
}

fn io(on: Option<Peer>, op: Op, range: BlockRange, data: std::ops::Range<usize>) -> Step {
    Step::Io { on, op, lba: range.lba, blocks: range.blocks, data }
}

#[cfg(test)]
#[path = "copy_tests.rs"]
mod tests;
