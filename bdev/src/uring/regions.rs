//! A core's buffers as the kernel's fixed buffers: pinned and looked up once, not for every operation.

use std::sync::Arc;

use mem::{Region, RegionId};

/// Regions cut into pieces that the kernel registers, and where each piece is among them.
#[derive(Debug, Default)]
pub(super) struct Registered {
    /// Held for as long as their addresses are registered: another mapping in their place would not be what is pinned.
    regions: Box<[(Arc<Region>, u16)]>,
}

impl Registered {
    /// The kernel's longest fixed buffer, in bytes.
    const PIECE: u64 = 1 << 30;

    /// Most fixed buffers of a ring that every kernel takes.
    const PIECES_MAX: u64 = 1024;

    /// As many of the regions as can be registered; buffers in others are used as any memory is.
    pub(super) fn of(regions: &[Arc<Region>]) -> Registered {
        let mut next = 0;
        let mut kept = Vec::with_capacity(regions.len());
        for region in regions.iter().filter(|region| !region.is_empty()) {
            let after = next + (region.len() as u64).div_ceil(Registered::PIECE);
            if after > Registered::PIECES_MAX {
                break;
            }
            kept.push((Arc::clone(region), next as u16));
            next = after;
        }
        Registered { regions: kept.into() }
    }

    /// Whether registered memory counts against no limit. Rings count against the same one, and must not be refused because
    /// buffers have used it up.
    pub(super) fn is_free_of_charge() -> bool {
        use rustix::process::{Resource, getrlimit};
        use rustix::thread::{CapabilitySet, capabilities};
        getrlimit(Resource::Memlock).current.is_none()
            || capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.regions.is_empty()
    }

    /// Address and length of each piece, in the order of their numbers.
    pub(super) fn pieces(&self) -> impl Iterator<Item = (u64, u64)> {
        let of_region = |(region, _): &(Arc<Region>, u16)| pieces(region.base().as_ptr() as u64, region.len() as u64);
        self.regions.iter().flat_map(of_region)
    }

    /// The number of the piece that holds all of these bytes of a region, if one does.
    #[inline]
    pub(super) fn number_of(&self, id: RegionId, addr: u64, len: usize) -> Option<u16> {
        let (region, first) = self.regions.iter().find(|(region, _)| region.id() == id)?;
        let piece = piece_of(addr - region.base().as_ptr() as u64, len as u64)?;
        Some(first + piece)
    }
}

fn pieces(base: u64, len: u64) -> impl Iterator<Item = (u64, u64)> {
    let starts = (0..len).step_by(Registered::PIECE as usize);
    starts.map(move |start| (base + start, (len - start).min(Registered::PIECE)))
}

/// The piece of its region that bytes lie in, unless they lie in two.
#[inline]
fn piece_of(offset: u64, len: u64) -> Option<u16> {
    let first = offset / Registered::PIECE;
    let last = (offset + len.saturating_sub(1)) / Registered::PIECE;
    // There are PIECES_MAX at most.
    (first == last).then_some(first as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn long_regions_are_cut_into_pieces_that_the_kernel_takes() {
        let cut = |len| pieces(4096, len).collect::<Vec<_>>();
        assert_eq!(cut(0), []);
        assert_eq!(cut(512), [(4096, 512)]);
        assert_eq!(cut(GIB), [(4096, GIB)]);
        assert_eq!(cut(2 * GIB + 1), [(4096, GIB), (4096 + GIB, GIB), (4096 + 2 * GIB, 1)]);
    }

    #[test]
    fn bytes_that_lie_in_two_pieces_are_in_none() {
        for (offset, len, piece) in [
            (0, 512, Some(0)),
            (GIB - 512, 512, Some(0)),
            (GIB - 512, 513, None),
            (GIB, 1, Some(1)),
            (3 * GIB - 1, 1, Some(2)),
            (GIB - 1, 0, Some(0)),
            (0, 2 * GIB, None),
        ] {
            assert_eq!(piece_of(offset, len), piece, "{offset}+{len}");
        }
    }

    #[test]
    fn each_region_has_its_own_numbers_and_strangers_have_none() {
        let regions = [mem::testing::region(8192), mem::testing::region(4096)];
        let other = mem::testing::region(4096);
        let registered = Registered::of(&regions);
        let listed: Vec<_> = registered.pieces().collect();
        for (number, region) in regions.iter().enumerate() {
            let base = region.base().as_ptr() as u64;
            assert_eq!(listed[number], (base, region.len() as u64));
            assert_eq!(registered.number_of(region.id(), base + 512, 512), Some(number as u16));
        }
        assert_eq!(registered.number_of(other.id(), other.base().as_ptr() as u64, 512), None);
        assert!(Registered::of(&[]).is_empty() && !registered.is_empty());
    }
}
