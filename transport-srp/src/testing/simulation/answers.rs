//! What an answer may say.

use super::initiator::{Pending, What};
use super::model::stamp_of;
use super::order::ORDERED;
use super::paths::told;
use super::plan::Action;
use super::reservations::{Out, Service, Verdict};
use super::world::{BLOCK, Simulation};
use crate::testing::Answer;

const GOOD: u8 = 0;
const CHECK_CONDITION: u8 = 0x02;
const BUSY: u8 = 0x08;
const RESERVATION_CONFLICT: u8 = 0x18;
const TASK_SET_FULL: u8 = 0x28;
const TASK_ABORTED: u8 = 0x40;
/// Additional sense code.
const LUN_NOT_SUPPORTED: u8 = 0x25;

impl Simulation {
    pub(super) fn answered(&mut self, number: usize, pending: &Pending, answer: &Answer, now: u64) {
        self.check_status(pending, answer);
        self.check_reservations(number, pending, answer);
        self.check_path(pending, answer);
        if answer.status == GOOD {
            self.check_order(number, pending);
        }
        let good = answer.status == GOOD;
        let (oldest, start) = (self.oldest().min(pending.start), pending.start);
        match pending.what {
            What::Read { unit, lba, blocks } if good => {
                self.check_data(unit, lba, blocks, pending, answer);
            }
            What::Write { unit, lba, blocks, stamp } => {
                if good {
                    self.report.bytes_written += blocks * u64::from(BLOCK);
                }
                let medium = &mut self.disks[unit].medium;
                match is_refusal(answer) {
                    true => medium.write_refused(lba, blocks, stamp),
                    false => medium.write_ends(lba, blocks, stamp, good, now, oldest),
                }
            }
            What::Reserve { unit, out } => self.reserved(unit, out, start, answer),
            What::Read { .. } | What::Manage(_) | What::Other => {}
        }
    }

    fn check_status(&self, pending: &Pending, answer: &Answer) {
        let plan = &self.plan;
        let resets = plan.has(Action::Reset) || plan.has(Action::ResetBurst);
        let allowed = match answer.status {
            GOOD | BUSY | TASK_SET_FULL => true,
            RESERVATION_CONFLICT => plan.has(Action::Reserve),
            TASK_ABORTED => plan.initiators > 1 && (resets || plan.has(Action::Reserve)),
            CHECK_CONDITION if told(answer.key_and_code()).is_some() => plan.has(Action::SetState),
            CHECK_CONDITION => match answer.key_and_code().map(|(key, ..)| key) {
                Some(0x06) => true,
                Some(0x02..=0x04 | 0x0b) => self.errors_can_happen(),
                Some(0x05) => plan.has(Action::ToggleLun) || matches!(pending.what, What::Reserve { .. }),
                Some(0x07) => plan.has(Action::ToggleReadOnly),
                _ => false,
            },
            _ => false,
        };
        assert!(allowed, "{pending:?} was answered {:#04x} {:02x?}", answer.status, answer.key_and_code());
    }

    fn errors_can_happen(&self) -> bool {
        let of = [Action::DeviceError, Action::DeviceStall, Action::ToggleLun, Action::Fault];
        of.into_iter().any(|action| self.plan.has(action)) || self.plan.network.faults.fail_operation > 0
    }

    /// A PERSISTENT RESERVE OUT was answered.
    fn reserved(&mut self, unit: usize, out: Out, start: u64, answer: &Answer) {
        let reservations = &mut self.disks[unit].reservations;
        match (answer.status, answer.key_and_code()) {
            (GOOD, _) => {
                reservations.answered(start, Verdict::Good);
                self.report.reservations += u64::from(out.service == Service::Reserve);
            }
            (RESERVATION_CONFLICT, _) => reservations.answered(start, Verdict::Conflict),
            (_, Some((0x05, code, _))) if code != LUN_NOT_SUPPORTED => reservations.answered(start, Verdict::Refused),
            _ if is_refusal(answer) => reservations.not_carried_out(start),
            _ => reservations.ended(start),
        }
    }

    /// Whether reservations allowed what a read or write did, or forbade what it did not.
    fn check_reservations(&mut self, number: usize, pending: &Pending, answer: &Answer) {
        let Some((unit, _)) = pending.what.access() else { return };
        let reservations = &mut self.disks[unit].reservations;
        let Some(access) = reservations.access_ends(pending.start) else { return };
        match answer.status {
            GOOD => assert!(
                access.allowed,
                "initiator {number}: {pending:?} was carried out against the reservation of {reservations:?}"
            ),
            RESERVATION_CONFLICT => {
                assert!(
                    access.forbidden,
                    "initiator {number}: {pending:?}: no reservation forbids it: {reservations:?}"
                );
                self.report.conflicts += 1;
            }
            _ => {}
        }
    }

    /// Whether it was carried out ahead of what it had to come behind.
    fn check_order(&mut self, number: usize, pending: &Pending) {
        let Some((unit, _)) = pending.what.access() else { return };
        let Pending { place, overtaken, .. } = pending;
        assert_eq!(*overtaken, None, "{pending:?} was carried out behind one that had to come behind it");
        let barriers = &mut self.disks[unit].medium.barriers;
        if place.exports != barriers.exports {
            return;
        }
        barriers.add(place);
        self.report.ordered += u64::from(place.attribute == ORDERED);
        let is_of_unit = |of: &What| of.access().is_some_and(|(other, _)| other == unit);
        for older in self.players[number].pending.values_mut() {
            if older.place.is_ahead_of(place) && is_of_unit(&older.what) {
                older.overtaken = Some(*place);
            }
        }
    }

    /// Whether the path was in a state that goes with the answer.
    fn check_path(&mut self, pending: &Pending, answer: &Answer) {
        let met = self.paths.ends(pending.start);
        let Some((_, active)) = pending.what.path() else { return };
        if answer.status == GOOD {
            assert_ne!(met & active, 0, "{pending:?} was carried out in a state that forbids it: {:?}", self.paths);
        } else if let Some(state) = told(answer.key_and_code()) {
            assert_ne!(
                met & 1 << state as u8,
                0,
                "{pending:?} tells of {state:?}, which it did not meet: {:?}",
                self.paths
            );
            self.report.inaccessible += 1;
        }
    }

    pub(super) fn check_data(&mut self, unit: usize, lba: u64, blocks: u64, pending: &Pending, answer: &Answer) {
        let len = blocks as usize * BLOCK as usize;
        assert_eq!(answer.used().len(), len, "length of the data of {pending:?}");
        for (block, lba) in answer.data.chunks_exact(BLOCK as usize).zip(lba..) {
            let medium = &self.disks[unit].medium;
            let known = || medium.describe(lba);
            let Some(stamp) = stamp_of(block, lba) else {
                panic!(
                    "{pending:?}: block {lba} of unit {unit} is of no write, or of several: {:02x?}; {}",
                    &block[..16],
                    known()
                )
            };
            assert!(
                medium.may_hold(lba, stamp, pending.start),
                "{pending:?}: block {lba} of unit {unit} holds write {stamp}, which cannot be: {}",
                known()
            );
        }
        self.report.bytes_verified += len as u64;
    }
}

/// Whether the command was surely not carried out.
fn is_refusal(answer: &Answer) -> bool {
    match answer.status {
        BUSY | RESERVATION_CONFLICT | TASK_SET_FULL => true,
        CHECK_CONDITION => {
            let sense = answer.key_and_code();
            matches!(sense, Some((0x05..=0x07, ..))) || told(sense).is_some()
        }
        _ => false,
    }
}
