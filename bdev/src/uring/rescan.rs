//! The file beneath while the device lives: missing at first, grown, replaced by another, gone and back.
//!
//! ```text
//!             create                      rescan: it is there             rescan: another is there
//!   missing ◄────────(wait_for_file)          │                               │
//!      └───────────────────────────────────► open ──► (gone: ENODEV …) ──► Replacement ─► install ─► finish
//!                                             └── rescan: another size, or alive again ──► open
//! ```
//!
//! Channels that are open keep the file they were opened on. So whoever calls [`rescan`] and is given a [`Replacement`] keeps
//! operations off the device, installs it, opens every channel anew, and then finishes; the old file is closed and
//! unlocked with its last channel. Nothing is noticed by itself: asking a file's size once a second would hang the control
//! thread on a dead NFS server.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fd::AsFd;
use rustix::fs::{FileType, SeekFrom, Stat};
use rustix::io::Errno;

use super::direct::{Cache, DIRECT_ALIGN_MAX};
use super::helper::Helper;
use super::open::{self, Facts, Opened};
use super::{Allocate, BackingFile, Product, UringOptions, status};
use crate::bdev::{Bdev, Info, Kind};
use crate::create::CreateError;
use crate::io::IoError;

/// The file of a device, which may be missing and may be exchanged.
#[derive(Debug)]
pub(crate) struct Backing {
    options: UringOptions,
    /// Locked when a channel is opened, by the control thread, and where an operation failed.
    file: Mutex<Option<Arc<BackingFile>>>,
    gone_ops: AtomicU64,
}

/// Another file that was found in the place of a device's own: opened, locked and examined.
#[derive(Debug)]
pub struct Replacement {
    file: Arc<BackingFile>,
    num_blocks: u64,
    /// Kept so that the last reference goes here: closing a large file that has no name any more takes its time.
    old: Option<Arc<BackingFile>>,
}

/// Looks at a device's file again (SPDK: `bdev_uring_rescan`, `bdev_aio_rescan`). If it is the same one, the device has its
/// present size at once, and is ready again if it was not. If there is another, it is returned, for the caller to exchange.
/// May take a few seconds when another process has the file locked.
///
/// # Errors
/// [`CreateError`] names what is wrong; the device keeps the file and the size that it has. A file is refused that would
/// contradict what initiators were told of the device.
pub fn rescan(bdev: &Bdev) -> Result<Option<Replacement>, CreateError> {
    let backing = backing(bdev)?;
    look(bdev, backing, &backing.filename())
}

/// As [`rescan()`], of a file that may have another name: a disc in a drive is an image file, and the next disc another one.
///
/// # Errors
/// As for [`rescan()`].
pub fn change_file(bdev: &Bdev, filename: &Path) -> Result<Option<Replacement>, CreateError> {
    look(bdev, backing(bdev)?, filename)
}

fn look(bdev: &Bdev, backing: &Backing, filename: &Path) -> Result<Option<Replacement>, CreateError> {
    if let Some(file) = backing.file() {
        match file.is_at(filename) {
            Ok(true) => {
                let bytes = file.bytes().map_err(open::failed(filename, "does not tell its size"))?;
                let num_blocks = open::whole_blocks(filename, bytes, bdev.info().block_size)?;
                bdev.set_num_blocks(num_blocks);
                bdev.set_ready(true);
                return Ok(None);
            }
            Ok(false) => {}
            Err(errno) => {
                if file.is_dead() {
                    bdev.set_ready(false);
                }
                return Err(open::failed(filename, "cannot be examined")(errno));
            }
        }
    }
    let again = UringOptions {
        filename: filename.to_owned(),
        block_size: Some(bdev.info().data_block_size()),
        // Whatever its size is, it is taken; and none is made.
        size: None,
        wait_for_file: true,
        ..backing.options.clone()
    };
    let helper = Helper::start(&bdev.info().name).map_err(|source| CreateError::Thread { source })?;
    let Opened { fd, num_blocks, data_block_size, facts } = open::open(&again)?;
    let Some(fd) = fd else { return Err(open::failed(filename, "does not exist")(Errno::NOENT)) };
    check_facts(bdev.info(), filename, &facts, status::finds_holes(&fd))?;
    let engine = bdev.info().engine.unwrap_or_default();
    let block_size = again.stored(data_block_size);
    let file = Arc::new(BackingFile::new(&again, fd, block_size, &facts, engine, helper));
    Ok(Some(Replacement { file, num_blocks, old: None }))
}

impl Replacement {
    /// Channels that are opened from now on are opened on the new file. Until [`Replacement::finish`] the device has the size
    /// of the old one.
    pub fn install(&mut self, bdev: &Bdev) {
        if let Kind::Uring(backing) = &bdev.kind {
            self.old = backing.lock().replace(Arc::clone(&self.file));
        }
    }

    /// No channel is left that was opened before: the device has the new file's size, and is ready; the old file is closed here.
    pub fn finish(self, bdev: &Bdev) {
        bdev.set_num_blocks(self.num_blocks);
        bdev.set_ready(true);
    }
}

/// Gives a device's file another size, in bytes, on the disk before anybody is told. Ours: SPDK leaves that to other tools.
///
/// # Errors
/// [`CreateError`] names what is wrong; a smaller size is refused without `allow_shrink`, as it cuts data off. The caller sees
/// to it that nobody uses the device then.
pub fn resize(bdev: &Bdev, size: u64, allow_shrink: bool) -> Result<(), CreateError> {
    let backing = backing(bdev)?;
    let path = &backing.filename();
    let block_size = bdev.info().block_size;
    let Some(file) = backing.file() else { return Err(open::failed(path, "does not exist")(Errno::NOENT)) };
    if file.block_device {
        let problem =
            format!("{} is a block device: give it another size with its own tools, and rescan", path.display());
        return Err(CreateError::parameter("name", problem));
    }
    if bdev.info().read_only {
        let problem = format!("bdev {} was made read-only, so its file cannot grow", bdev.info().name);
        return Err(CreateError::parameter("name", problem));
    }
    open::check_size_option(Some(size), block_size)?;
    let bytes = file.bytes().map_err(open::failed(path, "does not tell its size"))?;
    let num_blocks = size / u64::from(block_size);
    if size >= bytes {
        open::set_file_size(file.fd.as_fd(), path, bytes, size, backing.options.allocate)?;
        bdev.set_num_blocks(num_blocks);
        return Ok(());
    }
    if !allow_shrink {
        let problem = format!(
            "{size} is less than the {bytes} bytes of {}: what lies behind is lost; allow it with allow_shrink",
            path.display()
        );
        return Err(CreateError::parameter("size", problem));
    }
    let before = bdev.num_blocks();
    bdev.set_num_blocks(num_blocks);
    open::set_file_size(file.fd.as_fd(), path, bytes, size, Allocate::Sparse)
        .inspect_err(|_| bdev.set_num_blocks(before))
}

/// What the file is; or, if it is missing and may be, what can be said without it.
pub(super) fn open_or_wait(options: &UringOptions) -> Result<Opened, CreateError> {
    match open::open(options) {
        Err(CreateError::File { problem, source, .. }) if options.wait_for_file && is_missing(&source) => {
            let opened = without_file(options)?;
            tracing::warn!(
                "bdev {}: {}: {problem} ({source}): its unit is not ready until {} finds the file",
                options.name,
                options.filename.display(),
                options.product.rescan_method()
            );
            Ok(opened)
        }
        outcome => outcome,
    }
}

/// No file, or no disk behind the device node.
fn is_missing(error: &std::io::Error) -> bool {
    let missing = [Errno::NOENT, Errno::NOTDIR, Errno::NXIO, Errno::NODEV, Errno::NOMEDIUM, Errno::STALE];
    error.raw_os_error().is_some_and(|errno| missing.contains(&Errno::from_raw_os_error(errno)))
}

/// The least that any file can do, as facts cannot change later: no unmap, buffers as aligned as any file wants.
fn without_file(options: &UringOptions) -> Result<Opened, CreateError> {
    let Some(data_block_size) = options.block_size else {
        let problem = format!("{} does not exist and so does not tell it: give it", options.filename.display());
        return Err(CreateError::parameter("block_size", problem));
    };
    let block_size = options.stored(data_block_size);
    open::check_size_option(options.size, block_size)?;
    let facts = Facts {
        physical_block_size: data_block_size,
        cache: Cache::Direct { buf_align: DIRECT_ALIGN_MAX },
        polling: None,
        punch_hole: false,
        discard: false,
        write_zeroes: false,
        rotational: false,
        optimal_blocks: 0,
    };
    let num_blocks = options.size.unwrap_or(0) / u64::from(block_size);
    let facts = open::told_facts(facts, options, data_block_size, num_blocks)?;
    Ok(Opened { fd: None, num_blocks, data_block_size, facts })
}

/// What initiators and channels count on has to stay true. The rest (physical blocks, optimal lengths) is advice.
fn check_facts(info: &Info, path: &Path, found: &Facts, finds_holes: bool) -> Result<(), CreateError> {
    let path = path.display();
    if found.cache.buf_align() > info.buf_align {
        let problem = format!(
            "{path} needs buffers aligned to {} bytes, and bdev {} was made for {}: delete the bdev and create it anew",
            found.cache.buf_align(),
            info.name,
            info.buf_align
        );
        return Err(CreateError::parameter("filename", problem));
    }
    if info.lba_status && !finds_holes {
        let problem = format!(
            "{path} does not tell its holes, which initiators were told of bdev {}: delete the bdev and create it anew",
            info.name
        );
        return Err(CreateError::parameter("filename", problem));
    }
    if info.unmap && !(found.punch_hole || found.discard && !info.unmap_zeroes) {
        let problem = format!(
            "{path} cannot unmap blocks, which initiators were told of bdev {}: delete the bdev and create it anew",
            info.name
        );
        return Err(CreateError::parameter("filename", problem));
    }
    Ok(())
}

fn backing(bdev: &Bdev) -> Result<&Backing, CreateError> {
    match &bdev.kind {
        Kind::Uring(backing) => Ok(backing),
        _ => {
            let info = bdev.info();
            let problem = format!("bdev {} is a {}, which has no file", info.name, info.product_name);
            Err(CreateError::parameter("name", problem))
        }
    }
}

impl Backing {
    pub(super) fn new(options: UringOptions, file: Option<BackingFile>) -> Backing {
        Backing { options, file: Mutex::new(file.map(Arc::new)), gone_ops: AtomicU64::new(0) }
    }

    /// Where the file is, or is waited for.
    pub(crate) fn filename(&self) -> PathBuf {
        self.file().map_or_else(|| self.options.filename.clone(), |file| file.path.clone())
    }

    /// What channels are opened on now; `None`: it is missing.
    pub(crate) fn file(&self) -> Option<Arc<BackingFile>> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<BackingFile>>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn file_mut(&mut self) -> Option<&mut Arc<BackingFile>> {
        self.file.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut()
    }

    /// Operations that failed because the device is gone or its file is missing.
    pub(crate) fn gone_ops(&self) -> u64 {
        self.gone_ops.load(Ordering::Relaxed)
    }

    /// What an operation's error means. A block device that was taken out fails with all sorts of errors and never comes back, so
    /// it is told from one whose link is down for a while: `dead` is called, and the log says so if that is news.
    #[cold]
    pub(crate) fn diagnose(&self, error: IoError, dead: impl FnOnce() -> bool) -> IoError {
        let doubtful = matches!(error, IoError::Gone | IoError::Medium | IoError::NoSpace | IoError::Failed);
        let is_dead = doubtful && self.file().is_some_and(|file| file.block_device && file.is_dead());
        if !is_dead && error != IoError::Gone {
            return error;
        }
        self.gone_ops.fetch_add(1, Ordering::Relaxed);
        if is_dead && dead() {
            tracing::error!(
                "bdev {}: {} is gone: its commands fail until it is back and {} has found it",
                self.options.name,
                self.filename().display(),
                self.options.product.rescan_method()
            );
        }
        IoError::Gone
    }
}

impl BackingFile {
    /// Whether a name leads to it.
    fn is_at(&self, path: &Path) -> Result<bool, Errno> {
        let named = rustix::fs::stat(path)?;
        let Ok(own) = rustix::fs::fstat(&self.fd) else { return Ok(false) };
        Ok(same_file(&named, &own) && !self.is_dead())
    }

    /// Size in bytes.
    fn bytes(&self) -> Result<u64, Errno> {
        if self.block_device {
            return rustix::fs::seek(&self.fd, SeekFrom::End(0));
        }
        Ok(u64::try_from(rustix::fs::fstat(&self.fd)?.st_size).unwrap_or(0))
    }

    /// The kernel sets the size of a disk that was taken out to 0; the file of a dead mount tells nothing.
    fn is_dead(&self) -> bool {
        match self.bytes() {
            Ok(bytes) => self.block_device && bytes == 0,
            Err(_) => true,
        }
    }
}

fn same_file(a: &Stat, b: &Stat) -> bool {
    let (is_a, is_b) = (FileType::from_raw_mode(a.st_mode), FileType::from_raw_mode(b.st_mode));
    match is_a {
        FileType::BlockDevice => is_b == is_a && a.st_rdev == b.st_rdev,
        _ => is_b == is_a && (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
    }
}

impl Product {
    fn rescan_method(self) -> &'static str {
        match self {
            Product::Uring => "bdev_uring_rescan",
            Product::Aio => "bdev_aio_rescan",
        }
    }
}

#[cfg(test)]
#[path = "rescan_tests.rs"]
mod tests;
