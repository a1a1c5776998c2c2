//! Simulations of the whole target; see `transport_srp::testing::simulation`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use clap::Parser;
use transport_srp::testing::simulation::{Options, Report, run};

/// Simulates the target from seeds. The first that fails is named, and ends it.
#[derive(Parser)]
struct Arguments {
    /// This one, and no others unless they are asked for
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// So many in a row
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    seeds: u64,
    /// The first of those
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    first: u64,
    /// So many more, from the clock
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    fresh: u64,
    /// How long a run is
    #[arg(long, default_value_t = 400, value_name = "NUMBER")]
    steps: usize,
    /// Print what happens
    #[arg(long)]
    trace: bool,
}

/// The seed that runs.
static SEED: AtomicU64 = AtomicU64::new(0);

fn main() {
    let Arguments { seed, seeds, first, fresh, steps, trace } = Arguments::parse();
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    let from = clock.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16;
    let all = seed.into_iter().chain((0..seeds).map(|index| first + index)).chain((0..fresh).map(|index| from + index));
    // The hook is the last to run where a panic ends the process.
    std::panic::set_hook(Box::new(move |panic| {
        let seed = SEED.load(Ordering::Relaxed);
        println!("FAILED seed {seed}: {panic}\n  again: scripts/simulate.sh --steps {steps} --seed {seed} --trace");
    }));
    let (begin, mut count, mut sum) = (Instant::now(), 0, Report::default());
    for seed in all {
        SEED.store(seed, Ordering::Relaxed);
        sum.add(&run(Options { seed, steps, trace: trace.then_some(|text| print!("{text}")) }));
        count += 1;
    }
    println!("{count} seeds in {:.1} s\n{sum:#?}", begin.elapsed().as_secs_f64());
}
