//! Vital product data pages (SPC-4, SBC-3).

use crate::alua::{AccessModes, PortGroup, TargetPort};
use crate::answer::inquiry::peripheral;
use crate::copy::receive;
use crate::limits::{SENSE_BYTES_MAX, UNMAP_DESCRIPTORS_MAX};
use crate::medium::compare_and_write;
use crate::unit::{Facts, Identity, LogicalUnit, Way};
use crate::wire::bytes::Bytes;
use crate::{Context, Designation};

const SUPPORTED_PAGES: u8 = 0x00;
const UNIT_SERIAL_NUMBER: u8 = 0x80;
const DEVICE_IDENTIFICATION: u8 = 0x83;
const MANAGEMENT_ADDRESSES: u8 = 0x85;
const EXTENDED_INQUIRY: u8 = 0x86;
const MODE_PAGE_POLICY: u8 = 0x87;
pub(crate) const SCSI_PORTS: u8 = 0x88;
const POWER_CONDITION: u8 = 0x8a;
const THIRD_PARTY_COPY: u8 = 0x8f;
const BLOCK_LIMITS: u8 = 0xb0;
const BLOCK_CHARACTERISTICS: u8 = 0xb1;
const PROVISIONING: u8 = 0xb2;

/// The pages of a unit, in ascending order. Referrals (B3h) are for units whose parts are reached best through different ports, which ours
/// never are.
pub(crate) const PAGES: &[u8] = &[
    SUPPORTED_PAGES,
    UNIT_SERIAL_NUMBER,
    DEVICE_IDENTIFICATION,
    MANAGEMENT_ADDRESSES,
    EXTENDED_INQUIRY,
    MODE_PAGE_POLICY,
    SCSI_PORTS,
    POWER_CONDITION,
    THIRD_PARTY_COPY,
    BLOCK_LIMITS,
    BLOCK_CHARACTERISTICS,
    PROVISIONING,
];

/// The pages of a unit whose blocks have metadata: it has no third-party copies.
pub(crate) const PAGES_OF_PROTECTED: &[u8] = &[
    SUPPORTED_PAGES,
    UNIT_SERIAL_NUMBER,
    DEVICE_IDENTIFICATION,
    MANAGEMENT_ADDRESSES,
    EXTENDED_INQUIRY,
    MODE_PAGE_POLICY,
    SCSI_PORTS,
    POWER_CONDITION,
    BLOCK_LIMITS,
    BLOCK_CHARACTERISTICS,
    PROVISIONING,
];

/// The pages of a CD drive.
pub(crate) const PAGES_OF_CD: &[u8] = &[SUPPORTED_PAGES, UNIT_SERIAL_NUMBER, DEVICE_IDENTIFICATION, EXTENDED_INQUIRY];

/// The pages where there is no unit.
pub(crate) const PAGES_WITHOUT_UNIT: &[u8] = &[SUPPORTED_PAGES];

const HEADER_BYTES: usize = 4;
/// PAGE LENGTH of the extended INQUIRY data, block limits and block device characteristics pages.
const LONG_PAGE_BYTES: usize = 0x3c;

/// The pages of a disk.
pub(crate) fn pages(unit: &LogicalUnit) -> &'static [u8] {
    if unit.has_metadata() { PAGES_OF_PROTECTED } else { PAGES }
}

/// One page, with the page length filled in.
pub(crate) fn put(page: u8, context: &Context<'_>, bytes: &mut Bytes<'_>) {
    bytes.put_u8(peripheral(context));
    bytes.put_u8(page);
    bytes.put_be16(0);
    match (page, context.unit) {
        (UNIT_SERIAL_NUMBER, Some(unit)) => bytes.put(unit.serial().as_bytes()),
        (DEVICE_IDENTIFICATION, Some(unit)) => put_identification(unit.identity(), context, bytes),
        (MANAGEMENT_ADDRESSES, Some(unit)) => put_management_addresses(unit.management_url(), bytes),
        (EXTENDED_INQUIRY, Some(unit)) => put_extended_inquiry(unit.facts(), bytes),
        (MODE_PAGE_POLICY, Some(_)) => bytes.put(&ALL_SHARED),
        (POWER_CONDITION, Some(_)) => put_power_condition(bytes),
        (THIRD_PARTY_COPY, Some(_)) => receive::put_vpd(bytes),
        (BLOCK_LIMITS, Some(unit)) => put_block_limits(unit.facts(), bytes),
        (BLOCK_CHARACTERISTICS, Some(unit)) => put_block_characteristics(unit.facts(), bytes),
        (PROVISIONING, Some(unit)) => put_provisioning(unit, bytes),
        (_, Some(unit)) if unit.drive().is_some() => bytes.put(PAGES_OF_CD),
        (_, Some(unit)) => bytes.put(pages(unit)),
        (_, None) => bytes.put(PAGES_WITHOUT_UNIT),
    }
    bytes.patch_be16(2, (bytes.len() - HEADER_BYTES) as u16);
}

/// Code sets, designator types and associations of designation descriptors (SPC-4).
mod designator {
    pub(super) const BINARY: u8 = 1;
    pub(super) const ASCII: u8 = 2;
    pub(super) const UTF_8: u8 = 3;
    /// PROTOCOL IDENTIFIER 4h, SRP, in the upper half of a designator's first byte.
    pub(super) const SRP: u8 = 4 << 4;
    /// PIV, association 01b (target port).
    pub(super) const TARGET_PORT: u8 = 0x80 | 1 << 4;
    pub(super) const T10_VENDOR: u8 = 1;
    pub(super) const EUI_64: u8 = 2;
    pub(super) const NAA: u8 = 3;
    pub(super) const RELATIVE_TARGET_PORT: u8 = 4;
    pub(super) const TARGET_PORT_GROUP: u8 = 5;
    pub(super) const SCSI_NAME_STRING: u8 = 8;
}
use designator::{ASCII, BINARY, EUI_64, NAA, SRP, T10_VENDOR, TARGET_PORT, UTF_8};

/// Whether a designator is one of those that the page has of the unit itself.
pub(crate) fn names(identity: &Identity, descriptor: &Designation<'_>) -> bool {
    let designator = descriptor.designator;
    match descriptor.kind {
        NAA => identity.naa.to_be_bytes() == designator,
        EUI_64 => identity.eui64.is_some_and(|eui64| eui64.bytes() == designator),
        T10_VENDOR => designator.split_at_checked(VENDOR_BYTES).is_some_and(|(vendor, serial)| {
            vendor.trim_ascii_end() == identity.vendor.as_bytes() && serial == identity.serial.as_bytes()
        }),
        _ => false,
    }
}

/// Width of T10 VENDOR IDENTIFICATION.
const VENDOR_BYTES: usize = 8;

/// Device identification (SPC-4): the unit by NAA, by EUI-64 if it has one, by vendor and by its SCSI name, and the port that the command
/// came through, with its group where groups are told of.
fn put_identification(identity: &Identity, context: &Context<'_>, bytes: &mut Bytes<'_>) {
    let naa = identity.naa.to_be_bytes();
    put_designator(bytes, BINARY, NAA, &[&naa]);
    if let Some(eui64) = identity.eui64 {
        put_designator(bytes, BINARY, EUI_64, &[eui64.bytes()]);
    }
    let product = [identity.vendor.as_bytes(), &b"        "[identity.vendor.len()..]];
    put_designator(bytes, ASCII, T10_VENDOR, &[product[0], product[1], identity.serial.as_bytes()]);
    // 20 characters, and zeroes up to the next multiple of 4, one at least.
    put_designator(bytes, UTF_8, designator::SCSI_NAME_STRING, &[b"naa.", &hex(naa), &[0; 4]]);
    put_port_id(&context.ports.target_port_id, bytes);
    let relative_port = context.ports.relative_target_port.to_be_bytes();
    put_designator(bytes, SRP | BINARY, TARGET_PORT | designator::RELATIVE_TARGET_PORT, &[&[0, 0], &relative_port]);
    let PortGroup { id, modes } = context.nexus.map(|nexus| nexus.port_group()).unwrap_or_default();
    if modes != AccessModes::default() {
        let group = id.to_be_bytes();
        put_designator(bytes, SRP | BINARY, TARGET_PORT | designator::TARGET_PORT_GROUP, &[&[0, 0], &group]);
    }
}

/// An SRP target port identifier is an identifier extension and an EUI-64, which is what this type holds in 16 bytes.
fn put_port_id(id: &[u8; 16], bytes: &mut Bytes<'_>) {
    put_designator(bytes, SRP | BINARY, TARGET_PORT | EUI_64, &[id]);
}

/// Upper case, as SCSI name strings are written.
fn hex(bytes: [u8; 8]) -> [u8; 16] {
    let digit = |index: usize| b"0123456789ABCDEF"[usize::from(bytes[index / 2] >> (4 * (1 - index % 2)) & 0xf)];
    std::array::from_fn(digit)
}

/// SCSI ports (SPC-4), the whole page: every target port by its identifier, as many as PAGE LENGTH can count. None of them is an
/// initiator port, whose TransportID would stand before it.
pub(crate) fn scsi_ports<'a>(ports: impl Iterator<Item = &'a TargetPort>) -> Box<[u8]> {
    const DESIGNATOR_BYTES: usize = 4 + 16;
    const PORT_BYTES: usize = 12 + DESIGNATOR_BYTES;
    const DIRECT_ACCESS: u8 = 0x00; // a CD drive does not have this page
    let mut ports: Vec<&TargetPort> = ports.collect();
    ports.sort_by_key(|port| port.relative_id);
    ports.truncate(usize::from(u16::MAX) / PORT_BYTES);
    let mut page = vec![0; HEADER_BYTES + ports.len() * PORT_BYTES].into_boxed_slice();
    let mut bytes = Bytes::new(&mut page);
    bytes.put(&[DIRECT_ACCESS, SCSI_PORTS]);
    bytes.put_be16((ports.len() * PORT_BYTES) as u16);
    for port in ports {
        bytes.put_be16(0);
        bytes.put_be16(port.relative_id);
        bytes.put_be16(0);
        bytes.put_be16(0); // INITIATOR PORT TRANSPORTID LENGTH
        bytes.put_be16(0);
        bytes.put_be16(DESIGNATOR_BYTES as u16); // TARGET PORT DESCRIPTORS LENGTH
        put_port_id(&port.id, &mut bytes);
    }
    page
}

fn put_designator(bytes: &mut Bytes<'_>, code_set: u8, kind: u8, parts: &[&[u8]]) {
    bytes.put(&[code_set, kind, 0]);
    bytes.put_u8(parts.iter().map(|part| part.len()).sum::<usize>() as u8);
    parts.iter().for_each(|part| bytes.put(part));
}

/// Management network addresses (SPC-4): the URL of the storage configuration service, with a NUL, in whole words.
fn put_management_addresses(url: Option<&str>, bytes: &mut Bytes<'_>) {
    const STORAGE_CONFIGURATION: u8 = 0x01;
    let Some(url) = url else { return };
    let field_bytes = (url.len() + 1).next_multiple_of(4);
    bytes.put(&[STORAGE_CONFIGURATION, 0]);
    bytes.put_be16(field_bytes as u16);
    bytes.put(url.as_bytes());
    bytes.put_zeroes(field_bytes - url.len());
}

/// Extended INQUIRY data (SPC-4).
fn put_extended_inquiry(facts: &Facts, bytes: &mut Bytes<'_>) {
    /// Protection of types 1 and 3 (011b).
    const SPT_1_AND_3: u8 = 0b011 << 3;
    const GRD_CHK: u8 = 0x04;
    const REF_CHK: u8 = 0x01; // application tags (APP_CHK) are not checked
    // Task attributes, all but ACA.
    const SIMPSUP: u8 = 0x01;
    const ORDSUP: u8 = 0x02;
    const HEADSUP: u8 = 0x04;
    const V_SUP: u8 = 0x01;
    /// Writes with tags that say so are not checked either; one piece of information per block (P_I_I_SUP clear).
    const NO_PI_CHK: u8 = 0x20;
    let protected = facts.way == Way::Protected;
    bytes.put_u8(if protected { SPT_1_AND_3 | GRD_CHK | REF_CHK } else { 0 }); // microcode
    bytes.put_u8(SIMPSUP | ORDSUP | HEADSUP);
    bytes.put_u8(if facts.write_cache { V_SUP } else { 0 });
    bytes.put_u8(if protected { NO_PI_CHK } else { 0 });
    bytes.put_zeroes(2);
    bytes.put_be16(1); // EXTENDED SELF-TEST COMPLETION MINUTES
    bytes.put_u8(0);
    bytes.put_u8(SENSE_BYTES_MAX as u8); // MAXIMUM SUPPORTED SENSE DATA LENGTH
    bytes.put_zeroes(HEADER_BYTES + LONG_PAGE_BYTES - bytes.len());
}

/// Mode page policy (SPC-4): of all pages and subpages, all initiators see the same values.
const ALL_SHARED: [u8; 4] = [0x3f, 0xff, 0, 0];

/// Power condition (SPC-4): what START STOP UNIT has, and that it takes no time to be active again.
fn put_power_condition(bytes: &mut Bytes<'_>) {
    const PAGE_BYTES: usize = 0x0e;
    const STANDBY_Z: u8 = 0x01;
    const IDLE_A: u8 = 0x01;
    bytes.put(&[STANDBY_Z, IDLE_A]);
    bytes.put_zeroes(PAGE_BYTES - 2);
}

/// Block limits (SBC-3). WSNZ is clear: WRITE SAME of length zero runs to the end.
fn put_block_limits(facts: &Facts, bytes: &mut Bytes<'_>) {
    bytes.put_u8(0); // WSNZ
    let compares = facts.way != Way::Protected;
    bytes.put_u8(if compares { compare_and_write::blocks_max(facts) } else { 0 }); // MAXIMUM COMPARE AND WRITE LENGTH
    bytes.put_be16(facts.physical_blocks() as u16); // OPTIMAL TRANSFER LENGTH GRANULARITY
    bytes.put_be32(facts.transfer_blocks_max()); // MAXIMUM TRANSFER LENGTH
    bytes.put_be32(optimal_transfer_blocks(facts)); // OPTIMAL TRANSFER LENGTH
    bytes.put_be32(0); // MAXIMUM PREFETCH LENGTH: there is no limit, as nothing is fetched
    bytes.put_be32(if facts.unmap { facts.unmap_blocks_max() } else { 0 });
    bytes.put_be32(if facts.unmap { UNMAP_DESCRIPTORS_MAX } else { 0 });
    bytes.put_be32(if facts.unmap { facts.physical_blocks() } else { 0 }); // OPTIMAL UNMAP GRANULARITY
    bytes.put_be32(0); // UGAVALID, UNMAP GRANULARITY ALIGNMENT
    bytes.put_be64(facts.write_same_blocks_max()); // MAXIMUM WRITE SAME LENGTH
    // MAXIMUM ATOMIC TRANSFER LENGTH; what follows is zero: any alignment, any granularity, no boundaries within (SBC-4).
    bytes.put_be32(facts.atomic_blocks_max());
    bytes.put_zeroes(HEADER_BYTES + LONG_PAGE_BYTES - bytes.len());
}

/// Whole physical blocks, as Linux ignores what is not; 0 says nothing.
fn optimal_transfer_blocks(facts: &Facts) -> u32 {
    let blocks = facts.optimal_blocks.min(facts.transfer_blocks_max());
    blocks - blocks % facts.physical_blocks()
}

/// Block device characteristics (SBC-3). The form factor is not reported, and there are no zones.
fn put_block_characteristics(facts: &Facts, bytes: &mut Bytes<'_>) {
    const NON_ROTATING: u16 = 1;
    // In turns per minute. 0 would leave open whether anything turns; an ordinary disk's rate says that seeking costs time.
    const ROTATING: u16 = 7200;
    /// WABEREQ 01b: what SANITIZE erased reads without error. Nothing is said of cryptographic erasure (WACEREQ), which there is not.
    const ERASED_READS: u8 = 0x40;
    /// SYNCHRONIZE CACHE and FUA are as the standard has them.
    const FUAB: u8 = 0x02;
    /// VERIFY compares unmapped blocks with what they read as.
    const VBULS: u8 = 0x01;
    bytes.put_be16(if facts.rotational { ROTATING } else { NON_ROTATING });
    bytes.put_u8(0); // PRODUCT TYPE
    bytes.put_u8(if facts.unmap { ERASED_READS } else { 0 });
    bytes.put_u8(FUAB | VBULS);
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
