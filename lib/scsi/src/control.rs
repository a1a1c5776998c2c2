//! Commands that the control plane carries out: those that change what other initiators see, or that must be kept on disk.
//!
//! A job ends with [`crate::Step::Control`]; the transport hands the request and its parameters to the control plane, which calls
//! [`perform`], does what the [`Outcome`] says, and sends the [`ControlReply`] back to the core that the command lives on.
//! Everything here runs on one thread, so requests are served one after the other and see each other's whole effect.

mod buffer;
mod format;
pub(crate) mod identity;
pub(crate) mod log;
mod log_select;
pub(crate) mod mode_select;
mod removal;
pub(crate) mod reserve;
mod self_test;
mod target_port_groups;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod timestamp;

pub use format::formatted;
pub use identity::InformationType;

use crate::alua::{AccessState, TargetPortGroups};
use crate::cd;
use crate::execute::PortIds;
use crate::nexus::UnitAttention;
use crate::protection::ProtectionType;
use crate::reservations::{InAction, NexusId, OutAction, Reservations, TargetPort};
use crate::saved::Keeper;
use crate::state::SelfTestFailure;
use crate::unit::LogicalUnit;
use crate::wire::sense::{ScsiStatus, Sense};

/// What the control plane is asked for; each has its file here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ControlRequest {
    /// START STOP UNIT with LOEJ and without START (SBC-3).
    Eject {
        /// The cache is written back before.
        flush: bool,
    },
    /// A FORMAT UNIT (SBC-3) that gives its unit another type of protection has written all blocks. It may come of a command that nobody
    /// waits for: see [`formatted`].
    Formatted {
        /// The type.
        protection: ProtectionType,
    },
    /// START STOP UNIT with LOEJ and START (SBC-3).
    Load,
    /// LOG SELECT (SPC-4) without a parameter list.
    LogReset {
        /// The page; `None`: all.
        page: Option<u8>,
        /// The SP bit: what application clients noted is to survive a restart.
        save: bool,
    },
    /// LOG SELECT (SPC-4) with a parameter list, or with nothing to do but to save.
    LogSelect {
        /// The SP bit, as above.
        save: bool,
    },
    /// LOG SENSE (SPC-4).
    LogSense {
        /// PAGE CODE, one of those that there are.
        page: u8,
        /// SUBPAGE CODE, likewise.
        subpage: u8,
        /// PC 11b: the values that counters begin with.
        defaults: bool,
        /// PARAMETER POINTER.
        pointer: u16,
    },
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
    /// PERSISTENT RESERVE IN (SPC-4).
    PersistentReserveIn(InAction),
    /// PERSISTENT RESERVE OUT (SPC-4).
    PersistentReserveOut(OutAction),
    /// PREVENT ALLOW MEDIUM REMOVAL (SPC-4).
    PreventRemoval {
        /// PREVENT 01b, else 00b.
        prevent: bool,
    },
    /// READ BUFFER (SPC-4), mode 02h (data) or 0Ah (echo buffer).
    ReadBuffer {
        /// The echo buffer.
        echo: bool,
        /// BUFFER OFFSET, of the data buffer; within it.
        offset: u32,
    },
    /// REPORT IDENTIFYING INFORMATION (SPC-4).
    ReportIdentifying(InformationType),
    /// REPORT TARGET PORT GROUPS (SPC-4).
    ReportTargetPortGroups {
        /// With the extended header.
        extended: bool,
    },
    /// REPORT TIMESTAMP (SPC-4).
    ReportTimestamp,
    /// RESERVE (SPC-2).
    Reserve,
    /// RELEASE (SPC-2).
    Release,
    /// INQUIRY for the SCSI ports page (SPC-4), which names all ports of the target.
    ScsiPorts,
    /// A short or extended self-test is over (SPC-4, SEND DIAGNOSTIC).
    SelfTested {
        /// SELF-TEST CODE.
        code: u8,
        /// What it failed of.
        failure: Option<SelfTestFailure>,
    },
    /// SET IDENTIFYING INFORMATION (SPC-4).
    SetIdentifying(InformationType),
    /// SET TARGET PORT GROUPS (SPC-4).
    SetTargetPortGroups,
    /// SET TIMESTAMP (SPC-4).
    SetTimestamp,
    /// WRITE BUFFER (SPC-4), mode 02h (data) or 0Ah (echo buffer).
    WriteBuffer {
        /// The echo buffer.
        echo: bool,
        /// BUFFER OFFSET, of the data buffer; offset and parameters are within it.
        offset: u32,
    },
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
    /// The target's ports as this unit and the initiator have them.
    pub groups: &'a TargetPortGroups,
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
    /// Tell every initiator of the unit, the one that asked for it too.
    TellAll(UnitAttention),
    /// Tell every other initiator of the unit.
    TellOthers(UnitAttention),
    /// Keep these reservations on disk if they are to survive a restart, and let them be those of the unit. If that fails, so does the
    /// command, and no further effect takes place.
    Reserve(Box<Reservations>),
    /// Tell one nexus, if it is logged in.
    Tell(NexusId, UnitAttention),
    /// Abort all commands of these nexuses for the unit; the reply waits until nothing of them can reach medium or initiator any more.
    Abort(Vec<NexusId>),
    /// Put a target port group into a state, for this unit. Every other initiator of the unit is to be told.
    SetAccessState {
        /// Its number; there is such a group.
        group: u16,
        /// The state.
        state: AccessState,
    },
}

impl Outcome {
    /// GOOD, and nobody else is concerned.
    pub(crate) fn good() -> Outcome {
        Outcome { reply: ControlReply::Good(Box::default()), effects: Vec::new() }
    }

    /// GOOD with data-in, and nobody else is concerned.
    pub(crate) fn data(data: impl Into<Box<[u8]>>) -> Outcome {
        Outcome { reply: ControlReply::Good(data.into()), effects: Vec::new() }
    }
}

impl From<Sense> for Outcome {
    fn from(sense: Sense) -> Outcome {
        Outcome { reply: ControlReply::CheckCondition(sense), effects: Vec::new() }
    }
}

/// Carries a request out. `parameters` is what the initiator sent: as long as the CDB said, and hostile.
pub fn perform(request: ControlRequest, parameters: &[u8], at: &Circumstances<'_>, keeper: &mut Keeper<'_>) -> Outcome {
    let (unit, ports) = (at.unit, at.ports);
    match request {
        ControlRequest::Eject { .. } => removal::eject(unit),
        ControlRequest::Formatted { protection } => format::formatted(protection, unit, keeper),
        ControlRequest::Load => removal::load(unit),
        ControlRequest::LogReset { page, save } => log_select::reset(page, save, unit, keeper),
        ControlRequest::LogSelect { save } => log_select::select(save, parameters, unit, keeper),
        ControlRequest::LogSense { page, subpage, defaults, pointer } => {
            log::sense(page, subpage, defaults, pointer, unit)
        }
        ControlRequest::ModeSelect { ten, save } => mode_select::perform(ten, save, parameters, unit, keeper),
        ControlRequest::MoveTray { open } => cd::tray(open, unit),
        ControlRequest::PersistentReserveIn(action) => reserve::persistent_in(action, at),
        ControlRequest::PersistentReserveOut(action) => reserve::persistent_out(action, parameters, at),
        ControlRequest::PreventRemoval { prevent } => removal::prevent(prevent, unit, ports),
        ControlRequest::ReadBuffer { echo, offset } => buffer::read(echo, offset, unit, ports),
        ControlRequest::ReportIdentifying(kind) => identity::report(kind, unit),
        ControlRequest::ReportTargetPortGroups { extended } => target_port_groups::report(at.groups, extended),
        ControlRequest::ReportTimestamp => timestamp::report(unit),
        ControlRequest::Reserve => reserve::reserve(at),
        ControlRequest::Release => reserve::release(at),
        ControlRequest::ScsiPorts => target_port_groups::scsi_ports(at.groups),
        ControlRequest::SelfTested { code, failure } => self_test::note(code, failure, unit),
        ControlRequest::SetIdentifying(kind) => identity::set(kind, parameters, unit, keeper),
        ControlRequest::SetTargetPortGroups => target_port_groups::set(parameters, at.groups),
        ControlRequest::SetTimestamp => timestamp::set(parameters, unit),
        ControlRequest::WriteBuffer { echo, offset } => buffer::write(echo, offset, parameters, unit, ports),
    }
}

impl ControlRequest {
    /// What is in a volatile cache must be on the medium before: the cache is to be switched off, or the medium to be taken out.
    pub(crate) fn flushes_first(self, parameters: &[u8], unit: &LogicalUnit) -> bool {
        let cached = unit.facts().write_cache && unit.check_ready().is_ok();
        match self {
            ControlRequest::ModeSelect { ten, .. } => cached && mode_select::without_cache(ten, parameters, unit),
            ControlRequest::Eject { flush } => cached && flush,
            _ => false,
        }
    }
}
