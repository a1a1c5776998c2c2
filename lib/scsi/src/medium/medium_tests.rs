use bdev::{IoError, Op};

use super::*;
use crate::testing::{BLOCK, BLOCKS, Disk, Outcome, context, run, sense_of, unit, unit_with};
use crate::{Ending, LogicalUnit};

const GOOD: Ending = Ending::Good { data_in: 0..0 };
const PIECE: u64 = (SCRATCH_BYTES / BLOCK) as u64;

fn cdb_16(opcode: u8, options: u8, lba: u64, blocks: u32) -> [u8; 16] {
    let mut cdb = [0; 16];
    cdb[0] = opcode;
    cdb[1] = options;
    cdb[2..10].copy_from_slice(&lba.to_be_bytes());
    cdb[10..14].copy_from_slice(&blocks.to_be_bytes());
    cdb
}

fn cached() -> LogicalUnit {
    unit_with(|facts| facts.write_cache = true)
}

fn go(cdb: &[u8], data_out: &[u8], unit: &LogicalUnit, disk: &mut Disk) -> Outcome {
    run(cdb, data_out, &context(unit), disk)
}

#[test]
fn what_was_written_is_read() {
    let (unit, mut disk) = (unit(), Disk::default());
    let data: Vec<u8> = (0..3 * BLOCK).map(|n| n as u8 ^ (n >> 8) as u8).collect();
    let written = go(&cdb_16(0x8a, 0, 7, 3), &data, &unit, &mut disk);
    assert_eq!((written.ending, written.data_out_len), (GOOD, data.len()));
    let read = go(&cdb_16(0x88, 0, 7, 3), &[], &unit, &mut disk);
    assert_eq!(read.data_in, data);
    assert_eq!(disk.asked, [(Op::Write { fua: false }, 7, 3), (Op::Read, 7, 3)]);
}

#[test]
fn a_transfer_of_nothing_asks_for_nothing() {
    let (unit, mut disk) = (cached(), Disk::default());
    for opcode in [0x88, 0x8a, 0x8f] {
        assert_eq!(go(&cdb_16(opcode, 0, BLOCKS, 0), &[], &unit, &mut disk).ending, GOOD, "{opcode:x}");
    }
    assert_eq!(disk.asked, []);
}

#[test]
fn fua_reaches_the_medium() {
    let (unit, mut disk) = (cached(), Disk::default());
    go(&cdb_16(0x8a, 0x08, 1, 1), &[1; BLOCK], &unit, &mut disk);
    go(&cdb_16(0x88, 0x08, 1, 1), &[], &unit, &mut disk);
    assert_eq!(disk.asked, [(Op::Write { fua: true }, 1, 1), (Op::Flush, 1, 1), (Op::Read, 1, 1)]);
}

#[test]
fn an_error_of_the_device_fails_the_command() {
    let unit = unit();
    for (opcode, sense) in [(0x88, Sense::UNRECOVERED_READ_ERROR), (0x8a, Sense::WRITE_ERROR)] {
        let mut disk = Disk { results: [Err(IoError::Medium)].into(), ..Disk::default() };
        let outcome = go(&cdb_16(opcode, 0, 5, 2), &[0; 2 * BLOCK], &unit, &mut disk);
        assert_eq!(sense_of(&outcome, &[opcode]), sense);
    }
}

#[test]
fn a_failed_flush_is_no_good_read() {
    let mut disk = Disk { results: [Err(IoError::NoSpace)].into(), ..Disk::default() };
    let outcome = go(&cdb_16(0x88, 0x08, 5, 2), &[], &cached(), &mut disk);
    assert_eq!(sense_of(&outcome, &[]), Sense::SPACE_ALLOCATION_FAILED);
    assert_eq!(disk.asked.len(), 1);
}

#[test]
fn synchronize_cache_flushes_where_there_is_a_cache() {
    for (unit, asked) in [(unit(), vec![]), (cached(), vec![(Op::Flush, 3, 0)])] {
        let mut disk = Disk::default();
        assert_eq!(go(&cdb_16(0x91, 0x02, 3, 0), &[], &unit, &mut disk).ending, GOOD);
        assert_eq!(disk.asked, asked);
    }
    let mut disk = Disk { results: [Err(IoError::Failed)].into(), ..Disk::default() };
    let outcome = go(&cdb_16(0x91, 0, 0, 0), &[], &cached(), &mut disk);
    assert_eq!(sense_of(&outcome, &[]), Sense::INTERNAL_TARGET_FAILURE);
}

#[test]
fn stopping_flushes_unless_told_not_to() {
    for (options, flushes) in [(0x00, 1), (0x01, 0), (0x04, 0), (0x05, 0)] {
        let mut disk = Disk::default();
        assert_eq!(go(&[0x1b, 0, 0, 0, options, 0], &[], &cached(), &mut disk).ending, GOOD);
        assert_eq!(disk.asked.len(), flushes, "{options:x}");
    }
}

#[test]
fn verify_reads_it_all_in_pieces() {
    let (unit, mut disk) = (unit(), Disk::default());
    let blocks = 2 * PIECE + 5;
    assert_eq!(go(&cdb_16(0x8f, 0, 10, blocks as u32), &[], &unit, &mut disk).ending, GOOD);
    let expected = [(Op::Read, 10, PIECE), (Op::Read, 10 + PIECE, PIECE), (Op::Read, 10 + 2 * PIECE, 5)];
    assert_eq!(disk.asked, expected);
}

#[test]
fn verify_flushes_the_cache_first() {
    let mut disk = Disk::default();
    go(&cdb_16(0x8f, 0, 10, 1), &[], &cached(), &mut disk);
    assert_eq!(disk.asked, [(Op::Flush, 10, 1), (Op::Read, 10, 1)]);
}

#[test]
fn verify_compares_with_the_data_out() {
    let (unit, mut disk) = (unit(), Disk::default());
    let blocks = 2 * PIECE + 3;
    disk.fill(100, blocks, 0xab);
    let mut data = vec![0xab; blocks as usize * BLOCK];
    let verify = cdb_16(0x8f, 0x02, 100, blocks as u32);
    let outcome = go(&verify, &data, &unit, &mut disk);
    assert_eq!((outcome.ending, outcome.data_out_len), (GOOD, data.len()));
    for offset in [0, 511, PIECE as usize * BLOCK, data.len() - 1] {
        data[offset] ^= 1;
        let sense = Sense::MISCOMPARE_DURING_VERIFY.with_information(offset as u64);
        assert_eq!(sense_of(&go(&verify, &data, &unit, &mut disk), &verify), sense);
        data[offset] ^= 1;
    }
}

#[test]
fn verify_compares_every_block_with_one() {
    let (unit, mut disk) = (unit(), Disk::default());
    let blocks = PIECE + 2;
    disk.fill(0, blocks, 0x11);
    let verify = cdb_16(0x8f, 0x06, 0, blocks as u32);
    let outcome = go(&verify, &[0x11; BLOCK], &unit, &mut disk);
    assert_eq!((outcome.ending, outcome.data_out_len), (GOOD, BLOCK));
    disk.blocks.get_mut(&(blocks - 1)).expect("filled")[9] = 0;
    let sense = Sense::MISCOMPARE_DURING_VERIFY.with_information(9);
    assert_eq!(sense_of(&go(&verify, &[0x11; BLOCK], &unit, &mut disk), &verify), sense);
}

#[test]
fn verify_reports_what_cannot_be_read() {
    let unit = unit();
    let mut disk = Disk { results: [Ok(()), Err(IoError::Medium)].into(), ..Disk::default() };
    let outcome = go(&cdb_16(0x8f, 0, 10, PIECE as u32 + 1), &[], &unit, &mut disk);
    assert_eq!(sense_of(&outcome, &[]), Sense::UNRECOVERED_READ_ERROR.with_information(10 + PIECE));
}

#[test]
fn write_same_repeats_a_block() {
    let (unit, mut disk) = (unit(), Disk::default());
    let blocks = PIECE + 3;
    let block: Vec<u8> = (0..BLOCK).map(|n| n as u8).collect();
    let outcome = go(&cdb_16(0x93, 0, 20, blocks as u32), &block, &unit, &mut disk);
    assert_eq!((outcome.ending, outcome.data_out_len), (GOOD, BLOCK));
    let write = Op::Write { fua: false };
    assert_eq!(disk.asked, [(write, 20, PIECE), (write, 20 + PIECE, 3)]);
    assert!((20..20 + blocks).all(|lba| disk.block(lba) == block));
    assert!([19, 20 + blocks].iter().all(|&lba| disk.block(lba) == [0; BLOCK]));
}

#[test]
fn write_same_of_zeroes_is_the_devices_own() {
    let unit = unit();
    for (options, data_out, unmap) in [(0x00, BLOCK, false), (0x01, 0, false), (0x08, BLOCK, true), (0x09, 0, true)] {
        let mut disk = Disk::default();
        disk.fill(0, 10, 0xff);
        let outcome = go(&cdb_16(0x93, options, 2, 4), &[0; BLOCK], &unit, &mut disk);
        assert_eq!((outcome.ending, outcome.data_out_len), (GOOD, data_out), "{options:x}");
        assert_eq!(disk.asked, [(Op::WriteZeroes { unmap, fua: false }, 2, 4)]);
        let zero: Vec<u64> = (0..10).filter(|&lba| disk.block(lba) == [0; BLOCK]).collect();
        assert_eq!(zero, [2, 3, 4, 5]);
    }
}

#[test]
fn write_same_with_unmap_keeps_a_block_that_is_not_zero() {
    let (unit, mut disk) = (unit(), Disk::default());
    go(&cdb_16(0x93, 0x08, 2, 1), &[5; BLOCK], &unit, &mut disk);
    assert_eq!(disk.block(2), [5; BLOCK]);
}

#[test]
fn write_same_writes_zeroes_that_the_device_cannot() {
    let unit = unit();
    let mut disk = Disk { results: [Err(IoError::Unsupported)].into(), ..Disk::default() };
    disk.fill(0, 3, 0xff);
    assert_eq!(go(&cdb_16(0x93, 0x01, 0, 3), &[], &unit, &mut disk).ending, GOOD);
    assert_eq!(disk.asked[1], (Op::Write { fua: false }, 0, 3));
    assert!((0..3).all(|lba| disk.block(lba) == [0; BLOCK]));
}

#[test]
fn write_same_reports_the_piece_that_failed() {
    let unit = unit();
    let mut disk = Disk { results: [Ok(()), Err(IoError::Medium)].into(), ..Disk::default() };
    let outcome = go(&cdb_16(0x93, 0, 20, PIECE as u32 + 1), &[1; BLOCK], &unit, &mut disk);
    assert_eq!(sense_of(&outcome, &[]), Sense::WRITE_ERROR.with_information(20 + PIECE));
}

fn unmap_list(descriptors: &[(u64, u32)]) -> Vec<u8> {
    let mut list = vec![0; 8];
    for &(lba, blocks) in descriptors {
        list.extend(lba.to_be_bytes());
        list.extend(blocks.to_be_bytes());
        list.extend([0; 4]);
    }
    let len = list.len() as u16;
    list[0..2].copy_from_slice(&(len - 2).to_be_bytes());
    list[2..4].copy_from_slice(&(len - 8).to_be_bytes());
    list
}

fn unmap(list: &[u8], list_bytes: usize, disk: &mut Disk) -> Outcome {
    let mut cdb = [0; 10];
    cdb[0] = 0x42;
    cdb[7..9].copy_from_slice(&(list_bytes as u16).to_be_bytes());
    go(&cdb, list, &unit(), disk)
}

#[test]
fn unmap_takes_each_range_that_is_not_empty() {
    let mut disk = Disk::default();
    let list = unmap_list(&[(5, 0), (10, 3), (BLOCKS, 0), (20, 1)]);
    let outcome = unmap(&list, list.len(), &mut disk);
    assert_eq!((outcome.ending, outcome.data_out_len), (GOOD, list.len()));
    assert_eq!(disk.asked, [(Op::Unmap, 10, 3), (Op::Unmap, 20, 1)]);
}

#[test]
fn unmap_of_no_list_or_no_descriptors_does_nothing() {
    let mut disk = Disk::default();
    assert_eq!(unmap(&[], 0, &mut disk).ending, GOOD);
    assert_eq!(unmap(&unmap_list(&[]), 8, &mut disk).ending, GOOD);
    assert_eq!(disk.asked, []);
}

#[test]
fn unmap_ignores_what_is_cut_off() {
    let list = unmap_list(&[(1, 1), (2, 1)]);
    for (list_bytes, ranges) in [(24, 1), (39, 1), (40, 2), (23, 0)] {
        let mut disk = Disk::default();
        assert_eq!(unmap(&list, list_bytes, &mut disk).ending, GOOD);
        assert_eq!(disk.asked.len(), ranges, "{list_bytes}");
    }
    let mut announces_one = list;
    announces_one[3] = 16;
    let mut disk = Disk::default();
    unmap(&announces_one, 40, &mut disk);
    assert_eq!(disk.asked.len(), 1);
}

#[test]
fn unmap_checks_every_range_before_the_first_is_given_up() {
    for (bad, sense) in [
        ((BLOCKS, 1), Sense::LBA_OUT_OF_RANGE),
        ((u64::MAX, 2), Sense::LBA_OUT_OF_RANGE),
        ((BLOCKS - 1, 2), Sense::LBA_OUT_OF_RANGE),
    ] {
        let mut disk = Disk::default();
        let list = unmap_list(&[(0, 1), bad]);
        assert_eq!(sense_of(&unmap(&list, list.len(), &mut disk), &[]), sense);
        assert_eq!(disk.asked, []);
    }
}

#[test]
fn unmap_has_the_limits_that_block_limits_announces() {
    let mut disk = Disk::default();
    let most = unmap_list(&vec![(0, 1); 256]);
    assert_eq!(unmap(&most, most.len(), &mut disk).ending, GOOD);
    assert_eq!(disk.asked.len(), 256);
    let more = unmap_list(&vec![(0, 1); 257]);
    let sense = sense_of(&unmap(&more, more.len(), &mut disk), &[]);
    assert_eq!(sense, Sense::invalid_field_in_parameter_list(2));

    let whole = BLOCKS as u32; // a quarter of the 2^20 blocks allowed in all
    let most = unmap_list(&[(0, whole); 4]);
    assert_eq!(unmap(&most, most.len(), &mut disk).ending, GOOD);
    let more = unmap_list(&[(0, whole), (0, whole), (0, whole), (0, whole), (0, 1)]);
    let sense = sense_of(&unmap(&more, more.len(), &mut disk), &[]);
    assert_eq!(sense, Sense::invalid_field_in_parameter_list(8 + 4 * 16 + 8));
}

#[test]
fn unmap_reports_an_error_of_the_device() {
    let mut disk = Disk { results: [Ok(()), Err(IoError::NoSpace)].into(), ..Disk::default() };
    let list = unmap_list(&[(0, 1), (2, 1), (4, 1)]);
    assert_eq!(sense_of(&unmap(&list, list.len(), &mut disk), &[]), Sense::SPACE_ALLOCATION_FAILED);
    assert_eq!(disk.asked.len(), 2);
}

#[test]
fn a_unit_that_went_away_is_not_supported() {
    let unit = unit();
    let mut job = crate::begin(&cdb_16(0x88, 0, 0, 1), &context(&unit)).expect("a read");
    let gone = crate::Context { unit: None, ..context(&unit) };
    assert_eq!(job.step(&gone, None, &mut [0; BLOCK]), Step::refuse(Sense::LOGICAL_UNIT_NOT_SUPPORTED));
}

fn lba_status_cdb(lba: u64, allocation: u32) -> [u8; 16] {
    let mut cdb = cdb_16(0x9e, 0x12, lba, 0);
    cdb[10..14].copy_from_slice(&allocation.to_be_bytes());
    cdb
}

fn lba_status(lba: u64, allocation: u32, unit: &LogicalUnit, disk: &mut Disk) -> Vec<u8> {
    let outcome = go(&lba_status_cdb(lba, allocation), &[], unit, disk);
    assert!(matches!(outcome.ending, Ending::Good { .. }), "{:?}", outcome.ending);
    outcome.data_in
}

/// The parameter data that these descriptors make.
fn lba_status_list(descriptors: &[(u64, u32, u8)]) -> Vec<u8> {
    let mut list = (4 + 16 * descriptors.len() as u32).to_be_bytes().to_vec();
    list.extend([0; 4]);
    for &(lba, blocks, status) in descriptors {
        list.extend(lba.to_be_bytes());
        list.extend(blocks.to_be_bytes());
        list.extend([status, 0, 0, 0]);
    }
    list
}

#[test]
fn lba_status_tells_what_the_device_knows() {
    let (unit, mut disk) = (unit_with(|facts| facts.lba_status = true), Disk::default());
    disk.fill(8, 4, 1);
    disk.fill(20, 1, 1);
    let rest = BLOCKS as u32 - 21;
    let all = lba_status_list(&[(0, 8, 1), (8, 4, 0), (12, 8, 1), (20, 1, 0), (21, rest, 1)]);
    assert_eq!(lba_status(0, 4096, &unit, &mut disk), all);
    assert_eq!(disk.asked, [(Op::LbaStatus, 0, BLOCKS)]);
    assert_eq!(lba_status(10, 40, &unit, &mut disk), lba_status_list(&[(10, 2, 0), (12, 8, 1)]));
    assert_eq!(lba_status(BLOCKS - 1, 24, &unit, &mut disk), lba_status_list(&[(BLOCKS - 1, 1, 1)]));
}

#[test]
fn lba_status_32_looks_no_farther_than_it_is_told() {
    let ask = |lba: u64, scan: u32, element: u32, unit: &LogicalUnit, disk: &mut Disk| {
        let mut cdb = [0; 32];
        (cdb[0], cdb[7], cdb[9], cdb[10]) = (0x7f, 0x18, 0x12, 0x02);
        cdb[12..20].copy_from_slice(&lba.to_be_bytes());
        cdb[20..24].copy_from_slice(&scan.to_be_bytes());
        cdb[24..28].copy_from_slice(&element.to_be_bytes());
        cdb[28..32].copy_from_slice(&512_u32.to_be_bytes());
        go(&cdb, &[], unit, disk)
    };
    let (knowing, mut disk) = (unit_with(|facts| facts.lba_status = true), Disk::default());
    disk.fill(8, 4, 1);
    let rest = BLOCKS as u32 - 12;
    let all = lba_status_list(&[(0, 8, 1), (8, 4, 0), (12, rest, 1)]);
    assert_eq!(ask(0, 0, 0, &knowing, &mut disk).data_in, all);
    assert_eq!(ask(0, 10, 0, &knowing, &mut disk).data_in, lba_status_list(&[(0, 8, 1), (8, 2, 0)]));
    assert_eq!(ask(BLOCKS - 1, u32::MAX, 0, &knowing, &mut disk).data_in, lba_status_list(&[(BLOCKS - 1, 1, 1)]));
    assert_eq!(ask(3, 5, 0, &unit(), &mut disk).data_in, lba_status_list(&[(3, 5, 0)]));
    assert_eq!(disk.asked, [(Op::LbaStatus, 0, BLOCKS), (Op::LbaStatus, 0, 10), (Op::LbaStatus, BLOCKS - 1, 1)]);
    let refused = |lba, element| sense_of(&ask(lba, 0, element, &knowing, &mut Disk::default()), &[]);
    assert_eq!(refused(0, 1), Sense::invalid_field_in_cdb(24, None));
    assert_eq!(refused(BLOCKS, 0), Sense::LBA_OUT_OF_RANGE);
    assert_eq!(refused(u64::MAX, 0), Sense::LBA_OUT_OF_RANGE);
}

/// SBC-3: at least one descriptor is there to be told of, however little the initiator has room for.
#[test]
fn lba_status_is_cut_to_the_allocation_length() {
    let (unit, mut disk) = (unit_with(|facts| facts.lba_status = true), Disk::default());
    disk.fill(0, 5, 1);
    let one = lba_status_list(&[(0, 5, 0)]);
    for allocation in [0, 1, 4, 8, 23, 24, 39] {
        let cut = &one[..one.len().min(allocation as usize)];
        assert_eq!(lba_status(0, allocation, &unit, &mut disk), cut, "{allocation}");
    }
    (0..1000).for_each(|n| disk.fill(2 * n, 1, 1));
    let most = lba_status(0, u32::MAX, &unit, &mut disk);
    assert_eq!(most.len(), 8 + 16 * crate::limits::LBA_STATUS_DESCRIPTORS_MAX);
}

/// A fully provisioned unit, or one that cannot tell: SBC-3 has status 0 for both.
#[test]
fn without_knowledge_every_block_counts_as_mapped() {
    let mut disk = Disk::default();
    assert_eq!(lba_status(5, 512, &unit(), &mut disk), lba_status_list(&[(5, BLOCKS as u32 - 5, 0)]));
    let huge = LogicalUnit::new(crate::testing::options_of(1 << 40, 512)).expect("a unit");
    assert_eq!(lba_status(1, 512, &huge, &mut disk), lba_status_list(&[(1, u32::MAX, 0)]));
    assert_eq!(disk.asked, []);
}

#[test]
fn lba_status_past_the_end_or_of_a_failing_device_is_refused() {
    let (unit, mut disk) = (unit_with(|facts| facts.lba_status = true), Disk::default());
    for lba in [BLOCKS, u64::MAX] {
        let outcome = go(&lba_status_cdb(lba, 512), &[], &unit, &mut disk);
        assert_eq!(sense_of(&outcome, &[]), Sense::LBA_OUT_OF_RANGE);
    }
    for (error, sense) in [
        (IoError::Failed, Sense::INTERNAL_TARGET_FAILURE),
        (IoError::Medium, Sense::UNRECOVERED_READ_ERROR),
        (IoError::Gone, Sense::NOT_READY_MANUAL_INTERVENTION),
    ] {
        let mut disk = Disk { results: [Err(error)].into(), ..Disk::default() };
        assert_eq!(sense_of(&go(&lba_status_cdb(0, 512), &[], &unit, &mut disk), &[]), sense);
    }
}

/// What a device answers is data of this process, but an initiator acts on it: gaps and blocks that are not there stay out.
#[test]
fn lba_status_keeps_to_the_descriptors_that_make_sense() {
    let unit = unit_with(|facts| facts.lba_status = true);
    let told = |descriptors: &[(u64, u32, u8)]| {
        let mut job = crate::begin(&lba_status_cdb(10, 104), &context(&unit)).expect("legal");
        let mut buffer = vec![0; job.buffer_len()];
        let Step::Io { data, .. } = job.step(&context(&unit), None, &mut buffer) else { panic!("I/O is due") };
        let list = lba_status_list(descriptors);
        buffer[data][..list.len() - 8].copy_from_slice(&list[8..]);
        match job.step(&context(&unit), Some(Ok(())), &mut buffer) {
            Step::Done(Ending::Good { data_in }) => Ok(buffer[data_in].to_vec()),
            Step::Done(Ending::CheckCondition(sense)) => Err(sense),
            step => panic!("{step:?}"),
        }
    };
    let rest = BLOCKS as u32 - 11;
    assert_eq!(told(&[(10, 1, 0x10), (11, u32::MAX, 1)]), Ok(lba_status_list(&[(10, 1, 0), (11, rest, 1)])));
    assert_eq!(told(&[(10, 1, 0), (12, 1, 1)]), Ok(lba_status_list(&[(10, 1, 0)])));
    assert_eq!(told(&[(10, 1, 0), (11, 0, 1), (11, 1, 1)]), Ok(lba_status_list(&[(10, 1, 0)])));
    assert_eq!(told(&[(9, 2, 0)]), Err(Sense::INTERNAL_TARGET_FAILURE));
    assert_eq!(told(&[]), Err(Sense::INTERNAL_TARGET_FAILURE));
}

/// Linux' multipath checker sends TEST UNIT READY: a unit that only said it was ready went up and down forever.
#[test]
fn a_unit_whose_device_is_gone_is_ready_again_when_the_device_is_back() {
    let (unit, mut disk) = (unit(), Disk::default());
    let ready = |disk: &mut Disk| go(&[0; 6], &[], &unit, disk).ending;
    let gone = Ending::CheckCondition(Sense::NOT_READY_MANUAL_INTERVENTION);
    assert_eq!(ready(&mut disk), GOOD);
    assert_eq!(disk.asked, [], "a unit in good health is not asked");

    disk.results = [Err(IoError::Gone), Err(IoError::Gone)].into();
    assert_eq!(go(&cdb_16(0x88, 0, 7, 3), &[], &unit, &mut disk).ending, gone);
    assert_eq!(ready(&mut disk), gone);
    assert_eq!(disk.asked[1..], [(Op::Read, 0, 1)]);
    disk.results = [Err(IoError::Medium)].into();
    assert_eq!(ready(&mut disk), GOOD, "a bad block is on a device that is there");
    assert_eq!((ready(&mut disk), disk.asked.len()), (GOOD, 3));
}

/// Whatever the command: Linux takes this sense for ENOSPC, any other for a broken disk.
#[test]
fn a_full_file_system_is_no_broken_disk() {
    let unmap_one = unmap_list(&[(0, 1)]);
    let mut unmap_cdb = vec![0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    unmap_cdb[8] = unmap_one.len() as u8;
    let full = Err(IoError::NoSpace);
    let case = |name: &'static str, cdb: &[u8], data_out: &[u8], before: &[Result<(), IoError>]| {
        let results = before.iter().copied().chain([full]).collect();
        let mut disk = Disk { results, ..Disk::default() };
        let outcome = go(cdb, data_out, &cached(), &mut disk);
        assert_eq!(sense_of(&outcome, cdb), Sense::SPACE_ALLOCATION_FAILED, "{name}");
        assert_eq!(disk.results, [], "{name}");
    };
    let (ones, zeroes) = ([1; BLOCK], [0; BLOCK]);
    case("WRITE", &cdb_16(0x8a, 0, 0, 1), &ones, &[]);
    case("WRITE with FUA", &cdb_16(0x8a, 0x08, 0, 1), &ones, &[]);
    case("WRITE SAME of zeroes", &cdb_16(0x93, 0, 0, 1), &zeroes, &[]);
    case("WRITE SAME that unmaps", &cdb_16(0x93, 0x08, 0, 1), &zeroes, &[]);
    case("WRITE SAME, second piece", &cdb_16(0x93, 0, 0, PIECE as u32 + 1), &ones, &[Ok(())]);
    case("WRITE SAME, zeroes in pieces", &cdb_16(0x93, 0, 0, 1), &zeroes, &[Err(IoError::Unsupported)]);
    case("UNMAP", &unmap_cdb, &unmap_one, &[]);
    case("SYNCHRONIZE CACHE", &cdb_16(0x91, 0, 0, 0), &[], &[]);
    case("START STOP UNIT, stopping", &[0x1b, 0, 0, 0, 0, 0], &[], &[]);
    case("VERIFY, which flushes", &cdb_16(0x8f, 0x02, 0, 1), &ones, &[]);
    case("READ with FUA, which flushes", &cdb_16(0x88, 0x08, 0, 1), &[], &[]);
}
