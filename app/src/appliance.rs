//! What the control thread runs: the target's control plane, the bdevs, and the requests of administrators.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use bdev::{Bdev, Registry};
use reactor::{Instant, Poller, Progress, ReactorHandle, WakeSources};
use scsi::UnitAttention;
use serde_json::Value;
use transport_srp::Controller;

use crate::config::{self, ConfigFile, Transaction, config_file};
use crate::discovery::Discovery;
use crate::exposure::Exposure;
use crate::listeners::InterfaceListeners;
use crate::log::LogLevel;
use crate::metrics;
use crate::notify::Notifier;
use crate::rpc::Methods;
use crate::rpc::bdev::change;
use crate::scheduler::{self, Scheduler};
use crate::thresholds::{Seen, Thresholds};
use crate::watch::ReactorWatch;

/// How long the deletion of a bdev waits for commands that are still under way on it.
const DELETE_PATIENCE: Duration = Duration::from_secs(5);

/// Requests that are answered before logins, the watchdog and all else have their turn. Without an end, clients who never pause would have
/// the service manager kill a target that serves.
pub(crate) const REQUESTS_PER_ROUND: usize = 4;

/// How long after something happened the control thread still looks every [`BRISK_PERIOD`] for what follows, some of which wakes nobody.
const CALM_AFTER: Duration = Duration::from_secs(1);
pub(crate) const BRISK_PERIOD: Duration = Duration::from_millis(1);

/// The same when nothing happens. Where there is no core but those of reactors, each look is a pause of one, and one in a thousand
/// commands of 10 µs would meet it were it much shorter.
pub(crate) const CALM_PERIOD: Duration = Duration::from_millis(20);

/// All that administrators act on.
pub(crate) struct Appliance {
    pub(crate) controller: Controller,
    pub(crate) bdevs: Registry,
    /// How each bdev was made, for save_config: method and parameters.
    pub(crate) recipes: BTreeMap<String, (&'static str, Value)>,
    /// Registered Ceph clusters by name.
    #[cfg(feature = "rbd")]
    pub(crate) rbd_clusters: BTreeMap<String, Arc<bdev::rbd::Cluster>>,
    pub(crate) reactors: Vec<ReactorHandle>,
    pub(crate) log: LogLevel,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) now: Instant,
    /// When something happened last.
    busy_at: Instant,
    control: ReactorHandle,
    requests: mpsc::Receiver<rpc::Pending>,
    asks: metrics::Asks,
    methods: Option<Rc<Methods>>,
    deletions: Vec<Deletion>,
    /// Files that are being replaced.
    pub(crate) exchanges: Vec<change::Exchange>,
    /// Requests that are carried out whole or not at all.
    pub(crate) transaction: Option<Transaction>,
    /// Requests that wait for it.
    waiting: VecDeque<rpc::Pending>,
    pub(crate) kept: KeptDisks,
    pub(crate) config_file: ConfigFile,
    pub(crate) thresholds: Thresholds,
    pub(crate) scheduler: Scheduler,
    notifier: Notifier,
    watch: Option<ReactorWatch>,
    exposure: Exposure,
    pub(crate) interface_listeners: InterfaceListeners,
    pub(crate) discovery: Option<Discovery>,
    /// Filled when the target has drained: what is to be flushed.
    finished: Rc<RefCell<Vec<Arc<Bdev>>>>,
}

/// Bdevs to be removed as soon as nothing uses them, all at once.
struct Deletion {
    /// What they are named by in the request.
    parameter: &'static str,
    names: Vec<String>,
    since: Instant,
    pending: rpc::Pending,
}

/// RAM disks that a transaction deletes, with what they were made by: they come back with their data if it fails.
#[derive(Default)]
pub(crate) struct KeptDisks {
    disks: BTreeMap<String, (Arc<Bdev>, Recipe)>,
    keeps: bool,
    brings_back: bool,
}

type Recipe = (&'static str, Value);

impl KeptDisks {
    /// A transaction begins.
    pub(crate) fn begin(&mut self) {
        *self = KeptDisks { keeps: true, ..KeptDisks::default() };
    }

    /// It failed, and what it did is taken back.
    pub(crate) fn take_back(&mut self) {
        (self.keeps, self.brings_back) = (false, true);
    }

    /// The names of those in whose place there is another now.
    pub(crate) fn replaced(&self, bdevs: &Registry) -> BTreeSet<String> {
        self.disks.keys().filter(|name| bdevs.get(name).is_some()).cloned().collect()
    }

    /// It is over.
    pub(crate) fn end(&mut self) {
        *self = KeptDisks::default();
    }

    fn keep(&mut self, bdev: Arc<Bdev>, recipe: Recipe) {
        if self.keeps && bdev.memory().is_some() {
            self.disks.entry(bdev.info().name.clone()).or_insert((bdev, recipe));
        }
    }
}

impl Appliance {
    pub(crate) fn new(
        controller: Controller,
        reactors: Vec<ReactorHandle>,
        control: ReactorHandle,
        log: LogLevel,
        requests: mpsc::Receiver<rpc::Pending>,
        asks: metrics::Asks,
        stop: Arc<AtomicBool>,
        config_file: ConfigFile,
    ) -> Appliance {
        Appliance {
            controller,
            bdevs: Registry::new(),
            recipes: BTreeMap::new(),
            #[cfg(feature = "rbd")]
            rbd_clusters: BTreeMap::new(),
            reactors,
            log,
            stop,
            now: Instant::default(),
            busy_at: Instant::default(),
            control,
            requests,
            asks,
            methods: None,
            deletions: Vec::new(),
            exchanges: Vec::new(),
            transaction: None,
            waiting: VecDeque::new(),
            kept: KeptDisks::default(),
            config_file,
            thresholds: Thresholds::default(),
            scheduler: Scheduler::default(),
            notifier: Notifier::default(),
            watch: None,
            exposure: Exposure::default(),
            interface_listeners: InterfaceListeners::default(),
            discovery: None,
            finished: Rc::default(),
        }
    }

    pub(crate) fn set_methods(&mut self, methods: Methods) {
        self.methods = Some(Rc::new(methods));
    }

    pub(crate) fn methods(&self) -> Option<Rc<Methods>> {
        self.methods.clone()
    }

    /// The process serves: tells the service manager so, and from now on how it is doing.
    pub(crate) fn set_notifier(&mut self, notifier: Notifier) {
        notifier.ready();
        self.notifier = notifier;
    }

    /// From now on, reactors that stand still are reported.
    pub(crate) fn set_watch(&mut self, watch: ReactorWatch) {
        self.watch = Some(watch);
    }

    /// From now on, initiators on InfiniBand are told of the targets.
    pub(crate) fn set_discovery(&mut self, discovery: Discovery) {
        self.discovery = Some(discovery);
    }

    /// Tells them. Returns whether somebody asked.
    fn discover(&mut self) -> bool {
        let whole = (!self.is_changing()).then_some(&self.controller);
        self.discovery.as_mut().is_some_and(|discovery| discovery.poll(whole, self.now))
    }

    fn notify(&mut self) {
        let is_reloading = self.config_file.is_reloading() || self.is_changing();
        let controller = &self.controller;
        self.notifier.poll(self.now, &self.reactors, is_reloading, || {
            let sessions = controller.sessions();
            let channels: usize = sessions.iter().map(|session| session.channels.len()).sum();
            format!("{} targets, {} sessions, {channels} channels", controller.targets().len(), sessions.len())
        });
    }

    /// The bdevs that are left when the control thread has ended.
    pub(crate) fn finished(&self) -> Rc<RefCell<Vec<Arc<Bdev>>>> {
        Rc::clone(&self.finished)
    }

    /// Removes a bdev, and answers when it is gone: commands of a LUN that was just taken away may still use it.
    pub(crate) fn delete_bdev(&mut self, name: String, pending: rpc::Pending) {
        self.delete_bdevs("name", vec![name], pending);
    }

    /// As [`Appliance::delete_bdev`], for several that go together or not at all.
    pub(crate) fn delete_bdevs(&mut self, parameter: &'static str, names: Vec<String>, pending: rpc::Pending) {
        self.deletions.push(Deletion { parameter, names, since: self.now, pending });
        self.try_deletions();
    }

    /// Who uses a bdev: a LUN, a bdev that stands on it, or commands of a LUN that was just taken away.
    pub(crate) fn bdev_user(&self, name: &str) -> Option<String> {
        self.bdev_above(name).or_else(|| self.controller.bdev_user(name))
    }

    /// The bdev that stands on another.
    pub(crate) fn bdev_above(&self, name: &str) -> Option<String> {
        self.bdevs.user_of(name).map(|user| format!("bdev {} ({})", user.info().name, user.info().product_name))
    }

    /// Whether only commands of a LUN that was just taken away use a bdev, which will be over soon.
    pub(crate) fn is_being_let_go(&self, name: &str) -> bool {
        let user = self.controller.bdev_user(name);
        self.bdev_above(name).is_none() && user.is_some_and(|user| !user.starts_with("LUN"))
    }

    /// Whether requests are carried out that belong together.
    pub(crate) fn is_changing(&self) -> bool {
        self.transaction.is_some()
    }

    /// Whether bdevs are being deleted, or files replaced.
    pub(crate) fn is_settling(&self) -> bool {
        !self.deletions.is_empty() || !self.exchanges.is_empty()
    }

    /// Does in another way what a request asks for, if that is to make a RAM disk again that was deleted a moment ago.
    pub(crate) fn bring_back(&mut self, request: &rpc::Request) -> bool {
        if !self.kept.brings_back || request.method != "bdev_malloc_create" {
            return false;
        }
        let name = request.params.as_ref().and_then(|params| params["name"].as_str()).unwrap_or_default();
        let Some((bdev, recipe)) = self.kept.disks.remove(name) else { return false };
        // What was set for it is set again if it was there at first.
        bdev.set_qos_limits(bdev::QosLimits::default());
        bdev.disable_histogram();
        let has_settings = bdev.set_read_only(false).is_ok();
        let is_back = has_settings && self.bdevs.insert(bdev).is_ok();
        if is_back {
            self.recipes.insert(name.to_owned(), recipe);
        }
        is_back
    }

    fn try_deletions(&mut self) {
        for deletion in std::mem::take(&mut self.deletions) {
            let user = |name: &String| self.bdev_user(name).map(|user| (name.clone(), user));
            let Some((name, user)) = deletion.names.iter().find_map(user) else {
                self.delete(deletion);
                continue;
            };
            let fix = match self.bdev_above(&name) {
                Some(_) => "delete that first",
                None => "remove that first (srp_target_remove_lun, srp_initiator_group_remove_lun)",
            };
            if self.is_being_let_go(&name) && self.now.since(deletion.since) <= DELETE_PATIENCE {
                self.deletions.push(deletion);
                continue;
            }
            let text = format!("{}: bdev {name} is in use by {user}: {fix}", deletion.parameter);
            deletion.pending.reply(Err(rpc::RpcError::errno(rpc::Errno::BUSY, text)));
        }
    }

    fn delete(&mut self, deletion: Deletion) {
        let mut removed = Ok(Value::Bool(true));
        for name in &deletion.names {
            let recipe = self.recipes.remove(name);
            match (self.bdevs.remove(name), recipe) {
                (Ok(bdev), Some(recipe)) => self.kept.keep(bdev, recipe),
                (Ok(_), None) => {}
                (Err(error), _) => removed = Err(crate::rpc::registry_error(error)),
            }
        }
        deletion.pending.reply(removed);
    }

    /// Tells initiators of space that runs short.
    fn watch_space(&mut self) {
        for Seen { name, total_bytes, free_bytes, passed } in self.thresholds.look(&self.bdevs, self.now) {
            self.controller.set_space(&name, total_bytes, free_bytes);
            if passed {
                tracing::warn!(
                    bdev = name,
                    "the space beneath runs short: its threshold is reached, initiators are told"
                );
                self.controller.bdev_changed(&name, UnitAttention::ThinProvisioningThreshold);
            }
        }
    }

    /// Tells where new channels are to come how busy the reactors are, if that is to count.
    fn watch_reactors(&mut self) {
        let reactors = &self.reactors;
        if let Some(percents) = self.scheduler.look(self.now, || scheduler::spent(reactors)) {
            self.controller.set_busy_percents(&percents);
        }
        self.watch.iter_mut().for_each(|watch| watch.look(self.now, reactors));
    }

    /// Not while a configuration is half there.
    fn watch_interfaces(&mut self) {
        if !self.is_changing() {
            self.interface_listeners.poll(&mut self.controller, self.now);
        }
    }

    /// Likewise.
    fn watch_exposure(&mut self) {
        if !self.is_changing() {
            self.exposure.look(&self.controller, self.now);
        }
    }

    fn answer_requests(&mut self) -> bool {
        let Some(methods) = self.methods() else { return false };
        let mut worked = false;
        for _ in 0..REQUESTS_PER_ROUND {
            let Some(pending) = self.next_request() else { break };
            let reads_only = reads_only(pending.method());
            methods.answer(self, pending);
            if !reads_only {
                self.config_file.changed(self.now);
            }
            worked = true;
        }
        worked
    }

    /// The next request that need not wait. During a transaction, what changes nothing and the end of the process need not.
    fn next_request(&mut self) -> Option<rpc::Pending> {
        if !self.is_changing()
            && let Some(pending) = self.waiting.pop_front()
        {
            return Some(pending);
        }
        loop {
            let pending = self.requests.try_recv().ok()?;
            let method = pending.method();
            let only_asks = reads_only(method) && !tells_whole(method);
            if !self.is_changing() || only_asks || method == "spdk_kill_instance" {
                return Some(pending);
            }
            self.waiting.push_back(pending);
        }
    }
}

/// Whether a method leaves the configuration as it is, by its name.
fn reads_only(method: &str) -> bool {
    let others = ["rpc.discover", "framework_wait_init", "srpt_trace_dump", "srpt_trace_clear"];
    method.contains("_get_") || others.contains(&method) || tells_whole(method)
}

/// Whether a method is about the configuration as a whole, which is not to be told half changed.
fn tells_whole(method: &str) -> bool {
    ["save_config", "framework_get_config", "srpt_config_diff", "srpt_config_write"].contains(&method)
}

impl Poller for Appliance {
    fn name(&self) -> &str {
        "control"
    }

    fn poll(&mut self, now: Instant) -> Progress {
        self.now = now;
        let mut progress = self.controller.poll(now);
        if self.answer_requests() | self.discover() {
            progress = Progress::Busy;
        }
        while let Ok(ask) = self.asks.try_recv() {
            metrics::answer(self, ask);
        }
        change::finish_exchanges(self);
        self.try_deletions();
        config::advance(self);
        config_file::poll(self);
        self.watch_space();
        self.watch_reactors();
        self.watch_interfaces();
        self.watch_exposure();
        self.notify();
        if self.stop.load(Ordering::Relaxed) {
            self.busy_at = now;
            self.notifier.stopping();
            if config_file::end(self) {
                self.controller.start_drain();
            }
            if self.controller.is_drained() && self.config_file.has_ended(now) {
                *self.finished.borrow_mut() = self.bdevs.iter().map(Arc::clone).collect();
                self.control.stop();
            }
        }
        if progress == Progress::Busy {
            self.busy_at = now;
        }
        progress
    }

    fn wake_sources<'a>(&'a self, sources: &mut WakeSources<'a>) {
        if self.now.since(self.busy_at) < CALM_AFTER {
            sources.deadline(self.now.plus(BRISK_PERIOD));
        }
    }
}
