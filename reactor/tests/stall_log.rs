//! The log line about a stall. Alone in its process: other tests' threads would decide, when they stall first, that
//! nobody listens.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reactor::{IdleMode, Instant, ManualClock, Poller, Progress, Reactor, ReactorConfig};

const POLL_TIME: Duration = Duration::from_millis(400);

struct Slow(ManualClock);

impl Poller for Slow {
    fn name(&self) -> &str {
        "slow"
    }

    fn poll(&mut self, _now: Instant) -> Progress {
        self.0.advance(POLL_TIME);
        Progress::Busy
    }
}

#[derive(Clone, Default)]
struct Text(Arc<Mutex<Vec<u8>>>);

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn stalls_are_logged_once_a_second_with_the_poller_and_the_number_of_the_others() {
    let text = Text::default();
    let writer = text.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();

    let clock = ManualClock::new();
    let stall_after = Duration::from_micros(100);
    let config = ReactorConfig { core: None, name: "held up".to_owned(), idle: IdleMode::Poll, stall_after };
    let mut reactor = Reactor::new(config, clock.clone());
    reactor.add_poller(Box::new(Slow(clock)));
    // Stalls end at 400, 800, 1200 and 1600 ms.
    tracing::subscriber::with_default(subscriber, || (0..4).for_each(|_| _ = reactor.run_once()));

    let text = String::from_utf8(text.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].contains("reactor=held up poller=slow ran_us=400000 limit_us=100 unreported=0"), "{text}");
    assert!(lines[1].contains("unreported=2"), "{text}");
}
