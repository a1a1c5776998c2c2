//! The other end: hosts with memory, and their connections to the target, for a test to play the initiator with.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::cm::CmMessage;
use super::connection::{Connection, InitiatorEnd, InitiatorState, Link, Phase, TargetEnd};
use super::faults::Ending;
use super::memory::{Access, Registration};
use super::world::{Direction, Shared};
use crate::{ConnectionId, ListenerId, PRIVATE_DATA_MAX, PrivateData};

/// A machine with an RDMA device: memory that the target can reach, shared by all connections of the machine. Cloning
/// gives another handle on the same machine.
#[derive(Clone, Debug)]
pub struct Host {
    shared: Shared,
    number: u32,
}

/// One connection of a [`Host`]. Dropping it disconnects, as the end of a process does.
#[derive(Debug)]
pub struct Initiator {
    host: Host,
    id: ConnectionId,
}

/// What an initiator asks for.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// Our address.
    pub peer: SocketAddr,
    /// Where to: the address of a listener.
    pub to: SocketAddr,
    /// Private data of the request (SRP_LOGIN_REQ).
    pub private_data: Vec<u8>,
    /// RDMA READs that we serve at once; 4 with `ib_srp`.
    pub reads_served: u8,
    /// Receives posted before connecting. None with `ib_srp`: it posts them when it is established.
    pub receives: u32,
    /// Length of every receive in bytes.
    pub receive_len: u32,
}

/// What happens to a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum InitiatorEvent {
    /// The target accepted.
    Established {
        /// Private data of the reply; a fixed-size message may have padded it with zeroes.
        private_data: Vec<u8>,
    },
    /// The target, or the connection manager for want of a listener, refused.
    Rejected {
        /// Private data of the refusal; empty when the connection manager refused.
        private_data: Vec<u8>,
    },
    /// It ended.
    Disconnected {
        /// Why.
        reason: &'static str,
    },
}

/// The connection is not, or no more, established.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the connection is not established")]
pub struct NotConnected;

impl Host {
    pub(super) fn new(shared: Shared) -> Host {
        let mut world = shared.lock();
        world.hosts += 1;
        let number = world.hosts - 1;
        drop(world);
        Host { shared, number }
    }

    /// Asks for a connection; [`Initiator::poll`] tells what became of it.
    ///
    /// # Panics
    /// If the private data are longer than [`PRIVATE_DATA_MAX`].
    pub fn connect(&self, options: ConnectOptions) -> Initiator {
        let request_data = PrivateData::try_from(options.private_data.as_slice())
            .unwrap_or_else(|_| panic!("a request carries at most {PRIVATE_DATA_MAX} bytes of private data"));
        let mut world = self.shared.lock();
        let id = world.connections.insert(|id| Connection {
            id,
            phase: Phase::Requesting,
            device: 0,
            peer: options.peer,
            to: options.to,
            request_data,
            reply_data: PrivateData::new(),
            dead: false,
            target: TargetEnd {
                control: None,
                listener: ListenerId(0),
                told: false,
                given_up: false,
                leaving: false,
                qp: None,
                cm_due: 0,
            },
            initiator: InitiatorEnd {
                state: InitiatorState::Connecting,
                held: true,
                host: self.number,
                events: VecDeque::new(),
                inbox: VecDeque::new(),
                receives: options.receives,
                receive_len: options.receive_len,
                reads_served: options.reads_served,
                answers: VecDeque::new(),
                read_due: 0,
                cm_due: 0,
            },
            to_target: Link::new(),
            to_initiator: Link::new(),
            replies: Link::new(),
        });
        world.cm_to_target(id, CmMessage::Request);
        drop(world);
        Initiator { host: self.clone(), id }
    }

    /// Registers `len` bytes of zeroed memory.
    pub fn register(&self, len: u32, access: Access) -> Registration {
        let mut world = self.shared.lock();
        let world = &mut *world;
        world.memory.register(self.number, len, access, &mut world.random)
    }

    /// Makes the key invalid (`ib_srp` does so with every response). The memory itself stays readable here.
    pub fn invalidate(&self, registration: &Registration) {
        self.shared.lock().memory.invalidate(self.number, registration);
    }

    /// The same memory under a new key and a new address; the old ones no longer work.
    pub fn renew(&self, registration: &Registration) -> Registration {
        let mut world = self.shared.lock();
        let world = &mut *world;
        world.memory.renew(self.number, registration, &mut world.random)
    }

    /// Gives the memory back.
    pub fn deregister(&self, registration: Registration) {
        self.shared.lock().memory.deregister(self.number, &registration);
    }

    /// Puts `bytes` into registered memory at `offset`.
    ///
    /// # Panics
    /// If they do not lie in it.
    pub fn write(&self, registration: &Registration, offset: usize, bytes: &[u8]) {
        let mut world = self.shared.lock();
        world.memory.bytes(self.number, registration)[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    /// Copies registered memory from `offset` on into `bytes`.
    ///
    /// # Panics
    /// If it ends before that.
    pub fn read(&self, registration: &Registration, offset: usize, bytes: &mut [u8]) {
        let mut world = self.shared.lock();
        let len = bytes.len();
        bytes.copy_from_slice(&world.memory.bytes(self.number, registration)[offset..offset + len]);
    }
}

impl Initiator {
    /// The connection's id, the same that the target sees.
    pub fn connection(&self) -> ConnectionId {
        self.id
    }

    /// The machine that it belongs to.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// What happened since the last call, oldest first.
    pub fn poll(&mut self) -> Option<InitiatorEvent> {
        self.with(|connection| connection.initiator.events.pop_front())
    }

    /// Whether messages can be sent now.
    pub fn is_connected(&self) -> bool {
        self.with(|connection| connection.initiator.state == InitiatorState::Connected)
    }

    /// Posts `count` more receives.
    pub fn post_receives(&mut self, count: u32) {
        let stalled = self.with(|connection| {
            connection.initiator.receives += count;
            connection.to_initiator.not_ready
        });
        if stalled {
            self.host.shared.lock().pump(self.id, Direction::ToInitiator);
        }
    }

    /// Changes the length of all receives, also of those that are posted: an SRP initiator learns in the reply how long they
    /// must be.
    pub fn set_receive_len(&mut self, len: u32) {
        self.with(|connection| connection.initiator.receive_len = len);
    }

    /// Receives posted and not used yet.
    pub fn receives_posted(&self) -> u32 {
        self.with(|connection| connection.initiator.receives)
    }

    /// Sends a message.
    ///
    /// # Errors
    /// [`NotConnected`]; a message that is sent may still be lost with its connection.
    pub fn send(&mut self, message: &[u8]) -> Result<(), NotConnected> {
        let mut world = self.host.shared.lock();
        world.run_due();
        if world.send_message(self.id, message) { Ok(()) } else { Err(NotConnected) }
    }

    /// The next message, if one arrived. It used up one receive.
    pub fn receive(&mut self) -> Option<Vec<u8>> {
        let mut message = Vec::new();
        self.receive_into(&mut message).then_some(message)
    }

    /// As [`Initiator::receive`], into `message`, which is overwritten; false if nothing arrived.
    pub fn receive_into(&mut self, message: &mut Vec<u8>) -> bool {
        let mut world = self.host.shared.lock();
        world.run_due();
        let Some(connection) = world.connections.get_mut(self.id) else { return false };
        let Some(data) = connection.initiator.inbox.pop_front() else { return false };
        message.clear();
        message.extend_from_slice(&data);
        world.spares.put(data);
        true
    }

    /// Disconnects. Messages that arrived before can still be received.
    pub fn disconnect(&mut self) {
        self.host.shared.lock().initiator_leaves(self.id);
    }

    /// The machine is gone from one moment to the next: the target hears nothing, and notices when it sends something.
    pub fn vanish(&mut self) {
        self.host.shared.lock().end(self.id, Ending::PeerVanished);
    }

    fn with<T>(&self, look: impl FnOnce(&mut Connection) -> T) -> T {
        let mut world = self.host.shared.lock();
        world.run_due();
        look(world.connections.get_mut(self.id).expect("a connection is kept while its initiator is"))
    }
}

impl Drop for Initiator {
    fn drop(&mut self) {
        let mut world = self.host.shared.lock();
        world.initiator_leaves(self.id);
        if let Some(connection) = world.connections.get_mut(self.id) {
            connection.initiator.held = false;
        }
        world.forget_if_over(self.id);
    }
}
