//! Both ends in one thread: the target side through `fabric`, and the means to wait for things.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fabric::{
    AcceptParameters, Completion, ConnectRequest, ConnectionId, Control, ControlEvent, GroupId, ListenerId,
    ListenerState, PollGroup, PrivateData, QpIndex, QueuePairSizes, verbs,
};
use mem::{Buf, IoBuf, Pool, PoolLayout, Region};

use crate::client::{Client, ClientEvent};

/// How long anything may take; soft-RoCE in an emulated machine is slow.
const PATIENCE: Duration = Duration::from_secs(100);

pub const BUFFER: usize = 8192;
const BUFFERS: usize = 2048;
pub const SIZES: QueuePairSizes = QueuePairSizes { receives: 16, sends: 128 };

pub struct Rig {
    pub control: Control,
    pub group: PollGroup,
    pub address: SocketAddr,
    pub pool: Pool,
    pub events: Vec<ControlEvent>,
    pub completions: Vec<Completion>,
    pub listener: Option<ListenerId>,
    started: Instant,
}

/// A connection as both ends see it.
pub struct Pair {
    pub client: Client,
    pub connection: ConnectionId,
    pub qp: QpIndex,
}

impl Rig {
    pub fn new(address: SocketAddr) -> Rig {
        let mut control = Control::Verbs(verbs::Control::new());
        let region = Region::new(
            hugepage_setup::allocate(&hugepage_setup::AllocationRequest {
                max_page: hugepage_setup::PageKind::Ordinary,
                ..hugepage_setup::AllocationRequest::new(BUFFER * BUFFERS)
            })
            .expect("memory"),
        );
        control.add_region(Arc::clone(&region));
        let pool = Pool::new(region, PoolLayout { offset: 0, stride: BUFFER, size: BUFFER, count: BUFFERS });
        let group = control.create_poll_group(GroupId(0));
        Rig {
            control,
            group,
            address,
            pool,
            events: Vec::new(),
            completions: Vec::new(),
            listener: None,
            started: Instant::now(),
        }
    }

    /// Once around.
    pub fn step(&mut self) {
        let now_ns = self.started.elapsed().as_nanos() as u64;
        let events = &mut self.events;
        self.control.poll(now_ns, &mut |event| events.push(event));
        self.group.ring();
        let completions = &mut self.completions;
        self.group.poll(0, &mut |completion| completions.push(completion));
    }

    /// Goes around until `done` gives something.
    pub fn until<T>(&mut self, what: &str, mut done: impl FnMut(&mut Rig) -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            self.step();
            if let Some(result) = done(self) {
                return result;
            }
            assert!(start.elapsed() < PATIENCE, "waited too long for {what}");
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    pub fn run_for(&mut self, time: Duration) {
        let start = Instant::now();
        while start.elapsed() < time {
            self.step();
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    pub fn listen(&mut self) {
        let listener = self.control.listen(self.address).expect("the port is free");
        self.listener = Some(listener);
        self.until("the listener", |rig| {
            (rig.control.listener_state(listener) == ListenerState::Listening).then_some(())
        });
    }

    pub fn take_event<T>(&mut self, pick: impl Fn(&ControlEvent) -> Option<T>) -> Option<T> {
        let index = self.events.iter().position(|event| pick(event).is_some())?;
        pick(&self.events.remove(index))
    }

    pub fn request(&mut self) -> (ConnectionId, ConnectRequest) {
        self.until("a connection request", |rig| {
            rig.take_event(|event| match event {
                ControlEvent::ConnectRequest { connection, request } => Some((*connection, request.clone())),
                _ => None,
            })
        })
    }

    pub fn established(&mut self, wanted: ConnectionId) {
        self.until("Established", |rig| {
            rig.take_event(|event| match event {
                ControlEvent::Established { connection } if *connection == wanted => Some(()),
                _ => None,
            })
        });
    }

    pub fn disconnected(&mut self, wanted: ConnectionId) -> &'static str {
        self.until("Disconnected", |rig| {
            rig.take_event(|event| match event {
                ControlEvent::Disconnected { connection, reason } if *connection == wanted => Some(*reason),
                _ => None,
            })
        })
    }

    pub fn client_event(&mut self, client: &mut Client) -> ClientEvent {
        self.until("an event of the client", |_| client.next_event())
    }

    pub fn completion(&mut self) -> Completion {
        self.until("a completion", |rig| (!rig.completions.is_empty()).then(|| rig.completions.remove(0)))
    }

    pub fn buf(&self) -> Buf {
        self.pool.get().expect("enough buffers")
    }

    pub fn io_buf(&self, bytes: &[u8]) -> IoBuf {
        let mut buf = self.buf();
        buf.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
        IoBuf::new(buf, 0..bytes.len())
    }

    /// Connects a client that sent `request_data`, answered with `reply_data`.
    pub fn connect(&mut self, request_data: &[u8], reply_data: &[u8]) -> Pair {
        let mut client = Client::connect(self.address, request_data);
        let (connection, request) = self.request();
        let qp = self.prepare(connection);
        self.accept(connection, &request, reply_data);
        let event = self.client_event(&mut client);
        let ClientEvent::Established { private_data } = event else { panic!("{event:?}") };
        assert!(private_data.starts_with(reply_data), "{private_data:?}");
        self.established(connection);
        Pair { client, connection, qp }
    }

    /// A queue pair with all its receives posted.
    pub fn prepare(&mut self, connection: ConnectionId) -> QpIndex {
        let queue_pair = self.control.create_queue_pair(connection, GroupId(0), SIZES).expect("a queue pair");
        let qp = self.group.adopt(queue_pair);
        for _ in 0..SIZES.receives {
            let buf = self.buf();
            self.group.post_receive(qp, buf);
        }
        self.group.ring();
        qp
    }

    pub fn accept(&mut self, connection: ConnectionId, request: &ConnectRequest, reply_data: &[u8]) {
        let reads_max = request.reads_served.min(request.device_reads_max);
        let private_data = PrivateData::try_from(reply_data).expect("short enough");
        self.control.accept(connection, &AcceptParameters { reads_max, private_data }).expect("accepted");
    }

    /// Waits until everything is back, takes the queue pair out of the group and destroys the connection. Gives what came back.
    pub fn bury(&mut self, connection: ConnectionId, qp: QpIndex) -> Vec<Completion> {
        self.until("everything to come back", |rig| (rig.group.outstanding(qp) == 0).then_some(()));
        assert_eq!(self.group.send_slots_free(qp), SIZES.sends as usize);
        let queue_pair = self.group.release(qp);
        self.control.destroy(connection, Some(queue_pair));
        std::mem::take(&mut self.completions)
    }

    /// At the end of a scenario every buffer is back in the pool.
    pub fn finish(mut self) {
        self.run_for(Duration::from_millis(50));
        self.completions.clear();
        assert_eq!(self.pool.available(), BUFFERS, "buffers are missing");
        let strange: Vec<&ControlEvent> = self
            .events
            .iter()
            .filter(|event| !matches!(event, ControlEvent::DeviceAdded { .. } | ControlEvent::DeviceRemoved { .. }))
            .collect();
        assert!(strange.is_empty(), "events that nobody asked for: {strange:?}");
    }
}

/// Files that this process has open.
pub fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("procfs").count()
}

thread_local!(static SEED: Cell<u64> = const { Cell::new(0x9E37_79B9_7F4A_7C15) });

/// A number below `bound`, the same ones in every run.
pub fn random(bound: usize) -> usize {
    SEED.with(|seed| {
        let mut x = seed.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        seed.set(x);
        (x % bound as u64) as usize
    })
}
