//! What concerns both directions: errors, completions, congestion, limits.

use super::end::*;
use crate::roce::rc::responder::Responder;
use crate::roce::rc::send_queue::SendQueue;

#[test]
fn an_endpoint_of_a_channel_stays_under_64_kib() {
    let memory = size_of::<Endpoint>() + SendQueue::memory(402) + Responder::memory(132, 16);
    assert!(memory < 64 * 1024, "{memory} bytes");
}

#[test]
#[should_panic(expected = "1500 is no path MTU")]
fn an_mtu_that_the_standard_does_not_know_panics() {
    Endpoint::new(&EndpointOptions { mtu: 1500, ..options() });
}

#[test]
fn a_call_reports_as_much_as_it_was_asked_for() {
    let mut end = End::new(&options());
    (0..4).for_each(|_| end.post_receive());
    (0..3).for_each(|cookie| end.send(cookie, 10));
    assert_eq!(end.endpoint.outstanding(), 7);
    end.endpoint.fail();
    let mut reported = 0;
    assert_eq!(end.endpoint.complete(QP, 5, &mut |_| reported += 1), 5);
    assert_eq!(end.endpoint.complete(QP, 5, &mut |_| reported += 1), 2);
    assert_eq!(end.endpoint.complete(QP, 5, &mut |_| reported += 1), 0);
    assert_eq!((reported, end.endpoint.outstanding(), end.pool.available()), (7, 0, 32));
}

#[test]
fn in_error_it_sends_and_takes_nothing_and_hands_back_what_is_posted() {
    let mut end = End::new(&options());
    end.send(1, 10);
    end.post_receive();
    end.endpoint.fail();
    assert!(end.endpoint.has_failed());
    end.post_receive();
    end.send(2, 10);
    end.fetch(3, 10);
    end.endpoint.keepalive();
    end.request(0, Opcode::SendOnly, &[1, 2, 3]);
    end.acknowledge(0);
    assert!(end.sent().is_empty());
    assert_eq!(end.endpoint.next_deadline(), None);
    let completions = end.completions();
    assert_eq!(completions.iter().filter(|c| matches!(c, Completion::ReceiveFlushed { .. })).count(), 2);
    let flushed = |completion: &&Completion| {
        matches!(
            completion,
            Completion::Delivered { result: Err(WorkError::Flushed), .. }
                | Completion::Fetched { result: Err(WorkError::Flushed), .. }
        )
    };
    assert_eq!(completions.iter().filter(flushed).count(), 3);
    assert_eq!(end.endpoint.outstanding(), 0);
    assert_eq!(end.endpoint.send_slots_free(), 64);
    assert_eq!(end.endpoint.counters(), EndpointCounters::default());
}

#[test]
fn in_error_any_amount_of_work_comes_back() {
    let mut end = End::new(&options());
    end.endpoint.fail();
    for cookie in 0..200 {
        end.send(cookie, 10);
        assert_eq!(end.finished(), [(cookie, Err(WorkError::Flushed))]);
    }
}

#[test]
fn what_arrived_or_was_acknowledged_before_an_error_is_reported_as_such() {
    let mut end = End::new(&options());
    end.post_receive();
    end.request(0, Opcode::SendOnly, &[1, 2, 3]);
    end.send(1, 10);
    end.send(2, 10);
    end.sent();
    end.acknowledge(0);
    end.endpoint.fail();
    let completions = end.completions();
    assert!(matches!(completions[0], Completion::Received { len: 3, .. }));
    assert!(matches!(completions[1], Completion::Delivered { cookie: 1, result: Ok(()), .. }));
    assert!(matches!(completions[2], Completion::Delivered { cookie: 2, result: Err(WorkError::Flushed), .. }));
}

#[test]
fn congestion_is_told_to_the_peer_but_not_too_often() {
    let mut end = End::new(&options());
    end.post_receive();
    let marked = request(0, Opcode::SendOnly, &[1]);
    let take = |end: &mut End| {
        end.endpoint.on_packet(end.now, &marked.headers, &marked.payload, true, &mut end.exposed);
        end.sent().into_iter().filter(|packet| packet.headers.opcode == Opcode::Cnp).collect::<Vec<_>>()
    };
    let first = take(&mut end);
    assert_eq!((first.len(), first[0].payload.as_slice()), (1, &[0; 16][..]));
    end.now += 49 * MICROSECOND;
    assert!(take(&mut end).is_empty());
    assert_eq!(end.endpoint.next_deadline(), Some(end.now + MICROSECOND));
    let late = end.sent_at_deadline();
    assert_eq!(late.iter().filter(|packet| packet.headers.opcode == Opcode::Cnp).count(), 1);
    assert_eq!(end.endpoint.counters().cnp_out, 2);
}

#[test]
fn a_notification_waits_for_room_and_is_not_answered_by_one() {
    let mut end = End::new(&options());
    let cnp = Headers::new(Opcode::Cnp, LOCAL_QPN, Psn::new(0));
    end.endpoint.on_packet(end.now, &cnp, &[0; 16], true, &mut end.exposed);
    assert!(end.sent().is_empty());
    assert_eq!(end.endpoint.counters().cnp_in, 1);
    end.post_receive();
    let marked = request(0, Opcode::SendOnly, &[1]);
    end.endpoint.on_packet(end.now, &marked.headers, &marked.payload, true, &mut end.exposed);
    assert!(end.sent_with(0, 0).1);
    assert_eq!(end.sent()[0].headers.opcode, Opcode::Cnp);
}

#[test]
fn datagrams_and_other_strays_are_counted() {
    let mut end = End::new(&options());
    end.request(0, Opcode::UdSendOnly, &[]);
    assert_eq!(end.endpoint.counters().unexpected, 1);
    assert!(end.sent().is_empty());
}
