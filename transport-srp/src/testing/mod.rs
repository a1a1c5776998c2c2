//! An SRP initiator over the simulated fabric, for tests of this crate and of those above it (feature `test-utils`).
//!
//! It behaves as Linux' `ib_srp` does where that matters to a target: receives are posted only when the connection is established,
//! one credit is kept for task management, tags are small numbers that are used again at once, memory is registered
//! for each command and taken back with its response. And it is stricter: it panics, with the reason, on everything that
//! a target must never do:
//!
//! - answer a request twice, on another channel, after the answer to its abort, or without having been asked;
//! - send anything before the first request, or more than the login allows, or with lengths that do not add up;
//! - hand out more credits than it took (and [`Initiator::credits`] tells whether all are back);
//! - have two requests of its own unanswered;
//! - report a residual that the data buffer belies, or write beyond what it reports.
//!
//! What the fabric notices (RDMA to memory that was taken back, too many READs, a message without a receive) is in
//! [`fabric::sim::Network::violations`] and its counters; a test looks there at its end.
//!
//! Reading order: `wire.rs` (bytes), `request.rs` (what can be asked), `memory.rs` (where its data lie), `channel.rs`
//! (credits, tags and the checks), `initiator.rs` (a session of several channels; what tests call). `store.rs` is a state
//! directory, `parts.rs` is for benchmarks.
//! [`simulation`] has everything at once happen to a target, from a seed.

mod channel;
mod initiator;
mod memory;
pub mod parts;
mod request;
pub mod simulation;
mod store;
#[cfg(test)]
mod tests;
pub mod wire;

pub use channel::{Answer, Login, NotSent, Outcome};
pub use initiator::{Handle, Initiator, InitiatorOptions, MultiChannel};
pub use request::{Data, Form, Request, lun};
pub use store::MemoryStore;
