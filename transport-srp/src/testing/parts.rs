//! Pieces of the transport that are nobody's business outside of it, for micro-benchmarks to measure alone.

use scsi::Ending;

use crate::respond;
use crate::wire::Command;

pub use crate::transfer::{Cursor, Descriptors, TransferError, validate};

/// What a command is answered with.
#[derive(Debug)]
pub struct Reply(respond::Reply);

impl Reply {
    /// The command ended.
    pub fn ended(ending: Ending) -> Reply {
        Reply(respond::Reply::Ended(ending))
    }
}

/// Writes the response of a command into `out` and returns its length in bytes. `data_out_len` is what its CDB takes from the initiator,
/// `delta` the credits that go with it.
pub fn respond(reply: &Reply, command: &Command, data_out_len: u32, delta: i32, out: &mut [u8]) -> usize {
    respond::command(&reply.0, command, data_out_len, &[], || false, delta, out)
}
