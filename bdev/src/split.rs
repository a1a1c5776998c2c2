//! Parts of a device, side by side: an operation on a part goes to the same place further up in the device beneath.
//!
//! A part keeps its place and size while it lives, also where the device beneath grows. No operation leaves its part: the
//! channel checks every range against the part, and the channel beneath against the whole.

use std::sync::Arc;

use reactor::WakeSources;

use crate::bdev::{Bdev, Kind};
use crate::channel::{ChannelError, ChannelOptions, Finished};
use crate::create::CreateError;
use crate::io::{BlockIo, Op};
use crate::wrapper::{self, BaseChannel};

/// [`crate::Info::product_name`] of these devices.
pub const PRODUCT: &str = "Split Disk";

/// Most parts of one device.
pub const SPLIT_COUNT_MAX: u32 = 1024;

/// Parameters of [`create()`], with the names of SPDK's `bdev_split_create`.
#[derive(Clone, Copy, Default, Debug)]
pub struct SplitOptions {
    /// Number of parts.
    pub split_count: u32,
    /// Size of each in MiB; `None` or 0: as large as can be, in whole physical blocks.
    pub split_size_mb: Option<u64>,
    /// Size of each in blocks, in place of `split_size_mb`. What is to find its data again names a size: without one, parts
    /// of a device that has grown would begin elsewhere.
    pub split_size_blocks: Option<u64>,
}

/// Makes parts of a device, named `<device>p0` and so on. What is behind the last one stays unused.
///
/// # Errors
/// [`CreateError::Parameter`] names the parameter that is out of range: so many parts of that size must fit.
pub fn create(base: &Arc<Bdev>, options: SplitOptions) -> Result<Vec<Arc<Bdev>>, CreateError> {
    if base.info().passthrough.is_some() {
        let problem = format!("{} is a SCSI device that takes its own commands: it has no parts", base.info().name);
        return Err(CreateError::parameter("base_bdev", problem));
    }
    let blocks = blocks_each(base, options)?;
    let part = |n: u32| {
        let info = wrapper::info(base, "base_bdev", format!("{}p{n}", base.info().name), PRODUCT, None)?;
        let split = Split { base: Arc::clone(base), offset_blocks: u64::from(n) * blocks };
        Ok(Bdev::new(info, blocks, Kind::Split(split)))
    };
    (0..options.split_count).map(part).collect()
}

/// The size of each part, of which so many fit.
fn blocks_each(base: &Bdev, options: SplitOptions) -> Result<u64, CreateError> {
    let (count, info) = (options.split_count, base.info());
    if !(1..=SPLIT_COUNT_MAX).contains(&count) {
        let problem = format!("{count} parts cannot be made: 1 to {SPLIT_COUNT_MAX} can");
        return Err(CreateError::parameter("split_count", problem));
    }
    // Block sizes without metadata divide a MiB.
    let blocks_of_mb = (1 << 20) / u64::from(info.data_block_size());
    let (parameter, blocks) = match (options.split_size_mb.filter(|&size| size != 0), options.split_size_blocks) {
        (None, None) => return largest(base, count),
        (Some(size_mb), None) => ("split_size_mb", size_mb.checked_mul(blocks_of_mb)),
        (None, Some(blocks)) => ("split_size_blocks", Some(blocks)),
        (Some(_), Some(_)) => {
            return Err(CreateError::parameter("split_size_blocks", "split_size_mb is given, too: leave one out"));
        }
    };
    let fits =
        |&blocks: &u64| blocks > 0 && blocks.checked_mul(count.into()).is_some_and(|all| all <= base.num_blocks());
    blocks.filter(fits).ok_or_else(|| {
        let (have, have_mb) = (base.num_blocks(), base.num_blocks() / blocks_of_mb);
        let problem = format!("{count} parts of that size do not fit: {} has {have} blocks, {have_mb} MiB", info.name);
        CreateError::parameter(parameter, problem)
    })
}

fn largest(base: &Bdev, count: u32) -> Result<u64, CreateError> {
    let info = base.info();
    let physical_blocks = u64::from(info.physical_block_size / info.block_size);
    let blocks = base.num_blocks() / u64::from(count) / physical_blocks * physical_blocks;
    if blocks == 0 {
        let problem = format!("{} has only {} blocks: make fewer parts", info.name, base.num_blocks());
        return Err(CreateError::parameter("split_count", problem));
    }
    Ok(blocks)
}

/// Where a part begins in the device beneath, in blocks; `None` for devices of other kinds.
pub fn offset_blocks(bdev: &Bdev) -> Option<u64> {
    match &bdev.kind {
        Kind::Split(split) => Some(split.offset_blocks),
        _ => None,
    }
}

/// What the cores share.
#[derive(Debug)]
pub(crate) struct Split {
    pub(crate) base: Arc<Bdev>,
    offset_blocks: u64,
}

/// A core's part.
#[derive(Debug)]
pub(crate) struct SplitChannel {
    base: BaseChannel<()>,
    offset_blocks: u64,
    num_blocks: u64,
}

impl SplitChannel {
    pub(crate) fn open(
        split: &Split,
        num_blocks: u64,
        options: ChannelOptions<'_>,
    ) -> Result<SplitChannel, ChannelError> {
        let base = BaseChannel::open(&split.base, options)?;
        Ok(SplitChannel { base, offset_blocks: split.offset_blocks, num_blocks })
    }

    /// Does an operation whose range is checked.
    #[inline]
    pub(crate) fn start(&mut self, io: BlockIo, submitted_ns: u64, now_ns: u64) {
        self.base.start(io, self.offset_blocks, submitted_ns, now_ns, ());
    }

    pub(crate) fn poll(&mut self, now_ns: u64, mut finish: impl FnMut(Finished)) {
        let (offset_blocks, num_blocks) = (self.offset_blocks, self.num_blocks);
        self.base.poll(now_ns, |mut finished, ()| {
            if finished.io.op == Op::LbaStatus
                && finished.result.is_ok()
                && let Some(data) = &mut finished.io.data
            {
                translate(data.bytes_mut(), offset_blocks, num_blocks);
            }
            finish(finished);
        });
    }

    /// See [`crate::Channel::wake_sources`].
    pub(crate) fn wake_sources<'a>(&'a self, sources: &mut WakeSources<'a>) {
        self.base.wake_sources(sources);
    }
}

/// Makes LBA status descriptors of the device beneath into the part's: moved, and cut off where the part ends.
fn translate(descriptors: &mut [u8], offset_blocks: u64, num_blocks: u64) {
    let mut ended = false;
    for descriptor in descriptors.chunks_exact_mut(16) {
        let [l0, l1, l2, l3, l4, l5, l6, l7, b0, b1, b2, b3, ..] = *descriptor else { return };
        let beneath = u64::from_be_bytes([l0, l1, l2, l3, l4, l5, l6, l7]);
        let blocks = u32::from_be_bytes([b0, b1, b2, b3]);
        // What would begin before the part begins with it.
        let first = beneath.max(offset_blocks) - offset_blocks;
        let end = beneath.saturating_add(u64::from(blocks)).saturating_sub(offset_blocks).min(num_blocks);
        ended |= end <= first;
        if ended {
            descriptor.fill(0);
            continue;
        }
        descriptor[..8].copy_from_slice(&first.to_be_bytes());
        // No longer than it was, so it fits.
        descriptor[8..12].copy_from_slice(&((end - first) as u32).to_be_bytes());
    }
}

#[cfg(test)]
#[path = "split/tests.rs"]
mod tests;
