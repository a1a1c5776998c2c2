//! The one source of chance: SplitMix64 (Steele, Lea, Flood 2014), small, seedable, the same on every machine.

use std::ops::RangeInclusive;
use std::time::Duration;

/// A seeded sequence of numbers.
#[derive(Debug)]
pub(super) struct Random {
    state: u64,
}

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random { state: seed }
    }

    pub(super) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// A number below `bound`, which is not 0. (The bias of the modulo does not matter here.)
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// True `per_million` times in a million. Draws nothing for 0, so that unused faults leave the sequence alone.
    pub(super) fn happens(&mut self, per_million: u32) -> bool {
        per_million != 0 && self.below(1_000_000) < u64::from(per_million)
    }
}

/// Scrambles 64 bits; also used for the fingerprint.
pub(super) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A range of delays in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delay {
    least: u64,
    span: u64,
}

impl Delay {
    pub(super) fn new(range: &RangeInclusive<Duration>) -> Delay {
        let (least, most) = (nanoseconds(*range.start()), nanoseconds(*range.end()));
        assert!(least <= most, "a delay range ends before it starts: {range:?}");
        Delay { least, span: most - least }
    }

    /// Draws nothing where there is nothing to draw.
    pub(super) fn draw(self, random: &mut Random) -> u64 {
        if self.span == 0 { self.least } else { self.least + random.below(self.span + 1) }
    }
}

/// A duration as nanoseconds of virtual time, capped at some 500 years.
pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
