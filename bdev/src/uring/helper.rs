//! A thread of one file, for calls that may block: those that the kernel interface in use has no asynchronous form of.
//!
//! ```text
//!   channel (one core)                 thread of the file
//!   Port ── jobs: bounded, lock-free ──► perform, park when there is none
//!        ◄─ answers: the channel's own ──┘
//! ```
//!
//! One thread for each file, so that a file whose calls hang (a dead NFS server) holds up nobody else's. It is started by the
//! control thread when the device is made, before the first channel is opened: a thread inherits the CPUs of the one that
//! starts it, and must not share a reactor's.
//!
//! The rule that makes lent memory sound: whoever lends it ([`Lent::new`]) leaves it alone until the answer is taken.
#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, Thread};
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{FallocateFlags, SeekFrom};
use rustix::io::{Errno, ReadWriteFlags};

/// _IO(0x12, 119) of <linux/fs.h>.
const BLKDISCARD: libc::c_ulong = 0x1277;

/// Jobs of all channels that may wait at the thread; what is more waits at its channel.
const JOBS_MAX: usize = 1024;

/// The thread's stack in bytes: it makes system calls, and once in a while writes a line to the log.
const STACK_BYTES: usize = 256 << 10;

/// How long the end of a file waits for a call that its thread is in.
const END_MAX: Duration = Duration::from_secs(1);

/// What the thread can do with its file. Offsets and lengths are in bytes; the answer is what the call returns, or an
/// errno below 0.
#[derive(Debug)]
pub(super) enum Call {
    /// Read into lent memory.
    Read { offset: u64, to: Lent },
    /// Write lent memory; with `dsync` onto stable media.
    Write { offset: u64, from: Lent, dsync: bool },
    /// Make a hole.
    PunchHole { offset: u64, len: u64 },
    /// Make zeroes, keeping the space.
    ZeroRange { offset: u64, len: u64 },
    /// Give the space of a block device's range back, whatever it reads as afterwards.
    Discard { offset: u64, len: u64 },
    /// fdatasync
    Sync,
    /// Where the first data at or behind the offset begins; where there is none, the length of the file.
    FindData { offset: u64 },
    /// Where the first hole behind the offset begins; the end of the file is one.
    FindHole { offset: u64 },
    /// Does not return before it is told to, or the sender is dropped.
    #[cfg(test)]
    Hang(Receiver<()>),
}

/// Memory that its owner lends to the thread.
#[derive(Debug)]
pub(super) struct Lent {
    address: *mut u8,
    len: usize,
}

// SAFETY: it is an address and a length. What lies there is used by one thread at a time: by the file's thread until it has
// answered, by the owner afterwards (see `Lent::new`).
unsafe impl Send for Lent {}

impl Lent {
    /// Lends `len` bytes at `address`; for [`Call::Write`] they are not written.
    ///
    /// # Safety
    /// The memory is that of a slice of initialised bytes, stays valid until the answer to the call is taken, and nobody
    /// uses it before then ([`Call::Write`]: nobody writes it).
    pub(super) unsafe fn new(address: *mut u8, len: usize) -> Lent {
        Lent { address, len }
    }
}

/// The thread of one file.
#[derive(Debug)]
pub(super) struct Helper {
    /// For the log.
    name: String,
    shared: Arc<Shared>,
    thread: Thread,
    /// Takes the file, once.
    file: Option<Sender<Arc<OwnedFd>>>,
    /// Nothing is ever sent: it disconnects when the thread has let go of the file.
    ended: Mutex<Receiver<Infallible>>,
}

#[derive(Debug)]
struct Shared {
    jobs: ArrayQueue<Job>,
    stop: AtomicBool,
}

#[derive(Debug)]
struct Job {
    call: Call,
    /// The channel's name for it.
    id: u32,
    answers: Arc<ArrayQueue<Answer>>,
}

#[derive(Debug)]
struct Answer {
    id: u32,
    result: i64,
}

impl Helper {
    /// Starts the thread of a file that is not open yet, so that nothing can fail once it is; `name` is the device's, for the
    /// log.
    pub(super) fn start(name: &str) -> io::Result<Helper> {
        let shared = Arc::new(Shared { jobs: ArrayQueue::new(JOBS_MAX), stop: AtomicBool::new(false) });
        let (file, opened) = mpsc::channel();
        let (alive, ended) = mpsc::channel();
        let theirs = Arc::clone(&shared);
        let builder = thread::Builder::new().name(format!("file {name}")).stack_size(STACK_BYTES);
        let handle = builder.spawn(move || {
            if let Ok(fd) = opened.recv() {
                run(&theirs, fd);
            }
            drop::<Sender<Infallible>>(alive);
        })?;
        let thread = handle.thread().clone();
        Ok(Helper { name: name.to_owned(), shared, thread, file: Some(file), ended: Mutex::new(ended) })
    }

    /// Gives it the file. It holds on to it, and with it to the file's lock, as long as it is in a call.
    pub(super) fn serve(mut self, fd: Arc<OwnedFd>) -> Helper {
        // It waits for nothing else, so it cannot have ended.
        if let Some(file) = self.file.take() {
            let _ = file.send(fd);
        }
        self
    }
}

fn run(shared: &Shared, fd: Arc<OwnedFd>) {
    while !shared.stop.load(Ordering::Acquire) {
        match shared.jobs.pop() {
            Some(job) => {
                let result = perform(fd.as_fd(), &job.call);
                let pushed = job.answers.push(Answer { id: job.id, result });
                debug_assert!(pushed.is_ok(), "a channel has room for the answers to all of its jobs");
            }
            // A job that came since is not slept over: its sender's unpark makes this return at once.
            None => thread::park(),
        }
    }
}

fn perform(fd: BorrowedFd<'_>, call: &Call) -> i64 {
    let outcome = match *call {
        Call::Read { offset, ref to } => {
            // SAFETY: who lent it keeps it valid, initialised and to itself until it gets our answer.
            let to = unsafe { std::slice::from_raw_parts_mut(to.address, to.len) };
            rustix::io::pread(fd, to, offset).map(|count| count as u64)
        }
        Call::Write { offset, ref from, dsync } => {
            // SAFETY: who lent it keeps it valid, initialised and unchanged until it gets our answer.
            let from = unsafe { std::slice::from_raw_parts(from.address, from.len) };
            let count = match dsync {
                true => rustix::io::pwritev2(fd, &[IoSlice::new(from)], offset, ReadWriteFlags::DSYNC),
                false => rustix::io::pwrite(fd, from, offset),
            };
            count.map(|count| count as u64)
        }
        Call::PunchHole { offset, len } => {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            rustix::fs::fallocate(fd, flags, offset, len).map(|()| 0)
        }
        Call::ZeroRange { offset, len } => {
            let flags = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
            rustix::fs::fallocate(fd, flags, offset, len).map(|()| 0)
        }
        Call::Discard { offset, len } => {
            let range = [offset, len];
            // SAFETY: this request reads two numbers of 64 bits, and `range` is two.
            match unsafe { libc::ioctl(fd.as_raw_fd(), BLKDISCARD, range.as_ptr()) } {
                0.. => Ok(0),
                _ => Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)),
            }
        }
        Call::Sync => rustix::fs::fdatasync(fd).map(|()| 0),
        Call::FindData { offset } => match rustix::fs::seek(fd, SeekFrom::Data(offset)) {
            Err(Errno::NXIO) => rustix::fs::fstat(fd).map(|stat| u64::try_from(stat.st_size).unwrap_or(0)),
            outcome => outcome,
        },
        Call::FindHole { offset } => rustix::fs::seek(fd, SeekFrom::Hole(offset)),
        #[cfg(test)]
        Call::Hang(ref until) => Ok(u64::from(until.recv().is_ok())),
    };
    match outcome {
        Ok(value) => i64::try_from(value).unwrap_or(i64::MAX),
        Err(errno) => -i64::from(errno.raw_os_error()),
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.file = None;
        self.thread.unpark();
        let ended = self.ended.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(END_MAX) {
            tracing::warn!(
                "bdev {}: a call on its file does not return: the file stays open and locked until it does",
                self.name
            );
        }
    }
}

/// A channel's way to the thread of its file: a job goes in under an id of the channel's choice, and its answer comes out
/// under the same. Takes no lock, and allocates nothing once it is there.
#[derive(Debug)]
pub(super) struct Port {
    shared: Arc<Shared>,
    thread: Thread,
    answers: Arc<ArrayQueue<Answer>>,
    /// Jobs that the thread has no room for yet, in order.
    waiting: VecDeque<(u32, Call)>,
    /// Jobs at the thread.
    handed_over: usize,
}

impl Port {
    /// For at most `depth` jobs at a time.
    pub(super) fn new(helper: &Helper, depth: usize) -> Port {
        Port {
            shared: Arc::clone(&helper.shared),
            thread: helper.thread.clone(),
            answers: Arc::new(ArrayQueue::new(depth)),
            waiting: VecDeque::with_capacity(depth),
            handed_over: 0,
        }
    }

    /// Gives a job away, at once if there is room, else from a later [`Port::take`].
    pub(super) fn call(&mut self, id: u32, call: Call) {
        debug_assert!(self.outstanding() < self.answers.capacity(), "no room for another answer");
        self.waiting.push_back((id, call));
        self.hand_over();
    }

    /// The next answer that has come.
    #[inline]
    pub(super) fn take(&mut self) -> Option<(u32, i64)> {
        if self.handed_over == 0 && self.waiting.is_empty() {
            return None;
        }
        let answer = self.answers.pop();
        self.handed_over -= usize::from(answer.is_some());
        if !self.waiting.is_empty() {
            self.hand_over();
        }
        answer.map(|Answer { id, result }| (id, result))
    }

    /// Jobs whose answers have not been taken.
    pub(super) fn outstanding(&self) -> usize {
        self.handed_over + self.waiting.len()
    }

    /// Takes a job back that the thread has not been given.
    pub(super) fn take_back(&mut self) -> Option<u32> {
        self.waiting.pop_back().map(|(id, _)| id)
    }

    fn hand_over(&mut self) {
        let before = self.handed_over;
        while let Some((id, call)) = self.waiting.pop_front() {
            let job = Job { call, id, answers: Arc::clone(&self.answers) };
            if let Err(job) = self.shared.jobs.push(job) {
                self.waiting.push_front((job.id, job.call));
                break;
            }
            self.handed_over += 1;
        }
        if self.handed_over > before {
            self.thread.unpark();
        }
    }
}

#[cfg(test)]
#[path = "helper_tests.rs"]
mod tests;
