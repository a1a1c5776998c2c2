//! Memory of our own from the kernel: the only file of this crate with `unsafe`.
//!
//! Everything here is a system call on an address range that a [`Mapping`] owns. Policy (which kind to try, what to do
//! when it fails) is in `allocate.rs`.
#![allow(unsafe_code)]

use std::ffi::{c_ulong, c_void};
use std::ptr::{NonNull, null_mut};

use rustix::io::{Errno, Result};
use rustix::mm::{Advice, MapFlags, ProtFlags};

use crate::page::PageKind;

/// A range of zeroed memory that this process alone owns; unmapped on drop.
///
/// It gives out its address, never a reference: whoever builds buffers on it decides who may touch which byte when.
/// A child process made by `fork` does not get the memory (`MADV_DONTFORK`), and core dumps leave it out
/// (`MADV_DONTDUMP`).
#[derive(Debug)]
pub struct Mapping {
    base: NonNull<u8>,
    len: usize,
    kind: PageKind,
    locked: bool,
    node: Option<u32>,
}

// SAFETY: a Mapping is an address range, a length and facts about them; it never reads or writes through the address.
// Unmapping may happen on any thread, and only `Drop` does it, with exclusive access.
unsafe impl Send for Mapping {}
// SAFETY: as above; every `&self` method only copies a field out.
unsafe impl Sync for Mapping {}

/// How strictly pages must come from the chosen NUMA node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placement {
    /// From that node or not at all. Only for hugetlb pages, where a shortage is an error we can handle.
    Only,
    /// From that node while it has memory. For ordinary memory, where strictness could wake the OOM killer.
    Preferred,
}

impl Mapping {
    /// First byte; aligned to [`PageKind::granule`] of [`Self::page_kind`].
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Length in bytes, a multiple of [`PageKind::granule`]; never 0.
    #[allow(clippy::len_without_is_empty, reason = "a mapping is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// What kind of pages it stands on.
    pub fn page_kind(&self) -> PageKind {
        self.kind
    }

    /// True if the pages stay in memory: always so for hugetlb pages, for others if `mlock` succeeded.
    pub fn locked(&self) -> bool {
        self.locked
    }

    /// The NUMA node that the pages were bound to (hugetlb pages) or preferably taken from (others).
    pub fn numa_node(&self) -> Option<u32> {
        self.node
    }

    /// Maps `len` bytes of `kind`, aligned to its granule, which must divide `len`. No page is touched yet.
    pub(crate) fn reserve_address_range(len: usize, kind: PageKind) -> Result<Self> {
        let huge_flags = match kind {
            PageKind::Huge1G => MapFlags::HUGETLB | MapFlags::HUGE_1GB,
            PageKind::Huge2M => MapFlags::HUGETLB | MapFlags::HUGE_2MB,
            PageKind::Transparent | PageKind::Ordinary => MapFlags::empty(),
        };
        // The kernel aligns hugetlb mappings to their page size and ordinary ones to the base page. Only the
        // transparent kind needs room to find an aligned range in.
        let slack = if kind == PageKind::Transparent { kind.granule() } else { 0 };
        let mapped_len = len.checked_add(slack).ok_or(Errno::NOMEM)?;
        // SAFETY: no address is asked for (null and no MAP_FIXED), so no existing mapping can be replaced.
        let start = unsafe {
            let writable = ProtFlags::READ | ProtFlags::WRITE;
            rustix::mm::mmap_anonymous(null_mut(), mapped_len, writable, MapFlags::PRIVATE | huge_flags)?
        };
        let base = cut_to_aligned(start.cast(), mapped_len, len, kind.granule());
        // mmap does not return null unless asked to map there; if it did, nothing could be done with the range.
        let base = NonNull::new(base).ok_or(Errno::NOMEM)?;
        let mapping = Mapping { base, len, kind, locked: false, node: None };
        // Neither is vital: without them a forked child shares pages until one side writes, and core dumps are larger.
        let _ = mapping.advise(Advice::LinuxDontFork);
        let _ = mapping.advise(Advice::LinuxDontDump);
        Ok(mapping)
    }

    /// Sets the NUMA policy of the range; to be called before any page is there. `EINVAL`: no such node.
    pub(crate) fn place_on_node(&mut self, node: u32, placement: Placement) -> Result<()> {
        const WORD_BITS: usize = c_ulong::BITS as usize;
        let mut node_mask: [c_ulong; 1024 / WORD_BITS] = [0; 1024 / WORD_BITS]; // the kernel's largest node count
        let word = node_mask.get_mut(node as usize / WORD_BITS).ok_or(Errno::INVAL)?;
        *word |= 1 << (node as usize % WORD_BITS);
        let mode = match placement {
            Placement::Only => libc::MPOL_BIND,
            Placement::Preferred => libc::MPOL_PREFERRED,
        };
        // The kernel reads one bit less than `maxnode` says, hence the + 1.
        let mask_bits: c_ulong = 1024 + 1;
        // SAFETY: mbind changes the placement policy of [base, base + len), a range that self owns, and reads
        // `mask_bits - 1` bits of node_mask, which is exactly as long.
        let rc = unsafe {
            let (start, mask) = (self.address(), node_mask.as_ptr());
            libc::syscall(libc::SYS_mbind, start, self.len as c_ulong, mode as c_ulong, mask, mask_bits, 0 as c_ulong)
        };
        if rc != 0 {
            return Err(last_errno());
        }
        self.node = Some(node);
        Ok(())
    }

    /// Advises the kernel to back the range by huge pages. `EINVAL`: this kernel has no transparent huge pages.
    pub(crate) fn advise_huge(&self) -> Result<()> {
        self.advise(Advice::LinuxHugepage)
    }

    /// Brings every page in, zeroed, with an error instead of a signal where the kernel has none (Linux 5.14;
    /// `EINVAL` before).
    pub(crate) fn populate(&mut self) -> Result<()> {
        self.advise(Advice::LinuxPopulateWrite)?;
        self.locked |= matches!(self.kind, PageKind::Huge1G | PageKind::Huge2M);
        Ok(())
    }

    /// Locks the range in memory. `ENOMEM` or `EPERM`: RLIMIT_MEMLOCK is too low.
    pub(crate) fn lock(&mut self) -> Result<()> {
        // SAFETY: mlock does not change what the memory holds; the range is mapped as long as self lives.
        unsafe { rustix::mm::mlock(self.address(), self.len)? };
        self.locked = true;
        Ok(())
    }

    fn advise(&self, advice: Advice) -> Result<()> {
        debug_assert!(matches!(
            advice,
            Advice::LinuxDontFork | Advice::LinuxDontDump | Advice::LinuxHugepage | Advice::LinuxPopulateWrite
        ));
        // SAFETY: none of the advices that callers in this file pass discards or changes content, and the range is
        // mapped as long as self lives.
        unsafe { rustix::mm::madvise(self.address(), self.len, advice) }
    }

    fn address(&self) -> *mut c_void {
        self.base.as_ptr().cast()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: [base, base + len) was mapped by reserve_address_range and belongs to self alone; users of the
        // address promise not to outlive the Mapping. munmap of a whole range that is mapped cannot fail, and if it
        // did, the range would stay mapped: a leak, not a danger.
        let _ = unsafe { rustix::mm::munmap(self.address(), self.len) };
    }
}

/// Gives back what stands before and after the first `len` aligned bytes of [start, start + mapped_len).
fn cut_to_aligned(start: *mut u8, mapped_len: usize, len: usize, granule: usize) -> *mut u8 {
    if mapped_len == len {
        return start;
    }
    let head = start.align_offset(granule);
    let tail = mapped_len - head - len;
    // `head` is less than a granule, which is the slack that was mapped in addition: the address stays in the mapping.
    let base = start.wrapping_add(head);
    // SAFETY: both ranges are parts of the mapping that the caller has just made and given to nobody; each is
    // page-aligned as start, granule and len are. On failure a part stays mapped, unused.
    unsafe {
        if head > 0 {
            let _ = rustix::mm::munmap(start.cast(), head);
        }
        if tail > 0 {
            let _ = rustix::mm::munmap(base.wrapping_add(len).cast(), tail);
        }
    }
    base
}

/// The errno of the libc call that has just failed.
fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
