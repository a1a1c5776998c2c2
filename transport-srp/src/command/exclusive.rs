//! Commands that have blocks to themselves: claimed before their first step, or when they ask for it (`exclusion.rs`).

use mem::Buf;

#[cfg(test)]
use super::Request;
use super::{Action, Command};
use crate::exclusion::Extent;

impl Command {
    /// The next step, once the blocks are its own that must be from then on.
    pub(super) fn claim_and_step(&mut self, buf: Option<Buf>) -> Action {
        match self.exclusive() {
            Some(blocks) => Action::Claim(Extent { start: blocks.start, end: blocks.end }, buf),
            None => self.step(None, buf),
        }
    }

    fn exclusive(&self) -> Option<std::ops::Range<u64>> {
        #[cfg(test)]
        if let Some(blocks) = self.exclusive_for_test() {
            return Some(blocks);
        }
        self.job.as_ref()?.exclusive()
    }

    /// Tests: a command with this GROUP NUMBER has its eight blocks to itself.
    #[cfg(test)]
    fn exclusive_for_test(&self) -> Option<std::ops::Range<u64>> {
        let (Request::Command(command), Some(receive)) = (&self.request, &self.receive) else { return None };
        let cdb = command.cdb(receive.bytes());
        let lba = u64::from(u32::from_be_bytes(*cdb.get(2..)?.first_chunk()?));
        (matches!(cdb[0], 0x28 | 0x2a | 0x2f) && cdb[6] == 0x1f).then(|| lba..lba + 8)
    }
}
