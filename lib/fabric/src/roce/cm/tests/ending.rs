use super::*;

#[test]
fn disconnect_request_is_answered_each_time_and_reported_once() {
    type Make = fn(&mut Bench) -> CmId;
    let states: [Make; 3] = [Bench::accepted, Bench::established, Bench::connected];
    for make in states {
        let mut bench = Bench::new();
        let id = make(&mut bench);
        for _ in 0..2 {
            bench.hears(dreq(id));
            let Message::Drep(drep) = bench.says_one() else { panic!("no DREP") };
            assert_eq!((drep.local_comm_id, drep.remote_comm_id), (id.0, THEIR_ID));
        }
        assert_eq!(bench.ended(), id);
        bench.cm.disconnect(bench.now, id);
        bench.says_nothing();
        assert!(bench.events().is_empty());
        bench.cm.destroy(bench.now, id);
        bench.forgets_everything();
    }
}

#[test]
fn disconnect_request_is_repeated_until_it_is_answered() {
    let mut bench = Bench::new();
    let id = bench.established();
    bench.cm.disconnect(bench.now, id);
    bench.cm.disconnect(bench.now, id);
    let Message::Dreq(said) = bench.says_one() else { panic!("no DREQ") };
    assert_eq!((said.local_comm_id, said.remote_comm_id, said.remote_qpn), (id.0, THEIR_ID, THEIR_QPN));
    assert_eq!(bench.ended(), id);
    let again = bench.waits(SECOND);
    assert_eq!(again.len(), 3, "{again:?}");
    assert!(again.iter().all(|(_, mad)| mad.message == Message::Dreq(said.clone())));
    bench.hears(drep(id));
    bench.hears(drep(id));
    assert!(bench.waits(20 * SECOND).is_empty());
    assert!(bench.events().is_empty());
    assert_eq!((bench.cm.counters().duplicates, bench.cm.counters().timeouts), (1, 0));
}

#[test]
fn unanswered_disconnect_request_is_given_up() {
    let mut bench = Bench::new();
    let id = bench.established();
    bench.cm.destroy(bench.now, id);
    let said = bench.waits(timers::DISCONNECT_MAX + SECOND);
    assert!(said.iter().all(|(_, mad)| matches!(mad.message, Message::Dreq(_))));
    assert_eq!(bench.cm.counters().timeouts, 1);
    assert!(bench.events().is_empty());
    bench.forgets_everything();
}

#[test]
fn disconnect_requests_that_cross_are_both_answered() {
    let mut bench = Bench::new();
    let id = bench.established();
    bench.cm.disconnect(bench.now, id);
    bench.says();
    bench.hears(dreq(id));
    assert!(matches!(bench.says_one(), Message::Drep(_)));
    assert_eq!(bench.ended(), id);
    assert!(bench.waits(20 * SECOND).is_empty(), "ours needs no answer any more");
}

#[test]
fn disconnect_request_for_an_unknown_connection_is_answered() {
    let mut bench = Bench::new();
    bench.hears(dreq(CmId(0xdead)));
    let Message::Drep(drep) = bench.says_one() else { panic!("no DREP") };
    assert_eq!((drep.local_comm_id, drep.remote_comm_id), (0xdead, THEIR_ID));
    assert_eq!(bench.cm.counters().unknown, 1);
}

#[test]
fn disconnect_request_with_another_id_or_queue_pair_harms_nothing() {
    let mut bench = Bench::new();
    let id = bench.established();
    let Message::Dreq(right) = dreq(id) else { unreachable!() };
    bench.hears(Message::Dreq(Dreq { remote_qpn: OUR_QPN + 1, ..right.clone() }));
    bench.says_nothing();
    bench.hears(Message::Dreq(Dreq { local_comm_id: THEIR_ID + 1, ..right }));
    assert!(matches!(bench.says_one(), Message::Drep(_)), "whatever that peer means, it may forget it");
    assert!(bench.events().is_empty());
    assert_eq!(bench.cm.counters().unknown, 2);
}

/// A message about a known connection from a host that is not its peer.
#[test]
fn messages_from_a_wrong_address_change_nothing() {
    type Make = fn(&mut Bench) -> CmId;
    type Tell = fn(CmId) -> Message;
    let cases: [(Make, Tell); 9] = [
        (Bench::accepted, rtu),
        (Bench::accepted, |id| mra(id, 1, 25)),
        (Bench::accepted, |id| rej(id.0, 1, RejectReason::TIMEOUT)),
        (Bench::requested, |_| rej(0, 2, RejectReason::TIMEOUT)),
        (Bench::established, dreq),
        (Bench::connecting, |id| Message::Rep(rep(id))),
        (Bench::connecting, |id| mra(id, 0, 25)),
        (Bench::connecting, |id| rej(id.0, 0, RejectReason::CONSUMER)),
        (disconnecting, drep),
    ];
    for (index, (make, tell)) in cases.into_iter().enumerate() {
        for path in [path_to(3), Path { local: address(9), ..path_to(2) }] {
            let mut bench = Bench::new();
            let id = make(&mut bench);
            let before = format!("{:?}", bench.cm.table.get(id));
            bench.hears_from(&path, tell(id));
            assert_eq!(format!("{:?}", bench.cm.table.get(id)), before, "case {index}");
            assert_eq!(bench.cm.counters().unknown, 1, "case {index}");
            bench.says_nothing();
            assert!(bench.events().is_empty(), "case {index}");
            bench.hears(tell(id));
            assert_ne!(format!("{:?}", bench.cm.table.get(id)), before, "case {index}: from the peer it counts");
        }
    }
}

fn disconnecting(bench: &mut Bench) -> CmId {
    let id = bench.established();
    bench.cm.disconnect(bench.now, id);
    bench.says();
    bench.events();
    id
}

#[test]
fn peer_may_send_from_any_port() {
    let mut bench = Bench::new();
    let id = bench.accepted();
    let peer = SocketAddr::new(path_to(2).peer.ip(), 50_000);
    bench.hears_from(&Path { peer, ..path_to(2) }, rtu(id));
    assert!(matches!(bench.one_event(), CmEvent::Established { .. }));
}

#[test]
fn destroyed_connection_is_ended_in_its_states_way_and_never_heard_of_again() {
    type Make = fn(&mut Bench) -> CmId;
    let cases: [(Make, &str); 6] = [
        (Bench::requested, "REJ"),
        (Bench::accepted, "DREQ"),
        (Bench::established, "DREQ"),
        (Bench::connecting, "REJ"),
        (Bench::connected, "DREQ"),
        (disconnecting, ""),
    ];
    for (make, says) in cases {
        let mut bench = Bench::new();
        let id = make(&mut bench);
        bench.cm.destroy(bench.now, id);
        let said: Vec<_> = bench.says().iter().map(CmMad::to_string).collect();
        assert!(said.len() <= 1 && said.concat().starts_with(says), "{said:?}");
        for message in [rtu(id), dreq(id), rej(id.0, 1, RejectReason::CONSUMER), Message::Rep(rep(id)), drep(id)] {
            bench.hears(message);
        }
        bench.cm.packet_arrived(bench.now, id);
        bench.cm.destroy(bench.now, id);
        bench.waits(timers::HANDSHAKE_MAX);
        assert!(bench.events().is_empty());
        bench.forgets_everything();
    }
}

#[test]
fn events_of_a_destroyed_connection_are_taken_back() {
    let mut bench = Bench::new();
    let id = bench.accepted();
    bench.hears(rtu(id));
    bench.hears(dreq(id));
    bench.cm.destroy(bench.now, id);
    assert!(bench.events().is_empty());
}

#[test]
fn rejection_ends_an_established_connection() {
    let mut bench = Bench::new();
    let id = bench.established();
    bench.hears(rej(0, 2, RejectReason::TIMEOUT));
    assert!(bench.events().is_empty(), "who is established knows our id");
    bench.hears(rej(id.0, 2, RejectReason::TIMEOUT));
    assert_eq!(bench.ended(), id);
}

#[test]
fn rejection_with_another_id_is_not_for_us() {
    let mut bench = Bench::new();
    let id = bench.established();
    let Message::Rej(rej) = rej(id.0, 2, RejectReason::TIMEOUT) else { unreachable!() };
    bench.hears(Message::Rej(Rej { local_comm_id: THEIR_ID + 1, ..rej }));
    assert!(bench.events().is_empty());
    assert_eq!(bench.cm.counters().unknown, 1);
}

#[test]
fn disconnected_attempts_end_at_once() {
    type Make = fn(&mut Bench) -> CmId;
    let cases: [(Make, RejectReason); 2] =
        [(Bench::requested, RejectReason::CONSUMER), (Bench::connecting, RejectReason::TIMEOUT)];
    for (make, reason) in cases {
        let mut bench = Bench::new();
        let id = make(&mut bench);
        bench.cm.disconnect(bench.now, id);
        assert_eq!(refusal(bench.says_one()).reason, reason);
        assert_eq!(bench.ended(), id);
        bench.cm.disconnect(bench.now, id);
        assert!(bench.events().is_empty());
        bench.cm.destroy(bench.now, id);
        bench.forgets_everything();
    }
}

#[test]
fn ended_connection_stays_known_until_it_is_destroyed() {
    let mut bench = Bench::new();
    let id = bench.established();
    bench.hears(dreq(id));
    bench.waits(timers::TIME_WAIT + SECOND);
    assert_eq!(bench.cm.table.len(), 1);
    assert!(!bench.cm.accept(bench.now, id, reply(b"")));
    bench.cm.destroy(bench.now, id);
    assert_eq!(bench.cm.table.len(), 0);
}

/// Of a process that was killed: the next one knows the numbers, and says what that one could not.
#[test]
fn what_remains_of_a_connection_is_ended_like_one_of_ours_and_nobody_hears_of_it() {
    let mut before = Bench::new();
    let id = before.established();
    let remains = before.cm.remains(id).expect("it is known");
    assert_eq!((remains.local_id, remains.remote_id, remains.remote_qpn), (id.0, THEIR_ID, THEIR_QPN));
    let mut bench = Bench::new();
    bench.cm.end_remains(bench.now, &remains);
    bench.cm.end_remains(bench.now, &remains);
    let Message::Dreq(said) = bench.says_one() else { panic!("no DREQ") };
    assert_eq!((said.local_comm_id, said.remote_comm_id, said.remote_qpn), (id.0, THEIR_ID, THEIR_QPN));
    assert!(!bench.waits(SECOND).is_empty(), "it is repeated");
    bench.hears(drep(id));
    assert!(bench.waits(SECOND).is_empty(), "it was answered");
    assert!(bench.events().is_empty());
    bench.forgets_everything();
}
