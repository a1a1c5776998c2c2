//! Property: under any seed and any schedule of faults, every buffer comes back exactly once, what arrives on a
//! connection arrives in order and once, everything sent arrives or the connection ends at both ends, and data are right.

use proptest::prelude::*;

use super::super::*;
use super::bench::{MESSAGE, Target, options};
use crate::ConnectionId;

const CONNECTIONS: usize = 3;
const REGION: u32 = 4096;

/// One connection as the initiator sees it.
struct Peer {
    initiator: Initiator,
    memory: Registration,
    established: bool,
    ended: bool,
    sent: u32,
    received: u32,
}

/// What the target had sent and seen on a connection, kept when the channel is gone.
#[derive(Default)]
struct Seen {
    received: u32,
    sent: u32,
    results: usize,
    fetched: usize,
}

#[derive(Clone, Debug)]
struct Schedule {
    seed: u64,
    rates: FaultRates,
    script: Vec<(Option<usize>, When, FaultAction)>,
    steps: Vec<Step>,
    receives: u32,
    reads_served: u8,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Message(usize),
    Answer(usize),
    Fetch(usize, u8),
    Deliver(usize, u8),
    Wait(u32),
    TargetLeaves(usize),
    InitiatorLeaves(usize),
    Keepalive(usize),
    DeviceGoesAndComes,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_doubled_or_kept(schedule in schedule()) {
        let network = Network::new(schedule.seed, SimOptions { faults: schedule.rates.clone(), ..SimOptions::jittery() });
        play(&network, &schedule);
    }
}

fn play(network: &Network, schedule: &Schedule) {
    let mut target = Target { receives: schedule.receives, reads_max: schedule.reads_served, ..Target::new(network) };
    let mut peers: Vec<Peer> = (0..CONNECTIONS).map(|_| connect(network, schedule)).collect();
    let mut seen: Vec<Seen> = (0..CONNECTIONS).map(|_| Seen::default()).collect();
    for (connection, when, action) in &schedule.script {
        let connection = connection.map(|number| peers[number].initiator.connection());
        network.inject(Fault { connection, when: *when, action: *action });
    }
    for step in &schedule.steps {
        take(*step, network, &mut target, &mut peers, &mut seen);
        look(&mut target, &mut peers, &mut seen);
    }
    // Long enough for every time-out, and for an initiator to leave after an error.
    network.set_fault_rates(FaultRates::default());
    let end = network.now() + Duration::from_secs(120);
    while network.now() < end {
        look(&mut target, &mut peers, &mut seen);
        network.advance(network.next_event().unwrap_or(end - network.now()).max(Duration::from_nanos(1)));
    }
    settle(&mut target, &mut peers, &mut seen);
    for (peer, seen) in peers.iter().zip(&seen) {
        let target_has_it = target.channels.contains_key(&peer.initiator.connection());
        if peer.established && !peer.ended {
            assert!(target_has_it, "the target let go and the initiator does not know");
            assert_eq!((seen.received, peer.received), (peer.sent, seen.sent), "lost on a living connection");
        } else if peer.established {
            assert!(!target_has_it, "the initiator's end is over and the target does not know");
        }
    }
    drop(peers);
    while target.channels.values().any(|_| true) {
        network.advance(network.next_event().expect("the target hears that the initiators are gone"));
        target.settle();
    }
    assert!(target.all_buffers_are_back(), "a buffer is missing");
    assert_eq!(network.connections(), 0, "a connection was not forgotten");
    assert_eq!(network.violations(), [], "both ends behave");
}

fn connect(network: &Network, schedule: &Schedule) -> Peer {
    let host = network.host();
    let memory = host.register(REGION, Access::BOTH);
    let bytes: Vec<u8> = (0..REGION).map(|offset| offset as u8).collect();
    host.write(&memory, 0, &bytes);
    let connect = ConnectOptions { reads_served: schedule.reads_served, receives: 16, ..options() };
    let initiator = host.connect(connect);
    Peer { initiator, memory, established: false, ended: false, sent: 0, received: 0 }
}

fn take(step: Step, network: &Network, target: &mut Target, peers: &mut [Peer], seen: &mut [Seen]) {
    let id = |number: usize| peers[number].initiator.connection();
    match step {
        Step::Message(number) => {
            let peer = &mut peers[number];
            let message = numbered(peer.sent);
            if peer.initiator.send(&message).is_ok() {
                peer.sent += 1;
            }
        }
        Step::Answer(number) => {
            if let Some(qp) = ready(target, id(number), 1) {
                target.send(qp, 0, &numbered(seen[number].sent));
                seen[number].sent += 1;
            }
        }
        Step::Fetch(number, pieces) => {
            if let Some(qp) = ready(target, id(number), usize::from(pieces)) {
                // Offset and length are told by the length, so that the result can be checked when it comes.
                let memory = peers[number].memory;
                let pieces: Vec<_> =
                    (0..u64::from(pieces)).map(|i| (memory.rkey, memory.addr + 256 * (i % 8), 100)).collect();
                target.fetch(qp, 1, &pieces);
            }
        }
        Step::Deliver(number, pieces) => {
            if let Some(qp) = ready(target, id(number), usize::from(pieces) + 1) {
                let memory = peers[number].memory;
                let message = numbered(seen[number].sent);
                let fill = seen[number].sent as u8;
                // Behind the part that is fetched; the message says which byte is there now.
                let pieces: Vec<_> =
                    (0..u64::from(pieces)).map(|i| (memory.rkey, memory.addr + 3000 + 10 * i, 10)).collect();
                target.deliver(qp, 2, fill, &pieces, Some(&message));
                seen[number].sent += 1;
            }
        }
        Step::Wait(micros) => network.advance(Duration::from_micros(u64::from(micros))),
        Step::TargetLeaves(number) => target.control.disconnect(id(number)),
        Step::InitiatorLeaves(number) => peers[number].initiator.disconnect(),
        Step::Keepalive(number) => {
            if let Some(qp) = ready(target, id(number), 1) {
                target.group.keepalive(qp);
                target.group.ring();
            }
        }
        Step::DeviceGoesAndComes => {
            network.remove_device("sim0");
            network.add_device("sim0");
        }
    }
}

/// The queue pair of a connection that is accepted and has room; the test keeps far from the pools' ends.
fn ready(target: &mut Target, id: ConnectionId, entries: usize) -> Option<crate::QpIndex> {
    let channel = target.channels.get(&id).filter(|channel| !channel.ending)?;
    let qp = channel.qp?;
    let room = target.group.send_slots_free(qp) >= entries;
    (room && target.messages.available() > 20 && target.data.available() > 2).then_some(qp)
}

/// One round of the target, and everything that arrived at the initiators.
fn look(target: &mut Target, peers: &mut [Peer], seen: &mut [Seen]) -> usize {
    let mut happened = target.step();
    for (peer, seen) in peers.iter_mut().zip(seen) {
        if let Some(channel) = target.channels.get_mut(&peer.initiator.connection()) {
            for message in channel.messages.drain(..) {
                assert_eq!(message, numbered(seen.received), "the target got it twice, late or never");
                seen.received += 1;
            }
            seen.results += channel.results.drain(..).count();
            for bytes in channel.fetched.drain(..) {
                for (piece, bytes) in bytes.chunks(100).enumerate() {
                    let expected: Vec<u8> = (0..100).map(|i| (256 * (piece % 8) + i) as u8).collect();
                    assert_eq!(bytes, expected, "fetched bytes are wrong");
                }
                seen.fetched += 1;
            }
        }
        while let Some(event) = peer.initiator.poll() {
            happened += 1;
            match event {
                InitiatorEvent::Established { .. } => peer.established = true,
                InitiatorEvent::Rejected { .. } | InitiatorEvent::Disconnected { .. } => {
                    assert!(!std::mem::replace(&mut peer.ended, true), "it ended twice");
                }
            }
        }
        while let Some(message) = peer.initiator.receive() {
            happened += 1;
            assert_eq!(message, numbered(peer.received), "the initiator got it twice, late or never");
            peer.received += 1;
            peer.initiator.post_receives(1);
        }
    }
    happened
}

fn settle(target: &mut Target, peers: &mut [Peer], seen: &mut [Seen]) {
    while look(target, peers, seen) > 0 {}
}

fn numbered(number: u32) -> Vec<u8> {
    let len = 4 + number as usize * 7 % (MESSAGE - 4);
    let mut message = vec![number as u8; len];
    message[..4].copy_from_slice(&number.to_be_bytes());
    message
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let rate = prop_oneof![3 => Just(0), 1 => 0..20_000_u32];
    let rates = (rate.clone(), rate.clone(), rate.clone(), rate.clone(), rate.clone(), rate).prop_map(
        |(lose_connection, peer_disconnect, fail_operation, delay_spike, late_established, lost_established)| {
            FaultRates {
                lose_connection,
                peer_disconnect,
                fail_operation,
                delay_spike,
                late_established: late_established * 40,
                lost_established: lost_established * 40,
                spike: Duration::from_millis(5),
            }
        },
    );
    let script = prop::collection::vec((prop::option::of(0..CONNECTIONS), fault()), 0..3)
        .prop_map(|script| script.into_iter().map(|(on, (when, action))| (on, when, action)).collect());
    let steps = prop::collection::vec(step(), 1..200);
    (any::<u64>(), rates, script, steps, 1..8_u32, 1..5_u8).prop_map(
        |(seed, rates, script, steps, receives, reads_served)| Schedule {
            seed,
            rates,
            script,
            steps,
            receives,
            reads_served,
        },
    )
}

fn fault() -> impl Strategy<Value = (When, FaultAction)> {
    let ending = prop_oneof![Just(FaultAction::LoseConnection), Just(FaultAction::PeerDisconnect)];
    let work = prop_oneof![
        Just(OperationKind::Read),
        Just(OperationKind::Write),
        Just(OperationKind::Send),
        Just(OperationKind::Any)
    ];
    let fail = any::<bool>().prop_map(|done| FaultAction::Fail { error: crate::WorkError::RetriesExceeded, done });
    prop_oneof![
        (0..5000_u64, ending.clone()).prop_map(|(at, action)| (When::At(Duration::from_micros(at)), action)),
        (1..30_u64, work, prop_oneof![ending, fail]).prop_map(|(nth, kind, action)| (When::Nth(kind, nth), action)),
        (1..4_u64).prop_map(|nth| (When::Nth(OperationKind::Established, nth), FaultAction::Lose)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let on = 0..CONNECTIONS;
    prop_oneof![
        20 => on.clone().prop_map(Step::Message),
        20 => on.clone().prop_map(Step::Answer),
        10 => (on.clone(), 1..20_u8).prop_map(|(on, pieces)| Step::Fetch(on, pieces)),
        10 => (on.clone(), 1..20_u8).prop_map(|(on, pieces)| Step::Deliver(on, pieces)),
        40 => (1..500_u32).prop_map(Step::Wait),
        1 => on.clone().prop_map(Step::TargetLeaves),
        1 => on.clone().prop_map(Step::InitiatorLeaves),
        3 => on.prop_map(Step::Keepalive),
        1 => Just(Step::DeviceGoesAndComes),
    ]
}
