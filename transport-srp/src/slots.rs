//! Numbered slots as those of a [`Slab`](crate::slab::Slab), for entries that are large and come and go with each command: they are never
//! moved. A slot keeps its entry when it is freed, at rest, and the next user finds it there.

use crate::slab::Key;

/// What a slot holds.
pub(crate) trait Entry: Default {
    /// Lets go of whatever it holds; it is of no use until somebody fills it anew.
    fn rest(&mut self);
}

/// A table that grows only in [`Slots::reserve`], or when it is full.
pub(crate) struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

struct Slot<T> {
    /// Odd while it is in use: so a key fits only while its entry is there.
    generation: u32,
    entry: T,
}

impl<T: Entry> Slots<T> {
    pub(crate) fn new() -> Slots<T> {
        Slots { slots: Vec::new(), free: Vec::new() }
    }

    /// Makes room for `count` entries in all.
    pub(crate) fn reserve(&mut self, count: usize) {
        while self.slots.len() < count {
            self.free.push(self.slots.len() as u32);
            self.slots.push(Slot { generation: 0, entry: T::default() });
        }
    }

    /// Takes a free slot into use. Its entry is at rest: the caller fills it.
    #[inline]
    pub(crate) fn take(&mut self) -> (Key<T>, &mut T) {
        if self.free.is_empty() {
            self.reserve(self.slots.len() + 1);
        }
        let index = self.free.pop().unwrap_or_default();
        let slot = &mut self.slots[index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        (Key::new(index, slot.generation), &mut slot.entry)
    }

    /// Frees a slot; its key is stale from now on.
    #[inline]
    pub(crate) fn free(&mut self, key: Key<T>) {
        if let Some(slot) = self.slots.get_mut(key.slot())
            && slot.generation == key.generation()
        {
            slot.entry.rest();
            slot.generation = slot.generation.wrapping_add(1);
            self.free.push(key.slot() as u32);
        }
    }

    #[inline]
    pub(crate) fn get(&self, key: Key<T>) -> Option<&T> {
        self.slots.get(key.slot()).filter(|slot| slot.generation == key.generation()).map(|slot| &slot.entry)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key<T>) -> Option<&mut T> {
        self.slots.get_mut(key.slot()).filter(|slot| slot.generation == key.generation()).map(|slot| &mut slot.entry)
    }

    /// Entries that there is room for.
    pub(crate) fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Entries in use.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// All entries in use with their keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key<T>, &T)> {
        let used = self.slots.iter().zip(0u32..).filter(|(slot, _)| slot.generation % 2 == 1);
        used.map(|(slot, index)| (Key::new(index, slot.generation), &slot.entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Entry for Vec<u8> {
        fn rest(&mut self) {
            self.clear();
        }
    }

    #[test]
    fn a_stale_key_finds_nothing() {
        let mut slots = Slots::<Vec<u8>>::new();
        let (first, entry) = slots.take();
        entry.push(7);
        assert_eq!(slots.get(first), Some(&vec![7]));
        slots.free(first);
        assert_eq!((slots.get(first), slots.len(), slots.iter().count()), (None, 0, 0));
        let (second, entry) = slots.take();
        assert!(entry.is_empty(), "it is at rest");
        assert_eq!(first.slot(), second.slot());
        assert!(slots.get(first).is_none() && slots.get_mut(first).is_none());
        slots.free(first);
        assert_eq!((slots.len(), slots.iter().count()), (1, 1));
        assert!(slots.get(Key::from_bits(second.to_bits())).is_some());
    }
}
