//! What to do next: which way, and where. Knows no device and no clock.
//!
//! The device is cut into *positions* of one I/O each. A workload has a range of them, and picks one after the other or
//! at random. When it verifies, it keeps a ledger of what each position holds, gives out no position twice at a time,
//! and lets a read of a position that was never written be a write, so that every read can be compared.

use std::ops::Range;

use crate::random::Xorshift;

/// Positions of which one verifying workload keeps a ledger (4 bytes each); it leaves the rest of its range alone.
pub const LEDGER_POSITIONS_MAX: u64 = 1 << 20;

/// Which way data flows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From the device.
    Read,
    /// To the device.
    Write,
}

/// What kinds of I/O there are and how they follow each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mix {
    /// Positions at random, or one after the other.
    pub random: bool,
    /// Reads, in percent of all.
    pub read_percent: u8,
}

/// One I/O to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Operation {
    /// Which way.
    pub direction: Direction,
    /// Where, in I/Os from the start of the device.
    pub position: u64,
    /// When verifying: the number of the write, or of the write whose data a read should bring. Otherwise 0.
    pub version: u32,
}

/// The I/Os of one channel.
#[derive(Debug)]
pub struct Workload {
    mix: Mix,
    range: Range<u64>,
    next_position: u64,
    random: Xorshift,
    ledger: Option<Ledger>,
}

impl Workload {
    /// A workload over `range`, which is not empty.
    pub fn new(mix: Mix, range: Range<u64>, seed: u64) -> Workload {
        assert!(!range.is_empty(), "a workload needs a position");
        Workload { mix, next_position: range.start, range, random: Xorshift::new(seed), ledger: None }
    }

    /// A workload whose reads can be compared, of which at most `depth` operations are under way at a time.
    ///
    /// # Panics
    /// If the range has fewer than `depth` positions.
    pub fn verifying(mix: Mix, range: Range<u64>, seed: u64, depth: u32) -> Workload {
        let end = range.end.min(range.start + LEDGER_POSITIONS_MAX);
        let range = range.start..end;
        assert!(range.end - range.start >= u64::from(depth), "{range:?} is less than {depth} positions");
        let ledger = Ledger::new((range.end - range.start) as usize);
        Workload { ledger: Some(ledger), ..Workload::new(mix, range, seed) }
    }

    /// The next operation. When verifying, [`Workload::finish`] must follow before the position is given out again.
    #[inline]
    pub fn next_operation(&mut self) -> Operation {
        let direction = self.pick_direction();
        let position = self.pick_position();
        match &mut self.ledger {
            None => Operation { direction, position, version: 0 },
            Some(ledger) => {
                let (index, direction, version) = ledger.begin((position - self.range.start) as usize, direction);
                Operation { direction, position: self.range.start + index as u64, version }
            }
        }
    }

    /// Says how an operation ended. What a failed write left behind is unknown.
    #[inline]
    pub fn finish(&mut self, operation: Operation, succeeded: bool) {
        if let Some(ledger) = &mut self.ledger {
            let known = succeeded || operation.direction == Direction::Read;
            let version = if known { operation.version } else { Ledger::UNKNOWN };
            ledger.end((operation.position - self.range.start) as usize, version);
        }
    }

    /// The positions that it uses.
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// Whether reads are to be compared.
    pub fn verifies(&self) -> bool {
        self.ledger.is_some()
    }

    fn pick_direction(&mut self) -> Direction {
        match self.mix.read_percent {
            0 => Direction::Write,
            100.. => Direction::Read,
            percent if self.random.below(100) < u64::from(percent) => Direction::Read,
            _ => Direction::Write,
        }
    }

    fn pick_position(&mut self) -> u64 {
        if self.mix.random {
            return self.range.start + self.random.below(self.range.end - self.range.start);
        }
        let position = self.next_position;
        self.next_position = if position + 1 == self.range.end { self.range.start } else { position + 1 };
        position
    }
}

/// What every position holds: the number of its last write, and whether an operation is under way there.
#[derive(Debug)]
struct Ledger {
    entries: Box<[u32]>,
    /// Of the last write anywhere: no number comes twice, so that no older data pass for the last.
    writes: u32,
}

impl Ledger {
    /// Of a position that this run did not write, or failed to.
    const UNKNOWN: u32 = 0;
    const BUSY: u32 = 1 << 31;

    fn new(positions: usize) -> Ledger {
        Ledger { entries: vec![Ledger::UNKNOWN; positions].into_boxed_slice(), writes: 0 }
    }

    /// Takes the first position from `index` on that nothing is under way on; there is one, as there are more positions
    /// than operations at a time.
    fn begin(&mut self, index: usize, wanted: Direction) -> (usize, Direction, u32) {
        let count = self.entries.len();
        let mut around = (index..count).chain(0..index);
        let index =
            around.find(|&index| self.entries[index] & Ledger::BUSY == 0).expect("fewer operations than positions");
        let held = self.entries[index];
        let direction = if held == Ledger::UNKNOWN { Direction::Write } else { wanted };
        let version = match direction {
            Direction::Read => held,
            Direction::Write => self.number_write(),
        };
        self.entries[index] |= Ledger::BUSY;
        (index, direction, version)
    }

    fn number_write(&mut self) -> u32 {
        self.writes = self.writes % (Ledger::BUSY - 1) + 1;
        self.writes
    }

    fn end(&mut self, index: usize, version: u32) {
        self.entries[index] = version;
    }
}

/// The positions for channel `number` of `count`: all of them for random load, otherwise a part of its own, so that
/// sequential channels do not read each other's data and verifying ones do not overwrite them.
pub fn share(positions: u64, number: u32, count: u32, own_part: bool) -> Range<u64> {
    if !own_part {
        return 0..positions;
    }
    let (number, count) = (u64::from(number), u64::from(count));
    let part = positions / count;
    number * part..(number + 1) * part
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use proptest::prelude::*;

    use super::*;

    const READS: Mix = Mix { random: true, read_percent: 100 };

    #[test]
    fn sequential_positions_follow_each_other_and_wrap() {
        let mut workload = Workload::new(Mix { random: false, read_percent: 100 }, 5..8, 1);
        let positions: Vec<u64> = (0..5).map(|_| workload.next_operation().position).collect();
        assert_eq!(positions, [5, 6, 7, 5, 6]);
    }

    #[test]
    fn random_positions_cover_the_range_and_nothing_else() {
        let mut workload = Workload::new(READS, 10..20, 1);
        let positions: HashSet<u64> = (0..1000).map(|_| workload.next_operation().position).collect();
        assert_eq!(positions, (10..20).collect());
    }

    #[test]
    fn the_mix_is_kept() {
        for (percent, expected) in [(0, 0..1), (70, 6_700..7_300), (100, 10_000..10_001)] {
            let mut workload = Workload::new(Mix { random: true, read_percent: percent }, 0..100, 3);
            let reads = (0..10_000).filter(|_| workload.next_operation().direction == Direction::Read).count();
            assert!(expected.contains(&reads), "{reads} reads of 10000 at {percent} %");
        }
    }

    #[test]
    fn parts_do_not_overlap_and_random_channels_share_all() {
        assert_eq!(share(101, 0, 2, true), 0..50);
        assert_eq!(share(101, 1, 2, true), 50..100);
        assert_eq!(share(101, 1, 2, false), 0..101);
    }

    #[test]
    fn a_read_of_what_was_never_written_is_a_write() {
        let mut workload = Workload::verifying(READS, 0..1, 1, 1);
        let first = workload.next_operation();
        assert_eq!((first.direction, first.version), (Direction::Write, 1));
        workload.finish(first, true);
        let second = workload.next_operation();
        assert_eq!((second.direction, second.version), (Direction::Read, 1));
    }

    #[test]
    fn what_a_failed_write_left_is_written_again_before_it_is_read() {
        let mut workload = Workload::verifying(READS, 0..1, 1, 1);
        for succeeded in [false, true] {
            let operation = workload.next_operation();
            assert_eq!(operation.direction, Direction::Write);
            workload.finish(operation, succeeded);
        }
        assert_eq!(workload.next_operation().direction, Direction::Read);
    }

    proptest! {
        /// Against a model: nothing is under way twice, and a read expects what the last write there wrote.
        #[test]
        fn a_verifying_workload_knows_what_each_position_holds(
            seed: u64, random: bool, read_percent in 0_u8..=100, positions in 8_u64..40,
            steps in proptest::collection::vec((any::<bool>(), any::<proptest::sample::Index>(), 0_u8..10), 1..200),
        ) {
            let mut workload = Workload::verifying(Mix { random, read_percent }, 100..100 + positions, seed, 8);
            let mut held: HashMap<u64, u32> = HashMap::new();
            let mut under_way: Vec<Operation> = Vec::new();
            for (start, which, luck) in steps {
                if under_way.len() < 8 && (start || under_way.is_empty()) {
                    let operation = workload.next_operation();
                    prop_assert!((100..100 + positions).contains(&operation.position));
                    prop_assert!(under_way.iter().all(|other| other.position != operation.position));
                    let known = held.get(&operation.position).copied();
                    match operation.direction {
                        Direction::Read => prop_assert_eq!(known, Some(operation.version)),
                        Direction::Write => prop_assert_ne!(known, Some(operation.version)),
                    }
                    under_way.push(operation);
                } else {
                    let operation = under_way.swap_remove(which.index(under_way.len()));
                    let succeeded = luck > 0;
                    if operation.direction == Direction::Write {
                        if succeeded { held.insert(operation.position, operation.version); }
                        else { held.remove(&operation.position); }
                    }
                    workload.finish(operation, succeeded);
                }
            }
        }
    }
}
