//! A session: one initiator port logged in to one target port over several channels.

use std::collections::HashMap;
use std::net::SocketAddr;

use fabric::sim::{ConnectOptions, Host, Network};

use super::channel::{Channel, Finished, Login, NotSent, Outcome, Terms};
use super::request::Request;
use super::wire::{self, Function, IMMEDIATE, LoginForm, LoginRequest};

/// Steps after which the waiting calls give up.
const STEPS_MAX: usize = 100_000;

/// How an initiator logs in. The default is that of a stock `ib_srp` with RDMA/CM.
#[derive(Clone, Debug)]
pub struct InitiatorOptions {
    /// Our address.
    pub peer: SocketAddr,
    /// The target's.
    pub to: SocketAddr,
    /// 16 bytes; on the network, one initiator each.
    pub initiator_port: [u8; 16],
    /// 16 bytes.
    pub target_port: [u8; 16],
    /// Layout of SRP_LOGIN_REQ.
    pub form: LoginForm,
    /// Longest request that we send, in bytes.
    pub max_it_iu_len: u32,
    /// Bit 1: direct, bit 2: indirect descriptors.
    pub formats: u16,
    /// Where immediate data will lie; `None`: they are not asked for.
    pub immediate_offset: Option<u16>,
    /// READs that we serve at once.
    pub reads_served: u8,
    /// Requests outstanding at most on one channel; two more receives are posted.
    pub queue_size: u32,
    /// Answers the target's requests (SRP_CRED_REQ, SRP_AER_REQ) in the next poll. If false, the test does it.
    pub answers_requests: bool,
    /// Takes it that an answered LUN RESET, ABORT TASK SET or CLEAR TASK SET ended the commands of all channels, as
    /// `ib_srp` does. A test that lets commands of one channel race with a reset on another says no, and only commands of the
    /// reset's own channel are taken for ended.
    pub resets_end_all_channels: bool,
    /// Each channel names its requests without regard to the others, as SRP allows: a tag may be in use on several of them. `ib_srp` never does.
    pub shares_tags: bool,
}

impl InitiatorOptions {
    /// A stock initiator with this number in its port id.
    pub fn new(number: u8, to: SocketAddr, target_port: [u8; 16]) -> InitiatorOptions {
        let mut initiator_port = [0; 16];
        initiator_port[8..].copy_from_slice(&[0x02, 0x11, 0x22, 0xff, 0xfe, 0x33, 0x44, number]);
        InitiatorOptions {
            peer: SocketAddr::from(([192, 0, 2, number], 40_000)),
            to,
            initiator_port,
            target_port,
            form: LoginForm::RdmaCm,
            max_it_iu_len: 8260,
            formats: 6,
            immediate_offset: Some(68),
            reads_served: 4,
            queue_size: 62,
            answers_requests: true,
            resets_end_all_channels: true,
            shares_tags: false,
        }
    }

    /// The login request of a channel.
    pub fn login_request(&self, action: MultiChannel) -> LoginRequest {
        LoginRequest {
            tag: *b"login\0\x01\x02",
            max_it_iu_len: self.max_it_iu_len,
            formats: self.formats,
            flags: action as u8 | if self.immediate_offset.is_some() { IMMEDIATE } else { 0 },
            immediate_offset: self.immediate_offset.unwrap_or(0),
            initiator_port: self.initiator_port,
            target_port: self.target_port,
        }
    }
}

/// What a login does to the channels that the nexus has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MultiChannel {
    /// Ends them.
    Single = 0,
    /// Keeps them.
    Multi = 1,
}

/// A request of an [`Initiator`], until its outcome is taken.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Handle(usize);

/// An initiator and its channels, numbered from 0 in the order of their logins. Nothing here waits unless it says so:
/// the test calls [`Initiator::poll`] in turn with the target.
#[derive(Debug)]
pub struct Initiator {
    host: Host,
    options: InitiatorOptions,
    channels: Vec<Channel>,
    /// Channel and tag of each request, by handle.
    requests: Vec<(usize, [u8; 8])>,
    outcomes: HashMap<Handle, Outcome>,
    /// Length of the target's messages, as the first login told it.
    max_ti_iu_len: Option<u32>,
}

impl Initiator {
    /// An initiator on a machine of its own, not logged in.
    pub fn new(network: &Network, options: InitiatorOptions) -> Initiator {
        let (channels, requests, outcomes) = (Vec::new(), Vec::new(), HashMap::new());
        Initiator { host: network.host(), options, channels, requests, outcomes, max_ti_iu_len: None }
    }

    /// Starts a login and returns the channel's number; [`Initiator::login_state`] tells what became of it.
    pub fn login(&mut self, action: MultiChannel) -> usize {
        let request = self.options.login_request(action);
        if action == MultiChannel::Single {
            self.channels.iter_mut().for_each(|channel| channel.lost_management.clear());
        }
        self.login_with(request, request.encode(self.options.form))
    }

    /// Starts a login with any private data; `request` is what the initiator itself then believes it asked for.
    pub fn login_with(&mut self, request: LoginRequest, private_data: Vec<u8>) -> usize {
        let connect = ConnectOptions {
            peer: self.options.peer,
            to: self.options.to,
            private_data,
            reads_served: self.options.reads_served,
            receives: 0,
            receive_len: 0,
        };
        let number = self.channels.len();
        let terms = Terms { request, queue_size: self.options.queue_size };
        self.channels.push(Channel::new(number, self.host.connect(connect), terms));
        number
    }

    /// Logs in and waits; `step` lets the target work and time pass. The channel's number, or why not.
    ///
    /// # Panics
    /// If there is no answer for a very long time.
    pub fn open(&mut self, action: MultiChannel, step: &mut dyn FnMut()) -> Result<usize, Login> {
        let channel = self.login(action);
        self.wait(step, |initiator| match initiator.login_state(channel) {
            Login::Pending => None,
            Login::Accepted(_) => Some(Ok(channel)),
            other => Some(Err(other)),
        })
    }

    /// Takes what happened on all channels; returns how many requests ended.
    pub fn poll(&mut self) -> usize {
        let (mut finished, mut managed) = (Finished::new(), Vec::new());
        for number in 0..self.channels.len() {
            if self.options.answers_requests {
                self.channels[number].answer_request();
            }
            self.channels[number].poll(&mut finished, &mut managed);
            self.check_message_length(number);
        }
        // What arrived on the other channels before has been taken by now.
        managed.retain(|scope| self.options.resets_end_all_channels && scope.function != Function::AbortTask);
        for scope in managed {
            self.channels.iter_mut().for_each(|channel| channel.end_covered(&scope, &mut finished));
        }
        let count = finished.len();
        for (handle, outcome) in finished {
            assert!(self.outcomes.insert(handle, outcome).is_none(), "{handle:?} ended twice");
        }
        count
    }

    /// The target never changes the length of its messages: an initiator keeps its buffers over a reconnect.
    fn check_message_length(&mut self, number: usize) {
        if let Login::Accepted(response) = self.channels[number].login {
            let first = *self.max_ti_iu_len.get_or_insert(response.max_ti_iu_len);
            assert_eq!(response.max_ti_iu_len, first, "max_ti_iu_len changed from one login to the next");
        }
    }

    /// The channel that logged in last.
    pub fn last_channel(&self) -> usize {
        self.channels.len() - 1
    }

    /// How far a channel's login is.
    pub fn login_state(&self, channel: usize) -> Login {
        self.channels[channel].login
    }

    /// Sends a command.
    ///
    /// # Errors
    /// It was not sent: no credit, no slot, no channel.
    pub fn start(&mut self, channel: usize, request: &Request) -> Result<Handle, NotSent> {
        let (tag, handle) = self.name_request(channel, 0);
        let doubtful = self.channels.iter().any(|other| other.may_end(&tag, request.lun, channel));
        self.channels[channel].send_command(tag, handle, request, doubtful)?;
        self.requests.push((channel, tag));
        Ok(handle)
    }

    /// Sends a task management function; `task` is the command to abort.
    ///
    /// # Errors
    /// It was not sent: no credit, no slot, no channel.
    pub fn manage(
        &mut self,
        channel: usize,
        function: Function,
        lun: [u8; 8],
        task: Option<Handle>,
    ) -> Result<Handle, NotSent> {
        // ib_srp marks tags of task management with bit 31, and leaves no task as all ones.
        let (tag, handle) = self.name_request(channel, 0x8000_0000);
        let task = task.map_or(0xffff_ffff_u64.to_le_bytes(), |task| self.requests[task.0].1);
        let scope = self.channels[channel].send_management(tag, handle, lun, function, task)?;
        self.channels.iter_mut().for_each(|channel| channel.doubt_covered(&scope));
        self.requests.push((channel, tag));
        Ok(handle)
    }

    /// Sends any bytes as a request with this tag, which costs a credit and will be answered.
    ///
    /// # Errors
    /// It was not sent: no credit, no slot, no channel.
    pub fn start_raw(&mut self, channel: usize, tag: [u8; 8], bytes: &[u8]) -> Result<Handle, NotSent> {
        let handle = Handle(self.requests.len());
        self.channels[channel].send_raw(bytes, Some((tag, handle)))?;
        self.requests.push((channel, tag));
        Ok(handle)
    }

    /// Sends any bytes; nothing is counted and nothing expected.
    ///
    /// # Errors
    /// There is no channel.
    pub fn send_raw(&mut self, channel: usize, bytes: &[u8]) -> Result<(), NotSent> {
        self.channels[channel].send_raw(bytes, None)
    }

    /// The request's outcome, once.
    pub fn take(&mut self, handle: Handle) -> Option<Outcome> {
        self.outcomes.remove(&handle)
    }

    /// Sends a command and waits for its outcome; `step` lets the target work and time pass.
    ///
    /// # Panics
    /// If it cannot be sent, or nothing becomes of it for a very long time.
    pub fn execute(&mut self, channel: usize, request: &Request, step: &mut dyn FnMut()) -> Outcome {
        let handle = self.start(channel, request).unwrap_or_else(|why| panic!("{request:?} was not sent: {why}"));
        self.finish(handle, step)
    }

    /// Waits for an outcome; `step` lets the target work and time pass.
    ///
    /// # Panics
    /// If nothing becomes of it for a very long time.
    pub fn finish(&mut self, handle: Handle, step: &mut dyn FnMut()) -> Outcome {
        self.wait(step, |initiator| initiator.take(handle))
    }

    fn wait<T>(&mut self, step: &mut dyn FnMut(), mut done: impl FnMut(&mut Initiator) -> Option<T>) -> T {
        for _ in 0..STEPS_MAX {
            self.poll();
            if let Some(result) = done(self) {
                return result;
            }
            step();
        }
        panic!("nothing happened in {STEPS_MAX} steps: {self:#?}")
    }

    /// Says good-bye by SRP_I_LOGOUT; the target then disconnects.
    ///
    /// # Errors
    /// There is no channel.
    pub fn logout(&mut self, channel: usize) -> Result<(), NotSent> {
        self.channels[channel].send_raw(&wire::encode_logout(*b"goodbye."), None)
    }

    /// Disconnects a channel.
    pub fn disconnect(&mut self, channel: usize) {
        self.channels[channel].end.disconnect();
    }

    /// The machine is gone without a word: no channel sends or hears anything any more.
    pub fn vanish(&mut self) {
        self.channels.iter_mut().for_each(|channel| channel.end.vanish());
    }

    /// The fabric's name of a channel.
    pub fn connection(&self, channel: usize) -> fabric::ConnectionId {
        self.channels[channel].end.connection()
    }

    /// The fabric's end of a channel, for faults and for what this type does not do.
    pub fn end(&mut self, channel: usize) -> &mut fabric::sim::Initiator {
        &mut self.channels[channel].end
    }

    /// The machine, for memory of a test's own.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The command may be ended by another, without an answer; [`Initiator::end_doubtful`] then ends it here.
    pub fn doubt(&mut self, handle: Handle) {
        let (channel, tag) = self.requests[handle.0];
        if let Some(request) = self.channels[channel].outstanding.get_mut(&tag) {
            request.doubtful = true;
        }
    }

    /// Ends, as aborted, a command that task management of another channel has surely ended: it had arrived at the target before. It must not be
    /// answered from now on. Nothing happens if it has ended already.
    pub fn end_command(&mut self, handle: Handle) {
        let (channel, tag) = self.requests[handle.0];
        let mut finished = Finished::new();
        self.channels[channel].end_command(&tag, handle, &mut finished);
        self.outcomes.extend(finished);
    }

    /// Ends, as aborted, the commands of all channels that task management may have ended, and those of [`Initiator::doubt`]. For a test with
    /// [`InitiatorOptions::resets_end_all_channels`] off, when it knows that nothing is under way any more.
    pub fn end_doubtful(&mut self) {
        let mut finished = Finished::new();
        self.channels.iter_mut().for_each(|channel| channel.end_doubtful(&mut finished));
        self.outcomes.extend(finished);
    }

    /// Credits that are left, and how many the login granted. Equal when nothing is outstanding, unless the target owes
    /// some for aborted commands until its next response.
    pub fn credits(&self, channel: usize) -> (i64, i64) {
        (self.channels[channel].credits, self.channels[channel].limit)
    }

    /// Requests without an outcome on a channel.
    pub fn outstanding(&self, channel: usize) -> usize {
        self.channels[channel].outstanding.len()
    }

    /// The tag under which a request was sent.
    pub fn tag(&self, handle: Handle) -> [u8; 8] {
        self.requests[handle.0].1
    }

    /// Reason of the SRP_T_LOGOUT that came on a channel, if one did.
    pub fn target_logout(&self, channel: usize) -> Option<u32> {
        self.channels[channel].logout
    }

    /// Asynchronous events that came on a channel: unit and sense.
    pub fn events(&self, channel: usize) -> &[([u8; 8], Vec<u8>)] {
        &self.channels[channel].events
    }

    /// Whether the target waits for the answer to a request of its own.
    pub fn owes_answer(&self, channel: usize) -> bool {
        self.channels[channel].owed.is_some()
    }

    /// Answers the target's request now.
    pub fn answer_request(&mut self, channel: usize) {
        self.channels[channel].answer_request();
    }

    /// The smallest tag that is free on a channel: used again as soon as it is, as by `ib_srp`. The upper half differs in every
    /// byte, so that a target which takes tags for numbers is found out.
    fn name_request(&self, channel: usize, mark: u64) -> ([u8; 8], Handle) {
        let place = if self.options.shares_tags { 0 } else { (channel as u64) << 16 };
        let base = 0x0a1b_2c3d_0000_0000 | place | mark;
        let outstanding = &self.channels[channel].outstanding;
        let tag = (0_u64..).map(|number| (base | number).to_le_bytes()).find(|tag| !outstanding.contains_key(tag));
        (tag.expect("a free tag"), Handle(self.requests.len()))
    }
}
