use proptest::prelude::*;

use super::*;
use crate::execute::{Ending, Step, begin};
use crate::medium::condition::Undertaking;
use crate::state::Power;
use crate::testing::*;
use crate::{Context, UnitAttention};

const BYTES_MAX: u64 = 8 << 20;

fn cdb_10(operation: u8, lba: u32, blocks: u16) -> [u8; 16] {
    let mut cdb = [0; 16];
    cdb[0] = operation;
    cdb[2..6].copy_from_slice(&lba.to_be_bytes());
    cdb[7..9].copy_from_slice(&blocks.to_be_bytes());
    cdb
}

fn cdb_16(operation: u8, lba: u64, blocks: u32) -> [u8; 16] {
    let mut cdb = [0; 16];
    cdb[0] = operation;
    cdb[2..10].copy_from_slice(&lba.to_be_bytes());
    cdb[10..14].copy_from_slice(&blocks.to_be_bytes());
    cdb
}

fn of(cdb: &[u8], unit: &LogicalUnit) -> Option<Express> {
    Job::express(cdb, unit, &UnitNexus::new(), false)
}

#[test]
fn what_linux_sends_is_taken() {
    let unit = unit();
    let read = of(&cdb_10(opcode::READ_10, 7, 8), &unit).expect("a plain read");
    assert_eq!((read.op, read.lba, read.blocks, read.job().data_in_len()), (Op::Read, 7, 8, 4096));
    assert_eq!((read.job().ends_well(), read.job().is_read()), (Some(0..4096), true));
    let mut fua = cdb_16(opcode::WRITE_16, BLOCKS - 8, 8);
    fua[1] = 0x08;
    let write = of(&fua, &unit).expect("a plain write");
    assert_eq!((write.op, write.lba, write.job().data_out_len()), (Op::Write { fua: true }, BLOCKS - 8, 4096));
    assert_eq!((write.job().ends_well(), write.job().is_write()), (Some(0..0), true));
}

#[test]
fn what_needs_a_closer_look_is_left() {
    let unit = unit();
    let read = cdb_10(opcode::READ_10, 7, 8);
    let with = |at: usize, value: u8| {
        let mut cdb = read;
        cdb[at] = value;
        cdb
    };
    for cdb in
        [with(0, 0x08), with(0, 0xa8), with(1, 0x20), with(1, 0x08), with(6, 1), with(8, 0), with(9, 4), with(2, 1)]
    {
        assert_eq!(of(&cdb, &unit), None, "{cdb:02x?}");
    }
    assert_eq!(of(&read[..10], &unit), None);
    let nexus = UnitNexus::new();
    nexus.establish(UnitAttention::PowerOnReset);
    assert_eq!(Job::express(&read, &unit, &nexus, false), None);
    assert_eq!(Job::express(&cdb_10(opcode::WRITE_10, 7, 8), &unit, &UnitNexus::new(), true), None);
    unit.condition().begin(Undertaking::Format).expect("nothing is under way");
    assert_eq!(of(&read, &unit), None);
}

#[test]
fn nothing_is_taken_from_units_that_are_not_ordinary() {
    let read = cdb_10(opcode::READ_10, 7, 8);
    assert_eq!(of(&read, &cd()), None);
    assert_eq!(of(&read, &protected_unit(crate::ProtectionType::Type1)), None);
}

/// A unit in one of the states in which READ and WRITE may be refused or done otherwise.
fn troubled(trouble: u8) -> LogicalUnit {
    let unit = match trouble {
        0 => unit_with(|facts| facts.read_only = true),
        1 => unit_with(|facts| facts.write_cache = !facts.write_cache),
        2 => protected_unit(crate::ProtectionType::Type1),
        _ => unit(),
    };
    match trouble {
        3 => unit.state().set_write_through(true),
        4 => unit.state().set_power(Power::Stopped),
        5 => unit.state().set_power(Power::Idle),
        6 => unit.state().set_ejected(true),
        7 => unit.condition().begin(Undertaking::Format).expect("nothing is under way"),
        _ => {}
    }
    unit
}

fn cdbs() -> impl Strategy<Value = [u8; 16]> {
    let operation = prop_oneof![
        8 => prop::sample::select(vec![opcode::READ_10, opcode::WRITE_10, opcode::READ_16, opcode::WRITE_16]),
        1 => any::<u8>(),
    ];
    let options = prop_oneof![4 => Just(0), 2 => Just(0x08), 1 => any::<u8>()];
    let rare = || prop_oneof![8 => Just(0), 1 => any::<u8>()];
    let lba = prop_oneof![4 => 0..BLOCKS, 2 => BLOCKS - 9..BLOCKS + 2, 1 => any::<u64>()];
    let blocks = prop_oneof![4 => 0..20_u32, 1 => 0..2 * (BYTES_MAX / 512) as u32, 1 => any::<u32>()];
    (operation, options, lba, blocks, rare(), rare()).prop_map(|(operation, options, lba, blocks, group, control)| {
        let short = operation >> 5 != 4;
        let mut cdb = if short { cdb_10(operation, lba as u32, blocks as u16) } else { cdb_16(operation, lba, blocks) };
        cdb[1] = options;
        (cdb[if short { 6 } else { 14 }], cdb[if short { 9 } else { 15 }]) = (group, control);
        cdb
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// Whatever is taken is what `begin` and the first step would have made of it, and ends as the last step would say.
    #[test]
    fn it_comes_to_the_same(cdb in cdbs(), trouble in 0..16_u8, read_only: bool) {
        let (unit, nexus) = (troubled(trouble), UnitNexus::new());
        if let Some(express) = Job::express(&cdb, &unit, &nexus, read_only) {
            let context = Context { nexus: Some(&nexus), read_only, ..context(&unit) };
            let mut job = begin(&cdb, &context).expect("it is not refused");
            prop_assert_eq!(&job, &express.unstarted());
            let mut buffer = vec![0; job.buffer_len()];
            let step = job.step(&context, None, &mut buffer);
            let Express { op, lba, blocks, .. } = express;
            prop_assert_eq!(step, Step::Io { on: None, op, lba, blocks, data: 0..job.buffer_len() });
            prop_assert_eq!(&job, &express.job());
            let data_in = job.ends_well().expect("it waits for its only operation");
            prop_assert_eq!(job.step(&context, Some(Ok(())), &mut buffer), Step::Done(Ending::Good { data_in }));
        }
    }
}
