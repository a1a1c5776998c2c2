//! What we ask, against a peer that the test plays.

use super::end::*;
use crate::roce::rc::requester::READ_PACKETS;
use Opcode::*;

fn sent(end: &mut End) -> Vec<(Opcode, i32)> {
    numbered(&end.sent(), SEND_PSN)
}

#[test]
fn messages_are_cut_into_packets_of_the_mtu() {
    let mut end = End::new(&options());
    for (cookie, len) in [0, 1, 256, 257, 512, 700].into_iter().enumerate() {
        end.send(cookie as u64, len);
    }
    let packets = end.sent();
    assert_eq!(
        numbered(&packets, SEND_PSN),
        [
            (SendOnly, 0),
            (SendOnly, 1),
            (SendOnly, 2),
            (SendFirst, 3),
            (SendLast, 4),
            (SendFirst, 5),
            (SendLast, 6),
            (SendFirst, 7),
            (SendMiddle, 8),
            (SendLast, 9)
        ]
    );
    let lengths: Vec<usize> = packets.iter().map(|packet| packet.payload.len()).collect();
    assert_eq!(lengths, [0, 1, 256, 256, 1, 256, 256, 256, 256, 188]);
    let whole: Vec<u8> = packets[7..].iter().flat_map(|packet| packet.payload.clone()).collect();
    assert_eq!(whole, pattern(700, 5));
    let solicited: Vec<bool> = packets[5..7].iter().map(|packet| packet.headers.solicited).collect();
    assert_eq!(solicited, [false, true], "only the last packet of a message");
}

#[test]
fn a_deliver_writes_its_segments_and_then_sends_its_message() {
    let mut end = End::new(&options());
    let (data, message) = (end.data(1000, 9), end.data(40, 4));
    let segments = [
        Segment { local_offset: 100, len: 300, remote_addr: 0x1000, rkey: 7 },
        Segment { local_offset: 990, len: 10, remote_addr: 0x8000, rkey: 8 },
    ];
    end.endpoint.deliver(Deliver {
        cookie: 1,
        data: Some(data),
        segments: &segments,
        message: Some(message),
        solicited: false,
    });
    assert_eq!(end.endpoint.send_slots_free(), 61);
    let packets = end.sent();
    assert_eq!(numbered(&packets, SEND_PSN), [(WriteFirst, 0), (WriteLast, 1), (WriteOnly, 2), (SendOnly, 3)]);
    assert_eq!(packets[0].headers.reth, Some(Reth { addr: 0x1000, rkey: 7, len: 300 }));
    assert_eq!(packets[2].headers.reth, Some(Reth { addr: 0x8000, rkey: 8, len: 10 }));
    assert_eq!(packets[0].payload, pattern(1000, 9)[100..356]);
    assert_eq!(packets[1].payload, pattern(1000, 9)[356..400]);
    assert_eq!(packets[2].payload, pattern(1000, 9)[990..]);
    assert_eq!(packets[3].payload, pattern(40, 4));
    end.acknowledge(2);
    assert_eq!(end.finished(), [], "the message is not acknowledged");
    end.acknowledge(3);
    assert_eq!(end.finished(), [(1, Ok(()))]);
    assert_eq!((end.endpoint.send_slots_free(), end.pool.available()), (64, 32));
}

/// Delivers `len` bytes and a message of 40.
fn deliver(end: &mut End, cookie: u64, len: u32) {
    let (data, message) = (Some(end.data(len as usize, 1)), Some(end.data(40, 2)));
    let segments = &[Segment { local_offset: 0, len, remote_addr: 0x1000, rkey: 7 }];
    end.endpoint.deliver(Deliver { cookie, data, segments, message, solicited: false });
}

#[test]
fn messages_go_behind_the_writes_of_their_time() {
    let mut end = End::new(&options());
    deliver(&mut end, 1, 100);
    end.write(2, 100);
    deliver(&mut end, 3, 100);
    let sent = sent(&mut end);
    assert_eq!(sent, [(WriteOnly, 0), (WriteOnly, 1), (WriteOnly, 2), (SendOnly, 3), (SendOnly, 4)]);
    end.acknowledge(2);
    assert_eq!(end.finished(), [], "the one without a message waits for the one before it");
    end.acknowledge(3);
    assert_eq!(end.finished(), [(1, Ok(())), (2, Ok(()))]);
    end.acknowledge(4);
    assert_eq!(end.finished(), [(3, Ok(()))]);
}

#[test]
fn a_message_goes_ahead_of_a_read_and_of_more_writes_than_a_burst_holds() {
    let mut end = End::new(&options());
    end.endpoint.set_reads_max(1);
    deliver(&mut end, 1, 100);
    end.fetch(2, 100);
    end.fetch(3, 100);
    let kinds: Vec<Opcode> = sent(&mut end).into_iter().map(|(opcode, _)| opcode).collect();
    assert_eq!(kinds, [WriteOnly, SendOnly, ReadRequest]);

    let mut end = End::new(&options());
    grow_window(&mut end);
    deliver(&mut end, 2, 100);
    end.write(3, 61_000);
    let kinds: Vec<Opcode> = sent(&mut end).into_iter().map(|(opcode, _)| opcode).collect();
    assert_eq!(kinds[..3], [WriteOnly, SendOnly, WriteFirst]);
}

#[test]
fn one_acknowledgement_is_asked_for_per_burst() {
    let mut end = End::new(&options());
    (0..3).for_each(|cookie| end.send(cookie, 10));
    let asked: Vec<bool> = end.sent().iter().map(|packet| packet.headers.ack_request).collect();
    assert_eq!(asked, [false, false, true]);
}

#[test]
fn long_bursts_ask_every_eighth_message_and_every_sixteenth_packet() {
    let mut end = End::new(&options());
    (0..20).for_each(|cookie| end.send(cookie, 10));
    let asked: Vec<usize> = asked(&end.sent());
    assert_eq!(asked, [7, 15, 19]);
    let mut end = End::new(&options());
    end.write(0, 20 * MTU);
    assert_eq!(self::asked(&end.sent()), [15, 19]);
}

fn asked(packets: &[Packet]) -> Vec<usize> {
    packets.iter().enumerate().filter(|(_, packet)| packet.headers.ack_request).map(|(index, _)| index).collect()
}

#[test]
fn a_crowded_send_queue_asks_with_every_message() {
    let mut end = End::new(&EndpointOptions { sends: 4, ..options() });
    (0..3).for_each(|cookie| end.send(cookie, 300));
    assert_eq!(asked(&end.sent()), [1, 3, 5]);
}

#[test]
fn a_message_before_a_read_asks() {
    let mut end = End::new(&options());
    end.send(1, 10);
    end.fetch(2, 10);
    assert_eq!(asked(&end.sent()), [0, 1]);
}

#[test]
fn a_call_sends_its_share_and_asks_with_the_last_packet() {
    let mut end = End::new(&options());
    grow_window(&mut end);
    end.write(2, 100 * MTU);
    let (packets, again) = end.sent_with(usize::MAX, 0);
    assert_eq!((packets.len(), again), (64, true));
    assert!(packets[63].headers.ack_request);
    let (packets, again) = end.sent_with(usize::MAX, 0);
    assert_eq!((packets.len(), again), (36, false));
}

/// Sends and acknowledges until the window is at its largest; returns the next packet's number.
fn grow_window(end: &mut End) -> u32 {
    let mut number = 0;
    for _ in 0..8 {
        end.write(999, 256 * MTU);
        let before = number;
        while number < before + 256 {
            number += end.sent().len() as u32;
            end.now += 10 * MICROSECOND;
            end.acknowledge(number - 1);
        }
    }
    assert_eq!(end.finished().len(), 8);
    number
}

#[test]
fn the_window_bounds_what_is_on_its_way_and_its_last_packet_asks() {
    let mut end = End::new(&options());
    end.write(1, 100 * MTU);
    let (packets, again) = end.sent_with(usize::MAX, 0);
    assert_eq!((packets.len(), again), (32, false));
    assert!(packets[31].headers.ack_request);
    assert!(end.sent().is_empty());
    end.acknowledge(15);
    assert_eq!(end.sent().len(), 32, "16 acknowledged, and 16 more for the growth");
}

#[test]
fn a_notification_of_congestion_halves_the_window() {
    let mut end = End::new(&options());
    end.write(1, 100 * MTU);
    end.sent();
    let cnp = Headers::new(Cnp, LOCAL_QPN, Psn::new(0));
    (0..5).for_each(|_| end.endpoint.on_packet(end.now, &cnp, &[0; 16], false, &mut end.exposed));
    assert_eq!(end.endpoint.counters().cnp_in, 5);
    end.acknowledge(15);
    assert_eq!(end.sent().len(), 1, "16 were on their way, and the window is 16, and 1 for the growth");
}

#[test]
fn lack_of_room_stops_it_where_it_is() {
    let mut end = End::new(&options());
    end.write(1, 5 * MTU);
    let (packets, again) = end.sent_with(2, 0);
    assert_eq!((numbered(&packets, SEND_PSN).as_slice(), again), (&[(WriteFirst, 0), (WriteMiddle, 1)][..], true));
    let (packets, again) = end.sent_with(0, 0);
    assert_eq!((packets.len(), again), (0, true));
    assert_eq!(sent(&mut end), [(WriteMiddle, 2), (WriteMiddle, 3), (WriteLast, 4)]);
}

#[test]
fn acknowledgements_are_cumulative_and_operations_complete_in_order() {
    let mut end = End::new(&options());
    end.send(1, 300);
    end.write(2, 10);
    end.send(3, 10);
    end.sent();
    end.acknowledge(0);
    assert_eq!(end.finished(), []);
    end.acknowledge(2);
    assert_eq!(end.finished(), [(1, Ok(())), (2, Ok(()))]);
    end.acknowledge(3);
    assert_eq!(end.finished(), [(3, Ok(()))]);
    assert_eq!(end.endpoint.next_deadline(), None, "nothing is outstanding");
}

#[test]
fn ghosts_and_repeated_acknowledgements_change_nothing() {
    let mut end = End::new(&options());
    end.send(1, 10);
    end.acknowledge(0);
    assert_eq!(end.endpoint.counters().unexpected, 1, "not sent yet");
    end.sent();
    end.acknowledge(1);
    end.acknowledge(0x40_0000);
    end.refuse(1, NakCode::InvalidRequest);
    assert_eq!(end.endpoint.counters().unexpected, 4);
    assert_eq!(end.finished(), []);
    end.acknowledge(0);
    end.acknowledge(0);
    end.acknowledge(0xff_ffff);
    end.refuse(0, NakCode::InvalidRequest);
    assert_eq!(end.endpoint.counters().unexpected, 4);
    assert_eq!(end.finished(), [(1, Ok(()))]);
    assert!(!end.endpoint.has_failed());
}

#[test]
fn a_sequence_error_goes_back_to_its_packet_once() {
    let mut end = End::new(&options());
    (0..4).for_each(|cookie| end.send(cookie, 10));
    end.sent();
    end.refuse(1, NakCode::SequenceError);
    assert_eq!(end.finished(), [(0, Ok(()))], "it acknowledges what came before");
    let again = end.sent();
    assert_eq!(numbered(&again, SEND_PSN), [(SendOnly, 1), (SendOnly, 2), (SendOnly, 3)]);
    assert_eq!(asked(&again), [2], "or the tail could be lost unseen");
    end.refuse(1, NakCode::SequenceError);
    assert!(end.sent().is_empty(), "it may be about the packets from before");
    assert_eq!(end.endpoint.counters().retransmitted, 3);
    assert_eq!(end.endpoint.counters().sequence_errors_in, 2);
    end.refuse(2, NakCode::SequenceError);
    assert_eq!(sent(&mut end), [(SendOnly, 2), (SendOnly, 3)], "another packet was lost");
}

#[test]
fn a_repetition_within_a_message_goes_on_in_its_middle() {
    let mut end = End::new(&options());
    end.write(1, 4 * MTU);
    end.sent();
    end.refuse(2, NakCode::SequenceError);
    let packets = end.sent();
    assert_eq!(numbered(&packets, SEND_PSN), [(WriteMiddle, 2), (WriteLast, 3)]);
    assert_eq!(packets[0].payload, pattern(1024, 1)[512..768]);
}

#[test]
fn a_late_answer_to_what_was_to_be_sent_again_is_taken() {
    let mut end = End::new(&options());
    (0..4).for_each(|cookie| end.send(cookie, 10));
    end.sent();
    end.refuse(0, NakCode::SequenceError);
    end.acknowledge(2);
    assert_eq!(end.finished().len(), 3);
    assert_eq!(sent(&mut end), [(SendOnly, 3)]);
}

#[test]
fn silence_makes_it_send_again_and_wait_longer_each_time() {
    let mut end = End::new(&options());
    end.send(1, 10);
    end.sent();
    end.now += 50 * MICROSECOND;
    end.acknowledge(0);
    end.send(2, 10);
    end.sent();
    let start = end.now;
    for after in [10, 10 + 20, 10 + 20 + 40] {
        let deadline = end.endpoint.next_deadline().expect("armed");
        assert_eq!(deadline - start, after * MILLISECOND);
        assert_eq!(numbered(&end.sent_at_deadline(), SEND_PSN), [(SendOnly, 1)]);
    }
    assert_eq!(end.endpoint.counters().timeouts, 3);
    assert_eq!(end.endpoint.counters().retransmitted, 3);
    end.acknowledge(1);
    assert_eq!(end.finished(), [(1, Ok(())), (2, Ok(()))]);
}

#[test]
fn a_peer_that_never_answers_is_given_up() {
    let mut end = End::new(&options());
    (1..4).for_each(|cookie| end.send(cookie, 10));
    end.sent();
    let start = end.now;
    while !end.endpoint.has_failed() {
        end.sent_at_deadline();
    }
    let waited = (end.now - start) / MILLISECOND;
    assert!((536..700).contains(&waited), "8 times 67 ms, not {waited}");
    let (given_up, flushed) = (Err(WorkError::RetriesExceeded), Err(WorkError::Flushed));
    assert_eq!(end.finished(), [(1, given_up), (2, flushed), (3, flushed)]);
    assert_eq!(end.pool.available(), 32);
}

#[test]
fn a_keepalive_is_sent_when_nothing_is_outstanding_and_never_reported() {
    let mut end = End::new(&EndpointOptions { sends: 2, ..options() });
    end.endpoint.keepalive();
    end.endpoint.keepalive();
    assert_eq!((end.endpoint.outstanding(), end.endpoint.send_slots_free()), (0, 2));
    end.send(1, 10);
    end.send(2, 10);
    let packets = end.sent();
    assert_eq!(numbered(&packets, SEND_PSN), [(WriteOnly, 0), (SendOnly, 1), (SendOnly, 2)]);
    assert_eq!(packets[0].headers.reth, Some(Reth { addr: 0, rkey: 0, len: 0 }));
    assert_eq!(end.endpoint.outstanding(), 2);
    end.acknowledge(0);
    end.endpoint.keepalive();
    assert!(end.sent().is_empty(), "operations are outstanding");
    end.acknowledge(2);
    assert_eq!(end.finished(), [(1, Ok(())), (2, Ok(()))]);
    end.endpoint.keepalive();
    assert_eq!(sent(&mut end), [(WriteOnly, 3)]);
}

#[test]
fn a_keepalive_finds_out_that_the_peer_is_gone() {
    let mut end = End::new(&options());
    end.post_receive();
    end.endpoint.keepalive();
    end.sent();
    while !end.endpoint.has_failed() {
        end.sent_at_deadline();
    }
    let completions = end.completions();
    assert!(matches!(completions[..], [Completion::ReceiveFlushed { .. }]), "{completions:?}");
}

#[test]
fn reads_are_asked_for_in_pieces_as_many_at_once_as_agreed() {
    let mut end = End::new(&EndpointOptions { reads_max: 2, ..options() });
    let len = (2 * READ_PACKETS + 1) * MTU - 5;
    end.fetch(1, len);
    end.fetch(2, 10);
    let packets = end.sent();
    assert_eq!(numbered(&packets, SEND_PSN), [(ReadRequest, 0), (ReadRequest, 16)]);
    let piece = READ_PACKETS * MTU;
    assert_eq!(packets[0].headers.reth, Some(Reth { addr: 0x10_0000, rkey: 77, len: piece }));
    assert_eq!(packets[1].headers.reth, Some(Reth { addr: 0x10_0000 + u64::from(piece), rkey: 77, len: piece }));
    assert_eq!(end.endpoint.read_packets_in_flight(), 32);
    answer_read(&mut end, 0, 16, 0, len);
    assert_eq!(end.endpoint.read_packets_in_flight(), 16);
    let packets = end.sent();
    let reth = Reth { addr: 0x10_0000 + u64::from(2 * piece), rkey: 77, len: MTU - 5 };
    assert_eq!((packets.len(), packets[0].headers.reth), (1, Some(reth)));
    answer_read(&mut end, 16, 16, piece, len);
    assert_eq!(sent(&mut end), [(ReadRequest, 33)]);
    answer_read(&mut end, 32, 1, 2 * piece, len);
    let completions = end.completions();
    let Completion::Fetched { cookie: 1, data, result: Ok(()), .. } = &completions[0] else {
        panic!("{completions:?}")
    };
    assert_eq!(data.bytes(), pattern(len as usize, 3));
    answer_read(&mut end, 33, 1, 0, 10);
    assert_eq!(end.finished(), [(2, Ok(()))]);
    assert_eq!((end.endpoint.read_packets_in_flight(), end.endpoint.next_deadline()), (0, None));
}

/// The peer sends `packets` responses from our packet `number` on, from `start` bytes into the `len` bytes read.
fn answer_read(end: &mut End, number: u32, packets: u32, start: u32, len: u32) {
    let data = pattern(len as usize, 3);
    for index in 0..packets {
        let opcode = match (index, index + 1 == packets) {
            (0, true) => ReadResponseOnly,
            (0, false) => ReadResponseFirst,
            (_, false) => ReadResponseMiddle,
            (_, true) => ReadResponseLast,
        };
        let (from, to) = (start + index * MTU, (start + (index + 1) * MTU).min(len));
        end.read_response(number + index, opcode, data[from as usize..to as usize].to_vec());
    }
}

#[test]
fn what_comes_after_a_read_that_has_to_wait_waits_too() {
    let mut end = End::new(&EndpointOptions { reads_max: 1, ..options() });
    end.fetch(1, 10);
    end.fetch(2, 10);
    end.send(3, 10);
    assert_eq!(sent(&mut end), [(ReadRequest, 0)]);
    answer_read(&mut end, 0, 1, 0, 10);
    assert_eq!(sent(&mut end), [(ReadRequest, 1), (SendOnly, 2)]);
}

#[test]
fn the_number_of_reads_can_be_lowered_but_never_to_none() {
    let mut end = End::new(&options());
    end.endpoint.set_reads_max(0);
    end.fetch(1, 10);
    end.fetch(2, 10);
    assert_eq!(sent(&mut end), [(ReadRequest, 0)]);
}

#[test]
fn reads_keep_to_the_room_for_their_responses_but_never_starve() {
    let mut end = End::new(&options());
    (0..3).for_each(|cookie| end.fetch(cookie, 4 * MTU));
    let (packets, again) = end.sent_with(usize::MAX, 0);
    assert_eq!((numbered(&packets, SEND_PSN).as_slice(), again), (&[(ReadRequest, 0)][..], true));
    let (packets, again) = end.sent_with(usize::MAX, 3);
    assert_eq!((packets.len(), again), (0, true));
    let (packets, again) = end.sent_with(usize::MAX, 7);
    assert_eq!((numbered(&packets, SEND_PSN).as_slice(), again), (&[(ReadRequest, 4)][..], true));
    let (packets, again) = end.sent_with(usize::MAX, 4);
    assert_eq!((numbered(&packets, SEND_PSN).as_slice(), again), (&[(ReadRequest, 8)][..], false));
}

#[test]
fn a_response_acknowledges_what_was_asked_before() {
    let mut end = End::new(&options());
    end.send(1, 10);
    end.write(2, 300);
    end.fetch(3, 10);
    end.sent();
    answer_read(&mut end, 3, 1, 0, 10);
    assert_eq!(end.finished(), [(1, Ok(())), (2, Ok(())), (3, Ok(()))]);
}

#[test]
fn a_missing_response_is_asked_for_again_from_there_on() {
    let mut end = End::new(&options());
    let len = 20 * MTU;
    end.fetch(1, len);
    end.send(2, 10);
    assert_eq!(sent(&mut end), [(ReadRequest, 0), (ReadRequest, 16), (SendOnly, 20)]);
    answer_read(&mut end, 0, 3, 0, len);
    end.read_response(5, ReadResponseMiddle, vec![0; 256]);
    end.read_response(6, ReadResponseMiddle, vec![0; 256]);
    let packets = end.sent();
    assert_eq!(numbered(&packets, SEND_PSN), [(ReadRequest, 3), (ReadRequest, 16)]);
    let rest = Reth { addr: 0x10_0000 + u64::from(3 * MTU), rkey: 77, len: 13 * MTU };
    assert_eq!(packets[0].headers.reth, Some(rest), "to the end of the piece that the peer knows");
    assert_eq!(end.endpoint.read_packets_in_flight(), 17);
    answer_read(&mut end, 3, 13, 3 * MTU, len);
    assert_eq!(sent(&mut end), [(SendOnly, 20)], "the window is smaller than before");
    answer_read(&mut end, 16, 4, 16 * MTU, len);
    end.acknowledge(20);
    let completions = end.completions();
    let Completion::Fetched { data, result: Ok(()), .. } = &completions[0] else { panic!("{completions:?}") };
    assert_eq!(data.bytes(), pattern(len as usize, 3));
    assert_eq!(completions.len(), 2);
    assert_eq!(end.endpoint.read_packets_in_flight(), 0);
}

#[test]
fn an_acknowledgement_beyond_a_read_without_data_means_that_they_were_lost() {
    let mut end = End::new(&options());
    end.fetch(1, 300);
    end.send(2, 10);
    end.sent();
    end.acknowledge(2);
    assert_eq!(end.finished(), []);
    assert_eq!(sent(&mut end), [(ReadRequest, 0), (SendOnly, 2)]);
    end.acknowledge(2);
    assert!(end.sent().is_empty(), "what became of the repetition is not known yet");
    answer_read(&mut end, 0, 2, 0, 300);
    end.acknowledge(2);
    assert_eq!(end.finished(), [(1, Ok(())), (2, Ok(()))]);
}

#[test]
fn late_data_of_a_read_do_not_touch_a_buffer_that_was_given_back() {
    let mut end = End::new(&options());
    end.fetch(1, 300);
    end.sent();
    answer_read(&mut end, 0, 2, 0, 300);
    let completions = end.completions();
    end.send(2, 10);
    end.sent();
    end.read_response(0, ReadResponseFirst, vec![0xee; 256]);
    end.read_response(1, ReadResponseLast, vec![0xee; 44]);
    let Completion::Fetched { data, .. } = &completions[0] else { panic!("{completions:?}") };
    assert_eq!(data.bytes(), pattern(300, 3));
    assert_eq!(end.finished(), []);
}

#[test]
fn data_for_what_is_no_read_or_of_the_wrong_length_are_not_taken() {
    let mut end = End::new(&options());
    end.send(1, 10);
    end.fetch(2, 300);
    end.sent();
    end.read_response(0, ReadResponseOnly, vec![0; 10]);
    assert_eq!(end.endpoint.counters().unexpected, 1);
    assert_eq!(end.finished(), []);
    end.read_response(2, ReadResponseLast, vec![0; 45]);
    assert!(end.endpoint.has_failed());
    let finished = end.finished();
    assert_eq!(finished, [(1, Err(WorkError::Local(7))), (2, Err(WorkError::Flushed))], "the first one says why");
}

#[test]
fn refusals_end_the_connection_and_name_the_operation() {
    for (code, error) in [
        (NakCode::InvalidRequest, WorkError::RemoteRequest),
        (NakCode::RemoteOperational, WorkError::RemoteRequest),
        (NakCode::RemoteAccess, WorkError::RemoteAccess),
    ] {
        let mut end = End::new(&options());
        end.post_receive();
        (1..5).for_each(|cookie| end.send(cookie, 10));
        end.sent();
        end.refuse(1, code);
        assert!(end.endpoint.has_failed());
        let flushed = Err(WorkError::Flushed);
        assert_eq!(end.finished(), [(1, Ok(())), (2, Err(error)), (3, flushed), (4, flushed)]);
        assert_eq!(end.endpoint.outstanding(), 0);
    }
}

#[test]
fn reserved_answers_are_ignored() {
    let mut end = End::new(&options());
    end.send(1, 10);
    end.sent();
    end.refuse(0, NakCode::Reserved(9));
    end.refuse(0, NakCode::InvalidRdRequest);
    end.answer(0, Syndrome::Reserved(0xff));
    end.take(&Packet { headers: Headers::new(Acknowledge, LOCAL_QPN, Psn::new(SEND_PSN)), payload: Vec::new() });
    let atomic = Headers::new(AtomicAcknowledge, LOCAL_QPN, Psn::new(SEND_PSN));
    end.take(&Packet { headers: atomic, payload: Vec::new() });
    assert_eq!(end.endpoint.counters().unexpected, 5);
    assert!(!end.endpoint.has_failed());
}

#[test]
fn a_receiver_that_is_not_ready_is_waited_for() {
    let mut end = End::new(&options());
    (0..3).for_each(|cookie| end.send(cookie, 10));
    end.sent();
    end.answer(1, Syndrome::ReceiverNotReady(14)); // 1.28 ms
    end.refuse(1, NakCode::SequenceError);
    assert_eq!(end.finished(), [(0, Ok(()))]);
    assert!(end.sent().is_empty());
    assert_eq!(end.endpoint.next_deadline(), Some(end.now + 1280 * MICROSECOND));
    end.now += 1279 * MICROSECOND;
    assert!(end.sent().is_empty());
    assert_eq!(numbered(&end.sent_at_deadline(), SEND_PSN), [(SendOnly, 1), (SendOnly, 2)]);
    assert_eq!((end.endpoint.counters().rnr_in, end.endpoint.counters().timeouts), (1, 0));
}

#[test]
fn seven_stands_for_retrying_for_ever() {
    let mut end = End::new(&options());
    end.send(1, 10);
    end.sent();
    for _ in 0..1000 {
        end.answer(0, Syndrome::ReceiverNotReady(1));
        assert_eq!(numbered(&end.sent_at_deadline(), SEND_PSN), [(SendOnly, 0)]);
    }
    end.acknowledge(0);
    assert_eq!(end.finished(), [(1, Ok(()))]);
}

#[test]
fn fewer_retries_end_and_progress_starts_them_anew() {
    let mut end = End::new(&EndpointOptions { rnr_retry: 2, ..options() });
    end.send(1, 10);
    end.send(2, 10);
    end.sent();
    for number in [0, 1] {
        for _ in 0..2 {
            end.answer(number, Syndrome::ReceiverNotReady(1));
            assert!(!end.sent_at_deadline().is_empty());
        }
        if number == 0 {
            end.acknowledge(0);
        }
    }
    assert!(!end.endpoint.has_failed());
    end.answer(1, Syndrome::ReceiverNotReady(1));
    assert_eq!(end.finished(), [(1, Ok(())), (2, Err(WorkError::ReceiverNotReady))]);
}

#[test]
fn a_long_path_is_paced() {
    let mut end = End::new(&EndpointOptions { sends: 64, ..options() });
    end.send(1, 10);
    end.sent();
    end.now += MILLISECOND;
    end.acknowledge(0);
    end.write(2, 32 * MTU);
    let (packets, again) = end.sent_with(usize::MAX, 0);
    assert_eq!((packets.len(), again), (17, false));
    assert!(packets[16].headers.ack_request, "nothing follows for a while");
    let pace = MILLISECOND * 4 / 5 / 32;
    assert_eq!(end.endpoint.next_deadline(), Some(end.now + pace));
    assert_eq!(end.sent_at_deadline().len(), 1);
}

mod posting {
    use super::*;

    #[test]
    #[should_panic(expected = "a fetch without segments")]
    fn a_fetch_of_nothing_panics() {
        let mut end = End::new(&options());
        let data = end.data(10, 0);
        end.endpoint.fetch(Fetch { cookie: 1, data, segments: &[] });
    }

    #[test]
    #[should_panic(expected = "a deliver of nothing")]
    fn a_deliver_of_nothing_panics() {
        let mut end = End::new(&options());
        end.endpoint.deliver(Deliver { cookie: 1, data: None, segments: &[], message: None, solicited: false });
    }

    #[test]
    #[should_panic(expected = "a segment does not lie in its buffer of 10 bytes")]
    fn a_segment_outside_its_buffer_panics() {
        let mut end = End::new(&options());
        let data = end.data(10, 0);
        end.endpoint.fetch(Fetch { cookie: 1, data, segments: &[segment(u32::MAX, 11)] });
    }

    #[test]
    #[should_panic(expected = "a segment does not lie in its buffer of 0 bytes")]
    fn a_segment_of_no_buffer_panics() {
        let mut end = End::new(&options());
        let segments = [segment(0, 1)];
        end.endpoint.deliver(Deliver { cookie: 1, data: None, segments: &segments, message: None, solicited: false });
    }

    #[test]
    #[should_panic(expected = "a segment does not lie in its buffer of 10 bytes")]
    fn an_empty_segment_panics() {
        let mut end = End::new(&options());
        let data = end.data(10, 0);
        end.endpoint.fetch(Fetch { cookie: 1, data, segments: &[segment(0, 0)] });
    }

    #[test]
    #[should_panic(expected = "more work than send slots")]
    fn more_work_than_send_slots_panics() {
        let mut end = End::new(&EndpointOptions { sends: 2, ..options() });
        (0..3).for_each(|cookie| end.send(cookie, 10));
    }

    #[test]
    #[should_panic(expected = "more receives than the queue pair was made for")]
    fn more_receives_than_agreed_panic() {
        let mut end = End::new(&options());
        (0..5).for_each(|_| end.post_receive());
    }
}
