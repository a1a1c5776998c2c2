//! What must hold of a command, whatever it was.

use bdev::Op;

use super::layout;
use super::world::{Report, Request, World};
use crate::limits::SENSE_BYTES_MAX;
use crate::nexus::PathState;
use crate::protection::{self, Checks, Layout};
use crate::wire::cdb::{self, Form, opcode};
use crate::{Ending, ReservedFor, ScsiStatus, Sense, SenseKey, UnitAttention};

/// The state that a command found.
pub(super) struct Before {
    pending: bool,
    reserved: ReservedFor,
    path: PathState,
    writable: bool,
    /// The first block of its range, if it has one.
    block: Vec<u8>,
    mode: Modes,
}

/// All mode pages of the unit that the command is for, and which of their bits may change.
#[derive(PartialEq, Eq)]
struct Modes {
    current: Vec<u8>,
    changeable: Vec<u8>,
}

impl Before {
    pub(super) fn of(world: &World, request: &Request) -> Before {
        let (unit, nexus) = (&world.units[request.unit], &world.nexuses[request.unit][request.initiator]);
        Before {
            pending: nexus.has_pending() && request.nowhere.is_none(),
            reserved: nexus.reserved_for(),
            path: nexus.path_state(),
            writable: !(request.read_only || unit.is_read_only() || unit.software_write_protect()),
            block: first_block(world, request),
            mode: Modes::of(world, request),
        }
    }
}

impl Modes {
    /// MODE SENSE(10) without block descriptors. The threshold in the provisioning page hangs on the space beneath.
    fn of(world: &World, request: &Request) -> Modes {
        let ask = |control: u8| world.ask(request.unit, &[0x5a, 0x08, control << 6 | 0x3f, 0xff, 0, 0, 0, 0x10, 0, 0]);
        Modes { current: ask(0), changeable: ask(1) }
    }
}

pub(super) fn all(before: &Before, request: &Request, report: &Report, world: &World) {
    attentions(before, request, report);
    mode_parameters(before, request, report, world);
    writes(before, request, report);
    protection(request, report, world);
    match &report.ending {
        None => (),
        Some(Ending::Good { data_in }) => {
            assert_eq!(data_in.len().min(report.data_in.len()), report.data_in.len(), "{request:02x?}");
            answer(request, report);
            content(before, request, report, world);
        }
        Some(Ending::CheckCondition(sense)) => self::sense(*sense, request, report, world),
        Some(Ending::Status(status)) => self::status(*status, before, request, report),
        Some(Ending::Device { .. }) => panic!("no unit here is a device itself: {request:02x?}"),
    }
    if report.refused && !matches!(&report.ending, Some(Ending::CheckCondition(sense)) if is_attention(sense)) {
        assert_eq!(world.is_refused(request), report.ending, "the same again: {request:02x?}");
    }
}

/// SAM-5: whoever has a unit attention hears of it before anything is done, but by the commands that are exempt.
fn attentions(before: &Before, request: &Request, report: &Report) {
    const GET_CONFIGURATION: u8 = 0x46;
    const GET_EVENT_STATUS_NOTIFICATION: u8 = 0x4a;
    let exempt = matches!(
        request.cdb.first(),
        Some(&(opcode::INQUIRY | opcode::REPORT_LUNS | opcode::REQUEST_SENSE))
            | Some(&(GET_CONFIGURATION | GET_EVENT_STATUS_NOTIFICATION))
    );
    let told = matches!(&report.ending, Some(Ending::CheckCondition(sense)) if is_attention(sense));
    assert!(!told || before.pending, "nothing was pending: {request:02x?} {report:02x?}");
    // Which of the two comes first hangs on the condition (SAM-5: status precedence).
    let conflict = matches!(&report.ending, Some(Ending::Status(ScsiStatus::ReservationConflict)));
    assert!(
        told || exempt || conflict || !before.pending,
        "a unit attention was pending: {request:02x?} {report:02x?}"
    );
}

/// Only MODE SELECT changes mode parameters, only those that may be changed, and everybody else is told.
fn mode_parameters(before: &Before, request: &Request, report: &Report, world: &World) {
    let now = Modes::of(world, request);
    // A unit that is being formatted, say, does not tell.
    if now == before.mode || now.current.is_empty() || before.mode.current.is_empty() {
        return;
    }
    let select = matches!(request.cdb[0], opcode::MODE_SELECT_6 | opcode::MODE_SELECT_10);
    assert!(
        select && matches!(report.ending, Some(Ending::Good { .. })),
        "mode parameters changed: {request:02x?} {report:02x?}"
    );
    assert_eq!(now.current.len(), before.mode.current.len(), "{request:02x?}");
    // From the header on, in which WP follows SWP.
    for at in 8..now.current.len() {
        let changed = now.current[at] ^ before.mode.current[at];
        assert_eq!(
            changed & !before.mode.changeable[at],
            0,
            "byte {at} of the mode pages is not changeable: {request:02x?} {report:02x?}"
        );
    }
    let mut others = world.nexuses[request.unit].iter().enumerate().filter(|(at, _)| *at != request.initiator);
    assert!(others.all(|(_, nexus)| nexus.has_pending()), "nobody was told: {request:02x?}");
}

/// Nothing changes where nothing may, or where the command was refused.
fn writes(before: &Before, request: &Request, report: &Report) {
    let changes: Vec<_> = report.asked.iter().filter(|(_, op, ..)| changes(*op)).collect();
    let here = changes.iter().any(|(unit, ..)| *unit == request.unit);
    assert!(before.writable || !here, "write protected: {request:02x?} {report:02x?}");
    let refusal = match &report.ending {
        Some(Ending::CheckCondition(sense)) => {
            let keys = [SenseKey::IllegalRequest, SenseKey::UnitAttention, SenseKey::DataProtect, SenseKey::NotReady];
            keys.contains(&sense.key)
        }
        Some(Ending::Status(ScsiStatus::ReservationConflict)) => true,
        _ => false,
    };
    let excused = report.failed || request.vanishes_after.is_some();
    assert!(excused || !refusal || changes.is_empty(), "refused, and written: {request:02x?} {report:02x?}");
    if let Some(range) = &report.exclusive {
        let within = |lba: u64, blocks: u64| range.start <= lba && lba + blocks <= range.end;
        let mut own = report.asked.iter().filter(|(unit, op, ..)| *unit == request.unit && *op != Op::Flush);
        assert!(own.all(|(_, _, lba, blocks)| within(*lba, *blocks)), "outside of {range:?}: {report:02x?}");
    }
}

/// No block is written without its protection information, but where the initiator has it so.
fn protection(request: &Request, report: &Report, world: &World) {
    const UNCHECKED: u8 = 0b011;
    let written = report.asked.iter().filter(|(_, op, ..)| changes(*op));
    for &(at, _, lba, blocks) in written.filter(|(at, ..)| world.units[*at].has_metadata()) {
        let unit = &world.units[at];
        let layout = Layout::of(unit.facts(), unit.protection());
        if protection::has_field(request.cdb[0]) && matches!(request.cdb[1] >> 5, 0b010 | UNCHECKED) {
            continue;
        }
        for lba in lba..lba + blocks.min(64) {
            let mut block = world.disks[at].block(lba, layout.whole_bytes());
            layout.flip(&mut block);
            let checks = Checks { guard: true, reference_tag: false };
            assert_eq!(layout.check(&block, lba, checks), Ok(()), "block {lba}: {request:02x?} {report:02x?}");
        }
    }
}

fn changes(op: Op) -> bool {
    matches!(op, Op::Write { .. } | Op::Unmap | Op::WriteZeroes { .. })
}

/// The answer keeps to its allocation length, and its header tells the truth.
fn answer(request: &Request, report: &Report) {
    let (cdb, len) = (&request.cdb, report.data_in.len());
    let Some((at, width)) = layout::allocation_length(cdb) else { return };
    let allocation = cdb[at..at + width].iter().fold(0, |value, &byte| value << 8 | usize::from(byte));
    assert!(len <= allocation, "{len} for {allocation}: {request:02x?}");
    if let Some(announced) = layout::announced(cdb, &report.data_in) {
        assert_eq!(len, announced.min(allocation), "of {announced}: {request:02x?} {report:02x?}");
    }
}

/// READ returns what is there, and WRITE puts there what was sent.
fn content(before: &Before, request: &Request, report: &Report, world: &World) {
    let unit = &world.units[request.unit];
    let transferred = unit.has_metadata() && protection::has_field(request.cdb[0]) && request.cdb[1] >> 5 != 0;
    let layout = Layout::of(unit.facts(), unit.protection());
    let block_bytes = if transferred { layout.whole_bytes() } else { layout.data_bytes() };
    let sent = |mut block: Vec<u8>| {
        layout.flip(&mut block);
        block.truncate(block_bytes);
        block
    };
    let Some(range) = range(&request.cdb).filter(|range| range.blocks > 0) else { return };
    match request.cdb[0] {
        opcode::READ_6 | opcode::READ_10 | opcode::READ_12 | opcode::READ_16 => {
            assert_eq!(report.data_in.len() as u64, range.blocks * block_bytes as u64, "{request:02x?}");
            assert!(
                report.data_in[..block_bytes] == sent(before.block.clone()),
                "another block was read: {request:02x?}"
            );
        }
        opcode::WRITE_6 | opcode::WRITE_10 | opcode::WRITE_12 | opcode::WRITE_16 => {
            assert_eq!(report.data_out.len() as u64, range.blocks * block_bytes as u64, "{request:02x?}");
            for (index, block) in report.data_out.chunks(block_bytes).enumerate() {
                let there = world.disks[request.unit].block(range.lba + index as u64, layout.whole_bytes());
                assert!(sent(there) == block, "block {index} was not written: {request:02x?}");
            }
        }
        _ => (),
    }
}

fn first_block(world: &World, request: &Request) -> Vec<u8> {
    let lba = range(&request.cdb).map_or(0, |range| range.lba);
    world.disks[request.unit].block(lba, world.units[request.unit].facts().stored_block_size as usize)
}

fn range(cdb: &[u8]) -> Option<cdb::BlockRange> {
    let form = Form::of(*cdb.first()?).filter(|form| cdb.len() >= form.cdb_bytes())?;
    Some(form.range(cdb))
}

fn status(status: ScsiStatus, before: &Before, request: &Request, report: &Report) {
    const PRE_FETCH: [u8; 2] = [0x34, 0x90];
    // Commands that can lose against a reservation although nothing stands in the way yet.
    const RESERVE: [u8; 6] = [0x16, 0x17, 0x56, 0x57, 0x5e, 0x5f];
    let operation = request.cdb.first().copied().unwrap_or_default();
    let legal = match status {
        ScsiStatus::ConditionMet => PRE_FETCH.contains(&operation),
        ScsiStatus::ReservationConflict => {
            before.reserved != ReservedFor::Us || RESERVE.contains(&operation) || operation == 0x83
        }
        ScsiStatus::Busy => before.path == PathState::Transitioning,
        _ => false,
    };
    assert!(legal, "{status:?} for {request:02x?} {report:02x?}");
}

fn sense(sense: Sense, request: &Request, report: &Report, world: &World) {
    assert!(is_known(sense), "{sense} is no combination of ours: {request:02x?}");
    assert!(report.data_in.is_empty());
    if let Some(field) = sense.field {
        // ILLEGAL REQUEST, and COPY ABORTED with the segment at fault.
        assert!(matches!(sense.key as u8, 0x5 | 0xa), "{sense:?}: {request:02x?}");
        assert!(field.bit.is_none_or(|bit| bit < 8), "{sense:?}");
        let within = match field.in_cdb {
            true => cdb_bytes(&request.cdb),
            false => report.data_out.len(),
        };
        assert!(usize::from(field.byte) < within, "{field:?} of {within} bytes: {request:02x?} {report:02x?}");
        assert!(field.in_cdb || !report.refused, "no list was seen: {request:02x?}");
        assert_eq!(field.in_cdb, (sense.asc, sense.ascq) == (0x24, 0x00), "{sense:?} {field:?}");
    }
    if let Some(information) = sense.information {
        let beyond = match sense.key {
            SenseKey::Miscompare if sense.asc == 0x1d => report.data_out.len() as u64,
            _ => world.units[request.unit].num_blocks(),
        };
        assert!(information < beyond, "INFORMATION {information} of {beyond}: {request:02x?}");
    }
    let mut out = [0; SENSE_BYTES_MAX];
    for descriptors in [false, true] {
        let len = sense.write(descriptors, &mut out);
        assert_eq!(usize::from(out[7]) + 8, len, "{sense:?}");
    }
}

/// The CDB's own length; one of variable length has a service action at least.
fn cdb_bytes(cdb: &[u8]) -> usize {
    let own = match cdb[0] {
        layout::VARIABLE_LENGTH => 8 + usize::from(cdb.get(7).copied().unwrap_or(0).max(2)),
        code => cdb::length(code).unwrap_or(0),
    };
    own.min(cdb.len())
}

/// Whether it tells of what happened before the command: a unit attention, or an error that came too late for an answer.
fn is_attention(sense: &Sense) -> bool {
    UnitAttention::ALL.iter().any(|attention| attention.sense() == *sense)
}

/// Combinations of sense key, additional sense code and qualifier that are a unit's to give (SPC-4).
fn is_known(sense: Sense) -> bool {
    let codes = [sense.asc, sense.ascq];
    is_attention(&sense)
        || match sense.key as u8 {
            0x2 => matches!(codes, [0x04, 0x01..=0x04 | 0x09..=0x0c | 0x12 | 0x1b | 0x22] | [0x3a, _]),
            0x3 => matches!(codes, [0x0c | 0x11, 0x00] | [0x31, 0x00 | 0x01 | 0x03]),
            0x4 => matches!(codes, [0x44, 0x00] | [0x3e, 0x03] | [0x67, 0x0a]),
            0x5 => matches!(
                codes,
                [0x1a | 0x20 | 0x21 | 0x24 | 0x25 | 0x26 | 0x2c | 0x39 | 0x49 | 0x64, 0x00]
                    | [0x00, 0x16]
                    | [0x2c, 0x0c]
                    | [0x26, 0x01 | 0x02 | 0x04 | 0x06..=0x0c]
                    | [0x53, 0x02]
                    | [0x55, 0x04]
            ),
            0x7 => matches!(codes, [0x27, 0x00 | 0x02 | 0x07]),
            // COPY ABORTED
            0xa => matches!(codes, [0x08 | 0x0d | 0x26, _]),
            0xb => matches!(codes, [0x10, 0x01..=0x03] | [0x4b | 0x4e, 0x00]),
            0xe => matches!(codes, [0x1d, 0x00 | 0x01] | [0x10, 0x01 | 0x03]),
            _ => false,
        }
}
