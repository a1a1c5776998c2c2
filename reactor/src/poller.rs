//! What a reactor runs.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Instant;
use crate::sources::WakeSources;
use crate::stats::PollerCounters;
use crate::waker::Waker;

/// Whether a poll found something to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Work was done: the time counts as busy, and the reactor stays awake.
    Busy,
    /// There was nothing to do.
    Idle,
}

impl Progress {
    /// Busy if one of the two is.
    #[must_use]
    pub fn or(self, other: Progress) -> Progress {
        if self == Progress::Busy { self } else { other }
    }
}

/// A piece of work that a reactor calls over and over, in turn with the others. Not `Send`: it lives and dies on its
/// reactor's thread.
pub trait Poller {
    /// The name under which statistics and stalls are reported, and by which the poller is removed. Read once, when
    /// the poller is added.
    fn name(&self) -> &str;

    /// Looks for work and does a bounded amount of it. Neither locks, nor blocks, nor allocates. `now` was read right
    /// before the call.
    fn poll(&mut self, now: Instant) -> Progress;

    /// The reactor is going to sleep: from now on, whoever gives this poller work is to wake it, through `waker` or by making a
    /// file of [`Poller::wake_sources`] readable. One more poll comes before the sleep, so what came before this call is not
    /// overlooked. May make system calls; does not allocate, but for the first time.
    fn arm(&mut self, waker: &Waker) {
        let _ = waker;
    }

    /// What ends the sleep that comes now. A poller that says nothing of it is polled often instead.
    fn wake_sources<'a>(&'a self, sources: &mut WakeSources<'a>) {
        sources.look_often();
    }
}

/// A poller with the counters that its reactor keeps for it.
pub(crate) struct Registered {
    pub(crate) poller: Box<dyn Poller>,
    pub(crate) counters: Arc<PollerCounters>,
}

impl Registered {
    pub(crate) fn new(id: u64, period: Option<Duration>, poller: Box<dyn Poller>) -> Registered {
        let counters = Arc::new(PollerCounters::new(id, poller.name().to_owned(), period));
        Registered { poller, counters }
    }
}
