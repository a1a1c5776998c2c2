//! Task attributes, and commands that have blocks to themselves, on several cores.

use super::scene::Scene;
use super::*;
use crate::testing::wire::Function;
use crate::testing::{Handle, Outcome};

const SIMPLE: u8 = 0;
const HEAD_OF_QUEUE: u8 = 1;
const ORDERED: u8 = 2;

fn write(attribute: u8, lba: u32, byte: u8) -> Request {
    let request = Request::write(lun(0), lba, BLOCK, vec![byte; 4096]);
    Request { task_attribute: attribute, ..request }
}

/// A command that has its eight blocks to itself; see `Command::exclusive_for_test`.
fn exclusive(mut request: Request) -> Request {
    request.cdb[6] = 0x1f;
    request
}

#[test]
fn an_ordered_command_waits_for_older_ones_of_all_cores_and_newer_ones_wait_for_it() {
    let mut scene = Scene::new(71, 2);
    scene.hold(true);
    let older = [scene.start(0, &write(SIMPLE, 0, 1)), scene.start(1, &write(SIMPLE, 64, 1))];
    let ordered = scene.start(0, &write(ORDERED, 128, 2));
    let newer = [scene.start(0, &write(SIMPLE, 256, 3)), scene.start(1, &write(SIMPLE, 320, 3))];
    let head = scene.start(1, &Request { task_attribute: HEAD_OF_QUEUE, ..Request::read_capacity(lun(0)) });
    assert_eq!(scene.finish(1, head).status, 0, "it passes everything");
    let inquiry = scene.start(0, &Request::inquiry(lun(0), None, 36));
    scene.run(50);
    assert_eq!(scene.take(0, inquiry), None, "a SIMPLE command waits, whatever it is");
    assert_eq!(witness::forget().operations, 2, "only the older ones are at the device");
    scene.hold(false);
    assert_eq!((scene.finish(0, older[0]).status, scene.finish(1, older[1]).status), (0, 0));
    for (of, handle) in [(0, ordered), (0, newer[0]), (1, newer[1]), (0, inquiry)] {
        assert_eq!(scene.finish(of, handle).status, 0);
    }
    scene.end();
}

#[test]
fn on_one_channel_order_shows_in_the_data() {
    let mut scene = Scene::new(72, 2);
    for round in 0..40_u8 {
        let at = u32::from(round) * 8;
        let writes: Vec<Handle> =
            [write(SIMPLE, at, 1), write(ORDERED, at, 2), write(ORDERED, at, 3), write(SIMPLE, at, 4)]
                .iter()
                .map(|request| scene.initiators[0].start(0, request).expect("a credit"))
                .collect();
        writes.into_iter().for_each(|write| assert_eq!(scene.finish(0, write).status, 0));
        assert_eq!(scene.read(1, at), vec![4; 512], "round {round}");
    }
    assert_eq!(witness::forget().orders, 80);
    scene.end();
}

#[test]
fn attributes_that_no_unit_has_are_refused() {
    let mut scene = Scene::new(73, 1);
    for (attribute, code) in [(4, (5, 0x49, 0)), (3, (5, 0x0e, 3)), (7, (5, 0x0e, 3))] {
        let handle = scene.start(0, &write(attribute, 0, 9));
        assert_eq!(scene.finish(0, handle).key_and_code(), Some(code), "attribute {attribute}");
    }
    assert_eq!(scene.read(0, 0), vec![0; 512]);
    scene.end();
}

#[test]
fn claimed_blocks_are_kept_from_others_until_the_end_and_other_blocks_are_not() {
    let mut scene = Scene::new(74, 2);
    scene.hold(true);
    let before = scene.start(1, &write(SIMPLE, 4, 1));
    let claim = scene.start(0, &exclusive(write(SIMPLE, 0, 2)));
    let after = scene.start(1, &write(SIMPLE, 7, 3));
    let apart = scene.start(1, &write(SIMPLE, 64, 3));
    let head = scene.start(1, &Request { task_attribute: HEAD_OF_QUEUE, ..write(SIMPLE, 0, 4) });
    scene.run(50);
    assert_eq!(witness::forget().operations, 2, "the one before, and the one apart");
    scene.hold(false);
    for (of, handle) in [(1, before), (0, claim), (1, after), (1, apart), (1, head)] {
        assert_eq!(scene.finish(of, handle).status, 0);
    }
    scene.end();
}

/// The witness panics if both have them at once.
#[test]
fn cores_that_claim_the_same_blocks_in_the_same_round_get_them_one_after_the_other() {
    for seed in 0..30 {
        let mut scene = Scene::new(800 + seed, 3);
        let held = seed % 3 == 0;
        scene.hold(held);
        // Reads, writes and comparisons of blocks that overlap, all sent before anybody works.
        let handles: Vec<(usize, Handle)> = (0..12)
            .map(|number| {
                let (of, lba) = (number % 3, (number / 3) as u32);
                let request =
                    if number % 2 == 0 { write(SIMPLE, lba, 1) } else { Request::read(lun(0), lba, 8, BLOCK) };
                (of, scene.initiators[of].start(0, &exclusive(request)).expect("a credit"))
            })
            .collect();
        scene.run(30);
        assert!(!held || witness::count().claims <= 1, "one has them, and its device hangs");
        scene.hold(false);
        handles.into_iter().for_each(|(of, handle)| assert_eq!(scene.finish(of, handle).status, 0));
        assert_eq!(witness::forget().claims, 12);
        scene.end();
    }
}

#[test]
fn whoever_is_aborted_while_it_waits_gives_way_and_gives_its_credit_back() {
    let mut scene = Scene::new(75, 2);
    scene.hold(true);
    let stuck = scene.start(1, &write(SIMPLE, 0, 1));
    let claim = scene.start(0, &exclusive(write(SIMPLE, 0, 2)));
    let ordered = scene.start(0, &write(ORDERED, 512, 2));
    let behind = scene.start(0, &write(SIMPLE, 600, 3).form(crate::testing::Form::Immediate));
    for victim in [claim, ordered] {
        assert_eq!(scene.manage(0, Function::AbortTask, Some(victim)), Some(0));
        assert_eq!(scene.take(0, victim), Some(Outcome::Aborted));
    }
    scene.hold(false);
    assert_eq!((scene.finish(1, stuck).status, scene.finish(0, behind).status), (0, 0));
    scene.end();
}

#[test]
fn an_abort_of_a_write_that_waits_with_its_data_in_the_receive_buffer_gives_its_credit_back() {
    let mut scene = Scene::new(76, 2);
    scene.hold(true);
    let stuck = scene.start(1, &exclusive(write(SIMPLE, 0, 1)));
    let waiting = scene.start(0, &write(SIMPLE, 0, 2).form(crate::testing::Form::Immediate));
    assert_eq!(scene.manage(0, Function::AbortTask, Some(waiting)), Some(0));
    assert_eq!(scene.take(0, waiting), Some(Outcome::Aborted));
    let told = scene.start(0, &write(SIMPLE, 0, 2).form(crate::testing::Form::Immediate));
    assert_eq!(scene.manage(1, Function::ClearTaskSet, None), Some(0));
    assert_eq!((scene.take(1, stuck), scene.finish(0, told).status), (Some(Outcome::Aborted), 0x40));
    scene.end();
}

#[test]
fn an_orphan_keeps_its_blocks_until_the_device_is_done() {
    let mut scene = Scene::new(77, 2);
    scene.hold(true);
    let mut read = exclusive(Request::read(lun(0), 0, 8, BLOCK));
    read.task_attribute = ORDERED;
    let claim = scene.start(0, &read);
    assert_eq!(scene.manage(0, Function::AbortTask, Some(claim)), Some(0));
    let other = scene.start(1, &write(SIMPLE, 0, 2));
    let ready = scene.start(1, &Request::test_unit_ready(lun(0)));
    assert_eq!(scene.finish(1, ready).status, 0, "its turn is over");
    scene.run(50);
    assert_eq!((scene.take(1, other), witness::forget().operations), (None, 1), "its blocks are not free");
    scene.hold(false);
    assert_eq!(scene.finish(1, other).status, 0);
    scene.end();
}

#[test]
fn a_channel_that_dies_takes_its_claims_with_it() {
    let mut scene = Scene::new(78, 2);
    scene.hold(true);
    let stuck = scene.start(1, &write(SIMPLE, 0, 1));
    scene.start(0, &exclusive(write(SIMPLE, 0, 2)));
    scene.start(0, &write(ORDERED, 512, 2));
    scene.initiators[0].disconnect(0);
    scene.run(200);
    let after = scene.start(1, &Request { task_attribute: ORDERED, ..exclusive(write(SIMPLE, 0, 3)) });
    scene.hold(false);
    assert_eq!((scene.finish(1, stuck).status, scene.finish(1, after).status), (0, 0));
    scene.initiators[1].disconnect(0);
    scene.rig.check_nothing_leaked();
}

#[test]
fn a_unit_is_removed_while_commands_claim_it() {
    let mut scene = Scene::new(79, 2);
    scene.hold(true);
    let stuck = scene.start(1, &write(SIMPLE, 0, 1));
    let claim = scene.start(0, &exclusive(write(SIMPLE, 0, 2)));
    scene.rig.controller.remove_lun("tgt0", 0).expect("there");
    scene.run(100);
    scene.hold(false);
    assert_eq!((scene.finish(1, stuck).status, scene.finish(0, claim).status), (0, 0), "they end as they would have");
    scene.run(100);
    assert_eq!(scene.rig.controller.bdev_user("ram0"), None);
    scene.end();
}

#[test]
fn ordinary_commands_pay_nothing() {
    let mut scene = Scene::new(80, 2);
    let costs = |scene: &Scene| scene.rig.groups.iter().map(|group| group.claims.costly).sum::<u64>();
    for index in 0..50 {
        let handles = [
            (0, scene.start(0, &write(SIMPLE, index * 8, 1))),
            (1, scene.start(1, &Request::read(lun(0), index * 8, 8, BLOCK))),
        ];
        for (of, handle) in handles {
            assert_eq!(scene.finish(of, handle).status, 0);
        }
    }
    assert_eq!(costs(&scene), 0);
    let claim = scene.start(0, &exclusive(write(SIMPLE, 0, 2)));
    assert_eq!(scene.finish(0, claim).status, 0);
    scene.run(20);
    let after = costs(&scene);
    assert!(after > 0, "and a claim is counted");
    let handle = scene.start(1, &write(SIMPLE, 0, 2));
    assert_eq!((scene.finish(1, handle).status, costs(&scene)), (0, after));
    scene.end();
}

#[test]
fn random_commands_of_all_kinds_never_meet_and_never_stop() {
    for seed in 0..24 {
        random_commands(seed);
    }
}

fn random_commands(seed: u64) {
    let mut state = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = move |below: u32| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as u32 % below
    };
    let mut scene = Scene::new(1000 + seed, 3);
    let mut open: Vec<(usize, Handle)> = Vec::new();
    for _ in 0..600 {
        let of = random(3) as usize;
        if open.len() < 40 && random(2) == 0 {
            let at = random(24);
            let mut request = match random(4) {
                0 => Request::read(lun(0), at, 8, BLOCK),
                1 => write(SIMPLE, at, 5).form(crate::testing::Form::Immediate),
                _ => write(SIMPLE, at, 6),
            };
            request.task_attribute = [SIMPLE, SIMPLE, SIMPLE, SIMPLE, ORDERED, HEAD_OF_QUEUE][random(6) as usize];
            if random(3) == 0 {
                request = exclusive(request);
            }
            if let Ok(handle) = scene.initiators[of].start(0, &request) {
                open.push((of, handle));
            }
        }
        if !open.is_empty() && random(40) == 0 {
            let (of, victim) = open[random(open.len() as u32) as usize];
            let _ = scene.initiators[of].manage(0, Function::AbortTask, lun(0), Some(victim));
        }
        if random(8) == 0 {
            let group = random(3) as usize;
            scene.rig.groups[group].devices_held = random(2) == 0;
        }
        scene.run(1 + random(3) as usize);
        open.retain(|&(of, handle)| scene.initiators[of].take(handle).is_none());
    }
    scene.hold(false);
    for round in 0.. {
        scene.run(1);
        open.retain(|&(of, handle)| scene.initiators[of].take(handle).is_none());
        if open.is_empty() {
            break;
        }
        assert!(round < 20_000, "seed {seed}: {} commands never end", open.len());
    }
    let counts = witness::forget();
    assert!(counts.claims > 10 && counts.orders > 5 && counts.operations > 40, "seed {seed}: {counts:?}");
    scene.run(300);
    for initiator in &mut scene.initiators {
        let (left, granted) = initiator.credits(0);
        assert_eq!(left, granted, "seed {seed}: every credit is back");
    }
    scene.end();
}
