use super::*;

fn report(seed: u64) -> Report {
    let report = std::panic::catch_unwind(|| run(Options { seed, steps: 300, trace: None }));
    report
        .unwrap_or_else(|_| panic!("the reason is above; again: scripts/simulate.sh --steps 300 --seed {seed} --trace"))
}

#[test]
fn the_same_seed_gives_the_same_run_bit_for_bit() {
    let hashes: Vec<u64> = (1..=8).map(|seed| report(seed).hash).collect();
    let again: Vec<u64> = (1..=8).map(|seed| report(seed).hash).collect();
    assert_eq!(hashes, again);
    assert_ne!(hashes[0], hashes[1], "each seed has a run of its own");
}

#[test]
fn nothing_is_wrong_in_a_few_worlds() {
    let mut sum = Report::default();
    (1..=40).for_each(|seed| sum.add(&report(seed)));
    // A simulation in which nothing happens finds nothing.
    assert!(sum.commands > 1000 && sum.bytes_verified > 100_000 && sum.aborted > 10 && sum.lost > 10, "{sum:?}");
    assert!(sum.ended_elsewhere > 0 && sum.conflicts > 0 && sum.inaccessible > 0 && sum.ordered > 0, "{sum:?}");
}
