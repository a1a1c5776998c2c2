//! One thread per core that polls, as in SPDK: nothing waits for an interrupt, nothing locks, nothing allocates once
//! it runs.
//!
//! # Threading rules
//!
//! 1. A [`Reactor`] is one thread, usually pinned to one core. It calls its [`Poller`]s in turn, round after round, and
//!    timed ones when their time has come. A poller does a bounded amount of work and returns; while it runs, nothing
//!    else on its core does.
//! 2. What a poller owns belongs to its thread: pollers are not `Send`, so they may hold `Rc`s and `Cell`s. To put one on
//!    a running reactor, send a function that builds it there ([`ReactorHandle::add_poller`]).
//! 3. Threads share nothing but messages. A [`mailbox`] is a bounded queue from many senders to one receiver, which a
//!    poller of the receiving reactor empties. A full mailbox gives the message back: the sender keeps it and tries in a
//!    later round, it never waits.
//! 4. A round neither locks nor allocates. The exceptions are on the control path: adding and removing a poller, and
//!    the log line about a stall. Statistics are counters that only the reactor writes and anyone may read.
//! 5. Time comes from an injected [`Clock`], read once between two pollers. No poller asks the machine for the time, so
//!    a test or a simulation decides what time it is.
//! 6. A panic in a poller is a bug of ours and takes the process with it (`panic = "abort"` in release).
//!
//! # Sleeping
//!
//! [`IdleMode::Poll`] burns its core, which is the default on a machine that has cores to give. The other modes sleep
//! when there is no work. Whoever gives a sleeping reactor work wakes it through its [`Waker`]: [`Sender::send`] and
//! [`ReactorHandle`] do. What the kernel or a device has for a poller makes a file readable that the poller names
//! ([`Poller::arm`], [`Poller::wake_sources`]). Work that nothing tells of is found when the sleep runs out, which is short then:
//! `max_sleep` is the latency that such a mode may add to it.
//!
//! # Reading order
//!
//! `reactor.rs` (the loop), `poller.rs`, `timer.rs`, `idle.rs` with `waker.rs` and `sources.rs` (when it sleeps, why no wake-up is
//! lost, and what else ends a sleep), `mailbox.rs`, `handle.rs` (what other threads may ask of a reactor), `stats.rs` and `stall.rs` (busy and idle
//! time), `thread.rs` (a reactor on its own thread) with `affinity.rs` (core masks and pinning), `clock.rs`.

#![forbid(unsafe_code)]

mod affinity;
mod announcement;
mod clock;
mod handle;
mod idle;
mod mailbox;
mod poller;
mod reactor;
mod sources;
mod stall;
mod stats;
mod sync;
mod thread;
mod timer;
mod waker;

pub use affinity::{AffinityError, CoreMask, CoreMaskError, keep_off, pin_current_thread};
pub use clock::{Clock, Instant, ManualClock, SystemClock};
pub use handle::{PollerBuilder, ReactorHandle};
pub use idle::IdleMode;
pub use mailbox::{Full, Receiver, Sender, mailbox};
pub use poller::{Poller, Progress};
pub use reactor::{Reactor, ReactorConfig};
pub use sources::WakeSources;
pub use stats::{PollerStats, ReactorStats};
pub use thread::{ReactorError, ReactorThread, spawn};
pub use waker::Waker;
