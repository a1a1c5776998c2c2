//! Mode pages (SPC-4, SBC-3): what MODE SELECT can change of a unit, and which pages MODE SENSE shows.
//!
//! A page is always built whole, from [`ModeParameters`] and the unit's facts; what may be changed of it is a mask of the same length.
//! MODE SELECT compares what it is given with the two, so that no page is described twice.

pub(crate) mod page;

use serde::{Deserialize, Serialize};

use crate::task_set::{AttentionInterlock, QueueError};
use crate::unit::LogicalUnit;

/// Page and subpage.
pub(crate) type PageCode = (u8, u8);

pub(crate) const READ_WRITE_ERROR_RECOVERY: PageCode = (0x01, 0x00);
pub(crate) const DISCONNECT_RECONNECT: PageCode = (0x02, 0x00);
pub(crate) const VERIFY_ERROR_RECOVERY: PageCode = (0x07, 0x00);
pub(crate) const CACHING: PageCode = (0x08, 0x00);
pub(crate) const CONTROL: PageCode = (0x0a, 0x00);
pub(crate) const CONTROL_EXTENSION: PageCode = (0x0a, 0x01);
pub(crate) const PROTOCOL_SPECIFIC_PORT: PageCode = (0x19, 0x00);
pub(crate) const POWER_CONDITION: PageCode = (0x1a, 0x00);
pub(crate) const INFORMATIONAL_EXCEPTIONS: PageCode = (0x1c, 0x00);
/// Only of a unit with a threshold.
pub(crate) const PROVISIONING: PageCode = (0x1c, 0x02);
pub(crate) const ALL_PAGES: u8 = 0x3f;
/// Subpage FFh: the page and all its subpages.
pub(crate) const ALL_SUBPAGES: u8 = 0xff;

/// The pages of a unit, in ascending order.
pub(crate) fn pages(unit: &LogicalUnit) -> impl Iterator<Item = PageCode> {
    let always = [
        READ_WRITE_ERROR_RECOVERY,
        DISCONNECT_RECONNECT,
        VERIFY_ERROR_RECOVERY,
        CACHING,
        CONTROL,
        CONTROL_EXTENSION,
        PROTOCOL_SPECIFIC_PORT,
        POWER_CONDITION,
        INFORMATIONAL_EXCEPTIONS,
    ];
    always.into_iter().chain(unit.provisioning_threshold().map(|_| PROVISIONING))
}

/// All that initiators may change of a unit's mode pages, by the standards' names of the bits. A mode page's further bits that can be
/// changed are added here, in [`LogicalUnit::mode`] and [`LogicalUnit::set_mode`], and in `page.rs`: body, mask and reading.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct ModeParameters {
    /// D_SENSE of the control mode page: sense data goes out in descriptor format.
    pub descriptor_sense: bool,
    /// QERR of the control mode page: what else ends when a command ends with CHECK CONDITION.
    pub queue_error: QueueError,
    /// UA_INTLCK_CTRL of the control mode page: what becomes of a unit attention that was reported.
    pub attention_interlock: AttentionInterlock,
    /// SWP of the control mode page: writes are refused.
    pub software_write_protect: bool,
    /// TAS of the control mode page: commands that another initiator aborts end with TASK ABORTED.
    pub task_aborted_status: bool,
    /// WCE of the caching mode page: writes may be answered from a volatile cache. Without effect where there is none.
    pub write_cache: bool,
    /// The informational exceptions control mode page.
    pub exceptions: Exceptions,
}

/// What of the informational exceptions control mode page can be changed (SPC-4).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Exceptions {
    /// DEXCPT: none are reported.
    pub disabled: bool,
    /// TEST: one is reported that is none.
    pub test: bool,
    /// MRIE 6h, to whoever asks by REQUEST SENSE; else 0h, to nobody.
    pub on_request: bool,
}

impl Default for ModeParameters {
    fn default() -> ModeParameters {
        ModeParameters {
            descriptor_sense: false,
            queue_error: QueueError::default(),
            attention_interlock: AttentionInterlock::default(),
            software_write_protect: false,
            // So that nobody waits for a timeout.
            task_aborted_status: true,
            write_cache: true,
            exceptions: Exceptions::default(),
        }
    }
}

impl Default for Exceptions {
    fn default() -> Exceptions {
        Exceptions { disabled: false, test: false, on_request: true }
    }
}

impl Exceptions {
    /// What a file says may be what no MODE SELECT can set.
    pub(crate) fn legal(self) -> Exceptions {
        if self.disabled && self.test { Exceptions::default() } else { self }
    }

    /// REQUEST SENSE reports the test.
    pub(crate) fn reports_test(self) -> bool {
        self.test && self.on_request && !self.disabled
    }
}
