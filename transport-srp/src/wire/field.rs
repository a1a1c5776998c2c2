//! Fixed fields of an IU: an offset and a length, both part of the type. A field that does not fit into the array it
//! is read from does not compile, so that no reader or writer of a fixed part can leave it.

/// `LEN` bytes from byte `AT` on.
#[derive(Clone, Copy)]
pub(super) struct Field<const AT: usize, const LEN: usize>;

impl<const AT: usize, const LEN: usize> Field<AT, LEN> {
    /// The field's bytes.
    #[inline]
    pub(super) fn get<const N: usize>(self, iu: &[u8; N]) -> [u8; LEN] {
        const { assert!(AT + LEN <= N, "the field lies outside of its IU") };
        std::array::from_fn(|index| iu[AT + index])
    }

    /// Stores `bytes` in the field.
    #[inline]
    pub(super) fn put<const N: usize>(self, iu: &mut [u8; N], bytes: [u8; LEN]) {
        const { assert!(AT + LEN <= N, "the field lies outside of its IU") };
        iu[AT..AT + LEN].copy_from_slice(&bytes);
    }
}

/// Reading and writing as a big-endian number, for the lengths that are one.
macro_rules! number {
    ($int:ty, $len:literal) => {
        impl<const AT: usize> Field<AT, $len> {
            /// The field as a big-endian number.
            #[inline]
            pub(super) fn read<const N: usize>(self, iu: &[u8; N]) -> $int {
                <$int>::from_be_bytes(self.get(iu))
            }

            /// Stores `value` in big-endian order.
            #[inline]
            pub(super) fn write<const N: usize>(self, iu: &mut [u8; N], value: $int) {
                self.put(iu, value.to_be_bytes());
            }
        }
    };
}

number!(u8, 1);
number!(u16, 2);
number!(u32, 4);
number!(u64, 8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_big_endian_and_touch_nothing_else() {
        let mut iu = [0u8; 8];
        Field::<2, 4>.write(&mut iu, 0x0102_0304);
        assert_eq!(iu, [0, 0, 1, 2, 3, 4, 0, 0]);
        assert_eq!(Field::<2, 4>.read(&iu), 0x0102_0304);
        assert_eq!(Field::<3, 2>.read(&iu), 0x0203);
        assert_eq!(Field::<2, 1>.read(&iu), 1);
        assert_eq!(Field::<0, 8>.read(&iu), 0x0000_0102_0304_0000);
        Field::<6, 2>.put(&mut iu, [9, 8]);
        assert_eq!(iu, [0, 0, 1, 2, 3, 4, 9, 8]);
    }
}
