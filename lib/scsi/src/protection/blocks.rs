//! Runs of blocks in a buffer: with their protection information as it is sent, with it as it is stored, or without.
//!
//! ```text
//!   sent, read        data ─ information ─ data ─ information …     flip ◄──► stored: the information is inverted
//!   without           data ─ data …                                 strip, spread
//! ```

use super::{Checks, Information, ProtectionType};
use crate::unit::Facts;
use crate::wire::sense::Sense;

/// How a unit's blocks are laid out, and of what type their protection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Layout {
    /// Bytes of data in a block.
    data: usize,
    /// Bytes of a block with its protection information.
    whole: usize,
    kind: ProtectionType,
}

impl Layout {
    pub(crate) fn of(facts: &Facts, kind: ProtectionType) -> Layout {
        Layout { data: facts.block_size as usize, whole: facts.stored_block_size as usize, kind }
    }

    /// Bytes of data in a block.
    pub(crate) fn data_bytes(&self) -> usize {
        self.data
    }

    /// Bytes of a block with its protection information.
    pub(crate) fn whole_bytes(&self) -> usize {
        self.whole
    }

    /// Turns protection information as it is sent into what is stored, and the reverse: all of its bits.
    #[inline]
    pub(crate) fn flip(&self, blocks: &mut [u8]) {
        for block in blocks.chunks_exact_mut(self.whole) {
            block[self.data..].iter_mut().for_each(|byte| *byte = !*byte);
        }
    }

    /// Checks whole blocks, as they are sent, of which the first has the address `lba`.
    ///
    /// # Errors
    /// Of the first check that fails: ABORTED COMMAND, with the block's address in INFORMATION.
    #[inline]
    pub(crate) fn check(&self, blocks: &[u8], lba: u64, checks: Checks) -> Result<(), Sense> {
        if checks == Checks::NOTHING {
            return Ok(());
        }
        for (block, lba) in blocks.chunks_exact(self.whole).zip(lba..) {
            let (data, information) = self.split(block);
            information.check(data, lba, self.kind, checks)?;
        }
        Ok(())
    }

    /// Data and protection information of a whole block, as it is sent.
    #[inline]
    pub(crate) fn split<'a>(&self, block: &'a [u8]) -> (&'a [u8], Information) {
        let (data, bytes) = block.split_at(self.data);
        let information = bytes.first_chunk().map_or(Information::UNCHECKED, |bytes| Information::parse(*bytes));
        (data, information)
    }

    /// Takes the protection information out: `count` blocks at the buffer's start become as many without it.
    #[inline]
    pub(crate) fn strip(&self, buffer: &mut [u8], count: usize) {
        for index in 1..count {
            let from = index * self.whole;
            buffer.copy_within(from..from + self.data, index * self.data);
        }
    }

    /// The reverse: gives `count` blocks without it, at the buffer's start, their protection information as it is stored. The first
    /// has the address `lba`.
    #[inline]
    pub(crate) fn spread(&self, buffer: &mut [u8], count: usize, lba: u64) {
        for index in (0..count).rev() {
            let (from, to) = (index * self.data, index * self.whole);
            buffer.copy_within(from..from + self.data, to);
            let (data, information) = buffer[to..to + self.whole].split_at_mut(self.data);
            // No more addresses than there are blocks, whose range was checked.
            let generated = Information::generate(data, lba + index as u64, self.kind);
            information.copy_from_slice(&generated.to_bytes().map(|byte| !byte));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LAYOUT: Layout = Layout { data: 512, whole: 520, kind: ProtectionType::Type1 };
    const ALL: Checks = Checks { guard: true, reference_tag: true };

    fn stored(data: &[u8], lba: u64, layout: Layout) -> Vec<u8> {
        let count = data.len() / layout.data;
        let mut buffer = data.to_vec();
        buffer.resize(count * layout.whole, 0xee);
        layout.spread(&mut buffer, count, lba);
        buffer
    }

    proptest! {
        #[test]
        fn what_is_made_is_valid_and_comes_off_again(
            data in proptest::collection::vec(any::<u8>(), 0..6 * 512),
            lba: u64,
            kind in prop_oneof![Just(ProtectionType::Type1), Just(ProtectionType::Type3), Just(ProtectionType::None)],
        ) {
            let lba = lba >> 1;
            let layout = Layout { kind, ..LAYOUT };
            let data = &data[..data.len() / 512 * 512];
            let mut buffer = stored(data, lba, layout);
            layout.flip(&mut buffer);
            let checks = Checks { reference_tag: kind == ProtectionType::Type1, ..ALL };
            prop_assert_eq!(layout.check(&buffer, lba, checks), Ok(()));
            layout.strip(&mut buffer, data.len() / 512);
            prop_assert_eq!(&buffer[..data.len()], data);
        }

        /// Any bit of data, guard or reference tag, anywhere: it is found, and in the right block.
        #[test]
        fn a_flipped_bit_is_found(
            data in proptest::collection::vec(any::<u8>(), 4 * 512),
            lba in 0..1_u64 << 40,
            at in 0..4 * 520_usize,
            bit in 0..8_u8,
        ) {
            let mut buffer = stored(&data, lba, LAYOUT);
            buffer[at] ^= 1 << bit;
            LAYOUT.flip(&mut buffer);
            let address = lba + at as u64 / 520;
            let expected = match at % 520 {
                0..514 => Err(Sense::LOGICAL_BLOCK_GUARD_CHECK_FAILED.with_information(address)),
                514..516 => Ok(()), // the application tag, which is nobody's
                _ => Err(Sense::LOGICAL_BLOCK_REFERENCE_TAG_CHECK_FAILED.with_information(address)),
            };
            prop_assert_eq!(LAYOUT.check(&buffer, lba, ALL), expected);
        }

        #[test]
        fn a_block_from_elsewhere_is_found(data in proptest::collection::vec(any::<u8>(), 512), lba: u32, other: u32) {
            prop_assume!(lba != other);
            let mut buffer = stored(&data, lba.into(), LAYOUT);
            LAYOUT.flip(&mut buffer);
            let sense = Sense::LOGICAL_BLOCK_REFERENCE_TAG_CHECK_FAILED.with_information(other.into());
            prop_assert_eq!(LAYOUT.check(&buffer, other.into(), ALL), Err(sense));
        }
    }

    /// What the device gives for blocks that nobody has written.
    #[test]
    fn zeroes_are_valid_everywhere() {
        for kind in [ProtectionType::Type1, ProtectionType::Type3] {
            let mut buffer = vec![0; 3 * 520];
            let layout = Layout { kind, ..LAYOUT };
            layout.flip(&mut buffer);
            assert_eq!(layout.check(&buffer, 0xffff_fffe, ALL), Ok(()));
        }
    }
}
