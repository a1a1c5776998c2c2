//! What is counted about commands, channels and cores: written by the core that does the work, read by anybody.
//!
//! A block of counters belongs to one core, or to one channel, which lives on one core; so counting needs no locked instruction, and nothing is
//! shared between cores but what somebody reads. Blocks are made by the control plane (when a LUN is exported, a login comes), so the data
//! path allocates nothing for them.
//!
//! A command is counted once, when the round that posted its response has ended (`meter.rs`): its latency runs from the round that took it
//! to the start of the next round after its response. Reactors read the clock once a round, and the doorbell of a response rings at the round's end.
//!
//! Reading order: `operation.rs` (what a command is for), `errors.rs` (how it failed), `meter.rs` (the data path's part), `report.rs` (what
//! the control plane tells).

mod errors;
mod meter;
mod operation;
mod report;

use std::collections::BTreeMap;
use std::sync::Arc;

use metrics::{CacheAligned, Counter, Gauge, Histogram, Latency};

pub(crate) use self::errors::CommandError;
pub use self::errors::ErrorCount;
pub(crate) use self::meter::{Watch, count_abort, count_task_aborted};
pub use self::operation::Operation;
pub use self::report::{
    GroupReport, LunReport, OperationTotals, PoolReport, SessionReport, SessionTotals, Statistics, UnitReport,
};
use crate::wire::tmf::TmfFunction;

/// What happened on one channel since its login.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct ChannelStatistics {
    /// SRP_CMD received.
    pub(crate) commands: Counter,
    /// SRP_TSK_MGMT received.
    pub(crate) management: Counter,
    /// Bytes fetched or received with commands (data-out).
    pub(crate) bytes_out: Counter,
    /// Bytes delivered (data-in).
    pub(crate) bytes_in: Counter,
    /// Responses with CHECK CONDITION or another status than GOOD.
    pub(crate) failures: Counter,
    /// Commands aborted.
    pub(crate) aborts: Counter,
    /// Times a command waited for a buffer.
    pub(crate) buffer_waits: Counter,
    /// Times a command waited for send slots.
    pub(crate) send_waits: Counter,
    /// SRP_CRED_REQ sent.
    pub(crate) credit_requests: Counter,
    /// Requests under way; brought up to date from time to time.
    pub(crate) requests: Gauge,
    /// Credits that the initiator does not have, likewise.
    pub(crate) credits_used: Gauge,
    /// Commands answered.
    pub(crate) operations: [OperationCounters; Operation::COUNT],
}

/// Commands of one kind that were answered.
#[derive(Debug, Default)]
pub(crate) struct OperationCounters {
    /// Data that they moved, if they succeeded.
    bytes: Counter,
    /// Of every one, so its count is theirs.
    latency: Histogram,
}

impl OperationCounters {
    #[inline]
    fn record(&self, bytes: u64, latency: Latency) {
        self.bytes.add(bytes);
        self.latency.record_latency(latency);
    }
}

/// What happened at one LUN since it is there, with a block for each core.
#[derive(Debug)]
pub(crate) struct LunStatistics {
    cores: Box<[CacheAligned<LunCounters>]>,
}

/// See [`LunStatistics`].
#[derive(Debug, Default)]
pub(crate) struct LunCounters {
    operations: [OperationCounters; Operation::COUNT],
    errors: [Counter; CommandError::COUNT],
    aborts: Counter,
}

impl LunStatistics {
    /// All zero, for so many poll groups.
    pub(crate) fn new(groups: usize) -> Arc<LunStatistics> {
        Arc::new(LunStatistics { cores: (0..groups).map(|_| CacheAligned::default()).collect() })
    }

    /// The block of a poll group, by its number: nobody else counts in it.
    #[inline]
    pub(crate) fn of(&self, group: usize) -> &LunCounters {
        &self.cores[group]
    }
}

/// Which LUN.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct LunKey {
    pub(crate) target: String,
    /// The initiator group whose own map it is in; `None`: it is the target's.
    pub(crate) group: Option<String>,
    pub(crate) lun: u16,
}

/// The statistics of every LUN.
pub(crate) type LunTable = BTreeMap<LunKey, Arc<LunStatistics>>;

/// What a poll group counts besides, and how it stands.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct GroupStatistics {
    /// Times a command waited for each of [`WAITS`].
    pub(crate) waits: [Counter; WAITS.len()],
    /// Task management requests by their function, at the place that [`management_index`] says.
    pub(crate) management: [Counter; MANAGEMENT.len()],
    /// These and the following are brought up to date from time to time. Requests that have a slot, orphans among them.
    pub(crate) commands: Gauge,
    /// Commands that nobody waits for any more, at a device or in the background.
    pub(crate) orphans: Gauge,
    /// Commands that wait for each of [`WAITS`] now.
    pub(crate) waiting: [Gauge; WAITS.len()],
    /// Free buffers of each of [`crate::memory::POOLS`].
    pub(crate) free: [Gauge; crate::memory::POOLS.len()],
}

/// What commands wait for: buffers for descriptor tables and for data, send slots, and their device's turn.
pub(crate) const WAITS: [&str; 4] = ["table_buffer", "data_buffer", "send_slot", "device"];

/// Names of task management functions, by [`management_index`].
const MANAGEMENT: [&str; 6] =
    ["abort_task", "abort_task_set", "clear_task_set", "logical_unit_reset", "clear_aca", "unknown"];

/// Where a function is counted.
pub(crate) fn management_index(function: Result<TmfFunction, u8>) -> usize {
    match function {
        Ok(TmfFunction::AbortTask) => 0,
        Ok(TmfFunction::AbortTaskSet) => 1,
        Ok(TmfFunction::ClearTaskSet) => 2,
        Ok(TmfFunction::LunReset) => 3,
        Ok(TmfFunction::ClearAca) => 4,
        Err(_) => 5,
    }
}

/// How many operations there are at the device of a unit, core by core; brought up to date from time to time.
#[derive(Debug)]
pub(crate) struct UnitStatistics {
    in_flight: Box<[CacheAligned<Gauge>]>,
}

impl UnitStatistics {
    /// For so many poll groups.
    pub(crate) fn new(groups: usize) -> Arc<UnitStatistics> {
        Arc::new(UnitStatistics { in_flight: (0..groups).map(|_| CacheAligned::default()).collect() })
    }

    /// That of a poll group, by its number.
    pub(crate) fn in_flight(&self, group: usize) -> &Gauge {
        &self.in_flight[group]
    }
}
