//! The eight bytes of a block (SBC-3: "Protection information format").

use crc_fast::CrcAlgorithm;

use super::{Checks, ProtectionType};
use crate::wire::sense::Sense;

/// Protection information of one block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Information {
    /// LOGICAL BLOCK GUARD.
    pub(crate) guard: u16,
    /// LOGICAL BLOCK APPLICATION TAG.
    pub(crate) application_tag: u16,
    /// LOGICAL BLOCK REFERENCE TAG.
    pub(crate) reference_tag: u32,
}

impl Information {
    /// Length.
    pub(crate) const BYTES: usize = 8;

    /// Of a block that nobody has written: nothing is checked.
    pub(crate) const UNCHECKED: Information =
        Information { guard: 0xffff, application_tag: 0xffff, reference_tag: 0xffff_ffff };

    /// What a device server makes for a block that came without (SBC-3: WRPROTECT 000b).
    #[inline]
    pub(crate) fn generate(data: &[u8], lba: u64, kind: ProtectionType) -> Information {
        let reference_tag = match kind {
            ProtectionType::None => return Information::UNCHECKED,
            ProtectionType::Type1 => lba as u32, // the low 32 bits are what is wanted
            ProtectionType::Type3 => 0xffff_ffff,
        };
        Information { guard: guard(data), application_tag: 0, reference_tag }
    }

    /// As it goes over the wire.
    #[inline]
    pub(crate) fn parse(bytes: [u8; Information::BYTES]) -> Information {
        let [g0, g1, a0, a1, r0, r1, r2, r3] = bytes;
        Information {
            guard: u16::from_be_bytes([g0, g1]),
            application_tag: u16::from_be_bytes([a0, a1]),
            reference_tag: u32::from_be_bytes([r0, r1, r2, r3]),
        }
    }

    /// As it goes over the wire.
    #[inline]
    pub(crate) fn to_bytes(self) -> [u8; Information::BYTES] {
        let ([g0, g1], [a0, a1]) = (self.guard.to_be_bytes(), self.application_tag.to_be_bytes());
        let [r0, r1, r2, r3] = self.reference_tag.to_be_bytes();
        [g0, g1, a0, a1, r0, r1, r2, r3]
    }

    /// Whether anything of it is checked at all: an application tag of FFFFh says no, in type 3 only with a reference tag of all ones.
    #[inline]
    pub(crate) fn is_checked(self, kind: ProtectionType) -> bool {
        match kind {
            ProtectionType::None => false,
            ProtectionType::Type1 => self.application_tag != 0xffff,
            ProtectionType::Type3 => (self.application_tag, self.reference_tag) != (0xffff, 0xffff_ffff),
        }
    }

    /// Holds it against the block's data and address.
    ///
    /// # Errors
    /// ABORTED COMMAND with the check that failed, and the address in INFORMATION.
    #[inline]
    pub(crate) fn check(self, data: &[u8], lba: u64, kind: ProtectionType, checks: Checks) -> Result<(), Sense> {
        if !self.is_checked(kind) {
            return Ok(());
        }
        match () {
            () if checks.guard && self.guard != guard(data) => {
                Err(Sense::LOGICAL_BLOCK_GUARD_CHECK_FAILED.with_information(lba))
            }
            () if checks.reference_tag && self.reference_tag != lba as u32 => {
                Err(Sense::LOGICAL_BLOCK_REFERENCE_TAG_CHECK_FAILED.with_information(lba))
            }
            () => Ok(()),
        }
    }
}

/// CRC of a block's data (SBC-3: "Logical block guard").
#[inline]
fn guard(data: &[u8]) -> u16 {
    crc_fast::checksum(CrcAlgorithm::Crc16T10Dif, data) as u16 // 16 bits wide
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SBC-3: "CRC test cases".
    #[test]
    fn the_guard_is_the_standard_s() {
        let cases: [(Vec<u8>, u16); 5] = [
            (vec![0; 32], 0x0000),
            (vec![0xff; 32], 0xa293),
            ((0x00..=0x1f).collect(), 0x0224),
            ([&[0xff; 2][..], &[0; 30]].concat(), 0x21b8),
            ((0xe0..=0xff).rev().collect(), 0xa0b7),
        ];
        for (data, crc) in cases {
            assert_eq!(guard(&data), crc, "{data:02x?}");
        }
    }

    #[test]
    fn fields_stand_where_the_standard_has_them() {
        let bytes = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
        let information = Information { guard: 0x0123, application_tag: 0x4567, reference_tag: 0x89ab_cdef };
        assert_eq!((Information::parse(bytes), information.to_bytes()), (information, bytes));
        assert_eq!(Information::UNCHECKED.to_bytes(), [0xff; 8]);
    }

    #[test]
    fn escapes_are_the_type_s() {
        let of = |application_tag, reference_tag| Information { guard: 0, application_tag, reference_tag };
        use ProtectionType::{None, Type1, Type3};
        for (information, kind, checked) in [
            (of(0xffff, 5), Type1, false),
            (of(0xffff, 5), Type3, true),
            (of(0xffff, 0xffff_ffff), Type3, false),
            (of(0xfffe, 0xffff_ffff), Type3, true),
            (of(0xfffe, 0xffff_ffff), Type1, true),
            (of(0, 0), None, false),
        ] {
            assert_eq!(information.is_checked(kind), checked, "{information:?} {kind:?}");
        }
    }
}
