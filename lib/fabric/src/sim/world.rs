//! Everything that both ends share, and the loop that lets it happen in the order of virtual time.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mem::RegionId;

use super::clock::Clock;
use super::cm::CmMessage;
use super::connection::Connections;
use super::faults::{Ending, Faults, OperationKind};
use super::memory::Memory;
use super::random::{Delay, Random, mix, nanoseconds};
use super::{Counters, SimOptions};
use crate::{ConnectionId, ControlEvent, GroupId, ListenerId, WorkError};

/// The handle that every part of a network has.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<World>>);

/// The whole simulation.
#[derive(Debug)]
pub(super) struct World {
    pub(super) clock: Clock<Event>,
    pub(super) random: Random,
    pub(super) timing: Timing,
    pub(super) faults: Faults,
    pub(super) connections: Connections,
    pub(super) controls: Vec<ControlState>,
    pub(super) groups: Vec<GroupState>,
    pub(super) devices: Vec<Device>,
    pub(super) device_reads_max: u8,
    pub(super) pad_private_data: bool,
    pub(super) hosts: u32,
    pub(super) memory: Memory,
    pub(super) spares: Spares,
    pub(super) counters: Counters,
    pub(super) violations: Vec<Violation>,
    pub(super) fingerprint: u64,
}

/// Something that happens at a time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// A message of the connection manager arrives.
    Cm(ConnectionId, CmMessage),
    /// Something arrives on a link.
    Arrival(ConnectionId, Direction),
    /// The initiator's device carries out a READ.
    ReadDone(ConnectionId),
    /// The target's queue pair gives back what was posted to it.
    Flush(ConnectionId),
    /// The target's device gives up waiting for an answer.
    RetriesExceeded(ConnectionId),
    /// A message waited too long for a receive; the number tells which one.
    ReceiverNotReady(ConnectionId, Direction, u64),
    /// A fault by script: on one connection or on all.
    Ending(Option<ConnectionId>, Ending),
}

/// The links of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Direction {
    /// The initiator's messages.
    ToTarget,
    /// The target's requests.
    ToInitiator,
    /// Answers to those.
    Replies,
}

/// The options that are durations, in nanoseconds.
#[derive(Debug)]
pub(super) struct Timing {
    pub(super) delay: Delay,
    pub(super) cm_delay: Delay,
    pub(super) read_delay: Delay,
    pub(super) flush_delay: Delay,
    pub(super) retry_timeout: u64,
    pub(super) receiver_not_ready_timeout: Option<u64>,
    pub(super) leave_after_error: u64,
}

/// What the world keeps of one [`super::Control`].
#[derive(Debug, Default)]
pub(super) struct ControlState {
    pub(super) listeners: Vec<(ListenerId, SocketAddr)>,
    pub(super) next_listener: u64,
    /// A handful.
    pub(super) regions: Vec<RegionId>,
    pub(super) groups: Vec<(GroupId, usize)>,
    pub(super) events: VecDeque<ControlEvent>,
}

/// What the world keeps of one [`super::PollGroup`].
#[derive(Debug)]
pub(super) struct GroupState {
    pub(super) control: usize,
    pub(super) inbox: VecDeque<GroupEvent>,
}

/// What a device tells a poll group. Buffers are found by order: receives and sends each complete in theirs.
#[derive(Debug)]
pub(super) enum GroupEvent {
    /// The oldest receive of the queue pair in this slot gets this message.
    Received { slot: u32, data: Vec<u8> },
    /// The oldest work request is done; a READ brings its data.
    Sent { slot: u32, data: Option<Vec<u8>> },
    /// The queue pair is in error: the oldest receives and work requests, so many of each, come back in any order,
    /// which `shuffle` decides. The oldest work request has the error, if there is one.
    Flushed { slot: u32, receives: usize, sends: usize, error: Option<WorkError>, shuffle: u64 },
}

/// An RDMA device of the target's side.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) name: String,
    pub(super) present: bool,
}

/// A rule of IBTA that somebody broke, with what a device would have said. The simulation ends the connection as a
/// device would; a test asks for the list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Violation {
    /// The target reached for memory that it may not touch.
    RemoteAccess {
        /// The connection.
        connection: ConnectionId,
        /// READ or WRITE.
        operation: OperationKind,
        /// First address.
        addr: u64,
        /// The key.
        rkey: u32,
        /// Length in bytes.
        len: u64,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The target had more READs outstanding than the initiator said it serves.
    TooManyReads {
        /// The connection.
        connection: ConnectionId,
        /// How many it serves.
        served: u8,
    },
    /// A message is longer than the receive it met.
    MessageTooLong {
        /// The connection.
        connection: ConnectionId,
        /// Who sent it.
        by_target: bool,
        /// Its length in bytes.
        len: usize,
        /// The receive's length in bytes.
        receive_len: u32,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::RemoteAccess { connection, operation, addr, rkey, len, problem } => write!(
                f,
                "connection {}: {operation:?} of {len} bytes at {addr:#x} with key {rkey:#x}: {problem}",
                connection.0
            ),
            Violation::TooManyReads { connection, served } => {
                write!(
                    f,
                    "connection {}: more READs outstanding than the {served} that the initiator serves",
                    connection.0
                )
            }
            Violation::MessageTooLong { connection, by_target, len, receive_len } => write!(
                f,
                "connection {}: the {} sent {len} bytes into a receive of {receive_len}",
                connection.0,
                if *by_target { "target" } else { "initiator" }
            ),
        }
    }
}

impl Shared {
    pub(super) fn new(world: World) -> Shared {
        Shared(Arc::new(Mutex::new(world)))
    }

    /// The world. A test that panicked under the lock is over anyway; its destructors may still look.
    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared(..)")
    }
}

impl World {
    pub(super) fn new(seed: u64, options: &SimOptions) -> World {
        let timing = Timing {
            delay: Delay::new(&options.delay),
            cm_delay: Delay::new(&options.cm_delay),
            read_delay: Delay::new(&options.read_delay),
            flush_delay: Delay::new(&options.flush_delay),
            retry_timeout: nanoseconds(options.retry_timeout),
            receiver_not_ready_timeout: options.receiver_not_ready_timeout.map(nanoseconds),
            leave_after_error: nanoseconds(options.leave_after_error),
        };
        let devices = options.devices.iter().map(|name| Device { name: name.clone(), present: true }).collect();
        World {
            clock: Clock::new(),
            random: Random::new(seed),
            timing,
            faults: Faults::new(options.faults.clone()),
            connections: Connections::default(),
            controls: Vec::new(),
            groups: Vec::new(),
            devices,
            device_reads_max: options.device_reads_max,
            pad_private_data: options.pad_private_data,
            hosts: 0,
            memory: Memory::default(),
            spares: Spares::default(),
            counters: Counters::default(),
            violations: Vec::new(),
            fingerprint: seed,
        }
    }

    /// Lets time pass until `at`, from event to event.
    pub(super) fn run_until(&mut self, at: u64) {
        self.run_due();
        while let Some(next) = self.clock.next_at().filter(|next| *next <= at) {
            self.clock.set_now(next);
            self.run_due();
        }
        self.clock.set_now(at);
    }

    /// Lets happen what is due. Everybody who looks at the world calls this first, so without delays nobody needs to
    /// let time pass.
    #[inline]
    pub(super) fn run_due(&mut self) {
        while let Some(event) = self.clock.pop_due() {
            self.happen(event);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Cm(id, message) => self.cm_arrived(id, message),
            Event::Arrival(id, direction) => self.pump(id, direction),
            Event::ReadDone(id) => self.read_done(id),
            Event::Flush(id) => self.flush(id),
            Event::RetriesExceeded(id) => self.retries_exceeded(id),
            Event::ReceiverNotReady(id, direction, message) => self.receiver_not_ready(id, direction, message),
            Event::Ending(Some(id), ending) => self.end(id, ending),
            Event::Ending(None, ending) => {
                for id in self.connections.ids() {
                    self.end(id, ending);
                }
            }
        }
    }

    /// Plans an event.
    pub(super) fn after(&mut self, delay: u64, event: Event) {
        self.clock.schedule(self.clock.now().saturating_add(delay), event);
    }

    /// Adds what happened to the fingerprint.
    #[inline]
    pub(super) fn note(&mut self, id: ConnectionId, what: u64) {
        self.fingerprint = mix(self.fingerprint ^ self.clock.now().rotate_left(32) ^ (id.0 << 20) ^ what);
    }

    pub(super) fn violation(&mut self, violation: Violation) {
        tracing::debug!(%violation, now = self.clock.now(), "a rule was broken");
        self.violations.push(violation);
    }
}

/// Byte vectors that are not in use, by capacity: once a load runs steadily, nothing is allocated for it.
#[derive(Debug, Default)]
pub(super) struct Spares {
    by_capacity: [Vec<Vec<u8>>; 32],
}

impl Spares {
    /// A vector that holds these bytes.
    #[inline]
    pub(super) fn copy(&mut self, bytes: &[u8]) -> Vec<u8> {
        let class = class_of(bytes.len());
        let mut spare = self.by_capacity[class].pop().unwrap_or_else(|| Vec::with_capacity(1 << class));
        spare.extend_from_slice(bytes);
        spare
    }

    /// Takes one back.
    #[inline]
    pub(super) fn put(&mut self, mut spare: Vec<u8>) {
        if spare.capacity() > 0 {
            spare.clear();
            let class = spare.capacity().ilog2().min(31) as usize;
            self.by_capacity[class].push(spare);
        }
    }
}

/// The power of two that holds `len` bytes; 256 bytes are the least.
fn class_of(len: usize) -> usize {
    len.max(256).next_power_of_two().ilog2() as usize
}
