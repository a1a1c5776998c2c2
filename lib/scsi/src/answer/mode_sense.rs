//! MODE SENSE (SPC-4, SBC-3): header, block descriptor and the pages of `mode/`.

use crate::command::{ModeDescriptor, ModeQuery, ModeValues};
use crate::mode::{ALL_PAGES, ALL_SUBPAGES, ModeParameters, PageCode, page::Page, pages};
use crate::unit::LogicalUnit;
use crate::wire::bytes::Bytes;
use crate::wire::sense::Sense;

/// Whether a page is there to be asked for.
///
/// # Errors
/// INVALID FIELD IN CDB with a pointer to PAGE CODE or SUBPAGE CODE.
pub(crate) fn check_page(page: u8, subpage: u8, unit: &LogicalUnit) -> Result<(), Sense> {
    if page != ALL_PAGES && !pages(unit).any(|(known, _)| known == page) {
        return Err(Sense::invalid_field_in_cdb(2, Some(5)));
    }
    match subpage {
        0 | ALL_SUBPAGES => Ok(()),
        _ if pages(unit).any(|known| known == (page, subpage)) => Ok(()),
        _ => Err(Sense::invalid_field_in_cdb(3, None)),
    }
}

/// Header, block descriptor and pages.
pub(crate) fn put(query: ModeQuery, unit: &LogicalUnit, read_only: bool, bytes: &mut Bytes<'_>) {
    put_header(query, device_specific(unit, read_only), bytes);
    match query.descriptor {
        ModeDescriptor::None => (),
        ModeDescriptor::Short => put_short_descriptor(unit, bytes),
        ModeDescriptor::Long => put_long_descriptor(unit, bytes),
    }
    let wanted = |(page, subpage): &PageCode| {
        (query.page == ALL_PAGES || query.page == *page) && (query.subpage == ALL_SUBPAGES || query.subpage == *subpage)
    };
    let mode = match query.values {
        ModeValues::Current | ModeValues::Changeable => unit.mode(),
        ModeValues::Default => ModeParameters::default(),
        ModeValues::Saved => unit.saved_mode(),
    };
    for code in pages(unit).filter(wanted) {
        let page = match query.values {
            ModeValues::Changeable => Page::changeable(code, unit),
            ModeValues::Current | ModeValues::Default | ModeValues::Saved => Page::of(code, &mode, unit),
        };
        bytes.put(page.bytes());
    }
    // MODE DATA LENGTH counts what follows it.
    match query.ten {
        true => bytes.patch_be16(0, (bytes.len() - 2) as u16),
        false => bytes.patch_u8(0, (bytes.len() - 1) as u8),
    }
}

/// DEVICE-SPECIFIC PARAMETER (SBC-3).
fn device_specific(unit: &LogicalUnit, read_only: bool) -> u8 {
    const WP: u8 = 0x80;
    const DPOFUA: u8 = 0x10;
    let protected = read_only || unit.is_read_only() || unit.software_write_protect();
    DPOFUA | if protected { WP } else { 0 }
}

fn put_header(query: ModeQuery, device_specific: u8, bytes: &mut Bytes<'_>) {
    const LONGLBA: u8 = 0x01;
    let (descriptor_bytes, long) = match query.descriptor {
        ModeDescriptor::None => (0, 0),
        ModeDescriptor::Short => (8, 0),
        ModeDescriptor::Long => (16, LONGLBA),
    };
    match query.ten {
        true => {
            bytes.put(&[0, 0, 0, device_specific, long, 0]); // length, MEDIUM TYPE
            bytes.put_be16(descriptor_bytes);
        }
        false => bytes.put(&[0, 0, device_specific, descriptor_bytes as u8]),
    }
}

/// Short LBA mode parameter block descriptor (SBC-3): all ones where the count does not fit.
fn put_short_descriptor(unit: &LogicalUnit, bytes: &mut Bytes<'_>) {
    bytes.put_be32(u32::try_from(unit.num_blocks()).unwrap_or(u32::MAX));
    bytes.put_be32(unit.block_size()); // 24 bits; limits.rs keeps the upper 8 zero
}

/// Long LBA mode parameter block descriptor (SBC-3).
fn put_long_descriptor(unit: &LogicalUnit, bytes: &mut Bytes<'_>) {
    bytes.put_be64(unit.num_blocks());
    bytes.put_be32(0);
    bytes.put_be32(unit.block_size());
}
