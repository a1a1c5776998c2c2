//! One operation of 4 KiB at a null device: submitted, and taken from the next poll.

use std::hint::black_box;
use std::sync::Arc;

use bdev::null::{self, NullOptions};
use bdev::{Bdev, BlockIo, Op};
use mem::IoBuf;

const BYTES: usize = 4096;

/// A write: nothing is done with its data.
pub fn write() -> Box<dyn FnMut()> {
    body(Op::Write { fua: false })
}

/// A read: its data are cleared.
pub fn read() -> Box<dyn FnMut()> {
    body(Op::Read)
}

fn body(op: Op) -> Box<dyn FnMut()> {
    let mut channel = device(0).open_channel(32).expect("a channel");
    let mut data = mem::testing::pool(BYTES, 1).get().map(|buf| IoBuf::new(buf, 0..BYTES));
    let mut now_ns = 0;
    Box::new(move || {
        now_ns += 1000;
        let io = BlockIo { op: black_box(op), lba: 8, blocks: 8, data: data.take(), tag: 1 };
        channel.submit(io, now_ns).expect("room for one");
        channel.poll(now_ns, &mut |done| data = done.data);
    })
}

/// A null device whose identity is the same on every machine.
pub fn device(number: u16) -> Arc<Bdev> {
    let uuid = Some(uuid::Uuid::from_u128(0x00112233_4455_6677_8899_aabbccddeeff + u128::from(number)));
    let options = NullOptions { name: format!("null{number}"), num_blocks: 4096, uuid, ..NullOptions::default() };
    null::create(options).expect("a null device")
}
