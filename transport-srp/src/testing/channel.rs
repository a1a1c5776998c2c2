//! One channel: its login, its credits, what is outstanding on it, and the checks of what the target sends.

use std::collections::BTreeMap;

use fabric::sim::{self, InitiatorEvent};

use super::initiator::Handle;
use super::memory::{Memory, UNTOUCHED};
use super::request::Request;
use super::wire::{self, Command, Function, LoginRefusal, LoginResponse, Message, Residual, Response};

/// How far a login is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Login {
    /// No answer yet.
    Pending,
    /// Live.
    Accepted(LoginResponse),
    /// Refused; `None`: by the connection manager, without SRP_LOGIN_REJ.
    Refused(Option<LoginRefusal>),
    /// It was live, or on the way, and ended.
    Ended(&'static str),
}

/// Why a request was not sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotSent {
    /// The channel is not live.
    #[error("the channel is not live")]
    NoChannel,
    /// The request limit is used up, but for the credit that is kept for task management.
    #[error("no credit is left")]
    NoCredit,
    /// As many requests as the initiator has slots for are outstanding.
    #[error("as many requests are outstanding as the initiator has slots for")]
    QueueFull,
}

/// How a request ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// With a response.
    Answered(Answer),
    /// Without one: a task management function that covers it was answered.
    Aborted,
    /// Without one: its channel ended.
    Lost,
}

/// A response, with the data that came before it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// SCSI status.
    pub status: u8,
    /// Sense data; empty unless CHECK CONDITION.
    pub sense: Vec<u8>,
    /// Response code; always there for task management.
    pub code: Option<u8>,
    /// Residual of data to the target.
    pub residual_out: Residual,
    /// Residual of data from the target.
    pub residual_in: Residual,
    /// Data from the target: the whole buffer.
    pub data: Vec<u8>,
    /// Whether the response was marked as solicited.
    pub solicited: bool,
}

impl Outcome {
    /// The answer.
    ///
    /// # Panics
    /// If there was none.
    pub fn answer(self) -> Answer {
        match self {
            Outcome::Answered(answer) => answer,
            other => panic!("no answer: {other:?}"),
        }
    }

    /// The answer, which is GOOD.
    ///
    /// # Panics
    /// If it is not, with the sense.
    pub fn good(self) -> Answer {
        let answer = self.answer();
        assert_eq!(answer.status, 0, "status GOOD; sense {:02x?}, {:?}", answer.sense, answer.key_and_code());
        answer
    }
}

impl Answer {
    /// Sense key, additional sense code and qualifier, in fixed or descriptor format.
    pub fn key_and_code(&self) -> Option<(u8, u8, u8)> {
        let sense = &self.sense;
        match sense.first()? & 0x7f {
            0x70 | 0x71 => Some((sense.get(2)? & 0x0f, *sense.get(12)?, *sense.get(13)?)),
            0x72 | 0x73 => Some((sense.get(1)? & 0x0f, *sense.get(2)?, *sense.get(3)?)),
            _ => None,
        }
    }

    /// The data without the part that the residual says was not used.
    pub fn used(&self) -> &[u8] {
        match self.residual_in {
            Residual::Under(unused) => &self.data[..self.data.len() - unused as usize],
            Residual::None | Residual::Over(_) => &self.data,
        }
    }
}

/// One channel.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) end: sim::Initiator,
    pub(super) login: Login,
    pub(super) terms: Terms,
    /// Request limit that is left (SRP: REQUEST LIMIT of the initiator).
    pub(super) credits: i64,
    /// What the login granted.
    pub(super) limit: i64,
    pub(super) outstanding: BTreeMap<[u8; 8], Outstanding>,
    /// Reason of SRP_T_LOGOUT, if one came.
    pub(super) logout: Option<u32>,
    /// Asynchronous events: unit and sense.
    pub(super) events: Vec<([u8; 8], Vec<u8>)>,
    /// The answer to the target's request that waits to be sent.
    pub(super) owed: Option<Vec<u8>>,
    pub(super) number: usize,
    /// Task management that was under way when the channel ended: it may still end commands of other channels.
    pub(super) lost_management: Vec<Scope>,
    sent_anything: bool,
}

/// What was agreed, or asked for, in the login.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) request: wire::LoginRequest,
    pub(super) queue_size: u32,
}

/// A request that is not answered.
#[derive(Debug)]
pub(super) struct Outstanding {
    pub(super) handle: Handle,
    pub(super) kind: Kind,
    solicit: u8,
    /// Task management that covers it was sent: its credit may come back without an answer, and ahead of that to the
    /// task management, which may be on another channel.
    pub(super) doubtful: bool,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// A command with its memory.
    Command { lun: [u8; 8], memory: Memory },
    /// Task management.
    Management { scope: Scope },
    /// Bytes of a test's own making.
    Raw,
}

/// Which commands a task management function ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    pub(super) lun: [u8; 8],
    pub(super) function: Function,
    task: [u8; 8],
    /// Its own request: what was sent later may be ended too, but need not.
    handle: Handle,
}

/// What a message, or the end of a channel, brought about.
pub(super) type Finished = Vec<(Handle, Outcome)>;

impl Channel {
    pub(super) fn new(number: usize, end: sim::Initiator, terms: Terms) -> Channel {
        Channel {
            end,
            login: Login::Pending,
            terms,
            credits: 0,
            limit: 0,
            outstanding: BTreeMap::new(),
            logout: None,
            events: Vec::new(),
            owed: None,
            number,
            lost_management: Vec::new(),
            sent_anything: false,
        }
    }

    /// Takes what happened. Task management that was answered is reported, for the session to
    /// apply to its other channels.
    pub(super) fn poll(&mut self, finished: &mut Finished, managed: &mut Vec<Scope>) {
        while let Some(event) = self.end.poll() {
            match event {
                InitiatorEvent::Established { private_data } => self.established(&private_data),
                InitiatorEvent::Rejected { private_data } => {
                    let refusal = (!private_data.is_empty()).then(|| LoginRefusal::decode(&private_data));
                    if let Some(refusal) = &refusal {
                        assert_eq!(refusal.tag, self.terms.request.tag, "tag of SRP_LOGIN_REJ");
                    }
                    self.login = Login::Refused(refusal);
                }
                InitiatorEvent::Disconnected { reason } => {
                    self.messages(finished, managed);
                    self.login = Login::Ended(reason);
                    self.lost_management = self.management().copied().collect();
                    for (_, outstanding) in std::mem::take(&mut self.outstanding) {
                        self.abandon(outstanding, Outcome::Lost, finished);
                    }
                }
            }
        }
        self.messages(finished, managed);
    }

    /// SRP_LOGIN_RSP came: checks it, and posts the receives, as late as a real initiator does.
    fn established(&mut self, private_data: &[u8]) {
        let response = LoginResponse::decode(private_data);
        let request = &self.terms.request;
        assert_eq!(response.tag, request.tag, "tag of SRP_LOGIN_RSP");
        assert!(response.credits > 1, "{} credits: one is kept for task management", response.credits);
        assert!(
            response.max_it_iu_len >= request.max_it_iu_len,
            "the target accepted requests of {} bytes and takes {}",
            request.max_it_iu_len,
            response.max_it_iu_len
        );
        assert!(response.max_ti_iu_len >= 36 + 4 + 18, "no room for sense in {} bytes", response.max_ti_iu_len);
        assert_eq!(response.formats & !6, 0, "reserved descriptor formats");
        assert_eq!(response.flags & 0x7c, 0, "reserved flags of SRP_LOGIN_RSP");
        assert_ne!(response.multi_channel_result(), 3, "reserved multi-channel result");
        (self.limit, self.credits) = (response.credits.into(), response.credits.into());
        self.login = Login::Accepted(response);
        self.end.set_receive_len(response.max_ti_iu_len);
        self.end.post_receives(self.terms.queue_size + 2);
    }

    fn messages(&mut self, finished: &mut Finished, managed: &mut Vec<Scope>) {
        while let Some(bytes) = self.end.receive() {
            self.message(&bytes, finished, managed);
            self.end.post_receives(1);
        }
    }

    fn message(&mut self, bytes: &[u8], finished: &mut Finished, managed: &mut Vec<Scope>) {
        let number = self.number;
        assert!(self.sent_anything, "channel {number}: the target sent before it was sent anything: {bytes:02x?}");
        let message = Message::decode(bytes);
        tracing::trace!(channel = number, ?message, "received");
        match message {
            Message::Response(response) => {
                let Some(request) = self.outstanding.remove(&response.tag) else {
                    panic!(
                        "channel {number}: tag {:02x?} is not outstanding: answered twice, on another channel, \
                         or after the answer to its abort: {response:?}",
                        response.tag
                    )
                };
                if let Kind::Management { scope } = request.kind {
                    // ib_srp takes any answer to an abort for its success.
                    if scope.function == Function::AbortTask || response.code == Some(0) {
                        self.end_covered(&scope, finished);
                        managed.push(scope);
                    }
                }
                // After that: the answer to an abort carries the credit of what it aborted.
                self.take_credits(response.credits);
                let handle = request.handle;
                finished.push((handle, Outcome::Answered(self.check(request, response))));
            }
            Message::CreditRequest { tag, credits } => {
                self.take_credits(credits);
                self.owe(wire::encode_credit_response(tag));
            }
            Message::Event { tag, credits, lun, sense } => {
                self.take_credits(credits);
                self.events.push((lun, sense));
                self.owe(wire::encode_event_response(tag));
            }
            Message::Logout { reason } => {
                assert_eq!(self.logout.replace(reason), None, "channel {number}: SRP_T_LOGOUT twice");
            }
        }
    }

    fn take_credits(&mut self, credits: i32) {
        self.credits += i64::from(credits);
        let used = self.outstanding.values().filter(|request| !request.doubtful).count() as i64;
        let limit = self.limit;
        assert!(
            self.credits + used <= limit,
            "channel {}: {} credits are left and {used} in use: more than the {limit} of the login",
            self.number,
            self.credits
        );
        assert!(self.credits >= 0, "channel {}: the request limit became negative", self.number);
    }

    fn owe(&mut self, answer: Vec<u8>) {
        let before = self.owed.replace(answer);
        assert_eq!(
            before, None,
            "channel {}: a second request of the target before the first was answered",
            self.number
        );
    }

    /// Sends the answer to the target's request, if there is one.
    pub(super) fn answer_request(&mut self) {
        if let Some(answer) = self.owed.take() {
            // If the channel is not live any more, the target waits no more.
            let _ = self.end.send(&answer);
        }
    }

    /// Checks a response against its request, and takes the memory back.
    fn check(&self, request: Outstanding, response: Response) -> Answer {
        let (number, tag, status) = (self.number, response.tag, response.status);
        let place = format!("channel {number}, tag {tag:02x?}");
        assert_eq!(!response.sense.is_empty(), status == 2, "{place}: sense goes with CHECK CONDITION: {response:?}");
        let success = status == 0 && response.code.unwrap_or(0) == 0;
        let wished = request.solicit & if success { 0x02 } else { 0x04 } != 0;
        assert_eq!(response.solicited, wished, "{place}: solicited notification: {response:?}");
        let mut data = Vec::new();
        match request.kind {
            Kind::Management { .. } => {
                assert!(
                    response.code.is_some() && status == 0,
                    "{place}: task management without a code: {response:?}"
                );
            }
            Kind::Raw => {}
            Kind::Command { memory, .. } => {
                for (direction, residual, len) in
                    [("data-in", response.data_in, memory.len_in), ("data-out", response.data_out, memory.len_out)]
                {
                    if let Residual::Under(unused) = residual {
                        assert!(unused <= len, "{place}: {unused} bytes of {len} of {direction} are unused");
                    }
                }
                let bytes = memory.take_back(self.end.host());
                if memory.len_in > 0 {
                    let used = match response.data_in {
                        Residual::Under(unused) => memory.len_in - unused,
                        Residual::None | Residual::Over(_) => memory.len_in,
                    };
                    // After an error the buffer's content is undefined up to its length, and untouched beyond.
                    let defined = if status == 0 { used } else { memory.len_in };
                    let untouched = bytes.get(defined as usize..).unwrap_or(&[]);
                    assert!(
                        untouched.iter().all(|&byte| byte == UNTOUCHED),
                        "{place}: bytes were written beyond the {defined} that the response reports"
                    );
                    data = bytes;
                    data.truncate(memory.len_in as usize);
                }
            }
        }
        Answer {
            status,
            sense: response.sense,
            code: response.code,
            residual_out: response.data_out,
            residual_in: response.data_in,
            data,
            solicited: response.solicited,
        }
    }

    /// A task management function was sent: what it covers here may not be answered.
    pub(super) fn doubt_covered(&mut self, scope: &Scope) {
        for (tag, request) in &mut self.outstanding {
            request.doubtful |= scope.covers(tag, request);
        }
    }

    /// Whether task management was sent here, and not answered, that may end a command which another channel sends now under `tag`. ABORT TASK
    /// ends nothing that its own channel sends later.
    pub(super) fn may_end(&self, tag: &[u8; 8], lun: [u8; 8], channel: usize) -> bool {
        self.management().chain(&self.lost_management).any(|scope| match scope.function {
            Function::AbortTask => channel != self.number && scope.task == *tag && scope.lun == lun,
            _ => scope.lun == lun,
        })
    }

    fn management(&self) -> impl Iterator<Item = &Scope> {
        self.outstanding.values().filter_map(|request| match &request.kind {
            Kind::Management { scope } => Some(scope),
            Kind::Command { .. } | Kind::Raw => None,
        })
    }

    /// Ends a command that task management of another channel has surely ended.
    pub(super) fn end_command(&mut self, tag: &[u8; 8], handle: Handle, finished: &mut Finished) {
        if self.outstanding.get(tag).is_some_and(|request| request.handle == handle) {
            let request = self.outstanding.remove(tag).expect("it was just there");
            self.abandon(request, Outcome::Aborted, finished);
        }
    }

    /// Ends the commands that task management may have ended.
    pub(super) fn end_doubtful(&mut self, finished: &mut Finished) {
        let (ended, rest): (BTreeMap<_, _>, _) =
            std::mem::take(&mut self.outstanding).into_iter().partition(|(_, request)| request.doubtful);
        self.outstanding = rest;
        for request in ended.into_values() {
            self.abandon(request, Outcome::Aborted, finished);
        }
    }

    /// A task management function was answered: what it covers here is not answered any more.
    pub(super) fn end_covered(&mut self, scope: &Scope, finished: &mut Finished) {
        let (ended, rest): (BTreeMap<_, _>, _) =
            std::mem::take(&mut self.outstanding).into_iter().partition(|(tag, request)| scope.covers(tag, request));
        self.outstanding = rest;
        for request in ended.into_values() {
            self.abandon(request, Outcome::Aborted, finished);
        }
    }

    /// Ends a request without an answer.
    fn abandon(&self, request: Outstanding, outcome: Outcome, finished: &mut Finished) {
        if let Kind::Command { memory, .. } = request.kind {
            memory.take_back(self.end.host());
        }
        finished.push((request.handle, outcome));
    }

    /// Sends a command under `tag`; it is doubtful while a reset of its unit is under way.
    pub(super) fn send_command(
        &mut self,
        tag: [u8; 8],
        handle: Handle,
        request: &Request,
        doubtful: bool,
    ) -> Result<(), NotSent> {
        self.may_send(2)?;
        let (memory, data_out, data_in) = Memory::offer(self.end.host(), &request.data);
        let command = Command {
            tag,
            solicit: request.solicit,
            lun: request.lun,
            task_attribute: request.task_attribute,
            cdb: request.cdb.clone(),
            data_out,
            data_in,
        };
        let bytes = command.encode(self.terms.request.immediate_offset);
        let most = self.terms.request.max_it_iu_len as usize;
        assert!(bytes.len() <= most, "the test sends {} bytes where the login said at most {most}", bytes.len());
        let kind = Kind::Command { lun: request.lun, memory };
        self.send(tag, &bytes, Outstanding { handle, kind, solicit: request.solicit, doubtful })
    }

    /// Sends a task management function under `tag`.
    pub(super) fn send_management(
        &mut self,
        tag: [u8; 8],
        handle: Handle,
        lun: [u8; 8],
        function: Function,
        task: [u8; 8],
    ) -> Result<Scope, NotSent> {
        self.may_send(1)?;
        let bytes = wire::encode_task_management(tag, 0, lun, function, task);
        let scope = Scope { lun, function, task, handle };
        self.send(tag, &bytes, Outstanding { handle, kind: Kind::Management { scope }, solicit: 0, doubtful: false })?;
        self.doubt_covered(&scope);
        Ok(scope)
    }

    /// Sends any bytes. With a tag and handle they count as a request that will be answered.
    pub(super) fn send_raw(&mut self, bytes: &[u8], request: Option<([u8; 8], Handle)>) -> Result<(), NotSent> {
        match request {
            Some((tag, handle)) => {
                self.may_send(1)?;
                self.send(tag, bytes, Outstanding { handle, kind: Kind::Raw, solicit: 0, doubtful: false })
            }
            None => {
                self.sent_anything = true;
                self.end.send(bytes).map_err(|_| NotSent::NoChannel)
            }
        }
    }

    fn may_send(&self, credits: i64) -> Result<(), NotSent> {
        if !matches!(self.login, Login::Accepted(_)) || !self.end.is_connected() {
            return Err(NotSent::NoChannel);
        }
        if self.credits < credits {
            return Err(NotSent::NoCredit);
        }
        if self.outstanding.len() > self.terms.queue_size as usize {
            return Err(NotSent::QueueFull);
        }
        Ok(())
    }

    fn send(&mut self, tag: [u8; 8], bytes: &[u8], request: Outstanding) -> Result<(), NotSent> {
        if self.end.send(bytes).is_err() {
            self.abandon(request, Outcome::Lost, &mut Vec::new());
            return Err(NotSent::NoChannel);
        }
        tracing::trace!(channel = self.number, tag = ?u64::from_le_bytes(tag), ?request, "sent");
        self.sent_anything = true;
        self.credits -= 1;
        self.outstanding.insert(tag, request);
        Ok(())
    }
}

impl Scope {
    fn covers(&self, tag: &[u8; 8], request: &Outstanding) -> bool {
        let Kind::Command { lun, .. } = &request.kind else { return false };
        if request.handle > self.handle {
            return false;
        }
        match self.function {
            Function::AbortTask => *tag == self.task && *lun == self.lun,
            Function::AbortTaskSet | Function::ClearTaskSet | Function::LunReset => *lun == self.lun,
            Function::ClearAca | Function::Other(_) => false,
        }
    }
}
