//! What happens to each datagram that came in: it is checked, and handed over, here or to the queue that it is for.

use std::net::SocketAddr;
use std::sync::Arc;

use reactor::Waker;

use super::handover::Handover;
use super::neighbours::{Link, Neighbours};
use super::{Arrived, DATAGRAM_MAX, DATAGRAM_MIN, PacketCounters, Path, queue_of};
use crate::roce::wire::{Flow, ICRC_LEN, UDP_PORT};

/// The receiving half of a queue, above the socket or ring.
#[derive(Debug)]
pub struct Inbound {
    /// Which queue of its device this is.
    index: usize,
    local: SocketAddr,
    handover: Arc<Handover>,
    /// Where packets for this queue came from, if the link can be seen.
    pub neighbours: Neighbours,
    /// Where the last packet came from: often the next one's source, too.
    last: Option<(SocketAddr, Flow)>,
    /// What was received, and what was dropped.
    pub counters: PacketCounters,
}

/// A datagram as it came in.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Address and port that it came from.
    pub source: SocketAddr,
    /// IPv4's identification, where it can be seen.
    pub ip_id: Option<u16>,
    /// The link that it came over, where that can be seen.
    pub link: Option<Link>,
    /// ECN says CE.
    pub congested: bool,
    /// UDP's payload.
    pub bytes: &'a [u8],
}

impl Inbound {
    pub fn new(index: usize, local: SocketAddr, handover: Arc<Handover>) -> Inbound {
        let (neighbours, counters) = (Neighbours::new(), PacketCounters::default());
        Inbound { index, local, handover, neighbours, last: None, counters }
    }

    /// See [`super::PacketIo::arm`].
    pub fn arm(&self, waker: &Waker) {
        self.handover.arm(self.index, waker);
    }

    /// Takes what other queues left for this one; returns how many packets that was.
    pub fn take_from_others(&mut self, take: &mut dyn FnMut(Arrived<'_>)) -> usize {
        let packets = self.handover.take(self.index, |arrived, link| {
            self.neighbours.learn_if_seen(arrived.path.peer.ip(), link);
            take(arrived);
        });
        self.counters.received += packets as u64;
        packets
    }

    /// Takes a datagram that came in at this queue; returns whether it was handed over here.
    #[inline]
    pub fn take(&mut self, datagram: Datagram<'_>, take: &mut dyn FnMut(Arrived<'_>)) -> bool {
        if !(DATAGRAM_MIN..=DATAGRAM_MAX).contains(&datagram.bytes.len()) {
            self.counters.malformed += 1;
            return false;
        }
        if !self.flow_from(datagram.source).verify(datagram.ip_id, datagram.bytes) {
            self.counters.icrc_errors += 1;
            return false;
        }
        let packet = &datagram.bytes[..datagram.bytes.len() - ICRC_LEN];
        let mut path = Path { local: self.local, peer: datagram.source };
        path.peer.set_port(UDP_PORT);
        let arrived = Arrived { path, congested: datagram.congested, packet };
        let queue = queue_of(dest_qp(packet));
        if queue != self.index && queue < self.handover.queues() {
            match self.handover.put(queue, arrived, datagram.link) {
                true => self.counters.handed_over += 1,
                false => self.counters.handover_drops += 1,
            }
            return false;
        }
        self.neighbours.learn_if_seen(path.peer.ip(), datagram.link);
        self.counters.received += 1;
        take(arrived);
        true
    }

    fn flow_from(&mut self, source: SocketAddr) -> Flow {
        match self.last {
            Some((last, flow)) if last == source => flow,
            _ => self.last.insert((source, Flow::new(source, self.local))).1,
        }
    }
}

/// The queue pair that a packet is for; the packet is at least a base transport header long.
fn dest_qp(packet: &[u8]) -> u32 {
    u32::from_be_bytes([0, packet[5], packet[6], packet[7]])
}
