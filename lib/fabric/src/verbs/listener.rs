//! A listener: remembered from `listen` to `unlisten`, whether something can serve it or not.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use rustix::io::Errno;

use super::cm::{CmId, EventChannel};
use crate::{FabricError, ListenerId, ListenerState, Service, ib_service_id};

#[derive(Debug)]
pub(super) struct Listener {
    address: SocketAddr,
    service: Service,
    /// There while it listens.
    id: Option<CmId>,
    /// Why it does not.
    waits_for: String,
}

impl Listener {
    pub(super) fn new(address: SocketAddr, service: Service, waits_for: String) -> Listener {
        Listener { address, service, id: None, waits_for }
    }

    pub(super) fn is_at(&self, address: SocketAddr, service: Service) -> bool {
        (self.address, self.service) == (address, service)
    }

    /// For the log.
    fn name(&self) -> String {
        match self.service {
            Service::Ip => self.address.to_string(),
            Service::Ib => {
                format!("GID {}, service id {:#018x}", self.address.ip(), ib_service_id(self.address.port()))
            }
        }
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
            tracing::warn!("listener {} waits: {reason}", self.name());
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
        match CmId::listen(channel, number.0, self.address, self.service) {
            Ok(id) => {
                tracing::info!("listening at {}", self.name());
                self.id = Some(id);
                Ok(())
            }
            Err(error) => {
                let taken = is_taken(self.address, self.service, &error);
                self.wait_for(&reason(self.address, self.service, &error, taken));
                if taken { Err(FabricError::AddressInUse { address: self.address }) } else { Ok(()) }
            }
        }
    }

    /// The device under it went away.
    pub(super) fn lose_device(&mut self) {
        self.id = None;
        self.wait_for("its device was removed");
    }
}

/// Whether the port is what cannot be had. The kernel says EADDRNOTAVAIL both for an address that this host does not have
/// and for a clash with a listener at every address (cma_check_port), so the former is asked for.
fn is_taken(address: SocketAddr, service: Service, error: &io::Error) -> bool {
    match errno(error) {
        Some(Errno::ADDRINUSE) => true,
        Some(Errno::ADDRNOTAVAIL) if service == Service::Ip => {
            address.ip().is_unspecified() || UdpSocket::bind((address.ip(), 0)).is_ok()
        }
        _ => false,
    }
}

/// What stands in the way, in words for the administrator.
fn reason(address: SocketAddr, service: Service, error: &io::Error, taken: bool) -> String {
    match errno(error) {
        _ if taken => format!("another listener has port {}", address.port()),
        Some(Errno::NODEV | Errno::ADDRNOTAVAIL) if service == Service::Ib => {
            let gid = address.ip();
            format!(
                "no InfiniBand port has the GID {gid}: see /sys/class/infiniband/*/ports/*/gids/0, or listen at :: for all"
            )
        }
        Some(Errno::AFNOSUPPORT) => "this kernel knows no connections by GID (AF_IB)".into(),
        Some(Errno::NODEV | Errno::ADDRNOTAVAIL) => {
            let ip = address.ip();
            format!("no RDMA device has the address {ip}: `rdma link` shows which network interfaces have one")
        }
        _ => error.to_string(),
    }
}

fn errno(error: &io::Error) -> Option<Errno> {
    error.raw_os_error().map(Errno::from_raw_os_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(address: &str, errno: i32) -> (bool, String) {
        judge_service(address, Service::Ip, errno)
    }

    fn judge_service(address: &str, service: Service, errno: i32) -> (bool, String) {
        let (address, error) = (address.parse().expect("an address"), io::Error::from_raw_os_error(errno));
        let taken = is_taken(address, service, &error);
        (taken, reason(address, service, &error, taken))
    }

    #[test]
    fn of_infiniband_gids_are_spoken_of() {
        let gid = "[fe80::2:c903:0:1]:5555";
        let (taken, reason) = judge_service(gid, Service::Ib, 99);
        assert!(!taken && reason.contains("fe80::2:c903:0:1") && reason.contains("/sys/class/infiniband"), "{reason}");
        let (taken, reason) = judge_service(gid, Service::Ib, 97);
        assert!(!taken && reason.contains("AF_IB"), "{reason}");
        assert!(judge_service(gid, Service::Ib, 98).0);
    }

    #[test]
    fn an_address_without_a_device_is_named_with_where_to_look() {
        for errno in [19, 99] {
            let (taken, reason) = judge("192.0.2.1:5555", errno);
            assert!(!taken && reason.contains("192.0.2.1") && reason.contains("rdma link"), "{reason}");
        }
    }

    #[test]
    fn a_taken_port_is_told_from_a_missing_address() {
        for (address, errno) in
            [("192.0.2.1:5555", 98), ("0.0.0.0:5555", 99), ("[::]:5555", 99), ("127.0.0.1:5555", 99)]
        {
            let (taken, reason) = judge(address, errno);
            assert!(taken && reason.contains("5555"), "{address}: {reason}");
        }
    }
}
