//! Targets and the logical units they export. Control plane.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use scsi::alua::AccessState;
use scsi::reservations::Reservations;
use scsi::{Addressing, LogicalUnit, Saved};

use crate::fence::Fence;
use crate::session::UnitId;
use crate::statistics::UnitStatistics;
use crate::wire::port_id::PortId;

/// One SRP target port as initiators address it.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) id_ext: u64,
    pub(crate) ioc_guid: u64,
    /// SAM relative target port identifier, from 1.
    pub(crate) relative_port: u16,
    /// How REPORT LUNS lists its LUNs.
    pub(crate) addressing: Addressing,
    pub(crate) luns: BTreeMap<u16, TargetLun>,
}

/// A unit under a number of one target.
#[derive(Clone, Debug)]
pub(crate) struct TargetLun {
    pub(crate) unit: UnitId,
    pub(crate) read_only: bool,
}

impl Target {
    pub(crate) fn port_id(&self) -> PortId {
        PortId::new(self.id_ext, self.ioc_guid)
    }
}

/// A bdev that at least one target exports: the same logical unit wherever it appears.
pub(crate) struct ExportedUnit {
    pub(crate) logical_unit: Arc<LogicalUnit>,
    pub(crate) fence: Arc<Fence>,
    pub(crate) statistics: Arc<UnitStatistics>,
    /// What it keeps over restarts.
    pub(crate) saved: Saved,
    pub(crate) reservations: Reservations,
    /// States that the administrator set for it alone, by the group's number. None of them is in `saved` too: the later word counts.
    pub(crate) access_states: BTreeMap<u16, AccessState>,
    /// LUNs that refer to it.
    pub(crate) references: usize,
    /// Poll groups that still have to close it, once nothing refers to it.
    pub(crate) closing: usize,
}

/// All exported units. A number is used again only after every poll group has let go of it.
#[derive(Default)]
pub(crate) struct Units {
    units: BTreeMap<u32, ExportedUnit>,
    /// Numbers below the number of entries that were made which are free.
    free: Vec<u32>,
    /// Live units: LUNs refer to them.
    by_bdev: HashMap<String, UnitId>,
    by_naa: HashMap<u64, UnitId>,
}

impl Units {
    /// The live unit over a bdev.
    pub(crate) fn find(&self, bdev: &str) -> Option<UnitId> {
        self.by_bdev.get(bdev).copied()
    }

    /// The live unit that has an identity of this one: another's NAA or EUI-64 designator.
    pub(crate) fn find_same(&self, unit: &LogicalUnit) -> Option<&ExportedUnit> {
        let same_naa = self.by_naa.get(&unit.naa()).and_then(|&id| self.get(id));
        same_naa.or_else(|| {
            let eui64 = unit.eui64()?;
            let live = self.units.values().filter(|unit| unit.references > 0);
            live.into_iter().find(|other| other.logical_unit.eui64() == Some(eui64))
        })
    }

    /// One LUN more refers to a unit.
    pub(crate) fn refer(&mut self, id: UnitId) {
        if let Some(unit) = self.units.get_mut(&id.0) {
            unit.references += 1;
        }
    }

    /// One LUN fewer; whether it was the last, and `groups` poll groups are to close the unit.
    pub(crate) fn release(&mut self, id: UnitId, groups: usize) -> bool {
        let Some(unit) = self.units.get_mut(&id.0) else { return false };
        unit.references -= 1;
        if unit.references > 0 {
            return false;
        }
        unit.closing = groups;
        self.by_bdev.remove(&unit.logical_unit.bdev().info().name);
        self.by_naa.remove(&unit.logical_unit.naa());
        true
    }

    /// Makes an entry for so many poll groups, to be referred to at once.
    pub(crate) fn insert(&mut self, logical_unit: LogicalUnit, saved: Saved, groups: usize) -> UnitId {
        let id = self.free.pop().unwrap_or(self.units.len() as u32);
        self.by_bdev.insert(logical_unit.bdev().info().name.clone(), UnitId(id));
        self.by_naa.insert(logical_unit.naa(), UnitId(id));
        let logical_unit = Arc::new(logical_unit);
        let reservations = Reservations::from(&saved.reservations);
        // One over the same bdev may be closing, and what its device still does for aborted commands must not land behind what comes now.
        let name = &logical_unit.bdev().info().name;
        let closing = self.units.values().find(|unit| unit.logical_unit.bdev().info().name == *name);
        let fence = closing.map(|unit| Arc::clone(&unit.fence)).unwrap_or_default();
        let access_states = BTreeMap::new();
        let statistics = UnitStatistics::new(groups);
        let (references, closing) = (0, 0);
        let unit =
            ExportedUnit { logical_unit, fence, statistics, saved, reservations, access_states, references, closing };
        self.units.insert(id, unit);
        UnitId(id)
    }

    pub(crate) fn get(&self, id: UnitId) -> Option<&ExportedUnit> {
        self.units.get(&id.0)
    }

    pub(crate) fn get_mut(&mut self, id: UnitId) -> Option<&mut ExportedUnit> {
        self.units.get_mut(&id.0)
    }

    /// One poll group closed the unit; it is gone with the last.
    pub(crate) fn closed(&mut self, id: UnitId) {
        if let Some(unit) = self.units.get_mut(&id.0) {
            unit.closing = unit.closing.saturating_sub(1);
            if unit.closing == 0 && unit.references == 0 {
                self.units.remove(&id.0);
                self.free.push(id.0);
            }
        }
    }

    /// Units that are in use or being closed.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (UnitId, &ExportedUnit)> {
        self.units.iter().map(|(&id, unit)| (UnitId(id), unit))
    }
}
