//! The generations of the bitmaps that ORWRITE works on (SBC-3, ORWgeneration code): initiators that share one agree on it, so that bits of
//! the last generation do not get into the next.
//!
//! A change has the whole unit for itself and every other ORWRITE its blocks ([`crate::Job::exclusive`]), so none sees a change half done.
//! All is as at first after a restart, and stays over a logical unit reset.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use crate::command::Generation;

/// What an ORWRITE that sets bits does, by the generation that it expects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Its data are ORed into the blocks.
    Perform,
    /// Its data are of no use any more; it ends well.
    Discard,
    /// It is refused.
    Mismatch,
}

/// The current ORWRITE processing policy: what becomes of those that expect the previous generation, and of those that expect yet another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Policy(u8);

/// See above.
#[derive(Debug)]
pub(crate) struct Generations {
    current: AtomicU32,
    previous: AtomicU32,
    policy: AtomicU8,
}

impl Policy {
    const DEFAULT: Policy = Policy(7);

    /// PREVIOUS GENERATION PROCESSING; `None` if the code is reserved.
    pub(crate) fn new(code: u8) -> Option<Policy> {
        matches!(code, 0 | 2 | 3 | 5 | 7).then_some(Policy(code))
    }

    /// For the previous generation, and for any other but the current.
    fn verdicts(self) -> (Verdict, Verdict) {
        match self.0 {
            0 => (Verdict::Perform, Verdict::Mismatch),
            2 => (Verdict::Discard, Verdict::Mismatch),
            3 => (Verdict::Perform, Verdict::Perform),
            5 => (Verdict::Discard, Verdict::Discard),
            _ => (Verdict::Mismatch, Verdict::Mismatch),
        }
    }
}

impl Default for Generations {
    fn default() -> Generations {
        Generations {
            current: AtomicU32::new(0),
            previous: AtomicU32::new(0),
            policy: AtomicU8::new(Policy::DEFAULT.0),
        }
    }
}

impl Generations {
    /// What to do with bits for this generation.
    pub(crate) fn set(&self, expected: u32) -> Verdict {
        let (previous, other) = Policy(self.policy.load(Ordering::Relaxed)).verdicts();
        match () {
            () if self.is_current(expected) => Verdict::Perform,
            () if expected == self.previous.load(Ordering::Relaxed) => previous,
            () => other,
        }
    }

    /// Whether it is the current one, which a change has to expect.
    pub(crate) fn is_current(&self, expected: u32) -> bool {
        expected == self.current.load(Ordering::Relaxed)
    }

    /// The next generation begins.
    pub(crate) fn change(&self, next: Generation) {
        self.previous.store(self.current.load(Ordering::Relaxed), Ordering::Relaxed);
        self.current.store(next.code, Ordering::Relaxed);
        self.policy.store(next.policy.0, Ordering::Relaxed);
    }
}
