//! Single numbers with one writer: counters, which only grow, and gauges, which go both ways.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// A number that only grows: events, bytes, nanoseconds. One writer, any readers. Wraps at 2^64.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// A counter at 0.
    pub const fn new() -> Counter {
        Counter(AtomicU64::new(0))
    }

    /// Adds `n`. Only the owner of the counter calls this (see the crate's essay): a load and a store, no locked
    /// instruction.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Adds 1.
    #[inline]
    pub fn increment(&self) {
        self.add(1);
    }

    /// The value now, from any thread.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes up and down: open channels, commands in flight. One writer, any readers.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// A gauge at 0.
    pub const fn new() -> Gauge {
        Gauge(AtomicI64::new(0))
    }

    /// Replaces the value. Owner only.
    #[inline]
    pub fn set(&self, value: i64) {
        self.0.store(value, Relaxed);
    }

    /// Adds `n`. Owner only.
    #[inline]
    pub fn add(&self, n: i64) {
        self.set(self.get().wrapping_add(n));
    }

    /// Subtracts `n`. Owner only.
    #[inline]
    pub fn sub(&self, n: i64) {
        self.set(self.get().wrapping_sub(n));
    }

    /// The value now, from any thread.
    #[inline]
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// Starts a cache line of 64 bytes of its own, so that cores which write neighbouring blocks do not share one.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct CacheAligned<T>(pub T);

impl<T> Deref for CacheAligned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for CacheAligned<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counter_adds_and_wraps() {
        let counter = Counter::new();
        counter.increment();
        counter.add(41);
        assert_eq!(counter.get(), 42);
        counter.add(u64::MAX);
        assert_eq!(counter.get(), 41);
    }

    #[test]
    fn gauge_goes_both_ways() {
        let gauge = Gauge::new();
        gauge.add(3);
        gauge.sub(5);
        assert_eq!(gauge.get(), -2);
        gauge.set(7);
        assert_eq!(gauge.get(), 7);
    }

    #[test]
    fn aligned_neighbours_never_share_a_cache_line() {
        let blocks = [CacheAligned(Counter::new()), CacheAligned(Counter::new())];
        let line = |block: &CacheAligned<Counter>| std::ptr::from_ref(block).addr() / 64;
        assert_ne!(line(&blocks[0]), line(&blocks[1]));
    }
}
