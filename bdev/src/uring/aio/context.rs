//! The kernel's side of Linux AIO: io_setup(2), io_submit(2), io_getevents(2), io_destroy(2), and the ring of completions
//! that the kernel maps into the process (include/uapi/linux/aio_abi.h, fs/aio.c).
#![allow(unsafe_code)]

use std::io;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

/// IOCB_CMD_PREAD
pub(super) const PREAD: u16 = 0;
/// IOCB_CMD_PWRITE
pub(super) const PWRITE: u16 = 1;
/// IOCB_CMD_FDSYNC
pub(super) const FDSYNC: u16 = 3;

/// `struct iocb`: one request. The kernel reads it within io_submit(2) and needs it no longer.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Iocb {
    /// Comes back in the event.
    pub(super) data: u64,
    #[cfg(target_endian = "little")]
    pub(super) key: u32,
    /// RWF_ flags, as of preadv2(2); Linux 4.13.
    pub(super) rw_flags: i32,
    #[cfg(target_endian = "big")]
    pub(super) key: u32,
    /// What to do: [`PREAD`], [`PWRITE`], [`FDSYNC`].
    pub(super) opcode: u16,
    pub(super) request_priority: i16,
    pub(super) fd: u32,
    /// Address of the data.
    pub(super) buf: u64,
    /// Length of the data in bytes.
    pub(super) len: u64,
    /// Where in the file, in bytes.
    pub(super) offset: i64,
    pub(super) reserved: u64,
    pub(super) flags: u32,
    pub(super) event_fd: u32,
}

const _: () = assert!(size_of::<Iocb>() == 64);

/// `struct io_event`: an answer.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Event {
    /// The request's.
    pub(super) data: u64,
    object: u64,
    /// A count of bytes, or an errno below 0.
    pub(super) result: i64,
    result2: i64,
}

const _: () = assert!(size_of::<Event>() == 32);

/// `struct aio_ring`, at the address that io_setup(2) returns; `nr` events follow it. libaio relies on it, too, so the
/// kernel cannot change it without another magic number.
#[repr(C)]
struct RingHeader {
    id: u32,
    nr: u32,
    /// Next event to take: ours to write.
    head: AtomicU32,
    /// Next event to write: the kernel's.
    tail: AtomicU32,
    magic: u32,
    compat_features: u32,
    incompat_features: u32,
    header_length: u32,
}

const _: () = assert!(size_of::<RingHeader>() == 32);

const RING_MAGIC: u32 = 0xa10a_10a1;

/// Most events that one system call fetches where the ring cannot be read.
const BATCH: usize = 64;

/// An AIO context, used by one thread.
pub(super) struct Context {
    id: libc::c_ulong,
    /// The mapped ring, where it has the layout that we know.
    ring: Option<NonNull<RingHeader>>,
    /// Without it: what the last system call fetched, the first at the end.
    fetched: Vec<Event>,
}

impl Context {
    /// A context that takes `depth` requests at a time.
    pub(super) fn new(depth: u32) -> io::Result<Context> {
        REAPER.get_or_init(start_reaper);
        let mut id: libc::c_ulong = 0;
        // SAFETY: io_setup(2) writes the new context's id to the address given, and nothing else.
        let outcome = unsafe { libc::syscall(libc::SYS_io_setup, libc::c_ulong::from(depth), &raw mut id) };
        if outcome < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Context { id, ring: known_ring(id), fetched: Vec::with_capacity(BATCH) })
    }

    /// As if the ring had a layout that we do not know.
    #[cfg(test)]
    pub(super) fn without_ring(mut self) -> Context {
        self.ring = None;
        self
    }

    #[cfg(test)]
    pub(super) fn ring_address(&self) -> Option<usize> {
        self.ring.map(|ring| ring.as_ptr() as usize)
    }

    /// Gives requests to the kernel, in order; how many it took. An error is that of the first one, or EAGAIN.
    ///
    /// # Safety
    /// The pointers are those of iocbs that nobody else uses meanwhile. The memory that an iocb taken points to is that of
    /// a slice, stays valid and is used by nobody (`PWRITE`: written by nobody) until the event of the request is taken.
    pub(super) unsafe fn submit(&mut self, iocbs: &[*mut Iocb]) -> io::Result<usize> {
        let count = iocbs.len() as libc::c_long;
        // SAFETY: the context is ours and open; the kernel reads `count` pointers and what they point to, writes the key
        // of each iocb, and from then on uses the memory of the requests it took as the caller allows.
        let taken = unsafe { libc::syscall(libc::SYS_io_submit, self.id, count, iocbs.as_ptr()) };
        usize::try_from(taken).map_err(|_| io::Error::last_os_error())
    }

    /// Makes ready what [`Context::take`] gives; a system call only where the ring cannot be read.
    #[inline]
    pub(super) fn fetch(&mut self) {
        if self.ring.is_none() && self.fetched.is_empty() {
            self.get_events(0, BATCH, Some(Duration::ZERO));
        }
    }

    /// The next event that the kernel has written.
    #[inline]
    pub(super) fn take(&mut self) -> Option<Event> {
        let Some(ring) = self.ring else { return self.fetched.pop() };
        // SAFETY: the kernel's ring stays mapped as long as the context, which is ours and destroyed after drop. The fields
        // that change are atomics; the others were written before io_setup(2) returned.
        let header = unsafe { ring.as_ref() };
        // Only this thread writes it.
        let head = header.head.load(Ordering::Relaxed);
        // Acquire: the kernel writes an event before it moves the tail past it, so we must not read it before the tail.
        if head == header.tail.load(Ordering::Acquire) {
            return None;
        }
        // SAFETY: head is less than `nr` (checked when the ring was found, and kept so below), and `nr` events follow the
        // header. The kernel has written this one, and leaves it alone until the head has moved past it.
        let event = unsafe { ring.add(1).cast::<Event>().add(head as usize).read() };
        // Release: the kernel may use the event's place again as soon as it sees the new head, so it must be read by then.
        header.head.store(if head + 1 == header.nr { 0 } else { head + 1 }, Ordering::Release);
        Some(event)
    }

    /// The next event, for which it waits up to `limit`.
    pub(super) fn wait(&mut self, limit: Duration) -> Option<Event> {
        self.take().or_else(|| {
            self.get_events(1, 1, Some(limit));
            self.fetched.pop()
        })
    }

    fn get_events(&mut self, min: usize, max: usize, limit: Option<Duration>) {
        debug_assert!(self.fetched.is_empty() && max <= BATCH);
        let limit = limit.map(|limit| libc::timespec {
            tv_sec: limit.as_secs() as libc::time_t,
            tv_nsec: limit.subsec_nanos() as libc::c_long,
        });
        let limit = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        let (min, max) = (min as libc::c_long, max as libc::c_long);
        // SAFETY: the context is ours and open; the kernel writes at most `max` events, for which the vector has room from
        // the start, and reads the timespec.
        let count =
            unsafe { libc::syscall(libc::SYS_io_getevents, self.id, min, max, self.fetched.as_mut_ptr(), limit) };
        // An error (EINTR) is no events.
        let count = usize::try_from(count).unwrap_or(0).min(BATCH);
        // SAFETY: so many events were written, from the first place of the vector on.
        unsafe { self.fetched.set_len(count) };
        self.fetched.reverse();
    }

    /// Leaves the context to the process' end: destroying one waits for its requests.
    pub(super) fn leak(&mut self) {
        self.id = 0;
        self.ring = None;
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if self.id == 0 {
            return;
        }
        let refused = REAPER.get().and_then(Option::as_ref).is_none_or(|reaper| reaper.send(self.id).is_err());
        if refused {
            destroy(self.id);
        }
    }
}

/// Destroys contexts that have ended. That takes some 30 ms even if nothing is under way (the kernel waits twice until no
/// CPU can know the context any more), for which no core has the time. The first context is made on the control thread, by
/// `probe`, so the thread is not bound to the CPU of a reactor.
static REAPER: OnceLock<Option<Sender<libc::c_ulong>>> = OnceLock::new();

/// `None`: there is no thread to be had, so whoever ends a context waits.
fn start_reaper() -> Option<Sender<libc::c_ulong>> {
    let (sender, ended) = mpsc::channel();
    let builder = thread::Builder::new().name("aio-reaper".to_owned()).stack_size(64 << 10);
    builder.spawn(move || ended.into_iter().for_each(destroy)).ok().map(|_| sender)
}

fn destroy(id: libc::c_ulong) {
    // SAFETY: the context was ours, and neither it nor its ring is used again. The kernel waits for requests that are still
    // under way.
    unsafe { libc::syscall(libc::SYS_io_destroy, id) };
}

/// The ring of a context, if it is as we know it.
fn known_ring(id: libc::c_ulong) -> Option<NonNull<RingHeader>> {
    let ring = NonNull::new(id as *mut RingHeader)?;
    if !ring.is_aligned() {
        return None;
    }
    // SAFETY: a context's id is the address of its ring, which the kernel maps, page-aligned and at least as large as the
    // header, and keeps as long as the context; libaio reads the magic number there before anything else, too.
    let header = unsafe { ring.as_ref() };
    let known = header.magic == RING_MAGIC
        && header.incompat_features == 0
        && header.header_length as usize == size_of::<RingHeader>()
        && header.head.load(Ordering::Relaxed) < header.nr;
    known.then_some(ring)
}
