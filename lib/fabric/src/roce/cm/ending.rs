//! How connections and attempts end: DREQ and DREP, REJ, and connections that their peer has forgotten (IBTA vol. 1,
//! 12.9.8.3 and 12.9.9).

use super::connection::{Connection, Consumer, Ends, State};
use super::messages::encode;
use super::timers::{self, Exchange};
use super::{Cm, CmEvent, CmId};
use crate::roce::packet_io::Path;
use crate::roce::wire::cm::{Drep, Dreq, Message, Rej, private_data};

/// What has to be known of a connection to end it from outside: what remains of it when its process is no more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Remains {
    /// Its ends.
    pub path: Path,
    /// The communication id that its process had for it.
    pub local_id: u32,
    /// The peer's communication id.
    pub remote_id: u32,
    /// The peer's queue pair.
    pub remote_qpn: u32,
}

impl Cm {
    /// What would remain of a connection; `None`: it is not known.
    pub fn remains(&self, id: CmId) -> Option<Remains> {
        let Connection { path, remote_id, remote_qpn, .. } = *self.table.get(id)?;
        Some(Remains { path, local_id: id.0, remote_id, remote_qpn })
    }

    /// Ends a connection of a process that was here before us and ended without a word, as the kernel does it for processes
    /// that use its connection manager. The peer would go on repeating packets to a queue pair that nobody has; soft-RoCE does so
    /// for ever with a retry count of 7.
    pub fn end_remains(&mut self, now: u64, remains: &Remains) {
        let id = CmId(remains.local_id);
        if self.table.get(id).is_some() {
            return; // ours by chance
        }
        let mad = encode(self.ids.transaction(), disconnect_request(id, remains.remote_id, remains.remote_qpn));
        self.table.insert(Connection {
            id,
            path: remains.path,
            passive: false, // no REQ of it will be repeated
            remote_id: remains.remote_id,
            local_qpn: 0,
            remote_qpn: remains.remote_qpn,
            state: State::Disconnecting(Exchange::disconnect(now, mad)),
            consumer: Consumer::Gone,
        });
        self.queue(remains.path, mad);
    }

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
            let mad = encode(transaction_id, disconnect_request(id, connection.remote_id, connection.remote_qpn));
            connection.state = State::Disconnecting(Exchange::disconnect(now, mad));
            (connection.path, mad)
        });
        if let Some((path, mad)) = sent {
            self.queue(path, mad);
        }
    }

    /// Whatever we know of the connection, its peer may forget it: DREP. Those who name a connection of ours and are not
    /// its peer, or do not know its queue pair, get nothing.
    pub(super) fn on_disconnect_request(&mut self, now: u64, path: &Path, transaction_id: u64, dreq: &Dreq) {
        let id = CmId(dreq.remote_comm_id);
        let known = self.table.get(id);
        if known.is_some_and(|connection| !connection.is_between(path) || connection.local_qpn != dreq.remote_qpn) {
            self.counters.unknown += 1;
            return;
        }
        let meant = known.filter(|connection| connection.remote_id == dreq.local_comm_id);
        match meant.map(|connection| &connection.state) {
            Some(State::ReplySent(_) | State::Established | State::Disconnecting(_)) => {
                self.end(now, id, "the peer disconnected");
            }
            Some(State::TimeWait { .. } | State::Over) => self.counters.duplicates += 1,
            Some(State::Requested(_) | State::RequestSent(_)) | None => self.counters.unknown += 1,
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

    /// The connection that a REJ is about. Who refuses a REQ need not have an id; who withdraws one need not know ours.
    fn rejected(&self, path: &Path, rej: &Rej) -> Option<&Connection> {
        if rej.remote_comm_id == 0 {
            let id = self.table.by_remote_id(Ends::of(path), rej.local_comm_id)?;
            return self.table.get(id).filter(|connection| connection.is_half_open());
        }
        self.table.get(CmId(rej.remote_comm_id)).filter(|connection| {
            let of_request = matches!(connection.state, State::RequestSent(_));
            connection.is_between(path) && (of_request || connection.remote_id == rej.local_comm_id)
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

fn disconnect_request(id: CmId, remote_comm_id: u32, remote_qpn: u32) -> Message {
    Message::Dreq(Dreq { local_comm_id: id.0, remote_comm_id, remote_qpn, private_data: private_data(&[]) })
}
