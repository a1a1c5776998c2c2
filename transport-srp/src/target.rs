//! Targets and the logical units they export. Control plane.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use scsi::reservations::Reservations;
use scsi::{LogicalUnit, Saved};

use crate::fence::Fence;
use crate::session::UnitId;
use crate::wire::port_id::PortId;

/// One SRP target port as initiators address it.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) id_ext: u64,
    pub(crate) ioc_guid: u64,
    /// SAM relative target port identifier, from 1.
    pub(crate) relative_port: u16,
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
    /// What it keeps over restarts.
    pub(crate) saved: Saved,
    pub(crate) reservations: Reservations,
    /// LUNs that refer to it.
    pub(crate) references: usize,
    /// Poll groups that still have to close it, once nothing refers to it.
    pub(crate) closing: usize,
}

/// All exported units. A number is used again only after every poll group has let go of it.
#[derive(Default)]
pub(crate) struct Units {
    units: HashMap<u32, ExportedUnit>,
}

impl Units {
    /// The live unit over a bdev.
    pub(crate) fn find(&self, bdev: &str) -> Option<UnitId> {
        let live = |unit: &ExportedUnit| unit.references > 0 && unit.logical_unit.bdev().info().name == bdev;
        self.units.iter().find(|(_, unit)| live(unit)).map(|(&id, _)| UnitId(id))
    }

    pub(crate) fn insert(&mut self, logical_unit: LogicalUnit, saved: Saved) -> UnitId {
        let id = (0..).find(|id| !self.units.contains_key(id)).unwrap_or_default();
        let logical_unit = Arc::new(logical_unit);
        let reservations = Reservations::from(&saved.reservations);
        let fence = Arc::default();
        let unit = ExportedUnit { logical_unit, fence, saved, reservations, references: 0, closing: 0 };
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
            }
        }
    }

    /// Units that are in use or being closed.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (UnitId, &ExportedUnit)> {
        self.units.iter().map(|(&id, unit)| (UnitId(id), unit))
    }
}
