//! Which kernel interface moves a file's data, and the channel that hides which it is.

use std::io;
use std::sync::Arc;

use reactor::WakeSources;

use super::BackingFile;
use super::aio::{self, Aio};
use super::direct::Cache;
use super::discard::Discards;
use super::operation::Operation;
use super::ring::Ring;
use super::status::Surveys;
use crate::bdev::Bdev;
use crate::channel::{ByteRange, ChannelError, ChannelOptions, Finished};
use crate::create::CreateError;
use crate::io::{BlockIo, Op};

/// A kernel interface for asynchronous I/O.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Engine {
    /// io_uring where the system allows it, else Linux AIO; the log says if and why.
    #[default]
    Auto,
    /// io_uring.
    Uring,
    /// Linux AIO: io_submit(2). Asynchronous with O_DIRECT only; through the page cache, a thread does one operation at a
    /// time.
    Aio,
}

impl Engine {
    /// As it is written in parameters.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Auto => "auto",
            Engine::Uring => "uring",
            Engine::Aio => "aio",
        }
    }
}

/// The engine to use for the device `name`: never [`Engine::Auto`]. Both arguments try whether the system allows one.
pub(super) fn choose(
    wanted: Engine,
    name: &str,
    uring: impl FnOnce() -> io::Result<()>,
    aio: impl FnOnce() -> io::Result<()>,
) -> Result<Engine, CreateError> {
    let refused = match wanted {
        Engine::Aio => None,
        Engine::Uring | Engine::Auto => match uring() {
            Ok(()) => return Ok(Engine::Uring),
            Err(source) if wanted == Engine::Uring => return Err(CreateError::Ring { source }),
            Err(error) => Some(error),
        },
    };
    aio().map_err(|source| CreateError::Aio {
        also: refused
            .as_ref()
            .map_or_else(String::new, |error| format!("io_uring is refused by the system: {error}; ")),
        source,
    })?;
    if let Some(error) = refused {
        tracing::warn!(
            "bdev {name}: io_uring is refused by the system ({error}): Linux AIO is used, which costs more CPU per \
             operation. io_uring needs Linux 5.6, kernel.io_uring_disabled=0 (sysctl), and a seccomp profile that allows it"
        );
    }
    Ok(Engine::Aio)
}

/// Says what an engine is bad at.
pub(super) fn warn_if_slow(engine: Engine, name: &str, cache: Cache) {
    if engine == Engine::Aio && cache == Cache::Pages {
        tracing::warn!(
            "bdev {name}: Linux AIO is not asynchronous through the page cache: a thread does one read or write at a time. \
             For more, allow io_uring, or O_DIRECT (a block_size that the file system takes)"
        );
    }
}

/// A core's way to a file: the engine's part, and what no engine can do.
#[derive(Debug)]
pub(crate) struct FileChannel {
    engine: EngineChannel,
    surveys: Option<Surveys>,
    discards: Option<Discards>,
    /// Whether a flush has anything to ask the kernel.
    flushes: bool,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one for each channel, which is boxed as a whole")]
enum EngineChannel {
    Uring(Ring),
    Aio(Aio),
}

impl FileChannel {
    /// Used by the calling thread only.
    pub(crate) fn open(
        bdev: &Bdev,
        file: &Arc<BackingFile>,
        options: ChannelOptions<'_>,
    ) -> Result<FileChannel, ChannelError> {
        let ChannelOptions { depth, regions } = options;
        let name = || bdev.info().name.clone();
        let engine = match file.engine {
            Engine::Aio => {
                let aio = Aio::new(Arc::clone(file), depth);
                EngineChannel::Aio(aio.map_err(|source| aio_refused(name(), depth, source))?)
            }
            Engine::Uring | Engine::Auto => {
                let ring = Ring::new(Arc::clone(file), depth, regions);
                EngineChannel::Uring(ring.map_err(|source| ChannelError::Ring { bdev: name(), depth, source })?)
            }
        };
        let surveys = bdev.info().lba_status.then(|| Surveys::new(file, depth));
        let discards = file.discards.then(|| Discards::new(file, depth));
        Ok(FileChannel { engine, surveys, discards, flushes: file.abilities.flushes() })
    }

    /// Takes an operation on a checked range over; what needs no call of the kernel is handed back done.
    #[inline]
    pub(crate) fn start(&mut self, bdev: &Bdev, io: BlockIo, range: ByteRange, now_ns: u64) -> Option<Finished> {
        if let (Op::LbaStatus, Some(surveys)) = (io.op, &mut self.surveys) {
            return surveys.start(io, bdev.info().block_size, bdev.num_blocks(), now_ns);
        }
        if range.len == 0 && !(io.op == Op::Flush && self.flushes) {
            return Some(Finished { io, submitted_ns: now_ns, result: Ok(()) });
        }
        if let (Op::Unmap, Some(discards)) = (io.op, &mut self.discards) {
            discards.start(io, range, now_ns);
            return None;
        }
        let operation = Operation::new(io, range, now_ns);
        match &mut self.engine {
            EngineChannel::Uring(ring) => ring.start(operation),
            EngineChannel::Aio(aio) => aio.start(operation),
        }
        None
    }

    /// Hands the kernel what was queued, and takes what has ended.
    #[inline]
    pub(crate) fn poll(&mut self, now_ns: u64, mut finish: impl FnMut(Finished)) {
        match &mut self.engine {
            EngineChannel::Uring(ring) => ring.poll(now_ns, &mut finish),
            EngineChannel::Aio(aio) => aio.poll(now_ns, &mut finish),
        }
        if let Some(discards) = &mut self.discards {
            discards.poll(&mut finish);
        }
        if let Some(surveys) = &mut self.surveys {
            surveys.poll(finish);
        }
    }

    /// See [`crate::Channel::wake_sources`].
    pub(crate) fn wake_sources<'a>(&'a self, sources: &mut WakeSources<'a>) {
        match &self.engine {
            EngineChannel::Uring(ring) => ring.wake_sources(sources),
            EngineChannel::Aio(_) => sources.look_often(),
        }
        // Threads do this, and tell nobody.
        if self.discards.as_ref().is_some_and(Discards::is_busy) || self.surveys.as_ref().is_some_and(Surveys::is_busy)
        {
            sources.look_often();
        }
    }
}

fn aio_refused(bdev: String, depth: usize, source: io::Error) -> ChannelError {
    let (most, taken) = aio::limits();
    ChannelError::Aio { bdev, depth, most, taken, source }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
