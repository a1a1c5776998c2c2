//! Waking a reactor that sleeps, at the price of one load when it does not.
//!
//! ```text
//!            announce()                    wake() from any thread
//!   Awake ───────────────► Asleep ────────────────────────► Woken
//!     ▲                      │  ▲                              │
//!     └──────────────────────┘  └──────────────────────────────┘
//!            cancel()                    announce()
//! ```
//!
//! | state | meaning | `wake()` |
//! |---|---|---|
//! | Awake | the thread will look at everything before it next sleeps | does nothing |
//! | Asleep | the thread sleeps, or will unless its next look finds work | makes it Woken and unparks the thread |
//! | Woken | someone woke the thread, which has not looked since | does nothing |
//!
//! # No wake-up is lost
//!
//! The sender publishes its work (a message, a flag), passes a sequentially consistent fence, and then loads the state.
//! The reactor stores Asleep, passes a sequentially consistent fence, and then looks at everything **once more** before
//! it parks. The two fences have one order. If the sender's is first, what it published before its fence is seen by the
//! look that comes after the reactor's fence. If the reactor's is first, the sender's load cannot miss the store of
//! Asleep, and it unparks. Without the fences both sides could read the old value of what the other wrote (store
//! buffering), and the message would lie there until the sleep runs out.
//!
//! An unpark that comes before the park makes the park return at once, and the state is checked right before parking,
//! so a token that someone else on this thread consumed does no harm either.

use std::sync::atomic::{AtomicU8, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;

const AWAKE: u8 = 0;
const ASLEEP: u8 = 1;
const WOKEN: u8 = 2;

/// Wakes one reactor from any thread. Cheap to clone; all clones wake the same reactor.
#[derive(Clone, Debug)]
pub struct Waker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: AtomicU8,
    thread: OnceLock<Thread>,
}

impl Waker {
    /// A waker for a reactor that has not started. It counts as asleep, so that a wake before the start is remembered.
    pub fn new() -> Waker {
        Waker { shared: Arc::new(Shared { state: AtomicU8::new(ASLEEP), thread: OnceLock::new() }) }
    }

    /// Makes the reactor look at its pollers and mailboxes soon. Publish the work first, then call this: a fence, a
    /// load, and only if the reactor sleeps a system call.
    #[inline]
    pub fn wake(&self) {
        fence(Ordering::SeqCst); // orders the caller's work before the load: see the top of this file
        if self.shared.state.load(Ordering::Relaxed) == ASLEEP {
            self.wake_sleeper();
        }
    }

    #[cold]
    fn wake_sleeper(&self) {
        // Release pairs with the acquire of `announce`, which may overwrite Woken and must then see the work. Of
        // several callers one makes the system call.
        let state = self.shared.state.compare_exchange(ASLEEP, WOKEN, Ordering::Release, Ordering::Relaxed);
        if state.is_err() {
            return;
        }
        if let Some(thread) = self.shared.thread.get() {
            thread.unpark();
        }
    }

    /// The calling thread is the one to wake from now on, and it is awake.
    ///
    /// # Panics
    /// If another thread was bound before: a reactor stays on its thread.
    pub(crate) fn bind_to_current_thread(&self) {
        let bound = self.shared.thread.get_or_init(thread::current);
        assert!(bound.id() == thread::current().id(), "a reactor must keep running on the thread where it first ran");
        self.cancel();
    }

    /// Says that the thread will sleep unless it finds work: it must look at everything after this and before `sleep`.
    pub(crate) fn announce(&self) {
        self.shared.state.swap(ASLEEP, Ordering::AcqRel);
        fence(Ordering::SeqCst); // orders the store before the look that follows: see the top of this file
    }

    /// Takes the announcement back. A sender that still sees it makes one system call too many, no harm.
    pub(crate) fn cancel(&self) {
        self.shared.state.store(AWAKE, Ordering::Relaxed);
    }

    /// Sleeps until woken or until `at_most` has passed. A wake since `announce` makes it return at once; it may also
    /// return early for no reason. Afterwards the announcement stands again, so the caller looks and may sleep again.
    pub(crate) fn sleep(&self, at_most: Duration) {
        if self.shared.state.load(Ordering::Relaxed) == ASLEEP {
            thread::park_timeout(at_most);
        }
        if self.shared.state.load(Ordering::Relaxed) != ASLEEP {
            self.announce();
        }
    }
}

impl Default for Waker {
    fn default() -> Waker {
        Waker::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(waker: &Waker) -> u8 {
        waker.shared.state.load(Ordering::Relaxed)
    }

    #[test]
    fn waking_a_busy_thread_changes_nothing() {
        let waker = Waker::new();
        waker.bind_to_current_thread();
        waker.wake();
        assert_eq!(state(&waker), AWAKE);
    }

    #[test]
    fn a_wake_before_the_start_is_remembered() {
        let waker = Waker::new();
        waker.wake();
        assert_eq!(state(&waker), WOKEN);
        waker.sleep(Duration::MAX);
    }

    #[test]
    fn a_wake_between_announcement_and_sleep_prevents_the_sleep_and_the_announcement_stands_again() {
        let waker = Waker::new();
        waker.bind_to_current_thread();
        for _ in 0..3 {
            waker.announce();
            waker.wake();
            waker.wake();
            assert_eq!(state(&waker), WOKEN);
            waker.sleep(Duration::MAX);
            assert_eq!(state(&waker), ASLEEP);
        }
        waker.sleep(Duration::ZERO); // nobody woke it: the announcement still stands
        assert_eq!(state(&waker), ASLEEP);
        waker.cancel();
        assert_eq!(state(&waker), AWAKE);
    }
}
