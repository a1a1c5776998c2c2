//! Random operations, many in flight, against a model: an array of bytes.

use std::collections::HashMap;

use bdev::{BlockIo, Op};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::rig::{BLOCKS, DEPTH, Rig, for_each_device, io};

#[derive(Clone, Debug)]
struct Step {
    op: Op,
    lba: u64,
    blocks: u64,
    fill: u8,
}

fn step() -> impl Strategy<Value = Step> {
    let op = prop_oneof![
        4 => Just(Op::Read),
        4 => any::<bool>().prop_map(|fua| Op::Write { fua }),
        1 => Just(Op::Flush),
        1 => Just(Op::Unmap),
        1 => any::<(bool, bool)>().prop_map(|(unmap, fua)| Op::WriteZeroes { unmap, fua }),
    ];
    // Long enough to overlap often, short enough that many fit beside each other.
    (op, 0..BLOCKS, 1..12_u64, 1..=255_u8).prop_map(|(op, lba, blocks, fill)| {
        let blocks = if op == Op::Flush { 0 } else { blocks.min(BLOCKS - lba) };
        Step { op, lba, blocks, fill }
    })
}

#[test]
fn random_operations_do_what_the_model_does() {
    for_each_device(|rig| {
        let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
        let steps = proptest::collection::vec(step(), 1..120);
        let outcome = TestRunner::new(config).run(&(steps, Just(())), |(steps, ())| {
            let mut model = Model::on(rig.bdev().clone(), rig.stores());
            for step in &steps {
                model.start(step);
            }
            model.finish();
            Ok(())
        });
        outcome.unwrap_or_else(|failure| panic!("{failure}"));
    });
}

struct Model {
    rig: Rig,
    buffers: mem::Pool,
    bytes: Vec<u8>,
    /// By tag: what is in flight, and for a read what it must give.
    in_flight: HashMap<u64, (Step, Vec<u8>)>,
    tag: u64,
}

impl Model {
    fn on(bdev: std::sync::Arc<bdev::Bdev>, stores: bool) -> Model {
        let mut rig = Rig::on(bdev, stores);
        rig.run(Op::WriteZeroes { unmap: false, fua: false }, 0, BLOCKS).expect("a clean start");
        let buffers = mem::testing::pool(12 * rig.block_size(), DEPTH);
        let bytes = vec![0; BLOCKS as usize * rig.block_size()];
        Model { rig, buffers, bytes, in_flight: HashMap::new(), tag: 0 }
    }

    /// Submits a step, after the end of all that its range overlaps: their order would be anybody's guess.
    fn start(&mut self, step: &Step) {
        let overlaps = |other: &Step| step.lba < other.lba + other.blocks && other.lba < step.lba + step.blocks;
        while self.in_flight.len() == DEPTH || self.in_flight.values().any(|(other, _)| overlaps(other)) {
            self.poll();
        }
        let block_size = self.rig.block_size();
        let range = step.lba as usize * block_size..(step.lba + step.blocks) as usize * block_size;
        let mut data = None;
        match step.op {
            Op::Read | Op::Write { .. } => {
                let buf = self.buffers.get().expect("as many as the channel is deep");
                let mut part = mem::IoBuf::new(buf, 0..range.len());
                part.bytes_mut().fill(step.fill);
                data = Some(part);
            }
            Op::Flush | Op::Unmap | Op::WriteZeroes { .. } | Op::LbaStatus | Op::Scsi { .. } => {}
        }
        let info = self.rig.bdev().info();
        match step.op {
            Op::Write { .. } if self.rig.stores() => self.bytes[range.clone()].fill(step.fill),
            Op::WriteZeroes { .. } => self.bytes[range.clone()].fill(0),
            Op::Unmap if info.unmap_zeroes => self.bytes[range.clone()].fill(0),
            _ => {}
        }
        self.tag += 1;
        self.in_flight.insert(self.tag, (step.clone(), self.bytes[range].to_vec()));
        let operation = BlockIo { tag: self.tag, ..io(step.op, step.lba, step.blocks, data) };
        self.rig.channel().submit(operation, 0).expect("room");
    }

    fn poll(&mut self) {
        let now_ns = self.rig.tick();
        let (in_flight, unmap) = (&mut self.in_flight, self.rig.bdev().info().unmap);
        self.rig.channel().poll(now_ns, &mut |done| {
            let (step, expected) = in_flight.remove(&done.tag).expect("in flight, and once only");
            assert_eq!(done.result.is_ok(), step.op != Op::Unmap || unmap, "{step:?}: {:?}", done.result);
            if step.op == Op::Read {
                assert!(done.data.expect("came back").bytes() == expected, "{step:?}");
            }
        });
        std::thread::yield_now();
    }

    fn finish(mut self) {
        while !self.in_flight.is_empty() {
            self.poll();
        }
        let whole = self.rig.read(0, BLOCKS);
        assert!(whole.bytes() == self.bytes, "the device as a whole");
        assert_eq!(self.buffers.available(), self.buffers.capacity());
    }
}
