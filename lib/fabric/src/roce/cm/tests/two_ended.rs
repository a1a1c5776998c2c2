//! Two connection managers, joined by a network that loses, repeats, delays and reorders, in virtual time.

use std::collections::BTreeMap;

use super::*;

const ATTEMPTS: usize = 20;

/// What the network does, per thousand messages.
#[derive(Clone, Copy)]
struct Network {
    lost: u64,
    doubled: u64,
    delay_max: u64,
}

/// The consumer's view of one side of one attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    /// It has heard of nothing.
    Nothing,
    Handshake(CmId),
    /// REP is sent, but nothing came back: the peer may be connected.
    Accepted(CmId),
    Up(CmId),
    Ended(CmId),
    /// Destroyed, or rejected.
    Gone(CmId),
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Deliver { to: usize, mad: usize },
    Decide(usize),
    Packet(usize),
    Disconnect { attempt: usize, side: usize },
    Destroy { attempt: usize, side: usize },
}

/// Attempt n is made by end n % 2; its active side is side 0, its passive side is side 1.
struct World {
    ends: [Cm; 2],
    network: Network,
    chance: Ids,
    now: u64,
    agenda: BTreeMap<(u64, usize), Action>,
    scheduled: usize,
    mads: Vec<Mad>,
    attempts: Vec<[Side; 2]>,
    /// Consumers interfere while the handshake goes on.
    impatient: bool,
}

fn end_of(attempt: usize, side: usize) -> usize {
    (attempt + side) % 2
}

fn data_of(attempt: usize, answer: &str) -> String {
    format!("{answer} {attempt:03}")
}

fn attempt_of(data: &PrivateData, what: &str) -> usize {
    let text = std::str::from_utf8(&data[..what.len() + 4]).unwrap();
    assert!(data[text.len()..].iter().all(|&byte| byte == 0));
    text.strip_prefix(what).expect("private data as it was sent")[1..].parse().unwrap()
}

impl World {
    fn new(seed: u64, network: Network, impatient: bool) -> World {
        let end =
            |end: u64| Cm::new(CmOptions { node_guid: OUR_GUID + end, seed: 2 * seed + end, half_open_max: ATTEMPTS });
        World {
            ends: [end(0), end(1)],
            network,
            chance: Ids::new(seed),
            now: SECOND,
            agenda: BTreeMap::new(),
            scheduled: 0,
            mads: Vec::new(),
            attempts: Vec::new(),
            impatient,
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.chance.transaction() % bound
    }

    fn schedule(&mut self, within: u64, action: Action) {
        let at = self.now + self.below(within.max(1));
        self.scheduled += 1;
        self.agenda.insert((at, self.scheduled), action);
    }

    fn connect(&mut self) {
        let attempt = self.attempts.len();
        let end = end_of(attempt, 0);
        let path = Path { local: address(end as u8), peer: address(1 - end as u8) };
        let asked = CmRequest { remote_qpn: 0x1000 + attempt as u32, ..request(data_of(attempt, "hello").as_bytes()) };
        let id = self.ends[end].connect(self.now, &path, asked);
        self.attempts.push([Side::Handshake(id), Side::Nothing]);
        if self.impatient && self.below(4) == 0 {
            self.schedule(SECOND, Action::Destroy { attempt, side: 0 });
        }
    }

    fn runs(&mut self, time: u64) {
        let until = self.now + time;
        while self.now < until {
            self.now += 10 * MS;
            while let Some(entry) = self.agenda.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let action = entry.remove();
                self.act(action);
                self.settle();
            }
            for end in 0..2 {
                self.ends[end].on_time(self.now);
            }
            self.settle();
        }
    }

    fn act(&mut self, action: Action) {
        let now = self.now;
        match action {
            Action::Deliver { to, mad } => {
                let path = Path { local: address(to as u8), peer: address(1 - to as u8) };
                self.ends[to].on_mad(now, &path, 4096, &|port| port == PORT, &self.mads[mad]);
            }
            Action::Decide(attempt) => {
                let Side::Handshake(id) = self.attempts[attempt][1] else { return };
                let choice = self.below(10);
                let end = &mut self.ends[end_of(attempt, 1)];
                if choice < 2 {
                    end.reject(now, id, data_of(attempt, "sorry").as_bytes());
                    end.destroy(now, id);
                    self.attempts[attempt][1] = Side::Gone(id);
                } else {
                    let qpn = 0x2000 + attempt as u32;
                    let accepted =
                        end.accept(now, id, CmReply { qpn, ..reply(data_of(attempt, "welcome").as_bytes()) });
                    assert!(accepted, "nobody said that it had ended");
                    self.attempts[attempt][1] = Side::Accepted(id);
                }
            }
            Action::Packet(attempt) => {
                if let Side::Accepted(id) | Side::Up(id) = self.attempts[attempt][1] {
                    self.ends[end_of(attempt, 1)].packet_arrived(now, id);
                }
            }
            Action::Disconnect { attempt, side } => {
                if let Side::Up(id) = self.attempts[attempt][side] {
                    self.ends[end_of(attempt, side)].disconnect(now, id);
                }
            }
            Action::Destroy { attempt, side } => {
                let (Side::Handshake(id) | Side::Accepted(id) | Side::Up(id) | Side::Ended(id)) =
                    self.attempts[attempt][side]
                else {
                    return;
                };
                self.ends[end_of(attempt, side)].destroy(now, id);
                self.attempts[attempt][side] = Side::Gone(id);
            }
        }
    }

    /// Hands on what the ends say, and hears their events.
    fn settle(&mut self) {
        for end in 0..2 {
            while let Some((path, mad)) = self.ends[end].next_mad(self.now) {
                assert_eq!(path.local, address(end as u8));
                self.mads.push(mad);
                let deliver = Action::Deliver { to: 1 - end, mad: self.mads.len() - 1 };
                if self.below(1000) >= self.network.lost {
                    self.schedule(self.network.delay_max, deliver);
                }
                if self.below(1000) < self.network.doubled {
                    self.schedule(self.network.delay_max, deliver);
                }
            }
            while let Some(event) = self.ends[end].next_event() {
                self.hear(end, event);
            }
        }
    }

    fn hear(&mut self, end: usize, event: CmEvent) {
        match event {
            CmEvent::Requested { id, request, .. } => {
                let attempt = attempt_of(&request.private_data, "hello");
                assert_eq!((end_of(attempt, 1), request.remote_qpn), (end, 0x1000 + attempt as u32));
                let before = self.attempts[attempt][1];
                assert!(matches!(before, Side::Nothing | Side::Gone(_)), "asked again while {before:?}");
                self.attempts[attempt][1] = Side::Handshake(id);
                self.schedule(3 * SECOND, Action::Decide(attempt));
                if self.impatient && self.below(4) == 0 {
                    self.schedule(3 * SECOND, Action::Destroy { attempt, side: 1 });
                }
            }
            CmEvent::Established { id } => {
                let (attempt, side) = self.side(id);
                assert_eq!((side, self.attempts[attempt][1]), (1, Side::Accepted(id)));
                self.attempts[attempt][1] = Side::Up(id);
            }
            CmEvent::Connected { id, reply } => {
                let (attempt, side) = self.side(id);
                assert_eq!((side, self.attempts[attempt][0]), (0, Side::Handshake(id)));
                assert_eq!(attempt_of(&reply.private_data, "welcome"), attempt);
                assert_eq!(reply.qpn, 0x2000 + attempt as u32);
                self.attempts[attempt][0] = Side::Up(id);
                if self.below(2) == 0 {
                    self.schedule(SECOND, Action::Packet(attempt));
                }
            }
            CmEvent::Rejected { id, reason, private_data } => {
                let (attempt, side) = self.side(id);
                assert_eq!((side, self.attempts[attempt][0]), (0, Side::Handshake(id)));
                if reason == RejectReason::CONSUMER.0 && !self.impatient {
                    assert_eq!(attempt_of(&private_data, "sorry"), attempt);
                }
                self.attempts[attempt][0] = Side::Gone(id);
            }
            CmEvent::Ended { id, .. } => {
                let (attempt, side) = self.side(id);
                let before = self.attempts[attempt][side];
                assert!(!matches!(before, Side::Nothing | Side::Ended(_) | Side::Gone(_)), "ended while {before:?}");
                self.attempts[attempt][side] = Side::Ended(id);
                self.schedule(SECOND, Action::Destroy { attempt, side });
            }
        }
    }

    /// Whose id this is. An event about an id that nobody knows any more is a failure.
    fn side(&self, id: CmId) -> (usize, usize) {
        let has_it = |side: Side| match side {
            Side::Handshake(of) | Side::Accepted(of) | Side::Up(of) | Side::Ended(of) => of == id,
            Side::Nothing | Side::Gone(_) => false,
        };
        let attempts = self.attempts.iter().enumerate();
        let found = attempts.flat_map(|(attempt, sides)| [0, 1].map(|side| (attempt, side, sides[side])));
        let mut found = found.filter(|&(.., side)| has_it(side)).map(|(attempt, side, _)| (attempt, side));
        found.next().expect("an id that is known")
    }

    fn both_or_none(&self, seed: u64) -> usize {
        let is_up = |side: Side| matches!(side, Side::Up(_));
        let is_over = |side: Side| matches!(side, Side::Gone(_) | Side::Nothing);
        for (attempt, &[active, passive]) in self.attempts.iter().enumerate() {
            let both = is_up(active) && is_up(passive);
            let none = is_over(active) && is_over(passive);
            assert!(both || none, "seed {seed}, attempt {attempt}: active {active:?}, passive {passive:?}");
        }
        self.attempts.iter().filter(|sides| is_up(sides[0])).count()
    }

    /// Whatever is still up is destroyed; nothing is left.
    fn ends(&mut self) {
        for attempt in 0..self.attempts.len() {
            for side in 0..2 {
                self.schedule(SECOND, Action::Destroy { attempt, side });
            }
        }
        self.runs(2 * SECOND + timers::DISCONNECT_MAX + timers::TIME_WAIT + 2 * self.network.delay_max);
        // A request that was on its way when its maker gave up.
        self.runs(2 * timers::HANDSHAKE_MAX);
        for end in &self.ends {
            end.table.assert_empty();
        }
    }
}

/// Handshakes that nobody disturbs but the network come to be on both sides or on none; then each connection is ended by one
/// side or both, and is over on both.
fn handshakes(seed: u64, network: Network) {
    let mut world = World::new(seed, network, false);
    for _ in 0..ATTEMPTS {
        world.connect();
        world.runs(100 * MS);
    }
    world.runs(timers::HANDSHAKE_MAX + 5 * SECOND);
    let up = world.both_or_none(seed);
    assert!(up > ATTEMPTS / 4, "seed {seed}: only {up} came to be");
    for attempt in 0..ATTEMPTS {
        let sides = world.below(3);
        for side in (0..2).filter(|side| sides != *side as u64) {
            world.schedule(SECOND, Action::Disconnect { attempt, side });
        }
    }
    world.runs(timers::DISCONNECT_MAX + timers::TIME_WAIT + 5 * SECOND);
    assert_eq!(world.both_or_none(seed), 0, "seed {seed}");
    world.ends();
}

#[test]
fn perfect_network() {
    handshakes(0, Network { lost: 0, doubled: 0, delay_max: 1 });
}

#[test]
fn network_that_repeats_and_reorders() {
    for seed in 0..10 {
        handshakes(seed, Network { lost: 0, doubled: 300, delay_max: 2 * SECOND });
    }
}

#[test]
fn network_that_loses() {
    for seed in 0..20 {
        handshakes(seed, Network { lost: 200, doubled: 100, delay_max: 300 * MS });
    }
}

/// With so much loss each side ends alone at times, and consumers that give up at any moment add to it: what remains is
/// that events make sense, and that nothing is left.
#[test]
fn network_that_hardly_delivers_and_consumers_without_patience() {
    for seed in 0..20 {
        let mut world = World::new(seed, Network { lost: 600, doubled: 300, delay_max: 2 * SECOND }, true);
        for _ in 0..ATTEMPTS {
            world.connect();
            world.runs(200 * MS);
        }
        world.runs(timers::HANDSHAKE_MAX);
        world.ends();
    }
}

#[test]
fn connection_to_ourselves() {
    let mut cm = Cm::new(options(1));
    let path = Path { local: address(1), peer: address(1) };
    let exchange = |cm: &mut Cm| {
        while let Some((path, mad)) = cm.next_mad(0) {
            cm.on_mad(0, &path, 4096, &|_| true, &mad);
        }
        cm.next_event().unwrap()
    };
    let active = cm.connect(0, &path, request(b"hello"));
    let CmEvent::Requested { id: passive, .. } = exchange(&mut cm) else { panic!("not asked") };
    assert!(cm.accept(0, passive, CmReply { qpn: OUR_QPN + 1, ..reply(b"welcome") }));
    assert!(matches!(exchange(&mut cm), CmEvent::Connected { id, .. } if id == active));
    assert!(matches!(exchange(&mut cm), CmEvent::Established { id } if id == passive));
    cm.destroy(0, active);
    assert!(matches!(exchange(&mut cm), CmEvent::Ended { id, .. } if id == passive));
    cm.destroy(0, passive);
    cm.on_time(timers::TIME_WAIT);
    cm.table.assert_empty();
}
