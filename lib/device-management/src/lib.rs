//! Device management of native InfiniBand: the agent, which answers `ibsrpdm` and `srp_daemon` on initiators, so that they find our targets without
//! being told of them, and a client, which asks such agents.
//!
//! - [`wire`]: requests and answers as bytes.
//! - [`agent`]: a [`Directory`] of targets, and what it answers to a request. No device, no clock.
//! - [`ports`]: the ports where it does, as they come and go.
//! - [`client`]: asks an agent for its targets; [`answer`] has its questions and the answers as bytes.
//! - [`local`]: the port of this host that it asks from.
//! - `umad.rs`: libibumad, by which datagrams pass.
//!
//! Each target is an I/O controller of its own, of one I/O unit that all ports show.

#![deny(unsafe_code)] // umad.rs excepted

pub mod agent;
pub mod answer;
pub mod client;
pub mod local;
pub mod ports;
mod umad;
pub mod wire;

pub use agent::{Answer, Directory, Settings, Target};
pub use client::{DiscoverError, Found, Login, Whom};
pub use ports::{Counts, Ports};
