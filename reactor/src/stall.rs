//! How often a stall is worth a log line. A poller that stalls once may well stall in every round.

use std::time::Duration;

use crate::clock::Instant;

/// At most one line in this time per reactor.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Lets one stall a second through and counts the others.
#[derive(Debug, Default)]
pub(crate) struct StallLog {
    quiet_until: Instant,
    unreported: u64,
}

impl StallLog {
    /// Whether to log the stall that ended at `now`, and if so, how many stalls went unlogged before it.
    pub(crate) fn should_report(&mut self, now: Instant) -> Option<u64> {
        if now < self.quiet_until {
            self.unreported += 1;
            return None;
        }
        self.quiet_until = now.plus(REPORT_INTERVAL);
        Some(std::mem::take(&mut self.unreported))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_stall_a_second_is_reported_with_the_number_of_the_others() {
        let mut log = StallLog::default();
        let at = |milliseconds: u64| Instant(milliseconds * 1_000_000);
        assert_eq!(log.should_report(at(5)), Some(0));
        assert_eq!(log.should_report(at(6)), None);
        assert_eq!(log.should_report(at(1_004)), None);
        assert_eq!(log.should_report(at(1_005)), Some(2));
        assert_eq!(log.should_report(at(9_000)), Some(0));
    }
}
