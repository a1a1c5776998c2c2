//! Sees what poll groups do, and panics when two of them do what must not happen at once. One witness per thread, as a rig is one.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::command::Command;
use crate::exclusion::Extent;
use crate::session::UnitId;
use crate::slab::Key;
use crate::task_set::Place;
use crate::wire::cmd::TaskAttribute;

/// A command: its group's number and its key.
type Who = (usize, u64);

#[derive(Default)]
struct Witness {
    /// What is at a device.
    operations: BTreeMap<Who, (UnitId, Extent)>,
    /// Blocks that somebody has to himself.
    claims: BTreeMap<Who, (UnitId, Extent)>,
    /// Commands that were started and have not ended.
    tasks: BTreeMap<Who, (UnitId, TaskAttribute)>,
    counts: Counts,
}

/// How often something was seen, so that a test can tell that there was something to see.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Counts {
    pub(crate) operations: u32,
    pub(crate) claims: u32,
    pub(crate) orders: u32,
}

thread_local! {
    static WITNESS: RefCell<Witness> = RefCell::default();
}

/// Forgets everything; returns what was counted.
pub(crate) fn forget() -> Counts {
    WITNESS.take().counts
}

/// What was counted so far.
pub(crate) fn count() -> Counts {
    WITNESS.with_borrow(|witness| witness.counts)
}

fn see(act: impl FnOnce(&mut Witness)) {
    WITNESS.with_borrow_mut(act);
}

pub(crate) fn submitted(group: usize, key: Key<Command>, unit: UnitId, extent: Extent) {
    let who = (group, key.to_bits());
    see(|witness| {
        for (owner, claim) in witness.claims.iter().filter(|(owner, _)| **owner != who) {
            let meets = claim.0 == unit && claim.1.overlaps(extent);
            assert!(!meets, "{who:?} works at {extent:?} of {owner:?}");
        }
        witness.operations.insert(who, (unit, extent));
        witness.counts.operations += 1;
    });
}

pub(crate) fn executed(group: usize, key: Key<Command>) {
    see(|witness| {
        witness.operations.remove(&(group, key.to_bits()));
    });
}

pub(crate) fn claimed(group: usize, key: Key<Command>, unit: UnitId, extent: Extent) {
    let who = (group, key.to_bits());
    see(|witness| {
        for (other, (at, theirs)) in witness.operations.iter().chain(&witness.claims) {
            assert!(*at != unit || !theirs.overlaps(extent), "{who:?} got {extent:?}, where {other:?} is");
        }
        witness.claims.insert(who, (unit, extent));
        witness.counts.claims += 1;
    });
}

pub(crate) fn started(group: usize, key: Key<Command>, command: &Command) {
    let (Some(unit), Some(attribute)) = (command.unit_id(), command.attribute()) else { return };
    see(|witness| {
        let mut others = witness.tasks.values().filter(|(at, _)| *at == unit).map(|(_, attribute)| *attribute);
        match attribute {
            TaskAttribute::Ordered => {
                assert!(others.all(|other| other == TaskAttribute::HeadOfQueue), "ORDERED starts before others ended");
                witness.counts.orders += 1;
            }
            TaskAttribute::Simple => {
                assert!(others.all(|other| other != TaskAttribute::Ordered), "SIMPLE starts beside ORDERED");
            }
            _ => {}
        }
        witness.tasks.insert((group, key.to_bits()), (unit, attribute));
    });
}

pub(crate) fn left(group: usize, key: Key<Command>, place: Place) {
    let who = (group, key.to_bits());
    see(|witness| {
        witness.tasks.remove(&who);
        if place.range.is_some() {
            witness.claims.remove(&who);
        }
    });
}
