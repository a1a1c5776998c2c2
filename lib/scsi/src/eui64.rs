//! EUI-64 based identifiers.

use std::fmt;
use std::str::FromStr;

const BYTES_MAX: usize = 16;

/// An EUI-64 based designator (SPC-4) of 8 bytes (an EUI-64), 12 (an EUI-64 and a directory ID) or 16 (an identifier extension
/// and an EUI-64).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Eui64 {
    bytes: [u8; BYTES_MAX],
    len: u8,
}

/// Why a text is no EUI-64.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("16, 24 or 32 hexadecimal digits are needed, not all zero, like \"0x0002c90300001234\"")]
pub struct Eui64Error;

impl Eui64 {
    /// The designator as it stands in the device identification page.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Hexadecimal digits, with `0x` before and colons or hyphens between them or not.
impl FromStr for Eui64 {
    type Err = Eui64Error;

    fn from_str(text: &str) -> Result<Eui64, Eui64Error> {
        let digits: String = text.strip_prefix("0x").unwrap_or(text).replace([':', '-'], "");
        if !matches!(digits.len(), 16 | 24 | 32) || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(Eui64Error);
        }
        let value = u128::from_str_radix(&digits, 16).map_err(|_| Eui64Error)?;
        if value == 0 {
            return Err(Eui64Error);
        }
        let len = digits.len() / 2;
        let mut bytes = [0; BYTES_MAX];
        bytes[..len].copy_from_slice(&value.to_be_bytes()[BYTES_MAX - len..]);
        Ok(Eui64 { bytes, len: len as u8 })
    }
}

impl fmt::Display for Eui64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_length_is_kept() {
        for (text, bytes) in [
            ("0x0002c90300001234", &[0x00, 0x02, 0xc9, 0x03, 0x00, 0x00, 0x12, 0x34][..]),
            ("00:02:c9:ff-fe00-1234", &[0x00, 0x02, 0xc9, 0xff, 0xfe, 0x00, 0x12, 0x34]),
            ("0002C9030000123400000001", &[0x00, 0x02, 0xc9, 0x03, 0x00, 0x00, 0x12, 0x34, 0, 0, 0, 1]),
            (
                "00000000000000010002c90300001234",
                &[0, 0, 0, 0, 0, 0, 0, 1, 0x00, 0x02, 0xc9, 0x03, 0x00, 0x00, 0x12, 0x34],
            ),
        ] {
            let eui: Eui64 = text.parse().expect(text);
            assert_eq!(eui.bytes(), bytes);
            assert_eq!(eui.to_string().parse(), Ok(eui));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "0x",
            "1",
            "0x2c90300001234",
            "0x0002c903000012345",
            "0x000000000000000g",
            "+002c90300001234",
            "0x0000000000000000",
            "ä002c9030000123",
            "0002c9030000123400000000000000001",
        ] {
            assert_eq!(text.parse::<Eui64>(), Err(Eui64Error), "{text}");
        }
    }
}
