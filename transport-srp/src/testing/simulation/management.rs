//! Task management: which commands it is about, through which channel it goes, and what it has surely ended.
//!
//! SRP orders nothing among channels: a command sent before task management on another channel may come behind it, and is then carried out and answered.
//! So the initiator itself takes only commands of the same channel for ended. But here everybody can look into the target: what had arrived there
//! and was not answered when task management was sent has ended with its answer, whichever channel it came on. Not so on a channel that the initiator
//! itself has left: what the target asked for there may still be on its way when the queue pair is gone.

use super::initiator::{Pending, What};
use super::order::Place;
use super::world::Simulation;
use crate::command::{Request, Stage};
use crate::testing::wire::Function;
use crate::testing::{Answer, Handle, Outcome, lun};

impl Simulation {
    /// Aborts a command; `late`: one that may have ended.
    pub(super) fn abort(&mut self, number: usize, late: bool) {
        let player = &self.players[number];
        let may = |&(handle, channel, _): &(Handle, usize, u16)| {
            player.live.contains(&channel) && (late || player.pending.contains_key(&handle))
        };
        let candidates: Vec<_> = player.recent.iter().copied().filter(may).collect();
        if candidates.is_empty() {
            return;
        }
        let (task, own, unit) = self.random.pick(&candidates);
        let elsewhere = self.random.one_in(2);
        let channel = self.channel(number).filter(|_| elsewhere).unwrap_or(own);
        self.manage(number, channel, Function::AbortTask, unit, Some(task));
    }

    pub(super) fn reset(&mut self, number: usize) {
        let Some(channel) = self.channel(number) else { return };
        let function = self.random.pick(&[Function::LunReset, Function::AbortTaskSet, Function::ClearTaskSet]);
        let unit = self.random.index(self.disks.len()) as u16;
        self.manage(number, channel, function, unit, None);
    }

    fn manage(&mut self, number: usize, channel: usize, function: Function, unit: u16, task: Option<Handle>) {
        let ends = self.surely_ends(number, channel, function, unit, task);
        let player = &mut self.players[number];
        let Ok(handle) = player.initiator.manage(channel, function, lun(unit), task) else { return };
        self.moment += 1;
        let start = self.moment;
        let pending = Pending {
            channel,
            lun: lun(unit),
            what: What::Manage(function),
            start,
            place: Place::NONE,
            overtaken: None,
        };
        player.pending.insert(handle, pending);
        player.ends.insert(handle, ends);
        self.note(format_args!("i{number} c{channel} @{start} {function:?} of unit {unit}, task {task:?}"));
        self.report.management += 1;
    }

    /// Commands of other channels that task management ends if it is sent now and carried out.
    fn surely_ends(
        &self,
        number: usize,
        channel: usize,
        function: Function,
        unit: u16,
        task: Option<Handle>,
    ) -> Vec<Handle> {
        let player = &self.players[number];
        let tag = task.map(|task| player.initiator.tag(task));
        // The target looks on the channel of ABORT TASK first.
        if tag.is_some_and(|tag| self.uses_tag(number, channel, tag)) {
            return Vec::new();
        }
        let is_meant = |(handle, pending): &(&Handle, &Pending)| {
            let own = player.initiator.tag(**handle);
            !matches!(pending.what, What::Manage(_))
                && pending.channel != channel
                && pending.lun == lun(unit)
                && !player.left.contains(&pending.channel)
                && (function != Function::AbortTask || tag == Some(own))
                && self.is_at_target(number, pending.channel, own)
        };
        player.pending.iter().filter(is_meant).map(|(&handle, _)| handle).collect()
    }

    /// A request is over. If it was task management that was carried out, others are too.
    pub(super) fn managed(&mut self, number: usize, request: Handle, outcome: &Outcome) {
        let Some(ends) = self.players[number].ends.remove(&request) else { return };
        if !matches!(outcome, Outcome::Answered(Answer { code: Some(0), .. })) {
            return;
        }
        for handle in ends {
            let player = &self.players[number];
            if player.pending.get(&handle).is_some_and(|pending| !player.left.contains(&pending.channel)) {
                self.report.ended_elsewhere += 1;
                self.players[number].initiator.end_command(handle);
            }
        }
    }

    /// Whether a command has arrived, and is not answered.
    fn is_at_target(&self, number: usize, channel: usize, tag: [u8; 8]) -> bool {
        self.commands_with(number, channel, tag).any(|stage| stage != Stage::Responding)
    }

    /// Whether a tag is in use, or was, as the target may see it.
    fn uses_tag(&self, number: usize, channel: usize, tag: [u8; 8]) -> bool {
        let player = &self.players[number];
        let is_used =
            |(handle, pending): (&Handle, &Pending)| pending.channel == channel && player.initiator.tag(*handle) == tag;
        player.pending.iter().any(is_used) || self.commands_with(number, channel, tag).next().is_some()
    }

    /// Stages of the commands of a channel at the target that have a tag.
    fn commands_with(&self, number: usize, channel: usize, tag: [u8; 8]) -> impl Iterator<Item = Stage> {
        let connection = self.players[number].initiator.connection(channel);
        let id = self.controller.by_connection.get(&(0, connection)).copied();
        self.groups.iter().flat_map(move |group| {
            let key = group.channels.iter().find(|(_, channel)| Some(channel.id) == id).map(|(key, _)| key);
            group.commands.iter().filter_map(move |(_, command)| {
                let of = command.channel.or(command.debt.map(|debt| debt.channel));
                let is_it = key.is_some() && of == key && matches!(command.request, Request::Command(_));
                (is_it && command.tag().0 == tag).then_some(command.stage)
            })
        })
    }
}
