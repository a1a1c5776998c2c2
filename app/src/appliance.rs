//! What the control thread runs: the target's control plane, the bdevs, and the requests of administrators.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use bdev::{Bdev, Registry};
use reactor::{Instant, Poller, Progress, ReactorHandle};
use scsi::UnitAttention;
use serde_json::Value;
use transport_srp::Controller;

use crate::log::LogLevel;
use crate::metrics;
use crate::rpc::Methods;
use crate::rpc::bdev::change;
use crate::thresholds::{Seen, Thresholds};

/// How long the deletion of a bdev waits for commands that are still under way on it.
const DELETE_PATIENCE: Duration = Duration::from_secs(5);

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
    control: ReactorHandle,
    requests: mpsc::Receiver<rpc::Pending>,
    asks: metrics::Asks,
    methods: Option<Rc<Methods>>,
    deletions: Vec<Deletion>,
    /// Files that are being replaced.
    pub(crate) exchanges: Vec<change::Exchange>,
    pub(crate) thresholds: Thresholds,
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

impl Appliance {
    pub(crate) fn new(
        controller: Controller,
        reactors: Vec<ReactorHandle>,
        control: ReactorHandle,
        log: LogLevel,
        requests: mpsc::Receiver<rpc::Pending>,
        asks: metrics::Asks,
        stop: Arc<AtomicBool>,
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
            control,
            requests,
            asks,
            methods: None,
            deletions: Vec::new(),
            exchanges: Vec::new(),
            thresholds: Thresholds::default(),
            finished: Rc::default(),
        }
    }

    pub(crate) fn set_methods(&mut self, methods: Methods) {
        self.methods = Some(Rc::new(methods));
    }

    pub(crate) fn methods(&self) -> Option<Rc<Methods>> {
        self.methods.clone()
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
            let passes = self.bdev_above(&name).is_none() && !user.starts_with("LUN");
            if passes && self.now.since(deletion.since) <= DELETE_PATIENCE {
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
            self.recipes.remove(name);
            if let Err(error) = self.bdevs.remove(name) {
                removed = Err(crate::rpc::registry_error(error));
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

    fn answer_requests(&mut self) -> bool {
        let mut worked = false;
        while let (Ok(pending), Some(methods)) = (self.requests.try_recv(), self.methods()) {
            methods.answer(self, pending);
            worked = true;
        }
        worked
    }
}

impl Poller for Appliance {
    fn name(&self) -> &str {
        "control"
    }

    fn poll(&mut self, now: Instant) -> Progress {
        self.now = now;
        let mut progress = self.controller.poll(now);
        if self.answer_requests() {
            progress = Progress::Busy;
        }
        while let Ok(ask) = self.asks.try_recv() {
            metrics::answer(self, ask);
        }
        change::finish_exchanges(self);
        self.try_deletions();
        self.watch_space();
        if self.stop.load(Ordering::Relaxed) {
            self.controller.start_drain();
            if self.controller.is_drained() {
                *self.finished.borrow_mut() = self.bdevs.iter().map(Arc::clone).collect();
                self.control.stop();
            }
        }
        progress
    }
}
