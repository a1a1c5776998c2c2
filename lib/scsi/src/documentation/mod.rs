//! docs/scsi.md: what is supported, as the code itself says it.
//!
//! `UPDATE_DOCS=1 cargo test -p scsi documentation` writes the file; without it the test fails when the file is not what would be
//! written. Commands come from [`crate::COMMANDS`], pages from the answers of a unit that has everything ([`units`]). What is not
//! supported stands in the lists of `commands.rs` and `names.rs` with its reason: whoever adds something that they do not name
//! adds a row, with its limits or its name, and a unit to [`units`] if none of them has it.

mod commands;
mod names;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::protection::UNPROTECTED_ONLY;
use crate::testing::{cd, cdb, context, run, unit_with};
use crate::wire::cdb::be16;
use crate::{CD_COMMANDS, COMMANDS, CommandInfo, Ending, LogicalUnit, Needs, UnitAttention};
use commands::KNOWN;
use names::Page;

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/scsi.md")
}

/// Units that have between them every page there is.
fn units() -> Vec<LogicalUnit> {
    let everything = unit_with(|facts| {
        facts.unmap = true;
        facts.unmap_zeroes = true;
        facts.lba_status = true;
        facts.write_cache = true;
        facts.threshold_percent = Some(80);
    });
    vec![everything, cd()]
}

#[test]
fn the_file_is_what_the_code_says() {
    let text = text();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(file(), &text).expect("docs/ is there");
    }
    let file = std::fs::read_to_string(file()).unwrap_or_default();
    let different = text.lines().zip(file.lines()).find(|(now, then)| now != then);
    assert!(file == text, "docs/scsi.md is not what the code says; UPDATE_DOCS=1 writes it. First: {different:?}");
}

#[test]
fn lists_are_in_order() {
    assert!(KNOWN.is_sorted_by_key(|known| (known.opcode, known.action)));
    for pages in [names::VPD, names::MODE, names::LOG] {
        assert!(pages.is_sorted_by_key(|page| (page.0, page.1)));
    }
    assert!(names::CONDITIONS.is_sorted());
}

fn text() -> String {
    let mut text = String::from(
        "# SCSI: what is supported\n\n\
         Written from the tables of the code (`UPDATE_DOCS=1 cargo test -p scsi documentation`), and compared with them by every test run. It is about \
         units on bdevs; a SCSI device that is passed through answers for itself (see the README). Disks with metadata, which have room for \
         protection information, do not have VPD page 8Fh.\n",
    );
    put_commands(&mut text);
    put_pages(&mut text, "Vital product data pages", names::VPD, &vpd_pages());
    put_mode_pages(&mut text);
    put_pages(&mut text, "Log pages", names::LOG, &log_pages());
    put_functions(&mut text);
    put_attentions(&mut text);
    text
}

/// Adds what a `writeln!` to a string cannot fail to add.
macro_rules! line {
    ($text:expr, $($format:tt)*) => { writeln!($text, $($format)*).expect("a string takes all") };
}

fn put_commands(text: &mut String) {
    line!(
        text,
        "\n## Commands\n\n| code | service action | command | standard | disk | with metadata | CD drive | remark |\n|---|---|---|---|---|---|---|---|"
    );
    let supported = [COMMANDS, CD_COMMANDS];
    for info in supported.iter().copied().flatten() {
        let is_known = KNOWN.iter().any(|known| info.is(known.opcode, known.action));
        assert!(is_known, "{}: give it a row in documentation/commands.rs", info.name);
    }
    for known in KNOWN {
        let [disk, cd] = supported.map(|table| table.iter().find(|info| info.is(known.opcode, known.action)));
        let name = disk.or(cd).map_or(known.name, |info| info.name);
        let remark = if disk.or(cd).is_some() { known.limits } else { known.reason };
        assert!(disk.or(cd).is_some() || !remark.is_empty(), "{name} is in no table: say why");
        let action = known.action.map_or(String::new(), |action| format!("{action:02X}h"));
        let protected = yes_or_no(disk.filter(|info| !UNPROTECTED_ONLY.contains(&info.opcode)));
        let (standard, disk, cd) = (known.standard, yes_or_no(disk), yes_or_no(cd));
        line!(
            text,
            "| {:02X}h | {action} | {name} | {standard} | {disk} | {protected} | {cd} | {remark} |",
            known.opcode
        );
    }
}

/// Whether it is supported, and what the device beneath has to be able to do for it.
fn yes_or_no(info: Option<&CommandInfo>) -> String {
    match info {
        None => "no".to_owned(),
        Some(CommandInfo { needs: Needs::Disk, .. }) => "yes".to_owned(),
        Some(CommandInfo { needs, .. }) => format!("yes ({needs:?})").to_lowercase(),
    }
}

/// A kind of page with nothing more to say about each.
fn put_pages(text: &mut String, title: &str, names: &[Page], found: &[(u8, u8)]) {
    line!(text, "\n## {title}\n\n| page | name | supported |\n|---|---|---|");
    known_all(title, names, found);
    for &(page, subpage, name, reason) in names {
        let supported = supported_or_why(found.contains(&(page, subpage)), name, reason);
        line!(text, "| {} | {name} | {supported} |", code(page, subpage));
    }
}

fn known_all(title: &str, names: &[Page], found: &[(u8, u8)]) {
    for page in found {
        assert!(names.iter().any(|known| (known.0, known.1) == *page), "{title}: {page:02x?} has no name in names.rs");
    }
}

fn supported_or_why(supported: bool, name: &str, reason: &str) -> String {
    match supported {
        true => "yes".to_owned(),
        false => {
            assert!(!reason.is_empty(), "{name} is not there any more: say why");
            format!("no: {reason}")
        }
    }
}

fn code(page: u8, subpage: u8) -> String {
    if subpage == 0 { format!("{page:02X}h") } else { format!("{page:02X}h/{subpage:02X}h") }
}

/// What a unit answers, if it takes the command.
fn answer_if_any(unit: &LogicalUnit, start: &[u8]) -> Option<Vec<u8>> {
    let outcome = run(&cdb(start), &[], &context(unit), &mut crate::testing::Disk::default());
    matches!(outcome.ending, Ending::Good { .. }).then_some(outcome.data_in)
}

fn vpd_pages() -> Vec<(u8, u8)> {
    let units = units();
    let answers = units.iter().filter_map(|unit| answer_if_any(unit, &[0x12, 1, 0, 0x0f, 0xff]));
    answers.flat_map(|answer| answer[4..].to_vec()).map(|page| (page, 0)).collect()
}

fn log_pages() -> Vec<(u8, u8)> {
    let units = units();
    let answers = units.iter().filter_map(|unit| answer_if_any(unit, &[0x4d, 0, 0x40, 0xff, 0, 0, 0, 0x0f, 0xff]));
    answers.flat_map(|answer| answer[4..].chunks_exact(2).map(|pair| (pair[0], pair[1])).collect::<Vec<_>>()).collect()
}

fn put_mode_pages(text: &mut String) {
    line!(
        text,
        "\n## Mode pages\n\nChangeable bits are those of the page's bytes, from byte 0, that MODE SELECT may change.\n"
    );
    line!(text, "| page | name | supported | changeable |\n|---|---|---|---|");
    let found: Vec<((u8, u8), Vec<u8>)> = units().iter().flat_map(changeable_pages).collect();
    known_all("mode pages", names::MODE, &found.iter().map(|(page, _)| *page).collect::<Vec<_>>());
    for &(page, subpage, name, reason) in names::MODE {
        let masks = found.iter().find(|(found, _)| *found == (page, subpage)).map(|(_, masks)| masks);
        let changeable = masks.map_or(String::new(), |masks| bits(masks));
        let supported = supported_or_why(masks.is_some(), name, reason);
        line!(text, "| {} | {name} | {supported} | {changeable} |", code(page, subpage));
    }
}

/// Each page and subpage with its masks, out of MODE SENSE(10) without block descriptors.
fn changeable_pages(unit: &LogicalUnit) -> Vec<((u8, u8), Vec<u8>)> {
    let answer = answer_if_any(unit, &[0x5a, 0x08, 0x7f, 0xff, 0, 0, 0, 0x0f, 0xff]).expect("changeable values");
    let mut rest = &answer[8..];
    let mut pages = Vec::new();
    while let [first, ..] = rest {
        let (page, header, len) = match first & 0x40 {
            0 => ((first & 0x3f, 0), 2, 2 + usize::from(rest[1])),
            _ => ((first & 0x3f, rest[1]), 4, 4 + usize::from(be16(rest, 2))),
        };
        let mut masks = rest[..len].to_vec();
        masks[..header].fill(0);
        pages.push((page, masks));
        rest = &rest[len..];
    }
    pages
}

fn bits(masks: &[u8]) -> String {
    let set = masks.iter().enumerate().filter(|(_, mask)| **mask != 0);
    let list: Vec<String> = set.map(|(byte, mask)| format!("byte {byte}: {mask:02X}h")).collect();
    if list.is_empty() { "none".to_owned() } else { list.join(", ") }
}

fn put_functions(text: &mut String) {
    line!(text, "\n## Task management functions\n\n| SRP's code | function | what becomes of it |\n|---|---|---|");
    for (code, name, remark) in names::FUNCTIONS {
        let code = code.map_or(String::new(), |code| format!("{code:02X}h"));
        line!(text, "| {code} | {name} | {remark} |");
    }
}

fn put_attentions(text: &mut String) {
    line!(text, "\n## Unit attentions\n\nIn order of precedence.\n\n| additional sense code | condition |\n|---|---|");
    for attention in UnitAttention::ALL {
        let sense = attention.sense();
        let name = names::CONDITIONS.iter().find(|(asc, ascq, _)| (*asc, *ascq) == (sense.asc, sense.ascq));
        let (_, _, name) = name.unwrap_or_else(|| panic!("{attention:?} has no name in documentation/names.rs"));
        line!(text, "| {:02X}h/{:02X}h | {name} |", sense.asc, sense.ascq);
    }
}
