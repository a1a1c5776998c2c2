//! A target as small as one can be: it keeps receives posted, records what comes back, and lets go of connections that ended.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use mem::{Buf, IoBuf, Pool, testing};

use super::super::*;
use crate::{
    AcceptParameters, Completion, ConnectionId, ControlEvent, Deliver, Fetch, GroupId, ListenerId, QpIndex,
    QueuePairSizes, SEGMENTS_MAX, Segment, WorkError,
};

pub(super) const SIZES: QueuePairSizes = QueuePairSizes { receives: 8, sends: 4 * (SEGMENTS_MAX as u32 + 1) };
pub(super) const MESSAGE: usize = 256;
pub(super) const DATA: usize = 16 * 1024;
const BUFFERS: usize = 256;

pub(super) struct Target {
    pub(super) control: crate::Control,
    pub(super) group: crate::PollGroup,
    pub(super) messages: Pool,
    pub(super) data: Pool,
    pub(super) listener: ListenerId,
    /// What `accept` says to the next request; receives to post before.
    pub(super) reads_max: u8,
    pub(super) receives: u32,
    pub(super) channels: BTreeMap<ConnectionId, Channel>,
    /// Connections that were let go of.
    pub(super) gone: Vec<ConnectionId>,
    pub(super) devices: Vec<ControlEvent>,
}

/// One connection and what it went through.
#[derive(Default)]
pub(super) struct Channel {
    pub(super) qp: Option<QpIndex>,
    pub(super) established: bool,
    pub(super) disconnected: Option<&'static str>,
    pub(super) ending: bool,
    pub(super) messages: Vec<Vec<u8>>,
    pub(super) results: Vec<(u64, Result<(), WorkError>)>,
    /// What the last fetch brought.
    pub(super) fetched: Vec<Vec<u8>>,
}

pub(super) fn address() -> SocketAddr {
    "192.0.2.1:5555".parse().expect("an address")
}

pub(super) fn options() -> ConnectOptions {
    ConnectOptions {
        peer: "192.0.2.9:40000".parse().expect("an address"),
        to: address(),
        private_data: b"request".to_vec(),
        reads_served: 4,
        receives: 64,
        receive_len: MESSAGE as u32,
    }
}

impl Target {
    pub(super) fn new(network: &Network) -> Target {
        let mut control = crate::Control::Sim(network.control());
        let region = testing::region(BUFFERS * (DATA + MESSAGE));
        control.add_region(std::sync::Arc::clone(&region));
        let layout = mem::PoolLayout { offset: 0, stride: DATA, size: DATA, count: BUFFERS };
        let data = Pool::new(std::sync::Arc::clone(&region), layout);
        let layout = mem::PoolLayout { offset: BUFFERS * DATA, stride: MESSAGE, size: MESSAGE, count: BUFFERS };
        let messages = Pool::new(region, layout);
        let group = control.create_poll_group(GroupId(0));
        let listener = control.listen(address()).expect("the address is free");
        Target {
            control,
            group,
            messages,
            data,
            listener,
            reads_max: 4,
            receives: 4,
            channels: BTreeMap::new(),
            gone: Vec::new(),
            devices: Vec::new(),
        }
    }

    /// One round: events, completions, goodbyes. Returns how much happened.
    pub(super) fn step(&mut self) -> usize {
        let mut events = Vec::new();
        self.control.poll(0, &mut |event| events.push(event));
        let mut happened = events.len();
        events.into_iter().for_each(|event| self.on_event(event));
        let mut completions = Vec::new();
        happened += self.group.poll(0, &mut |completion| completions.push(completion));
        completions.into_iter().for_each(|completion| self.on_completion(completion));
        self.group.ring();
        self.let_go();
        happened
    }

    /// Rounds until nothing happens without time passing.
    pub(super) fn settle(&mut self) {
        while self.step() > 0 {}
    }

    fn on_event(&mut self, event: ControlEvent) {
        match event {
            ControlEvent::ConnectRequest { connection, .. } => self.accept(connection),
            ControlEvent::Established { connection } => {
                let channel = self.channels.get_mut(&connection).expect("events are about known connections");
                assert!(!std::mem::replace(&mut channel.established, true), "established twice");
                assert_eq!(channel.disconnected, None, "established after the end");
            }
            ControlEvent::Disconnected { connection, reason } => {
                let channel = self.channels.get_mut(&connection).expect("events are about known connections");
                assert_eq!(channel.disconnected.replace(reason), None, "disconnected twice");
                channel.ending = true;
            }
            device => self.devices.push(device),
        }
    }

    fn accept(&mut self, connection: ConnectionId) {
        let mut channel = Channel::default();
        match self.control.create_queue_pair(connection, GroupId(0), SIZES) {
            Ok(queue_pair) => {
                let qp = self.group.adopt(queue_pair);
                channel.qp = Some(qp);
                for _ in 0..self.receives {
                    self.group.post_receive(qp, self.messages.get().expect("enough message buffers"));
                }
                self.group.ring();
                let private_data = b"reply".iter().copied().collect();
                let parameters = AcceptParameters { reads_max: self.reads_max, private_data };
                if self.control.accept(connection, &parameters).is_err() {
                    self.control.disconnect(connection);
                    channel.ending = true;
                }
            }
            Err(_) => {
                self.control.reject(connection, b"no");
                channel.ending = true;
            }
        }
        self.channels.insert(connection, channel);
    }

    fn on_completion(&mut self, completion: Completion) {
        match completion {
            Completion::Received { qp, buf, len } => {
                let channel = self.channel_of(qp);
                channel.messages.push(buf.bytes()[..len as usize].to_vec());
                if channel.ending {
                    drop(buf);
                } else {
                    self.group.post_receive(qp, buf);
                }
            }
            Completion::ReceiveFlushed { qp, buf } => {
                drop(buf);
                self.channel_of(qp).ending = true;
            }
            Completion::Fetched { qp, cookie, data, result } => {
                let channel = self.channel_of(qp);
                channel.results.push((cookie, result));
                if result.is_ok() {
                    channel.fetched.push(data.bytes().to_vec());
                }
                channel.ending |= result.is_err();
            }
            Completion::Delivered { qp, cookie, result, .. } => {
                let channel = self.channel_of(qp);
                channel.results.push((cookie, result));
                channel.ending |= result.is_err();
            }
        }
    }

    /// Ends what is ending, and destroys what has nothing outstanding.
    fn let_go(&mut self) {
        let ending: Vec<_> = self.channels.iter().filter(|(_, c)| c.ending).map(|(id, c)| (*id, c.qp)).collect();
        for (connection, qp) in ending {
            self.control.disconnect(connection);
            let queue_pair = match qp {
                Some(qp) if self.group.outstanding(qp) > 0 => continue,
                Some(qp) => Some(self.group.release(qp)),
                None => None,
            };
            self.control.destroy(connection, queue_pair);
            let channel = self.channels.remove(&connection).expect("just seen");
            self.gone.push(connection);
            drop(channel);
        }
    }

    pub(super) fn channel_of(&mut self, qp: QpIndex) -> &mut Channel {
        self.channels.values_mut().find(|channel| channel.qp == Some(qp)).expect("a completion of a known queue pair")
    }

    /// The channel of an initiator.
    pub(super) fn channel(&mut self, initiator: &Initiator) -> &mut Channel {
        self.channels.get_mut(&initiator.connection()).expect("the channel is there")
    }

    pub(super) fn qp(&mut self, initiator: &Initiator) -> QpIndex {
        self.channel(initiator).qp.expect("it has a queue pair")
    }

    pub(super) fn is_gone(&self, initiator: &Initiator) -> bool {
        self.gone.contains(&initiator.connection())
    }

    pub(super) fn message(&self, bytes: &[u8]) -> IoBuf {
        let mut buf = self.messages.get().expect("enough message buffers");
        buf.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
        IoBuf::new(buf, 0..bytes.len())
    }

    pub(super) fn data(&self) -> Buf {
        self.data.get().expect("enough data buffers")
    }

    pub(super) fn send(&mut self, qp: QpIndex, cookie: u64, bytes: &[u8]) {
        let message = Some(self.message(bytes));
        self.group.deliver(qp, Deliver { cookie, data: None, segments: &[], message, solicited: false });
        self.group.ring();
    }

    pub(super) fn fetch(&mut self, qp: QpIndex, cookie: u64, pieces: &[Piece]) {
        let (segments, len) = segments(pieces);
        let data = IoBuf::new(self.data(), 0..len);
        self.group.fetch(qp, Fetch { cookie, data, segments: &segments });
        self.group.ring();
    }

    pub(super) fn deliver(&mut self, qp: QpIndex, cookie: u64, fill: u8, pieces: &[Piece], message: Option<&[u8]>) {
        let (segments, len) = segments(pieces);
        let mut data = IoBuf::new(self.data(), 0..len);
        data.bytes_mut().fill(fill);
        let message = message.map(|bytes| self.message(bytes));
        self.group.deliver(qp, Deliver { cookie, data: Some(data), segments: &segments, message, solicited: false });
        self.group.ring();
    }

    pub(super) fn all_buffers_are_back(&self) -> bool {
        self.messages.available() == self.messages.capacity() && self.data.available() == self.data.capacity()
    }
}

/// Part of registered memory: key, address, length.
pub(super) type Piece = (u32, u64, u32);

fn segments(pieces: &[Piece]) -> (crate::Segments, usize) {
    let mut offset = 0;
    let segments = pieces.iter().map(|&(rkey, remote_addr, len)| {
        offset += len;
        Segment { local_offset: offset - len, len, remote_addr, rkey }
    });
    (segments.collect(), pieces.iter().map(|piece| piece.2 as usize).sum())
}

/// A target and one connected initiator on a network where nothing takes time.
pub(super) fn connected(options: SimOptions) -> (Network, Target, Initiator) {
    connected_as(options, self::options())
}

pub(super) fn connected_as(options: SimOptions, connect: ConnectOptions) -> (Network, Target, Initiator) {
    let network = Network::new(1, options);
    let mut target = Target::new(&network);
    let mut initiator = network.host().connect(connect);
    run(&network, &mut target);
    assert!(matches!(initiator.poll(), Some(InitiatorEvent::Established { .. })));
    (network, target, initiator)
}

/// Everything that happens by itself within a virtual minute.
pub(super) fn run(network: &Network, target: &mut Target) {
    let end = network.now() + Duration::from_secs(60);
    target.settle();
    while let Some(next) = network.next_event().filter(|next| network.now() + *next <= end) {
        network.advance(next);
        target.settle();
    }
}
