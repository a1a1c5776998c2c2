//! Local addresses, and the path MTU that an interface allows.

use std::io;
use std::net::IpAddr;

use nix::net::if_::{InterfaceFlags, if_nametoindex};
use nix::sys::socket::SockaddrStorage;

use super::interface_mtu::mtu_of;
use crate::roce::wire::{BTH_LEN, ICRC_LEN, RETH_LEN};

/// The local address of a device, and what the interface below it allows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    /// Its name, as `ip link` shows it.
    pub name: String,
    /// Its index: the scope of link-local addresses.
    pub index: u32,
    /// The address.
    pub address: IpAddr,
    /// Largest IP packet in bytes.
    pub mtu: u32,
}

/// IP MTU that is assumed where the system does not tell: Ethernet's.
const MTU_UNKNOWN: u32 = 1500;

/// Every address of every interface that is up, and of every port that DPDK drives.
///
/// # Errors
/// The system does not tell.
pub fn interfaces() -> io::Result<Vec<Interface>> {
    let up = nix::ifaddrs::getifaddrs()?.filter(|entry| entry.flags.contains(InterfaceFlags::IFF_UP));
    let interfaces = up.filter_map(|entry| {
        let address = ip_of(&entry.address?)?;
        let name = match entry.interface_name.split_once(':') {
            Some((interface, _label)) => interface.to_owned(),
            None => entry.interface_name,
        };
        let index = if_nametoindex(name.as_str()).ok()?;
        let mtu = mtu_of(&name).unwrap_or(MTU_UNKNOWN);
        Some(Interface { name, index, address, mtu })
    });
    #[cfg(feature = "dpdk")]
    let interfaces = interfaces.chain(super::dpdk::interfaces());
    Ok(interfaces.collect())
}

fn ip_of(address: &SockaddrStorage) -> Option<IpAddr> {
    let ipv4 = address.as_sockaddr_in().map(|ipv4| ipv4.ip().into());
    ipv4.or_else(|| address.as_sockaddr_in6().map(|ipv6| ipv6.ip().into()))
}

impl Interface {
    /// Largest path MTU in bytes (IBTA: 256 to 4096) whose packets fit the interface; `None` if none does.
    pub fn path_mtu_max(&self) -> Option<u32> {
        path_mtu_max(self.address, self.mtu)
    }
}

/// Largest path MTU in bytes whose packets fit an IP MTU, with the longest headers that we send or let a peer send: of a
/// WRITE with immediate data.
pub fn path_mtu_max(address: IpAddr, ip_mtu: u32) -> Option<u32> {
    let ip_header = if address.is_ipv4() { 20 } else { 40 };
    let headers = ip_header + 8 + (BTH_LEN + RETH_LEN + 4 + ICRC_LEN) as u32;
    [4096, 2048, 1024, 512, 256].into_iter().find(|path_mtu| path_mtu + headers <= ip_mtu)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn loopback_is_listed_with_its_mtu() {
        let all = interfaces().unwrap();
        let loopback = all.iter().find(|interface| interface.address == Ipv4Addr::LOCALHOST).expect("127.0.0.1");
        assert_eq!(loopback.name, "lo");
        assert_eq!(loopback.index, 1);
        assert_eq!(loopback.mtu, mtu_of("lo").unwrap());
    }

    #[test]
    fn path_mtu_leaves_room_for_the_longest_headers() {
        let (ipv4, ipv6) = (IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST));
        for (address, ip_mtu, expected) in [
            (ipv4, 4160, Some(4096)),
            (ipv4, 4159, Some(2048)),
            (ipv6, 4180, Some(4096)),
            (ipv6, 4179, Some(2048)),
            (ipv4, 1500, Some(1024)),
            (ipv6, 1280, Some(1024)),
            (ipv4, 576, Some(512)),
            (ipv4, 320, Some(256)),
            (ipv4, 319, None),
        ] {
            assert_eq!(path_mtu_max(address, ip_mtu), expected, "{address} {ip_mtu}");
        }
    }
}
