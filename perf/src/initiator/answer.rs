//! What a response to a command means.

use std::fmt;

use scsi::{ScsiStatus, SenseKey};
use transport_srp::wire::{Residual, Residuals};

use super::channel::Slot;

/// The response to one command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Whose it is. The slot is the caller's again: its data can be looked at, and it is used again or given back.
    pub slot: Slot,
    /// SCSI status (SAM-5 5.3).
    pub status: u8,
    /// What CHECK CONDITION is about, if that could be read.
    pub sense: Option<SenseCodes>,
    /// How much less or more than its buffer the command moved.
    pub residuals: Residuals,
}

/// Sense key, additional sense code and its qualifier (SPC-4 4.5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SenseCodes {
    /// SENSE KEY.
    pub key: u8,
    /// ADDITIONAL SENSE CODE.
    pub asc: u8,
    /// ADDITIONAL SENSE CODE QUALIFIER.
    pub ascq: u8,
}

/// What to do about an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// All went well, and all of the data were moved.
    Good,
    /// Nothing is wrong with the command: send it again. Unit attentions, BUSY and TASK SET FULL.
    Again,
    /// It failed.
    Failed,
}

impl Answer {
    /// What to do about it.
    #[inline]
    pub fn verdict(&self) -> Verdict {
        const GOOD: u8 = ScsiStatus::Good as u8;
        const CHECK_CONDITION: u8 = ScsiStatus::CheckCondition as u8;
        const BUSY: u8 = ScsiStatus::Busy as u8;
        const TASK_SET_FULL: u8 = ScsiStatus::TaskSetFull as u8;
        match self.status {
            GOOD if self.residuals == Residuals::default() => Verdict::Good,
            BUSY | TASK_SET_FULL => Verdict::Again,
            CHECK_CONDITION if self.sense.is_some_and(|sense| sense.key == SenseKey::UnitAttention as u8) => {
                Verdict::Again
            }
            _ => Verdict::Failed,
        }
    }
}

impl SenseCodes {
    /// From sense data in fixed or descriptor format.
    pub fn parse(sense: &[u8]) -> Option<SenseCodes> {
        let code = |at: usize| sense.get(at).copied();
        match code(0)? & 0x7f {
            0x70 | 0x71 => Some(SenseCodes { key: code(2)? & 0x0f, asc: code(12)?, ascq: code(13)? }),
            0x72 | 0x73 => Some(SenseCodes { key: code(1)? & 0x0f, asc: code(2)?, ascq: code(3)? }),
            _ => None,
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SCSI status {:02X}h", self.status)?;
        if let Some(SenseCodes { key, asc, ascq }) = self.sense {
            write!(f, ", sense key {key:X}h, {asc:02X}h/{ascq:02X}h")?;
        }
        for (name, residual) in [("data-out", self.residuals.data_out), ("data-in", self.residuals.data_in)] {
            match residual {
                Residual::None => {}
                Residual::Under(bytes) => write!(f, ", {bytes} bytes of {name} were not moved")?,
                Residual::Over(bytes) => write!(f, ", {bytes} bytes of {name} more than there is room for")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Answer = Answer {
        slot: Slot(0),
        status: 0,
        sense: None,
        residuals: Residuals { data_out: Residual::None, data_in: Residual::None },
    };

    #[test]
    fn only_a_full_transfer_is_good() {
        assert_eq!(GOOD.verdict(), Verdict::Good);
        let short = Residuals { data_in: Residual::Under(512), ..Residuals::default() };
        assert_eq!(Answer { residuals: short, ..GOOD }.verdict(), Verdict::Failed);
    }

    #[test]
    fn what_passes_by_itself_is_tried_again() {
        let check = |key| Answer { status: 2, sense: Some(SenseCodes { key, asc: 0x29, ascq: 0 }), ..GOOD };
        assert_eq!(check(6).verdict(), Verdict::Again);
        assert_eq!(check(3).verdict(), Verdict::Failed);
        assert_eq!(Answer { status: 2, ..GOOD }.verdict(), Verdict::Failed);
        assert_eq!(Answer { status: 0x08, ..GOOD }.verdict(), Verdict::Again);
        assert_eq!(Answer { status: 0x28, ..GOOD }.verdict(), Verdict::Again);
        assert_eq!(Answer { status: 0x18, ..GOOD }.verdict(), Verdict::Failed);
    }

    #[test]
    fn sense_is_read_in_both_formats_and_however_short_it_is() {
        let expected = Some(SenseCodes { key: 5, asc: 0x21, ascq: 1 });
        assert_eq!(SenseCodes::parse(&[0xf0, 0, 0x25, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x21, 1]), expected);
        assert_eq!(SenseCodes::parse(&[0x72, 5, 0x21, 1]), expected);
        for len in 0..13 {
            assert_eq!(SenseCodes::parse(&[0x70; 13][..len]), None);
        }
        assert_eq!(SenseCodes::parse(&[0x7f; 18]), None);
    }

    #[test]
    fn a_failure_is_told_in_words() {
        let sense = Some(SenseCodes { key: 3, asc: 0x11, ascq: 0 });
        let residuals = Residuals { data_in: Residual::Under(512), ..Residuals::default() };
        let text = Answer { status: 2, sense, residuals, ..GOOD }.to_string();
        assert_eq!(text, "SCSI status 02h, sense key 3h, 11h/00h, 512 bytes of data-in were not moved");
    }
}
