//! Which tags are in use on one channel, roughly: enough to know of most that they are not.

use crate::wire::Tag;

/// Counts tags by a hash of theirs, four places for each command that a channel may have.
#[derive(Debug)]
pub(crate) struct Tags {
    counts: Box<[u16]>,
    /// What is cut off a hash of 64 bits, so that it is a place.
    shift: u32,
}

impl Tags {
    /// For at most this many commands at one time, 1 to 65535.
    pub(crate) fn new(commands: usize) -> Tags {
        let places = (4 * commands).next_power_of_two();
        Tags { counts: vec![0; places].into(), shift: 64 - places.trailing_zeros() }
    }

    /// Notes a tag. True: no other like it is in use; false: perhaps one is.
    #[inline]
    pub(crate) fn add(&mut self, tag: Tag) -> bool {
        let count = &mut self.counts[self.place(tag)];
        *count = count.saturating_add(1);
        *count == 1
    }

    /// A tag that was added is not in use any more.
    #[inline]
    pub(crate) fn remove(&mut self, tag: Tag) {
        let count = &mut self.counts[self.place(tag)];
        *count = count.saturating_sub(1);
    }

    #[inline]
    fn place(&self, tag: Tag) -> usize {
        // 2^64 by the golden ratio: neighbouring numbers come to lie far apart.
        (u64::from_ne_bytes(tag.0).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift) as usize
    }

    /// No tag is in use.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_taken_from_when_it_is_added_until_it_is_removed_as_often() {
        let (mut tags, tag) = (Tags::new(8), Tag(*b"tag no 1"));
        assert!(tags.add(tag) && !tags.add(tag));
        tags.remove(tag);
        assert!(!tags.add(tag));
        tags.remove(tag);
        tags.remove(tag);
        assert!(tags.is_empty() && tags.add(tag));
    }

    #[test]
    fn tags_of_linux_hardly_ever_share_a_place() {
        for queue in [0_u64, 1, 63] {
            let mut tags = Tags::new(128);
            let taken = (0..128).filter(|number| !tags.add(Tag((queue << 16 | number).to_ne_bytes()))).count();
            assert!(taken < 16, "{taken} of 128 tags of queue {queue}");
        }
    }
}
