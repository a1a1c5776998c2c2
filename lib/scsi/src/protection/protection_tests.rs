use super::*;
use crate::testing::{answer, cdb, context, protected_unit, refusal, unit};
use crate::wire::sense::Sense;
use crate::{Designation, LogicalUnit, Saved};

fn of(number: u8) -> LogicalUnit {
    protected_unit(ProtectionType::of_number(number.into()).expect("a type"))
}

fn capacity(unit: &LogicalUnit) -> Vec<u8> {
    answer(&[0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0], &context(unit))
}

/// PROTECT, SPT and the check bits follow the device; PROT_EN and P_TYPE the format.
#[test]
fn initiators_are_told() {
    for (unit, protect, spt_and_checks, no_pi_chk, protection) in [
        (unit(), 0, 0, 0, 0),
        (of(0), 1, 0b0001_1101, 0x20, 0),
        (of(1), 1, 0b0001_1101, 0x20, 0b0001),
        (of(3), 1, 0b0001_1101, 0x20, 0b0101),
    ] {
        assert_eq!(answer(&[0x12, 0, 0, 0, 96, 0], &context(&unit))[5] & 1, protect);
        let page = answer(&[0x12, 1, 0x86, 0, 64, 0], &context(&unit));
        assert_eq!((page[4], page[7]), (spt_and_checks, no_pi_chk));
        let capacity = capacity(&unit);
        assert_eq!((&capacity[8..12], capacity[12], capacity[13] >> 4), (&[0, 0, 2, 0][..], protection, 0));
        let control = answer(&[0x1a, 0x08, 0x0a, 0, 64, 0], &context(&unit));
        assert_eq!(control[4 + 5] & 0xa0, 0, "ATO and ATMPE are clear");
        assert_eq!(control[4 + 2] & 0x08, 0, "DPICZ is clear");
    }
}

#[test]
fn usage_data_shows_the_field_where_there_is_one() {
    for opcode in [0x28, 0x2a, 0x2e, 0x2f, 0x41, 0x88, 0x8a, 0x8e, 0x8f, 0x93, 0xa8, 0xaa, 0xae, 0xaf] {
        let usage = |unit: &LogicalUnit| {
            answer(&[0xa3, 0x0c, 0x01, opcode, 0, 0, 0, 0, 1, 0, 0, 0], &context(unit))[4 + 1] & 0xe0
        };
        assert_eq!((usage(&unit()), usage(&of(1))), (0, 0xe0), "{opcode:02x}");
    }
    let logical_unit = unit();
    let usage = answer(&[0xa3, 0x0c, 0x01, 0x08, 0, 0, 0, 0, 1, 0, 0, 0], &context(&logical_unit));
    assert_eq!(usage[4..], [0x08, 0x1f, 0xff, 0xff, 0xff, 0x04], "READ(6) has an address there");
}

/// What does not know of metadata must not come near it.
#[test]
fn commands_that_know_nothing_of_metadata_are_refused_and_not_shown() {
    assert!(UNPROTECTED_ONLY.is_sorted());
    let unit = of(1);
    for &opcode in UNPROTECTED_ONLY {
        assert_eq!(refusal(&cdb(&[opcode]), &context(&unit)), Sense::INVALID_COMMAND_OPERATION_CODE, "{opcode:02x}");
    }
    let shown = answer(&[0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 0xff, 0, 0, 0], &context(&unit));
    let opcodes: Vec<u8> = shown[4..].chunks_exact(8).map(|descriptor| descriptor[0]).collect();
    assert!(
        opcodes.contains(&0x28) && !opcodes.iter().any(|opcode| UNPROTECTED_ONLY.contains(opcode)),
        "{opcodes:02x?}"
    );
}

/// EXTENDED COPY would move blocks without their information: nobody is told of it, and no copy finds such a unit.
#[test]
fn third_party_copies_do_not_come_near_it() {
    let (plain, unit) = (unit(), of(1));
    for (unit, copies) in [(&plain, true), (&unit, false)] {
        assert_eq!(answer(&[0x12, 0, 0, 0, 96, 0], &context(unit))[5] & 0x08 != 0, copies);
        assert_eq!(answer(&[0x12, 1, 0, 0, 64, 0], &context(unit))[4..].contains(&0x8f), copies);
        let naa = unit.naa().to_be_bytes();
        assert_eq!(unit.is_named(&Designation { kind: 3, designator: &naa }), copies);
    }
    let limits = answer(&[0x12, 1, 0xb0, 0, 64, 0], &context(&unit));
    assert_eq!(limits[5], 0, "no COMPARE AND WRITE");
    assert_eq!(refusal(&[0x12, 1, 0x8f, 0, 64, 0], &context(&unit)), Sense::invalid_field_in_cdb(2, None));
}

/// The dispatcher knows what the table shows, as for any unit.
#[test]
fn other_fields_are_those_of_any_unit() {
    let (plain, unit) = (unit(), of(1));
    let cases: &[&[u8]] = &[
        &[0x41, 0x10],                                  // ANCHOR
        &[0x2f, 0x04],                                  // BYTCHK 10b
        &[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0x04],          // NACA
        &[0x28, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 1, 0], // out of range
        &[0x7f],                                        // no such group
        &[0x9e, 0x1f],                                  // no such service action
        &[0xa3, 0x1f],
    ];
    for start in cases {
        assert_eq!(refusal(&cdb(start), &context(&unit)), refusal(&cdb(start), &context(&plain)), "{start:02x?}");
    }
    for value in [0b110, 0b111] {
        for (opcode, length_at) in [(0x28, 8), (0xaa, 9), (0x8f, 13), (0x93, 13)] {
            let mut cdb = cdb(&[opcode, value << 5]);
            cdb[length_at] = 1;
            let sense = refusal(&cdb, &context(&unit));
            assert_eq!(sense, Sense::invalid_field_in_cdb(1, Some(7)), "{opcode:02x}");
        }
    }
}

/// What FORMAT UNIT has set outlives a restart, and goes before what the device was made for.
#[test]
fn the_type_can_be_set_and_restored_where_there_is_room() {
    let unit = of(1);
    unit.restore(&Saved::default());
    assert_eq!(unit.protection(), ProtectionType::Type1);
    for (kind, byte) in [(ProtectionType::Type3, 0b0101), (ProtectionType::None, 0), (ProtectionType::Type1, 1)] {
        let mut saved = Saved::default();
        saved.set_protection(kind);
        unit.restore(&saved);
        assert_eq!((unit.protection(), capacity(&unit)[12]), (kind, byte));
    }
    let plain = self::unit();
    plain.set_protection(ProtectionType::Type1);
    assert_eq!(plain.protection(), ProtectionType::None, "there is no room for it");
}
