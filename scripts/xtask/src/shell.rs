//! Shell scripts parse, and shellcheck finds nothing where it is installed.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::Context;

use crate::project::{Findings, Project};

/// Not asked of shellcheck, which sees one file at a time: scripts that are sourced set names for others and use theirs.
const EXCLUDED: &str = "--exclude=SC2034,SC2154,SC1090,SC1091";

/// See above. What shellcheck calls a warning is a note.
pub fn check(project: &Project) -> anyhow::Result<Findings> {
    let mut findings = Findings::default();
    let mut scripts: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for file in &project.files {
        let Some(text) = project.text(file)? else { continue };
        let Some(shell) = shell_of(file, &text) else { continue };
        let output = Command::new(shell).current_dir(&project.root).arg("-n").arg(file).output().context(shell)?;
        if !output.status.success() {
            findings.problems.push(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        scripts.entry(shell).or_default().push(file);
    }
    for (shell, files) in &scripts {
        let mut command = Command::new("shellcheck");
        command.current_dir(&project.root).args(["--severity=warning", "--format=gcc", EXCLUDED, "--shell", shell]);
        match command.args(files).output() {
            Ok(output) => sort_lines(&String::from_utf8_lossy(&output.stdout), &mut findings),
            Err(_) => {
                findings.notes.push("shellcheck is not installed: scripts are parsed only".to_owned());
                break;
            }
        }
    }
    findings.summary = format!("{} scripts", scripts.values().map(Vec::len).sum::<usize>());
    Ok(findings)
}

/// Sorts what shellcheck says, `file:line:column: severity: text`.
fn sort_lines(said: &str, findings: &mut Findings) {
    for line in said.lines() {
        let list = if line.contains(": error: ") { &mut findings.problems } else { &mut findings.notes };
        list.push(line.to_owned());
    }
}

/// Which shell runs a file, if one does.
fn shell_of(file: &str, text: &str) -> Option<&'static str> {
    let first = text.lines().next().unwrap_or_default();
    let interpreter = first.strip_prefix("#!").map(|line| line.rsplit(['/', ' ']).next().unwrap_or_default());
    match interpreter {
        Some("bash") => Some("bash"),
        Some("sh" | "dash") => Some("sh"),
        None if file.ends_with(".sh") => Some("bash"), // sourced by others
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_fail_and_warnings_do_not() {
        let mut findings = Findings::default();
        sort_lines("a.sh:1:2: error: not an error: [SC1]\na.sh:3:4: warning: odd [SC2]\n", &mut findings);
        assert_eq!((findings.problems.len(), findings.notes.len()), (1, 1));
    }

    #[test]
    fn scripts_are_known_by_their_first_line() {
        assert_eq!(shell_of("a", "#!/usr/bin/env bash\n"), Some("bash"));
        assert_eq!(shell_of("a", "#!/bin/sh"), Some("sh"));
        assert_eq!(shell_of("lib.sh", "# to be sourced"), Some("bash"));
        assert_eq!(shell_of("a.py", "#!/usr/bin/env python3"), None);
        assert_eq!(shell_of("a.rs", "fn main() {}"), None);
    }
}
