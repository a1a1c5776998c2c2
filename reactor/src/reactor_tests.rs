use super::*;
use std::cell::RefCell;
use std::rc::Rc;

use crate::clock::{Instant, ManualClock};
use crate::mailbox::mailbox;

const US: Duration = Duration::from_micros(1);

/// A poller made of a name and a function.
struct Does<F>(&'static str, F);

impl<F: FnMut(Instant) -> Progress> Poller for Does<F> {
    fn name(&self) -> &str {
        self.0
    }

    fn poll(&mut self, now: Instant) -> Progress {
        (self.1)(now)
    }
}

fn does(name: &'static str, poll: impl FnMut(Instant) -> Progress + 'static) -> Box<dyn Poller> {
    Box::new(Does(name, poll))
}

/// A poller that takes `time` on `clock`.
fn takes(name: &'static str, clock: &ManualClock, time: Duration, progress: Progress) -> Box<dyn Poller> {
    let clock = clock.clone();
    does(name, move |_| {
        clock.advance(time);
        progress
    })
}

fn reactor(clock: &ManualClock) -> Reactor<ManualClock> {
    let config = ReactorConfig { core: Some(3), name: "test".to_owned(), idle: IdleMode::Poll, stall_after: 100 * US };
    Reactor::new(config, clock.clone())
}

#[test]
fn a_round_runs_every_poller_in_order_with_fresh_time() {
    let clock = ManualClock::new();
    let mut reactor = reactor(&clock);
    let seen = Rc::new(RefCell::new(Vec::new()));
    for name in ["a", "b"] {
        let (seen, clock) = (Rc::clone(&seen), clock.clone());
        reactor.add_poller(does(name, move |now| {
            seen.borrow_mut().push((name, now.0));
            clock.advance(US);
            Progress::Idle
        }));
    }
    clock.advance(5 * US);
    assert_eq!(reactor.run_once(), Progress::Idle);
    assert_eq!(reactor.run_once(), Progress::Idle);
    assert_eq!(*seen.borrow(), [("a", 5_000), ("b", 6_000), ("a", 7_000), ("b", 8_000)]);
}

#[test]
fn a_round_is_busy_if_one_poller_was() {
    let clock = ManualClock::new();
    let mut reactor = reactor(&clock);
    for (name, progress) in [("idle", Progress::Idle), ("busy", Progress::Busy), ("late", Progress::Idle)] {
        reactor.add_poller(takes(name, &clock, US, progress));
    }
    assert_eq!(reactor.run_once(), Progress::Busy);
}

#[test]
fn time_is_charged_to_busy_polls_and_all_else_is_idle() {
    let clock = ManualClock::new();
    let mut reactor = reactor(&clock);
    reactor.add_poller(takes("idle", &clock, 3 * US, Progress::Idle));
    reactor.add_poller(takes("busy", &clock, 5 * US, Progress::Busy));
    reactor.run_once();
    clock.advance(20 * US); // asleep
    reactor.run_once();

    let stats = reactor.handle().stats();
    assert_eq!((stats.core, stats.name.as_str()), (Some(3), "test"));
    assert_eq!((stats.busy_ns, stats.idle_ns, stats.rounds), (10_000, 26_000, 2));
    assert_eq!((stats.stalls, stats.longest_poll_ns), (0, 5_000));
    let of = |index: usize| (stats.pollers[index].runs, stats.pollers[index].busy_runs, stats.pollers[index].busy_ns);
    assert_eq!((of(0), of(1)), ((2, 0, 0), (2, 2, 10_000)));
}

#[test]
fn a_poll_over_the_limit_is_a_stall_with_a_name() {
    let clock = ManualClock::new();
    let mut reactor = reactor(&clock);
    reactor.add_poller(takes("at the limit", &clock, 100 * US, Progress::Idle));
    reactor.add_poller(takes("over it", &clock, 101 * US, Progress::Busy));
    assert_eq!(reactor.handle().stats().last_stalled_poller, None);
    reactor.run_once();
    reactor.run_once();
    let stats = reactor.handle().stats();
    assert_eq!((stats.stalls, stats.last_stalled_poller.as_deref()), (2, Some("over it")));
    assert_eq!((stats.pollers[0].stalls, stats.pollers[1].stalls), (0, 2));
    assert_eq!(stats.longest_poll_ns, 101_000);
}

#[test]
fn the_name_of_the_last_stalled_poller_outlives_the_poller() {
    let clock = ManualClock::new();
    let mut reactor = reactor(&clock);
    reactor.add_poller(takes("slow", &clock, 101 * US, Progress::Busy));
    reactor.run_once();
    reactor.handle().remove_poller("slow");
    reactor.run_once();
    let stats = reactor.handle().stats();
    assert_eq!((stats.pollers.len(), stats.last_stalled_poller.as_deref()), (0, Some("slow")));
}

#[test]
fn a_timed_poller_keeps_its_phase_and_does_not_burst() {
    let clock = ManualClock::new();
    let mut reactor = reactor(&clock);
    clock.advance(3 * US);
    let runs = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&runs);
    reactor.add_timed_poller(
        10 * US,
        does("timer", move |now| {
            log.borrow_mut().push(now.0 / 1_000);
            Progress::Idle
        }),
    );
    // Due at 13, 23, 33, …; the clock stands still between 50 and 51 only.
    for at in [3, 12, 13, 14, 22, 25, 32, 50, 50, 51, 53] {
        clock.advance(US * at - Duration::from_nanos(clock.now().0));
        reactor.run_once();
        reactor.run_once();
    }
    assert_eq!(*runs.borrow(), [13, 25, 50, 53]);
    assert_eq!(reactor.handle().stats().pollers[0].period, Some(10 * US));
}

#[test]
fn a_timed_poller_longer_than_its_period_leaves_rounds_to_others() {
    let clock = ManualClock::new();
    let mut reactor = reactor(&clock);
    reactor.add_timed_poller(10 * US, takes("slow timer", &clock, 15 * US, Progress::Busy));
    clock.advance(10 * US);
    reactor.run_once(); // runs from 10 to 25: the next deadline is 30
    reactor.run_once();
    assert_eq!(reactor.handle().stats().pollers[0].runs, 1);
    clock.advance(5 * US);
    reactor.run_once();
    assert_eq!(reactor.handle().stats().pollers[0].runs, 2);
}

#[test]
fn timers_of_different_periods_each_keep_their_own() {
    let clock = ManualClock::new();
    let mut reactor = reactor(&clock);
    for (name, period) in [("seven", 7), ("three", 3), ("zero", 0)] {
        reactor.add_timed_poller(period * US, takes(name, &clock, Duration::ZERO, Progress::Idle));
    }
    for _ in 0..21 {
        clock.advance(US);
        reactor.run_once();
    }
    let stats = reactor.handle().stats();
    let runs: Vec<_> = stats.pollers.iter().map(|poller| (poller.name.as_str(), poller.runs)).collect();
    assert_eq!(runs, [("seven", 3), ("three", 7), ("zero", 21)]);
}

#[test]
fn the_earliest_deadline_is_known_and_goes_with_its_timer() {
    let clock = ManualClock::new();
    let mut reactor = reactor(&clock);
    assert_eq!(reactor.timers.next_deadline(), None);
    reactor.add_timed_poller(7 * US, does("seven", |_| Progress::Idle));
    reactor.add_timed_poller(3 * US, does("three", |_| Progress::Idle));
    assert_eq!(reactor.timers.next_deadline(), Some(Instant(3_000)));
    clock.advance(3 * US);
    reactor.run_once();
    assert_eq!(reactor.timers.next_deadline(), Some(Instant(6_000)));
    reactor.handle().remove_poller("three");
    reactor.run_once();
    assert_eq!(reactor.timers.next_deadline(), Some(Instant(7_000)));
}

#[test]
fn handles_add_and_remove_pollers_from_other_threads() {
    let clock = ManualClock::new();
    let mut reactor = reactor(&clock);
    let handle = reactor.handle();
    let alive = Arc::new(());
    let owned = Arc::clone(&alive);
    let requests = std::thread::spawn(move || {
        handle.add_poller(Box::new(|| {
            let not_send = Rc::new(owned);
            does("added", move |_| if Arc::strong_count(&not_send) > 1 { Progress::Busy } else { Progress::Idle })
        }));
        handle.add_timed_poller(US, Box::new(|| does("timed", |_| Progress::Idle)));
    });
    requests.join().unwrap();
    assert_eq!(reactor.run_once(), Progress::Busy);
    clock.advance(US);
    reactor.run_once();
    let runs = |reactor: &Reactor<ManualClock>| -> Vec<(String, u64)> {
        reactor.handle().stats().pollers.into_iter().map(|poller| (poller.name, poller.runs)).collect()
    };
    assert_eq!(runs(&reactor), [("added".to_owned(), 2), ("timed".to_owned(), 1)]);

    reactor.handle().remove_poller("added");
    assert_eq!(reactor.run_once(), Progress::Busy);
    assert_eq!(Arc::strong_count(&alive), 1);
    assert_eq!(runs(&reactor), [("timed".to_owned(), 1)]);
    assert_eq!(reactor.run_once(), Progress::Idle);
}

#[test]
fn requests_that_a_dropped_reactor_did_not_get_to_are_dropped_with_it() {
    let reactor = reactor(&ManualClock::new());
    let handle = reactor.handle();
    let (in_request, held) = (reactor.handle(), Arc::new(()));
    let owned = Arc::clone(&held);
    handle.add_poller(Box::new(move || {
        does("never", move |_| {
            let _ = (&in_request, &owned);
            Progress::Idle
        })
    }));
    drop(reactor);
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn run_ends_after_the_round_that_was_told_to_stop() {
    let mut reactor = reactor(&ManualClock::new());
    let handle = reactor.handle();
    let mut rounds_left = 3;
    reactor.add_poller(does("stopper", move |_| {
        rounds_left -= 1;
        if rounds_left == 0 {
            handle.stop();
        }
        Progress::Idle
    }));
    reactor.run();
    assert_eq!(reactor.handle().stats().rounds, 3);
    reactor.run();
    assert_eq!(reactor.handle().stats().rounds, 3);
}

#[test]
fn what_was_sent_before_the_start_is_found_without_a_sleep() {
    let clock = ManualClock::new();
    let config = ReactorConfig {
        core: None,
        name: "parked".to_owned(),
        idle: IdleMode::Park { max_sleep: Duration::MAX },
        stall_after: Duration::MAX,
    };
    let mut reactor = Reactor::new(config, clock);
    let (sender, mut receiver) = mailbox(1, reactor.waker());
    let handle = reactor.handle();
    reactor.add_poller(does("receiver", move |_| match receiver.receive() {
        Some(()) => {
            handle.stop();
            Progress::Busy
        }
        None => Progress::Idle,
    }));
    sender.send(()).unwrap();
    reactor.run();
}

#[test]
fn the_time_of_a_sleep_is_not_the_next_pollers() {
    /// Moves on by 1 µs with every reading.
    #[derive(Default)]
    struct Stepping(std::cell::Cell<u64>);
    impl Clock for Stepping {
        fn now(&self) -> Instant {
            self.0.set(self.0.get() + 1_000);
            Instant(self.0.get())
        }
    }
    let idle = IdleMode::Park { max_sleep: US };
    let config = ReactorConfig { core: None, name: "sleepy".to_owned(), idle, stall_after: Duration::MAX };
    let mut reactor = Reactor::new(config, Stepping::default());
    let handle = reactor.handle();
    let mut rounds_left = 4;
    reactor.add_poller(does("stopper", move |_| {
        rounds_left -= 1;
        if rounds_left == 0 {
            handle.stop();
        }
        Progress::Idle
    }));
    reactor.run();
    let stats = reactor.handle().stats();
    // The first round announces, and all others end in a sleep.
    assert_eq!((stats.rounds, stats.sleeps), (4, 3));
    // One reading when it starts to run, one after each poll, one after pollers were armed and one after each sleep.
    assert_eq!((stats.idle_ns, stats.longest_poll_ns), ((1 + 4 + 1 + 3) * 1_000, 1_000));
}
