use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use super::tests::{Loop, file, folder, options, refusal, run};
use super::*;
use crate::io::{IoError, Op};
use crate::metadata::{Metadata, ProtectionType};

#[test]
fn values_out_of_range_and_contradictions_are_refused_by_name() {
    let dir = folder();
    let path = file(&dir, 8192);
    let given = || options(&path);
    for (parameter, options) in [
        ("threshold_percent", UringOptions { threshold_percent: Some(0), ..given() }),
        ("threshold_percent", UringOptions { threshold_percent: Some(100), ..given() }),
        ("threshold_percent", UringOptions { threshold_percent: Some(80), thin_provisioned: Some(false), ..given() }),
        ("threshold_percent", UringOptions { threshold_percent: Some(80), read_only: true, ..given() }),
        ("nv_cache", UringOptions { nv_cache: true, write_through: true, ..given() }),
        ("allocate", UringOptions { allocate: Allocate::Full, read_only: true, ..given() }),
        ("allocate", UringOptions { allocate: Allocate::Full, thin_provisioned: Some(true), ..given() }),
        ("thin_provisioned", UringOptions { thin_provisioned: Some(true), read_only: true, ..given() }),
        ("physical_block_size", UringOptions { physical_block_size: Some(256), ..given() }),
        ("physical_block_size", UringOptions { physical_block_size: Some(3 << 10), ..given() }),
        ("physical_block_size", UringOptions { physical_block_size: Some(2 << 20), ..given() }),
        ("optimal_blocks", UringOptions { optimal_blocks: Some(17), physical_block_size: Some(512), ..given() }),
        ("optimal_blocks", UringOptions { optimal_blocks: Some(4), physical_block_size: Some(4096), ..given() }),
        ("block_size", UringOptions { block_size: Some(8192), ..given() }),
    ] {
        let text = refusal(options);
        assert!(text.starts_with(&format!("{parameter}: ")), "{parameter}: {text}");
    }
}

#[test]
fn a_refused_option_leaves_no_new_file_behind() {
    let dir = folder();
    let path = dir.path().join("new");
    for bad in [
        UringOptions { optimal_blocks: Some(1 << 20), ..options(&path) },
        UringOptions { physical_block_size: Some(1), ..options(&path) },
    ] {
        refusal(UringOptions { size: Some(8192), ..bad });
        assert!(!path.exists());
    }
}

#[test]
fn what_the_options_say_of_the_disk_counts_more_than_what_was_found() {
    let dir = folder();
    let path = file(&dir, 1 << 20);
    let found = create(options(&path)).expect("there").info().clone();
    assert!(!found.removable && found.optimal_blocks == 0 && found.thin_threshold_percent.is_none());
    let told = UringOptions {
        physical_block_size: Some(8192),
        optimal_blocks: Some(64),
        rotational: Some(!found.rotational),
        removable: true,
        threshold_percent: Some(99),
        ..options(&path)
    };
    let told = create(told).expect("there").info().clone();
    assert_eq!((told.physical_block_size, told.optimal_blocks), (8192, 64));
    assert_eq!((told.rotational, told.removable, told.thin_threshold_percent), (!found.rotational, true, Some(99)));
}

#[test]
fn a_file_that_is_not_thin_offers_no_unmap_and_keeps_its_space() {
    let dir = folder();
    let path = file(&dir, 0);
    fs::write(&path, vec![0x66; 1 << 20]).and_then(|()| fs::File::open(&path)?.sync_all()).expect("a full file");
    let blocks = fs::metadata(&path).expect("there").blocks();
    let bdev = create(UringOptions { thin_provisioned: Some(false), ..options(&path) }).expect("there");
    assert!(!bdev.info().unmap && !bdev.info().unmap_zeroes);
    assert_eq!(run(&bdev, Op::Unmap, 2048, None).0, Err(IoError::Unsupported));
    assert_eq!(run(&bdev, Op::WriteZeroes { unmap: true, fua: true }, 2048, None).0, Ok(()));
    assert!(fs::read(&path).expect("there").iter().all(|&byte| byte == 0));
    assert_eq!(fs::metadata(&path).expect("there").blocks(), blocks);
    drop(bdev);
    let thin = create(UringOptions { thin_provisioned: Some(true), ..options(&path) }).expect("it can");
    assert_eq!(run(&thin, Op::Unmap, 2048, None).0, Ok(()));
    assert_eq!(fs::metadata(&path).expect("there").blocks(), 0);
}

#[test]
fn a_file_allocated_in_full_has_all_of_its_space_and_gives_none_back() {
    const LEN: u64 = 1 << 20;
    let dir = folder();
    let allocated = |path: &PathBuf| fs::metadata(path).expect("there").blocks() * 512;
    let full = |path: &PathBuf| UringOptions { allocate: Allocate::Full, ..options(path) };
    // Made here, found empty, found with holes.
    let new = dir.path().join("new");
    let empty = file(&dir, 0);
    for path in [&new, &empty] {
        let bdev = create(UringOptions { size: Some(LEN), ..full(path) }).expect("made");
        assert_eq!((bdev.num_blocks() * 512, fs::metadata(path).expect("there").len()), (LEN, LEN));
        assert!(allocated(path) >= LEN && !bdev.info().unmap);
        assert!(
            bdev.space().is_some_and(|space| space.allocated_bytes >= LEN && space.free_bytes <= space.total_bytes)
        );
    }
    let holes = dir.path().join("holes");
    fs::write(&holes, [0x44; 4096])
        .and_then(|()| fs::File::options().write(true).open(&holes)?.set_len(LEN))
        .expect("holes");
    assert!(allocated(&holes) < LEN);
    create(full(&holes)).expect("there");
    assert!(allocated(&holes) >= LEN);
    let content = fs::read(&holes).expect("there");
    assert!(content[..4096].iter().all(|&byte| byte == 0x44) && content[4096..].iter().all(|&byte| byte == 0));
}

#[test]
fn a_file_that_is_larger_than_the_space_there_is_cannot_be_allocated() {
    let dir = folder();
    let huge = 1 << 50;
    let new = dir.path().join("new");
    let text = refusal(UringOptions { size: Some(huge), allocate: Allocate::Full, ..options(&new) });
    assert!(text.contains("allocate: full") && !new.exists(), "{text}");
    let empty = file(&dir, 0);
    refusal(UringOptions { size: Some(huge), allocate: Allocate::Full, ..options(&empty) });
    let metadata = fs::metadata(&empty).expect("there");
    assert_eq!((metadata.len(), metadata.blocks()), (0, 0));
}

#[test]
fn a_nonvolatile_cache_needs_no_flush() {
    let dir = folder();
    let path = file(&dir, 4096);
    for direct in [None, Some(false)] {
        let bdev = create(UringOptions { nv_cache: true, direct, ..options(&path) }).expect("there");
        assert!(!bdev.info().write_cache);
        assert_eq!(run(&bdev, Op::Flush, 0, None).0, Ok(()));
        assert_eq!(run(&bdev, Op::Write { fua: true }, 1, Some(&[0x21; 512])).0, Ok(()));
        assert_eq!(run(&bdev, Op::Read, 1, Some(&[0; 512])).1, [0x21; 512]);
    }
}

/// Skipped where the system gives no loop device.
#[test]
fn what_only_a_file_has_is_refused_for_a_block_device() {
    let dir = folder();
    let Some(device) = Loop::over(&file(&dir, 1 << 20), 512) else { return };
    let text = refusal(UringOptions { allocate: Allocate::Full, ..options(&device.0) });
    assert!(text.starts_with("allocate: full") && text.contains("block device"), "{text}");
    let text = refusal(UringOptions { threshold_percent: Some(50), ..options(&device.0) });
    assert!(text.starts_with("threshold_percent: ") && text.contains("block device"), "{text}");
    let bdev = create(UringOptions { thin_provisioned: Some(false), ..options(&device.0) }).expect("there");
    assert!(!bdev.info().unmap && bdev.info().write_zeroes && bdev.space().is_none());
}

/// A file on 4096-byte sectors takes no O_DIRECT with blocks of 512. Skipped where nothing can be mounted.
#[test]
fn blocks_smaller_than_the_sectors_below_the_file_system_go_through_the_page_cache() {
    for (make, size) in [("mkfs.ext4", 16 << 20), ("mkfs.xfs", 320 << 20)] {
        let dir = folder();
        let Some(device) = Loop::over(&file(&dir, size), 4096) else { return };
        let Some(mount) = Mount::of(&device.0, &[make, "-q"], &dir) else { continue };
        let path = mount.0.join("disk");
        let sized = |block_size| UringOptions { size: Some(1 << 20), block_size: Some(block_size), ..options(&path) };
        let small = create(sized(512)).expect("through the page cache");
        assert_eq!(small.info().buf_align, 1);
        assert_eq!(run(&small, Op::Write { fua: true }, 1, Some(&[0x13; 512])).0, Ok(()));
        drop(small);
        let text = refusal(UringOptions { direct: Some(true), ..sized(512) });
        assert!(text.starts_with("direct: ") && text.contains("it needs blocks of 4096 bytes"), "{text}");
        let large = create(UringOptions { direct: Some(true), ..sized(4096) }).expect("O_DIRECT");
        assert!(large.info().buf_align > 1);
        assert_eq!(run(&large, Op::Read, 1, Some(&[0; 4096])).1[..512], [0x13; 512]);
    }
}

/// A file system that is mounted as long as this lives.
pub(super) struct Mount(pub(super) PathBuf);

impl Mount {
    /// Makes one on a device and mounts it in the folder; `None` if this process may not.
    pub(super) fn of(device: &str, make: &[&str], dir: &tempfile::TempDir) -> Option<Mount> {
        let made = Command::new(make[0]).args(&make[1..]).arg(device).output();
        if !made.is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: no {} here", make[0]);
            return None;
        }
        Mount::with(&[device], dir)
    }

    /// mount(8) with these arguments and a folder of its own.
    pub(super) fn with(arguments: &[&str], dir: &tempfile::TempDir) -> Option<Mount> {
        let point = dir.path().join("mounted");
        fs::create_dir_all(&point).expect("a mount point");
        let mounted = Command::new("mount").args(arguments).arg(&point).status();
        if !mounted.is_ok_and(|status| status.success()) {
            eprintln!("skipped: mount(8) of {arguments:?} is refused (it needs root)");
            return None;
        }
        Some(Mount(point))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["--lazy"]).arg(&self.0).status();
    }
}

/// What metadata asks of a file, and what it cannot be had with.
#[test]
fn a_file_with_metadata_is_durable_and_goes_through_the_page_cache() {
    let dir = tempfile::tempdir().expect("a folder for a test");
    let with = |change: fn(&mut UringOptions)| {
        let mut options = UringOptions {
            name: "disk".to_owned(),
            filename: dir.path().join("disk"),
            size: Some(8 * 520),
            metadata: Some(Metadata::of(ProtectionType::Type1)),
            ..UringOptions::default()
        };
        change(&mut options);
        super::create(options)
    };
    let bdev = with(|_| ()).expect("a file");
    let info = bdev.info();
    assert_eq!((bdev.num_blocks(), info.block_size, info.data_block_size()), (8, 520, 512));
    assert_eq!((info.write_cache, info.buf_align), (false, 1), "durable, and no O_DIRECT");
    assert_eq!(info.physical_block_size / 520 * 512, info.data_physical_block_size());
    assert_eq!(super::resize(&bdev, 16 * 520, false).map(|()| bdev.num_blocks()).expect("it grows"), 16);
    assert!(super::resize(&bdev, 17 * 512, false).is_err(), "no multiple of 520");
    drop(bdev);
    let bdev = with(|options| (options.size, options.nv_cache) = (None, true)).expect("the same file");
    assert_eq!((bdev.num_blocks(), bdev.info().write_cache), (16, false));
    drop(bdev);
    type Change = fn(&mut UringOptions);
    let refused: [(Change, &str); 5] = [
        (|options| options.direct = Some(true), "direct: "),
        (|options| options.iopoll = true, "iopoll: "),
        (|options| options.metadata = Some(Metadata { bytes: 16, protection: ProtectionType::None }), "md_size: "),
        (|options| options.size = Some(8 * 512), "size: "),
        (|options| options.block_size = Some(520), "block_size: "),
    ];
    for (change, parameter) in refused {
        let error = with(change).expect_err(parameter).to_string();
        assert!(error.starts_with(parameter), "{error}");
    }
}
