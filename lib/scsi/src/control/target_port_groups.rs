//! REPORT and SET TARGET PORT GROUPS, and the VPD page that lists the ports (SPC-4).

use super::{ControlReply, Effect, Outcome};
use crate::alua::{self, AccessState, TargetPortGroups};
use crate::answer::vpd;
use crate::wire::sense::Sense;

pub(super) fn report(groups: &TargetPortGroups, extended: bool) -> Outcome {
    Outcome { reply: ControlReply::Good(alua::report(groups, extended)), effects: Vec::new() }
}

/// SCSI ports (VPD page 88h).
pub(super) fn scsi_ports(groups: &TargetPortGroups) -> Outcome {
    let ports = groups.groups.iter().flat_map(|group| &group.ports);
    Outcome { reply: ControlReply::Good(vpd::scsi_ports(ports)), effects: Vec::new() }
}

/// The whole list is checked before anything is changed.
pub(super) fn set(list: &[u8], groups: &TargetPortGroups) -> Outcome {
    let find = |id| groups.groups.iter().find(|group| group.id == id);
    if !find(groups.through).is_some_and(|group| group.modes.explicit) {
        // As for a service action that is not there: TPGS does not promise it through this port.
        return Sense::invalid_field_in_cdb(1, Some(4)).into();
    }
    let descriptors = match alua::parse_set(list) {
        Ok(descriptors) => descriptors,
        Err(sense) => return sense.into(),
    };
    for descriptor in &descriptors {
        match find(descriptor.group) {
            // The target itself is at it, and only one can be.
            Some(group) if group.state == AccessState::Transitioning => {
                return Sense::SET_TARGET_PORT_GROUPS_FAILED.into();
            }
            Some(group) if group.modes.explicit => (),
            _ => return Sense::invalid_field_in_parameter_list(descriptor.at + 2).into(),
        }
    }
    let effect = |&alua::SetDescriptor { group, state, .. }: &_| Effect::SetAccessState { group, state };
    Outcome { effects: descriptors.iter().map(effect).collect(), ..Outcome::good() }
}
