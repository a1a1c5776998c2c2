//! Standard INQUIRY data (SPC-4).

use crate::Context;
use crate::lun::{Address, Lun};
use crate::unit::LogicalUnit;
use crate::wire::bytes::Bytes;

/// Length of the standard data: all of its defined fields.
pub(crate) const STANDARD_BYTES: usize = 96;

/// A well-known logical unit.
const WELL_KNOWN: u8 = 0x1e;
/// Qualifier 001b, type unknown: nothing is connected here, but the target is there. Initiators that see this at LUN 0
/// go on to REPORT LUNS.
const NOT_CONNECTED: u8 = 0x3f;
/// Qualifier 011b: no unit can be here.
const NO_UNIT: u8 = 0x7f;

/// There is room for protection information.
const PROTECT: u8 = 0x01;
/// The medium is removable.
const RMB: u8 = 0x80;
/// VERSION: SPC-4.
const SPC_4: u8 = 0x06;
/// HISUP (LUNs as REPORT LUNS has them) and RESPONSE DATA FORMAT 2.
const HISUP_FORMAT_2: u8 = 0x12;
const CMDQUE: u8 = 0x02;
/// 3PC: EXTENDED COPY.
const THIRD_PARTY_COPY: u8 = 0x08;
const VENDOR_SPECIFIC_BYTES: usize = 20;
/// SAM-5, SRP, SPC-4, SBC-3, each without a claim to a particular revision (SPC-4).
const VERSION_DESCRIPTORS: [u16; 4] = [0x00a0, 0x0940, 0x0460, 0x04c0];
/// The same of a CD drive, with MMC-6.
const CD_VERSIONS: [u16; 4] = [0x00a0, 0x0940, 0x0460, 0x04e0];

pub(crate) fn put(context: &Context<'_>, bytes: &mut Bytes<'_>) {
    let identity = context.unit.map(|unit| unit.identity());
    bytes.put_u8(peripheral(context));
    bytes.put_u8(if context.unit.is_some_and(|unit| unit.facts().removable) { RMB } else { 0 });
    bytes.put_u8(SPC_4);
    bytes.put_u8(HISUP_FORMAT_2);
    bytes.put_u8((STANDARD_BYTES - 5) as u8); // ADDITIONAL LENGTH
    let disk = context.unit.filter(|unit| unit.drive().is_none());
    let modes = context.nexus.filter(|_| disk.is_some()).map(|nexus| nexus.port_group().modes);
    let copies = if disk.is_some_and(|unit| !unit.has_metadata()) { THIRD_PARTY_COPY } else { 0 };
    let protect = if disk.is_some_and(LogicalUnit::has_metadata) { PROTECT } else { 0 };
    bytes.put_u8(modes.unwrap_or_default().tpgs() << 4 | copies | protect); // SCCS, ACC are clear
    bytes.put_u8(0); // ENCSERV, MULTIP
    bytes.put_u8(CMDQUE);
    bytes.put_text(identity.map_or("SRPT", |identity| &identity.vendor), 8);
    bytes.put_text(identity.map_or("no unit", |identity| &identity.name), 16);
    bytes.put_text(identity.map_or("", |identity| &identity.revision), 4);
    bytes.put_zeroes(VENDOR_SPECIFIC_BYTES);
    bytes.put_zeroes(2);
    let versions =
        if context.unit.is_some_and(|unit| unit.drive().is_some()) { CD_VERSIONS } else { VERSION_DESCRIPTORS };
    versions.iter().for_each(|&descriptor| bytes.put_be16(descriptor));
    bytes.put_zeroes(STANDARD_BYTES - bytes.len());
}

/// The first byte of all INQUIRY data.
pub(crate) fn peripheral(context: &Context<'_>) -> u8 {
    match (context.unit, context.address) {
        // Peripheral qualifier (bits 7 to 5) 000b: the device is there.
        (Some(unit), _) => unit.device_type(),
        (None, Address::ReportLuns) => WELL_KNOWN,
        (None, Address::Unit(Lun(0))) => NOT_CONNECTED,
        (None, Address::Unit(_) | Address::Unknown) => NO_UNIT,
    }
}
