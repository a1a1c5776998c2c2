//! Keeps commands off a unit's medium while a write that nobody waits for any more may still land there, or while its device is
//! exchanged.
//!
//! When a write is aborted, or its channel dies, while the device works on it, the initiator is answered at once and may write
//! the same blocks again, on any channel and so on any core. If the old write landed after the new one, data would be
//! lost. So such an orphan raises its unit's fence, and until it is done no command that touches the medium is
//! submitted on any core; other commands (INQUIRY, TEST UNIT READY, task management) are answered as ever.
//!
//! The control plane raises it, too, for as long as another file takes the place of the unit's: no core may work on the old one while
//! another already works on the new one (`exchange.rs`).

use std::sync::atomic::{AtomicU32, Ordering};

/// How many reasons there are to stay off the medium of one unit. Shared by all cores.
#[derive(Debug, Default)]
pub(crate) struct Fence {
    reasons: AtomicU32,
}

impl Fence {
    /// An orphan is left at the device, or the device is to be exchanged.
    ///
    /// Release, paired with the Acquire in [`Fence::is_raised`]: the initiator can only send the write that must be held
    /// back after it got the answer that follows this call, so the core which receives that write sees the fence.
    pub(crate) fn raise(&self) {
        self.reasons.fetch_add(1, Ordering::Release);
    }

    /// An orphan came back from the device, or the exchange is over.
    pub(crate) fn lower(&self) {
        self.reasons.fetch_sub(1, Ordering::Release);
    }

    /// Whether commands that touch the medium must wait.
    pub(crate) fn is_raised(&self) -> bool {
        self.reasons.load(Ordering::Acquire) != 0
    }
}
