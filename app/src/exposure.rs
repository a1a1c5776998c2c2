//! Targets that let everybody in, on listeners that others than this host can reach: somebody should have meant that, so it is said aloud, in
//! the log, in `srp_get_targets` and in the metrics. A group of which everybody is a member says that it is meant.

use std::collections::BTreeSet;
use std::time::Duration;

use reactor::Instant;
use transport_srp::{Controller, InitiatorGroupInfo};

const PERIOD: Duration = Duration::from_secs(1);

/// What was said already.
#[derive(Default)]
pub(crate) struct Exposure {
    looked: Instant,
    known: BTreeSet<String>,
}

impl Exposure {
    /// Looks, if it is time, and tells of each target that has become open since.
    pub(crate) fn look(&mut self, controller: &Controller, now: Instant) {
        if now.since(self.looked) < PERIOD {
            return;
        }
        self.looked = now;
        let open = open_targets(controller);
        for target in open.difference(&self.known) {
            tracing::warn!(
                target = %target,
                "everybody who reaches this target's listeners can read and write its disks: let only those in who should, with srp_create_initiator_group (srptctl group create)"
            );
        }
        self.known = open;
    }
}

/// Targets with LUNs that no initiator group is about, if a listener can be reached from other hosts.
pub(crate) fn open_targets(controller: &Controller) -> BTreeSet<String> {
    if controller.listeners().iter().all(|listener| listener.address.ip().to_canonical().is_loopback()) {
        return BTreeSet::new();
    }
    let groups = controller.initiator_groups();
    let is_about = |group: &InitiatorGroupInfo, name: &str| group.target.as_deref().is_none_or(|of| of == name);
    let targets = controller.targets().into_iter();
    let open =
        targets.filter(|target| !target.luns.is_empty() && !groups.iter().any(|group| is_about(group, &target.name)));
    open.map(|target| target.name).collect()
}
