//! Who may write or read, at every moment: SPC-4's persistent reservations as plain sets, and every way that it can have gone.
//!
//! Of a PERSISTENT RESERVE OUT without an answer nobody knows whether it was carried out, so there are several ways: each is a
//! state, with what the answers to such commands are going to say. An answer strikes out the ways that do not fit; one that fits none is a failure
//! (linearizability). A read or write is answered GOOD if some state since it was sent allowed it, and RESERVATION CONFLICT
//! if some state forbade it.

use std::collections::{BTreeMap, BTreeSet};

/// Initiators at most.
pub(super) const INITIATORS_MAX: usize = 3;

/// Types of reservations: write exclusive and exclusive access, of one, of registrants only, of all registrants.
pub(super) const KINDS: [u8; 6] = [1, 3, 5, 6, 7, 8];

/// A PERSISTENT RESERVE OUT. Keys are 0 to 3; 0 is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Out {
    pub(super) service: Service,
    pub(super) kind: u8,
    pub(super) key: u8,
    pub(super) action_key: u8,
    /// APTPL, of the two that register.
    pub(super) persists: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Service {
    Register = 0,
    Reserve = 1,
    Release = 2,
    Clear = 3,
    Preempt = 4,
    PreemptAndAbort = 5,
    RegisterAndIgnore = 6,
}

/// What the answer to one says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Verdict {
    Good,
    Conflict,
    /// ILLEGAL REQUEST.
    Refused,
}

/// The reservations of a unit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub(super) struct State {
    /// The key of each initiator.
    pub(super) keys: [u8; INITIATORS_MAX],
    /// Type, and the holder unless it is all registrants'.
    pub(super) held: Option<(u8, Option<usize>)>,
    /// The last one that registered or unregistered wanted all this kept.
    pub(super) persists: bool,
}

impl State {
    /// Whether a reservation stands against a command.
    fn forbids(&self, by: usize, writes: bool) -> bool {
        let Some((kind, holder)) = self.held else { return false };
        let may_all = if matches!(kind, 1 | 3) { holder == Some(by) } else { self.keys[by] != 0 };
        !may_all && (writes || matches!(kind, 3 | 6 | 8))
    }

    pub(super) fn is_holder(&self, by: usize) -> bool {
        match self.held {
            Some((_, Some(holder))) => holder == by,
            Some((_, None)) => self.keys[by] != 0,
            None => false,
        }
    }

    fn hold(&mut self, kind: u8, by: usize) {
        self.held = Some((kind, (kind < 7).then_some(by)));
    }

    /// A reservation ends with the registrations of those who hold it.
    fn unregister(&mut self, is_named: impl Fn(usize, u8) -> bool) {
        for (who, key) in self.keys.iter_mut().enumerate() {
            *key = if is_named(who, *key) { 0 } else { *key };
        }
        let is_held = match self.held {
            Some((_, Some(holder))) => self.keys[holder] != 0,
            _ => self.keys != [0; INITIATORS_MAX],
        };
        self.held = self.held.filter(|_| is_held);
    }

    fn carry_out(&mut self, out: Out, by: usize) -> Verdict {
        let Out { service, kind, key, action_key, persists } = out;
        let registers = matches!(service, Service::Register | Service::RegisterAndIgnore);
        if service != Service::RegisterAndIgnore && key != self.keys[by] || !registers && key == 0 {
            return Verdict::Conflict;
        }
        match service {
            Service::Register | Service::RegisterAndIgnore if action_key == 0 && self.keys[by] == 0 => {}
            Service::Register | Service::RegisterAndIgnore => {
                match action_key {
                    0 => self.unregister(|who, _| who == by),
                    _ => self.keys[by] = action_key,
                }
                self.persists = persists;
            }
            Service::Reserve => match self.held {
                None => self.hold(kind, by),
                Some((held, _)) if held == kind && self.is_holder(by) => {}
                Some(_) => return Verdict::Conflict,
            },
            Service::Release => match self.held {
                Some((held, _)) if self.is_holder(by) && held != kind => return Verdict::Refused,
                held => self.held = held.filter(|_| !self.is_holder(by)),
            },
            Service::Clear => *self = State { persists: self.persists, ..State::default() },
            Service::Preempt | Service::PreemptAndAbort => {
                let takes = match self.held {
                    Some((_, Some(holder))) => action_key != 0 && self.keys[holder] == action_key,
                    Some((_, None)) => action_key == 0,
                    None => false,
                };
                let is_named = |key: u8| key != 0 && (action_key == 0 || key == action_key);
                match (takes, action_key) {
                    (false, 0) => return Verdict::Refused,
                    (false, _) if !self.keys.contains(&action_key) => return Verdict::Conflict,
                    _ => {}
                }
                if takes {
                    self.hold(kind, by);
                }
                self.unregister(|who, key| is_named(key) && !(takes && who == by));
            }
        }
        Verdict::Good
    }
}

/// One way that it can have gone: the state, and how commands without an answer ended in it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
struct Way {
    state: State,
    done: BTreeMap<u64, Verdict>,
}

/// A read or write under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Access {
    by: usize,
    writes: bool,
    /// In some state since it was sent.
    pub(super) allowed: bool,
    pub(super) forbidden: bool,
}

/// All that is known of one unit's.
#[derive(Debug)]
pub(super) struct Reservations {
    /// PERSISTENT RESERVE OUT without an end, by the moment they were sent.
    open: BTreeMap<u64, (usize, Out)>,
    ways: BTreeSet<Way>,
    accesses: BTreeMap<u64, Access>,
}

impl Reservations {
    pub(super) fn new() -> Reservations {
        Reservations { open: BTreeMap::new(), ways: BTreeSet::from([Way::default()]), accesses: BTreeMap::new() }
    }

    /// How many PERSISTENT RESERVE OUT have no end.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    /// A state that is possible.
    pub(super) fn state(&self) -> State {
        self.ways.first().expect("there is always a way").state
    }

    /// Whether a state is possible.
    pub(super) fn may_be(&self, state: &State) -> bool {
        self.ways.iter().any(|way| way.state == *state)
    }

    /// A PERSISTENT RESERVE OUT was sent.
    pub(super) fn asked(&mut self, start: u64, by: usize, out: Out) {
        self.open.insert(start, (by, out));
        self.follow();
    }

    /// It was answered.
    pub(super) fn answered(&mut self, start: u64, verdict: Verdict) {
        let before = self.ways.clone();
        let fits = |way: &Way| way.done.get(&start) == Some(&verdict);
        let fitting: Vec<Way> = before.iter().filter(|way| fits(way)).cloned().collect();
        assert!(!fitting.is_empty(), "{:?} was answered {verdict:?}, in {before:?}", self.open[&start]);
        self.close(start, fitting);
    }

    /// It was surely not carried out.
    pub(super) fn not_carried_out(&mut self, start: u64) {
        let fitting: Vec<Way> = self.ways.iter().filter(|way| !way.done.contains_key(&start)).cloned().collect();
        self.close(start, fitting);
    }

    /// It was carried out or not, and will not be any more.
    pub(super) fn ended(&mut self, start: u64) {
        self.close(start, self.ways.iter().cloned().collect());
    }

    /// The unit is new: nothing is left of what was, but what was to persist.
    pub(super) fn reset(&mut self) {
        let kept = |state: State| if state.persists { state } else { State::default() };
        self.ways = self.ways.iter().map(|way| Way { state: kept(way.state), ..way.clone() }).collect();
        self.follow();
    }

    /// A read or write was sent.
    pub(super) fn access_starts(&mut self, start: u64, by: usize, writes: bool) {
        self.accesses.insert(start, Access { by, writes, allowed: false, forbidden: false });
        self.look();
    }

    /// It is over.
    pub(super) fn access_ends(&mut self, start: u64) -> Option<Access> {
        self.accesses.remove(&start)
    }

    fn close(&mut self, start: u64, mut ways: Vec<Way>) {
        self.open.remove(&start);
        for way in &mut ways {
            way.done.remove(&start);
        }
        self.ways = ways.into_iter().collect();
    }

    /// Adds every way that goes on with commands which have no answer.
    fn follow(&mut self) {
        let mut new: Vec<Way> = self.ways.iter().cloned().collect();
        while let Some(way) = new.pop() {
            for (&start, &(by, out)) in self.open.iter().filter(|(start, _)| !way.done.contains_key(start)) {
                let mut next = way.clone();
                let verdict = next.state.carry_out(out, by);
                next.done.insert(start, verdict);
                if self.ways.insert(next.clone()) {
                    new.push(next);
                }
            }
        }
        self.look();
    }

    /// Notes what the possible states mean to commands under way.
    fn look(&mut self) {
        let states: BTreeSet<State> = self.ways.iter().map(|way| way.state).collect();
        for access in self.accesses.values_mut() {
            for state in &states {
                match state.forbids(access.by, access.writes) {
                    true => access.forbidden = true,
                    false => access.allowed = true,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTER: Out = Out { service: Service::Register, kind: 0, key: 0, action_key: 1, persists: false };
    const RESERVE: Out = Out { service: Service::Reserve, kind: 1, key: 1, action_key: 0, persists: false };

    fn reserved() -> Reservations {
        let mut of = Reservations::new();
        for (start, out) in [(1, REGISTER), (2, RESERVE)] {
            of.asked(start, 0, out);
            of.answered(start, Verdict::Good);
        }
        of
    }

    #[test]
    fn a_write_of_another_is_forbidden_from_the_answer_to_reserve_on() {
        let mut of = Reservations::new();
        of.asked(1, 0, REGISTER);
        of.answered(1, Verdict::Good);
        of.asked(2, 0, RESERVE);
        of.access_starts(3, 1, true);
        of.answered(2, Verdict::Good);
        of.access_starts(4, 1, true);
        let before = of.access_ends(3).unwrap();
        assert!(before.allowed && before.forbidden, "while it is under way, either");
        assert!(!of.access_ends(4).unwrap().allowed);
        of.access_starts(5, 1, false);
        assert!(!of.access_ends(5).unwrap().forbidden, "write exclusive: all may read");
    }

    #[test]
    fn what_was_lost_may_be_carried_out_until_it_has_ended() {
        let mut of = reserved();
        of.asked(5, 0, Out { service: Service::Clear, ..RESERVE });
        of.access_starts(6, 1, true);
        assert!(of.access_ends(6).unwrap().allowed);
        of.ended(5);
        assert!(of.may_be(&State::default()) && of.ways.len() == 2, "nobody knows which");
        of.not_carried_out(5);
        assert_eq!(of.ways.len(), 2, "too late to know");
    }

    #[test]
    fn a_new_unit_has_what_was_to_persist() {
        let mut of = reserved();
        of.reset();
        assert_eq!(of.state(), State::default());
        of.asked(3, 0, Out { persists: true, ..REGISTER });
        of.answered(3, Verdict::Good);
        let before = of.state();
        of.reset();
        assert_eq!(of.state(), before);
        assert_eq!(before.keys[0], 1);
    }

    #[test]
    #[should_panic(expected = "was answered Good")]
    fn two_cannot_hold_it() {
        let mut of = reserved();
        of.asked(3, 1, Out { action_key: 2, ..REGISTER });
        of.answered(3, Verdict::Good);
        of.asked(4, 1, Out { key: 2, kind: 3, ..RESERVE });
        of.answered(4, Verdict::Good);
    }
}
