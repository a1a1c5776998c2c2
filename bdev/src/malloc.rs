//! A disk in memory: fast, shared by all cores, gone with the process.
//!
//! Two cores may work on the same block at once. As with any disk, what a reader then sees is a mixture of both, but
//! never anything else; `memory.rs` holds the copying that makes this sound.

mod memory;

use std::collections::VecDeque;
use std::sync::Arc;

use hugepage_setup::{AllocateError, AllocationRequest, PageKind};
use uuid::Uuid;

pub(crate) use self::memory::Memory;
use crate::bdev::{Bdev, Info, Kind};
use crate::channel::{ByteRange, Finished};
use crate::create::{self, CreateError};
use crate::io::{BlockIo, Op};
use crate::metadata::{Metadata, stored_block_size};

/// Parameters of [`create()`], with the names of SPDK's `bdev_malloc_create`.
#[derive(Clone, Debug)]
pub struct MallocOptions {
    /// Name of the new device.
    pub name: String,
    /// Number of logical blocks.
    pub num_blocks: u64,
    /// Bytes of data per logical block: 512, 1024, 2048 or 4096.
    pub block_size: u32,
    /// What each block has behind its data.
    pub metadata: Option<Metadata>,
    /// Bytes of data per physical block; `None`: `block_size`.
    pub physical_block_size: Option<u32>,
    /// Identity; `None`: derived from this machine's id and the name. Two processes on one machine that give their
    /// devices the same name must give them different UUIDs.
    pub uuid: Option<Uuid>,
    /// NUMA node of the memory; `None`: that of the calling thread.
    pub numa_node: Option<u32>,
    /// Transfers of a multiple of this many blocks are said to be fastest; 0: nothing is said. SPDK splits others there, which
    /// would change nothing here.
    pub optimal_io_boundary: u32,
}

/// What memory a disk was given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placement {
    /// The pages that it stands on.
    pub page_kind: PageKind,
    /// Whether they stay in memory.
    pub locked: bool,
    /// The NUMA node that they were asked from: huge pages come from there or not at all, others preferably.
    pub numa_node: Option<u32>,
}

impl Default for MallocOptions {
    /// 512-byte blocks on any node; the name and the size are still to be given.
    fn default() -> MallocOptions {
        MallocOptions {
            name: String::new(),
            num_blocks: 0,
            block_size: 512,
            metadata: None,
            physical_block_size: None,
            uuid: None,
            numa_node: None,
            optimal_io_boundary: 0,
        }
    }
}

/// Makes a disk in memory, all zeroes. All of its memory is taken here, on huge pages if there are enough.
///
/// # Errors
/// [`CreateError::Parameter`] names the parameter that is out of range; [`CreateError::Memory`]: there is not so much
/// memory.
pub fn create(options: MallocOptions) -> Result<Arc<Bdev>, CreateError> {
    const PRODUCT: &str = "Malloc disk";
    create::check_name(&options.name)?;
    create::check_block_size(options.block_size)?;
    Metadata::check(options.metadata)?;
    let block_size = stored_block_size(options.block_size, options.metadata);
    let physical_block_size = create::physical_block_size(options.physical_block_size, options.block_size)?;
    let bytes = create::check_capacity(options.num_blocks, block_size)?;
    let memory = allocate(bytes, options.numa_node)?;
    let uuid = options.uuid.unwrap_or_else(|| create::derive_uuid(PRODUCT, &options.name, None));
    let info = Info {
        physical_block_size: physical_block_size / options.block_size * block_size,
        optimal_blocks: options.optimal_io_boundary,
        unmap: true,
        unmap_zeroes: true,
        write_zeroes: true,
        // Nothing of it is left after a power failure, and a copy is not interrupted otherwise.
        atomic_blocks: u32::MAX,
        ..Info::disk_with(options.name, uuid, PRODUCT, options.block_size, options.metadata)
    };
    Ok(Bdev::new(info, options.num_blocks, Kind::Malloc(Arc::new(memory))))
}

fn allocate(bytes: u64, numa_node: Option<u32>) -> Result<Memory, CreateError> {
    let refused = |reason: String| CreateError::Memory { bytes, reason };
    let len = usize::try_from(bytes).map_err(|_| refused("more than the address space".to_owned()))?;
    // Every page is brought in at once. Where they come from ordinary memory, a size that this machine does not have
    // would not be refused by the kernel but end some process, likely this one: so look first.
    if let Some(available) = available_bytes(&read("/proc/meminfo"))
        && bytes > available
    {
        return Err(refused(format!("{available} bytes are available: free memory or make the device smaller")));
    }
    match hugepage_setup::allocate(&AllocationRequest { numa_node, ..AllocationRequest::new(len) }) {
        Ok(mapping) => Ok(Memory::new(mapping, len)),
        Err(error @ AllocateError::NoSuchNode { .. }) => {
            Err(CreateError::Parameter { parameter: "numa_node", problem: error.to_string() })
        }
        Err(error) => Err(refused(error.to_string())),
    }
}

/// An empty text if the file cannot be read.
fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// What could be had now, of the text of /proc/meminfo: free huge pages or ordinary memory, whichever is more, since a
/// device stands on pages of one kind. `None` if the text does not say.
fn available_bytes(meminfo: &str) -> Option<u64> {
    let field = |name: &str| -> Option<u64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().trim_end_matches("kB").trim_end().parse().ok()
    };
    let ordinary = field("MemAvailable")?.checked_mul(1024)?;
    let huge = field("HugePages_Free").zip(field("Hugepagesize"));
    let huge = huge.and_then(|(pages, kib)| pages.checked_mul(kib)?.checked_mul(1024));
    Some(ordinary.max(huge.unwrap_or(0)))
}

/// Most bytes that one poll zeroes: what keeps the core from its other work for some ten microseconds. Copies need no
/// such bound, since they are no longer than a buffer.
const ZERO_PIECE: u64 = 256 << 10;

/// A core's part: the memory, and the long zeroings that it has begun.
#[derive(Debug)]
pub(crate) struct MallocChannel {
    memory: Arc<Memory>,
    /// In the order of their submission; has room for the channel's depth from the start.
    zeroings: VecDeque<Zeroing>,
}

/// An `Unmap` or `WriteZeroes` that is done piece by piece.
#[derive(Debug)]
struct Zeroing {
    io: BlockIo,
    submitted_ns: u64,
    rest: ByteRange,
}

impl MallocChannel {
    pub(crate) fn new(memory: Arc<Memory>, depth: usize) -> MallocChannel {
        MallocChannel { memory, zeroings: VecDeque::with_capacity(depth) }
    }

    /// Does an operation whose range is checked, or keeps it for `poll` if it takes too long.
    #[inline]
    pub(crate) fn start(&mut self, mut io: BlockIo, range: ByteRange, submitted_ns: u64) -> Option<Finished> {
        match (io.op, &mut io.data) {
            (Op::Read, Some(data)) => self.memory.read(range.offset, data.bytes_mut()),
            (Op::Write { .. }, Some(data)) => self.memory.write(range.offset, data.bytes()),
            (Op::Unmap | Op::WriteZeroes { .. }, _) if range.len > ZERO_PIECE => {
                self.zeroings.push_back(Zeroing { io, submitted_ns, rest: range });
                return None;
            }
            (Op::Unmap | Op::WriteZeroes { .. }, _) => self.memory.zero(range.offset, range.len),
            // Without data there are no blocks to move; nothing is more durable than it was before a flush.
            (Op::Read | Op::Write { .. } | Op::Flush | Op::LbaStatus | Op::Scsi { .. }, _) => {}
        }
        Some(Finished { io, submitted_ns, result: Ok(()) })
    }

    /// Whether a poll has something to do.
    pub(crate) fn is_zeroing(&self) -> bool {
        !self.zeroings.is_empty()
    }

    /// Does a piece of the oldest long zeroing.
    #[inline]
    pub(crate) fn poll(&mut self, finish: impl FnOnce(Finished)) {
        let Some(Zeroing { rest, .. }) = self.zeroings.front_mut() else { return };
        let piece = rest.len.min(ZERO_PIECE);
        self.memory.zero(rest.offset, piece);
        *rest = ByteRange { offset: rest.offset + piece, len: rest.len - piece };
        if rest.len == 0
            && let Some(Zeroing { io, submitted_ns, .. }) = self.zeroings.pop_front()
        {
            finish(Finished { io, submitted_ns, result: Ok(()) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_that_of_the_larger_kind() {
        let text = "MemTotal:       24684096 kB\nMemAvailable:   1024 kB\nHugePages_Total:       3\nHugePages_Free:        2\n\
                    Hugepagesize:       2048 kB\n";
        assert_eq!(available_bytes(text), Some(4 << 20));
        assert_eq!(available_bytes(&text.replace("Free:        2", "Free:        0")), Some(1 << 20));
        assert_eq!(available_bytes("MemAvailable:   1024 kB\n"), Some(1 << 20));
        assert_eq!(available_bytes("MemAvailable:   lots\n"), None);
        assert_eq!(available_bytes(""), None);
    }

    #[test]
    fn this_machine_says_what_it_has() {
        assert!(available_bytes(&read("/proc/meminfo")).is_some_and(|bytes| bytes > 1 << 20));
    }

    #[test]
    fn a_size_beyond_the_machine_is_refused_before_memory_is_touched() {
        let options = MallocOptions { name: "m".to_owned(), num_blocks: 1 << 40, ..MallocOptions::default() };
        let error = create(options).expect_err("512 TiB");
        assert!(matches!(error, CreateError::Memory { bytes, .. } if bytes == 512 << 40), "{error}");
        assert!(error.to_string().contains("num_blocks"), "{error}");
    }

    #[test]
    fn a_node_that_is_not_there_is_refused_by_name() {
        let options =
            MallocOptions { name: "m".to_owned(), num_blocks: 8, numa_node: Some(1023), ..MallocOptions::default() };
        let error = create(options).expect_err("no such node");
        assert!(error.to_string().starts_with("numa_node: "), "{error}");
    }

    #[test]
    fn the_memory_is_on_the_node_and_the_pages_that_it_says() {
        if !std::path::Path::new("/proc/self/numa_maps").exists() {
            eprintln!("this kernel knows no NUMA nodes");
            return;
        }
        let name = "m".to_owned();
        let options = MallocOptions { name, num_blocks: 8192, numa_node: Some(0), ..MallocOptions::default() };
        let bdev = create(options).expect("4 MiB");
        let Kind::Malloc(memory) = &bdev.kind else { panic!("it is no disk in memory") };
        let maps = read("/proc/self/numa_maps");
        let line = maps.lines().find(|line| line.starts_with(&format!("{:x} ", memory.address())));
        let line = line.expect("the kernel's line about the memory");
        let placement = bdev.memory().expect("a disk in memory");
        assert_eq!(placement.numa_node, Some(0));
        let huge = matches!(placement.page_kind, PageKind::Huge1G | PageKind::Huge2M);
        assert_eq!((line.contains(" huge "), line.contains("bind:0")), (huge, huge), "{line}");
        assert!(huge || line.contains("prefer:0"), "{line}");
        assert!(line.contains(" N0="), "{line}");
    }

    /// One command may zero half a gibibyte; a core that did it in one go would leave its other work for too long.
    #[test]
    fn a_long_zeroing_is_done_piece_by_piece_and_others_do_not_wait_for_it() {
        let block_size = 4096;
        let blocks = 4 * ZERO_PIECE / u64::from(block_size) + 1;
        let num_blocks = blocks + 2;
        let options = MallocOptions { name: "m".to_owned(), num_blocks, block_size, ..MallocOptions::default() };
        let mut channel = create(options).expect("a few MiB").open_channel(2).expect("a channel");
        let pool = mem::testing::pool(num_blocks as usize * block_size as usize, 1);
        let whole = |op, mut buf: mem::Buf| {
            buf.bytes_mut().fill(0xff);
            let len = buf.len();
            BlockIo { op, lba: 0, blocks: num_blocks, data: Some(mem::IoBuf::new(buf, 0..len)), tag: 1 }
        };
        let run = |channel: &mut crate::Channel, expected: &[u64]| {
            let mut tags = Vec::new();
            let mut bytes = Vec::new();
            channel.poll(0, &mut |done| {
                done.result.expect("success");
                tags.push(done.tag);
                bytes.extend(done.data.iter().flat_map(|data| data.bytes().to_vec()));
            });
            assert_eq!(tags, expected);
            bytes
        };
        channel.submit(whole(Op::Write { fua: false }, pool.get().expect("a buffer")), 0).expect("room");
        run(&mut channel, &[1]);
        for op in [Op::Unmap, Op::WriteZeroes { unmap: false, fua: false }] {
            channel.submit(BlockIo { op, lba: 1, blocks, data: None, tag: 2 }, 0).expect("room");
            run(&mut channel, &[]);
            let flush = BlockIo { op: Op::Flush, lba: 0, blocks: 0, data: None, tag: 3 };
            channel.submit(flush, 0).expect("room");
            run(&mut channel, &[3]);
            run(&mut channel, &[]);
            run(&mut channel, &[]);
            run(&mut channel, &[2]);
        }
        channel.submit(whole(Op::Read, pool.get().expect("a buffer")), 0).expect("room");
        let bytes = run(&mut channel, &[1]);
        let (first, rest) = bytes.split_at(block_size as usize);
        let (zeroes, last) = rest.split_at(blocks as usize * block_size as usize);
        assert!(zeroes.iter().all(|&byte| byte == 0));
        assert!(first.iter().chain(last).all(|&byte| byte == 0xff) && last.len() == block_size as usize);
    }
}
