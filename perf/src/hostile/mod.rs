//! `srp-hostile`: an initiator that does what none should, at a target that has to bear it. It logs in with everything wrong that a login can have wrong,
//! sends bytes that are no request, requests that lie about their memory, more than it has credits for, and floods; it leaves without a word. It says what the
//! target made of it, and fails if the target did not answer, answered what nobody asked, or let nobody in afterwards.
//!
//! What it does to *others* is for others to say: run verified load beside it (`perf/compare/hostile-peers.sh`, the lab's scenario `hostile`).
//!
//! # Reading order
//! `options.rs`, `bench.rs` (what holds for every message), `cases/` (what is tried), `peer.rs` (connections that may do anything).

pub mod bench;
pub mod cases;
pub mod options;
pub mod peer;
pub mod stranger;

use std::process::ExitCode;

use crate::run::fresh_number;
use bench::Bench;
pub use options::Options;

/// The program: tries the cases in turn, and fails if the target did wrong in any of them.
pub fn main(options: &Options) -> ExitCode {
    match run(options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("srp-hostile: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Tries the cases, and tells of each. Whether the target bore everything.
///
/// # Errors
/// There was nothing to try: no address, no memory, or no such target.
pub fn run(options: &Options) -> anyhow::Result<bool> {
    let seed = options.seed.unwrap_or_else(fresh_number);
    let mut bench = Bench::new(options, seed)?;
    bench.witness().map_err(|why| anyhow::anyhow!("before anything is tried: {why}"))?;
    println!("seed {seed}");
    println!("{:<22} {:>8} {:>9} {:>8} {:>6}", "case", "inputs", "answered", "refused", "ended");
    let (mut good, mut inputs) = (true, 0);
    for case in cases::ALL.iter().filter(|case| options.wants(case.name)) {
        let outcome = bench.try_case(case);
        let tally = bench.take_tally();
        inputs += tally.inputs;
        let (name, note) = (case.name, tally.note);
        println!(
            "{name:<22} {:>8} {:>9} {:>8} {:>6}  {note}",
            tally.inputs, tally.answered, tally.refused, tally.ended
        );
        if let Err(why) = outcome {
            println!("{name}: {why}");
            good = false;
        }
    }
    println!("{inputs} hostile inputs, the target {}", if good { "bore them" } else { "DID NOT BEAR them" });
    bench.close();
    Ok(good)
}
