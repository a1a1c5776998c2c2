//! The target, its devices and its initiators in one process, and what a step of them is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bdev::Bdev;
use bdev::delay::{DelayOptions, Latencies};
use bdev::malloc::MallocOptions;
use fabric::sim::Network;
use hugepage_setup::{AllocationRequest, PageKind};
use mem::Region;
use reactor::{Instant, Poller, Waker};
use scsi::alua::AccessModes;

use super::initiator::{Coming, Lost, Pending, Player, What};
use super::model::Medium;
use super::paths::{GROUP, Paths};
use super::plan::{Action, Plan, Random};
use super::reservations::Reservations;
use super::trace::Trace;
use super::{Options, Report};
use crate::testing::{Handle, Initiator, InitiatorOptions, MemoryStore, MultiChannel, Outcome};
use crate::{Controller, ControllerOptions, LunOptions, MemoryOptions, PollGroup, PortGroupOptions};

pub(super) const BLOCK: u32 = 512;
pub(super) const TARGET: &str = "tgt0";
const ID_EXT: u64 = 0x0002_c903_0000_1234;
const IOC_GUID: u64 = 0x0002_c903_0000_5678;

/// A unit's device, which can be made slow, stuck or faulty.
pub(super) struct Disk {
    pub(super) faulty: Arc<Bdev>,
    pub(super) slow: Arc<Bdev>,
    pub(super) medium: Medium,
    pub(super) reservations: Reservations,
    pub(super) exported: bool,
    pub(super) read_only: bool,
}

/// A world under way.
pub(super) struct Simulation {
    pub(super) plan: Plan,
    pub(super) random: Random,
    pub(super) network: Network,
    pub(super) controller: Controller,
    pub(super) groups: Vec<PollGroup>,
    /// Rounds that each reactor, and behind them the control plane, still stands still.
    pub(super) asleep: Vec<u64>,
    pub(super) disks: Vec<Disk>,
    pub(super) paths: Paths,
    /// When the control plane had its last turn.
    pub(super) controlled: Instant,
    pub(super) players: Vec<Player>,
    pub(super) moment: u64,
    pub(super) stamp: u64,
    pub(super) trace: Trace,
    pub(super) report: Report,
    pub(super) options: Options,
}

fn disk(number: u16, blocks: u64) -> Disk {
    let options =
        MallocOptions { name: format!("ram{number}"), num_blocks: blocks, block_size: BLOCK, ..Default::default() };
    let ram = bdev::malloc::create(options).expect("a RAM disk");
    let options = DelayOptions { name: format!("slow{number}"), uuid: None, latencies: Latencies::default() };
    let slow = bdev::delay::create(&ram, options).expect("a slow disk");
    let faulty = bdev::error::create(&slow, None).expect("a faulty disk");
    let (medium, reservations) = (Medium::new(blocks), Reservations::new());
    Disk { faulty, slow, medium, reservations, exported: true, read_only: false }
}

pub(super) fn address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 100], 5555))
}

impl Simulation {
    /// The world of a seed, before its first step.
    pub(super) fn new(options: Options) -> Simulation {
        let mut random = Random::new(options.seed);
        let plan = Plan::draw(&mut random);
        let network = Network::new(options.seed, plan.network.clone());
        let memory =
            MemoryOptions { small_data: 8, medium_data: 4, large_data: 2, tables: 2, receives: 600, messages: 700 };
        let region = |_| {
            let mut request = AllocationRequest::new(memory.region_bytes());
            (request.max_page, request.lock) = (PageKind::Ordinary, false);
            (Waker::new(), Region::new(hugepage_setup::allocate(&request).expect("memory")))
        };
        let reactors = (0..plan.reactors).map(region).collect();
        let fabrics = vec![fabric::Control::Sim(network.control())];
        let controller = ControllerOptions { credits: plan.credits, memory, trace_events: 64, slow_threshold: None };
        let (mut controller, seeds) = Controller::new(controller, fabrics, reactors, Waker::new());
        controller.set_store(Box::new(MemoryStore::default()));
        controller.create_target(TARGET, ID_EXT, IOC_GUID).expect("a target");
        controller.create_listener("sim", address()).expect("a listener");
        let disks: Vec<Disk> = (0..plan.units).map(|number| disk(number, plan.blocks)).collect();
        for disk in &disks {
            controller.add_lun(TARGET, &disk.faulty, &LunOptions::default()).expect("a LUN");
        }
        if plan.has(Action::SetState) {
            let modes = AccessModes { implicit: true, explicit: false };
            let options = PortGroupOptions { modes, ..PortGroupOptions::default() };
            controller.create_port_group(GROUP, &options).expect("a target port group");
            controller.port_group_add_target(GROUP, TARGET).expect("a member");
        }
        let groups: Vec<PollGroup> = seeds.into_iter().map(|seed| seed.settle()).collect();
        let player = |number| Player::new(initiator(&network, number as u8 + 1, plan.shares_tags));
        let players = (0..plan.initiators).map(player).collect();
        let asleep = vec![0; groups.len() + 1];
        let mut trace = Trace::new(options.trace);
        trace.note(Duration::ZERO, format_args!("{plan:?}"));
        let (moment, stamp, report) = (0, 0, Report::default());
        Simulation {
            plan,
            random,
            network,
            controller,
            groups,
            asleep,
            disks,
            paths: Paths::default(),
            controlled: Instant(0),
            players,
            moment,
            stamp,
            trace,
            report,
            options,
        }
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// If the target does what it must not.
    pub(super) fn run(&mut self) -> Report {
        self.rounds(10, 2000);
        for _ in 0..self.options.steps {
            for _ in 0..self.random.below(4) {
                let action = self.plan.action(&mut self.random);
                self.act(action);
            }
            let time = self.random.below(self.plan.step);
            self.round(time);
            for number in 0..self.players.len() {
                if !self.random.one_in(4) {
                    self.listen(number);
                }
            }
        }
        self.end();
        self.report.hash = self.trace.hash() ^ self.network.fingerprint();
        self.report
    }

    /// A round of the target after so many nanoseconds.
    pub(super) fn round(&mut self, time: u64) {
        self.network.advance(Duration::from_nanos(time));
        let now = Instant(u64::try_from(self.network.now().as_nanos()).expect("runs are short"));
        let last = self.groups.len();
        for (number, rounds) in self.asleep.iter_mut().enumerate() {
            if *rounds > 0 {
                *rounds -= 1;
                continue;
            }
            match number == last {
                true => {
                    self.controller.poll(now);
                    self.controlled = now;
                    self.paths.pass(now.0);
                }
                false => drop(self.groups[number].poll(now)),
            }
        }
        assert_eq!(self.network.violations(), vec![], "rules of the fabric");
    }

    pub(super) fn rounds(&mut self, rounds: usize, time: u64) {
        for _ in 0..rounds {
            self.round(time);
            (0..self.players.len()).for_each(|number| self.listen(number));
        }
    }

    pub(super) fn now(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    /// Takes what happened to an initiator.
    pub(super) fn listen(&mut self, number: usize) {
        let ended = self.players[number].initiator.poll();
        for login in self.players[number].arrivals() {
            self.logged_in(number, login);
        }
        if ended > 0 {
            self.take_outcomes(number);
        }
    }

    pub(super) fn take_outcomes(&mut self, number: usize) {
        loop {
            let player = &mut self.players[number];
            let initiator = &mut player.initiator;
            let over: Vec<(Handle, Outcome)> =
                player.pending.keys().filter_map(|&handle| Some((handle, initiator.take(handle)?))).collect();
            if over.is_empty() {
                return;
            }
            for (handle, outcome) in over {
                let pending = self.players[number].pending.remove(&handle).expect("it was pending");
                self.ended(number, &pending, &outcome);
                // Which may end others.
                self.managed(number, handle, &outcome);
            }
        }
    }

    fn logged_in(&mut self, number: usize, login: Coming) {
        let now = self.now();
        self.report.logins += 1;
        let Coming { channel, action, start } = login;
        self.trace.note(self.network.now(), format_args!("i{number} c{channel} live, {action:?}"));
        if action == MultiChannel::Single {
            // All that was sent before on other channels is over: they ended first.
            let (over, lost) = self.players[number].lost.iter().partition(|lost| lost.start < start);
            self.players[number].lost = lost;
            let over: Vec<Lost> = over;
            over.into_iter().for_each(|lost| self.settle(lost.what, now, lost.start));
        }
    }

    /// What was lost cannot be carried out any more.
    fn settle(&mut self, what: What, now: u64, start: u64) {
        let oldest = self.oldest();
        match what {
            What::Write { unit, lba, blocks, stamp } => {
                self.disks[unit].medium.write_ends(lba, blocks, stamp, false, now, oldest);
            }
            What::Reserve { unit, .. } => self.disks[unit].reservations.ended(start),
            What::Read { .. } | What::Manage(_) | What::Other => {}
        }
    }

    pub(super) fn oldest(&self) -> u64 {
        self.players.iter().map(Player::oldest).min().unwrap_or(u64::MAX)
    }

    /// A request is over.
    fn ended(&mut self, number: usize, pending: &Pending, outcome: &Outcome) {
        let now = self.now();
        let Pending { channel, what, start, .. } = *pending;
        match outcome {
            Outcome::Answered(answer) => {
                self.trace.note(
                    self.network.now(),
                    format_args!(
                        "i{number} c{channel} @{start} {what:?}: {} {:?}",
                        answer.status,
                        answer.key_and_code()
                    ),
                );
                self.report.answered += 1;
                self.answered(number, pending, answer, now);
            }
            Outcome::Aborted => {
                self.trace.note(self.network.now(), format_args!("i{number} c{channel} @{start} {what:?}: aborted"));
                self.report.aborted += 1;
                self.forget_access(pending);
                self.settle(what, now, start);
            }
            Outcome::Lost => self.lost(number, pending),
        }
    }

    /// It is over without an answer.
    fn forget_access(&mut self, pending: &Pending) {
        self.paths.ends(pending.start);
        if let Some((unit, _)) = pending.what.access() {
            self.disks[unit].reservations.access_ends(pending.start);
        }
    }

    /// Its channel is gone.
    pub(super) fn lost(&mut self, number: usize, pending: &Pending) {
        let Pending { channel, what, start, .. } = *pending;
        self.trace.note(self.network.now(), format_args!("i{number} c{channel} @{start} {what:?}: lost"));
        self.report.lost += 1;
        self.forget_access(pending);
        if matches!(what, What::Write { .. } | What::Reserve { .. }) {
            self.players[number].lost.push(Lost { what, start });
        }
    }
}

pub(super) fn initiator(network: &Network, number: u8, shares_tags: bool) -> Initiator {
    let mut port = [0; 16];
    port[..8].copy_from_slice(&ID_EXT.to_be_bytes());
    port[8..].copy_from_slice(&IOC_GUID.to_be_bytes());
    let mut options = InitiatorOptions::new(number, address(), port);
    // Commands of one channel race with resets on another.
    options.resets_end_all_channels = false;
    options.shares_tags = shares_tags;
    Initiator::new(network, options)
}
