//! Packets in and out, behind one seam: polled, in batches.
//!
//! A [`PacketIo`] belongs to one thread. One of them, the first of its device, takes the datagrams of the connection
//! manager; each reactor has one for its queue pairs. Which packet goes where is decided by the queue pair number
//! ([`queue_of`]): the low byte of a number that we give out is the index of the packet I/O that its packets reach.
//!
//! The ICRC is this layer's: it is checked before a packet is handed over (a packet that fails is counted and dropped),
//! and added to what is sent, because it covers IP and UDP headers that only this layer knows.

use std::net::{IpAddr, SocketAddr};

use super::wire::{GSI_QP, Headers};

/// Most queues of one device: the connection manager's and one per reactor.
pub const QUEUES_MAX: usize = 256;

/// Longest payload that is sent in one packet, in bytes (the largest path MTU).
pub const PAYLOAD_MAX: usize = 4096;

/// Which of a device's queues gets packets for this queue pair.
pub const fn queue_of(dest_qp: u32) -> usize {
    if dest_qp == GSI_QP { 0 } else { (dest_qp & 0xff) as usize }
}

/// The two ends of a flow. Both ports are [`super::wire::UDP_PORT`]: a peer may send from any port, but listens there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Path {
    /// Our address.
    pub local: SocketAddr,
    /// The peer's.
    pub peer: SocketAddr,
}

/// A packet whose ICRC was right.
#[derive(Clone, Copy, Debug)]
pub struct Arrived<'a> {
    /// Where it came in, and where from.
    pub path: Path,
    /// IP said that it met congestion (ECN: CE).
    pub congested: bool,
    /// From the base transport header to the end of the padding: UDP's payload without the ICRC.
    pub packet: &'a [u8],
}

/// There is no room to send now; the packet was not taken. Try again after a [`PacketIo::flush`] or in the next round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoRoom;

/// What a packet I/O counted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PacketCounters {
    /// Packets handed over.
    pub received: u64,
    /// Packets dropped because their ICRC was wrong.
    pub icrc_errors: u64,
    /// Datagrams dropped because they were too short or too long to be a packet.
    pub malformed: u64,
    /// Packets given to the kernel or the driver.
    pub sent: u64,
    /// Packets that the kernel or the driver refused for another reason than lack of room; they count as lost.
    pub send_errors: u64,
}

/// One queue of one device.
#[derive(Debug)]
pub enum PacketIo {}

impl PacketIo {
    /// Hands over what arrived, at most one batch; returns how many packets that was.
    pub fn receive(&mut self, take: &mut dyn FnMut(Arrived<'_>)) -> usize {
        let _ = take;
        match *self {}
    }

    /// Queues one packet, with padding and ICRC added; `headers.pad` is set here. It leaves with the next
    /// [`PacketIo::flush`], or before.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub fn queue(&mut self, path: &Path, headers: &Headers, payload: &[u8]) -> Result<(), NoRoom> {
        let _ = (path, headers, payload);
        match *self {}
    }

    /// Hands what is queued to the kernel or the driver.
    pub fn flush(&mut self) {
        match *self {}
    }

    /// How many packets of `payload` bytes can arrive between two polls before some are lost: what may be asked for by
    /// RDMA READs at once, over all queue pairs.
    pub fn receive_room(&self, payload: usize) -> u32 {
        let _ = payload;
        match *self {}
    }

    /// What it counted.
    pub fn counters(&self) -> PacketCounters {
        match *self {}
    }
}

/// The local address of a device, and what the interface below it allows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    /// Its name, as `ip link` shows it.
    pub name: String,
    /// The address.
    pub address: IpAddr,
    /// Largest IP packet in bytes.
    pub mtu: u32,
}
