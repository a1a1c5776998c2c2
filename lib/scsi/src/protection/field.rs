//! RDPROTECT, WRPROTECT and VRPROTECT (SBC-3): what is checked, and whether protection information goes with the data.
//!
//! | | goes with the data | read from the medium | in the data-out | compared by VERIFY (BYTCHK not 00b) |
//! |---|---|---|---|---|
//! | 000b | no | guard, reference tag | – (it is made here) | nothing |
//! | 001b | yes | guard, reference tag | guard, reference tag | guard, reference tag |
//! | 010b | yes | reference tag | reference tag | reference tag |
//! | 011b | yes | nothing | nothing | guard, reference tag |
//! | 100b | yes | guard | guard | guard, reference tag |
//! | 101b | yes | guard, reference tag | guard, reference tag | guard |
//!
//! "May" of the standard's tables is "does" here. VERIFY that compares does not check what it reads, except with 000b. Of type 3 no reference tag
//! is checked or compared, and no application tag of any type, since ATO is clear.

use super::ProtectionType;
use crate::wire::sense::Sense;

/// A value that is not reserved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Protect(u8);

/// What of protection information is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Checks {
    pub(crate) guard: bool,
    /// Only ever of type 1.
    pub(crate) reference_tag: bool,
}

impl Protect {
    /// Of the 6-byte commands, which have no such field.
    pub(crate) const ZERO: Protect = Protect(0);

    /// Bits 7 to 5 of byte 1 of the CDB.
    ///
    /// # Errors
    /// INVALID FIELD IN CDB: the value is reserved, or the unit is not formatted with protection information.
    pub(crate) fn parse(cdb: &[u8], kind: ProtectionType) -> Result<Protect, Sense> {
        match cdb[1] >> 5 {
            0b000 => Ok(Protect::ZERO),
            value @ 0b001..=0b101 if kind != ProtectionType::None => Ok(Protect(value)),
            _ => Err(Sense::invalid_field_in_cdb(1, Some(7))),
        }
    }

    /// Whether blocks come and go with their protection information.
    #[inline]
    pub(crate) fn is_transferred(self) -> bool {
        self != Protect::ZERO
    }

    /// What is checked of blocks that are read from the medium, to be delivered or only verified.
    #[inline]
    pub(crate) fn on_medium(self, kind: ProtectionType) -> Checks {
        match self.0 {
            0b000 | 0b001 | 0b101 => Checks::of(true, true, kind),
            0b010 => Checks::of(false, true, kind),
            0b100 => Checks::of(true, false, kind),
            _ => Checks::NOTHING,
        }
    }

    /// What is checked of blocks that the initiator sent.
    #[inline]
    pub(crate) fn in_data_out(self, kind: ProtectionType) -> Checks {
        match self.is_transferred() {
            true => self.on_medium(kind),
            false => Checks::NOTHING,
        }
    }

    /// What is checked on the medium by a VERIFY that compares.
    pub(crate) fn on_medium_beside_comparison(self, kind: ProtectionType) -> Checks {
        match self.is_transferred() {
            true => Checks::NOTHING,
            false => self.on_medium(kind),
        }
    }

    /// What is compared beside the data.
    pub(crate) fn compared(self, kind: ProtectionType) -> Checks {
        match self.0 {
            0b001 | 0b011 | 0b100 => Checks::of(true, true, kind),
            0b010 => Checks::of(false, true, kind),
            0b101 => Checks::of(true, false, kind),
            _ => Checks::NOTHING,
        }
    }
}

impl Checks {
    pub(crate) const NOTHING: Checks = Checks { guard: false, reference_tag: false };

    fn of(guard: bool, reference_tag: bool, kind: ProtectionType) -> Checks {
        match kind {
            ProtectionType::None => Checks::NOTHING,
            ProtectionType::Type1 => Checks { guard, reference_tag },
            ProtectionType::Type3 => Checks { guard, reference_tag: false },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SBC-3's tables, one row for each value: on the medium, in the data-out, compared; `g` guard, `r` reference tag.
    const TABLES: [(u8, &str, &str, &str); 6] = [
        (0b000, "gr", "", ""),
        (0b001, "gr", "gr", "gr"),
        (0b010, "r", "r", "r"),
        (0b011, "", "", "gr"),
        (0b100, "g", "g", "gr"),
        (0b101, "gr", "gr", "g"),
    ];

    #[test]
    fn checks_are_those_of_the_tables() {
        for (value, medium, data_out, compared) in TABLES {
            for kind in [ProtectionType::Type1, ProtectionType::Type3] {
                let field = Protect::parse(&[0x28, value << 5], kind).expect("not reserved");
                let of = |text: &str| Checks {
                    guard: text.contains('g'),
                    reference_tag: text.contains('r') && kind == ProtectionType::Type1,
                };
                assert_eq!(field.on_medium(kind), of(medium), "{value:03b} {kind:?}");
                assert_eq!(field.in_data_out(kind), of(data_out), "{value:03b} {kind:?}");
                assert_eq!(field.compared(kind), of(compared), "{value:03b} {kind:?}");
                let beside = if value == 0 { medium } else { "" };
                assert_eq!(field.on_medium_beside_comparison(kind), of(beside), "{value:03b} {kind:?}");
                assert_eq!(field.is_transferred(), value != 0);
            }
        }
    }

    #[test]
    fn what_is_reserved_or_not_formatted_is_refused() {
        use ProtectionType::{None, Type1, Type3};
        let refused = Err(Sense::invalid_field_in_cdb(1, Some(7)));
        for (value, kind) in [(6, Type1), (7, Type1), (6, Type3), (7, Type3), (1, None), (3, None), (5, None)] {
            assert_eq!(Protect::parse(&[0x28, value << 5 | 0x1f], kind), refused, "{value} {kind:?}");
        }
        assert_eq!(Protect::parse(&[0x28, 0x1f], None), Ok(Protect::ZERO));
    }
}
