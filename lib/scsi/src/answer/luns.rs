//! REPORT LUNS (SPC-4).

use crate::Context;
use crate::command::LunSelection;
use crate::lun::Address;
use crate::nexus::UnitAttention;
use crate::wire::bytes::Bytes;

const HEADER_BYTES: usize = 8;
const LUN_BYTES: usize = 8;

/// The list. Whoever has read it from a unit that is there knows that it changed, so that unit attention goes, at every unit (SPC-4).
pub(crate) fn put(select: LunSelection, context: &Context<'_>, bytes: &mut Bytes<'_>) {
    if context.unit.is_some() || context.address == Address::ReportLuns {
        context.peers.clear(UnitAttention::ReportedLunsChanged);
    }
    bytes.put_be32((full_bytes(select, context) - HEADER_BYTES) as u32);
    bytes.put_zeroes(4);
    if matches!(select, LunSelection::WellKnown | LunSelection::All) {
        bytes.put(&Address::REPORT_LUNS_WIRE);
    }
    if matches!(select, LunSelection::Units | LunSelection::All) {
        context.luns.iter().for_each(|lun| bytes.put(&lun.to_wire(context.ports.addressing)));
    }
}

/// Length of the whole list.
pub(crate) fn full_bytes(select: LunSelection, context: &Context<'_>) -> usize {
    let count = match select {
        LunSelection::Units => context.luns.len(),
        LunSelection::WellKnown => 1,
        LunSelection::All => context.luns.len() + 1,
    };
    HEADER_BYTES + count * LUN_BYTES
}
