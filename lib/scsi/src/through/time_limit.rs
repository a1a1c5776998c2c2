//! How long a device may take for a command, before the kernel begins to abort, reset and finally give the device up.
//!
//! Longer than any initiator waits: what is too long is the initiator's decision, which aborts and resets as it sees fit. Only for
//! commands that are known to take hours it must not be the kernel that ends them.

use std::time::Duration;

use crate::wire::cdb::opcode::*;

/// Ordinary commands: a disk that recovers a bad sector, or spins up, needs half of it.
const ORDINARY: Duration = Duration::from_secs(60);
/// Commands that go over much of the medium, or wait for a mechanism.
const LONG: Duration = Duration::from_secs(15 * 60);
/// Winding a tape from end to end, moving media about, self-tests.
const HOURS: Duration = Duration::from_secs(4 * 3600);
/// Formatting and erasing all of a large disk or tape.
const DAYS: Duration = Duration::from_secs(3 * 24 * 3600);

const TAPE: u8 = 0x01;
const OPTICAL: u8 = 0x05;
const CHANGER: u8 = 0x08;

/// The time limit of a command to a device of this type.
pub(super) fn of(device_type: u8, cdb: &[u8]) -> Duration {
    match (device_type, cdb[0]) {
        (TAPE, 0x04 | 0x19) => DAYS,                                     // FORMAT MEDIUM, ERASE
        (TAPE, 0x01 | 0x11 | 0x13 | 0x1b | 0x2b | 0x91 | 0x92) => HOURS, // REWIND, SPACE, VERIFY, LOAD UNLOAD, LOCATE
        (TAPE, 0x82) => HOURS, // ALLOW OVERWRITE and its kin wait for positioning
        // READ, READ REVERSE, WRITE, WRITE FILEMARKS: repositioning and retries take minutes.
        (TAPE, READ_6 | READ_16 | 0x0f | 0x81 | WRITE_6 | WRITE_16 | 0x10 | 0x80) => LONG,
        (CHANGER, 0x07 | 0x37 | 0xa5 | 0xa6 | 0xb6 | 0xb8 | 0x2b) => HOURS, // inventories, moves, exchanges
        (OPTICAL, 0xa1) => HOURS,                                           // BLANK
        (OPTICAL, 0x53 | 0x54 | 0x5b) => LONG, // RESERVE TRACK, SEND OPC, CLOSE TRACK SESSION
        (_, 0x04 | 0x48) => DAYS,              // FORMAT UNIT, SANITIZE
        (_, 0x1d) => HOURS,                    // SEND DIAGNOSTIC: a self-test in the foreground
        (_, 0x3b) => LONG,                     // WRITE BUFFER: microcode
        (_, START_STOP_UNIT | SYNCHRONIZE_CACHE_10 | SYNCHRONIZE_CACHE_16 | UNMAP) => LONG,
        (_, VERIFY_10 | VERIFY_12 | VERIFY_16 | WRITE_SAME_10 | WRITE_SAME_16 | 0x7f) => LONG,
        (_, 0x85 | 0xa1) => LONG, // ATA PASS-THROUGH: may be a security erase of a disk, which asks for more itself
        _ => ORDINARY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operation_codes_mean_what_they_mean_for_their_device() {
        assert_eq!(of(0, &[0x01, 0, 0, 0, 0, 0]), ORDINARY, "REZERO UNIT of a disk");
        assert_eq!(of(TAPE, &[0x01, 0, 0, 0, 0, 0]), HOURS, "REWIND of a tape");
        assert_eq!(of(0, &[READ_10, 0, 0, 0, 0, 0]), ORDINARY);
        assert_eq!(of(TAPE, &[READ_6, 0, 0, 0, 0, 0]), LONG);
        assert_eq!(of(0, &[0x04, 0, 0, 0, 0, 0]), DAYS);
        assert_eq!(of(CHANGER, &[0xa5, 0, 0, 0, 0, 0]), HOURS);
    }

    #[test]
    fn every_limit_fits_the_kernels_milliseconds() {
        for device_type in 0..=0x1f {
            for operation in 0..=u8::MAX {
                let limit = of(device_type, &[operation, 0, 0, 0, 0, 0]);
                assert!(limit >= ORDINARY && u32::try_from(limit.as_millis()).is_ok());
            }
        }
    }
}
