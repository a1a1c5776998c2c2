//! Ethernet addresses of peers, learned from their packets.

use std::net::IpAddr;

use crate::roce::wire::Mac;

/// Peers that are remembered (those whose place is taken by another are reached through the kernel). A power of 2.
const PLACES: usize = 256;

/// The two ends of the link that a frame came over.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Link {
    /// Ours.
    pub local: Mac,
    /// The peer's, or that of the router on the way to it.
    pub peer: Mac,
}

/// Which link leads to a peer.
#[derive(Debug)]
pub struct Neighbours {
    places: Box<[Option<(IpAddr, Link)>; PLACES]>,
}

impl Neighbours {
    pub fn new() -> Neighbours {
        Neighbours { places: Box::new([None; PLACES]) }
    }

    /// A good packet came from that peer, over that link if it could be seen.
    #[inline]
    pub fn learn_if_seen(&mut self, peer: IpAddr, link: Option<Link>) {
        if let Some(link) = link {
            self.places[place_of(peer)] = Some((peer, link));
        }
    }

    /// How to reach a peer, if it is known.
    #[inline]
    pub fn find(&self, peer: IpAddr) -> Option<Link> {
        self.places[place_of(peer)].filter(|(known, _)| *known == peer).map(|(_, link)| link)
    }
}

/// By the part of the address that differs on a link.
fn place_of(peer: IpAddr) -> usize {
    let [.., high, low] = match peer {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(address) => address.to_bits() as u32,
    }
    .to_be_bytes();
    usize::from(high ^ low) % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_link_of_a_peer_is_found_until_another_takes_its_place() {
        let mut neighbours = Neighbours::new();
        let peer = |text: &str| text.parse::<IpAddr>().unwrap();
        let link = |last| Link { local: Mac([2, 0, 0, 0, 0, 1]), peer: Mac([2, 0, 0, 0, 0, last]) };
        neighbours.learn_if_seen(peer("192.0.2.1"), Some(link(1)));
        neighbours.learn_if_seen(peer("192.0.2.2"), Some(link(2)));
        neighbours.learn_if_seen(peer("2001:db8::9"), Some(link(9)));
        neighbours.learn_if_seen(peer("192.0.2.1"), Some(link(3)));
        assert_eq!(neighbours.find(peer("192.0.2.1")), Some(link(3)));
        assert_eq!(neighbours.find(peer("192.0.2.2")), Some(link(2)));
        assert_eq!(neighbours.find(peer("2001:db8::9")), Some(link(9)));
        assert_eq!(neighbours.find(peer("192.0.2.3")), None);
        neighbours.learn_if_seen(peer("198.51.2.1"), Some(link(4))); // the same place
        assert_eq!(neighbours.find(peer("192.0.2.1")), None);
    }
}
