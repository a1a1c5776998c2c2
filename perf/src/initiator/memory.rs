//! The memory of one core: one region, cut into buffers at start.

use std::sync::Arc;

use mem::{Pool, PoolLayout, Region};

use super::login::MESSAGE_BYTES_MAX;
use super::probe::CAPACITY_BYTES;

/// Bytes of a receive buffer. The longest message of a target is SRP_RSP with 252 bytes of sense, whatever a login says
/// about its limit.
const RECEIVE_BYTES: usize = 512;

/// Messages beyond two for each command, so that a low depth does not wait for acknowledgements.
const LATE_ACKNOWLEDGEMENTS: usize = 32;

/// Data buffers start on pages, as the buffers of a real initiator do.
const DATA_ALIGN: usize = 4096;

/// What a core needs buffers for.
#[derive(Clone, Copy, Debug)]
pub struct MemoryLayout {
    /// Channels on this core.
    pub channels: usize,
    /// Commands that one channel has under way at once.
    pub depth: usize,
    /// Bytes of one I/O.
    pub io_bytes: usize,
}

/// The pools of one core.
#[derive(Debug)]
pub struct Memory {
    /// A data buffer for each slot.
    pub data: Pool,
    /// Messages to the target.
    pub messages: Pool,
    /// Messages from the target.
    pub receives: Pool,
}

impl MemoryLayout {
    /// Messages of one channel: one for each command under way, and as many again and a few more for commands that were
    /// answered before they were acknowledged: a target acknowledges several at once.
    pub const fn messages(&self) -> usize {
        2 * self.depth + LATE_ACKNOWLEDGEMENTS
    }

    /// Receives of one channel: a response to each command, one request of the target's own, and its logout.
    pub const fn receives(&self) -> usize {
        self.depth + 2
    }

    /// Bytes of the region.
    pub fn region_bytes(&self) -> usize {
        let [.., last] = self.layouts();
        last.offset + last.stride * last.count
    }

    /// Cuts a region of at least [`MemoryLayout::region_bytes`] bytes.
    pub fn cut(&self, region: &Arc<Region>) -> Memory {
        let [data, messages, receives] = self.layouts().map(|layout| Pool::new(Arc::clone(region), layout));
        Memory { data, messages, receives }
    }

    /// Data, messages, receives.
    fn layouts(&self) -> [PoolLayout; 3] {
        let mut end = 0;
        let mut layout = |count: usize, size: usize, align: usize| {
            let stride = size.next_multiple_of(align);
            let offset = end;
            end += stride * count;
            PoolLayout { offset, stride, size, count }
        };
        [
            layout(self.channels * self.depth, self.io_bytes.max(CAPACITY_BYTES as usize), DATA_ALIGN),
            layout(self.channels * self.messages(), MESSAGE_BYTES_MAX, 64),
            layout(self.channels * self.receives(), RECEIVE_BYTES, 64),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_holds_all_pools_and_no_more() {
        let layout = MemoryLayout { channels: 3, depth: 5, io_bytes: 5000 };
        let region = mem::testing::region(layout.region_bytes());
        let memory = layout.cut(&region);
        assert_eq!(memory.data.capacity(), 15);
        assert_eq!(memory.data.get().expect("a buffer").len(), 5000);
        assert_eq!(memory.messages.capacity(), 3 * 42);
        assert_eq!(memory.receives.capacity(), 3 * 7);
        let bytes = 15 * 8192 + 126 * 8320 + 21 * 512;
        assert_eq!(layout.region_bytes(), bytes);
    }
}
