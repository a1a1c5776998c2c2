//! Logical unit numbers: our number, its form on the wire, and what a LUN field addresses (SAM-5 4.7).

use std::fmt;

/// The number of a logical unit within one target, 0 to [`Lun::MAX`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Lun(pub u16);

/// What the 8 bytes of a LUN field name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Address {
    /// A unit number, whether or not there is a unit.
    Unit(Lun),
    /// The REPORT LUNS well-known logical unit, C1 01h (SPC-4).
    ReportLuns,
    /// A form of address that this target has no units under: treated as an incorrect LUN.
    Unknown,
}

/// How REPORT LUNS lists numbers below 256, which two methods can address (SAM-5). Whichever it is, both forms are understood.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Addressing {
    /// Peripheral device addressing below 256, flat space addressing above: what most initiators expect.
    #[default]
    Peripheral,
    /// Flat space addressing for all, for initiators that want one method alone.
    Flat,
}

const METHOD_PERIPHERAL: u8 = 0b00;
const METHOD_FLAT: u8 = 0b01;
const METHOD_EXTENDED: u8 = 0b11;
/// Extended addressing, length 01b (4 bytes in all), method 2h: a flat 24-bit number (SAM-5 4.7).
const EXTENDED_FLAT_4: u8 = 0xd2;
const WELL_KNOWN: [u8; 2] = [0xc1, 0x01];

impl Lun {
    /// The largest number, the most that flat space addressing holds in 14 bits.
    pub const MAX: Lun = Lun(16383);

    /// The number if it is in range.
    pub fn new(number: u16) -> Option<Lun> {
        (number <= Lun::MAX.0).then_some(Lun(number))
    }

    /// The unit number in a LUN field: peripheral (bus 0), flat, or extended flat addressing with nothing after it.
    /// `None` for every other form, the well-known unit included (see [`Address::from_wire`]).
    pub fn from_wire(wire: &[u8; 8]) -> Option<Lun> {
        let (number, rest) = match wire[0] >> 6 {
            METHOD_PERIPHERAL if wire[0] == 0 => (u32::from(wire[1]), &wire[2..]),
            METHOD_FLAT => (u32::from(u16::from_be_bytes([wire[0] & 0x3f, wire[1]])), &wire[2..]),
            METHOD_EXTENDED if wire[0] == EXTENDED_FLAT_4 => {
                (u32::from_be_bytes([0, wire[1], wire[2], wire[3]]), &wire[4..])
            }
            _ => return None,
        };
        if rest.iter().any(|&byte| byte != 0) {
            return None;
        }
        u16::try_from(number).ok().and_then(Lun::new)
    }

    /// The form that REPORT LUNS lists.
    pub fn to_wire(self, addressing: Addressing) -> [u8; 8] {
        let [high, low] = self.0.to_be_bytes();
        let method = if high == 0 && addressing == Addressing::Peripheral { METHOD_PERIPHERAL } else { METHOD_FLAT };
        [method << 6 | high & 0x3f, low, 0, 0, 0, 0, 0, 0]
    }
}

impl fmt::Display for Lun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Address {
    /// What a LUN field names; every value has an answer.
    #[inline]
    pub fn from_wire(wire: &[u8; 8]) -> Address {
        // Peripheral device addressing, as nearly every initiator has it.
        let word = u64::from_be_bytes(*wire);
        let is_peripheral = word & !(0xff << 48) == 0;
        if is_peripheral { Address::Unit(Lun((word >> 48) as u16)) } else { Address::of_unusual(wire) }
    }

    #[inline(never)]
    fn of_unusual(wire: &[u8; 8]) -> Address {
        if *wire == Address::REPORT_LUNS_WIRE {
            return Address::ReportLuns;
        }
        Lun::from_wire(wire).map_or(Address::Unknown, Address::Unit)
    }

    /// The LUN field of the REPORT LUNS well-known logical unit.
    pub const REPORT_LUNS_WIRE: [u8; 8] = [WELL_KNOWN[0], WELL_KNOWN[1], 0, 0, 0, 0, 0, 0];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_survives_the_wire() {
        for number in 0..=Lun::MAX.0 {
            let lun = Lun(number);
            for wire in [lun.to_wire(Addressing::Peripheral), lun.to_wire(Addressing::Flat)] {
                assert_eq!(Lun::from_wire(&wire), Some(lun));
                assert_eq!(Address::from_wire(&wire), Address::Unit(lun));
            }
        }
    }

    #[test]
    fn forms_of_the_same_unit() {
        assert_eq!(Lun(5).to_wire(Addressing::Peripheral), [0, 5, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Lun(5).to_wire(Addressing::Flat), [0x40, 5, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Lun(300).to_wire(Addressing::Peripheral), [0x41, 0x2c, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Lun(16383).to_wire(Addressing::Flat), [0x7f, 0xff, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Lun::from_wire(&[0x40, 5, 0, 0, 0, 0, 0, 0]), Some(Lun(5)));
        assert_eq!(Lun::from_wire(&[0xd2, 0, 1, 0x2c, 0, 0, 0, 0]), Some(Lun(300)));
    }

    #[test]
    fn other_forms_name_nothing() {
        for wire in [
            [0x01, 5, 0, 0, 0, 0, 0, 0],    // peripheral, bus 1
            [0x00, 5, 0, 1, 0, 0, 0, 0],    // a second level
            [0x41, 0x2c, 0, 0, 0, 0, 0, 1], // a second level
            [0x80, 5, 0, 0, 0, 0, 0, 0],    // logical unit addressing
            [0xd2, 0, 0x40, 0, 0, 0, 0, 0], // 16384
            [0xd2, 0, 0, 5, 1, 0, 0, 0],    // something after it
            [0xff; 8],
        ] {
            assert_eq!(Address::from_wire(&wire), Address::Unknown, "{wire:02x?}");
        }
        assert_eq!(Address::from_wire(&[0xc1, 1, 0, 0, 0, 0, 0, 0]), Address::ReportLuns);
        assert_eq!(Address::from_wire(&[0xc1, 1, 0, 0, 0, 0, 0, 1]), Address::Unknown);
    }

    #[test]
    fn numbers_past_the_maximum_are_refused() {
        assert_eq!(Lun::new(16383), Some(Lun::MAX));
        assert_eq!(Lun::new(16384), None);
    }
}
