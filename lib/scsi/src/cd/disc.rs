//! READ DISC INFORMATION and MECHANISM STATUS (MMC-6).

use crate::unit::LogicalUnit;
use crate::wire::bytes::Bytes;

/// Standard disc information: a disc that is complete, with one session of one track.
pub(super) fn put_information(bytes: &mut Bytes<'_>) {
    /// STATE OF LAST SESSION 11b (complete), DISC STATUS 10b (finalized); not erasable.
    const COMPLETE: u8 = 0b11 << 2 | 0b10;
    /// URU: for unrestricted use; the other flags say that there is no disc identification, bar code or application code.
    const UNRESTRICTED_USE: u8 = 0x20;
    const NO_ADDRESS: u32 = u32::MAX;
    bytes.put_be16(0);
    bytes.put(&[COMPLETE, 1, 1, 1, 1]); // first track, sessions, first and last track of the last session
    bytes.put(&[UNRESTRICTED_USE, 0]); // DISC TYPE: CD-DA or CD-ROM
    bytes.put_zeroes(3); // the upper bytes of the numbers above
    bytes.put_be32(0); // DISC IDENTIFICATION
    bytes.put_be32(NO_ADDRESS); // LAST SESSION LEAD-IN START ADDRESS: nothing can be added
    bytes.put_be32(NO_ADDRESS); // LAST POSSIBLE LEAD-OUT START ADDRESS
    bytes.put_zeroes(8); // DISC BAR CODE
    bytes.put(&[0, 0]); // DISC APPLICATION CODE, NUMBER OF OPC TABLES
    bytes.patch_be16(0, (bytes.len() - 2) as u16); // DISC INFORMATION LENGTH
}

/// The header alone: there are no slots. Nothing plays or is under way (MECHANISM STATE 0).
pub(super) fn put_mechanism_status(unit: &LogicalUnit, bytes: &mut Bytes<'_>) {
    const DOOR_OPEN: u8 = 0x10;
    let open = unit.drive().is_some_and(|drive| drive.is_open());
    bytes.put(&[0, if open { DOOR_OPEN } else { 0 }]);
    bytes.put_zeroes(3); // CURRENT LBA
    bytes.put_u8(0); // NUMBER OF SLOTS
    bytes.put_be16(0); // LENGTH OF SLOT TABLES
}
