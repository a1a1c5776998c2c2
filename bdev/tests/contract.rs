//! The contract of `lib.rs`, held against every device: to add a device, add a row to [`DEVICES`].

#[path = "contract/model.rs"]
mod model;
#[path = "contract/rig.rs"]
mod rig;

use std::sync::Arc;

use bdev::{IoError, Op};
use rig::{BLOCKS, DEPTH, Extent, Rig, for_each_device, io};

const WRITE: Op = Op::Write { fua: false };
const ZERO: Op = Op::WriteZeroes { unmap: false, fua: false };

#[test]
fn what_was_written_is_read_back_and_the_rest_is_zero() {
    for_each_device(|rig| {
        for (lba, blocks) in [(0, 1), (BLOCKS - 1, 1), (7, 9), (30, 64)] {
            rig.write(lba, blocks, lba as u8 + 1, false);
        }
        for (lba, blocks) in [(0, 1), (BLOCKS - 1, 1), (7, 9), (30, 64)] {
            rig.expect_filled(lba, blocks, lba as u8 + 1);
        }
        for (lba, blocks) in [(1, 6), (16, 14), (94, 32)] {
            rig.expect_filled(lba, blocks, 0);
        }
    });
}

#[test]
fn a_transfer_as_large_as_the_device_arrives_whole() {
    for_each_device(|rig| {
        rig.write(0, BLOCKS, 0x5a, false);
        rig.expect_filled(0, BLOCKS, 0x5a);
    });
}

#[test]
fn flush_and_fua_are_done_and_change_nothing() {
    for_each_device(|rig| {
        rig.write(3, 4, 1, true);
        rig.run(Op::Flush, 0, 0).expect("flush of all");
        rig.run(Op::Flush, 3, 4).expect("flush of a range");
        rig.write(5, 1, 2, true);
        rig.expect_filled(3, 2, 1);
        rig.expect_filled(5, 1, 2);
        rig.expect_filled(6, 1, 1);
    });
}

#[test]
fn unmapped_blocks_read_as_zeroes_where_the_device_says_so() {
    for_each_device(|rig| {
        rig.write(0, 64, 0xff, false);
        let result = rig.run(Op::Unmap, 8, 40);
        if !rig.bdev().info().unmap {
            assert_eq!(result, Err(IoError::Unsupported));
            return rig.expect_filled(0, 64, 0xff);
        }
        result.expect("unmap");
        if rig.bdev().info().unmap_zeroes {
            rig.expect_filled(8, 40, 0);
        }
        rig.expect_filled(0, 8, 0xff);
        rig.expect_filled(48, 16, 0xff);
    });
}

#[test]
fn allocation_status_takes_no_data_for_a_hole() {
    for_each_device(|rig| {
        if !rig.bdev().info().lba_status {
            assert_eq!(rig.lba_status(0), Err(IoError::Unsupported));
            return;
        }
        let deallocated = |extents: &[Extent], lba: u64| {
            extents.iter().any(|extent| (extent.lba..extent.lba + extent.blocks).contains(&lba) && extent.status == 1)
        };
        if rig.bdev().info().unmap {
            let fresh = rig.lba_status(0).expect("a list");
            assert_eq!(fresh, [Extent { lba: 0, blocks: BLOCKS, status: 1 }], "a file of our own is sparse");
        }
        for (lba, blocks) in [(0, 1), (50, 3), (99, 64), (BLOCKS - 1, 1)] {
            rig.write(lba, blocks, 0x66, false);
        }
        for start in [0, 1, 49, 50, 98, BLOCKS - 1] {
            let extents = rig.lba_status(start).expect("a list");
            let mut at = start;
            for extent in &extents {
                assert!(extent.lba == at && extent.status <= 1, "{extents:?}");
                at += extent.blocks;
            }
            assert_eq!(at, BLOCKS, "the list is long enough for all");
            for lba in [50, 52, 99, 162, BLOCKS - 1] {
                assert!(!deallocated(&extents, lba), "{lba} holds data: {extents:?}");
            }
        }
        let before = rig.lba_status(0).expect("a list");
        for lba in (0..BLOCKS).filter(|&lba| deallocated(&before, lba)) {
            rig.expect_filled(lba, 1, 0);
        }
        if rig.run(Op::Unmap, 0, BLOCKS).is_ok() {
            let mut extents = rig.lba_status(7).expect("a list");
            if rig.bdev().info().metadata.is_some() && extents.len() == 2 {
                // The file ends within a block of the file system, which keeps its space.
                let last = extents.pop().expect("two");
                assert!(last.status == 0 && last.blocks * rig.block_size() as u64 <= 4096 + 4104, "{last:?}");
                extents[0].blocks += last.blocks;
            }
            assert_eq!(extents, [Extent { lba: 7, blocks: BLOCKS - 7, status: 1 }]);
        }
        for lba in [BLOCKS, BLOCKS + 1, u64::MAX] {
            assert_eq!(rig.lba_status(lba), Err(IoError::OutOfRange), "{lba}");
        }
    });
}

#[test]
fn zeroes_are_written_to_their_range_and_nowhere_else() {
    for_each_device(|rig| {
        for (unmap, fua) in [(false, false), (false, true), (true, false), (true, true)] {
            rig.write(0, 64, 0xff, false);
            rig.run(Op::WriteZeroes { unmap, fua }, 9, 41).expect("write zeroes");
            rig.expect_filled(9, 41, 0);
            rig.expect_filled(0, 9, 0xff);
            rig.expect_filled(50, 14, 0xff);
        }
        rig.run(ZERO, 0, BLOCKS).expect("the whole device");
        rig.expect_filled(0, BLOCKS, 0);
    });
}

#[test]
fn ranges_that_leave_the_device_are_refused_and_touch_nothing() {
    for_each_device(|rig| {
        rig.write(0, BLOCKS, 0x77, false);
        let outside = [
            (BLOCKS, 1),
            (BLOCKS - 1, 2),
            (0, BLOCKS + 1),
            (BLOCKS + 1, 0),
            (u64::MAX, 1),
            (u64::MAX, 2),
            (1, u64::MAX),
        ];
        for (lba, blocks) in outside {
            for op in [Op::Unmap, ZERO, Op::Flush] {
                assert_eq!(rig.run(op, lba, blocks), Err(IoError::OutOfRange), "{op:?} {lba}+{blocks}");
            }
            for op in [Op::Read, WRITE] {
                // The buffer is of a length that fits, or as near as can be: it must come back untouched.
                let data = rig.buffer(blocks.min(2), 0x11);
                let (result, data) = rig.run_with(io(op, lba, blocks, Some(data)));
                assert_eq!(result, Err(IoError::OutOfRange), "{op:?} {lba}+{blocks}");
                assert!(data.expect("it came back").bytes().iter().all(|&byte| byte == 0x11));
            }
        }
        rig.expect_filled(0, BLOCKS, 0x77);
    });
}

#[test]
fn operations_on_no_blocks_succeed_up_to_the_very_end() {
    for_each_device(|rig| {
        for lba in [0, BLOCKS] {
            for op in [Op::Read, WRITE, ZERO, Op::Flush] {
                assert_eq!(rig.run(op, lba, 0), Ok(()), "{op:?} at {lba}");
            }
        }
        let data = rig.buffer(0, 0);
        let (result, data) = rig.run_with(io(Op::Read, 0, 0, Some(data)));
        assert!(result.is_ok() && data.is_some());
    });
}

#[test]
fn beyond_its_depth_a_channel_gives_operations_back() {
    for_each_device(|rig| {
        for tag in 0..DEPTH as u64 {
            let operation = rig.tagged(Op::Read, tag, 1, tag);
            rig.channel().submit(operation, 0).expect("room");
        }
        assert_eq!(rig.channel().in_flight(), DEPTH);
        let extra = rig.tagged(Op::Read, 5, 1, 999);
        let extra = rig.channel().submit(extra, 0).expect_err("full");
        assert_eq!(
            (extra.tag, extra.lba, extra.data.as_ref().map(|data| data.len())),
            (999, 5, Some(rig.block_size()))
        );
        let outside = rig.channel().submit(io(ZERO, u64::MAX, 1, None), 0).expect_err("full for bad ones, too");
        assert_eq!(outside.lba, u64::MAX);
        let mut tags = rig.drain();
        tags.sort_unstable();
        assert_eq!(tags, (0..DEPTH as u64).collect::<Vec<_>>());
        rig.channel().submit(extra, 0).expect("room again");
        assert_eq!(rig.drain(), [999]);
    });
}

#[test]
fn every_operation_ends_once_with_its_tag_and_its_buffer() {
    for_each_device(|rig| {
        for round in 0..20_u64 {
            let mut expected = Vec::new();
            for n in 0..DEPTH as u64 {
                let tag = round << 32 | n;
                let ops = [Op::Read, WRITE, Op::Write { fua: true }, Op::Flush, ZERO, Op::Unmap, Op::LbaStatus];
                let op = ops[n as usize % ops.len()];
                // Every eighth lies outside.
                let lba = if n % 8 == 7 { BLOCKS } else { n };
                let operation = rig.tagged(op, lba, 1, tag);
                rig.channel().submit(operation, 0).expect("room");
                expected.push(tag);
            }
            let mut tags = rig.drain();
            tags.sort_unstable();
            assert_eq!(tags, expected);
            assert_eq!((rig.channel().in_flight(), rig.buffers_out()), (0, 0));
        }
        assert_eq!(rig.channel().poll(0, &mut |done| panic!("{done:?} a second time")), 0);
    });
}

#[test]
fn what_one_channel_wrote_another_thread_s_channel_reads() {
    for_each_device(|rig| {
        rig.write(11, 3, 0xc3, false);
        let bdev = Arc::clone(rig.bdev());
        let stores = rig.stores();
        let other = std::thread::spawn(move || {
            let mut other = Rig::on(bdev, stores);
            other.expect_filled(11, 3, 0xc3);
            other.run(Op::Flush, 0, 0).expect("covers the first channel's writes, too");
            other.write(11, 1, 0x3c, false);
        });
        other.join().expect("the other thread");
        rig.expect_filled(11, 1, 0x3c);
        rig.expect_filled(12, 2, 0xc3);
    });
}

#[test]
fn a_dropped_channel_lets_go_of_every_buffer() {
    for_each_device(|rig| {
        for polls in [0, 1] {
            for n in 0..DEPTH as u64 {
                let operation = rig.tagged(if n % 2 == 0 { Op::Read } else { WRITE }, n, 1, n);
                rig.channel().submit(operation, 0).expect("room");
            }
            for _ in 0..polls {
                rig.channel().poll(0, &mut |_| {});
            }
            rig.reopen();
            assert_eq!(rig.buffers_out(), 0);
        }
        rig.write(0, 1, 1, false);
    });
}

#[test]
fn statistics_count_what_was_done() {
    for_each_device(|rig| {
        let block_size = rig.block_size() as u64;
        let before = rig.bdev().io_stat();
        assert_eq!(before, bdev::IoStatSnapshot::default());
        rig.at(1_000).write(0, 2, 1, false);
        rig.at(5_000).run(Op::Flush, 0, 0).expect("flush");
        rig.run(ZERO, 0, 3).expect("zero");
        rig.run(Op::Read, BLOCKS, 1).expect_err("outside");
        rig.reopen();
        let read = rig.tagged(Op::Read, 0, 1, 0);
        rig.channel().submit(read, 7_000).expect("room");
        rig.at(7_500).drain();
        let stat = rig.bdev().io_stat();
        assert_eq!((stat.num_read_ops, stat.bytes_read), (1, block_size));
        if !rig.needs_time() {
            assert_eq!((stat.read_latency_ns, stat.min_read_latency_ns, stat.max_read_latency_ns), (500, 500, 500));
        }
        assert_eq!((stat.num_write_ops, stat.bytes_written), (1, 2 * block_size));
        assert_eq!((stat.num_write_zeroes_ops, stat.bytes_zeroed), (1, 3 * block_size));
        assert_eq!((stat.num_flush_ops, stat.num_unmap_ops, stat.num_failed_ops), (1, 0, 1));
    });
}

#[test]
fn a_channel_of_impossible_depth_is_refused() {
    for_each_device(|rig| {
        for depth in [0, 32769, usize::MAX] {
            let error = rig.bdev().open_channel(depth).expect_err("out of range").to_string();
            assert!(error.contains(&depth.to_string()), "{error}");
        }
        rig.bdev().open_channel(1).expect("the least");
    });
}

#[test]
#[should_panic(expected = "512 bytes of data for Read of 2 blocks")]
fn data_of_another_length_than_the_range_is_our_bug() {
    let mut rig = Rig::null();
    let data = rig.buffer(1, 0);
    let _ = rig.channel().submit(io(Op::Read, 0, 2, Some(data)), 0);
}

/// What one disk in memory held is not in the next one, which may stand on the same pages at the same address.
#[test]
fn a_disk_in_memory_is_zeroes_whatever_its_memory_held_before() {
    for block_size in [512, 4096] {
        for _ in 0..4 {
            let mut rig = Rig::on(rig::make_malloc(block_size), true);
            rig.expect_filled(0, BLOCKS, 0);
            rig.write(0, BLOCKS, 0xa5, false);
            rig.expect_filled(0, BLOCKS, 0xa5);
        }
    }
}
