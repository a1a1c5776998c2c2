//! Work that comes from elsewhere than another reactor: it wakes by a file, once it was asked to.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::mpsc;
use std::time::Duration;

use reactor::{
    IdleMode, Instant, Poller, Progress, ReactorConfig, ReactorHandle, ReactorThread, SystemClock, WakeSources, Waker,
    spawn,
};

/// Long enough that only a lost wake-up lasts as long, on however busy a machine.
const GIVE_UP: Duration = Duration::from_secs(120);
/// A sleep that nothing but a wake-up ends within [`GIVE_UP`].
const FOREVER: Duration = Duration::from_secs(100_000);

/// A queue of one number as a device has it: it tells of a number only if it was asked to since it last told.
struct Queue {
    /// 0: empty.
    number: AtomicU32,
    armed: AtomicBool,
    bell: UnixStream,
}

impl Queue {
    /// The queue, and the file that is readable when it told of something.
    fn new() -> (Arc<Queue>, UnixStream) {
        let (bell, file) = UnixStream::pair().unwrap();
        file.set_nonblocking(true).unwrap();
        (Arc::new(Queue { number: AtomicU32::new(0), armed: AtomicBool::new(false), bell }), file)
    }

    fn put(&self, number: u32) {
        assert_eq!(self.number.swap(number, SeqCst), 0, "one number is under way");
        if self.armed.swap(false, SeqCst) {
            (&self.bell).write_all(b"!").unwrap();
        }
    }
}

/// Puts each number, one greater, into the next queue, and reports the last one.
struct Relay {
    from: Arc<Queue>,
    file: UnixStream,
    to: Arc<Queue>,
    last: u32,
    done: mpsc::Sender<u32>,
}

impl Poller for Relay {
    fn name(&self) -> &str {
        "relay"
    }

    fn poll(&mut self, _now: Instant) -> Progress {
        let number = self.from.number.swap(0, SeqCst);
        if number == 0 {
            return Progress::Idle;
        }
        // Varies the moment of the put against the other's falling asleep.
        (0..number % 251).for_each(|_| std::hint::spin_loop());
        if number >= self.last {
            let _ = self.done.send(number);
        } else {
            self.to.put(number + 1);
        }
        Progress::Busy
    }

    fn arm(&mut self, _waker: &Waker) {
        let _ = (&self.file).read(&mut [0; 8]); // what it told of was polled for
        self.from.armed.store(true, SeqCst);
    }

    fn wake_sources<'a>(&'a self, sources: &mut WakeSources<'a>) {
        sources.file(&self.file);
    }
}

fn parked(name: &str) -> ReactorThread {
    let idle = IdleMode::Park { max_sleep: FOREVER };
    let config = ReactorConfig { core: None, name: name.to_owned(), idle, stall_after: Duration::MAX };
    spawn(config, SystemClock::new(), |_| ()).unwrap()
}

/// One number goes round between two reactors that fall asleep at every opportunity: one lost wake-up, and it lies there for good.
#[test]
fn no_wake_up_is_lost_between_arming_and_sleep() {
    const HOPS: u32 = 20_000;
    let (done, finished) = mpsc::channel();
    let threads = ["ping", "pong"].map(parked);
    let [(at_ping, ping_file), (at_pong, pong_file)] = [Queue::new(), Queue::new()];
    for (thread, from, file, to) in
        [(&threads[0], &at_ping, ping_file, &at_pong), (&threads[1], &at_pong, pong_file, &at_ping)]
    {
        let (from, to, done) = (Arc::clone(from), Arc::clone(to), done.clone());
        thread.handle().add_poller(Box::new(move || Box::new(Relay { from, file, to, last: HOPS, done })));
    }
    at_ping.put(1);
    assert_eq!(finished.recv_timeout(GIVE_UP).expect("a reactor slept through its wake-up"), HOPS);
}

/// Nothing in its file is work, and only arming takes something out of it.
struct FalseAlarm {
    file: UnixStream,
    polls: u32,
    armed: Arc<AtomicU32>,
    handle: ReactorHandle,
}

/// How often its file is readable.
const ALARMS: u32 = 8;

impl Poller for FalseAlarm {
    fn name(&self) -> &str {
        "false alarm"
    }

    fn poll(&mut self, _now: Instant) -> Progress {
        self.polls += 1;
        if self.armed.load(SeqCst) == ALARMS || self.polls > 10 * ALARMS {
            self.handle.stop();
        }
        Progress::Idle
    }

    fn arm(&mut self, _waker: &Waker) {
        let _ = (&self.file).read(&mut [0; 1]);
        self.armed.fetch_add(1, SeqCst);
    }

    fn wake_sources<'a>(&'a self, sources: &mut WakeSources<'a>) {
        sources.file(&self.file);
    }
}

#[test]
fn a_file_without_work_behind_it_is_armed_again_before_the_next_sleep() {
    let (mut bell, file) = UnixStream::pair().unwrap();
    file.set_nonblocking(true).unwrap();
    bell.write_all(&[0; ALARMS as usize]).unwrap();
    let armed = Arc::new(AtomicU32::new(0));
    let thread = parked("alarmed");
    let (handle, arms) = (thread.handle(), Arc::clone(&armed));
    thread.handle().add_poller(Box::new(move || Box::new(FalseAlarm { file, polls: 0, armed: arms, handle })));
    let (answer, answers) = mpsc::channel();
    std::thread::spawn(move || {
        thread.join();
        answer.send(()).unwrap();
    });
    answers.recv_timeout(GIVE_UP).expect("a readable file did not end a sleep");
    assert_eq!(armed.load(SeqCst), ALARMS, "it was polled again and again instead");
}
