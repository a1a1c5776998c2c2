//! Simulations of the whole target; see `transport_srp::testing::simulation`.
//!
//! `simulate --seeds 1000` runs the seeds 1 to 1000, `--first 5000` begins elsewhere, `--fresh 10` adds ten from the clock, `--seed 7` runs one, and
//! `--trace` prints what happened. `--steps` (400) is how long a run is. The first seed that fails is named, and ends it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use transport_srp::testing::simulation::{Options, Report, run};

/// The seed that runs.
static SEED: AtomicU64 = AtomicU64::new(0);

fn main() {
    let (mut seeds, mut steps, mut trace, mut first) = (Vec::new(), 400, false, 1);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|text| text.parse::<u64>().ok()).expect("a number");
        match argument.as_str() {
            "--first" => first = number(),
            "--seeds" => seeds.extend(first..first + number()),
            "--seed" => seeds.push(number()),
            "--fresh" => {
                let clock =
                    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
                let from = (clock as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16;
                seeds.extend((0..number()).map(|index| from + index));
            }
            "--steps" => steps = number() as usize,
            "--trace" => trace = true,
            other => panic!("{other} is not known"),
        }
    }
    // The hook is the last to run where a panic ends the process.
    std::panic::set_hook(Box::new(move |panic| {
        let seed = SEED.load(Ordering::Relaxed);
        println!("FAILED seed {seed}: {panic}\n  again: scripts/simulate.sh --steps {steps} --seed {seed} --trace");
    }));
    let (begin, mut sum) = (Instant::now(), Report::default());
    for &seed in &seeds {
        SEED.store(seed, Ordering::Relaxed);
        sum.add(&run(Options { seed, steps, trace: trace.then_some(|text| print!("{text}")) }));
    }
    println!("{} seeds in {:.1} s\n{sum:#?}", seeds.len(), begin.elapsed().as_secs_f64());
}
