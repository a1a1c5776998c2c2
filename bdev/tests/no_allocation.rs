//! Once a channel is open, its data path allocates nothing: counted by an allocator of this test.
#![allow(unsafe_code, reason = "a global allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use bdev::delay::{self, DelayOptions, Latencies};
use bdev::error::{self, ErrorType, Injection, IoType};
use bdev::malloc::{self, MallocOptions};
use bdev::null::{self, NullOptions};
use bdev::split::{self, SplitOptions};
use bdev::uring::{self, Engine, UringOptions};
use bdev::{Bdev, BlockIo, ChannelOptions, HistogramOptions, Metadata, Op, ProtectionType, QosLimits, ResetMode};
use mem::{IoBuf, Pool, PoolLayout};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    ALLOCATIONS.with(|allocations| allocations.set(allocations.get() + 1));
}

// SAFETY: every call goes to the system's allocator unchanged; counting allocates nothing (a const thread-local Cell).
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count();
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise, passed on.
        unsafe { System.realloc(memory, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const BLOCKS: u64 = 256;
const DEPTH: usize = 16;

#[test]
fn the_allocator_counts() {
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(Box::new(7)));
    assert_eq!(ALLOCATIONS.get() - before, 2);
}

#[test]
fn null_allocates_nothing() {
    let options = NullOptions { name: "null".to_owned(), num_blocks: BLOCKS, ..NullOptions::default() };
    assert_eq!(allocations_of_a_run(&null::create(options).expect("null")), 0);
}

#[test]
fn malloc_allocates_nothing() {
    let options = MallocOptions { name: "malloc".to_owned(), num_blocks: BLOCKS, ..MallocOptions::default() };
    assert_eq!(allocations_of_a_run(&malloc::create(options).expect("malloc")), 0);
}

#[test]
fn uring_allocates_nothing() {
    file_allocates_nothing(Engine::Uring);
}

#[test]
fn aio_allocates_nothing() {
    file_allocates_nothing(Engine::Aio);
}

#[test]
fn a_file_with_metadata_allocates_nothing() {
    let dir = tempfile::tempdir().expect("a folder for a test");
    for engine in [Engine::Uring, Engine::Aio] {
        let options = UringOptions {
            name: "uring".to_owned(),
            filename: dir.path().join("disk"),
            size: Some(BLOCKS * 520),
            metadata: Some(Metadata::of(ProtectionType::Type1)),
            engine,
            ..UringOptions::default()
        };
        assert_eq!(allocations(&uring::create(options).expect("uring"), true), 0);
    }
}

fn file_allocates_nothing(engine: Engine) {
    let dir = tempfile::tempdir().expect("a folder for a test");
    for (direct, nv_cache) in [(None, false), (Some(false), false), (None, true)] {
        let options = UringOptions {
            name: "uring".to_owned(),
            filename: dir.path().join("disk"),
            size: Some(BLOCKS * 512),
            direct,
            engine,
            nv_cache,
            ..UringOptions::default()
        };
        let bdev = uring::create(options).expect("uring");
        for registered in [false, true] {
            assert_eq!(allocations(&bdev, registered), 0, "direct: {direct:?}, registered: {registered}, {nv_cache}");
        }
    }
}

fn malloc_of(num_blocks: u64) -> Arc<Bdev> {
    let options = MallocOptions { name: "malloc".to_owned(), num_blocks, ..MallocOptions::default() };
    malloc::create(options).expect("malloc")
}

#[test]
fn a_delay_allocates_nothing() {
    let latencies = Latencies { avg_read: 2, p99_read: 9, avg_write: 3, p99_write: 9 };
    let options = DelayOptions { name: "slow".to_owned(), uuid: None, latencies };
    assert_eq!(allocations(&delay::create(&malloc_of(BLOCKS), options).expect("delay"), false), 0);
}

#[test]
fn errors_allocate_nothing() {
    for error in [ErrorType::Medium, ErrorType::NoMem, ErrorType::CorruptData { offset: 5, value: 1 }] {
        let bdev = error::create(&malloc_of(BLOCKS), None).expect("error");
        for io_type in IoType::ALL {
            error::inject(&bdev, io_type, Injection { error, num: 500, queue_depth: 0 });
        }
        assert_eq!(allocations(&bdev, false), 0, "{error:?}");
    }
}

#[test]
fn operations_that_are_stuck_and_let_go_allocate_nothing() {
    let bdev = error::create(&malloc_of(BLOCKS), None).expect("error");
    let mut channel = bdev.open_channel(DEPTH).expect("a channel");
    let before = ALLOCATIONS.get();
    error::inject(&bdev, IoType::Flush, Injection { error: ErrorType::Pending, num: u32::MAX, queue_depth: 0 });
    for tag in 0..DEPTH as u64 {
        let flush = BlockIo { op: Op::Flush, lba: 0, blocks: 0, data: None, tag };
        channel.submit(flush, 0).expect("room");
    }
    assert_eq!(channel.poll(0, &mut drop), 0);
    error::clear(&bdev);
    assert_eq!(channel.poll(0, &mut drop), DEPTH);
    assert_eq!(ALLOCATIONS.get() - before, 0);
}

#[test]
fn a_part_allocates_nothing() {
    let parts = split::create(&malloc_of(2 * BLOCKS), SplitOptions { split_count: 2, ..SplitOptions::default() });
    assert_eq!(allocations(&parts.expect("split")[1], false), 0);
}

#[test]
fn rate_limits_allocate_nothing() {
    let bdev = malloc_of(BLOCKS);
    bdev.set_qos_limits(QosLimits { rw_ios_per_sec: 3_000_000, r_bytes_per_sec: 1 << 30, ..QosLimits::default() });
    assert_eq!(allocations(&bdev, false), 0);
}

/// Every operation, good and bad, at full depth and beyond, from the first submit on.
fn allocations_of_a_run(bdev: &Arc<Bdev>) -> usize {
    allocations(bdev, false)
}

/// Every operation, good and bad, at full depth and beyond, from the first submit on.
fn allocations(bdev: &Arc<Bdev>, registered: bool) -> usize {
    let transfer_bytes = 8 * bdev.info().block_size as usize;
    let stride = transfer_bytes.next_multiple_of(4096);
    let layout = PoolLayout { offset: 0, stride, size: transfer_bytes, count: DEPTH + 1 };
    let region = mem::testing::region(layout.stride * layout.count);
    let pool = Pool::new(Arc::clone(&region), layout);
    let regions = if registered { std::slice::from_ref(&region) } else { &[] };
    let mut channel = bdev.open_channel_with(ChannelOptions { depth: DEPTH, regions }).expect("a channel");
    let mut before = ALLOCATIONS.get();
    let mut now_ns = 0;
    for round in 0..50 {
        before += allocations_of_the_control_thread(bdev, round);
        for n in 0..=DEPTH as u64 {
            let op = [
                Op::Read,
                Op::Write { fua: false },
                Op::Write { fua: true },
                Op::Flush,
                Op::Unmap,
                Op::WriteZeroes { unmap: false, fua: true },
                Op::LbaStatus,
            ][n as usize % 7];
            let data = matches!(op, Op::Read | Op::Write { .. } | Op::LbaStatus)
                .then(|| IoBuf::new(pool.get().expect("as many as the channel is deep"), 0..transfer_bytes));
            let lba = if n == 12 { u64::MAX } else { 8 * n };
            let refused = channel.submit(BlockIo { op, lba, blocks: 8, data, tag: n }, now_ns);
            assert_eq!(refused.is_err(), n == DEPTH as u64);
        }
        while channel.in_flight() > 0 {
            now_ns += 1000;
            channel.poll(now_ns, &mut drop);
        }
    }
    ALLOCATIONS.get() - before
}

/// A histogram comes and goes meanwhile: its memory is the control thread's business, in the channel's name or not.
fn allocations_of_the_control_thread(bdev: &Bdev, round: u64) -> usize {
    let before = ALLOCATIONS.get();
    match round {
        10 | 20 => {
            let options = HistogramOptions { granularity: (round / 10) as u8, ..HistogramOptions::default() };
            bdev.enable_histogram(options).expect("good options");
        }
        30 => bdev.disable_histogram(),
        40 => drop(bdev.take_io_stat(ResetMode::All)),
        _ => {}
    }
    ALLOCATIONS.get() - before
}
