//! One RDMA channel: its life, its credits, and what arrives on it.
//!
//! ```text
//!  start ─► Live ─┬─► Draining ─► (ChannelDrained) ─┐
//!                 ├─► Failed   ─► (ChannelFailed)  ─┼─► Ending ─► (ChannelStopped)
//!                 └─────────────────────────────────┘
//! ```
//!
//! Live serves. Draining finishes what it has and takes nothing new. Failed has told the control plane that it cannot go on; its
//! queue pair is in error, or will be soon. Ending has been told to stop: its buffers come back by themselves, and when
//! none is outstanding the queue pair is let go of.
//!
//! # Credits
//!
//! `credits` were granted at login. Each SRP_CMD and SRP_TSK_MGMT uses one (`credits_used`). It is earned back when its receive
//! buffer is posted again (`credits_due`), and returned with the next message to the initiator. So at any time
//! credits the initiator has + `credits_due` + requests under way (+ orphans that owe theirs) = `credits`.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use fabric::{Deliver, QpIndex};
use mem::{Buf, IoBuf};

use crate::command::{Command, Request, View};
use crate::limits;
use crate::messages::{ChannelFailure, ChannelStart, ToControl};
use crate::poll_group::PollGroup;
use crate::session::{ChannelId, LunMap};
use crate::slab::Key;
use crate::statistics::{ChannelStatistics, Watch};
use crate::tags::Tags;
use crate::trace::event::Whose;
use crate::wire::cmd;
use crate::wire::iu::{self, Iu, IuError};
use crate::wire::rsp;

/// The cookie of messages that belong to no command.
const NO_COMMAND: u64 = u64::MAX;

/// Where a channel stands; see above.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ChannelState {
    Live,
    Draining(Farewell),
    Failed,
    Ending,
}

/// How far a drain is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Farewell {
    /// Commands are under way.
    Working,
    /// SRP_T_LOGOUT is on its way to the initiator.
    Said,
    /// The control plane was told.
    Told,
}

/// One queue pair with its login.
pub(crate) struct Channel {
    pub(crate) id: ChannelId,
    pub(crate) whose: Whose,
    pub(crate) fabric: usize,
    pub(crate) qp: QpIndex,
    pub(crate) state: ChannelState,
    pub(crate) view: Rc<View>,
    pub(crate) commands: Vec<Key<Command>>,
    /// Those of its commands.
    pub(crate) tags: Tags,
    /// Commands that wait for send slots or a message buffer, first come, first served.
    pub(crate) send_waiters: VecDeque<Key<Command>>,
    pub(crate) messages: Vec<Buf>,
    messages_in_all: usize,
    pub(crate) credits: u32,
    pub(crate) credits_used: u32,
    pub(crate) credits_due: u32,
    /// Orphans whose credit was returned although their slot is still taken.
    pub(crate) orphans: u32,
    pub(crate) statistics: Arc<ChannelStatistics>,
    immediate_offset: Option<u16>,
    /// The initiator has sent something, so it has posted receives: Linux does so only after the handshake.
    heard_from: bool,
    /// The fabric says that the handshake is over. The initiator may not have posted receives yet.
    is_connected: bool,
    /// An SRP_CRED_REQ is unanswered; there may be only one.
    credit_request_open: bool,
    failure: Option<ChannelFailure>,
}

impl Channel {
    /// Whether the handshake is surely over, and the channel serves.
    pub(crate) fn is_established(&self) -> bool {
        (self.heard_from || self.is_connected) && self.state == ChannelState::Live
    }

    /// Enters a command in the list.
    #[inline]
    fn list(&mut self, key: Key<Command>, command: &mut Command) {
        command.position = self.commands.len() as u32;
        self.commands.push(key);
    }
}

impl PollGroup {
    /// Takes buffers and slots for a channel, and posts its receives. The login is accepted afterwards.
    pub(crate) fn start_channel(&mut self, start: ChannelStart) {
        let (receives, messages) = (limits::receives(start.credits) as usize, limits::messages(start.credits) as usize);
        if self.memory.receives.available() < receives || self.memory.messages.available() < messages {
            self.send(ToControl::ChannelRefused { channel: start.channel, queue_pair: start.queue_pair });
            return;
        }
        let qp = self.fabrics[start.fabric].group.adopt(start.queue_pair);
        for buf in (0..receives).filter_map(|_| self.memory.receives.get()) {
            self.fabrics[start.fabric].group.post_receive(qp, buf);
        }
        self.fabrics[start.fabric].group.ring();
        let slots = limits::command_slots(start.credits) as usize;
        let channel = Channel {
            id: start.channel,
            whose: Whose::new(start.nexus.session, start.channel),
            fabric: start.fabric,
            qp,
            state: ChannelState::Live,
            view: Rc::new(View { nexus: start.nexus, luns: start.luns }),
            commands: Vec::with_capacity(slots),
            tags: Tags::new(slots),
            send_waiters: VecDeque::with_capacity(slots),
            messages: (0..messages).filter_map(|_| self.memory.messages.get()).collect(),
            messages_in_all: messages,
            credits: start.credits,
            credits_used: 0,
            credits_due: 0,
            orphans: 0,
            statistics: start.statistics,
            immediate_offset: start.immediate_offset,
            heard_from: false,
            is_connected: false,
            credit_request_open: false,
            failure: None,
        };
        self.tracer.channel_started(self.now, &channel);
        let key = self.channels.insert(channel);
        let (mut channels, mut most, mut needed) = (0, 0, 0);
        for (_, channel) in self.channels.iter() {
            let slots = limits::command_slots(channel.credits) as usize;
            (channels, most, needed) = (channels + 1, most.max(slots), needed + slots);
        }
        self.commands.reserve(needed + self.commands.len());
        self.tracer.reserve(self.commands.capacity());
        self.device_waiters.reserve(needed);
        let for_buffers = self.data_waiters.iter_mut().chain([&mut self.table_waiters]);
        for_buffers.for_each(|waiters| waiters.reserve(channels, most));
        self.ordered.reserve(needed);
        self.answered.reserve(needed);
        let owners = &mut self.fabrics[start.fabric].owners;
        if owners.len() <= qp.0 as usize {
            owners.resize(qp.0 as usize + 1, None);
        }
        owners[qp.0 as usize] = Some(key);
        self.send(ToControl::ChannelReady { channel: start.channel });
    }

    /// An information unit arrived.
    pub(crate) fn on_received(&mut self, key: Key<Channel>, buf: Buf, len: usize) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        match channel.state {
            ChannelState::Live => {}
            // Not answered: the channel will be closed, and the initiator sends it again on the next.
            ChannelState::Draining(_) => return self.post_receive(key, buf),
            ChannelState::Failed | ChannelState::Ending => return,
        }
        channel.heard_from = true;
        match cmd::Command::parse_plain(&buf.bytes()[..len], channel.immediate_offset) {
            Some((command, cdb)) => {
                let watch = Watch::start(self.now.0, cdb);
                self.on_command(key, command, watch, buf);
            }
            None => self.on_other_iu(key, buf, len),
        }
    }

    #[inline(always)]
    fn on_command(&mut self, key: Key<Channel>, command: cmd::Command, watch: Watch, buf: Buf) {
        match self.enter(key, Request::Command(command), buf, watch) {
            Some((command, false)) if self.is_overlapped(key, command) => self.overlap(command),
            Some((command, _)) => self.admit(command),
            None => {}
        }
    }

    #[inline(never)]
    fn on_other_iu(&mut self, key: Key<Channel>, buf: Buf, len: usize) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        match iu::parse(&buf.bytes()[..len], channel.immediate_offset) {
            Ok(Iu::Command(command)) => {
                let watch = Watch::start(self.now.0, command.cdb(buf.bytes()));
                self.on_command(key, command, watch, buf);
            }
            Ok(Iu::TaskManagement(management)) => {
                channel.statistics.management.increment();
                if let Some((request, _)) = self.enter(key, Request::Management(management), buf, Watch::default()) {
                    self.manage(key, request, &management);
                }
            }
            Ok(Iu::CredRsp { .. } | Iu::AerRsp { .. }) => {
                channel.credit_request_open = false;
                self.post_receive(key, buf);
                // What was earned since the last SRP_CRED_REQ waited for its answer.
                self.return_credits(key);
            }
            Ok(Iu::Logout { .. }) => self.fail_channel(key, ChannelFailure::LoggedOut),
            Err(IuError::Refuse { tag, .. }) => {
                if let Some((command, _)) =
                    self.enter(key, Request::Answer { tag, solicited: false }, buf, Watch::default())
                    && let Some(action) = self.commands.get_mut(command).map(Command::refuse)
                {
                    self.carry_out(command, action);
                }
            }
            Err(error) => self.fail_channel(key, ChannelFailure::Malformed(error)),
        }
    }

    /// Gives a request a slot, and notes the tag of a command; false if that may be in use. `None`: there was no credit for it, and its channel
    /// is at its end.
    #[inline(always)]
    fn enter(&mut self, key: Key<Channel>, request: Request, buf: Buf, watch: Watch) -> Option<(Key<Command>, bool)> {
        let channel = self.channels.get_mut(key)?;
        if channel.credits_used >= channel.credits {
            self.fail_channel(key, ChannelFailure::CreditOverrun);
            return None;
        }
        channel.credits_used += 1;
        if matches!(request, Request::Command(_)) {
            channel.statistics.commands.increment();
        }
        let (command, entry) = self.commands.take();
        let tag_is_free = match &request {
            Request::Command(command) => Some(channel.tags.add(command.tag)),
            Request::Management(_) | Request::Answer { .. } => None,
        };
        entry.arrive(key, request, Some(buf), Rc::clone(&channel.view));
        entry.place.has_tag = tag_is_free.is_some();
        entry.watch = watch;
        channel.list(command, entry);
        self.tracer.received(self.now, channel.whose, command, entry);
        Some((command, tag_is_free.unwrap_or(true)))
    }

    /// Makes a command that did not arrive by itself, filled by `arrive`, and enters it in its channel's list.
    pub(crate) fn add_command(&mut self, key: Key<Channel>, arrive: impl FnOnce(&mut Command)) -> Key<Command> {
        let (command, entry) = self.commands.take();
        arrive(entry);
        if let Some(channel) = self.channels.get_mut(key) {
            channel.list(command, entry);
        }
        command
    }

    /// Takes a command off its channel's list. Whether credits are due on the channel.
    #[inline]
    pub(crate) fn unlist_command(&mut self, key: Key<Channel>, position: u32) -> bool {
        let Some(channel) = self.channels.get_mut(key) else { return false };
        channel.commands.swap_remove(position as usize);
        if let Some(moved) = channel.commands.get(position as usize)
            && let Some(moved) = self.commands.get_mut(*moved)
        {
            moved.position = position;
        }
        channel.credits_due > 0
    }

    /// Posts a receive that stands for no credit.
    fn post_receive(&mut self, key: Key<Channel>, buf: Buf) {
        if let Some(channel) = self.channels.get(key) {
            self.fabrics[channel.fabric].group.post_receive(channel.qp, buf);
        }
    }

    /// Earns a request's credit back: its receive is posted again, and the next message tells the initiator.
    pub(crate) fn earn_credit(&mut self, key: Key<Channel>, buf: Buf) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        if !matches!(channel.state, ChannelState::Live | ChannelState::Draining(_)) {
            return;
        }
        channel.credits_due += 1;
        self.fabrics[channel.fabric].group.post_receive(channel.qp, buf);
    }

    /// Tells the initiator of credits for which no response will do so: an SRP_CRED_REQ on a channel with nothing under way.
    #[inline]
    pub(crate) fn return_credits(&mut self, key: Key<Channel>) {
        if self.channels.get(key).is_some_and(|channel| channel.credits_due > 0) {
            self.return_credits_due(key);
        }
    }

    fn return_credits_due(&mut self, key: Key<Channel>) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        let quiet = channel.commands.is_empty() && channel.heard_from && !channel.credit_request_open;
        let fabric = &mut self.fabrics[channel.fabric].group;
        if channel.state != ChannelState::Live || !quiet || fabric.send_slots_free(channel.qp) == 0 {
            return;
        }
        let Some(mut message) = channel.messages.pop() else { return };
        let delta = std::mem::take(&mut channel.credits_due);
        channel.credits_used -= delta;
        channel.credit_request_open = true;
        channel.statistics.credit_requests.increment();
        let len = rsp::CredReq { request_limit_delta: delta.cast_signed(), tag: Default::default(), solicited: false }
            .emit(message.bytes_mut());
        fabric.deliver(channel.qp, message_only(message, len));
    }

    /// The channel cannot go on: tells the control plane once, and leaves its commands.
    pub(crate) fn fail_channel(&mut self, key: Key<Channel>, reason: ChannelFailure) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        if matches!(channel.state, ChannelState::Failed | ChannelState::Ending) {
            return;
        }
        channel.state = ChannelState::Failed;
        channel.failure = Some(reason);
        self.tracer.channel_failed(self.now, channel, reason);
        let id = channel.id;
        self.leave_commands(key);
        self.send(ToControl::ChannelFailed { channel: id, reason });
    }

    /// The handshake is over: from now on it is noticed if the initiator is gone, even if it never sends anything.
    pub(crate) fn channel_established(&mut self, key: Key<Channel>) {
        if let Some(channel) = self.channels.get_mut(key) {
            channel.is_connected = true;
        }
    }

    pub(crate) fn drain_channel(&mut self, key: Key<Channel>) {
        if let Some(channel) = self.channels.get_mut(key)
            && channel.state == ChannelState::Live
        {
            channel.state = ChannelState::Draining(Farewell::Working);
            self.ending.push(key);
        }
    }

    pub(crate) fn stop_channel(&mut self, key: Key<Channel>) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        channel.state = ChannelState::Ending;
        self.leave_commands(key);
        if !self.ending.contains(&key) {
            self.ending.push(key);
        }
    }

    pub(crate) fn set_luns(&mut self, id: ChannelId, luns: Arc<LunMap>) {
        let Some((key, _)) = self.channels.iter().find(|(_, channel)| channel.id == id) else { return };
        if let Some(channel) = self.channels.get_mut(key) {
            channel.view = Rc::new(View { nexus: Arc::clone(&channel.view.nexus), luns });
        }
    }

    /// Reports channels that became quiet.
    pub(crate) fn end_channels(&mut self) {
        let mut next = 0;
        while let Some(&key) = self.ending.get(next) {
            if self.end_channel(key) {
                self.ending.swap_remove(next);
            } else {
                next += 1;
            }
        }
    }

    /// Whether the channel is done with and gone.
    fn end_channel(&mut self, key: Key<Channel>) -> bool {
        let Some(channel) = self.channels.get_mut(key) else { return true };
        let idle = channel.commands.is_empty();
        let quiet = idle && channel.messages.len() == channel.messages_in_all;
        match channel.state {
            ChannelState::Draining(Farewell::Working) if quiet && channel.heard_from => {
                channel.state = ChannelState::Draining(Farewell::Said);
                self.send_logout(key);
                false
            }
            ChannelState::Draining(Farewell::Working | Farewell::Said) if quiet => {
                channel.state = ChannelState::Draining(Farewell::Told);
                let id = channel.id;
                self.send(ToControl::ChannelDrained { channel: id });
                false
            }
            ChannelState::Ending if idle && self.fabrics[channel.fabric].group.outstanding(channel.qp) == 0 => {
                let (fabric, qp, id) = (channel.fabric, channel.qp, channel.id);
                self.tracer.channel_stopped(self.now, channel.whose);
                self.channels.remove(key);
                self.fabrics[fabric].owners[qp.0 as usize] = None;
                let queue_pair = self.fabrics[fabric].group.release(qp);
                self.send(ToControl::ChannelStopped { channel: id, queue_pair });
                true
            }
            _ => false,
        }
    }
}

impl PollGroup {
    /// Tells the initiator that the channel is about to be closed. Linux only logs it; others may log in elsewhere.
    fn send_logout(&mut self, key: Key<Channel>) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        let fabric = &mut self.fabrics[channel.fabric].group;
        if fabric.send_slots_free(channel.qp) == 0 {
            return;
        }
        let Some(mut message) = channel.messages.pop() else { return };
        let logout =
            rsp::TLogout { tag: Default::default(), reason: Ok(rsp::LogoutReason::Unspecified), solicited: false };
        let len = logout.emit(message.bytes_mut());
        fabric.deliver(channel.qp, message_only(message, len));
    }
}

/// A message that belongs to no command.
fn message_only(message: Buf, len: usize) -> Deliver<'static> {
    Deliver {
        cookie: NO_COMMAND,
        data: None,
        segments: &[],
        message: Some(IoBuf::new(message, 0..len)),
        solicited: false,
    }
}
