//! Transfer planning: a data buffer of 4 KiB, from descriptors to segments, the check that comes first included.

use std::hint::black_box;

use fabric::Segments;
use transport_srp::testing::parts::{Cursor, Descriptors, validate};
use transport_srp::wire::{DataBuffer, Iu, parse};

const BYTES: u32 = 4096;

/// One descriptor.
pub fn direct() -> Box<dyn FnMut()> {
    body(crate::parse::direct_iu())
}

/// Four descriptors.
pub fn indirect() -> Box<dyn FnMut()> {
    body(crate::parse::indirect_iu())
}

fn body(iu: Vec<u8>) -> Box<dyn FnMut()> {
    let Ok(Iu::Command(command)) = parse(&iu, None) else { panic!("an SRP_CMD") };
    let buffer: DataBuffer = command.data_in;
    let mut segments = Segments::new();
    Box::new(move || {
        segments.clear();
        let descriptors = Descriptors::in_iu(black_box(&buffer), black_box(&iu));
        validate(&descriptors, BYTES).expect("4 KiB are described");
        let mut cursor = Cursor::new(BYTES);
        cursor.next(&descriptors, 0, usize::MAX, &mut segments).expect("valid");
        assert_eq!(black_box(&cursor).remaining(), 0);
        black_box(&segments);
    })
}
