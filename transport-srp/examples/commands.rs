//! Reads and writes of 4 KiB over the simulated fabric at a null device, so many of each as the first argument says: what scripts in `perf/compare`
//! count the instructions of. The fabric and the initiator are included, and stay what they are when the target changes.
//!
//! More arguments: the size of the trace's ring (4096), the threshold of slow commands in microseconds (0: none), and how many
//! commands are under way at once (1).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use fabric::sim::{Network, SimOptions};
use hugepage_setup::AllocationRequest;
use mem::Region;
use reactor::{Instant, Poller, Waker};
use transport_srp::testing::{Form, Initiator, InitiatorOptions, MultiChannel, Request, lun};
use transport_srp::{Controller, ControllerOptions, LunOptions, MemoryOptions, PollGroup};

const BLOCK: u32 = 512;
const BLOCKS: u16 = 8;

fn argument(number: usize) -> Option<usize> {
    std::env::args().nth(number).map(|text| text.parse().expect("a number"))
}

fn main() {
    let count = argument(1).expect("a number of commands");
    let network = Network::new(1, SimOptions::default());
    let memory = MemoryOptions::for_channels(1, 32);
    let mut request = AllocationRequest::new(memory.region_bytes());
    request.lock = false;
    let region = Region::new(hugepage_setup::allocate(&request).expect("memory"));
    let fabrics = vec![fabric::Control::Sim(network.control())];
    let slow_threshold = argument(3).filter(|&us| us > 0).map(|us| Duration::from_micros(us as u64));
    let trace_events = argument(2).unwrap_or(transport_srp::limits::TRACE_EVENTS_DEFAULT);
    let options = ControllerOptions { credits: 32, memory, trace_events, slow_threshold };
    let (mut controller, seeds) = Controller::new(options, fabrics, vec![(Waker::new(), region)], Waker::new());
    let mut group: PollGroup = seeds.into_iter().map(|seed| seed.settle()).next().expect("one reactor");
    let address = SocketAddr::from(([192, 0, 2, 100], 5555));
    controller.create_target("tgt0", 1, 2).expect("a target");
    controller.create_listener("sim", address).expect("a listener");
    let disk = bdev::null::NullOptions { name: "null0".into(), num_blocks: 4096, ..Default::default() };
    let disk = bdev::null::create(disk).expect("a null device");
    controller.add_lun("tgt0", &disk, &LunOptions::default()).expect("a LUN");
    let mut port = [0; 16];
    (port[7], port[15]) = (1, 2);
    let mut initiator = Initiator::new(&network, InitiatorOptions::new(1, address, port));
    let step = &mut || {
        network.advance(Duration::from_micros(2));
        let now = Instant(u64::try_from(network.now().as_nanos()).expect("585 years"));
        controller.poll(now);
        group.poll(now);
    };
    let channel = initiator.open(MultiChannel::Single, step).expect("the login is accepted");
    let read = Request::read(lun(0), 0, BLOCKS, BLOCK);
    let write = Request::write(lun(0), 8, BLOCK, vec![7; usize::from(BLOCKS) * BLOCK as usize]).form(Form::Immediate);
    let depth = argument(4).unwrap_or(1);
    let mut under_way = VecDeque::new();
    for request in [read, write].iter().cycle().take(2 * count) {
        under_way.push_back(initiator.start(channel, request).expect("the command is sent"));
        if under_way.len() == depth {
            under_way.drain(..).for_each(|handle| drop(initiator.finish(handle, step)));
        }
    }
}
