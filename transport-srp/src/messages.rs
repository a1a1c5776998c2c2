//! Everything that passes between the control plane and a poll group.

use std::sync::Arc;

use fabric::WorkError;
use scsi::{Address, ControlReply, ControlRequest, LogicalUnit, ProtectionType, UnitAttention};

use crate::fence::Fence;
use crate::session::{ChannelId, LunMap, Nexus, SessionId, UnitId};
use crate::statistics::{ChannelStatistics, UnitStatistics};
use crate::wire::Tag;
use crate::wire::tmf::{TmfFunction, TmfStatus};

/// Control plane → poll group. A group handles them in the order in which they were sent.
pub(crate) enum ToGroup {
    /// Opens the unit's device on this core.
    AddUnit { unit: UnitId, logical_unit: Arc<LogicalUnit>, fence: Arc<Fence>, statistics: Arc<UnitStatistics> },
    /// Closes it once no command uses it any more; answered by `UnitRemoved`.
    RemoveUnit { unit: UnitId },
    /// Closes the unit's device once nothing is in flight on it, and opens it again; answered by `UnitReopened`. The unit's fence is
    /// raised, so nothing more is submitted.
    ReopenUnit { unit: UnitId },
    /// A queue pair to serve; answered by `ChannelReady` or `ChannelRefused`.
    StartChannel(Box<ChannelStart>),
    /// The handshake is over. The group may have heard from the initiator before.
    Established { channel: ChannelId },
    /// Finish what is under way, answer nothing new; answered by `ChannelDrained`.
    DrainChannel { channel: ChannelId },
    /// The queue pair is in error: collect its buffers, leave its commands; answered by `ChannelStopped`.
    StopChannel { channel: ChannelId },
    /// The session's logical units changed.
    SetLuns { channel: ChannelId, luns: Arc<LunMap> },
    /// Abort what matches; answered by `OrderDone`.
    Order { id: u64, scope: AbortScope },
    /// The answer to a `ManagementRequest` or a `Clear`.
    ManagementDone { request: u64, status: TmfStatus },
    /// The answer to a `Control`.
    ControlDone { command: u64, reply: ControlReply },
}

/// Which commands a task management function, or a PREEMPT AND ABORT, is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AbortScope {
    /// ABORT TASK that was not found on its own `channel`: one tag of one session, on other channels.
    Task { session: SessionId, channel: ChannelId, address: Address, tag: Tag },
    /// ABORT TASK SET: all of one session's commands for a unit. The `address` of task management is its LUN: the session's older commands may be
    /// for another unit that was there before.
    TaskSet { session: SessionId, unit: UnitId, address: Address },
    /// LUN RESET: everybody's commands for a unit. Commands of other sessions end with TASK ABORTED status if they are `told`: if the TAS bit
    /// of the control mode page was set before the reset.
    Unit { session: SessionId, unit: UnitId, address: Address, told: bool },
    /// CLEAR TASK SET: likewise, as the TAS bit says; and where it is clear, other sessions are told by a unit attention.
    Cleared { session: SessionId, unit: UnitId, address: Address },
    /// A command of the session ended that takes others with it: as `TaskSet`, or as `Cleared` if it takes `everybody`'s; but not those that
    /// ended in the same way (`clearing.rs`).
    Others { session: SessionId, unit: UnitId, everybody: bool },
    /// PREEMPT AND ABORT of another: all of one session's commands for a unit, those on other units that are at its device included.
    Preempted { session: SessionId, unit: UnitId },
}

/// A channel as its poll group needs it.
pub(crate) struct ChannelStart {
    pub(crate) channel: ChannelId,
    pub(crate) fabric: usize,
    pub(crate) queue_pair: fabric::QueuePair,
    pub(crate) nexus: Arc<Nexus>,
    pub(crate) luns: Arc<LunMap>,
    pub(crate) credits: u32,
    /// Where immediate data lies, if the login agreed on it.
    pub(crate) immediate_offset: Option<u16>,
    pub(crate) statistics: Arc<ChannelStatistics>,
}

/// Poll group → control plane.
pub(crate) enum ToControl {
    /// Receives are posted: the login may be accepted.
    ChannelReady { channel: ChannelId },
    /// No buffers for another channel.
    ChannelRefused { channel: ChannelId, queue_pair: fabric::QueuePair },
    /// The channel cannot go on; disconnect it.
    ChannelFailed { channel: ChannelId, reason: ChannelFailure },
    /// Nothing is under way on it any more.
    ChannelDrained { channel: ChannelId },
    /// Its queue pair is idle and let go of.
    ChannelStopped { channel: ChannelId, queue_pair: fabric::QueuePair },
    /// The unit's device is closed on this core.
    UnitRemoved { unit: UnitId },
    /// The unit's device is open anew on this core, if `opened`; or the unit is not there any more.
    UnitReopened { unit: UnitId, opened: bool },
    /// Task management that concerns other cores too; answered by `ManagementDone`.
    ManagementRequest {
        channel: ChannelId,
        request: u64,
        function: TmfFunction,
        /// There may be none any more under the LUN of an ABORT TASK.
        unit: Option<UnitId>,
        address: Address,
        tag: Tag,
    },
    /// A SCSI command that the control plane carries out; answered by `ControlDone`.
    Control { channel: ChannelId, command: u64, unit: UnitId, request: ControlRequest, parameters: Box<[u8]> },
    /// A FORMAT UNIT has written all blocks of a unit that is to have another type of protection; answered by `ControlDone` if anybody waits
    /// for it.
    Formatted { unit: UnitId, protection: ProtectionType, session: SessionId, waiting: Option<(ChannelId, u64)> },
    /// A command has ended that takes others with it; answered by `ManagementDone` once nothing of them can reach an initiator any more.
    Clear { channel: ChannelId, command: u64, unit: UnitId, everybody: bool },
    /// A device told one session, if any, what all of them have to know.
    UnitChanged { unit: UnitId, attention: UnitAttention, told: Option<SessionId> },
    /// A LOGICAL UNIT RESET has reached the SCSI device behind its unit.
    DeviceReset { id: u64 },
    /// Nothing that the order matched can reach an initiator any more.
    OrderDone { id: u64 },
}

/// Why a poll group gave a channel up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum ChannelFailure {
    #[error("RDMA error: {0}")]
    Work(fabric::WorkError),
    #[error("the initiator sent an information unit that cannot be parsed: {0}")]
    Malformed(crate::wire::iu::IuError),
    #[error("the initiator sent more requests than it has credits")]
    CreditOverrun,
    #[error("the initiator logged out")]
    LoggedOut,
}

impl ChannelFailure {
    /// All names, for metrics.
    pub(crate) const NAMES: [&str; 9] = [
        "flushed",
        "remote_access",
        "remote_request",
        "retries_exceeded",
        "receiver_not_ready",
        "local",
        "malformed",
        "credit_overrun",
        "logged_out",
    ];

    /// Its name among [`ChannelFailure::NAMES`].
    pub(crate) fn index(self) -> usize {
        match self {
            ChannelFailure::Work(WorkError::Flushed) => 0,
            ChannelFailure::Work(WorkError::RemoteAccess) => 1,
            ChannelFailure::Work(WorkError::RemoteRequest) => 2,
            ChannelFailure::Work(WorkError::RetriesExceeded) => 3,
            ChannelFailure::Work(WorkError::ReceiverNotReady) => 4,
            ChannelFailure::Work(WorkError::Local(_)) => 5,
            ChannelFailure::Malformed(_) => 6,
            ChannelFailure::CreditOverrun => 7,
            ChannelFailure::LoggedOut => 8,
        }
    }
}
