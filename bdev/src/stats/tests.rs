use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::io::{IoError, Op};

#[test]
fn channels_add_up_and_closed_ones_stay_counted() {
    let book = StatsBook::default();
    let (mut a, mut b) = (book.open(), book.open());
    a.record(Op::Read, 4096, 300, Ok(()));
    a.record(Op::Write { fua: true }, 512, 70, Ok(()));
    b.record(Op::Read, 512, 100, Ok(()));
    b.record(Op::Read, 512, 5, Err(IoError::Medium));
    b.record(Op::Unmap, 1024, 0, Ok(()));
    b.record(Op::WriteZeroes { unmap: false, fua: false }, 2048, 9, Ok(()));
    b.record(Op::Flush, 777, 11, Ok(()));
    let expected = IoStatSnapshot {
        bytes_read: 4608,
        num_read_ops: 2,
        read_latency_ns: 400,
        max_read_latency_ns: 300,
        min_read_latency_ns: 100,
        bytes_written: 512,
        num_write_ops: 1,
        write_latency_ns: 70,
        max_write_latency_ns: 70,
        min_write_latency_ns: 70,
        bytes_unmapped: 1024,
        num_unmap_ops: 1,
        bytes_zeroed: 2048,
        num_write_zeroes_ops: 1,
        num_flush_ops: 1,
        flush_latency_ns: 11,
        num_failed_ops: 1,
        errors: [0, 0, 0, 0, 1, 0, 0],
        ..IoStatSnapshot::default()
    };
    assert_eq!(book.take(ResetMode::None), expected);
    book.close(&b);
    assert_eq!(book.take(ResetMode::None), expected);
    assert_eq!(book.open_channels(), 1);
    book.close(&a);
    assert_eq!(book.take(ResetMode::None), expected);
}

fn book_with(latencies: &[u64]) -> (StatsBook, Recorder) {
    let book = StatsBook::default();
    let mut recorder = book.open();
    latencies.iter().for_each(|&latency| recorder.record(Op::Read, 512, latency, Ok(())));
    (book, recorder)
}

#[test]
fn a_reading_that_resets_everything_starts_at_nothing() {
    let (book, mut recorder) = book_with(&[7, 9]);
    recorder.record(Op::Write { fua: false }, 512, 1, Err(IoError::NoSpace));
    let before = book.take(ResetMode::All);
    assert_eq!((before.num_read_ops, before.max_read_latency_ns, before.num_failed_ops), (2, 9, 1));
    assert_eq!(book.take(ResetMode::None), IoStatSnapshot::default());
    recorder.record(Op::Read, 1024, 8, Ok(()));
    let after = book.take(ResetMode::All);
    assert_eq!((after.num_read_ops, after.bytes_read, after.read_latency_ns), (1, 1024, 8));
    assert_eq!((after.max_read_latency_ns, after.min_read_latency_ns), (8, 8));
    // What a channel did before a reset does not come back with its end.
    book.close(&recorder);
    assert_eq!(book.take(ResetMode::None), IoStatSnapshot::default());
}

#[test]
fn a_reset_of_the_extremes_leaves_the_sums() {
    let (book, mut recorder) = book_with(&[7, 9]);
    book.take(ResetMode::MaxMin);
    let stat = book.take(ResetMode::None);
    assert_eq!((stat.num_read_ops, stat.read_latency_ns), (2, 16));
    assert_eq!((stat.max_read_latency_ns, stat.min_read_latency_ns), (0, 0));
    // Twice, before the core has seen the first.
    book.take(ResetMode::MaxMin);
    recorder.record(Op::Read, 512, 3, Ok(()));
    recorder.record(Op::Read, 512, 4, Ok(()));
    let stat = book.take(ResetMode::MaxMin);
    assert_eq!((stat.num_read_ops, stat.max_read_latency_ns, stat.min_read_latency_ns), (4, 4, 3));
    // A channel that ends before it saw the reset has no extremes either.
    book.close(&recorder);
    assert_eq!(book.take(ResetMode::None).max_read_latency_ns, 0);
}

#[test]
fn a_reset_of_the_errors_leaves_the_rest() {
    let (book, mut recorder) = book_with(&[7]);
    recorder.record(Op::Read, 512, 1, Err(IoError::Failed));
    recorder.record(Op::Read, 512, 1, Err(IoError::Gone));
    recorder.record(Op::Read, 512, 1, Err(IoError::Gone));
    let stat = book.take(ResetMode::Errors);
    assert_eq!(stat.errors().collect::<Vec<_>>(), [("failed", 1), ("gone", 2)]);
    let stat = book.take(ResetMode::None);
    assert_eq!((stat.errors().count(), stat.num_failed_ops, stat.num_read_ops, stat.max_read_latency_ns), (0, 0, 1, 7));
}

#[test]
fn every_channel_tells_where_it_is_and_what_it_did() {
    let (book, mut recorder) = book_with(&[7]);
    let other = book.open();
    let stats = book.take_per_channel(ResetMode::All);
    let counts: Vec<_> = stats.iter().map(|channel| channel.stat.num_read_ops).collect();
    assert_eq!(counts, [1, 0]);
    assert!(stats.iter().all(|channel| channel.place == Place::here()));
    assert_eq!(stats[0].place.thread, std::thread::current().name().expect("tests have names"));
    recorder.record(Op::Read, 512, 1, Ok(()));
    assert_eq!(book.take(ResetMode::None).num_read_ops, 1);
    book.close(&other);
    assert_eq!(book.take_per_channel(ResetMode::None).len(), 1);
}

#[test]
fn resets_and_closed_channels_do_not_touch_the_life_of_a_device() {
    let (book, mut recorder) = book_with(&[700, 5_000]);
    recorder.record(Op::Write { fua: false }, 4096, 2_000, Ok(()));
    recorder.record(Op::Flush, 0, 1, Err(IoError::NoSpace));
    let of = |op: OpKind| {
        let stat = book.lifetime();
        let of = *stat.ops.iter().find(|of| of.op == op).expect("every kind");
        (of.bytes, of.latency.count(), of.latency.sum, stat.errors().find(|(name, _)| *name == "no_space"))
    };
    let one = Some(("no_space", 1));
    for step in 0..3 {
        match step {
            1 => drop(book.take(ResetMode::All)),
            2 => book.close(&recorder),
            _ => {}
        }
        assert_eq!(of(OpKind::Read), (1024, 2, 5_700, one), "step {step}");
        assert_eq!(of(OpKind::Write), (4096, 1, 2_000, one), "step {step}");
        assert_eq!(of(OpKind::Flush), (0, 0, 0, one), "step {step}");
    }
    book.take(ResetMode::All);
    assert_eq!(of(OpKind::Read), (1024, 2, 5_700, one), "what was closed, reset");
    let buckets = book.lifetime().ops[0].latency.buckets;
    assert_eq!((buckets[0], buckets[3], buckets.iter().sum::<u64>()), (1, 1, 2), "up to 1.024 µs, and up to 8.192 µs");
}

/// The sum of all readings is what was counted, though the counters run all the time and are never stopped for a reset.
#[test]
fn nothing_is_lost_or_counted_twice_while_channels_count() {
    const OPS: u64 = 300_000;
    let book = StatsBook::default();
    let done = AtomicBool::new(false);
    let (mut ops, mut bytes, mut latency, mut writes, mut histograms) = (0, 0, 0, 0, 0);
    std::thread::scope(|scope| {
        let count = |op: Op| {
            let (book, done) = (&book, &done);
            move || {
                let mut recorder = book.open();
                for _ in 0..OPS {
                    recorder.record(op, 512, 3, Ok(()));
                }
                book.close(&recorder);
                done.store(true, Ordering::Relaxed);
            }
        };
        scope.spawn(count(Op::Read));
        scope.spawn(count(Op::Write { fua: false }));
        while !done.load(Ordering::Relaxed) {
            let stat = book.take(ResetMode::All);
            (ops, bytes, latency) = (ops + stat.num_read_ops, bytes + stat.bytes_read, latency + stat.read_latency_ns);
            writes += stat.num_write_ops;
            assert!([0, 3].contains(&stat.max_read_latency_ns));
            book.set_histogram((histograms % 2 == 0).then(HistogramOptions::default));
            histograms += 1;
        }
    });
    let stat = book.take(ResetMode::All);
    assert_eq!((ops + stat.num_read_ops, bytes + stat.bytes_read), (OPS, 512 * OPS));
    assert_eq!((latency + stat.read_latency_ns, writes + stat.num_write_ops), (3 * OPS, OPS));
}

#[test]
fn histograms_count_every_operation_of_every_channel_from_the_order_on() {
    let (book, mut first) = book_with(&[5_000; 3]);
    assert_eq!(book.histogram(), None);
    let options = HistogramOptions { min_ns: 0, ..HistogramOptions::default() };
    book.set_histogram(Some(options));
    let mut second = book.open();
    first.record(Op::Read, 512, 100, Ok(()));
    first.record(Op::Write { fua: false }, 512, 100, Err(IoError::Failed));
    second.record(Op::Flush, 0, 101, Ok(()));
    let sum = |book: &StatsBook| book.histogram().expect("it is on");
    assert_eq!((sum(&book).total(), sum(&book).buckets()[100], sum(&book).buckets()[101]), (3, 2, 1));
    // The same again changes nothing, and what a closed channel counted stays.
    book.set_histogram(Some(options));
    book.close(&second);
    assert_eq!(sum(&book).total(), 3);
    // Other options start again.
    book.set_histogram(Some(HistogramOptions { granularity: 3, ..options }));
    assert_eq!(sum(&book).total(), 0);
    first.record(Op::Read, 512, 100, Ok(()));
    assert_eq!(sum(&book).total(), 1);
    book.set_histogram(None);
    first.record(Op::Read, 512, 100, Ok(()));
    assert_eq!((book.histogram(), book.histogram_options()), (None, None));
}
