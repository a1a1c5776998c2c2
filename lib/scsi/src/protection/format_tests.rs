use super::*;
use crate::Saved;
use crate::testing::{protected_unit, unit};

const LIST: u8 = 0x10;

fn cdb(fmtpinfo: u8, list: u8) -> [u8; 6] {
    [0x04, fmtpinfo << 6 | list, 0, 0, 0, 0]
}

#[test]
fn the_cdb_is_the_table_s() {
    let (plain, room) = (unit(), protected_unit(ProtectionType::None));
    room.restore(&Saved::default());
    let refused = Err(Sense::invalid_field_in_cdb(1, Some(7)));
    for (fmtpinfo, list, unit, outcome) in [
        (0b00, 0, &plain, Ok(ProtectionType::None)),
        (0b00, LIST, &room, Ok(ProtectionType::None)),
        (0b01, LIST, &plain, refused),
        (0b01, LIST, &room, refused),
        (0b10, LIST, &plain, refused),
        (0b11, LIST, &plain, refused),
        (0b10, LIST, &room, Ok(ProtectionType::Type1)),
        (0b11, LIST, &room, Ok(ProtectionType::Type3)),
        (0b10, 0, &room, refused),
        (0b11, 0, &room, refused),
    ] {
        assert_eq!(requested(&cdb(fmtpinfo, list), unit), outcome, "{fmtpinfo:02b}");
    }
}

#[test]
fn a_type_that_cannot_be_kept_is_not_changed() {
    let unit = protected_unit(ProtectionType::Type1);
    let refused = Err(Sense::invalid_field_in_cdb(1, Some(7)));
    assert_eq!(requested(&cdb(0b10, LIST), &unit), Ok(ProtectionType::Type1));
    assert_eq!([requested(&cdb(0b00, 0), &unit), requested(&cdb(0b11, LIST), &unit)], [refused; 2]);
}

#[test]
fn usages_are_the_table_s_and_type_2_is_none() {
    for usage in 0..8 {
        let of = |kind| check_usage(kind, 0xf8 | usage).is_ok(); // the rest of the byte is reserved
        let all = [ProtectionType::None, ProtectionType::Type1, ProtectionType::Type3].map(of);
        assert_eq!(all, [usage == 0, usage == 0, usage == 1], "{usage:03b}");
    }
    let refused = Err(Sense::invalid_bit_in_parameter_list(0, 2));
    assert_eq!(check_usage(ProtectionType::Type3, 0), refused);
}
