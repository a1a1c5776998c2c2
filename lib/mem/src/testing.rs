//! Regions and pools over ordinary memory, for tests.

use std::sync::Arc;

use hugepage_setup::{AllocationRequest, PageKind};

use crate::pool::{Pool, PoolLayout};
use crate::region::Region;

/// Slots of test pools start at multiples of this many bytes, as those of real pools do.
const ALIGNMENT: usize = 4096;

/// A region of at least `len` bytes of ordinary memory, not locked.
///
/// # Panics
/// If there is not so much memory.
pub fn region(len: usize) -> Arc<Region> {
    let request = AllocationRequest { max_page: PageKind::Ordinary, lock: false, ..AllocationRequest::new(len) };
    Region::new(hugepage_setup::allocate(&request).expect("memory for a test"))
}

/// A pool of `count` buffers of `size` bytes each in a region of its own, each aligned to 4096 bytes.
///
/// # Panics
/// If there is not so much memory.
pub fn pool(size: usize, count: usize) -> Pool {
    let stride = size.next_multiple_of(ALIGNMENT).max(ALIGNMENT);
    let region = region(stride * count.max(1));
    Pool::new(region, PoolLayout { offset: 0, stride, size, count })
}
