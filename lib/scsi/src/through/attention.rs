//! What a device told one initiator and all have to know.

use bdev::Direction;
use bdev::passthrough::Outcome;

use crate::nexus::UnitAttention;
use crate::wire::cdb::opcode::REQUEST_SENSE;
use crate::wire::sense::{ScsiStatus, SenseKey};

const MODE_SELECT_6: u8 = 0x15;
const MODE_SELECT_10: u8 = 0x55;

/// The unit attention in the buffer of an operation that has ended at a SCSI device: for a command whose initiator will not
/// hear of it any more, so that it is not lost.
pub fn unit_attention_of(buffer: &[u8]) -> Option<UnitAttention> {
    let outcome = Outcome::parse(buffer)?;
    (outcome.status == ScsiStatus::CheckCondition as u8).then(|| of_sense(outcome.sense))?
}

/// What the other initiators have to be told because of this command. They are the same to the device, so it does not.
pub(super) fn of_command(cdb: &[u8], direction: Direction, moved: usize, buffer: &[u8]) -> Option<UnitAttention> {
    let good = Outcome::parse(buffer)?.status == ScsiStatus::Good as u8;
    match cdb[0] {
        MODE_SELECT_6 | MODE_SELECT_10 if good => Some(UnitAttention::ModeParametersChanged),
        // Reported as data, and so taken from the device as well.
        REQUEST_SENSE if good && direction == Direction::In => of_sense(&buffer[..moved]),
        _ => unit_attention_of(buffer),
    }
}

/// The condition that sense data reports; both formats (SPC-4).
fn of_sense(sense: &[u8]) -> Option<UnitAttention> {
    let byte = |at: usize| sense.get(at).copied();
    let (key, asc, ascq) = match byte(0)? & 0x7f {
        0x70 => (byte(2)?, byte(12)?, byte(13)?),
        0x72 => (byte(1)?, byte(2)?, byte(3)?),
        _ => return None,
    };
    if key & 0x0f != SenseKey::UnitAttention as u8 {
        return None;
    }
    match (asc, ascq) {
        (0x28, 0x01) => Some(UnitAttention::ImportExportAccessed),
        (0x28, _) => Some(UnitAttention::NotReadyToReady),
        (0x29, _) => Some(UnitAttention::PowerOnReset),
        (0x2a, 0x01) => Some(UnitAttention::ModeParametersChanged),
        (0x2a, 0x09) => Some(UnitAttention::CapacityChanged),
        (0x38, 0x07) => Some(UnitAttention::ThinProvisioningThreshold),
        (0x3f, 0x03) => Some(UnitAttention::InquiryDataChanged),
        (0x3f, 0x0e) => Some(UnitAttention::ReportedLunsChanged),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn conditions_in_both_formats() {
        let fixed = |asc, ascq| of_sense(&[0xf0, 0, 6, 0, 0, 0, 0, 10, 0, 0, 0, 0, asc, ascq]);
        assert_eq!(fixed(0x28, 0), Some(UnitAttention::NotReadyToReady));
        assert_eq!(fixed(0x28, 1), Some(UnitAttention::ImportExportAccessed));
        assert_eq!(fixed(0x29, 4), Some(UnitAttention::PowerOnReset));
        assert_eq!(fixed(0x3f, 0x0e), Some(UnitAttention::ReportedLunsChanged));
        assert_eq!(fixed(0x3f, 0x99), None, "not known to concern the others");
        assert_eq!(of_sense(&[0x72, 6, 0x2a, 0x09]), Some(UnitAttention::CapacityChanged));
        assert_eq!(of_sense(&[0x72, 5, 0x2a, 0x09]), None, "no unit attention");
        assert_eq!(of_sense(&[0x71, 0, 6, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x29, 0]), None, "deferred");
    }

    proptest! {
        #[test]
        fn sense_may_be_anything(sense in proptest::collection::vec(any::<u8>(), 0..96)) {
            of_sense(&sense);
        }
    }
}
