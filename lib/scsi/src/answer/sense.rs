//! REQUEST SENSE: sense data as an answer (SPC-4).

use crate::Context;
use crate::limits::SENSE_BYTES_MAX;
use crate::lun::Address;
use crate::nexus::UnitNexus;
use crate::unit::LogicalUnit;
use crate::wire::bytes::Bytes;
use crate::wire::sense::Sense;

/// A pending unit attention, which is cleared by this; otherwise why the unit is not ready, or nothing.
pub(crate) fn put(descriptor_format: bool, context: &Context<'_>, bytes: &mut Bytes<'_>) {
    let sense = match (context.unit, context.address) {
        (None, Address::Unit(_) | Address::Unknown) => Sense::LOGICAL_UNIT_NOT_SUPPORTED,
        (unit, _) => match context.nexus.and_then(UnitNexus::take) {
            Some(attention) => attention.sense(),
            None => unit.and_then(not_ready).unwrap_or(Sense::NONE),
        },
    };
    let mut out = [0; SENSE_BYTES_MAX];
    let len = sense.write(descriptor_format, &mut out);
    bytes.put(&out[..len]);
}

/// What can be polled for (SPC-4, pollable sense data): there is no medium, or how far a format or sanitize operation is.
fn not_ready(unit: &LogicalUnit) -> Option<Sense> {
    unit.check_ready().and_then(|()| unit.check_medium()).err()
}
