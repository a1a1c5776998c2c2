//! What FORMAT UNIT says about protection information (SBC-3: "FMTPINFO field and PROTECTION FIELD USAGE field").
//!
//! | FMTPINFO | PROTECTION FIELD USAGE | |
//! |---|---|---|
//! | 00b | 000b | none: the information is kept, and checked by nobody |
//! | 10b | 000b | type 1 |
//! | 11b | 000b | type 2, not supported |
//! | 11b | 001b | type 3 |
//!
//! Every block that is formatted gets information of all ones, which is valid under each (`medium/overwrite.rs`). The type is kept over restarts
//! (`control/format.rs`); without a place for that, it stays as it is.

use super::ProtectionType;
use crate::unit::LogicalUnit;
use crate::wire::sense::Sense;

/// The type that FMTPINFO, bits 7 and 6 of byte 1 of the CDB, asks for.
///
/// # Errors
/// INVALID FIELD IN CDB: it asks for protection information where there is no room for it or no parameter list that goes with it
/// (FMTDATA), is a value that the standard calls illegal, or would change what cannot be kept.
pub(crate) fn requested(cdb: &[u8], unit: &LogicalUnit) -> Result<ProtectionType, Sense> {
    const FMTDATA: u8 = 0x10;
    let refused = Sense::invalid_field_in_cdb(1, Some(7));
    let requested = match cdb[1] >> 6 {
        0b00 => ProtectionType::None,
        0b10 if unit.has_metadata() && cdb[1] & FMTDATA != 0 => ProtectionType::Type1,
        0b11 if unit.has_metadata() && cdb[1] & FMTDATA != 0 => ProtectionType::Type3,
        _ => return Err(refused),
    };
    match requested == unit.protection() || unit.can_save() {
        true => Ok(requested),
        false => Err(refused),
    }
}

/// Whether PROTECTION FIELD USAGE, bits 2 to 0 of byte 0 of either parameter list header, goes with the type that the CDB asks for.
///
/// # Errors
/// INVALID FIELD IN PARAMETER LIST: it does not, or they mean type 2.
pub(crate) fn check_usage(requested: ProtectionType, byte: u8) -> Result<(), Sense> {
    let usage = match requested {
        ProtectionType::None | ProtectionType::Type1 => 0b000,
        ProtectionType::Type3 => 0b001,
    };
    match byte & 0x07 == usage {
        true => Ok(()),
        false => Err(Sense::invalid_bit_in_parameter_list(0, 2)),
    }
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
