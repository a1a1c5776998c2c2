//! Between two network namespaces that a pair of virtual interfaces joins: AF_XDP on this side, UDP sockets on the other.

use std::net::UdpSocket;

use super::*;
use crate::roce::packet_io::namespaces::*;
use crate::roce::packet_io::testing::*;
use crate::roce::packet_io::{open as open_udp, open_best, open_xdp};
use crate::roce::wire::UDP_PORT;

fn device(address: &str, queues: usize) -> Vec<PacketIo> {
    when_free(|| open_xdp(address.parse().unwrap(), 0, queues)).0
}

fn xdp(queue: &mut PacketIo) -> &mut XdpQueue {
    match queue {
        PacketIo::Xdp(queue) => queue,
        _ => panic!("a reactor's queue"),
    }
}

/// For one reactor, small and large, in one frame chunk and in two.
fn packets() -> Vec<Packet> {
    let sizes = [0, 3, 256, 4096, 4096, 1024, 4000, 4032, 4031, 3800, 4096, 17];
    (0..).zip(sizes).map(|(psn, len)| (0x101, psn, vec![psn as u8; len])).collect()
}

fn send_all(queue: &mut PacketIo, path: &Path, packets: &[Packet]) {
    for (qp, psn, payload) in packets {
        queue.queue(path, &headers(*qp, *psn), payload).unwrap();
    }
    queue.flush();
}

/// Sends there and back, and checks that AF_XDP was used both ways.
fn exchange(rig: &Rig, here: &str, there: &str) {
    let mut device = device(here, 2);
    let mut peer = rig.peer(there);
    let queue = &mut device[1];
    send_all(&mut peer, &route(there, here), &packets());
    assert_eq!(receive(queue, packets().len()), packets());
    assert!(xdp(queue).udp.inbound.neighbours.find(there.parse().unwrap()).is_some(), "it came in frames");
    xdp(queue).transmits = true; // virtual interfaces have no zero copy
    for _ in 0..100 {
        send_all(queue, &route(here, there), &packets());
        assert_eq!(receive(&mut peer, packets().len()), packets());
    }
    assert_eq!(xdp(queue).sent, 100 * packets().len() as u64, "it left in frames");
}

#[test]
fn packets_of_all_sizes_pass_both_ways() {
    for mtu in [9000, 4200] {
        with_rig(mtu, 1, |rig| {
            exchange(rig, HERE, THERE);
            exchange(rig, HERE_V6, THERE_V6);
        });
    }
}

#[test]
fn without_zero_copy_packets_leave_through_the_udp_socket() {
    with_rig(9000, 1, |rig| {
        let mut device = device(HERE, 2);
        let mut peer = rig.peer(THERE);
        send_all(&mut device[1], &route(HERE, THERE), &packets());
        assert_eq!(receive(&mut peer, packets().len()), packets());
        assert_eq!((xdp(&mut device[1]).sent, device[1].counters().sent), (0, packets().len() as u64));
    });
}

#[test]
fn each_reactor_gets_its_packets_whatever_queue_they_come_in_at() {
    for receive_queues in [1, 2, 4] {
        with_rig(9000, receive_queues, |rig| {
            let mut device = device(HERE, 4);
            let mut peer = rig.peer(THERE);
            let to_reactors: Vec<Packet> = (0..60).map(|psn| (0x100 | (psn % 3 + 1), psn, vec![1; 100])).collect();
            send_all(&mut peer, &route(THERE, HERE), &to_reactors);
            let mut received: [Vec<Packet>; 3] = Default::default();
            while received.iter().map(Vec::len).sum::<usize>() < 60 {
                for (queue, received) in device[1..].iter_mut().zip(&mut received) {
                    received.extend(receive_once(queue));
                }
            }
            for (reactor, received) in (1..).zip(received) {
                assert!(received.iter().all(|(qp, ..)| *qp == 0x100 | reactor), "{received:?}");
                assert_eq!(received.len(), 20);
            }
        });
    }
}

#[test]
fn packets_of_the_connection_manager_come_through_the_kernel() {
    with_rig(9000, 1, |rig| {
        let mut device = device(HERE, 2);
        let mut peer = rig.peer(THERE);
        send_all(&mut peer, &route(THERE, HERE), &[(1, 7, vec![2; 256])]);
        for _ in 0..POLLS_PER_LOOK_AT_UDP {
            assert_eq!(receive_once(&mut device[1]), [], "would hand it over");
        }
        assert_eq!(receive(&mut device[0], 1), [(1, 7, vec![2; 256])]);
        assert_eq!(device[1].counters().handed_over, 0);
    });
}

#[test]
fn packets_for_another_address_of_the_interface_are_left_to_it() {
    for (here, other, there) in [(HERE, "10.9.0.5", THERE), (HERE_V6, "fd09::5", THERE_V6)] {
        with_rig(9000, 1, |rig| {
            ip(&format!("addr add {other} dev left{}", if here == HERE { "" } else { " nodad" })).unwrap();
            let mut device = device(here, 2);
            let mut other_device = when_free(|| open_udp(other.parse().unwrap(), 0, 1));
            let mut peer = rig.peer(there);
            send_all(&mut peer, &route(there, other), &packets());
            assert_eq!(receive(&mut other_device[0], packets().len()), packets());
            assert_eq!(receive_once(&mut device[1]), []);
        });
    }
}

#[test]
fn wrong_and_malformed_datagrams_are_dropped_and_counted() {
    with_rig(9000, 1, |rig| {
        let mut device = device(HERE, 2);
        let sender = rig.there(|| UdpSocket::bind((THERE, UDP_PORT))).unwrap();
        rustix::net::sockopt::set_ip_mtu_discover(&sender, rustix::net::sockopt::Ipv4PathMtuDiscovery::DO).unwrap();
        let path = route(HERE, THERE);
        let good = testing_datagram(path, 0x101, 5);
        let mut corrupted = good.clone();
        corrupted[14] ^= 1;
        for bytes in [&corrupted[..], &[0; 15], &[0; 16], &[7; 4200], &good] {
            sender.send_to(bytes, path.local).unwrap();
        }
        assert_eq!(receive(&mut device[1], 1), [(0x101, 5, vec![1; 8])]);
        let counters = device[1].counters();
        assert_eq!((counters.malformed, counters.icrc_errors, counters.received), (1, 2, 1));
        while device[0].counters().malformed == 0 {
            receive_once(&mut device[0]); // what is longer than a packet goes to the kernel
        }
    });
}

fn testing_datagram(path: Path, qp: u32, psn: u32) -> Vec<u8> {
    datagram_bytes(path.peer, path.local, 0, &headers(qp, psn), &[1; 8])
}

#[test]
fn more_than_there_is_room_for_is_lost_and_later_packets_arrive() {
    with_rig(9000, 1, |rig| {
        let mut device = device(HERE, 2);
        let mut peer = rig.peer(THERE);
        let room = device[1].receive_room(4096);
        let burst: Vec<Packet> = (0..room).map(|psn| (0x101, psn, vec![psn as u8; 4096])).collect();
        let send = |peer: &mut PacketIo| burst.chunks(16).for_each(|some| send_all(peer, &route(THERE, HERE), some));
        send(&mut peer);
        assert_eq!(receive(&mut device[1], burst.len()), burst);
        for _ in 0..8 {
            send(&mut peer);
        }
        let arrived = receive(&mut device[1], burst.len());
        assert!(arrived.len() >= burst.len());
        while !receive_once(&mut device[1]).is_empty() {}
        send(&mut peer);
        assert_eq!(receive(&mut device[1], burst.len()), burst);
    });
}

#[test]
fn an_interface_has_one_program() {
    with_rig(9000, 1, |_| {
        let _device = device(HERE, 2);
        let refused = open_xdp(HERE_V6.parse().unwrap(), 0, 2).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy, "{refused}");
    });
}

#[test]
fn the_best_way_over_a_virtual_interface_is_udp_sockets_and_the_reason_is_told() {
    with_rig(9000, 1, |_| {
        let (queues, how) = open_best(HERE.parse().unwrap(), 0, 2).unwrap();
        assert!(queues.iter().all(|queue| matches!(queue, PacketIo::Udp(_))));
        assert!(how.contains("left is a virtual interface"), "{how}");
    });
}
