//! Protection information (SBC-3: "Protection information model"), types 1 and 3, for units whose device has metadata.
//!
//! Eight bytes go with each block: a CRC of its data (guard), an application tag, and a reference tag, which in type 1 are the
//! low 32 bits of the block's address. What is told from what:
//!
//! | | found by |
//! |---|---|
//! | data that changed on its way or on the medium | the guard |
//! | a block that was written or read elsewhere | the reference tag, in type 1 |
//! | a block that nobody has written | all ones: not to be checked |
//!
//! An initiator that knows nothing of it sends the PROTECT field 000b: its writes get their information here, its reads are checked
//! and stripped. With any other value the information goes with the data, block after block, and the field says what is checked
//! (`field.rs`). On the medium the information is stored inverted, so that zeroes are all ones and holes need no care: see
//! `bdev/src/metadata.rs`.
//!
//! The application tag belongs to the device server: ATO is clear in the control mode page. It is kept as it was sent, 0 where none was, and
//! never checked. Were ATO set, every block of an initiator that sends none would have to get FFFFh (SBC-3, WRPROTECT
//! 000b), which is "not to be checked": no ordinary initiator would be protected.
//!
//! | command | on a unit with metadata |
//! |---|---|
//! | READ, WRITE, VERIFY, WRITE AND VERIFY, WRITE ATOMIC, WRITE SAME | `medium/protected.rs`, `medium/protected_same.rs` |
//! | FORMAT UNIT, SANITIZE | information of all ones for every block (`medium/overwrite.rs`); the type, by FORMAT UNIT (`format.rs`) |
//! | those in [`UNPROTECTED_ONLY`] | refused, 20h/00h: they move blocks and do not know of metadata |
//! | all others | as ever |
//!
//! Reading order: `information.rs` (the eight bytes), `field.rs` (PROTECT), `blocks.rs` (runs of blocks in a buffer), `format.rs` (FORMAT
//! UNIT's part), then `command/protected.rs` and the files above.

mod blocks;
mod field;
pub(crate) mod format;
mod information;

pub use bdev::ProtectionType;

pub(crate) use blocks::Layout;
pub(crate) use field::{Checks, Protect};
pub(crate) use information::Information;

use crate::wire::cdb::opcode;

/// Commands that read or write blocks and are taught nothing of metadata: where there is some they would take blocks for
/// shorter than they are. By operation code; whoever teaches one takes it out.
pub(crate) const UNPROTECTED_ONLY: &[u8] = &[
    0x07, // REASSIGN BLOCKS
    0x3e, // READ LONG(10)
    0x3f, // WRITE LONG(10)
    0x50, // XDWRITE(10)
    0x51, // XPWRITE(10)
    0x52, // XDREAD(10)
    0x53, // XDWRITEREAD(10)
    0x7f, // all that have 32 bytes: for type 2
    0x83, // THIRD-PARTY COPY OUT: EXTENDED COPY
    0x84, // THIRD-PARTY COPY IN: what became of it
    0x89, // COMPARE AND WRITE
    0x8b, // ORWRITE(16)
    0x9a, // WRITE STREAM(16)
    0x9f, // SERVICE ACTION OUT(16): WRITE LONG(16), WRITE SCATTERED(16)
];

/// Whether a command has a PROTECT field in bits 7 to 5 of byte 1 that means something where blocks have protection information.
pub(crate) fn has_field(operation: u8) -> bool {
    matches!(
        operation,
        opcode::READ_10
            | opcode::READ_12
            | opcode::READ_16
            | opcode::WRITE_10
            | opcode::WRITE_12
            | opcode::WRITE_16
            | opcode::VERIFY_10
            | opcode::VERIFY_12
            | opcode::VERIFY_16
            | opcode::WRITE_AND_VERIFY_10
            | opcode::WRITE_AND_VERIFY_12
            | opcode::WRITE_AND_VERIFY_16
            | opcode::WRITE_ATOMIC_16
            | opcode::WRITE_SAME_10
            | opcode::WRITE_SAME_16
    )
}

#[cfg(test)]
#[path = "protection/protection_tests.rs"]
mod tests;
