//! A whole appliance on the test's own thread: one reactor, no initiators, RDMA listeners that wait for a device.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use hugepage_setup::AllocationRequest;
use mem::Region;
use reactor::{Clock, IdleMode, Poller, Reactor, ReactorConfig, SystemClock};
use rpc::{Pending, Request, RpcError};
use serde_json::{Value, json};
use transport_srp::{Controller, ControllerOptions, MemoryOptions, limits};

use crate::appliance::Appliance;
use crate::config::model::Model;
use crate::config::{ConfigFile, save, save_text};
use crate::log::LogLevel;
use crate::state_dir::StateDir;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// An appliance.
pub(crate) struct Bench {
    pub(crate) appliance: Appliance,
    reactor: Reactor<SystemClock>,
    clock: SystemClock,
    requests: mpsc::Sender<Pending>,
}

impl Bench {
    /// With its state in a folder.
    pub(crate) fn new(folder: &Path) -> Bench {
        Bench::with_file(folder, None)
    }

    /// With a configuration file in the folder that is saved by itself, besides.
    pub(crate) fn saving_itself(folder: &Path) -> Bench {
        Bench::with_file(folder, Some(folder.join("config.json")))
    }

    fn with_file(folder: &Path, config: Option<PathBuf>) -> Bench {
        let clock = SystemClock::new();
        let reactor = |name: &str| {
            let idle = IdleMode::Poll;
            Reactor::new(ReactorConfig { core: None, name: name.into(), idle, stall_after: Duration::MAX }, clock)
        };
        let (mut reactor, control) = (reactor("reactor"), reactor("control"));
        let memory = MemoryOptions::for_channels(1, limits::CREDITS_MIN);
        let mapping = hugepage_setup::allocate(&AllocationRequest::new(memory.region_bytes())).expect("memory");
        let fabrics = vec![fabric::Control::Verbs(fabric::verbs::Control::default())];
        let options = ControllerOptions { credits: limits::CREDITS_MIN, memory, ..Default::default() };
        let cores = vec![(reactor.waker(), Region::new(mapping))];
        let (mut controller, seeds) = Controller::new(options, fabrics, cores, control.waker());
        seeds.into_iter().for_each(|seed| reactor.add_poller(Box::new(seed.settle())));
        controller.set_store(Box::new(StateDir::open(&folder.join("state")).expect("a folder")));
        let (sender, requests) = mpsc::channel();
        let (stop, reload) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let auto_save = config.is_some();
        let config_file = ConfigFile::new(config, 5, auto_save, reload);
        let (_, asks) = crate::metrics::asks(control.waker());
        let (handles, log) = (vec![reactor.handle()], LogLevel::detached());
        let mut appliance =
            Appliance::new(controller, handles, control.handle(), log, requests, asks, stop, config_file);
        appliance.set_methods(crate::rpc::methods());
        Bench { appliance, reactor, clock, requests: sender }
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Result<Value, RpcError> {
        let answer = self.send(method, params);
        let end = Instant::now() + PATIENCE;
        loop {
            self.poll();
            self.reactor.run_once();
            if let Ok(outcome) = answer.try_recv() {
                return outcome;
            }
            assert!(Instant::now() < end, "{method} gets no answer");
        }
    }

    /// Sends a request.
    pub(crate) fn send(&self, method: &str, params: Value) -> mpsc::Receiver<Result<Value, RpcError>> {
        let (sender, answer) = mpsc::channel();
        let request = Request { method: method.into(), params: Some(params) };
        let reply = move |outcome| {
            // A test that has failed listens no more.
            let _ = sender.send(outcome);
        };
        let pending = Pending::new(request, reply);
        self.requests.send(pending).expect("the appliance is there");
        answer
    }

    /// Goes on until something is so.
    pub(crate) fn run_until(&mut self, is_so: impl Fn(&Bench) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(Instant::now() < end, "it is not so");
            self.poll();
            self.reactor.run_once();
        }
    }

    /// Ends as at a signal; what it says last is in the file then.
    pub(crate) fn end(&mut self) {
        self.appliance.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        self.run_until(|bench| {
            bench.appliance.controller.is_drained() && bench.appliance.config_file.has_ended(bench.appliance.now)
        });
    }

    /// A round of the control thread; the reactor does nothing meanwhile.
    pub(crate) fn poll(&mut self) {
        self.appliance.poll(self.clock.now());
    }

    pub(crate) fn must(&mut self, method: &str, params: Value) -> Value {
        self.call(method, params.clone()).unwrap_or_else(|error| panic!("{method} {params}: {error}"))
    }

    /// Sends requests of which some may be refused.
    pub(crate) fn run(&mut self, requests: &[Request]) {
        for request in requests {
            // That one is refused belongs to drawing at random.
            let _ = self.call(&request.method, request.params.clone().unwrap_or(json!({})));
        }
    }

    pub(crate) fn saved(&self) -> Value {
        save(&self.appliance)
    }

    pub(crate) fn saved_text(&self) -> String {
        save_text(&self.appliance)
    }

    /// What runs, as the plan sees it.
    pub(crate) fn model(&self) -> Model {
        crate::config::save::running(&self.appliance).expect("it makes sense")
    }
}
