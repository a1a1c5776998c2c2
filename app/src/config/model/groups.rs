//! Initiator groups and target port groups of a model.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use transport_srp::Pattern;

use super::targets::{Lun, Owner, choose_lun, lun_number};
use super::{Key, Model};
use crate::config::params::{Misfit, Params, flag, optional_text, optional_u16, text};

/// An initiator group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) target: Option<String>,
    pub(crate) initiators: BTreeSet<String>,
    pub(crate) luns: GroupLuns,
}

/// What its members see.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum GroupLuns {
    /// All LUNs of the target.
    All,
    /// Some of them.
    Some(BTreeSet<u16>),
    /// A map of the group's own.
    Own(BTreeMap<u16, Lun>),
}

/// A target port group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PortGroup {
    /// `None`: the appliance chooses.
    pub(crate) id: Option<u16>,
    pub(crate) state: String,
    pub(crate) preferred: bool,
    pub(crate) implicit: bool,
    pub(crate) explicit: bool,
    pub(crate) targets: BTreeSet<String>,
    /// States that the administrator set for single units, by bdev.
    pub(crate) unit_states: BTreeMap<String, String>,
}

impl GroupLuns {
    fn of(params: &Params) -> GroupLuns {
        let Some(luns) = params.get("luns").and_then(Value::as_array) else { return GroupLuns::All };
        let luns: BTreeSet<u16> = luns.iter().filter_map(|lun| lun.as_u64()?.try_into().ok()).collect();
        if luns.is_empty() { GroupLuns::Own(BTreeMap::new()) } else { GroupLuns::Some(luns) }
    }

    /// Its own map, or an empty one.
    pub(crate) fn map(&self) -> &BTreeMap<u16, Lun> {
        static EMPTY: BTreeMap<u16, Lun> = BTreeMap::new();
        match self {
            GroupLuns::Own(map) => map,
            GroupLuns::All | GroupLuns::Some(_) => &EMPTY,
        }
    }

    /// The parameter `luns` that brings it about, but for the map's LUNs.
    pub(crate) fn without_map(&self) -> Option<Value> {
        match self {
            GroupLuns::All => None,
            GroupLuns::Some(luns) => Some(json!(luns)),
            GroupLuns::Own(_) => Some(json!([])),
        }
    }
}

impl Model {
    pub(super) fn create_group(&mut self, params: &Params) -> Result<Key, Misfit> {
        let name = text(params, "name")?.to_owned();
        let target = optional_text(params, "target").map(str::to_owned);
        if self.groups.iter().any(|group| group.name == name) {
            return Err(Misfit(format!("name: initiator group {name} exists")));
        }
        if let Some(target) = target.as_ref().filter(|target| !self.targets.contains_key(*target)) {
            return Err(Misfit(format!("target: there is no target {target}")));
        }
        let listed = params.get("initiators").and_then(Value::as_array).into_iter().flatten();
        let initiators =
            listed.filter_map(Value::as_str).map(|text| pattern("initiators", text)).collect::<Result<_, _>>()?;
        self.groups.push(Group { name: name.clone(), target, initiators, luns: GroupLuns::of(params) });
        Ok(Key::Group(name))
    }

    pub(super) fn delete_group(&mut self, params: &Params) -> Result<Key, Misfit> {
        let name = text(params, "name")?;
        let index = self.group_index("name", name)?;
        let group = self.groups.remove(index);
        group.luns.map().values().for_each(|lun| self.release(&lun.source));
        Ok(Key::Group(name.to_owned()))
    }

    pub(super) fn add_initiator(&mut self, params: &Params) -> Result<Key, Misfit> {
        let initiator = pattern("initiator", text(params, "initiator")?)?;
        let group = self.group(params)?;
        if !group.initiators.insert(initiator) {
            return Err(Misfit(format!("initiator: {} has it already", group.name)));
        }
        Ok(Key::Group(group.name.clone()))
    }

    pub(super) fn remove_initiator(&mut self, params: &Params) -> Result<Key, Misfit> {
        let initiator = pattern("initiator", text(params, "initiator")?)?;
        let group = self.group(params)?;
        if !group.initiators.contains(&initiator) || group.initiators.len() == 1 {
            return Err(Misfit(format!("initiator: {} has no {initiator}, or no other", group.name)));
        }
        group.initiators.remove(&initiator);
        Ok(Key::Group(group.name.clone()))
    }

    pub(super) fn set_group_luns(&mut self, params: &Params) -> Result<Key, Misfit> {
        let group = self.group(params)?;
        let (name, old) = (group.name.clone(), std::mem::replace(&mut group.luns, GroupLuns::of(params)));
        old.map().values().for_each(|lun| self.release(&lun.source));
        Ok(Key::Group(name))
    }

    pub(super) fn move_group(&mut self, params: &Params) -> Result<Key, Misfit> {
        let name = text(params, "group")?;
        let from = self.group_index("group", name)?;
        let to = match optional_text(params, "before") {
            None => self.groups.len(),
            Some(before) => self.group_index("before", before)?,
        };
        let group = self.groups.remove(from);
        self.groups.insert(if to > from { to - 1 } else { to }, group);
        Ok(Key::Group(name.to_owned()))
    }

    pub(super) fn add_group_lun(&mut self, params: &Params) -> Result<Key, Misfit> {
        let index = self.group_index("group", text(params, "group")?)?;
        if let GroupLuns::Some(_) = self.groups[index].luns {
            return Err(Misfit("group: it was created with a list of the target's LUNs".into()));
        }
        let number = choose_lun(self.groups[index].luns.map(), params)?;
        let lun = self.shown(params)?;
        let group = &mut self.groups[index];
        match &mut group.luns {
            GroupLuns::Own(map) => drop(map.insert(number, lun)),
            other => *other = GroupLuns::Own(BTreeMap::from([(number, lun)])),
        }
        let owner = Owner::Group(group.name.clone());
        Ok(self.numbered(owner, number, params))
    }

    pub(super) fn remove_group_lun(&mut self, params: &Params) -> Result<Key, Misfit> {
        let (index, number, old) = self.group_lun(params)?;
        if let GroupLuns::Own(map) = &mut self.groups[index].luns {
            map.remove(&number);
        }
        self.release(&old.source);
        Ok(Key::Lun(Owner::Group(self.groups[index].name.clone()), number))
    }

    pub(super) fn replace_group_lun(&mut self, params: &Params) -> Result<Key, Misfit> {
        let (index, number, old) = self.group_lun(params)?;
        let lun = self.shown(params)?;
        if let GroupLuns::Own(map) = &mut self.groups[index].luns {
            map.insert(number, lun);
        }
        self.release(&old.source);
        Ok(Key::Lun(Owner::Group(self.groups[index].name.clone()), number))
    }

    fn group_lun(&self, params: &Params) -> Result<(usize, u16, Lun), Misfit> {
        let (index, number) = (self.group_index("group", text(params, "group")?)?, lun_number(params)?);
        let group = &self.groups[index];
        let missing = || Misfit(format!("lun: the map of {} has no LUN {number}", group.name));
        Ok((index, number, group.luns.map().get(&number).ok_or_else(missing)?.clone()))
    }

    fn group(&mut self, params: &Params) -> Result<&mut Group, Misfit> {
        let index = self.group_index("group", text(params, "group")?)?;
        Ok(&mut self.groups[index])
    }

    fn group_index(&self, parameter: &str, name: &str) -> Result<usize, Misfit> {
        let found = self.groups.iter().position(|group| group.name == name);
        found.ok_or_else(|| Misfit(format!("{parameter}: there is no initiator group {name}")))
    }

    pub(super) fn create_port_group(&mut self, params: &Params) -> Result<Key, Misfit> {
        let name = text(params, "name")?.to_owned();
        let id = optional_u16(params, "id")?;
        if self.port_groups.contains_key(&name) {
            return Err(Misfit(format!("name: target port group {name} exists")));
        }
        if id.is_some() && self.port_groups.values().any(|group| group.id == id) {
            return Err(Misfit("id: another target port group has it".into()));
        }
        let group = PortGroup {
            id,
            state: optional_text(params, "state").unwrap_or("optimized").to_owned(),
            preferred: flag(params, "preferred", false),
            implicit: flag(params, "implicit", true),
            explicit: flag(params, "explicit", true),
            targets: BTreeSet::new(),
            unit_states: BTreeMap::new(),
        };
        self.port_groups.insert(name.clone(), group);
        Ok(Key::PortGroup(name))
    }

    pub(super) fn delete_port_group(&mut self, params: &Params) -> Result<Key, Misfit> {
        let name = text(params, "name")?;
        let missing = || Misfit(format!("name: there is no target port group {name}"));
        self.port_groups.remove(name).ok_or_else(missing)?;
        Ok(Key::PortGroup(name.to_owned()))
    }

    pub(super) fn add_member(&mut self, params: &Params) -> Result<Key, Misfit> {
        let (name, target) = (text(params, "group")?, text(params, "target")?);
        if !self.targets.contains_key(target) {
            return Err(Misfit(format!("target: there is no target {target}")));
        }
        if self.port_group(name)?.targets.contains(target) {
            return Err(Misfit(format!("target: {target} is in {name} already")));
        }
        self.leave_port_group(target);
        self.port_group(name)?.targets.insert(target.to_owned());
        Ok(Key::Member(target.to_owned()))
    }

    pub(super) fn leave_port_group(&mut self, target: &str) {
        for group in self.port_groups.values_mut() {
            group.targets.remove(target);
        }
    }

    pub(super) fn remove_member(&mut self, params: &Params) -> Result<Key, Misfit> {
        let (name, target) = (text(params, "group")?, text(params, "target")?);
        if !self.port_group(name)?.targets.remove(target) {
            return Err(Misfit(format!("target: {target} is not in {name}")));
        }
        Ok(Key::Member(target.to_owned()))
    }

    pub(super) fn set_state(&mut self, params: &Params) -> Result<Key, Misfit> {
        let (name, bdev) = (text(params, "group")?, optional_text(params, "bdev_name"));
        if let Some(bdev) = bdev.filter(|bdev| !self.units.contains_key(*bdev)) {
            return Err(Misfit(format!("bdev_name: no LUN leads to bdev {bdev}")));
        }
        let group = self.port_group(name)?;
        let state = optional_text(params, "state");
        if state.is_some() && !group.implicit {
            return Err(Misfit(format!("group: {name} was created with `implicit` false")));
        }
        group.preferred = flag(params, "preferred", group.preferred);
        match (state, bdev) {
            (None, _) => {}
            (Some(state), Some(bdev)) => {
                group.unit_states.insert(bdev.to_owned(), state.to_owned());
                return Ok(Key::UnitState { group: name.to_owned(), bdev: bdev.to_owned() });
            }
            (Some(state), None) => {
                group.state = state.to_owned();
                group.unit_states.clear();
            }
        }
        Ok(Key::PortGroup(name.to_owned()))
    }

    pub(super) fn clear_state(&mut self, params: &Params) -> Result<Key, Misfit> {
        let (name, bdev) = (text(params, "group")?, text(params, "bdev_name")?);
        let group = self.port_group(name)?;
        if !group.implicit || group.unit_states.remove(bdev).is_none() {
            return Err(Misfit(format!("bdev_name: bdev {bdev} has no state of its own in {name}")));
        }
        Ok(Key::UnitState { group: name.to_owned(), bdev: bdev.to_owned() })
    }

    fn port_group(&mut self, name: &str) -> Result<&mut PortGroup, Misfit> {
        self.port_groups.get_mut(name).ok_or_else(|| Misfit(format!("group: there is no target port group {name}")))
    }
}

/// A pattern in the form that it is listed in.
fn pattern(parameter: &str, text: &str) -> Result<String, Misfit> {
    let pattern: Pattern = text.parse().map_err(|error| Misfit(format!("{parameter}: {error}")))?;
    Ok(pattern.to_string())
}
