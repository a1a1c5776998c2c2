//! SCSI commands that the control plane carries out (`scsi::control`): from a command on its core to the control thread and back.
//!
//! ```text
//!   core N: Step::Control ─► ToControl::Control ─► control thread: scsi::control::perform, effects ─► ToGroup::ControlDone ─► core N
//! ```
//!
//! Such a command cannot be cut while it is on its way: who aborts it waits for it, as for RDMA.

use scsi::control::{self, ControlReply, ControlRequest, Effect, Outcome};
use scsi::{Sense, StoreError};

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
        let outcome = match self.units.get(unit) {
            Some(exported) => control::perform(request, parameters, &exported.logical_unit),
            None => Sense::LOGICAL_UNIT_NOT_SUPPORTED.into(),
        };
        let Outcome { reply, effects } = outcome;
        for effect in effects {
            self.apply(effect, session, unit);
        }
        self.tell(group, ToGroup::ControlDone { command, reply });
    }

    fn apply(&mut self, effect: Effect, by: SessionId, unit: UnitId) {
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
        }
    }

    /// Writes down what a unit keeps over restarts.
    ///
    /// # Errors
    /// There is nowhere to keep it, or it cannot be written there.
    #[expect(dead_code, reason = "nothing is kept yet")]
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
    pub(crate) fn restrict(&self, _unit: UnitId) {}
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
