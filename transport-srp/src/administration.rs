//! What administrators do: targets, LUNs, listeners, initiator groups, sessions, draining. Control plane; the RPC methods of the
//! app are thin wrappers of these.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bdev::Bdev;
use fabric::Service;
use scsi::{Addressing, DeviceType, Eui64, LogicalUnit, Lun, Saved, UnitAttention, UnitError, UnitOptions};

use crate::connection::{Connection, ConnectionState, LunsChange, Session};
use crate::controller::{Controller, Listener, NATIVE_INFINIBAND};
use crate::initiator_group::InitiatorGroup;
use crate::limits;
use crate::messages::ToGroup;
use crate::session::{SessionId, UnitId};
use crate::target::{Target, TargetLun};

/// Largest LUN (SAM-5: flat space addressing).
pub(crate) const LUN_MAX: u16 = Lun::MAX.0;

/// Most commands that a unit can be told to take at one time.
pub const QUEUE_DEPTH_MAX: u32 = 65535;

/// Why a request of an administrator was refused; the message names the parameter and the fix.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Something of that name or number exists.
    #[error("{0}")]
    Exists(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// A parameter is out of range or contradicts another.
    #[error("{0}")]
    Invalid(String),
    /// It is in use.
    #[error("{0}")]
    Busy(String),
    /// The system refused.
    #[error(transparent)]
    Fabric(#[from] fabric::FabricError),
}

/// How a bdev is exported as a logical unit.
#[derive(Clone, Debug, Default)]
pub struct LunOptions {
    /// LUN, 0 to 16383; `None`: the lowest free one.
    pub lun: Option<u16>,
    /// Writes are refused through this LUN.
    pub read_only: bool,
    /// What initiators take the unit for; `None`: a disk, or what a SCSI device is.
    pub device_type: Option<DeviceType>,
    /// PRODUCT IDENTIFICATION, at most 16 characters; `None`: the bdev's name.
    pub product: Option<String>,
    /// T10 VENDOR IDENTIFICATION, at most 8 characters.
    pub vendor: Option<String>,
    /// PRODUCT REVISION LEVEL, at most 4 characters.
    pub revision: Option<String>,
    /// Unit serial number.
    pub serial: Option<String>,
    /// NAA designator.
    pub naa: Option<u64>,
    /// EUI-64 designator.
    pub eui64: Option<Eui64>,
    /// Most commands that the unit takes at one time, of all initiators together, 1 to [`QUEUE_DEPTH_MAX`]; `None`: as many as come. More end
    /// with TASK SET FULL, or BUSY.
    pub queue_depth: Option<u32>,
    /// URL of where the unit is configured, at most 255 characters.
    pub management_url: Option<String>,
}

/// A target port.
#[derive(Clone, Copy, Debug, Default)]
pub struct TargetOptions {
    /// First half of its port id.
    pub id_ext: u64,
    /// Second half of its port id.
    pub ioc_guid: u64,
    /// Relative target port identifier, from 1; `None`: the lowest free one. Hosts that give out the same disks need different ones.
    pub relative_port: Option<u16>,
    /// How REPORT LUNS lists LUNs.
    pub addressing: Addressing,
}

impl Controller {
    /// Makes a target port that initiators address as (id_ext, ioc_guid).
    pub fn create_target(&mut self, name: &str, id_ext: u64, ioc_guid: u64) -> Result<(), AdminError> {
        self.create_target_with(name, &TargetOptions { id_ext, ioc_guid, ..Default::default() })
    }

    /// As [`Controller::create_target`], with everything that can be chosen.
    pub fn create_target_with(&mut self, name: &str, options: &TargetOptions) -> Result<(), AdminError> {
        let &TargetOptions { id_ext, ioc_guid, addressing, .. } = options;
        if name.is_empty() || name.len() > 64 || !name.chars().all(|c| c.is_ascii_graphic()) {
            return Err(AdminError::Invalid("name: 1 to 64 printable characters without spaces are needed".into()));
        }
        if self.targets.iter().any(|target| target.name == name) {
            return Err(AdminError::Exists(format!("name: target {name} exists")));
        }
        if let Some(other) = self.targets.iter().find(|target| (target.id_ext, target.ioc_guid) == (id_ext, ioc_guid)) {
            return Err(AdminError::Exists(format!(
                "id_ext, ioc_guid: target {} has the same pair; change one of the two",
                other.name
            )));
        }
        let free = |port: &u16| self.targets.iter().all(|target| target.relative_port != *port);
        let relative_port = match options.relative_port {
            Some(0) => return Err(AdminError::Invalid("relative_target_port_id: 1 to 65535".into())),
            Some(port) if !free(&port) => {
                return Err(AdminError::Exists(format!("relative_target_port_id: another target has {port}")));
            }
            Some(port) => port,
            None => {
                (1..=u16::MAX).find(free).ok_or_else(|| AdminError::Busy("there are 65535 targets already".into()))?
            }
        };
        let luns = Default::default();
        self.targets.push(Target { name: name.into(), id_ext, ioc_guid, relative_port, addressing, luns });
        Ok(())
    }

    /// Ends the target's sessions and removes it with its LUNs. Initiator groups that are about it have to go before: without it they could
    /// not be made again, and a target of the same name that comes later is not to be open to everybody.
    pub fn delete_target(&mut self, name: &str) -> Result<(), AdminError> {
        let index = self.target_index(name)?;
        if let Some(group) = self.initiator_groups.iter().find(|group| group.target.as_deref() == Some(name)) {
            let text = format!("name: initiator group {} is about target {name}: delete that first", group.name);
            return Err(AdminError::Busy(text));
        }
        let sessions: Vec<SessionId> =
            self.sessions.iter().filter(|(_, session)| session.target == name).map(|(&id, _)| id).collect();
        for session in sessions {
            self.stop_session(session, "its target is deleted");
        }
        let target = self.targets.remove(index);
        for lun in target.luns.values() {
            self.release_unit(lun.unit);
        }
        self.leave_port_group(name);
        self.drop_waiting_logins();
        Ok(())
    }

    /// Exports a bdev and returns its LUN. A bdev is one logical unit, however many LUNs refer to it; its identity is decided by the first.
    pub fn add_lun(&mut self, target: &str, bdev: &Arc<Bdev>, options: &LunOptions) -> Result<u16, AdminError> {
        let index = self.target_index(target)?;
        let lun = choose_lun(&self.targets[index].luns, options.lun, "target", target)?;
        let unit = self.unit_over(bdev, options)?;
        self.units.refer(unit);
        self.targets[index].luns.insert(lun, TargetLun { unit, read_only: options.read_only });
        self.luns_changed(|session| session.target == target);
        Ok(lun)
    }

    /// Takes a LUN away from every session. Commands under way on it end as they would have.
    pub fn remove_lun(&mut self, target: &str, lun: u16) -> Result<(), AdminError> {
        let index = self.target_index(target)?;
        let removed = self.targets[index]
            .luns
            .remove(&lun)
            .ok_or_else(|| AdminError::NotFound(format!("lun: {target} has no LUN {lun}")))?;
        self.luns_changed(|session| session.target == target);
        self.release_unit(removed.unit);
        Ok(())
    }

    /// Takes every LUN of a bdev away from every target and initiator group, as [`Controller::remove_lun`] does; returns how many there were.
    pub fn remove_luns_of(&mut self, bdev: &str) -> usize {
        let on_it =
            |unit: UnitId| self.units.get(unit).is_some_and(|unit| unit.logical_unit.bdev().info().name == bdev);
        let luns_of = |target: &Target| -> Vec<(String, u16)> {
            let of_it = target.luns.iter().filter(|(_, exported)| on_it(exported.unit));
            of_it.map(|(&lun, _)| (target.name.clone(), lun)).collect()
        };
        let luns: Vec<(String, u16)> = self.targets.iter().flat_map(luns_of).collect();
        let mut count = luns.iter().filter(|(target, lun)| self.remove_lun(target, *lun).is_ok()).count();
        if let Some(unit) = self.units.find(bdev) {
            let luns = self.group_luns_of(unit);
            count += luns.iter().filter(|(group, lun)| self.group_remove_lun(group, *lun).is_ok()).count();
        }
        count
    }

    /// The targets that export a bdev, as text; `None` when nothing refers to it any more, not even a poll group that is closing it.
    pub fn bdev_user(&self, bdev: &str) -> Option<String> {
        for target in &self.targets {
            for (lun, exported) in &target.luns {
                let name = self.units.get(exported.unit).map(|unit| unit.logical_unit.bdev().info().name.as_str());
                if name == Some(bdev) {
                    return Some(format!("LUN {lun} of target {}", target.name));
                }
            }
        }
        if let Some((group, lun)) = self.units.find(bdev).and_then(|unit| self.group_luns_of(unit).into_iter().next()) {
            return Some(format!("LUN {lun} of initiator group {group}"));
        }
        let closing = self.units.iter().any(|(_, unit)| unit.logical_unit.bdev().info().name == bdev);
        closing.then(|| "commands that are still under way".to_string())
    }

    /// Takes logins at an address. `fabric` is a name as in `fabric::Control::fabric_name`, or `ib` for verbs by IB/CM: the address is a GID
    /// then.
    pub fn create_listener(&mut self, fabric: &str, address: SocketAddr) -> Result<(), AdminError> {
        let (index, service) = self.fabric_index(fabric)?;
        if self.listeners.iter().any(|listener| listener.is_at(index, service, address)) {
            return Err(AdminError::Exists(format!("address, port: {fabric} listens on {address} already")));
        }
        let id = match (service, address) {
            (Service::Ip, address) => self.fabrics[index].listen(address)?,
            (Service::Ib, SocketAddr::V6(gid)) => self.fabrics[index].listen_ib(*gid.ip(), gid.port())?,
            (Service::Ib, SocketAddr::V4(_)) => {
                let what =
                    "address: InfiniBand has GIDs, which are written like IPv6 addresses; :: stands for every port";
                return Err(AdminError::Invalid(what.into()));
            }
        };
        self.listeners.push(Listener { fabric: index, service, id, address });
        Ok(())
    }

    /// Whether listeners of a fabric are at IP addresses.
    pub fn check_ip_fabric(&self, fabric: &str) -> Result<(), AdminError> {
        match self.fabric_index(fabric)? {
            (_, Service::Ip) => Ok(()),
            (_, Service::Ib) => {
                Err(AdminError::Invalid("fabric: native InfiniBand has GIDs: listen at one of them, or at ::".into()))
            }
        }
    }

    /// Takes no more logins there; sessions stay.
    pub fn delete_listener(&mut self, fabric: &str, address: SocketAddr) -> Result<(), AdminError> {
        let (index, service) = self.fabric_index(fabric)?;
        let found = self.listeners.iter().position(|listener| listener.is_at(index, service, address));
        let found = found
            .ok_or_else(|| AdminError::NotFound(format!("address, port: {fabric} does not listen on {address}")))?;
        let listener = self.listeners.remove(found);
        self.fabrics[index].unlisten(listener.id);
        Ok(())
    }

    /// Tells every initiator of every unit on the device, or on one that stands on it, what has changed (SAM-5: a unit attention).
    pub fn bdev_changed(&self, bdev: &str, attention: UnitAttention) {
        for (unit, _) in self.units.iter().filter(|(_, unit)| unit.logical_unit.bdev().stands_on(bdev)) {
            self.sessions.values().for_each(|session| session.establish(unit, attention));
        }
    }

    /// Notes how much space there is beneath a device, and how much of it is free, for the units on it or on one that stands on it.
    pub fn set_space(&self, bdev: &str, total_bytes: u64, free_bytes: u64) {
        let units = self.units.iter().map(|(_, unit)| &unit.logical_unit);
        for unit in units.filter(|unit| unit.bdev().stands_on(bdev)) {
            unit.set_space(total_bytes);
            unit.set_free_space(free_bytes);
        }
    }

    /// Adds a group. Sessions that it contains and that are in no earlier one become its members; others stay as they are, until they log
    /// in again.
    pub fn create_initiator_group(&mut self, group: InitiatorGroup) -> Result<(), AdminError> {
        if self.initiator_groups.iter().any(|other| other.name == group.name) {
            return Err(AdminError::Exists(format!("name: initiator group {} exists", group.name)));
        }
        if let Some(target) = &group.target {
            self.target_index(target)?;
        }
        if group.initiators.is_empty() {
            return Err(AdminError::Invalid("initiators: at least one pattern is needed; * lets everybody in".into()));
        }
        self.initiator_groups.push(group);
        self.admit();
        Ok(())
    }

    /// Removes a group. Each of its sessions becomes a member of the next group that contains it; where there is none, it ends,
    /// unless no group is about its target any more.
    pub fn delete_initiator_group(&mut self, name: &str) -> Result<(), AdminError> {
        let found = self.initiator_groups.iter().position(|group| group.name == name);
        let found = found.ok_or_else(|| AdminError::NotFound(format!("name: there is no initiator group {name}")))?;
        let group = self.initiator_groups.remove(found);
        self.drop_waiting_logins();
        self.expel(name);
        group.units().for_each(|unit| self.release_unit(unit));
        Ok(())
    }

    /// Ends a session; its initiator may log in again.
    pub fn close_session(&mut self, id: u64) -> Result<(), AdminError> {
        if !self.sessions.contains_key(&SessionId(id)) {
            return Err(AdminError::NotFound(format!("id: there is no session {id}")));
        }
        self.stop_session(SessionId(id), "closed by the administrator");
        Ok(())
    }

    /// Stops taking logins, lets every command that was accepted be answered, and closes the channels; see [`Controller::is_drained`].
    pub fn start_drain(&mut self) {
        if self.drain.is_some() {
            return;
        }
        self.drain = Some(self.now);
        for listener in std::mem::take(&mut self.listeners) {
            self.fabrics[listener.fabric].unlisten(listener.id);
        }
        let channels: Vec<_> = self.connections.iter().map(|(&id, entry)| (id, entry.group, entry.state)).collect();
        for (channel, group, state) in channels {
            match state {
                ConnectionState::Live | ConnectionState::Accepted => {
                    self.tell(group, ToGroup::DrainChannel { channel })
                }
                ConnectionState::Waiting | ConnectionState::Starting => {
                    self.stop_channel(channel, "the target is shutting down")
                }
                ConnectionState::Stopping => {}
            }
        }
    }

    /// Whether a drain has begun.
    pub fn is_draining(&self) -> bool {
        self.drain.is_some()
    }

    /// Whether a drain is over: no channel is left.
    pub fn is_drained(&self) -> bool {
        self.drain.is_some() && self.connections.is_empty()
    }

    /// Channels that did not drain in time are closed as they are.
    pub(crate) fn check_drain(&mut self) {
        let Some(since) = self.drain else { return };
        if self.now.since(since) > limits::DRAIN_TIMEOUT {
            let left: Vec<_> = self.connections.keys().copied().collect();
            for channel in left {
                self.stop_channel(channel, "it did not drain in time");
            }
        }
    }

    /// Grants name targets and groups by index: where those change, logins under way are decided anew when their initiators try again.
    pub(crate) fn drop_waiting_logins(&mut self) {
        let waiting = |entry: &Connection| entry.state == ConnectionState::Waiting;
        let waiting: Vec<_> = self.connections.iter().filter(|(_, entry)| waiting(entry)).map(|(&id, _)| id).collect();
        for channel in waiting {
            self.stop_channel(channel, "targets or initiator groups changed during the login");
        }
    }

    pub(crate) fn target_index(&self, name: &str) -> Result<usize, AdminError> {
        let found = self.targets.iter().position(|target| target.name == name);
        found.ok_or_else(|| AdminError::NotFound(format!("target: there is no target {name}")))
    }

    fn fabric_index(&self, name: &str) -> Result<(usize, Service), AdminError> {
        let (fabric, service) = if name == NATIVE_INFINIBAND { ("verbs", Service::Ib) } else { (name, Service::Ip) };
        let found = self.fabrics.iter().position(|known| known.fabric_name() == fabric);
        found.map(|index| (index, service)).ok_or_else(|| {
            let known: Vec<&str> = self.fabrics.iter().map(fabric::Control::fabric_name).collect();
            AdminError::Invalid(format!("fabric: {name} is not one of {}, {NATIVE_INFINIBAND}", known.join(", ")))
        })
    }

    /// The unit over a bdev; made, and opened on every core, if it is the first use.
    pub(crate) fn unit_over(&mut self, bdev: &Arc<Bdev>, options: &LunOptions) -> Result<UnitId, AdminError> {
        let name = &bdev.info().name;
        if options.queue_depth.is_some_and(|depth| !(1..=QUEUE_DEPTH_MAX).contains(&depth)) {
            return Err(AdminError::Invalid(format!("queue_depth: 1 to {QUEUE_DEPTH_MAX}; leave it out for no limit")));
        }
        let strings = [&options.product, &options.vendor, &options.revision, &options.serial, &options.management_url];
        if let Some(unit) = self.units.find(name) {
            if options.queue_depth.is_some() {
                let text = format!("queue_depth: bdev {name} is exported already, with its own; leave it out");
                return Err(AdminError::Invalid(text));
            }
            let others = options.naa.is_some() || options.eui64.is_some() || options.device_type.is_some();
            if strings.iter().any(|given| given.is_some()) || others {
                let text = format!(
                    "device_type, product, vendor, revision, serial, naa, eui64, management_url: bdev {name} is exported already, with its identity; leave them out"
                );
                return Err(AdminError::Invalid(text));
            }
            return Ok(unit);
        }
        if bdev.info().passthrough.is_some() && (strings.iter().any(|given| given.is_some()) || options.naa.is_some()) {
            let text = format!(
                "product, vendor, revision, serial, naa, management_url: bdev {name} is a SCSI device with its own; leave them out"
            );
            return Err(AdminError::Invalid(text));
        }
        if bdev.info().passthrough.is_some() && options.device_type.is_some() {
            return Err(AdminError::Invalid(format!(
                "device_type: bdev {name} is a SCSI device with its own; leave it out"
            )));
        }
        let defaults = UnitOptions::new(Arc::clone(bdev));
        let unit = UnitOptions {
            name: options.product.clone().unwrap_or(defaults.name),
            vendor: options.vendor.clone().unwrap_or(defaults.vendor),
            revision: options.revision.clone().unwrap_or(defaults.revision),
            serial: options.serial.clone().or(defaults.serial),
            naa: options.naa,
            eui64: options.eui64,
            management_url: options.management_url.clone(),
            device_type: options.device_type.unwrap_or_default(),
            read_only: false,
            transfer_bytes_max: limits::TRANSFER_BYTES_MAX as u32,
            queue_depth: options.queue_depth,
            bdev: defaults.bdev,
        };
        let unit = LogicalUnit::new(unit).map_err(unit_error)?;
        self.check_identity(&unit)?;
        if let (Some(_), Some(space)) = (bdev.info().thin_threshold_percent, bdev.space()) {
            unit.set_space(space.total_bytes);
            unit.set_free_space(space.free_bytes);
        }
        let saved = match &self.store {
            Some(store) => {
                let saved =
                    store.load(unit.naa()).map_err(|error| AdminError::Invalid(format!("bdev_name: {error}")))?;
                unit.restore(&saved);
                saved
            }
            None => Saved::default(),
        };
        let unit = self.units.insert(unit, saved, self.groups.len());
        if let Some(exported) = self.units.get(unit) {
            let (logical_unit, fence) = (Arc::clone(&exported.logical_unit), Arc::clone(&exported.fence));
            let statistics = Arc::clone(&exported.statistics);
            self.tell_all(|| ToGroup::AddUnit {
                unit,
                logical_unit: Arc::clone(&logical_unit),
                fence: Arc::clone(&fence),
                statistics: Arc::clone(&statistics),
            });
        }
        Ok(unit)
    }

    /// Refuses an identity that another unit has: multipathing takes equal designators for two ways to one disk, and would write
    /// what is meant for one to the other.
    fn check_identity(&self, unit: &LogicalUnit) -> Result<(), AdminError> {
        let Some(other) = self.units.find_same(unit).map(|exported| &exported.logical_unit) else { return Ok(()) };
        let shared = match unit.eui64() {
            Some(eui64) if unit.naa() != other.naa() => format!("eui64: {eui64}"),
            _ => format!("naa: {:#018x}", unit.naa()),
        };
        let text = format!("{shared} is that of bdev {}: each needs one of its own", other.bdev().info().name);
        Err(AdminError::Exists(text))
    }

    /// One LUN fewer refers to a unit.
    pub(crate) fn release_unit(&mut self, id: UnitId) {
        if self.units.release(id, self.groups.len()) {
            self.forget_transitions(id);
            self.tell_all(|| ToGroup::RemoveUnit { unit: id });
        }
    }

    /// Gives these sessions their new LUNs, and tells them so (SPC-4 REPORTED LUNS DATA HAS CHANGED).
    pub(crate) fn luns_changed(&mut self, concerned: impl Fn(&Session) -> bool) {
        let sessions: Vec<SessionId> =
            self.sessions.iter().filter(|(_, session)| concerned(session)).map(|(&id, _)| id).collect();
        sessions.into_iter().for_each(|id| self.luns_changed_of(id));
    }

    /// As [`Controller::luns_changed`], for one session.
    pub(crate) fn luns_changed_of(&mut self, id: SessionId) {
        let change = self.refresh_luns(id);
        let Some(session) = self.sessions.get(&id).filter(|_| change != LunsChange::None) else { return };
        let luns = Arc::clone(&session.luns);
        if change == LunsChange::Inventory {
            luns.entries().iter().for_each(|entry| entry.nexus.establish(UnitAttention::ReportedLunsChanged));
        }
        for channel in session.channels.clone() {
            if let Some(group) = self.connections.get(&channel).map(|entry| entry.group) {
                self.tell(group, ToGroup::SetLuns { channel, luns: Arc::clone(&luns) });
            }
        }
    }
}

/// The LUN that was asked for, if a map has none of that number, or the lowest free one. `parameter` and `name` are the map's.
pub(crate) fn choose_lun<T>(
    taken: &BTreeMap<u16, T>,
    lun: Option<u16>,
    parameter: &str,
    name: &str,
) -> Result<u16, AdminError> {
    match lun {
        Some(lun) if lun > LUN_MAX => Err(AdminError::Invalid(format!(
            "lun: {lun} is above {LUN_MAX}, the largest that SAM's flat addressing has"
        ))),
        Some(lun) if taken.contains_key(&lun) => Err(AdminError::Exists(format!("lun: {name} has a LUN {lun}"))),
        Some(lun) => Ok(lun),
        // The usual case, and quick with very many.
        None if taken.len() <= usize::from(LUN_MAX)
            && taken.keys().next_back().is_none_or(|&last| usize::from(last) + 1 == taken.len()) =>
        {
            Ok(taken.len() as u16)
        }
        // Keys ascend: the first that is not where its number says has a free one before it.
        None => (0..)
            .zip(taken.keys().map(|&lun| Some(lun)).chain([None]))
            .find(|&(free, lun)| lun != Some(free))
            .map(|(free, _)| free)
            .filter(|&free| free <= LUN_MAX)
            .ok_or_else(|| AdminError::Busy(format!("{parameter}: {name} is full"))),
    }
}

/// Names the parameter: what is wrong with the device is wrong with `bdev_name`.
fn unit_error(error: UnitError) -> AdminError {
    match error {
        UnitError::Text { .. } | UnitError::Naa(_) | UnitError::Url(_) => AdminError::Invalid(error.to_string()),
        _ => AdminError::Invalid(format!("bdev_name: {error}")),
    }
}
