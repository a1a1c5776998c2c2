//! SCSI commands that the control plane carries out (`scsi::control`): from a command on its core to the control thread and back.
//!
//! ```text
//!   core N: Step::Control ─► ToControl::Control ─► control thread: scsi::control::perform, effects ─► ToGroup::ControlDone ─► core N
//! ```
//!
//! Such a command cannot be cut while it is on its way: who aborts it waits for it, as for RDMA.

use scsi::control::{self, Circumstances, ControlReply, ControlRequest, Effect, Outcome};
use scsi::{Keeper, ProtectionType, ScsiStatus, Sense, StoreError};

use crate::command::{Command, Event};
use crate::controller::Controller;
use crate::messages::ToGroup;
use crate::poll_group::PollGroup;
use crate::session::{ChannelId, SessionId, UnitId};
use crate::slab::Key;

impl Controller {
    /// A command of one core is to be carried out.
    pub(crate) fn on_control(
        &mut self,
        channel: ChannelId,
        command: u64,
        unit: UnitId,
        request: ControlRequest,
        parameters: &[u8],
    ) {
        let Some(connection) = self.connections.get(&channel) else { return };
        let (group, Some(session)) = (connection.group, connection.session) else { return };
        // What it sent before it was preempted must not undo that, and who aborts it waits for it: else two such commands could wait for
        // each other.
        if self.is_being_preempted(session, unit) {
            let reply = ControlReply::Status(ScsiStatus::Busy);
            return self.tell(group, ToGroup::ControlDone { command, reply });
        }
        let Outcome { mut reply, effects } = self.perform(session, unit, request, parameters);
        for effect in effects {
            match effect {
                Effect::Abort(nexuses) => {
                    return self.preempt(group, command, reply, unit, self.sessions_of(&nexuses));
                }
                effect => {
                    if let Err(error) = self.apply(effect, session, unit) {
                        tracing::error!(%error, "a unit's state cannot be kept");
                        reply = ControlReply::CheckCondition(Sense::INTERNAL_TARGET_FAILURE);
                        break;
                    }
                }
            }
        }
        self.tell(group, ToGroup::ControlDone { command, reply });
    }

    /// A format to another type of protection has come to its end; its initiator may be gone, and may have its answer.
    pub(crate) fn on_formatted(
        &mut self,
        unit: UnitId,
        protection: ProtectionType,
        session: SessionId,
        waiting: Option<(ChannelId, u64)>,
    ) {
        // As in `perform`: else there is nobody any more to whom it matters.
        let exported = self.units.get_mut(unit).filter(|exported| exported.references > 0);
        let Outcome { reply, effects } = match exported {
            Some(exported) => {
                let mut keeper = Keeper { saved: &mut exported.saved, store: self.store.as_deref(), failure: None };
                let outcome = control::formatted(protection, &exported.logical_unit, &mut keeper);
                if let Some(error) = keeper.failure {
                    let bdev = &exported.logical_unit.bdev().info().name;
                    tracing::error!(bdev, %error, "the type of protection that a unit was formatted to is not saved");
                }
                outcome
            }
            None => Sense::LOGICAL_UNIT_NOT_SUPPORTED.into(),
        };
        for effect in effects {
            if let Err(error) = self.apply(effect, session, unit) {
                tracing::error!(%error, "a unit's state cannot be kept");
            }
        }
        if let Some((channel, command)) = waiting
            && let Some(group) = self.connections.get(&channel).map(|connection| connection.group)
        {
            self.tell(group, ToGroup::ControlDone { command, reply });
        }
    }

    fn perform(&mut self, session: SessionId, unit: UnitId, request: ControlRequest, parameters: &[u8]) -> Outcome {
        let (target_ports, groups) = (self.target_ports(unit), self.port_groups_of(unit, session));
        // A unit that no LUN refers to any more may be exported anew already: what it keeps is that one's now.
        let exported = self.units.get_mut(unit).filter(|exported| exported.references > 0);
        let (Some(exported), Some(session)) = (exported, self.sessions.get(&session)) else {
            return Sense::LOGICAL_UNIT_NOT_SUPPORTED.into();
        };
        let circumstances = Circumstances {
            unit: &exported.logical_unit,
            ports: &session.nexus.ports,
            reservations: &exported.reservations,
            target_ports: &target_ports,
            groups: &groups,
            can_persist: self.store.is_some(),
        };
        let mut keeper = Keeper { saved: &mut exported.saved, store: self.store.as_deref(), failure: None };
        let outcome = control::perform(request, parameters, &circumstances, &mut keeper);
        if let Some(error) = keeper.failure {
            let bdev = &exported.logical_unit.bdev().info().name;
            tracing::error!(bdev, %error, "what an initiator wants kept is not saved");
        }
        outcome
    }

    /// Does what concerns others than the initiator.
    ///
    /// # Errors
    /// What had to be kept could not be: nothing was done.
    fn apply(&mut self, effect: Effect, by: SessionId, unit: UnitId) -> Result<(), StoreError> {
        match effect {
            Effect::TellAll(attention) => {
                self.sessions.values().for_each(|session| session.establish(unit, attention));
            }
            Effect::TellOthers(attention) => {
                self.sessions
                    .iter()
                    .filter(|(id, _)| **id != by)
                    .for_each(|(_, session)| session.establish(unit, attention));
            }
            Effect::Reserve(reservations) => self.set_reservations(unit, *reservations)?,
            Effect::SetAccessState { group, state } => self.set_access_state(unit, group, state, by),
            Effect::Tell(nexus, attention) => self.tell_nexus(unit, nexus, attention),
            Effect::Abort(_) => {} // the reply has to wait for it
        }
        Ok(())
    }

    /// Writes down what a unit keeps over restarts.
    ///
    /// # Errors
    /// There is nowhere to keep it, or it cannot be written there.
    pub(crate) fn save_unit(&self, unit: UnitId) -> Result<(), StoreError> {
        let nowhere = || StoreError("there is no state directory".to_owned());
        let store = self.store.as_ref().ok_or_else(nowhere)?;
        match self.units.get(unit) {
            Some(exported) => store.save(exported.logical_unit.naa(), &exported.saved),
            None => Ok(()),
        }
    }

    /// Works out anew what stands between every initiator and a unit (reservations, access states). Called when a session, a LUN or
    /// what it depends on changed.
    pub(crate) fn restrict(&mut self, unit: UnitId) {
        self.restrict_by_reservations(unit);
        self.restrict_paths(unit);
    }
}

impl PollGroup {
    /// The control plane has carried a command out.
    pub(crate) fn on_controlled(&mut self, key: Key<Command>, reply: ControlReply) {
        let Some(command) = self.commands.get_mut(key) else { return };
        let (channel, abort) = (command.channel, command.abort);
        match (abort, channel) {
            (_, None) => {}
            (_, Some(channel)) if !self.is_serving(channel) => self.finish(key),
            (Some(abort), Some(_)) => self.finish_aborted(key, abort),
            (None, Some(_)) => self.run(key, Event::Controlled(reply)),
        }
    }
}
