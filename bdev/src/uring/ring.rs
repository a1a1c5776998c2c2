//! The io_urings of a channel with the operations that they carry.
//!
//! The rule that makes it sound: an operation, and with it the buffer that the kernel reads or writes, stays in its slot
//! from the moment its request is queued until the kernel's answer to that request is taken. Each slot has at most one
//! request in a ring, and each ring has room for one per slot, so queueing cannot fail.
#![allow(unsafe_code)]

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use io_uring::types::{Fixed, FsyncFlags, SubmitArgs, Timespec};
use io_uring::{IoUring, SubmissionQueue, opcode, squeue};
use mem::Region;
use reactor::{Instant as Moment, WakeSources};
use rustix::fd::{AsRawFd, BorrowedFd};

use super::BackingFile;
use super::direct::DIRECT_ALIGN_MAX;
use super::operation::{Abilities, Operation, Progress, Request};
use super::polling::Polling;
use super::regions::Registered;
use crate::channel::Finished;

/// The file's place among the ring's registered files.
const FILE: Fixed = Fixed(0);

/// IORING_ENTER_GETEVENTS: also bring out what is completed; see io_uring_enter(2).
const ENTER_GETEVENTS: u32 = 1;

/// How long a dropped channel waits for what is in flight.
pub(super) const DRAIN_MAX: Duration = Duration::from_secs(30);

/// How long it waits for answers at a time.
const DRAIN_TICK: Duration = Duration::from_millis(100);

/// The same where other answers come by polling only.
const DRAIN_TICK_POLLED: Duration = Duration::from_millis(1);

/// A channel's way into the kernel: a ring, and where the device takes it a second one whose completions are polled for.
/// That one takes small reads and writes only; everything else goes by the first.
pub(crate) struct Ring {
    ordinary: Lane,
    polled: Option<(Polling, Lane)>,
    slots: Slots,
    file: Arc<BackingFile>,
    log: FailureLog,
}

/// One io_uring.
struct Lane {
    ring: IoUring,
    buffers: Registered,
    /// Requests that were queued and not answered.
    in_flight: usize,
}

/// The operations in the kernel.
struct Slots {
    /// Index = user data of the request.
    operations: Box<[Option<Operation>]>,
    free: Vec<u32>,
}

/// Whether this process may use io_uring at all.
pub(super) fn probe() -> io::Result<()> {
    IoUring::new(2).map(drop)
}

/// Whether the first block of a file that is open with O_DIRECT can be read by polling. The kernel makes such a ring for
/// any file, and refuses every request where the device cannot be polled.
pub(super) fn probe_polled(fd: BorrowedFd<'_>, block_size: usize) -> io::Result<()> {
    const WAIT_MAX: Duration = Duration::from_secs(2);
    let mut ring = set_up_polled(2)?;
    ring.submitter().register_files(&[fd.as_raw_fd()])?;
    let mut memory = vec![0_u8; DIRECT_ALIGN_MAX + block_size].into_boxed_slice();
    let start = memory.as_ptr().align_offset(DIRECT_ALIGN_MAX);
    let buffer = &mut memory[start..start + block_size];
    let entry = opcode::Read::new(FILE, buffer.as_mut_ptr(), block_size as u32).build();
    // SAFETY: `memory` is used by nobody until the answer is there, and never freed if there is none.
    unsafe { ring.submission().push(&entry) }.expect("an empty ring has room");
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        // SAFETY: enter(2) takes no pointer here, and the request that it submits one into `memory`, see above.
        let outcome = unsafe { ring.submitter().enter::<libc::sigset_t>(1, 0, ENTER_GETEVENTS, None) };
        let answer = ring.completion().next().map(|answer| answer.result());
        match (answer, outcome) {
            // A bad block is no reason against polling.
            (Some(count), _) if count >= 0 || count == -libc::EIO => return Ok(()),
            (Some(error), _) => return Err(io::Error::from_raw_os_error(-error)),
            (None, Err(error)) if !is_passing(&error) => {
                std::mem::forget(memory);
                return Err(error);
            }
            (None, _) if Instant::now() > deadline => {
                std::mem::forget(memory);
                return Err(io::ErrorKind::TimedOut.into());
            }
            (None, _) => {}
        }
    }
}

/// Whether an enter that failed so is to be repeated.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY))
}

impl Lane {
    fn new(file: &BackingFile, depth: u32, regions: &[Arc<Region>], polled: bool) -> io::Result<Lane> {
        let entries = depth.next_power_of_two();
        let ring = if polled { set_up_polled(entries) } else { set_up(entries) }?;
        ring.submitter().register_files(&[file.fd.as_raw_fd()])?;
        let mut lane = Lane { ring, buffers: Registered::default(), in_flight: 0 };
        match lane.register(Registered::of(regions)) {
            Ok(()) => {}
            Err(error) => file.log_unregistered(&error),
        }
        Ok(lane)
    }

    fn register(&mut self, buffers: Registered) -> io::Result<()> {
        if buffers.is_empty() {
            return Ok(());
        }
        if !Registered::is_free_of_charge() {
            return Err(io::Error::other("RLIMIT_MEMLOCK is not unlimited"));
        }
        let vector = |(addr, len)| libc::iovec { iov_base: addr as *mut libc::c_void, iov_len: len as usize };
        let vectors: Vec<libc::iovec> = buffers.pieces().map(vector).collect();
        // SAFETY: the vectors name the mappings of regions, which `buffers` keeps mapped, and they are used by requests
        // only, each with a buffer that lies in one and belongs to its operation (see `queue`).
        unsafe { self.ring.submitter().register_buffers(&vectors) }?;
        self.buffers = buffers;
        Ok(())
    }

    /// Queues the operation's next request under its slot's number.
    ///
    /// # Safety
    /// As of [`queue`].
    #[inline]
    unsafe fn queue(&mut self, slot: u32, operation: &mut Operation, file: &BackingFile) {
        self.in_flight += 1;
        // SAFETY: the caller's promise, passed on.
        unsafe { queue(&mut self.ring.submission(), slot, operation, file, &self.buffers) };
    }

    /// One system call if requests are queued, or if the kernel says that it has answers which only a call brings out; it
    /// cannot say so of answers that are polled for.
    #[inline]
    fn enter_if_due(&mut self, polled: bool) -> io::Result<()> {
        let (submitter, submission, _) = self.ring.split();
        let unseen = submission.taskrun() || submission.cq_overflow() || (polled && self.in_flight > 0);
        if submission.is_empty() && !unseen {
            return Ok(());
        }
        let queued = submission.len() as u32;
        drop(submission);
        // SAFETY: enter(2) takes no pointer here (no argument is given), and the requests that it submits hold
        // pointers into slots, which keep them as long as the kernel may use them (see `queue`).
        match unsafe { submitter.enter::<libc::sigset_t>(queued, 0, ENTER_GETEVENTS, None) } {
            Err(error) if !is_passing(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

impl Ring {
    /// A ring for `depth` operations at a time, used by the calling thread only, whose buffers lie in `regions`.
    pub(crate) fn new(file: Arc<BackingFile>, depth: usize, regions: &[Arc<Region>]) -> io::Result<Ring> {
        let depth = u32::try_from(depth).map_err(|_| io::ErrorKind::InvalidInput)?;
        let ordinary = Lane::new(&file, depth, regions, false)?;
        let polled = match file.polling {
            Some(polling) => Some((polling, Lane::new(&file, depth, regions, true)?)),
            None => None,
        };
        let operations = std::iter::repeat_with(|| None).take(depth as usize).collect();
        let slots = Slots { operations, free: (0..depth).rev().collect() };
        Ok(Ring { ordinary, polled, slots, file, log: FailureLog::default() })
    }

    /// Queues an operation; the next `poll` hands it to the kernel.
    ///
    /// # Panics
    /// If all slots are taken: the channel counts, so that would be our bug.
    #[inline]
    pub(crate) fn start(&mut self, operation: Operation) {
        let lane = match &mut self.polled {
            Some((polling, lane)) if operation.can_be_polled(*polling, &self.file.abilities) => lane,
            _ => &mut self.ordinary,
        };
        let slot = self.slots.free.pop().expect("the channel lets in no more operations than there are slots");
        let operation = self.slots.operations[slot as usize].insert(operation);
        // SAFETY: the operation was put into its slot above, and stays there as the file's first paragraph says.
        unsafe { lane.queue(slot, operation, &self.file) };
    }

    /// Hands queued requests to the kernel, all in one system call (two if some are polled for), and takes its answers.
    pub(crate) fn poll(&mut self, now_ns: u64, mut finish: impl FnMut(Finished)) {
        let Ring { ordinary, polled, slots, file, log } = self;
        // First, since what is refused there goes on by the other.
        if let Some((_, lane)) = polled {
            lane.enter_if_due(true).unwrap_or_else(|error| log.enter_failed(file, "io_uring_enter", &error));
            take_answers(lane, Some(ordinary), slots, file, log, now_ns, &mut finish);
        }
        ordinary.enter_if_due(false).unwrap_or_else(|error| log.enter_failed(file, "io_uring_enter", &error));
        take_answers(ordinary, None, slots, file, log, now_ns, &mut finish);
    }

    /// See [`crate::Channel::wake_sources`]. What is polled for in the device tells nobody.
    pub(crate) fn wake_sources<'a>(&'a self, sources: &mut WakeSources<'a>) {
        if self.polled.as_ref().is_some_and(|(_, lane)| lane.in_flight > 0) {
            sources.look_often();
        }
        let ordinary = &self.ordinary;
        if ordinary.in_flight == 0 {
            return;
        }
        // SAFETY: this thread alone uses the ring, and no other view of the queue is alive.
        if unsafe { !ordinary.ring.submission_shared().is_empty() } {
            sources.deadline(Moment::default()); // the kernel does not have it yet
        }
        sources.file(&ordinary.ring);
    }

    fn carried(&self) -> usize {
        self.slots.operations.len() - self.slots.free.len()
    }

    /// Waits for the kernel's answers to everything it was given; false if some did not come in time.
    fn drain(&mut self) -> bool {
        let deadline = Instant::now() + DRAIN_MAX;
        let wait = if self.polled.is_some() { DRAIN_TICK_POLLED } else { DRAIN_TICK };
        let tick = Timespec::from(wait);
        while self.carried() > 0 {
            if Instant::now() > deadline {
                return false;
            }
            if let Some((_, polled)) = &mut self.polled {
                let _ = polled.enter_if_due(true);
                self.slots.take_back(&mut polled.ring);
            }
            if self.carried() > 0 {
                let ring = &mut self.ordinary.ring;
                let _ = match ring.params().is_feature_ext_arg() {
                    true => ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&tick)),
                    false => ring.submit_and_wait(1),
                };
                self.slots.take_back(ring);
            }
        }
        true
    }
}

/// Takes what a ring has answered; `otherwise` is for requests that a polled ring refuses.
#[inline]
fn take_answers(
    lane: &mut Lane,
    mut otherwise: Option<&mut Lane>,
    slots: &mut Slots,
    file: &BackingFile,
    log: &mut FailureLog,
    now_ns: u64,
    finish: &mut impl FnMut(Finished),
) {
    let (_, mut submission, completion) = lane.ring.split();
    for answer in completion {
        let slot = answer.user_data() as u32;
        let Some(operation) = slots.operations.get_mut(slot as usize).and_then(Option::as_mut) else {
            debug_assert!(false, "an answer for slot {slot}, which is empty");
            continue;
        };
        if answer.result() == -libc::EOPNOTSUPP
            && let Some(otherwise) = &mut otherwise
        {
            // The device took this when it was tried; it may have lost its poll queues since.
            log.polling_refused(file);
            lane.in_flight -= 1;
            // SAFETY: the operation stays in its slot, whose last request has just been answered.
            unsafe { otherwise.queue(slot, operation, file) };
            continue;
        }
        let result = match operation.on_answer(answer.result(), &file.abilities) {
            Progress::Again => {
                // SAFETY: as above.
                unsafe { queue(&mut submission, slot, operation, file, &lane.buffers) };
                continue;
            }
            Progress::Done => Ok(()),
            Progress::Failed { error, errno } => {
                log.failure(file, operation, errno, now_ns);
                Err(error)
            }
        };
        lane.in_flight -= 1;
        if let Some(operation) = slots.operations[slot as usize].take() {
            slots.free.push(slot);
            finish(operation.finish(result));
        }
    }
}

impl Slots {
    /// Empties the slots of what a ring has answered. Nobody waits for the results any more, so what is left of a cut-short
    /// operation is not asked for.
    fn take_back(&mut self, ring: &mut IoUring) {
        for answer in ring.completion() {
            let slot = answer.user_data() as u32;
            if self.operations.get_mut(slot as usize).and_then(Option::take).is_some() {
                self.free.push(slot);
            }
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if self.drain() {
            // Closing a ring gives its file back some time later; this does it now, and with the file its lock.
            for lane in self.polled.iter().map(|(_, lane)| lane).chain([&self.ordinary]) {
                let _ = lane.ring.submitter().unregister_files();
            }
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
        std::mem::forget(std::mem::take(&mut self.slots.operations));
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
    set_up_with(entries, &IoUring::builder)
}

/// The same for requests whose completions are polled for in the device.
fn set_up_polled(entries: u32) -> io::Result<IoUring> {
    set_up_with(entries, &|| {
        let mut builder = IoUring::builder();
        builder.setup_iopoll();
        builder
    })
}

fn set_up_with(entries: u32, builder: &dyn Fn() -> io_uring::Builder) -> io::Result<IoUring> {
    let refused = |error: &io::Error| error.raw_os_error() == Some(libc::EINVAL);
    let deferred =
        builder().setup_submit_all().setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag().build(entries);
    match deferred {
        Err(error) if refused(&error) => {}
        outcome => return outcome,
    }
    match builder().setup_submit_all().setup_coop_taskrun().setup_taskrun_flag().build(entries) {
        Err(error) if refused(&error) => builder().build(entries),
        outcome => outcome,
    }
}

/// Queues the operation's next request under its slot's number.
///
/// # Safety
/// `operation` stays in the slot of that number, unmoved in what it owns and used by nobody, until the kernel has
/// answered; the slot has no other request in any ring; `buffers` are registered with this one; the ring of `submission` holds an `Arc` of `file`, which is its
/// registered file, for as long.
#[inline]
unsafe fn queue(
    submission: &mut SubmissionQueue<'_>,
    slot: u32,
    operation: &mut Operation,
    file: &BackingFile,
    buffers: &Registered,
) {
    let entry = entry(operation, file, buffers).user_data(u64::from(slot));
    // SAFETY: memory that the request points to is either the operation's buffer, a slot of a pool that was moved into
    // the operation, so that nobody else uses it, and that the caller keeps until the kernel has answered; or the
    // zeroes of `file`, which nobody writes. Address and length are those of a slice of it.
    let pushed = unsafe { submission.push(&entry) };
    pushed.expect("the submission queue has room for a request of each slot");
}

#[inline]
fn entry(operation: &mut Operation, file: &BackingFile, buffers: &Registered) -> squeue::Entry {
    let abilities: &Abilities = &file.abilities;
    let request = operation.request(abilities);
    let mut data = operation.io().data.as_mut();
    let region = data.as_ref().map(|data| data.region());
    let fixed = |at: *const u8, len| region.and_then(|region| buffers.number_of(region, at as u64, len));
    match request {
        Request::Read { offset, part } => {
            let to = data.as_mut().map_or(&mut [][..], |data| &mut data.bytes_mut()[part]);
            let (at, len) = (to.as_mut_ptr(), to.len() as u32);
            match fixed(at, to.len()) {
                Some(number) => opcode::ReadFixed::new(FILE, at, len, number).offset(offset).build(),
                None => opcode::Read::new(FILE, at, len).offset(offset).build(),
            }
        }
        Request::Write { offset, part, dsync } => {
            let from = data.as_ref().map_or(&[][..], |data| &data.bytes()[part]);
            let (at, len) = (from.as_ptr(), from.len() as u32);
            let flags = if dsync { libc::RWF_DSYNC } else { 0 };
            match fixed(at, from.len()) {
                Some(number) => opcode::WriteFixed::new(FILE, at, len, number).offset(offset).rw_flags(flags).build(),
                None => opcode::Write::new(FILE, at, len).offset(offset).rw_flags(flags).build(),
            }
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
        Request::SyncRange { offset, len } => {
            opcode::Fsync::new(FILE).offset(offset).len(len).flags(FsyncFlags::DATASYNC).build()
        }
        Request::Sync => opcode::Fsync::new(FILE).flags(FsyncFlags::DATASYNC).build(),
    }
}

/// Says what failed, once a second at most: a broken disk fails every operation.
#[derive(Debug, Default)]
pub(super) struct FailureLog {
    last_ns: Option<u64>,
    untold: u64,
    enter_told: bool,
    polling_told: bool,
}

impl FailureLog {
    const INTERVAL_NS: u64 = 1_000_000_000;

    #[cold]
    pub(super) fn failure(&mut self, file: &BackingFile, operation: &Operation, errno: i32, now_ns: u64) {
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
    pub(super) fn enter_failed(&mut self, file: &BackingFile, call: &str, error: &io::Error) {
        if !self.enter_told {
            self.enter_told = true;
            tracing::error!("bdev {}: {call} fails, operations are stuck until it does not: {error}", file.name);
        }
    }

    #[cold]
    fn polling_refused(&mut self, file: &BackingFile) {
        if !self.polling_told {
            self.polling_told = true;
            tracing::warn!("bdev {}: its device is not polled any more, operations wait for interrupts", file.name);
        }
    }
}

#[cfg(test)]
#[path = "ring_tests.rs"]
mod tests;
