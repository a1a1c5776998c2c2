//! Operation codes and the fields that CDBs of one length share (SPC-4, SBC-3, MMC-6).

/// Operation codes, as SPC-4, SBC-3 and MMC-6 name them.
#[allow(missing_docs, reason = "the names are the standards'")]
pub mod opcode {
    pub const TEST_UNIT_READY: u8 = 0x00;
    pub const REQUEST_SENSE: u8 = 0x03;
    pub const FORMAT_UNIT: u8 = 0x04;
    pub const READ_6: u8 = 0x08;
    pub const WRITE_6: u8 = 0x0a;
    pub const INQUIRY: u8 = 0x12;
    pub const MODE_SELECT_6: u8 = 0x15;
    pub const RESERVE_6: u8 = 0x16;
    pub const RELEASE_6: u8 = 0x17;
    pub const MODE_SENSE_6: u8 = 0x1a;
    pub const START_STOP_UNIT: u8 = 0x1b;
    pub const RECEIVE_DIAGNOSTIC_RESULTS: u8 = 0x1c;
    pub const SEND_DIAGNOSTIC: u8 = 0x1d;
    pub const PREVENT_ALLOW_MEDIUM_REMOVAL: u8 = 0x1e;
    pub const READ_CAPACITY_10: u8 = 0x25;
    pub const READ_10: u8 = 0x28;
    pub const WRITE_10: u8 = 0x2a;
    pub const WRITE_AND_VERIFY_10: u8 = 0x2e;
    pub const VERIFY_10: u8 = 0x2f;
    pub const PRE_FETCH_10: u8 = 0x34;
    pub const SYNCHRONIZE_CACHE_10: u8 = 0x35;
    pub const READ_DEFECT_DATA_10: u8 = 0x37;
    pub const WRITE_BUFFER: u8 = 0x3b;
    pub const READ_BUFFER: u8 = 0x3c;
    pub const WRITE_SAME_10: u8 = 0x41;
    pub const UNMAP: u8 = 0x42;
    pub const READ_TOC_PMA_ATIP: u8 = 0x43;
    pub const GET_CONFIGURATION: u8 = 0x46;
    pub const SANITIZE: u8 = 0x48;
    pub const GET_EVENT_STATUS_NOTIFICATION: u8 = 0x4a;
    pub const LOG_SELECT: u8 = 0x4c;
    pub const LOG_SENSE: u8 = 0x4d;
    pub const READ_DISC_INFORMATION: u8 = 0x51;
    pub const MODE_SELECT_10: u8 = 0x55;
    pub const RESERVE_10: u8 = 0x56;
    pub const RELEASE_10: u8 = 0x57;
    pub const MODE_SENSE_10: u8 = 0x5a;
    pub const PERSISTENT_RESERVE_IN: u8 = 0x5e;
    pub const PERSISTENT_RESERVE_OUT: u8 = 0x5f;
    pub const VARIABLE_LENGTH: u8 = 0x7f;
    pub const THIRD_PARTY_COPY_OUT: u8 = 0x83;
    pub const THIRD_PARTY_COPY_IN: u8 = 0x84;
    pub const READ_16: u8 = 0x88;
    pub const COMPARE_AND_WRITE: u8 = 0x89;
    pub const WRITE_16: u8 = 0x8a;
    pub const ORWRITE_16: u8 = 0x8b;
    pub const WRITE_AND_VERIFY_16: u8 = 0x8e;
    pub const VERIFY_16: u8 = 0x8f;
    pub const PRE_FETCH_16: u8 = 0x90;
    pub const SYNCHRONIZE_CACHE_16: u8 = 0x91;
    pub const WRITE_SAME_16: u8 = 0x93;
    pub const WRITE_ATOMIC_16: u8 = 0x9c;
    pub const SERVICE_ACTION_IN_16: u8 = 0x9e;
    pub const REPORT_LUNS: u8 = 0xa0;
    pub const MAINTENANCE_IN: u8 = 0xa3;
    pub const MAINTENANCE_OUT: u8 = 0xa4;
    pub const READ_12: u8 = 0xa8;
    pub const WRITE_12: u8 = 0xaa;
    pub const WRITE_AND_VERIFY_12: u8 = 0xae;
    pub const VERIFY_12: u8 = 0xaf;
    pub const READ_DEFECT_DATA_12: u8 = 0xb7;
    pub const MECHANISM_STATUS: u8 = 0xbd;
}

/// Service actions of the operation codes that have them: bits 4 to 0 of byte 1, but bytes 8 and 9 of a variable-length CDB.
#[allow(missing_docs, reason = "the names are the standards'")]
pub mod service_action {
    pub const READ_CAPACITY_16: u8 = 0x10;
    pub const GET_LBA_STATUS: u8 = 0x12;
    pub const REPORT_IDENTIFYING_INFORMATION: u8 = 0x05;
    pub const REPORT_TARGET_PORT_GROUPS: u8 = 0x0a;
    pub const REPORT_SUPPORTED_OPERATION_CODES: u8 = 0x0c;
    pub const EXTENDED_COPY_LID1: u8 = 0x00;
    pub const RECEIVE_COPY_STATUS_LID1: u8 = 0x00;
    pub const RECEIVE_COPY_DATA_LID1: u8 = 0x01;
    pub const RECEIVE_COPY_OPERATING_PARAMETERS: u8 = 0x03;
    pub const RECEIVE_COPY_FAILURE_DETAILS_LID1: u8 = 0x04;
    pub const REPORT_SUPPORTED_TASK_MANAGEMENT_FUNCTIONS: u8 = 0x0d;
    pub const REPORT_TIMESTAMP: u8 = 0x0f;
    pub const SET_IDENTIFYING_INFORMATION: u8 = 0x06;
    pub const SET_TARGET_PORT_GROUPS: u8 = 0x0a;
    pub const SET_TIMESTAMP: u8 = 0x0f;
    pub const SANITIZE_OVERWRITE: u8 = 0x01;
    pub const SANITIZE_BLOCK_ERASE: u8 = 0x02;
    pub const SANITIZE_EXIT_FAILURE_MODE: u8 = 0x1f;
    pub const READ_32: u8 = 0x09;
    pub const VERIFY_32: u8 = 0x0a;
    pub const WRITE_32: u8 = 0x0b;
    pub const WRITE_AND_VERIFY_32: u8 = 0x0c;
    pub const WRITE_SAME_32: u8 = 0x0d;
    pub const ORWRITE_32: u8 = 0x0e;
    pub const GET_LBA_STATUS_32: u8 = 0x12;

    // PERSISTENT RESERVE IN.
    pub const READ_KEYS: u8 = 0x00;
    pub const READ_RESERVATION: u8 = 0x01;
    pub const REPORT_CAPABILITIES: u8 = 0x02;
    pub const READ_FULL_STATUS: u8 = 0x03;

    // PERSISTENT RESERVE OUT.
    pub const REGISTER: u8 = 0x00;
    pub const RESERVE: u8 = 0x01;
    pub const RELEASE: u8 = 0x02;
    pub const CLEAR: u8 = 0x03;
    pub const PREEMPT: u8 = 0x04;
    pub const PREEMPT_AND_ABORT: u8 = 0x05;
    pub const REGISTER_AND_IGNORE_EXISTING_KEY: u8 = 0x06;
    pub const REGISTER_AND_MOVE: u8 = 0x07;
}

/// NACA bit of the CONTROL byte (SAM-5).
pub(crate) const CONTROL_NACA: u8 = 0x04;

/// Longest CDB of a fixed length (SPC-4).
pub(crate) const CDB_BYTES_FIXED_MAX: usize = 16;

/// A range of logical blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BlockRange {
    pub(crate) lba: u64,
    pub(crate) blocks: u64,
}

/// The layouts of LOGICAL BLOCK ADDRESS and TRANSFER LENGTH, one for each CDB length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    Six,
    Ten,
    Twelve,
    Sixteen,
    /// The variable-length commands of SBC-3.
    ThirtyTwo,
}

/// Length of the CDB with this operation code, by its group (SPC-4); `None` for the groups that have none. All variable-length CDBs
/// that we know have 32 bytes.
pub(crate) fn length(opcode: u8) -> Option<usize> {
    Some(Form::of(opcode)?.cdb_bytes())
}

impl Form {
    pub(crate) fn of(opcode: u8) -> Option<Form> {
        match opcode >> 5 {
            0 => Some(Form::Six),
            1 | 2 => Some(Form::Ten),
            3 if opcode == opcode::VARIABLE_LENGTH => Some(Form::ThirtyTwo),
            4 => Some(Form::Sixteen),
            5 => Some(Form::Twelve),
            _ => None,
        }
    }

    pub(crate) fn cdb_bytes(self) -> usize {
        match self {
            Form::Six => 6,
            Form::Ten => 10,
            Form::Twelve => 12,
            Form::Sixteen => 16,
            Form::ThirtyTwo => 32,
        }
    }

    /// The range exactly as it stands there; only the 6-byte form's length 0 is read as the 256 that it means.
    #[inline]
    pub(crate) fn range(self, cdb: &[u8]) -> BlockRange {
        let (lba, blocks) = match self {
            Form::Six => (u64::from(be32(cdb, 0) & 0x1f_ffff), if cdb[4] == 0 { 256 } else { u32::from(cdb[4]) }),
            Form::Ten => (u64::from(be32(cdb, 2)), u32::from(be16(cdb, 7))),
            Form::Twelve => (u64::from(be32(cdb, 2)), be32(cdb, 6)),
            Form::Sixteen => (be64(cdb, 2), be32(cdb, 10)),
            Form::ThirtyTwo => (be64(cdb, 12), be32(cdb, 28)),
        };
        BlockRange { lba, blocks: u64::from(blocks) }
    }

    /// The byte whose bits say how: WRPROTECT and the like, DPO, FUA, BYTCHK. The 6-byte form has none.
    #[inline]
    pub(crate) fn options_at(self) -> usize {
        match self {
            Form::Six | Form::Ten | Form::Twelve | Form::Sixteen => 1,
            Form::ThirtyTwo => 10,
        }
    }

    /// The CONTROL byte.
    #[inline]
    pub(crate) fn control_at(self) -> usize {
        match self {
            Form::ThirtyTwo => 1,
            fixed => fixed.cdb_bytes() - 1,
        }
    }

    /// First byte of the length field.
    pub(crate) fn length_at(self) -> u16 {
        match self {
            Form::Six => 4,
            Form::Ten => 7,
            Form::Twelve => 6,
            Form::Sixteen => 10,
            Form::ThirtyTwo => 28,
        }
    }
}

/// A 16-bit field at `at`.
#[inline]
pub(crate) fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// A 24-bit field at `at`.
#[inline]
pub(crate) fn be24(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([0, bytes[at], bytes[at + 1], bytes[at + 2]])
}

/// A 32-bit field at `at`.
#[inline]
pub(crate) fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// A 64-bit field at `at`.
#[inline]
pub(crate) fn be64(bytes: &[u8], at: usize) -> u64 {
    u64::from(be32(bytes, at)) << 32 | u64::from(be32(bytes, at + 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_each_form() {
        let of = |cdb: &[u8]| Form::of(cdb[0]).expect("a form").range(cdb);
        assert_eq!(of(&[0x08, 0xff, 0x01, 0x02, 0x05, 0]), BlockRange { lba: 0x1f_0102, blocks: 5 });
        assert_eq!(of(&[0x08, 0x00, 0x00, 0x00, 0x00, 0]), BlockRange { lba: 0, blocks: 256 });
        assert_eq!(of(&[0x28, 0, 0xfe, 1, 2, 3, 0, 0x12, 0x34, 0]), BlockRange { lba: 0xfe01_0203, blocks: 0x1234 });
        assert_eq!(
            of(&[0xa8, 0, 1, 2, 3, 4, 0x9a, 0xbc, 0xde, 0xf0, 0, 0]),
            BlockRange { lba: 0x0102_0304, blocks: 0x9abc_def0 }
        );
        assert_eq!(
            of(&[0x88, 0, 0xf1, 2, 3, 4, 5, 6, 7, 8, 0x80, 0, 0, 1, 0, 0]),
            BlockRange { lba: 0xf102_0304_0506_0708, blocks: 0x8000_0001 }
        );
        let mut long: Vec<u8> = (0..32).collect();
        long[0] = 0x7f;
        assert_eq!(of(&long), BlockRange { lba: 0x0c0d_0e0f_1011_1213, blocks: 0x1c1d_1e1f });
    }

    #[test]
    fn groups_without_a_fixed_length() {
        assert_eq!(length(0x7e), None);
        assert_eq!(length(0x7f), Some(32));
        assert_eq!(length(0xc0), None);
        assert_eq!(length(0xff), None);
        assert_eq!(length(opcode::MODE_SENSE_10), Some(10));
        assert_eq!(length(opcode::REPORT_LUNS), Some(12));
    }
}
