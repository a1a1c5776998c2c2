//! How commands fail: their status, and the sense key where there is one (SAM-5, SPC-4).

use scsi::{Ending, ScsiStatus};

use crate::respond::Reply;

/// Another status than GOOD and CONDITION MET, by the place of its counter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CommandError(usize);

/// Commands that ended in one way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ErrorCount {
    /// The status' name.
    pub status: &'static str,
    /// The sense key's name; empty where the status is not CHECK CONDITION.
    pub sense_key: &'static str,
    /// How many.
    pub count: u64,
}

/// SPC-4's sense keys, each at the place of its number.
const SENSE_KEYS: [&str; 16] = [
    "no_sense",
    "recovered_error",
    "not_ready",
    "medium_error",
    "hardware_error",
    "illegal_request",
    "unit_attention",
    "data_protect",
    "blank_check",
    "vendor_specific",
    "copy_aborted",
    "aborted_command",
    "reserved",
    "volume_overflow",
    "miscompare",
    "completed",
];

/// The other statuses, behind the sense keys.
const STATUSES: [&str; 5] = ["busy", "reservation_conflict", "task_set_full", "task_aborted", "other"];

impl CommandError {
    /// Number of ways.
    pub(crate) const COUNT: usize = SENSE_KEYS.len() + STATUSES.len();

    pub(crate) const TASK_ABORTED: CommandError = CommandError(SENSE_KEYS.len() + 3);

    /// How a command failed that is answered like this; `sense` is what a SCSI device itself said. `None`: it did not.
    pub(crate) fn of(reply: Option<&Reply>, sense: &[u8]) -> Option<CommandError> {
        match reply {
            Some(Reply::Ended(Ending::CheckCondition(sense))) => Some(CommandError::of_key(sense.key as u8)),
            Some(Reply::Ended(Ending::Status(status))) => CommandError::of_status(*status as u8, sense),
            Some(Reply::Ended(Ending::Device { status, .. })) => CommandError::of_status(*status, sense),
            Some(Reply::Ended(Ending::Good { .. }) | Reply::Management(_)) => None,
            Some(Reply::TaskAborted) | None => Some(CommandError::TASK_ABORTED),
        }
    }

    pub(crate) fn index(self) -> usize {
        self.0
    }

    fn of_status(status: u8, sense: &[u8]) -> Option<CommandError> {
        const GOOD: u8 = ScsiStatus::Good as u8;
        const CONDITION_MET: u8 = ScsiStatus::ConditionMet as u8;
        const CHECK_CONDITION: u8 = ScsiStatus::CheckCondition as u8;
        const BUSY: u8 = ScsiStatus::Busy as u8;
        const RESERVATION_CONFLICT: u8 = ScsiStatus::ReservationConflict as u8;
        const TASK_SET_FULL: u8 = ScsiStatus::TaskSetFull as u8;
        const TASK_ABORTED: u8 = ScsiStatus::TaskAborted as u8;
        let other = match status {
            GOOD | CONDITION_MET => return None,
            CHECK_CONDITION => return Some(CommandError::of_key(sense_key(sense))),
            BUSY => 0,
            RESERVATION_CONFLICT => 1,
            TASK_SET_FULL => 2,
            TASK_ABORTED => return Some(CommandError::TASK_ABORTED),
            _ => 4,
        };
        Some(CommandError(SENSE_KEYS.len() + other))
    }

    fn of_key(key: u8) -> CommandError {
        CommandError(usize::from(key & 0x0f))
    }

    /// Counts, with what they count.
    pub(crate) fn named(counts: [u64; CommandError::COUNT]) -> Vec<ErrorCount> {
        let keys = SENSE_KEYS.into_iter().map(|key| ("check_condition", key));
        let names = keys.chain(STATUSES.into_iter().map(|status| (status, "")));
        names.zip(counts).map(|((status, sense_key), count)| ErrorCount { status, sense_key, count }).collect()
    }
}

/// The key in sense data of either format (SPC-4); a device may have sent anything.
fn sense_key(sense: &[u8]) -> u8 {
    let at = match sense.first().map(|code| code & 0x7f) {
        Some(0x72 | 0x73) => 1,
        _ => 2,
    };
    sense.get(at).map_or(0, |byte| byte & 0x0f)
}

#[cfg(test)]
mod tests {
    use scsi::Sense;

    use super::*;

    fn name(reply: Option<Reply>, sense: &[u8]) -> Option<(&'static str, &'static str)> {
        let index = CommandError::of(reply.as_ref(), sense)?.index();
        let named = CommandError::named([0; CommandError::COUNT])[index];
        Some((named.status, named.sense_key))
    }

    #[test]
    fn statuses_and_sense_keys_have_their_names() {
        let ended = |ending| Some(Reply::Ended(ending));
        assert_eq!(name(ended(Ending::Good { data_in: 0..0 }), &[]), None);
        assert_eq!(name(ended(Ending::Status(ScsiStatus::ConditionMet)), &[]), None);
        assert_eq!(name(ended(Ending::Status(ScsiStatus::Busy)), &[]), Some(("busy", "")));
        assert_eq!(name(ended(Ending::Status(ScsiStatus::TaskSetFull)), &[]), Some(("task_set_full", "")));
        assert_eq!(name(ended(Ending::Status(ScsiStatus::AcaActive)), &[]), Some(("other", "")));
        let refused = ended(Ending::CheckCondition(Sense::INVALID_FIELD_IN_CDB));
        assert_eq!(name(refused, &[]), Some(("check_condition", "illegal_request")));
        assert_eq!(name(Some(Reply::TaskAborted), &[]), Some(("task_aborted", "")));
    }

    #[test]
    fn what_a_device_says_is_taken_from_its_sense_data() {
        let device = |status| Ending::Device { status, data_in: 0..0, taken: 0, sense: 0..0, changed: None };
        let name = |status, sense: &[u8]| name(Some(Reply::Ended(device(status))), sense);
        assert_eq!(name(0, &[]), None);
        assert_eq!(name(2, &[0xf0, 0, 0x43]), Some(("check_condition", "medium_error")));
        assert_eq!(name(2, &[0x72, 0x08]), Some(("check_condition", "blank_check")));
        assert_eq!(name(2, &[]), Some(("check_condition", "no_sense")));
        assert_eq!(name(0x18, &[]), Some(("reservation_conflict", "")));
        assert_eq!(name(0xff, &[]), Some(("other", "")));
    }
}
