//! MODE SENSE and the mode pages of a CD drive (MMC-6). Nothing can be changed, and there are no block descriptors.

use crate::command::ModeValues;
use crate::unit::LogicalUnit;
use crate::wire::bytes::Bytes;
use crate::wire::sense::Sense;

/// Read/write error recovery.
const ERROR_RECOVERY: u8 = 0x01;
/// MM capabilities and mechanical status.
const CAPABILITIES: u8 = 0x2a;
const PAGES: [u8; 2] = [ERROR_RECOVERY, CAPABILITIES];
const ALL_PAGES: u8 = 0x3f;

/// LOADING MECHANISM TYPE 001b (tray), EJECT and LOCK: as the capabilities page and the removable medium feature have them.
pub(super) const TRAY_EJECT_LOCK: u8 = 0x29;

/// Whether a page is there to be asked for.
///
/// # Errors
/// INVALID FIELD IN CDB with a pointer to PAGE CODE or SUBPAGE CODE.
pub(crate) fn check_page(page: u8, subpage: u8) -> Result<(), Sense> {
    const ALL_SUBPAGES: u8 = 0xff;
    match (page == ALL_PAGES || PAGES.contains(&page), subpage) {
        (false, _) => Err(Sense::invalid_field_in_cdb(2, Some(5))),
        (true, 0 | ALL_SUBPAGES) => Ok(()),
        (true, _) => Err(Sense::invalid_field_in_cdb(3, None)),
    }
}

pub(super) fn put(ten: bool, page: u8, values: ModeValues, unit: &LogicalUnit, bytes: &mut Bytes<'_>) {
    // Lengths, MEDIUM TYPE, DEVICE-SPECIFIC PARAMETER, BLOCK DESCRIPTOR LENGTH.
    bytes.put_zeroes(if ten { 8 } else { 4 });
    for known in PAGES.into_iter().filter(|&known| page == ALL_PAGES || page == known) {
        match known {
            ERROR_RECOVERY => put_error_recovery(bytes),
            _ => put_capabilities(values, unit, bytes),
        }
    }
    // MODE DATA LENGTH counts what follows it.
    match ten {
        true => bytes.patch_be16(0, (bytes.len() - 2) as u16),
        false => bytes.patch_u8(0, (bytes.len() - 1) as u8),
    }
}

/// All that is read is right, without correction and without retries.
fn put_error_recovery(bytes: &mut Bytes<'_>) {
    const PAGE_BYTES: u8 = 0x0a;
    bytes.put(&[ERROR_RECOVERY, PAGE_BYTES]);
    bytes.put_zeroes(usize::from(PAGE_BYTES));
}

/// Reads CDs and DVDs; writes and plays nothing.
fn put_capabilities(values: ModeValues, unit: &LogicalUnit, bytes: &mut Bytes<'_>) {
    const PAGE_BYTES: u8 = 0x1e;
    const DVD_ROM_READ: u8 = 0x08;
    const LOCK_STATE: u8 = 0x02;
    /// In units of 1000 bytes per second: 40 times a CD's, as obsolete fields that programs show.
    const SPEED: u16 = 7056;
    bytes.put(&[CAPABILITIES, PAGE_BYTES]);
    if values == ModeValues::Changeable {
        return bytes.put_zeroes(usize::from(PAGE_BYTES));
    }
    let locked = values == ModeValues::Current && unit.is_removal_prevented();
    bytes.put(&[DVD_ROM_READ, 0, 0, 0]);
    bytes.put(&[TRAY_EJECT_LOCK | if locked { LOCK_STATE } else { 0 }, 0]);
    bytes.put_be16(SPEED);
    bytes.put_be16(0); // NUMBER OF VOLUME LEVELS SUPPORTED
    bytes.put_be16((unit.transfer_bytes_max() / 1024) as u16); // BUFFER SIZE SUPPORTED, in KiB
    bytes.put_be16(SPEED);
    bytes.put_zeroes(16); // digital output, write speeds, COPY MANAGEMENT REVISION
}
