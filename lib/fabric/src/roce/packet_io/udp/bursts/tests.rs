use proptest::prelude::*;

use super::*;
use crate::roce::wire::{Aeth, ICRC_LEN, Psn, Syndrome};

const LOCAL: &str = "192.0.2.1:4791";

fn bursts() -> Bursts {
    Bursts::new(LOCAL.parse().unwrap(), true)
}

fn peer(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 4791))
}

fn push(bursts: &mut Bursts, peer: SocketAddr, dest_qp: u32, psn: u32, payload: &[u8]) -> Result<(), NoRoom> {
    bursts.push(peer, &Headers::new(Opcode::SendOnly, dest_qp, Psn::new(psn)), payload)
}

/// Peer, queue pair, PSN and payload.
type Packet = (SocketAddr, u32, u32, Vec<u8>);

/// Takes everything out as the kernel would: the packets, in order, and the sizes of the bursts.
fn send_all(bursts: &mut Bursts) -> (Vec<Packet>, Vec<usize>) {
    let (mut packets, mut sizes) = (Vec::new(), Vec::new());
    while let Some(outgoing) = bursts.front() {
        let flow = Flow::new(LOCAL.parse().unwrap(), outgoing.peer);
        assert!(outgoing.contents.len() <= BURST_BYTES_MAX && outgoing.packets <= SEGMENTS_MAX);
        let cut = outgoing.contents.chunks(outgoing.segment_len.unwrap_or(usize::MAX));
        assert_eq!(cut.len(), outgoing.packets);
        for (ip_id, datagram) in cut.enumerate() {
            assert!(flow.verify(Some(ip_id as u16), datagram), "{ip_id}");
            let (headers, payload) = Headers::parse(&datagram[..datagram.len() - ICRC_LEN]).unwrap();
            packets.push((outgoing.peer, headers.dest_qp, headers.psn.get(), payload.to_vec()));
        }
        sizes.push(outgoing.packets);
        bursts.pop_front();
    }
    (packets, sizes)
}

#[test]
fn equal_packets_and_a_shorter_last_one_are_one_burst() {
    let mut bursts = bursts();
    for (psn, len) in [1024, 1024, 1024, 7, 7].into_iter().enumerate() {
        push(&mut bursts, peer(2), 5, psn as u32, &vec![psn as u8; len]).unwrap();
    }
    let (packets, sizes) = send_all(&mut bursts);
    assert_eq!(sizes, [4, 1]);
    assert_eq!(packets.iter().map(|packet| packet.2).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert_eq!(packets[3].3, [3; 7]);
}

#[test]
fn a_longer_packet_another_queue_pair_or_another_peer_begins_a_burst() {
    let mut bursts = bursts();
    for (psn, (peer_at, qp, len)) in [(2, 5, 8), (2, 5, 12), (2, 6, 12), (3, 6, 12), (3, 6, 12)].into_iter().enumerate()
    {
        push(&mut bursts, peer(peer_at), qp, psn as u32, &vec![0; len]).unwrap();
    }
    assert_eq!(send_all(&mut bursts).1, [1, 1, 1, 2]);
}

#[test]
fn acknowledgements_to_several_queue_pairs_are_one_burst() {
    let mut bursts = bursts();
    push(&mut bursts, peer(2), 5, 0, &[1; 64]).unwrap();
    for qp in 6..9 {
        let aeth = Some(Aeth { syndrome: Syndrome::Ack(31), msn: 1 });
        let acknowledgement = Headers { aeth, ..Headers::new(Opcode::Acknowledge, qp, Psn::new(qp)) };
        bursts.push(peer(2), &acknowledgement, &[]).unwrap();
    }
    push(&mut bursts, peer(2), 8, 9, &[]).unwrap();
    let (packets, sizes) = send_all(&mut bursts);
    assert_eq!(sizes, [2, 2, 1], "the first acknowledgement ends the burst of a longer packet, the others are one");
    assert_eq!(packets.iter().map(|packet| packet.1).collect::<Vec<_>>(), [5, 6, 7, 8, 8]);
}

#[test]
fn bursts_end_at_what_the_kernel_takes() {
    let mut bursts = bursts();
    for psn in 0..70 {
        push(&mut bursts, peer(2), 5, psn, &[]).unwrap();
    }
    for psn in 70..90 {
        push(&mut bursts, peer(2), 5, psn, &[1; 4096]).unwrap();
    }
    assert_eq!(send_all(&mut bursts).1, [64, 6, 15, 5]);
}

#[test]
fn what_does_not_fit_is_refused_and_room_comes_back_when_all_is_sent() {
    let mut bursts = bursts();
    for _ in 0..2 {
        let accepted = (0..).take_while(|&psn| push(&mut bursts, peer(2), 5, psn, &[1; 4096]).is_ok()).count();
        assert_eq!(accepted, BYTES_MAX / 4112);
        bursts.pop_front();
        assert_eq!(push(&mut bursts, peer(2), 5, 0, &[1; 4096]), Err(NoRoom));
        send_all(&mut bursts);
    }
    for psn in 0..BURSTS_MAX as u32 {
        push(&mut bursts, peer(2), psn, psn, &[]).unwrap();
    }
    assert_eq!(push(&mut bursts, peer(2), 5, 0, &[]), Err(NoRoom));
}

#[test]
fn without_offload_waiting_bursts_leave_packet_by_packet() {
    let mut bursts = bursts();
    for psn in 0..5 {
        push(&mut bursts, peer(2), 5, psn, &vec![1; if psn == 4 { 3 } else { 8 }]).unwrap();
    }
    bursts.stop_offload();
    push(&mut bursts, peer(2), 5, 5, &[]).unwrap();
    let (packets, sizes) = send_all(&mut bursts);
    assert_eq!(sizes, [1; 6]);
    assert_eq!(packets.iter().map(|packet| packet.2).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
}

proptest! {
    #[test]
    fn packets_leave_as_they_came_in(
        pushed in prop::collection::vec((0..2u8, 0..2u32, prop_oneof![Just(0usize), Just(256), 0..4096usize]), 1..120),
        offload_stops_after in 0..200usize,
    ) {
        let mut bursts = bursts();
        let mut expected = Vec::new();
        for (psn, (peer_at, qp, len)) in pushed.into_iter().enumerate() {
            if psn == offload_stops_after {
                bursts.stop_offload();
            }
            let payload = vec![psn as u8; len];
            if push(&mut bursts, peer(peer_at), qp, psn as u32, &payload).is_ok() {
                expected.push((peer(peer_at), qp, psn as u32, payload));
            }
        }
        prop_assert_eq!(send_all(&mut bursts).0, expected);
        prop_assert!(bursts.used == 0);
    }
}
