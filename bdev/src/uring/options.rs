//! What an administrator can say about a file or block device.

use std::path::PathBuf;

use uuid::Uuid;

use super::engine::Engine;
use crate::create::{self, CreateError};
use crate::metadata::{Metadata, stored_block_size};

/// Parameters of [`super::create()`].
#[derive(Clone, Debug, Default)]
pub struct UringOptions {
    /// Name of the new device.
    pub name: String,
    /// The file or block device.
    pub filename: PathBuf,
    /// Bytes of data per logical block: 512, 1024, 2048 or 4096. `None`: 512 for a file, the logical block size of a device.
    pub block_size: Option<u32>,
    /// What each block has behind its data, in a regular file. Then the page cache is used, and every write is on stable media before it
    /// is done unless there is an `nv_cache`: `metadata.rs` says why.
    pub metadata: Option<Metadata>,
    /// Identity; `None`: derived from this machine's id, the name and the file's path.
    pub uuid: Option<Uuid>,
    /// The file's size in bytes, a multiple of the block size with its metadata. A file that does not exist or is empty is made that large
    /// (see `allocate`); any other must be exactly that large. `None`: the file exists, whatever its size.
    pub size: Option<u64>,
    /// Whether the file has its space from the start.
    pub allocate: Allocate,
    /// Whether `Unmap` gives space back; `None`: where the file can, and `allocate` is not [`Allocate::Full`].
    pub thin_provisioned: Option<bool>,
    /// Refuses writes; the file is opened for reading only.
    pub read_only: bool,
    /// Every write is on stable media before it is done.
    pub write_through: bool,
    /// All caches below, the kernel's too, survive a loss of power (SCST: `nv_cache`): a `Flush` is done at once, and FUA
    /// says nothing. Then a write that the disk fails later is told to nobody.
    pub nv_cache: bool,
    /// `Some(true)`: O_DIRECT or an error; `Some(false)`: the page cache; `None`: O_DIRECT where it works.
    pub direct: Option<bool>,
    /// Which kernel interface moves the data.
    pub engine: Engine,
    /// Completions of small reads and writes are polled for in the device itself (IORING_SETUP_IOPOLL), or it is an error:
    /// it needs O_DIRECT and a device with poll queues (`nvme.poll_queues`, …). Never without being asked for: it costs a
    /// system call per poll while something is in flight, and kernels had bugs there that leave requests unanswered.
    pub iopoll: bool,
    /// Bytes of data per physical block, a power of two from `block_size` on; `None`: as the file system or device says.
    pub physical_block_size: Option<u32>,
    /// Transfers of a multiple of so many blocks are fastest (SBC-4: OPTIMAL TRANSFER LENGTH), a multiple of the physical
    /// block; 0: nothing is told. `None`: as the device says.
    pub optimal_blocks: Option<u32>,
    /// Whether seeking costs time; `None`: as the system says.
    pub rotational: Option<bool>,
    /// Whether initiators are told that the medium can be taken out (SPC-4: RMB).
    pub removable: bool,
    /// Takes a file that is missing for one that will come: the device is made without it, with the block size given and, if
    /// `size` is given, that size; it is not ready until [`rescan()`](super::rescan()) finds the file. Nothing is ever made then.
    pub wait_for_file: bool,
    /// See [`crate::Info::thin_threshold_percent`]; for files whose device offers `Unmap`.
    pub threshold_percent: Option<u8>,
    /// Under which name users asked for it.
    pub product: Product,
}

/// What a file's space is when it is made.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Allocate {
    /// Each block takes its space when it is written.
    #[default]
    Sparse,
    /// Every block has its space before the device is there, also in a file that exists; `Unmap` is not offered, so writes
    /// find no full file system later.
    Full,
}

/// The two names of this device in SPDK; only [`crate::Info::product_name`] differs.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Product {
    /// `bdev_uring_create`
    #[default]
    Uring,
    /// `bdev_aio_create`
    Aio,
}

impl Product {
    pub(super) fn name(self) -> &'static str {
        match self {
            Product::Uring => "URING bdev",
            Product::Aio => "AIO disk",
        }
    }
}

impl UringOptions {
    /// The same with what follows from others: see [`UringOptions::metadata`].
    pub(super) fn settled(self) -> UringOptions {
        let durable = self.metadata.is_some() && !self.nv_cache;
        UringOptions { write_through: self.write_through || durable, ..self }
    }

    /// Bytes per block in the file, for blocks of so many bytes of data.
    pub(super) fn stored(&self, data_block_size: u32) -> u32 {
        stored_block_size(data_block_size, self.metadata)
    }

    /// What can be said without looking at the file.
    pub(super) fn check(&self) -> Result<(), CreateError> {
        create::check_name(&self.name)?;
        if let Some(block_size) = self.block_size {
            create::check_block_size(block_size)?;
        }
        Metadata::check(self.metadata)?;
        let full = self.allocate == Allocate::Full;
        let thin = self.thin_provisioned == Some(true);
        let contradictions = [
            (
                self.nv_cache && self.write_through,
                "nv_cache",
                "write_through does not trust the cache that nv_cache trusts: set one of them",
            ),
            (full && self.read_only, "allocate", "full: a read-only device takes no space: leave one of them out"),
            (full && thin, "allocate", "full keeps the space that thin_provisioned gives back: set one of them"),
            (
                self.metadata.is_some() && self.direct == Some(true),
                "direct",
                "blocks with metadata are no multiple of a disk's, as O_DIRECT wants: leave direct out, or md_size",
            ),
            (self.iopoll && self.metadata.is_some(), "iopoll", "needs O_DIRECT: leave iopoll out, or md_size"),
            (self.iopoll && self.engine == Engine::Aio, "iopoll", "needs io_uring: leave engine out, or iopoll"),
            (self.iopoll && self.direct == Some(false), "iopoll", "needs O_DIRECT: leave direct out, or iopoll"),
            (
                thin && self.read_only,
                "thin_provisioned",
                "a read-only device gives no space back: leave one of them out",
            ),
            (
                self.threshold_percent.is_some_and(|percent| !(1..=99).contains(&percent)),
                "threshold_percent",
                "is the used space to warn at, from 1 to 99",
            ),
        ];
        match contradictions.iter().find(|(found, ..)| *found) {
            Some((_, parameter, problem)) => Err(CreateError::parameter(parameter, *problem)),
            None => Ok(()),
        }
    }
}
