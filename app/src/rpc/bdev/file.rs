//! `bdev_uring_*`, `bdev_aio_*`: files and block devices.

use std::path::PathBuf;

use bdev::uring::{self, Allocate, Engine, UringOptions};
use rpc::{Errno, RpcError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::metadata::MetadataParams;
use super::{add_delete, check_new, create_error, enter};
use crate::appliance::Appliance;
use crate::rpc::{Methods, refuse};

pub(super) fn add(methods: &mut Methods) {
    methods.add("bdev_uring_create", "Makes a bdev of a file or block device", create_uring);
    methods.add("bdev_aio_create", "Makes a bdev of a file or block device, as bdev_uring_create does", create_aio);
    add_delete(methods, "bdev_uring_delete", "Deletes a bdev made by bdev_uring_create; the file stays", "URING bdev");
    add_delete(methods, "bdev_aio_delete", "Deletes a bdev made by bdev_aio_create; the file stays", "AIO disk");
}

/// SPDK's parameters, and ours, which have SCST's names where it has them; see [`UringOptions`] for what they do. What was
/// given is what is saved.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CreateFile {
    /// The file or block device.
    filename: PathBuf,
    /// Name of the bdev.
    name: String,
    /// Bytes of data of a block: 512, 1024, 2048 or 4096; left out: 512 for a file, the logical block size of a device.
    #[serde(skip_serializing_if = "Option::is_none")]
    block_size: Option<i64>,
    /// Identity; left out: one that follows from the name, the same at each start.
    #[serde(skip_serializing_if = "Option::is_none")]
    uuid: Option<Uuid>,
    /// Bytes of the file: it is made that large if it is missing or empty; any other must be exactly that large.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    /// `sparse` or `full`.
    #[serde(skip_serializing_if = "Option::is_none")]
    allocate: Option<String>,
    /// Whether UNMAP gives space back; left out: where the file can.
    #[serde(skip_serializing_if = "Option::is_none")]
    thin_provisioned: Option<bool>,
    /// Initiators are warned when so much of the space beneath is used, 1 to 99.
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold_percent: Option<i64>,
    /// Whether it can only be read.
    #[serde(default)]
    readonly: bool,
    /// Every write is on stable media before it is done.
    #[serde(default)]
    write_through: bool,
    /// All caches beneath survive a loss of power: nothing is flushed (SCST: NV_CACHE).
    #[serde(default)]
    nv_cache: bool,
    /// True: O_DIRECT or an error; false: the page cache; left out: O_DIRECT where it works.
    #[serde(skip_serializing_if = "Option::is_none")]
    direct: Option<bool>,
    /// `auto`, `uring` or `aio`.
    #[serde(skip_serializing_if = "Option::is_none")]
    engine: Option<String>,
    /// Small reads and writes are polled for in the device; it needs poll queues.
    #[serde(default)]
    iopoll: bool,
    /// Bytes of a physical block; left out: as the file system or device says.
    #[serde(skip_serializing_if = "Option::is_none")]
    physical_block_size: Option<i64>,
    /// Transfers of a multiple of so many blocks are fastest; left out: as the device says.
    #[serde(skip_serializing_if = "Option::is_none")]
    optimal_blocks: Option<i64>,
    /// Whether seeking costs time; left out: as the system says.
    #[serde(skip_serializing_if = "Option::is_none")]
    rotational: Option<bool>,
    /// Whether initiators are told that the medium can be taken out.
    #[serde(default)]
    removable: bool,
    /// A file that is missing will come: until then the unit is not ready.
    #[serde(default)]
    wait_for_file: bool,
    /// Bytes of metadata behind each block: 0 or 8.
    #[serde(skip_serializing_if = "Option::is_none")]
    md_size: Option<u32>,
    /// True: metadata stand behind the data of their block, which is the one way there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    md_interleave: Option<bool>,
    /// Type of protection information (T10): 0, 1 or 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    dif_type: Option<u32>,
    /// Where in the metadata protection information stands, which fills them.
    #[serde(skip_serializing_if = "Option::is_none")]
    dif_is_head_of_md: Option<bool>,
    /// 0: a guard of 16 bits, the one format there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    dif_pi_format: Option<u32>,
    /// Of `bdev_aio_create` only: unmap and write zeroes by fallocate, which we always do.
    #[serde(skip_serializing)]
    fallocate: Option<bool>,
    /// Of `bdev_aio_create` only.
    #[serde(skip_serializing)]
    nowait: Option<bool>,
}

fn create_uring(appliance: &mut Appliance, params: CreateFile) -> Result<String, RpcError> {
    refuse("fallocate", params.fallocate.is_some())?;
    refuse("nowait", params.nowait.is_some())?;
    create_file(appliance, params, uring::Product::Uring, "bdev_uring_create")
}

fn create_aio(appliance: &mut Appliance, params: CreateFile) -> Result<String, RpcError> {
    refuse("nowait", params.nowait == Some(true))?;
    create_file(appliance, params, uring::Product::Aio, "bdev_aio_create")
}

fn create_file(
    appliance: &mut Appliance,
    params: CreateFile,
    product: uring::Product,
    method: &'static str,
) -> Result<String, RpcError> {
    check_new(appliance, &params.name)?;
    let bdev = uring::create(options(&params, product)?).map_err(create_error)?;
    // What was chosen or derived here stays as it is, also where another version would choose otherwise.
    let info = bdev.info();
    // But from now on the file has to be there: one that is missing at the next start must not be made anew, and empty.
    let size = params.size.filter(|_| !bdev.is_ready());
    let block_size = Some(i64::from(info.data_block_size()));
    let params = CreateFile { block_size, uuid: Some(info.uuid), size, ..params };
    let recipe = serde_json::to_value(params).map_err(|error| RpcError::errno(Errno::IO, error.to_string()))?;
    enter(appliance, bdev, method, recipe)
}

fn options(params: &CreateFile, product: uring::Product) -> Result<UringOptions, RpcError> {
    let allocate = match params.allocate.as_deref() {
        None | Some("sparse") => Allocate::Sparse,
        Some("full") => Allocate::Full,
        Some(other) => return Err(RpcError::invalid_params(format!("allocate: {other:?} is neither sparse nor full"))),
    };
    let engine = match params.engine.as_deref() {
        None | Some("auto") => Engine::Auto,
        Some("uring") => Engine::Uring,
        Some("aio") => Engine::Aio,
        Some(other) => {
            return Err(RpcError::invalid_params(format!("engine: {other:?} is none of auto, uring and aio")));
        }
    };
    let metadata = MetadataParams {
        md_size: params.md_size,
        md_interleave: params.md_interleave,
        dif_type: params.dif_type,
        dif_is_head_of_md: params.dif_is_head_of_md,
        dif_pi_format: params.dif_pi_format,
    };
    Ok(UringOptions {
        name: params.name.clone(),
        filename: params.filename.clone(),
        block_size: number("block_size", params.block_size)?,
        metadata: metadata.parse()?,
        uuid: params.uuid,
        size: params.size,
        allocate,
        thin_provisioned: params.thin_provisioned,
        threshold_percent: number("threshold_percent", params.threshold_percent)?,
        read_only: params.readonly,
        write_through: params.write_through,
        nv_cache: params.nv_cache,
        direct: params.direct,
        engine,
        iopoll: params.iopoll,
        physical_block_size: number("physical_block_size", params.physical_block_size)?,
        optimal_blocks: number("optimal_blocks", params.optimal_blocks)?,
        rotational: params.rotational,
        removable: params.removable,
        wait_for_file: params.wait_for_file,
        product,
    })
}

/// A number that must not be cut off; what is in its range is for the device to say.
fn number<T: TryFrom<i64>>(parameter: &str, value: Option<i64>) -> Result<Option<T>, RpcError> {
    let narrow = |value| {
        T::try_from(value).map_err(|_| RpcError::invalid_params(format!("{parameter}: {value} is out of range")))
    };
    value.map(narrow).transpose()
}
