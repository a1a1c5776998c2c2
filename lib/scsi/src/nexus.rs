//! What stands between one initiator and one unit: unit attentions (SAM-5 5.14), reservations of others (SPC-4 5.13), the
//! access state of the path (SPC-4 5.16).

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::alua::PortGroup;
use crate::cd::MediaTold;
use crate::copy::results::Copies;
use crate::wire::sense::Sense;

/// Something an initiator has to be told before its next command runs. In order of precedence: resets first, as
/// SAM-5 5.14 ranks them, then the rest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum UnitAttention {
    /// 29h/00h POWER ON, RESET, OR BUS DEVICE RESET OCCURRED: the unit is new to this initiator.
    PowerOnReset,
    /// 3Fh/01h MICROCODE HAS BEEN CHANGED: SAM-5 ranks it with hard resets.
    MicrocodeChanged,
    /// 29h/03h BUS DEVICE RESET FUNCTION OCCURRED: somebody sent LOGICAL UNIT RESET.
    BusDeviceReset,
    /// 29h/07h I_T NEXUS LOSS OCCURRED.
    NexusLoss,
    /// 2Fh/00h COMMANDS CLEARED BY ANOTHER INITIATOR.
    CommandsCleared,
    /// 28h/00h NOT READY TO READY CHANGE, MEDIUM MAY HAVE CHANGED: the device came back, or another file took its place.
    NotReadyToReady,
    /// 2Ah/05h REGISTRATIONS PREEMPTED: another initiator took its registration away (PERSISTENT RESERVE OUT, PREEMPT or CLEAR).
    RegistrationsPreempted,
    /// 2Ah/03h RESERVATIONS PREEMPTED: by CLEAR of PERSISTENT RESERVE OUT.
    ReservationsPreempted,
    /// 2Ah/04h RESERVATIONS RELEASED: it is registered, and the reservation that it was under is gone.
    ReservationsReleased,
    /// 2Ah/06h ASYMMETRIC ACCESS STATE CHANGED.
    AccessStateChanged,
    /// 2Ah/07h IMPLICIT ASYMMETRIC ACCESS STATE TRANSITION FAILED.
    AccessTransitionFailed,
    /// 3Fh/05h DEVICE IDENTIFIER CHANGED: by SET IDENTIFYING INFORMATION.
    DeviceIdentifierChanged,
    /// 3Fh/0Eh REPORTED LUNS DATA HAS CHANGED.
    ReportedLunsChanged,
    /// 3Fh/03h INQUIRY DATA HAS CHANGED.
    InquiryDataChanged,
    /// 2Ah/09h CAPACITY DATA HAS CHANGED.
    CapacityChanged,
    /// 2Ah/01h MODE PARAMETERS CHANGED.
    ModeParametersChanged,
    /// 2Ah/02h LOG PARAMETERS CHANGED.
    LogParametersChanged,
    /// 2Ah/10h TIMESTAMP CHANGED.
    TimestampChanged,
    /// 2Ch/07h PREVIOUS BUSY STATUS: a status that UA_INTLCK_CTRL 11b (SPC-4, control mode page) makes be remembered.
    PreviousBusy,
    /// 2Ch/08h PREVIOUS TASK SET FULL STATUS, likewise.
    PreviousTaskSetFull,
    /// 2Ch/09h PREVIOUS RESERVATION CONFLICT STATUS, likewise.
    PreviousReservationConflict,
    /// 5Dh/00h FAILURE PREDICTION THRESHOLD EXCEEDED.
    FailurePredicted,
    /// 38h/07h THIN PROVISIONING SOFT THRESHOLD REACHED.
    ThinProvisioningThreshold,
    /// 28h/01h IMPORT OR EXPORT ELEMENT ACCESSED.
    ImportExportAccessed,
    /// 0Ch/00h WRITE ERROR as a deferred error (SPC-4): what SYNCHRONIZE CACHE with IMMED was to make durable is not. It is no unit attention,
    /// but waits for the next command in the same way.
    WriteBackFailed,
}

impl UnitAttention {
    /// All of them, highest precedence first.
    pub const ALL: [UnitAttention; 25] = [
        UnitAttention::PowerOnReset,
        UnitAttention::MicrocodeChanged,
        UnitAttention::BusDeviceReset,
        UnitAttention::NexusLoss,
        UnitAttention::CommandsCleared,
        UnitAttention::NotReadyToReady,
        UnitAttention::RegistrationsPreempted,
        UnitAttention::ReservationsPreempted,
        UnitAttention::ReservationsReleased,
        UnitAttention::AccessStateChanged,
        UnitAttention::AccessTransitionFailed,
        UnitAttention::DeviceIdentifierChanged,
        UnitAttention::ReportedLunsChanged,
        UnitAttention::InquiryDataChanged,
        UnitAttention::CapacityChanged,
        UnitAttention::ModeParametersChanged,
        UnitAttention::LogParametersChanged,
        UnitAttention::TimestampChanged,
        UnitAttention::PreviousBusy,
        UnitAttention::PreviousTaskSetFull,
        UnitAttention::PreviousReservationConflict,
        UnitAttention::FailurePredicted,
        UnitAttention::ThinProvisioningThreshold,
        UnitAttention::ImportExportAccessed,
        UnitAttention::WriteBackFailed,
    ];

    /// What reporting it takes away with it: one reset tells the initiator all that the lesser ones would, cleared
    /// commands included.
    const RESETS: u64 = UnitAttention::PowerOnReset.bit()
        | UnitAttention::BusDeviceReset.bit()
        | UnitAttention::NexusLoss.bit()
        | UnitAttention::CommandsCleared.bit();

    /// What SAM-5 (Status precedence) puts before RESERVATION CONFLICT; all others come behind it.
    const BEFORE_CONFLICT: u64 = UnitAttention::PowerOnReset.bit()
        | UnitAttention::MicrocodeChanged.bit()
        | UnitAttention::BusDeviceReset.bit()
        | UnitAttention::NexusLoss.bit();

    /// The sense data that reports it.
    pub fn sense(self) -> Sense {
        let (asc, ascq) = match self {
            UnitAttention::PowerOnReset => (0x29, 0x00),
            UnitAttention::MicrocodeChanged => (0x3f, 0x01),
            UnitAttention::BusDeviceReset => (0x29, 0x03),
            UnitAttention::NexusLoss => (0x29, 0x07),
            UnitAttention::CommandsCleared => (0x2f, 0x00),
            UnitAttention::NotReadyToReady => (0x28, 0x00),
            UnitAttention::RegistrationsPreempted => (0x2a, 0x05),
            UnitAttention::ReservationsPreempted => (0x2a, 0x03),
            UnitAttention::ReservationsReleased => (0x2a, 0x04),
            UnitAttention::AccessStateChanged => (0x2a, 0x06),
            UnitAttention::AccessTransitionFailed => (0x2a, 0x07),
            UnitAttention::DeviceIdentifierChanged => (0x3f, 0x05),
            UnitAttention::ReportedLunsChanged => (0x3f, 0x0e),
            UnitAttention::InquiryDataChanged => (0x3f, 0x03),
            UnitAttention::CapacityChanged => (0x2a, 0x09),
            UnitAttention::ModeParametersChanged => (0x2a, 0x01),
            UnitAttention::LogParametersChanged => (0x2a, 0x02),
            UnitAttention::TimestampChanged => (0x2a, 0x10),
            UnitAttention::PreviousBusy => (0x2c, 0x07),
            UnitAttention::PreviousTaskSetFull => (0x2c, 0x08),
            UnitAttention::PreviousReservationConflict => (0x2c, 0x09),
            UnitAttention::FailurePredicted => (0x5d, 0x00),
            UnitAttention::ThinProvisioningThreshold => (0x38, 0x07),
            UnitAttention::ImportExportAccessed => (0x28, 0x01),
            UnitAttention::WriteBackFailed => return Sense::WRITE_ERROR.as_deferred(),
        };
        Sense::unit_attention(asc, ascq)
    }

    const fn bit(self) -> u64 {
        1 << self as u8
    }
}

/// What a reservation lets this initiator do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum ReservedFor {
    /// It may do anything: there is no reservation, it holds it, or it is registered with one for registrants.
    Us = 0,
    /// Others may write: commands that change the medium or the unit conflict (SPC-4, write exclusive).
    Writers = 1,
    /// Others may do anything, this one next to nothing (SPC-4, exclusive access).
    Others = 2,
    /// As `Others`, by RESERVE of SPC-2, which lets even less pass.
    Spc2 = 3,
}

/// Asymmetric access state of the path from this initiator (SPC-4 5.16.2), as far as it stands in a command's way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum PathState {
    /// Active, optimized or not.
    Active = 0,
    /// Standby.
    Standby = 1,
    /// Unavailable.
    Unavailable = 2,
    /// Offline.
    Offline = 3,
    /// Transitioning between states.
    Transitioning = 4,
}

/// What one initiator port (an I_T_L nexus) has at one unit: the unit attentions that it was not told yet, and what stands in
/// its way. Shared by all cores; asking whether there is anything at all costs a relaxed load.
///
/// SAM-5 queues one condition of each kind, so a set of bits is the whole queue.
#[derive(Debug, Default)]
pub struct UnitNexus {
    /// Bits 0 to 47: attentions. 48 and 49: [`ReservedFor`]. 52 to 54: [`PathState`].
    state: AtomicU64,
    /// Its commands in the unit's task set; see [`crate::TaskSet::enter`].
    pub(crate) commands: AtomicU32,
    /// [`PortGroup`] of the path; it stands in no command's way.
    port_group: AtomicU32,
    copies: Copies,
    media_told: MediaTold,
}

const ATTENTIONS: u64 = (1 << 48) - 1;
const RESERVED_AT: u32 = 48;
const RESERVED_BITS: u64 = 0b11;
const PATH_AT: u32 = 52;
const PATH_BITS: u64 = 0b111;

impl UnitNexus {
    /// A nexus with nothing pending.
    pub fn new() -> UnitNexus {
        UnitNexus::default()
    }

    /// Nothing is pending and nothing stands in the way: what nearly every command finds.
    #[inline]
    pub fn is_clear(&self) -> bool {
        self.state.load(Ordering::Relaxed) == 0
    }

    /// Adds a condition; one that is pending already stays single.
    pub fn establish(&self, attention: UnitAttention) {
        if attention.bit() & UnitAttention::RESETS != 0 {
            self.copies.forget();
        }
        if attention == UnitAttention::NotReadyToReady {
            self.media_told.exchanged();
        }
        self.state.fetch_or(attention.bit(), Ordering::Relaxed);
    }

    /// What the reservation of its unit means to it.
    pub fn reserved_for(&self) -> ReservedFor {
        match self.state.load(Ordering::Relaxed) >> RESERVED_AT & RESERVED_BITS {
            0 => ReservedFor::Us,
            1 => ReservedFor::Writers,
            2 => ReservedFor::Others,
            _ => ReservedFor::Spc2,
        }
    }

    /// Says what the reservation of its unit means to it from now on.
    pub fn set_reserved_for(&self, reserved: ReservedFor) {
        self.replace(RESERVED_AT, RESERVED_BITS, reserved as u64);
    }

    /// The access state of its path.
    pub fn path_state(&self) -> PathState {
        match self.state.load(Ordering::Relaxed) >> PATH_AT & PATH_BITS {
            0 => PathState::Active,
            1 => PathState::Standby,
            2 => PathState::Unavailable,
            3 => PathState::Offline,
            _ => PathState::Transitioning,
        }
    }

    /// Sets the access state of its path.
    pub fn set_path_state(&self, state: PathState) {
        self.replace(PATH_AT, PATH_BITS, state as u64);
    }

    /// The target port group of its path.
    pub fn port_group(&self) -> PortGroup {
        PortGroup::from_bits(self.port_group.load(Ordering::Relaxed))
    }

    /// Sets the target port group of its path; returns whether that is news.
    pub fn set_port_group(&self, group: PortGroup) -> bool {
        self.port_group.swap(group.to_bits(), Ordering::Relaxed) != group.to_bits()
    }

    fn replace(&self, at: u32, bits: u64, value: u64) {
        let put = |state: u64| Some(state & !(bits << at) | value << at);
        let _ = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, put);
    }

    /// Whether the next command has to report something.
    #[inline]
    pub fn has_pending(&self) -> bool {
        self.state.load(Ordering::Relaxed) & ATTENTIONS != 0
    }

    /// Whether it has to report a reset, or the like, which goes before a reservation conflict.
    pub(crate) fn has_reset_pending(&self) -> bool {
        self.state.load(Ordering::Relaxed) & UnitAttention::BEFORE_CONFLICT != 0
    }

    /// Takes the condition of highest precedence; of several callers exactly one gets it. A reset takes the lesser
    /// resets with it.
    pub fn take(&self) -> Option<UnitAttention> {
        let mut taken = None;
        // No other memory hangs on the bits, so no ordering is needed: each bit is the whole message.
        let _ = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |pending| {
            // Set in every attempt: somebody else may have taken it before this one.
            taken = first(pending);
            let attention = taken?;
            let cleared = match attention.bit() & UnitAttention::RESETS {
                0 => attention.bit(),
                _ => UnitAttention::RESETS,
            };
            Some(pending & !cleared)
        });
        taken
    }

    /// The condition of highest precedence, which stays.
    pub(crate) fn first(&self) -> Option<UnitAttention> {
        first(self.state.load(Ordering::Relaxed))
    }

    /// What became of its third-party copies.
    pub(crate) fn copies(&self) -> &Copies {
        &self.copies
    }

    /// Asks it to give a CD drive's disc free, as the button of a drive does (MMC-6: GET EVENT STATUS NOTIFICATION, EjectRequest).
    pub fn request_eject(&self) {
        self.media_told.eject_requested();
    }

    /// What it knows of a CD drive's disc.
    pub(crate) fn media_told(&self) -> &MediaTold {
        &self.media_told
    }

    /// Forgets a condition that has become known otherwise, as REPORT LUNS does (SPC-4).
    pub fn clear(&self, attention: UnitAttention) {
        self.state.fetch_and(!attention.bit(), Ordering::Relaxed);
    }
}

fn first(pending: u64) -> Option<UnitAttention> {
    UnitAttention::ALL.into_iter().find(|attention| pending & attention.bit() != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_nexus_has_nothing_to_say() {
        let nexus = UnitNexus::new();
        assert!(!nexus.has_pending());
        assert_eq!(nexus.take(), None);
    }

    #[test]
    fn conditions_come_out_once_and_in_order_of_precedence() {
        let nexus = UnitNexus::new();
        for attention in UnitAttention::ALL.into_iter().rev() {
            nexus.establish(attention);
            nexus.establish(attention);
        }
        let order: Vec<UnitAttention> = std::iter::from_fn(|| nexus.take()).collect();
        let lesser_reset = |attention: &UnitAttention| {
            attention.bit() & UnitAttention::RESETS != 0 && *attention != UnitAttention::PowerOnReset
        };
        let expected: Vec<UnitAttention> =
            UnitAttention::ALL.into_iter().filter(|attention| !lesser_reset(attention)).collect();
        assert_eq!(order, expected);
        assert!(!nexus.has_pending());
    }

    #[test]
    fn what_stands_in_the_way_is_apart_from_what_is_pending() {
        let nexus = UnitNexus::new();
        nexus.set_reserved_for(ReservedFor::Spc2);
        nexus.set_path_state(PathState::Transitioning);
        assert!(!nexus.has_pending() && !nexus.is_clear());
        nexus.establish(UnitAttention::CapacityChanged);
        nexus.set_reserved_for(ReservedFor::Writers);
        assert_eq!((nexus.reserved_for(), nexus.path_state()), (ReservedFor::Writers, PathState::Transitioning));
        assert_eq!(nexus.take(), Some(UnitAttention::CapacityChanged));
        nexus.set_reserved_for(ReservedFor::Us);
        nexus.set_path_state(PathState::Active);
        assert!(nexus.is_clear());
    }

    #[test]
    fn a_lesser_condition_leaves_the_others() {
        let nexus = UnitNexus::new();
        nexus.establish(UnitAttention::ModeParametersChanged);
        nexus.establish(UnitAttention::CapacityChanged);
        assert_eq!(nexus.take(), Some(UnitAttention::CapacityChanged));
        assert_eq!(nexus.take(), Some(UnitAttention::ModeParametersChanged));
    }

    #[test]
    fn precedence_is_the_order_of_the_list_and_bits_are_distinct() {
        assert!(UnitAttention::ALL.is_sorted());
        let all = UnitAttention::ALL.iter().fold(0, |bits, attention| bits | attention.bit());
        assert_eq!(all & !ATTENTIONS, 0);
        assert_eq!(all.count_ones() as usize, UnitAttention::ALL.len());
    }

    #[test]
    fn each_condition_has_codes_of_its_own() {
        let codes = UnitAttention::ALL.map(|attention| (attention.sense().asc, attention.sense().ascq));
        let distinct: std::collections::BTreeSet<(u8, u8)> = codes.into_iter().collect();
        assert_eq!(distinct.len(), UnitAttention::ALL.len());
    }

    #[test]
    fn one_of_several_threads_gets_it() {
        let nexus = UnitNexus::new();
        nexus.establish(UnitAttention::PowerOnReset);
        let winners: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| usize::from(nexus.take().is_some()))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        });
        assert_eq!(winners, 1);
    }
}
