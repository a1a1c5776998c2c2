//! What the trace shows of commands, channels and sessions, and which commands it keeps as slow.

use fabric::sim::SimOptions;

use super::scene::Scene;
use super::*;
use crate::testing::Form;
use crate::testing::wire::Function;
use crate::wire::Tag;
use crate::{ChannelDeath, EventKind, SlowCommand, TraceEvent, Wait};

const MICROSECOND: Duration = Duration::from_micros(1);

/// What was traced since the last look.
fn take(controller: &mut Controller) -> Vec<TraceEvent> {
    let events = controller.trace_events(usize::MAX, None);
    controller.clear_trace();
    events
}

fn kinds(events: &[TraceEvent]) -> Vec<EventKind> {
    events.iter().map(|event| event.kind).collect()
}

fn part(slow: &SlowCommand, wait: Wait) -> u32 {
    slow.spent_us[wait as usize]
}

/// All slow commands; of each the parts add up to the whole.
fn slow(scene: &Scene) -> Vec<SlowCommand> {
    let slow: Vec<SlowCommand> = scene.rig.controller.slow_commands().cloned().collect();
    for slow in &slow {
        assert_eq!(slow.spent_us.iter().map(|&part| u64::from(part)).sum::<u64>(), slow.total_us, "{slow:?}");
    }
    slow
}

#[test]
fn a_commands_events_are_told_in_order() {
    let mut scene = Scene::new(700, 1);
    let session = scene.rig.controller.sessions()[0].clone();
    take(&mut scene.rig.controller);
    let request = Request::write(lun(0), 8, BLOCK, vec![1; 1024]);
    let handle = scene.initiators[0].start(0, &request).expect("a credit");
    let tag = Tag(scene.initiators[0].tag(handle));
    assert_eq!(scene.finish(0, handle).status, 0);
    let events = take(&mut scene.rig.controller);
    let cdb: [u8; 16] = std::array::from_fn(|index| request.cdb.get(index).copied().unwrap_or_default());
    let [received, submitted, done, answered] = events[..] else { panic!("{events:?}") };
    assert_eq!(received.kind, EventKind::Received { tag, lun: Some(0), cdb, data_bytes: 1024 });
    assert_eq!(submitted.kind, EventKind::Submitted { tag, operation: "write", lba: 8, blocks: 2 });
    assert_eq!(done.kind, EventKind::Done { tag, result: Ok(()) });
    let duration_ns = answered.time_ns - received.time_ns;
    assert!(duration_ns > 0, "the data were fetched");
    assert_eq!(answered.kind, EventKind::Answered { tag, status: 0, sense: None, data_bytes: 1024, duration_ns });
    for event in &events {
        let expected = (Some(0), Some(session.id), Some(session.channels[0].id));
        assert_eq!((event.reactor, event.session, event.channel), expected);
    }
    assert!(events.is_sorted_by_key(|event| event.time_ns));
    // Without a device there is nothing between; what is wrong has sense data.
    let handle = scene.start(0, &Request::read(lun(0), 1 << 20, 1, BLOCK));
    assert_eq!(scene.finish(0, handle).key_and_code(), Some((5, 0x21, 0)));
    let events = take(&mut scene.rig.controller);
    let [EventKind::Received { .. }, EventKind::Answered { status: 2, sense, data_bytes: 0, .. }] = kinds(&events)[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(sense, Some((5, 0x21, 0)));
    scene.end();
}

#[test]
fn events_of_several_reactors_are_merged_and_can_be_had_by_session() {
    let mut scene = Scene::new(701, 2);
    let sessions: Vec<u64> = scene.rig.controller.sessions().iter().map(|session| session.id).collect();
    take(&mut scene.rig.controller);
    for of in [0, 1, 0, 1] {
        let handle = scene.start(of, &Request::read(lun(0), 0, 1, BLOCK));
        assert_eq!(scene.finish(of, handle).status, 0);
    }
    let events = scene.rig.controller.trace_events(usize::MAX, None);
    assert_eq!(events.len(), 16);
    assert!(events.is_sorted_by_key(|event| event.time_ns));
    let reactors: Vec<Option<usize>> = events.iter().step_by(4).map(|event| event.reactor).collect();
    assert_eq!(reactors, [Some(0), Some(1), Some(0), Some(1)]);
    let second = scene.rig.controller.trace_events(usize::MAX, Some(sessions[1]));
    assert_eq!(second.len(), 8);
    assert!(second.iter().all(|event| event.session == Some(sessions[1])));
    assert_eq!(scene.rig.controller.trace_events(3, None), events[13..]);
    scene.rig.controller.clear_trace();
    assert_eq!(scene.rig.controller.trace_events(usize::MAX, None), []);
    scene.end();
}

#[test]
fn logins_attentions_aborts_and_ends_are_told() {
    let mut rig = Rig::new(702, 1, SimOptions::default(), 32);
    rig.export(&malloc("ram0", 128));
    let mut initiator = rig.initiator(1);
    let channel = rig.login(&mut initiator, MultiChannel::Single);
    let port = crate::wire::PortId(initiator_options(1).login_request(MultiChannel::Single).initiator_port);
    let events = take(&mut rig.controller);
    assert!(
        matches!(kinds(&events)[..], [EventKind::ChannelStarted, EventKind::Login { initiator }] if initiator == port),
        "{events:?}"
    );
    assert!(events.iter().all(|event| (event.session, event.channel) == (Some(1), Some(1))));

    rig.execute(&mut initiator, channel, &Request::test_unit_ready(lun(0)));
    let events = take(&mut rig.controller);
    let attention = EventKind::UnitAttention { tag: tag_of(&events[0]), lun: Some(0), code: (0x29, 0) };
    assert_eq!(events.last().map(|event| event.kind), Some(attention));

    rig.groups[0].devices_held = true;
    let write = initiator.start(channel, &Request::write(lun(0), 0, BLOCK, vec![1; 512])).expect("a credit");
    rig.run(40);
    let task_tag = Tag(initiator.tag(write));
    take(&mut rig.controller);
    let abort = initiator.manage(channel, Function::AbortTask, lun(0), Some(write)).expect("a credit");
    let tag = Tag(initiator.tag(abort));
    initiator.finish(abort, &mut || rig.step());
    let kinds_now = kinds(&take(&mut rig.controller));
    let [request, aborted, answered] = kinds_now[..] else { panic!("{kinds_now:?}") };
    assert_eq!(request, EventKind::TaskManagement { tag, lun: Some(0), function: 1, task_tag });
    assert_eq!(aborted, EventKind::Aborted { tag: task_tag, answered: false });
    assert!(matches!(answered, EventKind::TaskManagementAnswered { tag: of, response: 0, .. } if of == tag));
    rig.groups[0].devices_held = false;
    rig.run(40);
    assert_eq!(kinds(&take(&mut rig.controller)), [EventKind::Done { tag: task_tag, result: Ok(()) }]);

    initiator.logout(channel).expect("a send");
    rig.run(200);
    let end = [EventKind::Logout, EventKind::ChannelStopped, EventKind::SessionEnded { initiator: port }];
    assert_eq!(kinds(&take(&mut rig.controller)), end);

    let again = rig.login(&mut initiator, MultiChannel::Single);
    initiator.send_raw(again, &[0x55; 20]).expect("a send");
    rig.run(200);
    let failed = EventKind::ChannelFailed { reason: ChannelDeath::Malformed };
    assert!(kinds(&take(&mut rig.controller)).contains(&failed));

    let mut options = initiator_options(2);
    options.target_port[0] ^= 1;
    let mut stranger = Initiator::new(&rig.network, options);
    stranger.open(MultiChannel::Single, &mut || rig.step()).expect_err("there is no such target");
    let events = take(&mut rig.controller);
    assert!(matches!(kinds(&events)[..], [EventKind::LoginRefused { reason: 0x1_0003, .. }]), "{events:x?}");
    rig.check_nothing_leaked();
}

fn tag_of(event: &TraceEvent) -> Tag {
    let EventKind::Received { tag, .. } = event.kind else { panic!("{event:?}") };
    tag
}

#[test]
fn only_commands_above_the_threshold_are_kept_with_what_they_waited_for() {
    let mut scene = Scene::new(703, 1);
    scene.hold(true);
    let unseen = scene.start(0, &Request::read(lun(0), 0, 1, BLOCK));
    scene.run(1000);
    scene.hold(false);
    scene.finish(0, unseen);
    assert_eq!(slow(&scene), [], "there is no threshold");
    scene.rig.controller.set_slow_threshold(Some(1000 * MICROSECOND));
    let quick = scene.start(0, &Request::read(lun(0), 0, 1, BLOCK));
    scene.finish(0, quick);
    scene.run(5);
    assert_eq!(slow(&scene), []);
    scene.hold(true);
    let request = Request::write(lun(0), 3, BLOCK, vec![7; 512]);
    let handle = scene.start(0, &request);
    let tag = Tag(scene.initiators[0].tag(handle));
    scene.run(1000);
    scene.hold(false);
    scene.finish(0, handle);
    scene.run(5);
    let found = slow(&scene);
    let [found] = &found[..] else { panic!("{found:?}") };
    assert_eq!((found.tag, found.lun, found.status, found.data_bytes), (tag, Some(0), Some(0), 512));
    assert_eq!((found.bdev_name.as_deref(), found.session, found.channel), (Some("ram0"), Some(1), Some(1)));
    assert_eq!(scsi::describe_cdb(&found.cdb).range, Some((3, 1)));
    assert!(part(found, Wait::Device) >= 1900, "{found:?}");
    assert!(part(found, Wait::Fetch) < 1000, "{found:?}");
    scene.rig.controller.set_slow_threshold(None);
    scene.end();
}

#[test]
fn each_thing_that_a_command_waits_for_is_told_apart() {
    let mut scene = Scene::new(704, 1);
    scene.rig.controller.set_slow_threshold(Some(100 * MICROSECOND));
    scene.hold(true);
    // Two buffers of the largest size: the third read waits for one. The ORDERED command waits for all of them.
    let read = Request::read(lun(0), 0, 2048, BLOCK).form(Form::inline(1 << 20, 4));
    let ordered = Request { task_attribute: 2, ..Request::test_unit_ready(lun(0)) };
    let handles: Vec<_> = [&read, &read, &read, &ordered].map(|request| scene.start(0, request)).into();
    scene.run(200);
    scene.hold(false);
    handles.into_iter().for_each(|handle| assert_eq!(scene.finish(0, handle).status, 0));
    scene.run(5);
    let found = slow(&scene);
    let reads: Vec<&SlowCommand> = found.iter().filter(|slow| slow.cdb[0] == 0x28).collect();
    assert_eq!((reads.len(), found.len()), (3, 4));
    for wait in [Wait::Device, Wait::Buffers] {
        let most = |slow: &&&SlowCommand| Wait::ALL.into_iter().max_by_key(|wait| part(slow, *wait)) == Some(wait);
        assert_eq!(reads.iter().filter(most).count(), if wait == Wait::Device { 2 } else { 1 }, "{reads:?}");
    }
    let turn = found.iter().find(|slow| slow.cdb[0] == 0).expect("TEST UNIT READY");
    assert_eq!(u64::from(part(turn, Wait::Turn)), turn.total_us);
    scene.rig.controller.set_slow_threshold(None);
    scene.end();
}

/// Who waits for a dead device aborts in the end: such a command is never answered, and is the one to be found.
#[test]
fn a_command_that_was_aborted_at_a_stuck_device_is_kept_when_it_is_aborted() {
    let mut scene = Scene::new(705, 1);
    scene.rig.controller.set_slow_threshold(Some(100 * MICROSECOND));
    scene.hold(true);
    let stuck = scene.start(0, &Request::read(lun(0), 0, 1, BLOCK));
    let parked = scene.start(0, &Request { task_attribute: 2, ..Request::test_unit_ready(lun(0)) });
    scene.run(200);
    for handle in [parked, stuck] {
        scene.manage(0, Function::AbortTask, Some(handle));
    }
    scene.run(5);
    let found = slow(&scene);
    let waits: Vec<_> = found.iter().map(|slow| (slow.status, part(slow, Wait::Device) > 0)).collect();
    assert_eq!(waits, [(None, false), (None, true)]);
    scene.hold(false);
    scene.run(50);
    assert_eq!(slow(&scene).len(), 2, "and once only");
    scene.rig.controller.set_slow_threshold(None);
    scene.end();
}

#[test]
fn a_ring_of_size_zero_keeps_nothing_of_commands() {
    let mut rig = Rig::with(706, 1, SimOptions::default(), 32, 0);
    rig.export(&malloc("ram0", 128));
    let mut initiator = rig.initiator(1);
    let channel = rig.login(&mut initiator, MultiChannel::Single);
    rig.clear_attention(&mut initiator, channel, 0);
    let events = rig.controller.trace_events(usize::MAX, None);
    assert!(matches!(kinds(&events)[..], [EventKind::Login { .. }]), "{events:?}");
    initiator.disconnect(channel);
    rig.check_nothing_leaked();
}

#[test]
fn only_the_newest_slow_commands_are_kept() {
    let mut scene = Scene::new(707, 1);
    scene.rig.controller.set_slow_threshold(Some(Duration::ZERO));
    let mut last = None;
    for _ in 0..300 {
        let handle = scene.start(0, &Request::write(lun(0), 0, BLOCK, vec![1; 512])); // which takes a fetch
        scene.finish(0, handle);
        last = scene.rig.controller.trace_events(1, None).pop();
    }
    scene.rig.controller.set_slow_threshold(None);
    scene.run(5);
    let found = slow(&scene);
    assert_eq!(found.len(), 256);
    assert_eq!(found.last().map(|slow| slow.time_ns), last.map(|event| event.time_ns));
    scene.end();
}
