//! `bdevperf`: load on block devices alone, with no target and no network before them. Options and output are those of SPDK's
//! program of that name.
//!
//! # Parts
//! ```text
//! main thread                                         core N: one thread, polls, allocates nothing per I/O
//! options.rs   what is wanted                         core.rs   pins itself, runs its jobs, measures its own time
//! config.rs    bdev_*_create requests ──► bdevs       job.rs    one bdev: keeps its channel full, counts
//! mod.rs       from start to end          ◄──────►
//! report.rs    table, JSON
//! ```
//!
//! # What is measured
//! The clock is read once per round, before it: an operation is stamped with the time of the round that submitted it, and again with that
//! of the round in which it was found. I/Os that end within the time of `-t` count, whatever their kind.
//!
//! A core that polls is always busy, whether there is work or not. So two figures stand for its cost per I/O: `cpu`, the time of
//! its thread (user and system) by the kernel's account; and `busy`, its share in rounds in which something was submitted or
//! ended, which is what the I/Os themselves took.

mod config;
mod core;
mod job;
mod options;
mod report;

use std::io::Write;
use std::process::ExitCode;
use std::sync::{Arc, Barrier};
use std::thread;

use anyhow::{Context, anyhow, ensure};
use bdev::Bdev;

pub use options::{Options, WorkloadName};
pub use report::Results;

use self::core::{Core, CoreResult};
use self::job::JobPlan;
use crate::environment::Environment;
use crate::random::scramble;
use crate::run::fresh_number;
use crate::workload;

/// The program: runs, tells, and fails if any I/O or comparison did.
pub fn main(options: &Options) -> ExitCode {
    match run(options).and_then(|results| tell(options, &results).map(|()| results.is_good())) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bdevperf: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Does what the options say. Failed I/Os and comparisons are in the results.
///
/// # Errors
/// The options do not fit together or the devices, or there was no load at all: no device, no memory, no channel.
pub fn run(options: &Options) -> anyhow::Result<Results> {
    options.check()?;
    let environment = Environment::current();
    // Chosen here, so that the results can tell it.
    let options = &Options { seed: Some(options.seed.unwrap_or_else(fresh_number)), ..options.clone() };
    let bdevs = config::create_bdevs(&options.config)?;
    let bdevs = select(options, bdevs)?;
    for bdev in &bdevs {
        options.check_against(bdev)?;
    }
    let cores = deal(options, &bdevs);
    let barrier = Arc::new(Barrier::new(cores.len()));
    let start = |core: Core| {
        let (name, barrier) = (format!("bdevperf_{}", core.number), Arc::clone(&barrier));
        thread::Builder::new().name(name).spawn(move || core.run(&barrier)).context("cannot start a thread")
    };
    // Every thread waits for all others, so none may be missing: one that cannot start ends the run.
    let threads = cores.into_iter().map(start).collect::<anyhow::Result<Vec<_>>>()?;
    let results = threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?);
    let results = results.collect::<anyhow::Result<Vec<CoreResult>>>()?;
    Ok(Results::new(options.clone(), environment, &bdevs, results))
}

fn select(options: &Options, mut bdevs: Vec<Arc<Bdev>>) -> anyhow::Result<Vec<Arc<Bdev>>> {
    if let Some(name) = &options.bdev {
        bdevs.retain(|bdev| bdev.info().name == *name);
        ensure!(!bdevs.is_empty(), "-T {name}: {} makes no such bdev", options.config.display());
    }
    ensure!(!bdevs.is_empty(), "-c {}: it makes no bdev; add a bdev_*_create request", options.config.display());
    Ok(bdevs)
}

/// Gives every bdev a job, to the cores in turn; or one on every core.
fn deal(options: &Options, bdevs: &[Arc<Bdev>]) -> Vec<Core> {
    let seed = options.seed.unwrap_or_default();
    let numbers = options.mask.cores();
    let mut cores: Vec<Core> = numbers.iter().map(|&number| Core::new(number, options.time)).collect();
    let shares = if options.every_core { numbers.len() } else { 1 };
    for (index, bdev) in bdevs.iter().enumerate() {
        for share in 0..shares {
            let positions = bdev.num_blocks() / u64::from(options.io_size.0 / bdev.info().block_size);
            let range = workload::share(positions, share as u32, shares as u32, options.own_parts());
            let seed = scramble(seed ^ (index << 32 | share) as u64);
            let plan = JobPlan {
                bdev: Arc::clone(bdev),
                kind: options.kind(),
                range,
                seed,
                io_bytes: options.io_size.0,
                depth: options.depth,
                latency: options.latency,
            };
            cores[(index * shares + share) % numbers.len()].plans.push(plan);
        }
    }
    // With fewer bdevs than cores some would have nothing to do.
    cores.retain(|core| !core.plans.is_empty());
    cores
}

fn tell(options: &Options, results: &Results) -> anyhow::Result<()> {
    let json = || format!("{:#}\n", results.json());
    let mut out = std::io::stdout().lock();
    match options.json_output.as_deref() {
        Some(path) if path.as_os_str() == "-" => return Ok(out.write_all(json().as_bytes())?),
        Some(path) => {
            std::fs::write(path, json()).with_context(|| format!("--json-output {}", path.display()))?;
        }
        None => {}
    }
    Ok(out.write_all(results.table().as_bytes())?)
}

#[cfg(test)]
mod tests;
