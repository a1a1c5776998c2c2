//! What the tests of all packet I/Os need.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::{PacketIo, Path};
use crate::roce::wire::{Flow, Headers, Opcode, Psn, UDP_PORT};

/// Opens a device as soon as nobody else has its port or interface. (Other tests start processes, which for a moment keep
/// what this process has just closed; and there is but one address of IPv6's loopback.)
pub fn when_free<T>(open: impl Fn() -> io::Result<T>) -> T {
    let give_up = Instant::now() + Duration::from_secs(10);
    loop {
        let opened = open();
        let busy = |error: &io::Error| matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::ResourceBusy);
        if !opened.as_ref().is_err_and(busy) || Instant::now() > give_up {
            return opened.unwrap();
        }
        std::thread::yield_now();
    }
}

pub fn path(local: IpAddr, peer: IpAddr) -> Path {
    Path { local: SocketAddr::new(local, UDP_PORT), peer: SocketAddr::new(peer, UDP_PORT) }
}

pub fn headers(dest_qp: u32, psn: u32) -> Headers {
    Headers::new(Opcode::SendOnly, dest_qp, Psn::new(psn))
}

/// What an [`Arrived`] said: queue pair, PSN, payload.
pub type Packet = (u32, u32, Vec<u8>);

/// Receives until that many packets are there; gives up after a long time.
pub fn receive(queue: &mut PacketIo, count: usize) -> Vec<Packet> {
    let mut packets = Vec::new();
    let give_up = Instant::now() + Duration::from_secs(10);
    while packets.len() < count && Instant::now() < give_up {
        packets.extend(receive_once(queue));
    }
    packets
}

/// Receives one batch.
pub fn receive_once(queue: &mut PacketIo) -> Vec<Packet> {
    let mut packets = Vec::new();
    queue.receive(&mut |arrived| {
        let (headers, payload) = Headers::parse(arrived.packet).unwrap();
        packets.push((headers.dest_qp, headers.psn.get(), payload.to_vec()));
    });
    packets
}

/// A correct datagram.
pub fn datagram_bytes(
    source: SocketAddr,
    destination: SocketAddr,
    ip_id: u16,
    headers: &Headers,
    payload: &[u8],
) -> Vec<u8> {
    let mut bytes = vec![0; super::datagram_len(headers, payload)];
    let len = super::emit_packet(headers, payload, &mut bytes);
    let icrc = Flow::new(source, destination).icrc(ip_id, &bytes[..len]);
    bytes[len..].copy_from_slice(&icrc.to_le_bytes());
    bytes
}
