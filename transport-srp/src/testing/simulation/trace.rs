//! What happened, line by line; and a number that stands for all of it.

use std::fmt::{self, Write};
use std::time::Duration;

/// The lines of one run. Only their hash is kept; who wants to read them gets them as they come, because a failure may end the process.
#[derive(Debug)]
pub(super) struct Trace {
    hash: u64,
    reader: Option<fn(&str)>,
}

impl Trace {
    pub(super) fn new(reader: Option<fn(&str)>) -> Trace {
        Trace { hash: 0xcbf2_9ce4_8422_2325, reader }
    }

    pub(super) fn note(&mut self, now: Duration, line: fmt::Arguments<'_>) {
        // Writing to it cannot fail.
        let _ = writeln!(self, "{:>10} {line}", now.as_nanos());
    }

    /// Equal runs have equal ones.
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }
}

/// FNV-1a.
impl Write for Trace {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if let Some(reader) = self.reader {
            reader(text);
        }
        Ok(())
    }
}
