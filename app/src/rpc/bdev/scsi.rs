//! `bdev_scsi_*`: real SCSI devices, passed through.

use std::path::Path;

use bdev::passthrough;
use rpc::RpcError;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{add_delete, check_new, create_error, enter};
use crate::appliance::Appliance;
use crate::rpc::Methods;

pub(super) fn add(methods: &mut Methods) {
    methods.add(
        "bdev_scsi_create",
        "Makes a bdev of a SCSI device of this host, which is passed through as it is",
        create_scsi,
    );
    add_delete(methods, "bdev_scsi_delete", "Deletes such a bdev; the device stays", passthrough::PRODUCT_NAME);
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CreateScsi {
    /// Name of the bdev.
    name: String,
    /// `H:C:I:L`, or a node of the device.
    device: String,
    /// Identity; left out: one that follows from the name, the same at each start.
    uuid: Option<Uuid>,
    /// Whether it can only be read.
    #[serde(default)]
    readonly: bool,
}

fn create_scsi(appliance: &mut Appliance, params: CreateScsi) -> Result<String, RpcError> {
    check_new(appliance, &params.name)?;
    let bdev = passthrough::create(passthrough::ScsiOptions {
        name: params.name,
        device: params.device.clone(),
        uuid: params.uuid,
        read_only: params.readonly,
    });
    let bdev = bdev.map_err(create_error)?;
    let recipe = json!({"name": bdev.info().name, "device": params.device, "uuid": bdev.info().uuid,
        "readonly": params.readonly});
    enter(appliance, bdev, "bdev_scsi_create", recipe)
}

/// What `bdev_get_bdevs` says of a device beyond what all have.
pub(super) fn describe(device: &passthrough::Facts, name: Option<&Path>) -> Value {
    json!({"scsi": {"device": name, "device_type": device.device_type, "vendor": device.vendor.trim(),
        "product": device.product.trim(), "revision": device.revision.trim(), "serial": device.serial,
        "transfer_bytes_max": device.transfer_bytes_max}})
}
