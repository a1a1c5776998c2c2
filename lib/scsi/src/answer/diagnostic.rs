//! What RECEIVE DIAGNOSTIC RESULTS, the descriptors of READ BUFFER and READ DEFECT DATA say (SPC-4, SBC-3).

use crate::execute::Step;
use crate::limits::BUFFER_CAPACITY;
use crate::wire::bytes::Bytes;
use crate::wire::cdb::be16;
use crate::wire::sense::Sense;

const SUPPORTED_PAGES: u8 = 0x00;

/// The page of SEND DIAGNOSTIC, if there is one: it asks for the list of pages, which RECEIVE DIAGNOSTIC RESULTS returns anyhow.
pub(crate) fn check_list(list: &[u8]) -> Step {
    match list {
        [] => Step::GOOD,
        [page, ..] if *page != SUPPORTED_PAGES => Step::refuse(Sense::invalid_field_in_parameter_list(0)),
        _ if list.len() < 4 => Step::refuse(Sense::PARAMETER_LIST_LENGTH_ERROR),
        _ if be16(list, 2) != 0 => Step::refuse(Sense::invalid_field_in_parameter_list(2)),
        _ if list.len() > 4 => Step::refuse(Sense::PARAMETER_LIST_LENGTH_ERROR),
        _ => Step::GOOD,
    }
}

/// SUPPORTED DIAGNOSTIC PAGES: the page itself.
pub(crate) fn put_pages(bytes: &mut Bytes<'_>) {
    bytes.put(&[SUPPORTED_PAGES, 0, 0, 1, SUPPORTED_PAGES]);
}

/// READ BUFFER descriptor: any offset, since the boundary is 2^0.
pub(crate) fn put_buffer(there: bool, bytes: &mut Bytes<'_>) {
    bytes.put_be32(if there { BUFFER_CAPACITY as u32 } else { 0 });
}

/// READ BUFFER echo buffer descriptor. Each nexus has its own, so EBOS is clear: nobody else overwrites it.
pub(crate) fn put_echo_buffer(bytes: &mut Bytes<'_>) {
    bytes.put_be16(0);
    bytes.put_be16(BUFFER_CAPACITY as u16);
}

/// READ DEFECT DATA: only a header, since what is beneath hides its defects. `options` are REQ_PLIST, REQ_GLIST and the format, which come
/// back as they are.
pub(crate) fn put_defects(options: u8, long: bool, bytes: &mut Bytes<'_>) {
    bytes.put(&[0, options]);
    bytes.put_be16(0);
    if long {
        bytes.put_be32(0);
    }
}
