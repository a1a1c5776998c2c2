//! REQUEST SENSE: sense data as an answer (SPC-4).

use crate::Context;
use crate::limits::SENSE_BYTES_MAX;
use crate::lun::Address;
use crate::nexus::UnitNexus;
use crate::state::Power;
use crate::unit::LogicalUnit;
use crate::wire::bytes::Bytes;
use crate::wire::sense::Sense;

/// A pending unit attention, which is cleared by this; otherwise that there is no unit, why it is not ready, the test of the
/// informational exceptions control mode page, a power condition, or nothing.
pub(crate) fn put(descriptor_format: bool, context: &Context<'_>, bytes: &mut Bytes<'_>) {
    let sense = match (context.unit, context.address) {
        (None, Address::Unit(_) | Address::Unknown) => Sense::LOGICAL_UNIT_NOT_SUPPORTED,
        (unit, _) => match context.nexus.and_then(UnitNexus::take) {
            Some(attention) => attention.sense(),
            None => unit.map_or(Sense::NONE, of_unit),
        },
    };
    let mut out = [0; SENSE_BYTES_MAX];
    let len = sense.write(descriptor_format, &mut out);
    bytes.put(&out[..len]);
}

/// What can be polled for (SPC-4, pollable sense data).
fn of_unit(unit: &LogicalUnit) -> Sense {
    match unit.check_ready().and_then(|()| unit.check_medium()) {
        Err(sense) => sense,
        Ok(()) if unit.state().exceptions().reports_test() => Sense::FAILURE_PREDICTION_TEST,
        Ok(()) => match unit.state().power() {
            Power::Idle => Sense::IDLE_BY_COMMAND,
            Power::Standby => Sense::STANDBY_BY_COMMAND,
            Power::Active | Power::Stopped => Sense::NONE,
        },
    }
}
