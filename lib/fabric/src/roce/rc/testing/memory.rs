//! Memory for tests that run thousands of times: regions are numbered and their number is limited, so that they are used
//! again.

use std::sync::{Arc, Mutex};

use mem::{Pool, PoolLayout, Region};

const LEN: usize = 2 << 20;

static UNUSED: Mutex<Vec<Arc<Region>>> = Mutex::new(Vec::new());

/// A region, given back on drop. Whoever has one drops its buffers before: it stands last in its owner.
pub(crate) struct Memory {
    region: Arc<Region>,
    /// Bytes that pools have.
    taken: usize,
}

impl Memory {
    pub(crate) fn new() -> Memory {
        let unused = UNUSED.lock().expect("no test panics while it takes a region").pop();
        Memory { region: unused.unwrap_or_else(|| mem::testing::region(LEN)), taken: 0 }
    }

    /// Buffers of a multiple of 4096 bytes. They hold what the last owner left.
    pub(crate) fn pool(&mut self, size: usize, count: usize) -> Pool {
        let layout = PoolLayout { offset: self.taken, stride: size, size, count };
        self.taken += size * count;
        Pool::new(Arc::clone(&self.region), layout)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        UNUSED.lock().expect("no test panics while it takes a region").push(Arc::clone(&self.region));
    }
}
