//! Parameter lists and data that are nearly right.

use super::draw::put;
use super::source::Source;
use super::world::{PORTS, World};

/// Data-out for a CDB, at least as long as anybody asks of it.
pub(super) fn data_out(cdb: &[u8], source: &mut Source<'_>, world: &World, unit: usize) -> Vec<u8> {
    let block_bytes = world.units[unit].block_size() as usize;
    let mut data = match cdb.first() {
        Some(0x42) => unmap(source, world.units[unit].num_blocks()),
        Some(0x15) => mode_pages(source, world, unit, 4),
        Some(0x55) => mode_pages(source, world, unit, 8),
        Some(0x48) => overwrite(source, block_bytes),
        Some(0x5f) => reservation(cdb, source),
        Some(0x83) => copy(source, world),
        Some(0x2f | 0x89 | 0x8e | 0x8f | 0x2e | 0xae | 0xaf) => world.disks[unit].block(blocks_at(cdb), block_bytes),
        Some(0xa4) => (0..source.below(24)).map(|_| source.byte() & 0x0f).collect(),
        _ => (0..source.below(12)).map(|_| source.byte()).collect(),
    };
    if source.once_in(4) && !data.is_empty() {
        let at = source.below(data.len());
        data[at] = source.byte();
    }
    data
}

fn blocks_at(cdb: &[u8]) -> u64 {
    crate::wire::cdb::Form::of(cdb[0])
        .filter(|form| cdb.len() >= form.cdb_bytes())
        .map_or(0, |form| form.range(cdb).lba)
}

fn unmap(source: &mut Source<'_>, num_blocks: u64) -> Vec<u8> {
    let count = source.pick(&[1, 0, 2, 3, 8, 256, 257]);
    let mut list = vec![0; 8 + 16 * count];
    put(&mut list, 0, 2, 6 + 16 * count as u64);
    put(&mut list, 2, 2, 16 * count as u64);
    for index in 0..count.min(8) {
        let lba = source.pick(&[0, 1, num_blocks.wrapping_sub(1), num_blocks, u64::MAX]);
        put(&mut list, 8 + 16 * index, 8, lba);
        put(&mut list, 16 + 16 * index, 4, source.pick(&[1, 0, 2, num_blocks, u64::MAX]));
    }
    list
}

/// A page as MODE SENSE has it, with a few bits changed.
fn mode_pages(source: &mut Source<'_>, world: &World, unit: usize, header: usize) -> Vec<u8> {
    let (page, subpage) =
        source.pick(&[(0x0a, 0), (0x08, 0), (0x1c, 0), (0x3f, 0), (0x0a, 1), (0x01, 0), (0x3f, 0xff)]);
    let descriptor = if source.once_in(3) { 0 } else { 8 };
    let cdb = match header {
        4 => vec![0x1a, descriptor, page, subpage, 0xff, 0],
        _ => vec![0x5a, descriptor, page, subpage, 0, 0, 0, 0x02, 0, 0],
    };
    let mut list = world.ask(unit, &cdb);
    list.iter_mut().take(header).take(3).for_each(|byte| *byte = 0);
    for _ in 0..source.below(3) {
        if list.len() > header {
            let at = header + source.below(list.len() - header);
            list[at] ^= 1 << source.below(8);
        }
    }
    list
}

/// PERSISTENT RESERVE OUT (SPC-4): keys that are mostly equal.
fn reservation(cdb: &[u8], source: &mut Source<'_>) -> Vec<u8> {
    const REGISTER_AND_MOVE: u8 = 0x07;
    const KEYS: [u8; 5] = [1, 1, 1, 0, 2];
    let mut list = vec![0; 24];
    (list[7], list[15]) = (source.pick(&KEYS), source.pick(&KEYS));
    if cdb.get(1) == Some(&REGISTER_AND_MOVE) {
        add_initiator_port(&mut list, source);
    } else if source.once_in(4) {
        list[20] = source.byte();
    }
    list
}

/// The header of REGISTER AND MOVE ends with a TransportID of SRP.
fn add_initiator_port(list: &mut Vec<u8>, source: &mut Source<'_>) {
    const SRP: u8 = 0x04;
    let ports = &PORTS[source.below(PORTS.len())];
    put(list, 18, 2, u64::from(ports.relative_target_port));
    put(list, 20, 4, 24);
    list.extend_from_slice(&[SRP, 0, 0, 0, 0, 0, 0, 0]);
    list.extend_from_slice(&ports.initiator_port_id);
}

/// SANITIZE, OVERWRITE (SBC-3): a pattern, once.
fn overwrite(source: &mut Source<'_>, block_bytes: usize) -> Vec<u8> {
    let pattern_bytes = source.pick(&[1, 4, block_bytes, 0, block_bytes + 1]);
    let mut list = vec![0x5a; 4 + pattern_bytes];
    (list[0], list[1]) = (1, 0);
    put(&mut list, 2, 2, pattern_bytes as u64);
    list
}

/// EXTENDED COPY (SPC-4): one segment, block to block, between units that are there.
fn copy(source: &mut Source<'_>, world: &World) -> Vec<u8> {
    let mut list = vec![0; 16 + 2 * 32 + 28];
    put(&mut list, 2, 2, 64);
    put(&mut list, 8, 4, 28);
    for index in 0..2 {
        let at = 16 + 32 * index;
        let unit = &world.units[source.below(world.units.len())];
        list[at] = 0xe4;
        list[at + 4..at + 8].copy_from_slice(&[1, 3, 0, 8]);
        put(&mut list, at + 8, 8, unit.naa());
        put(&mut list, at + 29, 3, u64::from(unit.block_size()));
    }
    list[80] = 0x02;
    put(&mut list, 82, 2, 24);
    put(&mut list, 86, 2, source.number(1) & 1);
    put(&mut list, 84, 2, source.number(1) & 1);
    put(&mut list, 90, 2, source.number(1) % 40);
    put(&mut list, 92, 8, source.number(1));
    put(&mut list, 100, 8, source.number(1));
    list
}
