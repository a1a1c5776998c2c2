//! What the tests of the devices that stand on others work with.

use std::sync::Arc;
use std::time::Duration;

use mem::{IoBuf, Pool};

use crate::io::{BlockIo, Done, Op};
use crate::malloc::{self, MallocOptions};
use crate::null::{self, NullOptions};
use crate::passthrough::{RECORD_BYTES, Request};
use crate::{Bdev, Channel};

pub(crate) const BLOCK: usize = 512;
pub(crate) const WRITE: Op = Op::Write { fua: false };
/// Largest operation with data, in blocks.
pub(crate) const BLOCKS_MAX: u64 = 128;

pub(crate) fn null(num_blocks: u64) -> Arc<Bdev> {
    null::create(NullOptions { name: "null".to_owned(), num_blocks, ..NullOptions::default() }).expect("null")
}

pub(crate) fn malloc(num_blocks: u64) -> Arc<Bdev> {
    malloc::create(MallocOptions { name: "ram".to_owned(), num_blocks, ..MallocOptions::default() }).expect("malloc")
}

/// A channel with buffers for it and a clock.
pub(crate) struct Bench {
    pub(crate) channel: Channel,
    pool: Pool,
    pub(crate) now_ns: u64,
}

impl Bench {
    pub(crate) fn on(bdev: &Arc<Bdev>, depth: usize) -> Bench {
        let pool = mem::testing::pool(BLOCKS_MAX as usize * BLOCK, depth + 1);
        Bench { channel: bdev.open_channel(depth).expect("a channel"), pool, now_ns: 0 }
    }

    /// Data of so many bytes, filled.
    pub(crate) fn data(&self, len: usize, fill: u8) -> IoBuf {
        let mut data = IoBuf::new(self.pool.get().expect("a free buffer"), 0..len);
        data.bytes_mut().fill(fill);
        data
    }

    /// Submits an operation; the tag is also what a write writes, in all its bytes.
    pub(crate) fn submit(&mut self, op: Op, lba: u64, blocks: u64, tag: u64) {
        let moves = matches!(op, Op::Read | Op::Write { .. });
        let data = moves.then(|| self.data(blocks as usize * BLOCK, tag as u8));
        self.submit_io(BlockIo { op, lba, blocks, data, tag });
    }

    pub(crate) fn submit_io(&mut self, io: BlockIo) {
        self.channel.submit(io, self.now_ns).expect("room");
    }

    /// The buffer of a SCSI command that moves so many bytes.
    pub(crate) fn scsi_data(&self, len: usize, fill: u8) -> IoBuf {
        let mut data = self.data(len + RECORD_BYTES, fill);
        let request = Request { cdb: &[0; 6], time_limit: Duration::from_secs(1), data: 0..len };
        request.emit(data.bytes_mut());
        data
    }

    /// What has ended by then.
    pub(crate) fn at(&mut self, now_ns: u64) -> Vec<Done> {
        self.now_ns = now_ns;
        let mut ended = Vec::new();
        self.channel.poll(now_ns, &mut |done| ended.push(done));
        ended
    }

    /// The tags of what has ended by then, all of which went well.
    pub(crate) fn tags_at(&mut self, now_ns: u64) -> Vec<u64> {
        let tag = |done: Done| {
            done.result.unwrap_or_else(|error| panic!("operation {}: {error}", done.tag));
            done.tag
        };
        self.at(now_ns).into_iter().map(tag).collect()
    }

    /// One operation, to its end, on a device that needs no time.
    pub(crate) fn run(&mut self, op: Op, lba: u64, blocks: u64, fill: u8) -> Done {
        self.submit(op, lba, blocks, u64::from(fill));
        self.at(self.now_ns).pop().expect("it ended")
    }

    pub(crate) fn buffers_out(&self) -> usize {
        self.pool.capacity() - self.pool.available()
    }
}
