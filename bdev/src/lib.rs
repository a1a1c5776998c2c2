//! The block device contract and its devices.
//!
//! A [`Bdev`] is a device: shared by all cores, its facts ([`Info`]) never change while it lives, except its size, its write
//! protection, whether there is a medium, and its statistics. A core that does I/O opens a [`Channel`] on it; the channel belongs to that core, owns whatever the
//! device needs there (a ring, a queue of finished operations) and takes no lock. Operations ([`BlockIo`]) are moved in
//! with their buffer, and come back with it in [`Done`], in any order. Nothing is allocated after the channel was opened.
//!
//! ```text
//!   control thread   <kind>::create(options) ──► Arc<Bdev> ──► Registry
//!                                                   │ open_channel, on the core that will use it
//!   core N           channel.submit(BlockIo) ──► device ──► channel.poll(|Done| …)
//! ```
//!
//! Rules every device keeps:
//! - every submitted operation comes back in exactly one `Done`, from `poll`, never from within `submit`;
//! - a range was checked against the size before (by [`Channel::submit`], once for all devices);
//! - data buffers are `blocks * block_size` long and aligned to [`Info::buf_align`] (the caller copies if need be);
//! - a `Write` with `fua`, and every write before a finished `Flush`, survives power loss once `Done` says so, as far as
//!   the kind of device survives it at all (RAM does not); a `Flush` covers the writes of all channels;
//! - operations in flight at the same time are done in any order, also where their ranges overlap;
//! - a dropped channel takes its buffers back from the kernel before it lets go of them.
//!
//! Rate limits (`qos.rs`) hold for every device: operations wait in their channel before the device sees them. A device may
//! stand on another ([`Bdev::base`]); who makes one sees to it that nobody else uses the one beneath ([`Registry::user_of`]).
//!
//! To add a device: a file `<kind>.rs` with its options and `create` (the shared part and the facts) and its channel part,
//! a variant in `Kind` (`bdev.rs`) and in `ChannelKind` (`channel.rs`), an RPC method in the app, a row in the README's
//! table, and a row in `tests/contract/rig.rs`, over which the contract's tests then run.
//!
//! Reading order: `io.rs` (operations and errors), `bdev.rs` (the shared part), `channel.rs` (the per-core part),
//! `metadata.rs`, `null.rs`, `malloc.rs`, `uring/`, `rbd/`, `passthrough/`, those that stand on others (`wrapper.rs`, `delay.rs`, `error.rs`, `split.rs`), `qos.rs`
//! (rate limits of any device), then `registry.rs`, `create.rs` (what all constructors check), `links.rs` (which symbolic links are followed), `stats.rs` and `histogram.rs`.

#![deny(unsafe_code)]

mod bdev;
mod channel;
mod create;
pub mod delay;
pub mod error;
mod histogram;
mod io;
mod links;
pub mod malloc;
mod metadata;
pub mod null;
pub mod passthrough;
mod qos;
#[cfg(feature = "rbd")]
pub mod rbd;
mod registry;
pub mod split;
mod stats;
#[cfg(test)]
mod testing;
pub mod uring;
mod wrapper;

pub use bdev::{Bdev, Info, ReadOnlyError, Space};
pub use channel::{Channel, ChannelError, ChannelOptions};
pub use create::CreateError;
pub use histogram::{HistogramError, HistogramOptions, HistogramSnapshot, OpKind};
pub use io::{BlockIo, Direction, Done, IoError, Op};
pub use metadata::{Metadata, ProtectionType};
pub use qos::QosLimits;
pub use registry::{Registry, RegistryError};
pub use stats::{ChannelIoStat, IoStatSnapshot, LifetimeStat, OpStat, Place, ResetMode};
