//! `bdev_*`: devices, with SPDK's names and parameters.

mod file;
mod memory;
mod scsi;
mod statistics;

use std::sync::Arc;

use bdev::{Bdev, CreateError};
use rpc::{Errno, RpcError};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Methods, registry_error};
use crate::appliance::Appliance;

pub(super) fn add(methods: &mut Methods) {
    memory::add(methods);
    file::add(methods);
    scsi::add(methods);
    statistics::add(methods);
    methods.add("bdev_get_bdevs", get_bdevs);
}

fn check_new(appliance: &Appliance, name: &str) -> Result<(), RpcError> {
    match appliance.bdevs.get(name) {
        Some(_) => Err(registry_error(bdev::RegistryError::Exists(name.to_owned()))),
        None => Ok(()),
    }
}

fn enter(appliance: &mut Appliance, bdev: Arc<Bdev>, method: &'static str, recipe: Value) -> Result<String, RpcError> {
    let name = bdev.info().name.clone();
    appliance.bdevs.insert(bdev).map_err(registry_error)?;
    appliance.recipes.insert(name.clone(), (method, recipe));
    Ok(name)
}

fn create_error(error: CreateError) -> RpcError {
    match &error {
        CreateError::Parameter { .. } => RpcError::invalid_params(&error),
        CreateError::Memory { .. } => RpcError::errno(Errno::NOMEM, error.to_string()),
        CreateError::InUse { .. } => RpcError::errno(Errno::BUSY, error.to_string()),
        CreateError::File { source, .. } | CreateError::Device { source, .. } | CreateError::Ring { source } => {
            let number = source.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
            RpcError::errno(number, error.to_string())
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Name {
    name: String,
}

/// A method that deletes bdevs of one kind, by their product name.
fn add_delete(methods: &mut Methods, method: &'static str, product: &'static str) {
    methods
        .add_deferred(method, move |appliance, params: Name, pending| delete(appliance, params.name, product, pending));
}

fn delete(appliance: &mut Appliance, name: String, product: &str, pending: rpc::Pending) {
    match appliance.bdevs.get(&name) {
        None => pending.reply(Err(registry_error(bdev::RegistryError::NotFound(name)))),
        Some(bdev) if bdev.info().product_name != product => {
            let text = format!(
                "name: bdev {name} is a {}, not a {product}: use the delete method of its kind",
                bdev.info().product_name
            );
            pending.reply(Err(RpcError::errno(Errno::NODEV, text)));
        }
        Some(_) => appliance.delete_bdev(name, pending),
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct GetBdevs {
    name: Option<String>,
    /// SPDK waits so many milliseconds for a bdev to appear; ours are there when their creation answers.
    #[serde(rename = "timeout")]
    _timeout: Option<u64>,
}

fn get_bdevs(appliance: &mut Appliance, params: GetBdevs) -> Result<Vec<Value>, RpcError> {
    let found = select(appliance, params.name.as_slice())?;
    Ok(found.iter().map(|bdev| describe(bdev, appliance.controller.bdev_user(&bdev.info().name).is_some())).collect())
}

fn select<'a>(appliance: &'a Appliance, names: &[String]) -> Result<Vec<&'a Arc<Bdev>>, RpcError> {
    if names.is_empty() {
        return Ok(appliance.bdevs.iter().collect());
    }
    let find = |name: &String| {
        appliance.bdevs.get(name).ok_or_else(|| registry_error(bdev::RegistryError::NotFound(name.clone())))
    };
    names.iter().map(find).collect()
}

fn describe(bdev: &Bdev, claimed: bool) -> Value {
    let info = bdev.info();
    let writable = !info.read_only;
    // Whose blocks are the device's own affair: it takes SCSI commands and nothing else.
    let scsi = info.passthrough.is_some();
    let writable = writable && !scsi;
    let specific = match (&info.passthrough, &info.filename) {
        (Some(device), _) => scsi::describe(device, info.filename.as_deref()),
        (None, Some(filename)) => json!({"uring": {"filename": filename}}),
        (None, None) => json!({}),
    };
    json!({
        "name": info.name,
        "aliases": [info.uuid],
        "product_name": info.product_name,
        "block_size": info.block_size,
        "physical_block_size": info.physical_block_size,
        "num_blocks": bdev.num_blocks(),
        "uuid": info.uuid,
        "assigned_rate_limits": {"rw_ios_per_sec": 0, "rw_mbytes_per_sec": 0, "r_mbytes_per_sec": 0, "w_mbytes_per_sec": 0},
        "claimed": claimed,
        "zoned": false,
        "supported_io_types": {
            "read": !scsi, "write": writable, "unmap": writable && info.unmap, "flush": !scsi, "reset": scsi, "nvme_admin": false,
            "nvme_io": false, "nvme_io_md": false, "write_zeroes": writable, "zcopy": false, "get_zone_info": false,
            "zone_management": false, "zone_append": false, "compare": false, "compare_and_write": false, "abort": false,
            "seek_hole": false, "seek_data": false, "copy": false, "nvme_iov_md": false,
        },
        "write_cache": info.write_cache,
        "read_only": info.read_only,
        "driver_specific": specific,
    })
}
