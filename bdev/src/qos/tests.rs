use std::sync::{Arc, Barrier};

use proptest::prelude::*;

use super::*;
use crate::error;
use crate::passthrough::Facts;
use crate::testing::{BLOCK, Bench, WRITE, null};

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1000 * MILLISECOND;

fn limited(limits: QosLimits) -> Arc<Bdev> {
    let bdev = null(1000);
    bdev.set_qos_limits(limits);
    bdev
}

/// Keeps the channel full until `end_ns`, polling once a millisecond: how many operations ended.
fn flood(bench: &mut Bench, op: Op, blocks: u64, depth: usize, end_ns: u64) -> usize {
    let mut ended = 0;
    while bench.now_ns < end_ns {
        while bench.channel.in_flight() < depth {
            bench.submit(op, 0, blocks, 1);
        }
        ended += bench.tags_at(bench.now_ns + MILLISECOND).len();
    }
    ended
}

#[test]
fn operations_per_second_are_kept() {
    for (limit, seconds) in [(1, 10), (100, 10), (777, 10), (50_000, 2)] {
        for op in [Op::Read, WRITE] {
            let bdev = limited(QosLimits { rw_ios_per_sec: limit, ..QosLimits::default() });
            let ended = flood(&mut Bench::on(&bdev, 64), op, 1, 64, seconds * SECOND) as u64;
            // What a burst is worth, and one that may go at the very start.
            let most = limit * seconds + limit * BURST_NS / SECOND + 1;
            assert!((limit * seconds..=most).contains(&ended), "{ended} at {limit}/s in {seconds} s");
        }
    }
}

#[test]
fn bytes_per_second_are_kept_and_a_large_operation_passes_under_a_small_limit() {
    for (bytes_per_sec, blocks, seconds) in [(1 << 20, 8, 10), (16 << 10, 128, 64), (1000, 1, 10)] {
        let bdev = limited(QosLimits { rw_bytes_per_sec: bytes_per_sec, ..QosLimits::default() });
        let ended = flood(&mut Bench::on(&bdev, 16), Op::Read, blocks, 16, seconds * SECOND) as u64;
        let moved = ended * blocks * BLOCK as u64;
        let most = bytes_per_sec * seconds + bytes_per_sec * BURST_NS / SECOND + blocks * BLOCK as u64;
        let least = bytes_per_sec * seconds - blocks * BLOCK as u64;
        assert!((least..=most).contains(&moved), "{moved} bytes at {bytes_per_sec}/s in {seconds} s");
    }
}

#[test]
fn each_limit_is_for_what_its_name_says() {
    // At 10 a second each limit lets one of 20 go at once, since bursts are worth less than the time between two.
    let all = |set: fn(&mut QosLimits)| {
        let mut limits = QosLimits::default();
        set(&mut limits);
        let bdev = limited(limits);
        assert_eq!(bdev.qos_limits(), limits);
        [Op::Read, WRITE].map(|op| {
            let mut bench = Bench::on(&bdev, 20);
            (0..20).for_each(|tag| bench.submit(op, 0, 1, tag));
            bench.tags_at(0).len()
        })
    };
    const RATE: u64 = 10;
    assert_eq!(all(|limits| limits.r_ios_per_sec = RATE), [1, 20]);
    assert_eq!(all(|limits| limits.w_ios_per_sec = RATE), [20, 1]);
    assert_eq!(all(|limits| limits.rw_ios_per_sec = RATE), [1, 0]);
    assert_eq!(all(|limits| limits.r_bytes_per_sec = RATE * BLOCK as u64), [1, 20]);
    assert_eq!(all(|limits| limits.w_bytes_per_sec = RATE * BLOCK as u64), [20, 1]);
    assert_eq!(all(|limits| limits.rw_bytes_per_sec = RATE * BLOCK as u64), [1, 0]);
    assert_eq!(all(|_| {}), [20, 20]);
}

#[test]
fn the_strictest_limit_counts_and_none_is_charged_for_what_another_stops() {
    let limits = QosLimits { rw_ios_per_sec: 1000, r_bytes_per_sec: 100 * BLOCK as u64, ..QosLimits::default() };
    let mut bench = Bench::on(&limited(limits), 64);
    const READ: u64 = 1;
    let (mut reads, mut writes, mut reads_in_flight) = (0, 0, 0);
    while bench.now_ns < 2 * SECOND {
        while bench.channel.in_flight() < 64 {
            let is_read = reads_in_flight < 32;
            reads_in_flight += usize::from(is_read);
            bench.submit(if is_read { Op::Read } else { WRITE }, 0, 1, if is_read { READ } else { 2 });
        }
        for tag in bench.tags_at(bench.now_ns + MILLISECOND) {
            reads += usize::from(tag == READ);
            writes += usize::from(tag != READ);
            reads_in_flight -= usize::from(tag == READ);
        }
    }
    // 900 a second are left to writes, whatever the reads that wait tried at the common limit.
    assert!((200..=202).contains(&reads) && (1798..=1808).contains(&writes), "{reads} reads, {writes} writes");
}

#[test]
fn what_waits_goes_in_its_order_and_reads_do_not_wait_for_writes() {
    let bdev = limited(QosLimits { w_ios_per_sec: 1, ..QosLimits::default() });
    let mut bench = Bench::on(&bdev, 16);
    for (tag, op) in [(1, WRITE), (2, WRITE), (3, Op::Read), (4, WRITE), (5, Op::Flush), (6, Op::Unmap)] {
        bench.submit(op, 0, 1, tag);
    }
    let zeroes = BlockIo { op: Op::WriteZeroes { unmap: true, fua: true }, lba: 0, blocks: 1, data: None, tag: 7 };
    bench.submit_io(zeroes);
    assert_eq!(bench.tags_at(0), [1, 3, 5, 6, 7], "flush, unmap and zeroes wait for nothing");
    assert_eq!(bench.tags_at(SECOND / 2), []);
    assert_eq!((bench.channel.in_flight(), bench.buffers_out()), (2, 2));
    // The limit is open now, but the one that waits is first.
    bench.now_ns = SECOND;
    bench.submit(WRITE, 0, 1, 8);
    assert_eq!(bench.tags_at(SECOND), [2]);
    assert_eq!(bench.tags_at(2 * SECOND), [4]);
    assert_eq!(bench.tags_at(3 * SECOND), [8]);
}

#[test]
fn under_a_common_limit_the_oldest_goes_first() {
    let bdev = limited(QosLimits { rw_ios_per_sec: 1, ..QosLimits::default() });
    let mut bench = Bench::on(&bdev, 16);
    for (tag, op) in [(1, WRITE), (2, Op::Read), (3, WRITE), (4, WRITE), (5, Op::Read)] {
        bench.submit(op, 0, 1, tag);
    }
    let order: Vec<u64> = (0..5).flat_map(|second| bench.tags_at(second * SECOND)).collect();
    assert_eq!(order, [1, 2, 3, 4, 5]);
}

#[test]
fn a_lifted_limit_lets_all_go_with_the_next_poll() {
    let bdev = limited(QosLimits { rw_ios_per_sec: 1, ..QosLimits::default() });
    let mut bench = Bench::on(&bdev, 16);
    (0..8).for_each(|tag| bench.submit(Op::Read, 0, 1, tag));
    assert_eq!(bench.tags_at(0), [0]);
    bdev.set_qos_limits(QosLimits::default());
    // New ones stay behind those that wait.
    bench.submit(Op::Read, 0, 1, 8);
    assert_eq!(bench.tags_at(1), [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn a_raised_limit_counts_from_now_on_and_old_debt_is_forgotten() {
    let bdev = limited(QosLimits { rw_bytes_per_sec: 1, ..QosLimits::default() });
    let mut bench = Bench::on(&bdev, 16);
    bench.submit(Op::Read, 0, 128, 0);
    bench.submit(Op::Read, 0, 1, 1);
    assert_eq!(bench.tags_at(0), [0]);
    assert_eq!(bench.tags_at(1000 * SECOND), [], "65536 seconds are not over");
    bdev.set_qos_limits(QosLimits { rw_bytes_per_sec: 1 << 20, ..QosLimits::default() });
    assert_eq!(bench.tags_at(1000 * SECOND), [1]);
}

#[test]
fn waiting_counts_as_latency_and_as_depth() {
    let bdev = limited(QosLimits { rw_ios_per_sec: 1, ..QosLimits::default() });
    let mut bench = Bench::on(&bdev, 2);
    bench.now_ns = SECOND;
    bench.submit(Op::Read, 0, 1, 0);
    bench.submit(Op::Read, 0, 1, 1);
    let third = BlockIo { op: Op::Flush, lba: 0, blocks: 0, data: None, tag: 2 };
    assert!(bench.channel.submit(third, SECOND).is_err(), "two are in flight");
    assert_eq!(bench.tags_at(SECOND), [0]);
    // The burst at the start makes the second one due a little early.
    assert_eq!(bench.tags_at(2 * SECOND), [1]);
    let stat = bdev.io_stat();
    assert_eq!((stat.min_read_latency_ns, stat.max_read_latency_ns), (0, SECOND));
}

#[test]
fn refused_operations_neither_wait_nor_cost() {
    let bdev = limited(QosLimits { rw_ios_per_sec: 1, ..QosLimits::default() });
    let mut bench = Bench::on(&bdev, 4);
    bench.submit(Op::Read, 1000, 1, 1);
    assert_eq!(bench.at(0)[0].result, Err(crate::IoError::OutOfRange));
    bench.submit(Op::Read, 0, 1, 2);
    assert_eq!(bench.tags_at(0), [2]);
    // What the device became meanwhile is looked at again.
    bench.submit(Op::Read, 999, 1, 3);
    bdev.set_num_blocks(10);
    assert_eq!(bench.at(SECOND)[0].result, Err(crate::IoError::OutOfRange));
}

/// Each of four cores with a limit of its own would let through four times as much.
#[test]
fn all_cores_together_keep_the_limit() {
    const THREADS: u64 = 4;
    const RATE: u64 = 20_000;
    const MILLISECONDS: u64 = 1500;
    let bdev = limited(QosLimits { rw_ios_per_sec: RATE, ..QosLimits::default() });
    let barrier = Barrier::new(THREADS as usize);
    let ended: Vec<usize> = std::thread::scope(|scope| {
        let core = || {
            let mut bench = Bench::on(&bdev, 64);
            let mut ended = 0;
            for _ in 0..MILLISECONDS {
                while bench.channel.in_flight() < 64 {
                    bench.submit(Op::Read, 0, 1, 1);
                }
                // One virtual clock for all.
                barrier.wait();
                ended += bench.tags_at(bench.now_ns + MILLISECOND).len();
            }
            ended
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(core)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread")).collect()
    });
    let total = ended.iter().sum::<usize>() as u64;
    let due = RATE * MILLISECONDS / 1000;
    let most = due + RATE * BURST_NS / SECOND + THREADS;
    assert!((due..=most).contains(&total), "{total} of {due} to {most}: {ended:?}");
}

proptest! {
    /// Whatever comes and whenever: over no span of time goes more than the rate and what idle time is worth, but for the last operation, which may be large;
    /// and what is stopped goes once its debt is paid.
    #[test]
    fn no_span_of_time_has_more_than_its_share(
        per_sec in 1000_u64..1_000_000,
        steps in proptest::collection::vec((prop_oneof![3 => 0_u64..20_000, 1 => 0..20 * MILLISECOND], 0_u64..1000), 1..200),
    ) {
        let limit = Limit { per_sec: AtomicU64::new(per_sec), next_ns: AtomicU64::new(0) };
        let (mut now_ns, mut went) = (1 << 40, Vec::new());
        for (pause_ns, cost) in steps {
            now_ns += pause_ns;
            if limit.is_open(now_ns) {
                limit.charge(cost, now_ns);
                went.push((now_ns, cost));
            }
        }
        for (first, (from_ns, _)) in went.iter().enumerate() {
            let mut sum = 0_u128;
            for (to_ns, cost) in &went[first..] {
                // Before this one went, all others of the span had been paid for.
                let due = u128::from(per_sec) * u128::from(to_ns - from_ns + BURST_NS) / u128::from(SECOND);
                prop_assert!(sum <= due, "{sum} in {} ns, where {due} are due", to_ns - from_ns);
                sum += u128::from(*cost);
            }
        }
        let paid_ns = limit.next_ns.load(Ordering::Relaxed);
        prop_assert!(limit.is_open(paid_ns));
    }

    /// No cost, time or rate is too large to be counted.
    #[test]
    fn no_numbers_overflow(per_sec: u64, cost: u64, now_ns: u64, next_ns: u64) {
        let limit = Limit { per_sec: AtomicU64::new(per_sec), next_ns: AtomicU64::new(next_ns) };
        limit.charge(cost, now_ns);
        prop_assert!(limit.next_ns.load(Ordering::Relaxed) >= next_ns);
    }
}

#[test]
fn no_charge_is_lost_between_cores() {
    const THREADS: u64 = 4;
    const EACH: u64 = 200_000;
    let limit = Limit { per_sec: AtomicU64::new(SECOND), next_ns: AtomicU64::new(0) };
    let barrier = Barrier::new(THREADS as usize);
    std::thread::scope(|scope| {
        let core = || {
            barrier.wait();
            (0..EACH).for_each(|_| limit.charge(1, 0));
        };
        (0..THREADS).for_each(|_| drop(scope.spawn(core)));
    });
    assert_eq!(limit.next_ns.load(Ordering::Relaxed), THREADS * EACH, "a nanosecond each");
}

#[test]
fn a_limit_beneath_holds_for_all_that_stand_on_it() {
    let base = limited(QosLimits { rw_ios_per_sec: 10, ..QosLimits::default() });
    let parts = crate::split::create(&base, crate::split::SplitOptions { split_count: 2, ..Default::default() });
    let mut benches: Vec<_> = parts.expect("parts").iter().map(|part| Bench::on(part, 8)).collect();
    let mut ended = 0;
    for now_ns in (0..10 * SECOND).step_by(10 * MILLISECOND as usize) {
        for bench in &mut benches {
            bench.now_ns = now_ns;
            while bench.channel.in_flight() < 8 {
                bench.submit(Op::Read, 0, 1, 1);
            }
            ended += bench.tags_at(now_ns).len();
        }
    }
    assert!((100..=102).contains(&ended), "{ended}");
}

#[test]
fn what_goes_on_late_is_charged_beneath_when_it_goes() {
    // Released by the upper limit after a second, it must not be measured by the lower one's past.
    let base = limited(QosLimits { rw_ios_per_sec: 2, ..QosLimits::default() });
    let bdev = error::create(&base, None).expect("an error device");
    bdev.set_qos_limits(QosLimits { rw_ios_per_sec: 1, ..QosLimits::default() });
    let mut bench = Bench::on(&bdev, 8);
    (0..2).for_each(|tag| bench.submit(Op::Read, 0, 1, tag));
    assert_eq!(bench.tags_at(0), [0]);
    assert_eq!(bench.tags_at(SECOND), [1]);
    assert_eq!(base.io_stat().max_read_latency_ns, 0);
    assert_eq!(bdev.io_stat().max_read_latency_ns, SECOND);
}

#[test]
fn scsi_commands_count_by_the_data_they_move() {
    let mut base = null(1);
    let facts = Facts { device_type: 0, transfer_bytes_max: 1 << 20, ..Default::default() };
    Arc::get_mut(&mut base).expect("mine").info_mut().passthrough = Some(facts);
    base.set_qos_limits(QosLimits { r_bytes_per_sec: 512, w_ios_per_sec: 1, ..QosLimits::default() });
    let mut bench = Bench::on(&base, 8);
    let directions = [Direction::In, Direction::In, Direction::Out, Direction::Out, Direction::None];
    for (tag, direction) in directions.into_iter().enumerate() {
        let data = Some(bench.scsi_data(512, 0));
        bench.submit_io(BlockIo { op: Op::Scsi { direction }, lba: 0, blocks: 0, data, tag: tag as u64 });
    }
    assert_eq!(bench.tags_at(0), [0, 2, 4]);
    assert_eq!(bench.tags_at(SECOND), [1, 3]);
}

#[test]
fn a_dropped_channel_gives_back_what_waits() {
    let bdev = limited(QosLimits { rw_ios_per_sec: 1, ..QosLimits::default() });
    let mut bench = Bench::on(&bdev, 8);
    (0..8).for_each(|tag| bench.submit(if tag % 2 == 0 { Op::Read } else { WRITE }, 0, 1, tag));
    assert_eq!(bench.tags_at(0), [0]);
    assert_eq!(bench.buffers_out(), 7);
    bench.channel = bdev.open_channel(1).expect("another");
    assert_eq!(bench.buffers_out(), 0);
}

#[derive(Clone, Debug)]
enum Step {
    Submit { op: Op, blocks: u64 },
    Limit(QosLimits),
    Poll { after_ns: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let op = prop_oneof![3 => Just(Op::Read), 3 => Just(WRITE), 1 => Just(Op::Flush), 1 => Just(Op::Unmap)];
    let limit = || prop_oneof![2 => Just(0), 1 => 1..2000_u64, 1 => any::<u64>()];
    let limits = [limit(), limit(), limit(), limit(), limit(), limit()].prop_map(|[a, b, c, d, e, f]| QosLimits {
        rw_ios_per_sec: a,
        r_ios_per_sec: b,
        w_ios_per_sec: c,
        rw_bytes_per_sec: d,
        r_bytes_per_sec: e,
        w_bytes_per_sec: f,
    });
    prop_oneof![
        8 => (op, 0..9_u64).prop_map(|(op, blocks)| Step::Submit { op, blocks }),
        1 => limits.prop_map(Step::Limit),
        4 => (0..20 * MILLISECOND).prop_map(|after_ns| Step::Poll { after_ns }),
    ]
}

proptest! {
    /// Limits that come, change and go under operations in flight lose none and let none overtake another of its kind.
    #[test]
    fn every_operation_ends_once_and_in_its_order(steps in proptest::collection::vec(step(), 1..80)) {
        let bdev = null(1000);
        let mut bench = Bench::on(&bdev, 80);
        let mut submitted: Vec<Op> = Vec::new();
        let mut ended: Vec<u64> = Vec::new();
        for step in steps {
            match step {
                Step::Submit { op, blocks } => {
                    bench.submit(op, 0, blocks, submitted.len() as u64);
                    submitted.push(op);
                }
                Step::Limit(limits) => bdev.set_qos_limits(limits),
                Step::Poll { after_ns } => ended.extend(bench.tags_at(bench.now_ns + after_ns)),
            }
        }
        bdev.set_qos_limits(QosLimits::default());
        ended.extend(bench.tags_at(bench.now_ns));
        prop_assert_eq!((bench.channel.in_flight(), bench.buffers_out()), (0, 0));
        for kind in [Op::Read, WRITE, Op::Flush, Op::Unmap] {
            let order = |tags: &mut dyn Iterator<Item = u64>| -> Vec<u64> {
                tags.filter(|&tag| submitted[tag as usize] == kind).collect()
            };
            prop_assert_eq!(order(&mut ended.iter().copied()), order(&mut (0..submitted.len() as u64)));
        }
    }
}
