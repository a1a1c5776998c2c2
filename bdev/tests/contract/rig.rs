//! A device with a channel and a pool of buffers, and the table of all devices.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bdev::delay::{self, DelayOptions, Latencies};
use bdev::error;
use bdev::malloc::{self, MallocOptions};
use bdev::null::{self, NullOptions};
use bdev::split::{self, SplitOptions};
use bdev::uring::{self, Allocate, Engine, Product, UringOptions};
use bdev::{Bdev, BlockIo, Channel, ChannelOptions, Done, IoError, Metadata, Op, ProtectionType, QosLimits};
use mem::{IoBuf, Pool, PoolLayout, Region};
use tempfile::TempDir;

/// Size of every device under test.
pub const BLOCKS: u64 = 200;
/// Depth of every channel under test: not a power of two.
pub const DEPTH: usize = 30;

struct Device {
    name: &'static str,
    /// Whether it keeps what is written; otherwise it reads as zeroes.
    stores: bool,
    /// Whether channels are told where the buffers lie.
    regions: bool,
    make: fn(&Path) -> Arc<Bdev>,
}

/// Every device, in every mode that has code of its own. (But not null with a pattern, which refuses what tests write: its tests are its own.)
const DEVICES: &[Device] = &[
    Device { name: "null", stores: false, regions: false, make: |_| make_null() },
    Device { name: "malloc 512", stores: true, regions: false, make: |_| make_malloc(512) },
    Device { name: "malloc 4096", stores: true, regions: false, make: |_| make_malloc(4096) },
    Device {
        name: "uring 512",
        stores: true,
        regions: false,
        make: |dir| make_uring(dir, 512, UringOptions::default()),
    },
    Device {
        name: "uring 4096, as aio",
        stores: true,
        regions: false,
        make: |dir| make_uring(dir, 4096, UringOptions { product: Product::Aio, ..UringOptions::default() }),
    },
    Device {
        name: "uring through the page cache",
        stores: true,
        regions: false,
        make: |dir| make_uring(dir, 512, UringOptions { direct: Some(false), ..UringOptions::default() }),
    },
    Device {
        name: "uring write-through",
        stores: true,
        regions: false,
        make: |dir| make_uring(dir, 1024, UringOptions { write_through: true, ..UringOptions::default() }),
    },
    Device { name: "uring on tmpfs", stores: true, regions: false, make: |dir| on_tmpfs(dir, UringOptions::default()) },
    Device { name: "aio 512", stores: true, regions: false, make: |dir| make_uring(dir, 512, aio()) },
    Device { name: "aio 4096", stores: true, regions: false, make: |dir| make_uring(dir, 4096, aio()) },
    Device {
        name: "uring write-through and the page cache",
        stores: true,
        regions: false,
        make: |dir| {
            let options = UringOptions { write_through: true, direct: Some(false), ..UringOptions::default() };
            make_uring(dir, 512, options)
        },
    },
    Device {
        name: "uring on a cache that is not volatile",
        stores: true,
        regions: false,
        make: |dir| make_uring(dir, 512, UringOptions { nv_cache: true, ..UringOptions::default() }),
    },
    Device {
        name: "uring on a file that keeps its space",
        stores: true,
        regions: false,
        make: |dir| make_uring(dir, 4096, UringOptions { allocate: Allocate::Full, ..UringOptions::default() }),
    },
    Device {
        name: "uring with registered buffers",
        stores: true,
        regions: true,
        make: |dir| make_uring(dir, 512, UringOptions::default()),
    },
    Device {
        name: "uring with registered buffers through the page cache",
        stores: true,
        regions: true,
        make: |dir| make_uring(dir, 512, UringOptions { direct: Some(false), ..UringOptions::default() }),
    },
    Device {
        name: "aio through the page cache",
        stores: true,
        regions: false,
        make: |dir| make_uring(dir, 512, UringOptions { direct: Some(false), ..aio() }),
    },
    Device {
        name: "aio write-through",
        stores: true,
        regions: false,
        make: |dir| make_uring(dir, 1024, UringOptions { write_through: true, ..aio() }),
    },
    Device {
        name: "aio write-through the page cache",
        stores: true,
        regions: false,
        make: |dir| make_uring(dir, 512, UringOptions { write_through: true, direct: Some(false), ..aio() }),
    },
    Device { name: "aio on tmpfs", stores: true, regions: false, make: |dir| on_tmpfs(dir, aio()) },
    Device {
        name: "null with metadata",
        stores: false,
        regions: false,
        make: |_| {
            let options = NullOptions {
                name: "null".to_owned(),
                num_blocks: BLOCKS,
                metadata: METADATA,
                ..NullOptions::default()
            };
            null::create(options).expect("null")
        },
    },
    Device { name: "malloc 512 with metadata", stores: true, regions: false, make: |_| malloc_with(512) },
    Device { name: "malloc 4096 with metadata", stores: true, regions: false, make: |_| malloc_with(4096) },
    Device {
        name: "uring 512 with metadata",
        stores: true,
        regions: false,
        make: |dir| make_uring(dir, 512, UringOptions { metadata: METADATA, ..UringOptions::default() }),
    },
    Device {
        name: "uring 4096 with metadata, registered buffers, a cache that is not volatile",
        stores: true,
        regions: true,
        make: |dir| {
            make_uring(dir, 4096, UringOptions { metadata: METADATA, nv_cache: true, ..UringOptions::default() })
        },
    },
    Device {
        name: "aio 512 with metadata",
        stores: true,
        regions: false,
        make: |dir| make_uring(dir, 512, UringOptions { metadata: METADATA, ..aio() }),
    },
    Device {
        name: "uring 512 with metadata on tmpfs",
        stores: true,
        regions: false,
        make: |dir| on_tmpfs(dir, UringOptions { metadata: METADATA, ..UringOptions::default() }),
    },
    Device {
        name: "delay on error on split on a limited device with metadata",
        stores: true,
        regions: false,
        make: |dir| {
            let base = uring_of(3 * BLOCKS, dir, 512, UringOptions { metadata: METADATA, ..UringOptions::default() });
            base.set_qos_limits(HIGH);
            make_delay(&make_error(&make_split(&base)), SLOW)
        },
    },
    Device {
        name: "delay of nothing",
        stores: true,
        regions: false,
        make: |_| make_delay(&make_malloc(512), Latencies::default()),
    },
    Device {
        name: "delay on uring",
        stores: true,
        regions: false,
        make: |dir| make_delay(&make_uring(dir, 4096, UringOptions::default()), SLOW),
    },
    Device { name: "error, none injected", stores: true, regions: false, make: |_| make_error(&make_malloc(4096)) },
    Device {
        name: "split, the middle part",
        stores: true,
        regions: false,
        make: |_| make_split(&malloc_of(3 * BLOCKS, 512)),
    },
    Device {
        name: "split, the middle part, on uring",
        stores: true,
        regions: false,
        make: |dir| make_split(&uring_of(3 * BLOCKS, dir, 512, UringOptions::default())),
    },
    Device {
        name: "high rate limits",
        stores: true,
        regions: false,
        make: |_| {
            let bdev = make_malloc(512);
            bdev.set_qos_limits(HIGH);
            bdev
        },
    },
    Device {
        name: "delay on error on split on a limited device",
        stores: true,
        regions: false,
        make: |_| {
            let base = malloc_of(3 * BLOCKS, 512);
            base.set_qos_limits(HIGH);
            make_delay(&make_error(&make_split(&base)), SLOW)
        },
    },
];

const METADATA: Option<Metadata> = Some(Metadata { bytes: 8, protection: ProtectionType::Type1 });

fn malloc_with(block_size: u32) -> Arc<Bdev> {
    let name = "malloc".to_owned();
    let options =
        MallocOptions { name, num_blocks: BLOCKS, block_size, metadata: METADATA, ..MallocOptions::default() };
    malloc::create(options).expect("malloc")
}

fn aio() -> UringOptions {
    UringOptions { engine: Engine::Aio, ..UringOptions::default() }
}

/// On the test's folder where there is no tmpfs.
fn on_tmpfs(dir: &Path, options: UringOptions) -> Arc<Bdev> {
    let shm = Path::new("/dev/shm").is_dir().then(|| TempDir::new_in("/dev/shm").expect("a folder there"));
    // The file lives on, without its name, as long as the device.
    make_uring(shm.as_ref().map_or(dir, TempDir::path), 512, options)
}

/// In microseconds: the clock of the devices that need one moves by one with each poll.
const SLOW: Latencies = Latencies { avg_read: 2, p99_read: 5, avg_write: 3, p99_write: 5 };

/// So high that a microsecond lets a few operations through, and so low that others wait.
const HIGH: QosLimits = QosLimits {
    rw_ios_per_sec: 5_000_000,
    r_ios_per_sec: 4_000_000,
    w_ios_per_sec: 3_000_000,
    rw_bytes_per_sec: 10_000_000_000,
    r_bytes_per_sec: 8_000_000_000,
    w_bytes_per_sec: 6_000_000_000,
};

fn make_delay(base: &Arc<Bdev>, latencies: Latencies) -> Arc<Bdev> {
    delay::create(base, DelayOptions { name: "delay".to_owned(), uuid: None, latencies }).expect("delay")
}

fn make_error(base: &Arc<Bdev>) -> Arc<Bdev> {
    error::create(base, None).expect("error")
}

fn make_split(base: &Arc<Bdev>) -> Arc<Bdev> {
    split::create(base, SplitOptions { split_count: 3, ..SplitOptions::default() }).expect("split").swap_remove(1)
}

fn make_null() -> Arc<Bdev> {
    let options = NullOptions { name: "null".to_owned(), num_blocks: BLOCKS, ..NullOptions::default() };
    null::create(options).expect("null")
}

pub fn make_malloc(block_size: u32) -> Arc<Bdev> {
    malloc_of(BLOCKS, block_size)
}

fn malloc_of(num_blocks: u64, block_size: u32) -> Arc<Bdev> {
    malloc::create(MallocOptions { name: "malloc".to_owned(), num_blocks, block_size, ..MallocOptions::default() })
        .expect("malloc")
}

fn make_uring(dir: &Path, block_size: u32, options: UringOptions) -> Arc<Bdev> {
    uring_of(BLOCKS, dir, block_size, options)
}

fn uring_of(num_blocks: u64, dir: &Path, block_size: u32, options: UringOptions) -> Arc<Bdev> {
    let options = UringOptions {
        name: "uring".to_owned(),
        filename: dir.join("disk"),
        block_size: Some(block_size),
        size: Some(num_blocks * u64::from(block_size + options.metadata.map_or(0, |metadata| metadata.bytes))),
        ..options
    };
    uring::create(options).expect("uring")
}

/// Names a block device of exactly `BLOCKS` * 512 bytes, whose content is lost, to hold it against the contract, too:
/// `losetup --find --show FILE`, then the tests with `--test-threads=1`, since it has one owner at a time.
const BLOCK_DEVICE: &str = "BDEV_TEST_BLOCK_DEVICE";

/// Set beside it, completions are polled for, which wants a device that has poll queues.
const IOPOLL: &str = "BDEV_TEST_IOPOLL";

/// Runs a test over every device; the name of the device is printed for the one that fails.
pub fn for_each_device(test: impl Fn(&mut Rig)) {
    if let Some(device) = std::env::var_os(BLOCK_DEVICE) {
        eprintln!("{}", Path::new(&device).display());
        for engine in [Engine::Uring, Engine::Aio] {
            test(&mut on_block_device(Path::new(&device), engine));
        }
    }
    #[cfg(feature = "rbd")]
    if let Ok(image) = std::env::var(RBD_IMAGE) {
        eprintln!("{image}");
        return test(&mut on_rbd_image(&image));
    }
    for device in DEVICES {
        eprintln!("{}", device.name);
        let dir = TempDir::new().expect("a folder for a test");
        test(&mut Rig::with((device.make)(dir.path()), device.stores, device.regions));
    }
}

fn on_block_device(device: &Path, engine: Engine) -> Rig {
    let iopoll = engine == Engine::Uring && std::env::var_os(IOPOLL).is_some();
    let (name, filename) = ("device".to_owned(), device.to_owned());
    let options = UringOptions { name, filename, iopoll, engine, ..UringOptions::default() };
    let clean = Op::WriteZeroes { unmap: false, fua: false };
    Rig::on(uring::create(options.clone()).expect("a block device"), true).run(clean, 0, BLOCKS).expect("clean");
    let bdev = uring::create(options).expect("a block device");
    assert_eq!(bdev.num_blocks(), BLOCKS, "{BLOCK_DEVICE} has the wrong size");
    Rig::on(bdev, true)
}

/// Names an image of exactly `BLOCKS` * 512 bytes as POOL/IMAGE, whose content is lost, to hold it against the contract instead
/// of all others. $CEPH_CONF says where the cluster is. `scripts/ceph-check.sh` makes one.
#[cfg(feature = "rbd")]
const RBD_IMAGE: &str = "BDEV_TEST_RBD_IMAGE";

#[cfg(feature = "rbd")]
fn on_rbd_image(image: &str) -> Rig {
    use bdev::rbd::{self, Cluster, ClusterOptions, RbdOptions};
    let (pool, image) = image.split_once('/').expect("POOL/IMAGE");
    let cluster = Cluster::connect(ClusterOptions::default()).expect("a cluster");
    let options = RbdOptions {
        name: "rbd".to_owned(),
        pool_name: pool.to_owned(),
        rbd_name: image.to_owned(),
        block_size: 512,
        ..RbdOptions::default()
    };
    let clean = Op::WriteZeroes { unmap: false, fua: false };
    Rig::on(rbd::create(options.clone(), &cluster).expect("an image"), true).run(clean, 0, BLOCKS).expect("clean");
    let bdev = rbd::create(options, &cluster).expect("an image");
    assert_eq!(bdev.num_blocks(), BLOCKS, "{RBD_IMAGE} has the wrong size");
    Rig::on(bdev, true)
}

/// An LBA status descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    pub lba: u64,
    pub blocks: u64,
    pub status: u8,
}

/// What a test works with.
pub struct Rig {
    bdev: Arc<Bdev>,
    channel: Option<Channel>,
    /// Buffers of one block.
    small: Pool,
    /// One buffer as large as the device, and one to spare.
    large: Pool,
    stores: bool,
    /// What channels are told of where the buffers lie.
    regions: Vec<Arc<Region>>,
    now_ns: u64,
    /// What a poll adds to the clock: devices that hold operations back would wait for ever for a clock that stands.
    tick_ns: u64,
}

/// Whether a device, or one that it stands on, holds operations back for a time.
fn needs_time(bdev: &Bdev) -> bool {
    let slow = delay::latencies(bdev).is_some_and(|latencies| latencies != Latencies::default());
    slow || bdev.qos_limits() != QosLimits::default() || bdev.base().is_some_and(|base| needs_time(base))
}

impl Rig {
    pub fn on(bdev: Arc<Bdev>, stores: bool) -> Rig {
        Rig::with(bdev, stores, false)
    }

    fn with(bdev: Arc<Bdev>, stores: bool, regions: bool) -> Rig {
        let block_size = bdev.info().block_size as usize;
        let (small, small_region) = pool(block_size, DEPTH + 1);
        let (large, large_region) = pool(block_size * BLOCKS as usize, 2);
        let regions = if regions { vec![large_region, small_region] } else { Vec::new() };
        let tick_ns = if needs_time(&bdev) { 1000 } else { 0 };
        let mut rig = Rig { bdev, channel: None, small, large, stores, regions, now_ns: 0, tick_ns };
        rig.reopen();
        rig
    }

    pub fn null() -> Rig {
        Rig::on(make_null(), false)
    }

    pub fn bdev(&self) -> &Arc<Bdev> {
        &self.bdev
    }

    pub fn stores(&self) -> bool {
        self.stores
    }

    pub fn block_size(&self) -> usize {
        self.bdev.info().block_size as usize
    }

    pub fn channel(&mut self) -> &mut Channel {
        self.channel.as_mut().expect("open")
    }

    /// Drops the channel and opens another.
    pub fn reopen(&mut self) {
        self.channel = None;
        let options = ChannelOptions { depth: DEPTH, regions: &self.regions };
        self.channel = Some(self.bdev.open_channel_with(options).expect("a channel"));
    }

    /// Sets the clock.
    pub fn at(&mut self, now_ns: u64) -> &mut Rig {
        self.now_ns = now_ns;
        self
    }

    /// The time of the next poll.
    pub fn tick(&mut self) -> u64 {
        self.now_ns += self.tick_ns;
        self.now_ns
    }

    /// Whether operations take time by the clock.
    pub fn needs_time(&self) -> bool {
        self.tick_ns > 0
    }

    /// Buffers that are not in their pools.
    pub fn buffers_out(&self) -> usize {
        self.small.capacity() - self.small.available() + self.large.capacity() - self.large.available()
    }

    /// A buffer of so many blocks, filled.
    pub fn buffer(&self, blocks: u64, fill: u8) -> IoBuf {
        let len = blocks as usize * self.block_size();
        let pool = if blocks <= 1 { &self.small } else { &self.large };
        let mut data = IoBuf::new(pool.get().expect("a free buffer"), 0..len);
        data.bytes_mut().fill(fill);
        data
    }

    /// Allocation status from a block on, as much as one block of data holds. A refusal leaves the data alone.
    pub fn lba_status(&mut self, lba: u64) -> Result<Vec<Extent>, IoError> {
        let data = self.descriptors(0xee);
        let (result, data) = self.run_with(io(Op::LbaStatus, lba, 0, Some(data)));
        let data = data.expect("came back");
        if let Err(error) = result {
            assert!(data.bytes().iter().all(|&byte| byte == 0xee));
            return Err(error);
        }
        let extents = data.bytes().chunks_exact(16).map(|descriptor| Extent {
            lba: u64::from_be_bytes(descriptor[0..8].try_into().expect("8 bytes")),
            blocks: u64::from(u32::from_be_bytes(descriptor[8..12].try_into().expect("4 bytes"))),
            status: descriptor[12],
        });
        Ok(extents.take_while(|extent| extent.blocks > 0).collect())
    }

    /// A buffer for as many descriptors as one block of data holds: with metadata it is no multiple of them.
    fn descriptors(&self, fill: u8) -> IoBuf {
        let buf = self.buffer(1, fill).into_buf();
        let len = self.block_size() / 16 * 16;
        IoBuf::new(buf, 0..len)
    }

    /// An operation with data of one block if it wants any.
    pub fn tagged(&self, op: Op, lba: u64, blocks: u64, tag: u64) -> BlockIo {
        let data = match op {
            Op::LbaStatus => Some(self.descriptors(tag as u8)),
            Op::Read | Op::Write { .. } => Some(self.buffer(blocks, tag as u8)),
            _ => None,
        };
        BlockIo { tag, ..io(op, lba, blocks, data) }
    }

    /// One operation without data, to its end.
    pub fn run(&mut self, op: Op, lba: u64, blocks: u64) -> Result<(), IoError> {
        let (result, data) = self.run_with(io(op, lba, blocks, None));
        assert!(data.is_none());
        result
    }

    /// One operation, to its end.
    pub fn run_with(&mut self, io: BlockIo) -> (Result<(), IoError>, Option<IoBuf>) {
        let now_ns = self.now_ns;
        self.channel().submit(io, now_ns).expect("room");
        let done = self.wait().pop().expect("one ended");
        (done.result, done.data)
    }

    pub fn write(&mut self, lba: u64, blocks: u64, fill: u8, fua: bool) {
        let data = self.buffer(blocks, fill);
        let (result, data) = self.run_with(io(Op::Write { fua }, lba, blocks, Some(data)));
        result.expect("write");
        assert!(data.expect("came back").bytes().iter().all(|&byte| byte == fill), "a write leaves its data as it is");
    }

    /// Reads and compares; a device that does not store gives zeroes.
    pub fn expect_filled(&mut self, lba: u64, blocks: u64, fill: u8) {
        let expected = if self.stores { fill } else { 0 };
        let data = self.read(lba, blocks);
        if let Some(at) = data.bytes().iter().position(|&byte| byte != expected) {
            panic!("read of {lba}+{blocks}: byte {at} is {:#x}, not {expected:#x}", data.bytes()[at]);
        }
    }

    pub fn read(&mut self, lba: u64, blocks: u64) -> IoBuf {
        let data = self.buffer(blocks, 0xee);
        let (result, data) = self.run_with(io(Op::Read, lba, blocks, Some(data)));
        result.expect("read");
        data.expect("came back")
    }

    /// Polls until nothing is in flight; the tags of what ended, whose buffers go back.
    pub fn drain(&mut self) -> Vec<u64> {
        let mut tags = Vec::new();
        while self.channel().in_flight() > 0 {
            tags.extend(self.wait().iter().map(|done| done.tag));
        }
        tags
    }

    /// Polls until something ended.
    fn wait(&mut self) -> Vec<Done> {
        let started = Instant::now();
        let mut ended = Vec::new();
        loop {
            let (before, now_ns) = (self.channel().in_flight(), self.tick());
            let count = self.channel().poll(now_ns, &mut |done| ended.push(done));
            assert_eq!((count, before - self.channel().in_flight()), (ended.len(), ended.len()));
            if !ended.is_empty() {
                return ended;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "nothing ends");
            std::thread::yield_now();
        }
    }
}

/// Buffers, and the region that they alone lie in.
fn pool(size: usize, count: usize) -> (Pool, Arc<Region>) {
    let stride = size.next_multiple_of(4096);
    let region = mem::testing::region(stride * count);
    (Pool::new(Arc::clone(&region), PoolLayout { offset: 0, stride, size, count }), region)
}

pub fn io(op: Op, lba: u64, blocks: u64, data: Option<IoBuf>) -> BlockIo {
    BlockIo { op, lba, blocks, data, tag: 0 }
}
