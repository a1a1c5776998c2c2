//! Packets that came in at another queue of the device than their own.
//!
//! The kernel or the NIC may bring a packet to the wrong queue: it merges packets of one flow into one datagram (GRO)
//! without a look at the queue pairs, or spreads flows by a hash. The queue that finds one copies it into the inbox of
//! the one that it is for. Each inbox is a bounded queue of boxes that go round: its owner gives them back empty.

use std::net::{Ipv4Addr, SocketAddr};

use crossbeam_queue::ArrayQueue;
use reactor::Waker;

use super::neighbours::Link;
use super::{Arrived, DATAGRAM_MAX, Path};
use crate::roce::wire::ICRC_LEN;
use crate::sleeper::Sleeper;

/// The inboxes of a device.
#[derive(Debug)]
pub struct Handover {
    inboxes: Box<[Inbox]>,
}

#[derive(Debug)]
struct Inbox {
    arrived: ArrayQueue<Box<Parcel>>,
    empty: ArrayQueue<Box<Parcel>>,
    /// The reactor of its owner.
    sleeper: Sleeper,
}

#[derive(Debug)]
struct Parcel {
    path: Path,
    congested: bool,
    link: Option<Link>,
    len: usize,
    bytes: [u8; DATAGRAM_MAX - ICRC_LEN],
}

impl Handover {
    /// Inboxes for that many queues, of so many packets each (4 KiB a packet); for fewer than two queues there is nothing
    /// to hand over, and none is made.
    pub fn new(queues: usize, inbox_len: usize) -> Handover {
        Handover { inboxes: (0..queues).filter(|_| queues > 1).map(|_| Inbox::new(inbox_len)).collect() }
    }

    /// Queues that can be handed something.
    pub fn queues(&self) -> usize {
        self.inboxes.len()
    }

    /// Puts a copy of a packet into the inbox of another queue; false if it is full.
    pub fn put(&self, queue: usize, arrived: Arrived<'_>, link: Option<Link>) -> bool {
        let inbox = &self.inboxes[queue];
        let Some(mut parcel) = inbox.empty.pop() else { return false };
        let len = arrived.packet.len().min(parcel.bytes.len());
        parcel.bytes[..len].copy_from_slice(&arrived.packet[..len]);
        (parcel.path, parcel.congested) = (arrived.path, arrived.congested);
        (parcel.link, parcel.len) = (link, len);
        let put = inbox.arrived.push(parcel).is_ok();
        inbox.sleeper.wake();
        put
    }

    /// The reactor of a queue is going to sleep, and is to be woken by what is put into the inbox.
    pub fn arm(&self, queue: usize, waker: &Waker) {
        if let Some(inbox) = self.inboxes.get(queue) {
            inbox.sleeper.announce(waker);
        }
    }

    /// Hands over what others put into the inbox of a queue, at most one inbox full; returns how many packets.
    pub fn take(&self, queue: usize, mut take: impl FnMut(Arrived<'_>, Option<Link>)) -> usize {
        let Some(inbox) = self.inboxes.get(queue) else { return 0 };
        let mut packets = 0;
        while packets < inbox.empty.capacity()
            && let Some(parcel) = inbox.arrived.pop()
        {
            let packet = &parcel.bytes[..parcel.len];
            take(Arrived { path: parcel.path, congested: parcel.congested, packet }, parcel.link);
            let _ = inbox.empty.push(parcel); // there is room: as many boxes as places
            packets += 1;
        }
        packets
    }
}

impl Inbox {
    fn new(len: usize) -> Inbox {
        let (arrived, empty) = (ArrayQueue::new(len), ArrayQueue::new(len));
        while empty.push(Box::new(Parcel::EMPTY)).is_ok() {}
        Inbox { arrived, empty, sleeper: Sleeper::default() }
    }
}

impl Parcel {
    const EMPTY: Parcel = {
        let nowhere = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        Parcel {
            path: Path { local: nowhere, peer: nowhere },
            congested: false,
            link: None,
            len: 0,
            bytes: [0; DATAGRAM_MAX - ICRC_LEN],
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    const INBOX_LEN: usize = 20;

    fn arrived(packet: &[u8]) -> Arrived<'_> {
        let path = Path { local: "192.0.2.1:4791".parse().unwrap(), peer: "192.0.2.2:4791".parse().unwrap() };
        Arrived { path, congested: true, packet }
    }

    #[test]
    fn packets_come_out_at_their_queue_in_order_and_boxes_go_round() {
        let handover = Handover::new(3, INBOX_LEN);
        for round in 0..3 {
            for at in 0..INBOX_LEN {
                assert!(handover.put(2, arrived(&[round, at as u8, 7]), None));
            }
            assert!(!handover.put(2, arrived(&[0; 4]), None), "full");
            assert_eq!(handover.take(1, |_, _| panic!("not for this queue")), 0);
            let mut at = 0;
            let taken = handover.take(2, |parcel, _| {
                assert_eq!(parcel.packet, [round, at as u8, 7]);
                assert_eq!((parcel.path, parcel.congested), (arrived(&[]).path, true));
                at += 1;
            });
            assert_eq!((taken, at), (INBOX_LEN, INBOX_LEN));
        }
    }

    #[test]
    fn a_device_with_one_queue_has_no_inbox() {
        assert_eq!(Handover::new(1, INBOX_LEN).take(0, |_, _| panic!("nothing was put there")), 0);
    }
}
