//! Which commands are carried out while the medium is being formatted or sanitized, and after that failed (SBC-4, format operations and
//! sanitize operations). All others end with what the condition says, whether they need the medium or not.

use super::needs_medium;
use crate::medium::condition::{Condition, Undertaking};
use crate::unit::LogicalUnit;
use crate::wire::cdb::{opcode, service_action};
use crate::wire::sense::Sense;

/// Refuses what is not allowed now. A CDB has at least six bytes.
#[inline]
pub(super) fn check(cdb: &[u8], unit: &LogicalUnit) -> Result<(), Sense> {
    match unit.check_medium() {
        Ok(()) => Ok(()),
        Err(_) if is_allowed(cdb, unit.condition().now()) => Ok(()),
        Err(sense) => Err(sense),
    }
}

#[cold]
fn is_allowed(cdb: &[u8], condition: Condition) -> bool {
    match condition {
        Condition::Usable => true,
        Condition::UnderWay(Undertaking::Format) => {
            matches!(cdb[0], opcode::INQUIRY | opcode::REPORT_LUNS | opcode::REQUEST_SENSE)
        }
        Condition::UnderWay(Undertaking::Sanitize { .. }) => is_allowed_during_sanitize(cdb),
        // The standard leaves it at the medium.
        Condition::Failed(Undertaking::Format) => {
            !needs_medium(cdb[0]) || matches!(cdb[0], opcode::FORMAT_UNIT | opcode::SANITIZE)
        }
        Condition::Failed(Undertaking::Sanitize { .. }) => {
            cdb[0] == opcode::SANITIZE || is_allowed_during_sanitize(cdb)
        }
    }
}

/// SBC-4, commands allowed during sanitize.
fn is_allowed_during_sanitize(cdb: &[u8]) -> bool {
    const LOG_SENSE: u8 = 0x4d;
    const TEMPERATURE_LOG_PAGE: u8 = 0x0d;
    const REPORT_SUPPORTED_TASK_MANAGEMENT_FUNCTIONS: u8 = 0x0d;
    /// Caching, control, protocol-specific logical unit and port, informational exceptions control.
    const MODE_PAGES: [u8; 5] = [0x08, 0x0a, 0x18, 0x19, 0x1c];
    let (action, page) = (cdb[1] & 0x1f, cdb[2] & 0x3f);
    match cdb[0] {
        opcode::INQUIRY | opcode::REPORT_LUNS | opcode::REQUEST_SENSE | opcode::READ_CAPACITY_10 => true,
        opcode::SERVICE_ACTION_IN_16 => action == service_action::READ_CAPACITY_16,
        opcode::MAINTENANCE_IN => {
            action == service_action::REPORT_SUPPORTED_OPERATION_CODES
                || action == REPORT_SUPPORTED_TASK_MANAGEMENT_FUNCTIONS
        }
        opcode::MODE_SENSE_6 | opcode::MODE_SENSE_10 => MODE_PAGES.contains(&page),
        LOG_SENSE => page == TEMPERATURE_LOG_PAGE,
        _ => false,
    }
}
