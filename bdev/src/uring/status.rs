//! Allocation status of a file's blocks (`Op::LbaStatus`): from its data and holes, as lseek(2) tells them.
//!
//! [`Survey`] is sans-IO: it says where to look next, and writes what it learns into the list of descriptors. [`Surveys`]
//! asks the file's thread, since the look may block.
//!
//! A block counts as deallocated only if all of it lies in a hole. Space that is reserved but was never written is a hole,
//! too: it reads as zeroes.

use std::sync::Arc;

use rustix::fd::AsFd;
use rustix::fs::{FileType, SeekFrom};
use rustix::io::Errno;

use super::BackingFile;
use super::helper::{Call, Port};
use super::operation::io_error;
use crate::channel::Finished;
use crate::io::{BlockIo, IoError};

/// Length of a descriptor in bytes (SBC-4, GET LBA STATUS parameter data).
const DESCRIPTOR_BYTES: usize = 16;

/// PROVISIONING STATUS: mapped (or unknown).
const MAPPED: u8 = 0;
/// PROVISIONING STATUS: deallocated.
const DEALLOCATED: u8 = 1;

/// Most looks for one operation. What is left then is for the initiator to ask again: a list may end early.
const LOOKS_MAX: u32 = 1024;

/// Whether this is a regular file that tells data from holes.
pub(super) fn finds_holes(fd: impl AsFd) -> bool {
    let regular = |mode| FileType::from_raw_mode(mode) == FileType::RegularFile;
    rustix::fs::fstat(&fd).is_ok_and(|stat| regular(stat.st_mode)) && rustix::fs::seek(&fd, SeekFrom::Hole(0)).is_ok()
}

/// The operations of one channel that ask for allocation status.
#[derive(Debug)]
pub(super) struct Surveys {
    port: Port,
    /// Index = id of the job.
    slots: Box<[Option<(BlockIo, u64, Survey)>]>,
    free: Vec<u32>,
}

impl Surveys {
    /// For at most `depth` operations at a time.
    pub(super) fn new(file: &Arc<BackingFile>, depth: usize) -> Surveys {
        Surveys {
            port: Port::new(&file.helper, depth),
            slots: std::iter::repeat_with(|| None).take(depth).collect(),
            free: (0..depth as u32).rev().collect(),
        }
    }

    /// Takes an operation on a device of so many blocks over. It is refused at once if it starts behind the last one.
    ///
    /// # Panics
    /// If its data is no list of descriptors, or all slots are taken: the caller's bug.
    pub(super) fn start(
        &mut self,
        io: BlockIo,
        block_size: u32,
        num_blocks: u64,
        submitted_ns: u64,
    ) -> Option<Finished> {
        let len = io.data.as_ref().map_or(0, |data| data.len());
        assert!(len > 0 && len.is_multiple_of(DESCRIPTOR_BYTES), "{len} bytes of data for {:?}", io.op);
        if io.lba >= num_blocks {
            return Some(Finished { io, submitted_ns, result: Err(IoError::OutOfRange) });
        }
        let slot = self.free.pop().expect("the channel lets in no more operations than there are slots");
        let survey = Survey::new(io.lba, num_blocks, block_size);
        self.port.call(slot, survey.next.call());
        self.slots[slot as usize] = Some((io, submitted_ns, survey));
        None
    }

    /// Whether something waits for the thread.
    pub(super) fn is_busy(&self) -> bool {
        self.port.outstanding() > 0
    }

    /// Takes the answers that have come.
    #[inline]
    pub(super) fn poll(&mut self, mut finish: impl FnMut(Finished)) {
        for _ in 0..self.port.outstanding() {
            let Some((slot, answer)) = self.port.take() else { break };
            let Some((io, _, survey)) = &mut self.slots[slot as usize] else { continue };
            let list = io.data.as_mut().map_or(&mut [][..], |data| data.bytes_mut());
            match survey.on_answer(answer, list) {
                None => self.port.call(slot, survey.next.call()),
                Some(result) => {
                    self.free.push(slot);
                    if let Some((io, submitted_ns, _)) = self.slots[slot as usize].take() {
                        finish(Finished { io, submitted_ns, result });
                    }
                }
            }
        }
    }
}

/// What is known so far, and where to look next. Places are in bytes.
#[derive(Debug)]
struct Survey {
    block_size: u64,
    /// End of the device.
    end: u64,
    /// What lies before is known; a multiple of the block size.
    at: u64,
    next: Look,
    looks_left: u32,
    /// The blocks before `at` that are not in the list yet, since more of the same may follow.
    run: Option<Run>,
    /// Descriptors in the list.
    filled: usize,
}

/// Where to look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Look {
    /// For the first data there or behind; the file's end if there is none.
    Data(u64),
    /// For the first hole behind, where data is.
    Hole(u64),
}

impl Look {
    fn call(self) -> Call {
        match self {
            Look::Data(offset) => Call::FindData { offset },
            Look::Hole(offset) => Call::FindHole { offset },
        }
    }
}

/// Blocks of one status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Run {
    status: u8,
    lba: u64,
    blocks: u64,
}

impl Survey {
    /// Of the blocks from `lba` on, which lies on the device.
    fn new(lba: u64, num_blocks: u64, block_size: u32) -> Survey {
        let block_size = u64::from(block_size);
        let at = lba * block_size;
        let end = num_blocks * block_size;
        Survey { block_size, end, at, next: Look::Data(at), looks_left: LOOKS_MAX, run: None, filled: 0 }
    }

    /// Takes what a look found: a place, or an errno below 0. `None`: there is more to look for.
    fn on_answer(&mut self, answer: i64, list: &mut [u8]) -> Option<Result<(), IoError>> {
        self.looks_left = self.looks_left.saturating_sub(1);
        match (u64::try_from(answer), self.next) {
            (Ok(found), Look::Data(from)) if found >= from => self.on_data(found, list),
            (Ok(found), Look::Hole(from)) => self.on_hole(found, from, list),
            // The file has become shorter than the device.
            (Ok(_), Look::Data(_)) => return Some(self.stop(IoError::Medium, list)),
            (Err(_), _) => {
                let errno = answer.checked_neg().filter(|errno| *errno < 4096);
                let errno = errno.map_or(Errno::IO, |errno| Errno::from_raw_os_error(errno as i32));
                match errno {
                    Errno::INTR if self.looks_left > 0 => return None,
                    // The same, a moment later.
                    Errno::NXIO => return Some(self.stop(IoError::Medium, list)),
                    errno => return Some(self.stop(io_error(errno), list)),
                }
            }
        }
        let enough = self.at == self.end || self.filled == list.len() / DESCRIPTOR_BYTES || self.looks_left == 0;
        enough.then(|| self.stop(IoError::Medium, list))
    }

    /// Up to the block in which data begins there is a hole.
    fn on_data(&mut self, found: u64, list: &mut [u8]) {
        let found = found.min(self.end);
        self.append(DEALLOCATED, found - found % self.block_size, list);
        self.next = Look::Hole(found);
    }

    /// Up to the block in which data ends there is data; or at least one block, should the data have gone meanwhile.
    fn on_hole(&mut self, found: u64, from: u64, list: &mut [u8]) {
        let found = found.max(from + 1).min(self.end);
        self.append(MAPPED, found.next_multiple_of(self.block_size), list);
        self.next = Look::Data(self.at);
    }

    /// What lies between `at` and `to` has this status.
    fn append(&mut self, status: u8, to: u64, list: &mut [u8]) {
        let more = Run { status, lba: self.at / self.block_size, blocks: (to - self.at) / self.block_size };
        self.at = to;
        match &mut self.run {
            _ if more.blocks == 0 => {}
            Some(run) if run.status == status => run.blocks += more.blocks,
            run => {
                if let Some(run) = run.replace(more) {
                    self.write(run, list);
                }
            }
        }
    }

    /// Writes a run into the list, in several descriptors if its length does not fit one, as far as there is room.
    fn write(&mut self, mut run: Run, list: &mut [u8]) {
        while run.blocks > 0 {
            let Some(descriptor) = list.chunks_exact_mut(DESCRIPTOR_BYTES).nth(self.filled) else { return };
            let count = u32::try_from(run.blocks).unwrap_or(u32::MAX);
            descriptor.fill(0);
            descriptor[0..8].copy_from_slice(&run.lba.to_be_bytes());
            descriptor[8..12].copy_from_slice(&count.to_be_bytes());
            descriptor[12] = run.status;
            self.filled += 1;
            run.lba += u64::from(count);
            run.blocks -= u64::from(count);
        }
    }

    /// Ends the list; if it is empty, with the error that kept it so.
    fn stop(&mut self, error: IoError, list: &mut [u8]) -> Result<(), IoError> {
        if let Some(run) = self.run.take() {
            self.write(run, list);
        }
        list.chunks_exact_mut(DESCRIPTOR_BYTES).skip(self.filled).for_each(|unused| unused.fill(0));
        if self.filled > 0 { Ok(()) } else { Err(error) }
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
