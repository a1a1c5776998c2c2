//! One io_uring with the operations that it carries: the only file of this device with `unsafe`.
//!
//! The rule that makes it sound: an operation, and with it the buffer that the kernel reads or writes, stays in its slot
//! from the moment its request is queued until the kernel's answer to that request is taken. Each slot has at most one
//! request in the ring, and the ring has room for one per slot, so queueing cannot fail.
#![allow(unsafe_code)]

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use io_uring::types::{Fixed, FsyncFlags, SubmitArgs, Timespec};
use io_uring::{IoUring, SubmissionQueue, opcode, squeue};
use rustix::fd::AsRawFd;

use super::BackingFile;
use super::operation::{Abilities, Operation, Progress, Request};
use crate::channel::Finished;

/// The file's place among the ring's registered files.
const FILE: Fixed = Fixed(0);

/// IORING_ENTER_GETEVENTS: also bring out what is completed; see io_uring_enter(2).
const ENTER_GETEVENTS: u32 = 1;

/// How long a dropped channel waits for what is in flight.
const DRAIN_MAX: Duration = Duration::from_secs(30);

/// A channel's ring.
pub(crate) struct Ring {
    ring: IoUring,
    /// Index = user data of the request.
    slots: Box<[Option<Operation>]>,
    free: Vec<u32>,
    file: Arc<BackingFile>,
    log: FailureLog,
}

/// Whether this process may use io_uring at all.
pub(super) fn probe() -> io::Result<()> {
    IoUring::new(2).map(drop)
}

impl Ring {
    /// A ring for `depth` operations at a time, used by the calling thread only.
    pub(crate) fn new(file: Arc<BackingFile>, depth: usize) -> io::Result<Ring> {
        let depth = u32::try_from(depth).map_err(|_| io::ErrorKind::InvalidInput)?;
        let ring = set_up(depth.next_power_of_two())?;
        ring.submitter().register_files(&[file.fd.as_raw_fd()])?;
        let slots = std::iter::repeat_with(|| None).take(depth as usize).collect();
        Ok(Ring { ring, slots, free: (0..depth).rev().collect(), file, log: FailureLog::default() })
    }

    /// Queues an operation; the next `poll` hands it to the kernel.
    ///
    /// # Panics
    /// If all slots are taken: the channel counts, so that would be our bug.
    pub(crate) fn start(&mut self, operation: Operation) {
        let slot = self.free.pop().expect("the channel lets in no more operations than there are slots");
        let operation = self.slots[slot as usize].insert(operation);
        // SAFETY: the operation was put into its slot above, and stays there as the file's first paragraph says.
        unsafe { queue(&mut self.ring.submission(), slot, operation, &self.file) };
    }

    /// Hands queued requests to the kernel, all in one system call, and takes its answers.
    pub(crate) fn poll(&mut self, now_ns: u64, mut finish: impl FnMut(Finished)) {
        self.enter_if_due();
        let (_, mut submission, completion) = self.ring.split();
        for answer in completion {
            let slot = answer.user_data() as u32;
            let Some(operation) = self.slots.get_mut(slot as usize).and_then(Option::as_mut) else {
                debug_assert!(false, "an answer for slot {slot}, which is empty");
                continue;
            };
            let result = match operation.on_answer(answer.result(), &self.file.abilities) {
                Progress::Again => {
                    // SAFETY: the operation stays in its slot, whose last request has just been answered.
                    unsafe { queue(&mut submission, slot, operation, &self.file) };
                    continue;
                }
                Progress::Done => Ok(()),
                Progress::Failed { error, errno } => {
                    self.log.failure(&self.file, operation, errno, now_ns);
                    Err(error)
                }
            };
            if let Some(operation) = self.slots[slot as usize].take() {
                self.free.push(slot);
                finish(operation.finish(result));
            }
        }
    }

    /// One system call if requests are queued, or if the kernel says that it has answers which only a call brings out.
    fn enter_if_due(&mut self) {
        let (submitter, submission, _) = self.ring.split();
        if submission.is_empty() && !submission.taskrun() && !submission.cq_overflow() {
            return;
        }
        let queued = submission.len() as u32;
        drop(submission);
        // SAFETY: enter(2) takes no pointer here (no argument is given), and the requests that it submits hold
        // pointers into slots, which keep them as long as the kernel may use them (see `queue`).
        let outcome = unsafe { submitter.enter::<libc::sigset_t>(queued, 0, ENTER_GETEVENTS, None) };
        if let Err(error) = outcome
            && !matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY))
        {
            // What is queued stays queued, and the next poll tries again.
            self.log.enter_failed(&self.file, &error);
        }
    }

    fn carried(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Waits for the kernel's answers to everything it was given; false if some did not come in time.
    fn drain(&mut self) -> bool {
        let deadline = Instant::now() + DRAIN_MAX;
        let tick = Timespec::from(Duration::from_millis(100));
        while self.carried() > 0 {
            if Instant::now() > deadline {
                return false;
            }
            let _ = match self.ring.params().is_feature_ext_arg() {
                true => self.ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&tick)),
                false => self.ring.submit_and_wait(1),
            };
            for answer in self.ring.completion() {
                let slot = answer.user_data() as u32;
                // Nobody waits for the result any more, so what is left of a cut-short operation is not asked for.
                if self.slots.get_mut(slot as usize).and_then(Option::take).is_some() {
                    self.free.push(slot);
                }
            }
        }
        true
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if self.drain() {
            // Closing a ring gives its file back some time later; this does it now, and with the file its lock.
            let _ = self.ring.submitter().unregister_files();
            return;
        }
        tracing::error!(
            "bdev {}: {} operations on {} have not ended in {} s: their buffers and the file stay in use for ever",
            self.file.name,
            self.carried(),
            self.file.path.display(),
            DRAIN_MAX.as_secs()
        );
        // The kernel may still use their memory. Lost memory is the lesser evil.
        std::mem::forget(std::mem::take(&mut self.slots));
        std::mem::forget(Arc::clone(&self.file));
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("file", &self.file.path).field("carried", &self.carried()).finish_non_exhaustive()
    }
}

/// The best ring that the kernel has: completions only when we ask for them (Linux 6.1), without an interrupt (5.19), or
/// as ever. Each tells us by a flag in memory when a system call is needed to get at them.
pub(crate) fn set_up(entries: u32) -> io::Result<IoUring> {
    let deferred = IoUring::builder()
        .setup_submit_all()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .build(entries);
    let refused = |error: &io::Error| error.raw_os_error() == Some(libc::EINVAL);
    match deferred {
        Err(error) if refused(&error) => {}
        outcome => return outcome,
    }
    match IoUring::builder().setup_submit_all().setup_coop_taskrun().setup_taskrun_flag().build(entries) {
        Err(error) if refused(&error) => IoUring::builder().build(entries),
        outcome => outcome,
    }
}

/// Queues the operation's next request under its slot's number.
///
/// # Safety
/// `operation` stays in the slot of that number, unmoved in what it owns and used by nobody, until the kernel has
/// answered; the slot has no other request in the ring; the ring of `submission` holds an `Arc` of `file`, which is its
/// registered file, for as long.
#[inline]
unsafe fn queue(submission: &mut SubmissionQueue<'_>, slot: u32, operation: &mut Operation, file: &BackingFile) {
    let entry = entry(operation, file).user_data(u64::from(slot));
    // SAFETY: memory that the request points to is either the operation's buffer, a slot of a pool that was moved into
    // the operation, so that nobody else uses it, and that the caller keeps until the kernel has answered; or the
    // zeroes of `file`, which nobody writes. Address and length are those of a slice of it.
    let pushed = unsafe { submission.push(&entry) };
    pushed.expect("the submission queue has room for a request of each slot");
}

#[inline]
fn entry(operation: &mut Operation, file: &BackingFile) -> squeue::Entry {
    let abilities: &Abilities = &file.abilities;
    let request = operation.request(abilities);
    let data = operation.io().data.as_mut();
    match request {
        Request::Read { offset, part } => {
            let to = data.map_or(&mut [][..], |data| &mut data.bytes_mut()[part]);
            opcode::Read::new(FILE, to.as_mut_ptr(), to.len() as u32).offset(offset).build()
        }
        Request::Write { offset, part, dsync } => {
            let from = data.map_or(&[][..], |data| &data.bytes()[part]);
            let flags = if dsync { libc::RWF_DSYNC } else { 0 };
            opcode::Write::new(FILE, from.as_ptr(), from.len() as u32).offset(offset).rw_flags(flags).build()
        }
        Request::WriteZeroes { offset, len } => {
            let from = &file.zeroes.bytes()[..len];
            opcode::Write::new(FILE, from.as_ptr(), from.len() as u32).offset(offset).build()
        }
        Request::PunchHole { offset, len } => {
            let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
            opcode::Fallocate::new(FILE, len).offset(offset).mode(mode).build()
        }
        Request::ZeroRange { offset, len } => {
            let mode = libc::FALLOC_FL_ZERO_RANGE | libc::FALLOC_FL_KEEP_SIZE;
            opcode::Fallocate::new(FILE, len).offset(offset).mode(mode).build()
        }
        Request::Sync => opcode::Fsync::new(FILE).flags(FsyncFlags::DATASYNC).build(),
    }
}

/// Says what failed, once a second at most: a broken disk fails every operation.
#[derive(Debug, Default)]
struct FailureLog {
    last_ns: Option<u64>,
    untold: u64,
    enter_told: bool,
}

impl FailureLog {
    const INTERVAL_NS: u64 = 1_000_000_000;

    #[cold]
    fn failure(&mut self, file: &BackingFile, operation: &Operation, errno: i32, now_ns: u64) {
        if self.last_ns.is_some_and(|last_ns| now_ns.saturating_sub(last_ns) < FailureLog::INTERVAL_NS) {
            self.untold += 1;
            return;
        }
        let (op, offset, len) = operation.describe();
        let why = match errno {
            0 => "the file ends before, or an earlier flush failed".to_owned(),
            errno => io::Error::from_raw_os_error(errno).to_string(),
        };
        tracing::warn!(
            "bdev {}: {op:?} of {len} bytes at {offset} of {} failed: {why} ({} more failures since the last such line)",
            file.name,
            file.path.display(),
            self.untold
        );
        self.last_ns = Some(now_ns);
        self.untold = 0;
    }

    #[cold]
    fn enter_failed(&mut self, file: &BackingFile, error: &io::Error) {
        if !self.enter_told {
            self.enter_told = true;
            tracing::error!("bdev {}: io_uring_enter fails, operations are stuck: {error}", file.name);
        }
    }
}
