//! Frames on their way out, and the neighbours that they go to.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;

use super::mbuf::{BURST, Burst, Mbuf, Pool};
use super::neighbour_table::{NeighbourTable, Place};
use super::ring::TransmitRing;
use crate::roce::packet_io::{NoRoom, PAYLOAD_MAX, Path, TRAFFIC_CLASS, datagram_len, write_frame};
use crate::roce::wire::{FrameHeaders, Headers, Mac, NEIGHBOUR_FRAME_MAX, Neighbour};

/// Packets of one queue that wait for an Ethernet address, at most; the oldest is lost if there are more.
const WAITING_MAX: usize = 16;

/// How often is asked for it, and how long a packet waits: as hosts do (RFC 4861, 10: RETRANS_TIMER, and three times).
const ASK_INTERVAL: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(3);

/// Buffers that a queue may hold outside of the rings: bursts that arrived and leave, those at hand, those that wait.
pub const BUFFERS_HELD: usize = 3 * BURST + WAITING_MAX;

const HOP_LIMIT: u8 = 64;

/// IPv4's identification: of no use where nothing is fragmented (RFC 6864), and known to the peer's ICRC.
const IP_ID: u16 = 0;

/// Where the packets of a port go out: shared by its queues.
#[derive(Debug)]
pub struct Outlet {
    place: Place,
    local: SocketAddr,
    pool: Pool,
    rings: Box<[Mutex<TransmitRing>]>,
    neighbours: Mutex<NeighbourTable>,
    /// Of `neighbours`; a queue looks here to see whether its copy is old.
    version: AtomicU64,
}

impl Outlet {
    pub fn new(place: Place, local: SocketAddr, pool: Pool, rings: Vec<TransmitRing>) -> Outlet {
        let rings = rings.into_iter().map(Mutex::new).collect();
        let neighbours = Mutex::new(NeighbourTable::new());
        Outlet { place, local, pool, rings, neighbours, version: AtomicU64::new(0) }
    }
}

/// The sending half of a queue.
#[derive(Debug)]
pub struct Sender {
    outlet: Arc<Outlet>,
    /// Index of the ring that it uses.
    ring: usize,
    /// Its copy of the neighbours.
    neighbours: NeighbourTable,
    /// Buffers at hand.
    empty: Burst,
    /// In the order of sending.
    outgoing: Burst,
    /// The oldest first.
    waiting: ArrayVec<Waiting, WAITING_MAX>,
    /// When was asked for those that wait.
    asked: Instant,
    /// Frames that the driver took.
    pub sent: u64,
    /// Packets that had nowhere to go.
    pub send_errors: u64,
}

/// A frame that lacks its destination.
#[derive(Debug)]
struct Waiting {
    next_hop: IpAddr,
    since: Instant,
    frame: Mbuf,
}

impl Sender {
    pub fn new(queue: usize, outlet: Arc<Outlet>) -> Sender {
        Sender {
            ring: queue % outlet.rings.len(),
            outlet,
            neighbours: NeighbourTable::new(),
            empty: Burst::new(),
            outgoing: Burst::new(),
            waiting: ArrayVec::new(),
            asked: Instant::now(),
            sent: 0,
            send_errors: 0,
        }
    }

    /// See [`crate::roce::packet_io::PacketIo::queue`]. `seen` is where packets of the peer came from, for the case that
    /// nobody told us yet.
    pub fn queue(
        &mut self,
        path: &Path,
        headers: &Headers,
        payload: &[u8],
        seen: impl FnOnce() -> Option<Mac>,
    ) -> Result<(), NoRoom> {
        assert!(payload.len() <= PAYLOAD_MAX, "{} bytes in one packet", payload.len());
        let next_hop = self.outlet.place.next_hop(path.peer.ip());
        let mac = next_hop.and_then(|next_hop| self.neighbours.find(next_hop)).or_else(seen);
        let mut frame = self.take_empty()?;
        self.write(&mut frame, mac.unwrap_or_default(), path.peer, headers, payload);
        match (mac, next_hop) {
            (Some(_), _) => self.outgoing.push(frame),
            (None, Some(next_hop)) => self.wait(next_hop, frame),
            (None, None) => self.send_errors += 1,
        }
        Ok(())
    }

    /// See [`crate::roce::packet_io::PacketIo::flush`]. If another queue is using the ring, this one's turn comes later.
    pub fn flush(&mut self) {
        if !self.outgoing.is_empty()
            && let Ok(mut ring) = self.outlet.rings[self.ring].try_lock()
        {
            self.sent += ring.send(&mut self.outgoing) as u64;
        }
    }

    /// An empty buffer, for a frame that has a place in `outgoing`.
    fn take_empty(&mut self) -> Result<Mbuf, NoRoom> {
        if self.outgoing.is_full() {
            self.flush();
        }
        if self.outgoing.is_full() {
            return Err(NoRoom);
        }
        if self.empty.is_empty() {
            self.outlet.pool.fill(&mut self.empty);
        }
        self.empty.pop().ok_or(NoRoom)
    }

    fn write(&self, frame: &mut Mbuf, mac: Mac, peer: SocketAddr, headers: &Headers, payload: &[u8]) {
        let Outlet { place, local, .. } = &*self.outlet;
        let frame_headers = FrameHeaders {
            source_mac: place.us.mac,
            destination_mac: mac,
            tag: None,
            source: *local,
            destination: peer,
            traffic_class: TRAFFIC_CLASS,
            ip_id: IP_ID,
            hop_limit: HOP_LIMIT,
        };
        let bytes = frame.append(frame_headers.len() + datagram_len(headers, payload));
        write_frame(&frame_headers, headers, payload, bytes);
    }

    /// Keeps a frame until its destination is known, and asks for it. Not a part of the data path: it happens to the
    /// first packets for a neighbour.
    #[cold]
    fn wait(&mut self, next_hop: IpAddr, frame: Mbuf) {
        if self.waiting.is_empty() {
            self.asked = Instant::now();
        }
        if self.waiting.iter().all(|waiting| waiting.next_hop != next_hop) {
            self.tell(&self.outlet.place.ask(next_hop));
        }
        if self.waiting.is_full() {
            self.waiting.remove(0);
            self.send_errors += 1;
        }
        self.waiting.push(Waiting { next_hop, since: Instant::now(), frame });
    }

    /// Asks again for those that wait, and gives up on those that waited for too long.
    #[cold]
    fn ask_again(&mut self) {
        let now = Instant::now();
        if now - self.asked < ASK_INTERVAL {
            return;
        }
        self.asked = now;
        let before = self.waiting.len();
        self.waiting.retain(|waiting| now - waiting.since < WAIT_MAX);
        self.send_errors += (before - self.waiting.len()) as u64;
        let hops: ArrayVec<IpAddr, WAITING_MAX> = self.waiting.iter().map(|waiting| waiting.next_hop).collect();
        for (at, hop) in hops.iter().enumerate() {
            if !hops[..at].contains(hop) {
                self.tell(&self.outlet.place.ask(*hop));
            }
        }
    }

    /// Learns from a message about neighbours, and answers it if it asks for us.
    #[cold]
    pub fn hear(&mut self, message: &Neighbour) {
        let Outlet { place, neighbours, version, .. } = &*self.outlet;
        if let Some((station, add)) = place.lesson(message)
            && self.neighbours.find(station.ip) != Some(station.mac)
            && let Ok(mut neighbours) = neighbours.try_lock() // else it was said in vain: it will be asked for
            && neighbours.learn(station, add)
        {
            // Under the lock, as whoever copies reads it. Release is the lock's.
            version.store(neighbours.version(), Ordering::Relaxed);
        }
        if let Neighbour::Solicitation { target, .. } = *message
            && target == place.us.ip
            && let Some(answer) = message.answer(place.us.mac)
        {
            self.tell(&answer);
        }
    }

    /// Brings the copy of the neighbours up to date, sends what waited for that, and asks for what still waits.
    #[inline]
    pub fn follow_neighbours(&mut self) {
        if self.outlet.version.load(Ordering::Relaxed) != self.neighbours.version() {
            self.copy_neighbours();
        }
        if !self.waiting.is_empty() {
            self.ask_again();
        }
    }

    #[cold]
    fn copy_neighbours(&mut self) {
        let Ok(neighbours) = self.outlet.neighbours.try_lock() else { return };
        self.neighbours.copy_from(&neighbours);
        drop(neighbours);
        let mut waiting = std::mem::take(&mut self.waiting);
        for mut packet in waiting.drain(..) {
            match self.neighbours.find(packet.next_hop) {
                Some(mac) => {
                    if let Some(destination) = packet.frame.first_bytes_mut() {
                        *destination = mac.0;
                    }
                    self.send_or_lose(packet.frame);
                }
                None => self.waiting.push(packet),
            }
        }
    }

    /// Sends a message about neighbours, if there is room.
    fn tell(&mut self, message: &Neighbour) {
        if let Ok(mut frame) = self.take_empty() {
            let mut bytes = [0; NEIGHBOUR_FRAME_MAX];
            let len = message.emit(&mut bytes);
            frame.append(len).copy_from_slice(&bytes[..len]);
            self.outgoing.push(frame);
        }
    }

    fn send_or_lose(&mut self, frame: Mbuf) {
        if self.outgoing.is_full() {
            self.flush();
        }
        if self.outgoing.try_push(frame).is_err() {
            self.send_errors += 1;
        }
    }
}
