//! A real SCSI device: commands go through as they are, data, sense and residual come back as they are.
//!
//! # The record
//! The data buffer of [`crate::Op::Scsi`] is the command's data, padded to a multiple of 8 bytes, and then a record of
//! [`RECORD_BYTES`] bytes: the CDB and its time limit on the way in, status, sense and residual on the way out. So an
//! operation is no larger than any other, and nothing is allocated for it.

/// Length of the record at the end of a command's data buffer, in bytes.
pub const RECORD_BYTES: usize = 192;

/// Longest CDB, in bytes: Linux' limit.
pub const CDB_BYTES_MAX: usize = 32;

/// Longest sense data, in bytes: Linux' limit.
pub const SENSE_BYTES_MAX: usize = 96;

/// What is known of the device behind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// PERIPHERAL DEVICE TYPE (SPC-4): 0 disk, 1 tape, 5 optical, 8 changer, Dh enclosure.
    pub device_type: u8,
    /// Most bytes that one command can move: the adapter's limit, or that of the driver before it.
    pub transfer_bytes_max: u32,
}
