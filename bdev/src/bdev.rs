//! The part of a device that all cores share: its facts, its size, its statistics.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use uuid::Uuid;

use crate::channel::{Channel, ChannelError, ChannelOptions};
use crate::delay::Delay;
use crate::error::Faulty;
use crate::histogram::{HistogramError, HistogramOptions, HistogramSnapshot};
use crate::io::IoError;
use crate::malloc::{self, Memory};
use crate::metadata::{Metadata, stored_block_size};
use crate::null::pattern::Pattern;
use crate::qos::Qos;
use crate::split::Split;
use crate::stats::{ChannelIoStat, IoStatSnapshot, LifetimeStat, ResetMode, StatsBook};
use crate::{passthrough, uring};

/// The facts of a device. They do not change while it lives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Info {
    /// The administrator's name for it, unique in the [`crate::Registry`].
    pub name: String,
    /// Its identity, given or derived (see the options of each kind); the same after a restart.
    pub uuid: Uuid,
    /// What kind of device it is, in SPDK's words: `Null disk`, `Malloc disk`, `URING bdev`, `AIO disk`, `delay`,
    /// `Error Injection Disk`, `Split Disk`.
    pub product_name: &'static str,
    /// Bytes per logical block, its metadata included: the unit of [`crate::BlockIo::lba`] and `blocks`.
    pub block_size: u32,
    /// What of each block is metadata, behind its data; see `metadata.rs`.
    pub metadata: Option<Metadata>,
    /// Bytes that the medium writes at once; a multiple of `block_size` (with metadata: that of as many whole blocks).
    pub physical_block_size: u32,
    /// Whether a finished write may be lost with the power until a `Flush` is done (SBC-4: WCE).
    pub write_cache: bool,
    /// Whether it was made to refuse writes; [`Bdev::is_read_only`] tells how it is now.
    pub read_only: bool,
    /// Whether `Unmap` is supported.
    pub unmap: bool,
    /// Whether unmapped blocks read as zeroes (SBC-4: LBPRZ).
    pub unmap_zeroes: bool,
    /// Whether `WriteZeroes` is done without moving zeroes about. It works either way.
    pub write_zeroes: bool,
    /// Whether seeking costs time.
    pub rotational: bool,
    /// What the address of a data buffer must be a multiple of, in bytes; a power of two.
    pub buf_align: usize,
    /// Transfers of a multiple of this many blocks are fastest; 0: nothing is known.
    pub optimal_blocks: u32,
    /// Most blocks of a write that is done all or not at all, also should the power fail; 0: no such promise. Whether another core can
    /// see half of it is the caller's business.
    pub atomic_blocks: u32,
    /// The file or block device beneath, as it was named.
    pub filename: Option<PathBuf>,
    /// The kernel interface that moves its data, for files and block devices.
    pub engine: Option<uring::Engine>,
    /// Percentage of used space beneath ([`Bdev::space`]) at which initiators are to be warned (SBC-4: thin provisioning
    /// soft threshold), 1 to 99.
    pub thin_threshold_percent: Option<u8>,
    /// Whether the medium can be taken out (SPC-4: RMB).
    pub removable: bool,
    /// Whether `LbaStatus` tells mapped blocks from others. Without it everything counts as mapped, and nobody asks.
    pub lba_status: bool,
    /// Set where the device is a SCSI device itself: it takes `Scsi` and nothing else.
    pub passthrough: Option<passthrough::Facts>,
}

impl Info {
    /// A disk that takes writes, has no cache, and can do nothing beyond reads and writes: devices say what more there is.
    pub(crate) fn disk(name: String, uuid: Uuid, product_name: &'static str, block_size: u32) -> Info {
        Info {
            name,
            uuid,
            product_name,
            block_size,
            metadata: None,
            physical_block_size: block_size,
            write_cache: false,
            read_only: false,
            unmap: false,
            unmap_zeroes: false,
            write_zeroes: false,
            rotational: false,
            buf_align: 1,
            optimal_blocks: 0,
            atomic_blocks: 0,
            filename: None,
            engine: None,
            thin_threshold_percent: None,
            removable: false,
            lba_status: false,
            passthrough: None,
        }
    }

    /// As [`Info::disk`], with metadata behind each block of so many bytes of data.
    pub(crate) fn disk_with(
        name: String,
        uuid: Uuid,
        product_name: &'static str,
        data_block_size: u32,
        metadata: Option<Metadata>,
    ) -> Info {
        let block_size = stored_block_size(data_block_size, metadata);
        Info { metadata, ..Info::disk(name, uuid, product_name, block_size) }
    }

    /// Bytes of data per logical block: what initiators take for its size.
    pub fn data_block_size(&self) -> u32 {
        self.block_size - self.metadata.map_or(0, |metadata| metadata.bytes)
    }

    /// Bytes of data of a physical block.
    pub fn data_physical_block_size(&self) -> u32 {
        self.physical_block_size / self.block_size * self.data_block_size()
    }
}

/// The space beneath a device that takes it only when it is written. All in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Space {
    /// All that this process could use, were everything else of it free.
    pub total_bytes: u64,
    /// What is left.
    pub free_bytes: u64,
    /// What the device itself takes now.
    pub allocated_bytes: u64,
}

/// Why write protection cannot be changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReadOnlyError {
    /// What lies beneath was opened for reading only.
    #[error("read_only: bdev `{0}` was made read-only: delete it and create it without readonly")]
    Made(
        /// Its name.
        String,
    ),
    /// A SCSI device decides itself.
    #[error("name: bdev `{0}` is a SCSI device, whose write protection is its own: set read_only for its LUN instead")]
    Passthrough(
        /// Its name.
        String,
    ),
}

/// A block device, shared by all cores through an `Arc`. What lies beneath is let go of (a file closed and unlocked,
/// memory given back) when the last `Arc` is dropped; each [`Channel`] holds one.
#[derive(Debug)]
pub struct Bdev {
    info: Info,
    num_blocks: AtomicU64,
    read_only: AtomicBool,
    ready: AtomicBool,
    pub(crate) stats: StatsBook,
    pub(crate) qos: Qos,
    pub(crate) kind: Kind,
}

/// The closed set of devices, with what the cores share of each.
#[derive(Debug)]
pub(crate) enum Kind {
    Null,
    Pattern(Arc<Pattern>),
    Malloc(Arc<Memory>),
    Uring(uring::Backing),
    #[cfg(feature = "rbd")]
    Rbd(Arc<crate::rbd::Image>),
    Delay(Delay),
    Error(Faulty),
    Split(Split),
    Passthrough(Arc<passthrough::Device>),
}

impl Bdev {
    pub(crate) fn new(info: Info, num_blocks: u64, kind: Kind) -> Arc<Bdev> {
        debug_assert!(info.buf_align.is_power_of_two() && info.physical_block_size.is_multiple_of(info.block_size));
        let read_only = AtomicBool::new(info.read_only);
        let (num_blocks, ready) = (AtomicU64::new(num_blocks), AtomicBool::new(true));
        let (stats, qos) = (StatsBook::default(), Qos::default());
        Arc::new(Bdev { info, num_blocks, read_only, ready, stats, qos, kind })
    }

    /// The facts.
    pub fn info(&self) -> &Info {
        &self.info
    }

    #[cfg(test)]
    pub(crate) fn info_mut(&mut self) -> &mut Info {
        &mut self.info
    }

    /// Number of logical blocks. A device that shows all of the one beneath is as large as that is now; a part of one keeps
    /// its size.
    #[inline]
    pub fn num_blocks(&self) -> u64 {
        match &self.kind {
            Kind::Delay(Delay { base, .. }) | Kind::Error(Faulty { base, .. }) => base.num_blocks(),
            _ => self.num_blocks.load(Ordering::Relaxed),
        }
    }

    /// Gives it another size. The caller tells the initiators (SBC-4: CAPACITY DATA HAS CHANGED).
    pub(crate) fn set_num_blocks(&self, num_blocks: u64) {
        self.num_blocks.store(num_blocks, Ordering::Relaxed);
    }

    /// Whether writes are refused now: by itself, or by a device that it stands on.
    #[inline]
    pub fn is_read_only(&self) -> bool {
        self.is_write_protected() || self.base().is_some_and(|base| base.is_read_only())
    }

    /// Whether it refuses writes by itself.
    #[inline]
    pub fn is_write_protected(&self) -> bool {
        self.read_only.load(Ordering::Relaxed)
    }

    /// The space beneath: a file's file system. `None` where nobody knows, as for a block device, or where there is no such
    /// thing. A system call that may take long on a network file system: for the control thread.
    pub fn space(&self) -> Option<Space> {
        match &self.kind {
            Kind::Uring(backing) => backing.file()?.space(),
            _ => self.base()?.space(),
        }
    }

    /// The pattern that its blocks hold, for a null device that has one.
    pub fn pattern(&self) -> Option<&Pattern> {
        match &self.kind {
            Kind::Pattern(pattern) => Some(pattern),
            _ => None,
        }
    }

    /// Refuses writes from now on, or takes them again; operations in flight end as they would have. The caller tells the
    /// initiators (SPC-4: MODE PARAMETERS CHANGED).
    ///
    /// # Errors
    /// [`ReadOnlyError`]: it cannot take writes, or its write protection is not ours to change.
    pub fn set_read_only(&self, read_only: bool) -> Result<(), ReadOnlyError> {
        if self.info.passthrough.is_some() {
            return Err(ReadOnlyError::Passthrough(self.info.name.clone()));
        }
        if self.info.read_only && !read_only {
            return Err(ReadOnlyError::Made(self.info.name.clone()));
        }
        self.read_only.store(read_only, Ordering::Relaxed);
        Ok(())
    }

    /// Whether there is a medium: false while a file is missing or a device is gone, beneath a device that it stands on, too.
    #[inline]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed) && self.base().is_none_or(|base| base.is_ready())
    }

    pub(crate) fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// The file beneath, which may be another than at first; `None` for a device that has none of its own.
    pub fn filename(&self) -> Option<PathBuf> {
        match &self.kind {
            Kind::Uring(backing) => Some(backing.filename()),
            _ => self.info.filename.clone(),
        }
    }

    /// Operations that found it gone or without its file, since it was made.
    pub fn num_gone_ops(&self) -> u64 {
        match &self.kind {
            Kind::Uring(backing) => backing.gone_ops(),
            _ => 0,
        }
    }

    /// What an operation's error says about the device as a whole; the error to report.
    #[cold]
    pub(crate) fn diagnose(&self, error: IoError) -> IoError {
        match &self.kind {
            Kind::Uring(backing) => backing.diagnose(error, || self.ready.swap(false, Ordering::Relaxed)),
            _ => error,
        }
    }

    /// What it stands on, for a disk in memory.
    pub fn memory(&self) -> Option<malloc::Placement> {
        match &self.kind {
            Kind::Malloc(memory) => Some(memory.placement()),
            _ => None,
        }
    }

    /// The device that this one is a view of, for those that stand on another.
    #[inline]
    pub fn base(&self) -> Option<&Arc<Bdev>> {
        match &self.kind {
            Kind::Delay(Delay { base, .. }) | Kind::Error(Faulty { base, .. }) => Some(base),
            Kind::Split(Split { base, .. }) => Some(base),
            Kind::Null | Kind::Pattern(_) | Kind::Malloc(_) | Kind::Uring(_) | Kind::Passthrough(_) => None,
            #[cfg(feature = "rbd")]
            Kind::Rbd(_) => None,
        }
    }

    /// Whether it is `name`, or stands on it directly or through others.
    pub fn stands_on(&self, name: &str) -> bool {
        self.info.name == name || self.base().is_some_and(|base| base.stands_on(name))
    }

    /// Opens a channel, on the core that will use it; `depth` is the most operations that will be in flight on it.
    ///
    /// # Errors
    /// [`ChannelError`]: the depth is out of range, or the kernel refuses what the channel needs.
    pub fn open_channel(self: &Arc<Self>, depth: usize) -> Result<Channel, ChannelError> {
        self.open_channel_with(ChannelOptions { depth, regions: &[] })
    }

    /// As [`Bdev::open_channel`], for a core whose buffers lie in these regions: devices that can prepare for them do.
    ///
    /// # Errors
    /// As there.
    pub fn open_channel_with(self: &Arc<Self>, options: ChannelOptions<'_>) -> Result<Channel, ChannelError> {
        Channel::open(self, options)
    }

    /// Resets the SCSI device that it is or stands on (SAM-5 LOGICAL UNIT RESET), and waits until that is done, which may take
    /// many seconds; for any other there is nothing to do.
    ///
    /// # Errors
    /// The system's answer.
    pub fn reset_device(&self) -> std::io::Result<()> {
        match (&self.kind, self.base()) {
            (Kind::Passthrough(device), _) => device.reset(),
            (_, Some(base)) => base.reset_device(),
            (_, None) => Ok(()),
        }
    }

    /// What all channels ever opened have done, from any thread.
    pub fn io_stat(&self) -> IoStatSnapshot {
        self.stats.take(ResetMode::None)
    }

    /// As [`Bdev::io_stat`], whatever was reset, and with all latencies.
    pub fn lifetime_stat(&self) -> LifetimeStat {
        self.stats.lifetime()
    }

    /// As [`Bdev::io_stat`], and resets what `mode` says: what is counted meanwhile is in this reading or in the next.
    pub fn take_io_stat(&self, mode: ResetMode) -> IoStatSnapshot {
        self.stats.take(mode)
    }

    /// As [`Bdev::take_io_stat`], of each open channel alone.
    pub fn take_channel_io_stats(&self, mode: ResetMode) -> Vec<ChannelIoStat> {
        self.stats.take_per_channel(mode)
    }

    /// Has every channel, also those to come, count latencies in a histogram; with the same options as before it goes
    /// on, with others it starts again. Costs a channel its memory (see [`HistogramOptions`]) and a few instructions per
    /// operation.
    ///
    /// # Errors
    /// Names the option that is out of range.
    pub fn enable_histogram(&self, options: HistogramOptions) -> Result<(), HistogramError> {
        options.check()?;
        self.stats.set_histogram(Some(options));
        Ok(())
    }

    /// Ends that, and forgets what was counted.
    pub fn disable_histogram(&self) {
        self.stats.set_histogram(None);
    }

    /// How the histogram was enabled; `None` if it is not.
    pub fn histogram_options(&self) -> Option<HistogramOptions> {
        self.stats.histogram_options()
    }

    /// What the histograms of all channels come to since they were enabled; `None` if they are not.
    pub fn histogram(&self) -> Option<HistogramSnapshot> {
        self.stats.histogram()
    }
}
