//! A running reactor allocates nothing: rounds, timers, messages, sleeping and waking are watched by an allocator that
//! counts.

#![allow(unsafe_code)] // a global allocator cannot be written without

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::mpsc;
use std::time::Duration;

use reactor::{
    IdleMode, Instant, ManualClock, Poller, Progress, Reactor, ReactorConfig, Receiver, SystemClock, mailbox, spawn,
};

/// Long enough that only a lost wake-up lasts as long, on however busy a machine.
const GIVE_UP: Duration = Duration::from_secs(120);

struct CountingAllocator;

thread_local! {
    /// Allocations and releases of this thread. Const and without a destructor: reading it allocates nothing.
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

fn count_call() {
    CALLS.set(CALLS.get() + 1);
}

// SAFETY: every method passes its arguments on to the system's allocator unchanged, and returns what that returns; the
// caller's promises to us are those that `System` asks for.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_call();
        // SAFETY: the caller's layout has a size above zero, as `System` requires.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count_call();
        // SAFETY: `pointer` came from `alloc` or `realloc` above, so from `System`, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count_call();
        // SAFETY: as for `dealloc`; the caller guarantees a valid `new_size`.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

struct Sums {
    receiver: Receiver<u64>,
    sum: u64,
    on_message: Box<dyn FnMut(u64)>,
}

impl Poller for Sums {
    fn name(&self) -> &str {
        "sums"
    }

    fn poll(&mut self, _now: Instant) -> Progress {
        let Some(message) = self.receiver.receive() else { return Progress::Idle };
        self.sum += message;
        (self.on_message)(self.sum);
        Progress::Busy
    }
}

struct Ticks;

impl Poller for Ticks {
    fn name(&self) -> &str {
        "ticks"
    }

    fn poll(&mut self, _now: Instant) -> Progress {
        Progress::Busy
    }
}

fn config(idle: IdleMode) -> ReactorConfig {
    ReactorConfig { core: None, name: "watched".to_owned(), idle, stall_after: Duration::MAX }
}

#[test]
fn the_allocator_counts() {
    let before = CALLS.get();
    drop(std::hint::black_box(Box::new(7)));
    assert_eq!(CALLS.get(), before + 2);
}

#[test]
fn rounds_with_messages_and_timers_allocate_nothing() {
    let clock = ManualClock::new();
    let mut reactor = Reactor::new(config(IdleMode::Poll), clock.clone());
    let (sender, receiver) = mailbox(8, reactor.waker());
    reactor.add_poller(Box::new(Sums { receiver, sum: 0, on_message: Box::new(|_| ()) }));
    reactor.add_timed_poller(Duration::from_nanos(3), Box::new(Ticks));

    let before = CALLS.get();
    for message in 0..10_000 {
        sender.send(message).unwrap();
        clock.advance(Duration::from_nanos(1));
        reactor.run_once();
    }
    assert_eq!(CALLS.get(), before);
    let stats = reactor.handle().stats();
    assert_eq!((stats.pollers[0].busy_runs, stats.pollers[1].runs), (10_000, 3_333));
}

#[test]
fn sleeping_and_being_woken_allocates_nothing() {
    const MESSAGES: u64 = 1_000;
    let (report, counted) = mpsc::channel();
    let (hand_over, handed_over) = mpsc::channel();
    let sleepy = config(IdleMode::Park { max_sleep: Duration::from_secs(3600) });
    let thread = spawn(sleepy, SystemClock::new(), move |reactor| {
        let (sender, receiver) = mailbox(1, reactor.waker());
        hand_over.send(sender).unwrap();
        let mut at_first_message = None;
        let on_message = Box::new(move |sum| {
            let before: u64 = *at_first_message.get_or_insert(CALLS.get());
            if sum == MESSAGES {
                report.send(CALLS.get() - before).unwrap();
            }
        });
        reactor.add_poller(Box::new(Sums { receiver, sum: 0, on_message }));
    })
    .unwrap();

    let sender = handed_over.recv().unwrap();
    let started = std::time::Instant::now();
    let sleeps = || thread.handle().stats().sleeps;
    for _ in 0..MESSAGES {
        let before = sleeps();
        sender.send(1).unwrap();
        // Until it has emptied the mailbox and goes to sleep again.
        while sleeps() == before {
            assert!(started.elapsed() < GIVE_UP, "the reactor slept through its wake-up");
            std::thread::yield_now();
        }
    }
    assert_eq!(counted.recv_timeout(GIVE_UP), Ok(0));
}
