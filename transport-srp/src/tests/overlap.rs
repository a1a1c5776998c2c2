//! Tags that are in use already (SAM-5, overlapped commands).

use super::scene::Scene;
use super::*;
use crate::testing::wire::{Buffer, Command, Function};
use crate::testing::{Handle, Outcome};

const OVERLAPPED: (u8, u8, u8) = (0x0b, 0x4e, 0);
const TEST_UNIT_READY: [u8; 6] = [0; 6];

fn write(lba: u32) -> Request {
    Request::write(lun(0), lba, BLOCK, vec![7; 4096])
}

/// Sends a TEST UNIT READY under the tag of another command. Of that one the initiator knows nothing any more.
fn overlap(scene: &mut Scene, older: Handle, number: u16) -> Handle {
    let tag = scene.initiators[0].tag(older);
    let command = Command {
        tag,
        solicit: 0,
        lun: lun(number),
        task_attribute: 0,
        cdb: TEST_UNIT_READY.into(),
        data_out: Buffer::None,
        data_in: Buffer::None,
    };
    scene.initiators[0].start_raw(0, tag, &command.encode(68)).expect("a credit")
}

#[test]
fn a_tag_in_use_ends_all_of_the_nexus_commands_for_the_unit() {
    let mut scene = Scene::new(580, 2);
    let second = scene.rig.login(&mut scene.initiators[0], MultiChannel::Multi);
    scene.hold(true);
    let older = scene.start(0, &write(0));
    let same_core = scene.start(0, &write(64));
    let far = scene.initiators[0].start(second, &write(128)).expect("a credit");
    let other = scene.start(1, &write(192));
    for doubtful in [same_core, far] {
        scene.initiators[0].doubt(doubtful);
    }
    let newer = overlap(&mut scene, older, 0);
    assert_eq!(scene.finish(0, newer).key_and_code(), Some(OVERLAPPED), "however the device hangs");
    scene.initiators[0].end_doubtful();
    assert_eq!((scene.take(0, same_core), scene.take(0, far)), (Some(Outcome::Aborted), Some(Outcome::Aborted)));
    assert_eq!(scene.take(1, other), None, "another nexus has other tags");
    let again = overlap(&mut scene, older, 0);
    assert_eq!(scene.finish(0, again).status, 0, "the tag is free now");
    scene.hold(false);
    assert_eq!(scene.finish(1, other).status, 0);
    scene.run(200);
    scene.initiators[0].disconnect(second);
    scene.end();
}

#[test]
fn the_same_tag_for_another_unit_is_another_tag() {
    let mut scene = Scene::new(581, 1);
    scene.rig.export(&malloc("ram1", 64));
    for number in [0, 1] {
        scene.rig.clear_attention(&mut scene.initiators[0], 0, number);
    }
    scene.hold(true);
    let older = scene.start(0, &write(0));
    let newer = overlap(&mut scene, older, 1);
    assert_eq!(scene.finish(0, newer).status, 0);
    assert_eq!(scene.manage(0, Function::AbortTask, Some(older)), Some(0));
    scene.hold(false);
    scene.end();
}

#[test]
fn tags_are_free_whatever_became_of_their_commands() {
    let mut scene = Scene::new(582, 1);
    scene.hold(true);
    let handles: Vec<Handle> = (0..4).map(|lba| scene.start(0, &write(lba * 8))).collect();
    assert_eq!(scene.manage(0, Function::AbortTask, Some(handles[1])), Some(0));
    assert_eq!(scene.manage(0, Function::AbortTaskSet, None), Some(0));
    for _ in 0..3 {
        // The initiator uses the smallest tag that is free: those of the commands that were aborted.
        let handle = scene.start(0, &Request::test_unit_ready(lun(0)));
        assert_eq!(scene.finish(0, handle).status, 0);
    }
    scene.hold(false);
    scene.run(100);
    let free = |scene: &Scene| scene.rig.groups[0].channels.iter().all(|(_, channel)| channel.tags.is_empty());
    assert!(free(&scene));
    let failing = scene.start(0, &Request::new(lun(0), [0xc0, 0, 0, 0, 0, 0]));
    assert_eq!(scene.finish(0, failing).status, 2);
    let nowhere = scene.start(0, &Request::new(lun(9), TEST_UNIT_READY));
    assert_eq!(scene.finish(0, nowhere).status, 2);
    assert!(free(&scene));
    scene.end();
}
