//! The part of a device that belongs to one core.

use std::sync::Arc;

use mem::Region;
use reactor::{Instant, WakeSources};

use crate::bdev::{Bdev, Kind};
use crate::delay::DelayChannel;
use crate::error::ErrorChannel;
use crate::io::{BlockIo, Done, IoError, Op};
use crate::malloc::MallocChannel;
use crate::null;
use crate::null::pattern::{Complaints, Pattern};
use crate::passthrough::{self, ThroughChannel};
use crate::qos::{Gate, Waiting};
use crate::split::SplitChannel;
use crate::stats::Recorder;
use crate::uring::FileChannel;

/// Most operations in flight on one channel: what a kernel ring can hold.
const DEPTH_MAX: usize = 32768;

/// How a channel is opened.
#[derive(Clone, Copy, Debug)]
pub struct ChannelOptions<'a> {
    /// Most operations that will be in flight on it.
    pub depth: usize,
    /// Where the caller's buffers lie. Buffers from elsewhere work, too, if more slowly.
    pub regions: &'a [Arc<Region>],
}

/// A core's way to a device: operations go in by [`Channel::submit`] and come back from [`Channel::poll`]. It stays on
/// the thread that opened it (buffers make it neither `Send` nor `Sync`). Dropping it waits for what is in flight.
#[derive(Debug)]
pub struct Channel {
    bdev: Arc<Bdev>,
    depth: usize,
    in_flight: usize,
    kind: ChannelKind,
    /// Operations that ended within `submit`, waiting for `poll`; has room for `depth` from the start.
    finished: Vec<Finished>,
    /// Operations that wait for the device's rate limits.
    gate: Gate,
    stats: Recorder,
}

/// What a channel needs of its kind of device.
#[derive(Debug)]
enum ChannelKind {
    Null,
    Pattern(Arc<Pattern>, Complaints),
    Malloc(MallocChannel),
    Uring(Box<FileChannel>),
    /// Its file was missing when the channel was opened.
    Missing,
    #[cfg(feature = "rbd")]
    Rbd(crate::rbd::RbdChannel),
    Delay(Box<DelayChannel>),
    Error(Box<ErrorChannel>),
    Split(Box<SplitChannel>),
    Passthrough(Box<ThroughChannel>),
}

/// An operation that ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) io: BlockIo,
    pub(crate) submitted_ns: u64,
    pub(crate) result: Result<(), IoError>,
}

/// Why a channel could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The depth is 0 or more than a ring can hold.
    #[error("a channel of depth {0} cannot be opened: 1 to {DEPTH_MAX} operations may be in flight")]
    Depth(
        /// The depth asked for.
        usize,
    ),
    /// The kernel refuses to make a ring.
    #[error("no io_uring of depth {depth} for a channel to bdev {bdev}: {source}")]
    Ring {
        /// The device's name.
        bdev: String,
        /// The depth asked for.
        depth: usize,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The kernel refuses to make an AIO context.
    #[error(
        "no Linux AIO context of depth {depth} for a channel to bdev {bdev}: {source}. If fs.aio-max-nr (sysctl, now {most}, \
         {taken} of it taken) is used up, raise it"
    )]
    Aio {
        /// The device's name.
        bdev: String,
        /// The depth asked for.
        depth: usize,
        /// The limit on requests of all contexts of this system.
        most: String,
        /// What they take of it.
        taken: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The device's files cannot be opened any more.
    #[error("no channel to bdev {bdev}: its device cannot be opened: {source}")]
    Device {
        /// The device's name.
        bdev: String,
        /// The system's answer.
        source: std::io::Error,
    },
}

impl Channel {
    /// See [`Bdev::open_channel`].
    pub(crate) fn open(bdev: &Arc<Bdev>, options: ChannelOptions<'_>) -> Result<Channel, ChannelError> {
        let depth = options.depth;
        if !(1..=DEPTH_MAX).contains(&depth) {
            return Err(ChannelError::Depth(depth));
        }
        let kind = match &bdev.kind {
            Kind::Null => ChannelKind::Null,
            Kind::Pattern(pattern) => ChannelKind::Pattern(Arc::clone(pattern), Complaints::default()),
            Kind::Malloc(memory) => ChannelKind::Malloc(MallocChannel::new(Arc::clone(memory), depth)),
            Kind::Uring(backing) => match backing.file() {
                Some(file) => ChannelKind::Uring(Box::new(FileChannel::open(bdev, &file, options)?)),
                None => ChannelKind::Missing,
            },
            #[cfg(feature = "rbd")]
            Kind::Rbd(image) => ChannelKind::Rbd(crate::rbd::RbdChannel::new(Arc::clone(image), depth)),
            Kind::Delay(delay) => ChannelKind::Delay(Box::new(DelayChannel::open(delay, options)?)),
            Kind::Error(faulty) => ChannelKind::Error(Box::new(ErrorChannel::open(faulty, options)?)),
            Kind::Split(split) => ChannelKind::Split(Box::new(SplitChannel::open(split, bdev.num_blocks(), options)?)),
            Kind::Passthrough(device) => {
                let refused = |source| ChannelError::Device { bdev: bdev.info().name.clone(), source };
                let channel = ThroughChannel::new(Arc::clone(device), depth).map_err(refused)?;
                ChannelKind::Passthrough(Box::new(channel))
            }
        };
        let stats = bdev.stats.open();
        let (bdev, finished, gate) = (Arc::clone(bdev), Vec::with_capacity(depth), Gate::new(depth));
        Ok(Channel { bdev, depth, in_flight: 0, kind, finished, gate, stats })
    }

    /// Takes an operation over; `now_ns` is the time of the caller's clock, for the statistics. How it ended comes back
    /// from [`Channel::poll`], also when it is refused: out of range, write protected or unsupported.
    ///
    /// # Errors
    /// The operation comes back when `depth` are in flight: submit it again after a poll handed some out.
    ///
    /// # Panics
    /// If the data's length is not `blocks * block_size` (0 for operations without data), and in debug builds if it is not
    /// aligned to [`crate::Info::buf_align`]: our own bug.
    #[inline]
    pub fn submit(&mut self, mut io: BlockIo, now_ns: u64) -> Result<(), BlockIo> {
        if self.in_flight == self.depth {
            return Err(io);
        }
        self.in_flight += 1;
        match check(&self.bdev, &io) {
            Ok(_) if self.gate.stops(&self.bdev.qos, &io, now_ns) => self.gate.wait(io, now_ns),
            Ok(_) if matches!(self.kind, ChannelKind::Null) => {
                null::execute(&mut io);
                self.finished.push(Finished { io, submitted_ns: now_ns, result: Ok(()) });
            }
            Ok(range) => self.start(io, range, now_ns, now_ns),
            Err(error) => self.finished.push(Finished { io, submitted_ns: now_ns, result: Err(error) }),
        }
        Ok(())
    }

    /// Gives the device an operation whose range is checked. For devices that have more to do than a call costs: not
    /// inlined, so that what surrounds the call stays small.
    #[inline(never)]
    fn start(&mut self, mut io: BlockIo, range: ByteRange, submitted_ns: u64, now_ns: u64) {
        let finished = match &mut self.kind {
            ChannelKind::Null => {
                null::execute(&mut io);
                Some(Finished { io, submitted_ns, result: Ok(()) })
            }
            ChannelKind::Pattern(pattern, complaints) => {
                let result = pattern.execute(&mut io, range, complaints, now_ns);
                Some(Finished { io, submitted_ns, result })
            }
            ChannelKind::Malloc(malloc) => malloc.start(io, range, submitted_ns),
            ChannelKind::Uring(file) => file.start(&self.bdev, io, range, submitted_ns),
            // Nothing was ever written, so there is nothing to make durable.
            ChannelKind::Missing => {
                let result = if io.op == Op::Flush { Ok(()) } else { Err(IoError::Gone) };
                Some(Finished { io, submitted_ns, result })
            }
            #[cfg(feature = "rbd")]
            ChannelKind::Rbd(rbd) => rbd.start(io, range, submitted_ns),
            ChannelKind::Delay(delay) => return delay.start(io, submitted_ns, now_ns),
            ChannelKind::Error(error) => error.start(io, submitted_ns, now_ns),
            ChannelKind::Split(split) => return split.start(io, submitted_ns, now_ns),
            ChannelKind::Passthrough(through) => return through.start(io, submitted_ns),
        };
        if let Some(finished) = finished {
            self.finished.push(finished);
        }
    }

    /// Starts what waited for a rate limit and need not any more.
    fn start_waiting(&mut self, now_ns: u64) {
        while let Some(Waiting { io, submitted_ns, .. }) = self.gate.next(&self.bdev.qos, now_ns) {
            // The device may have changed meanwhile.
            match check(&self.bdev, &io) {
                Ok(range) => self.start(io, range, submitted_ns, now_ns),
                Err(error) => self.finished.push(Finished { io, submitted_ns, result: Err(error) }),
            }
        }
    }

    /// Hands every operation that has ended to `done`, after giving the kernel what was submitted since the last poll.
    /// Returns how many ended. Never blocks; makes no system call when there is nothing to hand over or to fetch.
    #[inline]
    pub fn poll(&mut self, now_ns: u64, done: &mut dyn FnMut(Done)) -> usize {
        if self.in_flight == 0 {
            return 0;
        }
        if self.gate.holds_any() {
            self.start_waiting(now_ns);
        }
        let mut count = 0;
        for finished in self.finished.drain(..) {
            hand_out(finished, &self.bdev, now_ns, &mut self.stats, done);
            count += 1;
        }
        if !matches!(self.kind, ChannelKind::Null) {
            count += self.poll_device(now_ns, done);
        }
        self.in_flight -= count;
        count
    }

    /// As [`Channel::start`], for polling.
    #[inline(never)]
    fn poll_device(&mut self, now_ns: u64, done: &mut dyn FnMut(Done)) -> usize {
        let (bdev, stats) = (&*self.bdev, &mut self.stats);
        let mut count = 0;
        let finish = |finished| {
            hand_out(finished, bdev, now_ns, stats, done);
            count += 1;
        };
        match &mut self.kind {
            ChannelKind::Null | ChannelKind::Pattern(..) | ChannelKind::Missing => {}
            ChannelKind::Malloc(malloc) => malloc.poll(finish),
            ChannelKind::Uring(file) => file.poll(now_ns, finish),
            #[cfg(feature = "rbd")]
            ChannelKind::Rbd(rbd) => rbd.poll(finish),
            ChannelKind::Delay(delay) => delay.poll(now_ns, finish),
            ChannelKind::Error(error) => error.poll(now_ns, finish),
            ChannelKind::Split(split) => split.poll(now_ns, finish),
            ChannelKind::Passthrough(through) => through.poll(finish),
        }
        count
    }

    /// What tells its core, while that sleeps, that a poll hands out something; moments are by the clock that polling is given.
    /// Poll before.
    pub fn wake_sources<'a>(&'a self, sources: &mut WakeSources<'a>) {
        if self.in_flight == 0 {
            return;
        }
        if !self.finished.is_empty() {
            return sources.deadline(Instant::default()); // there is work already
        }
        if self.gate.holds_any() {
            sources.look_often();
        }
        match &self.kind {
            ChannelKind::Null | ChannelKind::Pattern(..) | ChannelKind::Missing => {}
            ChannelKind::Malloc(malloc) if malloc.is_zeroing() => sources.deadline(Instant::default()),
            ChannelKind::Malloc(_) => {}
            ChannelKind::Uring(file) => file.wake_sources(sources),
            #[cfg(feature = "rbd")]
            ChannelKind::Rbd(_) => sources.look_often(),
            ChannelKind::Delay(delay) => delay.wake_sources(sources),
            ChannelKind::Error(error) => error.wake_sources(sources),
            ChannelKind::Split(split) => split.wake_sources(sources),
            ChannelKind::Passthrough(through) => through.wake_sources(sources),
        }
    }

    /// Operations that were submitted and have not come back from `poll`.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// The device.
    pub fn bdev(&self) -> &Arc<Bdev> {
        &self.bdev
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.bdev.stats.close(&self.stats);
    }
}

/// Counts an operation that ended, and hands it out.
#[inline]
fn hand_out(finished: Finished, bdev: &Bdev, now_ns: u64, stats: &mut Recorder, done: &mut dyn FnMut(Done)) {
    let Finished { io, submitted_ns, result } = finished;
    let result = result.map_err(|error| bdev.diagnose(error));
    stats.record(io.op, bytes_moved(&io, bdev.info().block_size), now_ns.saturating_sub(submitted_ns), result);
    done(Done { tag: io.tag, data: io.data, result });
}

/// What an operation that succeeded counts for, in bytes.
#[inline]
fn bytes_moved(io: &BlockIo, block_size: u32) -> u64 {
    match io.op {
        // Its blocks are 0: the device behind says what moved.
        Op::Scsi { .. } => {
            let outcome = io.data.as_ref().and_then(|data| passthrough::Outcome::parse(data.bytes()));
            outcome.map_or(0, |outcome| outcome.moved.into())
        }
        // The product was checked by `check`, unless the operation failed there, and then nobody counts it.
        _ => io.blocks.wrapping_mul(u64::from(block_size)),
    }
}

/// The range of an operation, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ByteRange {
    /// First byte.
    pub(crate) offset: u64,
    /// Number of bytes; 0 for a flush.
    pub(crate) len: u64,
}

/// What holds for every device: the range lies on it, it may be written, and the data fits the range.
#[inline]
fn check(bdev: &Bdev, io: &BlockIo) -> Result<ByteRange, IoError> {
    let info = bdev.info();
    let end = io.lba.checked_add(io.blocks).ok_or(IoError::OutOfRange)?;
    if end > bdev.num_blocks() {
        return Err(IoError::OutOfRange);
    }
    let block_size = u64::from(info.block_size);
    // The constructors saw to it that num_blocks * block_size does not overflow, and neither number exceeds num_blocks.
    let range = ByteRange { offset: io.lba * block_size, len: io.blocks * block_size };
    let has_data = match io.op {
        Op::Flush if info.passthrough.is_none() => return Ok(ByteRange { offset: 0, len: 0 }),
        // A list begins with a block.
        Op::LbaStatus if info.lba_status && io.lba >= bdev.num_blocks() => return Err(IoError::OutOfRange),
        Op::LbaStatus if info.lba_status => return Ok(range),
        Op::Scsi { .. } if info.passthrough.is_some() => {
            let buffer = io.data.as_ref().map_or(&[][..], |data| data.bytes());
            return passthrough::Request::parse(buffer)
                .map(|_| ByteRange { offset: 0, len: 0 })
                .ok_or(IoError::Unsupported);
        }
        Op::LbaStatus | Op::Scsi { .. } | Op::Flush => return Err(IoError::Unsupported),
        _ if info.passthrough.is_some() => return Err(IoError::Unsupported),
        Op::Read | Op::Write { .. } => true,
        Op::Unmap | Op::WriteZeroes { .. } => false,
    };
    if bdev.is_read_only() && io.op != Op::Read {
        return Err(IoError::WriteProtected);
    }
    if io.op == Op::Unmap && !info.unmap {
        return Err(IoError::Unsupported);
    }
    let data_len = io.data.as_ref().map_or(0, |data| data.len() as u64);
    let expected_len = if has_data { range.len } else { 0 };
    debug_assert!(io.data.as_ref().is_none_or(|data| data.addr() % info.buf_align as u64 == 0), "data is not aligned");
    assert!(data_len == expected_len, "{data_len} bytes of data for {:?} of {} blocks", io.op, io.blocks);
    Ok(range)
}

#[cfg(test)]
mod tests {
    use crate::null::{self, NullOptions};

    #[test]
    fn closed_channels_leave_nothing_behind() {
        let options = NullOptions { name: "null".to_owned(), num_blocks: 1, ..NullOptions::default() };
        let bdev = null::create(options).expect("null");
        let kept = bdev.open_channel(1).expect("a channel");
        for _ in 0..3 {
            bdev.open_channel(1).expect("a channel");
        }
        assert_eq!(bdev.stats.open_channels(), 1);
        drop(kept);
        assert_eq!((bdev.stats.open_channels(), std::sync::Arc::strong_count(&bdev)), (0, 1));
    }
}
