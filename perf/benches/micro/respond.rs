//! SRP_RSP, from how a command ended to bytes.

use std::hint::black_box;

use scsi::{Ending, Sense};
use transport_srp::testing::parts::{Reply, respond};
use transport_srp::wire::{Iu, parse};

/// GOOD with 4 KiB that the initiator asked for: no residual.
pub fn good() -> Box<dyn FnMut()> {
    body(Ending::Good { data_in: 0..4096 })
}

/// CHECK CONDITION with sense.
pub fn sense() -> Box<dyn FnMut()> {
    body(Ending::CheckCondition(Sense::UNRECOVERED_READ_ERROR))
}

fn body(ending: Ending) -> Box<dyn FnMut()> {
    let Ok(Iu::Command(command)) = parse(&crate::parse::direct_iu(), None) else { panic!("an SRP_CMD") };
    let reply = Reply::ended(ending);
    let mut out = [0; 128];
    Box::new(move || {
        black_box(respond(black_box(&reply), black_box(&command), 0, 1, &mut out));
    })
}
