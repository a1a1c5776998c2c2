//! Writes scst.conf: statements, blocks and comments, as scstadmin reads them back.

/// A file in the making.
#[derive(Default)]
pub(super) struct File {
    pub(super) text: String,
    depth: usize,
}

impl File {
    pub(super) fn comment(&mut self, text: &str) {
        // A newline would end the comment.
        self.put(&format!("# {}", text.replace(['\n', '\r'], " ")));
    }

    pub(super) fn line(&mut self, words: &[&str]) {
        let words: Vec<String> = words
            .iter()
            .enumerate()
            .map(|(place, word)| if place == 0 { (*word).to_owned() } else { quoted(word) })
            .collect();
        self.put(&words.join(" "));
    }

    /// A statement with a block, or without if there would be nothing in it.
    pub(super) fn block(&mut self, words: &[&str], inside: impl FnOnce(&mut File)) {
        let mut block = File { text: String::new(), depth: self.depth + 1 };
        inside(&mut block);
        self.line(words);
        if !block.text.is_empty() {
            self.text.truncate(self.text.len() - 1);
            self.text += &format!(" {{\n{}", block.text);
            self.put("}");
        }
    }

    pub(super) fn put(&mut self, line: &str) {
        let indent = if line.is_empty() { 0 } else { self.depth };
        self.text += &format!("{}{line}\n", "\t".repeat(indent));
    }
}

/// A word as scstadmin reads it back.
fn quoted(word: &str) -> String {
    let mut escaped = String::new();
    for c in word.chars() {
        if matches!(c, '\\' | '#' | '"' | '{' | '}') {
            escaped.push('\\');
        }
        // No line of the file goes on in the next.
        escaped.push(if c == '\n' || c == '\r' { ' ' } else { c });
    }
    let plain = !escaped.is_empty() && !escaped.contains(char::is_whitespace);
    if plain { escaped } else { format!("\"{escaped}\"") }
}
