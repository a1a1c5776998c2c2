//! Frames captured between two kernel soft-RoCE ends (connection manager, SEND, WRITE, READ, acknowledgements; two
//! connections, one of them refused), for tests.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// A captured datagram.
#[derive(Clone, Debug)]
pub struct Captured {
    /// From where.
    pub source: SocketAddr,
    /// To where.
    pub destination: SocketAddr,
    /// IPv4's identification.
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
    let ip = &frame[14..];
    let port = |at: usize| u16::from_be_bytes([ip[at], ip[at + 1]]);
    if ip[0] >> 4 == 4 {
        let address = |at: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&ip[at..at + 4]).unwrap());
        Captured {
            source: (address(12), port(20)).into(),
            destination: (address(16), port(22)).into(),
            ip_id: u16::from_be_bytes([ip[4], ip[5]]),
            datagram: ip[28..].to_vec(),
        }
    } else {
        let address = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&ip[at..at + 16]).unwrap());
        Captured {
            source: (address(8), port(40)).into(),
            destination: (address(24), port(42)).into(),
            ip_id: 0,
            datagram: ip[48..].to_vec(),
        }
    }
}
