//! What CD drives support.

use crate::CommandInfo;
use crate::command_table::{LONG, QUICK, action, disk as row};
use crate::wire::cdb::{opcode::*, service_action::*};

/// All supported commands of a CD drive, as [`crate::COMMANDS`] has those of a disk; the same tests compare it with the dispatcher
/// and the parsers. WRITE is no command of a drive that only reads (MMC-6); it is answered with WRITE PROTECTED all the same, which
/// tells more than that it is not known.
#[rustfmt::skip]
pub const CD_COMMANDS: &[CommandInfo] = &[
    row(TEST_UNIT_READY, "TEST UNIT READY", &[0x00, 0, 0, 0, 0, 0x04], QUICK),
    row(REQUEST_SENSE, "REQUEST SENSE", &[0x03, 0x01, 0, 0, 0xff, 0x04], QUICK),
    row(INQUIRY, "INQUIRY", &[0x12, 0x03, 0xff, 0xff, 0xff, 0x04], QUICK),
    row(MODE_SENSE_6, "MODE SENSE(6)", &[0x1a, 0, 0xff, 0xff, 0xff, 0x04], QUICK),
    row(START_STOP_UNIT, "START STOP UNIT", &[0x1b, 0, 0, 0x0f, 0xf3, 0x04], QUICK),
    row(PREVENT_ALLOW_MEDIUM_REMOVAL, "PREVENT ALLOW MEDIUM REMOVAL", &[0x1e, 0, 0, 0, 0x03, 0x04], QUICK),
    row(READ_CAPACITY_10, "READ CAPACITY(10)", &[0x25, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0x01, 0x04], QUICK),
    row(READ_10, "READ(10)", &[0x28, 0xf8, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04], QUICK),
    row(VERIFY_10, "VERIFY(10)", &[0x2f, 0xf6, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04], LONG),
    row(READ_TOC_PMA_ATIP, "READ TOC/PMA/ATIP", &[0x43, 0x02, 0x0f, 0, 0, 0, 0xff, 0xff, 0xff, 0x04], QUICK),
    row(GET_CONFIGURATION, "GET CONFIGURATION", &[0x46, 0x03, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 0x04], QUICK),
    row(GET_EVENT_STATUS_NOTIFICATION, "GET EVENT STATUS NOTIFICATION", &[0x4a, 0x01, 0, 0, 0x10, 0, 0, 0xff, 0xff, 0x04], QUICK),
    row(READ_DISC_INFORMATION, "READ DISC INFORMATION", &[0x51, 0x07, 0, 0, 0, 0, 0, 0xff, 0xff, 0x04], QUICK),
    row(MODE_SENSE_10, "MODE SENSE(10)", &[0x5a, 0, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 0x04], QUICK),
    row(REPORT_LUNS, "REPORT LUNS", &[0xa0, 0, 0xff, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0x04], QUICK),
    action(MAINTENANCE_IN, REPORT_SUPPORTED_OPERATION_CODES, "REPORT SUPPORTED OPERATION CODES", &[0xa3, 0x0c, 0x87, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], QUICK),
    row(READ_12, "READ(12)", &[0xa8, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], QUICK),
    row(MECHANISM_STATUS, "MECHANISM STATUS", &[0xbd, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0x04], QUICK),
];
