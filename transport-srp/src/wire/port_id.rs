//! Port identifiers: 16 bytes that name an initiator port or a target port (SRP r16a, 5.2 and annex B for InfiniBand).
//!
//! A target's is two numbers, `id_ext` and `ioc_guid`, as the administrator types them into Linux' `add_target`.
//! An initiator's is its `initiator_ext` (0 unless given) and the low half of GID 0 of its port.

use std::fmt;
use std::str::FromStr;

/// A port identifier. Shown as `0x` and 32 hex digits, the form in which Linux' targets name an initiator.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct PortId(pub [u8; 16]);

impl PortId {
    /// From its two halves: `id_ext` (for an initiator, `initiator_ext`), and `ioc_guid` (the low half of its GID).
    pub const fn new(id_ext: u64, ioc_guid: u64) -> PortId {
        PortId((((id_ext as u128) << 64) | ioc_guid as u128).to_be_bytes())
    }

    /// The first half.
    pub const fn id_ext(self) -> u64 {
        (u128::from_be_bytes(self.0) >> 64) as u64
    }

    /// The second half.
    pub const fn ioc_guid(self) -> u64 {
        u128::from_be_bytes(self.0) as u64
    }
}

impl fmt::Display for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PortId({self})")
    }
}

/// Why a text is no port identifier.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PortIdError {
    /// A character that is no hex digit, or a colon where none may stand.
    #[error(
        "port identifier: unexpected '{character}' at character {position}: write 32 hex digits, with 0x in front or \
         without, and colons only between whole bytes"
    )]
    Character {
        /// What stands there.
        character: char,
        /// Where, counted from 1.
        position: usize,
    },
    /// Not 16 bytes.
    #[error("port identifier: {digits} hex digits where 32 are needed: id_ext and ioc_guid, 16 digits each")]
    Length {
        /// How many digits there are.
        digits: usize,
    },
}

impl FromStr for PortId {
    type Err = PortIdError;

    /// Reads what [`fmt::Display`] writes, with the `0x` or without, and also with colons between bytes: the forms of
    /// Linux' `port_id` (a colon after each byte) and `gids` (after each second one).
    fn from_str(text: &str) -> Result<PortId, PortIdError> {
        let prefix = if text.starts_with("0x") || text.starts_with("0X") { 2 } else { 0 };
        let mut value: u128 = 0;
        let mut digits: usize = 0;
        let mut after_colon = true; // so that none may stand first
        for (index, character) in text.chars().enumerate().skip(prefix) {
            match character.to_digit(16) {
                Some(digit) => {
                    value = (value << 4) | u128::from(digit);
                    digits += 1;
                    after_colon = false;
                }
                None if character == ':' && digits.is_multiple_of(2) && !after_colon => after_colon = true,
                None => return Err(PortIdError::Character { character, position: index + 1 }),
            }
        }
        match digits {
            32 if after_colon => Err(PortIdError::Character { character: ':', position: text.chars().count() }),
            32 => Ok(PortId(value.to_be_bytes())),
            _ => Err(PortIdError::Length { digits }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: PortId = PortId::new(0x0002_c903_0000_1234, 0xe81c_f0ff_fe83_cea9);

    #[test]
    fn halves_stand_in_order() {
        assert_eq!(ID.0, [0, 2, 0xc9, 3, 0, 0, 0x12, 0x34, 0xe8, 0x1c, 0xf0, 0xff, 0xfe, 0x83, 0xce, 0xa9]);
        assert_eq!(ID.id_ext(), 0x0002_c903_0000_1234);
        assert_eq!(ID.ioc_guid(), 0xe81c_f0ff_fe83_cea9);
    }

    #[test]
    fn every_form_that_linux_prints_is_read() {
        assert_eq!(ID.to_string(), "0x0002c90300001234e81cf0fffe83cea9");
        for text in [
            "0x0002c90300001234e81cf0fffe83cea9",
            "0X0002C90300001234E81CF0FFFE83CEA9",
            "0002c90300001234e81cf0fffe83cea9",
            "0002c90300001234:e81cf0fffe83cea9",
            "0002:c903:0000:1234:e81c:f0ff:fe83:cea9",
            "00:02:c9:03:00:00:12:34:e8:1c:f0:ff:fe:83:ce:a9",
        ] {
            assert_eq!(text.parse(), Ok(ID), "{text}");
        }
    }

    #[test]
    fn a_wrong_text_is_refused_with_its_place() {
        let error = |text: &str| text.parse::<PortId>().unwrap_err();
        assert_eq!(error(""), PortIdError::Length { digits: 0 });
        assert_eq!(error("0x"), PortIdError::Length { digits: 0 });
        assert_eq!(error("0xfe80"), PortIdError::Length { digits: 4 });
        assert_eq!(error(&"0".repeat(33)), PortIdError::Length { digits: 33 });
        assert_eq!(error("fe80::1"), PortIdError::Character { character: ':', position: 6 });
        assert_eq!(error(":fe80"), PortIdError::Character { character: ':', position: 1 });
        assert_eq!(error("fe8:0"), PortIdError::Character { character: ':', position: 4 });
        assert_eq!(error("0x*"), PortIdError::Character { character: '*', position: 3 });
        assert_eq!(
            error(&format!("{}:", &ID.to_string()[2..])),
            PortIdError::Character { character: ':', position: 33 }
        );
    }

    proptest! {
        #[test]
        fn display_is_read_back(bytes: [u8; 16]) {
            prop_assert_eq!(PortId(bytes).to_string().parse(), Ok(PortId(bytes)));
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = text.parse::<PortId>();
        }
    }
}
