//! The target's control side.

use std::net::SocketAddr;
use std::sync::Arc;

use mem::Region;

use super::cm::{CmMessage, REFUSAL_DATA, REPLY_DATA};
use super::connection::{Connection, Connections, Phase, TargetQp};
use super::faults::OperationKind;
use super::poll_group::{PollGroupSeed, QueuePair};
use super::world::{ControlState, GroupState, Shared, World};
use crate::{
    AcceptParameters, ConnectionId, ControlEvent, DeviceInfo, FabricError, GroupId, Homebound, LinkLayer, ListenerId,
    ListenerState, QueuePairSizes, SEGMENTS_MAX,
};

/// Connections, listeners and devices of one target: [`crate::Control::Sim`].
#[derive(Debug)]
pub struct Control {
    shared: Shared,
    index: usize,
}

impl Control {
    /// A target on this network.
    pub(super) fn new(shared: Shared) -> Control {
        let mut world = shared.lock();
        let present = world.devices.iter().filter(|device| device.present);
        let events = present.map(|device| ControlEvent::DeviceAdded { device: device.name.clone() }).collect();
        world.controls.push(ControlState { events, ..ControlState::default() });
        let index = world.controls.len() - 1;
        drop(world);
        Control { shared, index }
    }

    pub(crate) fn add_region(&mut self, region: Arc<Region>) {
        self.shared.lock().controls[self.index].regions.push(region.id());
    }

    pub(crate) fn create_poll_group(&mut self, id: GroupId) -> Homebound<PollGroupSeed> {
        let mut world = self.shared.lock();
        let groups = &world.controls[self.index].groups;
        assert!(groups.iter().all(|(known, _)| *known != id), "poll group {} was made already", id.0);
        let index = world.groups.len();
        world.groups.push(GroupState { control: self.index, inbox: Default::default() });
        world.controls[self.index].groups.push((id, index));
        Homebound::new(PollGroupSeed::new(self.shared.clone(), index))
    }

    pub(crate) fn listen(&mut self, address: SocketAddr) -> Result<ListenerId, FabricError> {
        let mut world = self.shared.lock();
        let taken = |other: &SocketAddr| {
            other.port() == address.port()
                && (other.ip() == address.ip() || other.ip().is_unspecified() || address.ip().is_unspecified())
        };
        if world.controls.iter().flat_map(|control| &control.listeners).any(|(_, other)| taken(other)) {
            return Err(FabricError::AddressInUse { address });
        }
        let control = &mut world.controls[self.index];
        control.next_listener += 1;
        let listener = ListenerId(control.next_listener);
        control.listeners.push((listener, address));
        Ok(listener)
    }

    pub(crate) fn unlisten(&mut self, listener: ListenerId) {
        self.shared.lock().controls[self.index].listeners.retain(|(known, _)| *known != listener);
    }

    pub(crate) fn listener_state(&self, listener: ListenerId) -> ListenerState {
        let world = self.shared.lock();
        if world.controls[self.index].listeners.iter().all(|(known, _)| *known != listener) {
            return ListenerState::Waiting(format!("listener {} is not known", listener.0));
        }
        if world.devices.iter().all(|device| !device.present) {
            return ListenerState::Waiting("there is no RDMA device".into());
        }
        ListenerState::Listening
    }

    pub(crate) fn devices(&self) -> Vec<DeviceInfo> {
        let world = self.shared.lock();
        let present = world.devices.iter().enumerate().filter(|(_, device)| device.present);
        present
            .map(|(number, device)| {
                let node_guid = 0x0200_00ff_fe00_0000 + number as u64;
                let mut gid = [0; 16];
                gid[..2].copy_from_slice(&[0xfe, 0x80]);
                gid[8..].copy_from_slice(&node_guid.to_be_bytes());
                DeviceInfo {
                    name: device.name.clone(),
                    node_guid,
                    gid,
                    link_layer: LinkLayer::Simulated,
                    mtu: 4096,
                    active: true,
                    reads_max: world.device_reads_max,
                }
            })
            .collect()
    }

    /// Time here is virtual: the caller's clock plays no part.
    pub(crate) fn poll(&mut self, _now_ns: u64, event: &mut dyn FnMut(ControlEvent)) {
        let events = {
            let mut world = self.shared.lock();
            world.run_due();
            std::mem::take(&mut world.controls[self.index].events)
        };
        events.into_iter().for_each(event);
    }

    pub(crate) fn create_queue_pair(
        &mut self,
        id: ConnectionId,
        group: GroupId,
        sizes: QueuePairSizes,
    ) -> Result<QueuePair, FabricError> {
        assert!(sizes.sends as usize > SEGMENTS_MAX, "a queue pair takes one full list of segments and its message");
        let mut world = self.shared.lock();
        let world = &mut *world;
        let groups = &world.controls[self.index].groups;
        let group = groups.iter().find(|(known, _)| *known == group).ok_or(FabricError::UnknownGroup(group))?.1;
        let verdict = world.faults.judge(id, OperationKind::QueuePair, &mut world.random);
        let connection = self.own(&mut world.connections, id)?;
        if connection.target.told || connection.phase != Phase::Requested {
            return Err(FabricError::ConnectionEnded(id));
        }
        if connection.target.qp.is_some() {
            return Err(FabricError::WrongOrder { connection: id, problem: "it has a queue pair already" });
        }
        if verdict.fail.is_some() {
            let device = world.devices[connection.device].name.clone();
            let source = std::io::Error::from(std::io::ErrorKind::OutOfMemory);
            return Err(FabricError::Call { call: "ibv_create_qp", device, source });
        }
        connection.target.qp = Some(TargetQp {
            group,
            slot: None,
            ready: false,
            error: false,
            first_error: None,
            unheard: false,
            receives: Default::default(),
            waiting: Default::default(),
            unacknowledged: Default::default(),
            reads_outstanding: 0,
            reads_max: 0,
        });
        Ok(QueuePair { connection: id, group, sizes })
    }

    pub(crate) fn accept(&mut self, id: ConnectionId, parameters: &AcceptParameters) -> Result<(), FabricError> {
        let mut world = self.shared.lock();
        let len = parameters.private_data.len();
        if len > REPLY_DATA {
            return Err(FabricError::PrivateDataTooLong { message: "REP", len, most: REPLY_DATA });
        }
        let connection = self.own(&mut world.connections, id)?;
        if connection.target.told || connection.target.leaving || connection.phase == Phase::Over {
            return Err(FabricError::ConnectionEnded(id));
        }
        if connection.phase != Phase::Requested {
            return Err(FabricError::WrongOrder { connection: id, problem: "it was accepted already" });
        }
        let Some(qp) = &mut connection.target.qp else {
            return Err(FabricError::WrongOrder { connection: id, problem: "accept needs a queue pair" });
        };
        if connection.target.given_up {
            world.ended_at_target(id, "the initiator gave up before it was accepted");
            return Err(FabricError::ConnectionEnded(id));
        }
        qp.ready = true;
        qp.reads_max = u32::from(parameters.reads_max);
        connection.reply_data = parameters.private_data.clone();
        connection.phase = Phase::Accepted;
        world.cm_to_initiator(id, CmMessage::Reply);
        Ok(())
    }

    pub(crate) fn reject(&mut self, id: ConnectionId, private_data: &[u8]) {
        assert!(private_data.len() <= REFUSAL_DATA, "{} bytes do not fit in a REJ", private_data.len());
        let mut world = self.shared.lock();
        let Ok(connection) = self.own(&mut world.connections, id) else { return };
        if connection.phase == Phase::Requested && !connection.target.told {
            connection.phase = Phase::Over;
            connection.target.told = true;
            connection.reply_data = private_data.iter().copied().collect();
            world.cm_to_initiator(id, CmMessage::Refusal);
        }
    }

    pub(crate) fn disconnect(&mut self, id: ConnectionId) {
        let mut world = self.shared.lock();
        if self.own(&mut world.connections, id).is_ok() {
            Self::leave(&mut world, id);
        }
    }

    fn leave(world: &mut World, id: ConnectionId) {
        world.target_failed(id, None);
        let Some(connection) = world.connections.get_mut(id) else { return };
        if connection.target.told || std::mem::replace(&mut connection.target.leaving, true) {
            return;
        }
        if connection.phase == Phase::Requested {
            connection.phase = Phase::Over;
            world.cm_to_initiator(id, CmMessage::Refusal);
            world.cm_to_target(id, CmMessage::Left("given up by us before it was accepted"));
        } else {
            world.cm_to_initiator(id, CmMessage::Leave);
        }
    }

    pub(crate) fn destroy(&mut self, id: ConnectionId, queue_pair: Option<QueuePair>) {
        let mut world = self.shared.lock();
        let Ok(connection) = self.own(&mut world.connections, id) else { return };
        match (&connection.target.qp, &queue_pair) {
            (None, None) => {}
            (Some(qp), Some(given)) => {
                assert_eq!(given.connection, id, "connection {} was given another one's queue pair", id.0);
                assert!(qp.slot.is_none(), "connection {}: its queue pair is still with a poll group", id.0);
            }
            (had, given) => panic!(
                "connection {} is destroyed {} a queue pair, and {}",
                id.0,
                if given.is_some() { "with" } else { "without" },
                if had.is_some() { "it has one" } else { "it has none" }
            ),
        }
        Self::leave(&mut world, id);
        if let Some(connection) = world.connections.get_mut(id) {
            connection.target.control = None;
            connection.target.qp = None;
            connection.phase = match connection.phase {
                Phase::Accepted => Phase::Accepted,
                _ => Phase::Over,
            };
        }
        world.controls[self.index].events.retain(|event| event.connection() != Some(id));
        world.forget_if_over(id);
    }

    /// A connection that this control has.
    fn own<'a>(&self, connections: &'a mut Connections, id: ConnectionId) -> Result<&'a mut Connection, FabricError> {
        let found = connections.get_mut(id).filter(|connection| connection.target.control == Some(self.index));
        found.ok_or(FabricError::UnknownConnection(id))
    }
}
