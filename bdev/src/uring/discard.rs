//! `Unmap` on block devices that discard blocks without promising zeroes, as most SATA and many SAS SSDs do.
//!
//! The kernel's asynchronous call (a hole, by fallocate) is for devices that also zero. BLKDISCARD asks for less, and blocks:
//! the file's thread makes it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::BackingFile;
use super::helper::{Call, Port};
use super::operation::io_error;
use super::ring::DRAIN_MAX;
use crate::channel::{ByteRange, Finished};
use crate::io::BlockIo;

/// The discards of one channel.
#[derive(Debug)]
pub(super) struct Discards {
    port: Port,
    /// Index = id of the job.
    slots: Box<[Option<(BlockIo, u64)>]>,
    free: Vec<u32>,
    file: Arc<BackingFile>,
    failure_told: bool,
}

impl Discards {
    /// For at most `depth` operations at a time.
    pub(super) fn new(file: &Arc<BackingFile>, depth: usize) -> Discards {
        Discards {
            port: Port::new(&file.helper, depth),
            slots: std::iter::repeat_with(|| None).take(depth).collect(),
            free: (0..depth as u32).rev().collect(),
            file: Arc::clone(file),
            failure_told: false,
        }
    }

    /// Takes an operation on a checked range over.
    ///
    /// # Panics
    /// If all slots are taken: the channel counts, so that would be our bug.
    pub(super) fn start(&mut self, io: BlockIo, range: ByteRange, submitted_ns: u64) {
        let slot = self.free.pop().expect("the channel lets in no more operations than there are slots");
        self.slots[slot as usize] = Some((io, submitted_ns));
        self.port.call(slot, Call::Discard { offset: range.offset, len: range.len });
    }

    /// Whether something waits for the thread.
    pub(super) fn is_busy(&self) -> bool {
        self.port.outstanding() > 0
    }

    /// Takes the answers that have come.
    #[inline]
    pub(super) fn poll(&mut self, mut finish: impl FnMut(Finished)) {
        while let Some((slot, answer)) = self.port.take() {
            let Some((io, submitted_ns)) = self.slots[slot as usize].take() else { continue };
            self.free.push(slot);
            let errno = i32::try_from(-answer).unwrap_or(libc::EIO);
            let result = if answer < 0 { Err(io_error(Errno::from_raw_os_error(errno))) } else { Ok(()) };
            if result.is_err() && !std::mem::replace(&mut self.failure_told, true) {
                tracing::warn!(
                    "bdev {}: discarding {} blocks from block {} of {} on failed: {} (later failures of this core are not told)",
                    self.file.name,
                    io.blocks,
                    io.lba,
                    self.file.path.display(),
                    std::io::Error::from_raw_os_error(errno)
                );
            }
            finish(Finished { io, submitted_ns, result });
        }
    }
}

impl Drop for Discards {
    /// A discard that is late must not meet what a successor has written.
    fn drop(&mut self) {
        let deadline = Instant::now() + DRAIN_MAX;
        while self.port.take_back().is_some() {}
        while self.port.outstanding() > 0 && Instant::now() < deadline {
            if self.port.take().is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        if self.port.outstanding() > 0 {
            tracing::error!(
                "bdev {}: {} discards on {} have not ended in {} s",
                self.file.name,
                self.port.outstanding(),
                self.file.path.display(),
                DRAIN_MAX.as_secs()
            );
        }
    }
}
