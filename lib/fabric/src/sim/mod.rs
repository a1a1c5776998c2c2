//! Both ends of RDMA in one process: seeded, in virtual time, with faults at will. For tests and measurements.
//!
//! # What it is
//! A [`Network`] holds everything that both ends share. The target's end is reached through [`crate::Control`] and
//! [`crate::PollGroup`], exactly as over `verbs`. The other end is played by a test: a [`Host`] has registered memory and
//! opens connections, each an [`Initiator`].
//!
//! # Time
//! Time is virtual: it passes in [`Network::advance`] and nowhere else. Each message takes a random time out of the
//! ranges in [`SimOptions`]; what happens at one time happens in the order in which it was caused. All chance comes from one
//! seed: with the same seed and the same calls in the same order, the same happens ([`Network::fingerprint`] proves it).
//! With [`SimOptions::default`] nothing takes time, and whoever looks sees everything that was caused before.
//!
//! # How strict it is
//! As strict as a device is, or stricter. On a connection messages arrive in order, once, or the connection ends. A
//! message without a receive waits for one, and holds up what is behind it. A READ may be carried out after the WRITEs and
//! SENDs behind it. Keys, bounds and rights are checked on every access; addresses are neither zero-based nor aligned.
//! What the peer would refuse ends the connection as it would over a wire, and is listed in [`Network::violations`].
//! What our own device would refuse (queue overflow, memory not registered, work posted before accept) is a bug of
//! ours at once: it panics with the reason. When a queue pair goes into error, what the target sent before may still
//! arrive. Lost paths, error completions, delays and departures come by rate ([`FaultRates`]) or by script ([`Fault`]).
//!
//! # What it is not
//! It does not lose packets by themselves (a reliable connection hides that), does not model bandwidth, and its CM
//! never times out.
//!
//! # Reading order
//! `world` (the loop), `connection` (the state), `link` (the data plane), `cm` (the connection manager), then the ends:
//! `control` and `poll_group` for the target, `initiator` and `memory` for the other. `clock`, `random` and `faults` are
//! small.

use std::ops::RangeInclusive;
use std::time::Duration;

mod clock;
mod cm;
mod connection;
mod control;
mod faults;
mod initiator;
mod link;
mod memory;
mod poll_group;
mod random;
#[cfg(test)]
mod tests;
mod world;

pub use control::Control;
pub use faults::{Fault, FaultAction, FaultRates, OperationKind, When};
pub use initiator::{ConnectOptions, Host, Initiator, InitiatorEvent, NotConnected};
pub use memory::{Access, Registration};
pub use poll_group::{PollGroup, PollGroupSeed, QueuePair};
pub use world::Violation;

use random::nanoseconds;
use world::{Shared, World};

/// A network with both ends. Cloning gives another handle on the same one.
#[derive(Clone, Debug)]
pub struct Network {
    shared: Shared,
    seed: u64,
}

/// How a network behaves. By default nothing takes time and nothing goes wrong.
#[derive(Clone, Debug)]
pub struct SimOptions {
    /// Time that a message, or the answer to one, is under way.
    pub delay: RangeInclusive<Duration>,
    /// The same for messages of the connection manager.
    pub cm_delay: RangeInclusive<Duration>,
    /// Time from a READ's arrival until the initiator's device carries it out.
    pub read_delay: RangeInclusive<Duration>,
    /// Time from an error until the queue pair gives back what was posted.
    pub flush_delay: RangeInclusive<Duration>,
    /// How long a device waits for an answer before it gives up.
    pub retry_timeout: Duration,
    /// How long a message waits for a receive; `None`: for ever, as `ib_srp` asks for.
    pub receiver_not_ready_timeout: Option<Duration>,
    /// How long after an error on its side an initiator disconnects (`ib_srp`: when it reconnects, after 10 s).
    pub leave_after_error: Duration,
    /// Most READs that our device has outstanding on a queue pair.
    pub device_reads_max: u8,
    /// The target's devices at the start.
    pub devices: Vec<String>,
    /// Fills private data with zeroes to the size of the message, as InfiniBand does and iWARP does not.
    pub pad_private_data: bool,
    /// What goes wrong by itself.
    pub faults: FaultRates,
}

impl Default for SimOptions {
    fn default() -> Self {
        let at_once = Duration::ZERO..=Duration::ZERO;
        SimOptions {
            delay: at_once.clone(),
            cm_delay: at_once.clone(),
            read_delay: at_once.clone(),
            flush_delay: at_once,
            retry_timeout: Duration::from_secs(4),
            receiver_not_ready_timeout: None,
            leave_after_error: Duration::from_secs(10),
            device_reads_max: 16,
            devices: vec!["sim0".into()],
            pad_private_data: true,
            faults: FaultRates::default(),
        }
    }
}

impl SimOptions {
    /// A busy network without faults: a message takes 1 to 50 microseconds, the connection manager up to a millisecond, a
    /// READ up to 100 microseconds more.
    pub fn jittery() -> SimOptions {
        let micros = Duration::from_micros;
        SimOptions {
            delay: micros(1)..=micros(50),
            cm_delay: micros(10)..=micros(1000),
            read_delay: micros(0)..=micros(100),
            flush_delay: micros(0)..=micros(1000),
            ..SimOptions::default()
        }
    }
}

/// What a network counted since it was made.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counters {
    /// Messages that the target received.
    pub messages_to_target: u64,
    /// Messages that initiators received.
    pub messages_to_initiator: u64,
    /// READs carried out.
    pub reads: u64,
    /// WRITEs carried out.
    pub writes: u64,
    /// Times that a message had to wait at the target because no receive was posted there.
    pub target_not_ready: u64,
    /// Times that a message had to wait at an initiator because no receive was posted there.
    pub initiator_not_ready: u64,
    /// Paths that were cut.
    pub connections_cut: u64,
}

impl Network {
    /// A network whose chance comes from `seed`.
    ///
    /// # Panics
    /// If a range of delays ends before it starts.
    pub fn new(seed: u64, options: SimOptions) -> Network {
        Network { shared: Shared::new(World::new(seed, &options)), seed }
    }

    /// The seed, for messages about failures.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The control side of a target on this network; a network can have several targets.
    pub fn control(&self) -> Control {
        Control::new(self.shared.clone())
    }

    /// A new machine with initiators.
    pub fn host(&self) -> Host {
        Host::new(self.shared.clone())
    }

    /// Virtual time since the network was made.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.shared.lock().clock.now())
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        let mut world = self.shared.lock();
        let until = world.clock.now().saturating_add(nanoseconds(by));
        world.run_until(until);
    }

    /// How long until something happens by itself: zero if something is due now, `None` if nothing is planned.
    pub fn next_event(&self) -> Option<Duration> {
        let world = self.shared.lock();
        world.clock.next_at().map(|at| Duration::from_nanos(at - world.clock.now()))
    }

    /// Adds a fault to the script.
    ///
    /// # Panics
    /// If the action does not go with the moment: see [`When`] and [`FaultAction`].
    pub fn inject(&self, fault: Fault) {
        self.shared.lock().inject(fault.connection, fault.when, fault.action);
    }

    /// Changes what goes wrong by itself, from now on.
    pub fn set_fault_rates(&self, rates: FaultRates) {
        self.shared.lock().faults.set_rates(rates);
    }

    /// Unplugs a device of the target's side.
    pub fn remove_device(&self, name: &str) {
        self.shared.lock().remove_device(name);
    }

    /// Plugs a device in, or a removed one in again.
    pub fn add_device(&self, name: &str) {
        self.shared.lock().add_device(name);
    }

    /// Rules that were broken so far, by either end, oldest first. A test whose initiator behaves expects none.
    pub fn violations(&self) -> Vec<Violation> {
        self.shared.lock().violations.clone()
    }

    /// Counters since the start.
    pub fn counters(&self) -> Counters {
        self.shared.lock().counters
    }

    /// Connections that the target has not destroyed, or whose initiator is still held.
    pub fn connections(&self) -> usize {
        self.shared.lock().connections.len()
    }

    /// A number that depends on everything that happened and when: equal runs have equal ones.
    pub fn fingerprint(&self) -> u64 {
        self.shared.lock().fingerprint
    }
}
