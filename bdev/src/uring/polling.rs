//! Completions that are polled for in the device (IORING_SETUP_IOPOLL): where, and of what.

use rustix::fd::BorrowedFd;

use super::direct::Cache;
use super::open::{queue_attribute, stands_on_others};
use super::options::UringOptions;
use super::ring;
use crate::channel::ByteRange;
use crate::create::CreateError;

/// What can be polled for: requests that the block layer takes whole. Linux 6.1, for one, never answers a polled request
/// that it would have to split; and for a large one an interrupt is no matter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Polling {
    /// Most bytes of a request.
    pub(super) len_max: u64,
    /// No request goes over a multiple of this many bytes; 0: it may.
    pub(super) chunk: u64,
}

impl Polling {
    #[inline]
    pub(super) fn takes(self, range: ByteRange) -> bool {
        let last = range.offset + range.len.saturating_sub(1);
        range.len <= self.len_max && (self.chunk == 0 || range.offset / self.chunk == last / self.chunk)
    }
}

/// Whether to poll, as was asked for.
pub(super) fn choose(
    options: &UringOptions,
    fd: BorrowedFd<'_>,
    block_size: u32,
    cache: Cache,
    device: u64,
) -> Result<Option<Polling>, CreateError> {
    if !options.iopoll {
        return Ok(None);
    }
    let path = options.filename.display();
    match polling_of(fd, block_size, cache, device) {
        Ok(polling) => {
            tracing::info!(
                "bdev {}: completions of {path} are polled for, of up to {} bytes",
                options.name,
                polling.len_max
            );
            Ok(Some(polling))
        }
        Err(why) => Err(CreateError::parameter("iopoll", format!("{path} cannot be polled: {why}; leave iopoll out"))),
    }
}

fn polling_of(fd: BorrowedFd<'_>, block_size: u32, cache: Cache, device: u64) -> Result<Polling, String> {
    if cache == Cache::Pages {
        return Err("it is used through the page cache".to_owned());
    }
    if stands_on_others(device) {
        return Err("its device stands on others, which may split what they are given".to_owned());
    }
    let polling = limits(|attribute| queue_attribute(device, attribute))?;
    // Only now is it worth the try: some kernels fall back to interrupts without a word.
    ring::probe_polled(fd, block_size as usize).map_err(|error| format!("reading a block so fails: {error}"))?;
    Ok(polling)
}

fn limits(attribute: impl Fn(&str) -> Option<u64>) -> Result<Polling, String> {
    /// The least that a segment of a request holds.
    const PAGE: u64 = 4096;
    if attribute("io_poll") != Some(1) {
        return Err("its device has no poll queues".to_owned());
    }
    let unknown = || "its device does not say how long requests may be".to_owned();
    let longest = attribute("max_sectors_kb").ok_or_else(unknown)?.saturating_mul(1024);
    let segments = attribute("max_segments").ok_or_else(unknown)?;
    // Memory that does not begin at a page takes one more.
    let len_max = longest.min(segments.saturating_sub(1).saturating_mul(PAGE));
    Ok(Polling { len_max, chunk: attribute("chunk_sectors").unwrap_or(0).saturating_mul(512) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_says_what_is_polled_for() {
        let queue = |poll: u64, chunk: Option<u64>| {
            move |attribute: &str| match attribute {
                "io_poll" => Some(poll),
                "max_sectors_kb" => Some(127),
                "max_segments" => Some(128),
                "chunk_sectors" => chunk,
                _ => None,
            }
        };
        assert_eq!(limits(queue(1, None)), Ok(Polling { len_max: 127 << 10, chunk: 0 }));
        assert_eq!(limits(queue(1, Some(256))), Ok(Polling { len_max: 127 << 10, chunk: 128 << 10 }));
        assert!(limits(queue(0, None)).is_err_and(|why| why.contains("no poll queues")));
        assert!(limits(|_| None).is_err_and(|why| why.contains("no poll queues")));
        assert!(limits(|attribute| (attribute == "io_poll").then_some(1)).is_err());
        let few = |attribute: &str| {
            Some(if attribute == "max_segments" { 5 } else { 1 << 30 }).filter(|_| attribute != "io_poll").or(Some(1))
        };
        assert_eq!(limits(few).map(|polling| polling.len_max), Ok(16 << 10));
    }

    #[test]
    fn what_would_be_split_is_not_polled_for() {
        let polling = Polling { len_max: 8192, chunk: 65536 };
        for (offset, len, takes) in [
            (0, 8192, true),
            (0, 8193, false),
            (65536 - 8192, 8192, true),
            (65536 - 8192 + 512, 8192, false),
            (65536 - 512, 1024, false),
            (65536, 512, true),
            (65536, 0, true),
        ] {
            assert_eq!(polling.takes(ByteRange { offset, len }), takes, "{offset}+{len}");
        }
        assert!(Polling { len_max: 8192, chunk: 0 }.takes(ByteRange { offset: 65536 - 512, len: 8192 }));
    }
}
