//! Packet buffers: memory of DPDK's that devices read and write, each with one owner at a time.
#![allow(unsafe_code, reason = "the buffers are DPDK's, and handed to it and to devices by address")]

use std::ffi::{CStr, CString};
use std::fmt;
use std::io;
use std::ptr::NonNull;

use arrayvec::ArrayVec;
use dpdk_sys as sys;

use super::environment::last_error;
use crate::roce::packet_io::DATAGRAM_MAX;
use crate::roce::wire::FRAME_HEADERS_MAX;

/// Buffers that are taken, sent or freed with one call.
pub const BURST: usize = 32;

/// At most [`BURST`] packets.
pub type Burst = ArrayVec<Mbuf, BURST>;

/// Bytes of a frame that fit one buffer, so that no frame of ours and none of a peer's spans several. More than the
/// longest frame, because some devices take their buffers in units of 1 KiB.
pub const FRAME_MAX: usize = 5 << 10;

const _: () = assert!(FRAME_HEADERS_MAX + DATAGRAM_MAX <= FRAME_MAX, "the longest frame fits");

/// How buffers wait for their next use: in a stack without locks. DPDK's usual ring makes others spin while a thread is
/// suspended in the middle of an operation, as the control thread, which has no CPU of its own, may be.
const WAITING_IN: &CStr = c"lf_stack";

/// Where buffers come from and go back to by themselves. It lasts as long as the process.
#[derive(Clone, Copy)]
pub struct Pool(NonNull<sys::rte_mempool>);

// SAFETY: a pool with a lock-free stack may be used by any thread at any time, and this one is never freed.
unsafe impl Send for Pool {}
// SAFETY: as above.
unsafe impl Sync for Pool {}

impl Pool {
    /// Makes a pool on a NUMA node (-1: any).
    pub fn new(name: &str, buffers: u32, numa_node: i32) -> io::Result<Pool> {
        let name = CString::new(name).map_err(|_| io::ErrorKind::InvalidInput)?;
        let room = (sys::RTE_PKTMBUF_HEADROOM as usize + FRAME_MAX) as u16;
        // SAFETY: both strings end with a zero and live until the call is over.
        let pool = unsafe {
            sys::rte_pktmbuf_pool_create_by_ops(name.as_ptr(), buffers, 0, 0, room, numa_node, WAITING_IN.as_ptr())
        };
        let pool = NonNull::new(pool);
        pool.map(Pool).ok_or_else(|| last_error(&format!("no memory for {buffers} packet buffers")))
    }

    pub(super) fn as_ptr(&self) -> *mut sys::rte_mempool {
        self.0.as_ptr()
    }

    /// Fills `burst` with empty buffers, or leaves it as it is if there are not enough.
    pub fn fill(&self, burst: &mut Burst) {
        let (len, wanted) = (burst.len(), burst.remaining_capacity());
        // SAFETY: `Mbuf` is a pointer to a buffer, and behind the `len` in use there is room for `wanted` more. All of
        // them were written if the result is 0, and belong to the caller then.
        unsafe {
            let room = burst.as_mut_ptr().add(len).cast::<*mut sys::rte_mbuf>();
            if sys::shim_mbuf_alloc_bulk(self.as_ptr(), room, wanted as u32) == 0 {
                burst.set_len(len + wanted);
            }
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pool")
    }
}

/// A buffer that nobody else has, neither device nor program.
#[repr(transparent)]
pub struct Mbuf(NonNull<sys::rte_mbuf>);

// SAFETY: a buffer is tied to no thread.
unsafe impl Send for Mbuf {}

impl Mbuf {
    /// The frame in it; `None` if it goes on in another buffer.
    #[inline]
    pub fn frame(&self) -> Option<&[u8]> {
        // SAFETY: the buffer is ours, so nobody writes it while `self` is borrowed. Its data are initialised: the kernel
        // gives memory zeroed, and what was written since was written outside of Rust, or by `append`'s callers.
        unsafe {
            if sys::shim_mbuf_is_contiguous(self.0.as_ptr()) == 0 {
                return None;
            }
            let len = sys::shim_mbuf_data_len(self.0.as_ptr());
            Some(std::slice::from_raw_parts(sys::shim_mbuf_data(self.0.as_ptr()), len.into()))
        }
    }

    /// Makes the frame that much longer and gives the new bytes, which hold anything.
    ///
    /// # Panics
    /// If an empty buffer would hold more than [`FRAME_MAX`] then: our own bug.
    #[inline]
    pub fn append(&mut self, len: usize) -> &mut [u8] {
        assert!(len <= FRAME_MAX, "a frame of {len} bytes");
        // SAFETY: as in `frame`; DPDK checks that there is room behind the data and gives their address.
        unsafe {
            let bytes = sys::shim_mbuf_append(self.0.as_ptr(), len as u16);
            let bytes = NonNull::new(bytes).expect("an empty buffer has room for a frame");
            std::slice::from_raw_parts_mut(bytes.as_ptr(), len)
        }
    }

    /// The first bytes of the frame.
    #[inline]
    pub fn first_bytes_mut<const N: usize>(&mut self) -> Option<&mut [u8; N]> {
        // SAFETY: as in `frame`; the borrow of `self` is exclusive, and there are `N` bytes of data or more.
        unsafe {
            let enough = usize::from(sys::shim_mbuf_data_len(self.0.as_ptr())) >= N;
            enough.then(|| &mut *sys::shim_mbuf_data(self.0.as_ptr()).cast::<[u8; N]>())
        }
    }
}

impl Drop for Mbuf {
    fn drop(&mut self) {
        // SAFETY: the buffer is ours, and not used after this.
        unsafe { sys::shim_mbuf_free(self.0.as_ptr()) }
    }
}

impl fmt::Debug for Mbuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mbuf")
    }
}

/// Gives all buffers back at once.
#[inline]
pub fn free(burst: &mut Burst) {
    let count = burst.len() as u32;
    // SAFETY: the buffers are ours; the list forgets them before anything else could use them.
    unsafe {
        sys::rte_pktmbuf_free_bulk(burst.as_mut_ptr().cast(), count);
        burst.set_len(0);
    }
}
