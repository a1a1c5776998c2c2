//! A file or a block device, reached through io_uring or Linux AIO: SPDK's `bdev_uring` and `bdev_aio` in one.
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
//! - **Engine.** io_uring, or Linux AIO where the system refuses it; a thread of the file does what the engine cannot do
//!   without blocking.
//!
//! Reading order: this file, `options.rs`, `open.rs`, `direct.rs`, `lock.rs`, `rescan.rs` (another file
//! while the device lives), `operation.rs`, `engine.rs`, `regions.rs`, `polling.rs`,
//! `ring.rs`, `aio.rs` and `aio/context.rs`, `helper.rs` (these four have the `unsafe`), `status.rs`, `discard.rs`.

mod aio;
mod direct;
mod discard;
mod engine;
mod helper;
pub(crate) mod lock;
mod open;
mod operation;
mod options;
mod polling;
mod regions;
mod rescan;
mod ring;
mod status;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fd::OwnedFd;
use rustix::fs::FileType;

use self::direct::{Cache, DIRECT_ALIGN_MAX};
pub use self::engine::Engine;
pub(crate) use self::engine::FileChannel;
use self::helper::Helper;
use self::open::{Facts, Opened};
use self::operation::Abilities;
#[cfg(feature = "rbd")]
pub(crate) use self::operation::io_error;
pub use self::options::{Allocate, Product, UringOptions};
use self::polling::Polling;
pub(crate) use self::rescan::Backing;
pub use self::rescan::{Replacement, change_file, rescan, resize};
pub(crate) use self::ring::set_up;
use crate::bdev::{Bdev, Info, Kind, Space};
use crate::create::{self, CreateError};

/// What all channels share: the open file and what it can do.
#[derive(Debug)]
pub(crate) struct BackingFile {
    /// Name of the device, for the log.
    name: String,
    path: PathBuf,
    fd: Arc<OwnedFd>,
    block_device: bool,
    /// `Unmap` is BLKDISCARD.
    discards: bool,
    abilities: Abilities,
    zeroes: Zeroes,
    /// What is polled for, see [`UringOptions::iopoll`].
    polling: Option<Polling>,
    unregistered_told: AtomicBool,
    engine: Engine,
    helper: Helper,
}

/// Opens, locks and examines a file or block device. May take a few seconds when another process still has it locked.
///
/// # Errors
/// [`CreateError`] names the parameter and what to do; a file that was made here is removed again.
pub fn create(options: UringOptions) -> Result<Arc<Bdev>, CreateError> {
    options.check()?;
    let options = options.settled();
    let engine = engine::choose(options.engine, &options.name, ring::probe, aio::probe)?;
    let helper = Helper::start(&options.name).map_err(|source| CreateError::Thread { source })?;
    let Opened { fd, num_blocks, data_block_size, facts } = rescan::open_or_wait(&options)?;
    let block_size = options.stored(data_block_size);
    let product_name = options.product.name();
    let uuid = options.uuid.unwrap_or_else(|| {
        // A file that may be missing has the name that was given only, and the identity must not hang on whether it is there.
        let path = options.filename.canonicalize().ok().filter(|_| !options.wait_for_file);
        let path = path.unwrap_or_else(|| options.filename.clone());
        create::derive_uuid(product_name, &options.name, Some(&path))
    });
    engine::warn_if_slow(engine, &options.name, facts.cache);
    let info = Info {
        physical_block_size: facts.physical_block_size / data_block_size * block_size,
        thin_threshold_percent: options.threshold_percent,
        removable: options.removable,
        write_cache: !options.write_through && !options.nv_cache && !options.read_only,
        read_only: options.read_only,
        unmap: facts.punch_hole || facts.discard,
        unmap_zeroes: facts.punch_hole,
        write_zeroes: facts.write_zeroes,
        rotational: facts.rotational,
        buf_align: facts.cache.buf_align(),
        optimal_blocks: facts.optimal_blocks,
        filename: Some(options.filename.clone()),
        // Without holes of ours the device is a fully provisioned one, all of which is mapped (SBC-4, 4.7).
        lba_status: facts.punch_hole && fd.as_ref().is_some_and(status::finds_holes),
        engine: Some(engine),
        ..Info::disk_with(options.name.clone(), uuid, product_name, data_block_size, options.metadata)
    };
    if options.nv_cache {
        tracing::warn!(
            "bdev {}: nv_cache: nothing is flushed. Unless every cache below it, this machine's memory included, keeps its \
             content without power, a power failure loses data that initiators believe to be safe",
            options.name
        );
    }
    let file = fd.map(|fd| BackingFile::new(&options, fd, block_size, &facts, engine, helper));
    let ready = file.is_some();
    let bdev = Bdev::new(info, num_blocks, Kind::Uring(Backing::new(options, file)));
    bdev.set_ready(ready);
    Ok(bdev)
}

impl BackingFile {
    fn new(
        options: &UringOptions,
        fd: OwnedFd,
        block_size: u32,
        facts: &Facts,
        engine: Engine,
        helper: Helper,
    ) -> BackingFile {
        let block_device =
            rustix::fs::fstat(&fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::BlockDevice);
        let fd = Arc::new(fd);
        let abilities = Abilities::new(block_size, options.write_through, facts.punch_hole)
            .with_caches(facts.cache == Cache::Pages, options.nv_cache);
        BackingFile {
            name: options.name.clone(),
            path: options.filename.clone(),
            fd: Arc::clone(&fd),
            block_device,
            discards: facts.discard,
            abilities,
            zeroes: Zeroes::new(),
            polling: facts.polling,
            unregistered_told: AtomicBool::new(false),
            engine,
            helper: helper.serve(fd),
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
