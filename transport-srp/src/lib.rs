//! The SRP target (T10 SRP r16a, and SRP2's immediate data): login, channels, credits, commands, task management.
//!
//! # Two planes
//!
//! The *control plane* is the [`Controller`], on one unpinned thread: targets, LUNs, initiator groups, listeners, logins, sessions, and every
//! question that concerns more than one core. It may allocate and make system calls.
//!
//! The *data plane* is one [`PollGroup`] per reactor. It owns its channels and the commands on them for their whole life, its own
//! buffers, and its own channel on every device. It takes no lock, and allocates only when a channel or a unit comes
//! or goes. The two planes share nothing but facts that never change, a few atomics (pending unit attentions, write
//! fences, counters), and the messages of `messages.rs`. Poll groups share one thing more, the board of claims (`exclusion.rs`).
//!
//! # A command's path, top to bottom
//!
//! ```text
//!  initiator                       one core: one thread, no locks, no allocation
//!  SRP_CMD ─────►  1 poll_group.rs   poll()            a receive completed on channel C
//!                  2 channel.rs      on_received()     one credit used, a command slot taken
//!                  3 wire/iu.rs      parse()           bytes → Iu, or the channel is closed
//!                    task_set.rs     admit()           its turn has come, unless an ORDERED command stands before it
//!                  4 command.rs      handle(Arrived)   which way does data flow, how much?
//!                        │ NeedTable/NeedData, Fetch   (data-out only, unless immediate data)
//!  RDMA READ ◄──►  5 transfer.rs     descriptors → segments; perform.rs posts them → Fetched
//!                        │ step()
//!                  6 lib/scsi        answer, block I/O or sense
//!                        │ Submit
//!                  7 bdev            submit() … poll() → Executed
//!                  4 command.rs      handle(Executed)  → Deliver, once buffers and send slots are free
//!  RDMA WRITE ◄──  5 transfer.rs     descriptors → segments
//!  SRP_RSP    ◄──  8 respond.rs      status, sense, residual, credits; posted behind the writes in one doorbell
//!                  9 perform.rs      on_delivered()    buffers back, slot free
//! ```
//!
//! The receive buffer of a command is posted again *before* its response is, so a credit never reaches the initiator
//! ahead of the buffer behind it.
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | channel | one RDMA queue pair with its login, credits and commands (SRP: RDMA channel) |
//! | session, nexus | all channels of one (initiator port id, target port id) pair (SAM: I_T nexus) |
//! | fetch | RDMA READ: initiator → target, data-out of a command, or its descriptor table |
//! | deliver | RDMA WRITE: target → initiator, data-in of a command, then the response |
//! | data-out, data-in | SCSI's words, seen from the initiator |
//! | credit | SRP request limit: permission for the initiator to send one request |
//! | unit | a logical unit; LUN is its number as one initiator sees it |
//! | orphan | a command whose initiator no longer waits for it (aborted, or its channel died) while a device still works on it |
//! | fence | holds commands that touch a unit's medium back while an orphan may still write there, or its device is exchanged |
//! | claim | blocks of a unit, or a turn in its task set, that a command wants for itself, on all cores |
//! | order | a request of task management to one poll group: abort what matches, say when nothing of it can reach the initiator |
//!
//! Reading order: `limits.rs`, `wire/`, `login.rs`, `command.rs`, `transfer.rs`, `respond.rs` (all of them sans-IO: no fabric, no clock, no
//! device), then `channel.rs`, `perform.rs`, `background.rs`, `poll_group.rs`, `task_set.rs`, `exclusion.rs`, `management.rs`, `clearing.rs`,
//! then `controller.rs`, `control.rs`, `reservations.rs`, `exchange.rs`, `masking.rs`, `alua.rs`, `drive.rs`. What all of it leaves behind to be looked
//! at: `statistics.rs`, `inspection.rs`, `trace.rs`.

#![forbid(unsafe_code)]

pub mod limits;
pub mod wire;

mod administration;
mod alua;
mod background;
mod channel;
mod clearing;
mod command;
mod connection;
mod control;
mod controller;
mod drive;
mod exchange;
mod exclusion;
mod fence;
mod initiator_group;
mod inspection;
mod login;
mod management;
mod masking;
mod memory;
mod messages;
mod perform;
mod placement;
mod poll_group;
mod reservations;
mod respond;
mod session;
mod slab;
mod slots;
mod statistics;
mod sync;
mod tags;
mod target;
mod task_set;
mod trace;
mod transfer;
mod waiters;

#[cfg(any(test, feature = "test-utils"))]
pub mod testing;

pub use administration::{AdminError, LunOptions, QUEUE_DEPTH_MAX, TargetOptions};
pub use alua::{PortGroupInfo, PortGroupOptions, StateChange, UnitStateInfo};
pub use controller::{Controller, ControllerOptions, LoginCounts};
pub use exchange::ExchangeState;
pub use initiator_group::{InitiatorGroup, Pattern, PatternError};
pub use inspection::{ChannelInfo, InitiatorGroupInfo, ListenerInfo, LunInfo, MappedLunInfo, SessionInfo, TargetInfo};
pub use masking::LunSource;
pub use memory::MemoryOptions;
pub use poll_group::{PollGroup, PollGroupSeed};
pub use reservations::ReservationInfo;
pub use statistics::{
    ErrorCount, GroupReport, LunReport, Operation, OperationTotals, PoolReport, SessionReport, SessionTotals,
    Statistics, UnitReport,
};
pub use trace::event::{ChannelDeath, EventKind, TraceEvent};
pub use trace::recorder::{FlightRecorder, UnderWay, requests_under_way};
pub use trace::slow::{SlowCommand, WAITS, Wait};

#[cfg(test)]
mod tests;
