//! An image of a Ceph cluster, through librbd: SPDK's `bdev_rbd`. Feature `rbd`; the libraries (Debian:
//! librbd1) are loaded when the first cluster is connected, so nothing is needed to build it or to start without them.
//!
//! ```text
//!   create (control thread)                  each channel (one core)
//!   Cluster: a connection ◄──Arc── Image ◄──Arc──┐ slots with the operations under way
//!                                                │ a lock-free queue ◄── callbacks on librbd's threads
//! ```
//!
//! - **One image, many cores.** All channels share one open image, so its exclusive lock stays with this process; a
//!   channel polls its own queue and makes no system call of its own.
//! - **Durability.** librbd caches writes unless `rbd_cache` is off, so the device says that it has a volatile cache; a write
//!   with FUA is followed by a flush, which covers the whole image.
//! - **Waiting.** Connecting and resizing ask the monitors and block the control thread, for [`PATIENCE_S`] seconds at most
//!   unless the configuration sets `client_mount_timeout`. What the storage daemons do not answer stays in flight, as with
//!   any disk that hangs; initiators abort it.
//!
//! Reading order: this file, `channel.rs`, `librbd.rs` (the C side).

mod channel;
mod librbd;

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::bdev::{Bdev, Info, Kind};
use crate::create::{self, CreateError};

pub(crate) use self::channel::RbdChannel;
pub use self::librbd::Cluster;
pub(crate) use self::librbd::Image;

/// How long a request to the monitors may take, in seconds, unless the configuration says otherwise.
pub const PATIENCE_S: u32 = 10;

/// How to reach a cluster; the parameters of SPDK's `bdev_rbd_register_cluster`.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ClusterOptions {
    /// Ceph user, without `client.`; `None`: `admin`.
    pub user_id: Option<String>,
    /// Configuration file; `None`: where Ceph looks for it ($CEPH_CONF, /etc/ceph/ceph.conf, …).
    pub config_file: Option<String>,
    /// Keyring file; `None`: where the configuration says.
    pub key_file: Option<String>,
    /// Configuration options by name, set after the file was read.
    pub config: BTreeMap<String, String>,
}

/// Parameters of [`create()`], with the names of SPDK's `bdev_rbd_create`.
#[derive(Clone, Default, Debug)]
pub struct RbdOptions {
    /// Name of the new device.
    pub name: String,
    /// Pool of the image.
    pub pool_name: String,
    /// Namespace within the pool; `None`: the default one.
    pub namespace_name: Option<String>,
    /// Name of the image.
    pub rbd_name: String,
    /// Bytes per logical block: 512, 1024, 2048 or 4096.
    pub block_size: u32,
    /// Identity; `None`: derived from this machine's id, the name and the image's.
    pub uuid: Option<Uuid>,
}

/// Opens an image of a connected cluster.
///
/// # Errors
/// [`CreateError::Parameter`] names the parameter: the pool or the image is not there, or does not fit the block size.
pub fn create(options: RbdOptions, cluster: &Arc<Cluster>) -> Result<Arc<Bdev>, CreateError> {
    const PRODUCT: &str = "Ceph Rbd Disk";
    create::check_name(&options.name)?;
    create::check_block_size(options.block_size)?;
    let image =
        Image::open(cluster, &options.pool_name, options.namespace_name.as_deref().unwrap_or(""), &options.rbd_name)?;
    let num_blocks = num_blocks(image.size().map_err(image_refuses)?, options.block_size)?;
    let path =
        format!("{}/{}/{}", options.pool_name, options.namespace_name.as_deref().unwrap_or(""), options.rbd_name);
    let uuid = options.uuid.unwrap_or_else(|| create::derive_uuid(PRODUCT, &options.name, Some(path.as_ref())));
    let info = Info {
        write_cache: cluster.caches_writes(),
        unmap: true,
        write_zeroes: true,
        optimal_blocks: u32::try_from(image.object_bytes() / u64::from(options.block_size)).unwrap_or(0),
        ..Info::disk(options.name, uuid, PRODUCT, options.block_size)
    };
    Ok(Bdev::new(info, num_blocks, Kind::Rbd(Arc::new(image))))
}

/// Gives the image another size, in bytes (SPDK's `bdev_rbd_resize`, which counts MiB). The caller tells the initiators.
///
/// # Errors
/// [`CreateError::Parameter`]: the device is no image, or the cluster refuses.
pub fn resize(bdev: &Bdev, new_size: u64) -> Result<(), CreateError> {
    let Kind::Rbd(image) = &bdev.kind else {
        return Err(CreateError::parameter("name", format!("{} is no image of a Ceph cluster", bdev.info().name)));
    };
    let num_blocks = num_blocks(new_size, bdev.info().block_size)
        .map_err(|error| CreateError::parameter("new_size", error.to_string()))?;
    // Whoever sees the smaller size first must not use what goes, and whoever sees the larger one must find it there.
    let shrinks = num_blocks < bdev.num_blocks();
    let before = bdev.num_blocks();
    if shrinks {
        bdev.set_num_blocks(num_blocks);
    }
    if let Err(error) = image.resize(new_size) {
        bdev.set_num_blocks(before);
        return Err(CreateError::parameter("new_size", format!("the cluster refuses: {error}")));
    }
    bdev.set_num_blocks(num_blocks);
    Ok(())
}

fn num_blocks(bytes: u64, block_size: u32) -> Result<u64, CreateError> {
    if bytes == 0 || !bytes.is_multiple_of(u64::from(block_size)) {
        let problem = format!("the image has {bytes} bytes, which are no whole number of blocks of {block_size}");
        return Err(CreateError::parameter("block_size", problem));
    }
    create::check_capacity(bytes / u64::from(block_size), block_size)?;
    Ok(bytes / u64::from(block_size))
}

fn image_refuses(error: std::io::Error) -> CreateError {
    CreateError::parameter("rbd_name", format!("the image does not tell its size: {error}"))
}
