//! What stands between one initiator and one unit: unit attentions (SAM-5 5.14), reservations of others (SPC-4 5.13), the
//! access state of the path (SPC-4 5.16).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::cd::{Lock, MediaTold};
use crate::copy::results::Copies;
use crate::unit::LogicalUnit;
use crate::wire::sense::Sense;

/// Something an initiator has to be told before its next command runs. In order of precedence: resets first, as
/// SAM-5 5.14 ranks them, then the rest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum UnitAttention {
    /// 29h/00h POWER ON, RESET, OR BUS DEVICE RESET OCCURRED: the unit is new to this initiator.
    PowerOnReset,
    /// 29h/03h BUS DEVICE RESET FUNCTION OCCURRED: somebody sent LOGICAL UNIT RESET.
    BusDeviceReset,
    /// 29h/07h I_T NEXUS LOSS OCCURRED.
    NexusLoss,
    /// 2Fh/00h COMMANDS CLEARED BY ANOTHER INITIATOR.
    CommandsCleared,
    /// 28h/00h NOT READY TO READY CHANGE, MEDIUM MAY HAVE CHANGED: the device came back, or another file took its place.
    NotReadyToReady,
    /// 3Fh/0Eh REPORTED LUNS DATA HAS CHANGED.
    ReportedLunsChanged,
    /// 3Fh/03h INQUIRY DATA HAS CHANGED.
    InquiryDataChanged,
    /// 2Ah/09h CAPACITY DATA HAS CHANGED.
    CapacityChanged,
    /// 2Ah/01h MODE PARAMETERS CHANGED.
    ModeParametersChanged,
    /// 38h/07h THIN PROVISIONING SOFT THRESHOLD REACHED.
    ThinProvisioningThreshold,
    /// 28h/01h IMPORT OR EXPORT ELEMENT ACCESSED.
    ImportExportAccessed,
}

impl UnitAttention {
    /// All of them, highest precedence first.
    pub const ALL: [UnitAttention; 11] = [
        UnitAttention::PowerOnReset,
        UnitAttention::BusDeviceReset,
        UnitAttention::NexusLoss,
        UnitAttention::CommandsCleared,
        UnitAttention::NotReadyToReady,
        UnitAttention::ReportedLunsChanged,
        UnitAttention::InquiryDataChanged,
        UnitAttention::CapacityChanged,
        UnitAttention::ModeParametersChanged,
        UnitAttention::ThinProvisioningThreshold,
        UnitAttention::ImportExportAccessed,
    ];

    /// What reporting it takes away with it: one reset tells the initiator all that the lesser ones would, cleared
    /// commands included.
    const RESETS: u64 = UnitAttention::PowerOnReset.bit()
        | UnitAttention::BusDeviceReset.bit()
        | UnitAttention::NexusLoss.bit()
        | UnitAttention::CommandsCleared.bit();

    /// The sense data that reports it.
    pub fn sense(self) -> Sense {
        let (asc, ascq) = match self {
            UnitAttention::PowerOnReset => (0x29, 0x00),
            UnitAttention::BusDeviceReset => (0x29, 0x03),
            UnitAttention::NexusLoss => (0x29, 0x07),
            UnitAttention::CommandsCleared => (0x2f, 0x00),
            UnitAttention::NotReadyToReady => (0x28, 0x00),
            UnitAttention::ReportedLunsChanged => (0x3f, 0x0e),
            UnitAttention::InquiryDataChanged => (0x3f, 0x03),
            UnitAttention::CapacityChanged => (0x2a, 0x09),
            UnitAttention::ModeParametersChanged => (0x2a, 0x01),
            UnitAttention::ThinProvisioningThreshold => (0x38, 0x07),
            UnitAttention::ImportExportAccessed => (0x28, 0x01),
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
    copies: Copies,
    /// It prevents the removal of a CD drive's disc. Never locked while data moves.
    lock: Mutex<Option<Lock>>,
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
            self.allow_removal();
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

    fn replace(&self, at: u32, bits: u64, value: u64) {
        let put = |state: u64| Some(state & !(bits << at) | value << at);
        let _ = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, put);
    }

    /// Whether the next command has to report something.
    #[inline]
    pub fn has_pending(&self) -> bool {
        self.state.load(Ordering::Relaxed) & ATTENTIONS != 0
    }

    /// Takes the condition of highest precedence; of several callers exactly one gets it. A reset takes the lesser
    /// resets with it.
    pub fn take(&self) -> Option<UnitAttention> {
        let mut taken = None;
        // No other memory hangs on the bits, so no ordering is needed: each bit is the whole message.
        let _ = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |pending| {
            let attention = *UnitAttention::ALL.iter().find(|attention| pending & attention.bit() != 0)?;
            taken = Some(attention);
            let cleared = match attention.bit() & UnitAttention::RESETS {
                0 => attention.bit(),
                _ => UnitAttention::RESETS,
            };
            Some(pending & !cleared)
        });
        taken
    }

    /// What became of its third-party copies.
    pub(crate) fn copies(&self) -> &Copies {
        &self.copies
    }

    /// PREVENT ALLOW MEDIUM REMOVAL. It holds until it is taken back, a reset, or the end of the nexus (SPC-4).
    pub(crate) fn prevent_removal(&self, prevent: bool, unit: &LogicalUnit) {
        match unit.drive().filter(|_| prevent) {
            Some(drive) => drop(self.removal().get_or_insert_with(|| drive.lock())),
            None => self.allow_removal(),
        }
    }

    fn allow_removal(&self) {
        *self.removal() = None;
    }

    fn removal(&self) -> std::sync::MutexGuard<'_, Option<Lock>> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
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
        let expected: Vec<UnitAttention> = std::iter::once(UnitAttention::PowerOnReset)
            .chain(UnitAttention::ALL.into_iter().filter(|attention| *attention > UnitAttention::CommandsCleared))
            .collect();
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
