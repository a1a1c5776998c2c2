//! Fixed pools of pinned buffers, each owned by exactly one holder at a time.
//!
//! A [`Region`] is one large mapping (huge pages where there are any), made once at start and registered with every RDMA
//! device. A [`Pool`] cuts a part of a region into equal slots and belongs to one core: it is neither `Send` nor
//! `Sync`, takes no lock and never allocates after it was made. A [`Buf`] is one slot. It has exactly one owner, who
//! may read and write it as ordinary memory; handing it to a device or to the fabric means moving it there, and it
//! comes back in the completion. So no Rust reference into a buffer can exist while hardware or a peer may write it.
//! Dropping a `Buf` puts its slot back.
//!
//! Reading order: `region.rs`, `pool.rs`, then `buf.rs`, the only file with `unsafe`. With the feature `test-utils`,
//! `testing.rs` makes pools for the tests of other crates.

#![deny(unsafe_code)]

mod buf;
mod pool;
mod region;
#[cfg(any(test, feature = "test-utils"))]
pub mod testing;

pub use buf::{Buf, IoBuf};
pub use pool::{Pool, PoolLayout, SizedPools};
pub use region::{Region, RegionId};
