//! The task set of a unit on one core: when a command may start (SAM-5, task attributes), and what it has to itself once it has.
//!
//! | attribute | starts |
//! |---|---|
//! | SIMPLE | at once, unless an ORDERED command stands before it |
//! | ORDERED | when everything older has ended, on all cores; everything newer waits for its end |
//! | HEAD OF QUEUE | at once, whatever waits; what was started goes on beside it |
//! | ACA | never: no unit of ours has an auto contingent allegiance |
//!
//! One task set is shared by all nexuses (control mode page, TST 000b), and SIMPLE commands are not ordered among each other
//! (QUEUE ALGORITHM MODIFIER 1h). How cores agree about ORDERED commands and about blocks of a command's own: `exclusion.rs`. A command
//! of another core is older if that core had noted it first, or had started it; commands of one channel are all of one core.
//!
//! A unit may have a limit to its task set (`scsi::TaskSet`): what comes beyond ends with TASK SET FULL, or BUSY. Otherwise credits are the only one.
//!
//! A command's end is here the moment its response is posted, or that it is gone without one.

use scsi::{Ending, ScsiStatus, Sense};

use crate::channel::Channel;
use crate::command::{Action, Command, Event, Request, Stage};
use crate::exclusion::{Claim, Extent, Kind, Noted};
use crate::perform::{Performed, Queue};
use crate::poll_group::PollGroup;
use crate::respond::Reply;
use crate::session::UnitId;
use crate::slab::Key;
use crate::slots::Slots;
use crate::wire::cmd::TaskAttribute;

/// Claims to blocks of one unit that one core has on the board at once. More wait, so that one initiator does not fill it.
const RANGES_PER_UNIT: usize = 4;

/// A command's place in its task set.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Place {
    /// When it arrived, counted by its poll group.
    pub(crate) arrival: u64,
    /// It was let through.
    pub(crate) started: bool,
    /// It waits for orders with tickets up to this one, and those with higher ones wait for it. `None`: an ORDERED command before
    /// it has no ticket yet, or it is one itself.
    rank: Option<u64>,
    /// The order that it stands for itself.
    order: Option<Claim>,
    /// Its claim to blocks.
    pub(crate) range: Option<Claim>,
    /// It is counted in its unit's task set.
    has_entered: bool,
    /// Its tag is noted as in use on its channel.
    pub(crate) has_tag: bool,
}

impl Place {
    /// Whether others have to be told when it is given up.
    #[inline]
    pub(crate) fn holds(&self) -> bool {
        self.has_entered || self.range.is_some() || self.order.is_some()
    }

    /// Leaves all but the claim to blocks.
    pub(crate) fn leave(&mut self) -> Place {
        let range = self.range.take();
        std::mem::replace(self, Place { range, ..Place::default() })
    }
}

impl PollGroup {
    /// A command arrived.
    #[inline]
    pub(crate) fn admit(&mut self, key: Key<Command>) {
        let Some(command) = self.commands.get_mut(key) else { return };
        self.arrivals += 1;
        command.place.arrival = self.arrivals;
        let free = self.claims.is_empty() && self.ordered.is_empty();
        let limited = command.unit().is_some_and(|entry| entry.logical_unit.task_set().depth().is_some());
        match command.attribute() {
            Some(TaskAttribute::Simple) if free && !limited => {
                command.place.started = true;
                #[cfg(test)]
                crate::tests::witness::started(self.number, key, command);
                self.begin(key);
            }
            _ => self.carry_out(key, Action::Start),
        }
    }

    /// Starts a command, refuses it, or has it wait its turn.
    #[cold]
    pub(crate) fn start(&mut self, key: Key<Command>) -> Performed {
        let Some(command) = self.commands.get_mut(key) else { return Performed::Started };
        let Some(unit) = command.unit_id() else { return self.started(key) };
        if let Err(status) = command.enter_task_set() {
            return refused(Ending::Status(status));
        }
        let may = match command.attribute() {
            Some(TaskAttribute::Simple) | None => self.may_start(key, unit),
            Some(TaskAttribute::Ordered) => self.may_start_ordered(key, unit),
            Some(TaskAttribute::HeadOfQueue) => true,
            // SAM-5: there is no condition that it could be for.
            Some(TaskAttribute::Aca) => return refused(Ending::CheckCondition(Sense::INVALID_MESSAGE)),
            Some(TaskAttribute::Reserved(_)) => {
                return refused(Ending::CheckCondition(Sense::INVALID_FIELD_IN_COMMAND_IU));
            }
        };
        if may { self.started(key) } else { Performed::Parked(Action::Start, Queue::Device) }
    }

    fn started(&mut self, key: Key<Command>) -> Performed {
        if let Some(command) = self.commands.get_mut(key) {
            command.place.started = true;
            #[cfg(test)]
            crate::tests::witness::started(self.number, key, command);
        }
        Performed::Followed(Event::Arrived)
    }

    /// Whether no ORDERED command stands before this one.
    fn may_start(&mut self, key: Key<Command>, unit: UnitId) -> bool {
        let newest = self.claims.newest();
        let Some(arrival) = self.commands.get(key).map(|command| command.place.arrival) else { return false };
        let without_ticket = |command: &Command| {
            let place = &command.place;
            place.arrival < arrival && place.order.is_none() && !place.started && command.unit_id() == Some(unit)
        };
        if self.ordered.iter().any(|&key| self.commands.get(key).is_some_and(without_ticket)) {
            return false;
        }
        let Some(command) = self.commands.get_mut(key) else { return false };
        let rank = *command.place.rank.get_or_insert(newest);
        !self.claims.precedes(unit, rank)
    }

    /// Whether everything older than this one has ended, here and on the other cores. Of the ORDERED commands of a unit on one core, only
    /// the first has a ticket: one initiator must not fill the board.
    fn may_start_ordered(&mut self, key: Key<Command>, unit: UnitId) -> bool {
        if !self.ordered.contains(&key) {
            self.ordered.push(key);
        }
        let Some(place) = self.commands.get(key).map(|command| command.place) else { return false };
        if let Some(order) = place.order {
            return self.claims.is_granted(order);
        }
        // The rest of what is older has a rank below the ticket, or was started, and is waited for by that.
        let without_rank = |command: &Command| {
            let other = &command.place;
            let waits = other.order.is_some() || !other.started && other.rank.is_none();
            other.arrival < place.arrival && waits && is_task(command, unit)
        };
        if self.commands.iter().any(|(_, command)| without_rank(command)) {
            return false;
        }
        if let (Some(order), Some(command)) =
            (self.claims.publish(Kind::Order, unit, Extent::ALL), self.commands.get_mut(key))
        {
            command.place.order = Some(order);
        }
        false
    }

    /// Gets a command the blocks that it needs to itself.
    #[cold]
    pub(crate) fn claim(&mut self, key: Key<Command>, extent: Extent, buf: Option<mem::Buf>) -> Performed {
        let Some(command) = self.commands.get_mut(key) else { return Performed::Started };
        if let Some(sense) = command.interruption() {
            return Performed::Followed(Event::Interrupted(buf, sense));
        }
        let Some(unit) = command.unit_id() else { return Performed::Followed(Event::Claimed(buf)) };
        if command.place.range.is_none() && self.claims.own(unit) < RANGES_PER_UNIT {
            command.place.range = self.claims.publish(Kind::Range, unit, extent);
        }
        match command.place.range {
            Some(claim) if self.claims.is_granted(claim) => {
                #[cfg(test)]
                crate::tests::witness::claimed(self.number, key, unit, extent);
                Performed::Followed(Event::Claimed(buf))
            }
            _ => Performed::Parked(Action::Claim(extent, buf), Queue::Device),
        }
    }

    /// Sees what other cores claim, and acknowledges it as far as nothing stands against it here. Once per round.
    #[inline]
    pub(crate) fn heed_claims(&mut self) {
        self.claims.look();
        if self.claims.owes() {
            let commands = &self.commands;
            self.claims.acknowledge(|noted| is_quiet(noted, commands));
        }
    }

    /// A command has ended: its tag and what it had to itself are free. It becomes an orphan: the same, but for its blocks while the device is
    /// at them. Its turn is over all the same, else a stuck device would hold up INQUIRY.
    #[inline]
    pub(crate) fn leave_task_set(&mut self, key: Key<Command>, as_orphan: bool) {
        let Some(command) = self.commands.get_mut(key) else { return };
        if let Some(channel) = command.channel.and_then(|channel| self.channels.get_mut(channel)) {
            command.give_tag_back(channel);
        }
        if command.place.holds() || !self.ordered.is_empty() {
            self.give_up_place(key, as_orphan);
        } else {
            #[cfg(test)]
            crate::tests::witness::left(self.number, key, command.place);
        }
    }

    /// Most commands have nothing that this could give up.
    #[cold]
    pub(crate) fn give_up_place(&mut self, key: Key<Command>, as_orphan: bool) {
        let Some(command) = self.commands.get_mut(key) else { return };
        let place = if as_orphan { command.place.leave() } else { std::mem::take(&mut command.place) };
        if let Some(entry) = command.unit().filter(|_| place.has_entered) {
            entry.logical_unit.task_set().leave(&entry.nexus);
        }
        #[cfg(test)]
        crate::tests::witness::left(self.number, key, place);
        for claim in [place.range, place.order].into_iter().flatten() {
            self.claims.release(claim);
        }
        if !self.ordered.is_empty() {
            self.ordered.retain(|&other| other != key);
        }
    }
}

impl Command {
    /// Its tag may be used again on its channel.
    #[inline]
    pub(crate) fn give_tag_back(&mut self, channel: &mut Channel) {
        if std::mem::take(&mut self.place.has_tag) {
            channel.tags.remove(self.tag());
        }
    }

    /// Counts it in its unit's task set, once.
    fn enter_task_set(&mut self) -> Result<(), ScsiStatus> {
        if let Some(entry) = self.unit().filter(|_| !self.place.has_entered) {
            entry.logical_unit.task_set().enter(&entry.nexus)?;
            self.place.has_entered = true;
        }
        Ok(())
    }

    /// It is answered: with some statuses its initiator is told once more (SPC-4, control mode page, UA_INTLCK_CTRL).
    pub(crate) fn note_status(&self) {
        if let (Some(entry), Some(Reply::Ended(Ending::Status(status)))) = (self.unit(), &self.reply) {
            entry.logical_unit.task_set().note_status(*status, &entry.nexus);
        }
    }
}

fn refused(ending: Ending) -> Performed {
    Performed::Followed(Event::Refused(Reply::Ended(ending)))
}

/// Whether a command is in the unit's task set, or will be once it starts.
fn is_task(command: &Command, unit: UnitId) -> bool {
    matches!(command.request, Request::Command(_))
        && command.channel.is_some()
        && command.stage != Stage::Responding
        && command.unit_id() == Some(unit)
}

/// Whether nothing that a claim has to wait for is under way on this core.
fn is_quiet(noted: &Noted, commands: &Slots<Command>) -> bool {
    let stands_against = |command: &Command| match noted.kind {
        Kind::Range => {
            command.executing.is_some()
                && command.extent.overlaps(noted.extent)
                && command.executing_unit().is_some_and(|entry| entry.unit == noted.unit)
        }
        Kind::Order => {
            let place = &command.place;
            is_task(command, noted.unit)
                && place.order.is_none_or(|order| !noted.is(order))
                && (place.started || place.rank.is_some_and(|rank| rank < noted.ticket()))
        }
    };
    !commands.iter().any(|(_, command)| stands_against(command))
}
