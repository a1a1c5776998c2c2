//! A listener: remembered from `listen` to `unlisten`, whether something can serve it or not.

use std::net::{IpAddr, SocketAddr};

use crate::ListenerState;

/// Where connections are taken.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) address: SocketAddr,
    /// Why nothing can serve it now; `None`: something can.
    waits_for: Option<String>,
}

impl Listener {
    pub(super) fn new(address: SocketAddr) -> Listener {
        Listener { address, waits_for: Some("it was not looked at yet".into()) }
    }

    /// Whether a request for `port` of our address `ip` is for it, and how exactly: an address beats every address.
    pub(super) fn matches(&self, ip: IpAddr, port: u16) -> Option<bool> {
        let exactly = self.address.ip() == ip;
        let every = self.address.ip().is_unspecified() && self.address.is_ipv4() == ip.is_ipv4();
        (self.address.port() == port && (exactly || every)).then_some(exactly)
    }

    pub(super) fn state(&self) -> ListenerState {
        match &self.waits_for {
            None => ListenerState::Listening,
            Some(reason) => ListenerState::Waiting(reason.clone()),
        }
    }

    /// What came of opening its devices: it listens if one of them is open.
    pub(super) fn opened(&mut self, results: Vec<Result<(), String>>) {
        let before = self.waits_for.take();
        if !results.iter().any(Result::is_ok) {
            let why = results.into_iter().find_map(Result::err);
            self.waits_for = Some(why.unwrap_or_else(|| "no network interface has an address".into()));
        } else if before.is_some() {
            tracing::info!("listening at {}", self.address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(address: &str) -> Listener {
        Listener::new(address.parse().expect("an address"))
    }

    #[test]
    fn an_address_matches_itself_and_every_address_its_kind() {
        let here: IpAddr = "192.0.2.1".parse().expect("an address");
        assert_eq!(listener("192.0.2.1:5555").matches(here, 5555), Some(true));
        assert_eq!(listener("192.0.2.1:5555").matches(here, 5556), None);
        assert_eq!(listener("192.0.2.2:5555").matches(here, 5555), None);
        assert_eq!(listener("0.0.0.0:5555").matches(here, 5555), Some(false));
        assert_eq!(listener("[::]:5555").matches(here, 5555), None);
    }

    #[test]
    fn it_listens_if_one_address_could_be_opened_and_else_says_why_not() {
        let mut listener = listener("0.0.0.0:5555");
        listener.opened(vec![Err("taken".into()), Ok(())]);
        assert_eq!(listener.state(), ListenerState::Listening);
        listener.opened(vec![Err("taken".into())]);
        assert_eq!(listener.state(), ListenerState::Waiting("taken".into()));
        listener.opened(vec![]);
        assert!(matches!(listener.state(), ListenerState::Waiting(_)));
    }
}
