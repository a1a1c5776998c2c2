//! README and ARCHITECTURE name the folder of every crate, so that no crate is without its sentence.

use crate::project::{Findings, Project};

const DOCUMENTS: [&str; 2] = ["README.md", "ARCHITECTURE.md"];

/// See above.
pub fn check(project: &Project) -> anyhow::Result<Findings> {
    let mut problems = Vec::new();
    let crates = project.crates();
    for document in DOCUMENTS {
        let Ok(text) = project.required_text(document) else {
            problems.push(format!("{document} is missing"));
            continue;
        };
        let missing = crates.iter().filter(|(folder, _)| !mentions(&text, folder));
        problems.extend(missing.map(|(folder, _)| format!("{document} does not mention `{folder}`")));
    }
    let summary = format!("{} crates in {}", crates.len(), DOCUMENTS.join(" and "));
    Ok(Findings { summary, problems, ..Findings::default() })
}

/// Whether `text` names `folder` as a path: in backquotes, as a link, or with a slash behind it.
fn mentions(text: &str, folder: &str) -> bool {
    text.match_indices(folder).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let behind = text[at + folder.len()..].chars().next();
        before.is_none_or(|c| c.is_whitespace() || "`([/│├└─".contains(c)) && behind.is_some_and(|c| "`/)".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_named_as_a_path() {
        assert!(mentions("| `lib/mem` | pools", "lib/mem"));
        assert!(mentions("see [it](lib/mem)", "lib/mem"));
        assert!(mentions("app/src/main.rs", "app"));
        assert!(!mentions("an app is something else", "app"));
        assert!(!mentions("`lib/memory` and `srpt-app`", "lib/mem"));
        assert!(!mentions("`srpt-app`", "app"));
    }
}
