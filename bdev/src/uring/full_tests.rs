//! File systems that are full. All of these need root, to mount them, and are skipped without.

use std::fs;
use std::path::Path;

use super::options_tests::Mount;
use super::tests::{Loop, file, folder, options, run};
use super::*;
use crate::io::{IoError, Op};

const BLOCK: usize = 4096;
/// The disk is larger than the file system.
const DISK: u64 = 64 << 20;

/// Takes what space is left, all but a few blocks at most.
fn fill(folder: &Path) -> PathBuf {
    let path = folder.join("filler");
    let mut filler = fs::File::create(&path).expect("a file");
    while std::io::Write::write(&mut filler, &[0; BLOCK]).is_ok() {}
    filler.sync_all().expect("on the disk");
    path
}

fn thick_and_thin(path: &Path) -> [UringOptions; 3] {
    let sized = || UringOptions { size: Some(DISK), block_size: Some(BLOCK as u32), ..options(path) };
    [
        UringOptions { direct: Some(false), ..sized() },
        sized(),
        UringOptions { write_through: true, direct: Some(false), ..sized() },
    ]
}

/// Nothing can be written, nothing that was is lost, and with space again all goes on.
fn a_full_file_system_gives_no_space(folder: &Path) {
    let path = folder.join("disk");
    for options in thick_and_thin(&path) {
        let bdev = create(options.clone()).expect("sparse");
        let block = [0x77; BLOCK];
        assert_eq!(run(&bdev, Op::Write { fua: true }, 1, Some(&block)).0, Ok(()));
        let filler = fill(folder);
        let space = bdev.space().expect("of a file");
        assert!(space.free_bytes < 1 << 20 && space.total_bytes >= 4 << 20, "{space:?}");
        // Larger than what a file system may have kept for itself.
        let much = vec![0x66; DISK as usize];
        let blocks = DISK / BLOCK as u64;
        for op in [Op::Write { fua: false }, Op::Write { fua: true }] {
            assert_eq!(run(&bdev, op, blocks, Some(&much)).0, Err(IoError::NoSpace), "{op:?} {options:?}");
        }
        assert_eq!(run(&bdev, Op::Flush, 0, None).0, Ok(()), "nothing was lost: {options:?}");
        let zeroes = Op::WriteZeroes { unmap: false, fua: true };
        assert_eq!(run(&bdev, zeroes, blocks, None).0, Err(IoError::NoSpace), "{options:?}");
        fs::remove_file(filler).expect("space");
        // More than any file system kept for itself.
        let part = &much[..6 << 20];
        assert_eq!(run(&bdev, Op::Write { fua: true }, (part.len() / BLOCK) as u64, Some(part)).0, Ok(()));
        assert_eq!(run(&bdev, Op::Flush, 0, None).0, Ok(()));
        assert!(run(&bdev, Op::Read, 1, Some(&[0; BLOCK])).1 == part[..BLOCK]);
        drop(bdev);
        fs::remove_file(&path).expect("for the next");
    }
}

#[test]
fn a_full_ext4_gives_no_space_and_goes_on_with_space() {
    let dir = folder();
    let Some(device) = Loop::over(&file(&dir, 16 << 20), 512) else { return };
    let Some(mount) = Mount::of(&device.0, &["mkfs.ext4", "-q"], &dir) else { return };
    a_full_file_system_gives_no_space(&mount.0);
}

#[test]
fn a_full_tmpfs_gives_no_space_and_goes_on_with_space() {
    let dir = folder();
    let Some(mount) = Mount::with(&["-t", "tmpfs", "-o", "size=12m", "none"], &dir) else { return };
    a_full_file_system_gives_no_space(&mount.0);
}

#[test]
fn a_disk_allocated_in_full_is_written_to_its_end_on_a_full_file_system() {
    let dir = folder();
    let Some(device) = Loop::over(&file(&dir, 16 << 20), 512) else { return };
    let Some(mount) = Mount::of(&device.0, &["mkfs.ext4", "-q"], &dir) else { return };
    let (path, other) = (mount.0.join("disk"), mount.0.join("other"));
    let full = |path: &Path, size| UringOptions {
        size: Some(size),
        block_size: Some(BLOCK as u32),
        allocate: Allocate::Full,
        ..options(path)
    };
    let bdev = create(full(&path, 6 << 20)).expect("there is so much");
    // What cannot be had is refused and leaves all the space that there was, also where the file itself was there: more than
    // there is, and all of it, of which the file system needs some itself, which shows only halfway.
    let free = bdev.space().expect("of a file").free_bytes;
    let system = rustix::fs::statvfs(&mount.0).expect("of a file system");
    let all = system.f_bfree * system.f_frsize / BLOCK as u64 * BLOCK as u64;
    fs::write(&other, []).expect("an empty file");
    for size in [all, all + (1 << 20)] {
        for path in [&other, &mount.0.join("new")] {
            let error = create(full(path, size)).expect_err("too much");
            assert!(matches!(&error, CreateError::File { source, .. } if source.raw_os_error() == Some(28)), "{error}");
            assert!(error.to_string().contains("allocate: full"), "{error}");
        }
        assert_eq!(bdev.space().expect("of a file").free_bytes, free, "{size}");
    }
    assert!(!mount.0.join("new").exists());
    fill(&mount.0);
    let much = vec![0x5a; 6 << 20];
    assert_eq!(run(&bdev, Op::Write { fua: true }, much.len() as u64 / BLOCK as u64, Some(&much)).0, Ok(()));
    assert!(fs::read(&path).expect("there") == much);
}

/// Space that is missing below the file system: the write is done into the page cache, and only the flush finds out.
#[test]
fn data_that_finds_no_space_when_it_is_written_out_fails_this_flush_and_all_later_ones() {
    let (below, above) = (folder(), folder());
    let Some(pool) = Mount::with(&["-t", "tmpfs", "-o", "size=24m", "none"], &below) else { return };
    let image = pool.0.join("image");
    fs::File::create(&image).and_then(|file| file.set_len(DISK)).expect("a sparse image");
    let Some(device) = Loop::over(&image, 4096) else { return };
    let make = ["mkfs.ext4", "-q", "-O", "^has_journal", "-E", "nodiscard"];
    let Some(mount) = Mount::of(&device.0, &make, &above) else { return };
    let path = mount.0.join("disk");
    let sized = UringOptions { size: Some(32 << 20), direct: Some(false), ..options(&path) };
    let bdev = create(UringOptions { block_size: Some(BLOCK as u32), ..sized }).expect("sparse");
    assert_eq!(run(&bdev, Op::Flush, 0, None).0, Ok(()));
    let filler = fill(&pool.0);
    let much = vec![0x39; 8 << 20];
    assert_eq!(run(&bdev, Op::Write { fua: false }, (much.len() / BLOCK) as u64, Some(&much)).0, Ok(()));
    let first = run(&bdev, Op::Flush, 0, None).0;
    assert!(matches!(first, Err(IoError::NoSpace | IoError::Medium)), "{first:?}");
    fs::remove_file(filler).expect("space");
    assert_eq!(run(&bdev, Op::Flush, 0, None).0, Err(IoError::Medium), "what was lost stays lost");
    // What is written with FUA speaks for itself.
    assert_eq!(run(&bdev, Op::Write { fua: true }, 1, Some(&much[..BLOCK])).0, Ok(()));
}
