//! What an answer may say.

use super::initiator::{Pending, What};
use super::model::stamp_of;
use super::plan::Action;
use super::world::{BLOCK, Simulation};
use crate::testing::Answer;

const GOOD: u8 = 0;
const CHECK_CONDITION: u8 = 0x02;
const BUSY: u8 = 0x08;
const RESERVATION_CONFLICT: u8 = 0x18;
const TASK_SET_FULL: u8 = 0x28;
const TASK_ABORTED: u8 = 0x40;

impl Simulation {
    pub(super) fn answered(&mut self, number: usize, pending: &Pending, answer: &Answer, now: u64) {
        self.check_status(pending, answer);
        let good = answer.status == GOOD;
        let (oldest, start) = (self.oldest().min(pending.start), pending.start);
        match pending.what {
            What::Read { unit, lba, blocks } if good => {
                self.check_holder(number, unit, false, pending);
                self.check_data(unit, lba, blocks, pending, answer);
            }
            What::Write { unit, lba, blocks, stamp } => {
                if good {
                    self.check_holder(number, unit, true, pending);
                    self.report.bytes_written += blocks * u64::from(BLOCK);
                }
                let medium = &mut self.disks[unit].medium;
                match is_refusal(answer) {
                    true => medium.write_refused(lba, blocks, stamp),
                    false => medium.write_ends(lba, blocks, stamp, good, now, oldest),
                }
            }
            What::Reserve { unit, makes } => {
                let holder = &mut self.disks[unit].holder;
                holder.closed(start);
                if let (true, Some(kind)) = (good, makes) {
                    holder.holds(number, kind, now);
                    self.report.reservations += 1;
                }
            }
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

    fn check_holder(&self, number: usize, unit: usize, writes: bool, pending: &Pending) {
        let holder = &self.disks[unit].holder;
        assert!(
            !holder.is_broken_by(number, writes, pending.start),
            "initiator {number}: {pending:?} was carried out against {holder:?}"
        );
    }

    fn check_data(&mut self, unit: usize, lba: u64, blocks: u64, pending: &Pending, answer: &Answer) {
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
        CHECK_CONDITION => matches!(answer.key_and_code(), Some((0x05..=0x07, ..))),
        _ => false,
    }
}
