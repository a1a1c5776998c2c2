use std::collections::BTreeSet;

use super::*;
use crate::{COMMANDS, Ending, ScsiStatus};

/// Scripts of random bytes; one that breaks a rule is named by its seed.
#[test]
fn rules_hold_for_random_scripts() {
    const SCRIPTS: u64 = 3000;
    let seeds = match std::env::var("SCSI_SCRIPT_SEED") {
        Ok(seed) => seed.parse().map(|seed: u64| seed..seed + 1).expect("a number"),
        Err(_) => 1..1 + SCRIPTS,
    };
    for seed in seeds {
        let bytes = random_bytes(seed);
        if std::panic::catch_unwind(|| run(&bytes)).is_err() {
            panic!("a rule was broken: SCSI_SCRIPT_SEED={seed} repeats it");
        }
    }
}

impl crate::CommandInfo {
    fn matches(&self, cdb: &[u8]) -> bool {
        cdb.len() >= self.usage.len()
            && cdb[0] == self.opcode
            && match self.service_action {
                None => true,
                Some(action) if self.opcode == layout::VARIABLE_LENGTH => cdb[8..10] == action.to_be_bytes(),
                Some(action) => u16::from(layout::action(cdb)) == action,
            }
    }
}

/// Marsaglia's xorshift.
fn random_bytes(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56
    };
    (0..64 + seed as usize % 1500).map(|_| next() as u8).collect()
}

/// Else the rules would hold for nothing.
#[test]
fn random_scripts_get_every_command_done_and_refused() {
    const SCRIPTS_MAX: u64 = 30_000;
    let (mut undone, mut unrefused): (BTreeSet<_>, BTreeSet<_>) =
        (COMMANDS.iter().map(|info| info.name).collect(), COMMANDS.iter().map(|info| info.name).collect());
    for seed in 1..SCRIPTS_MAX {
        play(&random_bytes(seed), &mut |request, report| {
            let Some(info) = COMMANDS.iter().find(|info| info.matches(&request.cdb)) else { return };
            match report.ending {
                Some(Ending::CheckCondition(sense)) if sense.field.is_some() => unrefused.remove(info.name),
                Some(Ending::Good { .. } | Ending::Status(ScsiStatus::ConditionMet)) => undone.remove(info.name),
                _ => false,
            };
        });
        if undone.is_empty() && unrefused.is_empty() {
            return;
        }
    }
    panic!("never done: {undone:?}; never refused for a field: {unrefused:?}");
}

#[test]
fn scripts_of_nothing_end() {
    run(&[]);
    run(&[0]);
    run(&[0; 2000]);
}
