//! Who saw what in SCST 1: groups of users and assigned devices, with no word of targets.

use super::SRPT;
use super::stanza::Statement;
use crate::import::notes::Notes;

/// What was said about it.
#[derive(Debug, Default)]
pub(super) struct Access {
    pub(super) assignments: Vec<Assignment>,
    /// Line, group, user.
    pub(super) users: Vec<(usize, String, String)>,
    /// Line and port of the targets that were enabled.
    pub(super) enabled: Vec<(usize, String)>,
}

/// A device that is a LUN of a group.
#[derive(Debug)]
pub(super) struct Assignment {
    pub(super) line: usize,
    pub(super) group: String,
    pub(super) device: String,
    pub(super) lun: String,
    pub(super) read_only: bool,
}

/// The group of everybody in no other; with `_TARGET` behind it, at that target.
const DEFAULT: &str = "Default";

/// Handlers had shorter names, and options chose among vdisk's.
pub(super) fn handler<'a>(name: &'a str, options: &[&str]) -> &'a str {
    let has = |names: &[&str]| options.iter().any(|option| names.iter().any(|name| option.eq_ignore_ascii_case(name)));
    match name {
        "vdisk" if has(&["NULLIO", "NIO"]) => "vdisk_nullio",
        "vdisk" if has(&["BLOCKIO", "BLOCK_IO", "BIO"]) => "vdisk_blockio",
        "vdisk" => "vdisk_fileio",
        "disk" => "dev_disk",
        "tape" => "dev_tape",
        "changer" => "dev_changer",
        "cdrom" => "dev_cdrom",
        "modisk" => "dev_modisk",
        "processor" => "dev_processor",
        "raid" => "dev_raid",
        "disk_perf" => "dev_disk_perf",
        "tape_perf" => "dev_tape_perf",
        "modisk_perf" => "dev_modisk_perf",
        other => other,
    }
}

/// An option of a device, as an attribute of today.
pub(super) fn option(line: usize, option: &str, notes: &mut Notes) -> Option<Statement> {
    let attribute = match option.to_ascii_uppercase().as_str() {
        "WRITE_THROUGH" | "WT" => "write_through",
        "READ_ONLY" | "RO" => "read_only",
        "NV_CACHE" | "NV" => "nv_cache",
        "O_DIRECT" | "DR" => "o_direct",
        "REMOVABLE" | "RM" => "removable",
        "NULLIO" | "NIO" | "BLOCKIO" | "BLOCK_IO" | "BIO" | "" => return None,
        other => {
            notes.warn(line, format!("option {other}: there is no such option; it is left out"));
            return None;
        }
    };
    Some(Statement::new(line, [attribute, "1"]))
}

/// Adds the targets of today that show the same.
pub(super) fn add_targets(access: Access, statements: &mut Vec<Statement>, notes: &mut Notes) {
    let Access { assignments, users, enabled } = access;
    // A group without LUNs is no more than its name.
    users.iter().for_each(|(line, ..)| notes.used(*line));
    if assignments.is_empty() && enabled.is_empty() {
        return;
    }
    let line =
        assignments.first().map(|assignment| assignment.line).or(enabled.first().map(|(line, _)| *line)).unwrap_or(1);
    let mut targets: Vec<(usize, String)> = Vec::new();
    let named = assignments.iter().filter_map(|assignment| {
        assignment.group.strip_prefix("Default_").map(|target| (assignment.line, target.to_owned()))
    });
    for (line, name) in enabled.into_iter().chain(named) {
        notes.used(line);
        if !targets.iter().any(|(_, known)| *known == name) {
            targets.push((line, name));
        }
    }
    if targets.is_empty() {
        notes.remark(line, "SCST 1 had the same LUNs at every port: one target, tgt0, is made for them");
        targets.push((line, "tgt0".into()));
    }
    let targets = targets.iter().map(|(line, name)| target(*line, name, &assignments, &users)).collect();
    statements.push(Statement { block: targets, ..Statement::new(line, ["TARGET_DRIVER", SRPT]) });
}

fn target(line: usize, name: &str, assignments: &[Assignment], users: &[(usize, String, String)]) -> Statement {
    let lun = |assignment: &Assignment| {
        let mut lun = Statement::new(assignment.line, ["LUN", &assignment.lun, &assignment.device]);
        if assignment.read_only {
            lun.block.push(Statement::new(assignment.line, ["read_only", "1"]));
        }
        lun
    };
    let own = format!("{DEFAULT}_{name}");
    let luns = assignments.iter().filter(|assignment| assignment.group == DEFAULT || assignment.group == own);
    let mut block: Vec<Statement> = luns.map(lun).collect();
    let mut groups: Vec<(usize, &str)> = Vec::new();
    let with_luns = assignments.iter().map(|assignment| (assignment.line, assignment.group.as_str()));
    for (line, group) in users.iter().map(|(line, group, _)| (*line, group.as_str())).chain(with_luns) {
        let is_default = group == DEFAULT || group.starts_with("Default_");
        if !is_default && !groups.iter().any(|(_, known)| *known == group) {
            groups.push((line, group));
        }
    }
    for (line, name) in groups {
        let members = users.iter().filter(|(_, group, _)| group == name);
        let mut inner: Vec<Statement> =
            members.map(|(line, _, user)| Statement::new(*line, ["INITIATOR", user])).collect();
        inner.extend(assignments.iter().filter(|assignment| assignment.group == name).map(lun));
        block.push(Statement { block: inner, ..Statement::new(line, ["GROUP", name]) });
    }
    Statement { block, ..Statement::new(line, ["TARGET", name]) }
}
