//! Configurations in SPDK's form: `{"subsystems": [{"subsystem": NAME, "config": [{"method": NAME, "params": {…}}, …]}, …]}`.
//!
//! A configuration is a list of requests, so what cannot be asked for by RPC cannot be configured, and the reverse. Errors name the line.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context;
use scsi::LogicalUnit;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::appliance::Appliance;
use crate::rpc::Methods;
use crate::rpc::bdev::statistics;
use crate::rpc::srp::{addressing_name, initiator_groups, target_port_groups};
use crate::rpc::trace;

/// One request of a configuration.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Where it stands in the file, from 1; 0 when it did not come from a file.
    line: usize,
    text: String,
    request: rpc::Request,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File<'a> {
    #[serde(borrow)]
    subsystems: Vec<Subsystem<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Subsystem<'a> {
    #[serde(rename = "subsystem")]
    _name: String,
    #[serde(borrow)]
    config: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRequest {
    method: String,
    params: Option<Value>,
}

/// Reads a file.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Entry>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("-c {}", path.display()))?;
    parse(&text).with_context(|| path.display().to_string())
}

/// Parses a configuration's text.
pub(crate) fn parse(text: &str) -> anyhow::Result<Vec<Entry>> {
    let file: File = serde_json::from_str(text)
        .map_err(|error| anyhow::anyhow!("line {}, column {}: {error}", error.line(), error.column()))?;
    let mut entries = Vec::new();
    for raw in file.subsystems.iter().filter_map(|subsystem| subsystem.config.as_ref()).flatten() {
        // The raw value is a part of the text, so its address tells where it stands.
        let offset = (raw.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
        let line = 1 + text.as_bytes()[..offset.min(text.len())].iter().filter(|&&byte| byte == b'\n').count();
        let request: RawRequest = serde_json::from_str(raw.get())
            .map_err(|error| anyhow::anyhow!("line {}: {error}", line + error.line() - 1))?;
        let request = rpc::Request { method: request.method, params: request.params };
        entries.push(Entry { line, text: raw.get().to_string(), request });
    }
    Ok(entries)
}

/// Carries out every request in order; the first that fails ends it, and its error names line and parameter.
pub(crate) fn apply(entries: &[Entry], methods: &Methods, appliance: &mut Appliance) -> anyhow::Result<()> {
    if let Some(entry) = entries.iter().find(|entry| !methods.names().any(|name| name == entry.request.method)) {
        anyhow::bail!("line {}: method: there is no method {}", entry.line, entry.request.method);
    }
    for entry in entries {
        if let Err(error) = methods.dispatch(appliance, &entry.request) {
            anyhow::bail!("line {}: {}: {}", entry.line_of(&error.message), entry.request.method, error.message);
        }
    }
    Ok(())
}

impl Entry {
    /// The line of the parameter that an error message names, or of the request.
    fn line_of(&self, message: &str) -> usize {
        let quoted = |(key, _): (&String, &Value)| {
            let words = message.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            words.into_iter().any(|word| word == key).then(|| format!("\"{key}\""))
        };
        let named =
            self.request.params.as_ref().and_then(Value::as_object).and_then(|params| params.iter().find_map(quoted));
        let offset = named.and_then(|key| self.text.find(&key)).unwrap_or(0);
        self.line + self.text.as_bytes()[..offset].iter().filter(|&&byte| byte == b'\n').count()
    }
}

/// The names of the subsystems, each with those it depends on, as `framework_get_subsystems` lists them.
pub(crate) const SUBSYSTEMS: [(&str, &[&str]); 2] = [("bdev", &[]), ("srp", &["bdev"])];

/// The whole configuration as it is now.
pub(crate) fn save(appliance: &Appliance) -> Value {
    let subsystem = |(name, _): &(&str, &[&str])| json!({"subsystem": name, "config": save_subsystem(appliance, name)});
    json!({"subsystems": SUBSYSTEMS.iter().map(subsystem).collect::<Vec<_>>()})
}

/// One subsystem's part of it.
pub(crate) fn save_subsystem(appliance: &Appliance, name: &str) -> Vec<Value> {
    match name {
        "bdev" => save_bdevs(appliance),
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
        if exported.insert(unit.bdev().info().name.clone()) && unit.bdev().info().passthrough.is_none() {
            params["product"] = unit.name().into();
            params["vendor"] = unit.vendor().into();
            params["revision"] = unit.revision().into();
            params["serial"] = unit.serial().into();
            params["naa"] = format!("{:#018x}", unit.naa()).into();
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
    for listener in appliance.controller.listeners() {
        let (address, port) = (listener.address.ip().to_string(), listener.address.port());
        config.push(json!({"method": "srp_create_listener", "params": {"fabric": listener.fabric, "address": address, "port": port}}));
    }
    config
}
