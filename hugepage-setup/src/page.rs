//! Kinds of pages, and sizes as people write them.

use std::fmt;

/// 1 KiB in bytes.
pub const KIB: u64 = 1 << 10;
/// 1 MiB in bytes.
pub const MIB: u64 = 1 << 20;
/// 1 GiB in bytes.
pub const GIB: u64 = 1 << 30;

/// What kind of page backs a mapping, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PageKind {
    /// 1 GiB pages of the hugetlb pool. Worth it for pools of many GiB only: a mapping is rounded up to 1 GiB.
    Huge1G,
    /// 2 MiB pages of the hugetlb pool: set aside beforehand, never swapped, never split.
    Huge2M,
    /// Ordinary memory aligned to 2 MiB that the kernel was advised to back by huge pages (`MADV_HUGEPAGE`). The
    /// kernel may still use ordinary pages for parts of it.
    Transparent,
    /// Pages of the base size, 4 KiB on x86-64.
    Ordinary,
}

impl PageKind {
    /// The multiple, in bytes, that the length and the address of a mapping of this kind have.
    pub fn granule(self) -> usize {
        match self {
            Self::Huge1G => GIB as usize,
            Self::Huge2M | Self::Transparent => 2 * MIB as usize,
            Self::Ordinary => rustix::param::page_size(),
        }
    }
}

impl fmt::Display for PageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Huge1G => "1 GiB huge pages",
            Self::Huge2M => "2 MiB huge pages",
            Self::Transparent => "transparent huge pages",
            Self::Ordinary => "ordinary pages",
        })
    }
}

/// A number of bytes that prints as people write it: `512M`, `1G`, `4100K`, `17`. Exact: the largest unit that divides
/// the number is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(
    /// Bytes.
    pub u64,
);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0"),
            n if n % GIB == 0 => write!(f, "{}G", n / GIB),
            n if n % MIB == 0 => write!(f, "{}M", n / MIB),
            n if n % KIB == 0 => write!(f, "{}K", n / KIB),
            n => write!(f, "{n}"),
        }
    }
}

/// Why a text is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// Not digits followed by at most one unit.
    #[error("`{0}` is not a size: write a number and a unit, such as 512M or 2G (units K, M, G, T of 1024)")]
    Malformed(
        /// The text as given.
        String,
    ),
    /// More than 2^64 - 1 bytes.
    #[error("`{0}` is more than 2^64 bytes")]
    TooLarge(
        /// The text as given.
        String,
    ),
}

impl std::str::FromStr for Size {
    type Err = SizeError;

    /// Reads `512M`, `512MiB`, `512MB` (all the same, 1024-based, any case) and plain bytes.
    fn from_str(text: &str) -> Result<Self, SizeError> {
        let trimmed = text.trim();
        let unit_at = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
        let (digits, unit) = trimmed.split_at(unit_at);
        let malformed = || SizeError::Malformed(text.to_owned());
        let factor = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kb" | "kib" => KIB,
            "m" | "mb" | "mib" => MIB,
            "g" | "gb" | "gib" => GIB,
            "t" | "tb" | "tib" => GIB * 1024,
            _ => return Err(malformed()),
        };
        if digits.is_empty() {
            return Err(malformed());
        }
        let too_large = || SizeError::TooLarge(text.to_owned());
        let number: u64 = digits.parse().map_err(|_| too_large())?;
        number.checked_mul(factor).map(Size).ok_or_else(too_large)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in
            [("512M", 512 * MIB), ("1G", GIB), ("2mib", 2 * MIB), ("64 kB", 64 * KIB), ("17", 17), ("1T", 1024 * GIB)]
        {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused_by_name() {
        for text in ["", "M", "-1M", "1.5G", "1X", "1 M M", "0x10"] {
            assert_eq!(text.parse::<Size>(), Err(SizeError::Malformed(text.to_owned())), "{text:?}");
        }
        for text in ["99999999999999999999", "18446744073709551615K"] {
            assert_eq!(text.parse::<Size>(), Err(SizeError::TooLarge(text.to_owned())), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_size_printed_is_read_back(bytes: u64) {
            prop_assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,24}") {
            let _ = text.parse::<Size>();
        }
    }
}
