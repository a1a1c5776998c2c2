//! QERR, TAS, D_SENSE and UA_INTLCK_CTRL of the control mode page, as initiators see them.

use scsi::QueueError;

use super::scene::Scene;
use super::*;
use crate::testing::wire::Function;
use crate::testing::{Handle, Outcome};

const TASK_ABORTED: u8 = 0x40;
const COMMANDS_CLEARED: Option<(u8, u8, u8)> = Some((6, 0x2f, 0));
const UNKNOWN_COMMAND: Option<(u8, u8, u8)> = Some((5, 0x20, 0));

fn write(lba: u32) -> Request {
    Request::write(lun(0), lba, BLOCK, vec![7; 4096])
}

/// A command that ends with CHECK CONDITION.
fn bad() -> Request {
    Request::new(lun(0), [0xc0, 0, 0, 0, 0, 0])
}

/// A write that hangs, and that its own initiator knows may not be answered.
fn doubtful(scene: &mut Scene, of: usize, lba: u32) -> Handle {
    let handle = scene.start(of, &write(lba));
    scene.initiators[of].doubt(handle);
    handle
}

#[test]
fn by_default_a_failed_command_takes_none_with_it() {
    let mut scene = Scene::new(540, 2);
    scene.hold(true);
    let writes = [(0, scene.start(0, &write(0))), (1, scene.start(1, &write(64)))];
    let bad = scene.start(0, &bad());
    assert_eq!(scene.finish(0, bad).key_and_code(), UNKNOWN_COMMAND);
    scene.hold(false);
    writes.into_iter().for_each(|(of, write)| assert_eq!(scene.finish(of, write).status, 0));
    scene.end();
}

#[test]
fn with_qerr_11b_those_of_its_nexus_go_on_all_cores() {
    let mut scene = Scene::new(541, 2);
    scene.unit().task_set().set_queue_error(QueueError::SameNexus);
    let second = scene.rig.login(&mut scene.initiators[0], MultiChannel::Multi);
    scene.hold(true);
    let mine = doubtful(&mut scene, 0, 0);
    let far = scene.initiators[0].start(second, &write(32)).expect("a credit");
    scene.initiators[0].doubt(far);
    let other = scene.start(1, &write(64));
    let bad = scene.start(0, &bad());
    assert_eq!(scene.finish(0, bad).key_and_code(), UNKNOWN_COMMAND, "however the device hangs");
    scene.initiators[0].end_doubtful();
    assert_eq!((scene.take(0, mine), scene.take(0, far)), (Some(Outcome::Aborted), Some(Outcome::Aborted)));
    assert_eq!(scene.take(1, other), None);
    scene.hold(false);
    assert_eq!(scene.finish(1, other).status, 0);
    scene.run(200);
    scene.initiators[0].disconnect(second);
    scene.end();
}

#[test]
fn with_qerr_01b_everybodys_go_and_the_others_are_told_by_a_status() {
    let mut scene = Scene::new(542, 2);
    scene.unit().task_set().set_queue_error(QueueError::All);
    scene.hold(true);
    let mine = doubtful(&mut scene, 0, 0);
    let other = scene.start(1, &write(64));
    let failing = scene.start(0, &bad());
    assert_eq!(scene.finish(0, failing).key_and_code(), UNKNOWN_COMMAND);
    scene.initiators[0].end_doubtful();
    assert_eq!((scene.take(0, mine), scene.finish(1, other).status), (Some(Outcome::Aborted), TASK_ABORTED));
    scene.hold(false);
    let ready = scene.start(1, &Request::test_unit_ready(lun(0)));
    assert_eq!(scene.finish(1, ready).status, 0, "and by nothing else");
    scene.end();
}

#[test]
fn two_that_fail_at_once_are_both_answered() {
    for seed in 0..40 {
        let mut scene = Scene::new(600 + seed, 2);
        scene.unit().task_set().set_queue_error(QueueError::All);
        let handles: Vec<Vec<Handle>> = (0..2)
            .map(|of| (0..2).map(|_| scene.initiators[of].start(0, &bad()).expect("a credit")).collect())
            .collect();
        scene.rig.run(200);
        for (of, handles) in handles.into_iter().enumerate() {
            for handle in handles {
                let answer = scene.finish(of, handle);
                // One that was still on its way through the target may go with the other.
                assert!(answer.status == TASK_ABORTED || answer.key_and_code() == UNKNOWN_COMMAND, "{answer:?}");
            }
        }
        scene.end();
    }
}

#[test]
fn a_command_that_waits_for_the_end_of_others_is_ended_by_a_reset() {
    let mut scene = Scene::new(543, 2);
    scene.unit().task_set().set_queue_error(QueueError::All);
    let failing = scene.initiators[0].start(0, &bad()).expect("a credit");
    let mut reset = None;
    // Only the cores run, so that it waits; then both orders are under way at once.
    for round in 0..400 {
        scene.rig.network.advance(Duration::from_micros(2));
        let now = Instant(u64::try_from(scene.rig.network.now().as_nanos()).expect("short"));
        scene.rig.groups.iter_mut().for_each(|group| {
            group.poll(now);
        });
        if round == 200 {
            assert_eq!(scene.rig.commands(), 1, "it waits");
            reset = Some(scene.initiators[0].manage(0, Function::LunReset, lun(0), None).expect("a credit"));
        }
    }
    assert_eq!(scene.finish(0, reset.expect("sent")).code, Some(0));
    assert_eq!(scene.take(0, failing), Some(Outcome::Aborted));
    scene.end();
}

/// SPC-4: where TAS is clear, a unit attention takes the place of TASK ABORTED, for those that had commands.
#[test]
fn without_tas_those_whose_commands_were_cleared_are_told_by_a_unit_attention() {
    for (seed, function) in [(544, Function::ClearTaskSet), (545, Function::LunReset)] {
        let mut scene = Scene::new(seed, 3);
        scene.unit().set_task_aborted_status(false);
        scene.hold(true);
        let victim = scene.start(1, &write(64));
        let handle = scene.initiators[0].manage(0, function, lun(0), None).expect("a credit");
        let (rig, initiators) = (&mut scene.rig, &mut scene.initiators);
        assert_eq!(initiators[0].finish(handle, &mut || rig.step()).answer().code, Some(0));
        // Its initiator knows nothing and, in time, aborts it.
        assert_eq!(scene.manage(1, Function::AbortTask, Some(victim)), Some(0));
        assert_eq!(scene.take(1, victim), Some(Outcome::Aborted));
        let reset = Some((6, 0x29, 3));
        let expected = if function == Function::LunReset { [reset; 3] } else { [None, COMMANDS_CLEARED, None] };
        for (of, expected) in expected.into_iter().enumerate() {
            let ready = scene.start(of, &Request::test_unit_ready(lun(0)));
            assert_eq!(scene.finish(of, ready).key_and_code(), expected, "{function:?} {of}");
            let ready = scene.start(of, &Request::test_unit_ready(lun(0)));
            assert_eq!(scene.finish(of, ready).status, 0, "{function:?} {of}");
        }
        scene.hold(false);
        scene.end();
    }
}

#[test]
fn d_sense_gives_sense_data_descriptors() {
    let mut scene = Scene::new(546, 1);
    for (on, format) in [(false, 0x70), (true, 0x72), (false, 0x70)] {
        scene.unit().set_descriptor_sense(on);
        let handle = scene.start(0, &bad());
        let answer = scene.finish(0, handle);
        assert_eq!((answer.sense[0], answer.key_and_code()), (format, UNKNOWN_COMMAND));
        let handle = scene.start(0, &Request::new(lun(0), [0x03, 0, 0, 0, 18, 0]).data_in(18));
        assert_eq!(scene.finish(0, handle).data[0], 0x70, "REQUEST SENSE says itself which it wants");
    }
    scene.unit().set_descriptor_sense(true);
    let handle = scene.start(0, &Request::new(lun(9), [0, 0, 0, 0, 0, 0]));
    assert_eq!(scene.finish(0, handle).sense[0], 0x70, "no unit, no mode page");
    assert_eq!(scene.manage(0, Function::LunReset, None), Some(0));
    let handle = scene.start(0, &bad());
    assert_eq!(scene.finish(0, handle).sense[0], 0x70, "a reset takes it back");
    scene.end();
}

#[test]
fn a_reset_takes_qerr_back() {
    let mut scene = Scene::new(547, 1);
    scene.unit().task_set().set_queue_error(QueueError::All);
    assert_eq!(scene.manage(0, Function::LunReset, None), Some(0));
    assert_eq!(scene.unit().task_set().queue_error(), QueueError::Nothing);
    scene.end();
}
