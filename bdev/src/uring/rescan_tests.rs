use std::fs;
use std::path::{Path, PathBuf};

use mem::IoBuf;
use tempfile::TempDir;

use super::super::{create, resize};
use super::*;
use crate::Channel;
use crate::io::{BlockIo, Op};

const BLOCK: usize = 512;

fn folder() -> TempDir {
    TempDir::new().expect("a folder for a test")
}

fn options(filename: impl Into<PathBuf>) -> UringOptions {
    UringOptions { name: "disk".to_owned(), filename: filename.into(), ..UringOptions::default() }
}

/// A file of so many blocks, all of this byte.
fn file(path: &Path, blocks: usize, byte: u8) {
    fs::write(path, vec![byte; blocks * BLOCK]).expect("a file for a test");
}

/// Another file takes the place of the one at `path`, as `mv` does it.
fn replace(path: &Path, blocks: usize, byte: u8) {
    let new = path.with_extension("new");
    file(&new, blocks, byte);
    fs::rename(new, path).expect("renamed");
}

fn set_len(path: &Path, blocks: usize) {
    let file = fs::File::options().write(true).open(path).expect("there");
    file.set_len((blocks * BLOCK) as u64).expect("another length");
}

fn run(channel: &mut Channel, op: Op, lba: u64, byte: Option<u8>) -> (Result<(), IoError>, Vec<u8>) {
    let data = byte.map(|byte| {
        let mut buf = mem::testing::pool(4096, 1).get().expect("a buffer");
        buf.bytes_mut().fill(byte);
        IoBuf::new(buf, 0..BLOCK)
    });
    let blocks = if op == Op::Flush { 0 } else { 1 };
    channel.submit(BlockIo { op, lba, blocks, data, tag: 0 }, 0).expect("room");
    let mut ended = None;
    while ended.is_none() {
        channel.poll(0, &mut |done| ended = Some(done));
    }
    let done = ended.expect("it ended");
    (done.result, done.data.map(|data| data.bytes().to_vec()).unwrap_or_default())
}

fn read(channel: &mut Channel, lba: u64) -> Result<u8, IoError> {
    let (result, data) = run(channel, Op::Read, lba, Some(0xee));
    assert!(result.is_err() || data.iter().all(|&byte| byte == data[0]));
    result.map(|()| data[0])
}

fn write(channel: &mut Channel, lba: u64, byte: u8) -> Result<(), IoError> {
    run(channel, Op::Write { fua: false }, lba, Some(byte)).0
}

#[test]
fn a_file_that_grew_or_shrank_has_its_new_size_after_a_rescan() {
    let dir = folder();
    let path = dir.path().join("file");
    file(&path, 16, 1);
    let bdev = create(options(&path)).expect("there");
    let mut channel = bdev.open_channel(4).expect("a channel");
    set_len(&path, 32);
    assert_eq!((bdev.num_blocks(), read(&mut channel, 31)), (16, Err(IoError::OutOfRange)));
    assert!(rescan(&bdev).expect("the same file").is_none());
    assert_eq!((bdev.num_blocks(), read(&mut channel, 31)), (32, Ok(0)));
    // Behind our back: errors until somebody says so, and the rest is as it was.
    set_len(&path, 8);
    assert_eq!((read(&mut channel, 31), read(&mut channel, 7)), (Err(IoError::Medium), Ok(1)));
    assert!(rescan(&bdev).expect("the same file").is_none());
    assert_eq!((bdev.num_blocks(), read(&mut channel, 31)), (8, Err(IoError::OutOfRange)));
    set_len(&path, 0);
    let text = rescan(&bdev).expect_err("nothing is left").to_string();
    assert!(text.starts_with("filename: ") && text.contains("0 bytes"), "{text}");
    assert_eq!(bdev.num_blocks(), 8);
}

#[test]
fn another_file_is_used_by_channels_that_are_opened_after_it_was_installed() {
    let dir = folder();
    let path = dir.path().join("file");
    file(&path, 16, 1);
    let bdev = create(options(&path)).expect("there");
    let mut old = bdev.open_channel(4).expect("a channel");
    replace(&path, 24, 2);
    let mut replacement = rescan(&bdev).expect("a good file").expect("another one");
    assert_eq!((bdev.num_blocks(), read(&mut old, 0)), (16, Ok(1)));
    replacement.install(&bdev);
    let mut new = bdev.open_channel(4).expect("a channel");
    assert_eq!((read(&mut old, 0), read(&mut new, 0)), (Ok(1), Ok(2)));
    write(&mut old, 0, 9).expect("to the old file");
    drop(old);
    replacement.finish(&bdev);
    assert_eq!((bdev.num_blocks(), read(&mut new, 23), read(&mut new, 0)), (24, Ok(2), Ok(2)));
    assert!(rescan(&bdev).expect("the same file").is_none(), "it is the one in use now");
}

#[test]
fn a_file_that_is_let_go_of_is_unlocked_with_its_last_channel_and_the_new_one_is_locked_at_once() {
    let dir = folder();
    let (path, aside) = (dir.path().join("file"), dir.path().join("aside"));
    file(&path, 16, 1);
    let bdev = create(options(&path)).expect("there");
    let old = bdev.open_channel(4).expect("a channel");
    fs::rename(&path, &aside).expect("renamed");
    file(&path, 16, 2);
    let mut replacement = rescan(&bdev).expect("a good file").expect("another one");
    replacement.install(&bdev);
    let other = |path: &Path| create(UringOptions { name: "other".to_owned(), ..options(path) });
    assert!(other(&path).is_err(), "the new file is ours");
    assert!(other(&aside).is_err(), "a channel still uses the old one");
    drop(old);
    replacement.finish(&bdev);
    other(&aside).expect("nobody has it any more");
}

#[test]
fn a_file_that_is_no_good_changes_nothing() {
    let dir = folder();
    let path = dir.path().join("file");
    file(&path, 16, 1);
    let bdev = create(options(&path)).expect("there");
    let mut channel = bdev.open_channel(4).expect("a channel");
    let refusal = || rescan(&bdev).expect_err("must be refused").to_string();
    fs::rename(&path, dir.path().join("aside")).expect("renamed");
    assert!(refusal().contains("cannot be examined"), "{}", refusal());
    file(&path, 0, 0);
    assert!(refusal().contains("less than one block"), "{}", refusal());
    fs::remove_file(&path).and_then(|()| fs::create_dir(&path)).expect("a folder");
    assert!(refusal().contains("is a Directory"), "{}", refusal());
    fs::remove_dir(&path).expect("gone");
    file(&path, 16, 2);
    let taken = create(UringOptions { name: "other".to_owned(), ..options(&path) }).expect("somebody else's");
    assert!(refusal().contains("in use by another bdev"), "{}", refusal());
    drop(taken);
    assert_eq!((bdev.num_blocks(), bdev.is_ready(), read(&mut channel, 0)), (16, true, Ok(1)));
    assert!(rescan(&bdev).expect("a good file").is_some());
}

#[test]
fn facts_that_initiators_rely_on_stay_true() {
    let facts = |buf_align, punch_hole| Facts {
        physical_block_size: 4096,
        cache: Cache::Direct { buf_align },
        polling: None,
        punch_hole,
        discard: false,
        write_zeroes: true,
        rotational: true,
        optimal_blocks: 8,
    };
    let path = Path::new("/srv/disk");
    let info =
        Info { buf_align: 512, unmap: true, ..Info::disk("disk".to_owned(), uuid::Uuid::nil(), "URING bdev", 512) };
    assert!(check_facts(&info, path, &facts(512, true), true).is_ok());
    let text = check_facts(&info, path, &facts(4096, true), true).expect_err("stricter").to_string();
    assert!(text.contains("aligned to 4096"), "{text}");
    let text = check_facts(&info, path, &facts(1, false), true).expect_err("less able").to_string();
    assert!(text.contains("cannot unmap"), "{text}");
    assert!(check_facts(&Info { unmap: false, ..info.clone() }, path, &facts(1, false), false).is_ok());
    let text = check_facts(&Info { lba_status: true, ..info }, path, &facts(1, true), false)
        .expect_err("less able")
        .to_string();
    assert!(text.contains("does not tell its holes"), "{text}");
}

#[test]
fn a_missing_file_is_waited_for_where_that_was_asked_for() {
    let dir = folder();
    let path = dir.path().join("file");
    let waiting = UringOptions { wait_for_file: true, block_size: Some(512), ..options(&path) };
    let text = create(UringOptions { block_size: None, ..waiting.clone() }).expect_err("unknown").to_string();
    assert!(text.starts_with("block_size: "), "{text}");
    let text = create(UringOptions { size: Some(511), ..waiting.clone() }).expect_err("odd").to_string();
    assert!(text.starts_with("size: "), "{text}");
    let sized = create(UringOptions { size: Some(8192), ..waiting.clone() }).expect("made without it");
    assert_eq!((sized.num_blocks(), sized.is_ready(), path.exists()), (16, false, false));

    let bdev = create(waiting.clone()).expect("made without it");
    let mut channel = bdev.open_channel(4).expect("a channel");
    assert_eq!((bdev.num_blocks(), bdev.is_ready()), (0, false));
    assert_eq!(read(&mut channel, 0), Err(IoError::OutOfRange));
    assert_eq!(run(&mut channel, Op::Flush, 0, None).0, Ok(()));
    assert!(rescan(&bdev).is_err() && !path.exists(), "a rescan makes no file");
    file(&path, 16, 3);
    let mut replacement = rescan(&bdev).expect("a good file").expect("the first one");
    replacement.install(&bdev);
    drop(channel);
    replacement.finish(&bdev);
    let mut channel = bdev.open_channel(4).expect("a channel");
    assert_eq!((bdev.num_blocks(), bdev.is_ready(), read(&mut channel, 15)), (16, true, Ok(3)));
    let uuid = bdev.info().uuid;
    drop((channel, bdev));
    assert_eq!(create(waiting).expect("there now").info().uuid, uuid, "the identity does not hang on the file");
}

#[test]
fn a_file_without_a_channel_of_its_own_fails_what_is_asked_of_it() {
    let dir = folder();
    let waiting = UringOptions { wait_for_file: true, block_size: Some(512), ..options(dir.path().join("file")) };
    let bdev = create(UringOptions { size: Some(8192), ..waiting }).expect("made without it");
    let mut channel = bdev.open_channel(4).expect("a channel");
    assert_eq!(read(&mut channel, 0), Err(IoError::Gone));
    assert_eq!(write(&mut channel, 0, 1), Err(IoError::Gone));
    assert_eq!(bdev.num_gone_ops(), 2);
}

#[test]
fn a_file_that_still_answers_is_not_dead_whatever_failed() {
    let dir = folder();
    let path = dir.path().join("file");
    file(&path, 16, 1);
    let bdev = create(options(&path)).expect("there");
    for error in [IoError::Medium, IoError::NoSpace, IoError::OutOfRange, IoError::Gone] {
        assert_eq!((bdev.diagnose(error), bdev.is_ready()), (error, true));
    }
    assert_eq!(bdev.num_gone_ops(), 1);
}

#[test]
fn a_device_that_is_dead_is_said_to_be_so_once_and_is_ready_when_a_rescan_finds_it_alive() {
    let dir = folder();
    let path = dir.path().join("file");
    file(&path, 0, 1);
    let sized = UringOptions { size: Some(8192), ..options(&path) };
    let mut bdev = create(sized).expect("there");
    // What the kernel makes of a disk that was taken out: a block device without a size.
    set_len(&path, 0);
    let Some(Bdev { kind: Kind::Uring(backing), .. }) = Arc::get_mut(&mut bdev) else { panic!("not shared yet") };
    backing.file_mut().and_then(Arc::get_mut).expect("not shared yet").block_device = true;
    assert_eq!((bdev.diagnose(IoError::OutOfRange), bdev.is_ready()), (IoError::OutOfRange, true));
    for error in [IoError::NoSpace, IoError::Medium, IoError::Gone] {
        assert_eq!((bdev.diagnose(error), bdev.is_ready()), (IoError::Gone, false));
    }
    assert_eq!(bdev.num_gone_ops(), 3);
    set_len(&path, 16);
    assert!(rescan(&bdev).expect("the same file").is_none());
    assert!(bdev.is_ready());
}

#[test]
fn a_file_grows_on_the_disk_and_shrinks_only_where_that_is_allowed() {
    let dir = folder();
    let path = dir.path().join("file");
    file(&path, 16, 1);
    let bdev = create(options(&path)).expect("there");
    let mut channel = bdev.open_channel(4).expect("a channel");
    let len = || fs::metadata(&path).expect("there").len() / BLOCK as u64;
    resize(&bdev, 32 * 512, false).expect("grown");
    assert_eq!((bdev.num_blocks(), len(), read(&mut channel, 31), read(&mut channel, 15)), (32, 32, Ok(0), Ok(1)));
    for (size, words) in
        [(16 * 512, "allow_shrink"), (32 * 512 + 1, "no multiple"), (0, "no multiple"), (1 << 63, "no multiple")]
    {
        let text = resize(&bdev, size, false).expect_err("must be refused").to_string();
        assert!(text.starts_with("size: ") && text.contains(words), "{text}");
    }
    assert_eq!((bdev.num_blocks(), len()), (32, 32));
    resize(&bdev, 8 * 512, true).expect("shrunk");
    assert_eq!((bdev.num_blocks(), len(), read(&mut channel, 8)), (8, 8, Err(IoError::OutOfRange)));
    drop((channel, bdev));
    let read_only = create(UringOptions { read_only: true, ..options(&path) }).expect("there");
    let text = resize(&read_only, 1 << 20, false).expect_err("must be refused").to_string();
    assert!(text.contains("made read-only"), "{text}");
}

#[test]
fn write_protection_comes_and_goes_unless_the_file_is_open_for_reading_only() {
    let dir = folder();
    let path = dir.path().join("file");
    file(&path, 16, 1);
    let bdev = create(options(&path)).expect("there");
    let mut channel = bdev.open_channel(4).expect("a channel");
    bdev.set_read_only(true).expect("protected");
    assert_eq!((write(&mut channel, 0, 2), read(&mut channel, 0)), (Err(IoError::WriteProtected), Ok(1)));
    bdev.set_read_only(false).expect("not any more");
    assert_eq!((write(&mut channel, 0, 2), read(&mut channel, 0)), (Ok(()), Ok(2)));
    drop((channel, bdev));
    let bdev = create(UringOptions { read_only: true, ..options(&path) }).expect("there");
    bdev.set_read_only(true).expect("it is");
    let text = bdev.set_read_only(false).expect_err("it cannot").to_string();
    assert!(text.contains("was made read-only") && bdev.is_read_only(), "{text}");
}

#[test]
fn a_device_without_a_file_is_told_from_others() {
    let null =
        crate::null::create(crate::null::NullOptions { name: "n".to_owned(), num_blocks: 8, ..Default::default() });
    let null = null.expect("null");
    for text in [rescan(&null).expect_err("null").to_string(), resize(&null, 512, false).expect_err("null").to_string()]
    {
        assert!(text.starts_with("name: ") && text.contains("Null disk"), "{text}");
    }
    crate::null::resize(&null, 16).expect("larger");
    assert_eq!(null.num_blocks(), 16);
    for bad in [15, u64::MAX] {
        assert!(crate::null::resize(&null, bad).is_err());
    }
    assert_eq!(null.num_blocks(), 16);
}

/// A disc in a drive is an image file, and the next disc another: from then on a rescan looks at that.
#[test]
fn a_file_of_another_name_takes_the_place() {
    let dir = folder();
    let [one, two] = ["one", "two"].map(|name| dir.path().join(name));
    file(&one, 8, 1);
    file(&two, 12, 2);
    let bdev = create(options(&one)).expect("a device");
    assert!(change_file(&bdev, &one).expect("the same file").is_none());
    let said = change_file(&bdev, &dir.path().join("nobody")).expect_err("there is none").to_string();
    assert!(said.contains("filename") && said.contains("nobody"), "{said}");
    let mut other = change_file(&bdev, &two).expect("another file").expect("to be exchanged");
    assert_eq!(bdev.filename(), Some(one.clone()));
    other.install(&bdev);
    other.finish(&bdev);
    let mut channel = bdev.open_channel(4).expect("a channel");
    assert_eq!((bdev.filename(), bdev.num_blocks(), read(&mut channel, 11)), (Some(two.clone()), 12, Ok(2)));
    assert!(rescan(&bdev).expect("in place").is_none());
    replace(&two, 16, 3);
    assert!(rescan(&bdev).expect("replaced").is_some());
    let said = change_file(&crate::null::create(null_options()).expect("a device"), &one).expect_err("no file");
    assert!(said.to_string().contains("has no file"), "{said}");
}

fn null_options() -> crate::null::NullOptions {
    crate::null::NullOptions { name: "null0".to_owned(), num_blocks: 8, ..Default::default() }
}
