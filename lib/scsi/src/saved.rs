//! What a unit keeps over restarts: nothing of it is in the configuration, because initiators decide about it.

use bdev::ProtectionType;
use serde::{Deserialize, Serialize};

/// All that one unit keeps. A field that an older version did not know is at its default.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Saved {
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
