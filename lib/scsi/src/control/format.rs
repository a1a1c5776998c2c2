//! The end of a FORMAT UNIT to another type of protection (SBC-3): the type is kept, and the medium can be used.

use super::{ControlReply, Effect, Outcome};
use crate::medium::condition::Undertaking;
use crate::nexus::UnitAttention;
use crate::protection::ProtectionType;
use crate::saved::Keeper;
use crate::unit::LogicalUnit;
use crate::wire::sense::Sense;

/// All blocks are as the format made them, and the command that did it has them for itself until it is over. They are valid under the old type as
/// well as under the new one, so a failure between the two does no harm.
pub fn formatted(protection: ProtectionType, unit: &LogicalUnit, keeper: &mut Keeper<'_>) -> Outcome {
    let kept = keeper.save(unit, |saved| saved.set_protection(protection));
    if kept.is_ok() {
        unit.set_protection(protection);
    }
    unit.condition().end(Undertaking::Format, kept.is_ok());
    match kept {
        Ok(()) => Outcome {
            reply: ControlReply::Good(Box::default()),
            effects: vec![Effect::TellOthers(UnitAttention::CapacityChanged)],
        },
        Err(_) => Sense::FORMAT_COMMAND_FAILED.into(),
    }
}
