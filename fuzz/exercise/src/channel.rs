//! What must hold of a whole target whatever initiators send: it answers or ends the channel, gets all its buffers back, and other sessions notice
//! nothing.
//!
//! ```text
//!  hostile hosts ──logins, IUs: any bytes, or nearly right──► tgt0 ┐
//!                                                                  ├ one target process over the simulated fabric
//!  witness ──READs whose data are known──────────────────────► tgt1 ┘
//! ```

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bdev::Bdev;
use bdev::malloc::MallocOptions;
use fabric::sim::{Access, ConnectOptions, Host, Initiator as End, Network, Registration, SimOptions};
use hugepage_setup::{AllocationRequest, PageKind};
use mem::Region;
use reactor::{Instant, Poller, Waker};
use transport_srp::testing::wire::{LoginForm, LoginRequest};
use transport_srp::testing::{Initiator, InitiatorOptions, MultiChannel, Request, lun};
use transport_srp::{Controller, ControllerOptions, LunOptions, MemoryOptions, PollGroup};

use crate::script::Script;

const BLOCK: usize = 512;
const BLOCKS: u8 = 64;
const CREDITS: u32 = 8;
/// Connections of a script, at most.
const ENDS_MAX: usize = 6;
/// Steps of a script, at most: those behind would find what others have.
const STEPS_MAX: usize = 200;
/// What a hostile initiator can be made to reach.
const MEMORY: u32 = 8192;

/// Port identifiers: of the target that scripts log in to, and of the witness's.
const PORTS: [[u8; 16]; 2] = [*b"hostile0hostile0", *b"witness1witness1"];

/// Plays connections and what is sent on them, as `bytes` say: each step takes a byte that says what happens, and as many more as
/// it needs.
pub fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let mut world = World::new();
    let mut witness = Witness::new(&mut world);
    let mut hostile = Hostile { host: world.network.host(), ends: Vec::new(), has_vanished: false };
    for _ in 0..STEPS_MAX {
        if script.is_empty() {
            break;
        }
        hostile.step(&mut script, &mut world);
        world.run(1);
        hostile.take();
    }
    world.run(20);
    hostile.take();
    witness.reads(&mut world);
    world.settle();
    if hostile.has_vanished {
        world.outwait_retries();
    }
    hostile.take();
    // Whoever is still connected has been answered: the target has nothing left to do.
    assert_eq!(world.commands(), 0, "commands are under way for ever");
    hostile.ends.iter_mut().for_each(|end| end.end.disconnect());
    witness.reads(&mut world);
    witness.initiator.disconnect(witness.channel);
    world.settle();
    if hostile.has_vanished {
        // Of a host that is gone without a word nothing tells while the target has nothing to say to it.
        world.close_sessions();
    }
    world.check_nothing_leaked();
}

/// The target and its network.
struct World {
    network: Network,
    controller: Controller,
    group: PollGroup,
}

impl World {
    fn new() -> World {
        let network = Network::new(1, SimOptions::default());
        // Little, so that shortage is met too.
        let memory = MemoryOptions {
            small_data: 4,
            medium_data: 2,
            large_data: 1,
            tables: 1,
            receives: 16 * ENDS_MAX,
            messages: 20 * ENDS_MAX,
        };
        let mut request = AllocationRequest::new(memory.region_bytes());
        (request.max_page, request.lock) = (PageKind::Ordinary, false);
        let region = Region::new(hugepage_setup::allocate(&request).expect("memory"));
        let fabrics = vec![fabric::Control::Sim(network.control())];
        let options = ControllerOptions { credits: CREDITS, memory, trace_events: 16, slow_threshold: None };
        let (mut controller, seeds) = Controller::new(options, fabrics, vec![(Waker::new(), region)], Waker::new());
        controller.create_listener("sim", address()).expect("a listener");
        for (number, port) in PORTS.iter().enumerate() {
            let [id_ext, ioc_guid] = [&port[..8], &port[8..]].map(|half| half.try_into().expect("8 bytes"));
            let name = format!("tgt{number}");
            controller
                .create_target(&name, u64::from_be_bytes(id_ext), u64::from_be_bytes(ioc_guid))
                .expect("a target");
            controller.add_lun(&name, &disk(&name), &LunOptions::default()).expect("a LUN");
        }
        let group = seeds.into_iter().map(|seed| seed.settle()).next().expect("one reactor");
        let mut world = World { network, controller, group };
        world.run(20);
        world
    }

    fn step(&mut self, by: Duration) {
        self.network.advance(by);
        let now = Instant(u64::try_from(self.network.now().as_nanos()).expect("scripts are short"));
        self.controller.poll(now);
        self.group.poll(now);
    }

    fn run(&mut self, rounds: usize) {
        (0..rounds).for_each(|_| self.step(Duration::from_micros(2)));
    }

    /// Long enough for everything that is under way to end, and for gauges to tell.
    fn settle(&mut self) {
        (0..100).for_each(|_| self.step(Duration::from_millis(2)));
    }

    fn commands(&mut self) -> u64 {
        self.controller.statistics().groups.iter().map(|group| group.commands).sum()
    }

    fn close_sessions(&mut self) {
        for session in self.controller.sessions() {
            self.controller.close_session(session.id).expect("it is there");
        }
        self.outwait_retries();
    }

    /// Long enough for devices to give up whom nobody answers for.
    fn outwait_retries(&mut self) {
        (0..50).for_each(|_| self.step(Duration::from_millis(200)));
        self.settle();
    }

    fn check_nothing_leaked(&mut self) {
        let sessions = self.controller.sessions();
        assert!(sessions.is_empty(), "sessions are left: {sessions:?}");
        for group in self.controller.statistics().groups {
            assert_eq!((group.commands, group.orphans), (0, 0), "commands are left");
            assert!(group.channels.iter().all(|(_, count)| *count == 0), "channels are left: {:?}", group.channels);
            for pool in group.pools {
                assert_eq!(pool.free, pool.capacity, "buffers are missing: {}", pool.name);
            }
        }
    }
}

fn address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 100], 5555))
}

fn disk(name: &str) -> Arc<Bdev> {
    let options =
        MallocOptions { name: name.into(), num_blocks: BLOCKS.into(), block_size: BLOCK as u32, ..Default::default() };
    bdev::malloc::create(options).expect("a RAM disk")
}

/// A session that must not notice anything.
struct Witness {
    initiator: Initiator,
    channel: usize,
}

impl Witness {
    /// Logs in and writes what it will read.
    fn new(world: &mut World) -> Witness {
        let options = InitiatorOptions::new(250, address(), PORTS[1]);
        let mut initiator = Initiator::new(&world.network, options);
        let channel = initiator.open(MultiChannel::Single, &mut || world.run(1)).expect("the login is accepted");
        let attention = Request::test_unit_ready(lun(0));
        (0..3).for_each(|_| drop(initiator.execute(channel, &attention, &mut || world.run(1)).answer()));
        let write = Request::write(lun(0), 0, BLOCK as u32, Witness::content());
        initiator.execute(channel, &write, &mut || world.run(1)).good();
        Witness { initiator, channel }
    }

    fn content() -> Vec<u8> {
        (0..8 * BLOCK).map(|at| (at / BLOCK) as u8 ^ (at as u8).wrapping_mul(7)).collect()
    }

    fn reads(&mut self, world: &mut World) {
        let read = Request::read(lun(0), 0, 8, BLOCK as u32);
        let answer = self.initiator.execute(self.channel, &read, &mut || world.run(1)).good();
        assert!(answer.data == Witness::content(), "the witness reads other data than it wrote");
    }
}

/// Initiators that keep to nothing.
struct Hostile {
    host: Host,
    ends: Vec<HostileEnd>,
    has_vanished: bool,
}

struct HostileEnd {
    end: End,
    memory: Registration,
    /// Tags of all that was sent.
    tags: BTreeSet<[u8; 8]>,
    sent: usize,
    answers: usize,
}

impl Hostile {
    fn step(&mut self, script: &mut Script<'_>, world: &mut World) {
        let step = script.byte();
        let chosen = usize::from(step >> 4) % self.ends.len().max(1);
        match step & 0x0f {
            0 | 1 => self.connect(script, step & 1 != 0),
            2 => {
                let len = script.byte().into();
                let iu = script.take(len).to_vec();
                self.send(chosen, iu);
            }
            3..=9 => {
                let Some(end) = self.ends.get(chosen) else { return };
                let iu = command(script, &end.memory);
                self.send(chosen, iu);
            }
            10 => {
                let iu = task_management(script);
                self.send(chosen, iu);
            }
            11 => world.step(Duration::from_micros(1 << (script.byte() % 24))),
            12 => self.with(chosen, |end| end.end.disconnect()),
            13 => {
                self.has_vanished = true;
                self.with(chosen, |end| end.end.vanish());
            }
            // The key is gone while it may be in use.
            14 => {
                if let Some(end) = self.ends.get_mut(chosen) {
                    end.memory = self.host.renew(&end.memory);
                }
            }
            _ => world.run(script.byte().into()),
        }
    }

    fn with(&mut self, chosen: usize, act: fn(&mut HostileEnd)) {
        self.ends.get_mut(chosen).into_iter().for_each(act);
    }

    /// With private data of the script's, or with a login in which it changes some bytes.
    fn connect(&mut self, script: &mut Script<'_>, any: bool) {
        if self.ends.len() >= ENDS_MAX {
            return;
        }
        let number = script.byte();
        let mut private_data = if any {
            let len = usize::from(script.byte()).min(90);
            script.take(len).to_vec()
        } else {
            login(number, script)
        };
        // Only who knows a target's name gets in; this one's is nobody's.
        if private_data.windows(16).any(|port| port == PORTS[1]) {
            private_data.clear();
        }
        let memory = self.host.register(MEMORY, Access::BOTH);
        let options = ConnectOptions {
            peer: SocketAddr::from(([192, 0, 2, number % 8], 40_000)),
            to: address(),
            private_data,
            reads_served: number % 5,
            receives: 4 * STEPS_MAX as u32,
            receive_len: 4096,
        };
        let end = self.host.connect(options);
        self.ends.push(HostileEnd { end, memory, tags: BTreeSet::new(), sent: 0, answers: 0 });
    }

    fn send(&mut self, chosen: usize, iu: Vec<u8>) {
        let Some(end) = self.ends.get_mut(chosen) else { return };
        // Not connected (any more): then nothing was sent.
        if end.end.send(&iu).is_ok() {
            end.sent += 1;
            end.tags.extend(iu.get(8..16).and_then(|tag| <[u8; 8]>::try_from(tag).ok()));
        }
    }

    /// Looks at what the target said: nothing that was not asked for.
    fn take(&mut self) {
        const RSP: u8 = 0xc1;
        for end in &mut self.ends {
            while end.end.poll().is_some() {}
            while let Some(message) = end.end.receive() {
                if message[0] == RSP {
                    end.answers += 1;
                    let tag: [u8; 8] = message[8..16].try_into().expect("8 bytes");
                    assert!(end.tags.contains(&tag), "an answer to nothing: {message:02x?}");
                    assert!(end.answers <= end.sent, "more answers than requests");
                }
            }
        }
    }
}

/// SRP_LOGIN_REQ to the hostile target, with up to three bytes changed.
fn login(number: u8, script: &mut Script<'_>) -> Vec<u8> {
    let shape = script.byte();
    let form = [LoginForm::RdmaCm, LoginForm::InfiniBandCm, LoginForm::EarlyRdmaCm][usize::from(shape % 3)];
    let mut initiator_port = [0; 16];
    initiator_port[15] = number % 3;
    let request = LoginRequest {
        tag: *b"loginlog",
        max_it_iu_len: if shape & 0x10 == 0 { 8260 } else { 64 },
        formats: 6,
        // One channel or several, immediate data or none.
        flags: shape >> 6 & 1 | shape & 0x80,
        immediate_offset: 68,
        initiator_port,
        target_port: PORTS[0],
    };
    let mut bytes = request.encode(form);
    for _ in 0..shape >> 2 & 3 {
        let (at, value) = (usize::from(script.byte()) % bytes.len(), script.byte());
        bytes[at] = value;
    }
    bytes
}

/// SRP_CMD, most of it sensible: the script chooses the CDB, the form of the buffers, and where they lie.
fn command(script: &mut Script<'_>, memory: &Registration) -> Vec<u8> {
    let (forms, tag, shape) = (script.byte(), script.byte(), script.byte());
    let mut iu = vec![0; 48];
    (iu[0], iu[1], iu[5], iu[15]) = (0x02, shape & 7, forms, tag);
    iu[21] = shape >> 7;
    iu[29] = shape >> 4 & 7;
    let cdb_bytes = usize::from(script.byte() % 8);
    let drawn = script.take(4 + 4 * cdb_bytes);
    let cdb = scsi::script::cdb(drawn, BLOCKS.into());
    let additional = cdb.len().saturating_sub(16).next_multiple_of(4);
    iu[31] = (additional as u8) << 2 & 0xfc;
    iu.resize(48 + additional, 0);
    iu[32..][..cdb.len()].copy_from_slice(&cdb);
    for (direction, form) in [(0, forms >> 4), (1, forms & 0x0f)] {
        match form {
            0 => (),
            1 => iu.extend(descriptor(script, memory)),
            2 => {
                let inline = script.byte() % 6;
                iu[6 + direction] = inline;
                let table = descriptor(script, memory);
                iu.extend(table);
                iu.extend(script.number().to_be_bytes());
                (0..inline).for_each(|_| iu.extend(descriptor(script, memory)));
            }
            // Immediate data, or a form that there is not.
            _ => {
                let len = usize::from(script.byte());
                iu.extend((len as u32).to_be_bytes());
                iu.resize(iu.len().max(68), 0);
                iu.extend(script.take(len));
            }
        }
    }
    if shape & 8 != 0 {
        let (at, value) = (usize::from(script.byte()) % iu.len(), script.byte());
        iu[at] = value;
    }
    iu
}

/// Memory that there is, or partly, or anywhere.
fn descriptor(script: &mut Script<'_>, memory: &Registration) -> Vec<u8> {
    let (shape, offset, len) = (script.byte(), script.byte(), script.byte());
    let mut bytes = Vec::new();
    let addr = memory.addr.wrapping_add(u64::from(offset) * 16);
    let (addr, rkey) = match shape {
        0xf0 => (u64::MAX - u64::from(offset), memory.rkey),
        0xf1 => (addr, memory.rkey.wrapping_add(1)),
        _ => (addr, memory.rkey),
    };
    let len = match shape % 8 {
        0 => u32::from(len) * BLOCK as u32,
        1 => script.number(),
        _ => u32::from(len) * 16,
    };
    bytes.extend(addr.to_be_bytes());
    bytes.extend(rkey.to_be_bytes());
    bytes.extend(len.to_be_bytes());
    bytes
}

/// SRP_TSK_MGMT.
fn task_management(script: &mut Script<'_>) -> Vec<u8> {
    const FUNCTIONS: [u8; 8] = [0x01, 0x02, 0x04, 0x08, 0x40, 0x10, 0x20, 0xff];
    let (tag, function, task) = (script.byte(), script.byte(), script.byte());
    let mut iu = vec![0; 48];
    (iu[0], iu[15], iu[31], iu[39]) = (0x01, tag, FUNCTIONS[usize::from(function % 8)], task);
    iu[21] = function >> 7;
    iu
}
