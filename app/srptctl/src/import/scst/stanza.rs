//! The grammar of scst.conf: statements of words, with blocks in braces below some of them.
//!
//! As scstadmin reads it: `#` at the beginning of a line or behind anything but a backslash begins a comment, and takes the character before it
//! along; a backslash makes the next character an ordinary one; words with blanks stand in double quotes. Unlike scstadmin, braces within quotes are text, and
//! a statement may stand beside a brace.

use crate::import::notes::Notes;

/// Deeper blocks than anything has.
const DEPTH_MAX: usize = 16;

/// A line of the file, or what was made of one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Statement {
    /// From 1.
    pub(crate) line: usize,
    pub(crate) words: Vec<String>,
    /// What stands in its braces.
    pub(crate) block: Vec<Statement>,
}

impl Statement {
    pub(crate) fn new<const N: usize>(line: usize, words: [&str; N]) -> Statement {
        Statement { line, words: words.map(str::to_owned).to_vec(), block: Vec::new() }
    }

    /// The first word.
    pub(crate) fn name(&self) -> &str {
        self.word(0)
    }

    /// The word at a place; nothing if there are fewer.
    pub(crate) fn word(&self, place: usize) -> &str {
        self.words.get(place).map_or("", String::as_str)
    }
}

/// Reads a file.
///
/// # Errors
/// Blocks in blocks without end: line and message.
pub(crate) fn parse(text: &str, notes: &mut Notes) -> Result<Vec<Statement>, (usize, String)> {
    // The innermost block is last; its opening statement waits in the one before.
    let mut open: Vec<Vec<Statement>> = vec![Vec::new()];
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        for token in tokens(uncommented(line)) {
            let depth = open.len();
            match (token, open.last_mut()) {
                (Token::Words(words), Some(block)) => block.push(Statement { line: number, words, block: Vec::new() }),
                (Token::Open, _) if depth > DEPTH_MAX => return Err((number, "blocks are nested too deeply".into())),
                (Token::Open, Some(block)) => {
                    // A block belongs to the statement before it on its line; without one it is nobody's.
                    if block.last().is_none_or(|last| last.line != number || !last.block.is_empty()) {
                        notes.warn(number, "a { without anything before it");
                        block.push(Statement { line: number, ..Statement::default() });
                    }
                    open.push(Vec::new());
                }
                (Token::Close, _) => close(&mut open, number, notes),
                (_, None) => {}
            }
        }
    }
    while open.len() > 1 {
        notes.warn(text.lines().count(), "the last block has no }");
        close(&mut open, text.lines().count(), notes);
    }
    Ok(open.pop().unwrap_or_default())
}

/// The innermost block goes to the statement that opened it.
fn close(open: &mut Vec<Vec<Statement>>, line: usize, notes: &mut Notes) {
    if open.len() < 2 {
        notes.warn(line, "a } without its {");
        return;
    }
    let block = open.pop().unwrap_or_default();
    if let Some(opening) = open.last_mut().and_then(|outer| outer.last_mut()) {
        opening.block = block;
    }
    notes.used(line);
}

/// A line without its comment.
fn uncommented(line: &str) -> &str {
    let mut before: Option<(usize, char)> = None;
    for (at, c) in line.char_indices() {
        match before {
            None if c == '#' => return "",
            Some((at, last)) if c == '#' && last != '\\' => return &line[..at],
            _ => before = Some((at, c)),
        }
    }
    line
}

enum Token {
    /// What stands between braces and the ends of the line.
    Words(Vec<String>),
    Open,
    Close,
}

fn tokens(line: &str) -> Vec<Token> {
    let (mut tokens, mut words) = (Vec::new(), Vec::new());
    let mut word: Option<String> = None;
    let mut quoted = false;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => word.get_or_insert_default().extend(chars.next()),
            '"' if quoted || word.is_none() => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '{' | '}' if !quoted => {
                words.extend(word.take());
                if !words.is_empty() {
                    tokens.push(Token::Words(std::mem::take(&mut words)));
                }
                tokens.push(if c == '{' { Token::Open } else { Token::Close });
            }
            c if c.is_whitespace() && !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if !words.is_empty() {
        tokens.push(Token::Words(words));
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `line(words){block}` for each statement.
    fn shape(statements: &[Statement]) -> String {
        let one = |statement: &Statement| {
            let block =
                if statement.block.is_empty() { String::new() } else { format!("{{{}}}", shape(&statement.block)) };
            format!("{}({}){block}", statement.line, statement.words.join("|"))
        };
        statements.iter().map(one).collect()
    }

    fn read(text: &str) -> (String, usize) {
        let mut notes = Notes::default();
        let statements = parse(text, &mut notes).expect("not too deep");
        (shape(&statements), notes.warnings())
    }

    #[test]
    fn statements_words_and_blocks() {
        for (text, expected) in [
            (
                "setup_id 0x1234\n\nHANDLER h {\n\tDEVICE d {\n\t\tfilename /d\n\t}\n}\n",
                "1(setup_id|0x1234)3(HANDLER|h){4(DEVICE|d){5(filename|/d)}}",
            ),
            ("user \"joe 12\" x", "1(user|joe 12|x)"),
            ("a \"\" b", "1(a||b)"),
            ("a \"{x}\"", "1(a|{x})"),
            ("a { b 1 }", "1(a){1(b|1)}"),
            ("a {\n} b", "1(a)2(b)"),
            ("# all\na b # c\n#d", "2(a|b)"),
            ("file /a\\#b\\ c", "1(file|/a#b c)"),
            ("file /abc#d", "1(file|/ab)"),
            ("a\tb\r\nc", "1(a|b)2(c)"),
        ] {
            assert_eq!(read(text), (expected.into(), 0), "{text:?}");
        }
    }

    #[test]
    fn unbalanced_braces_are_told() {
        for (text, expected) in
            [("}\na", "2(a)"), ("a {\nb", "1(a){2(b)}"), ("{\nb\n}", "1(){2(b)}"), ("a\n{\nb\n}", "1(a)2(){3(b)}")]
        {
            assert_eq!(read(text), (expected.into(), 1), "{text:?}");
        }
    }

    #[test]
    fn blocks_without_end_are_refused() {
        let text = "a {\n".repeat(100_000);
        assert_eq!(parse(&text, &mut Notes::default()).map_err(|(line, _)| line), Err(DEPTH_MAX + 1));
    }
}
