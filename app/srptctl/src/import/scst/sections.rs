//! scst.conf of SCST 1, in sections: `[HANDLER vdisk]`, `[GROUP name]`, `[ASSIGNMENT name]`, `[TARGETS enable]`.

use super::access::{self, Access, Assignment};
use super::stanza::Statement;
use crate::import::notes::Notes;

/// Names of sections.
pub(super) const NAMES: [&str; 5] = ["HANDLER", "GROUP", "ASSIGNMENT", "TARGETS", "OPTIONS"];

/// Reads a file as the statements that say the same today.
pub(super) fn parse(text: &str, notes: &mut Notes) -> Vec<Statement> {
    let (mut statements, mut access) = (Vec::new(), Access::default());
    let mut section = (String::new(), String::new());
    for (index, line) in text.lines().enumerate() {
        let (number, line) = (index + 1, line.split('#').next().unwrap_or_default().trim());
        if line.is_empty() {
            continue;
        }
        if let Some(head) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let (name, argument) = head.split_once(char::is_whitespace).unwrap_or((head, ""));
            section = (name.to_owned(), argument.trim().to_owned());
            match NAMES.contains(&name) {
                true => notes.used(number),
                false => notes.warn(number, format!("[{name}]: there is no such section; it is left out")),
            }
            continue;
        }
        let (attribute, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let value = value.trim();
        match (section.0.as_str(), attribute) {
            ("HANDLER", "DEVICE") => statements.push(device(number, &section.1, value, notes)),
            ("GROUP", "USER") => access.users.push((number, section.1.clone(), value.to_owned())),
            ("ASSIGNMENT", "DEVICE") => access.assignments.push(assignment(number, &section.1, value)),
            ("TARGETS", "HOST") if section.1 == "enable" => access.enabled.push((number, port_name(value))),
            ("TARGETS", "HOST") => notes.remark(number, format!("HOST {value}: it was not enabled, and is left out")),
            ("OPTIONS", name) => {
                notes.remark(number, format!("{name}: an option of SCST's core, which means nothing here"))
            }
            (_, name) => notes.warn(number, format!("{name}: nothing that stands in [{}]; it is left out", section.0)),
        }
    }
    access::add_targets(access, &mut statements, notes);
    statements
}

/// `name,path,options,blocksize,t10_dev_id`, with `|` between options.
fn device(line: usize, handler: &str, value: &str, notes: &mut Notes) -> Statement {
    let fields: Vec<&str> = value.split(',').map(str::trim).collect();
    let field = |place: usize| fields.get(place).copied().filter(|text| !text.is_empty());
    let options: Vec<&str> = field(2).unwrap_or_default().split('|').map(str::trim).collect();
    let mut device = Statement::new(line, ["DEVICE", field(0).unwrap_or_default()]);
    for (place, attribute) in [(1, "filename"), (3, "blocksize"), (4, "t10_dev_id")] {
        device.block.extend(field(place).map(|value| Statement::new(line, [attribute, value])));
    }
    device.block.extend(options.iter().filter_map(|option| access::option(line, option, notes)));
    Statement { block: vec![device], ..Statement::new(line, ["HANDLER", access::handler(handler, &options)]) }
}

/// `device,lun`, with options behind it.
fn assignment(line: usize, group: &str, value: &str) -> Assignment {
    let mut fields = value.split(',').map(str::trim);
    Assignment {
        line,
        group: group.to_owned(),
        device: fields.next().unwrap_or_default().to_owned(),
        lun: fields.next().unwrap_or_default().to_owned(),
        read_only: fields.any(|option| option.split('|').any(|one| one.eq_ignore_ascii_case("READ_ONLY"))),
    }
}

/// Ports were also named by a number, `0x` and 16 digits.
fn port_name(name: &str) -> String {
    name.to_ascii_lowercase()
}
