//! Both ends, users that give them work, and the network between them, in virtual time. All chance comes from a [`Dice`]:
//! a seed, or a string of bytes.
//!
//! A user checks what it is told: messages come once, in order and whole; fetched data are what the peer has; written data
//! are there when the message behind them arrives; every buffer comes back.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use mem::{IoBuf, Pool};

use super::Memory;
use crate::roce::exposed::{Access, Exposed, RemoteMemory};
use crate::roce::rc::{Endpoint, EndpointOptions, Transmit};
use crate::roce::wire::{HEADER_MAX, Headers, Opcode, Psn};
use crate::{Completion, Deliver, Fetch, QpIndex, Segment, WorkError};

/// Bytes of a user's buffers: the longest message, and the longest transfer in one operation.
const BUFFER: usize = 8192;
const BUFFERS: usize = 64;
/// Parts of the memory that a user exposes: the first are only read by the peer, the others only written.
const PARTS: usize = 8;
const MICROSECOND: u64 = 1000;
/// Of virtual time. Reached only by an endless exchange that makes no progress.
const TOO_LATE: u64 = 100_000_000_000;

/// Where chance comes from.
pub(crate) enum Dice<'a> {
    /// SplitMix64.
    #[cfg(test)]
    Seed(u64),
    /// Each decision takes a byte or two; afterwards there is no more mischief.
    Script(&'a [u8]),
}

impl Dice<'_> {
    fn next(&mut self, bound: u64) -> Option<u64> {
        match self {
            #[cfg(test)]
            Dice::Seed(state) => {
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                Some(z ^ (z >> 31))
            }
            Dice::Script(bytes) => {
                let taken;
                (taken, *bytes) = bytes.split_at_checked(if bound > 256 { 2 } else { 1 })?;
                Some(taken.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
            }
        }
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next(bound).map_or(0, |number| number % bound)
    }

    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    pub(crate) fn happens(&mut self, per_mille: u64) -> bool {
        per_mille > 0 && self.next(1000).is_some_and(|number| number % 1000 < per_mille)
    }
}

/// What the network does to packets, per mille.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) loss: u64,
    pub(crate) duplication: u64,
    /// A packet is delayed behind later ones.
    pub(crate) reordering: u64,
    /// A packet meets congestion.
    pub(crate) marks: u64,
    /// The sender's packet I/O has no room.
    pub(crate) no_room: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) mtu: u32,
    pub(crate) psns: [u32; 2],
    /// READs that each side serves.
    pub(crate) reads_served: [u8; 2],
    pub(crate) receives: u32,
    pub(crate) operations: u32,
    pub(crate) faults: Faults,
    /// Microseconds that a packet travels at least.
    pub(crate) delay: u64,
    /// Receives are posted again only now and then.
    pub(crate) slow_receiver: bool,
    /// Nothing arrives from this time on.
    pub(crate) cut_at: Option<u64>,
    /// Bytes of the script go to the endpoints as packets.
    pub(crate) hostile: bool,
}

impl Setup {
    /// Of a well-meaning pair on a network as bad as it comes.
    pub(crate) fn roll(dice: &mut Dice<'_>) -> Setup {
        let near_wrap = |dice: &mut Dice<'_>| 0x100_0000 - dice.between(1, 200) as u32;
        let psns = [near_wrap(dice), near_wrap(dice)];
        let bad = |dice: &mut Dice<'_>, most: u64| dice.pick(&[0, 0, most / 5, most]);
        Setup {
            mtu: dice.pick(&[256, 256, 512, 1024, 2048, 4096]),
            psns,
            reads_served: [dice.between(1, 16) as u8, dice.between(1, 4) as u8],
            receives: dice.between(1, 12) as u32,
            operations: dice.between(10, 40) as u32,
            faults: Faults {
                loss: bad(dice, 100),
                duplication: bad(dice, 100),
                reordering: bad(dice, 100),
                marks: bad(dice, 50),
                no_room: bad(dice, 200),
            },
            delay: dice.pick(&[5, 50, 1000, 20_000]),
            slow_receiver: dice.happens(300),
            cut_at: None,
            hostile: false,
        }
    }

    fn options(&self, side: usize) -> EndpointOptions {
        EndpointOptions {
            local_qpn: 100 + side as u32,
            remote_qpn: 101 - side as u32,
            send_psn: Psn::new(self.psns[side]),
            receive_psn: Psn::new(self.psns[1 - side]),
            mtu: self.mtu,
            reads_max: self.reads_served[1 - side],
            reads_served: self.reads_served[side],
            ack_timeout: 17, // 0.54 s
            retry_count: 7,
            rnr_retry: 7,
            receives: self.receives,
            sends: 16,
        }
    }
}

/// A packet on its way: arrival, order of sending, to which side, its bytes, congested.
type InFlight = Reverse<(u64, u64, usize, Vec<u8>, bool)>;

pub(crate) struct World<'a> {
    pub(crate) dice: Dice<'a>,
    setup: Setup,
    now: u64,
    packets_sent: u64,
    network: BinaryHeap<InFlight>,
    pub(crate) users: [User; 2],
    _memory: Memory,
}

/// One end and who uses it.
pub(crate) struct User {
    side: usize,
    pub(crate) endpoint: Endpoint,
    exposed: Exposed,
    arena: RemoteMemory,
    pool: Pool,
    receives: Pool,
    left: u32,
    /// Operations that were posted and have not completed, in order.
    outstanding: VecDeque<Posted>,
    cookie: u64,
    /// Messages to the peer that it has not received yet.
    messages: VecDeque<Message>,
    /// Parts of the peer's arena that no operation writes into.
    parts: Vec<usize>,
    pub(crate) failures: Vec<(u64, WorkError)>,
    wants_to_go_on: bool,
}

#[derive(Clone)]
struct Message {
    cookie: u64,
    len: usize,
    written: Vec<(Segment, u64)>,
}

enum Posted {
    Fetch { cookie: u64, segments: Vec<Segment> },
    Deliver { cookie: u64, written: Vec<(Segment, u64)>, part: Option<usize> },
}

/// Byte `at` of something that is known by `seed`.
fn byte(seed: u64, at: u64) -> u8 {
    (seed.wrapping_mul(37) ^ at ^ at >> 8) as u8
}

fn fill(bytes: &mut [u8], seed: u64, start: u64) {
    bytes.iter_mut().zip(start..).for_each(|(to, at)| *to = byte(seed, at));
}

fn assert_filled(bytes: &[u8], seed: u64, start: u64, what: &str) {
    if let Some((at, _)) =
        bytes.iter().zip(start..).find(|&(&found, at)| found != byte(seed, at)).map(|(_, at)| (at, ()))
    {
        panic!("{what}: byte {at} is wrong");
    }
}

/// What a user's exposed memory holds at first.
fn arena_seed(side: usize) -> u64 {
    1000 + side as u64
}

impl User {
    fn new(setup: &Setup, side: usize, memory: &mut Memory) -> User {
        let mut endpoint = Endpoint::new(&setup.options(side));
        endpoint.set_index(QpIndex(side as u32));
        let arena = memory.pool(BUFFER * PARTS, 1);
        let mut data = IoBuf::new(arena.get().expect("one buffer"), 0..BUFFER * PARTS);
        fill(data.bytes_mut(), arena_seed(side), 0);
        let mut exposed = Exposed::with_capacity(side as u64, 1);
        let arena = exposed.expose(QpIndex(side as u32), data, Access { read: true, write: true });
        User {
            side,
            endpoint,
            exposed,
            arena,
            pool: memory.pool(BUFFER, BUFFERS),
            receives: memory.pool(BUFFER, setup.receives as usize),
            left: setup.operations,
            outstanding: VecDeque::new(),
            cookie: 0,
            messages: VecDeque::new(),
            parts: (PARTS / 2..PARTS).collect(),
            failures: Vec::new(),
            wants_to_go_on: false,
        }
    }

    fn post_receives(&mut self) {
        while let Some(buf) = self.receives.get() {
            self.endpoint.post_receive(buf);
        }
    }

    /// Whether there is something to post, and room for it.
    fn can_post(&self) -> bool {
        self.left > 0 && self.endpoint.send_slots_free() >= 4 && self.pool.available() >= 2
    }

    /// Posts one operation.
    fn post(&mut self, dice: &mut Dice<'_>, peer: RemoteMemory) {
        self.left -= 1;
        self.cookie += 1;
        let cookie = self.cookie;
        match dice.below(8) {
            0 => self.endpoint.keepalive(),
            1 | 2 => {
                let part = dice.below(PARTS as u64 / 2) as usize;
                let segments = self.segments(dice, peer, part);
                let data = IoBuf::new(self.pool.get().expect("a free buffer"), 0..BUFFER);
                self.endpoint.fetch(Fetch { cookie, data, segments: &segments });
                self.outstanding.push_back(Posted::Fetch { cookie, segments });
            }
            kind => {
                let part = if kind < 6 { self.parts.pop() } else { None };
                let segments = part.map_or(Vec::new(), |part| self.segments(dice, peer, part));
                let with_message = segments.is_empty() || kind > 3;
                let data = (!segments.is_empty()).then(|| {
                    let mut data = IoBuf::new(self.pool.get().expect("a free buffer"), 0..BUFFER);
                    fill(data.bytes_mut(), cookie, 0);
                    data
                });
                let message = with_message.then(|| {
                    let len = match dice.below(4) {
                        0 => dice.below(64) as usize,
                        1 => 256 << dice.below(6),
                        _ => dice.below(BUFFER as u64 + 1) as usize,
                    };
                    let mut message = IoBuf::new(self.pool.get().expect("a free buffer"), 0..len);
                    fill(message.bytes_mut(), cookie + 7, 0);
                    message
                });
                let written: Vec<_> = segments.iter().map(|segment| (*segment, cookie)).collect();
                if let Some(message) = &message {
                    self.messages.push_back(Message { cookie, len: message.len(), written: written.clone() });
                }
                let solicited = dice.happens(500);
                self.endpoint.deliver(Deliver { cookie, data, segments: &segments, message, solicited });
                self.outstanding.push_back(Posted::Deliver { cookie, written, part });
            }
        }
    }

    /// Up to three pieces of a part of the peer's memory.
    fn segments(&self, dice: &mut Dice<'_>, peer: RemoteMemory, part: usize) -> Vec<Segment> {
        let mut segments = Vec::new();
        let mut at = 0;
        for _ in 0..dice.between(1, 3) {
            let len = dice.between(1, (BUFFER as u64 - at).min(5000));
            segments.push(Segment {
                local_offset: at as u32,
                len: len as u32,
                remote_addr: peer.addr + (part * BUFFER) as u64 + at,
                rkey: peer.rkey,
            });
            at += len;
            if at == BUFFER as u64 {
                break;
            }
        }
        segments
    }

    /// Takes completions, and checks them.
    fn complete(&mut self, dice: &mut Dice<'_>, peer: &mut User, hostile: bool) {
        let mut completions = Vec::new();
        let max = dice.between(1, 8) as usize;
        while self.endpoint.complete(QpIndex(self.side as u32), max, &mut |completion| completions.push(completion))
            == max
        {}
        for completion in completions {
            match completion {
                Completion::Received { buf, len, .. } if !hostile => {
                    let Some(message) = peer.messages.pop_front() else { panic!("a message that nobody sent") };
                    let what = format!("message {}", message.cookie);
                    assert_eq!(len as usize, message.len, "{what}");
                    assert_filled(&buf.bytes()[..message.len], message.cookie + 7, 0, &what);
                    self.assert_written(&message.written, &what);
                }
                Completion::Received { .. } | Completion::ReceiveFlushed { .. } => {}
                Completion::Fetched { cookie, data, result, .. } => {
                    let Some(Posted::Fetch { cookie: posted, segments }) = self.outstanding.pop_front() else {
                        panic!("fetch {cookie} completed out of order")
                    };
                    assert_eq!(cookie, posted);
                    assert_eq!(data.range(), 0..BUFFER);
                    match result {
                        Ok(()) if !hostile => {
                            for Segment { local_offset, len, remote_addr, .. } in segments {
                                let local = &data.bytes()[local_offset as usize..][..len as usize];
                                let start = remote_addr - peer.arena.addr;
                                assert_filled(local, arena_seed(peer.side), start, &format!("fetch {cookie}"));
                            }
                        }
                        Ok(()) => {}
                        Err(error) => self.failures.push((cookie, error)),
                    }
                }
                Completion::Delivered { cookie, result, .. } => {
                    let Some(Posted::Deliver { cookie: posted, written, part }) = self.outstanding.pop_front() else {
                        panic!("deliver {cookie} completed out of order")
                    };
                    assert_eq!(cookie, posted);
                    match result {
                        Ok(()) if !hostile => peer.assert_written(&written, &format!("deliver {cookie}")),
                        Ok(()) => {}
                        Err(error) => self.failures.push((cookie, error)),
                    }
                    self.parts.extend(part);
                }
            }
        }
    }

    fn assert_written(&self, written: &[(Segment, u64)], what: &str) {
        let qp = QpIndex(self.side as u32);
        for &(Segment { local_offset, len, remote_addr, rkey }, seed) in written {
            let bytes = self.exposed.readable(qp, rkey, remote_addr, len).expect("exposed");
            assert_filled(bytes, seed, local_offset.into(), what);
        }
    }

    /// The parts that nobody may write are as they were, and every buffer is back.
    fn assert_tidy(&mut self, hostile: bool) {
        assert_eq!(self.endpoint.outstanding(), 0);
        assert_eq!(self.endpoint.send_slots_free(), 16);
        assert_eq!(self.pool.available(), BUFFERS);
        assert_eq!(self.receives.available(), self.receives.capacity());
        let arena = self.exposed.withdraw(self.arena.rkey).expect("exposed");
        if !hostile {
            assert_filled(&arena.bytes()[..BUFFER * PARTS / 2], arena_seed(self.side), 0, "memory that is only read");
        }
    }
}

/// Puts packets into the network.
struct Port<'w, 'a> {
    dice: &'w mut Dice<'a>,
    setup: &'w Setup,
    network: &'w mut BinaryHeap<InFlight>,
    packets_sent: &'w mut u64,
    now: u64,
    to: usize,
}

impl Transmit for Port<'_, '_> {
    fn send(&mut self, headers: &Headers, payload: &[u8]) -> bool {
        let Faults { loss, duplication, reordering, marks, no_room } = self.setup.faults;
        if self.dice.happens(no_room) {
            return false;
        }
        assert!(payload.len() <= self.setup.mtu as usize);
        let pad = payload.len().wrapping_neg() % 4;
        let mut bytes = vec![0; HEADER_MAX];
        let len = Headers { pad: pad as u8, ..*headers }.emit(&mut bytes);
        bytes.truncate(len);
        bytes.extend_from_slice(payload);
        bytes.resize(len + payload.len() + pad, 0);
        let copies = if self.dice.happens(loss) { 0 } else { 1 + usize::from(self.dice.happens(duplication)) };
        for _ in 0..copies {
            let late = if self.dice.happens(reordering) { self.dice.between(1, 500) * MICROSECOND } else { 0 };
            let at = self.now + self.setup.delay * MICROSECOND + late;
            *self.packets_sent += 1;
            if self.setup.cut_at.is_none_or(|cut| at < cut) {
                let marked = self.dice.happens(marks);
                self.network.push(Reverse((at, *self.packets_sent, self.to, bytes.clone(), marked)));
            }
        }
        true
    }
}

impl<'a> World<'a> {
    pub(crate) fn new(setup: Setup, dice: Dice<'a>) -> World<'a> {
        let mut memory = Memory::new();
        let users = [0, 1].map(|side| User::new(&setup, side, &mut memory));
        let mut world =
            World { dice, setup, now: 0, packets_sent: 0, network: BinaryHeap::new(), users, _memory: memory };
        world.users.iter_mut().for_each(User::post_receives);
        world
    }

    /// Runs until both users have done and seen everything, or both ends have failed. Panics if something is not right.
    pub(crate) fn run(&mut self) {
        loop {
            self.drive(0);
            self.drive(1);
            if self.is_over() {
                break;
            }
            if self.setup.hostile {
                self.be_hostile();
            }
            self.advance();
        }
        for side in 0..2 {
            self.users[side].endpoint.fail();
            self.complete(side);
            self.users[side].assert_tidy(self.setup.hostile);
        }
    }

    fn is_over(&self) -> bool {
        let [a, b] = &self.users;
        let failed = a.endpoint.has_failed() && b.endpoint.has_failed();
        let done = |user: &User| user.left == 0 && user.outstanding.is_empty() && user.messages.is_empty();
        failed || done(a) && done(b)
    }

    /// Lets a user post, its endpoint send, and the user see what completed.
    fn drive(&mut self, side: usize) {
        self.complete(side);
        let peer = self.users[1 - side].arena;
        let user = &mut self.users[side];
        if !self.setup.slow_receiver || !self.dice.happens(800) {
            user.post_receives();
        }
        while user.can_post() && !self.dice.happens(500) {
            user.post(&mut self.dice, peer);
        }
        for _ in 0..4 {
            let read_room = self.dice.pick(&[0, 7, 64, 1000]);
            let mut port = Port {
                dice: &mut self.dice,
                setup: &self.setup,
                network: &mut self.network,
                packets_sent: &mut self.packets_sent,
                now: self.now,
                to: 1 - side,
            };
            user.wants_to_go_on = user.endpoint.transmit(self.now, read_room, &user.exposed, &mut port);
            if !user.wants_to_go_on {
                break;
            }
        }
        self.complete(side);
    }

    fn complete(&mut self, side: usize) {
        let [a, b] = &mut self.users;
        let (user, peer) = if side == 0 { (a, b) } else { (b, a) };
        user.complete(&mut self.dice, peer, self.setup.hostile);
        if user.endpoint.has_failed() {
            // Its connection manager would tell, and nothing is expected of it any more.
            user.left = 0;
            user.messages.clear();
            if self.setup.cut_at.is_none() {
                peer.endpoint.fail();
            }
        }
    }

    /// Time goes on to the next thing that happens.
    fn advance(&mut self) {
        let arrival = self.network.peek().map(|Reverse((at, ..))| *at);
        let deadlines = self.users.iter().filter_map(|user| user.endpoint.next_deadline());
        let user_acts = self.users.iter().any(|user| user.wants_to_go_on || user.can_post())
            || self.setup.slow_receiver && self.users.iter().any(|user| user.receives.available() > 0);
        let user_at = user_acts.then_some(self.now + 20 * MICROSECOND);
        let Some(next) = deadlines.chain(arrival).chain(user_at).min() else {
            if self.setup.cut_at.is_some() || self.setup.hostile {
                // Whoever has nothing outstanding does not notice that the peer is gone; and who was told lies may
                // wait for ever. A connection manager would tell.
                return self.users.iter_mut().for_each(|user| user.endpoint.fail());
            }
            panic!("nothing happens any more, and work is outstanding");
        };
        self.now = self.now.max(next);
        assert!(self.now < TOO_LATE, "no end in sight");
        while let Some(Reverse((at, ..))) = self.network.peek()
            && *at <= self.now
        {
            let Some(Reverse((_, _, to, bytes, marked))) = self.network.pop() else { break };
            self.arrive(to, &bytes, marked);
        }
    }

    fn arrive(&mut self, to: usize, bytes: &[u8], marked: bool) {
        let user = &mut self.users[to];
        match Headers::parse(bytes) {
            Ok((headers, payload)) => {
                user.endpoint.on_packet(self.now, &headers, payload, marked, &mut user.exposed);
            }
            Err(error) => assert!(self.setup.hostile, "{error}"),
        }
    }

    /// A stranger sends something that might fit.
    fn be_hostile(&mut self) {
        if !self.dice.happens(300) {
            return;
        }
        let to = self.dice.below(2) as usize;
        let packet = hostile_packet(&mut self.dice, &self.setup, to, self.users[to].arena);
        self.arrive(to, &packet, false);
    }
}

/// A packet that is near enough to what is expected to be looked at.
fn hostile_packet(dice: &mut Dice<'_>, setup: &Setup, to: usize, arena: RemoteMemory) -> Vec<u8> {
    let mut packet = vec![0; 12];
    packet[0] = dice.below(0x18) as u8;
    packet[1] = dice.pick(&[0, 0, 0x10, 0x30, 0xc0]);
    let own = packet[0] >= 0x0d && packet[0] <= 0x12;
    let psn = setup.psns[if own { to } else { 1 - to }].wrapping_add(dice.below(64) as u32);
    packet[8] = dice.pick(&[0, 0x80]);
    packet[9..12].copy_from_slice(&psn.to_be_bytes()[1..]);
    let opcode = Opcode::parse(packet[0]);
    if opcode.is_some_and(Opcode::has_reth) {
        let addr = arena.addr.wrapping_add(dice.below(65536) * 2).wrapping_sub(4096);
        packet.extend_from_slice(&addr.to_be_bytes());
        let rkey = if dice.happens(700) { arena.rkey } else { dice.below(65536) as u32 };
        packet.extend_from_slice(&rkey.to_be_bytes());
        let len = dice.pick(&[0, 1, 255, 256, 257, 8192, 65536, u32::MAX]);
        packet.extend_from_slice(&len.to_be_bytes());
    }
    if opcode.is_some_and(Opcode::has_aeth) {
        let syndrome = dice.pick(&[0x1f, 0x1f, 0x1f, 0x2c, 0x60, 0x60, 0x61, 0x63, 0xe0]);
        packet.extend_from_slice(&[syndrome, 0, 0, 1]);
    }
    let len = dice.pick(&[0, 1, 4, 20, 255, 256, setup.mtu as usize, 5000]);
    packet.resize(packet.len() + len, 0xa5);
    packet
}
