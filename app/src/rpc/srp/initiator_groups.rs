//! Initiator groups: who may log in, and what they see there.

use rpc::RpcError;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use transport_srp::{InitiatorGroup, MappedLunInfo, Pattern};

use super::lun::GroupLun;
use super::{Name, admin_error};
use crate::appliance::Appliance;
use crate::rpc::Methods;

pub(super) fn add(methods: &mut Methods) {
    methods.add(
        "srp_create_initiator_group",
        "Makes a group of initiators, which may log in and see LUNs of their own",
        create,
    );
    methods.add(
        "srp_delete_initiator_group",
        "Deletes a group of initiators; who is logged in by it is logged out, unless another group takes them",
        delete,
    );
    methods.add(
        "srp_initiator_group_add_initiator",
        "Adds an initiator, or a pattern of them, to a group",
        add_initiator,
    );
    methods.add(
        "srp_initiator_group_remove_initiator",
        "Takes an initiator, or a pattern of them, out of a group",
        remove_initiator,
    );
    methods.add(
        "srp_initiator_group_add_lun",
        "Shows a bdev, or a LUN of the target, to the initiators of a group; answers the LUN",
        add_lun,
    );
    methods.add("srp_initiator_group_remove_lun", "Takes a LUN away from the initiators of a group", remove_lun);
    methods.add(
        "srp_initiator_group_replace_lun",
        "Puts something else behind a LUN of a group; its initiators are told",
        replace_lun,
    );
    methods.add(
        "srp_initiator_group_set_luns",
        "Changes which LUNs of the target the initiators of a group see, or begins a map of the group's own",
        set_luns,
    );
    methods.add(
        "srp_initiator_group_move",
        "Puts a group before another, or behind all: the first that contains an initiator decides",
        move_group,
    );
    methods.add(
        "srp_get_initiator_groups",
        "Lists the groups of initiators, with their patterns and LUNs",
        |appliance: &mut Appliance, _: rpc::NoParams| Ok(list(appliance)),
    );
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Create {
    /// Name of the group.
    name: String,
    /// Initiator port identifiers, or patterns of them with * and ?.
    initiators: Vec<String>,
    /// LUNs of the target; an empty list begins a map of the group's own.
    luns: Option<Vec<u16>>,
    /// Only at this target; left out: at all.
    target: Option<String>,
}

fn create(appliance: &mut Appliance, params: Create) -> Result<bool, RpcError> {
    let initiators = params.initiators.iter().map(|text| pattern("initiators", text)).collect::<Result<_, _>>()?;
    let group = InitiatorGroup::new(params.name, params.target, initiators, params.luns);
    appliance.controller.create_initiator_group(group).map_err(admin_error)?;
    Ok(true)
}

fn delete(appliance: &mut Appliance, params: Name) -> Result<bool, RpcError> {
    appliance.controller.delete_initiator_group(&params.name).map_err(admin_error)?;
    Ok(true)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Initiator {
    /// Name of the group.
    group: String,
    /// Initiator port identifier, or a pattern with * and ?.
    initiator: String,
}

fn add_initiator(appliance: &mut Appliance, params: Initiator) -> Result<bool, RpcError> {
    let initiator = pattern("initiator", &params.initiator)?;
    appliance.controller.group_add_initiator(&params.group, initiator).map_err(admin_error)?;
    Ok(true)
}

fn remove_initiator(appliance: &mut Appliance, params: Initiator) -> Result<bool, RpcError> {
    let initiator = pattern("initiator", &params.initiator)?;
    appliance.controller.group_remove_initiator(&params.group, &initiator).map_err(admin_error)?;
    Ok(true)
}

fn add_lun(appliance: &mut Appliance, GroupLun { group, params }: GroupLun) -> Result<u16, RpcError> {
    let bdev = params.bdev(appliance)?;
    let source = params.source(bdev.as_ref())?;
    appliance.controller.group_add_lun(&group, source, &params.options()?).map_err(admin_error)
}

fn replace_lun(appliance: &mut Appliance, GroupLun { group, params }: GroupLun) -> Result<bool, RpcError> {
    let (lun, bdev) = (params.replaced()?, params.bdev(appliance)?);
    let source = params.source(bdev.as_ref())?;
    appliance.controller.group_replace_lun(&group, lun, source, &params.options()?).map_err(admin_error)?;
    Ok(true)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RemoveLun {
    /// Name of the group.
    group: String,
    /// The LUN, 0 to 16383.
    lun: u16,
}

fn remove_lun(appliance: &mut Appliance, params: RemoveLun) -> Result<bool, RpcError> {
    appliance.controller.group_remove_lun(&params.group, params.lun).map_err(admin_error)?;
    Ok(true)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SetLuns {
    /// Name of the group.
    group: String,
    /// LUNs of the target; an empty list begins a map of the group's own; left out: all of the target's.
    luns: Option<Vec<u16>>,
}

fn set_luns(appliance: &mut Appliance, params: SetLuns) -> Result<bool, RpcError> {
    appliance.controller.group_set_luns(&params.group, params.luns).map_err(admin_error)?;
    Ok(true)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Move {
    /// Name of the group.
    group: String,
    /// The group that comes next; left out: none.
    before: Option<String>,
}

fn move_group(appliance: &mut Appliance, params: Move) -> Result<bool, RpcError> {
    appliance.controller.move_initiator_group(&params.group, params.before.as_deref()).map_err(admin_error)?;
    Ok(true)
}

fn list(appliance: &Appliance) -> Vec<Value> {
    let mapped = |lun: &MappedLunInfo| {
        let bdev_name = lun.unit.as_ref().map(|unit| unit.bdev().info().name.clone());
        json!({"lun": lun.lun, "bdev_name": bdev_name, "target_lun": lun.target_lun, "read_only": lun.read_only})
    };
    let groups = appliance.controller.initiator_groups().into_iter().map(|group| {
        let map: Option<Vec<Value>> = group.map.map(|map| map.iter().map(mapped).collect());
        json!({"name": group.name, "target": group.target, "initiators": group.initiators, "luns": group.luns, "map": map})
    });
    groups.collect()
}

fn pattern(parameter: &str, text: &str) -> Result<Pattern, RpcError> {
    text.parse().map_err(|error| RpcError::invalid_params(format!("{parameter}: {error}")))
}

/// The calls that make all groups as they are now. `identity` fills in what names a unit, the first time that it is met.
pub(crate) fn save(appliance: &Appliance, mut identity: impl FnMut(&scsi::LogicalUnit, &mut Value)) -> Vec<Value> {
    let mut config = Vec::new();
    for group in appliance.controller.initiator_groups() {
        let mut params = json!({"name": group.name, "initiators": group.initiators});
        if let Some(luns) = group.luns.or(group.map.as_ref().map(|_| Vec::new())) {
            params["luns"] = luns.into();
        }
        if let Some(target) = &group.target {
            params["target"] = target.clone().into();
        }
        config.push(json!({"method": "srp_create_initiator_group", "params": params}));
        for lun in group.map.into_iter().flatten() {
            let mut params = json!({"group": group.name, "lun": lun.lun, "read_only": lun.read_only});
            match (&lun.unit, lun.target_lun) {
                (Some(unit), _) => {
                    params["bdev_name"] = unit.bdev().info().name.clone().into();
                    identity(unit, &mut params);
                }
                (None, target_lun) => params["target_lun"] = target_lun.into(),
            }
            config.push(json!({"method": "srp_initiator_group_add_lun", "params": params}));
        }
    }
    config
}
