//! Who is on our link, and under which Ethernet address.

use std::net::IpAddr;

use crate::roce::wire::{Mac, Neighbour, Station};

/// Where a port stands in the network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Our addresses.
    pub us: Station,
    /// Length in bits of what the addresses of our link have in common.
    pub prefix_len: u8,
    /// Who takes packets for other links.
    pub gateway: Option<IpAddr>,
}

impl Place {
    /// Whom a packet for that address is handed to; `None` if there is no way.
    #[inline]
    pub fn next_hop(&self, peer: IpAddr) -> Option<IpAddr> {
        if self.is_on_link(peer) { Some(peer) } else { self.gateway.filter(|_| peer.is_ipv4() == self.us.ip.is_ipv4()) }
    }

    fn is_on_link(&self, address: IpAddr) -> bool {
        let differ = match (address, self.us.ip) {
            (IpAddr::V4(address), IpAddr::V4(us)) => (address.to_bits() ^ us.to_bits()).leading_zeros(),
            (IpAddr::V6(address), IpAddr::V6(us)) if address.is_unicast_link_local() == us.is_unicast_link_local() => {
                (address.to_bits() ^ us.to_bits()).leading_zeros()
            }
            (IpAddr::V6(address), IpAddr::V6(_)) => return address.is_unicast_link_local(),
            _ => return false,
        };
        differ >= self.prefix_len.into()
    }

    /// The question who has an address of our link.
    pub fn ask(&self, target: IpAddr) -> Neighbour {
        Neighbour::Solicitation { from: self.us, target }
    }

    /// What is to be remembered of a message, as RFC 826 has it for ARP: who asks or tells us is added to the table,
    /// who tells others (`false`) only replaces what stands there.
    pub fn lesson(&self, message: &Neighbour) -> Option<(Station, bool)> {
        let (from, is_for_us) = match *message {
            Neighbour::Solicitation { from, target } => (from, target == self.us.ip),
            Neighbour::Advertisement { from, to } => (from, to.mac == self.us.mac),
        };
        let is_station = from.mac.0[0] & 1 == 0 && from.mac != Mac::default();
        let is_neighbour = from.ip != self.us.ip && !from.ip.is_unspecified() && !from.ip.is_multicast();
        (is_station && is_neighbour && self.is_on_link(from.ip)).then_some((from, is_for_us))
    }
}

/// Sets of the table: an address has its place in one.
const SETS: usize = 256;
/// NeighbourTable that one set holds; if there are more, the one that was entered first has to go, and is asked for again.
const WAYS: usize = 4;

/// A table of neighbours. What it says holds until the neighbour says otherwise: one whose Ethernet address changes
/// announces that, or asks us before it talks to us.
#[derive(Debug)]
pub struct NeighbourTable {
    sets: Box<[Set]>,
    /// Counts changes, so that copies know when they are old.
    version: u64,
}

#[derive(Clone, Copy, Default, Debug)]
struct Set {
    stations: [Option<Station>; WAYS],
    /// Where the next one goes.
    next: usize,
}

impl NeighbourTable {
    pub fn new() -> NeighbourTable {
        NeighbourTable { sets: vec![Set::default(); SETS].into(), version: 0 }
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    /// The Ethernet address that belongs to an IP address.
    #[inline]
    pub fn find(&self, ip: IpAddr) -> Option<Mac> {
        let mut stations = self.sets[set_of(ip)].stations.iter().flatten();
        stations.find(|station| station.ip == ip).map(|station| station.mac)
    }

    /// Replaces what is known about a station; with `add`, also if nothing is. Returns whether that changed anything.
    pub fn learn(&mut self, station: Station, add: bool) -> bool {
        let set = &mut self.sets[set_of(station.ip)];
        match set.stations.iter_mut().flatten().find(|known| known.ip == station.ip) {
            Some(known) if *known == station => return false,
            Some(known) => *known = station,
            None if !add => return false,
            None => {
                set.stations[set.next] = Some(station);
                set.next = (set.next + 1) % WAYS;
            }
        }
        self.version += 1;
        true
    }

    /// Becomes a copy of `other`, without allocation.
    pub fn copy_from(&mut self, other: &NeighbourTable) {
        self.sets.copy_from_slice(&other.sets);
        self.version = other.version;
    }
}

/// Addresses that follow each other, as those of one link do, have sets that follow each other.
fn set_of(ip: IpAddr) -> usize {
    let last = match ip {
        IpAddr::V4(ip) => ip.octets()[3],
        IpAddr::V6(ip) => ip.octets()[15],
    };
    usize::from(last) % SETS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn station(text: &str, mac: u8) -> Station {
        Station { ip: ip(text), mac: Mac([2, 0, 0, 0, 0, mac]) }
    }

    fn place(us: &str, prefix_len: u8, gateway: Option<&str>) -> Place {
        Place { us: station(us, 1), prefix_len, gateway: gateway.map(ip) }
    }

    #[test]
    fn packets_for_other_links_go_to_the_gateway() {
        let alone = place("192.0.2.1", 24, None);
        assert_eq!(alone.next_hop(ip("192.0.2.255")), Some(ip("192.0.2.255")));
        assert_eq!(alone.next_hop(ip("192.0.3.1")), None);
        let routed = place("192.0.2.1", 25, Some("192.0.2.126"));
        assert_eq!(routed.next_hop(ip("192.0.2.127")), Some(ip("192.0.2.127")));
        assert_eq!(routed.next_hop(ip("192.0.2.128")), Some(ip("192.0.2.126")));
        assert_eq!(routed.next_hop(ip("2001:db8::1")), None, "the gateway speaks IPv4");
        assert_eq!(place("192.0.2.1", 0, None).next_hop(ip("203.0.113.9")), Some(ip("203.0.113.9")));
        assert_eq!(place("192.0.2.1", 32, None).next_hop(ip("192.0.2.2")), None);
        let ipv6 = place("2001:db8::1", 64, Some("fe80::1"));
        assert_eq!(ipv6.next_hop(ip("2001:db8::ffff:0:0:2")), Some(ip("2001:db8::ffff:0:0:2")));
        assert_eq!(ipv6.next_hop(ip("2001:db8:0:1::2")), Some(ip("fe80::1")));
        assert_eq!(ipv6.next_hop(ip("fe80::2")), Some(ip("fe80::2")));
    }

    #[test]
    fn who_asks_or_tells_us_is_added_and_who_tells_others_is_not() {
        let us = place("192.0.2.1", 24, None);
        let peer = station("192.0.2.2", 2);
        let asks = |target: &str| Neighbour::Solicitation { from: peer, target: ip(target) };
        assert_eq!(us.lesson(&asks("192.0.2.1")), Some((peer, true)));
        assert_eq!(us.lesson(&asks("192.0.2.2")), Some((peer, false)), "an announcement");
        let tells = |to| Neighbour::Advertisement { from: peer, to };
        assert_eq!(us.lesson(&tells(us.us)), Some((peer, true)));
        assert_eq!(us.lesson(&tells(station("192.0.2.3", 3))), Some((peer, false)));
    }

    #[test]
    fn nothing_is_learned_of_groups_of_strangers_and_of_ourselves() {
        let us = place("192.0.2.1", 24, None);
        for from in [station("192.0.2.1", 9), station("198.51.100.1", 2), station("0.0.0.0", 2)] {
            assert_eq!(us.lesson(&Neighbour::Solicitation { from, target: us.us.ip }), None, "{from:?}");
        }
        for mac in [Mac::BROADCAST, Mac::default()] {
            let from = Station { ip: ip("192.0.2.2"), mac };
            assert_eq!(us.lesson(&Neighbour::Advertisement { from, to: us.us }), None, "{mac}");
        }
    }

    #[test]
    fn a_table_changes_only_with_news_and_copies_follow() {
        let mut table = NeighbourTable::new();
        assert!(!table.learn(station("192.0.2.2", 2), false), "not known");
        assert!(table.learn(station("192.0.2.2", 2), true));
        assert!(!table.learn(station("192.0.2.2", 2), true), "known");
        assert!(table.learn(station("192.0.2.2", 3), false), "moved");
        assert_eq!(table.find(ip("192.0.2.2")), Some(Mac([2, 0, 0, 0, 0, 3])));
        assert_eq!(table.find(ip("192.0.3.2")), None, "of the same set");
        let mut copy = NeighbourTable::new();
        copy.copy_from(&table);
        assert_eq!((copy.find(ip("192.0.2.2")), copy.version()), (table.find(ip("192.0.2.2")), 2));
    }

    #[test]
    fn the_oldest_of_a_full_set_goes() {
        let mut table = NeighbourTable::new();
        let same_set = |net: usize| station(&format!("10.0.{net}.7"), net as u8);
        (0..=WAYS).for_each(|net| assert!(table.learn(same_set(net), true)));
        assert_eq!(table.find(same_set(0).ip), None);
        (1..=WAYS).for_each(|net| assert_eq!(table.find(same_set(net).ip), Some(same_set(net).mac)));
    }
}
