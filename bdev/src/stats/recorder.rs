//! A channel's end of the statistics, and how the control thread's wishes get there.
//!
//! The counters belong to the channel's core, so nobody else writes them. What the control thread wants changed it leaves as an
//! *order* and raises the order number, which the core compares with the last one that it knows before it counts
//! an operation: one load of a line that is its own, and nothing else while there is no order. Orders are taken by
//! `try_lock`, so the core never waits; should the control thread just be writing one, the next operation takes it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::CacheAligned;

use super::counters::{Counters, Totals};
use crate::histogram::Histogram;
use crate::io::{IoError, Op};

/// What core and control thread share; no cache line of it is shared with another core's.
pub(super) type Shared = CacheAligned<Block>;

#[derive(Debug, Default)]
pub(super) struct Block {
    counters: Counters,
    /// Number of the last order. Written by the control thread.
    ordered: AtomicU64,
    /// Number of the last order that the core took. Written by the core.
    taken: AtomicU64,
    orders: Mutex<Orders>,
}

#[derive(Debug, Default)]
struct Orders {
    forget_extremes: bool,
    /// What the core is to count in from now on.
    histogram: Option<Arc<Histogram>>,
    /// What it counted in before, which the control thread frees: a core frees no memory while it serves I/O.
    retired: Option<Arc<Histogram>>,
}

/// The core's end.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(super) shared: Arc<Shared>,
    known: u64,
    histogram: Option<Arc<Histogram>>,
}

impl Recorder {
    pub(super) fn new(histogram: Option<Arc<Histogram>>) -> Recorder {
        let shared = Arc::new(Shared::default());
        shared.lock().histogram.clone_from(&histogram);
        Recorder { shared, known: 0, histogram }
    }

    /// Counts a finished operation on `bytes` bytes.
    #[inline]
    pub(crate) fn record(&mut self, op: Op, bytes: u64, latency_ns: u64, result: Result<(), IoError>) {
        // Relaxed: what the order says is read under its lock.
        if self.shared.ordered.load(Ordering::Relaxed) != self.known {
            self.take_orders();
        }
        if let Some(histogram) = &self.histogram {
            histogram.record(op, latency_ns);
        }
        self.shared.counters.record(op, bytes, latency_ns, result);
    }

    #[cold]
    fn take_orders(&mut self) {
        let Ok(mut orders) = self.shared.orders.try_lock() else { return };
        if std::mem::take(&mut orders.forget_extremes) {
            self.shared.counters.forget_extremes();
        }
        let wanted = orders.histogram.clone();
        orders.retired = std::mem::replace(&mut self.histogram, wanted);
        self.known = self.shared.ordered.load(Ordering::Relaxed);
        // Release: who sees that the order was taken sees the extremes forgotten, too.
        self.shared.taken.store(self.known, Ordering::Release);
    }
}

impl Block {
    /// The counters as they stand. `extremes_from` is the number of the order to forget the extremes: until the core took it there
    /// are none.
    pub(super) fn read(&self, extremes_from: u64) -> Totals {
        // Acquire: see `Recorder::take_orders`.
        let forgotten = self.taken.load(Ordering::Acquire) >= extremes_from;
        let mut totals = Totals::read(&self.counters);
        if !forgotten {
            totals.forget_extremes();
        }
        totals
    }

    /// Has the core forget its longest and shortest latencies; returns the order's number.
    pub(super) fn order_to_forget_extremes(&self) -> u64 {
        let mut orders = self.lock();
        orders.forget_extremes = true;
        self.raise(&mut orders)
    }

    /// Has the core count in another histogram, or in none.
    pub(super) fn order_histogram(&self, histogram: Option<Arc<Histogram>>) {
        let mut orders = self.lock();
        orders.histogram = histogram;
        self.raise(&mut orders);
    }

    /// Numbers an order, under the lock, so that the core finds the order that goes with the number. Frees what the last one left.
    fn raise(&self, orders: &mut MutexGuard<'_, Orders>) -> u64 {
        orders.retired = None;
        let number = self.ordered.load(Ordering::Relaxed) + 1;
        self.ordered.store(number, Ordering::Relaxed);
        number
    }

    fn lock(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
