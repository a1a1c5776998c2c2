//! Bytes and floods from peers that mean no good.

use proptest::prelude::*;

use super::super::passive::of_one_peer;
use super::*;

/// Every kind of message about one connection.
fn every_message(id: CmId) -> Vec<Message> {
    vec![
        Message::Req(req()),
        mra(id, 0, 20),
        mra(id, 1, 20),
        rej(id.0, 1, RejectReason::CONSUMER),
        Message::Rep(rep(id)),
        rtu(id),
        dreq(id),
        drep(id),
    ]
}

#[test]
fn message_of_any_other_length_is_malformed() {
    let mut bench = Bench::new();
    let id = bench.accepted();
    let mut malformed = 0;
    for message in every_message(id) {
        let mad = encode(THEIR_TID, message);
        for len in 0..mad.len() {
            bench.hears_mad(&path_to(2), &mad[..len]);
            malformed += 1;
        }
        bench.hears_mad(&path_to(2), &[&mad[..], b"!"].concat());
        malformed += 1;
    }
    bench.says_nothing();
    assert!(bench.events().is_empty());
    assert_eq!(bench.cm.counters(), CmCounters { malformed, ..CmCounters::default() });
}

#[test]
fn messages_of_no_use_to_us_are_counted() {
    let mut bench = Bench::new();
    for attribute in [0x01, 0x17, 0x18, 0x19, 0x1a] {
        let mut mad = encode(THEIR_TID, rtu(CmId(1)));
        mad[17] = attribute;
        bench.hears_mad(&path_to(2), &mad);
    }
    bench.says_nothing();
    assert_eq!(bench.cm.counters(), CmCounters { malformed: 5, ..CmCounters::default() });
}

#[test]
fn flood_of_requests_stays_bounded_and_leaves_connections_alone() {
    let mut bench = Bench::new();
    let id = bench.established();
    for number in 0..20_000u32 {
        let (host, qpn) = (number % 200 + 3, 0x100 + number);
        let mut req = Req { local_comm_id: number + 1, local_qpn: qpn, ..req() };
        req.private_data[19] = host as u8;
        bench.hears_from(&path_to(host as u8), Message::Req(req));
    }
    let half_open_max = options(1).half_open_max;
    assert_eq!(bench.events().len(), half_open_max);
    assert_eq!(bench.cm.table.len(), half_open_max + 1);
    assert_eq!(bench.cm.counters().overload, 20_000 - half_open_max as u64);
    bench.hears(Message::Req(Req { local_comm_id: 1 << 30, local_qpn: 0x99, ..req() }));
    assert!(bench.events().is_empty(), "no room yet");

    bench.waits(timers::HANDSHAKE_MAX);
    bench.events();
    bench.hears(Message::Req(Req { local_comm_id: 1 << 30, local_qpn: 0x99, ..req() }));
    assert!(matches!(bench.one_event(), CmEvent::Requested { .. }), "the flood has run dry");
    bench.hears(dreq(id));
    assert_eq!(bench.ended(), id);
}

/// Requests that are never completed took all the room there was for a minute, and nobody else could log in.
#[test]
fn one_peer_cannot_keep_others_out_with_requests_that_it_does_not_complete() {
    let mut bench = Bench::new();
    let max = options(1).half_open_max;
    for number in 1..=max as u32 {
        bench.hears(Message::Req(Req { local_comm_id: number, local_qpn: 0x100 + number, ..req() }));
    }
    assert_eq!(bench.events().len(), of_one_peer(max));
    assert!(max > 2 * of_one_peer(max), "a test of nothing");
    bench.hears_from(&path_to(3), Message::Req(Req { local_comm_id: 1, ..req() }));
    assert!(matches!(bench.one_event(), CmEvent::Requested { .. }), "another is heard");
}

#[test]
fn accepted_connections_are_half_open_until_the_peer_completes_them() {
    let mut bench = Bench::new();
    for number in 1..=of_one_peer(options(1).half_open_max) as u32 {
        bench.hears(Message::Req(Req { local_comm_id: number, local_qpn: 0x100 + number, ..req() }));
        let CmEvent::Requested { id, .. } = bench.one_event() else { panic!("not asked") };
        assert!(bench.cm.accept(bench.now, id, reply(b"")));
        bench.says();
    }
    bench.hears(Message::Req(req()));
    bench.says_nothing();
    assert!(bench.events().is_empty());
    assert_eq!(bench.cm.counters().overload, 1);
}

#[test]
fn flood_of_refused_requests_takes_up_no_more_than_the_queue() {
    let mut bench = Bench::new();
    for number in 0..2 * OUTBOX_MAX as u32 {
        bench.hears(Message::Req(Req { local_comm_id: number + 1, service_id: 0, ..req() }));
    }
    assert_eq!(bench.says().len(), OUTBOX_MAX);
    bench.cm.table.assert_empty();
}

#[test]
fn requests_withdrawn_at_once_do_not_pile_up_unheard() {
    let mut bench = Bench::new();
    for number in 1..=2 * EVENTS_MAX as u32 {
        bench.hears(Message::Req(Req { local_comm_id: number, local_qpn: number + 1, ..req() }));
        let Message::Rej(rej) = rej(0, 2, RejectReason::TIMEOUT) else { unreachable!() };
        bench.hears(Message::Rej(Rej { local_comm_id: number, ..rej }));
    }
    assert!(bench.events().len() <= EVENTS_MAX + 1);
    assert!(bench.cm.counters().overload > 0);
}

#[test]
fn time_wait_is_bounded() {
    let mut bench = Bench::new();
    for number in 1..=table::TIME_WAIT_MAX as u32 + 100 {
        bench.hears(Message::Req(Req { local_comm_id: number, local_qpn: number + 1, ..req() }));
        let CmEvent::Requested { id, .. } = bench.one_event() else { panic!("not asked") };
        bench.cm.reject(bench.now, id, b"");
        bench.cm.destroy(bench.now, id);
        bench.says();
    }
    assert_eq!(bench.cm.table.len(), table::TIME_WAIT_MAX);
    bench.forgets_everything();
}

/// What a test does to a [`Bench`], at random.
#[derive(Clone, Debug)]
enum Step {
    Hear { kind: usize, connection: usize, flip: Option<(usize, u8)>, host: u8 },
    HearBytes(Vec<u8>),
    Connect,
    Accept(usize),
    Reject(usize),
    Packet(usize),
    Disconnect(usize),
    Destroy(usize),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let connection = 0..4usize;
    let flip = proptest::option::of((0..MAD_LEN, any::<u8>()));
    let hear = (0..8usize, connection.clone(), flip, prop_oneof![9 => Just(2u8), 1 => Just(3u8)])
        .prop_map(|(kind, connection, flip, host)| Step::Hear { kind, connection, flip, host });
    proptest::collection::vec(
        prop_oneof![
            8 => hear,
            1 => proptest::collection::vec(any::<u8>(), 0..300).prop_map(Step::HearBytes),
            1 => Just(Step::Connect),
            2 => connection.clone().prop_map(Step::Accept),
            1 => connection.clone().prop_map(Step::Reject),
            1 => connection.clone().prop_map(Step::Packet),
            1 => connection.clone().prop_map(Step::Disconnect),
            1 => connection.prop_map(Step::Destroy),
            2 => (0..20_000u64).prop_map(Step::Wait),
        ],
        0..60,
    )
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(mads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 256), 0..20)) {
        let mut bench = Bench::new();
        bench.connecting();
        for mut mad in mads {
            mad[..4].copy_from_slice(&[1, 7, 2, 3]);
            mad[16] = 0;
            mad[17] = 0x10 + mad[17] % 8;
            bench.hears_mad(&path_to(2), &mad);
        }
        bench.waits(SECOND);
    }

    /// Whatever happens in whatever order: no panic, at most one end is reported, nothing after it, and in the end
    /// nothing is left.
    #[test]
    fn any_sequence_of_messages_and_decisions_ends_in_nothing(steps in steps()) {
        let mut bench = Bench::new();
        let mut ids = Vec::new();
        let mut over = std::collections::BTreeSet::new();
        for step in steps {
            let id = |connection: usize| ids.get(connection).copied().unwrap_or(CmId(connection as u32));
            match step {
                Step::Hear { kind, connection, flip, host } => {
                    let mut mad = encode(THEIR_TID, every_message(id(connection)).swap_remove(kind));
                    if let Some((at, bits)) = flip {
                        mad[at] ^= bits;
                    }
                    bench.hears_mad(&path_to(host), &mad);
                }
                Step::HearBytes(bytes) => bench.hears_mad(&path_to(2), &bytes),
                Step::Connect => ids.push(bench.cm.connect(bench.now, &path_to(2), request(b"x"))),
                Step::Accept(connection) => {
                    bench.cm.accept(bench.now, id(connection), reply(b"y"));
                }
                Step::Reject(connection) => bench.cm.reject(bench.now, id(connection), b"z"),
                Step::Packet(connection) => bench.cm.packet_arrived(bench.now, id(connection)),
                Step::Disconnect(connection) => bench.cm.disconnect(bench.now, id(connection)),
                Step::Destroy(connection) => {
                    bench.cm.destroy(bench.now, id(connection));
                    over.insert(id(connection));
                }
                Step::Wait(ms) => {
                    bench.now += ms * MS;
                    bench.cm.on_time(bench.now);
                }
            }
            for event in bench.events() {
                prop_assert!(!over.contains(&event.id()), "{event:?} after the end");
                match event {
                    CmEvent::Requested { id, .. } => ids.push(id),
                    CmEvent::Rejected { id, .. } | CmEvent::Ended { id, .. } => {
                        over.insert(id);
                    }
                    CmEvent::Established { .. } | CmEvent::Connected { .. } => {}
                }
            }
        }
        for id in ids {
            bench.cm.destroy(bench.now, id);
        }
        bench.forgets_everything();
    }
}
