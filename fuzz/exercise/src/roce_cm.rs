//! What must hold for a connection manager whatever comes.

use std::net::SocketAddr;

use fabric::PrivateData;
use fabric::roce::cm::{Cm, CmEvent, CmId, CmOptions, CmReply, CmRequest, MAD_LEN};
use fabric::roce::packet_io::Path;
use fabric::roce::wire::Psn;

/// Connections that are not established are bounded by this.
const HALF_OPEN_MAX: usize = 4;

/// Everything ends by itself within this time: exchanges, repetitions and the time wait behind them.
const ALL_ENDS_NS: u64 = 600_000_000_000;

/// Plays two connection managers and the network between them: each step takes a byte of `bytes` that says what
/// happens, and as many more as it needs.
pub fn run(bytes: &[u8]) {
    let mut script = Script(bytes);
    let mut play = Play { sides: [Side::new(1), Side::new(2)], under_way: Vec::new(), now: 0 };
    while let Some(step) = script.byte() {
        play.step(step, &mut script);
        play.settle();
    }
    play.end();
}

struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn number(&mut self) -> usize {
        self.byte().unwrap_or(0).into()
    }
}

struct Side {
    cm: Cm,
    address: SocketAddr,
    /// Known to the user, who has to destroy them.
    ids: Vec<CmId>,
    requested: Vec<CmId>,
}

impl Side {
    fn new(number: u8) -> Side {
        let options = CmOptions { node_guid: number.into(), seed: number.into(), half_open_max: HALF_OPEN_MAX };
        let address = SocketAddr::from(([192, 0, 2, number], 4791));
        Side { cm: Cm::new(options), address, ids: Vec::new(), requested: Vec::new() }
    }
}

struct Play {
    sides: [Side; 2],
    /// To which side, and what.
    under_way: Vec<(usize, Path, [u8; MAD_LEN])>,
    now: u64,
}

impl Play {
    fn step(&mut self, step: u8, script: &mut Script<'_>) {
        let side = usize::from(step >> 7);
        let peer = self.sides[1 - side].address;
        let Side { cm, address, ids, requested } = &mut self.sides[side];
        match step & 0x0f {
            0 => {
                if ids.len() < 64 {
                    let path = Path { local: *address, peer };
                    ids.push(cm.connect(self.now, &path, request(script)));
                }
            }
            1 => {
                if let Some(id) = pick(requested, script) {
                    cm.accept(self.now, id, reply(script));
                }
            }
            2 => {
                if let Some(id) = pick(requested, script) {
                    cm.reject(self.now, id, &[7; 148][..script.number() % 149]);
                }
            }
            3 => {
                if let Some(&id) = ids.get(script.number()) {
                    cm.disconnect(self.now, id);
                }
            }
            4 => {
                if let Some(id) = pick(ids, script) {
                    requested.retain(|&other| other != id);
                    cm.destroy(self.now, id);
                }
            }
            5 => {
                if let Some(&id) = ids.get(script.number()) {
                    cm.packet_arrived(self.now, id);
                }
            }
            6 => self.now += 1_000_000 << (script.number() % 16),
            7 => {
                // Lost.
                pick(&mut self.under_way, script);
            }
            8 => {
                // Twice.
                if let Some(&again) = self.under_way.get(script.number()) {
                    self.under_way.push(again);
                }
            }
            9 => {
                // Damaged, as only someone who computes a right ICRC can.
                let index = script.number();
                let (at, value) = (script.number(), script.byte().unwrap_or(0));
                if let Some((_, _, mad)) = self.under_way.get_mut(index) {
                    mad[at] = value;
                }
            }
            10 => {
                // Anything from anyone.
                let (message, rest) = script.0.split_at(script.0.len().min(MAD_LEN));
                script.0 = rest;
                let from = SocketAddr::from(([192, 0, 2, 3], 4791));
                cm.on_mad(self.now, &Path { local: *address, peer: from }, 1024, &|port| port == 5555, message);
            }
            _ => {
                // Arrives.
                if let Some((to, path, mad)) = pick(&mut self.under_way, script) {
                    let there = Path { local: path.peer, peer: path.local };
                    self.sides[to].cm.on_mad(self.now, &there, 4096, &|port| port == 5555, &mad);
                }
            }
        }
    }

    /// Takes what both sides have to say and to report.
    fn settle(&mut self) {
        for side in 0..2 {
            let Side { cm, ids, requested, .. } = &mut self.sides[side];
            cm.on_time(self.now);
            while let Some(event) = cm.next_event() {
                match event {
                    CmEvent::Requested { id, .. } => {
                        assert!(!ids.contains(&id), "an id was given out twice");
                        ids.push(id);
                        requested.push(id);
                        assert!(requested.len() <= HALF_OPEN_MAX + 64, "too many are half open");
                    }
                    CmEvent::Rejected { id, .. } => ids.retain(|&other| other != id),
                    CmEvent::Ended { id, .. } => {
                        assert!(ids.contains(&id), "an event of a connection that is not known");
                        requested.retain(|&other| other != id);
                    }
                    CmEvent::Established { id } | CmEvent::Connected { id, .. } => {
                        assert!(ids.contains(&id), "an event of a connection that is not known");
                    }
                }
            }
            while let Some((path, mad)) = cm.next_mad(self.now) {
                if self.under_way.len() < 256 {
                    self.under_way.push((1 - side, path, mad));
                }
            }
        }
    }

    /// Without a user and a network, nothing goes on for ever.
    fn end(mut self) {
        for Side { cm, ids, .. } in &mut self.sides {
            ids.drain(..).for_each(|id| cm.destroy(self.now, id));
        }
        let until = self.now + ALL_ENDS_NS;
        while self.now < until {
            self.now += 1_000_000_000;
            self.settle();
        }
        self.under_way.clear();
        self.now += 1_000_000_000;
        self.settle();
        assert!(self.under_way.is_empty(), "something is said for ever");
    }
}

fn pick<T>(list: &mut Vec<T>, script: &mut Script<'_>) -> Option<T> {
    let index = script.number();
    (index < list.len()).then(|| list.swap_remove(index))
}

fn request(script: &mut Script<'_>) -> CmRequest {
    let (port, number) = (if script.number() < 250 { 5555 } else { 1 }, script.number() as u32);
    CmRequest {
        port,
        source_port: 1,
        remote_qpn: 2 + number % 4,
        passive_sends_from: Psn::new(number),
        responder_resources: 4,
        initiator_depth: 0,
        mtu: 1024,
        ack_timeout: 14,
        retry_count: 7,
        rnr_retry: 7,
        flow_control: true,
        private_data: PrivateData::new(),
    }
}

fn reply(script: &mut Script<'_>) -> CmReply {
    let number = script.number() as u32;
    CmReply {
        qpn: 2 + number,
        active_sends_from: Psn::new(number),
        responder_resources: 0,
        initiator_depth: 4,
        rnr_retry: 7,
        private_data: PrivateData::new(),
    }
}
