//! What threads share by. `fuzz/models` includes files that use this, and has loom's in its place.

pub(crate) use std::sync::atomic::{AtomicU8, Ordering, fence};
