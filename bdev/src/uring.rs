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
//! - **O_DIRECT** is used where the file takes it with the block size chosen, else the page cache; the log says which.
//! - **One owner.** A file is locked (flock), a block device opened exclusively. The lock goes with the last reference to
//!   the open file, and rings hold one: after a crash a successor gets it only when the last write in the kernel is done.
//!
//! Reading order: this file, `open.rs`, `lock.rs`, `operation.rs`, `ring.rs` (the only one with `unsafe`).

pub(crate) mod lock;
mod open;
mod operation;
mod ring;

use std::path::PathBuf;
use std::sync::Arc;

use rustix::fd::OwnedFd;
use uuid::Uuid;

use self::open::Opened;
use self::operation::Abilities;
pub(crate) use self::operation::Operation;
pub(crate) use self::ring::{Ring, set_up};
use crate::bdev::{Bdev, Info, Kind};
use crate::create::{self, CreateError};

/// Parameters of [`create()`].
#[derive(Clone, Debug, Default)]
pub struct UringOptions {
    /// Name of the new device.
    pub name: String,
    /// The file or block device.
    pub filename: PathBuf,
    /// Bytes per logical block: 512, 1024, 2048 or 4096. `None`: 512 for a file, the logical block size of a device.
    pub block_size: Option<u32>,
    /// Identity; `None`: derived from this machine's id, the name and the file's path.
    pub uuid: Option<Uuid>,
    /// The file's size in bytes, a multiple of the block size. A file that does not exist or is empty is made that large
    /// (sparse); any other must be exactly that large. `None`: the file exists, whatever its size.
    pub size: Option<u64>,
    /// Refuses writes; the file is opened for reading only.
    pub read_only: bool,
    /// Every write is on stable media before it is done.
    pub write_through: bool,
    /// `Some(true)`: O_DIRECT or an error; `Some(false)`: the page cache; `None`: O_DIRECT where it works.
    pub direct: Option<bool>,
    /// Under which name users asked for it.
    pub product: Product,
}

/// The two names of this device in SPDK; only [`Info::product_name`] differs.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Product {
    /// `bdev_uring_create`
    #[default]
    Uring,
    /// `bdev_aio_create`
    Aio,
}

impl Product {
    fn name(self) -> &'static str {
        match self {
            Product::Uring => "URING bdev",
            Product::Aio => "AIO disk",
        }
    }
}

/// What all channels share: the open file and what it can do.
#[derive(Debug)]
pub(crate) struct BackingFile {
    /// Name of the device, for the log.
    name: String,
    path: PathBuf,
    fd: OwnedFd,
    abilities: Abilities,
    zeroes: Zeroes,
}

/// Opens, locks and examines a file or block device. May take a few seconds when another process still has it locked.
///
/// # Errors
/// [`CreateError`] names the parameter and what to do; a file that was made here is removed again.
pub fn create(options: UringOptions) -> Result<Arc<Bdev>, CreateError> {
    create::check_name(&options.name)?;
    if let Some(block_size) = options.block_size {
        create::check_block_size(block_size)?;
    }
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
        write_cache: !options.write_through && !options.read_only,
        read_only: options.read_only,
        unmap: facts.punch_hole,
        unmap_zeroes: facts.punch_hole,
        write_zeroes: facts.write_zeroes,
        rotational: facts.rotational,
        buf_align: facts.buf_align,
        optimal_blocks: facts.optimal_blocks,
        filename: Some(options.filename.clone()),
        ..Info::disk(options.name.clone(), uuid, product_name, block_size)
    };
    let file = BackingFile {
        name: options.name,
        path: options.filename,
        fd,
        abilities: Abilities::new(block_size, options.write_through, facts.punch_hole),
        zeroes: Zeroes::new(),
    };
    Ok(Bdev::new(info, num_blocks, Kind::Uring(Arc::new(file))))
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
        let memory = vec![0; Zeroes::LEN + open::DIRECT_ALIGN_MAX].into_boxed_slice();
        let start = memory.as_ptr().align_offset(open::DIRECT_ALIGN_MAX);
        Zeroes { memory, start }
    }

    fn bytes(&self) -> &[u8] {
        &self.memory[self.start..][..Zeroes::LEN]
    }
}

#[cfg(test)]
mod tests;
