//! What both planes know of a session: the nexus, and the logical units it sees.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};

use scsi::{
    Address, Addressing, Designation, LogicalUnit, Lun, Peer, PeerUnit, Peers, PortIds, UnitAttention, UnitNexus,
};

use crate::fence::Fence;
use crate::statistics::LunStatistics;
use crate::wire::port_id::PortId;

/// A session's number, unique while the process lives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SessionId(pub u64);

/// A channel's number, unique while the process lives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ChannelId(pub u64);

/// An exported unit's number: an index into each poll group's table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct UnitId(pub(crate) u32);

/// Fixed facts of one I_T nexus, shared by all of its channels wherever they live.
#[derive(Debug)]
pub(crate) struct Nexus {
    pub(crate) session: SessionId,
    pub(crate) ports: PortIds,
    /// Channels of the session now; kept by the control plane.
    channels: AtomicU32,
}

impl Nexus {
    pub(crate) fn new(
        session: SessionId,
        initiator: PortId,
        target: PortId,
        relative_target_port: u16,
        addressing: Addressing,
    ) -> Arc<Nexus> {
        let ports =
            PortIds { initiator_port_id: initiator.0, target_port_id: target.0, relative_target_port, addressing };
        Arc::new(Nexus { session, ports, channels: AtomicU32::new(0) })
    }

    pub(crate) fn set_channels(&self, count: usize) {
        self.channels.store(u32::try_from(count).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// Whether a command could be on a channel other than the one at hand.
    pub(crate) fn has_several_channels(&self) -> bool {
        self.channels.load(Ordering::Relaxed) > 1
    }
}

/// One logical unit as one session sees it.
#[derive(Clone)]
pub(crate) struct LunEntry {
    pub(crate) lun: Lun,
    pub(crate) unit: UnitId,
    pub(crate) logical_unit: Arc<LogicalUnit>,
    pub(crate) nexus: Arc<UnitNexus>,
    pub(crate) fence: Arc<Fence>,
    pub(crate) read_only: bool,
    pub(crate) statistics: Arc<LunStatistics>,
}

/// The logical units of one session, in ascending order of LUN. Never changed: a new map replaces it.
#[derive(Default)]
pub(crate) struct LunMap {
    luns: Vec<Lun>,
    entries: Vec<LunEntry>,
    /// Another is on its way to the channels.
    is_outdated: AtomicBool,
}

impl LunMap {
    /// Sorts the entries; of two with the same LUN the first stays.
    pub(crate) fn new(mut entries: Vec<LunEntry>) -> Arc<LunMap> {
        entries.sort_by_key(|entry| entry.lun);
        entries.dedup_by_key(|entry| entry.lun);
        Arc::new(LunMap { luns: entries.iter().map(|entry| entry.lun).collect(), entries, is_outdated: false.into() })
    }

    /// Says that another map comes; to be called before anybody is told of what changed.
    pub(crate) fn set_outdated(&self) {
        self.is_outdated.store(true, Ordering::Relaxed);
        fence(Ordering::Release);
    }

    /// What REPORT LUNS shows.
    pub(crate) fn luns(&self) -> &[Lun] {
        &self.luns
    }

    pub(crate) fn entries(&self) -> &[LunEntry] {
        &self.entries
    }

    /// The entry that a LUN field is about, by its index in [`LunMap::entries`].
    #[inline]
    pub(crate) fn find(&self, address: Address) -> Option<usize> {
        let Address::Unit(lun) = address else { return None };
        // Most maps are short and dense: the entry is usually where its number says.
        let guess = usize::from(lun.0);
        if self.luns.get(guess) == Some(&lun) {
            return Some(guess);
        }
        self.luns.binary_search(&lun).ok()
    }
}

impl Peers for LunMap {
    fn find(&self, descriptor: &Designation<'_>) -> Option<Peer> {
        let has = |entry: &LunEntry| entry.logical_unit.is_named(descriptor);
        self.entries.iter().position(has).and_then(|index| u16::try_from(index).ok()).map(Peer)
    }

    fn unit(&self, peer: Peer) -> Option<PeerUnit<'_>> {
        let entry = self.entries.get(usize::from(peer.0))?;
        Some(PeerUnit { unit: &entry.logical_unit, nexus: &entry.nexus, read_only: entry.read_only })
    }

    /// A channel may list its LUNs when the next map is under way and its news has been told already. That is not to be forgotten with
    /// this list.
    fn clear(&self, attention: UnitAttention) {
        self.entries.iter().for_each(|entry| entry.nexus.clear(attention));
        // Pairs with the one of `set_outdated`: whoever took news of another map away sees that this one is outdated.
        fence(Ordering::Acquire);
        if self.is_outdated.load(Ordering::Relaxed) {
            self.entries.iter().for_each(|entry| entry.nexus.establish(attention));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map() -> Arc<LunMap> {
        let bdev = bdev::null::create(bdev::null::NullOptions {
            name: "disk".into(),
            num_blocks: 8,
            block_size: 512,
            ..Default::default()
        });
        let unit = scsi::UnitOptions::new(bdev.expect("a null device"));
        let (nexus, fence) = Default::default();
        let logical_unit = Arc::new(LogicalUnit::new(unit).expect("a unit"));
        let (unit, statistics) = (UnitId(0), LunStatistics::new(1));
        LunMap::new(vec![LunEntry { lun: Lun(3), unit, logical_unit, nexus, fence, read_only: false, statistics }])
    }

    /// REPORT LUNS on one core, while the control thread adds a LUN and the new map waits in the core's mailbox.
    #[test]
    fn an_outdated_list_does_not_take_the_news_of_the_next_away() {
        let map = map();
        let nexus = &map.entries()[0].nexus;
        nexus.establish(UnitAttention::ReportedLunsChanged);
        map.clear(UnitAttention::ReportedLunsChanged);
        assert!(!nexus.has_pending());
        map.set_outdated();
        nexus.establish(UnitAttention::ReportedLunsChanged);
        map.clear(UnitAttention::ReportedLunsChanged);
        assert_eq!(nexus.take(), Some(UnitAttention::ReportedLunsChanged));
    }
}
