//! Carries a command out: [`begin`] decides, [`Job::step`] asks for the I/O it needs until it is done.

use std::ops::Range;

use bdev::{IoError, Op};

use crate::command::{self, Command};
use crate::control::ControlRequest;
use crate::limits::SCRATCH_BYTES;
use crate::lun::{Address, Lun};
use crate::medium::protected::{Action, Protected};
use crate::medium::{self, cache, lba_status, on_unit, protected, read_write, ready, unmap, verify, write_same};
use crate::nexus::{UnitAttention, UnitNexus};
use crate::through;
use crate::unit::{LogicalUnit, Way};
use crate::wire::cdb::opcode;
use crate::wire::sense::{ScsiStatus, Sense};
use crate::{access, answer};

/// Names of the two ports of a nexus (SRP, SPC-4 TransportID).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PortIds {
    /// SRP target port identifier: identifier extension, then I/O controller GUID.
    pub target_port_id: [u8; 16],
    /// SRP initiator port identifier.
    pub initiator_port_id: [u8; 16],
    /// Relative target port identifier, from 1.
    pub relative_target_port: u16,
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
    /// Bytes of the buffer that the initiator takes data-out from, 0 if there is none. Only [`begin`] looks at it, and only for a
    /// device that is a SCSI device itself.
    pub data_out_len: u32,
    /// Bytes of the buffer that it wants data-in to be put to, likewise.
    pub data_in_len: u32,
}

/// The units that an initiator sees, for commands that name others than the one they are addressed to.
pub trait Peers {
    /// The unit that has this designation descriptor (SPC-4: code set, type and designator as in VPD page 83h, without the
    /// header of 4 bytes), if the initiator sees it.
    fn find(&self, descriptor: &Designation<'_>) -> Option<Peer>;

    /// A unit that was found before; `None` if it was taken away meanwhile.
    fn unit(&self, peer: Peer) -> Option<PeerUnit<'_>>;
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
}

/// Bytes a command moves and needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Lengths {
    data_out: u32,
    data_in: u32,
    buffer: u32,
}

const _: () = assert!(size_of::<Job>() <= 80);

/// Decides what a command is. `cdb` may hold anything, of any length; bytes after the command's own are ignored.
///
/// # Errors
/// The command is refused and was not started: answer it with that ending.
#[inline]
pub fn begin(cdb: &[u8], context: &Context<'_>) -> Result<Job, Ending> {
    if let Some(nexus) = context.nexus.filter(|nexus| context.unit.is_some() && !nexus.is_clear()) {
        if let Some(sense) = attention(cdb, nexus) {
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

/// A unit's pending attention ends every command but those that SAM-5 5.14 exempts; reporting it clears it.
#[cold]
fn attention(cdb: &[u8], nexus: &UnitNexus) -> Option<Sense> {
    match cdb.first() {
        Some(&(opcode::INQUIRY | opcode::REPORT_LUNS | opcode::REQUEST_SENSE)) => None,
        _ => Some(nexus.take()?.sense()),
    }
}

impl Job {
    #[inline]
    fn new(command: Command, opcode: u8, context: &Context<'_>) -> Job {
        let lengths = Lengths::of(&command, context);
        Job { command, cursor: 0, stage: medium::Stage::Start, opcode, lengths }
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

    /// The blocks that no other command may touch from its first step to its end, on any core; `None` for most commands.
    pub fn exclusive(&self) -> Option<std::ops::Range<u64>> {
        None
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
        if let (Some(Err(IoError::Gone)), Some(unit)) = (last, context.unit) {
            unit.set_gone(true);
        }
        let turn = medium::Turn { last, cursor: &mut self.cursor, stage: &mut self.stage, buffer };
        match self.command {
            Command::Read { range, fua } => on_unit(context, |unit| read_write::read(range, fua, unit, turn)),
            Command::Write { range, fua } => on_unit(context, |unit| read_write::write(range, fua, unit, turn)),
            Command::Verify { range, compare } => on_unit(context, |unit| verify::step(range, compare, unit, turn)),
            Command::WriteSame { range, data_out, unmap } => {
                on_unit(context, |unit| write_same::step(range, data_out, unmap, unit, turn))
            }
            Command::Protected(ref command) => on_unit(context, |unit| protected::step(command, unit, turn)),
            Command::Unmap { list_bytes } => on_unit(context, |unit| unmap::step(list_bytes, unit, turn)),
            Command::SynchronizeCache { range } => on_unit(context, |unit| cache::flush(range, unit, turn)),
            Command::StartStop { flush: true } => on_unit(context, |unit| cache::flush(cache::EVERYTHING, unit, turn)),
            Command::LbaStatus { lba, allocation } => {
                on_unit(context, |unit| lba_status::step(lba, allocation, unit, turn))
            }
            Command::TestUnitReady { probe: true } => on_unit(context, |unit| ready::step(unit, turn)),
            Command::StartStop { flush: false } | Command::TestUnitReady { probe: false } | Command::PreventAllow => {
                Step::GOOD
            }
            Command::Query { query, allocation } => answer::step(query, allocation, context, turn.buffer),
            Command::Control { request, list_bytes, .. } => {
                Step::Control { request, parameters: 0..list_bytes as usize }
            }
            Command::Through(ref through) => {
                on_unit(context, |unit| through::step(through, unit, context.read_only, turn))
            }
        }
    }
}

impl Step {
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
            (Command::Write { range, .. }, _) => (bytes(range.blocks), 0, bytes(range.blocks) as usize),
            (Command::Verify { range, compare }, Some(facts)) => {
                (verify::data_out_bytes(range, compare, facts) as u32, 0, verify::buffer_bytes(range, compare, facts))
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
            (Command::LbaStatus { allocation, .. }, _) => (0, allocation, lba_status::buffer_bytes(allocation)),
            (Command::TestUnitReady { probe: true }, facts) => {
                (0, 0, facts.map_or(0, |facts| facts.stored_block_size as usize))
            }
            (Command::Through(ref through), _) => through.lengths(),
            // Nothing is moved; or there is no unit, for which the parser lets only queries through.
            (Command::Verify { .. } | Command::WriteSame { .. } | Command::Protected(_), None)
            | (Command::SynchronizeCache { .. } | Command::StartStop { .. }, _)
            | (Command::TestUnitReady { probe: false } | Command::PreventAllow, _) => (0, 0, 0),
        };
        Lengths { data_out, data_in, buffer: buffer as u32 }
    }
}

#[cfg(test)]
#[path = "execute_tests.rs"]
mod tests;
