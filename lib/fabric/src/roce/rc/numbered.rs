//! A queue whose elements keep their number as long as they are in it.

use std::collections::VecDeque;

/// Elements are numbered from 0 in the order in which they come; the memory for `capacity` of them is allocated once.
#[derive(Debug)]
pub(super) struct Numbered<T> {
    items: VecDeque<T>,
    capacity: usize,
    /// Number of the oldest element.
    start: u64,
}

impl<T> Numbered<T> {
    pub(super) fn new(capacity: usize) -> Numbered<T> {
        Numbered { items: VecDeque::with_capacity(capacity), capacity, start: 0 }
    }

    /// # Panics
    /// If it is full: callers count.
    pub(super) fn push(&mut self, item: T) -> u64 {
        assert!(self.items.len() < self.capacity, "a queue for {} elements is full", self.capacity);
        self.items.push_back(item);
        self.end() - 1
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let item = self.items.pop_front()?;
        self.start += 1;
        Some(item)
    }

    pub(super) fn front(&self) -> Option<&T> {
        self.items.front()
    }

    #[inline]
    pub(super) fn get(&self, number: u64) -> Option<&T> {
        self.items.get(number.checked_sub(self.start)? as usize)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        self.items.get_mut(number.checked_sub(self.start)? as usize)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter()
    }

    /// Number of the oldest element.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// Number of the next element to come.
    pub(super) fn end(&self) -> u64 {
        self.start + self.items.len() as u64
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.start = self.end();
        self.items.clear();
    }
}
