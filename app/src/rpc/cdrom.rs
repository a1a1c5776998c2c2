//! `srp_cdrom_*`: discs of the CD drives that LUNs show (`"device_type": "cdrom"`).

use std::path::PathBuf;
use std::sync::Arc;

use bdev::Bdev;
use bdev::uring::{self, Replacement};
use rpc::{Errno, Pending, RpcError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::bdev::{change, create_error};
use super::{Methods, admin_error};
use crate::appliance::Appliance;

pub(super) fn add(methods: &mut Methods) {
    methods.add("srp_cdrom_eject", "Takes the disc out of a CD drive", eject);
    methods.add_deferred("srp_cdrom_insert", "Puts a disc into an empty CD drive", insert);
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Eject {
    /// The bdev behind the drive.
    bdev_name: String,
    /// Although an initiator prevents it.
    #[serde(default)]
    force: bool,
}

fn eject(appliance: &mut Appliance, params: Eject) -> Result<bool, RpcError> {
    change::check_not_exchanged(appliance, "bdev_name", &params.bdev_name)?;
    appliance.controller.eject_disc(&params.bdev_name, params.force).map_err(admin_error)?;
    // Who takes a disc out may put it away: at the next start the image need not be there. Only files are waited for.
    if appliance.bdevs.get(&params.bdev_name).is_some_and(|bdev| bdev.filename().is_some()) {
        change::set_recipe(appliance, &params.bdev_name, "wait_for_file", Some(true.into()));
    }
    tracing::info!("bdev {}: the disc is out", params.bdev_name);
    Ok(true)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Insert {
    /// The bdev behind the drive.
    bdev_name: String,
    /// The disc; left out: the one that was there last.
    filename: Option<PathBuf>,
}

fn insert(appliance: &mut Appliance, params: Insert, pending: Pending) {
    match look_for_disc(appliance, &params) {
        Err(error) => pending.reply(Err(error)),
        Ok((bdev, Some(replacement))) => change::start_exchange(appliance, bdev, replacement, true, pending),
        Ok((bdev, None)) => {
            appliance.controller.insert_disc(&bdev.info().name);
            pending.reply(Ok(Value::Bool(true)));
        }
    }
}

/// The drive's bdev, and the image if it is not the one that it has open.
fn look_for_disc(appliance: &Appliance, params: &Insert) -> Result<(Arc<Bdev>, Option<Replacement>), RpcError> {
    let name = &params.bdev_name;
    appliance.controller.check_disc_is_out(name).map_err(admin_error)?;
    change::check_not_exchanged(appliance, "bdev_name", name)?;
    let bdev = Arc::clone(appliance.bdevs.get(name).ok_or_else(|| missing(name))?);
    let replacement = match (&params.filename, bdev.filename()) {
        (Some(filename), Some(_)) => uring::change_file(&bdev, filename).map_err(create_error)?,
        (None, Some(_)) => uring::rescan(&bdev).map_err(create_error)?,
        (Some(_), None) => {
            let text =
                format!("filename: bdev {name} is a {}, which has no file: leave it out", bdev.info().product_name);
            return Err(RpcError::invalid_params(text));
        }
        (None, None) => None,
    };
    Ok((bdev, replacement))
}

fn missing(name: &str) -> RpcError {
    RpcError::errno(Errno::NODEV, format!("bdev_name: there is no bdev {name}"))
}
