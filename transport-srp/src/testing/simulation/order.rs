//! Task attributes (SAM-5): which of two commands of one channel and one unit is carried out first.
//!
//! A channel delivers in order. So an ORDERED command comes behind everything that was sent before it, and ahead of everything sent after it but
//! HEAD OF QUEUE. Among channels nothing is certain, nor across an export of the unit: that begins a new task set.

use std::collections::{BTreeMap, BTreeSet};

pub(super) const SIMPLE: u8 = 0;
pub(super) const HEAD_OF_QUEUE: u8 = 1;
pub(super) const ORDERED: u8 = 2;

/// An initiator, and one of its channels.
pub(super) type Sender = (usize, usize);

/// A command's place in the order of its channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) sender: Sender,
    pub(super) attribute: u8,
    pub(super) start: u64,
    /// Exports of the unit before.
    pub(super) exports: u64,
}

impl Place {
    /// Before all, and of nobody.
    pub(super) const NONE: Place = Place { sender: (usize::MAX, 0), attribute: SIMPLE, start: 0, exports: 0 };

    /// Whether it is carried out ahead of another, by what these two are alone.
    pub(super) fn is_ahead_of(&self, other: &Place) -> bool {
        self.may_be_ordered(other) && (self.attribute == ORDERED || other.attribute == ORDERED)
    }

    fn may_be_ordered(&self, other: &Place) -> bool {
        let same = (self.sender, self.exports) == (other.sender, other.exports);
        same && self.start < other.start && other.attribute != HEAD_OF_QUEUE
    }
}

/// ORDERED commands of a unit that were answered GOOD: everything of their channel is on this side of them, or on that.
#[derive(Debug, Default)]
pub(super) struct Barriers {
    starts: BTreeMap<Sender, BTreeSet<u64>>,
    pub(super) exports: u64,
}

impl Barriers {
    /// A command was answered GOOD.
    pub(super) fn add(&mut self, place: &Place) {
        if place.attribute == ORDERED && place.exports == self.exports {
            self.starts.entry(place.sender).or_default().insert(place.start);
        }
    }

    /// The unit is exported anew.
    pub(super) fn end(&mut self) {
        self.starts.clear();
        self.exports += 1;
    }

    /// Whether `first` was carried out ahead of `second`, both answered GOOD.
    pub(super) fn are_in_order(&self, first: &Place, second: &Place) -> bool {
        let is_between = || {
            let starts = self.starts.get(&first.sender);
            starts.is_some_and(|starts| starts.range(first.start + 1..second.start).next().is_some())
        };
        second.exports == self.exports && (first.is_ahead_of(second) || first.may_be_ordered(second) && is_between())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(start: u64, attribute: u8) -> Place {
        Place { sender: (0, 1), attribute, start, exports: 0 }
    }

    #[test]
    fn an_ordered_command_is_behind_what_is_older_and_ahead_of_the_rest() {
        let (first, ordered, last) = (place(1, SIMPLE), place(2, ORDERED), place(3, SIMPLE));
        assert!(first.is_ahead_of(&ordered) && ordered.is_ahead_of(&last) && !last.is_ahead_of(&ordered));
        assert!(!ordered.is_ahead_of(&place(3, HEAD_OF_QUEUE)) && place(1, HEAD_OF_QUEUE).is_ahead_of(&ordered));
        let mut barriers = Barriers::default();
        assert!(!barriers.are_in_order(&first, &last), "until the command between them was carried out");
        barriers.add(&ordered);
        assert!(barriers.are_in_order(&first, &last) && !barriers.are_in_order(&last, &first));
        assert!(!barriers.are_in_order(&first, &place(3, HEAD_OF_QUEUE)));
        assert!(!barriers.are_in_order(&Place { sender: (0, 2), ..first }, &last), "another channel");
        barriers.end();
        assert!(!barriers.are_in_order(&first, &last));
    }
}
