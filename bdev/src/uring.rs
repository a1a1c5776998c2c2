//! A file or a block device, reached through io_uring: SPDK's `bdev_uring` and `bdev_aio` in one.
//!
//! ```text
//!   create (control thread)            each channel (one core)
//!   ┌──────────────────────────┐       ┌─────────────────────────────────────────────┐
//!   │ BackingFile: fd and lock,│◄──Arc─┤ Ring: an io_uring, a slot per operation     │
//!   │ what it can do           │       │   Operation: what to ask next, sans-IO      │
//!   └──────────────────────────┘       └─────────────────────────────────────────────┘
//! ```
//!
//! - **Durability.** Writes may stay in the page cache or the drive's cache until a `Flush` (fdatasync, which covers all
//!   channels); a write with FUA carries RWF_DSYNC. With `write_through` every write does, and no flush is needed.
//!   A flush that failed once fails for ever after: the kernel reports a lost write to one caller only, and forgets it.
//!   With `nv_cache` all of this is left out: the administrator says that nothing is lost with the power.
//! - **A full file system** gives `NoSpace`. Nothing is lost by that, but for one case: data in the page cache that finds no
//!   space when it is written out. A flush tells it, and counts as failed.
//! - **O_DIRECT** is used where the file takes it with the block size chosen, else the page cache; the log says which.
//! - **One owner.** A file is locked (flock), a block device opened exclusively. The lock goes with the last reference to
//!   the open file, and rings hold one: after a crash a successor gets it only when the last write in the kernel is done.
//!
//! Reading order: this file, `options.rs`, `open.rs`, `direct.rs`, `lock.rs`, `operation.rs`, `regions.rs`,
//! `polling.rs`, `ring.rs` (the only one with `unsafe`).

mod direct;
mod lock;
mod open;
mod operation;
mod options;
mod polling;
mod regions;
mod ring;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fd::OwnedFd;
use rustix::fs::FileType;

use self::direct::{Cache, DIRECT_ALIGN_MAX};
use self::open::{Facts, Opened};
use self::operation::Abilities;
pub(crate) use self::operation::Operation;
pub use self::options::{Allocate, Product, UringOptions};
use self::polling::Polling;
pub(crate) use self::ring::Ring;
use crate::bdev::{Bdev, Info, Kind, Space};
use crate::create::{self, CreateError};

/// What all channels share: the open file and what it can do.
#[derive(Debug)]
pub(crate) struct BackingFile {
    /// Name of the device, for the log.
    name: String,
    path: PathBuf,
    fd: OwnedFd,
    abilities: Abilities,
    zeroes: Zeroes,
    /// What is polled for, see [`UringOptions::iopoll`].
    polling: Option<Polling>,
    unregistered_told: AtomicBool,
}

/// Opens, locks and examines a file or block device. May take a few seconds when another process still has it locked.
///
/// # Errors
/// [`CreateError`] names the parameter and what to do; a file that was made here is removed again.
pub fn create(options: UringOptions) -> Result<Arc<Bdev>, CreateError> {
    options.check()?;
    ring::probe().map_err(|source| CreateError::Ring { source })?;
    let opened = open::open(&options)?;
    let product_name = options.product.name();
    let uuid = options.uuid.unwrap_or_else(|| {
        let path = options.filename.canonicalize().unwrap_or_else(|_| options.filename.clone());
        create::derive_uuid(product_name, &options.name, Some(&path))
    });
    let Opened { fd, num_blocks, block_size, facts } = opened;
    let info = Info {
        physical_block_size: facts.physical_block_size,
        thin_threshold_percent: options.threshold_percent,
        removable: options.removable,
        write_cache: !options.write_through && !options.nv_cache && !options.read_only,
        read_only: options.read_only,
        unmap: facts.punch_hole,
        unmap_zeroes: facts.punch_hole,
        write_zeroes: facts.write_zeroes,
        rotational: facts.rotational,
        buf_align: facts.cache.buf_align(),
        optimal_blocks: facts.optimal_blocks,
        filename: Some(options.filename.clone()),
        ..Info::disk(options.name.clone(), uuid, product_name, block_size)
    };
    if options.nv_cache {
        tracing::warn!(
            "bdev {}: nv_cache: nothing is flushed. Unless every cache below it, this machine's memory included, keeps its \
             content without power, a power failure loses data that initiators believe to be safe",
            options.name
        );
    }
    let file = BackingFile::new(options, fd, block_size, &facts);
    Ok(Bdev::new(info, num_blocks, Kind::Uring(Arc::new(file))))
}

impl BackingFile {
    fn new(options: UringOptions, fd: OwnedFd, block_size: u32, facts: &Facts) -> BackingFile {
        let abilities = Abilities::new(block_size, options.write_through, facts.punch_hole)
            .with_caches(facts.cache == Cache::Pages, options.nv_cache);
        BackingFile {
            name: options.name,
            path: options.filename,
            fd,
            abilities,
            zeroes: Zeroes::new(),
            polling: facts.polling,
            unregistered_told: AtomicBool::new(false),
        }
    }

    /// Once: every core would say the same.
    fn log_unregistered(&self, error: &io::Error) {
        if !self.unregistered_told.swap(true, Ordering::Relaxed) {
            tracing::info!(
                "bdev {}: no buffers are registered with the kernel for it: {error}. Its operations take a little more time",
                self.name
            );
        }
    }

    /// As df(1) counts: space that is kept for the superuser is neither total nor free.
    pub(crate) fn space(&self) -> Option<Space> {
        let stat = rustix::fs::fstat(&self.fd).ok()?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return None;
        }
        let system = rustix::fs::fstatvfs(&self.fd).ok()?;
        let used_blocks = system.f_blocks.saturating_sub(system.f_bfree);
        let bytes = |blocks: u64| blocks.saturating_mul(system.f_frsize);
        Some(Space {
            total_bytes: bytes(used_blocks.saturating_add(system.f_bavail)),
            free_bytes: bytes(system.f_bavail),
            allocated_bytes: u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512),
        })
    }
}

/// Zeroes to write where the file system cannot zero a range by itself; aligned for O_DIRECT.
#[derive(Debug)]
struct Zeroes {
    memory: Box<[u8]>,
    start: usize,
}

impl Zeroes {
    /// Most zeroes in one write: a multiple of every block size.
    const LEN: usize = 1 << 20;

    fn new() -> Zeroes {
        let memory = vec![0; Zeroes::LEN + DIRECT_ALIGN_MAX].into_boxed_slice();
        let start = memory.as_ptr().align_offset(DIRECT_ALIGN_MAX);
        Zeroes { memory, start }
    }

    fn bytes(&self) -> &[u8] {
        &self.memory[self.start..][..Zeroes::LEN]
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod options_tests;

#[cfg(test)]
mod full_tests;
