//! What a set-up of another target does not say, and has to be told or chosen.

use std::net::{IpAddr, SocketAddr};

/// See above.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Where to listen; nothing: everywhere.
    pub(crate) listen: Vec<SocketAddr>,
    /// Fabric of the listeners.
    pub(crate) fabric: String,
    /// The `ioc_guid` and `id_ext` that initiators log in with (`srpt_service_guid`); the first target gets it.
    pub(crate) service_guid: Option<u64>,
    /// Target drivers (SCST) or fabrics (LIO) whose targets are taken over.
    pub(crate) drivers: Vec<String>,
}

impl Default for Options {
    fn default() -> Options {
        Options { listen: Vec::new(), fabric: "verbs".into(), service_guid: None, drivers: Vec::new() }
    }
}

/// Port that is listened at unless another is given.
pub(crate) const PORT: u16 = 5555;

/// `ADDRESS`, `ADDRESS:PORT` or `[ADDRESS]:PORT`.
pub(crate) fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    let with_port = text.parse::<SocketAddr>().ok();
    let without = || text.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, PORT));
    let found = with_port.or_else(without).filter(|address| address.port() != 0);
    found.ok_or_else(|| "an address is needed, with or without a port: 192.168.7.1:5555 or [fd00::1]:5555".into())
}

/// 16 hex digits, with colons or `0x` or without.
pub(crate) fn parse_guid(text: &str) -> Result<u64, String> {
    guid(text).ok_or_else(|| "16 hex digits are needed".into())
}

/// See [`parse_guid`].
pub(crate) fn guid(text: &str) -> Option<u64> {
    let digits = hex_digits(text)?;
    (digits.len() == 16).then(|| u64::from_str_radix(&digits, 16).ok()).flatten()
}

/// Lower case hex digits, without the `0x`, the `ib.` and the colons that may stand in such names.
pub(crate) fn hex_digits(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let text = text.strip_prefix("ib.").unwrap_or(&text);
    let digits = text.strip_prefix("0x").unwrap_or(text).replace(':', "");
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_guids_are_read() {
        for (text, expected) in
            [("10.0.0.1", "10.0.0.1:5555"), ("10.0.0.1:7", "10.0.0.1:7"), ("::1", "[::1]:5555"), ("[::1]:9", "[::1]:9")]
        {
            assert_eq!(parse_listen(text).map(|address| address.to_string()), Ok(expected.into()));
        }
        assert!(["", "host:5", "10.0.0.1:0", "10.0.0.1:99999"].into_iter().all(|text| parse_listen(text).is_err()));
        for text in ["0002:c903:0005:f34e", "0x0002c9030005f34e", "ib.0002C9030005F34E"] {
            assert_eq!(guid(text), Some(0x0002_c903_0005_f34e), "{text}");
        }
        assert!(["", "0x", "12", "0002c9030005f34x", "é"].into_iter().all(|text| guid(text).is_none()));
    }
}
