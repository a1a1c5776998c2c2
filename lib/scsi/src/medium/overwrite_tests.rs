//! FORMAT UNIT, SANITIZE, and what everybody is told meanwhile and afterwards; SYNCHRONIZE CACHE that is answered early.

use bdev::{IoError, Op};

use super::*;
use crate::testing::{BLOCK, Disk, Outcome, answer, context, options_of, refusal, run, sense_of, unit_with};
use crate::unit::Facts;
use crate::{Context, Ending, LogicalUnit, UnitAttention, begin};

const GOOD: Ending = Ending::Good { data_in: 0..0 };
const PIECE: u64 = (SCRATCH_BYTES / BLOCK) as u64;
const ZEROES: Op = Op::WriteZeroes { unmap: true, fua: false };
const WRITE: Op = Op::Write { fua: false };
const FLUSH: (Op, u64, u64) = (Op::Flush, 0, 0);
const TEST_UNIT_READY: [u8; 6] = [0; 6];

fn small(blocks: u64, change: impl FnOnce(&mut Facts)) -> LogicalUnit {
    LogicalUnit::new(options_of(blocks, BLOCK as u32)).expect("a unit").with_facts(|facts| {
        facts.unmap = true;
        change(facts);
    })
}

fn go(cdb: &[u8], data_out: &[u8], unit: &LogicalUnit, disk: &mut Disk) -> Outcome {
    run(cdb, data_out, &context(unit), disk)
}

fn format(options: u8) -> [u8; 6] {
    [0x04, options, 0, 0, 0, 0]
}

fn sanitize(options: u8, list_bytes: usize) -> Vec<u8> {
    [&[0x48, options, 0, 0, 0, 0, 0][..], &(list_bytes as u16).to_be_bytes(), &[0]].concat()
}

/// INVERT, TEST and OVERWRITE COUNT, then the pattern.
fn overwrite(first: u8, pattern: &[u8]) -> Vec<u8> {
    [&[first, 0][..], &(pattern.len() as u16).to_be_bytes(), pattern].concat()
}

/// A CDB of any length from its first bytes.
fn cdb_32(start: &[u8]) -> Vec<u8> {
    let mut cdb = start.to_vec();
    cdb.resize(32, 0);
    cdb
}

fn in_parameters(byte: u16, bit: u8) -> Sense {
    Sense::invalid_bit_in_parameter_list(byte, bit)
}

#[test]
fn format_makes_zeroes_of_everything() {
    // 1 GiB and a block: whole pieces of 64 MiB, and what is left.
    let blocks = (1 << 21) + 1;
    let unit = small(blocks, |_| ());
    let mut disk = Disk::default();
    [0, 1 << 20, blocks - 1].iter().for_each(|&lba| disk.fill(lba, 1, 0xff));
    let outcome = go(&format(0), &[], &unit, &mut disk);
    assert_eq!((outcome.ending, outcome.early, outcome.data_out_len), (GOOD, false, 0));
    assert!(disk.blocks.is_empty());
    let piece = 1 << 17;
    assert_eq!(disk.asked[..2], [(ZEROES, 0, piece), (ZEROES, piece, piece)]);
    assert_eq!(disk.asked[16..], [(ZEROES, blocks - 1, 1), FLUSH]);
    assert_eq!(answer(&TEST_UNIT_READY, &context(&unit)), []);
}

#[test]
fn format_writes_the_pattern_block_by_block() {
    let blocks = 2 * PIECE + 3;
    let unit = small(blocks, |_| ());
    let pattern = [1, 2, 3];
    let short = [&[0, 0x88, 0, 0, 0, 1, 0, 3][..], &pattern].concat();
    let long = [&[0, 0x88, 0, 0, 0, 0, 0, 0, 0, 1, 0, 3][..], &pattern].concat();
    for (options, list) in [(0x10, short), (0x30, long)] {
        let mut disk = Disk::default();
        let outcome = go(&format(options), &list, &unit, &mut disk);
        assert_eq!((outcome.ending, outcome.data_out_len), (GOOD, list.len()));
        let block: Vec<u8> = pattern.iter().copied().cycle().take(BLOCK).collect();
        assert!((0..blocks).all(|lba| disk.block(lba) == block));
        assert_eq!(disk.asked, [(WRITE, 0, PIECE), (WRITE, PIECE, PIECE), (WRITE, 2 * PIECE, 3), FLUSH]);
    }
}

#[test]
fn format_writes_zeroes_that_the_device_cannot() {
    let blocks = PIECE + 1;
    let unit = small(blocks, |_| ());
    let mut disk = Disk { results: [Err(IoError::Unsupported)].into(), ..Disk::default() };
    disk.fill(0, blocks, 0xff);
    assert_eq!(go(&format(0), &[], &unit, &mut disk).ending, GOOD);
    assert_eq!(disk.asked, [(ZEROES, 0, blocks), (WRITE, 0, PIECE), (WRITE, PIECE, 1), FLUSH]);
    assert!((0..blocks).all(|lba| disk.block(lba) == [0; BLOCK]));
}

#[test]
fn format_takes_every_option_that_needs_no_defects() {
    let unit = small(10, |_| ());
    for (options, list) in [
        (0x10, &[0, 0, 0, 0][..]),
        (0x18, &[0, 0xf0, 0, 0]),                // CMPLST; FOV, DPRY, DCRT, STPF
        (0x11, &[0, 0x80, 0, 0]),                // a format of descriptors, of which there are none
        (0x15, &[0, 0x84, 0, 0, 9, 9]),          // DSP, which is obsolete; more than the list says
        (0x10, &[0, 0x88, 0, 0, 0, 0, 0, 0]),    // the default pattern
        (0x10, &[0, 0x88, 0, 0, 0, 1, 0, 1, 0]), // zeroes
        (0x30, &[0, 0x80, 0, 0, 0, 0, 0, 0]),
        (0x08, &[]), // CMPLST of no list
        (0x20, &[]), // LONGLIST of no list
    ] {
        let mut disk = Disk::default();
        assert_eq!(go(&format(options), list, &unit, &mut disk).ending, GOOD, "{options:x} {list:x?}");
        assert_eq!(disk.asked, [(ZEROES, 0, 10), FLUSH]);
    }
}

#[test]
fn format_refuses_what_it_cannot_do_and_names_the_field() {
    let unit = small(10, |_| ());
    let length = Sense::PARAMETER_LIST_LENGTH_ERROR;
    let field = Sense::invalid_field_in_parameter_list;
    let pattern = |header: &[u8; 4], more: usize| [&[0, 0x88, 0, 0][..], header, &vec![7; more]].concat();
    for ffmt in [1, 2, 3] {
        assert_eq!(refusal(&[0x04, 0, 0, 0, ffmt, 0], &context(&unit)), Sense::invalid_field_in_cdb(4, Some(1)));
    }
    for (options, list, sense) in [
        (0x80, vec![], Sense::invalid_field_in_cdb(1, Some(7))), // FMTPINFO
        (0x40, vec![], Sense::invalid_field_in_cdb(1, Some(7))),
        (0x01, vec![], Sense::invalid_field_in_cdb(1, Some(2))), // a format of descriptors without a list
        (0x16, vec![0; 4], Sense::invalid_field_in_cdb(1, Some(2))),
        (0x17, vec![0; 4], Sense::invalid_field_in_cdb(1, Some(2))),
        (0x10, vec![], length),
        (0x10, vec![0; 3], length),
        (0x30, vec![0; 7], length),
        (0x10, vec![1, 0, 0, 0], in_parameters(0, 2)), // PROTECTION FIELD USAGE
        (0x10, vec![0, 0x40, 0, 0], in_parameters(1, 6)),
        (0x10, vec![0, 0x20, 0, 0], in_parameters(1, 5)),
        (0x10, vec![0, 0x10, 0, 0], in_parameters(1, 4)),
        (0x10, vec![0, 0x0a, 0, 0], in_parameters(1, 3)), // IP without FOV
        (0x10, vec![0, 0, 0, 4, 0, 0, 0, 0], field(2)),   // a defect
        (0x30, vec![0, 0, 0, 0, 0, 0, 0, 8], field(4)),
        (0x30, vec![0, 0, 0, 0x01, 0, 0, 0, 0], in_parameters(3, 7)),
        (0x10, vec![0, 0x88, 0, 0, 0, 0, 0], length),
        (0x10, pattern(&[0x40, 1, 0, 1], 1), in_parameters(4, 7)), // IP MODIFIER
        (0x10, pattern(&[0x20, 1, 0, 1], 1), in_parameters(4, 5)), // SI
        (0x10, pattern(&[0, 2, 0, 1], 1), field(5)),
        (0x10, pattern(&[0, 0, 0, 1], 1), field(6)),
        (0x10, pattern(&[0, 1, 0, 0], 1), field(6)),
        (0x10, pattern(&[0, 1, 2, 1], 513), field(6)),
        (0x10, pattern(&[0, 1, 2, 0], 511), length),
    ] {
        let mut disk = Disk::default();
        let outcome = go(&format(options), &list, &unit, &mut disk);
        assert_eq!(sense_of(&outcome, &format(options)), sense, "{options:x} {list:x?}");
        assert!(disk.asked.is_empty());
        assert_eq!(answer(&TEST_UNIT_READY, &context(&unit)), [], "nothing was begun");
    }
}

#[test]
fn sanitize_overwrites_as_often_as_it_is_told() {
    let blocks = PIECE + 1;
    let unit = small(blocks, |_| ());
    for (first, passes, last_but_one) in
        [(1, 1, None), (3, 3, Some(0xa5)), (0x83, 3, Some(0x5a)), (0x82, 2, Some(0x5a))]
    {
        let mut disk = Disk { keeps_writes: true, ..Disk::default() };
        let list = overwrite(first, &[0xa5]);
        let outcome = go(&sanitize(0x01, list.len()), &list, &unit, &mut disk);
        assert_eq!((outcome.ending, outcome.data_out_len), (GOOD, list.len()));
        assert!((0..blocks).all(|lba| disk.block(lba) == [0xa5; BLOCK]), "the last pass is the pattern as it is");
        let mut expected = [(WRITE, 0, PIECE), (WRITE, PIECE, 1)].repeat(passes);
        expected.push(FLUSH);
        assert_eq!(disk.asked, expected);
        let written = &disk.first_bytes;
        assert_eq!(written.len().checked_sub(3).map(|at| written[at]), last_but_one, "{first:x}");
    }
}

#[test]
fn sanitize_by_block_erase_needs_a_device_that_gives_space_back() {
    let unit = small(10, |_| ());
    let mut disk = Disk::default();
    disk.fill(0, 10, 1);
    assert_eq!(go(&sanitize(0x02, 0), &[], &unit, &mut disk).ending, GOOD);
    assert_eq!(disk.asked, [(ZEROES, 0, 10), FLUSH]);
    let thick = small(10, |facts| facts.unmap = false);
    assert_eq!(refusal(&sanitize(0x02, 0), &context(&thick)), Sense::invalid_field_in_cdb(1, Some(4)));
}

#[test]
fn sanitize_refuses_what_it_cannot_do_and_names_the_field() {
    let unit = small(10, |_| ());
    for (action, list_bytes, sense) in [
        (0x00, 0, Sense::invalid_field_in_cdb(1, Some(4))),
        (0x03, 0, Sense::invalid_field_in_cdb(1, Some(4))), // CRYPTOGRAPHIC ERASE
        (0x01, 0, Sense::invalid_field_in_cdb(7, None)),
        (0x01, 4, Sense::invalid_field_in_cdb(7, None)),
        (0x01, 517, Sense::invalid_field_in_cdb(7, None)),
        (0x02, 1, Sense::invalid_field_in_cdb(7, None)),
        (0x1f, 1, Sense::invalid_field_in_cdb(7, None)),
    ] {
        assert_eq!(refusal(&sanitize(action, list_bytes), &context(&unit)), sense, "{action:x} {list_bytes}");
    }
    for (list, sense) in [
        (vec![0x21, 0, 0, 1, 7], in_parameters(0, 6)), // TEST
        (vec![0x41, 0, 0, 1, 7], in_parameters(0, 6)),
        (vec![0x80, 0, 0, 1, 7], in_parameters(0, 4)), // OVERWRITE COUNT
        (vec![1, 0, 0, 0, 7], Sense::invalid_field_in_parameter_list(2)),
        (vec![1, 0, 0, 2, 7], Sense::invalid_field_in_parameter_list(2)),
        (vec![1, 0, 2, 1, 7], Sense::invalid_field_in_parameter_list(2)),
    ] {
        let mut disk = Disk::default();
        let cdb = sanitize(0x01, list.len());
        assert_eq!(sense_of(&go(&cdb, &list, &unit, &mut disk), &cdb), sense, "{list:x?}");
        assert!(disk.asked.is_empty());
    }
    assert_eq!(answer(&TEST_UNIT_READY, &context(&unit)), [], "nothing was begun");
}

#[test]
fn nothing_is_formatted_where_writes_are_forbidden() {
    let (fixed, swp) = (small(10, |facts| facts.read_only = true), small(10, |_| ()));
    swp.set_software_write_protect(true);
    for cdb in [format(0).to_vec(), sanitize(0x01, 5), sanitize(0x02, 0)] {
        assert_eq!(refusal(&cdb, &context(&fixed)), Sense::WRITE_PROTECTED);
        assert_eq!(refusal(&cdb, &context(&swp)), Sense::SOFTWARE_WRITE_PROTECTED);
        let plain = small(10, |_| ());
        assert_eq!(refusal(&cdb, &Context { read_only: true, ..context(&plain) }), Sense::WRITE_PROTECTED);
    }
    assert_eq!(answer(&sanitize(0x1f, 0), &context(&fixed)), []);
}

/// What SBC-4 allows during a sanitize operation; of these only REQUEST SENSE during a format.
const ALLOWED_DURING_SANITIZE: [&[u8]; 7] = [
    &[0x25],
    &[0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32],
    &[0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0],
    &[0x1a, 0, 0x08, 0, 255, 0],
    &[0x1a, 0, 0x0a, 0, 255, 0],
    &[0x5a, 0, 0x1c, 0, 0, 0, 0, 0, 255, 0],
    &[0x03, 1, 0, 0, 252, 0],
];
/// Never allowed, whether they are about the medium or not, or not even known.
const NOT_ALLOWED: [&[u8]; 12] = [
    &[0x28, 0, 0, 0, 0, 0, 0, 0, 1],
    &[0x00],
    &[0x35],
    &[0x9e, 0x12],
    &[0x1a, 0, 0x3f, 0, 255, 0],
    &[0x15, 0x10],
    &[0x1b, 0, 0, 0, 1, 0],
    &[0x1e],
    &[0xa3, 0x0a],
    &[0x3f],
    &[0x04],
    &[0x7f, 0, 0, 0, 0, 0, 0, 0x18, 0, 0x09],
];

/// By everybody, and REQUEST SENSE tells it to whoever asks.
#[test]
fn everybody_is_told_how_far_it_is() {
    let quarter = 1 << 17;
    for (cdb, busy) in
        [(format(0x10).to_vec(), Sense::FORMAT_IN_PROGRESS), (sanitize(0x82, 0), Sense::SANITIZE_IN_PROGRESS)]
    {
        let sanitizes = cdb[0] == 0x48;
        let unit = small(4 * quarter, |_| ());
        let list = [0, 0x02, 0, 0];
        let mut job = begin(&cdb, &Context { data_out_len: 4, ..context(&unit) }).expect("a legal command");
        let mut buffer = vec![0; job.buffer_len()];
        buffer[..4].copy_from_slice(&list);
        assert!(!job.runs_on());
        assert_eq!(job.step(&context(&unit), None, &mut buffer), Step::Answer);
        assert_eq!(job.step(&context(&unit), None, &mut buffer), Step::Claim);
        assert_eq!((job.runs_on(), job.exclusive()), (true, Some(0..u64::MAX)));
        let mut last = None;
        for (quarter, progress) in [0, 0x4000, 0x8000, 0xc000].into_iter().enumerate() {
            let step = job.step(&context(&unit), last, &mut buffer);
            assert!(matches!(step, Step::Io { op: ZEROES, .. }), "{step:?}");
            let sense = busy.with_progress(progress);
            for about in NOT_ALLOWED.into_iter().chain([&[0x48, 0x02][..], &[0x48, 0x1f]]) {
                assert_eq!(refusal(&cdb_32(about), &context(&unit)), sense, "{about:x?} in {quarter}");
            }
            for about in ALLOWED_DURING_SANITIZE {
                match sanitizes || about[0] == 0x03 {
                    true => assert_ne!(answer(&cdb_32(about), &context(&unit)), [], "{about:x?}"),
                    false => assert_eq!(refusal(&cdb_32(about), &context(&unit)), sense, "{about:x?}"),
                }
            }
            assert_eq!(unit.check_medium(), Err(sense));
            let told = answer(&[0x03, 0, 0, 0, 18, 0], &context(&unit));
            assert_eq!((told[2], told[12], told[13]), (2, sense.asc, sense.ascq));
            assert_eq!(told[15..18], [0x80, (progress >> 8) as u8, progress as u8]);
            answer(&[0x12, 0, 0, 0, 36, 0], &context(&unit));
            answer(&[0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0], &context(&unit));
            last = Some(Ok(()));
        }
        let step = job.step(&context(&unit), last, &mut buffer);
        assert_eq!(step, Step::Io { on: None, op: Op::Flush, lba: 0, blocks: 0, data: 0..0 });
        assert!(refusal(&TEST_UNIT_READY, &context(&unit)).progress.is_some());
        assert_eq!(job.step(&context(&unit), last, &mut buffer), Step::GOOD);
        assert_eq!(answer(&TEST_UNIT_READY, &context(&unit)), []);
        assert_eq!(answer(&[0x03, 0, 0, 0, 18, 0], &context(&unit))[2], 0);
    }
}

#[test]
fn of_two_that_were_found_legal_one_begins() {
    let unit = small(10, |_| ());
    let mut first = begin(&format(0), &context(&unit)).expect("a legal command");
    let mut second = begin(&sanitize(0x02, 0), &context(&unit)).expect("a legal command");
    let mut buffer = vec![0; first.buffer_len()];
    assert_eq!(first.step(&context(&unit), None, &mut buffer), Step::Claim);
    let refused = second.step(&context(&unit), None, &mut buffer);
    assert_eq!(refused, Step::refuse(Sense::FORMAT_IN_PROGRESS.with_progress(0)));
    assert!(!second.runs_on());
}

#[test]
fn a_failed_format_leaves_a_medium_that_has_to_be_formatted() {
    let unit = small(10, |_| ());
    for results in [vec![Err(IoError::Failed)], vec![Ok(()), Err(IoError::Medium)]] {
        let mut disk = Disk { results: results.into(), ..Disk::default() };
        assert_eq!(sense_of(&go(&format(0), &[], &unit, &mut disk), &format(0)), Sense::FORMAT_COMMAND_FAILED);
        for cdb in [&TEST_UNIT_READY[..], &[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0]] {
            assert_eq!(refusal(cdb, &context(&unit)), Sense::MEDIUM_FORMAT_CORRUPTED);
        }
        assert_eq!(answer(&[0x03, 0, 0, 0, 18, 0], &context(&unit))[12..14], [0x31, 0x00]);
        answer(&[0x1a, 0, 0x3f, 0, 255, 0], &context(&unit));
    }
    assert_eq!(go(&format(0), &[], &unit, &mut Disk::default()).ending, GOOD);
    assert_eq!(answer(&TEST_UNIT_READY, &context(&unit)), []);
}

/// They were found legal before, and waited for something: what they would do is not what the standard allows any more.
#[test]
fn what_waited_meanwhile_does_not_begin_after_a_failure_that_it_does_not_lead_out_of() {
    let unit = small(10, |_| ());
    let mut waiting = begin(&format(0), &context(&unit)).expect("a legal command");
    let mut unrestricted = begin(&sanitize(0x22, 0), &context(&unit)).expect("a legal command");
    let mut failing = Disk { results: [Err(IoError::Gone)].into(), ..Disk::default() };
    let failed = sense_of(&go(&sanitize(0x02, 0), &[], &unit, &mut failing), &[]);
    assert_eq!(failed, Sense::SANITIZE_COMMAND_FAILED, "whatever the device said");
    let mut buffer = vec![0; waiting.buffer_len()];
    for job in [&mut waiting, &mut unrestricted] {
        assert_eq!(job.step(&context(&unit), None, &mut buffer), Step::refuse(Sense::SANITIZE_COMMAND_FAILED));
    }
}

/// The first piece was shorter than those that follow.
#[test]
fn a_medium_that_grows_meanwhile_gets_the_pattern_and_nothing_else() {
    let unit = small(3, |_| ());
    let list = overwrite(1, &[0xa5, 0x5a]);
    let mut job = begin(&sanitize(0x01, list.len()), &context(&unit)).expect("a legal command");
    let mut buffer = vec![0xee; job.buffer_len()];
    buffer[..list.len()].copy_from_slice(&list);
    assert_eq!(job.step(&context(&unit), None, &mut buffer), Step::Claim);
    let mut step = job.step(&context(&unit), None, &mut buffer);
    bdev::null::resize(unit.bdev(), PIECE + 3).expect("a null device grows");
    let mut written = 0;
    while let Step::Io { op: WRITE, lba, blocks, data, .. } = step {
        assert_eq!((lba, data.len() as u64), (written, blocks * BLOCK as u64));
        assert!(buffer[data].chunks(2).all(|pair| pair == [0xa5, 0x5a]), "{lba}");
        written += blocks;
        step = job.step(&context(&unit), Some(Ok(())), &mut buffer);
    }
    assert_eq!(written, PIECE + 3);
    assert!(matches!(step, Step::Io { op: Op::Flush, .. }));
}

#[test]
fn a_failed_sanitize_is_left_as_its_kind_allows() {
    let failing = || Disk { results: [Err(IoError::Failed)].into(), ..Disk::default() };
    let (restricted, unrestricted, exit) = (sanitize(0x02, 0), sanitize(0x22, 0), sanitize(0x1f, 0));
    let unit = small(10, |_| ());
    assert_eq!(answer(&exit, &context(&unit)), [], "nothing has failed");

    assert_eq!(sense_of(&go(&unrestricted, &[], &unit, &mut failing()), &[]), Sense::SANITIZE_COMMAND_FAILED);
    for about in NOT_ALLOWED {
        assert_eq!(refusal(&cdb_32(about), &context(&unit)), Sense::SANITIZE_COMMAND_FAILED, "{about:x?}");
    }
    ALLOWED_DURING_SANITIZE.into_iter().for_each(|about| assert_ne!(answer(&cdb_32(about), &context(&unit)), []));
    assert_eq!(answer(&exit, &context(&unit)), []);
    assert_eq!(answer(&TEST_UNIT_READY, &context(&unit)), []);

    assert_eq!(sense_of(&go(&restricted, &[], &unit, &mut failing()), &[]), Sense::SANITIZE_COMMAND_FAILED);
    assert_eq!(refusal(&exit, &context(&unit)), Sense::invalid_field_in_cdb(1, Some(4)));
    assert_eq!(refusal(&unrestricted, &context(&unit)), Sense::invalid_field_in_cdb(1, Some(5)));
    assert_eq!(refusal(&TEST_UNIT_READY, &context(&unit)), Sense::SANITIZE_COMMAND_FAILED);
    assert_eq!(go(&restricted, &[], &unit, &mut Disk::default()).ending, GOOD);
    assert_eq!(answer(&TEST_UNIT_READY, &context(&unit)), []);
}

#[test]
fn an_immediate_flush_is_answered_first_and_its_failure_is_told_later() {
    let unit = unit_with(|facts| facts.write_cache = true);
    for cdb in [vec![0x35, 0x02, 0, 0, 0, 3, 0, 0, 1, 0], vec![0x91, 0x02, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0]] {
        let mut disk = Disk::default();
        let outcome = go(&cdb, &[], &unit, &mut disk);
        assert_eq!((outcome.ending, outcome.early), (GOOD, true));
        assert_eq!(disk.asked, [(Op::Flush, 3, 1)]);
        let job = begin(&cdb, &context(&unit)).expect("a legal command");
        assert_eq!(job.deferred_error(&GOOD), None);
        let failed = Ending::CheckCondition(Sense::INTERNAL_TARGET_FAILURE);
        assert_eq!(job.deferred_error(&failed), Some(UnitAttention::WriteBackFailed));
    }
    let told = UnitAttention::WriteBackFailed.sense();
    assert_eq!(told, Sense::WRITE_ERROR.as_deferred());
    let without_cache = go(&[0x35, 0x02, 0, 0, 0, 0, 0, 0, 0, 0], &[], &crate::testing::unit(), &mut Disk::default());
    assert_eq!((without_cache.ending, without_cache.early), (GOOD, false), "it is done already");
    assert!(!begin(&[0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0], &context(&unit)).expect("legal").runs_on());
}

/// Units with metadata: what a format leaves is valid under every type, and what FORMAT UNIT says is the type from then on.
mod protected {
    use bdev::ProtectionType::{self, None, Type1, Type3};

    use super::*;
    use crate::control::testing::{GOOD, Host};
    use crate::testing::protected_unit_of;

    /// Pieces, and what is left.
    const BLOCKS: u64 = 251;

    fn read(field: u8, lba: u8) -> [u8; 10] {
        [0x28, field << 5, 0, 0, 0, lba, 0, 0, 1, 0]
    }

    /// FMTPINFO with FMTDATA, and a parameter list of PROTECTION FIELD USAGE and a pattern of one byte.
    fn format_to(kind: ProtectionType, pattern: u8) -> ([u8; 6], [u8; 9]) {
        let (fmtpinfo, usage) = match kind {
            None => (0b00, 0),
            Type1 => (0b10, 0),
            Type3 => (0b11, 1),
        };
        (format(fmtpinfo << 6 | 0x10), [usage, 0x88, 0, 0, 0, 1, 0, 1, pattern])
    }

    fn p_type(host: &mut Host) -> u8 {
        host.run(&[0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0], &[]).expect("capacity")[12]
    }

    fn write(host: &mut Host, lba: u8, byte: u8) {
        assert_eq!(host.run(&[0x2a, 0, 0, 0, 0, lba, 0, 0, 1, 0], &[byte; 512]), GOOD);
    }

    fn small(kind: ProtectionType) -> LogicalUnit {
        protected_unit_of(kind, BLOCKS)
    }

    #[test]
    fn from_every_type_to_every_other_and_over_a_restart() {
        for (from, to) in [(Type1, Type3), (Type3, Type1), (Type1, None), (None, Type1), (None, Type3), (Type3, None)] {
            let mut host = Host::new(small(from));
            write(&mut host, 3, 0x33);
            let (cdb, list) = format_to(to, 0x5a);
            assert_eq!(host.run(&cdb, &list), GOOD, "{from:?} to {to:?}");
            assert_eq!((host.unit.protection(), &host.told[..]), (to, &[UnitAttention::CapacityChanged][..]));
            let byte = [0b0000, 0b0001, 0b0101][[None, Type1, Type3].iter().position(|&kind| kind == to).expect("one")];
            assert_eq!(p_type(&mut host), byte);
            assert_eq!(host.run(&read(0, 3), &[]), Ok(vec![0x5a; 512]));
            if to != None {
                let whole = [&[0x5a; 512][..], &[0xff; 8]].concat();
                assert_eq!(host.run(&read(1, (BLOCKS - 1) as u8), &[]), Ok(whole));
            }
            write(&mut host, 4, 0x44);
            let mut host = host.restarted(small(from));
            assert_eq!((host.unit.protection(), p_type(&mut host)), (to, byte));
            assert_eq!(host.run(&read(0, 4), &[]), Ok(vec![0x44; 512]), "{from:?} to {to:?}");
        }
    }

    #[test]
    fn to_its_own_type_nobody_is_told() {
        let mut host = Host::without_store(small(Type3));
        let (cdb, list) = format_to(Type3, 0);
        assert_eq!(host.run(&cdb, &list), GOOD);
        assert_eq!((host.unit.protection(), host.told.len()), (Type3, 0));
        assert_eq!(host.run(&read(1, 0), &[]), Ok([&[0; 512][..], &[0xff; 8]].concat()));
    }

    #[test]
    fn what_cannot_be_kept_fails_and_leaves_the_type() {
        let mut host = Host::new(small(Type1));
        host.store.get_or_insert_default().fails = true;
        let (cdb, list) = format_to(Type3, 0);
        assert_eq!(host.run(&cdb, &list), Err(Sense::FORMAT_COMMAND_FAILED));
        assert_eq!(host.run(&read(0, 0), &[]), Err(Sense::MEDIUM_FORMAT_CORRUPTED));
        assert_eq!(host.unit.protection(), Type1);
        let (cdb, list) = format_to(Type1, 0);
        assert_eq!(host.run(&cdb, &list), GOOD);
        assert_eq!(host.run(&read(0, 0), &[]), Ok(vec![0; 512]));
    }

    #[test]
    fn a_usage_that_does_not_fit_changes_nothing() {
        let mut host = Host::new(small(Type1));
        write(&mut host, 0, 0x11);
        for (fmtpinfo, usage) in [(0b00, 1), (0b10, 1), (0b11, 0), (0b11, 2)] {
            let refused = host.run(&format(fmtpinfo << 6 | 0x10), &[usage, 0, 0, 0]);
            assert_eq!(refused, Err(in_parameters(0, 2)), "{fmtpinfo:02b} {usage}");
        }
        assert_eq!(host.run(&read(0, 0), &[]), Ok(vec![0x11; 512]));
    }

    /// SANITIZE keeps the type. All ones stand for the information, so that no pattern is taken for damage.
    #[test]
    fn sanitize_writes_blocks_whose_information_is_not_checked() {
        for kind in [Type1, Type3] {
            let mut host = Host::new(small(kind));
            write(&mut host, 7, 0x77);
            let list = overwrite(0x80 | 2, &[0xa5, 0x01]);
            assert_eq!(host.run(&sanitize(0x01, list.len()), &list), GOOD);
            let block: Vec<u8> = [0xa5, 0x01].into_iter().cycle().take(512).collect();
            assert_eq!(host.run(&read(0, 7), &[]), Ok(block.clone()));
            assert_eq!(host.run(&read(1, 8), &[]), Ok([&block[..], &[0xff; 8]].concat()));
            assert_eq!((host.unit.protection(), host.told.len()), (kind, 0));
        }
    }
}
