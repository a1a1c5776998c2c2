use super::*;

#[test]
fn request_is_accepted() {
    let mut bench = Bench::new();
    bench.hears(Message::Req(req()));
    let CmEvent::Requested { id, path, request } = bench.one_event() else { panic!("not asked") };
    bench.says_nothing();
    assert_eq!(path, path_to(2));
    assert_eq!((request.port, request.source_port, request.remote_qpn), (PORT, 777, THEIR_QPN));
    assert_eq!(request.passive_sends_from, Psn::new(0x111111));
    assert_eq!((request.responder_resources, request.initiator_depth, request.mtu), (4, 1, 1024));
    assert_eq!((request.ack_timeout, request.retry_count, request.rnr_retry), (19, 6, 5));
    assert!(request.flow_control);
    assert_eq!((&request.private_data[..6], request.private_data.len()), (&b"hello\0"[..], 56));

    assert!(bench.cm.accept(bench.now, id, reply(b"welcome")));
    let said = bench.says();
    let [CmMad { transaction_id: THEIR_TID, message: Message::Rep(said) }] = &said[..] else { panic!("{said:?}") };
    let expected = Rep { failover_accepted: 1, local_ca_guid: OUR_GUID, ..swapped(rep(CmId(THEIR_ID)), id) };
    assert_eq!(*said, expected);

    bench.hears(rtu(id));
    assert!(matches!(bench.one_event(), CmEvent::Established { id: established } if established == id));
    assert!(!bench.cm.accept(bench.now, id, reply(b"again")), "it was decided");
    assert!(bench.waits(timers::HANDSHAKE_MAX).is_empty(), "an established connection has nothing to say");
    assert_eq!(bench.cm.counters(), CmCounters::default());
}

/// The peer's REP as ours.
fn swapped(rep: Rep, ours: CmId) -> Rep {
    Rep { local_comm_id: ours.0, remote_comm_id: THEIR_ID, local_qpn: OUR_QPN, ..rep }
}

#[test]
fn each_unacceptable_request_is_refused_for_its_reason() {
    type Spoil = fn(&mut Req);
    let cases: [(Spoil, RejectReason, &[u8]); 13] = [
        (|req| req.service_id = service_id(PORT + 1), RejectReason::INVALID_SERVICE_ID, &[]),
        (|req| req.service_id += 0x1_0000, RejectReason::INVALID_SERVICE_ID, &[]),
        (|req| req.service_id |= 1 << 63, RejectReason::INVALID_SERVICE_ID, &[]),
        (|req| req.transport_service_type = 1, RejectReason::INVALID_TRANSPORT_TYPE, &[]),
        (|req| req.private_data[0] = 0x10, RejectReason::UNSUPPORTED, &[]),
        (|req| req.private_data[1] = 0x50, RejectReason::UNSUPPORTED, &[]),
        (|req| req.private_data[35] = 9, RejectReason::INVALID_GID, &[]),
        (|req| req.local_qpn = 1, RejectReason::UNSUPPORTED, &[]),
        (|req| req.local_qpn = 0, RejectReason::UNSUPPORTED, &[]),
        (|req| req.local_comm_id = 0, RejectReason::UNSUPPORTED, &[]),
        (|req| req.path_mtu = 0, RejectReason::INVALID_PATH_MTU, &[4]),
        (|req| req.path_mtu = 6, RejectReason::INVALID_PATH_MTU, &[4]),
        (|req| req.path_mtu = 5, RejectReason::INVALID_PATH_MTU, &[4]),
    ];
    for (index, (spoil, reason, information)) in cases.into_iter().enumerate() {
        let mut bench = Bench::new();
        let mut req = req();
        spoil(&mut req);
        for _ in 0..2 {
            bench.hears(Message::Req(req.clone()));
            let said = refusal(bench.says_one());
            assert_eq!((said.reason, &said.information[..]), (reason, information), "case {index}");
            assert_eq!((said.local_comm_id, said.remote_comm_id, said.message), (0, req.local_comm_id, 0));
        }
        assert!(bench.events().is_empty());
        assert_eq!(bench.cm.counters().no_listener, if reason == RejectReason::INVALID_SERVICE_ID { 2 } else { 0 });
        bench.cm.table.assert_empty();
    }
}

#[test]
fn largest_path_mtu_of_the_interface_is_accepted() {
    let mut bench = Bench::new();
    bench.hears(Message::Req(Req { path_mtu: 4, ..req() }));
    assert!(matches!(bench.one_event(), CmEvent::Requested { request, .. } if request.mtu == MTU_MAX));
}

#[test]
fn rejection_carries_the_consumers_data_and_is_repeated_with_the_request() {
    let mut bench = Bench::new();
    let id = bench.requested();
    bench.cm.reject(bench.now, id, b"no room");
    let said = bench.says_one();
    let first = refusal(said.clone());
    assert_eq!((first.reason, &first.private_data[..8]), (RejectReason::CONSUMER, &b"no room\0"[..]));
    bench.cm.destroy(bench.now, id);
    bench.waits(5 * SECOND);
    bench.hears(Message::Req(req()));
    assert_eq!(bench.says_one(), said);
    assert!(bench.events().is_empty());
    assert_eq!((bench.cm.counters().duplicates, bench.cm.counters().retransmitted), (1, 1));
    bench.forgets_everything();
    bench.requested();
}

#[test]
fn repeated_request_gets_what_its_state_has_to_say() {
    let mut bench = Bench::new();
    let id = bench.requested();
    bench.hears(Message::Req(req()));
    bench.says_nothing();
    assert!(bench.cm.accept(bench.now, id, reply(b"welcome")));
    let first = bench.says_one();
    bench.hears(Message::Req(req()));
    assert_eq!(bench.says_one(), first);
    bench.hears(rtu(id));
    bench.hears(Message::Req(req()));
    bench.says_nothing();
    assert_eq!(bench.events().len(), 1, "established; nobody is asked again");
    assert_eq!(bench.cm.counters().duplicates, 3);
    bench.hears(dreq(id));
    assert!(matches!(bench.says_one(), Message::Drep(_)));
    bench.hears(Message::Req(req()));
    assert_eq!(refusal(bench.says_one()).reason, RejectReason::STALE_CONNECTION);
}

#[test]
fn slow_decision_is_announced_again_and_again_and_given_up_in_the_end() {
    let mut bench = Bench::new();
    let id = bench.requested();
    let said = bench.waits(30 * SECOND);
    let times: Vec<_> = said.iter().map(|(time, _)| *time).collect();
    assert!(times[0] <= timeout_ns(20) / 4, "{times:?}");
    for (_, mad) in &said {
        let CmMad { transaction_id: THEIR_TID, message: Message::Mra(mra) } = mad else { panic!("{mad}") };
        assert_eq!((mra.local_comm_id, mra.remote_comm_id, mra.message), (id.0, THEIR_ID, 0));
        assert_eq!(mra.service_timeout, timers::SERVICE_TIMEOUT);
    }
    for pair in times.windows(2) {
        assert!(pair[1] - pair[0] < timeout_ns(timers::SERVICE_TIMEOUT), "{times:?}");
    }
    bench.hears(Message::Req(req()));
    assert!(matches!(bench.says_one(), Message::Mra(_)), "the peer asks again, so MRA was lost");

    let said = bench.waits(timers::HANDSHAKE_MAX - 30 * SECOND);
    let rej = refusal(said.last().unwrap().1.message.clone());
    assert_eq!((rej.reason, &rej.information[..]), (RejectReason::TIMEOUT, &OUR_GUID.to_be_bytes()[..]));
    assert_eq!(bench.ended(), id);
    assert!(!bench.cm.accept(bench.now, id, reply(b"late")));
    assert_eq!(bench.cm.counters().timeouts, 1);
    bench.cm.destroy(bench.now, id);
    bench.forgets_everything();
}

#[test]
fn reply_is_repeated_until_ready_to_use() {
    let mut bench = Bench::new();
    let id = bench.accepted();
    let said = bench.waits(20 * SECOND);
    assert!(said.iter().all(|(_, mad)| matches!(mad.message, Message::Rep(_)) && mad.transaction_id == THEIR_TID));
    let times: Vec<_> = said.iter().map(|(time, _)| *time / MS).collect();
    assert_eq!(times[..5], [100, 300, 700, 1500, 3100]);
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] <= timeout_ns(20) / MS + 10), "{times:?}");
    assert_eq!(bench.cm.counters().retransmitted, times.len() as u64);
    bench.hears(rtu(id));
    bench.hears(rtu(id));
    assert!(matches!(bench.one_event(), CmEvent::Established { .. }));
    assert_eq!(bench.cm.counters().duplicates, 1);
    assert!(bench.waits(20 * SECOND).is_empty());
}

#[test]
fn packet_stands_in_for_ready_to_use() {
    let mut bench = Bench::new();
    let id = bench.accepted();
    bench.cm.packet_arrived(bench.now, id);
    bench.cm.packet_arrived(bench.now, id);
    assert!(matches!(bench.one_event(), CmEvent::Established { id: established } if established == id));
    bench.hears(rtu(id));
    assert!(bench.events().is_empty());
    assert!(bench.waits(20 * SECOND).is_empty());
}

#[test]
fn packet_of_an_undecided_connection_changes_nothing() {
    let mut bench = Bench::new();
    let id = bench.requested();
    bench.cm.packet_arrived(bench.now, id);
    bench.hears(rtu(id));
    assert!(bench.events().is_empty());
    assert!(bench.cm.accept(bench.now, id, reply(b"")));
}

#[test]
fn unanswered_reply_ends_after_the_retries_that_the_request_names() {
    let mut bench = Bench::new();
    bench.hears(Message::Req(Req { max_cm_retries: 1, local_cm_response_timeout: 19, ..req() }));
    let CmEvent::Requested { id, .. } = bench.one_event() else { panic!("not asked") };
    assert!(bench.cm.accept(bench.now, id, reply(b"welcome")));
    bench.says_one();
    let said = bench.waits(10 * SECOND);
    let (time, mad) = said.last().unwrap();
    assert!((2 * timeout_ns(19)..2 * timeout_ns(19) + 20 * MS).contains(time), "{time}");
    let rej = refusal(mad.message.clone());
    assert_eq!((rej.reason, rej.local_comm_id, rej.remote_comm_id), (RejectReason::TIMEOUT, id.0, THEIR_ID));
    assert_eq!(rej.information[..], OUR_GUID.to_be_bytes());
    assert_eq!(bench.ended(), id);
    assert_eq!(bench.cm.counters().timeouts, 1);
    bench.cm.destroy(bench.now, id);
    bench.forgets_everything();
}

/// A peer may ask for 2.4 hours of patience, and for more of them.
#[test]
fn half_open_connection_ends_whatever_timeouts_the_peer_asks_for() {
    let mut bench = Bench::new();
    bench.hears(Message::Req(Req { local_cm_response_timeout: 31, remote_cm_response_timeout: 31, ..req() }));
    let CmEvent::Requested { id, .. } = bench.one_event() else { panic!("not asked") };
    assert!(bench.cm.accept(bench.now, id, reply(b"welcome")));
    for _ in 0..timers::HANDSHAKE_MAX / SECOND {
        bench.hears(mra(id, 1, 31));
        bench.waits(SECOND);
    }
    assert_eq!(bench.ended(), id);
    assert_eq!(bench.cm.table.half_open(), 0);
}

#[test]
fn peer_that_needs_longer_is_not_pressed() {
    let mut bench = Bench::new();
    let id = bench.accepted();
    bench.hears(mra(id, 1, 21));
    assert!(bench.waits(8 * SECOND).is_empty());
    assert!(!bench.waits(SECOND).is_empty());
    assert_eq!(bench.cm.counters().unknown, 0);
}

#[test]
fn peer_that_needs_longer_than_its_retries_is_asked_once_more() {
    let mut bench = Bench::new();
    bench.hears(Message::Req(Req { max_cm_retries: 0, local_cm_response_timeout: 19, ..req() }));
    let CmEvent::Requested { id, .. } = bench.one_event() else { panic!("not asked") };
    assert!(bench.cm.accept(bench.now, id, reply(b"welcome")));
    bench.says();
    bench.hears(mra(id, 1, 21));
    let said = bench.waits(timeout_ns(21) + timeout_ns(19) + 20 * MS);
    assert!(matches!(said[0].1.message, Message::Rep(_)) && said[0].0 >= timeout_ns(21), "{said:?}");
    assert_eq!(bench.ended(), id);
}

#[test]
fn receipt_of_something_else_extends_nothing() {
    let mut bench = Bench::new();
    let id = bench.accepted();
    let Message::Mra(other_id) = mra(id, 1, 21) else { unreachable!() };
    bench.hears(Message::Mra(Mra { local_comm_id: THEIR_ID + 1, ..other_id }));
    bench.hears(mra(id, 0, 21));
    assert_eq!(bench.cm.counters().unknown, 2);
    assert_eq!(bench.waits(150 * MS).len(), 1);
}

#[test]
fn ready_to_use_with_another_id_is_not_for_us() {
    let mut bench = Bench::new();
    let id = bench.accepted();
    let Message::Rtu(rtu) = rtu(id) else { unreachable!() };
    bench.hears(Message::Rtu(Rtu { local_comm_id: THEIR_ID + 1, ..rtu }));
    assert!(bench.events().is_empty());
    assert_eq!(bench.cm.counters().unknown, 1);
}

#[test]
fn queue_pair_in_a_new_request_ends_the_old_connection() {
    let mut bench = Bench::new();
    let id = bench.established();
    let again = Message::Req(Req { local_comm_id: THEIR_ID + 1, ..req() });
    bench.hears_from(&Path { local: address(3), ..path_to(2) }, again.clone());
    bench.says();
    assert!(bench.events().is_empty(), "that was between other addresses");

    bench.hears(again.clone());
    assert_eq!(refusal(bench.says_one()).reason, RejectReason::STALE_CONNECTION);
    assert_eq!(bench.ended(), id);
    assert_eq!(bench.cm.counters().stale, 1);
    bench.hears(again);
    assert!(matches!(bench.one_event(), CmEvent::Requested { .. }), "the peer asked again, and nothing is in the way");
}

#[test]
fn ended_connection_does_not_make_its_queue_pair_stale() {
    let mut bench = Bench::new();
    let id = bench.established();
    bench.hears(dreq(id));
    bench.ended();
    bench.hears(Message::Req(Req { local_comm_id: THEIR_ID + 1, ..req() }));
    assert!(matches!(bench.one_event(), CmEvent::Requested { .. }));
}

#[test]
fn withdrawn_request_is_over() {
    for knows_our_id in [false, true] {
        let mut bench = Bench::new();
        let id = bench.requested();
        let ours = if knows_our_id { id.0 } else { 0 };
        bench.hears(rej(ours, 2, RejectReason::TIMEOUT));
        assert_eq!(bench.ended(), id);
        assert!(!bench.cm.accept(bench.now, id, reply(b"late")));
        bench.cm.reject(bench.now, id, b"late");
        bench.says_nothing();
        bench.cm.destroy(bench.now, id);
        bench.forgets_everything();
    }
}

#[test]
fn rejected_reply_is_over() {
    let mut bench = Bench::new();
    let id = bench.accepted();
    bench.hears(rej(id.0, 1, RejectReason::INVALID_COMM_ID));
    assert_eq!(bench.ended(), id);
    assert!(bench.waits(SECOND).is_empty());
}
