//! Who has which IP address on a link, for packet I/O that has no kernel to ask: ARP (RFC 826) and neighbour discovery
//! of IPv6 (RFC 4861, 4.3 and 4.4), in untagged frames. One form for both: a solicitation asks, an advertisement answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::frame::{
    ETHER_TYPE_ARP, ETHER_TYPE_IPV6, ETHERNET_LEN, Ethernet, FrameError, IPV6_LEN, Ip, Mac, internet_checksum,
};
use super::mad::{Reader, Writer};

/// Longest frame that [`Neighbour::emit`] writes, in bytes.
pub const NEIGHBOUR_FRAME_MAX: usize = ETHERNET_LEN + IPV6_LEN + ICMP_LEN;

/// Shortest frame of Ethernet, without its checksum, in bytes: ARP is padded to it.
const ETHERNET_FRAME_MIN: usize = 60;

/// An ARP packet for Ethernet and IPv4.
const ARP_LEN: usize = 28;
/// What it says first: Ethernet, IPv4, the lengths of their addresses.
const ARP_ETHERNET_IPV4: [u8; 6] = [0, 1, 0x08, 0, 6, 4];
const ARP_REQUEST: u16 = 1;
const ARP_REPLY: u16 = 2;

/// Header, flags, target, and the option for a link-layer address.
const ICMP_LEN: usize = 8 + 16 + 8;
const PROTOCOL_ICMPV6: u8 = 58;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const OPTION_SOURCE_MAC: u8 = 1;
const OPTION_TARGET_MAC: u8 = 2;
/// This advertisement answers a solicitation.
const SOLICITED: u32 = 1 << 30;
/// It replaces what was known.
const OVERRIDE: u32 = 1 << 29;
/// Of these messages no router passes on any, which shows by this value still being there.
const HOP_LIMIT: u8 = 255;

/// Whom advertisements go to if nobody can be named: all nodes of the link.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// A station on the link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Station {
    /// Its Ethernet address.
    pub mac: Mac,
    /// Its IP address; unspecified (all zeros) if it is about to find out whether someone else has it.
    pub ip: IpAddr,
}

/// A question or an answer. All IP addresses in it are of one version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Neighbour {
    /// Which Ethernet address belongs to `target`?
    Solicitation {
        /// Who asks.
        from: Station,
        /// The IP address in question.
        target: IpAddr,
    },
    /// These two addresses of `from` belong together.
    Advertisement {
        /// Whose.
        from: Station,
        /// Who is told.
        to: Station,
    },
}

/// Why a frame is no message about neighbours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NeighbourError {
    /// Malformed below.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Neither ARP of Ethernet and IPv4, nor a solicitation or advertisement of IPv6.
    #[error("no message about neighbours")]
    Other,
    /// One of IPv6's that must not be heard: it passed a router, its checksum is wrong, or an option has no length.
    #[error("malformed message about neighbours")]
    Malformed,
}

impl Neighbour {
    /// The answer to a solicitation, from the station that has the target; `None`: it is no solicitation.
    pub fn answer(&self, mac: Mac) -> Option<Neighbour> {
        match *self {
            Neighbour::Solicitation { from, target } => {
                Some(Neighbour::Advertisement { from: Station { mac, ip: target }, to: from })
            }
            Neighbour::Advertisement { .. } => None,
        }
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// It is something else. Never panics.
    pub fn parse(frame: &[u8]) -> Result<Neighbour, NeighbourError> {
        let (ethernet, packet) = Ethernet::parse(frame)?;
        match (ethernet.ether_type, ethernet.tag) {
            (ETHER_TYPE_ARP, None) => parse_arp(packet),
            (ETHER_TYPE_IPV6, None) => parse_ipv6(&ethernet, packet),
            _ => Err(NeighbourError::Other),
        }
    }

    /// Writes it as a frame, and returns its length.
    ///
    /// # Panics
    /// If IPv4 and IPv6 are mixed: that would be our own bug.
    pub fn emit(&self, out: &mut [u8; NEIGHBOUR_FRAME_MAX]) -> usize {
        let (from, target) = match *self {
            Neighbour::Solicitation { from, target } => (from, target),
            Neighbour::Advertisement { from, to } => (from, to.ip),
        };
        match (from.ip, target) {
            (IpAddr::V4(ip), IpAddr::V4(target)) => self.emit_arp(from.mac, ip, target, out),
            (IpAddr::V6(ip), IpAddr::V6(target)) => self.emit_ipv6(from.mac, ip, target, out),
            (ip, target) => panic!("neighbours {ip} and {target}"),
        }
    }

    fn emit_arp(&self, mac: Mac, ip: Ipv4Addr, target: Ipv4Addr, out: &mut [u8; NEIGHBOUR_FRAME_MAX]) -> usize {
        let (operation, target_mac, destination) = match self {
            Neighbour::Solicitation { .. } => (ARP_REQUEST, Mac::default(), Mac::BROADCAST),
            Neighbour::Advertisement { to, .. } => (ARP_REPLY, to.mac, to.mac),
        };
        let mut fields = Writer::new(out);
        Ethernet { destination, source: mac, tag: None, ether_type: ETHER_TYPE_ARP }.emit(&mut fields);
        fields.bytes(&ARP_ETHERNET_IPV4);
        fields.u16(operation);
        fields.bytes(&mac.0);
        fields.bytes(&ip.octets());
        fields.bytes(&target_mac.0);
        fields.bytes(&target.octets());
        ETHERNET_FRAME_MIN
    }

    fn emit_ipv6(&self, mac: Mac, ip: Ipv6Addr, target: Ipv6Addr, out: &mut [u8; NEIGHBOUR_FRAME_MAX]) -> usize {
        // Who has no address yet gets its answer by way of all nodes, and that is not called solicited.
        let (icmp_type, flags, subject, option, destination, destination_mac) = match self {
            Neighbour::Solicitation { .. } => {
                let group = solicited_node(target);
                (SOLICITATION, 0, target, OPTION_SOURCE_MAC, group, multicast_mac(group))
            }
            Neighbour::Advertisement { .. } if target.is_unspecified() => {
                (ADVERTISEMENT, OVERRIDE, ip, OPTION_TARGET_MAC, ALL_NODES, multicast_mac(ALL_NODES))
            }
            Neighbour::Advertisement { to, .. } => {
                (ADVERTISEMENT, SOLICITED | OVERRIDE, ip, OPTION_TARGET_MAC, target, to.mac)
            }
        };
        // A solicitation from nobody must not name a link-layer address.
        let icmp_len = if ip.is_unspecified() { ICMP_LEN - 8 } else { ICMP_LEN };
        let mut icmp = [0; ICMP_LEN];
        let mut fields = Writer::new(&mut icmp);
        fields.bytes(&[icmp_type, 0, 0, 0]);
        fields.u32(flags);
        fields.bytes(&subject.octets());
        fields.bytes(&[option, 1]); // 1: of 8 bytes
        fields.bytes(&mac.0);
        let icmp = &mut icmp[..icmp_len];
        let checksum = icmp_checksum(ip, destination, icmp);
        icmp[2..4].copy_from_slice(&checksum.to_be_bytes());

        let mut fields = Writer::new(out);
        Ethernet { destination: destination_mac, source: mac, tag: None, ether_type: ETHER_TYPE_IPV6 }
            .emit(&mut fields);
        let (source, destination) = (ip.into(), destination.into());
        Ip { source, destination, traffic_class: 0, id: 0, hop_limit: HOP_LIMIT, protocol: PROTOCOL_ICMPV6 }
            .emit(icmp_len as u16, &mut fields); // at most 32
        fields.bytes(icmp);
        ETHERNET_LEN + IPV6_LEN + icmp_len
    }
}

fn parse_arp(packet: &[u8]) -> Result<Neighbour, NeighbourError> {
    let packet = packet.first_chunk::<ARP_LEN>().ok_or(FrameError::Truncated)?;
    let mut fields = Reader(packet);
    if fields.bytes() != ARP_ETHERNET_IPV4 {
        return Err(NeighbourError::Other);
    }
    let operation = fields.u16();
    let mut station = || Station { mac: Mac(fields.bytes()), ip: Ipv4Addr::from(fields.bytes::<4>()).into() };
    let [from, to] = [station(), station()];
    match operation {
        ARP_REQUEST => Ok(Neighbour::Solicitation { from, target: to.ip }),
        ARP_REPLY => Ok(Neighbour::Advertisement { from, to }),
        _ => Err(NeighbourError::Other),
    }
}

fn parse_ipv6(ethernet: &Ethernet, packet: &[u8]) -> Result<Neighbour, NeighbourError> {
    let (ip, icmp) = Ip::parse_v6(packet)?;
    let (IpAddr::V6(source), IpAddr::V6(destination)) = (ip.source, ip.destination) else {
        return Err(NeighbourError::Other);
    };
    let Some((header, options)) = icmp.split_first_chunk::<{ 8 + 16 }>() else { return Err(NeighbourError::Other) };
    let mut fields = Reader(header);
    let [icmp_type, code, _, _] = fields.bytes();
    fields.skip::<4>(); // flags
    let subject = IpAddr::from(fields.bytes::<16>());
    if ip.protocol != PROTOCOL_ICMPV6 || !matches!(icmp_type, SOLICITATION | ADVERTISEMENT) {
        return Err(NeighbourError::Other);
    }
    if ip.hop_limit != HOP_LIMIT || code != 0 || icmp_checksum(source, destination, icmp) != 0 {
        return Err(NeighbourError::Malformed);
    }
    let option = if icmp_type == SOLICITATION { OPTION_SOURCE_MAC } else { OPTION_TARGET_MAC };
    // Messages between stations that know each other may come without the option.
    let mac = link_layer_address(options, option)?.unwrap_or(ethernet.source);
    if icmp_type == SOLICITATION {
        Ok(Neighbour::Solicitation { from: Station { mac, ip: ip.source }, target: subject })
    } else {
        let to = Station { mac: ethernet.destination, ip: ip.destination };
        Ok(Neighbour::Advertisement { from: Station { mac, ip: subject }, to })
    }
}

/// The Ethernet address in the option of that type.
fn link_layer_address(mut options: &[u8], wanted: u8) -> Result<Option<Mac>, NeighbourError> {
    while let [option, len_in_8_bytes, ..] = *options {
        let len = usize::from(len_in_8_bytes) * 8;
        let Some((body, rest)) = options.split_at_checked(len) else { return Err(NeighbourError::Malformed) };
        if len == 0 {
            return Err(NeighbourError::Malformed);
        }
        if option == wanted && len == 8 {
            return Ok(body.last_chunk().copied().map(Mac));
        }
        options = rest;
    }
    Ok(None)
}

/// The checksum of an ICMPv6 message with its pseudo header (RFC 8200, 8.1); 0 if the message includes the right one.
fn icmp_checksum(source: Ipv6Addr, destination: Ipv6Addr, icmp: &[u8]) -> u16 {
    let len = (icmp.len() as u32).to_be_bytes(); // at most 65,535
    internet_checksum(&[&source.octets(), &destination.octets(), &len, &[0, 0, 0, PROTOCOL_ICMPV6], icmp])
}

/// The group that a station with this address listens to (RFC 4291, 2.7.1).
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// The Ethernet address of a group (RFC 2464, 7).
fn multicast_mac(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    Mac([0x33, 0x33, a, b, c, d])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const PEER: Mac = Mac([2, 0, 0, 0, 0, 2]);

    fn emitted(message: &Neighbour) -> Vec<u8> {
        let mut frame = [0xee; NEIGHBOUR_FRAME_MAX];
        let len = message.emit(&mut frame);
        frame[..len].to_vec()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn arp_byte_by_byte() {
        let request =
            Neighbour::Solicitation { from: Station { mac: PEER, ip: ip("192.0.2.2") }, target: ip("192.0.2.1") };
        let mut expected = vec![
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 2, 8, 6, // Ethernet
            0, 1, 8, 0, 6, 4, 0, 1, // request
            2, 0, 0, 0, 0, 2, 192, 0, 2, 2, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1,
        ];
        expected.resize(60, 0);
        assert_eq!(emitted(&request), expected);
        let mut reply = vec![
            2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 6, // Ethernet
            0, 1, 8, 0, 6, 4, 0, 2, // reply
            2, 0, 0, 0, 0, 1, 192, 0, 2, 1, 2, 0, 0, 0, 0, 2, 192, 0, 2, 2,
        ];
        reply.resize(60, 0);
        assert_eq!(emitted(&request.answer(MAC).unwrap()), reply);
    }

    #[test]
    fn neighbour_solicitation_byte_by_byte() {
        let solicitation = Neighbour::Solicitation {
            from: Station { mac: PEER, ip: ip("2001:db8::2") },
            target: ip("2001:db8::12:3456"),
        };
        let frame = emitted(&solicitation);
        assert_eq!(frame.len(), 86);
        assert_eq!(frame[..14], [0x33, 0x33, 0xff, 0x12, 0x34, 0x56, 2, 0, 0, 0, 0, 2, 0x86, 0xdd]);
        assert_eq!(frame[14..22], [0x60, 0, 0, 0, 0, 32, 58, 255]);
        assert_eq!(frame[38..54], "ff02::1:ff12:3456".parse::<Ipv6Addr>().unwrap().octets());
        assert_eq!((frame[54], frame[55], &frame[58..62]), (135, 0, &[0; 4][..]));
        assert_eq!(frame[62..78], "2001:db8::12:3456".parse::<Ipv6Addr>().unwrap().octets());
        assert_eq!(frame[78..], [1, 1, 2, 0, 0, 0, 0, 2]);
    }

    #[test]
    fn neighbour_advertisement_byte_by_byte() {
        let from = Station { mac: MAC, ip: ip("2001:db8::1") };
        let to = Station { mac: PEER, ip: ip("2001:db8::2") };
        let frame = emitted(&Neighbour::Advertisement { from, to });
        assert_eq!(frame[..12], [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]);
        assert_eq!((frame[54], frame[55], &frame[58..62]), (136, 0, &[0x60, 0, 0, 0][..]));
        assert_eq!(frame[62..78], "2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
        assert_eq!(frame[78..], [2, 1, 2, 0, 0, 0, 0, 1]);
    }

    /// A station that looks whether its address is free asks from the unspecified address (RFC 4861, 7.2.4).
    #[test]
    fn the_answer_to_nobody_goes_to_all_nodes() {
        let probe = Neighbour::Solicitation { from: Station { mac: PEER, ip: ip("::") }, target: ip("2001:db8::1") };
        let frame = emitted(&probe);
        assert_eq!(frame.len(), 78, "no option");
        assert_eq!(Neighbour::parse(&frame), Ok(probe));
        let frame = emitted(&probe.answer(MAC).unwrap());
        assert_eq!(frame[..6], [0x33, 0x33, 0, 0, 0, 1]);
        assert_eq!(frame[38..54], ALL_NODES.octets());
        assert_eq!(frame[58], 0x20, "override, not solicited");
    }

    #[test]
    fn what_came_from_elsewhere_or_damaged_is_refused() {
        let station = Station { mac: MAC, ip: ip("2001:db8::1") };
        let frame = emitted(&Neighbour::Solicitation { from: station, target: ip("2001:db8::2") });
        for (at, what) in [(21, "hop limit"), (55, "code"), (56, "checksum"), (70, "target"), (85, "option")] {
            let mut frame = frame.clone();
            frame[at] ^= 1;
            assert_eq!(Neighbour::parse(&frame), Err(NeighbourError::Malformed), "{what}");
        }
        let mut other = frame.clone();
        other[54] = 128;
        assert_eq!(Neighbour::parse(&other), Err(NeighbourError::Other), "echo request");
        let mut arp = emitted(&Neighbour::Solicitation {
            from: Station { mac: MAC, ip: ip("192.0.2.1") },
            target: ip("192.0.2.2"),
        });
        arp[21] = 3;
        assert_eq!(Neighbour::parse(&arp), Err(NeighbourError::Other), "an operation of reverse ARP");
    }

    #[test]
    fn options_without_length_end_the_search() {
        assert_eq!(link_layer_address(&[5, 0, 0, 0], 1), Err(NeighbourError::Malformed));
        assert_eq!(link_layer_address(&[5, 2, 0, 0, 0, 0, 0, 0], 1), Err(NeighbourError::Malformed));
        assert_eq!(link_layer_address(&[], 1), Ok(None));
        assert_eq!(
            link_layer_address(&[5, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 3, 4, 5, 6], 1),
            Ok(Some(Mac([1, 2, 3, 4, 5, 6])))
        );
    }

    proptest! {
        #[test]
        fn messages_are_read_back_as_they_were_emitted(
            macs: [[u8; 6]; 2],
            ips in prop_oneof![
                any::<[[u8; 4]; 2]>().prop_map(|ips| ips.map(IpAddr::from)),
                any::<[[u8; 16]; 2]>().prop_map(|ips| ips.map(IpAddr::from)),
            ],
            asks: bool,
        ) {
            let [from, to] = [0, 1].map(|end| Station { mac: Mac(macs[end]), ip: ips[end] });
            let message = if asks {
                Neighbour::Solicitation { from, target: to.ip }
            } else {
                Neighbour::Advertisement { from, to }
            };
            prop_assert_eq!(Neighbour::parse(&emitted(&message)), Ok(message));
        }

        #[test]
        fn any_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..120), is_arp: bool) {
            let mut frame = bytes;
            if let Some(place) = frame.get_mut(12..14) {
                place.copy_from_slice(if is_arp { &[8, 6] } else { &[0x86, 0xdd] });
            }
            let _ = Neighbour::parse(&frame);
        }
    }
}
