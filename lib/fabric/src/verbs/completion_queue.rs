//! A completion queue: made and filled up with queue pairs by the control thread, polled by one poll group. Fenced.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rdma_core_sys::{ibv_cq, ibv_wc, inline};

use super::device::Device;
use crate::FabricError;

/// Completions taken at a time.
pub(super) const BATCH: usize = 32;

/// Room of an ordinary completion queue, for some dozens of queue pairs: the fewer queues, the less there is to poll.
const ENTRIES: u32 = 16_384;

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
        // SAFETY: a live context; no completion channel, because completions are polled for.
        let cq =
            unsafe { (device.library().ibv_create_cq)(device.context(), size, ptr::null_mut(), ptr::null_mut(), 0) };
        if cq.is_null() {
            return Err(device.failed("ibv_create_cq", io::Error::last_os_error()));
        }
        Ok(CompletionQueue { cq, device, entries, taken: AtomicU32::new(0), retired: AtomicBool::new(false) })
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
}

impl Drop for CompletionQueue {
    fn drop(&mut self) {
        // SAFETY: the last owner; queue pairs hold an `Arc` of their completion queue, so none is left on it.
        let errno = unsafe { (self.device.library().ibv_destroy_cq)(self.cq) };
        if errno != 0 {
            tracing::warn!("{}: ibv_destroy_cq: {}", self.device.name(), io::Error::from_raw_os_error(errno));
        }
    }
}
