//! Sense data: why a command was refused, and its fixed and descriptor forms (SPC-4).

use std::fmt;

use bdev::{IoError, Op};

use crate::limits::SENSE_BYTES_MAX;

/// SCSI status codes (SAM-5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum ScsiStatus {
    /// The command is done.
    Good = 0x00,
    /// Sense data says why not.
    CheckCondition = 0x02,
    /// PRE-FETCH: the blocks fit in the cache.
    ConditionMet = 0x04,
    /// The unit cannot take the command now.
    Busy = 0x08,
    /// Another initiator holds a reservation that forbids it.
    ReservationConflict = 0x18,
    /// No room for another command.
    TaskSetFull = 0x28,
    /// An auto contingent allegiance is in force.
    AcaActive = 0x30,
    /// Another initiator aborted the command (only with TAS set).
    TaskAborted = 0x40,
}

/// Sense keys (SPC-4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum SenseKey {
    /// Nothing to report.
    NoSense = 0x0,
    /// The unit cannot be accessed.
    NotReady = 0x2,
    /// The medium is at fault.
    MediumError = 0x3,
    /// The device is at fault.
    HardwareError = 0x4,
    /// The command is at fault.
    IllegalRequest = 0x5,
    /// Something happened that the initiator must know first.
    UnitAttention = 0x6,
    /// The medium may not be written.
    DataProtect = 0x7,
    /// The target gave up; the initiator may try again.
    AbortedCommand = 0xb,
    /// The data compared unequal.
    Miscompare = 0xe,
}

/// Which byte, and if known which bit, an ILLEGAL REQUEST is about (SPC-4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FieldPointer {
    /// The byte is in the CDB (C/D set), else in the parameter list.
    pub in_cdb: bool,
    /// First byte of the field.
    pub byte: u16,
    /// Most significant bit of the field within that byte, 0 to 7, where a field is part of a byte.
    pub bit: Option<u8>,
}

/// Why a command was refused or failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sense {
    /// Sense key.
    pub key: SenseKey,
    /// Additional sense code.
    pub asc: u8,
    /// Additional sense code qualifier.
    pub ascq: u8,
    /// INFORMATION: a block address, or the offset at which a comparison failed.
    pub information: Option<u64>,
    /// The field at fault.
    pub field: Option<FieldPointer>,
}

/// Each named as SPC-4 names its additional sense code.
impl Sense {
    /// 00h/00h NO ADDITIONAL SENSE INFORMATION.
    pub const NONE: Sense = Sense::new(SenseKey::NoSense, 0x00, 0x00);
    /// 02h 04h/03h LOGICAL UNIT NOT READY, MANUAL INTERVENTION REQUIRED.
    pub const NOT_READY_MANUAL_INTERVENTION: Sense = Sense::new(SenseKey::NotReady, 0x04, 0x03);
    /// 02h 3Ah/00h MEDIUM NOT PRESENT.
    pub const MEDIUM_NOT_PRESENT: Sense = Sense::new(SenseKey::NotReady, 0x3a, 0x00);
    /// 03h 0Ch/00h WRITE ERROR.
    pub const WRITE_ERROR: Sense = Sense::new(SenseKey::MediumError, 0x0c, 0x00);
    /// 03h 11h/00h UNRECOVERED READ ERROR.
    pub const UNRECOVERED_READ_ERROR: Sense = Sense::new(SenseKey::MediumError, 0x11, 0x00);
    /// 04h 44h/00h INTERNAL TARGET FAILURE.
    pub const INTERNAL_TARGET_FAILURE: Sense = Sense::new(SenseKey::HardwareError, 0x44, 0x00);
    /// 05h 0Eh/03h INVALID FIELD IN COMMAND INFORMATION UNIT: for the transport.
    pub const INVALID_FIELD_IN_COMMAND_IU: Sense = Sense::new(SenseKey::IllegalRequest, 0x0e, 0x03);
    /// 05h 1Ah/00h PARAMETER LIST LENGTH ERROR.
    pub const PARAMETER_LIST_LENGTH_ERROR: Sense = Sense::new(SenseKey::IllegalRequest, 0x1a, 0x00);
    /// 05h 20h/00h INVALID COMMAND OPERATION CODE.
    pub const INVALID_COMMAND_OPERATION_CODE: Sense = Sense::new(SenseKey::IllegalRequest, 0x20, 0x00);
    /// 05h 21h/00h LOGICAL BLOCK ADDRESS OUT OF RANGE.
    pub const LBA_OUT_OF_RANGE: Sense = Sense::new(SenseKey::IllegalRequest, 0x21, 0x00);
    /// 05h 24h/00h INVALID FIELD IN CDB, without saying which; see [`Sense::invalid_field_in_cdb`].
    pub const INVALID_FIELD_IN_CDB: Sense = Sense::new(SenseKey::IllegalRequest, 0x24, 0x00);
    /// 05h 25h/00h LOGICAL UNIT NOT SUPPORTED.
    pub const LOGICAL_UNIT_NOT_SUPPORTED: Sense = Sense::new(SenseKey::IllegalRequest, 0x25, 0x00);
    /// 05h 26h/00h INVALID FIELD IN PARAMETER LIST; see [`Sense::invalid_field_in_parameter_list`].
    pub const INVALID_FIELD_IN_PARAMETER_LIST: Sense = Sense::new(SenseKey::IllegalRequest, 0x26, 0x00);
    /// 05h 39h/00h SAVING PARAMETERS NOT SUPPORTED.
    pub const SAVING_PARAMETERS_NOT_SUPPORTED: Sense = Sense::new(SenseKey::IllegalRequest, 0x39, 0x00);
    /// 07h 27h/00h WRITE PROTECTED.
    pub const WRITE_PROTECTED: Sense = Sense::new(SenseKey::DataProtect, 0x27, 0x00);
    /// 07h 27h/02h LOGICAL UNIT SOFTWARE WRITE PROTECTED: the SWP bit of the control mode page.
    pub const SOFTWARE_WRITE_PROTECTED: Sense = Sense::new(SenseKey::DataProtect, 0x27, 0x02);
    /// 07h 27h/07h SPACE ALLOCATION FAILED WRITE PROTECT.
    pub const SPACE_ALLOCATION_FAILED: Sense = Sense::new(SenseKey::DataProtect, 0x27, 0x07);
    /// 0Bh 10h/01h LOGICAL BLOCK GUARD CHECK FAILED.
    pub const LOGICAL_BLOCK_GUARD_CHECK_FAILED: Sense = Sense::new(SenseKey::AbortedCommand, 0x10, 0x01);
    /// 0Bh 10h/03h LOGICAL BLOCK REFERENCE TAG CHECK FAILED.
    pub const LOGICAL_BLOCK_REFERENCE_TAG_CHECK_FAILED: Sense = Sense::new(SenseKey::AbortedCommand, 0x10, 0x03);
    /// 0Bh 4Bh/00h DATA PHASE ERROR: for the transport.
    pub const DATA_PHASE_ERROR: Sense = Sense::new(SenseKey::AbortedCommand, 0x4b, 0x00);
    /// 0Bh 4Eh/00h OVERLAPPED COMMANDS ATTEMPTED: for the transport.
    pub const OVERLAPPED_COMMANDS: Sense = Sense::new(SenseKey::AbortedCommand, 0x4e, 0x00);
    /// 0Eh 1Dh/00h MISCOMPARE DURING VERIFY OPERATION.
    pub const MISCOMPARE_DURING_VERIFY: Sense = Sense::new(SenseKey::Miscompare, 0x1d, 0x00);
}

const CURRENT_FIXED: u8 = 0x70;
const CURRENT_DESCRIPTOR: u8 = 0x72;
const INFORMATION_VALID: u8 = 0x80;
const FIXED_BYTES: usize = 18;
const HEADER_BYTES: usize = 8;
const INFORMATION_DESCRIPTOR: [u8; 4] = [0x00, 0x0a, 0x80, 0x00]; // type, additional length, VALID, reserved
const KEY_SPECIFIC_DESCRIPTOR: [u8; 4] = [0x02, 0x06, 0x00, 0x00]; // type, additional length, reserved

impl Sense {
    /// Sense data with nothing beyond its three codes.
    pub const fn new(key: SenseKey, asc: u8, ascq: u8) -> Sense {
        Sense { key, asc, ascq, information: None, field: None }
    }

    /// A unit attention.
    pub const fn unit_attention(asc: u8, ascq: u8) -> Sense {
        Sense::new(SenseKey::UnitAttention, asc, ascq)
    }

    /// 05h 24h/00h INVALID FIELD IN CDB, saying which: its first byte and, where it is part of a byte, its most
    /// significant bit.
    pub const fn invalid_field_in_cdb(byte: u16, bit: Option<u8>) -> Sense {
        Sense { field: Some(FieldPointer { in_cdb: true, byte, bit }), ..Sense::INVALID_FIELD_IN_CDB }
    }

    /// 05h 26h/00h INVALID FIELD IN PARAMETER LIST, saying where the field starts.
    pub const fn invalid_field_in_parameter_list(byte: u16) -> Sense {
        let field = FieldPointer { in_cdb: false, byte, bit: None };
        Sense { field: Some(field), ..Sense::INVALID_FIELD_IN_PARAMETER_LIST }
    }

    /// The same with the INFORMATION field set.
    pub const fn with_information(self, information: u64) -> Sense {
        Sense { information: Some(information), ..self }
    }

    /// What a failed operation on the device means to the initiator. `blocks` and `lba` are its range: INFORMATION
    /// must be the address of the block at fault, which is known only if there was just one.
    pub fn of_io_error(error: IoError, op: Op, lba: u64, blocks: u64) -> Sense {
        let medium = |sense: Sense| if blocks == 1 { sense.with_information(lba) } else { sense };
        match error {
            IoError::OutOfRange => Sense::LBA_OUT_OF_RANGE,
            IoError::WriteProtected => Sense::WRITE_PROTECTED,
            IoError::NoSpace => Sense::SPACE_ALLOCATION_FAILED,
            IoError::Medium if matches!(op, Op::Read | Op::LbaStatus) => medium(Sense::UNRECOVERED_READ_ERROR),
            IoError::Medium => medium(Sense::WRITE_ERROR),
            IoError::Gone => Sense::NOT_READY_MANUAL_INTERVENTION,
            // An initiator that reads this stops using the command, as Linux does with UNMAP and WRITE SAME.
            IoError::Unsupported => Sense::INVALID_COMMAND_OPERATION_CODE,
            IoError::Failed => Sense::INTERNAL_TARGET_FAILURE,
        }
    }

    /// Writes the sense data and returns its length. The form is fixed (18 bytes), or with descriptors if
    /// `descriptor_format` asks for it (the D_SENSE or DESC bit) or INFORMATION does not fit in the fixed form's 32 bits.
    pub fn write(&self, descriptor_format: bool, out: &mut [u8; SENSE_BYTES_MAX]) -> usize {
        let information_32 = self.information.map(u32::try_from);
        match information_32 {
            Some(Ok(information)) if !descriptor_format => self.write_fixed(Some(information), out),
            None if !descriptor_format => self.write_fixed(None, out),
            _ => self.write_descriptors(out),
        }
    }

    fn write_fixed(&self, information: Option<u32>, out: &mut [u8; SENSE_BYTES_MAX]) -> usize {
        out.fill(0);
        out[0] = CURRENT_FIXED;
        out[2] = self.key as u8;
        if let Some(information) = information {
            out[0] |= INFORMATION_VALID;
            out[3..7].copy_from_slice(&information.to_be_bytes());
        }
        out[7] = (FIXED_BYTES - HEADER_BYTES) as u8;
        out[12] = self.asc;
        out[13] = self.ascq;
        if let Some(field) = self.field {
            out[15..18].copy_from_slice(&field.to_bytes());
        }
        FIXED_BYTES
    }

    fn write_descriptors(&self, out: &mut [u8; SENSE_BYTES_MAX]) -> usize {
        out.fill(0);
        out[..4].copy_from_slice(&[CURRENT_DESCRIPTOR, self.key as u8, self.asc, self.ascq]);
        let mut len = HEADER_BYTES;
        if let Some(information) = self.information {
            out[len..len + 4].copy_from_slice(&INFORMATION_DESCRIPTOR);
            out[len + 4..len + 12].copy_from_slice(&information.to_be_bytes());
            len += 12;
        }
        if let Some(field) = self.field {
            out[len..len + 4].copy_from_slice(&KEY_SPECIFIC_DESCRIPTOR);
            out[len + 4..len + 7].copy_from_slice(&field.to_bytes());
            len += 8;
        }
        out[7] = (len - HEADER_BYTES) as u8;
        len
    }
}

impl FieldPointer {
    /// SKSV, C/D, BPV, bit pointer and field pointer (SPC-4).
    fn to_bytes(self) -> [u8; 3] {
        let [high, low] = self.byte.to_be_bytes();
        let bit = self.bit.map_or(0, |bit| 0x08 | bit & 0x07);
        [0x80 | u8::from(self.in_cdb) << 6 | bit, high, low]
    }
}

impl fmt::Display for Sense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sense key {:X}h, {:02X}h/{:02X}h", self.key as u8, self.asc, self.ascq)
    }
}

#[cfg(test)]
#[path = "sense_tests.rs"]
mod tests;
