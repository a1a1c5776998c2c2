//! Once a channel is open, a poll group allocates nothing, whatever form the data are in: counted by an allocator of this test.
#![allow(unsafe_code, reason = "a global allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use fabric::sim::{Network, SimOptions};
use hugepage_setup::{AllocationRequest, PageKind};
use mem::Region;
use reactor::{Instant, Poller, Waker};
use transport_srp::testing::{Form, Initiator, InitiatorOptions, MultiChannel, Request, lun};
use transport_srp::{Controller, ControllerOptions, LunOptions, MemoryOptions, PollGroup};

struct Counting;

thread_local! {
    static COUNTING: Cell<bool> = const { Cell::new(false) };
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    if COUNTING.get() {
        CALLS.set(CALLS.get() + 1);
    }
}

// SAFETY: every call goes to the system's allocator unchanged; counting allocates nothing (const thread-local Cells).
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count();
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise, passed on.
        unsafe { System.realloc(memory, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const BLOCK: u32 = 512;

/// Lets time pass; what the poll group does meanwhile is counted.
fn step(network: &Network, controller: &mut Controller, group: &mut PollGroup) {
    network.advance(Duration::from_micros(2));
    let now = Instant(network.now().as_nanos() as u64);
    controller.poll(now);
    COUNTING.set(true);
    group.poll(now);
    COUNTING.set(false);
}

fn requests() -> Vec<Request> {
    let data = vec![7; 8192];
    vec![
        Request::test_unit_ready(lun(0)),
        Request::inquiry(lun(0), Some(0x83), 255),
        Request::read(lun(0), 0, 8, BLOCK),
        Request::write(lun(0), 8, BLOCK, data.clone()).form(Form::Immediate),
        Request::write(lun(0), 8, BLOCK, data.clone()),
        Request::read(lun(0), 0, 200, BLOCK).form(Form::inline(200 * BLOCK, 12)),
        Request::read(lun(0), 0, 200, BLOCK).form(Form::table(200 * BLOCK, 130, 2)),
        Request::write(lun(0), 0, BLOCK, data).form(Form::table(8192, 9, 2)),
        Request::read(lun(0), 1 << 30, 1, BLOCK),
        Request::write(lun(1), 8, BLOCK, vec![9; 4096]),
        Request::read(lun(1), 0, 16, BLOCK),
        with_protection(Request::read(lun(1), 8, 8, BLOCK + 8)),
        with_protection(Request::write(lun(1), 16, BLOCK + 8, vec![9; 520])), // of which the guard is wrong
    ]
}

/// RDPROTECT or WRPROTECT 001b (SBC-3).
fn with_protection(mut request: Request) -> Request {
    request.cdb[1] |= 0x20;
    request
}

#[test]
fn a_poll_group_allocates_nothing() {
    let network = Network::new(1, SimOptions::default());
    let memory = MemoryOptions::for_channels(2, 32);
    let mut request = AllocationRequest::new(memory.region_bytes());
    (request.max_page, request.lock) = (PageKind::Ordinary, false);
    let region = Region::new(hugepage_setup::allocate(&request).expect("memory for a test"));
    let fabrics = vec![fabric::Control::Sim(network.control())];
    let options = ControllerOptions { credits: 32, memory, slow_threshold: Some(Duration::ZERO), ..Default::default() };
    let (mut controller, seeds) = Controller::new(options, fabrics, vec![(Waker::new(), region)], Waker::new());
    let mut group = seeds.into_iter().map(|seed| seed.settle()).next().expect("one reactor");
    let address = SocketAddr::from(([192, 0, 2, 100], 5555));
    controller.create_target("tgt0", 1, 2).expect("a target");
    controller.create_listener("sim", address).expect("a listener");
    for (name, metadata) in [("ram0", None), ("ram1", Some(bdev::Metadata::of(bdev::ProtectionType::Type1)))] {
        let disk = bdev::malloc::MallocOptions { name: name.into(), num_blocks: 4096, metadata, ..Default::default() };
        let disk = bdev::malloc::create(disk).expect("a RAM disk");
        controller.add_lun("tgt0", &disk, &LunOptions::default()).expect("a LUN");
    }
    let mut port = [0; 16];
    (port[7], port[15]) = (1, 2);
    let mut initiator = Initiator::new(&network, InitiatorOptions::new(1, address, port));
    let step = &mut || step(&network, &mut controller, &mut group);
    let channel = initiator.open(MultiChannel::Single, step).expect("the login is accepted");

    // The simulated fabric keeps what it once allocated, so it needs one round to find its sizes.
    let mut run = |initiator: &mut Initiator| {
        for request in requests().iter().cycle().take(90) {
            initiator.execute(channel, request, step);
        }
    };
    run(&mut initiator);
    assert!(CALLS.get() > 0, "opening a channel allocates, and is counted");
    CALLS.set(0);
    run(&mut initiator);
    assert_eq!(CALLS.get(), 0, "calls of the allocator for 90 commands");
}
