//! The control side, dispatched over the closed set of back ends.

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;

use mem::Region;

use crate::{
    AcceptParameters, Connect, ConnectionId, ControlEvent, DeviceInfo, FabricError, GroupId, ListenerId, ListenerState,
    PollGroup, QueuePair, QueuePairSizes, Service, roce, sim, verbs,
};

/// Connections, listeners and devices of one fabric. Belongs to the control thread; no call blocks for long.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one per process")]
pub enum Control {
    /// rdma-core.
    Verbs(verbs::Control),
    /// RoCEv2 of our own.
    Roce(roce::Control),
    /// Both ends in one process.
    Sim(sim::Control),
}

impl Control {
    /// `"verbs"`, `"roce"` or `"sim"`.
    pub fn fabric_name(&self) -> &'static str {
        match self {
            Control::Verbs(_) => "verbs",
            Control::Roce(_) => "roce",
            Control::Sim(_) => "sim",
        }
    }

    /// Names memory that buffers will come from: it is registered with every device, present and future. A device
    /// that refuses is logged with the fix, and its connections fail in [`Control::create_queue_pair`].
    pub fn add_region(&mut self, region: Arc<Region>) {
        match self {
            Control::Verbs(control) => control.add_region(region),
            Control::Roce(control) => control.add_region(region),
            Control::Sim(control) => control.add_region(region),
        }
    }

    /// The same for memory that peers are let into, part by part, by [`PollGroup::expose`]: what an initiator does with its
    /// data. A target names none of its memory so.
    pub fn add_exposed_region(&mut self, region: Arc<Region>) {
        match self {
            Control::Verbs(control) => control.add_exposed_region(region),
            Control::Roce(control) => control.add_region(region),
            Control::Sim(control) => control.add_region(region),
        }
    }

    /// The poll group of one reactor, to be moved there: the thread that first uses it is its home from then on.
    /// Each `id` is used once.
    pub fn create_poll_group(&mut self, id: GroupId) -> PollGroup {
        match self {
            Control::Verbs(control) => PollGroup::Verbs(control.create_poll_group(id)),
            Control::Roce(control) => PollGroup::Roce(control.create_poll_group(id)),
            Control::Sim(control) => PollGroup::Sim(control.create_poll_group(id)),
        }
    }

    /// Takes connections at `address` (0.0.0.0 and `[::]` stand for every address) until [`Control::unlisten`]. The
    /// listener exists even while nothing can serve it: see [`Control::listener_state`].
    ///
    /// # Errors
    /// [`FabricError::AddressInUse`] at once; whatever may heal by itself is a state instead.
    pub fn listen(&mut self, address: SocketAddr) -> Result<ListenerId, FabricError> {
        match self {
            Control::Verbs(control) => control.listen(address, Service::Ip),
            Control::Roce(control) => control.listen(address),
            Control::Sim(control) => control.listen(address),
        }
    }

    /// The same for connections by IB/CM: at a port's GID (`::` stands for every port) and the service id [`crate::ib_service_id`] of
    /// `port`.
    ///
    /// # Errors
    /// As of [`Control::listen`], and [`FabricError::NoInfiniBand`] of fabrics that know nothing of it.
    pub fn listen_ib(&mut self, gid: Ipv6Addr, port: u16) -> Result<ListenerId, FabricError> {
        match self {
            Control::Verbs(control) => control.listen(SocketAddr::from((gid, port)), Service::Ib),
            Control::Roce(_) | Control::Sim(_) => Err(FabricError::NoInfiniBand { fabric: self.fabric_name() }),
        }
    }

    /// Takes no more connections there. Connections that exist, and requests already reported, stay.
    pub fn unlisten(&mut self, listener: ListenerId) {
        match self {
            Control::Verbs(control) => control.unlisten(listener),
            Control::Roce(control) => control.unlisten(listener),
            Control::Sim(control) => control.unlisten(listener),
        }
    }

    /// Whether it takes connections now. An unknown listener waits, and says so.
    pub fn listener_state(&self, listener: ListenerId) -> ListenerState {
        match self {
            Control::Verbs(control) => control.listener_state(listener),
            Control::Roce(control) => control.listener_state(listener),
            Control::Sim(control) => control.listener_state(listener),
        }
    }

    /// The devices that are ready for use.
    pub fn devices(&self) -> Vec<DeviceInfo> {
        match self {
            Control::Verbs(control) => control.devices(),
            Control::Roce(control) => control.devices(),
            Control::Sim(control) => control.devices(),
        }
    }

    /// Reports what happened since the last call, and looks for devices about once a second. `now_ns` is any monotonic
    /// clock in nanoseconds. Never blocks. Call it some hundred times a second: it costs a system call.
    pub fn poll(&mut self, now_ns: u64, event: &mut dyn FnMut(ControlEvent)) {
        match self {
            Control::Verbs(control) => control.poll(now_ns, event),
            Control::Roce(control) => control.poll(now_ns, event),
            Control::Sim(control) => control.poll(now_ns, event),
        }
    }

    /// Makes the queue pair of a requested connection. Receives can be posted to it at once.
    ///
    /// # Errors
    /// The connection ended meanwhile, the device's limits are too small, or it could not pin our memory. The
    /// connection can still be rejected.
    ///
    /// # Panics
    /// If `sizes` has fewer sends than [`crate::SEGMENTS_MAX`] + 1.
    pub fn create_queue_pair(
        &mut self,
        connection: ConnectionId,
        group: GroupId,
        sizes: QueuePairSizes,
    ) -> Result<QueuePair, FabricError> {
        match self {
            Control::Verbs(control) => control.create_queue_pair(connection, group, sizes).map(QueuePair::Verbs),
            Control::Roce(control) => control.create_queue_pair(connection, group, sizes).map(QueuePair::Roce),
            Control::Sim(control) => control.create_queue_pair(connection, group, sizes).map(QueuePair::Sim),
        }
    }

    /// Asks a peer for a connection, as an initiator does. Receives can be posted to the queue pair at once. One event
    /// follows: [`ControlEvent::Connected`], [`ControlEvent::Rejected`] or [`ControlEvent::Disconnected`]. `now_ns` as in [`Control::poll`]: the peer's
    /// time to answer counts from it.
    ///
    /// # Errors
    /// The fabric makes no connections by itself, or the local address cannot be used.
    pub fn connect(&mut self, now_ns: u64, connect: &Connect) -> Result<(ConnectionId, QueuePair), FabricError> {
        match self {
            Control::Roce(control) => control
                .connect(now_ns, connect)
                .map(|(connection, queue_pair)| (connection, QueuePair::Roce(queue_pair))),
            Control::Verbs(control) => {
                control.connect(connect).map(|(connection, queue_pair)| (connection, QueuePair::Verbs(queue_pair)))
            }
            Control::Sim(_) => Err(FabricError::NoInitiator { fabric: self.fabric_name() }),
        }
    }

    /// Accepts. Call it when the poll group has posted the receives: messages may arrive before this returns.
    ///
    /// # Errors
    /// The connection ended meanwhile, or the connection manager refused: for instance because the initiator gave up,
    /// which it does not tell before. A `Disconnected` event tells so too.
    pub fn accept(&mut self, connection: ConnectionId, parameters: &AcceptParameters) -> Result<(), FabricError> {
        match self {
            Control::Verbs(control) => control.accept(connection, parameters),
            Control::Roce(control) => control.accept(connection, parameters),
            Control::Sim(control) => control.accept(connection, parameters),
        }
    }

    /// Answers a request with a refusal that carries `private_data` (SRP_LOGIN_REJ, at most 148 bytes). No event
    /// follows; the connection still has to be destroyed.
    pub fn reject(&mut self, connection: ConnectionId, private_data: &[u8]) {
        match self {
            Control::Verbs(control) => control.reject(connection, private_data),
            Control::Roce(control) => control.reject(connection, private_data),
            Control::Sim(control) => control.reject(connection, private_data),
        }
    }

    /// Puts the queue pair into error, so that everything posted comes back to its poll group, and tells the peer if
    /// there ever was a connection. A `Disconnected` event follows unless one was reported already; do not wait for it
    /// with destroying. Calling it again, or on an unknown connection, does nothing.
    pub fn disconnect(&mut self, connection: ConnectionId) {
        match self {
            Control::Verbs(control) => control.disconnect(connection),
            Control::Roce(control) => control.disconnect(connection),
            Control::Sim(control) => control.disconnect(connection),
        }
    }

    /// Ends a connection for good; no event about it is reported afterwards. A connection that has a queue pair is
    /// disconnected first, its queue pair released by the poll group and given back here.
    pub fn destroy(&mut self, connection: ConnectionId, queue_pair: Option<QueuePair>) {
        match self {
            Control::Verbs(control) => control.destroy(connection, queue_pair.map(QueuePair::into_verbs)),
            Control::Roce(control) => control.destroy(connection, queue_pair.map(QueuePair::into_roce)),
            Control::Sim(control) => control.destroy(connection, queue_pair.map(QueuePair::into_sim)),
        }
    }
}
