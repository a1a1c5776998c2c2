//! READ CAPACITY (SBC-3).

use crate::ProtectionType;
use crate::unit::LogicalUnit;
use crate::wire::bytes::Bytes;

/// Length of READ CAPACITY(10)'s answer; it has no allocation length.
pub(crate) const BYTES_10: u32 = 8;

const LBPME: u8 = 0x80;
const LBPRZ: u8 = 0x40;
const RESERVED_BYTES_16: usize = 16;

/// The last address, or all ones where READ CAPACITY(16) has to be asked.
pub(crate) fn put_10(unit: &LogicalUnit, bytes: &mut Bytes<'_>) {
    bytes.put_be32(u32::try_from(last_lba(unit)).unwrap_or(u32::MAX));
    bytes.put_be32(unit.block_size());
}

pub(crate) fn put_16(unit: &LogicalUnit, bytes: &mut Bytes<'_>) {
    let facts = unit.facts();
    bytes.put_be64(last_lba(unit));
    bytes.put_be32(facts.block_size);
    bytes.put_u8(protection(unit.protection()));
    bytes.put_u8(facts.physical_exponent); // P_I_EXPONENT, the upper half: one piece of information per block
    // Bits 5 to 0 and the next byte: the lowest aligned address is 0.
    bytes.put_u8(if facts.unmap { LBPME } else { 0 } | if facts.unmap_zeroes { LBPRZ } else { 0 });
    bytes.put_u8(0);
    bytes.put_zeroes(RESERVED_BYTES_16);
}

/// P_TYPE and PROT_EN.
fn protection(kind: ProtectionType) -> u8 {
    const PROT_EN: u8 = 0x01;
    match kind {
        ProtectionType::None => 0,
        ProtectionType::Type1 => PROT_EN,
        ProtectionType::Type3 => 0b010 << 1 | PROT_EN,
    }
}

fn last_lba(unit: &LogicalUnit) -> u64 {
    unit.num_blocks().saturating_sub(1)
}
