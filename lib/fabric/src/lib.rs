//! What an SRP target needs of RDMA, and its back ends: `verbs` (rdma-core), `roce` (RoCEv2 of our own, over UDP) and
//! `sim` (both ends in one process).
//!
//! # Two halves
//! [`Control`] belongs to the one control thread. It listens, reports connection requests, makes queue pairs, accepts,
//! rejects, disconnects, destroys, and watches devices come and go. It may make system calls and may allocate.
//! A [`PollGroup`] belongs to one reactor. It holds that reactor's queue pairs, posts work and polls completions; it
//! makes no system call of its own while things go well, takes no lock and allocates nothing. A [`QueuePair`] is what
//! passes between them: made by `Control`, adopted by a poll group, released by it once nothing is outstanding, and
//! given back to `Control::destroy`.
//!
//! ```text
//! control thread                                        reactor
//! ConnectRequest ► create_queue_pair ── QueuePair ────► adopt, post_receive …, ring
//! accept ◄─────────────────────────────────────────────  "receives are posted"
//! Established                                            poll: Received, Fetched, Delivered
//! Disconnected (or disconnect) ─ queue pair to error ──► poll: everything comes back, as failed
//! destroy ◄────────────────────── QueuePair ──────────── release, when outstanding == 0
//! ```
//!
//! # Who owns a buffer when
//! A buffer handed to the fabric is moved into it and comes back in exactly one [`Completion`], also when the queue
//! pair dies. While the fabric has it, nobody can read or write it through Rust. The fabric gives no buffer back while
//! the device may still touch it.
//!
//! # Initiators
//! `verbs` and `roce` are an initiator's fabrics too: [`Control::connect`] asks for connections, [`PollGroup::expose`] lets the
//! peer reach memory. `sim` has an initiator of its own.
//!
//! # Order
//! On one queue pair, the writes and the message of a [`Deliver`] reach the initiator in their order, and while the queue
//! pair lives operations complete in the order in which they were posted (IBTA vol. 1, 9.5 and 10.8.6). READs are
//! ordered only among themselves: what depends on fetched data waits for [`Completion::Fetched`]. When the queue pair
//! dies, receives and operations come back in any order.
//!
//! # Reading order
//! `work` (what passes through the seam), [`Control`], [`PollGroup`], then a back end: `verbs/mod.rs`, `roce/mod.rs` or
//! `sim/mod.rs`.
//!
//! # Unsafe
//! Fenced in `home.rs`, in those files of `verbs/` that its essay names, and in three of `roce/packet_io/`
//! (`udp/options.rs`, `xdp/bpf.rs`, `xdp/socket.rs`); everything else forbids it by lint.

#![deny(unsafe_code)]

mod control;
mod error;
mod home;
mod info;
mod poll_group;
pub mod roce;
pub mod sim;
mod sleeper;
pub mod verbs;
mod work;

pub use control::Control;
pub use error::FabricError;
pub use home::{Homebound, Seed};
pub use info::{DeviceInfo, GroupId, LinkLayer, ListenerState, Service, ib_service_id};
pub use poll_group::{PollGroup, QueuePair};
pub use work::*;

/// The control side, queue pairs and poll groups cross threads.
const _: () = {
    const fn sendable<T: Send>() {}
    sendable::<Control>();
    sendable::<PollGroup>();
    sendable::<QueuePair>();
};
