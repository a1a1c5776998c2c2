//! What is said about the lines of a set-up, and which were looked at.

use std::collections::BTreeSet;
use std::fmt;

/// Notes, in the order in which they came up.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    list: Vec<Note>,
    accounted: BTreeSet<usize>,
}

/// What is said about a line (from 1), or about the whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Note {
    pub(crate) line: Option<usize>,
    pub(crate) weight: Weight,
    pub(crate) text: String,
}

/// How much it matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Weight {
    /// Something was chosen that one should know of; what initiators see is the same.
    Remark,
    /// There is no equivalent, or initiators will see a difference. An error with --strict.
    Warning,
}

impl Notes {
    /// The line became part of a request.
    pub(crate) fn used(&mut self, line: usize) {
        self.accounted.insert(line);
    }

    pub(crate) fn remark(&mut self, line: impl Into<Option<usize>>, text: impl Into<String>) {
        self.add(line.into(), Weight::Remark, text.into());
    }

    pub(crate) fn warn(&mut self, line: impl Into<Option<usize>>, text: impl Into<String>) {
        self.add(line.into(), Weight::Warning, text.into());
    }

    fn add(&mut self, line: Option<usize>, weight: Weight, text: String) {
        self.accounted.extend(line);
        let note = Note { line, weight, text };
        if !self.list.contains(&note) {
            self.list.push(note);
        }
    }

    /// All notes, by line; those about the whole come last.
    pub(crate) fn sorted(&self) -> Vec<&Note> {
        let mut sorted: Vec<&Note> = self.list.iter().collect();
        sorted.sort_by_key(|note| note.line.unwrap_or(usize::MAX));
        sorted
    }

    pub(crate) fn warnings(&self) -> usize {
        self.list.iter().filter(|note| note.weight == Weight::Warning).count()
    }

    pub(crate) fn is_accounted(&self, line: usize) -> bool {
        self.accounted.contains(&line)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "{line}: ")?;
        }
        let weight = match self.weight {
            Weight::Remark => "note",
            Weight::Warning => "warning",
        };
        write!(f, "{weight}: {}", self.text)
    }
}
