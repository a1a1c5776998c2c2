//! What holds whatever is sent: each request is answered or its channel ends, nothing is answered that was not asked, and whoever comes next is let in.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use fabric::{PrivateData, RemoteMemory};
use scsi::{Addressing, Lun};
use transport_srp::wire::iu::{aer_rsp, cred_rsp};
use transport_srp::wire::login::{FORMAT_DIRECT, FORMAT_INDIRECT, LoginSolicited, MultiChannelAction};
use transport_srp::wire::{
    LoginReject, LoginRequest, LoginResponse, PortId, ResponseBody, Tag, TargetIu, parse_from_target,
};

use super::cases::Case;
use super::options::Options;
use super::peer::{Answer, Heard, Peer, Wire};
use super::stranger::Stranger;
use crate::connector::FabricOptions;
use crate::initiator::login::MESSAGE_BYTES_MAX;
use crate::random::Xorshift;

/// Why the target did wrong.
pub type Outcome = Result<(), String>;

/// Where immediate data lie in our requests.
pub const IMMEDIATE_OFFSET: u16 = 68;

/// Tags of the commands that ask whether the target is still there begin with it.
const PROBE: [u8; 4] = *b"prob";

/// Counts of one case.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// Logins and messages that were wrong.
    pub inputs: u64,
    /// Those that were answered: a response, or a login that was accepted.
    pub answered: u64,
    /// Logins that were refused.
    pub refused: u64,
    /// Those that ended their channel, or had no answer to their login.
    pub ended: u64,
    /// What else there is to say.
    pub note: String,
}

/// The target under test, and the channel that is in use.
pub struct Bench {
    pub(super) peer: Peer,
    pub(super) random: Xorshift,
    pub(super) rounds: u32,
    pub(super) logins: u32,
    pub(super) tally: Tally,
    target_port: PortId,
    lun: [u8; 8],
    next: u64,
    channel: Option<Channel>,
    /// Where a stranger can be, if anywhere.
    strangers: Option<IpAddr>,
    target: SocketAddr,
}

/// A channel that was let in.
struct Channel {
    wire: Wire,
    credits: i64,
    memory: Option<RemoteMemory>,
    /// Tags that were used, each as often as it was: so often may it be answered.
    asked: HashMap<Tag, u32>,
    /// Some commands may have been aborted, and will have no answer (SAM-5, 7.1; 5.9.3: overlapped commands).
    aborts: bool,
}

impl Channel {
    /// A message is sent. What is answered is SRP_CMD and SRP_TSK_MGMT.
    fn ask(&mut self, message: &[u8]) {
        const TASK_MANAGEMENT: u8 = 0x01;
        const COMMAND: u8 = 0x02;
        self.credits -= 1;
        if let (Some(&(TASK_MANAGEMENT | COMMAND)), Some(tag)) = (message.first(), tag_of(message)) {
            let times = self.asked.entry(tag).or_default();
            *times += 1;
            self.aborts |= message[0] == TASK_MANAGEMENT || *times > 1;
        }
    }

    /// An answer came.
    fn answered(&mut self, tag: Tag) -> Outcome {
        match self.asked.get_mut(&tag) {
            Some(1) => _ = self.asked.remove(&tag),
            Some(times) => *times -= 1,
            None => return Err(format!("an answer to tag {tag}, under which nothing waits for one")),
        }
        Ok(())
    }
}

impl Bench {
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// The options do not say enough, or there is no memory.
    pub fn new(options: &Options, seed: u64) -> anyhow::Result<Bench> {
        let (fabric, local) = (options.fabric()?, options.local()?);
        let peer = Peer::new(&fabric, local, options.target.address, options.patience)?;
        let strangers = match (fabric, local) {
            (FabricOptions::Roce(_), IpAddr::V4(local)) if local.is_loopback() => {
                let [first, second, third, fourth] = local.octets();
                Some(Ipv4Addr::new(first, second, third ^ 1 << 7, fourth).into())
            }
            _ => None,
        };
        Ok(Bench {
            peer,
            random: Xorshift::new(seed),
            rounds: options.rounds,
            logins: options.logins,
            tally: Tally::default(),
            target_port: options.target_port()?,
            lun: Lun(options.target.lun.unwrap_or(0)).to_wire(Addressing::Peripheral),
            next: seed,
            channel: None,
            strangers,
            target: options.target.address,
        })
    }

    /// Tries a case, and asks the target afterwards whether it still serves.
    ///
    /// # Errors
    /// What it did wrong.
    pub fn try_case(&mut self, case: &Case) -> Outcome {
        let outcome = (case.run)(self).and_then(|()| self.settle());
        self.leave();
        self.peer.close_all();
        outcome.and_then(|()| self.witness().map_err(|why| format!("afterwards: {why}")))
    }

    /// What the case counted.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// Ends all connections.
    pub fn close(mut self) {
        self.peer.close_all();
    }

    /// Another initiator logs in and is served.
    ///
    /// # Errors
    /// It is not.
    pub fn witness(&mut self) -> Outcome {
        let wire = self.log_in()?;
        let served = (0..3).any(|_| {
            let tag = self.probe_tag();
            self.peer.send(wire, &test_unit_ready(tag, self.lun));
            let Heard::Message(message) = self.peer.next(wire) else { return false };
            let Ok(TargetIu::Response(response)) = parse_from_target(&message) else { return false };
            response.tag == tag && matches!(response.body, ResponseBody::Status { status: 0, .. })
        });
        self.peer.close(wire);
        if served { Ok(()) } else { Err("a new initiator is let in but TEST UNIT READY does not end well".into()) }
    }

    /// Somebody at another address of this machine, where there are any.
    pub fn stranger(&self) -> Option<Stranger> {
        Stranger::new(self.strangers?, self.target).ok()
    }

    /// A login request as it should be, of an initiator that nobody knows.
    pub fn request(&mut self) -> LoginRequest {
        LoginRequest {
            tag: Tag::default(),
            max_it_iu_len: MESSAGE_BYTES_MAX as u32,
            buffer_formats: FORMAT_DIRECT | FORMAT_INDIRECT,
            multi_channel: MultiChannelAction::Single,
            immediate_data: true,
            immediate_offset: IMMEDIATE_OFFSET,
            initiator_port_id: PortId::new(0xbad, self.number()),
            target_port_id: self.target_port,
            solicited: LoginSolicited::default(),
        }
    }

    /// A number that was not used before.
    pub fn number(&mut self) -> u64 {
        self.next = self.next.wrapping_add(1);
        self.next
    }

    /// The unit's eight bytes.
    pub fn lun(&self) -> [u8; 8] {
        self.lun
    }

    /// A new initiator's channel.
    ///
    /// # Errors
    /// It is not let in.
    pub fn log_in(&mut self) -> Result<Wire, String> {
        let request = self.request();
        self.log_in_as(&request, true)
    }

    /// A channel by this request, which is as it should be.
    ///
    /// # Errors
    /// It is not let in.
    pub fn log_in_as(&mut self, request: &LoginRequest, reads: bool) -> Result<Wire, String> {
        self.accepted(request, reads).map(|(wire, _)| wire)
    }

    /// The same with what the target says.
    fn accepted(&mut self, request: &LoginRequest, reads: bool) -> Result<(Wire, LoginResponse), String> {
        let wire = self.connect(&request.emit_rdma_cm(), reads)?;
        let refused = match self.peer.answer(wire) {
            Answer::Accepted(private_data) => match LoginResponse::parse(&private_data) {
                Ok(response) => return Ok((wire, response)),
                Err(error) => format!("SRP_LOGIN_RSP: {error}"),
            },
            answer => format!("a login as it should be is not accepted: {}", said(&answer)),
        };
        self.peer.close(wire);
        Err(refused)
    }

    /// Asks for a connection with any private data.
    ///
    /// # Errors
    /// There is none on our side.
    pub fn connect(&mut self, private_data: &[u8], reads: bool) -> Result<Wire, String> {
        self.peer.connect(private_data, reads).map_err(|error| format!("{error:#}"))
    }

    /// A login that must be refused, with SRP_LOGIN_REJ.
    ///
    /// # Errors
    /// It is not.
    pub fn must_be_refused(&mut self, private_data: &[u8], what: &str) -> Outcome {
        self.tally.inputs += 1;
        let wire = self.connect(private_data, true)?;
        let answer = self.peer.answer(wire);
        self.peer.close(wire);
        match answer {
            Answer::Refused(_, private_data) if LoginReject::parse(&private_data).is_ok() => {
                self.tally.refused += 1;
                Ok(())
            }
            answer => Err(format!("{what}: {}, and SRP_LOGIN_REJ was to be expected", said(&answer))),
        }
    }

    /// The channel in use, with credits for some requests.
    ///
    /// # Errors
    /// There is none to be had.
    fn channel(&mut self) -> Result<&mut Channel, String> {
        const CREDITS_LOW: i64 = 8;
        if self.channel.as_ref().is_some_and(|channel| channel.credits < CREDITS_LOW) {
            self.settle()?;
        }
        let channel = match self.channel.take() {
            Some(channel) => channel,
            None => {
                let request = self.request();
                let (wire, response) = self.accepted(&request, true)?;
                let (credits, memory) = (response.request_limit_delta.into(), self.peer.expose(wire));
                Channel { wire, credits, memory, asked: HashMap::new(), aborts: false }
            }
        };
        Ok(self.channel.insert(channel))
    }

    /// The wire of the channel in use.
    ///
    /// # Errors
    /// As [`Bench::try_message`].
    pub fn wire(&mut self) -> Result<Wire, String> {
        self.channel().map(|channel| channel.wire)
    }

    /// The memory that the target is let into by the channel in use.
    ///
    /// # Errors
    /// As [`Bench::try_message`].
    pub fn memory(&mut self) -> Result<RemoteMemory, String> {
        self.channel()?.memory.ok_or_else(|| "no memory can be exposed".to_owned())
    }

    /// Gives the channel in use up, once every request on it has its answer.
    ///
    /// # Errors
    /// One has none, and the channel lives.
    pub fn settle(&mut self) -> Outcome {
        while let Some(Channel { wire, asked, aborts: false, .. }) = &self.channel
            && let Some(tag) = asked.keys().next().copied()
        {
            let wire = *wire;
            match self.peer.next(wire) {
                Heard::Message(heard) => _ = self.hear(wire, &heard)?,
                Heard::End => break,
                Heard::Silence => return Err(format!("tag {tag} was never answered")),
            }
        }
        self.leave();
        Ok(())
    }

    /// Gives the channel in use up.
    pub fn leave(&mut self) {
        if let Some(channel) = self.channel.take() {
            self.peer.close(channel.wire);
        }
    }

    /// Sends a message that is wrong in some way, and a command behind it that is not: that must be answered, or the channel must end.
    ///
    /// # Errors
    /// Neither happens, or something else is said that was not asked.
    pub fn try_message(&mut self, message: &[u8]) -> Outcome {
        self.try_messages(std::slice::from_ref(&message))
    }

    /// The same for some messages at once.
    ///
    /// # Errors
    /// As [`Bench::try_message`].
    pub fn try_messages(&mut self, messages: &[&[u8]]) -> Outcome {
        let (probe, lun) = (self.probe_tag(), self.lun);
        let channel = self.channel()?;
        let wire = channel.wire;
        let probing = test_unit_ready(probe, lun);
        messages.iter().for_each(|message| channel.ask(message));
        channel.ask(&probing);
        for message in messages {
            self.peer.send(wire, message);
        }
        self.tally.inputs += messages.len() as u64;
        self.peer.send(wire, &probing);
        loop {
            match self.peer.next(wire) {
                Heard::Message(heard) => {
                    if self.hear(wire, &heard)? == Some(probe) {
                        return Ok(());
                    }
                }
                Heard::End => {
                    self.tally.ended += 1;
                    self.leave();
                    return Ok(());
                }
                Heard::Silence => {
                    let last = messages.last().copied().unwrap_or_default();
                    return Err(format!("neither answered nor ended: {}", hex(last)));
                }
            }
        }
    }

    /// Takes a message of the target; the tag, if it is an answer.
    fn hear(&mut self, wire: Wire, message: &[u8]) -> Result<Option<Tag>, String> {
        let Some(channel) = self.channel.as_mut() else { return Ok(None) };
        let (reply, delta) = match parse_from_target(message) {
            Ok(TargetIu::Response(response)) => {
                channel.credits += i64::from(response.request_limit_delta);
                channel.answered(response.tag)?;
                self.tally.answered += u64::from(!response.tag.0.starts_with(&PROBE));
                return Ok(Some(response.tag));
            }
            Ok(TargetIu::CredReq(request)) => (cred_rsp(request.tag), request.request_limit_delta),
            Ok(TargetIu::AerReq(request)) => (aer_rsp(request.tag), request.request_limit_delta),
            Ok(TargetIu::Logout(_)) => return Ok(None),
            Err(error) => return Err(format!("the target sent what is no message: {error}: {}", hex(message))),
        };
        channel.credits += i64::from(delta);
        self.peer.send(wire, &reply);
        Ok(None)
    }

    /// A tag for a command that is to be answered.
    fn probe_tag(&mut self) -> Tag {
        let number = self.number() as u32;
        let mut tag = [0; 8];
        tag[..4].copy_from_slice(&PROBE);
        tag[4..].copy_from_slice(&number.to_be_bytes());
        Tag(tag)
    }
}

/// The tag of a request, whatever kind it is.
fn tag_of(message: &[u8]) -> Option<Tag> {
    message.get(8..16)?.try_into().ok().map(Tag)
}

/// SRP_CMD of TEST UNIT READY.
fn test_unit_ready(tag: Tag, lun: [u8; 8]) -> Vec<u8> {
    super::cases::message::command(tag.0, lun, &[0; 6])
}

/// What the connection manager said, in words.
pub fn said(answer: &Answer) -> String {
    let rejected = |private_data: &PrivateData| match LoginReject::parse(private_data) {
        Ok(reject) => reject.reason.to_string(),
        Err(_) => hex(private_data),
    };
    match answer {
        Answer::Accepted(_) => "accepted".into(),
        Answer::Refused(reason, private_data) => format!("refused (CM reason {reason}: {})", rejected(private_data)),
        Answer::Ended => "no answer".into(),
    }
}

/// Bytes as they can be put into a test.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
