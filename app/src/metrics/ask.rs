//! Questions of the metrics thread to the control thread, which answers them between its other work with copies of numbers.

use std::sync::mpsc;
use std::time::Duration;

use bdev::{Bdev, LifetimeStat, Space};
use reactor::Waker;
use tokio::sync::oneshot;
use transport_srp::Statistics;

use crate::appliance::Appliance;
use crate::discovery::Discovery;
use crate::exposure::open_targets;
use crate::listeners::Shown;

/// How long the control thread may take for an answer before it counts as stuck.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// What is asked, and where the answer goes.
pub(crate) enum Ask {
    Snapshot(oneshot::Sender<Snapshot>),
    Readiness(oneshot::Sender<Readiness>),
}

/// All numbers that the control thread knows.
pub(crate) struct Snapshot {
    pub(crate) transport: Statistics,
    pub(crate) bdevs: Vec<BdevSnapshot>,
    pub(crate) listeners: Vec<Shown>,
    /// Names of all targets, and whether each is open to all.
    pub(crate) targets: Vec<(String, bool)>,
    pub(crate) roce: Option<fabric::roce::Counters>,
    /// What was asked of the device management agent, by port.
    pub(crate) discovery: Vec<(String, device_management::Counts)>,
}

/// A bdev's.
pub(crate) struct BdevSnapshot {
    pub(crate) name: String,
    pub(crate) product_name: &'static str,
    pub(crate) size_bytes: u64,
    pub(crate) ready: bool,
    pub(crate) read_only: bool,
    pub(crate) stat: LifetimeStat,
    pub(crate) threshold_percent: Option<u8>,
    /// Of those with a threshold, as they were seen last.
    pub(crate) space: Option<Space>,
}

/// What decides whether initiators can be served.
pub(crate) struct Readiness {
    pub(crate) draining: bool,
    pub(crate) listeners: Vec<Shown>,
}

/// The control thread's end.
pub(crate) type Asks = mpsc::Receiver<Ask>;

/// The metrics thread's end.
pub(crate) struct Asker {
    asks: mpsc::Sender<Ask>,
    waker: Waker,
}

/// The two ends; `waker` wakes the control thread.
pub(crate) fn asks(waker: Waker) -> (Asker, Asks) {
    let (sender, receiver) = mpsc::channel();
    (Asker { asks: sender, waker }, receiver)
}

impl Asker {
    /// `None`: there was no answer in time. Before the configuration is applied there is none.
    pub(crate) async fn snapshot(&self) -> Option<Snapshot> {
        self.ask(Ask::Snapshot).await
    }

    /// Likewise.
    pub(crate) async fn readiness(&self) -> Option<Readiness> {
        self.ask(Ask::Readiness).await
    }

    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        self.asks.send(ask(sender)).ok()?;
        self.waker.wake();
        tokio::time::timeout(PATIENCE, receiver).await.ok()?.ok()
    }
}

/// Answers on the control thread. Who asked may have given up meanwhile.
pub(crate) fn answer(appliance: &mut Appliance, ask: Ask) {
    match ask {
        Ask::Snapshot(to) if to.is_closed() => {}
        Ask::Snapshot(to) => {
            let _ = to.send(snapshot(appliance));
        }
        Ask::Readiness(to) => {
            let draining = appliance.controller.is_draining();
            let listeners = appliance.interface_listeners.show(&appliance.controller);
            let _ = to.send(Readiness { draining, listeners });
        }
    }
}

fn snapshot(appliance: &mut Appliance) -> Snapshot {
    let transport = appliance.controller.statistics();
    let bdev = |bdev: &Bdev| BdevSnapshot {
        name: bdev.info().name.clone(),
        product_name: bdev.info().product_name,
        size_bytes: bdev.num_blocks() * u64::from(bdev.info().block_size),
        ready: bdev.is_ready(),
        read_only: bdev.is_read_only(),
        stat: bdev.lifetime_stat(),
        threshold_percent: bdev.info().thin_threshold_percent,
        space: appliance.thresholds.space(&bdev.info().name),
    };
    let open = open_targets(&appliance.controller);
    let targets = appliance.controller.targets().into_iter();
    Snapshot {
        targets: targets.map(|target| (target.name.clone(), open.contains(&target.name))).collect(),
        bdevs: appliance.bdevs.iter().map(|it| bdev(it)).collect(),
        listeners: appliance.interface_listeners.show(&appliance.controller),
        roce: appliance.controller.roce_counters(),
        discovery: appliance.discovery.as_ref().map(Discovery::counts).unwrap_or_default(),
        transport,
    }
}
