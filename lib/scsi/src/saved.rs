//! What a unit keeps over restarts: nothing of it is in the configuration, because initiators decide about it.

use std::collections::BTreeMap;

use bdev::ProtectionType;
use serde::{Deserialize, Serialize};

use crate::alua::AccessState;
use crate::mode::ModeParameters;
use crate::reservations::SavedReservations;
use crate::unit::LogicalUnit;
use crate::wire::sense::Sense;

/// All that one unit keeps. A field that an older version did not know is at its default.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Saved {
    /// Registrations and persistent reservation (SPC-4, APTPL).
    pub reservations: SavedReservations,
    /// What MODE SELECT with SP saved; at first the defaults.
    pub mode: ModeParameters,
    /// What SET IDENTIFYING INFORMATION set.
    pub identifying: Identifying,
    /// What LOG SELECT with SP saved.
    pub application: ApplicationLog,
    /// States that initiators set by SET TARGET PORT GROUPS (SPC-4), by the group's number.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub access_states: BTreeMap<u16, AccessState>,
    /// Type of protection that FORMAT UNIT has set: 0, 1 or 3. It goes before the device's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protection: Option<u8>,
}

impl Saved {
    /// Notes that the unit was formatted to a type of protection.
    pub fn set_protection(&mut self, protection: ProtectionType) {
        self.protection = Some(protection.number() as u8);
    }

    /// The type that it was formatted to, if it ever was; `None` also for a number that this version does not know.
    pub fn protection(&self) -> Option<ProtectionType> {
        ProtectionType::of_number(self.protection?.into())
    }
}

/// General usage application client parameters of the application client log page (SPC-4): by parameter code, below
/// [`ApplicationLog::PARAMETERS`], with [`ApplicationLog::PARAMETER_BYTES`] each; those that were never set are missing.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ApplicationLog(pub BTreeMap<u16, Vec<u8>>);

impl ApplicationLog {
    /// How many there are.
    pub const PARAMETERS: u16 = 64;
    /// Length of each, in bytes.
    pub const PARAMETER_BYTES: usize = 252;

    /// What a file says may be what no LOG SELECT can set.
    pub(crate) fn is_legal(&self) -> bool {
        self.0.iter().all(|(&code, value)| code < Self::PARAMETERS && value.len() == Self::PARAMETER_BYTES)
    }
}

/// Identifying information (SPC-4), by its two types.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Identifying {
    /// Peripheral device identifying information: at most 512 bytes, empty if there is none.
    pub peripheral: Vec<u8>,
    /// Peripheral device text identifying information: at most 255 bytes and no NUL, which is what ends it on the wire.
    pub text: String,
}

impl Identifying {
    /// Longest of type 0000000b, in bytes (SPC-4).
    pub const PERIPHERAL_BYTES_MAX: usize = 512;
    /// Longest of type 0000010b with its NUL, in bytes (SPC-4).
    pub const TEXT_BYTES_MAX: usize = 256;

    /// What a file says may be what no SET IDENTIFYING INFORMATION can set.
    pub(crate) fn is_legal(&self) -> bool {
        self.peripheral.len() <= Self::PERIPHERAL_BYTES_MAX
            && self.text.len() < Self::TEXT_BYTES_MAX
            && !self.text.contains('\0')
    }
}

/// Where units keep it. Used on the control plane alone.
pub trait Store: Send {
    /// What was saved last for a unit, which is known by its NAA designator; the default if nothing ever was.
    ///
    /// # Errors
    /// It cannot be read, or is damaged: the text names the file and the fix.
    fn load(&self, naa: u64) -> Result<Saved, StoreError>;

    /// Saves it; once this returns, it survives `kill -9` and power loss, and what was there before is never half gone.
    ///
    /// # Errors
    /// It cannot be written; what was saved before is still there.
    fn save(&self, naa: u64, saved: &Saved) -> Result<(), StoreError>;
}

/// Why something cannot be kept or found.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

/// What a unit has saved, and the way to save more, for a command that the control plane carries out.
pub struct Keeper<'a> {
    /// What is saved now.
    pub saved: &'a mut Saved,
    /// Where; `None`: nothing can be saved.
    pub store: Option<&'a dyn Store>,
    /// Why the last attempt to save something failed: for the log.
    pub failure: Option<StoreError>,
}

impl Keeper<'_> {
    /// Changes what is saved. Once this returns it is on disk.
    ///
    /// # Errors
    /// SAVING PARAMETERS NOT SUPPORTED where there is no store, INTERNAL TARGET FAILURE where it fails: all is as it was.
    pub(crate) fn save(&mut self, unit: &LogicalUnit, change: impl FnOnce(&mut Saved)) -> Result<(), Sense> {
        let store = self.store.ok_or(Sense::SAVING_PARAMETERS_NOT_SUPPORTED)?;
        let mut saved = self.saved.clone();
        change(&mut saved);
        match store.save(unit.naa(), &saved) {
            Ok(()) => {
                *self.saved = saved;
                Ok(())
            }
            Err(error) => {
                self.failure = Some(error);
                Err(Sense::INTERNAL_TARGET_FAILURE)
            }
        }
    }
}
