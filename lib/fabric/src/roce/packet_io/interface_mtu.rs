//! The MTU of a network interface, asked by ioctl: `/sys` shows the interfaces of the network namespace in which it was
//! mounted, which need not be ours.
#![allow(unsafe_code, reason = "the ioctl takes its structure by address")]

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

/// Largest IP packet that an interface carries, in bytes (netdevice(7), SIOCGIFMTU).
///
/// # Errors
/// There is no such interface, or its name is too long.
pub(super) fn mtu_of(name: &str) -> io::Result<u32> {
    let socket = UdpSocket::bind("127.0.0.1:0").or_else(|_| UdpSocket::bind("[::1]:0"))?;
    let mut request = libc::ifreq { ifr_name: [0; 16], ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_mtu: 0 } };
    if name.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    // SAFETY: SIOCGIFMTU reads the name, which ends with a zero byte because it is shorter than its array, and writes the
    // MTU into the structure, which is ours for the length of the call.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFMTU, &mut request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: SIOCGIFMTU filled this member of the union; any bits are a valid integer.
    let mtu = unsafe { request.ifr_ifru.ifru_mtu };
    u32::try_from(mtu).map_err(|_| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_one_and_nonsense_has_none() {
        assert!(mtu_of("lo").expect("it is always there") >= 1500);
        assert!(mtu_of("no such one").is_err());
        assert_eq!(mtu_of("a name that is too long").unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
