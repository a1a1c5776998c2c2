//! O_DIRECT or the page cache: what was asked for, and what works.

use rustix::fd::BorrowedFd;
use rustix::fs::{AtFlags, OFlags, StatxFlags};
use rustix::io::Errno;

use super::open::queue_attribute;
use super::options::UringOptions;
use crate::create::CreateError;

/// No device or file system wants more of O_DIRECT's buffers, in bytes.
pub(super) const DIRECT_ALIGN_MAX: usize = 4096;

/// How the file is read and written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cache {
    /// Through the kernel's page cache.
    Pages,
    /// With O_DIRECT, from and to buffers at multiples of `buf_align` bytes.
    Direct { buf_align: usize },
}

impl Cache {
    pub(super) fn buf_align(self) -> usize {
        match self {
            Cache::Pages => 1,
            Cache::Direct { buf_align } => buf_align,
        }
    }
}

/// O_DIRECT or the page cache, as the options and the file want. `unit` is the block of the device below, in bytes.
pub(super) fn choose_cache(
    options: &UringOptions,
    fd: BorrowedFd<'_>,
    block_size: u32,
    unit: u32,
) -> Result<Cache, CreateError> {
    let (name, path) = (&options.name, options.filename.display());
    if options.direct == Some(false) {
        tracing::info!("bdev {name}: {path} is used through the page cache, as asked for");
        return Ok(Cache::Pages);
    }
    if options.metadata.is_some() {
        tracing::info!("bdev {name}: {path} is used through the page cache, as its blocks have metadata");
        return Ok(Cache::Pages);
    }
    match set_direct(fd, block_size, unit) {
        Ok(buf_align) => {
            tracing::info!("bdev {name}: {path} is used with O_DIRECT, buffers aligned to {buf_align} bytes");
            Ok(Cache::Direct { buf_align })
        }
        Err(why) if options.direct == Some(true) => Err(CreateError::parameter(
            "direct",
            format!("{path} cannot be used with O_DIRECT: {why}; leave direct out"),
        )),
        Err(why) => {
            tracing::info!("bdev {name}: {path} is used through the page cache: {why}");
            Ok(Cache::Pages)
        }
    }
}

/// Switches the open file to O_DIRECT, or says why that is not possible.
fn set_direct(fd: BorrowedFd<'_>, block_size: u32, unit: u32) -> Result<usize, String> {
    let wanted = direct_alignment(told_alignment(fd), block_size, unit)?;
    let flags = rustix::fs::fcntl_getfl(fd).map_err(|errno| format!("its flags cannot be read: {errno}"))?;
    rustix::fs::fcntl_setfl(fd, flags | OFlags::DIRECT)
        .map_err(|errno| format!("the file system refuses it: {errno}"))?;
    read_directly(fd, block_size, wanted).map_err(|errno| {
        // Back to what the file was; if even that fails, the first read of the device will say so.
        let _ = rustix::fs::fcntl_setfl(fd, flags);
        format!("reading a block of {block_size} bytes gives {errno}")
    })?;
    Ok(wanted)
}

/// What the file system says that O_DIRECT wants of addresses and of offsets, in bytes (statx, Linux 6.1 or later).
fn told_alignment(fd: BorrowedFd<'_>) -> Option<(usize, u32)> {
    let statx = rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN).ok()?;
    let told = StatxFlags::from_bits_retain(statx.stx_mask).contains(StatxFlags::DIOALIGN);
    told.then_some((statx.stx_dio_mem_align as usize, statx.stx_dio_offset_align))
}

/// The alignment that buffers need, as it was told, or a safe guess. Reading tells only half of it: a hole is read at any
/// offset, and only writes into it would fail.
fn direct_alignment(told: Option<(usize, u32)>, block_size: u32, unit: u32) -> Result<usize, String> {
    let (memory, offset) = told.unwrap_or((DIRECT_ALIGN_MAX, unit));
    if memory == 0 || offset == 0 {
        return Err("the file system says that it does not do it for this file".to_owned());
    }
    if !block_size.is_multiple_of(offset) {
        return Err(format!("it needs blocks of {offset} bytes, and block_size is {block_size}"));
    }
    if !memory.is_power_of_two() || memory > DIRECT_ALIGN_MAX {
        return Err(format!("it needs buffers aligned to {memory} bytes"));
    }
    Ok(memory)
}

/// Reads the first two blocks, each by itself, into a buffer that is aligned as told and no better.
fn read_directly(fd: BorrowedFd<'_>, block_size: u32, align: usize) -> rustix::io::Result<()> {
    let block_size = block_size as usize;
    let mut memory = vec![0; 2 * DIRECT_ALIGN_MAX + block_size];
    let start = memory.as_ptr().align_offset(DIRECT_ALIGN_MAX) + align % DIRECT_ALIGN_MAX;
    let buffer = &mut memory[start..start + block_size];
    for block in 0..2 {
        loop {
            match rustix::io::pread(fd, &mut *buffer, block * block_size as u64) {
                Err(Errno::INTR) => {}
                // A bad block is no reason against O_DIRECT.
                Ok(_) | Err(Errno::IO) => break,
                Err(errno) => return Err(errno),
            }
        }
    }
    Ok(())
}

/// Bytes per block of the device that a file lies on; the largest there is where the system does not say, as for file
/// systems on several devices or on none.
pub(super) fn unit_of_file(device: u64) -> u32 {
    let told = queue_attribute(device, "logical_block_size").and_then(|bytes| u32::try_from(bytes).ok());
    told.unwrap_or(DIRECT_ALIGN_MAX as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_smaller_than_the_device_s_are_not_for_o_direct() {
        for (told, block_size, unit, expected) in [
            (Some((512, 512)), 512, 4096, Ok(512)),
            (Some((4, 4096)), 4096, 512, Ok(4)),
            (Some((512, 4096)), 512, 512, Err("it needs blocks of 4096 bytes, and block_size is 512")),
            (Some((0, 0)), 4096, 512, Err("the file system says that it does not do it for this file")),
            (Some((8192, 512)), 512, 512, Err("it needs buffers aligned to 8192 bytes")),
            (Some((24, 512)), 512, 512, Err("it needs buffers aligned to 24 bytes")),
            // A kernel that does not tell: as the device below.
            (None, 512, 512, Ok(4096)),
            (None, 4096, 4096, Ok(4096)),
            (None, 512, 4096, Err("it needs blocks of 4096 bytes, and block_size is 512")),
        ] {
            let outcome = direct_alignment(told, block_size, unit);
            assert_eq!(outcome, expected.map_err(str::to_owned), "{told:?} {block_size} {unit}");
        }
    }

    #[test]
    fn a_file_on_no_known_device_has_the_largest_blocks() {
        assert_eq!(unit_of_file(rustix::fs::makedev(0, 1 << 19)), 4096);
    }
}
