//! Carries out what commands ask for, and feeds back what came of it. Whatever is short (buffers, send slots, the device's depth) parks the
//! command's action in the command, and its key in a queue; nothing fails for want of it.

use bdev::{BlockIo, Direction, IoError, Op};
use fabric::{Deliver, Fetch, SEGMENTS_MAX, WorkError};
use mem::{Buf, IoBuf, Pool};
use scsi::{ControlReply, ControlRequest, Peer, Sense};

use crate::channel::{Channel, ChannelState};
use crate::command::express::{Operation, Way};
use crate::command::{Abort, Action, Command, Debt, Event, Request, Stage};
use crate::exclusion::Extent;
use crate::memory::{DATA_SIZES, Memory};
use crate::messages::{ChannelFailure, ToControl};
use crate::poll_group::{PollGroup, Unit};
use crate::respond::Reply;
use crate::session::{LunEntry, UnitId};
use crate::slab::{Key, Slab};
use crate::slots::Slots;
use crate::waiters::Waiters;
use crate::wire::rsp;

/// What became of an action.
pub(crate) enum Performed {
    /// It goes on by itself: a completion will come.
    Started,
    /// It is done; this follows at once.
    Followed(Event),
    /// It waits for a resource, in this queue.
    Parked(Action, Queue),
}

/// What a parked command waits for; its number is the place in [`crate::statistics::WAITS`].
#[derive(Clone, Copy)]
pub(crate) enum Queue {
    Table,
    Data,
    Send,
    Device,
}

impl PollGroup {
    /// Feeds an event to a command and carries out what it asks for.
    pub(crate) fn run(&mut self, key: Key<Command>, event: Event) {
        let Some(command) = self.commands.get_mut(key) else { return };
        self.tracer.goes_on(self.now, key, command.stage);
        let action = command.handle(event);
        self.carry_out(key, action);
    }

    /// Begins a command that may start: most go to their device at once.
    #[inline]
    pub(crate) fn begin(&mut self, key: Key<Command>) {
        let Some(command) = self.commands.get_mut(key) else { return };
        self.tracer.goes_on(self.now, key, command.stage);
        let performed = match command.express(|len| take_data(&self.memory, &self.data_waiters, len)) {
            Some(Way::Device(unit, operation)) => self.hand_over(key, unit, None, operation),
            Some(Way::Fetch(data)) => self.fetch(key, data),
            None => {
                let action = command.arrived();
                self.perform(key, action)
            }
        };
        if !matches!(performed, Performed::Started) {
            self.go_on_from(key, performed);
        }
    }

    /// Carries an action out, and what follows from it, as far as possible without waiting.
    pub(crate) fn carry_out(&mut self, key: Key<Command>, action: Action) {
        let performed = self.perform(key, action);
        if !matches!(performed, Performed::Started) {
            self.go_on_from(key, performed);
        }
    }

    fn go_on_from(&mut self, key: Key<Command>, mut performed: Performed) {
        loop {
            match performed {
                Performed::Started => return,
                Performed::Parked(action, queue) => return self.park(key, action, queue),
                Performed::Followed(event) => match self.commands.get_mut(key).map(|command| command.handle(event)) {
                    Some(action) => performed = self.perform(key, action),
                    None => return,
                },
            }
        }
    }

    #[inline]
    fn perform(&mut self, key: Key<Command>, action: Action) -> Performed {
        match action {
            Action::Start => self.start(key),
            Action::NeedTable => self.take_table(),
            Action::NeedData(len) => self.take_data(len),
            Action::Fetch(data) => self.fetch(key, data),
            Action::Claim(extent, buf) => self.claim(key, extent, buf),
            Action::Submit { on, op, lba, blocks, data } => self.submit(key, on, op, lba, blocks, data),
            Action::AnswerEarly => self.answer_early(key),
            Action::Control { request, parameters } => self.ask_control(key, request, parameters),
            Action::Deliver(data) => self.deliver(key, data),
        }
    }

    fn take_table(&mut self) -> Performed {
        if self.table_waiters.is_empty()
            && let Some(buf) = self.memory.tables.get()
        {
            return Performed::Followed(Event::TableBuffer(buf));
        }
        Performed::Parked(Action::NeedTable, Queue::Table)
    }

    fn take_data(&mut self, len: usize) -> Performed {
        match take_data(&self.memory, &self.data_waiters, len) {
            Some(buf) => Performed::Followed(Event::DataBuffer(buf)),
            None => Performed::Parked(Action::NeedData(len), Queue::Data),
        }
    }

    /// RDMA READs of the next segments, as many as there are slots for.
    fn fetch(&mut self, key: Key<Command>, data: IoBuf) -> Performed {
        let Some((command, channel)) = command_and_channel(&mut self.commands, &mut self.channels, key) else {
            return Performed::Started;
        };
        let fabric = &mut self.fabrics[channel.fabric].group;
        let slots = fabric.send_slots_free(channel.qp);
        if slots == 0 {
            return Performed::Parked(Action::Fetch(data), Queue::Send);
        }
        self.segments.clear();
        if command.next_segments(slots.min(SEGMENTS_MAX), &mut self.segments).is_err() {
            // The descriptors were checked against their total when they came in.
            let action = command.refuse();
            return Performed::Parked(action, Queue::Send);
        }
        if command.stage == Stage::FetchData {
            channel.statistics.bytes_out.add(self.segments.iter().map(|segment| u64::from(segment.len)).sum());
        }
        fabric.fetch(channel.qp, Fetch { cookie: key.to_bits(), data, segments: &self.segments });
        Performed::Started
    }

    /// Hands a command to the control plane.
    fn ask_control(&mut self, key: Key<Command>, request: ControlRequest, parameters: Box<[u8]>) -> Performed {
        let Some(command) = self.commands.get(key) else { return Performed::Started };
        let channel = command.channel.and_then(|channel| self.channels.get(channel)).map(|channel| channel.id);
        if let (ControlRequest::Formatted { protection }, Some(unit)) = (request, command.unit_id()) {
            let (session, waiting) = (command.nexus().session, channel.map(|channel| (channel, key.to_bits())));
            self.send(ToControl::Formatted { unit, protection, session, waiting });
            return match waiting {
                Some(_) => Performed::Started,
                // Until that is done, nobody can use the medium; what becomes of it, the unit tells everybody.
                None => Performed::Followed(Event::Controlled(ControlReply::Good(Box::default()))),
            };
        }
        let (Some(channel), Some(unit)) = (channel, command.unit_id()) else {
            let reply = ControlReply::CheckCondition(Sense::LOGICAL_UNIT_NOT_SUPPORTED);
            return Performed::Followed(Event::Controlled(reply));
        };
        self.send(ToControl::Control { channel, command: key.to_bits(), unit, request, parameters });
        Performed::Started
    }

    /// Hands an operation to a unit's device, if that can be used.
    fn submit(
        &mut self,
        key: Key<Command>,
        on: Option<Peer>,
        op: Op,
        lba: u64,
        blocks: u64,
        data: Option<IoBuf>,
    ) -> Performed {
        let Some(command) = self.commands.get_mut(key) else { return Performed::Started };
        let Some(entry) = command.unit_of(on) else {
            return Performed::Followed(Event::Executed(data, Err(IoError::Gone)));
        };
        let unit_id = entry.unit;
        let unit = self.units.get_mut(unit_id.0 as usize).and_then(Option::as_mut);
        if command.runs_on() && unit.as_ref().is_some_and(|unit| unit.removing) {
            // Nobody waits for it, and its unit would wait for nothing else.
            return Performed::Followed(Event::Executed(data, Err(IoError::Gone)));
        }
        if let Some(sense) = command.interruption() {
            return Performed::Followed(Event::Interrupted(data.map(IoBuf::into_buf), sense));
        }
        if on.is_some() && entry.logical_unit.check_medium().is_err() {
            // It waited while somebody began to sanitize that unit. What it read there before must not come back.
            return Performed::Followed(Event::Executed(data, Err(IoError::Failed)));
        }
        // A command holds its own unit, but not the others that it uses: one may have been removed, and its number given away.
        if unit.is_none_or(|unit| on.is_some() && !unit.is(&entry.logical_unit)) {
            return Performed::Followed(Event::Executed(data, Err(IoError::Gone)));
        }
        // The cache may have been switched off while it waited.
        let op = entry.logical_unit.heeding_cache(op);
        self.hand_over(key, unit_id, on, Operation { op, lba, blocks, data })
    }

    /// The same without a look at the unit: its medium can be used.
    #[inline]
    fn hand_over(&mut self, key: Key<Command>, unit_id: UnitId, on: Option<Peer>, operation: Operation) -> Performed {
        let Operation { op, lba, blocks, data } = operation;
        let Some(command) = self.commands.get_mut(key) else { return Performed::Started };
        let unit = self.units.get_mut(unit_id.0 as usize).and_then(Option::as_mut);
        let Some(Unit { device: Some(device), fence, busy, .. }) = unit else {
            return Performed::Followed(Event::Executed(data, Err(IoError::Gone)));
        };
        let extent = touched(op, lba, blocks);
        if fence.is_raised() || self.claims.forbids(unit_id, extent, command.place.range) {
            return Performed::Parked(Action::Submit { on, op, lba, blocks, data }, Queue::Device);
        }
        match device.submit(BlockIo { op, lba, blocks, data, tag: key.to_bits() }, self.now.0) {
            Ok(()) => {
                command.executing = Some(op);
                command.extent = extent;
                #[cfg(test)]
                crate::tests::witness::submitted(self.number, key, unit_id, extent);
                command.executing_on = on;
                self.tracer.submitted(self.now, command, op, lba, blocks);
                if !std::mem::replace(busy, true) {
                    self.busy_units.push(unit_id);
                }
                Performed::Started
            }
            Err(BlockIo { data, .. }) => Performed::Parked(Action::Submit { on, op, lba, blocks, data }, Queue::Device),
        }
    }

    /// RDMA WRITEs of the next segments; behind the last of them the response.
    fn deliver(&mut self, key: Key<Command>, data: Option<IoBuf>) -> Performed {
        let Some(command) = self.commands.get_mut(key) else { return Performed::Started };
        let Some(channel) = command.channel else {
            self.end_background(key);
            return Performed::Started;
        };
        let Some(channel) = self.channels.get_mut(channel) else { return Performed::Started };
        if command.has_to_clear() {
            return self.clear_others(key);
        }
        let fabric = &mut self.fabrics[channel.fabric].group;
        let slots = fabric.send_slots_free(channel.qp);
        let needed = if command.remaining() > 0 { 2 } else { 1 };
        if slots < needed || channel.messages.is_empty() {
            return Performed::Parked(Action::Deliver(data), Queue::Send);
        }
        self.segments.clear();
        let before = command.remaining();
        if before > 0 {
            if command.next_segments((slots - 1).min(SEGMENTS_MAX), &mut self.segments).is_err() {
                let action = command.refuse();
                return Performed::Parked(action, Queue::Send);
            }
            channel.statistics.bytes_in.add(u64::from(before - command.remaining()));
        }
        let (qp, cookie, segments) = (channel.qp, key.to_bits(), &self.segments[..]);
        if command.remaining() > 0 {
            fabric.deliver(qp, Deliver { cookie, data, segments, message: None, solicited: false });
            return Performed::Started;
        }
        // The receive goes first: its credit must not reach the initiator ahead of it.
        if let Some(receive) = command.receive.take() {
            fabric.post_receive(qp, receive);
            channel.credits_due += 1;
        }
        let delta = std::mem::take(&mut channel.credits_due);
        channel.credits_used -= delta;
        let delta = delta.cast_signed();
        let Some(mut buf) = channel.messages.pop() else { return Performed::Started }; // there was one
        let (len, exactly, failed, solicited) = match command.ended_exactly() {
            Some(request) => {
                let solicited = request.solicited.on_success;
                let len = rsp::emit_good(request.tag, delta, solicited, buf.bytes_mut());
                debug_assert!(command.would_build(delta, &buf.bytes()[..len]), "it says less than it has to");
                (len, true, false, solicited)
            }
            None => {
                let failed = command.failed();
                if failed {
                    channel.statistics.failures.increment();
                    command.note_status();
                }
                (command.build_response(delta, buf.bytes_mut()), false, failed, command.solicited(failed))
            }
        };
        let message = Some(IoBuf::new(buf, 0..len));
        command.stage = Stage::Responding;
        self.tracer.answered(self.now, key, command, exactly);
        if command.watch.end(failed) {
            self.answered.push(key);
        }
        command.give_tag_back(channel);
        let has_place = command.place.holds() || !self.ordered.is_empty();
        #[cfg(test)]
        if !has_place {
            crate::tests::witness::left(self.number, key, command.place);
        }
        fabric.deliver(qp, Deliver { cookie, data, segments, message, solicited });
        if has_place {
            self.give_up_place(key, false);
        }
        Performed::Started
    }

    fn park(&mut self, key: Key<Command>, action: Action, queue: Queue) {
        self.statistics.waits[queue as usize].increment();
        let Some(command) = self.commands.get_mut(key) else { return };
        command.parked = Some(action);
        self.tracer.parked(key, queue);
        let owner = command.channel;
        match queue {
            Queue::Table => self.table_waiters.push(owner, key),
            Queue::Data => {
                let size = command.parked_need().map_or(0, |len| self.memory.data.size_for(len));
                self.data_waiters[size].push(owner, key);
            }
            Queue::Device => self.device_waiters.push_back(key),
            Queue::Send => {}
        }
        if let Some(channel) = owner.and_then(|owner| self.channels.get_mut(owner)) {
            match queue {
                Queue::Send => {
                    channel.send_waiters.push_back(key);
                    channel.statistics.send_waits.increment();
                }
                Queue::Table | Queue::Data => channel.statistics.buffer_waits.increment(),
                Queue::Device => {}
            }
        }
    }

    /// Takes a parked action back; `None` if the command is gone, or was resumed by somebody else.
    pub(crate) fn unpark(&mut self, key: Key<Command>) -> Option<Action> {
        let command = self.commands.get_mut(key)?;
        let action = command.parked.take()?;
        self.tracer.goes_on(self.now, key, command.stage);
        Some(action)
    }

    /// Lets the commands that wait for send slots try again, in their order.
    fn resume_senders(&mut self, key: Key<Channel>) {
        let waiting = self.channels.get(key).map_or(0, |channel| channel.send_waiters.len());
        for _ in 0..waiting {
            let Some(channel) = self.channels.get_mut(key) else { return };
            if self.fabrics[channel.fabric].group.send_slots_free(channel.qp) < 2 {
                return;
            }
            let Some(command) = channel.send_waiters.pop_front() else { return };
            if let Some(action) = self.unpark(command) {
                self.carry_out(command, action);
            }
        }
    }

    /// RDMA READs came back.
    pub(crate) fn on_fetched(
        &mut self,
        channel: Key<Channel>,
        key: Key<Command>,
        data: IoBuf,
        result: Result<(), WorkError>,
    ) {
        self.check(channel, result);
        match self.commands.get(key).map(|command| command.abort) {
            None => {}
            Some(_) if !self.is_serving(channel) => self.finish(key),
            Some(Some(abort)) => self.finish_aborted(key, abort),
            Some(None) => self.run(key, Event::Fetched(data)),
        }
        self.resume_senders(channel);
    }

    /// RDMA WRITEs, and the response if it was behind them, are done.
    pub(crate) fn on_delivered(
        &mut self,
        channel: Key<Channel>,
        key: Key<Command>,
        data: Option<IoBuf>,
        message: Option<IoBuf>,
        result: Result<(), WorkError>,
    ) {
        let mut senders_wait = true;
        if let Some(channel) = self.channels.get_mut(channel) {
            if let Some(message) = message {
                channel.messages.push(message.into_buf());
            }
            senders_wait = !channel.send_waiters.is_empty();
        }
        self.check(channel, result);
        match self.commands.get(key).map(|command| (command.stage, command.abort)) {
            None => {}
            Some((Stage::Responding, _)) => {
                drop(data);
                self.let_go(key);
            }
            Some(_) if !self.is_serving(channel) => self.finish(key),
            Some((_, Some(abort))) => self.finish_aborted(key, abort),
            Some((stage, None)) => {
                self.tracer.goes_on(self.now, key, stage);
                self.carry_out(key, Action::Deliver(data));
                senders_wait = true;
            }
        }
        if senders_wait {
            self.resume_senders(channel);
        }
    }

    /// The device is done with an operation.
    pub(crate) fn on_executed(&mut self, key: Key<Command>, mut data: Option<IoBuf>, result: Result<(), IoError>) {
        #[cfg(test)]
        crate::tests::witness::executed(self.number, key);
        let Some(command) = self.commands.get_mut(key) else { return };
        self.tracer.done(self.now, command, result);
        if command.channel.is_some() && result.is_ok() && command.executed_exactly(&mut data) {
            self.tracer.goes_on(self.now, key, Stage::Execute);
            let performed = self.deliver(key, data);
            if !matches!(performed, Performed::Started) {
                self.go_on_from(key, performed);
            }
            return;
        }
        if command.executing_on.is_none() {
            return self.go_on(key, data, result);
        }
        let peer = command.executing_unit().map(|entry| entry.unit);
        self.go_on(key, data, result);
        if let Some(peer) = peer
            && self.is_removing(peer)
        {
            self.close_if_unused(peer);
        }
    }

    #[inline(never)]
    fn go_on(&mut self, key: Key<Command>, data: Option<IoBuf>, result: Result<(), IoError>) {
        let Some(command) = self.commands.get_mut(key) else { return };
        if command.channel.is_none() && !command.runs_on() {
            // What a SCSI device told a command that nobody waits for concerns its own initiator as well.
            let device = command.executing.is_some_and(|op| matches!(op, Op::Scsi { .. }));
            let attention = data.as_ref().filter(|_| device && result.is_ok()).map(IoBuf::bytes);
            if let (Some(attention), Some(unit)) = (attention.and_then(scsi::unit_attention_of), command.unit_id()) {
                self.send(ToControl::UnitChanged { unit, attention, told: None });
            }
            drop(data);
            return self.finish_orphan(key);
        }
        self.tracer.goes_on(self.now, key, command.stage);
        let action = command.executed(data, result);
        if command.changed.is_some() {
            self.tell_others(key);
        }
        let performed = match action {
            Action::Deliver(data) => self.deliver(key, data),
            action => self.perform(key, action),
        };
        if !matches!(performed, Performed::Started) {
            self.go_on_from(key, performed);
        }
    }

    /// What a SCSI device told one initiator goes to the others of its unit.
    #[cold]
    fn tell_others(&mut self, key: Key<Command>) {
        let Some(command) = self.commands.get_mut(key) else { return };
        let (changed, unit, told) = (command.changed.take(), command.unit_id(), command.nexus().session);
        if let (Some(attention), Some(unit)) = (changed, unit) {
            self.send(ToControl::UnitChanged { unit, attention, told: Some(told) });
        }
    }

    /// A command is over: its slot and whatever it still holds become free.
    pub(crate) fn finish(&mut self, key: Key<Command>) {
        let Some(command) = self.commands.get_mut(key) else { return };
        if command.stage != Stage::Responding {
            if command.channel.is_some() {
                self.tracer.gave_up(self.now, key, command);
            }
            self.leave_task_set(key, false);
        }
        self.let_go(key);
    }

    /// The same of a command that has left its task set.
    fn let_go(&mut self, key: Key<Command>) {
        let Some(command) = self.commands.get_mut(key) else { return };
        let (channel, position) = (command.channel, command.position);
        let unit = if self.removing > 0 { command.unit_id() } else { None };
        let some_wait = !command.orders.is_empty();
        let orders = if some_wait { std::mem::take(&mut command.orders) } else { Vec::new() };
        self.commands.free(key);
        let due = channel.is_some_and(|channel| self.unlist_command(channel, position));
        if some_wait {
            orders.into_iter().for_each(|order| self.order_progressed(order));
        }
        if let Some(unit) = unit
            && self.is_removing(unit)
        {
            self.close_if_unused(unit);
        }
        if let (Some(channel), true) = (channel, due) {
            self.return_credits(channel);
        }
    }

    /// An aborted command came to rest with nothing of it under way.
    pub(crate) fn finish_aborted(&mut self, key: Key<Command>, abort: Abort) {
        let Some(command) = self.commands.get_mut(key) else { return };
        self.tracer.goes_on(self.now, key, command.stage);
        if command.receive.is_none() {
            // It had its data where they arrived, and the buffer went with the action that it waited for.
            command.receive = self.memory.receives.get();
        }
        match (abort, command.channel) {
            (Abort::WithStatus, Some(_)) => {
                let action = command.answer(Reply::TaskAborted);
                self.carry_out(key, action);
            }
            (_, channel) => {
                let receive = command.receive.take();
                if let (Some(channel), Some(receive)) = (channel, receive) {
                    self.earn_credit(channel, receive);
                }
                self.finish(key);
            }
        }
    }

    /// Detaches a command from its channel while the device works on it. Its initiator may be answered as if it were over.
    pub(crate) fn orphan(&mut self, key: Key<Command>) -> Option<Buf> {
        let command = self.commands.get_mut(key)?;
        let channel = command.channel?;
        let receive = command.receive.take();
        if !command.runs_on() {
            self.tracer.gave_up(self.now, key, command);
        }
        command.abandon_job();
        if let Some(unit) = command.executing_unit()
            && !command.runs_on()
            && command.executing.is_some_and(|op| changes_medium(op) || moves_medium(op, unit))
        {
            unit.fence.raise();
            command.fenced = true;
        }
        let position = command.position;
        command.orphan_of = Some(channel);
        self.leave_task_set(key, true);
        self.commands.get_mut(key)?.channel = None;
        self.unlist_command(channel, position);
        if let Some(channel) = self.channels.get_mut(channel) {
            channel.orphans += 1;
        }
        receive
    }

    pub(crate) fn finish_orphan(&mut self, key: Key<Command>) {
        let Some(command) = self.commands.get_mut(key) else { return };
        if command.fenced
            && let Some(unit) = command.executing_unit()
        {
            unit.fence.lower();
        }
        let (owner, debt) = (command.orphan_of, command.debt.take());
        let (tag, solicited, timing) = (command.tag(), command.solicited(true), command.timing);
        if let Some(channel) = owner.and_then(|owner| self.channels.get_mut(owner)) {
            channel.orphans -= 1;
        }
        self.finish(key);
        let Some(Debt { channel, abort }) = debt else { return };
        match (abort, self.memory.receives.get()) {
            (Abort::WithStatus, receive) => self.answer_aborted(channel, tag, solicited, timing, receive),
            (Abort::Silent, Some(receive)) => {
                self.earn_credit(channel, receive);
                self.return_credits(channel);
            }
            (Abort::Silent, None) => {}
        }
    }

    /// The channel died or is being closed: nothing on it is answered any more.
    pub(crate) fn leave_commands(&mut self, key: Key<Channel>) {
        let Some(commands) = self.channels.get(key).map(|channel| channel.commands.clone()) else { return };
        for command in commands {
            let Some(entry) = self.commands.get_mut(command) else { continue };
            let waits = matches!(entry.request, Request::Management(_)) && entry.stage == Stage::Arrived
                || matches!(entry.stage, Stage::Control | Stage::Clearing);
            if entry.runs_on() && entry.stage != Stage::Control {
                drop(self.orphan(command));
                self.settle_orders(command);
            } else if entry.parked.take().is_some() || waits {
                self.finish(command);
            } else if entry.executing.is_some() {
                drop(self.orphan(command));
                self.settle_orders(command);
            }
        }
    }

    pub(crate) fn is_serving(&self, key: Key<Channel>) -> bool {
        self.channels
            .get(key)
            .is_some_and(|channel| matches!(channel.state, ChannelState::Live | ChannelState::Draining(_)))
    }

    fn check(&mut self, channel: Key<Channel>, result: Result<(), WorkError>) {
        if let Err(error) = result {
            self.fail_channel(channel, ChannelFailure::Work(error));
        }
    }
}

impl From<WorkError> for ChannelFailure {
    fn from(error: WorkError) -> ChannelFailure {
        ChannelFailure::Work(error)
    }
}

/// A buffer for `len` bytes, unless somebody waits for one already.
#[inline]
fn take_data(memory: &Memory, waiters: &[Waiters; DATA_SIZES], len: usize) -> Option<Buf> {
    debug_assert!(len <= memory.data.largest(), "longer than any transfer");
    let size = memory.data.size_for(len);
    if waiters[size].is_empty() { data_buffer(memory, waiters, size) } else { None }
}

/// A buffer of the `size`th size, or a larger one that nobody waits for.
#[inline(always)]
pub(crate) fn data_buffer(memory: &Memory, waiters: &[Waiters; DATA_SIZES], size: usize) -> Option<Buf> {
    let own = memory.data.pools().get(size).and_then(Pool::get);
    if own.is_some() { own } else { larger_buffer(memory, waiters, size) }
}

#[cold]
fn larger_buffer(memory: &Memory, waiters: &[Waiters; DATA_SIZES], size: usize) -> Option<Buf> {
    let larger = memory.data.pools().iter().zip(waiters).skip(size + 1);
    larger.take_while(|(_, waiters)| waiters.is_empty()).find_map(|(pool, _)| pool.get())
}

/// The blocks that an operation reads or changes: all of them, where the device alone knows; none, where it does neither.
#[inline]
fn touched(op: Op, lba: u64, blocks: u64) -> Extent {
    match op {
        Op::Scsi { .. } => Extent::ALL,
        Op::Flush => Extent::default(),
        Op::Read | Op::Write { .. } | Op::Unmap | Op::WriteZeroes { .. } | Op::LbaStatus => {
            Extent { start: lba, end: lba.saturating_add(blocks) }
        }
    }
}

/// Whether a late completion of the operation could still change what is read from the medium.
fn changes_medium(op: Op) -> bool {
    match op {
        Op::Write { .. } | Op::Unmap | Op::WriteZeroes { .. } => true,
        Op::Scsi { direction } => direction != Direction::In,
        Op::Read | Op::Flush | Op::LbaStatus => false,
    }
}

/// Whether it changes where a tape, or what moves the media of a library, stands: the next command finds another place then.
fn moves_medium(op: Op, unit: &LunEntry) -> bool {
    let device = unit.logical_unit.bdev().info().passthrough.as_ref();
    matches!(op, Op::Scsi { .. }) && device.is_some_and(|device| !device.has_blocks())
}

fn command_and_channel<'a>(
    commands: &'a mut Slots<Command>,
    channels: &'a mut Slab<Channel>,
    key: Key<Command>,
) -> Option<(&'a mut Command, &'a mut Channel)> {
    let command = commands.get_mut(key)?;
    let channel = channels.get_mut(command.channel?)?;
    Some((command, channel))
}
