//! The target in this process: what `srpt-app` has, without its RPC, on one null device or RAM disk.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use bdev::Bdev;
use fabric::Control;
use fabric::sim::Network;
use hugepage_setup::AllocationRequest;
use mem::Region;
use reactor::{Instant, ReactorHandle, Waker};
use transport_srp::wire::PortId;
use transport_srp::{Controller, ControllerOptions, LunOptions, MemoryOptions, limits};

/// Where it listens on its network.
pub const LISTENS_AT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 5555);

/// Its port identifier.
pub const PORT: PortId = PortId::new(1, 2);

const BLOCK_BYTES: u32 = 512;

/// What the target is like.
#[derive(Clone, Debug)]
pub struct TargetOptions {
    /// Its unit.
    pub backing: Backing,
    /// The unit's number.
    pub lun: u16,
    /// Channels that will be asked for, in all.
    pub channels: u32,
    /// Commands under way at once on each.
    pub depth: u32,
}

/// What is behind the unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Backing {
    /// Nothing: reads give zeroes.
    Null {
        /// Size in bytes.
        bytes: u64,
    },
    /// Memory.
    Malloc {
        /// Size in bytes.
        bytes: u64,
    },
}

/// The target's control side; its poll groups are with the cores.
pub(super) struct OwnTarget {
    controller: Controller,
}

impl OwnTarget {
    /// Starts it on cores that run already.
    pub(super) fn start(
        network: &Network,
        options: &TargetOptions,
        cores: &[ReactorHandle],
    ) -> anyhow::Result<OwnTarget> {
        let credits = options.depth.clamp(limits::CREDITS_MIN, limits::CREDITS_MAX);
        let memory = MemoryOptions::for_channels(options.channels.div_ceil(cores.len() as u32), credits);
        let reactors = cores.iter().map(|core| Ok((core.waker(), region(memory.region_bytes())?)));
        let reactors = reactors.collect::<anyhow::Result<Vec<_>>>()?;
        let trace_events = limits::TRACE_EVENTS_DEFAULT;
        let controller_options = ControllerOptions { credits, memory, trace_events, slow_threshold: None };
        let fabrics = vec![Control::Sim(network.control())];
        // The main thread looks after it, every 20 ms at least; nothing need wake it.
        let (mut controller, seeds) = Controller::new(controller_options, fabrics, reactors, Waker::new());
        for (core, seed) in cores.iter().zip(seeds) {
            core.add_poller(Box::new(move || Box::new(seed.settle())));
        }
        let lun = LunOptions { lun: Some(options.lun), ..LunOptions::default() };
        controller.create_target("tgt0", PORT.id_ext(), PORT.ioc_guid())?;
        controller.add_lun("tgt0", &options.backing.create()?, &lun)?;
        controller.create_listener("sim", LISTENS_AT)?;
        Ok(OwnTarget { controller })
    }

    pub(super) fn poll(&mut self, now: Instant) {
        self.controller.poll(now);
    }
}

impl Backing {
    fn create(self) -> anyhow::Result<Arc<Bdev>> {
        let blocks = |bytes| bytes / u64::from(BLOCK_BYTES);
        let created = match self {
            Backing::Null { bytes } => bdev::null::create(bdev::null::NullOptions {
                name: "null0".into(),
                num_blocks: blocks(bytes),
                block_size: BLOCK_BYTES,
                ..Default::default()
            }),
            Backing::Malloc { bytes } => bdev::malloc::create(bdev::malloc::MallocOptions {
                name: "malloc0".into(),
                num_blocks: blocks(bytes),
                block_size: BLOCK_BYTES,
                ..Default::default()
            }),
        };
        created.context("--bdev")
    }
}

fn region(bytes: usize) -> anyhow::Result<Arc<Region>> {
    let mut request = AllocationRequest::new(bytes);
    request.lock = false; // no device reaches it
    let mapping =
        hugepage_setup::allocate(&request).context("cannot allocate the buffers of the target in this process")?;
    Ok(Region::new(mapping))
}
