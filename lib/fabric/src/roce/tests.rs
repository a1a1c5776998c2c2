//! Both ends over real UDP sockets on loopback: the control side, the poll group and everything below them. Each test has
//! loopback addresses of its own, so that they run at the same time.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use mem::{IoBuf, Pool};

use super::cm::{Cm, CmOptions, CmRequest};
use super::exposed::Access;
use super::packet_io::Path;
use super::wire::{Deth, Flow, GSI_QKEY, GSI_QP, Headers, Opcode, Psn, UDP_PORT};
use super::{Control, Counters, Options};
use crate::{
    AcceptParameters, Completion, Connect, ConnectRequest, ConnectionId, ControlEvent, Deliver, Fetch, GroupId,
    ListenerState, PollGroup, PrivateData, QpIndex, QueuePairSizes, Segment,
};

const SIZES: QueuePairSizes = QueuePairSizes { receives: 8, sends: 80 };
const PATIENCE: Duration = Duration::from_secs(20);

/// One machine: control side, one poll group, buffers.
struct Machine {
    control: crate::Control,
    group: PollGroup,
    pool: Pool,
    address: IpAddr,
    start: Instant,
    events: Vec<ControlEvent>,
    completions: Vec<Completion>,
}

impl Machine {
    fn new(address: &str) -> Machine {
        Machine::with(address, Options::default())
    }

    fn with(address: &str, options: Options) -> Machine {
        let mut control = crate::Control::Roce(Control::new(options));
        let group = control.create_poll_group(GroupId(0));
        let address = address.parse().expect("an address");
        let pool = mem::testing::pool(16384, 64);
        Machine { control, group, pool, address, start: Instant::now(), events: vec![], completions: vec![] }
    }

    /// Processes have run for an hour: a control side that took 0 for the time until it was first polled gave up each connection at
    /// once that was asked for before.
    fn now(&self) -> u64 {
        let hour = Duration::from_secs(3600);
        (hour + self.start.elapsed()).as_nanos() as u64
    }

    fn step(&mut self) {
        let now = self.now();
        let Machine { control, group, events, completions, .. } = self;
        control.poll(now, &mut |event| events.push(event));
        group.poll(now, &mut |completion| completions.push(completion));
        group.ring();
    }

    fn listen(&mut self, port: u16) -> SocketAddr {
        let address = SocketAddr::new(self.address, port);
        let listener = self.control.listen(address).expect("it can listen");
        assert_eq!(self.control.listener_state(listener), ListenerState::Listening);
        address
    }

    fn connect(&mut self, to: SocketAddr, data: &[u8]) -> (ConnectionId, QpIndex) {
        let connect = Connect {
            local: self.address,
            to,
            group: GroupId(0),
            sizes: SIZES,
            reads_served: 4,
            private_data: data.iter().copied().collect(),
        };
        let (connection, queue_pair) = self.control.connect(self.now(), &connect).expect("it can ask");
        (connection, self.adopt(queue_pair))
    }

    fn adopt(&mut self, queue_pair: crate::QueuePair) -> QpIndex {
        let qp = self.group.adopt(queue_pair);
        for _ in 0..SIZES.receives {
            self.group.post_receive(qp, self.pool.get().expect("a buffer"));
        }
        qp
    }

    fn buffer(&self, bytes: &[u8]) -> IoBuf {
        let mut buf = self.pool.get().expect("a buffer");
        buf.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
        IoBuf::new(buf, 0..bytes.len())
    }

    fn send(&mut self, qp: QpIndex, bytes: &[u8]) {
        let message = Some(self.buffer(bytes));
        self.group.deliver(qp, Deliver { cookie: 7, data: None, segments: &[], message, solicited: false });
    }
}

/// Lets both machines work until `done` says so.
fn run<T>(a: &mut Machine, b: &mut Machine, mut done: impl FnMut(&mut Machine, &mut Machine) -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        a.step();
        b.step();
        if let Some(result) = done(a, b) {
            return result;
        }
        assert!(Instant::now() < end, "nothing came of it: {:?} {:?}", a.events, b.events);
    }
}

fn take<T, U>(list: &mut Vec<T>, pick: impl Fn(&T) -> Option<U>) -> Option<U> {
    let (index, found) = list.iter().enumerate().find_map(|(index, item)| Some((index, pick(item)?)))?;
    list.remove(index);
    Some(found)
}

fn request(event: &ControlEvent) -> Option<(ConnectionId, ConnectRequest)> {
    match event {
        ControlEvent::ConnectRequest { connection, request } => Some((*connection, request.clone())),
        _ => None,
    }
}

/// A target and an initiator with a connection between them.
struct Pair {
    target: Machine,
    initiator: Machine,
    accepted: (ConnectionId, QpIndex),
    asked: (ConnectionId, QpIndex),
}

fn connected(target: &str, initiator: &str) -> Pair {
    connect_machines(Machine::new(target), Machine::new(initiator))
}

fn connect_machines(mut target: Machine, mut initiator: Machine) -> Pair {
    let to = target.listen(5555);
    let asked = initiator.connect(to, b"let me in");
    let (connection, request) = run(&mut target, &mut initiator, |target, _| take(&mut target.events, request));
    assert_eq!(&request.private_data[..9], b"let me in");
    assert_eq!((request.local, request.peer.ip(), request.reads_served), (to, initiator.address, 4));

    let queue_pair = target.control.create_queue_pair(connection, GroupId(0), SIZES).expect("a queue pair");
    let qp = target.adopt(queue_pair);
    let private_data: PrivateData = b"welcome".iter().copied().collect();
    let parameters = AcceptParameters { reads_max: request.reads_served, private_data };
    target.control.accept(connection, &parameters).expect("it can be accepted");
    let reply = run(&mut target, &mut initiator, |_, initiator| {
        take(&mut initiator.events, |event| match event {
            ControlEvent::Connected { connection, private_data } if *connection == asked.0 => {
                Some(private_data.clone())
            }
            _ => None,
        })
    });
    assert_eq!(&reply[..7], b"welcome");
    run(&mut target, &mut initiator, |target, _| {
        take(&mut target.events, |event| matches!(event, ControlEvent::Established { .. }).then_some(()))
    });
    Pair { target, initiator, accepted: (connection, qp), asked }
}

impl Pair {
    fn run<T>(&mut self, done: impl FnMut(&mut Machine, &mut Machine) -> Option<T>) -> T {
        run(&mut self.target, &mut self.initiator, done)
    }

    /// The next message at the target.
    fn received(&mut self) -> Vec<u8> {
        self.run(|target, _| take_message(target))
    }
}

fn take_message(machine: &mut Machine) -> Option<Vec<u8>> {
    let index = machine.completions.iter().position(|completion| matches!(completion, Completion::Received { .. }))?;
    match machine.completions.remove(index) {
        Completion::Received { qp, buf, len, .. } => {
            let message = buf.bytes()[..len as usize].to_vec();
            machine.group.post_receive(qp, buf);
            Some(message)
        }
        _ => None,
    }
}

/// A connection, a message each way, a READ, a WRITE, and the end.
pub(super) fn exchange_messages_and_data(target: &str, initiator: &str) {
    let mut pair = connected(target, initiator);
    let (target_qp, initiator_qp) = (pair.accepted.1, pair.asked.1);

    pair.initiator.send(initiator_qp, b"a command");
    assert_eq!(pair.received(), b"a command");

    // Data-out by READ, data-in by WRITE, with the answer behind it.
    let data: Vec<u8> = (0..10_000u32).map(|i| (i * 7) as u8).collect();
    let source = pair.initiator.buffer(&data);
    let (out, out_id) = pair.initiator.group.expose(initiator_qp, source, Access { read: true, write: false });
    let room = pair.target.buffer(&[0; 10_000]);
    let segment = Segment { local_offset: 0, len: 10_000, remote_addr: out.addr, rkey: out.rkey };
    pair.target.group.fetch(target_qp, Fetch { cookie: 1, data: room, segments: &[segment] });
    let fetched = pair.run(|target, _| {
        let index = target.completions.iter().position(|done| matches!(done, Completion::Fetched { .. }))?;
        match target.completions.remove(index) {
            Completion::Fetched { cookie: 1, data, result: Ok(()), .. } => Some(data),
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(fetched.bytes(), &data[..]);

    let sink = pair.initiator.buffer(&[0; 10_000]);
    let (into, into_id) = pair.initiator.group.expose(initiator_qp, sink, Access { read: false, write: true });
    let segment = Segment { local_offset: 0, len: 10_000, remote_addr: into.addr, rkey: into.rkey };
    let message = Some(pair.target.buffer(b"an answer"));
    let deliver = Deliver { cookie: 2, data: Some(fetched), segments: &[segment], message, solicited: true };
    pair.target.group.deliver(target_qp, deliver);
    assert_eq!(pair.run(|_, initiator| take_message(initiator)), b"an answer");
    let sink = pair.initiator.group.withdraw(into_id).expect("it was exposed");
    assert_eq!(sink.bytes(), &data[..]);
    pair.run(|target, _| {
        let done = |done: &Completion| matches!(done, Completion::Delivered { cookie: 2, result: Ok(()), .. });
        target.completions.iter().any(done).then_some(())
    });

    // The initiator leaves: both sides get everything back and are told once.
    pair.initiator.control.disconnect(pair.asked.0);
    pair.run(|target, _| {
        take(&mut target.events, |event| matches!(event, ControlEvent::Disconnected { .. }).then_some(()))
    });
    let (accepted, asked) = (pair.accepted, pair.asked);
    pair.run(|target, initiator| {
        let left = target.group.outstanding(accepted.1) + initiator.group.outstanding(asked.1);
        (left == 0).then_some(())
    });
    for (machine, (connection, qp)) in [(&mut pair.target, accepted), (&mut pair.initiator, asked)] {
        let queue_pair = machine.group.release(qp);
        machine.control.destroy(connection, Some(queue_pair));
    }
    drop(pair.initiator.group.withdraw(out_id));
    pair.target.completions.clear();
    pair.initiator.completions.clear();
    drop(sink);
    assert_eq!((pair.target.pool.available(), pair.initiator.pool.available()), (64, 64), "every buffer is back");
}

#[test]
fn messages_reads_and_writes_over_ipv4() {
    exchange_messages_and_data("127.12.0.1", "127.12.0.2");
}

#[test]
fn a_rejection_carries_its_data() {
    let (mut target, mut initiator) = (Machine::new("127.12.1.1"), Machine::new("127.12.1.2"));
    let to = target.listen(5555);
    let (connection, _) = initiator.connect(to, b"who cares");
    let (asked, _) = run(&mut target, &mut initiator, |target, _| take(&mut target.events, request));
    target.control.reject(asked, b"not you");
    target.control.destroy(asked, None);
    let (reason, data) = run(&mut target, &mut initiator, |_, initiator| {
        take(&mut initiator.events, |event| match event {
            ControlEvent::Rejected { connection: id, reason, private_data } if *id == connection => {
                Some((*reason, private_data.clone()))
            }
            _ => None,
        })
    });
    assert_eq!((reason, &data[..7]), (28, &b"not you"[..]));
}

#[test]
fn a_port_without_a_listener_is_rejected_by_the_connection_manager() {
    let (mut target, mut initiator) = (Machine::new("127.12.2.1"), Machine::new("127.12.2.2"));
    let to = target.listen(5555);
    initiator.connect(SocketAddr::new(to.ip(), 5556), b"");
    let reason = run(&mut target, &mut initiator, |_, initiator| {
        take(&mut initiator.events, |event| match event {
            ControlEvent::Rejected { reason, .. } => Some(*reason),
            _ => None,
        })
    });
    assert_eq!(reason, 8, "invalid service id");
}

/// A target that is killed and started again knows nothing of its old connections.
#[test]
fn a_peer_that_vanished_is_found_out_by_a_keepalive() {
    let mut pair = connected("127.12.3.1", "127.12.3.2");
    let qp = pair.accepted.1;
    drop(pair.initiator);
    pair.target.group.keepalive(qp);
    let end = Instant::now() + PATIENCE;
    while pair.target.group.outstanding(qp) > 0 {
        pair.target.step();
        pair.target.completions.clear();
        assert!(Instant::now() < end, "the queue pair never failed");
    }
    let failed = |event: &ControlEvent| matches!(event, ControlEvent::Disconnected { .. }).then_some(());
    while take(&mut pair.target.events, failed).is_none() {
        pair.target.step();
        assert!(Instant::now() < end, "the control side was never told");
    }
}

#[test]
fn an_address_that_nobody_has_is_a_reason_to_wait() {
    let mut machine = Machine::new("127.12.4.1");
    let listener = machine.control.listen("192.0.2.77:5555".parse().expect("an address")).expect("it may come");
    match machine.control.listener_state(listener) {
        ListenerState::Waiting(why) => assert!(why.contains("192.0.2.77"), "{why}"),
        state => panic!("{state:?}"),
    }
}

#[test]
fn a_port_that_another_control_side_has_is_a_reason_to_wait() {
    let (mut first, mut second) = (Machine::new("127.12.5.1"), Machine::new("127.12.5.1"));
    first.listen(5555);
    let listener = second.control.listen(SocketAddr::new(second.address, 5555)).expect("it may become free");
    match second.control.listener_state(listener) {
        ListenerState::Waiting(why) => assert!(why.contains("4791") && why.contains("in use"), "{why}"),
        state => panic!("{state:?}"),
    }
}

/// Someone who sends what it likes from an address of its own, with a right ICRC.
struct Stranger {
    socket: UdpSocket,
    flow: Flow,
    to: SocketAddr,
}

impl Stranger {
    fn new(here: &str, to: IpAddr) -> Stranger {
        let here: SocketAddr = format!("{here}:{UDP_PORT}").parse().expect("an address");
        let to = SocketAddr::new(to, UDP_PORT);
        Stranger { socket: UdpSocket::bind(here).expect("a free address"), flow: Flow::new(here, to), to }
    }

    fn send(&self, headers: &Headers, payload: &[u8]) {
        let mut packet = [0; 512];
        let at = headers.emit(&mut packet);
        let end = at + payload.len();
        packet[at..end].copy_from_slice(payload);
        let icrc = self.flow.icrc(0, &packet[..end]);
        packet[end..end + 4].copy_from_slice(&icrc.to_le_bytes());
        self.send_bytes(&packet[..end + 4]);
    }

    fn send_bytes(&self, bytes: &[u8]) {
        self.socket.send_to(bytes, self.to).expect("loopback takes it");
    }
}

/// Number and expected PSN of the target's end, which a stranger may have guessed.
fn target_end(pair: &Pair) -> (u32, Psn) {
    let crate::Control::Roce(control) = &pair.target.control else { unreachable!("it is RoCE") };
    control.end_of(pair.accepted.0).expect("it has a queue pair")
}

fn counters(machine: &mut Machine) -> Counters {
    let crate::Control::Roce(control) = &mut machine.control else { unreachable!("it is RoCE") };
    control.counters()
}

/// Rubbish, forgeries and floods are dropped and counted by reason, and the connection beside them notices nothing.
/// On a slow machine (AddressSanitizer) it failed: every two requests had the same communication id, so that 493 of them were 247, fewer than are too many.
#[test]
fn strangers_do_not_reach_a_connection() {
    let mut pair = connected("127.12.6.1", "127.12.6.2");
    let stranger = Stranger::new("127.12.6.3", pair.target.address);
    let (qpn, psn) = target_end(&pair);
    let start = Instant::now();
    let mut sent = 0u32;
    let mut answers = 0;
    // Until the counters are published, which is once a second.
    let is_published = |pair: &mut Pair| counters(&mut pair.target).groups.unknown_qp > 0;
    while !is_published(&mut pair) && start.elapsed() < Duration::from_secs(20) {
        stranger.send_bytes(&[0xff; 5]);
        stranger.send_bytes(&[sent as u8; 200]); // with a wrong ICRC
        stranger.send(&Headers::new(Opcode::SendOnly, qpn, psn), b"forged: the right number and PSN");
        stranger.send(&Headers::new(Opcode::SendOnly, qpn ^ 0x10_0000, psn), b"for nobody");
        let deth = Some(Deth { qkey: GSI_QKEY, source_qp: GSI_QP });
        let datagram = Headers { deth, ..Headers::new(Opcode::UdSendOnly, GSI_QP, Psn::new(sent)) };
        stranger.send(&datagram, &request_mad(sent, pair.target.address));
        stranger.send(&datagram, &[sent as u8; 256]);
        sent += 1;

        pair.initiator.send(pair.asked.1, b"a command");
        assert_eq!(pair.received(), b"a command");
        pair.initiator.completions.clear(); // what was sent came back
        answers += 1;
    }
    assert!(answers > 0 && sent > 0);
    assert!(
        !pair.target.completions.iter().any(|done| matches!(done, Completion::Received { .. })),
        "nothing else arrived"
    );

    let found = counters(&mut pair.target);
    assert!(found.packets.malformed + found.cm_packets.malformed > 0, "{found:?}");
    assert!(found.packets.icrc_errors + found.cm_packets.icrc_errors > 0, "{found:?}");
    assert!(found.groups.wrong_peer > 0 && found.groups.unknown_qp > 0, "{found:?}");
    assert!(found.cm.malformed > 0, "{found:?}");
    // Each request is from another queue pair and is never completed: they stay bounded.
    let half_open = pair.target.events.iter().filter(|event| request(event).is_some()).count();
    assert!(half_open <= 256, "{half_open} half-open requests");
    assert!(sent < 300 || found.cm.overload > 0, "{sent} requests, {found:?}");
}

/// A request for a connection as the kernel sends it, from queue pair `number`.
fn request_mad(number: u32, to: IpAddr) -> [u8; 256] {
    let options = CmOptions { node_guid: 1, seed: 2 * u64::from(number) + 1, half_open_max: 1 };
    let mut cm = Cm::new(options);
    let path = Path { local: "127.12.6.3:4791".parse().expect("an address"), peer: SocketAddr::new(to, UDP_PORT) };
    let request = CmRequest {
        port: 5555,
        source_port: 1234,
        remote_qpn: 0x100 + number,
        passive_sends_from: Psn::new(7),
        responder_resources: 4,
        initiator_depth: 0,
        mtu: 1024,
        ack_timeout: 14,
        retry_count: 7,
        rnr_retry: 7,
        flow_control: false,
        private_data: PrivateData::new(),
    };
    cm.connect(0, &path, request);
    cm.next_mad(0).expect("a request").1
}

/// A target that was killed said nothing to its initiators, and Linux' soft-RoCE would repeat its packets until the commands of the SCSI layer time out,
/// which took 75 s, while the target was there again after one.
#[test]
fn the_next_process_ends_the_connections_of_one_that_ended_without_a_word() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = || Options { ledger: Some(folder.path().join("connections")), ..Options::default() };
    let (here, there) = ("127.77.15.1", "127.77.15.2");
    let Pair { target, mut initiator, asked, .. } =
        connect_machines(Machine::with(here, options()), Machine::new(there));
    drop(target);
    let mut next = Machine::with(here, options());
    next.listen(5555);
    let disconnected =
        |event: &ControlEvent| matches!(event, ControlEvent::Disconnected { .. }).then(|| event.connection());
    let ended = run(&mut next, &mut initiator, |_, initiator| take(&mut initiator.events, disconnected));
    assert_eq!(ended, Some(asked.0));
    assert!(next.events.iter().all(|event| event.connection().is_none()), "{:?}", next.events);
    // One that was ended is of no interest to the process after that.
    drop(next);
    let text = std::fs::read_to_string(folder.path().join("connections")).expect("a file");
    assert!(text.starts_with("+ ") && text.contains("\n- "), "{text}");
    let (_, remains) = super::ledger::Ledger::open(&folder.path().join("connections")).expect("a file");
    assert_eq!(remains, []);
}
