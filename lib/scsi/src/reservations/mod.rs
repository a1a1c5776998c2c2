//! Reservations of one unit (SPC-4, Persistent reservations; SPC-2, RESERVE and RELEASE): who is registered, who holds what, and what
//! becomes of both. Pure: no I/O, no sessions, no clock.
//!
//! ```text
//!  command/reserve.rs      the CDB ──► ControlRequest
//!  parameters.rs           the parameter list of PERSISTENT RESERVE OUT ──► Parameters
//!  out.rs                  service action × Reservations ──► Reservations, and who is to be told and aborted
//!  answer.rs               Reservations ──► the data of PERSISTENT RESERVE IN
//!  saved.rs                Reservations ──► what survives a restart, and back
//!  control/reserve.rs      the requests, carried out one after the other
//! ```
//!
//! A nexus is known by the names of its two ports, so registrations outlive sessions and LUN numbers. With APTPL they also outlive the
//! unit's last LUN, and the process: a node that was fenced off must not get in because an administrator renumbers LUNs. That a target is
//! removed does not end the registrations through it. What nobody needs any more goes by PREEMPT, CLEAR or the administrator
//! ([`Reservations::cleared`]).

mod answer;
#[cfg(test)]
mod model_tests;
mod out;
mod parameters;
mod saved;
#[cfg(test)]
mod tests;

pub use answer::InAction;
pub use out::OutAction;
pub use saved::SavedReservations;

pub(crate) use out::{Consequences, Refusal, scope_and_type_of};
pub(crate) use parameters::{LIST_BYTES, LIST_BYTES_MAX, Parameters};

use crate::execute::PortIds;
use crate::nexus::ReservedFor;

/// Bytes of an SRP TransportID (SPC-4).
pub(crate) const TRANSPORT_ID_BYTES: usize = 24;
/// FORMAT CODE 0 and PROTOCOL IDENTIFIER 4h, SRP: the first byte of a TransportID.
pub(crate) const TRANSPORT_ID_SRP: u8 = 0x04;

/// An I_T nexus by the names of its ports.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NexusId {
    /// SRP initiator port identifier.
    pub initiator_port_id: [u8; 16],
    /// SRP target port identifier.
    pub target_port_id: [u8; 16],
}

impl From<&PortIds> for NexusId {
    fn from(ports: &PortIds) -> NexusId {
        NexusId { initiator_port_id: ports.initiator_port_id, target_port_id: ports.target_port_id }
    }
}

/// A target port through which the unit can be reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TargetPort {
    /// SRP target port identifier.
    pub id: [u8; 16],
    /// Relative target port identifier, from 1.
    pub relative: u16,
}

/// TYPE of a persistent reservation (SPC-4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum ReservationType {
    /// Only the holder may write.
    WriteExclusive = 0x1,
    /// Only the holder may read and write.
    ExclusiveAccess = 0x3,
    /// Only who is registered may write.
    WriteExclusiveRegistrantsOnly = 0x5,
    /// Only who is registered may read and write.
    ExclusiveAccessRegistrantsOnly = 0x6,
    /// As registrants only, and every registrant is a holder.
    WriteExclusiveAllRegistrants = 0x7,
    /// As registrants only, and every registrant is a holder.
    ExclusiveAccessAllRegistrants = 0x8,
}

impl ReservationType {
    /// All of them.
    pub const ALL: [ReservationType; 6] = [
        ReservationType::WriteExclusive,
        ReservationType::ExclusiveAccess,
        ReservationType::WriteExclusiveRegistrantsOnly,
        ReservationType::ExclusiveAccessRegistrantsOnly,
        ReservationType::WriteExclusiveAllRegistrants,
        ReservationType::ExclusiveAccessAllRegistrants,
    ];

    /// The type with this code.
    pub(crate) fn of_code(code: u8) -> Option<ReservationType> {
        ReservationType::ALL.into_iter().find(|kind| *kind as u8 == code)
    }

    /// SPC-4's name in the form of an RPC value.
    pub fn name(self) -> &'static str {
        match self {
            ReservationType::WriteExclusive => "write_exclusive",
            ReservationType::ExclusiveAccess => "exclusive_access",
            ReservationType::WriteExclusiveRegistrantsOnly => "write_exclusive_registrants_only",
            ReservationType::ExclusiveAccessRegistrantsOnly => "exclusive_access_registrants_only",
            ReservationType::WriteExclusiveAllRegistrants => "write_exclusive_all_registrants",
            ReservationType::ExclusiveAccessAllRegistrants => "exclusive_access_all_registrants",
        }
    }

    fn is_all_registrants(self) -> bool {
        matches!(self, ReservationType::WriteExclusiveAllRegistrants | ReservationType::ExclusiveAccessAllRegistrants)
    }

    fn is_registrants_only(self) -> bool {
        matches!(self, ReservationType::WriteExclusiveRegistrantsOnly | ReservationType::ExclusiveAccessRegistrantsOnly)
    }

    /// What it leaves to those who may not do everything.
    fn leaves(self) -> ReservedFor {
        match self {
            ReservationType::WriteExclusive
            | ReservationType::WriteExclusiveRegistrantsOnly
            | ReservationType::WriteExclusiveAllRegistrants => ReservedFor::Writers,
            ReservationType::ExclusiveAccess
            | ReservationType::ExclusiveAccessRegistrantsOnly
            | ReservationType::ExclusiveAccessAllRegistrants => ReservedFor::Others,
        }
    }
}

/// One registered I_T nexus.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Registration {
    /// Which.
    pub nexus: NexusId,
    /// Its reservation key, never 0.
    pub key: u64,
}

/// A persistent reservation. Its scope is always the logical unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reservation {
    /// Its type.
    pub kind: ReservationType,
    /// Who holds it, registered as well; `None` exactly with the all registrants types, where all who are registered do.
    pub holder: Option<NexusId>,
}

/// All reservations of one unit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reservations {
    /// PRGENERATION; 0 after a restart.
    generation: u32,
    /// APTPL was set in the last registration.
    persists: bool,
    /// In the order of registration; one for each nexus.
    registrations: Vec<Registration>,
    reservation: Option<Reservation>,
    /// Who holds the reservation of SPC-2's RESERVE. Never together with registrations.
    reserved_by: Option<NexusId>,
}

impl Reservations {
    /// PRGENERATION (SPC-4): how often registrations changed since the start.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Whether all but the generation survives a restart (APTPL).
    pub fn persists(&self) -> bool {
        self.persists
    }

    /// The registrations, in their order.
    pub fn registrations(&self) -> &[Registration] {
        &self.registrations
    }

    /// The persistent reservation.
    pub fn reservation(&self) -> Option<&Reservation> {
        self.reservation.as_ref()
    }

    /// Who holds the unit by RESERVE (SPC-2).
    pub fn reserved_by(&self) -> Option<NexusId> {
        self.reserved_by
    }

    /// Whether the nexus holds the persistent reservation.
    pub fn is_holder(&self, nexus: NexusId) -> bool {
        self.reservation.is_some_and(|reservation| match reservation.holder {
            Some(holder) => holder == nexus,
            None => self.key_of(nexus).is_some(),
        })
    }

    /// What the reservations mean to commands of a nexus.
    pub fn reserved_for(&self, nexus: NexusId) -> ReservedFor {
        if let Some(holder) = self.reserved_by {
            return if holder == nexus { ReservedFor::Us } else { ReservedFor::Spc2 };
        }
        match self.reservation {
            Some(reservation) if !self.has_full_access(&reservation, nexus) => reservation.kind.leaves(),
            _ => ReservedFor::Us,
        }
    }

    /// Without registrations and reservations, as by CLEAR; for the administrator. Whether they survive a restart stays as it was.
    pub fn cleared(&self) -> Reservations {
        let generation = match self.registrations.is_empty() {
            true => self.generation,
            false => self.generation.wrapping_add(1),
        };
        Reservations { generation, persists: self.persists, ..Reservations::default() }
    }

    /// Ends the reservation by RESERVE (SPC-2): on LOGICAL UNIT RESET, and when its nexus is lost. Returns whether there was one.
    pub fn end_spc2(&mut self) -> bool {
        self.reserved_by.take().is_some()
    }

    /// RESERVE (SPC-2, and SPC-4's exceptions to it).
    pub(crate) fn reserve(&mut self, by: NexusId) -> Result<(), Refusal> {
        if self.is_compatible(by) {
            return Ok(());
        }
        if !self.registrations.is_empty() || self.reserved_by.is_some_and(|holder| holder != by) {
            return Err(Refusal::Conflict);
        }
        self.reserved_by = Some(by);
        Ok(())
    }

    /// RELEASE (SPC-2, and SPC-4's exceptions to it): what others hold stays, and that is no error.
    pub(crate) fn release_spc2(&mut self, by: NexusId) -> Result<(), Refusal> {
        if self.is_compatible(by) {
            return Ok(());
        }
        if !self.registrations.is_empty() {
            return Err(Refusal::Conflict);
        }
        self.reserved_by.take_if(|holder| *holder == by);
        Ok(())
    }

    /// SPC-4's Exceptions to SPC-2 RESERVE and RELEASE behavior: who has all rights by a persistent reservation has what it asks for.
    fn is_compatible(&self, by: NexusId) -> bool {
        self.reservation.is_some_and(|reservation| self.has_full_access(&reservation, by))
    }

    /// Whether commands of the nexus pass a persistent reservation.
    fn has_full_access(&self, reservation: &Reservation, nexus: NexusId) -> bool {
        match reservation.kind {
            ReservationType::WriteExclusive | ReservationType::ExclusiveAccess => reservation.holder == Some(nexus),
            _ => self.key_of(nexus).is_some(),
        }
    }

    /// The key that a nexus is registered with.
    fn key_of(&self, nexus: NexusId) -> Option<u64> {
        self.registrations.iter().find(|registration| registration.nexus == nexus).map(|found| found.key)
    }

    /// Registers a nexus, or gives it another key.
    fn set_key(&mut self, nexus: NexusId, key: u64) {
        match self.registrations.iter_mut().find(|registration| registration.nexus == nexus) {
            Some(registration) => registration.key = key,
            None => self.registrations.push(Registration { nexus, key }),
        }
    }
}
