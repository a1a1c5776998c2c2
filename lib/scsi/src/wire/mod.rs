//! Bytes on the wire: CDB fields, sense data, answers.
//!
//! Panic contract: readers take offsets within a CDB whose length was checked against its operation code before
//! (by its group); the builder of answers never panics and drops what does not fit.

pub(crate) mod bytes;
pub mod cdb;
pub mod sense;
