//! Where crates of others come from, and on which terms: crates.io only, licences that fit ours, no version left open, few crates twice. Works offline, from
//! what cargo has; `cargo deny check` with deny.toml knows advisories, too.

use std::collections::BTreeMap;

use anyhow::Context;
use cargo_metadata::{Metadata, MetadataCommand};

use crate::project::{Findings, Project};

/// Terms that ask for no more than that a notice is kept.
const LICENSES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Crates that may be there in two versions. More: look with `cargo tree --duplicates` whether one can go, then raise this.
const DUPLICATES_MAX: usize = 10;

/// See above.
pub fn check(project: &Project) -> anyhow::Result<Findings> {
    let mut command = MetadataCommand::new();
    command.current_dir(&project.root).other_options(["--offline".to_owned(), "--locked".to_owned()]);
    let metadata = command.exec().context("cargo metadata --offline --locked: run `cargo fetch` first")?;
    Ok(findings(&metadata))
}

fn findings(metadata: &Metadata) -> Findings {
    let mut problems = Vec::new();
    let mut versions: BTreeMap<&str, usize> = BTreeMap::new();
    for package in &metadata.packages {
        let name = package.name.as_str();
        let Some(source) = &package.source else {
            // Ours. What it asks for by path is ours, too.
            let open = |asked: &&cargo_metadata::Dependency| asked.path.is_none() && asked.req.comparators.is_empty();
            let open = package.dependencies.iter().filter(open);
            problems.extend(open.map(|asked| format!("{name}: {} has no version: name one", asked.name)));
            continue;
        };
        *versions.entry(name).or_default() += 1;
        if source.repr != REGISTRY {
            problems.push(format!("{name} comes from {source}: use a version from crates.io"));
        }
        let license = package.license.as_deref().unwrap_or_default();
        if !is_allowed(license) {
            problems
                .push(format!("{name}: its licence {license:?} is not among those of origins.rs: use another crate"));
        }
    }
    let twice: Vec<&str> = versions.iter().filter(|(_, count)| **count > 1).map(|(name, _)| *name).collect();
    if twice.len() > DUPLICATES_MAX {
        problems.push(format!("{} crates have several versions: {}", twice.len(), twice.join(", ")));
    }
    let summary = format!("{} crates of others, {} of them in several versions", versions.len(), twice.len());
    Findings { summary, problems, ..Findings::default() }
}

/// Whether an SPDX expression can be met by allowed licences alone. The old form with a slash means OR.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    either(&mut rest) == Some(true) && rest.is_empty()
}

fn either(words: &mut &[&str]) -> Option<bool> {
    let mut allowed = both(words)?;
    while let ["OR", rest @ ..] = *words {
        *words = rest;
        allowed |= both(words)?;
    }
    Some(allowed)
}

fn both(words: &mut &[&str]) -> Option<bool> {
    let mut allowed = one(words)?;
    while let ["AND", rest @ ..] = *words {
        *words = rest;
        allowed &= one(words)?;
    }
    Some(allowed)
}

/// A licence, or an expression in brackets; `None` if it is neither.
fn one(words: &mut &[&str]) -> Option<bool> {
    match *words {
        ["(", rest @ ..] => {
            *words = rest;
            let allowed = either(words)?;
            *words = words.strip_prefix(&[")"])?;
            Some(allowed)
        }
        [license, "WITH", exception, rest @ ..] => {
            *words = rest;
            Some(LICENSES.contains(&format!("{license} WITH {exception}").as_str()))
        }
        [license, rest @ ..] => {
            *words = rest;
            Some(LICENSES.contains(license))
        }
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_are_read_as_expressions() {
        for good in [
            "MIT",
            "MIT OR Apache-2.0",
            "MIT/Apache-2.0",
            "GPL-3.0-only OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0-only",
        ] {
            assert!(is_allowed(good), "{good}");
        }
        for bad in [
            "",
            "GPL-3.0-only",
            "MIT AND GPL-3.0-only",
            "(MIT OR ISC",
            "MIT ISC",
            "MIT OR",
            "GPL-2.0-only WITH LLVM-exception",
        ] {
            assert!(!is_allowed(bad), "{bad}");
        }
    }

    #[test]
    fn what_comes_from_elsewhere_or_has_no_version_is_named() {
        let package = |name: &str, source: &str, license: &str, dependencies: &str| {
            format!(
                r#"{{"name": "{name}", "version": "1.0.0", "id": "{name}", "license": {license}, "source": {source}, "dependencies": [{dependencies}], "targets": [], "features": {{}}, "manifest_path": "/{name}/Cargo.toml"}}"#
            )
        };
        let asked = |name: &str, req: &str| {
            format!(
                r#"{{"name": "{name}", "req": "{req}", "source": "x", "kind": null, "optional": false, "uses_default_features": true, "features": [], "target": null}}"#
            )
        };
        let packages = [
            package("mine", "null", "\"MIT\"", &[asked("open", "*"), asked("good", "^1")].join(", ")),
            package("good", &format!("{REGISTRY:?}"), "\"MIT\"", ""),
            package("forked", "\"git+https://git.example/x\"", "\"MIT\"", ""),
            package("strict", &format!("{REGISTRY:?}"), "\"AGPL-3.0-only\"", ""),
            package("silent", &format!("{REGISTRY:?}"), "null", ""),
        ];
        let text = format!(
            r#"{{"packages": [{}], "workspace_members": [], "resolve": null, "workspace_root": "/", "target_directory": "/t", "version": 1}}"#,
            packages.join(", ")
        );
        let problems = findings(&MetadataCommand::parse(text).expect("metadata")).problems;
        let starts = ["mine: open", "forked comes from", "strict: ", "silent: "];
        assert_eq!(problems.len(), starts.len(), "{problems:?}");
        assert!(problems.iter().zip(starts).all(|(problem, start)| problem.starts_with(start)), "{problems:?}");
    }
}
