//! Names of initiators: as SCST and LIO have them, and as our groups do.
//!
//! SCST calls an initiator by the GID of its port (InfiniBand's own connection manager) or by its address (RDMA/CM). LIO calls it by the GID, too, or
//! by the initiator port identifier. Ours are port identifiers, whose second half is the GUID of the port, and addresses.

use std::net::IpAddr;

use super::options::hex_digits;

/// Our patterns for a name; none if there is no such thing. A negated name of SCST's (`!x`) is everybody but `x`.
pub(crate) fn patterns(name: &str) -> Option<Vec<String>> {
    if let Some(rest) = name.strip_prefix('!') {
        let not = pattern(rest)?;
        return Some(vec!["*".into(), format!("!{not}")]);
    }
    pattern(name).map(|pattern| vec![pattern])
}

fn pattern(name: &str) -> Option<String> {
    let digits = hex_digits(name).unwrap_or_default();
    let is_gid = name.matches(':').count() == 7 && name.len() == 39;
    let written_out = !name.contains(':');
    match (digits.len(), digits.get(16..)) {
        // Whatever the subnet and the initiator extension.
        (32, Some(port)) if is_gid || (written_out && digits.starts_with("fe80")) => return Some(format!("0x*{port}")),
        (32, _) if written_out => return Some(format!("0x{digits}")),
        (16, _) => return Some(format!("0x*{digits}")),
        _ => {}
    }
    if name.parse::<IpAddr>().is_ok() {
        return Some(name.into());
    }
    let wild = name.contains(['*', '?']);
    let plain =
        !name.contains(':') && name.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, '*' | '?' | '.' | 'x'));
    // With colons, one cannot tell which part of a GID is meant.
    (wild && plain).then(|| name.to_ascii_lowercase())
}

/// The names by which SCST would know the initiators of our patterns; none if it cannot.
pub(crate) fn scst_names(patterns: &[String]) -> Option<Vec<String>> {
    match patterns {
        [all, not] if all == "*" && not.starts_with('!') => scst_name(&not[1..]).map(|name| vec![format!("!{name}")]),
        _ => patterns.iter().map(|pattern| scst_name(pattern)).collect(),
    }
}

fn scst_name(pattern: &str) -> Option<String> {
    if let Some(port) = pattern.strip_prefix("0x*").filter(|rest| rest.len() == 16) {
        let digits = format!("fe80000000000000{port}");
        let words: Vec<&str> = (0..8).filter_map(|word| digits.get(4 * word..4 * word + 4)).collect();
        return hex_digits(port).map(|_| words.join(":"));
    }
    (!pattern.starts_with('!') && !pattern.contains('/')).then(|| pattern.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_patterns() {
        for (name, expected) in [
            ("fe80:0000:0000:0000:0002:c903:0005:f34b", Some("0x*0002c9030005f34b")),
            ("0xfe800000000000000002c9030005f34b", Some("0x*0002c9030005f34b")),
            ("ib.fe800000000000000002c9030005f34b", Some("0x*0002c9030005f34b")),
            ("0x00000000000000010002c9030005f34b", Some("0x00000000000000010002c9030005f34b")),
            ("0002:c903:0005:f34b", Some("0x*0002c9030005f34b")),
            ("192.168.7.5", Some("192.168.7.5")),
            ("fd00::5", Some("fd00::5")),
            ("192.168.*", Some("192.168.*")),
            ("*", Some("*")),
            ("fe80:*:f34b", None),
            ("iqn.1993-08.org.debian:01:abc", None),
            ("25:00:00:f0:99:87:94:a3", Some("0x*250000f0998794a3")),
            ("", None),
            ("é*", None),
        ] {
            assert_eq!(pattern(name).as_deref(), expected, "{name}");
        }
        assert_eq!(patterns("!192.168.7.*"), Some(vec!["*".into(), "!192.168.7.*".into()]));
        assert_eq!(patterns("!what"), None);
    }

    #[test]
    fn patterns_become_names() {
        let names = |patterns: &[&str]| scst_names(&patterns.iter().map(|one| one.to_string()).collect::<Vec<_>>());
        assert_eq!(names(&["0x*0002c9030005f34b"]), Some(vec!["fe80:0000:0000:0000:0002:c903:0005:f34b".into()]));
        assert_eq!(names(&["*", "!10.0.0.1"]), Some(vec!["!10.0.0.1".into()]));
        assert_eq!(names(&["10.0.0.*", "10.1.0.1"]), Some(vec!["10.0.0.*".into(), "10.1.0.1".into()]));
        assert_eq!(names(&["10.0.0.0/8"]), None);
        assert_eq!(names(&["10.0.0.*", "!10.0.0.1"]), None);
        assert_eq!(names(&["0x*é2c9030005f34b"]), Some(vec!["0x*é2c9030005f34b".into()]));
    }
}
