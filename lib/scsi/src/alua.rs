//! Asymmetric logical unit access (SPC-4): the states of target port groups, and the parameter data of REPORT and SET TARGET PORT
//! GROUPS. Pure: who is in which state is the transport's business.
//!
//! A port belongs to exactly one group, and a group has one state for each unit, so a unit and a port say what an initiator may do.

use serde::{Deserialize, Serialize};

use crate::nexus::PathState;
use crate::wire::bytes::Bytes;
use crate::wire::cdb::be16;
use crate::wire::sense::{FieldPointer, Sense};

/// Asymmetric access state of a group for a unit. Names in configurations are those of SPDK's `ana_state`, as far as it has them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessState {
    /// Active/optimized.
    #[default]
    Optimized,
    /// Active/non-optimized: everything works, but another path is better.
    NonOptimized,
    /// Standby: the unit says what it is, its medium cannot be accessed.
    Standby,
    /// Unavailable: as standby, with next to nothing allowed.
    Unavailable,
    /// Offline: as unavailable, and will stay so.
    Offline,
    /// Transitioning from one state to another.
    Transitioning,
}

/// STATUS CODE of a target port group descriptor: why the group is in its state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub enum AccessStatus {
    /// 00h: nothing to say; the state is the first.
    #[default]
    None = 0,
    /// 01h: altered by SET TARGET PORT GROUPS.
    Explicit = 1,
    /// 02h: altered by the target itself, which here is its administrator.
    Implicit = 2,
}

/// Who may change a group's states: the TPGS field of standard INQUIRY data.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AccessModes {
    /// The target, without being asked to by an initiator.
    pub implicit: bool,
    /// Initiators, by SET TARGET PORT GROUPS.
    pub explicit: bool,
}

/// The group that a command came through, as far as INQUIRY tells of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PortGroup {
    /// Its number.
    pub id: u16,
    /// Neither of them: the target does not tell of groups at all.
    pub modes: AccessModes,
}

/// A port of the target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TargetPort {
    /// Relative target port identifier, from 1.
    pub relative_id: u16,
    /// SRP target port identifier, as in [`crate::PortIds`].
    pub id: [u8; 16],
}

/// A group as it is for one unit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TargetPortGroup {
    /// Its number, unique.
    pub id: u16,
    /// Its state.
    pub state: AccessState,
    /// Why it is in that state.
    pub status: AccessStatus,
    /// Initiators are asked to prefer it among those of equal states (PREF).
    pub preferred: bool,
    /// Who may change the state.
    pub modes: AccessModes,
    /// Its members.
    pub ports: Vec<TargetPort>,
}

/// All groups as they are for one unit, and the one that an initiator uses.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TargetPortGroups {
    /// In ascending order of number.
    pub groups: Vec<TargetPortGroup>,
    /// Number of the group that the command came through.
    pub through: u16,
    /// How long a transition that is under way may take, in seconds; 0 if that is not known.
    pub transition_seconds: u8,
}

/// What SET TARGET PORT GROUPS wants of one group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SetDescriptor {
    /// Where it stands in the parameter list, in bytes.
    pub(crate) at: u16,
    pub(crate) group: u16,
    pub(crate) state: AccessState,
}

/// Most ports that a descriptor can list.
pub const PORTS_PER_GROUP_MAX: usize = u8::MAX as usize;

/// T_SUP, O_SUP, U_SUP, S_SUP, AN_SUP, AO_SUP: all states but LBA dependent.
const SUPPORTED_STATES: u8 = 0xcf;
const PREF: u8 = 0x80;
/// RETURN DATA FORMAT 001b of the extended header.
const EXTENDED_HEADER: u8 = 0x10;
const SET_HEADER_BYTES: usize = 4;
const SET_DESCRIPTOR_BYTES: usize = 4;

impl AccessState {
    /// Its code in both parameter lists.
    fn code(self) -> u8 {
        match self {
            AccessState::Optimized => 0x0,
            AccessState::NonOptimized => 0x1,
            AccessState::Standby => 0x2,
            AccessState::Unavailable => 0x3,
            AccessState::Offline => 0xe,
            AccessState::Transitioning => 0xf,
        }
    }

    /// The states that an initiator may ask for. Offline is a state of single ports there (SPC-4: secondary), which nothing here
    /// has, and transitioning is none that one could want.
    fn settable(code: u8) -> Option<AccessState> {
        use AccessState::{NonOptimized, Optimized, Standby, Unavailable};
        [Optimized, NonOptimized, Standby, Unavailable].into_iter().find(|state| state.code() == code)
    }

    /// Whether an initiator could have set it.
    pub fn is_settable(self) -> bool {
        AccessState::settable(self.code()).is_some()
    }

    /// What it means to commands.
    pub fn path(self) -> PathState {
        match self {
            AccessState::Optimized | AccessState::NonOptimized => PathState::Active,
            AccessState::Standby => PathState::Standby,
            AccessState::Unavailable => PathState::Unavailable,
            AccessState::Offline => PathState::Offline,
            AccessState::Transitioning => PathState::Transitioning,
        }
    }
}

impl AccessModes {
    /// TPGS (SPC-4): bit 0 implicit, bit 1 explicit.
    pub(crate) fn tpgs(self) -> u8 {
        u8::from(self.implicit) | u8::from(self.explicit) << 1
    }
}

impl PortGroup {
    /// In one word, for an atomic; 0 where groups are not told of.
    pub(crate) fn to_bits(self) -> u32 {
        u32::from(self.modes.tpgs()) << 16 | u32::from(self.id)
    }

    pub(crate) fn from_bits(bits: u32) -> PortGroup {
        let modes = AccessModes { implicit: bits & 1 << 16 != 0, explicit: bits & 2 << 16 != 0 };
        PortGroup { id: bits as u16, modes }
    }
}

/// Parameter data of REPORT TARGET PORT GROUPS, with the extended header or with the length alone.
pub(crate) fn report(groups: &TargetPortGroups, extended: bool) -> Box<[u8]> {
    let descriptors: usize = groups.groups.iter().map(|group| 8 + 4 * group.listed().len()).sum();
    let header = if extended { 8 } else { 4 };
    let mut data = vec![0; header + descriptors].into_boxed_slice();
    let length = data.len() - 4;
    let mut bytes = Bytes::new(&mut data);
    bytes.put_be32(length as u32);
    if extended {
        bytes.put(&[EXTENDED_HEADER, groups.transition_seconds, 0, 0]); // IMPLICIT TRANSITION TIME
    }
    groups.groups.iter().for_each(|group| group.put(&mut bytes));
    data
}

impl TargetPortGroup {
    fn listed(&self) -> &[TargetPort] {
        &self.ports[..self.ports.len().min(PORTS_PER_GROUP_MAX)]
    }

    /// The target port group descriptor.
    fn put(&self, bytes: &mut Bytes<'_>) {
        bytes.put_u8(if self.preferred { PREF } else { 0 } | self.state.code());
        bytes.put_u8(SUPPORTED_STATES);
        bytes.put_be16(self.id);
        bytes.put(&[0, self.status as u8, 0, self.listed().len() as u8]);
        for port in self.listed() {
            bytes.put_be16(0);
            bytes.put_be16(port.relative_id);
        }
    }
}

/// Parses the parameter list of SET TARGET PORT GROUPS; an empty one asks for nothing.
///
/// # Errors
/// PARAMETER LIST LENGTH ERROR for a descriptor that is cut off, INVALID FIELD IN PARAMETER LIST for a state that cannot be set.
pub(crate) fn parse_set(list: &[u8]) -> Result<Vec<SetDescriptor>, Sense> {
    if list.is_empty() {
        return Ok(Vec::new());
    }
    let descriptors = list.get(SET_HEADER_BYTES..).ok_or(Sense::PARAMETER_LIST_LENGTH_ERROR)?;
    if !descriptors.len().is_multiple_of(SET_DESCRIPTOR_BYTES) {
        return Err(Sense::PARAMETER_LIST_LENGTH_ERROR);
    }
    let parse = |(index, descriptor): (usize, &[u8])| {
        let at = (SET_HEADER_BYTES + index * SET_DESCRIPTOR_BYTES) as u16;
        let state = AccessState::settable(descriptor[0] & 0x0f).ok_or(Sense {
            field: Some(FieldPointer { in_cdb: false, byte: at, bit: Some(3) }),
            ..Sense::INVALID_FIELD_IN_PARAMETER_LIST
        })?;
        Ok(SetDescriptor { at, group: be16(descriptor, 2), state })
    };
    descriptors.chunks(SET_DESCRIPTOR_BYTES).enumerate().map(parse).collect()
}

#[cfg(test)]
#[path = "alua_tests.rs"]
mod tests;
