use super::*;
use crate::testing::{BLOCKS, cdb, context, no_unit, refusal, unit, unit_with};

fn field(byte: u16, bit: Option<u8>) -> Sense {
    Sense::invalid_field_in_cdb(byte, bit)
}

/// A READ(16)-shaped CDB.
fn cdb_16(opcode: u8, options: u8, lba: u64, blocks: u32) -> Vec<u8> {
    let mut cdb = vec![opcode, options];
    cdb.extend(lba.to_be_bytes());
    cdb.extend(blocks.to_be_bytes());
    cdb.extend([0, 0]);
    cdb
}

fn cdb_10(opcode: u8, options: u8, lba: u32, blocks: u16) -> Vec<u8> {
    let mut cdb = vec![opcode, options];
    cdb.extend(lba.to_be_bytes());
    cdb.push(0);
    cdb.extend(blocks.to_be_bytes());
    cdb.push(0);
    cdb
}

/// A variable-length CDB about one block.
fn cdb_32(action: u8) -> Vec<u8> {
    let mut cdb = vec![0; 32];
    (cdb[0], cdb[7], cdb[9], cdb[31]) = (0x7f, 0x18, action, 1);
    cdb
}

#[test]
fn refusals_name_the_field() {
    let unit = unit();
    let cases: &[(&[u8], Sense)] = &[
        (&[0x7f, 0, 0, 0, 0, 0, 0, 0x18], Sense::INVALID_COMMAND_OPERATION_CODE),
        (&[0xc0], Sense::INVALID_COMMAND_OPERATION_CODE),
        (&[0x00, 0, 0, 0, 0, 0x04], field(5, Some(2))), // NACA
        (&[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0x04], field(9, Some(2))),
        (&[0x12, 0, 0x80], field(2, None)),    // a page without EVPD
        (&[0x12, 1, 0x81], field(2, None)),    // an unknown page
        (&[0x12, 2, 0x00], field(1, Some(1))), // CMDDT
        (&[0x1a, 0, 0x00], field(2, Some(5))), // an unknown mode page
        (&[0x1a, 0, 0x08, 1], field(3, None)), // an unknown subpage
        (&[0x1a, 0, 0x3f, 1], field(3, None)),
        (&[0x5a, 0, 0xc8], Sense::SAVING_PARAMETERS_NOT_SUPPORTED),
        (&[0x1b, 0, 0, 1, 0], field(3, Some(3))),    // POWER CONDITION MODIFIER
        (&[0x1b, 0, 0, 1, 0x20], field(3, Some(3))), // idle_b
        (&[0x1b, 0, 0, 0, 0xa0], field(4, Some(7))), // POWER CONDITION FORCE_IDLE_0
        (&[0x1b, 0, 0, 0, 0x40], field(4, Some(7))), // a reserved one
        (&[0x1b, 0, 0, 0, 0x02], field(4, Some(1))), // LOEJ
        (&[0x1e, 0, 0, 0, 0x03], field(4, Some(1))), // PREVENT
        (&[0x25, 0, 0, 0, 0, 1], field(2, None)),    // an address without PMI
        (&[0x9e, 0x13], field(1, Some(4))),          // REPORT REFERRALS
        (&[0xa3, 0x0b], field(1, Some(4))),          // REPORT ALIASES
        (&[0xa4, 0x0b], field(1, Some(4))),          // CHANGE ALIASES
        (&[0xa0, 0, 0x03], field(2, None)),          // SELECT REPORT
        (&[0xa3, 0x0c, 0x04], field(2, Some(2))),    // REPORTING OPTIONS
        (&[0xa3, 0x0c, 0x01, 0x9e], field(2, Some(2))),
        (&[0xa3, 0x0c, 0x02, 0x28], field(2, Some(2))),
        (&[0x41, 0x10], field(1, Some(4))), // ANCHOR
        (&[0x41, 0x04], field(1, Some(2))), // PBDATA
        (&[0x41, 0x02], field(1, Some(2))), // LBDATA
        (&[0x41, 0x01], field(1, Some(0))), // RELADR, not NDOB
        (&[0x93, 0x80], field(1, Some(7))), // WRPROTECT
        (&[0x42, 0x01], field(1, Some(0))), // ANCHOR
        (&[0x42, 0, 0, 0, 0, 0, 0, 0, 7], Sense::PARAMETER_LIST_LENGTH_ERROR),
        (&[0x2f, 0x04], field(1, Some(2))), // BYTCHK 10b
        (&[0x8f, 0x20], field(1, Some(7))), // VRPROTECT
        (&[0x28, 0x20], field(1, Some(7))), // RDPROTECT
        (&[0xaa, 0x80], field(1, Some(7))), // WRPROTECT
    ];
    for (start, sense) in cases {
        assert_eq!(refusal(&cdb(start), &context(&unit)), *sense, "{start:02x?}");
    }
}

#[test]
fn ranges_end_within_the_capacity() {
    let unit = unit();
    let context = context(&unit);
    for opcode in [opcode::READ_16, opcode::WRITE_16, opcode::VERIFY_16, opcode::WRITE_SAME_16, 0x91] {
        let parsed = |lba, blocks| parse(&cdb_16(opcode, 0, lba, blocks), &context).map(|_| ());
        assert_eq!(parsed(BLOCKS - 1, 1), Ok(()));
        assert_eq!(parsed(BLOCKS - 1, 2), Err(Sense::LBA_OUT_OF_RANGE), "{opcode:x}");
        assert_eq!(parsed(BLOCKS, 1), Err(Sense::LBA_OUT_OF_RANGE));
        assert_eq!(parsed(BLOCKS + 1, 0), Err(Sense::LBA_OUT_OF_RANGE));
        assert_eq!(parsed(u64::MAX, 0), Err(Sense::LBA_OUT_OF_RANGE));
        assert_eq!(parsed(u64::MAX, u32::MAX), Err(Sense::LBA_OUT_OF_RANGE));
        assert_eq!(parsed(u64::MAX - 5, 6), Err(Sense::LBA_OUT_OF_RANGE));
    }
    for opcode in [opcode::READ_10, opcode::WRITE_10, opcode::VERIFY_10, opcode::WRITE_SAME_10, 0x35] {
        let parsed = |lba, blocks| parse(&cdb_10(opcode, 0, lba, blocks), &context).map(|_| ());
        assert_eq!(parsed(BLOCKS as u32 - 1, 1), Ok(()));
        assert_eq!(parsed(BLOCKS as u32 - 1, 2), Err(Sense::LBA_OUT_OF_RANGE), "{opcode:x}");
        assert_eq!(parsed(u32::MAX, u16::MAX), Err(Sense::LBA_OUT_OF_RANGE));
    }
}

#[test]
fn transfers_are_bounded_by_the_buffer() {
    let unit = unit();
    let context = context(&unit);
    let most = unit.facts().transfer_blocks_max();
    for (opcode, options, at) in [(opcode::READ_16, 0, 10), (opcode::WRITE_16, 0, 10), (opcode::VERIFY_16, 2, 10)] {
        assert!(parse(&cdb_16(opcode, options, 0, most), &context).is_ok());
        assert_eq!(parse(&cdb_16(opcode, options, 0, most + 1), &context), Err(field(at, None)));
    }
    assert_eq!(parse(&cdb_10(opcode::READ_10, 0, 0, most as u16 + 1), &context), Err(field(7, None)));
    let verify = cdb_16(opcode::VERIFY_16, 0, 0, BLOCKS as u32);
    assert!(parse(&verify, &context).is_ok(), "nothing is transferred");
}

#[test]
fn write_same_of_no_length_runs_to_the_end_if_that_is_not_too_far() {
    let unit = unit();
    let context = context(&unit);
    let most = unit.facts().write_same_blocks_max();
    let parsed = |lba, blocks| parse(&cdb_16(opcode::WRITE_SAME_16, 0, lba, blocks), &context);
    let range = |lba, blocks| Command::WriteSame { range: BlockRange { lba, blocks }, data_out: true, unmap: false };
    assert_eq!(parsed(BLOCKS - most, 0), Ok(range(BLOCKS - most, most)));
    assert_eq!(parsed(BLOCKS - most - 1, 0), Err(field(10, None)));
    assert_eq!(parsed(0, most as u32), Ok(range(0, most)));
    assert_eq!(parsed(0, most as u32 + 1), Err(field(10, None)));
    assert_eq!(parsed(BLOCKS, 0), Err(Sense::LBA_OUT_OF_RANGE));
}

#[test]
fn short_reads_without_a_length_mean_256_blocks() {
    let unit = unit();
    let parsed = parse(&[0x08, 0xe0, 0, 9, 0, 0], &context(&unit));
    assert_eq!(parsed, Ok(Command::Read { range: BlockRange { lba: 9, blocks: 256 }, fua: false }));
}

#[test]
fn fua_is_taken_and_dpo_ignored() {
    let unit = unit();
    let fua = |options| match parse(&cdb_10(opcode::WRITE_10, options, 0, 1), &context(&unit)) {
        Ok(Command::Write { fua, .. }) => fua,
        other => panic!("{other:?}"),
    };
    assert!(!fua(0) && !fua(0x10) && fua(0x08) && fua(0x18));
}

#[test]
fn nothing_is_written_where_writes_are_forbidden() {
    let writes: Vec<Vec<u8>> = vec![
        cdb(&[0x0a, 0, 0, 0, 1]),
        cdb_10(opcode::WRITE_10, 0, 0, 1),
        cdb(&[0xaa, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        cdb_16(opcode::WRITE_16, 0, 0, 1),
        cdb_10(opcode::WRITE_SAME_10, 0, 0, 1),
        cdb_16(opcode::WRITE_SAME_16, 1, 0, 1),
        cdb_10(opcode::WRITE_AND_VERIFY_10, 0, 0, 1),
        cdb_16(opcode::WRITE_AND_VERIFY_16, 2, 0, 1),
        cdb(&[0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        cdb_16(opcode::ORWRITE_16, 0, 0, 1),
        cdb(&[0x9c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        cdb_32(0x0b),
        cdb_32(0x0c),
        cdb_32(0x0d),
        cdb_32(0x0e),
        cdb(&[0x42, 0, 0, 0, 0, 0, 0, 0, 24]),
    ];
    let atomic = || unit_with(|facts| facts.atomic_blocks = 8);
    let (plain, fixed, swp) = (atomic(), atomic().with_facts(|facts| facts.read_only = true), atomic());
    swp.set_software_write_protect(true);
    for cdb in writes {
        assert!(parse(&cdb, &context(&plain)).is_ok(), "{cdb:02x?}");
        assert_eq!(refusal(&cdb, &context(&fixed)), Sense::WRITE_PROTECTED);
        assert_eq!(refusal(&cdb, &context(&swp)), Sense::SOFTWARE_WRITE_PROTECTED);
        let mapped_read_only = Context { read_only: true, ..context(&plain) };
        assert_eq!(refusal(&cdb, &mapped_read_only), Sense::WRITE_PROTECTED);
    }
    let read = cdb_10(opcode::READ_10, 0, 0, 1);
    assert!(parse(&read, &context(&fixed)).is_ok());
}

#[test]
fn unmap_needs_a_device_that_can() {
    let unit = unit_with(|facts| facts.unmap = false);
    assert_eq!(refusal(&cdb(&[0x42]), &context(&unit)), Sense::INVALID_COMMAND_OPERATION_CODE);
    assert_eq!(refusal(&cdb(&[0x93, 0x08]), &context(&unit)), field(1, Some(3)));
}

#[test]
fn short_and_empty_cdbs_are_refused() {
    let unit = unit();
    let context = context(&unit);
    for cdb in [&[][..], &[0x00], &[0x28, 0, 0, 0, 0], &[0x28, 0, 0, 0, 0, 0, 0, 0, 1], &[0x88; 15]] {
        assert!(parse(cdb, &context).is_err(), "{cdb:02x?}");
    }
    assert!(parse(&[0x00; 6], &context).is_ok());
}

#[test]
fn where_there_is_no_unit() {
    let (zero, five) = (Address::Unit(Lun(0)), Address::Unit(Lun(5)));
    let parsed = |start: &[u8], address| parse(&cdb(start), &no_unit(address)).map(|_| ());
    for start in [&[0x00][..], &[0x28, 0, 0, 0, 0, 0, 0, 0, 1], &[0x25], &[0x1a, 0, 0x3f], &[0xc0], &[0x7f]] {
        for address in [zero, five, Address::Unknown] {
            assert_eq!(parsed(start, address), Err(Sense::LOGICAL_UNIT_NOT_SUPPORTED), "{start:02x?}");
        }
    }
    for address in [zero, five, Address::Unknown, Address::ReportLuns] {
        assert_eq!(parsed(&[0x12], address), Ok(()));
        assert_eq!(parsed(&[0x12, 1, 0], address), Ok(()));
        assert_eq!(parsed(&[0x12, 1, 0x83], address), Err(field(2, None)));
        assert_eq!(parsed(&[0x03], address), Ok(()));
    }
    assert_eq!(parsed(&[0xa0], zero), Ok(()));
    assert_eq!(parsed(&[0xa0], five), Err(Sense::LOGICAL_UNIT_NOT_SUPPORTED));
    assert_eq!(parsed(&[0xa0], Address::ReportLuns), Ok(()));
    assert_eq!(parsed(&[0x00], Address::ReportLuns), Ok(()));
    assert_eq!(parsed(&[0x28], Address::ReportLuns), Err(Sense::INVALID_COMMAND_OPERATION_CODE));
    assert_eq!(parsed(&[0xc0], Address::ReportLuns), Err(Sense::INVALID_COMMAND_OPERATION_CODE));
}
