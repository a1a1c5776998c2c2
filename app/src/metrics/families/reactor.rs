//! Where the reactors' time goes, and the control thread's, which is a reactor that sleeps.

use metrics::{Family, Scrape};
use reactor::{ReactorHandle, ReactorStats};

const LABELS: &[&str] = &["reactor"];
const OF_POLLER: &[&str] = &["reactor", "poller"];

static INFO: Family =
    Family::info("srpt_reactor_info", &["reactor", "core"], "The core that a reactor runs on; empty: any.");
static BUSY: Family = Family::counter("srpt_reactor_busy_seconds_total", LABELS, "Time in polls that found work.");
static IDLE: Family =
    Family::counter("srpt_reactor_idle_seconds_total", LABELS, "Time in polls that found nothing, and asleep.");
static ROUNDS: Family = Family::counter("srpt_reactor_rounds_total", LABELS, "Rounds run.");
static SLEEPS: Family = Family::counter("srpt_reactor_sleeps_total", LABELS, "Times it went to sleep.");
static STALLS: Family =
    Family::counter("srpt_reactor_stalls_total", LABELS, "Polls that took longer than --stall-us allows.");
static LONGEST: Family =
    Family::gauge("srpt_reactor_longest_poll_seconds", LABELS, "The longest poll since the start.");
static POLLER_RUNS: Family = Family::counter("srpt_poller_runs_total", OF_POLLER, "Polls.");
static POLLER_BUSY_RUNS: Family = Family::counter("srpt_poller_busy_runs_total", OF_POLLER, "Polls that found work.");
static POLLER_BUSY: Family =
    Family::counter("srpt_poller_busy_seconds_total", OF_POLLER, "Time in polls that found work.");
static POLLER_STALLS: Family =
    Family::counter("srpt_poller_stalls_total", OF_POLLER, "Polls that took longer than --stall-us allows.");

#[cfg(test)]
pub(super) const FAMILIES: &[&Family] = &[
    &INFO,
    &BUSY,
    &IDLE,
    &ROUNDS,
    &SLEEPS,
    &STALLS,
    &LONGEST,
    &POLLER_RUNS,
    &POLLER_BUSY_RUNS,
    &POLLER_BUSY,
    &POLLER_STALLS,
];

pub(in crate::metrics) fn add(scrape: &mut Scrape, reactors: &[ReactorHandle], control: &ReactorHandle) {
    reactors.iter().chain([control]).for_each(|reactor| add_one(scrape, &reactor.stats()));
}

fn add_one(scrape: &mut Scrape, stats: &ReactorStats) {
    let name = stats.name.as_str();
    let core = stats.core.map(|core| core.to_string()).unwrap_or_default();
    scrape.info(&INFO, &[name, &core]);
    scrape.seconds_counter(&BUSY, &[name], stats.busy_ns);
    scrape.seconds_counter(&IDLE, &[name], stats.idle_ns);
    scrape.counter(&ROUNDS, &[name], stats.rounds);
    scrape.counter(&SLEEPS, &[name], stats.sleeps);
    scrape.counter(&STALLS, &[name], stats.stalls);
    scrape.seconds_gauge(&LONGEST, &[name], stats.longest_poll_ns);
    for (at, poller) in stats.pollers.iter().enumerate() {
        // Names need not be unique, but series are.
        if stats.pollers[..at].iter().any(|other| other.name == poller.name) {
            continue;
        }
        let labels = &[name, poller.name.as_str()];
        let same = || stats.pollers.iter().filter(|other| other.name == poller.name);
        scrape.counter(&POLLER_RUNS, labels, same().map(|it| it.runs).sum());
        scrape.counter(&POLLER_BUSY_RUNS, labels, same().map(|it| it.busy_runs).sum());
        scrape.seconds_counter(&POLLER_BUSY, labels, same().map(|it| it.busy_ns).sum());
        scrape.counter(&POLLER_STALLS, labels, same().map(|it| it.stalls).sum());
    }
}
