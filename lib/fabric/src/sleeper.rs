//! The reactor of a poll group, for whoever leaves something for the group while it may sleep.

use std::sync::OnceLock;
use std::sync::atomic::{Ordering, fence};

use reactor::Waker;

/// Wakes the reactor of a poll group, if that one ever slept.
#[derive(Debug, Default)]
pub(crate) struct Sleeper {
    waker: OnceLock<Waker>,
}

impl Sleeper {
    /// The group's reactor is going to sleep, and is to be woken by this. The group looks at everything once more afterwards.
    pub(crate) fn announce(&self, waker: &Waker) {
        if self.waker.get().is_none() {
            let _ = self.waker.set(waker.clone());
            // Orders the store before the group's next look, as `wake` orders what was left before the load: one of them sees the other's.
            fence(Ordering::SeqCst);
        }
    }

    /// Something was left for the group. A fence and a load, and only if its reactor sleeps a system call.
    #[inline]
    pub(crate) fn wake(&self) {
        fence(Ordering::SeqCst);
        if let Some(waker) = self.waker.get() {
            waker.wake();
        }
    }
}
