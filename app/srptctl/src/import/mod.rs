//! Set-ups of other targets, turned into configurations of ours.
//!
//! ```text
//!  scst.conf                 scst/stanza.rs    ┐
//!  scst.conf of SCST 1       scst/sections.rs  ├─► statements ─► scst/ ─┐
//!  scstadmin command lines   scst/commands.rs  ┘                        ├─► setup.rs ─► requests
//!  saveconfig.json           lio/json.rs ─────────────────────► lio/ ──┘
//! ```
//!
//! Every line is accounted for (`notes.rs`): it becomes part of a request, or something is said about it. Nothing here knows the running target or reads
//! anything but the text that it is given.

#[cfg(any(test, feature = "test-utils"))]
pub mod exercise;
pub(crate) mod initiator;
pub(crate) mod lio;
pub(crate) mod notes;
pub(crate) mod options;
pub(crate) mod scst;
pub(crate) mod setup;

use crate::commands::config_file::Request;
use notes::Notes;

/// What became of a set-up.
#[derive(Debug)]
pub(crate) struct Imported {
    pub(crate) requests: Vec<Request>,
    pub(crate) notes: Notes,
}
