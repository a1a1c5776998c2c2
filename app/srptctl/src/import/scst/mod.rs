//! SCST's configurations: scst.conf as scstadmin(1) writes it since SCST 2, the sections of SCST 1, and files of scstadmin command lines.

mod access;
mod alua;
mod commands;
mod device;
mod sections;
pub(crate) mod stanza;

use std::collections::BTreeSet;

use self::stanza::Statement;
use super::Imported;
use super::initiator;
use super::notes::Notes;
use super::options::Options;
use super::setup::{Group, Lun, Setup, Target};

/// The driver whose targets are SRP targets.
pub(crate) const SRPT: &str = "ib_srpt";

/// Reads a configuration in any of the three forms.
///
/// # Errors
/// Line and message, if it cannot be read at all.
pub(crate) fn import(text: &str, options: &Options) -> Result<Imported, (usize, String)> {
    let mut notes = Notes::default();
    let statements = match form(text) {
        Form::Stanzas => stanza::parse(text, &mut notes)?,
        Form::Sections => sections::parse(text, &mut notes),
        Form::Commands => commands::parse(text, &mut notes),
    };
    let mut conversion = Conversion { options, notes, setup: Setup::default(), explicit: BTreeSet::new() };
    conversion.convert(&statements);
    Ok(conversion.setup.requests(options, conversion.notes))
}

enum Form {
    Stanzas,
    Sections,
    Commands,
}

fn form(text: &str) -> Form {
    for line in text.lines().map(str::trim) {
        let section = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or_default();
        if sections::NAMES.contains(&section.split_whitespace().next().unwrap_or_default()) {
            return Form::Sections;
        }
        if commands::is_command(line) {
            return Form::Commands;
        }
        if line.ends_with('{') {
            return Form::Stanzas;
        }
    }
    Form::Stanzas
}

struct Conversion<'a> {
    options: &'a Options,
    notes: Notes,
    setup: Setup,
    /// Devices whose access states initiators may change.
    explicit: BTreeSet<String>,
}

impl Conversion<'_> {
    fn convert(&mut self, statements: &[Statement]) {
        // Groups of devices and targets come last: they are about both.
        let (groups, others): (Vec<_>, Vec<_>) = statements.iter().partition(|one| one.name() == "DEVICE_GROUP");
        for statement in others {
            match statement.name() {
                "HANDLER" => self.handler(statement),
                "TARGET_DRIVER" => self.driver(statement),
                _ => self.core_attribute(statement),
            }
        }
        if self.setup.targets.is_empty() {
            self.notes.warn(None, format!("there is no target of {}", self.drivers().join(", ")));
        }
        self.add_devices_that_need_no_handler();
        alua::convert(&groups, &self.explicit, &mut self.setup, &mut self.notes);
        self.leave_out_the_rest(statements);
        if self
            .setup
            .devices
            .iter()
            .any(|device| !device.unit.contains_key("naa") && device.method != "bdev_scsi_create")
        {
            self.notes.remark(None, "units without naa_id or eui64_id have other identifiers (VPD 83h) than they had: names in /dev/disk/by-id and WWIDs of multipath change at the initiators");
        }
    }

    /// What stands in the braces of something that has none.
    fn leave_out_the_rest(&mut self, statements: &[Statement]) {
        for statement in statements {
            if !self.notes.is_accounted(statement.line) {
                let text = format!("{}: it stands where nothing is looked for; it is left out", statement.name());
                self.notes.warn(statement.line, text);
            }
            self.leave_out_the_rest(&statement.block);
        }
    }

    fn drivers(&self) -> Vec<&str> {
        match &self.options.drivers[..] {
            [] => vec![SRPT],
            drivers => drivers.iter().map(String::as_str).collect(),
        }
    }

    fn core_attribute(&mut self, statement: &Statement) {
        self.notes.remark(
            statement.line,
            format!("{}: an attribute of SCST's core, which means nothing here", statement.name()),
        );
        account(&statement.block, &mut self.notes);
    }

    fn handler(&mut self, statement: &Statement) {
        self.notes.used(statement.line);
        let handler = statement.word(1);
        for inner in &statement.block {
            if inner.name() != "DEVICE" {
                self.notes.remark(
                    inner.line,
                    format!("{}: an attribute of the handler {handler}, which means nothing here", inner.name()),
                );
                account(&inner.block, &mut self.notes);
                continue;
            }
            if device::flag(inner, "expl_alua") {
                self.explicit.insert(inner.word(1).to_owned());
            }
            self.setup.devices.extend(device::convert(handler, inner, &mut self.notes));
        }
    }

    /// SCST knows the host's SCSI devices by themselves; LUNs may show them without their being configured.
    fn add_devices_that_need_no_handler(&mut self) {
        let known: BTreeSet<&String> = self.setup.devices.iter().map(|device| &device.name).collect();
        let groups = self.setup.targets.iter().flat_map(|target| target.groups.iter().flat_map(|group| &group.luns));
        let luns = self.setup.targets.iter().flat_map(|target| &target.luns).chain(groups);
        let mut missing: Vec<(usize, String)> = Vec::new();
        for lun in luns.filter(|lun| device::is_scsi_address(&lun.device) && !known.contains(&lun.device)) {
            if !missing.iter().any(|(_, name)| *name == lun.device) {
                missing.push((lun.line, lun.device.clone()));
            }
        }
        for (line, name) in missing {
            self.notes.remark(line, format!("{name}: no handler has it; it is passed through"));
            self.setup.devices.push(device::passed_through(line, &name));
        }
    }

    fn driver(&mut self, statement: &Statement) {
        let driver = statement.word(1);
        if !self.drivers().contains(&driver) {
            match driver {
                "copy_manager" => self.notes.remark(statement.line, "copy_manager: third-party copies need no target here"),
                _ => self.notes.warn(statement.line, format!("{driver}: its targets are left out, since srpt speaks SRP alone; `--driver {driver}` makes SRP targets of them")),
            }
            return account(&statement.block, &mut self.notes);
        }
        self.notes.used(statement.line);
        for inner in &statement.block {
            match inner.name() {
                "TARGET" => self.target(inner),
                "enabled" => self.notes.used(inner.line),
                name => {
                    self.notes.warn(
                        inner.line,
                        format!("{name}: an attribute of the driver {driver} without an equivalent; it is left out"),
                    );
                    account(&inner.block, &mut self.notes);
                }
            }
        }
    }

    fn target(&mut self, statement: &Statement) {
        self.notes.used(statement.line);
        let name = statement.word(1);
        if statement.block.iter().any(|inner| inner.name() == "enabled" && inner.word(1) == "0") {
            self.notes.warn(
                statement.line,
                format!("target {name}: it is not enabled, and left out; here a target that is there is served"),
            );
            account(&statement.block, &mut self.notes);
            return;
        }
        let mut target = Target::new(statement.line, name);
        for inner in &statement.block {
            match inner.name() {
                "LUN" => target.luns.extend(self.lun(inner)),
                "GROUP" => target.groups.push(self.group(inner, name)),
                "enabled" => self.notes.used(inner.line),
                "rel_tgt_id" => target.relative_port = self.relative_port(inner),
                "addr_method" => target.is_flat = self.is_flat(inner),
                _ => self.access_attribute(inner),
            }
        }
        target.open_to_others = !target.luns.is_empty();
        if !target.groups.is_empty() && target.luns.is_empty() {
            self.notes.remark(statement.line, format!("target {name}: initiators that are in none of its groups are refused; they used to be let in, and saw no LUN"));
        }
        self.setup.targets.push(target);
    }

    fn relative_port(&mut self, statement: &Statement) -> Option<u16> {
        let port = number(statement.word(1)).and_then(|number| u16::try_from(number).ok()).filter(|port| *port > 0);
        match port {
            Some(_) => self.notes.used(statement.line),
            None => self.notes.warn(statement.line, "rel_tgt_id: there are 1 to 65535; the lowest free one is taken"),
        }
        port
    }

    fn is_flat(&mut self, statement: &Statement) -> bool {
        match statement.word(1).to_ascii_lowercase().as_str() {
            "flat" => self.notes.used(statement.line),
            "peripheral" | "" => self.notes.used(statement.line),
            other => self.notes.warn(
                statement.line,
                format!("addr_method {other}: there are peripheral and flat; peripheral is chosen"),
            ),
        }
        statement.word(1).eq_ignore_ascii_case("flat")
    }

    fn lun(&mut self, statement: &Statement) -> Option<Lun> {
        let Some(lun) = number(statement.word(1)) else {
            self.notes.warn(statement.line, format!("LUN {}: no number; it is left out", statement.word(1)));
            account(&statement.block, &mut self.notes);
            return None;
        };
        self.notes.used(statement.line);
        for inner in &statement.block {
            match inner.name() {
                "read_only" => self.notes.used(inner.line),
                name => self
                    .notes
                    .warn(inner.line, format!("{name}: an attribute of LUNs without an equivalent; it is left out")),
            }
            account(&inner.block, &mut self.notes);
        }
        let read_only = device::flag(statement, "read_only");
        Some(Lun { line: statement.line, number: lun, device: statement.word(2).to_owned(), read_only })
    }

    fn group(&mut self, statement: &Statement, target: &str) -> Group {
        self.notes.used(statement.line);
        let name = statement.word(1);
        let mut group = Group { name: name.to_owned(), initiators: Vec::new(), luns: Vec::new() };
        for inner in &statement.block {
            match inner.name() {
                "LUN" => group.luns.extend(self.lun(inner)),
                "INITIATOR" => group.initiators.extend(self.initiator(inner)),
                "addr_method" => {
                    if self.is_flat(inner) {
                        self.notes.warn(
                            inner.line,
                            format!("addr_method: it is the target's here ({target}), not the group's; it is left out"),
                        );
                    }
                }
                _ => self.access_attribute(inner),
            }
        }
        if group.initiators.is_empty() {
            self.notes.remark(statement.line, format!("group {name}: no initiator is in it"));
        }
        group
    }

    fn initiator(&mut self, statement: &Statement) -> Vec<String> {
        let name = statement.word(1);
        account(&statement.block, &mut self.notes);
        match initiator::patterns(name) {
            Some(patterns) => {
                self.notes.used(statement.line);
                patterns
            }
            None => {
                self.notes.warn(statement.line, format!("INITIATOR {name}: neither a port's GID or GUID, nor an address or a pattern of them; it is left out"));
                Vec::new()
            }
        }
    }

    /// An attribute of a target or group that says how commands are worked on.
    fn access_attribute(&mut self, statement: &Statement) {
        let name = statement.name();
        match (name, statement.word(1)) {
            ("black_hole" | "forward_src" | "forward_dst" | "forwarding", "0" | "") => self.notes.used(statement.line),
            (
                "io_grouping_type" | "cpu_mask" | "aen_disabled" | "comment" | "count_" | "dif_capabilities"
                | "dif_checks_failed",
                _,
            ) => {
                self.notes.remark(statement.line, format!("{name}: means nothing here"));
            }
            _ => self.notes.warn(statement.line, format!("{name}: an attribute without an equivalent; it is left out")),
        }
        account(&statement.block, &mut self.notes);
    }
}

/// The lines of what is left out with something around it, about which something was said.
fn account(statements: &[Statement], notes: &mut Notes) {
    for statement in statements {
        notes.used(statement.line);
        account(&statement.block, notes);
    }
}

/// A number, decimal or with `0x`.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
