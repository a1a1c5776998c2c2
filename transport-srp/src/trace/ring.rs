//! A ring of fixed-size records with one writer, which never waits, and readers that it does not notice.
//!
//! # How a torn record is told
//!
//! Records are numbered from 0; record `n` lies in slot `n` modulo the number of slots. `count` is how many are whole. The writer of record `n`
//! puts its words into the slot, then sets `count` to `n + 1`. A reader looks at `count`, copies the words of a slot, and looks at `count`
//! again. While that says `c`, the writer may be at work on record `c`, which takes the place of record `c - slots`, and on no other. So
//! what was copied of record `n` is whole if `n + slots > c`; otherwise it may be a mixture, and is left out.
//!
//! This needs that a reader that saw a word of record `c` then sees a `count` of at least `c`. The words are stored behind a release fence that
//! stands behind the store of `count`, and loaded before an acquire fence that stands before the second look at it: whoever reads what was
//! stored behind the one fence sees, behind the other, what was stored before it. Every access is atomic, so a mixture is at worst wrong numbers
//! that are thrown away.
//!
//! On x86-64 all of this is plain stores: the fences hold the compiler back and are no instructions. A slot is not a cache line: nobody
//! writes its neighbour, and a record that takes less of the cache is worth more.
//!
//! `fuzz/models` tries it in many orders of steps.

use crate::sync::{Arc, AtomicU64, Ordering, fence};

/// A ring for `slots` records of `WORDS` words: how to write it and how to read it. `slots` is rounded up to a power of two.
pub(crate) fn ring<const WORDS: usize>(slots: usize) -> (Writer<WORDS>, Reader<WORDS>) {
    let slots = slots.next_power_of_two();
    let empty = |_| std::array::from_fn(|_| AtomicU64::new(0));
    let shared = Arc::new(Shared { count: AtomicU64::new(0), slots: (0..slots).map(empty).collect() });
    (Writer { next: 0, shared: Arc::clone(&shared) }, Reader(shared))
}

#[derive(Debug)]
struct Shared<const WORDS: usize> {
    /// Records that are whole.
    count: AtomicU64,
    slots: Box<[[AtomicU64; WORDS]]>,
}

/// The one who writes.
#[derive(Debug)]
pub(crate) struct Writer<const WORDS: usize> {
    next: u64,
    shared: Arc<Shared<WORDS>>,
}

impl<const WORDS: usize> Writer<WORDS> {
    /// Adds a record, in the place of the oldest.
    #[inline]
    pub(crate) fn write(&mut self, record: [u64; WORDS]) {
        self.put(record);
        self.next += 1;
        self.shared.count.store(self.next, Ordering::Release);
    }

    #[inline]
    fn put(&self, record: [u64; WORDS]) {
        // Behind the last store of `count`: see above.
        fence(Ordering::Release);
        let slots = &self.shared.slots;
        let slot = self.next as usize & (slots.len() - 1);
        for (place, word) in slots[slot].iter().zip(record) {
            place.store(word, Ordering::Relaxed);
        }
    }
}

/// One who reads.
#[derive(Debug, Clone)]
pub(crate) struct Reader<const WORDS: usize>(Arc<Shared<WORDS>>);

/// What a reader found.
#[derive(Debug)]
pub(crate) struct Found<const WORDS: usize> {
    /// Whole records, oldest first.
    pub(crate) records: Vec<[u64; WORDS]>,
    /// How many of those asked for were gone already, or were overwritten meanwhile.
    pub(crate) lost: u64,
    /// The number of the first record that is not among these yet.
    pub(crate) next: u64,
}

impl<const WORDS: usize> Reader<WORDS> {
    /// How many records there have been.
    #[inline]
    pub(crate) fn count(&self) -> u64 {
        self.0.count.load(Ordering::Acquire)
    }

    /// What there is of the records from number `from` on.
    pub(crate) fn read(&self, from: u64) -> Found<WORDS> {
        self.read_while(from, || ())
    }

    /// As [`Reader::read`]; `meanwhile` happens between the two looks.
    fn read_while(&self, from: u64, meanwhile: impl FnOnce()) -> Found<WORDS> {
        let slots = self.0.slots.len() as u64;
        let next = self.count();
        let first = from.max(next.saturating_sub(slots)).min(next);
        let copy = |number: u64| -> [u64; WORDS] {
            let slot = &self.0.slots[(number % slots) as usize];
            std::array::from_fn(|word| slot[word].load(Ordering::Relaxed))
        };
        let mut records: Vec<_> = (first..next).map(copy).collect();
        meanwhile();
        // Pairs with the one of the writer: see above.
        fence(Ordering::Acquire);
        let whole = (self.0.count.load(Ordering::Relaxed) + 1).saturating_sub(slots).clamp(first, next);
        records.drain(..(whole - first) as usize);
        Found { records, lost: whole.saturating_sub(from), next }
    }
}

#[cfg(test)]
#[path = "ring_tests.rs"]
mod tests;
