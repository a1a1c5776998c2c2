//! Once a connection is there, neither end of RoCE allocates, whatever is exchanged: counted by an allocator of this test.
#![allow(unsafe_code, reason = "a global allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use fabric::roce::exposed::Access;
use fabric::{
    AcceptParameters, Completion, Connect, Control, ControlEvent, Deliver, Fetch, GroupId, PollGroup, QpIndex,
    QueuePair, QueuePairSizes, Segment,
};
use mem::{Buf, IoBuf, Pool};

struct Counting;

thread_local! {
    static COUNTING: Cell<bool> = const { Cell::new(false) };
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    if COUNTING.get() {
        CALLS.set(CALLS.get() + 1);
    }
}

// SAFETY: every call goes to the system's allocator unchanged; counting allocates nothing (const thread-local Cells).
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count();
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise, passed on.
        unsafe { System.realloc(memory, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SIZES: QueuePairSizes = QueuePairSizes { receives: 8, sends: 80 };
const LEN: u32 = 20_000;
const PATIENCE: Duration = Duration::from_secs(20);

/// One end.
struct Machine {
    control: Control,
    group: PollGroup,
    pool: Pool,
    events: Vec<ControlEvent>,
    completions: Vec<Completion>,
}

impl Machine {
    fn new() -> Machine {
        let mut control = Control::Roce(fabric::roce::Control::default());
        let group = control.create_poll_group(GroupId(0));
        let pool = mem::testing::pool(32 * 1024, 32);
        Machine { control, group, pool, events: Vec::new(), completions: Vec::with_capacity(64) }
    }

    fn poll_control(&mut self, now: u64) {
        let events = &mut self.events;
        self.control.poll(now, &mut |event| events.push(event));
    }

    /// One round of the data path.
    fn poll_group(&mut self, now: u64) {
        let completions = &mut self.completions;
        self.group.poll(now, &mut |completion| completions.push(completion));
        self.group.ring();
    }

    fn adopt(&mut self, queue_pair: QueuePair) -> QpIndex {
        let qp = self.group.adopt(queue_pair);
        (0..SIZES.receives).for_each(|_| self.group.post_receive(qp, self.pool.get().expect("a buffer")));
        qp
    }

    fn buffer(&self, len: u32) -> IoBuf {
        IoBuf::new(self.pool.get().expect("a buffer"), 0..len as usize)
    }

    /// A received message's buffer, posted again.
    fn take_message(&mut self) -> bool {
        let is_message = |done: &Completion| matches!(done, Completion::Received { .. });
        let Some(index) = self.completions.iter().position(is_message) else { return false };
        match self.completions.swap_remove(index) {
            Completion::Received { qp, buf, .. } => self.group.post_receive(qp, buf),
            other => unreachable!("{other:?}"),
        }
        true
    }

    fn take_fetched(&mut self) -> Option<Buf> {
        let is_fetched = |done: &Completion| matches!(done, Completion::Fetched { .. });
        let index = self.completions.iter().position(is_fetched)?;
        match self.completions.swap_remove(index) {
            Completion::Fetched { data, result: Ok(()), .. } => Some(data.into_buf()),
            other => panic!("{other:?}"),
        }
    }
}

fn connect(target: &mut Machine, initiator: &mut Machine, start: Instant) -> (QpIndex, QpIndex) {
    let (here, there): (IpAddr, IpAddr) = ([127, 13, 0, 2].into(), [127, 13, 0, 1].into());
    let to = SocketAddr::new(there, 5555);
    target.control.listen(to).expect("it can listen");
    let (group, private_data) = (GroupId(0), Default::default());
    let connect = Connect { local: here, to, group, sizes: SIZES, reads_served: 4, private_data };
    let (_, queue_pair) = initiator.control.connect(start.elapsed().as_nanos() as u64, &connect).expect("it can ask");
    let asked = initiator.adopt(queue_pair);
    let mut accepted = None;
    loop {
        let now = start.elapsed().as_nanos() as u64;
        for machine in [&mut *target, &mut *initiator] {
            machine.poll_control(now);
            machine.poll_group(now);
        }
        if let Some(ControlEvent::ConnectRequest { connection, .. }) = target.events.pop() {
            let queue_pair = target.control.create_queue_pair(connection, group, SIZES).expect("a queue pair");
            accepted = Some(target.adopt(queue_pair));
            let parameters = AcceptParameters { reads_max: 4, private_data: Default::default() };
            target.control.accept(connection, &parameters).expect("accepted");
        }
        if let (Some(accepted), Some(ControlEvent::Connected { .. })) = (accepted, initiator.events.last()) {
            return (accepted, asked);
        }
        assert!(start.elapsed() < PATIENCE, "no connection");
    }
}

/// A command, its data by READ, and back by WRITE with the answer behind.
fn exchange(target: &mut Machine, initiator: &mut Machine, qps: (QpIndex, QpIndex), start: Instant) {
    let whole = Access { read: true, write: true };
    let (memory, exposure) = initiator.group.expose(qps.1, initiator.buffer(LEN), whole);
    let segment = Segment { local_offset: 0, len: LEN, remote_addr: memory.addr, rkey: memory.rkey };
    let message = |machine: &Machine| Some(machine.buffer(100));
    let command = Deliver { cookie: 1, data: None, segments: &[], message: message(initiator), solicited: false };
    initiator.group.deliver(qps.1, command);
    let mut answered = false;
    while !answered {
        let now = start.elapsed().as_nanos() as u64;
        target.poll_group(now);
        initiator.poll_group(now);
        if target.take_message() {
            let fetch = Fetch { cookie: 2, data: target.buffer(LEN), segments: &[segment] };
            target.group.fetch(qps.0, fetch);
        }
        if let Some(buf) = target.take_fetched() {
            let data = Some(IoBuf::new(buf, 0..LEN as usize));
            let segments = &[segment];
            let answer = Deliver { cookie: 3, data, segments, message: message(target), solicited: true };
            target.group.deliver(qps.0, answer);
        }
        answered = initiator.take_message();
        // What was sent comes back when it is acknowledged.
        target.completions.retain(|done| !matches!(done, Completion::Delivered { .. }));
        initiator.completions.retain(|done| !matches!(done, Completion::Delivered { .. }));
        assert!(start.elapsed() < PATIENCE, "no answer");
    }
    drop(initiator.group.withdraw(exposure));
}

#[test]
fn a_connection_at_work_allocates_nothing() {
    let start = Instant::now();
    let (mut target, mut initiator) = (Machine::new(), Machine::new());
    let qps = connect(&mut target, &mut initiator, start);
    exchange(&mut target, &mut initiator, qps, start); // first use of this and that
    COUNTING.set(true);
    for _ in 0..200 {
        exchange(&mut target, &mut initiator, qps, start);
    }
    COUNTING.set(false);
    assert_eq!(CALLS.get(), 0, "allocations");
}
