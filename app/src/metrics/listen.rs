//! Where metrics are served.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::str::FromStr;

use anyhow::Context;

/// A port of nobody's: Prometheus' list of exporters begins at 9100, and IANA has no service there.
const DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 5590);

/// What the option asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Listen {
    /// Nothing is served.
    Off,
    /// It has to be there; port 0 is any free one.
    At(SocketAddr),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Listen, String> {
        match text {
            "off" => Ok(Listen::Off),
            _ => text.parse().map(Listen::At).map_err(|_| {
                format!("{text:?} is no address with a port, such as 127.0.0.1:5590 or [::]:5590; off: no metrics")
            }),
        }
    }
}

/// Listens. `None` of the option is the usual place, if it is free.
///
/// # Errors
/// The place that the option names cannot be had.
pub(crate) fn bind(option: Option<Listen>) -> anyhow::Result<Option<TcpListener>> {
    match option {
        Some(Listen::Off) => Ok(None),
        Some(Listen::At(address)) => TcpListener::bind(address).map(Some).with_context(|| {
            format!("cannot listen on {address} for --metrics-listen: choose a port that is free and an address of this host, or off")
        }),
        None => match TcpListener::bind(DEFAULT) {
            Ok(listener) => Ok(Some(listener)),
            Err(error) => {
                tracing::warn!(address = %DEFAULT, %error, "metrics are not served: choose another place with --metrics-listen, or off");
                Ok(None)
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_with_a_port_or_off() {
        assert_eq!("off".parse(), Ok(Listen::Off));
        assert_eq!("[::]:80".parse(), Ok(Listen::At("[::]:80".parse().expect("an address"))));
        for wrong in ["", "on", "5590", "127.0.0.1", "localhost:5590", "127.0.0.1:99999"] {
            assert!(wrong.parse::<Listen>().is_err_and(|said| said.contains("5590")), "{wrong}");
        }
    }

    #[test]
    fn a_place_that_was_asked_for_and_is_taken_is_an_error_that_names_the_option() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = taken.local_addr().expect("an address");
        let said = format!("{:#}", bind(Some(Listen::At(address))).expect_err("it is taken"));
        assert!(said.contains("--metrics-listen") && said.contains(&address.to_string()), "{said}");
        assert!(bind(Some(Listen::Off)).expect("nothing to do").is_none());
    }
}
