//! Several groups on one board: step by step, and as threads that catch each other.

use std::sync::atomic::AtomicI64;

use super::*;

const UNIT: UnitId = UnitId(3);

fn groups(count: usize) -> Vec<Claims> {
    let board = Board::new((0..count).map(|_| Waker::new()).collect());
    (0..count).map(|_| Claims::new(Arc::clone(&board))).collect()
}

fn blocks(start: u64, end: u64) -> Extent {
    Extent { start, end }
}

fn look(groups: &mut [Claims]) {
    for group in groups {
        group.look();
        group.acknowledge(|_| true);
    }
}

#[test]
fn a_claim_is_granted_when_every_group_has_acknowledged_it() {
    let mut groups = groups(3);
    let claim = groups[0].publish(Kind::Range, UNIT, blocks(8, 16)).expect("room");
    groups[0].acknowledge(|_| true);
    assert!(!groups[0].is_granted(claim));
    groups[1].look();
    groups[1].acknowledge(|_| false);
    assert!(groups[1].owes() && groups[1].forbids(UNIT, blocks(15, 16), None), "noted, and not quiet yet");
    look(&mut groups[2..]);
    assert!(!groups[0].is_granted(claim));
    look(&mut groups[1..]);
    assert!(groups[0].is_granted(claim) && !groups[1].owes());
    for group in &mut groups {
        assert!(!group.forbids(UNIT, blocks(0, 8), None) && !group.forbids(UNIT, blocks(16, 99), None));
        assert!(!group.forbids(UnitId(4), blocks(8, 16), None) && !group.forbids(UNIT, blocks(8, 16), Some(claim)));
        assert!(group.forbids(UNIT, Extent::ALL, None));
    }
    groups[0].release(claim);
    look(&mut groups);
    assert!(groups.iter().all(Claims::is_empty));
}

#[test]
fn of_two_overlapping_claims_the_lower_ticket_goes_first() {
    let mut groups = groups(2);
    let first = groups[1].publish(Kind::Range, UNIT, blocks(0, 10)).expect("room");
    let second = groups[0].publish(Kind::Range, UNIT, blocks(5, 15)).expect("room");
    let apart = groups[0].publish(Kind::Range, UNIT, blocks(20, 30)).expect("room");
    let order = groups[0].publish(Kind::Order, UNIT, Extent::ALL).expect("room");
    look(&mut groups);
    assert!(groups[1].is_granted(first) && !groups[0].is_granted(second));
    assert!(
        !groups[1].forbids(UNIT, blocks(5, 10), Some(first)),
        "the one that waits does not hold back whom it waits for"
    );
    assert!(groups[1].forbids(UNIT, blocks(5, 11), Some(first)), "beyond its own blocks it is as any other");
    assert!(groups[0].is_granted(apart) && groups[0].is_granted(order), "other blocks, another kind");
    groups[1].release(first);
    look(&mut groups);
    assert!(groups[0].is_granted(second));
}

#[test]
fn an_acknowledgement_that_comes_too_late_is_nobody_elses() {
    let mut groups = groups(2);
    let gone = groups[0].publish(Kind::Range, UNIT, blocks(0, 1)).expect("room");
    groups[1].look();
    groups[0].release(gone);
    let next = groups[0].publish(Kind::Range, UNIT, blocks(0, 1)).expect("room");
    assert_eq!(next.slot, gone.slot, "the slot is used again");
    groups[1].acknowledge(|_| true);
    groups[0].acknowledge(|_| true);
    assert!(!groups[0].is_granted(next), "the other group has not noted this one");
    look(&mut groups);
    assert!(groups[0].is_granted(next));
}

#[test]
fn a_full_board_takes_no_more_until_one_is_released() {
    let mut groups = groups(1);
    let claims: Vec<Claim> =
        (0..CLAIMS_MAX).filter_map(|_| groups[0].publish(Kind::Range, UNIT, blocks(0, 1))).collect();
    assert_eq!((claims.len(), groups[0].publish(Kind::Order, UNIT, Extent::ALL)), (CLAIMS_MAX, None));
    groups[0].release(claims[7]);
    assert!(groups[0].publish(Kind::Order, UNIT, Extent::ALL).is_some());
}

#[test]
fn what_is_held_back_waits_for_tickets_up_to_its_rank() {
    let mut groups = groups(2);
    groups[0].publish(Kind::Order, UNIT, Extent::ALL).expect("room");
    groups[1].look();
    let rank = groups[1].newest();
    assert!(groups[1].precedes(UNIT, rank) && !groups[1].precedes(UnitId(4), rank));
    assert!(groups[0].precedes(UNIT, rank) && !groups[0].precedes(UNIT, rank - 1));
    let claim = groups[0].noted[0].claim;
    groups[0].release(claim);
    groups[0].publish(Kind::Order, UNIT, Extent::ALL).expect("room");
    groups[1].look();
    assert!(!groups[1].precedes(UNIT, rank), "a later one waits for it");
}

/// Blocks that threads touch: how many ordinary operations are on each, or `CLAIMED`.
const CLAIMED: i64 = -1;

#[test]
fn threads_never_meet_in_a_claimed_range() {
    const THREADS: usize = 4;
    const ROUNDS: usize = 20_000;
    let medium: Vec<AtomicI64> = (0..16).map(|_| AtomicI64::new(0)).collect();
    let busy = AtomicI64::new(THREADS as i64);
    let granted: usize = std::thread::scope(|scope| {
        let (medium, busy) = (&medium, &busy);
        let start = |(seed, claims)| scope.spawn(move || group_thread(seed, claims, medium, busy, ROUNDS));
        let threads: Vec<_> = (1..).zip(groups(THREADS)).map(start).collect();
        threads.into_iter().map(|thread| thread.join().expect("no collision")).sum()
    });
    assert!(granted > THREADS * 10, "only {granted} claims were granted: nobody waits for ever");
}

/// A poll group in small: operations that stay at the device for some rounds, and claims that do. Returns how many claims it had.
fn group_thread(seed: u64, mut claims: Claims, medium: &[AtomicI64], busy: &AtomicI64, rounds: usize) -> usize {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let touch = |extent: Extent| &medium[extent.start as usize..extent.end as usize];
    let mut operations: Vec<(Extent, u64)> = Vec::new();
    let (mut waiting, mut held, mut granted) = (None::<(Claim, Extent)>, None::<(Claim, Extent, u64)>, 0);
    for round in 0.. {
        let (over, all_over) = (round >= rounds, busy.load(SeqCst) == 0);
        claims.look();
        claims.acknowledge(|noted| !operations.iter().any(|(extent, _)| noted.extent.overlaps(*extent)));
        operations.retain_mut(|(extent, left)| {
            *left -= 1;
            if *left == 0 {
                touch(*extent).iter().for_each(|block| assert!(block.fetch_sub(1, SeqCst) > 0));
            }
            *left > 0
        });
        let start = random(14);
        let extent = blocks(start, start + 1 + random(2));
        if !over && operations.len() < 3 && !claims.forbids(UNIT, extent, None) {
            touch(extent).iter().for_each(|block| assert!(block.fetch_add(1, SeqCst) >= 0, "a claimed block"));
            operations.push((extent, 1 + random(3)));
        }
        match (waiting.take(), held.take()) {
            (Some((claim, extent)), _) if claims.is_granted(claim) => {
                touch(extent).iter().for_each(|block| assert_eq!(block.swap(CLAIMED, SeqCst), 0, "not alone"));
                granted += 1;
                held = Some((claim, extent, 1 + random(3)));
            }
            // An abort while it waits.
            (Some((claim, _)), _) if random(50) == 0 => claims.release(claim),
            (Some(claim), _) => waiting = Some(claim),
            (None, Some((claim, extent, 1))) => {
                touch(extent).iter().for_each(|block| assert_eq!(block.swap(0, SeqCst), CLAIMED));
                claims.release(claim);
            }
            (None, Some((claim, extent, left))) => held = Some((claim, extent, left - 1)),
            (None, None) if !over && random(4) == 0 => {
                waiting = claims.publish(Kind::Range, UNIT, extent).map(|claim| (claim, extent));
            }
            (None, None) => {}
        }
        if round == rounds {
            busy.fetch_sub(1, SeqCst);
        }
        // Whoever is done acknowledges what the others still want.
        if all_over && operations.is_empty() && waiting.is_none() && held.is_none() && claims.is_empty() {
            return granted;
        }
        std::thread::yield_now();
    }
    granted
}
