//! What FORMAT UNIT says about protection information (SBC-3: "FMTPINFO field and PROTECTION FIELD USAGE field").
//!
//! For the command: [`check_cdb`] when its CDB is parsed, [`requested`] with the parameter list, [`initialize`] for every block that is written (or
//! zeroes written by the device, which are the same for a pattern of zeroes), and then `LogicalUnit::set_protection`
//! and `Saved::protection`.

use super::{Layout, ProtectionType};
use crate::unit::LogicalUnit;
use crate::wire::sense::Sense;

/// FMTPINFO, bits 7 and 6 of byte 1 of the CDB.
fn fmtpinfo(cdb: &[u8]) -> u8 {
    cdb[1] >> 6
}

/// What is wrong with FMTPINFO by itself.
///
/// # Errors
/// INVALID FIELD IN CDB: it asks for protection information where there is no room for it or no parameter list that goes with it
/// (FMTDATA), or is a value that the standard calls illegal.
pub(crate) fn check_cdb(cdb: &[u8], unit: &LogicalUnit) -> Result<(), Sense> {
    const FMTDATA: u8 = 0x10;
    match fmtpinfo(cdb) {
        0b00 => Ok(()),
        0b10 | 0b11 if unit.has_metadata() && cdb[1] & FMTDATA != 0 => Ok(()),
        _ => Err(Sense::invalid_field_in_cdb(1, Some(7))),
    }
}

/// The type that is asked for by a CDB that was checked, and its parameter list: PROTECTION FIELD USAGE is in bits 2 to 0 of
/// byte 0 of either header, and counts as zero where there is no list.
///
/// # Errors
/// INVALID FIELD IN PARAMETER LIST: the two do not go together, or mean type 2.
pub(crate) fn requested(cdb: &[u8], parameters: &[u8]) -> Result<ProtectionType, Sense> {
    let usage = parameters.first().map_or(0, |byte| byte & 0x07);
    match (fmtpinfo(cdb), usage) {
        (0b00, 0b000) => Ok(ProtectionType::None),
        (0b10, 0b000) => Ok(ProtectionType::Type1),
        (0b11, 0b001) => Ok(ProtectionType::Type3),
        _ => Err(Sense::invalid_field_in_parameter_list(0)),
    }
}

/// What is wrong with the long header's byte 3, P_I_INFORMATION and PROTECTION INTERVAL EXPONENT: there is one piece of information for
/// each block.
///
/// # Errors
/// INVALID FIELD IN PARAMETER LIST.
pub(crate) fn check_long_header(parameters: &[u8]) -> Result<(), Sense> {
    match parameters.get(3) {
        Some(&byte) if byte != 0 => Err(Sense::invalid_field_in_parameter_list(3)),
        _ => Ok(()),
    }
}

/// Makes a block as it is stored by a format: `pattern`, repeated, and protection information of all ones, which are zeroes there.
/// `block` has the length of a stored block, also where there is no metadata.
pub(crate) fn initialize(block: &mut [u8], pattern: &[u8], unit: &LogicalUnit) {
    let layout = Layout::of(unit.facts(), ProtectionType::None);
    let (data, information) = block.split_at_mut(layout.data_bytes());
    let mut bytes = pattern.iter().copied().cycle();
    data.iter_mut().for_each(|byte| *byte = bytes.next().unwrap_or(0));
    information.fill(0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{protected_unit, unit};

    const LIST: u8 = 0x10;

    #[test]
    fn the_cdb_is_the_table_s() {
        let (plain, room) = (unit(), protected_unit(ProtectionType::None));
        let refused = Err(Sense::invalid_field_in_cdb(1, Some(7)));
        for (fmtpinfo, list, unit, outcome) in [
            (0b00, 0, &plain, Ok(())),
            (0b00, LIST, &room, Ok(())),
            (0b01, LIST, &plain, refused),
            (0b01, LIST, &room, refused),
            (0b10, LIST, &plain, refused),
            (0b11, LIST, &plain, refused),
            (0b10, LIST, &room, Ok(())),
            (0b11, LIST, &room, Ok(())),
            (0b10, 0, &room, refused),
            (0b11, 0, &room, refused),
        ] {
            assert_eq!(check_cdb(&[0x04, fmtpinfo << 6 | list, 0, 0, 0, 0], unit), outcome, "{fmtpinfo:02b}");
        }
    }

    #[test]
    fn types_are_the_table_s_and_type_2_is_none() {
        for fmtpinfo in 0..4 {
            for usage in 0..8 {
                let expected = match (fmtpinfo, usage) {
                    (0b00, 0) => Ok(ProtectionType::None),
                    (0b10, 0) => Ok(ProtectionType::Type1),
                    (0b11, 1) => Ok(ProtectionType::Type3),
                    _ => Err(Sense::invalid_field_in_parameter_list(0)),
                };
                let cdb = [0x04, fmtpinfo << 6 | LIST, 0, 0, 0, 0];
                // The rest of the byte is reserved.
                assert_eq!(requested(&cdb, &[0xf8 | usage, 0, 0, 0]), expected, "{fmtpinfo:02b} {usage:03b}");
            }
        }
        assert_eq!(requested(&[0x04, 0, 0, 0, 0, 0], &[]), Ok(ProtectionType::None));
    }

    #[test]
    fn intervals_shorter_than_a_block_are_refused() {
        assert_eq!(check_long_header(&[0, 0, 0, 0, 0, 0, 0, 0]), Ok(()));
        for byte in [0x01, 0x0f, 0x10, 0xf0] {
            let refused = Err(Sense::invalid_field_in_parameter_list(3));
            assert_eq!(check_long_header(&[0, 0, 0, byte, 0, 0, 0, 0]), refused);
        }
    }

    #[test]
    fn a_formatted_block_is_valid_under_every_type() {
        let unit = protected_unit(ProtectionType::Type1);
        let mut block = vec![0xee; 520];
        initialize(&mut block, &[1, 2, 3], &unit);
        assert_eq!((&block[..4], &block[510..]), (&[1, 2, 3, 1][..], &[1, 2, 0, 0, 0, 0, 0, 0, 0, 0][..]));
        for kind in [ProtectionType::Type1, ProtectionType::Type3] {
            let layout = Layout::of(unit.facts(), kind);
            let mut sent = block.clone();
            layout.flip(&mut sent);
            let checks = crate::protection::Checks { guard: true, reference_tag: kind == ProtectionType::Type1 };
            assert_eq!(layout.check(&sent, 99, checks), Ok(()));
        }
        let mut plain = [0xee; 512];
        initialize(&mut plain, &[], &crate::testing::unit());
        assert_eq!(plain, [0; 512]);
    }
}
