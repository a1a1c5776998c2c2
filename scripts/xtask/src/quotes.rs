//! Lines of the target's log that the guide shows are what the code says: in `docs/`, lines that begin with `srpt-app:` in blocks of plain text. What varies
//! stands as … there; all else has to be in a string literal, between its placeholders. The fields of an event are left out; what one may hold can stand in the
//! first column of a table, in backquotes, if that is headed ``| `FIELD` of "MESSAGE" |``.

use std::collections::HashSet;

use crate::project::{Findings, Project};
use crate::rust_source::RustSource;

const GUIDE: &str = "docs/";
const MARK: &str = "srpt-app: ";
const LEVELS: [&str; 3] = ["INFO ", "WARN ", "ERROR "];

/// See above.
pub fn check(project: &Project) -> anyhow::Result<Findings> {
    let mut fragments = Fragments::default();
    for (file, text) in project.rust_files()? {
        if !file.contains("tests") && !file.starts_with("scripts/") {
            fragments.add(&text);
        }
    }
    let mut findings = Findings::default();
    let mut count = 0;
    for file in project.files.iter().filter(|file| file.starts_with(GUIDE) && file.ends_with(".md")) {
        for (line, quote) in quotes(&project.required_text(file)?) {
            count += 1;
            if let Some(part) = fragments.unknown_part(quote) {
                findings.problems.push(format!("{file}:{line}: no message of the code has `{part}`"));
            }
        }
    }
    findings.summary = format!("{count} log lines");
    Ok(findings)
}

/// What a chapter quotes, with the lines where it does.
fn quotes(text: &str) -> Vec<(usize, &str)> {
    let mut quotes = Vec::new();
    let mut in_values = false;
    for (index, line) in text.lines().enumerate() {
        quotes.extend(line.strip_prefix(MARK).map(|quote| (index + 1, quote)));
        let first_column = line.strip_prefix('|').and_then(|row| row.split('|').next());
        match first_column.map(str::trim) {
            None => in_values = false,
            Some(heading) if !in_values => {
                let message = heading.split_once("` of \"").and_then(|(_, message)| message.strip_suffix('"'));
                quotes.extend(message.map(|message| (index + 1, message)));
                in_values = message.is_some();
            }
            Some(values) => quotes.extend(values.split('`').skip(1).step_by(2).map(|value| (index + 1, value))),
        }
    }
    quotes
}

/// The fixed parts of all texts in the code: what stands between the placeholders of its format strings.
#[derive(Default)]
struct Fragments(HashSet<String>);

impl Fragments {
    fn add(&mut self, text: &str) {
        let source = RustSource::new(text);
        let tests = source.test_lines();
        let in_tests = |line: usize| tests.get(line).copied().unwrap_or(false);
        let strings = source.strings.iter().filter(|&&(line, _)| !in_tests(line));
        self.0.extend(strings.flat_map(|(_, string)| fixed_parts(string)));
    }

    /// A part of the quoted line that is not put together from fixed parts of the code, if there is one.
    fn unknown_part<'a>(&self, quote: &'a str) -> Option<&'a str> {
        let message = LEVELS.iter().find_map(|level| quote.strip_prefix(level)).unwrap_or(quote);
        message.split('…').find(|part| !self.make_up(part))
    }

    /// Whether `part` is a row of fixed parts. One message may be put into another, so there can be several.
    fn make_up(&self, part: &str) -> bool {
        let mut reached = vec![false; part.len() + 1];
        reached[0] = true;
        for end in (1..=part.len()).filter(|&end| part.is_char_boundary(end)) {
            let starts = (0..end).filter(|&start| reached[start] && part.is_char_boundary(start));
            let known = starts.map(|start| &part[start..end]).any(|piece| self.knows(piece));
            reached[end] = known;
        }
        reached[part.len()]
    }

    /// Letters alone would make up anything, so short pieces are marks and blanks.
    fn knows(&self, piece: &str) -> bool {
        let is_marks = !piece.contains(char::is_alphanumeric);
        (is_marks || piece.len() >= 3) && (self.0.contains(piece) || self.0.contains(&format!("{piece} ")))
    }
}

/// What stands between the placeholders of a format string; doubled braces are braces.
fn fixed_parts(format: &str) -> Vec<String> {
    let (mut parts, mut part) = (Vec::new(), String::new());
    let mut characters = format.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '{' | '}' if characters.peek() == Some(&character) => {
                characters.next();
                part.push(character);
            }
            '{' => {
                parts.push(std::mem::take(&mut part));
                characters.by_ref().find(|&c| c == '}');
            }
            _ => part.push(character),
        }
    }
    parts.push(part);
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_log_and_values_of_fields_are_quotes() {
        let text = "srpt-app: WARN a\nkernel: b\n\n| `reason` of \"c\" | |\n|---|---|\n| `d`, `e` | not `f` |\n\n| g | |\n|---|---|\n| `h` | |\n";
        assert_eq!(quotes(text), [(1, "WARN a"), (4, "c"), (6, "d"), (6, "e")]);
    }

    #[test]
    fn format_strings_are_cut_at_their_placeholders() {
        assert_eq!(fixed_parts("a {} b {c:#x}; {{d}}"), ["a ", " b ", "; {d}"]);
        assert_eq!(fixed_parts("{}"), [""; 0]);
    }

    #[test]
    fn a_quote_is_made_of_what_the_code_says() {
        let mut fragments = Fragments::default();
        fragments.add(
            "fn f() { warn!(\"login refused: {}\", why); g(\"no target {id}; check id_ext ({known})\") }\n\
             #[cfg(test)]\nmod tests { fn t() { \"only in a test\" } }\n// \"only in a comment\"\n",
        );
        let unknown = |quote| fragments.unknown_part(quote);
        assert_eq!(unknown("WARN login refused: no target …; check id_ext (…)"), None);
        assert_eq!(unknown("login refused: …"), None);
        assert_eq!(unknown("login refused: no targets …"), Some("login refused: no targets "));
        assert_eq!(unknown("login refused: no target …; check"), Some("; check"));
        assert_eq!(unknown("only in a test"), Some("only in a test"));
        assert_eq!(unknown("only in a comment"), Some("only in a comment"));
    }
}
