//! A null device whose blocks hold a pattern, so that everything between it and an initiator's memory can be checked, byte by
//! byte and without a medium.
//!
//! # The pattern
//! Each block holds its own byte offset on the device (8 bytes, little-endian), then [`KEY_BYTES`] bytes made from the device's UUID, and
//! that again up to its end. A block that comes from elsewhere is told by its offset, one of another device by its key, and data
//! that is shifted, cut or torn within a block by the key's bytes, no two words of which are alike. (In blocks of more
//! than 512 bytes, shifts by a multiple of 512 within one block are not seen.) It is a pattern that fio knows how to check
//! and to write: [`Pattern::for_fio`].
//!
//! # Rules
//! A read gives the pattern. A write must bring it: the first byte that differs fails the write as a medium error, and is told
//! in the log with its place, and with the block that the data belongs to if it is another one of this device. Zeroes
//! cannot be kept, so WriteZeroes is such an error, too, and Unmap is not supported.

use std::fmt::Write;

use uuid::Uuid;

use crate::channel::ByteRange;
use crate::io::{BlockIo, IoError, Op};

/// The pattern repeats after so many bytes within a block.
const PERIOD: usize = 512;
/// Bytes of the offset.
const OFFSET_BYTES: usize = 8;
/// Bytes that tell devices apart.
pub const KEY_BYTES: usize = PERIOD - OFFSET_BYTES;

/// The pattern of one device.
#[derive(Debug)]
pub struct Pattern {
    name: String,
    block_size: usize,
    key: [u8; KEY_BYTES],
}

/// A core's part: when it complained last.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    last_ns: Option<u64>,
    untold: u64,
}

/// Where data is not what it should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Difference {
    /// Byte offset on the device.
    offset: u64,
    expected: u8,
    found: u8,
}

impl Pattern {
    pub(super) fn new(name: &str, block_size: u32, uuid: Uuid) -> Pattern {
        let (high, low) = uuid.as_u64_pair();
        let mut key = [0; KEY_BYTES];
        for (word, place) in key.chunks_exact_mut(8).enumerate() {
            place.copy_from_slice(&scramble(high ^ scramble(low.wrapping_add(word as u64))).to_le_bytes());
        }
        Pattern { name: name.to_owned(), block_size: block_size as usize, key }
    }

    /// What fio's option `verify_pattern` must say, with `verify=pattern` and a `bs` of one block, to write and to check the pattern.
    pub fn for_fio(&self) -> String {
        let mut text = "%o0x".to_owned();
        for byte in self.key {
            let _ = write!(text, "{byte:02x}"); // a String takes everything
        }
        text
    }

    /// Does an operation whose range is checked.
    pub(crate) fn execute(
        &self,
        io: &mut BlockIo,
        range: ByteRange,
        complaints: &mut Complaints,
        now_ns: u64,
    ) -> Result<(), IoError> {
        match (io.op, &mut io.data) {
            (Op::Read, Some(data)) => self.fill(range.offset, data.bytes_mut()),
            (Op::Write { .. }, Some(data)) => {
                if let Some(difference) = self.compare(range.offset, data.bytes()) {
                    complaints.differs(self, difference, range, data.bytes(), now_ns);
                    return Err(IoError::Medium);
                }
            }
            (Op::WriteZeroes { .. }, _) if range.len > 0 => {
                complaints.zeroes(self, range, now_ns);
                return Err(IoError::Medium);
            }
            _ => {}
        }
        Ok(())
    }

    /// Fills whole blocks.
    fn fill(&self, offset: u64, data: &mut [u8]) {
        for (index, block) in data.chunks_exact_mut(self.block_size).enumerate() {
            let place = self.offset_bytes(offset, index);
            for period in block.chunks_exact_mut(PERIOD) {
                period[..OFFSET_BYTES].copy_from_slice(&place);
                period[OFFSET_BYTES..].copy_from_slice(&self.key);
            }
        }
    }

    /// The first byte of whole blocks that differs.
    fn compare(&self, offset: u64, data: &[u8]) -> Option<Difference> {
        for (index, block) in data.chunks_exact(self.block_size).enumerate() {
            let place = self.offset_bytes(offset, index);
            for (number, period) in block.chunks_exact(PERIOD).enumerate() {
                if period[..OFFSET_BYTES] != place || period[OFFSET_BYTES..] != self.key {
                    let mut pairs = place.iter().chain(&self.key).zip(period).enumerate();
                    let (at, (&expected, &found)) = pairs.find(|(_, (expected, found))| expected != found)?;
                    let before = index * self.block_size + number * PERIOD;
                    return Some(Difference { offset: offset + (before + at) as u64, expected, found });
                }
            }
        }
        None
    }

    fn offset_bytes(&self, offset: u64, index: usize) -> [u8; OFFSET_BYTES] {
        (offset + (index * self.block_size) as u64).to_le_bytes()
    }

    /// The address of the block that this one should be, if it is one of this device.
    fn true_lba(&self, block: &[u8]) -> Option<u64> {
        let (place, key) = block.get(..PERIOD)?.split_at(OFFSET_BYTES);
        let offset = u64::from_le_bytes(place.try_into().ok()?);
        let block_size = self.block_size as u64;
        (key == self.key && offset.is_multiple_of(block_size)).then_some(offset / block_size)
    }
}

impl Complaints {
    const INTERVAL_NS: u64 = 1_000_000_000;

    #[cold]
    fn differs(&mut self, pattern: &Pattern, difference: Difference, range: ByteRange, data: &[u8], now_ns: u64) {
        let Some(untold) = self.may_tell(now_ns) else { return };
        let block_size = pattern.block_size as u64;
        let Difference { offset, expected, found } = difference;
        let (lba, within) = (offset / block_size, offset % block_size);
        let at = ((lba * block_size - range.offset) as usize)..;
        let origin = match pattern.true_lba(&data[at]) {
            Some(other) if other != lba => format!("; it holds the data of LBA {other}"),
            _ => String::new(),
        };
        tracing::error!(
            "bdev {}: a write brought wrong data: LBA {lba}, byte {within}: {found:#04x} in place of {expected:#04x}{origin} (write of {} \
             blocks from LBA {}; {untold} more since the last such line)",
            pattern.name,
            range.len / block_size,
            range.offset / block_size,
        );
    }

    #[cold]
    fn zeroes(&mut self, pattern: &Pattern, range: ByteRange, now_ns: u64) {
        let Some(untold) = self.may_tell(now_ns) else { return };
        let block_size = pattern.block_size as u64;
        tracing::error!(
            "bdev {}: a pattern device cannot hold zeroes: {} blocks from LBA {} ({untold} more since the last such line)",
            pattern.name,
            range.len / block_size,
            range.offset / block_size,
        );
    }

    /// Once a second at most: where one byte is wrong many are. Gives the number of lines that were not written.
    fn may_tell(&mut self, now_ns: u64) -> Option<u64> {
        if self.last_ns.is_some_and(|last_ns| now_ns.saturating_sub(last_ns) < Complaints::INTERVAL_NS) {
            self.untold += 1;
            return None;
        }
        self.last_ns = Some(now_ns);
        Some(std::mem::take(&mut self.untold))
    }
}

/// Spreads a number over all 64 bits (the last step of SplitMix64).
fn scramble(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
#[path = "pattern_tests.rs"]
mod tests;
