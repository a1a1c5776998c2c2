//! What is running, as the requests that would make it.

use std::collections::BTreeSet;

use rpc::{Request, RpcError};
use scsi::LogicalUnit;
use serde_json::{Value, json};

use super::model::Model;
use super::params::Params;
use crate::appliance::Appliance;
use crate::rpc::bdev::statistics;
use crate::rpc::framework::level_name;
use crate::rpc::scheduler;
use crate::rpc::srp::{addressing_name, initiator_groups, target_port_groups};
use crate::rpc::trace;

/// The names of the subsystems, each with those it depends on, as `framework_get_subsystems` lists them.
/// A listener comes after what decides where its channels go.
pub(crate) const SUBSYSTEMS: [(&str, &[&str]); 3] = [("bdev", &[]), ("scheduler", &[]), ("srp", &["bdev"])];

/// The whole configuration as it is now.
pub(crate) fn save(appliance: &Appliance) -> Value {
    let subsystem = |(name, _): &(&str, &[&str])| json!({"subsystem": name, "config": save_subsystem(appliance, name)});
    json!({"subsystems": SUBSYSTEMS.iter().map(subsystem).collect::<Vec<_>>()})
}

/// The same as a text for a file.
pub(crate) fn save_text(appliance: &Appliance) -> String {
    format!("{:#}\n", save(appliance))
}

/// The same as a list of requests.
pub(super) fn save_requests(appliance: &Appliance) -> Vec<Request> {
    let config = SUBSYSTEMS.iter().flat_map(|(name, _)| save_subsystem(appliance, name));
    let request = |entry: Value| Request {
        method: entry["method"].as_str().unwrap_or_default().to_owned(),
        params: Some(entry["params"].clone()),
    };
    config.map(request).collect()
}

/// The same as things that are there, with what only the appliance knows of them.
///
/// # Errors
/// What is saved makes no sense: a bug.
pub(crate) fn running(appliance: &Appliance) -> Result<Model, RpcError> {
    let mut model = model_of(&save_requests(appliance))?;
    for (name, making) in &mut model.makings {
        if let ("bdev_uring_create" | "bdev_aio_create", Some(bdev)) =
            (making.method.as_str(), appliance.bdevs.get(name))
        {
            let bytes = bdev.num_blocks().saturating_mul(bdev.info().block_size.into());
            making.bytes = bdev.is_ready().then_some(bytes);
        }
    }
    settle_process(&mut model, appliance);
    Ok(model)
}

/// What is about the process: it is something, also where nothing was saved of it.
pub(super) fn settle_process(model: &mut Model, appliance: &Appliance) {
    model.log_level = Some(level_name(appliance.log.get()).into());
    model.slow_threshold_us.get_or_insert(0);
}

pub(super) fn model_of(requests: &[Request]) -> Result<Model, RpcError> {
    let (mut model, nothing) = (Model::default(), Params::new());
    for Request { method, params } in requests {
        let params = params.as_ref().and_then(Value::as_object).unwrap_or(&nothing);
        let wrong = |misfit| RpcError::internal(format!("the configuration as it is now: {method}: {misfit}"));
        model.apply(method, params).map_err(wrong)?;
    }
    Ok(model)
}

/// One subsystem's part of it.
pub(crate) fn save_subsystem(appliance: &Appliance, name: &str) -> Vec<Value> {
    match name {
        "bdev" => save_bdevs(appliance),
        "scheduler" => vec![scheduler::save(appliance)],
        "srp" => save_srp(appliance),
        _ => Vec::new(),
    }
}

fn save_bdevs(appliance: &Appliance) -> Vec<Value> {
    // In the order of their creation: a device stands behind the one that it stands on.
    let mut config = Vec::new();
    #[cfg(feature = "rbd")]
    config.extend(crate::rpc::bdev::rbd::save_clusters(appliance));
    for bdev in appliance.bdevs.iter() {
        if let Some((method, params)) = appliance.recipes.get(&bdev.info().name) {
            config.push(json!({"method": method, "params": params}));
            config.extend(crate::rpc::bdev::save_changes(bdev, params));
        }
        config.extend(crate::rpc::bdev::save_qos(bdev));
        config.extend(statistics::histogram_recipe(bdev));
        // Not by `readonly` of the creation: that would open a file for reading only, and could not be taken back.
        if bdev.is_write_protected() && !bdev.info().read_only {
            let params = json!({"name": bdev.info().name, "read_only": true});
            config.push(json!({"method": "bdev_set_read_only", "params": params}));
        }
    }
    config
}

fn save_srp(appliance: &Appliance) -> Vec<Value> {
    let mut config = Vec::new();
    let (mut exported, mut ejected) = (BTreeSet::new(), Vec::new());
    // A unit has one identity, which its first LUN decides. SCSI devices have their own.
    let mut identity = |unit: &LogicalUnit, params: &mut Value| {
        if exported.insert(unit.bdev().info().name.clone()) {
            if unit.bdev().info().passthrough.is_none() {
                params["product"] = unit.name().into();
                params["vendor"] = unit.vendor().into();
                params["revision"] = unit.revision().into();
                params["serial"] = unit.serial().into();
                params["naa"] = format!("{:#018x}", unit.naa()).into();
            }
            if let Some(eui64) = unit.eui64() {
                params["eui64"] = eui64.to_string().into();
            }
            if let Some(drive) = unit.drive() {
                params["device_type"] = "cdrom".into();
                if drive.is_disc_out() {
                    let params = json!({"bdev_name": unit.bdev().info().name});
                    ejected.push(json!({"method": "srp_cdrom_eject", "params": params}));
                }
            }
            if let Some(depth) = unit.task_set().depth() {
                params["queue_depth"] = depth.into();
            }
            if let Some(url) = unit.management_url() {
                params["management_url"] = url.into();
            }
        }
    };
    for target in appliance.controller.targets() {
        let ids = (format!("{:#018x}", target.id_ext), format!("{:#018x}", target.ioc_guid));
        let params = json!({"name": target.name, "id_ext": ids.0, "ioc_guid": ids.1,
            "relative_target_port_id": target.relative_port, "lun_addressing": addressing_name(target.addressing)});
        config.push(json!({"method": "srp_create_target", "params": params}));
        for lun in target.luns {
            let mut params =
                json!({"target": target.name, "bdev_name": lun.bdev_name, "lun": lun.lun, "read_only": lun.read_only});
            identity(&lun.unit, &mut params);
            config.push(json!({"method": "srp_target_add_lun", "params": params}));
        }
    }
    config.extend(initiator_groups::save(appliance, identity));
    config.extend(trace::save(appliance));
    config.extend(ejected);
    config.extend(target_port_groups::save(appliance));
    let at_interfaces = &appliance.interface_listeners;
    let listeners = appliance.controller.listeners().into_iter();
    for listener in listeners.filter(|listener| at_interfaces.owner(listener.fabric, listener.address).is_none()) {
        let (address, port) = (listener.address.ip().to_string(), listener.address.port());
        config.push(json!({"method": "srp_create_listener", "params": {"fabric": listener.fabric, "address": address, "port": port}}));
    }
    config.extend(at_interfaces.save());
    config
}
