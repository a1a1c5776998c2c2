//! Registered memory: one memory region per device and [`Region`], and the table of local keys that posting looks up.
//! Fenced.
#![allow(unsafe_code)]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mem::{Region, RegionId};
use rdma_core_sys::{Library, ibv_access_flags, ibv_mr, ibv_pd};

use crate::FabricError;

/// Regions that can be registered: their numbers run from 0 and a process makes a handful.
const REGIONS_MAX: usize = 1024;

/// Marks a key as there; the key is the low half.
const PRESENT: u64 = 1 << 32;

/// A region that is registered with every device.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) region: Arc<Region>,
    /// Peers may be given its key.
    pub(super) exposed: bool,
}

/// The keys of one device, by region. Written by the control thread, read by every poll group.
#[derive(Debug)]
pub(super) struct Keys {
    local: Box<[AtomicU64]>,
    remote: Box<[AtomicU64]>,
}

impl Keys {
    pub(super) fn new() -> Keys {
        let none = || (0..REGIONS_MAX).map(|_| AtomicU64::new(0)).collect();
        Keys { local: none(), remote: none() }
    }

    /// The local key of a region.
    ///
    /// # Panics
    /// If the region is not registered: no queue pair is made on a device that lacks a region, so the buffer would come from
    /// one that was never given to `Control::add_region`.
    #[inline]
    pub(super) fn get(&self, region: RegionId) -> u32 {
        // Relaxed is enough: the key is all there is to see, and buffers of the region reach the reader later, by a
        // channel that orders memory.
        let key = self.local[region.index()].load(Ordering::Relaxed);
        assert!(key & PRESENT != 0, "a buffer's region was not registered: give it to Control::add_region first");
        key as u32 // the low half
    }

    /// The key by which peers reach a region.
    ///
    /// # Panics
    /// If they may not: it was given to another function than `Control::add_exposed_region`.
    #[inline]
    pub(super) fn remote(&self, region: RegionId) -> u32 {
        let key = self.remote[region.index()].load(Ordering::Relaxed);
        assert!(key & PRESENT != 0, "a buffer was exposed whose region Control::add_exposed_region never saw");
        key as u32 // the low half
    }

    fn set(&self, region: RegionId, local: u32, remote: Option<u32>) {
        self.local[region.index()].store(PRESENT | u64::from(local), Ordering::Relaxed);
        if let Some(key) = remote {
            self.remote[region.index()].store(PRESENT | u64::from(key), Ordering::Relaxed);
        }
    }
}

/// One `ibv_mr` over a whole region; deregistered on drop.
pub(super) struct Registration {
    library: &'static Library,
    mr: *mut ibv_mr,
    region: Arc<Region>,
}

// SAFETY: libibverbs is thread-safe (ibverbs(7)), and the pointer is used only to deregister, once.
unsafe impl Send for Registration {}

impl Registration {
    /// Pins and registers the whole region, and publishes its keys.
    ///
    /// `remote_write`: iWARP places the answers to RDMA READs by RDMA WRITE, so the sink must allow it (RFC 5040, 5.2).
    /// No other device gets that right, unless the region is to be exposed: no peer is ever given the keys of others.
    ///
    /// # Safety
    /// `pd` is a live protection domain and outlives the registration.
    pub(super) unsafe fn new(
        library: &'static Library,
        pd: *mut ibv_pd,
        device: &str,
        wanted: Wanted,
        remote_write: bool,
        keys: &Keys,
    ) -> Result<Registration, FabricError> {
        let Wanted { region, exposed } = wanted;
        let mut access = ibv_access_flags::IBV_ACCESS_LOCAL_WRITE;
        if exposed {
            access |= ibv_access_flags::IBV_ACCESS_REMOTE_READ | ibv_access_flags::IBV_ACCESS_REMOTE_WRITE;
        }
        if remote_write {
            access |= ibv_access_flags::IBV_ACCESS_REMOTE_WRITE;
        }
        // SAFETY: the range is the region's own mapping, which the `Arc` keeps mapped until after `ibv_dereg_mr`;
        // the caller vouches for `pd`.
        let mr = unsafe { (library.ibv_reg_mr)(pd, region.base().as_ptr().cast(), region.len(), access as i32) };
        if mr.is_null() {
            return Err(refusal(device, region.len(), io::Error::last_os_error()));
        }
        // SAFETY: a memory region just made.
        let (local, remote) = unsafe { ((*mr).lkey, (*mr).rkey) };
        keys.set(region.id(), local, exposed.then_some(remote));
        Ok(Registration { library, mr, region })
    }

    pub(super) fn is_of(&self, region: RegionId) -> bool {
        self.region.id() == region
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: made by `ibv_reg_mr`, deregistered nowhere else; the device drops its registrations only when no
        // queue pair of it is left.
        let errno = unsafe { (self.library.ibv_dereg_mr)(self.mr) };
        if errno != 0 {
            tracing::warn!("ibv_dereg_mr: {}", io::Error::from_raw_os_error(errno));
        }
    }
}

/// Pinning fails with ENOMEM when RLIMIT_MEMLOCK is too low (ibv_reg_mr(3)); whether that was it, the limit tells.
fn refusal(device: &str, bytes: usize, source: io::Error) -> FabricError {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Memlock).current;
    match (source.raw_os_error().map(rustix::io::Errno::from_raw_os_error), limit) {
        (Some(rustix::io::Errno::NOMEM | rustix::io::Errno::AGAIN | rustix::io::Errno::PERM), Some(limit)) => {
            FabricError::LockedMemory { device: device.into(), bytes, limit }
        }
        _ => FabricError::Call { call: "ibv_reg_mr", device: device.into(), source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region() -> Arc<Region> {
        mem::testing::region(4096)
    }

    #[test]
    fn a_published_key_is_found_by_region_even_if_it_is_zero() {
        let keys = Keys::new();
        let (first, second) = (region(), region());
        keys.set(first.id(), 0, None);
        keys.set(second.id(), u32::MAX, Some(0));
        assert_eq!((keys.get(first.id()), keys.get(second.id())), (0, u32::MAX));
        assert_eq!(keys.remote(second.id()), 0);
    }

    #[test]
    #[should_panic(expected = "add_exposed_region")]
    fn a_region_that_is_ours_alone_has_no_key_for_peers() {
        let (keys, region) = (Keys::new(), region());
        keys.set(region.id(), 7, None);
        keys.remote(region.id());
    }

    #[test]
    #[should_panic(expected = "add_region")]
    fn a_region_without_a_key_is_our_bug() {
        Keys::new().get(region().id());
    }

    #[test]
    fn a_refusal_names_the_limit_and_how_to_raise_it() {
        let error = refusal("mlx5_0", 1 << 30, io::Error::from_raw_os_error(12));
        let message = error.to_string();
        // Where the limit is off, the refusal has another reason, and the call's own error is what is known.
        let limited = rustix::process::getrlimit(rustix::process::Resource::Memlock).current.is_some();
        assert!(message.contains("mlx5_0"), "{message}");
        assert!(message.contains(if limited { "ulimit -l unlimited" } else { "ibv_reg_mr" }), "{message}");
    }
}
