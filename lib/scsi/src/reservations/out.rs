//! PERSISTENT RESERVE OUT (SPC-4): what each service action does to the reservations of a unit.
//!
//! Every function checks all there is to check before it changes anything.

use std::collections::BTreeSet;

use super::parameters::{Parameters, Rest, invalid_flag};
use super::{NexusId, Registration, Reservation, ReservationType, Reservations, TargetPort};
use crate::limits::REGISTRATIONS_MAX;
use crate::nexus::UnitAttention;
use crate::wire::sense::{Sense, SenseKey};

/// A service action, with SCOPE and TYPE of its CDB where it looks at them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OutAction {
    /// REGISTER.
    Register,
    /// RESERVE.
    Reserve(ReservationType),
    /// RELEASE, with byte 2 of the CDB: it has to be that of the reservation.
    Release(u8),
    /// CLEAR.
    Clear,
    /// PREEMPT, or PREEMPT AND ABORT, with byte 2 of the CDB: looked at only if a reservation comes of it.
    Preempt {
        /// SCOPE and TYPE.
        scope_and_type: u8,
        /// PREEMPT AND ABORT.
        abort: bool,
    },
    /// REGISTER AND IGNORE EXISTING KEY.
    RegisterAndIgnore,
    /// REGISTER AND MOVE.
    RegisterAndMove,
}

/// Why a command is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// RESERVATION CONFLICT.
    Conflict,
    /// CHECK CONDITION.
    Sense(Sense),
}

impl From<Sense> for Refusal {
    fn from(sense: Sense) -> Refusal {
        Refusal::Sense(sense)
    }
}

/// What others notice of a service action.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Consequences {
    /// Unit attentions.
    pub(crate) told: Vec<(NexusId, UnitAttention)>,
    /// Nexuses whose commands are aborted.
    pub(crate) aborted: Vec<NexusId>,
}

/// 05h 26h/04h INVALID RELEASE OF PERSISTENT RESERVATION.
const INVALID_RELEASE: Sense = Sense::new(SenseKey::IllegalRequest, 0x26, 0x04);
/// 05h 55h/04h INSUFFICIENT REGISTRATION RESOURCES.
const NO_ROOM: Sense = Sense::new(SenseKey::IllegalRequest, 0x55, 0x04);

/// Where SERVICE ACTION RESERVATION KEY stands.
const ACTION_KEY_AT: u16 = 8;
const APTPL_BIT: u8 = 0;
const SPEC_I_PT_BIT: u8 = 3;

impl Reservations {
    /// Carries a service action out that came `by` a nexus. `ports` are the target ports that the unit has; `can_persist` says whether
    /// there is a place to keep registrations over a restart.
    pub(crate) fn out(
        &mut self,
        action: OutAction,
        parameters: &Parameters,
        by: NexusId,
        ports: &[TargetPort],
        can_persist: bool,
    ) -> Result<Consequences, Refusal> {
        let registers =
            matches!(action, OutAction::Register | OutAction::RegisterAndIgnore | OutAction::RegisterAndMove);
        if registers && parameters.persist && !can_persist {
            let sense = match action {
                OutAction::RegisterAndMove => Sense::invalid_field_in_parameter_list(17),
                _ => invalid_flag(APTPL_BIT),
            };
            return Err(sense.into());
        }
        // Only REGISTER registers others along with oneself.
        if matches!(parameters.rest, Rest::Basic { initiators: Some(_), .. }) && action != OutAction::Register {
            return Err(invalid_flag(SPEC_I_PT_BIT).into());
        }
        // Whoever else may send something has to be registered, and has to know its key.
        let registered = self.key_of(by);
        if !matches!(action, OutAction::Register | OutAction::RegisterAndIgnore) && registered != Some(parameters.key) {
            return Err(Refusal::Conflict);
        }
        match action {
            OutAction::Register => self.register(parameters, by, ports, false),
            OutAction::RegisterAndIgnore => self.register(parameters, by, ports, true),
            OutAction::Reserve(kind) => self.reserve_persistently(kind, by),
            OutAction::Release(scope_and_type) => self.release(scope_and_type, by),
            OutAction::Clear => Ok(self.clear(by)),
            OutAction::Preempt { scope_and_type, abort } => {
                self.preempt(parameters.action_key, scope_and_type, abort, by)
            }
            OutAction::RegisterAndMove => self.register_and_move(parameters, by, ports),
        }
    }

    /// REGISTER, and REGISTER AND IGNORE EXISTING KEY (SPC-4, Registering; Unregistering).
    fn register(
        &mut self,
        parameters: &Parameters,
        by: NexusId,
        ports: &[TargetPort],
        ignore: bool,
    ) -> Result<Consequences, Refusal> {
        let Rest::Basic { all_ports, ref initiators } = parameters.rest else { return Ok(Consequences::default()) };
        let registered = self.key_of(by);
        if !ignore && parameters.key != registered.unwrap_or(0) {
            return Err(Refusal::Conflict);
        }
        // Others are registered only along with oneself.
        if initiators.is_some() && registered.is_some() {
            return Err(invalid_flag(SPEC_I_PT_BIT).into());
        }
        if registered.is_none() && parameters.action_key == 0 {
            return Ok(Consequences::default());
        }
        // ALL_TG_PT: as if the same command had come through every target port. Where the initiator has another key, that would be a
        // conflict.
        let through: Vec<[u8; 16]> = match all_ports {
            true => std::iter::once(by.target_port_id).chain(ports.iter().map(|port| port.id)).collect(),
            false => vec![by.target_port_id],
        };
        let of = |initiator: [u8; 16]| {
            through.iter().map(move |&target_port_id| NexusId { initiator_port_id: initiator, target_port_id })
        };
        let mine = |key: u64| key == parameters.key || key == parameters.action_key;
        if !ignore && of(by.initiator_port_id).any(|nexus| self.key_of(nexus).is_some_and(|key| !mine(key))) {
            return Err(Refusal::Conflict);
        }
        let mut consequences = Consequences::default();
        if parameters.action_key == 0 {
            let gone: Vec<NexusId> = of(by.initiator_port_id).collect();
            self.unregister(&gone, by, &mut consequences);
        } else {
            // Who is named with SPEC_I_PT and registered already keeps its key.
            let named = initiators.iter().flatten().flat_map(|&initiator| of(initiator));
            let mut nexuses: Vec<NexusId> = of(by.initiator_port_id).collect();
            nexuses.extend(named.filter(|nexus| self.key_of(*nexus).is_none()));
            let new: BTreeSet<_> = nexuses.iter().filter(|nexus| self.key_of(**nexus).is_none()).collect();
            if self.registrations.len() + new.len() > REGISTRATIONS_MAX {
                return Err(NO_ROOM.into());
            }
            nexuses.into_iter().for_each(|nexus| self.set_key(nexus, parameters.action_key));
        }
        self.persists = parameters.persist;
        self.generation = self.generation.wrapping_add(1);
        Ok(consequences)
    }

    /// Takes registrations away, and with that of the holder, or of the last registrant, the reservation.
    fn unregister(&mut self, gone: &[NexusId], by: NexusId, consequences: &mut Consequences) {
        self.registrations.retain(|registration| !gone.contains(&registration.nexus));
        let Some(reservation) = self.reservation else { return };
        if !self.is_orphaned(&reservation) {
            return;
        }
        self.reservation = None;
        if reservation.kind.is_registrants_only() {
            self.tell_registered(UnitAttention::ReservationsReleased, by, consequences);
        }
    }

    /// RESERVE (SPC-4, Reserving): it may be repeated by its holder, but not changed.
    fn reserve_persistently(&mut self, kind: ReservationType, by: NexusId) -> Result<Consequences, Refusal> {
        match self.reservation {
            None => self.hold(kind, by),
            Some(reservation) if self.is_holder(by) && reservation.kind == kind => {}
            Some(_) => return Err(Refusal::Conflict),
        }
        Ok(Consequences::default())
    }

    /// RELEASE (SPC-4, Releasing): from others than the holder it does nothing, and is no error.
    fn release(&mut self, scope_and_type: u8, by: NexusId) -> Result<Consequences, Refusal> {
        let mut consequences = Consequences::default();
        let Some(reservation) = self.reservation.filter(|_| self.is_holder(by)) else { return Ok(consequences) };
        if scope_and_type != reservation.kind as u8 {
            return Err(INVALID_RELEASE.into());
        }
        self.reservation = None;
        if reservation.kind.is_registrants_only() || reservation.kind.is_all_registrants() {
            self.tell_registered(UnitAttention::ReservationsReleased, by, &mut consequences);
        }
        Ok(consequences)
    }

    /// CLEAR (SPC-4, Clearing).
    fn clear(&mut self, by: NexusId) -> Consequences {
        let mut consequences = Consequences::default();
        self.tell_registered(UnitAttention::ReservationsPreempted, by, &mut consequences);
        *self = self.cleared();
        consequences
    }

    /// PREEMPT and PREEMPT AND ABORT (SPC-4, Preempting persistent reservations and registration handling).
    fn preempt(
        &mut self,
        action_key: u64,
        scope_and_type: u8,
        abort: bool,
        by: NexusId,
    ) -> Result<Consequences, Refusal> {
        let reservation = self.reservation;
        // Whether the key names the holder: zero names the holders of an all registrants reservation, who have no key in common.
        let takes = match reservation {
            Some(Reservation { holder: None, .. }) => action_key == 0,
            Some(Reservation { holder: Some(holder), .. }) => {
                action_key != 0 && self.key_of(holder) == Some(action_key)
            }
            None => false,
        };
        if action_key == 0 && !takes {
            return Err(Sense::invalid_field_in_parameter_list(ACTION_KEY_AT).into());
        }
        let named = |registration: &Registration| action_key == 0 || registration.key == action_key;
        if !takes && !self.registrations.iter().any(named) {
            return Err(Refusal::Conflict);
        }
        let mut consequences = Consequences::default();
        let kind = if takes { Some(scope_and_type_of(scope_and_type)?) } else { None };
        let lost: Vec<NexusId> = self.registrations.iter().filter(|it| named(it)).map(|it| it.nexus).collect();
        // Who takes a reservation over stays registered, whatever its key; who only removes registrations may remove its own.
        self.registrations.retain(|it| !named(it) || takes && it.nexus == by);
        for nexus in lost.into_iter().filter(|nexus| *nexus != by) {
            consequences.told.push((nexus, UnitAttention::RegistrationsPreempted));
            if abort {
                consequences.aborted.push(nexus);
            }
        }
        if let (Some(kind), Some(old)) = (kind, reservation) {
            self.hold(kind, by);
            if kind != old.kind {
                self.tell_registered(UnitAttention::ReservationsReleased, by, &mut consequences);
            }
        } else if reservation.is_some_and(|reservation| self.is_orphaned(&reservation)) {
            self.reservation = None;
        }
        self.generation = self.generation.wrapping_add(1);
        Ok(consequences)
    }

    /// REGISTER AND MOVE (SPC-4, Registering and moving the reservation).
    fn register_and_move(
        &mut self,
        parameters: &Parameters,
        by: NexusId,
        ports: &[TargetPort],
    ) -> Result<Consequences, Refusal> {
        let Rest::Move { unregister, relative_port, initiator } = parameters.rest else {
            return Ok(Consequences::default());
        };
        let Some(reservation) = self.reservation else {
            // SERVICE ACTION: there is nothing to be moved.
            return Err(Sense::invalid_field_in_cdb(1, Some(4)).into());
        };
        if reservation.kind.is_all_registrants() || !self.is_holder(by) {
            return Err(Refusal::Conflict);
        }
        if parameters.action_key == 0 {
            return Err(Sense::invalid_field_in_parameter_list(ACTION_KEY_AT).into());
        }
        let port = ports.iter().find(|port| port.relative == relative_port);
        let Some(port) = port else { return Err(Sense::invalid_field_in_parameter_list(18).into()) };
        let to = NexusId { initiator_port_id: initiator, target_port_id: port.id };
        if to == by {
            return Err(Sense::invalid_field_in_parameter_list(24).into());
        }
        if !unregister && self.key_of(to).is_none() && self.registrations.len() == REGISTRATIONS_MAX {
            return Err(NO_ROOM.into());
        }
        if unregister {
            self.registrations.retain(|registration| registration.nexus != by);
        }
        self.set_key(to, parameters.action_key);
        self.hold(reservation.kind, to);
        self.persists = parameters.persist;
        self.generation = self.generation.wrapping_add(1);
        Ok(Consequences::default())
    }

    fn hold(&mut self, kind: ReservationType, by: NexusId) {
        self.reservation = Some(Reservation { kind, holder: (!kind.is_all_registrants()).then_some(by) });
    }

    /// Whether nobody is left who could hold it.
    fn is_orphaned(&self, reservation: &Reservation) -> bool {
        match reservation.holder {
            Some(holder) => self.key_of(holder).is_none(),
            None => self.registrations.is_empty(),
        }
    }

    /// Tells all who are registered now but the one that did it.
    fn tell_registered(&self, attention: UnitAttention, by: NexusId, consequences: &mut Consequences) {
        let others = self.registrations.iter().map(|registration| registration.nexus).filter(|nexus| *nexus != by);
        consequences.told.extend(others.map(|nexus| (nexus, attention)));
    }
}

/// SCOPE and TYPE, in a byte of the CDB. LU_SCOPE is the only scope there is.
pub(crate) fn scope_and_type_of(byte: u8) -> Result<ReservationType, Sense> {
    match (byte >> 4, ReservationType::of_code(byte & 0x0f)) {
        (0, Some(kind)) => Ok(kind),
        (0, None) => Err(Sense::invalid_field_in_cdb(2, Some(3))),
        _ => Err(Sense::invalid_field_in_cdb(2, Some(7))),
    }
}
