//! `bdev_*`: devices, with SPDK's names and parameters.

pub(crate) mod change;
mod file;
mod memory;
mod metadata;
mod qos;
#[cfg(feature = "rbd")]
pub(crate) mod rbd;
mod scsi;
pub(crate) mod statistics;
mod wrappers;

use std::sync::Arc;

use bdev::{Bdev, CreateError, uring};
use rpc::{Errno, RpcError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Methods, registry_error};
use crate::appliance::Appliance;

pub(crate) use qos::save as save_qos;
pub(crate) use wrappers::save_changes;

pub(super) fn add(methods: &mut Methods) {
    memory::add(methods);
    file::add(methods);
    #[cfg(feature = "rbd")]
    rbd::add(methods);
    scsi::add(methods);
    statistics::add(methods);
    change::add(methods);
    wrappers::add(methods);
    qos::add(methods);
    methods.add("bdev_get_bdevs", "Lists the bdevs, or describes one", get_bdevs);
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

pub(crate) fn create_error(error: CreateError) -> RpcError {
    match &error {
        CreateError::Parameter { .. } => RpcError::invalid_params(&error),
        CreateError::Memory { .. } => RpcError::errno(Errno::NOMEM, error.to_string()),
        CreateError::InUse { .. } => RpcError::errno(Errno::BUSY, error.to_string()),
        CreateError::File { source, .. }
        | CreateError::Device { source, .. }
        | CreateError::Ring { source }
        | CreateError::Aio { source, .. }
        | CreateError::Thread { source } => {
            let number = source.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
            RpcError::errno(number, error.to_string())
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Name {
    /// Name of the bdev.
    name: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Delete {
    /// Name of the bdev.
    name: String,
    /// Take its LUNs away first, as SPDK does unasked.
    #[serde(default)]
    force: bool,
}

/// A method that deletes bdevs of one kind, by their product name.
fn add_delete(methods: &mut Methods, method: &'static str, summary: &'static str, product: &'static str) {
    methods.add_deferred(method, summary, move |appliance, params: Delete, pending| {
        delete(appliance, params, product, pending)
    });
}

fn delete(appliance: &mut Appliance, params: Delete, product: &str, pending: rpc::Pending) {
    if let Err(error) = find_of_kind(appliance, &params.name, product) {
        return pending.reply(Err(error));
    }
    if params.force && appliance.bdevs.user_of(&params.name).is_none() {
        let luns = appliance.controller.remove_luns_of(&params.name);
        tracing::info!("bdev {}: {luns} LUNs are removed with it", params.name);
    }
    appliance.delete_bdev(params.name, pending);
}

fn find<'a>(appliance: &'a Appliance, name: &str) -> Result<&'a Arc<Bdev>, RpcError> {
    appliance.bdevs.get(name).ok_or_else(|| registry_error(bdev::RegistryError::NotFound(name.to_owned())))
}

/// The bdev of a name, for a method that is about one kind only.
fn find_of_kind(appliance: &Appliance, name: &str, product: &str) -> Result<Arc<Bdev>, RpcError> {
    let bdev = find(appliance, name)?;
    if bdev.info().product_name != product {
        let text =
            format!("name: bdev {name} is a {}, not a {product}: use the method of its kind", bdev.info().product_name);
        return Err(RpcError::errno(Errno::NODEV, text));
    }
    Ok(Arc::clone(bdev))
}

#[derive(Deserialize, Default, JsonSchema)]
#[serde(deny_unknown_fields)]
struct GetBdevs {
    /// Only this bdev.
    name: Option<String>,
    /// SPDK waits so many milliseconds for a bdev to appear; ours are there when their creation answers.
    #[serde(rename = "timeout")]
    _timeout: Option<u64>,
}

fn get_bdevs(appliance: &mut Appliance, params: GetBdevs) -> Result<Vec<Value>, RpcError> {
    let found = select(appliance, params.name.as_slice())?;
    Ok(found.iter().map(|bdev| describe(bdev, appliance.bdev_user(&bdev.info().name).is_some())).collect())
}

fn select<'a>(appliance: &'a Appliance, names: &[String]) -> Result<Vec<&'a Arc<Bdev>>, RpcError> {
    if names.is_empty() {
        return Ok(appliance.bdevs.iter().collect());
    }
    names.iter().map(|name| find(appliance, name)).collect()
}

fn describe(bdev: &Bdev, claimed: bool) -> Value {
    let info = bdev.info();
    // Whose blocks are the device's own affair: it takes SCSI commands and nothing else.
    let scsi = info.passthrough.is_some();
    let writable = !bdev.is_read_only() && !scsi;
    let through = info.passthrough.as_ref().map(|device| scsi::describe(device, info.filename.as_deref()));
    let file = || {
        bdev.filename().map(|filename| {
            let (engine, gone_ops) = (info.engine.map(uring::Engine::name), bdev.num_gone_ops());
            json!({"uring": {"filename": filename, "engine": engine, "gone_ops": gone_ops}})
        })
    };
    let specific = through
        .or_else(file)
        .or_else(|| memory::specific(bdev))
        .or_else(|| wrappers::driver_specific(bdev))
        .unwrap_or_else(|| json!({}));
    let mut description = json!({
        "name": info.name,
        "aliases": [info.uuid],
        "product_name": info.product_name,
        "block_size": info.block_size,
        "physical_block_size": info.data_physical_block_size(),
        "num_blocks": bdev.num_blocks(),
        "uuid": info.uuid,
        "assigned_rate_limits": qos::assigned(bdev),
        "claimed": claimed,
        "zoned": false,
        "supported_io_types": {
            "read": !scsi, "write": writable, "unmap": writable && info.unmap, "flush": !scsi, "reset": scsi, "nvme_admin": false,
            "nvme_io": false, "nvme_io_md": false, "write_zeroes": writable, "zcopy": false, "get_zone_info": false,
            "zone_management": false, "zone_append": false, "compare": false, "compare_and_write": false, "abort": false,
            "seek_hole": false, "seek_data": false, "copy": false, "nvme_iov_md": false,
        },
        "write_cache": info.write_cache,
        "read_only": bdev.is_read_only(),
        "ready": bdev.is_ready(),
        "driver_specific": specific,
    });
    metadata::describe(info.metadata, &mut description);
    description
}
