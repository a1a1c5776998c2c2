//! Communication and transaction ids: nobody can guess them who does not see our messages.

use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::Hasher;

/// A seeded sequence of numbers that do not tell each other: a keyed hash (SipHash) of a counter.
pub(super) struct Ids {
    seed: u64,
    drawn: u64,
}

impl Ids {
    pub(super) fn new(seed: u64) -> Ids {
        Ids { seed, drawn: 0 }
    }

    /// A communication id: never 0, which stands for "none" (IBTA vol. 1, 12.7.27). It may have been drawn before.
    pub(super) fn communication(&mut self) -> u32 {
        loop {
            let id = (self.draw() >> 32) as u32;
            if id != 0 {
                return id;
            }
        }
    }

    /// A transaction id.
    pub(super) fn transaction(&mut self) -> u64 {
        self.draw()
    }

    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        let mut hash = DefaultHasher::new();
        hash.write_u64(self.seed);
        hash.write_u64(self.drawn);
        hash.finish()
    }
}

/// Without the seed: a log must not give it away.
impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ids").field("drawn", &self.drawn).finish_non_exhaustive()
    }
}
