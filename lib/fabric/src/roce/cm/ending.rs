//! How connections and attempts end: DREQ and DREP, REJ, and connections that their peer has forgotten (IBTA vol. 1,
//! 12.9.8.3 and 12.9.9).

use arrayvec::ArrayVec;

use super::connection::{Connection, Ends, State};
use super::timers::{self, Exchange};
use super::{Cm, CmEvent, CmId, encode};
use crate::roce::packet_io::Path;
use crate::roce::wire::cm::{Drep, Dreq, Message, REJ_PRIVATE_DATA_LEN, Rej, RejectReason, Rep, private_data};

/// In MRA and REJ: about a REQ (12.6.6, 12.6.7).
pub(super) const OF_REQUEST: u8 = 0;
/// In MRA and REJ: about a REP.
pub(super) const OF_REPLY: u8 = 1;
/// In REJ: about no message, because none came.
const OF_NOTHING: u8 = 2;

impl Cm {
    /// Ends a connection: DREQ, repeated until DREP. An `Ended` event follows at once unless one was reported before. What
    /// is not accepted yet is rejected, or withdrawn.
    pub fn disconnect(&mut self, now: u64, id: CmId) {
        match self.table.get(id).map(|connection| &connection.state) {
            Some(State::Requested(_)) => self.reject(now, id, &[]),
            Some(State::RequestSent(_)) => self.give_up_request(id),
            Some(State::ReplySent(_) | State::Established) => self.send_disconnect_request(now, id),
            Some(State::Disconnecting(_) | State::TimeWait { .. } | State::Over) | None => return,
        }
        self.tell_end(id, "disconnected by us");
    }

    fn send_disconnect_request(&mut self, now: u64, id: CmId) {
        let transaction_id = self.ids.transaction();
        let sent = self.table.update(id, |connection| {
            let dreq = Dreq {
                local_comm_id: id.0,
                remote_comm_id: connection.remote_id,
                remote_qpn: connection.remote_qpn,
                private_data: private_data(&[]),
            };
            let mad = encode(transaction_id, Message::Dreq(dreq));
            connection.state = State::Disconnecting(Exchange::disconnect(now, mad));
            (connection.path, mad)
        });
        if let Some((path, mad)) = sent {
            self.queue(path, mad);
        }
    }

    /// Whatever we know of the connection, its peer may forget it: DREP, except to those who are not the peer.
    pub(super) fn on_disconnect_request(&mut self, now: u64, path: &Path, transaction_id: u64, dreq: &Dreq) {
        let id = CmId(dreq.remote_comm_id);
        match self.table.get(id) {
            Some(connection) if Ends::of(&connection.path) != Ends::of(path) => {
                self.counters.unknown += 1;
                return;
            }
            Some(connection) if connection.is_with(dreq.local_comm_id, dreq.remote_qpn) => match connection.state {
                State::ReplySent(_) | State::Established | State::Disconnecting(_) => {
                    self.end(now, id, "the peer disconnected");
                }
                State::TimeWait { .. } | State::Over => self.counters.duplicates += 1,
                State::Requested(_) | State::RequestSent(_) => self.counters.unknown += 1,
            },
            Some(_) | None => self.counters.unknown += 1,
        }
        let drep = Drep {
            local_comm_id: dreq.remote_comm_id,
            remote_comm_id: dreq.local_comm_id,
            private_data: private_data(&[]),
        };
        self.send(*path, transaction_id, Message::Drep(drep));
    }

    pub(super) fn on_disconnect_reply(&mut self, now: u64, path: &Path, drep: &Drep) {
        let Some(id) = self.addressed(path, drep.local_comm_id, drep.remote_comm_id) else { return };
        if matches!(self.table.get(id), Some(Connection { state: State::Disconnecting(_), .. })) {
            self.end(now, id, "disconnected by us");
        } else {
            self.counters.duplicates += 1;
        }
    }

    /// DREQ was repeated often enough.
    pub(super) fn on_disconnect_unanswered(&mut self, now: u64, id: CmId) {
        self.counters.timeouts += 1;
        self.end(now, id, "disconnected by us");
    }

    /// REJ ends whatever is not over.
    pub(super) fn on_rejected(&mut self, now: u64, path: &Path, rej: &Rej) {
        let Some(connection) = self.rejected(path, rej) else {
            self.counters.unknown += 1;
            return;
        };
        let id = connection.id;
        match connection.state {
            State::RequestSent(_) => self.report_rejected(id, rej.reason, &rej.private_data),
            State::Requested(_) => self.end(now, id, "the initiator withdrew its request"),
            State::ReplySent(_) | State::Established => self.end(now, id, "the peer rejected the connection"),
            State::Disconnecting(_) => self.end(now, id, "disconnected by us"),
            State::TimeWait { .. } | State::Over => self.counters.duplicates += 1,
        }
    }

    /// The connection that a REJ is about. Who rejects or withdraws a REQ need not name both ids.
    fn rejected(&self, path: &Path, rej: &Rej) -> Option<&Connection> {
        let ends = Ends::of(path);
        let id = match rej.remote_comm_id {
            0 => self.table.by_remote_id(ends, rej.local_comm_id)?,
            id => CmId(id),
        };
        self.table.get(id).filter(|connection| {
            let to_request = matches!(connection.state, State::RequestSent(_));
            Ends::of(&connection.path) == ends && (to_request || connection.remote_id == rej.local_comm_id)
        })
    }

    /// A queue pair of the peer is in a new connection: the older one that had it is over, and the peer does not know it
    /// (12.9.8.3.1). True if there was one.
    pub(super) fn end_stale(&mut self, now: u64, ends: Ends, remote_qpn: u32) -> bool {
        let Some(id) = self.table.by_queue_pair(ends, remote_qpn) else { return false };
        self.counters.stale += 1;
        self.end(now, id, "the peer has forgotten it: its queue pair is in a new connection");
        true
    }

    /// The connection is over; late messages about it are still answered for a while.
    pub(super) fn end(&mut self, now: u64, id: CmId, why: &'static str) {
        let time_wait = State::TimeWait { until: now + timers::TIME_WAIT, rejection: None };
        self.table.update(id, |connection| connection.state = time_wait);
        self.tell_end(id, why);
    }

    /// Reports the end, once.
    pub(super) fn tell_end(&mut self, id: CmId, why: &'static str) {
        if self.table.update(id, |connection| connection.consumer.learn_the_end()) == Some(true) {
            self.events.push_back(CmEvent::Ended { id, why });
        }
    }
}

/// REJ of the REQ with this id. We name no id of ours, as Linux does not: the peer has no use for it.
///
/// # Panics
/// If there is more information or private data than a REJ carries (72 and 148 bytes).
pub(super) fn rej_of_request(
    remote_comm_id: u32,
    reason: RejectReason,
    information: &[u8],
    consumers_data: &[u8],
) -> Message {
    assert!(consumers_data.len() <= REJ_PRIVATE_DATA_LEN, "private data that fits into a REJ");
    Message::Rej(Rej {
        local_comm_id: 0,
        remote_comm_id,
        message: OF_REQUEST,
        reason,
        information: information.iter().copied().collect(),
        private_data: private_data(consumers_data),
    })
}

/// REJ of this REP, by the ids that it used.
pub(super) fn rej_of_reply(rep: &Rep, reason: RejectReason) -> Message {
    Message::Rej(Rej {
        local_comm_id: rep.remote_comm_id,
        remote_comm_id: rep.local_comm_id,
        message: OF_REPLY,
        reason,
        information: ArrayVec::new(),
        private_data: private_data(&[]),
    })
}

/// REJ because no answer came. Our node's GUID goes with it: by that and our id the peer finds the connection, if we do not
/// know its id (12.6.7.2).
pub(super) fn rej_of_silence(connection: &Connection, node_guid: u64) -> Message {
    Message::Rej(Rej {
        local_comm_id: connection.id.0,
        remote_comm_id: connection.remote_id,
        message: OF_NOTHING,
        reason: RejectReason::TIMEOUT,
        information: node_guid.to_be_bytes().into_iter().collect(),
        private_data: private_data(&[]),
    })
}
