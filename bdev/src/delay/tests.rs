use super::*;
use crate::passthrough::Facts;
use crate::testing::{Bench, WRITE, malloc, null};

fn delay(base: &Arc<Bdev>, latencies: Latencies) -> Result<Arc<Bdev>, CreateError> {
    create(base, DelayOptions { name: "slow".to_owned(), uuid: None, latencies })
}

/// Reads take 30 µs, writes 50, always.
fn even() -> Latencies {
    Latencies { avg_read: 30, p99_read: 30, avg_write: 50, p99_write: 50 }
}

#[test]
fn reads_and_writes_come_back_when_they_are_due_and_not_before() {
    let bdev = delay(&malloc(16), even()).expect("a delay");
    let mut bench = Bench::on(&bdev, 8);
    bench.submit(WRITE, 0, 1, 1);
    bench.submit(Op::Read, 1, 1, 2);
    // The delay begins when the device beneath is done: here with the first poll.
    assert_eq!(bench.tags_at(1_000), []);
    assert_eq!(bench.tags_at(30_999), []);
    assert_eq!(bench.tags_at(31_000), [2]);
    bench.submit(Op::Read, 2, 1, 3);
    assert_eq!(bench.tags_at(31_001), []);
    assert_eq!(bench.tags_at(51_000), [1], "the write before it");
    assert_eq!(bench.tags_at(70_000), [3]);
    assert_eq!((bench.channel.in_flight(), bench.buffers_out()), (0, 0));
}

#[test]
fn what_moves_no_data_is_not_held_back() {
    let bdev = delay(&malloc(16), even()).expect("a delay");
    let mut bench = Bench::on(&bdev, 8);
    bench.submit(Op::Read, 0, 1, 1);
    for (tag, op) in [(2, Op::Flush), (3, Op::Unmap), (4, Op::WriteZeroes { unmap: false, fua: false })] {
        bench.submit(op, 0, 1, tag);
    }
    assert_eq!(bench.tags_at(0), [2, 3, 4]);
    assert_eq!(bench.tags_at(30_000), [1]);
}

#[test]
fn what_is_due_at_the_same_time_comes_back_in_its_order() {
    let bdev = delay(&null(16), even()).expect("a delay");
    let mut bench = Bench::on(&bdev, 8);
    (0..8).for_each(|tag| bench.submit(Op::Read, tag, 1, tag));
    assert_eq!(bench.tags_at(0), []);
    assert_eq!(bench.tags_at(30_000), [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn errors_are_held_back_as_well_but_refusals_are_not() {
    let base = crate::error::create(&null(16), None).expect("an error device");
    let injection = crate::error::Injection { error: crate::error::ErrorType::Medium, num: 1, queue_depth: 0 };
    crate::error::inject(&base, crate::error::IoType::Read, injection);
    let bdev = delay(&base, even()).expect("a delay");
    let mut bench = Bench::on(&bdev, 8);
    bench.submit(Op::Read, 0, 1, 1);
    bench.submit(Op::Read, 16, 1, 2);
    let refused = bench.at(0);
    assert_eq!((refused.len(), refused[0].tag, refused[0].result), (1, 2, Err(crate::IoError::OutOfRange)));
    let failed = bench.at(30_000);
    assert_eq!((failed.len(), failed[0].tag, failed[0].result), (1, 1, Err(crate::IoError::Medium)));
}

#[test]
fn one_in_a_hundred_is_slow_and_the_same_ones_in_every_run() {
    let run = || {
        let latencies = Latencies { avg_read: 10, p99_read: 1000, ..Latencies::default() };
        let bdev = delay(&null(16), latencies).expect("a delay");
        let slow_ones = |bench: &mut Bench| {
            let mut slow = Vec::new();
            for n in 0..20_000 {
                bench.submit(Op::Read, 0, 1, n);
                bench.at(bench.now_ns);
                if bench.at(bench.now_ns + 10_000).is_empty() {
                    slow.push(n);
                    assert_eq!(bench.tags_at(bench.now_ns + 990_000), [n]);
                }
            }
            slow
        };
        // Two channels draw different numbers.
        [Bench::on(&bdev, 1), Bench::on(&bdev, 1)].map(|mut bench| slow_ones(&mut bench))
    };
    let [one, other] = run();
    assert!((120..280).contains(&one.len()) && (120..280).contains(&other.len()), "{} {}", one.len(), other.len());
    assert_ne!(one, other);
    assert_eq!(run(), [one, other]);
}

#[test]
fn a_delay_can_be_changed_for_what_comes_next() {
    let bdev = delay(&null(16), even()).expect("a delay");
    let mut bench = Bench::on(&bdev, 8);
    bench.submit(Op::Read, 0, 1, 1);
    assert_eq!(bench.tags_at(0), []);
    for kind in [LatencyType::AvgRead, LatencyType::P99Read] {
        assert!(set_latency(&bdev, kind, 1).expect("in range"));
    }
    bench.submit(Op::Read, 0, 1, 2);
    assert_eq!(bench.tags_at(0), []);
    assert_eq!(bench.tags_at(1_000), [2]);
    assert_eq!(bench.tags_at(30_000), [1]);
    assert!(set_latency(&bdev, LatencyType::P99Write, 0).expect("less than the average is allowed here, as in SPDK"));
    assert_eq!(latencies(&bdev), Some(Latencies { avg_read: 1, p99_read: 1, avg_write: 50, p99_write: 0 }));
    assert_eq!(set_latency(&null(1), LatencyType::AvgRead, 1).ok(), Some(false));
    assert_eq!(latencies(&null(1)), None);
}

#[test]
fn what_is_out_of_range_is_refused_by_name() {
    for (latencies, parameter) in [
        (Latencies { avg_read: LATENCY_US_MAX + 1, p99_read: u64::MAX, ..even() }, "avg_read_latency: "),
        (Latencies { p99_read: u64::MAX, ..even() }, "p99_read_latency: "),
        (Latencies { p99_read: 29, ..even() }, "p99_read_latency: "),
        (Latencies { avg_write: u64::MAX, ..even() }, "avg_write_latency: "),
        (Latencies { p99_write: 49, ..even() }, "p99_write_latency: "),
    ] {
        let error = delay(&null(1), latencies).expect_err("out of range").to_string();
        assert!(error.starts_with(parameter), "{error}");
    }
    let error = create(&null(1), DelayOptions { name: String::new(), uuid: None, latencies: even() });
    assert!(error.expect_err("no name").to_string().starts_with("name: "));
    let bdev = delay(&null(1), even()).expect("a delay");
    let error = set_latency(&bdev, LatencyType::AvgRead, LATENCY_US_MAX + 1).expect_err("out of range").to_string();
    assert!(error.starts_with("latency_us: "), "{error}");
}

#[test]
fn devices_do_not_stand_on_each_other_without_end() {
    let mut bdev = null(1);
    let on = |base: &Arc<Bdev>, n: usize| {
        create(base, DelayOptions { name: format!("slow{n}"), uuid: None, latencies: Latencies::default() })
    };
    for n in 0..7 {
        bdev = on(&bdev, n).expect("low enough");
    }
    let error = on(&bdev, 7).expect_err("too high").to_string();
    assert!(error.starts_with("base_bdev_name: "), "{error}");
    assert!(bdev.stands_on("slow0") && bdev.stands_on("null") && !bdev.stands_on("slow7"));
}

#[test]
fn it_has_the_facts_of_the_device_beneath_and_an_identity_of_its_own() {
    let base = malloc(16);
    let bdev = delay(&base, even()).expect("a delay");
    let (info, beneath) = (bdev.info(), base.info());
    assert_eq!((info.name.as_str(), info.product_name), ("slow", "delay"));
    assert_eq!((info.block_size, info.unmap, info.unmap_zeroes), (512, true, true));
    assert_ne!(info.uuid, beneath.uuid);
    assert_eq!(info.uuid, delay(&malloc(99), even()).expect("another of those names").info().uuid);
    base.set_num_blocks(20);
    assert_eq!(bdev.num_blocks(), 20);
    let mut bench = Bench::on(&bdev, 1);
    base.set_num_blocks(12);
    bench.submit(Op::Read, 12, 1, 1);
    assert_eq!(bench.at(0)[0].result, Err(crate::IoError::OutOfRange));
}

#[test]
fn scsi_commands_that_move_data_are_held_back() {
    let mut base = null(1);
    let facts = Facts { device_type: 1, transfer_bytes_max: 1 << 20, ..Default::default() };
    Arc::get_mut(&mut base).expect("mine").info_mut().passthrough = Some(facts);
    let bdev = delay(&base, even()).expect("a delay");
    let mut bench = Bench::on(&bdev, 4);
    for (tag, direction) in [(1, Direction::In), (2, Direction::Out), (3, Direction::None)] {
        let data = Some(bench.scsi_data(8, 0));
        bench.submit_io(BlockIo { op: Op::Scsi { direction }, lba: 0, blocks: 0, data, tag });
    }
    assert_eq!(bench.tags_at(0), [3]);
    assert_eq!(bench.tags_at(30_000), [1]);
    assert_eq!(bench.tags_at(50_000), [2]);
}

#[test]
fn a_dropped_channel_gives_back_what_it_held_back() {
    let bdev = delay(&null(16), even()).expect("a delay");
    let mut bench = Bench::on(&bdev, 8);
    (0..8).for_each(|tag| bench.submit(Op::Read, tag, 1, tag));
    assert_eq!(bench.tags_at(0), []);
    assert_eq!(bench.buffers_out(), 8);
    bench.channel = bdev.open_channel(1).expect("another");
    assert_eq!(bench.buffers_out(), 0);
}
