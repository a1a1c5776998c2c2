//! Puts the crates together and runs them: the only file that names them all.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::Context;
use hugepage_setup::AllocationRequest;
use mem::Region;
use reactor::{Clock, IdleMode, Poller, Reactor, ReactorConfig, ReactorThread, SystemClock, Waker};
use transport_srp::{Controller, ControllerOptions, MemoryOptions, limits};

use crate::appliance::{Appliance, BRISK_PERIOD, CALM_PERIOD};
use crate::config::{ConfigFile, Entry, Transaction};
use crate::discovery::Discovery;
use crate::notify::Notifier;
use crate::options::{Options, Switch};
use crate::state_dir::StateDir;
use crate::watch::ReactorWatch;
use crate::{config, crash, log, metrics, privilege, rpc, shutdown};

/// The adaptive mode polls so long without work before it sleeps, and no longer than this at a time where nothing tells of work.
const ADAPTIVE: IdleMode =
    IdleMode::Adaptive { spin: Duration::from_micros(300), max_sleep: Duration::from_micros(200) };

/// Starts everything, serves until told to stop, and ends in good order.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let log = log::start(options.log_level, options.log_format);
    options.mask.check_usable().context("-m")?;
    // Before there are other threads.
    privilege::reduce(options)?;
    let metrics_listener = metrics::bind(options.metrics_listen)?;
    let entries = read_config(options)?;

    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).context("cannot handle signals")?;
    }
    let reload = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::clone(&reload)).context("cannot handle signals")?;

    #[cfg(feature = "dpdk")]
    start_dpdk(options)?;
    let clock = SystemClock::new();
    let threads = start_reactors(options, clock)?;
    // From here on, of this thread and of those that it starts.
    reactor::keep_off(&options.mask);
    let control = ReactorConfig {
        core: None,
        name: "control".into(),
        idle: IdleMode::Park { max_sleep: CALM_PERIOD },
        stall_after: Duration::MAX,
    };
    let mut control = Reactor::new(control, clock);
    let state_dir = open_state_dir(&options.state_dir);
    let ledger = state_dir.as_ref().map(|_| options.state_dir.join("roce-connections"));
    let mut controller = start_target(options, &threads, control.waker(), ledger)?;
    if let Some(store) = state_dir {
        controller.set_store(Box::new(store));
    }

    let (requests_in, requests) = mpsc::channel();
    let reactors: Vec<_> = threads.iter().map(ReactorThread::handle).collect();
    let names = reactors.iter().map(|reactor| reactor.stats().name).collect();
    let reporter = crash::Reporter::new(&options.state_dir, controller.flight_recorder(), names);
    crash::report_panics(reporter.clone());
    let (asker, asks) = metrics::asks(control.waker());
    let sources = metrics::Sources { reactors: reactors.clone(), control: control.handle(), asker };
    let metrics = metrics_listener.map(|listener| metrics::Server::start(listener, sources)).transpose()?;
    let config_file = ConfigFile::new(options.config.clone(), options.config_versions, options.auto_save, reload);
    let mut appliance = Appliance::new(controller, reactors, control.handle(), log, requests, asks, stop, config_file);
    appliance.set_methods(rpc::methods());
    load_config(&mut appliance, entries, clock)
        .with_context(|| options.config.as_deref().map(|path| path.display().to_string()).unwrap_or_default())?;

    let waker = control.waker();
    let deliver = move |pending| {
        // The receiver lives as long as the control thread; after that nobody is left to answer.
        let _ = requests_in.send(pending);
        waker.wake();
    };
    let mut server_options = ::rpc::ServerOptions { group: options.rpc_group, ..Default::default() };
    if options.rpc_group.is_some() {
        server_options.mode = 0o660;
    }
    let server = ::rpc::Server::bind(&options.rpc_socket, server_options, deliver).context("-r")?;
    tracing::info!(reactors = %options.mask, rpc = %options.rpc_socket.display(), "srpt-app {} is up", env!("CARGO_PKG_VERSION"));

    appliance.set_notifier(Notifier::from_environment());
    appliance.set_watch(ReactorWatch::new(reporter));
    if options.device_management == Switch::On {
        appliance.set_discovery(Discovery::new(options));
    }
    let finished = appliance.finished();
    control.add_poller(Box::new(appliance));
    control.run();
    drop(metrics);

    shutdown::finish(finished, server, threads)
}

fn read_config(options: &Options) -> anyhow::Result<Vec<Entry>> {
    match &options.config {
        // It is made with the first change. One that cannot be looked for may well be there: nothing is begun in its place.
        Some(path) if options.auto_save && !path.try_exists().with_context(|| format!("-c {}", path.display()))? => {
            tracing::info!(path = %path.display(), "there is no configuration yet: it is begun with the first change");
            Ok(Vec::new())
        }
        Some(path) => config::read(path),
        None => Ok(Vec::new()),
    }
}

/// Carries out a configuration before anything is served.
fn load_config(appliance: &mut Appliance, entries: Vec<Entry>, clock: SystemClock) -> anyhow::Result<()> {
    let (sender, outcome) = mpsc::channel();
    let end = move |appliance: &mut Appliance, outcome| {
        appliance.config_file.is_saved(config::save_text(appliance));
        // It is waited for below.
        let _ = sender.send(outcome);
    };
    Transaction::load(appliance, entries, end);
    loop {
        if let Ok(outcome) = outcome.try_recv() {
            return outcome.map_err(|failure| anyhow::anyhow!("{failure}"));
        }
        appliance.poll(clock.now());
        std::thread::sleep(BRISK_PERIOD);
    }
}

/// Before the reactors, as DPDK wants its memory before they take theirs.
#[cfg(feature = "dpdk")]
fn start_dpdk(options: &Options) -> anyhow::Result<()> {
    if options.dpdk_port.is_empty() {
        return Ok(());
    }
    fabric::roce::packet_io::dpdk::start(&fabric::roce::packet_io::dpdk::Options {
        eal_arguments: options.dpdk_eal.clone(),
        cpus: options.mask.cores().to_vec(),
        ports: options.dpdk_port.clone(),
    })
    .context("--dpdk-port")
}

fn start_reactors(options: &Options, clock: SystemClock) -> anyhow::Result<Vec<ReactorThread>> {
    let idle = if options.adaptive { ADAPTIVE } else { IdleMode::Poll };
    let start = |&core: &u32| {
        let config = ReactorConfig {
            core: Some(core),
            name: format!("reactor_{core}"),
            idle,
            stall_after: Duration::from_micros(options.stall_us),
        };
        Ok(reactor::spawn(config, clock, |_| ())?)
    };
    options.mask.cores().iter().map(start).collect()
}

/// Gives every reactor its memory and its poll group.
fn start_target(
    options: &Options,
    threads: &[ReactorThread],
    waker: Waker,
    ledger: Option<PathBuf>,
) -> anyhow::Result<Controller> {
    let memory = MemoryOptions::for_channels(options.channels, options.credits);
    let mut reactors = Vec::new();
    for thread in threads {
        let mut request = AllocationRequest::new(memory.region_bytes());
        request.numa_node = thread.handle().stats().core.and_then(node_of_core);
        let mapping = hugepage_setup::allocate(&request).context("cannot allocate the buffers of a reactor")?;
        tracing::info!(bytes = mapping.len(), pages = %mapping.page_kind(), locked = mapping.locked(), "buffers of a reactor");
        reactors.push((thread.handle().waker(), Region::new(mapping)));
    }
    let roce = fabric::roce::Options { way: options.roce_io.into(), ledger };
    let fabrics = vec![
        fabric::Control::Verbs(fabric::verbs::Control::default()),
        fabric::Control::Roce(fabric::roce::Control::new(roce)),
    ];
    let channels_per_initiator = options.channels_per_initiator();
    let options = ControllerOptions {
        credits: options.credits.clamp(limits::CREDITS_MIN, limits::CREDITS_MAX),
        memory,
        trace_events: options.trace_events,
        slow_threshold: Some(options.slow_us).filter(|&us| us > 0).map(Duration::from_micros),
    };
    let (mut controller, seeds) = Controller::new(options, fabrics, reactors, waker);
    controller.set_channels_per_initiator(channels_per_initiator);
    for (thread, seed) in threads.iter().zip(seeds) {
        thread.handle().add_poller(Box::new(move || Box::new(seed.settle())));
    }
    Ok(controller)
}

/// Without the directory nothing is kept over restarts, and initiators that want it are refused; all else works.
fn open_state_dir(path: &Path) -> Option<StateDir> {
    let complain = |error| {
        let path = path.display();
        tracing::warn!(%path, %error, "cannot keep state there, so reservations will not survive a restart: make it writable, or see --state-dir");
    };
    StateDir::open(path).map_err(complain).ok()
}

/// The NUMA node that a core belongs to, where the machine has nodes.
fn node_of_core(core: u32) -> Option<u32> {
    let entries = std::fs::read_dir(format!("/sys/devices/system/cpu/cpu{core}")).ok()?;
    entries.flatten().find_map(|entry| entry.file_name().to_str()?.strip_prefix("node")?.parse().ok())
}
