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
    /// A third-party copy stopped within a segment.
    CopyAborted = 0xa,
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

/// What COPY ABORTED says besides (SPC-4: EXTENDED COPY command errors detected during processing of segment descriptors).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CopyAborted {
    /// Number of the segment descriptor, from 0.
    pub segment: u16,
    /// The field pointer counts from the start of the segment descriptor (SD), not of the parameter list.
    pub in_segment: bool,
    /// What the copy source or destination answered, if it was one of them.
    pub forwarded: Option<Forwarded>,
}

/// Status and sense data of a copy source or destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forwarded {
    /// It was the destination.
    pub by_destination: bool,
    /// Its status.
    pub status: ScsiStatus,
    /// Its sense key and codes, with CHECK CONDITION.
    pub sense: Option<(SenseKey, u8, u8)>,
    /// Its INFORMATION, where it has 32 bits at most.
    pub information: Option<u32>,
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
    /// PROGRESS INDICATION: how much is done, in 65536ths. Where it is set there is no field at fault.
    pub progress: Option<u16>,
    /// It is about a command that has been answered before (SPC-4: deferred error).
    pub deferred: bool,
    /// More about a third-party copy that stopped.
    pub copy: Option<CopyAborted>,
}

/// Each named as SPC-4 names its additional sense code.
impl Sense {
    /// 00h/00h NO ADDITIONAL SENSE INFORMATION.
    pub const NONE: Sense = Sense::new(SenseKey::NoSense, 0x00, 0x00);
    /// 00h 5Dh/FFh FAILURE PREDICTION THRESHOLD EXCEEDED (FALSE): the TEST bit of the informational exceptions control mode page.
    pub const FAILURE_PREDICTION_TEST: Sense = Sense::new(SenseKey::NoSense, 0x5d, 0xff);
    /// 00h 5Eh/03h IDLE CONDITION ACTIVATED BY COMMAND.
    pub const IDLE_BY_COMMAND: Sense = Sense::new(SenseKey::NoSense, 0x5e, 0x03);
    /// 00h 5Eh/04h STANDBY CONDITION ACTIVATED BY COMMAND.
    pub const STANDBY_BY_COMMAND: Sense = Sense::new(SenseKey::NoSense, 0x5e, 0x04);
    /// 02h 04h/02h LOGICAL UNIT NOT READY, INITIALIZING COMMAND REQUIRED: START STOP UNIT stopped it.
    pub const INITIALIZING_COMMAND_REQUIRED: Sense = Sense::new(SenseKey::NotReady, 0x04, 0x02);
    /// 02h 04h/04h LOGICAL UNIT NOT READY, FORMAT IN PROGRESS; see [`Sense::with_progress`].
    pub const FORMAT_IN_PROGRESS: Sense = Sense::new(SenseKey::NotReady, 0x04, 0x04);
    /// 02h 04h/1Bh LOGICAL UNIT NOT READY, SANITIZE IN PROGRESS; see [`Sense::with_progress`].
    pub const SANITIZE_IN_PROGRESS: Sense = Sense::new(SenseKey::NotReady, 0x04, 0x1b);
    /// 05h 00h/16h OPERATION IN PROGRESS: the list identifier is in use.
    pub const OPERATION_IN_PROGRESS: Sense = Sense::new(SenseKey::IllegalRequest, 0x00, 0x16);
    /// 02h 04h/03h LOGICAL UNIT NOT READY, MANUAL INTERVENTION REQUIRED.
    pub const NOT_READY_MANUAL_INTERVENTION: Sense = Sense::new(SenseKey::NotReady, 0x04, 0x03);
    /// 02h 04h/0Ah LOGICAL UNIT NOT ACCESSIBLE, ASYMMETRIC ACCESS STATE TRANSITION.
    pub const ACCESS_STATE_TRANSITION: Sense = Sense::new(SenseKey::NotReady, 0x04, 0x0a);
    /// 02h 04h/0Bh LOGICAL UNIT NOT ACCESSIBLE, TARGET PORT IN STANDBY STATE.
    pub const TARGET_PORT_IN_STANDBY: Sense = Sense::new(SenseKey::NotReady, 0x04, 0x0b);
    /// 02h 04h/0Ch LOGICAL UNIT NOT ACCESSIBLE, TARGET PORT IN UNAVAILABLE STATE.
    pub const TARGET_PORT_IN_UNAVAILABLE: Sense = Sense::new(SenseKey::NotReady, 0x04, 0x0c);
    /// 02h 04h/12h LOGICAL UNIT NOT READY, OFFLINE.
    pub const NOT_READY_OFFLINE: Sense = Sense::new(SenseKey::NotReady, 0x04, 0x12);
    /// 02h 3Ah/00h MEDIUM NOT PRESENT.
    pub const MEDIUM_NOT_PRESENT: Sense = Sense::new(SenseKey::NotReady, 0x3a, 0x00);
    /// 02h 3Ah/01h MEDIUM NOT PRESENT - TRAY CLOSED.
    pub const MEDIUM_NOT_PRESENT_TRAY_CLOSED: Sense = Sense::new(SenseKey::NotReady, 0x3a, 0x01);
    /// 02h 3Ah/02h MEDIUM NOT PRESENT - TRAY OPEN.
    pub const MEDIUM_NOT_PRESENT_TRAY_OPEN: Sense = Sense::new(SenseKey::NotReady, 0x3a, 0x02);
    /// 03h 0Ch/00h WRITE ERROR.
    pub const WRITE_ERROR: Sense = Sense::new(SenseKey::MediumError, 0x0c, 0x00);
    /// 03h 11h/00h UNRECOVERED READ ERROR.
    pub const UNRECOVERED_READ_ERROR: Sense = Sense::new(SenseKey::MediumError, 0x11, 0x00);
    /// 03h 31h/00h MEDIUM FORMAT CORRUPTED.
    pub const MEDIUM_FORMAT_CORRUPTED: Sense = Sense::new(SenseKey::MediumError, 0x31, 0x00);
    /// 03h 31h/01h FORMAT COMMAND FAILED.
    pub const FORMAT_COMMAND_FAILED: Sense = Sense::new(SenseKey::MediumError, 0x31, 0x01);
    /// 03h 31h/03h SANITIZE COMMAND FAILED.
    pub const SANITIZE_COMMAND_FAILED: Sense = Sense::new(SenseKey::MediumError, 0x31, 0x03);
    /// 04h 44h/00h INTERNAL TARGET FAILURE.
    pub const INTERNAL_TARGET_FAILURE: Sense = Sense::new(SenseKey::HardwareError, 0x44, 0x00);
    /// 04h 3Eh/03h LOGICAL UNIT FAILED SELF-TEST.
    pub const FAILED_SELF_TEST: Sense = Sense::new(SenseKey::HardwareError, 0x3e, 0x03);
    /// 04h 67h/0Ah SET TARGET PORT GROUPS COMMAND FAILED.
    pub const SET_TARGET_PORT_GROUPS_FAILED: Sense = Sense::new(SenseKey::HardwareError, 0x67, 0x0a);
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
    /// 05h 26h/06h TOO MANY TARGET DESCRIPTORS.
    pub const TOO_MANY_TARGET_DESCRIPTORS: Sense = Sense::new(SenseKey::IllegalRequest, 0x26, 0x06);
    /// 05h 26h/07h UNSUPPORTED TARGET DESCRIPTOR TYPE CODE.
    pub const UNSUPPORTED_TARGET_DESCRIPTOR_TYPE: Sense = Sense::new(SenseKey::IllegalRequest, 0x26, 0x07);
    /// 05h 26h/08h TOO MANY SEGMENT DESCRIPTORS.
    pub const TOO_MANY_SEGMENT_DESCRIPTORS: Sense = Sense::new(SenseKey::IllegalRequest, 0x26, 0x08);
    /// 05h 26h/09h UNSUPPORTED SEGMENT DESCRIPTOR TYPE CODE.
    pub const UNSUPPORTED_SEGMENT_DESCRIPTOR_TYPE: Sense = Sense::new(SenseKey::IllegalRequest, 0x26, 0x09);
    /// 05h 26h/0Bh INLINE DATA LENGTH EXCEEDED.
    pub const INLINE_DATA_LENGTH_EXCEEDED: Sense = Sense::new(SenseKey::IllegalRequest, 0x26, 0x0b);
    /// 05h 2Ch/00h COMMAND SEQUENCE ERROR: it asks for what another command should have brought before.
    pub const COMMAND_SEQUENCE_ERROR: Sense = Sense::new(SenseKey::IllegalRequest, 0x2c, 0x00);
    /// 05h 2Ch/0Ch ORWRITE GENERATION DOES NOT MATCH.
    pub const ORWRITE_GENERATION_DOES_NOT_MATCH: Sense = Sense::new(SenseKey::IllegalRequest, 0x2c, 0x0c);
    /// 05h 39h/00h SAVING PARAMETERS NOT SUPPORTED.
    pub const SAVING_PARAMETERS_NOT_SUPPORTED: Sense = Sense::new(SenseKey::IllegalRequest, 0x39, 0x00);
    /// 05h 49h/00h INVALID MESSAGE ERROR: for the transport.
    pub const INVALID_MESSAGE: Sense = Sense::new(SenseKey::IllegalRequest, 0x49, 0x00);
    /// 05h 53h/02h MEDIUM REMOVAL PREVENTED.
    pub const MEDIUM_REMOVAL_PREVENTED: Sense = Sense::new(SenseKey::IllegalRequest, 0x53, 0x02);
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

const FIXED: u8 = 0x70;
const DESCRIPTOR: u8 = 0x72;
const INFORMATION_VALID: u8 = 0x80;
const FIXED_BYTES: usize = 18;
const HEADER_BYTES: usize = 8;
const INFORMATION_DESCRIPTOR: [u8; 4] = [0x00, 0x0a, 0x80, 0x00]; // type, additional length, VALID, reserved
const COMMAND_SPECIFIC_DESCRIPTOR: [u8; 4] = [0x01, 0x0a, 0x00, 0x00]; // type, additional length, reserved
const KEY_SPECIFIC_DESCRIPTOR: [u8; 4] = [0x02, 0x06, 0x00, 0x00]; // type, additional length, reserved

impl Sense {
    /// Sense data with nothing beyond its three codes.
    pub const fn new(key: SenseKey, asc: u8, ascq: u8) -> Sense {
        Sense { key, asc, ascq, information: None, field: None, progress: None, deferred: false, copy: None }
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

    /// The same for a field that is part of a byte: its most significant bit.
    pub const fn invalid_bit_in_parameter_list(byte: u16, bit: u8) -> Sense {
        let field = FieldPointer { in_cdb: false, byte, bit: Some(bit) };
        Sense { field: Some(field), ..Sense::INVALID_FIELD_IN_PARAMETER_LIST }
    }

    /// The same, saying where in the parameter list the field starts that is at fault.
    pub const fn in_parameter_list(self, byte: u16) -> Sense {
        Sense { field: Some(FieldPointer { in_cdb: false, byte, bit: None }), ..self }
    }

    /// The same with the INFORMATION field set.
    pub const fn with_information(self, information: u64) -> Sense {
        Sense { information: Some(information), ..self }
    }

    /// The same with the progress indication set, in 65536ths.
    pub const fn with_progress(self, progress: u16) -> Sense {
        Sense { progress: Some(progress), ..self }
    }

    /// The same, about a command that has been answered before.
    pub const fn as_deferred(self) -> Sense {
        Sense { deferred: true, ..self }
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
        out[0] = FIXED | u8::from(self.deferred);
        out[2] = self.key as u8;
        if let Some(information) = information {
            out[0] |= INFORMATION_VALID;
            out[3..7].copy_from_slice(&information.to_be_bytes());
        }
        out[7] = (FIXED_BYTES - HEADER_BYTES) as u8;
        out[12] = self.asc;
        out[13] = self.ascq;
        if let Some(specific) = self.key_specific() {
            out[15..18].copy_from_slice(&specific);
        }
        match self.copy {
            Some(copy) => copy.write_fixed(out),
            None => FIXED_BYTES,
        }
    }

    fn write_descriptors(&self, out: &mut [u8; SENSE_BYTES_MAX]) -> usize {
        out.fill(0);
        out[..4].copy_from_slice(&[DESCRIPTOR | u8::from(self.deferred), self.key as u8, self.asc, self.ascq]);
        let mut len = HEADER_BYTES;
        if let Some(information) = self.information {
            out[len..len + 4].copy_from_slice(&INFORMATION_DESCRIPTOR);
            out[len + 4..len + 12].copy_from_slice(&information.to_be_bytes());
            len += 12;
        }
        if let Some(copy) = self.copy {
            out[len..len + 4].copy_from_slice(&COMMAND_SPECIFIC_DESCRIPTOR);
            out[len + 6..len + 8].copy_from_slice(&copy.segment.to_be_bytes());
            len += 12;
        }
        if let Some(specific) = self.key_specific() {
            out[len..len + 4].copy_from_slice(&KEY_SPECIFIC_DESCRIPTOR);
            out[len + 4..len + 7].copy_from_slice(&specific);
            len += 8;
        }
        if let Some(forwarded) = self.copy.and_then(|copy| copy.forwarded) {
            len += forwarded.write_descriptor(&mut out[len..]);
        }
        out[7] = (len - HEADER_BYTES) as u8;
        len
    }

    /// Sense key specific bytes, SKSV included: a field pointer, or a segment pointer with COPY ABORTED, or progress (SPC-4).
    fn key_specific(&self) -> Option<[u8; 3]> {
        const SD: u8 = 0x20;
        let pointer = |field: FieldPointer| {
            let [flags, high, low] = field.to_bytes();
            [flags | if self.copy.is_some_and(|copy| copy.in_segment) { SD } else { 0 }, high, low]
        };
        let progress = |progress: u16| {
            let [high, low] = progress.to_be_bytes();
            [0x80, high, low]
        };
        self.field.map(pointer).or(self.progress.map(progress))
    }
}

impl CopyAborted {
    /// COMMAND-SPECIFIC INFORMATION, and what was forwarded behind the fixed part. Returns the length of the whole.
    fn write_fixed(&self, out: &mut [u8; SENSE_BYTES_MAX]) -> usize {
        out[10..12].copy_from_slice(&self.segment.to_be_bytes());
        let Some(forwarded) = self.forwarded else { return FIXED_BYTES };
        out[8 + usize::from(forwarded.by_destination)] = FIXED_BYTES as u8;
        out[FIXED_BYTES] = forwarded.status as u8;
        let len = FIXED_BYTES + 1 + forwarded.write_sense(&mut out[FIXED_BYTES + 1..]);
        out[7] = (len - HEADER_BYTES) as u8;
        len
    }
}

impl Forwarded {
    /// What a copy source or destination answers with sense data.
    pub fn check_condition(by_destination: bool, sense: &Sense) -> Forwarded {
        let information = sense.information.and_then(|information| u32::try_from(information).ok());
        let sense = Some((sense.key, sense.asc, sense.ascq));
        Forwarded { by_destination, status: ScsiStatus::CheckCondition, sense, information }
    }

    /// Forwarded sense data descriptor (SPC-4). Returns its length.
    fn write_descriptor(&self, out: &mut [u8]) -> usize {
        const TYPE: u8 = 0x0c;
        const SOURCE: u8 = 1;
        const DESTINATION: u8 = 2;
        let from = if self.by_destination { DESTINATION } else { SOURCE };
        let len = 4 + self.write_sense(&mut out[4..]);
        out[..4].copy_from_slice(&[TYPE, (len - 2) as u8, from, self.status as u8]);
        len
    }

    /// Its sense data in fixed format, if there is any. Returns its length.
    fn write_sense(&self, out: &mut [u8]) -> usize {
        let Some((key, asc, ascq)) = self.sense else { return 0 };
        let sense = Sense::new(key, asc, ascq);
        let mut fixed = [0; SENSE_BYTES_MAX];
        let len = sense.write_fixed(self.information, &mut fixed);
        out[..len].copy_from_slice(&fixed[..len]);
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
