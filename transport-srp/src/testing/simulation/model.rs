//! What a read may return: for each block the writes that may be what it holds.
//!
//! Every event of an initiator has a number, its moment. A write begins at the moment it is sent and ends at the moment from which nothing of it
//! can reach the medium any more ahead of what is sent later: it was answered, its abort was, or the login was accepted that
//! replaced its channel. A write that begins after another has ended, or is ordered behind it by task attributes, and is answered GOOD, replaces it. A read may return every write that
//! began before the read ended and was not replaced before the read began.

use super::order::{Barriers, Place};

/// The moment of a write's end while that is not known.
const OPEN: u64 = u64::MAX;

/// What identifies a write; 0: the medium as it was made.
pub(super) type Stamp = u64;

#[derive(Clone, Copy, Debug)]
struct Candidate {
    stamp: Stamp,
    place: Place,
    end: u64,
    /// It was answered GOOD.
    good: bool,
    /// From when on it cannot be read any more.
    replaced: u64,
}

/// One unit's medium.
#[derive(Debug)]
pub(super) struct Medium {
    pub(super) barriers: Barriers,
    blocks: Vec<Vec<Candidate>>,
}

impl Medium {
    pub(super) fn new(blocks: u64) -> Medium {
        let made = Candidate { stamp: 0, place: Place::NONE, end: 0, good: true, replaced: OPEN };
        Medium { barriers: Barriers::default(), blocks: vec![vec![made]; blocks as usize] }
    }

    pub(super) fn write_starts(&mut self, lba: u64, blocks: u64, stamp: Stamp, place: Place) {
        for block in self.range(lba, blocks) {
            block.push(Candidate { stamp, place, end: OPEN, good: false, replaced: OPEN });
        }
    }

    /// The write is over; `good`: it is on the medium. Nothing reads that began before `oldest`.
    pub(super) fn write_ends(&mut self, lba: u64, blocks: u64, stamp: Stamp, good: bool, now: u64, oldest: u64) {
        let barriers = &self.barriers;
        for block in &mut self.blocks[lba as usize..(lba + blocks) as usize] {
            let Some(own) = block.iter_mut().find(|candidate| candidate.stamp == stamp) else { continue };
            own.end = own.end.min(now);
            own.good = good;
            let place = own.place;
            if good {
                let is_older = |other: &Candidate| {
                    other.end < place.start || other.good && barriers.are_in_order(&other.place, &place)
                };
                for other in block.iter_mut().filter(|other| is_older(other)) {
                    other.replaced = other.replaced.min(now);
                }
                block.retain(|candidate| candidate.replaced > oldest);
            }
        }
    }

    /// The write was not carried out, and must not be.
    pub(super) fn write_refused(&mut self, lba: u64, blocks: u64, stamp: Stamp) {
        self.range(lba, blocks).iter_mut().for_each(|block| block.retain(|candidate| candidate.stamp != stamp));
    }

    /// Whether a read from `start` to `now` may have found the write in a block.
    pub(super) fn may_hold(&self, lba: u64, stamp: Stamp, start: u64) -> bool {
        self.blocks[lba as usize].iter().any(|candidate| candidate.stamp == stamp && candidate.replaced > start)
    }

    /// What a read may find, for messages about failures.
    pub(super) fn describe(&self, lba: u64) -> String {
        format!("{:?}", self.blocks[lba as usize])
    }

    fn range(&mut self, lba: u64, blocks: u64) -> &mut [Vec<Candidate>] {
        &mut self.blocks[lba as usize..(lba + blocks) as usize]
    }
}

/// Content of a block: which write it is of, and where it belongs, in every word.
pub(super) fn fill(block: &mut [u8], stamp: Stamp, lba: u64) {
    if stamp == 0 {
        return block.fill(0);
    }
    let first = stamp << 16 | lba;
    for (word, index) in block.chunks_exact_mut(8).zip(0_u64..) {
        word.copy_from_slice(&(first.wrapping_add(index << 48)).to_le_bytes());
    }
}

/// The write that a whole block is of; `None`: of none, or of more than one.
pub(super) fn stamp_of(block: &[u8], lba: u64) -> Option<Stamp> {
    let word = |word: &[u8]| word.try_into().map(u64::from_le_bytes).ok();
    let first = word(&block[..8])?;
    if first == 0 {
        return block.iter().all(|&byte| byte == 0).then_some(0);
    }
    let words = block.chunks_exact(8).zip(0_u64..);
    let whole = words.into_iter().all(|(bytes, index)| word(bytes) == Some(first.wrapping_add(index << 48)));
    (whole && first & 0xffff == lba).then_some(first >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_read_until_a_later_one_is_acknowledged() {
        let at = |start| Place { start, ..Place::NONE };
        let mut medium = Medium::new(1);
        medium.write_starts(0, 1, 1, at(10));
        assert!(medium.may_hold(0, 0, 11) && medium.may_hold(0, 1, 11), "either, while it is under way");
        medium.write_ends(0, 1, 1, true, 12, 0);
        assert!(medium.may_hold(0, 0, 11), "a read that began before may have found the old");
        assert!(!medium.may_hold(0, 0, 13), "a lost write");
        medium.write_starts(0, 1, 2, at(20));
        medium.write_ends(0, 1, 2, false, 21, 0);
        assert!(medium.may_hold(0, 1, 22) && medium.may_hold(0, 2, 22), "one that failed may be there or not");
        medium.write_starts(0, 1, 3, at(30));
        medium.write_starts(0, 1, 4, at(31));
        medium.write_ends(0, 1, 3, true, 32, 0);
        medium.write_ends(0, 1, 4, true, 33, 0);
        assert!(medium.may_hold(0, 3, 34) && medium.may_hold(0, 4, 34), "of two at once either may be the last");
        assert!(!medium.may_hold(0, 1, 34) && !medium.may_hold(0, 2, 34));
    }

    #[test]
    fn a_block_is_of_one_write_or_of_none() {
        let mut block = [0; 512];
        fill(&mut block, 7, 3);
        assert_eq!(stamp_of(&block, 3), Some(7));
        assert_eq!(stamp_of(&block, 4), None, "it belongs elsewhere");
        block[511] ^= 1;
        assert_eq!(stamp_of(&block, 3), None, "torn");
    }
}
