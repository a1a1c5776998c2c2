//! The plain READ or WRITE at a glance, which is nearly every command of a busy unit: ten or sixteen bytes without an unusual option, at a
//! unit that has nothing to say. [`Express::job`] is the job that [`begin`](super::begin) would make of it, its first step taken; whatever
//! happens to it afterwards is the job's business as ever. All else is left to `begin`.

use std::ops::Range;

use bdev::Op;

use super::{Job, Lengths};
use crate::command::Command;
use crate::medium::Stage;
use crate::nexus::UnitNexus;
use crate::unit::LogicalUnit;
use crate::wire::cdb::{BlockRange, be16, be32, be64, opcode};

/// A READ or WRITE that goes to its device as it is: all of its buffer is to be moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Express {
    /// What the device is to do.
    pub op: Op,
    /// First block.
    pub lba: u64,
    /// Number of blocks, at least 1.
    pub blocks: u64,
    /// Length of the buffer in bytes.
    pub bytes: u32,
    opcode: u8,
}

impl Express {
    /// The job, which waits for its operation, as after its first step.
    #[inline]
    pub fn job(self) -> Job {
        Job { stage: Stage::Moving, ..self.unstarted() }
    }

    /// The job before its first step, for which the unit is looked at once more: time passes until then.
    #[inline]
    pub fn unstarted(self) -> Job {
        let range = BlockRange { lba: self.lba, blocks: self.blocks };
        let (command, data_out, data_in) = match self.op {
            Op::Write { fua } => (Command::Write { range, fua }, self.bytes, 0),
            _ => (Command::Read { range, fua: false }, 0, self.bytes),
        };
        let lengths = Lengths { data_out, data_in, buffer: self.bytes };
        Job { command, cursor: 0, stage: Stage::Start, opcode: self.opcode, lengths, copy: None }
    }
}

impl Job {
    /// Takes a READ(10), READ(16), WRITE(10) or WRITE(16) that needs no closer look. `read_only`: by the LUN map.
    #[inline]
    pub fn express(cdb: &[u8], unit: &LogicalUnit, nexus: &UnitNexus, read_only: bool) -> Option<Express> {
        const FUA: u8 = 0x08;
        // Without the group number and the control byte, and of the options only DPO, which has no effect, and FUA.
        const PLAIN: u8 = 0x18;
        let cdb: &[u8; 16] = cdb.first_chunk()?;
        let (range, unusual) = match cdb[0] {
            opcode::READ_10 | opcode::WRITE_10 => {
                (BlockRange { lba: be32(cdb, 2).into(), blocks: be16(cdb, 7).into() }, cdb[6] | cdb[9])
            }
            opcode::READ_16 | opcode::WRITE_16 => {
                (BlockRange { lba: be64(cdb, 2), blocks: be32(cdb, 10).into() }, cdb[14] | cdb[15])
            }
            _ => return None,
        };
        let is_read = matches!(cdb[0], opcode::READ_10 | opcode::READ_16);
        let fua = cdb[1] & FUA != 0;
        let bytes = range.blocks * u64::from(unit.block_size());
        let fits = (1..=u64::from(unit.transfer_bytes_max())).contains(&bytes) && unit.check_range(range).is_ok();
        if unusual | cdb[1] & !PLAIN != 0 || !fits || !nexus.is_clear() || !unit.is_plain() {
            return None;
        }
        let op = match is_read {
            // It may have to flush a cache before.
            true if fua => return None,
            true => Op::Read,
            false if unit.check_writable(read_only).is_err() => return None,
            false => Op::Write { fua },
        };
        Some(Express { op, lba: range.lba, blocks: range.blocks, bytes: bytes as u32, opcode: cdb[0] })
    }

    /// If it ends with GOOD now that its operation succeeded, whatever the unit says meanwhile: the part of the buffer that is for the
    /// initiator. `None`: [`Job::step`] tells how it goes on.
    #[inline]
    pub fn ends_well(&self) -> Option<Range<usize>> {
        match (&self.command, self.stage) {
            (Command::Read { .. }, Stage::Moving) => Some(0..self.lengths.data_in as usize),
            (Command::Write { .. }, Stage::Moving) => Some(0..0),
            _ => None,
        }
    }
}

#[cfg(test)]
#[path = "express_tests.rs"]
mod tests;
