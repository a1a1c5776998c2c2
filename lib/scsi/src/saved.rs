//! What a unit keeps over restarts: nothing of it is in the configuration, because initiators decide about it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::alua::AccessState;

/// All that one unit keeps. A field that an older version did not know is at its default.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Saved {
    /// States that initiators set by SET TARGET PORT GROUPS (SPC-4), by the group's number.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub access_states: BTreeMap<u16, AccessState>,
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
