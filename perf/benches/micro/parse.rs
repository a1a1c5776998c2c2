//! SRP_CMD, from bytes to offsets.

use std::hint::black_box;

use transport_srp::wire::{BufferRepr, CommandRepr, Descriptor, Solicited, Tag, TaskAttribute, parse};

/// Where immediate data lie: as Linux asks for it.
const IMMEDIATE_OFFSET: u16 = 68;
const BYTES: u32 = 4096;

/// A READ with one descriptor.
pub fn direct() -> Box<dyn FnMut()> {
    body(direct_iu())
}

/// A READ with four descriptors, all of them in the IU.
pub fn indirect() -> Box<dyn FnMut()> {
    body(indirect_iu())
}

/// A WRITE with its data.
pub fn immediate() -> Box<dyn FnMut()> {
    let data = [7; BYTES as usize];
    body(iu(BufferRepr::Immediate { offset: IMMEDIATE_OFFSET, data: &data }, BufferRepr::None))
}

fn body(iu: Vec<u8>) -> Box<dyn FnMut()> {
    Box::new(move || {
        black_box(parse(black_box(&iu), Some(IMMEDIATE_OFFSET))).expect("an SRP_CMD");
    })
}

/// What [`direct`] parses.
pub fn direct_iu() -> Vec<u8> {
    iu(BufferRepr::None, BufferRepr::Direct(descriptor(0, BYTES)))
}

/// What [`indirect`] parses.
pub fn indirect_iu() -> Vec<u8> {
    let inline: [Descriptor; 4] = std::array::from_fn(|number| descriptor(number as u64 * 8192, BYTES / 4));
    let table = descriptor(1 << 20, 64);
    iu(BufferRepr::None, BufferRepr::Indirect { table, total_len: BYTES, inline: &inline })
}

/// An SRP_CMD with a CDB of 16 bytes; the parser does not look at it.
fn iu(data_out: BufferRepr<'_>, data_in: BufferRepr<'_>) -> Vec<u8> {
    let command = CommandRepr {
        tag: Tag(*b"a tag..."),
        lun: [0; 8],
        task_attribute: TaskAttribute::Simple,
        solicited: Solicited { on_success: false, on_failure: false },
        cdb: &[0x88, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0],
        data_out,
        data_in,
    };
    let mut iu = vec![0; command.emitted_len()];
    command.emit(&mut iu);
    iu
}

/// `len` bytes of an initiator's memory, `at` bytes behind its start.
fn descriptor(at: u64, len: u32) -> Descriptor {
    Descriptor { va: 0x0001_0000_0000 + at, rkey: 0x1234, len }
}
