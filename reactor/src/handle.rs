//! What other threads may ask of a reactor, and what they share with it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_queue::SegQueue;
use metrics::CacheAligned;

use crate::poller::Poller;
use crate::stats::{PollerCounters, ReactorCounters, ReactorStats};
use crate::waker::Waker;

/// Builds a poller on the thread of the reactor that is to run it.
pub type PollerBuilder = Box<dyn FnOnce() -> Box<dyn Poller> + Send>;

/// A reactor as other threads see it. Cheap to clone. Requests take effect at the start of a later round, in the
/// order of their making, and wake the reactor; a stopped one drops them.
#[derive(Clone)]
pub struct ReactorHandle {
    shared: Arc<Shared>,
}

impl ReactorHandle {
    pub(crate) fn new(shared: Arc<Shared>) -> ReactorHandle {
        ReactorHandle { shared }
    }

    /// Runs the poller that `build` makes in every round.
    pub fn add_poller(&self, build: PollerBuilder) {
        self.request(Command::Add(build));
    }

    /// Runs the poller that `build` makes every `period`; see [`Reactor::add_timed_poller`](crate::Reactor::add_timed_poller).
    pub fn add_timed_poller(&self, period: Duration, build: PollerBuilder) {
        self.request(Command::AddTimed(period, build));
    }

    /// Drops all pollers of this name, on the reactor's thread.
    pub fn remove_poller(&self, name: &str) {
        self.request(Command::Remove(name.to_owned()));
    }

    /// Ends [`Reactor::run`](crate::Reactor::run) after the round under way.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.wake();
    }

    /// The numbers of this moment; see [`ReactorStats`].
    pub fn stats(&self) -> ReactorStats {
        self.shared.stats()
    }

    /// The name of the poller that runs at this moment; `None`: none does, or its name cannot be read without waiting.
    pub fn running_poller(&self) -> Option<String> {
        self.shared.running_poller()
    }

    /// Makes the reactor run a round soon if it sleeps.
    pub fn wake(&self) {
        self.shared.waker.wake();
    }

    /// The waker of the reactor, for a mailbox that one of its pollers is to receive from.
    pub fn waker(&self) -> Waker {
        self.shared.waker.clone()
    }

    fn request(&self, command: Command) {
        self.shared.commands.push(command);
        self.wake();
    }
}

impl std::fmt::Debug for ReactorHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReactorHandle").field("name", &self.shared.name).field("core", &self.shared.core).finish()
    }
}

/// A request to a running reactor.
pub(crate) enum Command {
    Add(PollerBuilder),
    AddTimed(Duration, PollerBuilder),
    Remove(String),
}

/// What a reactor shares with its handles.
pub(crate) struct Shared {
    pub(crate) core: Option<u32>,
    pub(crate) name: String,
    pub(crate) waker: Waker,
    pub(crate) counters: CacheAligned<ReactorCounters>,
    /// Id of the poller that stalled last, or [`NO_POLLER`]. Written by the reactor.
    pub(crate) last_stalled: AtomicU64,
    /// Id of the poller that runs now, or [`NO_POLLER`] between them and in a sleep. Written by the reactor.
    pub(crate) running: AtomicU64,
    stopping: AtomicBool,
    commands: SegQueue<Command>,
    /// Locked to add or remove a poller and to read statistics, never in a round.
    roster: Mutex<Roster>,
}

pub(crate) const NO_POLLER: u64 = u64::MAX;

#[derive(Default)]
struct Roster {
    pollers: Vec<Arc<PollerCounters>>,
    /// The poller that stalled last, if it has been removed since: its name is still wanted.
    removed_after_stall: Option<Arc<PollerCounters>>,
}

impl Shared {
    pub(crate) fn new(core: Option<u32>, name: String) -> Shared {
        Shared {
            core,
            name,
            waker: Waker::new(),
            counters: CacheAligned::default(),
            last_stalled: AtomicU64::new(NO_POLLER),
            running: AtomicU64::new(NO_POLLER),
            stopping: AtomicBool::new(false),
            commands: SegQueue::new(),
            roster: Mutex::default(),
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// The oldest request, if there is one; asked in every round, so the empty case is two loads.
    pub(crate) fn next_command(&self) -> Option<Command> {
        if self.commands.is_empty() { None } else { self.commands.pop() }
    }

    pub(crate) fn enrol(&self, counters: &Arc<PollerCounters>) {
        self.roster().pollers.push(Arc::clone(counters));
    }

    pub(crate) fn strike(&self, name: &str) {
        let last_stalled = self.last_stalled.load(Ordering::Relaxed);
        let mut roster = self.roster();
        let stalled =
            roster.pollers.iter().find(|counters| counters.id == last_stalled && counters.name == name).cloned();
        roster.removed_after_stall = stalled.or(roster.removed_after_stall.take());
        roster.pollers.retain(|counters| counters.name != name);
    }

    fn stats(&self) -> ReactorStats {
        let last_stalled = self.last_stalled.load(Ordering::Relaxed);
        let roster = self.roster();
        let known = roster.pollers.iter().chain(&roster.removed_after_stall);
        let last_stalled_poller = known.into_iter().find(|counters| counters.id == last_stalled);
        ReactorStats {
            core: self.core,
            name: self.name.clone(),
            busy_ns: self.counters.busy_ns.get(),
            idle_ns: self.counters.idle_ns.get(),
            rounds: self.counters.rounds.get(),
            sleeps: self.counters.sleeps.get(),
            stalls: self.counters.stalls.get(),
            last_stalled_poller: last_stalled_poller.map(|counters| counters.name.clone()),
            longest_poll_ns: self.counters.longest_poll_ns.get(),
            pollers: roster.pollers.iter().map(|counters| counters.stats()).collect(),
        }
    }

    /// The name of the poller that runs now. Waits for nobody: `None` also where the names cannot be read at the moment.
    fn running_poller(&self) -> Option<String> {
        let running = self.running.load(Ordering::Relaxed);
        let roster = self.roster.try_lock().ok()?;
        roster.pollers.iter().find(|counters| counters.id == running).map(|counters| counters.name.clone())
    }

    /// A poisoned lock means that a poller's name could not be copied: the roster itself is whole.
    fn roster(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
