//! Targets, LUNs, logical units, discs and listeners of a model.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use scsi::{DefaultIdentity, Eui64};
use serde_json::Value;

use super::bdevs::tidy;
use super::groups::GroupLuns;
use super::{Key, Model};
use crate::config::params::{Misfit, Params, flag, hex64, number, optional_text, optional_u16, text};

/// A target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Target {
    pub(crate) id_ext: u64,
    pub(crate) ioc_guid: u64,
    /// `None`: the appliance chooses.
    pub(crate) relative_port: Option<u16>,
    pub(crate) addressing: String,
    pub(crate) luns: BTreeMap<u16, Lun>,
}

/// A LUN of a target, or of a group's own map.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Lun {
    pub(crate) source: Source,
    pub(crate) read_only: bool,
}

/// What a LUN shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    Bdev(String),
    /// Whatever the target has there.
    TargetLun(u16),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Bdev(name) => write!(f, "bdev {name}"),
            Source::TargetLun(lun) => write!(f, "LUN {lun} of the target"),
        }
    }
}

/// Whose LUN it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Owner {
    Target(String),
    Group(String),
}

/// A logical unit: it is there as long as a LUN shows it.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Unit {
    /// What the first LUN decides.
    pub(crate) identity: Params,
    pub(crate) disc_out: bool,
    references: usize,
}

/// Where logins come in.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Listener {
    pub(crate) fabric: String,
    pub(crate) place: Place,
    pub(crate) port: u16,
}

/// An address, or a network interface and the addresses of it that are meant.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Place {
    Address(IpAddr),
    Interface { name: String, family: Option<String> },
}

impl Listener {
    /// Whether there can be but one of them: of an interface, whatever the family.
    fn is_like(&self, other: &Listener) -> bool {
        let same_place = match (&self.place, &other.place) {
            (Place::Interface { name, .. }, Place::Interface { name: other, .. }) => name == other,
            (place, other) => place == other,
        };
        same_place && (&self.fabric, self.port) == (&other.fabric, other.port)
    }
}

/// The parameters of a LUN that are the unit's.
const IDENTITY: [&str; 9] =
    ["device_type", "product", "vendor", "revision", "serial", "naa", "eui64", "queue_depth", "management_url"];

impl Unit {
    /// Whether it is a CD drive.
    pub(crate) fn is_drive(&self) -> bool {
        optional_text(&self.identity, "device_type") == Some("cdrom")
    }
}

impl Model {
    pub(super) fn create_target(&mut self, params: &Params) -> Result<Key, Misfit> {
        let name = text(params, "name")?.to_owned();
        let id = |parameter: &str| {
            hex64(params, parameter)?.ok_or_else(|| Misfit(format!("{parameter}: hex digits are needed")))
        };
        let target = Target {
            id_ext: id("id_ext")?,
            ioc_guid: id("ioc_guid")?,
            relative_port: optional_u16(params, "relative_target_port_id")?,
            addressing: optional_text(params, "lun_addressing").unwrap_or("peripheral").to_owned(),
            luns: BTreeMap::new(),
        };
        if self.targets.contains_key(&name) {
            return Err(Misfit(format!("name: target {name} exists")));
        }
        let same_ids = |other: &Target| (other.id_ext, other.ioc_guid) == (target.id_ext, target.ioc_guid);
        if let Some((other, _)) = self.targets.iter().find(|(_, other)| same_ids(other)) {
            return Err(Misfit(format!("id_ext, ioc_guid: target {other} has the same pair")));
        }
        let same_port = |other: &Target| target.relative_port.is_some() && other.relative_port == target.relative_port;
        if let Some((other, _)) = self.targets.iter().find(|(_, other)| same_port(other)) {
            return Err(Misfit(format!("relative_target_port_id: target {other} has the same")));
        }
        self.targets.insert(name.clone(), target);
        Ok(Key::Target(name))
    }

    pub(super) fn delete_target(&mut self, params: &Params) -> Result<Key, Misfit> {
        let name = text(params, "name")?.to_owned();
        if let Some(group) = self.groups.iter().find(|group| group.target.as_ref() == Some(&name)) {
            return Err(Misfit(format!("name: initiator group {} is about target {name}", group.name)));
        }
        let missing = || Misfit(format!("name: there is no target {name}"));
        let target = self.targets.remove(&name).ok_or_else(missing)?;
        target.luns.values().for_each(|lun| self.release(&lun.source));
        self.leave_port_group(&name);
        Ok(Key::Target(name))
    }

    pub(super) fn add_target_lun(&mut self, params: &Params) -> Result<Key, Misfit> {
        let name = text(params, "target")?;
        let number = choose_lun(&self.target(name)?.luns, params)?;
        let lun = self.shown(params)?;
        self.target(name)?.luns.insert(number, lun);
        Ok(self.numbered(Owner::Target(name.to_owned()), number, params))
    }

    /// A LUN was added under a number, which was given or not.
    pub(super) fn numbered(&mut self, owner: Owner, number: u16, params: &Params) -> Key {
        let lun = (owner.clone(), number);
        match params.get("lun") {
            None | Some(Value::Null) => drop(self.unnumbered_luns.insert(lun)),
            Some(_) => drop(self.unnumbered_luns.remove(&lun)),
        }
        Key::Lun(owner, number)
    }

    pub(super) fn replace_target_lun(&mut self, params: &Params) -> Result<Key, Misfit> {
        let (name, number) = (text(params, "target")?, lun_number(params)?);
        let missing = || Misfit(format!("lun: {name} has no LUN {number}"));
        let old = self.target(name)?.luns.get(&number).ok_or_else(missing)?.source.clone();
        let lun = self.shown(params)?;
        self.target(name)?.luns.insert(number, lun);
        self.release(&old);
        Ok(Key::Lun(Owner::Target(name.to_owned()), number))
    }

    pub(super) fn remove_target_lun(&mut self, params: &Params) -> Result<Key, Misfit> {
        let (name, number) = (text(params, "target")?, lun_number(params)?);
        let missing = || Misfit(format!("lun: {name} has no LUN {number}"));
        let old = self.target(name)?.luns.remove(&number).ok_or_else(missing)?;
        self.release(&old.source);
        Ok(Key::Lun(Owner::Target(name.to_owned()), number))
    }

    fn target(&mut self, name: &str) -> Result<&mut Target, Misfit> {
        self.targets.get_mut(name).ok_or_else(|| Misfit(format!("target: there is no target {name}")))
    }

    /// What a LUN is to show, which is referred to from now on.
    pub(super) fn shown(&mut self, params: &Params) -> Result<Lun, Misfit> {
        let read_only = flag(params, "read_only", false);
        if let Some(lun) = optional_u16(params, "target_lun")? {
            return Ok(Lun { source: Source::TargetLun(lun), read_only });
        }
        let bdev = text(params, "bdev_name")?.to_owned();
        if !self.bdevs.contains_key(&bdev) {
            return Err(Misfit(format!("bdev_name: there is no bdev {bdev}")));
        }
        if let Some(above) = self.bdev_above(&bdev) {
            return Err(Misfit(format!("bdev_name: bdev {bdev} is in use by bdev {above}")));
        }
        let given = canonical_identity(params)?;
        match self.units.get_mut(&bdev) {
            Some(_) if !given.is_empty() => {
                let names: Vec<&str> = given.keys().map(String::as_str).collect();
                return Err(Misfit(format!("{}: bdev {bdev} is exported already", names.join(", "))));
            }
            Some(unit) => unit.references += 1,
            None => {
                let identity = self.complete(&bdev, given);
                if let Some(other) = self.unit_like(&identity) {
                    return Err(Misfit(format!("naa, eui64: one of them is that of bdev {other}")));
                }
                self.designators.extend(designators(&identity).map(|designator| (designator, bdev.clone())));
                self.units.insert(bdev.clone(), Unit { identity, disc_out: false, references: 1 });
            }
        }
        Ok(Lun { source: Source::Bdev(bdev), read_only })
    }

    /// One LUN fewer refers to a unit.
    pub(super) fn release(&mut self, source: &Source) {
        let Source::Bdev(bdev) = source else { return };
        let Some(unit) = self.units.get_mut(bdev) else { return };
        unit.references -= 1;
        if unit.references == 0 {
            self.remove_unit(&bdev.clone());
        }
    }

    fn remove_unit(&mut self, bdev: &str) {
        let Some(unit) = self.units.remove(bdev) else { return };
        designators(&unit.identity).for_each(|designator| drop(self.designators.remove(&designator)));
        self.port_groups.values_mut().for_each(|group| drop(group.unit_states.remove(bdev)));
    }

    pub(super) fn remove_luns_of(&mut self, bdev: &str) {
        let shows = |lun: &Lun| lun.source == Source::Bdev(bdev.to_owned());
        let maps = self.targets.values_mut().map(|target| &mut target.luns);
        let maps = maps.chain(self.groups.iter_mut().filter_map(|group| match &mut group.luns {
            GroupLuns::Own(map) => Some(map),
            GroupLuns::All | GroupLuns::Some(_) => None,
        }));
        maps.for_each(|map| map.retain(|_, lun| !shows(lun)));
        self.remove_unit(bdev);
    }

    /// The bdev of a unit that has a designator of this identity.
    pub(crate) fn unit_like(&self, identity: &Params) -> Option<&String> {
        designators(identity).find_map(|designator| self.designators.get(&designator))
    }

    /// An identity with what follows from the bdev, as far as that is known.
    fn complete(&self, bdev: &str, mut identity: Params) -> Params {
        for (parameter, value) in self.default_identity(bdev) {
            identity.entry(parameter).or_insert(value);
        }
        identity
    }

    /// What a unit on a bdev calls itself where nobody says otherwise, as far as the bdev is known.
    pub(crate) fn default_identity(&self, bdev: &str) -> Params {
        let mut identity = Params::new();
        if self.is_passed_through(bdev) {
            return identity;
        }
        let uuid = self.uuid(bdev);
        let defaults = DefaultIdentity::new(bdev, &uuid.unwrap_or_default());
        identity.insert("product".into(), defaults.product.into());
        identity.insert("vendor".into(), defaults.vendor.into());
        identity.insert("revision".into(), defaults.revision.into());
        if uuid.is_some() {
            identity.insert("serial".into(), defaults.serial.into());
            identity.insert("naa".into(), hex(defaults.naa).into());
        }
        identity
    }

    pub(super) fn settle_units(&mut self, now: &Model) {
        // A designator that somebody asks for is not kept by another.
        let asked: BTreeSet<String> =
            self.units.values().filter_map(|unit| optional_text(&unit.identity, "naa").map(str::to_owned)).collect();
        let bdevs: Vec<String> = self.units.keys().cloned().collect();
        for bdev in bdevs {
            let mut defaults = self.default_identity(&bdev);
            let before = now.units.get(&bdev).map(|unit| &unit.identity);
            for parameter in ["serial", "naa"] {
                let kept = before.and_then(|identity| optional_text(identity, parameter));
                let kept = kept.filter(|kept| parameter != "naa" || !asked.contains(*kept));
                if let (None, Some(kept)) = (defaults.get(parameter), kept) {
                    defaults.insert(parameter.into(), kept.into());
                }
            }
            let Some(unit) = self.units.get_mut(&bdev) else { continue };
            for (parameter, value) in defaults {
                unit.identity.entry(parameter).or_insert(value);
            }
        }
    }

    pub(super) fn eject_disc(&mut self, params: &Params) -> Result<Key, Misfit> {
        let bdev = text(params, "bdev_name")?;
        self.drive(bdev)?.disc_out = true;
        Ok(Key::Disc(bdev.to_owned()))
    }

    pub(super) fn insert_disc(&mut self, params: &Params) -> Result<Key, Misfit> {
        let (bdev, filename) = (text(params, "bdev_name")?, optional_text(params, "filename"));
        let has_file = self.makings.get(bdev).is_some_and(|making| making.params.contains_key("filename"));
        if filename.is_some() && !has_file {
            return Err(Misfit(format!("filename: bdev {bdev} has no file: leave it out")));
        }
        let drive = self.drive(bdev)?;
        if !drive.disc_out {
            return Err(Misfit(format!("bdev_name: there is a disc in {bdev}")));
        }
        drive.disc_out = false;
        if let (Some(filename), Some(making)) = (filename, self.makings.get_mut(bdev)) {
            making.params.insert("filename".into(), tidy(filename).into());
            making.bytes = None;
        }
        Ok(Key::Disc(bdev.to_owned()))
    }

    fn drive(&mut self, bdev: &str) -> Result<&mut Unit, Misfit> {
        let missing = || Misfit(format!("bdev_name: no LUN shows a bdev {bdev} as a CD drive"));
        self.units.get_mut(bdev).filter(|unit| unit.is_drive()).ok_or_else(missing)
    }

    pub(super) fn create_listener(&mut self, params: &Params) -> Result<Key, Misfit> {
        let listener = listener(params)?;
        if self.listeners.iter().any(|other| other.is_like(&listener)) {
            return Err(Misfit("address, interface, port: it listens there already".into()));
        }
        self.listeners.insert(listener.clone());
        Ok(Key::Listener(listener))
    }

    pub(super) fn delete_listener(&mut self, params: &Params) -> Result<Key, Misfit> {
        let named = listener(params)?;
        let found = self.listeners.iter().find(|listener| listener.is_like(&named)).cloned();
        let listener = found.ok_or_else(|| Misfit("address, interface, port: it does not listen there".into()))?;
        self.listeners.remove(&listener);
        Ok(Key::Listener(listener))
    }
}

/// The LUN that is named, or the lowest free one.
pub(super) fn choose_lun(luns: &BTreeMap<u16, Lun>, params: &Params) -> Result<u16, Misfit> {
    match optional_u16(params, "lun")? {
        Some(lun) if luns.contains_key(&lun) => Err(Misfit(format!("lun: there is a LUN {lun} already"))),
        Some(lun) => Ok(lun),
        None => {
            let free = (0..=u16::MAX).find(|lun| !luns.contains_key(lun));
            free.ok_or_else(|| Misfit("lun: all are taken".into()))
        }
    }
}

pub(super) fn lun_number(params: &Params) -> Result<u16, Misfit> {
    optional_u16(params, "lun")?.ok_or_else(|| Misfit("lun: which one?".into()))
}

fn listener(params: &Params) -> Result<Listener, Misfit> {
    let fabric = optional_text(params, "fabric").unwrap_or("verbs").to_owned();
    let place = match (optional_text(params, "address"), optional_text(params, "interface")) {
        (Some(address), None) => Place::Address(address.parse().map_err(|error| Misfit(format!("address: {error}")))?),
        (None, Some(name)) => {
            let family = optional_text(params, "family").map(str::to_owned);
            Place::Interface { name: name.to_owned(), family }
        }
        _ => return Err(Misfit("address, interface: one of the two is needed".into())),
    };
    let port = number(params, "port")?;
    let port = u16::try_from(port).map_err(|_| Misfit(format!("port: {port} is more than 65535")))?;
    Ok(Listener { fabric, place, port })
}

/// What is given of an identity, in one form.
fn canonical_identity(params: &Params) -> Result<Params, Misfit> {
    let mut identity = Params::new();
    for parameter in IDENTITY {
        let value = match (parameter, params.get(parameter)) {
            (_, None | Some(Value::Null)) => continue,
            // Both say so, and a unit that is there already takes neither.
            ("device_type", Some(value)) if *value == "disk" => continue,
            ("naa", Some(_)) => hex(hex64(params, "naa")?.unwrap_or_default()).into(),
            ("eui64", Some(_)) => {
                let eui64: Eui64 = text(params, "eui64")?.parse().map_err(|error| Misfit(format!("eui64: {error}")))?;
                eui64.to_string().into()
            }
            (_, Some(value)) => value.clone(),
        };
        identity.insert(parameter.into(), value);
    }
    Ok(identity)
}

/// What no two units may have in common.
fn designators(identity: &Params) -> impl Iterator<Item = String> {
    ["naa", "eui64"].into_iter().filter_map(|name| Some(format!("{name} {}", optional_text(identity, name)?)))
}

/// 64 bits as they are saved.
fn hex(value: u64) -> String {
    format!("{value:#018x}")
}
