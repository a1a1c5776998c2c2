//! Task management on one core: aborts what an order matches, and knows when nothing of it can reach the initiator any more.
//!
//! ABORT TASK for a command on its own channel is settled here. Everything else concerns other channels, so other cores: the control plane
//! turns it into an [`Order`] for every poll group and answers when all are done (`controller.rs`). Either way the answer
//! does not wait for a device: a command that a device works on becomes an orphan. It waits only for RDMA and answers
//! that are under way, because the initiator reuses the memory and the tag as soon as it has this one.

use mem::Buf;
use scsi::{Address, UnitAttention};

use crate::channel::Channel;
use crate::command::{Abort, Command, Debt, Request, Stage};
use crate::limits;
use crate::messages::{AbortScope, ToControl};
use crate::poll_group::PollGroup;
use crate::respond::Reply;
use crate::session::{SessionId, UnitId};
use crate::slab::Key;
use crate::statistics::{count_abort, count_task_aborted, management_index};
use crate::trace::slow::Timing;
use crate::wire::Tag;
use crate::wire::tmf::{TaskManagement, TmfFunction, TmfStatus};

/// Aborts under way, and who waits for them.
#[derive(Debug)]
pub(crate) struct Order {
    remaining: u32,
    notify: Notify,
}

#[derive(Debug, Clone, Copy)]
enum Notify {
    /// A task management request of this core.
    Request(Key<Command>),
    /// The control plane, by its own number.
    Control(u64),
}

impl PollGroup {
    /// A task management request arrived; `request` is its slot.
    pub(crate) fn manage(&mut self, channel: Key<Channel>, request: Key<Command>, management: &TaskManagement) {
        self.statistics.management[management_index(management.function)].increment();
        let Ok(function) = management.function else { return self.answer_management(request, TmfStatus::NotSupported) };
        if function == TmfFunction::ClearAca {
            return self.answer_management(request, TmfStatus::NotSupported);
        }
        let Some((address, unit)) = self.commands.get(request).map(|command| (command.address(), command.unit_id()))
        else {
            return;
        };
        if function == TmfFunction::AbortTask {
            if let Some(task) = self.find_task(channel, address, management.task_tag) {
                let order = self.orders.insert(Order { remaining: 1, notify: Notify::Request(request) });
                self.abort(task, order, Abort::Silent, true);
                return self.order_progressed(order);
            }
            if !self.channels.get(channel).is_some_and(|channel| channel.view.nexus.has_several_channels()) {
                // Not there: it was answered before, which is what the initiator needs to know (SAM-5 7.2).
                return self.answer_management(request, TmfStatus::Complete);
            }
        } else if unit.is_none() {
            return self.answer_management(request, TmfStatus::Failed);
        }
        let Some(id) = self.channels.get(channel).map(|channel| channel.id) else { return };
        let message = ToControl::ManagementRequest {
            channel: id,
            request: request.to_bits(),
            function,
            unit,
            address,
            tag: management.task_tag,
        };
        self.send(message);
    }

    /// The control plane has an answer for a request of this core.
    pub(crate) fn management_done(&mut self, request: Key<Command>, status: TmfStatus) {
        match self.commands.get(request).map(|command| command.stage) {
            Some(Stage::Clearing) => self.cleared(request),
            _ => self.answer_management(request, status),
        }
    }

    /// Aborts what the control plane says.
    pub(crate) fn take_order(&mut self, id: u64, scope: AbortScope) {
        // One is held by this function, so that the order cannot end while it is still being handed out.
        let order = self.orders.insert(Order { remaining: 1, notify: Notify::Control(id) });
        let spared = self.spared(&scope);
        let commands = self.commands.iter().filter(|(_, command)| spared.is_none() || command.channel != spared);
        let matching: Vec<(Key<Command>, Abort)> =
            commands.filter_map(|(key, command)| Some((key, matches(&scope, command)?))).collect();
        self.await_answers(&scope, order);
        for (key, abort) in matching {
            if let Some(command) = self.commands.get(key).filter(|_| abort == Abort::Silent) {
                tell_of_clearing(&scope, command);
            }
            self.abort(key, order, abort, false);
        }
        self.order_progressed(order);
    }

    /// What another session aborted before is told so on its channel. That answer must not come behind the one to this order, which may be on another
    /// channel.
    fn await_answers(&mut self, scope: &AbortScope, order: Key<Order>) {
        let (AbortScope::Task { session, .. }
        | AbortScope::TaskSet { session, .. }
        | AbortScope::Unit { session, .. }
        | AbortScope::Cleared { session, .. }) = *scope
        else {
            return;
        };
        let is_told =
            |command: &Command| matches!(command.request, Request::Answer { .. }) && command.nexus().session == session;
        let answers: Vec<Key<Command>> =
            self.commands.iter().filter(|(_, command)| is_told(command)).map(|(key, _)| key).collect();
        answers.into_iter().for_each(|key| self.charge(key, order));
    }

    /// The channel of an ABORT TASK, where nothing had the tag when it came: what has it now came later.
    fn spared(&self, scope: &AbortScope) -> Option<Key<Channel>> {
        let AbortScope::Task { channel: asked, .. } = *scope else { return None };
        self.channels.iter().find(|(_, channel)| channel.id == asked).map(|(key, _)| key)
    }

    /// One command fewer that an order waits for.
    pub(crate) fn order_progressed(&mut self, key: Key<Order>) {
        let Some(order) = self.orders.get_mut(key) else { return };
        order.remaining -= 1;
        if order.remaining > 0 {
            return;
        }
        let notify = order.notify;
        self.orders.remove(key);
        match notify {
            Notify::Request(request) => self.answer_management(request, TmfStatus::Complete),
            Notify::Control(id) => self.send(ToControl::OrderDone { id }),
        }
    }

    /// Lets orders that wait for a command go on although it stays, as an orphan.
    pub(crate) fn settle_orders(&mut self, key: Key<Command>) {
        let orders = self.commands.get_mut(key).map(|command| std::mem::take(&mut command.orders));
        for order in orders.unwrap_or_default() {
            self.order_progressed(order);
        }
    }

    /// The command with a tag, for whatever unit was under the LUN when it came. One whose response is posted is the one that is meant only if there is no other: the initiator may have the
    /// response, and use the tag again, before the fabric says that it was sent.
    fn find_task(&self, channel: Key<Channel>, address: Address, tag: Tag) -> Option<Key<Command>> {
        let has_tag = |command: &&Command| {
            command.tag() == tag && command.address() == address && matches!(command.request, Request::Command(_))
        };
        let owed = || {
            let is_owed = |command: &&Command| command.debt.is_some_and(|debt| debt.channel == channel);
            self.commands.iter().find(|(_, command)| is_owed(command) && has_tag(command)).map(|(key, _)| key)
        };
        let commands = self.channels.get(channel)?.commands.iter().copied();
        let found = commands.filter_map(|key| Some((key, self.commands.get(key).filter(has_tag)?.stage)));
        found.min_by_key(|(_, stage)| *stage == Stage::Responding).map(|(key, _)| key).or_else(owed)
    }

    /// Aborts one command. The order is charged with it only if it has to be waited for. `same_channel`: the answer will follow
    /// on the command's own channel, behind whatever is posted there already.
    fn abort(&mut self, key: Key<Command>, order: Key<Order>, abort: Abort, same_channel: bool) {
        let Some(command) = self.commands.get_mut(key) else { return };
        let Some(channel) = command.channel else {
            // Somebody else aborted it before: its own initiator does not wait for the status any more.
            if let (Some(debt), Abort::Silent) = (&mut command.debt, abort) {
                debt.abort = Abort::Silent;
            }
            return;
        };
        self.tracer.aborted(self.now, command, abort == Abort::WithStatus);
        count_abort(command, self.channels.get(channel), self.number);
        if command.stage == Stage::Responding {
            if !same_channel {
                self.charge(key, order);
            }
            return;
        }
        if command.runs_on() && command.stage != Stage::Control {
            return self.abort_executing(key, channel, abort);
        }
        if command.parked.take().is_some() || command.stage == Stage::Clearing {
            return self.finish_aborted(key, abort);
        }
        if command.executing.is_some() {
            return self.abort_executing(key, channel, abort);
        }
        // RDMA is under way: it ends by itself, soon. A silent abort is the stronger one.
        if command.abort != Some(Abort::Silent) {
            command.abort = Some(abort);
        }
        self.charge(key, order);
    }

    fn charge(&mut self, key: Key<Command>, order: Key<Order>) {
        if let (Some(command), Some(order_entry)) = (self.commands.get_mut(key), self.orders.get_mut(order)) {
            command.orders.push(order);
            order_entry.remaining += 1;
        }
    }

    /// The device keeps the command, or it goes on in the background; its initiator gets the credit, and the status if one is due.
    fn abort_executing(&mut self, key: Key<Command>, channel: Key<Channel>, abort: Abort) {
        let Some(command) = self.commands.get_mut(key) else { return };
        let (tag, solicited, timing) = (command.tag(), command.solicited(true), command.timing);
        let receive = self.orphan(key).or_else(|| self.memory.receives.get());
        let Some(entry) = self.channels.get(channel) else { return };
        let within = entry.orphans <= limits::orphans(entry.credits);
        match (receive, abort) {
            (Some(receive), Abort::Silent) if within => {
                self.earn_credit(channel, receive);
                // Whoever has it aborted may be elsewhere: then no response on this channel would take the credit along.
                self.return_credits(channel);
            }
            (Some(receive), Abort::WithStatus) if within => {
                if let Some(command) = self.commands.get(key) {
                    count_task_aborted(command, self.number);
                }
                self.answer_aborted(channel, tag, solicited, timing, Some(receive));
            }
            // Too many orphans, or no buffer: the initiator gets the credit, or the status, when the device is done.
            _ => {
                if let Some(command) = self.commands.get_mut(key) {
                    command.debt = Some(Debt { channel, abort });
                }
            }
        }
    }

    /// Answers TASK ABORTED for a command that is not on its channel any more.
    pub(crate) fn answer_aborted(
        &mut self,
        channel: Key<Channel>,
        tag: Tag,
        solicited: bool,
        timing: Timing,
        receive: Option<Buf>,
    ) {
        if !self.is_serving(channel) {
            return;
        }
        let Some(view) = self.channels.get(channel).map(PollGroup::view) else { return };
        let answer = self.add_command(channel, |answer| {
            answer.arrive(channel, Request::Answer { tag, solicited }, receive, view);
            answer.timing = timing;
        });
        if let Some(action) = self.commands.get_mut(answer).map(|command| command.answer(Reply::TaskAborted)) {
            self.carry_out(answer, action);
        }
    }

    fn answer_management(&mut self, request: Key<Command>, status: TmfStatus) {
        if let Some(action) = self.commands.get_mut(request).map(|command| command.answer(Reply::Management(status))) {
            self.carry_out(request, action);
        }
    }
}

/// Whether an order is about a command, and how it ends then.
fn matches(scope: &AbortScope, command: &Command) -> Option<Abort> {
    if !matches!(command.request, Request::Command(_)) || command.channel.is_none() && command.debt.is_none() {
        return None;
    }
    let (unit, nexus) = (command.unit_id(), command.nexus().session);
    let is_for = |of: UnitId| unit == Some(of);
    // What the initiator takes for ended by the answer: it knows LUNs and not what was behind them.
    let is_own = |session, address| nexus == session && command.address() == address;
    match *scope {
        AbortScope::Task { session, address, tag, .. } => {
            (is_own(session, address) && command.tag() == tag).then_some(Abort::Silent)
        }
        AbortScope::TaskSet { session, unit: of, address } => {
            (is_for(of) && nexus == session || is_own(session, address)).then_some(Abort::Silent)
        }
        AbortScope::Unit { session, unit: of, address, told } => (is_for(of) || is_own(session, address))
            .then_some(if told && nexus != session { Abort::WithStatus } else { Abort::Silent }),
        AbortScope::Preempted { session, unit: of } => {
            (command.is_using(of) && nexus == session).then(|| by_another(command))
        }
        AbortScope::Cleared { session, unit: of, address } => {
            (is_for(of) || is_own(session, address)).then(|| abort_by(session, command))
        }
        AbortScope::Others { session, unit: of, everybody } => {
            let concerned = is_for(of) && (everybody || nexus == session) && command.stage != Stage::Clearing;
            concerned.then(|| abort_by(session, command))
        }
    }
}

/// How a command ends that a session aborts.
fn abort_by(session: SessionId, command: &Command) -> Abort {
    if command.nexus().session == session { Abort::Silent } else { by_another(command) }
}

/// How a command ends that another session aborts: as the TAS bit of the control mode page says (SPC-4).
fn by_another(command: &Command) -> Abort {
    let told = command.unit().is_some_and(|entry| entry.logical_unit.task_aborted_status());
    if told { Abort::WithStatus } else { Abort::Silent }
}

/// A command of another session than the one that cleared its task set ends without a status: its initiator is told by COMMANDS CLEARED BY
/// ANOTHER INITIATOR (SPC-4, TAS bit of the control mode page). After a reset it is told of that, and after PREEMPT AND ABORT of its registration.
fn tell_of_clearing(scope: &AbortScope, command: &Command) {
    let by = match *scope {
        AbortScope::Cleared { session, .. } | AbortScope::Others { session, .. } => session,
        AbortScope::Task { .. }
        | AbortScope::TaskSet { .. }
        | AbortScope::Unit { .. }
        | AbortScope::Preempted { .. } => return,
    };
    if let Some(entry) = command.unit().filter(|_| command.nexus().session != by) {
        entry.nexus.establish(UnitAttention::CommandsCleared);
    }
}
