//! No marks of unfinished work, and no file that grew too long to be read.

use crate::project::{Findings, Project};
use crate::rust_source::{RustSource, words};

/// Production lines above which a file's author is asked why.
const LINES_ASK: usize = 500;
/// Production lines above which a file is split.
const LINES_MAX: usize = 700;

/// Words that mark unfinished work. Written in pieces, so that this file passes.
const MARKS: [&str; 3] = [concat!("FIX", "ME"), concat!("TO", "DO"), concat!("XX", "X")];

/// See above.
pub fn check(project: &Project) -> anyhow::Result<Findings> {
    let mut findings = Findings::default();
    let mut lines = 0;
    let rust_files = project.rust_files()?;
    for (file, text) in &rust_files {
        let source = RustSource::new(text);
        findings.problems.extend(unfinished(&source).into_iter().map(|(line, what)| format!("{file}:{line}: {what}")));
        let count = production_lines(file, &source);
        lines += count;
        if count > LINES_MAX {
            findings.problems.push(format!("{file}: {count} production lines, over {LINES_MAX}: split it"));
        } else if count > LINES_ASK {
            findings.notes.push(format!("{file}: {count} production lines: is it one thing?"));
        }
    }
    for file in project.files.iter().filter(|file| !file.ends_with(".rs")) {
        let Some(text) = project.text(file)? else { continue };
        findings.problems.extend(marks(&text).into_iter().map(|(line, what)| format!("{file}:{line}: {what}")));
    }
    findings.summary = format!("{} Rust files, {lines} production lines", rust_files.len());
    Ok(findings)
}

/// Line numbers and descriptions of what is not finished in a Rust file.
fn unfinished(source: &RustSource) -> Vec<(usize, String)> {
    let mut found = marks(&source.comments);
    for (index, line) in source.code.lines().enumerate() {
        for call in ["todo!", "unimplemented!", "dbg!"] {
            if words(line, &call[..call.len() - 1]).any(|at| line[at..].starts_with(call)) {
                found.push((index + 1, call.to_owned()));
            }
        }
        if line.contains("#[ignore") {
            found.push((index + 1, "an ignored test: make it run, or remove it".to_owned()));
        }
        if words(line, "dead_code").any(|at| line[..at].contains("allow(")) {
            found.push((index + 1, "allow(dead_code): remove what nobody uses".to_owned()));
        }
    }
    found
}

fn marks(text: &str) -> Vec<(usize, String)> {
    let marked = |line: &str| MARKS.iter().find(|mark| words(line, mark).next().is_some()).copied();
    text.lines()
        .enumerate()
        .filter_map(|(index, line)| {
            marked(line).map(|mark| (index + 1, format!("{mark}: finish it, or write down why not")))
        })
        .collect()
}

/// Lines that are not there for tests.
fn production_lines(file: &str, source: &RustSource) -> usize {
    let folders: Vec<&str> = file.split('/').collect();
    let name = folders.last().copied().unwrap_or_default();
    if folders.iter().any(|folder| ["tests", "benches", "examples"].contains(folder))
        || name == "tests.rs"
        || name.ends_with("_tests.rs")
    {
        return 0;
    }
    source.test_lines().into_iter().filter(|test| !test).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<usize> {
        unfinished(&RustSource::new(text)).into_iter().map(|(line, _)| line).collect()
    }

    #[test]
    fn unfinished_work_is_found() {
        assert_eq!(found("fn f() {\n    todo!()\n}"), [2]);
        assert_eq!(found("unimplemented!(\"later\");"), [1]);
        assert_eq!(found(&format!("// {}: later", MARKS[0])), [1]);
        assert_eq!(found("#[ignore = \"slow\"]\nfn f() {}"), [1]);
        assert_eq!(found("#![allow(unused, dead_code)]"), [1]);
    }

    #[test]
    fn text_and_parts_of_words_are_not() {
        assert_eq!(found("let a = \"todo!()\"; // todo! is a macro\nmy_todo!();"), [0; 0]);
        assert_eq!(found("let ignore = dead_code();"), [0; 0]);
        assert_eq!(marks(&format!("PRE{}", MARKS[2])), []);
    }

    #[test]
    fn tests_do_not_count_as_production() {
        let source = RustSource::new("fn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n");
        assert_eq!(production_lines("lib/x/src/a.rs", &source), 2);
        for file in ["lib/x/tests/a.rs", "lib/x/src/a/tests.rs", "lib/x/src/a_tests.rs", "lib/x/src/tests/a.rs"] {
            assert_eq!(production_lines(file, &source), 0, "{file}");
        }
    }
}
