//! Numbers as people write and read them.

use serde_json::Value;

const SUFFIXES: [&str; 6] = ["", "K", "M", "G", "T", "P"];

/// Bytes, with a suffix of powers of 1024 or without: `512`, `4k`, `64M`, `10GiB`.
///
/// # Errors
/// Says what is needed.
pub(crate) fn parse_bytes(text: &str) -> Result<Value, String> {
    let wrong = || "bytes are needed, as 512, 4k, 64M or 10G".to_string();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, suffix) = text.split_at(end);
    let upper = suffix.to_ascii_uppercase();
    let letter = upper.trim_end_matches('B').trim_end_matches('I');
    let plain = matches!(upper.strip_prefix(letter), Some("" | "B" | "IB")) && !(letter.is_empty() && upper == "IB");
    let power = SUFFIXES.iter().position(|suffix| *suffix == letter).filter(|_| plain).ok_or_else(wrong)?;
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << (10 * power)).map(Value::from).ok_or_else(|| "that many bytes there are not".into())
}

/// Bytes in powers of 1024, with three digits.
pub(crate) fn bytes(bytes: f64) -> String {
    scaled(bytes, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"])
}

/// Bytes in powers of 1024, exact where they are a whole number of a unit: sizes of disks.
pub(crate) fn size(count: u64) -> String {
    bytes(count as f64)
}

/// A count in powers of 1000, with three digits.
pub(crate) fn count(count: f64) -> String {
    scaled(count, 1000.0, &["", "k", "M", "G", "T", "P", "E"]).replace(' ', "")
}

/// A time, in the unit that it fits.
pub(crate) fn time(nanoseconds: f64) -> String {
    let units = [("ns", 1.0), ("µs", 1e3), ("ms", 1e6), ("s", 1e9)];
    let (name, unit) = units.into_iter().rev().find(|(_, unit)| nanoseconds >= *unit).unwrap_or(units[0]);
    format!("{} {name}", digits(nanoseconds / unit))
}

/// A part of a whole.
pub(crate) fn percent(part: f64) -> String {
    format!("{:.1} %", part * 100.0)
}

fn scaled(number: f64, step: f64, units: &[&str]) -> String {
    let mut value = number;
    let mut index = 0;
    // 999.5 would be shown as 1000.
    while value >= step - 0.5 && index + 1 < units.len() {
        value /= step;
        index += 1;
    }
    format!("{} {}", digits(value), units[index]).trim_end().to_string()
}

/// Three digits, and no zeroes behind the point.
fn digits(value: f64) -> String {
    let text = match value {
        value if value >= 99.95 => format!("{value:.0}"),
        value if value >= 9.995 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        for (text, number) in [
            ("0", 0_u64),
            ("512", 512),
            ("512B", 512),
            ("4k", 4096),
            ("64M", 64 << 20),
            ("10GiB", 10 << 30),
            ("1tb", 1 << 40),
        ] {
            assert_eq!(parse_bytes(text), Ok(number.into()), "{text}");
        }
        for text in ["", "M", "1.5G", "-1", "4 k", "1GG", "1iB", "1KI", "99999999P", "1kBB"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_have_three_digits() {
        let sizes: Vec<String> =
            [0, 1, 1023, 1024, 1536, 10 << 20, 1000 << 20, 1 << 40].into_iter().map(size).collect();
        assert_eq!(sizes, ["0 B", "1 B", "1023 B", "1 KiB", "1.5 KiB", "10 MiB", "1000 MiB", "1 TiB"]);
        assert_eq!([0.0, 12.34, 999.7, 123_456.0].map(count), ["0", "12.3", "1k", "123k"]);
        assert_eq!([0.0, 999.0, 1500.0, 2e6, 3.21e9].map(time), ["0 ns", "999 ns", "1.5 µs", "2 ms", "3.21 s"]);
        assert_eq!(percent(0.1234), "12.3 %");
    }
}
