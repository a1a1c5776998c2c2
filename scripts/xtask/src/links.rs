//! Links between the documents lead to files and headings that exist, and `docs/SUMMARY.md`, the table of contents of the user guide, names every chapter.
//! Links of chapters stay within the guide: the book that is made of it has nothing else. Nobody asks the network about links to elsewhere: they are looked
//! at only, and their hosts are the check `leaks`'.

use std::collections::{BTreeMap, BTreeSet};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::project::{Findings, Project};

/// Documents outside the user guide.
const DOCUMENTS: [&str; 5] =
    ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "scripts/lab/README.md"];
const GUIDE: &str = "docs/";
const SUMMARY: &str = "docs/SUMMARY.md";

/// See above.
pub fn check(project: &Project) -> anyhow::Result<Findings> {
    let is_chapter = |file: &&String| file.starts_with(GUIDE) && file.ends_with(".md");
    let mut documents = BTreeMap::new();
    for file in DOCUMENTS.into_iter().chain(project.files.iter().filter(is_chapter).map(String::as_str)) {
        documents.insert(file.to_owned(), Document::read(&project.required_text(file)?));
    }
    let mut problems = unnamed_chapters(&documents);
    let mut links = 0;
    for (file, document) in &documents {
        for link in &document.links {
            links += 1;
            if let Err(why) = resolve(file, link, &documents, &project.files) {
                problems.push(format!("{file}:{}: {}: {why}", link.line, link.to));
            }
        }
    }
    Ok(Findings { summary: format!("{links} links in {} documents", documents.len()), problems, ..Findings::default() })
}

/// What a document offers and wants.
#[derive(Default)]
struct Document {
    /// What can stand behind the # of a link to it.
    anchors: BTreeSet<String>,
    links: Vec<Link>,
}

struct Link {
    line: usize,
    /// As it is written.
    to: String,
    /// mdbook puts the file in, wherever it is.
    is_include: bool,
}

impl Document {
    fn read(text: &str) -> Document {
        let mut document = Document::default();
        let mut heading: Option<String> = None;
        for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
            let line = text[..range.start].matches('\n').count() + 1;
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => document.add_heading(&heading.take().unwrap_or_default()),
                Event::Text(part) | Event::Code(part) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&part);
                    }
                    // Files that mdbook puts in: {{#include FILE}}.
                    for (_, include) in
                        part.match_indices("{{#include ").map(|(at, start)| (at, &part[at + start.len()..]))
                    {
                        let to = include.split(['}', ':']).next().unwrap_or_default().trim().to_owned();
                        document.links.push(Link { line, to, is_include: true });
                    }
                }
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    document.links.push(Link { line, to: dest_url.into_string(), is_include: false });
                }
                _ => {}
            }
        }
        document
    }

    /// Anchors as GitHub and mdBook make them; of headings that are alike, the later ones get a number.
    fn add_heading(&mut self, heading: &str) {
        let anchor = anchor(heading);
        let numbered = (1..).map(|number| format!("{anchor}-{number}"));
        let free = std::iter::once(anchor.clone()).chain(numbered).find(|anchor| !self.anchors.contains(anchor));
        self.anchors.extend(free);
    }
}

/// Lower case, blanks as hyphens, no other marks than hyphens and underscores.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|&c| c.is_alphanumeric() || "-_ ".contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).flat_map(char::to_lowercase).collect()
}

/// Chapters that the summary does not name, or not once.
fn unnamed_chapters(documents: &BTreeMap<String, Document>) -> Vec<String> {
    let Some(summary) = documents.get(SUMMARY) else { return vec![format!("{SUMMARY} is missing")] };
    let chapters = documents.keys().filter_map(|file| file.strip_prefix(GUIDE)).filter(|&file| file != "SUMMARY.md");
    let named = |chapter: &str| summary.links.iter().filter(|link| link.to == chapter).count();
    let wrong = chapters.map(|chapter| (chapter, named(chapter))).filter(|&(_, times)| times != 1);
    wrong.map(|(chapter, times)| format!("{SUMMARY}: names {chapter} {times} times: once is right")).collect()
}

/// Follows a link from `file`.
fn resolve(file: &str, link: &Link, documents: &BTreeMap<String, Document>, files: &[String]) -> Result<(), String> {
    let to = link.to.as_str();
    if to.contains(':') {
        return elsewhere(to);
    }
    let (path, fragment) = to.split_once('#').map_or((to, None), |(path, fragment)| (path, Some(fragment)));
    let path = if path.is_empty() && fragment.is_some() { file.to_owned() } else { beside(file, path)? };
    let folder = format!("{}/", path.trim_end_matches('/'));
    if !files.iter().any(|known| *known == path || known.starts_with(&folder)) {
        return Err(format!("there is no {path}"));
    }
    if file.starts_with(GUIDE) && !path.starts_with(GUIDE) && !link.is_include {
        return Err(format!("the book has no {path}: name it in the text instead"));
    }
    match fragment {
        None => Ok(()),
        Some(fragment) if documents.get(&path).is_some_and(|document| document.anchors.contains(fragment)) => Ok(()),
        Some(fragment) => Err(format!("{path} has no heading for #{fragment}")),
    }
}

/// Whether a link that leads out of the project could lead somewhere.
fn elsewhere(to: &str) -> Result<(), String> {
    let Some(rest) = to.strip_prefix("https://") else {
        return Err("a link to elsewhere begins with https://".to_owned());
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let is_label = |label: &str| !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if !host.contains('.') || !host.split('.').all(is_label) {
        return Err(format!("`{host}` is no host"));
    }
    if rest.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("has a blank".to_owned());
    }
    Ok(())
}

/// `path` from the folder of `file`, relative to the root.
fn beside(file: &str, path: &str) -> Result<String, String> {
    if path.is_empty() || path.starts_with('/') {
        return Err("name a file relative to this one".to_owned());
    }
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "." | "" => {}
            ".." if parts.pop().is_none() => return Err("leads out of the project".to_owned()),
            ".." => {}
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(list: &[(&str, &str)]) -> BTreeMap<String, Document> {
        list.iter().map(|(file, text)| ((*file).to_owned(), Document::read(text))).collect()
    }

    #[test]
    fn anchors_are_made_as_github_makes_them() {
        assert_eq!(anchor("RoCEv2 of our own"), "rocev2-of-our-own");
        assert_eq!(anchor("Initiator groups (LUN masking)"), "initiator-groups-lun-masking");
        assert_eq!(anchor("What `no_path_retry` does: 60 %"), "what-no_path_retry-does-60-");
        let document = Document::read("# A `b`\n\n## Same\n\n## Same\n\n```sh\n# no heading\n```\n");
        assert_eq!(document.anchors.into_iter().collect::<Vec<_>>(), ["a-b", "same", "same-1"]);
    }

    #[test]
    fn links_are_found_with_their_lines() {
        let text = "[a](b.md)\n\n| x |\n|---|\n| [c](d.md#e) |\n\n`[no](link)`\n\n```\n{{#include ../f.conf}}\n```\n";
        let links: Vec<_> = Document::read(text).links.into_iter().map(|link| (link.line, link.to)).collect();
        assert_eq!(links, [(1, "b.md".to_owned()), (5, "d.md#e".to_owned()), (10, "../f.conf".to_owned())]);
    }

    #[test]
    fn links_lead_to_files_and_headings() {
        let documents = documents(&[("README.md", "# Top\n"), ("docs/a.md", "# Some words\n")]);
        let files = ["README.md", "docs/a.md", "scripts/lab/run.sh"].map(str::to_owned);
        let follow = |file: &str, to: &str, is_include: bool| {
            let link = Link { line: 1, to: to.to_owned(), is_include };
            resolve(file, &link, &documents, &files)
        };
        for to in ["a.md", "a.md#some-words", "#some-words", "https://a.example/b"] {
            assert_eq!(follow("docs/a.md", to, false), Ok(()), "{to}");
        }
        for to in ["b.md", "a.md#other", "#other", "README.md", "../../up.md", "", "/docs/a.md"] {
            assert!(follow("docs/a.md", to, false).is_err(), "{to}");
        }
        for to in ["docs/a.md#some-words", "scripts/lab", "./scripts/lab/run.sh"] {
            assert_eq!(follow("README.md", to, false), Ok(()), "{to}");
        }
        assert!(follow("README.md", "scripts/lab/run.sh#x", false).is_err());
    }

    #[test]
    fn chapters_lead_to_nothing_that_the_book_has_not() {
        let documents = documents(&[("README.md", "# Top\n"), ("docs/a.md", "")]);
        let files = ["README.md", "docs/a.md", "docs/b.json", "scripts/c.conf"].map(str::to_owned);
        let follow = |to: &str, is_include| {
            resolve("docs/a.md", &Link { line: 1, to: to.to_owned(), is_include }, &documents, &files)
        };
        assert!(follow("../README.md#top", false).is_err());
        assert!(follow("../scripts/c.conf", false).is_err());
        assert_eq!(follow("../scripts/c.conf", true), Ok(()));
        assert_eq!(follow("b.json", false), Ok(()));
    }

    #[test]
    fn links_to_elsewhere_are_well_formed() {
        for to in ["https://a.example", "https://a-b.example/c?d#e", "https://a.example#b"] {
            assert_eq!(elsewhere(to), Ok(()), "{to}");
        }
        for to in [
            "http://a.example",
            "https://",
            "https:///a",
            "https://localhost/a",
            "https://a..example",
            "https://a.example/b c",
            "ftp://a.example",
            "mailto:a@b.example",
            "https:a.example",
        ] {
            assert!(elsewhere(to).is_err(), "{to}");
        }
    }

    #[test]
    fn the_summary_names_every_chapter_once() {
        let summary = |text| unnamed_chapters(&documents(&[(SUMMARY, text), ("docs/a.md", ""), ("docs/b.md", "")]));
        assert_eq!(summary("- [a](a.md)\n- [b](b.md)\n"), [""; 0]);
        assert_eq!(summary("- [a](a.md)\n").len(), 1);
        assert_eq!(summary("- [a](a.md)\n- [b](b.md)\n- [b](b.md)\n").len(), 1);
        assert_eq!(unnamed_chapters(&documents(&[("docs/a.md", "")])).len(), 1);
    }
}
