//! Several cores, and back ends that can be made to hang.

use fabric::sim::SimOptions;

use super::*;
use crate::testing::wire::Function;
use crate::testing::{Handle, Outcome};

/// Several reactors, each with a channel of an initiator of its own.
pub(super) struct Scene {
    pub(super) rig: Rig,
    pub(super) initiators: Vec<Initiator>,
}

impl Scene {
    pub(super) fn new(seed: u64, reactors: usize) -> Scene {
        Scene::with(seed, reactors, &LunOptions::default())
    }

    /// With a unit that has been told something.
    pub(super) fn with(seed: u64, reactors: usize, options: &LunOptions) -> Scene {
        witness::forget();
        let delays = Duration::ZERO..=Duration::from_micros(40);
        let mut rig = Rig::new(seed, reactors, SimOptions { read_delay: delays, ..SimOptions::default() }, 32);
        rig.controller.add_lun("tgt0", &malloc("ram0", 4096), options).expect("a LUN");
        rig.run(5);
        let mut initiators = Vec::new();
        for number in 0..reactors {
            let mut initiator = rig.initiator(number as u8 + 1);
            let channel = rig.login(&mut initiator, MultiChannel::Single);
            rig.clear_attention(&mut initiator, channel, 0);
            initiators.push(initiator);
        }
        Scene { rig, initiators }
    }

    /// The unit.
    pub(super) fn unit(&self) -> Arc<scsi::LogicalUnit> {
        Arc::clone(&self.rig.controller.targets()[0].luns[0].unit)
    }

    /// Has the devices answer nothing, or go on.
    pub(super) fn hold(&mut self, held: bool) {
        self.rig.groups.iter_mut().for_each(|group| group.devices_held = held);
    }

    pub(super) fn run(&mut self, rounds: usize) {
        for _ in 0..rounds {
            self.rig.step();
            self.initiators.iter_mut().for_each(|initiator| {
                initiator.poll();
            });
        }
    }

    pub(super) fn start(&mut self, of: usize, request: &Request) -> Handle {
        let handle = self.initiators[of].start(0, request).expect("a credit");
        self.run(40);
        handle
    }

    pub(super) fn take(&mut self, of: usize, handle: Handle) -> Option<Outcome> {
        self.initiators[of].take(handle)
    }

    pub(super) fn finish(&mut self, of: usize, handle: Handle) -> crate::testing::Answer {
        let rig = &mut self.rig;
        self.initiators[of].finish(handle, &mut || rig.step()).answer()
    }

    pub(super) fn manage(&mut self, of: usize, function: Function, task: Option<Handle>) -> Option<u8> {
        let handle = self.initiators[of].manage(0, function, lun(0), task).expect("a credit");
        self.finish(of, handle).code
    }

    pub(super) fn read(&mut self, of: usize, lba: u32) -> Vec<u8> {
        let handle = self.start(of, &Request::read(lun(0), lba, 1, BLOCK));
        self.finish(of, handle).data
    }

    pub(super) fn end(mut self) {
        self.hold(false);
        self.run(200);
        for initiator in &mut self.initiators {
            let (left, granted) = initiator.credits(0);
            assert_eq!(left, granted, "every credit is back");
            initiator.disconnect(0);
        }
        assert_eq!(self.rig.network.violations(), vec![]);
        self.rig.check_nothing_leaked();
        assert!(self.rig.groups.iter().all(|group| group.claims.is_empty() && group.ordered.is_empty()));
        witness::forget();
    }
}
