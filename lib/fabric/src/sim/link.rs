//! The data plane: what IBTA vol. 1, chapter 9 (transport layer, reliable connection) asks of two queue pairs.
//!
//! On each connection the target's requests arrive in order. WRITEs and SENDs are carried out as they arrive; a READ
//! may be carried out later, when requests behind it have been already (9.5, table on ordering: what follows a READ
//! may pass it, unless fenced). Answers come back in the order of the requests, so completions do too.

use super::connection::{Answer, InitiatorState, Phase, Reply, Request, Unacknowledged, Work};
use super::faults::{Ending, OperationKind, Verdict};
use super::world::{Direction, Event, GroupEvent, Spares, Violation, World};
use crate::{ConnectionId, WorkError};

impl World {
    /// The target posts a receive.
    #[inline]
    pub(super) fn post_receive(&mut self, id: ConnectionId, len: u32) {
        let Some(qp) = self.connections.get_mut(id).and_then(|c| c.target.qp.as_mut()) else { return };
        qp.receives.push_back(len);
        if qp.error {
            return self.plan_flush(id);
        }
        if self.connections.get_mut(id).is_some_and(|c| c.to_target.not_ready) {
            self.pump(id, Direction::ToTarget);
        }
    }

    /// The target posts a request.
    #[inline]
    pub(super) fn post_send(&mut self, id: ConnectionId, request: Request, silent: bool) {
        let Some(qp) = self.connections.get_mut(id).and_then(|c| c.target.qp.as_mut()) else { return };
        assert!(qp.ready || qp.error, "connection {}: an operation was posted before accept", id.0);
        qp.waiting.push_back(Work { request, silent });
        if qp.error { self.plan_flush(id) } else { self.transmit(id) }
    }

    /// The target's device sends what it may.
    fn transmit(&mut self, id: ConnectionId) {
        while let Some(connection) = self.connections.get_mut(id) {
            let Some(qp) = connection.target.qp.as_mut().filter(|qp| !qp.error) else { return };
            let Some(Work { request, .. }) = qp.waiting.front() else { return };
            let read = matches!(request, Request::Read { .. });
            // With reads_max = 0 a device has no such limit to wait for; the other end refuses.
            if read && qp.reads_outstanding >= qp.reads_max.max(1) {
                return;
            }
            let Some(Work { mut request, silent }) = qp.waiting.pop_front() else { return };
            qp.reads_outstanding += u32::from(read);
            let verdict = self.faults.judge(id, request.kind(), &mut self.random);
            qp.unheard |= matches!(verdict.fail, Some((_, false)));
            if qp.unheard {
                self.spares.put_request(std::mem::replace(&mut request, Request::Skipped));
            }
            let fault = verdict.fail.map(|(error, _)| error);
            self.put_request(id, request, Unacknowledged { read, silent, fault }, verdict);
        }
    }

    fn put_request(&mut self, id: ConnectionId, request: Request, note: Unacknowledged, verdict: Verdict) {
        let at = self.clock.now() + self.timing.delay.draw(&mut self.random) + verdict.delay;
        let Some(connection) = self.connections.get_mut(id) else { return };
        if let Some(qp) = &mut connection.target.qp {
            qp.unacknowledged.push_back(note);
        }
        if connection.dead {
            self.spares.put_request(request);
            self.after(self.timing.retry_timeout, Event::RetriesExceeded(id));
        } else if let Some(at) = connection.to_initiator.put(at, request) {
            self.clock.schedule(at, Event::Arrival(id, Direction::ToInitiator));
        }
        if let Some(ending) = verdict.ending {
            self.end(id, ending);
        }
    }

    /// The initiator sends a message; false if it is not connected.
    pub(super) fn send_message(&mut self, id: ConnectionId, message: &[u8]) -> bool {
        let Some(connection) = self.connections.get_mut(id) else { return false };
        if connection.initiator.state != InitiatorState::Connected {
            return false;
        }
        let verdict = self.faults.judge(id, OperationKind::Message, &mut self.random);
        let at = self.clock.now() + self.timing.delay.draw(&mut self.random) + verdict.delay;
        if !connection.dead {
            let data = self.spares.copy(message);
            if let Some(at) = connection.to_target.put(at, data) {
                self.clock.schedule(at, Event::Arrival(id, Direction::ToTarget));
            }
        }
        if let Some(ending) = verdict.ending {
            self.end(id, ending);
        }
        true
    }

    /// Takes what arrived on a link.
    pub(super) fn pump(&mut self, id: ConnectionId, direction: Direction) {
        match direction {
            Direction::ToTarget => while self.message_arrived(id) {},
            Direction::ToInitiator => while self.request_arrived(id) {},
            Direction::Replies => while self.reply_arrived(id) {},
        }
    }

    /// Takes one message of the initiator; false if there is none, or none that can be taken.
    fn message_arrived(&mut self, id: ConnectionId) -> bool {
        let now = self.clock.now();
        let Some(connection) = self.connections.get_mut(id) else { return false };
        let link = &mut connection.to_target;
        let Some(len) = link.arrived(now).map(Vec::len) else { return false };
        let Some(qp) = connection.target.qp.as_mut().filter(|qp| !qp.error) else {
            // Nobody is there to answer: the initiator learns of the end from the connection manager.
            if let Some(message) = link.take() {
                self.spares.put(message);
            }
            return true;
        };
        let Some(receive_len) = qp.receives.front().copied() else {
            self.wait_for_receive(id, Direction::ToTarget);
            return false;
        };
        let Some(message) = link.take() else { return false };
        if len > receive_len as usize {
            // The receiver's local length error; the sender gets a remote invalid request error (IBTA 9.9.2).
            self.spares.put(message);
            self.violation(Violation::MessageTooLong { connection: id, by_target: false, len, receive_len });
            self.initiator_failed(id, "the target had no receive long enough for a message");
            self.target_failed(id, None);
            return true;
        }
        qp.receives.pop_front();
        let slot = qp.slot.expect("receives are posted through a poll group");
        self.groups[qp.group].inbox.push_back(GroupEvent::Received { slot, data: message });
        self.counters.messages_to_target += 1;
        self.note(id, len as u64);
        true
    }

    /// Takes one request of the target; false if there is none, or none that can be taken.
    fn request_arrived(&mut self, id: ConnectionId) -> bool {
        let now = self.clock.now();
        let Some(connection) = self.connections.get_mut(id) else { return false };
        let Some(request) = connection.to_initiator.arrived(now) else { return false };
        match connection.initiator.state {
            InitiatorState::Connecting => return false,
            InitiatorState::Connected => {}
            InitiatorState::Failed | InitiatorState::Closed => {
                let request = connection.to_initiator.take();
                request.into_iter().for_each(|request| self.spares.put_request(request));
                self.after(self.timing.retry_timeout, Event::RetriesExceeded(id));
                return true;
            }
        }
        if matches!(request, Request::Send { .. }) && connection.initiator.receives == 0 {
            self.wait_for_receive(id, Direction::ToInitiator);
            return false;
        }
        let Some(request) = connection.to_initiator.take() else { return false };
        self.note(id, request.kind() as u64 + 1_000_000);
        match request {
            Request::Skipped => self.answer(id, Reply::Done),
            Request::Read { rkey, addr, len } => self.read_arrived(id, rkey, addr, len),
            Request::Write { rkey, addr, data } => {
                let reply = self.write(id, rkey, addr, &data);
                self.spares.put(data);
                self.answer(id, reply);
            }
            Request::Send { data } => {
                let reply = self.receive_at_initiator(id, data);
                self.answer(id, reply);
            }
        }
        true
    }

    fn read_arrived(&mut self, id: ConnectionId, rkey: u32, addr: u64, len: u32) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let initiator = &mut connection.initiator;
        let pending = initiator.answers.iter().filter(|answer| matches!(answer, Answer::Pending { .. })).count();
        if pending >= usize::from(initiator.reads_served) {
            let served = initiator.reads_served;
            self.violation(Violation::TooManyReads { connection: id, served });
            self.initiator_failed(id, "the target had too many READs outstanding");
            return self.answer(id, Reply::Refused(WorkError::RemoteRequest));
        }
        let at = self.clock.now() + self.timing.read_delay.draw(&mut self.random);
        initiator.read_due = initiator.read_due.max(at);
        initiator.answers.push_back(Answer::Pending { rkey, addr, len });
        if initiator.read_due <= self.clock.now() && pending == 0 {
            self.read_done(id);
        } else {
            self.clock.schedule(initiator.read_due, Event::ReadDone(id));
        }
    }

    /// Carries the oldest READ out, and sends its answer and those that waited behind it.
    pub(super) fn read_done(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let Some(Answer::Pending { rkey, addr, len }) = connection.initiator.answers.front() else { return };
        let (rkey, addr, len) = (*rkey, *addr, *len);
        connection.initiator.answers.pop_front();
        let reply = self.read(id, rkey, addr, len);
        let refused = matches!(reply, Reply::Refused(_));
        self.put_reply(id, reply);
        if refused {
            // Its queue pair is in error: what came later is not answered.
            return self.drop_answers(id);
        }
        while let Some(connection) = self.connections.get_mut(id) {
            if !matches!(connection.initiator.answers.front(), Some(Answer::Ready(_))) {
                return;
            }
            if let Some(Answer::Ready(reply)) = connection.initiator.answers.pop_front() {
                self.put_reply(id, reply);
            }
        }
    }

    /// Forgets the answers that are not sent yet.
    pub(super) fn drop_answers(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        for answer in std::mem::take(&mut connection.initiator.answers) {
            if let Answer::Ready(reply) = answer {
                self.spares.put_reply(reply);
            }
        }
    }

    fn read(&mut self, id: ConnectionId, rkey: u32, addr: u64, len: u32) -> Reply {
        let Some(connection) = self.connections.get_mut(id) else { return Reply::Done };
        let len = u64::from(len);
        match self.memory.reach(connection.initiator.host, rkey, addr, len, false) {
            Ok(bytes) => {
                self.counters.reads += 1;
                Reply::Data(self.spares.copy(bytes))
            }
            Err(problem) => self.refuse(id, OperationKind::Read, rkey, addr, len, problem),
        }
    }

    fn write(&mut self, id: ConnectionId, rkey: u32, addr: u64, data: &[u8]) -> Reply {
        let Some(connection) = self.connections.get_mut(id) else { return Reply::Done };
        // A WRITE of no bytes touches no memory, so its key is not looked at.
        if data.is_empty() {
            return Reply::Done;
        }
        let len = data.len() as u64;
        match self.memory.reach(connection.initiator.host, rkey, addr, len, true) {
            Ok(bytes) => {
                bytes.copy_from_slice(data);
                self.counters.writes += 1;
                Reply::Done
            }
            Err(problem) => self.refuse(id, OperationKind::Write, rkey, addr, len, problem),
        }
    }

    fn refuse(
        &mut self,
        connection: ConnectionId,
        operation: OperationKind,
        rkey: u32,
        addr: u64,
        len: u64,
        problem: &'static str,
    ) -> Reply {
        self.violation(Violation::RemoteAccess { connection, operation, addr, rkey, len, problem });
        self.initiator_failed(connection, "the target reached for memory that it may not touch");
        Reply::Refused(WorkError::RemoteAccess)
    }

    fn receive_at_initiator(&mut self, id: ConnectionId, data: Vec<u8>) -> Reply {
        let Some(connection) = self.connections.get_mut(id) else { return Reply::Done };
        let (len, receive_len) = (data.len(), connection.initiator.receive_len);
        connection.initiator.receives -= 1;
        if len > receive_len as usize {
            self.spares.put(data);
            self.violation(Violation::MessageTooLong { connection: id, by_target: true, len, receive_len });
            self.initiator_failed(id, "the target sent a message longer than the receive");
            return Reply::Refused(WorkError::RemoteRequest);
        }
        connection.initiator.inbox.push_back(data);
        self.counters.messages_to_initiator += 1;
        Reply::Done
    }

    /// Answers a request, after the READs before it.
    fn answer(&mut self, id: ConnectionId, reply: Reply) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.initiator.answers.is_empty() {
            self.put_reply(id, reply);
        } else {
            connection.initiator.answers.push_back(Answer::Ready(reply));
        }
    }

    fn put_reply(&mut self, id: ConnectionId, reply: Reply) {
        let at = self.clock.now() + self.timing.delay.draw(&mut self.random);
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.dead {
            self.spares.put_reply(reply);
        } else if let Some(at) = connection.replies.put(at, reply) {
            self.clock.schedule(at, Event::Arrival(id, Direction::Replies));
        }
    }

    /// Takes one answer; false if there is none.
    fn reply_arrived(&mut self, id: ConnectionId) -> bool {
        let now = self.clock.now();
        let Some(connection) = self.connections.get_mut(id) else { return false };
        if connection.replies.arrived(now).is_none() {
            return false;
        }
        let Some(reply) = connection.replies.take() else { return false };
        let Some(qp) = connection.target.qp.as_mut().filter(|qp| !qp.error) else {
            self.spares.put_reply(reply);
            return true;
        };
        let work = qp.unacknowledged.pop_front().expect("an answer belongs to a request");
        qp.reads_outstanding -= u32::from(work.read);
        let result = match (work.fault, reply) {
            (None, Reply::Done) => Ok(None),
            (None, Reply::Data(data)) => Ok(Some(data)),
            (None, Reply::Refused(error)) => Err(error),
            (Some(error), reply) => {
                self.spares.put_reply(reply);
                Err(error)
            }
        };
        match result {
            Ok(data) if !work.silent => {
                let slot = qp.slot.expect("work is posted through a poll group");
                self.groups[qp.group].inbox.push_back(GroupEvent::Sent { slot, data });
            }
            Ok(_) => {}
            Err(error) => {
                // It goes back to the head, to be the first one that the flush finds.
                qp.unacknowledged.push_front(work);
                self.target_failed(id, Some(error));
                return true;
            }
        }
        if work.read {
            self.transmit(id);
        }
        true
    }

    /// A message met an empty receive queue (IBTA 9.7.5.2.8: RNR NAK).
    fn wait_for_receive(&mut self, id: ConnectionId, direction: Direction) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let message = match direction {
            Direction::ToTarget => {
                if connection.to_target.not_ready {
                    return;
                }
                connection.to_target.not_ready = true;
                self.counters.target_not_ready += 1;
                connection.to_target.delivered
            }
            Direction::ToInitiator | Direction::Replies => {
                if connection.to_initiator.not_ready {
                    return;
                }
                connection.to_initiator.not_ready = true;
                self.counters.initiator_not_ready += 1;
                connection.to_initiator.delivered
            }
        };
        if let Some(limit) = self.timing.receiver_not_ready_timeout {
            self.after(limit, Event::ReceiverNotReady(id, direction, message));
        }
    }

    /// The sender of message number `message` has retried often enough.
    pub(super) fn receiver_not_ready(&mut self, id: ConnectionId, direction: Direction, message: u64) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        match direction {
            Direction::ToTarget if connection.to_target.not_ready && connection.to_target.delivered == message => {
                self.initiator_failed(id, "the target had no receive posted");
            }
            Direction::ToInitiator
                if connection.to_initiator.not_ready && connection.to_initiator.delivered == message =>
            {
                self.target_failed(id, Some(WorkError::ReceiverNotReady));
            }
            _ => {}
        }
    }

    /// The target's queue pair goes into error; `error` is that of its oldest outstanding request.
    pub(super) fn target_failed(&mut self, id: ConnectionId, error: Option<WorkError>) {
        let Some(qp) = self.connections.get_mut(id).and_then(|c| c.target.qp.as_mut()) else { return };
        if !qp.error {
            qp.error = true;
            qp.first_error = error;
            self.plan_flush(id);
        }
    }

    fn plan_flush(&mut self, id: ConnectionId) {
        let delay = self.timing.flush_delay.draw(&mut self.random);
        self.after(delay, Event::Flush(id));
    }

    /// Everything posted to a queue pair in error comes back.
    pub(super) fn flush(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let Some(qp) = connection.target.qp.as_mut() else { return };
        let silent = qp.unacknowledged.iter().map(|work| work.silent).chain(qp.waiting.iter().map(|work| work.silent));
        let (sends, receives) = (silent.filter(|silent| !silent).count(), qp.receives.len());
        qp.unacknowledged.clear();
        qp.receives.clear();
        qp.reads_outstanding = 0;
        let waiting = std::mem::take(&mut qp.waiting);
        if sends + receives > 0 {
            let slot = qp.slot.expect("work is posted through a poll group");
            let (error, shuffle) = (qp.first_error.take(), self.random.next());
            let flushed = GroupEvent::Flushed { slot, receives, sends, error, shuffle };
            self.groups[qp.group].inbox.push_back(flushed);
        }
        for work in waiting {
            self.spares.put_request(work.request);
        }
    }

    /// The target's device gives up, if it still waits for an answer from somebody who is gone.
    pub(super) fn retries_exceeded(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let gone =
            connection.dead || matches!(connection.initiator.state, InitiatorState::Failed | InitiatorState::Closed);
        if gone && connection.target.qp.as_ref().is_some_and(|qp| qp.sending()) {
            self.target_failed(id, Some(WorkError::RetriesExceeded));
        }
    }

    /// A fault ends a connection.
    pub(super) fn end(&mut self, id: ConnectionId, ending: Ending) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.phase == Phase::Over {
            return;
        }
        match ending {
            Ending::PeerLeft => self.initiator_leaves(id),
            Ending::PeerVanished => {
                self.cut(id);
                self.initiator_closed(id, "the initiator's machine is gone");
            }
            Ending::Lost => {
                self.cut(id);
                self.notice_loss(id);
            }
        }
    }

    /// Nothing gets through any more.
    fn cut(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.dead = true;
        let messages = std::mem::take(&mut connection.to_target.queue);
        let requests = std::mem::take(&mut connection.to_initiator.queue);
        let replies = std::mem::take(&mut connection.replies.queue);
        messages.into_iter().for_each(|(_, message)| self.spares.put(message));
        requests.into_iter().for_each(|(_, request)| self.spares.put_request(request));
        replies.into_iter().for_each(|(_, reply)| self.spares.put_reply(reply));
        self.counters.connections_cut += 1;
        self.after(self.timing.retry_timeout, Event::RetriesExceeded(id));
    }
}

impl Spares {
    fn put_request(&mut self, request: Request) {
        match request {
            Request::Write { data, .. } | Request::Send { data } => self.put(data),
            Request::Read { .. } | Request::Skipped => {}
        }
    }

    fn put_reply(&mut self, reply: Reply) {
        if let Reply::Data(data) = reply {
            self.put(data);
        }
    }
}

impl Request {
    fn kind(&self) -> OperationKind {
        match self {
            Request::Read { .. } => OperationKind::Read,
            Request::Write { .. } => OperationKind::Write,
            Request::Send { .. } => OperationKind::Send,
            Request::Skipped => OperationKind::Any,
        }
    }
}
