//! What both planes know of a session: the nexus, and the logical units it sees.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use scsi::{Address, Designation, LogicalUnit, Lun, Peer, PeerUnit, Peers, PortIds, UnitNexus};

use crate::fence::Fence;
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
    pub(crate) fn new(session: SessionId, initiator: PortId, target: PortId, relative_target_port: u16) -> Arc<Nexus> {
        let ports = PortIds { initiator_port_id: initiator.0, target_port_id: target.0, relative_target_port };
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
}

/// The logical units of one session, in ascending order of LUN. Never changed: a new map replaces it.
#[derive(Default)]
pub(crate) struct LunMap {
    luns: Vec<Lun>,
    entries: Vec<LunEntry>,
}

impl LunMap {
    /// Sorts the entries; of two with the same LUN the first stays.
    pub(crate) fn new(mut entries: Vec<LunEntry>) -> Arc<LunMap> {
        entries.sort_by_key(|entry| entry.lun);
        entries.dedup_by_key(|entry| entry.lun);
        Arc::new(LunMap { luns: entries.iter().map(|entry| entry.lun).collect(), entries })
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
}
