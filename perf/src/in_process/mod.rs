//! The fabric `sim`: a target in this process, and a network between it and us that takes no time. What is measured is what target
//! and initiator cost, with no packet and no system call between them.
//!
//! ```text
//! main thread                     core N
//! InProcess                       Worker ── Endpoint ─┐
//!   Controller of the target      PollGroup of the  ──┴─ fabric::sim: one network, behind a lock
//!                                 target
//! ```
//! Initiator and target share the cores: an I/O costs a core what it costs both. The network copies each message and each
//! transfer as often as it must to be a network (its essay says how), so the figures are those of a target and an initiator
//! beside a slow memory bus, not the target's alone. Cores share the network's lock: more than one tells nothing about scaling.
//!
//! The network's time is this process's: [`InProcess::poll`] lets as much pass as has passed.
//!
//! Reading order: [`InProcess`] (control side), `endpoint.rs` (one core), `target.rs`.

mod endpoint;
mod target;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fabric::sim::{ConnectOptions, Host, InitiatorEvent, Network, SimOptions};
use fabric::{Connect, ConnectionId, ControlEvent};
use reactor::{Instant, ReactorHandle};

pub use endpoint::{Endpoint, QueuePair};
pub use target::{Backing, LISTENS_AT, PORT, TargetOptions};

use endpoint::Link;
use target::OwnTarget;

use crate::initiator::memory::RECEIVE_BYTES;

/// Reasons of a connection manager's refusal (IBTA vol. 1, 12.6.7.2).
const NOBODY_LISTENS: u16 = 8;
const CONSUMER: u16 = 28;

/// Both sides of the network: our connections, and the target.
pub struct InProcess {
    network: Network,
    host: Host,
    options: TargetOptions,
    target: Option<OwnTarget>,
    links: Vec<(ConnectionId, Arc<Link>)>,
    /// When the network was looked after last.
    polled: Option<Instant>,
}

impl InProcess {
    /// A network with nobody on it.
    pub fn new(options: TargetOptions) -> InProcess {
        // No chance plays a part: nothing takes time and nothing goes wrong.
        let network = Network::new(0, SimOptions::default());
        let host = network.host();
        InProcess { network, host, options, target: None, links: Vec::new(), polled: None }
    }

    /// The machine that all cores' connections are of.
    pub fn host(&self) -> Host {
        self.host.clone()
    }

    /// Starts the target on these cores.
    ///
    /// # Errors
    /// There is not enough memory for it.
    pub fn start_target(&mut self, cores: &[ReactorHandle]) -> anyhow::Result<()> {
        self.target = Some(OwnTarget::start(&self.network, &self.options, cores)?);
        Ok(())
    }

    /// Asks for a connection.
    pub fn connect(&mut self, connect: &Connect) -> (ConnectionId, QueuePair) {
        let initiator = self.host.connect(ConnectOptions {
            peer: (connect.local, 1).into(),
            to: connect.to,
            private_data: connect.private_data.to_vec(),
            reads_served: connect.reads_served,
            receives: 0,
            receive_len: RECEIVE_BYTES as u32,
        });
        let id = initiator.connection();
        let link = Arc::new(Link::new(initiator));
        self.links.push((id, Arc::clone(&link)));
        (id, QueuePair::new(link))
    }

    /// Looks after the target, and reports what happened to our connections.
    pub fn poll(&mut self, now: Instant, event: &mut dyn FnMut(ControlEvent)) {
        let passed = self.polled.replace(now).map_or(Duration::ZERO, |before| now.since(before));
        self.network.advance(passed);
        if let Some(target) = &mut self.target {
            target.poll(now);
        }
        for (connection, link) in &self.links {
            while let Some(happened) = link.initiator().poll() {
                let happened = control_event(*connection, happened);
                if !matches!(happened, ControlEvent::Connected { .. }) {
                    link.ended.store(true, Ordering::Release);
                }
                event(happened);
            }
        }
    }

    /// Ends a connection.
    pub fn disconnect(&mut self, connection: ConnectionId) {
        if let Some((_, link)) = self.links.iter().find(|(id, _)| *id == connection) {
            link.initiator().disconnect();
            link.ended.store(true, Ordering::Release);
        }
    }

    /// Forgets it.
    pub fn destroy(&mut self, connection: ConnectionId, queue_pair: QueuePair) {
        drop(queue_pair);
        self.links.retain(|(id, _)| *id != connection);
    }

    /// Whether neither side has a connection any more.
    pub fn is_quiet(&self) -> bool {
        self.network.connections() == 0
    }
}

fn control_event(connection: ConnectionId, event: InitiatorEvent) -> ControlEvent {
    match event {
        InitiatorEvent::Established { private_data } => {
            ControlEvent::Connected { connection, private_data: private_data.into_iter().collect() }
        }
        InitiatorEvent::Rejected { private_data } => {
            let reason = if private_data.is_empty() { NOBODY_LISTENS } else { CONSUMER };
            ControlEvent::Rejected { connection, reason, private_data: private_data.into_iter().collect() }
        }
        InitiatorEvent::Disconnected { reason } => ControlEvent::Disconnected { connection, reason },
    }
}
