//! What administrators do: targets, LUNs, listeners, initiator groups, sessions, draining. Control plane; the RPC methods of the
//! app are thin wrappers of these.

use std::net::SocketAddr;
use std::sync::Arc;

use bdev::Bdev;
use scsi::{Eui64, LogicalUnit, Lun, Saved, UnitAttention, UnitError, UnitOptions};

use crate::connection::{Connection, ConnectionState};
use crate::controller::{Controller, Listener};
use crate::initiator_group::InitiatorGroup;
use crate::limits;
use crate::messages::ToGroup;
use crate::session::{SessionId, UnitId};
use crate::target::{Target, TargetLun};

/// Largest LUN (SAM-5: flat space addressing).
const LUN_MAX: u16 = Lun::MAX.0;

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
}

impl Controller {
    /// Makes a target port that initiators address as (id_ext, ioc_guid).
    pub fn create_target(&mut self, name: &str, id_ext: u64, ioc_guid: u64) -> Result<(), AdminError> {
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
        let relative_port =
            (1..=u16::MAX).find(free).ok_or_else(|| AdminError::Busy("there are 65535 targets already".into()))?;
        self.targets.push(Target { name: name.into(), id_ext, ioc_guid, relative_port, luns: Default::default() });
        Ok(())
    }

    /// Ends the target's sessions and removes it with its LUNs.
    pub fn delete_target(&mut self, name: &str) -> Result<(), AdminError> {
        let index = self.target_index(name)?;
        let sessions: Vec<SessionId> =
            self.sessions.iter().filter(|(_, session)| session.target == name).map(|(&id, _)| id).collect();
        for session in sessions {
            self.stop_session(session, "its target is deleted");
        }
        let target = self.targets.remove(index);
        for lun in target.luns.values() {
            self.release_unit(lun.unit);
        }
        self.drop_waiting_logins();
        Ok(())
    }

    /// Exports a bdev and returns its LUN. A bdev is one logical unit, however many LUNs refer to it; its identity is decided by the first.
    pub fn add_lun(&mut self, target: &str, bdev: &Arc<Bdev>, options: &LunOptions) -> Result<u16, AdminError> {
        let index = self.target_index(target)?;
        let taken = &self.targets[index].luns;
        let lun = match options.lun {
            Some(lun) if lun > LUN_MAX => {
                return Err(AdminError::Invalid(format!(
                    "lun: {lun} is above {}, the largest that SAM's flat addressing has",
                    LUN_MAX
                )));
            }
            Some(lun) if taken.contains_key(&lun) => {
                return Err(AdminError::Exists(format!("lun: {target} has a LUN {lun}")));
            }
            Some(lun) => lun,
            None => (0..=LUN_MAX)
                .find(|lun| !taken.contains_key(lun))
                .ok_or_else(|| AdminError::Busy(format!("target: {target} is full")))?,
        };
        let unit = self.unit_over(bdev, options)?;
        if let Some(exported) = self.units.get_mut(unit) {
            exported.references += 1;
        }
        self.targets[index].luns.insert(lun, TargetLun { unit, read_only: options.read_only });
        self.luns_changed(target);
        Ok(lun)
    }

    /// Takes a LUN away from every session. Commands under way on it end as they would have.
    pub fn remove_lun(&mut self, target: &str, lun: u16) -> Result<(), AdminError> {
        let index = self.target_index(target)?;
        let removed = self.targets[index]
            .luns
            .remove(&lun)
            .ok_or_else(|| AdminError::NotFound(format!("lun: {target} has no LUN {lun}")))?;
        self.luns_changed(target);
        self.release_unit(removed.unit);
        Ok(())
    }

    /// Takes every LUN of a bdev away from every target, as [`Controller::remove_lun`] does; returns how many there were.
    pub fn remove_luns_of(&mut self, bdev: &str) -> usize {
        let on_it =
            |unit: UnitId| self.units.get(unit).is_some_and(|unit| unit.logical_unit.bdev().info().name == bdev);
        let luns_of = |target: &Target| -> Vec<(String, u16)> {
            let of_it = target.luns.iter().filter(|(_, exported)| on_it(exported.unit));
            of_it.map(|(&lun, _)| (target.name.clone(), lun)).collect()
        };
        let luns: Vec<(String, u16)> = self.targets.iter().flat_map(luns_of).collect();
        luns.iter().filter(|(target, lun)| self.remove_lun(target, *lun).is_ok()).count()
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
        let closing = self.units.iter().any(|(_, unit)| unit.logical_unit.bdev().info().name == bdev);
        closing.then(|| "commands that are still under way".to_string())
    }

    /// Takes logins at an address. `fabric` is a name as in `fabric::Control::fabric_name`.
    pub fn create_listener(&mut self, fabric: &str, address: SocketAddr) -> Result<(), AdminError> {
        let index = self.fabric_index(fabric)?;
        if self.listeners.iter().any(|listener| (listener.fabric, listener.address) == (index, address)) {
            return Err(AdminError::Exists(format!("address, port: {fabric} listens on {address} already")));
        }
        let id = self.fabrics[index].listen(address)?;
        self.listeners.push(Listener { fabric: index, id, address });
        Ok(())
    }

    /// Takes no more logins there; sessions stay.
    pub fn delete_listener(&mut self, fabric: &str, address: SocketAddr) -> Result<(), AdminError> {
        let index = self.fabric_index(fabric)?;
        let found = self.listeners.iter().position(|listener| (listener.fabric, listener.address) == (index, address));
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

    /// Notes how much space there is beneath a device, for the units on it or on one that stands on it.
    pub fn set_space(&self, bdev: &str, total_bytes: u64) {
        let units = self.units.iter().map(|(_, unit)| &unit.logical_unit);
        units.filter(|unit| unit.bdev().stands_on(bdev)).for_each(|unit| unit.set_space(total_bytes));
    }

    /// Adds an allow-list. Sessions that exist are not touched.
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
        Ok(())
    }

    /// Removes an allow-list. Sessions that exist keep what they see.
    pub fn delete_initiator_group(&mut self, name: &str) -> Result<(), AdminError> {
        let found = self.initiator_groups.iter().position(|group| group.name == name);
        let found = found.ok_or_else(|| AdminError::NotFound(format!("name: there is no initiator group {name}")))?;
        self.initiator_groups.remove(found);
        self.drop_waiting_logins();
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
    fn drop_waiting_logins(&mut self) {
        let waiting = |entry: &Connection| entry.state == ConnectionState::Waiting;
        let waiting: Vec<_> = self.connections.iter().filter(|(_, entry)| waiting(entry)).map(|(&id, _)| id).collect();
        for channel in waiting {
            self.stop_channel(channel, "targets or initiator groups changed during the login");
        }
    }

    fn target_index(&self, name: &str) -> Result<usize, AdminError> {
        let found = self.targets.iter().position(|target| target.name == name);
        found.ok_or_else(|| AdminError::NotFound(format!("target: there is no target {name}")))
    }

    fn fabric_index(&self, name: &str) -> Result<usize, AdminError> {
        self.fabrics.iter().position(|fabric| fabric.fabric_name() == name).ok_or_else(|| {
            let known: Vec<&str> = self.fabrics.iter().map(fabric::Control::fabric_name).collect();
            AdminError::Invalid(format!("fabric: {name} is not one of {}", known.join(", ")))
        })
    }

    /// The unit over a bdev; made, and opened on every core, if it is the first use.
    fn unit_over(&mut self, bdev: &Arc<Bdev>, options: &LunOptions) -> Result<UnitId, AdminError> {
        let name = &bdev.info().name;
        if let Some(unit) = self.units.find(name) {
            let identity = [&options.product, &options.vendor, &options.revision, &options.serial];
            if identity.iter().any(|given| given.is_some()) || options.naa.is_some() || options.eui64.is_some() {
                let text = format!(
                    "product, vendor, revision, serial, naa, eui64: bdev {name} is exported already, with its identity; leave them out"
                );
                return Err(AdminError::Invalid(text));
            }
            return Ok(unit);
        }
        let identity = [&options.product, &options.vendor, &options.revision, &options.serial];
        if bdev.info().passthrough.is_some() && (identity.iter().any(|given| given.is_some()) || options.naa.is_some())
        {
            let text = format!(
                "product, vendor, revision, serial, naa: bdev {name} is a SCSI device with its own; leave them out"
            );
            return Err(AdminError::Invalid(text));
        }
        let defaults = UnitOptions::new(Arc::clone(bdev));
        let unit = UnitOptions {
            name: options.product.clone().unwrap_or(defaults.name),
            vendor: options.vendor.clone().unwrap_or(defaults.vendor),
            revision: options.revision.clone().unwrap_or(defaults.revision),
            serial: options.serial.clone().or(defaults.serial),
            naa: options.naa,
            eui64: options.eui64,
            read_only: false,
            transfer_bytes_max: limits::TRANSFER_BYTES_MAX as u32,
            bdev: defaults.bdev,
        };
        let unit = LogicalUnit::new(unit).map_err(unit_error)?;
        self.check_identity(&unit)?;
        if let (Some(_), Some(space)) = (bdev.info().thin_threshold_percent, bdev.space()) {
            unit.set_space(space.total_bytes);
        }
        let saved = match &self.store {
            Some(store) => {
                store.load(unit.naa()).map_err(|error| AdminError::Invalid(format!("bdev_name: {error}")))?
            }
            None => Saved::default(),
        };
        unit.restore(&saved);
        let unit = self.units.insert(unit, saved);
        if let Some(exported) = self.units.get(unit) {
            let (logical_unit, fence) = (Arc::clone(&exported.logical_unit), Arc::clone(&exported.fence));
            self.tell_all(|| ToGroup::AddUnit {
                unit,
                logical_unit: Arc::clone(&logical_unit),
                fence: Arc::clone(&fence),
            });
        }
        Ok(unit)
    }

    /// Refuses an identity that another unit has: multipathing takes equal designators for two ways to one disk, and would write
    /// what is meant for one to the other.
    fn check_identity(&self, unit: &LogicalUnit) -> Result<(), AdminError> {
        let live = self.units.iter().map(|(_, unit)| unit).filter(|unit| unit.references > 0);
        for other in live.map(|exported| &exported.logical_unit) {
            let shared = match unit.eui64() {
                _ if unit.naa() == other.naa() => format!("naa: {:#018x}", unit.naa()),
                Some(eui64) if other.eui64() == Some(eui64) => format!("eui64: {eui64}"),
                _ => continue,
            };
            let text = format!("{shared} is that of bdev {}: each needs one of its own", other.bdev().info().name);
            return Err(AdminError::Exists(text));
        }
        Ok(())
    }

    /// One LUN fewer refers to a unit.
    fn release_unit(&mut self, id: UnitId) {
        let groups = self.groups.len();
        let Some(unit) = self.units.get_mut(id) else { return };
        unit.references -= 1;
        if unit.references == 0 {
            unit.closing = groups;
            self.tell_all(|| ToGroup::RemoveUnit { unit: id });
        }
    }

    /// Gives every session of a target its new LUNs, and tells it so (SPC-4 REPORTED LUNS DATA HAS CHANGED).
    fn luns_changed(&mut self, target: &str) {
        let sessions: Vec<SessionId> =
            self.sessions.iter().filter(|(_, session)| session.target == target).map(|(&id, _)| id).collect();
        for id in sessions {
            if !self.refresh_luns(id) {
                continue;
            }
            let Some(session) = self.sessions.get(&id) else { continue };
            let luns = Arc::clone(&session.luns);
            for entry in luns.entries() {
                entry.nexus.establish(UnitAttention::ReportedLunsChanged);
            }
            for channel in session.channels.clone() {
                if let Some(group) = self.connections.get(&channel).map(|entry| entry.group) {
                    self.tell(group, ToGroup::SetLuns { channel, luns: Arc::clone(&luns) });
                }
            }
        }
    }
}

/// Names the parameter: what is wrong with the device is wrong with `bdev_name`.
fn unit_error(error: UnitError) -> AdminError {
    match error {
        UnitError::Text { .. } | UnitError::Naa(_) => AdminError::Invalid(error.to_string()),
        _ => AdminError::Invalid(format!("bdev_name: {error}")),
    }
}
