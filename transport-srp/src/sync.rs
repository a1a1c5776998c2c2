//! What threads share by. `fuzz/models` includes files that use this, and has loom's in its place.

pub(crate) use std::sync::Arc;
pub(crate) use std::sync::atomic::{AtomicU64, Ordering, fence};
