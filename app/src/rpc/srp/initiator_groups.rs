//! Initiator groups: who may log in, and what they see there.

use std::sync::Arc;

use bdev::Bdev;
use rpc::RpcError;
use serde::Deserialize;
use serde_json::{Value, json};
use transport_srp::{InitiatorGroup, LunOptions, LunSource, MappedLunInfo, Pattern};

use super::{Hex64, Name, admin_error, bdev_to_export, parse_device_type, parse_eui64};
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

/// What a LUN of a group's own map shows: a bdev, or a LUN of the target.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lun {
    group: String,
    lun: Option<u16>,
    bdev_name: Option<String>,
    target_lun: Option<u16>,
    #[serde(default)]
    read_only: bool,
    device_type: Option<String>,
    product: Option<String>,
    vendor: Option<String>,
    revision: Option<String>,
    serial: Option<String>,
    naa: Option<Hex64>,
    eui64: Option<String>,
    queue_depth: Option<u32>,
    management_url: Option<String>,
}

fn add_lun(appliance: &mut Appliance, params: Lun) -> Result<u16, RpcError> {
    let bdev = shown_bdev(appliance, &params)?;
    let source = source(bdev.as_ref(), &params)?;
    let (group, options) = options(params)?;
    appliance.controller.group_add_lun(&group, source, &options).map_err(admin_error)
}

fn replace_lun(appliance: &mut Appliance, params: Lun) -> Result<bool, RpcError> {
    let lun = params.lun.ok_or_else(|| RpcError::invalid_params("lun: which one is to be replaced?"))?;
    let bdev = shown_bdev(appliance, &params)?;
    let source = source(bdev.as_ref(), &params)?;
    let (group, options) = options(params)?;
    appliance.controller.group_replace_lun(&group, lun, source, &options).map_err(admin_error)?;
    Ok(true)
}

fn shown_bdev(appliance: &Appliance, params: &Lun) -> Result<Option<Arc<Bdev>>, RpcError> {
    params.bdev_name.as_ref().map(|name| bdev_to_export(appliance, name)).transpose()
}

fn source<'a>(bdev: Option<&'a Arc<Bdev>>, params: &Lun) -> Result<LunSource<'a>, RpcError> {
    let strings = [
        &params.product,
        &params.vendor,
        &params.revision,
        &params.serial,
        &params.eui64,
        &params.management_url,
        &params.device_type,
    ];
    let has_own = strings.iter().any(|given| given.is_some()) || params.naa.is_some() || params.queue_depth.is_some();
    match (bdev, params.target_lun) {
        (Some(bdev), None) => Ok(LunSource::Bdev(bdev)),
        (None, Some(_)) if has_own => {
            let text = "device_type, product, vendor, revision, serial, naa, eui64, queue_depth, management_url: a LUN of the target has its own; leave them out";
            Err(RpcError::invalid_params(text))
        }
        (None, Some(lun)) => Ok(LunSource::TargetLun(lun)),
        _ => Err(RpcError::invalid_params("bdev_name, target_lun: one of the two is needed")),
    }
}

/// The group's name, and everything else.
fn options(params: Lun) -> Result<(String, LunOptions), RpcError> {
    let options = LunOptions {
        lun: params.lun,
        read_only: params.read_only,
        device_type: parse_device_type(params.device_type.as_deref())?,
        product: params.product,
        vendor: params.vendor,
        revision: params.revision,
        serial: params.serial,
        naa: params.naa.map(|naa| naa.0),
        eui64: parse_eui64(params.eui64)?,
        queue_depth: params.queue_depth,
        management_url: params.management_url,
    };
    Ok((params.group, options))
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
