//! A core's operations on an image.
//!
//! The rule that makes it sound: an operation, and with it the buffer that librbd reads or writes, stays in its slot from
//! the call that starts it until its callback has put the slot's number into the queue. librbd is done with the buffer by then.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_queue::ArrayQueue;
use rustix::io::Errno;

use super::librbd::{self, Handle, Image};
use crate::channel::{ByteRange, Finished};
use crate::io::{BlockIo, IoError, Op};
use crate::uring::io_error;

/// How long a dropped channel waits for what is in flight.
const DRAIN_MAX: Duration = Duration::from_secs(30);

/// A channel to an image.
pub(crate) struct RbdChannel {
    /// Index = number of the slot.
    slots: Box<[Option<Slot>]>,
    free: Vec<u32>,
    /// What callbacks are given the address of, one for each slot.
    tickets: Box<[Ticket]>,
    ended: Arc<ArrayQueue<Ended>>,
    image: Arc<Image>,
}

/// An operation under way.
struct Slot {
    io: BlockIo,
    range: ByteRange,
    submitted_ns: u64,
    /// The write is done, and the flush that makes it durable is under way.
    flushing: bool,
}

/// Which slot a callback is about, and whom to tell.
struct Ticket {
    slot: u32,
    ended: Arc<ArrayQueue<Ended>>,
}

/// librbd is done with a slot: a count of bytes or 0, or an errno below it.
struct Ended {
    slot: u32,
    result: isize,
}

impl RbdChannel {
    pub(crate) fn new(image: Arc<Image>, depth: usize) -> RbdChannel {
        // One entry per slot: a slot has at most one request, so the queue cannot be full.
        let ended = Arc::new(ArrayQueue::new(depth));
        let numbers = 0..depth as u32;
        RbdChannel {
            slots: numbers.clone().map(|_| None).collect(),
            free: numbers.clone().rev().collect(),
            tickets: numbers.map(|slot| Ticket { slot, ended: Arc::clone(&ended) }).collect(),
            ended,
            image,
        }
    }

    /// Starts an operation whose range is checked; one of nothing, or that cannot even be started, ends at once.
    pub(crate) fn start(&mut self, io: BlockIo, range: ByteRange, submitted_ns: u64) -> Option<Finished> {
        if range.len == 0 && io.op != Op::Flush {
            return Some(Finished { io, submitted_ns, result: Ok(()) });
        }
        let slot = self.free.pop().expect("the channel lets in no more operations than there are slots");
        self.slots[slot as usize] = Some(Slot { io, range, submitted_ns, flushing: false });
        match self.ask(slot) {
            Ok(()) => None,
            Err(error) => self.finish(slot, Err(error)),
        }
    }

    /// Hands on what librbd has done since the last call.
    pub(crate) fn poll(&mut self, mut finish: impl FnMut(Finished)) {
        while let Some(Ended { slot, result }) = self.ended.pop() {
            let finished = match self.progress(slot, result) {
                Some(result) => self.finish(slot, result),
                None => None,
            };
            finished.into_iter().for_each(&mut finish);
        }
    }

    /// What an answer means: the end with this result, or `None` when there is more to wait for.
    fn progress(&mut self, number: u32, result: isize) -> Option<Result<(), IoError>> {
        let slot = self.slots[number as usize].as_mut()?;
        if result < 0 {
            return Some(Err(errno_error(result)));
        }
        if slot.io.op == Op::Read && result as u64 != slot.range.len {
            // The image is shorter than it was.
            return Some(Err(IoError::Medium));
        }
        let wants_flush =
            matches!(slot.io.op, Op::Write { fua: true } | Op::WriteZeroes { fua: true, .. }) && !slot.flushing;
        if !wants_flush {
            return Some(Ok(()));
        }
        slot.flushing = true;
        self.ask(number).err().map(Err)
    }

    fn finish(&mut self, number: u32, result: Result<(), IoError>) -> Option<Finished> {
        let Slot { io, submitted_ns, .. } = self.slots[number as usize].take()?;
        self.free.push(number);
        Some(Finished { io, submitted_ns, result })
    }

    /// Gives librbd a slot's next request.
    fn ask(&mut self, number: u32) -> Result<(), IoError> {
        let functions = librbd::functions();
        let Some(slot) = self.slots[number as usize].as_mut() else { return Ok(()) };
        let ticket: *const Ticket = &raw const self.tickets[number as usize];
        let mut completion: Handle = null_mut();
        // SAFETY: the callback is ours, and its argument is the address of a ticket, which lives as long as requests are
        // under way: the channel's Drop waits for them or gives the tickets up for ever.
        let made = unsafe {
            (functions.rbd_aio_create_completion)(ticket.cast_mut().cast(), on_complete, &raw mut completion)
        };
        librbd::check(made).map_err(|_| IoError::Failed)?;
        let (image, ByteRange { offset, len }) = (self.image.handle, slot.range);
        let (op, data) = (slot.io.op, slot.io.data.as_mut());
        // SAFETY: the image is open as long as `self.image` is, and the completion was made above. Buffers are those of the
        // operation, `len` bytes long as the channel checked, and stay in the slot until the callback was there; a length
        // of memory fits a usize.
        let asked = unsafe {
            match (op, data) {
                (Op::Flush, _) => (functions.rbd_aio_flush)(image, completion),
                (_, _) if slot.flushing => (functions.rbd_aio_flush)(image, completion),
                (Op::Read, Some(data)) => (functions.rbd_aio_read)(
                    image,
                    offset,
                    len as usize,
                    data.bytes_mut().as_mut_ptr().cast(),
                    completion,
                ),
                (Op::Write { .. }, Some(data)) => {
                    (functions.rbd_aio_write)(image, offset, len as usize, data.bytes().as_ptr().cast(), completion)
                }
                (Op::Unmap, _) => (functions.rbd_aio_discard)(image, offset, len, completion),
                (Op::WriteZeroes { .. }, _) => {
                    (functions.rbd_aio_write_zeroes)(image, offset, len as usize, completion, 0, 0)
                }
                (Op::Read | Op::Write { .. } | Op::LbaStatus | Op::Scsi { .. }, _) => -libc::EOPNOTSUPP,
            }
        };
        if asked < 0 {
            // SAFETY: no request took the completion, so this is its only user.
            unsafe { (functions.rbd_aio_release)(completion) };
            return Err(errno_error(asked as isize));
        }
        Ok(())
    }

    fn carried(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

/// On a thread of librbd's: its part of the request is over.
unsafe extern "C" fn on_complete(completion: Handle, argument: *mut c_void) {
    let functions = librbd::functions();
    // SAFETY: librbd passes the completion that it completes, and nobody uses it after this.
    let result = unsafe {
        let result = (functions.rbd_aio_get_return_value)(completion);
        (functions.rbd_aio_release)(completion);
        result
    };
    // SAFETY: the argument is the ticket's address that `ask` gave; it outlives the request, see there.
    let ticket = unsafe { &*argument.cast::<Ticket>() };
    // The queue outlives what follows the push, after which the channel may be gone.
    let ended = Arc::clone(&ticket.ended);
    let told = ended.push(Ended { slot: ticket.slot, result });
    debug_assert!(told.is_ok(), "a slot has one request at a time");
}

fn errno_error(result: isize) -> IoError {
    let errno = i32::try_from(result.wrapping_neg()).unwrap_or(libc::EIO);
    io_error(Errno::from_raw_os_error(errno))
}

impl Drop for RbdChannel {
    fn drop(&mut self) {
        let deadline = Instant::now() + DRAIN_MAX;
        while self.carried() > 0 && Instant::now() < deadline {
            while let Some(Ended { slot, .. }) = self.ended.pop() {
                // Nobody waits for the result any more, so a flush that should follow is not asked for.
                if self.slots[slot as usize].take().is_some() {
                    self.free.push(slot);
                }
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        if self.carried() > 0 {
            tracing::error!(
                "{} operations on an image of a Ceph cluster have not ended in {} s: their buffers stay in use for ever",
                self.carried(),
                DRAIN_MAX.as_secs()
            );
            // librbd may still use their memory. Lost memory is the lesser evil.
            std::mem::forget(std::mem::take(&mut self.slots));
            std::mem::forget(std::mem::take(&mut self.tickets));
            std::mem::forget(Arc::clone(&self.image));
        }
    }
}

impl std::fmt::Debug for RbdChannel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RbdChannel").field("carried", &self.carried()).finish_non_exhaustive()
    }
}
