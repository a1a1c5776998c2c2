//! The announcement of a sleep: the part of a waker that threads share, without the file that ends the sleep. `waker.rs` tells how it works and why no
//! wake-up is lost; `fuzz/models` tries it.

use crate::sync::{AtomicU8, Ordering, fence};

pub(crate) const AWAKE: u8 = 0;
pub(crate) const ASLEEP: u8 = 1;
pub(crate) const WOKEN: u8 = 2;

/// Awake, asleep or woken.
#[derive(Debug)]
pub(crate) struct Announcement(AtomicU8);

impl Announcement {
    pub(crate) fn awake() -> Announcement {
        Announcement(AtomicU8::new(AWAKE))
    }

    /// Wakes; true if the caller has to end the sleep. Of several callers it is one. Publish the work first.
    #[inline]
    pub(crate) fn wake(&self) -> bool {
        fence(Ordering::SeqCst); // orders the caller's work before the load
        self.0.load(Ordering::Relaxed) == ASLEEP && self.wake_sleeper()
    }

    #[cold]
    fn wake_sleeper(&self) -> bool {
        // Release pairs with the acquire of `announce`, which may overwrite Woken and must then see the work.
        self.0.compare_exchange(ASLEEP, WOKEN, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// Whoever calls this must look at everything after it and before the sleep.
    pub(crate) fn announce(&self) {
        self.0.swap(ASLEEP, Ordering::AcqRel);
        fence(Ordering::SeqCst); // orders the store before the look that follows
    }

    /// Takes it back. A sender that still sees it makes one system call too many, no harm.
    pub(crate) fn cancel(&self) {
        self.0.store(AWAKE, Ordering::Relaxed);
    }

    /// It was made, and neither taken back nor answered by a wake.
    pub(crate) fn stands(&self) -> bool {
        self.0.load(Ordering::Relaxed) == ASLEEP
    }

    /// Tests: one of the three.
    #[cfg(test)]
    pub(crate) fn state(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}
