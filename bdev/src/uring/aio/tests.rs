use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use mem::{IoBuf, Pool};

use super::*;
use crate::channel::ByteRange;
use crate::io::{BlockIo, IoError, Op};
use crate::uring::operation::Abilities;
use crate::uring::tests::{backing, file, folder, options, run};
use crate::uring::{Engine, UringOptions, Zeroes, create};
use crate::{Bdev, bdev::Kind};

const BLOCK: usize = 4096;

fn aio(path: impl Into<PathBuf>) -> UringOptions {
    UringOptions { block_size: Some(BLOCK as u32), engine: Engine::Aio, ..options(path) }
}

/// A file of so many blocks, each filled with its number.
fn numbered(dir: &tempfile::TempDir, blocks: u64) -> PathBuf {
    let path = file(dir, blocks * BLOCK as u64);
    let content = fs::File::options().write(true).open(&path).expect("there");
    for block in 0..blocks {
        content.write_all_at(&[block as u8; BLOCK], block * BLOCK as u64).expect("content");
    }
    content.sync_all().expect("on the disk");
    path
}

fn backing_of(bdev: &Arc<Bdev>) -> Arc<BackingFile> {
    let Kind::Uring(file) = &bdev.kind else { panic!("another kind") };
    file.file().expect("it is there")
}

fn read(pool: &Pool, lba: u64) -> Operation {
    let data = Some(IoBuf::new(pool.get().expect("a buffer"), 0..BLOCK));
    let range = ByteRange { offset: lba * BLOCK as u64, len: BLOCK as u64 };
    Operation::new(BlockIo { op: Op::Read, lba, blocks: 1, data, tag: lba }, range, 0)
}

fn flush() -> Operation {
    let io = BlockIo { op: Op::Flush, lba: 0, blocks: 0, data: None, tag: 99 };
    Operation::new(io, ByteRange { offset: 0, len: 0 }, 0)
}

/// Polls until nothing is carried; how many ended, each well and with the block that it asked for.
fn drain(aio: &mut Aio) -> usize {
    let mut ended = 0;
    let started = Instant::now();
    while aio.carried() > 0 {
        aio.poll(0, |finished| {
            assert_eq!(finished.result, Ok(()));
            let data = finished.io.data.iter().flat_map(|data| data.bytes());
            assert!(data.into_iter().all(|&byte| byte == finished.io.lba as u8));
            ended += 1;
        });
        assert!(started.elapsed() < Duration::from_secs(60), "nothing ends");
        std::thread::yield_now();
    }
    ended
}

#[test]
fn this_kernel_has_aio_and_the_ring_that_we_know() {
    probe().expect("AIO");
    assert!(Context::new(1).expect("a context").ring_address().is_some());
}

#[test]
fn completions_come_with_and_without_a_ring_that_is_known() {
    let dir = folder();
    let bdev = create(aio(numbered(&dir, 100))).expect("there");
    let pool = mem::testing::pool(BLOCK, 100);
    for known in [true, false] {
        let context = Context::new(100).expect("a context");
        let context = if known { context } else { context.without_ring() };
        let mut aio = Aio::with(context, backing_of(&bdev), 100).expect("a channel");
        // Often enough to go round the ring.
        for _ in 0..20 {
            (0..100).for_each(|lba| aio.start(read(&pool, lba)));
            assert_eq!(drain(&mut aio), 100, "{known}");
        }
        assert_eq!((aio.in_kernel, pool.available()), (0, 100));
    }
}

/// io_submit(2) itself would wait for the disk.
#[test]
fn what_the_page_cache_reads_and_keeps_is_left_to_the_thread() {
    let dir = folder();
    let bdev = create(UringOptions { direct: Some(false), ..aio(numbered(&dir, 4)) }).expect("there");
    let mut aio = Aio::new(backing_of(&bdev), 4).expect("a channel");
    let pool = mem::testing::pool(BLOCK, 4);
    (0..3).for_each(|lba| aio.start(read(&pool, lba)));
    assert_eq!((aio.queue.len(), aio.port.outstanding()), (0, 3));
    aio.start(flush());
    assert_eq!((aio.queue.len(), aio.port.outstanding()), (1, 3));
    assert_eq!(drain(&mut aio), 4);
}

/// The kernel takes no more than its context has room for.
#[test]
fn what_the_kernel_has_no_room_for_waits_its_turn() {
    const DEPTH: usize = 2000;
    let dir = folder();
    let bdev = create(aio(numbered(&dir, 100))).expect("there");
    let pool = mem::testing::pool(BLOCK, DEPTH);
    let mut aio = Aio::with(Context::new(1).expect("a context"), backing_of(&bdev), DEPTH).expect("a channel");
    if !aio.direct {
        return eprintln!("skipped: there is no O_DIRECT here");
    }
    (0..DEPTH as u64).for_each(|n| aio.start(read(&pool, n % 100)));
    let mut ended = 0;
    aio.poll(0, |_| ended += 1);
    assert!(!aio.queue.is_empty(), "the kernel took all {DEPTH}");
    assert_eq!(ended + drain(&mut aio), DEPTH);
}

#[test]
fn a_flush_that_the_kernel_does_not_do_asynchronously_is_the_thread_s() {
    let dir = folder();
    let mut bdev = create(aio(numbered(&dir, 1))).expect("there");
    // A pipe cannot be synced; the thread has the file.
    let (_, pipe) = std::io::pipe().expect("a pipe");
    let file = std::mem::replace(&mut backing(&mut bdev).fd, Arc::new(pipe.into()));
    let mut aio = Aio::new(backing_of(&bdev), 4).expect("a channel");
    for _ in 0..3 {
        aio.start(flush());
        assert_eq!((drain(&mut aio), aio.sync_refused), (1, true));
    }
    drop(file);
}

#[test]
fn a_request_that_is_refused_fails_alone() {
    let dir = folder();
    let mut bdev = create(aio(numbered(&dir, 8))).expect("there");
    if !Aio::new(backing_of(&bdev), 1).expect("a channel").direct {
        return eprintln!("skipped: there is no O_DIRECT here");
    }
    // Opened for writing only: the kernel refuses reads when they are submitted.
    let only = fs::File::options().write(true).open(dir.path().join("file")).expect("there");
    let file = std::mem::replace(&mut backing(&mut bdev).fd, Arc::new(only.into()));
    rustix::fs::fcntl_setfl(&backing_of(&bdev).fd, OFlags::DIRECT).expect("O_DIRECT");
    let mut aio = Aio::new(backing_of(&bdev), 8).expect("a channel");
    let pool = mem::testing::pool(BLOCK, 8);
    aio.start(flush());
    (0..3).for_each(|lba| aio.start(read(&pool, lba)));
    aio.start(flush());
    let mut results = Vec::new();
    while aio.carried() > 0 {
        aio.poll(0, |finished| results.push((finished.io.op, finished.result)));
    }
    for (op, result) in &results {
        assert_eq!(result.is_ok(), *op == Op::Flush, "{op:?}: {result:?}");
    }
    assert_eq!(results.len(), 5);
    drop(file);
}

#[test]
fn transfers_in_parts_and_zeroes_by_hand_arrive_whole() {
    let dir = folder();
    let path = file(&dir, 0);
    let len = 2 * Zeroes::LEN + BLOCK;
    for direct in [None, Some(false)] {
        fs::write(&path, vec![0x44; len + BLOCK]).expect("content");
        let mut bdev = create(UringOptions { direct, ..aio(&path) }).expect("there");
        backing(&mut bdev).abilities = Abilities::without_zero_range(BLOCK as u32);
        backing(&mut bdev).abilities.transfer_max = BLOCK as u64;
        let data: Vec<u8> = (0..10 * BLOCK).map(|n| (n / BLOCK * 7 + n % 251) as u8).collect();
        run(&bdev, Op::Write { fua: true }, 10, Some(&data)).0.expect("write");
        assert!(fs::read(&path).expect("there")[..data.len()] == data);
        let (result, got) = run(&bdev, Op::Read, 10, Some(&vec![0; data.len()]));
        assert!(result.is_ok() && got == data);
        let zeroes = Op::WriteZeroes { unmap: false, fua: true };
        assert_eq!(run(&bdev, zeroes, (len / BLOCK) as u64, None).0, Ok(()));
        let content = fs::read(&path).expect("there");
        assert!(content[..len].iter().all(|&byte| byte == 0) && content[len..].iter().all(|&byte| byte == 0x44));
    }
}

#[test]
fn a_file_that_was_cut_short_meanwhile_gives_medium_errors_past_its_end() {
    let dir = folder();
    let path = numbered(&dir, 2);
    for direct in [None, Some(false)] {
        fs::File::options().write(true).open(&path).and_then(|file| file.set_len(8192)).expect("whole");
        let bdev = create(UringOptions { direct, ..aio(&path) }).expect("there");
        fs::File::options().write(true).open(&path).and_then(|file| file.set_len(4096)).expect("cut");
        assert_eq!(run(&bdev, Op::Read, 1, Some(&[1; BLOCK])), (Ok(()), vec![0; BLOCK]));
        assert_eq!(run(&bdev, Op::Read, 2, Some(&[1; 2 * BLOCK])).0, Err(IoError::Medium));
    }
}

/// A buffer that the kernel or the thread still reads into must not reach its next owner.
#[test]
fn a_dropped_channel_waits_for_the_kernel_and_the_thread() {
    const COUNT: usize = 32;
    const LEN: usize = 256 << 10;
    let dir = folder();
    let path = file(&dir, 0);
    fs::write(&path, vec![0x11; COUNT * LEN]).and_then(|()| fs::File::open(&path)?.sync_all()).expect("a full file");
    let pool = mem::testing::pool(LEN, COUNT);
    for direct in [None, Some(false)].repeat(3) {
        let bdev = create(UringOptions { direct, ..aio(&path) }).expect("there");
        let mut channel = bdev.open_channel(COUNT).expect("a channel");
        let blocks = (LEN / BLOCK) as u64;
        for n in 0..COUNT as u64 {
            let data = Some(IoBuf::new(pool.get().expect("a buffer"), 0..LEN));
            channel.submit(BlockIo { op: Op::Read, lba: n * blocks, blocks, data, tag: n }, 0).expect("room");
        }
        channel.poll(0, &mut drop);
        drop(channel);
        let mut buffers: Vec<mem::Buf> = std::iter::from_fn(|| pool.get()).collect();
        assert_eq!(buffers.len(), COUNT);
        for buffer in &mut buffers {
            buffer.bytes_mut().fill(0xee);
        }
        // Time for a read that should not be there any more to arrive.
        std::thread::sleep(Duration::from_millis(20));
        assert!(buffers.iter().all(|buffer| buffer.bytes().iter().all(|&byte| byte == 0xee)));
    }
}

#[test]
fn a_file_is_free_at_once_when_its_last_channel_is_dropped() {
    let dir = folder();
    let path = numbered(&dir, 4);
    for _ in 0..20 {
        let bdev = create(aio(&path)).expect("free at once");
        let mut channel = bdev.open_channel(4).expect("a channel");
        channel.submit(BlockIo { op: Op::Flush, lba: 0, blocks: 0, data: None, tag: 0 }, 0).expect("room");
        channel.poll(0, &mut drop);
    }
}

/// The kernel counts contexts (fs.aio-max-nr), so none may stay.
#[test]
fn a_dropped_context_is_destroyed_soon() {
    let context = Context::new(1).expect("a context");
    let start = format!("{:x}-", context.ring_address().expect("known"));
    let mapped = || {
        let maps = fs::read_to_string("/proc/self/maps").expect("maps");
        maps.lines().any(|line| line.starts_with(&start) && line.contains("[aio]"))
    };
    assert!(mapped());
    drop(context);
    let started = Instant::now();
    while mapped() {
        assert!(started.elapsed() < Duration::from_secs(60), "it is still there");
        std::thread::sleep(Duration::from_millis(5));
    }
}
