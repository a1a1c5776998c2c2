//! `cargo xtask check` runs every check of the project by one name and prints a line for each; `.ci/run` runs the same.
//!
//! A check is a function from the [`Project`] to [`Findings`]. To add one, write the function, with a test that shows it
//! failing, and give it a line in [`CHECKS`]. Rules that are lists stand in files beside `scripts/xtask`, one entry a line:
//! `crate-order.txt`, `unsafe-files.txt`, `hosts.txt`. `cargo xtask counts` is apart from them (`counts/mod.rs`): it needs valgrind and a release build.
//!
//! | file | checks |
//! |---|---|
//! | `cargo.rs` | what cargo itself can say: format, lints, documentation, tests |
//! | `crate_order.rs` | which crate may use which |
//! | `manifests.rs` | reasons of dependencies, none unused, shared lints |
//! | `origins.rs` | where crates of others come from, and their licences |
//! | `unsafe_code.rs` | where `unsafe` may stand, and that each use is argued for |
//! | `tidy.rs` | marks of unfinished work, files that grew too long |
//! | `leaks.rs` | paths and hosts of the machine something was written on |
//! | `documents.rs` | README and ARCHITECTURE know every crate |
//! | `links.rs` | links between documents lead somewhere, the guide's summary names every chapter |
//! | `quotes.rs` | lines of the target's log that the guide shows are the target's |
//! | `shell.rs` | scripts parse |

#![forbid(unsafe_code)]

mod cargo;
mod counts;
mod crate_order;
mod documents;
mod leaks;
mod links;
mod manifests;
mod origins;
mod project;
mod quotes;
mod rust_source;
mod shell;
mod tidy;
mod unsafe_code;

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;

use crate::project::{Findings, Project};

/// One check.
struct Check {
    name: &'static str,
    about: &'static str,
    run: fn(&Project) -> anyhow::Result<Findings>,
}

/// Every check, the quick ones first.
const CHECKS: &[Check] = &[
    Check { name: "fmt", about: "rustfmt would change nothing", run: cargo::fmt },
    Check {
        name: "crate-order",
        about: "crates use only crates below them (crate-order.txt)",
        run: crate_order::check,
    },
    Check {
        name: "manifests",
        about: "dependencies have reasons and are used; lints are shared",
        run: manifests::check,
    },
    Check { name: "origins", about: "crates of others: from crates.io, licences that fit", run: origins::check },
    Check { name: "unsafe", about: "unsafe only in unsafe-files.txt, each with its SAFETY", run: unsafe_code::check },
    Check { name: "tidy", about: "no marks of unfinished work, no overlong files", run: tidy::check },
    Check { name: "leaks", about: "no paths of one machine, no hosts but hosts.txt", run: leaks::check },
    Check { name: "documents", about: "README and ARCHITECTURE name every crate", run: documents::check },
    Check { name: "links", about: "links of documents lead somewhere, docs/SUMMARY.md names all", run: links::check },
    Check { name: "quotes", about: "log lines in docs/ are what the code says", run: quotes::check },
    Check { name: "scripts", about: "shell scripts parse; shellcheck where installed", run: shell::check },
    Check { name: "clippy", about: "no warnings in any target", run: cargo::clippy },
    Check { name: "doc", about: "documentation builds, its links lead somewhere", run: cargo::doc },
    Check { name: "tests", about: "every test passes (nextest where installed)", run: cargo::tests },
];

const USAGE: &str = "usage: cargo xtask check [NAME...]   run all checks, or those named
       cargo xtask list              name them
       cargo xtask counts            count the instructions of the micro-benchmarks, and compare them with the stored table
                                     (--update writes the table anew, --keep FOLDER keeps callgrind's profiles)";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["check", names @ ..] => verdict(run(names)),
        ["counts", arguments @ ..] => verdict(Project::open().and_then(|project| counts::run(&project, arguments))),
        ["list"] => {
            CHECKS.iter().for_each(|check| println!("{:<12}  {}", check.name, check.about));
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn verdict(passed: anyhow::Result<bool>) -> ExitCode {
    match passed {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Runs the checks called `names`, all if there are none. Says whether all passed.
fn run(names: &[&str]) -> anyhow::Result<bool> {
    let selected = select(names)?;
    let project = Project::open()?;
    let mut failed = Vec::new();
    for check in &selected {
        print!("{:<12}  ", check.name);
        std::io::stdout().flush()?;
        let start = Instant::now();
        let findings = (check.run)(&project).unwrap_or_else(|error| Findings::problem(format!("{error:#}")));
        let verdict = if findings.problems.is_empty() { "ok" } else { "FAILED" };
        println!("{verdict:<6}  {:>6.1} s  {}", start.elapsed().as_secs_f32(), findings.summary);
        findings.notes.iter().for_each(|note| println!("    note: {note}"));
        findings.problems.iter().flat_map(|problem| problem.lines()).for_each(|line| println!("    {line}"));
        if !findings.problems.is_empty() {
            failed.push(check.name);
        }
    }
    let names = if failed.is_empty() { String::new() } else { format!(": {}", failed.join(", ")) };
    println!("{} checks passed, {} failed{names}", selected.len() - failed.len(), failed.len());
    Ok(failed.is_empty())
}

fn select(names: &[&str]) -> anyhow::Result<Vec<&'static Check>> {
    if names.is_empty() {
        return Ok(CHECKS.iter().collect());
    }
    let find = |name: &&str| {
        let check = CHECKS.iter().find(|check| check.name == *name);
        check.with_context(|| format!("no check is called {name}; `cargo xtask list` names them"))
    };
    names.iter().map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_found_by_name() {
        assert_eq!(select(&[]).unwrap().len(), CHECKS.len());
        assert_eq!(
            select(&["tidy", "fmt"]).unwrap().iter().map(|check| check.name).collect::<Vec<_>>(),
            ["tidy", "fmt"]
        );
        assert!(select(&["tidy", "nonsense"]).is_err());
    }
}
