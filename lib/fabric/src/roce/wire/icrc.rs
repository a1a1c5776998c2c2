//! The invariant CRC at the end of every packet (IBTA vol. 1, 9.8.1 and annex A17.3.3).
//!
//! It is Ethernet's CRC-32 over eight bytes of ones, the IP and UDP headers, and the packet; what routers may change
//! (traffic class, hop limit, checksums, flow label, congestion bits) counts as ones. It is stored little-endian.
//!
//! # When the IP identification is not known
//!
//! IPv4's identification is covered, but a UDP socket does not show it to a receiver. It need not: a CRC is linear, so
//! what an identification other than 0 changes in the CRC depends on nothing but that identification and on how many
//! bytes follow. The CRC register takes in a byte by adding it to its low bits; 16 unknown bits of the message are
//! therefore as good as 16 unknown low bits of the register right before them. So the difference between the CRC that
//! came and the one computed for identification 0 is wound back to that place (each byte back is a division by x⁸
//! modulo the CRC's polynomial, and all of them are one multiplication with a power of x⁻⁸). The packet is good
//! if the upper 16 bits of the result are 0: then the lower 16 are an identification that explains the difference.
//! Every identification is accepted, and 16 of the 32 bits of protection remain: of packets damaged at random, one
//! in 65,536 passes (the sockets' UDP checksum, where the peer sends one, comes on top). A socket that sends bursts by
//! segmentation offload numbers each burst 0, 1, 2, …; single packets without fragmentation have 0, and these take the
//! fast path.

use std::net::SocketAddr;

use super::{BTH_LEN, ICRC_LEN};

/// CRC-32's polynomial, as every other polynomial here: bit 31 is the coefficient of x⁰, bit 0 that of x³¹.
const POLYNOMIAL: u32 = 0xedb8_8320;

/// The CRC begins with as many ones as InfiniBand's local route header is long.
const ONES_LEN: usize = 8;
const IPV4_LEN: usize = 20;
const IPV6_LEN: usize = 40;
const UDP_LEN: usize = 8;
const UDP_PROTOCOL: u8 = 17;

/// Longest datagram whose ICRC can be checked without its identification: 4096 bytes of payload with every header.
const DATAGRAM_MAX: usize = 4096 + 64;

/// Bytes from IPv4's identification to the end of UDP's header.
const IDENTIFICATION_TO_DATAGRAM: usize = IPV4_LEN - 4 + UDP_LEN;

/// Lengths of what may stand behind an identification's first byte, 0 included.
const BACK_LEN: usize = IDENTIFICATION_TO_DATAGRAM + DATAGRAM_MAX - ICRC_LEN + 1;

/// The headers below a packet, as far as its ICRC covers them: made once per flow, used for each packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flow {
    /// Ones, IP and UDP headers, masked; lengths and identification are still 0.
    headers: [u8; ONES_LEN + IPV6_LEN + UDP_LEN],
    /// Length of the IP header in bytes.
    ip_len: usize,
}

impl Flow {
    /// The flow of datagrams between two UDP addresses.
    ///
    /// # Panics
    /// If one is IPv4 and the other IPv6: that would be our own bug.
    pub fn new(source: SocketAddr, destination: SocketAddr) -> Flow {
        let mut headers = [0xff; ONES_LEN + IPV6_LEN + UDP_LEN];
        let ip = &mut headers[ONES_LEN..];
        let ip_len = match (source, destination) {
            (SocketAddr::V4(source), SocketAddr::V4(destination)) => {
                ip[0] = 4 << 4 | 5; // version, header length in words
                ip[2..8].copy_from_slice(&[0, 0, 0, 0, 0x40, 0]); // lengths and identification to come; don't fragment
                ip[9] = UDP_PROTOCOL;
                ip[12..16].copy_from_slice(&source.ip().octets());
                ip[16..20].copy_from_slice(&destination.ip().octets());
                IPV4_LEN
            }
            (SocketAddr::V6(source), SocketAddr::V6(destination)) => {
                ip[0] = 6 << 4 | 0x0f; // version; traffic class and flow label are ones
                ip[4..7].copy_from_slice(&[0, 0, UDP_PROTOCOL]);
                ip[8..24].copy_from_slice(&source.ip().octets());
                ip[24..40].copy_from_slice(&destination.ip().octets());
                IPV6_LEN
            }
            _ => panic!("a flow between {source} and {destination}"),
        };
        let udp = &mut ip[ip_len..ip_len + UDP_LEN];
        udp[..2].copy_from_slice(&source.port().to_be_bytes());
        udp[2..4].copy_from_slice(&destination.port().to_be_bytes());
        Flow { headers, ip_len }
    }

    /// The ICRC of a packet: UDP's payload from the base transport header to the end of the padding. `ip_id` is IPv4's
    /// identification, of no meaning for IPv6.
    ///
    /// # Panics
    /// If the packet is shorter than a base transport header, or longer than a datagram can be: our own bug.
    #[inline]
    pub fn icrc(&self, ip_id: u16, packet: &[u8]) -> u32 {
        let (bth, rest) = packet.split_first_chunk::<BTH_LEN>().expect("a base transport header");
        let mut bytes = [0; ONES_LEN + IPV6_LEN + UDP_LEN + BTH_LEN];
        bytes[..self.headers.len()].copy_from_slice(&self.headers);
        let udp_len = u16::try_from(UDP_LEN + packet.len() + ICRC_LEN).expect("it fits a datagram");
        let (ip, udp) = bytes[ONES_LEN..].split_at_mut(self.ip_len);
        if self.is_ipv4() {
            ip[2..4].copy_from_slice(&(IPV4_LEN as u16).saturating_add(udp_len).to_be_bytes());
            ip[4..6].copy_from_slice(&ip_id.to_be_bytes());
        } else {
            ip[4..6].copy_from_slice(&udp_len.to_be_bytes());
        }
        udp[4..6].copy_from_slice(&udp_len.to_be_bytes());
        udp[UDP_LEN..UDP_LEN + BTH_LEN].copy_from_slice(bth);
        udp[UDP_LEN + 4] = 0xff; // congestion bits
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&bytes[..ONES_LEN + self.ip_len + UDP_LEN + BTH_LEN]);
        hasher.update(rest);
        hasher.finalize()
    }

    /// Whether the ICRC at the end of a datagram (UDP's payload) is right. Without IPv4's identification half of the
    /// protection remains, and packets longer than RoCE's longest are refused; IPv6 has none and needs none. Never
    /// panics.
    #[inline]
    pub fn verify(&self, ip_id: Option<u16>, datagram: &[u8]) -> bool {
        let Some((packet, icrc)) = datagram.split_last_chunk::<ICRC_LEN>() else { return false };
        if packet.len() < BTH_LEN || datagram.len() > usize::from(u16::MAX) - IPV4_LEN - UDP_LEN {
            return false;
        }
        let difference = u32::from_le_bytes(*icrc) ^ self.icrc(ip_id.unwrap_or(0), packet);
        difference == 0 || ip_id.is_none() && self.is_ipv4() && an_identification_explains(difference, packet.len())
    }

    fn is_ipv4(&self) -> bool {
        self.ip_len == IPV4_LEN
    }
}

/// Whether an identification other than 0 makes this difference to the ICRC of a packet of that length.
fn an_identification_explains(difference: u32, packet_len: usize) -> bool {
    match BACK.get(IDENTIFICATION_TO_DATAGRAM + packet_len) {
        Some(&back) => multiply(difference, back) <= u16::MAX.into(),
        None => false,
    }
}

/// x⁻⁸ⁿ modulo the polynomial: multiplying with it winds the CRC register back by n bytes.
static BACK: [u32; BACK_LEN] = {
    let mut table = [0x8000_0000; BACK_LEN]; // x⁰
    let mut at = 1;
    while at < table.len() {
        let mut power: u32 = table[at - 1];
        let mut bit = 0;
        while bit < 8 {
            // The polynomial, which is 0 here, is added if need be so that x divides it.
            power = if power >> 31 == 1 { (power ^ POLYNOMIAL) << 1 | 1 } else { power << 1 };
            bit += 1;
        }
        table[at] = power;
        at += 1;
    }
    table
};

/// The product modulo the polynomial.
fn multiply(mut left: u32, right: u32) -> u32 {
    let mut product = 0;
    for bit in (0..32).rev() {
        product ^= left & (right >> bit & 1).wrapping_neg();
        left = left >> 1 ^ POLYNOMIAL & (left & 1).wrapping_neg(); // times x
    }
    product
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::capture;
    use super::*;

    fn ipv4() -> Flow {
        Flow::new("192.0.2.1:49152".parse().unwrap(), "198.51.100.2:4791".parse().unwrap())
    }

    fn ipv6() -> Flow {
        Flow::new("[2001:db8::1]:49152".parse().unwrap(), "[2001:db8::2]:4791".parse().unwrap())
    }

    fn with_icrc(flow: &Flow, ip_id: u16, packet: &[u8]) -> Vec<u8> {
        [packet, &flow.icrc(ip_id, packet).to_le_bytes()].concat()
    }

    #[test]
    fn captured_packets_are_right_with_and_without_their_identification() {
        for frame in capture::all() {
            let flow = Flow::new(frame.source, frame.destination);
            assert!(flow.verify(Some(frame.ip_id), &frame.datagram), "{frame:?}");
            assert!(flow.verify(None, &frame.datagram), "{frame:?}");
            assert_eq!(flow.verify(Some(frame.ip_id ^ 1), &frame.datagram), frame.source.is_ipv6(), "{frame:?}");
            let other = Flow::new(frame.destination, frame.source);
            assert!(!other.verify(Some(frame.ip_id), &frame.datagram), "{frame:?}");
        }
    }

    #[test]
    fn too_short_or_too_long_is_refused() {
        for len in [0, 3, 4, 15, 65_508, 70_000, 1 << 20] {
            for flow in [ipv4(), ipv6()] {
                assert!(!flow.verify(None, &vec![0; len]));
                assert!(!flow.verify(Some(0), &vec![0; len]));
            }
        }
        let longest = vec![7; DATAGRAM_MAX - ICRC_LEN];
        assert!(ipv4().verify(None, &with_icrc(&ipv4(), 0xbeef, &longest)));
        let longer = vec![7; DATAGRAM_MAX - ICRC_LEN + 1];
        assert!(!ipv4().verify(None, &with_icrc(&ipv4(), 0xbeef, &longer)));
        assert!(ipv4().verify(Some(0xbeef), &with_icrc(&ipv4(), 0xbeef, &longer)));
    }

    #[test]
    fn every_identification_is_found_and_only_half_of_the_protection_is_lost() {
        let packet = [0x5a; 300];
        for ip_id in 0..=u16::MAX {
            let good = ipv4().icrc(0, &packet) ^ ipv4().icrc(ip_id, &packet);
            assert!(an_identification_explains(good, packet.len()), "{ip_id:#x}");
            let wrong = u32::from(ip_id) << 16 | 0x1234;
            let bad = multiply(wrong, FORWARD_324);
            assert_eq!(an_identification_explains(bad, packet.len()), wrong <= 0xffff, "{wrong:#x}");
        }
    }

    /// x⁸ⁿ of what stands between identification and end in the test above.
    const FORWARD_324: u32 = {
        let mut power: u32 = 0x8000_0000;
        let mut bits = 0;
        while bits < 8 * 324 {
            power = power >> 1 ^ if power & 1 == 1 { POLYNOMIAL } else { 0 };
            bits += 1;
        }
        power
    };

    /// In longer packets a few such changes pass, as any 32-bit difference does once in 65,536 times.
    #[test]
    fn a_changed_byte_of_a_short_packet_is_refused_without_the_identification() {
        let datagram: Vec<u8> = with_icrc(&ipv4(), 0xbeef, &(0..88).collect::<Vec<u8>>());
        for at in (0..datagram.len()).filter(|&at| at != 4) {
            for flip in 1..=u8::MAX {
                let mut changed = datagram.clone();
                changed[at] ^= flip;
                assert!(!ipv4().verify(None, &changed), "{flip:#x} at {at}");
            }
        }
    }

    #[test]
    fn congestion_bits_may_change_on_the_way() {
        for flow in [ipv4(), ipv6()] {
            let mut datagram = with_icrc(&flow, 0, &[0x11; 64]);
            datagram[4] ^= 0xc0;
            assert!(flow.verify(Some(0), &datagram));
        }
    }

    proptest! {
        #[test]
        fn any_identification_is_accepted(ip_id: u16, packet in prop::collection::vec(any::<u8>(), BTH_LEN..4096)) {
            let datagram = with_icrc(&ipv4(), ip_id, &packet);
            prop_assert!(ipv4().verify(Some(ip_id), &datagram));
            prop_assert!(ipv4().verify(None, &datagram));
        }

        #[test]
        fn a_changed_byte_is_refused(
            ip_id: u16,
            packet in prop::collection::vec(any::<u8>(), BTH_LEN..600),
            at: prop::sample::Index,
            flip in 1..=u8::MAX,
        ) {
            for flow in [ipv4(), ipv6()] {
                let mut datagram = with_icrc(&flow, ip_id, &packet);
                let at = at.index(datagram.len());
                datagram[at] ^= flip;
                prop_assert_eq!(flow.verify(Some(ip_id), &datagram), at == 4);
            }
        }
    }
}
