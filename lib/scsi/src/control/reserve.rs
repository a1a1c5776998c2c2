//! PERSISTENT RESERVE IN and OUT (SPC-4), RESERVE and RELEASE (SPC-2).
//!
//! The unit's reservations are not changed here: who calls gets those that follow, keeps them on disk if they are to be kept, and only then
//! puts them in the place of the old ones.

use super::{Circumstances, ControlReply, Effect, Outcome};
use crate::reservations::{Consequences, InAction, NexusId, OutAction, Parameters, Refusal, Reservations};
use crate::wire::sense::ScsiStatus;

/// While the unit is reserved by RESERVE, SPC-2 lets neither of the two commands pass, whoever sends it.
pub(super) fn persistent_in(action: InAction, at: &Circumstances<'_>) -> Outcome {
    if at.reservations.reserved_by().is_some() {
        return Refusal::Conflict.into();
    }
    let data = at.reservations.answer(action, at.target_ports, at.can_persist);
    Outcome { reply: ControlReply::Good(data.into()), effects: Vec::new() }
}

pub(super) fn persistent_out(action: OutAction, list: &[u8], at: &Circumstances<'_>) -> Outcome {
    if at.reservations.reserved_by().is_some() {
        return Refusal::Conflict.into();
    }
    let parameters = match action {
        OutAction::RegisterAndMove => Parameters::of_move(list),
        _ => Parameters::basic(list),
    };
    let parameters = match parameters {
        Ok(parameters) => parameters,
        Err(sense) => return sense.into(),
    };
    changed(at, |reservations, by| reservations.out(action, &parameters, by, at.target_ports, at.can_persist))
}

pub(super) fn reserve(at: &Circumstances<'_>) -> Outcome {
    changed(at, |reservations, by| reservations.reserve(by).map(|()| Consequences::default()))
}

pub(super) fn release(at: &Circumstances<'_>) -> Outcome {
    changed(at, |reservations, by| reservations.release_spc2(by).map(|()| Consequences::default()))
}

/// What becomes of a copy; unit attentions are told when it counts already, and aborts come last, because the reply waits for them.
fn changed(
    at: &Circumstances<'_>,
    change: impl FnOnce(&mut Reservations, NexusId) -> Result<Consequences, Refusal>,
) -> Outcome {
    let mut reservations = at.reservations.clone();
    let consequences = match change(&mut reservations, NexusId::from(at.ports)) {
        Ok(consequences) => consequences,
        Err(refusal) => return refusal.into(),
    };
    let mut outcome = Outcome::good();
    if reservations != *at.reservations {
        outcome.effects.push(Effect::Reserve(Box::new(reservations)));
    }
    outcome.effects.extend(consequences.told.into_iter().map(|(nexus, attention)| Effect::Tell(nexus, attention)));
    if !consequences.aborted.is_empty() {
        outcome.effects.push(Effect::Abort(consequences.aborted));
    }
    outcome
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Outcome {
        match refusal {
            Refusal::Conflict => {
                Outcome { reply: ControlReply::Status(ScsiStatus::ReservationConflict), effects: Vec::new() }
            }
            Refusal::Sense(sense) => sense.into(),
        }
    }
}
