//! What was measured: counts and latencies of one channel, or of several added up.

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::pattern::Miscompare;
use crate::workload::Direction;

/// Longest latency that is told from longer ones, in nanoseconds: far beyond what any initiator waits.
const LATENCY_MAX_NS: u64 = 600_000_000_000;
/// Digits that a latency is known to.
const DIGITS: u8 = 3;
/// Binary digits that a histogram tells latencies apart by: to 3 percent.
const HISTOGRAM_BITS: u32 = 6;

/// All that one channel measured.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Of reads, within the time that counts.
    pub reads: Latencies,
    /// Of writes, within the time that counts.
    pub writes: Latencies,
    /// Reads that were compared with what was written, at any time.
    pub compared: u64,
    /// Of these, reads that brought something else.
    pub miscompared: u64,
    /// The first of them.
    pub first_miscompare: Option<Miscompare>,
    /// Commands that were sent again because the target asked for it (unit attention, BUSY, TASK SET FULL).
    pub retried: u64,
    /// Commands that failed or were never answered, at any time.
    pub failed: u64,
    /// Why the first of them did.
    pub first_failure: Option<String>,
}

/// Latencies of one kind of I/O, in nanoseconds.
#[derive(Clone, Debug)]
pub struct Latencies {
    histogram: Histogram<u64>,
}

impl Tally {
    /// Nothing yet. All memory is taken now, none when something is recorded.
    pub fn new() -> Tally {
        Tally {
            reads: Latencies::new(),
            writes: Latencies::new(),
            compared: 0,
            miscompared: 0,
            first_miscompare: None,
            retried: 0,
            failed: 0,
            first_failure: None,
        }
    }

    /// Counts a completed I/O.
    #[inline]
    pub fn record(&mut self, direction: Direction, latency_ns: u64) {
        match direction {
            Direction::Read => self.reads.record(latency_ns),
            Direction::Write => self.writes.record(latency_ns),
        }
    }

    /// Counts a comparison.
    pub fn compare(&mut self, outcome: Result<(), Miscompare>) {
        self.compared += 1;
        if let Err(miscompare) = outcome {
            self.miscompared += 1;
            self.first_miscompare.get_or_insert(miscompare);
        }
    }

    /// Counts commands that came to nothing.
    pub fn fail(&mut self, count: u64, why: impl FnOnce() -> String) {
        if count > 0 {
            self.failed += count;
            self.first_failure.get_or_insert_with(why);
        }
    }

    /// Adds another channel's.
    pub fn add(&mut self, other: &Tally) {
        self.reads.add(&other.reads);
        self.writes.add(&other.writes);
        self.compared += other.compared;
        self.miscompared += other.miscompared;
        self.first_miscompare = self.first_miscompare.or(other.first_miscompare);
        self.retried += other.retried;
        self.fail(other.failed, || other.first_failure.clone().unwrap_or_default());
    }

    /// Reads and writes together.
    pub fn both(&self) -> Latencies {
        let mut both = self.reads.clone();
        both.add(&self.writes);
        both
    }
}

impl Default for Tally {
    fn default() -> Tally {
        Tally::new()
    }
}

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies::new()
    }
}

impl Latencies {
    /// Nothing yet, with all memory that it will ever need.
    pub fn new() -> Latencies {
        let histogram = Histogram::new_with_bounds(1, LATENCY_MAX_NS, DIGITS);
        Latencies { histogram: histogram.expect("the bounds are in order") }
    }

    /// Counts an I/O.
    #[inline]
    pub fn record(&mut self, latency_ns: u64) {
        self.histogram.saturating_record(latency_ns);
    }

    /// Adds another's.
    pub fn add(&mut self, other: &Latencies) {
        self.histogram.add(&other.histogram).expect("all have the same bounds");
    }

    /// I/Os.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// Mean, in microseconds.
    pub fn mean_us(&self) -> f64 {
        self.histogram.mean() / 1e3
    }

    /// The latency that this share of all I/Os (0.99: 99 %) did not exceed, in microseconds.
    pub fn quantile_us(&self, share: f64) -> f64 {
        self.histogram.value_at_quantile(share) as f64 / 1e3
    }

    /// Mean, percentiles and longest, in microseconds, by the names that JSON results have.
    pub fn json(&self) -> Value {
        json!({
            "mean": self.mean_us(),
            "p50": self.quantile_us(0.5),
            "p90": self.quantile_us(0.9),
            "p99": self.quantile_us(0.99),
            "p99_9": self.quantile_us(0.999),
            "p99_99": self.quantile_us(0.9999),
            "max": self.max_us(),
        })
    }

    /// Pairs of a latency in microseconds and the I/Os that took as long, but longer than that of the pair before. Latencies that differ by less
    /// than 3 percent are one, so that a file stays small.
    pub fn histogram(&self) -> Vec<(f64, u64)> {
        let mut pairs: Vec<(f64, u64)> = Vec::new();
        let mut last_bucket = None;
        for recorded in self.histogram.iter_recorded() {
            let (ns, ios) = (recorded.value_iterated_to(), recorded.count_at_value());
            let dropped_bits = (u64::BITS - ns.leading_zeros()).saturating_sub(HISTOGRAM_BITS);
            let bucket = Some((dropped_bits, ns >> dropped_bits));
            match pairs.last_mut().filter(|_| bucket == last_bucket) {
                Some(pair) => *pair = (ns as f64 / 1e3, pair.1 + ios),
                None => pairs.push((ns as f64 / 1e3, ios)),
            }
            last_bucket = bucket;
        }
        pairs
    }

    /// The longest, in microseconds.
    pub fn max_us(&self) -> f64 {
        self.histogram.max() as f64 / 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_add_up() {
        let (mut one, mut two) = (Tally::new(), Tally::new());
        one.record(Direction::Read, 1_000);
        two.record(Direction::Read, 3_000);
        two.record(Direction::Write, 8_000);
        two.fail(2, || "no answer".into());
        two.compare(Ok(()));
        one.compare(Err(Miscompare { lba: 1, offset: 0, expected: 1, found: 2 }));
        one.add(&two);
        assert_eq!((one.reads.count(), one.writes.count(), one.both().count()), (2, 1, 3));
        assert_eq!((one.failed, one.first_failure.as_deref()), (2, Some("no answer")));
        assert_eq!(
            (one.compared, one.miscompared, one.first_miscompare.map(|miscompare| miscompare.lba)),
            (2, 1, Some(1))
        );
        assert!((one.both().mean_us() - 4.0).abs() < 0.01);
    }

    #[test]
    fn latencies_are_known_to_three_digits_and_never_refused() {
        let mut tally = Tally::new();
        (1..=1000).for_each(|us| tally.record(Direction::Write, us * 1_000));
        assert!((tally.writes.quantile_us(0.5) - 500.0).abs() < 1.0);
        assert!((tally.writes.quantile_us(0.99) - 990.0).abs() < 1.0);
        tally.record(Direction::Write, 0);
        tally.record(Direction::Write, u64::MAX);
        assert_eq!(tally.writes.count(), 1002);
        assert!(tally.writes.max_us() > 5e8);
    }

    #[test]
    fn a_histogram_is_short_and_loses_no_io() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.histogram(), []);
        (1..=100_000).for_each(|ns| latencies.record(ns * 10));
        let pairs = latencies.histogram();
        assert!(pairs.len() < 600, "{}", pairs.len());
        assert_eq!(pairs.iter().map(|&(_, ios)| ios).sum::<u64>(), 100_000);
        assert!(pairs.windows(2).all(|two| two[0].0 < two[1].0), "{pairs:?}");
        assert!(pairs.iter().skip(32).zip(pairs.iter().skip(33)).all(|(one, next)| next.0 / one.0 < 1.05), "{pairs:?}");
        let last = pairs.last().expect("a pair").0;
        assert!((last / latencies.max_us() - 1.0).abs() < 1e-3, "{last} is the longest");
    }

    #[test]
    fn only_the_first_failure_is_told() {
        let mut tally = Tally::new();
        tally.fail(0, || unreachable!());
        tally.fail(1, || "first".into());
        tally.fail(1, || "second".into());
        assert_eq!((tally.failed, tally.first_failure.as_deref()), (2, Some("first")));
    }
}
