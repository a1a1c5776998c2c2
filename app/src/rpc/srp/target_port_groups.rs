//! Target port groups (SPC-4: asymmetric logical unit access). States have the names of SPDK's `ana_state`.

use std::time::Duration;

use rpc::RpcError;
use schemars::JsonSchema;
use scsi::alua::{AccessModes, AccessState};
use serde::Deserialize;
use serde_json::{Value, json};
use transport_srp::{PortGroupInfo, PortGroupOptions, StateChange, UnitStateInfo};

use super::{Name, admin_error};
use crate::appliance::Appliance;
use crate::rpc::Methods;

pub(super) fn add(methods: &mut Methods) {
    methods.add(
        "srp_create_target_port_group",
        "Makes a target port group for asymmetric logical unit access (SPC-4), without targets yet",
        create,
    );
    methods.add(
        "srp_delete_target_port_group",
        "Deletes a target port group; its targets go back to the default group",
        delete,
    );
    methods.add("srp_target_port_group_add_target", "Moves a target into a target port group", add_target);
    methods.add(
        "srp_target_port_group_remove_target",
        "Moves a target out of its target port group, into the default one",
        remove_target,
    );
    methods.add(
        "srp_target_port_group_set_state",
        "Changes the access state of a group, for all units or one, or whether it is preferred; initiators are told",
        set_state,
    );
    methods.add(
        "srp_target_port_group_clear_state",
        "Ends the state that one unit has of its own in a group: that of the group holds again; initiators are told",
        clear_state,
    );
    methods.add(
        "srp_get_target_port_groups",
        "Lists the target port groups, with their states and targets",
        |appliance: &mut Appliance, _: rpc::NoParams| Ok(list(appliance)),
    );
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Create {
    /// Name of the group.
    name: String,
    /// TARGET PORT GROUP, 1 to 65535; left out: the lowest free one.
    id: Option<u16>,
    /// The access state.
    #[serde(default)]
    state: State,
    /// Whether initiators should prefer its paths (PREF).
    #[serde(default)]
    preferred: bool,
    /// Whether the administrator changes states.
    #[serde(default = "yes")]
    implicit: bool,
    /// Whether initiators change states (SET TARGET PORT GROUPS).
    #[serde(default = "yes")]
    explicit: bool,
}

/// A state that a group can be set to.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum State {
    #[default]
    Optimized,
    NonOptimized,
    Standby,
    Unavailable,
    Offline,
}

impl From<State> for AccessState {
    fn from(state: State) -> AccessState {
        match state {
            State::Optimized => AccessState::Optimized,
            State::NonOptimized => AccessState::NonOptimized,
            State::Standby => AccessState::Standby,
            State::Unavailable => AccessState::Unavailable,
            State::Offline => AccessState::Offline,
        }
    }
}

fn yes() -> bool {
    true
}

fn create(appliance: &mut Appliance, params: Create) -> Result<bool, RpcError> {
    let Create { name, id, state, preferred, implicit, explicit } = params;
    let options = PortGroupOptions { id, state: state.into(), preferred, modes: AccessModes { implicit, explicit } };
    appliance.controller.create_port_group(&name, &options).map_err(admin_error)?;
    Ok(true)
}

fn delete(appliance: &mut Appliance, params: Name) -> Result<bool, RpcError> {
    appliance.controller.delete_port_group(&params.name).map_err(admin_error)?;
    Ok(true)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Member {
    /// Name of the group.
    group: String,
    /// Name of the target.
    target: String,
}

fn add_target(appliance: &mut Appliance, params: Member) -> Result<bool, RpcError> {
    appliance.controller.port_group_add_target(&params.group, &params.target).map_err(admin_error)?;
    Ok(true)
}

fn remove_target(appliance: &mut Appliance, params: Member) -> Result<bool, RpcError> {
    appliance.controller.port_group_remove_target(&params.group, &params.target).map_err(admin_error)?;
    Ok(true)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SetState {
    /// Name of the group.
    group: String,
    /// The access state.
    state: Option<State>,
    /// For the unit on this bdev only.
    bdev_name: Option<String>,
    /// Whether initiators should prefer its paths (PREF).
    preferred: Option<bool>,
    /// So long the state is "transitioning" first, in milliseconds.
    #[serde(default)]
    transition_ms: u32,
}

fn set_state(appliance: &mut Appliance, params: SetState) -> Result<bool, RpcError> {
    if params.state.is_none() && params.preferred.is_none() {
        return Err(RpcError::invalid_params("state, preferred: one of the two is needed"));
    }
    if params.state.is_none() && (params.bdev_name.is_some() || params.transition_ms != 0) {
        return Err(RpcError::invalid_params("state: bdev_name and transition_ms are about a state; give one"));
    }
    let change = StateChange {
        state: params.state.map(AccessState::from),
        bdev: params.bdev_name.as_deref(),
        preferred: params.preferred,
        transition: Duration::from_millis(params.transition_ms.into()),
    };
    appliance.controller.set_port_group_state(&params.group, &change).map_err(admin_error)?;
    Ok(true)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ClearState {
    /// Name of the group.
    group: String,
    /// The bdev behind the unit.
    bdev_name: String,
}

fn clear_state(appliance: &mut Appliance, params: ClearState) -> Result<bool, RpcError> {
    appliance.controller.clear_unit_state(&params.group, &params.bdev_name).map_err(admin_error)?;
    Ok(true)
}

fn list(appliance: &Appliance) -> Vec<Value> {
    let unit = |unit: &UnitStateInfo| {
        json!({"bdev_name": unit.bdev_name, "state": unit.state, "next_state": unit.next,
            "by_initiator": unit.by_initiator})
    };
    let group = |group: PortGroupInfo| {
        json!({"name": group.name, "id": group.id, "state": group.state, "next_state": group.next,
            "preferred": group.preferred, "implicit": group.modes.implicit, "explicit": group.modes.explicit,
            "targets": group.targets, "units": group.units.iter().map(unit).collect::<Vec<_>>()})
    };
    appliance.controller.port_groups().into_iter().map(group).collect()
}

/// The calls that make all groups as they are now; a transition that is under way will have ended. What initiators set is not in the
/// configuration, but kept with the units.
pub(crate) fn save(appliance: &Appliance) -> Vec<Value> {
    let mut config = Vec::new();
    for group in appliance.controller.port_groups() {
        let PortGroupInfo { name, id, preferred, modes, .. } = group;
        let state = group.next.unwrap_or(group.state);
        let params = json!({"name": name, "id": id, "state": state, "preferred": preferred,
            "implicit": modes.implicit, "explicit": modes.explicit});
        config.push(json!({"method": "srp_create_target_port_group", "params": params}));
        for target in group.targets {
            let params = json!({"group": name, "target": target});
            config.push(json!({"method": "srp_target_port_group_add_target", "params": params}));
        }
        for unit in group.units.into_iter().filter(|unit| !unit.by_initiator) {
            let state = unit.next.unwrap_or(unit.state);
            let params = json!({"group": name, "bdev_name": unit.bdev_name, "state": state});
            config.push(json!({"method": "srp_target_port_group_set_state", "params": params}));
        }
    }
    config
}
