//! What a CDB asks for, in words: for logs and traces, of commands of any kind of device.

use crate::command_table::CommandInfo;
use crate::wire::cdb::opcode::*;
use crate::wire::cdb::{Form, be16};
use crate::{CD_COMMANDS, COMMANDS};

/// Operation codes whose LOGICAL BLOCK ADDRESS and TRANSFER LENGTH stand where their length of CDB has them.
const WITH_RANGE: [u8; 21] = [
    READ_6,
    WRITE_6,
    READ_10,
    WRITE_10,
    WRITE_AND_VERIFY_10,
    VERIFY_10,
    PRE_FETCH_10,
    SYNCHRONIZE_CACHE_10,
    WRITE_SAME_10,
    READ_16,
    WRITE_16,
    ORWRITE_16,
    WRITE_AND_VERIFY_16,
    VERIFY_16,
    PRE_FETCH_16,
    SYNCHRONIZE_CACHE_16,
    WRITE_SAME_16,
    READ_12,
    WRITE_12,
    WRITE_AND_VERIFY_12,
    VERIFY_12,
];

/// A CDB in words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CdbDescription {
    /// The standard's name of the command, of those that units of ours support.
    pub name: Option<&'static str>,
    /// Its first block, and how many: of commands that read, write or check blocks.
    pub range: Option<(u64, u64)>,
}

/// Describes the first 16 bytes of a CDB.
pub fn describe_cdb(cdb: &[u8; 16]) -> CdbDescription {
    CdbDescription { name: name(cdb), range: range(cdb) }
}

fn name(cdb: &[u8; 16]) -> Option<&'static str> {
    let action = if cdb[0] == VARIABLE_LENGTH { be16(cdb, 8) } else { u16::from(cdb[1] & 0x1f) };
    let is_it = |info: &&CommandInfo| info.opcode == cdb[0] && info.service_action.is_none_or(|it| it == action);
    COMMANDS.iter().chain(CD_COMMANDS).find(is_it).map(|info| info.name)
}

fn range(cdb: &[u8; 16]) -> Option<(u64, u64)> {
    // The fields of a variable-length CDB lie behind what is here.
    let range = Form::of(cdb[0]).filter(|form| *form != Form::ThirtyTwo)?.range(cdb);
    match cdb[0] {
        COMPARE_AND_WRITE => Some((range.lba, u64::from(cdb[13]))),
        WRITE_ATOMIC_16 => Some((range.lba, u64::from(be16(cdb, 12)))),
        opcode => WITH_RANGE.contains(&opcode).then_some((range.lba, range.blocks)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(cdb: &[u8]) -> (Option<&'static str>, Option<(u64, u64)>) {
        let mut bytes = [0; 16];
        bytes[..cdb.len()].copy_from_slice(cdb);
        let CdbDescription { name, range } = describe_cdb(&bytes);
        (name, range)
    }

    #[test]
    fn commands_have_names_and_those_of_blocks_a_range() {
        for (cdb, name, range) in [
            (&[0x08, 0xe1, 2, 3, 0][..], "READ(6)", Some((0x1_0203, 256))),
            (&[0x2a, 0, 0, 1, 2, 3, 0, 1, 0], "WRITE(10)", Some((0x1_0203, 256))),
            (&[0x88, 0, 1, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 3], "READ(16)", Some((0x0100_0000_0000_0002, 3))),
            (&[0x89, 0, 0, 0, 0, 0, 0, 0, 0, 2, 9, 9, 9, 3], "COMPARE AND WRITE", Some((2, 3))),
            (&[0x12, 0, 0, 0, 96], "INQUIRY", None),
            (&[0x9e, 0x10], "READ CAPACITY(16)", None),
            (&[0xa3, 0x0a], "REPORT TARGET PORT GROUPS", None),
            (&[0x43], "READ TOC/PMA/ATIP", None),
        ] {
            assert_eq!(described(cdb), (Some(name), range));
        }
        assert_eq!(described(&[0xff]), (None, None));
        assert_eq!(
            described(&[0x7f, 0, 0, 0, 0, 0, 0, 24, 0, 0x09]),
            (Some("READ(32)"), None),
            "of 32 bytes, 16 are seen"
        );
    }
}
