//! Target port groups (SPC-4: asymmetric logical unit access): who belongs to which, and their states. Control plane.
//!
//! A group has a state, which holds for every unit but those that have one of their own there, set by the administrator or by an initiator
//! (SET TARGET PORT GROUPS). The latest word counts: a state for the whole group ends those of single units. What an initiator set is
//! kept over restarts with whatever else the unit keeps; what the administrator set is in the configuration, which is carried out later and
//! so wins.
//!
//! Targets in no group are in group 0, which is always active/optimized. As long as no group was made, INQUIRY does not tell of groups
//! at all.

use std::collections::BTreeMap;
use std::time::Duration;

use reactor::Instant;
use scsi::UnitAttention;
use scsi::alua::{AccessModes, AccessState, AccessStatus, PORTS_PER_GROUP_MAX, PortGroup};
use scsi::alua::{TargetPort, TargetPortGroup, TargetPortGroups};

use crate::administration::AdminError;
use crate::controller::Controller;
use crate::session::{SessionId, UnitId};
use crate::target::{ExportedUnit, Target};

/// The group of targets that are in no other.
const DEFAULT_GROUP: u16 = 0;

/// The longest transition, as REPORT TARGET PORT GROUPS can tell it.
const TRANSITION_MAX: Duration = Duration::from_secs(255);

/// All groups, and transitions under way.
#[derive(Default)]
pub(crate) struct Access {
    groups: Vec<Group>,
    transitions: Vec<Transition>,
}

struct Group {
    name: String,
    id: u16,
    targets: Vec<String>,
    state: AccessState,
    preferred: bool,
    modes: AccessModes,
    /// The administrator changed the state.
    changed: bool,
}

/// A group, or a unit there, on its way to a state.
struct Transition {
    group: u16,
    unit: Option<UnitId>,
    /// Where it began.
    from: AccessState,
    to: AccessState,
    until: Instant,
    /// All that it takes.
    seconds: u8,
}

/// A group to be made.
#[derive(Clone, Debug, Default)]
pub struct PortGroupOptions {
    /// Number, 1 to 65535; `None`: the lowest free one.
    pub id: Option<u16>,
    /// State.
    pub state: AccessState,
    /// Initiators are asked to prefer it.
    pub preferred: bool,
    /// Who may change the state; one of both at least.
    pub modes: AccessModes,
}

/// A change of a group by the administrator.
#[derive(Clone, Copy, Debug, Default)]
pub struct StateChange<'a> {
    /// The new state; `None`: it stays.
    pub state: Option<AccessState>,
    /// The bdev whose unit alone is concerned; `None`: every unit.
    pub bdev: Option<&'a str>,
    /// Whether initiators are asked to prefer the group; `None`: as it was.
    pub preferred: Option<bool>,
    /// How long the state is to be transitioning before.
    pub transition: Duration,
}

/// A group, for display.
#[derive(Clone, Debug)]
pub struct PortGroupInfo {
    /// Its name.
    pub name: String,
    /// Its number.
    pub id: u16,
    /// Its targets.
    pub targets: Vec<String>,
    /// Its state now.
    pub state: AccessState,
    /// The state that it is on the way to.
    pub next: Option<AccessState>,
    /// Initiators are asked to prefer it.
    pub preferred: bool,
    /// Who may change the state.
    pub modes: AccessModes,
    /// Units with a state of their own.
    pub units: Vec<UnitStateInfo>,
}

/// A state of one unit in a group, for display.
#[derive(Clone, Debug)]
pub struct UnitStateInfo {
    /// The bdev beneath.
    pub bdev_name: String,
    /// The state.
    pub state: AccessState,
    /// The state that it is on the way to.
    pub next: Option<AccessState>,
    /// An initiator set it, not the administrator.
    pub by_initiator: bool,
}

impl Controller {
    /// Makes a group without members.
    pub fn create_port_group(&mut self, name: &str, options: &PortGroupOptions) -> Result<(), AdminError> {
        if name.is_empty() || name.len() > 64 || !name.chars().all(|c| c.is_ascii_graphic()) {
            return Err(AdminError::Invalid("name: 1 to 64 printable characters without spaces are needed".into()));
        }
        if name == "default" || self.access.groups.iter().any(|group| group.name == name) {
            return Err(AdminError::Exists(format!("name: target port group {name} exists")));
        }
        if options.modes == AccessModes::default() {
            return Err(AdminError::Invalid("implicit, explicit: one of them must be true".into()));
        }
        let free = |id: &u16| self.access.groups.iter().all(|group| group.id != *id);
        let id = match options.id {
            Some(DEFAULT_GROUP) => return Err(AdminError::Invalid("id: 1 to 65535; 0 is the default group".into())),
            Some(id) if !free(&id) => {
                return Err(AdminError::Exists(format!("id: another target port group has {id}")));
            }
            Some(id) => id,
            None => {
                let full = || AdminError::Busy("id: there are 65535 target port groups already".into());
                (1..=u16::MAX).find(free).ok_or_else(full)?
            }
        };
        let &PortGroupOptions { state, preferred, modes, .. } = options;
        let group = Group { name: name.into(), id, targets: Vec::new(), state, preferred, modes, changed: false };
        self.access.groups.push(group);
        self.ports_changed();
        Ok(())
    }

    /// Removes a group; its targets are in the default group from now on.
    pub fn delete_port_group(&mut self, name: &str) -> Result<(), AdminError> {
        let index = self.port_group_index(name, "name")?;
        let id = self.access.groups.remove(index).id;
        self.access.transitions.retain(|transition| transition.group != id);
        self.forget_unit_states(id);
        self.ports_changed();
        Ok(())
    }

    /// Puts a target into a group; it leaves the one it was in.
    pub fn port_group_add_target(&mut self, group: &str, target: &str) -> Result<(), AdminError> {
        let index = self.port_group_index(group, "group")?;
        self.target_index(target)?;
        if self.access.groups[index].targets.iter().any(|member| member == target) {
            return Err(AdminError::Exists(format!("target: {target} is in {group} already")));
        }
        if self.access.groups[index].targets.len() >= PORTS_PER_GROUP_MAX {
            let text = format!("target: {group} has {PORTS_PER_GROUP_MAX} already, all that a report can list");
            return Err(AdminError::Busy(text));
        }
        self.leave_port_group(target);
        self.access.groups[index].targets.push(target.into());
        self.ports_changed();
        Ok(())
    }

    /// Takes a target out of a group; it is in the default group from now on.
    pub fn port_group_remove_target(&mut self, group: &str, target: &str) -> Result<(), AdminError> {
        let index = self.port_group_index(group, "group")?;
        let targets = &mut self.access.groups[index].targets;
        let found = targets.iter().position(|member| member == target);
        let found = found.ok_or_else(|| AdminError::NotFound(format!("target: {target} is not in {group}")))?;
        targets.remove(found);
        self.ports_changed();
        Ok(())
    }

    /// Changes the state of a group for all units, or for one (SPC-4: an implicit transition). With a transition time the state is
    /// transitioning before, and initiators are told when it has ended. Whoever sets the state where a transition that is under way began
    /// says that it failed, and initiators are told so.
    pub fn set_port_group_state(&mut self, group: &str, change: &StateChange<'_>) -> Result<(), AdminError> {
        let index = self.port_group_index(group, "group")?;
        let id = self.access.groups[index].id;
        if change.transition > TRANSITION_MAX {
            return Err(AdminError::Invalid(format!("transition_ms: at most {}", TRANSITION_MAX.as_millis())));
        }
        if change.state.is_some() && !self.access.groups[index].modes.implicit {
            let text = format!("group: {group} was created with `implicit` false: only initiators change its states");
            return Err(AdminError::Invalid(text));
        }
        let exported = |bdev: &str| {
            let missing = || AdminError::NotFound(format!("bdev_name: no LUN leads to bdev {bdev}"));
            self.units.find(bdev).ok_or_else(missing)
        };
        let unit = change.bdev.map(exported).transpose()?;
        if let Some(preferred) = change.preferred {
            self.access.groups[index].preferred = preferred;
        }
        let Some(state) = change.state else { return Ok(()) };
        let before = match unit.and_then(|unit| self.units.get(unit)) {
            Some(exported) => self.access.state_of(exported, id).0,
            None => self.access.groups[index].state,
        };
        let under_way = self.access.transition(id, unit);
        let from = under_way.map_or(before, |transition| transition.from);
        let has_failed = under_way.is_some_and(|transition| transition.from == state && transition.to != state);
        self.access.transitions.retain(|under_way| under_way.group != id || unit.is_some() && under_way.unit != unit);
        if unit.is_none() {
            self.access.groups[index].changed = true;
            self.forget_unit_states(id);
        }
        if change.transition.is_zero() {
            self.put_state(id, unit, state);
            let failed = UnitAttention::AccessTransitionFailed;
            self.tell_of_state(unit, None, if has_failed { failed } else { UnitAttention::AccessStateChanged });
        } else {
            let until = self.now.plus(change.transition);
            let seconds = change.transition.as_millis().div_ceil(1000) as u8;
            self.access.transitions.push(Transition { group: id, unit, from, to: state, until, seconds });
            self.put_state(id, unit, AccessState::Transitioning);
        }
        Ok(())
    }

    /// Ends the state that the unit on a bdev has of its own in a group, whoever set it: that of the group holds for it again (SPC-4: an
    /// implicit transition).
    pub fn clear_unit_state(&mut self, group: &str, bdev: &str) -> Result<(), AdminError> {
        let index = self.port_group_index(group, "group")?;
        let id = self.access.groups[index].id;
        if !self.access.groups[index].modes.implicit {
            let text = format!("group: {group} was created with `implicit` false: only initiators change its states");
            return Err(AdminError::Invalid(text));
        }
        let missing = || AdminError::NotFound(format!("bdev_name: bdev {bdev} has no state of its own in {group}"));
        let unit = self.units.find(bdev).ok_or_else(missing)?;
        let exported = self.units.get_mut(unit).ok_or_else(missing)?;
        let administrators = exported.access_states.remove(&id).is_some();
        let initiators = exported.saved.access_states.remove(&id).is_some();
        if !administrators && !initiators {
            return Err(missing());
        }
        if initiators {
            self.save_access_states(unit);
        }
        self.access.transitions.retain(|transition| (transition.group, transition.unit) != (id, Some(unit)));
        self.restrict_paths(unit);
        self.tell_of_state(Some(unit), None, UnitAttention::AccessStateChanged);
        Ok(())
    }

    /// All groups, in the order of their creation; the default group is none of them.
    pub fn port_groups(&self) -> Vec<PortGroupInfo> {
        let next = |group, unit| self.access.transition(group, unit).map(|transition| transition.to);
        let unit_states = |group: u16| {
            let mut units: Vec<UnitStateInfo> = self
                .units
                .iter()
                .filter(|(_, exported)| exported.references > 0)
                .filter_map(|(unit, exported)| {
                    let (state, status) = exported.own_state(group)?;
                    let by_initiator = status == AccessStatus::Explicit;
                    let bdev_name = exported.logical_unit.bdev().info().name.clone();
                    Some(UnitStateInfo { bdev_name, state, next: next(group, Some(unit)), by_initiator })
                })
                .collect();
            units.sort_by(|a, b| a.bdev_name.cmp(&b.bdev_name));
            units
        };
        let info = |group: &Group| PortGroupInfo {
            name: group.name.clone(),
            id: group.id,
            targets: group.targets.clone(),
            state: group.state,
            next: next(group.id, None),
            preferred: group.preferred,
            modes: group.modes,
            units: unit_states(group.id),
        };
        self.access.groups.iter().map(info).collect()
    }

    /// An initiator's word (SET TARGET PORT GROUPS): for its unit alone, and everybody else is told.
    pub(crate) fn set_access_state(&mut self, unit: UnitId, group: u16, state: AccessState, by: SessionId) {
        let Some(exported) = self.units.get_mut(unit) else { return };
        let changes = self.access.state_of(exported, group).0 != state;
        exported.access_states.remove(&group);
        exported.saved.access_states.insert(group, state);
        self.save_access_states(unit);
        self.restrict_paths(unit);
        if changes {
            self.tell_of_state(Some(unit), Some(by), UnitAttention::AccessStateChanged);
        }
    }

    /// Ends the transitions whose time has come.
    pub(crate) fn check_transitions(&mut self) {
        let now = self.now;
        let ended = |transition: &mut Transition| transition.until <= now;
        for Transition { group, unit, to, .. } in self.access.transitions.extract_if(.., ended).collect::<Vec<_>>() {
            self.put_state(group, unit, to);
            self.tell_of_state(unit, None, UnitAttention::AccessStateChanged);
        }
    }

    /// The groups as a unit has them, for a command of a session.
    pub(crate) fn port_groups_of(&self, unit: UnitId, session: SessionId) -> TargetPortGroups {
        let Some(exported) = self.units.get(unit) else { return TargetPortGroups::default() };
        let mut groups: BTreeMap<u16, TargetPortGroup> = BTreeMap::new();
        for target in &self.targets {
            let PortGroup { id, modes } = self.access.group_of(&target.name);
            let group = groups.entry(id).or_insert_with(|| {
                let (state, status) = self.access.state_of(exported, id);
                let preferred = self.access.get(id).is_some_and(|group| group.preferred);
                TargetPortGroup { id, state, status, preferred, modes, ports: Vec::new() }
            });
            group.ports.push(port(target));
        }
        let through = self.sessions.get(&session).map(|session| self.access.group_of(&session.target).id);
        let seconds = self.access.transitions.iter().map(|transition| transition.seconds).max();
        TargetPortGroups {
            groups: groups.into_values().collect(),
            through: through.unwrap_or(DEFAULT_GROUP),
            transition_seconds: seconds.unwrap_or(0),
        }
    }

    /// Sets what the path of every session to a unit is like.
    pub(crate) fn restrict_paths(&self, unit: UnitId) {
        let Some(exported) = self.units.get(unit) else { return };
        for session in self.sessions.values() {
            let Some(nexus) = session.unit_nexus(unit) else { continue };
            let group = self.access.group_of(&session.target);
            nexus.set_path_state(self.access.state_of(exported, group.id).0.path());
            nexus.set_port_group(group);
        }
    }

    /// A target is no more, or goes to another group.
    pub(crate) fn leave_port_group(&mut self, target: &str) {
        self.access.groups.iter_mut().for_each(|group| group.targets.retain(|member| member != target));
    }

    /// A unit is no more.
    pub(crate) fn forget_transitions(&mut self, unit: UnitId) {
        self.access.transitions.retain(|transition| transition.unit != Some(unit));
    }

    /// The groups themselves changed: what INQUIRY tells of them, and which state belongs to which path.
    fn ports_changed(&mut self) {
        for session in self.sessions.values() {
            let group = self.access.group_of(&session.target);
            for entry in session.luns.entries() {
                if entry.nexus.set_port_group(group) {
                    entry.nexus.establish(UnitAttention::InquiryDataChanged);
                }
            }
        }
        self.restrict_all();
        self.tell_of_state(None, None, UnitAttention::AccessStateChanged);
    }

    /// Sets a state of a group, or of a unit there.
    fn put_state(&mut self, group: u16, unit: Option<UnitId>, state: AccessState) {
        match unit {
            None => {
                self.access.groups.iter_mut().filter(|it| it.id == group).for_each(|group| group.state = state);
                self.restrict_all();
            }
            Some(id) => {
                let Some(exported) = self.units.get_mut(id) else { return };
                exported.access_states.insert(group, state);
                if exported.saved.access_states.remove(&group).is_some() {
                    self.save_access_states(id);
                }
                self.restrict_paths(id);
            }
        }
    }

    fn restrict_all(&self) {
        self.units.iter().for_each(|(unit, _)| self.restrict_paths(unit));
    }

    /// Tells everybody but the initiator whose doing it is.
    fn tell_of_state(&self, unit: Option<UnitId>, by: Option<SessionId>, attention: UnitAttention) {
        for (_, session) in self.sessions.iter().filter(|(id, _)| Some(**id) != by) {
            let concerned = |entry: &&crate::session::LunEntry| unit.is_none_or(|unit| entry.unit == unit);
            for entry in session.luns.entries().iter().filter(concerned) {
                entry.nexus.establish(attention);
            }
        }
    }

    /// What single units had of their own in a group is no more.
    fn forget_unit_states(&mut self, group: u16) {
        let units: Vec<UnitId> = self.units.iter().map(|(unit, _)| unit).collect();
        for unit in units {
            let Some(exported) = self.units.get_mut(unit) else { continue };
            exported.access_states.remove(&group);
            if exported.saved.access_states.remove(&group).is_some() {
                self.save_access_states(unit);
            }
        }
    }

    /// A state that cannot be kept holds all the same, until the restart.
    fn save_access_states(&self, unit: UnitId) {
        if self.store.is_none() {
            return;
        }
        if let Err(error) = self.save_unit(unit) {
            tracing::warn!(%error, "the access states that initiators set will not survive a restart");
        }
    }

    fn port_group_index(&self, name: &str, parameter: &str) -> Result<usize, AdminError> {
        let found = self.access.groups.iter().position(|group| group.name == name);
        found.ok_or_else(|| AdminError::NotFound(format!("{parameter}: there is no target port group {name}")))
    }
}

impl Access {
    fn get(&self, id: u16) -> Option<&Group> {
        self.groups.iter().find(|group| group.id == id)
    }

    /// The transition of a group, or of a unit there.
    fn transition(&self, group: u16, unit: Option<UnitId>) -> Option<&Transition> {
        self.transitions.iter().find(|transition| (transition.group, transition.unit) == (group, unit))
    }

    /// The group of a target.
    fn group_of(&self, target: &str) -> PortGroup {
        match self.groups.iter().find(|group| group.targets.iter().any(|member| member == target)) {
            Some(group) => PortGroup { id: group.id, modes: group.modes },
            // The administrator may put the target into another group, which is an implicit change.
            None => {
                let modes = AccessModes { implicit: !self.groups.is_empty(), explicit: false };
                PortGroup { id: DEFAULT_GROUP, modes }
            }
        }
    }

    /// The state of a group for a unit, and why.
    fn state_of(&self, unit: &ExportedUnit, group: u16) -> (AccessState, AccessStatus) {
        match self.get(group) {
            None => Default::default(),
            Some(of_all) => unit.own_state(group).unwrap_or_else(|| {
                let status = if of_all.changed { AccessStatus::Implicit } else { AccessStatus::None };
                (of_all.state, status)
            }),
        }
    }
}

impl ExportedUnit {
    /// The state that it alone has in a group, and who set it. What is saved may be from anybody, so states that no initiator can set
    /// are ignored.
    fn own_state(&self, group: u16) -> Option<(AccessState, AccessStatus)> {
        let administrators = self.access_states.get(&group).map(|&state| (state, AccessStatus::Implicit));
        administrators.or_else(|| {
            let state = self.saved.access_states.get(&group).filter(|state| state.is_settable())?;
            Some((*state, AccessStatus::Explicit))
        })
    }
}

fn port(target: &Target) -> TargetPort {
    TargetPort { relative_id: target.relative_port, id: target.port_id().0 }
}
