//! Latency histograms: log-linear buckets in nanoseconds, a fixed array, so that recording never allocates.
//!
//! Each power of two is cut into [`SUB_BUCKETS`] equal parts; a value is therefore known to within a quarter of its
//! size, over the whole range of a u64. A bucket holds the values *above* the bucket before it and *up to and including*
//! its own upper bound: the meaning of Prometheus' `le`, so that export adds buckets up and rounds nothing.

use std::array;

use crate::counter::Counter;

/// Parts that each power of two is cut into; a power of two itself.
const SUB_BUCKETS: u64 = 4;
const SUB_BUCKET_BITS: u32 = SUB_BUCKETS.ilog2();

/// Number of buckets of every histogram: enough for any u64.
pub const BUCKETS: usize = ((64 - SUB_BUCKET_BITS as usize) + 1) * SUB_BUCKETS as usize;

/// A histogram of latencies in nanoseconds. One writer, any readers; about 2 KiB.
#[derive(Debug)]
pub struct Histogram {
    buckets: [Counter; BUCKETS],
    sum: Counter,
}

impl Histogram {
    /// An empty histogram.
    pub const fn new() -> Histogram {
        Histogram { buckets: [const { Counter::new() }; BUCKETS], sum: Counter::new() }
    }

    /// Counts one latency of `nanoseconds`. Owner only; no allocation, two loads and two stores.
    #[inline]
    pub fn record(&self, nanoseconds: u64) {
        self.buckets[bucket_of(nanoseconds)].increment();
        self.sum.add(nanoseconds);
    }

    /// A copy to compute with, from any thread.
    pub fn snapshot(&self) -> HistogramSnapshot {
        // The count is derived, never stored: it cannot disagree with the buckets, whatever the writer does meanwhile.
        let buckets: [u64; BUCKETS] = array::from_fn(|index| self.buckets[index].get());
        HistogramSnapshot { count: buckets.iter().sum(), sum: self.sum.get(), buckets }
    }
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram::new()
    }
}

/// A histogram as it was at one moment, or the sum of several.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HistogramSnapshot {
    /// Number of latencies recorded: always the sum of `buckets`.
    pub count: u64,
    /// Sum of the latencies in nanoseconds; may be ahead of or behind `count` by the record being written meanwhile.
    pub sum: u64,
    /// Number of latencies per bucket; bucket `i` ends at [`HistogramSnapshot::upper_bound`]`(i)`.
    pub buckets: [u64; BUCKETS],
}

impl HistogramSnapshot {
    /// The sum of no histograms.
    pub const fn empty() -> HistogramSnapshot {
        HistogramSnapshot { count: 0, sum: 0, buckets: [0; BUCKETS] }
    }

    /// Adds another snapshot to this one: the histogram of both cores together.
    pub fn merge(&mut self, other: &HistogramSnapshot) {
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
    }

    /// The latency in nanoseconds that `percent` percent (0 to 100) of the records do not exceed, rounded up to the
    /// bound of its bucket: at most a quarter above the truth. `None` if nothing was recorded.
    pub fn percentile(&self, percent: f64) -> Option<u64> {
        let rank = ((percent / 100.0 * self.count as f64).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Some(HistogramSnapshot::upper_bound(index));
            }
        }
        None
    }

    /// How many records did not exceed `bound` nanoseconds; exact where `bound` is the upper bound of a bucket, which
    /// every power of two is.
    pub fn count_up_to(&self, bound: u64) -> u64 {
        self.buckets[..=bucket_of(bound)].iter().sum()
    }

    /// The largest latency in nanoseconds that bucket `index` counts.
    pub const fn upper_bound(index: usize) -> u64 {
        let (index, sub_buckets) = (index as u64, SUB_BUCKETS);
        if index < sub_buckets {
            return index + 1;
        }
        let shift = (index / sub_buckets - 1) as u32;
        let bound = ((sub_buckets + index % sub_buckets + 1) as u128) << shift;
        if bound > u64::MAX as u128 { u64::MAX } else { bound as u64 }
    }
}

/// The bucket that counts `nanoseconds`: the position of the highest bit of `nanoseconds - 1`, then the bits below it.
/// The 1 is taken off to make upper bounds inclusive.
#[inline]
const fn bucket_of(nanoseconds: u64) -> usize {
    let value = nanoseconds.saturating_sub(1);
    if value < SUB_BUCKETS {
        return value as usize;
    }
    let shift = value.ilog2() - SUB_BUCKET_BITS;
    ((shift as u64 + 1) * SUB_BUCKETS + ((value >> shift) - SUB_BUCKETS)) as usize
}

const _: () = assert!(bucket_of(u64::MAX) == BUCKETS - 1);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_value_lies_between_the_bounds_of_its_bucket(exponent in 0u32..64, low in any::<u64>()) {
            let value = (1u64 << exponent) | (low & ((1u64 << exponent) - 1));
            let bucket = bucket_of(value);
            prop_assert!(value <= HistogramSnapshot::upper_bound(bucket));
            prop_assert!(bucket == 0 || value > HistogramSnapshot::upper_bound(bucket - 1));
        }

        #[test]
        fn percentile_is_at_most_a_quarter_above_the_true_one(
            mut values in prop::collection::vec(1u64..10_000_000_000, 1..200),
            percent in 0.1f64..100.0,
        ) {
            let histogram = Histogram::new();
            values.iter().for_each(|&value| histogram.record(value));
            values.sort_unstable();
            let rank = (percent / 100.0 * values.len() as f64).ceil() as usize;
            let truth = values[rank.clamp(1, values.len()) - 1];
            let answer = histogram.snapshot().percentile(percent).unwrap();
            prop_assert!(answer >= truth && answer <= truth + truth / 4 + 1, "{answer} for {truth}");
        }

        #[test]
        fn merging_equals_recording_everything_in_one(
            left in prop::collection::vec(any::<u32>(), 0..50),
            right in prop::collection::vec(any::<u32>(), 0..50),
        ) {
            let (one, two, both) = (Histogram::new(), Histogram::new(), Histogram::new());
            for &value in &left { one.record(value.into()); both.record(value.into()); }
            for &value in &right { two.record(value.into()); both.record(value.into()); }
            let mut merged = HistogramSnapshot::empty();
            merged.merge(&one.snapshot());
            merged.merge(&two.snapshot());
            prop_assert_eq!(merged, both.snapshot());
        }
    }

    #[test]
    fn bounds_rise_without_gaps_to_the_largest_u64() {
        for index in 1..BUCKETS {
            let (before, bound) = (HistogramSnapshot::upper_bound(index - 1), HistogramSnapshot::upper_bound(index));
            assert!(before < bound);
            assert_eq!(bucket_of(before + 1), index);
            assert_eq!(bucket_of(bound), index);
        }
        assert_eq!(HistogramSnapshot::upper_bound(BUCKETS - 1), u64::MAX);
        assert_eq!(bucket_of(0), 0);
    }

    #[test]
    fn powers_of_two_are_exact_bounds() {
        for exponent in 0..64 {
            let power = 1u64 << exponent;
            assert_eq!(HistogramSnapshot::upper_bound(bucket_of(power)), power);
        }
    }

    #[test]
    fn nothing_recorded_has_no_percentile() {
        assert_eq!(Histogram::new().snapshot().percentile(99.0), None);
    }

    #[test]
    fn percentiles_name_the_bucket_of_the_rank() {
        let histogram = Histogram::new();
        (0..99).for_each(|_| histogram.record(1024));
        histogram.record(1 << 20);
        let snapshot = histogram.snapshot();
        assert_eq!(snapshot.percentile(0.0), Some(1024));
        assert_eq!(snapshot.percentile(99.0), Some(1024));
        assert_eq!(snapshot.percentile(99.1), Some(1 << 20));
        assert_eq!(snapshot.percentile(100.0), Some(1 << 20));
        assert_eq!(snapshot.count_up_to(1024), 99);
        assert_eq!(snapshot.count_up_to(1 << 20), 100);
        assert_eq!((snapshot.count, snapshot.sum), (100, 99 * 1024 + (1 << 20)));
    }
}
