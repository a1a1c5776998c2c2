//! Turns a CDB into a decision for one logical unit.
//!
//! Nothing in here does I/O, waits, allocates on the data path or knows a transport. A transport gives a command's CDB
//! and a [`Context`] to [`begin`], which parses all of it and either refuses the command or returns a [`Job`]. The
//! transport then finds a buffer of [`Job::buffer_len`] bytes, brings [`Job::data_out_len`] bytes from the initiator to
//! its start, and calls [`Job::step`] until it is done:
//!
//! ```text
//!   CDB ──► begin ──► Err(Ending) ─────────────────────────────────► answer
//!             │
//!             └────► Job ──► buffer, data-out ──► step ──► Done(Ending) ──► answer
//!                                                  ▲ │
//!                                        result of │ └─ Io ──► device
//!                                        the I/O   └──────────────┘
//! ```
//!
//! Who owns what: a [`LogicalUnit`] belongs to all cores and never changes but for a few atomics; a [`UnitNexus`] is
//! what one initiator has not been told yet about one unit; a job belongs to the command, and its buffer to the transport, which
//! lends it for a step. A job may be dropped between two steps, which is how a command is aborted.
//!
//! Standards: SAM-5, SPC-4 and SBC-3. A comment names the standard; the subclause is the one titled with the name of the
//! command, page or field, as their numbers differ from revision to revision.
//!
//! Reading order: this file ([`COMMANDS`], what is supported), `command.rs` (CDB to command), `execute.rs` (command to
//! steps), `medium/` (commands that do I/O), `answer/` (commands that do not), `copy/` (third-party copies), `cd/` (CD drives), `control.rs` (what
//! the control plane does), `through.rs` (SCSI devices behind units), `protection.rs` (units whose blocks have metadata), `mode/` (mode pages),
//! `unit.rs`, `state.rs`, `nexus.rs`, `alua.rs`, `reservations/`, `access.rs` (whose commands those two stop), `lun.rs`, `wire/`.
//!
//! To add a command: its operation code in `wire/cdb.rs`, a variant and a parser in `command.rs`, a function in
//! `medium/` or `answer/`, an arm in [`Job::step`], and a row in [`COMMANDS`] and in docs/scsi.md (`documentation/`). Tests compare the rows with the dispatcher and each
//! row's usage bits with what the parser reads.

#![forbid(unsafe_code)]

mod access;
pub mod alua;
mod answer;
mod cd;
mod command;
mod command_table;
pub mod control;
mod copy;
mod describe;
#[cfg(test)]
mod documentation;
mod eui64;
mod execute;
pub mod limits;
mod lun;
mod medium;
mod mode;
mod nexus;
mod protection;
pub mod reservations;
mod saved;
#[cfg(any(test, feature = "test-utils"))]
pub mod script;
mod state;
mod task_set;
#[cfg(test)]
mod testing;
mod through;
mod unit;
pub mod wire;

pub use cd::Drive;
pub use cd::commands::CD_COMMANDS;
pub use command_table::{CommandInfo, Needs};
pub use control::{ControlReply, ControlRequest};
pub use describe::{CdbDescription, describe_cdb};
pub use eui64::{Eui64, Eui64Error};
pub use execute::{Context, Designation, Ending, Express, Job, NoPeers, Peer, PeerUnit, Peers, PortIds, Step, begin};
pub use limits::SCRATCH_BYTES;
pub use lun::{Address, Addressing, Lun};
pub use mode::{Exceptions, ModeParameters};
pub use nexus::{PathState, ReservedFor, UnitAttention, UnitNexus};
pub use protection::ProtectionType;
pub use saved::{ApplicationLog, Identifying, Keeper, Saved, Store, StoreError};
pub use state::SelfTestFailure;
pub use task_set::{AttentionInterlock, QueueError, TaskSet};
pub use through::unit_attention_of;
pub use unit::{DefaultIdentity, DeviceType, LogicalUnit, UnitError, UnitOptions};
pub use wire::sense::{FieldPointer, ScsiStatus, Sense, SenseKey};

use command_table::{LONG, QUICK, WHOLE_MEDIUM, action, disk};
use wire::cdb::{opcode::*, service_action::*};

/// All supported commands by operation code, for units that are not SCSI devices themselves (`through.rs`). A test compares it with the dispatcher, both ways.
#[rustfmt::skip]
pub const COMMANDS: &[CommandInfo] = &[
    disk(TEST_UNIT_READY, "TEST UNIT READY", &[0x00, 0, 0, 0, 0, 0x04], QUICK),
    disk(REQUEST_SENSE, "REQUEST SENSE", &[0x03, 0x01, 0, 0, 0xff, 0x04], QUICK),
    disk(FORMAT_UNIT, "FORMAT UNIT", &[0x04, 0xf7, 0, 0, 0x03, 0x04], WHOLE_MEDIUM),
    disk(READ_6, "READ(6)", &[0x08, 0x1f, 0xff, 0xff, 0xff, 0x04], QUICK),
    disk(WRITE_6, "WRITE(6)", &[0x0a, 0x1f, 0xff, 0xff, 0xff, 0x04], QUICK),
    disk(INQUIRY, "INQUIRY", &[0x12, 0x03, 0xff, 0xff, 0xff, 0x04], QUICK),
    disk(MODE_SELECT_6, "MODE SELECT(6)", &[0x15, 0x11, 0, 0, 0xff, 0x04], QUICK),
    disk(RESERVE_6, "RESERVE(6)", &[0x16, 0x11, 0, 0, 0, 0x04], QUICK),
    disk(RELEASE_6, "RELEASE(6)", &[0x17, 0x11, 0, 0, 0, 0x04], QUICK),
    disk(MODE_SENSE_6, "MODE SENSE(6)", &[0x1a, 0x08, 0xff, 0xff, 0xff, 0x04], QUICK),
    disk(START_STOP_UNIT, "START STOP UNIT", &[0x1b, 0, 0, 0x0f, 0xf7, 0x04], QUICK),
    disk(RECEIVE_DIAGNOSTIC_RESULTS, "RECEIVE DIAGNOSTIC RESULTS", &[0x1c, 0x01, 0xff, 0xff, 0xff, 0x04], QUICK),
    disk(SEND_DIAGNOSTIC, "SEND DIAGNOSTIC", &[0x1d, 0xf4, 0, 0xff, 0xff, 0x04], LONG),
    disk(PREVENT_ALLOW_MEDIUM_REMOVAL, "PREVENT ALLOW MEDIUM REMOVAL", &[0x1e, 0, 0, 0, 0x03, 0x04], QUICK),
    disk(READ_CAPACITY_10, "READ CAPACITY(10)", &[0x25, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0x01, 0x04], QUICK),
    disk(READ_10, "READ(10)", &[0x28, 0xf8, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04], QUICK),
    disk(WRITE_10, "WRITE(10)", &[0x2a, 0xf8, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04], QUICK),
    disk(WRITE_AND_VERIFY_10, "WRITE AND VERIFY(10)", &[0x2e, 0xf6, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04], LONG),
    disk(VERIFY_10, "VERIFY(10)", &[0x2f, 0xf6, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04], LONG),
    disk(PRE_FETCH_10, "PRE-FETCH(10)", &[0x34, 0, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04], QUICK),
    disk(SYNCHRONIZE_CACHE_10, "SYNCHRONIZE CACHE(10)", &[0x35, 0x02, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04], LONG),
    disk(READ_DEFECT_DATA_10, "READ DEFECT DATA(10)", &[0x37, 0, 0x1f, 0, 0, 0, 0, 0xff, 0xff, 0x04], QUICK),
    disk(WRITE_BUFFER, "WRITE BUFFER", &[0x3b, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x04], QUICK),
    disk(READ_BUFFER, "READ BUFFER", &[0x3c, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x04], QUICK),
    disk(WRITE_SAME_10, "WRITE SAME(10)", &[0x41, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04], LONG),
    CommandInfo { needs: Needs::Unmap, ..disk(UNMAP, "UNMAP", &[0x42, 0x01, 0, 0, 0, 0, 0, 0xff, 0xff, 0x04], LONG) },
    action(SANITIZE, SANITIZE_OVERWRITE, "SANITIZE, OVERWRITE", &[0x48, 0xa1, 0, 0, 0, 0, 0, 0xff, 0xff, 0x04], WHOLE_MEDIUM),
    CommandInfo { needs: Needs::Unmap, ..action(SANITIZE, SANITIZE_BLOCK_ERASE, "SANITIZE, BLOCK ERASE", &[0x48, 0xa2, 0, 0, 0, 0, 0, 0xff, 0xff, 0x04], WHOLE_MEDIUM) },
    action(SANITIZE, SANITIZE_EXIT_FAILURE_MODE, "SANITIZE, EXIT FAILURE MODE", &[0x48, 0x1f, 0, 0, 0, 0, 0, 0xff, 0xff, 0x04], QUICK),
    disk(LOG_SELECT, "LOG SELECT", &[0x4c, 0x03, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 0x04], QUICK),
    disk(LOG_SENSE, "LOG SENSE", &[0x4d, 0x03, 0xff, 0xff, 0, 0xff, 0xff, 0xff, 0xff, 0x04], QUICK),
    disk(MODE_SELECT_10, "MODE SELECT(10)", &[0x55, 0x11, 0, 0, 0, 0, 0, 0xff, 0xff, 0x04], QUICK),
    disk(RESERVE_10, "RESERVE(10)", &[0x56, 0x13, 0, 0, 0, 0, 0, 0, 0, 0x04], QUICK),
    disk(RELEASE_10, "RELEASE(10)", &[0x57, 0x13, 0, 0, 0, 0, 0, 0, 0, 0x04], QUICK),
    disk(MODE_SENSE_10, "MODE SENSE(10)", &[0x5a, 0x18, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 0x04], QUICK),
    action(PERSISTENT_RESERVE_IN, READ_KEYS, "PERSISTENT RESERVE IN, READ KEYS", &[0x5e, 0x00, 0, 0, 0, 0, 0, 0xff, 0xff, 0x04], QUICK),
    action(PERSISTENT_RESERVE_IN, READ_RESERVATION, "PERSISTENT RESERVE IN, READ RESERVATION", &[0x5e, 0x01, 0, 0, 0, 0, 0, 0xff, 0xff, 0x04], QUICK),
    action(PERSISTENT_RESERVE_IN, REPORT_CAPABILITIES, "PERSISTENT RESERVE IN, REPORT CAPABILITIES", &[0x5e, 0x02, 0, 0, 0, 0, 0, 0xff, 0xff, 0x04], QUICK),
    action(PERSISTENT_RESERVE_IN, READ_FULL_STATUS, "PERSISTENT RESERVE IN, READ FULL STATUS", &[0x5e, 0x03, 0, 0, 0, 0, 0, 0xff, 0xff, 0x04], QUICK),
    action(PERSISTENT_RESERVE_OUT, REGISTER, "PERSISTENT RESERVE OUT, REGISTER", &[0x5f, 0x00, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x04], QUICK),
    action(PERSISTENT_RESERVE_OUT, RESERVE, "PERSISTENT RESERVE OUT, RESERVE", &[0x5f, 0x01, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x04], QUICK),
    action(PERSISTENT_RESERVE_OUT, RELEASE, "PERSISTENT RESERVE OUT, RELEASE", &[0x5f, 0x02, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x04], QUICK),
    action(PERSISTENT_RESERVE_OUT, CLEAR, "PERSISTENT RESERVE OUT, CLEAR", &[0x5f, 0x03, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x04], QUICK),
    action(PERSISTENT_RESERVE_OUT, PREEMPT, "PERSISTENT RESERVE OUT, PREEMPT", &[0x5f, 0x04, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x04], QUICK),
    action(PERSISTENT_RESERVE_OUT, PREEMPT_AND_ABORT, "PERSISTENT RESERVE OUT, PREEMPT AND ABORT", &[0x5f, 0x05, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x04], QUICK),
    action(PERSISTENT_RESERVE_OUT, REGISTER_AND_IGNORE_EXISTING_KEY, "PERSISTENT RESERVE OUT, REGISTER AND IGNORE EXISTING KEY", &[0x5f, 0x06, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x04], QUICK),
    action(PERSISTENT_RESERVE_OUT, REGISTER_AND_MOVE, "PERSISTENT RESERVE OUT, REGISTER AND MOVE", &[0x5f, 0x07, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x04], QUICK),
    action(VARIABLE_LENGTH, READ_32, "READ(32)", &[0x7f, 0x04, 0, 0, 0, 0, 0, 0xff, 0, 0x09, 0xf8, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], QUICK),
    action(VARIABLE_LENGTH, VERIFY_32, "VERIFY(32)", &[0x7f, 0x04, 0, 0, 0, 0, 0, 0xff, 0, 0x0a, 0xf6, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], LONG),
    action(VARIABLE_LENGTH, WRITE_32, "WRITE(32)", &[0x7f, 0x04, 0, 0, 0, 0, 0, 0xff, 0, 0x0b, 0xf8, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], QUICK),
    action(VARIABLE_LENGTH, WRITE_AND_VERIFY_32, "WRITE AND VERIFY(32)", &[0x7f, 0x04, 0, 0, 0, 0, 0, 0xff, 0, 0x0c, 0xf6, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], LONG),
    action(VARIABLE_LENGTH, WRITE_SAME_32, "WRITE SAME(32)", &[0x7f, 0x04, 0, 0, 0, 0, 0, 0xff, 0, 0x0d, 0xff, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], LONG),
    action(VARIABLE_LENGTH, ORWRITE_32, "ORWRITE(32)", &[0x7f, 0x04, 0x07, 0x0f, 0, 0, 0, 0xff, 0, 0x0e, 0xf8, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], QUICK),
    action(VARIABLE_LENGTH, GET_LBA_STATUS_32, "GET LBA STATUS(32)", &[0x7f, 0x04, 0, 0, 0, 0, 0, 0xff, 0, 0x12, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], QUICK),
    action(THIRD_PARTY_COPY_OUT, EXTENDED_COPY_LID1, "EXTENDED COPY(LID1)", &[0x83, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0x04], LONG),
    action(THIRD_PARTY_COPY_IN, RECEIVE_COPY_STATUS_LID1, "RECEIVE COPY STATUS(LID1)", &[0x84, 0x00, 0xff, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0x04], QUICK),
    action(THIRD_PARTY_COPY_IN, RECEIVE_COPY_DATA_LID1, "RECEIVE COPY DATA(LID1)", &[0x84, 0x01, 0xff, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0x04], QUICK),
    action(THIRD_PARTY_COPY_IN, RECEIVE_COPY_OPERATING_PARAMETERS, "RECEIVE COPY OPERATING PARAMETERS", &[0x84, 0x03, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0x04], QUICK),
    action(THIRD_PARTY_COPY_IN, RECEIVE_COPY_FAILURE_DETAILS_LID1, "RECEIVE COPY FAILURE DETAILS(LID1)", &[0x84, 0x04, 0xff, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0x04], QUICK),
    disk(READ_16, "READ(16)", &[0x88, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], QUICK),
    disk(COMPARE_AND_WRITE, "COMPARE AND WRITE", &[0x89, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0xff, 0, 0x04], QUICK),
    disk(WRITE_16, "WRITE(16)", &[0x8a, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], QUICK),
    disk(ORWRITE_16, "ORWRITE(16)", &[0x8b, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], QUICK),
    disk(WRITE_AND_VERIFY_16, "WRITE AND VERIFY(16)", &[0x8e, 0xf6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], LONG),
    disk(VERIFY_16, "VERIFY(16)", &[0x8f, 0xf6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], LONG),
    disk(PRE_FETCH_16, "PRE-FETCH(16)", &[0x90, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], QUICK),
    disk(SYNCHRONIZE_CACHE_16, "SYNCHRONIZE CACHE(16)", &[0x91, 0x02, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], LONG),
    disk(WRITE_SAME_16, "WRITE SAME(16)", &[0x93, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], LONG),
    CommandInfo { needs: Needs::AtomicWrites, ..disk(WRITE_ATOMIC_16, "WRITE ATOMIC(16)", &[0x9c, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], QUICK) },
    action(SERVICE_ACTION_IN_16, READ_CAPACITY_16, "READ CAPACITY(16)", &[0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0x04], QUICK),
    action(SERVICE_ACTION_IN_16, GET_LBA_STATUS, "GET LBA STATUS(16)", &[0x9e, 0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], QUICK),
    disk(REPORT_LUNS, "REPORT LUNS", &[0xa0, 0, 0xff, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0x04], QUICK),
    action(MAINTENANCE_IN, REPORT_IDENTIFYING_INFORMATION, "REPORT IDENTIFYING INFORMATION", &[0xa3, 0x05, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xfe, 0x04], QUICK),
    action(MAINTENANCE_IN, REPORT_TARGET_PORT_GROUPS, "REPORT TARGET PORT GROUPS", &[0xa3, 0xea, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0x04], QUICK),
    action(MAINTENANCE_IN, REPORT_SUPPORTED_OPERATION_CODES, "REPORT SUPPORTED OPERATION CODES", &[0xa3, 0x0c, 0x87, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], QUICK),
    action(MAINTENANCE_IN, REPORT_SUPPORTED_TASK_MANAGEMENT_FUNCTIONS, "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", &[0xa3, 0x0d, 0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0x04], QUICK),
    action(MAINTENANCE_IN, REPORT_TIMESTAMP, "REPORT TIMESTAMP", &[0xa3, 0x0f, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0x04], QUICK),
    action(MAINTENANCE_OUT, SET_IDENTIFYING_INFORMATION, "SET IDENTIFYING INFORMATION", &[0xa4, 0x06, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xfe, 0x04], QUICK),
    action(MAINTENANCE_OUT, SET_TARGET_PORT_GROUPS, "SET TARGET PORT GROUPS", &[0xa4, 0x0a, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0x04], QUICK),
    action(MAINTENANCE_OUT, SET_TIMESTAMP, "SET TIMESTAMP", &[0xa4, 0x0f, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0x04], QUICK),
    disk(READ_12, "READ(12)", &[0xa8, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], QUICK),
    disk(WRITE_12, "WRITE(12)", &[0xaa, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], QUICK),
    disk(WRITE_AND_VERIFY_12, "WRITE AND VERIFY(12)", &[0xae, 0xf6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], LONG),
    disk(VERIFY_12, "VERIFY(12)", &[0xaf, 0xf6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], LONG),
    disk(READ_DEFECT_DATA_12, "READ DEFECT DATA(12)", &[0xb7, 0x1f, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0x04], QUICK),
];
