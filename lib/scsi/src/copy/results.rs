//! What is kept of third-party copies for RECEIVE COPY STATUS and RECEIVE COPY FAILURE DETAILS (SPC-4), per initiator and unit.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::wire::sense::Sense;

/// The copies of one initiator at one unit by list identifier, so never more than 256. Locked when a copy begins and when
/// somebody asks, not while data moves.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    known: Mutex<BTreeMap<u8, Arc<Progress>>>,
}

/// One copy: written by the core that it runs on, read by whoever asks.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Segments that were begun.
    pub(super) segments: AtomicU32,
    /// Bytes written.
    pub(super) bytes: AtomicU64,
    /// How it ended: with sense data if it failed.
    end: OnceLock<Option<Sense>>,
    status_told: AtomicBool,
    details_told: AtomicBool,
}

/// A copy under way. If it is dropped before [`Running::end`], the copy was aborted, and nothing of it is known any more.
#[derive(Clone, Debug)]
pub(crate) struct Running(Arc<Progress>);

/// What became of a copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Running,
    Ended(Option<Sense>),
}

impl Copies {
    /// Begins a copy; what was known under its identifier is forgotten.
    ///
    /// # Errors
    /// Another copy under this identifier is under way.
    pub(super) fn begin(&self, id: u8) -> Result<Running, Sense> {
        let mut known = self.lock();
        if known.get(&id).is_some_and(|progress| progress.is_running()) {
            return Err(Sense::OPERATION_IN_PROGRESS);
        }
        let progress = Arc::new(Progress::default());
        known.insert(id, Arc::clone(&progress));
        Ok(Running(progress))
    }

    /// Looks at a copy that is under way, or has ended and is remembered.
    pub(super) fn look<T>(&self, id: u8, look: impl FnOnce(&Progress) -> T) -> Option<T> {
        let known = self.lock();
        let progress = known.get(&id).filter(|progress| progress.is_running() || progress.end.get().is_some())?;
        Some(look(progress))
    }

    /// Forgets those that have ended (SPC-4: logical unit reset). Those under way are none of its business: they are aborted.
    pub(crate) fn forget(&self) {
        self.lock().retain(|_, progress| progress.is_running());
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u8, Arc<Progress>>> {
        // Every change is a single call, so nothing is half done whoever panicked.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    pub(super) fn state(&self) -> State {
        self.end.get().map_or(State::Running, |end| State::Ended(*end))
    }

    /// Its command holds the only other reference.
    fn is_running(self: &Arc<Self>) -> bool {
        self.end.get().is_none() && Arc::strong_count(self) > 1
    }

    /// Whether the status of a copy that ended was told before: it is told once.
    pub(super) fn take_status(&self) -> bool {
        self.status_told.swap(true, Ordering::Relaxed)
    }

    /// Whether the details of a failure were told to their end before.
    pub(super) fn were_details_told(&self) -> bool {
        self.details_told.load(Ordering::Relaxed)
    }

    pub(super) fn set_details_told(&self) {
        self.details_told.store(true, Ordering::Relaxed);
    }
}

impl Running {
    /// Another segment is begun.
    pub(super) fn segment(&self) {
        self.0.segments.fetch_add(1, Ordering::Relaxed);
    }

    /// More was written.
    pub(super) fn wrote(&self, bytes: u64) {
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// It is over.
    pub(super) fn end(&self, failure: Option<Sense>) {
        // A copy ends once; whatever came first stays.
        let _ = self.0.end.set(failure);
    }
}

impl PartialEq for Running {
    fn eq(&self, other: &Running) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Running {}
