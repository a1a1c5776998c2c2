//! LUN masking: which initiators belong to a group, what each of its members sees, and LUNs that come to show another unit. Control
//! plane.
//!
//! A change holds for the sessions that are there at once. Taking away is taken seriously: a session whose group is deleted, or no longer
//! contains it, becomes a member of the next group that does, and if there is none, it ends. Adding never takes a session away from anybody:
//! one that no group contains stays as it is until it logs in again.

use std::sync::Arc;

use bdev::Bdev;

use crate::administration::{AdminError, LunOptions, choose_lun};
use crate::controller::Controller;
use crate::initiator_group::{GroupLun, GroupLunSource, GroupLuns, InitiatorGroup, Pattern};
use crate::login;
use crate::session::{SessionId, UnitId};
use crate::statistics::LunKey;
use crate::target::TargetLun;

/// What a LUN of a group's own map shows.
#[derive(Clone, Copy, Debug)]
pub enum LunSource<'a> {
    /// A bdev, whether or not a target exports it.
    Bdev(&'a Arc<Bdev>),
    /// Whatever is behind this LUN of the member's target.
    TargetLun(u16),
}

/// A LUN as one session sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct VisibleLun {
    pub(crate) lun: u16,
    pub(crate) unit: UnitId,
    pub(crate) read_only: bool,
}

impl Controller {
    /// Adds a LUN to a group's own map, which begins with the first: from then on its members see nothing else. Returns the LUN.
    pub fn group_add_lun(
        &mut self,
        group: &str,
        source: LunSource<'_>,
        options: &LunOptions,
    ) -> Result<u16, AdminError> {
        let index = self.group_index(group)?;
        let lun = match &self.initiator_groups[index].luns {
            GroupLuns::All => choose_lun::<GroupLun>(&Default::default(), options.lun, "group", group)?,
            GroupLuns::Own(map) => choose_lun(map, options.lun, "group", group)?,
            GroupLuns::Some(_) => {
                return Err(AdminError::Invalid(format!(
                    "group: {group} was created with a list of the target's LUNs; create it without `luns`, or with none in it"
                )));
            }
        };
        let entry = self.group_lun(source, options)?;
        self.initiator_groups[index].own_map().insert(lun, entry);
        self.group_luns_changed(group);
        Ok(lun)
    }

    /// Takes a LUN out of a group's own map. Commands under way on it end as they would have.
    pub fn group_remove_lun(&mut self, group: &str, lun: u16) -> Result<(), AdminError> {
        let index = self.group_index(group)?;
        let removed = self.initiator_groups[index].entry(lun)?;
        self.initiator_groups[index].own_map().remove(&lun);
        self.group_luns_changed(group);
        removed.unit().into_iter().for_each(|unit| self.release_unit(unit));
        Ok(())
    }

    /// Has a LUN of a group's own map show something else, in one step: there is no moment without it. Commands under way end on the old
    /// unit.
    pub fn group_replace_lun(
        &mut self,
        group: &str,
        lun: u16,
        source: LunSource<'_>,
        options: &LunOptions,
    ) -> Result<(), AdminError> {
        let index = self.group_index(group)?;
        let old = self.initiator_groups[index].entry(lun)?;
        let new = self.group_lun(source, options)?;
        self.initiator_groups[index].own_map().insert(lun, new);
        self.group_luns_changed(group);
        old.unit().into_iter().for_each(|unit| self.release_unit(unit));
        Ok(())
    }

    /// As [`Controller::group_replace_lun`], for a LUN of a target.
    pub fn replace_lun(
        &mut self,
        target: &str,
        lun: u16,
        bdev: &Arc<Bdev>,
        options: &LunOptions,
    ) -> Result<(), AdminError> {
        let index = self.target_index(target)?;
        let missing = || AdminError::NotFound(format!("lun: {target} has no LUN {lun}"));
        let old = self.targets[index].luns.get(&lun).ok_or_else(missing)?.unit;
        let unit = self.unit_over(bdev, options)?;
        self.units.refer(unit);
        self.targets[index].luns.insert(lun, TargetLun { unit, read_only: options.read_only });
        self.luns_changed(|session| session.target == target);
        self.release_unit(old);
        Ok(())
    }

    /// What the members of a group see from now on: all LUNs of the target, or those in `luns`; an empty list begins a map of the group's
    /// own. The map that it had is given up.
    pub fn group_set_luns(&mut self, group: &str, luns: Option<Vec<u16>>) -> Result<(), AdminError> {
        let index = self.group_index(group)?;
        let units: Vec<UnitId> = self.initiator_groups[index].units().collect();
        self.initiator_groups[index].luns = GroupLuns::new(luns);
        self.group_luns_changed(group);
        units.into_iter().for_each(|unit| self.release_unit(unit));
        Ok(())
    }

    /// Puts a group before another, or behind all. Each session becomes a member of the first group that contains it now.
    pub fn move_initiator_group(&mut self, group: &str, before: Option<&str>) -> Result<(), AdminError> {
        let from = self.group_index(group)?;
        let missing = |name: &str| AdminError::NotFound(format!("before: there is no initiator group {name}"));
        let position = |name: &str| self.initiator_groups.iter().position(|other| other.name == name);
        let to = match before {
            None => self.initiator_groups.len(),
            Some(name) => position(name).ok_or_else(|| missing(name))?,
        };
        let moved = self.initiator_groups.remove(from);
        self.initiator_groups.insert(if to > from { to - 1 } else { to }, moved);
        self.drop_waiting_logins();
        self.admit();
        Ok(())
    }

    /// Adds a pattern to a group.
    pub fn group_add_initiator(&mut self, group: &str, pattern: Pattern) -> Result<(), AdminError> {
        let index = self.group_index(group)?;
        let initiators = &mut self.initiator_groups[index].initiators;
        if initiators.contains(&pattern) {
            return Err(AdminError::Exists(format!("initiator: {group} has {pattern}")));
        }
        initiators.push(pattern);
        self.drop_waiting_logins();
        // One with ! in front takes away.
        self.expel(group);
        self.admit();
        Ok(())
    }

    /// Takes a pattern out of a group.
    pub fn group_remove_initiator(&mut self, group: &str, pattern: &Pattern) -> Result<(), AdminError> {
        let index = self.group_index(group)?;
        let initiators = &mut self.initiator_groups[index].initiators;
        let found = initiators.iter().position(|other| other == pattern);
        let found = found.ok_or_else(|| AdminError::NotFound(format!("initiator: {group} has no {pattern}")))?;
        if initiators.len() == 1 {
            let text =
                format!("initiator: {pattern} is the only one of {group}; delete the group, or add another first");
            return Err(AdminError::Invalid(text));
        }
        initiators.remove(found);
        self.drop_waiting_logins();
        self.expel(group);
        // Without a ! it may contain more.
        self.admit();
        Ok(())
    }

    /// What a session is to see, as its target and its group are now.
    pub(crate) fn visible_luns(&self, id: SessionId) -> Vec<VisibleLun> {
        let Some(session) = self.sessions.get(&id) else { return Vec::new() };
        let Some(target) = self.targets.iter().find(|target| target.name == session.target) else { return Vec::new() };
        let find = |name: &String| self.initiator_groups.iter().find(|group| group.name == *name);
        let group = match session.group.as_ref().map(find) {
            // Its group was deleted, and it is about to end.
            Some(None) => return Vec::new(),
            Some(group) => group,
            None => None,
        };
        let all = |(&lun, exported): (&u16, &TargetLun)| VisibleLun {
            lun,
            unit: exported.unit,
            read_only: exported.read_only,
        };
        match group.map(|group| &group.luns) {
            None | Some(GroupLuns::All) => target.luns.iter().map(all).collect(),
            Some(GroupLuns::Some(luns)) => target.luns.iter().filter(|(lun, _)| luns.contains(lun)).map(all).collect(),
            Some(GroupLuns::Own(map)) => {
                let entry = |(&lun, entry): (&u16, &GroupLun)| {
                    let (unit, read_only) = match entry.source {
                        GroupLunSource::Unit(unit) => (unit, entry.read_only),
                        GroupLunSource::TargetLun(at) => {
                            let exported = target.luns.get(&at)?;
                            (exported.unit, entry.read_only || exported.read_only)
                        }
                    };
                    Some(VisibleLun { lun, unit, read_only })
                };
                map.iter().filter_map(entry).collect()
            }
        }
    }

    /// What a session's LUN counts as: as one of its target's, or of its group's own map.
    pub(crate) fn lun_key(&self, id: SessionId, lun: u16) -> Option<LunKey> {
        let session = self.sessions.get(&id)?;
        let own = |group: &&InitiatorGroup| {
            session.group.as_ref() == Some(&group.name) && matches!(group.luns, GroupLuns::Own(_))
        };
        let group = self.initiator_groups.iter().find(own).map(|group| group.name.clone());
        Some(LunKey { target: session.target.clone(), group, lun })
    }

    /// The LUNs of groups' own maps that lead to a unit.
    pub(crate) fn group_luns_of(&self, unit: UnitId) -> Vec<(String, u16)> {
        let luns_of = |group: &InitiatorGroup| -> Vec<(String, u16)> {
            let GroupLuns::Own(map) = &group.luns else { return Vec::new() };
            let leads = map.iter().filter(|(_, entry)| entry.unit() == Some(unit));
            leads.map(|(&lun, _)| (group.name.clone(), lun)).collect()
        };
        self.initiator_groups.iter().flat_map(luns_of).collect()
    }

    /// Sessions that a group contains, and no earlier one, become its members.
    pub(crate) fn admit(&mut self) {
        self.decide_anew(|_| true, false);
    }

    /// Decides anew about the sessions of a group that lost members.
    pub(crate) fn expel(&mut self, group: &str) {
        self.decide_anew(|of| of == Some(group), true);
    }

    /// Decides about sessions of some groups as if they logged in now; `ends`: those that would be refused end.
    fn decide_anew(&mut self, concerned: impl Fn(Option<&str>) -> bool, ends: bool) {
        let all = self.sessions.iter().filter(|(_, session)| concerned(session.group.as_deref()));
        let mut moved = Vec::new();
        let mut ended = Vec::new();
        for (&id, session) in all {
            match login::group_of(&session.target, &session.initiator, session.peer.ip(), &self.initiator_groups) {
                Ok(group) => {
                    let group = group.map(|index| self.initiator_groups[index].name.clone());
                    if group != session.group {
                        moved.push((id, group));
                    }
                }
                Err(login::Unwelcome) if ends => ended.push(id),
                Err(login::Unwelcome) => {}
            }
        }
        for (id, group) in moved {
            tracing::info!(
                session = id.0,
                group = group.as_deref().unwrap_or("none"),
                "the session changes its initiator group"
            );
            if let Some(session) = self.sessions.get_mut(&id) {
                session.group = group;
            }
            self.luns_changed_of(id);
        }
        for id in ended {
            self.stop_session(id, "no initiator group contains it any more");
        }
    }

    fn group_luns_changed(&mut self, group: &str) {
        self.luns_changed(|session| session.group.as_deref() == Some(group));
    }

    /// An entry, whose unit is referred to from now on.
    fn group_lun(&mut self, source: LunSource<'_>, options: &LunOptions) -> Result<GroupLun, AdminError> {
        let source = match source {
            LunSource::TargetLun(lun) => GroupLunSource::TargetLun(lun),
            LunSource::Bdev(bdev) => {
                let unit = self.unit_over(bdev, options)?;
                self.units.refer(unit);
                GroupLunSource::Unit(unit)
            }
        };
        Ok(GroupLun { source, read_only: options.read_only })
    }

    fn group_index(&self, name: &str) -> Result<usize, AdminError> {
        let found = self.initiator_groups.iter().position(|group| group.name == name);
        found.ok_or_else(|| AdminError::NotFound(format!("group: there is no initiator group {name}")))
    }
}
