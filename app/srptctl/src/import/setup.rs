//! A set-up in our terms, and the requests that make it. Duplicates and what does not fit are found here, whatever it was read from.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::Imported;
use super::notes::Notes;
use super::options::{Options, PORT, hex_digits};
use crate::commands::config_file::Request;

/// Highest LUN.
const LUN_MAX: u64 = 16383;

/// A set-up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setup {
    pub(crate) devices: Vec<Device>,
    pub(crate) targets: Vec<Target>,
    pub(crate) port_groups: Vec<PortGroup>,
}

/// A bdev, and what its unit says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) line: usize,
    pub(crate) name: String,
    /// The method that makes it.
    pub(crate) method: &'static str,
    pub(crate) params: Map<String, Value>,
    /// Parameters of its first LUN.
    pub(crate) unit: Map<String, Value>,
}

/// A target.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) line: usize,
    pub(crate) name: String,
    pub(crate) ids: Ids,
    pub(crate) relative_port: Option<u16>,
    pub(crate) is_flat: bool,
    pub(crate) luns: Vec<Lun>,
    pub(crate) groups: Vec<Group>,
    /// Whether initiators in no group see the target's LUNs, although there are groups.
    pub(crate) open_to_others: bool,
}

impl Target {
    /// One without LUNs, from a line; its name may end in the GUID of its port.
    pub(crate) fn new(line: usize, name: &str) -> Target {
        let digits = hex_digits(name).unwrap_or_default();
        let port = digits.get(digits.len().saturating_sub(16)..).filter(|port| port.len() == 16);
        Target {
            line,
            name: name.to_owned(),
            ids: port.and_then(|port| u64::from_str_radix(port, 16).ok()).map_or(Ids::Unknown, Ids::Port),
            relative_port: None,
            is_flat: false,
            luns: Vec::new(),
            groups: Vec::new(),
            open_to_others: false,
        }
    }
}

/// How initiators address a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ids {
    /// By its port's GUID.
    Port(u64),
    /// Its name has no such thing.
    Unknown,
}

/// A LUN.
#[derive(Clone, Debug)]
pub(crate) struct Lun {
    pub(crate) line: usize,
    pub(crate) number: u64,
    pub(crate) device: String,
    pub(crate) read_only: bool,
}

/// Initiators of a target with LUNs of their own.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) name: String,
    /// Our patterns.
    pub(crate) initiators: Vec<String>,
    pub(crate) luns: Vec<Lun>,
}

/// A target port group.
#[derive(Clone, Debug)]
pub(crate) struct PortGroup {
    pub(crate) line: usize,
    pub(crate) name: String,
    pub(crate) id: Option<u16>,
    pub(crate) preferred: bool,
    pub(crate) implicit: bool,
    pub(crate) explicit: bool,
    pub(crate) targets: Vec<String>,
    /// The state of each device's unit, by the device's name.
    pub(crate) states: BTreeMap<String, &'static str>,
}

/// Ends the names of groups that let those in who are in no other group; no other target's set-up has such a thing.
const OTHERS: &str = "+others";

impl Setup {
    /// The requests that make it.
    pub(crate) fn requests(mut self, options: &Options, mut notes: Notes) -> Imported {
        self.drop_doubles(&mut notes);
        let mut requests = Vec::new();
        for device in &self.devices {
            requests.push(Request::new(device.method, device.params.clone().into()));
        }
        // A unit's identity stands with the first LUN that shows it.
        let mut units: BTreeMap<String, Map<String, Value>> =
            self.devices.iter().map(|device| (device.name.clone(), device.unit.clone())).collect();
        self.put_targets(options, &mut units, &mut requests, &mut notes);
        self.put_groups(&mut units, &mut requests);
        self.put_port_groups(&mut requests);
        put_listeners(options, &mut requests, &mut notes);
        Imported { requests, notes }
    }

    /// Adds a group, or what it says to the one of its name.
    pub(crate) fn add_port_group(&mut self, mut group: PortGroup, notes: &mut Notes) {
        let line = group.line;
        let others: Vec<&PortGroup> = self.port_groups.iter().filter(|other| other.name != group.name).collect();
        group.targets.retain(|target| {
            let other = others.iter().find(|other| other.targets.contains(target));
            if let Some(other) = other {
                notes.warn(
                    line,
                    format!(
                        "target {target} is in target group {}, and can be in no other; it is left out here",
                        other.name
                    ),
                );
            }
            other.is_none()
        });
        let Some(known) = self.port_groups.iter_mut().find(|known| known.name == group.name) else {
            let taken = self.port_groups.iter().any(|known| group.id.is_some() && known.id == group.id);
            if taken {
                notes.warn(
                    line,
                    format!("target group {}: another has its number; the lowest free one is taken", group.name),
                );
                group.id = None;
            }
            return self.port_groups.push(group);
        };
        if (known.id, known.preferred) != (group.id, group.preferred) {
            notes.warn(
                line,
                format!(
                    "target group {}: here it is one for all devices; the first number and preference are taken",
                    group.name
                ),
            );
        }
        known.explicit |= group.explicit;
        let new: Vec<String> = group.targets.into_iter().filter(|target| !known.targets.contains(target)).collect();
        known.targets.extend(new);
        known.states.extend(group.states);
    }

    /// Leaves out what is there already, and LUNs that lead nowhere.
    fn drop_doubles(&mut self, notes: &mut Notes) {
        let mut names = BTreeSet::new();
        self.devices.retain(|device| {
            let new = names.insert(device.name.clone());
            if !new {
                notes.warn(device.line, format!("device {} is there already; this one is left out", device.name));
            }
            new
        });
        let mut targets = BTreeSet::new();
        self.targets.retain(|target| {
            let new = targets.insert(target.name.clone());
            if !new {
                notes.warn(target.line, format!("target {} is there already; this one is left out", target.name));
            }
            new
        });
        for target in &mut self.targets {
            keep_sound(&mut target.luns, &names, notes);
            for group in &mut target.groups {
                keep_sound(&mut group.luns, &names, notes);
            }
        }
    }

    fn put_targets(
        &self,
        options: &Options,
        units: &mut BTreeMap<String, Map<String, Value>>,
        requests: &mut Vec<Request>,
        notes: &mut Notes,
    ) {
        let mut taken = BTreeSet::new();
        let mut ports = BTreeSet::new();
        for (index, target) in self.targets.iter().enumerate() {
            let guid = match (options.service_guid, target.ids) {
                (Some(guid), _) if index == 0 => guid,
                (_, Ids::Port(guid)) => guid,
                (_, Ids::Unknown) => made_up_guid(&target.name),
            };
            // Two that share a GUID are told apart by id_ext.
            let id_ext = (0..).map(|step| guid.wrapping_add(step)).find(|id| taken.insert(*id)).unwrap_or(guid);
            if options.service_guid.is_none() || index > 0 {
                notes.warn(target.line, format!("target {}: initiators log in with id_ext={id_ext:016x},ioc_guid={guid:016x} now, where the kernel's target had the GUID of its first adapter for all; --service-guid gives that to the first target", target.name));
            }
            let relative_port = target.relative_port.filter(|port| {
                let new = ports.insert(*port);
                if !new {
                    notes.warn(target.line, format!("target {}: another has relative target port identifier {port}; the lowest free one is taken", target.name));
                }
                new
            });
            let mut params =
                json!({"name": target.name, "id_ext": format!("{id_ext:#018x}"), "ioc_guid": format!("{guid:#018x}")});
            if let Some(port) = relative_port {
                params["relative_target_port_id"] = port.into();
            }
            if target.is_flat {
                params["lun_addressing"] = "flat".into();
            }
            requests.push(Request::new("srp_create_target", params));
            for lun in &target.luns {
                let params = lun_params(lun, json!({"target": target.name}), units);
                requests.push(Request::new("srp_target_add_lun", params));
            }
        }
    }

    fn put_groups(&self, units: &mut BTreeMap<String, Map<String, Value>>, requests: &mut Vec<Request>) {
        let mut names = BTreeMap::new();
        for group in self.targets.iter().flat_map(|target| &target.groups) {
            *names.entry(&group.name).or_insert(0) += 1;
        }
        for target in &self.targets {
            // Exact names go before patterns, as in SCST: ours take the first group that fits.
            let mut groups: Vec<&Group> = target.groups.iter().collect();
            groups.sort_by_key(|group| {
                group.initiators.iter().any(|one| one.trim_start_matches("0x*").contains(['*', '?']))
            });
            for group in groups {
                // Ours have one name for all targets.
                let name = match names.get(&group.name) {
                    Some(1) => group.name.clone(),
                    _ => format!("{}@{}", group.name, target.name),
                };
                let params = json!({"name": name, "initiators": group.initiators, "luns": [], "target": target.name});
                requests.push(Request::new("srp_create_initiator_group", params));
                for lun in &group.luns {
                    let params = lun_params(lun, json!({"group": name}), units);
                    requests.push(Request::new("srp_initiator_group_add_lun", params));
                }
            }
            if target.open_to_others && !target.groups.is_empty() {
                let name = format!("{}{OTHERS}", target.name);
                let params = json!({"name": name, "initiators": ["*"], "target": target.name});
                requests.push(Request::new("srp_create_initiator_group", params));
            }
        }
    }

    fn put_port_groups(&self, requests: &mut Vec<Request>) {
        let exported: BTreeSet<&String> = self.targets.iter().flat_map(exported).collect();
        for group in &self.port_groups {
            // One state for all where all have it; else each unit has its own.
            let states: BTreeSet<Option<&str>> =
                exported.iter().map(|device| group.states.get(*device).copied()).collect();
            let whole = states.first().copied().flatten().filter(|_| states.len() == 1);
            let state = whole.unwrap_or("optimized");
            let mut params = json!({"name": group.name});
            if let Some(id) = group.id {
                params["id"] = id.into();
            }
            for (name, value) in
                [("preferred", group.preferred), ("implicit", group.implicit), ("explicit", group.explicit)]
            {
                params[name] = value.into();
            }
            params["state"] = state.into();
            requests.push(Request::new("srp_create_target_port_group", params));
            for target in &group.targets {
                let params = json!({"group": group.name, "target": target});
                requests.push(Request::new("srp_target_port_group_add_target", params));
            }
            for (device, state) in
                group.states.iter().filter(|(device, own)| exported.contains(device) && **own != state)
            {
                let params = json!({"group": group.name, "bdev_name": device, "state": state});
                requests.push(Request::new("srp_target_port_group_set_state", params));
            }
        }
    }
}

/// The devices that a target shows to anybody.
fn exported(target: &Target) -> impl Iterator<Item = &String> {
    let groups = target.groups.iter().flat_map(|group| &group.luns);
    target.luns.iter().chain(groups).map(|lun| &lun.device)
}

/// Leaves out LUNs that are there already, are too high, or lead nowhere.
fn keep_sound(luns: &mut Vec<Lun>, devices: &BTreeSet<String>, notes: &mut Notes) {
    let mut numbers = BTreeSet::new();
    luns.retain(|lun| {
        let fault = match lun {
            lun if lun.number > LUN_MAX => format!("LUN {}: there are 0 to {LUN_MAX}", lun.number),
            lun if !devices.contains(&lun.device) => format!("LUN {}: there is no device {}", lun.number, lun.device),
            lun if !numbers.insert(lun.number) => format!("LUN {} is there already", lun.number),
            _ => return true,
        };
        notes.warn(lun.line, format!("{fault}; it is left out"));
        false
    });
    luns.sort_by_key(|lun| lun.number);
}

fn lun_params(lun: &Lun, owner: Value, units: &mut BTreeMap<String, Map<String, Value>>) -> Value {
    let mut params = owner;
    params["bdev_name"] = lun.device.clone().into();
    params["lun"] = lun.number.into();
    params["read_only"] = lun.read_only.into();
    for (name, value) in units.remove(&lun.device).into_iter().flatten() {
        params[name] = value;
    }
    params
}

fn put_listeners(options: &Options, requests: &mut Vec<Request>, notes: &mut Notes) {
    let mut put = |address: String, port: u16| {
        let params = json!({"fabric": options.fabric, "address": address, "port": port});
        requests.push(Request::new("srp_create_listener", params));
    };
    if options.listen.is_empty() {
        notes.remark(None, format!("where to listen does not stand in it: every address, port {PORT}, fabric {}, is chosen; --listen and --fabric say otherwise", options.fabric));
        put("0.0.0.0".into(), PORT);
    }
    for address in &options.listen {
        put(address.ip().to_string(), address.port());
    }
}

/// For a target whose name has no GUID: always the same for one name (FNV-1a), marked as locally assigned (EUI-64).
fn made_up_guid(name: &str) -> u64 {
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    (hash & !(0b11 << 56)) | (0b10 << 56)
}
