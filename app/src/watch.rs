//! Finds reactors that stand still: a poller of theirs does not return. The service manager's watchdog (`notify.rs`) ends such a process; this says why, with or
//! without a service manager.

use std::time::Duration;

use reactor::{Instant, ReactorHandle};
use serde_json::json;

use crate::crash::Reporter;

/// How often they are looked at.
const PERIOD: Duration = Duration::from_millis(500);
/// A poller that has not returned for so long is reported. Slow ones that do return are the business of `--stall-us`.
const STANDS_STILL_AFTER: Duration = Duration::from_secs(2);

/// Looks at the rounds of all reactors.
pub(crate) struct ReactorWatch {
    reporter: Reporter,
    next: Instant,
    seen: Vec<Seen>,
}

#[derive(Clone, Copy)]
struct Seen {
    rounds: u64,
    since: Instant,
    reported: bool,
}

impl ReactorWatch {
    /// One that has seen nothing yet.
    pub(crate) fn new(reporter: Reporter) -> ReactorWatch {
        ReactorWatch { reporter, next: Instant::default(), seen: Vec::new() }
    }

    /// Looks, if it is time.
    pub(crate) fn look(&mut self, now: Instant, reactors: &[ReactorHandle]) {
        if now < self.next {
            return;
        }
        self.next = now.plus(PERIOD);
        self.seen.resize(reactors.len(), Seen { rounds: 0, since: now, reported: false });
        for (seen, handle) in self.seen.iter_mut().zip(reactors) {
            let stats = handle.stats();
            // Between pollers it sleeps.
            let poller = handle.running_poller().filter(|_| stats.rounds == seen.rounds);
            let Some(poller) = poller else {
                if seen.reported {
                    let stood_still_ms = now.since(seen.since).as_millis();
                    tracing::warn!(reactor = stats.name, stood_still_ms, "the reactor goes on");
                }
                *seen = Seen { rounds: stats.rounds, since: now, reported: false };
                continue;
            };
            if now.since(seen.since) >= STANDS_STILL_AFTER && !seen.reported {
                seen.reported = true;
                let cause = json!({"kind": "stall", "reactor": stats.name, "poller": poller});
                let report = self.reporter.report(cause).map(|path| path.display().to_string());
                let report = report.unwrap_or_else(|error| error.to_string());
                tracing::error!(
                    reactor = stats.name,
                    poller,
                    report,
                    "a reactor stands still: a poller does not return"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use reactor::{IdleMode, Poller, Progress, ReactorConfig, SystemClock};
    use serde_json::Value;
    use transport_srp::FlightRecorder;

    use super::*;

    /// Does not return until it is told to.
    struct Stuck {
        entered: mpsc::Sender<()>,
        leave: mpsc::Receiver<()>,
    }

    impl Poller for Stuck {
        fn name(&self) -> &str {
            "stuck"
        }

        fn poll(&mut self, _: Instant) -> Progress {
            let _ = self.entered.send(());
            let _ = self.leave.recv();
            Progress::Idle
        }
    }

    #[test]
    fn a_reactor_that_stands_still_is_reported_once_with_its_poller() {
        let folder = tempfile::tempdir().expect("a folder");
        let reports = || std::fs::read_dir(folder.path()).expect("a folder").count();
        let (entered, has_entered) = mpsc::channel();
        let (go_on, leave) = mpsc::channel();
        let config =
            ReactorConfig { core: None, name: "reactor_3".into(), idle: IdleMode::Poll, stall_after: Duration::MAX };
        let thread = reactor::spawn(config, SystemClock::new(), move |reactor| {
            reactor.add_poller(Box::new(Stuck { entered, leave }));
        })
        .expect("a thread");
        let reactors = [thread.handle()];
        let mut watch = ReactorWatch::new(Reporter::new(folder.path(), FlightRecorder::default(), Vec::new()));
        has_entered.recv().expect("it runs");

        let at = |ms| Instant(Duration::from_millis(ms).as_nanos() as u64);
        for ms in [1_000, 1_500, 2_500] {
            watch.look(at(ms), &reactors);
            assert_eq!(reports(), 0, "{ms}");
        }
        for ms in [4_000, 4_500, 60_000] {
            watch.look(at(ms), &reactors);
            assert_eq!(reports(), 1, "{ms}");
        }
        let report = std::fs::read_dir(folder.path()).expect("a folder").next().expect("one").expect("an entry");
        let text: Value = serde_json::from_slice(&std::fs::read(report.path()).expect("a report")).expect("JSON");
        assert_eq!(text["cause"], json!({"kind": "stall", "reactor": "reactor_3", "poller": "stuck"}));

        // It has gone on, and stands still again.
        go_on.send(()).expect("it waits");
        has_entered.recv().expect("it runs");
        watch.look(at(61_000), &reactors);
        assert!(!watch.seen[0].reported);
        drop(go_on);
        thread.handle().stop();
        thread.join();
    }
}
