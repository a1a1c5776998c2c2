//! IP addresses and ports on top of the connection manager (IBTA vol. 1, annex A11: RDMA IP CM service), and the codes
//! for addresses and path MTUs.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use super::mad::{Reader, Writer};

/// Service IDs of TCP ports: the port stands in the low 16 bits.
const SERVICE_ID_BASE: u64 = 0x0000_0000_0106_0000;

/// The service ID of a listener at this port.
pub const fn service_id(port: u16) -> u64 {
    SERVICE_ID_BASE + port as u64
}

/// The port of a listener's service ID; `None`: of another service.
pub const fn service_port(service_id: u64) -> Option<u16> {
    if service_id & !0xffff == SERVICE_ID_BASE { Some(service_id as u16) } else { None }
}

/// The path MTU in bytes that a code stands for; `None`: reserved.
pub const fn mtu_bytes(code: u8) -> Option<u32> {
    if 1 <= code && code <= 5 { Some(128 << code) } else { None }
}

/// The code of a path MTU of exactly that many bytes; `None`: there is no such path MTU.
pub const fn mtu_code(bytes: u32) -> Option<u8> {
    match bytes {
        256 => Some(1),
        512 => Some(2),
        1024 => Some(3),
        2048 => Some(4),
        4096 => Some(5),
        _ => None,
    }
}

/// An address of InfiniBand, which with RoCEv2 is an IP address: IPv4 in its IPv6-mapped form (annex A17.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Gid(pub [u8; 16]);

impl Gid {
    /// The IP address.
    pub fn ip(self) -> IpAddr {
        Ipv6Addr::from(self.0).to_canonical()
    }
}

impl From<IpAddr> for Gid {
    fn from(address: IpAddr) -> Gid {
        Gid(match address {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            IpAddr::V6(address) => address.octets(),
        })
    }
}

impl fmt::Display for Gid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ip().fmt(f)
    }
}

/// What RDMA/CM puts before the consumer's private data in a REQ (figure A11-1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RdmaCmHeader {
    /// Port of the active side.
    pub source_port: u16,
    /// Address of the active side.
    pub source: IpAddr,
    /// Address of the passive side, of the same IP version.
    pub destination: IpAddr,
}

/// Why private data does not begin with a header of RDMA/CM.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RdmaCmError {
    /// Too short for it.
    #[error("private data of {0} bytes is shorter than RDMA/CM's header")]
    Truncated(usize),
    /// Another version of RDMA/CM; the minor version, in the low 4 bits, does not matter.
    #[error("RDMA/CM of version {0:#04x}, not 0")]
    Version(u8),
    /// Neither IPv4 nor IPv6.
    #[error("IP version {0} in RDMA/CM's header")]
    IpVersion(u8),
}

impl RdmaCmHeader {
    /// Length in bytes.
    pub const LEN: usize = 36;

    /// Reads the header, and gives the consumer's private data behind it.
    ///
    /// # Errors
    /// It is none. Never panics.
    pub fn parse(private_data: &[u8]) -> Result<(RdmaCmHeader, &[u8]), RdmaCmError> {
        let (header, consumers) =
            private_data.split_first_chunk::<{ Self::LEN }>().ok_or(RdmaCmError::Truncated(private_data.len()))?;
        let mut fields = Reader(header);
        let [version, ip_version] = fields.bytes();
        let source_port = fields.u16();
        let [source, destination]: [[u8; 16]; 2] = [fields.bytes(), fields.bytes()];
        if version >> 4 != 0 {
            return Err(RdmaCmError::Version(version));
        }
        let address = |bytes: [u8; 16]| match ip_version >> 4 {
            4 => Ok(IpAddr::from(*bytes.last_chunk::<4>().expect("it is shorter than 16"))),
            6 => Ok(IpAddr::from(bytes)),
            other => Err(RdmaCmError::IpVersion(other)),
        };
        Ok((RdmaCmHeader { source_port, source: address(source)?, destination: address(destination)? }, consumers))
    }

    /// Writes it to the first [`RdmaCmHeader::LEN`] bytes of `out`.
    ///
    /// # Panics
    /// If `out` is shorter, or one address is IPv4 and the other IPv6: that would be our own bug.
    pub fn emit(&self, out: &mut [u8]) {
        assert_eq!(self.source.is_ipv4(), self.destination.is_ipv4(), "addresses of one IP version");
        let mut fields = Writer::new(&mut out[..Self::LEN]);
        fields.u8(0);
        fields.u8(if self.source.is_ipv4() { 4 << 4 } else { 6 << 4 });
        fields.u16(self.source_port);
        for address in [self.source, self.destination] {
            match address {
                IpAddr::V4(address) => {
                    fields.skip::<12>();
                    fields.bytes(&address.octets());
                }
                IpAddr::V6(address) => fields.bytes(&address.octets()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn service_ids_of_ports() {
        assert_eq!(service_id(5555), 0x0000_0000_0106_15b3);
        assert_eq!(service_port(service_id(0)), Some(0));
        assert_eq!(service_port(service_id(65535)), Some(65535));
        assert_eq!(service_port(0x0000_0000_0107_15b3), None, "a port of another kind");
        assert_eq!(service_port(0x0100_0000_0106_15b3), None);
        assert_eq!(service_port(0x02aa_bbff_fecc_dd01), None, "SRP's own, of InfiniBand");
    }

    #[test]
    fn path_mtus() {
        for (code, bytes) in [(1, 256), (2, 512), (3, 1024), (4, 2048), (5, 4096)] {
            assert_eq!((mtu_bytes(code), mtu_code(bytes)), (Some(bytes), Some(code)));
        }
        assert_eq!((mtu_bytes(0), mtu_bytes(6), mtu_bytes(255)), (None, None, None));
        assert_eq!((mtu_code(0), mtu_code(1500)), (None, None));
    }

    #[test]
    fn gids_are_ip_addresses() {
        for (address, shown) in [("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::1")] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(Gid::from(address).ip(), address);
            assert_eq!(Gid::from(address).to_string(), shown);
        }
        let mapped = Gid::from(IpAddr::from([192, 0, 2, 1]));
        assert_eq!(mapped.0, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1]);
    }

    #[test]
    fn headers_that_are_none_say_why() {
        let mut bytes = [0; 92];
        assert_eq!(RdmaCmHeader::parse(&bytes[..35]), Err(RdmaCmError::Truncated(35)));
        assert_eq!(RdmaCmHeader::parse(&bytes), Err(RdmaCmError::IpVersion(0)));
        bytes[0] = 0x10;
        assert_eq!(RdmaCmHeader::parse(&bytes), Err(RdmaCmError::Version(0x10)));
        bytes[..2].copy_from_slice(&[0x0f, 0x40]);
        assert!(RdmaCmHeader::parse(&bytes).is_ok(), "the minor version does not matter");
    }

    proptest! {
        #[test]
        fn headers_are_read_back_as_they_were_emitted(source_port: u16, v4: [[u8; 4]; 2], v6: [[u8; 16]; 2], is_v4: bool) {
            let [source, destination] = if is_v4 { v4.map(IpAddr::from) } else { v6.map(IpAddr::from) };
            let header = RdmaCmHeader { source_port, source, destination };
            let mut bytes = [0xee; 92];
            header.emit(&mut bytes);
            let (again, behind) = RdmaCmHeader::parse(&bytes).unwrap();
            prop_assert_eq!(again, header);
            prop_assert_eq!(behind, &[0xee; 56]);
        }

        #[test]
        fn any_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = RdmaCmHeader::parse(&bytes);
        }
    }
}
