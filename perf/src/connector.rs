//! The control side of the fabric that was chosen: makes endpoints, and connections for them.

use std::sync::Arc;

use fabric::roce::packet_io::Way;
use fabric::{Connect, ConnectionId, Control, ControlEvent, FabricError, GroupId};
use mem::Region;
use reactor::{Instant, ReactorHandle};

use crate::endpoint::{EndpointSeed, QueuePair};
use crate::in_process::{self, InProcess};

/// What to connect through.
#[derive(Clone, Debug)]
pub enum FabricOptions {
    /// rdma-core: librdmacm and libibverbs.
    Verbs,
    /// RoCEv2 of our own.
    Roce(Way),
    /// A target in this process.
    InProcess(in_process::TargetOptions),
}

/// Makes endpoints and connections. Belongs to the main thread.
#[allow(clippy::large_enum_variant, reason = "there is one per process")]
pub enum Connector {
    /// Over verbs or RoCE.
    Fabric(Control),
    /// To the target in this process.
    InProcess(InProcess),
}

impl Connector {
    /// A control side without connections.
    pub fn new(options: &FabricOptions) -> Connector {
        match options {
            FabricOptions::Verbs => Connector::Fabric(Control::Verbs(fabric::verbs::Control::new())),
            FabricOptions::Roce(way) => {
                Connector::Fabric(Control::Roce(fabric::roce::Control::new(fabric::roce::Options {
                    way: *way,
                    ledger: None,
                })))
            }
            FabricOptions::InProcess(options) => Connector::InProcess(InProcess::new(options.clone())),
        }
    }

    /// As `--fabric` has it.
    pub fn name(&self) -> &'static str {
        match self {
            Connector::Fabric(control) => control.fabric_name(),
            Connector::InProcess(_) => "sim",
        }
    }

    /// Names memory that messages go through.
    pub fn add_region(&mut self, region: Arc<Region>) {
        if let Connector::Fabric(control) = self {
            control.add_region(region);
        }
    }

    /// Names memory that targets are let into.
    pub fn add_exposed_region(&mut self, region: Arc<Region>) {
        if let Connector::Fabric(control) = self {
            control.add_exposed_region(region);
        }
    }

    /// The endpoint of one core; to be made before the first connection.
    pub fn create_endpoint(&mut self, group: GroupId) -> EndpointSeed {
        match self {
            Connector::Fabric(control) => EndpointSeed::Fabric(control.create_poll_group(group)),
            Connector::InProcess(own) => EndpointSeed::InProcess(own.host()),
        }
    }

    /// Starts the target in this process, if that is what was chosen, on the cores that run.
    ///
    /// # Errors
    /// There is not enough memory for it.
    pub fn start_target(&mut self, cores: &[ReactorHandle]) -> anyhow::Result<()> {
        match self {
            Connector::Fabric(_) => Ok(()),
            Connector::InProcess(own) => own.start_target(cores),
        }
    }

    /// Asks for a connection; see [`Control::connect`].
    ///
    /// # Errors
    /// The local address cannot be used.
    pub fn connect(&mut self, now_ns: u64, connect: &Connect) -> Result<(ConnectionId, QueuePair), FabricError> {
        match self {
            Connector::Fabric(control) => {
                control.connect(now_ns, connect).map(|(id, queue_pair)| (id, QueuePair::Fabric(queue_pair)))
            }
            Connector::InProcess(own) => {
                let (id, queue_pair) = own.connect(connect);
                Ok((id, QueuePair::InProcess(queue_pair)))
            }
        }
    }

    /// Reports what happened since the last call. Never blocks.
    pub fn poll(&mut self, now: Instant, event: &mut dyn FnMut(ControlEvent)) {
        match self {
            Connector::Fabric(control) => control.poll(now.0, event),
            Connector::InProcess(own) => own.poll(now, event),
        }
    }

    /// Ends a connection, so that everything posted comes back.
    pub fn disconnect(&mut self, connection: ConnectionId) {
        match self {
            Connector::Fabric(control) => control.disconnect(connection),
            Connector::InProcess(own) => own.disconnect(connection),
        }
    }

    /// Forgets a connection that was disconnected, with the queue pair that its core gave up.
    pub fn destroy(&mut self, connection: ConnectionId, queue_pair: QueuePair) {
        match (self, queue_pair) {
            (Connector::Fabric(control), QueuePair::Fabric(queue_pair)) => {
                control.destroy(connection, Some(queue_pair));
            }
            (Connector::InProcess(own), QueuePair::InProcess(queue_pair)) => own.destroy(connection, queue_pair),
            _ => panic!("a queue pair of one fabric was given to another"),
        }
    }

    /// Whether nobody has a connection any more, as far as this process can know.
    pub fn is_quiet(&self) -> bool {
        match self {
            Connector::Fabric(_) => true,
            Connector::InProcess(own) => own.is_quiet(),
        }
    }
}
