use super::*;

#[test]
fn request_says_what_the_consumer_wants() {
    let mut bench = Bench::new();
    let id = bench.cm.connect(bench.now, &path_to(2), request(b"hello"));
    let Message::Req(said) = bench.says_one() else { panic!("no REQ") };
    assert_ne!(id.0, 0);
    let mut private_data = req().private_data;
    let header = RdmaCmHeader { source_port: 777, source: address(1).ip(), destination: address(2).ip() };
    header.emit(&mut private_data[..RdmaCmHeader::LEN]);
    let primary_path = PathInformation {
        local_gid: Gid::from(address(1).ip()),
        remote_gid: Gid::from(address(2).ip()),
        ..req().primary_path
    };
    let expected =
        Req { local_comm_id: id.0, local_ca_guid: OUR_GUID, local_qpn: OUR_QPN, primary_path, private_data, ..req() };
    assert_eq!(said, expected);
}

#[test]
fn reply_connects_and_each_repetition_of_it_gets_ready_to_use() {
    let mut bench = Bench::new();
    let id = bench.connecting();
    for _ in 0..2 {
        bench.hears(Message::Rep(rep(id)));
        let Message::Rtu(rtu) = bench.says_one() else { panic!("no RTU") };
        assert_eq!((rtu.local_comm_id, rtu.remote_comm_id), (id.0, THEIR_ID));
    }
    let CmEvent::Connected { id: connected, reply } = bench.one_event() else { panic!("not connected") };
    assert_eq!((connected, reply.qpn, reply.active_sends_from), (id, THEIR_QPN, Psn::new(0x222222)));
    assert_eq!((reply.responder_resources, reply.initiator_depth, reply.rnr_retry), (3, 2, 7));
    assert_eq!(reply.private_data[..8], b"welcome\0"[..]);
    assert!(bench.waits(timers::HANDSHAKE_MAX).is_empty());
    assert_eq!(bench.cm.counters(), CmCounters { duplicates: 1, retransmitted: 1, ..CmCounters::default() });
}

#[test]
fn unanswered_request_is_repeated_and_given_up() {
    let mut bench = Bench::new();
    let id = bench.connecting();
    let mut said = bench.waits(timers::HANDSHAKE_MAX);
    let (_, last) = said.pop().unwrap();
    let Message::Rej(rej) = last.message else { panic!("{last}") };
    assert_eq!((rej.reason, rej.local_comm_id, rej.remote_comm_id), (RejectReason::TIMEOUT, id.0, 0));
    assert_eq!((rej.message, &rej.information[..]), (2, &OUR_GUID.to_be_bytes()[..]));
    assert!(said.iter().all(|(_, mad)| matches!(mad.message, Message::Req(_))), "{said:?}");
    assert!(said.windows(2).all(|pair| pair[0].1 == pair[1].1), "a repetition is the same message");
    let times: Vec<_> = said.iter().map(|(time, _)| time / MS).collect();
    assert_eq!(times[..5], [100, 300, 700, 1500, 3100]);
    assert_eq!(bench.ended(), id);
    assert_eq!(bench.cm.counters().timeouts, 1);
    bench.cm.destroy(bench.now, id);
    bench.forgets_everything();
}

#[test]
fn peer_that_needs_longer_gets_it() {
    let mut bench = Bench::new();
    let id = bench.connecting();
    bench.waits(3 * SECOND);
    bench.hears(mra(id, 0, 22));
    assert!(bench.waits(17 * SECOND).is_empty());
    bench.hears(Message::Rep(rep(id)));
    assert!(matches!(bench.one_event(), CmEvent::Connected { .. }));
}

#[test]
fn receipt_of_something_else_extends_nothing() {
    let mut bench = Bench::new();
    let id = bench.connecting();
    bench.hears(mra(id, 1, 22));
    assert_eq!(bench.cm.counters().unknown, 1);
    assert_eq!(bench.waits(150 * MS).len(), 1);
}

#[test]
fn refusal_is_reported_with_reason_and_data_and_the_id_is_gone() {
    for (reason, named) in [(RejectReason::CONSUMER, THEIR_ID), (RejectReason::INVALID_SERVICE_ID, 0)] {
        let mut bench = Bench::new();
        let id = bench.connecting();
        let Message::Rej(rej) = rej(id.0, 0, reason) else { unreachable!() };
        bench.hears(Message::Rej(Rej { local_comm_id: named, ..rej.clone() }));
        let CmEvent::Rejected { id: rejected, reason: reported, private_data } = bench.one_event() else {
            panic!("not rejected")
        };
        assert_eq!((rejected, reported, &private_data[..6]), (id, reason.0, &b"sorry\0"[..]));
        bench.cm.table.assert_empty();
        bench.hears(Message::Rej(rej));
        assert_eq!(bench.cm.counters().unknown, 1);
        assert!(bench.events().is_empty());
    }
}

#[test]
fn late_reply_to_an_abandoned_request_is_rejected() {
    let mut bench = Bench::new();
    let id = bench.connecting();
    bench.cm.destroy(bench.now, id);
    assert_eq!(refusal(bench.says_one()).reason, RejectReason::TIMEOUT);
    bench.hears(Message::Rep(rep(id)));
    let rej = refusal(bench.says_one());
    assert_eq!((rej.reason, rej.message), (RejectReason::INVALID_COMM_ID, 1));
    assert_eq!((rej.local_comm_id, rej.remote_comm_id), (id.0, THEIR_ID));
    assert!(bench.events().is_empty());
    bench.cm.table.assert_empty();
}

#[test]
fn second_reply_with_another_id_is_rejected_and_harms_nothing() {
    let mut bench = Bench::new();
    let id = bench.connected();
    bench.hears(Message::Rep(Rep { local_comm_id: THEIR_ID + 1, ..rep(id) }));
    let rej = refusal(bench.says_one());
    assert_eq!((rej.reason, rej.remote_comm_id), (RejectReason::INVALID_COMM_ID, THEIR_ID + 1));
    assert!(bench.events().is_empty());
    bench.hears(dreq(id));
    assert_eq!(bench.ended(), id);
}

#[test]
fn reply_that_makes_no_sense_is_waited_over() {
    let mut bench = Bench::new();
    let id = bench.connecting();
    bench.hears(Message::Rep(Rep { local_qpn: 1, ..rep(id) }));
    bench.hears(Message::Rep(Rep { local_comm_id: 0, ..rep(id) }));
    bench.says_nothing();
    assert_eq!(bench.cm.counters().malformed, 2);
    bench.hears(Message::Rep(rep(id)));
    assert!(matches!(bench.one_event(), CmEvent::Connected { .. }));
}

#[test]
fn queue_pair_in_a_new_reply_ends_the_old_connection() {
    let mut bench = Bench::new();
    let old = bench.connected();
    let new = bench.connecting();
    bench.hears(Message::Rep(Rep { local_comm_id: THEIR_ID + 1, ..rep(new) }));
    assert_eq!(refusal(bench.says_one()).reason, RejectReason::STALE_CONNECTION);
    let events = bench.events();
    assert!(matches!(events[0], CmEvent::Ended { id, .. } if id == old), "{events:?}");
    assert!(matches!(events[1], CmEvent::Rejected { id, reason: 10, .. } if id == new), "{events:?}");
}

#[test]
fn ids_are_never_zero_never_the_same_and_not_guessed_from_one_another() {
    let mut ids: Vec<u32> = Vec::new();
    for seed in [1, 2] {
        let mut cm = Cm::new(options(seed));
        ids.extend((0..1000).map(|_| cm.connect(0, &path_to(2), request(b"")).0));
    }
    assert!(!ids.contains(&0));
    let gaps: std::collections::BTreeSet<_> = ids.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    assert_eq!(gaps.len(), ids.len() - 1, "no pattern");
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 2000);
}

#[test]
fn reply_about_a_connection_that_the_peer_made_is_ignored() {
    let mut bench = Bench::new();
    let id = bench.established();
    bench.hears(Message::Rep(rep(id)));
    bench.says_nothing();
    assert_eq!(bench.cm.counters(), CmCounters { unknown: 1, ..CmCounters::default() });
}

/// A peer that never heard RTU nor DREQ goes on repeating REP.
#[test]
fn reply_about_a_connection_that_is_over_is_rejected() {
    let mut bench = Bench::new();
    let id = bench.connected();
    bench.hears(dreq(id));
    bench.says();
    bench.hears(Message::Rep(rep(id)));
    assert_eq!(refusal(bench.says_one()).reason, RejectReason::INVALID_COMM_ID);
}
