//! Configurations in SPDK's form: `{"subsystems": [{"subsystem": NAME, "config": [{"method": NAME, "params": {…}}, …]}, …]}`.
//!
//! A configuration is a list of requests, so what cannot be asked for by RPC cannot be configured, and the reverse.
//!
//! ```text
//!   file, RPC ──entry.rs──► entries ───────────────────────────────────► transaction.rs   carried out whole, or taken back
//!                              │ model.rs: what they would make                ▲ requests
//!                              ▼                                               │
//!                           wanted ─┐                                          │
//!   appliance ──save.rs──► now ─────┴──► plan.rs: what leads from one to the other
//! ```
//!
//! - `Model` is a configuration as things that exist, and what each request does to them: it knows no device, no clock, no appliance.
//! - `plan` compares two of them. What is equal is in no request, so that nobody who uses it notices.
//! - A [`Transaction`] carries requests out on the control thread, between its other duties, since some wait for commands that are under
//!   way. If one fails, the difference to what was before is carried out.
//! - `file.rs` writes and keeps versions, [`ConfigFile`] is the `-c` file while the target runs: SIGHUP and `--auto-save`.
//!
//! Reading order: `entry.rs`, `save.rs`, `model.rs` and below, `plan.rs` and below, `transaction.rs`, `file.rs`, `config_file.rs`.

pub(crate) mod config_file;
mod entry;
#[cfg(any(test, feature = "test-utils"))]
pub mod exercise;
mod file;
mod model;
mod params;
mod plan;
mod save;
mod transaction;

#[cfg(test)]
mod appliance_tests;
#[cfg(test)]
mod auto_save_tests;
#[cfg(test)]
mod plan_tests;
#[cfg(test)]
pub(crate) mod testing;

pub(crate) use config_file::ConfigFile;
pub(crate) use entry::{Entry, Subsystem, entries_of, read};
pub(crate) use plan::Step;
pub(crate) use save::{SUBSYSTEMS, save, save_subsystem, save_text};
pub(crate) use transaction::{Difference, Failure, Transaction, advance, difference};
