//! Latency histograms: buckets that are powers of two of nanoseconds, a fixed array, so that recording never allocates.
//!
//! A bucket holds the values *above* the bucket before it and *up to and including* its own upper bound: the meaning of
//! Prometheus' `le`, so that export adds buckets up and rounds nothing. They are as coarse as what is exported, because each is a time
//! series at the scraper, and a reading copies all of them.

use std::array;

use crate::counter::Counter;

/// Upper bound of the first bucket, as a power of two of nanoseconds: 1.024 µs.
const FIRST_POWER: u32 = 10;

/// Upper bound of the last bucket but one: 17.2 s. The last one has none.
const LAST_POWER: u32 = 34;

/// Number of buckets of every histogram.
pub const BUCKETS: usize = (LAST_POWER - FIRST_POWER + 2) as usize;

/// A histogram of latencies in nanoseconds. One writer, any readers; 216 bytes.
#[derive(Debug, Default)]
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
        self.record_latency(Latency::new(nanoseconds));
    }

    /// As [`Histogram::record`], for who counts one latency in several histograms.
    #[inline]
    pub fn record_latency(&self, latency: Latency) {
        self.buckets[latency.bucket].increment();
        self.sum.add(latency.nanoseconds);
    }

    /// A copy to compute with, from any thread.
    pub fn snapshot(&self) -> HistogramSnapshot {
        // The count is derived, never stored: it cannot disagree with the buckets, whatever the writer does meanwhile.
        let buckets: [u64; BUCKETS] = array::from_fn(|index| self.buckets[index].get());
        HistogramSnapshot { buckets, sum: self.sum.get() }
    }
}

/// A latency, with the bucket that it falls into.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    nanoseconds: u64,
    bucket: usize,
}

impl Latency {
    /// One of so many nanoseconds.
    #[inline]
    pub const fn new(nanoseconds: u64) -> Latency {
        Latency { nanoseconds, bucket: bucket_of(nanoseconds) }
    }
}

/// A histogram as it was at one moment, or the sum of several.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct HistogramSnapshot {
    /// Number of latencies per bucket; bucket `i` ends at [`HistogramSnapshot::upper_bound`]`(i)`.
    pub buckets: [u64; BUCKETS],
    /// Sum of the latencies in nanoseconds; may be ahead of or behind `buckets` by the record being written meanwhile.
    pub sum: u64,
}

impl HistogramSnapshot {
    /// Number of latencies recorded.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Adds another snapshot to this one: the histogram of both cores together.
    pub fn merge(&mut self, other: &HistogramSnapshot) {
        self.zip(other, u64::wrapping_add);
    }

    /// What was recorded since the histogram stood at `baseline`.
    #[must_use]
    pub fn since(mut self, baseline: &HistogramSnapshot) -> HistogramSnapshot {
        self.zip(baseline, u64::wrapping_sub);
        self
    }

    /// The largest latency in nanoseconds that bucket `index` counts; `None`: there is no limit.
    pub const fn upper_bound(index: usize) -> Option<u64> {
        if index + 1 < BUCKETS { Some(1 << (FIRST_POWER as usize + index)) } else { None }
    }

    fn zip(&mut self, other: &HistogramSnapshot, combine: fn(u64, u64) -> u64) {
        self.sum = combine(self.sum, other.sum);
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine = combine(*mine, *theirs);
        }
    }
}

/// The bucket that counts `nanoseconds`: the number of bits of `nanoseconds - 1`. The 1 is taken off to make upper bounds inclusive.
#[inline]
const fn bucket_of(nanoseconds: u64) -> usize {
    let bits = u64::BITS - nanoseconds.saturating_sub(1).leading_zeros();
    let above_first = bits.saturating_sub(FIRST_POWER) as usize;
    if above_first < BUCKETS { above_first } else { BUCKETS - 1 }
}

const _: () = assert!(bucket_of(u64::MAX) == BUCKETS - 1 && bucket_of(0) == 0);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_value_lies_between_the_bounds_of_its_bucket(exponent in 0u32..64, low in any::<u64>()) {
            let value = (1u64 << exponent) | (low & ((1u64 << exponent) - 1));
            let bucket = bucket_of(value);
            prop_assert!(HistogramSnapshot::upper_bound(bucket).is_none_or(|bound| value <= bound));
            prop_assert!(bucket == 0 || HistogramSnapshot::upper_bound(bucket - 1).is_some_and(|bound| value > bound));
        }

        #[test]
        fn merging_equals_recording_everything_in_one_and_since_takes_it_away(
            left in prop::collection::vec(any::<u32>(), 0..50),
            right in prop::collection::vec(any::<u32>(), 0..50),
        ) {
            let (one, two, both) = (Histogram::new(), Histogram::new(), Histogram::new());
            for &value in &left { one.record(value.into()); both.record(value.into()); }
            for &value in &right { two.record(value.into()); both.record(value.into()); }
            let mut merged = one.snapshot();
            merged.merge(&two.snapshot());
            prop_assert_eq!(merged, both.snapshot());
            prop_assert_eq!(merged.since(&two.snapshot()), one.snapshot());
            prop_assert_eq!(merged.count(), (left.len() + right.len()) as u64);
        }
    }

    #[test]
    fn bounds_are_the_powers_of_two_and_inclusive() {
        for (index, power) in (0..BUCKETS - 1).zip(FIRST_POWER..) {
            let bound = 1u64 << power;
            assert_eq!(HistogramSnapshot::upper_bound(index), Some(bound));
            assert_eq!((bucket_of(bound), bucket_of(bound + 1)), (index, index + 1));
        }
        assert_eq!(HistogramSnapshot::upper_bound(BUCKETS - 1), None);
    }
}
