//! `bdev_uring_*`, `bdev_aio_*`: files and block devices.

use std::path::PathBuf;

use bdev::uring;
use rpc::RpcError;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::{add_delete, check_new, create_error, enter};
use crate::appliance::Appliance;
use crate::rpc::{Methods, refuse};

pub(super) fn add(methods: &mut Methods) {
    methods.add("bdev_uring_create", create_uring);
    methods.add("bdev_aio_create", create_aio);
    add_delete(methods, "bdev_uring_delete", "URING bdev");
    add_delete(methods, "bdev_aio_delete", "AIO disk");
}

/// SPDK's parameters, and ours: `size` makes the file, `readonly`, `write_through`, `direct`, `wait_for_file`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateUring {
    filename: PathBuf,
    name: String,
    block_size: Option<u32>,
    uuid: Option<Uuid>,
    size: Option<u64>,
    #[serde(default)]
    readonly: bool,
    #[serde(default)]
    write_through: bool,
    direct: Option<bool>,
    #[serde(default)]
    wait_for_file: bool,
}

fn create_uring(appliance: &mut Appliance, params: CreateUring) -> Result<String, RpcError> {
    create_file(appliance, params, uring::Product::Uring, "bdev_uring_create")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateAio {
    filename: PathBuf,
    name: String,
    block_size: Option<u32>,
    uuid: Option<Uuid>,
    size: Option<u64>,
    #[serde(default)]
    readonly: bool,
    #[serde(default)]
    write_through: bool,
    direct: Option<bool>,
    #[serde(default)]
    wait_for_file: bool,
    /// Unmap and write zeroes by fallocate: we always do.
    #[serde(rename = "fallocate")]
    _fallocate: Option<bool>,
    nowait: Option<bool>,
}

fn create_aio(appliance: &mut Appliance, params: CreateAio) -> Result<String, RpcError> {
    refuse("nowait", params.nowait == Some(true))?;
    let CreateAio { filename, name, block_size, uuid, size, readonly, write_through, direct, wait_for_file, .. } =
        params;
    let params = CreateUring { filename, name, block_size, uuid, size, readonly, write_through, direct, wait_for_file };
    create_file(appliance, params, uring::Product::Aio, "bdev_aio_create")
}

fn create_file(
    appliance: &mut Appliance,
    params: CreateUring,
    product: uring::Product,
    method: &'static str,
) -> Result<String, RpcError> {
    check_new(appliance, &params.name)?;
    let bdev = uring::create(uring::UringOptions {
        name: params.name,
        filename: params.filename.clone(),
        block_size: params.block_size,
        uuid: params.uuid,
        size: params.size,
        read_only: params.readonly,
        write_through: params.write_through,
        direct: params.direct,
        wait_for_file: params.wait_for_file,
        product,
    });
    let bdev = bdev.map_err(create_error)?;
    let mut recipe = json!({"name": bdev.info().name, "filename": params.filename, "block_size": bdev.info().block_size,
        "uuid": bdev.info().uuid, "readonly": params.readonly, "write_through": params.write_through});
    if let Some(size) = params.size {
        recipe["size"] = size.into();
    }
    if let Some(direct) = params.direct {
        recipe["direct"] = direct.into();
    }
    if params.wait_for_file {
        recipe["wait_for_file"] = true.into();
    }
    enter(appliance, bdev, method, recipe)
}
