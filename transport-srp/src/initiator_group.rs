//! Which initiators may log in, and what they see: allow-lists by initiator port id or peer address, with wildcards.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::administration::AdminError;
use crate::session::UnitId;
use crate::target::Target;
use crate::wire::port_id::PortId;

/// Initiators that are treated alike. The first group of a target (in the order of creation) that matches an initiator decides what it sees; a target
/// that no group is about lets everybody in.
#[derive(Clone, Debug)]
pub struct InitiatorGroup {
    pub(crate) name: String,
    pub(crate) target: Option<String>,
    pub(crate) initiators: Vec<Pattern>,
    pub(crate) luns: GroupLuns,
}

/// What the members of a group see.
#[derive(Clone, Debug)]
pub(crate) enum GroupLuns {
    /// All LUNs of the target.
    All,
    /// Some of them.
    Some(Vec<u16>),
    /// A map of the group's own.
    Own(BTreeMap<u16, GroupLun>),
}

impl GroupLuns {
    /// All, those in a list, or with an empty one a map of the group's own.
    pub(crate) fn new(luns: Option<Vec<u16>>) -> GroupLuns {
        match luns {
            None => GroupLuns::All,
            Some(luns) if luns.is_empty() => GroupLuns::Own(BTreeMap::new()),
            Some(luns) => GroupLuns::Some(luns),
        }
    }
}

/// An entry of a group's own map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct GroupLun {
    pub(crate) source: GroupLunSource,
    pub(crate) read_only: bool,
}

/// Where an entry leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum GroupLunSource {
    /// To a unit, which no target needs to export.
    Unit(UnitId),
    /// To whatever is behind this LUN of the member's target.
    TargetLun(u16),
}

impl InitiatorGroup {
    /// A group with a unique name, about one target, or about every one (`None`). An initiator belongs to it if one of the patterns
    /// matches, and no negated one. Members see all LUNs of the target, or those in `luns`; an empty list begins a map of the group's own.
    pub fn new(
        name: String,
        target: Option<String>,
        initiators: Vec<Pattern>,
        luns: Option<Vec<u16>>,
    ) -> InitiatorGroup {
        // One that stands there twice is there once: whoever takes it out takes it out.
        let mut once = Vec::new();
        for pattern in initiators {
            if !once.contains(&pattern) {
                once.push(pattern);
            }
        }
        InitiatorGroup { name, target, initiators: once, luns: GroupLuns::new(luns) }
    }

    /// Its own map; begun if need be.
    pub(crate) fn own_map(&mut self) -> &mut BTreeMap<u16, GroupLun> {
        if !matches!(self.luns, GroupLuns::Own(_)) {
            self.luns = GroupLuns::Own(BTreeMap::new());
        }
        match &mut self.luns {
            GroupLuns::Own(map) => map,
            GroupLuns::All | GroupLuns::Some(_) => unreachable!("it was just made"),
        }
    }

    /// An entry of its own map.
    pub(crate) fn entry(&self, lun: u16) -> Result<GroupLun, AdminError> {
        let found = match &self.luns {
            GroupLuns::Own(map) => map.get(&lun).copied(),
            GroupLuns::All | GroupLuns::Some(_) => None,
        };
        found.ok_or_else(|| AdminError::NotFound(format!("lun: the map of {} has no LUN {lun}", self.name)))
    }

    /// The units that its own map leads to.
    pub(crate) fn units(&self) -> impl Iterator<Item = UnitId> {
        let own = match &self.luns {
            GroupLuns::Own(map) => Some(map),
            GroupLuns::All | GroupLuns::Some(_) => None,
        };
        own.into_iter().flat_map(BTreeMap::values).filter_map(GroupLun::unit)
    }

    /// Whether an initiator belongs to the group.
    pub fn contains(&self, initiator: &PortId, peer: IpAddr) -> bool {
        let (positive, negative): (Vec<&Pattern>, Vec<&Pattern>) =
            self.initiators.iter().partition(|pattern| !pattern.negated);
        positive.iter().any(|pattern| pattern.matches(initiator, peer))
            && !negative.iter().any(|pattern| pattern.matches(initiator, peer))
    }

    /// Whether logins to a target are this group's business.
    pub fn is_about(&self, target: &str) -> bool {
        self.target.as_deref().is_none_or(|of| of == target)
    }
}

impl GroupLun {
    pub(crate) fn unit(&self) -> Option<UnitId> {
        match self.source {
            GroupLunSource::Unit(unit) => Some(unit),
            GroupLunSource::TargetLun(_) => None,
        }
    }

    /// The unit that members of a group see on a target.
    pub(crate) fn unit_at(&self, target: &Target) -> Option<UnitId> {
        match self.source {
            GroupLunSource::Unit(unit) => Some(unit),
            GroupLunSource::TargetLun(lun) => target.luns.get(&lun).map(|lun| lun.unit),
        }
    }
}

/// One entry of an allow-list: an initiator port id (`0x` and 32 hex digits), a peer address, either with `*` and `?`, or a network
/// (`10.0.0.0/8`). A leading `!` keeps out what the others let in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern {
    negated: bool,
    what: What,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum What {
    /// Lower case, compared with the port id and with the address in text form.
    Glob(String),
    Network {
        address: IpAddr,
        bits: u8,
    },
}

/// Why a text is no pattern.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "`{0}` is no initiator: give a port id (0x and 32 hex digits), an IP address, either with * or ?, or a network like 10.0.0.0/8; ! in front keeps it out"
)]
pub struct PatternError(String);

impl Pattern {
    fn matches(&self, initiator: &PortId, peer: IpAddr) -> bool {
        match &self.what {
            What::Glob(glob) => {
                glob_matches(glob.as_bytes(), hex(initiator).as_bytes())
                    || glob_matches(glob.as_bytes(), peer.to_string().as_bytes())
            }
            What::Network { address, bits } => network_contains(*address, *bits, peer),
        }
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Pattern, PatternError> {
        let error = || PatternError(text.to_string());
        let (negated, rest) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
        if let Some((address, bits)) = rest.split_once('/') {
            let address: IpAddr = address.parse().map_err(|_| error())?;
            let bits: u8 = bits.parse().map_err(|_| error())?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            return if bits <= most {
                Ok(Pattern { negated, what: What::Network { address, bits } })
            } else {
                Err(error())
            };
        }
        let glob = rest.to_ascii_lowercase();
        let known = |c: char| c.is_ascii_hexdigit() || matches!(c, '*' | '?' | '.' | ':' | 'x');
        let complete = glob.contains(['*', '?'])
            || glob.parse::<IpAddr>().is_ok()
            || glob
                .strip_prefix("0x")
                .is_some_and(|digits| digits.len() == 32 && digits.chars().all(|c| c.is_ascii_hexdigit()));
        if glob.is_empty() || !glob.chars().all(known) || !complete {
            return Err(error());
        }
        Ok(Pattern { negated, what: What::Glob(glob) })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = if self.negated { "!" } else { "" };
        match &self.what {
            What::Glob(glob) => write!(f, "{not}{glob}"),
            What::Network { address, bits } => write!(f, "{not}{address}/{bits}"),
        }
    }
}

fn hex(id: &PortId) -> String {
    id.0.iter().fold(String::from("0x"), |text, byte| format!("{text}{byte:02x}"))
}

fn glob_matches(glob: &[u8], text: &[u8]) -> bool {
    match (glob.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            glob_matches(rest, text) || text.split_first().is_some_and(|(_, text)| glob_matches(glob, text))
        }
        (Some((b'?', rest)), Some((_, text))) => glob_matches(rest, text),
        (Some((a, rest)), Some((b, text))) if a == b => glob_matches(rest, text),
        _ => false,
    }
}

fn network_contains(network: IpAddr, bits: u8, peer: IpAddr) -> bool {
    let same = |a: u128, b: u128, width: u32| {
        let shift = width - u32::from(bits);
        a.checked_shr(shift).unwrap_or(0) == b.checked_shr(shift).unwrap_or(0)
    };
    match (network, peer) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port() -> PortId {
        let mut id = [0; 16];
        id[8..].copy_from_slice(&0xe81c_f0ff_fe83_cea9u64.to_be_bytes());
        PortId(id)
    }

    fn group(patterns: &[&str]) -> InitiatorGroup {
        let initiators = patterns.iter().map(|text| text.parse().expect("a pattern")).collect();
        InitiatorGroup::new("g".into(), None, initiators, None)
    }

    #[test]
    fn initiators_are_matched_by_port_id_address_wildcard_and_network() {
        let peer: IpAddr = "10.77.0.3".parse().expect("an address");
        for pattern in [
            "*",
            "0x0000000000000000E81CF0FFFE83CEA9",
            "0x*cea9",
            "10.77.0.3",
            "10.77.0.?",
            "10.77.*",
            "10.77.0.0/24",
            "0.0.0.0/0",
        ] {
            assert!(group(&[pattern]).contains(&port(), peer), "{pattern} should match");
        }
        for pattern in ["0x*ceaa", "10.77.0.4", "10.78.*", "10.77.1.0/24", "::/0", "10.77.0.??"] {
            assert!(!group(&[pattern]).contains(&port(), peer), "{pattern} should not match");
        }
    }

    #[test]
    fn a_negated_pattern_keeps_out_what_another_lets_in() {
        let peer: IpAddr = "10.77.0.3".parse().expect("an address");
        assert!(!group(&["*", "!10.77.0.3"]).contains(&port(), peer));
        assert!(group(&["*", "!10.77.0.4"]).contains(&port(), peer));
        assert!(!group(&["!10.77.0.4"]).contains(&port(), peer), "nothing lets it in");
    }

    #[test]
    fn texts_that_are_no_pattern_are_refused() {
        for text in ["", "!", "host.example", "0x12", "10.0.0.0/33", "10.0.0/8", "10.0.0.300", "fe80::/129"] {
            assert!(text.parse::<Pattern>().is_err(), "{text} should be refused");
        }
    }
}
