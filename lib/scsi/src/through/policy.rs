//! Which commands never go through, and which may through a read-only LUN.

use crate::wire::cdb::{be16, opcode::*, service_action::*};

const TAPE: u8 = 0x01;
const OPTICAL: u8 = 0x05;
const CHANGER: u8 = 0x08;
const ZONED: u8 = 0x14;

/// READ(32) (SBC-3): a service action of the variable-length operation code.
const READ_32: u16 = 0x0009;

/// Refused whatever the LUN allows; the table of the module above says why.
pub(super) fn is_refused(device_type: u8, cdb: &[u8]) -> bool {
    match cdb[0] {
        0x16 | 0x17 | 0x56 | 0x57 => true, // RESERVE, RELEASE
        0x5e | 0x5f => true,               // PERSISTENT RESERVE IN, OUT
        0x83 | 0x84 => true,               // EXTENDED COPY, RECEIVE COPY RESULTS
        0x18 | 0x3a => true,               // COPY, COPY AND VERIFY
        0x86 | 0x87 => true,               // ACCESS CONTROL IN, OUT
        // REPORT, SET TARGET PORT GROUPS. MMC has SEND KEY and REPORT KEY there.
        MAINTENANCE_IN | 0xa4 => device_type != OPTICAL && cdb[1] & 0x1f == 0x0a,
        _ => false,
    }
}

/// Neither the medium nor what other initiators see changes. What is not in this list is refused through a read-only LUN.
pub(super) fn changes_nothing(device_type: u8, cdb: &[u8]) -> bool {
    let service_action = cdb[1] & 0x1f;
    match cdb[0] {
        TEST_UNIT_READY | REQUEST_SENSE | INQUIRY | MODE_SENSE_6 | MODE_SENSE_10 | REPORT_LUNS => return true,
        0x1c | 0x3c | 0x4d => return true, // RECEIVE DIAGNOSTIC RESULTS, READ BUFFER, LOG SENSE
        PREVENT_ALLOW_MEDIUM_REMOVAL => return true,
        MAINTENANCE_IN => return device_type != OPTICAL,
        // Bringing the unit up, but not stopping it, and nothing is ejected or loaded.
        START_STOP_UNIT => {
            return device_type != TAPE && cdb[4] & 0xf3 == 0x01 || device_type == TAPE && cdb[4] & 0x0b == 1;
        }
        _ => {}
    }
    match (device_type, cdb[0]) {
        (TAPE, READ_6 | READ_16 | 0x0f | 0x81) => true,   // READ, READ REVERSE
        (TAPE, 0x01 | 0x11 | 0x91 | 0x2b | 0x92) => true, // REWIND, SPACE, LOCATE
        (TAPE, 0x05 | 0x13 | 0x34 | 0x44 | 0x8c) => true, // READ BLOCK LIMITS, VERIFY, READ POSITION, REPORT DENSITY SUPPORT, READ ATTRIBUTE
        (CHANGER, 0x07 | 0x37 | 0xb5 | 0xb8) => true, // INITIALIZE and READ ELEMENT STATUS, REQUEST VOLUME ELEMENT ADDRESS
        (OPTICAL, 0x23 | 0x42..=0x46 | 0x4a | 0x51 | 0x52 | 0x5c) => true, // what MMC has to say of disc and drive
        (OPTICAL, 0xa4 | 0xac | 0xad | 0xb9 | 0xbd | 0xbe) => true, // REPORT KEY, GET PERFORMANCE, READ DISC STRUCTURE, READ CD, MECHANISM STATUS
        (ZONED, 0x95) => service_action == 0,                       // REPORT ZONES
        (0x00 | 0x04 | OPTICAL | 0x07 | 0x0e | ZONED, operation) => match operation {
            READ_6 | READ_10 | READ_12 | READ_16 | READ_CAPACITY_10 => true,
            VERIFY_10 | VERIFY_12 | VERIFY_16 | SYNCHRONIZE_CACHE_10 | SYNCHRONIZE_CACHE_16 => true,
            0x2b | 0x34 | 0x90 | 0x37 | 0xb7 | 0x3e => true, // SEEK, PRE-FETCH, READ DEFECT DATA, READ LONG
            SERVICE_ACTION_IN_16 => matches!(service_action, READ_CAPACITY_16 | 0x11 | 0x12), // READ LONG, GET LBA STATUS
            0x7f => cdb.len() >= 10 && be16(cdb, 8) == READ_32,
            _ => false,
        },
        _ => false,
    }
}
