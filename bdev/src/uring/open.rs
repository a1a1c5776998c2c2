//! Opening the file or block device beneath: refuse what cannot work, find out what it can do.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FallocateFlags, FileType, Mode, OFlags, SeekFrom, Stat};
use rustix::io::Errno;

use super::direct::Cache;
use super::options::{Allocate, UringOptions};
use super::polling::{self, Polling};
use super::{direct, lock};
use crate::create::{self, CreateError};
use crate::links;

/// A file that is ours, and what is to be known of it.
#[derive(Debug)]
pub(super) struct Opened {
    /// `None`: the file is waited for.
    pub(super) fd: Option<OwnedFd>,
    pub(super) num_blocks: u64,
    /// Bytes per block without metadata.
    pub(super) data_block_size: u32,
    pub(super) facts: Facts,
}

/// What the file or device can do. Block sizes are without metadata.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) physical_block_size: u32,
    pub(super) cache: Cache,
    pub(super) polling: Option<Polling>,
    /// Space is given back, and what it held reads as zeroes.
    pub(super) punch_hole: bool,
    /// Space is given back by BLKDISCARD only, without a promise.
    pub(super) discard: bool,
    pub(super) write_zeroes: bool,
    pub(super) rotational: bool,
    pub(super) optimal_blocks: u32,
}

/// Opens, locks, sizes and examines what the options name.
pub(super) fn open(options: &UringOptions) -> Result<Opened, CreateError> {
    let path = options.filename.as_path();
    let (fd, created) = match file_type(path)? {
        Some(found) => (open_existing(path, found, options.read_only)?, None),
        None => {
            let fd = create_file(options)?;
            (fd, Some(RemoveOnDrop(path)))
        }
    };
    let stat = rustix::fs::fstat(&fd).map_err(failed(path, "cannot be examined"))?;
    let mut opened = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => open_regular(options, fd, &stat),
        FileType::BlockDevice => open_block_device(options, fd, &stat),
        other => Err(wrong_type(path, other)),
    }?;
    opened.facts = told_facts(opened.facts, options, opened.data_block_size, opened.num_blocks)?;
    if let Some(created) = created {
        created.keep();
    }
    Ok(opened)
}

/// What the options say instead of what was found.
pub(super) fn told_facts(
    found: Facts,
    options: &UringOptions,
    block_size: u32,
    num_blocks: u64,
) -> Result<Facts, CreateError> {
    let mut facts = found;
    if options.physical_block_size.is_some() {
        facts.physical_block_size = create::physical_block_size(options.physical_block_size, block_size)?;
    }
    let unit = facts.physical_block_size / block_size;
    if let Some(blocks) = options.optimal_blocks {
        facts.optimal_blocks = blocks;
        if u64::from(blocks) > num_blocks || !blocks.is_multiple_of(unit) {
            let problem = format!("{blocks} is no multiple of {unit} (a physical block) from 0 to {num_blocks} (all)");
            return Err(CreateError::parameter("optimal_blocks", problem));
        }
    } else if !facts.optimal_blocks.is_multiple_of(unit) {
        // Initiators ignore such a value (Linux complains about it, too).
        facts.optimal_blocks = 0;
    }
    facts.rotational = options.rotational.unwrap_or(facts.rotational);
    let thin = gives_space_back(options, facts.punch_hole || facts.discard)?;
    facts.punch_hole &= thin;
    facts.discard &= thin;
    Ok(facts)
}

/// Whether space is given back: where it can be, unless it is to stay.
fn gives_space_back(options: &UringOptions, can: bool) -> Result<bool, CreateError> {
    let path = options.filename.display();
    if options.thin_provisioned == Some(true) && !can {
        let problem = format!("{path} cannot give space back (no holes, no discard): leave thin_provisioned out");
        return Err(CreateError::parameter("thin_provisioned", problem));
    }
    let thin = can && options.thin_provisioned.unwrap_or(options.allocate == Allocate::Sparse);
    if options.threshold_percent.is_some() && !thin {
        let problem =
            format!("{path} is not thin provisioned, so nothing can be warned of: leave threshold_percent out");
        return Err(CreateError::parameter("threshold_percent", problem));
    }
    Ok(thin)
}

/// `None`: nothing is there.
fn file_type(path: &Path) -> Result<Option<FileType>, CreateError> {
    match rustix::fs::stat(path) {
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(failed(path, "cannot be examined")(errno)),
        Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
            found @ (FileType::RegularFile | FileType::BlockDevice) => Ok(Some(found)),
            other => Err(wrong_type(path, other)),
        },
    }
}

fn wrong_type(path: &Path, found: FileType) -> CreateError {
    let problem = format!("{} is a {found:?}: name a regular file or a block device", path.display());
    CreateError::parameter("filename", problem)
}

fn open_existing(path: &Path, found: FileType, read_only: bool) -> Result<OwnedFd, CreateError> {
    let access = if read_only { OFlags::RDONLY } else { OFlags::RDWR };
    // NONBLOCK: should a pipe have taken the file's place meanwhile, opening it must not wait for its other end.
    let mut flags = access | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    if found == FileType::BlockDevice {
        // The kernel's own claim on a block device: mounts, LVM, md and other targets hold it, too.
        flags |= OFlags::EXCL;
    }
    let file = links::follow(path)?;
    flags |= OFlags::NOFOLLOW;
    let outcome = lock::retry(lock::WAIT_MAX, Errno::BUSY, || rustix::fs::open(&file, flags, Mode::empty()));
    let fd = outcome.map_err(|errno| match errno {
        Errno::BUSY => CreateError::InUse {
            path: path.to_owned(),
            holder: "a mounted file system, a volume manager or another process".to_owned(),
        },
        Errno::ROFS | Errno::ACCESS | Errno::PERM if !read_only => {
            failed(path, "cannot be opened for writing; allow it, or set readonly")(errno)
        }
        errno => failed(path, "cannot be opened")(errno),
    })?;
    // It was for the opening only. Where the layers beneath cannot promise not to wait (some of the device mapper's), io_uring
    // takes it for a wish never to wait, and answers every read and write with EAGAIN.
    rustix::fs::fcntl_setfl(&fd, access).map_err(failed(path, "does not take file status flags"))?;
    Ok(fd)
}

fn create_file(options: &UringOptions) -> Result<OwnedFd, CreateError> {
    let path = options.filename.as_path();
    if path.as_os_str().is_empty() {
        return Err(CreateError::parameter("filename", "is empty: name a file or a block device"));
    }
    if options.size.is_none() || options.read_only || options.wait_for_file {
        let problem = match () {
            () if options.wait_for_file => "does not exist",
            () if options.read_only => "does not exist, and a read-only device cannot be made empty",
            () => "does not exist; give its size in bytes (size) to make it",
        };
        return Err(failed(path, problem)(Errno::NOENT));
    }
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOCTTY;
    rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).map_err(failed(path, "cannot be created"))
}

/// Nothing half-made is left behind: the file goes again unless all went well.
struct RemoveOnDrop<'a>(&'a Path);

impl RemoveOnDrop<'_> {
    fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for RemoveOnDrop<'_> {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(self.0) {
            tracing::warn!("{} was created, is of no use and cannot be removed: {error}", self.0.display());
        }
    }
}

fn open_regular(options: &UringOptions, fd: OwnedFd, stat: &Stat) -> Result<Opened, CreateError> {
    let path = options.filename.as_path();
    let data_block_size = options.block_size.unwrap_or(512);
    let block_size = options.stored(data_block_size);
    check_size_option(options.size, block_size)?;
    lock::lock(&fd, stat, path, options.read_only)?;
    // Only now is the length final: the last owner may have changed it until it let go of the lock.
    let stat = rustix::fs::fstat(&fd).map_err(failed(path, "cannot be examined"))?;
    let mut bytes = u64::try_from(stat.st_size).unwrap_or(0);
    if let Some(size) = options.size
        && size != bytes
    {
        if bytes != 0 || options.read_only {
            let problem = format!(
                "{size}, but {} has {bytes} bytes: leave size out to take the file as it is, or name another file",
                path.display()
            );
            return Err(CreateError::parameter("size", problem));
        }
        set_file_size(fd.as_fd(), path, 0, size, options.allocate)?;
        bytes = size;
    } else if options.allocate == Allocate::Full {
        take_space(fd.as_fd(), path, bytes)?;
    }
    let num_blocks = whole_blocks(path, bytes, block_size)?;
    let cache = direct::choose_cache(options, fd.as_fd(), block_size, direct::unit_of_file(stat.st_dev))?;
    let polling = polling::choose(options, fd.as_fd(), block_size, cache, stat.st_dev)?;
    let punch_hole = !options.read_only && can_punch_holes(fd.as_fd(), &stat, bytes);
    let file_system_block = u32::try_from(stat.st_blksize).unwrap_or(0).clamp(data_block_size, 4096);
    let facts = Facts {
        physical_block_size: if file_system_block.is_power_of_two() { file_system_block } else { data_block_size },
        cache,
        polling,
        punch_hole,
        discard: false,
        // Every file system that zeroes ranges also punches holes, and this one can be tried without doing harm.
        write_zeroes: punch_hole,
        rotational: queue_attribute(stat.st_dev, "rotational") == Some(1),
        optimal_blocks: 0,
    };
    Ok(Opened { fd: Some(fd), num_blocks, data_block_size, facts })
}

pub(super) fn check_size_option(size: Option<u64>, block_size: u32) -> Result<(), CreateError> {
    match size {
        Some(size) if size == 0 || !size.is_multiple_of(u64::from(block_size)) || i64::try_from(size).is_err() => {
            let problem =
                format!("{size} is no multiple of a block ({block_size} bytes) from one block to 2^63 - 1 bytes");
            Err(CreateError::parameter("size", problem))
        }
        _ => Ok(()),
    }
}

/// The new length is on the disk before anybody relies on it, and so is the file's name.
/// The file is `before` bytes long, and stays so if this fails.
pub(super) fn set_file_size(
    fd: BorrowedFd<'_>,
    path: &Path,
    before: u64,
    size: u64,
    allocate: Allocate,
) -> Result<(), CreateError> {
    let problem = || format!("cannot be made {size} bytes long");
    let grown = match allocate {
        Allocate::Sparse => Ok(()),
        Allocate::Full => take_space(fd, path, size),
    };
    let grown = grown.and_then(|()| rustix::fs::ftruncate(fd, size).map_err(failed(path, &problem())));
    if grown.is_err() {
        // What was taken lies behind the end, where nobody would find it again.
        let _ = rustix::fs::ftruncate(fd, before);
    }
    grown?;
    rustix::fs::fsync(fd).map_err(|errno| failed(path, &problem())(errno))?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(directory, flags, Mode::empty())
        .and_then(rustix::fs::fsync)
        .map_err(failed(path, "its directory cannot be written to the disk"))
}

/// Gives every block of the file its space, whatever it holds; its length stays.
fn take_space(fd: BorrowedFd<'_>, path: &Path, bytes: u64) -> Result<(), CreateError> {
    let full = |errno| {
        let problem =
            format!("not all of its {bytes} bytes can be given space (allocate: full); free some, or make it smaller");
        failed(path, &problem)(errno)
    };
    // Asked first, so that the usual refusal leaves no half of it behind.
    let stat = rustix::fs::fstat(fd).map_err(failed(path, "cannot be examined"))?;
    let taken = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512);
    if let Ok(system) = rustix::fs::fstatvfs(fd)
        && bytes.saturating_sub(taken) > system.f_bfree.saturating_mul(system.f_frsize)
    {
        return Err(full(Errno::NOSPC));
    }
    loop {
        match rustix::fs::fallocate(fd, FallocateFlags::KEEP_SIZE, 0, bytes) {
            Ok(()) => break,
            Err(Errno::INTR) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                let problem = format!("full: the file system of {} sets no space aside: use sparse", path.display());
                return Err(CreateError::parameter("allocate", problem));
            }
            Err(errno) => return Err(full(errno)),
        }
    }
    if copies_on_write(fd) {
        tracing::warn!(
            "{}: its file system writes every block to a new place, so writes can find it full although allocate is full",
            path.display()
        );
    }
    Ok(())
}

/// Btrfs, ZFS and bcachefs, by the numbers that statfs(2) gives.
fn copies_on_write(fd: BorrowedFd<'_>) -> bool {
    rustix::fs::fstatfs(fd).is_ok_and(|system| matches!(system.f_type as u32, 0x9123_683e | 0x2fc1_2fc1 | 0xca45_1a4e))
}

fn open_block_device(options: &UringOptions, fd: OwnedFd, stat: &Stat) -> Result<Opened, CreateError> {
    let path = options.filename.as_path();
    if options.metadata.is_some() {
        let problem = format!("{} is a block device: metadata is for regular files, leave it out", path.display());
        return Err(CreateError::parameter("md_size", problem));
    }
    if options.allocate == Allocate::Full {
        let problem = format!("full: {} is a block device, which has its space: leave allocate out", path.display());
        return Err(CreateError::parameter("allocate", problem));
    }
    let logical = rustix::fs::ioctl_blksszget(&fd).map_err(failed(path, "does not tell its block size"))?;
    let block_size = options.block_size.unwrap_or(logical);
    create::check_block_size(block_size)?;
    if !block_size.is_multiple_of(logical) {
        let problem = format!("{block_size} is no multiple of the device's own block size: use {logical}");
        return Err(CreateError::parameter("block_size", problem));
    }
    if options.threshold_percent.is_some() {
        let problem = format!("{} is a block device, whose free space nobody knows: leave it out", path.display());
        return Err(CreateError::parameter("threshold_percent", problem));
    }
    let bytes = rustix::fs::seek(&fd, SeekFrom::End(0)).map_err(failed(path, "does not tell its size"))?;
    if let Some(size) = options.size
        && size != bytes
    {
        let problem = format!("{size}, but {} has {bytes} bytes: leave size out for a block device", path.display());
        return Err(CreateError::parameter("size", problem));
    }
    let num_blocks = whole_blocks(path, bytes, block_size)?;
    let cache = direct::choose_cache(options, fd.as_fd(), block_size, logical)?;
    let device = stat.st_rdev;
    let polling = polling::choose(options, fd.as_fd(), block_size, cache, device)?;
    let write_zeroes = queue_attribute(device, "write_zeroes_max_bytes").is_some_and(|bytes| bytes > 0);
    let discard = queue_attribute(device, "discard_max_bytes").is_some_and(|bytes| bytes > 0);
    let physical = rustix::fs::ioctl_blkpbszget(&fd).unwrap_or(block_size).max(block_size);
    let optimal = queue_attribute(device, "optimal_io_size").unwrap_or(0) / u64::from(block_size);
    let facts = Facts {
        physical_block_size: if physical.is_power_of_two() { physical } else { block_size },
        cache,
        polling,
        // The kernel's hole in a block device is zeroes with their space given back: it takes both abilities.
        punch_hole: !options.read_only && write_zeroes && discard,
        discard: !options.read_only && !write_zeroes && discard,
        write_zeroes,
        rotational: queue_attribute(device, "rotational") == Some(1),
        optimal_blocks: u32::try_from(optimal).unwrap_or(0),
    };
    Ok(Opened { fd: Some(fd), num_blocks, data_block_size: block_size, facts })
}

pub(super) fn whole_blocks(path: &Path, bytes: u64, block_size: u32) -> Result<u64, CreateError> {
    let (blocks, tail) = (bytes / u64::from(block_size), bytes % u64::from(block_size));
    if blocks == 0 {
        let problem = format!("{} has {bytes} bytes, less than one block of {block_size}", path.display());
        return Err(CreateError::parameter("filename", problem));
    }
    if tail != 0 {
        tracing::warn!("{}: the last {tail} bytes are less than a block of {block_size} and not used", path.display());
    }
    create::check_capacity(blocks, block_size)?;
    Ok(blocks)
}

/// Punches a hole behind the end, where there is nothing to lose: only whether that is refused is of interest.
fn can_punch_holes(fd: BorrowedFd<'_>, stat: &Stat, bytes: u64) -> bool {
    let unit = u64::try_from(stat.st_blksize).unwrap_or(4096).max(4096);
    let Some(behind) = bytes.checked_next_multiple_of(unit).filter(|&at| at <= i64::MAX as u64 - unit) else {
        return false;
    };
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(fd, flags, behind, unit).is_ok()
}

/// A number that the kernel shows of a block device's queue; partitions have their disk's.
pub(super) fn queue_attribute(device: u64, attribute: &str) -> Option<u64> {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let text = ["", "../"]
        .iter()
        .find_map(|up| fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/{up}queue/{attribute}")).ok())?;
    text.trim().parse().ok()
}

/// Whether a device is made of others, as those of dm and md are.
pub(super) fn stands_on_others(device: u64) -> bool {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let slaves = |up| fs::read_dir(format!("/sys/dev/block/{major}:{minor}/{up}slaves")).ok();
    ["", "../"].into_iter().find_map(slaves).is_some_and(|mut slaves| slaves.next().is_some())
}

/// The system's refusal as an error about the file.
pub(super) fn failed(path: &Path, problem: &str) -> impl FnOnce(Errno) -> CreateError {
    let (path, problem) = (path.to_owned(), problem.to_owned());
    move |errno| CreateError::File { path, problem, source: io::Error::from(errno) }
}
