//! Commands that go on with nobody waiting for them: those that are answered before they are done (IMMED of FORMAT UNIT, SANITIZE and SYNCHRONIZE
//! CACHE), and those that are not to be left half done, whoever aborts them or goes away ([`scsi::Job::runs_on`]).
//!
//! Such a command is an orphan that is stepped on instead of ending when its device comes back. It keeps its slot, its buffer and the
//! blocks that it has for itself, raises no fence (its unit says itself that it is not ready), and its end is told to nobody but the initiator
//! that has to know of a failure. An initiator has as many of them as it may have orphans; what is more is answered when it is done.

use crate::command::{Abort, Command, Debt, Event};
use crate::limits;
use crate::perform::Performed;
use crate::poll_group::PollGroup;
use crate::respond::Reply;
use crate::slab::Key;

impl PollGroup {
    /// Answers a command that goes on.
    pub(crate) fn answer_early(&mut self, key: Key<Command>) -> Performed {
        let channel = self.commands.get(key).and_then(|command| command.channel);
        let room = |key| self.channels.get(key).is_some_and(|it| it.orphans < limits::orphans(it.credits));
        let Some(channel) = channel.filter(|&channel| self.is_serving(channel) && room(channel)) else {
            return Performed::Followed(Event::Answered);
        };
        let receive = self.orphan(key).or_else(|| self.memory.receives.get());
        let Some(command) = self.commands.get_mut(key) else { return Performed::Started };
        if receive.is_none() {
            command.debt = Some(Debt { channel, abort: Abort::Silent });
        }
        let parts = command.early_answer();
        let answer = self.add_command(channel, |answer| answer.arrive_as_answer(channel, parts, receive));
        self.tracer.answers_for(key, answer);
        let good = Reply::Ended(scsi::Ending::Good { data_in: 0..0 });
        if let Some(action) = self.commands.get_mut(answer).map(|answer| answer.answer(good)) {
            self.carry_out(answer, action);
        }
        Performed::Followed(Event::Answered)
    }

    /// A command ended that nobody waits for.
    pub(crate) fn end_background(&mut self, key: Key<Command>) {
        let Some(command) = self.commands.get(key) else { return };
        if let Some(unit) = command.unit()
            && command.failed()
        {
            let unit_name = unit.logical_unit.name();
            tracing::warn!(unit = unit_name, reply = ?command.reply, "a command that was in the background failed");
            if let Some(error) = command.deferred_error() {
                unit.nexus.establish(error);
            }
        }
        self.finish_orphan(key);
    }
}
