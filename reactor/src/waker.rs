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
//! | Asleep | the thread sleeps, or will unless its next look finds work | makes it Woken and its file readable, which ends the sleep |
//! | Woken | someone woke the thread, which has not looked since | does nothing |
//!
//! # No wake-up is lost
//!
//! The sender publishes its work (a message, a flag), passes a sequentially consistent fence, and then loads the state.
//! The reactor stores Asleep, passes a sequentially consistent fence, and then looks at everything **once more** before
//! it sleeps. The two fences have one order. If the sender's is first, what it published before its fence is seen by the
//! look that comes after the reactor's fence. If the reactor's is first, the sender's load cannot miss the store of
//! Asleep, and it wakes. Without the fences both sides could read the old value of what the other wrote (store
//! buffering), and the message would lie there until the sleep runs out. `announcement.rs` has this part, and `fuzz/models` tries it in many orders.
//!
//! The sleep is a ppoll(2) of the waker's file (an eventfd) and of the files of the reactor's pollers. A wake that comes before the
//! sleep leaves the file readable, so the sleep ends at once; one that comes late leaves it readable for the next sleep, which
//! then ends for no reason, and no harm.
//!
//! Files of pollers are armed between `announce` and that last look, so what comes before they are armed is seen by the look, and what
//! comes after makes them readable.

use std::sync::{Arc, OnceLock};
use std::thread::{self, ThreadId};
use std::time::Duration;

use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::announcement::Announcement;
use crate::sources::WakeSources;

/// Wakes one reactor from any thread. Cheap to clone; all clones wake the same reactor.
#[derive(Clone, Debug)]
pub struct Waker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    announcement: Announcement,
    thread: OnceLock<ThreadId>,
    /// Readable when the thread is to wake.
    file: OwnedFd,
}

impl Waker {
    /// A waker for a reactor that has not started. It counts as asleep, so that a wake before the start is remembered.
    ///
    /// # Panics
    /// If the system gives no file for it: the limit on open files (`ulimit -n`) is reached before anything was started.
    pub fn new() -> Waker {
        let file = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let file = file.expect("no eventfd to wake a thread by: raise the limit on open files (ulimit -n)");
        let announcement = Announcement::awake();
        announcement.announce();
        Waker { shared: Arc::new(Shared { announcement, thread: OnceLock::new(), file }) }
    }

    /// Makes the reactor look at its pollers and mailboxes soon. Publish the work first, then call this: a fence, a
    /// load, and only if the reactor sleeps a system call.
    #[inline]
    pub fn wake(&self) {
        if self.shared.announcement.wake() {
            self.end_sleep();
        }
    }

    #[cold]
    fn end_sleep(&self) {
        // It fails only when the file is readable already.
        let _ = rustix::io::write(&self.shared.file, &1_u64.to_ne_bytes());
    }

    /// The calling thread is the one to wake from now on, and it is awake.
    ///
    /// # Panics
    /// If another thread was bound before: a reactor stays on its thread.
    pub(crate) fn bind_to_current_thread(&self) {
        let current = thread::current().id();
        let bound = self.shared.thread.get_or_init(|| current);
        assert!(*bound == current, "a reactor must keep running on the thread where it first ran");
        self.cancel();
    }

    /// Says that the thread will sleep unless it finds work: it must look at everything after this and before `sleep`.
    pub(crate) fn announce(&self) {
        self.shared.announcement.announce();
    }

    /// Takes the announcement back. A sender that still sees it makes one system call too many, no harm.
    pub(crate) fn cancel(&self) {
        self.shared.announcement.cancel();
    }

    /// Sleeps until woken, until a file of `sources` is readable, or until `at_most` has passed; whether a file was. A wake since
    /// `announce` makes it return at once; it may also return early for no reason. Afterwards the announcement stands again, so the
    /// caller looks and may sleep again.
    pub(crate) fn sleep(&self, sources: &mut WakeSources<'_>, at_most: Duration) -> bool {
        let mut work = false;
        if self.shared.announcement.stands() {
            let timeout = Timespec::try_from(at_most).ok(); // none: longer than the system can count
            let files = sources.files();
            // An error is an interruption by a signal.
            if rustix::event::poll(files, timeout.as_ref()).is_ok() {
                work = files[1..].iter().any(|file| !file.revents().is_empty());
                if !files[0].revents().is_empty() {
                    let _ = rustix::io::read(&self.shared.file, &mut [0; 8]); // does not block
                }
            }
        }
        if !self.shared.announcement.stands() {
            self.announce();
        }
        work
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.file.as_fd()
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
    use crate::announcement::{ASLEEP, AWAKE, WOKEN};

    fn state(waker: &Waker) -> u8 {
        waker.shared.announcement.state()
    }

    fn sleep(waker: &Waker, at_most: Duration) {
        assert!(!waker.sleep(&mut WakeSources::new(waker), at_most), "there is no file but the waker's");
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
        sleep(&waker, Duration::MAX);
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
            sleep(&waker, Duration::MAX);
            assert_eq!(state(&waker), ASLEEP);
        }
        sleep(&waker, Duration::MAX); // of a wake above: once, and not again
        sleep(&waker, Duration::ZERO); // nobody woke it: the announcement still stands
        assert_eq!(state(&waker), ASLEEP);
        waker.cancel();
        assert_eq!(state(&waker), AWAKE);
    }

    #[test]
    fn a_readable_file_ends_the_sleep_and_is_told_apart_from_a_wake() {
        let waker = Waker::new();
        waker.bind_to_current_thread();
        let (reader, writer) = std::os::unix::net::UnixStream::pair().expect("sockets");
        rustix::io::write(&writer, b"!").expect("room in the socket");
        waker.announce();
        let mut sources = WakeSources::new(&waker);
        sources.file(&reader);
        assert!(waker.sleep(&mut sources, Duration::MAX));
        rustix::io::read(&reader, &mut [0; 1]).expect("a byte");
        waker.wake();
        let mut sources = WakeSources::new(&waker);
        sources.file(&reader);
        assert!(!waker.sleep(&mut sources, Duration::MAX));
    }
}
