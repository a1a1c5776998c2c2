//! srpt-app: the SRP target as a process.
//!
//! `options.rs` is the command line, `assemble.rs` puts the crates together, `appliance.rs` is what runs on the control thread, `rpc/` are its methods,
//! `config/` reads, compares and writes configurations, `metrics/` tells Prometheus, `privilege.rs` gives up rights, `shutdown.rs` is the way out; `watch.rs` finds reactors that stand still, and `crash.rs` tells
//! what was under way then, or at a panic. The data plane runs on the reactors of the mask; everything here is control plane. It is a library so that the fuzz targets
//! reach it; `main.rs` only calls it.

#![forbid(unsafe_code)]

mod appliance;
mod assemble;
mod config;
mod crash;
mod discovery;
mod exposure;
mod listeners;
mod log;
mod metrics;
mod notify;
mod options;
mod privilege;
mod rpc;
mod scheduler;
mod shutdown;
mod state_dir;
mod thresholds;
mod watch;

#[cfg(any(test, feature = "test-utils"))]
pub use config::exercise;

use clap::Parser;

/// The whole process: reads the command line, serves until it is told to end.
pub fn main() -> std::process::ExitCode {
    let options = options::Options::parse();
    match assemble::run(&options) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("srpt-app: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
