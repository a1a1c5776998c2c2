//! Commands that the control plane carries out: those that change what other initiators see, or that must be kept on disk.
//!
//! A job ends with [`crate::Step::Control`]; the transport hands the request and its parameters to the control plane, which calls
//! [`perform`], does what the [`Outcome`] says, and sends the [`ControlReply`] back to the core that the command lives on.
//! Everything here runs on one thread, so requests are served one after the other and see each other's whole effect.

pub(crate) mod mode_select;
pub(crate) mod reserve;

use crate::execute::PortIds;
use crate::nexus::UnitAttention;
use crate::reservations::{InAction, NexusId, OutAction, Reservations, TargetPort};
use crate::unit::LogicalUnit;
use crate::wire::sense::{ScsiStatus, Sense};

/// What the control plane is asked for; each has its file here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ControlRequest {
    /// MODE SELECT (SPC-4).
    ModeSelect {
        /// MODE SELECT(10) and its longer header.
        ten: bool,
        /// The SP bit: the values are to survive a restart.
        save: bool,
    },
    /// PERSISTENT RESERVE IN (SPC-4).
    PersistentReserveIn(InAction),
    /// PERSISTENT RESERVE OUT (SPC-4).
    PersistentReserveOut(OutAction),
    /// RESERVE (SPC-2).
    Reserve,
    /// RELEASE (SPC-2).
    Release,
}

/// What a request may look at besides its parameters.
#[derive(Clone, Copy)]
pub struct Circumstances<'a> {
    /// The unit that it is for.
    pub unit: &'a LogicalUnit,
    /// The nexus that it came by.
    pub ports: &'a PortIds,
    /// The unit's reservations.
    pub reservations: &'a Reservations,
    /// All target ports through which the unit can be reached.
    pub target_ports: &'a [TargetPort],
    /// There is a place where things are kept over a restart.
    pub can_persist: bool,
}

/// How the command ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ControlReply {
    /// GOOD, with these bytes of data-in; cut by the transport to what the CDB allows.
    Good(Box<[u8]>),
    /// CHECK CONDITION.
    CheckCondition(Sense),
    /// Any other status.
    Status(ScsiStatus),
}

/// What a request did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// For the initiator.
    pub reply: ControlReply,
    /// For everybody else, in this order, and before the reply is sent.
    pub effects: Vec<Effect>,
}

/// What the control plane has to do because of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Tell every other initiator of the unit.
    TellOthers(UnitAttention),
    /// Keep these reservations on disk if they are to survive a restart, and let them be those of the unit. If that fails, so does the
    /// command, and no further effect takes place.
    Reserve(Box<Reservations>),
    /// Tell one nexus, if it is logged in.
    Tell(NexusId, UnitAttention),
    /// Abort all commands of these nexuses for the unit; the reply waits until nothing of them can reach medium or initiator any more.
    Abort(Vec<NexusId>),
}

impl Outcome {
    /// GOOD, and nobody else is concerned.
    pub(crate) fn good() -> Outcome {
        Outcome { reply: ControlReply::Good(Box::default()), effects: Vec::new() }
    }
}

impl From<Sense> for Outcome {
    fn from(sense: Sense) -> Outcome {
        Outcome { reply: ControlReply::CheckCondition(sense), effects: Vec::new() }
    }
}

/// Carries a request out. `parameters` is what the initiator sent: as long as the CDB said, and hostile.
pub fn perform(request: ControlRequest, parameters: &[u8], at: &Circumstances<'_>) -> Outcome {
    match request {
        ControlRequest::ModeSelect { ten, save } => mode_select::perform(ten, save, parameters, at.unit),
        ControlRequest::PersistentReserveIn(action) => reserve::persistent_in(action, at),
        ControlRequest::PersistentReserveOut(action) => reserve::persistent_out(action, parameters, at),
        ControlRequest::Reserve => reserve::reserve(at),
        ControlRequest::Release => reserve::release(at),
    }
}
