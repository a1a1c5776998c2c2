//! What is counted of commands, sessions, LUNs and cores, and that nothing is counted twice, lost, or kept for ever.

use fabric::sim::SimOptions;

use super::*;
use crate::limits::STATISTICS_PERIOD;
use crate::statistics::{LunReport, Operation, SessionReport};
use crate::testing::wire::Function;
use crate::testing::{Handle, Login};
use crate::{InitiatorGroup, LunSource, Pattern};

/// A target with a RAM disk as LUN 0, and an initiator that is ready to use it.
struct Scene {
    rig: Rig,
    initiator: Initiator,
    channel: usize,
}

impl Scene {
    fn new(reactors: usize) -> Scene {
        let mut rig = Rig::new(91, reactors, SimOptions::default(), 32);
        rig.export(&malloc("ram0", 4096));
        let mut initiator = rig.initiator(1);
        let channel = rig.login(&mut initiator, MultiChannel::Single);
        rig.clear_attention(&mut initiator, channel, 0);
        Scene { rig, initiator, channel }
    }

    fn execute(&mut self, request: &Request) -> crate::testing::Outcome {
        self.rig.execute(&mut self.initiator, self.channel, request)
    }

    /// Lets so much time pass that all is counted and brought up to date.
    fn settle(&mut self) {
        self.rig.run(3);
        self.rig.network.advance(STATISTICS_PERIOD);
        self.rig.run(3);
    }

    fn lun(&mut self) -> LunReport {
        self.settle();
        let luns = self.rig.controller.statistics().luns;
        assert_eq!(luns.len(), 1, "{luns:?}");
        luns[0].clone()
    }

    fn session(&mut self) -> SessionReport {
        self.settle();
        self.rig.controller.statistics().sessions[0].clone()
    }
}

/// Number and bytes of commands of one kind.
fn of(operations: &[crate::OperationTotals], operation: Operation) -> (u64, u64) {
    let totals = operations[operation as usize];
    (totals.latency.count(), totals.bytes)
}

fn error_counts(lun: &LunReport) -> Vec<(&'static str, &'static str, u64)> {
    let found = lun.errors.iter().filter(|error| error.count > 0);
    found.map(|error| (error.status, error.sense_key, error.count)).collect()
}

#[test]
fn every_command_is_counted_once_for_its_lun_and_for_its_session() {
    let mut scene = Scene::new(2);
    let (lun_before, session_before) = (scene.lun(), scene.session().totals);
    for _ in 0..7 {
        scene.execute(&Request::read(lun(0), 0, 8, BLOCK)).good();
    }
    for form in [crate::testing::Form::Immediate, crate::testing::Form::Direct] {
        scene.execute(&Request::write(lun(0), 8, BLOCK, pattern(1024, 1)).form(form)).good();
    }
    scene.execute(&Request::synchronize_cache(lun(0))).good();
    scene.execute(&Request::inquiry(lun(0), None, 36)).good();
    let (lun_after, session_after) = (scene.lun(), scene.session().totals);
    for (before, after) in
        [(lun_before.operations, lun_after.operations), (session_before.operations, session_after.operations)]
    {
        let counted = |operation| {
            let ((count, bytes), (count_before, bytes_before)) = (of(&after, operation), of(&before, operation));
            (count - count_before, bytes - bytes_before)
        };
        assert_eq!(counted(Operation::Read), (7, 7 * 4096));
        assert_eq!(counted(Operation::Write), (2, 2 * 1024));
        assert_eq!(counted(Operation::Flush), (1, 0));
        assert_eq!(counted(Operation::Unmap), (0, 0));
        assert_eq!(counted(Operation::Other), (1, 36));
        // A RAM disk is done in the round that took the command, and that takes time, too.
        let reads = after[Operation::Read as usize].latency;
        assert!(reads.sum >= 7 * 2_000, "rounds are 2 µs apart: {reads:?}");
    }
    assert_eq!((lun_after.target.as_str(), lun_after.lun, lun_after.bdev.as_str()), ("tgt0", 0, "ram0"));
    assert_eq!(session_after.failures, session_before.failures);
}

#[test]
fn failures_are_told_apart_by_status_and_sense_key() {
    let mut scene = Scene::new(1);
    assert_eq!(error_counts(&scene.lun()), [("check_condition", "unit_attention", 1)], "of the login");
    scene.execute(&Request::read(lun(0), 1 << 20, 1, BLOCK)).answer();
    scene.execute(&Request::new(lun(0), [0xff; 6])).answer();
    let failed = scene.lun();
    let expected = [("check_condition", "illegal_request", 2), ("check_condition", "unit_attention", 1)];
    assert_eq!(error_counts(&failed), expected);
    assert_eq!(of(&failed.operations, Operation::Read), (1, 0), "it moved nothing");
    assert_eq!(scene.session().totals.failures, 3);
}

/// RESERVE is carried out by the control plane.
#[test]
fn what_the_control_plane_answers_is_counted_too() {
    let mut scene = Scene::new(2);
    let mut other = scene.rig.initiator(2);
    let channel = scene.rig.login(&mut other, MultiChannel::Single);
    scene.rig.clear_attention(&mut other, channel, 0);
    let before = of(&scene.lun().operations, Operation::Other).0;
    for _ in 0..5 {
        scene.execute(&Request::new(lun(0), [0x16, 0, 0, 0, 0, 0])).good();
    }
    let read = Request::read(lun(0), 0, 1, BLOCK);
    assert_eq!(scene.rig.execute(&mut other, channel, &read).answer().status, 0x18);
    let after = scene.lun();
    assert_eq!(of(&after.operations, Operation::Other).0 - before, 5);
    assert!(error_counts(&after).contains(&("reservation_conflict", "", 1)), "{:?}", error_counts(&after));
}

#[test]
fn a_session_keeps_what_its_ended_channels_did_and_goes_with_the_last() {
    let mut scene = Scene::new(2);
    let second = scene.rig.login(&mut scene.initiator, MultiChannel::Multi);
    for _ in 0..4 {
        scene.rig.execute(&mut scene.initiator, second, &Request::read(lun(0), 0, 1, BLOCK)).good();
    }
    let both = scene.session();
    assert_eq!((both.channels, both.credits, of(&both.totals.operations, Operation::Read)), (2, 64, (4, 4 * 512)));
    scene.initiator.disconnect(second);
    scene.rig.run(200);
    let one = scene.session();
    assert_eq!((one.channels, one.credits, of(&one.totals.operations, Operation::Read)), (1, 32, (4, 4 * 512)));
    assert_eq!((one.target.as_str(), one.luns), ("tgt0", 1));
    scene.initiator.disconnect(scene.channel);
    scene.rig.run(200);
    let left = scene.rig.controller.statistics();
    assert!(left.sessions.is_empty(), "{:?}", left.sessions);
    assert_eq!(of(&left.luns[0].operations, Operation::Read).0, 4, "the LUN's stay");
}

#[test]
fn a_lun_begins_with_nothing_and_is_forgotten_when_it_goes() {
    let mut scene = Scene::new(1);
    scene.execute(&Request::read(lun(0), 0, 1, BLOCK)).good();
    assert_eq!(of(&scene.lun().operations, Operation::Read).0, 1);
    scene.rig.controller.remove_lun("tgt0", 0).expect("it is there");
    scene.settle();
    assert!(scene.rig.controller.statistics().luns.is_empty());
    scene.rig.export(&malloc("ram1", 64));
    let again = scene.lun();
    assert_eq!((again.bdev.as_str(), of(&again.operations, Operation::Read).0), ("ram1", 0), "nobody has used it");
    scene.rig.clear_attention(&mut scene.initiator, scene.channel, 0);
    scene.execute(&Request::read(lun(0), 0, 1, BLOCK)).good();
    assert_eq!(of(&scene.lun().operations, Operation::Read).0, 1);
}

#[test]
fn a_lun_of_a_groups_own_map_counts_apart_and_a_session_that_changes_its_group_moves() {
    let mut scene = Scene::new(1);
    let everybody: Vec<Pattern> = vec!["*".parse().expect("a pattern")];
    let group = InitiatorGroup::new("own".into(), None, everybody, Some(vec![]));
    scene.rig.controller.create_initiator_group(group).expect("a group");
    let read_only = crate::LunOptions { lun: Some(0), ..Default::default() };
    scene.rig.controller.group_add_lun("own", LunSource::TargetLun(0), &read_only).expect("a LUN");
    let mut member = scene.rig.initiator(2);
    let channel = scene.rig.login(&mut member, MultiChannel::Single);
    scene.rig.clear_attention(&mut member, channel, 0);
    scene.rig.execute(&mut member, channel, &Request::read(lun(0), 0, 1, BLOCK)).good();
    scene.settle();
    let reads = |scene: &mut Scene| -> Vec<(Option<String>, u64)> {
        scene.settle();
        let luns = scene.rig.controller.statistics().luns;
        luns.iter().map(|lun| (lun.initiator_group.clone(), of(&lun.operations, Operation::Read).0)).collect()
    };
    assert_eq!(reads(&mut scene), [(None, 0), (Some("own".into()), 1)]);
    // The same unit under the same number, but it is the target's LUN from now on.
    scene.rig.controller.delete_initiator_group("own").expect("it is there");
    scene.rig.run(20);
    scene.rig.execute(&mut member, channel, &Request::read(lun(0), 0, 1, BLOCK)).good();
    assert_eq!(reads(&mut scene), [(None, 1)]);
}

#[test]
fn aborts_and_task_management_are_counted_by_what_they_are() {
    let mut scene = Scene::new(1);
    let held = |scene: &mut Scene, held: bool| scene.rig.groups.iter_mut().for_each(|group| group.devices_held = held);
    let manage = |scene: &mut Scene, function: Function, task: Option<Handle>| {
        let handle = scene.initiator.manage(scene.channel, function, lun(0), task).expect("a credit");
        scene.initiator.finish(handle, &mut || scene.rig.step()).answer()
    };
    held(&mut scene, true);
    let write = Request::write(lun(0), 0, BLOCK, pattern(4096, 1));
    let task = scene.initiator.start(scene.channel, &write).expect("a credit");
    scene.rig.run(10);
    scene.settle();
    let busy = scene.rig.controller.statistics();
    assert_eq!((busy.units[0].in_flight, busy.groups[0].commands, busy.sessions[0].requests), (1, 1, 1));
    assert_eq!(busy.sessions[0].credits_used, 1);
    manage(&mut scene, Function::AbortTask, Some(task));
    scene.settle();
    let orphaned = scene.rig.controller.statistics();
    assert_eq!((orphaned.groups[0].orphans, orphaned.sessions[0].requests, orphaned.units[0].in_flight), (1, 0, 1));
    held(&mut scene, false);
    manage(&mut scene, Function::LunReset, None);
    let lun = scene.lun();
    assert_eq!((lun.aborts, of(&lun.operations, Operation::Write)), (1, (0, 0)), "it was not answered");
    let statistics = scene.rig.controller.statistics();
    assert_eq!((statistics.sessions[0].totals.aborts, statistics.sessions[0].totals.management), (1, 2));
    let functions = statistics.groups[0].management.iter().filter(|(_, count)| *count > 0);
    assert_eq!(functions.collect::<Vec<_>>(), [&("abort_task", 1), &("logical_unit_reset", 1)]);
    assert_eq!((statistics.groups[0].orphans, statistics.units[0].in_flight), (0, 0));
}

#[test]
fn buffers_and_what_waits_for_them_can_be_seen() {
    let mut scene = Scene::new(1);
    let pool = |scene: &mut Scene, name: &str| {
        scene.settle();
        let statistics = scene.rig.controller.statistics();
        *statistics.groups[0].pools.iter().find(|pool| pool.name == name).expect("a pool")
    };
    let waits = |scene: &mut Scene| -> (u64, u64) {
        scene.settle();
        let group = &scene.rig.controller.statistics().groups[0];
        (group.waits[1].1, group.waiting[1].1)
    };
    let free = pool(&mut scene, "data_large");
    assert_eq!((free.capacity, free.free), (small_memory().large_data as u64, free.capacity));
    scene.rig.groups.iter_mut().for_each(|group| group.devices_held = true);
    let handles: Vec<Handle> = (0..free.capacity + 1)
        .map(|_| scene.initiator.start(scene.channel, &Request::read(lun(0), 0, 2048, BLOCK)).expect("a credit"))
        .collect();
    scene.rig.run(10);
    assert_eq!(pool(&mut scene, "data_large").free, 0);
    assert_eq!(waits(&mut scene), (1, 1));
    let small = scene.initiator.start(scene.channel, &Request::read(lun(0), 0, 1, BLOCK)).expect("a credit");
    scene.rig.run(10);
    assert_eq!(waits(&mut scene), (1, 1), "who wants a small one does not wait behind it");
    scene.rig.groups.iter_mut().for_each(|group| group.devices_held = false);
    for handle in handles.into_iter().chain([small]) {
        scene.initiator.finish(handle, &mut || scene.rig.step()).good();
    }
    assert_eq!(pool(&mut scene, "data_large").free, free.capacity);
    assert_eq!(waits(&mut scene), (1, 0));
    assert_eq!(scene.session().totals.buffer_waits, 1);
}

#[test]
fn refused_logins_and_failed_channels_are_counted_by_their_cause() {
    let mut scene = Scene::new(1);
    let mut refused = |options: InitiatorOptions| {
        let mut initiator = Initiator::new(&scene.rig.network, options);
        let answer = initiator.open(MultiChannel::Single, &mut || scene.rig.step());
        assert!(matches!(answer, Err(Login::Refused(_))), "{answer:?}");
    };
    refused(InitiatorOptions { formats: 0, ..initiator_options(2) });
    refused(InitiatorOptions { max_it_iu_len: 8261, ..initiator_options(2) });
    refused(InitiatorOptions { max_it_iu_len: 8261, ..initiator_options(2) });
    let group = InitiatorGroup::new("g".into(), None, vec!["192.0.2.9".parse().expect("a pattern")], None);
    scene.rig.controller.create_initiator_group(group).expect("a group");
    refused_by_group(&mut scene);
    scene.initiator.send_raw(scene.channel, &[0xee; 20]).expect("it can be sent");
    scene.rig.run(100);
    let statistics = scene.rig.controller.statistics();
    let counts = |list: &[(&'static str, u64)]| -> Vec<(&'static str, u64)> {
        list.iter().copied().filter(|(_, count)| *count > 0).collect()
    };
    assert_eq!(counts(&statistics.refusals), [("not_allowed", 1), ("iu_length", 2), ("buffer_format", 1)]);
    assert_eq!((statistics.logins, counts(&statistics.failures)), (1, vec![("malformed", 1)]));
    assert_eq!(scene.rig.controller.login_counts().refused, 4);
    assert!(!statistics.draining);
    scene.rig.controller.start_drain();
    assert!(scene.rig.controller.statistics().draining);
}

fn refused_by_group(scene: &mut Scene) {
    let mut initiator = scene.rig.initiator(3);
    let answer = initiator.open(MultiChannel::Single, &mut || scene.rig.step());
    assert!(matches!(answer, Err(Login::Refused(_))), "{answer:?}");
}
