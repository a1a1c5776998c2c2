//! Each rule by itself.

use super::super::*;
use super::bench::{DATA, MESSAGE, SIZES, Target, address, connected, connected_as, options, run};
use crate::{ControlEvent, FabricError, GroupId, ListenerState, WorkError};

const SECOND: Duration = Duration::from_secs(1);

fn disconnected(initiator: &mut Initiator) -> bool {
    matches!(initiator.poll(), Some(InitiatorEvent::Disconnected { .. }))
}

fn fixed_delay(micros: u64) -> SimOptions {
    let delay = Duration::from_micros(micros);
    SimOptions { delay: delay..=delay, ..SimOptions::default() }
}

#[test]
fn a_connection_carries_private_data_both_ways_padded_as_infiniband_does() {
    let network = Network::new(1, SimOptions::default());
    let mut control = crate::Control::Sim(network.control());
    control.listen("0.0.0.0:5555".parse().expect("an address")).expect("free");
    let mut initiator = network.host().connect(options());
    let mut requests = Vec::new();
    control.poll(0, &mut |event| {
        if let ControlEvent::ConnectRequest { connection, request } = event {
            requests.push((connection, request));
        }
    });
    let (connection, request) = requests.pop().expect("a request");
    assert_eq!(request.private_data.len(), 56);
    assert_eq!(&request.private_data[..8], b"request\0");
    assert_eq!((request.peer, request.local), (options().peer, address()));
    assert_eq!((request.reads_served, request.device.as_str()), (4, "sim0"));
    control.reject(connection, b"because");
    control.destroy(connection, None);
    match initiator.poll() {
        Some(InitiatorEvent::Rejected { private_data }) => {
            assert_eq!(private_data.len(), 148);
            assert_eq!(&private_data[..7], b"because");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(network.connections(), 1);
    drop(initiator);
    assert_eq!(network.connections(), 0);
}

#[test]
fn established_reaches_both_ends_and_messages_go_both_ways() {
    let (network, mut target, mut initiator) = connected(SimOptions::default());
    assert!(target.channel(&initiator).established);
    initiator.send(b"hello").expect("connected");
    target.settle();
    assert_eq!(target.channel(&initiator).messages, [b"hello"]);
    let qp = target.qp(&initiator);
    target.send(qp, 7, b"welcome");
    target.settle();
    assert_eq!(initiator.receive().as_deref(), Some(&b"welcome"[..]));
    assert_eq!(initiator.receive(), None);
    assert_eq!(initiator.receives_posted(), 63);
    assert_eq!(target.channel(&initiator).results, [(7, Ok(()))]);
    assert!(network.violations().is_empty());
}

#[test]
fn nobody_listening_is_a_refusal_without_data() {
    let network = Network::new(1, SimOptions::default());
    let mut target = Target::new(&network);
    target.control.unlisten(target.listener);
    let mut initiator = network.host().connect(options());
    target.settle();
    assert_eq!(initiator.poll(), Some(InitiatorEvent::Rejected { private_data: Vec::new() }));
}

#[test]
fn an_address_is_listened_on_once() {
    let network = Network::new(1, SimOptions::default());
    let mut target = Target::new(&network);
    let mut other = crate::Control::Sim(network.control());
    assert!(matches!(other.listen(address()), Err(FabricError::AddressInUse { .. })));
    target.control.unlisten(target.listener);
    assert!(other.listen(address()).is_ok());
}

#[test]
fn messages_take_the_time_that_they_are_given() {
    let (network, mut target, mut initiator) = connected(fixed_delay(20));
    initiator.send(b"a").expect("connected");
    network.advance(Duration::from_micros(19));
    target.settle();
    assert!(target.channel(&initiator).messages.is_empty());
    assert_eq!(network.next_event(), Some(Duration::from_micros(1)));
    network.advance(Duration::from_micros(1));
    target.settle();
    assert_eq!(target.channel(&initiator).messages.len(), 1);
}

#[test]
fn a_late_message_holds_up_those_behind_it() {
    let (network, mut target, mut initiator) = connected(fixed_delay(1));
    let action = FaultAction::Delay(SECOND);
    network.inject(Fault { connection: None, when: When::Nth(OperationKind::Message, 2), action });
    for number in 0..3 {
        initiator.send(&[number]).expect("connected");
    }
    network.advance(SECOND);
    target.settle();
    assert_eq!(target.channel(&initiator).messages, [[0]]);
    network.advance(SECOND);
    target.settle();
    assert_eq!(target.channel(&initiator).messages, [[0], [1], [2]]);
}

#[test]
fn data_is_fetched_from_and_delivered_to_registered_memory() {
    let (network, mut target, mut initiator) = connected(SimOptions::jittery());
    let host = initiator.host().clone();
    let memory = host.register(3000, Access::BOTH);
    let bytes: Vec<u8> = (0..3000).map(|i| (i % 251) as u8).collect();
    host.write(&memory, 0, &bytes);
    let qp = target.qp(&initiator);
    target.fetch(qp, 1, &[(memory.rkey, memory.addr + 1000, 500), (memory.rkey, memory.addr, 1)]);
    run(&network, &mut target);
    assert_eq!(target.channel(&initiator).fetched, [[&bytes[1000..1500], &bytes[..1]].concat()]);

    target.deliver(
        qp,
        2,
        0xee,
        &[(memory.rkey, memory.addr + 10, 5), (memory.rkey, memory.addr + 2999, 1)],
        Some(b"done"),
    );
    while initiator.receive().is_none() {
        network.advance(network.next_event().expect("the message is under way"));
    }
    let mut seen = vec![0; 3000];
    host.read(&memory, 0, &mut seen);
    let mut expected = bytes;
    expected[10..15].fill(0xee);
    expected[2999] = 0xee;
    assert_eq!(seen, expected, "the data are there when the message is");
    run(&network, &mut target);
    assert_eq!(target.channel(&initiator).results, [(1, Ok(())), (2, Ok(()))]);
}

/// Which access is refused, and why. Each ends the connection on both sides.
#[test]
fn memory_is_reached_only_as_it_was_registered() {
    type Wrong = fn(&Host) -> (u32, u64, u32);
    let cases: [(&str, bool, Wrong); 9] = [
        ("no such key", false, |host| (0x7fff_ff00, host.register(100, Access::BOTH).addr, 10)),
        ("no such key", false, |host| (0, host.register(100, Access::BOTH).addr, 10)),
        ("stale", true, |host| {
            let old = host.register(100, Access::BOTH);
            host.renew(&old);
            (old.rkey, old.addr, 10)
        }),
        ("invalidated", true, |host| {
            let memory = host.register(100, Access::BOTH);
            host.invalidate(&memory);
            (memory.rkey, memory.addr, 10)
        }),
        ("below", true, |host| {
            let memory = host.register(100, Access::BOTH);
            (memory.rkey, memory.addr - 1, 10)
        }),
        ("past", false, |host| {
            let memory = host.register(100, Access::BOTH);
            (memory.rkey, memory.addr + 91, 10)
        }),
        ("past", false, |host| {
            let memory = host.register(100, Access::BOTH);
            (memory.rkey, u64::MAX, 10)
        }),
        ("right", true, |host| {
            let memory = host.register(100, Access::READ);
            (memory.rkey, memory.addr, 10)
        }),
        ("right", false, |host| {
            let memory = host.register(100, Access::WRITE);
            (memory.rkey, memory.addr, 10)
        }),
    ];
    for (problem, write, wrong) in cases {
        let (network, mut target, mut initiator) = connected(SimOptions::default());
        let piece = wrong(initiator.host());
        let qp = target.qp(&initiator);
        let mut results = Vec::new();
        if write {
            target.deliver(qp, 1, 0, &[piece], Some(b"never"));
        } else {
            target.fetch(qp, 1, &[piece]);
        }
        target.send(qp, 2, b"never");
        for _ in 0..100 {
            if target.is_gone(&initiator) {
                break;
            }
            if let Some(channel) = target.channels.get(&initiator.connection()) {
                results.clone_from(&channel.results);
            }
            target.group.poll(0, &mut |completion| match completion {
                crate::Completion::Fetched { cookie, result, .. }
                | crate::Completion::Delivered { cookie, result, .. } => {
                    results.push((cookie, result));
                }
                _ => {}
            });
            if !results.is_empty() {
                target.channel(&initiator).ending = true;
            }
            target.step();
        }
        assert!(target.is_gone(&initiator), "{problem}: something did not come back");
        results.sort_by_key(|(cookie, _)| *cookie);
        assert_eq!(results, [(1, Err(WorkError::RemoteAccess)), (2, Err(WorkError::Flushed))], "{problem}");
        let violations = network.violations();
        assert!(violations[0].to_string().contains(problem), "{problem}: {violations:?}");
        assert_eq!(violations.len(), 1, "{violations:?}");
        assert!(disconnected(&mut initiator));
        assert_eq!(initiator.receive(), None);
        assert!(target.all_buffers_are_back());
    }
}

#[test]
fn a_key_of_another_host_opens_nothing() {
    let (network, mut target, initiator) = connected(SimOptions::default());
    let memory = network.host().register(100, Access::BOTH);
    let qp = target.qp(&initiator);
    target.fetch(qp, 1, &[(memory.rkey, memory.addr, 10)]);
    target.settle();
    assert!(network.violations()[0].to_string().contains("another host"));
}

#[test]
fn connections_of_one_host_share_its_memory() {
    let (network, mut target, first) = connected(SimOptions::default());
    let second = first.host().connect(options());
    let memory = first.host().register(100, Access::BOTH);
    target.settle();
    let qp = target.qp(&second);
    target.fetch(qp, 1, &[(memory.rkey, memory.addr, 100)]);
    target.settle();
    assert_eq!(target.channel(&second).results, [(1, Ok(()))]);
    assert!(network.violations().is_empty());
}

/// The trap of a response that does not wait for the READs of its command: the initiator takes the memory back.
#[test]
fn a_message_behind_a_read_may_pass_it() {
    let micros = Duration::from_micros(100);
    let options = SimOptions { read_delay: micros..=micros, ..SimOptions::default() };
    let (network, mut target, mut initiator) = connected(options);
    let memory = initiator.host().register(100, Access::READ);
    let qp = target.qp(&initiator);
    target.fetch(qp, 1, &[(memory.rkey, memory.addr, 100)]);
    target.send(qp, 2, b"too early");
    assert_eq!(initiator.receive().as_deref(), Some(&b"too early"[..]));
    target.settle();
    assert!(target.channel(&initiator).results.is_empty(), "completions keep the order of posting");
    initiator.host().invalidate(&memory);
    network.advance(micros);
    target.settle();
    assert!(matches!(network.violations()[..], [Violation::RemoteAccess { operation: OperationKind::Read, .. }]));
    assert!(target.is_gone(&initiator) && target.all_buffers_are_back());
}

#[test]
fn reads_beyond_reads_max_wait_for_their_turn() {
    let (network, mut target, initiator) = connected(SimOptions::jittery());
    let memory = initiator.host().register(64, Access::READ);
    let pieces: Vec<_> = (0..64).map(|i| (memory.rkey, memory.addr + i, 1)).collect();
    initiator.host().write(&memory, 0, &(0..64).collect::<Vec<u8>>());
    let qp = target.qp(&initiator);
    target.fetch(qp, 1, &pieces);
    assert_eq!(target.group.send_slots_free(qp), SIZES.sends as usize - 64);
    run(&network, &mut target);
    assert_eq!(target.channel(&initiator).fetched, [(0..64).collect::<Vec<u8>>()]);
    assert_eq!(target.group.send_slots_free(qp), SIZES.sends as usize);
    assert!(network.violations().is_empty());
}

#[test]
fn more_reads_than_the_initiator_serves_end_the_connection() {
    let micros = Duration::from_micros(100);
    let network = Network::new(1, SimOptions { read_delay: micros..=micros, ..SimOptions::default() });
    let mut target = Target { reads_max: 5, ..Target::new(&network) };
    let initiator = network.host().connect(options());
    target.settle();
    let memory = initiator.host().register(64, Access::READ);
    let qp = target.qp(&initiator);
    target.fetch(qp, 1, &[(memory.rkey, memory.addr, 1); 5]);
    run(&network, &mut target);
    assert_eq!(network.violations(), [Violation::TooManyReads { connection: initiator.connection(), served: 4 }]);
    assert!(target.is_gone(&initiator));
}

#[test]
fn a_message_to_an_initiator_without_a_receive_waits_and_holds_up_the_rest() {
    let (network, mut target, mut initiator) =
        connected_as(SimOptions::default(), ConnectOptions { receives: 0, ..options() });
    let memory = initiator.host().register(8, Access::WRITE);
    let qp = target.qp(&initiator);
    target.send(qp, 1, b"early");
    target.deliver(qp, 2, 9, &[(memory.rkey, memory.addr, 8)], None);
    run(&network, &mut target);
    assert_eq!((initiator.receive(), network.counters().initiator_not_ready), (None, 1));
    assert_eq!(network.counters().writes, 0);
    initiator.post_receives(1);
    target.settle();
    assert_eq!(initiator.receive().as_deref(), Some(&b"early"[..]));
    assert_eq!(target.channel(&initiator).results, [(1, Ok(())), (2, Ok(()))]);
}

#[test]
fn a_device_with_few_retries_gives_up_waiting_for_a_receive() {
    let options = SimOptions { receiver_not_ready_timeout: Some(SECOND), ..SimOptions::default() };
    let (network, mut target, mut initiator) = connected_as(options, ConnectOptions { receives: 0, ..self::options() });
    let qp = target.qp(&initiator);
    target.send(qp, 1, b"early");
    run(&network, &mut target);
    assert!(target.is_gone(&initiator) && disconnected(&mut initiator));
    assert!(target.all_buffers_are_back());
}

#[test]
fn a_message_to_a_target_without_a_receive_waits() {
    let network = Network::new(1, SimOptions::default());
    let mut target = Target { receives: 1, ..Target::new(&network) };
    let mut initiator = network.host().connect(options());
    target.settle();
    for number in 0..3 {
        initiator.send(&[number]).expect("connected");
    }
    target.settle();
    assert_eq!(target.channel(&initiator).messages, [[0], [1], [2]]);
    assert!(network.counters().target_not_ready > 0);
}

#[test]
fn a_message_longer_than_its_receive_ends_the_connection() {
    let (network, mut target, mut initiator) = connected(SimOptions::default());
    initiator.send(&[0; MESSAGE + 1]).expect("connected");
    run(&network, &mut target);
    assert!(matches!(network.violations()[..], [Violation::MessageTooLong { by_target: false, .. }]));
    assert!(disconnected(&mut initiator) && target.is_gone(&initiator));

    let (network, mut target, mut initiator) =
        connected_as(SimOptions::default(), ConnectOptions { receive_len: 4, ..options() });
    let qp = target.qp(&initiator);
    target.send(qp, 1, b"12345");
    run(&network, &mut target);
    assert!(matches!(network.violations()[..], [Violation::MessageTooLong { by_target: true, len: 5, .. }]));
    assert!(disconnected(&mut initiator) && target.is_gone(&initiator));
}

#[test]
fn messages_may_come_before_established_and_established_may_never_come() {
    for (action, comes) in [(FaultAction::Delay(SECOND), true), (FaultAction::Lose, false)] {
        let network = Network::new(1, SimOptions::default());
        let mut target = Target::new(&network);
        network.inject(Fault { connection: None, when: When::Nth(OperationKind::Established, 1), action });
        let mut initiator = network.host().connect(options());
        target.settle();
        initiator.send(b"first").expect("the initiator is connected");
        target.settle();
        assert!(!target.channel(&initiator).established);
        assert_eq!(target.channel(&initiator).messages, [b"first"]);
        run(&network, &mut target);
        assert_eq!(target.channel(&initiator).established, comes);
    }
}

#[test]
fn the_nth_operation_of_a_kind_fails_done_or_not() {
    for done in [false, true] {
        let (network, mut target, initiator) = connected(SimOptions::default());
        let memory = initiator.host().register(8, Access::BOTH);
        let action = FaultAction::Fail { error: WorkError::Local(21), done };
        network.inject(Fault { connection: None, when: When::Nth(OperationKind::Write, 2), action });
        let qp = target.qp(&initiator);
        let mut results = Vec::new();
        for cookie in 0..2 {
            target.deliver(qp, cookie, 1 + cookie as u8, &[(memory.rkey, memory.addr, 8)], None);
            target.group.poll(0, &mut |completion| {
                if let crate::Completion::Delivered { cookie, result, .. } = completion {
                    results.push((cookie, result));
                }
            });
        }
        assert_eq!(results, [(0, Ok(())), (1, Err(WorkError::Local(21)))]);
        let mut seen = [0; 8];
        initiator.host().read(&memory, 0, &mut seen);
        assert_eq!(seen, if done { [2; 8] } else { [1; 8] });
        target.channel(&initiator).ending = true;
        run(&network, &mut target);
        assert!(target.is_gone(&initiator) && target.all_buffers_are_back());
    }
}

#[test]
fn a_lost_path_is_noticed_at_both_ends() {
    let (network, mut target, mut initiator) = connected(SimOptions::jittery());
    let when = When::At(network.now() + SECOND);
    network.inject(Fault { connection: None, when, action: FaultAction::LoseConnection });
    network.advance(SECOND);
    initiator.send(b"into the void").expect("nobody noticed yet");
    run(&network, &mut target);
    assert!(disconnected(&mut initiator) && target.is_gone(&initiator) && target.all_buffers_are_back());
    assert_eq!(network.counters().messages_to_target, 0);
}

#[test]
fn a_vanished_peer_is_found_out_only_by_sending() {
    let (network, mut target, mut initiator) = connected(SimOptions::jittery());
    initiator.vanish();
    run(&network, &mut target);
    let qp = target.qp(&initiator);
    assert!(!target.channel(&initiator).ending);
    target.group.keepalive(qp);
    target.group.ring();
    run(&network, &mut target);
    assert!(target.is_gone(&initiator) && target.all_buffers_are_back());
}

#[test]
fn a_keepalive_to_a_living_peer_changes_nothing() {
    let (network, mut target, initiator) = connected(SimOptions::default());
    let qp = target.qp(&initiator);
    let outstanding = target.group.outstanding(qp);
    target.group.keepalive(qp);
    target.group.ring();
    run(&network, &mut target);
    assert_eq!(target.group.outstanding(qp), outstanding);
    assert!(initiator.is_connected() && network.violations().is_empty());
}

#[test]
fn disconnect_by_either_end_reaches_the_other() {
    let (network, mut target, mut initiator) = connected(SimOptions::jittery());
    initiator.disconnect();
    assert!(initiator.send(b"x").is_err());
    run(&network, &mut target);
    assert!(target.is_gone(&initiator) && target.all_buffers_are_back());

    let (network, mut target, mut initiator) = connected(SimOptions::jittery());
    target.control.disconnect(initiator.connection());
    run(&network, &mut target);
    assert!(disconnected(&mut initiator) && target.is_gone(&initiator) && target.all_buffers_are_back());
    drop(initiator);
    assert_eq!(network.connections(), 0);
}

#[test]
fn an_initiator_that_left_serves_no_more_reads() {
    let micros = Duration::from_micros(100);
    let options = SimOptions { read_delay: micros..=micros, ..SimOptions::default() };
    let (network, mut target, mut initiator) = connected(options);
    let memory = initiator.host().register(100, Access::READ);
    let qp = target.qp(&initiator);
    target.fetch(qp, 1, &[(memory.rkey, memory.addr, 100)]);
    initiator.disconnect();
    initiator.host().clone().deregister(memory);
    run(&network, &mut target);
    assert_eq!((network.counters().reads, network.violations().len()), (0, 0));
    assert!(target.is_gone(&initiator) && target.all_buffers_are_back());
}

#[test]
fn a_queue_pair_in_error_gives_back_in_any_order_and_the_oldest_operation_has_the_error() {
    let mut orders = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let network = Network::new(seed, SimOptions::default());
        let mut target = Target::new(&network);
        let initiator = network.host().connect(options());
        target.settle();
        let qp = target.qp(&initiator);
        target.fetch(qp, 1, &[(0, 0, 1), (0, 0, 1)]);
        target.send(qp, 2, b"behind");
        let mut order = Vec::new();
        target.group.poll(0, &mut |completion| match completion {
            crate::Completion::Fetched { cookie, result, .. } => {
                assert_eq!((cookie, result), (1, Err(WorkError::RemoteAccess)));
                order.push('1');
            }
            crate::Completion::Delivered { cookie, result, .. } => {
                assert_eq!((cookie, result), (2, Err(WorkError::Flushed)));
                order.push('2');
            }
            crate::Completion::ReceiveFlushed { .. } => order.push('r'),
            crate::Completion::Received { .. } => panic!("nothing was sent"),
        });
        assert_eq!((order.len(), target.group.outstanding(qp)), (6, 0));
        orders.insert(order);
    }
    assert!(orders.len() > 10, "{orders:?}");
}

/// A flushed completion does not mean that nothing happened.
#[test]
fn what_was_sent_before_the_target_disconnects_may_still_arrive() {
    let (network, mut target, initiator) = connected(fixed_delay(10));
    let memory = initiator.host().register(8, Access::WRITE);
    let qp = target.qp(&initiator);
    target.deliver(qp, 1, 5, &[(memory.rkey, memory.addr, 8)], None);
    target.control.disconnect(initiator.connection());
    target.settle();
    assert!(target.is_gone(&initiator), "everything came back");
    // Nothing takes the connection manager any time here: only its message is faster than the WRITE.
    network.advance(Duration::from_micros(10));
    let mut seen = [0; 8];
    initiator.host().read(&memory, 0, &mut seen);
    assert_eq!(seen, [0; 8], "the initiator's queue pair was gone first");

    let slow = SECOND..=SECOND;
    let (network, mut target, initiator) = connected(SimOptions { cm_delay: slow, ..fixed_delay(10) });
    let memory = initiator.host().register(8, Access::WRITE);
    let qp = target.qp(&initiator);
    target.deliver(qp, 1, 5, &[(memory.rkey, memory.addr, 8)], None);
    target.control.disconnect(initiator.connection());
    target.settle();
    assert!(target.is_gone(&initiator));
    network.advance(Duration::from_micros(10));
    initiator.host().read(&memory, 0, &mut seen);
    assert_eq!(seen, [5; 8]);
}

#[test]
fn a_removed_device_ends_its_connections_and_an_added_one_serves_again() {
    let (network, mut target, mut initiator) = connected(SimOptions::default());
    network.remove_device("sim0");
    assert!(matches!(target.control.listener_state(target.listener), ListenerState::Waiting(_)));
    assert!(target.control.devices().is_empty());
    run(&network, &mut target);
    assert!(disconnected(&mut initiator) && target.is_gone(&initiator) && target.all_buffers_are_back());
    let mut refused = network.host().connect(options());
    target.settle();
    assert!(matches!(refused.poll(), Some(InitiatorEvent::Rejected { .. })));

    network.add_device("sim0");
    assert_eq!(target.control.listener_state(target.listener), ListenerState::Listening);
    let again = network.host().connect(options());
    target.settle();
    assert!(again.is_connected());
    let events: Vec<_> = target.devices.iter().map(|event| format!("{event:?}")).collect();
    assert_eq!(events.len(), 3, "{events:?}");
    assert!(events[1].contains("Removed") && events[2].contains("Added"));
}

#[test]
fn a_queue_pair_that_cannot_be_made_leaves_a_connection_that_can_be_refused() {
    let network = Network::new(1, SimOptions::default());
    let mut target = Target::new(&network);
    let action = FaultAction::Fail { error: WorkError::Local(0), done: false };
    network.inject(Fault { connection: None, when: When::Nth(OperationKind::QueuePair, 1), action });
    let mut initiator = network.host().connect(options());
    target.settle();
    assert!(matches!(initiator.poll(), Some(InitiatorEvent::Rejected { .. })));
}

#[test]
fn an_initiator_that_gave_up_is_no_more_accepted() {
    let heard_early = (0..20).filter(|seed| accept_after_giving_up(*seed)).count();
    assert!((1..20).contains(&heard_early), "the target may hear of it before, or only when it accepts");
}

/// Whether the target heard that the initiator gave up before it tried to accept.
fn accept_after_giving_up(seed: u64) -> bool {
    let network = Network::new(seed, SimOptions::default());
    let mut control = crate::Control::Sim(network.control());
    let mut group = control.create_poll_group(GroupId(3));
    control.listen(address()).expect("free");
    let mut initiator = network.host().connect(options());
    let events = |control: &mut crate::Control| {
        let mut events = Vec::new();
        control.poll(0, &mut |event| match event {
            ControlEvent::ConnectRequest { connection, .. } => events.push((connection, true)),
            ControlEvent::Disconnected { connection, .. } => events.push((connection, false)),
            _ => {}
        });
        events
    };
    let (id, _) = events(&mut control)[0];
    let queue_pair = control.create_queue_pair(id, GroupId(3), SIZES).expect("requested");
    initiator.disconnect();
    let early = events(&mut control);
    let parameters = crate::AcceptParameters { reads_max: 1, private_data: Default::default() };
    assert!(matches!(control.accept(id, &parameters), Err(FabricError::ConnectionEnded(_))));
    let late = events(&mut control);
    assert_eq!([early.as_slice(), late.as_slice()].concat(), [(id, false)], "told once");
    let qp = group.adopt(queue_pair);
    let queue_pair = group.release(qp);
    control.destroy(id, Some(queue_pair));
    assert!(matches!(control.accept(id, &parameters), Err(FabricError::UnknownConnection(_))));
    !early.is_empty()
}

#[test]
fn the_same_seed_is_the_same_run() {
    let run = |seed| {
        let network = Network::new(seed, SimOptions::jittery());
        let mut target = Target::new(&network);
        let mut initiators: Vec<_> = (0..3).map(|_| network.host().connect(options())).collect();
        super::bench::run(&network, &mut target);
        for (number, initiator) in initiators.iter_mut().enumerate() {
            initiator.send(&[number as u8]).expect("connected");
            let qp = target.qp(initiator);
            target.send(qp, 0, b"hello");
        }
        super::bench::run(&network, &mut target);
        network.fingerprint()
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

#[test]
#[should_panic(expected = "send queue overflow")]
fn a_send_queue_does_not_overflow() {
    let (_network, mut target, initiator) = connected(fixed_delay(10));
    let qp = target.qp(&initiator);
    for cookie in 0..=u64::from(SIZES.sends) {
        let message = Some(target.message(b"x"));
        let deliver = crate::Deliver { cookie, data: None, segments: &[], message, solicited: false };
        if target.messages.available() == 0 {
            // Bring the buffers back, and keep the entries in use: completions are not polled here.
            target.messages = mem::testing::pool(MESSAGE, 256);
        }
        target.group.deliver(qp, deliver);
    }
}

#[test]
#[should_panic(expected = "more receives posted than the 8")]
fn a_receive_queue_does_not_overflow() {
    let (_network, mut target, initiator) = connected(SimOptions::default());
    let qp = target.qp(&initiator);
    for _ in 0..5 {
        let buf = target.messages.get().expect("a buffer");
        target.group.post_receive(qp, buf);
    }
}

#[test]
#[should_panic(expected = "which Control::add_region never saw")]
fn memory_that_no_device_knows_cannot_be_used() {
    let (_network, mut target, initiator) = connected(SimOptions::default());
    let qp = target.qp(&initiator);
    target.messages = mem::testing::pool(MESSAGE, 1);
    target.send(qp, 1, b"x");
}

#[test]
#[should_panic(expected = "before accept")]
fn nothing_is_sent_before_accept() {
    let network = Network::new(1, SimOptions::default());
    let mut target = Target::new(&network);
    let _initiator = network.host().connect(options());
    let mut requested = None;
    target.control.poll(0, &mut |event| {
        if let ControlEvent::ConnectRequest { connection, .. } = event {
            requested = Some(connection);
        }
    });
    let queue_pair = target.control.create_queue_pair(requested.expect("a request"), GroupId(0), SIZES);
    let qp = target.group.adopt(queue_pair.expect("requested"));
    target.send(qp, 1, b"x");
}

#[test]
#[should_panic(expected = "does not lie in a buffer")]
fn a_segment_lies_in_its_buffer() {
    let (_network, mut target, initiator) = connected(SimOptions::default());
    let qp = target.qp(&initiator);
    let segment = crate::Segment { local_offset: DATA as u32 - 1, len: 2, remote_addr: 0, rkey: 0 };
    let data = mem::IoBuf::new(target.data(), 0..DATA);
    target.group.fetch(qp, crate::Fetch { cookie: 0, data, segments: &[segment] });
}

#[test]
#[should_panic(expected = "released while buffers of it were out")]
fn a_queue_pair_is_released_when_everything_came_back() {
    let (_network, mut target, initiator) = connected(SimOptions::default());
    let qp = target.qp(&initiator);
    target.group.release(qp);
}
