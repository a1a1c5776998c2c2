//! Counters, gauges and latency histograms that cost a load and a store to write, read as snapshots and exported in
//! Prometheus' form.
//!
//! # Who writes, who reads
//!
//! Every metric has **one writer**: the thread (a reactor, so a core) that owns the thing being counted. That is why
//! writing needs no atomic read-modify-write: the owner loads, adds and stores, and no other thread stores in between.
//! Two writers on one metric are not undefined behaviour, but counts get lost; give each core its own block instead.
//!
//! **Any thread may read**, at any time, and gets each single value whole. Values read one after the other may be
//! from different moments; the count of a [`HistogramSnapshot`] is the sum of its buckets.
//!
//! Per-core values meet only when someone asks: the reader takes a snapshot of each core's block and merges them
//! ([`HistogramSnapshot::merge`], plain addition for counters). A block belongs in a [`CacheAligned`], so that the
//! writes of one core do not take the cache line from under its neighbour.
//!
//! # Reading order
//!
//! `counter.rs` (counter, gauge, alignment), `histogram.rs` (buckets and snapshot), `family.rs` (what is said of a metric), `scrape.rs` (what a
//! scrape gathers, and its text forms).

#![forbid(unsafe_code)]

mod counter;
mod family;
mod histogram;
mod scrape;

pub use counter::{CacheAligned, Counter, Gauge};
pub use family::{Family, Kind};
pub use histogram::{BUCKETS, Histogram, HistogramSnapshot, Latency};
pub use scrape::{EncodeError, Form, Scrape};
