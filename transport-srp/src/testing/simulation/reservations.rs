//! Who may write, where that is certain: from the answer to a RESERVE until anything else is asked that could change it.

/// PERSISTENT RESERVE: write exclusive.
pub(super) const WRITE_EXCLUSIVE: u8 = 1;
/// PERSISTENT RESERVE: exclusive access.
pub(super) const EXCLUSIVE_ACCESS: u8 = 3;

/// The reservation of one unit, as far as known.
#[derive(Debug, Default)]
pub(super) struct Holder {
    /// PERSISTENT RESERVE OUT without an end, by the moment they were sent.
    open: Vec<u64>,
    /// Initiator, type, and since when.
    certain: Option<(usize, u8, u64)>,
}

impl Holder {
    /// Something is asked that may change it.
    pub(super) fn asked(&mut self, start: u64) {
        self.open.push(start);
        self.certain = None;
    }

    /// What was asked at that moment is over.
    pub(super) fn closed(&mut self, start: u64) {
        self.open.retain(|&open| open != start);
    }

    /// An initiator has it now, unless something else is under way.
    pub(super) fn holds(&mut self, initiator: usize, kind: u8, now: u64) {
        self.certain = self.open.is_empty().then_some((initiator, kind, now));
    }

    /// It is not known any more.
    pub(super) fn forget(&mut self) {
        self.certain = None;
    }

    /// Whether a command of another, sent at `start` and answered GOOD, broke it.
    pub(super) fn is_broken_by(&self, initiator: usize, writes: bool, start: u64) -> bool {
        self.certain.is_some_and(|(holder, kind, since)| {
            holder != initiator && start > since && (writes || kind == EXCLUSIVE_ACCESS)
        })
    }
}
