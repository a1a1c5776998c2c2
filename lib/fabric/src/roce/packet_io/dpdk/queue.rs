//! The data path of one thread: a share in the rings of its port.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use super::mbuf::{self, Burst, Mbuf};
use super::neighbour_table::Place;
use super::port::Started;
use super::ring::ReceiveRing;
use super::sender::{Outlet, Sender};
use crate::roce::packet_io::handover::Handover;
use crate::roce::packet_io::inbound::{Datagram, Inbound};
use crate::roce::packet_io::neighbours::Link;
use crate::roce::packet_io::{Arrived, NoRoom, PacketCounters, Path};
use crate::roce::wire::{FrameHeaders, Headers, Neighbour, UDP_PORT};

/// The low two bits of the traffic class: congestion experienced (RFC 3168).
const CONGESTED: u8 = 0b11;

/// VLAN of an 802.1Q tag; 0 is none, a tag that has but a priority.
const VLAN: u16 = 0xfff;

/// Packets in the inbox of one queue. Most come in at another one, so there is room for as many as the ring can hold.
const INBOX_LEN: usize = 1024;

/// The queues of a port that was started.
pub fn queues(place: Place, started: Started, queues: usize) -> impl Iterator<Item = DpdkQueue> {
    let local = SocketAddr::new(place.us.ip, UDP_PORT);
    let entrance = Arc::new(Entrance {
        ring: Mutex::new(started.receive),
        descriptors: started.receive_descriptors,
        handover: Handover::new(queues, INBOX_LEN).into(),
    });
    let outlet = Arc::new(Outlet::new(place, local, started.pool, started.transmit));
    (0..queues).map(move |index| DpdkQueue {
        local,
        inbound: Inbound::new(index, local, Arc::clone(&entrance.handover)),
        entrance: Arc::clone(&entrance),
        arrived: Burst::new(),
        sender: Sender::new(index, Arc::clone(&outlet)),
    })
}

/// Where the packets of a port come in.
#[derive(Debug)]
struct Entrance {
    ring: Mutex<ReceiveRing>,
    /// Packets that the ring can hold.
    descriptors: u16,
    handover: Arc<Handover>,
}

/// One queue of a port.
#[derive(Debug)]
pub struct DpdkQueue {
    local: SocketAddr,
    entrance: Arc<Entrance>,
    inbound: Inbound,
    /// Empty between two calls.
    arrived: Burst,
    sender: Sender,
}

impl DpdkQueue {
    /// See [`crate::roce::packet_io::PacketIo::receive`].
    pub fn receive(&mut self, take: &mut dyn FnMut(Arrived<'_>)) -> usize {
        let DpdkQueue { local, entrance, inbound, arrived, sender } = self;
        let Ok(mut ring) = entrance.ring.try_lock() else {
            return inbound.take_from_others(take); // another thread is at it, for all
        };
        // What others left for us came earlier than what is in the ring now.
        let mut packets = inbound.take_from_others(take);
        ring.receive(arrived);
        for frame in arrived.iter().filter_map(Mbuf::frame) {
            match FrameHeaders::parse(frame) {
                Ok((headers, bytes)) if is_for(&headers, *local) => {
                    packets += usize::from(inbound.take(datagram(&headers, bytes), take));
                }
                Ok(_) => {}
                Err(_) => {
                    if let Ok(message) = Neighbour::parse(frame) {
                        sender.hear(&message);
                    }
                }
            }
        }
        drop(ring); // whoever takes it next finds what was left for him
        mbuf::free(arrived);
        sender.follow_neighbours();
        packets
    }

    /// See [`crate::roce::packet_io::PacketIo::queue`].
    pub fn queue(&mut self, path: &Path, headers: &Headers, payload: &[u8]) -> Result<(), NoRoom> {
        let DpdkQueue { sender, inbound, .. } = self;
        let seen = || inbound.neighbours.find(path.peer.ip()).map(|link| link.peer);
        sender.queue(path, headers, payload, seen)
    }

    /// See [`crate::roce::packet_io::PacketIo::flush`].
    pub fn flush(&mut self) {
        self.sender.flush();
    }

    /// See [`crate::roce::packet_io::PacketIo::receive_room`]. Every frame takes one descriptor, however long it is.
    pub fn receive_room(&self) -> u32 {
        u32::from(self.entrance.descriptors).min(INBOX_LEN as u32) / 2 // half: others send to us, too
    }

    /// See [`crate::roce::packet_io::PacketIo::counters`].
    pub fn counters(&self) -> PacketCounters {
        PacketCounters { sent: self.sender.sent, send_errors: self.sender.send_errors, ..self.inbound.counters }
    }
}

fn is_for(headers: &FrameHeaders, local: SocketAddr) -> bool {
    let is_ours = headers.destination.ip() == local.ip() && headers.destination.port() == local.port();
    is_ours && headers.tag.is_none_or(|tag| tag & VLAN == 0)
}

fn datagram<'a>(headers: &FrameHeaders, bytes: &'a [u8]) -> Datagram<'a> {
    Datagram {
        source: headers.source,
        ip_id: Some(headers.ip_id),
        link: Some(Link { local: headers.destination_mac, peer: headers.source_mac }),
        congested: headers.traffic_class & CONGESTED == CONGESTED,
        bytes,
    }
}
