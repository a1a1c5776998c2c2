//! Cargo manifests: every dependency on a crate of others has a reason beside it in the root and is used by some crate; all
//! crates share the lints of the workspace.

use std::collections::BTreeSet;

use crate::project::{Findings, Project};

/// See above.
pub fn check(project: &Project) -> anyhow::Result<Findings> {
    let dependencies = parse(&project.required_text("Cargo.toml")?);
    let crates = project.crates();
    let used: BTreeSet<&str> =
        crates.iter().flat_map(|(_, package)| &package.dependencies).map(|used| used.name.as_str()).collect();
    let mut problems = problems(&dependencies, &used);
    for (folder, _) in &crates {
        let manifest = format!("{folder}/Cargo.toml");
        if !project.required_text(&manifest)?.contains("[lints]\nworkspace = true") {
            problems.push(format!("{manifest}: add `[lints]` with `workspace = true`"));
        }
    }
    let foreign = dependencies.iter().filter(|dependency| !dependency.ours).count();
    Ok(Findings { summary: format!("{foreign} dependencies on crates of others"), problems, ..Findings::default() })
}

/// A line of `[workspace.dependencies]`.
#[derive(PartialEq, Eq, Debug)]
struct Dependency {
    name: String,
    /// A crate of the workspace itself.
    ours: bool,
    reason: bool,
}

fn parse(manifest: &str) -> Vec<Dependency> {
    let lines = manifest.lines().map(str::trim).skip_while(|line| *line != "[workspace.dependencies]").skip(1);
    let entries = lines.take_while(|line| !line.starts_with('[')).filter(|line| !line.starts_with('#'));
    let dependency = |line: &str| {
        let (name, value) = line.split_once('=')?;
        let reason = value.rsplit_once('#').is_some_and(|(_, reason)| !reason.trim().is_empty());
        Some(Dependency { name: name.trim().to_owned(), ours: value.contains("path ="), reason })
    };
    entries.filter_map(dependency).collect()
}

fn problems(dependencies: &[Dependency], used: &BTreeSet<&str>) -> Vec<String> {
    let mut problems = Vec::new();
    for Dependency { name, ours, reason } in dependencies {
        if !ours && !reason {
            problems.push(format!("Cargo.toml: {name} needs a comment behind it that says why it is here"));
        }
        if !ours && !used.contains(name.as_str()) {
            problems.push(format!("Cargo.toml: no crate uses {name}: remove it"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "
[workspace]
members = []
[workspace.dependencies]
# Ours.
mine = { path = \"mine\" }

good = \"1.0\" # because
bare = { version = \"2\", features = [\"x\"] }
empty = \"1\" #
[profile.dev]
debug = 1
";

    #[test]
    fn dependencies_are_read() {
        let names: Vec<String> = parse(MANIFEST).into_iter().map(|dependency| dependency.name).collect();
        assert_eq!(names, ["mine", "good", "bare", "empty"]);
    }

    #[test]
    fn reasons_and_users_are_required() {
        let found = problems(&parse(MANIFEST), &BTreeSet::from(["bare", "empty"]));
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].contains("no crate uses good"));
        assert!(found[1].contains("bare needs a comment"));
        assert!(found[2].contains("empty needs a comment"));
    }
}
