//! Commands that the control plane carries out: those that change what other initiators see, or that must be kept on disk.
//!
//! A job ends with [`crate::Step::Control`]; the transport hands the request and its parameters to the control plane, which calls
//! [`perform`], does what the [`Outcome`] says, and sends the [`ControlReply`] back to the core that the command lives on.
//! Everything here runs on one thread, so requests are served one after the other and see each other's whole effect.

pub(crate) mod mode_select;

use crate::cd;
use crate::nexus::UnitAttention;
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
    /// START STOP UNIT with LOEJ (MMC-6): a CD drive's tray.
    MoveTray {
        /// Open it; else close it.
        open: bool,
    },
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
    /// Tell every initiator of the unit, the one that asked for it too.
    TellAll(UnitAttention),
    /// Tell every other initiator of the unit.
    TellOthers(UnitAttention),
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

/// Carries a request out at a unit. `parameters` is what the initiator sent: as long as the CDB said, and hostile.
pub fn perform(request: ControlRequest, parameters: &[u8], unit: &LogicalUnit) -> Outcome {
    match request {
        ControlRequest::ModeSelect { ten, save } => mode_select::perform(ten, save, parameters, unit),
        ControlRequest::MoveTray { open } => cd::tray(open, unit),
    }
}
