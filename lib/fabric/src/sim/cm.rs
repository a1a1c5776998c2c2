//! The connection manager between the two ends: requests, replies, refusals, and the ways in which a connection ends.
//!
//! ```text
//! initiator          target
//!     │ ── Request ──► │  ConnectRequest
//!     │ ◄── Reply ──── │  accept                     (or ◄── Refusal: reject)
//!     │ ── Ready ────► │  Established; messages may be faster
//!     │ ◄── Leave ──── │  disconnect
//!     │ ── Left ─────► │  Disconnected
//!     │ ── PeerLeft ─► │  Disconnected               (the initiator disconnects, or its queue pair failed)
//! ```

use std::net::SocketAddr;

use super::connection::{InitiatorState, Phase, TargetQp};
use super::faults::{Ending, FaultAction, OperationKind, When};
use super::initiator::InitiatorEvent;
use super::random::nanoseconds;
use super::world::{ControlState, Device, Direction, Event, World};
use crate::{ConnectRequest, ConnectionId, ControlEvent, ListenerId, PrivateData};

/// What an InfiniBand REQ carries for a user of RDMA/CM, in bytes.
const REQUEST_DATA_RDMA_CM: usize = 56;
/// What it carries for a user of the IB CM.
const REQUEST_DATA_IB_CM: usize = 92;
/// What a REP carries.
pub(super) const REPLY_DATA: usize = 196;
/// What a REJ carries.
pub(super) const REFUSAL_DATA: usize = 148;

/// What travels between the two connection managers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CmMessage {
    /// To the target.
    Request,
    /// To the initiator.
    Reply,
    /// To the initiator.
    Refusal,
    /// To the target: RTU.
    Ready,
    /// To the initiator: DREQ.
    Leave,
    /// To the target: DREP, or nobody answered the DREQ.
    Left(&'static str),
    /// To the target: DREQ.
    PeerLeft(&'static str),
    /// To the initiator, from its own device: it hears nothing any more.
    Silence,
    /// The initiator sends its DREQ, some time after its queue pair failed.
    LeaveAfterError,
}

impl World {
    /// A message arrives.
    pub(super) fn cm_arrived(&mut self, id: ConnectionId, message: CmMessage) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let dead = connection.dead;
        match message {
            CmMessage::Request if !dead => self.request_at_target(id),
            CmMessage::Reply if !dead => self.reply_at_initiator(id),
            CmMessage::Refusal if !dead => self.refusal_at_initiator(id),
            CmMessage::Ready if !dead => self.established_at_target(id),
            CmMessage::Leave if !dead => {
                self.initiator_closed(id, "the target disconnected");
                self.cm_to_target(id, CmMessage::Left("disconnected by us"));
            }
            CmMessage::Leave => {
                let timeout = self.timing.retry_timeout;
                self.after(timeout, Event::Cm(id, CmMessage::Left("disconnected by us; the initiator did not answer")));
            }
            CmMessage::Left(reason) => self.ended_at_target(id, reason),
            CmMessage::PeerLeft(reason) if !dead => self.peer_left(id, reason),
            CmMessage::Silence => self.initiator_closed(id, "the path is lost"),
            CmMessage::LeaveAfterError => self.initiator_leaves(id),
            _ => {}
        }
    }

    /// Sends a message to the initiator, behind those already under way.
    pub(super) fn cm_to_initiator(&mut self, id: ConnectionId, message: CmMessage) {
        let at = self.clock.now() + self.timing.cm_delay.draw(&mut self.random);
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.initiator.cm_due = connection.initiator.cm_due.max(at);
        self.clock.schedule(connection.initiator.cm_due, Event::Cm(id, message));
    }

    /// Sends a message to the target, behind those already under way.
    pub(super) fn cm_to_target(&mut self, id: ConnectionId, message: CmMessage) {
        let at = self.clock.now() + self.timing.cm_delay.draw(&mut self.random);
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.target.cm_due = connection.target.cm_due.max(at);
        self.clock.schedule(connection.target.cm_due, Event::Cm(id, message));
    }

    fn request_at_target(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.phase != Phase::Requesting || connection.initiator.state != InitiatorState::Connecting {
            return;
        }
        let (to, peer) = (connection.to, connection.peer);
        let device = self.devices.iter().position(|device| device.present);
        let Some(((control, listener), device)) = listener_for(&self.controls, to).zip(device) else {
            connection.phase = Phase::Over;
            return self.cm_to_initiator(id, CmMessage::Refusal);
        };
        let mut private_data = connection.request_data.clone();
        if self.pad_private_data {
            let carried =
                if private_data.len() <= REQUEST_DATA_RDMA_CM { REQUEST_DATA_RDMA_CM } else { REQUEST_DATA_IB_CM };
            pad(&mut private_data, carried);
        }
        connection.phase = Phase::Requested;
        connection.device = device;
        connection.target.control = Some(control);
        connection.target.listener = listener;
        let request = ConnectRequest {
            listener,
            private_data,
            peer,
            local: to,
            reads_served: connection.initiator.reads_served,
            device_reads_max: self.device_reads_max,
            device: self.devices[device].name.clone(),
        };
        self.note(id, 1);
        self.controls[control].events.push_back(ControlEvent::ConnectRequest { connection: id, request });
    }

    fn reply_at_initiator(&mut self, id: ConnectionId) {
        let pads = self.pad_private_data;
        let Some(connection) = self.connections.get_mut(id) else { return };
        let initiator = &mut connection.initiator;
        if initiator.state != InitiatorState::Connecting {
            return;
        }
        let mut private_data = connection.reply_data.clone();
        if pads {
            pad(&mut private_data, REPLY_DATA);
        }
        if let Some(qp) = &connection.target.qp {
            // The initiator's device serves what the reply asked for, and no more than it can.
            initiator.reads_served = initiator.reads_served.min(qp.reads_max.min(255) as u8);
        }
        initiator.state = InitiatorState::Connected;
        initiator.events.push_back(InitiatorEvent::Established { private_data: private_data.to_vec() });
        let verdict = self.faults.judge(id, OperationKind::Established, &mut self.random);
        if !verdict.lost {
            // Not in the order of the others: it may come after messages, and too late.
            let delay = self.timing.cm_delay.draw(&mut self.random) + verdict.delay;
            self.after(delay, Event::Cm(id, CmMessage::Ready));
        }
        if let Some(ending) = verdict.ending {
            self.end(id, ending);
        }
        self.note(id, 2);
        self.pump(id, Direction::ToInitiator);
    }

    fn refusal_at_initiator(&mut self, id: ConnectionId) {
        let pads = self.pad_private_data;
        let Some(connection) = self.connections.get_mut(id) else { return };
        let mut private_data = connection.reply_data.clone();
        if pads && !private_data.is_empty() {
            pad(&mut private_data, REFUSAL_DATA);
        }
        if connection.initiator.state == InitiatorState::Connecting {
            connection.initiator.state = InitiatorState::Closed;
            connection.initiator.events.push_back(InitiatorEvent::Rejected { private_data: private_data.to_vec() });
        }
        self.note(id, 3);
    }

    fn established_at_target(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let target = &connection.target;
        let Some(control) = target.control.filter(|_| !target.told && !target.leaving) else { return };
        self.controls[control].events.push_back(ControlEvent::Established { connection: id });
        self.note(id, 4);
    }

    /// The initiator left. When the target has not answered its request, a connection manager may keep the news to
    /// itself until the target accepts.
    fn peer_left(&mut self, id: ConnectionId, reason: &'static str) {
        let keeps = self.random.below(2) == 0;
        match self.connections.get_mut(id) {
            Some(connection) if connection.phase == Phase::Requested && keeps => connection.target.given_up = true,
            Some(_) => self.ended_at_target(id, reason),
            None => {}
        }
    }

    /// The target's end is over: it is told, once.
    pub(super) fn ended_at_target(&mut self, id: ConnectionId, reason: &'static str) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let target = &mut connection.target;
        let Some(control) = target.control.filter(|_| !target.told) else { return };
        target.told = true;
        if connection.phase == Phase::Requested {
            connection.phase = Phase::Over;
        }
        self.controls[control].events.push_back(ControlEvent::Disconnected { connection: id, reason });
        self.note(id, 5);
        self.target_failed(id, None);
    }

    /// The initiator disconnects.
    pub(super) fn initiator_leaves(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.initiator.state == InitiatorState::Closed {
            return;
        }
        self.initiator_closed(id, "disconnected by the initiator");
        self.cm_to_target(id, CmMessage::PeerLeft("the initiator disconnected"));
    }

    /// The initiator's queue pair goes into error. Its program notices, and disconnects some time later.
    pub(super) fn initiator_failed(&mut self, id: ConnectionId, reason: &'static str) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.initiator.state == InitiatorState::Connected {
            connection.initiator.state = InitiatorState::Failed;
            connection.initiator.events.push_back(InitiatorEvent::Disconnected { reason });
            self.after(self.timing.leave_after_error, Event::Cm(id, CmMessage::LeaveAfterError));
        }
    }

    /// The initiator's end is over.
    pub(super) fn initiator_closed(&mut self, id: ConnectionId, reason: &'static str) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let initiator = &mut connection.initiator;
        if matches!(initiator.state, InitiatorState::Connecting | InitiatorState::Connected) {
            initiator.events.push_back(InitiatorEvent::Disconnected { reason });
        }
        if initiator.state != InitiatorState::Closed {
            initiator.state = InitiatorState::Closed;
            self.drop_answers(id);
            self.pump(id, Direction::ToInitiator);
            self.after(self.timing.retry_timeout, Event::RetriesExceeded(id));
        }
    }

    /// Both ends hear nothing any more, and each notices in its own time.
    pub(super) fn notice_loss(&mut self, id: ConnectionId) {
        let timeout = self.timing.retry_timeout;
        let at_target = timeout + self.random.below(timeout.max(1));
        let at_initiator = timeout + self.random.below(timeout.max(1));
        self.after(at_target, Event::Cm(id, CmMessage::Left("the path to the initiator is lost")));
        self.after(at_initiator, Event::Cm(id, CmMessage::Silence));
    }

    /// A connection is forgotten when neither end has it.
    pub(super) fn forget_if_over(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.target.control.is_none() && !connection.initiator.held {
            self.connections.remove(id);
        }
    }

    /// A script asks for a fault.
    pub(super) fn inject(&mut self, connection: Option<ConnectionId>, when: When, action: FaultAction) {
        match when {
            When::At(at) => self.clock.schedule(nanoseconds(at), Event::Ending(connection, action.ending())),
            When::Nth(kind, nth) => self.faults.inject(connection, kind, nth, action),
        }
    }

    /// A device is unplugged: its connections end, here at once, at the initiators when they notice.
    pub(super) fn remove_device(&mut self, name: &str) {
        let Some(device) = self.devices.iter().position(|device| device.name == name && device.present) else { return };
        self.devices[device].present = false;
        for id in self.connections.ids() {
            let Some(connection) = self.connections.get_mut(id) else { continue };
            if connection.device == device && connection.target.control.is_some() {
                connection.dead = true;
                self.ended_at_target(id, "the RDMA device was removed");
                self.end(id, Ending::Lost);
            }
        }
        for control in &mut self.controls {
            control.events.push_back(ControlEvent::DeviceRemoved { device: name.to_owned() });
        }
    }

    /// A device is plugged in.
    pub(super) fn add_device(&mut self, name: &str) {
        match self.devices.iter_mut().find(|device| device.name == name) {
            Some(device) if device.present => return,
            Some(device) => device.present = true,
            None => self.devices.push(Device { name: name.to_owned(), present: true }),
        }
        for control in &mut self.controls {
            control.events.push_back(ControlEvent::DeviceAdded { device: name.to_owned() });
        }
    }

    /// The target's queue pair of a connection, if it has one.
    pub(super) fn target_qp(&mut self, id: ConnectionId) -> Option<&mut TargetQp> {
        self.connections.get_mut(id)?.target.qp.as_mut()
    }
}

/// Who listens there.
fn listener_for(controls: &[ControlState], to: SocketAddr) -> Option<(usize, ListenerId)> {
    controls.iter().enumerate().find_map(|(control, state)| {
        let serves = |address: &SocketAddr| {
            address.port() == to.port() && (address.ip() == to.ip() || address.ip().is_unspecified())
        };
        state.listeners.iter().find(|(_, address)| serves(address)).map(|(listener, _)| (control, *listener))
    })
}

/// Fills private data with zeroes, as the fixed-size messages of InfiniBand do.
fn pad(private_data: &mut PrivateData, len: usize) {
    while private_data.len() < len {
        private_data.push(0);
    }
}
