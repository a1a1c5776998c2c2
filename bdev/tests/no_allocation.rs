//! Once a channel is open, its data path allocates nothing: counted by an allocator of this test.
#![allow(unsafe_code, reason = "a global allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use bdev::malloc::{self, MallocOptions};
use bdev::null::{self, NullOptions};
use bdev::uring::{self, UringOptions};
use bdev::{Bdev, BlockIo, ChannelOptions, HistogramOptions, Op, ResetMode};
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
    let dir = tempfile::tempdir().expect("a folder for a test");
    for (direct, nv_cache) in [(None, false), (Some(false), false), (None, true)] {
        let options = UringOptions {
            name: "uring".to_owned(),
            filename: dir.path().join("disk"),
            size: Some(BLOCKS * 512),
            direct,
            nv_cache,
            ..UringOptions::default()
        };
        let bdev = uring::create(options).expect("uring");
        for registered in [false, true] {
            assert_eq!(allocations(&bdev, registered), 0, "direct: {direct:?}, registered: {registered}, {nv_cache}");
        }
    }
}

fn allocations_of_a_run(bdev: &Arc<Bdev>) -> usize {
    allocations(bdev, false)
}

/// Every operation, good and bad, at full depth and beyond, from the first submit on.
fn allocations(bdev: &Arc<Bdev>, registered: bool) -> usize {
    let layout = PoolLayout { offset: 0, stride: 8 * 512, size: 8 * 512, count: DEPTH + 1 };
    let region = mem::testing::region(layout.stride * layout.count);
    let pool = Pool::new(Arc::clone(&region), layout);
    let regions = if registered { std::slice::from_ref(&region) } else { &[] };
    let mut channel = bdev.open_channel_with(ChannelOptions { depth: DEPTH, regions }).expect("a channel");
    let mut before = ALLOCATIONS.get();
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
            ][n as usize % 6];
            let data = matches!(op, Op::Read | Op::Write { .. })
                .then(|| IoBuf::new(pool.get().expect("as many as the channel is deep"), 0..8 * 512));
            let lba = if n == 12 { u64::MAX } else { 8 * n };
            let refused = channel.submit(BlockIo { op, lba, blocks: 8, data, tag: n }, round);
            assert_eq!(refused.is_err(), n == DEPTH as u64);
        }
        while channel.in_flight() > 0 {
            channel.poll(round, &mut drop);
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
