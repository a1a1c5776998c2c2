//! A mapping that is registered with devices as a whole, and which parts of it are in use.

use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hugepage_setup::Mapping;

/// Names a region for as long as the process lives: devices keep one memory key per region under this number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RegionId(u32);

impl RegionId {
    /// The number as an index: regions are numbered from 0 in the order in which they were made.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One mapping that pools are cut from. Shared by everybody who needs its address; unmapped with its last owner.
#[derive(Debug)]
pub struct Region {
    id: RegionId,
    mapping: Mapping,
    /// The parts that pools have claimed, in bytes from the base; no two overlap. Touched when a pool is made or dropped.
    claimed: Mutex<Vec<Range<usize>>>,
}

static NEXT_REGION: AtomicU32 = AtomicU32::new(0);

impl Region {
    /// Takes over a mapping and numbers it.
    pub fn new(mapping: Mapping) -> Arc<Region> {
        let id = RegionId(NEXT_REGION.fetch_add(1, Ordering::Relaxed));
        Arc::new(Region { id, mapping, claimed: Mutex::new(Vec::new()) })
    }

    /// The region's number.
    pub fn id(&self) -> RegionId {
        self.id
    }

    /// Address of the first byte.
    pub fn base(&self) -> NonNull<u8> {
        self.mapping.base()
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.mapping.len()
    }

    /// Whether the region holds no byte at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The mapping underneath: its page size and whether it is locked.
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// Sets `part` aside for one pool. `Err` names what stands in the way; nothing is claimed then.
    pub(crate) fn claim(&self, part: &Range<usize>) -> Result<(), ClaimError> {
        if part.start > part.end || part.end > self.len() {
            return Err(ClaimError::Outside { len: self.len() });
        }
        let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(other) = claimed.iter().find(|other| part.start < other.end && other.start < part.end) {
            return Err(ClaimError::Taken { other: other.clone() });
        }
        claimed.push(part.clone());
        Ok(())
    }

    /// Gives a claimed part back.
    pub(crate) fn release(&self, part: &Range<usize>) {
        let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = claimed.iter().position(|other| other == part) {
            claimed.swap_remove(at);
        }
    }
}

/// Why a part of a region cannot be had.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ClaimError {
    /// It ends past the region.
    Outside {
        /// Length of the region in bytes.
        len: usize,
    },
    /// Another pool has bytes of it.
    Taken {
        /// The other pool's part.
        other: Range<usize>,
    },
}
