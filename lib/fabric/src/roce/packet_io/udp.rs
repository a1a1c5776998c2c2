//! Packets through ordinary UDP sockets: no privilege is needed, and any interface will do.
//!
//! | file | |
//! |---|---|
//! | `udp/sockets.rs` | the sockets of a device, and the program that steers packets among them |
//! | `udp/bursts.rs` | packets on their way out, made for segmentation offload (UDP_SEGMENT) |
//! | `udp/options.rs` | socket options that need unsafe code |
//!
//! # What a socket does not show
//! Received packets come without their IP header, so IPv4's identification, which the ICRC covers, is unknown there: see
//! `wire/icrc.rs` for what can be checked all the same. When sending, the kernel sets the identification, in a way that
//! can be told beforehand only for a socket that is not connected and does not fragment: see `bursts.rs`.

mod bursts;
mod options;
mod sockets;
#[cfg(test)]
mod tests;

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arrayvec::ArrayVec;
use quinn_udp::{BATCH_SIZE, EcnCodepoint, RecvMeta, UdpSocketState};
use reactor::WakeSources;
use socket2::{MsgHdr, SockAddr, Socket};

use self::bursts::{Bursts, Outgoing};
use super::handover::Handover;
use super::inbound::{Datagram, Inbound};
use super::{Arrived, NoRoom, PAYLOAD_MAX, PacketCounters, Path};
use crate::roce::wire::Headers;

/// Bytes per received message: 64 KiB, as the kernel may merge packets of one flow into one buffer (UDP_GRO), and a
/// little more, lest the beginnings of all messages compete for the same few places of the processor's cache.
const MESSAGE_LEN: usize = (64 << 10) + 4096 + 192;

/// Packets that one queue can hand to another between two polls, where the kernel brings nearly all to their own: four
/// merged datagrams.
pub const INBOX_LEN: usize = 256;

/// Opens the queues of a device.
pub fn open(address: IpAddr, scope: u32, queues: usize, inbox_len: usize) -> io::Result<Vec<UdpQueue>> {
    let local = sockets::local_address(address, scope)?;
    let sockets = sockets::bind(local, queues)?;
    let handover = Arc::new(Handover::new(queues, inbox_len));
    let inbounds = (0..queues).map(|index| Inbound::new(index, local, handover.clone()));
    sockets.into_iter().zip(inbounds).map(|(socket, inbound)| UdpQueue::new(local, socket, inbound)).collect()
}

/// One queue: one socket.
#[derive(Debug)]
pub struct UdpQueue {
    local: SocketAddr,
    socket: Socket,
    receiver: UdpSocketState,
    /// Bytes that the kernel holds for us, by its own way of counting.
    receive_buffer: usize,
    /// [`BATCH_SIZE`] messages of [`MESSAGE_LEN`].
    messages: Box<[u8]>,
    /// The receiving half, for packets from the socket and from elsewhere.
    pub(super) inbound: Inbound,
    bursts: Bursts,
    sent: u64,
    send_errors: u64,
}

impl UdpQueue {
    fn new(local: SocketAddr, socket: Socket, inbound: Inbound) -> io::Result<UdpQueue> {
        // Makes the socket non-blocking, forbids fragmentation, and switches UDP_GRO and the report of ECN on.
        let receiver = UdpSocketState::new((&socket).into())?;
        options::no_timestamps(&socket)?;
        Ok(UdpQueue {
            local,
            receive_buffer: socket.recv_buffer_size()?,
            bursts: Bursts::new(local, receiver.max_gso_segments() > 1),
            socket,
            receiver,
            messages: vec![0; BATCH_SIZE * MESSAGE_LEN].into(),
            inbound,
            sent: 0,
            send_errors: 0,
        })
    }

    /// Where it is bound.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// See [`super::PacketIo::receive`].
    pub fn receive(&mut self, take: &mut dyn FnMut(Arrived<'_>)) -> usize {
        let mut packets = self.inbound.take_from_others(take);
        let mut meta = [RecvMeta::default(); BATCH_SIZE];
        let messages = {
            let buffers = self.messages.chunks_exact_mut(MESSAGE_LEN).map(IoSliceMut::new);
            let mut buffers: ArrayVec<_, BATCH_SIZE> = buffers.collect();
            // An error says that nothing is there; any other comes again or goes away.
            self.receiver.recv((&self.socket).into(), &mut buffers, &mut meta).unwrap_or(0)
        };
        for (message, meta) in self.messages.chunks_exact(MESSAGE_LEN).zip(&meta[..messages]) {
            let congested = meta.ecn == Some(EcnCodepoint::Ce);
            let mut datagram = |bytes| {
                let datagram = Datagram { source: meta.addr, ip_id: None, link: None, congested, bytes };
                packets += usize::from(self.inbound.take(datagram, take));
            };
            match &message[..meta.len.min(MESSAGE_LEN)] {
                [] => datagram(&[]),
                merged => merged.chunks(meta.stride.max(1)).for_each(datagram),
            }
        }
        packets
    }

    /// See [`super::PacketIo::wake_sources`].
    pub fn wake_sources<'a>(&'a self, sources: &mut WakeSources<'a>) {
        sources.file(&self.socket);
    }

    /// See [`super::PacketIo::queue`].
    pub fn queue(&mut self, path: &Path, headers: &Headers, payload: &[u8]) -> Result<(), NoRoom> {
        assert!(payload.len() <= PAYLOAD_MAX, "{} bytes in one packet", payload.len());
        debug_assert_eq!(path.local, self.local);
        self.bursts.push(path.peer, headers, payload).or_else(|NoRoom| {
            self.flush();
            self.bursts.push(path.peer, headers, payload)
        })
    }

    /// See [`super::PacketIo::flush`]. What the kernel has no room for stays queued, in its order.
    pub fn flush(&mut self) {
        while let Some(outgoing) = self.bursts.front() {
            match send(&self.socket, &outgoing) {
                Ok(_) => self.sent += outgoing.packets as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if outgoing.segment_len.is_some() && offload_is_refused(&error) => {
                    tracing::warn!("{}: no segmentation offload from now on ({error})", self.local);
                    self.bursts.stop_offload();
                    continue;
                }
                Err(_) => self.send_errors += outgoing.packets as u64,
            }
            self.bursts.pop_front();
        }
    }

    /// See [`super::PacketIo::receive_room`].
    pub fn receive_room(&self, payload: usize) -> u32 {
        // What the kernel counts for a packet: its own structures, and memory in powers of two.
        const HEADERS: usize = 128;
        const KERNEL_STRUCTURES: usize = 768;
        let packet = (payload + HEADERS).next_power_of_two() + KERNEL_STRUCTURES;
        u32::try_from(self.receive_buffer / packet / 2).unwrap_or(u32::MAX) // half: drivers take memory as they like
    }

    /// See [`super::PacketIo::counters`].
    pub fn counters(&self) -> PacketCounters {
        PacketCounters { sent: self.sent, send_errors: self.send_errors, ..self.inbound.counters }
    }
}

fn send(socket: &Socket, outgoing: &Outgoing<'_>) -> io::Result<usize> {
    let peer = SockAddr::from(outgoing.peer);
    let contents = [IoSlice::new(outgoing.contents)];
    let message = MsgHdr::new().with_addr(&peer).with_buffers(&contents);
    match outgoing.segment_len {
        None => socket.sendmsg(&message, 0),
        Some(len) => socket.sendmsg(&message.with_control(&segment_len_message(len as u16)), 0),
    }
}

/// Length of a control message's header on 64-bit Linux: length, level and type (cmsg(3)).
const CONTROL_HEADER_LEN: usize = 16;

/// The control message that has the kernel cut a buffer into datagrams of that length (udp(7), UDP_SEGMENT).
fn segment_len_message(segment_len: u16) -> [u8; CONTROL_HEADER_LEN + 8] {
    let mut message = [0; CONTROL_HEADER_LEN + 8];
    message[..8].copy_from_slice(&(CONTROL_HEADER_LEN as u64 + 2).to_ne_bytes());
    message[8..12].copy_from_slice(&libc::SOL_UDP.to_ne_bytes());
    message[12..16].copy_from_slice(&libc::UDP_SEGMENT.to_ne_bytes());
    message[16..18].copy_from_slice(&segment_len.to_ne_bytes());
    message
}

const _: () = assert!(cfg!(target_pointer_width = "64"), "control messages are written for 64 bits");

/// Some interfaces cannot cut buffers, which only the first attempt shows.
fn offload_is_refused(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL))
}
