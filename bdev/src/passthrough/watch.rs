//! Which files have something to be read, without a system call while there is nothing.
//!
//! An io_uring watches them (poll, multishot: one request answers again and again); its answers are seen in memory. Where the
//! system refuses io_uring, or is too old for multishot (Linux 5.13), the files are read from at a bounded rate.
#![allow(unsafe_code)]

use std::time::{Duration, Instant};

use io_uring::{IoUring, cqueue, opcode, types};
use reactor::WakeSources;
use rustix::fd::{AsRawFd, BorrowedFd, RawFd};

use crate::uring;

/// How often files are read from where nothing says when to.
const INTERVAL: Duration = Duration::from_micros(50);

/// IORING_ENTER_GETEVENTS: also bring out what is completed; see io_uring_enter(2).
const ENTER_GETEVENTS: u32 = 1;

/// All files, as bits by their number.
const ALL: u32 = u32::MAX;

/// Watches the files of one channel, at most 32.
pub(super) enum Watch {
    Ring { ring: Box<IoUring>, files: Vec<RawFd> },
    Timed { next: Option<Instant> },
}

impl Watch {
    /// Watches files, which the caller keeps open.
    pub(super) fn new<'a>(files: impl Iterator<Item = BorrowedFd<'a>>) -> Watch {
        let files: Vec<RawFd> = files.map(|file| file.as_raw_fd()).collect();
        let ring = uring::set_up(files.len().next_power_of_two() as u32 * 2);
        let (Ok(ring), false) = (ring, files.is_empty()) else { return Watch::Timed { next: None } };
        let mut ring = Box::new(ring);
        (0..files.len()).for_each(|number| arm(&mut ring, files[number], number));
        Watch::Ring { ring, files }
    }

    /// What tells that a file is worth a read.
    pub(super) fn wake_sources<'a>(&'a self, sources: &mut WakeSources<'a>) {
        match self {
            Watch::Ring { ring, .. } => sources.file(&**ring),
            Watch::Timed { .. } => sources.look_often(),
        }
    }

    /// The files that are worth a read, as bits by their number. A file that is in the answer must be read until it gives nothing.
    pub(super) fn ready(&mut self) -> u32 {
        let (ring, files) = match self {
            Watch::Timed { next } => {
                let now = Instant::now();
                if next.is_some_and(|next| now < next) {
                    return 0;
                }
                *next = Some(now + INTERVAL);
                return ALL;
            }
            Watch::Ring { ring, files } => (ring, files),
        };
        enter_if_due(ring);
        let (mut ready, mut ended, mut refused) = (0_u32, 0_u32, false);
        for answer in ring.completion() {
            let bit = 1 << (answer.user_data() as u32 & 31);
            ready |= bit;
            refused |= answer.result() < 0;
            if !cqueue::more(answer.flags()) {
                ended |= bit;
            }
        }
        if refused {
            *self = Watch::Timed { next: None };
            return ALL;
        }
        if ended != 0 {
            let again = (0..files.len()).filter(|number| ended & 1 << number != 0);
            again.for_each(|number| arm(ring, files[number], number));
        }
        ready
    }
}

/// One system call if requests are queued, or if the kernel says that it has answers which only a call brings out.
fn enter_if_due(ring: &mut IoUring) {
    let (submitter, submission, _) = ring.split();
    if submission.is_empty() && !submission.taskrun() && !submission.cq_overflow() {
        return;
    }
    let queued = submission.len() as u32;
    drop(submission);
    // SAFETY: enter(2) takes no pointer here, and neither do the requests that it submits.
    // If it fails, what is queued stays queued, and the next call tries again.
    let _ = unsafe { submitter.enter::<libc::sigset_t>(queued, 0, ENTER_GETEVENTS, None) };
}

/// Queues the request that watches a file.
fn arm(ring: &mut IoUring, file: RawFd, number: usize) {
    let entry = opcode::PollAdd::new(types::Fd(file), libc::POLLIN as u32).multi(true).build().user_data(number as u64);
    // SAFETY: the request holds no pointer. A file that was closed meanwhile makes it fail, no more.
    let pushed = unsafe { ring.submission().push(&entry) };
    pushed.expect("the ring has room for a request of each file");
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Watch::Ring { files, .. } => f.debug_struct("Ring").field("files", &files.len()).finish_non_exhaustive(),
            Watch::Timed { .. } => f.debug_struct("Timed").finish_non_exhaustive(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use rustix::fd::AsFd;

    use super::*;

    #[test]
    fn a_file_is_named_when_it_can_be_read_and_not_before() {
        let (mut reader, mut writer) = std::io::pipe().expect("a pipe");
        let (other, _other_writer) = std::io::pipe().expect("a pipe");
        let mut watch = Watch::new([other.as_fd(), reader.as_fd()].into_iter());
        let Watch::Ring { .. } = watch else { return eprintln!("no io_uring here") };
        for _ in 0..3 {
            assert_eq!((0..100).map(|_| watch.ready()).sum::<u32>(), 0);
            writer.write_all(b"x").expect("written");
            let ready = (0..1_000_000).map(|_| watch.ready()).find(|&ready| ready != 0);
            assert_eq!(ready, Some(2));
            assert_eq!(reader.read(&mut [0_u8; 8]).expect("read"), 1);
        }
        drop(writer);
        assert!((0..1_000_000).any(|_| watch.ready() & 2 != 0), "the other end hung up");
    }
}
