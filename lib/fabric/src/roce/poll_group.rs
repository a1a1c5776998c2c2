//! The data path of one reactor: packets in, completions out; work in, packets out.

use std::sync::Arc;

use mem::{Buf, IoBuf};
use reactor::{Instant, WakeSources, Waker};

use super::devices::{DEVICES_MAX, DeviceIndex};
use super::exposed::{Access, Exposed, RemoteMemory};
use super::packet_io::{Arrived, PacketCounters, PacketIo, Path};
use super::queue_pair::{Link, Mail, QueuePair};
use super::rc::{Endpoint, EndpointCounters, EndpointOptions, Transmit};
use super::statistics::{DataCounters, GroupCounters};
use super::wire::Headers;
use crate::{Completion, Deliver, Fetch, Homebound, QpIndex, Seed};

/// Completions reported in one poll.
const COMPLETIONS_MAX: usize = 256;

/// Time between two copies of the counters for the control side.
const PUBLISH_INTERVAL_NS: u64 = 1_000_000_000;

/// Of a panic for a [`QpIndex`] that was released: our own bug.
const UNKNOWN: &str = "a queue pair was used that this poll group does not have";

/// A poll group on its way to its reactor.
#[derive(Debug)]
pub struct PollGroupSeed {
    pub(super) mail: Arc<Mail>,
    /// Seed of the keys of exposed memory.
    pub(super) key_seed: u64,
}

impl PollGroupSeed {
    pub(super) fn new(mail: Arc<Mail>, key_seed: u64) -> Homebound<PollGroupSeed> {
        Homebound::new(PollGroupSeed { mail, key_seed })
    }
}

impl Seed for PollGroupSeed {
    type Value = PollGroup;

    fn settle(self) -> PollGroup {
        PollGroup {
            mail: self.mail,
            changes_seen: 0,
            ports: Vec::with_capacity(DEVICES_MAX),
            by_number: vec![NOBODY; 1 << 16].into_boxed_slice(),
            slots: Vec::new(),
            free: Vec::new(),
            sending: Vec::new(),
            completing: Vec::new(),
            timed: Vec::new(),
            next_deadline: u64::MAX,
            exposed: Exposed::with_capacity(self.key_seed, 0),
            now: 0,
            counters: GroupCounters::default(),
            released: EndpointCounters::default(),
            next_publication: 0,
        }
    }
}

/// No slot, in [`PollGroup::by_number`].
const NOBODY: u32 = u32::MAX;

/// Data path of one reactor.
#[derive(Debug)]
pub struct PollGroup {
    mail: Arc<Mail>,
    changes_seen: u32,
    /// One per device, by its index.
    ports: Vec<Port>,
    /// Slots by the high 16 bits of their queue pair number.
    by_number: Box<[u32]>,
    slots: Vec<Option<Box<Slot>>>,
    free: Vec<u32>,
    /// Slots that may have something to send.
    sending: Vec<u32>,
    /// Slots that may have something to report.
    completing: Vec<u32>,
    /// Slots with a deadline.
    timed: Vec<u32>,
    /// The earliest of them, or earlier.
    next_deadline: u64,
    exposed: Exposed,
    /// When the last poll was.
    now: u64,
    counters: GroupCounters,
    /// What queue pairs counted that were released since.
    released: EndpointCounters,
    next_publication: u64,
}

/// One device, as this group uses it.
#[derive(Debug)]
struct Port {
    io: PacketIo,
    /// Queue pairs here: a port without is not looked at, which saves its system call.
    users: usize,
    /// READ response packets on their way here, over all queue pairs.
    reads_in_flight: u32,
}

/// One queue pair.
#[derive(Debug)]
struct Slot {
    endpoint: Endpoint,
    options: EndpointOptions,
    path: Path,
    device: DeviceIndex,
    link: Arc<Link>,
    heard: bool,
    connected: bool,
    told_failure: bool,
    is_sending: bool,
    is_completing: bool,
    is_timed: bool,
}

impl PollGroup {
    pub(crate) fn adopt(&mut self, queue_pair: QueuePair) -> QpIndex {
        self.take_ports();
        let QueuePair { options, path, device, link } = queue_pair;
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("fewer queue pairs than that")
        });
        // So that nothing is allocated later.
        for list in [&mut self.free, &mut self.sending, &mut self.completing, &mut self.timed] {
            list.reserve(self.slots.len() - list.len().min(self.slots.len()));
        }
        self.by_number[high_bits(options.local_qpn)] = index;
        self.ports[device.0].users += 1;
        let mut endpoint = Endpoint::new(&options);
        endpoint.set_index(QpIndex(index));
        let slot = Slot {
            endpoint,
            options,
            path,
            device,
            link,
            heard: false,
            connected: false,
            told_failure: false,
            is_sending: false,
            is_completing: false,
            is_timed: false,
        };
        self.slots[index as usize] = Some(Box::new(slot));
        self.apply_link(index);
        QpIndex(index)
    }

    pub(crate) fn release(&mut self, qp: QpIndex) -> QueuePair {
        let slot = self.slots[qp.0 as usize].take().expect(UNKNOWN);
        assert_eq!(slot.endpoint.outstanding(), 0, "a queue pair was released with work outstanding");
        for list in [&mut self.sending, &mut self.completing, &mut self.timed] {
            list.retain(|&listed| listed != qp.0);
        }
        let port = &mut self.ports[slot.device.0];
        port.users -= 1;
        port.reads_in_flight -= slot.endpoint.read_packets_in_flight();
        self.released += slot.endpoint.counters();
        self.by_number[high_bits(slot.options.local_qpn)] = NOBODY;
        self.free.push(qp.0);
        QueuePair { options: slot.options, path: slot.path, device: slot.device, link: slot.link }
    }

    #[inline]
    pub(crate) fn outstanding(&self, qp: QpIndex) -> usize {
        self.slots[qp.0 as usize].as_ref().expect(UNKNOWN).endpoint.outstanding()
    }

    #[inline]
    pub(crate) fn send_slots_free(&self, qp: QpIndex) -> usize {
        self.slots[qp.0 as usize].as_ref().expect(UNKNOWN).endpoint.send_slots_free()
    }

    #[inline]
    pub(crate) fn post_receive(&mut self, qp: QpIndex, buf: Buf) {
        self.slot_mut(qp).endpoint.post_receive(buf);
        if self.slot_mut(qp).endpoint.has_failed() {
            self.list_completing(qp.0);
        }
    }

    #[inline]
    pub(crate) fn fetch(&mut self, qp: QpIndex, fetch: Fetch<'_>) {
        self.slot_mut(qp).endpoint.fetch(fetch);
        self.posted(qp);
    }

    #[inline]
    pub(crate) fn deliver(&mut self, qp: QpIndex, deliver: Deliver<'_>) {
        self.slot_mut(qp).endpoint.deliver(deliver);
        self.posted(qp);
    }

    pub(crate) fn keepalive(&mut self, qp: QpIndex) {
        self.slot_mut(qp).endpoint.keepalive();
        self.posted(qp);
    }

    pub(crate) fn expose(&mut self, qp: QpIndex, data: IoBuf, access: Access) -> RemoteMemory {
        self.exposed.expose(qp, data, access)
    }

    pub(crate) fn withdraw(&mut self, rkey: u32) -> Option<IoBuf> {
        self.exposed.withdraw(rkey)
    }

    #[inline]
    pub(crate) fn poll(&mut self, now_ns: u64, report: &mut dyn FnMut(Completion)) -> usize {
        self.now = now_ns;
        let changes = self.mail.changes();
        if changes != self.changes_seen {
            self.changes_seen = changes;
            self.attend();
        }
        self.receive();
        if now_ns >= self.next_publication {
            self.publish();
        }
        self.report(report)
    }

    #[inline]
    pub(crate) fn ring(&mut self) {
        if self.now >= self.next_deadline {
            self.wake_timed();
        }
        let mut next = 0;
        while let Some(&index) = self.sending.get(next) {
            if self.transmit(index) {
                next += 1;
            } else {
                self.sending.swap_remove(next);
                self.slots[index as usize].as_mut().expect(UNKNOWN).is_sending = false;
            }
        }
        for port in self.ports.iter_mut().filter(|port| port.users > 0) {
            port.io.flush();
        }
    }

    pub(crate) fn arm(&mut self, waker: &Waker) {
        self.mail.sleeper.announce(waker);
        self.ports.iter().for_each(|port| port.io.arm(waker));
    }

    pub(crate) fn wake_sources<'a>(&'a self, sources: &mut WakeSources<'a>) {
        sources.deadline(Instant(self.next_deadline));
        if !self.completing.is_empty() {
            sources.deadline(Instant::default()); // there is work already
        }
        if !self.sending.is_empty() {
            sources.look_often(); // it waits for room
        }
        for port in self.ports.iter().filter(|port| port.users > 0) {
            port.io.wake_sources(sources);
        }
    }

    /// Looks at what the control side changed.
    #[cold]
    fn attend(&mut self) {
        self.take_ports();
        for index in 0..self.slots.len() as u32 {
            if self.slots[index as usize].is_some() {
                self.apply_link(index);
            }
        }
    }

    fn take_ports(&mut self) {
        while let Some((device, io)) = self.mail.ports.pop() {
            assert_eq!(device.0, self.ports.len(), "devices are sent in the order of their indices");
            self.ports.push(Port { io, users: 0, reads_in_flight: 0 });
        }
    }

    /// Does what the control side wants of one queue pair.
    fn apply_link(&mut self, index: u32) {
        let slot = self.slots[index as usize].as_mut().expect(UNKNOWN);
        slot.endpoint.set_reads_max(slot.link.reads_max());
        if let Some(remote) = slot.link.remote()
            && !slot.connected
        {
            slot.connected = true;
            slot.endpoint.connect(remote.qpn, remote.send_psn);
        }
        if slot.link.has_failed() && !slot.endpoint.has_failed() {
            slot.endpoint.fail();
        }
        self.list_sending(index);
        self.list_completing(index);
    }

    /// Takes one batch of packets from each port that has users.
    fn receive(&mut self) {
        for device in 0..self.ports.len() {
            if self.ports[device].users == 0 {
                continue;
            }
            let PollGroup { ports, by_number, slots, sending, completing, exposed, mail, now, counters, .. } = self;
            let Port { io, reads_in_flight, .. } = &mut ports[device];
            io.receive(&mut |arrived: Arrived<'_>| {
                let Ok((headers, payload)) = Headers::parse(arrived.packet) else {
                    return counters.not_roce += 1;
                };
                let index = by_number[high_bits(headers.dest_qp)];
                let Some(Some(slot)) = slots.get_mut(index as usize) else {
                    return counters.unknown_qp += 1;
                };
                if slot.options.local_qpn != headers.dest_qp {
                    return counters.unknown_qp += 1;
                }
                if (slot.path.peer.ip(), slot.device.0) != (arrived.path.peer.ip(), device) {
                    return counters.wrong_peer += 1;
                }
                counters.delivered += 1;
                let before = slot.endpoint.read_packets_in_flight();
                slot.endpoint.on_packet(*now, &headers, payload, arrived.congested, exposed);
                *reads_in_flight = *reads_in_flight - before + slot.endpoint.read_packets_in_flight();
                if !slot.heard {
                    slot.heard = true;
                    slot.link.hear();
                    mail.tell();
                }
                if !std::mem::replace(&mut slot.is_sending, true) {
                    sending.push(index);
                }
                if !std::mem::replace(&mut slot.is_completing, true) {
                    completing.push(index);
                }
            });
        }
    }

    /// Gives the control side a copy of the counters.
    #[cold]
    fn publish(&mut self) {
        self.next_publication = self.now.saturating_add(PUBLISH_INTERVAL_NS);
        let mut packets = PacketCounters::default();
        self.ports.iter().for_each(|port| packets += port.io.counters());
        let mut endpoints = self.released;
        self.slots.iter().flatten().for_each(|slot| endpoints += slot.endpoint.counters());
        self.mail.counters.force_push(DataCounters { group: self.counters, packets, endpoints });
    }

    fn report(&mut self, report: &mut dyn FnMut(Completion)) -> usize {
        let mut count = 0;
        while count < COMPLETIONS_MAX
            && let Some(&index) = self.completing.last()
        {
            let slot = self.slots[index as usize].as_mut().expect(UNKNOWN);
            let room = COMPLETIONS_MAX - count;
            let reported = slot.endpoint.complete(QpIndex(index), room, report);
            count += reported;
            if reported < room {
                slot.is_completing = false;
                self.completing.pop();
            }
        }
        count
    }

    /// Sends what one queue pair has to send. True: it could not send all.
    fn transmit(&mut self, index: u32) -> bool {
        let slot = self.slots[index as usize].as_mut().expect(UNKNOWN);
        let port = &mut self.ports[slot.device.0];
        let before = slot.endpoint.read_packets_in_flight();
        let room = port.io.receive_room(slot.options.mtu as usize).saturating_sub(port.reads_in_flight);
        let mut out = Out { io: &mut port.io, path: &slot.path };
        let more = slot.endpoint.transmit(self.now, room, &self.exposed, &mut out);
        port.reads_in_flight = port.reads_in_flight - before + slot.endpoint.read_packets_in_flight();
        if let Some(deadline) = slot.endpoint.next_deadline() {
            self.next_deadline = self.next_deadline.min(deadline);
            if !std::mem::replace(&mut slot.is_timed, true) {
                self.timed.push(index);
            }
        }
        if slot.endpoint.has_failed() {
            if !std::mem::replace(&mut slot.told_failure, true) {
                self.counters.failed_qps += 1;
                slot.link.fail();
                self.mail.tell();
            }
            self.list_completing(index);
        }
        more
    }

    /// Lets those send whose time has come, and finds the next deadline.
    fn wake_timed(&mut self) {
        self.next_deadline = u64::MAX;
        let mut next = 0;
        while let Some(&index) = self.timed.get(next) {
            let slot = self.slots[index as usize].as_mut().expect(UNKNOWN);
            match slot.endpoint.next_deadline() {
                Some(deadline) if deadline > self.now => {
                    self.next_deadline = self.next_deadline.min(deadline);
                    next += 1;
                }
                due => {
                    slot.is_timed = false;
                    self.timed.swap_remove(next);
                    if due.is_some() {
                        self.list_sending(index);
                    }
                }
            }
        }
    }

    #[inline]
    fn posted(&mut self, qp: QpIndex) {
        self.list_sending(qp.0);
        if self.slot_mut(qp).endpoint.has_failed() {
            self.list_completing(qp.0);
        }
    }

    #[inline]
    fn list_sending(&mut self, index: u32) {
        let slot = self.slots[index as usize].as_mut().expect(UNKNOWN);
        if !std::mem::replace(&mut slot.is_sending, true) {
            self.sending.push(index);
        }
    }

    #[inline]
    fn list_completing(&mut self, index: u32) {
        let slot = self.slots[index as usize].as_mut().expect(UNKNOWN);
        if !std::mem::replace(&mut slot.is_completing, true) {
            self.completing.push(index);
        }
    }

    #[inline]
    fn slot_mut(&mut self, qp: QpIndex) -> &mut Slot {
        self.slots[qp.0 as usize].as_mut().expect(UNKNOWN)
    }
}

/// The high 16 bits of a queue pair number, which are unique within a group.
#[inline]
fn high_bits(number: u32) -> usize {
    (number >> 8 & 0xffff) as usize
}

/// Sends to one peer.
struct Out<'a> {
    io: &'a mut PacketIo,
    path: &'a Path,
}

impl Transmit for Out<'_> {
    #[inline]
    fn send(&mut self, headers: &Headers, payload: &[u8]) -> bool {
        self.io.queue(self.path, headers, payload).is_ok()
    }
}
