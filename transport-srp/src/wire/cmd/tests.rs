use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::wire::{golden, opcode};

fn parse(iu: &[u8]) -> Command {
    Command::parse(iu, Some(68)).unwrap()
}

fn refusal(iu: &[u8], immediate_offset: Option<u16>) -> RefuseReason {
    match Command::parse(iu, immediate_offset) {
        Err(IuError::Refuse { tag, lun, reason, .. }) => {
            assert_eq!((&tag.0[..], &lun[..]), (&iu[8..16], &iu[20..28]), "a refusal carries what its answer needs");
            reason
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn test_unit_ready_has_no_data() {
    let iu = golden::bytes(golden::TEST_UNIT_READY);
    let command = parse(&iu);
    assert_eq!((command.data_out, command.data_in), (DataBuffer::None, DataBuffer::None));
    assert_eq!(command.cdb(&iu), [0; 16]);
    assert!(command.data_in.is_empty());
}

#[test]
fn inquiry_is_direct_data_in() {
    let iu = golden::bytes(golden::INQUIRY);
    let command = parse(&iu);
    let expected = Command {
        tag: Tag([5, 0, 1, 0, 0, 0, 0, 0]),
        lun: [0; 8],
        task_attribute: TaskAttribute::Simple,
        solicited: Solicited::default(),
        cdb_len: 16,
        data_out: DataBuffer::None,
        data_in: DataBuffer::Direct(Descriptor { va: 0xffff_8881_0203_4280, rkey: 0x1a2b, len: 36 }),
    };
    assert_eq!(command, expected);
    assert_eq!(command.cdb(&iu), [0x12, 0, 0, 0, 0x24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(command.data_in.len(), 36);
}

#[test]
fn the_high_nibble_is_data_out() {
    let iu = golden::bytes(golden::WRITE_DIRECT);
    let command = parse(&iu);
    assert_eq!(command.data_out, DataBuffer::Direct(Descriptor { va: 0x1_1234_0000, rkey: 0xbeef, len: 65536 }));
    assert_eq!(command.data_in, DataBuffer::None);
}

#[test]
fn immediate_data_lies_at_the_offset_of_the_login() {
    let iu = golden::bytes(golden::WRITE_IMMEDIATE);
    let command = parse(&iu);
    assert_eq!(command.lun, [0, 5, 0, 0, 0, 0, 0, 0]);
    assert_eq!(command.data_out, DataBuffer::Immediate { offset: 68, len: 8 });
    assert_eq!(command.data_out.immediate(&iu), Some(&b"data in!"[..]));
    assert_eq!(command.data_out.immediate(&iu[..70]), Some(&[][..]), "another IU");
    assert_eq!(command.data_in.immediate(&iu), None);
}

#[test]
fn an_inline_list_needs_no_table() {
    let iu = golden::bytes(golden::READ_INDIRECT);
    let command = parse(&iu);
    let expected = Indirect {
        table: Descriptor { va: 0xffff_8881_00aa_0000, rkey: 0x777, len: 32 },
        total_len: 8192,
        inline_count: 2,
        inline_offset: 68,
        table_count: 2,
    };
    assert_eq!(command.data_in, DataBuffer::Indirect(expected));
    assert!(!command.data_in.needs_table());
    assert_eq!(expected.inline(&iu), &iu[68..100]);
    assert_eq!(expected.inline(&iu[..99]), [0u8; 0], "another IU");
}

#[test]
fn a_partial_list_needs_its_table() {
    let iu = golden::bytes(golden::WRITE_PARTIAL_TABLE);
    let command = parse(&iu);
    let DataBuffer::Indirect(indirect) = command.data_out else { panic!("{command:?}") };
    assert_eq!((indirect.inline_count, indirect.table_count, indirect.total_len), (1, 3, 12288));
    assert!(command.data_out.needs_table());
}

#[test]
fn surplus_inline_descriptors_mean_nothing() {
    let mut iu = golden::bytes(golden::READ_INDIRECT);
    iu[63] = 16; // the table's length: one descriptor, though two are inline
    let command = parse(&iu);
    let DataBuffer::Indirect(indirect) = command.data_in else { panic!("{command:?}") };
    assert!(!command.data_in.needs_table());
    assert_eq!(indirect.inline(&iu), &iu[68..84]);
}

#[test]
fn descriptors_stand_behind_the_additional_cdb() {
    let cdb: Vec<u8> = (0..32).collect();
    let data_in = Descriptor { va: 0x1000, rkey: 7, len: 512 };
    let mut iu = vec![0xff; 80];
    let repr = CommandRepr {
        tag: Tag([1; 8]),
        lun: [0; 8],
        task_attribute: TaskAttribute::Ordered,
        solicited: Solicited { on_success: false, on_failure: true },
        cdb: &cdb,
        data_out: BufferRepr::None,
        data_in: BufferRepr::Direct(data_in),
    };
    assert_eq!(repr.emit(&mut iu), 80);
    assert_eq!(iu[31], 16, "bytes, in the upper six bits");
    let command = parse(&iu);
    assert_eq!(command.cdb(&iu), cdb);
    assert_eq!(command.data_in, DataBuffer::Direct(data_in));
    iu[31] |= 0x03; // reserved bits
    assert_eq!(parse(&iu), command);
}

#[test]
fn a_truncated_fixed_part_is_malformed() {
    let iu = golden::bytes(golden::TEST_UNIT_READY);
    let error = Command::parse(&iu[..47], None).unwrap_err();
    assert_eq!(error, IuError::Malformed { iu: "SRP_CMD", len: 47, minimum: 48 });
}

#[test]
fn undefined_formats_are_refused() {
    let mut iu = golden::bytes(golden::INQUIRY);
    for format in 4..=15 {
        iu[5] = format;
        assert_eq!(refusal(&iu, None), RefuseReason::UnsupportedFormat { direction: Direction::DataIn, format });
        iu[5] = format << 4;
        assert_eq!(refusal(&iu, None), RefuseReason::UnsupportedFormat { direction: Direction::DataOut, format });
    }
    iu[5] = 3;
    let data_in = Direction::DataIn;
    assert_eq!(refusal(&iu, Some(68)), RefuseReason::UnsupportedFormat { direction: data_in, format: 3 });
}

#[test]
fn what_ends_behind_the_iu_is_refused() {
    let direction = Direction::DataIn;
    let mut iu = golden::bytes(golden::TEST_UNIT_READY);
    iu[31] = 4;
    assert_eq!(refusal(&iu, None), RefuseReason::CdbTruncated { end: 52, len: 48 });

    let iu = golden::bytes(golden::INQUIRY);
    assert_eq!(refusal(&iu[..63], None), RefuseReason::DescriptorTruncated { direction, end: 64, len: 63 });

    let mut iu = golden::bytes(golden::READ_INDIRECT);
    assert_eq!(refusal(&iu[..67], None), RefuseReason::DescriptorTruncated { direction, end: 68, len: 67 });
    assert_eq!(refusal(&iu[..99], None), RefuseReason::BadDescriptorCount { direction, count: 2, end: 100, len: 99 });
    iu[7] = 255;
    let reason = RefuseReason::BadDescriptorCount { direction, count: 255, end: 68 + 255 * 16, len: 100 };
    assert_eq!(refusal(&iu, None), reason);
    iu[7] = 2;
    iu[63] = 31;
    assert_eq!(refusal(&iu, None), RefuseReason::BadTableLength { direction, len: 31 });
}

#[test]
fn immediate_data_must_be_agreed_on_and_within_the_iu() {
    let mut iu = golden::bytes(golden::WRITE_IMMEDIATE);
    assert_eq!(refusal(&iu, None), RefuseReason::ImmediateNotNegotiated);
    assert_eq!(refusal(&iu, Some(51)), RefuseReason::ImmediateOverlap { offset: 51, descriptors_end: 52 });
    assert_eq!(Command::parse(&iu, Some(52)).map(|command| command.data_out.immediate(&iu).unwrap().len()), Ok(8));
    assert_eq!(refusal(&iu[..75], Some(68)), RefuseReason::ImmediateTruncated { offset: 68, data_len: 8, len: 75 });
    iu[48..52].copy_from_slice(&u32::MAX.to_be_bytes());
    let reason = RefuseReason::ImmediateTruncated { offset: 68, data_len: u32::MAX, len: 76 };
    assert_eq!(refusal(&iu, Some(68)), reason);
}

/// What an initiator would have to send for `command` in `iu`.
fn repr<'a>(command: &Command, iu: &'a [u8], lists: &'a [Vec<Descriptor>; 2]) -> CommandRepr<'a> {
    let buffer = |buffer: &DataBuffer, inline: &'a [Descriptor]| match *buffer {
        DataBuffer::None => BufferRepr::None,
        DataBuffer::Direct(descriptor) => BufferRepr::Direct(descriptor),
        DataBuffer::Indirect(Indirect { table, total_len, .. }) => BufferRepr::Indirect { table, total_len, inline },
        DataBuffer::Immediate { offset, .. } => {
            BufferRepr::Immediate { offset, data: buffer.immediate(iu).expect("it is immediate") }
        }
    };
    CommandRepr {
        tag: command.tag,
        lun: command.lun,
        task_attribute: command.task_attribute,
        solicited: command.solicited,
        cdb: command.cdb(iu),
        data_out: buffer(&command.data_out, &lists[0]),
        data_in: buffer(&command.data_in, &lists[1]),
    }
}

/// All inline descriptors, also the surplus ones, which [`Indirect::inline`] hides.
fn inline_list(buffer: &DataBuffer, iu: &[u8]) -> Vec<Descriptor> {
    let DataBuffer::Indirect(indirect) = buffer else { return Vec::new() };
    let list = &iu[usize::from(indirect.inline_offset)..][..usize::from(indirect.inline_count) * 16];
    list.chunks_exact(16).map(|bytes| Descriptor::parse(bytes.try_into().unwrap())).collect()
}

fn emitted(command: &Command, iu: &[u8]) -> Vec<u8> {
    let lists = [inline_list(&command.data_out, iu), inline_list(&command.data_in, iu)];
    let repr = repr(command, iu, &lists);
    let mut out = vec![0xee; repr.emitted_len()];
    assert_eq!(repr.emit(&mut out), out.len());
    out
}

#[test]
fn emit_reproduces_what_linux_sends() {
    for hex in [
        golden::TEST_UNIT_READY,
        golden::INQUIRY,
        golden::WRITE_DIRECT,
        golden::WRITE_IMMEDIATE,
        golden::READ_INDIRECT,
        golden::WRITE_PARTIAL_TABLE,
    ] {
        let iu = golden::bytes(hex);
        assert_eq!(emitted(&parse(&iu), &iu), iu, "{hex}");
    }
}

#[test]
#[should_panic(expected = "a CDB of 269 bytes")]
fn a_cdb_longer_than_the_format_is_our_bug() {
    let (iu, cdb) = (golden::bytes(golden::TEST_UNIT_READY), [0; 269]);
    let lists = [vec![], vec![]];
    CommandRepr { cdb: &cdb, ..repr(&parse(&iu), &iu, &lists) }.emit(&mut [0; 400]);
}

/// Bytes that are a command more often than chance would have it.
fn likely_command() -> impl Strategy<Value = Vec<u8>> {
    let format = prop_oneof![8 => 0u8..=3, 1 => any::<u8>()];
    let count = prop_oneof![Just(0u8), 0u8..4, any::<u8>()];
    let additional = prop_oneof![4 => Just(0u8), 1 => 0u8..32, 1 => any::<u8>()];
    let numbers = (format.clone(), format, count.clone(), count, additional);
    (vec(any::<u8>(), 40..500), numbers, any::<bool>()).prop_map(|(mut iu, (out, into, outs, ins, cdb), small)| {
        iu[0] = opcode::CMD;
        iu[5] = out << 4 | into;
        iu[6] = outs;
        iu[7] = ins;
        iu[31] = cdb;
        if small && iu.len() > 64 {
            iu[48..51].fill(0); // the length of immediate data: a small one
            iu[63] &= 0xf0; // the length of a table: whole descriptors
        }
        iu
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn emit_is_the_inverse_of_parse(iu in likely_command(), offset in prop::option::of(48u16..300)) {
        if let Ok(command) = Command::parse(&iu, offset) {
            let again = emitted(&command, &iu);
            let second = Command::parse(&again, offset).unwrap();
            prop_assert_eq!(second, command);
            prop_assert_eq!(second.cdb(&again), command.cdb(&iu));
            prop_assert_eq!(second.data_out.immediate(&again), command.data_out.immediate(&iu));
            prop_assert_eq!(inline_list(&second.data_out, &again), inline_list(&command.data_out, &iu));
            prop_assert_eq!(inline_list(&second.data_in, &again), inline_list(&command.data_in, &iu));
        }
    }

    #[test]
    fn what_is_seen_at_a_glance_is_what_the_closer_look_finds(iu in likely_command(), offset: Option<u16>) {
        if let Some((command, cdb)) = Command::parse_plain(&iu, offset) {
            prop_assert_eq!(command.cdb(&iu), &cdb[..]);
            prop_assert_eq!(Command::parse(&iu, offset), Ok(command));
        }
    }

    #[test]
    fn whatever_is_accepted_lies_within_the_iu(iu in likely_command(), offset: Option<u16>) {
        if let Ok(command) = Command::parse(&iu, offset) {
            prop_assert_eq!(command.cdb(&iu).len(), usize::from(command.cdb_len));
            for buffer in [command.data_out, command.data_in] {
                match buffer {
                    DataBuffer::Immediate { len, .. } => {
                        prop_assert_eq!(buffer.immediate(&iu).unwrap().len(), len as usize);
                    }
                    DataBuffer::Indirect(indirect) => {
                        let count = u32::from(indirect.inline_count).min(indirect.table_count);
                        prop_assert_eq!(indirect.inline(&iu).len(), count as usize * 16);
                    }
                    DataBuffer::None | DataBuffer::Direct(_) => {}
                }
            }
        }
    }
}
