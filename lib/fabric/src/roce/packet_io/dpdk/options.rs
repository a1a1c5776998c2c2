//! What is to be said of DPDK and its ports before they start.

use std::net::IpAddr;
use std::str::FromStr;

/// How DPDK is started.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Options {
    /// Arguments of its environment (EAL), separated by blanks; of CPUs and devices it hears by itself. Empty: memory from
    /// huge pages, or ordinary pages if too few are free.
    pub eal_arguments: String,
    /// CPUs of the reactors.
    pub cpus: Vec<u32>,
    /// The ports to drive.
    pub ports: Vec<PortOptions>,
}

/// A port, and its place in the network. As text: `DEVICE ADDRESS/PREFIX [via GATEWAY] [mtu BYTES]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortOptions {
    /// PCI address (`0000:01:00.0`) or virtual device (`net_af_packet0,iface=eth0`), with the driver's own parameters
    /// behind commas.
    pub device: String,
    /// Its IP address.
    pub address: IpAddr,
    /// Length in bits of its network's prefix.
    pub prefix_len: u8,
    /// Router for addresses that are not on its link.
    pub gateway: Option<IpAddr>,
    /// Largest IP packet in bytes; Ethernet's 1500 if nothing is said.
    pub mtu: u32,
}

/// MTU of a port of which nothing else is said.
const MTU_DEFAULT: u32 = 1500;

/// Smallest MTU of a network that carries IPv6 (RFC 8200, 5), and largest IP packet.
const MTU_RANGE: std::ops::RangeInclusive<u32> = 1280..=65_535;

/// Why a text does not describe a port.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}; a port is given as 'DEVICE ADDRESS/PREFIX [via GATEWAY] [mtu BYTES]'")]
pub struct PortError(String);

impl FromStr for PortOptions {
    type Err = PortError;

    fn from_str(text: &str) -> Result<PortOptions, PortError> {
        let mut words = text.split_whitespace();
        let mut next = |what: &str| words.next().ok_or_else(|| PortError(format!("the {what} is missing")));
        let device = next("device")?.to_owned();
        let network = next("address")?;
        let (address, prefix_len) = network
            .split_once('/')
            .ok_or_else(|| PortError(format!("{network}: the length of the prefix is missing")))?;
        let mut port = PortOptions {
            device,
            address: parse(address, "an IP address")?,
            prefix_len: parse(prefix_len, "the length of a prefix")?,
            gateway: None,
            mtu: MTU_DEFAULT,
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| PortError(format!("nothing stands behind {word}")));
            match word {
                "via" => port.gateway = Some(parse(value()?, "an IP address")?),
                "mtu" => port.mtu = parse(value()?, "a number of bytes")?,
                other => return Err(PortError(format!("{other} is neither via nor mtu"))),
            }
        }
        port.check().map_err(PortError)?;
        Ok(port)
    }
}

fn parse<T: FromStr>(word: &str, what: &str) -> Result<T, PortError> {
    word.parse().map_err(|_| PortError(format!("{word} is not {what}")))
}

impl PortOptions {
    /// Its device, without the driver's parameters.
    pub(super) fn name(&self) -> &str {
        self.device.split(',').next().unwrap_or_default()
    }

    pub(super) fn is_pci(&self) -> bool {
        self.name().contains(':')
    }

    /// Whether it is possible; if not, why.
    pub(super) fn check(&self) -> Result<(), String> {
        let PortOptions { device, address, prefix_len, gateway, mtu } = self;
        if address.is_unspecified() || address.is_multicast() {
            return Err(format!("{device}: {address} is no address of one host"));
        }
        if *prefix_len > if address.is_ipv4() { 32 } else { 128 } {
            return Err(format!("{device}: a prefix of {prefix_len} bits is longer than the address {address}"));
        }
        if let Some(gateway) = gateway.filter(|gateway| gateway.is_ipv4() != address.is_ipv4()) {
            return Err(format!("{device}: {address} and the gateway {gateway} are of different IP versions"));
        }
        if !MTU_RANGE.contains(mtu) {
            let (least, most) = MTU_RANGE.into_inner();
            return Err(format!("{device}: an MTU of {mtu} bytes, where {least} to {most} are possible"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_read_from_text() {
        let port: PortOptions = "0000:01:00.0 192.0.2.2/24 via 192.0.2.254 mtu 9000".parse().unwrap();
        let expected = PortOptions {
            device: "0000:01:00.0".into(),
            address: [192, 0, 2, 2].into(),
            prefix_len: 24,
            gateway: Some([192, 0, 2, 254].into()),
            mtu: 9000,
        };
        assert_eq!((&port, port.name(), port.is_pci()), (&expected, "0000:01:00.0", true));
        let port: PortOptions = "net_tap0,iface=x,mac=00:11:22:33:44:55  2001:db8::2/64".parse().unwrap();
        assert_eq!((port.name(), port.is_pci(), port.gateway, port.mtu), ("net_tap0", false, None, 1500));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, expected) in [
            ("", "the device is missing"),
            ("net_tap0", "the address is missing"),
            ("net_tap0 192.0.2.2", "the length of the prefix is missing"),
            ("net_tap0 192.0.2/24", "192.0.2 is not an IP address"),
            ("net_tap0 192.0.2.2/x", "x is not the length of a prefix"),
            ("net_tap0 192.0.2.2/33", "33 bits is longer"),
            ("net_tap0 2001:db8::2/129", "129 bits is longer"),
            ("net_tap0 0.0.0.0/24", "no address of one host"),
            ("net_tap0 224.0.0.1/24", "no address of one host"),
            ("net_tap0 192.0.2.2/24 via", "nothing stands behind via"),
            ("net_tap0 192.0.2.2/24 via fe80::1", "different IP versions"),
            ("net_tap0 192.0.2.2/24 mtu 1k", "1k is not a number of bytes"),
            ("net_tap0 192.0.2.2/24 mtu 1279", "1280 to 65535 are possible"),
            ("net_tap0 192.0.2.2/24 vlan 7", "vlan is neither via nor mtu"),
        ] {
            let error = text.parse::<PortOptions>().unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("DEVICE ADDRESS/PREFIX"), "{text}: {error}");
        }
    }
}
