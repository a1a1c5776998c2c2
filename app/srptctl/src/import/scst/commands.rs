//! Files of scstadmin command lines, of SCST 1 (`-adddev`) and of today (`-open_dev`): what they add, in the order in which they do.

use super::access::{self, Access, Assignment};
use super::stanza::Statement;
use crate::import::notes::Notes;

/// Whether a line is such a command, or the rest of one.
pub(super) fn is_command(line: &str) -> bool {
    let mut words = line.split_whitespace();
    !line.starts_with('#') && words.any(|word| word.rsplit('/').next() == Some("scstadmin"))
}

/// Reads a file as the statements that would be in scst.conf after these commands.
pub(super) fn parse(text: &str, notes: &mut Notes) -> Vec<Statement> {
    let mut made = Made { statements: Vec::new(), access: Access::default() };
    for (lines, words) in commands(text) {
        let line = *lines.start();
        lines.for_each(|line| notes.used(line));
        let Some(at) = words.iter().position(|word| word.rsplit('/').next() == Some("scstadmin")) else {
            notes.remark(
                line,
                format!("{}: no command of scstadmin's; it is left out", words.first().map_or("", String::as_str)),
            );
            continue;
        };
        let command = Command::new(line, words.get(at + 1..).unwrap_or_default());
        made.carry_out(&command, notes);
    }
    let Made { mut statements, access } = made;
    access::add_targets(access, &mut statements, notes);
    statements
}

/// The commands of a file, which may go over several lines: their lines and words.
fn commands(text: &str) -> Vec<(std::ops::RangeInclusive<usize>, Vec<String>)> {
    let mut commands = Vec::new();
    let (mut begin, mut words) = (None, Vec::new());
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let trimmed = line.trim();
        if begin.is_none() && (trimmed.is_empty() || trimmed.starts_with('#')) {
            continue;
        }
        let first = *begin.get_or_insert(number);
        let (line, goes_on) = trimmed.strip_suffix('\\').map_or((trimmed, false), |rest| (rest, true));
        words.extend(shell_words(line));
        if !goes_on {
            commands.push((first..=number, std::mem::take(&mut words)));
            begin = None;
        }
    }
    if let Some(first) = begin {
        commands.push((first..=text.lines().count(), words));
    }
    commands
}

/// Words as a shell has them, with quotes and a comment at the end.
fn shell_words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote): (Option<String>, Option<char>) = (None, None);
    for c in line.chars() {
        match (c, quote) {
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, Some(open)) if c == open => quote = None,
            ('#', None) if word.is_none() => break,
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// A command line in its parts.
struct Command {
    line: usize,
    /// Lower case, without the minus; with the word behind each.
    options: Vec<(String, String)>,
}

impl Command {
    fn new(line: usize, words: &[String]) -> Command {
        let mut options: Vec<(String, String)> = Vec::new();
        for word in words {
            match (word.strip_prefix('-'), options.last_mut()) {
                (Some(name), _) => options.push((name.trim_start_matches('-').to_ascii_lowercase(), String::new())),
                (None, Some((_, value))) if value.is_empty() => *value = word.clone(),
                _ => {}
            }
        }
        Command { line, options }
    }

    fn get(&self, name: &str) -> &str {
        self.options.iter().find(|(option, _)| option == name).map_or("", |(_, value)| value)
    }

    /// `-attributes a=1,b=2,c` as statements.
    fn attributes(&self) -> Vec<Statement> {
        let pairs = self.get("attributes").split(',').filter(|pair| !pair.is_empty());
        pairs
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, "1"));
                Statement::new(self.line, [name, value])
            })
            .collect()
    }
}

struct Made {
    statements: Vec<Statement>,
    access: Access,
}

impl Made {
    fn carry_out(&mut self, command: &Command, notes: &mut Notes) {
        let line = command.line;
        let Some((verb, argument)) = command.options.iter().find(|(name, _)| VERBS.contains(&name.as_str())) else {
            let named = command.options.first().map_or("", |(name, _)| name);
            match NOTHING_TO_IMPORT.contains(&named) {
                true => notes.remark(line, format!("-{named}: there is nothing to import")),
                false => {
                    notes.warn(line, format!("-{named}: only commands that add and set are imported; it is left out"))
                }
            }
            return;
        };
        let get = |name| command.get(name);
        let argument = argument.as_str();
        match verb.as_str() {
            "adddev" => self.add_old_device(command, argument, notes),
            "open_dev" => {
                let device = self.at(line, &[&["HANDLER", get("handler")], &["DEVICE", argument]]);
                device.extend(command.attributes());
            }
            "sett10deviceid" => {
                self.set_device(command, get("device"), vec![Statement::new(line, ["t10_dev_id", argument])], notes)
            }
            "set_dev_attr" => self.set_device(command, argument, command.attributes(), notes),
            "assigndev" => self.access.assignments.push(Assignment {
                line,
                group: get("group").into(),
                device: argument.into(),
                lun: get("lun").into(),
                read_only: get("options").split([',', '|']).any(|option| option.eq_ignore_ascii_case("READ_ONLY")),
            }),
            "addgroup" => {}
            "adduser" => self.access.users.push((line, get("group").into(), argument.into())),
            "enable" => self.access.enabled.push((line, argument.to_ascii_lowercase())),
            "enable_target" => self.target(command, argument).push(Statement::new(line, ["enabled", "1"])),
            "disable_target" => self.target(command, argument).push(Statement::new(line, ["enabled", "0"])),
            "add_target" | "set_tgt_attr" | "add_tgt_attr" => {
                self.target(command, argument).extend(command.attributes())
            }
            "add_group" | "set_grp_attr" => {
                let path: [&[&str]; 3] =
                    [&["TARGET_DRIVER", get("driver")], &["TARGET", get("target")], &["GROUP", argument]];
                self.at(line, &path).extend(command.attributes());
            }
            "add_init" => self.owner(command).push(Statement::new(line, ["INITIATOR", argument])),
            "add_lun" => {
                let lun =
                    Statement { block: command.attributes(), ..Statement::new(line, ["LUN", argument, get("device")]) };
                self.owner(command).push(lun);
            }
            "add_dgrp" => {
                self.at(line, &[&["DEVICE_GROUP", argument]]);
            }
            "add_dgrp_dev" => {
                self.at(line, &[&["DEVICE_GROUP", get("dev_group")]]).push(Statement::new(line, ["DEVICE", argument]))
            }
            "add_tgrp" | "set_tgrp_attr" => {
                let path: [&[&str]; 2] = [&["DEVICE_GROUP", get("dev_group")], &["TARGET_GROUP", argument]];
                self.at(line, &path).extend(command.attributes());
            }
            _ => {
                // add_tgrp_tgt, set_ttgt_attr
                let path: [&[&str]; 3] =
                    [&["DEVICE_GROUP", get("dev_group")], &["TARGET_GROUP", get("tgt_group")], &["TARGET", argument]];
                self.at(line, &path).extend(command.attributes());
            }
        }
    }

    fn add_old_device(&mut self, command: &Command, name: &str, notes: &mut Notes) {
        let line = command.line;
        let options: Vec<&str> = command.get("options").split([',', '|']).map(str::trim).collect();
        let handler = access::handler(command.get("handler"), &options);
        let device = self.at(line, &[&["HANDLER", handler], &["DEVICE", name]]);
        for (option, attribute) in [("path", "filename"), ("blocksize", "blocksize")] {
            let value = command.get(option);
            if !value.is_empty() {
                device.push(Statement::new(line, [attribute, value]));
            }
        }
        device.extend(options.iter().filter_map(|option| access::option(line, option, notes)));
    }

    /// Attributes of a device, whichever handler has it.
    fn set_device(&mut self, command: &Command, name: &str, attributes: Vec<Statement>, notes: &mut Notes) {
        let devices = self.statements.iter_mut().filter(|one| one.name() == "HANDLER").flat_map(|one| &mut one.block);
        match devices.into_iter().find(|device| device.word(1) == name) {
            Some(device) => device.block.extend(attributes),
            None => {
                notes.warn(command.line, format!("device {name}: none of the commands before makes it; it is left out"))
            }
        }
    }

    fn target(&mut self, command: &Command, name: &str) -> &mut Vec<Statement> {
        self.at(command.line, &[&["TARGET_DRIVER", command.get("driver")], &["TARGET", name]])
    }

    /// The group that a command is about, or the target.
    fn owner(&mut self, command: &Command) -> &mut Vec<Statement> {
        let (driver, target, group) = (command.get("driver"), command.get("target"), command.get("group"));
        let path: [&[&str]; 3] = [&["TARGET_DRIVER", driver], &["TARGET", target], &["GROUP", group]];
        self.at(command.line, if group.is_empty() { &path[..2] } else { &path })
    }

    /// The block of the statement that a path leads to; what is not there is made.
    fn at(&mut self, line: usize, path: &[&[&str]]) -> &mut Vec<Statement> {
        let mut block = &mut self.statements;
        for words in path {
            let place = block.iter().position(|statement| statement.words == *words).unwrap_or_else(|| {
                let words = words.iter().map(|word| (*word).to_owned()).collect();
                block.push(Statement { line, words, block: Vec::new() });
                block.len() - 1
            });
            block = &mut block[place].block;
        }
        block
    }
}

/// What is carried out.
const VERBS: [&str; 23] = [
    "adddev",
    "open_dev",
    "sett10deviceid",
    "set_dev_attr",
    "assigndev",
    "addgroup",
    "adduser",
    "enable",
    "enable_target",
    "disable_target",
    "add_target",
    "set_tgt_attr",
    "add_tgt_attr",
    "add_group",
    "set_grp_attr",
    "add_init",
    "add_lun",
    "add_dgrp",
    "add_dgrp_dev",
    "add_tgrp",
    "set_tgrp_attr",
    "add_tgrp_tgt",
    "set_ttgt_attr",
];

/// What looks at something, or works on what there is as a whole.
const NOTHING_TO_IMPORT: [&str; 8] =
    ["clearconfig", "clear_config", "writeconfig", "write_config", "checkconfig", "check_config", "config", "sessions"];
