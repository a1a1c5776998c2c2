//! Reservations across sessions: whose commands they stand in the way of, when those of SPC-2 end, and what the administrator sees of them.
//! What the commands do to them is in `scsi::reservations`; how these commands come here, in `control.rs`.

use scsi::reservations::{NexusId, Reservations, TargetPort};
use scsi::{StoreError, UnitAttention};

use crate::administration::AdminError;
use crate::controller::Controller;
use crate::session::{SessionId, UnitId};
use crate::target::Target;

/// A unit's reservations, for display.
#[derive(Clone, Debug)]
pub struct ReservationInfo {
    /// The bdev of the unit.
    pub bdev_name: String,
    /// Its NAA designator.
    pub naa: u64,
    /// Registrations and reservations.
    pub reservations: Reservations,
    /// The targets through which the unit can be reached: name, target port identifier, relative target port identifier.
    pub ports: Vec<(String, TargetPort)>,
}

impl Controller {
    /// The reservations of every unit, by the names of their bdevs.
    pub fn reservations(&self) -> Vec<ReservationInfo> {
        let live = self.units.iter().filter(|(_, exported)| exported.references > 0);
        let mut units: Vec<ReservationInfo> = live
            .map(|(unit, exported)| ReservationInfo {
                bdev_name: exported.logical_unit.bdev().info().name.clone(),
                naa: exported.logical_unit.naa(),
                reservations: exported.reservations.clone(),
                ports: self.targets_of(unit).map(|target| (target.name.clone(), port_of(target))).collect(),
            })
            .collect();
        units.sort_by(|a, b| a.bdev_name.cmp(&b.bdev_name));
        units
    }

    /// Ends all registrations and reservations of a bdev's unit, as CLEAR does, whoever holds them; initiators that were registered are
    /// told. Returns whether there was anything.
    ///
    /// # Errors
    /// There is no such unit, or what is kept on disk cannot be changed.
    pub fn clear_reservations(&mut self, bdev: &str) -> Result<bool, AdminError> {
        let missing = || AdminError::NotFound(format!("bdev_name: no target has a LUN on bdev {bdev}"));
        let unit = self.units.find(bdev).ok_or_else(missing)?;
        let Some(old) = self.units.get(unit).map(|exported| exported.reservations.clone()) else { return Ok(false) };
        self.set_reservations(unit, old.cleared())
            .map_err(|error| AdminError::Invalid(format!("bdev_name: its reservations cannot be cleared: {error}")))?;
        for registration in old.registrations() {
            self.tell_nexus(unit, registration.nexus, UnitAttention::ReservationsPreempted);
        }
        Ok(!old.registrations().is_empty() || old.reserved_by().is_some())
    }

    /// Puts reservations in the place of those that a unit has; what is to survive a restart is on disk when this returns.
    ///
    /// # Errors
    /// It cannot be kept; nothing has changed then.
    pub(crate) fn set_reservations(&mut self, unit: UnitId, reservations: Reservations) -> Result<(), StoreError> {
        let Some(exported) = self.units.get_mut(unit) else { return Ok(()) };
        let mut saved = exported.saved.clone();
        saved.reservations = reservations.saved();
        if saved != exported.saved {
            let old = std::mem::replace(&mut exported.saved, saved);
            if let Err(error) = self.save_unit(unit) {
                if let Some(exported) = self.units.get_mut(unit) {
                    exported.saved = old;
                }
                return Err(error);
            }
        }
        if let Some(exported) = self.units.get_mut(unit) {
            exported.reservations = reservations;
        }
        self.restrict(unit);
        Ok(())
    }

    /// Works out anew what the reservations of a unit mean to every session. That of RESERVE ends here when its nexus is gone (SPC-2), be
    /// it that the session ended or that it lost the LUN.
    pub(crate) fn restrict_by_reservations(&mut self, unit: UnitId) {
        let Some(exported) = self.units.get_mut(unit) else { return };
        let sees = |session: &&crate::connection::Session| session.unit_nexus(unit).is_some();
        let sessions = || self.sessions.values().filter(sees);
        let reservations = &mut exported.reservations;
        if reservations.reserved_by().is_some_and(|holder| sessions().all(|session| session.nexus_id() != holder)) {
            reservations.end_spc2();
        }
        for session in sessions() {
            if let Some(nexus) = session.unit_nexus(unit) {
                nexus.set_reserved_for(reservations.reserved_for(session.nexus_id()));
            }
        }
    }

    /// LOGICAL UNIT RESET ends a reservation of SPC-2, and nothing else.
    pub(crate) fn reset_reservations(&mut self, unit: UnitId) {
        if self.units.get_mut(unit).is_some_and(|exported| exported.reservations.end_spc2()) {
            self.restrict(unit);
        }
    }

    /// The target ports that a unit has.
    pub(crate) fn target_ports(&self, unit: UnitId) -> Vec<TargetPort> {
        self.targets_of(unit).map(port_of).collect()
    }

    fn targets_of(&self, unit: UnitId) -> impl Iterator<Item = &Target> {
        self.targets.iter().filter(move |target| target.luns.values().any(|lun| lun.unit == unit))
    }

    /// Tells a nexus, if it is logged in.
    pub(crate) fn tell_nexus(&self, unit: UnitId, nexus: NexusId, attention: UnitAttention) {
        let its = self.sessions.values().filter(|session| session.nexus_id() == nexus);
        its.for_each(|session| session.establish(unit, attention));
    }

    /// The sessions of these nexuses.
    pub(crate) fn sessions_of(&self, nexuses: &[NexusId]) -> Vec<SessionId> {
        let named = |session: &crate::connection::Session| nexuses.contains(&session.nexus_id());
        self.sessions.iter().filter(|(_, session)| named(session)).map(|(&id, _)| id).collect()
    }
}

fn port_of(target: &Target) -> TargetPort {
    TargetPort { id: target.port_id().0, relative: target.relative_port }
}
