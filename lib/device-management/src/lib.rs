//! The device management agent of native InfiniBand: answers `ibsrpdm` and `srp_daemon` on initiators, so that they find our targets without
//! being told of them.
//!
//! - [`wire`]: requests and answers as bytes.
//! - [`agent`]: a [`Directory`] of targets, and what it answers to a request. No device, no clock.
//!
//! Each target is an I/O controller of its own, of one I/O unit that all ports show.

#![forbid(unsafe_code)]

pub mod agent;
pub mod wire;

pub use agent::{Answer, Directory, Settings, Target};
