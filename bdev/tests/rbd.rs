//! Images of a Ceph cluster beyond the contract. `scripts/ceph-check.sh` makes a cluster and names the image; without that these
//! tests say that they skip.

#![cfg(feature = "rbd")]

use std::collections::BTreeMap;
use std::sync::Arc;

use bdev::rbd::{self, Cluster, ClusterOptions, RbdOptions};
use bdev::{BlockIo, IoError, Op};
use mem::IoBuf;

/// The image, as POOL/IMAGE.
fn image() -> Option<(String, String)> {
    let image = std::env::var("BDEV_TEST_RBD_IMAGE").ok();
    if image.is_none() {
        eprintln!("skipped: there is no cluster; scripts/ceph-check.sh makes one");
    }
    image.map(|image| image.split_once('/').map(|(pool, name)| (pool.into(), name.into())).expect("POOL/IMAGE"))
}

fn options(pool: &str, image: &str, block_size: u32) -> RbdOptions {
    let (pool_name, rbd_name) = (pool.to_owned(), image.to_owned());
    RbdOptions { name: "rbd".to_owned(), pool_name, rbd_name, block_size, ..RbdOptions::default() }
}

fn refusal(options: RbdOptions, cluster: &Arc<Cluster>) -> String {
    rbd::create(options, cluster).expect_err("it must be refused").to_string()
}

#[test]
fn what_is_wrong_is_named() {
    let Some((pool, name)) = image() else { return };
    let cluster = Cluster::connect(ClusterOptions::default()).expect("a cluster");
    assert!(refusal(options("nopool", &name, 512), &cluster).starts_with("pool_name: nopool"));
    assert!(refusal(options(&pool, "noimage", 512), &cluster).starts_with("rbd_name: noimage"));
    assert!(refusal(options(&pool, "no\0image", 512), &cluster).starts_with("rbd_name: "));
    assert!(refusal(options(&pool, &name, 500), &cluster).starts_with("block_size: "));
    let connect = |options| Cluster::connect(options).expect_err("it must be refused").to_string();
    let config_file = Some("/nowhere/ceph.conf".to_owned());
    assert!(connect(ClusterOptions { config_file, ..ClusterOptions::default() }).starts_with("config_file: /nowhere"));
    let config = BTreeMap::from([("no_such_option".to_owned(), "1".to_owned())]);
    assert!(connect(ClusterOptions { config, ..ClusterOptions::default() }).starts_with("config: "));
    let config = BTreeMap::from([
        ("mon_host".to_owned(), "127.0.0.1:1".to_owned()),
        ("client_mount_timeout".to_owned(), "1".to_owned()),
    ]);
    let error = connect(ClusterOptions { config, ..ClusterOptions::default() });
    assert!(error.contains("cannot be reached"), "{error}");
}

#[test]
fn two_cores_share_an_image_and_another_opening_reads_what_was_flushed() {
    let Some((pool, name)) = image() else { return };
    let open = || {
        let cluster = Cluster::connect(ClusterOptions::default()).expect("a cluster");
        rbd::create(options(&pool, &name, 512), &cluster).expect("an image")
    };
    let bdev = open();
    assert!(bdev.info().write_cache && bdev.info().unmap);
    std::thread::scope(|scope| {
        for core in 0..2u8 {
            let bdev = Arc::clone(&bdev);
            scope.spawn(move || {
                let (mut channel, pool) = (bdev.open_channel(8).expect("a channel"), mem::testing::pool(512, 8));
                for round in 0..20u64 {
                    let mut data = IoBuf::new(pool.get().expect("a buffer"), 0..512);
                    data.bytes_mut().fill(core + 1);
                    let lba = 2 * round + u64::from(core);
                    let io = BlockIo { op: Op::Write { fua: round == 19 }, lba, blocks: 1, data: Some(data), tag: 0 };
                    channel.submit(io, 0).expect("room");
                    wait(&mut channel).expect("written");
                }
                let flush = BlockIo { op: Op::Flush, lba: 0, blocks: 0, data: None, tag: 0 };
                channel.submit(flush, 0).expect("room");
                wait(&mut channel).expect("flushed");
            });
        }
    });
    drop(bdev);
    let bdev = open();
    let (mut channel, pool) = (bdev.open_channel(1).expect("a channel"), mem::testing::pool(40 * 512, 1));
    let data = IoBuf::new(pool.get().expect("a buffer"), 0..40 * 512);
    channel.submit(BlockIo { op: Op::Read, lba: 0, blocks: 40, data: Some(data), tag: 0 }, 0).expect("room");
    let mut read = Vec::new();
    while read.is_empty() {
        channel.poll(0, &mut |done| read.extend_from_slice(done.data.expect("came back").bytes()));
    }
    for (block, bytes) in read.chunks(512).enumerate() {
        assert!(bytes.iter().all(|&byte| usize::from(byte) == block % 2 + 1), "block {block}");
    }
}

#[test]
fn a_size_changes_both_ways_and_what_lies_beyond_is_refused() {
    let Some((pool, name)) = image() else { return };
    let cluster = Cluster::connect(ClusterOptions::default()).expect("a cluster");
    let bdev = rbd::create(options(&pool, &name, 512), &cluster).expect("an image");
    let before = bdev.num_blocks();
    let mut channel = bdev.open_channel(1).expect("a channel");
    let buffers = mem::testing::pool(512, 1);
    let mut read = |lba| {
        let data = IoBuf::new(buffers.get().expect("a buffer"), 0..512);
        channel.submit(BlockIo { op: Op::Read, lba, blocks: 1, data: Some(data), tag: 0 }, 0).expect("room");
        wait(&mut channel)
    };
    assert_eq!(read(before), Err(IoError::OutOfRange));
    rbd::resize(&bdev, (before + 8) * 512).expect("grown");
    assert_eq!((bdev.num_blocks(), read(before)), (before + 8, Ok(())));
    rbd::resize(&bdev, before * 512).expect("as before");
    assert_eq!((bdev.num_blocks(), read(before)), (before, Err(IoError::OutOfRange)));
    let error = rbd::resize(&bdev, 1000).expect_err("no whole blocks").to_string();
    assert!(error.starts_with("new_size: "), "{error}");
}

fn wait(channel: &mut bdev::Channel) -> Result<(), IoError> {
    let mut result = None;
    while result.is_none() {
        channel.poll(0, &mut |done| result = Some(done.result));
        std::thread::yield_now();
    }
    result.expect("ended")
}
