//! The blocks of a disk in memory: the only file of this device with `unsafe`.
//!
//! Several cores may copy to and from the same bytes at once. So no Rust reference into this memory is ever made: it is
//! handled as the memory of a device is, by address, and copied by the C library, which knows nothing of references.
#![allow(unsafe_code)]

use hugepage_setup::Mapping;
use libc::{c_void, memcpy, memset};

use super::Placement;

/// Zeroed memory that all cores may read and write at once.
#[derive(Debug)]
pub(crate) struct Memory {
    mapping: Mapping,
    /// Bytes in use, at most the mapping's length.
    len: usize,
}

impl Memory {
    /// The first `len` bytes of a mapping that nobody else uses.
    pub(crate) fn new(mapping: Mapping, len: usize) -> Memory {
        assert!(len <= mapping.len(), "{len} bytes in a mapping of {}", mapping.len());
        Memory { mapping, len }
    }

    pub(crate) fn placement(&self) -> Placement {
        let mapping = &self.mapping;
        Placement { page_kind: mapping.page_kind(), locked: mapping.locked(), numa_node: mapping.numa_node() }
    }

    #[cfg(test)]
    pub(super) fn address(&self) -> usize {
        self.mapping.base().as_ptr().addr()
    }

    /// Copies from the memory at `offset` to all of `to`.
    #[inline]
    pub(crate) fn read(&self, offset: u64, to: &mut [u8]) {
        let from = self.at(offset, to.len() as u64);
        // SAFETY: `at` checked that to.len() bytes from `from` on lie in the mapping, which lives as long as self. `to` is
        // memory of its own: this mapping belongs to self alone and no reference into it exists, so they cannot overlap.
        unsafe { memcpy(to.as_mut_ptr().cast(), from, to.len()) };
    }

    /// Copies all of `from` to the memory at `offset`.
    #[inline]
    pub(crate) fn write(&self, offset: u64, from: &[u8]) {
        let to = self.at(offset, from.len() as u64);
        // SAFETY: as in `read`; other cores may copy to or from the same bytes meanwhile, in C as here, and each byte
        // then is that of one of them: the promise that a disk makes for overlapping commands, too.
        unsafe { memcpy(to, from.as_ptr().cast(), from.len()) };
    }

    /// Sets `len` bytes at `offset` to zero.
    #[inline]
    pub(crate) fn zero(&self, offset: u64, len: u64) {
        let to = self.at(offset, len);
        // SAFETY: as in `write`; `at` checked that `len` bytes from `to` on lie in the mapping, so `len` fits a usize.
        unsafe { memset(to, 0, len as usize) };
    }

    /// The address of `len` bytes at `offset`.
    ///
    /// # Panics
    /// If they do not all lie in this memory: ranges were checked against the device's size, so that would be our bug.
    #[inline]
    fn at(&self, offset: u64, len: u64) -> *mut c_void {
        let end = offset.checked_add(len);
        assert!(end.is_some_and(|end| end <= self.len as u64), "{len} bytes at {offset} of {}", self.len);
        self.mapping.base().as_ptr().wrapping_add(offset as usize).cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(len: usize) -> Memory {
        let request = hugepage_setup::AllocationRequest {
            max_page: hugepage_setup::PageKind::Ordinary,
            lock: false,
            ..hugepage_setup::AllocationRequest::new(len)
        };
        Memory::new(hugepage_setup::allocate(&request).expect("memory for a test"), len)
    }

    #[test]
    fn bytes_go_where_they_should_and_nowhere_else() {
        let memory = memory(1000);
        memory.write(100, &[7; 50]);
        memory.zero(120, 10);
        let mut all = [9; 1000];
        memory.read(0, &mut all);
        for (at, &byte) in all.iter().enumerate() {
            assert_eq!(byte == 7, (100..150).contains(&at) && !(120..130).contains(&at), "{at}");
            assert!(byte == 7 || byte == 0, "{at}");
        }
        memory.zero(1000, 0);
    }

    #[test]
    #[should_panic(expected = "10 bytes at 991 of 1000")]
    fn the_last_byte_is_a_bound_though_the_mapping_is_longer() {
        memory(1000).write(991, &[0; 10]);
    }

    #[test]
    #[should_panic(expected = "of 1000")]
    fn an_end_past_all_numbers_is_refused() {
        memory(1000).zero(u64::MAX, 2);
    }
}
