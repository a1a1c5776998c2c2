//! Bindings of libibverbs, librdmacm and libibumad, loaded at run time, so that one binary starts on machines with and without RDMA.
//!
//! - [`Library`] (`load.rs`): finds both libraries and every function in them, or says which package is missing.
//! - `bindings.rs`: the types and the function table that bindgen made from the headers of rdma-core 44 (Debian 12;
//!   rdma-core keeps the ABI stable). It is committed; `regenerate.sh` writes it anew and `regenerate.sh --check`
//!   compares. It carries the sizes and offsets that the C compiler saw, as assertions evaluated while it is compiled.
//! - [`inline`]: the verbs that are inline functions in C, and therefore in no library.
//! - [`Umad`] (`umad.rs`): libibumad, which the others do not need, and which is loaded by itself.
//!
//! The bindings are those of x86-64 Linux: structures with a `pthread_mutex_t` in them differ elsewhere.
//!
//! Names and semantics are those of the man pages (`man ibv_post_send`); nothing here is made safe. What makes it safe is
//! the `fabric` crate.
#![allow(unsafe_code)] // a -sys crate is unsafe by nature: it is its own fence

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
compile_error!(
    "the committed bindings are for x86-64 Linux: run lib/rdma-core-sys/regenerate.sh on the machine to build for"
);

pub mod inline;
mod load;
mod umad;

pub use bindings::*;
pub use load::{Library, LoadError};
pub use umad::{Umad, UmadLoadError};

#[allow(
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unsafe_op_in_unsafe_fn
)] // generated: C's names, documented by the man pages
#[rustfmt::skip]
mod bindings;
