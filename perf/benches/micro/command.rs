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
    Request::read(lun(0), 0, BLOCKS, BLOCK)
}

/// WRITE(10) whose data come with the request.
pub fn write() -> Request {
    Request::write(lun(0), 8, BLOCK, vec![7; usize::from(BLOCKS) * BLOCK as usize]).form(Form::Immediate)
}

/// `depth` commands are sent, and answered.
pub fn body(request: Request, depth: usize) -> Box<dyn FnMut()> {
    let mut scene = Scene::new();
    let mut handles = Vec::with_capacity(depth);
    Box::new(move || {
        let Scene { target, initiator, channel } = &mut scene;
        handles.extend((0..depth).map(|_| initiator.start(*channel, &request).expect("sent")));
        for handle in handles.drain(..) {
            initiator.finish(handle, &mut || target.step()).good();
        }
    })
}

/// The poll group finds that there is nothing to do.
pub fn round() -> Box<dyn FnMut()> {
    let mut scene = Scene::new();
    Box::new(move || scene.target.step())
}

/// A target with one unit, and an initiator that is logged in.
struct Scene {
    target: Target,
    initiator: Initiator,
    channel: usize,
}

struct Target {
    network: Network,
    controller: Controller,
    group: PollGroup,
}

impl Scene {
    fn new() -> Scene {
        let network = Network::new(1, SimOptions::default());
        let memory = MemoryOptions::for_channels(1, CREDITS);
        let request = AllocationRequest { lock: false, ..AllocationRequest::new(memory.region_bytes()) };
        let region = Region::new(hugepage_setup::allocate(&request).expect("memory"));
        let fabrics = vec![fabric::Control::Sim(network.control())];
        let trace_events = limits::TRACE_EVENTS_DEFAULT;
        let options = ControllerOptions { credits: CREDITS, memory, trace_events, slow_threshold: None };
        let (mut controller, seeds) = Controller::new(options, fabrics, vec![(Waker::new(), region)], Waker::new());
        let group = seeds.into_iter().map(|seed| seed.settle()).next().expect("one reactor");
        let address = SocketAddr::from(([192, 0, 2, 100], 5555));
        controller.create_target("tgt0", 1, 2).expect("a target");
        controller.create_listener("sim", address).expect("a listener");
        controller.add_lun("tgt0", &crate::null_io::device(), &LunOptions::default()).expect("a LUN");
        let mut port = [0; 16];
        (port[7], port[15]) = (1, 2);
        let mut initiator = Initiator::new(&network, InitiatorOptions::new(1, address, port));
        let mut target = Target { network, controller, group };
        let channel = initiator.open(MultiChannel::Single, &mut || target.step()).expect("the login is accepted");
        // Is answered with the unit attention that greets a new nexus.
        initiator.execute(channel, &Request::test_unit_ready(lun(0)), &mut || target.step());
        Scene { target, initiator, channel }
    }
}

impl Target {
    fn step(&mut self) {
        self.network.advance(ROUND);
        let now = Instant(u64::try_from(self.network.now().as_nanos()).expect("585 years"));
        self.controller.poll(now);
        self.group.poll(now);
    }
}
