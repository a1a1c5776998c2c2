//! What is checked, one function each.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use fabric::{
    Completion, ControlEvent, Deliver, FabricError, Fetch, GroupId, ListenerState, QueuePair, QueuePairSizes,
    SEGMENTS_MAX, Segment, Segments, WorkError,
};

use hugepage_setup::AllocationRequest;
use mem::{Pool, PoolLayout, Region};

use crate::client::{Client, ClientEvent, MEMORY};
use crate::rig::{BUFFER, Pair, Rig, SIZES, open_files, random};

type Scenario = fn(&mut Rig);

/// Name, whether it runs when none is named, and the scenario.
pub const ALL: &[(&str, bool, Scenario)] = &[
    ("private_data_and_reject", true, private_data_and_reject),
    ("accept_and_messages", true, accept_and_messages),
    ("read_and_write_lists", true, read_and_write_lists),
    ("message_before_established", true, message_before_established),
    ("initiator_disconnects", true, initiator_disconnects),
    ("target_disconnects_under_load", true, target_disconnects_under_load),
    ("bad_key", true, bad_key),
    ("message_too_long", true, message_too_long),
    ("never_accepted", true, never_accepted),
    ("rejected_with_queue_pair", true, rejected_with_queue_pair),
    ("initiator_gives_up", true, initiator_gives_up),
    ("destroyed_without_goodbye", true, destroyed_without_goodbye),
    ("keepalive", true, keepalive),
    ("more_than_one_completion_queue", true, more_than_one_completion_queue),
    ("too_large_for_the_device", true, too_large_for_the_device),
    ("listeners", true, listeners),
    ("fifty_connections", true, fifty_connections),
    ("storm", true, storm),
    ("two_threads", true, two_threads),
    ("memory_may_not_be_pinned", false, memory_may_not_be_pinned),
    ("device_appears", false, device_appears),
    ("device_removed", false, device_removed),
];

fn private_data_and_reject(rig: &mut Rig) {
    rig.listen();
    let data: Vec<u8> = (1..=56).collect();
    let mut client = Client::connect(rig.address, &data);
    let (connection, request) = rig.request();
    assert_eq!(&request.private_data[..], &data[..]);
    assert_eq!(request.reads_served, 4);
    assert_eq!(request.local, rig.address);
    assert_eq!(request.peer.ip(), rig.address.ip()); // both ends are here
    assert_ne!(request.peer.port(), rig.address.port());
    assert!(request.device_reads_max >= 4 && !request.device.is_empty(), "{request:?}");
    rig.control.reject(connection, &[0xC2; 32]);
    let ClientEvent::Rejected { reason, private_data } = rig.client_event(&mut client) else { panic!("accepted?") };
    assert_eq!(reason, 28, "consumer defined");
    assert!(private_data.starts_with(&[0xC2; 32]), "{private_data:?}");
    rig.control.destroy(connection, None);
}

fn accept_and_messages(rig: &mut Rig) {
    rig.listen();
    let mut pair = rig.connect(&[7; 56], &[0xC0; 52]);
    for round in 0..100_u32 {
        let len = 1 + random(4000);
        pair.client.memory[..len].fill(round as u8);
        pair.client.send(len);
        let Completion::Received { qp, buf, len: received } = rig.completion() else { panic!("not a message") };
        assert_eq!((qp, received as usize), (pair.qp, len));
        assert!(buf.bytes()[..len].iter().all(|&byte| byte == round as u8));
        rig.group.post_receive(qp, buf);
        let answer: Vec<u8> = (0..1 + random(300)).map(|n| n as u8 ^ round as u8).collect();
        let message = Some(rig.io_buf(&answer));
        let solicited = round % 2 == 0;
        let cookie = u64::from(round);
        rig.group.deliver(qp, Deliver { cookie, data: None, segments: &[], message, solicited });
        let Completion::Delivered { cookie, result, .. } = rig.completion() else { panic!("not delivered") };
        assert_eq!((cookie, result), (u64::from(round), Ok(())));
        let got = rig.until("the answer", |_| pair.client.next_message());
        assert_eq!(got, answer);
    }
    hang_up(rig, pair);
}

fn read_and_write_lists(rig: &mut Rig) {
    rig.listen();
    let mut pair = rig.connect(&[7; 56], &[0xC0; 52]);
    for round in 0..40_u64 {
        for (n, byte) in pair.client.memory.iter_mut().enumerate() {
            *byte = (n as u64 ^ n as u64 >> 8 ^ round) as u8;
        }
        let segments = scattered(&pair.client, 1 + random(SEGMENTS_MAX));
        rig.group.fetch(pair.qp, Fetch { cookie: round, data: rig.io_buf(&[0; BUFFER]), segments: &segments });
        let Completion::Fetched { data, result, .. } = rig.completion() else { panic!("not fetched") };
        assert_eq!(result, Ok(()));
        for segment in &segments {
            let remote = (segment.remote_addr - pair.client.addr()) as usize;
            let wanted = &pair.client.memory[remote..][..segment.len as usize];
            assert_eq!(&data.bytes()[segment.local_offset as usize..][..segment.len as usize], wanted, "{segment:?}");
        }
        pair.client.memory.fill(0);
        let message = Some(rig.io_buf(b"done"));
        let deliver = Deliver { cookie: round, data: Some(data), segments: &segments, message, solicited: true };
        rig.group.deliver(pair.qp, deliver);
        // The initiator sees the data when it sees the message, whether or not the target saw its completion.
        assert_eq!(rig.until("the message", |_| pair.client.next_message()), b"done");
        let Completion::Delivered { data, result, .. } = rig.completion() else { panic!("not delivered") };
        assert_eq!(result, Ok(()));
        let data = data.expect("it comes back");
        for segment in &segments {
            let remote = (segment.remote_addr - pair.client.addr()) as usize;
            let wanted = &data.bytes()[segment.local_offset as usize..][..segment.len as usize];
            assert_eq!(&pair.client.memory[remote..][..segment.len as usize], wanted, "{segment:?}");
        }
        let written: usize = segments.iter().map(|segment| segment.len as usize).sum();
        let touched = pair.client.memory.iter().filter(|&&byte| byte != 0).count();
        assert!(touched <= written, "bytes beyond the segments were written");
    }
    hang_up(rig, pair);
}

/// A message may arrive before the target is told that the connection is established, and even before `accept` returned to the
/// one who polls.
fn message_before_established(rig: &mut Rig) {
    rig.listen();
    let mut client = Client::connect(rig.address, &[1; 56]);
    let (connection, request) = rig.request();
    let qp = rig.prepare(connection);
    rig.accept(connection, &request, &[2; 52]);
    // The client alone goes on: the target's control side does not look.
    let event = loop {
        if let Some(event) = client.next_event() {
            break event;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    assert!(matches!(event, ClientEvent::Established { .. }), "{event:?}");
    client.send(48);
    let mut received = None;
    while received.is_none() {
        rig.group.poll(0, &mut |completion| received = Some(completion));
    }
    let Some(Completion::Received { len: 48, buf, .. }) = received else { panic!("{received:?}") };
    drop(buf);
    rig.established(connection);
    hang_up(rig, Pair { client, connection, qp });
}

fn initiator_disconnects(rig: &mut Rig) {
    rig.listen();
    let mut pair = rig.connect(&[7; 56], &[0xC0; 52]);
    pair.client.disconnect();
    assert_eq!(rig.disconnected(pair.connection), "the initiator disconnected");
    let back = rig.bury(pair.connection, pair.qp);
    assert_eq!(back.len(), SIZES.receives as usize);
    assert!(back.iter().all(|completion| matches!(completion, Completion::ReceiveFlushed { .. })));
    assert_eq!(rig.client_event(&mut pair.client), ClientEvent::Disconnected, "a DREP");
}

fn target_disconnects_under_load(rig: &mut Rig) {
    rig.listen();
    let mut pair = rig.connect(&[7; 56], &[0xC0; 52]);
    let mut posted = 0;
    for cookie in 0..3 {
        let segments = scattered(&pair.client, 30);
        rig.group.fetch(pair.qp, Fetch { cookie, data: rig.io_buf(&[0; BUFFER]), segments: &segments });
        posted += 1;
    }
    rig.group.ring();
    // Queued, and never rung for before the end:
    let message = Some(rig.io_buf(b"never sent"));
    let deliver = Deliver { cookie: 9, data: None, segments: &[], message, solicited: false };
    rig.group.deliver(pair.qp, deliver);
    posted += 1;
    rig.control.disconnect(pair.connection);
    rig.control.disconnect(pair.connection); // nothing more happens
    assert_eq!(rig.disconnected(pair.connection), "closed by this side");
    let back = rig.bury(pair.connection, pair.qp);
    assert_eq!(back.len(), SIZES.receives as usize + posted);
    let failed = |completion: &&Completion| matches!(completion, Completion::Delivered { result: Err(_), .. });
    assert_eq!(back.iter().filter(failed).count(), 1);
    assert_eq!(rig.client_event(&mut pair.client), ClientEvent::Disconnected);
}

fn bad_key(rig: &mut Rig) {
    rig.listen();
    let mut pair = rig.connect(&[7; 56], &[0xC0; 52]);
    let mut segments = scattered(&pair.client, 5);
    segments[2].rkey ^= 0x55;
    rig.group.fetch(pair.qp, Fetch { cookie: 1, data: rig.io_buf(&[0; BUFFER]), segments: &segments });
    let message = Some(rig.io_buf(b"behind it"));
    let deliver = Deliver { cookie: 2, data: None, segments: &[], message, solicited: false };
    rig.group.deliver(pair.qp, deliver);
    // Without anybody disconnecting: the first failure makes everything come back, receives too.
    let back = rig.until("everything to come back", |rig| {
        (rig.group.outstanding(pair.qp) == 0).then(|| std::mem::take(&mut rig.completions))
    });
    assert_eq!(back.len(), SIZES.receives as usize + 2);
    let fetched = |completion: &&Completion| match completion {
        Completion::Fetched { cookie, result, .. } => (*cookie, *result) == (1, Err(WorkError::RemoteAccess)),
        _ => false,
    };
    let delivered =
        |completion: &&Completion| matches!(completion, Completion::Delivered { result: Err(WorkError::Flushed), .. });
    assert_eq!(back.iter().filter(fetched).count(), 1, "{back:?}");
    assert_eq!(back.iter().filter(delivered).count(), 1, "{back:?}");
    rig.control.disconnect(pair.connection);
    rig.disconnected(pair.connection);
    rig.bury(pair.connection, pair.qp);
    rig.client_event(&mut pair.client);
}

fn message_too_long(rig: &mut Rig) {
    rig.listen();
    let mut pair = rig.connect(&[7; 56], &[0xC0; 52]);
    pair.client.send(BUFFER + 1);
    let completion = rig.completion();
    assert!(matches!(completion, Completion::ReceiveFlushed { .. }), "{completion:?}");
    drop(completion);
    rig.control.disconnect(pair.connection);
    rig.disconnected(pair.connection);
    rig.bury(pair.connection, pair.qp);
    rig.client_event(&mut pair.client);
}

/// INIT to error: the receives were posted, and nobody ever accepted.
fn never_accepted(rig: &mut Rig) {
    rig.listen();
    let mut client = Client::connect(rig.address, &[7; 56]);
    let (connection, _) = rig.request();
    let qp = rig.prepare(connection);
    rig.control.disconnect(connection);
    rig.disconnected(connection);
    let back = rig.bury(connection, qp);
    assert_eq!(back.len(), SIZES.receives as usize);
    let event = rig.client_event(&mut client);
    assert!(matches!(event, ClientEvent::Rejected { .. }), "destroying is a rejection: {event:?}");
}

fn rejected_with_queue_pair(rig: &mut Rig) {
    rig.listen();
    let mut client = Client::connect(rig.address, &[7; 56]);
    let (connection, _) = rig.request();
    let qp = rig.prepare(connection);
    rig.control.reject(connection, &[0xC2; 32]);
    rig.bury(connection, qp);
    let event = rig.client_event(&mut client);
    assert!(matches!(event, ClientEvent::Rejected { reason: 28, .. }), "{event:?}");
}

/// The initiator is gone before the target answers.
fn initiator_gives_up(rig: &mut Rig) {
    rig.listen();
    let client = Client::connect(rig.address, &[7; 56]);
    let (connection, request) = rig.request();
    let qp = rig.prepare(connection);
    drop(client);
    rig.run_for(Duration::from_millis(200));
    let reads_max = request.reads_served;
    let private_data = fabric::PrivateData::new();
    // Whether the target heard of it yet is a matter of time; both must end well.
    let accepted = rig.control.accept(connection, &fabric::AcceptParameters { reads_max, private_data });
    println!("  accepting: {accepted:?}");
    println!("  ended: {}", rig.disconnected(connection));
    rig.bury(connection, qp);
}

fn destroyed_without_goodbye(rig: &mut Rig) {
    rig.listen();
    let mut pair = rig.connect(&[7; 56], &[0xC0; 52]);
    // Destroyed while the poll group has the queue pair: it ends, flushes, and goes when it is released.
    rig.control.destroy(pair.connection, None);
    rig.until("everything to come back", |rig| (rig.group.outstanding(pair.qp) == 0).then_some(()));
    drop(rig.group.release(pair.qp));
    rig.completions.clear();
    assert_eq!(rig.client_event(&mut pair.client), ClientEvent::Disconnected);
}

fn keepalive(rig: &mut Rig) {
    rig.listen();
    let pair = rig.connect(&[7; 56], &[0xC0; 52]);
    for _ in 0..10 {
        rig.group.keepalive(pair.qp);
        rig.group.ring();
        rig.until("the keepalive", |rig| (rig.group.outstanding(pair.qp) == SIZES.receives as usize).then_some(()));
        assert!(rig.completions.is_empty());
    }
    hang_up(rig, pair);
}

/// Queue pairs that together need more than the first completion queue has.
fn more_than_one_completion_queue(rig: &mut Rig) {
    rig.listen();
    let mut open = Vec::new();
    for n in 0..12 {
        let mut client = Client::connect(rig.address, &[7; 56]);
        let (connection, request) = rig.request();
        let sizes = QueuePairSizes { receives: 2048, sends: 2047 };
        let queue_pair = rig.control.create_queue_pair(connection, GroupId(0), sizes).expect("a queue pair");
        let qp = rig.group.adopt(queue_pair);
        let buf = rig.buf();
        rig.group.post_receive(qp, buf);
        rig.group.ring();
        rig.accept(connection, &request, &[n]);
        rig.client_event(&mut client);
        rig.established(connection);
        client.send(1 + usize::from(n));
        let Completion::Received { qp: on, len, .. } = rig.completion() else { panic!("not a message") };
        assert_eq!((on, len), (qp, 1 + u32::from(n)));
        open.push((client, connection, qp));
    }
    for (mut client, connection, qp) in open {
        client.disconnect();
        rig.disconnected(connection);
        rig.until("everything to come back", |rig| (rig.group.outstanding(qp) == 0).then_some(()));
        let queue_pair = rig.group.release(qp);
        rig.control.destroy(connection, Some(queue_pair));
    }
}

fn too_large_for_the_device(rig: &mut Rig) {
    rig.listen();
    let mut client = Client::connect(rig.address, &[7; 56]);
    let (connection, _) = rig.request();
    let sizes = QueuePairSizes { receives: 10_000_000, sends: 128 };
    let error = rig.control.create_queue_pair(connection, GroupId(0), sizes).expect_err("too large");
    println!("  {error}");
    assert!(matches!(error, FabricError::DeviceLimit { .. }));
    rig.control.reject(connection, &[0xC2; 32]);
    rig.client_event(&mut client);
    rig.control.destroy(connection, None);
}

fn listeners(rig: &mut Rig) {
    rig.listen();
    let again = rig.control.listen(rig.address).expect_err("taken");
    println!("  {again}");
    let any = std::net::SocketAddr::new([0, 0, 0, 0].into(), rig.address.port());
    assert!(matches!(rig.control.listen(any), Err(FabricError::AddressInUse { .. })));
    let elsewhere = rig.control.listen("192.0.2.77:5555".parse().expect("an address")).expect("it may come");
    let ListenerState::Waiting(why) = rig.control.listener_state(elsewhere) else { panic!("how?") };
    println!("  192.0.2.77: {why}");
    rig.control.unlisten(elsewhere);
    let any6 = "[::]:5556".parse().expect("an address");
    let wildcard = rig.control.listen(any6).expect("free");
    assert_eq!(rig.control.listener_state(wildcard), ListenerState::Listening);
    let mut client = Client::connect(std::net::SocketAddr::new(rig.address.ip(), 5556), &[1; 56]);
    let (connection, request) = rig.request();
    assert_eq!((request.listener, request.peer.ip()), (wildcard, rig.address.ip()));
    rig.control.destroy(connection, None);
    rig.client_event(&mut client);
    // A request that nobody looked at yet dies with its listener; the next one finds nobody.
    let mut early = Client::connect(rig.address, &[1; 56]);
    rig.control.unlisten(rig.listener.take().expect("listening"));
    let event = rig.client_event(&mut early);
    assert!(matches!(event, ClientEvent::Rejected { .. }), "{event:?}");
    let mut late = Client::connect(rig.address, &[1; 56]);
    let event = rig.client_event(&mut late);
    assert!(matches!(event, ClientEvent::Rejected { reason: 8, .. }), "invalid service id: {event:?}");
    rig.control.unlisten(wildcard);
    let ListenerState::Waiting(why) = rig.control.listener_state(wildcard) else { panic!("how?") };
    println!("  deleted: {why}");
}

fn fifty_connections(rig: &mut Rig) {
    rig.listen();
    let mut files = Vec::new();
    for round in 0..50 {
        let mut pair = rig.connect(&[7; 56], &[0xC0; 52]);
        if round % 2 == 0 {
            pair.client.disconnect();
        } else {
            rig.control.disconnect(pair.connection);
        }
        rig.disconnected(pair.connection);
        rig.bury(pair.connection, pair.qp);
        drop(pair);
        files.push(open_files());
    }
    assert!(files[10..].iter().all(|&count| count == files[10]), "{files:?}");
}

/// Several connections, random work, random ends.
fn storm(rig: &mut Rig) {
    rig.listen();
    for _ in 0..6 {
        let mut pairs: Vec<Pair> = (0..4).map(|_| rig.connect(&[7; 56], &[0xC0; 52])).collect();
        for _ in 0..150 {
            let pair = &pairs[random(pairs.len())];
            let qp = pair.qp;
            let free = rig.group.send_slots_free(qp);
            match random(4) {
                0 if free > 16 => {
                    let segments = scattered(&pair.client, 1 + random(16));
                    let data = rig.io_buf(&[1; BUFFER]);
                    rig.group.fetch(qp, Fetch { cookie: 1, data, segments: &segments });
                }
                1 if free > 17 => {
                    let segments = scattered(&pair.client, random(16));
                    let data = (!segments.is_empty()).then(|| rig.io_buf(&[1; BUFFER]));
                    let message = Some(rig.io_buf(&[2; 36]));
                    rig.group.deliver(qp, Deliver { cookie: 2, data, segments: &segments, message, solicited: false });
                }
                2 => rig.group.keepalive(qp),
                _ => {}
            }
            rig.step();
            for pair in &mut pairs {
                while pair.client.next_message().is_some() {}
            }
            for completion in std::mem::take(&mut rig.completions) {
                match completion {
                    Completion::Fetched { result, .. } | Completion::Delivered { result, .. } => {
                        assert_eq!(result, Ok(()));
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        for mut pair in pairs {
            let segments = scattered(&pair.client, 30);
            rig.group.fetch(pair.qp, Fetch { cookie: 3, data: rig.io_buf(&[0; BUFFER]), segments: &segments });
            if random(2) == 0 {
                rig.group.ring();
            }
            match random(3) {
                0 => pair.client.disconnect(),
                1 => rig.control.disconnect(pair.connection),
                _ => drop(pair.client),
            }
            rig.disconnected(pair.connection);
            rig.bury(pair.connection, pair.qp);
        }
    }
}

/// As in the target: the poll group on a thread of its own, queue pairs and their ends passed by messages.
fn two_threads(rig: &mut Rig) {
    rig.listen();
    let region = Region::new(hugepage_setup::allocate(&AllocationRequest::new(1 << 20)).expect("memory"));
    rig.control.add_region(Arc::clone(&region));
    let mut group = rig.control.create_poll_group(GroupId(1));
    let (to_reactor, from_control) = mpsc::channel::<Option<QueuePair>>();
    let (to_control, from_reactor) = mpsc::channel::<Option<QueuePair>>();
    let reactor = std::thread::spawn(move || {
        let pool = Pool::new(region, PoolLayout { offset: 0, stride: 4096, size: 4096, count: 64 });
        let mut live = Vec::new();
        loop {
            match from_control.try_recv() {
                Ok(Some(queue_pair)) => {
                    let qp = group.adopt(queue_pair);
                    (0..SIZES.receives).for_each(|_| group.post_receive(qp, pool.get().expect("enough")));
                    group.ring();
                    live.push(qp);
                    to_control.send(None).expect("control is there"); // receives are posted
                }
                Ok(None) => break,
                Err(_) => {}
            }
            // Receives are posted again for as long as it goes, also after the queue pair died and nobody noticed yet.
            let mut back = Vec::new();
            group.poll(0, &mut |completion| back.push(completion));
            for completion in back {
                if let Completion::Received { qp, buf, .. } = completion {
                    group.post_receive(qp, buf);
                }
            }
            group.ring();
            live.retain(|&qp| {
                let over = group.outstanding(qp) == 0;
                if over {
                    to_control.send(Some(group.release(qp))).expect("control is there");
                }
                !over
            });
            std::thread::yield_now();
        }
        assert_eq!(pool.available(), 64);
    });
    for round in 0..20 {
        let mut client = Client::connect(rig.address, &[7; 56]);
        let (connection, request) = rig.request();
        let queue_pair = rig.control.create_queue_pair(connection, GroupId(1), SIZES).expect("a queue pair");
        to_reactor.send(Some(queue_pair)).expect("the reactor is there");
        assert!(from_reactor.recv().expect("an answer").is_none());
        rig.accept(connection, &request, &[2; 52]);
        rig.client_event(&mut client);
        rig.established(connection);
        for _ in 0..20 {
            client.send(48);
        }
        if round % 2 == 0 {
            client.disconnect();
        } else {
            rig.control.disconnect(connection);
        }
        rig.disconnected(connection);
        let queue_pair = rig.until("the queue pair", |_| from_reactor.try_recv().ok()).expect("a queue pair");
        rig.control.destroy(connection, Some(queue_pair));
    }
    to_reactor.send(None).expect("the reactor is there");
    reactor.join().expect("the reactor ended well");
}

/// For a process without CAP_IPC_LOCK.
fn memory_may_not_be_pinned(rig: &mut Rig) {
    rig.listen();
    let mut client = Client::connect(rig.address, &[7; 56]);
    let (connection, _) = rig.request();
    let limit = rustix::process::Rlimit { current: Some(65536), maximum: Some(65536) };
    rustix::process::setrlimit(rustix::process::Resource::Memlock, limit).expect("a lower limit");
    let request = AllocationRequest { lock: false, ..AllocationRequest::new(1 << 20) };
    rig.control.add_region(Region::new(hugepage_setup::allocate(&request).expect("memory")));
    let error = rig.control.create_queue_pair(connection, GroupId(0), SIZES).expect_err("pinned all the same");
    println!("  {error}");
    assert!(matches!(error, FabricError::LockedMemory { limit: 65536, .. }));
    rig.control.reject(connection, &[0xC2; 32]);
    rig.client_event(&mut client);
    rig.control.destroy(connection, None);
}

/// Started before there is a device: somebody adds one meanwhile.
fn device_appears(rig: &mut Rig) {
    let listener = rig.control.listen(rig.address).expect("a listener that waits");
    let ListenerState::Waiting(why) = rig.control.listener_state(listener) else { panic!("there is a device already") };
    println!("  waiting: {why}");
    rig.until("the device", |rig| {
        rig.take_event(|event| match event {
            ControlEvent::DeviceAdded { device } => Some(device.clone()),
            _ => None,
        })
    });
    rig.until("the listener", |rig| (rig.control.listener_state(listener) == ListenerState::Listening).then_some(()));
    println!("  devices: {:?}", rig.control.devices());
    let pair = rig.connect(&[7; 56], &[0xC0; 52]);
    hang_up(rig, pair);
}

/// Somebody removes the device under a connection, then adds it again.
fn device_removed(rig: &mut Rig) {
    rig.listen();
    let any = rig.control.listen("0.0.0.0:5556".parse().expect("an address")).expect("free");
    let pair = rig.connect(&[7; 56], &[0xC0; 52]);
    println!("  remove the device now");
    println!("  ended: {}", rig.disconnected(pair.connection));
    rig.bury(pair.connection, pair.qp);
    drop(pair.client);
    rig.until("the removal", |rig| {
        rig.take_event(|event| matches!(event, ControlEvent::DeviceRemoved { .. }).then_some(()))
    });
    println!("  specific listener: {:?}", rig.control.listener_state(rig.listener.expect("listening")));
    println!("  any-address listener: {:?}", rig.control.listener_state(any));
    println!("  add the device now");
    rig.until("the device", |rig| {
        rig.take_event(|event| matches!(event, ControlEvent::DeviceAdded { .. }).then_some(()))
    });
    let listener = rig.listener.expect("listening");
    rig.until("the listener", |rig| (rig.control.listener_state(listener) == ListenerState::Listening).then_some(()));
    let pair = rig.connect(&[7; 56], &[0xC0; 52]);
    hang_up(rig, pair);
    rig.address.set_port(5556);
    let pair = rig.connect(&[7; 56], &[0xC0; 52]);
    hang_up(rig, pair);
}

/// Pieces of the client's memory and of a buffer, which do not overlap in either.
fn scattered(client: &Client, count: usize) -> Segments {
    let (local, remote) = (BUFFER / SEGMENTS_MAX, MEMORY / SEGMENTS_MAX);
    let piece = |n: usize| {
        let len = 1 + random(local);
        Segment {
            local_offset: (n * local + random(local - len + 1)) as u32,
            len: len as u32,
            remote_addr: client.addr() + (n * remote + random(remote - len)) as u64,
            rkey: client.rkey(),
        }
    };
    (0..count).map(piece).collect()
}

/// The initiator's goodbye.
fn hang_up(rig: &mut Rig, mut pair: Pair) {
    pair.client.disconnect();
    rig.disconnected(pair.connection);
    rig.bury(pair.connection, pair.qp);
}
