//! The few answers of a device that would be wrong through us.

use crate::wire::cdb::{be32, opcode::*};

const TAPE: u8 = 0x01;
const BLOCK_LIMITS: u8 = 0xb0;
const EVPD: u8 = 0x01;

/// Standard INQUIRY data (SPC-4): byte 3 NORMACA; byte 5 ACC, TPGS, 3PC.
const NORMACA: u8 = 0x20;
const ACC_TPGS_3PC: u8 = 0x78;

/// READ BLOCK LIMITS (SSC-3): its operation code, and the bit that asks for something else.
const READ_BLOCK_LIMITS: u8 = 0x05;
const MLOI: u8 = 0x01;

/// Changes the data-in of a command that ended well. `limit` is the most bytes that one command moves.
pub(super) fn amend(device_type: u8, cdb: &[u8], limit: u32, block_size: u32, data: &mut [u8]) {
    match (cdb[0], cdb[1]) {
        (INQUIRY, evpd) if evpd & EVPD == 0 => {
            clear(data, 3, NORMACA);
            clear(data, 5, ACC_TPGS_3PC);
        }
        (INQUIRY, _) if cdb[2] == BLOCK_LIMITS && matches!(device_type, 0x00 | 0x04 | 0x07 | 0x0e | 0x14) => {
            let blocks = limit / block_size.max(1);
            // MAXIMUM TRANSFER LENGTH, where 0 means that there is none; OPTIMAL TRANSFER LENGTH, where 0 says nothing (SBC-3).
            lower(data, 8, blocks, true);
            lower(data, 12, blocks, false);
        }
        (READ_BLOCK_LIMITS, mloi) if device_type == TAPE && mloi & MLOI == 0 && data.len() >= 4 => {
            // MAXIMUM BLOCK LENGTH LIMIT, 24 bits; 0 means that there is none.
            let theirs = be32(data, 0) & 0xff_ffff;
            let limit = limit.min(0xff_ffff);
            let ours = if theirs == 0 { limit } else { theirs.min(limit) };
            data[1..4].copy_from_slice(&ours.to_be_bytes()[1..]);
        }
        _ => {}
    }
}

/// What a device says of write protection through a read-only LUN: the WP bit of the mode parameter header (SBC, SSC).
pub(super) fn protect(device_type: u8, cdb: &[u8], data: &mut [u8]) {
    const WP: u8 = 0x80;
    let at = match cdb[0] {
        MODE_SENSE_6 => 2,
        MODE_SENSE_10 => 3,
        _ => return,
    };
    if let (0x00 | TAPE | 0x04 | 0x07 | 0x0e | 0x14, Some(byte)) = (device_type, data.get_mut(at)) {
        *byte |= WP;
    }
}

fn clear(data: &mut [u8], at: usize, bits: u8) {
    if let Some(byte) = data.get_mut(at) {
        *byte &= !bits;
    }
}

fn lower(data: &mut [u8], at: usize, limit: u32, zero_is_unlimited: bool) {
    if data.len() < at + 4 {
        return;
    }
    let theirs = be32(data, at);
    let ours = if theirs == 0 && zero_is_unlimited { limit } else { theirs.min(limit) };
    data[at..at + 4].copy_from_slice(&ours.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inquiry_promises_nothing_that_is_refused() {
        let mut data = [0xff; 36];
        amend(0, &[INQUIRY, 0, 0, 0, 36, 0], 65536, 512, &mut data);
        assert_eq!((data[3], data[5]), (0xdf, 0x87));
        let mut short = [0xff; 4];
        amend(0, &[INQUIRY, 0, 0, 0, 4, 0], 65536, 512, &mut short);
        assert_eq!(short, [0xff, 0xff, 0xff, 0xdf]);
        let mut page = [0xff; 36];
        amend(0, &[INQUIRY, 1, 0x83, 0, 36, 0], 65536, 512, &mut page);
        assert_eq!(page, [0xff; 36]);
    }

    #[test]
    fn block_limits_are_what_gets_through() {
        let page = |maximum: u32, optimal: u32| {
            let mut data = [0; 64];
            data[8..12].copy_from_slice(&maximum.to_be_bytes());
            data[12..16].copy_from_slice(&optimal.to_be_bytes());
            amend(0, &[INQUIRY, 1, 0xb0, 0, 64, 0], 65536, 512, &mut data);
            (be32(&data, 8), be32(&data, 12))
        };
        assert_eq!(page(0, 0), (128, 0));
        assert_eq!(page(u32::MAX, 1000), (128, 128));
        assert_eq!(page(64, 32), (64, 32));
        amend(0, &[INQUIRY, 1, 0xb0, 0, 64, 0], 65536, 512, &mut [0; 11]);
    }

    #[test]
    fn a_read_only_lun_is_write_protected() {
        let protected = |device_type, cdb: &[u8]| {
            let mut data = [0; 8];
            protect(device_type, cdb, &mut data);
            data
        };
        assert_eq!(protected(0, &[MODE_SENSE_6, 0, 0x3f, 0, 8, 0]), [0, 0, 0x80, 0, 0, 0, 0, 0]);
        assert_eq!(protected(1, &[MODE_SENSE_10, 0, 0x3f, 0, 0, 0, 0, 0, 8, 0]), [0, 0, 0, 0x80, 0, 0, 0, 0]);
        assert_eq!(protected(8, &[MODE_SENSE_6, 0, 0x3f, 0, 8, 0]), [0; 8], "a changer has no such bit");
        assert_eq!(protected(0, &[0x12, 0, 0, 0, 8, 0]), [0; 8]);
        protect(0, &[MODE_SENSE_6, 0, 0x3f, 0, 2, 0], &mut [0; 2]);
    }

    #[test]
    fn a_tapes_blocks_are_no_longer_than_what_gets_through() {
        let limits = |theirs: [u8; 6]| {
            let mut data = theirs;
            amend(TAPE, &[READ_BLOCK_LIMITS, 0, 0, 0, 0, 0], 0x1_0000, 512, &mut data);
            data
        };
        assert_eq!(limits([0x1f, 0xff, 0xff, 0xff, 0, 1]), [0x1f, 1, 0, 0, 0, 1]);
        assert_eq!(limits([0, 0, 0, 0, 0, 1]), [0, 1, 0, 0, 0, 1]);
        assert_eq!(limits([0, 0, 0x80, 0, 0, 1]), [0, 0, 0x80, 0, 0, 1]);
    }
}
