//! One core's connections on the network in this process, and its memory that the target reaches.
//!
//! The network keeps registered memory itself. So data are copied there when they are exposed to be read, and back when they are
//! withdrawn after they may have been written.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fabric::sim::{self, Host, Initiator, Registration};
use fabric::{Access, Completion, ExposureId, QpIndex, RemoteMemory, WorkError};
use mem::{Buf, IoBuf};

/// Messages taken from one connection in one round.
const MESSAGES_PER_POLL: usize = 64;

/// A connection, shared by its core and the control side.
#[derive(Debug)]
pub(super) struct Link {
    initiator: Mutex<Initiator>,
    /// Nothing comes any more, and whatever is posted goes back.
    pub(super) ended: AtomicBool,
}

impl Link {
    pub(super) fn new(initiator: Initiator) -> Link {
        Link { initiator: Mutex::new(initiator), ended: AtomicBool::new(false) }
    }

    pub(super) fn initiator(&self) -> MutexGuard<'_, Initiator> {
        self.initiator.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that no endpoint has.
#[derive(Debug)]
pub struct QueuePair {
    link: Arc<Link>,
}

impl QueuePair {
    pub(super) fn new(link: Arc<Link>) -> QueuePair {
        QueuePair { link }
    }
}

/// The connections and exposed memory of one core.
#[derive(Debug)]
pub struct Endpoint {
    host: Host,
    lines: Vec<Option<Line>>,
    exposed: Vec<Option<Exposed>>,
    free: Vec<u32>,
    /// Registrations that are not in use, by the power of two that is their length.
    spare: [Vec<Registration>; u32::BITS as usize],
    message: Vec<u8>,
}

#[derive(Debug)]
struct Line {
    link: Arc<Link>,
    /// Posted, oldest first.
    receives: VecDeque<Buf>,
    /// Sent, and still to be reported.
    sent: VecDeque<(IoBuf, Result<(), WorkError>)>,
}

#[derive(Debug)]
struct Exposed {
    data: IoBuf,
    registration: Registration,
    access: Access,
}

impl Endpoint {
    /// Nothing on it yet.
    pub(crate) fn new(host: Host) -> Endpoint {
        Endpoint {
            host,
            lines: Vec::new(),
            exposed: Vec::new(),
            free: Vec::new(),
            spare: Default::default(),
            message: Vec::new(),
        }
    }

    pub(crate) fn adopt(&mut self, queue_pair: QueuePair) -> QpIndex {
        self.lines.push(Some(Line { link: queue_pair.link, receives: VecDeque::new(), sent: VecDeque::new() }));
        QpIndex(self.lines.len() as u32 - 1)
    }

    pub(crate) fn release(&mut self, qp: QpIndex) -> QueuePair {
        assert_eq!(self.outstanding(qp), 0, "a queue pair was released while buffers of it were out");
        QueuePair { link: self.lines[qp.0 as usize].take().expect(UNKNOWN).link }
    }

    pub(crate) fn outstanding(&self, qp: QpIndex) -> usize {
        let line = self.lines[qp.0 as usize].as_ref().expect(UNKNOWN);
        line.receives.len() + line.sent.len()
    }

    pub(crate) fn post_receive(&mut self, qp: QpIndex, buf: Buf) {
        let line = self.line(qp);
        line.receives.push_back(buf);
        line.link.initiator().post_receives(1);
    }

    pub(crate) fn send(&mut self, qp: QpIndex, message: IoBuf) {
        let line = self.line(qp);
        let sent = line.link.initiator().send(message.bytes());
        line.sent.push_back((message, sent.map_err(|_| WorkError::Flushed)));
    }

    pub(crate) fn expose(&mut self, data: IoBuf, access: Access) -> (RemoteMemory, ExposureId) {
        let registration = self.register(data.len() as u32); // buffers are under 4 GiB
        if access.read {
            self.host.write(&registration, 0, data.bytes());
        }
        let memory = RemoteMemory { addr: registration.addr, rkey: registration.rkey, len: data.len() as u32 };
        let place = self.free.pop().unwrap_or_else(|| {
            self.exposed.push(None);
            self.exposed.len() as u32 - 1
        });
        self.exposed[place as usize] = Some(Exposed { data, registration, access });
        (memory, ExposureId(place))
    }

    /// Memory of at least this length under a key of its own, as `ib_srp` has for every command.
    fn register(&mut self, len: u32) -> Registration {
        let len = len.max(1).next_power_of_two();
        match self.spare[len.ilog2() as usize].pop() {
            Some(spare) => self.host.renew(&spare),
            None => self.host.register(len, sim::Access::BOTH),
        }
    }

    pub(crate) fn withdraw(&mut self, exposure: ExposureId) -> Option<IoBuf> {
        let Exposed { mut data, registration, access } = self.exposed.get_mut(exposure.0 as usize)?.take()?;
        self.free.push(exposure.0);
        self.host.invalidate(&registration);
        if access.write {
            self.host.read(&registration, 0, data.bytes_mut());
        }
        self.spare[registration.len.ilog2() as usize].push(registration);
        Some(data)
    }

    pub(crate) fn poll(&mut self, report: &mut dyn FnMut(Completion)) -> usize {
        let Endpoint { lines, message, .. } = self;
        let each = (0..).zip(lines).filter_map(|(index, line)| Some((QpIndex(index), line.as_mut()?)));
        each.map(|(qp, line)| line.poll(qp, message, report)).sum()
    }

    fn line(&mut self, qp: QpIndex) -> &mut Line {
        self.lines[qp.0 as usize].as_mut().expect(UNKNOWN)
    }
}

impl Line {
    fn poll(&mut self, qp: QpIndex, message: &mut Vec<u8>, report: &mut dyn FnMut(Completion)) -> usize {
        let mut count = self.sent.len();
        for (message, result) in self.sent.drain(..) {
            report(Completion::Delivered { qp, cookie: 0, data: None, message: Some(message), result });
        }
        // Acquire: what came before the end is there to be taken.
        let ended = self.link.ended.load(Ordering::Acquire);
        let mut initiator = self.link.initiator();
        let mut taken = 0;
        while taken < MESSAGES_PER_POLL && initiator.receive_into(message) {
            // The network fills no receive that was not posted, and none beyond its length.
            let mut buf = self.receives.pop_front().expect("a message takes a receive");
            buf.bytes_mut()[..message.len()].copy_from_slice(message);
            report(Completion::Received { qp, buf, len: message.len() as u32 });
            taken += 1;
        }
        count += taken;
        if ended && taken == 0 {
            count += self.receives.len();
            self.receives.drain(..).for_each(|buf| report(Completion::ReceiveFlushed { qp, buf }));
        }
        count
    }
}

/// Of a panic for a [`QpIndex`] that was released: our own bug.
const UNKNOWN: &str = "a queue pair was used that this endpoint does not have";
