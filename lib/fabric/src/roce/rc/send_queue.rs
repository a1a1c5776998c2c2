//! The work that we asked of the peer: operations, and the entries that they consist of, until they are reported.
//!
//! Each entry takes packets as the standard says (IBTA vol. 1, 9.7.2): a READ as many as its responses. Here packets are
//! numbered from 0 and never wrap around; `requester.rs` turns numbers into PSNs.
//!
//! ```text
//! operations   ┌ finished, to be reported ┬ waiting ──────────────┐
//! entries                                 ┌ waiting ──────────────┐   in order; one is gone when its last packet is
//! packets                                 0 … oldest … next … posted
//! ```
//!
//! Messages of what is posted at one time go behind all its WRITEs: then packets of one length follow each other, and
//! leave in one burst, where a WRITE and its message in turn would be a burst each. No message waits long for that: it
//! never goes behind a READ that was posted after it, nor behind more WRITEs than fit in a burst.

use std::collections::VecDeque;

use mem::IoBuf;

use super::numbered::Numbered;
use crate::{Completion, Deliver, Fetch, QpIndex, Segment, WorkError};

/// Entry kept free for the keepalive, so that it never takes a slot of the user's.
const KEEPALIVES: usize = 1;

/// A message goes behind WRITEs that were posted after it up to so many bytes: what one burst holds.
const OVERTAKING_MAX: usize = 60_000;

#[derive(Debug)]
pub(super) struct SendQueue {
    entries: Numbered<Entry>,
    operations: Numbered<Operation>,
    /// Messages that were posted and are no entries yet.
    messages: VecDeque<Message>,
    /// Bytes of WRITEs that were posted after the first of them.
    overtaking: usize,
    mtu: u32,
    slots: usize,
    slots_taken: usize,
    /// Number of the first operation that is not finished.
    finished: u64,
    /// Packets of everything that was ever posted.
    posted: u64,
    /// What went wrong, to be reported by the first operation that is not finished; by the others, that they were flushed.
    failure: Option<WorkError>,
    failed: bool,
}

/// One SEND, WRITE or READ.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    /// Number of its operation.
    pub(super) operation: u64,
    /// Number of its first packet.
    pub(super) first: u64,
    /// The peer's memory, of WRITEs and READs.
    pub(super) remote_addr: u64,
    pub(super) rkey: u32,
    /// Where it starts in our memory, in bytes.
    pub(super) local_offset: u32,
    /// In bytes.
    pub(super) len: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Send { solicited: bool },
    Write,
    Read,
}

/// A SEND that becomes an entry when the WRITEs of its time are.
#[derive(Clone, Copy, Debug)]
struct Message {
    operation: u64,
    len: u32,
    solicited: bool,
}

#[derive(Debug)]
struct Operation {
    work: Work,
    /// Entries that are not done, those to come included.
    entries: u32,
    /// Send slots that it gives back when it is reported.
    slots: u32,
}

#[derive(Debug)]
enum Work {
    Fetch { cookie: u64, data: IoBuf },
    Deliver { cookie: u64, data: Option<IoBuf>, message: Option<IoBuf> },
    Keepalive,
}

impl Entry {
    /// How many packets it takes.
    #[inline]
    pub(super) fn packets(&self, mtu: u32) -> u32 {
        self.len.div_ceil(mtu).max(1)
    }

    /// Number of the first packet behind it.
    #[inline]
    pub(super) fn end(&self, mtu: u32) -> u64 {
        self.first + u64::from(self.packets(mtu))
    }
}

impl SendQueue {
    pub(super) fn new(slots: u32, mtu: u32) -> SendQueue {
        let slots = slots as usize;
        SendQueue {
            entries: Numbered::new(slots + KEEPALIVES),
            operations: Numbered::new(slots + KEEPALIVES),
            messages: VecDeque::with_capacity(slots),
            overtaking: 0,
            mtu,
            slots,
            slots_taken: 0,
            finished: 0,
            posted: 0,
            failure: None,
            failed: false,
        }
    }

    pub(super) fn fetch(&mut self, fetch: Fetch<'_>) {
        let Fetch { cookie, data, segments } = fetch;
        assert!(!segments.is_empty(), "a fetch without segments");
        check(segments, data.len());
        let slots = segments.len();
        self.release_messages();
        let operation = self.begin(Work::Fetch { cookie, data }, slots);
        segments.iter().for_each(|segment| self.push(operation, Kind::Read, segment));
    }

    pub(super) fn deliver(&mut self, deliver: Deliver<'_>) {
        let Deliver { cookie, data, segments, message, solicited } = deliver;
        let slots = segments.len() + usize::from(message.is_some());
        assert!(slots > 0, "a deliver of nothing");
        check(segments, data.as_ref().map_or(0, IoBuf::len));
        let bytes = segments.iter().map(|segment| segment.len as usize).sum::<usize>();
        if self.messages.is_empty() {
            self.overtaking = 0;
        } else if self.overtaking + bytes > OVERTAKING_MAX {
            self.release_messages();
        }
        self.overtaking += bytes;
        let message_len = message.as_ref().map(|message| message.len() as u32); // buffers are under 4 GiB
        let operation = self.begin(Work::Deliver { cookie, data, message }, slots);
        segments.iter().for_each(|segment| self.push(operation, Kind::Write, segment));
        if let Some(len) = message_len
            && !self.failed
        {
            self.messages.push_back(Message { operation, len, solicited });
        }
    }

    /// Makes entries of the messages that were posted.
    #[inline]
    pub(super) fn release_messages(&mut self) {
        self.overtaking = 0;
        while let Some(Message { operation, len, solicited }) = self.messages.pop_front() {
            let whole = Segment { local_offset: 0, len, remote_addr: 0, rkey: 0 };
            self.push(operation, Kind::Send { solicited }, &whole);
        }
    }

    /// A WRITE of no bytes: needs no key (IBTA vol. 1, C9-88), and is acknowledged. Nothing while there are operations.
    pub(super) fn keepalive(&mut self) {
        if self.operations.is_empty() && !self.failed {
            let operation = self.begin(Work::Keepalive, 0);
            self.push(operation, Kind::Write, &Segment { local_offset: 0, len: 0, remote_addr: 0, rkey: 0 });
        }
    }

    /// Makes an operation that takes so many entries, and returns its number.
    fn begin(&mut self, work: Work, slots: usize) -> u64 {
        assert!(slots <= self.slots_free(), "more work than send slots: the caller has to check");
        self.slots_taken += slots;
        let (slots, entries) = (slots as u32, slots.max(1) as u32); // at most `self.slots`; the keepalive takes none
        self.operations.push(Operation { work, entries, slots });
        self.operations.end() - 1
    }

    /// One of an operation's entries.
    fn push(&mut self, operation: u64, kind: Kind, segment: &Segment) {
        if self.failed {
            return; // the operation is handed back as it is
        }
        let &Segment { local_offset, len, remote_addr, rkey } = segment;
        let entry = Entry { kind, operation, first: self.posted, remote_addr, rkey, local_offset, len };
        self.posted = entry.end(self.mtu);
        self.entries.push(entry);
    }

    pub(super) fn slots_free(&self) -> usize {
        self.slots - self.slots_taken
    }

    pub(super) fn is_crowded(&self) -> bool {
        self.slots_taken > self.slots / 2
    }

    /// Operations that are not reported yet.
    pub(super) fn outstanding(&self) -> usize {
        self.operations.len() - usize::from(self.keeps_alive())
    }

    /// Number of the next packet to be posted.
    #[inline]
    pub(super) fn posted(&self) -> u64 {
        self.posted
    }

    /// Number of the oldest entry that is not done, or of the next one to come.
    pub(super) fn oldest_entry(&self) -> u64 {
        self.entries.start()
    }

    pub(super) fn oldest(&self) -> Option<&Entry> {
        self.entries.front()
    }

    #[inline]
    pub(super) fn entry(&self, number: u64) -> Option<&Entry> {
        self.entries.get(number)
    }

    /// The entry that packet `number` belongs to.
    pub(super) fn entry_of_packet(&self, number: u64) -> Option<&Entry> {
        self.entries.iter().find(|entry| number < entry.end(self.mtu))
    }

    /// What a packet of a SEND or WRITE carries, from `start` bytes into the entry on.
    pub(super) fn payload(&self, entry: &Entry, start: u32, len: u32) -> &[u8] {
        let source = match (self.operations.get(entry.operation).map(|operation| &operation.work), entry.kind) {
            (Some(Work::Deliver { data: Some(data), .. }), Kind::Write) => data,
            (Some(Work::Deliver { message: Some(message), .. }), Kind::Send { .. }) => message,
            _ => return &[], // a keepalive
        };
        let start = (entry.local_offset + start) as usize;
        &source.bytes()[start..start + len as usize]
    }

    /// Data of a READ arrived, for `start` bytes into the oldest entry.
    pub(super) fn fetched(&mut self, start: u32, bytes: &[u8]) {
        let Some(&Entry { operation, local_offset, .. }) = self.oldest() else { return };
        if let Some(Operation { work: Work::Fetch { data, .. }, .. }) = self.operations.get_mut(operation) {
            let start = (local_offset + start) as usize;
            data.bytes_mut()[start..start + bytes.len()].copy_from_slice(bytes);
        }
    }

    /// The oldest entry is done.
    pub(super) fn finish_oldest(&mut self) {
        let Some(Entry { operation: number, .. }) = self.entries.pop() else { return };
        let Some(operation) = self.operations.get_mut(number) else { return };
        operation.entries -= 1;
        if operation.entries == 0 && matches!(operation.work, Work::Keepalive) {
            self.operations.pop(); // it was alone when it came, so it is the oldest
            self.finished = number + 1;
        }
        // One without a message may be done before one that was posted earlier.
        while self.operations.get(self.finished).is_some_and(|operation| operation.entries == 0) {
            self.finished += 1;
        }
    }

    /// Nothing is sent any more: all that is not finished is handed back.
    pub(super) fn fail(&mut self, failure: Option<WorkError>) {
        self.failed = true;
        self.failure = failure;
        self.entries.clear();
        self.messages.clear();
        if self.keeps_alive() {
            self.operations.pop();
        }
    }

    /// Whether the oldest operation is a keepalive: no other can be one.
    fn keeps_alive(&self) -> bool {
        self.operations.front().is_some_and(|oldest| matches!(oldest.work, Work::Keepalive))
    }

    /// The next operation to be reported.
    pub(super) fn take_reported(&mut self, qp: QpIndex) -> Option<Completion> {
        let number = self.operations.start();
        let result = match self.failure {
            _ if number < self.finished => Ok(()),
            _ if !self.failed => return None,
            _ => Err(self.failure.take().unwrap_or(WorkError::Flushed)),
        };
        let Operation { work, slots, .. } = self.operations.pop()?;
        self.slots_taken -= slots as usize;
        match work {
            Work::Fetch { cookie, data } => Some(Completion::Fetched { qp, cookie, data, result }),
            Work::Deliver { cookie, data, message } => {
                Some(Completion::Delivered { qp, cookie, data, message, result })
            }
            Work::Keepalive => None, // never here: it is taken out when it is finished or failed
        }
    }

    /// Bytes allocated for `slots` send slots.
    #[cfg(test)]
    pub(super) fn memory(slots: usize) -> usize {
        (slots + KEEPALIVES) * (size_of::<Entry>() + size_of::<Operation>()) + slots * size_of::<Message>()
    }
}

/// # Panics
/// If a segment is empty, or does not lie in `len` bytes.
fn check(segments: &[Segment], len: usize) {
    for segment in segments {
        let end = u64::from(segment.local_offset) + u64::from(segment.len);
        assert!(segment.len > 0 && end <= len as u64, "a segment does not lie in its buffer of {len} bytes");
    }
}
