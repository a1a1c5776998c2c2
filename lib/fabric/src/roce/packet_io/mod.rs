//! Packets in and out, behind one seam: polled, in batches.
//!
//! A [`PacketIo`] belongs to one thread. One of them, the first of its device, takes the datagrams of the connection
//! manager; each reactor has one for its queue pairs. Which packet goes where is decided by the queue pair number
//! ([`queue_of`]): the low byte of a number that we give out is the index of the packet I/O that its packets reach.
//!
//! The ICRC is this layer's: it is checked before a packet is handed over (a packet that fails is counted and dropped),
//! and added to what is sent, because it covers IP and UDP headers that only this layer knows.
//!
//! | file | |
//! |---|---|
//! | `udp.rs`, `udp/` | ordinary UDP sockets: no privilege, any interface |
//! | `xdp.rs`, `xdp/` | AF_XDP sockets: frames past the kernel's network stack, for who may load a program into it |
//! | `dpdk/` | ports that DPDK drives, with the feature `dpdk` |
//! | `inbound.rs` | what happens to each datagram that came in |
//! | `handover.rs` | packets that came in at another queue than their own |
//! | `neighbours.rs` | Ethernet addresses of peers, learned from their packets |
//! | `interfaces.rs` | local addresses, and the path MTU that an interface allows |

#[cfg(feature = "dpdk")]
pub mod dpdk;
mod handover;
mod inbound;
mod interface_mtu;
mod interfaces;
#[cfg(test)]
mod namespaces;
mod neighbours;
#[cfg(test)]
mod testing;
mod udp;
mod xdp;

use std::io;
use std::net::{IpAddr, SocketAddr};

use reactor::{WakeSources, Waker};

pub use interfaces::{Interface, interfaces, path_mtu_max};

use super::statistics::counters;
use super::wire::{BTH_LEN, Flow, FrameHeaders, GSI_QP, Headers, ICRC_LEN};

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

counters! {
    /// What a packet I/O counted.
    pub struct PacketCounters {
        /// Packets handed over to the caller.
        received,
        /// Packets dropped because their ICRC was wrong.
        icrc_errors,
        /// Packets that were for another queue, and were handed over to it.
        handed_over,
        /// Packets that were for another queue, and were dropped because it had no room for them.
        handover_drops,
        /// Datagrams dropped because they were too short or too long to be a packet.
        malformed,
        /// Packets given to the kernel or the driver.
        sent,
        /// Packets that the kernel or the driver refused for another reason than lack of room; they count as lost.
        send_errors,
    }
}

/// Opens a device at a local address: a packet I/O for the connection manager, and one each for `queues - 1` reactors.
/// `scope` is the index of the interface for link-local IPv6 addresses, otherwise 0.
///
/// # Errors
/// `AddrInUse`: another process has the port, or the kernel's own soft-RoCE. `InvalidInput`: it is no address of one
/// host, or `queues` is not 1 to [`QUEUES_MAX`]. Otherwise what the kernel says, with the address.
pub fn open(address: IpAddr, scope: u32, queues: usize) -> io::Result<Vec<PacketIo>> {
    Ok(udp::open(address, scope, queues, udp::INBOX_LEN)?.into_iter().map(PacketIo::Udp).collect())
}

/// As [`open`], but past the kernel's network stack (AF_XDP). Needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF, Linux 6.6, and
/// an interface whose driver can run a program and has none yet. Drivers may reset the link for it.
///
/// Says how frames pass, in words, besides.
///
/// # Errors
/// As [`open`], and what the kernel says to the program or the sockets.
pub fn open_xdp(address: IpAddr, scope: u32, queues: usize) -> io::Result<(Vec<PacketIo>, String)> {
    xdp::open(address, scope, queues)
}

/// Opens a device the fastest way that works, and says in words which that is, and why not a faster one.
///
/// # Errors
/// As [`open`].
pub fn open_best(address: IpAddr, scope: u32, queues: usize) -> io::Result<(Vec<PacketIo>, String)> {
    let refused = match xdp::is_worthwhile(address, scope) {
        Ok(()) => match xdp::open(address, scope, queues) {
            Ok(opened) => return Ok(opened),
            Err(error) => error.to_string(),
        },
        Err(why) => why,
    };
    Ok((open(address, scope, queues)?, format!("UDP sockets; AF_XDP is not used: {refused}")))
}

/// Which way packets take.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Way {
    /// The fastest that works.
    #[default]
    Best,
    /// Ordinary UDP sockets.
    Udp,
    /// AF_XDP sockets.
    Xdp,
}

impl Way {
    /// Opens a device this way, and says in words how its packets pass. There is but one way to a port of DPDK's.
    ///
    /// # Errors
    /// As [`open`], [`open_xdp`] and [`open_best`].
    pub fn open(self, address: IpAddr, scope: u32, queues: usize) -> io::Result<(Vec<PacketIo>, String)> {
        #[cfg(feature = "dpdk")]
        if let Some(opened) = dpdk::open(address, queues) {
            return Ok((opened?, "DPDK".into()));
        }
        match self {
            Way::Best => open_best(address, scope, queues),
            Way::Udp => Ok((open(address, scope, queues)?, "UDP sockets".into())),
            Way::Xdp => open_xdp(address, scope, queues),
        }
    }
}

/// One queue of one device.
#[derive(Debug)]
pub enum PacketIo {
    /// An ordinary UDP socket.
    Udp(udp::UdpQueue),
    /// AF_XDP sockets, and an ordinary one beside them.
    Xdp(xdp::XdpQueue),
    /// A port that DPDK drives.
    #[cfg(feature = "dpdk")]
    Dpdk(Box<dpdk::DpdkQueue>),
}

impl PacketIo {
    /// Hands over what arrived, at most one batch; returns how many packets that was.
    pub fn receive(&mut self, take: &mut dyn FnMut(Arrived<'_>)) -> usize {
        match self {
            PacketIo::Udp(queue) => queue.receive(take),
            PacketIo::Xdp(queue) => queue.receive(take),
            #[cfg(feature = "dpdk")]
            PacketIo::Dpdk(queue) => queue.receive(take),
        }
    }

    /// Queues one packet, with padding and ICRC added; `headers.pad` is set here. It leaves with the next
    /// [`PacketIo::flush`], or before.
    ///
    /// # Errors
    /// [`NoRoom`].
    ///
    /// # Panics
    /// If the payload is longer than [`PAYLOAD_MAX`], or the headers are not what the opcode needs: our own bugs.
    pub fn queue(&mut self, path: &Path, headers: &Headers, payload: &[u8]) -> Result<(), NoRoom> {
        match self {
            PacketIo::Udp(queue) => queue.queue(path, headers, payload),
            PacketIo::Xdp(queue) => queue.queue(path, headers, payload),
            #[cfg(feature = "dpdk")]
            PacketIo::Dpdk(queue) => queue.queue(path, headers, payload),
        }
    }

    /// Hands what is queued to the kernel or the driver.
    pub fn flush(&mut self) {
        match self {
            PacketIo::Udp(queue) => queue.flush(),
            PacketIo::Xdp(queue) => queue.flush(),
            #[cfg(feature = "dpdk")]
            PacketIo::Dpdk(queue) => queue.flush(),
        }
    }

    /// The reactor of this queue is going to sleep: packets that others hand over wake it from now on.
    pub fn arm(&self, waker: &Waker) {
        match self {
            PacketIo::Udp(queue) => queue.inbound.arm(waker),
            PacketIo::Xdp(queue) => queue.arm(waker),
            #[cfg(feature = "dpdk")]
            PacketIo::Dpdk(_) => {}
        }
    }

    /// What tells of packets.
    pub fn wake_sources<'a>(&'a self, sources: &mut WakeSources<'a>) {
        match self {
            PacketIo::Udp(queue) => queue.wake_sources(sources),
            PacketIo::Xdp(queue) => queue.wake_sources(sources),
            #[cfg(feature = "dpdk")]
            PacketIo::Dpdk(_) => sources.look_often(),
        }
    }

    /// How many packets of `payload` bytes can arrive between two polls before some are lost: what may be asked for by
    /// RDMA READs at once, over all queue pairs.
    pub fn receive_room(&self, payload: usize) -> u32 {
        match self {
            PacketIo::Udp(queue) => queue.receive_room(payload),
            PacketIo::Xdp(queue) => queue.receive_room(payload),
            #[cfg(feature = "dpdk")]
            PacketIo::Dpdk(queue) => queue.receive_room(),
        }
    }

    /// What it counted.
    pub fn counters(&self) -> PacketCounters {
        match self {
            PacketIo::Udp(queue) => queue.counters(),
            PacketIo::Xdp(queue) => queue.counters(),
            #[cfg(feature = "dpdk")]
            PacketIo::Dpdk(queue) => queue.counters(),
        }
    }
}

/// Differentiated services code point of what we send: 26, what RoCE's lossless traffic class is by custom.
const DSCP: u8 = 26;

/// ECN field of what we send: ECT(0), so that switches mark packets instead of dropping them.
const ECT_0: u8 = 0b10;

/// IPv4's type of service and IPv6's traffic class of what we send.
const TRAFFIC_CLASS: u8 = DSCP << 2 | ECT_0;

/// Shortest datagram that is a packet: a base transport header and the ICRC.
const DATAGRAM_MIN: usize = BTH_LEN + ICRC_LEN;
/// Longest: every header that a packet can have (atomics' is the longest), the payload and the ICRC.
const DATAGRAM_MAX: usize = BTH_LEN + 28 + 4 + PAYLOAD_MAX + ICRC_LEN;

/// Length in bytes of the datagram that [`emit_packet`] makes room for, ICRC included.
fn datagram_len(headers: &Headers, payload: &[u8]) -> usize {
    headers.len() + payload.len().next_multiple_of(4) + ICRC_LEN
}

/// Writes headers, payload and padding; what is left of `out`, the ICRC, is for the caller to write.
fn emit_packet(headers: &Headers, payload: &[u8], out: &mut [u8]) -> usize {
    let pad = payload.len().next_multiple_of(4) - payload.len();
    let at = Headers { pad: pad as u8, ..*headers }.emit(out);
    let end = at + payload.len();
    out[at..end].copy_from_slice(payload);
    out[end..end + pad].fill(0);
    end + pad
}

/// Writes the ICRC at the end of a datagram.
fn write_icrc(flow: &Flow, ip_id: u16, datagram: &mut [u8]) {
    let (packet, icrc) = datagram.split_at_mut(datagram.len() - ICRC_LEN);
    icrc.copy_from_slice(&flow.icrc(ip_id, packet).to_le_bytes());
}

/// Writes a whole frame and returns its length.
fn write_frame(below: &FrameHeaders, headers: &Headers, payload: &[u8], frame: &mut [u8]) -> usize {
    let datagram_at = below.emit(datagram_len(headers, payload), frame);
    let end = datagram_at + emit_packet(headers, payload, &mut frame[datagram_at..]) + ICRC_LEN;
    write_icrc(&Flow::new(below.source, below.destination), below.ip_id, &mut frame[datagram_at..end]);
    end
}
