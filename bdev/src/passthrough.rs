//! A real SCSI device: commands go through as they are, data, sense and residual come back as they are.
//!
//! ```text
//!   create (control thread)                    each channel (one core)
//!   ┌─────────────────────────────────┐        ┌────────────────────────────────────────────────────┐
//!   │ Device: /dev/sgN for resets and │◄──Arc──┤ ThroughChannel: what waits, and Lanes              │
//!   │ the lock, the block node held   │        │   Lane: one open /dev/sgN, 16 commands             │
//!   └─────────────────────────────────┘        │   Watch: which lanes have answers, without asking  │
//!                                              └────────────────────────────────────────────────────┘
//! ```
//!
//! - **The sg driver's asynchronous interface**: write(2) submits, read(2) fetches what has ended, one open file takes 16
//!   commands. The kernel copies data within these two calls and never touches a buffer outside of them.
//! - **How many at a time**: no more than the device's queue depth over all channels. Beyond that write(2) would wait
//!   for a request of the block layer, and with it a core.
//! - **One owner.** The sg node is locked (flock) against other targets, and the block node of a disk is held exclusively, so
//!   that nobody mounts it meanwhile. A tape or changer has no such node: nobody else must use it.
//! - **A device that vanishes** ends what it had with [`crate::IoError::Gone`]. It stays gone, under whatever name another
//!   device appears: the bdev is to be deleted and made anew.
//!
//! Reading order: this file, `record.rs` (what a command looks like in its buffer), `channel.rs`, `outcome.rs` (what the
//! kernel's verdicts mean), `find.rs` (names), `sg.rs` and `watch.rs` (the two with `unsafe`).

mod channel;
#[cfg(any(test, feature = "test-utils"))]
pub mod fake;
mod find;
mod outcome;
mod record;
mod sg;
mod watch;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use uuid::Uuid;

pub(crate) use self::channel::ThroughChannel;
use self::find::Found;
pub use self::outcome::HostStatus;
pub use self::record::{CDB_BYTES_MAX, Outcome, RECORD_BYTES, Request, SENSE_BYTES_MAX, buffer_bytes};
use crate::bdev::{Bdev, Info, Kind};
use crate::create::{self, CreateError};
use crate::uring::lock;

/// [`Info::product_name`] of these devices.
pub const PRODUCT_NAME: &str = "SCSI device";

/// Most bytes that one command moves, whatever the adapter can do: the largest buffer of the transport.
const TRANSFER_BYTES_MAX: u32 = 1 << 20;

/// Peripheral device types (SPC-4) that have blocks.
const BLOCK_TYPES: [u8; 5] = [0x00, 0x04, 0x05, 0x07, 0x0e];

/// Parameters of [`create()`].
#[derive(Clone, Debug, Default)]
pub struct ScsiOptions {
    /// Name of the new device.
    pub name: String,
    /// The SCSI device: `H:C:I:L` as `lsscsi` prints it, or one of its nodes (`/dev/sg3`, `/dev/sda`, `/dev/sr0`,
    /// `/dev/nst0`, `/dev/sch0`, `/dev/disk/by-id/…`).
    pub device: String,
    /// Identity; `None`: derived from this machine's id, the name and the device's own identity.
    pub uuid: Option<Uuid>,
    /// Lets through only commands that change nothing.
    pub read_only: bool,
}

/// What is known of the device behind.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Facts {
    /// PERIPHERAL DEVICE TYPE (SPC-4): 0 disk, 1 tape, 5 optical, 8 changer, Dh enclosure.
    pub device_type: u8,
    /// Most bytes that one command can move: the adapter's limit, or that of the driver before it.
    pub transfer_bytes_max: u32,
    /// T10 VENDOR IDENTIFICATION.
    pub vendor: String,
    /// PRODUCT IDENTIFICATION.
    pub product: String,
    /// PRODUCT REVISION LEVEL.
    pub revision: String,
    /// Unit serial number (VPD page 80h), if it has one.
    pub serial: Option<String>,
}

impl Facts {
    /// Whether READ and WRITE move blocks by their address (SBC, MMC): such commands can be split.
    pub fn has_blocks(&self) -> bool {
        BLOCK_TYPES.contains(&self.device_type)
    }
}

/// What all channels share.
#[derive(Debug)]
pub(crate) struct Device {
    /// Name of the bdev, for the log.
    name: String,
    source: Source,
    /// Most commands at the device at a time,
    depth: u32,
    /// and how many there are now, from all channels.
    at_device: AtomicU32,
    /// It vanished, and the log says so.
    gone: AtomicBool,
    resetting: AtomicBool,
    /// Bounds what failing commands can have written: the second, since `made`, of the last line.
    logged: AtomicU64,
    made: Instant,
}

#[derive(Debug)]
enum Source {
    Sg {
        /// Open for resets. It also keeps the kernel from giving the node's number to another device.
        control: OwnedFd,
        path: PathBuf,
        /// The block node, held exclusively.
        _held: Option<OwnedFd>,
        lanes: usize,
    },
    #[cfg(any(test, feature = "test-utils"))]
    Fake(fake::FakeDevice),
}

/// Finds, locks and examines a SCSI device.
///
/// # Errors
/// [`CreateError`] names the parameter and what to do.
pub fn create(options: ScsiOptions) -> Result<Arc<Bdev>, CreateError> {
    create::check_name(&options.name)?;
    let found = find::find(Path::new("/sys"), &options.device)?;
    let failed = |problem: &str, errno: Errno| CreateError::Device {
        device: options.device.clone(),
        problem: problem.to_owned(),
        source: errno.into(),
    };
    let path = Path::new("/dev").join(&found.sg);
    let control = open_sg(&path).map_err(|errno| {
        failed(&format!("{} cannot be opened for reading and writing; allow it", path.display()), errno)
    })?;
    lock_node(&control, &path, &options)?;
    let held = match &found.block {
        Some(block) => Some(hold(&Path::new("/dev").join(block), &options)?),
        None => None,
    };
    let driver_max =
        sg::transfer_bytes_max(&control, scatter_element_bytes()).map_err(|source| CreateError::Device {
            device: options.device.clone(),
            problem: format!("{} is no node of the sg driver", path.display()),
            source,
        })?;
    let lanes = lanes(found.queue_depth, &found);
    tracing::info!(
        "bdev {}: {} is {} {} {}, type {:02x}h, through {}, queue depth {}",
        options.name,
        options.device,
        found.vendor,
        found.product,
        found.revision,
        found.device_type,
        path.display(),
        found.queue_depth
    );
    let depth = found.queue_depth;
    Ok(make(&options, &found, driver_max, Source::Sg { control, path, _held: held, lanes }, depth))
}

fn make(options: &ScsiOptions, found: &Found, driver_max: u32, source: Source, depth: u32) -> Arc<Bdev> {
    let uuid = options
        .uuid
        .unwrap_or_else(|| create::derive_uuid(PRODUCT_NAME, &options.name, found.identity.as_ref().map(Path::new)));
    let facts = Facts {
        device_type: found.device_type,
        transfer_bytes_max: driver_max.min(TRANSFER_BYTES_MAX) / 512 * 512,
        vendor: found.vendor.clone(),
        product: found.product.clone(),
        revision: found.revision.clone(),
        serial: found.serial.clone(),
    };
    let info = Info {
        read_only: options.read_only,
        filename: Some(PathBuf::from(&options.device)),
        removable: found.removable,
        passthrough: Some(facts),
        ..Info::disk(options.name.clone(), uuid, PRODUCT_NAME, found.block_size)
    };
    let device = Device {
        name: options.name.clone(),
        source,
        depth: depth.max(1),
        at_device: AtomicU32::new(0),
        gone: AtomicBool::new(false),
        resetting: AtomicBool::new(false),
        logged: AtomicU64::new(u64::MAX),
        made: Instant::now(),
    };
    Bdev::new(info, found.num_blocks, Kind::Passthrough(Arc::new(device)))
}

/// NONBLOCK: neither opening nor read(2) may wait for a device that is being recovered.
fn open_sg(path: &Path) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(path, OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty())
}

/// Against other targets, and other bdevs of this one.
fn lock_node(control: &OwnedFd, path: &Path, options: &ScsiOptions) -> Result<(), CreateError> {
    let device = &options.device;
    let stat = rustix::fs::fstat(control).map_err(|errno| CreateError::Device {
        device: device.clone(),
        problem: "cannot be examined".to_owned(),
        source: errno.into(),
    })?;
    lock::lock(control, &stat, path, false).map_err(|error| match error {
        CreateError::InUse { holder, .. } => in_use(device, &holder),
        CreateError::File { problem, source, .. } => CreateError::Device { device: device.clone(), problem, source },
        other => other,
    })
}

/// The kernel's own claim on a block device: mounts, LVM, md and other targets hold it, too.
fn hold(block: &Path, options: &ScsiOptions) -> Result<OwnedFd, CreateError> {
    let flags = OFlags::RDONLY | OFlags::EXCL | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let outcome = lock::retry(lock::WAIT_MAX, Errno::BUSY, || rustix::fs::open(block, flags, Mode::empty()));
    outcome.map_err(|errno| match errno {
        Errno::BUSY => in_use(&options.device, "a mounted file system, a volume manager or another process"),
        errno => CreateError::Device {
            device: options.device.clone(),
            problem: format!("{} cannot be opened, which is to keep others off it", block.display()),
            source: errno.into(),
        },
    })
}

fn in_use(device: &str, holder: &str) -> CreateError {
    CreateError::Device {
        device: device.to_owned(),
        problem: format!("is in use by {holder}: two owners would destroy each other's data; stop the other first"),
        source: Errno::BUSY.into(),
    }
}

/// What the sg driver cuts its buffers into (its parameter scatter_elem_sz).
fn scatter_element_bytes() -> u32 {
    let text = fs::read_to_string("/sys/module/sg/parameters/scatter_elem_sz").unwrap_or_default();
    text.trim().parse().unwrap_or(32 * 1024)
}

/// How many files a channel opens. Commands of a tape or changer are few, and their order is all that counts.
fn lanes(queue_depth: u32, found: &Found) -> usize {
    const LANES_MAX: usize = 8;
    match BLOCK_TYPES.contains(&found.device_type) {
        true => (queue_depth as usize).div_ceil(sg::LANE_COMMANDS).clamp(1, LANES_MAX),
        false => 1,
    }
}

impl Device {
    /// Opens the files of a channel.
    fn open_lanes(&self) -> io::Result<Vec<sg::Lane>> {
        match &self.source {
            Source::Sg { control, path, lanes, .. } => {
                let control = rustix::fs::fstat(control)?;
                let open = || {
                    let file = open_sg(path)?;
                    // The node could have become another device's.
                    match rustix::fs::fstat(&file)?.st_rdev == control.st_rdev {
                        true => Ok(sg::Lane::new(sg::Port::Sg(file))),
                        false => Err(Errno::NODEV.into()),
                    }
                };
                (0..*lanes).map(|_| open()).collect()
            }
            #[cfg(any(test, feature = "test-utils"))]
            Source::Fake(fake) => Ok(fake.lanes()),
        }
    }

    /// Resets the device, and nothing beside it; waits until that is done.
    ///
    /// # Errors
    /// The system's answer; a reset that is under way already counts as this one.
    pub(crate) fn reset(&self) -> io::Result<()> {
        if self.resetting.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let outcome = match &self.source {
            Source::Sg { control, .. } => sg::reset(control),
            #[cfg(any(test, feature = "test-utils"))]
            Source::Fake(fake) => fake.reset(),
        };
        self.resetting.store(false, Ordering::Release);
        outcome
    }

    /// Room for one more command at the device, if there is any. The count is shared by all cores because write(2) would
    /// make the core wait that brings one too many; beside two system calls it costs nothing.
    fn enter(&self) -> bool {
        let entered = self.at_device.fetch_add(1, Ordering::Relaxed) < self.depth;
        if !entered {
            self.at_device.fetch_sub(1, Ordering::Relaxed);
        }
        entered
    }

    fn leave(&self) {
        self.at_device.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether a line about a failed command may be written: one a second.
    fn may_log(&self) -> bool {
        let now = self.made.elapsed().as_secs();
        self.logged.swap(now, Ordering::Relaxed) != now
    }

    /// Says once that the device is gone.
    #[cold]
    fn is_gone(&self, why: &str) {
        if !self.gone.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "bdev {}: the SCSI device is gone ({why}): its commands fail; delete the bdev and make it anew",
                self.name
            );
        }
    }
}

#[cfg(test)]
mod tests;
