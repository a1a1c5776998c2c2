//! The CDBs that a load generator needs (SPC-4, SBC-3), padded with zeroes to the 16 bytes that SRP_CMD has for them.

use scsi::wire::cdb::{opcode, service_action};

use crate::workload::Direction;

/// A CDB and padding.
pub type Cdb = [u8; 16];

/// TEST UNIT READY.
pub fn test_unit_ready() -> Cdb {
    let mut cdb = [0; 16];
    cdb[0] = opcode::TEST_UNIT_READY;
    cdb
}

/// READ CAPACITY(16) with room for `len` bytes of answer.
pub fn read_capacity_16(len: u32) -> Cdb {
    let mut cdb = [0; 16];
    cdb[0] = opcode::SERVICE_ACTION_IN_16;
    cdb[1] = service_action::READ_CAPACITY_16;
    cdb[10..14].copy_from_slice(&len.to_be_bytes());
    cdb
}

/// READ or WRITE of `blocks` blocks from `lba` on: the 10-byte form where the numbers fit, else the 16-byte form, as Linux
/// chooses.
#[inline]
pub fn transfer(direction: Direction, lba: u64, blocks: u32) -> Cdb {
    match (u32::try_from(lba), u16::try_from(blocks)) {
        (Ok(lba), Ok(blocks)) => transfer_10(direction, lba, blocks),
        _ => transfer_16(direction, lba, blocks),
    }
}

fn transfer_10(direction: Direction, lba: u32, blocks: u16) -> Cdb {
    let mut cdb = [0; 16];
    cdb[0] = match direction {
        Direction::Read => opcode::READ_10,
        Direction::Write => opcode::WRITE_10,
    };
    cdb[2..6].copy_from_slice(&lba.to_be_bytes());
    cdb[7..9].copy_from_slice(&blocks.to_be_bytes());
    cdb
}

fn transfer_16(direction: Direction, lba: u64, blocks: u32) -> Cdb {
    let mut cdb = [0; 16];
    cdb[0] = match direction {
        Direction::Read => opcode::READ_16,
        Direction::Write => opcode::WRITE_16,
    };
    cdb[2..10].copy_from_slice(&lba.to_be_bytes());
    cdb[10..14].copy_from_slice(&blocks.to_be_bytes());
    cdb
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lie_where_the_standards_put_them() {
        assert_eq!(test_unit_ready(), [0; 16]);
        assert_eq!(read_capacity_16(32), [0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0]);
        let small = transfer(Direction::Read, 0x0102_0304, 0x0506);
        assert_eq!(small, [0x28, 0, 1, 2, 3, 4, 0, 5, 6, 0, 0, 0, 0, 0, 0, 0]);
        let large = transfer(Direction::Write, 0x0102_0304_0506_0708, 9);
        assert_eq!(large, [0x8a, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 9, 0, 0]);
    }

    #[test]
    fn the_long_form_begins_where_the_short_one_ends() {
        let code = |lba, blocks| transfer(Direction::Read, lba, blocks)[0];
        assert_eq!(code(u32::MAX.into(), u16::MAX.into()), opcode::READ_10);
        assert_eq!(code(u64::from(u32::MAX) + 1, 1), opcode::READ_16);
        assert_eq!(code(0, u32::from(u16::MAX) + 1), opcode::READ_16);
    }
}
