//! CDBs that are nearly right.

use super::layout;
use super::source::Source;
use crate::wire::cdb::{self, Form};
use crate::{COMMANDS, CommandInfo};

/// Lengths at which an answer may be cut: none, within a header, at its end, within what follows, beyond everything.
const LENGTHS: [u64; 20] = [0, 0xffff_ffff, 255, 4096, 8, 96, 1, 2, 3, 4, 5, 7, 12, 16, 18, 24, 32, 252, 256, 0xffff];
/// LOGICAL BLOCK ADDRESS and lengths as such.
const COUNTS: [u64; 10] = [1, 0, 2, 8, 16, 255, 256, 257, 0xffff, u64::MAX];

/// A CDB for a unit of `num_blocks`: mostly a supported command with some fields at their limits or beyond, at times anything. `row` is
/// that of the supported command drawn before: its neighbours in the table are often what goes together.
pub(super) fn cdb(source: &mut Source<'_>, row: &mut usize, num_blocks: u64) -> Vec<u8> {
    *row = match source.below(2) {
        0 => (*row + source.below(9)).saturating_sub(4).min(COMMANDS.len() - 1),
        _ => source.below(COMMANDS.len()),
    };
    let mut cdb = match source.below(16) {
        0..14 => supported(source, &COMMANDS[*row], num_blocks),
        14 => anything(source),
        _ => {
            let mut cdb = supported(source, &COMMANDS[*row], num_blocks);
            let at = source.below(cdb.len());
            cdb[at] = source.byte();
            cdb
        }
    };
    if source.once_in(32) {
        cdb.truncate(source.below(17));
    }
    cdb
}

fn anything(source: &mut Source<'_>) -> Vec<u8> {
    (0..32).map(|_| source.byte()).collect()
}

fn supported(source: &mut Source<'_>, info: &CommandInfo, num_blocks: u64) -> Vec<u8> {
    let mut cdb = info.usage.to_vec();
    for byte in &mut cdb[1..] {
        *byte = match source.below(8) {
            0..5 => 0,
            5 => source.byte(),
            _ => source.byte() & *byte,
        };
    }
    // Most of the time nothing is wrong but what is drawn below.
    if source.below(4) != 0 {
        cdb[1..].iter_mut().zip(&info.usage[1..]).for_each(|(byte, usage)| *byte &= usage);
        *cdb.last_mut().expect("a CDB") &= !cdb::CONTROL_NACA;
    }
    match info.service_action {
        Some(action) if info.opcode == layout::VARIABLE_LENGTH => {
            cdb[7] = cdb.len() as u8 - 8;
            cdb[8..10].copy_from_slice(&action.to_be_bytes());
        }
        Some(action) => cdb[1] = cdb[1] & 0xe0 | action as u8,
        None => (),
    }
    fill_fields(&mut cdb, source, num_blocks);
    cdb
}

fn fill_fields(cdb: &mut [u8], source: &mut Source<'_>, num_blocks: u64) {
    const PERSISTENT_RESERVE_OUT: u8 = 0x5f;
    const TYPES: [u8; 6] = [1, 3, 5, 6, 7, 8];
    if cdb[0] == PERSISTENT_RESERVE_OUT && !source.once_in(4) {
        cdb[2] = source.pick(&TYPES);
    }
    if let Some((at, width)) = layout::allocation_length(cdb) {
        put(cdb, at, width, source.pick(&LENGTHS));
    } else if let Some((at, width)) = layout::parameter_list_length(cdb) {
        let length = if source.below(4) == 0 { source.pick(&LENGTHS) } else { source.number(1) };
        put(cdb, at, width, length);
    }
    if !layout::has_range(cdb[0]) {
        return;
    }
    let lba = match source.below(8) {
        0..3 => source.number(1) % num_blocks.max(1),
        3 => num_blocks.saturating_sub(1 + source.number(1)),
        4 => num_blocks,
        5 => num_blocks.wrapping_sub(1),
        6 => u64::MAX - source.number(1),
        _ => source.number(8),
    };
    let blocks = match source.below(4) {
        0 => source.pick(&COUNTS),
        1 => num_blocks.saturating_sub(lba),
        _ => source.number(1) % 20,
    };
    let one_byte = cdb[0] == layout::COMPARE_AND_WRITE;
    match Form::of(cdb[0]) {
        Some(Form::Six) => {
            cdb[1] = cdb[1] & 0xe0 | (lba >> 16) as u8 & 0x1f;
            put(cdb, 2, 2, lba);
            put(cdb, 4, 1, blocks);
        }
        Some(Form::Ten) => {
            put(cdb, 2, 4, lba);
            put(cdb, 7, 2, blocks);
        }
        Some(Form::Twelve) => {
            put(cdb, 2, 4, lba);
            put(cdb, 6, 4, blocks);
        }
        Some(Form::Sixteen) => {
            put(cdb, 2, 8, lba);
            match one_byte {
                true => put(cdb, 13, 1, blocks),
                false if layout::allocation_length(cdb).is_none() => put(cdb, 10, 4, blocks),
                false => (),
            }
        }
        _ if cdb.len() >= 32 => {
            put(cdb, 12, 8, lba);
            put(cdb, 28, 4, blocks);
        }
        _ => (),
    }
}

/// Lets PARAMETER LIST LENGTH, if there is one, be that of the list.
pub(super) fn put_list_length(cdb: &mut [u8], list_bytes: usize) {
    if cdb.len() > 1
        && let Some((at, width)) = layout::parameter_list_length(cdb)
    {
        put(cdb, at, width, list_bytes as u64);
    }
}

/// As many of the value's lower bytes as the field holds.
pub(super) fn put(bytes: &mut [u8], at: usize, width: usize, value: u64) {
    if let Some(field) = bytes.get_mut(at..at + width) {
        field.copy_from_slice(&value.to_be_bytes()[8 - width..]);
    }
}
