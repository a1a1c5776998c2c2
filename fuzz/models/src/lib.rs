//! Our own lock-free structures under loom: it runs a model again and again, each time with another order of the threads' steps and with other values
//! that a relaxed load may see.
//!
//! The files are the ones that run in production, included here; what they share by comes from `sync`, which is loom's here and `std`'s there. What
//! has a system call in it is split off so that the rest can be here.
//!
//! | file | what must not happen |
//! |---|---|
//! | `reactor/src/announcement.rs` | a reactor sleeps on a message |
//! | `transport-srp/src/trace/ring.rs` | a reader is shown a torn record |
//! | `transport-srp/src/exclusion.rs` | two overlapping claims are granted at once, or one beside an operation that it forbids |
//!
//! Loom takes a sequentially consistent access for acquire and release, so it finds too much where one hangs on more; here none does.

#![forbid(unsafe_code)]

pub mod models;

#[expect(dead_code, reason = "the models call what is about threads")]
#[path = "../../../reactor/src/announcement.rs"]
mod announcement;
#[expect(dead_code, reason = "the models call what is about threads")]
#[path = "../../../transport-srp/src/exclusion.rs"]
mod exclusion;
#[path = "../../../transport-srp/src/trace/ring.rs"]
mod ring;

/// What threads share by.
mod sync {
    pub(crate) use loom::sync::Arc;
    pub(crate) use loom::sync::atomic::{AtomicU8, AtomicU64, Ordering, fence};
}

/// What stands in `transport-srp/src/session.rs`.
mod session {
    /// Number of a unit.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) struct UnitId(pub(crate) u32);
}
