//! Commands whose end takes others with it: those that end with CHECK CONDITION where the QERR field says so (SPC-4, control mode page), and
//! those that come with a tag which is in use (SAM-5, overlapped commands).
//!
//! ```text
//!   core N: it has ended ─► ToControl::Clear ─► control thread: ToGroup::Order ─► every core …
//!                           core N: its response ◄─ ToGroup::ManagementDone ◄─ control thread ◄─ …nothing of the others is left to come
//! ```
//!
//! The others are aborted as by ABORT TASK SET or CLEAR TASK SET (`management.rs`), so none of them is answered after the response that tells
//! the initiator of their end, and no stuck device holds it up. Commands that wait here themselves are not among them: they have ended, and two
//! that aborted each other would leave their initiators without any answer. Task management ends them like all others.

use scsi::{Ending, QueueError, Sense};

use crate::channel::Channel;
use crate::command::{Command, Stage};
use crate::messages::ToControl;
use crate::perform::Performed;
use crate::poll_group::PollGroup;
use crate::respond::Reply;
use crate::slab::Key;

impl Command {
    /// Whether its end takes others with it that are still there.
    #[inline]
    pub(crate) fn has_to_clear(&self) -> bool {
        matches!(self.reply, Some(Reply::Ended(Ending::CheckCondition(_))))
            && !self.has_cleared
            && self.queue_error() != QueueError::Nothing
    }

    fn queue_error(&self) -> QueueError {
        self.unit().map_or(QueueError::Nothing, |entry| entry.logical_unit.task_set().queue_error())
    }
}

impl PollGroup {
    /// A command came with a tag that another of its nexus and unit has. SAM-5: all commands of the nexus for the unit are aborted, and this
    /// one is told why. Only commands of its own channel are looked at; SRP leaves it to the initiator that tags differ.
    #[cold]
    pub(crate) fn overlap(&mut self, key: Key<Command>) {
        let Some(command) = self.commands.get_mut(key) else { return };
        command.reply = Some(Reply::Ended(Ending::CheckCondition(Sense::OVERLAPPED_COMMANDS)));
        self.clear_others(key);
    }

    /// Has the others aborted before a command that has ended is answered.
    #[cold]
    pub(crate) fn clear_others(&mut self, key: Key<Command>) -> Performed {
        let Some(command) = self.commands.get_mut(key) else { return Performed::Started };
        command.stage = Stage::Clearing;
        let channel = command.channel.and_then(|channel| self.channels.get(channel)).map(|channel| channel.id);
        if let (Some(channel), Some(unit)) = (channel, command.unit_id()) {
            let everybody = command.queue_error() == QueueError::All;
            self.send(ToControl::Clear { channel, command: key.to_bits(), unit, everybody });
        }
        Performed::Started
    }

    /// They are gone.
    pub(crate) fn cleared(&mut self, key: Key<Command>) {
        let Some(command) = self.commands.get_mut(key) else { return };
        command.has_cleared = true;
        self.tracer.goes_on(self.now, key, Stage::Clearing);
        if let Some(reply) = command.reply.take() {
            let action = command.answer(reply);
            self.carry_out(key, action);
        }
    }

    /// Its tag may be in use: looks whether it is.
    #[cold]
    pub(crate) fn is_overlapped(&self, key: Key<Channel>, command: Key<Command>) -> bool {
        let Some((channel, newer)) = self.channels.get(key).zip(self.commands.get(command)) else { return false };
        // One that is answered has its tag no more: the initiator may have the response, and uses the tag again.
        let same =
            |older: &Command| older.place.has_tag && older.tag() == newer.tag() && older.unit_id() == newer.unit_id();
        let mut others = channel.commands.iter().filter(|&&other| other != command);
        newer.unit_id().is_some() && others.any(|&other| self.commands.get(other).is_some_and(same))
    }
}
