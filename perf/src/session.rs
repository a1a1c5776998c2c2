//! The control side: brings cores and channels up, tells them what to do, and takes them down again.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use fabric::{Connect, ConnectionId, ControlEvent, GroupId, QueuePairSizes};
use hugepage_setup::AllocationRequest;
use mem::Region;
use reactor::{Clock, IdleMode, Instant, ReactorConfig, ReactorThread, SystemClock};

use crate::connector::{Connector, FabricOptions};
use crate::initiator::{Capacity, Form, Login, MemoryLayout, Terms};
use crate::load::Load;
use crate::tally::Tally;
use crate::worker::{Executed, OneCommand, Order, Report, WorkerSeed};

/// How often the connection manager is looked after.
const CONTROL_PERIOD: Duration = Duration::from_millis(1);
/// The same under load: on a machine without cores to spare each look is a pause of one that measures.
const LOAD_PERIOD: Duration = Duration::from_millis(20);
/// How long a login may take, and the first commands.
const LOGIN_PATIENCE: Duration = Duration::from_secs(20);
/// How long channels may take to end.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);
/// RDMA READs that we serve at once on a channel: as many as our fabric does. Linux' initiator serves 4, which bounds its writes
/// without immediate data.
const READS_SERVED: u8 = 16;

/// Where and how.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Through what.
    pub fabric: FabricOptions,
    /// To whom: channel N goes to target N modulo their number.
    pub targets: Vec<TargetOptions>,
    /// Cores to run on.
    pub cores: Vec<u32>,
    /// What they do when there is nothing to do.
    pub idle: IdleMode,
    /// Channels in all.
    pub channels: u32,
    /// Commands under way at once on each.
    pub depth: u32,
    /// Bytes of the largest command.
    pub io_bytes: u32,
    /// How its memory is described.
    pub form: Form,
}

/// One of the targets.
#[derive(Clone, Debug)]
pub struct TargetOptions {
    /// Our address.
    pub local: IpAddr,
    /// The target's.
    pub address: SocketAddr,
    /// Who we are, and whom we want.
    pub login: Login,
    /// The unit, as SAM's eight bytes.
    pub lun: [u8; 8],
}

/// Sessions with one or more targets: some channels, some cores.
pub struct Session {
    options: SessionOptions,
    connector: Connector,
    clock: SystemClock,
    cores: Vec<Core>,
    reports: mpsc::Receiver<Report>,
    channels: Vec<Connection>,
    /// Heard, but not taken yet.
    news: VecDeque<News>,
}

struct Core {
    orders: mpsc::Sender<Order>,
    completed: Arc<AtomicU64>,
    thread: ReactorThread,
}

struct Connection {
    id: ConnectionId,
    core: usize,
    /// Its queue pair was destroyed.
    closed: bool,
}

#[allow(clippy::large_enum_variant, reason = "control path: a handful at a time")]
enum News {
    Event(ControlEvent),
    Report(Report),
}

impl SessionOptions {
    fn target_number(&self, channel: u32) -> usize {
        channel as usize % self.targets.len()
    }

    fn target_of(&self, channel: u32) -> &TargetOptions {
        &self.targets[self.target_number(channel)]
    }

    /// Whether no channel before it has the same nexus: what there was of it from before then ends.
    fn is_first_of_nexus(&self, channel: u32) -> bool {
        let nexus = |channel| self.target_of(channel).login.target_port;
        (0..channel).all(|other| nexus(other) != nexus(channel))
    }
}

impl Session {
    /// Starts the cores, and logs nothing in yet.
    ///
    /// # Errors
    /// There is no memory, or a thread cannot run on its core.
    pub fn start(options: SessionOptions) -> anyhow::Result<Session> {
        let connector = Connector::new(&options.fabric);
        let (report_in, reports) = mpsc::channel();
        let (cores, channels, news) = (Vec::new(), Vec::new(), VecDeque::new());
        let mut session = Session { options, connector, clock: SystemClock::new(), cores, reports, channels, news };
        for index in 0..session.options.cores.len() {
            let core = session.start_core(index, report_in.clone())?;
            session.cores.push(core);
        }
        let handles: Vec<_> = session.cores.iter().map(|core| core.thread.handle()).collect();
        session.connector.start_target(&handles)?;
        Ok(session)
    }

    fn start_core(&mut self, index: usize, reports: mpsc::Sender<Report>) -> anyhow::Result<Core> {
        let options = &self.options;
        let layout = MemoryLayout {
            channels: (options.channels as usize).div_ceil(options.cores.len()),
            depth: options.depth as usize,
            io_bytes: options.io_bytes as usize,
            form: options.form,
        };
        let (exposed, own) = (region(layout.exposed_bytes())?, region(layout.own_bytes())?);
        self.connector.add_exposed_region(Arc::clone(&exposed));
        self.connector.add_region(Arc::clone(&own));
        let endpoint = self.connector.create_endpoint(GroupId(index as u32));
        let (orders, order_out) = mpsc::channel();
        let completed = Arc::new(AtomicU64::new(0));
        let seed = WorkerSeed {
            endpoint,
            exposed,
            own,
            layout,
            completed: Arc::clone(&completed),
            orders: order_out,
            reports,
        };
        let config = ReactorConfig {
            core: Some(options.cores[index]),
            name: format!("perf_{}", options.cores[index]),
            idle: options.idle,
            stall_after: Duration::MAX,
        };
        let thread = reactor::spawn(config, self.clock, move |reactor| reactor.add_poller(Box::new(seed.settle())))
            .context("-c")?;
        Ok(Core { orders, completed, thread })
    }

    /// Logs all channels in, one after the other. What the first login at each target agreed on; there is a channel for each.
    ///
    /// # Errors
    /// One of them was refused, or nobody answers.
    pub fn login(&mut self) -> anyhow::Result<Vec<Terms>> {
        let mut agreed = Vec::new();
        for number in 0..self.options.channels {
            let TargetOptions { address, local, .. } = *self.options.target_of(number);
            let terms = self
                .login_channel(number)
                .with_context(|| format!("login of channel {number} at {address} from {local}"))?;
            if agreed.len() < self.options.targets.len() {
                agreed.push(terms);
            }
        }
        Ok(agreed)
    }

    fn login_channel(&mut self, number: u32) -> anyhow::Result<Terms> {
        let options = &self.options;
        let TargetOptions { local, address, login, lun } = *options.target_of(number);
        let core = number as usize % self.cores.len();
        let layout = MemoryLayout {
            channels: 1,
            depth: options.depth as usize,
            io_bytes: options.io_bytes as usize,
            form: options.form,
        };
        let connect = Connect {
            local,
            to: address,
            group: GroupId(core as u32),
            sizes: QueuePairSizes {
                receives: layout.receives() as u32,
                sends: (layout.messages()).max(fabric::SEGMENTS_MAX + 1) as u32,
            },
            reads_served: READS_SERVED,
            private_data: login.request(options.is_first_of_nexus(number)),
        };
        let (id, queue_pair) =
            self.connector.connect(self.clock.now().0, &connect).map_err(|error| anyhow!("--local: {error}"))?;
        self.channels.push(Connection { id, core, closed: false });
        self.order(core, Order::Open { channel: number, queue_pair, lun });
        self.wait_for_receives(number)?;
        let terms = self.wait_for_login(id, &login)?;
        self.order(core, Order::LoggedIn { channel: number, terms });
        Ok(terms)
    }

    /// The connection manager is not looked after meanwhile, so that the target's answer cannot be ahead of the receives.
    fn wait_for_receives(&mut self, number: u32) -> anyhow::Result<()> {
        loop {
            match self.reports.recv_timeout(LOGIN_PATIENCE) {
                Ok(Report::Opened { channel }) if channel == number => return Ok(()),
                Ok(other) => self.news.push_back(News::Report(other)),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => bail!("its core does not run"),
            }
        }
    }

    fn wait_for_login(&mut self, id: ConnectionId, login: &Login) -> anyhow::Result<Terms> {
        let deadline = self.clock.now().plus(LOGIN_PATIENCE);
        while let Some(news) = self.next(deadline) {
            match news {
                News::Event(ControlEvent::Connected { connection, private_data }) if connection == id => {
                    return login.accepted(&private_data);
                }
                News::Event(ControlEvent::Rejected { connection, reason, private_data }) if connection == id => {
                    bail!(login.refused(reason, &private_data));
                }
                news => self.stop_if_broken(news)?,
            }
        }
        let fabric = self.connector.name();
        bail!("nobody answers there: does the target listen, with the fabric {fabric}? Check --target and --local")
    }

    /// Asks each target's unit for its size, through its first channel.
    ///
    /// # Errors
    /// One does not tell.
    pub fn probe(&mut self) -> anyhow::Result<Vec<Capacity>> {
        let mut capacities = Vec::new();
        for target in 0..self.options.targets.len() {
            let address = self.options.targets[target].address;
            let capacity = self.probe_target(target).map_err(|error| anyhow!("--target {address}: {error}"))?;
            capacities.push(capacity);
        }
        Ok(capacities)
    }

    fn probe_target(&mut self, target: usize) -> anyhow::Result<Capacity> {
        self.order(self.channels[target].core, Order::Probe { channel: target as u32 });
        let deadline = self.clock.now().plus(LOGIN_PATIENCE);
        while let Some(news) = self.next(deadline) {
            match news {
                News::Report(Report::Probed(outcome)) => return outcome.map_err(anyhow::Error::msg),
                news => self.stop_if_broken(news)?,
            }
        }
        bail!("the target does not answer the first commands")
    }

    /// Runs one command through the first channel. Its data must fit in a buffer of the load's block size.
    ///
    /// # Errors
    /// It cannot be sent, or is not answered.
    pub fn execute(&mut self, command: OneCommand) -> anyhow::Result<Executed> {
        self.order(self.channels[0].core, Order::Execute { channel: 0, command: Box::new(command) });
        let deadline = self.clock.now().plus(LOGIN_PATIENCE);
        while let Some(news) = self.next(deadline) {
            match news {
                News::Report(Report::Executed(outcome)) => return outcome.map_err(anyhow::Error::msg),
                news => self.stop_if_broken(news)?,
            }
        }
        bail!("the target does not answer the command")
    }

    /// Before there is load, any channel that breaks ends the run.
    fn stop_if_broken(&self, news: News) -> anyhow::Result<()> {
        match self.breakage(&news) {
            Some(why) => bail!(why),
            None => Ok(()),
        }
    }

    /// What broke, if `news` says that something did.
    fn breakage(&self, news: &News) -> Option<String> {
        match news {
            News::Report(Report::Failed { channel, why }) => Some(format!("channel {channel}: {why}")),
            News::Event(ControlEvent::Disconnected { connection, reason }) => {
                let number = self.channels.iter().position(|channel| channel.id == *connection)?;
                Some(format!("channel {number} was disconnected: {reason}"))
            }
            _ => None,
        }
    }

    /// Runs a load on each channel until all are over: what each target's channels measured, and what broke. `tick` is called all the time.
    pub fn run(&mut self, loads: Vec<Load>, tick: &mut dyn FnMut(Instant, u64)) -> (Vec<Tally>, Vec<String>) {
        let mut running = loads.len();
        for (channel, load) in (0..).zip(loads) {
            self.order(self.channels[channel as usize].core, Order::Start { channel, load: Box::new(load) });
        }
        let (mut tallies, mut broken) = (vec![Tally::new(); self.options.targets.len()], Vec::new());
        while running > 0 {
            let now = self.clock.now();
            tick(now, self.cores.iter().map(|core| core.completed.load(Ordering::Relaxed)).sum());
            let Some(news) = self.next_within(now.plus(LOAD_PERIOD), LOAD_PERIOD) else { continue };
            broken.extend(self.breakage(&news));
            if let News::Report(Report::Finished { channel, tally }) = news {
                tallies[self.options.target_number(channel)].add(&tally);
                running -= 1;
            }
        }
        (tallies, broken)
    }

    /// The reactors' time.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Disconnects all channels, and ends the cores.
    pub fn close(mut self) {
        for number in 0..self.channels.len() {
            let (id, core) = (self.channels[number].id, self.channels[number].core);
            self.connector.disconnect(id);
            self.order(core, Order::Close { channel: number as u32 });
        }
        let deadline = self.clock.now().plus(CLOSE_PATIENCE);
        while self.channels.iter().any(|channel| !channel.closed)
            && let Some(news) = self.next(deadline)
        {
            if let News::Report(Report::Closed { channel, queue_pair }) = news {
                let channel = &mut self.channels[channel as usize];
                channel.closed = true;
                self.connector.destroy(channel.id, queue_pair);
            }
        }
        while !self.connector.is_quiet() && self.clock.now() < deadline {
            let now = self.clock.now();
            let _ = self.next(now.plus(CONTROL_PERIOD)); // nothing of interest can come any more
        }
        for core in self.cores.drain(..) {
            core.thread.handle().stop();
            core.thread.join();
        }
    }

    /// The next thing that happens, or `None` when there is none until `deadline`.
    fn next(&mut self, deadline: Instant) -> Option<News> {
        self.next_within(deadline, CONTROL_PERIOD)
    }

    /// The same; the connection manager is looked after every `period`.
    fn next_within(&mut self, deadline: Instant, period: Duration) -> Option<News> {
        loop {
            if let Some(news) = self.news.pop_front() {
                return Some(news);
            }
            let now = self.clock.now();
            if now >= deadline {
                return None;
            }
            let news = &mut self.news;
            self.connector.poll(now, &mut |event| news.push_back(News::Event(event)));
            if let Ok(report) = self.reports.recv_timeout(period) {
                self.news.push_back(News::Report(report));
            }
        }
    }

    fn order(&self, core: usize, order: Order) {
        // A core that is gone panicked, which ends the process in release and is told by join otherwise.
        let _ = self.cores[core].orders.send(order);
    }
}

fn region(bytes: usize) -> anyhow::Result<Arc<Region>> {
    let mapping = hugepage_setup::allocate(&AllocationRequest::new(bytes))
        .context("cannot allocate the buffers of a core: use a smaller -q, -o or --channels")?;
    Ok(Region::new(mapping))
}
