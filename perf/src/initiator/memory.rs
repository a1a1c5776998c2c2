//! The memory of one core, cut into buffers at start: a region that targets are let into, and one that is ours alone.

use std::sync::Arc;

use mem::{Pool, PoolLayout, Region};

use transport_srp::wire::descriptor::DESCRIPTOR_LEN;

use super::form::Form;
use super::login::MESSAGE_BYTES_MAX;
use super::probe::CAPACITY_BYTES;

/// Bytes of a receive buffer. The longest message of a target is SRP_RSP with 252 bytes of sense, whatever a login says
/// about its limit.
pub const RECEIVE_BYTES: usize = 512;

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
    /// How its memory is described.
    pub form: Form,
}

/// The pools of one core.
#[derive(Debug)]
pub struct Memory {
    /// A data buffer for each slot.
    pub data: Pool,
    /// A descriptor table for each slot, if the form has tables.
    pub tables: Pool,
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

    /// Bytes of the region that targets are let into.
    pub fn exposed_bytes(&self) -> usize {
        end(&self.exposed())
    }

    /// Bytes of the other one.
    pub fn own_bytes(&self) -> usize {
        end(&self.own())
    }

    /// Cuts regions of at least so many bytes.
    pub fn cut(&self, exposed: &Arc<Region>, own: &Arc<Region>) -> Memory {
        let [data, tables] = self.exposed().map(|layout| Pool::new(Arc::clone(exposed), layout));
        let [messages, receives] = self.own().map(|layout| Pool::new(Arc::clone(own), layout));
        Memory { data, tables, messages, receives }
    }

    /// Data, tables.
    fn exposed(&self) -> [PoolLayout; 2] {
        let data = self.io_bytes.max(CAPACITY_BYTES as usize);
        let (slots, table) = (self.channels * self.depth, self.form.descriptors() * DESCRIPTOR_LEN as usize);
        in_turn([(slots, data, DATA_ALIGN), (if self.form.has_table() { slots } else { 0 }, table, 64)])
    }

    /// Messages, receives.
    fn own(&self) -> [PoolLayout; 2] {
        in_turn([
            (self.channels * self.messages(), MESSAGE_BYTES_MAX, 64),
            (self.channels * self.receives(), RECEIVE_BYTES, 64),
        ])
    }
}

/// Pools one after the other, each of a number of buffers of a size and an alignment.
fn in_turn<const N: usize>(pools: [(usize, usize, usize); N]) -> [PoolLayout; N] {
    let mut end = 0;
    pools.map(|(count, size, align)| {
        let stride = size.next_multiple_of(align);
        let offset = end;
        end += stride * count;
        PoolLayout { offset, stride, size, count }
    })
}

fn end(layouts: &[PoolLayout]) -> usize {
    layouts.last().map_or(0, |last| last.offset + last.stride * last.count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_regions_hold_all_pools_and_no_more() {
        let layout = MemoryLayout { channels: 3, depth: 5, io_bytes: 5000, form: Form::Partial(8) };
        let [exposed, own] = [layout.exposed_bytes(), layout.own_bytes()].map(mem::testing::region);
        let memory = layout.cut(&exposed, &own);
        assert_eq!(memory.data.capacity(), 15);
        assert_eq!(memory.data.get().expect("a buffer").len(), 5000);
        assert_eq!(memory.messages.capacity(), 3 * 42);
        assert_eq!(memory.receives.capacity(), 3 * 7);
        assert_eq!((memory.tables.capacity(), memory.tables.get().expect("a table").len()), (15, 128));
        assert_eq!(layout.exposed_bytes(), 15 * 8192 + 15 * 128);
        let without = MemoryLayout { form: Form::Indirect(8), ..layout };
        assert_eq!(without.exposed_bytes(), 15 * 8192);
        assert_eq!(layout.own_bytes(), 126 * 8320 + 21 * 512);
    }
}
