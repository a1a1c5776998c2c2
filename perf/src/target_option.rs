//! One `--target`: where it listens, and which target and unit it is, in the words of a login string of Linux.

use std::net::SocketAddr;
use std::str::FromStr;

use scsi::Lun;

/// What is said of one target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TargetOption {
    /// Where it listens.
    pub address: SocketAddr,
    /// First half of its port identifier.
    pub id_ext: Option<u64>,
    /// Second half of it.
    pub ioc_guid: Option<u64>,
    /// Number of the logical unit.
    pub lun: Option<u16>,
}

impl TargetOption {
    /// A target of which nothing else is said.
    pub fn at(address: SocketAddr) -> TargetOption {
        TargetOption { address, id_ext: None, ioc_guid: None, lun: None }
    }
}

impl FromStr for TargetOption {
    type Err = String;

    /// The address stands for itself, or behind `dest=`, so that a login string may be given as it is printed.
    fn from_str(text: &str) -> Result<TargetOption, String> {
        let (mut address, mut id_ext, mut ioc_guid, mut lun) = (None, None, None, None);
        for part in text.split(',') {
            let twice = match part.split_once('=') {
                None => address.replace(socket_address(part)?).is_some(),
                Some(("dest", value)) => address.replace(socket_address(value)?).is_some(),
                Some(("id_ext", value)) => id_ext.replace(hex(value)?).is_some(),
                Some(("ioc_guid", value)) => ioc_guid.replace(hex(value)?).is_some(),
                Some(("lun", value)) => lun.replace(lun_number(value)?).is_some(),
                Some((name, _)) => return Err(format!("{name:?} is not known: there are id_ext, ioc_guid and lun")),
            };
            if twice {
                return Err(format!("{part:?} was said before: give one --target for each target"));
            }
        }
        let address = address.ok_or_else(|| format!("{text:?} has no address: begin it with ADDRESS:PORT"))?;
        Ok(TargetOption { address, id_ext, ioc_guid, lun })
    }
}

fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("{text:?} is no address and port: write it as 10.0.0.1:5555 or [fd00::1]:5555"))
}

fn lun_number(text: &str) -> Result<u16, String> {
    let number: Option<u16> = text.parse().ok().filter(|number| *number <= Lun::MAX.0);
    number.ok_or_else(|| format!("lun {text:?}: a number from 0 to {} is needed", Lun::MAX.0))
}

/// Half of a port identifier.
pub(crate) fn hex(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text).replace(':', "");
    u64::from_str_radix(&digits, 16)
        .map_err(|_| format!("{text:?} is no port identifier: 1 to 16 hex digits are needed, like 0x0002c90300001234"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_an_address_and_whatever_else_is_said() {
        let at = |address: &str| TargetOption::at(address.parse().expect("an address"));
        assert_eq!("10.0.0.1:5555".parse(), Ok(at("10.0.0.1:5555")));
        assert_eq!("[fd00::1]:5555,lun=16383".parse(), Ok(TargetOption { lun: Some(16383), ..at("[fd00::1]:5555") }));
        let all = TargetOption { id_ext: Some(0x11), ioc_guid: Some(0x22), ..at("10.0.0.1:5555") };
        assert_eq!("id_ext=0011,ioc_guid=0x22,dest=10.0.0.1:5555".parse(), Ok(all), "a login string");
    }

    #[test]
    fn what_is_wrong_with_a_target_is_named() {
        for (text, word) in [
            ("", "\"\""),
            ("lun=1", "no address"),
            ("10.0.0.1", "10.0.0.1:5555"),
            ("10.0.0.1:5555,lun=16384", "16383"),
            ("10.0.0.1:5555,id_ext=x", "\"x\""),
            ("10.0.0.1:5555,pkey=ffff", "pkey"),
            ("10.0.0.1:5555,10.0.0.2:5555", "before"),
            ("10.0.0.1:5555,lun=1,lun=2", "before"),
        ] {
            let said = text.parse::<TargetOption>().expect_err("it is wrong");
            assert!(said.contains(word), "{text}: {said}");
        }
    }

    #[test]
    fn identifiers_are_hex_as_in_a_login_string() {
        assert_eq!(hex("0002c90300001234"), Ok(0x0002_c903_0000_1234));
        assert_eq!(hex("0x0002:c903:0000:1234"), Ok(0x0002_c903_0000_1234));
        assert!(hex("xyz").is_err() && hex("").is_err() && hex("11111111111111111").is_err());
    }
}
