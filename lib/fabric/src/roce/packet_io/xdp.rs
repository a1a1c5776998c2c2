//! Packets past the kernel's network stack: a program at the network interface gives them to AF_XDP sockets.
//!
//! | file | |
//! |---|---|
//! | `xdp/program.rs` | which frames are taken from the kernel |
//! | `xdp/bpf.rs` | brings that program into the kernel |
//! | `xdp/socket.rs` | one AF_XDP socket: rings and memory shared with the kernel |
//!
//! # Who gets what
//! Every receive queue of the interface has a socket, and each socket belongs to one reactor. The NIC spreads flows over
//! its queues without a look at queue pairs, so a packet may come in at another reactor than its own, and is handed over
//! (`handover.rs`); with fewer queues than reactors, some reactors get everything that way.
//!
//! Everything that is not taken, the connection manager's packets among it, comes through the UDP sockets. They stay
//! bound, lest the kernel answers peers that nobody listens; a reactor looks at its own one only now and then.
//!
//! The program runs in the driver or not at all: behind the driver (generic XDP) it would see what the kernel has merged by
//! then, one frame for several packets, which cannot be told apart there.
//!
//! # How packets leave
//! With zero copy through the AF_XDP socket, to the Ethernet address that the peer's packets came from. Until that is
//! known, and always without zero copy, through the UDP socket: a burst that the kernel cuts costs less than the copies
//! of single frames.

mod bpf;
mod program;
mod socket;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path as FilePath;
use std::sync::Arc;
use std::{fs, io};

use reactor::{WakeSources, Waker};

use self::socket::XdpSocket;
use super::inbound::Datagram;
use super::neighbours::Link;
use super::udp::{self, UdpQueue};
use super::{Arrived, Interface, NoRoom, PAYLOAD_MAX, PacketCounters, PacketIo, Path, TRAFFIC_CLASS};
use super::{interfaces, write_frame};
use crate::roce::wire::{FRAME_HEADERS_MAX, FrameHeaders, HEADER_MAX, Headers, ICRC_LEN};

/// A reactor looks at its UDP socket in every so many polls: a system call, which finds something only where frames come
/// in some other way than through the sockets (tagged, with IP options, from this host).
const POLLS_PER_LOOK_AT_UDP: u32 = 32;

/// Packets that can come in at other reactors between two polls, and be handed over.
const INBOX_LEN: usize = 1024;

/// Time to live of what we send (RFC 1700's recommendation, and the kernel's default).
const HOP_LIMIT: u8 = 64;

/// Whether it is of use for a local address; if not, why.
pub fn is_worthwhile(address: IpAddr, scope: u32) -> Result<(), String> {
    let interface = interface_of(address, scope).map_err(|error| error.to_string())?;
    // Between virtual interfaces of one host, bursts pass whole, which is faster; a program would have them cut.
    if !FilePath::new(&format!("/sys/class/net/{}/device", interface.name)).exists() {
        return Err(format!("{} is a virtual interface, where it would be slower", interface.name));
    }
    Ok(())
}

/// See [`super::open_xdp`].
pub fn open(address: IpAddr, scope: u32, queues: usize) -> io::Result<(Vec<PacketIo>, String)> {
    let interface = interface_of(address, scope)?;
    let attachment = Arc::new(Attachment::new(&interface)?);
    let mut opened = udp::open(address, scope, queues, INBOX_LEN)?.into_iter();
    let connection_manager = opened.next().map(PacketIo::Udp);
    let mut reactors: Vec<XdpQueue> = opened.map(|udp| XdpQueue::new(udp, attachment.clone())).collect();
    if reactors.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is no queue but the connection manager's"));
    }
    let mut zero_copy = true;
    for queue in 0..attachment.receive_queues {
        let socket = XdpSocket::bind(interface.index, queue)
            .map_err(|error| with_context(error, format!("receive queue {queue} of {}", interface.name)))?;
        bpf::put_socket(attachment.sockets.as_fd(), queue, socket.as_fd())?;
        zero_copy &= socket.is_zero_copy();
        let at = queue as usize % reactors.len();
        reactors[at].add(socket);
    }
    let how = format!(
        "AF_XDP on {} receive queues of {}, {}",
        attachment.receive_queues,
        interface.name,
        if zero_copy { "zero copy" } else { "with copies, as the driver has no zero copy" },
    );
    Ok((connection_manager.into_iter().chain(reactors.into_iter().map(PacketIo::Xdp)).collect(), how))
}

fn interface_of(address: IpAddr, scope: u32) -> io::Result<Interface> {
    let of_scope = |interface: &Interface| scope == 0 || interface.index == scope;
    let found = interfaces()?.into_iter().find(|interface| interface.address == address && of_scope(interface));
    found.ok_or_else(|| {
        io::Error::new(io::ErrorKind::AddrNotAvailable, format!("no interface that is up has the address {address}"))
    })
}

fn with_context(error: io::Error, context: String) -> io::Error {
    io::Error::new(error.kind(), format!("{context}: {error}"))
}

/// What is attached to an interface for as long as this lives.
#[derive(Debug)]
struct Attachment {
    sockets: OwnedFd,
    receive_queues: u32,
    _link: OwnedFd,
}

impl Attachment {
    fn new(interface: &Interface) -> io::Result<Attachment> {
        let receive_queues = receive_queues(&interface.name)?;
        let sockets = bpf::socket_map(receive_queues)?;
        let program = bpf::load(&program::program(interface.address, sockets.as_fd()))?;
        let link = bpf::attach(program.as_fd(), interface.index)
            .map_err(|error| with_context(error, format!("attaching a program to the driver of {}", interface.name)))?;
        Ok(Attachment { sockets, receive_queues, _link: link })
    }
}

fn receive_queues(interface: &str) -> io::Result<u32> {
    let queues = fs::read_dir(format!("/sys/class/net/{interface}/queues"))?;
    let receiving = queues.flatten().filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"rx-"));
    Ok(receiving.count() as u32)
}

/// The queue of one reactor.
#[derive(Debug)]
pub struct XdpQueue {
    udp: UdpQueue,
    local: SocketAddr,
    sockets: Vec<XdpSocket>,
    /// Packets leave through the first socket.
    transmits: bool,
    polls: u32,
    sent: u64,
    _attachment: Arc<Attachment>,
}

impl XdpQueue {
    fn new(udp: UdpQueue, attachment: Arc<Attachment>) -> XdpQueue {
        let local = udp.local();
        XdpQueue { udp, local, sockets: Vec::new(), transmits: false, polls: 0, sent: 0, _attachment: attachment }
    }

    fn add(&mut self, socket: XdpSocket) {
        if self.sockets.is_empty() {
            self.transmits = socket.is_zero_copy();
        }
        self.sockets.push(socket);
    }

    /// See [`PacketIo::receive`].
    pub fn receive(&mut self, take: &mut dyn FnMut(Arrived<'_>)) -> usize {
        let inbound = &mut self.udp.inbound;
        let mut packets = inbound.take_from_others(take);
        for socket in &mut self.sockets {
            socket.receive(|frame| match FrameHeaders::parse(frame) {
                Ok((headers, bytes)) => {
                    packets += usize::from(inbound.take(datagram(&headers, self.local, bytes), take))
                }
                Err(_) => inbound.counters.malformed += 1,
            });
        }
        self.polls = self.polls.wrapping_add(1);
        if self.polls.is_multiple_of(POLLS_PER_LOOK_AT_UDP) {
            packets += self.udp.receive(take);
        }
        packets
    }

    /// See [`PacketIo::arm`].
    pub fn arm(&self, waker: &Waker) {
        self.udp.inbound.arm(waker);
    }

    /// See [`PacketIo::wake_sources`].
    pub fn wake_sources<'a>(&'a self, sources: &mut WakeSources<'a>) {
        self.udp.wake_sources(sources);
        self.sockets.iter().for_each(|socket| sources.file(socket));
    }

    /// See [`PacketIo::queue`].
    pub fn queue(&mut self, path: &Path, headers: &Headers, payload: &[u8]) -> Result<(), NoRoom> {
        assert!(payload.len() <= PAYLOAD_MAX, "{} bytes in one packet", payload.len());
        let link = self.udp.inbound.neighbours.find(path.peer.ip()).filter(|_| self.transmits);
        let (Some(link), Some(socket)) = (link, self.sockets.first_mut()) else {
            return self.udp.queue(path, headers, payload);
        };
        let below = FrameHeaders {
            source_mac: link.local,
            destination_mac: link.peer,
            tag: None,
            source: self.local,
            destination: path.peer,
            traffic_class: TRAFFIC_CLASS,
            ip_id: 0,
            hop_limit: HOP_LIMIT,
        };
        let write = |frame: &mut [u8]| write_frame(&below, headers, payload, frame);
        socket.send(write).or_else(|NoRoom| {
            socket.flush();
            socket.send(write)
        })?;
        self.sent += 1;
        Ok(())
    }

    /// See [`PacketIo::flush`].
    pub fn flush(&mut self) {
        self.udp.flush();
        if let (true, Some(socket)) = (self.transmits, self.sockets.first_mut()) {
            socket.flush();
        }
    }

    /// See [`PacketIo::receive_room`]: all packets may come in at one socket, and at another reactor's.
    pub fn receive_room(&self, payload: usize) -> u32 {
        let in_socket = XdpSocket::receive_room(FRAME_HEADERS_MAX + HEADER_MAX + ICRC_LEN + payload);
        (in_socket.min(INBOX_LEN) / 2) as u32 // half: others' packets come as well
    }

    /// See [`PacketIo::counters`].
    pub fn counters(&self) -> PacketCounters {
        let counters = self.udp.counters();
        PacketCounters { sent: counters.sent + self.sent, ..counters }
    }
}

fn datagram<'a>(headers: &FrameHeaders, local: SocketAddr, bytes: &'a [u8]) -> Datagram<'a> {
    let mut source = headers.source;
    if let (SocketAddr::V6(source), SocketAddr::V6(local)) = (&mut source, local) {
        source.set_scope_id(local.scope_id()); // of link-local addresses; 0 for all others
    }
    Datagram {
        source,
        ip_id: Some(headers.ip_id),
        link: Some(Link { local: headers.destination_mac, peer: headers.source_mac }),
        congested: headers.traffic_class & 0b11 == 0b11,
        bytes,
    }
}
