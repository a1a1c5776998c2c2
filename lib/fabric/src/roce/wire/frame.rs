//! What stands below a packet on the wire, for packet I/O on raw frames: Ethernet II (with at most one 802.1Q tag),
//! IPv4 or IPv6, UDP.
//!
//! Checksums of arriving frames are not verified: the ICRC covers the same fields and more, except those that routers
//! change, and a wrong hop limit harms nobody. The UDP checksum is sent as 0, "none", also with IPv6 (RFC 6936), as the
//! kernel's soft-RoCE does. What the ICRC takes for granted is refused if it is otherwise: IPv4 options, IPv6 extension
//! headers, fragments.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::mad::{Reader, Writer};

/// Longest headers in bytes: Ethernet with a tag, IPv6, UDP.
pub const FRAME_HEADERS_MAX: usize = ETHERNET_LEN + TAG_LEN + IPV6_LEN + UDP_LEN;

pub(super) const ETHERNET_LEN: usize = 14;
pub(super) const IPV6_LEN: usize = 40;
const TAG_LEN: usize = 4;
const IPV4_LEN: usize = 20;
const UDP_LEN: usize = 8;

pub(super) const ETHER_TYPE_IPV4: u16 = 0x0800;
pub(super) const ETHER_TYPE_ARP: u16 = 0x0806;
pub(super) const ETHER_TYPE_IPV6: u16 = 0x86dd;
const ETHER_TYPE_TAG: u16 = 0x8100;
const PROTOCOL_UDP: u8 = 17;

const DONT_FRAGMENT: u16 = 0x4000;
/// More fragments, and the offset: 0 in a packet that is whole.
const FRAGMENT: u16 = 0x3fff;

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Everyone.
    pub const BROADCAST: Mac = Mac([0xff; 6]);
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// The headers of a frame that carries a UDP datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameHeaders {
    /// Sender on this link.
    pub source_mac: Mac,
    /// Receiver on this link.
    pub destination_mac: Mac,
    /// Priority and VLAN, as they stand in an 802.1Q tag.
    pub tag: Option<u16>,
    /// IP address and UDP port of the sender.
    pub source: SocketAddr,
    /// IP address and UDP port of the receiver, of the same IP version.
    pub destination: SocketAddr,
    /// IPv4's type of service or IPv6's traffic class; the low 2 bits are ECN.
    pub traffic_class: u8,
    /// IPv4's identification; 0 with IPv6.
    pub ip_id: u16,
    /// IPv4's time to live or IPv6's hop limit.
    pub hop_limit: u8,
}

/// Why a frame is not a UDP datagram that we read; the order is that of the checks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrameError {
    /// Shorter than its headers.
    #[error("shorter than its headers")]
    Truncated,
    /// Neither IPv4 nor IPv6.
    #[error("neither IPv4 nor IPv6: Ethernet type {0:#06x}")]
    EtherType(u16),
    /// The version in the IP header is not the Ethernet type's.
    #[error("IP version {0} does not fit the Ethernet type")]
    Version(u8),
    /// IPv4 options, or a header length that is impossible.
    #[error("IPv4 header of {0} words, not 5")]
    Options(u8),
    /// A length that is shorter than the headers it counts, or longer than the frame.
    #[error("a length field does not fit the frame")]
    Length,
    /// A piece of a packet.
    #[error("a fragment")]
    Fragment,
    /// Not UDP.
    #[error("IP protocol {0}, not UDP")]
    Protocol(u8),
}

impl FrameHeaders {
    /// Reads a frame: its headers, and UDP's payload.
    ///
    /// # Errors
    /// It is something else, or malformed. Never panics.
    #[inline]
    pub fn parse(frame: &[u8]) -> Result<(FrameHeaders, &[u8]), FrameError> {
        let (ethernet, packet) = Ethernet::parse(frame)?;
        let (ip, datagram) = match ethernet.ether_type {
            ETHER_TYPE_IPV4 => Ip::parse_v4(packet)?,
            ETHER_TYPE_IPV6 => Ip::parse_v6(packet)?,
            other => return Err(FrameError::EtherType(other)),
        };
        if ip.protocol != PROTOCOL_UDP {
            return Err(FrameError::Protocol(ip.protocol));
        }
        let (udp, behind) = datagram.split_first_chunk::<UDP_LEN>().ok_or(FrameError::Truncated)?;
        let mut udp = Reader(udp);
        let [source_port, destination_port, len] = [udp.u16(), udp.u16(), udp.u16()];
        let payload = usize::from(len).checked_sub(UDP_LEN).and_then(|len| behind.get(..len));
        let headers = FrameHeaders {
            source_mac: ethernet.source,
            destination_mac: ethernet.destination,
            tag: ethernet.tag,
            source: (ip.source, source_port).into(),
            destination: (ip.destination, destination_port).into(),
            traffic_class: ip.traffic_class,
            ip_id: ip.id,
            hop_limit: ip.hop_limit,
        };
        Ok((headers, payload.ok_or(FrameError::Length)?))
    }

    /// Length in bytes of what [`FrameHeaders::emit`] writes.
    #[expect(clippy::len_without_is_empty, reason = "there is always an Ethernet header")]
    #[inline]
    pub fn len(&self) -> usize {
        let ip_len = if self.source.is_ipv4() { IPV4_LEN } else { IPV6_LEN };
        self.ethernet(0).len() + ip_len + UDP_LEN
    }

    /// Writes the headers of a datagram with that much payload, and returns their length. Packets are marked
    /// "don't fragment".
    ///
    /// # Panics
    /// If `out` is too short, the payload is longer than a datagram can be, or one address is IPv4 and the other IPv6:
    /// that would be our own bug.
    #[inline]
    pub fn emit(&self, payload_len: usize, out: &mut [u8]) -> usize {
        let len = self.len();
        let udp_len = u16::try_from(UDP_LEN + payload_len).expect("it fits a datagram");
        let ip = Ip {
            source: self.source.ip(),
            destination: self.destination.ip(),
            traffic_class: self.traffic_class,
            id: self.ip_id,
            hop_limit: self.hop_limit,
            protocol: PROTOCOL_UDP,
        };
        let mut fields = Writer::new(&mut out[..len]);
        self.ethernet(ip.ether_type()).emit(&mut fields);
        ip.emit(udp_len, &mut fields);
        fields.u16(self.source.port());
        fields.u16(self.destination.port());
        fields.u16(udp_len);
        fields.u16(0);
        len
    }

    fn ethernet(&self, ether_type: u16) -> Ethernet {
        Ethernet { destination: self.destination_mac, source: self.source_mac, tag: self.tag, ether_type }
    }
}

/// The Ethernet header.
#[derive(Debug)]
pub(super) struct Ethernet {
    pub destination: Mac,
    pub source: Mac,
    pub tag: Option<u16>,
    pub ether_type: u16,
}

impl Ethernet {
    pub fn parse(frame: &[u8]) -> Result<(Ethernet, &[u8]), FrameError> {
        let (header, mut rest) = frame.split_first_chunk::<ETHERNET_LEN>().ok_or(FrameError::Truncated)?;
        let mut fields = Reader(header);
        let [destination, source] = [Mac(fields.bytes()), Mac(fields.bytes())];
        let mut ether_type = fields.u16();
        let mut tag = None;
        if ether_type == ETHER_TYPE_TAG {
            let (tagged, behind) = rest.split_first_chunk::<TAG_LEN>().ok_or(FrameError::Truncated)?;
            let mut fields = Reader(tagged);
            tag = Some(fields.u16());
            ether_type = fields.u16();
            rest = behind;
        }
        Ok((Ethernet { destination, source, tag, ether_type }, rest))
    }

    fn len(&self) -> usize {
        ETHERNET_LEN + if self.tag.is_some() { TAG_LEN } else { 0 }
    }

    pub fn emit(&self, fields: &mut Writer<'_>) {
        fields.bytes(&self.destination.0);
        fields.bytes(&self.source.0);
        if let Some(tag) = self.tag {
            fields.u16(ETHER_TYPE_TAG);
            fields.u16(tag);
        }
        fields.u16(self.ether_type);
    }
}

/// What an IP header says, of either version.
#[derive(Debug)]
pub(super) struct Ip {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub traffic_class: u8,
    pub id: u16,
    pub hop_limit: u8,
    pub protocol: u8,
}

impl Ip {
    /// Reads an IPv4 header (RFC 791), and gives its payload.
    fn parse_v4(packet: &[u8]) -> Result<(Ip, &[u8]), FrameError> {
        let (header, behind) = packet.split_first_chunk::<IPV4_LEN>().ok_or(FrameError::Truncated)?;
        let mut fields = Reader(header);
        let [version_and_words, traffic_class] = fields.bytes();
        let [total_len, id, fragment] = [fields.u16(), fields.u16(), fields.u16()];
        let [hop_limit, protocol, _, _] = fields.bytes();
        let [source, destination] = [fields.bytes(), fields.bytes()].map(|octets: [u8; 4]| Ipv4Addr::from(octets));
        if version_and_words >> 4 != 4 {
            return Err(FrameError::Version(version_and_words >> 4));
        }
        if version_and_words & 0x0f != 5 {
            return Err(FrameError::Options(version_and_words & 0x0f));
        }
        // What stands behind is padding up to Ethernet's shortest frame.
        let payload = usize::from(total_len).checked_sub(IPV4_LEN).and_then(|len| behind.get(..len));
        let payload = payload.ok_or(FrameError::Length)?;
        if fragment & FRAGMENT != 0 {
            return Err(FrameError::Fragment);
        }
        let (source, destination) = (source.into(), destination.into());
        Ok((Ip { source, destination, traffic_class, id, hop_limit, protocol }, payload))
    }

    /// Reads an IPv6 header (RFC 8200), and gives its payload.
    pub fn parse_v6(packet: &[u8]) -> Result<(Ip, &[u8]), FrameError> {
        let (header, behind) = packet.split_first_chunk::<IPV6_LEN>().ok_or(FrameError::Truncated)?;
        let mut fields = Reader(header);
        let version_class_label = fields.u32();
        let payload_len = fields.u16();
        let [protocol, hop_limit] = fields.bytes();
        let [source, destination] = [fields.bytes(), fields.bytes()].map(|octets: [u8; 16]| Ipv6Addr::from(octets));
        let version = (version_class_label >> 28) as u8;
        if version != 6 {
            return Err(FrameError::Version(version));
        }
        let payload = behind.get(..payload_len.into()).ok_or(FrameError::Length)?;
        let traffic_class = (version_class_label >> 20) as u8;
        let (source, destination) = (source.into(), destination.into());
        Ok((Ip { source, destination, traffic_class, id: 0, hop_limit, protocol }, payload))
    }

    fn ether_type(&self) -> u16 {
        if self.source.is_ipv4() { ETHER_TYPE_IPV4 } else { ETHER_TYPE_IPV6 }
    }

    pub fn emit(&self, payload_len: u16, fields: &mut Writer<'_>) {
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let mut header = [0; IPV4_LEN];
                header[..2].copy_from_slice(&[4 << 4 | 5, self.traffic_class]);
                let total_len = payload_len.checked_add(IPV4_LEN as u16).expect("it fits an IPv4 packet");
                header[2..4].copy_from_slice(&total_len.to_be_bytes());
                header[4..6].copy_from_slice(&self.id.to_be_bytes());
                header[6..8].copy_from_slice(&DONT_FRAGMENT.to_be_bytes());
                header[8..10].copy_from_slice(&[self.hop_limit, self.protocol]);
                header[12..16].copy_from_slice(&source.octets());
                header[16..].copy_from_slice(&destination.octets());
                let checksum = internet_checksum(&[&header]);
                header[10..12].copy_from_slice(&checksum.to_be_bytes());
                fields.bytes(&header);
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                fields.u32(6 << 28 | u32::from(self.traffic_class) << 20);
                fields.u16(payload_len);
                fields.bytes(&[self.protocol, self.hop_limit]);
                fields.bytes(&source.octets());
                fields.bytes(&destination.octets());
            }
            (source, destination) => panic!("a packet from {source} to {destination}"),
        }
    }
}

/// The checksum of the Internet protocols (RFC 1071) over parts of which all but the last are of even length. Over
/// something that includes its right checksum it is 0.
pub(super) fn internet_checksum(parts: &[&[u8]]) -> u16 {
    let mut sum: u32 = 0;
    for part in parts {
        for word in part.chunks(2) {
            sum += u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0));
        }
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests;
