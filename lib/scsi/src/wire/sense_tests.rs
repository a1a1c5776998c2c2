use super::*;

fn bytes(sense: Sense, descriptor_format: bool) -> Vec<u8> {
    let mut out = [0xee; SENSE_BYTES_MAX];
    let len = sense.write(descriptor_format, &mut out);
    out[..len].to_vec()
}

#[test]
fn fixed_format_with_a_field_pointer() {
    let sense = Sense::invalid_field_in_cdb(2, Some(5));
    assert_eq!(bytes(sense, false), [0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x24, 0, 0, 0xcd, 0, 2]);
    let sense = Sense::invalid_field_in_parameter_list(0x0110);
    assert_eq!(bytes(sense, false), [0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x26, 0, 0, 0x80, 1, 0x10]);
}

#[test]
fn fixed_format_with_information() {
    let sense = Sense::UNRECOVERED_READ_ERROR.with_information(0xdead_beef);
    assert_eq!(bytes(sense, false), [0xf0, 0, 3, 0xde, 0xad, 0xbe, 0xef, 10, 0, 0, 0, 0, 0x11, 0, 0, 0, 0, 0]);
}

#[test]
fn fixed_format_with_nothing_else() {
    let sense = Sense::unit_attention(0x29, 0x07);
    assert_eq!(bytes(sense, false), [0x70, 0, 6, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x29, 7, 0, 0, 0, 0]);
}

#[test]
fn descriptor_format() {
    assert_eq!(bytes(Sense::NONE, true), [0x72, 0, 0, 0, 0, 0, 0, 0]);
    let sense = Sense::invalid_field_in_cdb(0x0102, None);
    assert_eq!(bytes(sense, true), [0x72, 5, 0x24, 0, 0, 0, 0, 8, 2, 6, 0, 0, 0xc0, 1, 2, 0]);
    let sense = Sense::MISCOMPARE_DURING_VERIFY.with_information(5);
    assert_eq!(bytes(sense, true), [0x72, 0xe, 0x1d, 0, 0, 0, 0, 12, 0, 10, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 5]);
}

#[test]
fn information_past_32_bits_needs_descriptors() {
    let sense = Sense::WRITE_ERROR.with_information(0x1_0000_0000);
    assert_eq!(bytes(sense, false), [0x72, 3, 0x0c, 0, 0, 0, 0, 12, 0, 10, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
}

#[test]
fn the_longest_sense_fits() {
    let field = Some(FieldPointer { in_cdb: true, byte: 1, bit: None });
    let forwarded = Some(Forwarded::check_condition(true, &Sense::WRITE_ERROR));
    let copy = Some(CopyAborted { segment: 1, in_segment: false, forwarded });
    let sense = Sense { information: Some(u64::MAX), field, copy, ..Sense::INVALID_FIELD_IN_CDB };
    assert_eq!(bytes(sense, false).len(), SENSE_BYTES_MAX);
}

#[test]
fn a_copy_that_stopped() {
    let forwarded = Some(Forwarded::check_condition(true, &Sense::WRITE_ERROR.with_information(9)));
    let copy = Some(CopyAborted { segment: 0x0102, in_segment: true, forwarded });
    let sense = Sense { copy, ..Sense::new(SenseKey::CopyAborted, 0x0d, 0x01).in_parameter_list(0x30) };
    let inner = [0xf0, 0, 3, 0, 0, 0, 9, 10, 0, 0, 0, 0, 0x0c, 0, 0, 0, 0, 0];
    let mut expected = vec![0x70, 0, 0xa, 0, 0, 0, 0, 29, 0, 18, 1, 2, 0x0d, 1, 0, 0xa0, 0, 0x30, 2];
    expected.extend(inner);
    assert_eq!(bytes(sense, false), expected);
    let mut expected = vec![0x72, 0xa, 0x0d, 1, 0, 0, 0, 42, 1, 10, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0];
    expected.extend([2, 6, 0, 0, 0xa0, 0, 0x30, 0, 0x0c, 20, 2, 2]);
    expected.extend(inner);
    assert_eq!(bytes(sense, true), expected);
}

#[test]
fn a_copy_source_that_answered_without_sense() {
    let forwarded =
        Forwarded { by_destination: false, status: ScsiStatus::ReservationConflict, sense: None, information: None };
    let copy = Some(CopyAborted { segment: 0, in_segment: false, forwarded: Some(forwarded) });
    let sense = Sense { copy, ..Sense::new(SenseKey::CopyAborted, 0x0d, 0x01) };
    assert_eq!(bytes(sense, false), [0x70, 0, 0xa, 0, 0, 0, 0, 11, 18, 0, 0, 0, 0x0d, 1, 0, 0, 0, 0, 0x18]);
}

#[test]
fn io_errors() {
    let of = |error, op, blocks| Sense::of_io_error(error, op, 77, blocks);
    let write = Op::Write { fua: false };
    assert_eq!(of(IoError::Medium, Op::Read, 8), Sense::UNRECOVERED_READ_ERROR);
    assert_eq!(of(IoError::Medium, Op::Read, 1), Sense::UNRECOVERED_READ_ERROR.with_information(77));
    assert_eq!(of(IoError::Medium, write, 8), Sense::WRITE_ERROR);
    assert_eq!(of(IoError::Medium, Op::Flush, 0), Sense::WRITE_ERROR);
    assert_eq!(of(IoError::OutOfRange, write, 8), Sense::LBA_OUT_OF_RANGE);
    assert_eq!(of(IoError::WriteProtected, write, 8), Sense::WRITE_PROTECTED);
    let zeroes = Op::WriteZeroes { unmap: true, fua: false };
    for op in [write, Op::Write { fua: true }, zeroes, Op::Unmap, Op::Flush] {
        assert_eq!(of(IoError::NoSpace, op, 1), Sense::SPACE_ALLOCATION_FAILED);
    }
    assert_eq!(of(IoError::Medium, Op::LbaStatus, 8), Sense::UNRECOVERED_READ_ERROR);
    assert_eq!(of(IoError::Gone, Op::Read, 8), Sense::NOT_READY_MANUAL_INTERVENTION);
    assert_eq!(of(IoError::Unsupported, Op::Unmap, 8), Sense::INVALID_COMMAND_OPERATION_CODE);
    assert_eq!(of(IoError::Failed, Op::Read, 8), Sense::INTERNAL_TARGET_FAILURE);
}
