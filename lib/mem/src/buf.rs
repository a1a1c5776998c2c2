//! One buffer: a slot of a pool with exactly one owner. The only file of this crate with `unsafe`.
#![allow(unsafe_code)]

use std::ops::Range;
use std::ptr::NonNull;
use std::rc::Rc;

use crate::pool::PoolShared;
use crate::region::RegionId;

/// One slot of a [`crate::Pool`], owned by whoever holds this value; dropping it puts the slot back.
#[derive(Debug)]
pub struct Buf {
    pool: Rc<PoolShared>,
    slot: u32,
    base: NonNull<u8>,
}

impl Buf {
    #[inline]
    pub(crate) fn new(pool: Rc<PoolShared>, slot: u32) -> Buf {
        let offset = pool.layout.offset + pool.layout.stride * slot as usize;
        // SAFETY: `Pool::new` checked that every slot, so also this offset, lies within the region's mapping.
        let base = unsafe { pool.region.base().add(offset) };
        Buf { pool, slot, base }
    }

    /// Address of the first byte, as devices and work requests want it.
    #[inline]
    pub fn addr(&self) -> u64 {
        self.base.as_ptr() as u64
    }

    /// The region that this buffer lies in: the key to its memory keys.
    #[inline]
    pub fn region(&self) -> RegionId {
        self.pool.region.id()
    }

    /// Usable length in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.pool.layout.size
    }

    /// Whether it has no usable bytes.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its bytes. They hold whatever the last owner left there (zeroes at first).
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: base..base+len lies within the mapping, which `pool.region` keeps alive; its memory is zeroed at
        // start and only ever holds bytes. Each slot number is out of the free list at most once, slots do not
        // overlap, and `Region::claim` keeps pools apart, so this value is the slot's only owner; devices and peers
        // write it only after it was moved to them, when nobody can call this.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.len()) }
    }

    /// Its bytes, to be written.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and `&mut self` makes this the only reference into the slot.
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr(), self.len()) }
    }
}

impl Drop for Buf {
    #[inline]
    fn drop(&mut self) {
        self.pool.put_back(self.slot);
    }
}

/// A buffer with the part of it that an operation is about: it travels with the operation and comes back whole.
#[derive(Debug)]
pub struct IoBuf {
    buf: Buf,
    start: u32,
    len: u32,
}

impl IoBuf {
    /// The bytes `range` of `buf`.
    ///
    /// # Panics
    /// If the range does not lie in the buffer: callers compute it from lengths they checked before.
    #[inline(always)]
    pub fn new(buf: Buf, range: Range<usize>) -> IoBuf {
        if range.start > range.end || range.end > buf.len() {
            outside(&range, buf.len());
        }
        IoBuf { buf, start: range.start as u32, len: (range.end - range.start) as u32 }
    }

    /// Address of the part's first byte.
    #[inline]
    pub fn addr(&self) -> u64 {
        self.buf.addr() + u64::from(self.start)
    }

    /// The region that the buffer lies in.
    #[inline]
    pub fn region(&self) -> RegionId {
        self.buf.region()
    }

    /// Length of the part in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether the part is empty.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The part's bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.buf.bytes()[self.start as usize..(self.start + self.len) as usize]
    }

    /// The part's bytes, to be written.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buf.bytes_mut()[self.start as usize..(self.start + self.len) as usize]
    }

    /// The whole buffer back.
    #[inline]
    pub fn into_buf(self) -> Buf {
        self.buf
    }

    /// The same buffer with another part of it chosen (same rules as [`IoBuf::new`]).
    #[inline]
    pub fn with_range(self, range: Range<usize>) -> IoBuf {
        IoBuf::new(self.buf, range)
    }

    /// The part's place in the buffer.
    #[inline]
    pub fn range(&self) -> Range<usize> {
        self.start as usize..(self.start + self.len) as usize
    }
}

#[cold]
fn outside(range: &Range<usize>, len: usize) -> ! {
    panic!("{range:?} is not in a buffer of {len}")
}
