//! A listener: remembered from `listen` to `unlisten`, whether something can serve it or not.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustix::io::Errno;

use super::cm::{CmId, EventChannel};
use crate::{FabricError, ListenerId, ListenerState};

#[derive(Debug)]
pub(super) struct Listener {
    address: SocketAddr,
    /// There while it listens.
    id: Option<CmId>,
    /// Why it does not.
    waits_for: String,
}

impl Listener {
    pub(super) fn new(address: SocketAddr, waits_for: String) -> Listener {
        Listener { address, id: None, waits_for }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn state(&self) -> ListenerState {
        match self.id {
            Some(_) => ListenerState::Listening,
            None => ListenerState::Waiting(self.waits_for.clone()),
        }
    }

    /// Why nothing can serve it now.
    pub(super) fn wait_for(&mut self, reason: &str) {
        if self.id.is_none() && self.waits_for != reason {
            tracing::warn!("listener {} waits: {reason}", self.address);
            self.waits_for = reason.into();
        }
    }

    /// Listens, if it does not already.
    ///
    /// # Errors
    /// The port is taken.
    pub(super) fn try_listen(&mut self, number: ListenerId, channel: &Arc<EventChannel>) -> Result<(), FabricError> {
        if self.id.is_some() {
            return Ok(());
        }
        match CmId::listen(channel, number.0, self.address) {
            Ok(id) => {
                tracing::info!("listening at {}", self.address);
                self.id = Some(id);
                Ok(())
            }
            Err(error) => {
                self.wait_for(&reason(self.address, &error));
                match errno(&error) {
                    Some(Errno::ADDRINUSE) => Err(FabricError::AddressInUse { address: self.address }),
                    _ => Ok(()),
                }
            }
        }
    }

    /// The device under it went away.
    pub(super) fn lose_device(&mut self) {
        self.id = None;
        self.wait_for("its device was removed");
    }
}

/// What stands in the way, in words for the administrator.
fn reason(address: SocketAddr, error: &io::Error) -> String {
    match errno(error) {
        Some(Errno::NODEV | Errno::ADDRNOTAVAIL) => {
            let ip = address.ip();
            format!("no RDMA device has the address {ip}: `rdma link` shows which network interfaces have one")
        }
        Some(Errno::ADDRINUSE) => format!("another listener has port {}", address.port()),
        _ => error.to_string(),
    }
}

fn errno(error: &io::Error) -> Option<Errno> {
    error.raw_os_error().map(Errno::from_raw_os_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_names_the_address_and_where_to_look() {
        let address = "192.0.2.1:5555".parse().expect("an address");
        let missing = reason(address, &io::Error::from_raw_os_error(19));
        assert!(missing.contains("192.0.2.1") && missing.contains("rdma link"), "{missing}");
        assert!(reason(address, &io::Error::from_raw_os_error(98)).contains("5555"));
    }
}
