use std::sync::Arc;

use mem::{IoBuf, Pool};
use proptest::prelude::*;

use super::*;
use crate::bdev::Bdev;
use crate::channel::Channel;
use crate::null::{self, NullOptions};

fn device(block_size: u32) -> Arc<Bdev> {
    let name = "pattern".to_owned();
    null::create(NullOptions { name, num_blocks: 1000, block_size, pattern: true, ..NullOptions::default() })
        .expect("null")
}

fn pattern(block_size: u32, uuid: u128) -> Pattern {
    Pattern::new("n", block_size, Uuid::from_u128(uuid))
}

struct Rig {
    channel: Channel,
    pool: Pool,
    block_size: usize,
}

impl Rig {
    fn new(block_size: u32) -> Rig {
        let channel = device(block_size).open_channel(4).expect("a channel");
        Rig { channel, pool: mem::testing::pool(8 * block_size as usize, 1), block_size: block_size as usize }
    }

    fn run(&mut self, op: Op, lba: u64, blocks: u64, data: Option<&[u8]>) -> (Result<(), IoError>, Vec<u8>) {
        let data = data.map(|bytes| {
            let mut data = IoBuf::new(self.pool.get().expect("a buffer"), 0..bytes.len());
            data.bytes_mut().copy_from_slice(bytes);
            data
        });
        self.channel.submit(BlockIo { op, lba, blocks, data, tag: 0 }, 0).expect("room");
        let mut outcome = None;
        self.channel.poll(0, &mut |done| {
            let bytes = done.data.map_or_else(Vec::new, |data| data.bytes().to_vec());
            outcome = Some((done.result, bytes));
        });
        outcome.expect("it is done")
    }

    fn read(&mut self, lba: u64, blocks: u64) -> Vec<u8> {
        let stale = vec![0xee; blocks as usize * self.block_size];
        let (result, bytes) = self.run(Op::Read, lba, blocks, Some(&stale));
        result.expect("a read");
        bytes
    }

    fn write(&mut self, lba: u64, bytes: &[u8]) -> Result<(), IoError> {
        self.run(Op::Write { fua: true }, lba, (bytes.len() / self.block_size) as u64, Some(bytes)).0
    }
}

#[test]
fn what_was_read_may_be_written_to_its_place_and_nowhere_else() {
    for block_size in [512, 1024, 2048, 4096] {
        let mut rig = Rig::new(block_size);
        let blocks = rig.read(7, 3);
        assert_eq!(rig.write(7, &blocks), Ok(()));
        assert_eq!(rig.write(8, &blocks), Err(IoError::Medium));
        assert_eq!(rig.write(9, &blocks[2 * rig.block_size..]), Ok(()));
        // Every single byte counts.
        for at in (0..blocks.len()).step_by(509).chain([blocks.len() - 1]) {
            let mut wrong = blocks.clone();
            wrong[at] ^= 0x10;
            assert_eq!(rig.write(7, &wrong), Err(IoError::Medium), "byte {at}");
        }
        assert_eq!(rig.channel.bdev().io_stat().num_write_ops, 2);
    }
}

#[test]
fn zeroes_are_an_error_and_there_is_no_unmap() {
    let mut rig = Rig::new(512);
    let info = rig.channel.bdev().info();
    assert!(!info.unmap && !info.unmap_zeroes && !info.write_zeroes);
    assert_eq!(rig.run(Op::WriteZeroes { unmap: false, fua: false }, 0, 1, None).0, Err(IoError::Medium));
    assert_eq!(rig.run(Op::WriteZeroes { unmap: true, fua: false }, 0, 0, None).0, Ok(()));
    assert_eq!(rig.run(Op::Unmap, 0, 1, None).0, Err(IoError::Unsupported));
    assert_eq!(rig.run(Op::Flush, 0, 0, None).0, Ok(()));
    assert_eq!(rig.write(3, &[0; 512]), Err(IoError::Medium));
}

#[test]
fn a_block_tells_where_it_belongs() {
    let pattern = pattern(4096, 1);
    let mut block = vec![0; 4096];
    pattern.fill(5 * 4096, &mut block);
    assert_eq!(block[..8], (5_u64 * 4096).to_le_bytes());
    assert_eq!(block[512..520], (5_u64 * 4096).to_le_bytes());
    assert_eq!(pattern.true_lba(&block), Some(5));
    let difference = pattern.compare(6 * 4096, &block).expect("it belongs elsewhere");
    assert_eq!((difference.offset, difference.expected, difference.found), (6 * 4096 + 1, 0x60, 0x50));
    block[8] ^= 1;
    assert_eq!(pattern.true_lba(&block), None);
    assert_eq!(pattern.compare(5 * 4096, &block).expect("changed").offset, 5 * 4096 + 8);
}

#[test]
fn devices_and_words_are_told_apart() {
    let (one, two) = (pattern(512, 1), pattern(512, 2));
    let mut block = vec![0; 512];
    one.fill(0, &mut block);
    assert_eq!(two.compare(0, &block).expect("another device's").offset, 8);
    let mut words: Vec<_> = one.key.chunks_exact(8).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), KEY_BYTES / 8);
    // The same device has the same pattern after a restart.
    assert_eq!(one.key, pattern(4096, 1).key);
}

#[test]
fn fio_is_told_the_key_in_hex() {
    let pattern = pattern(512, 1);
    let text = pattern.for_fio();
    let digits = text.strip_prefix("%o0x").expect("the offset, then the key");
    let bytes = digits.as_bytes().chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).expect("hex"), 16));
    assert_eq!(bytes.collect::<Result<Vec<u8>, _>>().expect("hex"), pattern.key);
}

#[test]
fn one_complaint_a_second_is_enough() {
    let mut complaints = Complaints::default();
    let told: Vec<_> =
        [0, 1, 999_999_999, 1_000_000_000, 3_000_000_000].map(|now_ns| complaints.may_tell(now_ns)).into();
    assert_eq!(told, [Some(0), None, None, Some(2), Some(0)]);
}

proptest! {
    #[test]
    fn the_first_wrong_byte_is_found(
        block_size in proptest::sample::select(vec![512_u32, 1024, 4096]), lba in 0_u64..1 << 40, blocks in 1_usize..5, uuid: u128,
        at: proptest::sample::Index, flip in 1_u8..,
    ) {
        let pattern = pattern(block_size, uuid);
        let offset = lba * u64::from(block_size);
        let mut data = vec![0xee; blocks * block_size as usize];
        pattern.fill(offset, &mut data);
        prop_assert_eq!(pattern.compare(offset, &data), None);
        let at = at.index(data.len());
        let expected = data[at];
        data[at] ^= flip;
        let difference = pattern.compare(offset, &data).expect("it differs");
        prop_assert_eq!(difference, Difference { offset: offset + at as u64, expected, found: expected ^ flip });
    }
}
