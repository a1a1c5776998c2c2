//! Mode pages and MODE SENSE (SPC-4, SBC-3).

use crate::command::{ModeDescriptor, ModeQuery, ModeValues};
use crate::unit::LogicalUnit;
use crate::wire::bytes::Bytes;
use crate::wire::sense::Sense;

/// Page and subpage.
type PageCode = (u8, u8);

const CACHING: PageCode = (0x08, 0x00);
const CONTROL: PageCode = (0x0a, 0x00);
const INFORMATIONAL_EXCEPTIONS: PageCode = (0x1c, 0x00);
/// Only of a unit with a threshold.
const PROVISIONING: PageCode = (0x1c, 0x02);
const ALL_PAGES: u8 = 0x3f;
/// Subpage FFh: the page and all its subpages.
const ALL_SUBPAGES: u8 = 0xff;

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

/// The pages of a unit, in ascending order.
fn pages(unit: &LogicalUnit) -> impl Iterator<Item = PageCode> {
    let provisioning = unit.provisioning_threshold().map(|_| PROVISIONING);
    [CACHING, CONTROL, INFORMATIONAL_EXCEPTIONS].into_iter().chain(provisioning)
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
    for page in pages(unit).filter(wanted) {
        put_page(page, query.values, unit, bytes);
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

/// One page. Changeable values are masks of what MODE SELECT takes; defaults are the values of a new unit.
fn put_page((page, subpage): PageCode, values: ModeValues, unit: &LogicalUnit, bytes: &mut Bytes<'_>) {
    const SPF: u8 = 0x40;
    match subpage {
        0 => bytes.put_u8(page),
        _ => bytes.put(&[SPF | page, subpage]),
    }
    let body = match (page, subpage) {
        CACHING => put_caching,
        CONTROL => put_control,
        PROVISIONING => put_provisioning,
        _ => put_informational_exceptions,
    };
    body(values, unit, bytes);
}

fn put_caching(values: ModeValues, unit: &LogicalUnit, bytes: &mut Bytes<'_>) {
    const PAGE_BYTES: u8 = 0x12;
    const WCE: u8 = 0x04;
    bytes.put_u8(PAGE_BYTES);
    bytes.put_u8(match values {
        ModeValues::Changeable => 0,
        ModeValues::Current | ModeValues::Default if unit.facts().write_cache => WCE,
        ModeValues::Current | ModeValues::Default => 0,
    });
    bytes.put_zeroes(usize::from(PAGE_BYTES) - 1);
}

fn put_control(values: ModeValues, unit: &LogicalUnit, bytes: &mut Bytes<'_>) {
    const PAGE_BYTES: u8 = 0x0a;
    const D_SENSE: u8 = 0x04;
    const GLTSD: u8 = 0x02; // log parameters are not saved
    const UNRESTRICTED_REORDERING: u8 = 1 << 4;
    const SWP: u8 = 0x08;
    const TAS: u8 = 0x40;
    let flag = |on: bool, bit: u8| if on { bit } else { 0 };
    let body = match values {
        ModeValues::Changeable => [D_SENSE, 0, SWP, TAS],
        ModeValues::Default => [GLTSD, UNRESTRICTED_REORDERING, 0, TAS],
        ModeValues::Current => [
            GLTSD | flag(unit.descriptor_sense(), D_SENSE),
            UNRESTRICTED_REORDERING,
            flag(unit.software_write_protect(), SWP),
            flag(unit.task_aborted_status(), TAS),
        ],
    };
    bytes.put_u8(PAGE_BYTES);
    bytes.put(&body);
    bytes.put_zeroes(usize::from(PAGE_BYTES) - body.len());
}

fn put_informational_exceptions(values: ModeValues, _unit: &LogicalUnit, bytes: &mut Bytes<'_>) {
    const PAGE_BYTES: u8 = 0x0a;
    const DEXCPT: u8 = 0x08; // none are reported
    bytes.put_u8(PAGE_BYTES);
    bytes.put_u8(if values == ModeValues::Changeable { 0 } else { DEXCPT });
    bytes.put_zeroes(usize::from(PAGE_BYTES) - 1);
}

/// Logical block provisioning (SBC-3): one threshold, which every initiator is told of (SITUA is clear).
fn put_provisioning(values: ModeValues, unit: &LogicalUnit, bytes: &mut Bytes<'_>) {
    const HEADER_BYTES: usize = 12;
    const DESCRIPTOR_BYTES: usize = 8;
    const ENABLED: u8 = 0x80; // the type, bits 5 to 3, is 000b: a soft threshold
    const ARMED_INCREASING: u8 = 0b001;
    const USED_RESOURCES: u8 = 0x02;
    bytes.put_be16((HEADER_BYTES + DESCRIPTOR_BYTES) as u16); // PAGE LENGTH
    bytes.put_zeroes(HEADER_BYTES);
    match unit.provisioning_threshold().filter(|_| values != ModeValues::Changeable) {
        Some(threshold) => {
            bytes.put(&[ENABLED | ARMED_INCREASING, USED_RESOURCES, 0, 0]);
            bytes.put_be32(threshold.sets);
        }
        None => bytes.put_zeroes(DESCRIPTOR_BYTES),
    }
}
