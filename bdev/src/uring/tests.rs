use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use mem::IoBuf;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::io::{BlockIo, IoError, Op};

pub(super) fn folder() -> TempDir {
    TempDir::new().expect("a folder for a test")
}

pub(super) fn options(filename: impl Into<PathBuf>) -> UringOptions {
    UringOptions { name: "disk".to_owned(), filename: filename.into(), ..UringOptions::default() }
}

/// A file of so many bytes.
pub(super) fn file(dir: &TempDir, len: u64) -> PathBuf {
    let path = dir.path().join("file");
    fs::File::create(&path).and_then(|file| file.set_len(len)).expect("a file for a test");
    path
}

pub(super) fn refusal(options: UringOptions) -> String {
    create(options).expect_err("must be refused").to_string()
}

#[test]
fn a_missing_file_is_made_sparse_at_the_size_given_and_found_again() {
    let dir = folder();
    let path = dir.path().join("new");
    let sized = UringOptions { size: Some(1 << 30), ..options(&path) };
    let bdev = create(sized.clone()).expect("made");
    let info = bdev.info().clone();
    assert_eq!((bdev.num_blocks(), info.block_size, info.filename.as_deref()), (1 << 21, 512, Some(path.as_path())));
    let metadata = fs::metadata(&path).expect("there");
    assert!(metadata.len() == 1 << 30 && metadata.blocks() * 512 < 1 << 20, "sparse");
    assert_eq!(metadata.permissions().mode() & 0o077, 0, "nobody else reads a disk");
    drop(bdev);
    let again = create(sized).expect("the same again");
    assert_eq!(again.info(), &info, "above all the UUID");
}

#[test]
fn a_file_is_taken_as_it_is_when_no_size_is_given() {
    let dir = folder();
    let bdev = create(options(file(&dir, 8192))).expect("there");
    assert_eq!(bdev.num_blocks(), 16);
    let info = bdev.info();
    assert!(info.write_cache && !info.read_only && info.lba_status == info.unmap);
    assert_eq!(info.product_name, "URING bdev");
}

#[test]
fn a_tail_shorter_than_a_block_is_left_alone() {
    let dir = folder();
    let path = file(&dir, 3 * 4096 + 4095);
    let bdev = create(UringOptions { block_size: Some(4096), ..options(&path) }).expect("there");
    assert_eq!(bdev.num_blocks(), 3);
    drop(bdev);
    assert_eq!(fs::metadata(&path).expect("there").len(), 3 * 4096 + 4095);
}

#[test]
fn an_empty_file_is_grown_and_a_full_one_is_not_touched() {
    let dir = folder();
    let path = file(&dir, 0);
    let text = refusal(options(&path));
    assert!(text.starts_with("filename: ") && text.contains("0 bytes"), "{text}");
    assert_eq!(create(UringOptions { size: Some(4096), ..options(&path) }).expect("grown").num_blocks(), 8);
    let text = refusal(UringOptions { size: Some(8192), ..options(&path) });
    assert!(text.starts_with("size: 8192, but") && text.contains("4096 bytes"), "{text}");
    assert_eq!(fs::metadata(&path).expect("there").len(), 4096);
}

#[test]
fn what_is_no_file_of_ours_is_refused_by_name_and_nothing_is_left_behind() {
    let dir = folder();
    let missing = dir.path().join("missing");
    let dangling = dir.path().join("dangling");
    symlink(dir.path().join("nowhere/at/all"), &dangling).expect("a link");
    let sized = |path: &Path| UringOptions { size: Some(4096), ..options(path) };
    for (options, expected) in [
        (options(&missing), "give its size"),
        (UringOptions { read_only: true, ..sized(&missing) }, "read-only"),
        (options(dir.path()), "is a Directory"),
        (options("/dev/null"), "is a CharacterDevice"),
        (sized(Path::new("")), "is empty"),
        (sized(&dir.path().join("no/such/folder")), "cannot be created"),
        (sized(&dangling), "cannot be created"),
        (options("with\0nul"), "cannot be examined"),
        (UringOptions { size: Some(4095), ..options(&missing) }, "is no multiple"),
        (UringOptions { size: Some(0), ..options(&missing) }, "is no multiple"),
        (UringOptions { size: Some(1 << 63), ..options(&missing) }, "is no multiple"),
        (UringOptions { block_size: Some(513), ..sized(&missing) }, "513 is none of"),
        (UringOptions { name: String::new(), ..sized(&missing) }, "is 0 bytes long"),
    ] {
        let text = refusal(options);
        assert!(text.contains(expected), "{text}");
        assert!(!missing.exists(), "{text}");
    }
}

#[test]
fn a_file_that_cannot_be_made_large_enough_is_not_left_behind() {
    let dir = folder();
    let path = dir.path().join("huge");
    // More than ext4 takes; where it is not too much, the file is there.
    let outcome = create(UringOptions { size: Some(i64::MAX as u64 - 511), ..options(&path) });
    assert_eq!(outcome.is_ok(), path.exists(), "{outcome:?}");
}

#[test]
fn a_file_that_may_not_be_written_can_be_had_read_only() {
    let dir = folder();
    let path = file(&dir, 4096);
    let bdev = create(UringOptions { read_only: true, ..options(&path) }).expect("read-only");
    let info = bdev.info();
    assert!(info.read_only && !info.write_cache && !info.unmap && !info.lba_status);
    let twin = UringOptions { read_only: true, name: "twin".to_owned(), ..options(&path) };
    create(twin).expect("readers share a file");
    let text = refusal(options(&path));
    assert!(text.contains("in use by another bdev of this process"), "{text}");
}

#[test]
fn a_device_of_this_process_is_in_the_way_until_its_last_channel_is_dropped() {
    let dir = folder();
    let path = file(&dir, 4096);
    let bdev = create(options(&path)).expect("free");
    let channel = bdev.open_channel(4).expect("a channel");
    let text = refusal(options(&path));
    assert!(text.contains("file is in use by another bdev of this process"), "{text}");
    drop(bdev);
    assert!(create(options(&path)).is_err(), "the channel holds it");
    drop(channel);
    for _ in 0..20 {
        let bdev = create(options(&path)).expect("free at once");
        bdev.open_channel(4).expect("a channel");
    }
}

#[test]
fn another_process_that_has_the_file_is_named() {
    let dir = folder();
    let path = file(&dir, 4096);
    let mut child = locked_by(Command::new("flock").arg(&path).args(["-c", "echo locked; read line"]));
    let text = refusal(options(&path));
    assert!(text.contains("is in use by process "), "{text}");
    // With its end the file is free, after a moment at most.
    drop(child.stdin.take());
    create(options(&path)).expect("free");
    child.wait().expect("its end");
}

/// As the kernel, that finishes what a killed process has begun, longer than others are waited for.
#[test]
fn what_is_left_of_a_process_that_has_ended_is_waited_for() {
    let dir = folder();
    let path = file(&dir, 4096);
    let script = format!("exec 9<>{}; flock -x 9; echo locked; sleep 4", path.display());
    let mut child = locked_by(Command::new("bash").args(["-c", &script]));
    create(options(&path)).expect("free in the end");
    child.wait().expect("its end");
}

/// Starts what locks a file and says so.
fn locked_by(command: &mut Command) -> Child {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("bash and flock(1)");
    let mut locked = [0; 7];
    std::io::Read::read_exact(child.stdout.as_mut().expect("piped"), &mut locked).expect("the lock");
    child
}

#[test]
fn o_direct_is_used_or_refused_as_asked() {
    let dir = folder();
    let path = file(&dir, 8192);
    let buffered = create(UringOptions { direct: Some(false), ..options(&path) }).expect("page cache");
    assert_eq!(buffered.info().buf_align, 1);
    drop(buffered);
    // Blocks smaller than the file system's alignment cannot be had with O_DIRECT; those of 4096 bytes can, wherever
    // it does O_DIRECT at all.
    let direct = create(UringOptions { direct: Some(true), block_size: Some(4096), ..options(&path) });
    match direct {
        Ok(bdev) => assert!(bdev.info().buf_align > 1),
        Err(error) => assert!(error.to_string().starts_with("direct: "), "{error}"),
    }
}

#[test]
fn what_the_options_say_shows_in_the_facts() {
    let dir = folder();
    let path = file(&dir, 8192);
    let uuid = Uuid::from_u128(42);
    let options = UringOptions {
        write_through: true,
        uuid: Some(uuid),
        product: Product::Aio,
        block_size: Some(4096),
        ..options(&path)
    };
    let bdev = create(options).expect("there");
    let info = bdev.info();
    assert_eq!((info.uuid, info.product_name, info.write_cache), (uuid, "AIO disk", false));
    assert_eq!((info.block_size, info.physical_block_size, bdev.num_blocks()), (4096, 4096, 2));
}

/// One operation to its end; its result, and its data afterwards.
pub(super) fn run(bdev: &Arc<Bdev>, op: Op, blocks: u64, data: Option<&[u8]>) -> (Result<(), IoError>, Vec<u8>) {
    let mut channel = bdev.open_channel(1).expect("a channel");
    let data = data.map(|data| {
        let mut buf = mem::testing::pool(data.len(), 1).get().expect("a buffer");
        buf.bytes_mut().copy_from_slice(data);
        IoBuf::new(buf, 0..data.len())
    });
    channel.submit(BlockIo { op, lba: 0, blocks, data, tag: 0 }, 0).expect("room");
    let mut ended = None;
    while channel.in_flight() > 0 {
        channel.poll(0, &mut |done| ended = Some(done));
    }
    let done = ended.expect("it ended");
    (done.result, done.data.map(|data| data.bytes().to_vec()).unwrap_or_default())
}

/// What the cores share of a device that nobody else has yet.
pub(super) fn backing(bdev: &mut Arc<Bdev>) -> &mut BackingFile {
    let Some(Bdev { kind: Kind::Uring(backing), .. }) = Arc::get_mut(bdev) else { panic!("not shared yet") };
    backing.file_mut().and_then(Arc::get_mut).expect("not shared yet")
}

/// A disk on the device mapper's `error` target never answered: with O_NONBLOCK, io_uring answers EAGAIN at once where the
/// device cannot promise not to wait, and we asked again and again.
#[test]
fn the_kernel_may_wait_for_the_device() {
    let dir = folder();
    for direct in [None, Some(false)] {
        let mut bdev = create(UringOptions { direct, ..options(file(&dir, 4096)) }).expect("there");
        let flags = rustix::fs::fcntl_getfl(&backing(&mut bdev).fd).expect("flags");
        assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK), "{flags:?}");
    }
}

#[test]
fn a_transfer_in_parts_arrives_whole() {
    let dir = folder();
    let path = file(&dir, 40960);
    let mut bdev = create(UringOptions { block_size: Some(4096), ..options(&path) }).expect("there");
    backing(&mut bdev).abilities.transfer_max = 4096;
    let data: Vec<u8> = (0..40960_u32).map(|n| (n / 4096 * 7 + n % 251) as u8).collect();
    run(&bdev, Op::Write { fua: false }, 10, Some(&data)).0.expect("write");
    assert!(fs::read(&path).expect("there") == data);
    let (result, read) = run(&bdev, Op::Read, 10, Some(&vec![0; 40960]));
    assert!(result.is_ok() && read == data);
}

#[test]
fn a_flush_asks_the_kernel_and_a_lost_write_is_never_forgotten() {
    let dir = folder();
    let mut bdev = create(options(file(&dir, 4096))).expect("there");
    assert_eq!(run(&bdev, Op::Flush, 0, None).0, Ok(()));
    backing(&mut bdev).abilities = Abilities::with_lost_writes(512);
    for blocks in [0, 8] {
        assert_eq!(run(&bdev, Op::Flush, blocks, None).0, Err(IoError::Medium));
    }
}

#[test]
fn zeroes_that_the_file_system_cannot_make_are_written() {
    let dir = folder();
    let path = file(&dir, 0);
    let len = 2 * Zeroes::LEN + 4096;
    fs::write(&path, vec![0x44; len + 4096]).expect("content");
    let mut bdev = create(UringOptions { block_size: Some(4096), ..options(&path) }).expect("there");
    backing(&mut bdev).abilities = Abilities::without_zero_range(4096);
    assert_eq!(run(&bdev, Op::WriteZeroes { unmap: false, fua: true }, len as u64 / 4096, None).0, Ok(()));
    let content = fs::read(&path).expect("there");
    assert!(content[..len].iter().all(|&byte| byte == 0) && content[len..].iter().all(|&byte| byte == 0x44));
}

#[test]
fn a_read_only_device_refuses_all_that_writes() {
    let dir = folder();
    let path = file(&dir, 4096);
    let bdev = create(UringOptions { read_only: true, ..options(&path) }).expect("there");
    let block = [0x22; 512];
    assert_eq!(run(&bdev, Op::Write { fua: false }, 1, Some(&block)).0, Err(IoError::WriteProtected));
    for op in [Op::Unmap, Op::WriteZeroes { unmap: false, fua: false }] {
        assert_eq!(run(&bdev, op, 1, None).0, Err(IoError::WriteProtected), "{op:?}");
    }
    assert_eq!(run(&bdev, Op::Flush, 0, None).0, Ok(()));
    assert_eq!(run(&bdev, Op::Read, 1, Some(&block)), (Ok(()), vec![0; 512]));
}

#[test]
fn a_file_without_holes_has_no_unmap_and_zeroes_all_the_same() {
    let dir = folder();
    let path = file(&dir, 4096);
    fs::write(&path, [0x33; 4096]).expect("content");
    let mut bdev = create(options(&path)).expect("there");
    Arc::get_mut(&mut bdev).expect("not shared yet").info_mut().unmap = false;
    backing(&mut bdev).abilities = Abilities::new(512, false, false);
    assert_eq!(run(&bdev, Op::Unmap, 4, None).0, Err(IoError::Unsupported));
    assert_eq!(run(&bdev, Op::WriteZeroes { unmap: true, fua: true }, 4, None).0, Ok(()));
    let content = fs::read(&path).expect("there");
    assert!(content[..2048].iter().all(|&byte| byte == 0) && content[2048..].iter().all(|&byte| byte == 0x33));
}

/// A buffer that the kernel still reads into must not reach its next owner.
#[test]
fn a_dropped_channel_waits_for_the_kernel() {
    const COUNT: usize = 32;
    const LEN: usize = 256 << 10;
    let dir = folder();
    let path = file(&dir, 0);
    fs::write(&path, vec![0x11; COUNT * LEN]).and_then(|()| fs::File::open(&path)?.sync_all()).expect("a full file");
    let bdev = create(UringOptions { block_size: Some(4096), ..options(&path) }).expect("there");
    let pool = mem::testing::pool(LEN, COUNT);
    for _ in 0..5 {
        let mut channel = bdev.open_channel(COUNT).expect("a channel");
        let blocks = LEN as u64 / 4096;
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
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(buffers.iter().all(|buffer| buffer.bytes().iter().all(|&byte| byte == 0xee)));
    }
}

#[test]
fn a_file_that_was_cut_short_meanwhile_gives_medium_errors_past_its_end() {
    let dir = folder();
    let path = file(&dir, 8192);
    let bdev = create(UringOptions { block_size: Some(4096), ..options(&path) }).expect("there");
    fs::File::options().write(true).open(&path).and_then(|file| file.set_len(4096)).expect("cut");
    let mut channel = bdev.open_channel(2).expect("a channel");
    let pool = mem::testing::pool(4096, 2);
    for lba in 0..2 {
        let data = Some(IoBuf::new(pool.get().expect("a buffer"), 0..4096));
        channel.submit(BlockIo { op: Op::Read, lba, blocks: 1, data, tag: lba }, 0).expect("room");
    }
    while channel.in_flight() > 0 {
        channel.poll(0, &mut |done| {
            let expected = if done.tag == 0 { Ok(()) } else { Err(IoError::Medium) };
            assert_eq!(done.result, expected);
        });
    }
}

/// A loop device over a file, taken away on drop.
pub(super) struct Loop(pub(super) String);

impl Loop {
    pub(super) fn over(file: &Path, sector_size: u32) -> Option<Loop> {
        let output = Command::new("losetup")
            .args(["--find", "--show", "--sector-size", &sector_size.to_string()])
            .arg(file)
            .output()
            .ok()
            .filter(|output| output.status.success());
        let Some(output) = output else {
            eprintln!("skipped: there is no loop device for this process (it needs root, and losetup)");
            return None;
        };
        Some(Loop(String::from_utf8(output.stdout).expect("a name").trim().to_owned()))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["--detach", &self.0]).status();
    }
}

/// Skipped where the system gives no loop device.
#[test]
fn a_block_device_tells_its_size_and_blocks_and_has_one_owner() {
    let dir = folder();
    let path = file(&dir, 1 << 20);
    for sector_size in [512, 4096] {
        let Some(device) = Loop::over(&path, sector_size) else { return };
        let bdev = create(options(&device.0)).expect("a block device");
        let info = bdev.info();
        assert_eq!((info.block_size, bdev.num_blocks()), (sector_size, (1 << 20) / u64::from(sector_size)));
        assert!(info.unmap && info.write_zeroes && info.buf_align > 1 && !info.lba_status, "{info:?}");
        let text = refusal(options(&device.0));
        assert!(text.contains("in use by a mounted file system, a volume manager or another process"), "{text}");
        drop(bdev);
        if sector_size == 4096 {
            let text = refusal(UringOptions { block_size: Some(512), ..options(&device.0) });
            assert!(text.starts_with("block_size: 512") && text.ends_with("use 4096"), "{text}");
        }
        let text = refusal(UringOptions { size: Some(4096), ..options(&device.0) });
        assert!(text.starts_with("size: 4096, but"), "{text}");
    }
}

/// SATA SSDs discard and do not zero. A loop device does both; told to do the first only, it shows that space is given back by
/// the file's thread, and that a failure is an answer.
#[test]
fn devices_that_only_discard_do_so_by_their_thread() {
    use std::os::unix::fs::MetadataExt;

    let dir = folder();
    let image = file(&dir, 1 << 20);
    let Some(device) = Loop::over(&image, 512) else { return };
    let allocated = || fs::metadata(&image).expect("the image").blocks();
    for engine in [Engine::Uring, Engine::Aio] {
        let mut bdev = create(UringOptions { engine, ..options(&device.0) }).expect("a block device");
        backing(&mut bdev).discards = true;
        let data = [0x55; 8 * 512];
        assert_eq!(run(&bdev, Op::Write { fua: true }, 8, Some(&data)).0, Ok(()));
        assert_eq!(allocated(), 8);
        assert_eq!(run(&bdev, Op::Unmap, 8, None).0, Ok(()));
        assert_eq!(allocated(), 0);
        assert_eq!(run(&bdev, Op::Unmap, 0, None).0, Ok(()));
    }
    let mut bdev = create(UringOptions { size: Some(1 << 20), ..options(dir.path().join("plain")) }).expect("a file");
    backing(&mut bdev).discards = true;
    assert_eq!(run(&bdev, Op::Unmap, 8, None).0, Err(IoError::Failed), "a file knows no BLKDISCARD");
}

/// Counted where it matters: in the block layer, below the file system and io_uring.
/// Skipped where the system gives no loop device.
#[test]
fn flushes_and_fua_reach_the_device_and_nothing_else_does() {
    let dir = folder();
    let Some(device) = Loop::over(&file(&dir, 1 << 20), 512) else { return };
    let stat = format!("/sys/block/{}/stat", device.0.trim_start_matches("/dev/"));
    // The 16th number: flush requests completed (Documentation/block/stat.rst).
    let flushes = || -> u64 {
        let text = fs::read_to_string(&stat).expect("statistics");
        text.split_ascii_whitespace().nth(15).and_then(|number| number.parse().ok()).expect("flushes are counted")
    };
    let cases = [(false, false), (true, false), (false, true)];
    let cases = cases.iter().flat_map(|&(through, nv)| [None, Some(false)].map(|direct| (through, nv, direct)));
    let cases = cases.flat_map(|case| [Engine::Uring, Engine::Aio].map(|engine| (case, engine)));
    for ((write_through, nv_cache, direct), engine) in cases {
        let options = UringOptions { write_through, nv_cache, direct, engine, ..options(&device.0) };
        let bdev = create(options).expect("a block device");
        assert_eq!(bdev.info().write_cache, !write_through && !nv_cache);
        let zeroes = |fua| Op::WriteZeroes { unmap: false, fua };
        for (op, flushed) in [
            (Op::Read, false),
            (Op::Write { fua: false }, write_through),
            (Op::Write { fua: true }, true),
            (Op::Flush, true),
            (zeroes(false), write_through),
            (zeroes(true), true),
            (Op::Unmap, write_through),
        ] {
            let data = matches!(op, Op::Read | Op::Write { .. }).then_some(&[0x55; 4096][..]);
            let before = flushes();
            run(&bdev, op, if op == Op::Flush { 0 } else { 8 }, data).0.expect("success");
            let count = flushes() - before;
            let expected = u64::from(flushed && !nv_cache);
            assert_eq!(count, expected, "{op:?}, {write_through}, {nv_cache}, {direct:?}, {engine:?}");
        }
    }
}
