//! `srp_get_reservations`, `srp_clear_reservations`: what initiators have registered and reserved (SPC-4, Persistent reservations), and the way
//! out when none of them is left to clear it.

use std::collections::BTreeSet;

use rpc::{Errno, RpcError};
use schemars::JsonSchema;
use scsi::reservations::NexusId;
use serde::Deserialize;
use serde_json::{Value, json};
use transport_srp::ReservationInfo;
use transport_srp::wire::PortId;

use super::{Methods, admin_error};
use crate::appliance::Appliance;

pub(super) fn add(methods: &mut Methods) {
    methods.add(
        "srp_get_reservations",
        "Lists what initiators have registered and reserved, by bdev",
        get_reservations,
    );
    methods.add("srp_clear_reservations", "Takes all registrations and the reservation of a bdev away, for when nobody is left who could; answers whether there were any", clear_reservations);
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct GetReservations {
    /// Only of this bdev.
    bdev_name: Option<String>,
}

fn get_reservations(appliance: &mut Appliance, params: GetReservations) -> Result<Vec<Value>, RpcError> {
    let mut units = appliance.controller.reservations();
    if let Some(name) = params.bdev_name {
        units.retain(|unit| unit.bdev_name == name);
        if units.is_empty() {
            let text = format!("bdev_name: no target has a LUN on bdev {name}");
            return Err(RpcError::errno(Errno::NODEV, text));
        }
    }
    let sessions = appliance.controller.sessions().into_iter();
    let logged_in = sessions.map(|session| (session.initiator_port_id, session.target_port_id)).collect();
    Ok(units.iter().map(|unit| unit_json(unit, &logged_in)).collect())
}

fn unit_json(unit: &ReservationInfo, logged_in: &BTreeSet<(String, String)>) -> Value {
    let reservations = &unit.reservations;
    let registrations = reservations.registrations().iter().map(|registration| {
        let ports = port_ids(registration.nexus);
        let target = unit.ports.iter().find(|(_, port)| port.id == registration.nexus.target_port_id);
        json!({"initiator_port_id": ports.0, "target_port_id": ports.1, "target": target.map(|(name, _)| name),
            "key": format!("{:#018x}", registration.key), "logged_in": logged_in.contains(&ports)})
    });
    let reservation = reservations
        .reservation()
        .map(|reservation| json!({"type": reservation.kind.name(), "holder": reservation.holder.map(nexus_json)}));
    json!({"bdev_name": unit.bdev_name, "naa": format!("{:#018x}", unit.naa), "generation": reservations.generation(),
        "aptpl": reservations.persists(), "registrations": registrations.collect::<Vec<_>>(), "reservation": reservation,
        "spc2_holder": reservations.reserved_by().map(nexus_json)})
}

fn nexus_json(nexus: NexusId) -> Value {
    let (initiator, target) = port_ids(nexus);
    json!({"initiator_port_id": initiator, "target_port_id": target})
}

fn port_ids(nexus: NexusId) -> (String, String) {
    (PortId(nexus.initiator_port_id).to_string(), PortId(nexus.target_port_id).to_string())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ClearReservations {
    /// Name of the bdev.
    bdev_name: String,
}

/// Whether there was anything to be cleared.
fn clear_reservations(appliance: &mut Appliance, params: ClearReservations) -> Result<bool, RpcError> {
    appliance.controller.clear_reservations(&params.bdev_name).map_err(admin_error)
}
