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
        for target in self.news(controller) {
            tracing::warn!(
                target = %target,
                "everybody who reaches this target's listeners can read and write its disks: let only those in who should, with srp_create_initiator_group (srptctl group create)"
            );
        }
    }

    /// Which targets have become open. That a listener's only address goes and comes again is no news.
    fn news(&mut self, controller: &Controller) -> BTreeSet<String> {
        let (unguarded, open) = (unguarded_targets(controller), open_targets(controller));
        self.known.retain(|target| unguarded.contains(target));
        let news = &open - &self.known;
        self.known.extend(open);
        news
    }
}

/// Targets with LUNs that no initiator group is about, if a listener can be reached from other hosts.
pub(crate) fn open_targets(controller: &Controller) -> BTreeSet<String> {
    match controller.listeners().iter().all(|listener| listener.address.ip().to_canonical().is_loopback()) {
        true => BTreeSet::new(),
        false => unguarded_targets(controller),
    }
}

fn unguarded_targets(controller: &Controller) -> BTreeSet<String> {
    let groups = controller.initiator_groups();
    let is_about = |group: &InitiatorGroupInfo, name: &str| group.target.as_deref().is_none_or(|of| of == name);
    let targets = controller.targets().into_iter();
    let open =
        targets.filter(|target| !target.luns.is_empty() && !groups.iter().any(|group| is_about(group, &target.name)));
    open.map(|target| target.name).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::testing::Bench;

    /// An interface lost its only address for some seconds, again and again, and each time the log told of every open target.
    #[test]
    fn a_target_is_told_of_again_only_if_it_was_guarded_in_between() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut bench, mut exposure) = (Bench::new(folder.path()), Exposure::default());
        bench.must("bdev_null_create", json!({"name": "null0", "num_blocks": 8, "block_size": 512}));
        bench.must("srp_create_target", json!({"name": "tgt0", "id_ext": 1, "ioc_guid": 2}));
        bench.must("srp_target_add_lun", json!({"target": "tgt0", "bdev_name": "null0"}));
        let listener = json!({"address": "192.0.2.1", "port": 5555});
        let mut news = |bench: &Bench| exposure.news(&bench.appliance.controller).len();
        assert_eq!(news(&bench), 0, "there is no listener");
        for told in [1, 0] {
            bench.must("srp_create_listener", listener.clone());
            assert_eq!(news(&bench), told);
            bench.must("srp_delete_listener", listener.clone());
            assert_eq!(news(&bench), 0);
        }
        bench.must("srp_create_listener", listener);
        bench.must("srp_create_initiator_group", json!({"name": "g", "initiators": ["192.0.2.2"]}));
        assert_eq!(news(&bench), 0);
        bench.must("srp_delete_initiator_group", json!({"name": "g"}));
        assert_eq!(news(&bench), 1);
    }
}
