//! Latency histograms in the layout of SPDK's `spdk_histogram_data`, so that SPDK's tools read them.
//!
//! # Layout
//! Values fall into *ranges*, each of 2^granularity buckets. Ranges 0 and 1 have one value in each bucket; in each later range a
//! bucket is twice as wide as in the one before. So a bucket is never wider than 1/2^granularity of its values. Only the
//! ranges from that of `min_ns` to that of `max_ns` are kept; what lies outside counts in the first or the last bucket.
//! At the granularity 7, from 1 µs to 2 minutes, that is 3,584 buckets: 28 KiB for each channel.

use metrics::Counter;

use crate::io::Op;

/// What a histogram counts, with the defaults and the names of SPDK's `bdev_enable_histogram`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HistogramOptions {
    /// Logarithm to base 2 of the number of buckets in a range.
    pub granularity: u8,
    /// Latencies below count in the first bucket; nanoseconds.
    pub min_ns: u64,
    /// Latencies from here on count in the last bucket; nanoseconds.
    pub max_ns: u64,
    /// The only kind of operation that counts; `None`: all.
    pub op: Option<OpKind>,
}

impl Default for HistogramOptions {
    /// All operations, 128 buckets in a range, from 1 µs to 2 minutes.
    fn default() -> HistogramOptions {
        HistogramOptions { granularity: 7, min_ns: 1_000, max_ns: 120_000_000_000, op: None }
    }
}

/// A kind of operation, whatever its parameters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpKind {
    /// [`Op::Read`]
    Read,
    /// [`Op::Write`]
    Write,
    /// [`Op::Flush`]
    Flush,
    /// [`Op::Unmap`]
    Unmap,
    /// [`Op::WriteZeroes`]
    WriteZeroes,
}

impl OpKind {
    /// The kind that SPDK calls so (`read`, `write`, `flush`, `unmap`, `write_zeroes`); `None`: no device of ours has it.
    pub fn from_name(name: &str) -> Option<OpKind> {
        let all = [OpKind::Read, OpKind::Write, OpKind::Flush, OpKind::Unmap, OpKind::WriteZeroes];
        all.into_iter().find(|kind| kind.name() == name)
    }

    /// SPDK's name of it.
    pub fn name(self) -> &'static str {
        match self {
            OpKind::Read => "read",
            OpKind::Write => "write",
            OpKind::Flush => "flush",
            OpKind::Unmap => "unmap",
            OpKind::WriteZeroes => "write_zeroes",
        }
    }

    fn of(op: Op) -> Option<OpKind> {
        Some(match op {
            Op::Read => OpKind::Read,
            Op::Write { .. } => OpKind::Write,
            Op::Flush => OpKind::Flush,
            Op::Unmap => OpKind::Unmap,
            Op::WriteZeroes { .. } => OpKind::WriteZeroes,
            Op::LbaStatus | Op::Scsi { .. } => return None,
        })
    }
}

/// Why there can be no such histogram.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HistogramError {
    /// The granularity would make it useless or huge.
    #[error("granularity: {0} is out of range: 1 to {GRANULARITY_MAX} are allowed, 7 is usual")]
    Granularity(
        /// The granularity asked for.
        u8,
    ),
    /// There is nothing between the bounds.
    #[error("max_nsec: {max_ns} is not above min_nsec, {min_ns}: give a larger one")]
    Bounds {
        /// The lower bound.
        min_ns: u64,
        /// The upper bound.
        max_ns: u64,
    },
}

/// Largest granularity: 0.4 MiB for each channel.
const GRANULARITY_MAX: u8 = 10;

impl HistogramOptions {
    /// Checks what does not go together.
    ///
    /// # Errors
    /// Names the parameter and the fix.
    pub fn check(&self) -> Result<(), HistogramError> {
        let HistogramOptions { granularity, min_ns, max_ns, .. } = *self;
        match (1..=GRANULARITY_MAX).contains(&granularity) {
            false => Err(HistogramError::Granularity(granularity)),
            true if min_ns >= max_ns => Err(HistogramError::Bounds { min_ns, max_ns }),
            true => Ok(()),
        }
    }
}

/// Which bucket a value falls into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Layout {
    granularity: u32,
    min_range: u32,
    max_range: u32,
}

impl Layout {
    fn new(options: &HistogramOptions) -> Layout {
        let granularity = u32::from(options.granularity);
        let [min_range, max_range] = [options.min_ns, options.max_ns - 1].map(|value| range(value, granularity));
        Layout { granularity, min_range, max_range }
    }

    fn len(&self) -> usize {
        ((self.max_range - self.min_range + 1) as usize) << self.granularity
    }

    #[inline]
    fn index(&self, value: u64) -> usize {
        let range = range(value, self.granularity);
        if range < self.min_range {
            return 0;
        }
        if range > self.max_range {
            return self.len() - 1;
        }
        let bucket = (value >> range.saturating_sub(1)) as usize & ((1 << self.granularity) - 1);
        ((range - self.min_range) as usize) << self.granularity | bucket
    }

    /// The first value that lies above the bucket.
    fn end(&self, index: usize) -> u64 {
        let range = self.min_range + (index >> self.granularity) as u32;
        let bucket = (index & ((1 << self.granularity) - 1)) as u128 + 1;
        let end = match range {
            0 => bucket,
            _ => (1 << (range + self.granularity - 1)) + (bucket << (range - 1)),
        };
        u64::try_from(end).unwrap_or(u64::MAX)
    }
}

/// 0 for values below 2^granularity, then 1 more for each further bit.
#[inline]
fn range(value: u64, granularity: u32) -> u32 {
    (u64::BITS - value.leading_zeros()).saturating_sub(granularity)
}

/// A channel's histogram: written by its core, read by anybody.
#[derive(Debug)]
pub(crate) struct Histogram {
    layout: Layout,
    op: Option<OpKind>,
    buckets: Box<[Counter]>,
}

impl Histogram {
    /// Empty; the options were checked.
    pub(crate) fn new(options: &HistogramOptions) -> Histogram {
        let layout = Layout::new(options);
        Histogram { layout, op: options.op, buckets: (0..layout.len()).map(|_| Counter::new()).collect() }
    }

    /// Counts an operation. Called by the channel's core only.
    #[inline]
    pub(crate) fn record(&self, op: Op, latency_ns: u64) {
        if self.op.is_none() || self.op == OpKind::of(op) {
            self.buckets[self.layout.index(latency_ns)].increment();
        }
    }
}

/// The histogram of a device: the sum over its channels.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HistogramSnapshot {
    layout: Layout,
    buckets: Vec<u64>,
}

impl HistogramSnapshot {
    /// Empty; the options were checked.
    pub(crate) fn new(options: &HistogramOptions) -> HistogramSnapshot {
        let layout = Layout::new(options);
        HistogramSnapshot { layout, buckets: vec![0; layout.len()] }
    }

    /// Adds a channel's, made with the same options.
    pub(crate) fn add(&mut self, histogram: &Histogram) {
        debug_assert_eq!(self.layout, histogram.layout);
        for (sum, bucket) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *sum += bucket.get();
        }
    }

    /// Logarithm to base 2 of the number of buckets in a range.
    pub fn granularity(&self) -> u32 {
        self.layout.granularity
    }

    /// The first range that is there.
    pub fn min_range(&self) -> u32 {
        self.layout.min_range
    }

    /// The last range that is there.
    pub fn max_range(&self) -> u32 {
        self.layout.max_range
    }

    /// The counts, from the first bucket of `min_range` to the last of `max_range`.
    pub fn buckets(&self) -> &[u64] {
        &self.buckets
    }

    /// Operations in all.
    pub fn total(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// How many operations took up to each of the borders (ascending, in nanoseconds), and at the end how many there are in
    /// all. Exact to a bucket: one that a border cuts counts below it.
    pub fn counts_up_to(&self, borders_ns: &[u64]) -> Vec<u64> {
        let mut counts = vec![0; borders_ns.len() + 1];
        let (mut border, mut so_far, mut start) = (0, 0, 0);
        for (index, count) in self.buckets.iter().enumerate() {
            while border < borders_ns.len() && start > borders_ns[border] {
                border += 1;
                counts[border] = so_far;
            }
            so_far += count;
            counts[border] = so_far;
            start = self.layout.end(index);
        }
        // Borders that lie beyond the last bucket have everything below them.
        counts[border..].fill(so_far);
        counts
    }
}

#[cfg(test)]
#[path = "histogram_tests.rs"]
mod tests;
