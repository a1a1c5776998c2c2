//! What the peer asks, against a peer that the test plays.

use super::end::*;
use Opcode::*;

const BOTH: Access = Access { read: true, write: true };

impl End {
    fn expose(&mut self, len: usize, seed: u8, access: Access) -> RemoteMemory {
        let data = self.data(len, seed);
        self.exposed.expose(QP, data, access)
    }

    fn rdma(&mut self, number: u32, opcode: Opcode, memory: RemoteMemory, payload: &[u8]) {
        let packet = rdma(number, opcode, memory, payload);
        self.take(&packet);
    }

    /// The only packet that it sends: an acknowledgement with this meaning.
    fn answer_sent(&mut self) -> (Syndrome, i32) {
        let packets = self.sent();
        assert_eq!(packets.len(), 1, "{packets:?}");
        assert_eq!(packets[0].headers.opcode, Acknowledge);
        let aeth = packets[0].headers.aeth.expect("of an acknowledgement");
        (aeth.syndrome, packets[0].headers.psn.since(Psn::new(RECEIVE_PSN)))
    }

    fn sent_answers(&mut self) -> Vec<(Opcode, i32)> {
        numbered(&self.sent(), RECEIVE_PSN)
    }

    /// It refuses, and that is the end.
    fn assert_refused(&mut self, code: NakCode, number: i32) {
        assert!(!self.endpoint.has_failed(), "not before the peer was told");
        assert_eq!(self.answer_sent(), (Syndrome::Nak(code), number));
        assert!(self.endpoint.has_failed());
    }
}

fn rdma(number: u32, opcode: Opcode, memory: RemoteMemory, payload: &[u8]) -> Packet {
    let RemoteMemory { addr, rkey, len } = memory;
    let mut packet = request(number, opcode, payload);
    packet.headers.reth = Some(Reth { addr, rkey, len });
    packet
}

fn ready() -> End {
    let mut end = End::new(&options());
    (0..4).for_each(|_| end.post_receive());
    end
}

const NOWHERE: RemoteMemory = RemoteMemory { addr: 0, rkey: 0, len: 0 };
const ACK: Syndrome = Syndrome::Ack(31);

#[test]
fn messages_arrive_in_the_receives_in_order() {
    let mut end = ready();
    end.request(0, SendOnly, &[]);
    let long = pattern(600, 1);
    end.request(1, SendFirst, &long[..256]);
    assert_eq!(end.received(), [vec![]], "the second is not complete");
    end.request(2, SendMiddle, &long[256..512]);
    end.request(3, SendLast, &long[512..]);
    end.request(4, SendOnlyImmediate, &[9]);
    assert_eq!(end.received(), [long, vec![9]]);
    assert_eq!(end.endpoint.outstanding(), 1);
}

#[test]
fn an_acknowledgement_waits_for_more_to_acknowledge() {
    let mut end = ready();
    end.request(0, SendOnly, &[1]);
    end.now += 40 * MICROSECOND;
    end.request(1, SendOnly, &[2]);
    assert!(end.sent().is_empty());
    assert_eq!(end.endpoint.next_deadline(), Some(end.now + 60 * MICROSECOND), "100 µs after the first");
    end.now += 60 * MICROSECOND;
    assert_eq!(end.answer_sent(), (ACK, 1));
    assert!(end.sent().is_empty());
    assert_eq!(end.endpoint.next_deadline(), None);
}

#[test]
fn the_eighth_message_and_the_thirty_second_packet_are_acknowledged_at_once() {
    let mut end = End::new(&EndpointOptions { receives: 20, ..options() });
    (0..20).for_each(|_| end.post_receive());
    (0..7).for_each(|number| end.request(number, SendOnly, &[1]));
    assert!(end.sent().is_empty());
    end.request(7, SendOnly, &[1]);
    assert_eq!(end.answer_sent(), (ACK, 7));
    end.request(8, SendFirst, &[0; 256]);
    (9..39).for_each(|number| end.request(number, SendMiddle, &[0; 256]));
    assert!(end.sent().is_empty());
    end.request(39, SendMiddle, &[0; 256]);
    assert_eq!(end.answer_sent(), (ACK, 39));
}

#[test]
fn what_is_not_asked_for_is_not_acknowledged() {
    let mut end = ready();
    let mut packet = request(0, SendOnly, &[1]);
    packet.headers.ack_request = false;
    end.take(&packet);
    assert_eq!(end.endpoint.next_deadline(), None);
    end.now += MILLISECOND;
    assert!(end.sent().is_empty());
}

#[test]
fn our_own_requests_go_before_an_acknowledgement() {
    let mut end = ready();
    end.request(0, SendOnly, &[1]);
    end.now += 100 * MICROSECOND;
    end.send(1, 10);
    let opcodes: Vec<Opcode> = end.sent().iter().map(|packet| packet.headers.opcode).collect();
    assert_eq!(opcodes, [SendOnly, Acknowledge]);
}

#[test]
fn a_gap_is_reported_once_until_the_missing_packet_arrives() {
    let mut end = ready();
    end.request(0, SendOnly, &[0]);
    end.request(2, SendOnly, &[2]);
    end.request(3, SendOnly, &[3]);
    assert_eq!(end.answer_sent(), (Syndrome::Nak(NakCode::SequenceError), 1));
    end.request(4, SendOnly, &[4]);
    assert!(end.sent().is_empty());
    end.request(1, SendOnly, &[1]);
    end.request(3, SendOnly, &[3]);
    assert_eq!(end.answer_sent(), (Syndrome::Nak(NakCode::SequenceError), 2));
    assert_eq!(end.received(), [vec![0], vec![1]]);
    assert_eq!(end.endpoint.counters().sequence_errors_out, 2);
}

#[test]
fn a_gap_that_closes_before_it_was_reported_is_acknowledged_instead() {
    let mut end = ready();
    end.request(1, SendOnly, &[1]);
    end.request(0, SendOnly, &[0]);
    assert_eq!(end.answer_sent(), (ACK, 0));
}

#[test]
fn a_duplicate_does_not_hide_a_gap() {
    let mut end = ready();
    end.request(0, SendOnly, &[0]);
    end.request(2, SendOnly, &[2]);
    end.request(0, SendOnly, &[0]);
    assert_eq!(end.answer_sent(), (Syndrome::Nak(NakCode::SequenceError), 1));
}

#[test]
fn duplicates_are_acknowledged_at_once_and_never_executed() {
    let mut end = ready();
    let memory = end.expose(256, 0, BOTH);
    end.request(0, SendOnly, &[7]);
    end.rdma(1, WriteOnly, memory, &[8; 256]);
    end.now += 100 * MICROSECOND;
    assert_eq!(end.answer_sent(), (ACK, 1));
    end.request(0, SendOnly, &[7]);
    assert_eq!(end.answer_sent(), (ACK, 1));
    end.rdma(1, WriteOnly, memory, &[9; 256]);
    assert_eq!(end.answer_sent(), (ACK, 1));
    assert_eq!(end.received(), [vec![7]]);
    assert_eq!(end.exposed.readable(QP, memory.rkey, memory.addr, 256), Ok(&[8; 256][..]));
    assert_eq!(end.endpoint.counters().duplicates, 2);
}

#[test]
fn without_a_receive_the_peer_is_told_to_come_back() {
    let mut end = End::new(&options());
    end.request(0, SendFirst, &[1; 256]);
    end.request(1, SendLast, &[2]);
    assert_eq!(end.answer_sent(), (Syndrome::ReceiverNotReady(12), 0));
    end.request(0, SendFirst, &[1; 256]);
    assert_eq!(end.answer_sent(), (Syndrome::ReceiverNotReady(12), 0));
    end.post_receive();
    end.request(0, SendFirst, &[1; 256]);
    end.request(1, SendLast, &[2]);
    assert_eq!(end.received(), [[vec![1; 256], vec![2]].concat()]);
    assert_eq!((end.endpoint.counters().rnr_out, end.endpoint.counters().sequence_errors_out), (2, 0));
}

#[test]
fn a_message_longer_than_its_receive_is_refused() {
    let mut end = ready();
    end.request(0, SendFirst, &[0; 256]);
    (1..256).for_each(|number| end.request(number, SendMiddle, &[0; 256]));
    end.sent();
    end.request(256, SendLast, &[0; 1]);
    end.assert_refused(NakCode::InvalidRequest, 256);
    assert_eq!(end.completions().len(), 4);
    assert_eq!(end.pool.available(), 32);
}

#[test]
fn packets_that_do_not_fit_a_message_are_refused() {
    let ok = [0; 256];
    let short: &[u8] = &ok[1..];
    let long = [0; 257];
    let cases: &[&[(Opcode, &[u8])]] = &[
        &[(SendMiddle, &ok)],
        &[(SendLast, &ok)],
        &[(WriteMiddle, &ok)],
        &[(WriteLast, &ok)],
        &[(SendFirst, short)],
        &[(SendFirst, &[])],
        &[(SendFirst, &long)],
        &[(SendOnly, &long)],
        &[(SendFirst, &ok), (SendMiddle, short)],
        &[(SendFirst, &ok), (SendLast, &[])],
        &[(SendFirst, &ok), (SendLast, &long)],
        &[(SendFirst, &ok), (SendFirst, &ok)],
        &[(SendFirst, &ok), (SendOnly, &ok)],
        &[(SendFirst, &ok), (WriteLast, &ok)],
        &[(SendFirst, &ok), (ReadRequest, &[])],
        &[(WriteOnlyImmediate, &[])],
        &[(WriteLastImmediate, &ok)],
        &[(CompareSwap, &[])],
        &[(FetchAdd, &[])],
    ];
    for case in cases {
        let mut end = ready();
        for (number, (opcode, payload)) in case.iter().enumerate() {
            end.rdma(number as u32, *opcode, NOWHERE, payload);
        }
        end.assert_refused(NakCode::InvalidRequest, case.len() as i32 - 1);
        assert!(end.received().is_empty(), "{case:?}");
    }
}

#[test]
fn requests_without_the_header_that_they_need_are_refused() {
    for opcode in [WriteFirst, WriteOnly, ReadRequest] {
        let mut end = ready();
        end.request(0, opcode, &[0; 256]);
        end.assert_refused(NakCode::InvalidRequest, 0);
    }
}

#[test]
fn after_a_refusal_nothing_is_taken() {
    let mut end = ready();
    end.request(0, SendLast, &[1]);
    end.request(0, SendOnly, &[1]);
    end.request(1, SendOnly, &[1]);
    end.assert_refused(NakCode::InvalidRequest, 0);
    assert!(end.received().is_empty());
}

#[test]
fn a_refusal_waits_for_room() {
    let mut end = ready();
    end.request(0, SendLast, &[1]);
    assert!(end.sent_with(0, 0).1);
    end.assert_refused(NakCode::InvalidRequest, 0);
}

#[test]
fn writes_go_where_they_belong() {
    let mut end = ready();
    let memory = end.expose(1000, 5, BOTH);
    let data = pattern(700, 1);
    let target = RemoteMemory { addr: memory.addr + 100, len: 700, ..memory };
    end.rdma(0, WriteFirst, target, &data[..256]);
    end.request(1, WriteMiddle, &data[256..512]);
    end.request(2, WriteLast, &data[512..]);
    end.rdma(3, WriteOnly, RemoteMemory { addr: memory.addr, len: 1, ..memory }, &[42]);
    let mut expected = pattern(1000, 5);
    expected[100..800].copy_from_slice(&data);
    expected[0] = 42;
    assert_eq!(end.exposed.readable(QP, memory.rkey, memory.addr, 1000), Ok(&expected[..]));
    end.now += 100 * MICROSECOND;
    assert_eq!(end.answer_sent(), (ACK, 3));
}

#[test]
fn a_write_is_checked_as_a_whole_before_its_first_byte() {
    let mut end = ready();
    let memory = end.expose(1000, 5, BOTH);
    end.rdma(0, WriteFirst, RemoteMemory { addr: memory.addr + 1, ..memory }, &[0; 256]);
    end.assert_refused(NakCode::RemoteAccess, 0);
    assert_eq!(end.exposed.readable(QP, memory.rkey, memory.addr, 1000), Ok(&pattern(1000, 5)[..]));
    assert_eq!(end.endpoint.counters().access_errors_out, 1);
}

#[test]
fn a_write_has_the_length_that_it_said() {
    let cases: &[(u32, &[(Opcode, usize)])] = &[
        (10, &[(WriteOnly, 9)]),
        (10, &[(WriteOnly, 11)]),
        (256, &[(WriteFirst, 256)]),
        (300, &[(WriteFirst, 256), (WriteLast, 43)]),
        (300, &[(WriteFirst, 256), (WriteLast, 45)]),
        (300, &[(WriteFirst, 256), (WriteMiddle, 256)]),
        (512, &[(WriteFirst, 256), (WriteMiddle, 256)]),
        (0, &[(WriteFirst, 256)]),
    ];
    for (len, packets) in cases {
        let mut end = ready();
        let memory = end.expose(1000, 5, BOTH);
        for (number, (opcode, payload)) in packets.iter().enumerate() {
            end.rdma(number as u32, *opcode, RemoteMemory { len: *len, ..memory }, &vec![0; *payload]);
        }
        end.assert_refused(NakCode::InvalidRequest, packets.len() as i32 - 1);
    }
}

#[test]
fn lengths_beyond_the_standards_are_refused() {
    for opcode in [WriteFirst, ReadRequest] {
        let mut end = ready();
        let memory = end.expose(1000, 5, BOTH);
        let payload: &[u8] = if opcode == WriteFirst { &[0; 256] } else { &[] };
        end.rdma(0, opcode, RemoteMemory { len: (1 << 31) + 1, ..memory }, payload);
        end.assert_refused(NakCode::InvalidRequest, 0);
    }
}

#[test]
fn access_without_the_right_is_refused() {
    for (access, opcode) in
        [(Access { read: true, write: false }, WriteOnly), (Access { read: false, write: true }, ReadRequest)]
    {
        let mut end = ready();
        let memory = end.expose(10, 5, access);
        let payload: &[u8] = if opcode == WriteOnly { &[0; 10] } else { &[] };
        end.rdma(0, opcode, memory, payload);
        end.assert_refused(NakCode::RemoteAccess, 0);
    }
}

#[test]
fn memory_of_another_queue_pair_is_out_of_reach() {
    let mut end = ready();
    let data = end.data(10, 1);
    let memory = end.exposed.expose(QpIndex(6), data, BOTH);
    end.rdma(0, ReadRequest, memory, &[]);
    end.assert_refused(NakCode::RemoteAccess, 0);
}

#[test]
fn nothing_at_all_may_be_written_and_read_without_a_key() {
    let mut end = ready();
    end.rdma(0, WriteOnly, NOWHERE, &[]);
    end.rdma(1, ReadRequest, NOWHERE, &[]);
    let packets = end.sent();
    assert_eq!(numbered(&packets, RECEIVE_PSN), [(ReadResponseOnly, 1)]);
    assert!(packets[0].payload.is_empty());
    end.now += 100 * MICROSECOND;
    assert_eq!(end.answer_sent(), (ACK, 1));
}

#[test]
fn a_write_whose_memory_is_withdrawn_meanwhile_is_refused() {
    let mut end = ready();
    let memory = end.expose(300, 5, BOTH);
    end.rdma(0, WriteFirst, memory, &[0; 256]);
    end.exposed.withdraw(memory.rkey);
    end.request(1, WriteLast, &[0; 44]);
    end.assert_refused(NakCode::RemoteAccess, 1);
}

#[test]
fn reads_are_answered_in_order_and_take_as_many_numbers_as_responses() {
    let mut end = ready();
    let memory = end.expose(600, 5, BOTH);
    end.rdma(0, ReadRequest, memory, &[]);
    end.rdma(3, ReadRequest, RemoteMemory { addr: memory.addr + 10, len: 5, ..memory }, &[]);
    end.request(4, SendOnly, &[1]);
    end.now += 100 * MICROSECOND;
    let packets = end.sent();
    assert_eq!(
        numbered(&packets, RECEIVE_PSN),
        [
            (ReadResponseFirst, 0),
            (ReadResponseMiddle, 1),
            (ReadResponseLast, 2),
            (ReadResponseOnly, 3),
            (Acknowledge, 4)
        ]
    );
    let data: Vec<u8> = packets[..3].iter().flat_map(|packet| packet.payload.clone()).collect();
    assert_eq!(data, pattern(600, 5));
    assert_eq!(packets[3].payload, pattern(600, 5)[10..15]);
    let messages: Vec<u32> = packets.iter().filter_map(|packet| packet.headers.aeth.map(|aeth| aeth.msn)).collect();
    assert_eq!(messages, [1, 1, 2, 3]);
}

#[test]
fn an_acknowledgement_never_overtakes_the_data_of_a_read() {
    let mut end = ready();
    let memory = end.expose(600, 5, BOTH);
    end.rdma(0, ReadRequest, memory, &[]);
    end.request(3, SendOnly, &[1]);
    end.request(0, SendOnly, &[1]); // a duplicate, so that an acknowledgement is due at once
    let (packets, again) = end.sent_with(2, 0);
    assert_eq!(
        (numbered(&packets, RECEIVE_PSN).as_slice(), again),
        (&[(ReadResponseFirst, 0), (ReadResponseMiddle, 1)][..], true)
    );
    assert_eq!(end.sent_answers(), [(ReadResponseLast, 2), (Acknowledge, 3)]);
}

#[test]
fn long_reads_are_answered_in_shares() {
    let mut end = ready();
    let memory = end.expose(65536, 5, BOTH);
    end.rdma(0, ReadRequest, memory, &[]);
    let (packets, again) = end.sent_with(usize::MAX, 0);
    assert_eq!((packets.len(), again), (64, true));
    let mut count = 64;
    while count < 256 {
        count += end.sent().len();
    }
    assert!(end.sent().is_empty());
}

#[test]
fn more_reads_than_agreed_are_refused() {
    let mut end = ready();
    let memory = end.expose(10, 5, BOTH);
    (0..5).for_each(|number| end.rdma(number, ReadRequest, memory, &[]));
    assert!(!end.endpoint.has_failed());
    let packets = end.sent();
    assert_eq!(numbered(&packets, RECEIVE_PSN)[4], (Acknowledge, 4), "after the data of those that were agreed");
    assert_eq!(packets[4].headers.aeth.map(|aeth| aeth.syndrome), Some(Syndrome::Nak(NakCode::InvalidRequest)));
    assert!(end.endpoint.has_failed());
}

#[test]
fn a_target_serves_no_reads() {
    let mut end = End::new(&EndpointOptions { reads_served: 0, ..options() });
    end.rdma(0, ReadRequest, NOWHERE, &[]);
    end.assert_refused(NakCode::InvalidRequest, 0);
}

#[test]
fn a_read_that_was_answered_is_answered_again_also_in_part() {
    let mut end = ready();
    let memory = end.expose(600, 5, BOTH);
    end.rdma(0, ReadRequest, memory, &[]);
    assert_eq!(end.sent().len(), 3);
    end.rdma(1, ReadRequest, RemoteMemory { addr: memory.addr + 256, len: 344, ..memory }, &[]);
    let packets = end.sent();
    assert_eq!(numbered(&packets, RECEIVE_PSN), [(ReadResponseFirst, 1), (ReadResponseLast, 2)]);
    assert_eq!(packets[0].payload, pattern(600, 5)[256..512]);
    assert_eq!(end.endpoint.counters().duplicates, 1);
}

#[test]
fn a_repeated_read_is_answered_before_the_later_ones() {
    let mut end = ready();
    let memory = end.expose(1024, 5, BOTH);
    end.rdma(0, ReadRequest, memory, &[]);
    assert_eq!(end.sent().len(), 4);
    end.rdma(4, ReadRequest, memory, &[]);
    assert_eq!(end.sent_with(2, 0).0.len(), 2);
    end.rdma(3, ReadRequest, RemoteMemory { addr: memory.addr + 768, len: 256, ..memory }, &[]);
    assert_eq!(
        end.sent_answers(),
        [
            (ReadResponseOnly, 3),
            (ReadResponseFirst, 4),
            (ReadResponseMiddle, 5),
            (ReadResponseMiddle, 6),
            (ReadResponseLast, 7)
        ]
    );
}

#[test]
fn a_read_repeated_while_it_is_answered_goes_back() {
    let mut end = ready();
    let memory = end.expose(1024, 5, BOTH);
    end.rdma(0, ReadRequest, memory, &[]);
    assert_eq!(end.sent_with(3, 0).0.len(), 3);
    end.rdma(1, ReadRequest, RemoteMemory { addr: memory.addr + 256, len: 768, ..memory }, &[]);
    assert_eq!(end.sent_answers(), [(ReadResponseFirst, 1), (ReadResponseMiddle, 2), (ReadResponseLast, 3)]);
    assert!(end.sent().is_empty());
}

#[test]
fn a_repetition_of_what_is_on_its_way_anyway_changes_nothing() {
    let mut end = ready();
    let memory = end.expose(1024, 5, BOTH);
    end.rdma(0, ReadRequest, memory, &[]);
    assert_eq!(end.sent_with(1, 0).0.len(), 1);
    end.rdma(2, ReadRequest, RemoteMemory { addr: memory.addr + 512, len: 512, ..memory }, &[]);
    assert_eq!(end.sent_answers(), [(ReadResponseMiddle, 1), (ReadResponseMiddle, 2), (ReadResponseLast, 3)]);
}

#[test]
fn a_repeated_read_cannot_ask_for_more_than_was_asked_before() {
    let mut end = ready();
    let memory = end.expose(1024, 5, BOTH);
    end.rdma(0, ReadRequest, RemoteMemory { len: 512, ..memory }, &[]);
    end.sent();
    end.rdma(0, ReadRequest, memory, &[]);
    end.rdma(0x80_0002, ReadRequest, RemoteMemory { len: u32::MAX, ..memory }, &[]);
    assert!(end.sent().is_empty());
    assert!(!end.endpoint.has_failed());
}

#[test]
fn a_repeated_read_of_memory_that_was_withdrawn_is_not_answered() {
    let mut end = ready();
    let memory = end.expose(600, 5, BOTH);
    end.rdma(0, ReadRequest, memory, &[]);
    end.sent();
    end.exposed.withdraw(memory.rkey);
    end.rdma(0, ReadRequest, memory, &[]);
    assert!(end.sent().is_empty());
    assert!(!end.endpoint.has_failed(), "the peer may have its data already");
}

#[test]
fn a_read_whose_memory_is_withdrawn_before_it_was_answered_is_refused() {
    let mut end = ready();
    let memory = end.expose(600, 5, BOTH);
    end.rdma(0, ReadRequest, memory, &[]);
    end.sent_with(1, 0);
    end.exposed.withdraw(memory.rkey);
    let other = end.expose(10, 5, BOTH);
    end.rdma(3, ReadRequest, other, &[]);
    end.request(4, SendOnly, &[1]);
    end.assert_refused(NakCode::RemoteAccess, 1);
}

#[test]
fn a_read_that_arrives_twice_before_it_was_answered_is_as_new() {
    let mut end = ready();
    let memory = end.expose(600, 5, BOTH);
    end.rdma(0, ReadRequest, memory, &[]);
    end.rdma(0, ReadRequest, memory, &[]);
    end.exposed.withdraw(memory.rkey);
    end.assert_refused(NakCode::RemoteAccess, 0);
}

#[test]
fn a_read_repeated_after_answers_is_not_refused_when_its_memory_is_withdrawn() {
    let mut end = ready();
    let memory = end.expose(600, 5, BOTH);
    end.rdma(0, ReadRequest, memory, &[]);
    end.rdma(3, ReadRequest, memory, &[]);
    assert_eq!(end.sent_with(4, 0).0.len(), 4, "the first, and one packet of the second");
    end.rdma(0, ReadRequest, memory, &[]);
    assert_eq!(end.sent_with(1, 0).0.len(), 1);
    end.rdma(0, ReadRequest, memory, &[]);
    end.exposed.withdraw(memory.rkey);
    assert!(end.sent().is_empty(), "neither of them is answered");
    assert!(!end.endpoint.has_failed(), "the peer may have their data already");
}

#[test]
fn a_read_repeated_while_it_is_answered_is_not_refused_when_its_memory_is_withdrawn() {
    let mut end = ready();
    let memory = end.expose(600, 5, BOTH);
    end.rdma(0, ReadRequest, memory, &[]);
    assert_eq!(end.sent_with(1, 0).0.len(), 1);
    end.rdma(0, ReadRequest, memory, &[]);
    end.exposed.withdraw(memory.rkey);
    assert!(end.sent().is_empty());
    assert!(!end.endpoint.has_failed());
}

/// Found by the two ends over a bad network: the late duplicate of a READ, whose data had arrived long ago, took the
/// place of a new one, and the connection ended for too many READs at once.
#[test]
fn a_late_duplicate_of_a_read_does_not_take_the_place_of_a_new_one() {
    let mut end = ready();
    let memory = end.expose(256, 5, BOTH);
    end.rdma(0, ReadRequest, memory, &[]);
    assert_eq!(end.sent().len(), 1);
    end.rdma(0, ReadRequest, memory, &[]);
    (1..5).for_each(|number| end.rdma(number, ReadRequest, memory, &[]));
    assert_eq!(end.sent_answers().len(), 4);
    end.rdma(4, ReadRequest, memory, &[]);
    assert_eq!(end.sent_answers(), [(ReadResponseOnly, 4)]);
}

#[test]
fn repetitions_do_not_make_more_reads_at_once_than_agreed() {
    let mut end = ready();
    let memory = end.expose(256, 5, BOTH);
    end.rdma(0, ReadRequest, memory, &[]);
    assert_eq!(end.sent().len(), 1);
    (1..5).for_each(|number| end.rdma(number, ReadRequest, memory, &[]));
    end.rdma(0, ReadRequest, memory, &[]);
    assert_eq!(end.sent_answers().len(), 4);
    assert!(!end.endpoint.has_failed());
}

#[test]
fn a_send_can_take_a_key_away_from_the_peer() {
    let mut end = ready();
    let memory = end.expose(600, 5, BOTH);
    let mut packet = request(0, SendOnlyInvalidate, &[1]);
    packet.headers.invalidate = Some(memory.rkey);
    end.take(&packet);
    assert_eq!(end.received(), [vec![1]]);
    end.now += 100 * MICROSECOND;
    assert_eq!(end.answer_sent(), (ACK, 0));
    end.rdma(1, ReadRequest, memory, &[]);
    end.assert_refused(NakCode::RemoteAccess, 1);
    assert!(end.exposed.withdraw(memory.rkey).is_some());
}

#[test]
fn a_send_that_takes_an_unknown_key_away_is_refused() {
    let mut end = ready();
    end.request(0, SendFirst, &[0; 256]);
    let mut packet = request(1, SendLastInvalidate, &[1]);
    packet.headers.invalidate = Some(77);
    end.take(&packet);
    end.assert_refused(NakCode::RemoteAccess, 1);
    assert!(end.received().is_empty());
}
