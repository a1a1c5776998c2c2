//! Frames captured between two kernel soft-RoCE ends (connection manager, SEND, WRITE, READ, acknowledgements; two
//! connections, one of them refused), for tests.

use std::net::SocketAddr;

use super::FrameHeaders;

/// A captured datagram.
#[derive(Clone, Debug)]
pub struct Captured {
    /// From where.
    pub source: SocketAddr,
    /// To where.
    pub destination: SocketAddr,
    /// IPv4's identification; 0 with IPv6.
    pub ip_id: u16,
    /// UDP's payload: the packet and its ICRC.
    pub datagram: Vec<u8>,
}

/// Both captures.
pub fn all() -> Vec<Captured> {
    let datagrams: Vec<_> = frames().iter().map(|frame| captured(frame)).collect();
    assert_eq!(datagrams.len(), 49 + 47);
    datagrams
}

/// The Ethernet frames of both captures.
pub fn frames() -> Vec<Vec<u8>> {
    let ipv4 = include_bytes!("testdata/rxe-ipv4.pcap");
    let ipv6 = include_bytes!("testdata/rxe-ipv6.pcap");
    [pcap(ipv4), pcap(ipv6)].concat()
}

/// The packets of a little-endian pcap file: behind a header of 24 bytes, each with a header of 16.
fn pcap(file: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let mut rest = &file[24..];
    while !rest.is_empty() {
        let len = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        frames.push(rest[16..16 + len].to_vec());
        rest = &rest[16 + len..];
    }
    frames
}

fn captured(frame: &[u8]) -> Captured {
    let (FrameHeaders { source, destination, ip_id, .. }, datagram) = FrameHeaders::parse(frame).unwrap();
    Captured { source, destination, ip_id, datagram: datagram.to_vec() }
}
