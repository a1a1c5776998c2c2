//! What runs on each core: its endpoint and its channels. The control side gives orders and gets reports.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use fabric::{Completion, QpIndex};
use mem::Region;
use reactor::{Instant, Poller, Progress};

use crate::endpoint::{Endpoint, EndpointSeed, QueuePair};
use crate::initiator::answer::SenseCodes;
use crate::initiator::cdb::Cdb;
use crate::initiator::memory::Memory;
use crate::initiator::probe::Step;
use crate::initiator::{self, Answer, Capacity, Channel, Event, MemoryLayout, Probe, Slot, Transfer};
use crate::load::Load;
use crate::tally::Tally;

/// Room for what one poll of the fabric reports, so that the list need not grow.
const COMPLETIONS: usize = 1024;

/// From the control side to a core. Channels are named by their number in the session.
#[derive(Debug)]
pub enum Order {
    /// Adopt a channel's queue pair and post its receives.
    Open {
        /// Which channel.
        channel: u32,
        /// Its queue pair.
        queue_pair: QueuePair,
        /// Number of its unit, as SAM's eight bytes.
        lun: [u8; 8],
    },
    /// The login was accepted.
    LoggedIn {
        /// Which channel.
        channel: u32,
        /// What was agreed.
        terms: initiator::Terms,
    },
    /// Ask its unit for its size.
    Probe {
        /// Through which channel.
        channel: u32,
    },
    /// Run one command.
    Execute {
        /// Through which channel.
        channel: u32,
        /// What.
        command: Box<OneCommand>,
    },
    /// Start the load.
    Start {
        /// On which channel.
        channel: u32,
        /// What to do.
        load: Box<Load>,
    },
    /// Give the channel up as soon as everything came back: it was disconnected.
    Close {
        /// Which channel.
        channel: u32,
    },
}

/// One command, as its sender makes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OneCommand {
    /// CDB.
    pub cdb: Cdb,
    /// Data-out; empty where there is none.
    pub data_out: Vec<u8>,
    /// Room for data-in in bytes, 0 where there is none or data-out.
    pub data_in_len: u32,
}

/// How it ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Executed {
    /// SCSI status (SAM-5).
    pub status: u8,
    /// Sense key and codes, with CHECK CONDITION.
    pub sense: Option<SenseCodes>,
    /// What is in the room for data-in.
    pub data_in: Vec<u8>,
}

/// From a core to the control side.
#[derive(Debug)]
pub enum Report {
    /// The receives are posted.
    Opened {
        /// Of which channel.
        channel: u32,
    },
    /// What the unit said about its size, or why it did not.
    Probed(Result<Capacity, String>),
    /// How a single command ended, or why it could not be sent.
    Executed(Result<Executed, String>),
    /// A channel cannot go on. If it has load, that is over, and [`Report::Finished`] follows.
    Failed {
        /// Which channel.
        channel: u32,
        /// What happened.
        why: String,
    },
    /// A channel's load is over.
    Finished {
        /// Which channel.
        channel: u32,
        /// What it measured.
        tally: Box<Tally>,
    },
    /// A channel was given up.
    Closed {
        /// Which channel.
        channel: u32,
        /// Its queue pair, to be destroyed.
        queue_pair: QueuePair,
    },
}

/// What a worker is made from; it can be sent to the reactor's thread, where [`WorkerSeed::settle`] makes it.
#[derive(Debug)]
pub struct WorkerSeed {
    /// The core's end of the fabric.
    pub endpoint: EndpointSeed,
    /// Memory of [`MemoryLayout::exposed_bytes`].
    pub exposed: Arc<Region>,
    /// Memory of [`MemoryLayout::own_bytes`].
    pub own: Arc<Region>,
    /// How to cut them.
    pub layout: MemoryLayout,
    /// I/Os completed, for whoever watches.
    pub completed: Arc<AtomicU64>,
    /// From the control side.
    pub orders: mpsc::Receiver<Order>,
    /// To the control side.
    pub reports: mpsc::Sender<Report>,
}

/// One core's channels; a [`Poller`].
#[derive(Debug)]
pub struct Worker {
    endpoint: Endpoint,
    memory: Memory,
    layout: MemoryLayout,
    completed: Arc<AtomicU64>,
    orders: mpsc::Receiver<Order>,
    reports: mpsc::Sender<Report>,
    lanes: Vec<Lane>,
    completions: Vec<Completion>,
}

/// A channel and what is done on it.
#[derive(Debug)]
struct Lane {
    number: u32,
    channel: Channel,
    task: Task,
    /// Why it cannot go on.
    failed: Option<String>,
    closing: bool,
}

#[derive(Debug)]
enum Task {
    None,
    Probe(Probe),
    /// One command with room for so many bytes of data-in.
    One(u32),
    Load(Box<Load>),
}

impl WorkerSeed {
    /// Cuts the buffers. Call it on the reactor's thread.
    pub fn settle(self) -> Worker {
        let WorkerSeed { endpoint, exposed, own, layout, completed, orders, reports } = self;
        Worker {
            endpoint: endpoint.settle(),
            memory: layout.cut(&exposed, &own),
            layout,
            completed,
            orders,
            reports,
            lanes: Vec::with_capacity(layout.channels),
            completions: Vec::with_capacity(COMPLETIONS),
        }
    }
}

impl Poller for Worker {
    fn name(&self) -> &str {
        "srp_initiator"
    }

    fn poll(&mut self, now: Instant) -> Progress {
        let mut progress = Progress::Idle;
        while let Ok(order) = self.orders.try_recv() {
            self.obey(order);
            progress = Progress::Busy;
        }
        if self.poll_fabric(now.0) > 0 {
            progress = Progress::Busy;
        }
        for index in 0..self.lanes.len() {
            self.run_load(index, now.0);
        }
        if progress == Progress::Busy {
            self.close_lanes();
            self.publish();
        }
        self.endpoint.ring();
        progress
    }
}

impl Worker {
    fn obey(&mut self, order: Order) {
        match order {
            Order::Open { channel: number, queue_pair, lun } => {
                let Worker { endpoint, memory, layout, .. } = self;
                let channel = Channel::open(endpoint, queue_pair, memory, layout, lun);
                self.lanes.push(Lane { number, channel, task: Task::None, failed: None, closing: false });
                self.report(Report::Opened { channel: number });
            }
            Order::LoggedIn { channel, terms } => self.lane(channel).channel.logged_in(&terms),
            Order::Probe { channel } => {
                let probe = Probe::new();
                let step = probe.start();
                let slot = self.lane(channel).channel.take();
                self.lane(channel).task = Task::Probe(probe);
                match slot {
                    Some(slot) => self.probe_step(channel, slot, step),
                    None => self.report(Report::Probed(Err("the channel cannot send".into()))),
                }
            }
            Order::Execute { channel, command } => self.start_one(channel, &command),
            Order::Start { channel, load } => {
                let form = self.layout.form;
                let lane = self.lane(channel);
                lane.channel.set_form(form);
                lane.task = Task::Load(load);
            }
            Order::Close { channel } => self.lane(channel).closing = true,
        }
    }

    fn poll_fabric(&mut self, now_ns: u64) -> usize {
        let mut completions = std::mem::take(&mut self.completions);
        let count = self.endpoint.poll(now_ns, &mut |completion| completions.push(completion));
        for completion in completions.drain(..) {
            self.on_completion(completion, now_ns);
        }
        self.completions = completions;
        count
    }

    fn on_completion(&mut self, completion: Completion, now_ns: u64) {
        let endpoint = &mut self.endpoint;
        let of = |lanes: &[Lane], qp: QpIndex| lanes.iter().position(|lane| lane.channel.qp() == qp);
        let (index, event) = match completion {
            Completion::Received { qp, buf, len } => {
                let Some(index) = of(&self.lanes, qp) else { return };
                (index, self.lanes[index].channel.on_received(endpoint, buf, len))
            }
            Completion::Delivered { qp, message, result, .. } => {
                let Some(index) = of(&self.lanes, qp) else { return };
                (index, self.lanes[index].channel.on_delivered(endpoint, message, result))
            }
            Completion::ReceiveFlushed { qp, .. } => {
                let Some(index) = of(&self.lanes, qp) else { return };
                (index, Event::Fault(fabric::WorkError::Flushed.into()))
            }
            // We never fetch.
            Completion::Fetched { .. } => return,
        };
        match event {
            Event::Nothing => {}
            Event::Answered(answer) => self.on_answer(index, &answer, now_ns),
            Event::Fault(fault) => self.fail(index, || fault.to_string()),
        }
    }

    fn on_answer(&mut self, index: usize, answer: &Answer, now_ns: u64) {
        let lane = &mut self.lanes[index];
        match &mut lane.task {
            Task::Load(load) => load.on_answer(&mut lane.channel, answer, now_ns),
            Task::Probe(probe) => {
                let step = probe.on_answer(answer, lane.channel.data(answer.slot));
                let number = lane.number;
                self.probe_step(number, answer.slot, step);
            }
            Task::One(room) => {
                let data_in = lane.channel.data(answer.slot)[..*room as usize].to_vec();
                lane.channel.give_back(answer.slot);
                lane.task = Task::None;
                let executed = Executed { status: answer.status, sense: answer.sense, data_in };
                self.report(Report::Executed(Ok(executed)));
            }
            Task::None => lane.channel.give_back(answer.slot),
        }
    }

    fn start_one(&mut self, number: u32, command: &OneCommand) {
        let index = self.index(number);
        let Lane { channel, task, .. } = &mut self.lanes[index];
        let transfer = match (u32::try_from(command.data_out.len()), command.data_in_len) {
            (Ok(0), 0) => Transfer::None,
            (Ok(0), len) => Transfer::In(len),
            (Ok(len), _) => Transfer::Out(len),
            (Err(_), _) => return self.report(Report::Executed(Err("the data-out is too long".into()))),
        };
        let Some(slot) = channel.take().filter(|_| channel.can_send()) else {
            return self.report(Report::Executed(Err("the channel cannot send".into())));
        };
        let buffer = channel.data_mut(slot);
        if buffer.len() < command.data_out.len().max(command.data_in_len as usize) {
            channel.give_back(slot);
            return self.report(Report::Executed(Err("the data is longer than a buffer (-o)".into())));
        }
        buffer[..command.data_out.len()].copy_from_slice(&command.data_out);
        *task = Task::One(command.data_in_len);
        channel.send(&mut self.endpoint, slot, &command.cdb, transfer);
    }

    fn probe_step(&mut self, number: u32, slot: Slot, step: Step) {
        let index = self.index(number);
        let Lane { channel, task, .. } = &mut self.lanes[index];
        let outcome = match step {
            Step::Send(cdb, len) if channel.can_send() => {
                let transfer = if len == 0 { Transfer::None } else { Transfer::In(len) };
                return channel.send(&mut self.endpoint, slot, &cdb, transfer);
            }
            Step::Send(..) => Err("there is no credit for the first commands".into()),
            Step::Done(capacity) => Ok(capacity),
            Step::Failed(why) => Err(why),
        };
        channel.give_back(slot);
        *task = Task::None;
        self.report(Report::Probed(outcome));
    }

    /// Sends more, or ends the load when its time has come.
    #[inline]
    fn run_load(&mut self, index: usize, now_ns: u64) {
        let Lane { channel, task, failed, number, .. } = &mut self.lanes[index];
        let Task::Load(load) = task else { return };
        if failed.is_none() {
            load.fill(&mut self.endpoint, channel, now_ns);
        }
        if failed.is_some() || load.is_over(channel, now_ns) {
            let Task::Load(load) = std::mem::replace(task, Task::None) else { return };
            let why = failed.as_deref().unwrap_or("no answer");
            let tally = load.finish(channel, || format!("on channel {number}: {why}"));
            let report = Report::Finished { channel: *number, tally: Box::new(tally) };
            self.report(report);
        }
    }

    /// Lets the control side see how far the load is.
    fn publish(&self) {
        let completed = |lane: &Lane| if let Task::Load(load) = &lane.task { load.completed() } else { 0 };
        self.completed.store(self.lanes.iter().map(completed).sum(), Ordering::Relaxed);
    }

    fn fail(&mut self, index: usize, why: impl FnOnce() -> String) {
        let lane = &mut self.lanes[index];
        if lane.failed.is_none() && !lane.closing {
            let why = why();
            lane.failed = Some(why.clone());
            let report = Report::Failed { channel: lane.number, why };
            self.report(report);
        }
    }

    fn close_lanes(&mut self) {
        let closed = |lane: &Lane, endpoint: &Endpoint| lane.closing && endpoint.outstanding(lane.channel.qp()) == 0;
        while let Some(index) = self.lanes.iter().position(|lane| closed(lane, &self.endpoint)) {
            let lane = self.lanes.swap_remove(index);
            let queue_pair = lane.channel.close(&mut self.endpoint);
            self.report(Report::Closed { channel: lane.number, queue_pair });
        }
    }

    fn report(&self, report: Report) {
        // Nobody listens any more when the control side gave up; then there is nothing left to tell.
        let _ = self.reports.send(report);
    }

    fn lane(&mut self, number: u32) -> &mut Lane {
        let index = self.index(number);
        &mut self.lanes[index]
    }

    fn index(&self, number: u32) -> usize {
        let index = self.lanes.iter().position(|lane| lane.number == number);
        index.expect("orders are for channels that are open")
    }
}
