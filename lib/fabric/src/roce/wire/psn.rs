//! Packet sequence numbers: 24 bits that wrap around (IBTA vol. 1, 9.7.1).

use std::fmt;

/// Number of values.
const MODULUS: u32 = 1 << 24;

/// A packet sequence number, always below 2^24.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Psn(u32);

impl Psn {
    /// The low 24 bits of `number`.
    #[inline]
    pub const fn new(number: u32) -> Psn {
        Psn(number % MODULUS)
    }

    /// The number.
    #[inline]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The one `packets` later.
    #[inline]
    #[must_use]
    pub const fn plus(self, packets: u32) -> Psn {
        Psn(self.0.wrapping_add(packets) % MODULUS)
    }

    /// The one before.
    #[inline]
    #[must_use]
    pub const fn previous(self) -> Psn {
        Psn(self.0.wrapping_sub(1) % MODULUS)
    }

    /// How many packets this one is after `other`: -2^23 to 2^23 - 1, negative if it is before it. The half circle
    /// before is what the standard calls duplicate, the one after is new.
    #[inline]
    pub const fn since(self, other: Psn) -> i32 {
        let ahead = self.0.wrapping_sub(other.0) % MODULUS;
        ((ahead << 8) as i32) >> 8 // sign-extends 24 bits
    }

    /// Whether it comes before `other`.
    #[inline]
    pub const fn is_before(self, other: Psn) -> bool {
        self.since(other) < 0
    }
}

impl fmt::Debug for Psn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Psn({:#08x})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against numbers that do not wrap.
        #[test]
        fn differences_are_those_of_the_numbers_behind(from in any::<u32>(), by in -(1_i64 << 23)..1 << 23) {
            let later = Psn::new((i64::from(from) + by).rem_euclid(1 << 24) as u32);
            let first = Psn::new(from);
            prop_assert_eq!(i64::from(later.since(first)), by);
            prop_assert_eq!(later.is_before(first), by < 0);
            if by >= 0 {
                prop_assert_eq!(first.plus(by as u32), later);
            }
        }

        #[test]
        fn steps_add_up(start: u32, one: u32, other: u32) {
            let start = Psn::new(start);
            prop_assert_eq!(start.plus(one).plus(other), start.plus(one.wrapping_add(other)));
            prop_assert_eq!(start.plus(1).previous(), start);
            prop_assert!(start.plus(one).get() < 1 << 24);
        }
    }

    #[test]
    fn it_wraps_at_24_bits() {
        assert_eq!(Psn::new(0xff_ffff).plus(1), Psn::new(0));
        assert_eq!(Psn::new(0).previous(), Psn::new(0xff_ffff));
        assert_eq!(Psn::new(0x1234_5678).get(), 0x34_5678);
    }

    #[test]
    fn distance_is_signed_and_goes_the_short_way_round() {
        assert_eq!(Psn::new(2).since(Psn::new(0xff_fffe)), 4);
        assert_eq!(Psn::new(0xff_fffe).since(Psn::new(2)), -4);
        assert_eq!(Psn::new(0x80_0000).since(Psn::new(0)), -0x80_0000);
        assert_eq!(Psn::new(0x7f_ffff).since(Psn::new(0)), 0x7f_ffff);
        assert!(Psn::new(0xff_ffff).is_before(Psn::new(0)));
        assert!(!Psn::new(0).is_before(Psn::new(0)));
    }
}
