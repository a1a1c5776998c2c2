//! A device that fails on demand, for tests of what stands above it: errors are injected while it runs.
//!
//! As in SPDK, reads, writes, unmaps and flushes can be made to fail (and SCSI commands that move data: as reads and
//! writes). What each error does here:
//!
//! | error | the operation |
//! |---|---|
//! | `Failure`, `Medium` | ends with [`IoError::Failed`] or [`IoError::Medium`], and never reaches the device beneath |
//! | `Pending` | is stuck until [`resume_pending`] or [`clear`] lets it go on to the device beneath |
//! | `NoMem` | waits for the next poll and is tried again, which takes the next error if one is left: what SPDK's block layer does with a device that is short of memory |
//! | `CorruptData` | succeeds, with one byte changed: of what was read, or of what reaches the device beneath (the writer's buffer comes back as it was) |
//!
//! The errors of a device are counted down by all cores together: no more operations are hit than were asked for.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use reactor::WakeSources;
use uuid::Uuid;

use crate::bdev::{Bdev, Kind};
use crate::channel::{ChannelError, ChannelOptions, Finished};
use crate::create::CreateError;
use crate::io::{BlockIo, Direction, IoError, Op};
use crate::passthrough::RECORD_BYTES;
use crate::wrapper::{self, BaseChannel};

/// [`crate::Info::product_name`] of these devices.
pub const PRODUCT: &str = "Error Injection Disk";

/// Makes a device that can fail of another one; it is named `EE_<device>`. Without `uuid` its identity is derived from
/// that of the device beneath and the name.
///
/// # Errors
/// [`CreateError::Parameter`]: the name becomes too long, or too many devices stand on each other.
pub fn create(base: &Arc<Bdev>, uuid: Option<Uuid>) -> Result<Arc<Bdev>, CreateError> {
    let info = wrapper::info(base, "base_name", format!("EE_{}", base.info().name), PRODUCT, uuid)?;
    let faulty = Faulty { base: Arc::clone(base), faults: Arc::default() };
    Ok(Bdev::new(info, base.num_blocks(), Kind::Error(faulty)))
}

/// What operations an error is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IoType {
    /// Reads.
    Read,
    /// Writes; not `WriteZeroes`, as in SPDK.
    Write,
    /// Unmaps.
    Unmap,
    /// Flushes.
    Flush,
}

impl IoType {
    /// All of them.
    pub const ALL: [IoType; 4] = [IoType::Read, IoType::Write, IoType::Unmap, IoType::Flush];
}

/// What happens to an operation; see the file's first paragraphs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorType {
    /// It fails.
    Failure,
    /// It fails with a medium error.
    Medium,
    /// It does not end.
    Pending,
    /// One byte of its data is changed; where there is no such byte, none is.
    CorruptData {
        /// Place of the byte in the operation's data.
        offset: u64,
        /// What it is combined with by exclusive or.
        value: u8,
    },
    /// It has to be tried again.
    NoMem,
}

/// Errors to come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Injection {
    /// What happens.
    pub error: ErrorType,
    /// To how many operations; 0: to none any more.
    pub num: u32,
    /// Only while so many operations of the same channel are at the device beneath.
    pub queue_depth: u64,
}

/// Replaces the errors to come for one kind of operation. Returns false for devices of other kinds.
pub fn inject(bdev: &Bdev, io_type: IoType, injection: Injection) -> bool {
    let Kind::Error(Faulty { faults, .. }) = &bdev.kind else { return false };
    let mut generation = faults.generation();
    *generation = generation.wrapping_add(1);
    faults.of[io_type as usize].arm(injection, *generation);
    true
}

/// Ends all errors to come, and lets go on what is stuck. Returns false for devices of other kinds.
pub fn clear(bdev: &Bdev) -> bool {
    let none = Injection { error: ErrorType::Failure, num: 0, queue_depth: 0 };
    IoType::ALL.iter().all(|&io_type| inject(bdev, io_type, none)) && resume(bdev)
}

/// Lets go on what is stuck, and ends errors to come that would make more so. Returns false for devices of other kinds.
pub fn resume_pending(bdev: &Bdev) -> bool {
    let Kind::Error(Faulty { faults, .. }) = &bdev.kind else { return false };
    let guard = faults.generation();
    faults.of.iter().filter(|fault| fault.kind() == PENDING).for_each(Fault::disarm);
    drop(guard);
    resume(bdev)
}

fn resume(bdev: &Bdev) -> bool {
    let Kind::Error(Faulty { faults, .. }) = &bdev.kind else { return false };
    // Release: who sees that something is to go on sees also that the errors have ended.
    faults.resumes.fetch_add(1, Ordering::Release);
    true
}

/// What the cores share.
#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) base: Arc<Bdev>,
    faults: Arc<Faults>,
}

#[derive(Debug, Default)]
struct Faults {
    of: [Fault; 4],
    /// How often what was stuck was let go.
    resumes: AtomicU64,
    /// Counts injections; held by those who change errors to come, never by an operation.
    generation: Mutex<u32>,
}

impl Faults {
    fn generation(&self) -> std::sync::MutexGuard<'_, u32> {
        self.generation.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Errors to come for one kind of operation.
#[derive(Debug, Default)]
struct Fault {
    /// Kind of error (8 bits), number of the injection (24), errors left (32): one word, so that who counts an error down
    /// knows that it is still of the injection whose other fields it has read.
    armed: AtomicU64,
    queue_depth: AtomicU64,
    corrupt_offset: AtomicU64,
    corrupt_value: AtomicU8,
}

const FAILURE: u8 = 1;
const MEDIUM: u8 = 2;
const PENDING: u8 = 3;
const CORRUPT_DATA: u8 = 4;
const NO_MEM: u8 = 5;

impl Fault {
    fn arm(&self, injection: Injection, generation: u32) {
        let Injection { error, num, queue_depth } = injection;
        self.disarm();
        let (kind, offset, value) = match error {
            ErrorType::Failure => (FAILURE, 0, 0),
            ErrorType::Medium => (MEDIUM, 0, 0),
            ErrorType::Pending => (PENDING, 0, 0),
            ErrorType::CorruptData { offset, value } => (CORRUPT_DATA, offset, value),
            ErrorType::NoMem => (NO_MEM, 0, 0),
        };
        // Release, and Acquire in `take`: an operation that reads one of these finds the word changed when it counts.
        self.queue_depth.store(queue_depth, Ordering::Release);
        self.corrupt_offset.store(offset, Ordering::Release);
        self.corrupt_value.store(value, Ordering::Release);
        let word = u64::from(kind) << 56 | u64::from(generation & 0xff_ffff) << 32 | u64::from(num);
        self.armed.store(word, Ordering::Release);
    }

    fn disarm(&self) {
        self.armed.store(0, Ordering::Relaxed);
    }

    fn kind(&self) -> u8 {
        (self.armed.load(Ordering::Relaxed) >> 56) as u8
    }

    /// The error that hits an operation now, if one does; it is counted.
    #[inline]
    fn take(&self, in_flight: usize) -> Option<ErrorType> {
        let mut word = self.armed.load(Ordering::Acquire);
        loop {
            if word as u32 == 0 || (in_flight as u64) < self.queue_depth.load(Ordering::Acquire) {
                return None;
            }
            let offset = self.corrupt_offset.load(Ordering::Acquire);
            let value = self.corrupt_value.load(Ordering::Acquire);
            match self.armed.compare_exchange_weak(word, word - 1, Ordering::AcqRel, Ordering::Acquire) {
                Err(now) => word = now,
                Ok(_) => {
                    return match (word >> 56) as u8 {
                        FAILURE => Some(ErrorType::Failure),
                        MEDIUM => Some(ErrorType::Medium),
                        PENDING => Some(ErrorType::Pending),
                        CORRUPT_DATA => Some(ErrorType::CorruptData { offset, value }),
                        NO_MEM => Some(ErrorType::NoMem),
                        _ => None,
                    };
                }
            }
        }
    }
}

/// A core's part.
#[derive(Debug)]
pub(crate) struct ErrorChannel {
    base: BaseChannel<Option<Corruption>>,
    faults: Arc<Faults>,
    /// Operations that do not end until they are let go; has room for the channel's depth from the start.
    stuck: Vec<Waiting>,
    /// Operations that the next poll tries again; as much room.
    again: VecDeque<Waiting>,
    /// How often what was stuck was let go, as far as this channel knows.
    resumes: u64,
}

#[derive(Debug)]
struct Waiting {
    io: BlockIo,
    submitted_ns: u64,
}

/// A byte to be changed.
#[derive(Clone, Copy, Debug)]
struct Corruption {
    offset: u64,
    value: u8,
}

impl ErrorChannel {
    pub(crate) fn open(faulty: &Faulty, options: ChannelOptions<'_>) -> Result<ErrorChannel, ChannelError> {
        let faults = Arc::clone(&faulty.faults);
        let resumes = faults.resumes.load(Ordering::Acquire);
        Ok(ErrorChannel {
            base: BaseChannel::open(&faulty.base, options)?,
            faults,
            stuck: Vec::with_capacity(options.depth),
            again: VecDeque::with_capacity(options.depth),
            resumes,
        })
    }

    /// Starts an operation, or what the next error makes of it.
    #[inline]
    pub(crate) fn start(&mut self, mut io: BlockIo, submitted_ns: u64, now_ns: u64) -> Option<Finished> {
        let error = io_type(io.op).and_then(|of| self.faults.of[of as usize].take(self.base.in_flight()));
        let mut corruption = None;
        match error {
            None => {}
            Some(ErrorType::Failure) => return Some(Finished { io, submitted_ns, result: Err(IoError::Failed) }),
            Some(ErrorType::Medium) => return Some(Finished { io, submitted_ns, result: Err(IoError::Medium) }),
            Some(ErrorType::Pending) => {
                self.stuck.push(Waiting { io, submitted_ns });
                return None;
            }
            Some(ErrorType::NoMem) => {
                self.again.push_back(Waiting { io, submitted_ns });
                return None;
            }
            Some(ErrorType::CorruptData { offset, value }) => {
                corruption = Some(Corruption { offset, value });
                if moves_data_out(io.op) {
                    corrupt(&mut io, corruption);
                }
            }
        }
        self.base.start(io, 0, submitted_ns, now_ns, corruption);
        None
    }

    pub(crate) fn poll(&mut self, now_ns: u64, mut finish: impl FnMut(Finished)) {
        // Acquire: as in `resume`.
        let resumes = self.faults.resumes.load(Ordering::Acquire);
        if resumes != self.resumes {
            self.resumes = resumes;
            for Waiting { io, submitted_ns } in self.stuck.drain(..) {
                self.base.start(io, 0, submitted_ns, now_ns, None);
            }
        }
        for _ in 0..self.again.len() {
            let Some(Waiting { io, submitted_ns }) = self.again.pop_front() else { break };
            if let Some(finished) = self.start(io, submitted_ns, now_ns) {
                finish(finished);
            }
        }
        self.base.poll(now_ns, |mut finished, corruption| {
            // What was changed in a writer's buffer is changed back.
            if moves_data_out(finished.io.op) || finished.result.is_ok() {
                corrupt(&mut finished.io, corruption);
            }
            finish(finished);
        });
    }

    /// See [`crate::Channel::wake_sources`].
    pub(crate) fn wake_sources<'a>(&'a self, sources: &mut WakeSources<'a>) {
        if !self.stuck.is_empty() || !self.again.is_empty() {
            sources.look_often();
        }
        self.base.wake_sources(sources);
    }
}

#[inline]
fn io_type(op: Op) -> Option<IoType> {
    match op {
        Op::Read | Op::Scsi { direction: Direction::In } => Some(IoType::Read),
        Op::Write { .. } | Op::Scsi { direction: Direction::Out } => Some(IoType::Write),
        Op::Unmap => Some(IoType::Unmap),
        Op::Flush => Some(IoType::Flush),
        Op::WriteZeroes { .. } | Op::LbaStatus | Op::Scsi { direction: Direction::None } => None,
    }
}

fn moves_data_out(op: Op) -> bool {
    matches!(op, Op::Write { .. } | Op::Scsi { direction: Direction::Out })
}

/// Changes a byte of an operation's data; a second time, it is as it was.
fn corrupt(io: &mut BlockIo, corruption: Option<Corruption>) {
    let (Some(Corruption { offset, value }), Some(data)) = (corruption, &mut io.data) else { return };
    let record = if matches!(io.op, Op::Scsi { .. }) { RECORD_BYTES } else { 0 };
    let len = data.len().saturating_sub(record);
    if let Ok(offset) = usize::try_from(offset)
        && offset < len
    {
        data.bytes_mut()[offset] ^= value;
    }
}

#[cfg(test)]
#[path = "error/tests.rs"]
mod tests;
