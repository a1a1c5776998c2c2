//! Initiator groups: who may log in, and what they see there.

use rpc::RpcError;
use serde::Deserialize;
use serde_json::{Value, json};
use transport_srp::{InitiatorGroup, MappedLunInfo, Pattern};

use super::lun::LunParams;
use super::{Name, admin_error};
use crate::appliance::Appliance;
use crate::rpc::Methods;

pub(super) fn add(methods: &mut Methods) {
    methods.add("srp_create_initiator_group", create);
    methods.add("srp_delete_initiator_group", delete);
    methods.add("srp_initiator_group_add_initiator", add_initiator);
    methods.add("srp_initiator_group_remove_initiator", remove_initiator);
    methods.add("srp_initiator_group_add_lun", add_lun);
    methods.add("srp_initiator_group_remove_lun", remove_lun);
    methods.add("srp_initiator_group_replace_lun", replace_lun);
    methods.add("srp_get_initiator_groups", |appliance: &mut Appliance, _: rpc::NoParams| Ok(list(appliance)));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    name: String,
    initiators: Vec<String>,
    /// LUNs of the target; an empty list begins a map of the group's own.
    luns: Option<Vec<u16>>,
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Initiator {
    group: String,
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

fn add_lun(appliance: &mut Appliance, params: LunParams) -> Result<u16, RpcError> {
    let (group, bdev) = (params.group()?, params.bdev(appliance)?);
    let source = params.source(bdev.as_ref())?;
    appliance.controller.group_add_lun(&group, source, &params.options()?).map_err(admin_error)
}

fn replace_lun(appliance: &mut Appliance, params: LunParams) -> Result<bool, RpcError> {
    let (group, lun, bdev) = (params.group()?, params.replaced()?, params.bdev(appliance)?);
    let source = params.source(bdev.as_ref())?;
    appliance.controller.group_replace_lun(&group, lun, source, &params.options()?).map_err(admin_error)?;
    Ok(true)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RemoveLun {
    group: String,
    lun: u16,
}

fn remove_lun(appliance: &mut Appliance, params: RemoveLun) -> Result<bool, RpcError> {
    appliance.controller.group_remove_lun(&params.group, params.lun).map_err(admin_error)?;
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
