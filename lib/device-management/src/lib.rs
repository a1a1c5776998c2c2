//! The device management agent of native InfiniBand: answers `ibsrpdm` and `srp_daemon` on initiators, so that they find our targets without
//! being told of them.
//!
//! - [`wire`]: requests and answers as bytes.
//! - [`agent`]: a [`Directory`] of targets, and what it answers to a request. No device, no clock.
//! - [`ports`]: the ports where it does, as they come and go.
//! - `umad.rs`: libibumad, by which datagrams pass.
//!
//! Each target is an I/O controller of its own, of one I/O unit that all ports show.

#![deny(unsafe_code)] // umad.rs excepted

pub mod agent;
pub mod ports;
mod umad;
pub mod wire;

pub use agent::{Answer, Directory, Settings, Target};
pub use ports::{Counts, Ports};
