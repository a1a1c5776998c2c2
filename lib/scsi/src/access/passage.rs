//! Whose commands pass a reservation of others: SPC-4's table of commands that are allowed in the presence of various reservations, and
//! SBC-3's.
//!
//! Commands that SPC-4 leaves to the device server (TEST UNIT READY, MODE SENSE, …) pass as ALLOW COMMANDS 011b says, which PERSISTENT
//! RESERVE IN, REPORT CAPABILITIES returns.

/// Whose command passes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Passage {
    /// Anybody's, whatever the reservation.
    Anybody,
    /// Anybody's, but for the reservation of SPC-2.
    AnybodyButSpc2,
    /// That of who may read: it passes write exclusive reservations.
    Reader,
    /// Only that of the holder, or of those who have the same rights.
    Holder,
}

/// Whose command this is; `None` for commands that are in no table. The operation codes stand here as numbers, because most of them are
/// not supported, and some never will be.
pub(super) fn passage(cdb: &[u8]) -> Option<Passage> {
    let byte = |at: usize| cdb.get(at).copied().unwrap_or(0);
    let action = byte(1) & 0x1f;
    Some(match byte(0) {
        0x12 | 0x03 | 0xa0 => Passage::Anybody, // INQUIRY, REQUEST SENSE, REPORT LUNS
        0x25 | 0x4d => Passage::Anybody,        // READ CAPACITY(10), LOG SENSE
        // PERSISTENT RESERVE IN, OUT, RESERVE, RELEASE: decided where they are carried out, because it depends on who is registered.
        0x5e | 0x5f | 0x16 | 0x56 | 0x17 | 0x57 => Passage::Anybody,
        // PREVENT ALLOW MEDIUM REMOVAL, to allow it; START STOP UNIT, to bring the unit up: neither takes anything from the holder.
        0x1e if byte(4) & 0b11 == 0 => Passage::Anybody,
        0x1b if byte(4) & 0xf1 == 0x01 => Passage::Anybody,
        0x1e | 0x1b => Passage::Holder,
        0x00 => Passage::AnybodyButSpc2, // TEST UNIT READY
        0x1a | 0x5a | 0x3c | 0x9b | 0x1c | 0x84 | 0x8c => Passage::Reader, // MODE SENSE, READ BUFFER, RECEIVE DIAGNOSTIC RESULTS, RECEIVE COPY RESULTS, READ ATTRIBUTE
        0x08 | 0x28 | 0xa8 | 0x88 => Passage::Reader,                      // READ
        0x2f | 0xaf | 0x8f => Passage::Reader,                             // VERIFY
        0x34 | 0x90 | 0x2b | 0x37 | 0xb7 | 0x3e => Passage::Reader, // PRE-FETCH, SEEK, READ DEFECT DATA, READ LONG(10)
        0x95 => Passage::Reader,                                    // REPORT ZONES and its like
        // MMC, which has no table: READ TOC, READ HEADER, GET CONFIGURATION, GET EVENT STATUS NOTIFICATION, READ DISC and TRACK INFORMATION,
        // READ BUFFER CAPACITY, GET PERFORMANCE, READ DISC STRUCTURE, READ CD MSF, MECHANISM STATUS, READ CD.
        0x43 | 0x44 | 0x46 | 0x4a | 0x51 | 0x52 | 0x5c | 0xac | 0xad | 0xb9 | 0xbd | 0xbe => Passage::Reader,
        0x9e => match action {
            0x10 | 0x13 => Passage::Anybody,              // READ CAPACITY(16), REPORT REFERRALS
            0x11 | 0x12 | 0x16 | 0x17 => Passage::Reader, // READ LONG(16), GET LBA STATUS, GET STREAM STATUS, GET PHYSICAL ELEMENT STATUS
            _ => Passage::Holder,                         // STREAM CONTROL, BACKGROUND CONTROL
        },
        0xa3 => match action {
            0x05 | 0x0a | 0x0b => Passage::Anybody, // REPORT IDENTIFYING INFORMATION, REPORT TARGET PORT GROUPS, REPORT ALIASES
            0x0e | 0x0f => Passage::Anybody,        // REPORT PRIORITY, REPORT TIMESTAMP
            0x10 => Passage::Holder,                // MANAGEMENT PROTOCOL IN
            _ => Passage::Reader, // REPORT SUPPORTED OPERATION CODES, REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS
        },
        0xab if action == 0x01 => Passage::Anybody, // READ MEDIA SERIAL NUMBER
        0x7f => match u16::from_be_bytes([byte(8), byte(9)]) {
            0x0009 | 0x000a => Passage::Reader, // READ(32), VERIFY(32)
            _ => Passage::Holder,
        },
        0x0a | 0x2a | 0xaa | 0x8a => Passage::Holder,        // WRITE
        0x2e | 0xae | 0x8e => Passage::Holder,               // WRITE AND VERIFY
        0x41 | 0x93 | 0x42 => Passage::Holder,               // WRITE SAME, UNMAP
        0x89 | 0x8b | 0x9c | 0x9a => Passage::Holder,        // COMPARE AND WRITE, ORWRITE, WRITE ATOMIC, WRITE STREAM
        0x35 | 0x91 => Passage::Holder,                      // SYNCHRONIZE CACHE
        0x04 | 0x07 | 0x48 => Passage::Holder,               // FORMAT UNIT, REASSIGN BLOCKS, SANITIZE
        0x15 | 0x55 | 0x4c | 0x3b | 0x1d => Passage::Holder, // MODE SELECT, LOG SELECT, WRITE BUFFER, SEND DIAGNOSTIC
        0x83 | 0xa4 => Passage::Holder, // EXTENDED COPY, POPULATE TOKEN, WRITE USING TOKEN; all of MAINTENANCE OUT
        0x3f | 0x9f | 0x8d => Passage::Holder, // WRITE LONG, WRITE ATTRIBUTE
        0xa2 | 0xb5 => Passage::Holder, // SECURITY PROTOCOL IN, OUT
        0x94 => Passage::Holder,        // CLOSE ZONE and its like
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::reservation;
    use crate::nexus::ReservedFor;
    use crate::{COMMANDS, CommandInfo};

    /// A CDB of a row, whose choices are all zero.
    fn cdb_of(info: &CommandInfo) -> Vec<u8> {
        let mut cdb = vec![0; info.usage.len().max(16)];
        cdb[0] = info.opcode;
        match (info.opcode, info.service_action) {
            (0x7f, Some(action)) => cdb[8..10].copy_from_slice(&action.to_be_bytes()),
            (_, action) => cdb[1] = action.unwrap_or(0) as u8,
        }
        cdb
    }

    #[test]
    fn every_supported_command_is_in_a_table() {
        for info in COMMANDS {
            assert!(passage(&cdb_of(info)).is_some(), "{}: say whose commands pass a reservation", info.name);
        }
    }

    /// Rows of SPC-4's table and SBC-3's: write exclusive, exclusive access, RESERVE; true where the command conflicts.
    #[test]
    fn the_tables() {
        const ALLOWED: [bool; 3] = [false; 3];
        const CONFLICT: [bool; 3] = [true; 3];
        const READS: [bool; 3] = [false, true, true];
        let rows: &[(&[u8], [bool; 3])] = &[
            (&[0x00], [false, false, true]), // TEST UNIT READY
            (&[0x12], ALLOWED),              // INQUIRY
            (&[0x08], READS),                // READ(6)
            (&[0x0a], CONFLICT),             // WRITE(6)
            (&[0x1e, 0, 0, 0, 0], ALLOWED),  // PREVENT ALLOW MEDIUM REMOVAL
            (&[0x1e, 0, 0, 0, 1], CONFLICT),
            (&[0x1b, 0, 0, 0, 1], ALLOWED),                    // START STOP UNIT: START
            (&[0x1b, 0, 0, 0, 0], CONFLICT),                   // stop
            (&[0x1b, 0, 0, 0, 0x31], CONFLICT),                // a power condition
            (&[0x1a], READS),                                  // MODE SENSE(6)
            (&[0x15], CONFLICT),                               // MODE SELECT(6)
            (&[0x25], ALLOWED),                                // READ CAPACITY(10)
            (&[0x9e, 0x10], ALLOWED),                          // READ CAPACITY(16)
            (&[0x9e, 0x12], READS),                            // GET LBA STATUS
            (&[0x35], CONFLICT),                               // SYNCHRONIZE CACHE(10)
            (&[0x2f], READS),                                  // VERIFY(10)
            (&[0x42], CONFLICT),                               // UNMAP
            (&[0x41], CONFLICT),                               // WRITE SAME(10)
            (&[0x89], CONFLICT),                               // COMPARE AND WRITE
            (&[0x83], CONFLICT),                               // EXTENDED COPY
            (&[0x84], READS),                                  // RECEIVE COPY RESULTS
            (&[0xa3, 0x0a], ALLOWED),                          // REPORT TARGET PORT GROUPS
            (&[0xa3, 0x0c], READS),                            // REPORT SUPPORTED OPERATION CODES
            (&[0xa4, 0x0a], CONFLICT),                         // SET TARGET PORT GROUPS
            (&[0x4d], ALLOWED),                                // LOG SENSE
            (&[0x4c], CONFLICT),                               // LOG SELECT
            (&[0x7f, 0, 0, 0, 0, 0, 0, 0, 0, 0x09], READS),    // READ(32)
            (&[0x7f, 0, 0, 0, 0, 0, 0, 0, 0, 0x0b], CONFLICT), // WRITE(32)
            (&[0xff], CONFLICT),
            (&[], [false, false, true]), // no command at all is refused otherwise
        ];
        for (cdb, expected) in rows {
            let conflicts = [ReservedFor::Writers, ReservedFor::Others, ReservedFor::Spc2]
                .map(|reserved| reservation(cdb, reserved).is_some());
            assert_eq!(conflicts, *expected, "{cdb:02x?}");
            assert_eq!(reservation(cdb, ReservedFor::Us), None);
        }
    }
}
