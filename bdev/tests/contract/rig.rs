//! A device with a channel and a pool of buffers, and the table of all devices.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bdev::malloc::{self, MallocOptions};
use bdev::null::{self, NullOptions};
use bdev::uring::{self, Allocate, Product, UringOptions};
use bdev::{Bdev, BlockIo, Channel, ChannelOptions, Done, IoError, Op};
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
        name: "uring on tmpfs",
        stores: true,
        regions: false,
        make: |dir| {
            let shm = Path::new("/dev/shm").is_dir().then(|| TempDir::new_in("/dev/shm").expect("a folder there"));
            // The file lives on, without its name, as long as the device.
            make_uring(shm.as_ref().map_or(dir, TempDir::path), 512, UringOptions::default())
        },
    },
];

fn make_null() -> Arc<Bdev> {
    let options = NullOptions { name: "null".to_owned(), num_blocks: BLOCKS, ..NullOptions::default() };
    null::create(options).expect("null")
}

fn make_malloc(block_size: u32) -> Arc<Bdev> {
    let options =
        MallocOptions { name: "malloc".to_owned(), num_blocks: BLOCKS, block_size, ..MallocOptions::default() };
    malloc::create(options).expect("malloc")
}

fn make_uring(dir: &Path, block_size: u32, options: UringOptions) -> Arc<Bdev> {
    let options = UringOptions {
        name: "uring".to_owned(),
        filename: dir.join("disk"),
        block_size: Some(block_size),
        size: Some(BLOCKS * u64::from(block_size)),
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
        test(&mut on_block_device(Path::new(&device)));
    }
    for device in DEVICES {
        eprintln!("{}", device.name);
        let dir = TempDir::new().expect("a folder for a test");
        test(&mut Rig::with((device.make)(dir.path()), device.stores, device.regions));
    }
}

fn on_block_device(device: &Path) -> Rig {
    let iopoll = std::env::var_os(IOPOLL).is_some();
    let options =
        UringOptions { name: "device".to_owned(), filename: device.to_owned(), iopoll, ..UringOptions::default() };
    let clean = Op::WriteZeroes { unmap: false, fua: false };
    Rig::on(uring::create(options.clone()).expect("a block device"), true).run(clean, 0, BLOCKS).expect("clean");
    let bdev = uring::create(options).expect("a block device");
    assert_eq!(bdev.num_blocks(), BLOCKS, "{BLOCK_DEVICE} has the wrong size");
    Rig::on(bdev, true)
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
        let mut rig = Rig { bdev, channel: None, small, large, stores, regions, now_ns: 0 };
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

    /// An operation with data of one block if it wants any.
    pub fn tagged(&self, op: Op, lba: u64, blocks: u64, tag: u64) -> BlockIo {
        let data = matches!(op, Op::Read | Op::Write { .. }).then(|| self.buffer(blocks, tag as u8));
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
        let now_ns = self.now_ns;
        let started = Instant::now();
        let mut ended = Vec::new();
        loop {
            let before = self.channel().in_flight();
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
