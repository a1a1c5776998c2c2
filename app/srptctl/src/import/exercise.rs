//! What must hold of an import whatever the text: for tests and fuzzing.

use super::Imported;
use super::options::Options;
use super::{lio, scst};
use crate::methods;

/// Tries a text as a set-up of SCST's, in whichever of its three forms it looks like.
pub fn scst(text: &str) {
    match scst::import(text, &Options::default()) {
        Ok(imported) => {
            assert_sound(&imported);
            assert_eq!(unaccounted(text, &imported), None);
        }
        Err((line, message)) => refused(text, line, &message),
    }
}

/// Tries a text as LIO's saveconfig.json.
pub fn lio(text: &str) {
    match lio::import(text, &Options::default()) {
        Ok(imported) => assert_sound(&imported),
        Err((line, message)) => refused(text, line, &message),
    }
}

/// The target takes each request, as far as can be told without it.
pub(crate) fn assert_sound(imported: &Imported) {
    for request in &imported.requests {
        let method = methods::find(&request.method).expect("there is such a method");
        for (name, value) in &request.params {
            let param = method.param(name).unwrap_or_else(|| panic!("{} has no parameter {name}", request.method));
            assert_eq!(param.check(value), Ok(()), "{}", request.method);
        }
        let missing = method.params.iter().find(|param| param.required && !request.params.contains_key(&param.name));
        assert!(missing.is_none(), "{} lacks {:?}", request.method, missing.map(|param| &param.name));
    }
    for note in imported.notes.sorted() {
        assert!(!note.text.is_empty());
    }
}

/// A line of which nothing became and nothing was said.
pub(crate) fn unaccounted(text: &str, imported: &Imported) -> Option<String> {
    let lines = text.lines().enumerate().find(|(index, line)| {
        // A comment takes the character before it along, and a lone backslash is no word.
        let (before, comment) = line.split_once('#').map_or((*line, false), |(before, _)| (before, true));
        let before = before.trim_start();
        let nothing = before.trim() == "\\" || before.chars().count() <= usize::from(comment);
        !nothing && !imported.notes.is_accounted(index + 1)
    });
    lines.map(|(index, line)| format!("line {}: {line:?} of\n{text}", index + 1))
}

/// The message leads to a line that there is.
fn refused(text: &str, line: usize, message: &str) {
    assert!((1..=text.lines().count() + 1).contains(&line), "line {line}: {message}");
    assert!(!message.is_empty());
}
