//! What is fixed about a unit.

use super::options::{DeviceType, UnitError, UnitOptions};
use crate::cd;
use crate::limits::{
    BLOCK_BYTES_MAX, BLOCK_BYTES_MIN, BUFFER_ALIGN, PROTECTION_BYTES_MAX, TRANSFER_BYTES_MIN, UNMAP_BYTES_MAX,
    WRITE_SAME_BYTES_MAX,
};

/// What the commands need to know of the device; copied so that the data path reads one place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Facts {
    /// How its commands go.
    pub(crate) way: Way,
    /// Bytes of data in a block: what initiators take for its size.
    pub(crate) block_size: u32,
    /// Bytes that the device moves for a block: with its metadata, if it has any.
    pub(crate) stored_block_size: u32,
    /// Logical blocks per physical block, as a power of two.
    pub(crate) physical_exponent: u8,
    pub(crate) write_cache: bool,
    pub(crate) read_only: bool,
    pub(crate) unmap: bool,
    pub(crate) unmap_zeroes: bool,
    pub(crate) lba_status: bool,
    pub(crate) rotational: bool,
    pub(crate) removable: bool,
    pub(crate) optimal_blocks: u32,
    /// Most blocks that the device writes all or not at all; 0: it makes no promise.
    pub(crate) atomic_blocks: u32,
    /// Percentage of the space beneath in use that initiators are told of, if they are to be.
    pub(crate) threshold_percent: Option<u8>,
    /// Multiple of [`BUFFER_ALIGN`], so that a scratch part can follow the data.
    pub(crate) transfer_bytes_max: u32,
}

/// How the commands of a unit go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// Blocks are what initiators see of them.
    Plain,
    /// Blocks have metadata (`protection.rs`).
    Protected,
    /// Its device is a SCSI device itself (`through.rs`).
    Through,
}

impl Facts {
    pub(super) fn new(options: &UnitOptions) -> Result<Facts, UnitError> {
        let info = options.bdev.info();
        if !(BLOCK_BYTES_MIN..=BLOCK_BYTES_MAX).contains(&info.block_size) {
            return Err(UnitError::BlockSize(info.block_size));
        }
        if info.buf_align > BUFFER_ALIGN {
            return Err(UnitError::BufferAlign(info.buf_align));
        }
        let is_cd = options.device_type == DeviceType::CdRom;
        if is_cd && info.block_size != cd::BLOCK_BYTES {
            return Err(UnitError::CdBlockSize(info.block_size));
        }
        if options.transfer_bytes_max < TRANSFER_BYTES_MIN {
            return Err(UnitError::TransferBytes(options.transfer_bytes_max));
        }
        let (way, most) = match (&info.passthrough, info.metadata) {
            (Some(_), _) => (Way::Through, u32::MAX),
            (None, None) => (Way::Plain, u32::MAX),
            (None, Some(metadata)) => {
                let blocks = PROTECTION_BYTES_MAX as u32 / metadata.bytes;
                (Way::Protected, blocks * info.data_block_size())
            }
        };
        Ok(Facts {
            way,
            block_size: info.data_block_size(),
            stored_block_size: info.block_size,
            physical_exponent: physical_exponent(info.block_size, info.physical_block_size),
            write_cache: info.write_cache && !is_cd,
            read_only: options.read_only || is_cd,
            unmap: info.unmap && !is_cd,
            unmap_zeroes: info.unmap && info.unmap_zeroes && !is_cd,
            lba_status: info.lba_status,
            rotational: info.rotational,
            removable: info.removable || is_cd,
            optimal_blocks: info.optimal_blocks,
            atomic_blocks: info.atomic_blocks,
            threshold_percent: info.thin_threshold_percent,
            transfer_bytes_max: options.transfer_bytes_max.min(most) / BUFFER_ALIGN as u32 * BUFFER_ALIGN as u32,
        })
    }

    /// Most blocks of one READ, WRITE or compared VERIFY.
    #[inline]
    pub(crate) fn transfer_blocks_max(&self) -> u32 {
        self.transfer_bytes_max / self.block_size
    }

    /// Most blocks of one WRITE ATOMIC, whose length has 16 bits.
    pub(crate) fn atomic_blocks_max(&self) -> u32 {
        self.atomic_blocks.min(self.transfer_blocks_max()).min(u32::from(u16::MAX))
    }

    /// Most blocks of one WRITE SAME.
    pub(crate) fn write_same_blocks_max(&self) -> u64 {
        WRITE_SAME_BYTES_MAX / u64::from(self.block_size)
    }

    /// Most blocks of one UNMAP.
    pub(crate) fn unmap_blocks_max(&self) -> u32 {
        u32::try_from(UNMAP_BYTES_MAX / u64::from(self.block_size)).unwrap_or(u32::MAX)
    }

    /// Logical blocks per physical block.
    pub(crate) fn physical_blocks(&self) -> u32 {
        1 << self.physical_exponent
    }
}

/// The exponent of the ratio, 0 where the physical size is unknown or no power-of-two multiple; four bits on the wire.
pub(super) fn physical_exponent(block_size: u32, physical_block_size: u32) -> u8 {
    let ratio = physical_block_size / block_size;
    match ratio.is_power_of_two() && ratio * block_size == physical_block_size {
        true => ratio.trailing_zeros().min(15) as u8,
        false => 0,
    }
}
