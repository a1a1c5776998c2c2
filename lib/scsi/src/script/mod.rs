//! Commands of several initiators at units of many kinds, driven by a string of bytes: a fuzzer's, or random ones.
//!
//! Everything happens twice, in worlds that differ only in what buffers hold of other commands: an answer that is not the same
//! in both has let some of that out, or hangs on what it should not. What must hold besides is in `check.rs`.

mod check;
mod draw;
mod layout;
mod lists;
mod source;
#[cfg(test)]
mod tests;
mod world;

use std::collections::VecDeque;

use bdev::IoError;

use crate::{Address, Lun, UnitAttention};
use check::Before;
use source::Source;
use world::{Data, INITIATORS, Report, Request, World};

/// No script needs more.
const COMMANDS_MAX: usize = 64;

/// Does what `bytes` say: first which units there are, then one event or command after the other.
///
/// # Panics
/// If a rule is broken.
pub fn run(bytes: &[u8]) {
    play(bytes, &mut |_, _| ());
}

/// A CDB that is nearly right for a unit of `num_blocks`, chosen by `bytes`: mostly a supported command, with some fields at their
/// limits or beyond, at times anything. At most 32 bytes.
pub fn cdb(bytes: &[u8], num_blocks: u64) -> Vec<u8> {
    draw::cdb(&mut Source::new(bytes), &mut 0, num_blocks)
}

/// As [`run`]; each command and what became of it is told.
fn play(bytes: &[u8], tell: &mut dyn FnMut(&Request, &Report)) {
    let mut source = Source::new(bytes);
    let mut one = World::new(&mut source.clone(), 0xee);
    let mut other = World::new(&mut source, 0x11);
    if source.once_in(4) {
        reserve(&mut one);
        reserve(&mut other);
    }
    let mut last = Last::default();
    for _ in 0..COMMANDS_MAX {
        if source.is_empty() {
            break;
        }
        event(&mut source, &[&one, &other]);
        let request = request(&mut source, &mut last, &one);
        let before = Before::of(&one, &request);
        let report = one.run(&request);
        tell(&request, &report);
        check::all(&before, &request, &report, &one);
        let mut again = other.run(&request);
        if layout::tells_time(&request.cdb) && again.data_in.len() == report.data_in.len() {
            again.data_in = report.data_in.clone();
        }
        assert_eq!(again, report, "the same in both: {request:02x?}");
        assert!(one.disks == other.disks, "the same was written: {request:02x?}");
    }
}

/// An initiator holds a persistent reservation from the start (PERSISTENT RESERVE OUT, SPC-4). What needs one would be rare by chance.
fn reserve(world: &mut World) {
    const REGISTER_AND_IGNORE_EXISTING_KEY: u8 = 0x06;
    const RESERVE: u8 = 0x01;
    const EXCLUSIVE_ACCESS: u8 = 0x03;
    for (action, key) in [(REGISTER_AND_IGNORE_EXISTING_KEY, 0), (RESERVE, 1)] {
        let mut list = vec![0; 24];
        (list[7], list[15]) = (key, 1);
        world.run(&Request {
            initiator: 0,
            unit: 0,
            nowhere: None,
            read_only: false,
            cdb: vec![0x5f, action, EXCLUSIVE_ACCESS, 0, 0, 0, 0, 0, 24, 0],
            data_out: Data(list),
            results: VecDeque::new(),
            vanishes_after: None,
        });
    }
}

/// What the command before was about: the next is often about the same.
#[derive(Default)]
struct Last {
    /// In the table of commands.
    row: usize,
    unit: usize,
    initiator: usize,
}

/// Something that happens besides commands, at times.
fn event(source: &mut Source<'_>, worlds: &[&World]) {
    let unit = source.below(worlds[0].units.len());
    match source.below(32) {
        28 => worlds.iter().for_each(|world| world.units[unit].reset()),
        29 => {
            let on = source.once_in(2);
            worlds.iter().for_each(|world| world.units[unit].set_gone(on));
        }
        30 | 31 => {
            let (attention, initiator) = (source.pick(&UnitAttention::ALL), source.below(INITIATORS));
            worlds.iter().for_each(|world| world.nexuses[unit][initiator].establish(attention));
        }
        _ => (),
    }
}

fn request(source: &mut Source<'_>, last: &mut Last, world: &World) -> Request {
    const ERRORS: [IoError; 7] = [
        IoError::Medium,
        IoError::Unsupported,
        IoError::NoSpace,
        IoError::Gone,
        IoError::Failed,
        IoError::WriteProtected,
        IoError::OutOfRange,
    ];
    if source.once_in(4) {
        (last.unit, last.initiator) = (source.below(world.units.len()), source.below(INITIATORS));
    }
    let unit = last.unit;
    let mut cdb = draw::cdb(source, &mut last.row, world.units[unit].num_blocks());
    let data_out = lists::data_out(&cdb, source, world, unit);
    if !source.once_in(4) {
        draw::put_list_length(&mut cdb, data_out.len());
    }
    let failing = source.once_in(8);
    let places = [Address::Unit(Lun(0)), Address::Unit(Lun(5)), Address::ReportLuns, Address::Unknown];
    Request {
        initiator: last.initiator,
        unit,
        nowhere: source.once_in(16).then(|| source.pick(&places)),
        read_only: source.once_in(16),
        data_out: Data(data_out),
        results: (0..if failing { 6 } else { 0 }).map(|_| source.once_in(3).then(|| source.pick(&ERRORS))).collect(),
        vanishes_after: source.once_in(32).then(|| source.below(4)),
        cdb,
    }
}
