//! Bindings of DPDK (Data Plane Development Kit) 21.11 or newer: network ports driven by polling, without the kernel.
//!
//! Empty unless the feature `enabled` is on, so that the workspace builds where DPDK is not installed. With it, `build.rs`
//! finds the library by pkg-config, has bindgen write the declarations of what we use (structures differ between
//! versions and build options, so they are made on the machine to build for), and compiles `shim.c`: the functions that
//! are inline in DPDK's headers, and therefore in no library. Those begin with `shim_`.
//!
//! Names and semantics are those of DPDK's API reference; nothing here is made safe. What makes it safe is the `fabric`
//! crate.
//!
//! The library is linked in the ordinary way: a program with this feature starts only where `librte_ethdev` and its like
//! are installed. Drivers are plugins, which DPDK loads by itself.
#![cfg_attr(feature = "enabled", allow(unsafe_code))] // a -sys crate is unsafe by nature: it is its own fence

#[cfg(feature = "enabled")]
pub use bindings::*;

#[cfg(feature = "enabled")]
#[allow(
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unsafe_op_in_unsafe_fn
)] // generated: C's names, documented by DPDK's API reference
mod bindings {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}
