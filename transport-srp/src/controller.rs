//! The control plane: owns what exists (targets, groups, listeners, connections, sessions) and tells the poll groups.
//!
//! Everything runs in [`Controller::poll`] and in the calls of `administration.rs`, on one thread. Connections live in `connection.rs`; task
//! management that concerns several cores is coordinated at the end of this file.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use fabric::{ConnectionId, ControlEvent, GroupId, ListenerId};
use mem::Region;
use reactor::{Instant, Progress, Receiver, Sender, Waker};
use scsi::{Address, ControlReply, Store, UnitAttention};

use crate::connection::Connection;
use crate::exchange::Exchange;
use crate::exclusion::Board;
use crate::initiator_group::InitiatorGroup;
use crate::limits;
use crate::login::Cause;
use crate::memory::MemoryOptions;
use crate::messages::{AbortScope, ChannelFailure, ToControl, ToGroup};
use crate::poll_group::PollGroupSeed;
use crate::session::{ChannelId, SessionId, UnitId};
use crate::statistics::{GroupStatistics, LunTable};
use crate::target::{Target, Units};
use crate::trace::Traces;
use crate::wire::Tag;
use crate::wire::tmf::{TmfFunction, TmfStatus};

/// How the target behaves.
#[derive(Clone, Copy, Debug)]
pub struct ControllerOptions {
    /// Credits of each channel; [`limits::CREDITS_MIN`] to [`limits::CREDITS_MAX`].
    pub credits: u32,
    /// Buffers of each poll group.
    pub memory: MemoryOptions,
    /// Events that each poll group keeps for [`Controller::trace_events`], rounded up to a power of two; 0: none.
    pub trace_events: usize,
    /// Commands that take longer are kept for [`Controller::slow_commands`]; `None`: none.
    pub slow_threshold: Option<Duration>,
}

impl Default for ControllerOptions {
    fn default() -> Self {
        ControllerOptions {
            credits: limits::CREDITS_DEFAULT,
            memory: MemoryOptions::default(),
            trace_events: limits::TRACE_EVENTS_DEFAULT,
            slow_threshold: None,
        }
    }
}

/// The control plane of the target.
pub struct Controller {
    pub(crate) credits: u32,
    /// Most channels of one initiator.
    pub(crate) channels_per_initiator: usize,
    pub(crate) fabrics: Vec<fabric::Control>,
    pub(crate) groups: Vec<GroupLink>,
    pub(crate) targets: Vec<Target>,
    pub(crate) initiator_groups: Vec<InitiatorGroup>,
    pub(crate) units: Units,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) connections: BTreeMap<ChannelId, Connection>,
    pub(crate) by_connection: HashMap<(usize, ConnectionId), ChannelId>,
    pub(crate) sessions: BTreeMap<SessionId, crate::connection::Session>,
    pub(crate) now: Instant,
    pub(crate) drain: Option<Instant>,
    /// Bounds what refused and failing initiators can have written.
    pub(crate) refusals: LogLimit,
    /// Bounds what initiators that come and go can have written.
    pub(crate) comings: LogLimit,
    pub(crate) counts: LoginCounts,
    /// What happened at each LUN.
    pub(crate) lun_statistics: LunTable,
    /// Buffers of each poll group.
    pub(crate) memory: MemoryOptions,
    next_channel: u64,
    next_session: u64,
    next_order: u64,
    orders: HashMap<u64, ManagementOrder>,
    pub(crate) exchanges: Vec<Exchange>,
    /// Target port groups.
    pub(crate) access: crate::alua::Access,
    /// Where units keep what is to survive a restart.
    pub(crate) store: Option<Box<dyn Store>>,
    pub(crate) traces: Traces,
    inbox: Receiver<ToControl>,
    /// To itself, for threads of its own.
    outbox: Sender<ToControl>,
}

/// The way to one poll group.
pub(crate) struct GroupLink {
    sender: Sender<ToGroup>,
    /// Messages that its mailbox had no room for.
    unsent: VecDeque<ToGroup>,
    pub(crate) channels: usize,
    /// As [`Controller::set_busy_percents`] was told.
    pub(crate) busy_percent: u8,
    pub(crate) region: Arc<Region>,
    pub(crate) statistics: Arc<GroupStatistics>,
}

/// Where logins come in.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) fabric: usize,
    pub(crate) service: fabric::Service,
    pub(crate) id: ListenerId,
    pub(crate) address: std::net::SocketAddr,
}

/// Name of the fabric for listeners by IB/CM.
pub const NATIVE_INFINIBAND: &str = "ib";

impl Listener {
    pub(crate) fn is_at(&self, fabric: usize, service: fabric::Service, address: std::net::SocketAddr) -> bool {
        (self.fabric, self.service, self.address) == (fabric, service, address)
    }
}

/// Logins since the start, by outcome, and how channels failed.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct LoginCounts {
    /// Accepted, one per channel.
    pub accepted: u64,
    /// Refused, for whatever reason.
    pub refused: u64,
    refusals: [u64; Cause::NAMES.len()],
    failures: [u64; ChannelFailure::NAMES.len()],
}

impl LoginCounts {
    /// Logins refused, by the name of the cause.
    pub fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Cause::NAMES.into_iter().zip(self.refusals)
    }

    /// Channels that failed, by the name of the reason.
    pub fn failures(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ChannelFailure::NAMES.into_iter().zip(self.failures)
    }

    pub(crate) fn count_refusal(&mut self, cause: Cause) {
        self.refused += 1;
        self.refusals[cause as usize] += 1;
    }

    pub(crate) fn count_failure(&mut self, failure: ChannelFailure) {
        self.failures[failure.index()] += 1;
    }
}

/// Aborts that several poll groups work on.
struct ManagementOrder {
    group: usize,
    answer: Answer,
    remaining: usize,
    /// PREEMPT AND ABORT: whose commands for which unit are being aborted.
    preempts: Option<(UnitId, Vec<SessionId>)>,
    /// Since when a SCSI device is being reset.
    resetting: Option<Instant>,
}

/// What is answered once an order is done.
enum Answer {
    /// A task management function, by the number of its request.
    Management(u64),
    /// A command of `control.rs`, by its number.
    Control(u64, ControlReply),
}

impl Controller {
    /// Makes the control plane, and the seed of one poll group per entry of `reactors`: the waker of each reactor, and the memory for
    /// its buffers ([`MemoryOptions::region_bytes`]). `waker` wakes the thread that calls [`Controller::poll`].
    pub fn new(
        options: ControllerOptions,
        mut fabrics: Vec<fabric::Control>,
        reactors: Vec<(Waker, Arc<Region>)>,
        waker: Waker,
    ) -> (Controller, Vec<PollGroupSeed>) {
        let (outbox, inbox) = reactor::mailbox(limits::MAILBOX_MESSAGES, waker);
        let (mut groups, mut seeds) = (Vec::new(), Vec::new());
        let board = Board::new(reactors.iter().map(|(waker, _)| waker.clone()).collect());
        let (traces, tracers) = Traces::new(reactors.len(), options.trace_events, options.slow_threshold);
        for ((number, (waker, region)), tracer) in (0..).zip(reactors).zip(tracers) {
            let (sender, inbox) = reactor::mailbox(limits::MAILBOX_MESSAGES, waker);
            for fabric in &mut fabrics {
                fabric.add_region(Arc::clone(&region));
            }
            let fabric_groups = fabrics.iter_mut().map(|fabric| fabric.create_poll_group(GroupId(number))).collect();
            let statistics = Arc::<GroupStatistics>::default();
            groups.push(GroupLink {
                sender,
                unsent: VecDeque::new(),
                channels: 0,
                busy_percent: 0,
                region: Arc::clone(&region),
                statistics: Arc::clone(&statistics),
            });
            seeds.push(PollGroupSeed {
                number: number as usize,
                statistics,
                fabrics: fabric_groups,
                region,
                memory: options.memory,
                board: Arc::clone(&board),
                tracer,
                inbox,
                outbox: outbox.clone(),
            });
        }
        let controller = Controller {
            credits: options.credits.clamp(limits::CREDITS_MIN, limits::CREDITS_MAX),
            channels_per_initiator: usize::MAX,
            fabrics,
            groups,
            targets: Vec::new(),
            initiator_groups: Vec::new(),
            units: Units::default(),
            listeners: Vec::new(),
            connections: BTreeMap::new(),
            by_connection: HashMap::new(),
            sessions: BTreeMap::new(),
            now: Instant::default(),
            drain: None,
            refusals: LogLimit::new(20, Duration::from_secs(1)),
            comings: LogLimit::new(200, Duration::from_secs(1)),
            counts: LoginCounts::default(),
            lun_statistics: LunTable::new(),
            memory: options.memory,
            next_channel: 1,
            next_session: 1,
            next_order: 1,
            orders: HashMap::new(),
            exchanges: Vec::new(),
            access: Default::default(),
            store: None,
            traces,
            inbox,
            outbox,
        };
        (controller, seeds)
    }

    /// Says where units keep what is to survive a restart; without it nothing does. To be called before the first LUN is added.
    pub fn set_store(&mut self, store: Box<dyn Store>) {
        self.store = Some(store);
    }

    /// Says how many channels one initiator may have, at all targets together; without it as many as there are buffers for. Channels that
    /// are there stay.
    pub fn set_channels_per_initiator(&mut self, most: usize) {
        self.channels_per_initiator = most;
    }

    /// Says how busy each reactor was lately, in percent and in their order. A new channel comes to none that is clearly busier than
    /// another, as far as its session has not more channels there (`placement.rs`); channels that are there stay. Of whom nothing is said
    /// counts as idle, as all do at first: then the fewest channels decide.
    pub fn set_busy_percents(&mut self, percents: &[u8]) {
        let percents = percents.iter().copied().chain(std::iter::repeat(0));
        for (group, percent) in self.groups.iter_mut().zip(percents) {
            group.busy_percent = percent;
        }
    }

    /// Does what there is to do: connection events, messages of the poll groups, time limits. Never blocks.
    pub fn poll(&mut self, now: Instant) -> Progress {
        self.now = now;
        let mut work = 0;
        for index in 0..self.fabrics.len() {
            let mut events = Vec::new();
            self.fabrics[index].poll(now.0, &mut |event| events.push(event));
            work += events.len();
            for event in events {
                self.on_fabric_event(index, event);
            }
        }
        while let Some(message) = self.inbox.receive() {
            work += 1;
            self.on_message(message);
        }
        self.check_time_limits();
        self.check_resets();
        self.check_transitions();
        self.collect_slow_commands();
        for group in &mut self.groups {
            group.send_unsent();
        }
        if work > 0 { Progress::Busy } else { Progress::Idle }
    }

    fn on_fabric_event(&mut self, fabric: usize, event: ControlEvent) {
        match event {
            ControlEvent::ConnectRequest { connection, request } => {
                self.on_connect_request(fabric, connection, request)
            }
            ControlEvent::Established { connection } => self.on_established(fabric, connection),
            ControlEvent::Disconnected { connection, reason } => self.on_disconnected(fabric, connection, reason),
            // Of connections that we ask for, and a target asks for none.
            ControlEvent::Connected { .. } | ControlEvent::Rejected { .. } => {}
            ControlEvent::DeviceAdded { device } => tracing::info!(device, "RDMA device is ready"),
            ControlEvent::DeviceRemoved { device } => tracing::warn!(device, "RDMA device is gone"),
        }
    }

    fn on_message(&mut self, message: ToControl) {
        match message {
            ToControl::ChannelReady { channel } => self.on_channel_ready(channel),
            ToControl::ChannelRefused { channel, queue_pair } => self.on_channel_refused(channel, queue_pair),
            ToControl::ChannelFailed { channel, reason } => self.on_channel_failed(channel, reason),
            ToControl::ChannelDrained { channel } => self.stop_channel(channel, "drained"),
            ToControl::ChannelStopped { channel, queue_pair } => self.on_channel_stopped(channel, queue_pair),
            ToControl::UnitRemoved { unit } => self.units.closed(unit),
            ToControl::UnitReopened { unit, opened } => self.on_unit_reopened(unit, opened),
            ToControl::ManagementRequest { channel, request, function, unit, address, tag } => {
                self.on_management_request(channel, request, function, unit, address, tag);
            }
            ToControl::Control { channel, command, unit, request, parameters } => {
                self.on_control(channel, command, unit, request, &parameters);
            }
            ToControl::Formatted { unit, protection, session, waiting } => {
                self.on_formatted(unit, protection, session, waiting);
            }
            ToControl::Clear { channel, command, unit, everybody } => self.on_clear(channel, command, unit, everybody),
            ToControl::UnitChanged { unit, attention, told } => self.on_unit_changed(unit, attention, told),
            ToControl::DeviceReset { id } => self.on_device_reset(id),
            ToControl::OrderDone { id } => self.on_order_done(id),
        }
    }

    /// Sends to one poll group, in order, whatever the state of its mailbox.
    pub(crate) fn tell(&mut self, group: usize, message: ToGroup) {
        self.groups[group].unsent.push_back(message);
        self.groups[group].send_unsent();
    }

    /// Sends to every poll group.
    pub(crate) fn tell_all(&mut self, message: impl Fn() -> ToGroup) {
        for group in 0..self.groups.len() {
            self.tell(group, message());
        }
    }

    pub(crate) fn new_channel_id(&mut self) -> ChannelId {
        self.next_channel += 1;
        ChannelId(self.next_channel - 1)
    }

    pub(crate) fn new_session_id(&mut self) -> SessionId {
        self.next_session += 1;
        SessionId(self.next_session - 1)
    }

    /// A poll group asks for task management that concerns the others too.
    fn on_management_request(
        &mut self,
        channel: ChannelId,
        request: u64,
        function: TmfFunction,
        unit: Option<UnitId>,
        address: Address,
        tag: Tag,
    ) {
        let Some(connection) = self.connections.get(&channel) else { return };
        let (group, Some(session)) = (connection.group, connection.session) else { return };
        let scope = match (function, unit) {
            (TmfFunction::AbortTask, _) => AbortScope::Task { session, channel, address, tag },
            (TmfFunction::AbortTaskSet, Some(unit)) => AbortScope::TaskSet { session, unit, address },
            (TmfFunction::ClearTaskSet, Some(unit)) => AbortScope::Cleared { session, unit, address },
            (TmfFunction::LunReset, Some(unit)) => {
                let told = self.units.get(unit).is_some_and(|unit| unit.logical_unit.task_aborted_status());
                AbortScope::Unit { session, unit, address, told }
            }
            (TmfFunction::AbortTaskSet | TmfFunction::ClearTaskSet | TmfFunction::LunReset, None) => {
                return self.tell(group, ToGroup::ManagementDone { request, status: TmfStatus::Failed });
            }
            (TmfFunction::ClearAca, _) => {
                return self.tell(group, ToGroup::ManagementDone { request, status: TmfStatus::NotSupported });
            }
        };
        let id = self.next_order;
        self.next_order += 1;
        let mut resetting = None;
        if let (TmfFunction::LunReset, Some(unit)) = (function, unit) {
            // SAM-5 6.3.3: mode parameters go back, and every nexus is told, the one that asked included.
            if let Some(unit) = self.units.get(unit) {
                unit.logical_unit.reset();
            }
            for session in self.sessions.values() {
                session.establish(unit, UnitAttention::BusDeviceReset);
            }
            resetting = self.reset_device(unit, id).then_some(self.now);
            self.reset_reservations(unit);
        }
        let (answer, remaining) = (Answer::Management(request), self.groups.len());
        self.orders.insert(id, ManagementOrder { group, answer, remaining, preempts: None, resetting });
        self.tell_all(|| ToGroup::Order { id, scope });
    }

    /// A command ended that takes others with it: as ABORT TASK SET, or CLEAR TASK SET if it takes those of `everybody`.
    fn on_clear(&mut self, channel: ChannelId, command: u64, unit: UnitId, everybody: bool) {
        let Some(connection) = self.connections.get(&channel) else { return };
        let (group, Some(session)) = (connection.group, connection.session) else { return };
        let id = self.next_order;
        self.next_order += 1;
        let (answer, remaining) = (Answer::Management(command), self.groups.len());
        self.orders.insert(id, ManagementOrder { group, answer, remaining, preempts: None, resetting: None });
        self.tell_all(|| ToGroup::Order { id, scope: AbortScope::Others { session, unit, everybody } });
    }

    /// PREEMPT AND ABORT (SPC-4): aborts the commands of these sessions for a unit, then answers `command`. What a device is doing for them
    /// may still land, behind the unit's fence: before anything else that touches the medium.
    pub(crate) fn preempt(
        &mut self,
        group: usize,
        command: u64,
        reply: ControlReply,
        unit: UnitId,
        sessions: Vec<SessionId>,
    ) {
        let id = self.next_order;
        self.next_order += 1;
        let (answer, remaining) = (Answer::Control(command, reply), self.groups.len() * sessions.len());
        let preempts = Some((unit, sessions.clone()));
        self.orders.insert(id, ManagementOrder { group, answer, remaining, preempts, resetting: None });
        for session in sessions {
            self.tell_all(|| ToGroup::Order { id, scope: AbortScope::Preempted { session, unit } });
        }
        self.settle_order(id); // there may be nobody
    }

    /// Whether commands of a session for a unit are being aborted because it was preempted there.
    pub(crate) fn is_being_preempted(&self, session: SessionId, unit: UnitId) -> bool {
        let preempts = self.orders.values().filter_map(|order| order.preempts.as_ref());
        preempts.into_iter().any(|(of, sessions)| *of == unit && sessions.contains(&session))
    }

    /// Everybody but the session that knows already is told.
    fn on_unit_changed(&self, unit: UnitId, attention: UnitAttention, told: Option<SessionId>) {
        for (_, session) in self.sessions.iter().filter(|(id, _)| Some(**id) != told) {
            session.establish(unit, attention);
        }
    }

    fn on_order_done(&mut self, id: u64) {
        if let Some(order) = self.orders.get_mut(&id) {
            order.remaining -= 1;
        }
        self.settle_order(id);
    }

    /// Resets the SCSI device behind a unit, in a thread, because that may take many seconds; false if there is none.
    fn reset_device(&self, unit: UnitId, id: u64) -> bool {
        let Some(unit) = self.units.get(unit) else { return false };
        let bdev = Arc::clone(unit.logical_unit.bdev());
        if bdev.info().passthrough.is_none() {
            return false;
        }
        let outbox = self.outbox.clone();
        let reset = move || {
            match bdev.reset_device() {
                Ok(()) => tracing::info!(bdev = bdev.info().name, "the SCSI device was reset"),
                Err(error) => tracing::warn!(bdev = bdev.info().name, %error, "the SCSI device was not reset"),
            }
            // Should the mailbox be full, the order's time limit answers.
            let _ = outbox.send(ToControl::DeviceReset { id });
        };
        let spawned = std::thread::Builder::new().name("scsi-reset".into()).spawn(reset);
        spawned.inspect_err(|error| tracing::error!(%error, "no thread to reset a SCSI device")).is_ok()
    }

    fn on_device_reset(&mut self, id: u64) {
        if let Some(order) = self.orders.get_mut(&id) {
            order.resetting = None;
        }
        self.settle_order(id);
    }

    /// Orders wait for a device no longer than their initiator does for the answer.
    fn check_resets(&mut self) {
        let now = self.now;
        let late =
            |order: &ManagementOrder| order.resetting.is_some_and(|since| now.since(since) >= limits::DEVICE_RESET_MAX);
        let late: Vec<u64> = self.orders.iter().filter(|(_, order)| late(order)).map(|(&id, _)| id).collect();
        late.into_iter().for_each(|id| self.on_device_reset(id));
    }

    /// Answers an order that nothing is awaited for any more.
    fn settle_order(&mut self, id: u64) {
        let Some(order) = self.orders.get(&id) else { return };
        if order.remaining == 0 && order.resetting.is_none() {
            let Some(ManagementOrder { group, answer, .. }) = self.orders.remove(&id) else { return };
            let message = match answer {
                Answer::Management(request) => ToGroup::ManagementDone { request, status: TmfStatus::Complete },
                Answer::Control(command, reply) => ToGroup::ControlDone { command, reply },
            };
            self.tell(group, message);
        }
    }
}

impl GroupLink {
    fn send_unsent(&mut self) {
        while let Some(message) = self.unsent.pop_front() {
            if let Err(reactor::Full(message)) = self.sender.send(message) {
                self.unsent.push_front(message);
                break;
            }
        }
    }
}

/// Lets through a number of log lines per period: peers can cause them.
pub(crate) struct LogLimit {
    most: u32,
    period: Duration,
    since: Instant,
    count: u32,
}

impl LogLimit {
    pub(crate) fn new(most: u32, period: Duration) -> LogLimit {
        LogLimit { most, period, since: Instant::default(), count: 0 }
    }

    /// Whether another line may be written now.
    pub(crate) fn allows(&mut self, now: Instant) -> bool {
        if now.since(self.since) >= self.period {
            if self.count > self.most {
                tracing::warn!(suppressed = self.count - self.most, "more of the same was not logged");
            }
            self.since = now;
            self.count = 0;
        }
        self.count += 1;
        self.count <= self.most
    }
}
