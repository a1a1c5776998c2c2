//! Commands for a unit whose device is a SCSI device itself: they go through as they are.
//!
//! Data, status and sense come back as the device gave them, together: a tape's ILI arrives with its data. What stays with us:
//!
//! | command | who answers | why |
//! |---|---|---|
//! | any, while a unit attention of ours is pending | we, with it (but see SAM-5 5.14) | the device knows nothing of our sessions |
//! | REPORT LUNS | we | the device's LUNs are not the target's |
//! | REQUEST SENSE | we if a unit attention of ours is pending, else the device | as above |
//! | RESERVE, RELEASE 6/10, PERSISTENT RESERVE IN/OUT | refused, 20h/00h | the device takes all our initiators for one |
//! | EXTENDED COPY, RECEIVE COPY RESULTS, COPY, COPY AND VERIFY | refused, 20h/00h | they name devices that the initiator has no right to |
//! | REPORT and SET TARGET PORT GROUPS | refused, 20h/00h | they are about the device's ports, which the initiator does not see |
//! | ACCESS CONTROL IN/OUT | refused, 20h/00h | they are about our adapter, not the initiator |
//! | INQUIRY | the device; NORMACA, ACC, TPGS and 3PC are cleared | these go with the commands refused above |
//! | MODE SENSE through a read-only LUN | the device; WP is set | so that nobody tries |
//! | VPD page B0h (disks), READ BLOCK LIMITS (tapes) | the device; the limits are lowered to what gets through | |
//! | READ, WRITE 6/10/12/16 of more bytes than the adapter takes | the device, in pieces | |
//! | any other that moves more than the adapter takes | refused, 24h/00h | |
//! | with NACA set | refused, 24h/00h | an ACA condition would stop everybody |
//! | through a read-only LUN, if not in [`policy`]'s list | refused, 27h/00h | |
//!
//! What a device tells one initiator and all have to know (its unit attentions, a MODE SELECT) is in [`Ending::Device`]'s `changed`.

mod amend;
mod attention;
mod policy;
mod split;
mod time_limit;

use std::ops::Range;

use bdev::passthrough::{self, Outcome, Request};
use bdev::{Direction, Op};

use crate::Context;
use crate::execute::{Ending, Step};
use crate::limits::CDB_BYTES_MIN;
use crate::medium::{Stage, Turn, out_of_turn};
use crate::nexus::UnitNexus;
use crate::unit::LogicalUnit;
use crate::wire::cdb::{self, CONTROL_NACA, opcode};
use crate::wire::sense::{ScsiStatus, Sense};

pub use attention::unit_attention_of;

/// A command on its way through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Through {
    cdb: [u8; passthrough::CDB_BYTES_MAX],
    cdb_len: u8,
    direction: Direction,
    data_len: u32,
    /// Bytes of one piece, for commands that are split.
    piece_len: u32,
}

/// Variable-length and extended CDBs (SPC-4).
const VARIABLE_LENGTH: u8 = 0x7f;
const EXTENDED: u8 = 0x7e;

/// The facts of the unit's device, if that is a SCSI device and this command is for it.
#[inline]
pub(crate) fn device<'a>(cdb: &[u8], context: &Context<'a>) -> Option<(&'a LogicalUnit, &'a passthrough::Facts)> {
    let unit = context.unit?;
    let facts = unit.bdev().info().passthrough.as_ref()?;
    let ours = match cdb.first() {
        Some(&opcode::REPORT_LUNS) => true,
        Some(&opcode::REQUEST_SENSE) => context.nexus.is_some_and(UnitNexus::has_pending),
        _ => false,
    };
    (!ours).then_some((unit, facts))
}

/// Decides whether a command may go through, and in how many pieces.
///
/// # Errors
/// The sense for what it is refused for.
pub(crate) fn begin(
    cdb: &[u8],
    context: &Context<'_>,
    (unit, facts): (&LogicalUnit, &passthrough::Facts),
) -> Result<Through, Sense> {
    let cdb = whole(cdb)?;
    if policy::is_refused(facts.device_type, cdb) {
        return Err(Sense::INVALID_COMMAND_OPERATION_CODE);
    }
    if (context.read_only || unit.is_read_only()) && !policy::changes_nothing(facts.device_type, cdb) {
        return Err(Sense::WRITE_PROTECTED);
    }
    let (direction, data_len) = match (context.data_out_len, context.data_in_len) {
        (0, 0) => (Direction::None, 0),
        (out, 0) => (Direction::Out, out),
        (0, back) => (Direction::In, back),
        // No transport of ours lets these through.
        _ => return Err(Sense::INVALID_FIELD_IN_CDB),
    };
    let limit = facts.transfer_bytes_max.min(unit.transfer_bytes_max());
    let piece_len = match facts.has_blocks() {
        true => split::piece_len(cdb, direction, data_len, limit)?,
        false => data_len,
    };
    if piece_len > limit || data_len > unit.transfer_bytes_max() {
        return Err(Sense::INVALID_FIELD_IN_CDB);
    }
    let mut bytes = [0; passthrough::CDB_BYTES_MAX];
    bytes[..cdb.len()].copy_from_slice(cdb);
    Ok(Through { cdb: bytes, cdb_len: cdb.len() as u8, direction, data_len, piece_len })
}

/// The CDB without what follows it. Groups 6 and 7 are the vendors': transports carry 16 bytes for them.
fn whole(cdb: &[u8]) -> Result<&[u8], Sense> {
    if cdb.len() < CDB_BYTES_MIN {
        return Err(Sense::INVALID_COMMAND_OPERATION_CODE);
    }
    let length = match cdb[0] {
        VARIABLE_LENGTH => 8 + usize::from(*cdb.get(7).ok_or(Sense::INVALID_FIELD_IN_CDB)?),
        EXTENDED => return Err(Sense::INVALID_COMMAND_OPERATION_CODE),
        operation => cdb::length(operation).unwrap_or(cdb.len().min(16)),
    };
    let cdb = cdb.get(..length).ok_or(Sense::INVALID_FIELD_IN_CDB)?;
    if length > passthrough::CDB_BYTES_MAX {
        return Err(Sense::invalid_field_in_cdb(7, None));
    }
    let control = match (cdb[0], cdb::length(cdb[0])) {
        (VARIABLE_LENGTH, _) => Some(1),
        (_, known) => known.map(|length| length - 1),
    };
    match control {
        Some(at) if cdb[at] & CONTROL_NACA != 0 => Err(Sense::invalid_field_in_cdb(at as u16, Some(2))),
        _ => Ok(cdb),
    }
}

impl Through {
    /// Bytes of data-out, of data-in, and of the buffer with the record behind them.
    pub(crate) fn lengths(&self) -> (u32, u32, usize) {
        let buffer = passthrough::buffer_bytes(self.data_len as usize);
        match self.direction {
            Direction::Out => (self.data_len, 0, buffer),
            Direction::In | Direction::None => (0, self.data_len, buffer),
        }
    }

    fn cdb(&self) -> &[u8] {
        &self.cdb[..usize::from(self.cdb_len)]
    }

    /// The piece that starts at this byte of the data.
    fn piece(&self, start: u32) -> Range<usize> {
        start as usize..self.data_len.min(start.saturating_add(self.piece_len)) as usize
    }
}

/// One piece after the other; the cursor is the piece's first byte. `read_only`: the initiator's LUN map forbids writes.
pub(crate) fn step(through: &Through, unit: &LogicalUnit, read_only: bool, turn: Turn<'_>) -> Step {
    let Some(facts) = unit.bdev().info().passthrough.as_ref() else { return out_of_turn() };
    let op = Op::Scsi { direction: through.direction };
    let piece = through.piece(*turn.cursor as u32);
    match (*turn.stage, turn.last) {
        (Stage::Start, None) => ask(through, facts, piece, turn),
        (Stage::Moving, Some(Ok(()))) => {
            let Some(Outcome { status, moved, .. }) = Outcome::parse(turn.buffer) else { return out_of_turn() };
            let all = moved as usize == piece.len();
            if status == ScsiStatus::Good as u8 && all && piece.end < through.data_len as usize {
                *turn.cursor = piece.end as u64;
                let next = through.piece(piece.end as u32);
                return ask(through, facts, next, turn);
            }
            let seen = Seen { facts, unit, read_only: read_only || unit.is_read_only() };
            Step::Done(end(through, &seen, piece.start + moved as usize, turn.buffer))
        }
        (Stage::Moving, Some(Err(error))) => Step::refuse(Sense::of_io_error(error, op, 0, 0)),
        _ => out_of_turn(),
    }
}

fn ask(through: &Through, facts: &passthrough::Facts, piece: Range<usize>, turn: Turn<'_>) -> Step {
    let mut cdb = through.cdb;
    if through.piece_len < through.data_len {
        split::narrow(&mut cdb, through.data_len, &piece);
    }
    let time_limit = time_limit::of(facts.device_type, through.cdb());
    Request { cdb: &cdb[..through.cdb().len()], time_limit, data: piece }.emit(turn.buffer);
    *turn.stage = Stage::Moving;
    Step::Io { on: None, op: Op::Scsi { direction: through.direction }, lba: 0, blocks: 0, data: 0..turn.buffer.len() }
}

/// The device as the initiator shall see it.
struct Seen<'a> {
    facts: &'a passthrough::Facts,
    unit: &'a LogicalUnit,
    read_only: bool,
}

/// The device's answer, after `moved` bytes in all.
fn end(through: &Through, seen: &Seen<'_>, moved: usize, buffer: &mut [u8]) -> Ending {
    let status = Outcome::parse(buffer).map_or(0, |outcome| outcome.status);
    let changed = attention::of_command(through.cdb(), through.direction, moved, buffer);
    if status == ScsiStatus::Good as u8 && through.direction == Direction::In {
        let device_type = seen.facts.device_type;
        let limit = seen.facts.transfer_bytes_max.min(seen.unit.transfer_bytes_max());
        amend::amend(device_type, through.cdb(), limit, seen.unit.block_size(), &mut buffer[..moved]);
        if seen.read_only {
            amend::protect(device_type, through.cdb(), &mut buffer[..moved]);
        }
    }
    let (data_in, taken) = match through.direction {
        Direction::In => (0..moved, 0),
        Direction::Out | Direction::None => (0..0, moved as u32),
    };
    Ending::Device { status, data_in, taken, sense: Outcome::sense_range(buffer).unwrap_or(0..0), changed }
}

#[cfg(test)]
mod tests;
