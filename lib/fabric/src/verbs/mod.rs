//! RDMA through rdma-core: librdmacm for connections, libibverbs for data. Works with every device that the kernel
//! knows: InfiniBand, RoCE (soft-RoCE too) and iWARP.
//!
//! # Control side (control thread; safe code on top of fenced wrappers)
//! - `control.rs`: [`Control`], the API and the order in which `Control::poll` looks at things
//! - `active.rs`: connections that an initiator asks for
//! - `devices.rs`: finding devices as they come and go, and giving them up
//! - `listener.rs`, `connection.rs`: what is remembered of each
//!
//! # Data path (one reactor)
//! - `poll_group.rs`: [`PollGroup`], the slots, the doorbell and the polling
//! - `work.rs`: the work outstanding on a queue pair; the promise that every buffer comes back exactly once is kept here
//! - `table.rs`, `work_list.rs`: its fixed-size parts
//! - `exposed.rs`: memory that an initiator lets its peers into
//!
//! # Fenced (`unsafe`), each owning one kind of C object
//! `cm.rs` (event channel and CM ids), `device.rs` (context and protection domain), `region.rs` (memory regions and their
//! keys), `completion_queue.rs`, `queue_pair.rs`; and `work.rs`, which vouches for the buffers that it posts.
//!
//! # Who keeps whom alive
//! ```text
//! Connection ─► CmId ─► EventChannel
//!     └──────► Handle (queue pair) ─► CompletionQueue ─► Device (context, PD, memory regions) ─► DeviceList
//! PollGroup ──► Handle, CompletionQueue
//! ```
//! Arrows are `Arc`s, so nothing is destroyed under its users. A queue pair is destroyed by the control thread when its
//! `Handle` is the last one.
//!
//! # Exposed memory
//! An initiator's data lie in a region that is registered for peers to read and write as a whole, for as long as the region is
//! there: user space has no registration of a single command that would cost less than the command. So
//! [`crate::PollGroup::withdraw`] takes memory back from a peer that keeps to the protocol, and from no other: a target that is
//! not trusted with all that the initiator exposes at any time must not be connected to. A target of ours exposes nothing.
//!
//! # How a queue pair dies
//! Whoever notices first (the connection manager, an asynchronous event, a failed completion, a refused post, the user)
//! marks the handle as failed and modifies the queue pair to the error state, in which the device completes everything
//! posted as flushed. The poll group sees the mark, stops posting, and then modifies the queue pair to error once
//! more: some providers (soft-RoCE) flush receives only at that moment, and a receive may have been posted after the
//! first time. What was queued but not posted comes back from memory.

mod active;
mod cm;
mod completion_queue;
mod connection;
mod control;
mod device;
mod devices;
mod exposed;
mod listener;
mod poll_group;
mod queue_pair;
mod region;
mod table;
mod work;
mod work_list;

pub use control::Control;
pub use poll_group::{PollGroup, PollGroupSeed};
pub use queue_pair::QueuePair;
