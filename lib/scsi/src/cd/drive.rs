//! The drive itself: its tray, and the disc. Who keeps it in: `control/removal.rs`.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::control::{ControlReply, Effect, Outcome};
use crate::nexus::UnitAttention;
use crate::unit::LogicalUnit;
use crate::wire::sense::Sense;

/// A CD drive's tray and disc. Initiators move the tray; administrators take the disc out of it, and put one in.
///
/// | tray | disc | the unit is |
/// |---|---|---|
/// | closed | in | ready |
/// | open | in | not ready, 3Ah/02h MEDIUM NOT PRESENT - TRAY OPEN |
/// | open | out | as above |
/// | closed | out | not ready, 3Ah/01h MEDIUM NOT PRESENT - TRAY CLOSED |
#[derive(Debug, Default)]
pub struct Drive {
    state: AtomicU8,
}

const TRAY_OPEN: u8 = 0x01;
const DISC_OUT: u8 = 0x02;

/// What an initiator knows of the medium from GET EVENT STATUS NOTIFICATION.
#[derive(Debug, Default)]
pub(crate) struct MediaTold(AtomicU8);

const TOLD_PRESENT: u8 = 0x01;
const EXCHANGED: u8 = 0x02;
const EJECT_REQUESTED: u8 = 0x04;

impl Drive {
    /// The tray is open.
    pub fn is_open(&self) -> bool {
        self.has(TRAY_OPEN)
    }

    /// An administrator has taken the disc out.
    pub fn is_disc_out(&self) -> bool {
        self.has(DISC_OUT)
    }

    /// Opens the tray and takes the disc out. The caller asks before whether removal is prevented.
    pub fn eject(&self) {
        self.state.store(TRAY_OPEN | DISC_OUT, Ordering::Relaxed);
    }

    /// Puts a disc in and closes the tray. The caller tells every initiator: NOT READY TO READY CHANGE.
    pub fn insert(&self) {
        self.state.store(0, Ordering::Relaxed);
    }

    /// `in_place`: the device has its image.
    pub(crate) fn check_ready(&self, in_place: bool) -> Result<(), Sense> {
        match self.state.load(Ordering::Relaxed) {
            0 if in_place => Ok(()),
            state if state & TRAY_OPEN != 0 => Err(Sense::MEDIUM_NOT_PRESENT_TRAY_OPEN),
            _ => Err(Sense::MEDIUM_NOT_PRESENT_TRAY_CLOSED),
        }
    }

    fn has(&self, bit: u8) -> bool {
        self.state.load(Ordering::Relaxed) & bit != 0
    }
}

/// START STOP UNIT with LOEJ (MMC-6): an initiator opens or closes the tray. Runs on the control plane.
pub(crate) fn tray(open: bool, unit: &LogicalUnit) -> Outcome {
    let good = |effects| Outcome { reply: ControlReply::Good(Box::default()), effects };
    let Some(drive) = unit.drive() else { return Sense::INVALID_COMMAND_OPERATION_CODE.into() };
    match (open, drive.is_open()) {
        (true, false) if unit.is_removal_prevented() => Sense::MEDIUM_REMOVAL_PREVENTED.into(),
        (true, _) => {
            drive.state.fetch_or(TRAY_OPEN, Ordering::Relaxed);
            good(Vec::new())
        }
        (false, true) => {
            drive.state.fetch_and(!TRAY_OPEN, Ordering::Relaxed);
            let ready = unit.check_ready().is_ok();
            good(ready.then_some(Effect::TellAll(UnitAttention::NotReadyToReady)).into_iter().collect())
        }
        (false, false) => good(Vec::new()),
    }
}

/// What has become of the medium since an initiator asked last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MediaEvent {
    Nothing,
    EjectRequest,
    NewMedia,
    Removal,
}

impl MediaTold {
    /// Another disc, or the same one again, is in the drive.
    pub(crate) fn exchanged(&self) {
        self.0.fetch_or(EXCHANGED, Ordering::Relaxed);
    }

    /// Somebody wants the disc, and may not take it.
    pub(crate) fn eject_requested(&self) {
        self.0.fetch_or(EJECT_REQUESTED, Ordering::Relaxed);
    }

    /// The event for an initiator that asks now; it is told once.
    pub(crate) fn take_event(&self, present: bool) -> MediaEvent {
        let before = self.0.swap(if present { TOLD_PRESENT } else { 0 }, Ordering::Relaxed);
        match (before & TOLD_PRESENT != 0, present) {
            (true, true) if before & EJECT_REQUESTED != 0 && before & EXCHANGED == 0 => MediaEvent::EjectRequest,
            (true, true) if before & EXCHANGED == 0 => MediaEvent::Nothing,
            (_, true) => MediaEvent::NewMedia,
            (true, false) => MediaEvent::Removal,
            (false, false) => MediaEvent::Nothing,
        }
    }
}
