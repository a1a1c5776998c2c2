//! Tells the code of a Rust file from its comments and its literals, so that a rule about code does not trip over text.

/// What a stretch of a file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Code,
    Comment,
    Literal,
}

/// A file in two views, each as long as the file, with everything else blanked; line ends stay.
pub struct RustSource {
    /// Code alone.
    pub code: String,
    /// Comments alone.
    pub comments: String,
    /// What its string literals say, each with the line it begins in, from 0.
    pub strings: Vec<(usize, String)>,
}

impl RustSource {
    /// Reads `text`, which compiles.
    pub fn new(text: &str) -> RustSource {
        let (mut code, mut comments) = (String::with_capacity(text.len()), String::with_capacity(text.len()));
        let (mut strings, mut line) = (Vec::new(), 0);
        let mut rest = text;
        let mut before = ' ';
        while !rest.is_empty() {
            let (kind, len) = stretch(rest, before);
            let (part, behind) = rest.split_at(len);
            if kind == Kind::Literal && part.ends_with(['"', '#']) {
                strings.push((line, string_value(part)));
            }
            line += part.matches('\n').count();
            for character in part.chars() {
                let blank = if character == '\n' { '\n' } else { ' ' };
                code.push(if kind == Kind::Code { character } else { blank });
                comments.push(if kind == Kind::Comment { character } else { blank });
                before = character;
            }
            rest = behind;
        }
        RustSource { code, comments, strings }
    }

    /// Which lines belong to modules that exist for tests only: `#[cfg(test)] mod name { … }`.
    pub fn test_lines(&self) -> Vec<bool> {
        let mut marks = vec![false; self.code.lines().count()];
        let line_of = |at: usize| self.code[..at].matches('\n').count();
        for (at, attribute) in self.code.match_indices("#[cfg(test)]") {
            let behind = &self.code[at + attribute.len()..];
            let item = behind.trim_start();
            let body = item.find(['{', ';']).filter(|&body| item.starts_with("mod ") && item[body..].starts_with('{'));
            if let Some(body) = body {
                let start = self.code.len() - item.len() + body;
                marks[line_of(at)..=line_of(matching_brace(&self.code, start))].fill(true);
            }
        }
        marks
    }
}

/// Kind and length in bytes of what begins `text`; `before` is the character in front of it.
fn stretch(text: &str, before: char) -> (Kind, usize) {
    let in_word = before.is_alphanumeric() || before == '_';
    if text.starts_with("//") {
        return (Kind::Comment, text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return (Kind::Comment, block_comment(text));
    }
    let literal = match text.as_bytes().first() {
        Some(b'"' | b'b' | b'c' | b'r') if !in_word => string(text),
        Some(b'\'') => character(text),
        _ => None,
    };
    match literal {
        Some(len) => (Kind::Literal, len),
        None => (Kind::Code, text.chars().next().map_or(0, char::len_utf8)),
    }
}

/// Block comments nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let (step, change) = match &text[at..] {
            rest if rest.starts_with("/*") => (2, 1),
            rest if rest.starts_with("*/") => (2, -1),
            rest => (rest.chars().next().map_or(1, char::len_utf8), 0),
        };
        at += step;
        depth += change;
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// Length of a string literal: ordinary, byte or C, raw or not.
fn string(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "b", "c", "r", ""].into_iter().find(|prefix| {
        let rest = text.strip_prefix(prefix).unwrap_or_default();
        if prefix.ends_with('r') { rest.trim_start_matches('#').starts_with('"') } else { rest.starts_with('"') }
    })?;
    let rest = &text[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = rest.len() - rest.trim_start_matches('#').len();
        let end = format!("\"{}", "#".repeat(hashes));
        let body = prefix.len() + hashes + 1;
        return Some(text[body..].find(&end).map_or(text.len(), |at| body + at + end.len()));
    }
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        match character {
            '"' if !escaped => return Some(prefix.len() + at + 1),
            _ => escaped = character == '\\' && !escaped,
        }
    }
    Some(text.len())
}

/// What a string literal says; of the escapes, those that texts for people have.
fn string_value(literal: &str) -> String {
    let raw = literal.split('"').next().is_some_and(|prefix| prefix.contains('r'));
    let body = literal.trim_start_matches(|c| c != '"').trim_matches('#');
    let body = body.strip_prefix('"').and_then(|body| body.strip_suffix('"')).unwrap_or_default();
    if raw {
        return body.to_owned();
    }
    let (mut value, mut rest) = (String::with_capacity(body.len()), body);
    while let Some(at) = rest.find('\\') {
        value.push_str(&rest[..at]);
        let escape = rest[at + 1..].chars().next();
        rest = &rest[at + 1 + escape.map_or(0, char::len_utf8)..];
        match escape {
            Some('n') => value.push('\n'),
            Some('\n') => rest = rest.trim_start(),
            Some(other) => value.push(other),
            None => {}
        }
    }
    value + rest
}

/// Length of a character literal; a lifetime is none.
fn character(text: &str) -> Option<usize> {
    let rest = text.strip_prefix('\'')?;
    if let Some(escape) = rest.strip_prefix('\\') {
        let name = escape.chars().next()?.len_utf8();
        return Some(2 + name + escape[name..].find('\'')? + 1);
    }
    let first = rest.chars().next()?.len_utf8();
    rest[first..].starts_with('\'').then_some(first + 2)
}

/// Where the brace that opens at `open` closes.
fn matching_brace(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, character) in code[open..].char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return open + at;
        }
    }
    code.len()
}

/// Where `word` stands in `text` as a whole word.
pub fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part = |character: Option<char>| character.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |&at| !part(text[..at].chars().next_back()) && !part(text[at + word.len()..].chars().next()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        let source = RustSource::new(text);
        assert_eq!(
            (source.code.lines().count(), source.comments.lines().count()),
            (text.lines().count(), text.lines().count())
        );
        source.code.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        assert_eq!(code("a // b\nc"), "a c");
        assert_eq!(code("a /* b /* c */ d\n */ e"), "a e");
        assert_eq!(code(r#"a("b \" // c", d)"#), "a( , d)");
        assert_eq!(code(r##"a(r#"b " c"#, br"d\", c"e")"##), "a( , , )");
        assert_eq!(code("a('b', '\\'', '\\u{1f}', 'ä') // c"), "a( , , , )");
        assert_eq!(code("fn f<'a>(x: &'a str, y: &'static u8)"), "fn f<'a>(x: &'a str, y: &'static u8)");
        assert_eq!(code("for r in list {}"), "for r in list {}");
    }

    #[test]
    fn comments_are_seen_alone() {
        let source = RustSource::new("let a = \"// no\"; // yes\n/* both\nlines */ b");
        assert_eq!(source.comments.split_whitespace().collect::<Vec<_>>(), ["//", "yes", "/*", "both", "lines", "*/"]);
    }

    #[test]
    fn strings_are_read() {
        let source = RustSource::new("a(\"b \\\"c\\\" \\\n   d\", 'e')\n// \"no\"\nr#\"f \"g\" \\\"#; \"\"");
        let expected = [(0, "b \"c\" d"), (3, "f \"g\" \\"), (3, "")];
        assert_eq!(source.strings, expected.map(|(line, text)| (line, text.to_owned())));
    }

    #[test]
    fn test_modules_are_found() {
        let source = RustSource::new(
            "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { \"}\"; }\n}\n#[cfg(test)]\nmod more;\nfn c() {}",
        );
        assert_eq!(source.test_lines(), [false, true, true, true, true, false, false, false]);
    }

    #[test]
    fn words_are_whole() {
        assert_eq!(words("unsafe unsafe_code(unsafe)", "unsafe").collect::<Vec<_>>(), [0, 19]);
    }
}
