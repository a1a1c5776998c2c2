//! A completion queue: made and filled up with queue pairs by the control thread, polled by one poll group. Fenced.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rdma_core_sys::{ibv_comp_channel, ibv_cq, ibv_wc, inline};
use rustix::fd::{AsFd, BorrowedFd};

use super::device::{Device, set_nonblocking};
use crate::FabricError;

/// Completions taken at a time.
pub(super) const BATCH: usize = 32;

/// Room of an ordinary completion queue, for some dozens of queue pairs: the fewer queues, the less there is to poll.
const ENTRIES: u32 = 16_384;

/// Events that are acknowledged together: that takes a lock.
const EVENTS: u32 = 1024;

/// Shared by the control thread, the poll group and the handles of its queue pairs; destroyed with the last of them.
///
/// It cannot overrun: each queue pair takes as many entries as it can have work requests, signalled or not (an error
/// makes every one of them complete), before it is made, and gives them back after it was destroyed.
#[derive(Debug)]
pub(super) struct CompletionQueue {
    cq: *mut ibv_cq,
    device: Arc<Device>,
    entries: u32,
    /// Changed by the control thread only.
    taken: AtomicU32,
    retired: AtomicBool,
    channel: Channel,
    /// The next completion makes, or has made, the channel readable. Changed by the poll group only.
    armed: AtomicBool,
    /// Events that were taken and not acknowledged. Changed by the poll group only.
    events: AtomicU32,
}

/// The file that is readable when a completion came that was asked for.
#[derive(Debug)]
struct Channel {
    channel: *mut ibv_comp_channel,
    device: Arc<Device>,
}

// SAFETY: libibverbs is thread-safe (ibverbs(7)): the pointer is used to make queue pairs (control thread), to poll (poll
// group) and to destroy, once, by whoever drops the last `Arc`.
unsafe impl Send for CompletionQueue {}
// SAFETY: as above; all other fields are atomics or constant.
unsafe impl Sync for CompletionQueue {}

/// Completions just taken.
#[derive(Debug)]
pub(super) struct Batch {
    entries: [MaybeUninit<ibv_wc>; BATCH],
}

impl Batch {
    pub(super) fn new() -> Batch {
        Batch { entries: [const { MaybeUninit::uninit() }; BATCH] }
    }
}

impl CompletionQueue {
    /// A queue with room for at least `need` entries.
    pub(super) fn new(device: Arc<Device>, need: u32) -> Result<CompletionQueue, FabricError> {
        let most = device.limits().completion_entries;
        if need > most {
            let what = "entries in a completion queue";
            return Err(FabricError::DeviceLimit { device: device.name().into(), what, asked: need, most });
        }
        let entries = need.max(ENTRIES.min(most));
        let size = i32::try_from(entries).unwrap_or(i32::MAX);
        let channel = Channel::new(Arc::clone(&device))?;
        // SAFETY: a live context, and a channel on it, which is destroyed after the queue.
        let cq =
            unsafe { (device.library().ibv_create_cq)(device.context(), size, ptr::null_mut(), channel.channel, 0) };
        if cq.is_null() {
            return Err(device.failed("ibv_create_cq", io::Error::last_os_error()));
        }
        let (taken, retired) = (AtomicU32::new(0), AtomicBool::new(false));
        let (armed, events) = (AtomicBool::new(false), AtomicU32::new(0));
        Ok(CompletionQueue { cq, device, entries, taken, retired, channel, armed, events })
    }

    pub(super) fn device(&self) -> &Arc<Device> {
        &self.device
    }

    pub(super) fn as_ptr(&self) -> *mut ibv_cq {
        self.cq
    }

    /// Takes entries for a queue pair; `false` if there are not enough. Control thread only.
    pub(super) fn take(&self, entries: u32) -> bool {
        let taken = self.taken.load(Ordering::Relaxed);
        let enough = self.entries - taken >= entries;
        if enough {
            self.taken.store(taken + entries, Ordering::Relaxed);
        }
        enough
    }

    /// Gives entries back after the queue pair was destroyed. Control thread only.
    pub(super) fn give_back(&self, entries: u32) {
        self.taken.fetch_sub(entries, Ordering::Relaxed);
    }

    /// Tells the poll group to forget it: no queue pair will be added any more.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// Whether the poll group may forget it: retired, and no queue pair left.
    pub(super) fn is_done(&self) -> bool {
        self.retired.load(Ordering::Acquire) && self.taken.load(Ordering::Relaxed) == 0
    }

    /// Takes up to [`BATCH`] completions.
    #[inline]
    pub(super) fn poll<'a>(&self, batch: &'a mut Batch) -> &'a [ibv_wc] {
        // SAFETY: a live completion queue and room for BATCH.
        let count = unsafe { inline::ibv_poll_cq(self.cq, BATCH as i32, batch.entries.as_mut_ptr().cast()) };
        if count <= 0 {
            if count < 0 {
                self.device.broken("ibv_poll_cq");
            }
            return &[];
        }
        let count = (count.unsigned_abs() as usize).min(BATCH);
        // SAFETY: the provider filled the first `count` entries.
        unsafe { std::slice::from_raw_parts(batch.entries.as_ptr().cast(), count) }
    }

    /// Asks that the next completion make the file readable. One that came before does not, so the caller polls once more. Poll
    /// group only; a system call, or two if the file is readable.
    pub(super) fn arm(&self) {
        if self.is_armed() && !self.take_event() {
            return; // it has not been used up
        }
        // SAFETY: a live completion queue.
        let errno = unsafe { inline::ibv_req_notify_cq(self.cq, 0) };
        if errno != 0 {
            self.device.note(&io::Error::from_raw_os_error(errno));
        }
        self.armed.store(errno == 0, Ordering::Relaxed);
    }

    /// Whether a completion makes the file readable.
    pub(super) fn is_armed(&self) -> bool {
        self.armed.load(Ordering::Relaxed)
    }

    /// Takes the event that a queue tells of once it was armed; false if there is none.
    fn take_event(&self) -> bool {
        let (mut cq, mut context) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: a live channel, whose file does not block, and room for what the event tells.
        if unsafe { (self.device.library().ibv_get_cq_event)(self.channel.channel, &raw mut cq, &raw mut context) } != 0
        {
            // A device that is gone tells of nothing any more, and its file would end every sleep at once.
            let nothing = io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock;
            return !nothing;
        }
        let events = self.events.load(Ordering::Relaxed) + 1;
        self.events.store(events, Ordering::Relaxed);
        if events == EVENTS {
            self.acknowledge();
        }
        true
    }

    fn acknowledge(&self) {
        let events = self.events.swap(0, Ordering::Relaxed);
        // SAFETY: a live completion queue, and as many events of it as were taken.
        unsafe { (self.device.library().ibv_ack_cq_events)(self.cq, events) };
    }
}

impl AsFd for CompletionQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

impl Channel {
    fn new(device: Arc<Device>) -> Result<Channel, FabricError> {
        // SAFETY: a live context.
        let channel = unsafe { (device.library().ibv_create_comp_channel)(device.context()) };
        if channel.is_null() {
            return Err(device.failed("ibv_create_comp_channel", io::Error::last_os_error()));
        }
        let channel = Channel { channel, device };
        set_nonblocking(channel.as_fd())
            .map_err(|source| channel.device.failed("fcntl on a completion channel", source))?;
        Ok(channel)
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: open as long as the channel.
        unsafe { BorrowedFd::borrow_raw((*self.channel).fd) }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        // SAFETY: made in `new`; its completion queue, if there was one, is destroyed.
        let errno = unsafe { (self.device.library().ibv_destroy_comp_channel)(self.channel) };
        if errno != 0 {
            let error = io::Error::from_raw_os_error(errno);
            tracing::warn!("{}: ibv_destroy_comp_channel: {error}", self.device.name());
        }
    }
}

impl Drop for CompletionQueue {
    fn drop(&mut self) {
        self.acknowledge(); // destroying waits for that
        // SAFETY: the last owner; queue pairs hold an `Arc` of their completion queue, so none is left on it.
        let errno = unsafe { (self.device.library().ibv_destroy_cq)(self.cq) };
        if errno != 0 {
            tracing::warn!("{}: ibv_destroy_cq: {}", self.device.name(), io::Error::from_raw_os_error(errno));
        }
    }
}
