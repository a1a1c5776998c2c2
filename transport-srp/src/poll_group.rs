//! The data plane of one core: its channels, its commands, its buffers, its channel on every device.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use bdev::{ChannelOptions, Done};
use fabric::{Completion, QpIndex, Segments};
use mem::Region;
use reactor::{Instant, Poller, Progress, Receiver, Sender, WakeSources, Waker};
use scsi::LogicalUnit;

use crate::channel::Channel;
use crate::command::{Command, Event};
use crate::exclusion::{Board, Claims};
use crate::fence::Fence;
use crate::limits::{COMPLETIONS_PER_ROUND, DEVICE_DEPTH, KEEPALIVE_PERIOD, MAILBOX_MESSAGES, MESSAGES_PER_ROUND};
use crate::management::Order;
use crate::memory::{DATA_SIZES, Memory, MemoryOptions};
use crate::messages::{ToControl, ToGroup};
use crate::perform::data_buffer;
use crate::session::{ChannelId, UnitId};
use crate::slab::{Key, Slab};
use crate::slots::Slots;
use crate::statistics::{GroupStatistics, UnitStatistics};
use crate::trace::Tracer;
use crate::waiters::Waiters;

/// One reactor's share of the target; a [`Poller`].
pub struct PollGroup {
    pub(crate) fabrics: Vec<Fabric>,
    pub(crate) channels: Slab<Channel>,
    pub(crate) commands: Slots<Command>,
    pub(crate) orders: Slab<Order>,
    pub(crate) memory: Memory,
    /// What `memory` is cut from: devices are told of it.
    region: Arc<Region>,
    pub(crate) units: Vec<Option<Unit>>,
    /// Units that are being removed.
    pub(crate) removing: usize,
    /// Units with operations at their device: only they are polled.
    pub(crate) busy_units: Vec<UnitId>,
    /// Units whose device is to be opened anew.
    reopening: Vec<UnitId>,
    /// Commands that wait for a table buffer, first come, first served.
    pub(crate) table_waiters: Waiters,
    /// Commands that wait for a data buffer, a queue for each size of buffers: whoever wants large ones does not hold up others.
    pub(crate) data_waiters: [Waiters; DATA_SIZES],
    /// Commands that wait for their turn in the task set, for blocks that others claim, for a fence to be lowered, or for room at
    /// their device.
    pub(crate) device_waiters: VecDeque<Key<Command>>,
    /// What is claimed on the board of all cores.
    pub(crate) claims: Claims,
    /// Commands so far.
    pub(crate) arrivals: u64,
    /// ORDERED commands that have not ended, as they arrived.
    pub(crate) ordered: Vec<Key<Command>>,
    /// Channels to be let go of once nothing is outstanding on them.
    pub(crate) ending: Vec<Key<Channel>>,
    pub(crate) segments: Segments,
    pub(crate) now: Instant,
    pub(crate) tracer: Tracer,
    /// Its number among the groups.
    pub(crate) number: usize,
    /// Commands whose response was posted in this round.
    pub(crate) answered: Vec<Key<Command>>,
    pub(crate) statistics: Arc<GroupStatistics>,
    pub(crate) next_publication: Instant,
    /// Tests: what is at the devices stays there.
    #[cfg(test)]
    pub(crate) devices_held: bool,
    next_keepalive: Instant,
    inbox: Receiver<ToGroup>,
    outbox: Sender<ToControl>,
    /// Messages that the control plane had no room for.
    unsent: VecDeque<ToControl>,
    completions: Vec<Completion>,
    done: Vec<Done>,
}

/// A fabric's poll group, and whose its queue pairs are.
pub(crate) struct Fabric {
    pub(crate) group: fabric::PollGroup,
    pub(crate) owners: Vec<Option<Key<Channel>>>,
}

/// A unit's device as this core has it open.
pub(crate) struct Unit {
    logical_unit: Arc<LogicalUnit>,
    /// `None` if the device could not be opened here: commands fail, the others go on.
    pub(crate) device: Option<bdev::Channel>,
    pub(crate) fence: Arc<Fence>,
    pub(crate) statistics: Arc<UnitStatistics>,
    pub(crate) busy: bool,
    pub(crate) removing: bool,
}

impl Unit {
    /// Whether it is this one, and not another under its number.
    pub(crate) fn is(&self, logical_unit: &Arc<LogicalUnit>) -> bool {
        Arc::ptr_eq(&self.logical_unit, logical_unit)
    }
}

/// What a poll group is made from; it can be sent to the reactor's thread, where [`PollGroupSeed::settle`] makes it.
pub struct PollGroupSeed {
    pub(crate) number: usize,
    pub(crate) statistics: Arc<GroupStatistics>,
    pub(crate) fabrics: Vec<fabric::PollGroup>,
    pub(crate) region: Arc<Region>,
    pub(crate) memory: MemoryOptions,
    pub(crate) board: Arc<Board>,
    pub(crate) tracer: Tracer,
    pub(crate) inbox: Receiver<ToGroup>,
    pub(crate) outbox: Sender<ToControl>,
}

impl PollGroupSeed {
    /// Cuts the buffers and makes the group. Call it on the reactor's thread.
    pub fn settle(self) -> PollGroup {
        let fabrics = self.fabrics.into_iter().map(|group| Fabric { group, owners: Vec::new() }).collect();
        PollGroup {
            fabrics,
            channels: Slab::new(),
            commands: Slots::new(),
            orders: Slab::new(),
            memory: self.memory.cut(&self.region),
            region: self.region,
            units: Vec::new(),
            removing: 0,
            busy_units: Vec::new(),
            reopening: Vec::new(),
            table_waiters: Waiters::default(),
            data_waiters: Default::default(),
            device_waiters: VecDeque::new(),
            claims: Claims::new(self.board),
            arrivals: 0,
            ordered: Vec::new(),
            ending: Vec::new(),
            segments: Segments::new(),
            now: Instant::default(),
            tracer: self.tracer,
            number: self.number,
            answered: Vec::new(),
            statistics: self.statistics,
            next_publication: Instant::default(),
            #[cfg(test)]
            devices_held: false,
            next_keepalive: Instant::default(),
            inbox: self.inbox,
            outbox: self.outbox,
            unsent: VecDeque::with_capacity(MAILBOX_MESSAGES),
            completions: Vec::with_capacity(COMPLETIONS_PER_ROUND),
            done: Vec::with_capacity(DEVICE_DEPTH),
        }
    }
}

impl Poller for PollGroup {
    fn name(&self) -> &str {
        "srp_poll_group"
    }

    fn poll(&mut self, now: Instant) -> Progress {
        self.now = now;
        self.count_answered();
        let mut work = self.take_messages();
        work += self.poll_fabrics();
        work += self.poll_devices();
        self.heed_claims();
        self.reopen_units();
        self.resume_waiters();
        self.end_channels();
        self.look_around();
        for fabric in &mut self.fabrics {
            fabric.group.ring();
        }
        self.send_unsent();
        if work > 0 { Progress::Busy } else { Progress::Idle }
    }

    fn arm(&mut self, waker: &Waker) {
        self.fabrics.iter_mut().for_each(|fabric| fabric.group.arm(waker));
    }

    /// Messages and claims wake by themselves.
    fn wake_sources<'a>(&'a self, sources: &mut WakeSources<'a>) {
        sources.deadline(self.next_publication);
        self.fabrics.iter().for_each(|fabric| fabric.group.wake_sources(sources));
        for unit in &self.busy_units {
            if let Some(Some(Unit { device: Some(device), .. })) = self.units.get(unit.0 as usize) {
                device.wake_sources(sources);
            }
        }
        // What other cores or threads are done with, or have room for again, tells nobody.
        let waits_for_others =
            !self.device_waiters.is_empty() || self.orders.iter().next().is_some() || !self.ending.is_empty();
        if waits_for_others || !self.reopening.is_empty() || !self.unsent.is_empty() {
            sources.look_often();
        }
    }
}

impl PollGroup {
    fn take_messages(&mut self) -> usize {
        for count in 0..MESSAGES_PER_ROUND {
            let Some(message) = self.inbox.receive() else { return count };
            self.on_message(message);
        }
        MESSAGES_PER_ROUND
    }

    fn on_message(&mut self, message: ToGroup) {
        match message {
            ToGroup::AddUnit { unit, logical_unit, fence, statistics } => {
                self.add_unit(unit, logical_unit, fence, statistics);
            }
            ToGroup::RemoveUnit { unit } => self.remove_unit(unit),
            ToGroup::ReopenUnit { unit } => self.reopening.push(unit),
            ToGroup::StartChannel(start) => self.start_channel(*start),
            ToGroup::Established { channel } => self.with_channel(channel, PollGroup::channel_established),
            ToGroup::DrainChannel { channel } => self.with_channel(channel, PollGroup::drain_channel),
            ToGroup::StopChannel { channel } => self.with_channel(channel, PollGroup::stop_channel),
            ToGroup::SetLuns { channel, luns } => self.set_luns(channel, luns),
            ToGroup::Order { id, scope } => self.take_order(id, scope),
            ToGroup::ManagementDone { request, status } => self.management_done(Key::from_bits(request), status),
            ToGroup::ControlDone { command, reply } => self.on_controlled(Key::from_bits(command), reply),
        }
    }

    fn poll_fabrics(&mut self) -> usize {
        let mut work = 0;
        for index in 0..self.fabrics.len() {
            let mut completions = std::mem::take(&mut self.completions);
            work += self.fabrics[index].group.poll(self.now.0, &mut |completion| completions.push(completion));
            if !completions.is_empty() {
                self.on_completions(index, &mut completions);
            }
            self.completions = completions;
        }
        work
    }

    /// Not inlined: a round without work has nothing to do with it.
    #[inline(never)]
    fn on_completions(&mut self, fabric: usize, completions: &mut Vec<Completion>) {
        completions.drain(..).for_each(|completion| self.on_completion(fabric, completion));
    }

    #[inline]
    fn on_completion(&mut self, fabric: usize, completion: Completion) {
        match completion {
            Completion::Received { qp, buf, len } => {
                if let Some(channel) = self.owner(fabric, qp) {
                    self.on_received(channel, buf, len as usize);
                }
            }
            // The buffer goes back to its pool; the channel's end is told by whoever caused it.
            Completion::ReceiveFlushed { qp, buf } => {
                drop(buf);
                if let Some(channel) = self.owner(fabric, qp) {
                    self.fail_channel(channel, fabric::WorkError::Flushed.into());
                }
            }
            Completion::Fetched { qp, cookie, data, result } => {
                if let Some(channel) = self.owner(fabric, qp) {
                    self.on_fetched(channel, Key::from_bits(cookie), data, result);
                }
            }
            Completion::Delivered { qp, cookie, data, message, result } => {
                if let Some(channel) = self.owner(fabric, qp) {
                    self.on_delivered(channel, Key::from_bits(cookie), data, message, result);
                }
            }
        }
    }

    fn owner(&self, fabric: usize, qp: QpIndex) -> Option<Key<Channel>> {
        self.fabrics[fabric].owners.get(qp.0 as usize).copied().flatten()
    }

    fn poll_devices(&mut self) -> usize {
        #[cfg(test)]
        if self.devices_held {
            return 0;
        }
        let mut work = 0;
        let mut next = 0;
        // What completes may submit more: then its unit is entered again, and has its turn in the next round. Otherwise a command of many
        // operations, as SANITIZE is, would have the core for itself where the device is done at once.
        for _ in 0..self.busy_units.len() {
            let Some(&unit) = self.busy_units.get(next) else { break };
            let mut done = std::mem::take(&mut self.done);
            let idle = match self.units.get_mut(unit.0 as usize) {
                Some(Some(Unit { device: Some(device), busy, .. })) => {
                    work += device.poll(self.now.0, &mut |finished| done.push(finished));
                    *busy = device.in_flight() > 0;
                    !*busy
                }
                _ => true,
            };
            self.on_done(&mut done);
            self.done = done;
            // What completed may have submitted more: then the unit was entered again behind the others. Or it was the last that used
            // a unit which is being removed: then the unit is not here any more, and another is in its place.
            match self.busy_units.get(next) == Some(&unit) {
                true if idle => drop(self.busy_units.remove(next)),
                true => next += 1,
                false => {}
            }
        }
        work
    }

    #[inline(never)]
    fn on_done(&mut self, done: &mut Vec<Done>) {
        for finished in done.drain(..) {
            self.on_executed(Key::from_bits(finished.tag), finished.data, finished.result);
        }
    }

    /// Gives what became free to those who wait for it.
    #[inline]
    fn resume_waiters(&mut self) {
        let for_buffers = self.data_waiters.iter().chain([&self.table_waiters]).any(|waiters| !waiters.is_empty());
        if for_buffers || !self.device_waiters.is_empty() {
            self.resume_all_waiters();
        }
    }

    #[cold]
    fn resume_all_waiters(&mut self) {
        while let Some(key) = self.table_waiters.front() {
            if self.commands.get(key).is_some_and(|command| command.parked.is_some()) {
                let Some(buf) = self.memory.tables.get() else { break };
                self.unpark(key);
                self.run(key, Event::TableBuffer(buf));
            }
            self.table_waiters.pop();
        }
        for size in 0..DATA_SIZES {
            while let Some(key) = self.data_waiters[size].front() {
                if self.commands.get(key).and_then(Command::parked_need).is_some() {
                    let Some(buf) = data_buffer(&self.memory, &self.data_waiters, size) else { break };
                    self.unpark(key);
                    self.run(key, Event::DataBuffer(buf));
                }
                self.data_waiters[size].pop();
            }
        }
        for _ in 0..self.device_waiters.len() {
            let Some(key) = self.device_waiters.pop_front() else { break };
            if let Some(action) = self.unpark(key) {
                self.carry_out(key, action);
            }
        }
    }

    /// What is done from time to time.
    fn look_around(&mut self) {
        if self.now >= self.next_publication {
            self.publish();
            self.keep_alive();
        }
    }

    /// Probes the channels; a fabric skips those that have work outstanding.
    fn keep_alive(&mut self) {
        if self.now < self.next_keepalive {
            return;
        }
        self.next_keepalive = self.now.plus(KEEPALIVE_PERIOD);
        for (_, channel) in self.channels.iter().filter(|(_, channel)| channel.is_established()) {
            self.fabrics[channel.fabric].group.keepalive(channel.qp);
        }
    }

    fn add_unit(
        &mut self,
        id: UnitId,
        logical_unit: Arc<LogicalUnit>,
        fence: Arc<Fence>,
        statistics: Arc<UnitStatistics>,
    ) {
        let index = id.0 as usize;
        if self.units.len() <= index {
            self.units.resize_with(index + 1, || None);
        }
        let device = self.open_device(&logical_unit);
        self.units[index] = Some(Unit { logical_unit, device, fence, statistics, busy: false, removing: false });
    }

    fn open_device(&self, logical_unit: &LogicalUnit) -> Option<bdev::Channel> {
        let options = ChannelOptions { depth: DEVICE_DEPTH, regions: std::slice::from_ref(&self.region) };
        let device = logical_unit.bdev().open_channel_with(options);
        if let Err(error) = &device {
            tracing::error!(unit = logical_unit.name(), %error, "cannot open the unit's device on this core: its commands will fail here");
        }
        device.ok()
    }

    /// Opens devices anew on which nothing is in flight any more.
    fn reopen_units(&mut self) {
        let mut next = 0;
        while let Some(&id) = self.reopening.get(next) {
            let in_flight = |unit: &Unit| unit.device.as_ref().map_or(0, bdev::Channel::in_flight);
            if self.units.get(id.0 as usize).and_then(Option::as_ref).map_or(0, in_flight) > 0 {
                next += 1;
                continue;
            }
            self.reopening.swap_remove(next);
            let opened = self.reopen_unit(id);
            self.send(ToControl::UnitReopened { unit: id, opened });
        }
    }

    /// Whether the unit can be used, or is not there to be used.
    fn reopen_unit(&mut self, id: UnitId) -> bool {
        let Some(Some(unit)) = self.units.get_mut(id.0 as usize) else { return true };
        // The old channel goes first: what it holds of the kernel may be what the new one needs.
        unit.device = None;
        let logical_unit = Arc::clone(&unit.logical_unit);
        let device = self.open_device(&logical_unit);
        let opened = device.is_some();
        if let Some(Some(unit)) = self.units.get_mut(id.0 as usize) {
            unit.device = device;
        }
        opened
    }

    fn remove_unit(&mut self, id: UnitId) {
        if let Some(Some(unit)) = self.units.get_mut(id.0 as usize) {
            self.removing += usize::from(!std::mem::replace(&mut unit.removing, true));
        }
        self.close_if_unused(id);
    }

    /// Closes a unit that is being removed as soon as no command refers to it.
    pub(crate) fn close_if_unused(&mut self, id: UnitId) {
        let Some(Some(unit)) = self.units.get(id.0 as usize) else { return };
        if unit.removing && !self.commands.iter().any(|(_, command)| command.is_using(id)) {
            self.units[id.0 as usize] = None;
            self.removing -= 1;
            self.busy_units.retain(|&busy| busy != id);
            self.send(ToControl::UnitRemoved { unit: id });
        }
    }

    /// Whether a finished command may be what the removal of its unit waits for.
    pub(crate) fn is_removing(&self, id: UnitId) -> bool {
        matches!(self.units.get(id.0 as usize), Some(Some(Unit { removing: true, .. })))
    }

    pub(crate) fn with_channel(&mut self, id: ChannelId, act: fn(&mut PollGroup, Key<Channel>)) {
        let found = self.channels.iter().find(|(_, channel)| channel.id == id).map(|(key, _)| key);
        if let Some(key) = found {
            act(self, key);
        }
    }

    /// Tells the control plane, now or as soon as it has room.
    pub(crate) fn send(&mut self, message: ToControl) {
        self.unsent.push_back(message);
        self.send_unsent();
    }

    #[inline]
    fn send_unsent(&mut self) {
        if !self.unsent.is_empty() {
            self.send_all_unsent();
        }
    }

    #[cold]
    fn send_all_unsent(&mut self) {
        while let Some(message) = self.unsent.pop_front() {
            if let Err(reactor::Full(message)) = self.outbox.send(message) {
                self.unsent.push_front(message);
                break;
            }
        }
    }

    pub(crate) fn view(channel: &Channel) -> Rc<crate::command::View> {
        Rc::clone(&channel.view)
    }
}
