//! A unit that takes so many commands and no more.

use scsi::AttentionInterlock;

use super::scene::Scene;
use super::*;
use crate::administration::{AdminError, QUEUE_DEPTH_MAX};
use crate::testing::wire::Function;
use crate::testing::{Handle, Outcome};

const BUSY: u8 = 0x08;
const TASK_SET_FULL: u8 = 0x28;
const ORDERED: u8 = 2;

fn scene(seed: u64, reactors: usize) -> Scene {
    Scene::with(seed, reactors, &LunOptions { queue_depth: Some(2), ..LunOptions::default() })
}

fn write(lba: u32) -> Request {
    Request::write(lun(0), lba, BLOCK, vec![7; 4096])
}

fn ready(scene: &mut Scene, of: usize) -> u8 {
    let handle = scene.start(of, &Request::test_unit_ready(lun(0)));
    scene.finish(of, handle).status
}

#[test]
fn beyond_its_depth_a_unit_is_full_for_who_has_commands_there_and_busy_for_who_has_none() {
    let mut scene = scene(560, 3);
    scene.hold(true);
    let writes = [(0, scene.start(0, &write(0))), (1, scene.start(1, &write(64)))];
    assert_eq!(
        [ready(&mut scene, 0), ready(&mut scene, 1), ready(&mut scene, 2)],
        [TASK_SET_FULL, TASK_SET_FULL, BUSY]
    );
    scene.hold(false);
    writes.into_iter().for_each(|(of, write)| assert_eq!(scene.finish(of, write).status, 0));
    assert_eq!([ready(&mut scene, 0), ready(&mut scene, 1), ready(&mut scene, 2)], [0; 3]);
    scene.end();
}

#[test]
fn commands_that_wait_their_turn_count_and_those_that_are_aborted_do_not() {
    let mut scene = scene(561, 2);
    scene.hold(true);
    let first = scene.start(0, &write(0));
    let ordered = scene.start(0, &Request { task_attribute: ORDERED, ..write(64) });
    assert_eq!((ready(&mut scene, 0), ready(&mut scene, 1)), (TASK_SET_FULL, BUSY));
    for victim in [ordered, first] {
        assert_eq!(scene.manage(0, Function::AbortTask, Some(victim)), Some(0));
        assert_eq!(ready(&mut scene, 1), 0, "the device still hangs, but nobody waits for it");
    }
    let waiting: Vec<Handle> = (0..2).map(|lba| scene.start(0, &write(lba * 64))).collect();
    assert_eq!(ready(&mut scene, 0), TASK_SET_FULL);
    assert_eq!(scene.manage(0, Function::LunReset, None), Some(0));
    waiting.into_iter().for_each(|handle| assert_eq!(scene.take(0, handle), Some(Outcome::Aborted)));
    scene.hold(false);
    assert_eq!((ready(&mut scene, 0), ready(&mut scene, 0)), (2, 0), "told of the reset, then as ever");
    scene.end();
}

#[test]
fn who_goes_away_leaves_the_task_set() {
    let mut scene = scene(562, 2);
    scene.hold(true);
    scene.start(0, &write(0));
    scene.start(0, &write(64));
    assert_eq!(ready(&mut scene, 1), BUSY);
    scene.initiators[0].disconnect(0);
    scene.run(200);
    assert_eq!(ready(&mut scene, 1), 0);
    scene.hold(false);
    scene.initiators[1].disconnect(0);
    scene.rig.check_nothing_leaked();
}

/// SPC-4, UA_INTLCK_CTRL 11b: the initiator is told again, until it asks by REQUEST SENSE.
#[test]
fn with_interlock_the_status_becomes_a_unit_attention() {
    let mut scene = scene(563, 2);
    scene.unit().task_set().set_attention_interlock(AttentionInterlock::KeptWithStatus);
    scene.hold(true);
    let writes = [scene.start(0, &write(0)), scene.start(0, &write(64))];
    assert_eq!((ready(&mut scene, 0), ready(&mut scene, 1)), (TASK_SET_FULL, BUSY));
    scene.hold(false);
    writes.into_iter().for_each(|write| assert_eq!(scene.finish(0, write).status, 0));
    for (of, ascq) in [(0, 0x08), (1, 0x07)] {
        for _ in 0..2 {
            let handle = scene.start(of, &Request::test_unit_ready(lun(0)));
            assert_eq!(scene.finish(of, handle).key_and_code(), Some((6, 0x2c, ascq)));
        }
        let handle = scene.start(of, &Request::new(lun(0), [0x03, 0, 0, 0, 18, 0]).data_in(18));
        assert_eq!(scene.finish(of, handle).data[12..14], [0x2c, ascq]);
        assert_eq!(ready(&mut scene, of), 0);
    }
    scene.end();
}

#[test]
fn a_depth_is_the_units_and_the_first_lun_says_which() {
    let mut rig = Rig::new(564, 1, Default::default(), 8);
    let bdev = malloc("ram0", 64);
    let depth = |depth| LunOptions { queue_depth: Some(depth), ..LunOptions::default() };
    for wrong in [0, QUEUE_DEPTH_MAX + 1] {
        let refused = rig.controller.add_lun("tgt0", &bdev, &depth(wrong));
        assert!(matches!(refused, Err(AdminError::Invalid(text)) if text.starts_with("queue_depth:")));
    }
    rig.controller.add_lun("tgt0", &bdev, &depth(QUEUE_DEPTH_MAX)).expect("a LUN");
    let refused = rig.controller.add_lun("tgt0", &bdev, &depth(7));
    assert!(matches!(refused, Err(AdminError::Invalid(text)) if text.starts_with("queue_depth:")));
    rig.controller.add_lun("tgt0", &bdev, &LunOptions::default()).expect("another LUN of the unit");
    assert_eq!(rig.controller.targets()[0].luns[1].unit.task_set().depth(), Some(QUEUE_DEPTH_MAX));
}
