//! SCST's device groups and target groups, as target port groups.
//!
//! SCST has target groups for each group of devices; ours are for all units, where a unit may have a state of its own. Groups of the same name in
//! several device groups are one.

use std::collections::BTreeSet;

use super::stanza::Statement;
use super::{account, number};
use crate::import::notes::Notes;
use crate::import::setup::{PortGroup, Setup};

pub(super) fn convert(groups: &[&Statement], explicit: &BTreeSet<String>, setup: &mut Setup, notes: &mut Notes) {
    for statement in groups {
        notes.used(statement.line);
        let mut devices = Vec::new();
        for inner in statement.block.iter().filter(|inner| inner.name() == "DEVICE") {
            account(&inner.block, notes);
            match setup.devices.iter().any(|device| device.name == inner.word(1)) {
                true => {
                    notes.used(inner.line);
                    devices.push(inner.word(1).to_owned());
                }
                false => {
                    notes.warn(inner.line, format!("DEVICE {}: there is no such device; it is left out", inner.word(1)))
                }
            }
        }
        for inner in statement.block.iter().filter(|inner| inner.name() != "DEVICE") {
            match inner.name() {
                "TARGET_GROUP" => target_group(inner, &devices, explicit, setup, notes),
                name => {
                    notes.warn(
                        inner.line,
                        format!("{name}: an attribute of device groups without an equivalent; it is left out"),
                    );
                    account(&inner.block, notes);
                }
            }
        }
    }
}

fn target_group(
    statement: &Statement,
    devices: &[String],
    explicit: &BTreeSet<String>,
    setup: &mut Setup,
    notes: &mut Notes,
) {
    notes.used(statement.line);
    let mut group = PortGroup {
        line: statement.line,
        name: statement.word(1).to_owned(),
        id: None,
        preferred: false,
        implicit: true,
        explicit: devices.iter().any(|device| explicit.contains(device)),
        targets: Vec::new(),
        states: Default::default(),
    };
    let mut state = "optimized";
    for inner in &statement.block {
        match inner.name() {
            "group_id" => match number(inner.word(1)).and_then(|id| u16::try_from(id).ok()).filter(|id| *id > 0) {
                Some(id) => {
                    notes.used(inner.line);
                    group.id = Some(id);
                }
                None => notes.warn(inner.line, "group_id: there are 1 to 65535; the lowest free one is taken"),
            },
            "preferred" => {
                notes.used(inner.line);
                group.preferred = inner.word(1) != "0";
            }
            "state" => state = access_state(inner, notes),
            "TARGET" => group.targets.extend(target(inner, setup, notes)),
            name => {
                notes.warn(
                    inner.line,
                    format!("{name}: an attribute of target groups without an equivalent; it is left out"),
                );
                account(&inner.block, notes);
            }
        }
    }
    group.states.extend(devices.iter().map(|device| (device.clone(), state)));
    setup.add_port_group(group, notes);
}

fn access_state(statement: &Statement, notes: &mut Notes) -> &'static str {
    let state = match statement.word(1) {
        "active" => "optimized",
        "nonoptimized" => "non_optimized",
        "standby" => "standby",
        "unavailable" => "unavailable",
        "offline" => "offline",
        "transitioning" => {
            notes.warn(statement.line, "state transitioning: no state to stay in; unavailable is chosen");
            return "unavailable";
        }
        other => {
            notes.warn(statement.line, format!("state {other}: no access state; unavailable is chosen"));
            return "unavailable";
        }
    };
    notes.used(statement.line);
    state
}

/// The target, if it is one of this host that was taken over.
fn target(statement: &Statement, setup: &mut Setup, notes: &mut Notes) -> Option<String> {
    let name = statement.word(1);
    let found = setup.targets.iter_mut().find(|target| target.name == name);
    let Some(found) = found else {
        notes.warn(
            statement.line,
            format!("TARGET {name}: no target of this configuration (another host's, perhaps); it is left out"),
        );
        account(&statement.block, notes);
        return None;
    };
    notes.used(statement.line);
    for inner in &statement.block {
        let port = number(inner.word(1)).and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
        match (inner.name(), port) {
            ("rel_tgt_id", Some(port)) => {
                notes.used(inner.line);
                if found.relative_port.is_some_and(|other| other != port) {
                    notes.warn(inner.line, format!("rel_tgt_id: target {name} has another already; this is left out"));
                }
                found.relative_port.get_or_insert(port);
            }
            ("rel_tgt_id", None) => notes.warn(inner.line, "rel_tgt_id: there are 1 to 65535; it is left out"),
            (other, _) => {
                notes.warn(inner.line, format!("{other}: an attribute without an equivalent; it is left out"))
            }
        }
        account(&inner.block, notes);
    }
    Some(name.to_owned())
}
