//! REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS (SPC-4): what the transport carries out.

use crate::wire::bytes::Bytes;

const ATS: u8 = 0x80; // ABORT TASK
const ATSS: u8 = 0x40; // ABORT TASK SET
const CTSS: u8 = 0x10; // CLEAR TASK SET
const LURS: u8 = 0x08; // LOGICAL UNIT RESET

/// The extended form adds timeouts, of which none is promised.
pub(crate) fn put(extended: bool, bytes: &mut Bytes<'_>) {
    const ADDITIONAL_BYTES: u8 = 12;
    bytes.put(&[ATS | ATSS | CTSS | LURS, 0, 0, if extended { ADDITIONAL_BYTES } else { 0 }]);
    if extended {
        bytes.put_zeroes(usize::from(ADDITIONAL_BYTES));
    }
}
