//! Operations, their completions and their errors.

use mem::IoBuf;

/// What to do with a range of blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// Fills the data buffer from the device.
    Read,
    /// Writes the data buffer. With `fua` it is on stable media before it is done (SBC-4 FUA bit).
    Write {
        /// Force unit access.
        fua: bool,
    },
    /// Makes every write that was done before durable; the range is advisory (SBC-4 SYNCHRONIZE CACHE).
    Flush,
    /// The range's content is no longer needed; reads return zeroes afterwards where `Info::unmap_zeroes` says so.
    Unmap,
    /// The range reads as zeroes afterwards; with `unmap` its space may be given back.
    WriteZeroes {
        /// Space may be deallocated.
        unmap: bool,
        /// Force unit access.
        fua: bool,
    },
    /// Fills the data buffer with LBA status descriptors (SBC-4: LBA in 8 bytes, number of blocks in 4, provisioning status
    /// in 1, 3 reserved; big-endian), from `lba` on, as many as fit and at least one. A descriptor of 0 blocks ends the list.
    /// The data is a multiple of 16 bytes long, whatever `blocks` says.
    LbaStatus,
    /// A SCSI command for a device that is one itself ([`crate::Info::passthrough`]). The data buffer ends with the
    /// command's record, see [`crate::passthrough`]; `lba` and `blocks` are 0.
    Scsi {
        /// Which way the rest of the data buffer moves.
        direction: Direction,
    },
}

/// Which way data moves, seen from the initiator of the operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// There is none.
    None,
    /// From the device (SAM: data-in).
    In,
    /// To the device (SAM: data-out).
    Out,
}

/// One operation on a channel.
#[derive(Debug)]
pub struct BlockIo {
    /// What to do.
    pub op: Op,
    /// First block.
    pub lba: u64,
    /// Number of blocks; for `Flush` 0 means all.
    pub blocks: u64,
    /// The data of `Read` and `Write`: exactly `blocks * block_size` bytes. `LbaStatus` and `Scsi` say themselves what they
    /// want. `None` for the others.
    pub data: Option<IoBuf>,
    /// Chosen by the submitter, comes back unchanged in [`Done`].
    pub tag: u64,
}

/// One finished operation.
#[derive(Debug)]
pub struct Done {
    /// The submitter's tag.
    pub tag: u64,
    /// The buffer that was moved in.
    pub data: Option<IoBuf>,
    /// How it ended.
    pub result: Result<(), IoError>,
}

/// Why an operation failed; each maps to one sense in `lib/scsi`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IoError {
    /// The range ends past the device (SBC-4: LOGICAL BLOCK ADDRESS OUT OF RANGE).
    #[error("block address out of range")]
    OutOfRange,
    /// The device is read-only.
    #[error("device is write protected")]
    WriteProtected,
    /// The file system or pool beneath is full.
    #[error("no space left beneath the device")]
    NoSpace,
    /// The medium cannot deliver or take the data.
    #[error("medium error")]
    Medium,
    /// The device is gone.
    #[error("device is gone")]
    Gone,
    /// The device does not know this operation.
    #[error("operation not supported by the device")]
    Unsupported,
    /// Anything else the system reported.
    #[error("I/O error")]
    Failed,
}
