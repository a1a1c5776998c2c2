//! Reactors on threads of their own: starting, pinning, waking, stopping.

use std::sync::mpsc::{self, Receiver as Answers};
use std::time::Duration;

use reactor::{
    CoreMask, IdleMode, Instant, Poller, Progress, ReactorConfig, ReactorError, ReactorThread, Receiver, Sender,
    SystemClock, keep_off, mailbox, spawn,
};

/// Long enough that only a lost wake-up lasts as long, on however busy a machine.
const GIVE_UP: Duration = Duration::from_secs(120);
/// A sleep that nothing but a wake-up or a timer ends within [`GIVE_UP`].
const FOREVER: Duration = Duration::from_secs(100_000);

fn config(name: &str, idle: IdleMode) -> ReactorConfig {
    ReactorConfig { core: None, name: name.to_owned(), idle, stall_after: Duration::MAX }
}

struct Does<F>(F);

impl<F: FnMut() -> Progress> Poller for Does<F> {
    fn name(&self) -> &str {
        "does"
    }

    fn poll(&mut self, _now: Instant) -> Progress {
        (self.0)()
    }
}

fn wait_for<T>(answers: &Answers<T>) -> T {
    answers.recv_timeout(GIVE_UP).expect("the reactor slept through its wake-up")
}

fn stop_and_join(thread: ReactorThread) {
    let (answer, answers) = mpsc::channel();
    thread.handle().stop();
    std::thread::spawn(move || {
        thread.join();
        answer.send(()).unwrap();
    });
    wait_for(&answers);
}

#[test]
fn other_threads_keep_off_the_reactors_cores_if_there_are_others() {
    let here = rustix::thread::sched_getaffinity(None).unwrap();
    let cores: Vec<u32> = (0..1024).filter(|&core| here.is_set(core as usize)).collect();
    let list = |cores: &[u32]| format!("[{}]", cores.iter().map(u32::to_string).collect::<Vec<_>>().join(","));
    let kept_off = |cores: &[u32]| {
        let mask: CoreMask = list(cores).parse().unwrap();
        let started_by = move || {
            keep_off(&mask);
            std::thread::spawn(|| rustix::thread::sched_getaffinity(None).unwrap()).join().unwrap()
        };
        let set = std::thread::spawn(started_by).join().unwrap();
        (0..1024).filter(|&core| set.is_set(core as usize)).collect::<Vec<u32>>()
    };
    assert_eq!(kept_off(&cores), cores, "all of them are reactors'");
    if let [first, others @ ..] = &cores[..]
        && !others.is_empty()
    {
        assert_eq!(kept_off(&[*first]), others);
    }
}

#[test]
fn a_spawned_reactor_runs_on_its_core_alone() {
    let here = rustix::thread::sched_getaffinity(None).unwrap();
    for core in (0..1024u32).filter(|&core| here.is_set(core as usize)) {
        let (answer, answers) = mpsc::channel();
        let pinned = ReactorConfig { core: Some(core), ..config("pinned", IdleMode::Poll) };
        let thread = spawn(pinned, SystemClock::new(), move |_| {
            answer.send(rustix::thread::sched_getaffinity(None).unwrap()).unwrap();
        })
        .unwrap();
        let set = wait_for(&answers);
        assert!(set.is_set(core as usize) && set.count() == 1);
        assert_eq!(thread.handle().stats().core, Some(core));
        stop_and_join(thread);
    }
    assert_eq!(rustix::thread::sched_getaffinity(None).unwrap(), here);
}

#[test]
fn a_core_that_is_not_there_is_an_error_that_names_reactor_and_core() {
    let config = ReactorConfig { core: Some(1023), ..config("reactor_1023", IdleMode::Poll) };
    let error = spawn(config, SystemClock::new(), |_| panic!("must not run")).unwrap_err();
    assert!(matches!(error, ReactorError::Pin { .. }));
    let message = error.to_string();
    assert!(message.contains("reactor_1023") && message.contains("core 1023"), "{message}");
}

#[test]
#[should_panic(expected = "setup is broken")]
fn a_panic_in_setup_reaches_the_one_who_spawns() {
    let _ = spawn(config("broken", IdleMode::Poll), SystemClock::new(), |_| panic!("setup is broken"));
}

#[test]
fn stopping_and_requests_end_a_sleep() {
    let thread = spawn(config("parked", IdleMode::Park { max_sleep: FOREVER }), SystemClock::new(), |_| ()).unwrap();
    let handle = thread.handle();
    let started = std::time::Instant::now();
    while handle.stats().sleeps == 0 {
        assert!(started.elapsed() < GIVE_UP, "a reactor with nothing to do does not sleep");
        std::thread::yield_now();
    }
    let (answer, answers) = mpsc::channel();
    handle.add_poller(Box::new(move || {
        Box::new(Does(move || {
            let _ = answer.send("polled");
            Progress::Idle
        }))
    }));
    assert_eq!(wait_for(&answers), "polled");
    stop_and_join(thread);
}

#[test]
fn a_timer_bounds_the_sleep() {
    ticks(IdleMode::Park { max_sleep: FOREVER });
}

#[test]
fn a_timer_that_is_alone_on_a_polling_reactor_runs() {
    ticks(IdleMode::Poll);
}

fn ticks(idle: IdleMode) {
    let (answer, answers) = mpsc::channel();
    let _thread = spawn(config("timed", idle), SystemClock::new(), move |reactor| {
        let tick = move || {
            let _ = answer.send(());
            Progress::Idle
        };
        reactor.add_timed_poller(Duration::from_millis(1), Box::new(Does(tick)));
    })
    .unwrap();
    (0..5).for_each(|_| wait_for(&answers));
}

/// Passes each message on, and reports when it has seen the last one.
fn relay(mut inbox: Receiver<u32>, next: Sender<u32>, last: u32, done: mpsc::Sender<u32>) -> Box<dyn Poller> {
    Box::new(Does(move || match inbox.receive() {
        Some(count) if count >= last => {
            let _ = done.send(count);
            Progress::Busy
        }
        Some(count) => {
            // Varies the moment of the send against the other's falling asleep.
            (0..count % 251).for_each(|_| std::hint::spin_loop());
            next.send(count + 1).expect("one message is under way");
            Progress::Busy
        }
        None => Progress::Idle,
    }))
}

/// One message goes round between two reactors that fall asleep at every opportunity, with nothing else to wake them:
/// one lost wake-up, and the message lies there for good.
#[test]
fn no_wake_up_is_lost_between_parking_reactors() {
    const HOPS: u32 = 20_000;
    let idle = IdleMode::Park { max_sleep: FOREVER };
    let (done, finished) = mpsc::channel();
    let threads = ["ping", "pong"].map(|name| spawn(config(name, idle), SystemClock::new(), |_| ()).unwrap());
    let mailboxes = threads.each_ref().map(|thread| mailbox(1, thread.handle().waker()));
    let [(to_ping, at_ping), (to_pong, at_pong)] = mailboxes;
    let start = to_ping.clone();
    for (thread, inbox, next) in [(&threads[0], at_ping, to_pong), (&threads[1], at_pong, to_ping)] {
        let done = done.clone();
        thread.handle().add_poller(Box::new(move || relay(inbox, next, HOPS, done)));
    }
    start.send(0).unwrap();
    assert_eq!(wait_for(&finished), HOPS);
    threads.into_iter().for_each(stop_and_join);
}

#[test]
fn no_message_of_many_senders_is_lost_or_slept_through() {
    const SENDERS: u32 = 4;
    const MESSAGES: u32 = 5_000;
    let (report, received) = mpsc::channel();
    let parked = config("receiver", IdleMode::Park { max_sleep: FOREVER });
    let (hand_over, handed_over) = mpsc::channel();
    let _thread = spawn(parked, SystemClock::new(), move |reactor| {
        let (sender, mut receiver) = mailbox::<(u32, u32)>(16, reactor.waker());
        hand_over.send(sender).unwrap();
        let (mut next, mut left) = ([0; SENDERS as usize], SENDERS * MESSAGES);
        reactor.add_poller(Box::new(Does(move || {
            let Some((sender, number)) = receiver.receive() else { return Progress::Idle };
            assert_eq!(number, next[sender as usize], "messages of one sender arrive in order");
            next[sender as usize] += 1;
            left -= 1;
            if left == 0 {
                report.send(()).unwrap();
            }
            Progress::Busy
        })));
    })
    .unwrap();
    let sender = handed_over.recv().unwrap();
    for id in 0..SENDERS {
        let sender = sender.clone();
        std::thread::spawn(move || {
            for number in 0..MESSAGES {
                // Now and then long enough a pause for the receiver to fall asleep.
                (0..number % 97).for_each(|_| std::hint::spin_loop());
                let mut message = (id, number);
                while let Err(full) = sender.send(message) {
                    message = full.0;
                    std::thread::yield_now();
                }
            }
        });
    }
    wait_for(&received);
}
