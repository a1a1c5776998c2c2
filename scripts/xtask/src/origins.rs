//! Where crates of others come from, and on which terms: crates.io only, licences that fit ours, no version left open, few crates twice. Works offline, from
//! what cargo has; `cargo deny check` with deny.toml knows advisories, too.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use cargo_metadata::{Metadata, MetadataCommand};
use serde::Deserialize;
use spdx::{Expression, Licensee, ParseMode};

use crate::project::{Findings, Project};

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Crates that may be there in two versions. More: look with `cargo tree --duplicates` whether one can go, then raise this.
const DUPLICATES_MAX: usize = 10;

/// See above.
pub fn check(project: &Project) -> anyhow::Result<Findings> {
    let mut command = MetadataCommand::new();
    command.current_dir(&project.root).other_options(["--offline".to_owned(), "--locked".to_owned()]);
    let metadata = command.exec().context("cargo metadata --offline --locked: run `cargo fetch` first")?;
    Ok(findings(&metadata, &allowed(&project.root)?))
}

fn findings(metadata: &Metadata, allowed: &[Licensee]) -> Findings {
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
        if !is_allowed(license, allowed) {
            problems
                .push(format!("{name}: its licence {license:?} is not among those of deny.toml: use another crate"));
        }
    }
    let twice: Vec<&str> = versions.iter().filter(|(_, count)| **count > 1).map(|(name, _)| *name).collect();
    if twice.len() > DUPLICATES_MAX {
        problems.push(format!("{} crates have several versions: {}", twice.len(), twice.join(", ")));
    }
    let summary = format!("{} crates of others, {} of them in several versions", versions.len(), twice.len());
    Findings { summary, problems, ..Findings::default() }
}

/// The licences of deny.toml: terms that ask for no more than that a notice is kept.
fn allowed(root: &Path) -> anyhow::Result<Vec<Licensee>> {
    #[derive(Deserialize)]
    struct Deny {
        licenses: Licenses,
    }
    #[derive(Deserialize)]
    struct Licenses {
        allow: Vec<String>,
    }
    let text = std::fs::read_to_string(root.join("deny.toml")).context("deny.toml")?;
    let deny: Deny = toml::from_str(&text).context("deny.toml")?;
    deny.licenses.allow.iter().map(|name| Licensee::parse(name).with_context(|| format!("deny.toml: {name}"))).collect()
}

/// Whether an SPDX expression can be met by these licences alone. The old form with a slash means OR.
fn is_allowed(expression: &str, allowed: &[Licensee]) -> bool {
    let parsed = Expression::parse_mode(expression, ParseMode::LAX);
    parsed.is_ok_and(|parsed| parsed.evaluate(|asked| allowed.iter().any(|licence| licence.satisfies(asked))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> Vec<Licensee> {
        allowed(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).expect("a list")
    }

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
            assert!(is_allowed(good, &ours()), "{good}");
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
            assert!(!is_allowed(bad, &ours()), "{bad}");
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
        let problems = findings(&MetadataCommand::parse(text).expect("metadata"), &ours()).problems;
        let starts = ["mine: open", "forked comes from", "strict: ", "silent: "];
        assert_eq!(problems.len(), starts.len(), "{problems:?}");
        assert!(problems.iter().zip(starts).all(|(problem, start)| problem.starts_with(start)), "{problems:?}");
    }
}
