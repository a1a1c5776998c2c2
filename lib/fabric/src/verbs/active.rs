//! The active side: connections that an initiator asks for.
//!
//! ```text
//! connect ── bind, queue pair ──► resolve address ──► resolve route ──► REQ ──► Connected | Rejected | Disconnected
//! ```
//! The id is bound to the local address first, which decides on the device. So there is a queue pair, with receives on it, before
//! anything is known of the peer.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rdma_core_sys::rdma_cm_event_type::{self, *};

use super::cm::{CmId, REQ_DATA_MAX};
use super::connection::{Connection, Question, State};
use super::control::Control;
use super::queue_pair::QueuePair;
use crate::{Connect, ConnectionId, ControlEvent, FabricError, PrivateData, Service};

/// Reasons of a REJ (IBTA vol. 1, 12.6.7.2): nobody listens (invalid service id), or who listens refuses (consumer).
const NOBODY_LISTENS: u16 = 8;
const CONSUMER: u16 = 28;

impl Control {
    pub(crate) fn connect(&mut self, connect: &Connect) -> Result<(ConnectionId, QueuePair), FabricError> {
        let len = connect.private_data.len();
        if len > REQ_DATA_MAX {
            return Err(FabricError::PrivateDataTooLong { message: "request", len, most: REQ_DATA_MAX });
        }
        let failed = |call, source| FabricError::Call { call, device: connect.local.to_string(), source };
        self.look();
        let Some(channel) = &self.channel else {
            return Err(failed("connect", io::Error::other(self.channel_waits_for.clone())));
        };
        let channel = Arc::clone(channel);
        let connection = ConnectionId(self.number());
        let local = SocketAddr::new(connect.local, 0);
        let id = CmId::bind(&channel, connection.0, local, Service::Ip)
            .map_err(|source| failed("rdma_bind_addr", source))?;
        let Some(device) = self.devices.find(id.device()).map(Arc::clone) else {
            let why = "no RDMA device has this address: `rdma link` shows which network interfaces have one";
            return Err(failed("connect", io::Error::other(why)));
        };
        let reads_served = connect.reads_served.min(device.limits().reads_served);
        let question = Some(Box::new(Question { reads_served, private_data: connect.private_data.clone() }));
        let made = Connection { id, device, state: State::Resolving, handle: None, question };
        self.connections.insert(connection, made);
        match self.begin(connection, connect) {
            Ok(queue_pair) => Ok((connection, queue_pair)),
            Err(error) => {
                self.destroy(connection, None);
                Err(error)
            }
        }
    }

    fn begin(&mut self, connection: ConnectionId, connect: &Connect) -> Result<QueuePair, FabricError> {
        let queue_pair = self.create_queue_pair(connection, connect.group, connect.sizes)?;
        let asking = self.connections.get_mut(&connection).ok_or(FabricError::UnknownConnection(connection))?;
        match asking.id.resolve_address(connect.to) {
            Ok(()) => Ok(queue_pair),
            Err(source) => Err(asking.device.failed("rdma_resolve_addr", source)),
        }
    }

    /// Takes an event of a connection that was asked for; `false` if it is none that differs from those of others.
    pub(super) fn on_answer(
        &mut self,
        connection: ConnectionId,
        kind: rdma_cm_event_type::Type,
        status: i32,
        private_data: PrivateData,
    ) -> bool {
        let Some(asking) = self.connections.get_mut(&connection).filter(|known| known.question.is_some()) else {
            return false;
        };
        match kind {
            RDMA_CM_EVENT_ADDR_RESOLVED | RDMA_CM_EVENT_ROUTE_RESOLVED if asking.state == State::Resolving => {
                self.ask_on(connection, kind);
            }
            RDMA_CM_EVENT_ADDR_ERROR => self.end(connection, false, "nobody has the peer's address on this network"),
            RDMA_CM_EVENT_ROUTE_ERROR => self.end(connection, false, "there is no route to the peer"),
            RDMA_CM_EVENT_ESTABLISHED if asking.state == State::Asking => {
                asking.state = State::Established;
                self.events.push_back(ControlEvent::Connected { connection, private_data });
            }
            RDMA_CM_EVENT_REJECTED => {
                if asking.end(false) {
                    let reason = reason(status, &private_data);
                    self.events.push_back(ControlEvent::Rejected { connection, reason, private_data });
                }
            }
            RDMA_CM_EVENT_UNREACHABLE => self.end(connection, false, "the peer does not answer the handshake"),
            RDMA_CM_EVENT_DISCONNECTED => self.end(connection, true, "the peer disconnected"),
            _ => return false,
        }
        true
    }

    /// The next step on the way to the peer.
    fn ask_on(&mut self, connection: ConnectionId, resolved: rdma_cm_event_type::Type) {
        let Some(Connection { id, state, question: Some(question), .. }) = self.connections.get_mut(&connection) else {
            return;
        };
        let done = if resolved == RDMA_CM_EVENT_ADDR_RESOLVED {
            id.resolve_route()
        } else {
            *state = State::Asking;
            id.connect(question.reads_served, &question.private_data)
        };
        if let Err(error) = done {
            tracing::warn!("asking for a connection: {error}");
            self.end(connection, false, "the connection manager refused to ask for it");
        }
    }
}

/// The reason in a REJ. iWARP has an errno in its place, and the same one for both reasons: who refuses says why.
fn reason(status: i32, private_data: &[u8]) -> u16 {
    let stands_for = if private_data.is_empty() { NOBODY_LISTENS } else { CONSUMER };
    u16::try_from(status).unwrap_or(stands_for)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_the_cms_or_is_told_by_the_data() {
        assert_eq!(reason(28, &[]), CONSUMER);
        assert_eq!(reason(8, &[1]), NOBODY_LISTENS);
        assert_eq!(reason(-111, &[0xc2, 0]), CONSUMER);
        assert_eq!(reason(-111, &[]), NOBODY_LISTENS);
    }
}
