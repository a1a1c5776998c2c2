//! Load generators: `srp-perf` for SRP targets, [`bdevperf`] for a block device of ours alone; [`perf_report`] draws what they measured, and [`hostile`] does to a
//! target what no initiator should. `srp-perf` is an SRP initiator
//! in user space over the fabrics `verbs` and `roce`, or at a target in its own process ([`in_process`]): it logs in to targets as Linux' `ib_srp` does, keeps
//! commands under way, and tells how many and how fast.
//!
//! # Parts
//! ```text
//! main thread (sleeps)                                core N: one thread, no locks, no allocation per I/O
//! options.rs   what is wanted                         worker.rs     a Poller: completions in, commands out
//! run.rs       from start to end            orders    load.rs       keeps slots busy, measures
//! session.rs   logins, the way down        ◄──────►   workload.rs   what to do next         pattern.rs  what to write
//! connector.rs connections, by fabric      reports    initiator/    SRP: slots, credits, tags, CDBs
//! report.rs    table, JSON                            endpoint.rs   messages and exposed memory, by fabric
//! seconds.rs   the rate of each second                tally.rs      counts and latencies
//! environment.rs  the machine
//! ```
//! `workload.rs`, `pattern.rs`, `tally.rs`, and in `initiator/` all but `channel.rs` are sans-IO.
//!
//! # What a latency is
//! A command is stamped with the time of the round in which it was sent, its response with that of the round in which it
//! was found. The clock is read once per round, before it, for all of its commands: a latency is exact to the length
//! of two rounds, some microseconds at high load and less than one at depth 1, and says what a program on this core would
//! have seen. With a rate, an I/O counts from when it was to begin (`load.rs`, `Pace`). Latencies are kept in an HDR histogram with three digits. Only I/Os that end within the measured time count.
//!
//! # What verifying proves
//! Each block tells its address, the run, and which write it comes from (`pattern.rs`). A read is compared with the last
//! write that was answered before it, at the same place; the two never overlap in time (`workload.rs`).

#![forbid(unsafe_code)]

pub mod bdevperf;
pub mod connector;
pub mod endpoint;
pub mod environment;
pub mod hostile;
pub mod in_process;
pub mod initiator;
pub mod load;
pub mod options;
pub mod pattern;
pub mod perf_report;
pub mod random;
pub mod report;
pub mod run;
pub mod seconds;
pub mod session;
pub mod tally;
pub mod target_option;
pub mod worker;
pub mod workload;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

pub use options::Options;
pub use report::Results;
pub use run::run;

/// The program: runs, tells, and fails if any I/O or comparison did.
pub fn main(options: &Options) -> ExitCode {
    match run(options).and_then(|results| tell(&results).map(|()| results.is_good())) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("srp-perf: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn tell(results: &Results) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match results.options.json.as_deref() {
        Some(path) if path == Path::new("-") => writeln!(out, "{:#}", results.json())?,
        Some(path) => {
            std::fs::write(path, format!("{:#}\n", results.json()))
                .with_context(|| format!("--json {}", path.display()))?;
            out.write_all(results.table().as_bytes())?;
        }
        None => out.write_all(results.table().as_bytes())?,
    }
    Ok(())
}
