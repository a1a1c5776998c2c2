//! What a unit says of its task set (SAM-5), whatever keeps it: the fields of the control mode page that are about it (SPC-4), and how many
//! commands it takes at one time.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

use crate::nexus::{UnitAttention, UnitNexus};
use crate::wire::sense::ScsiStatus;

/// QERR of the control mode page (SPC-4): what else ends when a command ends with CHECK CONDITION.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum QueueError {
    /// 00b: nothing.
    #[default]
    Nothing = 0,
    /// 01b: every command in the task set.
    All = 1,
    /// 11b: those of the same nexus.
    SameNexus = 3,
}

impl QueueError {
    /// The field's value; `None` if it is reserved.
    pub fn from_bits(bits: u8) -> Option<QueueError> {
        [QueueError::Nothing, QueueError::All, QueueError::SameNexus].into_iter().find(|known| *known as u8 == bits)
    }
}

/// UA_INTLCK_CTRL of the control mode page (SPC-4): what becomes of a unit attention that a command is ended with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum AttentionInterlock {
    /// 00b: it is cleared.
    #[default]
    Cleared = 0,
    /// 10b: it stays until REQUEST SENSE reports it.
    Kept = 2,
    /// 11b: likewise, and BUSY, TASK SET FULL and RESERVATION CONFLICT become unit attentions.
    KeptWithStatus = 3,
}

impl AttentionInterlock {
    /// The field's value; `None` if it is reserved.
    pub fn from_bits(bits: u8) -> Option<AttentionInterlock> {
        let known = [AttentionInterlock::Cleared, AttentionInterlock::Kept, AttentionInterlock::KeptWithStatus];
        known.into_iter().find(|known| *known as u8 == bits)
    }
}

/// A unit's part in its task set. Shared by all cores.
#[derive(Debug, Default)]
pub struct TaskSet {
    /// QERR in bits 0 and 1, UA_INTLCK_CTRL in bits 2 and 3.
    rules: AtomicU8,
    /// Most commands at one time; 0: as many as come.
    depth: u32,
    /// Commands now; not counted unless there is a depth.
    commands: AtomicU32,
}

const QERR: u8 = 0b11;
const UA_INTLCK_AT: u8 = 2;
const UA_INTLCK: u8 = 0b11 << UA_INTLCK_AT;

impl TaskSet {
    /// A task set that takes at most `depth` commands at one time.
    pub(crate) fn new(depth: Option<u32>) -> TaskSet {
        TaskSet { depth: depth.unwrap_or(0), ..TaskSet::default() }
    }

    /// Most commands at one time, of all initiators together; `None`: as many as come.
    #[inline]
    pub fn depth(&self) -> Option<u32> {
        Some(self.depth).filter(|&depth| depth != 0)
    }

    /// Enters a command of a nexus. [`TaskSet::leave`] is to be called when it has ended.
    ///
    /// # Errors
    /// There is no room: TASK SET FULL, which means to the initiator that one of its own commands will end and make some; BUSY if it has none
    /// there (SAM-5, Status codes).
    #[inline]
    pub fn enter(&self, nexus: &UnitNexus) -> Result<(), ScsiStatus> {
        if self.depth == 0 { Ok(()) } else { self.enter_if_room(nexus) }
    }

    fn enter_if_room(&self, nexus: &UnitNexus) -> Result<(), ScsiStatus> {
        let one_more = |commands: u32| (commands < self.depth).then_some(commands + 1);
        match self.commands.fetch_update(Relaxed, Relaxed, one_more) {
            Ok(_) => {
                nexus.commands.fetch_add(1, Relaxed);
                Ok(())
            }
            Err(_) if nexus.commands.load(Relaxed) == 0 => Err(ScsiStatus::Busy),
            Err(_) => Err(ScsiStatus::TaskSetFull),
        }
    }

    /// A command of a nexus that entered has ended.
    #[inline]
    pub fn leave(&self, nexus: &UnitNexus) {
        if self.depth != 0 {
            nexus.commands.fetch_sub(1, Relaxed);
            self.commands.fetch_sub(1, Relaxed);
        }
    }

    /// The QERR field.
    #[inline]
    pub fn queue_error(&self) -> QueueError {
        QueueError::from_bits(self.rules.load(Relaxed) & QERR).unwrap_or_default()
    }

    /// Sets the QERR field. The caller establishes MODE PARAMETERS CHANGED for the other initiators.
    pub fn set_queue_error(&self, value: QueueError) {
        self.replace(QERR, value as u8);
    }

    /// The UA_INTLCK_CTRL field.
    pub fn attention_interlock(&self) -> AttentionInterlock {
        AttentionInterlock::from_bits((self.rules.load(Relaxed) & UA_INTLCK) >> UA_INTLCK_AT).unwrap_or_default()
    }

    /// Sets the UA_INTLCK_CTRL field. The caller establishes MODE PARAMETERS CHANGED for the other initiators.
    pub fn set_attention_interlock(&self, value: AttentionInterlock) {
        self.replace(UA_INTLCK, (value as u8) << UA_INTLCK_AT);
    }

    /// A command of a nexus ends with a status other than CHECK CONDITION: UA_INTLCK_CTRL 11b has its initiator be told of some once more.
    pub fn note_status(&self, status: ScsiStatus, nexus: &UnitNexus) {
        let attention = match status {
            ScsiStatus::Busy => UnitAttention::PreviousBusy,
            ScsiStatus::TaskSetFull => UnitAttention::PreviousTaskSetFull,
            ScsiStatus::ReservationConflict => UnitAttention::PreviousReservationConflict,
            _ => return,
        };
        if self.attention_interlock() == AttentionInterlock::KeptWithStatus {
            nexus.establish(attention);
        }
    }

    fn replace(&self, bits: u8, value: u8) {
        let _ = self.rules.fetch_update(Relaxed, Relaxed, |rules| Some(rules & !bits | value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_apart_from_each_other() {
        let set = TaskSet::default();
        assert_eq!((set.queue_error(), set.attention_interlock()), Default::default());
        for queue_error in [QueueError::All, QueueError::SameNexus, QueueError::Nothing, QueueError::SameNexus] {
            for interlock in [AttentionInterlock::Kept, AttentionInterlock::Cleared, AttentionInterlock::KeptWithStatus]
            {
                set.set_queue_error(queue_error);
                set.set_attention_interlock(interlock);
                assert_eq!((set.queue_error(), set.attention_interlock()), (queue_error, interlock));
            }
        }
    }

    #[test]
    fn reserved_values_are_none() {
        assert_eq!(
            [0, 1, 2, 3, 4].map(QueueError::from_bits),
            [Some(QueueError::Nothing), Some(QueueError::All), None, Some(QueueError::SameNexus), None]
        );
        assert_eq!(
            [0, 1, 2, 3, 4].map(AttentionInterlock::from_bits),
            [
                Some(AttentionInterlock::Cleared),
                None,
                Some(AttentionInterlock::Kept),
                Some(AttentionInterlock::KeptWithStatus),
                None
            ]
        );
    }

    #[test]
    fn who_has_commands_there_is_told_that_it_is_full_and_who_has_none_that_it_is_busy() {
        let (set, one, other) = (TaskSet::new(Some(2)), UnitNexus::new(), UnitNexus::new());
        assert_eq!((set.enter(&one), set.enter(&one)), (Ok(()), Ok(())));
        assert_eq!((set.enter(&one), set.enter(&other)), (Err(ScsiStatus::TaskSetFull), Err(ScsiStatus::Busy)));
        set.leave(&one);
        assert_eq!((set.enter(&other), set.enter(&other)), (Ok(()), Err(ScsiStatus::TaskSetFull)));
        set.leave(&one);
        set.leave(&other);
        assert_eq!((set.enter(&other), set.enter(&other)), (Ok(()), Ok(())));
    }

    #[test]
    fn without_a_depth_nothing_is_counted() {
        let (set, nexus) = (TaskSet::new(None), UnitNexus::new());
        assert!((0..1000).all(|_| set.enter(&nexus).is_ok()));
        assert_eq!((set.depth(), set.commands.load(Relaxed), nexus.commands.load(Relaxed)), (None, 0, 0));
    }

    #[test]
    fn a_status_is_remembered_only_where_it_is_to_be() {
        for (status, attention) in [
            (ScsiStatus::Busy, Some(UnitAttention::PreviousBusy)),
            (ScsiStatus::TaskSetFull, Some(UnitAttention::PreviousTaskSetFull)),
            (ScsiStatus::ReservationConflict, Some(UnitAttention::PreviousReservationConflict)),
            (ScsiStatus::ConditionMet, None),
            (ScsiStatus::TaskAborted, None),
        ] {
            for interlock in [AttentionInterlock::Cleared, AttentionInterlock::Kept, AttentionInterlock::KeptWithStatus]
            {
                let (set, nexus) = (TaskSet::default(), UnitNexus::new());
                set.set_attention_interlock(interlock);
                set.note_status(status, &nexus);
                set.note_status(status, &nexus);
                let expected = attention.filter(|_| interlock == AttentionInterlock::KeptWithStatus);
                assert_eq!((nexus.take(), nexus.take()), (expected, None), "{status:?}, {interlock:?}");
            }
        }
    }
}
