//! A back end that hangs: task management is answered all the same, and nothing that it ended is answered afterwards (the initiator
//! panics if it is).

use super::scene::Scene;
use super::*;
use crate::testing::wire::Function;
use crate::testing::{Form, Handle, Outcome};

const ORDERED: u8 = 2;
const COMPLETE: Option<u8> = Some(0);
const NOT_SUPPORTED: Option<u8> = Some(4);
const TASK_ABORTED: u8 = 0x40;

/// Commands in every place where one can be while the device hangs: in it, behind a fence, waiting for blocks, and for a turn.
fn commands(scene: &mut Scene, of: usize) -> Vec<Handle> {
    let write =
        |lba, attribute| Request { task_attribute: attribute, ..Request::write(lun(0), lba, BLOCK, vec![7; 4096]) };
    let mut exclusive = write(0, 0);
    exclusive.cdb[6] = 0x1f; // see `Command::exclusive_for_test`
    let requests = [
        write(0, 0),
        Request::read(lun(0), 64, 8, BLOCK),
        Request::new(lun(0), [0x2f, 0, 0, 0, 0, 96, 0, 0, 8, 0]), // VERIFY(10)
        write(128, 0).form(Form::Immediate),
        exclusive,
        write(256, ORDERED),
        write(512, 0),
        Request::inquiry(lun(0), None, 36),
    ];
    requests.iter().map(|request| scene.start(of, request)).collect()
}

fn outcomes(scene: &mut Scene, of: usize, handles: &[Handle]) -> Vec<Option<Outcome>> {
    handles.iter().map(|&handle| scene.take(of, handle)).collect()
}

#[test]
fn every_function_is_answered_at_once_and_ends_what_it_is_about() {
    for (seed, function) in (500..).zip([Function::AbortTaskSet, Function::ClearTaskSet, Function::LunReset]) {
        let mut scene = Scene::new(seed, 2);
        scene.hold(true);
        let (mine, others) = (commands(&mut scene, 0), commands(&mut scene, 1));
        assert_eq!(scene.manage(0, function, None), COMPLETE, "{function:?}");
        for outcome in outcomes(&mut scene, 0, &mine) {
            assert_eq!(outcome, Some(Outcome::Aborted), "{function:?}");
        }
        scene.run(50);
        let told = outcomes(&mut scene, 1, &others).into_iter().flatten();
        let statuses: Vec<u8> = told.map(|outcome| outcome.answer().status).collect();
        let expected = if function == Function::AbortTaskSet { vec![] } else { vec![TASK_ABORTED; others.len()] };
        assert_eq!(statuses, expected, "{function:?}");
        // What does not touch the medium goes on.
        for of in 0..2 {
            let ready = scene.start(of, &Request::test_unit_ready(lun(0)));
            let outcome = scene.take(of, ready).map(|outcome| outcome.answer().key_and_code());
            let expected = match function {
                Function::LunReset => Some(Some((6, 0x29, 0x03))),
                Function::AbortTaskSet => None, // behind the ORDERED command of the other
                _ => Some(None),
            };
            assert_eq!(outcome, expected, "{function:?} {of}");
        }
        scene.hold(false);
        scene.run(300);
        scene.end();
    }
}

#[test]
fn an_abort_of_any_of_them_is_answered_at_once() {
    for victim in 0..8 {
        let mut scene = Scene::new(510 + victim as u64, 2);
        scene.hold(true);
        let handles = commands(&mut scene, 0);
        assert_eq!(scene.manage(0, Function::AbortTask, Some(handles[victim])), COMPLETE, "{victim}");
        assert_eq!(scene.take(0, handles[victim]), Some(Outcome::Aborted), "{victim}");
        scene.hold(false);
        for (number, &handle) in handles.iter().enumerate().filter(|(number, _)| *number != victim) {
            assert_eq!(scene.finish(0, handle).status, 0, "{number} after the abort of {victim}");
        }
        scene.end();
    }
}

#[test]
fn there_is_no_aca_to_clear() {
    let mut scene = Scene::new(520, 1);
    scene.hold(true);
    let stuck = commands(&mut scene, 0);
    assert_eq!(scene.manage(0, Function::ClearAca, None), NOT_SUPPORTED);
    assert!(outcomes(&mut scene, 0, &stuck).iter().all(Option::is_none), "and nothing is ended");
    scene.hold(false);
    stuck.into_iter().for_each(|handle| assert_eq!(scene.finish(0, handle).status, 0));
    scene.end();
}

#[test]
fn a_late_write_never_lands_on_a_newer_one() {
    let mut scene = Scene::new(521, 2);
    for round in 0..8 {
        scene.hold(true);
        let old = scene.start(0, &Request::write(lun(0), 0, BLOCK, vec![1; 4096]));
        assert_eq!(scene.manage(0, Function::AbortTask, Some(old)), COMPLETE);
        let new = scene.start(round % 2, &Request::write(lun(0), 0, BLOCK, vec![2; 4096]));
        scene.run(20);
        assert_eq!(scene.take(round % 2, new), None, "it waits for the old one");
        scene.hold(false);
        assert_eq!(scene.finish(round % 2, new).status, 0);
        assert_eq!(scene.read(0, 0), vec![2; 512]);
    }
    scene.end();
}
