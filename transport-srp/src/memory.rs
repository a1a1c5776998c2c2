//! The memory of a poll group: one region, cut into pools at start.

use std::sync::Arc;

use mem::{Pool, PoolLayout, Region, SizedPools};

use crate::limits::{
    self, DATA_ALIGN, MAX_IT_IU_BYTES, MAX_TI_IU_BYTES, TABLE_BYTES_MAX, TRANSFER_BYTES_MAX, USUAL_IMMEDIATE_OFFSET,
};

/// How many buffers of each kind one poll group has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryOptions {
    /// Data buffers of 8 KiB.
    pub small_data: usize,
    /// Data buffers of 64 KiB.
    pub medium_data: usize,
    /// Data buffers for the largest transfer (1 MiB and the scratch part of multi-step commands).
    pub large_data: usize,
    /// Buffers for fetched descriptor tables, 64 KiB each.
    pub tables: usize,
    /// Receive buffers, 12 KiB apart: credits and a few more for each channel.
    pub receives: usize,
    /// Buffers for messages to initiators.
    pub messages: usize,
}

impl Default for MemoryOptions {
    /// About 110 MiB per reactor: 32 channels with the default credits.
    fn default() -> Self {
        MemoryOptions::for_channels(32, limits::CREDITS_DEFAULT)
    }
}

const LARGE: usize = TRANSFER_BYTES_MAX + scsi::SCRATCH_BYTES;
const RECEIVE_STRIDE: usize = (USUAL_IMMEDIATE_OFFSET + MAX_IT_IU_BYTES).next_multiple_of(DATA_ALIGN);
const MESSAGE_STRIDE: usize = MAX_TI_IU_BYTES.next_multiple_of(64);

const _: () = assert!(LARGE.is_multiple_of(DATA_ALIGN) && TABLE_BYTES_MAX.is_multiple_of(DATA_ALIGN));

impl MemoryOptions {
    /// The default amount of data buffers, and receives and messages for this many channels with this many credits each.
    pub fn for_channels(channels: u32, credits: u32) -> MemoryOptions {
        MemoryOptions {
            small_data: 1024,
            medium_data: 128,
            large_data: 32,
            tables: 32,
            receives: (channels * (limits::receives(credits) + 4)) as usize,
            messages: (channels * limits::messages(credits)) as usize,
        }
    }

    /// Channels with so many credits each that there are receives and messages for.
    pub(crate) fn channels(&self, credits: u32) -> usize {
        (self.receives / limits::receives(credits) as usize).min(self.messages / limits::messages(credits) as usize)
    }

    /// How many buffers each pool has.
    pub(crate) fn capacities(&self) -> [usize; POOLS.len()] {
        [self.small_data, self.medium_data, self.large_data, self.tables, self.receives, self.messages]
    }

    /// Bytes of the region that the pools are cut from.
    pub fn region_bytes(&self) -> usize {
        let data = self.small_data * 8192 + self.medium_data * 65536 + self.large_data * LARGE;
        let tables = self.tables * TABLE_BYTES_MAX;
        data + tables + (self.receives + 1) * RECEIVE_STRIDE + self.messages * MESSAGE_STRIDE
    }

    /// Cuts a region of at least [`MemoryOptions::region_bytes`] bytes into pools.
    pub(crate) fn cut(&self, region: &Arc<Region>) -> Memory {
        let mut offset = 0;
        let mut cut = |count: usize, size: usize, stride: usize, lead: usize| {
            let layout = PoolLayout { offset: offset + lead, stride, size, count };
            offset += count * stride + lead;
            Pool::new(Arc::clone(region), layout)
        };
        let data = SizedPools::new(vec![
            cut(self.small_data, 8192, 8192, 0),
            cut(self.medium_data, 65536, 65536, 0),
            cut(self.large_data, LARGE, LARGE, 0),
        ]);
        let tables = cut(self.tables, TABLE_BYTES_MAX, TABLE_BYTES_MAX, 0);
        // The lead puts byte 68 of every receive buffer on a page boundary.
        let receives = cut(self.receives, MAX_IT_IU_BYTES, RECEIVE_STRIDE, DATA_ALIGN - USUAL_IMMEDIATE_OFFSET);
        offset = offset.next_multiple_of(64);
        let layout = PoolLayout { offset, stride: MESSAGE_STRIDE, size: MAX_TI_IU_BYTES, count: self.messages };
        let messages = Pool::new(Arc::clone(region), layout);
        Memory { data, tables, receives, messages }
    }
}

/// How many sizes of data buffers there are.
pub(crate) const DATA_SIZES: usize = 3;

/// Names of the pools, in the order of [`MemoryOptions::capacities`] and [`Memory::free`].
pub(crate) const POOLS: [&str; 6] = ["data_small", "data_medium", "data_large", "table", "receive", "message"];

/// The pools of one poll group.
pub(crate) struct Memory {
    /// Data of commands.
    pub(crate) data: SizedPools,
    /// Descriptor tables; apart from the data, so that commands which hold a table can never use up what they wait for.
    pub(crate) tables: Pool,
    /// Receives.
    pub(crate) receives: Pool,
    /// Responses and requests to the initiator.
    pub(crate) messages: Pool,
}

impl Memory {
    /// How many buffers of each pool are free.
    pub(crate) fn free(&self) -> [usize; POOLS.len()] {
        let data = |index: usize| self.data.pools().get(index).map_or(0, Pool::available);
        let [tables, receives, messages] = [&self.tables, &self.receives, &self.messages].map(Pool::available);
        [data(0), data(1), data(2), tables, receives, messages]
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const MIB: usize = 1 << 20;

    /// The figure once was another in half of these.
    #[test]
    fn documents_say_how_much_memory_a_reactor_takes() {
        let bytes = MemoryOptions::default().region_bytes().next_multiple_of(2 * MIB);
        let figure = format!(" {} MiB", bytes / MIB);
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for file in [
            "docs/getting-started.md",
            "docs/troubleshooting.md",
            "docs/tuning.md",
            "scripts/service/hugepage-setup.default",
            "scripts/tune",
        ] {
            let text = std::fs::read_to_string(root.join(file)).expect(file);
            assert!(text.contains(&figure), "{file}: a reactor takes{figure} with the default options");
        }
    }

    #[test]
    fn there_are_buffers_for_as_many_channels_as_were_asked_for() {
        for (channels, credits) in [(1, 4), (32, limits::CREDITS_DEFAULT), (64, 512)] {
            assert_eq!(MemoryOptions::for_channels(channels, credits).channels(credits), channels as usize);
        }
    }

    #[test]
    fn data_buffers_are_as_many_for_any_number_of_channels() {
        let (few, many) = (MemoryOptions::for_channels(1, 4), MemoryOptions::for_channels(64, 512));
        let data = |options: MemoryOptions| (options.small_data, options.medium_data, options.large_data);
        assert_eq!(data(few), data(many), "docs/tuning.md and docs/troubleshooting.md say so");
        assert!(few.receives < many.receives && few.messages < many.messages);
    }
}
