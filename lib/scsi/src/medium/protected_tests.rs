use bdev::{IoError, Op};
use proptest::prelude::*;

use super::*;
use crate::testing::{BLOCKS, Disk, Outcome, context, protected_unit, run, sense_of};
use crate::{LogicalUnit, ProtectionType, begin};

const GOOD: Ending = Ending::Good { data_in: 0..0 };
const KINDS: [ProtectionType; 2] = [ProtectionType::Type1, ProtectionType::Type3];
/// Blocks of a piece.
const PIECE: u64 = (PIECE_BYTES / 520) as u64;

fn cdb_16(opcode: u8, options: u8, lba: u64, blocks: u32) -> [u8; 16] {
    let mut cdb = [0; 16];
    cdb[0] = opcode;
    cdb[1] = options;
    cdb[2..10].copy_from_slice(&lba.to_be_bytes());
    cdb[10..14].copy_from_slice(&blocks.to_be_bytes());
    cdb
}

fn go(cdb: &[u8], data_out: &[u8], unit: &LogicalUnit, disk: &mut Disk) -> Outcome {
    run(cdb, data_out, &context(unit), disk)
}

fn data(blocks: usize) -> Vec<u8> {
    (0..blocks * 512).map(|n| (n / 7) as u8 ^ (n / 512) as u8).collect()
}

/// Blocks as an initiator sends them that makes the information itself.
fn sent(data: &[u8], lba: u64, application_tag: u16, reference_tag: impl Fn(u64) -> u32) -> Vec<u8> {
    let blocks = data.chunks_exact(512).zip(lba..).map(|(block, lba)| {
        let made = Information::generate(block, lba, ProtectionType::Type1);
        let information = Information { application_tag, reference_tag: reference_tag(lba), ..made };
        [block, &information.to_bytes()].concat()
    });
    blocks.flatten().collect()
}

fn by_lba(lba: u64) -> u32 {
    lba as u32
}

/// What the medium holds, as it would be sent.
fn on_medium(disk: &Disk, lba: u64) -> Vec<u8> {
    let mut block = disk.block(lba);
    block.resize(520, 0);
    block[512..].iter_mut().for_each(|byte| *byte = !*byte);
    block
}

fn spoil(disk: &mut Disk, lba: u64, at: usize) {
    disk.blocks.get_mut(&lba).expect("a block that was written")[at] ^= 0x10;
}

fn guard_failed(lba: u64) -> Sense {
    Sense::LOGICAL_BLOCK_GUARD_CHECK_FAILED.with_information(lba)
}

fn reference_failed(lba: u64) -> Sense {
    Sense::LOGICAL_BLOCK_REFERENCE_TAG_CHECK_FAILED.with_information(lba)
}

/// The ordinary initiator, which knows nothing of it.
#[test]
fn without_a_field_information_is_made_checked_and_stripped() {
    for (kind, reference_tag) in [(ProtectionType::Type1, 9), (ProtectionType::Type3, 0xffff_ffff)] {
        let (unit, mut disk) = (protected_unit(kind), Disk::default());
        let data = data(3);
        let written = go(&cdb_16(0x8a, 0, 9, 3), &data, &unit, &mut disk);
        assert_eq!((written.ending, written.data_out_len), (GOOD, data.len()));
        let expected = sent(&data[..512], 9, 0, |_| reference_tag);
        assert_eq!(on_medium(&disk, 9), expected, "{kind:?}");
        assert_eq!(go(&cdb_16(0x88, 0, 9, 3), &[], &unit, &mut disk).data_in, data);
        assert_eq!(disk.asked, [(Op::Write { fua: false }, 9, 3), (Op::Read, 9, 3)]);
        // The 6-byte forms have no field.
        assert_eq!(go(&[0x0a, 0, 0, 20, 1, 0], &data[..512], &unit, &mut disk).ending, GOOD);
        assert_eq!(go(&[0x08, 0, 0, 20, 1, 0], &[], &unit, &mut disk).data_in, data[..512]);
    }
}

#[test]
fn with_a_field_blocks_of_520_bytes_come_and_go() {
    let fields = 1..=5_u8;
    for (kind, field) in KINDS.into_iter().flat_map(|kind| fields.clone().map(move |field| (kind, field))) {
        let (unit, mut disk) = (protected_unit(kind), Disk::default());
        let blocks = sent(&data(2), 70, 0x1234, by_lba);
        for (write, read) in [(0x8a, 0x88), (0xaa, 0xa8), (0x2a, 0x28)] {
            let cdb = |opcode: u8| match opcode {
                0x8a | 0x88 => cdb_16(opcode, field << 5, 70, 2).to_vec(),
                0xaa | 0xa8 => vec![opcode, field << 5, 0, 0, 0, 70, 0, 0, 0, 2, 0, 0],
                _ => vec![opcode, field << 5, 0, 0, 0, 70, 0, 0, 2, 0],
            };
            let written = go(&cdb(write), &blocks, &unit, &mut disk);
            assert_eq!((written.ending, written.data_out_len), (GOOD, 1040), "{field:03b}");
            let read = go(&cdb(read), &[], &unit, &mut disk);
            assert_eq!((read.ending, &read.data_in), (Ending::Good { data_in: 0..1040 }, &blocks), "{field:03b}");
        }
    }
}

/// SBC-3, RDPROTECT: what is checked on the medium, with which sense, and of which block.
#[test]
fn a_bad_block_on_the_medium_is_told_by_its_address() {
    // Field, is the guard looked at, is the reference tag.
    let fields =
        [(0, true, true), (1, true, true), (2, false, true), (3, false, false), (4, true, false), (5, true, true)];
    for (kind, (field, guard, reference)) in
        KINDS.into_iter().flat_map(|kind| fields.into_iter().map(move |field| (kind, field)))
    {
        let unit = protected_unit(kind);
        let ending = |at: usize| {
            let mut disk = Disk::default();
            go(&cdb_16(0x8a, 0, 40, 4), &data(4), &unit, &mut disk);
            spoil(&mut disk, 42, at);
            let read = go(&cdb_16(0x88, field << 5, 40, 4), &[], &unit, &mut disk);
            let verified = go(&cdb_16(0x8f, field << 5, 40, 4), &[], &unit, &mut disk);
            match (&read.ending, &verified.ending) {
                (Ending::Good { .. }, Ending::Good { .. }) => Ok(()),
                (of_read, of_verify) => {
                    assert_eq!(of_read, of_verify, "READ and VERIFY check the same");
                    Err(sense_of(&read, &[field]))
                }
            }
        };
        let expect = |checked: bool, sense: Sense| if checked { Err(sense) } else { Ok(()) };
        for at in [0, 511, 512, 513] {
            assert_eq!(ending(at), expect(guard, guard_failed(42)), "{kind:?} {field:03b} {at}");
        }
        for at in [516, 519] {
            let checked = reference && kind == ProtectionType::Type1;
            assert_eq!(ending(at), expect(checked, reference_failed(42)), "{kind:?} {field:03b} {at}");
        }
        assert_eq!(ending(515), Ok(()), "an application tag is nobody's");
    }
}

/// RAM and the page cache do not keep a block whole for who reads it while it is written.
#[test]
fn a_block_that_was_read_in_the_midst_of_a_write_is_read_again() {
    let unit = protected_unit(ProtectionType::Type1);
    let context = context(&unit);
    let mut good = sent(&data(1), 40, 0, by_lba);
    good[512..].iter_mut().for_each(|byte| *byte = !*byte);
    for opcode in [0x88, 0x8f] {
        // The last read that finds the block torn, and whether the command ends well.
        for (torn, ends_well) in [(0, true), (1, true), (READS - 1, true), (READS, false)] {
            let mut job = begin(&cdb_16(opcode, 0x20, 40, 1), &context).expect("a legal command");
            let mut buffer = vec![0xee; job.buffer_len()];
            let (mut step, mut reads) = (job.step(&context, None, &mut buffer), 0);
            let ending = loop {
                match step {
                    Step::Io { op: Op::Read, lba: 40, blocks: 1, data, .. } => {
                        reads += 1;
                        buffer[data.clone()].copy_from_slice(&good);
                        buffer[data.start] ^= u8::from(reads <= torn);
                        step = job.step(&context, Some(Ok(())), &mut buffer);
                    }
                    Step::Done(ending) => break ending,
                    other => panic!("{other:?}"),
                }
            };
            let well = matches!(ending, Ending::Good { .. });
            assert_eq!((well, reads), (ends_well, if ends_well { torn + 1 } else { READS }), "{opcode:02x} {torn}");
            assert!(well || ending == Ending::CheckCondition(guard_failed(40)), "{ending:?}");
        }
    }
}

/// SBC-3, WRPROTECT: nothing is written that fails.
#[test]
fn a_bad_block_in_the_data_out_is_not_written() {
    let fields = [(1, true, true), (2, false, true), (3, false, false), (4, true, false), (5, true, true)];
    for (kind, (field, guard, reference)) in
        KINDS.into_iter().flat_map(|kind| fields.into_iter().map(move |field| (kind, field)))
    {
        let unit = protected_unit(kind);
        let ending = |at: usize| {
            let mut disk = Disk::default();
            let mut blocks = sent(&data(3), 40, 7, by_lba);
            blocks[at] ^= 1;
            let outcome = go(&cdb_16(0x8a, field << 5, 40, 3), &blocks, &unit, &mut disk);
            match outcome.ending {
                Ending::Good { .. } => {
                    assert_eq!(on_medium(&disk, 41), blocks[520..1040], "written as it came");
                    Ok(())
                }
                _ => {
                    assert_eq!(disk.asked, [], "{kind:?} {field:03b}");
                    Err(sense_of(&outcome, &[field]))
                }
            }
        };
        let expect = |checked: bool, sense: Sense| if checked { Err(sense) } else { Ok(()) };
        assert_eq!(ending(2 * 520 + 100), expect(guard, guard_failed(42)), "{kind:?} {field:03b}");
        assert_eq!(ending(2 * 520 + 513), expect(guard, guard_failed(42)), "{kind:?} {field:03b}");
        let checked = reference && kind == ProtectionType::Type1;
        assert_eq!(ending(2 * 520 + 519), expect(checked, reference_failed(42)), "{kind:?} {field:03b}");
        assert_eq!(ending(2 * 520 + 514), Ok(()));
    }
}

#[test]
fn tags_that_say_so_switch_checks_off_in_writes_too() {
    for (kind, reference_tag, accepted) in [
        (ProtectionType::Type1, 0x0bad, true),
        (ProtectionType::Type3, 0xffff_ffff, true),
        (ProtectionType::Type3, 0x0bad, false),
    ] {
        let (unit, mut disk) = (protected_unit(kind), Disk::default());
        let mut blocks = sent(&data(1), 5, 0xffff, |_| reference_tag);
        blocks[0] ^= 1;
        let ending = go(&cdb_16(0x8a, 0x20, 5, 1), &blocks, &unit, &mut disk).ending;
        assert_eq!(ending == GOOD, accepted, "{kind:?} {ending:?}");
        if accepted {
            assert_eq!(go(&cdb_16(0x88, 0x20, 5, 1), &[], &unit, &mut disk).data_in, blocks);
            assert_eq!(go(&cdb_16(0x88, 0, 5, 1), &[], &unit, &mut disk).data_in, blocks[..512]);
        }
    }
}

#[test]
fn blocks_that_nobody_wrote_are_zeroes_that_are_not_checked() {
    for kind in KINDS {
        let (unit, mut disk) = (protected_unit(kind), Disk::default());
        let empty = [&[0; 512][..], &[0xff; 8]].concat();
        assert_eq!(go(&cdb_16(0x88, 0, BLOCKS - 2, 2), &[], &unit, &mut disk).data_in, [0; 1024]);
        assert_eq!(go(&cdb_16(0x88, 0x20, BLOCKS - 1, 1), &[], &unit, &mut disk).data_in, empty);
        go(&cdb_16(0x8a, 0, 3, 1), &data(1), &unit, &mut disk);
        let unmap = [&[0, 22, 0, 16, 0, 0, 0, 0][..], &3_u64.to_be_bytes(), &1_u32.to_be_bytes(), &[0; 4]].concat();
        assert_eq!(go(&[0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0], &unmap, &unit, &mut disk).ending, GOOD);
        assert_eq!(go(&cdb_16(0x88, 0x20, 3, 1), &[], &unit, &mut disk).data_in, empty);
    }
}

#[test]
fn a_unit_that_is_not_formatted_so_keeps_no_information() {
    let (unit, mut disk) = (protected_unit(ProtectionType::None), Disk::default());
    let data = data(2);
    assert_eq!(go(&cdb_16(0x8a, 0, 3, 2), &data, &unit, &mut disk).ending, GOOD);
    assert_eq!(on_medium(&disk, 3), [&data[..512], &[0xff; 8]].concat());
    spoil(&mut disk, 3, 0);
    let read = go(&cdb_16(0x88, 0, 3, 2), &[], &unit, &mut disk).data_in;
    assert_eq!((read[0], &read[1..]), (data[0] ^ 0x10, &data[1..]));
    for opcode in [0x88, 0x8a, 0x8f, 0x93] {
        let cdb = cdb_16(opcode, 0x20, 3, 1);
        assert_eq!(sense_of(&go(&cdb, &[], &unit, &mut disk), &cdb), Sense::invalid_field_in_cdb(1, Some(7)));
    }
}

/// It waited while the unit was formatted.
#[test]
fn a_command_that_was_parsed_for_another_type_is_not_carried_out() {
    let unit = protected_unit(ProtectionType::Type3);
    for opcode in [0x88, 0x8a, 0x8f, 0x93] {
        unit.set_protection(ProtectionType::Type3);
        let mut job = begin(&cdb_16(opcode, 0x20, 3, 1), &context(&unit)).expect("a legal command");
        unit.set_protection(ProtectionType::Type1);
        let step = job.step(&context(&unit), None, &mut vec![0; job.buffer_len()]);
        assert_eq!(step, Step::refuse(UnitAttention::CapacityChanged.sense()), "{opcode:02x}");
    }
}

#[test]
fn verify_reads_and_checks_in_pieces() {
    let (unit, mut disk) = (protected_unit(ProtectionType::Type1), Disk::default());
    let blocks = 2 * PIECE + 5;
    for lba in 10..10 + blocks {
        go(&cdb_16(0x8a, 0, lba, 1), &data(1), &unit, &mut disk);
    }
    disk.asked.clear();
    assert_eq!(go(&cdb_16(0x8f, 0, 10, blocks as u32), &[], &unit, &mut disk).ending, GOOD);
    assert_eq!(disk.asked, [(Op::Read, 10, PIECE), (Op::Read, 10 + PIECE, PIECE), (Op::Read, 10 + 2 * PIECE, 5)]);
    spoil(&mut disk, 10 + 2 * PIECE + 1, 5);
    let outcome = go(&cdb_16(0x8f, 0x20, 10, blocks as u32), &[], &unit, &mut disk);
    assert_eq!(sense_of(&outcome, &[]), guard_failed(10 + 2 * PIECE + 1));
}

#[test]
fn verify_compares_data_and_information() {
    let (unit, mut disk) = (protected_unit(ProtectionType::Type1), Disk::default());
    let blocks = PIECE + 3;
    let data = data(blocks as usize);
    assert_eq!(go(&cdb_16(0x8a, 0, 50, blocks as u32), &data, &unit, &mut disk).ending, GOOD);
    let verify = |field: u8, out: &[u8], disk: &mut Disk| {
        let outcome = go(&cdb_16(0x8f, field << 5 | 0x02, 50, blocks as u32), out, &unit, disk);
        assert_eq!(outcome.data_out_len, out.len());
        match outcome.ending {
            Ending::Good { .. } => Ok(()),
            _ => Err(sense_of(&outcome, &[field])),
        }
    };
    assert_eq!(verify(0, &data, &mut disk), Ok(()));
    let mut other = data.clone();
    other[(PIECE as usize + 1) * 512 + 9] ^= 1;
    let miscompare = |offset| Err(Sense::MISCOMPARE_DURING_VERIFY.with_information(offset));
    assert_eq!(verify(0, &other, &mut disk), miscompare((PIECE + 1) * 512 + 9));
    let whole = sent(&data, 50, 0x7777, by_lba);
    for field in 1..=5 {
        assert_eq!(verify(field, &whole, &mut disk), Ok(()), "{field:03b}: application tags are not compared");
    }
    let mut other = whole.clone();
    other[(PIECE as usize + 1) * 520 + 9] ^= 1;
    assert_eq!(verify(3, &other, &mut disk), miscompare((PIECE + 1) * 520 + 9));
    assert_eq!(verify(1, &other, &mut disk), Err(guard_failed(50 + PIECE + 1)), "the data-out is checked first");
    // Information that differs while the data does not: only what the medium holds was spoilt.
    let compared = |sense: Sense| Err(Sense { key: SenseKey::Miscompare, ..sense });
    spoil(&mut disk, 52, 512);
    for (field, guard) in [(1, true), (2, false), (3, true), (4, true), (5, true)] {
        let expected = if guard { compared(guard_failed(52)) } else { Ok(()) };
        assert_eq!(verify(field, &whole, &mut disk), expected, "{field:03b}");
    }
    assert_eq!(verify(0, &data, &mut disk), Err(guard_failed(52)), "000b checks the medium");
    spoil(&mut disk, 52, 512);
    spoil(&mut disk, 52, 519);
    for (field, reference) in [(1, true), (2, true), (3, true), (4, true), (5, false)] {
        let expected = if reference { compared(reference_failed(52)) } else { Ok(()) };
        assert_eq!(verify(field, &whole, &mut disk), expected, "{field:03b}");
    }
}

#[test]
fn verify_counts_one_block_up() {
    let (unit, mut disk) = (protected_unit(ProtectionType::Type1), Disk::default());
    let blocks = PIECE + 3;
    let block = data(1);
    let all: Vec<u8> = block.iter().copied().cycle().take(blocks as usize * 512).collect();
    go(&cdb_16(0x8a, 0, 50, blocks as u32), &all, &unit, &mut disk);
    let verify = |field: u8, out: &[u8], disk: &mut Disk| {
        let outcome = go(&cdb_16(0x8f, field << 5 | 0x06, 50, blocks as u32), out, &unit, disk);
        assert_eq!(outcome.data_out_len, out.len());
        outcome.ending
    };
    assert_eq!(verify(0, &block, &mut disk), GOOD);
    let whole = sent(&block, 50, 0, by_lba);
    assert_eq!(verify(1, &whole, &mut disk), GOOD);
    spoil(&mut disk, 50 + PIECE + 1, 519);
    let sense = Sense { key: SenseKey::Miscompare, ..reference_failed(50 + PIECE + 1) };
    assert_eq!(verify(1, &whole, &mut disk), Ending::CheckCondition(sense));
}

#[test]
fn write_same_numbers_the_blocks() {
    let (unit, mut disk) = (protected_unit(ProtectionType::Type1), Disk::default());
    let blocks = 2 * PIECE + 3;
    let block = data(1);
    let written = go(&cdb_16(0x93, 0, 60, blocks as u32), &block, &unit, &mut disk);
    assert_eq!((written.ending, written.data_out_len), (GOOD, 512));
    for lba in 60..60 + blocks {
        assert_eq!(on_medium(&disk, lba), sent(&block, lba, 0, by_lba), "{lba}");
    }
    let whole = sent(&block, 60, 0xabcd, by_lba);
    let written = go(&cdb_16(0x93, 0x20, 60, blocks as u32), &whole, &unit, &mut disk);
    assert_eq!((written.ending, written.data_out_len), (GOOD, 520));
    for lba in 60..60 + blocks {
        assert_eq!(on_medium(&disk, lba), sent(&block, lba, 0xabcd, by_lba), "{lba}");
    }
    let mut bad = whole.clone();
    bad[3] ^= 1;
    disk.asked.clear();
    let outcome = go(&cdb_16(0x93, 0x20, 60, 9), &bad, &unit, &mut disk);
    assert_eq!((sense_of(&outcome, &[]), disk.asked.len()), (guard_failed(60), 0));
    // Type 3 leaves the tags as they are.
    let (unit, mut disk) = (protected_unit(ProtectionType::Type3), Disk::default());
    go(&cdb_16(0x93, 0x20, 60, blocks as u32), &whole, &unit, &mut disk);
    assert_eq!(on_medium(&disk, 60 + blocks - 1), whole);
}

#[test]
fn write_same_leaves_to_the_device_what_is_not_to_be_checked() {
    let unit = protected_unit(ProtectionType::Type1);
    let zeroes = |unmap| vec![(Op::WriteZeroes { unmap, fua: false }, 60, 9)];
    let unchecked = [&[0; 512][..], &[0xff; 8]].concat();
    let cases = [
        (0x01, &[][..], zeroes(false)),        // NDOB
        (0x09, &[][..], zeroes(true)),         // NDOB, UNMAP
        (0x08, &[0; 512][..], zeroes(true)),   // UNMAP of zeroes
        (0x20, &unchecked[..], zeroes(false)), // information of all ones
        (0x00, &[0; 512][..], vec![(Op::Write { fua: false }, 60, 9)]),
    ];
    for (options, block, asked) in cases {
        let mut disk = Disk::default();
        assert_eq!(go(&cdb_16(0x93, options, 60, 9), block, &unit, &mut disk).ending, GOOD, "{options:02x}");
        assert_eq!(disk.asked, asked, "{options:02x}");
        assert_eq!(go(&cdb_16(0x88, 0, 60, 9), &[], &unit, &mut disk).data_in, [0; 9 * 512]);
    }
    // A device that turns out to lack it.
    let mut disk = Disk { results: [Err(IoError::Unsupported)].into(), ..Disk::default() };
    assert_eq!(go(&cdb_16(0x93, 0x20, 60, 9), &unchecked, &unit, &mut disk).ending, GOOD);
    assert_eq!(on_medium(&disk, 68), unchecked);
}

#[test]
fn fua_flushes_and_lasts() {
    let unit = protected_unit(ProtectionType::Type1).with_facts(|facts| facts.write_cache = true);
    let mut disk = Disk::default();
    go(&cdb_16(0x8a, 0x08, 1, 1), &[1; 512], &unit, &mut disk);
    go(&cdb_16(0x88, 0x28, 1, 1), &[], &unit, &mut disk);
    go(&cdb_16(0x8f, 0, 1, 1), &[], &unit, &mut disk);
    let asked =
        [(Op::Write { fua: true }, 1, 1), (Op::Flush, 1, 1), (Op::Read, 1, 1), (Op::Flush, 1, 1), (Op::Read, 1, 1)];
    assert_eq!(disk.asked, asked);
}

#[test]
fn errors_of_the_device_are_its_own() {
    let unit = protected_unit(ProtectionType::Type1);
    for (opcode, sense) in
        [(0x88, Sense::UNRECOVERED_READ_ERROR), (0x8a, Sense::WRITE_ERROR), (0x8f, Sense::UNRECOVERED_READ_ERROR)]
    {
        let mut disk = Disk { results: [Err(IoError::Medium)].into(), ..Disk::default() };
        let outcome = go(&cdb_16(opcode, 0, 5, 1), &[0; 512], &unit, &mut disk);
        assert_eq!(sense_of(&outcome, &[opcode]), sense.with_information(5));
    }
}

/// A largest transfer with its information fits the buffer that every transport has.
#[test]
fn the_largest_transfer_is_that_of_any_unit() {
    let unit = protected_unit(ProtectionType::Type1);
    let blocks = unit.facts().transfer_blocks_max();
    assert_eq!(blocks, 2048);
    let mut disk = Disk::default();
    let out = sent(&data(blocks as usize), 0, 0, by_lba);
    assert_eq!(go(&cdb_16(0x8a, 0x20, 0, blocks), &out, &unit, &mut disk).ending, GOOD);
    assert_eq!(go(&cdb_16(0x88, 0x20, 0, blocks), &[], &unit, &mut disk).data_in, out);
    assert_eq!(go(&cdb_16(0x8f, 0x22, 0, blocks), &out, &unit, &mut disk).ending, GOOD);
    let sense = sense_of(&go(&cdb_16(0x88, 0, 0, blocks + 1), &[], &unit, &mut disk), &[]);
    assert_eq!(sense, Sense::invalid_field_in_cdb(10, None));
}

#[test]
fn a_unit_that_was_gone_is_probed_with_a_whole_block() {
    let (unit, mut disk) = (protected_unit(ProtectionType::Type1), Disk::default());
    unit.set_gone(true);
    assert_eq!(go(&[0; 6], &[], &unit, &mut disk).ending, GOOD);
    assert_eq!(disk.asked, [(Op::Read, 0, 1)]);
}

proptest! {
    /// Whatever is asked with whatever data: it ends, within its buffer, and what was written last without a field is read.
    #[test]
    fn no_command_leaves_its_bounds(
        opcode in prop_oneof![Just(0x88_u8), Just(0x8a), Just(0x8f), Just(0x93)],
        options: u8,
        lba in 0..200_u64,
        blocks in 0..150_u32,
        fill: u8,
        kind in prop_oneof![Just(ProtectionType::Type1), Just(ProtectionType::Type3), Just(ProtectionType::None)],
    ) {
        let (unit, mut disk) = (protected_unit(kind), Disk::default());
        let cdb = cdb_16(opcode, options, lba, blocks);
        let out = vec![fill; 150 * 520];
        let outcome = go(&cdb, &out, &unit, &mut disk);
        let is_write = begin(&cdb, &context(&unit)).is_ok_and(|job| job.is_write());
        if is_write && options & 0xe0 == 0 && outcome.ending == GOOD {
            let read = go(&cdb_16(0x88, 0, lba, blocks), &[], &unit, &mut disk).data_in;
            prop_assert_eq!(read, &out[..blocks as usize * 512]);
        }
    }
}

#[test]
fn write_and_verify_writes_what_write_does_and_reads_it_back() {
    let blocks = PIECE + 2;
    for kind in KINDS {
        for compare in [0, 0x02] {
            let (unit, mut disk) = (protected_unit(kind), Disk::default());
            let data = data(blocks as usize);
            let written = go(&cdb_16(0x8e, compare, 30, blocks as u32), &data, &unit, &mut disk);
            assert_eq!((written.ending, written.data_out_len), (GOOD, data.len()), "{kind:?} {compare}");
            let write = Op::Write { fua: true };
            assert_eq!(disk.asked, [(write, 30, blocks), (Op::Read, 30, PIECE), (Op::Read, 30 + PIECE, 2)]);
            assert_eq!(go(&cdb_16(0x88, 0, 30, blocks as u32), &[], &unit, &mut disk).data_in, data);
            // With its information.
            let sent = sent(&data, 30, 7, by_lba);
            let written = go(&cdb_16(0x8e, 1 << 5 | compare, 30, blocks as u32), &sent, &unit, &mut disk);
            assert_eq!((written.ending, written.data_out_len), (GOOD, sent.len()), "{kind:?} {compare}");
            assert_eq!(on_medium(&disk, 31), sent[520..1040]);
        }
    }
}

#[test]
fn write_and_verify_finds_what_the_medium_does_to_a_block() {
    for (compare, field, expected) in [
        (0, 0, guard_failed(41)),
        (0, 1, guard_failed(41)),
        (0x02, 0, guard_failed(41)),
        (0x02, 1, Sense::MISCOMPARE_DURING_VERIFY.with_information(520 + 3)),
    ] {
        let (unit, mut disk) = (protected_unit(ProtectionType::Type1), Disk::default());
        disk.corrupts = Some((41, 3));
        let data_out = if field == 0 { data(2) } else { sent(&data(2), 40, 0, by_lba) };
        let outcome = go(&cdb_16(0x8e, field << 5 | compare, 40, 2), &data_out, &unit, &mut disk);
        assert_eq!(sense_of(&outcome, &[compare, field]), expected, "{compare} {field}");
    }
    // Nothing is written of what was damaged on its way.
    let (unit, mut disk) = (protected_unit(ProtectionType::Type1), Disk::default());
    let mut damaged = sent(&data(2), 40, 0, by_lba);
    damaged[520] ^= 1;
    let outcome = go(&cdb_16(0x8e, 1 << 5, 40, 2), &damaged, &unit, &mut disk);
    assert_eq!((sense_of(&outcome, &[]), disk.asked), (guard_failed(41), vec![]));
}

#[test]
fn an_atomic_write_has_its_blocks_for_itself_and_their_information() {
    let unit = protected_unit(ProtectionType::Type1).with_facts(|facts| facts.atomic_blocks = 8);
    let mut cdb = cdb_16(0x9c, 0, 50, 2);
    let mut disk = Disk::default();
    assert_eq!(begin(&cdb, &context(&unit)).expect("a job").exclusive(), Some(50..52));
    assert_eq!(go(&cdb, &data(2), &unit, &mut disk).ending, GOOD);
    assert_eq!(on_medium(&disk, 51), sent(&data(2), 50, 0, by_lba)[520..]);
    cdb[1] = 1 << 5;
    let damaged = sent(&data(2), 49, 0, by_lba);
    assert_eq!(sense_of(&go(&cdb, &damaged, &unit, &mut disk), &cdb), reference_failed(50));
}

#[test]
fn the_block_that_cannot_be_read_is_found() {
    let (unit, mut disk) = (protected_unit(ProtectionType::Type1), Disk::default());
    disk.unreadable = vec![PIECE + 5, PIECE + 6];
    let found = Sense::UNRECOVERED_READ_ERROR.with_information(PIECE + 5);
    for opcode in [0x88, 0x8f] {
        let outcome = go(&cdb_16(opcode, 0, 0, PIECE as u32 + 9), &[], &unit, &mut disk);
        assert_eq!(sense_of(&outcome, &[opcode]), found, "{opcode:02x}");
    }
}

/// They move no data-out and no data-in, but the device moves whole blocks.
#[test]
fn self_tests_and_pre_fetch_know_how_long_blocks_are() {
    let (unit, mut disk) = (protected_unit(ProtectionType::Type1), Disk::default());
    for cdb in [&[0x1d, 0x04, 0, 0, 0, 0][..], &[0x1d, 0x20, 0, 0, 0, 0], &cdb_16(0x90, 0, 0, 9)] {
        assert_eq!(go(cdb, &[], &unit, &mut disk).ending, GOOD, "{cdb:02x?}");
    }
}
