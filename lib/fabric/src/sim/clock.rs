//! Virtual time and what is to happen in it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Virtual time in nanoseconds and a queue of events, each at its time. Events of the same time keep the order in which
/// they were scheduled.
#[derive(Debug)]
pub(super) struct Clock<E> {
    now: u64,
    /// Scheduled for now: they need no place in the heap.
    due: VecDeque<E>,
    later: BinaryHeap<Reverse<Later<E>>>,
    serial: u64,
}

#[derive(Debug)]
struct Later<E> {
    at: u64,
    serial: u64,
    event: E,
}

impl<E> Clock<E> {
    pub(super) fn new() -> Clock<E> {
        Clock { now: 0, due: VecDeque::new(), later: BinaryHeap::new(), serial: 0 }
    }

    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// Plans `event` for `at`; a time that has passed means now.
    pub(super) fn schedule(&mut self, at: u64, event: E) {
        if at <= self.now {
            self.due.push_back(event);
        } else {
            self.serial += 1;
            self.later.push(Reverse(Later { at, serial: self.serial, event }));
        }
    }

    /// The next event that is due. What became due by the passing of time was planned earlier than what was planned
    /// for now, so it comes first.
    pub(super) fn pop_due(&mut self) -> Option<E> {
        if self.later.peek().is_some_and(|Reverse(first)| first.at <= self.now) {
            return self.later.pop().map(|Reverse(first)| first.event);
        }
        self.due.pop_front()
    }

    /// Time of the next event, if any; the past counts as now.
    pub(super) fn next_at(&self) -> Option<u64> {
        if !self.due.is_empty() {
            return Some(self.now);
        }
        self.later.peek().map(|Reverse(first)| first.at.max(self.now))
    }

    /// Lets time pass until `at`. The caller steps from event to event, so that none becomes due late.
    pub(super) fn set_now(&mut self, at: u64) {
        debug_assert!(at >= self.now, "virtual time runs forward");
        self.now = at;
    }
}

impl<E> PartialEq for Later<E> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.serial) == (other.at, other.serial)
    }
}

impl<E> Eq for Later<E> {}

impl<E> PartialOrd for Later<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Later<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.serial).cmp(&(other.at, other.serial))
    }
}
