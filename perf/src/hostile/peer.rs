//! Connections that may do anything: bytes of any kind in a login or on a channel, and silence.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use fabric::{
    Access, Completion, Connect, ConnectionId, ControlEvent, ExposureId, GroupId, PrivateData, QpIndex, QueuePairSizes,
    RemoteMemory,
};
use hugepage_setup::AllocationRequest;
use mem::{IoBuf, Pool, PoolLayout, Region};
use reactor::{Clock, SystemClock};

use crate::connector::{Connector, FabricOptions};
use crate::endpoint::{Endpoint, QueuePair};

/// Bytes of the longest message that can be sent: longer than what any target takes.
pub const MESSAGE_BYTES: usize = 16384;
/// Messages that one connection can have under way.
pub const SENDS: usize = 512;
/// Receives of a connection that reads.
const RECEIVES: usize = 256;
/// Bytes of a receive: as in `initiator/memory.rs`.
const RECEIVE_BYTES: usize = 512;
/// Connections there can be at once.
pub const CONNECTIONS: usize = 32;
/// Bytes of the memory that the target is let into.
pub const EXPOSED_BYTES: usize = 1 << 20;
/// Bytes of private data that a request over RDMA/CM has room for.
pub const PRIVATE_DATA_BYTES: usize = 56;
/// RDMA READs that we serve at once.
const READS_SERVED: u8 = 4;

/// Names a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wire(usize);

/// What the connection manager said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// With this private data.
    Accepted(PrivateData),
    /// With this reason and private data.
    Refused(u16, PrivateData),
    /// The connection ended, or nobody answered.
    Ended,
}

/// What came by a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    /// A message.
    Message(Vec<u8>),
    /// It ended.
    End,
    /// Nothing, for as long as one waits.
    Silence,
}

/// One end of all connections; of one thread, which does everything.
pub struct Peer {
    connector: Connector,
    endpoint: Endpoint,
    clock: SystemClock,
    local: IpAddr,
    to: SocketAddr,
    patience: Duration,
    messages: Pool,
    receives: Pool,
    data: Pool,
    wires: Vec<Option<Connection>>,
}

struct Connection {
    id: ConnectionId,
    qp: QpIndex,
    answer: Option<Answer>,
    inbox: VecDeque<Vec<u8>>,
    /// Messages that have not come back.
    under_way: usize,
    /// Receives are posted again.
    reads: bool,
    exposed: Option<ExposureId>,
    ended: bool,
}

impl Peer {
    /// An end without connections.
    ///
    /// # Errors
    /// There is no memory.
    pub fn new(fabric: &FabricOptions, local: IpAddr, to: SocketAddr, patience: Duration) -> anyhow::Result<Peer> {
        let mut connector = Connector::new(fabric);
        let sizes = [(CONNECTIONS * 16 + SENDS, MESSAGE_BYTES), (CONNECTIONS * RECEIVES, RECEIVE_BYTES)];
        let bytes = |(count, size): (usize, usize)| count * size;
        let own = region(bytes(sizes[0]) + bytes(sizes[1]))?;
        let exposed = region(EXPOSED_BYTES)?;
        connector.add_region(Arc::clone(&own));
        connector.add_exposed_region(Arc::clone(&exposed));
        let layout = |offset, (count, size)| PoolLayout { offset, stride: size, size, count };
        Ok(Peer {
            endpoint: connector.create_endpoint(GroupId(0)).settle(),
            connector,
            clock: SystemClock::new(),
            local,
            to,
            patience,
            messages: Pool::new(Arc::clone(&own), layout(0, sizes[0])),
            receives: Pool::new(own, layout(bytes(sizes[0]), sizes[1])),
            data: Pool::new(exposed, layout(0, (1, EXPOSED_BYTES))),
            wires: Vec::new(),
        })
    }

    /// Asks for a connection. Its receives, if it is to read at all, are posted at once.
    ///
    /// # Errors
    /// Our address cannot be used.
    pub fn connect(&mut self, private_data: &[u8], reads: bool) -> anyhow::Result<Wire> {
        let connect = Connect {
            local: self.local,
            to: self.to,
            group: GroupId(0),
            sizes: QueuePairSizes { receives: RECEIVES as u32, sends: SENDS as u32 },
            reads_served: READS_SERVED,
            private_data: private_data.iter().copied().take(PRIVATE_DATA_BYTES).collect(),
        };
        let (id, queue_pair) = self.connector.connect(self.clock.now().0, &connect).context("--local")?;
        let qp = self.endpoint.adopt(queue_pair);
        let receives = if reads { RECEIVES } else { 1 };
        for _ in 0..receives {
            let Some(buf) = self.receives.get() else { break };
            self.endpoint.post_receive(qp, buf);
        }
        self.endpoint.ring();
        let (inbox, answer) = (VecDeque::new(), None);
        let connection = Connection { id, qp, answer, inbox, under_way: 0, reads, exposed: None, ended: false };
        let free = self.wires.iter().position(Option::is_none).unwrap_or(self.wires.len());
        if free == self.wires.len() {
            self.wires.push(None);
        }
        self.wires[free] = Some(connection);
        Ok(Wire(free))
    }

    /// What the target says of the request for it.
    pub fn answer(&mut self, wire: Wire) -> Answer {
        let answered = |connection: &mut Connection| match connection.answer.take() {
            None if connection.ended => Some(Answer::Ended),
            answer => answer,
        };
        self.wait(wire, answered).unwrap_or(Answer::Ended)
    }

    /// The same, if it is there already.
    pub fn try_answer(&mut self, wire: Wire) -> Option<Answer> {
        self.poll();
        let connection = self.connection(wire)?;
        match connection.answer.take() {
            None if connection.ended => Some(Answer::Ended),
            answer => answer,
        }
    }

    /// Sends bytes. Where too much is under way, it waits for some of it first.
    pub fn send(&mut self, wire: Wire, bytes: &[u8]) {
        let room = |connection: &mut Connection| (connection.ended || connection.under_way < SENDS).then_some(());
        self.wait(wire, room);
        let Some(mut buf) = self.messages.get() else { return };
        let Some(connection) = self.connection(wire).filter(|it| !it.ended && it.under_way < SENDS) else { return };
        connection.under_way += 1;
        let qp = connection.qp;
        let bytes = &bytes[..bytes.len().min(MESSAGE_BYTES)];
        buf.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
        self.endpoint.send(qp, IoBuf::new(buf, 0..bytes.len()));
        self.endpoint.ring();
    }

    /// The next message.
    pub fn next(&mut self, wire: Wire) -> Heard {
        let heard = |connection: &mut Connection| match connection.inbox.pop_front() {
            Some(message) => Some(Heard::Message(message)),
            None => connection.ended.then_some(Heard::End),
        };
        self.wait(wire, heard).unwrap_or(Heard::Silence)
    }

    /// Lets time pass, in which nothing is done: no answer, no acknowledgement of a fabric that is ours.
    pub fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }

    /// Memory that the target may read and write through one connection, until that ends; `None` if it is exposed already.
    pub fn expose(&mut self, wire: Wire) -> Option<RemoteMemory> {
        let qp = self.connection(wire)?.qp;
        let data = IoBuf::new(self.data.get()?, 0..EXPOSED_BYTES);
        let (memory, id) = self.endpoint.expose(qp, data, Access { read: true, write: true });
        self.connection(wire)?.exposed = Some(id);
        Some(memory)
    }

    /// Ends a connection, and waits until everything came back.
    pub fn close(&mut self, wire: Wire) {
        let Some(connection) = self.connection(wire) else { return };
        let (id, qp, exposed) = (connection.id, connection.qp, connection.exposed.take());
        self.connector.disconnect(id);
        let deadline = self.clock.now().plus(self.patience);
        while self.endpoint.outstanding(qp) > 0 && self.clock.now() < deadline {
            self.poll();
        }
        // Dropped, it is free again.
        let _ = exposed.and_then(|exposed| self.endpoint.withdraw(exposed));
        if self.endpoint.outstanding(qp) == 0 {
            let queue_pair: QueuePair = self.endpoint.release(qp);
            self.connector.destroy(id, queue_pair);
        }
        self.wires[wire.0] = None;
    }

    /// Ends all connections.
    pub fn close_all(&mut self) {
        for number in 0..self.wires.len() {
            self.close(Wire(number));
        }
    }

    fn connection(&mut self, wire: Wire) -> Option<&mut Connection> {
        self.wires.get_mut(wire.0)?.as_mut()
    }

    /// Goes on until something is there; `None`: the patience is over, or the connection is closed.
    fn wait<T>(&mut self, wire: Wire, mut there: impl FnMut(&mut Connection) -> Option<T>) -> Option<T> {
        let deadline = self.clock.now().plus(self.patience);
        loop {
            if let Some(found) = there(self.connection(wire)?) {
                return Some(found);
            }
            if self.clock.now() >= deadline {
                return None;
            }
            if self.poll() == 0 {
                std::thread::sleep(Duration::from_micros(50));
            }
        }
    }

    /// Looks after everything once; how much there was.
    pub fn poll(&mut self) -> usize {
        let now = self.clock.now();
        let (mut events, mut completions) = (Vec::new(), Vec::new());
        self.connector.poll(now, &mut |event| events.push(event));
        self.endpoint.poll(now.0, &mut |completion| completions.push(completion));
        let count = events.len() + completions.len();
        completions.into_iter().for_each(|completion| self.on_completion(completion));
        events.into_iter().for_each(|event| self.on_event(event));
        self.endpoint.ring();
        count
    }

    fn on_event(&mut self, event: ControlEvent) {
        let id = event.connection();
        let Some(connection) = self.wires.iter_mut().flatten().find(|connection| Some(connection.id) == id) else {
            return;
        };
        match event {
            ControlEvent::Connected { private_data, .. } => connection.answer = Some(Answer::Accepted(private_data)),
            ControlEvent::Rejected { reason, private_data, .. } => {
                connection.answer = Some(Answer::Refused(reason, private_data));
                connection.ended = true;
            }
            ControlEvent::Disconnected { .. } => connection.ended = true,
            _ => {}
        }
    }

    fn on_completion(&mut self, completion: Completion) {
        let of = |wires: &[Option<Connection>], qp| {
            wires.iter().position(|it| it.as_ref().is_some_and(|connection| connection.qp == qp))
        };
        match completion {
            Completion::Received { qp, buf, len } => {
                let Some(connection) = of(&self.wires, qp).and_then(|at| self.wires[at].as_mut()) else { return };
                connection.inbox.push_back(buf.bytes()[..len as usize].to_vec());
                if connection.reads {
                    self.endpoint.post_receive(qp, buf);
                }
            }
            Completion::ReceiveFlushed { qp, .. } => {
                if let Some(connection) = of(&self.wires, qp).and_then(|at| self.wires[at].as_mut()) {
                    connection.ended = true;
                }
            }
            Completion::Delivered { qp, result, .. } => {
                if let Some(connection) = of(&self.wires, qp).and_then(|at| self.wires[at].as_mut()) {
                    connection.under_way -= 1;
                    connection.ended |= result.is_err();
                }
            }
            Completion::Fetched { .. } => {}
        }
    }
}

fn region(bytes: usize) -> anyhow::Result<Arc<Region>> {
    let mapping = hugepage_setup::allocate(&AllocationRequest::new(bytes)).context("cannot allocate buffers")?;
    Ok(Region::new(mapping))
}
