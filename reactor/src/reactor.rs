//! The loop of one core: run every poller, then those timers that are due, then perhaps sleep; and again.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::handle::{Command, ReactorHandle, Shared};
use crate::idle::{Idle, IdleMode, Rest};
use crate::poller::{Poller, Progress, Registered};
use crate::sources::WakeSources;
use crate::stats::Meter;
use crate::timer::Timers;
use crate::waker::Waker;

/// How a reactor is to run.
#[derive(Clone, Debug)]
pub struct ReactorConfig {
    /// The core that [`spawn`](crate::spawn) pins the thread to; `None` leaves it to the scheduler, as befits a
    /// control thread.
    pub core: Option<u32>,
    /// The name of the reactor and of its thread (the kernel shows the first 15 bytes).
    pub name: String,
    /// What to do when there is nothing to do.
    pub idle: IdleMode,
    /// A poll that takes longer than this is a stall: counted, and logged with the poller's name at most once a
    /// second. The kernel taking the core away counts too, for the peer it is the same. `Duration::MAX` turns it off.
    pub stall_after: Duration,
}

/// One core's loop and everything it runs. Made on the thread that runs it and never moved from there.
pub struct Reactor<C: Clock> {
    pollers: Vec<Registered>,
    timers: Timers,
    idle: Idle,
    meter: Meter<C>,
    shared: Arc<Shared>,
    next_poller_id: u64,
}

impl<C: Clock> Reactor<C> {
    /// A reactor that runs nothing yet. Does not pin the calling thread; [`spawn`](crate::spawn) does.
    pub fn new(config: ReactorConfig, clock: C) -> Reactor<C> {
        let shared = Arc::new(Shared::new(config.core, config.name));
        Reactor {
            pollers: Vec::new(),
            timers: Timers::default(),
            idle: Idle::new(config.idle),
            meter: Meter::new(clock, config.stall_after, Arc::clone(&shared)),
            shared,
            next_poller_id: 0,
        }
    }

    /// Runs rounds until someone calls [`ReactorHandle::stop`]. The round under way is finished; a stopped reactor
    /// does not run again.
    pub fn run(&mut self) {
        self.shared.waker.bind_to_current_thread();
        self.meter.charge_pause();
        while !self.shared.is_stopping() {
            let progress = self.round();
            self.rest(progress);
        }
    }

    /// Runs one round and never sleeps: what a test or a simulation calls in place of [`Reactor::run`].
    pub fn run_once(&mut self) -> Progress {
        self.meter.charge_pause();
        self.round()
    }

    fn round(&mut self) -> Progress {
        let mut progress = self.obey_commands();
        if self.pollers.is_empty() {
            self.meter.charge(Progress::Idle); // nobody else reads the clock, and the timers need it
        }
        for registered in &mut self.pollers {
            progress = progress.or(self.meter.run(registered));
        }
        progress = progress.or(self.timers.run_due(&mut self.meter));
        self.meter.count_round();
        progress
    }

    /// Runs `poller` in every round from the next one on.
    pub fn add_poller(&mut self, poller: Box<dyn Poller>) {
        let registered = self.register(None, poller);
        self.pollers.push(registered);
    }

    /// Runs `poller` every `period`, the first time one period from now. A late one runs once, however many periods it
    /// missed, and keeps its phase. A period of zero means every round.
    pub fn add_timed_poller(&mut self, period: Duration, poller: Box<dyn Poller>) {
        if period.is_zero() {
            return self.add_poller(poller);
        }
        let registered = self.register(Some(period), poller);
        self.timers.add(registered, period, self.meter.read_clock());
    }

    /// Wakes this reactor: for the mailboxes that its pollers receive from.
    pub fn waker(&self) -> Waker {
        self.shared.waker.clone()
    }

    /// What other threads may ask of this reactor.
    pub fn handle(&self) -> ReactorHandle {
        ReactorHandle::new(Arc::clone(&self.shared))
    }

    fn obey_commands(&mut self) -> Progress {
        let mut progress = Progress::Idle;
        while let Some(command) = self.shared.next_command() {
            match command {
                Command::Add(build) => self.add_poller(build()),
                Command::AddTimed(period, build) => self.add_timed_poller(period, build()),
                Command::Remove(name) => self.remove_pollers(&name),
            }
            progress = Progress::Busy;
        }
        if progress == Progress::Busy {
            self.meter.charge(progress);
        }
        progress
    }

    fn register(&mut self, period: Option<Duration>, poller: Box<dyn Poller>) -> Registered {
        let registered = Registered::new(self.next_poller_id, period, poller);
        self.next_poller_id += 1;
        self.shared.enrol(&registered.counters);
        registered
    }

    fn remove_pollers(&mut self, name: &str) {
        self.pollers.retain(|registered| registered.counters.name != name);
        self.timers.remove(name);
        self.shared.strike(name);
    }

    /// Between two rounds: sleeps, or prepares to, as the idle mode has it.
    fn rest(&mut self, progress: Progress) {
        match self.idle.after_round(progress, self.meter.now()) {
            Rest::None => {}
            Rest::Yield => std::thread::yield_now(),
            Rest::Announce => self.announce(),
            Rest::Cancel => self.shared.waker.cancel(),
            Rest::Sleep => self.sleep(),
        }
    }

    /// From here on work ends the sleep, or is found by the round that follows.
    fn announce(&mut self) {
        self.shared.waker.announce();
        for registered in &mut self.pollers {
            registered.poller.arm(&self.shared.waker);
        }
        self.meter.charge_pause();
    }

    fn sleep(&mut self) {
        let mut sources = WakeSources::new(&self.shared.waker);
        for registered in &self.pollers {
            registered.poller.wake_sources(&mut sources);
        }
        if let Some(deadline) = self.timers.next_deadline() {
            sources.deadline(deadline);
        }
        let longest = self.idle.longest_sleep(sources.are_to_be_looked_at_often());
        let duration = sources.shorten(longest, self.meter.now());
        if duration.is_zero() {
            return;
        }
        self.meter.count_sleep();
        if self.shared.waker.sleep(&mut sources, duration) {
            self.idle.woken_by_file();
        }
        self.meter.charge_pause();
    }
}

impl<C: Clock> Drop for Reactor<C> {
    /// A command may hold a handle of this reactor, and so keep itself alive.
    fn drop(&mut self) {
        while self.shared.next_command().is_some() {}
    }
}

#[cfg(test)]
#[path = "reactor_tests.rs"]
mod tests;
