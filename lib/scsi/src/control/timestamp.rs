//! REPORT and SET TIMESTAMP (SPC-4): the host's time, until an initiator sets another.

use std::time::{Duration, Instant};

use super::{Effect, Outcome};
use crate::nexus::UnitAttention;
use crate::unit::LogicalUnit;
use crate::wire::cdb::{be16, be32};
use crate::wire::sense::Sense;

/// Length of SET TIMESTAMP's list.
pub(crate) const LIST_BYTES: usize = 12;

pub(super) fn report(unit: &LogicalUnit) -> Outcome {
    const LENGTH: u16 = 10;
    const SET_BY_COMMAND: u8 = 0b010;
    const SET_OTHERWISE: u8 = 0b011;
    let (time, by_command) = unit.state().kept().timestamp();
    let mut answer = [0; 12];
    answer[..2].copy_from_slice(&LENGTH.to_be_bytes());
    answer[2] = if by_command { SET_BY_COMMAND } else { SET_OTHERWISE };
    answer[4..10].copy_from_slice(&(time.as_millis() as u64).to_be_bytes()[2..]);
    Outcome::data(answer)
}

/// An empty list changes nothing.
pub(super) fn set(list: &[u8], unit: &LogicalUnit) -> Outcome {
    match list.len() {
        0 => return Outcome::good(),
        LIST_BYTES => (),
        _ => return Sense::PARAMETER_LIST_LENGTH_ERROR.into(),
    }
    let milliseconds = u64::from(be16(list, 4)) << 32 | u64::from(be32(list, 6));
    unit.state().kept().timestamp = Some((Duration::from_millis(milliseconds), Instant::now()));
    Outcome { effects: vec![Effect::TellOthers(UnitAttention::TimestampChanged)], ..Outcome::good() }
}
