//! A command's slot ([`crate::slots`]): filled when a request arrives, at rest when it is over. Whatever a command has to begin with is set in
//! [`Command::arrive`]; whatever it may hold at its end is let go of in [`Entry::rest`].

use std::rc::Rc;

use arrayvec::ArrayVec;
use mem::Buf;
use scsi::{Address, Job};

use super::{Command, Request, Stage, View};
use crate::channel::Channel;
use crate::exclusion::Extent;
use crate::slab::Key;
use crate::slots::Entry;
use crate::statistics::Watch;
use crate::task_set::Place;
use crate::trace::slow::Timing;
use crate::transfer::Cursor;
use crate::wire::Tag;

/// What is left of a command for an answer of its own.
pub(crate) struct EarlyAnswer {
    request: Request,
    view: Rc<View>,
    job: Option<Job>,
    timing: Timing,
    watch: Watch,
}

impl Default for Command {
    fn default() -> Command {
        Command {
            channel: None,
            position: 0,
            request: Request::Answer { tag: Tag::default(), solicited: false },
            stage: Stage::Arrived,
            parked: None,
            place: Place::default(),
            timing: Timing::default(),
            reply: None,
            has_cleared: false,
            abort: None,
            orders: Vec::new(),
            fenced: false,
            debt: None,
            orphan_of: None,
            receive: None,
            executing: None,
            extent: Extent::default(),
            executing_on: None,
            changed: None,
            watch: Watch::default(),
            sense: ArrayVec::new(),
            view: None,
            entry: None,
            address: Address::Unknown,
            job: None,
            table: None,
            aside: None,
            in_place: None,
            is_exact: false,
            cursor: Cursor::new(0),
        }
    }
}

impl Entry for Command {
    fn rest(&mut self) {
        self.parked = None;
        self.reply = None;
        self.orders.clear();
        self.receive = None;
        self.sense.clear();
        self.view = None;
        self.job = None;
        self.table = None;
        self.aside = None;
        // The others hold nothing, and are set anew by `Command::arrive`.
    }
}

impl Command {
    /// Fills a slot at rest with a request as it arrived on a channel.
    #[inline(always)]
    pub(crate) fn arrive(&mut self, channel: Key<Channel>, request: Request, receive: Option<Buf>, view: Rc<View>) {
        self.address = match &request {
            Request::Command(command) => Address::from_wire(&command.lun),
            Request::Management(management) => Address::from_wire(&management.lun),
            Request::Answer { .. } => Address::Unknown,
        };
        self.entry = view.luns.find(self.address);
        self.view = Some(view);
        self.channel = Some(channel);
        self.request = request;
        self.stage = Stage::Arrived;
        self.place = Place::default();
        self.timing = Timing::default();
        self.has_cleared = false;
        self.abort = None;
        self.fenced = false;
        self.debt = None;
        self.orphan_of = None;
        self.receive = receive;
        self.executing = None;
        self.executing_on = None;
        self.changed = None;
        self.watch = Watch::default();
        self.in_place = None;
        self.is_exact = false;
        self.cursor = Cursor::new(0);
    }

    /// What the command's answer needs on its own: the initiator need not wait for the rest.
    pub(crate) fn early_answer(&self) -> EarlyAnswer {
        let (view, job) = (Rc::clone(self.view()), self.job.clone());
        EarlyAnswer { request: self.request, view, job, timing: self.timing, watch: self.watch }
    }

    /// Fills a slot at rest with such an answer.
    pub(crate) fn arrive_as_answer(&mut self, channel: Key<Channel>, answer: EarlyAnswer, receive: Option<Buf>) {
        self.arrive(channel, answer.request, receive, answer.view);
        self.job = answer.job;
        self.timing = answer.timing;
        self.watch = answer.watch;
    }
}
