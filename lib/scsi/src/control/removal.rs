//! PREVENT ALLOW MEDIUM REMOVAL (SPC-4), and taking the medium out and putting it in by START STOP UNIT (SBC-3).

use super::{Effect, Outcome};
use crate::execute::PortIds;
use crate::nexus::UnitAttention;
use crate::reservations::NexusId;
use crate::state::Power;
use crate::unit::LogicalUnit;
use crate::wire::sense::Sense;

/// Each nexus prevents for itself.
pub(super) fn prevent(prevent: bool, unit: &LogicalUnit, ports: &PortIds) -> Outcome {
    let mut kept = unit.state().kept();
    match prevent {
        true => kept.preventing.insert(NexusId::from(ports)),
        false => kept.preventing.remove(&NexusId::from(ports)),
    };
    Outcome::good()
}

/// The medium is out until it is loaded again, by an initiator or by the administrator who has another file take its place.
pub(super) fn eject(unit: &LogicalUnit) -> Outcome {
    if unit.is_removal_prevented() {
        return Sense::MEDIUM_REMOVAL_PREVENTED.into();
    }
    unit.state().set_ejected(true);
    Outcome::good()
}

/// Others have to know that it may be another medium.
pub(super) fn load(unit: &LogicalUnit) -> Outcome {
    unit.state().set_power(Power::Active);
    if !unit.state().is_ejected() {
        return Outcome::good();
    }
    unit.load_medium();
    Outcome { effects: vec![Effect::TellOthers(UnitAttention::NotReadyToReady)], ..Outcome::good() }
}

#[cfg(test)]
#[path = "removal_tests.rs"]
mod tests;
