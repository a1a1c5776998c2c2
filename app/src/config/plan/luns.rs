//! LUNs of a plan, of targets and of groups' own maps.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Impossible, Planner};
use crate::config::model::targets::{Lun, Owner, Source};
use crate::config::model::{Key, Model};
use crate::config::params::Params;

/// Which LUNs are to be added.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Those whose bdev is there as it will be.
    Possible,
    All,
}

impl Planner {
    /// That units do not change places for want of a number, as when a LUN before them is left out of a file: an initiator that has one
    /// mounted would go on writing, to another disk.
    pub(super) fn check_unnumbered_luns(&self) -> Result<(), Impossible> {
        for (owner, number) in &self.wanted.unnumbered_luns {
            let (Some(now), Some(wanted)) = (luns_of(&self.work, owner), luns_of(&self.wanted, owner)) else {
                continue;
            };
            let (Some(before), Some(after)) = (now.get(number), wanted.get(number)) else { continue };
            let elsewhere = |luns: &BTreeMap<u16, Lun>, source: &Source| {
                luns.iter().any(|(other, lun)| other != number && lun.source == *source)
            };
            let moves = elsewhere(now, &after.source) || elsewhere(wanted, &before.source);
            if before.source != after.source && moves {
                let text = format!(
                    "lun: {number} is the lowest free number, and shows {} now: initiators that use it would go on with {}. \
                     Give each LUN its number",
                    before.source, after.source
                );
                return Err(Impossible { key: Key::Lun(owner.clone(), *number), text });
            }
        }
        Ok(())
    }

    /// LUNs that are missing.
    pub(super) fn add_luns(&mut self, which: Which) -> Result<(), Impossible> {
        for (owner, number, lun) in luns(&self.wanted) {
            let is_missing = luns_of(&self.work, &owner).is_some_and(|luns| !luns.contains_key(&number));
            if is_missing && (which == Which::All || self.can_show(&lun.source)) {
                self.put(&owner, number, &lun, "add")?;
            }
        }
        Ok(())
    }

    /// LUNs that show something else.
    pub(super) fn replace_luns(&mut self) -> Result<(), Impossible> {
        for (owner, number, lun) in luns(&self.wanted) {
            let now = luns_of(&self.work, &owner).and_then(|luns| luns.get(&number));
            if now.is_some_and(|now| *now != lun) && self.can_show(&lun.source) {
                self.put(&owner, number, &lun, "replace")?;
            }
        }
        Ok(())
    }

    /// LUNs that are not wanted, or whose bdev or unit has to go. Otherwise those of groups that go, go with them.
    pub(super) fn remove_luns(&mut self) -> Result<(), Impossible> {
        for (owner, number, lun) in luns(&self.work) {
            let wanted = luns_of(&self.wanted, &owner);
            let goes_later = matches!(owner, Owner::Group(_)) && wanted.is_none();
            let stays = goes_later || wanted.and_then(|luns| luns.get(&number)) == Some(&lun);
            if !stays || !self.can_stay(&lun.source) {
                let (prefix, mut params) = of(&owner);
                params["lun"] = number.into();
                self.emit(Key::Lun(owner, number), &format!("{prefix}_remove_lun"), params)?;
            }
        }
        // Whoever is shown again is a unit of its new identity.
        self.stale.clear();
        Ok(())
    }

    fn put(&mut self, owner: &Owner, number: u16, lun: &Lun, verb: &str) -> Result<(), Impossible> {
        let (prefix, mut params) = of(owner);
        params["lun"] = number.into();
        match &lun.source {
            Source::TargetLun(target_lun) => params["target_lun"] = (*target_lun).into(),
            Source::Bdev(bdev) => {
                params["bdev_name"] = bdev.clone().into();
                for (parameter, value) in self.identity(bdev) {
                    params[&parameter] = value;
                }
            }
        }
        if lun.read_only {
            params["read_only"] = true.into();
        }
        self.emit(Key::Lun(owner.clone(), number), &format!("{prefix}_{verb}_lun"), params)
    }

    /// What the first LUN of a bdev has to say of its unit.
    fn identity(&self, bdev: &str) -> Params {
        if self.work.units.contains_key(bdev) {
            return Params::new();
        }
        let defaults = self.work.default_identity(bdev);
        let identity = self.wanted.units.get(bdev).map(|unit| unit.identity.clone()).unwrap_or_default();
        identity.into_iter().filter(|(parameter, value)| defaults.get(parameter) != Some(value)).collect()
    }

    /// Whether it can be shown now, as what it will be.
    fn can_show(&self, source: &Source) -> bool {
        let Source::Bdev(name) = source else { return true };
        let is_there = self.work.bdevs.get(name).is_some_and(|bdev| !self.gone.contains(&bdev.making));
        let is_free = self.work.bdev_above(name).is_none();
        let has_room = self.work.units.contains_key(name)
            || self.wanted.units.get(name).is_some_and(|unit| self.work.unit_like(&unit.identity).is_none());
        is_there && is_free && has_room && !self.stale.contains(name)
    }

    /// Whether what it shows stays what it is.
    fn can_stay(&self, source: &Source) -> bool {
        let Source::Bdev(name) = source else { return true };
        let stays = self.work.bdevs.get(name).is_some_and(|bdev| !self.gone.contains(&bdev.making));
        stays && !self.stale.contains(name) && self.wanted.units.contains_key(name)
    }
}

/// All LUNs: those of targets, then those of groups.
fn luns(model: &Model) -> Vec<(Owner, u16, Lun)> {
    let targets = model.targets.iter().map(|(name, target)| (Owner::Target(name.clone()), &target.luns));
    let groups = model.groups.iter().map(|group| (Owner::Group(group.name.clone()), group.luns.map()));
    let each = |(owner, luns): (Owner, &BTreeMap<u16, Lun>)| {
        let entry = |(&number, lun): (&u16, &Lun)| (owner.clone(), number, lun.clone());
        luns.iter().map(entry).collect::<Vec<_>>()
    };
    targets.chain(groups).flat_map(each).collect()
}

/// The LUNs of a target, or of a group's own map; none if there is no such owner.
fn luns_of<'a>(model: &'a Model, owner: &Owner) -> Option<&'a BTreeMap<u16, Lun>> {
    match owner {
        Owner::Target(name) => model.targets.get(name).map(|target| &target.luns),
        Owner::Group(name) => model.groups.iter().find(|group| group.name == *name).map(|group| group.luns.map()),
    }
}

/// What the methods about an owner's LUNs begin with, and who it is.
fn of(owner: &Owner) -> (&'static str, Value) {
    match owner {
        Owner::Target(name) => ("srp_target", json!({"target": name})),
        Owner::Group(name) => ("srp_initiator_group", json!({"group": name})),
    }
}
