//! scst.conf. What SCST does not have stands there as a comment.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::stanzas::File;
use crate::commands::config_file::Request;
use crate::import::initiator;

/// The file.
pub(crate) fn export(requests: &[Request]) -> String {
    let running = Running::new(requests);
    let mut file = File::default();
    file.comment("Written by srptctl export scst. What SCST does not have stands in comments.");
    running.put_devices(&mut file);
    running.put_targets(&mut file);
    running.put_port_groups(&mut file);
    running.put_the_rest(&mut file);
    file.text
}

/// A member as text.
fn text(params: &Map<String, Value>, name: &str) -> String {
    match params.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn is(params: &Map<String, Value>, name: &str) -> bool {
    params.get(name).and_then(Value::as_bool).unwrap_or(false)
}

/// What is running, by what it is about.
struct Running<'a> {
    bdevs: Vec<&'a Request>,
    targets: Vec<&'a Map<String, Value>>,
    luns: Vec<&'a Map<String, Value>>,
    groups: Vec<&'a Map<String, Value>>,
    group_luns: Vec<&'a Map<String, Value>>,
    port_groups: Vec<&'a Map<String, Value>>,
    members: Vec<&'a Map<String, Value>>,
    states: Vec<&'a Map<String, Value>>,
    /// Everything else.
    others: Vec<&'a Request>,
    /// By the name of a bdev: its name in SCST.
    devices: BTreeMap<String, String>,
}

/// SCST's handler for a bdev.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Handler {
    Through,
    File,
    Block,
    Null,
    Cd,
}

impl<'a> Running<'a> {
    fn new(requests: &'a [Request]) -> Running<'a> {
        let mut running = Running {
            bdevs: Vec::new(),
            targets: Vec::new(),
            luns: Vec::new(),
            groups: Vec::new(),
            group_luns: Vec::new(),
            port_groups: Vec::new(),
            members: Vec::new(),
            states: Vec::new(),
            others: Vec::new(),
            devices: BTreeMap::new(),
        };
        for request in requests {
            let params = &request.params;
            match request.method.as_str() {
                method if method.starts_with("bdev_") && method.ends_with("_create") => running.bdevs.push(request),
                "srp_create_target" => running.targets.push(params),
                "srp_target_add_lun" => running.luns.push(params),
                "srp_create_initiator_group" => running.groups.push(params),
                "srp_initiator_group_add_lun" => running.group_luns.push(params),
                "srp_create_target_port_group" => running.port_groups.push(params),
                "srp_target_port_group_add_target" => running.members.push(params),
                "srp_target_port_group_set_state" => running.states.push(params),
                _ => running.others.push(request),
            }
        }
        for bdev in &running.bdevs {
            let name = text(&bdev.params, "name");
            match running.handler(bdev) {
                Some(Handler::Through) => running.devices.insert(name, text(&bdev.params, "device")),
                Some(_) => running.devices.insert(name.clone(), name),
                None => None,
            };
        }
        running
    }

    /// The unit of a bdev: the parameters of the LUN that says what it is.
    fn unit(&self, bdev: &str) -> Map<String, Value> {
        let of_bdev = self.luns.iter().chain(&self.group_luns).filter(|lun| text(lun, "bdev_name") == bdev);
        let mut unit = Map::new();
        for (name, value) in of_bdev.flat_map(|lun| lun.iter()) {
            unit.entry(name.clone()).or_insert_with(|| value.clone());
        }
        unit
    }

    /// None if SCST has no such device.
    fn handler(&self, bdev: &Request) -> Option<Handler> {
        let (params, filename) = (&bdev.params, text(&bdev.params, "filename"));
        match bdev.method.as_str() {
            "bdev_null_create" => Some(Handler::Null),
            // SCST names these by their place.
            "bdev_scsi_create" if !text(params, "device").starts_with('/') => Some(Handler::Through),
            "bdev_uring_create" | "bdev_aio_create" => {
                let unit = self.unit(&text(params, "name"));
                // An image that no LUN shows yet is told by its blocks.
                let is_image = is(params, "readonly") && params.get("block_size").is_some_and(|bytes| *bytes == 2048);
                let is_cd = unit.get("device_type").map_or(unit.is_empty() && is_image, |kind| kind == "cdrom");
                let is_direct = params.get("direct").and_then(Value::as_bool);
                Some(match (is_cd, is_direct) {
                    (true, _) => Handler::Cd,
                    (_, Some(true) | None) if filename.starts_with("/dev/") => Handler::Block,
                    _ => Handler::File,
                })
            }
            _ => None,
        }
    }

    fn put_devices(&self, file: &mut File) {
        for bdev in self.bdevs.iter().filter(|bdev| self.handler(bdev).is_none()) {
            file.comment(&format!("no such device: {} {}", bdev.method, Value::Object(bdev.params.clone())));
        }
        let names = [
            (Handler::Through, "dev_disk"),
            (Handler::File, "vdisk_fileio"),
            (Handler::Block, "vdisk_blockio"),
            (Handler::Null, "vdisk_nullio"),
            (Handler::Cd, "vcdrom"),
        ];
        for (handler, name) in names {
            let bdevs: Vec<&&Request> = self.bdevs.iter().filter(|bdev| self.handler(bdev) == Some(handler)).collect();
            if bdevs.is_empty() {
                continue;
            }
            file.put("");
            if handler == Handler::Through {
                file.comment("By their type, devices may belong to dev_tape, dev_changer, dev_cdrom or others.");
            }
            file.block(&["HANDLER", name], |file| bdevs.iter().for_each(|bdev| self.put_device(handler, bdev, file)));
        }
    }

    fn put_device(&self, handler: Handler, bdev: &Request, file: &mut File) {
        let params = &bdev.params;
        let name = text(params, "name");
        let device = self.devices.get(&name).cloned().unwrap_or_default();
        file.block(&["DEVICE", &device], |file| {
            if handler != Handler::Through {
                put_attributes(handler, params, file);
                self.put_identity(&name, file);
            }
            let unknown = params.iter().filter(|(name, value)| !is_exported(handler, name) && !value.is_null());
            for (name, value) in unknown {
                file.comment(&format!("{name}: {value}"));
            }
        });
    }

    /// What the unit says of itself.
    fn put_identity(&self, bdev: &str, file: &mut File) {
        let unit = self.unit(bdev);
        let attributes = [
            ("t10_vend_id", "vendor"),
            ("prod_id", "product"),
            ("prod_rev_lvl", "revision"),
            ("usn", "serial"),
            ("naa_id", "naa"),
            ("eui64_id", "eui64"),
            ("max_tgt_dev_commands", "queue_depth"),
        ];
        for (attribute, parameter) in attributes {
            let value = text(&unit, parameter);
            if !value.is_empty() {
                file.line(&[attribute, &value]);
            }
        }
        if self.is_explicit() {
            file.line(&["expl_alua", "1"]);
        }
        let url = text(&unit, "management_url");
        if !url.is_empty() {
            file.comment(&format!("management_url: {url}"));
        }
    }

    fn put_targets(&self, file: &mut File) {
        if self.targets.is_empty() {
            return;
        }
        file.put("");
        file.block(&["TARGET_DRIVER", "ib_srpt"], |file| {
            file.line(&["enabled", "1"]);
            for target in &self.targets {
                file.put("");
                self.put_target(target, file);
            }
        });
    }

    fn put_target(&self, target: &Map<String, Value>, file: &mut File) {
        let (name, gid) = (text(target, "name"), gid_of(target));
        if name != gid {
            file.comment(&format!("Target {name}. SCST calls a target by the GID of its port: put the right one."));
        }
        file.comment(&format!(
            "Initiators log in with id_ext={},ioc_guid={} here.",
            text(target, "id_ext"),
            text(target, "ioc_guid")
        ));
        let about =
            |group: &&&Map<String, Value>| matches!(&text(group, "target")[..], "") || text(group, "target") == name;
        let groups: Vec<&Map<String, Value>> = self.groups.iter().filter(about).copied().collect();
        // Whom no group contains, SCST shows the target's own LUNs; here they are kept out.
        let lets_all_in = |group: &&Map<String, Value>| {
            !group.contains_key("luns") && group.get("initiators").is_some_and(|list| *list == Value::from(vec!["*"]))
        };
        let open = groups.is_empty() || groups.iter().any(lets_all_in);
        file.block(&["TARGET", &gid], |file| {
            file.line(&["enabled", "1"]);
            let port = text(target, "relative_target_port_id");
            if !port.is_empty() {
                file.line(&["rel_tgt_id", &port]);
            }
            if text(target, "lun_addressing") == "flat" {
                file.line(&["addr_method", "FLAT"]);
            }
            let luns: Vec<&Map<String, Value>> =
                self.luns.iter().filter(|lun| text(lun, "target") == name).copied().collect();
            if !open && !luns.is_empty() {
                file.comment("Only members of groups are let in; the target's own LUNs would be everybody's:");
            }
            luns.iter().for_each(|lun| self.put_lun(lun, open, file));
            for group in groups.iter().filter(|group| !lets_all_in(group)) {
                file.put("");
                self.put_group(group, &name, &luns, file);
            }
        });
    }

    fn put_lun(&self, lun: &Map<String, Value>, open: bool, file: &mut File) {
        let (number, bdev) = (text(lun, "lun"), text(lun, "bdev_name"));
        match self.devices.get(&bdev).filter(|_| open) {
            Some(device) => file.block(&["LUN", &number, device], |file| {
                if is(lun, "read_only") {
                    file.line(&["read_only", "1"]);
                }
            }),
            None => file.comment(&format!("LUN {number} {bdev}")),
        }
    }

    fn put_group(&self, group: &Map<String, Value>, target: &str, luns: &[&Map<String, Value>], file: &mut File) {
        let name = text(group, "name");
        let short = name.strip_suffix(&format!("@{target}")).unwrap_or(&name);
        let own = self.group_luns.iter().filter(|lun| text(lun, "group") == name);
        let patterns: Vec<String> = group
            .get("initiators")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|one| one.as_str().map(str::to_owned))
            .collect();
        file.block(&["GROUP", short], |file| {
            match group.get("luns").and_then(Value::as_array) {
                // Its own map, if the list is empty.
                Some(list) if list.is_empty() => own.for_each(|lun| self.put_lun(&with_bdev(lun, luns), true, file)),
                Some(list) => {
                    let some = luns.iter().filter(|lun| list.iter().any(|number| Some(number) == lun.get("lun")));
                    some.for_each(|lun| self.put_lun(lun, true, file));
                }
                None => luns.iter().for_each(|lun| self.put_lun(lun, true, file)),
            }
            match initiator::scst_names(&patterns) {
                Some(names) => names.iter().for_each(|name| file.line(&["INITIATOR", name])),
                None => file.comment(&format!("no such names of initiators: {}", patterns.join(", "))),
            }
        });
    }

    fn is_explicit(&self) -> bool {
        self.port_groups.iter().any(|group| is(group, "explicit"))
    }

    /// A device group for each set of bdevs that have the same state in every target group.
    fn put_port_groups(&self, file: &mut File) {
        if self.port_groups.is_empty() {
            return;
        }
        let states = |bdev: &str| self.port_groups.iter().map(|group| self.state(group, bdev)).collect::<Vec<String>>();
        let mut device_groups: BTreeMap<Vec<String>, Vec<&str>> = BTreeMap::new();
        for bdev in self.devices.keys() {
            device_groups.entry(states(bdev)).or_default().push(bdev);
        }
        if device_groups.is_empty() {
            device_groups.insert(states(""), Vec::new());
        }
        for (index, (states, bdevs)) in device_groups.iter().enumerate() {
            file.put("");
            file.block(&["DEVICE_GROUP", &format!("dg{index}")], |file| {
                for device in bdevs.iter().filter_map(|bdev| self.devices.get(*bdev)) {
                    file.line(&["DEVICE", device]);
                }
                for (group, state) in self.port_groups.iter().zip(states) {
                    file.put("");
                    self.put_port_group(group, state, file);
                }
            });
        }
    }

    fn state(&self, group: &Map<String, Value>, bdev: &str) -> String {
        let own = self
            .states
            .iter()
            .rev()
            .find(|state| text(state, "group") == text(group, "name") && text(state, "bdev_name") == bdev);
        let state = own.map_or_else(|| text(group, "state"), |own| text(own, "state"));
        match state.as_str() {
            "optimized" | "" => "active".into(),
            "non_optimized" => "nonoptimized".into(),
            _ => state,
        }
    }

    fn put_port_group(&self, group: &Map<String, Value>, state: &str, file: &mut File) {
        let name = text(group, "name");
        let members = self.members.iter().filter(|member| text(member, "group") == name);
        file.block(&["TARGET_GROUP", &name], |file| {
            let id = text(group, "id");
            if !id.is_empty() {
                file.line(&["group_id", &id]);
            }
            if is(group, "preferred") {
                file.line(&["preferred", "1"]);
            }
            file.line(&["state", state]);
            if group.get("implicit").is_some_and(|implicit| *implicit == false) {
                file.comment("implicit: false");
            }
            for member in members {
                let target = self.targets.iter().find(|target| text(target, "name") == text(member, "target"));
                file.line(&["TARGET", &target.map(|target| gid_of(target)).unwrap_or_default()]);
            }
        });
    }

    fn put_the_rest(&self, file: &mut File) {
        if !self.others.is_empty() {
            file.put("");
            file.comment("Without an equivalent:");
        }
        for request in &self.others {
            file.comment(&format!("{} {}", request.method, Value::Object(request.params.clone())));
        }
    }
}

fn put_attributes(handler: Handler, params: &Map<String, Value>, file: &mut File) {
    if handler == Handler::Null {
        let number = |name: &str| params.get(name).and_then(Value::as_u64).unwrap_or(0);
        file.line(&["size", &number("num_blocks").saturating_mul(number("block_size")).to_string()]);
        return file.line(&["blocksize", &number("block_size").to_string()]);
    }
    file.line(&["filename", &text(params, "filename")]);
    if handler == Handler::Cd {
        return;
    }
    let block_bytes = params.get("block_size").and_then(Value::as_u64);
    if let Some(bytes) = block_bytes {
        file.line(&["blocksize", &bytes.to_string()]);
    }
    if handler == Handler::File && is(params, "direct") {
        file.line(&["o_direct", "1"]);
    }
    for (attribute, parameter) in [
        ("read_only", "readonly"),
        ("write_through", "write_through"),
        ("nv_cache", "nv_cache"),
        ("thin_provisioned", "thin_provisioned"),
        ("rotational", "rotational"),
        ("removable", "removable"),
    ] {
        if let Some(set) = params.get(parameter).and_then(Value::as_bool) {
            file.line(&[attribute, if set { "1" } else { "0" }]);
        }
    }
    if let Some(blocks) = params.get("optimal_blocks").and_then(Value::as_u64) {
        let bytes = blocks.saturating_mul(block_bytes.unwrap_or(512));
        file.line(&["opt_trans_len", &bytes.to_string()]);
    }
}

/// Whether a parameter is told by an attribute, or says nothing that SCST does not do anyway.
fn is_exported(handler: Handler, parameter: &str) -> bool {
    let always = ["name", "uuid", "filename", "block_size"];
    let more: &[&str] = match handler {
        Handler::Null => &["num_blocks"],
        Handler::Through => &["device"],
        Handler::Cd => &["readonly", "direct"],
        Handler::File | Handler::Block => &[
            "direct",
            "readonly",
            "write_through",
            "nv_cache",
            "thin_provisioned",
            "rotational",
            "removable",
            "optimal_blocks",
        ],
    };
    always.contains(&parameter) || more.contains(&parameter)
}

/// A LUN of a group that leads to one of the target's, with the bdev that this shows.
fn with_bdev(lun: &Map<String, Value>, luns: &[&Map<String, Value>]) -> Map<String, Value> {
    let mut lun = lun.clone();
    if let Some(number) = lun.get("target_lun").filter(|number| !number.is_null()) {
        let behind =
            luns.iter().find(|behind| behind.get("lun") == Some(number)).map(|behind| text(behind, "bdev_name"));
        lun.insert("bdev_name".into(), behind.unwrap_or_default().into());
    }
    lun
}

/// The name of a target in SCST: a port's GID. Ours has one if it came from there; else the one that goes with its `ioc_guid`.
fn gid_of(target: &Map<String, Value>) -> String {
    let name = text(target, "name");
    let is_gid = name.len() == 39
        && name.split(':').all(|part| part.len() == 4 && part.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if is_gid && name.split(':').count() == 8 {
        return name;
    }
    let digits = format!("{:0>16}", text(target, "ioc_guid").trim_start_matches("0x"));
    let words: Vec<&str> = (0..4).map(|word| digits.get(4 * word..4 * word + 4).unwrap_or("0000")).collect();
    format!("fe80:0000:0000:0000:{}", words.join(":"))
}

#[cfg(test)]
#[path = "scst_tests.rs"]
mod tests;
