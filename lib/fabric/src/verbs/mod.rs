//! rdma-core: stub.

use std::net::SocketAddr;
use std::sync::Arc;

use mem::{Buf, Region};

use crate::{
    AcceptParameters, Completion, ConnectionId, ControlEvent, Deliver, DeviceInfo, FabricError, Fetch, GroupId,
    Homebound, ListenerId, ListenerState, QpIndex, QueuePairSizes, Seed,
};

/// Control side.
#[derive(Debug, Default)]
pub struct Control {}

/// A poll group on its way to its reactor.
#[derive(Debug)]
pub struct PollGroupSeed {}

/// Data path of one reactor.
#[derive(Debug)]
pub struct PollGroup {}

/// A queue pair that no poll group has.
#[derive(Debug)]
pub struct QueuePair {}

impl Seed for PollGroupSeed {
    type Value = PollGroup;
    fn settle(self) -> PollGroup {
        PollGroup {}
    }
}

const STUB: &str = "not written yet";

impl Control {
    pub(crate) fn add_region(&mut self, _region: Arc<Region>) {}
    pub(crate) fn create_poll_group(&mut self, _id: GroupId) -> Homebound<PollGroupSeed> {
        Homebound::new(PollGroupSeed {})
    }
    pub(crate) fn listen(&mut self, _address: SocketAddr) -> Result<ListenerId, FabricError> {
        Ok(ListenerId(0))
    }
    pub(crate) fn unlisten(&mut self, _listener: ListenerId) {}
    pub(crate) fn listener_state(&self, _listener: ListenerId) -> ListenerState {
        ListenerState::Waiting(STUB.into())
    }
    pub(crate) fn devices(&self) -> Vec<DeviceInfo> {
        Vec::new()
    }
    pub(crate) fn poll(&mut self, _now_ns: u64, _event: &mut dyn FnMut(ControlEvent)) {}
    pub(crate) fn create_queue_pair(
        &mut self,
        connection: ConnectionId,
        _group: GroupId,
        _sizes: QueuePairSizes,
    ) -> Result<QueuePair, FabricError> {
        Err(FabricError::UnknownConnection(connection))
    }
    pub(crate) fn accept(&mut self, connection: ConnectionId, _: &AcceptParameters) -> Result<(), FabricError> {
        Err(FabricError::UnknownConnection(connection))
    }
    pub(crate) fn reject(&mut self, _connection: ConnectionId, _private_data: &[u8]) {}
    pub(crate) fn disconnect(&mut self, _connection: ConnectionId) {}
    pub(crate) fn destroy(&mut self, _connection: ConnectionId, _queue_pair: Option<QueuePair>) {}
}

impl PollGroup {
    pub(crate) fn adopt(&mut self, _queue_pair: QueuePair) -> QpIndex {
        panic!("{STUB}")
    }
    pub(crate) fn release(&mut self, _qp: QpIndex) -> QueuePair {
        panic!("{STUB}")
    }
    pub(crate) fn outstanding(&self, _qp: QpIndex) -> usize {
        0
    }
    pub(crate) fn send_slots_free(&self, _qp: QpIndex) -> usize {
        0
    }
    pub(crate) fn post_receive(&mut self, _qp: QpIndex, _buf: Buf) {}
    pub(crate) fn fetch(&mut self, _qp: QpIndex, _fetch: Fetch) {}
    pub(crate) fn deliver(&mut self, _qp: QpIndex, _deliver: Deliver) {}
    pub(crate) fn keepalive(&mut self, _qp: QpIndex) {}
    pub(crate) fn ring(&mut self) {}
    pub(crate) fn poll(&mut self, _completion: &mut dyn FnMut(Completion)) -> usize {
        0
    }
}
