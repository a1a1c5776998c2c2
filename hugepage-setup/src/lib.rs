//! Huge-page allocator and the command that reserves huge pages.
//!
//! A storage target hands buffers to a network adapter, which reads and writes them without asking the CPU. Such
//! memory must never be swapped out, should need few entries in the translation caches of CPU and adapter, and should
//! stand on the NUMA node of the adapter. Huge pages give all three, but an administrator has to set them aside first.
//! So this crate has two halves:
//!
//! * **Allocating** ([`allocate()`]) takes the best pages there are: 1 GiB (only when asked for), 2 MiB, transparent
//!   huge pages, ordinary pages. It never fails merely because huge pages are missing; it warns once per process, with
//!   the command to run, and [`Mapping::page_kind`] says what it got.
//! * **Setting up** ([`status`], [`pool`], [`persist`], [`memlock`]) reads and changes what the kernel offers. The
//!   command `hugepage-setup` is a thin face over these modules.
//!
//! Who owns what: a [`Mapping`] owns its address range and unmaps it on drop. It gives out the address only, never a
//! slice, since a device may write the memory at any time; what is behind the address is the business of the buffer
//! pools built on it.
//!
//! All `unsafe` stands in `mapping.rs`, which does system calls on memory that a `Mapping` owns, and nothing else.
//!
//! Reading order: `page.rs` (kinds and sizes), `allocate.rs` (the fallback chain), `mapping.rs` (the system calls),
//! then `system.rs` and `status.rs` (what /sys and /proc say), `pool.rs` (reserve and release), `persist.rs`,
//! `memlock.rs`, and `cli.rs` with `main.rs` for the command.
#![deny(unsafe_code)]

pub mod allocate;
mod mapping;
pub mod memlock;
pub mod page;
pub mod persist;
pub mod pool;
pub mod status;
pub mod system;

pub use allocate::{AllocateError, AllocationRequest, allocate};
pub use mapping::Mapping;
pub use page::PageKind;
