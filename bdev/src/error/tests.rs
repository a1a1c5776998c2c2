use super::*;
use crate::delay::{self, DelayOptions, Latencies};
use crate::passthrough::Facts;
use crate::testing::{BLOCK, Bench, WRITE, malloc, null};

fn arm(bdev: &Bdev, io_type: IoType, error: ErrorType, num: u32) {
    assert!(inject(bdev, io_type, Injection { error, num, queue_depth: 0 }));
}

fn op_of(io_type: IoType) -> Op {
    match io_type {
        IoType::Read => Op::Read,
        IoType::Write => WRITE,
        IoType::Unmap => Op::Unmap,
        IoType::Flush => Op::Flush,
    }
}

#[test]
fn so_many_operations_of_that_kind_fail_and_no_others() {
    let base = malloc(16);
    let bdev = create(&base, None).expect("an error device");
    assert_eq!(bdev.info().name, "EE_ram");
    let mut bench = Bench::on(&bdev, 4);
    for (error, expected) in [(ErrorType::Failure, IoError::Failed), (ErrorType::Medium, IoError::Medium)] {
        for hit in IoType::ALL {
            arm(&bdev, hit, error, 2);
            for n in 0..4 {
                for io_type in IoType::ALL {
                    let result = bench.run(op_of(io_type), 0, 1, 1).result;
                    let fails = io_type == hit && n < 2;
                    assert_eq!(result, if fails { Err(expected) } else { Ok(()) }, "{io_type:?} {n} of {hit:?}");
                }
                bench.run(Op::WriteZeroes { unmap: false, fua: false }, 0, 1, 0).result.expect("never hit");
            }
        }
    }
    // 2 errors of 2 kinds for each of 4; the 16 others of each kind went down.
    let (stat, beneath) = (bdev.io_stat(), base.io_stat());
    assert_eq!((stat.num_failed_ops, beneath.num_failed_ops), (16, 0));
    assert_eq!((beneath.num_read_ops, beneath.num_write_ops, beneath.num_flush_ops), (28, 28, 28));
}

#[test]
fn a_new_injection_replaces_the_old_one_and_clear_ends_all() {
    let bdev = create(&null(16), None).expect("an error device");
    let mut bench = Bench::on(&bdev, 4);
    arm(&bdev, IoType::Read, ErrorType::Failure, u32::MAX);
    arm(&bdev, IoType::Write, ErrorType::Failure, u32::MAX);
    assert_eq!(bench.run(Op::Read, 0, 1, 0).result, Err(IoError::Failed));
    arm(&bdev, IoType::Read, ErrorType::Medium, 1);
    assert_eq!(bench.run(Op::Read, 0, 1, 0).result, Err(IoError::Medium));
    assert_eq!(bench.run(Op::Read, 0, 1, 0).result, Ok(()));
    assert_eq!(bench.run(WRITE, 0, 1, 0).result, Err(IoError::Failed));
    arm(&bdev, IoType::Write, ErrorType::Failure, 0);
    assert_eq!(bench.run(WRITE, 0, 1, 0).result, Ok(()));
    arm(&bdev, IoType::Flush, ErrorType::Failure, 9);
    assert!(clear(&bdev));
    assert_eq!(bench.run(Op::Flush, 0, 0, 0).result, Ok(()));
}

/// A count for each core, or one that two cores may read before either writes it, would give more errors than asked for.
#[test]
fn all_cores_together_see_as_many_errors_as_were_asked_for() {
    const THREADS: u32 = 4;
    const EACH: u32 = 100_000;
    let bdev = create(&null(16), None).expect("an error device");
    let wanted = THREADS * EACH / 2;
    arm(&bdev, IoType::Read, ErrorType::Failure, wanted);
    let barrier = std::sync::Barrier::new(THREADS as usize);
    let failed = || {
        let mut bench = Bench::on(&bdev, 1);
        barrier.wait();
        (0..EACH).filter(|_| bench.run(Op::Read, 0, 1, 0).result.is_err()).count()
    };
    let counts: Vec<usize> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(failed)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread")).collect()
    });
    assert_eq!(counts.iter().sum::<usize>(), wanted as usize, "{counts:?}");
}

#[test]
fn no_error_is_counted_twice() {
    const THREADS: u32 = 4;
    const EACH: u32 = 200_000;
    let fault = Fault::default();
    fault.arm(Injection { error: ErrorType::Failure, num: THREADS * EACH / 2, queue_depth: 0 }, 1);
    let barrier = std::sync::Barrier::new(THREADS as usize);
    let hits: usize = std::thread::scope(|scope| {
        let core = || {
            barrier.wait();
            (0..EACH).filter(|_| fault.take(0).is_some()).count()
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(core)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread")).sum()
    });
    assert_eq!(hits, (THREADS * EACH / 2) as usize);
}

#[test]
fn a_pending_operation_is_stuck_until_it_is_let_go_and_then_done() {
    type LetGo = fn(&Bdev) -> bool;
    for let_go in [clear as LetGo, resume_pending as LetGo] {
        let base = malloc(16);
        let bdev = create(&base, None).expect("an error device");
        let mut bench = Bench::on(&bdev, 4);
        arm(&bdev, IoType::Write, ErrorType::Pending, 2);
        bench.submit(WRITE, 0, 1, 0x11);
        bench.submit(WRITE, 1, 1, 0x22);
        bench.submit(WRITE, 2, 1, 0x33);
        bench.submit(Op::Flush, 0, 0, 4);
        assert_eq!(bench.tags_at(0), [0x33, 4], "what is not hit passes");
        assert_eq!(bench.tags_at(u64::MAX), []);
        assert_eq!((bench.channel.in_flight(), bench.buffers_out()), (2, 2));
        assert!(let_go(&bdev));
        assert_eq!(bench.tags_at(5), [0x11, 0x22], "in their order");
        assert_eq!((bench.channel.in_flight(), bench.buffers_out()), (0, 0));
        let read = bench.run(Op::Read, 0, 3, 0).data.expect("came back");
        let firsts: Vec<u8> = read.bytes().chunks(BLOCK).map(|block| block[0]).collect();
        assert_eq!(firsts, [0x11, 0x22, 0x33]);
    }
}

#[test]
fn letting_go_ends_pending_errors_to_come_and_only_those() {
    let bdev = create(&null(16), None).expect("an error device");
    let mut bench = Bench::on(&bdev, 4);
    arm(&bdev, IoType::Write, ErrorType::Pending, 9);
    arm(&bdev, IoType::Read, ErrorType::Failure, 1);
    assert!(resume_pending(&bdev));
    assert_eq!(bench.run(WRITE, 0, 1, 0).result, Ok(()));
    assert_eq!(bench.run(Op::Read, 0, 1, 0).result, Err(IoError::Failed));
    // What is stuck afterwards is not let go by what was before.
    arm(&bdev, IoType::Write, ErrorType::Pending, 1);
    bench.submit(WRITE, 0, 1, 7);
    assert_eq!(bench.tags_at(0), []);
    assert!(clear(&bdev));
    assert_eq!(bench.tags_at(0), [7]);
}

#[test]
fn a_dropped_channel_gives_back_what_is_stuck() {
    let bdev = create(&null(16), None).expect("an error device");
    let mut bench = Bench::on(&bdev, 4);
    arm(&bdev, IoType::Read, ErrorType::Pending, 2);
    arm(&bdev, IoType::Write, ErrorType::NoMem, u32::MAX);
    (0..2).for_each(|tag| bench.submit(Op::Read, 0, 1, tag));
    (2..4).for_each(|tag| bench.submit(WRITE, 0, 1, tag));
    assert_eq!(bench.tags_at(0), []);
    assert_eq!(bench.buffers_out(), 4);
    bench.channel = bdev.open_channel(1).expect("another");
    assert_eq!(bench.buffers_out(), 0);
}

#[test]
fn short_of_memory_it_tries_again_with_every_poll() {
    let base = malloc(16);
    let bdev = create(&base, None).expect("an error device");
    let mut bench = Bench::on(&bdev, 4);
    arm(&bdev, IoType::Write, ErrorType::NoMem, 3);
    bench.submit(WRITE, 0, 1, 1);
    bench.submit(WRITE, 1, 1, 2);
    // Each took an error at first; the first one takes the last.
    assert_eq!(bench.tags_at(0), [2]);
    assert_eq!(bench.tags_at(0), [1]);
    assert_eq!(bench.tags_at(0), []);
    assert_eq!((bdev.io_stat().num_failed_ops, base.io_stat().num_write_ops), (0, 2));
}

#[test]
fn one_byte_is_changed_of_what_is_read_or_reaches_the_device_beneath() {
    let base = malloc(16);
    let bdev = create(&base, None).expect("an error device");
    let mut bench = Bench::on(&bdev, 4);
    let expected = |at: Option<usize>, len: usize| {
        let mut bytes = vec![0x0f; len];
        at.into_iter().for_each(|at| bytes[at] ^= 0x81);
        bytes
    };
    bench.run(WRITE, 0, 2, 0x0f).result.expect("written");
    arm(&bdev, IoType::Read, ErrorType::CorruptData { offset: 513, value: 0x81 }, 2);
    assert_eq!(bench.run(Op::Read, 0, 2, 0).data.expect("came back").bytes(), expected(Some(513), 1024));
    assert_eq!(bench.run(Op::Read, 0, 1, 0).data.expect("came back").bytes(), expected(None, 512), "no such byte");
    assert_eq!(bench.run(Op::Read, 0, 2, 0).data.expect("came back").bytes(), expected(None, 1024));

    arm(&bdev, IoType::Write, ErrorType::CorruptData { offset: 5, value: 0x81 }, 1);
    let written = bench.run(WRITE, 4, 1, 0x0f);
    assert_eq!(written.result, Ok(()));
    assert_eq!(written.data.expect("came back").bytes(), expected(None, 512), "the writer's buffer is as it was");
    assert_eq!(bench.run(Op::Read, 4, 1, 0).data.expect("came back").bytes(), expected(Some(5), 512));
    arm(&bdev, IoType::Write, ErrorType::CorruptData { offset: u64::MAX, value: 0x81 }, 1);
    bench.run(WRITE, 4, 1, 0x0f).result.expect("written");
    assert_eq!(bench.run(Op::Read, 4, 1, 0).data.expect("came back").bytes(), expected(None, 512));
}

#[test]
fn errors_wait_for_the_depth_that_they_are_for() {
    let latencies = Latencies { avg_read: 10, p99_read: 10, ..Latencies::default() };
    let base = delay::create(&null(16), DelayOptions { name: "slow".to_owned(), uuid: None, latencies });
    let bdev = create(&base.expect("a delay"), None).expect("an error device");
    let mut bench = Bench::on(&bdev, 4);
    inject(&bdev, IoType::Read, Injection { error: ErrorType::Failure, num: 9, queue_depth: 2 });
    (1..=4).for_each(|tag| bench.submit(Op::Read, 0, 1, tag));
    let failed: Vec<u64> = bench.at(0).iter().map(|done| done.tag).collect();
    assert_eq!(failed, [3, 4]);
    assert_eq!(bench.tags_at(10_000), [1, 2]);
}

#[test]
fn scsi_commands_fail_as_reads_and_writes_and_their_record_is_left_alone() {
    let mut base = null(1);
    let facts = Facts { device_type: 0, transfer_bytes_max: 1 << 20, ..Default::default() };
    Arc::get_mut(&mut base).expect("mine").info_mut().passthrough = Some(facts);
    let bdev = create(&base, None).expect("an error device");
    let mut bench = Bench::on(&bdev, 4);
    let mut run = |direction| {
        let data = bench.scsi_data(16, 7);
        let before = data.bytes().to_vec();
        let data = Some(data);
        bench.submit_io(BlockIo { op: Op::Scsi { direction }, lba: 0, blocks: 0, data, tag: 0 });
        let done = bench.at(0).pop().expect("it ended");
        let changed: Vec<usize> = done
            .data
            .expect("came back")
            .bytes()
            .iter()
            .enumerate()
            .filter(|(at, byte)| **byte != before[*at])
            .map(|(at, _)| at)
            .collect();
        (done.result, changed)
    };
    arm(&bdev, IoType::Read, ErrorType::CorruptData { offset: 15, value: 1 }, 1);
    assert_eq!(run(Direction::In), (Ok(()), vec![15]));
    arm(&bdev, IoType::Read, ErrorType::CorruptData { offset: 16, value: 1 }, 1);
    assert_eq!(run(Direction::In), (Ok(()), vec![]));
    arm(&bdev, IoType::Write, ErrorType::Medium, 1);
    assert_eq!(run(Direction::None), (Ok(()), vec![]));
    assert_eq!(run(Direction::Out), (Err(IoError::Medium), vec![]));
}

#[test]
fn devices_of_other_kinds_take_no_errors() {
    let bdev = null(1);
    assert!(!inject(&bdev, IoType::Read, Injection { error: ErrorType::Failure, num: 1, queue_depth: 0 }));
    assert!(!clear(&bdev) && !resume_pending(&bdev));
}

#[test]
fn a_name_that_gets_too_long_is_refused() {
    let options = crate::null::NullOptions { name: "n".repeat(253), num_blocks: 1, ..Default::default() };
    let error = create(&crate::null::create(options).expect("a long name"), None).expect_err("too long").to_string();
    assert!(error.starts_with("name: "), "{error}");
}
