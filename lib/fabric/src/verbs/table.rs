//! A fixed number of numbered places: what is outstanding on a queue pair. A work request carries the number of its place,
//! so that its completion is found without searching.

#[derive(Debug)]
pub(super) struct Table<T> {
    places: Box<[Option<T>]>,
    free: Vec<u32>,
}

impl<T> Table<T> {
    /// All memory that it will ever use.
    pub(super) fn new(capacity: u32) -> Table<T> {
        Table { places: (0..capacity).map(|_| None).collect(), free: (0..capacity).rev().collect() }
    }

    /// Takes a place.
    ///
    /// # Panics
    /// If all are taken: callers count.
    #[inline]
    pub(super) fn insert(&mut self, value: T) -> u32 {
        let index = self.free.pop().expect("a queue pair's table is full: more was posted than it was made for");
        self.places[index as usize] = Some(value);
        index
    }

    /// Empties a place; `None` if it was empty or is not there.
    #[inline]
    pub(super) fn take(&mut self, index: u32) -> Option<T> {
        let value = self.places.get_mut(index as usize)?.take()?;
        self.free.push(index); // has room for every place since `new`
        Some(value)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.places.get_mut(index as usize)?.as_mut()
    }

    /// Number of places taken.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.places.iter_mut().flatten()
    }

    /// Empties every place that `wanted` picks, in order of their numbers.
    pub(super) fn take_each(&mut self, wanted: impl Fn(&T) -> bool, mut taken: impl FnMut(T)) {
        for index in 0..self.places.len() {
            if self.places[index].as_ref().is_some_and(&wanted) {
                let number = u32::try_from(index).expect("the capacity is a u32");
                taken(self.take(number).expect("just seen"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_is_taken_once_and_comes_back() {
        let mut table = Table::new(3);
        let numbers: Vec<u32> = (10..13).map(|value| table.insert(value)).collect();
        assert_eq!(table.len(), 3);
        assert_eq!(table.take(numbers[1]), Some(11));
        assert_eq!(table.take(numbers[1]), None);
        assert_eq!(table.insert(20), numbers[1]);
        assert_eq!(table.take(99), None);
        let mut even = Vec::new();
        table.take_each(|value| value % 2 == 0, |value| even.push(value));
        even.sort_unstable();
        assert_eq!(even, [10, 12, 20]);
        assert_eq!(table.len(), 0);
    }

    #[test]
    #[should_panic(expected = "table is full")]
    fn more_than_its_capacity_is_our_bug() {
        let mut table = Table::new(1);
        table.insert(1);
        table.insert(2);
    }
}
