//! Where CDBs and answers have their lengths (SPC-4, SBC-3, MMC-6), apart from the parsers, which may be wrong.

use crate::wire::cdb::{be16, be32};

pub(super) const VARIABLE_LENGTH: u8 = 0x7f;
pub(super) const COMPARE_AND_WRITE: u8 = 0x89;

/// Byte and width of ALLOCATION LENGTH.
pub(super) fn allocation_length(cdb: &[u8]) -> Option<(usize, usize)> {
    Some(match (cdb[0], action(cdb)) {
        (0x03 | 0x1a, _) => (4, 1),
        (0x12 | 0x1c, _) => (3, 2),
        (0x3c, _) => (6, 3),
        (0x23 | 0x43 | 0x46 | 0x4a | 0x4d | 0x51 | 0x52 | 0x5a | 0x5e, _) => (7, 2),
        (0x84 | 0x9e, _) => (10, 4),
        (0xa0 | 0xa3, _) => (6, 4),
        (0xad | 0xbd, _) => (8, 2),
        _ => return None,
    })
}

/// Byte and width of PARAMETER LIST LENGTH.
pub(super) fn parameter_list_length(cdb: &[u8]) -> Option<(usize, usize)> {
    Some(match cdb[0] {
        0x15 => (4, 1),
        0x1d => (3, 2),
        0x3b => (6, 3),
        0x42 | 0x48 | 0x4c | 0x55 => (7, 2),
        0x5f => (5, 4),
        0x83 => (10, 4),
        0xa4 => (6, 4),
        _ => return None,
    })
}

/// LOGICAL BLOCK ADDRESS and, but for GET LBA STATUS, a number of blocks.
pub(super) fn has_range(opcode: u8) -> bool {
    let six = matches!(opcode, 0x08 | 0x0a | 0x0b);
    let ten = matches!(opcode, 0x25 | 0x28 | 0x2a | 0x2b | 0x2e | 0x2f | 0x34 | 0x35 | 0x41);
    let sixteen = matches!(opcode, 0x88..=0x8b | 0x8e..=0x91 | 0x93 | 0x9c | 0x9e);
    six || ten || sixteen || matches!(opcode, 0xa8 | 0xaa | 0xae | 0xaf | VARIABLE_LENGTH)
}

/// Whether an answer hangs on when it is given: REPORT TIMESTAMP, and LOG SENSE of the page of statistics.
pub(super) fn tells_time(cdb: &[u8]) -> bool {
    match cdb {
        [0xa3, byte, ..] => byte & 0x1f == 0x0f,
        [0x4d, _, page, ..] => page & 0x3f == 0x19,
        _ => false,
    }
}

/// The service action where it is in byte 1.
pub(super) fn action(cdb: &[u8]) -> u8 {
    cdb[1] & 0x1f
}

/// The whole length of an answer by its own header; `None` if the header is not all there, or the answer has no length.
pub(super) fn announced(cdb: &[u8], answer: &[u8]) -> Option<usize> {
    let byte = |at: usize| answer.get(at).map(|&byte| usize::from(byte));
    let two = |at: usize| (answer.len() >= at + 2).then(|| usize::from(be16(answer, at)));
    let four = |at: usize| (answer.len() >= at + 4).then(|| be32(answer, at) as usize);
    let plus = |length: Option<usize>, header: usize| length.map(|length| length + header);
    match (cdb[0], action(cdb)) {
        (0x03, _) => plus(byte(7), 8),
        (0x12, _) if cdb[1] & 1 == 0 => plus(byte(4), 5),
        (0x12 | 0x1c | 0x4d, _) | (0xa3, 0x05) => plus(two(2), 4),
        (0x1a, _) => plus(byte(0), 1),
        (0x43 | 0x4a | 0x51 | 0x52 | 0x5a, _) | (0xa3, 0x0f) => plus(two(0), 2),
        (0x46 | 0x84, _) | (0x9e, 0x12) | (0xa3, 0x0a) => plus(four(0), 4),
        (0x5e, 0x02) => two(0),
        (0x5e, _) => plus(four(4), 8),
        (0x9e, 0x10) => Some(32),
        (0xa0, _) => plus(four(0), 8),
        (0xa3, 0x0c) if cdb[2] & 7 == 0 => plus(four(0), 4),
        (0xa3, 0x0d) => plus(byte(3), 4),
        _ => None,
    }
}
