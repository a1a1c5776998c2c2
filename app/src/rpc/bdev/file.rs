//! `bdev_uring_*`, `bdev_aio_*`: files and block devices.

use std::path::PathBuf;

use bdev::uring::{self, Allocate, Engine, UringOptions};
use rpc::{Errno, RpcError};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::metadata::MetadataParams;
use super::{add_delete, check_new, create_error, enter};
use crate::appliance::Appliance;
use crate::rpc::{Methods, refuse};

pub(super) fn add(methods: &mut Methods) {
    methods.add("bdev_uring_create", create_uring);
    methods.add("bdev_aio_create", create_aio);
    add_delete(methods, "bdev_uring_delete", "URING bdev");
    add_delete(methods, "bdev_aio_delete", "AIO disk");
}

/// SPDK's parameters, and ours, which have SCST's names where it has them; see [`UringOptions`] for what they do. What was
/// given is what is saved.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct CreateFile {
    filename: PathBuf,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    block_size: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uuid: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    /// `sparse` or `full`.
    #[serde(skip_serializing_if = "Option::is_none")]
    allocate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thin_provisioned: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold_percent: Option<i64>,
    #[serde(default)]
    readonly: bool,
    #[serde(default)]
    write_through: bool,
    #[serde(default)]
    nv_cache: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    direct: Option<bool>,
    /// `auto`, `uring` or `aio`.
    #[serde(skip_serializing_if = "Option::is_none")]
    engine: Option<String>,
    #[serde(default)]
    iopoll: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    physical_block_size: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    optimal_blocks: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotational: Option<bool>,
    #[serde(default)]
    removable: bool,
    #[serde(default)]
    wait_for_file: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    md_size: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    md_interleave: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dif_type: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dif_is_head_of_md: Option<bool>,
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
    let params = CreateFile { block_size: Some(i64::from(info.data_block_size())), uuid: Some(info.uuid), ..params };
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
