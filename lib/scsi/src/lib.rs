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
//! steps), `medium/` (commands that do I/O), `answer/` (commands that do not), `control.rs` (what the control plane does), `through.rs` (SCSI devices behind units), `protection.rs` (units whose blocks have metadata), `unit.rs`, `nexus.rs`, `lun.rs`, `wire/`.
//!
//! To add a command: its operation code in `wire/cdb.rs`, a variant and a parser in `command.rs`, a function in
//! `medium/` or `answer/`, an arm in [`Job::step`], and a row in [`COMMANDS`]. Tests compare the rows with the dispatcher and each
//! row's usage bits with what the parser reads.

#![forbid(unsafe_code)]

mod access;
mod answer;
mod command;
mod command_table;
pub mod control;
mod eui64;
mod execute;
pub mod limits;
mod lun;
mod medium;
mod nexus;
mod protection;
mod saved;
#[cfg(test)]
mod testing;
mod through;
mod unit;
pub mod wire;

pub use command_table::{CommandInfo, Needs};
pub use control::{ControlReply, ControlRequest};
pub use eui64::{Eui64, Eui64Error};
pub use execute::{Context, Designation, Ending, Job, NoPeers, Peer, PeerUnit, Peers, PortIds, Step, begin};
pub use limits::SCRATCH_BYTES;
pub use lun::{Address, Lun};
pub use nexus::{PathState, ReservedFor, UnitAttention, UnitNexus};
pub use protection::ProtectionType;
pub use saved::{Saved, Store, StoreError};
pub use through::unit_attention_of;
pub use unit::{LogicalUnit, UnitError, UnitOptions};
pub use wire::sense::{FieldPointer, ScsiStatus, Sense, SenseKey};

use command_table::{LONG, QUICK, action, disk};
use wire::cdb::{opcode::*, service_action::*};

/// All supported commands by operation code, for units that are not SCSI devices themselves (`through.rs`). A test compares it with the dispatcher, both ways.
#[rustfmt::skip]
pub const COMMANDS: &[CommandInfo] = &[
    disk(TEST_UNIT_READY, "TEST UNIT READY", &[0x00, 0, 0, 0, 0, 0x04], QUICK),
    disk(REQUEST_SENSE, "REQUEST SENSE", &[0x03, 0x01, 0, 0, 0xff, 0x04], QUICK),
    disk(READ_6, "READ(6)", &[0x08, 0x1f, 0xff, 0xff, 0xff, 0x04], QUICK),
    disk(WRITE_6, "WRITE(6)", &[0x0a, 0x1f, 0xff, 0xff, 0xff, 0x04], QUICK),
    disk(INQUIRY, "INQUIRY", &[0x12, 0x03, 0xff, 0xff, 0xff, 0x04], QUICK),
    disk(MODE_SELECT_6, "MODE SELECT(6)", &[0x15, 0x11, 0, 0, 0xff, 0x04], QUICK),
    disk(MODE_SENSE_6, "MODE SENSE(6)", &[0x1a, 0x08, 0xff, 0xff, 0xff, 0x04], QUICK),
    disk(START_STOP_UNIT, "START STOP UNIT", &[0x1b, 0, 0, 0x0f, 0xf7, 0x04], QUICK),
    disk(PREVENT_ALLOW_MEDIUM_REMOVAL, "PREVENT ALLOW MEDIUM REMOVAL", &[0x1e, 0, 0, 0, 0x02, 0x04], QUICK),
    disk(READ_CAPACITY_10, "READ CAPACITY(10)", &[0x25, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0x01, 0x04], QUICK),
    disk(READ_10, "READ(10)", &[0x28, 0xe8, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04], QUICK),
    disk(WRITE_10, "WRITE(10)", &[0x2a, 0xe8, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04], QUICK),
    disk(VERIFY_10, "VERIFY(10)", &[0x2f, 0xe6, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04], LONG),
    disk(SYNCHRONIZE_CACHE_10, "SYNCHRONIZE CACHE(10)", &[0x35, 0, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04], LONG),
    disk(WRITE_SAME_10, "WRITE SAME(10)", &[0x41, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04], LONG),
    CommandInfo { needs: Needs::Unmap, ..disk(UNMAP, "UNMAP", &[0x42, 0x01, 0, 0, 0, 0, 0, 0xff, 0xff, 0x04], LONG) },
    disk(MODE_SELECT_10, "MODE SELECT(10)", &[0x55, 0x11, 0, 0, 0, 0, 0, 0xff, 0xff, 0x04], QUICK),
    disk(MODE_SENSE_10, "MODE SENSE(10)", &[0x5a, 0x18, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 0x04], QUICK),
    disk(READ_16, "READ(16)", &[0x88, 0xe8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], QUICK),
    disk(WRITE_16, "WRITE(16)", &[0x8a, 0xe8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], QUICK),
    disk(VERIFY_16, "VERIFY(16)", &[0x8f, 0xe6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], LONG),
    disk(SYNCHRONIZE_CACHE_16, "SYNCHRONIZE CACHE(16)", &[0x91, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], LONG),
    disk(WRITE_SAME_16, "WRITE SAME(16)", &[0x93, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], LONG),
    action(SERVICE_ACTION_IN_16, READ_CAPACITY_16, "READ CAPACITY(16)", &[0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0x04], QUICK),
    action(SERVICE_ACTION_IN_16, GET_LBA_STATUS, "GET LBA STATUS(16)", &[0x9e, 0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], QUICK),
    disk(REPORT_LUNS, "REPORT LUNS", &[0xa0, 0, 0xff, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0x04], QUICK),
    action(MAINTENANCE_IN, REPORT_SUPPORTED_OPERATION_CODES, "REPORT SUPPORTED OPERATION CODES", &[0xa3, 0x0c, 0x87, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], QUICK),
    disk(READ_12, "READ(12)", &[0xa8, 0xe8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], QUICK),
    disk(WRITE_12, "WRITE(12)", &[0xaa, 0xe8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], QUICK),
    disk(VERIFY_12, "VERIFY(12)", &[0xaf, 0xe6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04], LONG),
];
