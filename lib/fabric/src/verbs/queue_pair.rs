//! A queue pair as a C object, shared by the two sides; and as what passes between them. Fenced.
#![allow(unsafe_code)]

use std::fmt;
use std::io;
use std::mem::zeroed;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mem::RegionId;
use rdma_core_sys::{ibv_qp, ibv_qp_attr, ibv_qp_attr_mask, ibv_qp_state, inline};

use super::completion_queue::CompletionQueue;
use super::device::Device;
use super::poll_group::Mail;
use super::work::{Port, Refused, Work};
use super::work_list::{ReceiveList, SendList};
use crate::QueuePairSizes;

/// The C object, shared by the control thread and the poll group. `cm.rs` makes and destroys it.
pub(super) struct Handle {
    qp: *mut ibv_qp,
    /// Longest message that can be copied into its work request, in bytes.
    inline_max: u32,
    queue: Arc<CompletionQueue>,
    /// Entries that it takes of `queue`.
    share: u32,
    /// Of its poll group.
    mail: Arc<Mail>,
    failed: AtomicBool,
}

// SAFETY: libibverbs is thread-safe (ibverbs(7)). The control thread modifies the queue pair and destroys it, the latter only
// as the handle's one owner; the poll group posts and modifies.
unsafe impl Send for Handle {}
// SAFETY: as above; what changes is atomic.
unsafe impl Sync for Handle {}

impl Handle {
    /// # Safety
    /// `qp` is a live queue pair whose completions go to `queue`, in which `share` entries were taken for it, and is
    /// destroyed only by the owner of the whole handle.
    pub(super) unsafe fn new(
        qp: *mut ibv_qp,
        inline_max: u32,
        queue: Arc<CompletionQueue>,
        share: u32,
        mail: Arc<Mail>,
    ) -> Handle {
        Handle { qp, inline_max, queue, share, mail, failed: AtomicBool::new(false) }
    }

    pub(super) fn device(&self) -> &Arc<Device> {
        self.queue.device()
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Marks it as failed, for the poll group to see, and puts it into the error state.
    pub(super) fn fail(&self) {
        if !self.failed.swap(true, Ordering::Release) {
            self.mail.changed();
        }
        // SAFETY: plain data, for which zeroes are a value.
        let mut attributes: ibv_qp_attr = unsafe { zeroed() };
        attributes.qp_state = ibv_qp_state::IBV_QPS_ERR;
        let mask = ibv_qp_attr_mask::IBV_QP_STATE as i32;
        // SAFETY: a live queue pair, and the attribute that the mask names.
        let errno = unsafe { (self.device().library().ibv_modify_qp)(self.qp, &raw mut attributes, mask) };
        if errno != 0 {
            let error = io::Error::from_raw_os_error(errno);
            if !self.device().is_lost() {
                tracing::warn!("{}: queue pair to error state: {error}", self.device().name());
            }
            self.device().note(&error);
        }
    }

    #[cold]
    fn refused(&self, call: &'static str, errno: i32, first: usize) -> Refused {
        let error = io::Error::from_raw_os_error(errno);
        self.device().note(&error);
        tracing::error!("{}: {call}: {error}; the channel is given up", self.device().name());
        Refused { first }
    }

    /// After the queue pair was destroyed: its completion queue has room again.
    pub(super) fn destroyed(self) {
        self.queue.give_back(self.share);
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({:?}, failed {})", self.device(), self.has_failed())
    }
}

impl Port for Arc<Handle> {
    #[inline]
    fn lkey(&self, region: RegionId) -> u32 {
        self.device().keys().get(region)
    }

    #[inline]
    fn inline_max(&self) -> u32 {
        self.inline_max
    }

    fn fail(&self) {
        Handle::fail(self);
    }

    fn broken(&self, what: &'static str) {
        self.device().broken(what);
    }

    #[inline]
    unsafe fn post_receives(&self, list: &mut ReceiveList) -> Result<(), Refused> {
        let mut bad = ptr::null_mut();
        // SAFETY: a live queue pair and a linked list; the caller vouches for the memory.
        let errno = unsafe { inline::ibv_post_recv(self.qp, list.link(), &raw mut bad) };
        if errno == 0 { Ok(()) } else { Err(self.refused("ibv_post_recv", errno, list.position(bad))) }
    }

    #[inline]
    unsafe fn post_sends(&self, list: &mut SendList) -> Result<(), Refused> {
        let mut bad = ptr::null_mut();
        // SAFETY: as above.
        let errno = unsafe { inline::ibv_post_send(self.qp, list.link(), &raw mut bad) };
        if errno == 0 { Ok(()) } else { Err(self.refused("ibv_post_send", errno, list.position(bad))) }
    }
}

/// A queue pair that no poll group has.
pub struct QueuePair {
    work: Box<Work<Arc<Handle>>>,
}

impl fmt::Debug for QueuePair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.work.port().fmt(f)
    }
}

// SAFETY: what is not Send in `Work` are the buffers in its tables and the pointers in its lists. A `QueuePair` has none:
// `new` makes them empty, nothing can be posted on a `QueuePair`, and `from_work` checks that they are empty again.
unsafe impl Send for QueuePair {}

impl QueuePair {
    pub(super) fn new(handle: Arc<Handle>, sizes: QueuePairSizes) -> QueuePair {
        QueuePair { work: Box::new(Work::new(handle, sizes)) }
    }

    /// # Panics
    /// If something is outstanding.
    pub(super) fn from_work(work: Box<Work<Arc<Handle>>>) -> QueuePair {
        assert_eq!(work.outstanding(), 0, "a queue pair was released with work outstanding");
        QueuePair { work }
    }

    /// For a poll group, at the place `slot`.
    pub(super) fn into_work(self, slot: u32) -> Box<Work<Arc<Handle>>> {
        let mut work = self.work;
        work.set_slot(slot);
        work
    }
}
