//! Equal slots cut from a region, given out and taken back without a lock by one core.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use crate::buf::Buf;
use crate::region::Region;

/// Where the slots of a pool lie in its region, all in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLayout {
    /// Offset of the first slot in the region.
    pub offset: usize,
    /// Distance from one slot to the next; at least `size`.
    pub stride: usize,
    /// Usable bytes of each slot.
    pub size: usize,
    /// Number of slots.
    pub count: usize,
}

impl PoolLayout {
    /// Bytes from the start of the region to the end of the last slot, or `None` if that overflows.
    pub fn end(&self) -> Option<usize> {
        match self.count {
            0 => Some(self.offset),
            n => self.stride.checked_mul(n - 1)?.checked_add(self.offset)?.checked_add(self.size),
        }
    }
}

/// A pool of equal buffers that belongs to one core. Cloning it makes another handle on the same slots.
#[derive(Clone, Debug)]
pub struct Pool {
    shared: Rc<PoolShared>,
}

/// What a pool and its outstanding buffers share; it lives as long as any of them.
#[derive(Debug)]
pub(crate) struct PoolShared {
    pub(crate) region: Arc<Region>,
    pub(crate) layout: PoolLayout,
    /// The part of the region that the slots lie in, claimed for this pool alone.
    part: Range<usize>,
    free: RefCell<Vec<u32>>,
}

impl Pool {
    /// Cuts slots from `region`. The pool has their bytes to itself until it and all its buffers are gone.
    ///
    /// # Panics
    /// If the layout does not fit in the region or overlaps another pool's, its stride is under its size, a slot is
    /// larger than `u32::MAX` bytes or there are more than `u32::MAX` slots: layouts are computed at start by our own
    /// code, so that would be our bug.
    pub fn new(region: Arc<Region>, layout: PoolLayout) -> Pool {
        assert!(layout.stride >= layout.size, "pool slots overlap: {layout:?}");
        assert!(u32::try_from(layout.size).is_ok(), "pool slots are too large: {layout:?}");
        let count = u32::try_from(layout.count).expect("too many slots in a pool");
        let end = layout.end().expect("pool layout overflows");
        let part = layout.offset..end;
        if let Err(why) = region.claim(&part) {
            panic!("{layout:?} does not fit its region: {why:?}");
        }
        let free = RefCell::new((0..count).rev().collect());
        Pool { shared: Rc::new(PoolShared { region, layout, part, free }) }
    }

    /// Takes a buffer, or `None` when all are out.
    #[inline]
    pub fn get(&self) -> Option<Buf> {
        let slot = self.shared.free.borrow_mut().pop()?;
        Some(Buf::new(Rc::clone(&self.shared), slot))
    }

    /// Buffers that are in the pool now.
    pub fn available(&self) -> usize {
        self.shared.free.borrow().len()
    }

    /// Buffers in all.
    pub fn capacity(&self) -> usize {
        self.shared.layout.count
    }

    /// Usable bytes of each buffer.
    pub fn buffer_size(&self) -> usize {
        self.shared.layout.size
    }
}

impl PoolShared {
    /// Never allocates: the list was made with room for every slot.
    #[inline]
    pub(crate) fn put_back(&self, slot: u32) {
        self.free.borrow_mut().push(slot);
    }
}

impl Drop for PoolShared {
    fn drop(&mut self) {
        self.region.release(&self.part);
    }
}

/// Pools by ascending buffer size, for requests of different lengths.
#[derive(Clone, Debug)]
pub struct SizedPools {
    pools: Vec<Pool>,
}

impl SizedPools {
    /// Joins pools, in any order.
    pub fn new(mut pools: Vec<Pool>) -> SizedPools {
        pools.sort_by_key(Pool::buffer_size);
        SizedPools { pools }
    }

    /// Which of the [`SizedPools::pools`] has the smallest buffers of at least `len` bytes; the last one, if none are that large (see
    /// [`SizedPools::largest`]).
    #[inline]
    pub fn size_for(&self, len: usize) -> usize {
        let fits = self.pools.iter().position(|pool| pool.buffer_size() >= len);
        fits.unwrap_or(self.pools.len().saturating_sub(1))
    }

    /// The largest request that can ever be served, in bytes.
    pub fn largest(&self) -> usize {
        self.pools.last().map_or(0, Pool::buffer_size)
    }

    /// The pools, by ascending buffer size.
    pub fn pools(&self) -> &[Pool] {
        &self.pools
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buf::IoBuf;

    fn region(len: usize) -> Arc<Region> {
        crate::testing::region(len)
    }

    #[test]
    fn every_slot_is_given_out_once_and_comes_back_by_drop() {
        let pool = Pool::new(region(8192), PoolLayout { offset: 0, stride: 1024, size: 1000, count: 8 });
        let mut bufs: Vec<Buf> = std::iter::from_fn(|| pool.get()).collect();
        assert_eq!(bufs.len(), 8);
        let mut addresses: Vec<u64> = bufs.iter().map(Buf::addr).collect();
        addresses.sort_unstable();
        addresses.dedup();
        assert_eq!(addresses.len(), 8);
        bufs.truncate(3);
        assert_eq!(pool.available(), 5);
        drop(bufs);
        assert_eq!(pool.available(), 8);
    }

    #[test]
    fn a_buffer_outlives_its_pool() {
        let pool = Pool::new(region(4096), PoolLayout { offset: 0, stride: 4096, size: 4096, count: 1 });
        let mut buf = pool.get().expect("one slot");
        drop(pool);
        buf.bytes_mut().fill(7);
        assert!(buf.bytes().iter().all(|&b| b == 7));
    }

    #[test]
    fn writing_one_buffer_leaves_its_neighbours_alone() {
        let pool = Pool::new(region(4096), PoolLayout { offset: 0, stride: 512, size: 512, count: 8 });
        let mut bufs: Vec<Buf> = std::iter::from_fn(|| pool.get()).collect();
        for (fill, buf) in bufs.iter_mut().enumerate() {
            buf.bytes_mut().fill(u8::try_from(fill).expect("8 buffers"));
        }
        for (fill, buf) in bufs.iter().enumerate() {
            assert!(buf.bytes().iter().all(|&b| usize::from(b) == fill));
        }
    }

    #[test]
    fn sized_pools_are_in_order_of_their_size() {
        let region = region(64 * 1024);
        let small = Pool::new(Arc::clone(&region), PoolLayout { offset: 0, stride: 4096, size: 4096, count: 1 });
        let large = Pool::new(region, PoolLayout { offset: 4096, stride: 16384, size: 16384, count: 1 });
        let pools = SizedPools::new(vec![large, small]);
        assert_eq!([0, 4096, 4097, 16384].map(|len| pools.size_for(len)), [0, 0, 1, 1]);
        assert_eq!(pools.size_for(20_000), 1, "none is that large");
        assert_eq!(pools.largest(), 16384);
    }

    #[test]
    #[should_panic(expected = "Outside")]
    fn a_layout_past_the_region_is_refused() {
        let region = region(4096);
        let len = region.len();
        Pool::new(region, PoolLayout { offset: 0, stride: len, size: len, count: 2 });
    }

    #[test]
    #[should_panic(expected = "Taken { other: 0..1024 }")]
    fn bytes_of_another_pool_are_refused() {
        let region = region(4096);
        let _first = Pool::new(Arc::clone(&region), PoolLayout { offset: 0, stride: 512, size: 512, count: 2 });
        Pool::new(region, PoolLayout { offset: 1023, stride: 512, size: 512, count: 1 });
    }

    #[test]
    fn bytes_are_free_again_when_the_last_buffer_of_a_pool_is_gone() {
        let region = region(4096);
        let layout = PoolLayout { offset: 0, stride: 512, size: 512, count: 2 };
        let first = Pool::new(Arc::clone(&region), layout);
        let buf = first.get().expect("two slots");
        drop(first);
        assert!(region.claim(&(0..1024)).is_err(), "a buffer is still out");
        drop(buf);
        assert_eq!(Pool::new(region, layout).available(), 2);
    }

    #[test]
    fn neighbouring_pools_share_a_region() {
        let region = region(4096);
        let first = Pool::new(Arc::clone(&region), PoolLayout { offset: 0, stride: 512, size: 512, count: 2 });
        let second = Pool::new(region, PoolLayout { offset: 1024, stride: 512, size: 512, count: 2 });
        let (mut a, mut b) = (first.get().expect("a slot"), second.get().expect("a slot"));
        a.bytes_mut().fill(1);
        b.bytes_mut().fill(2);
        assert!(a.bytes().iter().all(|&byte| byte == 1) && b.bytes().iter().all(|&byte| byte == 2));
    }

    #[test]
    fn an_io_buf_shows_its_part_and_gives_the_whole_back() {
        let pool = crate::testing::pool(4096, 1);
        let mut io = IoBuf::new(pool.get().expect("one slot"), 512..1536);
        assert_eq!((io.len(), io.range()), (1024, 512..1536));
        io.bytes_mut().fill(9);
        let buf = io.into_buf();
        assert_eq!(buf.bytes().iter().filter(|&&byte| byte == 9).count(), 1024);
        assert_eq!((buf.bytes()[511], buf.bytes()[512], buf.bytes()[1535], buf.bytes()[1536]), (0, 9, 9, 0));
        let again = IoBuf::new(buf, 0..4096).with_range(4096..4096);
        assert!(again.is_empty());
    }

    #[test]
    #[should_panic(expected = "is not in a buffer")]
    fn an_io_buf_past_its_buffer_is_refused() {
        let pool = crate::testing::pool(512, 1);
        IoBuf::new(pool.get().expect("one slot"), 1..514);
    }
}
