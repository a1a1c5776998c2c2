//! The rate of each second of a run.

const SECOND_NS: u64 = 1_000_000_000;

/// Notes how many I/Os there were whenever a second is over, warm-up included.
#[derive(Clone, Debug)]
pub struct Seconds {
    /// In nanoseconds since the load began, as a core compares it in each of its rounds.
    due_ns: u64,
    last: (u64, u64),
    samples: Vec<Sample>,
}

/// One second, or a little more where the one who counts came late.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sample {
    /// When it ended, in seconds since the load began.
    pub at: f64,
    /// I/Os per second since the one before.
    pub iops: f64,
}

impl Seconds {
    /// Before the load begins.
    pub fn new() -> Seconds {
        Seconds { due_ns: SECOND_NS, last: (0, 0), samples: Vec::with_capacity(64) }
    }

    /// Whether a second is over that was not noted yet, so many nanoseconds after the load began.
    #[inline]
    pub fn is_due(&self, elapsed_ns: u64) -> bool {
        elapsed_ns >= self.due_ns
    }

    /// Takes the number of I/Os since the load began, and tells how many of them came since the last time.
    pub fn note(&mut self, elapsed_ns: u64, ios: u64) -> u64 {
        let (before_ns, ios_before) = self.last;
        let more = ios.saturating_sub(ios_before);
        let iops = more as f64 * 1e9 / elapsed_ns.saturating_sub(before_ns).max(1) as f64;
        self.samples.push(Sample { at: elapsed_ns as f64 / 1e9, iops });
        (self.last, self.due_ns) = ((elapsed_ns, ios), (elapsed_ns / SECOND_NS + 1) * SECOND_NS);
        more
    }

    /// All seconds so far.
    pub fn samples(self) -> Vec<Sample> {
        self.samples
    }
}

impl Default for Seconds {
    fn default() -> Seconds {
        Seconds::new()
    }
}

/// Pairs of seconds and I/Os per second, for JSON.
pub fn pairs(samples: &[Sample]) -> Vec<[f64; 2]> {
    let rounded = |number: f64| (number * 1e3).round() / 1e3;
    samples.iter().map(|sample| [rounded(sample.at), rounded(sample.iops)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_the_time_that_went_by() {
        let mut seconds = Seconds::new();
        assert!(!seconds.is_due(SECOND_NS - 1) && seconds.is_due(SECOND_NS));
        assert_eq!(seconds.note(SECOND_NS, 500), 500);
        // Two and a half seconds late, and then on the second again.
        assert!(seconds.is_due(3_500_000_000));
        assert_eq!(seconds.note(3_500_000_000, 1_500), 1_000);
        assert!(!seconds.is_due(3_900_000_000) && seconds.is_due(4_000_000_000));
        assert_eq!(pairs(&seconds.samples()), [[1.0, 500.0], [3.5, 400.0]]);
    }
}
