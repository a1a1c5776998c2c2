//! The control side: listeners, connections and devices, and the order in which they are looked at.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use mem::Region;
use rdma_core_sys::rdma_cm_event_type::{self, *};
use rustix::event::{PollFd, PollFlags, Timespec};

use super::cm::{CmEvent, EventChannel, REJ_DATA_MAX, REP_DATA_MAX, Request};
use super::completion_queue::CompletionQueue;
use super::connection::{Connection, State};
use super::device::{AsyncEvent, Device};
use super::devices::Devices;
use super::listener::Listener;
use super::poll_group::{Mail, PollGroupSeed};
use super::queue_pair::QueuePair;
use super::region::Wanted;
use super::work::{KEEPALIVES, SIZE_MAX};
use crate::{
    AcceptParameters, ConnectRequest, ConnectionId, ControlEvent, DeviceInfo, FabricError, GroupId, Homebound,
    ListenerId, ListenerState, QueuePairSizes, SEGMENTS_MAX, Service,
};

/// Time between two looks for devices, and between two tries of a listener that waits.
const LOOK_INTERVAL_NS: u64 = 1_000_000_000;

/// Events taken of one source in one poll: what is left is taken in the next.
const EVENTS_MAX: usize = 128;

/// Control side of the verbs fabric.
#[derive(Debug)]
pub struct Control {
    pub(super) devices: Devices,
    pub(super) channel: Option<Arc<EventChannel>>,
    /// Why there is no channel.
    pub(super) channel_waits_for: String,
    regions: Vec<Wanted>,
    groups: Vec<(GroupId, Arc<Mail>)>,
    listeners: BTreeMap<ListenerId, Listener>,
    pub(super) connections: HashMap<ConnectionId, Connection>,
    /// Destroyed by the user, but a poll group still has the queue pair.
    closing: Vec<Connection>,
    /// To be reported.
    pub(super) events: VecDeque<ControlEvent>,
    /// Numbers of listeners and connections: one series, because the connection manager's events carry them.
    next_number: u64,
    now_ns: u64,
    next_look_ns: u64,
}

impl Default for Control {
    fn default() -> Control {
        Control::new()
    }
}

impl Control {
    /// A control side that may or may not find libraries and devices: it goes on looking.
    pub fn new() -> Control {
        Control {
            devices: Devices::new(),
            channel: None,
            channel_waits_for: String::new(),
            regions: Vec::new(),
            groups: Vec::new(),
            listeners: BTreeMap::new(),
            connections: HashMap::new(),
            closing: Vec::new(),
            events: VecDeque::new(),
            next_number: 1,
            now_ns: 0,
            next_look_ns: 0,
        }
    }

    pub(crate) fn add_region(&mut self, region: Arc<Region>) {
        self.add_wanted(Wanted { region, exposed: false });
    }

    pub(crate) fn add_exposed_region(&mut self, region: Arc<Region>) {
        self.add_wanted(Wanted { region, exposed: true });
    }

    fn add_wanted(&mut self, wanted: Wanted) {
        for entry in self.devices.ready() {
            if let Err(error) = entry.device.register(&wanted) {
                tracing::error!("{error}"); // and said again to each connection
            }
        }
        self.regions.push(wanted);
    }

    pub(crate) fn create_poll_group(&mut self, id: GroupId) -> Homebound<PollGroupSeed> {
        assert!(self.groups.iter().all(|(other, _)| *other != id), "{id:?} was made before");
        let mail = Mail::new();
        self.groups.push((id, Arc::clone(&mail)));
        Homebound::new(PollGroupSeed { mail })
    }

    pub(crate) fn listen(&mut self, address: SocketAddr, service: Service) -> Result<ListenerId, FabricError> {
        if self.listeners.values().any(|listener| listener.is_at(address, service)) {
            return Err(FabricError::AddressInUse { address });
        }
        self.look();
        let number = ListenerId(self.number());
        let mut listener = Listener::new(address, service, String::new());
        match &self.channel {
            Some(channel) => listener.try_listen(number, channel)?,
            None => listener.wait_for(&self.channel_waits_for),
        }
        self.listeners.insert(number, listener);
        Ok(number)
    }

    pub(crate) fn unlisten(&mut self, listener: ListenerId) {
        self.listeners.remove(&listener);
    }

    pub(crate) fn listener_state(&self, listener: ListenerId) -> ListenerState {
        let unknown = || ListenerState::Waiting("it was deleted".into());
        self.listeners.get(&listener).map_or_else(unknown, Listener::state)
    }

    pub(crate) fn devices(&self) -> Vec<DeviceInfo> {
        self.devices.ready().iter().map(|entry| entry.info.clone()).collect()
    }

    pub(crate) fn poll(&mut self, now_ns: u64, event: &mut dyn FnMut(ControlEvent)) {
        self.now_ns = now_ns;
        if now_ns >= self.next_look_ns {
            self.look();
        }
        self.take_events();
        self.finish_closing();
        while let Some(happened) = self.events.pop_front() {
            event(happened);
        }
    }

    pub(crate) fn create_queue_pair(
        &mut self,
        connection: ConnectionId,
        group: GroupId,
        sizes: QueuePairSizes,
    ) -> Result<QueuePair, FabricError> {
        assert!(sizes.sends as usize > SEGMENTS_MAX, "a queue pair needs {SEGMENTS_MAX} + 1 sends or more");
        let asked = self.connections.get_mut(&connection).ok_or(FabricError::UnknownConnection(connection))?;
        if asked.state == State::Ended {
            return Err(FabricError::ConnectionEnded(connection));
        }
        if asked.handle.is_some() {
            return Err(FabricError::WrongOrder { connection, problem: "it has a queue pair" });
        }
        let mail = self.groups.iter().find(|(id, _)| *id == group).map(|(_, mail)| Arc::clone(mail));
        let mail = mail.ok_or(FabricError::UnknownGroup(group))?;
        let device = Arc::clone(&asked.device);
        check_limits(&device, sizes)?;
        for region in &self.regions {
            device.register(region)?;
        }
        let share = sizes.receives + sizes.sends + KEEPALIVES;
        let queue = completion_queue(&mut self.devices, &device, group, &mail, share, connection)?;
        let made = asked.id.create_queue_pair(connection.0, &queue, share, sizes, mail);
        let handle = made.map(Arc::new).map_err(|source| {
            queue.give_back(share);
            device.failed("rdma_create_qp", source)
        })?;
        asked.handle = Some(Arc::clone(&handle));
        Ok(QueuePair::new(handle, sizes))
    }

    pub(crate) fn accept(
        &mut self,
        connection: ConnectionId,
        parameters: &AcceptParameters,
    ) -> Result<(), FabricError> {
        let accepted = self.connections.get_mut(&connection).ok_or(FabricError::UnknownConnection(connection))?;
        let wrong = |problem| FabricError::WrongOrder { connection, problem };
        match accepted.state {
            State::Requested => {}
            State::Ended => return Err(FabricError::ConnectionEnded(connection)),
            State::Accepted | State::Resolving | State::Asking | State::Established => {
                return Err(wrong("it was accepted"));
            }
        }
        if accepted.handle.is_none() {
            return Err(wrong("it has no queue pair"));
        }
        let data = &parameters.private_data;
        if data.len() > REP_DATA_MAX {
            return Err(FabricError::PrivateDataTooLong { message: "reply", len: data.len(), most: REP_DATA_MAX });
        }
        let reads_max = parameters.reads_max.min(accepted.device.limits().reads);
        match accepted.id.accept(reads_max, data) {
            Ok(()) => {
                accepted.state = State::Accepted;
                Ok(())
            }
            Err(source) => {
                let error = accepted.device.failed("rdma_accept", source);
                self.end(connection, false, "it could not be accepted");
                Err(error)
            }
        }
    }

    pub(crate) fn reject(&mut self, connection: ConnectionId, private_data: &[u8]) {
        let Some(rejected) = self.connections.get_mut(&connection) else { return };
        if rejected.state != State::Requested {
            return;
        }
        debug_assert!(private_data.len() <= REJ_DATA_MAX, "a rejection carries {REJ_DATA_MAX} bytes");
        if let Err(error) = rejected.id.reject(&private_data[..private_data.len().min(REJ_DATA_MAX)]) {
            tracing::debug!("rdma_reject: {error}");
        }
        rejected.end(false);
    }

    pub(crate) fn disconnect(&mut self, connection: ConnectionId) {
        self.end(connection, true, "closed by this side");
    }

    pub(crate) fn destroy(&mut self, connection: ConnectionId, queue_pair: Option<QueuePair>) {
        drop(queue_pair);
        let Some(mut destroyed) = self.connections.remove(&connection) else { return };
        destroyed.end(true);
        let stale = |event: &ControlEvent| event.connection() == Some(connection);
        self.events.retain(|event| !stale(event));
        self.closing.extend(destroyed.finish().err());
    }

    pub(super) fn number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }

    /// Ends a connection and reports it, once.
    pub(super) fn end(&mut self, connection: ConnectionId, tell: bool, reason: &'static str) {
        if self.connections.get_mut(&connection).is_some_and(|ended| ended.end(tell)) {
            self.events.push_back(ControlEvent::Disconnected { connection, reason });
        }
    }

    /// Looks for devices, and lets waiting listeners try again.
    pub(super) fn look(&mut self) {
        self.next_look_ns = self.now_ns.saturating_add(LOOK_INTERVAL_NS);
        let changes = self.devices.look(self.now_ns, &self.regions);
        for device in changes.removed {
            self.removed(&device);
        }
        for device in changes.added {
            tracing::info!("device {} is ready", device.name());
            self.events.push_back(ControlEvent::DeviceAdded { device: device.name().into() });
        }
        if self.devices.has_retired() {
            self.groups.iter().for_each(|(_, mail)| mail.changed());
        }
        if self.channel.is_none() {
            self.open_channel();
        }
        for (number, listener) in &mut self.listeners {
            match &self.channel {
                // A taken port may be free later: as long as it is not, the listener says so.
                Some(channel) => drop(listener.try_listen(*number, channel)),
                None => listener.wait_for(&self.channel_waits_for),
            }
        }
    }

    /// librdmacm makes a channel only when there is a device.
    fn open_channel(&mut self) {
        self.channel_waits_for = match (self.devices.library(), self.devices.ready()) {
            (Some(library), [_, ..]) => match EventChannel::open(library) {
                Ok(channel) => {
                    self.channel = Some(channel);
                    String::new()
                }
                Err(error) => {
                    format!("the kernel's connection manager cannot be opened: `modprobe rdma_ucm` ({error})")
                }
            },
            _ => self.devices.waits_for().into(),
        };
    }

    /// A device went away: each of its connections ends.
    fn removed(&mut self, device: &Arc<Device>) {
        tracing::warn!("device {} was removed", device.name());
        let on_it =
            |(id, connection): (&ConnectionId, &Connection)| Arc::ptr_eq(&connection.device, device).then_some(*id);
        let ended: Vec<ConnectionId> = self.connections.iter().filter_map(on_it).collect();
        for connection in ended {
            self.end(connection, false, DEVICE_REMOVED);
        }
        self.groups.iter().for_each(|(_, mail)| mail.changed());
        self.events.push_back(ControlEvent::DeviceRemoved { device: device.name().into() });
    }

    /// Asks the kernel in one call which sources have something, and takes it.
    fn take_events(&mut self) {
        let ready = self.readable();
        if ready.first() == Some(&true) {
            self.take_cm_events();
        }
        let devices: Vec<Arc<Device>> = self.devices.ready().iter().map(|entry| Arc::clone(&entry.device)).collect();
        for (device, _) in devices.iter().zip(ready.iter().skip(1)).filter(|(_, ready)| **ready) {
            for _ in 0..EVENTS_MAX {
                let Some(event) = device.next_async_event() else { break };
                self.on_async_event(device, event);
            }
        }
    }

    /// The event channel first, then each device; nothing while there is no channel.
    fn readable(&self) -> Vec<bool> {
        let Some(channel) = &self.channel else { return Vec::new() };
        let mut files = vec![PollFd::new(&**channel, PollFlags::IN)];
        files.extend(self.devices.ready().iter().map(|entry| PollFd::new(&*entry.device, PollFlags::IN)));
        match rustix::event::poll(&mut files, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
            Ok(_) => files.iter().map(|file| !file.revents().is_empty()).collect(),
            Err(_) => Vec::new(), // interrupted: next time
        }
    }

    fn take_cm_events(&mut self) {
        for _ in 0..EVENTS_MAX {
            let Some(channel) = &self.channel else { return };
            match channel.next_event() {
                Ok(None) => return,
                Ok(Some(CmEvent::Request { listener, request })) => self.on_request(ListenerId(listener), *request),
                Ok(Some(CmEvent::Other { id, kind, status, private_data })) => {
                    if !self.on_answer(ConnectionId(id), kind, status, *private_data) {
                        self.on_cm_event(id, kind, status);
                    }
                }
                Err(error) => {
                    tracing::debug!("rdma_get_cm_event: {error}");
                    return;
                }
            }
        }
    }

    /// Dropping the id rejects the request.
    fn on_request(&mut self, listener: ListenerId, request: Request) {
        let Request { mut id, private_data, reads_served } = request;
        if !self.listeners.contains_key(&listener) {
            return;
        }
        if self.devices.find(id.device()).is_none() {
            self.look(); // it came with a device that was not seen yet
        }
        let Some(device) = self.devices.find(id.device()).map(Arc::clone) else {
            tracing::debug!("a connection request came over a device that is not ready");
            return;
        };
        let (Some(peer), Some(local)) = (id.peer_address(), id.local_address()) else { return };
        let connection = ConnectionId(self.number());
        id.set_number(connection.0);
        let request = ConnectRequest {
            listener,
            private_data,
            peer,
            local,
            reads_served,
            device_reads_max: device.limits().reads,
            device: device.name().into(),
        };
        let made = Connection { id, device, state: State::Requested, handle: None, question: None };
        self.connections.insert(connection, made);
        self.events.push_back(ControlEvent::ConnectRequest { connection, request });
    }

    fn on_cm_event(&mut self, id: u64, kind: rdma_cm_event_type::Type, status: i32) {
        let connection = ConnectionId(id);
        match kind {
            RDMA_CM_EVENT_ESTABLISHED => self.established(connection),
            // Answered with a DREP, or the peer would repeat itself for a while.
            RDMA_CM_EVENT_DISCONNECTED => self.end(connection, true, "the initiator disconnected"),
            RDMA_CM_EVENT_CONNECT_ERROR => self.end(connection, false, "the handshake failed"),
            RDMA_CM_EVENT_UNREACHABLE => self.end(connection, false, "the initiator does not answer the handshake"),
            RDMA_CM_EVENT_REJECTED => self.end(connection, false, "the initiator gave the handshake up"),
            RDMA_CM_EVENT_DEVICE_REMOVAL => match self.listeners.get_mut(&ListenerId(id)) {
                Some(listener) => listener.lose_device(),
                None => self.end(connection, false, DEVICE_REMOVED),
            },
            // The connection manager forgets the old connection: so did we.
            RDMA_CM_EVENT_TIMEWAIT_EXIT => {}
            other => {
                let name = self.channel.as_ref().map(|channel| channel.describe(other)).unwrap_or_default();
                tracing::debug!("{name} on {id}, status {status}: nothing to do");
            }
        }
    }

    fn established(&mut self, connection: ConnectionId) {
        if let Some(established) = self.connections.get_mut(&connection)
            && established.state == State::Accepted
        {
            established.state = State::Established;
            self.events.push_back(ControlEvent::Established { connection });
        }
    }

    fn on_async_event(&mut self, device: &Arc<Device>, event: AsyncEvent) {
        match event {
            AsyncEvent::CommunicationEstablished(number) => {
                if let Some(connection) = self.connections.get_mut(&ConnectionId(number)) {
                    // Fails if the RTU came after all.
                    if let Err(error) = connection.id.notify_established() {
                        tracing::debug!("rdma_notify: {error}");
                    }
                }
            }
            AsyncEvent::QueuePairFailed(number) => {
                self.end(ConnectionId(number), true, "the device reported an error of the queue pair");
            }
            AsyncEvent::DeviceFatal => {
                if self.devices.remove(device, self.now_ns) {
                    self.removed(device);
                }
            }
            AsyncEvent::PortChanged => {
                if let Some(entry) = self.devices.entry_of(device) {
                    entry.info = device.info();
                    let state = if entry.info.active { "active" } else { "down" };
                    tracing::info!("device {}: port {state}", device.name());
                }
            }
            AsyncEvent::CompletionQueueFailed => device.broken("a completion queue"),
            AsyncEvent::Other => {}
        }
    }

    fn finish_closing(&mut self) {
        if !self.closing.is_empty() {
            let closing = std::mem::take(&mut self.closing);
            self.closing.extend(closing.into_iter().filter_map(|connection| connection.finish().err()));
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        for (_, mut connection) in self.connections.drain() {
            connection.end(true);
            self.closing.push(connection);
        }
        self.finish_closing();
    }
}

const DEVICE_REMOVED: &str = "the device was removed";

fn check_limits(device: &Arc<Device>, sizes: QueuePairSizes) -> Result<(), FabricError> {
    let most = device.limits().work_requests.min(SIZE_MAX);
    let check = |what, asked| match asked > most {
        true => Err(FabricError::DeviceLimit { device: device.name().into(), what, asked, most }),
        false => Ok(()),
    };
    check("receives on a queue pair", sizes.receives)?;
    check("sends on a queue pair", sizes.sends.saturating_add(KEEPALIVES))
}

/// A completion queue of the group with `share` entries free, which are taken; a new one if all are full.
fn completion_queue(
    devices: &mut Devices,
    device: &Arc<Device>,
    group: GroupId,
    mail: &Arc<Mail>,
    share: u32,
    connection: ConnectionId,
) -> Result<Arc<CompletionQueue>, FabricError> {
    let entry = devices.entry_of(device).ok_or(FabricError::ConnectionEnded(connection))?;
    let mut queues = entry.queues.iter().filter(|(id, _)| *id == group);
    if let Some((_, queue)) = queues.find(|(_, queue)| queue.take(share)) {
        return Ok(Arc::clone(queue));
    }
    let queue = Arc::new(CompletionQueue::new(Arc::clone(device), share)?);
    if !mail.send(Arc::clone(&queue)) {
        let source = std::io::Error::other("the poll group does not take its mail: is its reactor running?");
        return Err(device.failed("handing over a completion queue", source));
    }
    queue.take(share);
    entry.queues.push((group, Arc::clone(&queue)));
    Ok(queue)
}
