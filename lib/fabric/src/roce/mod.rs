//! RoCEv2 in user space: RDMA over UDP, from any machine with an IP address, to any RoCEv2 peer (the kernel's soft-RoCE
//! included). No RDMA device, no kernel module, no privilege is needed.
//!
//! # Parts
//! - `wire/`: bytes: transport headers, ICRC, messages of the connection manager. Nothing else knows a byte offset.
//! - `rc/`: one end of a reliable connection, sans-IO, and `exposed.rs`, the memory that a peer may reach
//! - `cm/`: the connection manager on queue pair 1, sans-IO
//! - `packet_io/`: packets in and out, with the ICRC
//! - `control.rs`: [`Control`]: what the connection manager says becomes connections; `gsi.rs` carries its messages;
//!   `devices.rs`, `listener.rs`, `connection.rs`, `numbers.rs` are what it remembers, `ledger.rs` is for the process after it
//! - `poll_group.rs`: [`PollGroup`]: which packet is for which endpoint, which endpoint has something to send
//! - `queue_pair.rs`: what the two share
//!
//! # A device
//! is one local address. Its UDP port 4791 has several sockets: one for the connection manager, which the control side
//! reads, and one per poll group. The low byte of a queue pair number says whose it is, and the kernel deals packets out
//! by it, so a queue pair's packets reach its reactor and no other.
//!
//! # How a queue pair dies
//! Whoever notices first (endpoint, connection manager or user) sets the link's `failed`. The group puts the endpoint into
//! error, which gives back everything posted; nothing but this process ever touches the buffers, so nothing has to be
//! waited for. Late packets find no endpoint: its number is not given out again for a while.

pub mod cm;
mod connection;
mod control;
mod devices;
pub mod exposed;
mod gsi;
mod ledger;
mod listener;
mod numbers;
pub mod packet_io;
mod poll_group;
mod queue_pair;
mod random;
pub mod rc;
mod statistics;
#[cfg(test)]
mod tests;
pub mod wire;

pub use control::{Control, Options};
pub use poll_group::{PollGroup, PollGroupSeed};
pub use queue_pair::QueuePair;
pub use statistics::Counters;
