//! The whole target over the simulated fabric: both planes in one thread, virtual time, an initiator that checks every rule.

mod alua;
mod background;
mod cdrom;
mod change;
mod compare_and_write;
mod conformance;
mod copy;
mod data;
mod foreign_bytes;
mod logins;
mod management;
mod masking;
mod modes;
mod orphans;
mod overlap;
mod passthrough;
mod protection;
mod queue_depth;
mod queue_error;
mod races;
mod random;
mod reservations;
mod scene;
mod statistics;
mod stuck;
mod task_set;
mod trace;
mod units;
pub(crate) mod witness;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bdev::Bdev;
use fabric::sim::{Network, SimOptions};
use hugepage_setup::{AllocationRequest, PageKind};
use mem::Region;
use reactor::{Instant, Poller, Waker};

use crate::testing::{Initiator, InitiatorOptions, MultiChannel, Request, lun};
use crate::{Controller, ControllerOptions, LunOptions, MemoryOptions, PollGroup};

const ID_EXT: u64 = 0x0002_c903_0000_1234;
const IOC_GUID: u64 = 0x0002_c903_0000_5678;
const BLOCK: u32 = 512;

/// Buffers for small tests: little memory, so that shortage is met too.
fn small_memory() -> MemoryOptions {
    MemoryOptions { small_data: 8, medium_data: 4, large_data: 2, tables: 2, receives: 600, messages: 700 }
}

/// A target on a network of its own.
struct Rig {
    network: Network,
    controller: Controller,
    groups: Vec<PollGroup>,
}

impl Rig {
    /// A target `tgt0` with this many reactors, listening, without LUNs.
    fn new(seed: u64, reactors: usize, options: SimOptions, credits: u32) -> Rig {
        Rig::with(seed, reactors, options, credits, 4096)
    }

    /// As [`Rig::new`], with so many events of each reactor kept.
    fn with(seed: u64, reactors: usize, options: SimOptions, credits: u32, trace_events: usize) -> Rig {
        let network = Network::new(seed, options);
        let memory = small_memory();
        let region = |_| {
            let mut request = AllocationRequest::new(memory.region_bytes());
            (request.max_page, request.lock) = (PageKind::Ordinary, false);
            (Waker::new(), Region::new(hugepage_setup::allocate(&request).expect("memory for a test")))
        };
        let fabrics = vec![fabric::Control::Sim(network.control())];
        let reactors = (0..reactors).map(region).collect();
        let options = ControllerOptions { credits, memory, trace_events, slow_threshold: None };
        let (mut controller, seeds) = Controller::new(options, fabrics, reactors, Waker::new());
        controller.create_target("tgt0", ID_EXT, IOC_GUID).expect("a target");
        controller.create_listener("sim", address()).expect("a listener");
        let groups: Vec<PollGroup> = seeds.into_iter().map(|seed| seed.settle()).collect();
        let mut rig = Rig { network, controller, groups };
        rig.run(20);
        rig
    }

    /// One round of everything, and a little time.
    fn step(&mut self) {
        self.network.advance(Duration::from_micros(2));
        let now = Instant(u64::try_from(self.network.now().as_nanos()).expect("tests are short"));
        self.controller.poll(now);
        for group in &mut self.groups {
            group.poll(now);
        }
    }

    fn run(&mut self, rounds: usize) {
        (0..rounds).for_each(|_| self.step());
    }

    fn export(&mut self, bdev: &Arc<Bdev>) -> u16 {
        let lun = self.controller.add_lun("tgt0", bdev, &LunOptions::default()).expect("a LUN");
        self.run(5);
        lun
    }

    fn initiator(&self, number: u8) -> Initiator {
        Initiator::new(&self.network, initiator_options(number))
    }

    /// Logs in and takes the unit attention of LUN 0.
    fn login(&mut self, initiator: &mut Initiator, action: MultiChannel) -> usize {
        initiator.open(action, &mut || self.step()).expect("the login is accepted")
    }

    /// Runs a command to its end.
    fn execute(&mut self, initiator: &mut Initiator, channel: usize, request: &Request) -> crate::testing::Outcome {
        initiator.execute(channel, request, &mut || self.step())
    }

    /// Takes the unit attentions of a fresh session away.
    fn clear_attention(&mut self, initiator: &mut Initiator, channel: usize, number: u16) {
        for _ in 0..3 {
            let answer = self.execute(initiator, channel, &Request::test_unit_ready(lun(number))).answer();
            if answer.status == 0 {
                return;
            }
        }
        panic!("LUN {number} does not become ready");
    }

    /// Commands that any poll group still holds.
    fn commands(&self) -> usize {
        self.groups.iter().map(|group| group.commands.len()).sum()
    }

    /// Every buffer is where it belongs when nobody is logged in.
    fn check_nothing_leaked(&mut self) {
        for _ in 0..100 {
            self.network.advance(Duration::from_millis(1));
            self.step();
        }
        assert!(self.controller.sessions().is_empty(), "sessions are left: {:?}", self.controller.sessions());
        assert_eq!(self.commands(), 0, "commands are left");
        for group in &self.groups {
            assert_eq!(group.channels.len(), 0, "channels are left");
            assert_eq!(group.orders.len(), 0, "orders are left");
            for pool in group.memory.data.pools().iter().chain([
                &group.memory.tables,
                &group.memory.receives,
                &group.memory.messages,
            ]) {
                assert_eq!(pool.available(), pool.capacity(), "buffers of {} bytes are missing", pool.buffer_size());
            }
        }
    }
}

fn address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 100], 5555))
}

fn initiator_options(number: u8) -> InitiatorOptions {
    let mut port = [0; 16];
    port[..8].copy_from_slice(&ID_EXT.to_be_bytes());
    port[8..].copy_from_slice(&IOC_GUID.to_be_bytes());
    InitiatorOptions::new(number, address(), port)
}

fn malloc(name: &str, num_blocks: u64) -> Arc<Bdev> {
    let options =
        bdev::malloc::MallocOptions { name: name.into(), num_blocks, block_size: BLOCK, ..Default::default() };
    bdev::malloc::create(options).expect("a RAM disk")
}

/// Bytes that differ from block to block.
fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|index| (index / 512) as u8 ^ (index as u8).wrapping_mul(7) ^ seed).collect()
}
