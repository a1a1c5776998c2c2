//! The policy by which new channels come to reactors, under SPDK's name for what decides such things, and how busy the reactors are, which
//! one of the policies goes by. Channels that are there stay where they are under every policy.

use std::time::Duration;

use reactor::{Instant, ReactorHandle};

/// The time between two looks until somebody sets another, as SPDK has it.
const PERIOD_DEFAULT: Duration = Duration::from_secs(1);

/// How new channels come to reactors. Under both the channels of one session are spread over all reactors first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Policy {
    /// The reactor with the fewest channels gets the next.
    #[default]
    Static,
    /// As `Static`, but of the reactors that are not clearly busier than another.
    Dynamic,
}

impl Policy {
    const ALL: [Policy; 2] = [Policy::Static, Policy::Dynamic];

    /// As SPDK names the scheduler.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Policy::Static => "static",
            Policy::Dynamic => "dynamic",
        }
    }

    /// The one of this name.
    pub(crate) fn of_name(name: &str) -> Option<Policy> {
        Policy::ALL.into_iter().find(|policy| policy.name() == name)
    }
}

/// The policy, and the last look at the reactors.
#[derive(Debug)]
pub(crate) struct Scheduler {
    policy: Policy,
    period: Duration,
    looked: Instant,
    /// What was seen then; empty before the first look.
    seen: Vec<Spent>,
}

/// How a reactor has spent its time since its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Spent {
    pub(crate) busy_ns: u64,
    pub(crate) idle_ns: u64,
}

impl Default for Scheduler {
    fn default() -> Scheduler {
        Scheduler { policy: Policy::default(), period: PERIOD_DEFAULT, looked: Instant::default(), seen: Vec::new() }
    }
}

impl Scheduler {
    pub(crate) fn policy(&self) -> Policy {
        self.policy
    }

    /// Time between two looks at the reactors.
    pub(crate) fn period(&self) -> Duration {
        self.period
    }

    pub(crate) fn set(&mut self, policy: Policy, period: Duration) {
        (self.policy, self.period) = (policy, period);
    }

    /// How busy each reactor was since the last look, in percent, if it is time to say so. Nothing of anybody where it counts no more.
    pub(crate) fn look(&mut self, now: Instant, spent: impl FnOnce() -> Vec<Spent>) -> Option<Vec<u8>> {
        if self.policy == Policy::Static {
            let before = std::mem::take(&mut self.seen);
            return (!before.is_empty()).then(Vec::new);
        }
        if !self.seen.is_empty() && now.since(self.looked) < self.period {
            return None;
        }
        self.looked = now;
        let before = std::mem::replace(&mut self.seen, spent());
        let percents = before.iter().zip(&self.seen).map(|(before, now)| busy_percent(*before, *now));
        // The first look tells nothing yet.
        (!before.is_empty()).then(|| percents.collect())
    }
}

/// What reactors say of themselves.
pub(crate) fn spent(reactors: &[ReactorHandle]) -> Vec<Spent> {
    let of = |reactor: &ReactorHandle| {
        let stats = reactor.stats();
        Spent { busy_ns: stats.busy_ns, idle_ns: stats.idle_ns }
    };
    reactors.iter().map(of).collect()
}

/// A reactor says how it spent its time after each poll, and wakes more often than anybody looks. One that says nothing is in a poll
/// that does not end: there is none busier.
fn busy_percent(before: Spent, now: Spent) -> u8 {
    let busy = u128::from(now.busy_ns.saturating_sub(before.busy_ns));
    let idle = u128::from(now.idle_ns.saturating_sub(before.idle_ns));
    let percent = (busy * 100).checked_div(busy + idle).unwrap_or(100);
    u8::try_from(percent).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(busy_ns: u64, idle_ns: u64) -> Spent {
        Spent { busy_ns, idle_ns }
    }

    fn at(milliseconds: u64) -> Instant {
        Instant::default().plus(Duration::from_millis(milliseconds))
    }

    #[test]
    fn the_share_is_that_of_the_last_period() {
        let mut scheduler = Scheduler::default();
        scheduler.set(Policy::Dynamic, Duration::from_millis(200));
        assert_eq!(scheduler.look(at(1000), || vec![spent(900, 100), spent(0, 0)]), None, "since when?");
        assert_eq!(scheduler.look(at(1199), || panic!("it is too early")), None);
        let first = scheduler.look(at(1200), || vec![spent(900, 300), spent(50, 150)]);
        assert_eq!(first, Some(vec![0, 25]));
        let second = scheduler.look(at(1400), || vec![spent(1100, 300), spent(50, 150)]);
        assert_eq!(second, Some(vec![100, 100]), "one that says nothing of its time is stuck in a poll");
    }

    #[test]
    fn under_the_static_policy_nobody_looks_and_nothing_that_was_seen_counts_any_more() {
        let mut scheduler = Scheduler::default();
        assert_eq!(scheduler.look(at(5000), || panic!("nobody wants to know")), None);
        scheduler.set(Policy::Dynamic, PERIOD_DEFAULT);
        assert_eq!(scheduler.look(at(5000), || vec![spent(0, 0)]), None);
        scheduler.set(Policy::Static, PERIOD_DEFAULT);
        assert_eq!(scheduler.look(at(5001), || panic!("nobody wants to know")), Some(vec![]));
        assert_eq!(scheduler.look(at(9000), || panic!("nobody wants to know")), None, "it is said once");
        scheduler.set(Policy::Dynamic, PERIOD_DEFAULT);
        assert_eq!(scheduler.look(at(9000), || vec![spent(7, 7)]), None, "it begins anew");
    }

    #[test]
    fn another_period_forgets_nothing() {
        let mut scheduler = Scheduler::default();
        scheduler.set(Policy::Dynamic, Duration::from_secs(60));
        assert_eq!(scheduler.look(at(1000), || vec![spent(0, 0)]), None);
        scheduler.set(Policy::Dynamic, Duration::from_millis(100));
        assert_eq!(scheduler.look(at(1100), || vec![spent(3, 1)]), Some(vec![75]));
    }

    #[test]
    fn names_are_those_of_spdk() {
        for policy in Policy::ALL {
            assert_eq!(Policy::of_name(policy.name()), Some(policy));
        }
        assert_eq!(Policy::of_name("gscheduler"), None);
    }
}
