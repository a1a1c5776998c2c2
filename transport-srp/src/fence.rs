//! Keeps commands off a unit's medium while a write that nobody waits for any more may still land there.
//!
//! When a write is aborted, or its channel dies, while the device works on it, the initiator is answered at once and may write
//! the same blocks again, on any channel and so on any core. If the old write landed after the new one, data would be
//! lost. So such an orphan raises its unit's fence, and until it is done no command that touches the medium is
//! submitted on any core; other commands (INQUIRY, TEST UNIT READY, task management) are answered as ever.

use std::sync::atomic::{AtomicU32, Ordering};

/// How many orphans may still change the medium of one unit. Shared by all cores.
#[derive(Debug, Default)]
pub(crate) struct Fence {
    orphans: AtomicU32,
}

impl Fence {
    /// An orphan is left at the device.
    ///
    /// Release, paired with the Acquire in [`Fence::is_raised`]: the initiator can only send the write that must be held
    /// back after it got the answer that follows this call, so the core which receives that write sees the fence.
    pub(crate) fn raise(&self) {
        self.orphans.fetch_add(1, Ordering::Release);
    }

    /// An orphan came back from the device.
    pub(crate) fn lower(&self) {
        self.orphans.fetch_sub(1, Ordering::Release);
    }

    /// Whether commands that touch the medium must wait.
    pub(crate) fn is_raised(&self) -> bool {
        self.orphans.load(Ordering::Acquire) != 0
    }
}
