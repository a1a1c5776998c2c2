//! LIO's storage objects, as bdevs.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::json::Node;
use crate::import::notes::Notes;
use crate::import::setup::{Device, PortGroup};

/// A target port group of one storage object.
#[derive(Clone, Debug)]
pub(super) struct PortGroupOf {
    line: usize,
    pub(super) name: String,
    id: Option<u16>,
    state: &'static str,
    preferred: bool,
    implicit: bool,
    explicit: bool,
}

impl PortGroupOf {
    /// What it says about a target and a device.
    pub(super) fn for_target(self, target: &str, device: String) -> PortGroup {
        PortGroup {
            line: self.line,
            name: self.name,
            id: self.id,
            preferred: self.preferred,
            implicit: self.implicit,
            explicit: self.explicit,
            targets: vec![target.to_owned()],
            states: BTreeMap::from([(device, self.state)]),
        }
    }
}

/// Bytes of a block where none are said.
const BLOCK_BYTES: u64 = 512;

/// A device and its groups; none if there is no equivalent, which is told.
pub(super) fn convert(node: &Node, known: &[String], notes: &mut Notes) -> Option<(Device, Vec<PortGroupOf>)> {
    notes.used(node.line());
    let (plugin, given) = (node.text("plugin"), node.text("name"));
    let mut name = given.clone();
    if known.contains(&name) {
        name = format!("{given}-{plugin}");
        notes.remark(node.line(), format!("{given}: there is another of this name; it is called {name}"));
    }
    let attributes = node.member("attributes");
    let attribute = |name: &str| attributes.as_ref().and_then(|attributes| attributes.number(name));
    let block_bytes = attribute("block_size").unwrap_or(BLOCK_BYTES);
    let (method, mut params) = match made_by(node, &plugin, block_bytes) {
        Ok(made) => made,
        Err(why) => {
            notes.warn(node.line(), format!("{given} of {plugin}: {why}; it is left out"));
            node.account(notes);
            return None;
        }
    };
    params.insert("name".into(), name.clone().into());
    let is_file = method == "bdev_uring_create";
    if is_file && attribute("emulate_tpu") == Some(1) {
        params.insert("thin_provisioned".into(), true.into());
    }
    if let (true, Some(nonrot)) = (is_file, attribute("is_nonrot")) {
        params.insert("rotational".into(), (nonrot == 0).into());
    }
    let mut unit = Map::new();
    let serial = node.text("wwn");
    if (1..=64).contains(&serial.len()) && serial.is_ascii() && method != "bdev_scsi_create" {
        unit.insert("serial".into(), serial.into());
    }
    let mut groups = Vec::new();
    for (member, inner) in node.members() {
        notes.used(inner.line());
        match member.as_str() {
            "name" | "plugin" | "dev" | "size" | "wwn" | "write_back" | "readonly" | "aio" | "exclusive" | "nullio"
            | "config" => {}
            "attributes" => inner.members().iter().for_each(|(name, value)| look_at_attribute(name, value, notes)),
            "alua_tpgs" => groups = inner.elements().iter().filter_map(|group| port_group(group, notes)).collect(),
            _ if inner.value().is_null() || inner.value() == "" => {}
            _ => notes.warn(
                inner.line(),
                format!("{member}: an attribute of {plugin} without an equivalent; it is left out"),
            ),
        }
        if member != "attributes" && member != "alua_tpgs" {
            inner.account(notes);
        }
    }
    Some((Device { line: node.line(), name, method, params, unit }, groups))
}

/// The method that makes it, and its parameters but the name.
fn made_by(node: &Node, plugin: &str, block_bytes: u64) -> Result<(&'static str, Map<String, Value>), String> {
    let dev = node.text("dev");
    let on_dev = matches!(plugin, "fileio" | "block" | "pscsi");
    if on_dev && dev.is_empty() {
        return Err("it has no dev".into());
    }
    if ![512, 1024, 2048, 4096].contains(&block_bytes) {
        return Err(format!("there are no blocks of {block_bytes} bytes"));
    }
    let params = match plugin {
        // LIO's files go through the page cache, and are synced with each write unless write_back is set.
        "fileio" => {
            let mut params = json!({"filename": dev, "block_size": block_bytes, "direct": false});
            if node.flag("write_back") == Some(false) {
                params["write_through"] = true.into();
            }
            ("bdev_uring_create", params)
        }
        "block" => {
            let mut params = json!({"filename": dev, "direct": true});
            if node.flag("readonly") == Some(true) {
                params["readonly"] = true.into();
            }
            ("bdev_uring_create", params)
        }
        "pscsi" => ("bdev_scsi_create", json!({"device": dev})),
        "ramdisk" | "rd_mcp" => {
            let blocks = node.number("size").unwrap_or(0) / block_bytes;
            if blocks == 0 {
                return Err("it has no size".into());
            }
            let method = if node.flag("nullio") == Some(true) { "bdev_null_create" } else { "bdev_malloc_create" };
            (method, json!({"num_blocks": blocks, "block_size": block_bytes}))
        }
        "user" => {
            let config = node.text("config");
            let image = config.trim_start_matches('/').strip_prefix("rbd/").and_then(|rest| rest.split_once('/'));
            let plain = |text: &str| !text.is_empty() && !text.contains(['/', ';', '@']);
            match image.filter(|(pool, image)| plain(pool) && plain(image)) {
                Some((pool, image)) => {
                    ("bdev_rbd_create", json!({"pool_name": pool, "rbd_name": image, "block_size": block_bytes}))
                }
                None => return Err(format!("there is no such program here ({config})")),
            }
        }
        _ => return Err("there is no such backstore here".into()),
    };
    match params {
        (method, Value::Object(params)) => Ok((method, params)),
        (method, _) => Ok((method, Map::new())),
    }
}

/// Attributes that are told initiators as they are here, with the value that says the same; all others of LIO's follow from the device.
const SAME: &[(&str, u64)] = &[
    ("emulate_3pc", 1),
    ("emulate_caw", 1),
    ("emulate_dpo", 1),
    ("emulate_fua_read", 1),
    ("emulate_fua_write", 1),
    ("emulate_model_alias", 1),
    ("emulate_pr", 1),
    ("emulate_rest_reord", 0),
    ("emulate_rsoc", 1),
    ("emulate_ua_intlck_ctrl", 0),
    ("force_pr_aptpl", 0),
    ("pi_prot_format", 0),
    ("pi_prot_type", 0),
    ("alua_support", 1),
    ("pgr_support", 1),
];

fn look_at_attribute(name: &str, node: &Node, notes: &mut Notes) {
    node.account(notes);
    let value = node.value();
    if let Some((_, same)) = SAME.iter().find(|(same, _)| *same == name)
        && value.as_u64().is_some_and(|value| value != *same)
    {
        notes.warn(node.line(), format!("{name} {value}: cannot be set here; units behave as with {same}"));
    }
}

fn port_group(node: &Node, notes: &mut Notes) -> Option<PortGroupOf> {
    node.account(notes);
    let name = node.text("name");
    // In the default group a target is without being told so.
    if name == "default_tg_pt_gp" {
        let state = node.number("alua_access_state").unwrap_or(0);
        if state != 0 {
            notes.warn(
                node.line(),
                format!("{name}: its access state {state} is left out; the default group is always optimized"),
            );
        }
        return None;
    }
    let state = match node.number("alua_access_state").unwrap_or(0) {
        0 => "optimized",
        1 => "non_optimized",
        2 => "standby",
        3 => "unavailable",
        14 => "offline",
        other => {
            notes
                .warn(node.line(), format!("{name}: access state {other}: no state to stay in; unavailable is chosen"));
            "unavailable"
        }
    };
    for wait in ["nonop_delay_msecs", "trans_delay_msecs", "implicit_trans_secs"] {
        let usual = if wait == "nonop_delay_msecs" { 100 } else { 0 };
        if let Some(delay) = node.number(wait).filter(|delay| *delay != usual) {
            let line = node.member(wait).map_or(node.line(), |node| node.line());
            notes.warn(line, format!("{wait} {delay}: there is no such delay; it is left out"));
        }
    }
    let kinds = node.number("alua_access_type").unwrap_or(3);
    Some(PortGroupOf {
        line: node.line(),
        name,
        id: node.number("tg_pt_gp_id").and_then(|id| u16::try_from(id).ok()).filter(|id| *id > 0),
        state,
        preferred: node.flag("preferred").unwrap_or(false),
        implicit: kinds & 1 != 0,
        explicit: kinds & 2 != 0,
    })
}
