//! What cargo itself can say.

use std::process::Command;

use anyhow::Context;

use crate::project::{Findings, Project};

/// rustfmt would change nothing; also in the workspaces apart from ours (the fuzz targets).
pub fn fmt(project: &Project) -> anyhow::Result<Findings> {
    let mut findings = Findings::default();
    let members: Vec<String> = project.crates().into_iter().map(|(folder, _)| format!("{folder}/Cargo.toml")).collect();
    let apart = |file: &&String| file.ends_with("/Cargo.toml") && !members.contains(file);
    let manifests = std::iter::once("Cargo.toml").chain(project.files.iter().filter(apart).map(String::as_str));
    for manifest in manifests {
        let output = cargo(project, &["fmt", "--all", "--check", "--manifest-path", manifest])?;
        if !output.passed {
            findings.problems.push(format!("{}\nfix: cargo fmt --all --manifest-path {manifest}", output.text));
        }
    }
    Ok(findings)
}

/// No warnings in any target.
pub fn clippy(project: &Project) -> anyhow::Result<Findings> {
    let output = cargo(project, &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    Ok(output.findings(String::new()))
}

/// The documentation builds without a warning.
pub fn doc(project: &Project) -> anyhow::Result<Findings> {
    let mut command = command();
    command.env("RUSTDOCFLAGS", "-D warnings").args(["doc", "--quiet", "--workspace", "--no-deps"]);
    Ok(run(project, command)?.findings(String::new()))
}

/// Every test passes. With nextest the documentation's tests run apart, because it does not know them.
pub fn tests(project: &Project) -> anyhow::Result<Findings> {
    if cargo(project, &["nextest", "--version"])?.passed {
        let output = cargo(project, &["nextest", "run", "--workspace", "--no-fail-fast"])?;
        let closing = output.last_line_with("Summary");
        let mut findings = output.findings(closing);
        findings
            .problems
            .extend(cargo(project, &["test", "--quiet", "--doc", "--workspace"])?.findings(String::new()).problems);
        return Ok(findings);
    }
    let output = cargo(project, &["test", "--workspace", "--no-fail-fast"])?;
    let closing = sum_of_results(&output.text);
    Ok(output.findings(closing))
}

/// What a command printed, and whether it succeeded.
struct Output {
    passed: bool,
    text: String,
}

impl Output {
    fn last_line_with(&self, word: &str) -> String {
        self.text.lines().rev().find(|line| line.contains(word)).unwrap_or_default().trim().to_owned()
    }

    fn findings(self, summary: String) -> Findings {
        let problems = if self.passed { Vec::new() } else { vec![self.text] };
        Findings { summary, problems, ..Findings::default() }
    }
}

fn cargo(project: &Project, arguments: &[&str]) -> anyhow::Result<Output> {
    let mut command = command();
    command.args(arguments);
    run(project, command)
}

/// The cargo that runs us.
pub fn command() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn run(project: &Project, mut command: Command) -> anyhow::Result<Output> {
    let output = command.current_dir(&project.root).output().with_context(|| format!("{command:?}"))?;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Ok(Output { passed: output.status.success(), text: text.trim_end().to_owned() })
}

/// One line from the `test result: ok. 3 passed; 1 failed; …` lines that `cargo test` prints, one for each binary.
fn sum_of_results(text: &str) -> String {
    let (mut passed, mut failed) = (0, 0);
    for line in text.lines().filter(|line| line.starts_with("test result:")) {
        let words: Vec<&str> = line.split([' ', ';']).collect();
        for pair in words.windows(2) {
            let count: u32 = pair[0].parse().unwrap_or(0);
            match pair[1] {
                "passed" => passed += count,
                "failed" => failed += count,
                _ => {}
            }
        }
    }
    format!("{passed} tests passed, {failed} failed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_added_up() {
        let text = "running 3 tests\ntest result: FAILED. 2 passed; 1 failed; 0 ignored\nx\ntest result: ok. 40 passed; 0 failed; 7 ignored";
        assert_eq!(sum_of_results(text), "42 tests passed, 1 failed");
    }

    #[test]
    fn a_failed_command_is_a_problem() {
        let output = Output { passed: false, text: "first\n Summary 1 failed\nlast".into() };
        assert_eq!(output.last_line_with("Summary"), "Summary 1 failed");
        assert_eq!(output.findings(String::new()).problems.len(), 1);
    }
}
