//! Over the loopback interface, whose every address from 127.0.0.0/8 is local.

use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::roce::packet_io::PacketIo;
use crate::roce::packet_io::namespaces::*;
use crate::roce::packet_io::testing::*;
use crate::roce::wire::UDP_PORT;

/// An address that no other test uses, nor another process that runs these tests.
fn an_address() -> IpAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high, low, NEXT.fetch_add(1, Ordering::Relaxed)).into()
}

fn device(address: IpAddr, queues: usize) -> Vec<PacketIo> {
    when_free(|| super::super::open(address, 0, queues))
}

fn single(address: IpAddr) -> PacketIo {
    device(address, 1).pop().unwrap()
}

#[test]
fn packets_of_all_sizes_arrive_in_order_both_ways() {
    let (here, there) = (an_address(), an_address());
    let (mut left, mut right) = (single(here), single(there));
    let sizes = [0, 1, 2, 3, 4, 256, 256, 256, 1024, 1024, 4096, 4096, 4096, 4095, 5, 4096, 12, 12];
    let expected: Vec<Packet> = (0..).zip(sizes).map(|(psn, len)| (7, psn, vec![psn as u8; len])).collect();
    let exchange = |path: Path, from: &mut PacketIo, to: &mut PacketIo| {
        for (qp, psn, payload) in &expected {
            from.queue(&path, &headers(*qp, *psn), payload).unwrap();
        }
        from.flush();
        assert_eq!(receive(to, expected.len()), expected);
        assert_eq!(from.counters().sent, expected.len() as u64);
        assert_eq!(to.counters().received, expected.len() as u64);
    };
    exchange(path(here, there), &mut left, &mut right);
    exchange(path(there, here), &mut right, &mut left);
}

#[test]
fn ipv6_works_as_well() {
    let here = IpAddr::from(Ipv6Addr::LOCALHOST);
    let mut queue = single(here);
    let expected: Vec<Packet> = (0..40).map(|psn| (7, psn, vec![psn as u8; 4096])).collect();
    for (qp, psn, payload) in &expected {
        queue.queue(&path(here, here), &headers(*qp, *psn), payload).unwrap();
    }
    queue.flush();
    assert_eq!(receive(&mut queue, 40), expected);
}

#[test]
fn the_path_names_both_ends_with_the_port_that_they_listen_at() {
    let (here, there) = (an_address(), an_address());
    let mut queue = single(here);
    let sender = UdpSocket::bind((there, 0)).unwrap(); // from any port, as soft-RoCE
    let (source, destination) = (sender.local_addr().unwrap(), SocketAddr::new(here, UDP_PORT));
    sender.send_to(&datagram_bytes(source, destination, 0, &headers(7, 0), &[]), destination).unwrap();
    let mut paths = Vec::new();
    while paths.is_empty() {
        queue.receive(&mut |arrived| paths.push(arrived.path));
    }
    assert_eq!(paths, [path(here, there)]);
}

#[test]
fn packets_reach_the_queue_of_their_queue_pair() {
    let (here, there) = (an_address(), an_address());
    let (mut sender, mut receivers) = (single(here), device(there, 4));
    let to_queue = [(1, 0), (0x101, 1), (0x100, 0), (0x102, 2), (0xab_cd03, 3), (0x104, 0), (0xff_ffff, 0), (3, 3)];
    for (psn, (qp, _)) in to_queue.into_iter().enumerate() {
        sender.queue(&path(here, there), &headers(qp, psn as u32), &[psn as u8]).unwrap();
    }
    sender.flush();
    for (at, queue) in receivers.iter_mut().enumerate() {
        let expected = to_queue.into_iter().enumerate().filter(|(_, (_, queue))| *queue == at);
        let expected: Vec<Packet> = expected.map(|(psn, (qp, _))| (qp, psn as u32, vec![psn as u8])).collect();
        assert_eq!(receive(queue, expected.len()), expected, "queue {at}");
    }
    assert!(receivers.iter().all(|queue| queue.counters().handed_over == 0), "the kernel brought them there");
}

#[test]
fn packets_that_were_merged_with_those_of_another_queue_are_handed_over() {
    let (here, there) = (an_address(), an_address());
    let mut receivers = device(here, 3);
    let sender = Socket::from(UdpSocket::bind((there, 0)).unwrap());
    let _unfragmented = UdpSocketState::new((&sender).into()).unwrap();
    let source = sender.local_addr().unwrap().as_socket().unwrap();
    let destination = SocketAddr::new(here, UDP_PORT);
    let packet = |ip_id, qp| datagram_bytes(source, destination, ip_id, &headers(qp, ip_id.into()), &[3; 8]);
    let contents = [packet(0, 0x101), packet(1, 0x102), packet(2, 0x101)].concat();
    let burst = Outgoing { peer: destination, contents: &contents, segment_len: Some(contents.len() / 3), packets: 3 };
    send(&sender, &burst).unwrap();
    assert_eq!(receive(&mut receivers[1], 2), [(0x101, 0, vec![3; 8]), (0x101, 2, vec![3; 8])]);
    assert_eq!(receive(&mut receivers[2], 1), [(0x102, 1, vec![3; 8])]);
    assert_eq!((receivers[1].counters().handed_over, receivers[2].counters().received), (1, 1));
}

#[test]
fn many_packets_come_in_one_message() {
    let (here, there) = (an_address(), an_address());
    let (mut sender, mut receiver) = (single(here), single(there));
    for psn in 0..200 {
        sender.queue(&path(here, there), &headers(7, psn), &[0; 32]).unwrap();
    }
    sender.flush();
    let mut first_batch = 0;
    while first_batch == 0 {
        first_batch = receiver.receive(&mut |_| ());
    }
    assert!(first_batch > BATCH_SIZE, "{first_batch}");
}

#[test]
fn wrong_and_malformed_datagrams_are_dropped_and_counted() {
    let (here, there) = (an_address(), an_address());
    let mut queue = single(here);
    let sender = UdpSocket::bind((there, UDP_PORT)).unwrap();
    let (source, destination) = (sender.local_addr().unwrap(), SocketAddr::new(here, UDP_PORT));
    let good = datagram_bytes(source, destination, 0, &headers(7, 5), &[1; 100]);
    let mut corrupted = good.clone();
    corrupted[50] ^= 1;
    for bytes in [&[][..], &[1], &[0; 15], &vec![0; 4200], &vec![7; 60_000], &corrupted, &[0; 16], &good] {
        sender.send_to(bytes, destination).unwrap();
    }
    assert_eq!(receive(&mut queue, 1), [(7, 5, vec![1; 100])]);
    let counters = queue.counters();
    assert_eq!((counters.malformed, counters.icrc_errors, counters.received), (5, 2, 1));
}

#[test]
fn congestion_is_reported_of_single_and_of_merged_packets() {
    for [here, there] in [[an_address(), an_address()], [Ipv6Addr::LOCALHOST.into(); 2]] {
        let mut queue = single(here);
        let sender = Socket::from(UdpSocket::bind((there, 0)).unwrap());
        let _unfragmented = UdpSocketState::new((&sender).into()).unwrap();
        let source = sender.local_addr().unwrap().as_socket().unwrap();
        let destination = SocketAddr::new(here, UDP_PORT);
        for traffic_class in [0b10, 0b11] {
            if here.is_ipv4() {
                rustix::net::sockopt::set_ip_tos(&sender, traffic_class).unwrap();
            } else {
                rustix::net::sockopt::set_ipv6_tclass(&sender, traffic_class.into()).unwrap();
            }
            let packet = |ip_id| datagram_bytes(source, destination, ip_id, &headers(7, 0), &[]);
            let (one, two) = (packet(0), [packet(0), packet(1)].concat());
            let segment_len = Some(one.len());
            send(&sender, &Outgoing { peer: destination, contents: &one, segment_len: None, packets: 1 }).unwrap();
            send(&sender, &Outgoing { peer: destination, contents: &two, segment_len, packets: 2 }).unwrap();
        }
        let mut reported = Vec::new();
        while reported.len() < 6 {
            queue.receive(&mut |arrived| reported.push(arrived.congested));
        }
        assert_eq!(reported, [false, false, false, true, true, true], "{here}");
    }
}

#[test]
fn what_is_sent_is_marked_for_lossless_networks_that_mark_congestion() {
    let (here, there) = (an_address(), an_address());
    let mut sender = single(here);
    let receiver = UdpSocket::bind((there, UDP_PORT)).unwrap();
    let state = UdpSocketState::new((&receiver).into()).unwrap();
    options::no_timestamps(&receiver).unwrap();
    for _ in 0..2 {
        sender.queue(&path(here, there), &headers(7, 0), &[]).unwrap();
    }
    sender.flush();
    let (mut bytes, mut meta) = ([0; 64], [RecvMeta::default()]);
    while state.recv((&receiver).into(), &mut [IoSliceMut::new(&mut bytes)], &mut meta).is_err() {}
    assert_eq!(meta[0].ecn, Some(EcnCodepoint::Ect0));
    let PacketIo::Udp(sender) = sender else { panic!("not a UDP socket") };
    assert_eq!(rustix::net::sockopt::ip_tos(&sender.socket).unwrap() >> 2, 26);
}

/// All different queue pairs, so that each packet is a datagram of its own in the receive buffer.
fn flood(sender: &mut PacketIo, path: &Path, packets: u32, payload: &[u8]) {
    for psn in 0..packets {
        while sender.queue(path, &headers(psn << 8, psn), payload).is_err() {}
    }
    sender.flush();
}

#[test]
fn as_many_packets_as_there_is_room_for_wait_in_the_socket() {
    for payload in [vec![1; 4096], vec![2; 1024], vec![3; 256]] {
        let (here, there) = (an_address(), an_address());
        let (mut sender, mut receiver) = (single(here), single(there));
        let room = receiver.receive_room(payload.len());
        assert!(room > 16, "{room}");
        flood(&mut sender, &path(here, there), room, &payload);
        assert_eq!(receive(&mut receiver, room as usize).len(), room as usize);
    }
}

#[test]
fn what_comes_when_the_socket_is_full_is_lost_and_later_packets_arrive() {
    let (here, there) = (an_address(), an_address());
    let (mut sender, mut receiver) = (single(here), single(there));
    let many = 4 * receiver.receive_room(4096);
    flood(&mut sender, &path(here, there), many, &[1; 4096]);
    assert_eq!(sender.counters().sent, many.into());
    let mut arrived = 0;
    loop {
        match receiver.receive(&mut |_| ()) {
            0 => break,
            packets => arrived += packets,
        }
    }
    assert!(arrived > 0 && arrived < many as usize, "{arrived} of {many}");
    flood(&mut sender, &path(here, there), 1, &[2; 8]);
    assert_eq!(receive(&mut receiver, 1), [(0, 0, vec![2; 8])]);
}

/// A packet to an address that nobody has answered for is waited for in the kernel, and occupies the send buffer.
#[test]
fn what_the_send_buffer_has_no_room_for_waits_and_leaves_in_order() {
    with_rig(9000, 1, |rig| {
        let mut sender = single(HERE.parse().unwrap());
        let PacketIo::Udp(queue) = &mut sender else { panic!("not a UDP socket") };
        queue.socket.set_send_buffer_size(1).unwrap(); // the least that the kernel allows
        let late = "10.9.0.99";
        let queued = (0..).take_while(|&psn| sender.queue(&route(HERE, late), &headers(7, psn), &[1; 4096]).is_ok());
        let mut psn = queued.count() as u32;
        assert!((63..1000).contains(&psn), "{psn}");
        sender.flush();
        assert_eq!(sender.queue(&route(HERE, late), &headers(7, psn), &[1; 4096]), Err(NoRoom));
        rig.there(|| ip("addr add 10.9.0.99/24 dev right")).unwrap();
        let mut receiver = rig.peer(late);
        let mut received = Vec::new();
        let give_up = Instant::now() + Duration::from_secs(60);
        while received.len() < 3000 && Instant::now() < give_up {
            while psn < 3000 && sender.queue(&route(HERE, late), &headers(7, psn), &[1; 4096]).is_ok() {
                psn += 1;
            }
            sender.flush();
            received.extend(receive_once(&mut receiver).into_iter().map(|(_, psn, _)| psn));
        }
        assert_eq!(received, (0..3000).collect::<Vec<_>>());
        assert_eq!(sender.counters().send_errors, 0);
    });
}

#[test]
fn packets_that_cannot_be_sent_are_counted_and_dropped() {
    let (here, there) = (an_address(), an_address());
    let mut sender = single(here);
    let elsewhere = path(here, "192.0.2.1".parse().unwrap()); // not from a loopback address
    for psn in 0..3 {
        sender.queue(&elsewhere, &headers(7, psn), &[0; 8]).unwrap();
    }
    sender.queue(&path(here, there), &headers(7, 3), &[0; 8]).unwrap();
    sender.flush();
    let counters = sender.counters();
    assert_eq!((counters.send_errors, counters.sent), (3, 1));
}

#[test]
fn a_port_that_another_has_is_in_use() {
    let address = an_address();
    let other = UdpSocket::bind((address, UDP_PORT)).unwrap();
    let refused = super::super::open(address, 0, 2).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    assert!(refused.to_string().contains(&format!("{address}:4791 is in use")), "{refused}");
    drop(other);
    let _device = device(address, 2);
    let again = super::super::open(address, 0, 2).unwrap_err();
    assert_eq!(again.kind(), io::ErrorKind::AddrInUse, "a second device may not join the first one's sockets");
}

#[test]
fn no_device_without_an_address_of_its_own_or_with_too_many_queues() {
    for (address, queues) in [("0.0.0.0", 1), ("::", 1), ("224.0.0.1", 1), ("127.0.0.1", 0), ("127.0.0.1", 257)] {
        let refused = super::super::open(address.parse().unwrap(), 0, queues).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{address} {queues}");
    }
    let elsewhere = super::super::open("192.0.2.1".parse().unwrap(), 0, 1).unwrap_err();
    assert_eq!(elsewhere.kind(), io::ErrorKind::AddrNotAvailable);
}
