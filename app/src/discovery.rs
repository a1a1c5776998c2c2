//! What initiators on InfiniBand are told of the targets, so that `ibsrpdm` and `srp_daemon` find them.

use std::collections::BTreeSet;
use std::time::Duration;

use device_management::{Counts, Directory, Ports, Settings, Target};
use fabric::ib_service_id;
use reactor::Instant;
use transport_srp::{Controller, NATIVE_INFINIBAND, TargetInfo, limits};

use crate::options::Options;

/// How often ports and targets are looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// RDMA READs of a channel that initiators are told of: what the kernel's target says. How many there are is agreed at each login.
const READS: u8 = 4;

/// The agent, with the ports where it answers.
pub(crate) struct Discovery {
    directory: Directory,
    ports: Ports,
    next: Instant,
}

impl Discovery {
    /// One that finds its ports at the next poll.
    pub(crate) fn new(options: &Options) -> Discovery {
        let settings = Settings {
            service_ids: Vec::new(), // of the listeners, as they come
            send_queue_depth: u16::try_from(options.credits).unwrap_or(u16::MAX),
            rdma_read_depth: READS,
            send_bytes: limits::MAX_IT_IU_BYTES as u32,
            rdma_bytes: limits::TRANSFER_BYTES_MAX as u32,
        };
        Discovery { directory: Directory::new(settings), ports: Ports::default(), next: Instant::default() }
    }

    /// Looks at ports and targets, if it is time, and answers what has come. `controller` is `None` while a configuration is half there: then the targets are
    /// those of before. Returns whether anything has come.
    pub(crate) fn poll(&mut self, controller: Option<&Controller>, now: Instant) -> bool {
        if let Some(controller) = controller.filter(|_| now >= self.next) {
            self.next = now.plus(PERIOD);
            let listeners = controller.listeners().into_iter().filter(|listener| listener.fabric == NATIVE_INFINIBAND);
            let service_ids: BTreeSet<u64> = listeners.map(|listener| ib_service_id(listener.address.port())).collect();
            self.directory.set_service_ids(&Vec::from_iter(service_ids.iter().copied()));
            // Who is found must be able to log in; until then the ports are left to the kernel's target, or whoever wants them.
            if service_ids.is_empty() {
                self.ports.leave()
            } else {
                self.ports.look()
            }
            let targets = controller.targets().into_iter();
            let target = |it: TargetInfo| Target { name: it.name, id_ext: it.id_ext, ioc_guid: it.ioc_guid };
            self.directory.set_targets(&targets.map(target).collect::<Vec<_>>());
        }
        self.ports.poll(&self.directory)
    }

    /// What became of requests, by port.
    pub(crate) fn counts(&self) -> Vec<(String, Counts)> {
        self.ports.counts().collect()
    }
}
