//! `srp_*`: targets, LUNs, listeners, initiator groups, target port groups and sessions, shaped like SPDK's `iscsi_*` and `nvmf_*`.

pub(crate) mod initiator_groups;
mod lun;
pub(crate) mod target_port_groups;

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use fabric::ListenerState;
use rpc::{NoParams, RpcError};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use scsi::{Addressing, Drive, LogicalUnit};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use transport_srp::{AdminError, TargetOptions};

use lun::{TargetLun, exported_bdev};

use super::{Methods, admin_error};
use crate::appliance::Appliance;
use crate::exposure::open_targets;
use crate::listeners::{AtInterface, Family};

pub(super) fn add(methods: &mut Methods) {
    methods.add("srp_create_target", "Makes a target, which initiators address by id_ext and ioc_guid", create_target);
    methods.add("srp_delete_target", "Deletes a target without sessions", delete_target);
    methods.add("srp_target_add_lun", "Exports a bdev as a LUN of a target; answers the LUN", add_lun);
    methods.add(
        "srp_target_remove_lun",
        "Takes a LUN away; its commands end first, its initiators are told",
        remove_lun,
    );
    methods.add("srp_target_replace_lun", "Puts another bdev behind a LUN; its initiators are told", replace_lun);
    methods.add(
        "srp_create_listener",
        "Listens for logins at an address, at once or as soon as there is a device for it; or at a network interface: at each of its addresses, as they come and go",
        create_listener,
    );
    methods.add(
        "srp_delete_listener",
        "Stops listening at an address or a network interface; sessions stay",
        delete_listener,
    );
    initiator_groups::add(methods);
    target_port_groups::add(methods);
    methods.add("srp_get_targets", "Lists the targets, with their LUNs; open_to_all: no initiator group guards its LUNs, and other hosts can reach a listener", get_targets);
    methods.add("srp_get_listeners", "Lists where logins are taken, each address of a network interface by itself, and what keeps a listener from it", get_listeners);
    methods.add("srp_get_sessions", "Lists the sessions, with their channels and counts", get_sessions);
    methods.add("srp_get_devices", "Lists the RDMA devices in use", get_devices);
    methods.add("srp_get_stats", "Answers counts of logins, and of our own RoCE by reason", get_stats);
    methods.add("srp_close_session", "Ends a session; its initiator may log in again", close_session);
}

/// 64 bits as they stand in a login string: hex digits, with `0x` or without. A JSON number is taken as it is.
#[derive(Clone, Copy)]
struct Hex64(u64);

impl JsonSchema for Hex64 {
    fn schema_name() -> Cow<'static, str> {
        "Hex64".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "integer"], "pattern": "^(0x)?[0-9a-fA-F:]+$", "minimum": 0})
    }
}

impl<'de> Deserialize<'de> for Hex64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Hex64, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(u64),
            Text(String),
        }
        let wrong = || serde::de::Error::custom("1 to 16 hex digits are needed, like \"0x0002c90300001234\"");
        match Either::deserialize(deserializer).map_err(|_| wrong())? {
            Either::Number(number) => Ok(Hex64(number)),
            Either::Text(text) => {
                let digits = text.strip_prefix("0x").unwrap_or(&text).replace(':', "");
                u64::from_str_radix(&digits, 16).map(Hex64).map_err(|_| wrong())
            }
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CreateTarget {
    /// Name of the target.
    name: String,
    /// The first half of the target port's identifier, as in the login string.
    id_ext: Hex64,
    /// The second half, as in the login string.
    ioc_guid: Hex64,
    /// Relative target port identifier (SPC-4), 1 to 65535; left out: the lowest free one.
    relative_target_port_id: Option<u16>,
    /// How REPORT LUNS lists LUNs below 256.
    #[serde(default)]
    lun_addressing: LunAddressing,
}

/// How REPORT LUNS lists LUNs below 256.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum LunAddressing {
    #[default]
    Peripheral,
    Flat,
}

/// The name of a way of addressing.
pub(crate) fn addressing_name(addressing: Addressing) -> &'static str {
    match addressing {
        Addressing::Peripheral => "peripheral",
        Addressing::Flat => "flat",
    }
}

fn create_target(appliance: &mut Appliance, params: CreateTarget) -> Result<bool, RpcError> {
    let addressing = match params.lun_addressing {
        LunAddressing::Peripheral => Addressing::Peripheral,
        LunAddressing::Flat => Addressing::Flat,
    };
    let (id_ext, ioc_guid) = (params.id_ext.0, params.ioc_guid.0);
    let options = TargetOptions { id_ext, ioc_guid, relative_port: params.relative_target_port_id, addressing };
    appliance.controller.create_target_with(&params.name, &options).map_err(admin_error)?;
    Ok(true)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Name {
    /// Name of the target, or of the group.
    name: String,
}

fn delete_target(appliance: &mut Appliance, params: Name) -> Result<bool, RpcError> {
    appliance.controller.delete_target(&params.name).map_err(admin_error)?;
    Ok(true)
}

fn add_lun(appliance: &mut Appliance, TargetLun { target, bdev_name, params }: TargetLun) -> Result<u16, RpcError> {
    let bdev = exported_bdev(appliance, &bdev_name)?;
    appliance.controller.add_lun(&target, &bdev, &params.options()?).map_err(admin_error)
}

fn replace_lun(
    appliance: &mut Appliance,
    TargetLun { target, bdev_name, params }: TargetLun,
) -> Result<bool, RpcError> {
    let (lun, bdev) = (params.replaced()?, exported_bdev(appliance, &bdev_name)?);
    appliance.controller.replace_lun(&target, lun, &bdev, &params.options()?).map_err(admin_error)?;
    Ok(true)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RemoveLun {
    /// Name of the target.
    target: String,
    /// The LUN, 0 to 16383.
    lun: u16,
}

fn remove_lun(appliance: &mut Appliance, params: RemoveLun) -> Result<bool, RpcError> {
    appliance.controller.remove_lun(&params.target, params.lun).map_err(admin_error)?;
    Ok(true)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CreateListener {
    /// verbs (RDMA devices, by IP address), ib (native InfiniBand, by GID and service id) or roce (our own RoCEv2).
    #[serde(default = "verbs")]
    fabric: String,
    /// Address to listen at, for ib a port's GID; 0.0.0.0 or ::: all.
    address: Option<IpAddr>,
    /// Network interface in place of an address, as `ip link` names it, whether it is there yet or not: each of its addresses, now and later, but link-local IPv6 ones.
    interface: Option<String>,
    /// Port of the connection manager, for ib the end of the service id 0x00000000013Fpppp; 5555 is usual.
    port: u16,
    /// Only these addresses of the network interface; left out: both.
    family: Option<Family>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DeleteListener {
    /// Its fabric: verbs, ib or roce.
    #[serde(default = "verbs")]
    fabric: String,
    /// Its address.
    address: Option<IpAddr>,
    /// Its network interface, in place of an address.
    interface: Option<String>,
    /// Its port.
    port: u16,
}

fn verbs() -> String {
    "verbs".into()
}

/// Where to listen.
enum Place {
    Address(SocketAddr),
    Interface(String),
}

impl Place {
    fn new(address: Option<IpAddr>, interface: Option<String>, port: u16) -> Result<Place, RpcError> {
        match (address, interface) {
            (Some(address), None) => Ok(Place::Address(SocketAddr::new(address, port))),
            (None, Some(interface)) => Ok(Place::Interface(interface)),
            _ => Err(RpcError::invalid_params("address, interface: one of the two is needed")),
        }
    }
}

fn create_listener(appliance: &mut Appliance, params: CreateListener) -> Result<bool, RpcError> {
    let CreateListener { fabric, address, interface, port, family } = params;
    if port == 0 {
        return Err(RpcError::invalid_params("port: 1 to 65535; 5555 is usual"));
    }
    let (controller, at_interfaces) = (&mut appliance.controller, &mut appliance.interface_listeners);
    let created = match Place::new(address, interface, port)? {
        Place::Address(_) if family.is_some() => {
            return Err(RpcError::invalid_params("family: only with an interface; leave it out"));
        }
        Place::Address(at) => {
            at_interfaces.give_way(controller, &fabric, at);
            controller.create_listener(&fabric, at)
        }
        Place::Interface(interface) => {
            at_interfaces.create(controller, AtInterface { fabric, interface, port, family })
        }
    };
    created.map_err(admin_error)?;
    Ok(true)
}

fn delete_listener(appliance: &mut Appliance, params: DeleteListener) -> Result<bool, RpcError> {
    let DeleteListener { fabric, address, interface, port } = params;
    let (controller, at_interfaces) = (&mut appliance.controller, &mut appliance.interface_listeners);
    let deleted = match Place::new(address, interface, port)? {
        Place::Address(at) => match at_interfaces.owner(&fabric, at) {
            Some(interface) => Err(AdminError::Busy(format!(
                "address, port: {fabric} listens on {at} because of interface {interface}: delete the listener there"
            ))),
            None => {
                at_interfaces.look_soon();
                controller.delete_listener(&fabric, at)
            }
        },
        Place::Interface(interface) => at_interfaces.delete(controller, &fabric, &interface, port),
    };
    deleted.map_err(admin_error)?;
    Ok(true)
}

fn get_targets(appliance: &mut Appliance, _: NoParams) -> Result<Vec<Value>, RpcError> {
    let open = open_targets(&appliance.controller);
    let targets = appliance.controller.targets().into_iter().map(|target| {
        let luns = target.luns.iter().map(|lun| {
            json!({"lun": lun.lun, "bdev_name": lun.bdev_name, "read_only": lun.read_only, "product": lun.unit.name(),
                "vendor": lun.unit.vendor(), "revision": lun.unit.revision(), "serial": lun.unit.serial(),
                "naa": format!("{:#018x}", lun.unit.naa()), "eui64": lun.unit.eui64().map(|eui64| eui64.to_string()),
                "queue_depth": lun.unit.task_set().depth(), "management_url": lun.unit.management_url(),
                "cdrom": lun.unit.drive().map(|drive| describe_drive(drive, &lun.unit))})
        });
        json!({"name": target.name, "id_ext": format!("{:#018x}", target.id_ext), "ioc_guid": format!("{:#018x}", target.ioc_guid),
            "relative_target_port_id": target.relative_port, "lun_addressing": addressing_name(target.addressing),
            "open_to_all": open.contains(&target.name), "sessions": target.sessions, "luns": luns.collect::<Vec<_>>()})
    });
    Ok(targets.collect())
}

/// What a CD drive's LUN has besides.
fn describe_drive(drive: &Drive, unit: &LogicalUnit) -> Value {
    let tray = if drive.is_open() { "open" } else { "closed" };
    json!({"tray": tray, "ejected": drive.is_disc_out(), "removal_prevented": unit.is_removal_prevented()})
}

fn get_listeners(appliance: &mut Appliance, _: NoParams) -> Result<Vec<Value>, RpcError> {
    let listeners = appliance.interface_listeners.show(&appliance.controller).into_iter().map(|listener| {
        let (state, reason) = match listener.state {
            ListenerState::Listening => ("listening", None),
            ListenerState::Waiting(reason) => ("waiting", Some(reason)),
        };
        json!({"fabric": listener.fabric, "interface": listener.interface, "family": listener.family, "address": listener.address,
            "port": listener.port, "state": state, "reason": reason})
    });
    Ok(listeners.collect())
}

fn get_sessions(appliance: &mut Appliance, _: NoParams) -> Result<Vec<Value>, RpcError> {
    let reactors: Vec<Option<u32>> = appliance.reactors.iter().map(|reactor| reactor.stats().core).collect();
    let sessions = appliance.controller.sessions().into_iter().map(|session| {
        let channels = session.channels.iter().map(|channel| {
            json!({"id": channel.id, "state": channel.state, "lcore": reactors.get(channel.reactor).copied().flatten(),
                "peer": channel.peer.to_string(), "commands": channel.commands, "task_management": channel.task_management,
                "bytes_out": channel.bytes_out, "bytes_in": channel.bytes_in, "failures": channel.failures, "aborts": channel.aborts,
                "buffer_waits": channel.buffer_waits, "send_waits": channel.send_waits, "credit_requests": channel.credit_requests})
        });
        json!({"id": session.id, "initiator_port_id": session.initiator_port_id, "target_port_id": session.target_port_id,
            "target": session.target, "initiator_group": session.initiator_group, "peer": session.peer.to_string(),
            "luns": session.luns, "channels": channels.collect::<Vec<_>>()})
    });
    Ok(sessions.collect())
}

fn get_devices(appliance: &mut Appliance, _: NoParams) -> Result<Vec<Value>, RpcError> {
    let devices = appliance.controller.devices().into_iter().map(|device| {
        json!({"name": device.name, "node_guid": format!("{:#018x}", device.node_guid), "link_layer": format!("{:?}", device.link_layer),
            "mtu": device.mtu, "active": device.active, "reads_max": device.reads_max})
    });
    Ok(devices.collect())
}

fn get_stats(appliance: &mut Appliance, _: NoParams) -> Result<Value, RpcError> {
    let logins = appliance.controller.login_counts();
    let mut stats = json!({"logins": {"accepted": logins.accepted, "refused": logins.refused}});
    if let Some(roce) = appliance.controller.roce_counters() {
        let object =
            |list: Vec<(&str, u64)>| list.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let parts = [
            ("packets", roce.packets.list()),
            ("cm_packets", roce.cm_packets.list()),
            ("queue_pairs", roce.groups.list()),
            ("reliable_connections", roce.connections.list()),
            ("connection_manager", roce.cm.list()),
        ];
        stats["roce"] = parts.into_iter().map(|(name, list)| (name.to_string(), Value::Object(object(list)))).collect();
    }
    Ok(stats)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CloseSession {
    /// The session, as srp_get_sessions numbers it.
    id: u64,
}

fn close_session(appliance: &mut Appliance, params: CloseSession) -> Result<bool, RpcError> {
    appliance.controller.close_session(params.id).map_err(admin_error)?;
    Ok(true)
}
