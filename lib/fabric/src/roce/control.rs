//! The control side: listeners, connections and devices, and the order in which they are looked at.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use mem::Region;

use super::cm::{Cm, CmEvent, CmId, CmOptions, CmReply, CmRequest, Remains};
use super::connection::{Connection, Made, State};
use super::devices::{DEVICES_MAX, DeviceIndex, Devices, READS_MAX};
use super::gsi::Gsi;
use super::ledger::Ledger;
use super::listener::Listener;
use super::numbers::Numbers;
use super::packet_io::{PacketCounters, Path, QUEUES_MAX, Way};
use super::poll_group::PollGroupSeed;
use super::queue_pair::{Link, Mail, QueuePair, Remote};
use super::random;
use super::rc::EndpointOptions;
use super::statistics::{Counters, DataCounters};
use super::wire::{Psn, UDP_PORT};
use crate::{
    AcceptParameters, Connect, ConnectRequest, ConnectionId, ControlEvent, DeviceInfo, FabricError, GroupId, Homebound,
    ListenerId, ListenerState, PrivateData, QueuePairSizes, SEGMENTS_MAX,
};

/// Time between two looks at interfaces, and between two tries of a listener that waits.
const LOOK_INTERVAL_NS: u64 = 1_000_000_000;

/// Private data that fit in a REP and a REJ, in bytes (IBTA vol. 1, 12.6.7 and 12.6.8).
const REP_DATA_MAX: usize = 196;
const REJ_DATA_MAX: usize = 148;

/// Private data that fit behind the RDMA/CM header of a REQ, in bytes (annex A11).
const REQ_DATA_MAX: usize = 56;

/// Connections that are neither established nor over at the same time; more requests are dropped, and asked again.
const HALF_OPEN_MAX: usize = 256;

/// What our own initiator asks for: the code of 4.096 µs · 2^17 = 0.54 s until a packet is sent again at the latest, 7 times,
/// so that a peer is given up after 4.3 s: a machine may well stop one of its processes for half a second. Without end
/// for a receiver that is not ready.
const ACK_TIMEOUT: u8 = 17;
const RETRY_COUNT: u8 = 7;
const RNR_RETRY: u8 = 7;

/// How RoCE behaves.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Which way packets take.
    pub way: Way,
    /// The file in which the next process finds the connections of this one, if this one ends without a word; the folder is there.
    pub ledger: Option<PathBuf>,
}

/// Control side of the RoCE fabric.
#[derive(Debug)]
pub struct Control {
    devices: Devices,
    groups: Vec<(GroupId, Arc<Mail>)>,
    numbers: Vec<Numbers>,
    /// What each group counted, as far as it was published.
    published: Vec<DataCounters>,
    /// Counts what the groups changed.
    news: Arc<AtomicU32>,
    news_seen: u32,
    listeners: BTreeMap<ListenerId, Listener>,
    connections: HashMap<ConnectionId, Connection>,
    by_cm: HashMap<CmId, ConnectionId>,
    gsi: Gsi,
    ledger: Option<Ledger>,
    /// Of the process before this one, at addresses for which there is no device yet.
    remains: Vec<Remains>,
    /// To be reported.
    events: VecDeque<ControlEvent>,
    next_number: u64,
    now_ns: u64,
    next_look_ns: u64,
}

impl Default for Control {
    fn default() -> Control {
        Control::new(Options::default())
    }
}

impl Control {
    /// A control side that has opened nothing yet.
    pub fn new(options: Options) -> Control {
        let cm = CmOptions { node_guid: random::next(), seed: random::next(), half_open_max: HALF_OPEN_MAX };
        let opened = options.ledger.and_then(|path| {
            let cannot = |error| {
                let path = path.display();
                tracing::warn!(%path, %error, "no list of connections: should this process be killed, initiators will take their time to notice");
            };
            Ledger::open(&path).map_err(cannot).ok()
        });
        let (ledger, remains) = opened.map_or_else(Default::default, |(ledger, remains)| (Some(ledger), remains));
        Control {
            devices: Devices::new(options.way),
            groups: Vec::new(),
            numbers: Vec::new(),
            published: Vec::new(),
            news: Arc::default(),
            news_seen: 0,
            listeners: BTreeMap::new(),
            connections: HashMap::new(),
            by_cm: HashMap::new(),
            gsi: Gsi::new(Cm::new(cm)),
            ledger,
            remains,
            events: VecDeque::new(),
            next_number: 1,
            now_ns: 0,
            next_look_ns: 0,
        }
    }

    /// Nothing to do: no device reaches memory by itself here.
    pub(crate) fn add_region(&mut self, _region: Arc<Region>) {}

    /// Poll groups are made before the first listener and the first connection: a device's packets are dealt out to the
    /// groups that are there when it is opened.
    pub(crate) fn create_poll_group(&mut self, id: GroupId) -> Homebound<PollGroupSeed> {
        assert!(self.groups.iter().all(|(other, _)| *other != id), "{id:?} was made before");
        assert!(self.groups.len() + 1 < QUEUES_MAX, "at most {} poll groups", QUEUES_MAX - 1);
        let mail = Arc::new(Mail::new(DEVICES_MAX, Arc::clone(&self.news)));
        self.groups.push((id, Arc::clone(&mail)));
        let queue = u8::try_from(self.groups.len()).expect("fewer groups than that");
        self.numbers.push(Numbers::new(queue));
        self.published.push(DataCounters::default());
        PollGroupSeed::new(mail, random::next())
    }

    pub(crate) fn listen(&mut self, address: SocketAddr) -> Result<ListenerId, FabricError> {
        if self.listeners.values().any(|listener| listener.address == address) {
            return Err(FabricError::AddressInUse { address });
        }
        let id = ListenerId(self.number());
        self.listeners.insert(id, Listener::new(address));
        self.look();
        Ok(id)
    }

    pub(crate) fn unlisten(&mut self, listener: ListenerId) {
        self.listeners.remove(&listener);
    }

    pub(crate) fn listener_state(&self, listener: ListenerId) -> ListenerState {
        let unknown = || ListenerState::Waiting("it was deleted".into());
        self.listeners.get(&listener).map_or_else(unknown, Listener::state)
    }

    pub(crate) fn devices(&self) -> Vec<DeviceInfo> {
        self.devices.all().iter().map(|device| device.info()).collect()
    }

    /// What was counted since the start.
    pub fn counters(&mut self) -> Counters {
        let mut data = DataCounters::default();
        for ((_, mail), published) in self.groups.iter().zip(&mut self.published) {
            if let Some(newer) = mail.counters.pop() {
                *published = newer;
            }
            data += *published;
        }
        let mut cm_packets = PacketCounters::default();
        self.devices.all().iter().for_each(|device| cm_packets += device.io.counters());
        let (packets, groups, connections) = (data.packets, data.group, data.endpoints);
        Counters { packets, cm_packets, groups, connections, cm: self.gsi.counters() }
    }

    pub(crate) fn poll(&mut self, now_ns: u64, event: &mut dyn FnMut(ControlEvent)) {
        self.now_ns = now_ns;
        if now_ns >= self.next_look_ns {
            self.look();
        }
        let Control { gsi, devices, listeners, .. } = self;
        let listening = |ip, port| listeners.values().any(|listener| listener.matches(ip, port).is_some());
        gsi.receive(now_ns, devices, &listening);
        self.gsi.cm.on_time(now_ns);
        self.hear_groups();
        while let Some(happened) = self.gsi.cm.next_event() {
            self.on_cm_event(happened);
        }
        self.gsi.send(self.now_ns, &mut self.devices);
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
        let asked = self.connections.get(&connection).ok_or(FabricError::UnknownConnection(connection))?;
        if asked.state == State::Ended {
            return Err(FabricError::ConnectionEnded(connection));
        }
        if asked.queue_pair.is_some() {
            return Err(FabricError::WrongOrder { connection, problem: "it has a queue pair" });
        }
        let (request, path, device) = (asked.request.clone(), asked.path, asked.device);
        let (made, queue_pair) = self.make_queue_pair(&request, path, device, group, sizes)?;
        if let Some(asked) = self.connections.get_mut(&connection) {
            asked.queue_pair = Some(made);
        }
        Ok(queue_pair)
    }

    pub(crate) fn connect(&mut self, now_ns: u64, connect: &Connect) -> Result<(ConnectionId, QueuePair), FabricError> {
        self.now_ns = now_ns;
        let failed = |why: String| FabricError::Call {
            call: "connect",
            device: connect.local.to_string(),
            source: std::io::Error::other(why),
        };
        if connect.private_data.len() > REQ_DATA_MAX {
            let len = connect.private_data.len();
            return Err(FabricError::PrivateDataTooLong { message: "request", len, most: REQ_DATA_MAX });
        }
        if connect.local.is_ipv4() != connect.to.is_ipv4() {
            return Err(failed(format!("{} is an address of another kind", connect.to)));
        }
        self.devices.look();
        let device = self.devices.open(connect.local, &self.groups).map_err(failed)?;
        let path =
            Path { local: SocketAddr::new(connect.local, UDP_PORT), peer: SocketAddr::new(connect.to.ip(), UDP_PORT) };
        let mut request = CmRequest {
            port: connect.to.port(),
            source_port: UDP_PORT,
            remote_qpn: 0,
            passive_sends_from: Psn::default(),
            responder_resources: connect.reads_served.min(READS_MAX),
            initiator_depth: 0,
            mtu: self.devices.get_mut(device).mtu,
            ack_timeout: ACK_TIMEOUT,
            retry_count: RETRY_COUNT,
            rnr_retry: RNR_RETRY,
            flow_control: true,
            private_data: connect.private_data.clone(),
        };
        let (made, queue_pair) = self.make_queue_pair(&request, path, device, connect.group, connect.sizes)?;
        (request.remote_qpn, request.passive_sends_from) = (made.qpn, made.receive_psn);
        let cm = self.gsi.cm.connect(self.now_ns, &path, request.clone());
        let connection = ConnectionId(self.number());
        let entry = Connection { cm, path, device, state: State::Asking, request, queue_pair: Some(made) };
        self.connections.insert(connection, entry);
        self.by_cm.insert(cm, connection);
        Ok((connection, queue_pair))
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
            State::Accepted | State::Asking | State::Established => return Err(wrong("it was accepted")),
        }
        let made = accepted.queue_pair.as_ref().ok_or_else(|| wrong("it has no queue pair"))?;
        let data = &parameters.private_data;
        if data.len() > REP_DATA_MAX {
            return Err(FabricError::PrivateDataTooLong { message: "reply", len: data.len(), most: REP_DATA_MAX });
        }
        let reads_max = parameters.reads_max.min(accepted.request.responder_resources).min(READS_MAX);
        made.link.set_reads_max(reads_max);
        made.mail.changed();
        let reply = CmReply {
            qpn: made.qpn,
            active_sends_from: made.receive_psn,
            responder_resources: accepted.request.initiator_depth.min(READS_MAX),
            initiator_depth: reads_max,
            rnr_retry: RNR_RETRY,
            private_data: data.clone(),
        };
        accepted.state = State::Accepted;
        let cm = accepted.cm;
        if self.gsi.cm.accept(self.now_ns, cm, reply) {
            // Before the peer can hear of it.
            let remains = self.gsi.cm.remains(cm);
            self.note(|ledger| remains.map_or(Ok(()), |remains| ledger.enter(remains)));
            self.gsi.send(self.now_ns, &mut self.devices);
            Ok(())
        } else {
            self.end(connection, "it ended before it was accepted");
            Err(FabricError::ConnectionEnded(connection))
        }
    }

    pub(crate) fn reject(&mut self, connection: ConnectionId, private_data: &[u8]) {
        let Some(rejected) = self.connections.get_mut(&connection) else { return };
        if rejected.state != State::Requested {
            return;
        }
        debug_assert!(private_data.len() <= REJ_DATA_MAX, "a rejection carries {REJ_DATA_MAX} bytes");
        self.gsi.cm.reject(self.now_ns, rejected.cm, &private_data[..private_data.len().min(REJ_DATA_MAX)]);
        rejected.end();
        self.gsi.send(self.now_ns, &mut self.devices);
    }

    pub(crate) fn disconnect(&mut self, connection: ConnectionId) {
        let Some(entry) = self.connections.get(&connection) else { return };
        if entry.state != State::Ended {
            self.gsi.cm.disconnect(self.now_ns, entry.cm);
            self.gsi.send(self.now_ns, &mut self.devices);
            self.end(connection, "closed by this side");
        }
    }

    pub(crate) fn destroy(&mut self, connection: ConnectionId, queue_pair: Option<QueuePair>) {
        drop(queue_pair);
        let Some(mut destroyed) = self.connections.remove(&connection) else { return };
        if destroyed.state != State::Ended {
            self.gsi.cm.disconnect(self.now_ns, destroyed.cm);
        }
        destroyed.end();
        self.by_cm.remove(&destroyed.cm);
        self.note(|ledger| ledger.strike(destroyed.cm));
        self.gsi.cm.destroy(self.now_ns, destroyed.cm);
        if let Some(made) = destroyed.queue_pair {
            self.numbers[made.group].give_back(self.now_ns, made.qpn);
        }
        self.events.retain(|event| event.connection() != Some(connection));
        self.gsi.send(self.now_ns, &mut self.devices);
    }

    /// Tests: number and first expected PSN of our end.
    #[cfg(test)]
    pub(super) fn end_of(&self, connection: ConnectionId) -> Option<(u32, Psn)> {
        let made = self.connections.get(&connection)?.queue_pair.as_ref()?;
        Some((made.qpn, made.receive_psn))
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number - 1
    }

    /// Makes a queue pair; an active side's learns the peer's end later, through its link.
    fn make_queue_pair(
        &mut self,
        request: &CmRequest,
        path: Path,
        device: DeviceIndex,
        group: GroupId,
        sizes: QueuePairSizes,
    ) -> Result<(Made, QueuePair), FabricError> {
        assert!(sizes.sends as usize > SEGMENTS_MAX, "a queue pair needs {SEGMENTS_MAX} + 1 sends or more");
        let index = self.groups.iter().position(|(id, _)| *id == group).ok_or(FabricError::UnknownGroup(group))?;
        if index >= self.devices.get_mut(device).groups {
            return Err(FabricError::UnknownGroup(group)); // made after the device was opened
        }
        let name = || self.devices.all()[device.0].name.clone();
        let qpn = self.numbers[index].take(self.now_ns);
        let most = u32::from(u16::MAX / 2);
        let qpn = qpn.ok_or_else(|| FabricError::DeviceLimit {
            device: name(),
            what: "queue pairs per reactor",
            asked: most + 1,
            most,
        })?;
        let receive_psn = Psn::new(random::next() as u32);
        let options = EndpointOptions {
            local_qpn: qpn,
            // Of an active side these are 0: it learns them from the reply.
            remote_qpn: request.remote_qpn,
            send_psn: request.passive_sends_from,
            receive_psn,
            mtu: request.mtu,
            reads_max: 0, // until the login is accepted
            reads_served: READS_MAX,
            ack_timeout: request.ack_timeout,
            retry_count: request.retry_count,
            rnr_retry: request.rnr_retry,
            receives: sizes.receives,
            sends: sizes.sends,
        };
        let (link, mail) = (Arc::new(Link::default()), Arc::clone(&self.groups[index].1));
        let queue_pair = QueuePair { options, path, device, link: Arc::clone(&link) };
        Ok((Made { qpn, receive_psn, group: index, link, mail }, queue_pair))
    }

    /// Ends a connection and reports it, once.
    fn end(&mut self, connection: ConnectionId, reason: &'static str) {
        if self.connections.get_mut(&connection).is_some_and(Connection::end) {
            self.events.push_back(ControlEvent::Disconnected { connection, reason });
        }
    }

    /// Writes to the ledger, if there is one; one that cannot be written is given up.
    fn note(&mut self, write: impl FnOnce(&mut Ledger) -> io::Result<()>) {
        if let Some(Err(error)) = self.ledger.as_mut().map(write) {
            tracing::warn!(%error, "the list of connections cannot be written: should this process be killed, initiators will take their time to notice");
            self.ledger = None;
        }
    }

    /// Ends the connections of the process before this one, where there is a device to say so.
    fn end_remains(&mut self) {
        for remains in std::mem::take(&mut self.remains) {
            if self.devices.find(remains.path.local.ip()).is_none() {
                self.remains.push(remains);
                continue;
            }
            tracing::info!(peer = %remains.path.peer.ip(), "a connection of the process before this one is ended");
            self.gsi.cm.end_remains(self.now_ns, &remains);
            self.note(|ledger| ledger.strike(CmId(remains.local_id)));
        }
    }

    /// Looks at the interfaces, and opens the devices that listeners want.
    fn look(&mut self) {
        self.next_look_ns = self.now_ns.saturating_add(LOOK_INTERVAL_NS);
        self.devices.look();
        for listener in self.listeners.values_mut() {
            let ip = listener.address.ip();
            let wanted = if ip.is_unspecified() { self.devices.addresses_for(ip) } else { vec![ip] };
            let mut results = Vec::new();
            for address in wanted {
                let known = self.devices.find(address).is_some();
                let opened = self.devices.open(address, &self.groups);
                if let (Ok(index), false) = (&opened, known) {
                    let device = self.devices.all()[index.0].name.clone();
                    self.events.push_back(ControlEvent::DeviceAdded { device });
                }
                results.push(opened.map(drop));
            }
            listener.opened(results);
        }
        self.end_remains();
    }

    /// Looks at what the poll groups noticed.
    fn hear_groups(&mut self) {
        // Acquire: pairs with `Mail::tell`.
        let news = self.news.load(Ordering::Acquire);
        if std::mem::replace(&mut self.news_seen, news) == news {
            return;
        }
        let mut failed = Vec::new();
        for (id, connection) in &mut self.connections {
            let Some(made) = &connection.queue_pair else { continue };
            if connection.state == State::Accepted && made.link.was_heard() {
                self.gsi.cm.packet_arrived(self.now_ns, connection.cm);
            }
            if connection.state != State::Ended && made.link.has_failed() {
                failed.push((*id, connection.cm));
            }
        }
        for (id, cm) in failed {
            self.gsi.cm.disconnect(self.now_ns, cm);
            self.end(id, "its queue pair failed");
        }
    }

    fn on_cm_event(&mut self, event: CmEvent) {
        match event {
            CmEvent::Requested { id, path, request } => self.on_requested(id, path, request),
            CmEvent::Established { id } => {
                let Some((connection, entry)) = self.entry(id) else { return };
                if entry.state == State::Accepted {
                    entry.state = State::Established;
                    self.events.push_back(ControlEvent::Established { connection });
                }
            }
            CmEvent::Connected { id, reply } => self.on_connected(id, reply),
            CmEvent::Rejected { id, reason, private_data } => {
                let Some((connection, entry)) = self.entry(id) else { return };
                if entry.end() {
                    self.events.push_back(ControlEvent::Rejected { connection, reason, private_data });
                }
            }
            CmEvent::Ended { id, why } => {
                if let Some(&connection) = self.by_cm.get(&id) {
                    self.end(connection, why);
                }
            }
        }
    }

    fn on_requested(&mut self, cm: CmId, path: Path, request: CmRequest) {
        let (ip, port) = (path.local.ip(), request.port);
        let matching = |(&id, listener): (&ListenerId, &Listener)| Some((listener.matches(ip, port)?, id));
        let listener = self.listeners.iter().filter_map(matching).max();
        let (Some((_, listener)), Some(device)) = (listener, self.devices.find(ip)) else {
            return self.gsi.cm.reject(self.now_ns, cm, &[]); // it was deleted at this moment
        };
        let connection = ConnectionId(self.number());
        let asked = ConnectRequest {
            listener,
            private_data: request.private_data.clone(),
            peer: SocketAddr::new(path.peer.ip(), request.source_port),
            local: SocketAddr::new(ip, port),
            reads_served: request.responder_resources,
            device_reads_max: READS_MAX,
            device: self.devices.all()[device.0].name.clone(),
        };
        let entry = Connection { cm, path, device, state: State::Requested, request, queue_pair: None };
        self.connections.insert(connection, entry);
        self.by_cm.insert(cm, connection);
        self.events.push_back(ControlEvent::ConnectRequest { connection, request: asked });
    }

    fn on_connected(&mut self, id: CmId, reply: CmReply) {
        let Some((connection, entry)) = self.entry(id) else { return };
        if entry.state != State::Asking {
            return;
        }
        entry.state = State::Established;
        if let Some(made) = &entry.queue_pair {
            made.link.set_remote(Remote { qpn: reply.qpn, send_psn: reply.active_sends_from });
            made.mail.changed();
        }
        let private_data: PrivateData = reply.private_data;
        self.events.push_back(ControlEvent::Connected { connection, private_data });
    }

    fn entry(&mut self, id: CmId) -> Option<(ConnectionId, &mut Connection)> {
        let connection = *self.by_cm.get(&id)?;
        self.connections.get_mut(&connection).map(|entry| (connection, entry))
    }
}
