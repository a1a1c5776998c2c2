//! States of the target's port group, and of single units there: which of them a command may have met.

use std::collections::BTreeMap;

use scsi::PathState;
use scsi::alua::AccessState;

/// The group that the target is in.
pub(super) const GROUP: &str = "group";

/// What an administrator can set.
pub(super) const STATES: [AccessState; 5] = [
    AccessState::Optimized,
    AccessState::NonOptimized,
    AccessState::Standby,
    AccessState::Unavailable,
    AccessState::Offline,
];

/// A set of states of the path.
pub(super) type States = u8;

/// Reads and writes are carried out.
pub(super) const ACTIVE: States = 1 << PathState::Active as u8;
/// PERSISTENT RESERVE OUT is.
pub(super) const MANAGEABLE: States = ACTIVE | 1 << PathState::Standby as u8;

/// The states, and what commands under way have met.
#[derive(Debug, Default)]
pub(super) struct Paths {
    of_all: AccessState,
    /// Units with a state of their own.
    of_units: BTreeMap<usize, AccessState>,
    transitions: Vec<Transition>,
    /// By the moment a command was sent: its unit, and the states since.
    met: BTreeMap<u64, (usize, States)>,
}

#[derive(Clone, Copy, Debug)]
struct Transition {
    /// `None`: all.
    unit: Option<usize>,
    to: AccessState,
    until: u64,
}

impl Paths {
    /// The administrator sets a state, of a unit or of all; `until`: it is transitioning before.
    pub(super) fn set(&mut self, unit: Option<usize>, state: AccessState, until: Option<u64>) {
        self.transitions.retain(|transition| unit.is_some() && transition.unit != unit);
        if unit.is_none() {
            self.of_units.clear();
        }
        if let Some(until) = until {
            self.transitions.push(Transition { unit, to: state, until });
        }
        self.put(unit, until.map_or(state, |_| AccessState::Transitioning));
    }

    /// A unit is gone, with the state of its own.
    pub(super) fn forget(&mut self, unit: usize) {
        self.transitions.retain(|transition| transition.unit != Some(unit));
        self.of_units.remove(&unit);
        self.look();
    }

    /// The control plane had a turn.
    pub(super) fn pass(&mut self, now: u64) {
        let ended: Vec<Transition> = self.transitions.extract_if(.., |it| it.until <= now).collect();
        ended.into_iter().for_each(|transition| self.put(transition.unit, transition.to));
    }

    /// A command was sent.
    pub(super) fn starts(&mut self, start: u64, unit: usize) {
        self.met.insert(start, (unit, 0));
        self.look();
    }

    /// It is over: the states that it may have met.
    pub(super) fn ends(&mut self, start: u64) -> States {
        self.met.remove(&start).map_or(States::MAX, |(_, states)| states)
    }

    fn put(&mut self, unit: Option<usize>, state: AccessState) {
        match unit {
            Some(unit) => drop(self.of_units.insert(unit, state)),
            None => self.of_all = state,
        }
        self.look();
    }

    fn look(&mut self) {
        for (unit, states) in self.met.values_mut() {
            let state = self.of_units.get(unit).copied().unwrap_or(self.of_all);
            *states |= 1 << state.path() as u8;
        }
    }
}

/// The state that NOT READY tells of.
pub(super) fn told(sense: Option<(u8, u8, u8)>) -> Option<PathState> {
    match sense? {
        (0x02, 0x04, 0x0a) => Some(PathState::Transitioning),
        (0x02, 0x04, 0x0b) => Some(PathState::Standby),
        (0x02, 0x04, 0x0c) => Some(PathState::Unavailable),
        (0x02, 0x04, 0x12) => Some(PathState::Offline),
        _ => None,
    }
}
