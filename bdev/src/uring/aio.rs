//! Linux AIO with the operations that it carries: for where io_uring is refused.
//!
//! It moves data with O_DIRECT and syncs. All else would make io_submit(2), and with it the core, wait: what the page cache
//! is to read or to keep, and fallocate(2), goes to the file's thread (`helper.rs`).
//!
//! The rule that makes it sound is the ring's (`ring.rs`): an operation, and with it the buffer that the kernel or the
//! thread reads or writes, stays in its slot from the moment its request is queued until the answer to that request is
//! taken. Each slot has at most one request under way.
#![allow(unsafe_code)]

mod context;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fd::AsRawFd;
use rustix::fs::{MemfdFlags, OFlags};

use self::context::{Context, Event, FDSYNC, Iocb, PREAD, PWRITE};
use super::BackingFile;
use super::helper::{Call, Lent, Port};
use super::operation::{Operation, Progress, Request};
use super::ring::{DRAIN_MAX, FailureLog};
use crate::channel::Finished;

/// A channel's AIO context.
pub(crate) struct Aio {
    context: Context,
    /// Index = data of the request.
    slots: Box<[Option<Operation>]>,
    free: Vec<u32>,
    /// Requests that the kernel has not taken yet, in order.
    queue: Vec<Iocb>,
    /// Where they are, for io_submit(2).
    pointers: Vec<*mut Iocb>,
    /// Requests that it has.
    in_kernel: usize,
    port: Port,
    /// Whether the file is used with O_DIRECT.
    direct: bool,
    /// Whether the kernel has refused to sync this file asynchronously.
    sync_refused: bool,
    file: Arc<BackingFile>,
    log: FailureLog,
}

/// Whether this process may use AIO, with all that we need of it.
pub(super) fn probe() -> io::Result<()> {
    let fd = rustix::fs::memfd_create("aio", MemfdFlags::CLOEXEC)?;
    let mut context = Context::new(1)?;
    // Flags of a request are of Linux 4.13; kernels before refuse them.
    let mut iocb = Iocb { opcode: PREAD, rw_flags: libc::RWF_DSYNC, fd: fd.as_raw_fd() as u32, ..Iocb::default() };
    // SAFETY: the request moves no bytes; it is done when its event is there, or when the context is destroyed, below.
    unsafe { context.submit(&[&raw mut iocb]) }?;
    match context.wait(Duration::from_secs(10)) {
        Some(event) if event.result == 0 => Ok(()),
        Some(event) => Err(io::Error::from_raw_os_error(i32::try_from(-event.result).unwrap_or(libc::EIO))),
        None => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// The kernel's limit on contexts, as far as it says: how many requests it allows, and how many are taken.
pub(super) fn limits() -> (String, String) {
    let read = |name| {
        let text = std::fs::read_to_string(format!("/proc/sys/fs/{name}"));
        text.map_or_else(|_| "?".to_owned(), |text| text.trim().to_owned())
    };
    (read("aio-max-nr"), read("aio-nr"))
}

impl Aio {
    /// A context for `depth` operations at a time, used by the calling thread only.
    pub(crate) fn new(file: Arc<BackingFile>, depth: usize) -> io::Result<Aio> {
        let context = Context::new(u32::try_from(depth).map_err(|_| io::ErrorKind::InvalidInput)?)?;
        Aio::with(context, file, depth)
    }

    fn with(context: Context, file: Arc<BackingFile>, depth: usize) -> io::Result<Aio> {
        let direct = rustix::fs::fcntl_getfl(&file.fd)?.contains(OFlags::DIRECT);
        Ok(Aio {
            context,
            slots: std::iter::repeat_with(|| None).take(depth).collect(),
            free: (0..depth as u32).rev().collect(),
            queue: Vec::with_capacity(depth),
            pointers: Vec::with_capacity(depth),
            in_kernel: 0,
            port: Port::new(&file.helper, depth),
            direct,
            sync_refused: false,
            file,
            log: FailureLog::default(),
        })
    }

    /// Queues an operation; the next `poll` hands it to the kernel.
    ///
    /// # Panics
    /// If all slots are taken: the channel counts, so that would be our bug.
    pub(crate) fn start(&mut self, operation: Operation) {
        let slot = self.free.pop().expect("the channel lets in no more operations than there are slots");
        self.slots[slot as usize] = Some(operation);
        self.ask(slot);
    }

    /// Hands queued requests to the kernel, all in one system call, and takes answers without any.
    pub(crate) fn poll(&mut self, now_ns: u64, mut finish: impl FnMut(Finished)) {
        if !self.queue.is_empty() {
            self.submit(now_ns, &mut finish);
        }
        if self.in_kernel > 0 {
            self.context.fetch();
            while let Some(Event { data, result, .. }) = self.context.take() {
                self.in_kernel -= 1;
                self.answer(data as u32, result, now_ns, &mut finish);
            }
        }
        // What an answer leads to is left to the next poll, however fast the thread is.
        for _ in 0..self.port.outstanding() {
            let Some((slot, result)) = self.port.take() else { break };
            self.answer(slot, result, now_ns, &mut finish);
        }
    }

    fn submit(&mut self, now_ns: u64, finish: &mut impl FnMut(Finished)) {
        self.pointers.clear();
        self.pointers.extend(self.queue.iter_mut().map(std::ptr::from_mut));
        // SAFETY: the iocbs are those of our queue. Each points into its operation's buffer, which stays in its slot, or to
        // the zeroes of `file`, which nobody writes and which we hold, until the answer is taken; `Drop` waits for it, or
        // leaves both for ever.
        match unsafe { self.context.submit(&self.pointers) } {
            Ok(taken) => {
                self.queue.drain(..taken);
                self.in_kernel += taken;
            }
            // No room now: what is queued stays queued, and the next poll tries again.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR | libc::ENOMEM)) => {
                if self.in_kernel == 0 {
                    self.log.enter_failed(&self.file, "io_submit", &error);
                }
            }
            // The first one is refused by itself.
            Err(error) => {
                let refused = self.queue.remove(0);
                let (slot, errno) = (refused.data as u32, error.raw_os_error().unwrap_or(libc::EIO));
                if refused.opcode == FDSYNC && matches!(errno, libc::EINVAL | libc::EOPNOTSUPP | libc::ENOSYS) {
                    self.sync_refused = true;
                    self.port.call(slot, Call::Sync);
                } else {
                    self.answer(slot, -i64::from(errno), now_ns, finish);
                }
            }
        }
    }

    fn answer(&mut self, slot: u32, result: i64, now_ns: u64, finish: &mut impl FnMut(Finished)) {
        let Some(operation) = self.slots.get_mut(slot as usize).and_then(Option::as_mut) else {
            debug_assert!(false, "an answer for slot {slot}, which is empty");
            return;
        };
        // A count of bytes is at most the kernel's MAX_RW_COUNT.
        let answer = i32::try_from(result).unwrap_or(if result < 0 { -libc::EIO } else { i32::MAX });
        let result = match operation.on_answer(answer, &self.file.abilities) {
            Progress::Again => return self.ask(slot),
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

    /// Queues the next request of a slot's operation, for the kernel or for the thread.
    fn ask(&mut self, slot: u32) {
        let Some(operation) = &mut self.slots[slot as usize] else { return };
        let request = operation.request(&self.file.abilities);
        let data = operation.io().data.as_mut();
        let iocb = Iocb { data: u64::from(slot), fd: self.file.fd.as_raw_fd() as u32, ..Iocb::default() };
        let transfer = match request {
            Request::Read { offset, part } => {
                let to = data.map_or(&mut [][..], |data| &mut data.bytes_mut()[part]);
                Transfer { opcode: PREAD, offset, address: to.as_mut_ptr(), len: to.len(), dsync: false }
            }
            Request::Write { offset, part, dsync } => {
                let from = data.map_or(&[][..], |data| &data.bytes()[part]);
                Transfer { opcode: PWRITE, offset, address: from.as_ptr().cast_mut(), len: from.len(), dsync }
            }
            Request::WriteZeroes { offset, len } => {
                let from = &self.file.zeroes.bytes()[..len];
                Transfer { opcode: PWRITE, offset, address: from.as_ptr().cast_mut(), len, dsync: false }
            }
            Request::PunchHole { offset, len } => return self.port.call(slot, Call::PunchHole { offset, len }),
            Request::ZeroRange { offset, len } => return self.port.call(slot, Call::ZeroRange { offset, len }),
            // An AIO sync is about all of the file.
            Request::Sync | Request::SyncRange { .. } if self.sync_refused => return self.port.call(slot, Call::Sync),
            Request::Sync | Request::SyncRange { .. } => return self.queue.push(Iocb { opcode: FDSYNC, ..iocb }),
        };
        match self.direct {
            true => self.queue.push(transfer.fill(iocb)),
            false => {
                // SAFETY: the memory is the operation's buffer, which stays in its slot, or the zeroes of `file`, which
                // nobody writes and which we hold, until the answer is taken; see `submit`.
                let call = unsafe { transfer.call() };
                self.port.call(slot, call);
            }
        }
    }

    fn carried(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Waits for the answers to everything that was handed over; false if some did not come in time.
    fn drain(&mut self) -> bool {
        const TICK: Duration = Duration::from_millis(1);
        // Nobody has been told that these are done, and nobody will be.
        for iocb in self.queue.drain(..) {
            self.slots[iocb.data as usize] = None;
            self.free.push(iocb.data as u32);
        }
        while let Some(slot) = self.port.take_back() {
            self.slots[slot as usize] = None;
            self.free.push(slot);
        }
        let deadline = Instant::now() + DRAIN_MAX;
        while self.carried() > 0 {
            let slot = match self.in_kernel {
                0 => None,
                _ => self.context.wait(TICK).map(|event| event.data as u32),
            };
            self.in_kernel -= usize::from(slot.is_some());
            match slot.or_else(|| self.port.take().map(|(slot, _)| slot)) {
                Some(slot) => {
                    self.slots[slot as usize] = None;
                    self.free.push(slot);
                }
                None if Instant::now() > deadline => return false,
                None if self.in_kernel == 0 => std::thread::sleep(TICK),
                None => {}
            }
        }
        true
    }
}

impl Drop for Aio {
    fn drop(&mut self) {
        if self.drain() {
            return;
        }
        tracing::error!(
            "bdev {}: {} operations on {} have not ended in {} s: their buffers and the file stay in use for ever",
            self.file.name,
            self.carried(),
            self.file.path.display(),
            DRAIN_MAX.as_secs()
        );
        // The kernel and the thread may still use their memory. Lost memory is the lesser evil.
        self.context.leak();
        std::mem::forget(std::mem::take(&mut self.slots));
        std::mem::forget(Arc::clone(&self.file));
    }
}

impl std::fmt::Debug for Aio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Aio").field("file", &self.file.path).field("carried", &self.carried()).finish_non_exhaustive()
    }
}

/// A read or write, before it is known who does it.
struct Transfer {
    opcode: u16,
    offset: u64,
    address: *mut u8,
    len: usize,
    dsync: bool,
}

impl Transfer {
    fn fill(self, iocb: Iocb) -> Iocb {
        Iocb {
            opcode: self.opcode,
            rw_flags: if self.dsync { libc::RWF_DSYNC } else { 0 },
            buf: self.address as u64,
            len: self.len as u64,
            // The device's size in bytes fits an i64.
            offset: self.offset as i64,
            ..iocb
        }
    }

    /// # Safety
    /// That of [`Lent::new`].
    unsafe fn call(self) -> Call {
        let Transfer { opcode, offset, address, len, dsync } = self;
        // SAFETY: the caller's promise, passed on.
        let lent = unsafe { Lent::new(address, len) };
        match opcode {
            PREAD => Call::Read { offset, to: lent },
            _ => Call::Write { offset, from: lent, dsync },
        }
    }
}

#[cfg(test)]
mod tests;
