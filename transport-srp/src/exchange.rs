//! Another file takes the place of a bdev's while initiators use it.
//!
//! ```text
//!   control plane: fences up ─► the new file is in place ─► ReopenUnit to every core …all answered ─► size, unit attentions ─► fences down
//!   each core:                                               in flight: wait; then close, open
//! ```
//!
//! From the first fence on no core submits anything, so no command acts on the old medium after another has acted on the new one,
//! and every initiator is told (SAM-5: unit attention) before its next command. Commands that wait at the fence go on with the new
//! medium; those in flight ended on the old one.

use std::sync::Arc;

use scsi::UnitAttention;

use crate::controller::Controller;
use crate::fence::Fence;
use crate::messages::ToGroup;
use crate::session::UnitId;

/// The exchange of one bdev.
pub(crate) struct Exchange {
    bdev: String,
    units: Vec<(UnitId, Arc<Fence>)>,
    /// Answers of poll groups that are still to come.
    remaining: usize,
    opened: bool,
}

/// How far an exchange is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExchangeState {
    /// Commands are under way on the old file.
    Working,
    /// Every core has the bdev open anew. Call [`Controller::end_exchange`].
    Done,
    /// As `Done`, but a core could not open it, which its log says: commands fail there.
    Failed,
}

impl Controller {
    /// Keeps commands off every unit on the bdev, or on one that stands on it; calls `install`, after which channels are opened on
    /// something else; and has them opened anew on every core. Ends by [`Controller::end_exchange`].
    pub fn start_exchange(&mut self, bdev: &str, install: impl FnOnce()) {
        let on_it = self.units.iter().filter(|(_, unit)| unit.logical_unit.bdev().stands_on(bdev));
        let units: Vec<_> = on_it.map(|(id, unit)| (id, Arc::clone(&unit.fence))).collect();
        units.iter().for_each(|(_, fence)| fence.raise());
        install();
        for &(unit, _) in &units {
            self.tell_all(|| ToGroup::ReopenUnit { unit });
        }
        let remaining = units.len() * self.groups.len();
        self.exchanges.push(Exchange { bdev: bdev.into(), units, remaining, opened: true });
    }

    /// How far the exchange of a bdev is; `None` if there is none.
    pub fn exchange_state(&self, bdev: &str) -> Option<ExchangeState> {
        let exchange = self.exchanges.iter().find(|exchange| exchange.bdev == bdev)?;
        Some(match (exchange.remaining, exchange.opened) {
            (0, true) => ExchangeState::Done,
            (0, false) => ExchangeState::Failed,
            _ => ExchangeState::Working,
        })
    }

    /// Tells every initiator of what has changed, and lets commands through again. The bdev has its new size by now.
    pub fn end_exchange(&mut self, bdev: &str, attentions: &[UnitAttention]) {
        let Some(found) = self.exchanges.iter().position(|exchange| exchange.bdev == bdev) else { return };
        attentions.iter().for_each(|&attention| self.bdev_changed(bdev, attention));
        for (unit, fence) in self.exchanges.remove(found).units {
            if let Some(exported) = self.units.get(unit) {
                exported.logical_unit.load_medium();
            }
            fence.lower();
        }
    }

    /// One poll group is done with one unit.
    pub(crate) fn on_unit_reopened(&mut self, unit: UnitId, opened: bool) {
        let about =
            |exchange: &&mut Exchange| exchange.remaining > 0 && exchange.units.iter().any(|(id, _)| *id == unit);
        if let Some(exchange) = self.exchanges.iter_mut().find(about) {
            exchange.remaining -= 1;
            exchange.opened &= opened;
        }
    }
}
