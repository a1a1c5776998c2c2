//! Both ends over a bad network: whatever it does, what was sent arrives once, in order and whole.

use super::end::*;
use crate::roce::rc::testing::{Dice, Faults, Setup, World};

fn run(setup: Setup, seed: u64) -> [EndpointCounters; 2] {
    let _seed = Seed(seed);
    let mut world = World::new(setup, Dice::Seed(seed));
    world.run();
    for user in &world.users {
        assert!(user.failures.is_empty(), "{:?}", user.failures);
        assert_eq!(user.endpoint.counters().unexpected, 0);
        assert_eq!(user.endpoint.counters().access_errors_out, 0);
    }
    [0, 1].map(|side| world.users[side].endpoint.counters())
}

#[test]
fn everything_arrives_over_a_bad_network() {
    let mut all = Vec::new();
    for seed in 0..120 {
        let setup = Setup::roll(&mut Dice::Seed(seed));
        all.extend(run(setup, seed));
    }
    // Everything that can go wrong did.
    let sum = |count: fn(&EndpointCounters) -> u64| all.iter().map(count).sum::<u64>();
    for (what, count) in [
        ("retransmitted", sum(|c| c.retransmitted)),
        ("timeouts", sum(|c| c.timeouts)),
        ("sequence errors", sum(|c| c.sequence_errors_in).min(sum(|c| c.sequence_errors_out))),
        ("duplicates", sum(|c| c.duplicates)),
        ("receiver not ready", sum(|c| c.rnr_in).min(sum(|c| c.rnr_out))),
        ("notifications", sum(|c| c.cnp_in).min(sum(|c| c.cnp_out))),
    ] {
        assert!(count > 50, "{what}: {count}");
    }
}

#[test]
fn nothing_is_sent_twice_over_a_good_network() {
    for seed in 0..20 {
        let faults = Faults { no_room: 100, ..Faults::default() };
        let setup = Setup { faults, slow_receiver: false, receives: 12, ..Setup::roll(&mut Dice::Seed(seed)) };
        let setup = Setup { delay: setup.delay.min(1000), ..setup };
        for counters in run(setup, seed) {
            // Receives can run out: the users have no credits.
            if counters.rnr_in == 0 {
                assert_eq!(counters.retransmitted, 0, "{counters:?}");
            }
            assert_eq!((counters.timeouts, counters.sequence_errors_in), (0, 0), "{counters:?}");
        }
    }
}

#[test]
fn when_the_link_is_cut_both_ends_end_and_hand_everything_back() {
    let mut noticed = 0;
    for seed in 0..30 {
        let _seed = Seed(seed);
        let mut dice = Dice::Seed(seed);
        let setup =
            Setup { operations: 200, cut_at: Some(dice.between(0, 20) * MILLISECOND), ..Setup::roll(&mut dice) };
        let mut world = World::new(setup, dice);
        world.run();
        for user in &world.users {
            for (index, &(cookie, error)) in user.failures.iter().enumerate() {
                let may_say_why = index == 0;
                assert!(
                    error == WorkError::Flushed || may_say_why && error == WorkError::RetriesExceeded,
                    "operation {cookie} ended with {error}"
                );
            }
            noticed += u32::from(user.failures.first().is_some_and(|&(_, error)| error == WorkError::RetriesExceeded));
        }
    }
    assert!(noticed > 30, "{noticed}");
}
