use mem::{IoBuf, Pool, PoolLayout};

use super::super::tests::{backing, file, folder, options};
use super::super::{UringOptions, create};
use super::*;
use crate::bdev::{Bdev, Kind};
use crate::channel::{ByteRange, ChannelOptions};
use crate::io::{BlockIo, Op};

const BLOCK: usize = 4096;

fn pool(region: &Arc<Region>) -> Pool {
    let layout = PoolLayout { offset: 0, stride: BLOCK, size: BLOCK, count: region.len() / BLOCK };
    Pool::new(Arc::clone(region), layout)
}

fn shared(bdev: &Bdev) -> Arc<BackingFile> {
    let Kind::Uring(file) = &bdev.kind else { panic!("a file") };
    Arc::clone(file)
}

#[test]
fn data_in_a_registered_region_goes_by_its_number_and_other_data_by_its_address() {
    let dir = folder();
    let bdev = create(options(file(&dir, 8192))).expect("there");
    let file = shared(&bdev);
    let (known, unknown) = (mem::testing::region(BLOCK), mem::testing::region(BLOCK));
    if !Registered::is_free_of_charge() {
        eprintln!("skipped: RLIMIT_MEMLOCK lets nothing be registered");
        return;
    }
    let lane = Lane::new(&file, 4, &[Arc::clone(&known)], false).expect("a ring");
    for (region, read, write) in [
        (&known, opcode::ReadFixed::CODE, opcode::WriteFixed::CODE),
        (&unknown, opcode::Read::CODE, opcode::Write::CODE),
    ] {
        let pool = pool(region);
        for (op, code) in [(Op::Read, read), (Op::Write { fua: true }, write)] {
            let data = IoBuf::new(pool.get().expect("a buffer"), 512..1024);
            let io = BlockIo { op, lba: 0, blocks: 1, data: Some(data), tag: 0 };
            let mut operation = Operation::new(io, ByteRange { offset: 0, len: 512 }, 0);
            assert_eq!(entry(&mut operation, &file, &lane.buffers).get_opcode(), u32::from(code), "{op:?}");
        }
    }
}

#[test]
fn a_region_stays_mapped_as_long_as_it_is_registered() {
    let dir = folder();
    let bdev = create(options(file(&dir, 8192))).expect("there");
    let region = mem::testing::region(BLOCK);
    let channel = bdev.open_channel_with(ChannelOptions { depth: 1, regions: std::slice::from_ref(&region) });
    assert_eq!(Arc::strong_count(&region), if Registered::is_free_of_charge() { 2 } else { 1 });
    drop(channel);
    assert_eq!(Arc::strong_count(&region), 1);
}

/// What the kernel does not register is used as any memory is.
#[test]
fn a_ring_whose_buffers_are_refused_works_without() {
    let dir = folder();
    let bdev = create(options(file(&dir, 8192))).expect("there");
    let region = mem::testing::region(BLOCK);
    let mut lane = Lane::new(&shared(&bdev), 4, &[Arc::clone(&region)], false).expect("a ring");
    lane.buffers = Registered::default();
    lane.register(Registered::of(&[region])).expect_err("a ring takes one set of buffers");
    assert!(lane.buffers.is_empty());
}

/// Most kernels and devices refuse polled requests, here too: they must arrive all the same, each once.
#[test]
fn what_a_device_does_not_poll_goes_by_the_ordinary_ring() {
    const DEPTH: usize = 24;
    let dir = folder();
    let path = file(&dir, (DEPTH * BLOCK) as u64);
    let mut bdev = create(UringOptions { block_size: Some(BLOCK as u32), ..options(&path) }).expect("there");
    if bdev.info().buf_align == 1 {
        eprintln!("skipped: the folder for tests does no O_DIRECT");
        return;
    }
    backing(&mut bdev).polling = Some(Polling { len_max: BLOCK as u64, chunk: 0 });
    let region = mem::testing::region(DEPTH * BLOCK);
    let pool = pool(&region);
    let regions = std::slice::from_ref(&region);
    let mut channel = bdev.open_channel_with(ChannelOptions { depth: DEPTH, regions }).expect("a channel");
    for round in 0..4_u8 {
        for write in [true, false] {
            for lba in 0..DEPTH as u64 {
                let mut data = IoBuf::new(pool.get().expect("a buffer"), 0..BLOCK);
                data.bytes_mut().fill(if write { lba as u8 ^ round } else { 0xee });
                let op = if write { Op::Write { fua: lba % 3 == 0 } } else { Op::Read };
                channel.submit(BlockIo { op, lba, blocks: 1, data: Some(data), tag: lba }, 0).expect("room");
            }
            let mut ended = [false; DEPTH];
            while channel.in_flight() > 0 {
                channel.poll(0, &mut |done| {
                    assert_eq!(done.result, Ok(()));
                    assert!(!std::mem::replace(&mut ended[done.tag as usize], true), "twice");
                    let data = done.data.expect("it came back");
                    assert!(data.bytes().iter().all(|&byte| byte == done.tag as u8 ^ round));
                });
            }
            assert_eq!(ended, [true; DEPTH]);
        }
        channel.submit(BlockIo { op: Op::Flush, lba: 0, blocks: 0, data: None, tag: 0 }, 0).expect("room");
        while channel.in_flight() > 0 {
            channel.poll(0, &mut |done| assert_eq!(done.result, Ok(())));
        }
    }
    // And a channel that is dropped in the middle of it lets go of its buffers.
    for lba in 0..DEPTH as u64 {
        let data = Some(IoBuf::new(pool.get().expect("a buffer"), 0..BLOCK));
        channel.submit(BlockIo { op: Op::Read, lba, blocks: 1, data, tag: lba }, 0).expect("room");
    }
    channel.poll(0, &mut drop);
    drop(channel);
    assert_eq!(pool.available(), DEPTH);
}

/// Skipped where the folder for tests can be polled, which no ordinary disk can.
#[test]
fn polling_is_refused_by_name_where_it_is_not_to_be_had() {
    let dir = folder();
    let path = file(&dir, 8192);
    for direct in [None, Some(false)] {
        match create(UringOptions { iopoll: true, direct, ..options(&path) }) {
            Ok(_) => eprintln!("skipped: this disk can be polled"),
            Err(error) => assert!(error.to_string().starts_with("iopoll: "), "{error}"),
        }
    }
}
