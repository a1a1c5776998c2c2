//! A device without a medium: reads give zeroes, writes are dropped. It measures everything above it.
//!
//! SPDK's null bdev leaves a read's buffer as it is. Ours fills it with zeroes: the buffer may last have held another
//! initiator's data, which must never be shown. That costs what clearing memory costs, some 30 ns for 4 KiB.
//!
//! With the option `pattern` it checks everything above it as well: see [`pattern`].

pub mod pattern;

use std::sync::Arc;

use uuid::Uuid;

use self::pattern::Pattern;
use crate::bdev::{Bdev, Info, Kind};
use crate::create::{self, CreateError};
use crate::io::{BlockIo, Op};
use crate::metadata::{Metadata, stored_block_size};

/// Parameters of [`create()`], with the names of SPDK's `bdev_null_create`.
#[derive(Clone, Debug)]
pub struct NullOptions {
    /// Name of the new device.
    pub name: String,
    /// Number of logical blocks.
    pub num_blocks: u64,
    /// Bytes of data per logical block: 512, 1024, 2048 or 4096.
    pub block_size: u32,
    /// What each block has behind its data; not with `pattern`.
    pub metadata: Option<Metadata>,
    /// Bytes of data per physical block; `None`: `block_size`.
    pub physical_block_size: Option<u32>,
    /// Identity; `None`: derived from this machine's id and the name.
    pub uuid: Option<Uuid>,
    /// Blocks hold a pattern, which reads give and writes are compared with (see [`pattern`]). Ours, not SPDK's.
    pub pattern: bool,
}

impl Default for NullOptions {
    /// 512-byte blocks; the name and the size are still to be given.
    fn default() -> NullOptions {
        NullOptions {
            name: String::new(),
            num_blocks: 0,
            block_size: 512,
            metadata: None,
            physical_block_size: None,
            uuid: None,
            pattern: false,
        }
    }
}

/// Makes a null device.
///
/// # Errors
/// [`CreateError::Parameter`] names the parameter that is out of range.
pub fn create(options: NullOptions) -> Result<Arc<Bdev>, CreateError> {
    const PRODUCT: &str = "Null disk";
    create::check_name(&options.name)?;
    create::check_block_size(options.block_size)?;
    Metadata::check(options.metadata)?;
    if options.pattern && options.metadata.is_some() {
        return Err(CreateError::parameter("md_size", "pattern fills whole blocks: leave one of them out"));
    }
    let block_size = stored_block_size(options.block_size, options.metadata);
    create::check_capacity(options.num_blocks, block_size)?;
    let physical_block_size = create::physical_block_size(options.physical_block_size, options.block_size)?;
    let uuid = options.uuid.unwrap_or_else(|| create::derive_uuid(PRODUCT, &options.name, None));
    let info = Info {
        physical_block_size: physical_block_size / options.block_size * block_size,
        unmap: !options.pattern,
        unmap_zeroes: !options.pattern,
        write_zeroes: !options.pattern,
        ..Info::disk_with(options.name, uuid, PRODUCT, options.block_size, options.metadata)
    };
    let kind = match options.pattern {
        true => Kind::Pattern(Arc::new(Pattern::new(&info.name, info.block_size, uuid))),
        false => Kind::Null,
    };
    Ok(Bdev::new(info, options.num_blocks, kind))
}

/// Gives a null device another number of blocks (SPDK: `bdev_null_resize`). It has nothing to lose, but initiators have: as in
/// SPDK it does not shrink.
///
/// # Errors
/// [`CreateError::Parameter`] names the parameter that is out of range, or `name` for another kind of device.
pub fn resize(bdev: &Bdev, num_blocks: u64) -> Result<(), CreateError> {
    let info = bdev.info();
    if !matches!(bdev.kind, Kind::Null) {
        let problem = format!("bdev {} is a {}, not a Null disk", info.name, info.product_name);
        return Err(CreateError::parameter("name", problem));
    }
    if num_blocks < bdev.num_blocks() {
        let problem = format!("{num_blocks} blocks are fewer than the {} that it has", bdev.num_blocks());
        return Err(CreateError::parameter("new_size", problem));
    }
    create::check_capacity(num_blocks, info.block_size)?;
    bdev.set_num_blocks(num_blocks);
    Ok(())
}

/// Does an operation whose range is checked.
#[inline]
pub(crate) fn execute(io: &mut BlockIo) {
    match io.op {
        Op::Read => {
            if let Some(data) = &mut io.data {
                data.bytes_mut().fill(0);
            }
        }
        Op::Write { .. } | Op::Flush | Op::Unmap | Op::WriteZeroes { .. } | Op::LbaStatus | Op::Scsi { .. } => {}
    }
}
