//! Carries a command out: [`begin`] decides, [`Job::step`] asks for the I/O it needs until it is done.

mod express;

use std::ops::Range;

use bdev::{IoError, Op};

use crate::answer::diagnostic;
use crate::command::{self, Bitmap, Command};
use crate::control::ControlRequest;
use crate::copy::results::Running;
use crate::limits::SCRATCH_BYTES;
use crate::lun::{Address, Addressing, Lun};
use crate::medium::protected::{Action, Protected};
use crate::medium::{
    self, cache, compare_and_write, format, lba_status, on_unit, or_write, power, protected, read_write, ready,
    sanitize, self_test, unmap, verify, write_same,
};
use crate::nexus::{UnitAttention, UnitNexus};
use crate::state::Failed;
use crate::task_set::AttentionInterlock;
use crate::through;
use crate::unit::{LogicalUnit, Way};
use crate::wire::cdb::opcode;
use crate::wire::sense::{ScsiStatus, Sense};
use crate::{access, answer};

pub use express::Express;

/// Names of the two ports of a nexus (SRP, SPC-4 TransportID).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PortIds {
    /// SRP target port identifier: identifier extension, then I/O controller GUID.
    pub target_port_id: [u8; 16],
    /// SRP initiator port identifier.
    pub initiator_port_id: [u8; 16],
    /// Relative target port identifier, from 1.
    pub relative_target_port: u16,
    /// The form of LUNs that REPORT LUNS lists.
    pub addressing: Addressing,
}

/// Everything that a command may look at besides its CDB.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The unit it is addressed to; `None` if there is none.
    pub unit: Option<&'a LogicalUnit>,
    /// What its LUN field says; decides what is answered where there is no unit.
    pub address: Address,
    /// This initiator's state at the unit.
    pub nexus: Option<&'a UnitNexus>,
    /// The units that REPORT LUNS shows to this initiator, in ascending order.
    pub luns: &'a [Lun],
    /// Both ports.
    pub ports: &'a PortIds,
    /// The other units that it can name by a designator.
    pub peers: &'a dyn Peers,
    /// The initiator's LUN map forbids writes.
    pub read_only: bool,
    /// Bytes of the buffer that the initiator takes data-out from, 0 if there is none. Only [`begin`] looks at it, and only for
    /// FORMAT UNIT and for a device that is a SCSI device itself.
    pub data_out_len: u32,
    /// Bytes of the buffer that it wants data-in to be put to, likewise for such a device.
    pub data_in_len: u32,
}

/// The units that an initiator sees, for commands that name others than the one they are addressed to.
pub trait Peers {
    /// The unit that has this designation descriptor (SPC-4: code set, type and designator as in VPD page 83h, without the
    /// header of 4 bytes), if the initiator sees it.
    fn find(&self, descriptor: &Designation<'_>) -> Option<Peer>;

    /// A unit that was found before; `None` if it was taken away meanwhile.
    fn unit(&self, peer: Peer) -> Option<PeerUnit<'_>>;

    /// Forgets a condition at all of them, as REPORT LUNS does (SPC-4).
    fn clear(&self, _: UnitAttention) {}
}

/// A unit among [`Peers`]; good for the life of one command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer(pub u16);

/// One of [`Peers`], as its initiator sees it.
#[derive(Clone, Copy)]
pub struct PeerUnit<'a> {
    /// The unit.
    pub unit: &'a LogicalUnit,
    /// The initiator's state there.
    pub nexus: &'a UnitNexus,
    /// The initiator's LUN map forbids writes.
    pub read_only: bool,
}

/// What a designation descriptor says (SPC-4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Designation<'a> {
    /// DESIGNATOR TYPE, 0 to 15.
    pub kind: u8,
    /// DESIGNATOR.
    pub designator: &'a [u8],
}

/// Nobody to be named.
#[derive(Clone, Copy, Debug)]
pub struct NoPeers;

impl Peers for NoPeers {
    fn find(&self, _: &Designation<'_>) -> Option<Peer> {
        None
    }

    fn unit(&self, _: Peer) -> Option<PeerUnit<'_>> {
        None
    }
}

/// How a command ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// GOOD, with this part of the buffer for the initiator (empty if there is none).
    Good {
        /// Bytes of the buffer; never more than the CDB allows.
        data_in: Range<usize>,
    },
    /// CHECK CONDITION with sense data. Nothing is delivered.
    CheckCondition(Sense),
    /// Any other status. Nothing is delivered.
    Status(ScsiStatus),
    /// As a SCSI device itself ended the command: data and sense may come together.
    Device {
        /// SCSI status (SAM-5).
        status: u8,
        /// The part of the buffer that is for the initiator; never more than its own.
        data_in: Range<usize>,
        /// Bytes of data-out that the device took.
        taken: u32,
        /// The part of the buffer that is sense data, as the device made it.
        sense: Range<usize>,
        /// What all other initiators have to be told now.
        changed: Option<UnitAttention>,
    },
}

/// What a job wants next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Do this on a device, then call [`Job::step`] with its result.
    Io {
        /// Whose device; `None`: that of the unit which the command is addressed to.
        on: Option<Peer>,
        /// Operation.
        op: Op,
        /// First block.
        lba: u64,
        /// Number of blocks; 0 only for a flush of everything.
        blocks: u64,
        /// The part of the buffer that `Read` and `Write` move, `blocks` long, or that `LbaStatus` fills; it starts at a multiple
        /// of [`crate::limits::BUFFER_ALIGN`]. The whole buffer for `Scsi`. Empty for the
        /// other operations.
        data: Range<usize>,
    },
    /// Answer GOOD now, then call [`Job::step`] without a result: the rest is done with nobody waiting for it, and ends without
    /// an answer ([`Job::deferred_error`]). Who cannot answer now may do so at the end.
    Answer,
    /// Wait until nobody else touches the blocks of [`Job::exclusive`], then call [`Job::step`] without a result.
    Claim,
    /// Only the control plane can do it: give it these parameters, and end the command with its [`crate::ControlReply`], whose data
    /// is put to the start of the buffer. The job is not stepped again.
    Control {
        /// What to do.
        request: ControlRequest,
        /// The part of the buffer that holds the parameter list.
        parameters: Range<usize>,
    },
    /// Answer.
    Done(Ending),
}

/// One command under way; see the crate's text for its life.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Job {
    command: Command,
    /// Blocks, or descriptors, that are done; its meaning is the medium command's.
    cursor: u64,
    stage: medium::Stage,
    opcode: u8,
    lengths: Lengths,
    /// What others are told of a third-party copy.
    copy: Option<Running>,
}

/// Bytes a command moves and needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Lengths {
    data_out: u32,
    data_in: u32,
    buffer: u32,
}

const _: () = assert!(size_of::<Job>() <= 96);

/// Decides what a command is. `cdb` may hold anything, of any length; bytes after the command's own are ignored.
///
/// # Errors
/// The command is refused and was not started: answer it with that ending.
#[inline]
pub fn begin(cdb: &[u8], context: &Context<'_>) -> Result<Job, Ending> {
    if let Some(nexus) = context.nexus.filter(|nexus| context.unit.is_some() && !nexus.is_clear()) {
        // SAM-5, Status precedence: unit attentions of resets, then RESERVATION CONFLICT, then the other unit attentions.
        if !nexus.has_reset_pending()
            && let Some(conflict) = access::reservation(cdb, nexus.reserved_for())
        {
            return Err(conflict);
        }
        if let Some(sense) = attention(cdb, context.unit, nexus) {
            return Err(Ending::CheckCondition(sense));
        }
        if let Some(ending) = access::obstacle(cdb, nexus) {
            return Err(ending);
        }
    }
    let parsed = match context.unit.map_or(Way::Plain, |unit| unit.facts().way) {
        Way::Plain => command::parse(cdb, context),
        Way::Protected => command::parse_protected(cdb, context),
        Way::Through => match through::device(cdb, context) {
            Some(device) => through::begin(cdb, context, device).map(Command::Through),
            None => command::parse(cdb, context),
        },
    };
    match parsed {
        Ok(command) => Ok(Job::new(command, cdb[0], context)),
        Err(sense) => Err(Ending::CheckCondition(sense)),
    }
}

/// A unit's pending attention ends every command but those that SAM-5 5.14 exempts, and MMC-6 for a CD drive; reporting it clears it, unless UA_INTLCK_CTRL (SPC-4,
/// control mode page) leaves that to REQUEST SENSE.
#[cold]
fn attention(cdb: &[u8], unit: Option<&LogicalUnit>, nexus: &UnitNexus) -> Option<Sense> {
    let is_cd = || unit.is_some_and(|unit| unit.drive().is_some());
    let kept = || unit.is_some_and(|unit| unit.task_set().attention_interlock() != AttentionInterlock::Cleared);
    match cdb.first() {
        Some(&(opcode::GET_CONFIGURATION | opcode::GET_EVENT_STATUS_NOTIFICATION)) if is_cd() => None,
        Some(&(opcode::INQUIRY | opcode::REPORT_LUNS | opcode::REQUEST_SENSE)) => None,
        _ if kept() => Some(nexus.first()?.sense()),
        _ => Some(nexus.take()?.sense()),
    }
}

impl Job {
    #[inline]
    fn new(command: Command, opcode: u8, context: &Context<'_>) -> Job {
        let lengths = Lengths::of(&command, context);
        Job { command, cursor: 0, stage: medium::Stage::Start, opcode, lengths, copy: None }
    }

    /// Bytes that the CDB takes from the initiator; they must be at the buffer's start before the first step.
    #[inline]
    pub fn data_out_len(&self) -> u32 {
        self.lengths.data_out
    }

    /// Most bytes that it returns: exactly those of a READ, the allocation length of an answer.
    #[inline]
    pub fn data_in_len(&self) -> u32 {
        self.lengths.data_in
    }

    /// Bytes of buffer that it needs, 0 for none; at most the unit's `transfer_bytes_max` plus
    /// [`crate::limits::SCRATCH_BYTES`].
    #[inline]
    pub fn buffer_len(&self) -> usize {
        self.lengths.buffer as usize
    }

    /// Operation code.
    #[inline]
    pub fn opcode(&self) -> u8 {
        self.opcode
    }

    /// The blocks that no other command may touch from now to its end, on any core; `None` for most commands. Asked before the first step, and
    /// at [`Step::Claim`].
    pub fn exclusive(&self) -> Option<Range<u64>> {
        match self.command {
            // All of them: no other ORWRITE may be half done when the generation changes.
            Command::OrWrite { bitmap: Bitmap { change: Some(_), .. }, .. } => Some(0..u64::MAX),
            Command::Format { .. } | Command::Sanitize { .. } if self.stage != medium::Stage::Start => {
                Some(0..u64::MAX)
            }
            // Nobody writes while the cache is switched off.
            Command::Control { .. } if self.stage == medium::Stage::Claiming => Some(0..u64::MAX),
            Command::CompareAndWrite { range, .. }
            | Command::OrWrite { range, .. }
            | Command::WriteAtomic { range, .. }
            | Command::Protected(Protected { action: Action::WriteAtomic { .. }, range, .. })
                if range.blocks > 0 =>
            {
                Some(range.lba..range.lba.saturating_add(range.blocks))
            }
            _ => None,
        }
    }

    /// Whether it is to be stepped to its end, also if it is aborted or its initiator goes away (SBC-3: a sanitize operation; here a format, too,
    /// and what was answered early). Asked between two steps.
    pub fn runs_on(&self) -> bool {
        let begun = self.stage != medium::Stage::Start;
        match self.command {
            Command::Format { .. } | Command::Sanitize { .. } => begun,
            Command::SynchronizeCache { immediate, .. } => begun && immediate,
            _ => false,
        }
    }

    /// What its initiator has to be told of a command that was answered early and ended like this.
    pub fn deferred_error(&self, ending: &Ending) -> Option<UnitAttention> {
        match (self.command, ending) {
            (_, Ending::Good { .. }) => None,
            (Command::SynchronizeCache { .. }, _) => Some(UnitAttention::WriteBackFailed),
            // The unit's condition tells everybody.
            _ => None,
        }
    }

    /// Its initiator no longer waits for it: to others it is over, although a device may still work on it.
    pub fn abandon(&mut self) {
        self.copy = None;
    }

    /// It is a READ.
    #[inline]
    pub fn is_read(&self) -> bool {
        match self.command {
            Command::Read { .. } => true,
            Command::Protected(Protected { action, .. }) => matches!(action, Action::Read { .. }),
            _ => false,
        }
    }

    /// It is a WRITE.
    #[inline]
    pub fn is_write(&self) -> bool {
        match self.command {
            Command::Write { .. } => true,
            Command::Protected(Protected { action, .. }) => matches!(action, Action::Write { .. }),
            _ => false,
        }
    }

    /// Goes on. `last` is `None` the first time, then the result of the I/O that the step before asked for. `buffer`
    /// is the whole buffer, at least [`Job::buffer_len`] bytes.
    #[inline]
    pub fn step(&mut self, context: &Context<'_>, last: Option<Result<(), IoError>>, buffer: &mut [u8]) -> Step {
        if let (Some(Err(error)), Some(unit)) = (last, self.unit_at_work(context)) {
            self.note_failure(error, unit);
        }
        let step = self.step_on(context, last, buffer);
        match context.unit {
            Some(unit) if unit.is_write_through() => step.through(unit),
            _ => step,
        }
    }

    #[inline]
    fn step_on(&mut self, context: &Context<'_>, last: Option<Result<(), IoError>>, buffer: &mut [u8]) -> Step {
        let turn = medium::Turn { last, cursor: &mut self.cursor, stage: &mut self.stage, buffer };
        match self.command {
            Command::Read { range, fua } => on_unit(context, |unit| read_write::read(range, fua, unit, turn)),
            Command::Write { range, fua } => on_unit(context, |unit| read_write::write(range, fua, unit, turn)),
            Command::Verify { range, compare } => on_unit(context, |unit| verify::step(range, compare, unit, turn)),
            Command::WriteAndVerify { range, compare } => {
                on_unit(context, |unit| verify::write_first(range, compare, unit, turn))
            }
            Command::CompareAndWrite { range, fua } => {
                on_unit(context, |unit| compare_and_write::step(range, fua, unit, turn))
            }
            Command::OrWrite { range, fua, bitmap } => {
                on_unit(context, |unit| or_write::step(range, fua, bitmap, unit, turn))
            }
            Command::WriteAtomic { range, fua } => on_unit(context, |unit| read_write::write(range, fua, unit, turn)),
            // The capacity may have changed.
            Command::PreFetch { range } => {
                on_unit(context, |unit| unit.check_range(range).map_or_else(Step::refuse, |()| Step::GOOD))
            }
            Command::WriteSame { range, data_out, unmap } => {
                on_unit(context, |unit| write_same::step(range, data_out, unmap, unit, turn))
            }
            Command::Protected(ref command) => on_unit(context, |unit| protected::step(command, unit, turn)),
            Command::Unmap { list_bytes } => on_unit(context, |unit| unmap::step(list_bytes, unit, turn)),
            Command::SynchronizeCache { range, immediate } => {
                on_unit(context, |unit| cache::flush(range, immediate, unit, turn))
            }
            Command::StartStop { power, flush } => on_unit(context, |unit| power::step(power, flush, unit, turn)),
            Command::Format { list_bytes, long, protection } => {
                on_unit(context, |unit| format::step(list_bytes, long, protection, unit, turn))
            }
            Command::Sanitize { method, list_bytes, immediate, restricted } => {
                on_unit(context, |unit| sanitize::step(method, list_bytes, (immediate, restricted), unit, turn))
            }
            Command::ExitFailureMode => on_unit(context, |unit| {
                unit.condition().exit_failure_mode();
                Step::GOOD
            }),
            Command::LbaStatus { range, allocation } => {
                on_unit(context, |unit| lba_status::step(range, allocation, unit, turn))
            }
            Command::TestUnitReady { probe: true } => on_unit(context, |unit| ready::step(unit, turn)),
            Command::TestUnitReady { probe: false } => Step::GOOD,
            Command::SelfTest { code } => on_unit(context, |unit| self_test::step(code, unit, turn)),
            Command::DiagnosticPage { list_bytes } => diagnostic::check_list(&turn.buffer[..usize::from(list_bytes)]),
            Command::Query { query, allocation } => answer::step(query, allocation, context, turn.buffer),
            Command::Control { request, list_bytes, .. } => {
                on_unit(context, |unit| cache::then_control(request, list_bytes, unit, turn))
            }
            Command::ExtendedCopy(ref mut copy) => copy.step(&mut self.copy, context, last, turn.buffer),
            Command::Through(ref through) => {
                on_unit(context, |unit| through::step(through, unit, context.read_only, turn))
            }
        }
    }
}

impl Job {
    /// The unit whose device did the operation before.
    #[inline]
    fn unit_at_work<'a>(&self, context: &Context<'a>) -> Option<&'a LogicalUnit> {
        match &self.command {
            Command::ExtendedCopy(copy) => copy.unit_at_work(context),
            _ => context.unit,
        }
    }

    /// What failed is counted for the log pages; a device that is gone has to prove that it is back.
    #[cold]
    fn note_failure(&self, error: IoError, unit: &LogicalUnit) {
        if error == IoError::Gone {
            unit.set_gone(true);
        }
        let was_for = match self.command {
            Command::Read { .. } | Command::TestUnitReady { .. } | Command::LbaStatus { .. } => Failed::Read,
            Command::SelfTest { .. } => Failed::Read,
            Command::Protected(Protected { action: Action::Read { .. }, .. }) => Failed::Read,
            Command::Verify { .. } | Command::Protected(Protected { action: Action::Verify { .. }, .. }) => {
                Failed::Verify
            }
            _ => Failed::Write,
        };
        unit.state().count(error, was_for);
    }
}

impl Step {
    /// The same with nothing left in a volatile cache: WCE of the caching mode page is clear (SBC-3). What is unmapped has no data that
    /// could be lost. Copies see to that themselves, as they write to other units.
    #[cold]
    fn through(mut self, unit: &LogicalUnit) -> Step {
        if let Step::Io { on: None, op, .. } = &mut self {
            *op = unit.heeding_cache(*op);
        }
        self
    }

    /// Done, with nothing for the initiator.
    pub(crate) const GOOD: Step = Step::Done(Ending::Good { data_in: 0..0 });

    /// Done, with sense data.
    pub(crate) fn refuse(sense: Sense) -> Step {
        Step::Done(Ending::CheckCondition(sense))
    }
}

impl Lengths {
    #[inline]
    fn of(command: &Command, context: &Context<'_>) -> Lengths {
        let block_size = context.unit.map_or(0, LogicalUnit::block_size);
        // At most the unit's transfer limit, which the parser checked.
        let bytes = |blocks: u64| blocks as u32 * block_size;
        let (data_out, data_in, buffer) = match (*command, context.unit.map(LogicalUnit::facts)) {
            (Command::Read { range, .. }, _) => (0, bytes(range.blocks), bytes(range.blocks) as usize),
            (Command::Write { range, .. } | Command::WriteAtomic { range, .. }, _) => {
                (bytes(range.blocks), 0, bytes(range.blocks) as usize)
            }
            (Command::Verify { range, compare }, Some(facts)) => {
                (verify::data_out_bytes(range, compare, facts) as u32, 0, verify::buffer_bytes(range, compare, facts))
            }
            (Command::WriteAndVerify { range, compare }, Some(facts)) => {
                (bytes(range.blocks), 0, verify::write_first_bytes(range, compare, facts))
            }
            (Command::CompareAndWrite { range, .. }, Some(facts)) => (
                compare_and_write::data_out_bytes(range, facts) as u32,
                0,
                compare_and_write::buffer_bytes(range, facts),
            ),
            (Command::OrWrite { range, .. }, Some(facts)) => {
                (bytes(range.blocks), 0, or_write::buffer_bytes(range, facts))
            }
            (Command::Format { list_bytes, .. }, Some(facts)) => {
                (list_bytes, 0, medium::overwrite::buffer_bytes(list_bytes, facts))
            }
            (Command::Sanitize { list_bytes, .. }, Some(facts)) => {
                (list_bytes.into(), 0, medium::overwrite::buffer_bytes(list_bytes.into(), facts))
            }
            (Command::WriteSame { range, data_out, .. }, Some(facts)) => {
                (if data_out { block_size } else { 0 }, 0, write_same::buffer_bytes(range, facts))
            }
            (Command::Protected(ref command), Some(facts)) => command.lengths(facts),
            (Command::Unmap { list_bytes }, _) => (u32::from(list_bytes), 0, usize::from(list_bytes)),
            (Command::Query { query, allocation }, _) => {
                (0, allocation, answer::buffer_bytes(query, allocation, context))
            }
            (Command::Control { list_bytes, allocation, .. }, _) => {
                (list_bytes, allocation, list_bytes.max(allocation.min(SCRATCH_BYTES as u32)) as usize)
            }
            (Command::ExtendedCopy(ref copy), Some(facts)) => (copy.data_out_bytes(), 0, copy.buffer_bytes(facts)),
            (Command::LbaStatus { allocation, .. }, _) => (0, allocation, lba_status::buffer_bytes(allocation)),
            (Command::TestUnitReady { probe: true } | Command::SelfTest { .. }, facts) => {
                (0, 0, facts.map_or(0, |facts| facts.stored_block_size as usize))
            }
            (Command::DiagnosticPage { list_bytes }, _) => (u32::from(list_bytes), 0, usize::from(list_bytes)),
            (Command::Through(ref through), _) => through.lengths(),
            // Nothing is moved; or there is no unit, for which the parser lets only queries through.
            (Command::Verify { .. } | Command::WriteSame { .. } | Command::WriteAndVerify { .. }, None)
            | (Command::CompareAndWrite { .. } | Command::OrWrite { .. } | Command::Protected(_), None)
            | (Command::Format { .. } | Command::Sanitize { .. } | Command::ExtendedCopy(_), None)
            | (Command::SynchronizeCache { .. } | Command::StartStop { .. }, _)
            | (Command::ExitFailureMode | Command::PreFetch { .. }, _)
            | (Command::TestUnitReady { probe: false }, _) => (0, 0, 0),
        };
        Lengths { data_out, data_in, buffer: buffer as u32 }
    }
}

#[cfg(test)]
#[path = "execute_tests.rs"]
mod tests;
