use proptest::prelude::*;

use super::*;

const BLOCK: u64 = 512;

fn abilities(write_through: bool, punch_hole: bool) -> Abilities {
    Abilities::new(BLOCK as u32, write_through, punch_hole)
}

/// An operation on blocks 2 up to, not including, 2 + blocks; it has no buffer, which only the ring looks at.
fn operation(op: Op, blocks: u64) -> Operation {
    let io = BlockIo { op, lba: 2, blocks, data: None, tag: 7 };
    let range = match op {
        Op::Flush => ByteRange { offset: 0, len: 0 },
        _ => ByteRange { offset: 2 * BLOCK, len: blocks * BLOCK },
    };
    Operation::new(io, range, 99)
}

fn errno(errno: Errno) -> i32 {
    -errno.raw_os_error()
}

/// Runs a whole operation that gets these answers; what was asked, and how it ended.
fn run(abilities: &Abilities, op: Op, blocks: u64, answers: &[i32]) -> (Vec<Request>, Progress) {
    let mut operation = operation(op, blocks);
    let mut asked = Vec::new();
    for (at, &answer) in answers.iter().enumerate() {
        asked.push(operation.request(abilities));
        let progress = operation.on_answer(answer, abilities);
        if at + 1 == answers.len() {
            return (asked, progress);
        }
        assert_eq!(progress, Progress::Again, "after {asked:?}");
    }
    unreachable!("no answers");
}

#[test]
fn a_transfer_that_arrives_whole_is_one_request() {
    let abilities = abilities(false, true);
    let (asked, end) = run(&abilities, Op::Read, 4, &[2048]);
    assert_eq!((asked, end), (vec![Request::Read { offset: 1024, part: 0..2048 }], Progress::Done));
    for fua in [false, true] {
        let (asked, end) = run(&abilities, Op::Write { fua }, 4, &[2048]);
        assert_eq!((asked, end), (vec![Request::Write { offset: 1024, part: 0..2048, dsync: fua }], Progress::Done));
    }
}

#[test]
fn a_short_transfer_goes_on_at_the_first_block_that_is_not_done() {
    let (asked, end) = run(&abilities(false, true), Op::Read, 4, &[512, 600, 1024]);
    let expected = [(1024, 0), (1536, 512), (2048, 1024)];
    assert_eq!(asked, expected.map(|(offset, skip)| Request::Read { offset, part: skip..2048 }));
    assert_eq!(end, Progress::Done);
}

#[test]
fn a_transfer_longer_than_the_kernel_s_longest_goes_in_parts() {
    let mut abilities = abilities(false, true);
    abilities.transfer_max = 1024;
    let op = Op::Write { fua: true };
    let (asked, end) = run(&abilities, op, 5, &[1024, 512, 1024]);
    let expected = [(1024, 0..1024), (2048, 1024..2048), (2560, 1536..2560)];
    assert_eq!(asked, expected.map(|(offset, part)| Request::Write { offset, part, dsync: true }));
    assert_eq!(end, Progress::Done);
}

#[test]
fn a_transfer_that_gets_nowhere_fails() {
    for nothing in [0, 1, 511] {
        for op in [Op::Read, Op::Write { fua: false }] {
            let (_, end) = run(&abilities(false, true), op, 4, &[512, nothing]);
            assert_eq!(end, Progress::Failed { error: IoError::Medium, errno: 0 }, "{op:?} {nothing}");
        }
    }
}

#[test]
fn an_interrupted_request_is_asked_again() {
    for op in [Op::Read, Op::Write { fua: true }, Op::Flush, Op::Unmap, Op::WriteZeroes { unmap: true, fua: false }] {
        let (asked, _) = run(&abilities(false, true), op, 4, &[errno(Errno::INTR), errno(Errno::AGAIN), 2048]);
        assert!(asked[0] == asked[1] && asked[1] == asked[2], "{asked:?}");
    }
}

#[test]
fn unmap_makes_a_hole_and_writing_through_makes_it_last() {
    let hole = || Request::PunchHole { offset: 1024, len: 2048 };
    assert_eq!(run(&abilities(false, true), Op::Unmap, 4, &[0]), (vec![hole()], Progress::Done));
    assert_eq!(run(&abilities(true, true), Op::Unmap, 4, &[0, 0]), (vec![hole(), Request::Sync], Progress::Done));
    let (_, end) = run(&abilities(false, true), Op::Unmap, 4, &[errno(Errno::OPNOTSUPP)]);
    assert_eq!(end, Progress::Failed { error: IoError::Unsupported, errno: Errno::OPNOTSUPP.raw_os_error() });
}

#[test]
fn zeroes_are_made_by_the_best_means_that_the_file_has() {
    let hole = || Request::PunchHole { offset: 1024, len: 2048 };
    let range = || Request::ZeroRange { offset: 1024, len: 2048 };
    let (unmap, keep) = (Op::WriteZeroes { unmap: true, fua: false }, Op::WriteZeroes { unmap: false, fua: false });
    assert_eq!(run(&abilities(false, true), unmap, 4, &[0]), (vec![hole()], Progress::Done));
    assert_eq!(run(&abilities(false, true), keep, 4, &[0]), (vec![range()], Progress::Done));
    assert_eq!(run(&abilities(false, false), unmap, 4, &[0]), (vec![range()], Progress::Done));
    let refused = errno(Errno::OPNOTSUPP);
    assert_eq!(run(&abilities(false, true), unmap, 4, &[refused, 0]), (vec![hole(), range()], Progress::Done));
}

#[test]
fn zeroes_are_written_in_bounded_pieces_where_the_file_system_makes_none() {
    let abilities = abilities(false, true);
    let refused = errno(Errno::OPNOTSUPP);
    let blocks = 2 * Zeroes::LEN as u64 / BLOCK + 1;
    let op = Op::WriteZeroes { unmap: true, fua: true };
    let piece = |at: usize, len| Request::WriteZeroes { offset: 1024 + (at * Zeroes::LEN) as u64, len };
    let pieces = [piece(0, Zeroes::LEN), piece(1, Zeroes::LEN), piece(2, BLOCK as usize)];
    let full = Zeroes::LEN as i32;
    let (asked, end) = run(&abilities, op, blocks, &[refused, refused, full, full, 512, 0]);
    assert_eq!(asked[2..5], pieces);
    assert_eq!((&asked[5], end), (&Request::Sync, Progress::Done));
    // The next one does not try what was refused before, and a short piece goes on where it ended.
    let op = Op::WriteZeroes { unmap: false, fua: false };
    let (asked, end) = run(&abilities, op, 4, &[512, 1536]);
    let piece = |offset, len| Request::WriteZeroes { offset, len };
    assert_eq!((asked, end), (vec![piece(1024, 2048), piece(1536, 1536)], Progress::Done));
}

#[test]
fn fua_zeroes_and_writing_through_end_with_a_sync() {
    for (write_through, fua, syncs) in [(false, false, false), (false, true, true), (true, false, true)] {
        let answers: &[i32] = if syncs { &[0, 0] } else { &[0] };
        let (asked, end) = run(&abilities(write_through, true), Op::WriteZeroes { unmap: false, fua }, 4, answers);
        assert_eq!((asked.last() == Some(&Request::Sync), end), (syncs, Progress::Done));
    }
    let (asked, _) = run(&abilities(true, true), Op::Write { fua: false }, 4, &[2048]);
    assert_eq!(asked, [Request::Write { offset: 1024, part: 0..2048, dsync: true }]);
}

/// The kernel tells one sync about a lost write, and the next that all is well: so a flush that failed must not be
/// followed by one that succeeds, on whatever channel.
#[test]
fn after_a_failed_flush_no_flush_succeeds() {
    let abilities = abilities(false, true);
    assert_eq!(run(&abilities, Op::Flush, 0, &[0]), (vec![Request::Sync], Progress::Done));
    let (_, end) = run(&abilities, Op::Flush, 0, &[errno(Errno::NOSPC)]);
    assert_eq!(end, Progress::Failed { error: IoError::NoSpace, errno: Errno::NOSPC.raw_os_error() });
    let lost = Progress::Failed { error: IoError::Medium, errno: 0 };
    assert_eq!(run(&abilities, Op::Flush, 0, &[0]).1, lost);
    assert_eq!(run(&abilities, Op::WriteZeroes { unmap: false, fua: true }, 4, &[0, 0]).1, lost);
    assert_eq!(run(&abilities, Op::Read, 4, &[2048]).1, Progress::Done);
    assert_eq!(run(&abilities, Op::Write { fua: true }, 4, &[2048]).1, Progress::Done);
}

#[test]
fn a_failed_fua_write_is_a_failed_flush_unless_the_file_system_was_only_full() {
    let fua = Op::Write { fua: true };
    let plain = Op::Write { fua: false };
    for (write_through, op, error, lost) in [
        (false, fua, Errno::IO, true),
        (true, plain, Errno::IO, true),
        (false, plain, Errno::IO, false),
        (false, fua, Errno::NOSPC, false),
        (false, Op::Read, Errno::IO, false),
    ] {
        let abilities = abilities(write_through, true);
        run(&abilities, op, 4, &[errno(error)]);
        let flushed = run(&abilities, Op::Flush, 0, &[0]).1 == Progress::Done;
        assert_eq!(flushed, !lost, "{op:?} {error} write_through: {write_through}");
    }
}

/// RWF_DSYNC gives one errno for two things: the write found no space, which loses nothing, or what was written before
/// found none, which does. Through the page cache both happen, so each is asked for by itself.
#[test]
fn through_the_page_cache_a_write_that_finds_no_space_loses_nothing_but_its_sync_does() {
    let abilities = |write_through| abilities(write_through, true).with_caches(true, false);
    let write = || Request::Write { offset: 1024, part: 0..2048, dsync: false };
    let sync = || Request::SyncRange { offset: 1024, len: 2048 };
    let full = errno(Errno::NOSPC);
    let no_space = Progress::Failed { error: IoError::NoSpace, errno: Errno::NOSPC.raw_os_error() };
    for (write_through, fua) in [(false, true), (true, false)] {
        let op = Op::Write { fua };
        assert_eq!(run(&abilities(write_through), op, 4, &[2048, 0]), (vec![write(), sync()], Progress::Done));
        let abilities = abilities(write_through);
        assert_eq!(run(&abilities, op, 4, &[full]), (vec![write()], no_space));
        assert_eq!(run(&abilities, Op::Flush, 0, &[0]).1, Progress::Done);
        assert_eq!(run(&abilities, op, 4, &[2048, full]).1, no_space);
        assert_eq!(run(&abilities, Op::Flush, 0, &[0]).1, Progress::Failed { error: IoError::Medium, errno: 0 });
        assert_eq!(run(&abilities, op, 4, &[2048, 0]).1, Progress::Done, "it speaks for itself only");
    }
    let (asked, end) = run(&abilities(false), Op::Write { fua: false }, 4, &[2048]);
    assert_eq!((asked, end), (vec![write()], Progress::Done));
}

#[test]
fn with_a_cache_that_keeps_everything_nothing_is_synced() {
    for page_cache in [false, true] {
        for write_through in [false, true] {
            let abilities = abilities(write_through, true).with_caches(page_cache, true);
            assert!(!abilities.flushes());
            let (asked, end) = run(&abilities, Op::Write { fua: true }, 4, &[2048]);
            assert_eq!(
                (asked, end),
                (vec![Request::Write { offset: 1024, part: 0..2048, dsync: false }], Progress::Done)
            );
            for op in [Op::Unmap, Op::WriteZeroes { unmap: true, fua: true }] {
                let hole = vec![Request::PunchHole { offset: 1024, len: 2048 }];
                assert_eq!(run(&abilities, op, 4, &[0]), (hole, Progress::Done));
            }
        }
    }
}

#[test]
fn each_errno_is_told_as_what_it_is() {
    for (errno, error) in [
        (Errno::NOSPC, IoError::NoSpace),
        (Errno::DQUOT, IoError::NoSpace),
        (Errno::IO, IoError::Medium),
        (Errno::ILSEQ, IoError::Medium),
        (Errno::ROFS, IoError::WriteProtected),
        (Errno::PERM, IoError::WriteProtected),
        (Errno::NODEV, IoError::Gone),
        (Errno::NXIO, IoError::Gone),
        (Errno::OPNOTSUPP, IoError::Unsupported),
        (Errno::INVAL, IoError::Failed),
        (Errno::NOMEM, IoError::Failed),
    ] {
        assert_eq!(io_error(errno), error, "{errno}");
    }
}

#[test]
fn an_operation_ends_with_what_it_came_with() {
    let finished = operation(Op::Read, 4).finish(Err(IoError::Gone));
    assert_eq!((finished.io.tag, finished.io.lba, finished.submitted_ns), (7, 2, 99));
    assert_eq!(finished.result, Err(IoError::Gone));
}

proptest! {
    /// Whatever the kernel answers: no request leaves the range, and success means that all of it was done.
    #[test]
    fn requests_cover_the_range_and_nothing_else(
        op in prop_oneof![
            Just(Op::Read),
            any::<bool>().prop_map(|fua| Op::Write { fua }),
            any::<(bool, bool)>().prop_map(|(unmap, fua)| Op::WriteZeroes { unmap, fua }),
            Just(Op::Unmap),
            Just(Op::Flush),
        ],
        blocks in 1..5000_u64,
        write_through: bool,
        punch_hole: bool,
        page_cache: bool,
        nv_cache: bool,
        answers in proptest::collection::vec(prop_oneof![
            Just(errno(Errno::INTR)),
            Just(errno(Errno::OPNOTSUPP)),
            Just(i32::MAX),
            Just(-4095),
            0..3_000_000_i32,
        ], 1..60),
    ) {
        let abilities = abilities(write_through, punch_hole).with_caches(page_cache, nv_cache);
        let mut operation = operation(op, blocks);
        let (start, end) = (2 * BLOCK, (2 + blocks) * BLOCK);
        let mut covered = start;
        for answer in answers {
            let request = operation.request(&abilities);
            // What the kernel can count at most is what it was asked for.
            let (at, len, moves) = match request.clone() {
                Request::Read { offset, part } | Request::Write { offset, part, .. } => {
                    prop_assert_eq!(offset, start + part.start as u64);
                    (offset, part.len() as u64, true)
                }
                Request::WriteZeroes { offset, len } => {
                    prop_assert!(len <= Zeroes::LEN);
                    (offset, len as u64, true)
                }
                Request::PunchHole { offset, len } | Request::ZeroRange { offset, len } => (offset, len, false),
                Request::Sync | Request::SyncRange { .. } => (covered, 0, false),
            };
            prop_assert!(at == covered && at + len <= end, "{request:?} when {covered} are done");
            let answer = if moves { answer.min(len as i32) } else { answer.min(0) };
            match (answer, request) {
                (count @ 1.., _) => covered += count as u64 / BLOCK * BLOCK,
                (0, Request::PunchHole { .. } | Request::ZeroRange { .. }) => covered = end,
                _ => {}
            }
            match operation.on_answer(answer, &abilities) {
                Progress::Again => {}
                Progress::Failed { .. } => break,
                Progress::Done => {
                    prop_assert!(covered == end || op == Op::Flush, "{covered} of {end}");
                    break;
                }
            }
        }
    }
}
