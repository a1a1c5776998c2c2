//! Crates stand in levels, and one may use only crates of lower levels, never beside itself. The levels are data:
//! `scripts/crate-order.txt`; this compares them with the dependencies that cargo sees, those of tests included.

use std::collections::BTreeMap;

use anyhow::Context;

use crate::project::{Findings, Project};

const ORDER: &str = "scripts/crate-order.txt";

/// Every crate has a level, and uses only lower ones.
pub fn check(project: &Project) -> anyhow::Result<Findings> {
    let mut levels = BTreeMap::new();
    for (level, folder) in project.list(ORDER)? {
        let level: u32 = level.parse().with_context(|| format!("{ORDER}: '{level}' is no level"))?;
        levels.insert(folder, level);
    }
    let crates: Vec<(String, Vec<String>)> = project
        .crates()
        .into_iter()
        .map(|(folder, package)| {
            let used = package.dependencies.iter().filter_map(|dependency| dependency.path.as_ref());
            (folder, used.map(|path| project.relative(Some(path))).collect())
        })
        .collect();
    let summary = format!("{} crates in {} levels", crates.len(), levels.values().max().map_or(0, |top| top + 1));
    Ok(Findings { summary, problems: compare(&levels, &crates), ..Findings::default() })
}

/// `crates` is each crate's folder, and the folders of those that it uses.
fn compare(levels: &BTreeMap<String, u32>, crates: &[(String, Vec<String>)]) -> Vec<String> {
    let mut problems = Vec::new();
    for folder in levels.keys().filter(|folder| !crates.iter().any(|(name, _)| name == *folder)) {
        problems.push(format!("{ORDER}: {folder} is no crate of the workspace: remove the line"));
    }
    for (folder, used) in crates {
        let Some(level) = levels.get(folder) else {
            problems.push(format!("{folder} has no level: add it to {ORDER}"));
            continue;
        };
        // A crate's tests may use the crate itself, with another feature.
        for other in used.iter().filter(|&other| other != folder) {
            match levels.get(other) {
                Some(below) if below < level => {}
                Some(beside) => problems.push(format!(
                    "{folder} (level {level}) uses {other} (level {beside}): a crate uses only lower levels, see {ORDER}"
                )),
                None => problems.push(format!("{folder} uses {other}, which has no level in {ORDER}")),
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(levels: &[(&str, u32)], crates: &[(&str, &[&str])]) -> Vec<String> {
        let levels = levels.iter().map(|&(folder, level)| (folder.to_owned(), level)).collect();
        let owned = |used: &[&str]| used.iter().map(|&folder| folder.to_owned()).collect();
        let crates: Vec<_> = crates.iter().map(|&(folder, used)| (folder.to_owned(), owned(used))).collect();
        compare(&levels, &crates)
    }

    #[test]
    fn lower_levels_may_be_used() {
        assert_eq!(
            problems(&[("a", 0), ("b", 1), ("c", 2)], &[("a", &[]), ("b", &["a"]), ("c", &["a", "b"])]),
            [""; 0]
        );
    }

    #[test]
    fn neither_higher_nor_equal_ones() {
        let found = problems(&[("a", 0), ("b", 0), ("c", 1)], &[("a", &["b"]), ("b", &["c"]), ("c", &[])]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("a (level 0) uses b (level 0)"));
    }

    #[test]
    fn the_list_and_the_workspace_are_the_same() {
        assert_eq!(problems(&[("a", 0)], &[("b", &[])]).len(), 2);
        assert_eq!(problems(&[("a", 0)], &[("a", &["elsewhere"])]).len(), 1);
    }
}
