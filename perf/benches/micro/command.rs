//! Whole SRP commands of 4 KiB at a null device over the simulated fabric: the target's real controller and poll group, and the
//! initiator that the tests have.

use std::net::SocketAddr;
use std::time::Duration;

use fabric::sim::{Network, SimOptions};
use hugepage_setup::AllocationRequest;
use mem::Region;
use reactor::{Instant, Poller, Waker};
use transport_srp::testing::{Form, Initiator, InitiatorOptions, MultiChannel, Request, lun};
use transport_srp::{Controller, ControllerOptions, LunOptions, MemoryOptions, PollGroup, limits};

const BLOCK: u32 = 512;
const BLOCKS: u16 = 8;
/// Enough for 32 commands and the one that the initiator keeps for task management.
const CREDITS: u32 = 64;
/// Virtual time between two rounds.
const ROUND: Duration = Duration::from_micros(2);

/// READ(10) into one piece of memory.
pub fn read() -> Request {
    read_of(0)
}

fn read_of(number: u16) -> Request {
    Request::read(lun(number), 0, BLOCKS, BLOCK)
}

/// WRITE(10) whose data come with the request.
pub fn write() -> Request {
    Request::write(lun(0), 8, BLOCK, vec![7; usize::from(BLOCKS) * BLOCK as usize]).form(Form::Immediate)
}

/// WRITE(10) whose data are fetched.
pub fn fetched_write() -> Request {
    Request::write(lun(0), 8, BLOCK, vec![7; usize::from(BLOCKS) * BLOCK as usize])
}

/// `depth` commands are sent, and answered.
pub fn body(request: Request, depth: usize) -> Box<dyn FnMut()> {
    let mut scene = Scene::new(Scale::default());
    let mut handles = Vec::with_capacity(depth);
    Box::new(move || {
        let Scene { target, sessions } = &mut scene;
        let Session { initiator, channels } = &mut sessions[0];
        handles.extend((0..depth).map(|_| initiator.start(channels[0], &request).expect("sent")));
        for handle in handles.drain(..) {
            initiator.finish(handle, &mut || target.step()).good();
        }
    })
}

/// Commands that are under way at once on each reactor where there is much of something, whatever it is.
const SCALED_DEPTH: usize = 32;

/// How much of everything there is.
#[derive(Clone, Copy)]
pub struct Scale {
    /// Sessions, of an initiator each; at most 256.
    pub sessions: u16,
    /// Channels of each.
    pub channels: u16,
    /// Units, each with a device of its own; every session sees all of them.
    pub luns: u16,
    /// Reactors, over which a session's channels are spread.
    pub reactors: u16,
}

impl Default for Scale {
    fn default() -> Scale {
        Scale { sessions: 1, channels: 1, luns: 1, reactors: 1 }
    }
}

/// Reads, each by the next session, the next channel and at the next unit.
pub fn scaled(scale: Scale) -> Box<dyn FnMut()> {
    let mut scene = Scene::new(scale);
    let requests: Vec<Request> = (0..scale.luns).map(read_of).collect();
    let depth = SCALED_DEPTH * usize::from(scale.reactors);
    let mut handles = Vec::with_capacity(depth);
    let mut turn = 0;
    Box::new(move || {
        let Scene { target, sessions } = &mut scene;
        for _ in 0..depth {
            let number = turn % sessions.len();
            let Session { initiator, channels } = &mut sessions[number];
            let channel = channels[turn / usize::from(scale.sessions) % channels.len()];
            handles.push((number, initiator.start(channel, &requests[turn % requests.len()]).expect("sent")));
            turn += 1;
        }
        for (number, handle) in handles.drain(..) {
            sessions[number].initiator.finish(handle, &mut || target.step()).good();
        }
    })
}

/// The poll group finds that there is nothing to do.
pub fn round() -> Box<dyn FnMut()> {
    let mut scene = Scene::new(Scale::default());
    Box::new(move || scene.target.step())
}

/// A target with its units, and initiators that are logged in.
struct Scene {
    target: Target,
    sessions: Vec<Session>,
}

struct Session {
    initiator: Initiator,
    channels: Vec<usize>,
}

struct Target {
    network: Network,
    controller: Controller,
    groups: Vec<PollGroup>,
}

impl Scene {
    fn new(scale: Scale) -> Scene {
        let network = Network::new(1, SimOptions::default());
        let memory = MemoryOptions::for_channels(u32::from(scale.sessions * scale.channels), CREDITS);
        let request = AllocationRequest { lock: false, ..AllocationRequest::new(memory.region_bytes()) };
        let region = |_| (Waker::new(), Region::new(hugepage_setup::allocate(&request).expect("memory")));
        let reactors = (0..scale.reactors).map(region).collect();
        let fabrics = vec![fabric::Control::Sim(network.control())];
        let trace_events = limits::TRACE_EVENTS_DEFAULT;
        let options = ControllerOptions { credits: CREDITS, memory, trace_events, slow_threshold: None };
        let (mut controller, seeds) = Controller::new(options, fabrics, reactors, Waker::new());
        let groups = seeds.into_iter().map(|seed| seed.settle()).collect();
        let address = SocketAddr::from(([192, 0, 2, 100], 5555));
        controller.create_target("tgt0", 1, 2).expect("a target");
        controller.create_listener("sim", address).expect("a listener");
        for number in 0..scale.luns {
            controller.add_lun("tgt0", &crate::null_io::device(number), &LunOptions::default()).expect("a LUN");
        }
        let mut target = Target { network, controller, groups };
        let sessions = (0..scale.sessions).map(|number| target.log_in(number as u8, address, scale)).collect();
        Scene { target, sessions }
    }
}

impl Target {
    fn log_in(&mut self, number: u8, address: SocketAddr, scale: Scale) -> Session {
        let mut port = [0; 16];
        (port[7], port[15]) = (1, 2);
        let options = InitiatorOptions::new(number, address, port);
        let mut initiator = Initiator::new(&self.network, options);
        let open = |_| initiator.open(MultiChannel::Multi, &mut || self.step()).expect("the login is accepted");
        let channels: Vec<usize> = (0..scale.channels).map(open).collect();
        for number in 0..scale.luns {
            // Is answered with the unit attention that greets a new nexus.
            initiator.execute(channels[0], &Request::test_unit_ready(lun(number)), &mut || self.step());
        }
        Session { initiator, channels }
    }

    fn step(&mut self) {
        self.network.advance(ROUND);
        let now = Instant(u64::try_from(self.network.now().as_nanos()).expect("585 years"));
        self.controller.poll(now);
        for group in &mut self.groups {
            group.poll(now);
        }
    }
}
