use std::collections::BTreeSet;

use super::*;
use crate::testing::{cd, context, protected_unit, unit, unit_with};
use crate::wire::cdb::{self, Form, opcode};
use crate::wire::sense::Sense;
use crate::{Context, Ending, Job, ProtectionType, Saved, begin};

#[test]
fn rows_are_in_order_unique_and_as_long_as_their_group() {
    for table in [COMMANDS, CD_COMMANDS] {
        assert!(table.is_sorted_by_key(|info| (info.opcode, info.service_action)));
        let distinct: BTreeSet<_> = table.iter().map(|info| (info.opcode, info.service_action)).collect();
        assert_eq!(distinct.len(), table.len());
    }
    for info in COMMANDS.iter().chain(CD_COMMANDS) {
        assert_eq!(info.usage[0], info.opcode, "{}", info.name);
        assert_eq!(Some(info.usage.len()), cdb::length(info.opcode), "{}", info.name);
        let stands = (1..info.usage.len()).flat_map(|byte| (0..8).map(move |bit| (byte, bit)));
        let field = stands.filter(|&(byte, bit)| is_service_action(info, byte, bit));
        let action = field.fold(0, |action, (byte, bit)| match info.usage[byte] & 1 << bit {
            0 => action,
            _ if byte == 8 => action | 0x100 << bit,
            _ => action | 1 << bit,
        });
        assert_eq!(action, info.service_action.unwrap_or(0), "{}", info.name);
    }
}

/// Every operation code and service action: the dispatcher knows exactly those that have a row.
#[test]
fn the_table_and_the_dispatcher_agree() {
    for unit in [all_units_can(), protected(), unit(), unit_with(|facts| facts.unmap = false), cd()] {
        for code in 0..=255 {
            for action in 0..32 {
                if unit.drive().is_some() && matches!(code, opcode::WRITE_10 | opcode::WRITE_12) {
                    continue; // refused by name, and no command of the drive
                }
                let known = dispatches(code, action, &context(&unit));
                let in_table = supported(&unit)
                    .any(|info| info.opcode == code && info.service_action.is_none_or(|it| it == u16::from(action)));
                assert_eq!(known, in_table, "operation code {code:02x}, service action {action:02x}");
            }
        }
    }
}

/// Whether a command is refused for anything but its operation code and service action.
fn dispatches(code: u8, action: u8, context: &Context<'_>) -> bool {
    let kind = kind(code, context.unit.expect("a unit"));
    let has_actions = kind == Some(OpcodeKind::WithServiceActions) || code == 0x9f || code == 0xa4;
    let mut cdb = [0; 32];
    cdb[0] = code;
    match code {
        opcode::VARIABLE_LENGTH => (cdb[7], cdb[9]) = (0x18, action),
        _ => cdb[1] = action,
    }
    let unknown = match code {
        opcode::VARIABLE_LENGTH => Sense::invalid_field_in_cdb(8, None),
        _ => Sense::invalid_field_in_cdb(1, Some(4)),
    };
    match begin(&cdb, context) {
        Err(Ending::CheckCondition(Sense::INVALID_COMMAND_OPERATION_CODE)) => false,
        Err(Ending::CheckCondition(sense)) => !(has_actions && sense == unknown),
        _ => true,
    }
}

/// Nor does DPO, which the usage data has.
#[test]
fn bits_without_a_use_change_nothing() {
    let mut random = Random(1);
    for (unit, info) in rows() {
        for _ in 0..400 {
            let cdb = random.cdb(info);
            let expected = begin(&cdb, &with_list(&unit));
            for (byte, bit) in bits(info, |used| !used).chain(dpo(info)) {
                let outcome = begin(&flipped(&cdb, byte, bit), &with_list(&unit));
                assert_eq!(outcome, expected, "{} byte {byte} bit {bit}: {cdb:02x?}", info.name);
            }
        }
    }
}

#[test]
fn every_bit_with_a_use_changes_something() {
    let mut random = Random(2);
    for (unit, info) in rows() {
        let mut idle: BTreeSet<_> = bits(info, |used| used).filter(|&bit| Some(bit) != dpo(info)).collect();
        for _ in 0..4000 {
            let cdb = random.cdb(info);
            let before = begin(&cdb, &with_list(&unit));
            idle.retain(|&(byte, bit)| begin(&flipped(&cdb, byte, bit), &with_list(&unit)) == before);
            if idle.is_empty() {
                break;
            }
        }
        assert!(idle.is_empty(), "{}: {idle:?} are never looked at", info.name);
    }
}

/// A unit that every row holds for.
fn all_units_can() -> LogicalUnit {
    unit_with(|facts| facts.atomic_blocks = 1000)
}

/// A unit with metadata that all the rows hold for that hold for any.
fn protected() -> LogicalUnit {
    let unit = protected_unit(ProtectionType::Type1).with_facts(|facts| {
        facts.unmap = true;
        facts.atomic_blocks = 1000;
    });
    unit.restore(&Saved::default()); // it may be formatted to another type
    unit
}

/// With parameters for commands whose CDB does not say how many there are.
fn with_list(unit: &LogicalUnit) -> Context<'_> {
    Context { data_out_len: 64, ..context(unit) }
}

/// Every row, with a unit that it holds for.
fn rows() -> impl Iterator<Item = (LogicalUnit, &'static CommandInfo)> {
    let disks = COMMANDS.iter().map(|info| (all_units_can(), info));
    let knows_metadata = |info: &&CommandInfo| !UNPROTECTED_ONLY.contains(&info.opcode);
    let disks = disks.chain(COMMANDS.iter().filter(knows_metadata).map(|info| (protected(), info)));
    disks.chain(CD_COMMANDS.iter().map(|info| (cd(), info)))
}

/// Bytes and bits after the operation code whose usage bit is as wanted; the service action is not a choice.
fn bits(info: &CommandInfo, wanted: fn(bool) -> bool) -> impl Iterator<Item = (usize, u8)> {
    let all = (1..info.usage.len()).flat_map(|byte| (0..8).map(move |bit| (byte, bit)));
    all.filter(move |&(byte, bit)| !is_service_action(info, byte, bit) && wanted(info.usage[byte] & 1 << bit != 0))
}

/// Where DPO stands in the commands that have it (SBC-3).
fn dpo(info: &CommandInfo) -> Option<(usize, u8)> {
    const NAMES: &[&str] =
        &["READ", "WRITE", "VERIFY", "WRITE AND VERIFY", "COMPARE AND WRITE", "ORWRITE", "WRITE ATOMIC"];
    let name = info.name.split('(').next()?;
    let form = Form::of(info.opcode).filter(|&form| form != Form::Six)?;
    NAMES.contains(&name).then(|| (form.options_at(), 4))
}

fn is_service_action(info: &CommandInfo, byte: usize, bit: u8) -> bool {
    info.service_action.is_some()
        && match info.opcode {
            opcode::VARIABLE_LENGTH => byte == 8 || byte == 9,
            _ => byte == 1 && bit < 5,
        }
}

fn flipped(cdb: &[u8], byte: usize, bit: u8) -> Vec<u8> {
    let mut cdb = cdb.to_vec();
    cdb[byte] ^= 1 << bit;
    cdb
}

/// Marsaglia's xorshift: the same CDBs in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
    }

    /// A CDB of this command, most of its bytes zero so that many are legal.
    fn cdb(&mut self, info: &CommandInfo) -> Vec<u8> {
        let mut cdb = vec![info.opcode];
        for &usage in &info.usage[1..] {
            let value = self.next() as u8 & self.next() as u8;
            cdb.push(if self.next() & 3 == 0 { value & usage } else { 0 });
        }
        match (info.service_action, info.opcode) {
            (Some(action), opcode::VARIABLE_LENGTH) => (cdb[7], cdb[8], cdb[9]) = (0x18, 0, action as u8),
            (Some(action), _) => cdb[1] = cdb[1] & 0xe0 | action as u8,
            (None, _) => {}
        }
        if info.opcode == cdb::opcode::PERSISTENT_RESERVE_OUT && self.next() & 1 == 0 {
            cdb[5..9].copy_from_slice(&[0, 0, 0, 24]); // the only length that most of its service actions take
        }
        cdb
    }
}

#[test]
fn jobs_are_compared_by_all_they_hold() {
    let unit = unit();
    let job = |lba| begin(&[0x08, 0, 0, lba, 1, 0], &context(&unit));
    let (one, two): (Result<Job, Ending>, _) = (job(1), job(2));
    assert_ne!(one, two);
}
