//! One operation's way through the kernel, sans-IO: what to ask next, and what an answer means.
//!
//! ```text
//!   Read, Write      Transfer ─(Write that lasts, through the page cache)─► Sync ► done
//!   Flush            Sync ────────────────────────────────────────────────► done
//!   Unmap            PunchHole ───────────────────────────┬─(write-through)─► Sync ► done
//!   WriteZeroes      PunchHole ► ZeroRange ► WriteZeroes ─┴─(FUA)───────────► Sync ► done
//!                    (each only if the one before is refused by the file system)
//! ```
//! Where the page cache is used, the two halves of a write with FUA are asked for one by one: if the file system was full,
//! its errno alone would not tell whether the write found no space or data of others, written before, was lost for it.
//!
//! A step that was cut short is asked again for the rest; one that was interrupted is asked again.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;

use super::Zeroes;
use super::polling::Polling;
use crate::channel::{ByteRange, Finished};
use crate::io::{BlockIo, IoError, Op};

/// An operation that is in the kernel or about to be.
#[derive(Debug)]
pub(crate) struct Operation {
    io: BlockIo,
    range: ByteRange,
    submitted_ns: u64,
    step: Step,
    /// Bytes of the range that this step has done; a multiple of the block size.
    done: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// Before the first request.
    Start,
    Transfer,
    PunchHole,
    ZeroRange,
    WriteZeroes,
    Sync,
}

/// What to ask the kernel. Offsets in the file are in bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Request {
    /// Read into this part of the data.
    Read { offset: u64, part: Range<usize> },
    /// Write this part of the data; with `dsync` onto stable media.
    Write { offset: u64, part: Range<usize>, dsync: bool },
    /// Write `len` zeroes, at most [`Zeroes::LEN`].
    WriteZeroes { offset: u64, len: usize },
    /// Make a hole.
    PunchHole { offset: u64, len: u64 },
    /// Make zeroes, keeping the space.
    ZeroRange { offset: u64, len: u64 },
    /// fdatasync
    Sync,
    /// The same for a range, as RWF_DSYNC does after a write.
    SyncRange { offset: u64, len: u32 },
}

/// What an answer means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Progress {
    /// There is more to ask: [`Operation::request`].
    Again,
    /// It is done.
    Done,
    /// It failed; `errno` is for the log, 0 if the kernel reported none.
    Failed { error: IoError, errno: i32 },
}

/// What the file can do, and what has become of it; shared by all channels.
#[derive(Debug)]
pub(super) struct Abilities {
    block_size: u32,
    /// Most bytes that one read or write moves; a multiple of every block size.
    pub(super) transfer_max: u64,
    write_through: bool,
    /// Writes go through the page cache.
    page_cache: bool,
    /// Nothing has to be made durable.
    nv_cache: bool,
    punch_hole: bool,
    zero_range_refused: AtomicBool,
    /// A flush failed: writes that were reported as done may be lost, for good.
    writes_lost: AtomicBool,
}

impl Abilities {
    /// The kernel's MAX_RW_COUNT: it would cut anything longer short.
    const TRANSFER_MAX: u64 = 0x7fff_f000;

    pub(super) fn new(block_size: u32, write_through: bool, punch_hole: bool) -> Abilities {
        Abilities {
            block_size,
            transfer_max: Abilities::TRANSFER_MAX,
            write_through,
            page_cache: false,
            nv_cache: false,
            punch_hole,
            zero_range_refused: AtomicBool::new(false),
            writes_lost: AtomicBool::new(false),
        }
    }

    /// The same with these caches below, see [`super::UringOptions`].
    pub(super) fn with_caches(self, page_cache: bool, nv_cache: bool) -> Abilities {
        Abilities { page_cache, nv_cache, ..self }
    }

    /// Whether a flush has anything to ask the kernel.
    pub(super) fn flushes(&self) -> bool {
        !self.nv_cache
    }

    /// Whether a write must be on stable media before it is done.
    fn lasts(&self, fua: bool) -> bool {
        (fua || self.write_through) && !self.nv_cache
    }

    #[cfg(test)]
    pub(super) fn with_lost_writes(block_size: u32) -> Abilities {
        Abilities { writes_lost: AtomicBool::new(true), ..Abilities::new(block_size, false, true) }
    }

    #[cfg(test)]
    pub(super) fn without_zero_range(block_size: u32) -> Abilities {
        Abilities { zero_range_refused: AtomicBool::new(true), ..Abilities::new(block_size, false, false) }
    }
}

impl Operation {
    /// An operation on a checked range.
    pub(crate) fn new(io: BlockIo, range: ByteRange, submitted_ns: u64) -> Operation {
        Operation { io, range, submitted_ns, step: Step::Start, done: 0 }
    }

    /// Whether completions of all its requests can be polled for: of reads and writes, but not of those that must last,
    /// which the block layer may have to make several of.
    #[inline]
    pub(super) fn can_be_polled(&self, polling: Polling, abilities: &Abilities) -> bool {
        let plain = match self.io.op {
            Op::Read => true,
            Op::Write { fua } => !abilities.lasts(fua),
            _ => false,
        };
        plain && polling.takes(self.range)
    }

    /// What to ask the kernel now.
    pub(super) fn request(&mut self, abilities: &Abilities) -> Request {
        if self.step == Step::Start {
            self.step = self.first_step(abilities);
        }
        let offset = self.range.offset + self.done;
        let rest = self.range.len - self.done;
        // A part of the data lies in memory, so its bounds fit a usize.
        let part = || self.done as usize..(self.done + rest.min(abilities.transfer_max)) as usize;
        match (self.step, self.io.op) {
            (Step::Transfer, Op::Write { fua }) => {
                Request::Write { offset, part: part(), dsync: abilities.lasts(fua) && !abilities.page_cache }
            }
            (Step::Start | Step::Transfer, _) => Request::Read { offset, part: part() },
            (Step::PunchHole, _) => Request::PunchHole { offset, len: rest },
            (Step::ZeroRange, _) => Request::ZeroRange { offset, len: rest },
            (Step::WriteZeroes, _) => Request::WriteZeroes { offset, len: rest.min(Zeroes::LEN as u64) as usize },
            // No more than its data, which lies in memory.
            (Step::Sync, Op::Write { .. }) => {
                Request::SyncRange { offset: self.range.offset, len: self.range.len as u32 }
            }
            (Step::Sync, _) => Request::Sync,
        }
    }

    fn first_step(&self, abilities: &Abilities) -> Step {
        match self.io.op {
            Op::Read | Op::Write { .. } | Op::LbaStatus | Op::Scsi { .. } => Step::Transfer,
            Op::Flush => Step::Sync,
            Op::Unmap => Step::PunchHole,
            Op::WriteZeroes { unmap: true, .. } if abilities.punch_hole => Step::PunchHole,
            Op::WriteZeroes { .. } if abilities.zero_range_refused.load(Ordering::Relaxed) => Step::WriteZeroes,
            Op::WriteZeroes { .. } => Step::ZeroRange,
        }
    }

    /// Takes the kernel's answer to the last request: a count of bytes, or an errno below 0.
    pub(super) fn on_answer(&mut self, answer: i32, abilities: &Abilities) -> Progress {
        match u64::try_from(answer) {
            Ok(count) => self.on_success(count, abilities),
            Err(_) => self.on_errno(Errno::from_raw_os_error(answer.wrapping_neg()), abilities),
        }
    }

    fn on_success(&mut self, count: u64, abilities: &Abilities) -> Progress {
        match self.step {
            Step::Start | Step::Transfer | Step::WriteZeroes => {
                // Whole blocks only: a part of a block is asked for again, since O_DIRECT takes no other offsets.
                let done = self.done + count;
                let done = done - done % u64::from(abilities.block_size);
                if done == self.done {
                    // The file ends here, shorter than it was when it was opened, or takes nothing.
                    return Progress::Failed { error: IoError::Medium, errno: 0 };
                }
                self.done = done;
                if self.done < self.range.len { Progress::Again } else { self.sync_or_done(abilities) }
            }
            Step::PunchHole | Step::ZeroRange => self.sync_or_done(abilities),
            // It speaks for itself only.
            Step::Sync if matches!(self.io.op, Op::Write { .. }) => Progress::Done,
            Step::Sync if abilities.writes_lost.load(Ordering::Relaxed) => {
                Progress::Failed { error: IoError::Medium, errno: 0 }
            }
            Step::Sync => Progress::Done,
        }
    }

    fn sync_or_done(&mut self, abilities: &Abilities) -> Progress {
        let sync = match self.io.op {
            Op::Read | Op::Flush | Op::LbaStatus | Op::Scsi { .. } => false,
            // With O_DIRECT the transfer carries it itself.
            Op::Write { fua } => abilities.lasts(fua) && abilities.page_cache,
            Op::Unmap => abilities.lasts(false),
            Op::WriteZeroes { fua, .. } => abilities.lasts(fua),
        };
        if !sync {
            return Progress::Done;
        }
        self.step = Step::Sync;
        Progress::Again
    }

    fn on_errno(&mut self, errno: Errno, abilities: &Abilities) -> Progress {
        let refused = matches!(errno, Errno::OPNOTSUPP | Errno::NOSYS);
        match (self.step, self.io.op) {
            _ if matches!(errno, Errno::AGAIN | Errno::INTR) => Progress::Again,
            (Step::PunchHole, Op::WriteZeroes { .. }) if refused => {
                self.step = Step::ZeroRange;
                Progress::Again
            }
            (Step::ZeroRange, _) if refused => {
                abilities.zero_range_refused.store(true, Ordering::Relaxed);
                self.step = Step::WriteZeroes;
                Progress::Again
            }
            _ => {
                let error = io_error(errno);
                self.note_lost_writes(error, abilities);
                Progress::Failed { error, errno: errno.raw_os_error() }
            }
        }
    }

    /// The kernel reports a write that it could not bring to the medium to the next sync only, be it whose it may, and
    /// drops the data. So what that sync learned must be told to everybody who syncs later.
    fn note_lost_writes(&self, error: IoError, abilities: &Abilities) {
        let synced = match (self.step, self.io.op) {
            (Step::Sync, _) => true,
            // Its own part of the error is in its own answer. A full file system is no sign of a loss here: with O_DIRECT no
            // data waits for its space.
            (Step::Transfer, Op::Write { fua }) => {
                abilities.lasts(fua) && !abilities.page_cache && error == IoError::Medium
            }
            _ => false,
        };
        if synced {
            abilities.writes_lost.store(true, Ordering::Relaxed);
        }
    }

    /// Its data.
    pub(super) fn io(&mut self) -> &mut BlockIo {
        &mut self.io
    }

    /// For the log: what and where, in bytes.
    pub(super) fn describe(&self) -> (Op, u64, u64) {
        (self.io.op, self.range.offset, self.range.len)
    }

    /// The end.
    pub(super) fn finish(self, result: Result<(), IoError>) -> Finished {
        Finished { io: self.io, submitted_ns: self.submitted_ns, result }
    }
}

fn io_error(errno: Errno) -> IoError {
    match errno {
        Errno::NOSPC | Errno::DQUOT | Errno::FBIG => IoError::NoSpace,
        // EILSEQ: a checksum of the block layer; EBADMSG and EUCLEAN: of a file system; ENODATA, EREMOTEIO: the medium's.
        Errno::IO | Errno::NODATA | Errno::REMOTEIO | Errno::ILSEQ | Errno::BADMSG | Errno::UCLEAN => IoError::Medium,
        Errno::ROFS | Errno::PERM | Errno::ACCESS => IoError::WriteProtected,
        Errno::NODEV | Errno::NXIO | Errno::NOMEDIUM | Errno::SHUTDOWN | Errno::STALE | Errno::NOLINK => IoError::Gone,
        Errno::OPNOTSUPP | Errno::NOSYS => IoError::Unsupported,
        _ => IoError::Failed,
    }
}

#[cfg(test)]
#[path = "operation_tests.rs"]
mod tests;
