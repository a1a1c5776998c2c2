//! The queue pairs of one reactor: slots, doorbells, polling. Nothing here waits, locks or allocates, but for `adopt`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crossbeam_queue::ArrayQueue;
use mem::{Buf, IoBuf};
use reactor::{Instant, WakeSources, Waker};

use super::completion_queue::{Batch, CompletionQueue};
use super::exposed::Exposed;
use super::queue_pair::{Handle, QueuePair};
use super::work::{Work, slot_of};
use crate::sleeper::Sleeper;
use crate::{Completion, Deliver, ExposureId, Fetch, QpIndex, RemoteMemory, Seed};

/// Completion queues that may be on their way to one poll group.
const MAIL_MAX: usize = 64;

/// What the control thread tells a poll group.
pub(super) struct Mail {
    /// New completion queues to poll.
    queues: ArrayQueue<Arc<CompletionQueue>>,
    /// Goes up when there is a new queue, a queue pair was marked as failed, or a device was given up.
    changes: AtomicU32,
    sleeper: Sleeper,
}

impl Mail {
    pub(super) fn new() -> Arc<Mail> {
        Arc::new(Mail { queues: ArrayQueue::new(MAIL_MAX), changes: AtomicU32::new(0), sleeper: Sleeper::default() })
    }

    /// Hands over a completion queue; `false` if the poll group has not looked for too long.
    pub(super) fn send(&self, queue: Arc<CompletionQueue>) -> bool {
        let sent = self.queues.push(queue).is_ok();
        self.changed();
        sent
    }

    /// Makes the poll group look at its queues and queue pairs. Release: it then sees what was marked before.
    pub(super) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Release);
        self.sleeper.wake();
    }
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mail")
    }
}

/// A poll group on its way to its reactor.
#[derive(Debug)]
pub struct PollGroupSeed {
    pub(super) mail: Arc<Mail>,
}

impl Seed for PollGroupSeed {
    type Value = PollGroup;

    fn settle(self) -> PollGroup {
        PollGroup {
            mail: self.mail,
            changes_seen: 0,
            queues: Vec::new(),
            slots: Vec::new(),
            free: Vec::new(),
            bells: Vec::new(),
            handing_back: false,
            batch: Box::new(Batch::new()),
            exposed: Exposed::default(),
        }
    }
}

/// Data path of one reactor.
pub struct PollGroup {
    mail: Arc<Mail>,
    changes_seen: u32,
    queues: Vec<Arc<CompletionQueue>>,
    slots: Vec<Option<Box<Work<Arc<Handle>>>>>,
    free: Vec<u32>,
    /// Slots with something to post.
    bells: Vec<u32>,
    /// Some queue pair has something to hand back without its device.
    handing_back: bool,
    batch: Box<Batch>,
    exposed: Exposed,
}

impl PollGroup {
    pub(crate) fn adopt(&mut self, queue_pair: QueuePair) -> QpIndex {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("fewer queue pairs than that")
        });
        self.bells.reserve(self.slots.len()); // so that posting never allocates
        self.free.reserve(self.slots.len());
        let mut work = queue_pair.into_work(slot);
        if work.port().has_failed() {
            work.fail(); // it was marked before it came here
        }
        self.slots[slot as usize] = Some(work);
        QpIndex(slot)
    }

    pub(crate) fn release(&mut self, qp: QpIndex) -> QueuePair {
        let work = self.slots[qp.0 as usize].take().expect(UNKNOWN);
        self.bells.retain(|&slot| slot != qp.0);
        self.free.push(qp.0);
        QueuePair::from_work(work)
    }

    #[inline]
    pub(crate) fn outstanding(&self, qp: QpIndex) -> usize {
        self.slots[qp.0 as usize].as_ref().expect(UNKNOWN).outstanding()
    }

    #[inline]
    pub(crate) fn send_slots_free(&self, qp: QpIndex) -> usize {
        self.slots[qp.0 as usize].as_ref().expect(UNKNOWN).send_slots_free()
    }

    #[inline]
    pub(crate) fn post_receive(&mut self, qp: QpIndex, buf: Buf) {
        self.post(qp, |work| work.post_receive(buf));
    }

    #[inline]
    pub(crate) fn fetch(&mut self, qp: QpIndex, fetch: Fetch<'_>) {
        self.post(qp, |work| work.fetch(fetch));
    }

    #[inline]
    pub(crate) fn deliver(&mut self, qp: QpIndex, deliver: Deliver<'_>) {
        self.post(qp, |work| work.deliver(deliver));
    }

    pub(crate) fn keepalive(&mut self, qp: QpIndex) {
        self.post(qp, Work::keepalive);
    }

    /// The rights are those of the region: see the module's essay.
    #[inline]
    pub(crate) fn expose(&mut self, qp: QpIndex, data: IoBuf) -> (RemoteMemory, ExposureId) {
        let work = self.slots[qp.0 as usize].as_ref().expect(UNKNOWN);
        let rkey = work.port().device().keys().remote(data.region());
        let memory = RemoteMemory { addr: data.addr(), rkey, len: data.len() as u32 }; // buffers are under 4 GiB
        (memory, self.exposed.insert(data))
    }

    #[inline]
    pub(crate) fn withdraw(&mut self, exposure: ExposureId) -> Option<IoBuf> {
        self.exposed.take(exposure)
    }

    #[inline]
    fn post(&mut self, qp: QpIndex, post: impl FnOnce(&mut Work<Arc<Handle>>)) {
        let work = self.slots[qp.0 as usize].as_mut().expect(UNKNOWN);
        post(work);
        self.handing_back |= work.is_handing_back();
        if !std::mem::replace(&mut work.listed, true) {
            self.bells.push(qp.0);
        }
    }

    #[inline]
    pub(crate) fn ring(&mut self) {
        for slot in self.bells.drain(..) {
            let work = self.slots[slot as usize].as_mut().expect(UNKNOWN);
            work.listed = false;
            work.ring();
            self.handing_back |= work.is_handing_back();
        }
    }

    #[inline]
    pub(crate) fn poll(&mut self, report: &mut dyn FnMut(Completion)) -> usize {
        let mut count = 0;
        // Acquire: pairs with `Mail::changed`.
        let changes = self.mail.changes.load(Ordering::Acquire);
        if changes != self.changes_seen {
            self.changes_seen = changes;
            count += self.attend(report);
        }
        for index in 0..self.queues.len() {
            count += self.poll_queue(index, report).1;
        }
        if std::mem::take(&mut self.handing_back) {
            count += self.slots.iter_mut().flatten().map(|work| work.report_handed_back(report)).sum::<usize>();
        }
        count
    }

    /// From now on completions make the files of the queues readable.
    pub(crate) fn arm(&mut self, waker: &Waker) {
        self.mail.sleeper.announce(waker);
        self.queues.iter().for_each(|queue| queue.arm());
    }

    pub(crate) fn wake_sources<'a>(&'a self, sources: &mut WakeSources<'a>) {
        if self.handing_back || !self.bells.is_empty() {
            sources.deadline(Instant::default()); // there is work already
        }
        for queue in &self.queues {
            match queue.is_armed() {
                true => sources.file(&**queue),
                false => sources.look_often(),
            }
        }
    }

    /// One batch of one queue: how many completions were taken, and how many of them are reported.
    #[inline]
    fn poll_queue(&mut self, index: usize, report: &mut dyn FnMut(Completion)) -> (usize, usize) {
        let completions = self.queues[index].poll(&mut self.batch);
        let mut reported = 0;
        for completion in completions {
            let Some(Some(work)) = self.slots.get_mut(slot_of(completion) as usize) else { continue };
            if let Some(completion) = work.complete(completion) {
                reported += 1;
                report(completion);
            }
            self.handing_back |= work.is_handing_back();
        }
        (completions.len(), reported)
    }

    /// Looks at what the control thread changed.
    #[cold]
    fn attend(&mut self, report: &mut dyn FnMut(Completion)) -> usize {
        while let Some(queue) = self.mail.queues.pop() {
            self.queues.push(queue);
        }
        let mut count = 0;
        for index in 0..self.queues.len() {
            if self.queues[index].device().is_gone() {
                // What completed before the device went away is still in the queue: it is taken out before everything
                // else is handed back, and the queue never looked at again.
                loop {
                    let (taken, reported) = self.poll_queue(index, report);
                    count += reported;
                    if taken == 0 {
                        break;
                    }
                }
            }
        }
        for work in self.slots.iter_mut().flatten() {
            if work.port().device().is_gone() {
                work.hand_back_everything();
            } else if work.port().has_failed() {
                work.fail();
            }
            self.handing_back |= work.is_handing_back();
        }
        self.queues.retain(|queue| !queue.device().is_gone() && !queue.is_done());
        count
    }
}

impl Drop for PollGroup {
    fn drop(&mut self) {
        for work in self.slots.drain(..).flatten() {
            if work.outstanding() > 0 {
                tracing::error!("a poll group was dropped with work outstanding: its buffers are leaked");
                std::mem::forget(work); // a device may still write them
            }
        }
    }
}

/// Of a panic for a [`QpIndex`] that was released: our own bug.
const UNKNOWN: &str = "a queue pair was used that this poll group does not have";
