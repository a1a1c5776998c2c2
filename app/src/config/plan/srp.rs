//! Targets, groups, discs and listeners of a plan.

use serde_json::json;

use super::{Impossible, Planner};
use crate::config::model::Key;
use crate::config::model::groups::{Group, GroupLuns, PortGroup};
use crate::config::model::targets::{Listener, Place, Target};

/// A pattern that keeps everybody out, whatever stands beside it.
const NOBODY: &str = "!*";

impl Planner {
    /// Targets that go, or that become others, which ends their sessions; then those that are missing.
    pub(super) fn replace_targets(&mut self) -> Result<(), Impossible> {
        let same = |now: &Target, wanted: &Target| {
            (now.id_ext, now.ioc_guid, now.relative_port, &now.addressing)
                == (wanted.id_ext, wanted.ioc_guid, wanted.relative_port, &wanted.addressing)
        };
        let goes = |(name, target): &(&String, &Target)| {
            self.wanted.targets.get(*name).is_none_or(|wanted| !same(target, wanted))
        };
        let gone: Vec<String> = self.work.targets.iter().filter(goes).map(|(name, _)| name.clone()).collect();
        for name in gone {
            let about = self.work.groups.iter().filter(|group| group.target.as_ref() == Some(&name));
            for group in about.map(|group| group.name.clone()).collect::<Vec<_>>() {
                self.delete_group(group)?;
            }
            self.emit(Key::Target(name.clone()), "srp_delete_target", json!({"name": name}))?;
        }
        let mut wanted: Vec<(String, Target)> = self.wanted.targets.clone().into_iter().collect();
        // Whoever gets the lowest free number gets it after those that ask for one.
        wanted.sort_by_key(|(_, target)| target.relative_port.is_none());
        for (name, target) in wanted {
            if self.work.targets.contains_key(&name) {
                continue;
            }
            let hex = |value: u64| format!("{value:#018x}");
            let mut params = json!({"name": name, "id_ext": hex(target.id_ext), "ioc_guid": hex(target.ioc_guid)});
            if let Some(port) = target.relative_port {
                params["relative_target_port_id"] = port.into();
            }
            if target.addressing != "peripheral" {
                params["lun_addressing"] = target.addressing.into();
            }
            self.emit(Key::Target(name), "srp_create_target", params)?;
        }
        Ok(())
    }

    /// Initiator groups that are new or change, in their order. Those that go do so later, when others have taken their members.
    pub(super) fn shape_groups(&mut self) -> Result<(), Impossible> {
        for wanted in self.wanted.groups.clone() {
            let now = self.work.groups.iter().find(|group| group.name == wanted.name).cloned();
            match now {
                Some(now) if now.target == wanted.target => self.change_group(&now, &wanted)?,
                Some(now) => {
                    self.delete_group(now.name)?;
                    self.create_group(&wanted)?;
                }
                None => self.create_group(&wanted)?,
            }
        }
        self.order_groups()
    }

    fn create_group(&mut self, group: &Group) -> Result<(), Impossible> {
        let mut params = json!({"name": group.name, "initiators": group.initiators});
        // Members would find nothing until the map is complete.
        if !group.luns.map().is_empty() && !group.initiators.contains(NOBODY) {
            params["initiators"] = json!([NOBODY]);
            self.closed.push(group.name.clone());
        }
        if let Some(luns) = group.luns.without_map() {
            params["luns"] = luns;
        }
        if let Some(target) = &group.target {
            params["target"] = target.clone().into();
        }
        self.emit(Key::Group(group.name.clone()), "srp_create_initiator_group", params)
    }

    /// Lets members into the groups that took none.
    pub(super) fn open_groups(&mut self) -> Result<(), Impossible> {
        for name in std::mem::take(&mut self.closed) {
            let wanted = self.wanted.groups.iter().find(|group| group.name == name).cloned();
            let now = self.work.groups.iter().find(|group| group.name == name).cloned();
            if let (Some(now), Some(wanted)) = (now, wanted) {
                self.change_initiators(&now, &wanted)?;
            }
        }
        Ok(())
    }

    fn delete_group(&mut self, name: String) -> Result<(), Impossible> {
        self.emit(Key::Group(name.clone()), "srp_delete_initiator_group", json!({"name": name}))
    }

    fn change_group(&mut self, now: &Group, wanted: &Group) -> Result<(), Impossible> {
        self.change_initiators(now, wanted)?;
        let both_own = matches!((&now.luns, &wanted.luns), (GroupLuns::Own(_), GroupLuns::Own(_)));
        if !both_own && now.luns != wanted.luns {
            let mut params = json!({"group": wanted.name});
            if let Some(luns) = wanted.luns.without_map() {
                params["luns"] = luns;
            }
            self.emit(Key::Group(wanted.name.clone()), "srp_initiator_group_set_luns", params)?;
        }
        Ok(())
    }

    fn change_initiators(&mut self, now: &Group, wanted: &Group) -> Result<(), Impossible> {
        // None is to be without a pattern, nor a member of it without a group in between.
        for (verb, initiators) in [
            ("add", wanted.initiators.difference(&now.initiators)),
            ("remove", now.initiators.difference(&wanted.initiators)),
        ] {
            for initiator in initiators {
                let params = json!({"group": wanted.name, "initiator": initiator});
                let method = format!("srp_initiator_group_{verb}_initiator");
                self.emit(Key::Group(wanted.name.clone()), &method, params)?;
            }
        }
        Ok(())
    }

    /// Puts groups in order; most stay where they are.
    fn order_groups(&mut self) -> Result<(), Impossible> {
        let wanted: Vec<String> = self.wanted.groups.iter().map(|group| group.name.clone()).collect();
        let place = |name: &String| self.work.groups.iter().position(|group| group.name == *name).unwrap_or(0);
        let stay = longest_ascending(&wanted.iter().map(place).collect::<Vec<_>>());
        // From behind: what comes next is in its place already.
        for index in (0..wanted.len()).rev().filter(|index| !stay[*index]) {
            let mut params = json!({"group": wanted[index]});
            if let Some(next) = wanted.get(index + 1) {
                params["before"] = next.clone().into();
            }
            self.emit(Key::Group(wanted[index].clone()), "srp_initiator_group_move", params)?;
        }
        Ok(())
    }

    pub(super) fn delete_groups(&mut self) -> Result<(), Impossible> {
        let is_wanted = |group: &&Group| self.wanted.groups.iter().any(|wanted| wanted.name == group.name);
        let gone = self.work.groups.iter().filter(|group| !is_wanted(group)).map(|group| group.name.clone());
        gone.collect::<Vec<_>>().into_iter().try_for_each(|name| self.delete_group(name))
    }

    /// Discs that are put in, taken out, or exchanged.
    pub(super) fn change_discs(&mut self) -> Result<(), Impossible> {
        for (bdev, wanted) in self.wanted.units.clone() {
            let filename = |making: Option<&crate::config::model::bdevs::Making>| {
                making.and_then(|making| making.params.get("filename").cloned())
            };
            let disc = filename(self.wanted.makings.get(&bdev));
            let other_disc = disc != filename(self.work.makings.get(&bdev));
            let is_out = |planner: &Planner| planner.work.units.get(&bdev).is_some_and(|unit| unit.disc_out);
            let key = || Key::Disc(bdev.clone());
            if (other_disc || wanted.disc_out) && !is_out(self) {
                self.emit(key(), "srp_cdrom_eject", json!({"bdev_name": bdev}))?;
            }
            if is_out(self) && !wanted.disc_out {
                let mut params = json!({"bdev_name": bdev});
                if let Some(disc) = disc.filter(|_| other_disc) {
                    params["filename"] = disc;
                }
                self.emit(key(), "srp_cdrom_insert", params)?;
            }
        }
        Ok(())
    }

    pub(super) fn shape_port_groups(&mut self) -> Result<(), Impossible> {
        let same = |now: &PortGroup, wanted: &PortGroup| {
            let same_state = now.state == wanted.state || now.implicit;
            let facts = |group: &PortGroup| (group.id, group.implicit, group.explicit);
            facts(now) == facts(wanted) && same_state
        };
        let goes = |(name, group): &(&String, &PortGroup)| {
            self.wanted.port_groups.get(*name).is_none_or(|wanted| !same(group, wanted))
        };
        let gone: Vec<String> = self.work.port_groups.iter().filter(goes).map(|(name, _)| name.clone()).collect();
        for name in gone {
            self.emit(Key::PortGroup(name.clone()), "srp_delete_target_port_group", json!({"name": name}))?;
        }
        let mut wanted: Vec<(String, PortGroup)> = self.wanted.port_groups.clone().into_iter().collect();
        wanted.sort_by_key(|(_, group)| group.id.is_none());
        for (name, wanted) in wanted {
            match self.work.port_groups.get(&name).cloned() {
                None => self.create_port_group(&name, &wanted)?,
                Some(now) => self.change_port_group(&name, &now, &wanted)?,
            }
        }
        for (name, wanted) in self.wanted.port_groups.clone() {
            self.shape_members(&name, &wanted)?;
            self.shape_unit_states(&name, &wanted)?;
        }
        Ok(())
    }

    fn create_port_group(&mut self, name: &str, group: &PortGroup) -> Result<(), Impossible> {
        let mut params = json!({"name": name, "state": group.state, "preferred": group.preferred,
            "implicit": group.implicit, "explicit": group.explicit});
        if let Some(id) = group.id {
            params["id"] = id.into();
        }
        self.emit(Key::PortGroup(name.to_owned()), "srp_create_target_port_group", params)
    }

    fn change_port_group(&mut self, name: &str, now: &PortGroup, wanted: &PortGroup) -> Result<(), Impossible> {
        let mut params = json!({"group": name});
        if now.state != wanted.state {
            params["state"] = wanted.state.clone().into();
        }
        if now.preferred != wanted.preferred {
            params["preferred"] = wanted.preferred.into();
        }
        if params.as_object().is_some_and(|params| params.len() > 1) {
            self.emit(Key::PortGroup(name.to_owned()), "srp_target_port_group_set_state", params)?;
        }
        Ok(())
    }

    fn shape_members(&mut self, name: &str, wanted: &PortGroup) -> Result<(), Impossible> {
        let now = self.work.port_groups.get(name).map(|group| group.targets.clone()).unwrap_or_default();
        let member = |target: &String| json!({"group": name, "target": target});
        for target in wanted.targets.difference(&now) {
            self.emit(Key::Member(target.clone()), "srp_target_port_group_add_target", member(target))?;
        }
        // Those that another group wants are moved by it.
        let elsewhere = |target: &String| self.wanted.port_groups.values().any(|group| group.targets.contains(target));
        let leave: Vec<String> = now.difference(&wanted.targets).filter(|target| !elsewhere(target)).cloned().collect();
        for target in leave {
            self.emit(Key::Member(target.clone()), "srp_target_port_group_remove_target", member(&target))?;
        }
        Ok(())
    }

    fn shape_unit_states(&mut self, name: &str, wanted: &PortGroup) -> Result<(), Impossible> {
        let now = self.work.port_groups.get(name).map(|group| group.unit_states.clone()).unwrap_or_default();
        let key = |bdev: &String| Key::UnitState { group: name.to_owned(), bdev: bdev.clone() };
        for bdev in now.keys().filter(|bdev| !wanted.unit_states.contains_key(*bdev)) {
            let params = json!({"group": name, "bdev_name": bdev});
            self.emit(key(bdev), "srp_target_port_group_clear_state", params)?;
        }
        for (bdev, state) in wanted.unit_states.iter().filter(|(bdev, state)| now.get(*bdev) != Some(*state)) {
            let params = json!({"group": name, "bdev_name": bdev, "state": state});
            self.emit(key(bdev), "srp_target_port_group_set_state", params)?;
        }
        Ok(())
    }

    pub(super) fn shape_listeners(&mut self) -> Result<(), Impossible> {
        let params = |Listener { fabric, place, port }: &Listener| match place {
            Place::Address(address) => json!({"fabric": fabric, "address": address, "port": port}),
            Place::Interface { name, .. } => json!({"fabric": fabric, "interface": name, "port": port}),
        };
        let gone: Vec<Listener> = self.work.listeners.difference(&self.wanted.listeners).cloned().collect();
        for listener in gone {
            self.emit(Key::Listener(listener.clone()), "srp_delete_listener", params(&listener))?;
        }
        let new: Vec<Listener> = self.wanted.listeners.difference(&self.work.listeners).cloned().collect();
        for listener in new {
            let mut params = params(&listener);
            if let Place::Interface { family: Some(family), .. } = &listener.place {
                params["family"] = family.clone().into();
            }
            self.emit(Key::Listener(listener), "srp_create_listener", params)?;
        }
        Ok(())
    }
}

/// Which of these numbers, all different, belong to a longest ascending part of them.
fn longest_ascending(numbers: &[usize]) -> Vec<bool> {
    // The index of the smallest end of a part of each length, and what comes before each number in its part.
    let (mut ends, mut before): (Vec<usize>, Vec<Option<usize>>) = (Vec::new(), Vec::new());
    for (index, number) in numbers.iter().enumerate() {
        let length = ends.partition_point(|&end| numbers[end] < *number);
        before.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        match ends.get_mut(length) {
            Some(end) => *end = index,
            None => ends.push(index),
        }
    }
    let mut belongs = vec![false; numbers.len()];
    let mut next = ends.last().copied();
    while let Some(index) = next {
        belongs[index] = true;
        next = before[index];
    }
    belongs
}
