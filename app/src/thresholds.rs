//! Space that runs short beneath thin devices: once a second it is looked at, and initiators are told when the share in use passes
//! the threshold that the administrator set (SBC-3: THIN PROVISIONING SOFT THRESHOLD REACHED).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bdev::{Registry, Space};
use reactor::Instant;

const PERIOD: Duration = Duration::from_secs(1);

/// What was seen when it was looked at last.
#[derive(Default)]
pub(crate) struct Thresholds {
    looked: Instant,
    /// Devices whose threshold was reached.
    reached: BTreeSet<String>,
    /// Space beneath each device with a threshold.
    spaces: BTreeMap<String, Space>,
}

/// A device with a threshold as it is now.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    pub(crate) name: String,
    /// Space beneath, free or not.
    pub(crate) total_bytes: u64,
    /// What of it is left.
    pub(crate) free_bytes: u64,
    /// The threshold has been passed since the last look.
    pub(crate) passed: bool,
}

impl Thresholds {
    /// The devices with a threshold, if it is time. Those that stand on another are told of through that one.
    pub(crate) fn look(&mut self, bdevs: &Registry, now: Instant) -> Vec<Seen> {
        if now.since(self.looked) < PERIOD {
            return Vec::new();
        }
        self.looked = now;
        let own = bdevs.iter().filter(|bdev| bdev.base().is_none());
        let watched =
            own.filter_map(|bdev| Some((&*bdev.info().name, bdev.info().thin_threshold_percent?, bdev.space())));
        self.update(watched)
    }

    /// The space beneath a device with a threshold as it was seen last, without looking: a file system may not answer.
    pub(crate) fn space(&self, name: &str) -> Option<Space> {
        self.spaces.get(name).copied()
    }

    /// Takes name, threshold and space of each device. A file system that does not answer now is as full as it was.
    fn update<'a>(&mut self, watched: impl Iterator<Item = (&'a str, u8, Option<Space>)>) -> Vec<Seen> {
        let before = std::mem::take(&mut self.reached);
        let spaces = std::mem::take(&mut self.spaces);
        let mut seen = Vec::new();
        for (name, percent, space) in watched {
            let was_reached = before.contains(name);
            let reached = space.map_or(was_reached, |space| is_reached(was_reached, percent, space));
            if reached {
                self.reached.insert(name.into());
            }
            if let Some(space) = space.or_else(|| spaces.get(name).copied()) {
                self.spaces.insert(name.into(), space);
            }
            let passed = reached && !was_reached;
            let told = |space: Space| Seen {
                name: name.into(),
                total_bytes: space.total_bytes,
                free_bytes: space.free_bytes,
                passed,
            };
            seen.extend(space.map(told));
        }
        seen
    }
}

/// Whether a threshold is reached, given whether it was `before`. It takes one percent less to come back, so that use that wavers
/// about it is one event; with nothing below one percent.
fn is_reached(before: bool, percent: u8, space: Space) -> bool {
    let percent = if before { percent.saturating_sub(1).max(1) } else { percent };
    let used = space.total_bytes.saturating_sub(space.free_bytes);
    u128::from(used) * 100 >= u128::from(space.total_bytes) * u128::from(percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(used_bytes: u64, total_bytes: u64) -> Space {
        Space { total_bytes, free_bytes: total_bytes - used_bytes, allocated_bytes: 0 }
    }

    #[test]
    fn a_threshold_is_reached_from_its_percentage_on() {
        for (used, reached) in [(0, false), (7999, false), (8000, true), (10_000, true)] {
            assert_eq!(is_reached(false, 80, space(used, 10_000)), reached, "{used}");
        }
        assert!(is_reached(false, 99, space(u64::MAX, u64::MAX)));
        assert!(!is_reached(false, 50, space(u64::MAX / 2, u64::MAX)));
    }

    #[test]
    fn it_is_left_one_percent_below() {
        for (used, reached) in [(8000, true), (7999, true), (7900, true), (7899, false), (0, false)] {
            assert_eq!(is_reached(true, 80, space(used, 10_000)), reached, "{used}");
        }
        assert!(!is_reached(true, 1, space(99, 10_000)), "the lowest threshold can be left, too");
    }

    /// Names of the devices whose threshold was passed.
    fn passed(thresholds: &mut Thresholds, watched: &[(&str, u8, Option<Space>)]) -> Vec<String> {
        let seen = thresholds.update(watched.iter().copied());
        seen.into_iter().filter(|seen| seen.passed).map(|seen| seen.name).collect()
    }

    #[test]
    fn use_that_wavers_is_one_event_and_one_that_comes_back_is_another() {
        let mut thresholds = Thresholds::default();
        let mut events = Vec::new();
        for (at, used) in [10, 79, 80, 79, 81, 80, 79, 95, 78, 10, 80].into_iter().enumerate() {
            let watched = [("thin", 80, Some(space(used, 100))), ("other", 99, Some(space(used, 100)))];
            events.extend(passed(&mut thresholds, &watched).into_iter().map(|name| (at, name)));
        }
        assert_eq!(events, [(2, "thin".to_string()), (10, "thin".to_string())]);
    }

    #[test]
    fn a_file_system_that_does_not_answer_changes_nothing() {
        let mut thresholds = Thresholds::default();
        let full = Some(space(90, 100));
        for (space, events) in [(None, 0), (full, 1), (None, 0), (full, 0)] {
            assert_eq!(passed(&mut thresholds, &[("a", 80, space)]).len(), events);
        }
        assert_eq!(thresholds.update([("a", 80, None)].into_iter()), []);
        assert_eq!(thresholds.space("a"), full, "as it was seen last");
    }

    /// A device that was deleted and made again is another device.
    #[test]
    fn a_device_that_went_is_forgotten() {
        let mut thresholds = Thresholds::default();
        let full = ("a", 80, Some(space(90, 100)));
        for (watched, events) in [(&[full][..], 1), (&[], 0), (&[full], 1)] {
            assert_eq!(passed(&mut thresholds, watched).len(), events);
            assert_eq!(thresholds.space("a").is_some(), !watched.is_empty());
        }
    }

    /// Initiators are told the threshold as a number of blocks, which is another when the file system grows.
    #[test]
    fn the_space_of_every_watched_device_is_seen() {
        let mut thresholds = Thresholds::default();
        let seen = thresholds.update([("a", 80, Some(space(10, 300))), ("b", 80, Some(space(90, 100)))].into_iter());
        let expected =
            |name: &str, total_bytes, free_bytes, passed| Seen { name: name.into(), total_bytes, free_bytes, passed };
        assert_eq!(seen, [expected("a", 300, 290, false), expected("b", 100, 10, true)]);
    }

    #[test]
    fn a_look_is_once_a_second() {
        let mut thresholds = Thresholds::default();
        let at = |milliseconds| Instant::default().plus(Duration::from_millis(milliseconds));
        for (now, looked) in [(999, 0), (1000, 1000), (1999, 1000), (2500, 2500)] {
            thresholds.look(&Registry::new(), at(now));
            assert_eq!(thresholds.looked, at(looked));
        }
    }
}
