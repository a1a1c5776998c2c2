//! From two samples to what happens in a second.

use super::sample::{Bdev, Reactor, Sample, Session};

/// What happened between two samples, by the second.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Rates {
    /// How much time passed, in seconds; 0 for a first sample, which has no rates.
    pub(crate) seconds: f64,
    pub(crate) version: String,
    pub(crate) reactors: Vec<ReactorRates>,
    pub(crate) sessions: Vec<SessionRates>,
    pub(crate) bdevs: Vec<BdevRates>,
}

/// Of a reactor.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct ReactorRates {
    pub(crate) core: u64,
    /// The part of its time that it had work, 0 to 1.
    pub(crate) busy: f64,
    /// Since it began.
    pub(crate) stalls: u64,
    pub(crate) last_stalled: String,
}

/// Of a session.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct SessionRates {
    pub(crate) id: u64,
    pub(crate) initiator: String,
    pub(crate) peer: String,
    pub(crate) target: String,
    pub(crate) channels: u64,
    pub(crate) commands: f64,
    pub(crate) bytes_delivered: f64,
    pub(crate) bytes_fetched: f64,
    pub(crate) task_management: f64,
    pub(crate) waits: f64,
    pub(crate) failures: f64,
}

/// Of a bdev.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct BdevRates {
    pub(crate) name: String,
    pub(crate) luns: Vec<String>,
    pub(crate) reads: f64,
    pub(crate) writes: f64,
    pub(crate) others: f64,
    pub(crate) bytes_read: f64,
    pub(crate) bytes_written: f64,
    /// Mean of a read, in nanoseconds; none if there was none.
    pub(crate) read_ns: Option<f64>,
    pub(crate) write_ns: Option<f64>,
    /// How many reads and writes were under way, on average (Little's law).
    pub(crate) in_flight: f64,
    pub(crate) failed: f64,
}

/// The rates between two samples of the same target; without a sample before, or when its clock went back because it is
/// another process by now, everything is at rest.
pub(crate) fn rates(before: Option<&Sample>, after: &Sample) -> Rates {
    let before = before.filter(|before| before.at_ns < after.at_ns);
    let passed = before.map_or(0, |before| after.at_ns - before.at_ns);
    let seconds = passed as f64 / 1e9;
    let reactor = |now: &Reactor| {
        let then = before.and_then(|before| before.reactors.iter().find(|then| then.core == now.core));
        reactor_rates(then, now)
    };
    let session = |now: &Session| {
        let then = before.and_then(|before| before.sessions.iter().find(|then| then.id == now.id));
        session_rates(then, now, seconds)
    };
    let bdev = |now: &Bdev| {
        let then = before.and_then(|before| before.bdevs.iter().find(|then| then.name == now.name));
        bdev_rates(then, now, seconds)
    };
    Rates {
        seconds,
        version: after.version.clone(),
        reactors: after.reactors.iter().map(reactor).collect(),
        sessions: after.sessions.iter().map(session).collect(),
        bdevs: after.bdevs.iter().map(bdev).collect(),
    }
}

/// How far a counter went. One that went back was reset, or belongs to something new of the same name: then it counts from zero.
fn progress(then: u64, now: u64) -> u64 {
    now.checked_sub(then).unwrap_or(now)
}

fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

fn reactor_rates(then: Option<&Reactor>, now: &Reactor) -> ReactorRates {
    let (busy, idle) = then.map_or((0, 0), |then| (progress(then.busy, now.busy), progress(then.idle, now.idle)));
    let all = busy.saturating_add(idle);
    ReactorRates {
        core: now.core,
        busy: if all == 0 { 0.0 } else { busy as f64 / all as f64 },
        stalls: now.stalls,
        last_stalled: now.last_stalled.clone(),
    }
}

/// What was not there before has no rates yet: what it counted so far was not counted in this time.
fn session_rates(then: Option<&Session>, now: &Session, seconds: f64) -> SessionRates {
    let rate =
        |count: fn(&Session) -> u64| per_second(then.map_or(0, |then| progress(count(then), count(now))), seconds);
    SessionRates {
        id: now.id,
        initiator: now.initiator.clone(),
        peer: now.peer.clone(),
        target: now.target.clone(),
        channels: now.channels,
        commands: rate(|session| session.commands),
        bytes_delivered: rate(|session| session.bytes_delivered),
        bytes_fetched: rate(|session| session.bytes_fetched),
        task_management: rate(|session| session.task_management),
        waits: rate(|session| session.waits),
        failures: rate(|session| session.failures),
    }
}

fn bdev_rates(then: Option<&Bdev>, now: &Bdev, seconds: f64) -> BdevRates {
    // Counts and times of a bdev are reset together, so the time is judged by its count, too.
    let since = |count: fn(&Bdev) -> u64| then.map_or(0, |then| progress(count(then), count(now)));
    let rate = |count: fn(&Bdev) -> u64| per_second(since(count), seconds);
    let mean = |time: u64, count: u64| (count > 0).then(|| time as f64 / count as f64);
    let (read_ns, write_ns) = (since(|bdev| bdev.read_ns), since(|bdev| bdev.write_ns));
    BdevRates {
        name: now.name.clone(),
        luns: now.luns.clone(),
        reads: rate(|bdev| bdev.reads),
        writes: rate(|bdev| bdev.writes),
        others: rate(|bdev| bdev.others),
        bytes_read: rate(|bdev| bdev.bytes_read),
        bytes_written: rate(|bdev| bdev.bytes_written),
        read_ns: mean(read_ns, since(|bdev| bdev.reads)),
        write_ns: mean(write_ns, since(|bdev| bdev.writes)),
        in_flight: per_second(read_ns.saturating_add(write_ns), seconds) / 1e9,
        failed: rate(|bdev| bdev.failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(at_ns: u64, reads: u64, bytes: u64, read_ns: u64) -> Sample {
        let bdev = Bdev { name: "b".into(), reads, bytes_read: bytes, read_ns, ..Bdev::default() };
        Sample { at_ns, bdevs: vec![bdev], ..Sample::default() }
    }

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn counts_become_rates_by_the_target_s_clock() {
        let (before, after) =
            (sample(SECOND, 100, 4096, 1000), sample(3 * SECOND, 300, 4096 + 819_200, 1000 + 400_000));
        let rates = rates(Some(&before), &after);
        let bdev = &rates.bdevs[0];
        assert_eq!((rates.seconds, bdev.reads, bdev.bytes_read), (2.0, 100.0, 409_600.0));
        assert_eq!((bdev.read_ns, bdev.write_ns), (Some(2000.0), None));
        assert_eq!(bdev.in_flight, 0.0002, "200 reads of 2 µs in 2 s");
    }

    #[test]
    fn the_first_sample_has_no_rates() {
        let rates = rates(None, &sample(SECOND, 100, 4096, 1000));
        assert_eq!((rates.seconds, rates.bdevs[0].reads, rates.bdevs[0].read_ns), (0.0, 0.0, None));
    }

    #[test]
    fn a_reset_counter_begins_at_zero() {
        let rates = rates(Some(&sample(SECOND, 1_000_000, 0, 5_000_000)), &sample(2 * SECOND, 10, 0, 30));
        assert_eq!((rates.bdevs[0].reads, rates.bdevs[0].read_ns), (10.0, Some(3.0)));
    }

    #[test]
    fn what_is_new_has_no_rates_yet() {
        let before = Sample { at_ns: SECOND, ..Sample::default() };
        assert_eq!(rates(Some(&before), &sample(2 * SECOND, 10, 0, 30)).bdevs[0].reads, 0.0);
    }

    #[test]
    fn a_target_that_was_started_anew_has_no_rates() {
        let rates = rates(Some(&sample(100 * SECOND, 10, 0, 0)), &sample(SECOND, 20, 0, 0));
        assert_eq!((rates.seconds, rates.bdevs[0].reads), (0.0, 0.0));
    }

    #[test]
    fn a_reactor_s_part_is_that_of_the_time_between() {
        let reactor = |busy, idle| Reactor { core: 1, busy, idle, ..Reactor::default() };
        let at = |at_ns, reactor| Sample { at_ns, reactors: vec![reactor], ..Sample::default() };
        let between = |before, after| rates(Some(&at(1, before)), &at(2, after)).reactors[0].busy;
        assert_eq!(between(reactor(100, 900), reactor(175, 925)), 0.75);
        assert_eq!(between(reactor(100, 900), reactor(100, 900)), 0.0);
    }

    proptest! {
        #[test]
        fn rates_are_finite_and_never_negative(
            times in any::<(u64, u64)>(), then in any::<(u64, u64, u64)>(), now in any::<(u64, u64, u64)>(),
        ) {
            let before = sample(times.0, then.0, then.1, then.2);
            let rates = rates(Some(&before), &sample(times.1, now.0, now.1, now.2));
            let bdev = &rates.bdevs[0];
            for rate in [bdev.reads, bdev.bytes_read, bdev.in_flight, bdev.read_ns.unwrap_or(0.0), rates.seconds] {
                prop_assert!(rate.is_finite() && rate >= 0.0);
            }
        }
    }
}
