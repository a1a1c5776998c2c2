//! Vital product data pages (SPC-4, SBC-3).

use crate::Context;
use crate::answer::inquiry::peripheral;
use crate::limits::{SENSE_BYTES_MAX, UNMAP_DESCRIPTORS_MAX};
use crate::unit::{Facts, Identity, LogicalUnit, Way};
use crate::wire::bytes::Bytes;

const SUPPORTED_PAGES: u8 = 0x00;
const UNIT_SERIAL_NUMBER: u8 = 0x80;
const DEVICE_IDENTIFICATION: u8 = 0x83;
const EXTENDED_INQUIRY: u8 = 0x86;
const BLOCK_LIMITS: u8 = 0xb0;
const BLOCK_CHARACTERISTICS: u8 = 0xb1;
const PROVISIONING: u8 = 0xb2;

/// The pages of a unit, in ascending order.
pub(crate) const PAGES: &[u8] = &[
    SUPPORTED_PAGES,
    UNIT_SERIAL_NUMBER,
    DEVICE_IDENTIFICATION,
    EXTENDED_INQUIRY,
    BLOCK_LIMITS,
    BLOCK_CHARACTERISTICS,
    PROVISIONING,
];

/// The pages where there is no unit.
pub(crate) const PAGES_WITHOUT_UNIT: &[u8] = &[SUPPORTED_PAGES];

const HEADER_BYTES: usize = 4;
/// PAGE LENGTH of the extended INQUIRY data, block limits and block device characteristics pages.
const LONG_PAGE_BYTES: usize = 0x3c;

/// One page, with the page length filled in.
pub(crate) fn put(page: u8, context: &Context<'_>, bytes: &mut Bytes<'_>) {
    bytes.put_u8(peripheral(context));
    bytes.put_u8(page);
    bytes.put_be16(0);
    match (page, context.unit) {
        (UNIT_SERIAL_NUMBER, Some(unit)) => bytes.put(unit.serial().as_bytes()),
        (DEVICE_IDENTIFICATION, Some(unit)) => put_identification(unit.identity(), context, bytes),
        (EXTENDED_INQUIRY, Some(unit)) => put_extended_inquiry(unit.facts(), bytes),
        (BLOCK_LIMITS, Some(unit)) => put_block_limits(unit.facts(), bytes),
        (BLOCK_CHARACTERISTICS, Some(unit)) => put_block_characteristics(unit.facts(), bytes),
        (PROVISIONING, Some(unit)) => put_provisioning(unit, bytes),
        (_, Some(_)) => bytes.put(PAGES),
        (_, None) => bytes.put(PAGES_WITHOUT_UNIT),
    }
    bytes.patch_be16(2, (bytes.len() - HEADER_BYTES) as u16);
}

/// Device identification (SPC-4): the unit by NAA, by EUI-64 if it has one, and by vendor, and the port that the command came through.
fn put_identification(identity: &Identity, context: &Context<'_>, bytes: &mut Bytes<'_>) {
    const BINARY: u8 = 1;
    const ASCII: u8 = 2;
    /// PROTOCOL IDENTIFIER 4h, SRP, in the upper half of a designator's first byte.
    const SRP: u8 = 4 << 4;
    const NAA: u8 = 3;
    const T10_VENDOR: u8 = 1;
    /// PIV, association 01b (target port).
    const TARGET_PORT: u8 = 0x80 | 1 << 4;
    const EUI_64: u8 = 2;
    const RELATIVE_TARGET_PORT: u8 = 4;

    let naa = identity.naa.to_be_bytes();
    put_designator(bytes, BINARY, NAA, &[&naa]);
    if let Some(eui64) = identity.eui64 {
        put_designator(bytes, BINARY, EUI_64, &[eui64.bytes()]);
    }
    let product = [identity.vendor.as_bytes(), &b"        "[identity.vendor.len()..]];
    put_designator(bytes, ASCII, T10_VENDOR, &[product[0], product[1], identity.serial.as_bytes()]);
    // An SRP target port identifier is an identifier extension and an EUI-64, which is what this type holds in 16 bytes.
    put_designator(bytes, SRP | BINARY, TARGET_PORT | EUI_64, &[&context.ports.target_port_id]);
    let relative_port = context.ports.relative_target_port.to_be_bytes();
    put_designator(bytes, SRP | BINARY, TARGET_PORT | RELATIVE_TARGET_PORT, &[&[0, 0], &relative_port]);
}

fn put_designator(bytes: &mut Bytes<'_>, code_set: u8, kind: u8, parts: &[&[u8]]) {
    bytes.put(&[code_set, kind, 0]);
    bytes.put_u8(parts.iter().map(|part| part.len()).sum::<usize>() as u8);
    parts.iter().for_each(|part| bytes.put(part));
}

/// Extended INQUIRY data (SPC-4).
fn put_extended_inquiry(facts: &Facts, bytes: &mut Bytes<'_>) {
    /// Protection of types 1 and 3 (011b).
    const SPT_1_AND_3: u8 = 0b011 << 3;
    const GRD_CHK: u8 = 0x04;
    const REF_CHK: u8 = 0x01; // application tags (APP_CHK) are not checked
    const SIMPSUP: u8 = 0x01;
    const V_SUP: u8 = 0x01;
    /// Writes with tags that say so are not checked either; one piece of information per block (P_I_I_SUP clear).
    const NO_PI_CHK: u8 = 0x20;
    let protected = facts.way == Way::Protected;
    bytes.put_u8(if protected { SPT_1_AND_3 | GRD_CHK | REF_CHK } else { 0 }); // microcode
    bytes.put_u8(SIMPSUP);
    bytes.put_u8(if facts.write_cache { V_SUP } else { 0 });
    bytes.put_u8(if protected { NO_PI_CHK } else { 0 });
    bytes.put_zeroes(5);
    bytes.put_u8(SENSE_BYTES_MAX as u8); // MAXIMUM SUPPORTED SENSE DATA LENGTH
    bytes.put_zeroes(HEADER_BYTES + LONG_PAGE_BYTES - bytes.len());
}

/// Block limits (SBC-3). WSNZ is clear: WRITE SAME of length zero runs to the end.
fn put_block_limits(facts: &Facts, bytes: &mut Bytes<'_>) {
    bytes.put_be16(0); // WSNZ; MAXIMUM COMPARE AND WRITE LENGTH
    bytes.put_be16(facts.physical_blocks() as u16); // OPTIMAL TRANSFER LENGTH GRANULARITY
    bytes.put_be32(facts.transfer_blocks_max()); // MAXIMUM TRANSFER LENGTH
    bytes.put_be32(optimal_transfer_blocks(facts)); // OPTIMAL TRANSFER LENGTH
    bytes.put_be32(0); // MAXIMUM PREFETCH LENGTH
    bytes.put_be32(if facts.unmap { facts.unmap_blocks_max() } else { 0 });
    bytes.put_be32(if facts.unmap { UNMAP_DESCRIPTORS_MAX } else { 0 });
    bytes.put_be32(if facts.unmap { facts.physical_blocks() } else { 0 }); // OPTIMAL UNMAP GRANULARITY
    bytes.put_be32(0); // UGAVALID, UNMAP GRANULARITY ALIGNMENT
    bytes.put_be64(facts.write_same_blocks_max()); // MAXIMUM WRITE SAME LENGTH
    bytes.put_zeroes(HEADER_BYTES + LONG_PAGE_BYTES - bytes.len());
}

/// Whole physical blocks, as Linux ignores what is not; 0 says nothing.
fn optimal_transfer_blocks(facts: &Facts) -> u32 {
    let blocks = facts.optimal_blocks.min(facts.transfer_blocks_max());
    blocks - blocks % facts.physical_blocks()
}

/// Block device characteristics (SBC-3).
fn put_block_characteristics(facts: &Facts, bytes: &mut Bytes<'_>) {
    const NON_ROTATING: u16 = 1;
    // In turns per minute. 0 would leave open whether anything turns; an ordinary disk's rate says that seeking costs time.
    const ROTATING: u16 = 7200;
    bytes.put_be16(if facts.rotational { ROTATING } else { NON_ROTATING });
    bytes.put_zeroes(HEADER_BYTES + LONG_PAGE_BYTES - bytes.len());
}

/// Logical block provisioning (SBC-3).
fn put_provisioning(unit: &LogicalUnit, bytes: &mut Bytes<'_>) {
    const LBPU_LBPWS_LBPWS10: u8 = 0xe0;
    const LBPRZ: u8 = 0x04;
    const FULLY_PROVISIONED: u8 = 0;
    const THIN_PROVISIONED: u8 = 2;
    let facts = unit.facts();
    bytes.put_u8(unit.provisioning_threshold().map_or(0, |threshold| threshold.exponent)); // THRESHOLD EXPONENT
    bytes.put_u8(if facts.unmap { LBPU_LBPWS_LBPWS10 } else { 0 } | if facts.unmap_zeroes { LBPRZ } else { 0 });
    bytes.put_u8(if facts.unmap { THIN_PROVISIONED } else { FULLY_PROVISIONED });
    bytes.put_u8(0);
}
