//! Numbered slots with generations: a key that outlived its entry finds nothing, instead of somebody else's entry.

use std::marker::PhantomData;

/// Names an entry of a [`Slab`]; becomes stale when the entry is removed. Fits in 64 bits as a cookie or tag.
pub(crate) struct Key<T> {
    index: u32,
    generation: u32,
    marker: PhantomData<fn() -> T>,
}

impl<T> Key<T> {
    /// Of a slot in one of its uses.
    #[inline]
    pub(crate) fn new(index: u32, generation: u32) -> Key<T> {
        Key { index, generation, marker: PhantomData }
    }

    /// Which use of the slot.
    #[inline]
    pub(crate) fn generation(self) -> u32 {
        self.generation
    }

    /// The key as one number, to travel through a fabric or a device.
    pub(crate) fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// Which slot it is.
    #[inline]
    pub(crate) fn slot(self) -> usize {
        self.index as usize
    }

    /// The key that [`Key::to_bits`] made.
    pub(crate) fn from_bits(bits: u64) -> Key<T> {
        Key { index: bits as u32, generation: (bits >> 32) as u32, marker: PhantomData }
    }
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Key<T> {}
impl<T> PartialEq for Key<T> {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index && self.generation == other.generation
    }
}
impl<T> Eq for Key<T> {}
impl<T> std::fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// A growable table; grows only in [`Slab::reserve`], never in [`Slab::insert`] within what was reserved.
pub(crate) struct Slab<T> {
    entries: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(crate) fn new() -> Slab<T> {
        Slab { entries: Vec::new(), free: Vec::new() }
    }

    /// Makes room for `count` entries in all.
    pub(crate) fn reserve(&mut self, count: usize) {
        while self.entries.len() < count {
            self.free.push(self.entries.len() as u32);
            self.entries.push((0, None));
        }
    }

    /// Puts an entry into a free slot.
    pub(crate) fn insert(&mut self, value: T) -> Key<T> {
        if self.free.is_empty() {
            self.reserve(self.entries.len() + 1);
        }
        let index = self.free.pop().unwrap_or_default();
        let entry = &mut self.entries[index as usize];
        entry.1 = Some(value);
        Key { index, generation: entry.0, marker: PhantomData }
    }

    /// Takes an entry out; its key is stale from now on.
    pub(crate) fn remove(&mut self, key: Key<T>) -> Option<T> {
        let entry = self.entries.get_mut(key.index as usize)?;
        if entry.0 != key.generation {
            return None;
        }
        let value = entry.1.take()?;
        entry.0 = entry.0.wrapping_add(1);
        self.free.push(key.index);
        Some(value)
    }

    pub(crate) fn get(&self, key: Key<T>) -> Option<&T> {
        match self.entries.get(key.index as usize)? {
            (generation, value) if *generation == key.generation => value.as_ref(),
            _ => None,
        }
    }

    pub(crate) fn get_mut(&mut self, key: Key<T>) -> Option<&mut T> {
        match self.entries.get_mut(key.index as usize)? {
            (generation, value) if *generation == key.generation => value.as_mut(),
            _ => None,
        }
    }

    /// Entries in use.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// All entries with their keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key<T>, &T)> {
        self.entries.iter().zip(0u32..).filter_map(|((generation, value), index)| {
            value.as_ref().map(|value| (Key { index, generation: *generation, marker: PhantomData }, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_key_finds_nothing() {
        let mut slab = Slab::new();
        let first = slab.insert("first");
        assert_eq!(slab.remove(first), Some("first"));
        let second = slab.insert("second");
        assert_ne!(first, second);
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get(Key::from_bits(second.to_bits())), Some(&"second"));
        assert_eq!(slab.len(), 1);
        assert_eq!(slab.iter().count(), 1);
    }
}
