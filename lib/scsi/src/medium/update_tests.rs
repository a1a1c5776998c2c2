//! Commands that write after or before they read: WRITE AND VERIFY, COMPARE AND WRITE, ORWRITE, WRITE ATOMIC; PRE-FETCH, and the 32-byte forms.

use bdev::{IoError, Op};

use super::*;
use crate::testing::{BLOCK, BLOCKS, Disk, Outcome, context, refusal, run, sense_of, unit, unit_with};
use crate::{Context, Ending, LogicalUnit, begin};

const GOOD: Ending = Ending::Good { data_in: 0..0 };
const PIECE: u64 = (SCRATCH_BYTES / BLOCK) as u64;
const DURABLE: Op = Op::Write { fua: true };
const WRITE: Op = Op::Write { fua: false };

fn field(byte: u16, bit: Option<u8>) -> Sense {
    Sense::invalid_field_in_cdb(byte, bit)
}

fn cdb_10(opcode: u8, options: u8, lba: u32, blocks: u16) -> Vec<u8> {
    [&[opcode, options][..], &lba.to_be_bytes(), &[0], &blocks.to_be_bytes(), &[0]].concat()
}

fn cdb_12(opcode: u8, options: u8, lba: u32, blocks: u32) -> Vec<u8> {
    [&[opcode, options][..], &lba.to_be_bytes(), &blocks.to_be_bytes(), &[0, 0]].concat()
}

fn cdb_16(opcode: u8, options: u8, lba: u64, blocks: u32) -> Vec<u8> {
    [&[opcode, options][..], &lba.to_be_bytes(), &blocks.to_be_bytes(), &[0, 0]].concat()
}

fn cdb_32(action: u8, options: u8, lba: u64, blocks: u32) -> Vec<u8> {
    let start = [0x7f, 0, 0, 0, 0, 0, 0, 0x18, 0, action, options, 0];
    [&start[..], &lba.to_be_bytes(), &[0x55; 8], &blocks.to_be_bytes()].concat()
}

fn compare_and_write(options: u8, lba: u64, blocks: u8) -> Vec<u8> {
    [&[0x89, options][..], &lba.to_be_bytes(), &[0, 0, 0, blocks, 0, 0]].concat()
}

fn write_atomic(options: u8, lba: u64, boundary: u16, blocks: u16) -> Vec<u8> {
    [&[0x9c, options][..], &lba.to_be_bytes(), &boundary.to_be_bytes(), &blocks.to_be_bytes(), &[0, 0]].concat()
}

fn go(cdb: &[u8], data_out: &[u8], unit: &LogicalUnit, disk: &mut Disk) -> Outcome {
    run(cdb, data_out, &context(unit), disk)
}

/// Bytes that differ from block to block and within each.
fn pattern(blocks: u64) -> Vec<u8> {
    (0..blocks as usize * BLOCK).map(|n| n as u8 ^ (n / BLOCK) as u8 ^ (n >> 8) as u8).collect()
}

#[test]
fn write_and_verify_writes_to_the_medium_and_reads_it_back() {
    let unit = unit_with(|facts| facts.write_cache = true);
    let blocks = PIECE + 3;
    let data = pattern(blocks);
    for options in [0x00, 0x02] {
        for cdb in [
            cdb_10(0x2e, options, 7, blocks as u16),
            cdb_12(0xae, options, 7, blocks as u32),
            cdb_16(0x8e, options, 7, blocks as u32),
            cdb_32(0x0c, options, 7, blocks as u32),
        ] {
            let mut disk = Disk::default();
            let outcome = go(&cdb, &data, &unit, &mut disk);
            assert_eq!((outcome.ending, outcome.data_out_len), (GOOD, data.len()), "{cdb:02x?}");
            assert_eq!(disk.asked, [(DURABLE, 7, blocks), (Op::Read, 7, PIECE), (Op::Read, 7 + PIECE, 3)]);
            assert!((0..blocks).all(|at| disk.block(7 + at) == data[at as usize * BLOCK..][..BLOCK]));
        }
    }
}

/// A disk that keeps something else than it was given.
#[test]
fn write_and_verify_tells_what_came_back_changed_only_if_it_is_to_compare() {
    let unit = unit();
    for (options, changed) in
        [(0x02, Err(Sense::MISCOMPARE_DURING_VERIFY.with_information(5 * 512 + 9))), (0x00, Ok(()))]
    {
        let cdb = cdb_16(0x8e, options, 20, 8);
        let mut disk = Disk { corrupts: Some((25, 9)), ..Disk::default() };
        let outcome = go(&cdb, &pattern(8), &unit, &mut disk);
        match changed {
            Ok(()) => assert_eq!(outcome.ending, GOOD),
            Err(sense) => assert_eq!(sense_of(&outcome, &cdb), sense),
        }
    }
}

#[test]
fn write_and_verify_refuses_and_fails_like_both() {
    let unit = unit();
    for bytchk in [0x04, 0x06] {
        assert_eq!(refusal(&cdb_16(0x8e, bytchk, 0, 1), &context(&unit)), field(1, Some(2)));
        assert_eq!(refusal(&cdb_32(0x0c, bytchk, 0, 1), &context(&unit)), field(10, Some(2)));
    }
    assert_eq!(refusal(&cdb_10(0x2e, 0x20, 0, 1), &context(&unit)), field(1, Some(7)));
    let most = unit.facts().transfer_blocks_max();
    assert_eq!(refusal(&cdb_12(0xae, 0, 0, most + 1), &context(&unit)), field(6, None));
    assert_eq!(refusal(&cdb_16(0x8e, 2, BLOCKS, 1), &context(&unit)), Sense::LBA_OUT_OF_RANGE);
    assert_eq!(refusal(&cdb_16(0x8e, 2, u64::MAX, 2), &context(&unit)), Sense::LBA_OUT_OF_RANGE);
    for (results, sense, asked) in [
        (vec![Err(IoError::Medium)], Sense::WRITE_ERROR, 1),
        (vec![Ok(()), Err(IoError::Medium)], Sense::UNRECOVERED_READ_ERROR.with_information(4), 2),
    ] {
        let mut disk = Disk { results: results.into(), ..Disk::default() };
        let cdb = cdb_16(0x8e, 2, 4, if asked == 2 { 1 } else { 3 });
        assert_eq!(sense_of(&go(&cdb, &pattern(3), &unit, &mut disk), &cdb), sense);
        assert_eq!(disk.asked.len(), asked);
    }
    let mut disk = Disk::default();
    assert_eq!(go(&cdb_16(0x8e, 2, BLOCKS, 0), &[], &unit, &mut disk).ending, GOOD);
    assert_eq!(disk.asked, []);
}

#[test]
fn compare_and_write_writes_what_compares_equal() {
    let unit = unit();
    for blocks in [1, 3, PIECE as u8, 255] {
        for (options, write) in [(0x00, WRITE), (0x10, WRITE), (0x08, DURABLE)] {
            let mut disk = Disk::default();
            disk.fill(50, u64::from(blocks), 0xab);
            let (old, new) = (vec![0xab; usize::from(blocks) * BLOCK], pattern(u64::from(blocks)));
            let outcome = go(&compare_and_write(options, 50, blocks), &[old, new.clone()].concat(), &unit, &mut disk);
            assert_eq!((outcome.ending, outcome.data_out_len), (GOOD, 2 * new.len()));
            assert_eq!(disk.asked.last(), Some(&(write, 50, u64::from(blocks))));
            assert!((0..u64::from(blocks)).all(|at| disk.block(50 + at) == new[at as usize * BLOCK..][..BLOCK]));
            assert_eq!((disk.block(49), disk.block(50 + u64::from(blocks))), (vec![0; BLOCK], vec![0; BLOCK]));
        }
    }
}

#[test]
fn compare_and_write_tells_the_first_difference_and_writes_nothing() {
    let unit = unit();
    let blocks = PIECE + 2;
    let len = blocks as usize * BLOCK;
    for offset in [0, 511, 512, PIECE as usize * BLOCK, len - 1] {
        let mut disk = Disk::default();
        disk.fill(0, blocks, 0x11);
        let mut data = vec![0x11; 2 * len];
        data[offset] = 0x12;
        data[len - 1] ^= 1;
        let cdb = compare_and_write(0, 0, blocks as u8);
        let outcome = go(&cdb, &data, &unit, &mut disk);
        assert_eq!(
            sense_of(&outcome, &cdb),
            Sense::MISCOMPARE_DURING_VERIFY.with_information(offset.min(len - 1) as u64)
        );
        assert!(disk.asked.iter().all(|(op, ..)| *op == Op::Read));
    }
}

#[test]
fn compare_and_write_of_nothing_and_past_its_limits() {
    let unit = unit();
    let mut disk = Disk::default();
    let outcome = go(&compare_and_write(0, BLOCKS, 0), &[], &unit, &mut disk);
    assert_eq!((outcome.ending, outcome.data_out_len, disk.asked.len()), (GOOD, 0, 0));
    assert_eq!(refusal(&compare_and_write(0, BLOCKS + 1, 0), &context(&unit)), Sense::LBA_OUT_OF_RANGE);
    assert_eq!(refusal(&compare_and_write(0, BLOCKS - 1, 2), &context(&unit)), Sense::LBA_OUT_OF_RANGE);
    assert_eq!(refusal(&compare_and_write(0, u64::MAX, 2), &context(&unit)), Sense::LBA_OUT_OF_RANGE);
    assert_eq!(refusal(&compare_and_write(0x20, 0, 1), &context(&unit)), field(1, Some(7)));
    let small = unit_with(|facts| facts.transfer_bytes_max = 128 << 10);
    assert!(begin(&compare_and_write(0, 0, 128), &context(&small)).is_ok());
    assert_eq!(refusal(&compare_and_write(0, 0, 129), &context(&small)), field(13, None));
}

#[test]
fn compare_and_write_fails_with_its_device() {
    let unit = unit();
    for (results, sense) in [
        (vec![Err(IoError::Medium)], Sense::UNRECOVERED_READ_ERROR.with_information(9)),
        (vec![Err(IoError::Failed)], Sense::INTERNAL_TARGET_FAILURE),
        (vec![Ok(()), Err(IoError::NoSpace)], Sense::SPACE_ALLOCATION_FAILED),
    ] {
        let mut disk = Disk { results: results.into(), ..Disk::default() };
        let cdb = compare_and_write(0, 9, 1);
        assert_eq!(sense_of(&go(&cdb, &[0; 2 * BLOCK], &unit, &mut disk), &cdb), sense);
    }
}

#[test]
fn orwrite_sets_bits_and_clears_none() {
    let unit = unit();
    let blocks = PIECE + 1;
    let mut disk = Disk::default();
    disk.fill(3, blocks, 0x81);
    let data = pattern(blocks);
    let outcome = go(&cdb_16(0x8b, 0x08, 3, blocks as u32), &data, &unit, &mut disk);
    assert_eq!((outcome.ending, outcome.data_out_len), (GOOD, data.len()));
    assert_eq!(disk.asked, [(Op::Read, 3, PIECE), (Op::Read, 3 + PIECE, 1), (DURABLE, 3, blocks)]);
    for at in 0..blocks {
        let expected: Vec<u8> = data[at as usize * BLOCK..][..BLOCK].iter().map(|byte| byte | 0x81).collect();
        assert_eq!(disk.block(3 + at), expected);
    }
    let mut idle = Disk::default();
    assert_eq!(go(&cdb_16(0x8b, 0, BLOCKS, 0), &[], &unit, &mut idle).ending, GOOD);
    assert_eq!(idle.asked, []);
}

#[test]
fn orwrite_refuses_and_fails() {
    let unit = unit();
    let most = unit.facts().transfer_blocks_max();
    assert_eq!(refusal(&cdb_16(0x8b, 0, 0, most + 1), &context(&unit)), field(10, None));
    assert_eq!(refusal(&cdb_16(0x8b, 0xe0, 0, 1), &context(&unit)), field(1, Some(7)));
    assert_eq!(refusal(&cdb_16(0x8b, 0, BLOCKS, 1), &context(&unit)), Sense::LBA_OUT_OF_RANGE);
    for (results, sense) in [
        (vec![Err(IoError::Medium)], Sense::UNRECOVERED_READ_ERROR.with_information(9)),
        (vec![Ok(()), Err(IoError::Medium)], Sense::WRITE_ERROR.with_information(9)),
    ] {
        let mut disk = Disk { results: results.into(), ..Disk::default() };
        let cdb = cdb_16(0x8b, 0, 9, 1);
        assert_eq!(sense_of(&go(&cdb, &[0; BLOCK], &unit, &mut disk), &cdb), sense);
    }
}

/// ORWRITE(32) of this BMOP: with this policy and generation if it is a change.
fn or_write_32(bmop: u8, policy: u8, (expected, new): (u32, u32), lba: u64, blocks: u32) -> Vec<u8> {
    let mut cdb = cdb_32(0x0e, 0, lba, blocks);
    (cdb[2], cdb[3]) = (bmop, policy);
    cdb[20..24].copy_from_slice(&expected.to_be_bytes());
    cdb[24..28].copy_from_slice(&new.to_be_bytes());
    cdb
}

#[test]
fn a_change_of_generation_clears_bits_and_sets_none() {
    let unit = unit();
    let blocks = PIECE + 1;
    let mut disk = Disk::default();
    disk.fill(3, blocks, 0x81);
    let data = pattern(blocks);
    let outcome = go(&or_write_32(1, 7, (0, 5), 3, blocks as u32), &data, &unit, &mut disk);
    assert_eq!((outcome.ending, outcome.data_out_len), (GOOD, data.len()));
    assert_eq!(disk.asked, [(Op::Read, 3, PIECE), (Op::Read, 3 + PIECE, 1), (WRITE, 3, blocks)]);
    for at in 0..blocks {
        let expected: Vec<u8> = data[at as usize * BLOCK..][..BLOCK].iter().map(|byte| byte & 0x81).collect();
        assert_eq!(disk.block(3 + at), expected);
    }
}

/// SBC-3's table of set operations: for each policy what becomes of one that expects the previous generation, and another.
#[test]
fn bits_of_an_old_generation_are_set_discarded_or_refused() {
    const MISMATCH: Ending = Ending::CheckCondition(Sense::ORWRITE_GENERATION_DOES_NOT_MATCH);
    let (set, discarded, refused) = ((GOOD, 0xff), (GOOD, 0x11), (MISMATCH, 0x11));
    for (policy, previous, other) in [
        (0, &set, &refused),
        (2, &discarded, &refused),
        (3, &set, &set),
        (5, &discarded, &discarded),
        (7, &refused, &refused),
    ] {
        let unit = unit();
        // Without blocks it is only the generation that changes.
        assert_eq!(go(&or_write_32(1, policy, (0, 8), 0, 0), &[], &unit, &mut Disk::default()).ending, GOOD);
        assert_eq!(go(&or_write_32(1, policy, (8, 9), 0, 0), &[], &unit, &mut Disk::default()).ending, GOOD);
        unit.reset();
        for (cdb, (ending, byte)) in [
            (or_write_32(0, 0xff, (9, 77), 0, 1), &set),
            (or_write_32(0, 0, (8, 0), 0, 1), previous),
            (or_write_32(0, 0, (7, 0), 0, 1), other),
            (cdb_16(0x8b, 0, 0, 1), other), // ORWRITE(16) expects generation 0
        ] {
            let mut disk = Disk::default();
            disk.fill(0, 1, 0x11);
            assert_eq!(go(&cdb, &[0xee; BLOCK], &unit, &mut disk).ending, *ending, "policy {policy} {cdb:02x?}");
            assert_eq!(disk.block(0), vec![*byte; BLOCK], "policy {policy} {cdb:02x?}");
        }
    }
}

#[test]
fn a_change_of_generation_that_fails_changes_none() {
    let unit = unit();
    for (cdb, results, sense) in [
        (or_write_32(1, 3, (1, 2), 0, 1), vec![], Sense::ORWRITE_GENERATION_DOES_NOT_MATCH),
        (or_write_32(1, 3, (0, 2), 0, 1), vec![Err(IoError::Failed)], Sense::INTERNAL_TARGET_FAILURE),
        (or_write_32(1, 3, (0, 2), 0, 1), vec![Ok(()), Err(IoError::NoSpace)], Sense::SPACE_ALLOCATION_FAILED),
        (or_write_32(1, 1, (0, 2), 0, 1), vec![], field(3, Some(3))),
        (or_write_32(1, 8, (0, 2), 0, 1), vec![], field(3, Some(3))),
        (or_write_32(2, 3, (0, 2), 0, 1), vec![], field(2, Some(2))),
        (or_write_32(7, 3, (0, 2), 0, 1), vec![], field(2, Some(2))),
        (or_write_32(1, 3, (0, 2), BLOCKS, 1), vec![], Sense::LBA_OUT_OF_RANGE),
        (or_write_32(0, 0, (0, 0), 0, 3000), vec![], field(28, None)),
    ] {
        let mut disk = Disk { results: results.into(), ..Disk::default() };
        assert_eq!(sense_of(&go(&cdb, &[0; BLOCK], &unit, &mut disk), &cdb), sense, "{cdb:02x?}");
    }
    assert_eq!(go(&or_write_32(0, 0, (0, 0), 0, 1), &[0; BLOCK], &unit, &mut Disk::default()).ending, GOOD);
}

#[test]
fn write_atomic_is_one_write_as_long_as_the_device_allows() {
    let unit = unit_with(|facts| facts.atomic_blocks = 8);
    let mut disk = Disk::default();
    let outcome = go(&write_atomic(0x08, 3, 0, 8), &pattern(8), &unit, &mut disk);
    assert_eq!((outcome.ending, outcome.data_out_len), (GOOD, 8 * BLOCK));
    assert_eq!(disk.asked, [(DURABLE, 3, 8)]);
    assert_eq!(go(&write_atomic(0, BLOCKS, 0, 0), &[], &unit, &mut disk).ending, GOOD);
    assert_eq!(disk.asked.len(), 1);
    assert_eq!(refusal(&write_atomic(0, 0, 0, 9), &context(&unit)), field(12, None));
    assert_eq!(refusal(&write_atomic(0, 0, 1, 4), &context(&unit)), field(10, None));
    assert_eq!(refusal(&write_atomic(0x40, 0, 0, 4), &context(&unit)), field(1, Some(7)));
    assert_eq!(refusal(&write_atomic(0, BLOCKS - 1, 0, 2), &context(&unit)), Sense::LBA_OUT_OF_RANGE);
    let other = unit_with(|facts| facts.atomic_blocks = 0);
    assert_eq!(refusal(&write_atomic(0, 0, 0, 1), &context(&other)), Sense::INVALID_COMMAND_OPERATION_CODE);
}

#[test]
fn pre_fetch_checks_the_range_and_fetches_nothing() {
    let unit = unit();
    let mut disk = Disk::default();
    for options in [0x00, 0x02] {
        for (lba, blocks) in [(0, 0), (5, 8), (BLOCKS as u32, 0), (BLOCKS as u32 - 1, 1)] {
            assert_eq!(go(&cdb_10(0x34, options, lba, blocks), &[], &unit, &mut disk).ending, GOOD);
            assert_eq!(go(&cdb_16(0x90, options, lba.into(), blocks.into()), &[], &unit, &mut disk).ending, GOOD);
        }
    }
    assert_eq!(disk.asked, []);
    assert_eq!(refusal(&cdb_10(0x34, 0, BLOCKS as u32, 1), &context(&unit)), Sense::LBA_OUT_OF_RANGE);
    assert_eq!(refusal(&cdb_16(0x90, 0, u64::MAX, 2), &context(&unit)), Sense::LBA_OUT_OF_RANGE);
}

/// What nobody else may touch meanwhile.
#[test]
fn what_reads_and_writes_is_alone_with_its_blocks() {
    let unit = unit_with(|facts| facts.atomic_blocks = 8);
    let exclusive =
        |cdb: &[u8]| begin(cdb, &Context { data_out_len: 4, ..context(&unit) }).expect("a legal command").exclusive();
    assert_eq!(exclusive(&compare_and_write(0, 7, 3)), Some(7..10));
    assert_eq!(exclusive(&cdb_16(0x8b, 0, 8, 2)), Some(8..10));
    assert_eq!(exclusive(&or_write_32(0, 0, (0, 0), 8, 2)), Some(8..10));
    assert_eq!(exclusive(&or_write_32(1, 3, (0, 1), 8, 0)), Some(0..u64::MAX));
    assert_eq!(exclusive(&write_atomic(0, 9, 0, 8)), Some(9..17));
    for cdb in [
        compare_and_write(0, 7, 0),
        cdb_16(0x8b, 0, 8, 0),
        cdb_16(0x8a, 0, 8, 2),
        cdb_16(0x8e, 2, 8, 2),
        vec![0x48, 0x1f, 0, 0, 0, 0, 0, 0, 0, 0],
        vec![0x48, 2, 0, 0, 0, 0, 0, 0, 0, 0], // not before everybody is refused
    ] {
        assert_eq!(exclusive(&cdb), None, "{cdb:02x?}");
    }
}

#[test]
fn the_32_byte_forms_do_what_the_others_do() {
    let (unit, mut disk) = (unit_with(|facts| facts.write_cache = true), Disk::default());
    let data = pattern(4);
    assert_eq!(go(&cdb_32(0x0b, 0x08, 7, 4), &data, &unit, &mut disk).ending, GOOD);
    assert_eq!(go(&cdb_32(0x09, 0x00, 7, 4), &[], &unit, &mut disk).data_in, data);
    assert_eq!(go(&cdb_32(0x0a, 0x02, 7, 4), &data, &unit, &mut disk).ending, GOOD);
    assert_eq!(go(&cdb_32(0x0d, 0x01, 8, 2), &[], &unit, &mut disk).ending, GOOD);
    let zeroes = Op::WriteZeroes { unmap: false, fua: false };
    let asked = [(DURABLE, 7, 4), (Op::Read, 7, 4), (Op::Flush, 7, 4), (Op::Read, 7, 4), (zeroes, 8, 2)];
    assert_eq!(disk.asked, asked);
    assert_eq!(disk.block(8), [0; BLOCK]);
}

#[test]
fn the_32_byte_forms_name_their_own_fields() {
    let unit = unit();
    let most = unit.facts().transfer_blocks_max();
    let mut nothing_more = cdb_32(0x09, 0, 0, 1);
    nothing_more[7] = 0x14;
    let mut naca = cdb_32(0x09, 0, 0, 1);
    naca[1] = 0x04;
    for (cdb, sense) in [
        (cdb_32(0x09, 0x20, 0, 1), field(10, Some(7))),
        (cdb_32(0x0b, 0x80, 0, 1), field(10, Some(7))),
        (cdb_32(0x0a, 0x04, 0, 1), field(10, Some(2))),
        (cdb_32(0x0d, 0x10, 0, 1), field(10, Some(4))),
        (cdb_32(0x0d, 0x04, 0, 1), field(10, Some(2))),
        (cdb_32(0x09, 0, 0, most + 1), field(28, None)),
        (cdb_32(0x0b, 0, BLOCKS, 1), Sense::LBA_OUT_OF_RANGE),
        (cdb_32(0x0f, 0, 0, 1), field(8, None)),
        (cdb_32(0x00, 0, 0, 1), field(8, None)),
        (nothing_more, field(7, None)),
        (naca, field(1, Some(2))),
        (cdb_32(0x09, 0, 0, 1)[..31].to_vec(), Sense::INVALID_COMMAND_OPERATION_CODE),
    ] {
        assert_eq!(refusal(&cdb, &context(&unit)), sense, "{cdb:02x?}");
    }
    let thick = unit_with(|facts| facts.unmap = false);
    assert_eq!(refusal(&cdb_32(0x0d, 0x08, 0, 1), &context(&thick)), field(10, Some(3)));
}

/// INFORMATION is the address of the first block that cannot be read, wherever it is, and few reads find it.
#[test]
fn a_failed_read_is_narrowed_down_to_its_block() {
    let unit = unit();
    for (lba, blocks) in [(100, 1), (100, 2), (100, 7), (100, 2048)] {
        for bad in [vec![lba], vec![lba + blocks - 1], vec![lba + blocks / 2, lba + blocks - 1], vec![lba + blocks / 3]]
        {
            let mut disk = Disk { unreadable: bad.clone(), ..Disk::default() };
            let cdb = cdb_16(0x88, 0, lba, blocks as u32);
            let sense = sense_of(&go(&cdb, &[], &unit, &mut disk), &cdb);
            assert_eq!(sense, Sense::UNRECOVERED_READ_ERROR.with_information(bad[0]), "{bad:?} of {lba}+{blocks}");
            assert!(disk.asked.len() <= 2 + blocks.ilog2() as usize + 1, "{} reads", disk.asked.len());
        }
    }
    // In the second piece, behind the data-out.
    let bad = 100 + PIECE + 5;
    let mut disk = Disk { unreadable: vec![bad], ..Disk::default() };
    let cdb = cdb_16(0x8f, 0x02, 100, PIECE as u32 + 9);
    let outcome = go(&cdb, &vec![0; (PIECE as usize + 9) * BLOCK], &unit, &mut disk);
    assert_eq!(sense_of(&outcome, &cdb), Sense::UNRECOVERED_READ_ERROR.with_information(bad));
}

/// The block may be readable again, or the device be gone when it is looked for.
#[test]
fn a_failure_that_does_not_come_again_is_reported_without_a_block() {
    let unit = unit();
    let cdb = cdb_16(0x88, 0, 100, 8);
    let mut disk = Disk { results: [Err(IoError::Medium)].into(), ..Disk::default() };
    assert_eq!(sense_of(&go(&cdb, &[], &unit, &mut disk), &cdb), Sense::UNRECOVERED_READ_ERROR);
    let mut disk = Disk { results: [Err(IoError::Medium), Err(IoError::Gone)].into(), ..Disk::default() };
    assert_eq!(sense_of(&go(&cdb, &[], &unit, &mut disk), &cdb), Sense::NOT_READY_MANUAL_INTERVENTION);
}
