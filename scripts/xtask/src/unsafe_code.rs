//! `unsafe` stands only in the files and folders that `scripts/unsafe-files.txt` names, each with the reason why it must; every block
//! and every `impl` has a `SAFETY:` comment (clippy asks for it too, but only in what this build compiles). A crate without
//! such a file forbids `unsafe` in its root.

use std::collections::BTreeMap;

use crate::project::{Findings, Project};
use crate::rust_source::{RustSource, words};

const LIST: &str = "scripts/unsafe-files.txt";

/// See above.
pub fn check(project: &Project) -> anyhow::Result<Findings> {
    let allowed: BTreeMap<String, String> = project.list(LIST)?.into_iter().collect();
    let mut problems = unfounded(project, &allowed)?;
    let mut uses = BTreeMap::new();
    for (file, text) in project.rust_files()? {
        let source = RustSource::new(&text);
        let count = words(&source.code, "unsafe").count();
        if count == 0 {
            continue;
        }
        uses.insert(file.to_owned(), count);
        problems.extend(
            unargued(&source).into_iter().map(|line| format!("{file}:{line}: unsafe without a SAFETY comment")),
        );
        if !allowed.keys().any(|entry| covers(entry, file)) {
            problems.push(format!("{file} uses unsafe: do without, or add it to {LIST} with the reason"));
        }
    }
    problems.extend(unforbidden(project, &allowed)?);
    let summary = format!("{} uses in {} files", uses.values().sum::<usize>(), uses.len());
    Ok(Findings { summary, problems, ..Findings::default() })
}

/// An entry is a file, or a folder with a slash at its end.
fn covers(entry: &str, file: &str) -> bool {
    entry == file || entry.ends_with('/') && file.starts_with(entry)
}

/// Entries of the list without a reason, or for nothing.
fn unfounded(project: &Project, allowed: &BTreeMap<String, String>) -> anyhow::Result<Vec<String>> {
    let mut problems = Vec::new();
    for (entry, reason) in allowed {
        if reason.is_empty() {
            problems.push(format!("{LIST}: {entry}: say why it needs unsafe"));
        }
        let mut used = false;
        for file in project.files.iter().filter(|file| covers(entry, file)) {
            used |= project.text(file)?.is_some_and(|text| words(&text, "unsafe").next().is_some());
        }
        if !used {
            problems.push(format!("{LIST}: {entry} uses no unsafe: remove the line"));
        }
    }
    Ok(problems)
}

/// Numbers of the lines with an `unsafe` block or `impl` that no comment argues for.
fn unargued(source: &RustSource) -> Vec<usize> {
    let code: Vec<&str> = source.code.lines().collect();
    let comments: Vec<&str> = source.comments.lines().collect();
    let line_of = |at: usize| source.code[..at].matches('\n').count();
    words(&source.code, "unsafe")
        .filter(|at| {
            let behind = source.code[at + "unsafe".len()..].trim_start();
            behind.starts_with('{') || behind.starts_with("impl")
        })
        .map(line_of)
        .filter(|&line| !argued(&code, &comments, line))
        .map(|line| line + 1)
        .collect()
}

/// Whether the statement that `line` belongs to has the comment on it or directly above it.
fn argued(code: &[&str], comments: &[&str], line: usize) -> bool {
    for at in (0..=line).rev() {
        if comments[at].contains("SAFETY:") {
            return true;
        }
        let (code, comment) = (code[at].trim(), comments[at].trim());
        let another_statement = code.ends_with([';', '{', '}']);
        if at < line && (another_statement || code.is_empty() && comment.is_empty()) {
            return false;
        }
    }
    false
}

/// Roots of crates without an allowed file that do not forbid `unsafe`.
fn unforbidden(project: &Project, allowed: &BTreeMap<String, String>) -> anyhow::Result<Vec<String>> {
    let mut problems = Vec::new();
    for (folder, package) in project.crates() {
        if allowed.keys().any(|entry| entry.starts_with(&format!("{folder}/src/"))) {
            continue;
        }
        for target in package.targets.iter().filter(|target| target.is_lib() || target.is_bin()) {
            let root = project.relative(Some(&target.src_path));
            if !RustSource::new(&project.required_text(&root)?).code.contains("#![forbid(unsafe_code)]") {
                problems.push(format!("{root}: this crate needs no unsafe: add #![forbid(unsafe_code)]"));
            }
        }
    }
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        unargued(&RustSource::new(text))
    }

    #[test]
    fn an_argument_stands_on_the_statement_or_above_it() {
        assert_eq!(lines("// SAFETY: a.\nlet b = unsafe { c };"), [0; 0]);
        assert_eq!(lines("let b = unsafe { c }; // SAFETY: a."), [0; 0]);
        assert_eq!(lines("// SAFETY: a,\n// long.\n#[inline]\nunsafe impl Send for B {}"), [0; 0]);
        assert_eq!(lines("// SAFETY: a.\nlet b =\n    unsafe { c };"), [0; 0]);
        assert_eq!(lines("let b = unsafe {\n    // SAFETY: a.\n    c };"), [1]);
    }

    #[test]
    fn an_argument_for_another_statement_is_none() {
        assert_eq!(lines("// SAFETY: a.\nlet b = 1;\nlet c = unsafe { d };"), [3]);
        assert_eq!(lines("// SAFETY: a.\n\nunsafe impl Send for B {}"), [3]);
        assert_eq!(lines("fn f() {\n    unsafe { g() }\n}"), [2]);
    }

    #[test]
    fn an_entry_covers_its_file_or_folder() {
        assert!(covers("lib/a/src/b.rs", "lib/a/src/b.rs"));
        assert!(covers("lib/a/src/b/", "lib/a/src/b/c.rs"));
        assert!(!covers("lib/a/src/b", "lib/a/src/b/c.rs"));
        assert!(!covers("lib/a/src/b/", "lib/a/src/b.rs"));
    }

    #[test]
    fn declarations_and_text_are_left_alone() {
        assert_eq!(lines("unsafe extern \"C\" { fn a(); }\npub unsafe fn b();\n\"unsafe { }\"; // unsafe { }"), [0; 0]);
    }
}
