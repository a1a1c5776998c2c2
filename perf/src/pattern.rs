//! What `--verify` writes: every block tells which block it is, in which run and for the how manyth time it was written, so
//! that data which comes from another place, another run or an older write is seen.

use crate::random::scramble;

/// What one block should hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// Of the run.
    pub seed: u64,
    /// Address of the first block.
    pub lba: u64,
    /// Which write of this place it is.
    pub version: u32,
}

/// The first word that is not what was written there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("block {lba}, byte {offset}: read {found:016x}, written was {expected:016x}")]
pub struct Miscompare {
    /// Address of the block.
    pub lba: u64,
    /// Where in the block, in bytes.
    pub offset: usize,
    /// What was written.
    pub expected: u64,
    /// What was read.
    pub found: u64,
}

/// Fills whole blocks of `block_len` bytes, a multiple of 8.
pub fn fill(stamp: Stamp, block_len: usize, data: &mut [u8]) {
    for (index, block) in data.chunks_exact_mut(block_len).enumerate() {
        let words = words(stamp, index as u64);
        for (place, word) in block.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
    }
}

/// Compares whole blocks with what [`fill`] puts there.
///
/// # Errors
/// Where they differ first.
pub fn check(stamp: Stamp, block_len: usize, data: &[u8]) -> Result<(), Miscompare> {
    for (index, block) in data.chunks_exact(block_len).enumerate() {
        let words = words(stamp, index as u64);
        for (place, (bytes, expected)) in block.chunks_exact(8).zip(words).enumerate() {
            let found = u64::from_le_bytes(bytes.try_into().expect("chunks of 8"));
            if found != expected {
                return Err(Miscompare { lba: stamp.lba + index as u64, offset: place * 8, expected, found });
            }
        }
    }
    Ok(())
}

/// The words of the block `index` blocks behind the first.
fn words(stamp: Stamp, index: u64) -> impl Iterator<Item = u64> {
    let start = scramble(stamp.seed ^ scramble(stamp.lba + index) ^ u64::from(stamp.version) << 32);
    // An odd step visits every u64 before it repeats one, and each block starts elsewhere.
    (0_u64..).map(move |word| start.wrapping_add(word.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { seed: 1, lba: 1000, version: 1 };

    fn blocks(stamp: Stamp) -> Vec<u8> {
        let mut data = vec![0; 4 * 512];
        fill(stamp, 512, &mut data);
        data
    }

    #[test]
    fn what_was_filled_compares() {
        assert_eq!(check(STAMP, 512, &blocks(STAMP)), Ok(()));
    }

    #[test]
    fn one_changed_byte_is_named_with_its_place() {
        let mut data = blocks(STAMP);
        data[512 + 21] ^= 0x40;
        let found = check(STAMP, 512, &data).unwrap_err();
        assert_eq!((found.lba, found.offset), (1001, 16));
        assert_eq!(found.expected ^ found.found, 0x40 << 40);
    }

    #[test]
    fn another_place_run_or_write_is_seen_in_the_first_word() {
        for other in [Stamp { lba: 1001, ..STAMP }, Stamp { seed: 2, ..STAMP }, Stamp { version: 2, ..STAMP }] {
            let found = check(STAMP, 512, &blocks(other)).unwrap_err();
            assert_eq!((found.lba, found.offset), (1000, 0), "{other:?}");
        }
    }

    #[test]
    fn blocks_do_not_depend_on_how_they_were_grouped() {
        let data = blocks(STAMP);
        assert_eq!(check(Stamp { lba: 1002, ..STAMP }, 512, &data[1024..]), Ok(()));
    }
}
